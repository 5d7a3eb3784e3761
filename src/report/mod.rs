//! What a finished run looks like: on a terminal, as data, and as an explanation. Renderers only: nothing here decides
//! what happened.

pub mod bound;
pub mod cases;
pub mod cluster;
pub mod compare;
pub mod explain;
pub mod json;
pub mod kubectl;
pub mod lint;
pub mod metrics;
pub mod reference;
pub mod sarif;
pub mod suite;
pub mod summary;
pub mod sweep;
pub mod text;
pub mod tune;

mod names;
mod outage;
mod race;
mod style;
mod table;
mod verdict;
mod what;
mod workflow;

pub use explain::{Question, explain};
pub use names::Names;
pub use what::{Sentence, sentence};

use crate::analysis::attitudes::Cases;
use crate::scenario::expectation::Checked;
use crate::simulation::{Outcome, Setup};

/// Everything that a report of one run may tell.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// What the run started from.
    pub setup: &'a Setup,
    /// What came out.
    pub outcome: &'a Outcome,
    /// What became of the expectations.
    pub expectations: &'a [Checked],
    /// What the reader of the manifests warned of.
    pub warnings: &'a [String],
    /// What was taken for granted because no manifest can tell it.
    pub assumptions: &'a [String],
    /// What comes out if unknown applications do something else.
    pub cases: Option<&'a Cases>,
}

impl<'a> Report<'a> {
    /// Of a run alone: without expectations, warnings and assumptions.
    #[must_use]
    pub const fn of_run(scenario: &'a str, setup: &'a Setup, outcome: &'a Outcome) -> Self {
        Self { scenario, setup, outcome, expectations: &[], warnings: &[], assumptions: &[], cases: None }
    }

    /// The names of things, for sentences.
    #[must_use]
    pub fn names(&self) -> Names<'a> {
        Names::new(self.setup, self.outcome)
    }
}

/// The sentence of why most requests of a run failed; `None` if none did.
#[must_use]
pub fn why_requests_failed(report: &Report<'_>) -> Option<String> {
    verdict::cause(report, None)
}

/// Why the failed request at this place of [`Outcome::failures`] failed, in a sentence; `None` if there is none.
#[must_use]
pub fn why_of_request(report: &Report<'_>, index: usize) -> Option<String> {
    report.outcome.failures.get(index).map(|failure| verdict::failure_sentence(report, failure))
}

/// Names and what they stand for, as a list of paragraphs.
#[must_use]
pub fn listing(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 3;
    rows.iter().fold(String::new(), |mut out, (name, text)| {
        for (number, line) in style::wrap(text, style::WIDTH.saturating_sub(width).max(40)).iter().enumerate() {
            let name = if number == 0 { *name } else { "" };
            let gap = " ".repeat(width - name.chars().count());
            out.push_str(format!("{}{gap}{line}", style::paint(style::BOLD, name)).trim_end());
            out.push('\n');
        }
        out
    })
}
