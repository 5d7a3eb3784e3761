//! The data plane against a model of it that is as plain as can be: one that has the whole history at hand, looks every
//! request up in it, and keeps nothing between two requests but a client's connections.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::clients::{Draw, Source};
use super::rules::Route;
use super::sockets::AppTimes;
use super::*;
use crate::api::{Endpoint, Service, Version};
use crate::engine::{Distribution, Duration, Key};
use crate::simulation::context::node_luck;
use crate::simulation::latency::Hop;
use crate::simulation::setup::{App, Arrivals, Connections, Traffic};

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
    /// Nothing but a question.
    InFlight(u32),
}

const PODS: u32 = 6;
const NODES: u32 = 4;
const END: Time = Time::from_secs(8);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn service(name: &str, local: bool) -> Service {
    Service {
        namespace: "default".into(),
        name: name.into(),
        selector: None,
        publish_not_ready_addresses: false,
        internal_traffic_local: local,
    }
}

fn traffic(name: &str, service: u32, connections: Connections) -> Traffic {
    Traffic {
        name: name.into(),
        service: ServiceId(service),
        rate: 60.0,
        arrivals: Arrivals::Poisson,
        from: (0..NODES).map(|n| format!("n{n}")).collect(),
        connections,
        timeout: ms(700),
        start: Time::ZERO,
        stop: None,
    }
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
        let (now, cause) = (*now, cause(index));
        match op {
            Op::AddNode(node) => network.add_node(now, NodeId(*node), &name(NodeId(*node))),
            Op::NodeOff(node) => network.node_off(now, NodeId(*node)),
            Op::Endpoints(service, list) => {
                network.endpoints_written(now, ServiceId(*service), &endpoints(list), cause);
            }
            Op::Listen(pod) => network.listen(now, PodId(*pod), cause),
            Op::Close(pod) => network.close_listener(now, PodId(*pod), cause),
            Op::Cut(pod) => network.cut(now, PodId(*pod), cause),
            Op::Vanish(pod) => network.vanish(now, PodId(*pod), cause),
            Op::InFlight(pod) => answers.push(network.in_flight_until(now, PodId(*pod))),
        }
    }
    (network.finish(END), answers)
}

/// The plain model.
struct Plain<'a> {
    setup: &'a Setup,
    script: &'a Script,
    proxies: KubeProxies<'a>,
    round_trips: RoundTrips<'a>,
    random: Random,
    apps: Vec<AppTimes<'a>>,
}

/// A request of the plain model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    traffic: u32,
    client: NodeId,
    number: u64,
    sent: Time,
    pod: Option<PodId>,
    /// When the client knew; `None`: never.
    known: Option<Time>,
    kind: Option<FailureKind>,
    cause: CauseId,
    /// When the pod would be done with it.
    work_ends: Option<Time>,
    /// The operation that kept the pod from that.
    cut_by: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Connection {
    pod: PodId,
    number: u64,
    idle_from: Time,
}

impl<'a> Plain<'a> {
    fn new(setup: &'a Setup, seed: u64, script: &'a Script) -> Self {
        let random = Random::new(seed);
        let mut proxies = KubeProxies::new(setup, random);
        for (index, (now, op)) in script.iter().enumerate() {
            match op {
                Op::AddNode(node) => proxies.add_node(*now, NodeId(*node), &name(NodeId(*node))),
                Op::NodeOff(node) => proxies.node_off(*now, NodeId(*node)),
                Op::Endpoints(service, list) => proxies.endpoints_written(
                    *now,
                    ServiceId(*service),
                    &endpoints(list),
                    |pod| Some(node_of(pod.0)),
                    cause(index),
                ),
                _ => {}
            }
        }
        proxies.finish(END);
        let apps = setup.apps.iter().map(AppTimes::new).collect();
        Self { setup, script, proxies, round_trips: RoundTrips::new(setup, random), random, apps }
    }

    /// What the listener of a pod was, with what made it so; `before`: without what happened at this very time.
    fn listener(&self, pod: PodId, at: Time, before: bool) -> (Listener, CauseId) {
        let (mut state, mut by) = (Listener::Closed, CauseId::default());
        for (index, (time, op)) in self.script.iter().enumerate() {
            if *time > at || (before && *time == at) {
                break;
            }
            let next = match op {
                Op::Listen(p) if *p == pod.0 && state == Listener::Closed => Listener::Open,
                Op::Close(p) | Op::Cut(p) if *p == pod.0 && state == Listener::Open => Listener::Closed,
                Op::Vanish(p) if *p == pod.0 && state != Listener::Gone => Listener::Gone,
                _ => continue,
            };
            (state, by) = (next, cause(index));
        }
        (state, by)
    }

