//! What clients meet that keep connections, share them, try again; and pods that can do only so much at a time.

use super::*;
use crate::simulation::setup::{Capacity, ClientCache, RetryOn};

/// One stream from n0 to Service a, of which every pod answers within 10 ms; a round trip takes 2 ms.
fn setup(traffic: Traffic) -> Setup {
    let mut setup = Setup {
        services: vec![service("a", false)],
        apps: vec![test_app(Distribution::constant(ms(10)))],
        traffic: vec![Traffic { rate: 200.0, from: vec!["n0".into()], timeout: ms(20_000), ..traffic }],
        ..Setup::default()
    };
    setup.latencies.set(Hop::Watch, Distribution::constant(ms(10)));
    setup.latencies.set(Hop::KubeProxySync, Distribution::constant(ms(30)));
    setup.latencies.set(Hop::NetworkRtt, Distribution::constant(ms(2)));
    setup
}

fn run(setup: &Setup, seed: u64, ready: &[u32], rest: &[(u64, Op)]) -> NetworkOutcome {
    play(setup, seed, &script(ready, rest)).0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Where news travel in no time, kept connections (and those of which none is kept) fare as in the plain model.
    #[test]
    fn agrees_with_the_plain_model(
        setup in setups_with((0u32..5, prop::option::of(50u64..2000)).prop_map(|(max, timeout)| kept(max, timeout.map(ms)))),
        mut script in scripts(),
        seed in 0u64..1000,
    ) {
        // What is stuck behind a partition comes through when it heals, which the plain model does not know.
        script.retain(|(_, op)| !matches!(op, Op::CutOff(_) | Op::Heal(_)));
        let (outcome, _) = play(&setup, seed, &script);
        let told = Plain::new(&setup, seed, &script).requests();
        let expected: Vec<_> = told
            .iter()
            .filter_map(|t| Some((t.sent, t.known?, t.kind?, t.traffic, t.client, t.number, t.pod, t.cause)))
            .collect();
        let got: Vec<_> = outcome
            .failures
            .iter()
            .map(|f| (f.sent_at, f.failed_at, f.kind, f.traffic, f.client_node, f.number, f.pod, f.cause))
            .collect();
        prop_assert_eq!(got, expected);
        let ok = told.iter().filter(|t| t.known.is_some() && t.kind.is_none()).count();
        prop_assert_eq!((outcome.requests.sent, outcome.requests.ok), (told.len() as u64, ok as u64));
    }

    /// Whatever clients do, every request has one end, and asking in between has no influence.
    #[test]
    fn every_request_ends_once(
        connections in prop_oneof![
            Just(Connections::New),
            Just(Connections::Udp),
            Just(Connections::KeepAlive { idle_max: 3, idle_timeout: Some(ms(500)), requests_max: Some(4), age_max: Some(ms(900)) }),
            (1u32..3, prop::option::of(100u64..2000), any::<bool>()).prop_map(|(connections, age, grpc)| {
                Connections::Http2 { connections, age_max: age.map(ms), grpc }
            }),
        ],
        retries in (1u32..4, prop_oneof![Just(RetryOn::Connect), Just(RetryOn::Unprocessed), Just(RetryOn::Any)],
            prop::option::of(0.0f64..1.0), prop::option::of(20u64..600), prop::option::of(1u64..100)),
        dns in any::<bool>(),
        concurrency in prop::option::of(1u32..4),
        queue in prop::option::of(0u32..5),
        times in distributions(),
        mut script in scripts(),
        questions in prop::collection::vec((0u64..8000, 0..PODS), 0..20),
        ports in prop::option::of(5u32..100),
        seed in 0u64..1000,
    ) {
        let (attempts, on, budget, per_try, hedge) = retries;
        let mut setup = setup(Traffic {
            connections,
            resolve: if dns { Resolve::Dns { ttl: ms(400), cache: ClientCache::Ttl } } else { Resolve::Address },
            connect_timeout: Some(ms(300)),
            origin: Origin { addresses: 2, ports },
            retries: Retries {
                attempts,
                on,
                budget,
                per_try_timeout: per_try.map(ms),
                hedge_after: hedge.map(ms),
                ..Retries::default()
            },
            ..traffic("t", 0, Connections::New)
        });
        setup.traffic[0].timeout = ms(1500);
        setup.apps = vec![test_app(times)];
        setup.apps[0].capacity = Capacity { concurrency, queue, warm_up: None };
        setup.services.push(service("b", false));
        let silent: Script = { script.retain(|(_, op)| !matches!(op, Op::InFlight(_))); script };
        let mut asked = silent.clone();
        asked.extend(questions.into_iter().map(|(time, pod)| (Time::from_millis(time), Op::InFlight(pod))));
        asked.sort_by_key(|(time, _)| *time);
        // The books are balanced by the run itself, or it panics.
        let ends = |o: &NetworkOutcome| {
            let failures: Vec<_> = o.failures.iter().map(|f| (f.sent_at, f.failed_at, f.kind, f.pod)).collect();
            (o.traffic.clone(), failures, o.latencies.clone())
        };
        prop_assert_eq!(ends(&play(&setup, seed, &silent).0), ends(&play(&setup, seed, &asked).0));
    }
}

