//! What a pod makes of the requests that reach it: it works on so many at a time, in order of arrival.
//!
//! A pod does not notice that a client has given up, and works to the end of what it has begun or let in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::api::PodId;
use crate::engine::{Duration, Time, Timer};
use crate::simulation::network::clients::Plane;
use crate::simulation::network::exchange::attempt::Fault;
use crate::simulation::network::exchange::{Exchange, Happening, Stuck};
use crate::simulation::network::sockets::{Closing, Listener};
use crate::simulation::outcome::FailureKind;
use crate::simulation::setup::{Connections, GoAway};

/// A pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    /// What it has let in, in no particular order.
    pub works: Vec<usize>,
    /// How many of these it is working on.
    running: u32,
    /// The others, in order of arrival.
    queue: VecDeque<usize>,
    pub listening_since: Time,
}

/// A request at its pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub pod: PodId,
    /// Who waits for the answer; `None`: nobody does any more.
    pub attempt: Option<usize>,
    pub connection: Option<usize>,
    service_time: Duration,
    /// When the pod will be done; `None`: it has not begun, or waits for another pod.
    pub ends: Option<Time>,
    /// The request that it has sent on for this one.
    pub onward: Option<usize>,
    pub timer: Option<Timer>,
    /// Its place in [`Server::works`].
    place: usize,
}

impl<'a> Exchange<'a> {
    /// A request reaches its pod.
    pub(super) fn arrive(&mut self, now: Time, attempt: usize, plane: &mut Plane<'_, 'a>) {
        let at = &mut self.attempts[attempt];
        at.timer = None;
        let (Some(id), Some(pod), request) = (at.connection, at.pod, at.request) else { return };
        let client = self.requests[request].client;
        if let Some(cause) = self.connections[id].lost {
            return self.silence(attempt, Fault { cause, ..Fault::new(FailureKind::RequestTimeout, Some(pod), now) });
        }
        if let Some(cause) = plane.sockets.separation(self.node_of(id), pod) {
            self.silence(attempt, Fault { cause, ..Fault::new(FailureKind::RequestTimeout, Some(pod), now) });
            // TCP will send it again
            if self.clients[client].traffic.connections != Connections::Udp {
                self.stuck.push(Stuck::Request(attempt));
            }
            return;
        }
        if self.clients[client].traffic.connections == Connections::Udp {
            return self.take_datagram(now, attempt, pod, plane);
        }
        let Some(closed) = self.closed_to(id, now, plane.sockets) else {
            if let Some((kind, cause)) = plane.sockets.answer_of_front(pod) {
                return self.tell_of(now, attempt, Fault { cause, ..Fault::new(kind, Some(pod), now) });
            }
            return self.let_in(now, attempt, pod, plane);
        };
        let cause = closed.cause;
        if !closed.told() {
            let fault = Fault { cause, ..Fault::new(FailureKind::RequestTimeout, Some(pod), now) };
            return self.silence(attempt, fault);
        }
        // A connection that was accepted, and closed before its first request, dies with it.
        let reused = self.attempts[attempt].reused;
        let kind = if reused { FailureKind::ResetIdle } else { FailureKind::ResetInFlight };
        let http2 = matches!(self.clients[client].traffic.connections, Connections::Http2 { .. });
        let says_goodbye = plane.sockets.kept_app(pod).shutdown.go_away != GoAway::Never;
        let unprocessed = http2 && says_goodbye && matches!(closed.by, Closing::Gracefully { .. });
        let fault = Fault { cause, unprocessed, ..Fault::new(kind, Some(pod), now) };
        self.tell_of(now, attempt, fault);
    }

    /// A datagram reaches its pod, or the place where that was: a closed port is told (ICMP), a pod that is gone is not.
    fn take_datagram(&mut self, now: Time, attempt: usize, pod: PodId, plane: &mut Plane<'_, 'a>) {
        let fault = Fault { cause: plane.sockets.cause(pod), ..Fault::new(FailureKind::Refused, Some(pod), now) };
        match plane.sockets.end(pod).state {
            Listener::Open => self.let_in(now, attempt, pod, plane),
            Listener::Closed | Listener::Unattended => self.tell_of(now, attempt, fault),
            Listener::Gone => self.silence(attempt, Fault { kind: FailureKind::RequestTimeout, ..fault }),
        }
    }

