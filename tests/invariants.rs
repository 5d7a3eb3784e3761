//! What must hold in every run, checked over random scenarios. The checkers know the outcome and the causal trace, and
//! nothing of how the model works inside.

use std::collections::{BTreeMap, BTreeSet};

use drainsim::api::pdb::{Budget, UnhealthyPodEvictionPolicy};
use drainsim::api::pod::{Container, Hook, HookStep, Probe, Signal};
use drainsim::api::workload::Strategy as RolloutStrategy;
use drainsim::api::{
    IntOrPercent, Labels, PdbSpec, PodId, PodTemplate, Selector, Service, ServiceId, TemplateId, Version,
};
use drainsim::engine::{Distribution, Duration, Time};
use drainsim::simulation::latency::Hop;
use drainsim::simulation::observe::What;
use drainsim::simulation::setup::{
    Action, ActionKind, App, Arrivals, Connections, DeploymentSetup, DrainOptions, EnvoyProfile, IngressNginx, Life,
    NodeSetup, Partition, PartitionScope, Reaction, Restarted, Traffic, Via, When, plain_node,
};
use drainsim::simulation::{Outcome, Setup, run};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The longest that the small hops around the grace clock may take together: their 99.99th percentiles, generously.
const SLACK: Duration = Duration::from_secs(3);

/// The same 96 cases each time, so that a red build is about the change that it builds; others with `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return ProptestConfig::default();
    }
    ProptestConfig { cases: 96, rng_seed: RngSeed::Fixed(11), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_run_keeps_the_invariants(setup in any_setup(), seed in any::<u64>()) {
        let outcome = run(&setup, seed, true);
        requests_balance(&outcome);
        time_and_causes_run_forward(&outcome);
        processes_start_and_end_in_turn(&setup, &outcome);
        the_grace_clock_holds(&setup, &outcome);
        objects_outlive_their_containers(&setup, &outcome);
        budgets_hold_when_only_evictions_disrupt(&setup, &outcome);
        evictions_are_admitted_only_with_a_budget(&outcome);
    }

    #[test]
    fn the_trace_changes_nothing_and_runs_repeat(setup in any_setup(), seed in any::<u64>()) {
        let traced = run(&setup, seed, true);
        let untraced = run(&setup, seed, false);
        let again = run(&setup, seed, false);
        prop_assert_eq!(&traced.digest, &untraced.digest);
        prop_assert_eq!(format!("{untraced:?}"), format!("{again:?}"));
        prop_assert_eq!(format!("{:?}", traced.pods), format!("{:?}", untraced.pods));
        prop_assert_eq!(format!("{:?}", traced.failures), format!("{:?}", untraced.failures));
    }
}

/// The order of things that do not know of each other is nobody's luck: streams of requests keep theirs when they change
/// places, and when one of them is gone.
#[test]
fn independent_inputs_can_change_places() {
    let workload = |rate: f64| Workload {
        replicas: 2,
        grace: 10,
        hook: None,
        probe: true,
        app: App {
            startup: Distribution::Constant(Duration::from_millis(300)),
            service_time: Distribution::log_normal(Duration::from_millis(30), Duration::from_secs(1)).unwrap(),
            reaction: Distribution::Constant(Duration::from_millis(5)),
            reactions: BTreeMap::from([(Signal::Term, Reaction::ExitNow)]),
            ..App::plain("x")
        },
        budget: None,
        keep_alive: rate > 100.0,
        rate,
        containers: 1,
        liveness: false,
        sidecar: false,
    };
    let actions = [(10_000, Deed::Drain(0, false, -1)), (30_000, Deed::Drain(1, false, -1))];
    let setup = build(3, &[workload(150.0), workload(50.0)], &actions, 36, true);
    let mut turned = setup.clone();
    turned.traffic.reverse();
    let mut fewer = setup.clone();
    fewer.traffic.truncate(1);
    for seed in 0..10 {
        let outcomes = [run(&setup, seed, false), run(&turned, seed, false), run(&fewer, seed, false)];
        let [requests, turned, fewer] = outcomes.each_ref().map(|o| [&o.services[0].requests, &o.services[1].requests]);
        assert_eq!(requests, turned);
        assert_eq!(requests[0], fewer[0]);
    }
}

