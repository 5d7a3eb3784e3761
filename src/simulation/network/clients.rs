//! The clients: when they send, where the rules of their node send them, and what becomes of it.
//!
//! Between two changes of sockets the pods are constant, and a client's rules change only when the kube-proxy of its node
//! brings them up to date. So requests are produced one by one in a tight loop over such stretches, outside the event
//! list. Time flows in half-open steps: one up to `to` sends what is due before `to`, and knows the end of all that ends by
//! `to`.
//!
//! Every request takes four words of its client's [`Stream`], whatever becomes of it: the gap before it, the choice of an
//! endpoint, the service time, and one that is kept for later. So the n-th request of a client is as unlucky under one
//! policy as under another, and other clients have no influence on it.
//!
//! Setting a connection up takes no time, nor does the way of a request or answer: a request arrives when it is sent. A
//! choice, once made, is kept by connection tracking for as long as the connection lasts.

use std::collections::BTreeMap;

use crate::api::{NodeId, PodId, ServiceId};
use crate::engine::{Distribution, Duration, Key, Random, Stream, Time};
use crate::simulation::latency::Hop;
use crate::simulation::network::bulk::{self, Record};
use crate::simulation::network::kube_proxy::KubeProxies;
use crate::simulation::network::ledger::{Failed, Ledger, Request, Seen};
use crate::simulation::network::routers::Routers;
use crate::simulation::network::rules::Route;
use crate::simulation::network::sockets::{InFlight, Listener, Sockets};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::FailureKind;
use crate::simulation::setup::{Arrivals, Setup, Traffic};

/// What the clients send into.
#[derive(Debug)]
pub(super) struct Plane<'p, 'a> {
    pub proxies: &'p mut KubeProxies<'a>,
    pub routers: &'p mut Routers<'a>,
    pub sockets: &'p mut Sockets<'a>,
    pub ledger: &'p mut Ledger,
    pub round_trips: RoundTrips<'a>,
}

/// The clients of one traffic stream.
#[derive(Clone, Debug)]
pub(super) struct TrafficStream<'a> {
    index: u32,
    traffic: &'a Traffic,
    random: Random,
    /// All that was sent before this time is known.
    up_to: Time,
    clients: Vec<Client>,
    /// How often the clients of a node have been started.
    starts: BTreeMap<NodeId, u64>,
    /// Of a plain stream: what is needed to count its requests.
    record: Option<Record>,
    /// They are counted, not sent one by one.
    in_bulk: bool,
}

#[derive(Clone, Debug)]
struct Client {
    node: NodeId,
    source: Source,
    rules: Cursor,
}

/// Where a client is in the history of its node's rules.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// The first sync that is not in force yet.
    next_sync: usize,
    /// The version of the Service's endpoints that is.
    version: Option<u32>,
}

impl<'a> TrafficStream<'a> {
    pub fn new(index: u32, setup: &'a Setup, random: Random) -> Self {
        let traffic = &setup.traffic[index as usize];
        Self {
            index,
            traffic,
            random,
            up_to: Time::ZERO,
            clients: Vec::new(),
            starts: BTreeMap::new(),
            record: setup.not_in_bulk(traffic).is_none().then(Record::default),
            in_bulk: setup.in_bulk(traffic),
        }
    }

    pub fn service(&self) -> ServiceId {
        self.traffic.service
    }

    /// Starts the clients that sit on this node. Each has an equal share of the rate, whether the others are there or not.
    pub fn add_node(&mut self, now: Time, node: NodeId, name: &str) {
        let seats = self.traffic.from.iter().filter(|from| *from == name).count();
        let rate = self.traffic.rate / self.traffic.from.len() as f64;
        if !(rate > 0.0 && rate.is_finite()) {
            return;
        }
        let starts = self.starts.entry(node).or_default();
        if let Some(record) = self.record.as_mut().filter(|_| seats > 0) {
            record.start(now, (node, name), *starts, self.traffic, rate * seats as f64);
        }
        for seat in (0..seats as u64).filter(|_| !self.in_bulk) {
            let mut key = Key::new("client").text(&self.traffic.name).text(name).number(seat);
            if *starts > 0 {
                key = key.number(*starts);
            }
            self.clients.push(Client {
                node,
                source: Source::new(self.traffic.arrivals, rate, self.traffic.start.max(now), self.random.stream(key)),
                rules: Cursor::default(),
            });
        }
        *starts += 1;
    }

