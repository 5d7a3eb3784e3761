//! Plain streams without a look at each request: how many of them end in which way, given what happens to the pods and the
//! rules.
//!
//! Arrivals are Poisson, service times are independent, and a request changes nothing for others. So the requests that
//! are sent in one stretch of time to one pod and take so long form a Poisson process over these coordinates, and what
//! becomes of a request is a function of them and of the *timeline*: when which node's rules named which pods, and when
//! pods listened, hung, exited and vanished, and nodes lost power or were cut off. The regions of requests with the same
//! end are disjoint, hence the numbers in them are independent Poisson variables, whose means are integrals in closed form.
//!
//! One thing of the timeline depends on the requests: a pod that winds down exits when the last one is done
//! ([`Record::ask`]). That moment is drawn from its distribution, which is that of the greatest of a Poisson number of
//! residual times, together with the request that it belongs to. From then on none of the earlier ones is known to end
//! later; the others are Poisson as before, in the region that this leaves.
//!
//! All counts are drawn at the end of the run, each from a mean that the whole timeline gives. The sum of the means of all
//! ways to fail is the expected number of failures given the timeline: for streams that are simulated one by one, too.
//!
//! - `routes`: where a client's requests went, and how fast they came.
//! - `regions`: the ways in which they ended, with the mean of each.
//! - `draw`: counts, and the first failures one by one.

mod draw;
mod regions;
mod routes;

use std::collections::BTreeMap;

use crate::api::{NodeId, PodId};
use crate::engine::{Duration, Key, Random, Time};
use crate::simulation::network::kube_proxy::KubeProxies;
use crate::simulation::network::sockets::{InFlight, Sockets};
use crate::simulation::setup::Traffic;

#[cfg(test)]
pub(super) use draw::FAILURES_DRAWN;
pub(super) use draw::settle;
pub(super) use regions::expected_failures;

use routes::Routes;

/// What is to be remembered of a plain stream during a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    lives: Vec<Life>,
    asks: BTreeMap<PodId, Vec<Ask>>,
}

/// The clients of a stream on a node, from their start to the node's end.
#[derive(Clone, Debug)]
struct Life {
    node: NodeId,
    key: Key,
    /// Requests in a nanosecond.
    rate: f64,
    from: Time,
    /// The node lost power.
    off: Option<Time>,
}

/// It was asked when a pod will be done.
#[derive(Clone, Debug)]
struct Ask {
    at: Time,
    /// So often had all that the pod worked on been ended before.
    kills: usize,
    /// Of the requests that the pod was then working on, and was not at the last question, the one that ends last.
    last: Option<Last>,
}

/// The last of many requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Last {
    life: usize,
    sent: Time,
    ends: Time,
    times_out: bool,
}

/// What the streams share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane<'p, 'a> {
    pub proxies: &'p KubeProxies<'a>,
    pub sockets: &'p Sockets<'a>,
    pub random: Random,
}

/// A stream and what it goes through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream<'p, 'a> {
    /// Index into `Setup::traffic`.
    pub index: u32,
    pub traffic: &'a Traffic,
    pub record: &'p Record,
    pub plane: Plane<'p, 'a>,
}

impl Record {
    /// Clients start on a node, `rate` requests a second in all. It is their `starts`-th start.
    pub fn start(&mut self, from: Time, (node, name): (NodeId, &str), starts: u64, traffic: &Traffic, rate: f64) {
        let key = Key::new("bulk").text(&traffic.name).text(name).number(starts);
        self.lives.push(Life { node, key, rate: rate / 1e9, from: from.max(traffic.start), off: None });
    }

    /// The clients on a node stop.
    pub fn client_off(&mut self, now: Time, node: NodeId) {
        for life in self.lives.iter_mut().filter(|life| life.node == node) {
            life.off.get_or_insert(now);
        }
    }