/// A budget gives what it has: its status falls by one with each admitted eviction, and never below nothing.
fn evictions_are_admitted_only_with_a_budget(outcome: &Outcome) {
    let mut allowed: BTreeMap<u32, (u32, u32)> = BTreeMap::new(); // (before the last write, after it)
    for (number, pdb) in outcome.pdbs.iter().enumerate() {
        let at_start = pdb.history.first().map_or(0, |h| h.1);
        allowed.insert(u32::try_from(number).unwrap(), (at_start, at_start));
    }
    for entry in outcome.trace.entries() {
        match entry.what {
            What::PdbUpdated { pdb, allowed: now, .. } => {
                let last = allowed.get_mut(&pdb.0).unwrap();
                *last = (last.1, now);
            }
            What::EvictionAdmitted { pdb, .. } => {
                let (before, after) = allowed[&pdb.0];
                assert!(before >= 1 && after == before - 1, "{pdb:?}: {before} allowed before, {after} after");
            }
            _ => {}
        }
    }
}

fn requests_balance(outcome: &Outcome) {
    let all = outcome.services.iter().map(|s| &s.requests).chain([&outcome.requests]);
    for r in all {
        assert_eq!(r.sent, r.ok + r.ok_after_retry + r.failed() + r.unfinished, "{r:?}");
    }
    let by_service: u64 = outcome.services.iter().map(|s| s.requests.sent).sum();
    assert_eq!(by_service, outcome.requests.sent);
    let by_pod: u64 = outcome.pods.iter().map(|p| p.times.failed_requests).sum();
    assert!(by_pod <= outcome.requests.failed());
    for failure in &outcome.failures {
        assert!(failure.sent_at <= failure.failed_at && failure.failed_at <= outcome.end);
    }
}

fn time_and_causes_run_forward(outcome: &Outcome) {
    let mut last = Time::ZERO;
    for entry in outcome.trace.entries() {
        assert!(entry.time >= last, "{entry:?} after {last}");
        assert!(entry.cause < entry.id, "{entry:?} names a later cause");
        last = entry.time;
    }
}

/// A container has one process at a time; only one that the kubelet gave up, or that ended by itself, gets another one.
fn processes_start_and_end_in_turn(setup: &Setup, outcome: &Outcome) {
    if setup.actions.iter().any(|a| matches!(a.what, ActionKind::Restart(_) | ActionKind::PowerOn(_))) {
        return; // a kernel that comes back starts them anew
    }
    let mut runs: BTreeMap<(PodId, u32), bool> = BTreeMap::new();
    for entry in outcome.trace.entries() {
        match entry.what {
            What::ContainerStarted { pod, container } => {
                assert_ne!(runs.insert((pod, container), true), Some(true), "{entry:?} a second time");
            }
            What::ContainerExited { pod, container, .. } => {
                assert_ne!(runs.insert((pod, container), false), Some(false), "{entry:?} a second time");
            }
            _ => {}
        }
    }
    for pod in &outcome.pods {
        let started = outcome.trace.entries().iter().filter_map(|e| match e.what {
            What::ContainerStarted { pod: p, container } if p == pod.id => Some(container),
            _ => None,
        });
        let started: Vec<u32> = started.collect();
        // the first start of a container is no restart; those of a pod that was there at the beginning have had theirs
        let first = if pod.created_at > Time::ZERO { started.iter().collect::<BTreeSet<_>>().len() } else { 0 };
        let (starts, restarts) = (started.len(), pod.restarts as usize);
        assert!(
            starts - first >= restarts,
            "{}: {starts} starts, {first} of them first, {restarts} restarts",
            pod.name
        );
    }
}

