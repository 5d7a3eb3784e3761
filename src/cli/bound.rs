//! `drainsim bound`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, ValueEnum};

use super::output::{self, Failure, Format, Progress, print, print_data, shell_word};
use super::{Changes, Files, Input};
use crate::analysis::bound::{self, Limits, order, replay};
use crate::report::bound::{Answer, Cover, data, fewer_seeds, render};
use crate::scenario::{Disk, Scenario, patch};
use crate::simulation::{self, Setup};

/// `drainsim bound FILE…`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  drainsim bound drain.yaml
  drainsim bound drain.yaml --quantile 0.99
  drainsim bound drain.yaml --set preStop=3s -o json
  drainsim bound drain.yaml -o yaml         seed and latencies of the run that shows it

Nothing is sampled for the bound: each latency is as long (or as short) as it can be, and the longest way of a deletion into
the routes stands against the shortest way to a closed listener. Distributions without a longest span are cut at --quantile.
The run that is printed has constant latencies, and shows how near a run can come.

Exit codes: 0 there is a bound, 2 there is none, wrong usage or bad input.")]
pub(super) struct BoundArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    changes: Changes,

    /// What stands for the longest span of a latency that has none, above 0 and below 1
    #[arg(long, value_name = "Q", default_value = "0.999", value_parser = quantile)]
    quantile: f64,

    /// How many seeds to try for a run that attains the bound [default: 200, fewer where runs take long]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: Option<u32>,

    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    /// How many threads; the result is the same for any number [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// Seed and latencies of the run that shows it, to be put under `spec` of the scenario
    Yaml,
}

fn quantile(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(q) if q > 0.0 && q < 1.0 => Ok(q),
        _ => Err("expected a number above 0 and below 1, such as 0.999".to_string()),
    }
}

/// The second search, for phases, takes about as many runs as the first one, for seeds, times this.
const RUNS_OF_A_ROUND: u32 = 4;
/// What `--runs` is where nobody says it.
const RUNS_DEFAULT: u32 = 200;

