//! Tests of all kinds of distribution, mostly by the laws that each must obey.

use proptest::prelude::*;
use statrs::distribution::{ContinuousCDF, Exp, LogNormal as StatrsLogNormal};
use statrs::statistics::Distribution as _;

use super::*;
use crate::engine::random::{Key, Random};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn measured() -> Distribution {
    Distribution::histogram(&[(ms(5), 0), (ms(10), 60), (ms(25), 60), (ms(50), 90), (ms(100), 95)], 100).unwrap()
}

fn bimodal() -> Distribution {
    let slow = Distribution::log_normal(ms(20), ms(200)).unwrap();
    Distribution::mixture(vec![(9.0, Distribution::Constant(ms(2))), (1.0, slow)]).unwrap()
}

/// One of each kind.
fn all() -> Vec<Distribution> {
    vec![
        Distribution::constant(ms(2)),
        Distribution::uniform(ms(1), ms(9)).unwrap(),
        Distribution::uniform(Duration::ZERO, Duration::MAX).unwrap(),
        Distribution::exponential(ms(20)).unwrap(),
        Distribution::log_normal(ms(20), ms(200)).unwrap(),
        Distribution::log_normal(ms(20), ms(20)).unwrap(),
        Distribution::log_normal_by((0.9, Duration::from_secs(9)), (0.1, Duration::from_nanos(3))).unwrap(),
        measured(),
        bimodal(),
        Distribution::mixture(vec![(0.25, bimodal()), (0.75, Distribution::uniform(ms(1), ms(3)).unwrap())]).unwrap(),
    ]
}

/// Any valid distribution, extreme ones included.
fn any_distribution() -> impl Strategy<Value = Distribution> {
    let span = || (any::<u64>(), 0..64u32).prop_map(|(nanos, shift)| Duration::from_nanos(nanos >> shift));
    let positive = move || span().prop_map(|span| span.max(Duration::from_nanos(1)));
    let histogram = (prop::collection::btree_map(span(), 0..100u64, 1..8), 1..50u64).prop_map(|(buckets, overflow)| {
        let mut count = 0;
        let cumulative: Vec<_> = buckets
            .into_iter()
            .map(|(bound, n)| {
                count += n;
                (bound, count)
            })
            .collect();
        Distribution::histogram(&cumulative, count + overflow).unwrap()
    });
    let leaf = prop_oneof![
        span().prop_map(Distribution::Constant),
        (span(), span()).prop_map(|(a, b)| Distribution::uniform(a.min(b), a.max(b)).unwrap()),
        positive().prop_map(|mean| Distribution::exponential(mean).unwrap()),
        (positive(), positive()).prop_map(|(a, b)| Distribution::log_normal(a.min(b), a.max(b)).unwrap()),
        histogram,
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop::collection::vec((0.01..10.0f64, inner), 1..4).prop_map(|parts| Distribution::mixture(parts).unwrap())
    })
}

proptest! {
    #[test]
    fn a_quantile_never_falls(distribution in any_distribution(), p in 0.0..1.0f64, q in 0.0..1.0f64, steps in 0..9u64) {
        let order = |p: f64, q: f64| {
            let (low, high) = (distribution.quantile(p.min(q)), distribution.quantile(p.max(q)));
            prop_assert!(low <= high, "{low} at {p}, {high} at {q}");
            prop_assert!(distribution.support_min() <= low);
            prop_assert!(distribution.support_max().is_none_or(|max| high <= max));
            Ok(())
        };
        order(p, q)?;
        // Neighbours, where a rounding error would show.
        order(p, f64::from_bits(p.to_bits() + steps))?;
    }

    #[test]
    fn a_sample_never_falls(
        distribution in any_distribution(),
        units in prop::collection::vec((0..30u32, 0.0..1.0f64, any::<bool>()), 300),
    ) {
        let sampler = Sampler::new(distribution);
        // Both tails as often as the middle.
        let mut units: Vec<f64> = units
            .into_iter()
            .map(|(octave, unit, upper)| (unit / (1u64 << octave) as f64, upper))
            .map(|(unit, upper)| if upper { 1.0 - unit } else { unit })
            .collect();
        units.sort_by(f64::total_cmp);
        prop_assert!(units.is_sorted_by_key(|&unit| sampler.sample(unit)));
    }

    #[test]
    fn a_cdf_never_falls(distribution in any_distribution(), x in any::<u64>(), y in any::<u64>(), shift in 0..64u32) {
        let (low, high) = (x.min(y) >> shift, x.max(y) >> shift);
        let (low, high) = (distribution.cdf(Duration::from_nanos(low)), distribution.cdf(Duration::from_nanos(high)));
        prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
        prop_assert!(low <= high + 1e-15, "{low} {high}");
    }

    /// `quantile(p)` is the shortest span with `cdf >= p`: the cdf reaches p there, and not before, give or take the
    /// rounding to a nanosecond and of a float.
    #[test]
    fn quantile_undoes_cdf(distribution in any_distribution(), p in 1e-9..1.0 - 1e-9) {
        let span = distribution.quantile(p).as_nanos();
        // Above 2^53 ns a float skips nanoseconds, and the logarithm of a huge span costs some digits more.
        let slack = 1 + (span >> 44);
        let above = distribution.cdf(Duration::from_nanos(span.saturating_add(slack)));
        // A quantile beyond the longest span that there is (585 years) is cut off there.
        prop_assert!(above >= p - 1e-12 || span == u64::MAX, "cdf {above} above {span}");
        if let Some(below) = span.checked_sub(slack + 1) {
            let below = distribution.cdf(Duration::from_nanos(below));
            prop_assert!(below <= p + 1e-12, "cdf {below} below {span}");
        }
    }
}

