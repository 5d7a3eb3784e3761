//! Two policies under the same weather: the same seeds, and the differences pair by pair.
//!
//! Draws are keyed by what they are for, so request 814 of a client is sent at the same moment and takes as long under
//! both policies. That is why single requests can be compared: lost by one, answered by the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::paired::{Difference, sign_test};
use crate::analysis::runs::{self, CONFIDENCE, Spread};
use crate::scenario::Scenario;
use crate::scenario::expectation::Checked;
use crate::simulation::outcome::{FAILURES_KEPT, FailureKind};
use crate::simulation::{self, Outcome};

/// A request, by what names it under every policy: traffic stream, client's node, number.
pub type RequestId = (String, String, u64);

/// What is kept of one run of one side.
#[derive(Clone, PartialEq, Debug)]
pub struct Facts {
    /// Requests sent.
    pub sent: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Which of them failed how; at most [`FAILURES_KEPT`].
    pub lost: BTreeMap<RequestId, FailureKind>,
    /// By node: how long its last drain took, if it was completed.
    pub drains: BTreeMap<String, Option<f64>>,
    /// Evictions that budgets refused.
    pub denials: u64,
    /// The least slack of all pods, seconds.
    pub least_slack: Option<f64>,
    /// The fewest ready endpoints of any Service with traffic.
    pub min_ready: Option<u64>,
    /// Containers that were killed.
    pub sigkills: u64,
    /// What became of the expectations.
    pub expectations: Vec<Checked>,
}

impl Facts {
    fn new(outcome: &Outcome, scenario: &Scenario) -> Self {
        let name = |names: &[String], at: usize| names.get(at).cloned().unwrap_or_default();
        let id = |f: &simulation::outcome::Failure| {
            let traffic = outcome.traffic.get(f.traffic as usize).map(|t| t.name.clone()).unwrap_or_default();
            (traffic, name(&outcome.node_names, f.client_node.index()), f.number)
        };
        // Requests that are counted in bulk are not the same ones under another policy.
        let single =
            |f: &&simulation::outcome::Failure| outcome.traffic.get(f.traffic as usize).is_none_or(|t| !t.in_bulk);
        let took =
            |d: &simulation::outcome::DrainOutcome| d.completed_at.map(|at| at.since(d.started_at).as_secs_f64());
        let spoken_to = outcome.services.iter().filter(|s| s.requests.sent > 0);
        Self {
            sent: outcome.requests.sent,
            failed: outcome.requests.failed(),
            lost: outcome.failures.iter().filter(|f| single(f)).map(|f| (id(f), f.kind)).collect(),
            drains: outcome.drains.iter().map(|d| (d.node.clone(), took(d))).collect(),
            denials: outcome.pdbs.iter().map(|p| p.denials).sum(),
            least_slack: outcome.pods.iter().filter_map(|p| p.slack_nanos).min().map(|nanos| nanos as f64 / 1e9),
            min_ready: spoken_to.map(|s| u64::from(s.min_ready_endpoints)).min(),
            sigkills: outcome.pods.iter().map(|p| u64::from(p.times.killed_containers)).sum(),
            expectations: scenario.expectations.iter().map(|e| e.expectation.evaluate(outcome)).collect(),
        }
    }
}

/// The two runs of one seed.
#[derive(Clone, PartialEq, Debug)]
pub struct Pair {
    /// The seed.
    pub seed: u64,
    /// The run of A.
    pub a: Facts,
    /// The run of B.
    pub b: Facts,
}

/// Runs both with the seeds `first`, `first + 1`, … on so many threads (0: one a core).
pub fn run(
    a: &Scenario,
    b: &Scenario,
    first: u64,
    count: u32,
    jobs: usize,
    progress: impl Fn(u64) + Sync,
) -> Vec<Pair> {
    let facts = |scenario: &Scenario, seed| Facts::new(&simulation::run(&scenario.setup, seed, false), scenario);
    runs::by_seed(first, count, jobs, |seed| Pair { seed, a: facts(a, seed), b: facts(b, seed) }, progress)
}