    /// The client will learn of this half a round trip from now.
    pub(super) fn tell_of(&mut self, now: Time, attempt: usize, fault: Fault) {
        let delay = self.attempts[attempt].connection.map_or(Duration::ZERO, |id| self.connections[id].delay);
        let timer = self.queue.schedule(now + delay, Happening::Fail(attempt));
        let at = &mut self.attempts[attempt];
        (at.fault, at.timer) = (Some(fault), Some(timer));
    }

    /// The client will hear nothing: at its deadline this is what was wrong.
    pub(super) fn silence(&mut self, attempt: usize, fault: Fault) {
        let at = &mut self.attempts[attempt];
        at.fault.get_or_insert(fault);
        let request = at.request;
        self.ensure_deadline(request);
    }

    fn let_in(&mut self, now: Time, attempt: usize, pod: PodId, plane: &mut Plane<'_, 'a>) {
        let connection = self.attempts[attempt].connection;
        let established = connection.and_then(|id| self.connections[id].established).unwrap_or(now);
        let kept = plane.sockets.winding_down(pod).map(|w| established <= w.since);
        if kept == Some(false) {
            return self.leave_unattended(attempt, pod);
        }
        let app = plane.sockets.app_for(pod, kept.is_some());
        if self.is_sent_on(attempt) && !plane.sockets.never_answers(app) {
            return self.send_onward(now, attempt, pod, plane);
        }
        let capacity = app.capacity;
        let unit = self.request_of(attempt).draw.service;
        let server = self.server(pod);
        let mut service_time = app.service_time(unit);
        if let Some(warm_up) = capacity.warm_up {
            let age = now.since(server.listening_since);
            if age < warm_up.span {
                let cold = 1.0 - age.as_secs_f64() / warm_up.span.as_secs_f64();
                let factor = 1.0 + (warm_up.factor - 1.0) * cold;
                service_time = Duration::from_nanos_f64(service_time.as_nanos() as f64 * factor);
            }
        }
        let busy = capacity.concurrency.is_some_and(|limit| server.running >= limit);
        if busy && capacity.queue.is_some_and(|limit| server.queue.len() >= limit as usize) {
            return self.tell_of(now, attempt, Fault::new(FailureKind::Http503, Some(pod), now));
        }
        let work = self.take_in(attempt, pod, service_time);
        let server = self.server(pod);
        if busy {
            server.queue.push_back(work);
            self.ensure_deadline(self.attempts[attempt].request);
        } else {
            self.start(now, work);
        }
    }

    /// The process winds down and has not accepted this connection, which the kernel has made: nobody will ever work on what
    /// comes on it.
    fn leave_unattended(&mut self, attempt: usize, pod: PodId) {
        self.take_in(attempt, pod, Duration::ZERO);
        self.ensure_deadline(self.attempts[attempt].request);
    }

    /// A request is at its pod.
    pub(super) fn take_in(&mut self, attempt: usize, pod: PodId, service_time: Duration) -> usize {
        let connection = self.attempts[attempt].connection;
        let place = self.server(pod).works.len();
        let work = Work {
            pod,
            attempt: Some(attempt),
            connection,
            service_time,
            ends: None,
            onward: None,
            timer: None,
            place,
        };
        let work = self.works.insert(work);
        self.attempts[attempt].work = Some(work);
        if let Some(connection) = connection {
            self.connections[connection].at_server += 1;
        }
        self.server(pod).works.push(work);
        work
    }

    /// A worker takes a request up.
    fn start(&mut self, now: Time, work: usize) {
        let timer_at = now + self.works[work].service_time;
        let timer = self.queue.schedule(timer_at, Happening::Done(work));
        let this = &mut self.works[work];
        (this.ends, this.timer) = (Some(timer_at), Some(timer));
        let (pod, attempt) = (this.pod, this.attempt);
        self.server(pod).running += 1;
        if let Some(attempt) = attempt {
            let request = self.attempts[attempt].request;
            let delay = self.attempts[attempt].connection.map_or(Duration::ZERO, |id| self.connections[id].delay);
            if timer_at + delay >= self.deadline_of(request) {
                self.ensure_deadline(request);
            }
        }
    }

    /// A pod has done its work.
    pub(super) fn done(&mut self, now: Time, id: usize, plane: &mut Plane<'_, 'a>) {
        self.works[id].timer = None;
        let Work { pod, attempt, connection, .. } = self.leave(id);
        let server = self.server(pod);
        server.running -= 1;
        if let Some(next) = server.queue.pop_front() {
            self.start(now, next);
        }
        let Some(attempt) = attempt else { return };
        self.attempts[attempt].work = None;
        self.leaves_server(now, connection);
        self.answer_on(now, attempt, plane);
    }

