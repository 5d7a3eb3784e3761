//! Intervals for what is estimated from a number of independent runs.
//!
//! Everything here is a pure function of its numbers and, thanks to `libm`, the same on every platform. Probabilities are
//! shares of 1; `confidence` is the probability that an interval covers the truth, such as 0.95.

use crate::engine::normal;

/// A closed interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The arithmetic mean; 0 for no values. Summed in the order given.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The interval of the mean of independent values by Student's t; `None` for fewer than two values.
///
/// "Student", "The probable error of a mean", Biometrika 6 (1908) 1–25.
#[must_use]
pub fn mean_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let standard_error = (squares / (n - 1) as f64 / n as f64).sqrt();
    let half = t_quantile(0.5 + confidence / 2.0, (n - 1) as f64) * standard_error;
    Some(Interval { low: mean - half, high: mean + half })
}

/// The ratio of two sums over independent clusters, and its interval: `numerators[i]` and `denominators[i]` belong to
/// cluster i. `None` for fewer than two clusters or a sum of denominators of 0.
///
/// The variance is that of the linearised ratio, Σ(yᵢ − r·xᵢ)² · n/(n−1) / (Σxᵢ)², and the quantile Student's with n − 1
/// degrees of freedom: Cochran, "Sampling Techniques", 3rd ed. (1977), chapter 6. Unlike a binomial interval over the
/// pooled units it does not take the units of one cluster for independent.
#[must_use]
pub fn ratio_interval(numerators: &[f64], denominators: &[f64], confidence: f64) -> Option<Interval> {
    let n = numerators.len().min(denominators.len());
    let total: f64 = denominators.iter().take(n).sum();
    if n < 2 || total <= 0.0 {
        return None;
    }
    let ratio = numerators.iter().take(n).sum::<f64>() / total;
    let residuals = numerators.iter().zip(denominators).map(|(y, x)| y - ratio * x);
    let squares: f64 = residuals.map(|residual| residual * residual).sum();
    let standard_error = (squares * n as f64 / (n - 1) as f64).sqrt() / total;
    let half = t_quantile(0.5 + confidence / 2.0, (n - 1) as f64) * standard_error;
    Some(Interval { low: (ratio - half).max(0.0), high: ratio + half })
}

/// The score interval of a binomial share; the whole of [0, 1] for no trials.
///
/// Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22 (1927) 209–212.
#[must_use]
pub fn wilson(successes: u64, trials: u64, confidence: f64) -> Interval {
    if trials == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (n, z) = (trials as f64, normal::quantile(0.5 + confidence / 2.0));
    let share = successes as f64 / n;
    let scale = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / scale;
    let half = z / scale * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    // At the ends the two terms cancel; rounding must not leave a remainder.
    let low = if successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes == trials { 1.0 } else { (centre + half).min(1.0) };
    Interval { low, high }
}

/// The exact interval of a binomial share, never too short: Clopper and Pearson, "The use of confidence or fiducial
/// limits illustrated in the case of the binomial", Biometrika 26 (1934) 404–413.
#[must_use]
pub fn clopper_pearson(successes: u64, trials: u64, confidence: f64) -> Interval {
    let (k, n, tail) = (successes as f64, trials as f64, (1.0 - confidence) / 2.0);
    Interval {
        low: if successes == 0 { 0.0 } else { invert(|p| beta_cdf(p, k, n - k + 1.0), tail) },
        high: if successes >= trials { 1.0 } else { invert(|p| beta_cdf(p, k + 1.0, n - k), 1.0 - tail) },
    }
}

/// The upper bound of a probability that never came true in so many trials: 1 − (1 − confidence)^(1/trials), about 3/n
/// at 95 % (hence "rule of three": Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249
/// (1983) 1743–1745). 1 for no trials.
#[must_use]
pub fn rule_of_three(trials: u64, confidence: f64) -> f64 {
    if trials == 0 { 1.0 } else { -libm::expm1(libm::log1p(-confidence) / trials as f64) }
}

/// The `share`-quantile of sorted values by nearest rank: the smallest value that at least that share of the values does
/// not exceed. `None` for no values.
#[must_use]
pub fn percentile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    sorted.get(rank(sorted.len(), share).checked_sub(1)?).copied()
}

