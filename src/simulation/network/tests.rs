//! The data plane against a model of it that is as plain as can be, over random histories; and what theory and a real
//! cluster say.

mod bulk;
mod by_exchange;
mod by_front;
mod by_gateway;
mod by_ingress;
mod by_shutdown;
mod by_tracking;
mod plain;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::rules::Route;
use super::*;
use crate::api::{Endpoint, Service, Version};
use crate::engine::{Distribution, Duration, Key};
use crate::simulation::latency::Hop;
use crate::simulation::network::sockets::Listener;
use crate::simulation::outcome::{Failure, FailureKind, PodActivity, Requests};
use crate::simulation::setup::{App, Arrivals, Connections, Origin, Resolve, Retries, Traffic, Via};

use plain::Plain;

/// What is done to a data plane, with its time.
type Script = Vec<(Time, Op)>;

#[derive(Clone, PartialEq, Debug)]
enum Op {
    AddNode(u32),
    NodeOff(u32),
    Endpoints(u32, Vec<(u32, u8)>),
    Listen(u32),
    Close(u32),
    Cut(u32),
    Vanish(u32),
    /// A node is cut off from all others.
    CutOff(u32),
    Heal(u32),
    /// The process accepts no more, and its socket stays open.
    StopAccepting(u32),
    /// The process says goodbye.
    Goodbye(u32),
    /// Nothing but a question.
    InFlight(u32),
}

const PODS: u32 = 6;
const NODES: u32 = 4;
const END: Time = Time::from_secs(8);

/// What an endpoint's conditions come to: `ready`, `serving`, `terminating` from the right.
const READY: u8 = 0b011;
const TERMINATING: u8 = 0b110;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn service(name: &str, local: bool) -> Service {
    Service {
        namespace: "default".into(),
        name: name.into(),
        selector: None,
        headless: false,
        publish_not_ready_addresses: false,
        internal_traffic_local: local,
        ..Service::default()
    }
}

fn traffic(name: &str, service: u32, connections: Connections) -> Traffic {
    let nodes = (0..NODES).map(|n| format!("n{n}")).collect();
    Traffic { connections, timeout: ms(700), ..Traffic::plain(name, ServiceId(service), 60.0, nodes) }
}

fn cause(index: usize) -> CauseId {
    CauseId(u32::try_from(index).unwrap() + 1)
}

fn name(node: NodeId) -> String {
    format!("n{}", node.0)
}

fn node_of(pod: u32) -> NodeId {
    NodeId(pod % NODES)
}

fn endpoints(list: &[(u32, u8)]) -> Endpoints {
    let list = list.iter().map(|(pod, bits)| Endpoint {
        pod: PodId(*pod),
        ready: bits & 1 != 0,
        serving: bits & 2 != 0,
        terminating: bits & 4 != 0,
    });
    Endpoints { list: list.collect() }
}

/// The data plane with its pods, before the script.
fn network(setup: &Setup, seed: u64) -> Network<'_> {
    let mut network = Network::new(setup, Random::new(seed));
    for pod in 0..PODS {
        let services: Vec<_> = (0..setup.services.len()).map(ServiceId::from).collect();
        network.pod_created(PodId(pod), pod % u32::try_from(setup.apps.len()).unwrap(), &services, node_of(pod));
    }
    network
}

/// Plays a script; returns the outcome and the answers to all questions.
fn play(setup: &Setup, seed: u64, script: &Script) -> (NetworkOutcome, Vec<Option<Time>>) {
    let mut network = network(setup, seed);
    let mut answers = Vec::new();
    for (index, (now, op)) in script.iter().enumerate() {
        answers.extend(act(&mut network, *now, op, cause(index)));
    }
    (network.finish(END), answers)
}

