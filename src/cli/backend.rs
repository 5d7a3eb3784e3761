//! What the command line calls: reading scenarios, and running them.

use crate::analysis::lint::Findings;
use crate::scenario::Originals;
use crate::scenario::expectation::Expectation;
use crate::scenario::unknown_apps::UnknownApps;
use crate::simulation::{self, Outcome, Setup};

pub(super) use crate::api::Version;
pub(super) use crate::scenario::{Diagnostics, Input};

/// A scenario as the commands need it.
pub(super) struct Scenario {
    pub name: String,
    /// `spec.seed`.
    pub seed: Option<u64>,
    pub setup: Setup,
    pub expectations: Vec<Expectation>,
    pub warnings: Vec<String>,
    pub assumptions: Vec<String>,
    pub unknown_apps: UnknownApps,
    pub originals: Originals,
}

pub(super) fn load(inputs: &[Input], sets: &[String]) -> Result<Scenario, Diagnostics> {
    let scenario = crate::scenario::Scenario::load(inputs, sets)?;
    Ok(Scenario {
        name: scenario.name,
        seed: scenario.seed,
        setup: scenario.setup,
        expectations: scenario.expectations.into_iter().map(|e| e.expectation).collect(),
        warnings: scenario.warnings.iter().map(crate::scenario::Diagnostic::one_line).collect(),
        assumptions: scenario.assumptions,
        unknown_apps: scenario.unknown_apps,
        originals: scenario.originals,
    })
}

pub(super) fn simulate(setup: &Setup, seed: u64, keep_trace: bool) -> Outcome {
    simulation::run(setup, seed, keep_trace)
}

pub(super) fn scenario_schema() -> serde_json::Value {
    crate::scenario::schema()
}

pub(super) fn lint(inputs: &[Input], options: &crate::analysis::lint::Options) -> Result<Findings, Diagnostics> {
    crate::analysis::lint::lint(&crate::scenario::Disk, inputs, options)
}

/// "there is no such …", with the nearest valid name.
pub(super) fn unknown_name<'a>(name: &str, what: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    crate::scenario::help_with_name(name, what, names)
}
