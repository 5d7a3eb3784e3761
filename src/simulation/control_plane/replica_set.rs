//! The ReplicaSet controller: keeps the number of active pods.
//!
//! A pod that is being deleted is no longer active, so its replacement is made as soon as the controller sees the
//! deletionTimestamp, while the old pod still runs. Budgets are not asked when pods are deleted.
//!
//! Source: `pkg/controller/replicaset/replica_set.go` (syncReplicaSet, manageReplicas, slowStartBatch),
//! `replica_set_utils.go` (calculateStatus) and `pkg/controller/controller_utils.go` (ControllerExpectations,
//! ActivePodsWithRanks), v1.36.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Kind, LabelSetId, NodeId, Owner, Phase, Pod, PodId, ReplicaSet, ReplicaSetId};
use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::control_plane::expectations::Expectations;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::Controller;
use crate::simulation::latency::Hop;
use crate::simulation::observe::CauseId;
use crate::simulation::write::{Caller, WorkloadWrite, Write, WriteError};

/// At most so many pods are created or deleted by one sync (BurstReplicas).
const BURST_REPLICAS: u32 = 500;
/// The first batch of creations; each further one is twice as large (SlowStartInitialBatchSize).
const SLOW_START_INITIAL_BATCH_SIZE: u32 = 1;
/// `--concurrent-replicaset-syncs` (`pkg/controller/replicaset/config/v1alpha1/defaults.go`).
const WORKERS: usize = 5;

/// The controller, with its queue and what it remembers of each ReplicaSet.
///
/// Not modelled: pod-deletion-cost, restart counts, and the refusal to sync on a cache that is older than the last own
/// write (1.36), which expectations cover for pods.
#[derive(Clone, Debug)]
pub struct ReplicaSetController {
    queue: WorkQueue,
    client: RateLimit,
    sets: Vec<Tracked>,
}

/// What the controller remembers of one ReplicaSet.
#[derive(Clone, Debug, Default)]
struct Tracked {
    /// Its pods, those that are being deleted included, as far as the informer has told.
    pods: BTreeSet<PodId>,
    /// Pods that nobody controls and that its selector selects, as far as the informer has told.
    orphans: BTreeSet<PodId>,
    next_ordinal: u32,
    expectations: Expectations,
    sync: Option<Sync>,
    status_writes: u64,
    claims: u64,
}

/// A sync that waits for answers.
#[derive(Clone, Debug)]
struct Sync {
    cause: CauseId,
    step: Step,
    /// Requests of this step without an answer.
    outstanding: u32,
    failed: bool,
    /// The status to be written at the end, if it has changed.
    status: Option<Counts>,
    /// When a pod that is ready will have been so for `minReadySeconds`.
    recheck: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Pods whose labels have changed are released or adopted.
    Claim,
    /// Pods are created; `left` have not been asked for.
    Create { batch: u32, left: u32 },
    /// Pods are deleted.
    Delete,
    /// The status is written.
    Status,
}

/// The counts of a ReplicaSet's status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counts {
    replicas: u32,
    ready: u32,
    available: u32,
}

impl Default for ReplicaSetController {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplicaSetController {
    /// A controller that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { queue: WorkQueue::with_default_backoff(WORKERS), client: RateLimit::controller(), sets: Vec::new() }
    }

    /// The start state: the next pod of this ReplicaSet is its `next`-th, those before exist.
    pub fn first_ordinal(&mut self, id: ReplicaSetId, next: u32) {
        self.tracked(id).next_ordinal = next;
    }

    /// The start state: a pod that the controller has known for long.
    pub fn start_with(&mut self, ctx: &Context<'_>, pod: PodId) {
        if let Owner::ReplicaSet(id) = ctx.store.pod_meta[pod.index()].owner {
            self.tracked(id).pods.insert(pod);
        }
    }

    /// The informer delivers a version of a ReplicaSet.
    pub fn on_replica_set(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId) {
        self.queue.add(id.0, ctx.cause);
        self.pump(ctx);
    }