/// Erlang's C formula: how long a request waits on average in M/M/c, in service times, at this load per worker.
fn erlang_c_wait(workers: u32, load: f64) -> f64 {
    let offered = f64::from(workers) * load;
    let (mut term, mut sum) = (1.0, 0.0);
    for k in 0..workers {
        sum += term;
        term *= offered / f64::from(k + 1);
    }
    let waiting = term / (1.0 - load);
    waiting / (sum + waiting) / (f64::from(workers) * (1.0 - load))
}

#[test]
fn requests_wait_as_long_as_theory_says() {
    assert!((erlang_c_wait(1, 0.7) - 0.7 / 0.3).abs() < 1e-12);
    for (workers, load) in [(1, 0.7), (4, 0.8)] {
        const SERVICE: f64 = 0.010;
        let mut setup = setup(traffic("t", 0, Connections::New));
        setup.apps = vec![test_app(Distribution::exponential(ms(10)).unwrap())];
        setup.apps[0].capacity = Capacity { concurrency: Some(workers), ..Capacity::default() };
        setup.traffic[0].rate = f64::from(workers) * load / SERVICE;
        let mut network = network(&setup, 7);
        network.endpoints_written(Time::ZERO, ServiceId(0), &endpoints(&[(0, READY)]), cause(0));
        network.add_node(Time::ZERO, NodeId(0), "n0");
        network.listen(Time::ZERO, PodId(0), cause(1));
        let outcome = network.finish(Time::from_secs(3000));
        // The mean of the waits from the median and quantiles would be rough: Little's law counts who is there instead.
        let tally = &outcome.latencies[0].before;
        // A round trip for the connection and one for the request are 4 ms.
        let sojourn = mean(tally) - 0.004;
        let expected = SERVICE * (1.0 + erlang_c_wait(workers, load));
        // The time average of the number in M/M/1 has the relative standard error √(2 (1 + ρ) / (ρ μ T (1 − ρ)²)), by its
        // relaxation time: 1.3 % and less. A tally rounds up, by 0.8 % on average.
        assert!((sojourn / expected - 1.008).abs() < 0.05, "{workers} workers at {load}: {sojourn} s, not {expected}");
    }
}

/// The mean of a tally, with its rounding.
fn mean(tally: &crate::engine::Tally) -> f64 {
    const STEPS: u32 = 20_000;
    let quantile = |i: u32| tally.quantile((f64::from(i) + 0.5) / f64::from(STEPS)).unwrap().as_secs_f64();
    (0..STEPS).map(quantile).sum::<f64>() / f64::from(STEPS)
}

/// Without a limit the number in service is Poisson distributed with mean rate × service time, whatever the distribution of
/// service times (M/G/∞): all of them are cut.
#[test]
fn as_many_are_in_service_as_theory_says() {
    const RUNS: u64 = 400;
    let mut setup = setup(traffic("t", 0, kept(0, None)));
    setup.apps = vec![test_app(Distribution::log_normal(ms(80), ms(900)).unwrap())];
    let mean_service = setup.apps[0].service_time.mean().as_secs_f64();
    let cut = |seed| {
        let outcome = run(&setup, seed, &[0], &[(7000, Op::Cut(0))]);
        let at_cut = |f: &&Failure| f.kind == FailureKind::ResetInFlight && f.sent_at < Time::from_millis(6997);
        outcome.failures.iter().filter(at_cut).count() as f64
    };
    let counts: Vec<f64> = (0..RUNS).map(cut).collect();
    // Those of the last 3 ms are on their way, or among the others: they make no difference here.
    let expected = 200.0 * (mean_service - 0.001);
    let mean = counts.iter().sum::<f64>() / RUNS as f64;
    let variance = counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / (RUNS - 1) as f64;
    let error = (expected / RUNS as f64).sqrt();
    assert!((mean - expected).abs() < 4.0 * error + 0.4, "{mean} in service on average, expected {expected} ± {error}");
    // The standard error of a variance is its √(2/n): 7 %.
    assert!((0.75..1.3).contains(&(variance / mean)), "variance {variance}, mean {mean}");
}

