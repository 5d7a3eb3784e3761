//! As data: `drainsim test -o json`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Entry, Totals};
use crate::report::json::API_VERSION;

/// What became of all expectations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// `drainsim/v1alpha1`.
    pub api_version: &'static str,
    /// `TestResult`.
    pub kind: &'static str,
    /// Expectations that hold.
    pub passed: usize,
    /// Expectations that do not hold.
    pub failed: usize,
    /// Expectations that the runs do not decide.
    pub undecided: usize,
    /// Scenarios that could not be tested.
    pub broken: usize,
    /// Scenarios that were left out after the first failure.
    pub stopped: usize,
    /// By file and line.
    pub cases: Vec<TestCase>,
}

/// One expectation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestCase {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The scenario's name.
    pub scenario: String,
    /// The expectation as it was written.
    pub expectation: String,
    /// `passed`, `failed`, `undecided` or `broken`.
    pub status: &'static str,
    /// How many runs.
    pub runs: u64,
    /// What must be true.
    pub wanted: String,
    /// What is.
    pub actual: String,
    /// What to type to see a run that does not meet it.
    pub replay: Option<String>,
    /// The same for a smaller scenario.
    pub smaller: Option<String>,
}

impl TestResult {
    /// The data of a report.
    #[must_use]
    pub fn new(entries: &[Entry], stopped: usize) -> Self {
        let Totals { passed, undecided, failed, broken } = Totals::of(entries);
        let case = |entry: &Entry| TestCase {
            path: entry.path.clone(),
            line: entry.line,
            column: entry.column,
            scenario: entry.scenario.clone(),
            expectation: entry.name.clone(),
            status: entry.status.word(),
            runs: entry.runs,
            wanted: entry.wanted.clone(),
            actual: entry.actual.clone(),
            replay: entry.replay.clone(),
            smaller: entry.smaller.as_ref().map(|(command, _)| command.clone()),
        };
        Self {
            api_version: API_VERSION,
            kind: "TestResult",
            passed,
            failed,
            undecided,
            broken,
            stopped,
            cases: entries.iter().map(case).collect(),
        }
    }
}
