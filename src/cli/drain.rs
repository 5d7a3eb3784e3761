//! `drainsim drain`: a question about a cluster as it is, without a scenario.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::backend::Input;
use super::output::{self, Failure, Format, Progress, print, print_data};
use crate::analysis::attitudes::Cases;
use crate::analysis::drain::{self, DrainRun, cure};
use crate::analysis::runs;
use crate::api::Version;
use crate::engine::Duration;
use crate::report::cluster::{self, Answer, Cure, DrainAnswer, Loss};
use crate::report::kubectl;
use crate::scenario::cluster::{Cluster, HOW_TO_EXPORT, Question, Targets, Then, Upgrade};
use crate::scenario::{Disk, selector};
use crate::simulation::setup::{DrainOptions, DryRun};

/// From a drained machine's end to its successor's being Ready, if nobody says.
const REPLACE_AFTER_DEFAULT: Duration = Duration::from_secs(120);

/// `drainsim drain NODE… -f cluster.yaml`
#[derive(Args, Debug)]
#[command(
    override_usage = "drainsim drain <NODE>... -f <FILE> [OPTIONS]\n       drainsim drain --selector <SELECTOR> -f <FILE> [OPTIONS]\n       drainsim drain --all-nodes -f <FILE> [OPTIONS]",
    after_help = "Examples:
  kubectl get nodes,deploy,rs,sts,ds,jobs,pods,svc,endpointslices,pdb,hpa -A -o yaml > cluster.yaml
  drainsim drain node-3 -f cluster.yaml --ignore-daemonsets --delete-emptydir-data
  drainsim drain node-3 -f cluster.yaml --ignore-daemonsets --traffic shop/web=200/s --app app=web=graceful
  drainsim drain node-3 -f cluster.yaml --ignore-daemonsets --dry-run
  drainsim drain --all-nodes --max-parallel 2 --replace-after 3m -f cluster.yaml --ignore-daemonsets
  kubectl cluster-info dump -A --output-directory dump && drainsim drain node-3 -f dump/ -f pdbs.json

Exit codes: 0 fine, 1 the drain does not end (or, with --fail-on-loss, requests are lost), 2 wrong usage or bad input."
)]
pub(super) struct DrainArgs {
    /// The nodes, as with kubectl: all are cordoned, then one after the other is drained
    #[arg(value_name = "NODE", conflicts_with_all = ["selector", "all_nodes"], required_unless_present_any = ["selector", "all_nodes"])]
    nodes: Vec<String>,

    /// What the cluster is: a file that `kubectl get … -A -o yaml|json` has written, a directory of `kubectl cluster-info
    /// dump --output-directory`, or `-` for standard input; can be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<String>,

    #[command(flatten)]
    kubectl: KubectlFlags,

    #[command(flatten)]
    upgrade: UpgradeFlags,

    #[command(flatten)]
    assumed: AssumedFlags,

    /// Run with N seeds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,

    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How many threads work on the runs; the result is the same for any number [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Exit with 1 if any request is lost, too
    #[arg(long)]
    fail_on_loss: bool,

    /// Tell every blocked pod, and all changes that may help
    #[arg(long)]
    explain: bool,

    /// How the result is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: DrainFormat,
}

/// The flags of `kubectl drain`.
#[derive(Args, Debug)]
#[command(next_help_heading = "As with kubectl drain")]
struct KubectlFlags {
    /// Drain the nodes with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,

    /// Also evict pods that no controller would replace
    #[arg(long)]
    force: bool,

    /// Leave the pods of DaemonSets where they are, instead of refusing
    #[arg(long)]
    ignore_daemonsets: bool,

    /// Also evict pods with an emptyDir, whose data is lost
    #[arg(long, alias = "delete-local-data")]
    delete_emptydir_data: bool,

    /// Delete pods without asking any PodDisruptionBudget
    #[arg(long)]
    disable_eviction: bool,

    /// Seconds that each pod gets to end; negative: its own
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,

    /// Give a node up after this time; 0s: never
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    timeout: Duration,

    /// Only evict pods with these labels
    #[arg(long, value_name = "SELECTOR")]
    pod_selector: Option<String>,

    /// Only say what would be done, in kubectl's words
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_value = "none",
        default_missing_value = "client",
        hide_default_value = true,
        conflicts_with_all = ["all_nodes", "max_parallel", "replace_after", "uncordon_after"]
    )]
    dry_run: DryRunFlag,

    /// Do not wait for pods that have been in deletion for longer than so many seconds; 0: wait
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    skip_wait_for_delete_timeout: u64,
}

