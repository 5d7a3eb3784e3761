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
pub(in crate::simulation::network) const FAILURES_DRAWN: usize = 100;

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
    key: Key,
    drawn: u64,
    random: Random,
}

impl<'e> Crowd<'e> {
    fn new(region: &'e Region, left: u64, key: Key, random: Random) -> Self {
        Self { region, left, passed: 0.0, key, drawn: 0, random }
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
                Time::from_nanos(last_below(sent_by, self.passed * mean, (from.as_nanos(), to.as_nanos()), mean))
            }
        };
        Some(at.clamp(from, to))
    }
}

/// The last number of a range at which a function that never falls is no more than `target`; it begins at 0 and ends at `top`.
///
/// By false position with the Illinois rule, which needs a third of the steps of a bisection: the end of the bracket that
/// has stayed twice counts half. Source: M. Dowell and P. Jarratt, BIT 11 (1971).
fn last_below(f: impl Fn(u64) -> f64, target: f64, (mut low, mut high): (u64, u64), top: f64) -> u64 {
    let (mut below, mut above) = (-target, top - target);
    let mut stayed = 0i8;
    for step in 0.. {
        if high - low <= 1 {
            break;
        }
        let share = below / (below - above);
        // Rounding must not stop it: from some step on it is a bisection.
        let share = if step < 40 && share.is_finite() { share } else { 0.5 };
        let middle = (low + ((high - low) as f64 * share) as u64).clamp(low + 1, high - 1);
        let here = f(middle) - target;
        if here <= 0.0 {
            (low, below) = (middle, here);
            if stayed < 0 {
                above /= 2.0;
            }
            stayed = -1;
        } else {
            (high, above) = (middle, here);
            if stayed > 0 {
                below /= 2.0;
            }
            stayed = 1;
        }
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
    use super::last_below;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_bisection_finds(
            steps in prop::collection::btree_map(1u64..1_000_000_000, 0.0f64..5.0, 1..8),
            slope in 0.0f64..1e-6,
            share in 0.0f64..1.0,
            high in 2u64..1_000_000_000,
        ) {
            let f = |at: u64| at as f64 * slope + steps.range(..=at).map(|(_, step)| step).sum::<f64>();
            let (target, mut from, mut to) = (share * f(high), 0, high);
            while to - from > 1 {
                let middle = from + (to - from) / 2;
                *(if f(middle) <= target { &mut from } else { &mut to }) = middle;
            }
            prop_assert_eq!(last_below(f, target, (0, high), f(high)), from);
        }
    }
}
