//! `drainsim run`.

use std::process::ExitCode;

use clap::Args;

use super::backend::{self, Input, Scenario};
use super::output::{Failure, Format, Progress, print, print_data, shell_word};
use super::{Changes, Files};
use crate::analysis::attitudes::Cases;
use crate::analysis::runs::{self, Run, Summary};
use crate::report::json::{Context, ResultSet, RunResult};
use crate::report::kubectl::{self, Cluster};
use crate::report::{Report, summary, text, why_requests_failed};

/// `drainsim run FILE…`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  drainsim run drain.yaml
  drainsim run scenario.yaml manifests/ --set spec.duration=5m
  drainsim run drain.yaml --seed 7 -o json
  drainsim run drain.yaml -o events
  drainsim run drain.yaml --runs 1000 --jobs 4

Exit codes: 0 fine, 1 an expectation failed (with --runs: in any run), 2 wrong usage or bad input.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    pub(super) options: RunOptions,
}

/// How it is run.
#[derive(Args, Debug)]
pub(super) struct RunOptions {
    #[command(flatten)]
    pub(super) changes: Changes,

    /// Run with N seeds and sum up
    ///
    /// Prints the mean, percentiles and confidence intervals. All intervals are taken over runs, never over requests:
    /// requests of one run meet the same late kube-proxy and fail together, so that a binomial interval over all
    /// requests would be far too narrow. The share of failed requests is a ratio of sums with Student's t over runs; the
    /// share of runs with any failure has Wilson's interval; if no run has a failure, the rule of three bounds it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    runs: Option<u32>,

    /// How many threads work on --runs; the result is the same for any number [default: one a core]
    #[arg(long, value_name = "N", requires = "runs", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// How the result is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: RunFormat,
}

/// How results of runs are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum RunFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// One YAML document
    Yaml,
    /// What the components of the cluster tell, as `kubectl events -A` prints it at the end of the run
    Events,
}

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let mut words = vec!["drainsim".to_string(), "run".to_string()];
    words.extend(args.files.words());
    run_inputs(&args.files.inputs()?, &args.options, &words)
}

/// Runs what was read; `words` are the command line without options, for the hint how to see the worst run.
pub(super) fn run_inputs(inputs: &[Input], options: &RunOptions, words: &[String]) -> Result<ExitCode, Failure> {
    let scenario = options.changes.load(inputs)?;
    match options.runs {
        None => one(&scenario, options),
        Some(_) if options.output == RunFormat::Events => {
            Err(Failure::usage("the events are those of one run: leave out --runs, or name a run by its --seed"))
        }
        Some(runs) => many(&scenario, options, runs, words),
    }
}

fn one(scenario: &Scenario, options: &RunOptions) -> Result<ExitCode, Failure> {
    let keep_trace = options.output == RunFormat::Events;
    let outcome = backend::simulate(&scenario.setup, options.changes.seed(scenario), keep_trace);
    let expectations: Vec<_> = scenario.expectations.iter().map(|e| e.evaluate(&outcome)).collect();
    let cases = match options.output {
        RunFormat::Events => None,
        _ => {
            let run = |outcome: &_| vec![Run::new(outcome, &scenario.expectations)];
            let again = |setup: &_| run(&backend::simulate(setup, outcome.seed, false));
            Cases::of_runs(&scenario.unknown_apps, &scenario.setup, &run(&outcome), again)
        }
    };
    let report = Report {
        scenario: &scenario.name,
        setup: &scenario.setup,
        outcome: &outcome,
        expectations: &expectations,
        warnings: &scenario.warnings,
        assumptions: &scenario.assumptions,
        cases: cases.as_ref(),
    };
    match options.output {
        RunFormat::Text => print(&text::render(&report))?,
        RunFormat::Json => print_data(Format::Json, &RunResult::new(&report))?,
        RunFormat::Yaml => print_data(Format::Yaml, &RunResult::new(&report))?,
        RunFormat::Events => {
            if let Some(cluster) = Cluster::new(&scenario.setup, &scenario.originals, &outcome) {
                print(&kubectl::events(&cluster, outcome.end))?;
            }
        }
    }
    Ok(code(expectations.iter().all(|e| e.passed || e.about_many_runs)))
}

fn many(scenario: &Scenario, options: &RunOptions, count: u32, words: &[String]) -> Result<ExitCode, Failure> {
    let jobs = usize::from(options.jobs.unwrap_or(0));
    let all = |setup: &_| {
        let progress = Progress::new(u64::from(count));
        let one = |seed| Run::new(&backend::simulate(setup, seed, false), &scenario.expectations);
        let runs = runs::by_seed(options.changes.seed(scenario), count, jobs, one, |done| progress.tell(done));
        progress.end();
        runs
    };
    let runs = all(&scenario.setup);
    let cases = Cases::of_runs(&scenario.unknown_apps, &scenario.setup, &runs, all);
    let Some(summary) = Summary::new(&runs, &scenario.expectations) else {
        return Err(Failure::usage("there is nothing to sum up"));
    };
    let replay = replay(words, &options.changes.sets(), summary.worst.seed);
    let worst_cause = (summary.worst.failed > 0).then(|| {
        let outcome = backend::simulate(&scenario.setup, summary.worst.seed, false);
        why_requests_failed(&Report::of_run(&scenario.name, &scenario.setup, &outcome))
    });
    let worst_cause = worst_cause.flatten();
    let context = Context {
        worst_cause: worst_cause.as_deref(),
        scenario: &scenario.name,
        warnings: &scenario.warnings,
        assumptions: &scenario.assumptions,
        replay: &replay,
        cases: cases.as_ref(),
    };
    match options.output {
        RunFormat::Json => print_data(Format::Json, &ResultSet::new(&context, &summary, &runs))?,
        RunFormat::Yaml => print_data(Format::Yaml, &ResultSet::new(&context, &summary, &runs))?,
        RunFormat::Text | RunFormat::Events => print(&summary::render(&context, &summary, &runs))?,
    }
    Ok(code(summary.passed()))
}

/// The command line that shows one run.
fn replay(words: &[String], sets: &[String], seed: u64) -> String {
    let mut words = words.to_vec();
    words.extend(sets.iter().flat_map(|set| ["--set".to_string(), set.clone()]));
    words.extend(["--seed".to_string(), seed.to_string()]);
    words.iter().map(|w| shell_word(w)).collect::<Vec<_>>().join(" ")
}

fn code(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replay_of_a_run_repeats_files_and_sets() {
        let words = ["drainsim", "run", "a b.yaml"].map(str::to_string);
        let line = replay(&words, &["spec.duration=5m".to_string()], 17);
        assert_eq!(line, "drainsim run 'a b.yaml' --set spec.duration=5m --seed 17");
    }
}
