//! CrashLoopBackOff: how long a container that has ended waits for its next start.
//!
//! Source: `pkg/kubelet/kuberuntime/kuberuntime_manager.go` doBackOff, `pkg/kubelet/kubelet.go` newCrashLoopBackOff,
//! `k8s.io/client-go/util/flowcontrol/backoff.go` Next and IsInBackOffSince (v1.36). The gate
//! ReduceDefaultCrashLoopBackOffDecay (1 s to 60 s) is alpha and off; a node's own `crashLoopBackOff.maxContainerRestartPeriod`
//! (on by default since 1.35) is 5 min unless set.

use crate::engine::{Duration, Time};

/// The first wait (`initialCrashLoopBackOff`).
const INITIAL: Duration = Duration::from_secs(10);
/// The longest (`MaxCrashLoopBackOff`).
pub(super) const MAX: Duration = Duration::from_secs(300);
/// A container that ended so long after its last start begins anew.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The back-off entry of one container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct BackOff {
    /// The wait after the next end; zero: there is no entry yet.
    delay: Duration,
    /// When the entry was last changed: at the last start.
    updated: Time,
    /// So much of the wait was over before the run began.
    head_start: Duration,
}

impl BackOff {
    /// That of a container which has been crashing for long, and has so much of its wait left at the start of the run.
    pub fn at_its_longest(left: Duration) -> Self {
        Self { delay: MAX, updated: Time::ZERO, head_start: MAX.saturating_sub(left) }
    }

    /// When a container that ended at `finished` may be started; not before that.
    pub fn over_at(self, finished: Time) -> Time {
        let forgotten = finished.since(self.updated) > FORGOTTEN_AFTER;
        if forgotten { finished } else { finished + self.delay.saturating_sub(self.head_start) }
    }

    /// The container, which ended at `finished`, is started at `now`.
    pub fn started(&mut self, finished: Time, now: Time) {
        let anew = self.delay.is_zero() || finished.since(self.updated) > FORGOTTEN_AFTER;
        let delay = if anew { INITIAL } else { self.delay.mul(2).min(MAX) };
        *self = Self { delay, updated: now, head_start: Duration::ZERO };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// flowcontrol.Backoff: (seconds that each life lasts, seconds of wait before each start that follows).
    #[test]
    fn waits_double_up_to_five_minutes_and_are_forgotten_after_ten() {
        for (lives, waits) in [
            // backoff.go Next: no entry at the first end, so the first restart is immediate
            (&[1, 1, 1, 1, 1, 1, 1, 1][..], &[0, 10, 20, 40, 80, 160, 300, 300][..]),
            // hasExpired compares with more than 600 s: at 600 the entry still counts
            (&[1, 1, 600, 1], &[0, 10, 20, 40]),
            (&[1, 1, 601, 1], &[0, 10, 0, 10]),
            (&[601, 601, 601], &[0, 0, 0]),
            (&[300, 300, 300], &[0, 10, 20]),
        ] {
            let (mut back_off, mut now) = (BackOff::default(), Time::ZERO);
            for (life, wait) in lives.iter().zip(waits) {
                let finished = now + Duration::from_secs(*life);
                let over = back_off.over_at(finished);
                assert_eq!(over.since(finished), Duration::from_secs(*wait), "{lives:?}");
                back_off.started(finished, over);
                now = over;
            }
        }
    }

    #[test]
    fn an_old_crash_loop_has_the_longest_wait() {
        let mut back_off = BackOff::at_its_longest(Duration::from_secs(40));
        assert_eq!(back_off.over_at(Time::ZERO), Time::from_secs(40));
        back_off.started(Time::ZERO, Time::from_secs(40));
        assert_eq!(back_off.over_at(Time::from_secs(45)), Time::from_secs(345));
    }
}
