//! The result of many runs.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::cases::UnknownApps;
use super::{API_VERSION, Requests, from_nanos};
use crate::analysis::attitudes::Cases;
use crate::analysis::judge::Verdict;
use crate::analysis::runs;
use crate::analysis::statistics::Interval as Ends;

/// Many runs of one scenario.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultSet {
    /// `drainsim/v1alpha1`.
    pub api_version: &'static str,
    /// `ResultSet`.
    pub kind: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// The seed of the first run; the others follow.
    pub first_seed: u64,
    /// How many runs.
    pub runs: u64,
    /// How sure all intervals are.
    pub confidence: f64,
    /// Requests of all runs.
    pub requests: Requests,
    /// Failed requests per run.
    pub failed_requests: Spread,
    /// How many were expected to fail in each run, given what happened to pods and routes: the same mean, and less spread;
    /// null: requests depend on each other, so that nobody knows.
    pub expected_failed_requests: Option<Spread>,
    /// Failed requests as a share of those sent; null if none was sent.
    pub failure_fraction: Option<Estimate>,
    /// The share of runs in which any request failed.
    pub runs_with_failures: Share,
    /// The least slack of each run, seconds.
    pub least_slack_seconds: Option<Spread>,
    /// By node, in the order of the first run.
    pub drains: Vec<DrainSet>,
    /// In the order of the scenario.
    pub expectations: Vec<ExpectationSet>,
    /// The run with most failed requests.
    pub worst: WorstRun,
    /// What may make the result differ from a real cluster's.
    pub warnings: Vec<String>,
    /// What was taken for granted because no manifest can tell it.
    pub assumptions: Vec<String>,
    /// What comes out if applications of which nothing is known do something else; `null` if all are known.
    pub unknown_apps: Option<UnknownApps>,
    /// All runs, in the order of their seeds.
    pub results: Vec<RunSummary>,
}

/// A value between the ends of its confidence interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// The lower end; null: the runs do not bound it.
    pub low: Option<f64>,
    /// The upper end; null: the runs do not bound it.
    pub high: Option<f64>,
}

/// How numbers, one a run, are spread.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Spread {
    /// The mean (Student's interval).
    pub mean: Estimate,
    /// The least.
    pub min: f64,
    /// The median by nearest rank (order-statistic interval).
    pub p50: Estimate,
    /// The 90th percentile.
    pub p90: Estimate,
    /// The 99th percentile.
    pub p99: Estimate,
    /// The greatest.
    pub max: f64,
}

/// A share of runs.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Share {
    /// How many runs.
    pub count: u64,
    /// As a share of all, with Wilson's interval; without any such run the upper end is that of the rule of three.
    #[serde(flatten)]
    pub share: Estimate,
}

/// The drains of one node.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainSet {
    /// The node.
    pub node: String,
    /// How many were started, in all runs.
    pub started: u64,
    /// How many were completed.
    pub completed: u64,
    /// How long the completed ones took.
    pub duration_seconds: Option<Spread>,
    /// Why the others were not completed, the most frequent first.
    pub not_completed: Vec<NotCompleted>,
}

/// Why drains were not completed.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct NotCompleted {
    /// One sentence.
    pub why: String,
    /// How many drains.
    pub drains: u64,
}

/// One expectation over all runs.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpectationSet {
    /// As it was written.
    pub text: String,
    /// Whether what it claims of all runs is shown by these; false also if they are too few to tell.
    pub passed: bool,
    /// In how many runs it held.
    pub passed_runs: Share,
    /// The seed of the first run in which it did not hold.
    pub first_failed_seed: Option<u64>,
    /// What that run gave.
    pub actual: Option<String>,
}

/// The run to look at.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorstRun {
    /// Its seed.
    pub seed: u64,
    /// Its failed requests.
    pub failed_requests: u64,
    /// Its least slack.
    pub least_slack_seconds: Option<f64>,
    /// Why most of its requests failed, in a sentence; null: none did.
    pub cause: Option<String>,
    /// What to type to see it.
    pub command: String,
}

/// One run in few words.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// Its seed.
    pub seed: u64,
    /// Its digest.
    pub digest: String,
    /// Requests sent.
    pub sent: u64,
    /// Requests failed.
    pub failed: u64,
    /// How many were expected to fail, given what happened to pods and routes, if that is known.
    pub expected_failed: Option<f64>,
    /// Its least slack.
    pub least_slack_seconds: Option<f64>,
    /// Whether all expectations held.
    pub passed: bool,
}