#[test]
fn a_full_queue_answers_503_at_once() {
    let mut setup = setup(traffic("t", 0, Connections::New));
    setup.apps[0].capacity = Capacity { concurrency: Some(1), queue: Some(0), warm_up: None };
    let outcome = run(&setup, 1, &[0], &[]);
    let [(FailureKind::Http503, count)] = failed(&outcome)[..] else { panic!("{:?}", failed(&outcome)) };
    // M/D/1/1 at load 2: Erlang's loss formula, 2/3 are refused.
    let share = count as f64 / outcome.requests.sent as f64;
    assert!((share - 2.0 / 3.0).abs() < 0.04, "{share}");
    assert!(outcome.failures.iter().all(|f| f.failed_at == f.sent_at + ms(4)), "connecting and asking, 2 ms each");
}

#[test]
fn warming_up_takes_longer_at_first() {
    let mut setup = setup(traffic("t", 0, kept(100, None)));
    setup.apps[0].capacity.warm_up =
        Some(crate::simulation::setup::WarmUp { span: Duration::from_secs(4), factor: 11.0 });
    let tally = &run(&setup, 1, &[0], &[]).latencies[0].before;
    let (slowest, usual) = (tally.max(), tally.quantile(0.3).unwrap());
    assert!(slowest > ms(100) && slowest < ms(115), "11 × 10 ms at first: {slowest}");
    assert!(usual < ms(13), "10 ms and a round trip for most of the second half: {usual}");
}

/// The server's idle timeout closes connections that the client still counts on: half a round trip before, a request is
/// already on its way; half a round trip after, the client does not know.
#[test]
fn an_idle_connection_is_lost_within_a_round_trip() {
    let mut setup = setup(traffic("t", 0, kept(100, None)));
    // A request a second, each 990 ms after the last answer, give or take: the timeout is in the middle of it.
    setup.traffic[0].rate = 1.0;
    setup.traffic[0].arrivals = Arrivals::Constant;
    setup.apps[0].keep_alive_timeout = Some(ms(988));
    setup.latencies.set(Hop::NetworkRtt, Distribution::constant(ms(10)));
    let resets = |timeout: u64| {
        let mut setup = setup.clone();
        setup.apps[0].keep_alive_timeout = Some(ms(timeout));
        run(&setup, 1, &[0], &[]).requests.failed_by.get(&FailureKind::ResetIdle).copied().unwrap_or(0)
    };
    // From one answer at the server to the next request there: 1000 ms − 10 ms of work.
    assert_eq!(resets(992), 0, "the request comes in time");
    assert!(resets(989) >= 2, "it is on its way when the connection is closed");
    assert!(resets(982) >= 2, "it is sent before the client has heard of it");
    // Making a connection takes 10 ms of the first pause.
    assert_eq!(resets(968), 0, "the client knows, and makes a new connection");
}

#[test]
fn a_goaway_loses_nothing_and_a_crash_loses_all_streams() {
    let shared = Connections::Http2 { connections: 1, age_max: None, grpc: false };
    let mut setup = setup(traffic("t", 0, shared));
    setup.apps[0] = test_app(Distribution::constant(ms(100)));
    // The endpoint is out of the rules at 1.04 s; the connection stays, all its requests go to pod 0.
    let moved = Op::Endpoints(0, vec![(0, TERMINATING), (1, READY)]);
    let graceful = run(&setup, 1, &[0, 1], &[(1000, moved.clone()), (3000, Op::Close(0)), (3200, Op::Cut(0))]);
    let first = run(&setup, 1, &[0], &[]);
    assert_eq!(failed(&first), []);
    assert_eq!(failed(&graceful), [], "what GOAWAY came too late for is sent again");
    // The one connection went to either pod: crash both.
    let crash = run(&setup, 1, &[0], &[(1000, moved), (3000, Op::Cut(0)), (3000, Op::Listen(1))]);
    let [(FailureKind::ResetInFlight, lost)] = failed(&crash)[..2.min(failed(&crash).len())] else {
        panic!("{:?}", failed(&crash))
    };
    assert!((10..35).contains(&lost), "200 requests a second, each 100 ms long: {lost}");
    let told: std::collections::BTreeSet<Time> = crash.failures.iter().map(|f| f.failed_at).collect();
    assert_eq!(told.into_iter().next(), Some(Time::from_millis(3001)), "all at the same time, half a round trip later");
}

#[test]
fn grpc_fails_at_once_while_it_backs_off() {
    let setup = setup(traffic("t", 0, Connections::Http2 { connections: 1, age_max: None, grpc: true }));
    let outcome = run(&setup, 1, &[0], &[(2000, Op::Cut(0)), (2010, Op::Listen(0))]);
    let refused = outcome.failures.iter().filter(|f| f.kind == FailureKind::Refused);
    let last = refused.map(|f| f.sent_at).max().expect("the connection is refused once");
    // The pod listens again after 10 ms, but the next attempt comes after 0.8 to 1.2 s.
    assert!((2780..3220).contains(&(last.as_nanos() / 1_000_000)), "{last}");
}

