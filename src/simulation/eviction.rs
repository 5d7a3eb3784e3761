//! The eviction call as it runs inside the apiserver: reads, the budget's write with its retries, then the two writes that
//! delete the pod. Each step takes the time of what it does, so that two calls can race.
//!
//! Source: `pkg/registry/core/pod/storage/eviction.go` EvictionREST.Create (v1.36).

use std::collections::BTreeMap;

use crate::api::eviction::{self, Refusal, Route};
use crate::api::{PdbId, PodId, Revision};
use crate::engine::{Duration, Key};
use crate::simulation::context::Context;
use crate::simulation::event::Event;
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::write::{Caller, Write, WriteError};

/// `EvictionsRetry`: 20 tries in all, 500 ms apart, each wait up to 10 % longer.
const TRIES_MAX: u32 = 20;
const RETRY_WAIT: Duration = Duration::from_millis(500);
const RETRY_JITTER: f64 = 0.1;

/// A request for an eviction, as the client sends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// The kubectl process that asks.
    pub kubectl: u32,
    /// Its number for the pod.
    pub slot: u32,
    /// The pod.
    pub pod: PodId,
    /// `deleteOptions.gracePeriodSeconds`.
    pub grace_seconds: Option<i64>,
    /// `deleteOptions.dryRun`: decided, but nothing is stored, and no budget is charged.
    pub dry_run: bool,
}

/// An answer on its way back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The request that it answers.
    pub request: Request,
    /// Accepted, or refused.
    pub result: Result<(), Refusal>,
}

/// All eviction calls of a run.
#[derive(Clone, Debug, Default)]
pub struct Evictions {
    calls: Vec<Call>,
    /// How often each pod has been asked for: tells the draws of its calls apart.
    asked: BTreeMap<PodId, u64>,
    /// By budget: evictions that it admitted and refused.
    pub tally: Vec<Tally>,
}

/// What became of the evictions that a budget was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Admitted.
    pub admitted: u64,
    /// Refused with 429.
    pub denied: u64,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    request: Request,
    /// A number for the draws of this call.
    luck: u64,
    state: State,
    /// When the pod was read, no budget was to be asked.
    ignores_budgets: bool,
    /// Tries at the budget's status so far.
    tries: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The request has reached the handler, or a retry begins from the read of the pod.
    Arrived,
    /// The budget is read and decided upon.
    Budget(PdbId),
    /// The budget's status is being written.
    WritingBudget(PdbId),
    /// DisruptionTarget is being written; then the pod is deleted, with this precondition.
    Marking(Option<Revision>),
    /// The delete is being written.
    Deleting,
}

impl Evictions {
    /// Sends a request; it reaches the handler after the way of a request.
    pub fn send(&mut self, ctx: &mut Context<'_>, request: Request) {
        let call = u32::try_from(self.calls.len()).expect("fewer than 2^32 evictions");
        let asked = self.asked.entry(request.pod).or_default();
        *asked += 1;
        let luck = Key::new("eviction").number(ctx.pod_luck(request.pod)).number(*asked).bits();
        self.calls.push(Call { request, luck, state: State::Arrived, ignores_budgets: false, tries: 0 });
        let reads = ctx.latency(Hop::ApiRead, luck, 0) + ctx.latency(Hop::ApiRead, luck, 1); // the pod, the budgets
        ctx.schedule(ctx.latency(Hop::ApiRequest, luck, 0) + reads, Event::Eviction(call));
    }

    /// The next step of a call that is not waiting for a write; an answer if the call is over.
    pub fn step(&mut self, ctx: &mut Context<'_>, call: u32) -> Option<Answer> {
        let Call { request, state, .. } = self.calls[call as usize];
        match state {
            State::Arrived => {
                let Some(pod) = ctx.store.pods.head(request.pod.index()) else {
                    return Some(self.refuse(call, Refusal::NotFound));
                };
                let base = ctx.store.pods.head_revision(request.pod.index());
                let pdbs: Vec<_> = ctx
                    .store
                    .label_set(pod.labels)
                    .pdbs
                    .iter()
                    .filter_map(|id| {
                        let pdb = ctx.store.pdbs.head(id.index())?;
                        Some((*id, pdb.unhealthy, &pdb.status))
                    })
                    .collect();
                self.calls[call as usize].ignores_budgets = eviction::can_ignore_pdb(pod);
                match eviction::route(pod, &pdbs) {
                    Route::Delete { .. } if request.dry_run => return Some(Answer { request, result: Ok(()) }),
                    Route::Delete { unless_changed } => self.delete(ctx, call, unless_changed.then_some(base)),
                    Route::TakeFrom(pdb) => {
                        self.calls[call as usize].state = State::Budget(pdb);
                        return self.step(ctx, call);
                    }
                    Route::Refuse(refusal) => return Some(self.refuse(call, refusal)),
                }
            }
            State::Budget(pdb) => {
                let base = ctx.store.pdbs.head_revision(pdb.index());
                let head = ctx.store.pdbs.head(pdb.index())?;
                match eviction::check_and_decrement(pdb, head, request.pod, ctx.now()) {
                    Err(refusal) => return Some(self.refuse(call, refusal)),
                    Ok(_) if request.dry_run => return Some(Answer { request, result: Ok(()) }),
                    Ok(status) => {
                        self.calls[call as usize].state = State::WritingBudget(pdb);
                        let way = ctx.latency(Hop::ApiWrite, self.calls[call as usize].luck, 1);
                        ctx.submit_after(way, Write::PdbStatus { pdb, base, status }, Caller::Eviction(call));
                    }
                }
            }
            State::WritingBudget(_) | State::Marking(_) | State::Deleting => {}
        }
        None
    }

