//! The taint eviction controller: deletes the pods of a node with NoExecute taints when they tolerate them no longer. It
//! deletes; it does not evict, and no budget is asked.
//!
//! Source: `pkg/controller/tainteviction/taint_eviction.go` handleNodeUpdate, processPodOnNode, getMinTolerationTime,
//! addConditionAndDeletePod; `timed_workers.go`; `pkg/apis/core/v1/helper/helpers.go` GetMatchingTolerations (v1.36).

use std::collections::BTreeMap;

use crate::api::node::Toleration;
use crate::api::{Kind, NodeId, Pod, PodId, Taint, TaintEffect};
use crate::engine::{Duration, Timer};
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::event::Event;
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::write::{Caller, Write};

/// The controller.
#[derive(Clone, Debug)]
pub struct TaintEvictionController {
    /// The NoExecute taints of nodes that have any.
    tainted: BTreeMap<NodeId, Vec<Taint>>,
    /// Pods with a timer, or that have been deleted by this controller (`None`).
    timers: BTreeMap<PodId, Option<Timer>>,
    client: RateLimit,
    writes: u64,
}

impl Default for TaintEvictionController {
    fn default() -> Self {
        Self { tainted: BTreeMap::new(), timers: BTreeMap::new(), client: RateLimit::controller(), writes: 0 }
    }
}

impl TaintEvictionController {
    /// The informer has delivered a version of a node.
    pub fn on_node(&mut self, ctx: &mut Context<'_>, id: NodeId) {
        let Some(node) = ctx.store.nodes.at(id.index(), ctx.controller_view(Kind::Node)) else {
            // timers that run go on
            self.tainted.remove(&id);
            return;
        };
        let taints: Vec<_> = node.taints.iter().filter(|t| t.effect == TaintEffect::NoExecute).cloned().collect();
        let known = self.tainted.get(&id).map_or(&[][..], Vec::as_slice);
        if taints == known {
            return;
        }
        let cause = ctx.cause;
        let pods = pods_on(ctx, id);
        if taints.is_empty() {
            self.tainted.remove(&id);
            pods.into_iter().for_each(|pod| self.cancel(ctx, pod));
        } else {
            self.tainted.insert(id, taints.clone());
            for pod in pods {
                ctx.cause = cause;
                self.process(ctx, pod, &taints);
            }
        }
        ctx.cause = cause;
    }

    /// The informer has delivered a version of a pod.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, id: PodId, old: Option<Pod>, new: Option<Pod>) {
        let Some(new) = new else { return self.cancel(ctx, id) };
        let bound = new.node.filter(|node| old.is_none_or(|old| old.node != Some(*node)));
        if let Some(taints) = bound.and_then(|node| self.tainted.get(&node)).cloned() {
            self.process(ctx, id, &taints);
        }
    }

    /// What becomes of a pod on a node with these taints. A timer that runs is not moved.
    fn process(&mut self, ctx: &mut Context<'_>, pod: PodId, taints: &[Taint]) {
        match tolerated_for(&ctx.store.template_of(pod).placement.tolerations, taints) {
            Tolerated::For(seconds) => {
                let wait = Duration::from_secs(seconds);
                self.timers.entry(pod).or_insert_with(|| Some(ctx.schedule(wait, Event::TaintEviction(pod))));
            }
            Tolerated::Never => {
                // one that has been deleted is not deleted twice
                if !matches!(self.timers.get(&pod), Some(None)) {
                    self.cancel(ctx, pod);
                    self.timers.insert(pod, None);
                    self.delete(ctx, pod);
                }
            }
            Tolerated::Forever => self.cancel(ctx, pod),
        }
    }

    fn cancel(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        if let Some(Some(timer)) = self.timers.remove(&pod) {
            ctx.cancel(timer);
        }
    }

    /// A pod's timer has run out.
    pub fn due(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        self.timers.insert(pod, None);
        self.delete(ctx, pod);
    }

    /// GET, a patch of the condition DisruptionTarget, DELETE with the pod's own grace: each waits for the client's limit.
    fn delete(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        if ctx.store.pods.head(pod.index()).is_none() {
            return;
        }
        ctx.note(What::TaintEvictionDue { pod });
        let luck = ctx.pod_luck(pod);
        let mut way = self.client.reserve(ctx.now()) + ctx.latency(Hop::ApiRead, luck, self.writes);
        let disrupted = Write::MarkDisrupted { pod, unless_changed_since: None };
        let delete = Write::DeletePod { pod, grace_seconds: None, unless_changed_since: None };
        for write in [disrupted, delete] {
            self.writes += 1;
            let wait = self.client.reserve(ctx.now());
            way = way.max(wait);
            way += ctx.latency(Hop::ApiRequest, luck, self.writes) + ctx.latency(Hop::ApiWrite, luck, self.writes);
            ctx.submit_after(way, write, Caller::Nobody);
        }
    }
}

