//! How `kubectl drain` waits for pods to go: it looks at once, then every second.
//!
//! Source: `k8s.io/kubectl/pkg/drain/drain.go` waitForDelete; `k8s.io/apimachinery/pkg/util/wait/loop.go`
//! loopConditionUntilContext and `timer.go` (v1.36). Before v1.32: `wait/poll.go` PollImmediate (v1.31).

use crate::api::Version;
use crate::engine::{Duration, Time};

/// The time between two rounds.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The polling for one pod, or for several in common. In a round the pods that are left are looked at one after the other.
#[derive(Clone, Debug)]
pub struct Wait {
    /// The pods of this round.
    round: Vec<u32>,
    /// How many of them have been looked at.
    looked_at: usize,
    /// Those that are still there.
    left: Vec<u32>,
    /// When the ticker was started; `None`: it starts after the first round.
    ticking_since: Option<Time>,
    /// Ticks that have been used or overtaken.
    ticks: u64,
    limit: Limit,
    last_round: bool,
}

/// When it ends at the latest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// At this very time, or when the round that is under way then is over.
    At(Time),
    /// With the first round that ends at this time or later.
    CheckedAfterRounds(Time),
    /// So long after the first round, with one last round.
    OneLastRound(Duration),
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Look at this pod.
    Look(u32),
    /// Nothing until this time.
    Sleep(Time),
    /// All pods are gone.
    Done,
    /// The limit has been reached.
    Expired,
}

impl Limit {
    /// The limit of the wait for an evicted pod: the deadline of its node.
    #[must_use]
    pub const fn of_eviction(deadline: Time, version: Version) -> Self {
        if version.drain_wait_ends_at_deadline() { Self::At(deadline) } else { Self::CheckedAfterRounds(deadline) }
    }

    /// The limit of the common wait for deleted pods, which begins at `now`.
    #[must_use]
    pub fn of_deletion(timeout: Duration, now: Time, version: Version) -> Self {
        if version.drain_wait_ends_at_deadline() { Self::At(now + timeout) } else { Self::OneLastRound(timeout) }
    }

    /// The error that an expired wait returns. `timeout` is the one that was asked for.
    #[must_use]
    pub fn error(self, timeout: Duration) -> String {
        match self {
            Self::At(_) => "context deadline exceeded".to_string(),
            Self::CheckedAfterRounds(_) => super::messages::global_timeout(timeout),
            Self::OneLastRound(_) => "timed out waiting for the condition".to_string(),
        }
    }
}

impl Wait {
    /// Begins to wait for `pods` (at least one); the first round comes at once.
    #[must_use]
    pub fn new(pods: Vec<u32>, limit: Limit, now: Time) -> Self {
        let ticking_since = matches!(limit, Limit::At(_)).then_some(now);
        Self { round: pods, looked_at: 0, left: Vec::new(), ticking_since, ticks: 0, limit, last_round: false }
    }

    /// The pod that is being looked at.
    #[must_use]
    pub fn pod(&self) -> u32 {
        self.round[self.looked_at]
    }

    /// The limit.
    #[must_use]
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// The pod has been looked at, and is gone or not.
    pub fn looked(&mut self, gone: bool, now: Time) -> Next {
        if !gone {
            self.left.push(self.pod());
        }
        self.looked_at += 1;
        if self.looked_at < self.round.len() {
            return Next::Look(self.pod());
        }
        self.round = std::mem::take(&mut self.left);
        self.looked_at = 0;
        if self.round.is_empty() {
            return Next::Done;
        }
        self.ticking_since.get_or_insert(now);
        match self.limit {
            Limit::At(deadline) | Limit::CheckedAfterRounds(deadline) if now >= deadline => Next::Expired,
            Limit::OneLastRound(_) if self.last_round => Next::Expired,
            _ => Next::Sleep(self.wake_at(now)),
        }
    }

    /// A sleep is over.
    pub fn woken(&mut self, now: Time) -> Next {
        let since = self.ticking_since.unwrap_or(now);
        self.ticks = now.since(since).as_nanos() / POLL_INTERVAL.as_nanos();
        match self.limit {
            Limit::At(deadline) if now >= deadline => return Next::Expired,
            Limit::OneLastRound(timeout) => self.last_round = now >= since + timeout,
            _ => {}
        }
        Next::Look(self.pod())
    }

