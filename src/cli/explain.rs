//! `drainsim explain`.

use std::process::ExitCode;

use clap::Args;

use super::backend::{self, Input};
use super::output::{Failure, print};
use super::{Changes, Files};
use crate::report::{Question, Report, explain};

/// `drainsim explain FILE…`
#[derive(Args, Debug)]
#[command(after_help = "Without --request or --pod the first failed request is explained, or else the pod with the \
tightest race.

Examples:
  drainsim explain drain.yaml
  drainsim explain drain.yaml --request 12 --seed 7
  drainsim explain drain.yaml --pod nginx-66b6c48dd5-abcde

Exit codes: 0 fine, 2 wrong usage or bad input.")]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    pub(super) question: QuestionArgs,
}

/// What is to be explained.
#[derive(Args, Debug)]
pub(super) struct QuestionArgs {
    /// The N-th failed request in order of time, from 1
    #[arg(long, value_name = "N", conflicts_with = "pod")]
    request: Option<usize>,

    /// A pod: its name, or the beginning of it
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,

    #[command(flatten)]
    changes: Changes,
}

pub(super) fn run(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    run_inputs(&args.files.inputs()?, &args.question)
}

pub(super) fn run_inputs(inputs: &[Input], args: &QuestionArgs) -> Result<ExitCode, Failure> {
    let question = match (args.request, &args.pod) {
        (Some(number), _) => Question::Request(number),
        (None, Some(name)) => Question::Pod(name.clone()),
        (None, None) => Question::Worst,
    };
    let scenario = args.changes.load(inputs)?;
    let outcome = backend::simulate(&scenario.setup, args.changes.seed(&scenario), true);
    let report = Report::of_run(&scenario.name, &scenario.setup, &outcome);
    print(&explain(&report, &question).map_err(Failure::usage)?)?;
    Ok(ExitCode::SUCCESS)
}
