//! The scheduler: one pod at a time, filters, then scores; the binding is written while the next pod's cycle begins.
//!
//! Which plugins are modelled is told in `filters` and `scores`, the waiting in `queue`. Not modelled: priorities and
//! preemption, volumes, host ports, extended resources, images that a node already has, several profiles, and the queueing
//! hints' finest distinctions (an event wakes all pods that were refused by a plugin which it concerns).
//!
//! Source: `pkg/scheduler/{schedule_one,eventhandlers}.go` (v1.36).

mod cache;
mod filters;
mod queue;
mod scores;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::api::{Kind, LabelSetId, NodeId, Owner, Pod, PodId, Revision, Store, TemplateId};
use crate::engine::{Key, Time};
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::event::Event;
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::write::{Caller, Write, WriteError};

use cache::{Cache, GroupKey, OwnerKey};
use filters::{Diagnosis, Incoming, Plugins, PreFilter, Verdict};
use queue::{Popped, SchedulingQueue};

/// Fewer nodes than this are all looked at (minFeasibleNodesToFind).
const MIN_FEASIBLE_NODES: usize = 100;
/// minFeasibleNodesPercentageToFind.
const MIN_FEASIBLE_PERCENTAGE: usize = 5;

/// The scheduler, with its cache and its queue.
#[derive(Clone, Debug)]
pub struct Scheduler {
    cache: Cache,
    queue: SchedulingQueue,
    client: RateLimit,
    cycle: Option<Cycle>,
    /// Where the next cycle begins to look for nodes (nextStartNodeIndex).
    next_start: usize,
    /// Why the last attempt of a pod failed.
    failures: BTreeMap<PodId, Diagnosis>,
}

/// The cycle that is under way. It decides by what was known at its beginning.
#[derive(Clone, Debug)]
struct Cycle {
    popped: Popped,
    /// The node, or why there is none.
    decision: Result<NodeId, Diagnosis>,
    /// Something that may help has happened since the beginning.
    hint: bool,
    /// The pod needs no node any more.
    gone: bool,
}

