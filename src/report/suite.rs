//! What `drainsim test` tells: one entry an expectation, what was wanted and what came instead, in the forms that people
//! and CI systems read.

pub mod ci;
pub mod json;
pub mod junit;
pub mod text;

use super::style::{plural, thousands};
use crate::analysis::judge::{Judgement, Verdict};
use crate::analysis::suite::{Case, Tested};
use crate::scenario::expectation::Claim;

/// How an expectation came out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Status {
    /// It holds.
    Passed,
    /// Too few runs to tell.
    Undecided,
    /// It does not hold.
    Failed,
    /// The scenario cannot be read, or the simulator itself failed.
    Broken,
}

impl Status {
    /// The word in results.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Undecided => "undecided",
            Self::Failed => "failed",
            Self::Broken => "broken",
        }
    }
}

/// One expectation, or a scenario that could not be tested.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The file.
    pub path: String,
    /// The scenario's name; the path's if it could not be read.
    pub scenario: String,
    /// The expectation; `the scenario can be run` for one that cannot.
    pub name: String,
    /// Where it is written, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// How it came out.
    pub status: Status,
    /// What must be true, with the number of runs.
    pub wanted: String,
    /// What is.
    pub actual: String,
    /// How many runs.
    pub runs: u64,
    /// The command that shows a run that does not meet it.
    pub replay: Option<String>,
    /// The same for a smaller scenario, and what it gives.
    pub smaller: Option<(String, String)>,
}

impl Entry {
    /// The entry of an expectation that was tested.
    #[must_use]
    pub fn new(tested: &Tested, case: &Case) -> Self {
        let (line, column) = case.place.line_column();
        Self {
            path: tested.path.clone(),
            scenario: tested.scenario.clone(),
            name: case.text.clone(),
            line,
            column,
            status: match case.judgement.verdict {
                Verdict::Holds => Status::Passed,
                Verdict::Fails => Status::Failed,
                Verdict::Undecided => Status::Undecided,
            },
            wanted: wanted(case),
            actual: actual(case),
            runs: case.judgement.runs,
            replay: None,
            smaller: None,
        }
    }

    /// The entry of a scenario that could not be tested: why.
    #[must_use]
    pub fn broken(path: &str, why: &str) -> Self {
        Self {
            path: path.to_string(),
            scenario: path.to_string(),
            name: "the scenario can be run".to_string(),
            line: 1,
            column: 1,
            status: Status::Broken,
            wanted: "a scenario that can be run".to_string(),
            actual: why.to_string(),
            runs: 0,
            replay: None,
            smaller: None,
        }
    }
}

/// How many of each status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Expectations that hold.
    pub passed: usize,
    /// Expectations that the runs do not decide.
    pub undecided: usize,
    /// Expectations that do not hold.
    pub failed: usize,
    /// Scenarios that could not be tested.
    pub broken: usize,
}

impl Totals {
    /// Counts.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Self {
        let count = |status| entries.iter().filter(|e| e.status == status).count();
        Self {
            passed: count(Status::Passed),
            undecided: count(Status::Undecided),
            failed: count(Status::Failed),
            broken: count(Status::Broken),
        }
    }

    /// `3 passed, 1 failed`.
    #[must_use]
    pub fn sentence(self) -> String {
        let parts =
            [(self.passed, "passed"), (self.failed, "failed"), (self.undecided, "undecided"), (self.broken, "broken")];
        let parts: Vec<String> = parts
            .iter()
            .enumerate()
            .filter(|(number, (count, _))| *count > 0 || *number == 0)
            .map(|(_, (count, word))| format!("{} {word}", thousands(*count as u64)))
            .collect();
        parts.join(", ")
    }
}

/// `failedRequests == 0`, and of how many runs that is asked.
fn wanted(case: &Case) -> String {
    let condition = &case.text;
    match (case.claim, case.judgement.runs) {
        (Claim::Always, 0 | 1) => condition.clone(),
        // It says so itself.
        (Claim::Always, _) if condition.ends_with("seeds") => condition.clone(),
        (Claim::Always, runs) => format!("{condition} in each of {}", plural(runs, "run")),
        (Claim::Share { share, confidence }, _) => {
            let (share, confidence) = (percent(share), percent(confidence));
            format!("{condition}: met by at least {share} of all runs, shown with {confidence}")
        }
    }
}

