//! A measured distribution: the cumulative buckets of a Prometheus histogram.

use std::fmt;

use super::{DistributionError, Duration, Probability, Rough};

/// Cumulative buckets, read as Prometheus' `histogram_quantile` reads them (`promql/quantile.go`, `BucketQuantile`):
/// spans are spread evenly within a bucket, the first of which begins at zero, and those beyond the last finite bound
/// count as that bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// At least one; bounds ascend, counts do not descend.
    buckets: Vec<Bucket>,
    /// All observations, those beyond the last bound included.
    total: u64,
}

/// The spans from the bound of the bucket before up to `bound`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    bound: Duration,
    /// Observations up to `bound`.
    count: u64,
}

impl Histogram {
    /// Builds a histogram from finite upper bounds, each with the count of all observations up to it, and the count of
    /// all observations (the bucket `+Inf`).
    ///
    /// # Errors
    ///
    /// If there are no buckets or no observations, bounds do not increase, or counts decrease.
    pub fn from_cumulative(buckets: &[(Duration, u64)], total: u64) -> Result<Histogram, DistributionError> {
        for pair in buckets.windows(2) {
            let [(previous_bound, previous), (bound, count)] = [pair[0], pair[1]];
            if bound <= previous_bound {
                return Err(DistributionError::BoundsNotIncreasing { previous: previous_bound, bound });
            }
            if count < previous {
                return Err(DistributionError::CountsDecrease { previous, bound, count });
            }
        }
        let &(_, count) = buckets.last().ok_or(DistributionError::NoBuckets)?;
        if total < count {
            return Err(DistributionError::TotalTooSmall { total, count });
        }
        if total == 0 {
            return Err(DistributionError::NoObservations);
        }
        let buckets = buckets.iter().map(|&(bound, count)| Bucket { bound, count }).collect();
        Ok(Histogram { buckets, total })
    }

    /// Per bucket its upper bound and the count of all observations up to it, ascending.
    pub fn cumulative(&self) -> impl ExactSizeIterator<Item = (Duration, u64)> + '_ {
        self.buckets.iter().map(|bucket| (bucket.bound, bucket.count))
    }

    /// The count of all observations, those beyond the last bound included.
    pub const fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn quantile(&self, p: Probability) -> Duration {
        // In units of 2^-53 observations, so that the choice of the bucket is exact.
        let rank = u128::from(p.0) * u128::from(self.total);
        let scaled = |count: u64| u128::from(count) << Probability::DIGITS;
        let at = self.buckets.partition_point(|bucket| scaled(bucket.count) < rank);
        let Some(bucket) = self.buckets.get(at) else {
            return self.last_bound();
        };
        let (start, before) = self.start(at);
        // Monotone: both conversions, the division, the product and the rounding are.
        let share = (rank - scaled(before)) as f64 / scaled(bucket.count - before) as f64;
        let width = bucket.bound - start;
        start + Duration::from_nanos_f64(share * width.as_nanos() as f64).min(width)
    }

    pub(super) fn cdf(&self, x: Duration) -> f64 {
        let at = self.buckets.partition_point(|bucket| bucket.bound <= x);
        let Some(bucket) = self.buckets.get(at) else {
            return 1.0;
        };
        let (start, before) = self.start(at);
        let share = (x - start).as_nanos() as f64 / (bucket.bound - start).as_nanos() as f64;
        ((before as f64 + share * (bucket.count - before) as f64) / self.total as f64).min(1.0)
    }

    /// The share of all spans below a bound of the histogram, without those that count as the last one.
    pub(super) fn share_below(&self, bound: Duration) -> f64 {
        let at = self.buckets.partition_point(|bucket| bucket.bound <= bound);
        at.checked_sub(1).map_or(0.0, |at| self.buckets[at].count as f64 / self.total as f64)
    }

    pub(super) fn mean(&self) -> Duration {
        let overflow = self.last_bound().as_nanos() as f64 * (self.total - self.finite_count()) as f64;
        let sum = (0..self.buckets.len()).fold(overflow, |sum, at| {
            let (start, before) = self.start(at);
            let middle = 0.5 * (start.as_nanos() as f64 + self.buckets[at].bound.as_nanos() as f64);
            sum + middle * (self.buckets[at].count - before) as f64
        });
        Duration::from_nanos_f64(sum / self.total as f64)
    }

    /// The lower bound of the first bucket that counts anything.
    pub(super) fn support_min(&self) -> Duration {
        match self.buckets.iter().position(|bucket| bucket.count > 0) {
            Some(at) => self.start(at).0,
            None => self.last_bound(),
        }
    }

    /// The upper bound of the last bucket that counts anything.
    pub(super) fn support_max(&self) -> Duration {
        if self.total > self.finite_count() {
            return self.last_bound();
        }
        let at = self.buckets.partition_point(|bucket| bucket.count < self.total);
        self.buckets[at].bound
    }

    /// Where the bucket at `at` begins, and the count of observations before it.
    fn start(&self, at: usize) -> (Duration, u64) {
        match at.checked_sub(1) {
            Some(previous) => (self.buckets[previous].bound, self.buckets[previous].count),
            None => (Duration::ZERO, 0),
        }
    }

    fn last_bound(&self) -> Duration {
        self.buckets.last().map_or(Duration::ZERO, |bucket| bucket.bound)
    }

    fn finite_count(&self) -> u64 {
        self.buckets.last().map_or(0, |bucket| bucket.count)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p50 = self.quantile(Probability::nearest(0.5));
        let p99 = self.quantile(Probability::nearest(0.99));
        write!(f, "histogram p50={} p99={}", Rough(p50), Rough(p99))
    }
}