/// The interval of the `share`-quantile of what sorted independent values are drawn from, by two of the values
/// themselves, whatever the distribution. Where the sample is too small for a two-sided bound, the end that is missing is
/// `None`: with 100 values there is no upper bound of the 99th percentile.
///
/// The number of values below the quantile is binomial; the two ranks are the innermost whose binomial tails are each at
/// most (1 − confidence)/2: David and Nagaraja, "Order Statistics", 3rd ed. (2003), section 7.1.
#[must_use]
pub fn percentile_interval<T: Copy>(sorted: &[T], share: f64, confidence: f64) -> (Option<T>, Option<T>) {
    let (n, tail) = (sorted.len(), (1.0 - confidence) / 2.0);
    // P(at most k of n values are below the quantile).
    let at_most = |k: usize| if k >= n { 1.0 } else { beta_cdf(1.0 - share, (n - k) as f64, k as f64 + 1.0) };
    // The l-th smallest value is above the quantile if fewer than l values are below it.
    let low = partition(n, |l| at_most(l - 1) <= tail);
    let high = partition(n, |u| at_most(u - 1) < 1.0 - tail) + 1;
    (low.checked_sub(1).and_then(|i| sorted.get(i)).copied(), sorted.get(high - 1).copied())
}

/// How many of 1..=n satisfy a condition that the first ones do and the others do not.
fn partition(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

/// ⌈share · n⌉, at least 1 if there are values; products such as 0.07 · 100 that miss a whole number by rounding count
/// as that number.
fn rank(n: usize, share: f64) -> usize {
    let exact = share * n as f64;
    let nearest = exact.round();
    let rank = if (exact - nearest).abs() < 1e-9 * nearest.max(1.0) { nearest } else { exact.ceil() };
    (rank as usize).clamp(usize::from(n > 0), n)
}

/// The quantile of Student's distribution, for p in (0, 1) and degrees of freedom above 0.
#[must_use]
pub fn t_quantile(p: f64, freedom: f64) -> f64 {
    if p < 0.5 {
        return -t_quantile(1.0 - p, freedom);
    }
    // P(|T| > t) = I_x(ν/2, 1/2) with x = ν/(ν + t²): DLMF 8.17, Abramowitz and Stegun 26.7.1.
    let x = invert(|x| beta_cdf(x, freedom / 2.0, 0.5), 2.0 * (1.0 - p));
    if x <= 0.0 { f64::INFINITY } else { (freedom * (1.0 - x) / x).sqrt() }
}

/// The argument in [0, 1] at which a growing function has a value, by bisection to the last bit.
fn invert(function: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    // 1100 halvings reach the smallest number there is; the midpoint stops moving much sooner unless it tends to 0.
    for _ in 0..1100 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if function(middle) < value { low = middle } else { high = middle }
    }
    high
}

