//! How many requests a second the data plane simulates, one by one.
//!
//! `steady`: nothing changes. `changes`: a pod closes, ends, and is replaced every 100 ms.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use drainsim::api::{Endpoint, Endpoints, NodeId, PodId, Service, ServiceId};
use drainsim::engine::{Distribution, Duration, Random, Time};
use drainsim::simulation::network::Network;
use drainsim::simulation::observe::CauseId;
use drainsim::simulation::outcome::Requests;
use drainsim::simulation::setup::{App, Connections, Setup, Traffic};

const NODES: u32 = 10;
const PODS: u32 = 20;
const RATE: f64 = 100_000.0;

fn setup(connections: Connections) -> Setup {
    Setup {
        services: vec![Service {
            namespace: "default".into(),
            name: "web".into(),
            selector: None,
            publish_not_ready_addresses: false,
            ..Service::default()
        }],
        apps: vec![App {
            service_time: Distribution::log_normal(Duration::from_millis(20), Duration::from_millis(200))
                .expect("p50 < p99"),
            keep_alive_timeout: Some(Duration::from_secs(60)),
            ..App::plain("bench")
        }],
        traffic: vec![Traffic {
            connections,
            timeout: Duration::from_secs(2),
            ..Traffic::plain("load", ServiceId(0), RATE, (0..NODES).map(|n| format!("node-{n}")).collect())
        }],
        ..Setup::default()
    }
}

fn ready(pods: impl Iterator<Item = u32>) -> Endpoints {
    Endpoints {
        list: pods.map(|p| Endpoint { pod: PodId(p), ready: true, serving: true, terminating: false }).collect(),
    }
}

fn create(network: &mut Network<'_>, now: Time, pod: u32) {
    network.pod_created(PodId(pod), 0, &[ServiceId(0)], NodeId(pod % NODES));
    network.listen(now, PodId(pod), CauseId::default());
}

fn run(setup: &Setup, seconds: u64, changes: bool) -> Requests {
    let none = CauseId::default();
    let mut network = Network::new(setup, Random::new(1));
    for pod in 0..PODS {
        create(&mut network, Time::ZERO, pod);
    }
    network.endpoints_written(Time::ZERO, ServiceId(0), &ready(0..PODS), none);
    for node in 0..NODES {
        network.add_node(Time::ZERO, NodeId(node), &format!("node-{node}"));
    }
    if changes {
        for (old, tenth) in (0u32..).zip(1..seconds * 10) {
            let now = Time::from_millis(100 * tenth);
            create(&mut network, now, old + PODS);
            network.endpoints_written(now, ServiceId(0), &ready(old + 1..=old + PODS), none);
            // Long after the rules have changed.
            if let Some(gone) = old.checked_sub(PODS / 2) {
                network.close_listener(now, PodId(gone), none);
                black_box(network.in_flight_until(now, PodId(gone)));
                if let Some(gone) = gone.checked_sub(3) {
                    network.cut(now, PodId(gone), none);
                    network.vanish(now, PodId(gone), none);
                }
            }
        }
    }
    network.finish(Time::from_secs(seconds)).requests
}

fn traffic(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("requests");
    group.sample_size(20);
    let kept = Connections::KeepAlive { idle_max: 100, idle_timeout: None, requests_max: None, age_max: None };
    for (name, connections, changes, seconds) in [
        ("new/steady", Connections::New, false, 100),
        ("new/changes", Connections::New, true, 20),
        ("keepAlive/steady", kept, false, 20),
        ("keepAlive/changes", kept, true, 20),
    ] {
        let setup = setup(connections);
        group.throughput(Throughput::Elements(run(&setup, seconds, changes).sent));
        group.bench_with_input(BenchmarkId::from_parameter(name), &setup, |bencher, setup| {
            bencher.iter(|| run(setup, seconds, changes));
        });
    }
    group.finish();
}

/// What a large cluster costs without a single request: every node's rules over 1,000 revisions.
fn rules(criterion: &mut Criterion) {
    const REVISIONS: u32 = 1000;
    let setup = setup(Connections::New);
    let setup = Setup { traffic: Vec::new(), ..setup };
    let mut group = criterion.benchmark_group("kube-proxy");
    group.sample_size(10);
    for nodes in [50, 500] {
        group.throughput(Throughput::Elements(u64::from(nodes * REVISIONS)));
        group.bench_function(BenchmarkId::from_parameter(format!("{nodes} nodes")), |bencher| {
            bencher.iter(|| {
                let mut network = Network::new(&setup, Random::new(1));
                for node in 0..nodes {
                    network.add_node(Time::ZERO, NodeId(node), &format!("node-{node}"));
                }
                for revision in 0..REVISIONS {
                    let now = Time::from_millis(60 * u64::from(revision));
                    let list = ready(revision..revision + 200);
                    network.endpoints_written(now, ServiceId(0), &list, CauseId::default());
                }
                network.finish(Time::from_secs(120))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, traffic, rules);
criterion_main!(benches);