/// How the answer is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum DrainFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// One YAML document
    Yaml,
    /// What the components of the cluster tell with the first seed, as `kubectl events -A` prints it at the end of the run
    Events,
}

/// `--dry-run` of kubectl.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum DryRunFlag {
    /// Do it
    None,
    /// Say what would be done
    Client,
}

/// An upgrade of the whole cluster.
#[derive(Args, Debug)]
#[command(next_help_heading = "A whole upgrade")]
struct UpgradeFlags {
    /// Drain all nodes, each by a `kubectl drain` of its own, and replace each of them
    #[arg(long, conflicts_with = "selector")]
    all_nodes: bool,

    /// With --all-nodes or --selector: so many nodes are in the works at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_parallel: Option<u32>,

    /// A drained machine goes, and one like it is Ready after this time [default with --all-nodes: 2m]
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "uncordon_after")]
    replace_after: Option<Duration>,

    /// A drained node stays, and is uncordoned after this time, as after a reboot
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    uncordon_after: Option<Duration>,
}

/// What no cluster says of itself.
#[derive(Args, Debug)]
#[command(next_help_heading = "What a cluster does not say")]
struct AssumedFlags {
    /// Requests to a Service: NAMESPACE/SERVICE=RATE such as shop/web=200/s; `*=RATE` for all others [default: *=10/s]
    #[arg(long = "traffic", value_name = "SERVICE=RATE")]
    traffic: Vec<String>,

    /// How applications take signals and how fast they are: KEY=VALUE=PROFILE by label, image:NAME=PROFILE, or *=PROFILE;
    /// see `drainsim schema profiles`
    #[arg(long = "app", value_name = "WHICH=PROFILE")]
    apps: Vec<String>,

    /// The Kubernetes version, such as 1.33 [default: that of the nodes]
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<Version>,
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse().map_err(|error: crate::engine::ParseDurationError| error.to_string())
}

/// So many Services are told why they lose requests.
const LOSSES_MAX: usize = 16;

pub(super) fn run(args: &DrainArgs) -> Result<ExitCode, Failure> {
    let question = question(args)?;
    let cluster = Cluster::load(&Disk, &inputs(&args.files)?, &question)
        .map_err(|problems| Failure::Rendered(problems.render(output::colour_errors())))?;
    if args.kubectl.dry_run != DryRunFlag::None {
        return dry_run(&cluster, args);
    }
    if args.output == DrainFormat::Events {
        let outcome = drain::watch(&cluster.setup, args.seed);
        if let Some(history) = kubectl::Cluster::new(&cluster.setup, &cluster.originals, &outcome) {
            print(&kubectl::events(&history, outcome.end))?;
        }
        return Ok(code(outcome.drains.iter().all(|d| d.completed_at.is_some())));
    }
    let all = |setup: &_| -> Vec<DrainRun> {
        let progress = Progress::new(u64::from(args.runs));
        let one = |seed| drain::play(setup, &cluster.nodes, seed);
        let jobs = usize::from(args.jobs.unwrap_or(0));
        let runs = runs::by_seed(args.seed, args.runs, jobs, one, |done| progress.tell(done));
        progress.end();
        runs
    };
    let runs = all(&cluster.setup);
    let cases = Cases::of_drains(&cluster.unknown_apps, &cluster.setup, &runs, all);
    let stuck = runs.iter().find(|run| !run.deadlocks.is_empty());
    let resolution = stuck.map(|run| drain::resolve(&cluster.setup, &cluster.nodes, run));
    let losing = cure::losing(&runs);
    let why = |setup: &_, (service, run): &(_, &DrainRun)| Loss::of(setup, &cure::again(setup, run), *service);
    let losses: Vec<Loss> = losing.iter().take(LOSSES_MAX).filter_map(|one| why(&cluster.setup, one)).collect();
    // Of a drain that does not end, that has to be resolved first.
    let ends = runs.iter().all(DrainRun::is_drained);
    let cure = cure::all_changes(&cluster.setup, &losing).filter(|_| ends);
    let cure = cure.map(|(changes, setup)| {
        let runs = all(&setup);
        let left = cure::losing(&runs).first().and_then(|one| why(&setup, one));
        Cure { changes, left, runs }
    });
    let answer = Answer {
        losses: &losses,
        cure: cure.as_ref(),
        setup: &cluster.setup,
        nodes: &cluster.nodes,
        runs: &runs,
        resolution: resolution.as_ref(),
        ignored: &cluster.ignored,
        warnings: &cluster.warnings,
        assumptions: &cluster.assumptions,
        cases: cases.as_ref(),
        explain: args.explain,
    };
    match args.output {
        DrainFormat::Text | DrainFormat::Events => print(&cluster::render(&answer))?,
        DrainFormat::Json => print_data(Format::Json, &DrainAnswer::new(&answer))?,
        DrainFormat::Yaml => print_data(Format::Yaml, &DrainAnswer::new(&answer))?,
    }
    let lost = args.fail_on_loss && answer.failed() > 0;
    Ok(code(answer.is_drained() && !lost))
}

