//! Requests that are counted against the same requests one by one, over random histories; and what is expected of both.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::simulation::network::bulk::FAILURES_DRAWN;
use crate::simulation::setup::RequestsMode;

/// A script with what the other tests leave out: processes that hang, partitions of which it is known when they heal, nodes
/// that get their power back, pods that get a new sandbox.
fn play_all(setup: &Setup, seed: u64, script: &Script, hangs: &[(Time, u32)]) -> NetworkOutcome {
    let mut network = network(setup, seed);
    let mut steps: Vec<(Time, usize, Option<&Op>, u32)> = Vec::new();
    steps.extend(script.iter().enumerate().map(|(index, (time, op))| (*time, index, Some(op), 0)));
    steps.extend(hangs.iter().map(|(time, pod)| (*time, 1000, None, *pod)));
    for (time, op) in script {
        if let Op::NodeOff(node) = op {
            steps.push((*time + ms(1500), 2000, None, 100 + node));
        }
    }
    steps.sort_by_key(|(time, index, ..)| (*time, *index));
    for (now, index, op, number) in steps {
        let cause = cause(index);
        match op {
            None if number >= 100 => network.node_on(now, NodeId(number - 100), &name(NodeId(number - 100))),
            None => network.hang(now, PodId(number), cause),
            Some(Op::AddNode(node)) => network.add_node(now, NodeId(*node), &name(NodeId(*node))),
            Some(Op::NodeOff(node)) => {
                network.node_off(now, NodeId(*node));
                for pod in (0..PODS).filter(|pod| node_of(*pod) == NodeId(*node)) {
                    network.vanish(now, PodId(pod), cause);
                }
            }
            Some(Op::Endpoints(service, list)) => {
                network.endpoints_written(now, ServiceId(*service), &endpoints(list), cause);
            }
            Some(Op::Listen(pod)) => {
                network.sandbox_made(now, PodId(*pod));
                if network.sockets.end(PodId(*pod)).state != Listener::Open {
                    network.restarted(now, PodId(*pod), *pod % u32::try_from(setup.apps.len()).unwrap(), cause);
                }
                network.listen(now, PodId(*pod), cause);
            }
            Some(Op::Close(pod)) => network.close_listener(now, PodId(*pod), cause),
            Some(Op::StopAccepting(pod)) => network.stop_accepting(now, PodId(*pod), cause),
            Some(Op::Goodbye(pod)) => network.says_goodbye(now, PodId(*pod), cause),
            Some(Op::Cut(pod)) => network.cut(now, PodId(*pod), cause),
            Some(Op::Vanish(pod)) => network.vanish(now, PodId(*pod), cause),
            Some(Op::CutOff(node)) => {
                let heals = script.iter().find(|(time, op)| *time >= now && *op == Op::Heal(*node));
                network.node_cut_off(now, NodeId(*node), heals.map(|(time, _)| *time), cause);
            }
            Some(Op::Heal(node)) => network.node_healed(now, NodeId(*node)),
            Some(Op::InFlight(pod)) => {
                network.in_flight_until(now, PodId(*pod));
            }
        }
    }
    network.finish(END)
}

/// Observed minus expected, and the variance of that, by what is counted.
#[derive(Default, Debug)]
struct Scores(BTreeMap<String, (f64, f64)>);

impl Scores {
    fn add(&mut self, what: &str, difference: f64, variance: f64) {
        let (sum, square) = self.0.entry(what.to_string()).or_default();
        (*sum, *square) = (*sum + difference, *square + variance);
    }

    /// All within so many standard errors; half a request is nothing.
    fn check(&self, bound: f64, context: &dyn std::fmt::Debug) {
        for (what, (sum, variance)) in &self.0 {
            let z = (sum.abs() - 0.5).max(0.0) / variance.max(0.01).sqrt();
            assert!(z < bound, "{what}: off by {sum} with a variance of {variance} (z = {z})\n{context:?}");
        }
    }
}

fn failed(requests: &Requests, kind: FailureKind) -> f64 {
    requests.failed_by.get(&kind).copied().unwrap_or(0) as f64
}

fn compare(setup: &Setup, script: &Script, hangs: &[(Time, u32)], seeds: std::ops::Range<u64>, all: &mut Scores) {
    let mut scores = Scores::default();
    let individual = Setup { requests: RequestsMode::Individual, ..setup.clone() };
    let bulk = Setup { requests: RequestsMode::Bulk, ..setup.clone() };
    for seed in seeds {
        let (one, many) =
            (play_all(&individual, seed, script, hangs), play_all(&bulk, seed + 1_000_000, script, hangs));
        for index in 0..setup.traffic.len() {
            let (a, b) = (&one.traffic[index], &many.traffic[index]);
            for (name, of) in [("sent", a.sent as f64 - b.sent as f64), ("ok", a.ok as f64 - b.ok as f64)] {
                scores.add(name, of, (a.sent + b.sent) as f64);
            }
            scores.add("unfinished", a.unfinished as f64 - b.unfinished as f64, (a.unfinished + b.unfinished) as f64);
            for kind in FailureKind::ALL {
                let (x, y) = (failed(a, kind), failed(b, kind));
                // The rules change at other times with another seed, which adds to the difference what it adds to both.
                for (mode, outcome, count) in [("individual", &one, x), ("bulk", &many, y)] {
                    let expected =
                        outcome.expected_failures[index].as_ref().unwrap().get(&kind).copied().unwrap_or(0.0);
                    for scores in [&mut scores, &mut *all] {
                        scores.add(&format!("{mode} {}", kind.name()), count - expected, expected);
                    }
                }
            }
            assert_eq!(b.sent, b.ok + b.failed() + b.unfinished);
        }
        for failure in &many.failures {
            assert!(failure.sent_at < END && failure.failed_at <= END, "{failure:?}");
        }
        let kept = many.failures.len() as u64;
        if many.traffic.iter().all(|stream| stream.failed() <= FAILURES_DRAWN as u64) {
            assert_eq!(kept, many.requests.failed(), "all of few failures are kept");
        } else {
            assert!(
                (FAILURES_DRAWN as u64..=many.requests.failed()).contains(&kept),
                "of many, the first ones: {kept}"
            );
        }
    }
    scores.check(6.0, &(&setup.traffic, &setup.apps, script, hangs));
}

