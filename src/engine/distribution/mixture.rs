//! One of several distributions, chosen by weight: the arithmetic behind `Distribution::Mixture`.

use std::fmt;

use super::{Distribution, DistributionError, Duration, Percent, Probability};

type Part = (f64, Distribution);

pub(super) fn validate(parts: &[Part]) -> Result<(), DistributionError> {
    if parts.is_empty() {
        return Err(DistributionError::EmptyMixture);
    }
    for (weight, part) in parts {
        if !(weight.is_finite() && *weight > 0.0) {
            return Err(DistributionError::WeightNotPositive(*weight));
        }
        part.validate()?;
    }
    Ok(())
}

/// The shortest span of which the [`cdf`] reaches `p`, by bisection on whole nanoseconds.
///
/// Monotone in `p` whatever the rounding errors of `cdf`: the bisection starts from the same bounds for every `p`, so
/// the paths of two of them are one until a span satisfies the lower one only, which then ends at or below that span
/// and the higher one above it. The price is about 30 evaluations of `cdf`.
pub(super) fn quantile(parts: &[Part], p: Probability) -> Duration {
    let p = p.value();
    let mut low = extreme(parts, Probability::LEAST, Duration::min).as_nanos();
    let mut high = extreme(parts, Probability::GREATEST, Duration::max).as_nanos();
    while low < high {
        let middle = low + (high - low) / 2;
        if cdf(parts, Duration::from_nanos(middle)) >= p {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Duration::from_nanos(low)
}

pub(super) fn cdf(parts: &[Part], x: Duration) -> f64 {
    weighted(parts, |part| part.cdf(x)).min(1.0)
}

pub(super) fn mean(parts: &[Part]) -> Duration {
    Duration::from_nanos_f64(weighted(parts, |part| part.mean().as_nanos() as f64))
}

pub(super) fn support_min(parts: &[Part]) -> Duration {
    parts.iter().map(|(_, part)| part.support_min()).min().unwrap_or_default()
}

pub(super) fn support_max(parts: &[Part]) -> Option<Duration> {
    parts.iter().try_fold(Duration::ZERO, |max, (_, part)| Some(max.max(part.support_max()?)))
}

pub(super) fn fmt(parts: &[Part], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let total: f64 = parts.iter().map(|(weight, _)| weight).sum();
    for (i, (weight, part)) in parts.iter().enumerate() {
        let separator = if i == 0 { "" } else { " | " };
        match part {
            Distribution::Mixture(_) => write!(f, "{separator}{}% ({part})", Percent(weight / total))?,
            _ => write!(f, "{separator}{}% {part}", Percent(weight / total))?,
        }
    }
    Ok(())
}

/// The weighted mean of `value` over the parts, summed in their order.
fn weighted(parts: &[Part], value: impl Fn(&Distribution) -> f64) -> f64 {
    let (sum, total) =
        parts.iter().fold((0.0, 0.0), |(sum, total), (weight, part)| (sum + weight * value(part), total + weight));
    sum / total
}

/// The least or greatest of the parts' quantiles at `p`.
fn extreme(parts: &[Part], p: Probability, choose: fn(Duration, Duration) -> Duration) -> Duration {
    parts.iter().map(|(_, part)| part.quantile(p.value())).reduce(choose).unwrap_or_default()
}
