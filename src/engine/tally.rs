//! Counts of durations, for quantiles of many of them in little room.

use std::fmt;

use super::time::Duration;

/// Durations, counted in buckets whose width is at most 1/64 of their lower end; below 64 ns exact.
///
/// Any number of durations takes at most 30 KiB, and less if they are all of about the same length. A quantile is the upper
/// end of the bucket that the exact one is in: too long by at most 1.6 %.
///
/// ```
/// use drainsim::engine::{Duration, Tally};
///
/// let mut tally = Tally::default();
/// for ms in 1..=1000 {
///     tally.note(Duration::from_millis(ms));
/// }
/// assert_eq!(tally.count(), 1000);
/// let p99 = tally.quantile(0.99).unwrap();
/// assert!(p99 >= Duration::from_millis(990) && p99 <= Duration::from_micros(1_005_500));
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tally {
    counts: Vec<u64>,
    count: u64,
    max: Duration,
}

const SUB_BITS: u32 = 6;
const SUB: u64 = 1 << SUB_BITS;

impl Tally {
    /// One more.
    #[inline]
    pub fn note(&mut self, duration: Duration) {
        let bucket = bucket_of(duration.as_nanos());
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(duration);
    }

    /// All those of another one.
    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// How many.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The longest, exactly; zero if there is none.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// The shortest length that a share of at least `p` (0 to 1) does not exceed, but for the rounding; `None` if there is
    /// none at all.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = ((p * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(last_of(bucket)).min(self.max))
    }
}

/// The bucket of a number: the first 64 are one wide, and from there on each power of two has 64.
fn bucket_of(nanos: u64) -> usize {
    let bucket = if nanos < SUB {
        nanos
    } else {
        let shift = nanos.ilog2() - SUB_BITS;
        u64::from(shift + 1) * SUB + ((nanos >> shift) - SUB)
    };
    bucket as usize
}

/// The largest number in a bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB {
        return bucket;
    }
    let (shift, sub) = (bucket / SUB - 1, bucket % SUB);
    ((SUB + sub) << shift) + ((1 << shift) - 1)
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("count", &self.count).field("p50", &self.quantile(0.5)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_what_it_says(nanos in any::<u64>()) {
            let last = last_of(bucket_of(nanos));
            prop_assert!(last >= nanos && (last - nanos) as f64 <= nanos as f64 / 64.0);
            prop_assert_eq!(bucket_of(last), bucket_of(nanos));
        }

        #[test]
        fn quantiles_are_those_of_the_sorted_list(mut nanos in prop::collection::vec(0u64..10_000_000, 1..200), p in 0.0f64..=1.0) {
            let mut tally = Tally::default();
            let (some, others) = nanos.split_at(nanos.len() / 2);
            some.iter().for_each(|n| tally.note(Duration::from_nanos(*n)));
            let mut rest = Tally::default();
            others.iter().for_each(|n| rest.note(Duration::from_nanos(*n)));
            tally.add(&rest);
            nanos.sort_unstable();
            let rank = ((p * nanos.len() as f64).ceil() as usize).clamp(1, nanos.len());
            let (exact, told) = (nanos[rank - 1], tally.quantile(p).unwrap().as_nanos());
            prop_assert!(told >= exact && (told - exact) as f64 <= exact as f64 / 64.0, "{told} for {exact}");
        }
    }
}
