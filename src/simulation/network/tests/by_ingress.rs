//! What clients of an ingress controller meet.

use super::*;
use crate::simulation::setup::IngressNginx;

/// 200 requests a second through one replica on n0; watches take 10 ms, syncs 30 ms.
fn setup() -> Setup {
    let via = Via::IngressNginx(IngressNginx::default());
    let mut setup = Setup {
        services: vec![service("a", false)],
        apps: vec![test_app(Distribution::constant(ms(1)))],
        traffic: vec![Traffic {
            rate: 200.0,
            from: vec!["n0".into()],
            timeout: ms(20_000),
            via,
            ..traffic("t", 0, Connections::New)
        }],
        ..Setup::default()
    };
    setup.latencies.set(Hop::Watch, Distribution::constant(ms(10)));
    setup.latencies.set(Hop::NetworkRtt, Distribution::constant(Duration::ZERO));
    setup.latencies.set(Hop::IngressSync, Distribution::constant(ms(30)));
    setup
}

#[test]
fn another_pod_answers_for_one_that_refuses() {
    let (outcome, _) = play(&setup(), 1, &script(&[0, 1], &[(2000, Op::Cut(0))]));
    assert_eq!(failed(&outcome), [], "the cut pod had no request in flight, or the test says nothing");
    let retried = outcome.requests.ok_after_retry;
    assert!((450..750).contains(&retried), "half of 1,200 requests ask the dead pod first: {retried}");
}

#[test]
fn three_dead_pods_are_enough_for_a_502() {
    let cuts = [0, 1, 2].map(|pod| (2000, Op::Cut(pod)));
    let (outcome, _) = play(&setup(), 1, &script(&[0, 1, 2, 3], &cuts));
    assert!(outcome.requests.ok_after_retry > 0);
    let [(FailureKind::Http502, count)] = failed(&outcome)[..] else { panic!("{:?}", failed(&outcome)) };
    assert!((200..400).contains(&count), "a quarter of 1,200 requests ask pod 0 first, then 1 and 2: {count}");
    assert!(outcome.failures.iter().all(|f| f.pod == Some(PodId(2)) && f.failed_at == f.sent_at));
}

#[test]
fn terminating_endpoints_do_not_count_and_news_comes_with_the_next_look() {
    let rest = [(2000, Op::Endpoints(0, vec![(0, TERMINATING)])), (2500, Op::Endpoints(0, vec![(0, READY)]))];
    for seed in 1..20 {
        let (outcome, _) = play(&setup(), seed, &script(&[0], &rest));
        assert!(failed(&outcome).iter().all(|(kind, _)| *kind == FailureKind::Http503), "the pod serves all the time");
        let (first, last) = (&outcome.failures[0], outcome.failures.last().unwrap());
        // The first sync starts with the watch, the second 10/3 s later; each look comes within a second.
        assert!((2040..3060).contains(&(first.sent_at.as_nanos() / 1_000_000)), "{}", first.sent_at);
        assert!((5350..6400).contains(&(last.sent_at.as_nanos() / 1_000_000)), "{}", last.sent_at);
        let looks = last.sent_at.since(first.sent_at).as_secs_f64();
        assert!((looks - 4.0).abs() < 0.1 || (looks - 3.0).abs() < 0.1, "looks are whole seconds apart: {looks}");
    }
}

#[test]
fn a_silent_pod_costs_the_connect_timeout() {
    let (outcome, _) = play(&setup(), 1, &script(&[0, 1], &[(2000, Op::Vanish(0))]));
    assert_eq!(failed(&outcome), []);
    let Requests { ok_after_retry, unfinished, .. } = outcome.requests;
    assert!((80..120).contains(&ok_after_retry), "half of those sent from 2 s to 3 s: {ok_after_retry}");
    assert!((400..600).contains(&unfinished), "half of those sent later are tried again after the end: {unfinished}");

    let mut impatient = setup();
    impatient.traffic[0].timeout = ms(4000);
    let (outcome, _) = play(&impatient, 1, &script(&[0, 1], &[(2000, Op::Vanish(0))]));
    assert!(failed(&outcome).iter().all(|(kind, _)| *kind == FailureKind::RequestTimeout), "{:?}", failed(&outcome));
    assert!(outcome.failures.iter().all(|f| f.failed_at.since(f.sent_at) == ms(4000)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn questions_change_nothing(
        events in proptest::collection::vec((0u64..7900, 0u32..3, 0u8..5), 1..12),
        questions in proptest::collection::vec((0u64..7900, 0u32..3), 0..20),
        seed in 0u64..1000,
    ) {
        let setup = setup();
        let mut rest: Vec<(u64, Op)> = events
            .iter()
            .map(|(at, pod, what)| (*at, match what {
                0 => Op::Cut(*pod),
                1 => Op::Vanish(*pod),
                2 => Op::Endpoints(0, vec![(*pod, READY)]),
                3 => Op::Endpoints(0, vec![(0, READY), (1, TERMINATING), (2, READY)]),
                _ => Op::Listen(*pod),
            }))
            .collect();
        rest.sort_by_key(|(at, _)| *at);
        let (quiet, _) = play(&setup, seed, &script(&[0, 1], &rest));
        // Appended behind what happens at the same instant, they keep their causes' numbers.
        rest.extend(questions.iter().map(|(at, pod)| (*at, Op::InFlight(*pod))));
        rest.sort_by_key(|(at, _)| *at);
        let (asked, _) = play(&setup, seed, &script(&[0, 1], &rest));
        prop_assert_eq!(&quiet.traffic, &asked.traffic);
        let ends = |o: &NetworkOutcome| o.failures.iter().map(|f| (f.sent_at, f.failed_at, f.kind, f.pod)).collect::<Vec<_>>();
        prop_assert_eq!(ends(&quiet), ends(&asked));
    }
}
