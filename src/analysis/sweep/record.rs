//! What is kept of a sweep's runs, and the file that carries it from a shard to the one who merges: one JSON object a
//! line, the header first.

use serde::{Deserialize, Serialize};

use super::Axis;
use crate::engine::Key;
use crate::scenario::expectation::Expectation;
use crate::simulation::{Outcome, Setup};

/// The kind in the header.
const KIND: &str = "SweepRecords";

/// What identifies a sweep: two files belong together if their headers are equal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// `SweepRecords`.
    pub kind: String,
    /// The version of drainsim: another one may give other results.
    pub version: String,
    /// The scenario's name.
    pub scenario: String,
    /// A hash of what all runs start from.
    pub fingerprint: String,
    /// What is varied.
    pub axes: Vec<Axis>,
    /// The values of each point.
    pub points: Vec<Vec<String>>,
    /// How many runs each point has.
    pub runs: u32,
    /// The seed of each point's first run.
    pub first_seed: u64,
}

/// One run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Its number: point · runs + run.
    pub number: u64,
    /// Its digest.
    pub digest: String,
    /// Requests sent.
    pub sent: u64,
    /// Requests failed.
    pub failed: u64,
    /// How many were expected to fail, given what happened to pods and routes, in millionths; if that is known.
    #[serde(default)]
    pub expected_millionths: Option<u64>,
    /// The longest drain, if all were completed and there was one.
    pub drain_nanos: Option<u64>,
    /// Drains that were not completed.
    pub undrained: u32,
    /// The least slack.
    pub slack_nanos: Option<i64>,
    /// Evictions denied.
    pub denials: u64,
    /// The fewest ready endpoints of any Service with traffic.
    pub ready: Option<u32>,
    /// Whether all expectations were met, those about many runs left aside.
    pub passed: bool,
}

/// The records of a sweep, in the order of their numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Records {
    /// Of which sweep.
    pub header: Header,
    /// The runs.
    pub records: Vec<Record>,
}

/// Why files do not become records.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordsError {
    /// A line is not what it should be.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// There is no file.
    #[error("there is nothing to merge")]
    Nothing,
    /// Headers differ.
    #[error("file {0} belongs to another sweep than the first one: {1}")]
    OtherSweep(usize, &'static str),
    /// Two files have the same run with different results.
    #[error("run {0} is there twice, with different results")]
    Contradiction(u64),
}

impl Header {
    /// The header of a sweep over points that were loaded in this order.
    #[must_use]
    pub fn new(
        scenario: &str,
        axes: &[Axis],
        points: Vec<Vec<String>>,
        runs: u32,
        first_seed: u64,
        loaded: &[(Setup, Vec<Expectation>)],
    ) -> Self {
        let hash = loaded.iter().fold(Key::new("sweep"), |key, (setup, expectations)| {
            let key = key.text(&format!("{setup:?}"));
            expectations.iter().fold(key, |key, e| key.text(e.text()))
        });
        Self {
            kind: KIND.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            scenario: scenario.to_string(),
            fingerprint: format!("{:016x}", hash.bits()),
            axes: axes.to_vec(),
            points,
            runs,
            first_seed,
        }
    }

    fn differs_in(&self, other: &Self) -> Option<&'static str> {
        let checks = [
            (self.version != other.version, "another version of drainsim"),
            (self.scenario != other.scenario, "another scenario"),
            (self.axes != other.axes || self.points != other.points, "other points"),
            (self.runs != other.runs || self.first_seed != other.first_seed, "other seeds"),
            (self.fingerprint != other.fingerprint, "the scenario or its manifests have changed"),
        ];
        checks.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what)
    }
}

impl Record {
    pub(super) fn new(number: u64, outcome: &Outcome, expectations: &[Expectation]) -> Self {
        let took = outcome.drains.iter().map(|d| d.completed_at.map(|at| at.since(d.started_at).as_nanos()));
        let all: Option<Vec<u64>> = took.clone().collect();
        let spoken_to = outcome.services.iter().filter(|s| s.requests.sent > 0);
        Self {
            number,
            digest: outcome.digest.clone(),
            sent: outcome.requests.sent,
            failed: outcome.requests.failed(),
            expected_millionths: outcome.expected_failed().map(|expected| (expected * 1e6).round() as u64),
            drain_nanos: all.and_then(|all| all.into_iter().max()),
            undrained: u32::try_from(took.filter(Option::is_none).count()).unwrap_or(u32::MAX),
            slack_nanos: outcome.pods.iter().filter_map(|p| p.slack_nanos).min(),
            denials: outcome.pdbs.iter().map(|p| p.denials).sum(),
            ready: spoken_to.map(|s| s.min_ready_endpoints).min(),
            passed: expectations.iter().map(|e| e.evaluate(outcome)).all(|c| c.passed || c.about_many_runs),
        }
    }
}