/// The pods on a node, as the informer knows them.
fn pods_on(ctx: &Context<'_>, node: NodeId) -> Vec<PodId> {
    let seen = ctx.controller_view(Kind::Pod);
    let known = |pod: &PodId| ctx.store.pods.at(pod.index(), seen).is_some_and(|p| p.node == Some(node));
    ctx.store.pods_on(node).iter().copied().filter(known).collect()
}

/// For how long a pod may stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tolerated {
    /// It goes at once.
    Never,
    /// For so many seconds.
    For(u64),
    /// As long as the taints are no others.
    Forever,
}

/// For how long these tolerations tolerate these taints (which are not none): of each taint the first toleration that
/// matches counts, of all of them the shortest.
#[must_use]
pub fn tolerated_for(tolerations: &[Toleration], taints: &[Taint]) -> Tolerated {
    let mut shortest = Tolerated::Forever;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|t| t.tolerates(taint)) else { return Tolerated::Never };
        shortest = match (shortest, toleration.seconds) {
            (Tolerated::Never, _) | (_, Some(0)) => Tolerated::Never,
            (Tolerated::For(old), Some(new)) => Tolerated::For(old.min(new)),
            (Tolerated::Forever, Some(new)) => Tolerated::For(new),
            (old, None) => old,
        };
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::node::{TAINT_NOT_READY, TAINT_UNREACHABLE};

    fn taint(key: &str) -> Taint {
        Taint { key: key.into(), value: String::new(), effect: TaintEffect::NoExecute }
    }

    fn toleration(key: Option<&str>, seconds: Option<u64>) -> Toleration {
        Toleration { key: key.map(Into::into), value: None, effect: Some(TaintEffect::NoExecute), seconds }
    }

    /// GetMatchingTolerations and getMinTolerationTime (v1.36).
    #[test]
    fn how_long_a_pod_may_stay() {
        use Tolerated::{For, Forever, Never};
        let (u, n, o) = (Some(TAINT_UNREACHABLE), Some(TAINT_NOT_READY), Some("dedicated"));
        let (unreachable, both) = (&[TAINT_UNREACHABLE][..], &[TAINT_UNREACHABLE, TAINT_NOT_READY][..]);
        for (tolerations, taints, expected) in [
            (vec![], unreachable, Never),
            (vec![(u, Some(300))], unreachable, For(300)),
            (vec![(u, Some(300)), (n, Some(300))], unreachable, For(300)),
            (vec![(n, Some(300))], unreachable, Never),
            (vec![(u, None)], unreachable, Forever),
            (vec![(None, None)], both, Forever),
            (vec![(None, Some(5))], both, For(5)),
            (vec![(u, Some(0))], unreachable, Never),
            (vec![(u, Some(20)), (n, Some(10))], both, For(10)),
            (vec![(u, None), (n, Some(10))], both, For(10)),
            (vec![(u, Some(10)), (n, None)], both, For(10)),
            (vec![(u, None), (n, None)], both, Forever),
            (vec![(u, Some(10))], both, Never),
            // the first that matches counts, not the longest or the shortest
            (vec![(u, Some(60)), (u, Some(5))], unreachable, For(60)),
            (vec![(u, Some(60)), (u, None)], unreachable, For(60)),
            (vec![(None, None), (u, Some(5))], unreachable, Forever),
            (vec![(o, None)], unreachable, Never),
            (vec![(u, Some(60)), (o, Some(1))], unreachable, For(60)),
        ] {
            let tolerations: Vec<_> = tolerations.into_iter().map(|(key, s)| toleration(key, s)).collect();
            let taints: Vec<_> = taints.iter().map(|key| taint(key)).collect();
            assert_eq!(tolerated_for(&tolerations, &taints), expected, "{tolerations:?} {taints:?}");
        }
    }
}