/// In what numbers are measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
}

/// One number of a run, under both policies.
#[derive(Clone, PartialEq, Debug)]
pub struct Measure {
    /// What it is.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Whether more of it is worse.
    pub more_is_worse: bool,
    /// Whether getting worse here is a regression by itself: requests are lost. The other numbers are prices that one may
    /// want to pay.
    pub decisive: bool,
    /// How it is spread under A, over the runs in which both have it.
    pub a: Spread,
    /// And under B.
    pub b: Spread,
    /// B − A.
    pub difference: Difference,
}

/// How B compares with A.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The interval of the difference is on the good side of zero.
    Better,
    /// On the bad side.
    Worse,
    /// It contains zero.
    Unclear,
    /// Not one pair differs.
    Same,
}

impl Measure {
    fn new(name: &str, unit: Unit, more_is_worse: bool, decisive: bool, pairs: &[(f64, f64)]) -> Option<Self> {
        let floor = if more_is_worse { 0.0 } else { f64::NEG_INFINITY };
        let side = |side: fn(&(f64, f64)) -> f64| Spread::new(&pairs.iter().map(side).collect::<Vec<_>>(), floor);
        Some(Self {
            name: name.to_string(),
            unit,
            more_is_worse,
            decisive,
            a: side(|p| p.0)?,
            b: side(|p| p.1)?,
            difference: Difference::new(pairs, CONFIDENCE)?,
        })
    }

    /// How B compares with A in it, at 95 %: the interval of the mean difference does not contain zero, or the pairs
    /// split too unevenly for chance.
    #[must_use]
    pub fn change(&self) -> Change {
        let Difference { above, below, p_value, .. } = self.difference;
        if above + below == 0 {
            return Change::Same;
        }
        let (low, high) = self.difference.interval().map_or((f64::MIN, f64::MAX), |i| (i.low, i.high));
        let uneven = p_value < 1.0 - CONFIDENCE;
        let (more, less) = (low > 0.0 || (uneven && above > below), high < 0.0 || (uneven && below > above));
        match (more, less, self.more_is_worse) {
            (true, true, _) | (false, false, _) => Change::Unclear,
            (true, false, true) | (false, true, false) => Change::Worse,
            _ => Change::Better,
        }
    }
}

/// Requests that one policy lost and the other did not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LostByOne {
    /// How many, in all runs.
    pub count: u64,
    /// How they failed.
    pub by_kind: BTreeMap<FailureKind, u64>,
    /// In how many runs there was any.
    pub runs: u64,
    /// The seed with most of them, and the first of them there.
    pub example: Option<(u64, RequestId)>,
}

/// An expectation under both policies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectationPair {
    /// As it was written.
    pub text: String,
    /// In how many runs it held under A.
    pub held_a: u64,
    /// Under B.
    pub held_b: u64,
    /// The first seed with which it holds under A and not under B, and what B gave.
    pub first_broken: Option<(u64, String)>,
}

/// What the pairs say together.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// How many pairs.
    pub pairs: u64,
    /// The seed of the first one.
    pub first_seed: u64,
    /// The numbers, most important first.
    pub measures: Vec<Measure>,
    /// Runs with any failed request: under A only, under B only, and the p-value of McNemar's test.
    pub runs_with_failures: (u64, u64, f64),
    /// Lost by A, answered (or not sent) by B.
    pub lost_by_a: LostByOne,
    /// Lost by B, answered (or not sent) by A.
    pub lost_by_b: LostByOne,
    /// By node: drains completed by A only, by B only.
    pub drains_completed: BTreeMap<String, (u64, u64)>,
    /// Expectations that both scenarios have.
    pub expectations: Vec<ExpectationPair>,
    /// Whether a run had so many failures that not all could be compared one by one.
    pub truncated: bool,
}