/// Does one thing; returns the answer if it is a question.
fn act(network: &mut Network<'_>, now: Time, op: &Op, cause: CauseId) -> Option<Option<Time>> {
    match op {
        Op::AddNode(node) => network.add_node(now, NodeId(*node), &name(NodeId(*node))),
        Op::NodeOff(node) => network.node_off(now, NodeId(*node)),
        Op::Endpoints(service, list) => {
            network.endpoints_written(now, ServiceId(*service), &endpoints(list), cause);
        }
        Op::Listen(pod) => network.listen(now, PodId(*pod), cause),
        Op::Close(pod) => network.close_listener(now, PodId(*pod), cause),
        Op::StopAccepting(pod) => network.stop_accepting(now, PodId(*pod), cause),
        Op::Goodbye(pod) => network.says_goodbye(now, PodId(*pod), cause),
        Op::Cut(pod) => network.cut(now, PodId(*pod), cause),
        Op::Vanish(pod) => network.vanish(now, PodId(*pod), cause),
        Op::CutOff(node) => network.node_cut_off(now, NodeId(*node), None, cause),
        Op::Heal(node) => network.node_healed(now, NodeId(*node)),
        Op::InFlight(pod) => return Some(network.in_flight_until(now, PodId(*pod))),
    }
    None
}

/// These pods listen and are ready, and there is a client's node; then comes the rest.
fn script(ready: &[u32], rest: &[(u64, Op)]) -> Script {
    let list = ready.iter().map(|pod| (*pod, READY)).collect();
    let mut script: Script = vec![(Time::ZERO, Op::Endpoints(0, list)), (Time::ZERO, Op::AddNode(0))];
    script.extend(ready.iter().map(|pod| (Time::ZERO, Op::Listen(*pod))));
    script.extend(rest.iter().map(|(at, op)| (Time::from_millis(*at), op.clone())));
    script
}

/// The kinds of failures, with their counts.
fn failed(outcome: &NetworkOutcome) -> Vec<(FailureKind, u64)> {
    outcome.requests.failed_by.iter().map(|(kind, count)| (*kind, *count)).collect()
}

fn check(setup: &Setup, seed: u64, script: &Script) {
    let (outcome, answers) = play(setup, seed, script);
    let plain = Plain::new(setup, seed, script);
    let told = plain.requests();

    let mut expected = vec![Requests::default(); setup.traffic.len()];
    for one in &told {
        let requests = &mut expected[one.traffic as usize];
        requests.sent += 1;
        match (one.known, one.kind) {
            (None, _) => requests.unfinished += 1,
            (Some(_), None) => requests.ok += 1,
            (Some(_), Some(kind)) => *requests.failed_by.entry(kind).or_default() += 1,
        }
    }
    assert_eq!(outcome.traffic, expected);

    let failed = told.iter().filter(|t| t.known.is_some()).filter_map(|t| Some((t, t.kind?)));
    let expected: Vec<_> = failed
        .map(|(t, kind)| (t.sent, t.known.unwrap(), kind, t.traffic, t.client, t.number, t.pod, t.cause))
        .collect();
    let got: Vec<_> = outcome
        .failures
        .iter()
        .map(|f| (f.sent_at, f.failed_at, f.kind, f.traffic, f.client_node, f.number, f.pod, f.cause))
        .collect();
    assert_eq!(got, expected);
    let questions = script.iter().enumerate().filter_map(|(index, (_, op))| match op {
        Op::InFlight(pod) => Some(plain.answer(&told, index, PodId(*pod))),
        _ => None,
    });
    assert_eq!(answers, questions.collect::<Vec<_>>());

    for failure in &outcome.failures {
        check_explanation(&plain, failure);
    }
    let mut by_pod: BTreeMap<PodId, u64> = BTreeMap::new();
    for pod in outcome.failures.iter().filter_map(|f| f.pod) {
        *by_pod.entry(pod).or_default() += 1;
    }
    for (pod, traffic) in outcome.pods.iter().enumerate() {
        let pod = PodId::from(pod);
        assert_eq!(traffic.failed, by_pod.get(&pod).copied().unwrap_or(0));
        assert_eq!(traffic.last_route_clean, last_route_clean(&plain, pod), "{pod:?}");
    }
}

