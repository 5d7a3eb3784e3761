//! One candidate: a sleep and budgets, and what its runs show.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::open_drain::OpenDrain;
use crate::analysis::statistics::{self, Interval};
use crate::analysis::tune::Promise;
use crate::simulation::Outcome;
use crate::simulation::outcome::{FailureKind, PodActivity, PodOutcome};

/// What is kept of one run.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Kept {
    seed: u64,
    pub(super) good: bool,
    lost: bool,
    short: bool,
    late: bool,
    unfinished: bool,
    /// Why drains did not end.
    open: Vec<OpenDrain>,
    drain: Option<f64>,
    ready_min: Option<u32>,
    /// The longest time from a deletion to the end of the process, seconds.
    shutdown: Option<f64>,
    killed: bool,
    kinds: Vec<(FailureKind, PodActivity)>,
}

impl Kept {
    /// Judges a run by a promise.
    pub(super) fn new(outcome: &Outcome, promise: Promise) -> Self {
        let took: Option<Vec<f64>> =
            outcome.drains.iter().map(|d| d.completed_at.map(|at| at.since(d.started_at).as_secs_f64())).collect();
        let unfinished = took.is_none();
        let drain = took.and_then(|all| all.into_iter().max_by(f64::total_cmp));
        let over = |within: crate::engine::Duration| drain.is_some_and(|took| took > within.as_secs_f64());
        let late = unfinished || promise.drain_within.is_some_and(over);
        let lost = outcome.requests.failed() > promise.failed_max;
        let asked = outcome.services.iter().filter(|s| s.requests.sent > 0);
        let ready_min = asked.map(|s| s.min_ready_endpoints).min();
        let short = promise.ready_min.zip(ready_min).is_some_and(|(wanted, least)| least < wanted);
        let shutdown = |p: &PodOutcome| {
            let last = p.times.exited_at?.max(p.times.front_exited_at.unwrap_or_default());
            Some(last.since(p.times.deleted_at?).as_secs_f64())
        };
        Self {
            seed: outcome.seed,
            good: !lost && !late && !short,
            lost,
            short,
            late,
            unfinished,
            open: OpenDrain::all(outcome).into_iter().map(|(_, why)| why).collect(),
            drain,
            ready_min,
            shutdown: outcome.pods.iter().filter_map(shutdown).max_by(f64::total_cmp),
            killed: outcome.pods.iter().any(|p| p.times.killed_containers > 0),
            kinds: outcome.failures.iter().map(|f| (f.kind, f.pod_phase)).collect(),
        }
    }
}

/// A candidate, tried.
#[derive(Clone, PartialEq, Debug)]
pub struct Trial {
    /// The preStop sleep.
    pub seconds: u64,
    /// By budget that is turned: how many pods it lets go at once.
    pub allowed: Vec<u32>,
    /// How many runs were made.
    pub runs: u64,
    /// How many of them broke the promise.
    pub broken: u64,
    /// In how many too many requests failed.
    pub losing: u64,
    /// In how many a Service had fewer ready endpoints than promised.
    pub short: u64,
    /// In how many a drain took too long, or did not end.
    pub late: u64,
    /// In how many of those it did not end.
    pub unfinished: u64,
    /// Why, and in how many runs.
    pub open: BTreeMap<OpenDrain, u64>,
    /// Between which ends the share of runs lies that break the promise, each end at the promise's confidence.
    pub broken_share: Interval,
    /// Whether the runs show that the promise is kept.
    pub shown: bool,
    /// The drain's median and the longest drain seen, seconds, of the runs in which all drains ended.
    pub drain: Option<(f64, f64)>,
    /// The fewest ready endpoints that a Service with clients had in any run.
    pub ready_min: Option<u32>,
    /// The longest time from a deletion to the end of its process, seconds.
    pub shutdown_max: Option<f64>,
    /// In how many runs a container was killed.
    pub killed: u64,
    /// How requests failed, and what their pods were doing.
    pub kinds: BTreeMap<(FailureKind, PodActivity), u64>,
    /// The first seed that broke the promise.
    pub first_broken: Option<u64>,
}

/// What a candidate is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Worth {
    /// It keeps the promise.
    Kept,
    /// It loses too much, or leaves too few ready: a longer sleep or a tighter budget may help.
    Loses,
    /// Its drains take too long: a shorter sleep or a wider budget may help.
    Late,
}

impl Trial {
    /// Of the runs that were kept; `whole`: none was left out.
    pub(super) fn new(seconds: u64, allowed: &[u32], kept: &[Kept], promise: Promise, whole: bool) -> Self {
        let count = |holds: fn(&Kept) -> bool| kept.iter().filter(|k| holds(k)).count() as u64;
        let (runs, broken) = (kept.len() as u64, count(|k| !k.good));
        let broken_share = statistics::clopper_pearson(broken, runs, 2.0 * promise.confidence - 1.0);
        let mut drains: Vec<f64> = kept.iter().filter_map(|k| k.drain).collect();
        drains.sort_by(f64::total_cmp);
        let mut kinds = BTreeMap::new();
        for kind in kept.iter().flat_map(|k| &k.kinds) {
            *kinds.entry(*kind).or_default() += 1;
        }
        let mut open = BTreeMap::new();
        for why in kept.iter().flat_map(|k| k.open.iter().collect::<BTreeSet<_>>()) {
            *open.entry(why.clone()).or_default() += 1;
        }
        Self {
            open,
            seconds,
            allowed: allowed.to_vec(),
            runs,
            broken,
            losing: count(|k| k.lost),
            short: count(|k| k.short),
            late: count(|k| k.late),
            unfinished: count(|k| k.unfinished),
            broken_share,
            shown: whole && 1.0 - broken_share.high >= promise.share,
            drain: statistics::percentile(&drains, 0.5).zip(drains.last().copied()),
            ready_min: kept.iter().filter_map(|k| k.ready_min).min(),
            shutdown_max: kept.iter().filter_map(|k| k.shutdown).max_by(f64::total_cmp),
            killed: count(|k| k.killed),
            kinds,
            first_broken: kept.iter().find(|k| !k.good).map(|k| k.seed),
        }
    }

    /// What it is worth.
    #[must_use]
    pub fn worth(&self) -> Worth {
        match self.shown {
            true => Worth::Kept,
            false if self.late > self.losing.max(self.short) => Worth::Late,
            false => Worth::Loses,
        }
    }

    /// Whether another one of `all` is better in one respect, drain time or share of broken runs, and in none worse.
    #[must_use]
    pub fn is_beaten(&self, all: &[Self]) -> bool {
        let time = |t: &Self| match t.drain {
            Some((median, _)) if 2 * t.unfinished <= t.runs => median,
            _ => f64::INFINITY,
        };
        let share = |t: &Self| t.broken as f64 / t.runs.max(1) as f64;
        let beats = |other: &Self| {
            let (faster, safer) = (time(other).total_cmp(&time(self)), share(other).total_cmp(&share(self)));
            faster.is_le() && safer.is_le() && (faster.is_lt() || safer.is_lt())
        };
        all.iter().any(beats)
    }
}
