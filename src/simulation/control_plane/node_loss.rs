//! What the controllers do about a node that has lost its power: the health monitor, taint eviction, and the pod garbage
//! collector. No budget is asked on this way.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go` monitorNodeHealth and markPodsNotReady,
//! `pkg/controller/tainteviction/taint_eviction.go`, `pkg/controller/podgc/gc_controller.go` (v1.36). Zones and their
//! disruption modes, nodes that come back and the out-of-service taint are not modelled (see `docs/model.md`).

use std::collections::BTreeSet;

use crate::api::{Kind, NodeId, PodId, TaintEffect};
use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::event::{Event, NodeLossStep};
use crate::simulation::write::{Caller, Write};

/// A kubelet renews its lease every quarter of 40 s (`nodeLeaseRenewIntervalFraction`).
const LEASE_RENEWAL: Duration = Duration::from_secs(10);
/// `--node-monitor-period`, with the milliseconds that a pass itself takes: the next one begins after its end, so that ten
/// passes are a little more than 50 s.
const MONITOR_PERIOD: Duration = Duration::from_millis(5_001);
/// `--node-eviction-rate` 0.1/s: nodes of a zone are tainted so far apart.
const TAINTING_INTERVAL: Duration = Duration::from_secs(10);
/// The tainting pass runs every 100 ms, after the condition has been written.
const AFTER_THE_CONDITION: Duration = Duration::from_millis(100);
/// The pass of the pod garbage collector.
const GC_PERIOD: Duration = Duration::from_secs(20);
/// How long a node must have been gone before its pods are collected (`quarantineTime`).
const GC_QUARANTINE: Duration = Duration::from_secs(40);
/// `--kube-api-qps` of kube-controller-manager: 20 writes a second, after a burst of 30.
const WRITE_INTERVAL: Duration = Duration::from_millis(50);
const WRITE_BURST: u64 = 30;

/// The controllers that deal with lost nodes.
#[derive(Clone, Debug, Default)]
pub struct NodeLoss {
    /// When the next node may be tainted.
    tainting_free_at: Time,
    /// Pods whose taint eviction is arranged.
    evicting: BTreeSet<PodId>,
    /// Nodes whose kubelets have said that they are not ready.
    not_ready: BTreeSet<NodeId>,
    /// Deleted nodes in quarantine.
    quarantined: BTreeSet<NodeId>,
    writes: u64,
}

impl NodeLoss {
    /// The node's kubelet is silent from now on: the monitor will notice at one of its passes.
    pub fn node_silent(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        let now = ctx.now();
        let luck = ctx.luck_of(Kind::Node, node.0);
        let phase = |name: &str, period: Duration, luck: u64| {
            Duration::from_secs_f64(period.as_secs_f64() * ctx.random.unit(Key::new(name).number(luck), 0))
        };
        let last_renewal = last_tick(now, phase("lease", LEASE_RENEWAL, luck), LEASE_RENEWAL);
        let monitor = phase("nodeMonitor", MONITOR_PERIOD, 0);
        let noticed = next_tick(last_renewal, monitor, MONITOR_PERIOD);
        let grace = Duration::from_secs(ctx.version.node_monitor_grace_seconds());
        let given_up = next_tick(noticed + grace, monitor, MONITOR_PERIOD);
        ctx.schedule_at(given_up.max(now), Event::NodeLoss(NodeLossStep::Silent(node)));
    }

    /// The informer has delivered a version of a node.
    pub fn on_node(&mut self, ctx: &mut Context<'_>, id: NodeId) {
        match ctx.store.nodes.at(id.index(), ctx.controller_view(Kind::Node)) {
            None => {
                if self.quarantined.insert(id) {
                    let phase = Key::new("podGC");
                    let phase = Duration::from_secs_f64(GC_PERIOD.as_secs_f64() * ctx.random.unit(phase, 0));
                    let found = next_tick(ctx.now(), phase, GC_PERIOD);
                    ctx.schedule_at(found + GC_QUARANTINE, Event::NodeLoss(NodeLossStep::Orphans(id)));
                }
            }
            Some(node) if node.taints.iter().any(|t| t.effect == TaintEffect::NoExecute) => self.evict(ctx, id),
            // its kubelet says so (one that joins has no pods yet): the next pass of the monitor tells its pods
            Some(node) if !node.ready && !node.unreachable => {
                if !ctx.store.pods_on(id).is_empty() && self.not_ready.insert(id) {
                    let phase = Key::new("nodeMonitor").number(0);
                    let phase = Duration::from_secs_f64(MONITOR_PERIOD.as_secs_f64() * ctx.random.unit(phase, 0));
                    let pass = next_tick(ctx.now(), phase, MONITOR_PERIOD);
                    ctx.schedule_at(pass, Event::NodeLoss(NodeLossStep::NotReady(id)));
                }
            }
            Some(_) => {}
        }
    }