    /// The first operation in (from, to) that takes a pod's requests away.
    fn taken_away(&self, pod: PodId, from: Time, to: Time) -> Option<(usize, Time, bool)> {
        self.script.iter().enumerate().filter(|(_, (time, _))| *time > from && *time < to).find_map(
            |(index, (time, op))| match op {
                Op::Cut(p) if *p == pod.0 => Some((index, *time, false)),
                Op::Vanish(p) if *p == pod.0 => Some((index, *time, true)),
                _ => None,
            },
        )
    }

    /// The first time in [from, to] that the server's end of an idle connection went: when, why, told?
    fn idle_end(&self, pod: PodId, from: Time, to: Time) -> Option<(Time, CauseId, bool)> {
        let by_pod = self.script.iter().enumerate().filter(|(_, (time, _))| *time >= from && *time <= to).find_map(
            |(index, (time, op))| match op {
                Op::Close(p) | Op::Cut(p) if *p == pod.0 => Some((*time, cause(index), true)),
                Op::Vanish(p) if *p == pod.0 => Some((*time, cause(index), false)),
                _ => None,
            },
        );
        let timeout = self.apps[self.app(pod)].keep_alive_timeout.map(|t| (from + t, CauseId::default(), true));
        match (timeout.filter(|t| t.0 <= to), by_pod) {
            (Some(t), Some(p)) => Some(if t.0 <= p.0 { t } else { p }),
            (t, p) => t.or(p),
        }
    }

    fn app(&self, pod: PodId) -> usize {
        pod.index() % self.setup.apps.len()
    }

    fn route(&self, service: ServiceId, node: NodeId, at: Time) -> (Route<'_>, CauseId) {
        let sync = self.proxies.syncs(node).iter().rev().find(|s| s.applied <= at).expect("a client has a proxy");
        self.proxies.route(service, self.proxies.version(service, sync.entries), node)
    }

    /// All requests of all clients.
    fn requests(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for (start, op) in self.script {
            let Op::AddNode(node) = op else { continue };
            let off = self.script.iter().find(|(_, op)| *op == Op::NodeOff(*node)).map_or(Time::MAX, |(time, _)| *time);
            for traffic in 0..self.setup.traffic.len() {
                told.extend(self.client(u32::try_from(traffic).unwrap(), NodeId(*node), *start, off));
            }
        }
        told.sort_by_key(|t| (t.sent, t.traffic, t.client, t.number));
        told
    }

    fn client(&self, index: u32, node: NodeId, start: Time, off: Time) -> Vec<Told> {
        let traffic = &self.setup.traffic[index as usize];
        let name = name(node);
        let key = Key::new("client").text(&traffic.name).text(&name).number(0);
        let rate = traffic.rate / traffic.from.len() as f64;
        let mut source = Source::new(traffic.arrivals, rate, traffic.start.max(start), self.random.stream(key));
        let stop = traffic.stop.unwrap_or(END).min(END).min(off);
        let mut connections: Vec<Connection> = Vec::new();
        let mut told: Vec<Told> = Vec::new();
        if !traffic.from.contains(&name) {
            return told;
        }
        while source.next < stop {
            let draw = source.draw();
            let mut one = self.one(index, node, &draw, &mut connections);
            if one.known.is_some_and(|known| known > END.min(off)) {
                (one.known, one.kind) = (None, None);
            }
            told.push(one);
        }
        told
    }