fn code(fine: bool) -> ExitCode {
    if fine { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// What `kubectl drain --dry-run` prints, and its exit code.
fn dry_run(cluster: &Cluster, args: &DrainArgs) -> Result<ExitCode, Failure> {
    if args.output != DrainFormat::Text {
        return Err(Failure::usage("--dry-run prints what kubectl prints: leave out --output"));
    }
    let outcome = drain::watch(&cluster.setup, args.seed);
    let mut lines: Vec<_> = outcome.drains.iter().flat_map(|d| &d.messages).collect();
    lines.sort_by_key(|(time, _)| *time);
    let text: String = lines.into_iter().map(|(_, line)| format!("{line}\n")).collect();
    print(&text)?;
    Ok(code(outcome.drains.iter().all(|d| d.completed_at.is_some())))
}

fn question(args: &DrainArgs) -> Result<Question, Failure> {
    let kubectl = &args.kubectl;
    let selector = |flag: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => selector(text)
            .map(Some)
            .ok_or_else(|| Failure::usage(format!("--{flag} {text}: expected a selector such as app=web,tier!=db"))),
    };
    let targets = match selector("selector", &kubectl.selector)? {
        Some(selector) => Targets::Selected(selector),
        None if args.upgrade.all_nodes => Targets::All,
        None => Targets::Named(args.nodes.iter().map(|name| bare_name(name).to_string()).collect()),
    };
    let mut question = Question {
        targets,
        drain: DrainOptions {
            force: kubectl.force,
            ignore_daemonsets: kubectl.ignore_daemonsets,
            delete_emptydir_data: kubectl.delete_emptydir_data,
            disable_eviction: kubectl.disable_eviction,
            grace_period: kubectl.grace_period,
            timeout: kubectl.timeout,
            pod_selector: selector("pod-selector", &kubectl.pod_selector)?,
            dry_run: match kubectl.dry_run {
                DryRunFlag::None => DryRun::None,
                DryRunFlag::Client => DryRun::Client,
            },
            skip_wait_for_delete_timeout: kubectl.skip_wait_for_delete_timeout,
            ..DrainOptions::default()
        },
        upgrade: upgrade(&args.upgrade),
        version: args.assumed.kubernetes,
        ..Question::drain(&[])
    };
    args.assumed.traffic.iter().try_for_each(|text| question.traffic(text)).map_err(Failure::usage)?;
    args.assumed.apps.iter().try_for_each(|text| question.app(text)).map_err(Failure::usage)?;
    Ok(question)
}

/// `node/NAME` is NAME, as to kubectl.
fn bare_name(node: &str) -> &str {
    match node.split_once('/') {
        Some(("node" | "nodes" | "no", name)) => name,
        _ => node,
    }
}

/// Any of its flags makes an upgrade of the drain.
fn upgrade(flags: &UpgradeFlags) -> Option<Upgrade> {
    let then = match (flags.replace_after, flags.uncordon_after) {
        (Some(after), _) => Then::Replace(after),
        (None, Some(after)) => Then::Uncordon(after),
        (None, None) => Then::Replace(REPLACE_AFTER_DEFAULT),
    };
    let wanted = flags.all_nodes
        || flags.max_parallel.is_some()
        || flags.replace_after.is_some()
        || flags.uncordon_after.is_some();
    let max_parallel = flags.max_parallel.unwrap_or(1) as usize;
    wanted.then_some(Upgrade { max_parallel, then })
}

fn inputs(files: &[String]) -> Result<Vec<Input>, Failure> {
    if files.iter().filter(|name| *name == "-").count() > 1 {
        return Err(Failure::usage("standard input (`-`) can be read only once"));
    }
    let input = |name: &String| match name.as_str() {
        "-" => {
            let text = output::read_stdin()?;
            if text.trim().is_empty() {
                return Err(Failure::usage(format!("standard input is empty; {HOW_TO_EXPORT}")));
            }
            Ok(Input::Stdin(text))
        }
        path => Ok(Input::Path(path.into())),
    };
    files.iter().map(input).collect()
}
