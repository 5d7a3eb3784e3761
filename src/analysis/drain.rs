//! One question about a cluster, under many seeds: does the drain end, when, and what do clients lose until then.
//!
//! How long to simulate follows from the answer. A run ends soon after the drain has. If it does not end, it is asked
//! whether it ever will; only where that cannot be proved is more time simulated.

pub mod cure;

use std::collections::BTreeMap;

use crate::analysis::deadlock::{self, Deadlock, Remedy};
use crate::api::PdbId;
use crate::engine::Duration;
use crate::simulation::end_state::EndState;
use crate::simulation::outcome::{DrainOutcome, Outcome, PodOutcome, Requests};
use crate::simulation::setup::{ActionKind, When};
use crate::simulation::{Setup, run_until_settled};

/// A run goes on for so long after the last action, so that requests under way come to their ends.
const SETTLE: Duration = Duration::from_secs(30);
/// How long is simulated at first, and then, if nothing could be proved.
const HORIZONS: [Duration; 3] = [Duration::from_secs(600), Duration::from_secs(3600), Duration::from_secs(6 * 3600)];
/// An upgrade of many nodes that still gets on may take longer: twice as long each time, up to this.
const HORIZON_MAX: Duration = Duration::from_secs(16 * 24 * 3600);
/// More changes than these are not looked for.
const REMEDIES_MAX: usize = 8;

/// What came out of one run.
#[derive(Clone, PartialEq, Debug)]
pub struct DrainRun {
    /// The seed.
    pub seed: u64,
    /// The digest of the run.
    pub digest: String,
    /// How long was simulated.
    pub simulated: Duration,
    /// Each node that was to be drained, in the order of the question.
    pub nodes: Vec<NodeEnd>,
    /// From the first drain's start to the last one's end, with what came after it; `None`: not all were drained.
    pub took: Option<Duration>,
    /// The drains that never end.
    pub deadlocks: Vec<Deadlock>,
    /// By Service, in the order of the setup.
    pub services: Vec<ServiceLoss>,
    /// Budgets that refused evictions, as `namespace/name`, and how often.
    pub refusals: Vec<(String, u64)>,
    /// Pods that were made during the run and had no node when it ended: `namespace/name`.
    pub homeless: Vec<String>,
}

/// What became of a node.
#[derive(Clone, PartialEq, Debug)]
pub enum NodeEnd {
    /// It was drained, in this time.
    Drained(Duration),
    /// `kubectl drain` gave it up, with these last words.
    Failed(String),
    /// Its drain never ends; that is proved.
    Never,
    /// Its drain was going on when the simulated time was over; nothing is proved.
    NotYet,
    /// Nobody came to it.
    NotReached,
}

/// What the clients of a Service lost.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceLoss {
    /// `namespace/name`.
    pub name: String,
    /// Its requests.
    pub requests: Requests,
    /// The fewest ready endpoints.
    pub min_ready: u32,
    /// For how long it had none.
    pub without_endpoints: Duration,
    /// It had lost the last one and had none when the run ended.
    pub is_out: bool,
}

impl DrainRun {
    /// Whether every node was drained.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.nodes.iter().all(|n| matches!(n, NodeEnd::Drained(_)))
    }

    /// All failed requests.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.services.iter().map(|s| s.requests.failed()).sum()
    }
}

/// Plays the question once. `nodes` are those that are to be drained.
#[must_use]
pub fn play(setup: &Setup, nodes: &[String], seed: u64) -> DrainRun {
    let mut horizons = HORIZONS.into_iter();
    let mut horizon = HORIZONS[0];
    let mut reached = None;
    loop {
        let outcome = run_until_settled(&Setup { duration: horizon, ..setup.clone() }, seed, false, SETTLE);
        let deadlocks = outcome.end_state.as_deref().map(|state| deadlock::prove(setup, state)).unwrap_or_default();
        let open = outcome.end_state.as_deref().map_or(0, |state| state.drains.len());
        let settled = outcome.end < crate::engine::Time::ZERO + horizon;
        let decided = settled || (deadlocks.len() == open && !more_drains_may_begin(setup, &outcome));
        let run = of(&outcome, nodes, deadlocks);
        let drained = run.nodes.iter().filter(|n| matches!(n, NodeEnd::Drained(_))).count();
        horizon = match horizons.find(|next| *next > horizon) {
            _ if decided => return run,
            Some(next) => next,
            None if Some(drained) > reached && horizon < HORIZON_MAX => horizon * 2,
            None => return run,
        };
        reached = Some(drained);
    }
}