/// Monotone at the finest resolution, around the joints of the inverse normal (|p − 1/2| = 0.425 and e⁻²⁵ from the
/// ends), at powers of two, and at both ends.
#[test]
fn a_quantile_never_falls_from_one_grid_point_to_the_next() {
    let end = 1u64 << Probability::DIGITS;
    let grid = |p: f64| (p * end as f64) as u64;
    let joint = libm::exp(-25.0);
    let places = [0.0, 0.075, 0.25, 0.5, 0.75, 0.925, 0.99, 0.999_999].map(grid);
    let places = places.into_iter().chain([grid(joint), end - grid(joint), end - 4096]);
    for place in places {
        for distribution in &all() {
            let mut previous = Duration::ZERO;
            for p in (place.saturating_sub(600)..place + 600).filter(|p| (1..end).contains(p)) {
                let span = distribution.quantile(p as f64 / end as f64);
                assert!(previous <= span, "{distribution} at {p}: {span} after {previous}");
                previous = span;
            }
        }
    }
}

#[test]
fn agrees_with_statrs() {
    let exponential = (Distribution::exponential(ms(20)).unwrap(), Exp::new(1.0 / 20e6).unwrap());
    let log_normal = LogNormal::new((0.5, ms(20)), (0.99, ms(200))).unwrap();
    let theirs = StatrsLogNormal::new(log_normal.mu(), log_normal.sigma()).unwrap();
    let log_normal = Distribution::LogNormal(log_normal);
    for i in 1..1000u32 {
        let p = f64::from(i) / 1000.0;
        let close = |ours: Duration, theirs: f64| (ours.as_nanos() as f64 - theirs).abs() <= 0.51 + theirs * 1e-9;
        assert!(close(exponential.0.quantile(p), exponential.1.inverse_cdf(p)), "exponential {p}");
        assert!(close(log_normal.quantile(p), theirs.inverse_cdf(p)), "log-normal {p}");
        let x = ms(i.into());
        assert!((exponential.0.cdf(x) - exponential.1.cdf(x.as_nanos() as f64)).abs() < 1e-10);
        assert!((log_normal.cdf(x) - theirs.cdf(x.as_nanos() as f64)).abs() < 1e-10);
    }
    assert!((log_normal.mean().as_nanos() as f64 - theirs.mean().unwrap()).abs() < 0.51);
}

#[test]
fn log_normal_goes_through_its_points() {
    let cases = [((0.5, ms(20)), (0.99, ms(200))), ((0.95, ms(90)), (0.5, ms(7))), ((0.1, ms(1)), (0.999, ms(5000)))];
    for (a, b) in cases {
        let distribution = Distribution::log_normal_by(a, b).unwrap();
        assert_eq!(distribution.quantile(a.0), a.1);
        assert_eq!(distribution.quantile(b.0), b.1);
    }
}

