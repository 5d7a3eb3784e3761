//! The answer to a question about a cluster: does the drain end, what blocks it and what would resolve that, what do clients
//! lose, and what was taken for granted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::cases;
use super::style::{BAD, BOLD, DIM, GOOD, PLAIN, WARN, WIDTH, and, paint, plural, share, thousands, wrap};
use super::table::{Align, Cell, Table};
use super::text::section;
use super::verdict::failed_by;
use crate::analysis::attitudes::Cases;
use crate::analysis::deadlock::{Blocked, Remedy, Shortage, Why};
use crate::analysis::drain::{self, DrainRun, NodeTally, Resolution};
use crate::api::pdb::Budget;
use crate::api::{PdbId, PdbSpec};
use crate::engine::Duration;
use crate::scenario::Ignored;
use crate::simulation::Setup;
use crate::simulation::outcome::Requests;

mod data;
mod loss;

pub use loss::{Cure, Loss};

pub use data::{BlockedAnswer, DrainAnswer, IgnoredAnswer, NodeAnswer, RefusalsAnswer, ServiceAnswer};

/// Longer lists of blocked pods are cut.
const BLOCKED_MAX: usize = 5;

/// Everything that the answer is made of.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// What the runs started from.
    pub setup: &'a Setup,
    /// The nodes in question.
    pub nodes: &'a [String],
    /// The runs, in the order of their seeds; at least one.
    pub runs: &'a [DrainRun],
    /// What would let the first run end that does not.
    pub resolution: Option<&'a Resolution>,
    /// Objects of the input that are not modelled.
    pub ignored: &'a [Ignored],
    /// What may make the answer wrong.
    pub warnings: &'a [String],
    /// What was taken for granted.
    pub assumptions: &'a [String],
    /// Why requests were lost, the Service with most losses first.
    pub losses: &'a [Loss],
    /// What was tried against that.
    pub cure: Option<&'a Cure>,
    /// What comes out if unknown applications do something else.
    pub cases: Option<&'a Cases>,
    /// Whether blocked pods are told one by one, with what else may help.
    pub explain: bool,
}

impl Answer<'_> {
    /// Whether every node was drained in every run.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.runs.iter().all(DrainRun::is_drained)
    }

    /// Failed requests of all runs.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.runs.iter().map(DrainRun::failed).sum()
    }

    fn requests(&self) -> Requests {
        let mut all = Requests::default();
        self.runs.iter().flat_map(|r| &r.services).for_each(|s| all.add(&s.requests));
        all
    }

    /// The first run in which some drain never ends.
    fn stuck(&self) -> Option<&DrainRun> {
        self.runs.iter().find(|r| !r.deadlocks.is_empty())
    }
}

/// The answer for a terminal.
#[must_use]
pub fn render(answer: &Answer<'_>) -> String {
    let mut out = String::new();
    head(&mut out, answer);
    section(&mut out, "What blocks it", &blocks(answer));
    section(&mut out, "What resolves it", &resolves(answer));
    section(&mut out, "What holds it up", &holds_up(answer));
    section(&mut out, "Nodes", &nodes(answer));
    section(&mut out, "Services", &services(answer));
    section(&mut out, "Why requests fail", &loss::causes(answer));
    section(&mut out, "What would help", &loss::cures(answer));
    section(&mut out, "Unknown applications", &cases::render(answer.cases));
    section(&mut out, "Input", &input(answer));
    section(&mut out, "Warnings", &bullets(answer.warnings, WARN));
    section(&mut out, "Assumptions", &bullets(answer.assumptions, PLAIN));
    let (first, count) = (answer.runs[0].seed, answer.runs.len() as u64);
    let seeds = if count == 1 { format!("seed {first}") } else { format!("seeds {first} to {}", first + count - 1) };
    let line = format!("Kubernetes {} · {} · {seeds}", answer.setup.version, plural(count, "run"));
    let _ = writeln!(out, "\n{}", paint(DIM, &line));
    out
}