/// The regularised incomplete beta function I_x(a, b), for positive a and b: the distribution function of the beta
/// distribution, and through it of the binomial and of Student's.
///
/// The continued fraction is DLMF 8.17.22 (dlmf.nist.gov/8.17), evaluated by Lentz's method as modified by Thompson and
/// Barnett, J. Comput. Phys. 64 (1986) 490–509; it converges fast below (a + 1)/(a + b + 2), the rest is symmetry.
#[must_use]
pub fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let log_front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x);
    let front = libm::exp(log_front);
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let keep = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / keep(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for term in [even, odd] {
            d = 1.0 / keep(1.0 + term * d);
            c = keep(1.0 + term / c);
            result *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

    #[track_caller]
    fn near(actual: f64, expected: f64, relative: f64) {
        assert!((actual - expected).abs() <= relative * expected.abs().max(1e-300), "{actual} is not {expected}");
    }

    #[test]
    fn student_quantiles_are_those_of_statrs_and_of_the_tables() {
        for freedom in [1.0, 2.0, 4.0, 9.0, 29.0, 99.0, 999.0, 9_999.0] {
            let oracle = StudentsT::new(0.0, 1.0, freedom).unwrap();
            for p in [0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 0.9995, 0.025] {
                // The other way round: statrs inverts by a search that stops early.
                assert!((oracle.cdf(t_quantile(p, freedom)) - p).abs() < 1e-9, "{p} {freedom}");
            }
        }
        near(t_quantile(0.975, 9.0), 2.262_157_162_8, 1e-9);
        near(t_quantile(0.975, 1.0), 12.706_204_736_2, 1e-9);
    }

    #[test]
    fn incomplete_beta_is_that_of_statrs() {
        for (a, b) in [(0.5, 0.5), (1.0, 3.0), (5.0, 0.5), (50.0, 951.0), (2_500.0, 7_501.0)] {
            let oracle = Beta::new(a, b).unwrap();
            for x in [0.001, 0.05, 0.25, 0.5, 0.9, 0.999] {
                assert!((beta_cdf(x, a, b) - oracle.cdf(x)).abs() < 1e-10, "{x} {a} {b}");
            }
        }
    }

    #[test]
    fn wilson_covers_what_was_published() {
        // Newcombe, Statistics in Medicine 17 (1998) 857-872, table I: method 3.
        for (successes, trials, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let interval = wilson(successes, trials, 0.95);
            assert!((interval.low - low).abs() < 5e-5 && (interval.high - high).abs() < 5e-5, "{interval:?}");
        }
        assert_eq!(wilson(29, 29, 0.95).high, 1.0);
        assert_eq!(wilson(0, 0, 0.95), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn clopper_pearson_leaves_half_of_the_rest_on_each_side() {
        for (k, n) in [(1_u64, 10_u64), (5, 10), (9, 10), (3, 1_000), (997, 1_000)] {
            let Interval { low, high } = clopper_pearson(k, n, 0.95);
            near(1.0 - Binomial::new(low, n).unwrap().cdf(k - 1), 0.025, 1e-6);
            near(Binomial::new(high, n).unwrap().cdf(k), 0.025, 1e-6);
        }
        assert_eq!(clopper_pearson(0, 10, 0.95).low, 0.0);
        assert_eq!(clopper_pearson(10, 10, 0.95).high, 1.0);
        near(clopper_pearson(0, 10, 0.90).high, rule_of_three(10, 0.95), 1e-12);
    }

    #[test]
    fn nothing_in_n_trials_bounds_by_three_over_n() {
        near(rule_of_three(1_000, 0.95), 0.003, 0.01);
        near(rule_of_three(1, 0.95), 0.95, 1e-12);
        assert_eq!(rule_of_three(0, 0.95), 1.0);
    }

    #[test]
    fn percentiles_by_nearest_rank() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.5), Some(50));
        assert_eq!(percentile(&values, 0.99), Some(99));
        assert_eq!(percentile(&values, 0.991), Some(100));
        assert_eq!(percentile(&values, 0.07), Some(7));
        assert_eq!(percentile(&values, 0.0), Some(1));
        assert_eq!(percentile(&[7], 0.99), Some(7));
        assert_eq!(percentile::<u32>(&[], 0.5), None);
    }

    #[test]
    fn a_percentile_lies_between_the_order_statistics_that_the_binomial_names() {
        for (n, share) in [(100_usize, 0.5), (1_000, 0.9), (1_000, 0.99), (60, 0.9), (6, 0.5)] {
            let ranks: Vec<usize> = (1..=n).collect();
            let below = Binomial::new(share, n as u64).unwrap();
            let (low, high) = percentile_interval(&ranks, share, 0.95);
            let (low, high) = (low.unwrap(), high.unwrap());
            assert!(below.cdf(low as u64 - 1) <= 0.025 && below.cdf(low as u64) > 0.025, "low {low} of {n}");
            assert!(
                1.0 - below.cdf(high as u64 - 1) <= 0.025 && 1.0 - below.cdf(high as u64 - 2) > 0.025,
                "high {high} of {n}"
            );
        }
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile_interval(&hundred, 0.5, 0.95), (Some(40), Some(61)));
        assert_eq!(percentile_interval(&hundred, 0.99, 0.95), (Some(97), None));
        assert_eq!(percentile_interval(&[1, 2, 3], 0.5, 0.95), (None, None));
        assert_eq!(percentile_interval::<u32>(&[], 0.5, 0.95), (None, None));
    }

    #[test]
    fn a_mean_has_an_interval_from_two_values_on() {
        let interval = mean_interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95).unwrap();
        near(interval.low, 1.036_756_838_5, 1e-9);
        near(interval.high, 4.963_243_161_5, 1e-9);
        assert_eq!(mean_interval(&[1.0], 0.95), None);
        assert_eq!(mean(&[]), 0.0);
    }

    #[test]
    fn a_ratio_of_equal_clusters_is_a_mean() {
        let failed = [0.0, 3.0, 1.0, 0.0, 6.0];
        let ratio = ratio_interval(&failed, &[100.0; 5], 0.95).unwrap();
        let mean = mean_interval(&failed, 0.95).unwrap();
        near(ratio.high, mean.high / 100.0, 1e-12);
        assert_eq!(ratio.low, 0.0, "a share is not negative");
        assert_eq!(ratio_interval(&failed, &[0.0; 5], 0.95), None);
        assert_eq!(ratio_interval(&[1.0], &[2.0], 0.95), None);
    }
}