#[test]
fn a_histogram_is_linear_within_a_bucket_and_clamped_beyond_the_last() {
    let histogram = measured();
    let quantiles = [0.0, 0.3, 0.75, 0.9, 0.95, 0.96, 0.999, 1.0].map(|p| histogram.quantile(p).as_millis());
    // 0.75 is in the middle of the bucket (25 ms, 50 ms], since the one before it is empty.
    assert_eq!(quantiles, [5, 7, 37, 50, 100, 100, 100, 100]);
    assert_eq!(histogram.cdf(ms(4)), 0.0);
    assert_eq!(histogram.cdf(ms(20)), 0.6);
    assert_eq!(histogram.cdf(ms(99)).max(0.95), 0.95);
    assert_eq!(histogram.cdf(ms(100)), 1.0);
    // 60 x 7.5 + 30 x 37.5 + 5 x 75 + 5 x 100, in hundredths of a millisecond.
    assert_eq!(histogram.mean(), Duration::from_micros(24_500));
    let bare = Distribution::histogram(&[(ms(5), 2), (ms(10), 2)], 2).unwrap();
    assert_eq!((bare.support_min(), bare.support_max()), (Duration::ZERO, Some(ms(5))));
    let all_beyond = Distribution::histogram(&[(ms(5), 0)], 3).unwrap();
    assert_eq!((all_beyond.quantile(0.01), all_beyond.mean(), all_beyond.cdf(ms(4))), (ms(5), ms(5), 0.0));
}

#[test]
fn a_mixture_is_the_weighted_sum() {
    let mixture = bimodal();
    assert_eq!(mixture.quantile(0.5), ms(2));
    assert_eq!(mixture.quantile(0.9), ms(2));
    // The median of the slow tenth; the constant lies below all of it that matters.
    let slow_median = mixture.quantile(0.95);
    assert!((19_900..20_100).contains(&(slow_median.as_nanos() / 1000)), "{slow_median}");
    assert_eq!(mixture.support_max(), None);
    assert_eq!(mixture.quantile(1.0), Duration::MAX);
}

/// The sample mean of each kind is within four standard errors of `mean()`.
#[test]
fn samples_have_the_stated_mean() {
    const N: u64 = 20_000;
    let random = Random::new(11);
    for (i, distribution) in all().iter().enumerate() {
        if distribution.to_string() == "p10=3ns p90=9s" {
            continue; // Its variance is beyond any sample.
        }
        let key = Key::new("moments").number(i as u64);
        let spans: Vec<f64> =
            (0..N).map(|index| distribution.sample(random.unit(key, index)).as_nanos() as f64).collect();
        let mean = spans.iter().sum::<f64>() / N as f64;
        let variance = spans.iter().map(|span| (span - mean) * (span - mean)).sum::<f64>() / N as f64;
        let bound = 4.0 * (variance / N as f64).sqrt() + 1e-9 * mean;
        let stated = distribution.mean().as_nanos() as f64;
        assert!((mean - stated).abs() <= bound, "{distribution}: {mean} is not {stated} ± {bound}");
    }
}

#[test]
fn a_sampler_agrees_with_its_distribution() {
    let random = Random::new(13);
    let key = Key::new("sampler");
    for distribution in all() {
        let sampler = Sampler::new(distribution.clone());
        for i in 0..20_000 {
            // Both tails as often as the middle.
            let tail = libm::exp2(-30.0 * random.unit(key, 2 * i));
            let p = if random.below(key, 2 * i + 1, 2) == 0 { tail } else { 1.0 - tail };
            let (ours, exact) = (sampler.sample(p).as_nanos(), distribution.quantile(p).as_nanos());
            assert!(ours.abs_diff(exact) <= 2 + exact / 4000, "{distribution} at {p}: {ours} is not {exact}");
        }
        for p in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(sampler.sample(p), distribution.quantile(p));
        }
    }
}

#[test]
fn a_sample_never_falls_from_one_grid_point_to_the_next() {
    let end = 1u64 << Probability::DIGITS;
    for distribution in all() {
        let sampler = Sampler::new(distribution);
        // Around joints of cells: both ends of the table, a power of two, the middle, and 0.9, where mixtures jump.
        for place in [1 << 29, end - (1 << 29), end / 16, end / 32 * 31, end / 2, end / 10 * 9, end / 64 * 33] {
            let mut previous = Duration::ZERO;
            for p in place - 600..place + 600 {
                let span = sampler.sample(p as f64 / end as f64);
                assert!(previous <= span, "{} at {p}: {span} after {previous}", sampler.distribution());
                previous = span;
            }
        }
    }
}