/// What a result set tells beside the numbers.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// What the reader of the manifests warned of.
    pub warnings: &'a [String],
    /// What was taken for granted.
    pub assumptions: &'a [String],
    /// What to type to see the worst run.
    pub replay: &'a str,
    /// Why most of its requests failed, if any did.
    pub worst_cause: Option<&'a str>,
    /// What comes out if unknown applications do something else.
    pub cases: Option<&'a Cases>,
}

impl ResultSet {
    /// The data of many runs.
    #[must_use]
    pub fn new(context: &Context<'_>, summary: &runs::Summary, runs: &[runs::Run]) -> Self {
        let failure_fraction = |(value, ends): (f64, Option<Ends>)| Estimate::new(value, ends);
        Self {
            api_version: API_VERSION,
            kind: "ResultSet",
            scenario: context.scenario.to_string(),
            first_seed: runs.first().map_or(0, |r| r.seed),
            runs: summary.runs,
            confidence: runs::CONFIDENCE,
            requests: Requests::new(&summary.requests),
            failed_requests: Spread::new(&summary.failed),
            expected_failed_requests: summary.expected_failed.as_ref().map(Spread::new),
            failure_fraction: summary.failure_fraction.map(failure_fraction),
            runs_with_failures: Share::new(
                summary.runs_with_failures,
                summary.runs,
                summary.runs_with_failures_interval,
            ),
            least_slack_seconds: summary.least_slack.as_ref().map(Spread::new),
            drains: summary.drains.iter().map(DrainSet::new).collect(),
            expectations: summary.expectations.iter().map(|e| ExpectationSet::new(e, summary.runs)).collect(),
            worst: WorstRun {
                seed: summary.worst.seed,
                failed_requests: summary.worst.failed,
                least_slack_seconds: summary.worst.least_slack.map(from_nanos),
                cause: context.worst_cause.map(str::to_string),
                command: context.replay.to_string(),
            },
            warnings: context.warnings.to_vec(),
            assumptions: context.assumptions.to_vec(),
            unknown_apps: context.cases.map(UnknownApps::new),
            results: runs.iter().map(RunSummary::new).collect(),
        }
    }
}

impl Estimate {
    fn new(value: f64, ends: Option<Ends>) -> Self {
        Self { value, low: ends.map(|e| e.low), high: ends.map(|e| e.high) }
    }
}

impl Spread {
    fn new(spread: &runs::Spread) -> Self {
        let [p50, p90, p99] = spread.percentiles.map(|p| Estimate { value: p.value, low: p.low, high: p.high });
        let mean = Estimate::new(spread.mean, spread.mean_interval);
        Self { mean, min: spread.min, p50, p90, p99, max: spread.max }
    }
}

impl Share {
    fn new(count: u64, of: u64, ends: Ends) -> Self {
        Self { count, share: Estimate::new(count as f64 / of.max(1) as f64, Some(ends)) }
    }
}

impl DrainSet {
    fn new(drain: &runs::DrainSummary) -> Self {
        Self {
            node: drain.node.clone(),
            started: drain.started,
            completed: drain.completed,
            duration_seconds: drain.duration.as_ref().map(Spread::new),
            not_completed: (drain.open.iter())
                .map(|(why, drains)| NotCompleted { why: super::super::summary::open_drain(why), drains: *drains })
                .collect(),
        }
    }
}

impl ExpectationSet {
    fn new(expectation: &runs::ExpectationSummary, runs: u64) -> Self {
        Self {
            text: expectation.text.clone(),
            passed: expectation.verdict == Verdict::Holds,
            passed_runs: Share::new(expectation.passed, runs, expectation.passed_interval),
            first_failed_seed: expectation.first_failed.as_ref().map(|(seed, _)| *seed),
            actual: expectation.first_failed.as_ref().map(|(_, actual)| actual.clone()),
        }
    }
}

impl RunSummary {
    fn new(run: &runs::Run) -> Self {
        Self {
            seed: run.seed,
            digest: run.digest.clone(),
            sent: run.requests.sent,
            failed: run.requests.failed(),
            expected_failed: run.expected_failed,
            least_slack_seconds: run.least_slack.map(from_nanos),
            passed: run.expectations.iter().all(|e| e.passed || e.about_many_runs),
        }
    }
}
