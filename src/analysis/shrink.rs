//! A smaller scenario in which the same expectation still fails: fewer actions, clients, applications and nodes, fewer
//! replicas, less traffic, a shorter run, nothing else expected, and the smallest seed that will do.
//!
//! What is tried is what `--set` can say, so that the result is a command line and not a new file. First elements of lists are
//! taken away, the last one first; then each number is brought down by bisection between a value that still fails and one
//! that does not; then lists again, for what a number made superfluous. Whatever is taken away, the run after it must fail
//! in the same way; a smaller scenario that cannot be loaded (an element that is named elsewhere), or in which the
//! expectation holds, is passed by. Numbers do not always matter monotonically, so the result is a small failing case, not
//! provably the smallest. The same input gives the same result.

use std::collections::BTreeSet;

use crate::engine::Duration;
use crate::scenario::{Disk, Input, Scenario, outline};
use crate::simulation::outcome::FailureKind;
use crate::simulation::{self, Outcome};

/// Limits of the search, in runs: for the scenario, and for the seed.
const RUNS_MAX: usize = 120;
const SEEDS_MAX: u64 = 200;

/// Lists under `spec` whose elements may be superfluous, the most telling first.
const LISTS: [&str; 5] = ["actions", "traffic", "apps", "nodes", EXPECT];
const EXPECT: &str = "expect";

/// A smaller case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shrunk {
    /// What to give to `--set` besides what was given already, in this order. After each of them the expectation still fails.
    pub sets: Vec<String>,
    /// A seed with which it does: the smallest one, from the first seed that was asked for on.
    pub seed: u64,
    /// What the run gives now.
    pub actual: String,
}

/// A number of a scenario that may be brought down.
struct Knob {
    path: String,
    unit: &'static str,
    /// What it is now, and the least that makes sense.
    value: u64,
    least: u64,
}

/// A failing case.
#[derive(Clone, Copy, Debug)]
pub struct Failing<'a> {
    /// Where the scenario comes from.
    pub inputs: &'a [Input],
    /// What was set.
    pub sets: &'a [String],
    /// The number of the expectation that fails.
    pub index: usize,
    /// The first seed that was tried, and the one with which it fails.
    pub seeds: (u64, u64),
}

/// The search: what has been found so far.
struct Search<'a> {
    case: Failing<'a>,
    kinds: BTreeSet<FailureKind>,
    runs_left: usize,
    kept: Vec<String>,
    /// The number that the expectation has now.
    index: usize,
    actual: String,
}

/// Looks for a smaller scenario that still fails; `None` if there is none, or if it does not fail.
#[must_use]
pub fn shrink(case: Failing<'_>) -> Option<Shrunk> {
    let Failing { inputs, sets, index, seeds: (first, seed) } = case;
    let scenario = Scenario::load(inputs, sets).ok()?;
    let whole = simulation::run(&scenario.setup, seed, false);
    let checked = scenario.expectations.get(index)?.expectation.evaluate(&whole);
    if checked.passed {
        return None;
    }
    let (kinds, actual) = (kinds_of(&whole), checked.actual);
    let mut search = Search { case, kinds, runs_left: RUNS_MAX, kept: Vec::new(), index, actual };
    search.drop_elements();
    search.bring_numbers_down();
    search.drop_elements();
    let (seed, actual) = search.smallest_seed(first, seed);
    (!search.kept.is_empty()).then_some(Shrunk { sets: search.kept, seed, actual })
}

impl Search<'_> {
    /// Takes away what is not needed.
    fn drop_elements(&mut self) {
        for list in LISTS {
            let length = outline::length(&Disk, self.case.inputs, &self.with(None), list);
            for at in (0..length).rev() {
                let here = list == EXPECT && at == self.index;
                let index = if list == EXPECT && at < self.index { self.index - 1 } else { self.index };
                let set = format!("spec.{list}[{at}]-");
                if let Some(actual) = (!here).then(|| self.fails(&set, index)).flatten() {
                    self.keep(set, actual);
                    self.index = index;
                }
            }
        }
    }

    /// Brings numbers down, one after the other.
    fn bring_numbers_down(&mut self) {
        let Ok(scenario) = Scenario::load(self.case.inputs, &self.with(None)) else { return };
        let counts = outline::numbers(&Disk, self.case.inputs, &self.with(None), "nodes", "count");
        let count = |(at, count): (usize, &Option<u64>)| {
            let path = format!("spec.nodes[{at}].count");
            Some(Knob { path, unit: "", value: (*count)?, least: 1 })
        };
        for knob in counts.iter().enumerate().filter_map(count).chain(knobs(&scenario)) {
            // `bad` fails; everything below `good` is not known to.
            let (mut bad, mut good) = (knob.value, knob.least);
            let mut best = None;
            let mut candidate = knob.least;
            while candidate < bad {
                let set = format!("{}={candidate}{}", knob.path, knob.unit);
                match self.fails(&set, self.index) {
                    Some(actual) => {
                        bad = candidate;
                        best = Some((set, actual));
                    }
                    None => good = candidate + 1,
                }
                candidate = good + (bad.saturating_sub(good)) / 2;
            }
            if let Some((set, actual)) = best {
                self.keep(set, actual);
            }
        }
    }

    /// The smallest seed from the first one on, and what its run gives.
    fn smallest_seed(&self, first: u64, seed: u64) -> (u64, String) {
        let before = seed.wrapping_sub(first).min(SEEDS_MAX);
        let Ok(scenario) = Scenario::load(self.case.inputs, &self.with(None)) else {
            return (seed, self.actual.clone());
        };
        let tried = |seed: u64| Some((seed, self.judged(&scenario, seed, self.index)?));
        let earlier = (0..before).map(|n| first.wrapping_add(n)).find_map(tried);
        earlier.unwrap_or_else(|| (seed, self.actual.clone()))
    }

    fn with(&self, more: Option<&String>) -> Vec<String> {
        self.case.sets.iter().chain(&self.kept).chain(more).cloned().collect()
    }

    fn keep(&mut self, set: String, actual: String) {
        self.kept.push(set);
        self.actual = actual;
    }

    /// What the run gives if this is set besides; `None` if it does not fail, or in another way.
    fn fails(&mut self, set: &String, index: usize) -> Option<String> {
        // What cannot be loaded costs no run.
        let smaller = Scenario::load(self.case.inputs, &self.with(Some(set))).ok()?;
        self.runs_left = self.runs_left.checked_sub(1)?;
        self.judged(&smaller, self.case.seeds.1, index)
    }

    fn judged(&self, scenario: &Scenario, seed: u64, index: usize) -> Option<String> {
        let outcome = simulation::run(&scenario.setup, seed, false);
        let checked = scenario.expectations.get(index)?.expectation.evaluate(&outcome);
        // What fails by other means, or because nothing is selected any more, is another failure.
        let same = checked.rank != i64::MAX && kinds_of(&outcome).is_subset(&self.kinds);
        (!checked.passed && same).then_some(checked.actual)
    }
}