impl Comparison {
    /// Compares; `None` for no pairs.
    #[must_use]
    pub fn new(pairs: &[Pair]) -> Option<Self> {
        let first = pairs.first()?;
        let only = |one: fn(&Pair) -> &Facts, other: fn(&Pair) -> &Facts| {
            pairs.iter().filter(|p| one(p).failed > 0 && other(p).failed == 0).count() as u64
        };
        let (only_a, only_b) = (only(|p| &p.a, |p| &p.b), only(|p| &p.b, |p| &p.a));
        Some(Self {
            pairs: pairs.len() as u64,
            first_seed: first.seed,
            measures: measures(pairs),
            runs_with_failures: (only_a, only_b, sign_test(only_a, only_b)),
            lost_by_a: lost_by_one(pairs, |p| (&p.a, &p.b)),
            lost_by_b: lost_by_one(pairs, |p| (&p.b, &p.a)),
            drains_completed: drains_completed(pairs),
            expectations: expectations(pairs),
            truncated: pairs.iter().any(|p| p.a.lost.len() >= FAILURES_KEPT || p.b.lost.len() >= FAILURES_KEPT),
        })
    }

    /// Why B is a step back, a sentence each: it loses more requests, drains that A completes stay undone, expectations
    /// that A meets are broken. Empty if it is none. Slower drains are a price, not a step back.
    #[must_use]
    pub fn regressions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for measure in self.measures.iter().filter(|m| m.decisive && m.change() == Change::Worse) {
            found.push(format!("B has more {}", measure.name));
        }
        let (_, only_b, p_value) = self.runs_with_failures;
        if found.is_empty() && only_b > self.runs_with_failures.0 && p_value < 1.0 - CONFIDENCE {
            found.push(format!("{only_b} runs lose requests under B only"));
        }
        for (node, (only_a, only_b)) in &self.drains_completed {
            if only_a > only_b {
                found.push(format!("the drain of {node} is completed by A and not by B in {only_a} runs"));
            }
        }
        for pair in self.expectations.iter().filter(|e| e.held_b < e.held_a) {
            found.push(format!(
                "`{}` held in {} runs under A, holds in {} under B",
                pair.text, pair.held_a, pair.held_b
            ));
        }
        found
    }

    /// Whether anything differs for certain.
    #[must_use]
    pub fn differs(&self) -> bool {
        !self.regressions().is_empty()
            || self.measures.iter().any(|m| matches!(m.change(), Change::Better | Change::Worse))
    }
}

fn measures(pairs: &[Pair]) -> Vec<Measure> {
    let of = |read: &dyn Fn(&Facts) -> Option<f64>| -> Vec<(f64, f64)> {
        pairs.iter().filter_map(|p| Some((read(&p.a)?, read(&p.b)?))).collect()
    };
    let mut found = vec![Measure::new("failed requests", Unit::Count, true, true, &of(&|f| Some(f.failed as f64)))];
    found.push(Measure::new("least slack", Unit::Seconds, false, false, &of(&|f| f.least_slack)));
    let nodes: BTreeSet<&String> = pairs.iter().flat_map(|p| p.a.drains.keys().chain(p.b.drains.keys())).collect();
    for node in nodes {
        let took = of(&|f| f.drains.get(node).copied().flatten());
        found.push(Measure::new(&format!("drain of {node}"), Unit::Seconds, true, false, &took));
    }
    let budgets = of(&|f| Some(f.denials as f64));
    found.push(Measure::new("evictions denied", Unit::Count, true, false, &budgets));
    found.push(Measure::new(
        "fewest ready endpoints",
        Unit::Count,
        false,
        false,
        &of(&|f| f.min_ready.map(|n| n as f64)),
    ));
    found.push(Measure::new("containers killed", Unit::Count, true, false, &of(&|f| Some(f.sigkills as f64))));
    // What is zero on both sides in every run has nothing to tell, except for lost requests.
    let telling = |m: &Measure| m.decisive || m.a.max != 0.0 || m.b.max != 0.0 || m.a.min != 0.0 || m.b.min != 0.0;
    found.into_iter().flatten().filter(telling).collect()
}

