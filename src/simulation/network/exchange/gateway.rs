//! What a pod does that sends requests on: it is a server to those in front of it, and a client of the pods behind it.
//!
//! ```text
//! client                    gateway's pod                        pod
//!   |-- request --------------->|                                 |
//!   |                           |-- request, perhaps on a kept -->| worked on
//!   |                           |   connection, perhaps twice     |
//!   |<- answer, or 502 … -------|<- answer -----------------------|
//! ```
//!
//! If the gateway's process ends meanwhile, the client's connection is reset, and nobody waits for the pod behind any more.
//! If the client goes, so does the request behind. Each process begins with no connections, and goes by what
//! [it](crate::simulation::network::seat::Seat) knows of the endpoints itself.
//!
//! Simplified: a request takes no time of the proxy's own, and there is no limit to how many it carries at a time.

use crate::api::{NodeId, PodId};
use crate::engine::{Duration, Key, Time};
use crate::simulation::network::clients::{Draw, Plane};
use crate::simulation::network::exchange::Exchange;
use crate::simulation::network::exchange::attempt::{Fault, Open};
use crate::simulation::network::exchange::client::Client;
use crate::simulation::network::ledger::{Request, Through};
use crate::simulation::outcome::FailureKind;

/// A process that waits for the pods behind it looks again so often whether it is done, where it cannot know.
const LOOKS_AGAIN: Duration = Duration::from_millis(20);

impl<'a> Exchange<'a> {
    /// Whether the pod that a try has come to sends it on.
    pub(super) fn is_sent_on(&self, attempt: usize) -> bool {
        self.clients[self.client_of(attempt)].traffic.onward.is_some()
    }

    /// A request has come to a gateway's pod, which sends it on.
    pub(super) fn send_onward(&mut self, now: Time, attempt: usize, pod: PodId, plane: &mut Plane<'_, 'a>) {
        let work = self.take_in(attempt, pod, Duration::ZERO);
        // Somebody has to notice when it takes too long.
        self.ensure_deadline(self.attempts[attempt].request);
        let Some(number) = self.process_in(pod, self.client_of(attempt), plane) else { return };
        let choice = Key::new("behindTheGateway").number(self.choice(attempt)).bits();
        let asked = self.request_of(attempt);
        let draw = Draw { choice, ..asked.draw };
        let node = self.clients[number].node;
        let request = Request { client: node, sent: now, ..asked.request };
        let onward = self.requests.insert(Open::new(request, number, draw, Some(work)));
        self.works[work].onward = Some(onward);
        self.begin(now, onward, plane);
    }

    /// The client that the process in a gateway's pod is, for the stream of a client in front of it.
    fn process_in(&mut self, pod: PodId, asking: usize, plane: &Plane<'_, 'a>) -> Option<usize> {
        let Client { stream, traffic, .. } = self.clients[asking];
        if let Some(number) = self.gateways.get(&(stream, pod)) {
            return Some(*number);
        }
        let onward = traffic.onward.as_deref()?;
        let node = plane.sockets.node_of(pod).unwrap_or(NodeId::OUTSIDE);
        let luck = self.node_lucks.get(node.index()).copied().unwrap_or_default();
        let begun = self.server(pod).listening_since.as_nanos();
        let key = Key::new("gateway").text(&traffic.name).number(u64::from(pod.0)).number(begun);
        let mut client = Client::new(stream, onward, (node, luck), (key, self.random), None);
        client.gateway = Some(pod);
        self.gateways.insert((stream, pod), self.clients.len());
        self.clients.push(client);
        Some(self.clients.len() - 1)
    }

    /// The process in a pod has ended: its connections to pods behind it are closed.
    pub(super) fn gateway_ends(&mut self, pod: PodId) {
        let numbers: Vec<usize> = self.gateways.iter().filter(|((_, p), _)| *p == pod).map(|(_, n)| *n).collect();
        self.gateways.retain(|(_, p), _| *p != pod);
        for number in numbers {
            let client = &mut self.clients[number];
            let channels = std::mem::take(&mut client.channels).into_iter().filter_map(|channel| channel.connection);
            for id in std::mem::take(&mut client.idle).into_iter().chain(channels) {
                self.remove_connection(id);
            }
        }
    }

    /// A pod behind a gateway has answered, perhaps after another one had failed (`last`): the answer goes on to the client.
    pub(super) fn answered_behind(&mut self, now: Time, work: usize, last: Option<Fault>, plane: &mut Plane<'_, 'a>) {
        let Some(attempt) = self.leave_gateway(now, work) else { return };
        let request = self.attempts[attempt].request;
        self.requests[request].last = self.requests[request].last.or(last);
        self.answer_on(now, attempt, plane);
    }

    /// No pod behind a gateway has answered: the client is told so.
    pub(super) fn failed_behind(&mut self, now: Time, work: usize, fault: Fault, plane: &mut Plane<'_, 'a>) {
        let gateway = self.works[work].pod;
        let Some(attempt) = self.leave_gateway(now, work) else { return };
        let onward = self.clients[self.client_of(attempt)].traffic.last_leg();
        let kind = match Through::of(onward).shows(fault.kind, fault.pod.is_some()) {
            FailureKind::RequestTimeout => FailureKind::Http504,
            kind => kind,
        };
        let fault = Fault { kind, gateway: Some(gateway), unprocessed: false, ..fault };
        let connection = self.attempts[attempt].connection;
        let node = connection.map_or(self.clients[self.client_of(attempt)].node, |id| self.node_of(id));
        match plane.sockets.separation(node, gateway) {
            Some(cause) => {
                let silent = Fault::new(FailureKind::RequestTimeout, Some(gateway), now);
                self.silence(attempt, Fault { cause, ..silent });
            }
            None => self.tell_of(now, attempt, fault),
        }
    }

    /// A gateway has done with a request. Returns who waits for the answer.
    fn leave_gateway(&mut self, now: Time, work: usize) -> Option<usize> {
        let work = self.leave(work);
        let attempt = work.attempt?;
        self.attempts[attempt].work = None;
        self.leaves_server(now, work.connection);
        Some(attempt)
    }

    /// What is wrong with a request that a gateway has sent on, if it has, and that has taken too long.
    pub(super) fn slow_behind(&self, work: usize, now: Time) -> Option<Fault> {
        let work = &self.works[work];
        let fault = self.slow_request(work.onward?, now);
        let gateway = Some(fault.gateway.unwrap_or(work.pod));
        Some(Fault { kind: FailureKind::RequestTimeout, gateway, ..fault })
    }

    /// A time until which the process in a gateway's pod will still wait for an answer; `None` if it waits for none.
    pub fn answers_awaited_until(&self, now: Time, pod: PodId) -> Option<Time> {
        let works = &self.servers.get(pod.index())?.works;
        let onward = works.iter().filter_map(|id| self.works[*id].onward);
        let until = onward.map(|request| {
            let ends = self.requests[request].tries().iter().filter_map(|attempt| {
                let attempt = &self.attempts[*attempt];
                let ends = self.works[attempt.work?].ends?;
                Some(ends + attempt.connection.map_or(Duration::ZERO, |id| self.connections[id].delay))
            });
            // The answer is let go at that instant, the process ends after it.
            ends.min().map_or(now + LOOKS_AGAIN, |at| at.max(now) + Duration::from_nanos(1))
        });
        until.max()
    }
}