fn head(out: &mut String, answer: &Answer<'_>) {
    let runs = answer.runs.len() as u64;
    let drained = answer.runs.iter().filter(|r| r.is_drained()).count() as u64;
    let what = match answer.nodes {
        [one] => one.clone(),
        some if some.len() <= 3 => and(some),
        many => format!("{} nodes", many.len()),
    };
    let verb = if answer.nodes.len() == 1 { "is" } else { "are" };
    let mut took: Vec<Duration> = answer.runs.iter().filter_map(|r| r.took).collect();
    took.sort_unstable();
    let (mark, style) = if drained == runs { ("✓", GOOD) } else { ("✗", BAD) };
    let headline = if drained == runs {
        format!("{what} {verb} drained in {}", spread(&took))
    } else {
        let never = answer.runs.iter().filter(|r| !r.deadlocks.is_empty()).count() as u64;
        let failed = answer.runs.iter().any(|r| r.nodes.iter().any(|n| matches!(n, drain::NodeEnd::Failed(_))));
        let often = |n: u64| if n == runs { String::new() } else { format!(" in {n} of {runs} runs") };
        match (never, failed) {
            (0, true) => format!("kubectl drain of {what} fails{}", often(runs - drained)),
            (0, false) => format!(
                "the drain of {what} does not end within {} of simulated time{}; whether it ever does is not proved",
                short(answer.runs.iter().map(|r| r.simulated).max().unwrap_or_default()),
                often(runs - drained)
            ),
            (n, _) => format!("the drain of {what} never ends{}", often(n)),
        }
    };
    let _ = writeln!(out, "{} {}", paint(style, mark), paint(BOLD, &headline));
    let requests = answer.requests();
    let (sent, failed) = (requests.sent, requests.failed());
    let (mark, style, text) = match (sent, failed) {
        (0, _) => ("–", PLAIN, "no request was sent".to_string()),
        (_, 0) => ("✓", GOOD, format!("no request failed of {}", thousands(sent))),
        _ => (
            "✗",
            BAD,
            format!("{} of {} requests failed ({})", thousands(failed), thousands(sent), share(failed, sent)),
        ),
    };
    let until = if drained == runs { "" } else { ", as far as it goes" };
    let _ = writeln!(out, "{} {text}{until}", paint(style, mark));
    out.push_str(&cases::line(answer.cases));
    without_node(out, answer);
}

/// Pods that came to life during a run and have nowhere to run, however well the drain went.
fn without_node(out: &mut String, answer: &Answer<'_>) {
    let Some(run) = most_homeless(answer) else { return };
    let (runs, often) = (answer.runs.len(), answer.runs.iter().filter(|r| !r.homeless.is_empty()).count());
    let what =
        if run.homeless.len() == 1 { "1 new pod finds" } else { &format!("{} new pods find", run.homeless.len()) };
    let shown = run.homeless[..run.homeless.len().min(3)].join(", ");
    let more = if run.homeless.len() > 3 { format!(" and {} more", run.homeless.len() - 3) } else { String::new() };
    let in_runs = if often < runs { format!(" (in {often} of {runs} runs)") } else { String::new() };
    let _ = writeln!(out, "{} {what} no node: {shown}{more}{in_runs}", paint(BAD, "✗"));
}

/// The run with the most pods that have no node.
fn most_homeless<'a>(answer: &Answer<'a>) -> Option<&'a DrainRun> {
    answer.runs.iter().filter(|r| !r.homeless.is_empty()).max_by_key(|r| r.homeless.len())
}

/// `42.1s`, or the median and the range.
fn spread(sorted: &[Duration]) -> String {
    match sorted {
        [] => "–".to_string(),
        [one] => short(*one),
        [first, .., last] => {
            let median = sorted[(sorted.len() - 1) / 2];
            format!("{} ({} to {})", short(median), short(*first), short(*last))
        }
    }
}

