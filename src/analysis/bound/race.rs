//! Two evictions and the disruption controller on one budget, in every order.
//!
//! An eviction call reads the budget, writes its status with one disruption less, and deletes its pod; the write is refused if
//! the status has changed since it was read. The controller hears of pods and of the budget late, in any order, computes the
//! status from what it has heard, and writes it under the same condition. All orders of these steps are gone through, so that
//! what is not found cannot happen, and what is found is found by the shortest list of steps. The decisions are those of
//! [`api::eviction`](crate::api::eviction) and [`api::disruption`](crate::api::disruption).
//!
//! Replacements are left out: nothing becomes healthy here. Time stands still: the two minutes for which an admitted eviction
//! counts are longer than the race.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::api::disruption;
use crate::api::eviction::{Refusal, check_and_decrement};
use crate::api::pdb::{Budget, Pdb, PdbStatus};
use crate::api::pod::Pod;
use crate::api::{Deletion, LabelSetId, PdbId, Phase, PodId};
use crate::engine::Time;

/// How often a call that met a conflict is tried again here.
const RETRIES: u8 = 2;

/// One step of somebody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// An eviction call reads the budget.
    Read(u8),
    /// It writes the status.
    Write(u8),
    /// It deletes its pod.
    Delete(u8),
    /// The controller hears of the next deletion.
    HearOfPod,
    /// The controller hears of the next version of the budget.
    HearOfBudget,
    /// The controller begins a sync, by what it has heard.
    SyncReads,
    /// The controller writes what it has computed.
    SyncWrites,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |call: &u8| char::from(b'A' + call);
        match self {
            Self::Read(call) => write!(f, "eviction {} reads the budget", name(call)),
            Self::Write(call) => write!(f, "eviction {} writes the budget's status", name(call)),
            Self::Delete(call) => write!(f, "eviction {} deletes its pod", name(call)),
            Self::HearOfPod => f.write_str("the disruption controller hears of a deletion"),
            Self::HearOfBudget => f.write_str("the disruption controller hears of a new status"),
            Self::SyncReads => f.write_str("the disruption controller begins a sync"),
            Self::SyncWrites => f.write_str("the disruption controller writes the status"),
        }
    }
}

/// What all orders come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Race {
    /// How many evictions the budget allows at the start.
    pub allowed: u32,
    /// How many different states there are.
    pub states: usize,
    /// The shortest list of steps by which both are admitted; `None`: there is none.
    pub both: Option<Vec<Step>>,
    /// … by which a status has changed between one's read and write.
    pub conflict: Option<Vec<Step>>,
    /// … by which one is refused for want of budget.
    pub denied: Option<Vec<Step>>,
    /// … by which more are admitted than the budget allows.
    pub overdrawn: Option<Vec<Step>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Call {
    Idle,
    /// It has read this version.
    Read(u8),
    Admitted,
    Done,
    Denied,
    GivenUp,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct State {
    calls: [Call; 2],
    retries: [u8; 2],
    /// All statuses so far: (disruptionsAllowed, disruptedPods).
    versions: Vec<(u32, Vec<PodId>)>,
    /// Pods in the order of their deletion.
    deleted: Vec<u8>,
    heard_pods: u8,
    heard_version: u8,
    /// The controller's write under way: the version that it read, and the status.
    sync: Option<(u8, u32, Vec<PodId>)>,
    conflict: bool,
}

/// Goes through all orders of two evictions from `pods` healthy pods under a budget.
#[must_use]
pub fn explore(budget: Budget, pods: u32) -> Race {
    let start_status = computed(budget, pods, &[], &PdbStatus::default());
    let allowed = start_status.disruptions_allowed;
    let start = State {
        calls: [Call::Idle, Call::Idle],
        retries: [0; 2],
        versions: vec![(allowed, Vec::new())],
        deleted: Vec::new(),
        heard_pods: 0,
        heard_version: 0,
        sync: None,
        conflict: false,
    };
    let mut race = Race { allowed, ..Race::default() };
    let mut from: BTreeMap<State, Option<(State, Step)>> = BTreeMap::from([(start.clone(), None)]);
    let mut queue = VecDeque::from([start]);
    // Breadth first: the first way to anything is a shortest one.
    while let Some(state) = queue.pop_front() {
        let admitted = state.calls.iter().filter(|c| matches!(c, Call::Admitted | Call::Done)).count();
        let found = [
            (&mut race.both, admitted == 2),
            (&mut race.conflict, state.conflict),
            (&mut race.denied, state.calls.contains(&Call::Denied)),
            (&mut race.overdrawn, admitted > allowed as usize),
        ];
        for (slot, holds) in found {
            if holds && slot.is_none() {
                *slot = Some(way(&from, &state));
            }
        }
        for step in state.steps() {
            let next = state.after(step, budget, pods);
            if !from.contains_key(&next) {
                from.insert(next.clone(), Some((state.clone(), step)));
                queue.push_back(next);
            }
        }
    }
    race.states = from.len();
    race
}

fn way(from: &BTreeMap<State, Option<(State, Step)>>, state: &State) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = state;
    while let Some(Some((before, step))) = from.get(at) {
        steps.push(*step);
        at = before;
    }
    steps.reverse();
    steps
}

