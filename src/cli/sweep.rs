//! `drainsim sweep` and `drainsim merge`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};

use super::Files;
use super::backend::Input;
use super::output::{self, Failure, Progress, print, print_data};
use crate::analysis::sweep::{self, Axis, Header, Records, Shard, Sweep};
use crate::report::sweep::data::SweepResult;
use crate::report::sweep::{chart, data, render};
use crate::scenario::Scenario;

/// The exit code after an interruption: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// No sweep has more runs.
const RUNS_MAX: u64 = 100_000_000;

/// `drainsim sweep FILE…`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  drainsim sweep drain.yaml --vary preStop=0s..15s:1s --runs 1000
  drainsim sweep drain.yaml --vary replicas=2,4,8 --vary maxUnavailable=1,2 -o csv
  drainsim sweep drain.yaml --vary spec.traffic[0].rate=10/s..500/s --sample 200
  drainsim sweep drain.yaml --vary preStop=0s..15s:1s -o html > sweep.html

On four machines, from 0/4 to 3/4:
  drainsim sweep drain.yaml --vary preStop=0s..15s:1s --runs 10000 --shard 0/4 > 0.records
  drainsim merge *.records

--shard auto/4 takes the number from JOB_COMPLETION_INDEX, which an Indexed Job of Kubernetes sets.

Exit codes: 0 fine, 2 wrong usage or bad input, 130 interrupted (what was done is printed).")]
pub(super) struct SweepArgs {
    #[command(flatten)]
    files: Files,

    /// What is varied; can be repeated
    ///
    /// PATH is as --set takes it. FROM..TO:STEP is a range, A,B,C a list; FROM..TO without a step is for --sample.
    #[arg(long, value_name = "PATH=VALUES", required = true)]
    vary: Vec<String>,

    /// Draw N points at random instead of taking every combination
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sample: Option<u32>,

    /// How many seeds for each point
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    runs: u32,

    /// The first seed, the same at every point [default: the scenario's `spec.seed`, or 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Set a field at every point, such as spec.duration=5m; can be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,

    #[command(flatten)]
    requests: super::Requests,

    /// How many threads; the result is the same for any number [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Make every N-th run only, beginning with the I-th (from 0), and print records for `drainsim merge`
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,

    /// How the result is printed [default: text, with --shard records]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<SweepFormat>,
}

/// `drainsim merge FILE…`
#[derive(Args, Debug)]
#[command(after_help = "Prints what one machine would have printed, byte for byte.

Exit codes: 0 fine, 2 wrong usage, files that do not belong together, or runs that are missing.")]
pub(super) struct MergeArgs {
    /// The records of the shards, in any order
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,

    /// Go on if runs are missing
    #[arg(long)]
    partial: bool,

    /// How the result is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: SweepFormat,
}

/// How sweeps are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum SweepFormat {
    /// For people
    Text,
    /// A line a point
    Csv,
    /// One JSON object
    Json,
    /// A chart
    Svg,
    /// A page with chart and table
    Html,
    /// A line a run, for `drainsim merge`
    Records,
}