/// A failure that blames a router: the router sent there, and the endpoint had not been ready.
fn check_explanation(plain: &Plain<'_>, failure: &Failure) {
    let sends = |at| matches!(plain.route(failure.service, failure.client_node, at).0, Route::Pods(p) if Some(true) == failure.pod.map(|f| p.contains(&f)));
    let just_before = |at: Time| at - Duration::from_nanos(1);
    if matches!(failure.kind, FailureKind::Refused | FailureKind::ConnectTimeout) && failure.pod.is_some() {
        assert!(sends(failure.sent_at));
    }
    if let Some(clean) = failure.route_clean_at {
        assert!(sends(just_before(clean)), "{failure:?}");
    }
    if let Some(since) = failure.endpoint_not_ready_at {
        assert!(since <= failure.sent_at && sends(failure.sent_at));
        assert!(failure.route_clean_at.is_none_or(|clean| clean > failure.sent_at));
    }
    assert_eq!(failure.pod.is_none(), failure.pod_phase == PodActivity::NoPod);
}

/// By going through every node's rules, sync by sync.
fn last_route_clean(plain: &Plain<'_>, pod: PodId) -> Option<(Time, NodeId)> {
    let mut last = None;
    for node in (0..NODES).map(NodeId) {
        let off = plain.script.iter().find(|(_, op)| *op == Op::NodeOff(node.0)).map(|(time, _)| *time);
        for service in (0..plain.setup.services.len()).map(ServiceId::from) {
            let sends = |entries: u32| {
                let version = plain.proxies.version(service, entries);
                matches!(plain.proxies.route(service, version, node).0, Route::Pods(pods) if pods.contains(&pod))
            };
            let mut clean = None;
            let mut sending = false;
            for sync in plain.proxies.syncs(node) {
                if sending && !sends(sync.entries) {
                    clean = Some(sync.applied);
                }
                sending = sends(sync.entries);
            }
            if sending {
                clean = Some(off?);
            }
            if clean.is_some_and(|clean| last.is_none_or(|(time, _)| time < clean)) {
                last = clean.map(|clean| (clean, node));
            }
        }
    }
    last
}

fn distributions() -> impl Strategy<Value = Distribution> {
    prop_oneof![
        Just(Distribution::constant(ms(30))),
        Just(Distribution::constant(Duration::ZERO)),
        Just(Distribution::exponential(ms(100)).unwrap()),
        Just(Distribution::log_normal(ms(80), ms(900)).unwrap()),
    ]
}

/// Connections of which at most so many are kept idle, for at most so long.
fn kept(idle_max: u32, idle_timeout: Option<Duration>) -> Connections {
    Connections::KeepAlive { idle_max, idle_timeout, requests_max: None, age_max: None }
}

/// Streams of independent requests.
fn setups() -> impl Strategy<Value = Setup> {
    setups_with(Just(Connections::New))
}

fn setups_with(connections: impl Strategy<Value = Connections>) -> impl Strategy<Value = Setup> {
    let arrivals = prop_oneof![Just(Arrivals::Poisson), Just(Arrivals::Constant)];
    let streams = prop::collection::vec(
        (
            0u32..2,
            connections,
            arrivals,
            prop_oneof![Just(700u64), Just(100)],
            prop::option::of(4000u64..8000),
            1u32..=NODES,
        ),
        1..4,
    );
    let apps = prop::collection::vec((distributions(), prop::option::of(20u64..1500)), 1..3);
    (streams, apps, any::<bool>(), prop_oneof![Just(33u8), Just(36)], prop_oneof![Just(0u64), Just(300), Just(1000)])
        .prop_map(|(streams, apps, local, version, min_sync)| {
            let mut setup = Setup {
                version: Version::minor(version),
                services: vec![service("a", local), service("b", false)],
                apps: apps
                    .into_iter()
                    .map(|(service_time, keep_alive)| App {
                        keep_alive_timeout: keep_alive.map(ms),
                        ..test_app(service_time)
                    })
                    .collect(),
                ..Setup::default()
            };
            setup.kube_proxy.min_sync_period = ms(min_sync);
            setup.latencies.set(Hop::NetworkRtt, Distribution::constant(Duration::ZERO));
            for (i, (service, connections, arrivals, timeout, stop, nodes)) in streams.into_iter().enumerate() {
                setup.traffic.push(Traffic {
                    arrivals,
                    timeout: ms(timeout),
                    stop: stop.map(Time::from_millis),
                    from: (0..nodes).map(|n| format!("n{n}")).collect(),
                    ..traffic(&format!("t{i}"), service, connections)
                });
            }
            setup
        })
}

