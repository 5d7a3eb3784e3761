//! Distributions of spans of time: how long a request, a start or a hop takes.
//!
//! Sampling is by inversion, so a sample is a *monotone* function of one uniform number: a request that is unlucky
//! under a fast distribution is as unlucky under a slow one, which keeps two policies comparable under common random
//! numbers.
//!
//! Results are whole nanoseconds: the real quantile rounded to the nearest one (halves up), or up for a mixture. All
//! of it is integer arithmetic, exactly rounded float operations and [`libm`], so the same on every platform.

mod error;
mod histogram;
mod log_normal;
mod mixture;
mod sampler;
mod survival;
#[cfg(test)]
mod tests;

use std::fmt;

use super::normal;
use super::time::Duration;
pub use error::DistributionError;
pub use histogram::Histogram;
pub use log_normal::LogNormal;
pub use sampler::Sampler;

/// A distribution of spans of time.
///
/// The constructors refuse what makes no sense. A variant that is built directly is not checked; ask
/// [`validate`](Distribution::validate). One that fails there gives meaningless spans, but never panics.
///
/// Where millions of samples are drawn from one distribution, put it into a [`Sampler`].
///
/// ```
/// use drainsim::engine::{Distribution, Duration};
///
/// let latency = Distribution::log_normal(Duration::from_millis(20), Duration::from_millis(200))?;
/// assert_eq!(latency.quantile(0.99), Duration::from_millis(200));
/// assert_eq!(latency.to_string(), "p50=20ms p99=200ms");
/// # Ok::<(), drainsim::engine::DistributionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Constant(Duration),
    /// Anything from `min` to `max`, equally likely.
    Uniform {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// Without memory: times between independent events.
    Exponential {
        /// The mean; above zero.
        mean: Duration,
    },
    /// The usual shape of a latency: its logarithm is normally distributed.
    LogNormal(LogNormal),
    /// Measured: a Prometheus histogram.
    Histogram(Histogram),
    /// One of several distributions, each with a weight above zero; the weights need not add up to one.
    Mixture(Vec<(f64, Distribution)>),
}

impl Distribution {
    /// Always `span`.
    pub const fn constant(span: Duration) -> Distribution {
        Distribution::Constant(span)
    }

    /// Anything from `min` to `max`, equally likely.
    ///
    /// # Errors
    ///
    /// If `min` is above `max`.
    pub fn uniform(min: Duration, max: Duration) -> Result<Distribution, DistributionError> {
        Distribution::Uniform { min, max }.validated()
    }

    /// Exponential with the given mean.
    ///
    /// # Errors
    ///
    /// If the mean is zero.
    pub fn exponential(mean: Duration) -> Result<Distribution, DistributionError> {
        Distribution::Exponential { mean }.validated()
    }

    /// Log-normal with the given median and 99th percentile.
    ///
    /// # Errors
    ///
    /// If the median is zero or above the 99th percentile.
    pub fn log_normal(p50: Duration, p99: Duration) -> Result<Distribution, DistributionError> {
        Distribution::log_normal_by((0.5, p50), (0.99, p99))
    }

    /// Log-normal through two points (p, x), in either order: a share p, between 0 and 1, of all spans is at most x.
    ///
    /// # Errors
    ///
    /// As [`LogNormal::new`].
    pub fn log_normal_by(a: (f64, Duration), b: (f64, Duration)) -> Result<Distribution, DistributionError> {
        LogNormal::new(a, b).map(Distribution::LogNormal)
    }

    /// A measured distribution: per bucket its upper bound and the count of all observations up to it, and the count of
    /// all observations.
    ///
    /// # Errors
    ///
    /// As [`Histogram::from_cumulative`].
    pub fn histogram(buckets: &[(Duration, u64)], total: u64) -> Result<Distribution, DistributionError> {
        Histogram::from_cumulative(buckets, total).map(Distribution::Histogram)
    }

