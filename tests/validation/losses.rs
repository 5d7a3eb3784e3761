//! C: the client losses of a drain. No parameter was fitted to their counts.

use drainsim::api::pod::Hook;
use drainsim::engine::{Duration, Time};
use drainsim::simulation::latency::{Hop, Latencies};
use drainsim::simulation::outcome::{Failure, FailureKind, Outcome, PodOutcome};
use drainsim::simulation::setup::{Arrivals, Connections, Reaction, Traffic};
use drainsim::simulation::{Setup, run};
use rayon::prelude::*;

use super::cluster::{EXIT, SERVICE, act, cluster, drain, graceful, with_budget};
use super::page::{Row, Section};
use super::recordings::{Recording, ms};

const SEEDS: u64 = 2_000;
/// When the drain is started, 3 s after the clients.
const START: Time = Time::from_secs(3);
const CLIENTS: [&str; 2] = ["newconn", "keepalive"];
const KINDS: [FailureKind; 6] = [
    FailureKind::Refused,
    FailureKind::ConnectTimeout,
    FailureKind::ResetInFlight,
    FailureKind::ResetIdle,
    FailureKind::RequestTimeout,
    FailureKind::NoEndpoints,
];

const WHY_BUSY: &str = "The recorded control plane was 10-20 ms later in this run: the clients' 300 requests/s ran on the \
                        same two cores; the profile is of an idle machine.";

/// The experiment: 4 pods, 2 of them on n1, which is drained; clients on n3, which runs no pods.
fn experiment(reaction: Reaction, hook: Option<Hook>) -> Setup {
    let mut setup = with_budget(cluster(&["n1", "n2", "n3"], 4, reaction, hook, 30), 1);
    setup.nodes[2].node.unschedulable = true;
    setup.deployments[0].placement = ["n1", "n1", "n2", "n2"].map(String::from).to_vec();
    setup.latencies.set(Hop::KubectlStart, Latencies::idle_lab().get(Hop::KubectlStart).clone());
    let kept = Connections::KeepAlive { idle_max: 100, idle_timeout: None, requests_max: None, age_max: None };
    for (name, connections) in CLIENTS.into_iter().zip([Connections::New, kept]) {
        setup.traffic.push(Traffic {
            arrivals: Arrivals::Constant,
            connections,
            timeout: Duration::from_secs(2),
            stop: Some(Time::from_secs(8)),
            ..Traffic::plain(name, SERVICE, 150.0, vec!["n3".into()])
        });
    }
    act(&mut setup, START, drain("n1", Duration::ZERO));
    setup.duration = Duration::from_secs(20);
    setup
}

/// What a run has to be compared with.
struct Run {
    old: [PodOutcome; 2],
    new: [PodOutcome; 2],
    failures: Vec<Failure>,
    evicted: [f64; 2],
    end: f64,
}

/// Milliseconds after the start of the drain.
fn after_start(at: Time) -> f64 {
    1000.0 * (at.as_secs_f64() - START.as_secs_f64())
}

impl Run {
    fn of(outcome: Outcome) -> Self {
        let drain = &outcome.drains[0];
        let mut old: Vec<_> = outcome.pods[..2].to_vec();
        old.sort_by_key(|pod| pod.times.deleted_at);
        let new: Vec<_> = outcome.pods[4..].to_vec();
        let evicted = [&old[0], &old[1]].map(|pod| {
            let line = format!("pod/{} evicted", pod.name);
            drain.messages.iter().find(|(_, text)| *text == line).map_or(f64::NAN, |(at, _)| after_start(*at))
        });
        Self {
            end: drain.completed_at.map_or(f64::NAN, after_start),
            old: old.try_into().expect("two"),
            new: new.try_into().expect("two replacements"),
            failures: outcome.failures,
            evicted,
        }
    }

    /// As in the recordings: the second eviction lost a race, and its retry was admitted.
    fn second_admitted_by_its_retry(&self) -> bool {
        self.old[1].times.deleted_at.is_some_and(|at| (400.0..1_000.0).contains(&after_start(at)))
    }

    fn count(&self, client: usize, kind: FailureKind) -> f64 {
        self.failures.iter().filter(|f| f.traffic as usize == client && f.kind == kind).count() as f64
    }

    /// When requests on new connections failed so because of this pod.
    fn lost(&self, old: usize, kind: FailureKind) -> impl Iterator<Item = f64> {
        let pod = Some(self.old[old].id);
        self.failures
            .iter()
            .filter(move |f| f.traffic == 0 && f.kind == kind && f.pod == pod)
            .map(|f| after_start(f.sent_at))
    }
}

/// The two recordings.
pub fn sections() -> Vec<Section> {
    let hook = Some(Hook::Sleep(Duration::from_secs(1)));
    vec![
        section(
            "c_iptables_graceful_prestop0",
            "C, held out: graceful application, no hook",
            experiment(graceful(Duration::ZERO), None),
        ),
        section(
            "c_iptables_exit_prestop1",
            "C, held out: application exits at once, `preStop: sleep 1`",
            experiment(EXIT, hook),
        ),
    ]
}

