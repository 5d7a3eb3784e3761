//! The node lifecycle controller: who is given up, who is tainted, and whose pods are said to be not ready.
//!
//! Taints of the effect NoSchedule follow a node's state at once; this file does that. What depends on heartbeats, on time
//! and on the other nodes is the monitor's: the Ready condition becomes Unknown, pods become not ready, and taints of the
//! effect NoExecute come one node after the other.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go` doNoScheduleTaintingPass, processPod (v1.36).

mod heartbeat;
mod monitor;
pub mod zone;

use monitor::Monitor;

use crate::api::node::{TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE};
use crate::api::{Kind, Node, NodeId, Pod, PodId, Taint, TaintEffect};
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::{Controller, MonitorStep};
use crate::simulation::latency::Hop;
use crate::simulation::setup::ControllerManagerSetup;
use crate::simulation::write::{Caller, Write, WriteError};

/// `UpdateWorkerSize`.
const WORKERS: usize = 8;

/// The controller: keys are nodes.
#[derive(Clone, Debug)]
pub struct NodeLifecycleController {
    queue: WorkQueue,
    client: RateLimit,
    writes: u64,
    monitor: Monitor,
}

impl NodeLifecycleController {
    /// A controller that knows no node.
    #[must_use]
    pub fn new(settings: &ControllerManagerSetup) -> Self {
        Self {
            queue: WorkQueue::with_default_backoff(WORKERS),
            client: RateLimit::controller(),
            writes: 0,
            monitor: Monitor::new(settings),
        }
    }

    /// The nodes of the start are there, and have been for long unless they are not Ready.
    pub fn start(&mut self, ctx: &mut Context<'_>) {
        self.monitor.start(ctx);
    }

    /// The informer has delivered a version of a node.
    pub fn on_node(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        let cause = ctx.cause;
        self.queue.add(node.0, cause);
        self.pump(ctx);
        ctx.cause = cause;
        self.monitor.on_node(ctx, node);
    }

    /// The informer has delivered a version of a pod: one that has just been bound to a node that is not Ready is not ready
    /// either.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, id: PodId, old: Option<Pod>, new: Option<Pod>) {
        let Some(node) = new.and_then(|pod| pod.node) else { return };
        if old.is_some_and(|pod| pod.node == Some(node)) || !new.is_some_and(|pod| pod.ready) {
            return;
        }
        if ctx.store.nodes.at(node.index(), ctx.controller_view(Kind::Node)).is_some_and(|node| !node.ready) {
            self.writes += 1;
            let (luck, wait) = (ctx.pod_luck(id), self.client.reserve(ctx.now()));
            ctx.submit_after_wait(wait, Write::MarkPodNotReady { pod: id }, Caller::Nobody, luck, self.writes);
        }
    }

    /// Nothing that a node's kubelet sends arrives any more.
    pub fn kubelet_silent(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        self.monitor.silent(ctx, node);
    }

    /// A node's kubelet is heard again.
    pub fn kubelet_heard(&mut self, ctx: &Context<'_>, node: NodeId) {
        self.monitor.resumed(ctx, node);
    }

    /// The monitor does what an event asks for.
    pub fn monitor(&mut self, ctx: &mut Context<'_>, step: MonitorStep) {
        self.monitor.step(ctx, &mut self.client, step);
    }

    /// A worker brings a node's taints in line with its state.
    pub fn sync(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.begin(ctx, key);
        let Some(node) = ctx.store.nodes.at(key as usize, ctx.controller_view(Kind::Node)) else {
            return self.finish(ctx, key);
        };
        let wanted = taints_of(node);
        let add: Vec<_> = wanted.iter().filter(|t| !node.taints.contains(t)).cloned().collect();
        let remove: Vec<_> = node.taints.iter().filter(|t| !wanted.contains(t)).cloned().collect();
        if add.is_empty() && remove.is_empty() {
            return self.finish(ctx, key);
        }
        self.writes += 1;
        let write = Write::PatchTaints { node: NodeId(key), add, remove };
        let luck = ctx.luck_of(Kind::Node, key);
        let wait = self.client.reserve(ctx.now());
        ctx.submit_after_wait(wait, write, Caller::Controller(Controller::NodeLifecycle, key), luck, self.writes);
    }

    /// The write of a node's taints has been answered.
    pub fn written(&mut self, ctx: &mut Context<'_>, key: u32, _result: Result<(), WriteError>) {
        self.finish(ctx, key);
    }

    /// A delayed key is due.
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.due(key, ctx.now(), ctx.cause);
        self.pump(ctx);
    }

    fn finish(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.done(key);
        self.pump(ctx);
    }

    fn pump(&mut self, ctx: &mut Context<'_>) {
        let hop = Hop::NodeLifecycleSync;
        self.queue.pump(ctx, Controller::NodeLifecycle, hop, |ctx, key| ctx.luck_of(Kind::Node, key));
    }
}

/// A node's own taints with those that its state asks for, and without those that it does not.
#[must_use]
pub fn taints_of(node: &Node) -> Vec<Taint> {
    let wanted = [
        (TAINT_UNSCHEDULABLE, node.unschedulable),
        (TAINT_NOT_READY, !node.ready && !node.unreachable),
        (TAINT_UNREACHABLE, node.unreachable),
    ];
    let is_ours = |t: &Taint| t.effect == TaintEffect::NoSchedule && wanted.iter().any(|(key, _)| t.key == *key);
    let mut taints: Vec<_> = node.taints.iter().filter(|t| !is_ours(t)).cloned().collect();
    for (key, _) in wanted.iter().filter(|(_, wanted)| *wanted) {
        taints.push(Taint { key: (*key).to_string(), value: String::new(), effect: TaintEffect::NoSchedule });
    }
    taints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::setup::plain_node;

    #[test]
    fn taints_follow_the_node() {
        let own = Taint { key: "dedicated".into(), value: "db".into(), effect: TaintEffect::NoSchedule };
        let node = Node { taints: vec![own.clone()], ..plain_node("n") };
        let keys = |n: &Node| taints_of(n).iter().map(|t| t.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&node), ["dedicated"]);
        let cordoned = Node { unschedulable: true, ..node.clone() };
        assert_eq!(keys(&cordoned), ["dedicated", TAINT_UNSCHEDULABLE]);
        let tainted = Node { taints: taints_of(&cordoned), ..cordoned };
        assert_eq!(keys(&tainted), ["dedicated", TAINT_UNSCHEDULABLE], "already there");
        assert_eq!(keys(&Node { unschedulable: false, ..tainted }), ["dedicated"]);
        let silent = Node { ready: false, unreachable: true, ..node.clone() };
        assert_eq!(keys(&silent), ["dedicated", TAINT_UNREACHABLE]);
        assert_eq!(keys(&Node { ready: false, ..node }), ["dedicated", TAINT_NOT_READY]);
    }
}