    /// Does what an event asks for.
    pub fn step(&mut self, ctx: &mut Context<'_>, step: NodeLossStep) {
        match step {
            NodeLossStep::Silent(node) => self.give_up(ctx, node),
            NodeLossStep::NotReady(node) => {
                let pods: Vec<_> = ctx.store.pods_on(node).to_vec();
                for (number, pod) in pods.into_iter().enumerate() {
                    self.submit(ctx, Write::MarkPodNotReady { pod }, queueing(number));
                }
            }
            NodeLossStep::TaintEviction(pod) => {
                let write = Write::DeletePod { pod, grace_seconds: None, unless_changed_since: None };
                self.submit(ctx, write, Duration::ZERO);
            }
            NodeLossStep::Orphans(node) => {
                let pods: Vec<_> = ctx.store.pods_on(node).to_vec();
                for (number, pod) in pods.into_iter().enumerate() {
                    let write = Write::DeletePod { pod, grace_seconds: Some(0), unless_changed_since: None };
                    self.submit(ctx, write, queueing(number));
                }
            }
        }
    }

    /// The grace period is over: the node becomes Unknown and is tainted, its pods become not ready. That, and not the
    /// taint, is what takes them out of the EndpointSlices.
    fn give_up(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        if ctx.store.nodes.head(node.index()).is_none() {
            return;
        }
        self.submit(ctx, Write::MarkNodeUnreachable { node }, Duration::ZERO);
        // NoSchedule comes with it; NoExecute when the zone's rate limit allows it
        let wait = self.tainting_free_at.since(ctx.now());
        self.tainting_free_at = self.tainting_free_at.max(ctx.now()) + TAINTING_INTERVAL;
        self.submit(ctx, Write::TaintUnreachable { node }, wait + AFTER_THE_CONDITION);
        let pods: Vec<_> = ctx.store.pods_on(node).to_vec();
        for (number, pod) in pods.into_iter().enumerate() {
            self.submit(ctx, Write::MarkPodNotReady { pod }, queueing(number));
        }
    }

    /// The pods of a node with a NoExecute taint get their timers: the shortest toleration counts, none means now.
    fn evict(&mut self, ctx: &mut Context<'_>, id: NodeId) {
        let Some(node) = ctx.store.nodes.at(id.index(), ctx.controller_view(Kind::Node)) else { return };
        let taints: Vec<_> = node.taints.iter().filter(|t| t.effect == TaintEffect::NoExecute).cloned().collect();
        let pods: Vec<_> = ctx.store.pods_on(id).iter().copied().filter(|p| !self.evicting.contains(p)).collect();
        for pod in pods {
            let tolerations = &ctx.store.template_of(pod).placement.tolerations;
            let seconds = taints.iter().map(|taint| {
                tolerations.iter().find(|t| t.tolerates(taint)).map_or(Some(0), |toleration| toleration.seconds)
            });
            // the shortest of the finite ones; none finite: tolerated for ever
            let Some(seconds) = seconds.flatten().min() else { continue };
            self.evicting.insert(pod);
            ctx.schedule(Duration::from_secs(seconds), Event::NodeLoss(NodeLossStep::TaintEviction(pod)));
        }
    }

    fn submit(&mut self, ctx: &mut Context<'_>, write: Write, wait: Duration) {
        use crate::simulation::latency::Hop;
        self.writes += 1;
        let luck = Key::new("nodeLoss").bits();
        let way = ctx.latency(Hop::ApiRequest, luck, self.writes) + ctx.latency(Hop::ApiWrite, luck, self.writes);
        ctx.submit_after(wait + way, write, Caller::Nobody);
    }
}

/// How long the n-th of many writes waits for the client's rate limit.
fn queueing(number: usize) -> Duration {
    WRITE_INTERVAL.mul((number as u64 + 1).saturating_sub(WRITE_BURST))
}

/// The first tick at or after `t`.
fn next_tick(t: Time, phase: Duration, period: Duration) -> Time {
    let first = Time::ZERO + phase;
    if t <= first {
        return first;
    }
    first + period.mul(t.since(first).as_nanos().div_ceil(period.as_nanos()))
}

/// The last tick at or before `t`; the start of time if there is none.
fn last_tick(t: Time, phase: Duration, period: Duration) -> Time {
    let first = Time::ZERO + phase;
    if t < first {
        return Time::ZERO;
    }
    first + period.mul(t.since(first).as_nanos() / period.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks() {
        let (phase, period) = (Duration::from_secs(3), Duration::from_secs(10));
        for (t, next, last) in [(0, 3, 0), (3, 3, 3), (4, 13, 3), (13, 13, 13), (22, 23, 13)] {
            assert_eq!(next_tick(Time::from_secs(t), phase, period), Time::from_secs(next));
            assert_eq!(last_tick(Time::from_secs(t), phase, period), Time::from_secs(last));
        }
    }
}