fn section(file: &str, title: &'static str, setup: Setup) -> Section {
    let recorded = Recording::read(file);
    let runs: Vec<Run> = (0..SEEDS).into_par_iter().map(|seed| Run::of(run(&setup, seed, false))).collect();
    let all: Vec<&Run> = runs.iter().collect();
    let alike: Vec<&Run> = runs.iter().filter(|r| r.second_admitted_by_its_retry()).collect();
    let mut rows = counts(&recorded, &all, "all runs");
    rows.extend(counts(&recorded, &alike, "runs alike"));
    rows.extend(timeline(&recorded, &alike));
    rows.extend(windows(&recorded, &alike));
    Section {
        title,
        text: format!(
            "`kubectl drain n1`, where 2 of 4 pods run (2 on n2), maxUnavailable 1; two clients of 150 requests/s on n3. {SEEDS} \
             seeds, nothing fitted. Counts: percentiles 1 / 10 / 50 / 90 / 99 and mean of the simulated ones, and which \
             percentiles of them the recorded one is.\n\nIn the recording the two evictions raced, and the second one was admitted \
             half a second later by its retry, the first replacement having become Ready just before. So it goes in {} of the \
             simulated runs (*runs alike*); in the others the second eviction does not lose a race or finds no \
             replacement Ready, is refused, and comes again after 5 s, when the routes have long been clean. Times are of runs alike, in \
             ms after the start of the drain; simulated: median (0.5-99.5 %).",
            alike.len()
        ),
        columns: ["", "recorded", "simulated"],
        rows,
        after: String::new(),
    }
}

fn counts(recorded: &Recording, runs: &[&Run], which: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, client) in CLIENTS.into_iter().enumerate() {
        let simulated = |kinds: &[FailureKind]| -> Vec<f64> {
            runs.iter().map(|r| kinds.iter().map(|k| r.count(number, *k)).sum()).collect()
        };
        let seen = |kind: FailureKind| {
            recorded.at(&format!("/losses/{client}/counts/{}", kind.name())).as_f64().expect("a count")
        };
        let of_all = KINDS.into_iter().map(seen).sum();
        rows.push(Row::count(&format!("{which}, {client}: all losses"), of_all, &simulated(&KINDS), None));
        for kind in KINDS {
            let counts = simulated(&[kind]);
            if seen(kind) > 0.0 || counts.iter().any(|c| *c > 0.0) {
                rows.push(Row::count(&format!("{which}, {client}: {}", kind.name()), seen(kind), &counts, None));
            }
        }
    }
    rows
}

fn timeline(recorded: &Recording, runs: &[&Run]) -> Vec<Row> {
    let of = |value: &dyn Fn(&Run) -> Option<Time>| -> Vec<f64> {
        runs.iter().filter_map(|r| value(r).map(after_start)).collect()
    };
    let mut rows = Vec::new();
    for pod in 0..2 {
        let at = |name: &str| recorded.ms(&format!("/drained_pods/{pod}/{name}"));
        let name = ["old1", "old2"][pod];
        let mut row = |what: &str, seen: f64, simulated: Vec<f64>| {
            rows.push(Row::values(&format!("{name}: {what}"), &[seen], simulated, Some(WHY_BUSY)));
        };
        row("eviction answered", at("eviction_answered"), of(&|r| r.old[pod].times.deleted_at));
        row("SIGTERM", at("sigterm"), of(&|r| r.old[pod].times.sigterm_at));
        row("exit", at("exit"), of(&|r| r.old[pod].times.exited_at));
        row("object removed", at("final_delete_received"), of(&|r| r.old[pod].times.removed_at));
        row("kubectl says evicted", at("kubectl_says_evicted"), runs.iter().map(|r| r.evicted[pod]).collect());
    }
    for pod in 0..2 {
        let at = |name: &str| recorded.ms(&format!("/replacements/{pod}/{name}"));
        let name = ["new1", "new2"][pod];
        let created = runs.iter().map(|r| after_start(r.new[pod].created_at)).collect();
        rows.push(Row::values(&format!("{name}: created"), &[at("created")], created, Some(WHY_BUSY)));
        let ready = of(&|r| r.new[pod].times.ready_at);
        rows.push(Row::values(&format!("{name}: Ready"), &[at("ready")], ready, Some(WHY_BUSY)));
    }
    let end = runs.iter().map(|r| r.end).collect();
    rows.push(Row::values("drain ends", &[recorded.ms("/drain_end/t")], end, Some(WHY_BUSY)));
    rows
}

/// When the losses of `newconn` by the second pod began and ended; the first one's are too few.
fn windows(recorded: &Recording, runs: &[&Run]) -> Vec<Row> {
    let second_ends = recorded.ms("/drained_pods/1/sigterm");
    let seen = |kind: FailureKind| -> Vec<f64> {
        let lost = recorded.at("/losses/newconn/lost").get(kind.name()).and_then(|v| v.as_array());
        lost.map_or_else(Vec::new, |times| times.iter().map(ms).filter(|at| *at > second_ends).collect())
    };
    if seen(FailureKind::Refused).is_empty() {
        return Vec::new();
    }
    let row = |what: &str, kind: FailureKind, last: bool| {
        let edge = |times: &mut dyn Iterator<Item = f64>| times.reduce(if last { f64::max } else { f64::min });
        let sigterm = |r: &Run| r.old[1].times.sigterm_at.map(after_start);
        let simulated = runs.iter().filter_map(|r| Some(edge(&mut r.lost(1, kind))? - sigterm(r)?)).collect();
        let recorded = edge(&mut seen(kind).into_iter()).expect("recorded") - second_ends;
        Row::values(&format!("old2, after its SIGTERM: {what}"), &[recorded], simulated, None)
    };
    vec![
        row("first refused", FailureKind::Refused, false),
        row("last refused", FailureKind::Refused, true),
        row("first connect timeout", FailureKind::ConnectTimeout, false),
        row("last connect timeout", FailureKind::ConnectTimeout, true),
    ]
}