    /// The nodes with clients.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.lives.iter().filter(|life| life.off.is_none()).map(|life| life.node)
    }

    /// The question when a pod will be done at `now`, for a stream that is simulated one by one: `in_flight` are its
    /// requests there.
    pub fn note(&mut self, now: Time, pod: PodId, kills: usize, in_flight: impl Iterator<Item = InFlight>) {
        let since = self.asks.get(&pod).and_then(|asks| asks.last()).filter(|ask| ask.kills == kills).map(|ask| ask.at);
        let fresh = in_flight.filter(|r| since.is_none_or(|since| r.request.sent >= since));
        let last = fresh.max_by_key(|r| r.ends).and_then(|r| {
            let sent = r.request.sent;
            let by = |life: &Life| {
                life.node == r.request.client && life.from <= sent && life.off.is_none_or(|off| sent < off)
            };
            Some(Last { life: self.lives.iter().position(by)?, sent, ends: r.ends, times_out: r.times_out })
        });
        self.asks.entry(pod).or_default().push(Ask { at: now, kills, last });
    }

    /// When the last request of this stream that a pod is working on at `now` will be done; `None` if there is none. The
    /// rules of all clients must have been worked out up to then.
    pub fn ask(&mut self, now: Time, pod: PodId, traffic: &Traffic, plane: &Plane<'_, '_>) -> Option<Time> {
        let Plane { sockets, random, .. } = plane;
        let kills = sockets.kills(pod).len();
        let earlier: Vec<&Ask> =
            self.asks.get(&pod).map(|asks| asks.iter().filter(|ask| ask.kills == kills).collect()).unwrap_or_default();
        let known = earlier.iter().filter_map(|ask| ask.last).map(|last| last.ends).filter(|ends| *ends > now).max();
        let since = earlier.last().map(|ask| ask.at).max(sockets.kills(pod).last().map(|kill| kill.at));
        let key = Key::new("last of many").text(&traffic.name).number(u64::from(pod.0));
        let mut occasion = self.asks.get(&pod).map_or(0, Vec::len) as u64 * 2;
        let mut unit = || {
            occasion += 1;
            random.unit(key, occasion - 1)
        };
        let pieces = self.accepted(now, pod, since.unwrap_or(Time::ZERO), traffic, plane);
        let last = last_of_many(now, traffic.timeout, &pieces, sockets, &mut unit);
        self.asks.entry(pod).or_default().push(Ask { at: now, kills, last });
        known.max(last.map(|last| last.ends))
    }

    /// The stretches since `since` in which a pod has accepted requests of which some may be under way at `now`.
    fn accepted(&self, now: Time, pod: PodId, since: Time, traffic: &Traffic, plane: &Plane<'_, '_>) -> Vec<Accepted> {
        let mut pieces = Vec::new();
        let since = since.max(now - traffic.timeout);
        for (number, life) in self.lives.iter().enumerate() {
            let from = life.from.max(since);
            let to = [life.off, traffic.stop].into_iter().flatten().fold(now, Time::min);
            if from >= to {
                continue;
            }
            let routes = Routes::new(plane.proxies, traffic.service, life, from, to);
            for (from, to) in routes.spells_of(pod) {
                for met in regions::meets(plane.sockets, life.node, pod, from, to) {
                    let regions::Meets::Open(app) = met.what else { continue };
                    let pieces_of = routes.pieces(met.from, met.to);
                    pieces.extend(pieces_of.map(|(from, to, share)| Accepted { life: number, app, from, to, share }));
                }
            }
        }
        pieces
    }
}

/// A pod accepts the requests of a client, so many a nanosecond.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    life: usize,
    app: u32,
    from: Time,
    to: Time,
    share: f64,
}

impl Accepted {
    /// How many of its requests are expected to end after `at`, a time that is not before its end.
    fn under_way(&self, at: Time, timeout: Duration, sockets: &Sockets<'_>) -> f64 {
        let longest = at.since(self.from).min(timeout);
        self.share * sockets.app_times(self.app).service_time.survival_integral(at.since(self.to), longest)
    }
}

/// Draws the last of the requests that are under way at `now`. With `units`: when it ends, which stretch it is of and when it
/// was sent.
///
/// None ends after `m` with the probability e^−Λ(m), where Λ(m) of them are expected to. So Λ of the last one's end is
/// exponentially distributed, and if it is more than Λ(now), there is none.
fn last_of_many(
    now: Time,
    timeout: Duration,
    pieces: &[Accepted],
    sockets: &Sockets<'_>,
    unit: &mut impl FnMut() -> f64,
) -> Option<Last> {
    let later = |at: Time| pieces.iter().map(|piece| piece.under_way(at, timeout, sockets)).sum::<f64>();
    let level = -libm::log(unit());
    let place = unit();
    if level >= later(now) {
        return None;
    }
    // The last nanosecond after which as many or more are expected to end.
    let (mut low, mut high) = (now.as_nanos(), (now + timeout).as_nanos());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if later(Time::from_nanos(middle)) > level {
            low = middle;
        } else {
            high = middle;
        }
    }
    let ends = Time::from_nanos(high);
    // Which of them ends in that nanosecond: in proportion to how many would, by the density of the times between.
    let before = Time::from_nanos(low);
    let shares: Vec<f64> = pieces
        .iter()
        .map(|piece| {
            let times = sockets.app_times(piece.app).service_time;
            let spent = |sent: Time| before.since(sent).min(timeout);
            let longer = |span: Duration| if span >= timeout { 0.0 } else { times.survival(span) };
            piece.share * (longer(spent(piece.to)) - longer(spent(piece.from)))
        })
        .collect();
    let mut at = place * shares.iter().sum::<f64>();
    let (piece, share) = pieces.iter().zip(&shares).find(|(_, share)| {
        at -= **share;
        at < 0.0
    })?;
    // And how long it has taken: the service time, given that it is between those of the stretch's ends.
    let times = sockets.app_times(piece.app).service_time;
    let place = ((at + share) / share).clamp(0.0, 1.0);
    let (shortest, longest) = (before.since(piece.to), before.since(piece.from));
    let (most, least) = (times.survival(shortest), if longest >= timeout { 0.0 } else { times.survival(longest) });
    let survival = most - place * (most - least);
    let span = times.quantile(1.0 - survival).clamp(shortest, longest);
    let times_out = longest >= timeout && survival < times.survival(timeout);
    let span = if times_out { timeout } else { span };
    let sent = (ends - span).clamp(piece.from, piece.to - Duration::from_nanos(1));
    Some(Last { life: piece.life, sent, ends, times_out })
}
