//! What a draw costs, and what a sample of each distribution costs.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use drainsim::engine::{Distribution, DistributionError, Duration, Key, Random, Sampler};

/// Draws per measured iteration, a number between two refills of any buffer.
const DRAWS: u64 = 1000;

fn draws(c: &mut Criterion) {
    let random = Random::new(1);
    let key = Key::new("bench");
    let mut group = c.benchmark_group("random");
    group.throughput(Throughput::Elements(DRAWS));
    group.bench_function("draw", |b| b.iter(|| (0..DRAWS).fold(0, |sum, index| sum ^ random.draw(key, index))));
    group.bench_function("draw, new key each", |b| {
        b.iter(|| (0..DRAWS).fold(0, |sum, client| sum ^ random.draw(key.number(client), 0)))
    });
    let mut stream = random.stream(key);
    group.bench_function("stream", |b| b.iter(|| (0..DRAWS).fold(0, |sum, _| sum ^ stream.next_u64())));
    group.bench_function("stream exponential", |b| {
        b.iter(|| (0..DRAWS).fold(0.0, |sum, _| sum + stream.exponential(1e6)))
    });
    group.finish();
}

fn samples(c: &mut Criterion) -> Result<(), DistributionError> {
    let ms = Duration::from_millis;
    let buckets: Vec<_> = (0..12).map(|i| (ms(1 << i), 1000 - 1000 / (i + 1))).collect();
    let cases = [
        ("uniform", Distribution::uniform(ms(1), ms(9))?),
        ("exponential", Distribution::exponential(ms(5))?),
        ("log-normal", Distribution::log_normal(ms(20), ms(200))?),
        ("histogram of 12 buckets", Distribution::histogram(&buckets, 1000)?),
        (
            "mixture of two",
            Distribution::mixture(vec![
                (0.9, Distribution::constant(ms(2))),
                (0.1, Distribution::log_normal(ms(20), ms(200))?),
            ])?,
        ),
    ];
    let random = Random::new(1);
    let key = Key::new("bench");
    let mut group = c.benchmark_group("draw and sample");
    group.throughput(Throughput::Elements(DRAWS));
    for (name, distribution) in &cases {
        group.bench_function(*name, |b| {
            b.iter(|| {
                (0..DRAWS)
                    .fold(Duration::ZERO, |sum, index| sum + black_box(distribution).sample(random.unit(key, index)))
            })
        });
    }
    for (name, distribution) in cases {
        let sampler = Sampler::new(distribution);
        group.bench_function(format!("{name}, tabulated"), |b| {
            b.iter(|| {
                (0..DRAWS).fold(Duration::ZERO, |sum, index| sum + black_box(&sampler).sample(random.unit(key, index)))
            })
        });
    }
    group.finish();
    Ok(())
}

fn all_samples(c: &mut Criterion) {
    samples(c).expect("the distributions are valid");
}

criterion_group!(benches, draws, all_samples);
criterion_main!(benches);