/// preStop and the wait after the stop signal end with the grace period, or 2 s after it; SIGKILL comes then.
fn the_grace_clock_holds(setup: &Setup, outcome: &Outcome) {
    let asked = setup.actions.iter().filter_map(|a| match a.what {
        ActionKind::Drain(ref options) => u64::try_from(options.grace_period).ok(),
        ActionKind::DeletePod { grace_seconds, .. } => grace_seconds.and_then(|g| u64::try_from(g).ok()),
        _ => None,
    });
    let longest = setup.templates.iter().map(|t| t.termination_grace_period_seconds).chain(asked).max().unwrap_or(30);
    for pod in &outcome.pods {
        let Some(began) = pod.times.killing_at else { continue };
        if let Some(killed) = pod.times.sigkill_at.filter(|killed| *killed >= began) {
            let took = killed.since(began);
            assert!(took >= Duration::from_secs(2), "{}: SIGKILL after {took}", pod.name);
            assert!(took <= Duration::from_secs(longest + 2) + SLACK, "{}: SIGKILL after {took}", pod.name);
        }
        if let (Some(term), Some(killed)) = (pod.times.sigterm_at, pod.times.sigkill_at) {
            assert!(term <= killed, "{}", pod.name);
        }
    }
}

/// An object leaves the store only after its containers have stopped, unless it was removed by force or its node is gone.
fn objects_outlive_their_containers(setup: &Setup, outcome: &Outcome) {
    let off = setup
        .actions
        .iter()
        .any(|a| matches!(a.what, ActionKind::ShutOff(_) | ActionKind::Restart(_) | ActionKind::Shutdown(_)));
    let mut running: BTreeMap<PodId, BTreeSet<u32>> = BTreeMap::new();
    let mut forced = BTreeSet::new();
    for entry in outcome.trace.entries() {
        match entry.what {
            What::ContainerStarted { pod, container } => {
                running.entry(pod).or_default().insert(container);
            }
            What::ContainerExited { pod, container, .. } => {
                running.entry(pod).or_default().remove(&container);
            }
            What::PodDeleted { pod, grace_seconds: 0 } => {
                forced.insert(pod);
            }
            What::PodRemoved { pod } if !off && !forced.contains(&pod) => {
                assert!(running.get(&pod).is_none_or(BTreeSet::is_empty), "{pod:?} was removed while it ran");
            }
            _ => {}
        }
    }
}

/// Where nothing but evictions takes pods away, no budget is ever broken that was kept at the start.
fn budgets_hold_when_only_evictions_disrupt(setup: &Setup, outcome: &Outcome) {
    let only_evictions = setup.actions.iter().all(|a| match &a.what {
        ActionKind::Drain(options) => !options.disable_eviction,
        ActionKind::Cordon(_) | ActionKind::Uncordon(_) | ActionKind::AddNode { .. } => true,
        _ => false,
    });
    if !only_evictions || setup.apps.iter().any(|app| app.life != Life::default()) {
        return;
    }
    for (pdb, spec) in outcome.pdbs.iter().zip(&setup.pdbs) {
        // what is desired may fall with the count of pods only where the budget is a share of them: none here
        let Some((_, _, healthy, desired)) = pdb.history.first().copied() else { continue };
        if healthy < desired || spec.unhealthy == UnhealthyPodEvictionPolicy::AlwaysAllow {
            continue;
        }
        for (at, _, healthy, desired) in &pdb.history {
            assert!(healthy >= desired, "{} at {at}: {healthy} healthy of {desired}", pdb.name);
        }
    }
}

// ---- random scenarios ----

