//! What clients that keep connections meet when a process parts from them in one way or another.

use super::*;
use crate::simulation::setup::{ConnectionClose, GoAway, IdleConnections, Shutdown};

const KEPT: Connections =
    Connections::KeepAlive { idle_max: 50, idle_timeout: None, requests_max: None, age_max: None };
const SHARED: Connections = Connections::Http2 { connections: 1, age_max: None, grpc: false };

/// 200 requests a second to two pods, 10 ms of work each, a round trip of 20 ms. Pod 0 leaves the rules at 1 s, 2 s before
/// `script` begins. Returns what failed.
fn lost(connections: Connections, shutdown: Shutdown, script: &[(u64, Op)]) -> Vec<(FailureKind, u64)> {
    lost_of(ms(10), connections, shutdown, script)
}

fn lost_of(
    work: Duration,
    connections: Connections,
    shutdown: Shutdown,
    script: &[(u64, Op)],
) -> Vec<(FailureKind, u64)> {
    let mut app = test_app(Distribution::constant(work));
    app.shutdown = shutdown;
    let stream = Traffic { rate: 200.0, from: vec!["n0".into()], timeout: ms(2_000), ..traffic("t", 0, connections) };
    let mut setup =
        Setup { services: vec![service("a", false)], apps: vec![app], traffic: vec![stream], ..Setup::default() };
    setup.latencies.set(Hop::NetworkRtt, Distribution::constant(ms(20)));
    let first = [
        (0, Op::Endpoints(0, vec![(0, READY), (1, READY)])),
        (0, Op::AddNode(0)),
        (0, Op::Listen(0)),
        (0, Op::Listen(1)),
        (1000, Op::Endpoints(0, vec![(0, TERMINATING), (1, READY)])),
    ];
    let script: Script = first.iter().chain(script).map(|(at, op)| (Time::from_millis(*at), op.clone())).collect();
    let outcome = play(&setup, 1, &script).0;
    outcome.requests.failed_by.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn idle(idle_connections: IdleConnections) -> Shutdown {
    Shutdown { idle_connections, connection_close: ConnectionClose::Never, ..Shutdown::default() }
}

#[test]
fn idle_connections_that_are_closed_are_lost_for_a_round_trip() {
    let lost = lost(KEPT, idle(IdleConnections::Close), &[(3000, Op::Close(0)), (6000, Op::Cut(0))]);
    let [(FailureKind::ResetIdle, count)] = lost[..] else { panic!("{lost:?}") };
    assert!((1..8).contains(&count), "200 a second for 20 ms: {count}");
}

#[test]
fn connections_that_are_served_are_lost_with_the_exit() {
    let script = [(3000, Op::Close(0)), (6000, Op::Cut(0))];
    for served in [IdleConnections::Serve, IdleConnections::ServeUntilExit] {
        let lost = lost(KEPT, idle(served), &script);
        let in_flight = lost.iter().find(|(kind, _)| *kind == FailureKind::ResetInFlight);
        assert!(in_flight.is_some_and(|(_, count)| (1..6).contains(count)), "{lost:?}");
    }
}

#[test]
fn those_that_are_busy_when_the_others_are_closed_may_be_spared() {
    // With 200 ms of work about 40 of 200 requests a second are at the pods at a time.
    let script = [(3000, Op::Close(0)), (6000, Op::Cut(0))];
    let spared = lost_of(ms(200), KEPT, idle(IdleConnections::CloseOnce), &script);
    let closed = lost_of(ms(200), KEPT, idle(IdleConnections::Close), &script);
    let at_exit = |lost: &[(FailureKind, u64)]| lost.iter().any(|(kind, _)| *kind == FailureKind::ResetInFlight);
    assert!(at_exit(&spared) && !at_exit(&closed), "{spared:?} {closed:?}");
}

#[test]
fn a_paused_connector_closes_what_is_used() {
    let script = [(3000, Op::Close(0)), (6000, Op::Cut(0))];
    let on_use = lost(KEPT, idle(IdleConnections::CloseOnUse), &script);
    let at_once = lost(KEPT, idle(IdleConnections::Close), &script);
    let count = |lost: &[(FailureKind, u64)]| lost.iter().map(|(_, count)| *count).sum::<u64>();
    assert!(on_use.iter().all(|(kind, _)| *kind == FailureKind::ResetIdle), "{on_use:?}");
    assert!(count(&on_use) >= count(&at_once), "each idle connection costs a request: {on_use:?} {at_once:?}");
}

#[test]
fn a_paused_connector_closes_what_is_busy_behind_the_answer() {
    // With 200 ms of work about 20 connections to each pod are busy, and no more than a few idle ones are used again.
    let script = [(3000, Op::Close(0)), (6000, Op::Cut(0))];
    let lost = lost_of(ms(200), KEPT, idle(IdleConnections::CloseOnUse), &script);
    let count = lost.iter().map(|(_, count)| *count).sum::<u64>();
    assert!(lost.iter().all(|(kind, _)| *kind == FailureKind::ResetIdle) && count < 10, "{lost:?}");
}

#[test]
fn a_goodbye_in_time_loses_nothing() {
    let announced = Shutdown { connection_close: ConnectionClose::OnPreStop, ..Shutdown::default() };
    let rest = [(4000, Op::Close(0)), (4500, Op::Cut(0))];
    let said: Vec<_> = [(3000, Op::Goodbye(0))].into_iter().chain(rest.clone()).collect();
    assert_eq!(lost(KEPT, announced, &said), []);
    assert_ne!(lost(KEPT, announced, &rest), [], "without it some meet the close");
}

#[test]
fn a_server_that_keeps_no_connection_has_none_to_lose() {
    let none = Shutdown { connection_close: ConnectionClose::Always, ..Shutdown::default() };
    assert_eq!(lost(KEPT, none, &[(3000, Op::Close(0)), (3500, Op::Cut(0))]), []);
}

#[test]
fn a_graceful_goaway_loses_nothing_and_none_loses_what_is_on_its_way() {
    let with = |go_away| Shutdown { go_away, ..Shutdown::default() };
    let script = [(3000, Op::Close(0)), (3100, Op::Cut(0)), (3000, Op::Close(1)), (3100, Op::Cut(1))];
    let count = |go_away| {
        let reset =
            lost(SHARED, with(go_away), &script[..2]).into_iter().chain(lost(SHARED, with(go_away), &script[2..]));
        reset
            .filter(|(kind, _)| matches!(kind, FailureKind::ResetIdle | FailureKind::ResetInFlight))
            .map(|(_, n)| n)
            .sum::<u64>()
    };
    assert_eq!(count(GoAway::Graceful), 0);
    assert_eq!(count(GoAway::LastStream), 0, "the library sends again what was not processed");
    assert!(count(GoAway::Never) > 0);
}

#[test]
fn nobody_answers_at_an_open_socket_without_workers() {
    // New connections, and the rules still lead to both pods.
    let both = Op::Endpoints(0, vec![(0, READY), (1, READY)]);
    let script =
        [(1100, both), (3000, Op::StopAccepting(0)), (4000, Op::Cut(0)), (4000, Op::Endpoints(0, vec![(1, READY)]))];
    for connections in [Connections::New, KEPT] {
        let lost = lost(connections, Shutdown::default(), &script);
        let cut = lost.iter().find(|(kind, _)| *kind == FailureKind::ResetInFlight).map_or(0, |(_, count)| *count);
        let refused_before_exit = lost.iter().any(|(kind, _)| *kind == FailureKind::RequestTimeout);
        assert!(cut > 0 && !refused_before_exit, "{connections:?}: {lost:?}");
    }
}