    /// One of the `parts`, each chosen in proportion to its weight.
    ///
    /// # Errors
    ///
    /// If there are none, if a weight is not a finite number above zero, or if a part is invalid.
    pub fn mixture(parts: Vec<(f64, Distribution)>) -> Result<Distribution, DistributionError> {
        Distribution::Mixture(parts).validated()
    }

    /// Checks a distribution that was not built by a constructor.
    ///
    /// # Errors
    ///
    /// What is wrong, the first thing if there are several.
    pub fn validate(&self) -> Result<(), DistributionError> {
        match self {
            Distribution::Constant(_) | Distribution::LogNormal(_) | Distribution::Histogram(_) => Ok(()),
            &Distribution::Uniform { min, max } if min > max => Err(DistributionError::MinAboveMax { min, max }),
            Distribution::Uniform { .. } => Ok(()),
            Distribution::Exponential { mean } if mean.is_zero() => Err(DistributionError::MeanIsZero),
            Distribution::Exponential { .. } => Ok(()),
            Distribution::Mixture(parts) => mixture::validate(parts),
        }
    }

    /// The span for a uniform number in (0, 1), such as [`Random::unit`](super::Random::unit) gives: its quantile.
    #[inline]
    pub fn sample(&self, unit: f64) -> Duration {
        self.quantile(unit)
    }

    /// The span that a share `p` of all spans does not exceed. Never falls when `p` grows.
    ///
    /// `p` is read to 53 binary digits, the resolution of [`Random::unit`](super::Random::unit): nearer neighbours give
    /// the same span, and between two that differ the rounding errors of the functions used are too small to swap their
    /// order. At 0 or below (or NaN) this is [`support_min`](Distribution::support_min), at 1 or above
    /// [`support_max`](Distribution::support_max), with [`Duration::MAX`] for "unbounded".
    pub fn quantile(&self, p: f64) -> Duration {
        if p >= 1.0 {
            return self.support_max().unwrap_or(Duration::MAX);
        }
        if p.is_nan() || p <= 0.0 {
            return self.support_min();
        }
        let p = Probability::nearest(p);
        match self {
            Distribution::Constant(span) => *span,
            Distribution::Uniform { min, max } => *min + p.of(*max - *min),
            Distribution::Exponential { mean } => {
                Duration::from_nanos_f64(-(mean.as_nanos() as f64) * libm::log(1.0 - p.value()))
            }
            Distribution::LogNormal(log_normal) => log_normal.quantile(p),
            Distribution::Histogram(histogram) => histogram.quantile(p),
            Distribution::Mixture(parts) => mixture::quantile(parts, p),
        }
    }

    /// The share of all spans that are at most `x`, from 0 to 1: the inverse of [`quantile`](Distribution::quantile),
    /// up to a nanosecond of rounding. Of the distribution before rounding, so continuous between its jumps.
    pub fn cdf(&self, x: Duration) -> f64 {
        match self {
            Distribution::Constant(span) => step(x, *span),
            Distribution::Uniform { min, max } if min < max => {
                ((x - *min).as_nanos() as f64 / (*max - *min).as_nanos() as f64).min(1.0)
            }
            Distribution::Uniform { min, .. } => step(x, *min),
            Distribution::Exponential { mean } if mean.is_zero() => 1.0,
            Distribution::Exponential { mean } => -libm::expm1(-(x.as_nanos() as f64 / mean.as_nanos() as f64)),
            Distribution::LogNormal(log_normal) => log_normal.cdf(x),
            Distribution::Histogram(histogram) => histogram.cdf(x),
            Distribution::Mixture(parts) => mixture::cdf(parts, x),
        }
    }