    /// The informer delivers a version of a pod; `old` is the one delivered before, `new` is `None` if it is gone.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, pod: PodId, old: Option<Pod>, new: Option<Pod>) {
        let owner = |version: Option<Pod>| match ctx.store.owner_of(pod, &version?) {
            Owner::ReplicaSet(id) => Some(id),
            _ => None,
        };
        let (before, now) = (owner(old), owner(new));
        if let Some(former) = before.filter(|_| before != now && new.is_some()) {
            // released: the controller ref has changed (updatePod)
            let tracked = self.tracked(former);
            tracked.pods.remove(&pod);
            tracked.expectations.deletions.remove(&pod);
            self.queue.add(former.0, ctx.cause);
        }
        self.on_orphan(ctx, pod, old, new);
        let Some(id) = now.or(before.filter(|_| new.is_none())) else { return self.pump(ctx) };
        let tracked = self.tracked(id);
        match (old, new) {
            // addPod, updatePod: the deletionTimestamp is as good as the end
            (_, Some(new)) if new.deletion.is_some() => {
                tracked.pods.insert(pod);
                tracked.expectations.deletions.remove(&pod);
            }
            (None, Some(_)) => {
                tracked.pods.insert(pod);
                tracked.expectations.creation_observed();
            }
            (_, None) => {
                tracked.pods.remove(&pod);
                tracked.expectations.deletions.remove(&pod);
            }
            (Some(old), Some(new)) => {
                tracked.pods.insert(pod);
                let seen = ctx.controller_view(Kind::ReplicaSet);
                let min_ready = ctx.store.replica_sets.at(id.index(), seen).map_or(0, |rs| rs.min_ready_seconds);
                if !old.ready && new.ready && min_ready > 0 {
                    self.queue.add_after(ctx, Controller::ReplicaSet, id.0, Duration::from_secs(min_ready));
                }
            }
        }
        self.queue.add(id.0, ctx.cause);
        self.pump(ctx);
    }

    /// A delayed key is due.
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.due(key, ctx.now(), ctx.cause);
        self.pump(ctx);
    }

    /// A worker syncs a ReplicaSet (syncReplicaSet).
    pub fn sync(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.begin(ctx, key);
        let id = ReplicaSetId(key);
        let seen = ctx.controller_view(Kind::ReplicaSet);
        let Some(rs) = ctx.store.replica_sets.at(id.index(), seen).cloned() else {
            self.tracked(id).expectations = Expectations::default();
            self.queue.forget(key);
            self.queue.done(key);
            self.pump(ctx);
            return;
        };
        let claims = self.claims(ctx, id, &rs);
        if claims.is_empty() {
            return self.sync_claimed(ctx, id, &rs);
        }
        // whose pods are whose is certain when the answers are there
        let outstanding = u32::try_from(claims.len()).expect("fewer than 2^32 pods");
        let cause = ctx.cause;
        let sync = Sync { cause, step: Step::Claim, outstanding, failed: false, status: None, recheck: None };
        self.tracked(id).sync = Some(sync);
        let luck = Key::new("replicaset claim").number(ctx.luck_of(Kind::ReplicaSet, id.0)).bits();
        for write in claims {
            self.tracked(id).claims += 1;
            let index = self.tracked(id).claims;
            self.submit(ctx, id, Write::Workload(write), luck, index);
        }
    }

    /// The sync goes on with the pods that are the ReplicaSet's.
    fn sync_claimed(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId, rs: &ReplicaSet) {
        let now = ctx.now();
        let active = self.active_pods(ctx, id);
        let (counts, recheck) = calculate_status(&active, rs.min_ready_seconds, now);
        let old = Counts { replicas: rs.status_replicas, ready: rs.ready_replicas, available: rs.available_replicas };
        let sync = Sync {
            cause: ctx.cause,
            step: Step::Status,
            outstanding: 0,
            failed: false,
            status: (counts != old).then_some(counts),
            recheck,
        };
        let tracked = self.tracked(id);
        tracked.sync = Some(sync);
        if tracked.expectations.satisfied(now) {
            self.manage_replicas(ctx, id, rs, &active);
        }
        self.advance(ctx, id);
    }

    /// The answer to one of the controller's writes.
    pub fn written(&mut self, ctx: &mut Context<'_>, key: u32, result: Result<(), WriteError>) {
        let id = ReplicaSetId(key);
        let tracked = self.tracked(id);
        let Some(sync) = tracked.sync.as_mut() else { return };
        sync.outstanding -= 1;
        match (sync.step, result) {
            // a pod that is gone already is as good as deleted; its removal comes through the informer
            (_, Ok(())) | (Step::Claim | Step::Delete, Err(WriteError::NotFound)) => {}
            (Step::Create { .. }, Err(_)) => {
                sync.failed = true;
                tracked.expectations.creation_observed();
            }
            (_, Err(_)) => sync.failed = true,
        }
        self.advance(ctx, id);
    }

    /// A pod that nobody controls: ReplicaSets that select it are to look at it (addPod, updatePod).
    fn on_orphan(&mut self, ctx: &mut Context<'_>, pod: PodId, old: Option<Pod>, new: Option<Pod>) {
        let is_orphan = |version: &Pod| ctx.store.owner_of(pod, version) == Owner::None;
        let labels = new.filter(|p| p.deletion.is_none() && is_orphan(p)).map(|p| p.labels);
        if labels.is_none() && !old.as_ref().is_some_and(is_orphan) {
            return;
        }
        let seen = ctx.controller_view(Kind::ReplicaSet);
        for id in (0..ctx.store.replica_sets.len()).map(ReplicaSetId::from) {
            let rs = ctx.store.replica_sets.at(id.index(), seen);
            let selected = labels.is_some_and(|labels| rs.is_some_and(|rs| selects(ctx, rs, labels)));
            let tracked = self.tracked(id);
            if !selected {
                tracked.orphans.remove(&pod);
            } else if tracked.orphans.insert(pod) {
                self.queue.add(id.0, ctx.cause);
            }
        }
    }

    /// The pods that the labels say should come or go (ClaimPods). Of pods that have ended or are being deleted none does.
    fn claims(&self, ctx: &Context<'_>, id: ReplicaSetId, rs: &ReplicaSet) -> Vec<WorkloadWrite> {
        let Some(tracked) = self.sets.get(id.index()) else { return Vec::new() };
        if rs.selector.requirements.is_empty() {
            return Vec::new();
        }
        let seen = ctx.controller_view(Kind::Pod);
        let active = |pod: &PodId| ctx.store.pods.at(pod.index(), seen).filter(|p| p.is_active());
        let mut known: BTreeMap<LabelSetId, bool> = BTreeMap::new();
        let mut selected = |labels| *known.entry(labels).or_insert_with(|| selects(ctx, rs, labels));
        let mut claims = Vec::new();
        for pod in &tracked.pods {
            if active(pod).is_some_and(|p| !selected(p.labels)) {
                claims.push(WorkloadWrite::ReleasePod { pod: *pod });
            }
        }
        for pod in &tracked.orphans {
            if active(pod).is_some_and(|p| selected(p.labels)) {
                claims.push(WorkloadWrite::AdoptPod { pod: *pod, replica_set: id });
            }
        }
        claims
    }

    fn tracked(&mut self, id: ReplicaSetId) -> &mut Tracked {
        if self.sets.len() <= id.index() {
            self.sets.resize_with(id.index() + 1, Tracked::default);
        }
        &mut self.sets[id.index()]
    }

    fn pump(&mut self, ctx: &mut Context<'_>) {
        self.queue
            .pump(ctx, Controller::ReplicaSet, Hop::ReplicaSetSync, |ctx, key| ctx.luck_of(Kind::ReplicaSet, key));
    }

    /// FilterActivePods over the informer's pods of this ReplicaSet, in order of creation.
    fn active_pods(&self, ctx: &Context<'_>, id: ReplicaSetId) -> Vec<(PodId, Pod)> {
        let seen = ctx.controller_view(Kind::Pod);
        let Some(tracked) = self.sets.get(id.index()) else { return Vec::new() };
        let pods = tracked.pods.iter().filter_map(|p| Some((*p, *ctx.store.pods.at(p.index(), seen)?)));
        pods.filter(|(_, pod)| pod.is_active()).collect()
    }

    /// Begins to create or delete what is too few or too many (manageReplicas).
    fn manage_replicas(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId, rs: &ReplicaSet, active: &[(PodId, Pod)]) {
        let have = u32::try_from(active.len()).expect("fewer than 2^32 pods");
        let now = ctx.now();
        if have < rs.replicas {
            let missing = (rs.replicas - have).min(BURST_REPLICAS);
            let tracked = self.tracked(id);
            tracked.expectations = Expectations { creations: missing, since: now, ..Expectations::default() };
            if let Some(sync) = &mut tracked.sync {
                sync.step = Step::Create { batch: SLOW_START_INITIAL_BATCH_SIZE, left: missing };
            }
            self.create_batch(ctx, id);
        } else if have > rs.replicas {
            let surplus = (have - rs.replicas).min(BURST_REPLICAS);
            let related = self.active_pods_per_node(ctx, id, rs);
            let doomed = pods_to_delete(ctx, active, &related, surplus as usize);
            let tracked = self.tracked(id);
            let deletions = doomed.iter().copied().collect();
            tracked.expectations = Expectations { deletions, since: now, ..Expectations::default() };
            if let Some(sync) = &mut tracked.sync {
                sync.step = Step::Delete;
                sync.outstanding = surplus;
            }
            for pod in doomed {
                let luck = Key::new("replicaset delete").number(ctx.pod_luck(pod)).bits();
                let write = Write::DeletePod { pod, grace_seconds: None, unless_changed_since: None };
                self.submit(ctx, id, write, luck, 0);
            }
        }
    }

    /// Asks for the next batch of pods, all at once (slowStartBatch).
    fn create_batch(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId) {
        let tracked = self.tracked(id);
        let Some(Sync { step: Step::Create { batch, left }, outstanding, .. }) = &mut tracked.sync else { return };
        let size = (*batch).min(*left);
        *left -= size;
        *batch *= 2;
        *outstanding = size;
        let first = tracked.next_ordinal;
        tracked.next_ordinal += size;
        let luck = Key::new("replicaset create").number(ctx.luck_of(Kind::ReplicaSet, id.0)).bits();
        for ordinal in first..first + size {
            self.submit(ctx, id, Write::CreatePod { replica_set: id, ordinal }, luck, u64::from(ordinal));
        }
    }

    fn submit(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId, write: Write, luck: u64, index: u64) {
        let wait = self.client.reserve(ctx.now());
        let way = ctx.latency(Hop::ApiRequest, luck, index) + ctx.latency(Hop::ApiWrite, luck, index);
        ctx.submit_after(wait + way, write, Caller::Controller(Controller::ReplicaSet, id.0));
    }

    /// Goes on with a sync whose requests have all been answered: next batch, status, end.
    fn advance(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId) {
        let tracked = self.tracked(id);
        let Some(sync) = tracked.sync.as_mut() else { return };
        if sync.outstanding > 0 {
            return;
        }
        let outer = std::mem::replace(&mut ctx.cause, sync.cause);
        match sync.step {
            Step::Claim if sync.failed => self.finish(ctx, id),
            Step::Claim => self.claimed(ctx, id),
            Step::Create { left, .. } if left > 0 && !sync.failed => self.create_batch(ctx, id),
            Step::Create { left, .. } => {
                // what was not even tried will not be seen
                tracked.expectations.creations = tracked.expectations.creations.saturating_sub(left);
                self.write_status(ctx, id);
            }
            Step::Delete => self.write_status(ctx, id),
            Step::Status if sync.status.is_some() && !sync.failed => self.write_status(ctx, id),
            Step::Status => self.finish(ctx, id),
        }
        ctx.cause = outer;
    }

    /// The claims have been answered, and the answers tell whose the pods are.
    fn claimed(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId) {
        let tracked = self.tracked(id);
        let known: BTreeSet<PodId> = tracked.pods.union(&tracked.orphans).copied().collect();
        for pod in known {
            let Some(head) = ctx.store.pods.head(pod.index()) else { continue };
            let tracked = self.tracked(id);
            if ctx.store.owner_of(pod, head) == Owner::ReplicaSet(id) {
                tracked.orphans.remove(&pod);
                tracked.pods.insert(pod);
            } else {
                tracked.pods.remove(&pod);
            }
        }
        let seen = ctx.controller_view(Kind::ReplicaSet);
        match ctx.store.replica_sets.at(id.index(), seen).cloned() {
            Some(rs) => self.sync_claimed(ctx, id, &rs),
            None => self.finish(ctx, id),
        }
    }

    fn write_status(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId) {
        let tracked = self.tracked(id);
        let Some(sync) = tracked.sync.as_mut() else { return };
        sync.step = Step::Status;
        let Some(Counts { replicas, ready, available }) = sync.status.take() else { return self.finish(ctx, id) };
        sync.outstanding = 1;
        tracked.status_writes += 1;
        let index = tracked.status_writes;
        let luck = Key::new("replicaset status").number(ctx.luck_of(Kind::ReplicaSet, id.0)).bits();
        let write = Write::ReplicaSetStatus { replica_set: id, replicas, ready, available };
        self.submit(ctx, id, write, luck, index);
    }

    fn finish(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId) {
        let Some(sync) = self.tracked(id).sync.take() else { return };
        if sync.failed {
            let delay = self.queue.fail(id.0);
            self.queue.add_after(ctx, Controller::ReplicaSet, id.0, delay);
        } else {
            self.queue.forget(id.0);
            if let Some(delay) = sync.recheck {
                self.queue.add_after(ctx, Controller::ReplicaSet, id.0, delay);
            }
        }
        self.queue.done(id.0);
        self.pump(ctx);
    }

    /// How many active pods of the same Deployment run on each node (getPodsRankedByRelatedPodsOnSameNode).
    fn active_pods_per_node(&self, ctx: &Context<'_>, id: ReplicaSetId, rs: &ReplicaSet) -> BTreeMap<NodeId, u32> {
        let seen = ctx.controller_view(Kind::ReplicaSet);
        let related = (0..ctx.store.replica_sets.len()).map(ReplicaSetId::from).filter(|other| {
            *other == id
                || rs.deployment.is_some()
                    && ctx.store.replica_sets.at(other.index(), seen).is_some_and(|o| o.deployment == rs.deployment)
        });
        let mut counts = BTreeMap::new();
        for (_, pod) in related.flat_map(|other| self.active_pods(ctx, other)) {
            if let Some(node) = pod.node {
                *counts.entry(node).or_default() += 1;
            }
        }
        counts
    }
}

