//! The pod worker: one at a time, and only after the runtime has been looked at since the worker's last sync.
//!
//! Source: `pkg/kubelet/pod_workers.go` podWorkerLoop, UpdatePod, completeWork; `pkg/kubelet/container/cache.go`
//! GetNewerThan; `pkg/kubelet/pleg/generic.go` (v1.36). Since 1.36 a sync that changed something makes the PLEG look at that
//! pod at once (PLEGOnDemandRelist); every other sync is followed by a wait for the node's next relist, which comes once a
//! second. That is why a pod that has just become Ready reacts to a deletion up to two seconds late, and an idle one
//! within milliseconds.

use crate::api::PodId;
use crate::engine::{Duration, Time};
use crate::simulation::context::Context;
use crate::simulation::event::KubeletStep;
use crate::simulation::network::Network;
use crate::simulation::node::kubelet::{Kubelets, NodeState, worker_period};

/// The worker of one pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker {
    /// A sync has been taken: it waits for its turn or is running.
    pub(super) busy: bool,
    /// Something asked for one more sync meanwhile.
    pub(super) pending: bool,
    /// What the taken sync will do: decided when it is taken.
    taken: Work,
    /// What the worker is at.
    pub(super) stage: Work,
    /// The grace period to stop with, seconds; `None`: the pod is to go on.
    pub(super) termination: Option<u64>,
    /// The end of the last sync; `None`: none yet, or so long ago that it does not matter.
    last_sync_end: Option<Time>,
    /// When the PLEG last looked at this pod on demand.
    observed: Option<Time>,
}

/// The three kinds of sync in a pod's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Work {
    /// SyncPod: make it run.
    #[default]
    Sync,
    /// SyncTerminatingPod: stop its containers.
    Terminating,
    /// SyncTerminatedPod: clean up after it.
    Terminated,
}

impl Worker {
    /// The pod is to end with this grace; whether that is news. A kill that is under way keeps its own grace.
    pub(super) fn request_termination(&mut self, grace_seconds: u64) -> bool {
        let news = self.termination.is_none_or(|old| grace_seconds < old);
        if news {
            self.termination = Some(grace_seconds);
        }
        news
    }

    /// Whether the runtime has been looked at, by `now`, after something that happened at `t`.
    pub(super) fn has_looked_since(&self, node: &NodeState, t: Time, now: Time) -> bool {
        let regular = node.next_relist(t) + node.relist_duration;
        let on_demand = self.observed.is_some_and(|seen| seen <= now && seen >= t + node.relist_duration);
        regular <= now || on_demand
    }
}

impl NodeState {
    /// The start of the first relist after `t`.
    fn next_relist(&self, t: Time) -> Time {
        let period = worker_period(self.relist_duration).as_nanos();
        let first = Time::ZERO + self.relist_phase;
        if t < first {
            return first;
        }
        let rounds = t.since(first).as_nanos() / period + 1;
        first + Duration::from_nanos(rounds * period)
    }
}

impl Kubelets {
    /// Something asks for a sync of this pod: it is taken at once, or when the one that is under way has ended. Any number
    /// of requests meanwhile makes one more sync.
    pub(super) fn update(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let worker = &mut self.pod(pod).worker;
        if worker.stage == Work::Terminated && worker.busy {
            return;
        }
        if worker.busy {
            worker.pending = true;
        } else {
            self.take(ctx, pod);
        }
    }

    /// Takes a sync: what it will do is fixed now; it runs when the runtime has been looked at since the last one's end.
    fn take(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let node = &self.nodes[self.runtime(pod).expect("on a node").node.index()];
        let now = ctx.now();
        let worker = &self.runtime(pod).expect("on a node").worker;
        let start = match worker.last_sync_end {
            None => now,
            Some(end) if worker.observed.is_some_and(|at| at > end && at <= now) => now,
            Some(end) => (node.next_relist(end) + node.relist_duration).max(now),
        };
        let start = match (worker.last_sync_end, worker.observed) {
            // the look on demand is under way
            (Some(end), Some(at)) if at > end => start.min(at.max(now)),
            _ => start,
        };
        let worker = &mut self.pod(pod).worker;
        worker.busy = true;
        worker.pending = false;
        worker.taken = match (worker.stage, worker.termination) {
            (Work::Sync, Some(_)) => Work::Terminating,
            (stage, _) => stage,
        };
        Self::after(ctx, start.since(now), pod, KubeletStep::Sync);
    }

    /// Runs the sync that was taken.
    pub(super) fn run_sync(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        let worker = &mut self.pod(pod).worker;
        worker.stage = worker.taken;
        match worker.stage {
            Work::Sync => self.sync_pod(ctx, network, pod),
            Work::Terminating => self.sync_terminating_pod(ctx, network, pod),
            Work::Terminated => self.sync_terminated_pod(ctx, pod),
        }
    }

    /// The running sync has ended. `changed`: it made or started something.
    pub(super) fn sync_ended(&mut self, ctx: &mut Context<'_>, pod: PodId, changed: bool) {
        let now = ctx.now();
        let node = self.runtime(pod).expect("on a node").node;
        let (luck, relist_duration) = {
            let node = &self.nodes[node.index()];
            (self.runtime(pod).expect("on a node").luck, node.relist_duration)
        };
        let on_demand = ctx.version.pleg_relists_on_demand();
        let next_global = self.nodes[node.index()].next_relist(now) + relist_duration;
        let worker = &mut self.pod(pod).worker;
        worker.last_sync_end = Some(now);
        worker.busy = false;
        if changed {
            // the PLEG tells of each thing that has started (sandbox and container): the first one asks for a sync; the
            // second one often comes while that runs, and asks for one more
            let seen_at = if on_demand { now + relist_duration } else { next_global };
            worker.observed = Some(seen_at);
            let second = ctx.random.unit(crate::engine::Key::new("secondPlegEvent").number(luck), 0);
            Self::after(ctx, seen_at.since(now), pod, KubeletStep::Update);
            if second < SECOND_EVENT_STAYS_PENDING {
                Self::after(ctx, seen_at.since(now), pod, KubeletStep::Update);
            }
        }
        let worker = &mut self.pod(pod).worker;
        if worker.pending || (worker.stage == Work::Terminating) {
            if worker.stage == Work::Terminating {
                worker.stage = Work::Terminated;
            }
            self.take(ctx, pod);
        }
    }

    /// Asks for a sync when the node's next relist has seen what has happened now.
    pub(super) fn update_after_relist(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let now = ctx.now();
        let node = &self.nodes[self.runtime(pod).expect("on a node").node.index()];
        let seen = node.next_relist(now) + node.relist_duration;
        Self::after(ctx, seen.since(now), pod, KubeletStep::Update);
    }
}

/// How often the second of two PLEG events of one relist finds the first one's sync already begun, and so stays pending: a
/// race of two goroutines, 22 of the 34 recorded pod starts on a v1.36 cluster in which it shows (see `docs/model.md`).
const SECOND_EVENT_STAYS_PENDING: f64 = 0.65;
