//! The log-normal distribution, given by two percentiles.

use std::fmt;

use super::super::normal;
use super::{DistributionError, Duration, Percent, Probability, step};

/// A distribution of which the logarithm is normal, through two given percentiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogNormal {
    /// The two points (p, x) it was made from, the lower p first.
    points: [(f64, Duration); 2],
    /// Mean of the natural logarithm of the span in nanoseconds.
    mu: f64,
    /// Standard deviation of the same; zero if both percentiles are equal.
    sigma: f64,
}

impl LogNormal {
    /// The log-normal distribution through two points (p, x), in either order: a share p of all spans is at most x.
    /// If both x are equal, every span is.
    ///
    /// # Errors
    ///
    /// If a p is not between 0 and 1 (both excluded) or both are the same, if an x is zero, or if the x of the higher p
    /// is the shorter one.
    pub fn new(a: (f64, Duration), b: (f64, Duration)) -> Result<LogNormal, DistributionError> {
        for (p, x) in [a, b] {
            if !(p > 0.0 && p < 1.0) {
                return Err(DistributionError::NoPercentile(p));
            }
            if x.is_zero() {
                return Err(DistributionError::PercentileIsZero(p));
            }
        }
        let points @ [(p_lower, lower), (p_upper, upper)] = if a.0 <= b.0 { [a, b] } else { [b, a] };
        let (z_lower, z_upper) = (normal::quantile(p_lower), normal::quantile(p_upper));
        if z_lower >= z_upper {
            return Err(DistributionError::SamePercentile(p_lower));
        }
        if lower > upper {
            return Err(DistributionError::PercentilesDecrease { p_lower, lower, p_upper, upper });
        }
        let (log_lower, log_upper) = (libm::log(lower.as_nanos() as f64), libm::log(upper.as_nanos() as f64));
        let sigma = (log_upper - log_lower) / (z_upper - z_lower);
        Ok(LogNormal { points, mu: log_lower - sigma * z_lower, sigma })
    }

    /// Mean of the natural logarithm of the span in nanoseconds.
    pub const fn mu(&self) -> f64 {
        self.mu
    }

    /// Standard deviation of the natural logarithm of the span.
    pub const fn sigma(&self) -> f64 {
        self.sigma
    }

    pub(super) fn quantile(&self, p: Probability) -> Duration {
        match self.constant() {
            Some(span) => span,
            None => Duration::from_nanos_f64(libm::exp(self.mu + self.sigma * normal::quantile(p.value()))),
        }
    }

    pub(super) fn cdf(&self, x: Duration) -> f64 {
        match self.constant() {
            Some(span) => step(x, span),
            None if x.is_zero() => 0.0,
            None => normal::cdf((libm::log(x.as_nanos() as f64) - self.mu) / self.sigma),
        }
    }

    pub(super) fn mean(&self) -> Duration {
        match self.constant() {
            Some(span) => span,
            None => Duration::from_nanos_f64(libm::exp(self.mu + 0.5 * self.sigma * self.sigma)),
        }
    }

    pub(super) fn support_min(&self) -> Duration {
        self.constant().unwrap_or(Duration::ZERO)
    }

    pub(super) fn support_max(&self) -> Option<Duration> {
        self.constant()
    }

    /// The one span there is, if both percentiles are equal.
    fn constant(&self) -> Option<Duration> {
        (self.sigma == 0.0).then_some(self.points[0].1)
    }
}

impl fmt::Display for LogNormal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [(p_lower, lower), (p_upper, upper)] = self.points;
        write!(f, "p{}={lower} p{}={upper}", Percent(p_lower), Percent(p_upper))
    }
}