/// What has happened, for those who wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ClusterEvent {
    /// A pod has left its node.
    PodGone,
    /// A pod has come to a node.
    PodPlaced,
    /// A node is new, changed or gone.
    Node(NodeId),
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheduler {
    /// A scheduler that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cache: Cache::default(),
            queue: SchedulingQueue::default(),
            client: RateLimit::scheduler(),
            cycle: None,
            next_start: 0,
            failures: BTreeMap::new(),
        }
    }

    /// The start state: where a pod of this template would be put now, given all nodes of the store and the pods that
    /// were made known by [`assume`](Self::assume) before. `luck` is the pod's, for ties.
    ///
    /// # Errors
    /// Why no node will do, in the words of the event FailedScheduling.
    pub fn place_now(
        &mut self,
        ctx: &Context<'_>,
        template: TemplateId,
        labels: LabelSetId,
        owner: &Owner,
        luck: u64,
    ) -> Result<NodeId, String> {
        self.learn_nodes(&ctx.store, Revision(u64::MAX));
        let pod = Incoming::new(&ctx.store, template, labels, OwnerKey::from(owner));
        self.decide(ctx, &pod, luck, 0).map_err(|diagnosis| diagnosis.text(ctx.version))
    }

    /// The start state: a pod that is on its node already. No effect on one that is on none or has ended.
    pub fn assume(&mut self, ctx: &Context<'_>, pod: PodId) {
        let Some(object) = ctx.store.pods.head(pod.index()).filter(|p| !p.phase.is_terminal()) else { return };
        if let Some(node) = object.node {
            let key = group_key(&ctx.store, pod, object);
            self.cache.put(&ctx.store, pod, key, node, object.deletion.is_none(), false);
        }
    }

    /// The watch delivers a version of a pod; `old` is the one delivered before, `new` is `None` if it is gone.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, pod: PodId, old: Option<Pod>, new: Option<Pod>) {
        // the scheduler's watch leaves out pods that have ended
        let old = old.filter(|p| !p.phase.is_terminal());
        match new.filter(|p| !p.phase.is_terminal()) {
            None => {
                self.forget(pod);
                if self.cache.remove(&ctx.store, pod).is_some() {
                    self.wake(ctx, ClusterEvent::PodGone);
                }
            }
            Some(object) => {
                if let Some(node) = object.node {
                    let is_new = old.is_none_or(|p| p.node.is_none());
                    let key = group_key(&ctx.store, pod, &object);
                    self.cache.put(&ctx.store, pod, key, node, object.deletion.is_none(), false);
                    self.forget(pod);
                    if is_new {
                        self.wake(ctx, ClusterEvent::PodPlaced);
                    }
                } else if object.deletion.is_none() && self.cache.placed(pod).is_none() {
                    self.queue.add(pod, ctx.now(), ctx.cause);
                }
            }
        }
        self.pump(ctx);
    }

    /// The watch delivers a version of a node.
    pub fn on_node(&mut self, ctx: &mut Context<'_>, id: NodeId) {
        let seen = ctx.scheduler_view(Kind::Node);
        self.learn_nodes(&ctx.store, seen);
        self.cache.set_nodes([(id, ctx.store.nodes.at(id.index(), seen).cloned())]);
        self.wake(ctx, ClusterEvent::Node(id));
        self.pump(ctx);
    }

    /// The cycle that is under way ends: the pod is bound, or goes back to the queue.
    pub fn schedule(&mut self, ctx: &mut Context<'_>) {
        let Some(Cycle { popped, decision, hint, gone }) = self.cycle.take() else { return };
        let pod = popped.pod;
        match decision {
            _ if gone => {}
            Ok(node) => {
                let luck = Key::new("bind").number(ctx.pod_luck(pod)).bits();
                let way = ctx.latency(Hop::ApiRequest, luck, popped.attempt)
                    + ctx.latency(Hop::ApiWrite, luck, popped.attempt);
                let wait = self.client.reserve(ctx.now());
                ctx.submit_after(wait + way, Write::BindPod { pod, node }, Caller::Scheduler(pod));
            }
            Err(diagnosis) => {
                let cause = ctx.note(What::PodUnschedulable { pod });
                let version = ctx.version;
                ctx.observer.trace.put_text(cause, || diagnosis.text(version));
                let due = self.queue.failed(pod, &diagnosis, hint, ctx.now(), cause, ctx.version);
                self.failures.insert(pod, diagnosis);
                retry_at(ctx, pod, due);
            }
        }
        self.pump(ctx);
    }

    /// A pod's time in a waiting queue may be over.
    pub fn retry(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let due = self.queue.due(pod, ctx.now(), ctx.cause, ctx.version);
        retry_at(ctx, pod, due);
        self.pump(ctx);
    }

    /// The answer to a binding. One that has succeeded is confirmed by the watch.
    pub fn written(&mut self, ctx: &mut Context<'_>, pod: PodId, result: Result<(), WriteError>) {
        if result.is_ok() || !self.cache.placed(pod).is_some_and(|p| p.assumed) {
            return;
        }
        self.cache.remove(&ctx.store, pod);
        let due = self.queue.error(pod, ctx.now(), ctx.cause, ctx.version);
        retry_at(ctx, pod, due);
        self.wake(ctx, ClusterEvent::PodGone);
        self.pump(ctx);
    }

    /// Why the last attempt to place this pod failed, in the words of the event FailedScheduling; empty if none did.
    #[must_use]
    pub fn unschedulable_reason(&self, ctx: &Context<'_>, pod: PodId) -> String {
        self.failures.get(&pod).map(|diagnosis| diagnosis.text(ctx.version)).unwrap_or_default()
    }

    /// Begins the next cycle, if none is under way.
    fn pump(&mut self, ctx: &mut Context<'_>) {
        if self.cycle.is_some() {
            return;
        }
        let Some(popped) = self.queue.pop(ctx.version) else { return };
        self.learn_nodes(&ctx.store, ctx.scheduler_view(Kind::Node));
        let pod = popped.pod;
        let seen = ctx.scheduler_view(Kind::Pod);
        let Some(object) = ctx.store.pods.at(pod.index(), seen).copied() else {
            self.queue.remove(pod);
            return self.pump(ctx);
        };
        let luck = ctx.pod_luck(pod);
        let key = group_key(&ctx.store, pod, &object);
        let mut incoming = Incoming::new(&ctx.store, key.template, key.labels, key.owner.clone());
        incoming.only_on = ctx.store.pod_meta[pod.index()].only_on;
        let decision = self.decide(ctx, &incoming, luck, popped.attempt);
        if let Ok(node) = decision {
            self.cache.put(&ctx.store, pod, key, node, true, true);
        }
        self.cycle = Some(Cycle { popped, decision, hint: false, gone: false });
        let delay = ctx.latency(Hop::Schedule, luck, popped.attempt);
        let outer = std::mem::replace(&mut ctx.cause, popped.cause);
        ctx.schedule(delay, Event::Schedule);
        ctx.cause = outer;
    }

    /// The best node for a pod (schedulePod).
    fn decide(&mut self, ctx: &Context<'_>, pod: &Incoming<'_>, luck: u64, attempt: u64) -> Result<NodeId, Diagnosis> {
        let store = &ctx.store;
        let filter = PreFilter::new(&mut self.cache, store, pod);
        let feasible = self.find_feasible(&filter);
        let [first, _, ..] = feasible.as_slice() else {
            return feasible.first().copied().ok_or_else(|| filter.diagnose(&self.cache));
        };
        let scores = scores::score(&mut self.cache, store, ctx.version, pod, &feasible);
        let best = scores.iter().copied().max().unwrap_or(0);
        let ties: Vec<_> = feasible.iter().zip(&scores).filter(|(_, s)| **s == best).map(|(n, _)| *n).collect();
        let n = u32::try_from(ties.len()).expect("fewer than 2^32 nodes");
        let chosen = ctx.random.below(Key::new("scheduler").number(luck), attempt, n.max(1));
        Ok(ties.get(chosen as usize).copied().unwrap_or(*first))
    }

    /// The first nodes that will do, from where the cycle before has stopped: in a large cluster not all are looked at
    /// (findNodesThatPassFilters, numFeasibleNodesToFind).
    fn find_feasible(&mut self, filter: &PreFilter<'_>) -> Vec<NodeId> {
        let order = self.cache.order();
        let all = order.len();
        if all == 0 {
            return Vec::new();
        }
        let wanted = if all < MIN_FEASIBLE_NODES {
            all
        } else {
            let percentage = 50usize.saturating_sub(all / 125).max(MIN_FEASIBLE_PERCENTAGE);
            (all * percentage / 100).max(MIN_FEASIBLE_NODES)
        };
        let mut feasible = Vec::with_capacity(wanted);
        let mut looked_at = 0;
        let start = self.next_start % all;
        for node in order[start..].iter().chain(&order[..start]) {
            if feasible.len() == wanted {
                break;
            }
            looked_at += 1;
            if filter.passes(&self.cache, *node) {
                feasible.push(*node);
            }
        }
        self.next_start = (start + looked_at) % all;
        feasible
    }

    /// Takes in the nodes of the start state, of which no delivery tells.
    fn learn_nodes(&mut self, store: &Store, seen: Revision) {
        let known = self.cache.known_nodes();
        if known < store.nodes.len() {
            let at = |index: usize| (NodeId::from(index), store.nodes.at(index, seen).cloned());
            self.cache.set_nodes((known..store.nodes.len()).map(at));
        }
    }

    fn forget(&mut self, pod: PodId) {
        self.queue.remove(pod);
        if let Some(cycle) = self.cycle.as_mut().filter(|c| c.popped.pod == pod) {
            cycle.gone = true;
        }
    }

    /// Lets the unschedulable pods that an event may help try again.
    fn wake(&mut self, ctx: &mut Context<'_>, event: ClusterEvent) {
        let Self { cache, queue, cycle, .. } = self;
        let store = &ctx.store;
        let worth = |pod: PodId, plugins: Plugins| match event {
            ClusterEvent::PodGone => plugins.any_of(Plugins::RESOURCES.or(Plugins::SPREAD).or(Plugins::INTER_POD)),
            ClusterEvent::PodPlaced => plugins.any_of(Plugins::SPREAD.or(Plugins::INTER_POD)),
            ClusterEvent::Node(node) => {
                plugins.any_of(Plugins::SPREAD)
                    || store.pod_meta[pod.index()].only_on.is_none_or(|only| only == node)
                        && Verdict::of(cache.node(node), &store.template_of(pod).placement).refusal.is_none()
            }
        };
        if let Some(Cycle { popped, decision: Err(diagnosis), hint, .. }) = cycle {
            *hint |= worth(popped.pod, diagnosis.plugins);
        }
        let moved: Vec<(PodId, Time)> = queue.move_if(ctx.now(), ctx.cause, ctx.version, worth);
        for (pod, due) in moved {
            retry_at(ctx, pod, Some(due));
        }
    }
}

fn retry_at(ctx: &mut Context<'_>, pod: PodId, due: Option<Time>) {
    if let Some(due) = due {
        ctx.schedule_at(due, Event::ScheduleRetry(pod));
    }
}

fn group_key(store: &Store, pod: PodId, object: &Pod) -> GroupKey {
    let template = store.pod_meta[pod.index()].template;
    GroupKey { labels: object.labels, template, owner: OwnerKey::from(&store.owner_of(pod, object)) }
}
