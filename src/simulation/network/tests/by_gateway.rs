//! What clients of a gateway meet whose proxies are pods themselves.

use super::*;
use crate::simulation::setup::{EnvoyProfile, IngressNginx};

/// 200 requests a second from n0, by way of the Service `front`, whose pods send them on to those of `app`. Watches take 10 ms,
/// syncs 30 ms, pods work 20 ms.
fn setup(via: Via) -> Setup {
    let onward = Traffic { via, timeout: ms(60_000), ..Traffic::plain("t", ServiceId(1), 0.0, Vec::new()) };
    let stream = Traffic {
        from: vec!["n0".into()],
        timeout: ms(3000),
        onward: Some(Box::new(onward)),
        ..traffic("t", 0, Connections::New)
    };
    let mut setup = Setup {
        services: vec![service("front", false), service("app", false)],
        apps: vec![test_app(Distribution::constant(ms(20)))],
        traffic: vec![Traffic { rate: 200.0, ..stream }],
        ..Setup::default()
    };
    setup.latencies.set(Hop::Watch, Distribution::constant(ms(10)));
    setup.latencies.set(Hop::NetworkRtt, Distribution::constant(ms(1)));
    setup.latencies.set(Hop::IngressSync, Distribution::constant(ms(30)));
    setup
}

fn nginx() -> Setup {
    setup(Via::IngressNginx(IngressNginx::default()))
}

fn kept(idle_max: u32) -> Connections {
    Connections::KeepAlive { idle_max, idle_timeout: Some(ms(60_000)), requests_max: Some(10_000), age_max: None }
}

/// The gateway's pods are 0 and 1, the app's are 2 and 3.
fn gateway(rest: &[(u64, Op)]) -> Script {
    let mut script = script(&[0, 1], &[(0, Op::Endpoints(1, vec![(2, READY), (3, READY)]))]);
    script.extend([2, 3].map(|pod| (Time::ZERO, Op::Listen(pod))));
    script.extend(rest.iter().map(|(at, op)| (Time::from_millis(*at), op.clone())));
    script
}

/// The same pods in a data plane in which they are told apart: the gateway's have its Service only, the app's theirs.
fn play_apart(setup: &Setup, seed: u64, script: &Script) -> NetworkOutcome {
    let mut network = Network::new(setup, Random::new(seed));
    for pod in 0..PODS {
        network.pod_created(PodId(pod), 0, &[ServiceId(u32::from(pod >= 2))], node_of(pod));
    }
    for (index, (now, op)) in script.iter().enumerate() {
        act(&mut network, *now, op, cause(index));
    }
    network.finish(END)
}

/// How many requests failed in which way because of which pod, and by way of which gateway's pod.
fn blamed(outcome: &NetworkOutcome) -> BTreeMap<(FailureKind, Option<u32>, Option<u32>), u64> {
    let mut blamed = BTreeMap::new();
    for failure in &outcome.failures {
        let (pod, gateway) = (failure.pod.map(|p| p.0), failure.gateway.map(|p| p.0));
        *blamed.entry((failure.kind, pod, gateway)).or_default() += 1;
    }
    blamed
}

#[test]
fn a_request_takes_two_ways_and_one_time() {
    for connections in [Connections::New, kept(320)] {
        let mut setup = nginx();
        setup.traffic[0].onward.as_mut().unwrap().connections = connections;
        let outcome = play_apart(&setup, 1, &gateway(&[]));
        let Requests { sent, ok, unfinished, .. } = outcome.requests;
        assert!(sent > 1500 && ok + unfinished == sent, "{:?}", outcome.requests);
        // a round trip for the connection and one for the request, each of both ways, or just the request behind
        let expected = if connections == Connections::New { ms(24) } else { ms(23) };
        let median = outcome.latencies[0].before.quantile(0.5).unwrap();
        assert!(median.as_nanos().abs_diff(expected.as_nanos()) < 500_000, "{median}");
        assert_eq!(outcome.services[1].sent, sent, "they are counted once, where they were to go");
        assert_eq!(outcome.services[0].sent, 0);
    }
}