    /// A write of a call has been answered; an answer if the call is over.
    pub fn written(&mut self, ctx: &mut Context<'_>, call: u32, result: Result<(), WriteError>) -> Option<Answer> {
        let Call { request, state, .. } = self.calls[call as usize];
        match (state, result) {
            (State::WritingBudget(pdb), Ok(())) => {
                ctx.note(What::EvictionAdmitted { pod: request.pod, pdb });
                self.tally_of(pdb).admitted += 1;
                self.delete(ctx, call, None);
            }
            (State::WritingBudget(pdb), Err(_)) => {
                ctx.note(What::EvictionConflict { pod: request.pod });
                return self.retry(ctx, call, State::Budget(pdb), Refusal::Conflict(pdb));
            }
            (State::Marking(base), Ok(())) => {
                self.calls[call as usize].state = State::Deleting;
                // its own mark has made a new version: the precondition moves with it
                let base = base.map(|_| ctx.store.pods.head_revision(request.pod.index()));
                let write = Write::DeletePod {
                    pod: request.pod,
                    grace_seconds: request.grace_seconds,
                    unless_changed_since: base,
                };
                let way = ctx.latency(Hop::ApiWrite, self.calls[call as usize].luck, 3);
                ctx.submit_after(way, write, Caller::Eviction(call));
            }
            (State::Deleting, Ok(())) => return Some(Answer { request, result: Ok(()) }),
            (State::Marking(_) | State::Deleting, Err(WriteError::NotFound)) => {
                return Some(self.refuse(call, Refusal::NotFound));
            }
            (State::Marking(_) | State::Deleting, Err(WriteError::Conflict)) => {
                if !self.calls[call as usize].ignores_budgets {
                    // an unready pod that has changed: the client is asked to come again
                    return Some(self.refuse(call, Refusal::PodChanged));
                }
                return self.retry(ctx, call, State::Arrived, Refusal::PodChanged);
            }
            (State::Arrived | State::Budget(_), _) => {}
        }
        None
    }

    fn delete(&mut self, ctx: &mut Context<'_>, call: u32, unless_changed_since: Option<Revision>) {
        self.calls[call as usize].state = State::Marking(unless_changed_since);
        let write = Write::MarkDisrupted { pod: self.calls[call as usize].request.pod, unless_changed_since };
        let way = ctx.latency(Hop::ApiWrite, self.calls[call as usize].luck, 2);
        ctx.submit_after(way, write, Caller::Eviction(call));
    }

    fn retry(&mut self, ctx: &mut Context<'_>, call: u32, state: State, at_last: Refusal) -> Option<Answer> {
        let tries = self.calls[call as usize].tries + 1;
        if tries == TRIES_MAX {
            return Some(self.refuse(call, at_last));
        }
        self.calls[call as usize].tries = tries;
        self.calls[call as usize].state = state;
        let jitter =
            ctx.random.unit(Key::new("evictionRetry").number(self.calls[call as usize].luck), u64::from(tries));
        let wait = RETRY_WAIT + Duration::from_secs_f64(RETRY_WAIT.as_secs_f64() * RETRY_JITTER * jitter);
        ctx.schedule(wait, Event::Eviction(call));
        None
    }

    fn refuse(&mut self, call: u32, refusal: Refusal) -> Answer {
        let request = self.calls[call as usize].request;
        if let Refusal::NoBudget(pdb) | Refusal::BudgetNotObserved(pdb) = refusal {
            self.tally_of(pdb).denied += 1;
        }
        Answer { request, result: Err(refusal) }
    }

    fn tally_of(&mut self, pdb: PdbId) -> &mut Tally {
        if self.tally.len() <= pdb.index() {
            self.tally.resize(pdb.index() + 1, Tally::default());
        }
        &mut self.tally[pdb.index()]
    }
}