    /// An answer sets out.
    pub(super) fn answer_on(&mut self, now: Time, attempt: usize, plane: &mut Plane<'_, 'a>) {
        let Attempted { pod, node, delay } = self.way_of(attempt);
        if let Some(pod) = pod
            && let Some(cause) = plane.sockets.separation(node, pod)
        {
            self.silence(attempt, Fault { cause, ..Fault::new(FailureKind::RequestTimeout, Some(pod), now) });
            self.stuck.push(Stuck::Answer(attempt));
            return;
        }
        let timer = self.queue.schedule(now + delay, Happening::Answer(attempt));
        self.attempts[attempt].timer = Some(timer);
    }

    fn way_of(&self, attempt: usize) -> Attempted {
        let at = &self.attempts[attempt];
        let delay = at.connection.map_or(Duration::ZERO, |id| self.connections[id].delay);
        let client = self.clients[self.requests[at.request].client].node;
        Attempted { pod: at.pod, node: at.connection.map_or(client, |id| self.node_of(id)), delay }
    }

    /// Takes a request away from its pod, whether that has begun or not. The pod's workers are not told.
    pub(super) fn leave(&mut self, id: usize) -> Work {
        let work = self.works.remove(id);
        let works = &mut self.server(work.pod).works;
        works.swap_remove(work.place);
        if let Some(moved) = works.get(work.place).copied() {
            self.works[moved].place = work.place;
        }
        work
    }

    /// A pod has lost its process: it works on nothing and lets nobody wait. Returns what it was working on.
    pub(super) fn lose_all(&mut self, now: Time, pod: PodId, plane: &mut Plane<'_, 'a>) -> Vec<Work> {
        // What ends at this very instant has ended.
        for id in self.server(pod).works.clone() {
            if self.works.get(id).and_then(|work| work.ends).is_some_and(|ends| ends <= now) {
                if let Some(timer) = self.works[id].timer {
                    self.queue.cancel(timer);
                }
                self.done(now, id, plane);
            }
        }
        let server = self.server(pod);
        server.running = 0;
        server.queue.clear();
        let mut lost: Vec<Work> =
            std::mem::take(&mut server.works).into_iter().map(|id| self.works.remove(id)).collect();
        lost.sort_by_key(|work| work.attempt);
        for work in &lost {
            if let Some(timer) = work.timer {
                self.queue.cancel(timer);
            }
            if let Some(onward) = work.onward {
                self.close(onward);
            }
            if let Some(attempt) = work.attempt {
                self.attempts[attempt].work = None;
                self.leaves_server(now, work.connection);
            }
        }
        lost
    }

    /// Nobody waits for the answer any more.
    pub(super) fn disown(&mut self, work: usize) {
        self.works[work].attempt = None;
        let connection = self.works[work].connection.take();
        self.leaves_server(self.queue.now(), connection);
        if let Some(onward) = self.works[work].onward.take() {
            self.leave(work);
            self.close(onward);
        }
    }

    pub(super) fn leaves_server(&mut self, now: Time, connection: Option<usize>) {
        if let Some(connection) = connection {
            let connection = &mut self.connections[connection];
            connection.at_server -= 1;
            connection.idle_since = now;
            connection.answered = true;
        }
    }

    /// When the last request that a pod has let in will be done; `None` if there is none.
    pub fn in_flight_until(&self, now: Time, pod: PodId) -> Option<Time> {
        let server = self.servers.get(pod.index())?;
        let mut workers: BinaryHeap<Reverse<Time>> =
            server.works.iter().filter_map(|id| self.works[*id].ends).filter(|ends| *ends > now).map(Reverse).collect();
        let mut last = workers.iter().map(|Reverse(ends)| *ends).max();
        for id in &server.queue {
            let Reverse(free) = workers.pop().unwrap_or(Reverse(now));
            let ends = free + self.works[*id].service_time;
            last = last.max(Some(ends));
            workers.push(Reverse(ends));
        }
        last
    }

    pub(super) fn server(&mut self, pod: PodId) -> &mut Server {
        if self.servers.len() <= pod.index() {
            self.servers.resize(pod.index() + 1, Server::default());
        }
        &mut self.servers[pod.index()]
    }
}

/// Between whom a try goes on.
struct Attempted {
    pod: Option<PodId>,
    node: crate::api::NodeId,
    delay: Duration,
}