    /// The clients on this node stop.
    pub fn client_off(&mut self, now: Time, node: NodeId, plane: &mut Plane<'_, 'a>) {
        if let Some(record) = &mut self.record {
            record.client_off(now, node);
        }
        if self.clients.iter().any(|c| c.node == node) {
            self.advance(now, plane);
            self.clients.retain(|c| c.node != node);
        }
    }

    /// Sends everything that is due before `to`.
    pub fn advance(&mut self, to: Time, plane: &mut Plane<'_, 'a>) {
        if to <= self.up_to {
            return;
        }
        self.up_to = to;
        let stop = self.traffic.stop.map_or(to, |stop| stop.min(to));
        for client in &mut self.clients {
            if client.source.next < stop {
                plane.proxies.fold(client.node, stop);
                client.send(self.index, self.traffic, (stop, to), plane);
            }
        }
    }

    /// When the last request of this stream that a pod is working on at `now` will be done, if they are counted in bulk.
    /// Up to then the stream must have been simulated otherwise.
    pub fn in_flight_until(
        &mut self,
        now: Time,
        pod: PodId,
        random: Random,
        plane: &mut Plane<'_, 'a>,
    ) -> Option<Time> {
        let record = self.record.as_mut()?;
        if !self.in_bulk {
            let kills = plane.sockets.kills(pod).len();
            record.note(now, pod, kills, plane.sockets.in_flight(now, pod, self.index));
            return None;
        }
        let nodes: Vec<NodeId> = record.nodes().collect();
        for node in nodes {
            plane.proxies.fold(node, now);
        }
        record.ask(now, pod, self.traffic, &bulk::Plane { proxies: plane.proxies, sockets: plane.sockets, random })
    }

    /// The stream as one whose requests can be counted, if they can, and whether they are counted in bulk.
    pub fn to_count<'p>(&'p self, plane: bulk::Plane<'p, 'a>) -> Option<(bulk::Stream<'p, 'a>, bool)> {
        let record = self.record.as_ref()?;
        Some((bulk::Stream { index: self.index, traffic: self.traffic, record, plane }, self.in_bulk))
    }
}

impl Client {
    /// Sends what is due before `stop`, by the rules of each time; the pods do not change before `to`.
    fn send(&mut self, index: u32, traffic: &Traffic, (stop, to): (Time, Time), plane: &mut Plane<'_, '_>) {
        while self.source.next < stop {
            let syncs = plane.proxies.syncs(self.node);
            let mut entries = None;
            while let Some(sync) = syncs.get(self.rules.next_sync).filter(|s| s.applied <= self.source.next) {
                entries = Some(sync.entries);
                self.rules.next_sync += 1;
            }
            let until = syncs.get(self.rules.next_sync).map_or(stop, |s| s.applied.min(stop));
            if let Some(entries) = entries {
                self.rules.version = plane.proxies.version(traffic.service, entries);
            }
            let (route, route_cause) = plane.proxies.route(traffic.service, self.rules.version, self.node);
            let stretch =
                Stretch { traffic: index, timeout: traffic.timeout, client: self.node, route, route_cause, until, to };
            stretch.send(&mut self.source, plane.sockets, plane.ledger);
        }
    }
}

/// A stretch of time in which nothing changes for a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'p> {
    traffic: u32,
    pub timeout: Duration,
    pub client: NodeId,
    pub route: Route<'p>,
    route_cause: CauseId,
    /// The rules hold for requests before this time.
    pub until: Time,
    /// The state of the pods holds before this time.
    pub to: Time,
}