pub(super) fn run(args: &BoundArgs) -> Result<ExitCode, Failure> {
    let inputs = args.files.inputs()?;
    let base = args.changes.load(&inputs)?;
    let bound = bound::bound(&base.setup, args.quantile)
        .map_err(|reasons| Failure::usage(format!("there is no bound for this scenario: {}", reasons.join("; "))))?;
    let mut assumptions = base.assumptions.clone();
    let cover = cover(args, &inputs, &base.setup, &bound, &mut assumptions)?;
    let limits = Limits { setup: &base.setup, quantile: args.quantile };
    let mut settings = settings(args, &inputs, &limits, &bound);
    let changed = load(&inputs, &[&args.changes.sets()[..], &settings].concat())?;
    let first_seed = args.changes.seed(&base);
    let jobs = usize::from(args.jobs.unwrap_or(0));
    let runs = args.runs.unwrap_or_else(|| affordable_runs(&changed.setup, first_seed));
    let rounds = runs / RUNS_OF_A_ROUND;
    let progress = Progress::new(u64::from(runs) + u64::from(rounds) * u64::from(replay::SPANS));
    let done = AtomicU64::new(0);
    let tell = || progress.tell(done.fetch_add(1, Ordering::Relaxed) + 1);
    let attained = replay::search(&changed.setup, &bound, first_seed, runs, jobs, &tell).map(|start| {
        let (nearer, phases) = replay::approach(&limits, &changed.setup, &bound, start, rounds, jobs, &tell);
        settings.extend(phases.iter().map(|(hop, span)| format!("spec.latencies.{}={span}", hop.name())));
        nearer
    });
    progress.end();
    let mut words = vec!["drainsim".to_string(), "run".to_string()];
    words.extend(args.files.words());
    let sets =
        args.changes.sets().into_iter().chain(settings.iter().cloned()).flat_map(|set| ["--set".to_string(), set]);
    words.extend(sets);
    words.extend(attained.iter().flat_map(|a| ["--seed".to_string(), a.seed.to_string()]));
    let command = words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
    let orders = if bound.alone { Vec::new() } else { order::of(&limits) };
    let answer = Answer {
        scenario: &base.name,
        quantile: args.quantile,
        bound: &bound,
        cover: &cover,
        attained: attained.as_ref(),
        tried: runs,
        replay: &command,
        orders: &orders,
        assumptions: &assumptions,
    };
    match args.output {
        Output::Text => print(&render(&answer))?,
        Output::Json => print_data(Format::Json, &data(&answer))?,
        Output::Yaml => print(&fragment(&settings, attained.as_ref().map_or(first_seed, |a| a.seed)))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// As many seeds as usual, or as few as the length of a run allows; then it says so.
fn affordable_runs(setup: &Setup, seed: u64) -> u32 {
    output::note("one run, to see how long they take");
    let run = simulation::run(setup, seed, false);
    output::end_notes();
    let runs = replay::affordable(&run, 1 + replay::SPANS / RUNS_OF_A_ROUND, RUNS_DEFAULT);
    if runs < RUNS_DEFAULT {
        output::warn(&fewer_seeds(&run, runs, RUNS_DEFAULT));
    }
    runs
}

/// The settings of a run as the fields of a scenario's `spec`.
fn fragment(settings: &[String], seed: u64) -> String {
    let mut text = format!("seed: {seed}\nlatencies:\n");
    let all = || settings.iter().filter_map(|set| set.split_once('='));
    for (hop, span) in all().filter_map(|(path, value)| Some((path.strip_prefix("spec.latencies.")?, value))) {
        text.push_str(&format!("  {hop}: {span}\n"));
    }
    // What belongs to an element of a list cannot be said here: it stays a setting.
    for (path, value) in all().filter(|(path, _)| !path.starts_with("spec.latencies.")) {
        text.push_str(&format!("# and --set '{path}={value}'\n"));
    }
    text
}

fn load(inputs: &[Input], sets: &[String]) -> Result<Scenario, Failure> {
    Scenario::load(inputs, sets).map_err(|problems| Failure::Rendered(problems.render(output::colour_errors())))
}

/// The smallest sleep of whole seconds that leaves no deficit, by the bound of the scenario with that sleep. What its hook
/// takes for granted is added to `assumptions`.
fn cover(
    args: &BoundArgs,
    inputs: &[Input],
    setup: &Setup,
    bound: &bound::Bound,
    assumptions: &mut Vec<String>,
) -> Result<Cover, Failure> {
    const GRACE_NO_LIMIT: u64 = 3600;
    let with = |seconds: u64, more: Option<String>| {
        let sets = [format!("preStop={seconds}s")].into_iter().chain(more);
        args.changes.sets().into_iter().chain(sets).collect::<Vec<String>>()
    };
    let deficit = |seconds: u64| {
        let sets = with(seconds, Some(format!("gracePeriod={GRACE_NO_LIMIT}s")));
        let scenario = Scenario::load(inputs, &sets).ok()?;
        bound::bound(&scenario.setup, args.quantile).ok().map(|b| b.worst[0].deficit())
    };
    let Some(without) = deficit(0) else {
        return Ok(Cover::None("its hooks have no sleep that could be changed".to_string()));
    };
    let seconds = u64::try_from(without).unwrap_or(0).div_ceil(1_000_000_000);
    if deficit(seconds).is_none_or(|d| d > 0) {
        return Ok(Cover::None("an action asks for a grace period that is over before".to_string()));
    }
    // The sleep counts against the grace period: one that ends before it would undo it, and the apiserver refuses that.
    let late = bound.worst.iter().filter(|worst| worst.deficit() > 0);
    let changes = late.flat_map(|worst| {
        let template = &setup.templates[worst.template.index()];
        let object = worst.workload.replacen('/', &format!("/{}/", template.namespace), 1);
        let grace = template.termination_grace_period_seconds;
        let longer = (grace <= seconds).then(|| format!("{object}:gracePeriod={}s", grace + seconds));
        std::iter::once(format!("{object}:preStop={seconds}s")).chain(longer)
    });
    let sets: Vec<String> = args.changes.sets().into_iter().chain(changes).collect();
    if let Ok(scenario) = Scenario::load(inputs, &sets) {
        let new: Vec<String> = scenario.assumptions.into_iter().filter(|a| !assumptions.contains(a)).collect();
        assumptions.extend(new);
    }
    let patches = patch::of_objects(&Disk, inputs, &sets);
    let patches = patches.into_iter().map(|p| p.command()).collect();
    Ok(Cover::Sleep { seconds, grace_above_seconds: seconds, patches })
}

/// The settings of the run that attains the bound. Reactions belong to no hop; they are set through the scenario's `apps`, if
/// all applications have the same shortest one.
fn settings(args: &BoundArgs, inputs: &[Input], limits: &Limits<'_>, bound: &bound::Bound) -> Vec<String> {
    let mut settings = replay::settings(limits, bound);
    let mut apps = limits.setup.apps.clone();
    let Some(least) = apps.first().map(|app| app.reaction.support_min()) else { return settings };
    if apps.iter().any(|app| app.reaction.support_min() != least) {
        return settings;
    }
    for index in 0..limits.setup.apps.len() {
        if apps.iter().all(|app| app.reaction.support_max() == Some(least)) {
            break;
        }
        let reaction = format!("spec.apps[{index}].reaction={least}");
        let sets = [&args.changes.sets()[..], &settings, std::slice::from_ref(&reaction)].concat();
        match Scenario::load(inputs, &sets) {
            Ok(scenario) if scenario.setup.apps != apps => {
                apps = scenario.setup.apps;
                settings.push(reaction);
            }
            _ => break,
        }
    }
    settings
}