fn any_setup() -> impl Strategy<Value = Setup> {
    (
        2..6usize,
        proptest::collection::vec(any_workload(), 1..4),
        proptest::collection::vec(any_action(), 1..6),
        29..38u8,
        any::<bool>(),
    )
        .prop_map(|(nodes, workloads, actions, minor, lab)| build(nodes, &workloads, &actions, minor, lab))
}

#[derive(Clone, Debug)]
struct Workload {
    replicas: u32,
    grace: u64,
    hook: Option<Hook>,
    probe: bool,
    app: App,
    budget: Option<Budget>,
    keep_alive: bool,
    rate: f64,
    containers: usize,
    liveness: bool,
    sidecar: bool,
}

fn any_workload() -> impl Strategy<Value = Workload> {
    let hook = prop_oneof![
        Just(None),
        (0..8u64).prop_map(|s| Some(Hook::Sleep(Duration::from_secs(s)))),
        (0..20u64).prop_map(|s| {
            Some(Hook::Exec(vec![HookStep::Wait(Duration::from_secs(s)), HookStep::Signal(Signal::Quit)]))
        }),
        Just(Some(Hook::Exec(vec![HookStep::Signal(Signal::Quit), HookStep::UntilExit]))),
    ];
    let drain = (0..3u64, proptest::option::of(0..3u64), 0..2u64).prop_map(|(linger, limit, work)| Reaction::Drain {
        linger: Duration::from_secs(linger),
        in_flight_max: limit.map(Duration::from_secs),
        work: Duration::from_secs(work),
    });
    let reaction = prop_oneof![Just(Reaction::Ignore), Just(Reaction::ExitNow), drain];
    let budget = prop_oneof![
        Just(None),
        (0..4u32).prop_map(|n| Some(Budget::MinAvailable(IntOrPercent::Int(n)))),
        (0..3u32).prop_map(|n| Some(Budget::MaxUnavailable(IntOrPercent::Int(n)))),
        (0..101u32).prop_map(|p| Some(Budget::MinAvailable(IntOrPercent::Percent(p)))),
        (0..101u32).prop_map(|p| Some(Budget::MaxUnavailable(IntOrPercent::Percent(p)))),
    ];
    let life = prop_oneof![
        6 => Just(Life::default()),
        1 => (0..20_000u64).prop_map(|ms| Life { exits_after: Some(Duration::from_millis(ms)), exit_code: 1, ..Life::default() }),
        1 => (0..90_000u64).prop_map(|ms| Life { crashes_at: Some(Time::from_millis(ms)), ..Life::default() }),
        1 => (0..90_000u64).prop_map(|ms| Life { hangs_at: Some(Time::from_millis(ms)), ..Life::default() }),
    ];
    let traits = (any::<bool>(), life, any::<bool>(), proptest::bool::weighted(0.3));
    (1..5u32, 0..12u64, hook, traits, reaction, budget, any::<bool>(), 1.0..200.0f64, 1..3usize).prop_map(
        |(replicas, grace, hook, (probe, life, liveness, sidecar), reaction, budget, keep_alive, rate, containers)| {
            Workload {
                replicas,
                grace,
                hook,
                probe,
                app: App {
                    startup: Distribution::Constant(Duration::from_millis(300)),
                    service_time: Distribution::log_normal(Duration::from_millis(30), Duration::from_secs(2)).unwrap(),
                    reaction: Distribution::Constant(Duration::from_millis(5)),
                    reactions: BTreeMap::from([
                        (Signal::Term, reaction),
                        (
                            Signal::Quit,
                            Reaction::Drain { linger: Duration::ZERO, in_flight_max: None, work: Duration::ZERO },
                        ),
                    ]),
                    life,
                    ..App::plain("random")
                },
                budget,
                keep_alive,
                rate,
                containers,
                liveness,
                sidecar,
            }
        },
    )
}

#[derive(Clone, Debug)]
enum Deed {
    Drain(usize, bool, i64),
    Cordon(usize),
    Uncordon(usize),
    Add,
    ShutOff(usize),
    Shutdown(usize),
    Fault(usize, Fault),
    Delete(usize, Option<i64>),
    Scale(usize, u32),
    Restart(usize),
}

