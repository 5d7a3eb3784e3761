//! When and why a connection ends, as its two ends see it.
//!
//! The server's end closes when its keep-alive timeout is over, when the pod closes its listener (if the app does so), after an
//! answer that says so, and with the process. The client learns of that half a round trip later. A request that is on its way
//! meanwhile is answered with a reset: the race lasts a whole round trip.

use crate::api::{NodeId, PodId};
use crate::engine::Time;
use crate::simulation::network::exchange::Exchange;
use crate::simulation::network::exchange::connection::Connection;
use crate::simulation::network::sockets::{Closed, Closing, Sockets, WindingDown};
use crate::simulation::observe::CauseId;
use crate::simulation::setup::{Connections, GoAway, IdleConnections, Traffic};

impl<'a> Exchange<'a> {
    /// Whether news of a close have reached the client by `now`.
    pub(super) fn is_known_to_be_closed(&self, id: usize, now: Time, sockets: &Sockets<'_>) -> bool {
        let connection = &self.connections[id];
        let known = Time::from_nanos(now.as_nanos().saturating_sub(connection.delay.as_nanos()));
        let node = self.node_of(id);
        // Across a partition nobody learns of anything.
        let separated = connection.pod.is_some_and(|pod| sockets.separated(node, pod));
        !separated && self.closed(id, known, sockets).is_some_and(|closed| closed.told())
    }

    /// When and why the server's end was closed, if it was by `by`.
    pub(super) fn closed(&self, id: usize, by: Time, sockets: &Sockets<'_>) -> Option<Closed> {
        let connection = &self.connections[id];
        let (pod, established) = (connection.pod?, connection.established?);
        let app = sockets.kept_app(pod);
        let graceful = Closing::Gracefully { spares_busy: false };
        let idle = (connection.at_server == 0).then_some(connection.idle_since);
        let timed_out = idle.zip(app.keep_alive_timeout).map(|(since, timeout)| since + timeout);
        let timed_out = timed_out.map(|at| Closed { at, cause: CauseId::default(), by: graceful });
        let announced = sockets.goodbye(pod).and_then(|(goodbye, cause)| {
            let last_answer = idle.filter(|at| connection.answered && *at >= goodbye && !connection.is_http2);
            last_answer.map(|at| Closed { at, cause, by: graceful })
        });
        // a paused connector closes what it was working on then behind the answer, and what was idle when it is used
        let paused = sockets.winding_down(pod).filter(|w| self.closes_on_use(id, w)).and_then(|w| {
            let last_answer = idle.filter(|at| connection.answered && *at > w.since);
            last_answer.map(|at| Closed { at, cause: w.cause, by: graceful })
        });
        let by_pod = sockets.closings(pod, established, by).find_map(|closed| match (closed.by, idle) {
            // its work goes on, and it may be used again after that
            (Closing::Gracefully { spares_busy: true }, None) => None,
            (Closing::Gracefully { spares_busy }, Some(since)) if since > closed.at => {
                (!spares_busy).then_some(Closed { at: since, ..closed })
            }
            (Closing::Gracefully { .. }, _) if self.goes_away_gracefully(id, sockets) => None,
            _ => Some(closed),
        });
        let all = [timed_out, announced, paused, by_pod, self.goes_away(id, sockets)];
        all.into_iter().flatten().filter(|closed| closed.at <= by).min_by_key(|closed| closed.at)
    }

    /// The GOAWAY that a client has been sent on a connection.
    fn goes_away(&self, id: usize, sockets: &Sockets<'_>) -> Option<Closed> {
        let connection = &self.connections[id];
        let (pod, established) = (connection.pod?, connection.established?);
        if !connection.is_http2 || sockets.kept_app(pod).shutdown.go_away == GoAway::Never {
            return None;
        }
        let winding_down = sockets.winding_down(pod).map(|w| (w.since, w.cause));
        let (at, cause) = sockets.goodbye(pod).or(winding_down).filter(|(at, _)| *at >= established)?;
        Some(Closed { at, cause, by: Closing::Gracefully { spares_busy: false } })
    }

