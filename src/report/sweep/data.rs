//! A sweep as CSV, a line a point, and as JSON.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::analysis::sweep::{Point, Records};
use crate::report::json::API_VERSION;

/// The columns after those of the axes.
const COLUMNS: [&str; 18] = [
    "runs",
    "losing_runs",
    "losing_share",
    "losing_share_low",
    "losing_share_high",
    "failed_p50",
    "failed_p90",
    "failed_p99",
    "failed_max",
    "expected_failed_mean",
    "slack_min_seconds",
    "slack_p50_seconds",
    "drain_p50_seconds",
    "drain_p99_seconds",
    "drain_max_seconds",
    "undrained_runs",
    "ready_endpoints_min",
    "passed_runs",
];

/// RFC 4180, with a header. Empty: there is no such number.
#[must_use]
pub fn csv(records: &Records) -> String {
    let axes = records.header.axes.iter().map(|axis| quoted(&axis.path));
    let mut out = axes.chain(COLUMNS.map(str::to_string)).collect::<Vec<_>>().join(",") + "\r\n";
    for point in records.points() {
        let data = PointData::new(&point);
        let maybe = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
        let numbers = [
            data.runs.to_string(),
            data.losing_runs.to_string(),
            data.losing_share.to_string(),
            data.losing_share_low.to_string(),
            data.losing_share_high.to_string(),
            data.failed_p50.to_string(),
            data.failed_p90.to_string(),
            data.failed_p99.to_string(),
            data.failed_max.to_string(),
            maybe(data.expected_failed_mean),
            maybe(data.slack_min_seconds),
            maybe(data.slack_p50_seconds),
            maybe(data.drain_p50_seconds),
            maybe(data.drain_p99_seconds),
            maybe(data.drain_max_seconds),
            data.undrained_runs.to_string(),
            maybe(data.ready_endpoints_min),
            data.passed_runs.to_string(),
        ];
        let line: Vec<String> = point.values.iter().map(|v| quoted(v)).chain(numbers).collect();
        let _ = write!(out, "{}\r\n", line.join(","));
    }
    out
}

fn quoted(text: &str) -> String {
    let plain = !text.contains([',', '"', '\n', '\r']);
    if plain { text.to_string() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// A sweep as data.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SweepResult {
    /// `drainsim/v1alpha1`.
    pub api_version: &'static str,
    /// `Sweep`.
    pub kind: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// The first seed of every point.
    pub first_seed: u64,
    /// How many runs each point should have.
    pub runs_per_point: u32,
    /// How many runs are not there.
    pub missing_runs: u64,
    /// The paths that were varied.
    pub axes: Vec<String>,
    /// The points.
    pub points: Vec<PointData>,
}

/// One point.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointData {
    /// The values of the axes.
    pub values: Vec<String>,
    /// How many runs.
    pub runs: u64,
    /// How many of them had failed requests.
    pub losing_runs: u64,
    /// Their share.
    pub losing_share: f64,
    /// The lower end of its interval at 95 %.
    pub losing_share_low: f64,
    /// The upper end.
    pub losing_share_high: f64,
    /// Failed requests per run: the median.
    pub failed_p50: f64,
    /// The 90th percentile.
    pub failed_p90: f64,
    /// The 99th percentile.
    pub failed_p99: f64,
    /// The most.
    pub failed_max: f64,
    /// How many were expected to fail, given what happened to pods and routes: the mean over the runs; null: not known.
    pub expected_failed_mean: Option<f64>,
    /// The least slack of all runs.
    pub slack_min_seconds: Option<f64>,
    /// The median of the least slack of a run.
    pub slack_p50_seconds: Option<f64>,
    /// The longest drain of a run: the median.
    pub drain_p50_seconds: Option<f64>,
    /// The 99th percentile.
    pub drain_p99_seconds: Option<f64>,
    /// The longest of all.
    pub drain_max_seconds: Option<f64>,
    /// Runs in which a drain was not completed.
    pub undrained_runs: u64,
    /// The fewest ready endpoints.
    pub ready_endpoints_min: Option<f64>,
    /// Runs that met every expectation.
    pub passed_runs: u64,
}

impl PointData {
    fn new(point: &Point) -> Self {
        let (slack, drain) = (point.slack.as_ref(), point.drain.as_ref());
        let [failed_p50, failed_p90, failed_p99] = point.failed.percentiles.map(|p| p.value);
        Self {
            values: point.values.clone(),
            runs: point.runs,
            losing_runs: point.losing,
            losing_share: point.losing as f64 / point.runs as f64,
            losing_share_low: point.losing_share.low,
            losing_share_high: point.losing_share.high,
            failed_p50,
            failed_p90,
            failed_p99,
            failed_max: point.failed.max,
            expected_failed_mean: point.expected.as_ref().map(|expected| expected.mean),
            slack_min_seconds: slack.map(|s| s.min),
            slack_p50_seconds: slack.map(|s| s.percentiles[0].value),
            drain_p50_seconds: drain.map(|d| d.percentiles[0].value),
            drain_p99_seconds: drain.map(|d| d.percentiles[2].value),
            drain_max_seconds: drain.map(|d| d.max),
            undrained_runs: point.undrained,
            ready_endpoints_min: point.ready.as_ref().map(|r| r.min),
            passed_runs: point.passed,
        }
    }
}

impl SweepResult {
    /// The data of records.
    #[must_use]
    pub fn new(records: &Records) -> Self {
        let header = &records.header;
        Self {
            api_version: API_VERSION,
            kind: "Sweep",
            scenario: header.scenario.clone(),
            first_seed: header.first_seed,
            runs_per_point: header.runs,
            missing_runs: records.missing(),
            axes: header.axes.iter().map(|axis| axis.path.clone()).collect(),
            points: records.points().iter().map(PointData::new).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sweep::tests::records;

    #[test]
    fn every_line_has_all_columns() {
        let text = csv(&records());
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|l| l.split(',').count() == COLUMNS.len() + 1), "{text}");
        assert!(lines[1].starts_with("0s,4,3,0.75,"), "{text}");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    #[test]
    fn the_data_fits_its_schema() {
        let value = serde_json::to_value(SweepResult::new(&records())).unwrap();
        let schema = schemars::schema_for!(SweepResult).to_value();
        jsonschema::validate(&schema, &value).unwrap();
        assert_eq!(value["points"][2]["undrainedRuns"], 1);
    }
}
