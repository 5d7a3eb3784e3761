//! Counts, drawn from their means, and the first failures one by one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::api::PodId;
use crate::engine::{Key, Random, Time};
use crate::simulation::network::bulk::regions::{self, End, Ends, Failing, Known, Region, SeenAt};
use crate::simulation::network::bulk::{Stream, regions::Which};
use crate::simulation::network::ledger::{Failed, Ledger, Request, Seen};
use crate::simulation::outcome::FailureKind;

/// So many failures of a stream are drawn one by one, the first ones; all are counted.
pub(in crate::simulation::network) const FAILURES_DRAWN: usize = 50;

/// When a request was sent that was cut is exact to this share of the mean gap to the next one.
const GAP_SHARE: f64 = 1e-3;

/// Draws what became of all requests of a stream, and puts it into the ledger.
pub(in crate::simulation::network) fn settle(stream: &Stream<'_, '_>, end: Time, ledger: &mut Ledger) {
    let ends = regions::ends(stream, end);
    let random = stream.plane.random;
    let own = |what: &str| Key::new("bulk").text(&stream.traffic.name).text(what);
    let failed: f64 = ends.failed.iter().map(|region| region.mean).sum();
    let mut ok = random.poisson(own("ok"), ends.sent - failed - ends.unfinished - ends.ruled_out);
    let mut unfinished = random.poisson(own("unfinished"), ends.unfinished);
    let mut sent = ok + unfinished;

    let mut occasions: BTreeMap<(usize, Option<PodId>, FailureKind), u64> = BTreeMap::new();
    let mut crowds = Vec::new();
    for region in &ends.failed {
        let occasion = occasions.entry((region.life, region.pod, region.failing.kind)).or_default();
        let key = stream.record.lives[region.life].key.text(region.failing.kind.name());
        let key = key.number(region.pod.map_or(u64::MAX, |pod| u64::from(pod.0))).number(*occasion);
        *occasion += 1;
        let count = random.poisson(key, region.mean);
        if count > 0 {
            sent += count;
            ledger.failed_in_bulk(stream.index, region.failing.kind, region.pod, count);
            crowds.push(Crowd::new(region, count, key.text("when"), random));
        }
    }
    let mut kept = first_of(stream, &ends, crowds);
    for (pod, last, end) in &ends.last {
        sent += 1;
        match end {
            End::Answered => ok += 1,
            End::Unfinished => unfinished += 1,
            End::Failed(failing) => {
                ledger.failed_in_bulk(stream.index, failing.kind, Some(*pod), 1);
                kept.push(failure(stream, last.life, Some(*pod), failing, last.sent));
            }
        }
    }
    ledger.sent_in_bulk(stream.index, sent, ok, unfinished);
    kept.sort_by_key(|failed| failed.request.sent);
    let mut numbers = BTreeMap::new();
    for mut failed in kept {
        let number = numbers.entry(failed.request.client).or_insert(0);
        failed.request.number = *number;
        *number += 1;
        ledger.keep(failed);
    }
}

/// Requests of one region, in the order in which they were sent, each drawn when it is its turn.
///
/// The smallest of n uniform numbers is 1 − V^(1/n) for a uniform V, and the next one is the smallest of the n − 1 that are
/// left between it and 1.
struct Crowd<'e> {
    region: &'e Region,
    left: u64,
    /// Share of the region that has been passed.
    passed: f64,
    /// The last two for which a root was sought, and how much of the region is before them.
    before: [Point; 2],
    key: Key,
    drawn: u64,
    random: Random,
}

impl<'e> Crowd<'e> {
    fn new(region: &'e Region, left: u64, key: Key, random: Random) -> Self {
        let start = Point { at: region.from.as_nanos(), value: 0.0 };
        Self { region, left, passed: 0.0, before: [start; 2], key, drawn: 0, random }
    }

    /// When the next one was sent.
    fn next(&mut self, stream: &Stream<'_, '_>, ends: &Ends<'_>) -> Option<Time> {
        self.left = self.left.checked_sub(1)?;
        let unit = self.random.unit(self.key, self.drawn);
        self.drawn += 1;
        // 1 − V^(1/n) without the loss of digits near zero.
        let step = -libm::expm1(libm::log(unit) / (self.left + 1) as f64);
        self.passed += (1.0 - self.passed) * step;
        let routes = ends.routes[self.region.life].as_ref()?;
        let Region { from, to, which, mean, pod, .. } = *self.region;
        let at = match (which, pod) {
            (_, None) => from + crate::engine::Duration::from_nanos_f64(self.passed * to.since(from).as_nanos() as f64),
            (Which::All, _) => routes.time_of(from, self.passed * mean),
            (Which::Slow { .. }, _) => routes.time_of(from, self.passed * routes.sent(from, to)),
            (Which::UnderWay { .. } | Which::UnderWayNotSlow { .. }, _) => {
                let (timeout, sockets) = (stream.traffic.timeout, stream.plane.sockets);
                let sent_by = |at| regions::measure(routes, which, (from, Time::from_nanos(at)), timeout, sockets);
                let target = self.passed * mean;
                let bracket = (self.before[1], Point { at: to.as_nanos(), value: mean });
                let point = passes(sent_by, (target, GAP_SHARE * mean.min(1.0)), bracket, slope(self.before));
                self.before = [self.before[1], point];
                Time::from_nanos(point.at)
            }
        };
        Some(at.clamp(from, to))
    }
}

