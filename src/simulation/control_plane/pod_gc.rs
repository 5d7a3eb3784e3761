//! The pod garbage collector: deletes by force what no kubelet will ever confirm.
//!
//! Two kinds of pods concern a drain or a lost node. Those whose Node object is gone: the node is first put in quarantine.
//! And those that are being deleted on a node which is not Ready and has the taint `node.kubernetes.io/out-of-service`.
//!
//! While there is no such pod, passes change nothing and are left out; they stay on the same grid of times.
//!
//! Source: `pkg/controller/podgc/gc_controller.go` gc, gcTerminating, gcOrphaned, markFailedAndDeletePod (v1.36).

use std::collections::BTreeMap;

use crate::api::node::TAINT_OUT_OF_SERVICE;
use crate::api::{Kind, Node, NodeId, Pod, PodId};
use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::event::Event;
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::write::{Caller, Write};

/// `gcCheckPeriod`, with the millisecond that a pass itself takes: the next one begins after its end.
const PERIOD: Duration = Duration::from_millis(20_001);
/// `quarantineTime`: so long a node must have been missed before a GET decides that it is gone.
const QUARANTINE: Duration = Duration::from_secs(40);

/// The collector.
#[derive(Clone, Debug)]
pub struct PodGc {
    /// When a pass first missed a node.
    quarantined: BTreeMap<NodeId, Time>,
    /// The next pass is in the event list.
    awake: bool,
    client: RateLimit,
    writes: u64,
}

impl Default for PodGc {
    fn default() -> Self {
        Self { quarantined: BTreeMap::new(), awake: false, client: RateLimit::controller(), writes: 0 }
    }
}

impl PodGc {
    /// The informer has delivered a version of a node.
    pub fn on_node(&mut self, ctx: &mut Context<'_>, id: NodeId) {
        match ctx.store.nodes.at(id.index(), ctx.controller_view(Kind::Node)) {
            None => self.wake(ctx),
            Some(node) if is_out_of_service(node) => self.wake(ctx),
            Some(_) => {}
        }
    }

    /// The informer has delivered a version of a pod.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, new: Option<Pod>) {
        let Some(pod) = new else { return };
        let Some(node) = pod.node else { return };
        match ctx.store.nodes.at(node.index(), ctx.controller_view(Kind::Node)) {
            None => self.wake(ctx),
            Some(node) if pod.deletion.is_some() && is_out_of_service(node) => self.wake(ctx),
            Some(_) => {}
        }
    }

    fn wake(&mut self, ctx: &mut Context<'_>) {
        if std::mem::replace(&mut self.awake, true) {
            return;
        }
        let first = PERIOD.as_secs_f64() * ctx.random.unit(Key::new("podGC"), 0);
        let first = Time::ZERO + Duration::from_secs_f64(first);
        let passes = ctx.now().since(first).as_nanos().div_ceil(PERIOD.as_nanos());
        ctx.schedule_at(first + PERIOD.mul(passes), Event::PodGc);
    }

    /// One pass.
    pub fn pass(&mut self, ctx: &mut Context<'_>) {
        self.awake = false;
        let now = ctx.now();
        let (nodes, pods) = (ctx.controller_view(Kind::Node), ctx.controller_view(Kind::Pod));
        let mut orphaned: BTreeMap<NodeId, Vec<PodId>> = BTreeMap::new();
        let mut stuck = Vec::new();
        let mut goes_on = false;
        for id in (0..ctx.store.nodes.len()).map(NodeId::from) {
            let known = |pod: &PodId| ctx.store.pods.at(pod.index(), pods).is_some_and(|p| p.node == Some(id));
            let on_it = ctx.store.pods_on(id).iter().copied().filter(known);
            match ctx.store.nodes.at(id.index(), nodes) {
                None => {
                    orphaned.insert(id, on_it.collect());
                }
                Some(node) if is_out_of_service(node) => {
                    let is_terminating =
                        |pod: &PodId| ctx.store.pods.at(pod.index(), pods).is_some_and(|p| p.deletion.is_some());
                    let before = stuck.len();
                    stuck.extend(on_it.filter(is_terminating).filter(|_| !node.ready));
                    goes_on |= !node.ready && stuck.len() > before;
                }
                Some(_) => {}
            }
        }
        self.quarantined.retain(|id, _| orphaned.get(id).is_some_and(|pods| !pods.is_empty()));
        let cause = ctx.cause;
        self.collect(ctx, stuck, false);
        for (id, pods) in orphaned.into_iter().filter(|(_, pods)| !pods.is_empty()) {
            goes_on = true;
            let since = *self.quarantined.entry(id).or_insert(now);
            if now.since(since) >= QUARANTINE && ctx.store.nodes.head(id.index()).is_none() {
                self.quarantined.remove(&id);
                ctx.cause = cause;
                self.collect(ctx, pods, true);
            }
        }
        ctx.cause = cause;
        if goes_on {
            self.awake = true;
            ctx.schedule(PERIOD, Event::PodGc);
        }
    }

    /// The phase becomes Failed, then the pod is deleted with a grace period of 0: two writes a pod.
    fn collect(&mut self, ctx: &mut Context<'_>, pods: Vec<PodId>, disrupted: bool) {
        let cause = ctx.cause;
        let mut way = Duration::ZERO;
        for pod in pods {
            let Some(head) = ctx.store.pods.head(pod.index()) else { continue };
            let has_ended = head.phase.is_terminal();
            ctx.cause = cause;
            ctx.note(What::PodCollected { pod });
            let luck = ctx.pod_luck(pod);
            let delete = Write::DeletePod { pod, grace_seconds: Some(0), unless_changed_since: None };
            for write in [Write::FailPod { pod, disrupted }, delete].into_iter().skip(usize::from(has_ended)) {
                self.writes += 1;
                way = way.max(self.client.reserve(ctx.now()));
                way += ctx.latency(Hop::ApiRequest, luck, self.writes) + ctx.latency(Hop::ApiWrite, luck, self.writes);
                ctx.submit_after(way, write, Caller::Nobody);
            }
        }
        ctx.cause = cause;
    }
}

fn is_out_of_service(node: &Node) -> bool {
    node.taints.iter().any(|t| t.key == TAINT_OUT_OF_SERVICE)
}