/// Whether a ReplicaSet's selector selects these labels, in its namespace. An empty one, which the apiserver refuses, selects
/// nothing.
fn selects(ctx: &Context<'_>, rs: &ReplicaSet, labels: LabelSetId) -> bool {
    let set = ctx.store.label_set(labels);
    !rs.selector.requirements.is_empty() && set.namespace == rs.namespace && rs.selector.matches(&set.labels)
}

/// calculateStatus, and FindMinNextPodAvailabilityCheck: when the next pod will have been ready for long enough.
fn calculate_status(active: &[(PodId, Pod)], min_ready_seconds: u64, now: Time) -> (Counts, Option<Duration>) {
    let min_ready = Duration::from_secs(min_ready_seconds);
    let mut counts = Counts::default();
    let mut recheck: Option<Duration> = None;
    for (_, pod) in active {
        counts.replicas += 1;
        if !pod.ready {
            continue;
        }
        counts.ready += 1;
        let available_at = pod.ready_since + min_ready;
        if min_ready.is_zero() || available_at <= now {
            counts.available += 1;
        } else {
            let wait = available_at.since(now);
            recheck = Some(recheck.map_or(wait, |r| r.min(wait)));
        }
    }
    (counts, recheck)
}

/// The first `n` pods in the order of deletion (getPodsToDelete).
fn pods_to_delete(ctx: &Context<'_>, active: &[(PodId, Pod)], related: &BTreeMap<NodeId, u32>, n: usize) -> Vec<PodId> {
    if n >= active.len() {
        return active.iter().map(|(id, _)| *id).collect();
    }
    let now = ctx.now();
    let mut ranked: Vec<_> = active
        .iter()
        .map(|(id, pod)| {
            let doubled_up = pod.node.and_then(|node| related.get(&node)).copied().unwrap_or(0);
            let created_at = ctx.store.pod_meta[id.index()].created_at.truncate_to_second();
            let uid = ctx.random.draw(Key::new("uid").number(ctx.pod_luck(*id)), 0);
            (deletion_rank(pod, doubled_up, created_at, now, uid), *id)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(n).map(|(_, id)| id).collect()
}

/// The place of a pod in the order of deletion, the smallest first (ActivePodsWithRanks.Less): unassigned, Pending, not
/// ready, many related pods on its node, not ready for long or (if it is not ready) not created long ago. Ages are
/// compared by their power of two of nanoseconds only; within one, the UID decides, which is random.
///
/// Simplified to be a total order: pods that became ready in the same second are not compared by their creation.
fn deletion_rank(
    pod: &Pod,
    doubled_up: u32,
    created_at: Time,
    now: Time,
    uid: u64,
) -> (bool, Phase, bool, Reverse<u32>, Option<u32>, u64) {
    let since = if pod.ready { pod.ready_since } else { created_at };
    let age = now.since(since).as_nanos().checked_ilog2();
    (pod.node.is_some(), pod.phase, pod.ready, Reverse(doubled_up), age, uid)
}

#[cfg(test)]
mod tests;