fn short(duration: Duration) -> String {
    let tenths = (duration.as_nanos() + 50_000_000) / 100_000_000;
    let (minutes, rest) = (tenths / 600, tenths % 600);
    let seconds = format!("{}.{}s", rest / 10, rest % 10);
    if minutes == 0 { seconds } else { format!("{minutes}m{seconds}") }
}

/// Budget by budget: why it never admits an eviction, and of which pods.
fn blocks(answer: &Answer<'_>) -> String {
    let Some(run) = answer.stuck() else { return failures(answer) };
    let mut out = String::new();
    for deadlock in &run.deadlocks {
        let mut told: Vec<&Why> = Vec::new();
        for pod in &deadlock.pods {
            if told.contains(&&pod.why) {
                continue;
            }
            told.push(&pod.why);
            paragraph(&mut out, "  ", &reason(answer.setup, pod));
            let pods: Vec<&Blocked> = deadlock.pods.iter().filter(|p| p.why == pod.why).collect();
            let shown = if answer.explain { pods.len() } else { BLOCKED_MAX };
            for pod in pods.iter().take(shown) {
                let state = if pod.ready { "" } else { ", which is not Ready" };
                let _ = writeln!(out, "    pod {}{state}", pod.name);
            }
            if pods.len() > shown {
                let _ = writeln!(out, "    and {} more", plural((pods.len() - shown) as u64, "pod"));
            }
        }
    }
    out
}

/// Budgets that refuse evictions of a drain that ends all the same.
fn holds_up(answer: &Answer<'_>) -> String {
    if answer.stuck().is_some() {
        return String::new();
    }
    let mut out = String::new();
    for (name, counts) in refusals(answer) {
        let runs = answer.runs.len();
        let often = match (counts.len() == runs, counts.as_slice()) {
            (true, [first, .., last]) if first != last => format!("{first} to {last} times a run"),
            (true, [first, ..]) => plural(*first, "time"),
            (_, [.., last]) => format!("up to {} in {} of {runs} runs", plural(*last, "time"), counts.len()),
            (_, []) => continue,
        };
        paragraph(&mut out, "  ", &format!("PodDisruptionBudget {name} refuses an eviction {often}"));
    }
    if !out.is_empty() {
        out.push_str("  kubectl asks again 5s after each refusal\n");
    }
    out
}

/// By budget: how often it refused in each run in which it did, fewest first.
fn refusals(answer: &Answer<'_>) -> BTreeMap<String, Vec<u64>> {
    let mut by_budget: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (name, count) in answer.runs.iter().flat_map(|run| &run.refusals) {
        by_budget.entry(name.clone()).or_default().push(*count);
    }
    by_budget.values_mut().for_each(|counts| counts.sort_unstable());
    by_budget
}

/// kubectl's own words where a drain failed.
fn failures(answer: &Answer<'_>) -> String {
    let mut out = String::new();
    for (node, tally) in answer.nodes.iter().zip(drain::tally(answer.nodes.len(), answer.runs)) {
        for words in tally.failed.keys() {
            paragraph(&mut out, "  ", &format!("{node}: {words}"));
        }
    }
    out
}

