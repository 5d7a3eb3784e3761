//! `drainsim schema`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::backend;
use super::output::{Failure, Format, print, print_data};
use crate::report::compare::ComparisonResult;
use crate::report::json::{ResultSet, RunResult};
use crate::report::suite::json::TestResult;
use crate::report::sweep::data::SweepResult;
use crate::report::tune::data::TuneResult;
use crate::report::{metrics, reference};

/// `drainsim schema [WHAT]`
#[derive(Args, Debug)]
#[command(after_help = "An editor with a YAML language server checks and completes a scenario that begins with
  # yaml-language-server: $schema=./scenario.schema.json
after
  drainsim schema > scenario.schema.json

Examples:
  drainsim schema expectations
  drainsim schema profiles")]
pub(super) struct SchemaArgs {
    /// What to describe
    #[arg(value_enum, value_name = "WHAT", default_value = "scenario")]
    what: Subject,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Subject {
    /// The JSON Schema of the scenario file
    Scenario,
    /// The JSON Schema of the result of one run
    Result,
    /// The JSON Schema of the result of many runs
    ResultSet,
    /// The JSON Schema of the result of `drainsim test`
    TestResult,
    /// The JSON Schema of the result of `drainsim compare`
    Comparison,
    /// The JSON Schema of the result of `drainsim sweep -o json`
    Sweep,
    /// The JSON Schema of the result of `drainsim tune -o json`
    Tuned,
    /// The metrics that expectations may use, as text
    Expectations,
    /// The latencies with their defaults and sources, as text
    Latencies,
    /// The profiles of applications with their sources, as text
    Profiles,
}

pub(super) fn run(args: &SchemaArgs) -> Result<ExitCode, Failure> {
    match args.what {
        Subject::Scenario => print_data(Format::Json, &backend::scenario_schema())?,
        Subject::Result => print_data(Format::Json, &schemars::schema_for!(RunResult))?,
        Subject::ResultSet => print_data(Format::Json, &schemars::schema_for!(ResultSet))?,
        Subject::TestResult => print_data(Format::Json, &schemars::schema_for!(TestResult))?,
        Subject::Comparison => print_data(Format::Json, &schemars::schema_for!(ComparisonResult))?,
        Subject::Sweep => print_data(Format::Json, &schemars::schema_for!(SweepResult))?,
        Subject::Tuned => print_data(Format::Json, &schemars::schema_for!(TuneResult))?,
        Subject::Expectations => print(&metrics::render())?,
        Subject::Latencies => print(&reference::latencies())?,
        Subject::Profiles => print(&reference::profiles())?,
    }
    Ok(ExitCode::SUCCESS)
}