fn lost_by_one(pairs: &[Pair], sides: fn(&Pair) -> (&Facts, &Facts)) -> LostByOne {
    let mut lost = LostByOne::default();
    let mut most = 0;
    for pair in pairs {
        let (one, other) = sides(pair);
        let only: Vec<_> = one.lost.iter().filter(|(id, _)| !other.lost.contains_key(*id)).collect();
        for (_, kind) in &only {
            *lost.by_kind.entry(**kind).or_default() += 1;
        }
        lost.count += only.len() as u64;
        lost.runs += u64::from(!only.is_empty());
        if only.len() > most {
            most = only.len();
            lost.example = Some((pair.seed, only[0].0.clone()));
        }
    }
    lost
}

fn drains_completed(pairs: &[Pair]) -> BTreeMap<String, (u64, u64)> {
    let mut found: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for pair in pairs {
        for node in pair.a.drains.keys().filter(|node| pair.b.drains.contains_key(*node)) {
            let entry = found.entry(node.clone()).or_default();
            let (a, b) = (pair.a.drains[node].is_some(), pair.b.drains[node].is_some());
            entry.0 += u64::from(a && !b);
            entry.1 += u64::from(b && !a);
        }
    }
    found
}

fn expectations(pairs: &[Pair]) -> Vec<ExpectationPair> {
    let Some(first) = pairs.first() else { return Vec::new() };
    let both = first.a.expectations.iter().enumerate().filter_map(|(at_a, checked)| {
        let at_b = first.b.expectations.iter().position(|c| c.text == checked.text)?;
        Some((checked.text.clone(), at_a, at_b))
    });
    let pair = |(text, at_a, at_b): (String, usize, usize)| {
        let sides = || pairs.iter().map(move |p| (p.seed, &p.a.expectations[at_a], &p.b.expectations[at_b]));
        ExpectationPair {
            text,
            held_a: sides().filter(|(_, a, _)| a.passed).count() as u64,
            held_b: sides().filter(|(_, _, b)| b.passed).count() as u64,
            first_broken: sides().find(|(_, a, b)| a.passed && !b.passed).map(|(seed, _, b)| (seed, b.actual.clone())),
        }
    };
    both.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Input;

    fn scenario(sets: &[&str]) -> Scenario {
        let text = crate::scenario::library::find("m07-prestop-sleep").unwrap().text.to_string();
        let light = ["spec.duration=40s", "spec.traffic[0].rate=50/s"];
        let sets: Vec<String> = light.iter().chain(sets).map(ToString::to_string).collect();
        Scenario::load(&[Input::Builtin { name: "t".into(), text }], &sets).unwrap()
    }

    fn comparison(a: &[&str], b: &[&str]) -> Comparison {
        Comparison::new(&run(&scenario(a), &scenario(b), 1, 12, 0, |_| ())).unwrap()
    }

    const SHORT: &str = "preStop=0s";

    #[test]
    fn a_policy_does_not_differ_from_itself() {
        let same = comparison(&[], &[]);
        assert!(same.measures.iter().all(|m| m.change() == Change::Same), "{:?}", same.measures);
        assert!(!same.differs() && same.lost_by_b == LostByOne::default());
    }

    #[test]
    fn a_shorter_pre_stop_is_a_regression_and_a_longer_one_only_slower() {
        let worse = comparison(&[], &[SHORT]);
        let failed = &worse.measures[0];
        assert_eq!(failed.change(), Change::Worse);
        assert!(failed.difference.interval().unwrap().low > 0.0, "{:?}", failed.difference);
        assert!(worse.lost_by_b.count > 0 && worse.lost_by_a.count == 0);
        assert!(worse.lost_by_b.by_kind.contains_key(&FailureKind::Refused));
        assert!(worse.regressions().iter().any(|r| r == "B has more failed requests"), "{:?}", worse.regressions());
        let better = comparison(&[SHORT], &[]);
        assert!(better.regressions().is_empty(), "{:?}", better.regressions());
        let slower = better.measures.iter().find(|m| m.name == "drain of old-1").unwrap();
        assert_eq!(slower.change(), Change::Worse);
        let gap = slower.difference.interval().unwrap();
        assert!(gap.low > 4.5 && gap.high < 5.5, "five seconds of sleep: {gap:?}");
    }
}
