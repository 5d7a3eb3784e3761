//! What the client's node remembers of earlier connections.

use super::*;
use crate::simulation::setup::{KubeProxySetup, ProxyMode};

/// One client with so many addresses and ports, evenly 100 requests a second, of which every pod answers at once.
fn setup(addresses: u32, ports: Option<u32>, affinity: bool) -> Setup {
    let mut setup = Setup {
        services: vec![Service {
            session_affinity: affinity.then_some(Service::SESSION_AFFINITY_TIMEOUT),
            ..service("a", false)
        }],
        apps: vec![test_app(Distribution::constant(ms(1)))],
        traffic: vec![Traffic {
            rate: 100.0,
            arrivals: Arrivals::Constant,
            from: vec!["n0".into()],
            timeout: ms(200),
            origin: Origin { addresses, ports },
            ..traffic("t", 0, Connections::New)
        }],
        ..Setup::default()
    };
    setup.latencies.set(Hop::Watch, Distribution::constant(ms(10)));
    setup.latencies.set(Hop::KubeProxySync, Distribution::constant(ms(30)));
    setup.latencies.set(Hop::NetworkRtt, Distribution::constant(ms(2)));
    setup
}

fn at(millis: u64, op: Op) -> (Time, Op) {
    (Time::from_millis(millis), op)
}

/// Pods 0 and 1 are ready from the start; these listen.
fn two_pods(listening: &[u32], rest: Vec<(Time, Op)>) -> Script {
    let mut script = vec![at(0, Op::Endpoints(0, vec![(0, READY), (1, READY)])), at(0, Op::AddNode(0))];
    script.extend(listening.iter().map(|pod| at(0, Op::Listen(*pod))));
    script.extend(rest);
    script
}

#[test]
fn a_port_that_a_dead_pod_never_answered_goes_on_leading_there() {
    // Half of what is sent from 1 s to 1.54 s goes to a pod that has vanished. Each port comes again after half a second, on
    // average, and then leads there again.
    let script = two_pods(&[0, 1], vec![at(1000, Op::Vanish(0)), at(1500, Op::Endpoints(0, vec![(1, READY)]))]);
    let sent = |setup: &Setup| -> Vec<u64> {
        let (outcome, _) = play(setup, 1, &script);
        assert!(outcome.failures.iter().all(|f| (f.kind, f.pod) == (FailureKind::ConnectTimeout, Some(PodId(0)))));
        outcome.failures.iter().map(|f| f.sent_at.as_nanos() / 1_000_000).collect()
    };
    let between = |sent: &[u64], from, to| sent.iter().filter(|t| (from..to).contains(*t)).count();
    let forgetful = sent(&setup(1, None, false));
    assert_eq!(between(&forgetful, 1540, 8000), 0);
    let echo = sent(&setup(1, Some(50), false));
    let (early, late) = (between(&echo, 2000, 5000), between(&echo, 5000, 8000));
    assert!((60..200).contains(&early) && (60..200).contains(&late), "{early} and {late} of 300 each");
}

#[test]
fn a_refused_connection_leaves_nothing_behind() {
    let script = two_pods(&[1], vec![at(1500, Op::Endpoints(0, vec![(1, READY)]))]);
    let (outcome, _) = play(&setup(1, Some(50), false), 1, &script);
    let last = outcome.failures.iter().map(|f| f.sent_at).max().unwrap();
    assert!(outcome.requests.failed() > 50 && last < Time::from_millis(1540), "{last:?}");
}

/// Pod 0 terminates from 1 s on, and ends at 4 s, which its endpoint tells at 4.5 s.
fn an_end() -> Script {
    two_pods(
        &[0, 1],
        vec![
            at(1000, Op::Endpoints(0, vec![(0, TERMINATING), (1, READY)])),
            at(4000, Op::Vanish(0)),
            at(4500, Op::Endpoints(0, vec![(1, READY)])),
        ],
    )
}

#[test]
fn datagrams_of_one_socket_stay_with_a_pod_that_terminates() {
    let lost = |ports, seed| {
        let mut setup = setup(1, ports, false);
        setup.traffic[0].connections = Connections::Udp;
        let (outcome, _) = play(&setup, seed, &an_end());
        let sent = outcome.failures.iter().map(|f| f.sent_at.as_nanos() / 1_000_000);
        assert!(sent.clone().all(|t| (3990..4540).contains(&t)), "{:?}", sent.collect::<Vec<_>>());
        assert!(outcome.failures.iter().all(|f| f.kind == FailureKind::RequestTimeout));
        outcome.requests.failed()
    };
    // Half of all sockets belong to that pod, and lose everything until their flow is deleted, 540 ms after its end.
    let one: Vec<u64> = (0..40).map(|seed| lost(None, seed)).collect();
    assert!(one.iter().all(|n| *n == 0 || (53..57).contains(n)), "{one:?}");
    let unlucky = one.iter().filter(|n| **n > 0).count();
    assert!((10..30).contains(&unlucky), "{unlucky} of 40");
    // With many sockets each flow is as old as its last use.
    let many: u64 = (0..10).map(|seed| lost(Some(200), seed)).sum();
    assert!((50..400).contains(&many), "{many}");
    // A new port for each datagram: nothing is left of the old flows when the pod ends.
    assert_eq!(lost(Some(100_000), 1), 0);
}

#[test]
fn ipvs_takes_datagrams_away_at_once() {
    let mut setup = setup(1, None, false);
    setup.traffic[0].connections = Connections::Udp;
    setup.kube_proxy = KubeProxySetup::of(ProxyMode::Ipvs);
    let lost: u64 = (0..20).map(|seed| play(&setup, seed, &an_end()).0.requests.failed()).sum();
    assert_eq!(lost, 0);
}

#[test]
fn an_address_is_sent_where_it_was_sent_before() {
    // Pod 0 refuses everything, and leaves the rules at 4 s.
    let script = two_pods(&[1], vec![at(4000, Op::Endpoints(0, vec![(1, READY)]))]);
    let refused = |addresses, seed| {
        let (outcome, _) = play(&setup(addresses, None, true), seed, &script);
        assert!(outcome.failures.iter().all(|f| f.sent_at < Time::from_millis(4040)), "affinity moves with the rules");
        outcome.requests.failed()
    };
    let alone: Vec<u64> = (0..40).map(|seed| refused(1, seed)).collect();
    assert!(alone.iter().all(|n| *n == 0 || (403..406).contains(n)), "{alone:?}");
    let unlucky = alone.iter().filter(|n| **n > 0).count();
    assert!((10..30).contains(&unlucky), "{unlucky} of 40");
    let pairs: Vec<u64> = (0..40).map(|seed| refused(2, seed)).collect();
    assert!(pairs.iter().all(|n| *n == 0 || (201..204).contains(n) || (403..406).contains(n)), "{pairs:?}");
    assert!(pairs.iter().any(|n| (201..204).contains(n)));
}