/// Whether the window of an upgrade has a place for a node that nobody has come to yet: between two drains none is open, and
/// nothing is decided all the same.
fn more_drains_may_begin(setup: &Setup, outcome: &Outcome) -> bool {
    let drains = || setup.actions.iter().filter(|a| matches!(a.what, ActionKind::Drain(_)));
    let places = drains().filter(|a| matches!(a.when, When::At(_))).count();
    let begun = setup.actions.iter().enumerate().filter(|(_, a)| matches!(a.what, ActionKind::Drain(_)));
    let begun: Vec<bool> = begun
        .filter_map(|(number, _)| {
            let parts = || outcome.drains.iter().filter(|d| d.action as usize == number);
            parts().next()?;
            Some(parts().all(|d| d.completed_at.is_some()))
        })
        .collect();
    begun.len() < drains().count() && begun.iter().filter(|done| !**done).count() < places
}

/// The first part of a run of [`play`], with its history: as long as the drain goes on, but ten minutes at most.
#[must_use]
pub fn watch(setup: &Setup, seed: u64) -> Outcome {
    run_until_settled(&Setup { duration: HORIZONS[0], ..setup.clone() }, seed, true, SETTLE)
}

fn of(outcome: &Outcome, nodes: &[String], deadlocks: Vec<Deadlock>) -> DrainRun {
    let end_of = |name: &String| {
        let drain = outcome.drains.iter().find(|d| d.node == *name);
        drain.map_or(NodeEnd::NotReached, |drain| node_end(drain, outcome.end_state.as_deref(), &deadlocks))
    };
    let ends: Vec<NodeEnd> = nodes.iter().map(end_of).collect();
    let drained = ends.iter().all(|n| matches!(n, NodeEnd::Drained(_)));
    let start = outcome.drains.iter().map(|d| d.started_at).min();
    let end = outcome.drains.iter().filter_map(|d| d.ended_at).max();
    let service = |s: &crate::simulation::outcome::ServiceOutcome| ServiceLoss {
        name: s.name.clone(),
        requests: s.requests.clone(),
        min_ready: s.min_ready_endpoints,
        without_endpoints: s.zero_endpoints,
        is_out: s.min_ready_endpoints == 0
            && s.ready_endpoints.last().is_some_and(|(_, n)| *n == 0)
            && s.ready_endpoints.iter().any(|(_, n)| *n > 0),
    };
    DrainRun {
        seed: outcome.seed,
        digest: outcome.digest.clone(),
        simulated: outcome.end.since(crate::engine::Time::ZERO),
        took: start.zip(end).filter(|_| drained).map(|(start, end)| end.since(start)),
        nodes: ends,
        deadlocks,
        services: outcome.services.iter().map(service).collect(),
        refusals: outcome.pdbs.iter().filter(|p| p.denials > 0).map(|p| (p.name.clone(), p.denials)).collect(),
        homeless: homeless(outcome),
    }
}

fn homeless(outcome: &Outcome) -> Vec<String> {
    let is_homeless = |p: &&PodOutcome| {
        p.exists && p.node.is_none() && p.times.deleted_at.is_none() && p.created_at > crate::engine::Time::ZERO
    };
    outcome.pods.iter().filter(is_homeless).map(|p| format!("{}/{}", p.namespace, p.name)).collect()
}

fn node_end(drain: &DrainOutcome, state: Option<&EndState>, deadlocks: &[Deadlock]) -> NodeEnd {
    if let Some(at) = drain.completed_at {
        return NodeEnd::Drained(at.since(drain.started_at));
    }
    if drain.ended_at.is_some() {
        return NodeEnd::Failed(last_words(drain));
    }
    let open = state.into_iter().flat_map(|s| &s.drains).find(|d| d.action == drain.action);
    match open {
        Some(open) if open.nodes.get(open.current) != Some(&drain.node) => NodeEnd::NotReached,
        Some(open) if deadlocks.iter().any(|d| d.action == open.action) => NodeEnd::Never,
        _ => NodeEnd::NotYet,
    }
}