/// Why a pod never leaves, in a sentence or two.
fn reason(setup: &Setup, pod: &Blocked) -> String {
    let (pdb, shortage) = match &pod.why {
        Why::NodeOff { node } => {
            return format!("the machine {node} is off: nobody there says that its pods are gone");
        }
        Why::Budget(pdb, shortage) => (&setup.pdbs[pdb.index()], shortage),
    };
    let name = pdb.full_name();
    let wants = wants(pdb);
    let budget = format!("PodDisruptionBudget {name} ({wants})");
    match shortage {
        Shortage::NothingSaid => format!("{budget} allows nothing: it has neither minAvailable nor maxUnavailable"),
        Shortage::NoScale { kind } => format!(
            "{budget} cannot be computed: it counts the replicas of a {kind}, which has no scale that the disruption \
             controller knows (SyncFailed), and so allows nothing"
        ),
        Shortage::NothingExpected => {
            format!(
                "{budget} counts replicas of controllers, and its pods have none: nothing is expected, nothing allowed"
            )
        }
        Shortage::TooFewReplicas { most, desired } => format!(
            "{budget} wants {} at any time, and {} the most there can be: not one is ever to spare",
            plural(u64::from(*desired), "healthy pod"),
            if *most == 1 { "1 is".to_string() } else { format!("{most} are") }
        ),
        Shortage::Unhealthy { most, desired, homeless, broken } => {
            let mut text = format!(
                "{budget} wants {}, and there will never be more than {most}",
                plural(u64::from(*desired), "healthy pod")
            );
            if let Some(first) = homeless.first() {
                let more = if homeless.len() > 1 { format!(" and {} more", homeless.len() - 1) } else { String::new() };
                let why = if first.reason.is_empty() { String::new() } else { format!(" ({})", first.reason) };
                let _ = write!(text, "; no node has room for {}{more}{why}", first.name);
            }
            if let Some(first) = broken.first() {
                let more = if broken.len() > 1 { format!(" and {} more", broken.len() - 1) } else { String::new() };
                let _ = write!(text, "; {first}{more} will not become Ready");
            }
            text
        }
    }
}

fn wants(pdb: &PdbSpec) -> String {
    match pdb.budget {
        Budget::MinAvailable(n) => format!("minAvailable: {n}"),
        Budget::MaxUnavailable(n) => format!("maxUnavailable: {n}"),
        Budget::Nothing => "no budget".to_string(),
    }
}

fn resolves(answer: &Answer<'_>) -> String {
    let Some(resolution) = answer.resolution else { return String::new() };
    let mut out = String::new();
    for (change, others) in resolution.changes.iter().zip(&resolution.alternatives) {
        paragraph(&mut out, "  ", &command(answer.setup, change));
        if answer.explain || resolution.changes.len() == 1 {
            for other in others {
                paragraph(&mut out, "    or ", &command(answer.setup, other));
            }
        }
    }
    let untried = if resolution.changes.is_empty() { untried(answer) } else { Vec::new() };
    for command in &untried {
        paragraph(&mut out, "  ", command);
    }
    let verdict = match (&resolution.run, resolution.changes.len()) {
        (_, 0) if !untried.is_empty() => "not tried".to_string(),
        (_, 0) => "no single change that was tried resolves it".to_string(),
        (Some(run), changes) => format!(
            "tried: with {} the drain ends after {}",
            if changes == 1 { "this change" } else { "all of these" },
            run.took.map_or("–".to_string(), short)
        ),
        (None, _) => "tried: that alone does not let the drain end".to_string(),
    };
    let _ = writeln!(out, "  {}", paint(DIM, &verdict));
    out
}

/// What may help with pods that wait for something else than a budget.
fn untried(answer: &Answer<'_>) -> Vec<String> {
    let mut commands = Vec::new();
    for pod in answer.stuck().iter().flat_map(|run| &run.deadlocks).flat_map(|d| &d.pods) {
        if matches!(pod.why, Why::Budget(..)) {
            continue;
        }
        for command in pod.remedies.iter().map(|remedy| command(answer.setup, remedy)) {
            if !commands.contains(&command) {
                commands.push(command);
            }
        }
    }
    commands
}