/// The ways in which requests failed.
fn kinds_of(outcome: &Outcome) -> BTreeSet<FailureKind> {
    outcome.requests.failed_by.iter().filter(|(_, count)| **count > 0).map(|(kind, _)| *kind).collect()
}

/// What may be brought down, the most telling first.
fn knobs(scenario: &Scenario) -> Vec<Knob> {
    let setup = &scenario.setup;
    let deployments = setup.deployments.iter().map(|d| Knob {
        path: format!("Deployment/{}/{}:spec.replicas", d.namespace, d.name),
        unit: "",
        value: u64::from(d.replicas),
        least: 1,
    });
    let traffic = setup.traffic.iter().enumerate().map(|(number, traffic)| Knob {
        path: format!("spec.traffic[{number}].rate"),
        unit: "/s",
        value: traffic.rate as u64,
        least: 1,
    });
    let second = Duration::from_secs(1).as_nanos();
    let duration =
        Knob { path: "spec.duration".to_string(), unit: "s", value: setup.duration.as_nanos() / second, least: 1 };
    deployments.chain(traffic).chain([duration]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAFFIC: &str = "spec.traffic[1]={name: more, service: nginx-service, rate: 5/s, from: nodes}";
    const CLIENTS: &str = "spec.nodes[4]={name: client, count: 20, taints: [{key: a, effect: NoSchedule}]}";
    const NODE: &str = "spec.nodes[5]={name: idle, count: 20}";

    /// A drain that loses requests, with things about it that do not matter: an action, clients, nodes, expectations.
    fn crowded() -> ([Input; 1], Vec<String>) {
        let text = crate::scenario::library::find("m07-prestop-sleep").unwrap().text.to_string();
        let sets = [
            "preStop=0s",
            "spec.actions[1]={at: 50s, cordon: new-2}",
            CLIENTS,
            NODE,
            "spec.traffic[0].from=nodes",
            TRAFFIC,
            "spec.expect=[sentRequests > 0, failedRequests == 0, sentRequests > 1]",
        ];
        ([Input::Builtin { name: "t".into(), text }], sets.map(str::to_string).to_vec())
    }

    fn fails(inputs: &[Input], sets: &[String], seed: u64) -> Option<(Scenario, u64)> {
        let scenario = Scenario::load(inputs, sets).map_err(|p| p.render(false)).unwrap();
        let failed = simulation::run(&scenario.setup, seed, false).requests.failed();
        (failed > 0).then_some((scenario, failed))
    }

    #[test]
    fn what_does_not_matter_is_dropped_and_each_step_keeps_the_failure() {
        let (inputs, sets) = crowded();
        let case = Failing { inputs: &inputs, sets: &sets, index: 1, seeds: (1, 3) };
        let shrunk = shrink(case).unwrap();
        for steps in 0..=shrunk.sets.len() {
            let so_far: Vec<String> = sets.iter().chain(&shrunk.sets[..steps]).cloned().collect();
            assert!(fails(&inputs, &so_far, 3).is_some(), "{so_far:?}");
        }
        let all: Vec<String> = sets.iter().chain(&shrunk.sets).cloned().collect();
        let (small, failed) = fails(&inputs, &all, shrunk.seed).unwrap();
        assert_eq!(failed.to_string(), shrunk.actual);
        let setup = &small.setup;
        assert_eq!((setup.actions.len(), setup.traffic.len(), small.expectations.len()), (1, 1, 1), "{shrunk:?}");
        assert!(setup.nodes.len() <= 3, "{:?} {shrunk:?}", setup.nodes);
        assert!(setup.duration.as_secs_f64() < 30.0, "{shrunk:?}");
        // No smaller seed fails.
        assert!((1..shrunk.seed).all(|seed| fails(&inputs, &all, seed).is_none()), "{shrunk:?}");
        assert_eq!(shrink(case), Some(shrunk), "twice the same");
    }

    #[test]
    fn what_holds_does_not_shrink() {
        let text = crate::scenario::library::find("m07-prestop-sleep").unwrap().text.to_string();
        let inputs = [Input::Builtin { name: "t".into(), text }];
        assert_eq!(shrink(Failing { inputs: &inputs, sets: &[], index: 0, seeds: (1, 1) }), None);
    }
}
