//! Scenarios as tests: each expectation over as many runs as it takes, and judged.

use crate::analysis::judge::{Judgement, Verdict, judge};
use crate::analysis::runs;
use crate::scenario::expectation::{Checked, Claim, Expectation};
use crate::scenario::{Scenario, SourcedExpectation, Span};
use crate::simulation::{self, Outcome};

/// A scenario, and which of its expectations are to be tested with which seeds.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where it came from, for people.
    pub path: String,
    /// The scenario.
    pub scenario: Scenario,
    /// The seed of the first run.
    pub first_seed: u64,
    /// `--runs`: how many runs, where the expectation does not say.
    pub runs: Option<u32>,
}

/// One expectation, tested.
#[derive(Clone, Debug)]
pub struct Case {
    /// As it was written.
    pub text: String,
    /// Where.
    pub place: Span,
    /// What it claims.
    pub claim: Claim,
    /// What became of it.
    pub judgement: Judgement,
    /// What would have to be recorded instead, and where: of a recorded value that is no longer right.
    pub correction: Option<(Span, String)>,
}

/// A scenario, tested.
#[derive(Clone, Debug)]
pub struct Tested {
    /// Where it came from.
    pub path: String,
    /// The scenario's name.
    pub scenario: String,
    /// By expectation, in the order of the file.
    pub cases: Vec<Case>,
}

impl Subject {
    /// How many runs an expectation takes: what it says itself, else `--runs`, else as many as its claim needs.
    #[must_use]
    pub fn runs_of(&self, expectation: &Expectation) -> u32 {
        if expectation.recorded().is_some() {
            return 1;
        }
        let usual = expectation.claim().usual_runs();
        expectation.seeds().unwrap_or_else(|| match (expectation.claim(), self.runs) {
            (_, None) => usual,
            (claim, Some(runs)) => runs.max(claim.fewest_runs()),
        })
    }

    /// How many runs all its expectations take together: they share them.
    #[must_use]
    pub fn runs(&self) -> u32 {
        let each = self.scenario.expectations.iter().map(|e| self.runs_of(&e.expectation));
        each.max().unwrap_or(0)
    }
}

/// What is kept of one run.
struct Kept {
    seed: u64,
    checks: Vec<Checked>,
    /// By expectation: what would be recorded.
    values: Vec<Option<String>>,
}

impl Kept {
    fn new(outcome: &Outcome, expectations: &[SourcedExpectation]) -> Self {
        let value = |e: &SourcedExpectation| e.recorded.as_ref().and_then(|_| e.expectation.value_of(outcome));
        Self {
            seed: outcome.seed,
            checks: expectations.iter().map(|e| e.expectation.evaluate(outcome)).collect(),
            values: expectations.iter().map(value).collect(),
        }
    }
}

/// Tests scenarios on so many threads (0: one a core); `progress` is told how many runs are done. The result does not
/// depend on the number of threads.
pub fn test(subjects: &[Subject], jobs: usize, progress: impl Fn(u64) + Sync) -> Vec<Tested> {
    let seeds = |(number, subject): (usize, &Subject)| {
        let first = subject.first_seed;
        (0..u64::from(subject.runs())).map(move |index| (number, first.wrapping_add(index)))
    };
    let work: Vec<(usize, u64)> = subjects.iter().enumerate().flat_map(seeds).collect();
    let run = |(number, seed): &(usize, u64)| {
        let scenario = &subjects[*number].scenario;
        Kept::new(&simulation::run(&scenario.setup, *seed, false), &scenario.expectations)
    };
    let mut kept = runs::in_order(&work, jobs, run, progress).into_iter();
    let tested = |subject: &Subject| {
        let runs: Vec<Kept> = kept.by_ref().take(subject.runs() as usize).collect();
        Tested {
            path: subject.path.clone(),
            scenario: subject.scenario.name.clone(),
            cases: (0..subject.scenario.expectations.len()).map(|index| case(subject, index, &runs)).collect(),
        }
    };
    subjects.iter().map(tested).collect()
}

fn case(subject: &Subject, index: usize, runs: &[Kept]) -> Case {
    let SourcedExpectation { expectation, span, recorded } = &subject.scenario.expectations[index];
    let count = subject.runs_of(expectation) as usize;
    let checks: Vec<(u64, &Checked)> = runs.iter().take(count).map(|r| (r.seed, &r.checks[index])).collect();
    let judgement = judge(expectation, &checks);
    let value = runs.first().and_then(|r| r.values[index].clone());
    let correction = recorded.clone().zip(value).filter(|_| judgement.verdict == Verdict::Fails);
    Case {
        text: expectation.text().to_string(),
        place: span.clone(),
        claim: expectation.claim(),
        judgement,
        correction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Input;

    fn subject(expect: &str, runs: Option<u32>) -> Subject {
        let text = crate::scenario::library::find("m06-the-race").unwrap().text;
        let (before, rest) = text.split_once("  expect:\n").unwrap();
        let (_, after) = rest.split_once("---\n").unwrap();
        let lines: String = expect.lines().map(|line| format!("    - {line}\n")).collect();
        let text = format!("{before}  expect:\n{lines}---\n{after}");
        let scenario = Scenario::load(&[Input::Builtin { name: "t".into(), text }], &[]).unwrap();
        Subject { path: "t.yaml".into(), scenario, first_seed: 1, runs }
    }

    #[test]
    fn each_expectation_takes_the_runs_that_it_names_or_needs() {
        let expect = "sentRequests > 0\nsentRequests > 0 for 7 seeds\nsentRequests > 0 in 50% of runs\n\
                      sentRequests == 1 recorded";
        let runs = |runs| {
            let subject = subject(expect, runs);
            subject.scenario.expectations.iter().map(|e| subject.runs_of(&e.expectation)).collect::<Vec<_>>()
        };
        assert_eq!(runs(None), [1, 7, 100, 1]);
        assert_eq!(runs(Some(3)), [3, 7, 5, 1]);
    }

    #[test]
    fn cases_are_the_same_on_any_number_of_threads_and_recorded_values_are_corrected() {
        let subjects = [subject("failedRequests == 0 for 12 seeds\nsentRequests == 1 recorded", None)];
        let one = test(&subjects, 1, |_| ());
        let two = test(&subjects, 2, |_| ());
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
        let cases = &one[0].cases;
        assert_eq!((cases[0].judgement.runs, cases[0].judgement.verdict), (12, Verdict::Fails));
        let (span, value) = cases[1].correction.as_ref().unwrap();
        assert_eq!(span.text(), "1");
        assert!(value.parse::<u64>().unwrap() > 1000, "{value}");
    }
}