#[test]
fn retries_help_when_another_pod_can_answer_and_the_budget_limits_them() {
    let with = |retries: Retries| {
        let mut setup = setup(traffic("t", 0, Connections::New));
        setup.traffic[0].retries = retries;
        run(&setup, 1, &[0, 1], &[(2000, Op::Cut(0))]).requests
    };
    let none = with(Retries::default());
    let thrice = with(Retries { attempts: 5, ..Retries::default() });
    let poor = with(Retries { attempts: 5, budget: Some(0.1), ..Retries::default() });
    let refused = |r: &Requests| r.failed_by.get(&FailureKind::Refused).copied().unwrap_or(0);
    assert!((500..700).contains(&refused(&none)), "half of 1,200: {none:?}");
    // Each try is another coin toss: 1/32 fail five times in a row.
    assert!((15..65).contains(&refused(&thrice)) && thrice.ok_after_retry > 500, "{thrice:?}");
    assert!((100..135).contains(&poor.ok_after_retry) || poor.ok_after_retry < 135, "{poor:?}");
    assert!(refused(&poor) > 400, "one retry for ten requests does not go far: {poor:?}");
}

#[test]
fn a_hedge_answers_when_the_first_copy_is_lost() {
    let mut setup = setup(traffic("t", 0, Connections::New));
    setup.traffic[0].retries.hedge_after = Some(ms(100));
    setup.traffic[0].timeout = ms(3000);
    let requests = run(&setup, 1, &[0, 1], &[(2000, Op::Vanish(0))]).requests;
    let timeouts = requests.failed_by.get(&FailureKind::ConnectTimeout).copied().unwrap_or(0);
    // Half of the 600 that could end in failure go to the dead pod, half of their copies, too.
    assert!((80..220).contains(&timeouts) && requests.ok_after_retry > 200, "{requests:?}");
}

#[test]
fn a_syn_is_sent_again_until_the_partition_heals() {
    let setup = setup(traffic("t", 0, Connections::New));
    let outcome = run(&setup, 1, &[1], &[(2000, Op::CutOff(1)), (4500, Op::Heal(1))]);
    assert_eq!(failed(&outcome), [], "everybody waits for 20 s");
    // Plain requests know no second SYN; a connect timeout makes them detailed.
    let mut detailed = setup;
    detailed.traffic[0].connections = kept(0, None);
    let outcome = run(&detailed, 1, &[1], &[(2000, Op::CutOff(1)), (4500, Op::Heal(1))]);
    assert_eq!((failed(&outcome), outcome.requests.unfinished < 5), (vec![], true));
    let max = outcome.latencies[0].before.max().max(outcome.latencies[0].after.max());
    assert!(
        (2500..3100).contains(&max.as_millis()),
        "a SYN of 2.0 s comes through at 5 s, one of 3.6 s at 4.6 s: {max}"
    );
}

#[test]
fn a_name_is_stale_for_as_long_as_its_answer_holds() {
    let late = |cache: ClientCache| {
        let mut setup = setup(traffic("t", 0, Connections::New));
        setup.traffic[0].resolve = Resolve::Dns { ttl: ms(2000), cache };
        let moved = Op::Endpoints(0, vec![(1, READY)]);
        let rest = [(2000, Op::Listen(1)), (2000, moved), (2020, Op::Cut(0))];
        let outcome = run(&setup, 5, &[0], &rest);
        let refused = outcome.failures.iter().filter(|f| f.kind == FailureKind::Refused);
        refused.map(|f| f.sent_at).max()
    };
    let by_ttl = late(ClientCache::Ttl).expect("some are lost");
    assert!(by_ttl < Time::from_millis(4020), "{by_ttl}");
    assert!(late(ClientCache::Forever).expect("all are lost") > Time::from_millis(7900));
}

#[test]
fn worn_out_and_old_connections_are_replaced() {
    let moved = |connections| {
        let setup = setup(traffic("t", 0, connections));
        let outcome = run(
            &setup,
            1,
            &[0],
            &[(2000, Op::Listen(1)), (2000, Op::Endpoints(0, vec![(1, READY)])), (5000, Op::Cut(0))],
        );
        outcome.requests.failed()
    };
    let kept =
        |requests_max, age_max| Connections::KeepAlive { idle_max: 50, idle_timeout: None, requests_max, age_max };
    assert!(moved(kept(None, None)) > 0, "connections stay with the old pod until it exits");
    assert_eq!(moved(kept(Some(20), None)), 0);
    assert_eq!(moved(kept(None, Some(ms(1000)))), 0);
    assert_eq!(moved(Connections::Http2 { connections: 2, age_max: Some(ms(1000)), grpc: true }), 0);
}
