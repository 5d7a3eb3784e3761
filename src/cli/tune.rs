//! `drainsim tune`.

use std::process::ExitCode;

use clap::Args;

use super::output::{self, Failure, Format, print, print_data, shell_word};
use super::{Changes, Files};
use crate::analysis::tune::{Plan, Promise, Tuner};
use crate::engine::Duration;
use crate::report::tune::data::TuneResult;
use crate::report::tune::{Question, grace_seconds, render};
use crate::scenario::{Disk, Scenario, patch};
use crate::simulation::Setup;

/// `drainsim tune FILE…`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  drainsim tune drain.yaml
  drainsim tune drain.yaml --failed 5 --in 99.9% --confidence 99%
  drainsim tune drain.yaml --drain-within 2m

The promise is about runs: in at least --in of all runs (as many drains of your cluster as you like) at most --failed \
requests fail. The smallest sleep is found by bisection with common random numbers, and confirmed with other seeds.

Exit codes: 0 found, 1 cannot be met, 2 wrong usage or bad input.")]
pub(super) struct TuneArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    changes: Changes,

    /// At most so many requests may fail in a run
    #[arg(long, value_name = "N", default_value = "0")]
    failed: u64,

    /// The share of runs that must keep the promise
    #[arg(long = "in", value_name = "SHARE", default_value = "99%", value_parser = share)]
    share: f64,

    /// How sure the answer must be
    #[arg(long, value_name = "SHARE", default_value = "95%", value_parser = share)]
    confidence: f64,

    /// All drains must end within this time
    #[arg(long, value_name = "DURATION")]
    drain_within: Option<Duration>,

    /// The longest sleep to think of, in whole seconds
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    up_to: Duration,

    /// Runs of each candidate [default: three times the fewest that can show the promise]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: Option<u32>,

    /// How many threads; the result is the same for any number [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// How the result is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Reads `99%` or `0.99`, above 0 and below 1.
fn share(text: &str) -> Result<f64, String> {
    let (digits, scale) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits.trim_end(), 100.0));
    match digits.parse::<f64>() {
        Ok(number) if number > 0.0 && number < scale => Ok((number / scale * 1e12).round() / 1e12),
        _ => Err("expected a share above 0% and below 100%, such as 99%".to_string()),
    }
}

pub(super) fn run(args: &TuneArgs) -> Result<ExitCode, Failure> {
    if args.confidence <= 0.5 {
        return Err(Failure::usage("--confidence must be above 50%"));
    }
    let promise = Promise {
        failed_max: args.failed,
        drain_within: args.drain_within,
        share: args.share,
        confidence: args.confidence,
    };
    let claim = crate::scenario::expectation::Claim::Share { share: args.share, confidence: args.confidence };
    let runs = args.runs.unwrap_or_else(|| claim.usual_runs());
    let Some(plan) = Plan::new(promise, runs) else {
        let fewest = claim.fewest_runs();
        return Err(Failure::usage(format!("{runs} runs can never show this: it takes --runs {fewest} at least")));
    };
    let inputs = args.files.inputs()?;
    let base = args.changes.load(&inputs)?;
    let most = args.up_to.as_nanos() / 1_000_000_000;
    let sets_at = |seconds: u64, grace: u64| {
        let more = [format!("preStop={seconds}s"), format!("gracePeriod={grace}s")];
        args.changes.sets().into_iter().chain(more).collect::<Vec<String>>()
    };
    // All are loaded before anything is run; a grace period that is no limit shows how long a shutdown takes.
    let setups: Vec<Setup> = (0..=most)
        .map(|seconds| {
            let scenario = Scenario::load(&inputs, &sets_at(seconds, most + 600));
            let scenario = scenario.map_err(|p| Failure::Rendered(p.render(output::colour_errors())))?;
            Ok(scenario.setup)
        })
        .collect::<Result<_, Failure>>()?;
    let at = |seconds: u64| setups[(seconds.min(most)) as usize].clone();
    let first_seed = args.changes.seed(&base);
    let tuner = Tuner { at: &at, promise, plan, first_seed, jobs: usize::from(args.jobs.unwrap_or(0)) };
    let tuned = tuner.tune(most, |trial| output::note(&format!("preStop {} s: {} runs", trial.seconds, trial.runs)));
    output::end_notes();
    let patches: Vec<String> = tuned
        .recommended
        .iter()
        .flat_map(|best| {
            let sets = sets_at(best.seconds, grace_seconds(best));
            patch::of_pod_templates(&Disk, &inputs, &sets).into_iter().map(|p| p.command())
        })
        .collect();
    let replay = tuned.trials.last().and_then(|last| Some((last, last.first_broken?))).map(|(last, seed)| {
        let mut words = vec!["drainsim".to_string(), "run".to_string()];
        words.extend(args.files.words());
        words.extend(sets_at(last.seconds, most + 600).into_iter().flat_map(|set| ["--set".to_string(), set]));
        words.extend(["--seed".to_string(), seed.to_string()]);
        words.iter().map(|w| shell_word(w)).collect::<Vec<_>>().join(" ")
    });
    let question = Question {
        scenario: &base.name,
        promise,
        most,
        patches: &patches,
        assumptions: &base.assumptions,
        replay: replay.as_deref(),
    };
    match args.output {
        Format::Text => print(&render(&question, &tuned))?,
        data => print_data(data, &TuneResult::new(&question, &tuned))?,
    }
    Ok(ExitCode::from(u8::from(tuned.recommended.is_none())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_with_and_without_percent() {
        assert_eq!((share("99.9%"), share("0.5")), (Ok(0.999), Ok(0.5)));
        assert!(["0%", "100%", "1", "x"].iter().all(|text| share(text).is_err()));
    }
}