    /// The mean, rounded to the nearest nanosecond; saturates at [`Duration::MAX`].
    pub fn mean(&self) -> Duration {
        match self {
            Distribution::Constant(span) => *span,
            Distribution::Uniform { min, max } => *min + Probability::HALF.of(*max - *min),
            Distribution::Exponential { mean } => *mean,
            Distribution::LogNormal(log_normal) => log_normal.mean(),
            Distribution::Histogram(histogram) => histogram.mean(),
            Distribution::Mixture(parts) => mixture::mean(parts),
        }
    }

    /// The shortest span that is possible.
    pub fn support_min(&self) -> Duration {
        match self {
            Distribution::Constant(span) => *span,
            Distribution::Uniform { min, .. } => *min,
            Distribution::Exponential { .. } => Duration::ZERO,
            Distribution::LogNormal(log_normal) => log_normal.support_min(),
            Distribution::Histogram(histogram) => histogram.support_min(),
            Distribution::Mixture(parts) => mixture::support_min(parts),
        }
    }

    /// The longest span that is possible; `None` if there is no bound.
    pub fn support_max(&self) -> Option<Duration> {
        match self {
            Distribution::Constant(span) => Some(*span),
            Distribution::Uniform { max, .. } => Some(*max),
            Distribution::Exponential { .. } => None,
            Distribution::LogNormal(log_normal) => log_normal.support_max(),
            Distribution::Histogram(histogram) => Some(histogram.support_max()),
            Distribution::Mixture(parts) => mixture::support_max(parts),
        }
    }

    fn validated(self) -> Result<Distribution, DistributionError> {
        self.validate().map(|()| self)
    }
}

impl fmt::Display for Distribution {
    /// Compact, for people: `2ms`, `0s..1s`, `mean 20ms`, `p50=20ms p99=200ms`, `histogram p50=12.3ms p99=87.1ms`,
    /// `90% 2ms | 10% p50=20ms p99=200ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Constant(span) => write!(f, "{span}"),
            Distribution::Uniform { min, max } => write!(f, "{min}..{max}"),
            Distribution::Exponential { mean } => write!(f, "mean {mean}"),
            Distribution::LogNormal(log_normal) => write!(f, "{log_normal}"),
            Distribution::Histogram(histogram) => write!(f, "{histogram}"),
            Distribution::Mixture(parts) => mixture::fmt(parts, f),
        }
    }
}

/// A probability strictly between 0 and 1: an odd number of 2⁻⁵³. These are the values of
/// [`Random::unit`](super::Random::unit); 1 − p is exact for every one of them.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Probability(u64);

impl Probability {
    const DIGITS: u32 = 53;
    const LEAST: Probability = Probability(1);
    const HALF: Probability = Probability(1 << (Self::DIGITS - 1));
    const GREATEST: Probability = Probability((1 << Self::DIGITS) - 1);

    /// The one at or next to `p`, which is in (0, 1).
    fn nearest(p: f64) -> Probability {
        Probability((p * (1u64 << Self::DIGITS) as f64) as u64 | 1)
    }

    fn value(self) -> f64 {
        self.0 as f64 / (1u64 << Self::DIGITS) as f64
    }

    /// This share of `span`, in integers: exact up to the final rounding to the nearest nanosecond.
    fn of(self, span: Duration) -> Duration {
        let half = 1 << (Self::DIGITS - 1);
        // Below 2^64, since the share is below 1: the cast loses nothing.
        Duration::from_nanos(((u128::from(self.0) * u128::from(span.as_nanos()) + half) >> Self::DIGITS) as u64)
    }
}

/// The distribution function of a variable that is always `at`.
fn step(x: Duration, at: Duration) -> f64 {
    if x >= at { 1.0 } else { 0.0 }
}

/// A probability as a percentage without float dust: `99.9`.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.0 * 100.0 * 1e6).round() / 1e6)
    }
}

/// A span to three significant digits: `12.3ms`.
struct Rough(Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let unit = 10u64.pow(nanos.checked_ilog10().unwrap_or(0).saturating_sub(2));
        write!(f, "{}", Duration::from_nanos((nanos / unit).saturating_mul(unit)))
    }
}