/// The line in which kubectl says why.
fn last_words(drain: &DrainOutcome) -> String {
    let lines = || drain.messages.iter().flat_map(|(_, text)| text.lines());
    let error = lines().rfind(|line| line.contains("error"));
    error.or_else(|| lines().last()).unwrap_or("kubectl failed").trim().to_string()
}

/// The changes that resolve the deadlocks of a run, tried one after the other until the drain ends.
#[derive(Clone, PartialEq, Debug)]
pub struct Resolution {
    /// What was changed, in order.
    pub changes: Vec<Remedy>,
    /// What else may help in place of each change.
    pub alternatives: Vec<Vec<Remedy>>,
    /// The run with all changes, if that ends.
    pub run: Option<DrainRun>,
}

/// Looks for changes with which the drain of this run ends, budget by budget.
#[must_use]
pub fn resolve(setup: &Setup, nodes: &[String], run: &DrainRun) -> Resolution {
    let mut resolution = Resolution { changes: Vec::new(), alternatives: Vec::new(), run: None };
    let mut setup = setup.clone();
    let mut run = run.clone();
    for _ in 0..REMEDIES_MAX {
        let Some((budget, candidates)) = next(&run) else { break };
        let blocked = |run: &DrainRun| {
            run.deadlocks
                .iter()
                .flat_map(|d| &d.pods)
                .any(|p| matches!(p.why, deadlock::Why::Budget(b, _) if b == budget))
        };
        let tried = candidates.iter().find_map(|remedy| {
            let changed = remedy.applied(&setup)?;
            let played = play(&changed, nodes, run.seed);
            (!blocked(&played)).then(|| (remedy.clone(), changed, played))
        });
        let Some((remedy, changed, played)) = tried else { break };
        resolution.alternatives.push(candidates.into_iter().filter(|c| *c != remedy).collect());
        resolution.changes.push(remedy);
        (setup, run) = (changed, played);
    }
    resolution.run = run.is_drained().then_some(run);
    resolution
}

/// The first budget that blocks, and what may help, of all its pods.
fn next(run: &DrainRun) -> Option<(PdbId, Vec<Remedy>)> {
    let budget = run.deadlocks.iter().find_map(Deadlock::first_budget)?;
    let mut remedies: Vec<Remedy> = Vec::new();
    for pod in run.deadlocks.iter().flat_map(|d| &d.pods) {
        if matches!(pod.why, deadlock::Why::Budget(b, _) if b == budget) {
            for remedy in &pod.remedies {
                if !remedies.contains(remedy) {
                    remedies.push(remedy.clone());
                }
            }
        }
    }
    Some((budget, remedies))
}

/// How many runs ended how, for a node.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodeTally {
    /// How long the drains took that ended, shortest first.
    pub drained: Vec<Duration>,
    /// kubectl gave up, by its last words.
    pub failed: BTreeMap<String, u64>,
    /// It never ends.
    pub never: u64,
    /// It may end after more time than was simulated.
    pub not_yet: u64,
    /// Nobody came to it.
    pub not_reached: u64,
}

/// Counts by node, in the order of the question.
#[must_use]
pub fn tally(nodes: usize, runs: &[DrainRun]) -> Vec<NodeTally> {
    let mut tallies = vec![NodeTally::default(); nodes];
    for (tally, end) in runs.iter().flat_map(|run| tallies_of(run.nodes.len()).zip(&run.nodes)) {
        let tally = &mut tallies[tally];
        match end {
            NodeEnd::Drained(took) => tally.drained.push(*took),
            NodeEnd::Failed(words) => *tally.failed.entry(words.clone()).or_default() += 1,
            NodeEnd::Never => tally.never += 1,
            NodeEnd::NotYet => tally.not_yet += 1,
            NodeEnd::NotReached => tally.not_reached += 1,
        }
    }
    tallies.iter_mut().for_each(|t| t.drained.sort_unstable());
    tallies
}

fn tallies_of(nodes: usize) -> std::ops::Range<usize> {
    0..nodes
}
