//! Pods to which requests come through a proxy of their own.

use super::*;
use crate::simulation::setup::NobodyBehind;

const KEPT: Connections =
    Connections::KeepAlive { idle_max: 50, idle_timeout: None, requests_max: None, age_max: None };

/// What is done to the proxy of pod 0, or to the container behind it.
#[derive(Clone, Copy)]
enum Does {
    Listens,
    Ends,
    BehindListens,
    BehindStopsListening,
    BehindEnds,
    BehindHangs,
}

/// 200 requests a second to one pod for 8 s, 100 ms of work each. Returns how they ended and what was said of failures.
fn lost(connections: Connections, answer: NobodyBehind, script: &[(u64, Does)]) -> NetworkOutcome {
    let mut app = test_app(Distribution::constant(ms(100)));
    app.nobody_behind = Some(answer);
    let stream = Traffic { rate: 200.0, from: vec!["n0".into()], timeout: ms(2_000), ..traffic("t", 0, connections) };
    let mut setup =
        Setup { services: vec![service("a", false)], apps: vec![app], traffic: vec![stream], ..Setup::default() };
    setup.latencies.set(Hop::NetworkRtt, Distribution::constant(ms(2)));
    let mut network = network(&setup, 1);
    let pod = PodId(0);
    network.endpoints_written(Time::ZERO, ServiceId(0), &endpoints(&[(0, READY)]), cause(0));
    network.add_node(Time::ZERO, NodeId(0), "n0");
    for (index, (at, does)) in script.iter().enumerate() {
        let (now, cause) = (Time::from_millis(*at), cause(index + 1));
        match does {
            Does::Listens => network.listen(now, pod, cause),
            Does::Ends => network.cut(now, pod, cause),
            Does::BehindListens => network.behind_front(now, pod, true, cause),
            Does::BehindStopsListening => network.behind_front(now, pod, false, cause),
            Does::BehindEnds => network.behind_front_ended(now, pod, cause),
            Does::BehindHangs => network.behind_front_hangs(now, pod, cause),
        }
    }
    network.finish(END)
}

fn of(outcome: &NetworkOutcome, kind: FailureKind) -> u64 {
    outcome.requests.failed_by.get(&kind).copied().unwrap_or(0)
}

#[test]
fn with_both_there_all_is_well_and_without_the_second_the_proxy_answers() {
    use Does::{BehindListens, Listens};
    for connections in [Connections::New, KEPT] {
        let both = lost(connections, NobodyBehind::Http503, &[(0, Listens), (0, BehindListens)]);
        assert_eq!(both.requests.failed(), 0, "{connections:?}");
        let late = lost(connections, NobodyBehind::Http503, &[(0, Listens), (4000, BehindListens)]);
        assert_eq!(late.requests.failed(), of(&late, FailureKind::Http503), "{connections:?}");
        assert!((700..900).contains(&late.requests.failed()), "half of 1,600: {:?}", late.requests);
        assert!(late.failures.iter().all(|f| f.pod == Some(PodId(0))), "{connections:?}");
        let other = lost(connections, NobodyBehind::Http502, &[(0, Listens), (4000, BehindListens)]);
        assert_eq!(of(&other, FailureKind::Http502), late.requests.failed());
    }
}

#[test]
fn without_the_proxy_nobody_is_reached() {
    let outcome = lost(Connections::New, NobodyBehind::Http503, &[(0, Does::BehindListens), (4000, Does::Listens)]);
    assert_eq!(outcome.requests.failed(), of(&outcome, FailureKind::Refused));
    assert!((700..900).contains(&outcome.requests.failed()), "{:?}", outcome.requests);
}

#[test]
fn an_application_that_winds_down_finishes_what_it_has_and_one_that_ends_does_not() {
    use Does::{BehindEnds, BehindListens, BehindStopsListening, Listens};
    for connections in [Connections::New, KEPT] {
        let there = [(0, Listens), (0, BehindListens)];
        let stops = [&there[..], &[(4000, BehindStopsListening), (4500, BehindEnds)]].concat();
        let ends = [&there[..], &[(4000, BehindEnds)]].concat();
        let [stops, ends] = [stops, ends].map(|script| lost(connections, NobodyBehind::Http503, &script));
        assert_eq!(stops.requests.failed(), of(&stops, FailureKind::Http503));
        assert_eq!(ends.requests.failed(), of(&ends, FailureKind::Http503));
        let cut = ends.requests.failed() - stops.requests.failed();
        assert!((10..30).contains(&cut), "200 a second for 100 ms: {cut}");
        assert!(ends.failures.iter().all(|f| f.pod_phase == PodActivity::Unattended), "{connections:?}");
    }
}

#[test]
fn the_end_of_the_proxy_cuts_what_the_application_works_on() {
    use Does::{BehindListens, Ends, Listens};
    let outcome = lost(Connections::New, NobodyBehind::Http503, &[(0, Listens), (0, BehindListens), (4000, Ends)]);
    let (cut, refused) = (of(&outcome, FailureKind::ResetInFlight), of(&outcome, FailureKind::Refused));
    assert!((10..30).contains(&cut) && refused > 700, "{:?}", outcome.requests);
    assert_eq!(outcome.requests.failed(), cut + refused);
}

#[test]
fn an_application_that_hangs_lets_the_proxy_wait() {
    use Does::{BehindEnds, BehindHangs, BehindListens, Listens};
    let script = [(0, Listens), (0, BehindListens), (4000, BehindHangs), (4500, BehindEnds)];
    for connections in [Connections::New, KEPT] {
        let outcome = lost(connections, NobodyBehind::Http503, &script);
        assert_eq!(outcome.requests.failed(), of(&outcome, FailureKind::Http503), "ended before anybody gave up");
        assert!((700..900).contains(&outcome.requests.failed()), "{:?}", outcome.requests);
    }
}
