//! Differences between two policies that met the same weather: pairs of numbers, one pair a seed.
//!
//! Common random numbers make the two numbers of a pair depend on each other; that is their use, as the variance of the
//! difference falls with it (Glasserman and Yao, "Some guidelines and guarantees for common random numbers", Management
//! Science 38 (1992) 884–908). So nothing here compares two separate intervals.

use crate::analysis::statistics::{self, Interval};
use crate::engine::{Key, Random};

/// How many resamples a bootstrap interval is made of.
pub const RESAMPLES: usize = 2_000;

/// The mean of paired differences, and its intervals.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Difference {
    /// How many pairs.
    pub pairs: u64,
    /// The mean of b − a.
    pub mean: f64,
    /// Student's interval of it; `None` for one pair.
    pub student: Option<Interval>,
    /// The bootstrap's: right also where the differences are skewed or mostly zero. `None` for one pair.
    pub bootstrap: Option<Interval>,
    /// In how many pairs b is above a.
    pub above: u64,
    /// In how many pairs b is below a.
    pub below: u64,
    /// How probable so uneven a split is if neither is more often above: two-sided sign test over pairs that differ.
    pub p_value: f64,
}

impl Difference {
    /// The differences b − a of the pairs; `None` for no pairs.
    #[must_use]
    pub fn new(pairs: &[(f64, f64)], confidence: f64) -> Option<Self> {
        if pairs.is_empty() {
            return None;
        }
        let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
        let above = differences.iter().filter(|d| **d > 0.0).count() as u64;
        let below = differences.iter().filter(|d| **d < 0.0).count() as u64;
        Some(Self {
            pairs: pairs.len() as u64,
            mean: statistics::mean(&differences),
            student: statistics::mean_interval(&differences, confidence),
            bootstrap: bootstrap_mean(&differences, confidence),
            above,
            below,
            p_value: sign_test(above, below),
        })
    }

    /// The wider of the two intervals at each end: what one may rely on.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        match (self.student, self.bootstrap) {
            (Some(a), Some(b)) => Some(Interval { low: a.low.min(b.low), high: a.high.max(b.high) }),
            (one, other) => one.or(other),
        }
    }
}

/// The percentile bootstrap of the mean; `None` for fewer than two values.
///
/// Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979) 1–26. The resamples are drawn
/// from a seed of their own, so that the same values always have the same interval.
#[must_use]
pub fn bootstrap_mean(values: &[f64], confidence: f64) -> Option<Interval> {
    const RESAMPLE: Key = Key::new("bootstrap");
    let n = u32::try_from(values.len()).ok().filter(|n| *n > 1)?;
    let random = Random::new(0);
    let mut means: Vec<f64> = (0..RESAMPLES as u64)
        .map(|resample| {
            let key = RESAMPLE.number(resample);
            let sum: f64 = (0..u64::from(n)).map(|i| values[random.below(key, i, n) as usize]).sum();
            sum / f64::from(n)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval { low: statistics::percentile(&means, tail)?, high: statistics::percentile(&means, 1.0 - tail)? })
}

/// The two-sided exact sign test: how probable a split at least as uneven is under 1/2. For pairs of yes and no it is
/// McNemar's test: McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika
/// 12 (1947) 153–157. 1 for no pair that differs.
#[must_use]
pub fn sign_test(above: u64, below: u64) -> f64 {
    let (few, all) = (above.min(below), above + below);
    if few == above.max(below) {
        return 1.0;
    }
    // P(X ≥ all − few) = I_½(all − few, few + 1).
    (2.0 * statistics::beta_cdf(0.5, (all - few) as f64, few as f64 + 1.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{Binomial, DiscreteCDF};

    #[test]
    fn the_sign_test_is_the_binomial_one() {
        for (above, below) in [(0, 5), (1, 9), (9, 1), (40, 60), (0, 400)] {
            let all: u64 = above + below;
            let expected = (2.0 * Binomial::new(0.5, all).unwrap().cdf(above.min(below))).min(1.0);
            let actual = sign_test(above, below);
            assert!((actual - expected).abs() <= 1e-9 * expected.max(1e-12), "{above} {below}: {actual} {expected}");
        }
        assert_eq!([sign_test(0, 0), sign_test(7, 7)], [1.0, 1.0]);
    }

    #[test]
    fn the_bootstrap_finds_student_where_student_is_right() {
        // Sums of twelve uniform numbers are near enough to normal.
        let random = Random::new(7);
        let values: Vec<f64> =
            (0..400_u64).map(|i| (0..12).map(|k| random.unit(Key::new("value").number(k), i)).sum::<f64>()).collect();
        let (student, bootstrap) =
            (statistics::mean_interval(&values, 0.95).unwrap(), bootstrap_mean(&values, 0.95).unwrap());
        let width = student.high - student.low;
        assert!((student.low - bootstrap.low).abs() < 0.06 * width, "{student:?} {bootstrap:?}");
        assert!((student.high - bootstrap.high).abs() < 0.06 * width, "{student:?} {bootstrap:?}");
    }

    #[test]
    fn the_intervals_cover_as_often_as_they_say() {
        // 400 experiments of 60 pairs whose differences have mean 1; 95 % of the intervals should cover it, ± 3 σ.
        let random = Random::new(11);
        let covered = (0..400_u64).filter(|experiment| {
            let key = Key::new("pair").number(*experiment);
            let pair = |i: u64| (0.0, -libm::log(random.unit(key, i)));
            let difference = Difference::new(&(0..60).map(pair).collect::<Vec<_>>(), 0.95).unwrap();
            difference.interval().is_some_and(|i| i.low <= 1.0 && 1.0 <= i.high)
        });
        let covered = covered.count();
        assert!((365..=395).contains(&covered), "{covered} of 400");
    }

    #[test]
    fn equal_runs_do_not_differ_and_one_pair_has_no_interval() {
        let difference = Difference::new(&[(3.0, 3.0), (5.0, 5.0)], 0.95).unwrap();
        assert_eq!((difference.mean, difference.p_value), (0.0, 1.0));
        assert_eq!(difference.interval(), Some(Interval { low: 0.0, high: 0.0 }));
        assert_eq!(Difference::new(&[(1.0, 2.0)], 0.95).unwrap().interval(), None);
        assert_eq!(Difference::new(&[], 0.95), None);
    }
}
