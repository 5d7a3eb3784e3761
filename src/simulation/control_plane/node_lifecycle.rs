//! The part of the node lifecycle controller that this model has: the taint that follows from `spec.unschedulable` and
//! from a node's not being Ready.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go` doNoScheduleTaintingPass (v1.36): taints of the
//! NoSchedule effect follow the node's state at once, without rate limit.

use crate::api::node::{TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE};
use crate::api::{Kind, Node, NodeId, Taint, TaintEffect};
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::Controller;
use crate::simulation::latency::Hop;
use crate::simulation::write::{Caller, Write, WriteError};

/// `UpdateWorkerSize`.
const WORKERS: usize = 8;

/// The controller: keys are nodes.
#[derive(Clone, Debug)]
pub struct NodeLifecycleController {
    queue: WorkQueue,
    client: RateLimit,
    writes: u64,
}

impl Default for NodeLifecycleController {
    fn default() -> Self {
        Self { queue: WorkQueue::with_default_backoff(WORKERS), client: RateLimit::controller(), writes: 0 }
    }
}

impl NodeLifecycleController {
    /// The informer has delivered a version of a node.
    pub fn on_node(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        self.queue.add(node.0, ctx.cause);
        self.pump(ctx);
    }

    /// A worker brings a node's taints in line with its state.
    pub fn sync(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.begin(ctx, key);
        let Some(node) = ctx.store.nodes.at(key as usize, ctx.controller_view(Kind::Node)) else {
            return self.finish(ctx, key);
        };
        let taints = taints_of(node);
        if taints == node.taints {
            return self.finish(ctx, key);
        }
        self.writes += 1;
        let write = Write::Taints { node: NodeId(key), taints };
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
