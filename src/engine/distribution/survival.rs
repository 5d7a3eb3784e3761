//! How many spans are longer, and the integral of that: what tells how many requests are under way at a time.

use super::{Distribution, Duration, normal};

impl Distribution {
    /// The share of all spans that are longer than `x`, also where it is tiny.
    pub fn survival(&self, x: Duration) -> f64 {
        match self {
            Distribution::Exponential { mean } if !mean.is_zero() => {
                libm::exp(-(x.as_nanos() as f64 / mean.as_nanos() as f64))
            }
            Distribution::LogNormal(log_normal) if log_normal.sigma() > 0.0 && !x.is_zero() => {
                normal::cdf(-(libm::log(x.as_nanos() as f64) - log_normal.mu()) / log_normal.sigma())
            }
            Distribution::Mixture(parts) => weighted(parts, |part| part.survival(x)),
            _ => 1.0 - self.cdf(x),
        }
    }

    /// The integral of [`survival`](Self::survival) from one span to another, in nanoseconds: of requests that come at one
    /// a nanosecond, so many are expected to be under way that were sent between these two spans ago. Closed forms, no
    /// quadrature; zero if `to` is not above `from`.
    pub fn survival_integral(&self, from: Duration, to: Duration) -> f64 {
        if to <= from {
            return 0.0;
        }
        let (a, b) = (from.as_nanos() as f64, to.as_nanos() as f64);
        let integral = match self {
            Distribution::Constant(span) => constant(span.as_nanos() as f64, a, b),
            Distribution::Uniform { min, max } if min < max => {
                let (min, max) = (min.as_nanos() as f64, max.as_nanos() as f64);
                let (low, high) = (a.clamp(min, max), b.clamp(min, max));
                constant(min, a, b) + (high - low) * ((max - low) + (max - high)) / (2.0 * (max - min))
            }
            Distribution::Uniform { min, .. } => constant(min.as_nanos() as f64, a, b),
            Distribution::Exponential { mean } if mean.is_zero() => 0.0,
            Distribution::Exponential { mean } => {
                let mean = mean.as_nanos() as f64;
                mean * libm::exp(-a / mean) * -libm::expm1(-(b - a) / mean)
            }
            Distribution::LogNormal(log_normal) => {
                let (mu, sigma) = (log_normal.mu(), log_normal.sigma());
                if sigma == 0.0 {
                    constant(self.support_min().as_nanos() as f64, a, b)
                } else {
                    excess(mu, sigma, a) - excess(mu, sigma, b)
                }
            }
            Distribution::Histogram(histogram) => {
                // Linear between bounds, so that the trapezoid is exact.
                let mut sum = 0.0;
                let mut start = from;
                for (bound, _) in histogram.cumulative() {
                    let end = bound.min(to);
                    if end > start {
                        // Just below its last bound a histogram may jump: the share there is that of the bucket's end.
                        let at_end = if end == bound { 1.0 - histogram.share_below(end) } else { self.survival(end) };
                        sum += (end - start).as_nanos() as f64 * 0.5 * (self.survival(start) + at_end);
                        start = end;
                    }
                }
                sum
            }
            Distribution::Mixture(parts) => weighted(parts, |part| part.survival_integral(from, to)),
        };
        integral.clamp(0.0, b - a)
    }
}

/// The part of the stretch from `a` to `b` that lies before `at`.
fn constant(at: f64, a: f64, b: f64) -> f64 {
    (b.min(at) - a).max(0.0)
}

/// The integral of the survival function of a log-normal span from `x` on: its mean excess over `x`.
fn excess(mu: f64, sigma: f64, x: f64) -> f64 {
    let mean = libm::exp(mu + 0.5 * sigma * sigma);
    if x <= 0.0 {
        return mean;
    }
    let z = (libm::log(x) - mu) / sigma;
    mean * normal::cdf(sigma - z) - x * normal::cdf(-z)
}

fn weighted(parts: &[(f64, Distribution)], value: impl Fn(&Distribution) -> f64) -> f64 {
    let (sum, total) =
        parts.iter().fold((0.0, 0.0), |(sum, total), (weight, part)| (sum + weight * value(part), total + weight));
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Distribution> {
        let ms = Duration::from_millis;
        let exponential = Distribution::exponential(ms(5)).unwrap();
        vec![
            Distribution::constant(ms(20)),
            Distribution::uniform(ms(4), ms(9)).unwrap(),
            Distribution::uniform(ms(4), ms(4)).unwrap(),
            exponential.clone(),
            Distribution::log_normal(ms(20), ms(200)).unwrap(),
            Distribution::log_normal(ms(20), ms(20)).unwrap(),
            Distribution::histogram(&[(ms(5), 10), (ms(10), 60), (ms(50), 90)], 100).unwrap(),
            Distribution::mixture(vec![(9.0, Distribution::constant(ms(1))), (1.0, exponential)]).unwrap(),
        ]
    }

    /// Against the trapezoid rule over steps of 10 µs; a jump costs it half a step.
    #[test]
    fn the_integral_is_that_of_the_survival_function() {
        let step = Duration::from_micros(10);
        for distribution in all() {
            for (from, to) in [(0, 60), (0, 3), (3, 25), (7, 8), (25, 400), (30, 30), (31, 30)] {
                let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
                let steps = to.as_nanos().saturating_sub(from.as_nanos()) / step.as_nanos();
                let at = |i: u64| distribution.survival(from + step.mul(i));
                let sum: f64 = (0..steps).map(|i| 0.5 * (at(i) + at(i + 1)) * step.as_nanos() as f64).sum();
                let error = (distribution.survival_integral(from, to) - sum).abs();
                assert!(
                    error <= 0.51 * step.as_nanos() as f64,
                    "{distribution} from {from} to {to}: off by {error} ns"
                );
            }
        }
    }

    #[test]
    fn the_whole_integral_is_the_mean() {
        for distribution in all() {
            let mean = distribution.mean().as_nanos() as f64;
            let whole = distribution.survival_integral(Duration::ZERO, Duration::from_secs(100));
            assert!((whole / mean - 1.0).abs() < 1e-6, "{distribution}: {whole}, mean {mean}");
        }
    }

    #[test]
    fn what_survives_is_what_the_distribution_function_leaves() {
        for distribution in all() {
            for micros in [0, 1, 999, 1000, 1001, 5000, 20_000, 49_999, 50_000, 300_000] {
                let x = Duration::from_micros(micros);
                assert!((distribution.survival(x) + distribution.cdf(x) - 1.0).abs() < 1e-12, "{distribution} at {x}");
            }
        }
        // Where 1 − p has no digits left.
        let tail = Distribution::exponential(Duration::from_millis(1)).unwrap().survival(Duration::from_millis(100));
        assert!((tail / 3.720_075_976e-44 - 1.0).abs() < 1e-8, "{tail}");
    }
}