#[test]
fn a_gateways_pod_that_is_lost_takes_along_what_it_carries() {
    for seed in 1..20 {
        let outcome = play_apart(&nginx(), seed, &gateway(&[(2000, Op::Cut(0))]));
        let blamed = blamed(&outcome);
        let reset = blamed.get(&(FailureKind::ResetInFlight, Some(0), None)).copied().unwrap_or(0);
        let refused = blamed.get(&(FailureKind::Refused, Some(0), None)).copied().unwrap_or(0);
        assert_eq!(reset + refused, outcome.requests.failed(), "{blamed:?}");
        assert!((0..8).contains(&reset), "2 are at pod 0 on average: {reset}");
        assert!((500..700).contains(&refused), "half of 1,200 go there later: {refused}");
        assert_eq!(outcome.pods[0].failed, outcome.requests.failed());
    }
}

#[test]
fn behind_a_gateway_the_pod_that_fails_is_blamed_and_the_gateway_answers() {
    let one = Via::IngressNginx(IngressNginx { tries: 1, ..IngressNginx::default() });
    let outcome = play_apart(&setup(one), 1, &gateway(&[(2000, Op::Cut(2))]));
    let blamed = blamed(&outcome);
    assert!(blamed.keys().all(|(kind, pod, gateway)| {
        *kind == FailureKind::Http502 && *pod == Some(2) && gateway.is_some_and(|gateway| gateway < 2)
    }));
    assert_eq!(blamed.len(), 2, "through both pods of the gateway: {blamed:?}");
    assert!((500..700).contains(&outcome.pods[2].failed), "{}", outcome.pods[2].failed);
    assert_eq!((outcome.pods[0].failed, outcome.pods[1].failed), (0, 0));
    let after = outcome.failures.iter().filter(|f| f.sent_at > Time::from_millis(2000));
    assert!(after.clone().count() > 500);
    for failure in after {
        assert!(failure.failed_at.since(failure.sent_at) < ms(5), "the client is told at once");
        assert_eq!(failure.route_clean_at, None, "no slice ever said so");
        assert_eq!(failure.service, ServiceId(1));
    }
}

#[test]
fn a_gateway_tries_another_pod_and_a_client_does_not_notice() {
    let outcome = play_apart(&nginx(), 1, &gateway(&[(2000, Op::Cut(2))]));
    // those that pod 2 was working on had been accepted, and are not sent again
    assert!(outcome.requests.failed() < 10 && outcome.requests.failed_by.keys().all(|k| *k == FailureKind::Http502));
    assert!((450..750).contains(&outcome.requests.ok_after_retry), "{}", outcome.requests.ok_after_retry);
}

#[test]
fn each_gateways_pod_learns_of_endpoints_by_itself_and_a_new_one_knows_them_all() {
    let rest =
        [(2000, Op::Endpoints(1, vec![(2, TERMINATING), (3, TERMINATING)])), (2100, Op::Cut(0)), (2105, Op::Listen(0))];
    for seed in 1..10 {
        let outcome = play_apart(&nginx(), seed, &gateway(&rest));
        let unavailable: Vec<_> = outcome.failures.iter().filter(|f| f.kind == FailureKind::Http503).collect();
        assert!(unavailable.iter().all(|f| f.pod.is_none() && f.gateway.is_some()));
        let first =
            |pod: u32| unavailable.iter().filter(|f| f.gateway == Some(PodId(pod))).map(|f| f.sent_at).min().unwrap();
        assert!(first(0) < Time::from_millis(2200), "the new process has read the slices: {}", first(0));
        assert!(first(1) > Time::from_millis(2040), "the old one needs its sync and its look: {}", first(1));
    }
}

#[test]
fn a_gateway_that_has_stopped_to_listen_finishes_what_it_carries() {
    let mut network = Network::new(Box::leak(Box::new(nginx())), Random::new(1));
    for pod in 0..PODS {
        network.pod_created(PodId(pod), 0, &[ServiceId(u32::from(pod >= 2))], node_of(pod));
    }
    for (index, (now, op)) in gateway(&[(2000, Op::Close(0))]).iter().enumerate() {
        act(&mut network, *now, op, cause(index));
    }
    // as a process does that winds down: it looks again until it waits for nothing
    let mut now = Time::from_millis(2000);
    let mut looks = 0;
    while let Some(until) = network.in_flight_until(now, PodId(0)) {
        assert!(until > now);
        (now, looks) = (until, looks + 1);
    }
    assert!((1..40).contains(&looks) && now <= Time::from_millis(2026), "{looks} looks, until {now}");
    network.cut(now, PodId(0), cause(99));
    let outcome = network.finish(END);
    let blamed = blamed(&outcome);
    assert!(blamed.keys().all(|key| *key == (FailureKind::Refused, Some(0), None)), "{blamed:?}");
}

