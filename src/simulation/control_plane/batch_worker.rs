//! What the controllers of StatefulSets, DaemonSets and Jobs have in common: a queue of keys, and syncs that send batches of
//! writes, each after the answers to the one before, and the status at the end.

use std::collections::{BTreeMap, VecDeque};

use crate::api::{Kind, Owner, Pod, PodId, Selector};
use crate::engine::{Duration, Key};
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::Controller;
use crate::simulation::latency::Hop;
use crate::simulation::observe::CauseId;
use crate::simulation::write::{Caller, WorkloadWrite, Write, WriteError};

/// The queue of a controller, and its syncs that wait for answers.
#[derive(Clone, Debug)]
pub struct BatchWorker {
    controller: Controller,
    kind: Kind,
    hop: Hop,
    queue: WorkQueue,
    client: RateLimit,
    runs: BTreeMap<u32, Run>,
    /// How many writes each key has made: tells their draws apart.
    writes: BTreeMap<u32, u64>,
}

/// What a sync has decided to do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The writes of a batch leave together; the next batch follows if all have succeeded.
    pub batches: VecDeque<Vec<Write>>,
    /// Written in the end, also after a failure.
    pub status: Option<Write>,
    /// The key is to be looked at again after this time.
    pub recheck: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Run {
    cause: CauseId,
    plan: Plan,
    /// Deletes are under way: a pod that is gone already is as good as deleted.
    outstanding: usize,
    failed: bool,
}

impl BatchWorker {
    /// A controller with so many workers, for objects of this kind.
    #[must_use]
    pub fn new(controller: Controller, kind: Kind, hop: Hop, queue: WorkQueue) -> Self {
        let client = RateLimit::controller();
        Self { controller, kind, hop, queue, client, runs: BTreeMap::new(), writes: BTreeMap::new() }
    }

    /// Something has happened to the object of this key.
    pub fn add(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.add(key, ctx.cause);
        self.pump(ctx);
    }

    /// The key is to be looked at after this time.
    pub fn add_after(&mut self, ctx: &mut Context<'_>, key: u32, delay: Duration) {
        self.queue.add_after(ctx, self.controller, key, delay);
    }

    /// A delayed key is due.
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.due(key, ctx.now(), ctx.cause);
        self.pump(ctx);
    }

    /// The sync of a key begins to read.
    pub fn begin(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.begin(ctx, key);
    }

    /// Carries out what the sync of a key has decided; an empty plan ends it.
    pub fn carry_out(&mut self, ctx: &mut Context<'_>, key: u32, plan: Plan) {
        self.runs.insert(key, Run { cause: ctx.cause, plan, outstanding: 0, failed: false });
        self.advance(ctx, key);
    }

    /// The answer to one of the writes of a key; whether the sync has ended.
    pub fn written(&mut self, ctx: &mut Context<'_>, key: u32, result: Result<(), WriteError>) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        run.outstanding -= 1;
        // what is gone need not be deleted, released or counted
        run.failed |= result == Err(WriteError::Conflict);
        if run.outstanding == 0 {
            self.advance(ctx, key);
        }
    }

    fn advance(&mut self, ctx: &mut Context<'_>, key: u32) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        if run.failed {
            run.plan.batches.clear();
        }
        let batch = run.plan.batches.pop_front().or_else(|| run.plan.status.take().map(|status| vec![status]));
        let Some(batch) = batch else { return self.finish(ctx, key) };
        if batch.is_empty() {
            return self.advance(ctx, key);
        }
        run.outstanding = batch.len();
        let outer = std::mem::replace(&mut ctx.cause, run.cause);
        let luck = Key::new("batch").number(ctx.luck_of(self.kind, key)).bits();
        for write in batch {
            let index = self.writes.entry(key).or_default();
            *index += 1;
            let way = ctx.latency(Hop::ApiRequest, luck, *index) + ctx.latency(Hop::ApiWrite, luck, *index);
            let wait = self.client.reserve(ctx.now());
            ctx.submit_after(wait + way, write, Caller::Controller(self.controller, key));
        }
        ctx.cause = outer;
    }

    fn finish(&mut self, ctx: &mut Context<'_>, key: u32) {
        let Some(run) = self.runs.remove(&key) else { return };
        if run.failed {
            let delay = self.queue.fail(key);
            self.queue.add_after(ctx, self.controller, key, delay);
        } else {
            self.queue.forget(key);
            if let Some(delay) = run.plan.recheck {
                self.queue.add_after(ctx, self.controller, key, delay);
            }
        }
        self.queue.done(key);
        self.pump(ctx);
    }

    fn pump(&mut self, ctx: &mut Context<'_>) {
        let kind = self.kind;
        self.queue.pump(ctx, self.controller, self.hop, |ctx, key| ctx.luck_of(kind, key));
    }
}

/// Batches of 1, 2, 4, … writes (slowStartBatch).
pub fn slow_start(writes: Vec<Write>) -> VecDeque<Vec<Write>> {
    let mut batches = VecDeque::new();
    let mut rest = writes.into_iter().peekable();
    let mut size = 1;
    while rest.peek().is_some() {
        batches.push_back(rest.by_ref().take(size).collect());
        size *= 2;
    }
    batches
}

/// The pods of an owner as the informer shows them, in order of creation; and the releases of those whose labels no longer
/// match. A selector that is empty, which the apiserver refuses, releases nothing.
///
/// Source: `pkg/controller/controller_ref_manager.go` ClaimPods (v1.36). Adoption is modelled for ReplicaSets only.
pub fn claim(
    ctx: &Context<'_>,
    pods: impl IntoIterator<Item = PodId>,
    owner: &Owner,
    selector: &Selector,
) -> (Vec<(PodId, Pod)>, Vec<Write>) {
    let seen = ctx.controller_view(Kind::Pod);
    let (mut mine, mut releases) = (Vec::new(), Vec::new());
    for id in pods {
        let Some(pod) = ctx.store.pods.at(id.index(), seen).copied() else { continue };
        if ctx.store.owner_of(id, &pod) != *owner {
            continue;
        }
        if selector.matches(&ctx.store.label_set(pod.labels).labels) {
            mine.push((id, pod));
        } else {
            releases.push(Write::Workload(WorkloadWrite::ReleasePod { pod: id }));
        }
    }
    (mine, releases)
}