/// What a seed means, on every platform: do not update lightly.
#[test]
fn golden_samples() {
    let samples: Vec<_> =
        all().iter().map(|distribution| [0.001, 0.3, 0.999].map(|p| distribution.sample(p).as_nanos())).collect();
    let golden: [[u64; 3]; 10] = [
        [2_000_000, 2_000_000, 2_000_000],
        [1_008_000, 3_400_000, 8_992_000],
        [18_446_744_073_709_568, 5_534_023_222_112_864_256, 18_428_297_329_635_842_047],
        [20_010, 7_133_499, 138_155_106],
        [939_005, 11_901_784, 425_982_814],
        [20_000_000, 20_000_000, 20_000_000],
        [0, 1_891, 43_840_249_350_298_144],
        [5_008_333, 7_500_000, 100_000_000],
        [2_000_000, 2_000_000, 200_000_000],
        [1_002_584, 1_799_501, 113_129_790],
    ];
    assert_eq!(samples, golden);
}

#[test]
fn prints_for_people() {
    let printed: Vec<_> = all().iter().map(Distribution::to_string).collect();
    let expected = [
        "2ms",
        "1ms..9ms",
        "0s..5124095h34m33.709551615s",
        "mean 20ms",
        "p50=20ms p99=200ms",
        "p50=20ms p99=20ms",
        "p10=3ns p90=9s",
        "histogram p50=9.16ms p99=100ms",
        "90% 2ms | 10% p50=20ms p99=200ms",
        "25% (90% 2ms | 10% p50=20ms p99=200ms) | 75% 1ms..3ms",
    ];
    assert_eq!(printed, expected);
    let odd = Distribution::log_normal_by((0.57, ms(1)), (0.999, ms(2))).unwrap();
    assert_eq!(odd.to_string(), "p57=1ms p99.9=2ms");
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    use Distribution as D;
    let zero = Duration::ZERO;
    let cases = [
        (D::uniform(ms(2), ms(1)), "the minimum, 2ms, is above the maximum, 1ms"),
        (D::exponential(zero), "the mean must be above zero"),
        (D::log_normal(ms(20), ms(10)), "p99 = 10ms is below p50 = 20ms"),
        (D::log_normal(zero, ms(10)), "p50 must be above zero in a log-normal distribution"),
        (
            D::log_normal_by((0.5, ms(1)), (1.0, ms(2))),
            "p100 is no percentile: expected a number above 0 and below 100",
        ),
        (
            D::log_normal_by((f64::NAN, ms(1)), (0.9, ms(2))),
            "pNaN is no percentile: expected a number above 0 and below 100",
        ),
        (D::log_normal_by((0.9, ms(1)), (0.9, ms(2))), "p90 is given twice: expected two different percentiles"),
        (D::histogram(&[], 1), "the histogram has no bucket with a finite upper bound"),
        (D::histogram(&[(ms(1), 0)], 0), "the histogram counts no observations"),
        (D::histogram(&[(ms(2), 1), (ms(2), 2)], 2), "the bucket bounds must increase: 2ms follows 2ms"),
        (
            D::histogram(&[(ms(2), 3), (ms(4), 2)], 5),
            "the counts are cumulative and must not decrease: 2 up to 4ms follows 3",
        ),
        (D::histogram(&[(ms(2), 3)], 2), "the total count, 2, is below the count of the last bucket, 3"),
        (D::mixture(vec![]), "the mixture has no parts"),
        (D::mixture(vec![(0.0, D::Constant(zero))]), "the weight 0 is not a finite number above zero"),
        (D::mixture(vec![(f64::NAN, D::Constant(zero))]), "the weight NaN is not a finite number above zero"),
        (D::mixture(vec![(1.0, D::Exponential { mean: zero })]), "the mean must be above zero"),
    ];
    for (result, message) in cases {
        assert_eq!(result.unwrap_err().to_string(), message);
    }
}

#[test]
fn an_invalid_one_is_told_and_does_not_panic() {
    let invalid = [
        Distribution::Uniform { min: ms(2), max: ms(1) },
        Distribution::Exponential { mean: Duration::ZERO },
        Distribution::Mixture(vec![]),
        Distribution::Mixture(vec![(f64::NAN, Distribution::Constant(ms(1)))]),
        Distribution::Mixture(vec![(-1.0, Distribution::Constant(ms(1))), (1.0, Distribution::Constant(ms(2)))]),
    ];
    for distribution in invalid {
        assert!(distribution.validate().is_err());
        for p in [f64::NAN, f64::NEG_INFINITY, 0.0, 1e-300, 0.5, 1.0, 2.0] {
            distribution.quantile(p);
        }
        distribution.cdf(ms(1));
        distribution.mean();
        let _ = distribution.to_string();
    }
}