#[test]
fn a_silent_pod_behind_is_blamed_when_the_client_loses_its_patience() {
    let mut setup = nginx();
    setup.traffic[0].timeout = ms(1000);
    let outcome = play_apart(&setup, 1, &gateway(&[(2000, Op::Vanish(2))]));
    let blamed = blamed(&outcome);
    assert!(!blamed.is_empty());
    for (kind, pod, gateway) in blamed.keys() {
        assert_eq!((*kind, *pod), (FailureKind::RequestTimeout, Some(2)), "{blamed:?}");
        assert!(gateway.is_some());
    }
}

#[test]
fn envoys_say_503_when_a_connection_ends() {
    let outcome =
        play_apart(&setup(Via::Envoy(EnvoyProfile::EnvoyGateway.defaults())), 1, &gateway(&[(2000, Op::Cut(2))]));
    let blamed = blamed(&outcome);
    assert!(!blamed.is_empty());
    assert!(blamed.keys().all(|(kind, pod, _)| (*kind, *pod) == (FailureKind::Http503, Some(2))), "{blamed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The ledger panics if a request is lost or counted twice; all that is asked meanwhile must not show.
    #[test]
    fn every_request_ends_once_whatever_happens_and_whoever_asks(
        events in proptest::collection::vec((0u64..7900, 0u32..4, 0u8..9), 1..16),
        questions in proptest::collection::vec((0u64..7900, 0u32..4), 0..20),
        connections in 0u8..4, behind in 0u8..3, seed in 0u64..1000,
    ) {
        let mut setup = if seed % 2 == 0 { nginx() } else { setup(Via::Envoy(EnvoyProfile::IstioGateway.defaults())) };
        setup.traffic[0].timeout = ms(700);
        setup.traffic[0].connections = match connections {
            0 => Connections::New,
            1 => kept(5),
            _ => Connections::Http2 { connections: 2, age_max: None, grpc: connections == 3 },
        };
        setup.traffic[0].retries = Retries { attempts: 1 + u32::from(connections), on: crate::simulation::setup::RetryOn::Any, ..Retries::default() };
        setup.traffic[0].onward.as_mut().unwrap().connections = match behind {
            0 => Connections::New,
            1 => kept(320),
            _ => kept(1),
        };
        let mut rest: Vec<(u64, Op)> = events.iter().map(|(at, pod, what)| (*at, match what {
            0 => Op::Cut(*pod),
            1 => Op::Vanish(*pod),
            2 => Op::Endpoints(0, vec![(0, READY), (1, TERMINATING)]),
            3 => Op::Endpoints(1, vec![(2, TERMINATING), (3, READY)]),
            4 => Op::Listen(*pod),
            5 => Op::Close(*pod),
            6 => Op::NodeOff(*pod),
            7 => Op::CutOff(*pod),
            _ => Op::Heal(*pod),
        })).collect();
        rest.sort_by_key(|(at, _)| *at);
        let quiet = play_apart(&setup, seed, &gateway(&rest));
        let Requests { sent, ok, ok_after_retry, unfinished, .. } = quiet.requests;
        prop_assert_eq!(sent, ok + ok_after_retry + quiet.requests.failed() + unfinished);
        let by_pod: u64 = quiet.pods.iter().map(|pod| pod.failed).sum();
        prop_assert!(by_pod <= quiet.requests.failed());
        rest.extend(questions.iter().map(|(at, pod)| (*at, Op::InFlight(*pod))));
        rest.sort_by_key(|(at, _)| *at);
        let asked = play_apart(&setup, seed, &gateway(&rest));
        prop_assert_eq!(&quiet.traffic, &asked.traffic);
        let ends = |o: &NetworkOutcome| o.failures.iter().map(|f| (f.sent_at, f.failed_at, f.kind, f.pod, f.gateway)).collect::<Vec<_>>();
        prop_assert_eq!(ends(&quiet), ends(&asked));
    }
}