fn actual(case: &Case) -> String {
    let Judgement { runs, held, share, quantile, first_failed, verdict } = &case.judgement;
    let first = first_failed.as_ref().map(|(seed, actual)| (seed, actual.as_str()));
    match (case.claim, first) {
        (Claim::Always, Some((_, actual))) if *runs == 1 => actual.to_string(),
        (Claim::Always, None) if *runs == 1 => "met".to_string(),
        (Claim::Always, None) => {
            let most = percent_up(1.0 - share.low);
            format!("met in all {}; at 95% at most {most} of all runs do not meet it", plural(*runs, "run"))
        }
        (Claim::Always, Some((seed, actual))) => {
            let missed = thousands(runs - held);
            format!("not met in {missed} of {}, first with seed {seed}: {actual}", plural(*runs, "run"))
        }
        (Claim::Share { confidence, .. }, first) => {
            let confidence = percent(confidence);
            let ends = match verdict {
                Verdict::Holds => format!("at least {}", percent_down(share.low)),
                Verdict::Fails => format!("at most {}", percent_up(share.high)),
                Verdict::Undecided => format!("between {} and {}", percent_down(share.low), percent_up(share.high)),
            };
            let mut text = format!("met in {} of {}: {ends} of all runs", thousands(*held), plural(*runs, "run"));
            if let Some(quantile) = quantile {
                let bound = |end: &Option<String>| end.clone().unwrap_or_else(|| "?".to_string());
                let ends = format!("{} to {}", bound(&quantile.low), bound(&quantile.high));
                text = format!("{} ({confidence}: {ends}); {text}", quantile.value);
            }
            if let (Some((seed, actual)), true) = (first, *verdict != Verdict::Holds) {
                text.push_str(&format!("; first not with seed {seed}: {actual}"));
            }
            text
        }
    }
}

/// `99.9%`, without float dust.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1e8).round() / 1e6)
}

/// Rounded so that it does not say more than is known.
fn percent_down(share: f64) -> String {
    format!("{:.2}%", (share * 1e4).floor() / 1e2)
}

fn percent_up(share: f64) -> String {
    format!("{:.2}%", (share * 1e4).ceil() / 1e2)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One entry of each status.
    pub(crate) fn entries() -> Vec<Entry> {
        let entry = |name: &str, status, wanted: &str, actual: &str| Entry {
            path: "tests/a b.yaml".into(),
            scenario: "drain <1>".into(),
            name: name.into(),
            line: 12,
            column: 7,
            status,
            wanted: wanted.into(),
            actual: actual.into(),
            runs: 200,
            replay: None,
            smaller: None,
        };
        let mut failed = entry(
            "failedRequests == 0 for 200 seeds",
            Status::Failed,
            "failedRequests == 0 for 200 seeds",
            "not met in 1 of 200 runs, first with seed 17: 5",
        );
        failed.replay = Some("drainsim run 'tests/a b.yaml' --seed 17".into());
        failed.smaller = Some(("drainsim run 'tests/a b.yaml' --set spec.duration=17s --seed 17".into(), "2".into()));
        vec![
            entry("sentRequests > 0", Status::Passed, "sentRequests > 0", "met"),
            failed,
            entry("p99 of failedRequests < 5", Status::Undecided, "p99 of failedRequests < 5: …", "3 (95%: 2 to ?)"),
            Entry::broken("tests/c.yaml", "error: 100% wrong\nsecond line"),
        ]
    }

    #[test]
    fn totals_name_what_there_is() {
        let totals = Totals::of(&entries());
        assert_eq!(totals, Totals { passed: 1, undecided: 1, failed: 1, broken: 1 });
        assert_eq!(totals.sentence(), "1 passed, 1 failed, 1 undecided, 1 broken");
        assert_eq!(Totals::default().sentence(), "0 passed");
    }

    #[test]
    fn bounds_are_rounded_to_the_safe_side() {
        assert_eq!([percent_up(0.015_001), percent_down(0.989_99)], ["1.51%", "98.99%"]);
        assert_eq!([percent(0.999), percent(0.95)], ["99.9%", "95%"]);
    }
}