    /// Whether the server goes on to take requests that were on their way when it said GOAWAY.
    fn goes_away_gracefully(&self, id: usize, sockets: &Sockets<'_>) -> bool {
        let connection = &self.connections[id];
        connection.is_http2
            && connection.pod.is_some_and(|pod| sockets.kept_app(pod).shutdown.go_away == GoAway::Graceful)
    }

    /// When and why the server's end does not take a request that reaches it now.
    pub(super) fn closed_to(&self, id: usize, now: Time, sockets: &Sockets<'_>) -> Option<Closed> {
        let connection = &self.connections[id];
        let (pod, established) = (connection.pod?, connection.established?);
        if self.goes_away_gracefully(id, sockets) {
            let hard = |closed: &Closed| !matches!(closed.by, Closing::Gracefully { .. });
            return sockets.closings(pod, established, now).find(hard);
        }
        let on_use = sockets.winding_down(pod).filter(|w| self.closes_on_use(id, w));
        let by = Closing::Gracefully { spares_busy: false };
        self.closed(id, now, sockets).or(on_use.map(|w| Closed { at: now, cause: w.cause, by }))
    }

    /// Whether the connection is one that a process which winds down closes when it is used.
    fn closes_on_use(&self, id: usize, winding_down: &WindingDown) -> bool {
        let connection = &self.connections[id];
        winding_down.shutdown.idle_connections == IdleConnections::CloseOnUse
            && connection.established.is_some_and(|established| established <= winding_down.since)
            && !connection.is_http2
    }

    /// When the last connection to a pod will have ended if nothing more comes on any; [`Time::MAX`]: never.
    pub fn connections_until(&self, now: Time, pod: PodId, sockets: &Sockets<'_>) -> Option<Time> {
        let ends = self.open_connections(now, pod, sockets).map(|(_, until)| until);
        ends.max().max(self.in_flight_until(now, pod))
    }

    /// Who has connections to a pod that are open at `now`: the leg, the node, and the gateway's pod if it is one.
    pub fn connected_clients<'s>(
        &'s self,
        now: Time,
        pod: PodId,
        sockets: &'s Sockets<'_>,
    ) -> impl Iterator<Item = (&'a Traffic, NodeId, Option<PodId>)> + 's {
        self.open_connections(now, pod, sockets).map(|(connection, _)| {
            let client = &self.clients[connection.client];
            (client.traffic, client.node, client.gateway)
        })
    }

    /// The connections to a pod that are open at `now`, and until when if nothing more comes on them.
    fn open_connections<'s>(
        &'s self,
        now: Time,
        pod: PodId,
        sockets: &'s Sockets<'_>,
    ) -> impl Iterator<Item = (&'s Connection, Time)> + 's {
        let theirs = self.connections.iter().filter(move |(_, c)| c.pod == Some(pod) && c.established.is_some());
        let open = theirs.filter(move |(id, _)| self.closed(*id, now, sockets).is_none());
        let ends = open.map(move |(_, connection)| {
            let client = match self.clients[connection.client].traffic.connections {
                Connections::KeepAlive { idle_timeout, .. } => idle_timeout,
                Connections::New | Connections::Http2 { .. } | Connections::Udp => None,
            };
            let patience = [client, sockets.kept_app(pod).keep_alive_timeout].into_iter().flatten().min();
            (connection, patience.map_or(Time::MAX, |patience| connection.idle_since + patience))
        });
        ends.filter(move |(_, until)| *until > now)
    }

    /// Until when streams that are on their way may reach a pod that has just sent a graceful GOAWAY.
    pub fn streams_until(&self, now: Time, pod: PodId, sockets: &Sockets<'_>) -> Option<Time> {
        let theirs = self.connections.iter().filter(|(_, c)| c.pod == Some(pod) && c.established.is_some());
        let open = theirs.filter(|(id, _)| self.goes_away_gracefully(*id, sockets));
        open.map(|(_, connection)| now + connection.delay + connection.delay).max()
    }
}
