//! Why numbers do not make a distribution.

use super::{Duration, Percent};

/// Why numbers do not make a [`Distribution`](super::Distribution).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DistributionError {
    /// A uniform distribution from a greater to a smaller number.
    #[error("the minimum, {min}, is above the maximum, {max}")]
    MinAboveMax {
        /// The alleged minimum.
        min: Duration,
        /// The alleged maximum.
        max: Duration,
    },
    /// An exponential distribution with the mean zero.
    #[error("the mean must be above zero")]
    MeanIsZero,
    /// A percentile that is not one; carries the probability (0.5 for the median).
    #[error("p{} is no percentile: expected a number above 0 and below 100", Percent(*.0))]
    NoPercentile(f64),
    /// One percentile given twice; carries the probability.
    #[error("p{} is given twice: expected two different percentiles", Percent(*.0))]
    SamePercentile(f64),
    /// A log-normal distribution with a percentile of zero; carries the probability.
    #[error("p{} must be above zero in a log-normal distribution", Percent(*.0))]
    PercentileIsZero(f64),
    /// A higher percentile with a shorter span.
    #[error("p{} = {upper} is below p{} = {lower}", Percent(*p_upper), Percent(*p_lower))]
    PercentilesDecrease {
        /// The lower probability.
        p_lower: f64,
        /// Its span.
        lower: Duration,
        /// The higher probability.
        p_upper: f64,
        /// Its span, which is shorter.
        upper: Duration,
    },
    /// A histogram without a finite bucket.
    #[error("the histogram has no bucket with a finite upper bound")]
    NoBuckets,
    /// A histogram in which nothing was counted.
    #[error("the histogram counts no observations")]
    NoObservations,
    /// A histogram of which a bucket does not end above the one before it.
    #[error("the bucket bounds must increase: {bound} follows {previous}")]
    BoundsNotIncreasing {
        /// The bound before.
        previous: Duration,
        /// The bound that is not above it.
        bound: Duration,
    },
    /// A histogram of which a cumulative count is below the one before it.
    #[error("the counts are cumulative and must not decrease: {count} up to {bound} follows {previous}")]
    CountsDecrease {
        /// The count before.
        previous: u64,
        /// The upper bound of the bucket.
        bound: Duration,
        /// Its count.
        count: u64,
    },
    /// A histogram that counts more in its buckets than in total.
    #[error("the total count, {total}, is below the count of the last bucket, {count}")]
    TotalTooSmall {
        /// The count of all observations.
        total: u64,
        /// The cumulative count of the last finite bucket.
        count: u64,
    },
    /// A mixture of nothing.
    #[error("the mixture has no parts")]
    EmptyMixture,
    /// A mixture with a weight that is zero, negative, infinite or not a number.
    #[error("the weight {0} is not a finite number above zero")]
    WeightNotPositive(f64),
}