impl Stretch<'_> {
    /// Sends what is due, each request on a new connection.
    fn send(&self, source: &mut Source, sockets: &mut Sockets<'_>, ledger: &mut Ledger) {
        let (mut sent, mut ok) = (0, 0);
        while source.next < self.until {
            let draw = source.draw();
            sent += 1;
            let Some(pod) = self.connect(draw.choice, sockets) else {
                ledger.fail(self.to, self.no_connection(&draw, sockets));
                continue;
            };
            // Nearly all requests end well before anything changes: then it does not matter when.
            let enough = sockets.app(pod).service_time_at_most(draw.service);
            if enough <= self.timeout && enough <= self.to.since(draw.sent) {
                ok += 1;
                continue;
            }
            let in_flight = self.work(&draw, pod, sockets);
            if in_flight.ends <= self.to {
                ledger.end(&in_flight, pod);
            } else {
                sockets.work_on(self.to, pod, in_flight, ledger);
            }
        }
        ledger.sent(self.traffic, sent, ok);
    }

    /// The pod that accepts a new connection.
    #[inline]
    pub fn connect(&self, choice: u64, sockets: &Sockets<'_>) -> Option<PodId> {
        let Route::Pods(pods) = self.route else { return None };
        let pod = pick(pods, choice);
        (sockets.end(pod).state == Listener::Open && !sockets.separated(self.client, pod)).then_some(pod)
    }

    /// What becomes of a request for which no pod accepts a connection.
    #[cold]
    pub fn no_connection(&self, draw: &Draw, sockets: &Sockets<'_>) -> Failed {
        let (kind, pod, cause) = match self.route {
            Route::Reject => (FailureKind::NoEndpoints, None, self.route_cause),
            Route::Drop => (FailureKind::ConnectTimeout, None, self.route_cause),
            Route::Pods(pods) => {
                let pod = pick(pods, draw.choice);
                if let Some(cause) = sockets.separation(self.client, pod) {
                    let kind = FailureKind::ConnectTimeout;
                    let (request, seen) = (self.request(draw), Seen::At(draw.sent));
                    let (failed_at, pod) = (draw.sent + self.timeout, Some(pod));
                    return Failed { request, failed_at, kind, pod, gateway: None, cause, seen };
                }
                let state = sockets.end(pod).state;
                match state {
                    Listener::Gone => (FailureKind::ConnectTimeout, Some(pod), sockets.cause(pod)),
                    Listener::Closed => (FailureKind::Refused, Some(pod), sockets.cause(pod)),
                    Listener::Open | Listener::Unattended => {
                        let answer = sockets.answer_of_front(pod);
                        let (kind, cause) = answer.expect("a pod that listens refuses nothing by itself");
                        (kind, Some(pod), cause)
                    }
                }
            }
        };
        let patience = if kind == FailureKind::ConnectTimeout { self.timeout } else { Duration::ZERO };
        let request = self.request(draw);
        let (failed_at, seen) = (draw.sent + patience, Seen::At(draw.sent));
        Failed { request, failed_at, kind, pod, gateway: None, cause, seen }
    }

    /// What a pod that has accepted a request makes of it, if it can.
    pub fn work(&self, draw: &Draw, pod: PodId, sockets: &Sockets<'_>) -> InFlight {
        let service_time = sockets.app(pod).service_time(draw.service);
        InFlight {
            request: self.request(draw),
            ends: draw.sent + service_time.min(self.timeout),
            times_out: service_time > self.timeout,
            orphan: false,
        }
    }

    pub fn request(&self, draw: &Draw) -> Request {
        Request { traffic: self.traffic, client: self.client, number: draw.number, sent: draw.sent }
    }
}

/// How long a packet takes from a client to a pod and back: one draw per client's node and pod, for the whole run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrips<'a> {
    random: Random,
    distribution: &'a Distribution,
}

impl<'a> RoundTrips<'a> {
    const KEY: Key = Key::new("networkRtt");

    pub fn new(setup: &'a Setup, random: Random) -> Self {
        Self { random, distribution: setup.latencies.get(Hop::NetworkRtt) }
    }