/// A change as somebody would make it.
fn command(setup: &Setup, remedy: &Remedy) -> String {
    let patch = |pdb: PdbId, spec: &str| {
        let pdb = &setup.pdbs[pdb.index()];
        format!("kubectl patch pdb {} -n {} --type merge -p '{{\"spec\":{spec}}}'", pdb.name, pdb.namespace)
    };
    match remedy {
        Remedy::ScaleDeployment { deployment, replicas } => {
            let d = &setup.deployments[*deployment];
            format!("kubectl scale deployment {} -n {} --replicas={replicas}", d.name, d.namespace)
        }
        Remedy::ScaleReplicaSet { replica_set, replicas } => {
            let rs = &setup.replica_sets[*replica_set];
            format!("kubectl scale replicaset {} -n {} --replicas={replicas}", rs.name, rs.namespace)
        }
        Remedy::OneUnavailable(pdb) => patch(*pdb, "{\"maxUnavailable\":1,\"minAvailable\":null}"),
        Remedy::NoneRequired(pdb) => patch(*pdb, "{\"minAvailable\":0,\"maxUnavailable\":null}"),
        Remedy::AlwaysAllow(pdb) => patch(*pdb, "{\"unhealthyPodEvictionPolicy\":\"AlwaysAllow\"}"),
        Remedy::AddNode(room) => {
            let memory = room.memory_bytes.div_ceil(1 << 20);
            format!("add a node, or uncordon one, with {}m of CPU and {memory}Mi of memory free", room.cpu_millis)
        }
        Remedy::MakeReady(pods) => format!("get {} Ready", and(&pods[..pods.len().min(3)])),
        Remedy::DeleteNode(node) => format!(
            "kubectl delete node {node}, if its machine will not come back; to let the drain pass such pods over: \
             --skip-wait-for-delete-timeout=60"
        ),
    }
}

fn nodes(answer: &Answer<'_>) -> String {
    let runs = answer.runs.len();
    let mut table = Table::new(
        2,
        3,
        &[
            (Align::Left, "NAME"),
            (Align::Left, "DRAINED"),
            (Align::Right, "MEDIAN"),
            (Align::Right, "SHORTEST"),
            (Align::Right, "LONGEST"),
        ],
    );
    for (node, tally) in answer.nodes.iter().zip(drain::tally(answer.nodes.len(), answer.runs)) {
        let all = tally.drained.len() == runs;
        let took = |at: usize| tally.drained.get(at).map_or("–".to_string(), |d| short(*d));
        let last = tally.drained.len().saturating_sub(1);
        table.row([
            node.as_str().into(),
            Cell::styled(if all { GOOD } else { BAD }, ends(&tally, runs)),
            took(last / 2).into(),
            took(0).into(),
            took(last).into(),
        ]);
    }
    table.render()
}

/// How the drains of a node ended: one word if always the same.
fn ends(tally: &NodeTally, runs: usize) -> String {
    let failed: u64 = tally.failed.values().sum();
    let counts = [
        (tally.drained.len() as u64, "yes"),
        (failed, "failed"),
        (tally.never, "never"),
        (tally.not_yet, "not yet"),
        (tally.not_reached, "not reached"),
    ];
    if let Some((_, word)) = counts.iter().find(|(count, _)| *count == runs as u64) {
        return (*word).to_string();
    }
    let parts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{word} {count}"));
    parts.collect::<Vec<_>>().join(", ")
}

