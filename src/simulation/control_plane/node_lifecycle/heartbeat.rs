//! When a node's kubelet was last heard: the renewals of its lease, and the reports of its status.
//!
//! Nobody looks at heartbeats but the node monitor, and as long as all nodes are well they change nothing. So they are not
//! events: [`Heartbeat::newest`] works out what has arrived when somebody asks. The answer depends on the node's draws and on
//! when its kubelet could be heard, not on who asked when.
//!
//! Source: `pkg/kubelet/kubelet.go` Run and nodeLeaseRenewIntervalFraction, `pkg/kubelet/kubelet_node_status.go`
//! tryUpdateNodeStatus, `k8s.io/component-helpers/apimachinery/lease/controller.go` Run (v1.36).

use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::latency::Hop;

/// An instant that may lie before the start of the run, in nanoseconds after it: a kubelet that dies in the first second
/// was last heard before.
pub(super) type Instant = i64;

/// A time of the run as an [`Instant`].
pub(super) fn instant(time: Time) -> Instant {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// A span as nanoseconds.
pub(super) fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// A time of the run; the start for what lies before it.
pub(super) fn time(instant: Instant) -> Time {
    Time::from_nanos(u64::try_from(instant).unwrap_or(0))
}

/// The heartbeats of one kubelet, as they reach the controllers.
#[derive(Clone, Debug)]
pub(super) struct Heartbeat {
    lease: Beats,
    status: Beats,
    silent_from: Option<Instant>,
}

impl Heartbeat {
    /// A kubelet that has been running for long (`joined` is `None`), or that has just registered.
    pub fn new(ctx: &Context<'_>, luck: u64, joined: Option<Time>) -> Self {
        let kubelet = &ctx.setup.kubelet;
        let lease = Key::new("leaseRenewal").number(luck);
        let status = Key::new("nodeStatusReport").number(luck);
        Self {
            lease: Beats::new(ctx, lease, kubelet.lease_renewal(), kubelet.lease_renewal(), joined),
            status: Beats::new(
                ctx,
                status,
                kubelet.node_status_update_frequency,
                kubelet.node_status_report_frequency,
                joined,
            ),
            silent_from: None,
        }
    }

    /// From now on nothing that it sends arrives.
    pub fn silent(&mut self, now: Time) {
        self.silent_from.get_or_insert(instant(now));
    }

    /// It is heard again, at once and then as before.
    pub fn resumed(&mut self, now: Time) {
        if self.silent_from.take().is_some() {
            self.lease.next = instant(now);
            self.status.next = instant(now);
        }
    }

    /// Whether it cannot be heard.
    pub fn is_silent(&self) -> bool {
        self.silent_from.is_some()
    }

    /// When the newest heartbeat arrived that has done so by `now`. Calls must not go back in time.
    pub fn newest(&mut self, ctx: &Context<'_>, now: Instant) -> Instant {
        let silent_from = self.silent_from.unwrap_or(Instant::MAX);
        self.lease.newest(ctx, now, silent_from).max(self.status.newest(ctx, now, silent_from))
    }
}

/// One kind of heartbeat.
#[derive(Clone, Debug)]
struct Beats {
    key: Key,
    /// The loop turns this long after the end of its last turn, and up to 4 % longer.
    interval: Duration,
    /// A turn sends something if the last thing was sent this long ago.
    every: i64,
    /// When the next turn begins.
    next: Instant,
    turns: u64,
    sent: Instant,
    /// When the newest one arrived.
    newest: Instant,
    /// One that was sent and has not arrived, as far as somebody has asked.
    on_its_way: Option<Instant>,
}

impl Beats {
    /// `wait.JitterUntil(…, 0.04, true, …)`.
    const JITTER: f64 = 0.04;

    fn new(ctx: &Context<'_>, key: Key, interval: Duration, every: Duration, joined: Option<Time>) -> Self {
        let phase = |name: &str, span: Duration| (nanos(span) as f64 * ctx.random.unit(key.text(name), 0)) as i64;
        let (next, sent) = match joined {
            Some(at) => (instant(at), instant(at)),
            None => {
                let next = phase("phase", interval);
                // of many turns between two things sent, any may be the last one
                let turns = nanos(every) / nanos(interval).max(1);
                let past = (turns as f64 * ctx.random.unit(key.text("turn"), 0)) as i64;
                (next, next - nanos(interval) * (1 + past))
            }
        };
        Self { key, interval, every: nanos(every), next, turns: 0, sent, newest: sent, on_its_way: None }
    }

    fn newest(&mut self, ctx: &Context<'_>, now: Instant, silent_from: Instant) -> Instant {
        loop {
            if let Some(arrives) = self.on_its_way {
                if arrives > now {
                    return self.newest;
                }
                self.newest = arrives;
                self.on_its_way = None;
            }
            if self.next > now || self.next >= silent_from {
                return self.newest;
            }
            self.turn(ctx);
        }
    }

    fn turn(&mut self, ctx: &Context<'_>) {
        self.turns += 1;
        let draw = |hop| nanos(ctx.latency(hop, self.key.bits(), self.turns));
        let mut end = self.next;
        if self.next - self.sent >= self.every {
            end += draw(Hop::ApiRequest) + draw(Hop::ApiWrite);
            self.sent = end;
            self.on_its_way = Some(end + draw(Hop::Watch));
        }
        let jitter = 1.0 + Self::JITTER * ctx.random.unit(self.key, self.turns);
        self.next = end + (nanos(self.interval) as f64 * jitter) as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::Setup;
    use crate::simulation::setup::KubeletSetup;

    /// The arrivals that somebody sees who looks each 100 ms for a minute.
    fn arrivals(kubelet: KubeletSetup, silent_at: Option<u64>) -> Vec<i64> {
        let setup = Setup { kubelet, ..Setup::default() };
        let ctx = Context::new(&setup, 3, false);
        let mut heartbeat = Heartbeat::new(&ctx, 7, None);
        let mut seen = Vec::new();
        for tick in 0..600u64 {
            let now = Time::from_millis(100 * tick);
            if silent_at.is_some_and(|at| now >= Time::from_secs(at)) {
                heartbeat.silent(now);
            }
            let newest = heartbeat.newest(&ctx, instant(now));
            if seen.last() != Some(&newest) {
                seen.push(newest);
            }
        }
        seen
    }

    #[test]
    fn a_lease_is_renewed_every_ten_seconds_and_a_little_more() {
        let seen = arrivals(KubeletSetup::default(), None);
        assert!(seen[0] < 0 && seen[0] > -11_000_000_000, "{seen:?}");
        for pair in seen.windows(2).filter(|pair| pair[0] > 0) {
            let gap = pair[1] - pair[0];
            assert!((9_700_000_000..10_900_000_000).contains(&gap), "{gap}");
        }
        assert!(seen.len() >= 6, "{seen:?}");
    }

    #[test]
    fn a_faster_status_is_heard_too_and_silence_is_silence() {
        let fast = KubeletSetup {
            node_status_update_frequency: Duration::from_secs(4),
            node_status_report_frequency: Duration::from_secs(4),
            ..KubeletSetup::default()
        };
        let seen = arrivals(fast.clone(), None);
        assert!(seen.windows(2).all(|pair| pair[1] - pair[0] < 4_500_000_000), "{seen:?}");
        let seen = arrivals(fast, Some(30));
        assert!(*seen.last().unwrap() < 30_500_000_000, "{seen:?}");
    }

    #[test]
    fn who_asks_seldom_hears_the_same() {
        let setup = Setup::default();
        let ctx = Context::new(&setup, 3, false);
        let mut often = Heartbeat::new(&ctx, 7, None);
        let mut seldom = often.clone();
        for second in 0..300 {
            let now = instant(Time::from_secs(second));
            let newest = often.newest(&ctx, now);
            if second % 37 == 0 {
                assert_eq!(seldom.newest(&ctx, now), newest);
            }
        }
    }
}