fn scripts() -> impl Strategy<Value = Script> {
    let conditions = prop_oneof![3 => Just(0b011u8), 2 => Just(0b110), 1 => Just(0b100), 1 => Just(0b000)];
    let list = prop::collection::btree_map(0..PODS, conditions, 0..PODS as usize).prop_map(|m| m.into_iter().collect());
    let op = prop_oneof![
        1 => (0..NODES).prop_map(Op::AddNode),
        1 => (0..NODES).prop_map(Op::NodeOff),
        6 => (0u32..2, list).prop_map(|(service, list)| Op::Endpoints(service, list)),
        4 => (0..PODS).prop_map(Op::Listen),
        3 => (0..PODS).prop_map(Op::Close),
        3 => (0..PODS).prop_map(Op::Cut),
        1 => (0..PODS).prop_map(Op::Vanish),
        1 => (0..NODES).prop_map(Op::CutOff),
        1 => (0..NODES).prop_map(Op::Heal),
        2 => (0..PODS).prop_map(Op::InFlight),
    ];
    prop::collection::vec((0u64..8000, op), 0..40).prop_map(|mut ops| {
        ops.sort_by_key(|(time, _)| *time);
        let all: Vec<_> = (0..PODS).map(|pod| (pod, 0b011)).collect();
        let mut script = vec![
            (Time::ZERO, Op::Endpoints(0, all.clone())),
            (Time::ZERO, Op::Endpoints(1, all)),
            (Time::ZERO, Op::AddNode(0)),
        ];
        script.extend((0..PODS - 1).map(|pod| (Time::ZERO, Op::Listen(pod))));
        // A node joins once, and goes off once at most, after it has joined.
        for (time, op) in ops {
            let has = |wanted: &Op| script.iter().any(|(_, op)| op == wanted);
            let fits = match op {
                Op::AddNode(_) => !has(&op),
                Op::NodeOff(node) => has(&Op::AddNode(node)) && !has(&op),
                Op::CutOff(node) | Op::Heal(node) => {
                    let last = script.iter().rev().find(|(_, op)| [Op::CutOff(node), Op::Heal(node)].contains(op));
                    last.map_or(op == Op::CutOff(node), |(_, last)| *last != op)
                }
                _ => true,
            };
            if fits {
                script.push((Time::from_millis(time), op));
            }
        }
        script
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_plain_model(setup in setups(), script in scripts(), seed in 0u64..1000) {
        check(&setup, seed, &script);
    }

    #[test]
    fn questions_in_between_change_nothing(
        setup in setups(),
        script in scripts(),
        seed in 0u64..1000,
        questions in prop::collection::vec((0u64..8000, 0..PODS), 0..40),
    ) {
        let mut asked = script.clone();
        asked.retain(|(_, op)| !matches!(op, Op::InFlight(_)));
        let silent = asked.clone();
        asked.extend(questions.into_iter().map(|(time, pod)| (Time::from_millis(time), Op::InFlight(pod))));
        asked.sort_by_key(|(time, _)| *time);
        // The causes are numbered by place in the script.
        let without_causes = |mut outcome: NetworkOutcome| {
            outcome.failures.iter_mut().for_each(|f| f.cause = CauseId::default());
            // Who knows more of a run expects something else of it.
            outcome.expected_failures.clear();
            outcome
        };
        prop_assert_eq!(
            without_causes(play(&setup, seed, &asked).0),
            without_causes(play(&setup, seed, &silent).0)
        );
    }

    #[test]
    fn other_clients_and_nodes_have_no_influence(setup in setups(), script in scripts(), seed in 0u64..1000) {
        let alone = Setup { traffic: setup.traffic[..1].to_vec(), ..setup.clone() };
        let of_first = |outcome: NetworkOutcome| {
            let failures: Vec<_> = outcome.failures.into_iter().filter(|f| f.traffic == 0).collect();
            (outcome.traffic[0].clone(), failures)
        };
        let expected = of_first(play(&alone, seed, &script).0);
        prop_assert_eq!(&of_first(play(&setup, seed, &script).0), &expected);

        // One more node with one more client of the same stream, at the same rate for each.
        let newcomer = NodeId(NODES);
        let mut more = alone;
        let clients = more.traffic[0].from.len();
        more.traffic[0].from.push(name(newcomer));
        more.traffic[0].rate *= (clients + 1) as f64 / clients as f64;
        let mut joined = script.clone();
        joined.insert(0, (Time::ZERO, Op::AddNode(NODES)));
        let (mut outcome, _) = play(&more, seed, &joined);
        outcome.failures.retain(|f| f.client_node != newcomer);
        for failure in &mut outcome.failures {
            // The causes are numbered by place in the script.
            failure.cause.0 = failure.cause.0.saturating_sub(1);
        }
        prop_assert_eq!(&outcome.failures, &expected.1);
    }
}

/// A dead pod among `k`, still in the rules for `w` seconds, costs `rate × w / k` requests.
#[test]
fn losses_are_what_theory_says() {
    const RATE: f64 = 1000.0;
    const PODS: u32 = 5;
    const SECONDS: u64 = 3;
    const RUNS: u64 = 40;
    let mut setup = Setup {
        services: vec![service("a", false)],
        apps: vec![test_app(Distribution::constant(ms(1)))],
        traffic: vec![Traffic { rate: RATE, ..traffic("t", 0, Connections::New) }],
        ..Setup::default()
    };
    setup.latencies.set(Hop::Watch, Distribution::constant(Duration::ZERO));
    setup.latencies.set(Hop::KubeProxySync, Distribution::constant(Duration::ZERO));
    let all: Vec<_> = (0..PODS).map(|pod| (pod, 0b011)).collect();
    let mut script: Script = vec![(Time::ZERO, Op::Endpoints(0, all.clone()))];
    script.extend((0..NODES).map(|node| (Time::ZERO, Op::AddNode(node))));
    script.extend((0..PODS).map(|pod| (Time::ZERO, Op::Listen(pod))));
    script.push((Time::from_secs(2), Op::Cut(0)));
    script.push((Time::from_secs(2 + SECONDS), Op::Endpoints(0, all[1..].to_vec())));

    let losses: Vec<_> = (0..RUNS).map(|seed| play(&setup, seed, &script).0.requests.failed() as f64).collect();
    let expected = RATE * SECONDS as f64 / f64::from(PODS);
    let mean = losses.iter().sum::<f64>() / RUNS as f64;
    let variance = losses.iter().map(|l| (l - mean) * (l - mean)).sum::<f64>() / (RUNS - 1) as f64;
    // The number of losses is Poisson distributed: its variance is its mean.
    let error = (expected / RUNS as f64).sqrt();
    assert!(
        (mean - expected).abs() < 4.0 * error,
        "{mean} requests were lost on average, expected {expected} ± {error}"
    );
    assert!((0.4..2.0).contains(&(variance / expected)), "variance {variance}, expected {expected}");
}

/// A pod that ends in the usual order, as one client sees it: mechanisms 7 and 8 of a real cluster.
#[test]
fn the_end_of_a_pod_shows_in_order() {
    let mut setup = Setup {
        services: vec![service("a", false)],
        apps: vec![test_app(Distribution::constant(ms(50)))],
        traffic: vec![
            Traffic { rate: 400.0, ..traffic("new", 0, Connections::New) },
            Traffic { rate: 400.0, ..traffic("kept", 0, kept(100, None)) },
        ],
        ..Setup::default()
    };
    setup.latencies.set(Hop::NetworkRtt, Distribution::constant(Duration::ZERO));
    let script: Script = vec![
        (Time::ZERO, Op::Endpoints(0, vec![(0, 0b011)])),
        (Time::ZERO, Op::AddNode(0)),
        (Time::ZERO, Op::Listen(0)),
        (Time::ZERO, Op::Listen(1)),
        // The rules forget pod 0 long before it ends: only kept connections still lead there.
        (Time::from_secs(1), Op::Endpoints(0, vec![(0, 0b110), (1, 0b011)])),
        (Time::from_secs(4), Op::InFlight(0)),
        (Time::from_secs(4), Op::Cut(0)),
        (Time::from_secs(5), Op::Endpoints(0, vec![(0, 0b011), (1, 0b011)])),
        (Time::from_secs(6), Op::Vanish(0)),
    ];
    let (outcome, answers) = play(&setup, 1, &script);
    assert!(answers[0].is_some_and(|until| until > Time::from_secs(4)), "kept connections are busy");
    let cut: Vec<_> = outcome.failures.iter().filter(|f| f.failed_at == Time::from_secs(4)).collect();
    assert!(!cut.is_empty() && cut.iter().all(|f| f.kind == FailureKind::ResetInFlight && f.traffic == 1), "{cut:?}");
    assert!(cut.iter().all(|f| f.pod_phase == PodActivity::Serving && f.endpoint_not_ready_at.is_none()));
    let of_new = outcome.failures.iter().filter(|f| f.traffic == 0);
    let (before, after): (Vec<&Failure>, Vec<_>) = of_new.partition(|f| f.sent_at < Time::from_secs(6));
    assert!(
        !before.is_empty() && before.iter().all(|f| f.kind == FailureKind::Refused && f.sent_at > Time::from_secs(5))
    );
    assert!(before.iter().all(|f| f.pod_phase == PodActivity::Exited && f.cause == cause(6)));
    assert!(!after.is_empty() && after.iter().all(|f| f.kind == FailureKind::ConnectTimeout && f.cause == cause(8)));
    assert!(after.iter().all(|f| f.pod_phase == PodActivity::NetworkGone && f.route_clean_at.is_none()));
}

/// An application that exits as soon as its last request is done cuts nobody, and a moment earlier it does.
#[test]
fn a_graceful_exit_loses_nothing() {
    for connections in [Connections::New, kept(100, None)] {
        let setup = Setup {
            services: vec![service("a", false)],
            apps: vec![test_app(Distribution::exponential(ms(50)).unwrap())],
            traffic: vec![Traffic { rate: 400.0, timeout: ms(5000), ..traffic("t", 0, connections) }],
            ..Setup::default()
        };
        let resets = |early: u64| {
            let (mut network, stop, pod) = (network(&setup, 3), Time::from_secs(3), PodId(0));
            network.endpoints_written(Time::ZERO, ServiceId(0), &endpoints(&[(0, 0b011)]), cause(0));
            network.add_node(Time::ZERO, NodeId(0), "n0");
            network.listen(Time::ZERO, pod, cause(1));
            network.close_listener(stop, pod, cause(2));
            let last = network.in_flight_until(stop, pod).expect("5 requests are in flight on average");
            assert!(last > stop);
            network.cut(last - Duration::from_nanos(early), pod, cause(3));
            let outcome = network.finish(END);
            outcome.requests.failed_by.get(&FailureKind::ResetInFlight).copied().unwrap_or(0)
        };
        assert_eq!((resets(0), resets(1)), (0, 1), "{connections:?}");
    }
}
