//! `drainsim compare`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::backend::{self, Input};
use super::output::{self, Failure, Format, Progress, print, print_data, shell_word};
use crate::analysis::compare::{self, Comparison, LostByOne};
use crate::report::compare::{ComparisonResult, Sides, render};
use crate::report::{Report, why_of_request};
use crate::scenario::Scenario;

/// `drainsim compare A [B]`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  drainsim compare before.yaml after.yaml
  drainsim compare drain.yaml --set-b preStop=2s
  drainsim compare -f scenario.yaml main/ branch/ --fail-on regression
  drainsim compare drain.yaml --set-a replicas=2 --set-b replicas=4

Both sides run with the same seeds, so they meet the same latencies and the same requests; differences are taken pair by \
pair. B is a step back if it loses more requests, leaves drains undone that A completes, or breaks expectations that A \
meets. Slower drains are shown, but are a price that one may want to pay.

Exit codes: 0 fine, 1 what --fail-on names was found, 2 wrong usage or bad input.")]
pub(super) struct CompareArgs {
    /// The scenario A, or the manifests of A beside -f
    #[arg(value_name = "A")]
    a: String,

    /// The same of B; A itself if left out, and then --set-a or --set-b make the difference
    #[arg(value_name = "B")]
    b: Option<String>,

    /// A file that both sides have, such as the scenario; can be repeated
    #[arg(short = 'f', long, value_name = "FILE")]
    filename: Vec<String>,

    /// Set a field of both sides, such as spec.duration=5m; can be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,

    #[command(flatten)]
    requests: super::Requests,

    /// Set a field of A only; can be repeated
    #[arg(long = "set-a", value_name = "PATH=VALUE")]
    sets_a: Vec<String>,

    /// Set a field of B only; can be repeated
    #[arg(long = "set-b", value_name = "PATH=VALUE")]
    sets_b: Vec<String>,

    /// How many pairs of runs
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    runs: u32,

    /// The first seed [default: A's `spec.seed`, or 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How many threads; the result is the same for any number [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// End with 1 if this is found
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOn>,

    /// How the result is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// What ends with 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum FailOn {
    /// B is a step back
    Regression,
    /// A and B differ in any number
    Difference,
}

/// One side: what it is read from, and read.
struct Side {
    words: Vec<String>,
    scenario: Scenario,
}

pub(super) fn run(args: &CompareArgs) -> Result<ExitCode, Failure> {
    let b = args.b.as_ref().unwrap_or(&args.a);
    if args.b.is_none() && args.sets_a.is_empty() && args.sets_b.is_empty() {
        return Err(Failure::usage("there is nothing to compare: name a second scenario, or use --set-a or --set-b"));
    }
    let (a, b) = (side(args, &args.a, &args.sets_a)?, side(args, b, &args.sets_b)?);
    let first = args.seed.or(a.scenario.seed).unwrap_or(1);
    let progress = Progress::new(u64::from(args.runs));
    let jobs = usize::from(args.jobs.unwrap_or(0));
    let pairs = compare::run(&a.scenario, &b.scenario, first, args.runs, jobs, |done| progress.tell(done));
    progress.end();
    let Some(comparison) = Comparison::new(&pairs) else { return Err(Failure::usage("there is nothing to compare")) };
    let describe = |side: &Side| side.words.iter().map(|w| shell_word(w)).collect::<Vec<_>>().join(" ");
    let sides = Sides {
        a: describe(&a),
        b: describe(&b),
        why_a: why(&a, &comparison.lost_by_a),
        why_b: why(&b, &comparison.lost_by_b),
    };
    match args.output {
        Format::Text => print(&render(&sides, &comparison))?,
        data => print_data(data, &ComparisonResult::new(&sides, &comparison))?,
    }
    let found = match args.fail_on {
        None => false,
        Some(FailOn::Regression) => !comparison.regressions().is_empty(),
        Some(FailOn::Difference) => comparison.differs(),
    };
    Ok(ExitCode::from(u8::from(found)))
}

fn side(args: &CompareArgs, path: &str, own: &[String]) -> Result<Side, Failure> {
    let files: Vec<String> = args.filename.iter().cloned().chain([path.to_string()]).collect();
    let inputs: Vec<Input> = files.iter().map(|f| Input::Path(f.into())).collect();
    let sets: Vec<String> = args.sets.iter().cloned().chain(args.requests.sets()).chain(own.iter().cloned()).collect();
    let scenario = Scenario::load(&inputs, &sets)
        .map_err(|problems| Failure::Rendered(problems.render(output::colour_errors())))?;
    let words = files.into_iter().chain(sets.into_iter().flat_map(|set| ["--set".to_string(), set])).collect();
    Ok(Side { words, scenario })
}

/// Why the example was lost, and the command that tells more.
fn why(side: &Side, lost: &LostByOne) -> Option<(String, String)> {
    let (seed, (traffic, client, number)) = lost.example.as_ref()?;
    let outcome = backend::simulate(&side.scenario.setup, *seed, true);
    let report = Report::of_run(&side.scenario.name, &side.scenario.setup, &outcome);
    let at = outcome.failures.iter().position(|f| {
        outcome.traffic.get(f.traffic as usize).is_some_and(|t| t.name == *traffic)
            && outcome.node_names.get(f.client_node.index()) == Some(client)
            && f.number == *number
    })?;
    let mut words = vec!["drainsim".to_string(), "explain".to_string()];
    words.extend(side.words.iter().cloned());
    words.extend(["--seed".to_string(), seed.to_string(), "--request".to_string(), (at + 1).to_string()]);
    let command = words.iter().map(|w| shell_word(w)).collect::<Vec<_>>().join(" ");
    Some((why_of_request(&report, at)?, command))
}