    /// The next tick, or the limit if that comes first. The ticker does not slide: a slow round moves no later one. A tick
    /// that comes during a round is kept (one of them) by the newer loop, and lost in the older.
    fn wake_at(&self, now: Time) -> Time {
        let since = self.ticking_since.unwrap_or(now);
        let kept = since + POLL_INTERVAL * (self.ticks + 1);
        let overtaken = now.since(since).as_nanos() / POLL_INTERVAL.as_nanos();
        match self.limit {
            Limit::At(deadline) => kept.max(now).min(deadline),
            Limit::CheckedAfterRounds(_) => since + POLL_INTERVAL * (overtaken + 1),
            Limit::OneLastRound(timeout) => (since + POLL_INTERVAL * (overtaken + 1)).min(since + timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_millis(300);

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// The times at which rounds begin if each takes `took`, and how and when the wait ends.
    fn rounds(limit: Limit, took: u64, gone_at: Time) -> (Vec<u64>, Next, Time) {
        let mut wait = Wait::new(vec![0], limit, START);
        let (mut begun, mut now) = (vec![START.as_nanos() / 1_000_000], START);
        loop {
            now += Duration::from_millis(took);
            match wait.looked(now >= gone_at, now) {
                Next::Sleep(until) => now = until,
                end => return (begun, end, now),
            }
            match wait.woken(now) {
                Next::Look(0) => begun.push(now.as_nanos() / 1_000_000),
                end => return (begun, end, now),
            }
        }
    }

    #[test]
    fn looks_at_once_and_every_second() {
        let never = Limit::At(Time::MAX);
        assert_eq!(rounds(never, 2, ms(0)), (vec![300], Next::Done, ms(302)));
        assert_eq!(rounds(never, 2, ms(2_500)), (vec![300, 1300, 2300, 3300], Next::Done, ms(3_302)));
        let older = Limit::CheckedAfterRounds(Time::MAX);
        assert_eq!(rounds(older, 2, ms(2_500)), (vec![300, 1302, 2302, 3302], Next::Done, ms(3_304)));
    }

    #[test]
    fn slow_rounds_do_not_shift_the_ticks() {
        let (begun, ..) = rounds(Limit::At(Time::MAX), 1_200, ms(6_000));
        assert_eq!(begun, [300, 1500, 2700, 3900, 5100], "the tick that came meanwhile is taken at once");
        let (begun, ..) = rounds(Limit::At(Time::MAX), 2_500, ms(9_000));
        assert_eq!(begun, [300, 2800, 5300, 7800], "of two such ticks one is lost");
        let (begun, ..) = rounds(Limit::CheckedAfterRounds(Time::MAX), 1_200, ms(6_000));
        assert_eq!(begun, [300, 2500, 4500, 6500], "the older loop drops it");
    }

    #[test]
    fn the_limit_by_version() {
        for (limit, begun, ended, error) in [
            (
                Limit::of_eviction(ms(2_700), Version::minor(36)),
                vec![300, 1300, 2300],
                2_700,
                "context deadline exceeded",
            ),
            (
                Limit::of_eviction(ms(2_700), Version::minor(31)),
                vec![300, 1302, 2302, 3302],
                3_304,
                "global timeout reached: 2s",
            ),
            (
                Limit::of_deletion(Duration::from_millis(2_400), START, Version::minor(36)),
                vec![300, 1300, 2300],
                2_700,
                "context deadline exceeded",
            ),
            (
                Limit::of_deletion(Duration::from_millis(2_400), START, Version::minor(31)),
                vec![300, 1302, 2302, 2702],
                2_704,
                "timed out waiting for the condition",
            ),
        ] {
            assert_eq!(rounds(limit, 2, Time::MAX), (begun, Next::Expired, ms(ended)), "{limit:?}");
            assert_eq!(limit.error(Duration::from_secs(2)), error);
        }
    }

    #[test]
    fn a_round_under_way_is_finished_before_the_deadline_counts() {
        assert_eq!(rounds(Limit::At(ms(400)), 500, Time::MAX), (vec![300], Next::Expired, ms(800)));
        assert_eq!(rounds(Limit::At(START), 2, ms(0)), (vec![300], Next::Done, ms(302)), "the first round is free");
    }

    #[test]
    fn several_pods_are_looked_at_in_turn_until_the_last_is_gone() {
        let mut wait = Wait::new(vec![4, 7], Limit::At(Time::MAX), START);
        assert_eq!((wait.pod(), wait.looked(false, ms(302))), (4, Next::Look(7)));
        assert_eq!(wait.looked(true, ms(304)), Next::Sleep(ms(1_300)));
        assert_eq!(wait.woken(ms(1_300)), Next::Look(4));
        assert_eq!(wait.looked(true, ms(1_302)), Next::Done);
    }
}