fn services(answer: &Answer<'_>) -> String {
    let mut table = Table::new(
        2,
        3,
        &[
            (Align::Left, "NAME"),
            (Align::Right, "SENT"),
            (Align::Right, "FAILED"),
            (Align::Right, "RATE"),
            (Align::Right, "FAILED IN RUNS"),
            (Align::Right, "MIN READY"),
            (Align::Right, "NO ENDPOINT FOR"),
            (Align::Left, "FAILED BY"),
        ],
    );
    for service in service_sums(answer) {
        let (requests, failed) = (&service.requests, service.requests.failed());
        let alarm = |bad: bool| if bad { BAD } else { PLAIN };
        let failed_runs = format!("{} of {}", service.runs_with_failures, answer.runs.len());
        table.row([
            service.name.into(),
            thousands(requests.sent).into(),
            Cell::styled(alarm(failed > 0), thousands(failed)),
            share(failed, requests.sent).into(),
            Cell::styled(alarm(failed > 0), failed_runs),
            Cell::styled(alarm(service.min_ready == 0), service.min_ready.to_string()),
            Cell::styled(
                alarm(!service.without_endpoints.is_zero()),
                format!("{}{}", short(service.without_endpoints), if service.is_out { " and on" } else { "" }),
            ),
            failed_by(requests).into(),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

/// A Service over all runs.
struct ServiceSum<'a> {
    name: &'a str,
    requests: Requests,
    runs_with_failures: u64,
    /// The fewest in any run.
    min_ready: u32,
    /// The longest time in any run.
    without_endpoints: Duration,
    /// Whether some run ended without any.
    is_out: bool,
}

/// The Services that have had requests.
fn service_sums<'a>(answer: &Answer<'a>) -> Vec<ServiceSum<'a>> {
    let mut sums = Vec::new();
    for (number, service) in answer.runs[0].services.iter().enumerate() {
        let of = || answer.runs.iter().filter_map(|r| r.services.get(number));
        let mut requests = Requests::default();
        of().for_each(|s| requests.add(&s.requests));
        if requests.sent > 0 {
            sums.push(ServiceSum {
                name: &service.name,
                requests,
                runs_with_failures: of().filter(|s| s.requests.failed() > 0).count() as u64,
                min_ready: of().map(|s| s.min_ready).min().unwrap_or(0),
                without_endpoints: of().map(|s| s.without_endpoints).max().unwrap_or_default(),
                is_out: of().any(|s| s.is_out),
            });
        }
    }
    sums
}

fn input(answer: &Answer<'_>) -> String {
    let setup = answer.setup;
    let found: usize = setup.found.replica_sets.iter().map(|rs| rs.pods.len()).sum();
    let counts = [
        (setup.nodes.len(), "node"),
        (setup.deployments.len(), "Deployment"),
        (setup.replica_sets.len(), "ReplicaSet of their own"),
        (setup.stateful_sets.len(), "StatefulSet"),
        (setup.daemon_sets.len(), "DaemonSet"),
        (setup.jobs.len(), "Job"),
        (setup.autoscalers.len(), "HorizontalPodAutoscaler"),
        (found + setup.found.pods.len().max(setup.pods.len()), "pod"),
        (setup.services.len(), "Service"),
        (setup.pdbs.len(), "PodDisruptionBudget"),
    ];
    let counted = |(count, word): &(usize, &str)| match (*count, word.split_once(' ')) {
        (0, _) => None,
        (1, _) | (_, None) => Some(plural(*count as u64, word)),
        (n, Some((word, rest))) => Some(format!("{} {rest}", plural(n as u64, word))),
    };
    let mut out = String::new();
    let read: Vec<String> = counts.iter().filter_map(counted).collect();
    paragraph(&mut out, "  read: ", &read.join(", "));
    if !answer.ignored.is_empty() {
        let ignored: Vec<String> = answer.ignored.iter().map(ToString::to_string).collect();
        paragraph(&mut out, "  ignored: ", &ignored.join(", "));
    }
    out
}

/// A wrapped paragraph with a hanging indent.
fn paragraph(out: &mut String, lead: &str, text: &str) {
    let hang = " ".repeat(4);
    for (number, line) in wrap(text, WIDTH - lead.chars().count().max(hang.len())).iter().enumerate() {
        let _ = writeln!(out, "{}{line}", if number == 0 { lead } else { &hang });
    }
}

fn bullets(lines: &[String], style: anstyle::Style) -> String {
    let mut out = String::new();
    for line in lines {
        for (number, part) in wrap(line, WIDTH - 4).iter().enumerate() {
            let bullet = if number == 0 { paint(style, "-") } else { " ".to_string() };
            let _ = writeln!(out, "  {bullet} {part}");
        }
    }
    out
}