    /// Between a node of this luck and a pod.
    pub fn between(&self, client: u64, pod: PodId) -> Duration {
        self.distribution.sample(self.random.unit(Self::KEY.number(client), u64::from(pod.0)))
    }
}

/// One of the pods, each as likely: the iptables rules try one after the other with probability 1/(n − i), which comes to
/// the same (`pkg/proxy/iptables/proxier.go` writeServiceToEndpointRules, v1.36).
#[inline]
pub(super) fn pick(pods: &[PodId], choice: u64) -> PodId {
    let at = (u128::from(choice) * pods.len() as u128) >> 64;
    pods[at as usize]
}

/// When a client sends, and the luck of each request.
#[derive(Clone, Debug)]
pub(super) struct Source {
    words: Stream,
    spacing: Spacing,
    /// The number of the next request, and when it is sent.
    number: u64,
    pub next: Time,
}

#[derive(Clone, Copy, Debug)]
enum Spacing {
    Poisson { mean_nanos: f64 },
    Constant { start: Time, interval_nanos: f64, phase: f64 },
}

/// A request and its luck.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    pub number: u64,
    pub sent: Time,
    /// 64 uniform bits: which endpoint.
    pub choice: u64,
    /// In (0, 1): how long it is worked on.
    pub service: f64,
}

impl Source {
    /// Requests after `start`, `rate` of them per second.
    pub fn new(arrivals: Arrivals, rate: f64, start: Time, mut words: Stream) -> Self {
        let interval_nanos = 1e9 / rate;
        let spacing = match arrivals {
            Arrivals::Poisson => Spacing::Poisson { mean_nanos: interval_nanos },
            Arrivals::Constant => Spacing::Constant { start, interval_nanos, phase: words.clone().next_unit() },
        };
        let next = spacing.next(start, 0, &mut words);
        Self { words, spacing, number: 0, next }
    }

    /// The next request.
    #[inline]
    pub fn draw(&mut self) -> Draw {
        let draw = Draw {
            number: self.number,
            sent: self.next,
            choice: self.words.next_u64(),
            service: self.words.next_unit(),
        };
        let _spare = self.words.next_u64();
        self.number += 1;
        self.next = self.spacing.next(self.next, self.number, &mut self.words);
        draw
    }
}

impl Spacing {
    /// When request `number` is sent, the one before it having been sent at `last`. Takes one word.
    #[inline]
    fn next(self, last: Time, number: u64, words: &mut Stream) -> Time {
        match self {
            Self::Poisson { mean_nanos } => last + Duration::from_nanos_f64(words.exponential(mean_nanos)),
            Self::Constant { start, interval_nanos, phase } => {
                let _unused = words.next_u64();
                start + Duration::from_nanos_f64((number as f64 + phase) * interval_nanos)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrivals: Arrivals, rate: f64, seconds: u64) -> Vec<Time> {
        let mut source = Source::new(arrivals, rate, Time::from_secs(1), Random::new(3).stream(Key::new("client")));
        std::iter::from_fn(|| Some(source.draw().sent)).take_while(|t| *t < Time::from_secs(1 + seconds)).collect()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        let times = times(Arrivals::Constant, 300.0, 10);
        assert_eq!(times.len(), 3000);
        assert!(times[0] >= Time::from_secs(1));
        for pair in times.windows(2) {
            let gap = pair[1].since(pair[0]).as_nanos();
            assert!((3_333_332..=3_333_334).contains(&gap), "{gap}");
        }
    }

    #[test]
    fn poisson_arrivals_scatter_as_much_as_they_should() {
        let times = times(Arrivals::Poisson, 100.0, 1000);
        let mut counts = vec![0.0f64; 1000];
        for time in &times {
            counts[time.since(Time::from_secs(1)).as_secs() as usize] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 1000.0;
        let variance = counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / 999.0;
        // Both are 100; their standard errors at 1000 samples are 0.32 and 4.5.
        assert!((mean - 100.0).abs() < 1.5 && (variance - 100.0).abs() < 20.0, "mean {mean}, variance {variance}");
    }
}
