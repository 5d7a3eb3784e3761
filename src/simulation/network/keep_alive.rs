//! Clients that keep connections: what is pinned to a pod, whatever the rules have come to say, until an end is closed.
//!
//! The server's end closes when its keep-alive timeout is over, when the pod closes its listener, and with the process.
//! The client learns of that half a round trip later; a request that it sends meanwhile is answered with a reset. (A request
//! counts as arrived when it is sent; the other half of the race, requests that are on their way when the server closes, is
//! not modelled.)
//!
//! No request is tried again by itself, as if all were POSTs: Go's client, for one, would silently repeat a GET on another
//! connection (`net/http` transport.go, shouldRetryRequest).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::api::{NodeId, PodId};
use crate::engine::{Distribution, Duration, Key, Random, Time};
use crate::simulation::latency::Hop;
use crate::simulation::network::clients::{Source, Stretch};
use crate::simulation::network::ledger::Ledger;
use crate::simulation::network::sockets::{Closed, InFlight, Sockets, lost_in_flight, reset_in_flight};
use crate::simulation::observe::CauseId;
use crate::simulation::setup::Setup;

/// The connections of one client.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    idle_max: usize,
    idle_timeout: Option<Duration>,
    /// Idle connections, the most recently used last.
    idle: Vec<Idle>,
    /// Those with a request on them, the first to end on top.
    busy: BinaryHeap<Reverse<Busy>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Idle {
    pod: PodId,
    since: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Busy {
    pod: PodId,
    in_flight: InFlight,
}

impl Ord for Busy {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |busy: &Self| (busy.in_flight.ends, busy.in_flight.request.number);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Busy {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Pool {
    pub fn new(idle_max: u32, idle_timeout: Option<Duration>) -> Self {
        Self { idle_max: idle_max as usize, idle_timeout, idle: Vec::new(), busy: BinaryHeap::new() }
    }

    /// Sends what is due in a stretch of time.
    pub fn send(
        &mut self,
        source: &mut Source,
        stretch: &Stretch<'_>,
        round_trip: impl Fn(PodId) -> Duration,
        sockets: &mut Sockets<'_>,
        ledger: &mut Ledger,
    ) {
        while source.next < stretch.until {
            let draw = source.draw();
            self.complete(draw.sent, sockets, ledger);
            stretch.sent_one(ledger);
            let (pod, app) = match self.take_idle(draw.sent, &round_trip, stretch.client, sockets) {
                Found::Open(pod) => (pod, sockets.kept_app(pod)),
                Found::None => match stretch.connect(draw.choice, sockets) {
                    Some(pod) => (pod, sockets.app(pod)),
                    None => {
                        ledger.fail(stretch.to, stretch.no_connection(&draw, sockets));
                        continue;
                    }
                },
                Found::JustClosed(pod, cause) => {
                    ledger.fail(stretch.to, stretch.reset_idle(&draw, pod, cause));
                    continue;
                }
                Found::Vanished(pod, cause) => {
                    ledger.fail(stretch.to, stretch.no_answer(&draw, pod, cause));
                    continue;
                }
            };
            self.busy.push(Reverse(Busy { pod, in_flight: stretch.work_as(&draw, app) }));
        }
    }
}

/// What the pool has for a request.
enum Found {
    /// Nothing: a new connection is needed.
    None,
    /// A connection that works.
    Open(PodId),
    /// One that the server has closed, which the client does not know yet.
    JustClosed(PodId, CauseId),
    /// One to nowhere.
    Vanished(PodId, CauseId),
}

impl Pool {
    /// The most recently used idle connection, with those that the client knows to be closed thrown away.
    fn take_idle(
        &mut self,
        now: Time,
        round_trip: &impl Fn(PodId) -> Duration,
        client: NodeId,
        sockets: &Sockets<'_>,
    ) -> Found {
        while let Some(idle) = self.idle.pop() {
            if self.has_expired(idle, now) {
                // So have all below it.
                self.idle.clear();
                break;
            }
            // across a partition nobody learns of anything
            if let Some(cause) = sockets.separation(client, idle.pod) {
                return Found::Vanished(idle.pod, cause);
            }
            match closed(idle, now, sockets) {
                None => return Found::Open(idle.pod),
                Some(closed) if !closed.told => return Found::Vanished(idle.pod, closed.cause),
                Some(closed) if now.since(closed.at) < Duration::from_nanos(round_trip(idle.pod).as_nanos() / 2) => {
                    return Found::JustClosed(idle.pod, closed.cause);
                }
                Some(_) => {}
            }
        }
        Found::None
    }

    /// Takes the answers that come by `now`. A connection is kept if the pod still listens and there is room.
    pub fn complete(&mut self, now: Time, sockets: &Sockets<'_>, ledger: &mut Ledger) {
        while let Some(Reverse(Busy { pod, in_flight })) = self.busy.peek().copied()
            && in_flight.ends <= now
        {
            self.busy.pop();
            ledger.end(&in_flight, pod);
            if in_flight.times_out || !sockets.keeps(pod, in_flight.ends) {
                continue;
            }
            if self.idle.len() >= self.idle_max {
                self.throw_away(in_flight.ends, sockets);
            }
            if self.idle.len() < self.idle_max {
                self.idle.push(Idle { pod, since: in_flight.ends });
            }
        }
    }

    /// Makes room: connections that have been closed at either end do not count.
    fn throw_away(&mut self, now: Time, sockets: &Sockets<'_>) {
        let mut idle = std::mem::take(&mut self.idle);
        idle.retain(|idle| !self.has_expired(*idle, now) && closed(*idle, now, sockets).is_none_or(|c| !c.told));
        self.idle = idle;
    }

    fn has_expired(&self, idle: Idle, now: Time) -> bool {
        self.idle_timeout.is_some_and(|timeout| idle.since + timeout <= now)
    }

    /// The process of a pod has ended: what it was working on is cut.
    pub fn cut(&mut self, now: Time, pod: PodId, cause: CauseId, ledger: &mut Ledger) {
        self.lose(now, |busy| busy.pod == pod, |lost| ledger.fail(now, reset_in_flight(lost.request, pod, now, cause)));
    }

    /// The network of a pod has vanished: what it was working on is lost.
    pub fn vanish(&mut self, now: Time, pod: PodId, cause: CauseId, ledger: &mut Ledger) {
        self.lose(
            now,
            |busy| busy.pod == pod,
            |lost| {
                ledger.fail(now, lost_in_flight(lost, pod, now, cause, ledger.timeout(lost.request.traffic)));
            },
        );
    }

    /// The network between clients and pods is cut: requests for which `is_lost` says so will not be answered in time. The
    /// pods do not know, and work on.
    pub fn separate(
        &mut self,
        now: Time,
        is_lost: impl Fn(PodId, &InFlight, &Sockets<'_>) -> bool,
        cause: CauseId,
        sockets: &mut Sockets<'_>,
        ledger: &mut Ledger,
    ) {
        let mut lost = Vec::new();
        let crosses = |busy: &Busy| is_lost(busy.pod, &busy.in_flight, sockets);
        self.lose_with_pods(now, crosses, |pod, in_flight| lost.push((pod, *in_flight)));
        for (pod, in_flight) in lost {
            let timeout = ledger.timeout(in_flight.request.traffic);
            ledger.fail(now, lost_in_flight(&in_flight, pod, now, cause, timeout));
            sockets.work_on(now, pod, InFlight { orphan: true, ..in_flight }, ledger);
        }
    }

    fn lose(&mut self, now: Time, is_lost: impl Fn(&Busy) -> bool, mut lost: impl FnMut(&InFlight)) {
        self.lose_with_pods(now, is_lost, |_, in_flight| lost(in_flight));
    }

    fn lose_with_pods(&mut self, now: Time, is_lost: impl Fn(&Busy) -> bool, mut lost: impl FnMut(PodId, &InFlight)) {
        // In order, whatever the order in the heap is; it is rarely needed and short.
        let mut busy = std::mem::take(&mut self.busy).into_sorted_vec();
        busy.retain(|Reverse(busy)| {
            let is_lost = is_lost(busy) && busy.in_flight.ends > now;
            if is_lost {
                lost(busy.pod, &busy.in_flight);
            }
            !is_lost
        });
        self.busy = busy.into();
    }

    /// The end of the last request that a pod is working on at `now`.
    pub fn in_flight_until(&self, now: Time, pod: PodId) -> Option<Time> {
        let ends = self.busy.iter().filter(|Reverse(busy)| busy.pod == pod).map(|Reverse(busy)| busy.in_flight.ends);
        ends.filter(|ends| *ends > now).max()
    }

    /// When the connections to a pod will have ended, if nothing more comes on them; [`Time::MAX`]: never.
    pub fn connections_until(&self, now: Time, pod: PodId, keep_alive: Option<Duration>) -> Option<Time> {
        let patience = [keep_alive, self.idle_timeout].into_iter().flatten().min();
        let busy = self.busy.iter().filter(|Reverse(b)| b.pod == pod).map(|Reverse(b)| b.in_flight.ends);
        let idle = self.idle.iter().filter(|idle| idle.pod == pod);
        let idle = idle.map(|idle| patience.map_or(Time::MAX, |patience| idle.since + patience));
        busy.chain(idle).filter(|until| *until > now).max()
    }

    /// The client has died. The pods do not know, and work on.
    pub fn client_off(&mut self, now: Time, sockets: &mut Sockets<'_>, ledger: &mut Ledger) {
        for Reverse(Busy { pod, in_flight }) in self.busy.drain() {
            ledger.unfinished(in_flight.request.traffic);
            sockets.work_on(now, pod, InFlight { orphan: true, ..in_flight }, ledger);
        }
    }

    /// The run is over.
    pub fn finish(&mut self, ledger: &mut Ledger) {
        for Reverse(busy) in self.busy.drain() {
            ledger.unfinished(busy.in_flight.request.traffic);
        }
    }
}

/// When and why the server's end of an idle connection was closed, if it was by `now`.
fn closed(idle: Idle, now: Time, sockets: &Sockets<'_>) -> Option<Closed> {
    let timed_out = sockets.kept_app(idle.pod).keep_alive_timeout.map(|timeout| idle.since + timeout);
    let timed_out = timed_out.filter(|at| *at <= now).map(|at| Closed { at, cause: CauseId::default(), told: true });
    let by_pod = sockets.closed_since(idle.pod, idle.since, now).or_else(|| sockets.closes_on_use(idle.pod, now));
    [timed_out, by_pod].into_iter().flatten().min_by_key(|closed| closed.at)
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
