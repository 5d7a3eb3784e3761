//! Whole runs: two drains under one budget (scenario M11) at 200 and at 200,000 requests per second one by one, at 1,000 and
//! at 1,000,000 in bulk, and without traffic, and an idle cluster, whose pod-minutes should cost next to nothing.

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use drainsim::scenario::{Input, Scenario};
use drainsim::simulation::{Setup, run};

fn setup(changes: &[&str]) -> Setup {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/m11-two-drains-one-budget.yaml");
    let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
    Scenario::load(&[Input::Path(file)], &changes).expect("a built-in scenario loads").setup
}

fn two_drains(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("two drains");
    group.sample_size(10);
    for rate in ["200/s", "200000/s"] {
        let setup = setup(&[&format!("spec.traffic[0].rate={rate}"), "spec.requests=individual"]);
        let requests = run(&setup, 1, false).requests.sent;
        group.throughput(Throughput::Elements(requests));
        let mut seed = 0;
        group.bench_function(rate, |bencher| {
            bencher.iter_batched(
                || {
                    seed += 1;
                    seed
                },
                |seed| black_box(run(&setup, seed, false)),
                BatchSize::SmallInput,
            );
        });
    }
    for rate in ["1000/s", "1000000/s"] {
        let setup = setup(&[&format!("spec.traffic[0].rate={rate}"), "spec.requests=bulk"]);
        group.throughput(Throughput::Elements(1));
        let mut seed = 0;
        group.bench_function(format!("{rate}, in bulk"), |bencher| {
            bencher.iter_batched(
                || {
                    seed += 1;
                    seed
                },
                |seed| black_box(run(&setup, seed, false)),
                BatchSize::SmallInput,
            );
        });
    }
    let mut without = setup(&[]);
    without.traffic.clear();
    group.throughput(Throughput::Elements(1));
    group.bench_function("no traffic", |bencher| bencher.iter(|| black_box(run(&without, 1, false))));
    group.bench_function("no traffic, with the causal trace", |bencher| {
        bencher.iter(|| black_box(run(&without, 1, true)));
    });
    group.finish();
}

/// 2 pods for one hour, nothing happens: one element is a pod-minute.
fn idle(criterion: &mut Criterion) {
    let mut setup = setup(&["spec.duration=1h"]);
    setup.traffic.clear();
    setup.actions.clear();
    let mut group = criterion.benchmark_group("idle cluster");
    group.throughput(Throughput::Elements(120));
    group.bench_function("an hour", |bencher| bencher.iter(|| black_box(run(&setup, 1, false))));
    group.finish();
}

criterion_group!(benches, two_drains, idle);
criterion_main!(benches);
