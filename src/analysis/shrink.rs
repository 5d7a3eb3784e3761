//! A smaller scenario in which the same expectation still fails: less traffic, fewer replicas, a shorter run.
//!
//! What is tried is what `--set` can say, so that the result is a command line and not a new file. Each number is brought
//! down by bisection between a value that still fails and one that does not; a smaller scenario that cannot be loaded, or
//! in which the expectation holds, is passed by. Numbers do not always matter monotonically, so the result is a small
//! failing case, not provably the smallest.

use std::collections::BTreeSet;

use crate::engine::Duration;
use crate::scenario::{Input, Scenario};
use crate::simulation::outcome::FailureKind;
use crate::simulation::{self, Outcome};

/// Limits of the search, in runs.
const RUNS_MAX: usize = 60;

/// A smaller case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shrunk {
    /// What to give to `--set` besides what was given already.
    pub sets: Vec<String>,
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

/// Looks for a smaller scenario whose run with `seed` still fails the expectation number `index`; `None` if there is none.
#[must_use]
pub fn shrink(inputs: &[Input], sets: &[String], scenario: &Scenario, index: usize, seed: u64) -> Option<Shrunk> {
    let whole = simulation::run(&scenario.setup, seed, false);
    if scenario.expectations.get(index)?.expectation.evaluate(&whole).passed {
        return None;
    }
    let kinds = kinds_of(&whole);
    let mut runs_left = RUNS_MAX;
    let mut found: Option<Shrunk> = None;
    let mut fails = |extra: &[String]| {
        runs_left = runs_left.checked_sub(1)?;
        let all: Vec<String> = sets.iter().chain(extra).cloned().collect();
        let smaller = Scenario::load(inputs, &all).ok()?;
        let outcome = simulation::run(&smaller.setup, seed, false);
        let checked = smaller.expectations.get(index)?.expectation.evaluate(&outcome);
        // What fails by other means, or because nothing is selected any more, is another failure.
        let same = checked.rank != i64::MAX && kinds_of(&outcome).is_subset(&kinds);
        (!checked.passed && same).then_some(checked.actual)
    };
    let mut kept: Vec<String> = Vec::new();
    for knob in knobs(scenario) {
        // `bad` fails; everything below `good` is not known to.
        let (mut bad, mut good) = (knob.value, knob.least);
        let mut best = None;
        let mut candidate = knob.least;
        while candidate < bad {
            let set = format!("{}={candidate}{}", knob.path, knob.unit);
            let with: Vec<String> = kept.iter().cloned().chain([set.clone()]).collect();
            match fails(&with) {
                Some(actual) => {
                    bad = candidate;
                    best = Some((set, actual));
                }
                None => good = candidate + 1,
            }
            candidate = good + (bad.saturating_sub(good)) / 2;
        }
        if let Some((set, actual)) = best {
            kept.push(set);
            found = Some(Shrunk { sets: kept.clone(), actual });
        }
    }
    found
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

    #[test]
    fn a_failing_case_shrinks_and_still_fails() {
        let text =
            crate::scenario::library::find("m06-the-race").unwrap().text.replace("- failedRequests", "- sentRequests");
        let text = text.replace("  expect:\n", "  expect:\n    - failedRequests == 0\n");
        let inputs = [Input::Builtin { name: "t".into(), text }];
        let scenario = Scenario::load(&inputs, &[]).unwrap();
        let shrunk = shrink(&inputs, &[], &scenario, 0, 1).unwrap();
        assert!(shrunk.sets.iter().any(|s| s.starts_with("spec.duration=")), "{shrunk:?}");
        let smaller = Scenario::load(&inputs, &shrunk.sets).unwrap();
        let outcome = simulation::run(&smaller.setup, 1, false);
        assert_eq!(outcome.requests.failed().to_string(), shrunk.actual);
        assert!(outcome.requests.failed() > 0 && smaller.setup.duration < scenario.setup.duration);
    }

    #[test]
    fn what_holds_does_not_shrink() {
        let text = crate::scenario::library::find("m07-prestop-sleep").unwrap().text.to_string();
        let inputs = [Input::Builtin { name: "t".into(), text }];
        let scenario = Scenario::load(&inputs, &[]).unwrap();
        assert_eq!(shrink(&inputs, &[], &scenario, 0, 1), None);
    }
}