pub(super) fn run(args: &SweepArgs) -> Result<ExitCode, Failure> {
    let axes: Vec<Axis> = args
        .vary
        .iter()
        .map(|text| Axis::parse(text).map_err(|error| Failure::usage(error.to_string())))
        .collect::<Result<_, _>>()?;
    if let (None, Some(open)) = (args.sample, axes.iter().find(|axis| axis.open)) {
        return Err(Failure::usage(format!(
            "`{}` has no step: add one, as in FROM..TO:STEP, or use --sample",
            open.path
        )));
    }
    let shard = args.shard.as_deref().map(shard).transpose()?;
    let format = args.output.unwrap_or(if shard.is_some() { SweepFormat::Records } else { SweepFormat::Text });
    if shard.is_some() && format != SweepFormat::Records {
        return Err(Failure::usage("a shard is a part only: leave -o out, and give its records to `drainsim merge`"));
    }
    let sweep = load(args, &axes)?;
    let shard = shard.unwrap_or(Shard::ALL);
    let all = sweep.points.len() as u64 * u64::from(args.runs);
    let stop = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&stop);
    // Without a handler an interruption ends the process at once, as it does everywhere else.
    let _ = ctrlc::set_handler(move || {
        // Whoever asks twice does not want to wait for the runs under way.
        if handler.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
    let progress = Progress::new(all.div_ceil(u64::from(shard.of)));
    let records = sweep.run(shard, usize::from(args.jobs.unwrap_or(0)), &stop, |done| progress.tell(done));
    progress.end();
    write(&records, format)?;
    if stop.load(Ordering::Relaxed) {
        eprintln!("interrupted after {} of {} runs", records.records.len(), all.div_ceil(u64::from(shard.of)));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn merge(args: &MergeArgs) -> Result<ExitCode, Failure> {
    let read = |path: &String| {
        let text =
            std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("`{path}` cannot be read: {e}")))?;
        Records::from_lines(&text).map_err(|e| Failure::usage(format!("`{path}`: {e}")))
    };
    let parts: Vec<Records> = args.files.iter().map(read).collect::<Result<_, _>>()?;
    let whole = Records::merge(parts).map_err(|error| Failure::usage(error.to_string()))?;
    if whole.missing() > 0 && !args.partial {
        return Err(Failure::usage(format!("{} runs are missing; --partial goes on without them", whole.missing())));
    }
    write(&whole, args.output)?;
    Ok(ExitCode::SUCCESS)
}

fn write(records: &Records, format: SweepFormat) -> Result<(), Failure> {
    match format {
        SweepFormat::Text => print(&render(records)),
        SweepFormat::Csv => print(&data::csv(records)),
        SweepFormat::Json => print_data(output::Format::Json, &SweepResult::new(records)),
        SweepFormat::Svg => print(&chart::svg(records)),
        SweepFormat::Html => print(&chart::html(records)),
        SweepFormat::Records => print(&records.to_lines()),
    }
}

/// Reads `2/8` or `auto/8`.
fn shard(text: &str) -> Result<Shard, Failure> {
    let wrong = || Failure::usage(format!("`{text}` is no shard: write I/N with I from 0 to N-1, or auto/N"));
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    let index = if index == "auto" {
        let variable = "JOB_COMPLETION_INDEX";
        std::env::var(variable).map_err(|_| Failure::usage(format!("--shard {text} needs the variable {variable}")))?
    } else {
        index.to_string()
    };
    match (index.trim().parse(), of.parse()) {
        (Ok(index), Ok(of)) if index < of => Ok(Shard { index, of }),
        _ => Err(wrong()),
    }
}

/// Loads the scenario at every point, so that nothing is run if one of them is wrong.
fn load(args: &SweepArgs, axes: &[Axis]) -> Result<Sweep, Failure> {
    let inputs: Vec<Input> = args.files.inputs()?;
    let at = |point: Option<&Vec<String>>| {
        let varied = point.into_iter().flat_map(|point| axes.iter().zip(point).map(|(axis, value)| axis.set(value)));
        let sets: Vec<String> = args.sets.iter().cloned().chain(args.requests.sets()).chain(varied).collect();
        Scenario::load(&inputs, &sets).map_err(|problems| Failure::Rendered(problems.render(output::colour_errors())))
    };
    // Without any value of an axis the scenario need not be right; what is needed of it is the same at every point.
    let points = match args.sample {
        Some(count) => sweep::sample(axes, count, args.seed.unwrap_or(1)),
        None => sweep::grid(axes),
    };
    if points.len() as u64 * u64::from(args.runs) > RUNS_MAX {
        return Err(Failure::usage(format!("{} points with {} runs each are too many", points.len(), args.runs)));
    }
    let first = at(points.first())?;
    let seed = args.seed.or(first.seed).unwrap_or(1);
    let load = |point: &Vec<String>| {
        let scenario = at(Some(point))?;
        Ok((scenario.setup, scenario.expectations.into_iter().map(|e| e.expectation).collect()))
    };
    let loaded: Vec<_> = points.iter().map(load).collect::<Result<_, Failure>>()?;
    Ok(Sweep { header: Header::new(&first.name, axes, points, args.runs, seed, &loaded), points: loaded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_zero() {
        assert_eq!(shard("2/8").ok(), Some(Shard { index: 2, of: 8 }));
        for wrong in ["8/8", "1", "a/2", "0/0", "-1/2"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }
}
