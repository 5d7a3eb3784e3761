//! When a proxy runs: kube-proxy's BoundedFrequencyRunner, old and new, and the buffer of Cilium's agent.

use crate::engine::{Duration, Time};
use crate::simulation::network::kube_proxy::{Delays, Entry, Proxy};
use crate::simulation::setup::Setup;

/// At least `min` between the end of a run and the start of the next; requests that come meanwhile are served by one run. A
/// failed run is tried again after `retry`, if nothing has asked for one before.
///
/// Source: `pkg/proxy/runner/bounded_frequency_runner.go` Loop (v1.36).
#[derive(Clone, Copy, Debug)]
pub(super) struct Runner {
    pub min: Duration,
    retry: Duration,
    /// A run comes so long after the one before even if nobody asks for it.
    max: Option<Duration>,
    /// The runner before 1.34: a token bucket allows some runs sooner.
    ///
    /// Source: `pkg/util/async/bounded_frequency_runner.go` tryRun (v1.33).
    pub burst: bool,
    /// Requests are gathered for so long from the first one. A run takes what has come by then.
    ///
    /// Source: cilium `pkg/loadbalancer/reflectors/k8s.go` runServiceEndpointsReflector (stream.Buffer).
    batch: Duration,
}

impl Runner {
    /// `NewBoundedFrequencyRunner(…, burstSyncs)` in `pkg/proxy/iptables/proxier.go` NewProxier (v1.33).
    pub const BURST: u64 = 2;

    pub fn new(setup: &Setup) -> Self {
        Self {
            min: setup.kube_proxy.min_sync_period,
            retry: setup.kube_proxy.sync_period,
            max: setup.kube_proxy.max_interval(),
            burst: !setup.version.proxy_runner_without_burst(),
            batch: setup.kube_proxy.batch_period,
        }
    }

    /// The token bucket of a proxy that has not run for long.
    pub fn full_bucket(&self, now: Time) -> (Duration, Time) {
        (self.min.mul(Self::BURST), now)
    }

    /// When the periodic run after one that ended at `end` comes, if there is such a thing.
    pub fn periodic(&self, end: Time) -> Option<Time> {
        self.max.map(|max| end + max.max(self.min))
    }

    /// The longest time between two runs, if there is one.
    pub fn max_interval(&self) -> Option<Duration> {
        self.max
    }

    /// When the next run begins; `None` if nothing asks for one yet.
    pub fn next_start(self, proxy: &mut Proxy, log: &[Entry], delays: &Delays<'_>) -> Option<Time> {
        let timer = proxy.timer;
        self.next_asked(proxy, log, delays).into_iter().chain(timer).min()
    }

    /// A run that begins at `start` takes what was delivered up to this time, included: all that has come by then, or all
    /// whose batch is over.
    pub fn taken_until(self, start: Time, proxy: &mut Proxy, log: &[Entry], delays: &Delays<'_>) -> Time {
        if self.batch.is_zero() {
            return start;
        }
        let (mut at, mut until) = (proxy.next, Time::ZERO);
        while let Some(over) = proxy.delivery(at, log, delays).map(|first| first + self.batch)
            && over <= start
        {
            until = over;
            while proxy.delivery(at, log, delays).is_some_and(|delivered| delivered <= over) {
                at += 1;
            }
        }
        until
    }

    /// When the next run begins that a change asks for.
    fn next_asked(self, proxy: &mut Proxy, log: &[Entry], delays: &Delays<'_>) -> Option<Time> {
        let asked = proxy.delivery(proxy.next, log, delays)? + self.batch;
        let Some(last_end) = proxy.last_end else { return Some(asked) };
        let rested = last_end + self.min;
        if !self.burst {
            return Some(asked.max(rested));
        }
        // A request during a run is looked at when the run ends. One for which there is no token sets a timer; but each
        // further request tries anew, and may find that the bucket has filled meanwhile.
        let (tokens, since) = proxy.tokens;
        let token = since + (self.min - tokens);
        let mut at = proxy.next;
        while let Some(asked) = proxy.delivery(at, log, delays).map(|asked| (asked + self.batch).max(last_end))
            && (asked < rested || at == proxy.next)
        {
            if asked >= token {
                return Some(asked);
            }
            at += 1;
        }
        Some(rested)
    }

    /// A run is over.
    pub fn ran(self, proxy: &mut Proxy, start: Time, end: Time, failed: bool) {
        let (tokens, since) = proxy.tokens;
        let filled = (tokens + start.since(since)).min(self.min.mul(Self::BURST));
        proxy.tokens = (filled.saturating_sub(self.min), start);
        proxy.last_end = Some(end);
        let periodic = self.periodic(end);
        let retry = failed.then(|| end + self.retry.max(self.min));
        proxy.timer = periodic.into_iter().chain(retry).min();
    }
}