/// What befalls a node besides the loss of its power.
#[derive(Clone, Copy, Debug)]
enum Fault {
    PowerOn,
    Restart,
    StopKubelet,
    StartKubelet,
    Partition(bool, Option<u64>),
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::PowerOn),
        Just(Fault::Restart),
        Just(Fault::StopKubelet),
        Just(Fault::StartKubelet),
        (any::<bool>(), proptest::option::of(1..60u64)).prop_map(|(all, heals)| Fault::Partition(all, heals)),
    ]
}

fn any_action() -> impl Strategy<Value = (u64, Deed)> {
    let deed = prop_oneof![
        6 => (0..6usize, proptest::bool::weighted(0.1), prop_oneof![4 => Just(-1i64), 1 => 0..20i64])
            .prop_map(|(n, direct, grace)| Deed::Drain(n, direct, grace)),
        1 => (0..6usize).prop_map(Deed::Cordon),
        1 => (0..6usize).prop_map(Deed::Uncordon),
        1 => Just(Deed::Add),
        1 => (0..6usize).prop_map(Deed::ShutOff),
        1 => (0..6usize).prop_map(Deed::Shutdown),
        2 => (0..6usize, any_fault()).prop_map(|(n, fault)| Deed::Fault(n, fault)),
        1 => (0..4usize, proptest::option::of(0..5i64)).prop_map(|(w, g)| Deed::Delete(w, g)),
        1 => (0..4usize, 0..6u32).prop_map(|(w, r)| Deed::Scale(w, r)),
        1 => (0..4usize).prop_map(Deed::Restart),
    ];
    (0..60_000u64, deed)
}