    fn one(&self, index: u32, client: NodeId, draw: &Draw, connections: &mut Vec<Connection>) -> Told {
        let traffic = &self.setup.traffic[index as usize];
        let sent = draw.sent;
        let mut told = Told {
            traffic: index,
            client,
            number: draw.number,
            sent,
            pod: None,
            known: Some(sent),
            kind: None,
            cause: CauseId::default(),
            work_ends: None,
            cut_by: None,
        };
        let fail = |told: &mut Told, kind, known, pod, cause| {
            (told.kind, told.known, told.pod, told.cause) = (Some(kind), Some(known), pod, cause);
            *told
        };
        let mut reused = None;
        if let Connections::KeepAlive { idle_max, idle_timeout } = traffic.connections {
            self.limit(connections, sent, idle_max as usize, idle_timeout);
            while let Some(at) = (0..connections.len())
                .filter(|i| connections[*i].idle_from <= sent)
                .max_by_key(|i| (connections[*i].idle_from, connections[*i].number))
            {
                let idle = connections.remove(at);
                if idle_timeout.is_some_and(|t| idle.idle_from + t <= sent) {
                    continue;
                }
                match self.idle_end(idle.pod, idle.idle_from, sent) {
                    None => {
                        reused = Some(idle.pod);
                        break;
                    }
                    Some((_, cause, false)) => {
                        let known = sent + traffic.timeout;
                        return fail(&mut told, FailureKind::RequestTimeout, known, Some(idle.pod), cause);
                    }
                    Some((at, cause, true)) => {
                        let round_trip = self.round_trips.between(node_luck(&name(client)), idle.pod);
                        if sent.since(at).as_nanos() < round_trip.as_nanos() / 2 {
                            return fail(&mut told, FailureKind::ResetIdle, sent, Some(idle.pod), cause);
                        }
                    }
                }
            }
        }
        let pod = if let Some(pod) = reused {
            pod
        } else {
            let (route, route_cause) = self.route(traffic.service, client, sent);
            let pods = match route {
                Route::Pods(pods) => pods,
                Route::Reject => return fail(&mut told, FailureKind::NoEndpoints, sent, None, route_cause),
                Route::Drop => {
                    let known = sent + traffic.timeout;
                    return fail(&mut told, FailureKind::ConnectTimeout, known, None, route_cause);
                }
            };
            let pod = pods[((u128::from(draw.choice) * pods.len() as u128) >> 64) as usize];
            match self.listener(pod, sent, false) {
                (Listener::Open, _) => pod,
                (Listener::Closed, by) => return fail(&mut told, FailureKind::Refused, sent, Some(pod), by),
                (Listener::Gone, by) => {
                    return fail(&mut told, FailureKind::ConnectTimeout, sent + traffic.timeout, Some(pod), by);
                }
            }
        };
        let time = self.apps[self.app(pod)].service_time(draw.service);
        let ends = sent + time.min(traffic.timeout);
        told.work_ends = Some(ends);
        if let Some((index, at, vanished)) = self.taken_away(pod, sent, ends) {
            told.cut_by = Some(index);
            return match (vanished, time > traffic.timeout) {
                (false, _) => fail(&mut told, FailureKind::ResetInFlight, at, Some(pod), cause(index)),
                (true, slow) => {
                    let by = if slow { CauseId::default() } else { cause(index) };
                    fail(&mut told, FailureKind::RequestTimeout, sent + traffic.timeout, Some(pod), by)
                }
            };
        }
        if time > traffic.timeout {
            return fail(&mut told, FailureKind::RequestTimeout, ends, Some(pod), CauseId::default());
        }
        if self.listener(pod, ends, true).0 == Listener::Open {
            connections.push(Connection { pod, number: draw.number, idle_from: ends });
        }
        (told.known, told.pod) = (Some(ends), Some(pod));
        told
    }

    /// Closes what became idle by `now` while as many others were idle as may be.
    fn limit(&self, connections: &mut Vec<Connection>, now: Time, max: usize, idle_timeout: Option<Duration>) {
        connections.sort_by_key(|c| (c.idle_from, c.number));
        let mut kept: Vec<Connection> = Vec::new();
        for connection in connections.iter().filter(|c| c.idle_from <= now) {
            if kept.len() >= max {
                let at = connection.idle_from;
                kept.retain(|c| {
                    idle_timeout.is_none_or(|t| c.idle_from + t > at)
                        && self.idle_end(c.pod, c.idle_from, at).is_none_or(|(_, _, told)| !told)
                });
            }
            if kept.len() < max {
                kept.push(*connection);
            }
        }
        connections.retain(|c| c.idle_from > now || kept.contains(c));
    }

    /// The answer to the question that is operation number `index`.
    fn answer(&self, told: &[Told], index: usize, pod: PodId) -> Option<Time> {
        let now = self.script[index].0;
        let under_way = told.iter().filter(|t| {
            // A pod that still listens has got no request of this very instant yet.
            t.pod == Some(pod) && t.sent < now && t.cut_by.is_none_or(|by| by > index)
        });
        under_way.filter_map(|t| t.work_ends).filter(|ends| *ends > now).max()
    }
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

fn setups() -> impl Strategy<Value = Setup> {
    let connections = prop_oneof![
        Just(Connections::New),
        (0u32..5, prop::option::of(50u64..2000)).prop_map(|(idle_max, idle_timeout)| Connections::KeepAlive {
            idle_max,
            idle_timeout: idle_timeout.map(ms)
        }),
    ];
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
            // Long ones, or the races they make would be too rare to be met.
            setup.latencies.set(Hop::NetworkRtt, Distribution::uniform(ms(10), ms(100)).unwrap());
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
    let setup = Setup {
        services: vec![service("a", false)],
        apps: vec![test_app(Distribution::constant(ms(50)))],
        traffic: vec![
            Traffic { rate: 400.0, ..traffic("new", 0, Connections::New) },
            Traffic { rate: 400.0, ..traffic("kept", 0, Connections::KeepAlive { idle_max: 100, idle_timeout: None }) },
        ],
        ..Setup::default()
    };
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
