//! The client-side rate limit of Kubernetes' controllers and scheduler.
//!
//! Source: `k8s.io/client-go/util/flowcontrol/throttle.go` NewTokenBucketRateLimiter (v1.36).

use crate::engine::{Duration, Time};

/// A token bucket: `burst` requests at once, then one each `1 / qps`. A request that finds no token waits for its own, in
/// the order of arrival.
///
/// Kept as the instant at which the bucket is full again (a "virtual scheduling" counter), so that it is exact in whole
/// nanoseconds.
#[derive(Clone, Debug)]
pub struct RateLimit {
    interval: Duration,
    burst: u32,
    full_at: Time,
}

impl RateLimit {
    /// What each controller of kube-controller-manager has for itself: 20 requests a second, bursts of 30.
    ///
    /// Source: `k8s.io/component-base/config/v1alpha1/defaults.go` is overridden by
    /// `pkg/controller/apis/config/v1alpha1/defaults.go` (v1.36); one client per controller:
    /// `k8s.io/controller-manager/pkg/clientbuilder/client_builder.go`.
    #[must_use]
    pub const fn controller() -> Self {
        Self::new(20, 30)
    }

    /// The scheduler's: 50 requests a second, bursts of 100 (`pkg/scheduler/apis/config/v1/defaults.go`, v1.36).
    #[must_use]
    pub const fn scheduler() -> Self {
        Self::new(50, 100)
    }

    /// A full bucket of `burst` tokens that gets `qps` tokens a second; neither may be zero.
    #[must_use]
    pub const fn new(qps: u32, burst: u32) -> Self {
        assert!(qps > 0 && burst > 0, "a client must be able to send something");
        Self { interval: Duration::from_nanos(1_000_000_000 / qps as u64), burst, full_at: Time::ZERO }
    }

    /// Takes a token for a request made at `now`: how long it has to wait.
    pub fn reserve(&mut self, now: Time) -> Duration {
        let full_at = self.full_at.max(now);
        let others = self.interval.mul(u64::from(self.burst - 1));
        self.full_at = full_at + self.interval;
        full_at.since(now).saturating_sub(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_is_spaced() {
        let mut limit = RateLimit::new(20, 3);
        let waits: Vec<_> = (0..6).map(|_| limit.reserve(Time::ZERO).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 50, 100, 150]);
        assert_eq!(limit.reserve(Time::from_millis(1000)).as_millis(), 0, "the bucket has filled up again");
        let waits: Vec<_> = (0..3).map(|_| limit.reserve(Time::from_millis(1000)).as_millis()).collect();
        assert_eq!(waits, [0, 0, 50], "never more than the burst");
    }
}
