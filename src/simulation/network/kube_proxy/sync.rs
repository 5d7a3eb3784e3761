//! How long a sync takes, and whether it fails.

use crate::engine::{Distribution, Duration, Key, Random, Time};
use crate::simulation::latency::Hop;
use crate::simulation::network::kube_proxy::Entry;
use crate::simulation::network::kube_proxy::runner::Runner;
use crate::simulation::setup::{FailedSyncs, ProxyMode, Setup};

/// One run of a proxy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Stands for the node in keyed draws.
    pub luck: u64,
    /// Which run of this proxy it is.
    pub number: u64,
    /// All rules are written, after a failure.
    pub full: bool,
    /// The first change that it takes; `None`: there is none, a timer has started it.
    pub first: Option<Entry>,
}

/// The lengths and the failures of runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct SyncTimes<'a> {
    random: Random,
    partial: Kind<'a>,
    full: Kind<'a>,
    failures: &'a FailedSyncs,
}

#[derive(Clone, Copy, Debug)]
struct Kind<'a> {
    hop: Hop,
    length: &'a Distribution,
    median: Duration,
    /// What the size of the cluster adds at the median.
    added: Duration,
}

impl<'a> SyncTimes<'a> {
    pub fn new(setup: &'a Setup, random: Random) -> Self {
        let (partial, full) = match setup.kube_proxy.mode {
            ProxyMode::Iptables | ProxyMode::Nftables => (Hop::KubeProxySync, Hop::KubeProxyFullSync),
            // no other than full ones
            ProxyMode::Ipvs => (Hop::KubeProxySync, Hop::KubeProxySync),
            ProxyMode::Ebpf => (Hop::EbpfSync, Hop::EbpfSync),
        };
        let kind = |hop, full| {
            let length = setup.latencies.get(hop);
            Kind { hop, length, median: length.quantile(0.5), added: setup.kube_proxy.added(full) }
        };
        Self { random, partial: kind(partial, false), full: kind(full, true), failures: &setup.kube_proxy.failed_syncs }
    }

    /// From the start of the run to its rules being in force.
    pub fn duration(&self, run: &Run) -> Duration {
        let kind = if run.full { self.full } else { self.partial };
        let key = Key::new(kind.hop.name()).number(run.luck);
        let unit = match run.first.filter(|_| !run.full) {
            Some(first) => self.random.unit(key.number(first.service_luck), u64::from(first.ordinal)),
            None => self.random.unit(key.text("run"), run.number),
        };
        let length = kind.length.sample(unit);
        if kind.added.is_zero() {
            return length;
        }
        let luck = if kind.median.is_zero() { 1.0 } else { length.as_secs_f64() / kind.median.as_secs_f64() };
        length + Duration::from_secs_f64(kind.added.as_secs_f64() * luck)
    }

    /// Whether it ends without any effect. What it was to do, the next one does, which writes everything.
    ///
    /// Source: `pkg/proxy/iptables/proxier.go` syncProxyRules (needFullSync), the same in `nftables` (v1.36).
    pub fn fails(&self, run: &Run, node: &str, start: Time) -> bool {
        let hit = self.failures.during.iter().any(|span| {
            span.from <= start && start < span.to && (span.nodes.is_empty() || span.nodes.iter().any(|n| n == node))
        });
        let chance = self.failures.probability;
        hit || (chance > 0.0 && self.random.unit(Key::new("kubeProxySyncFails").number(run.luck), run.number) < chance)
    }

    /// When the first periodic run of a proxy comes that has run for long: at any point of its period, which is the interval
    /// and a run.
    pub fn first_periodic(&self, luck: u64, runner: &Runner) -> Option<Time> {
        let max = runner.max_interval()? + self.partial.median + self.partial.added;
        let unit = self.random.unit(Key::new("kubeProxyPeriod").number(luck), 0);
        Some(Time::ZERO + Duration::from_secs_f64(max.as_secs_f64() * unit))
    }
}