/// The slope between two points, if there is one.
fn slope([a, b]: [Point; 2]) -> Option<f64> {
    let slope = (b.value - a.value) / (b.at as f64 - a.at as f64);
    (slope > 0.0 && slope.is_finite()).then_some(slope)
}

/// A point of a function of time.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: u64,
    value: f64,
}

/// The point at which a function that never falls passes `target`, between two others of its points: exact to `error`, or to
/// the nanosecond where it jumps (the point before that).
///
/// By the secant through the last two points that were looked at, at first by the slope that is `expected`. A step that
/// leaves the bracket, and each third one, halves the bracket instead, so that flat stretches and jumps come to an end.
fn passes(
    f: impl Fn(u64) -> f64,
    (target, error): (f64, f64),
    (mut low, mut high): (Point, Point),
    expected: Option<f64>,
) -> Point {
    let mut last = low;
    let mut slope = expected.unwrap_or((high.value - low.value) / (high.at - low.at) as f64);
    for step in 1u32.. {
        if high.at - low.at <= 1 {
            break;
        }
        let secant = last.at as f64 + (target - last.value) / slope;
        let inside = secant > low.at as f64 && secant < high.at as f64 && !step.is_multiple_of(3);
        let middle = low.at + (high.at - low.at) / 2;
        let at = if inside { (secant as u64).clamp(low.at + 1, high.at - 1) } else { middle };
        let here = Point { at, value: f(at) };
        if (here.value - target).abs() <= error {
            return here;
        }
        slope = (here.value - last.value) / (here.at as f64 - last.at as f64);
        last = here;
        *(if here.value <= target { &mut low } else { &mut high }) = here;
    }
    low
}

/// The first failures of all crowds together.
fn first_of(stream: &Stream<'_, '_>, ends: &Ends<'_>, mut crowds: Vec<Crowd<'_>>) -> Vec<Failed> {
    crowds.sort_by_key(|crowd| crowd.region.from);
    let mut failures = Vec::new();
    let mut next: BinaryHeap<Reverse<(Time, usize)>> = BinaryHeap::new();
    let mut joined = 0;
    while failures.len() < FAILURES_DRAWN {
        // A crowd joins when its first request may be the next one of all.
        while let Some(crowd) = crowds.get_mut(joined)
            && next.peek().is_none_or(|Reverse((time, _))| crowd.region.from <= *time)
        {
            next.extend(crowd.next(stream, ends).map(|time| Reverse((time, joined))));
            joined += 1;
        }
        let Some(Reverse((sent, number))) = next.pop() else { break };
        let crowd = &mut crowds[number];
        let Region { life, pod, ref failing, .. } = *crowd.region;
        failures.push(failure(stream, life, pod, failing, sent));
        next.extend(crowd.next(stream, ends).map(|time| Reverse((time, number))));
    }
    failures
}

fn failure(stream: &Stream<'_, '_>, life: usize, pod: Option<PodId>, failing: &Failing, sent: Time) -> Failed {
    let timed_out = sent + stream.traffic.timeout;
    let client = stream.record.lives[life].node;
    Failed {
        request: Request { traffic: stream.index, client, number: 0, sent },
        failed_at: match failing.known {
            Known::AtOnce => sent,
            Known::AfterTimeout => timed_out,
            Known::At(at) => at,
        },
        kind: failing.kind,
        pod,
        gateway: None,
        cause: failing.cause,
        seen: match failing.seen {
            SeenAt::Sent => Seen::At(sent),
            SeenAt::Timeout => Seen::At(timed_out),
            SeenAt::At(at) => Seen::At(at),
            SeenAt::Before(at) => Seen::Before(at),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_where_a_function_passes(
            jumps in prop::collection::btree_map(1u64..1_000_000_000, 0.0f64..5.0, 1..8),
            slopes in [0.0f64..1e-6, 0.0f64..1e-6],
            bend in 0u64..1_000_000_000,
            share in 0.0f64..1.0,
            end in 2u64..1_000_000_000,
            expected in prop::option::of(0.0f64..1e-6),
        ) {
            let f = |at: u64| {
                let straight = at.min(bend) as f64 * slopes[0] + at.saturating_sub(bend) as f64 * slopes[1];
                straight + jumps.range(..=at).map(|(_, jump)| jump).sum::<f64>()
            };
            let point = |at| Point { at, value: f(at) };
            let (target, error) = (share * f(end), 1e-3);
            let found = passes(f, (target, error), (point(0), point(end)), expected);
            prop_assert_eq!(f(found.at), found.value);
            let jumps = found.value <= target && f(found.at + 1) >= target;
            prop_assert!(jumps || (found.value - target).abs() <= error, "{found:?} for {target}");
        }
    }
}
