//! `drainsim tune`.

use std::process::ExitCode;

use clap::Args;

use super::output::{self, Failure, Format, print, print_data, shell_word};
use super::{Changes, Files};
use crate::analysis::tune::budgets::{Scaled, Turned};
use crate::analysis::tune::slept::Slept;
use crate::analysis::tune::{Plan, Promise, Trial, Tuner};
use crate::engine::Duration;
use crate::report::tune::data::TuneResult;
use crate::report::tune::{Question, budgets_of, grace_seconds, render};
use crate::scenario::{Disk, Scenario, patch};
use crate::simulation::Setup;

/// `drainsim tune FILE…`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  drainsim tune drain.yaml
  drainsim tune drain.yaml --failed 5 --in 99.9% --confidence 99%
  drainsim tune drain.yaml --drain-within 2m --ready 2

The promise is about runs: in at least --in of all runs (as many drains of your cluster as you like) at most --failed \
requests fail and all drains end. The smallest sleep is found by bisection with common random numbers, and confirmed with \
other seeds.

With --drain-within the tightest PodDisruptionBudgets are looked for that let the drains end in time. Without it budgets \
stay as they are, unless drains never end with them.

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

    /// All drains must end within this time [default: by the end of the run]
    #[arg(long, value_name = "DURATION")]
    drain_within: Option<Duration>,

    /// Each Service with clients must keep so many ready endpoints
    #[arg(long, value_name = "N")]
    ready: Option<u32>,

    /// Leave PodDisruptionBudgets as they are
    #[arg(long)]
    keep_budgets: bool,

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
        ready_min: args.ready,
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
    let turned = Slept::of(&base.setup);
    let sets_at = |seconds: u64, grace: u64| {
        let more = turned.iter().flat_map(|object| object.sets(seconds, grace));
        args.changes.sets().into_iter().chain(more).collect::<Vec<String>>()
    };
    // All are loaded before anything is run; a grace period that is no limit shows how long a shutdown takes.
    let mut assumptions = base.assumptions.clone();
    let setups: Vec<Setup> = (0..=most)
        .map(|seconds| {
            let scenario = Scenario::load(&inputs, &sets_at(seconds, most + 600));
            let scenario = scenario.map_err(|p| Failure::Rendered(p.render(output::colour_errors())))?;
            // A hook that is put in may need what no manifest says.
            let new: Vec<String> = scenario.assumptions.into_iter().filter(|a| !assumptions.contains(a)).collect();
            assumptions.extend(new);
            Ok(scenario.setup)
        })
        .collect::<Result<_, Failure>>()?;
    let at = |seconds: u64| setups[(seconds.min(most)) as usize].clone();
    let first_seed = args.changes.seed(&base);
    let tuner = Tuner {
        at: &at,
        promise,
        plan,
        keep_budgets: args.keep_budgets,
        first_seed,
        jobs: usize::from(args.jobs.unwrap_or(0)),
    };
    let tuned = tuner.tune(most, |budgets, trial| output::note(&progress(budgets, trial)));
    let parts = tuner.parts(&tuned);
    output::end_notes();
    // What a candidate is, as settings: of these budgets, those that differ from what they were.
    let sets_of = |trial: &Trial, budgets: &[Turned], grace: u64| {
        let turned = budgets.iter().zip(&trial.allowed).filter(|(b, allowed)| b.at(**allowed) != b.before);
        let turned = turned.map(|(budget, allowed)| budget.set(*allowed));
        sets_at(trial.seconds, grace).into_iter().chain(turned).collect::<Vec<String>>()
    };
    let patches: Vec<String> = tuned
        .recommended
        .iter()
        .flat_map(|best| patch::of_objects(&Disk, &inputs, &sets_of(best, &tuned.budgets, grace_seconds(best))))
        .map(|p| p.command())
        .collect();
    let scaled_patches: Vec<String> = tuned
        .scaled
        .iter()
        .flat_map(|(scaled, budgets, trial)| {
            let sets = sets_of(trial, budgets, grace_seconds(trial));
            let patches = patch::of_objects(&Disk, &inputs, &sets).into_iter().map(|p| p.command());
            scaled.iter().map(Scaled::command).chain(patches).collect::<Vec<String>>()
        })
        .collect();
    let replay = tuned.decisive.as_ref().and_then(|trial| Some((trial, trial.first_broken?))).map(|(trial, seed)| {
        let mut words = vec!["drainsim".to_string(), "run".to_string()];
        words.extend(args.files.words());
        let sets = sets_of(trial, &tuned.budgets, most + 600);
        words.extend(sets.into_iter().flat_map(|set| ["--set".to_string(), set]));
        words.extend(["--seed".to_string(), seed.to_string()]);
        words.iter().map(|w| shell_word(w)).collect::<Vec<_>>().join(" ")
    });
    let question = Question {
        grace: Slept::graces(&turned),
        scenario: &base.name,
        promise,
        most,
        keep_budgets: args.keep_budgets,
        parts: parts.as_ref(),
        patches: &patches,
        scaled_patches: &scaled_patches,
        assumptions: &assumptions,
        replay: replay.as_deref(),
    };
    match args.output {
        Format::Text => print(&render(&question, &tuned))?,
        data => print_data(data, &TuneResult::new(&question, &tuned))?,
    }
    Ok(ExitCode::from(u8::from(tuned.recommended.is_none())))
}

/// `preStop 3 s, maxUnavailable: 1: 50 runs`.
fn progress(budgets: &[Turned], trial: &Trial) -> String {
    let budgets = budgets_of(budgets, &trial.allowed);
    let comma = if budgets.is_empty() { "" } else { ", " };
    format!("preStop {} s{comma}{budgets}: {} runs", trial.seconds, trial.runs)
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