impl State {
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (call, number) in self.calls.iter().zip(0..) {
            match call {
                Call::Idle => steps.push(Step::Read(number)),
                Call::Read(_) => steps.push(Step::Write(number)),
                Call::Admitted => steps.push(Step::Delete(number)),
                Call::Done | Call::Denied | Call::GivenUp => {}
            }
        }
        if usize::from(self.heard_pods) < self.deleted.len() {
            steps.push(Step::HearOfPod);
        }
        if usize::from(self.heard_version) + 1 < self.versions.len() {
            steps.push(Step::HearOfBudget);
        }
        steps.push(if self.sync.is_none() { Step::SyncReads } else { Step::SyncWrites });
        steps
    }

    fn after(&self, step: Step, budget: Budget, pods: u32) -> Self {
        let mut next = self.clone();
        let head = u8::try_from(self.versions.len() - 1).unwrap_or(u8::MAX);
        match step {
            Step::Read(call) => {
                let at = usize::from(call);
                let read = check_and_decrement(PdbId(0), &self.pdb(budget, head), PodId(call.into()), Time::ZERO);
                next.calls[at] = match read {
                    Err(Refusal::NoBudget(_)) => Call::Denied,
                    _ => Call::Read(head),
                };
            }
            Step::Write(call) => {
                let at = usize::from(call);
                let Call::Read(read) = self.calls[at] else { return next };
                if read != head {
                    next.conflict = true;
                    next.calls[at] = if self.retries[at] < RETRIES { Call::Idle } else { Call::GivenUp };
                    next.retries[at] += 1;
                } else if let Ok(status) =
                    check_and_decrement(PdbId(0), &self.pdb(budget, read), PodId(call.into()), Time::ZERO)
                {
                    next.versions.push(told(&status));
                    next.calls[at] = Call::Admitted;
                }
            }
            Step::Delete(call) => {
                next.calls[usize::from(call)] = Call::Done;
                next.deleted.push(call);
            }
            Step::HearOfPod => next.heard_pods += 1,
            Step::HearOfBudget => next.heard_version += 1,
            Step::SyncReads => {
                let heard = &self.deleted[..usize::from(self.heard_pods)];
                let old = self.pdb(budget, self.heard_version).status;
                let (allowed, disrupted) = told(&computed(budget, pods, heard, &old));
                if (allowed, &disrupted) != (old.disruptions_allowed, &told(&old).1) {
                    next.sync = Some((self.heard_version, allowed, disrupted));
                }
            }
            Step::SyncWrites => {
                if let Some((read, allowed, disrupted)) = next.sync.take()
                    && read == head
                {
                    next.versions.push((allowed, disrupted));
                }
            }
        }
        next
    }

    fn pdb(&self, budget: Budget, version: u8) -> Pdb {
        let (allowed, disrupted) = &self.versions[usize::from(version)];
        let disrupted_pods = disrupted.iter().map(|pod| (*pod, Time::ZERO)).collect();
        let status = PdbStatus { disruptions_allowed: *allowed, disrupted_pods, ..PdbStatus::default() };
        Pdb { budget, status, ..Pdb::default() }
    }
}

fn told(status: &PdbStatus) -> (u32, Vec<PodId>) {
    (status.disruptions_allowed, status.disrupted_pods.iter().map(|(pod, _)| *pod).collect())
}

/// The status that the controller computes when it has heard of these deletions.
fn computed(budget: Budget, pods: u32, deleted: &[u8], old: &PdbStatus) -> PdbStatus {
    let pod = |number: u32| {
        let mut pod = Pod::created(LabelSetId(0), None);
        (pod.phase, pod.ready) = (Phase::Running, true);
        if deleted.iter().any(|d| u32::from(*d) == number) {
            pod.deletion = Some(Deletion { timestamp: Time::from_secs(30), grace_seconds: 30 });
        }
        (PodId(number), pod)
    };
    let pods_now: Vec<(PodId, Pod)> = (0..pods).map(pod).collect();
    disruption::status(budget, &pods_now, || Some(pods), old, Time::ZERO).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::IntOrPercent;

    fn race(min_available: u32, pods: u32) -> Race {
        explore(Budget::MinAvailable(IntOrPercent::Int(min_available)), pods)
    }

    #[test]
    fn no_order_overdraws_a_budget_of_one() {
        let race = race(2, 3);
        assert_eq!((race.allowed, &race.both, &race.overdrawn), (1, &None, &None));
        assert!(race.states > 100, "{} states", race.states);
        assert_eq!(race.denied.unwrap(), [Step::Read(0), Step::Write(0), Step::Read(1)]);
    }

    #[test]
    fn the_shortest_conflict_is_two_reads_before_two_writes() {
        let race = race(1, 3);
        assert_eq!(race.allowed, 2);
        assert_eq!(race.conflict.unwrap(), [Step::Read(0), Step::Read(1), Step::Write(0), Step::Write(1)]);
        assert_eq!(race.both.unwrap(), [Step::Read(0), Step::Write(0), Step::Read(1), Step::Write(1)]);
        assert_eq!(race.overdrawn, None);
    }
}