fn build(nodes: usize, workloads: &[Workload], actions: &[(u64, Deed)], minor: u8, lab: bool) -> Setup {
    let node = |i: usize| format!("node-{}", i % nodes);
    let mut setup = Setup {
        version: Version::minor(minor),
        duration: Duration::from_secs(150),
        nodes: (0..nodes).map(|i| NodeSetup { node: plain_node(&node(i)), ready_at: None }).collect(),
        ..Setup::default()
    };
    setup.kubelet.shutdown_grace = vec![(0, 8), (2_000_000_000, 4)];
    if lab {
        setup.latencies = drainsim::simulation::latency::Latencies::idle_lab();
        // machines that come back do so within the run, and nodes are given up within it
        for hop in [Hop::NodeBoot, Hop::Reconnect] {
            setup.latencies.set(hop, Distribution::Constant(Duration::from_secs(3)));
        }
        setup.controller_manager.node_monitor_grace_period = Some(Duration::from_secs(20));
    }
    for (number, w) in workloads.iter().enumerate() {
        let name = format!("app-{number}");
        let labels = Labels::from([("app".to_string(), name.clone())]);
        let selector = Selector::labels([("app", name.as_str())]);
        let probe = Probe { period: Duration::from_secs(1), ..Probe::default() };
        let container = |n: usize| Container {
            pre_stop: w.hook.clone().filter(|_| n == 0),
            readiness: (w.probe && n == 0).then_some(probe),
            liveness: (w.liveness && n == 0).then_some(probe),
            sidecar: n >= w.containers,
            ..Container::plain(&format!("c{n}"), &format!("image-{number}"), u32::try_from(number).unwrap())
        };
        setup.apps.push(w.app.clone());
        setup.templates.push(PodTemplate {
            termination_grace_period_seconds: w.grace,
            init_containers: w.sidecar.then(|| container(w.containers)).into_iter().collect(),
            ..PodTemplate::plain(labels, (0..w.containers).map(container).collect())
        });
        setup.deployments.push(DeploymentSetup {
            namespace: "default".into(),
            name: name.clone(),
            replicas: w.replicas,
            strategy: RolloutStrategy::default(),
            min_ready_seconds: 0,
            selector: selector.clone(),
            template: TemplateId::from(number),
            placement: Vec::new(),
        });
        setup.services.push(Service {
            namespace: "default".into(),
            name: name.clone(),
            selector: Some(selector.clone()),
            headless: false,
            publish_not_ready_addresses: false,
            ..Service::default()
        });
        if let Some(budget) = w.budget {
            setup.pdbs.push(PdbSpec {
                namespace: "default".into(),
                name: name.clone(),
                selector: Some(selector),
                budget,
                unhealthy: UnhealthyPodEvictionPolicy::IfHealthyBudget,
            });
        }
        let connections = if w.keep_alive {
            Connections::KeepAlive {
                idle_max: 5,
                idle_timeout: Some(Duration::from_secs(20)),
                requests_max: None,
                age_max: None,
            }
        } else {
            Connections::New
        };
        // Some are behind the pods of the first one.
        let onward = (number > 0 && w.keep_alive).then(|| {
            let nginx = Via::IngressNginx(IngressNginx::default());
            let via = if number % 2 == 0 { nginx } else { Via::Envoy(EnvoyProfile::IstioGateway.defaults()) };
            Box::new(Traffic::onward(&name, ServiceId::from(number), via))
        });
        let front = ServiceId::from(if onward.is_some() { 0 } else { number });
        setup.traffic.push(Traffic {
            arrivals: if number % 2 == 0 { Arrivals::Poisson } else { Arrivals::Constant },
            connections,
            timeout: Duration::from_secs(5),
            onward,
            ..Traffic::plain(&name, front, w.rate, (0..nodes).map(node).collect())
        });
    }
    for (at, deed) in actions {
        let workload = |w: usize| w % workloads.len();
        let what = match deed {
            Deed::Drain(n, disable_eviction, grace_period) => ActionKind::Drain(DrainOptions {
                nodes: vec![node(*n)],
                disable_eviction: *disable_eviction,
                grace_period: *grace_period,
                ..DrainOptions::default()
            }),
            Deed::Cordon(n) => ActionKind::Cordon(node(*n)),
            Deed::Uncordon(n) => ActionKind::Uncordon(node(*n)),
            Deed::Add => {
                ActionKind::AddNode { node: plain_node(&format!("added-{at}")), ready_after: Duration::from_secs(10) }
            }
            Deed::ShutOff(n) => ActionKind::ShutOff(node(*n)),
            Deed::Shutdown(n) => ActionKind::Shutdown(node(*n)),
            Deed::Fault(n, Fault::PowerOn) => ActionKind::PowerOn(node(*n)),
            Deed::Fault(n, Fault::Restart) => ActionKind::Restart(node(*n)),
            Deed::Fault(n, Fault::StopKubelet) => ActionKind::StopKubelet(node(*n)),
            Deed::Fault(n, Fault::StartKubelet) => ActionKind::StartKubelet(node(*n)),
            Deed::Fault(n, Fault::Partition(everything, heals)) => ActionKind::Partition(Partition {
                node: node(*n),
                from: if *everything { PartitionScope::Everything } else { PartitionScope::ControlPlane },
                heal_after: heals.map(Duration::from_secs),
            }),
            Deed::Delete(w, grace_seconds) => ActionKind::DeletePod {
                namespace: "default".into(),
                name: format!("app-{}", workload(*w)),
                grace_seconds: *grace_seconds,
                force: false,
            },
            Deed::Scale(w, replicas) => ActionKind::Scale { deployment: workload(*w), replicas: *replicas },
            Deed::Restart(w) => ActionKind::RolloutRestart(Restarted::Deployment(workload(*w))),
        };
        setup.actions.push(Action { name: String::new(), when: When::At(Time::from_millis(*at)), what });
    }
    setup
}
