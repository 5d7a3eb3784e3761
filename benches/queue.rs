//! The event queue in the hold model (Jones, "An empirical comparison of priority-queue and event-set implementations",
//! CACM 29, 1986): with a constant number of pending events, pop the next one and schedule it anew after a random span.
//!
//! Beside it, as the yardstick, the standard binary heap of bare 16-byte keys with the same draws: no payload, no
//! cancellation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drainsim::engine::{Duration, EventQueue, Time};

/// A hold may not be measured alone: its cost depends on how deep the draw lets the key sink.
const HOLDS: u64 = 1000;

fn hold(c: &mut Criterion) {
    let mut group = c.benchmark_group("hold");
    group.throughput(Throughput::Elements(HOLDS));
    for pending in [100u64, 10_000, 1_000_000] {
        group.bench_function(BenchmarkId::new("BinaryHeap", pending), |b| {
            let mut draws = Draws::new();
            let mut sequence = 0;
            let mut heap = BinaryHeap::with_capacity(pending as usize);
            let mut push = |heap: &mut BinaryHeap<_>, at: u64| {
                heap.push(Reverse((at, sequence)));
                sequence += 1;
            };
            for _ in 0..pending {
                push(&mut heap, draws.next());
            }
            b.iter(|| {
                for _ in 0..HOLDS {
                    let Reverse((now, event)) = heap.pop().expect("the number of keys is constant");
                    black_box(event);
                    push(&mut heap, now + draws.next());
                }
            });
        });
        group.bench_function(BenchmarkId::new("EventQueue", pending), |b| {
            let mut draws = Draws::new();
            let mut queue = EventQueue::with_capacity(pending as usize);
            for event in 0..pending {
                queue.schedule(Time::from_nanos(draws.next()), event);
            }
            b.iter(|| {
                for _ in 0..HOLDS {
                    let (now, event) = queue.pop().expect("the number of events is constant");
                    queue.schedule(now + Duration::from_nanos(draws.next()), black_box(event));
                }
            });
        });
    }
    group.finish();
}

/// Spans up to 4.3 s: xorshift64* (Vigna, ACM TOMS 42, 2016), which costs next to nothing.
struct Draws(u64);

impl Draws {
    fn new() -> Draws {
        Draws(0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }
}

criterion_group!(benches, hold);
criterion_main!(benches);