#[test]
fn counted_requests_end_as_single_ones_do() {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let hangs = prop::collection::vec((0u64..8000, 0..PODS), 0..3);
    let mut all = Scores::default();
    for case in 0..60 {
        let mut draw = |strategy: BoxedStrategy<_>| strategy.new_tree(&mut runner).unwrap().current();
        let (mut setup, script, hangs): (Setup, Script, Vec<(u64, u32)>) =
            draw((setups(), scripts(), hangs.clone()).boxed());
        for traffic in &mut setup.traffic {
            (traffic.arrivals, traffic.connections) = (Arrivals::Poisson, Connections::New);
            traffic.rate = 40.0;
        }
        let hangs: Vec<_> = hangs.into_iter().map(|(time, pod)| (Time::from_millis(time), pod)).collect();
        compare(&setup, &script, &hangs, case * 12..(case + 1) * 12, &mut all);
    }
    all.check(4.0, &"all cases together");
    println!("{all:#?}");
}

/// A pod that winds down, as one that is killed early and as one that is not: when its last request ends, how many are cut, and
/// what was to be expected.
#[test]
fn the_last_request_ends_as_late_as_that_of_many() {
    const RUNS: u64 = 300;
    for distribution in [
        Distribution::exponential(ms(300)).unwrap(),
        Distribution::constant(ms(150)),
        Distribution::log_normal(ms(80), ms(2000)).unwrap(),
    ] {
        let setup = |requests| Setup {
            services: vec![service("a", false)],
            apps: vec![test_app(distribution.clone())],
            traffic: vec![Traffic { rate: 160.0, timeout: ms(900), ..traffic("t", 0, Connections::New) }],
            requests,
            ..Setup::default()
        };
        let sample = |setup: &Setup, first: u64| {
            let one = |seed| {
                let (mut network, stop, pod) = (network(setup, seed), Time::from_secs(3), PodId(0));
                network.endpoints_written(Time::ZERO, ServiceId(0), &endpoints(&[(0, 0b011)]), cause(0));
                (0..NODES).for_each(|node| network.add_node(Time::ZERO, NodeId(node), &name(NodeId(node))));
                network.listen(Time::ZERO, pod, cause(1));
                // Somebody asks while it still works, and once more when it winds down.
                let early = network.in_flight_until(stop - ms(100), pod);
                network.close_listener(stop, pod, cause(2));
                let last = network.in_flight_until(stop, pod).unwrap_or(stop);
                assert!(early.is_none_or(|early| early <= last.max(stop)), "nothing ends after the last one");
                network.cut(last.min(stop + ms(500)), pod, cause(3));
                let outcome = network.finish(END);
                let reset = failed(&outcome.traffic[0], FailureKind::ResetInFlight);
                let expected = outcome.expected_failures[0].as_ref().unwrap();
                let expected = expected.get(&FailureKind::ResetInFlight).copied().unwrap_or(0.0);
                (last.since(stop).as_secs_f64(), reset, reset - expected)
            };
            (first..first + RUNS).map(one).collect::<Vec<_>>()
        };
        let one = sample(&setup(RequestsMode::Individual), 0);
        let many = sample(&setup(RequestsMode::Bulk), RUNS);
        let moments = |values: &[f64]| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            (mean, values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0) / n)
        };
        for (what, of) in [("end", 0), ("resets", 1)] {
            let column = |sample: &[(f64, f64, f64)]| -> Vec<f64> {
                sample.iter().map(|s| if of == 0 { s.0 } else { s.1 }).collect()
            };
            let ((a, va), (b, vb)) = (moments(&column(&one)), moments(&column(&many)));
            assert!(
                (a - b).abs() <= 4.0 * (va + vb).sqrt() + 1e-9,
                "{distribution}: {what} {a} one by one, {b} in bulk"
            );
        }
        for sample in [&one, &many] {
            let (bias, variance) = moments(&sample.iter().map(|s| s.2).collect::<Vec<_>>());
            assert!(bias.abs() <= 4.0 * variance.sqrt() + 1e-9, "{distribution}: {bias} resets more than expected");
        }
    }
}