impl Records {
    /// As lines of JSON.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let header = serde_json::to_string(&self.header);
        let records = self.records.iter().map(serde_json::to_string);
        // Plain structs of numbers and texts can always be written.
        [header].into_iter().chain(records).filter_map(Result::ok).fold(String::new(), |out, line| out + &line + "\n")
    }

    /// Reads lines of JSON.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn from_lines(text: &str) -> Result<Self, RecordsError> {
        let wrong = |line: usize, why: String| RecordsError::Line { line, why };
        let mut lines = text.lines();
        let header: Header = serde_json::from_str(lines.next().unwrap_or_default())
            .map_err(|e| wrong(1, format!("this is not the header of a sweep: {e}")))?;
        if header.kind != KIND {
            return Err(wrong(1, format!("expected kind {KIND}, found {}", header.kind)));
        }
        let most = header.points.len() as u64 * u64::from(header.runs);
        let mut records = Vec::new();
        for (number, line) in lines.enumerate() {
            let record: Record = serde_json::from_str(line).map_err(|e| wrong(number + 2, e.to_string()))?;
            if record.number >= most {
                return Err(wrong(number + 2, format!("there is no run {}: there are {most}", record.number)));
            }
            records.push(record);
        }
        Ok(Self { header, records })
    }

    /// Joins the records of one sweep, whatever the order.
    ///
    /// # Errors
    /// Nothing to join, another sweep, or two different results of one run.
    pub fn merge(parts: Vec<Self>) -> Result<Self, RecordsError> {
        let mut parts = parts.into_iter().enumerate();
        let (_, mut whole) = parts.next().ok_or(RecordsError::Nothing)?;
        for (number, part) in parts {
            if let Some(what) = whole.header.differs_in(&part.header) {
                return Err(RecordsError::OtherSweep(number + 1, what));
            }
            whole.records.extend(part.records);
        }
        whole.records.sort_by_key(|r| r.number);
        whole.records.dedup();
        match whole.records.windows(2).find(|two| two[0].number == two[1].number) {
            Some(two) => Err(RecordsError::Contradiction(two[0].number)),
            None => Ok(whole),
        }
    }

    /// How many runs of the sweep are not there.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let all = self.header.points.len() as u64 * u64::from(self.header.runs);
        all.saturating_sub(self.records.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(numbers: &[u64]) -> Records {
        let axes = [Axis::parse("preStop=1s,2s").unwrap()];
        let points = super::super::grid(&axes);
        let record = |number: &u64| Record {
            number: *number,
            digest: "d".into(),
            sent: 10,
            failed: 0,
            expected_millionths: None,
            drain_nanos: Some(7),
            undrained: 0,
            slack_nanos: Some(-3),
            denials: 0,
            ready: None,
            passed: true,
        };
        Records { header: Header::new("t", &axes, points, 3, 1, &[]), records: numbers.iter().map(record).collect() }
    }

    #[test]
    fn lines_carry_everything() {
        let records = records(&[0, 2, 4]);
        assert_eq!(Records::from_lines(&records.to_lines()).unwrap(), records);
        assert_eq!(records.missing(), 3);
    }

    #[test]
    fn what_does_not_belong_together_is_not_merged() {
        let mut other = records(&[1]);
        other.header.fingerprint = "x".into();
        let error = Records::merge(vec![records(&[0]), other]).unwrap_err().to_string();
        assert_eq!(
            error,
            "file 2 belongs to another sweep than the first one: the scenario or its manifests have changed"
        );
        let mut other = records(&[0]);
        assert_eq!(Records::merge(vec![records(&[0]), other.clone()]).unwrap(), other, "the same twice is once");
        other.records[0].failed = 1;
        assert_eq!(Records::merge(vec![records(&[0]), other]), Err(RecordsError::Contradiction(0)));
        assert_eq!(Records::merge(Vec::new()), Err(RecordsError::Nothing));
    }

    #[test]
    fn damaged_files_are_told_by_line() {
        let text = records(&[0, 1]).to_lines();
        let cut = &text[..text.len() - 20];
        assert!(Records::from_lines(cut).unwrap_err().to_string().starts_with("line 3: "));
        assert!(Records::from_lines("").unwrap_err().to_string().starts_with("line 1: "));
        assert!(Records::from_lines(&records(&[9]).to_lines()).unwrap_err().to_string().contains("there is no run 9"));
    }
}
