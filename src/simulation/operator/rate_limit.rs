//! The rate limit of client-go: a token bucket.

use crate::engine::{Duration, Time};

/// A token bucket in whole nanoseconds. Tokens are handed out in the order in which they are asked for, ahead of time if
/// need be: whoever asks an empty bucket is told how long to wait for its token.
///
/// Source: `k8s.io/client-go/util/flowcontrol/throttle.go` NewTokenBucketRateLimiter, which wraps `golang.org/x/time/rate`
/// (v1.36).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenBucket {
    /// The time for one token to come.
    interval: Duration,
    /// How many there are at most.
    burst: u64,
    /// When the bucket is full again if nobody takes any more.
    full_at: Time,
}

impl TokenBucket {
    /// A full bucket with one more token every `interval`, up to `burst`.
    #[must_use]
    pub const fn new(interval: Duration, burst: u64) -> Self {
        Self { interval, burst, full_at: Time::ZERO }
    }

    /// The bucket of a client whose configuration names no limit: 5 a second, 10 at once.
    ///
    /// kubectl raises the limit for discovery only, so that each API group's client of a process has one of these
    /// (`k8s.io/client-go/rest/config.go` DefaultQPS, DefaultBurst; `k8s.io/client-go/kubernetes/clientset.go`
    /// NewForConfigAndClient; `k8s.io/kubectl/pkg/cmd/cmd.go`; v1.36).
    #[must_use]
    pub const fn client_default() -> Self {
        Self::new(Duration::from_millis(200), 10)
    }

    /// Takes a token at `now`: how long to wait for it.
    pub fn take(&mut self, now: Time) -> Duration {
        self.full_at = self.full_at.max(now) + self.interval;
        self.full_at.since(now) - self.interval * self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(bucket: &mut TokenBucket, now: Time, takers: usize) -> Vec<u64> {
        (0..takers).map(|_| bucket.take(now).as_millis()).collect()
    }

    #[test]
    fn ten_at_once_then_five_a_second() {
        let mut bucket = TokenBucket::client_default();
        assert_eq!(waits(&mut bucket, Time::from_secs(9), 13), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 400, 600]);
    }

    #[test]
    fn tokens_come_back_one_by_one_and_not_above_the_burst() {
        let mut bucket = TokenBucket::client_default();
        waits(&mut bucket, Time::ZERO, 12);
        assert_eq!(
            bucket.take(Time::from_nanos(599_999_999)),
            Duration::from_nanos(1),
            "the third token after the burst"
        );
        assert_eq!(bucket.take(Time::from_millis(700)), Duration::from_millis(100));
        assert_eq!(waits(&mut bucket, Time::from_secs(60), 11), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200]);
    }
}
