//! Connections: how they are made, chosen, kept and let go.

use crate::api::{NodeId, PodId};
use crate::engine::{Duration, Key, Time, Timer};
use crate::simulation::network::clients::Plane;
use crate::simulation::network::exchange::attempt::Fault;
use crate::simulation::network::exchange::tracking::Sender;
use crate::simulation::network::exchange::{Exchange, Happening, upstream};
use crate::simulation::network::ledger::Seen;
use crate::simulation::network::routers::{Goes, Way};
use crate::simulation::network::sockets::{Listener, Sockets};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::FailureKind;
use crate::simulation::setup::{Connections, Via};

/// A connection of a client, made or in the making.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub client: usize,
    /// The other end; `None`: the rules drop what it sends.
    pub pod: Option<PodId>,
    /// The machine of a load balancer that has made it.
    pub machine: Option<u32>,
    /// The node through which it passes, if that is not the client's.
    pub transit: Option<NodeId>,
    /// Half a round trip.
    pub delay: Duration,
    /// When the first SYN was sent.
    pub begun: Time,
    /// When the pod accepted it.
    pub established: Option<Time>,
    /// The client knows that it is made.
    open: bool,
    /// SYNs that went unanswered.
    unanswered: usize,
    /// Tries that wait for it.
    pub waiting: Vec<usize>,
    /// Requests on it, as the client sees it, and how many it has carried.
    pub streams: u32,
    pub used: u32,
    /// Requests on it, as the server sees it; if there is none, since when.
    pub at_server: u32,
    pub idle_since: Time,
    /// A node on its way has gone: this is why nothing gets through.
    pub lost: Option<CauseId>,
    /// The server has answered on it.
    pub answered: bool,
    pub is_http2: bool,
    /// The next step in making it.
    timer: Option<Timer>,
    /// The client's patience in making it.
    patience: Option<Timer>,
    /// Its number, if requests share it.
    channel: Option<usize>,
    /// Why it is not made.
    cause: CauseId,
    from: Sender,
}

/// What a proxy has connections to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// By way of this node, where the proxy is that has chosen the pod, if that is not the client's.
    Pod(PodId, Option<NodeId>),
    Node(NodeId),
}

/// When SYNs are sent again if nothing answers, in seconds after the first one; at the last of these times the kernel gives
/// up.
///
/// Source: Linux `Documentation/networking/ip-sysctl.rst` tcp_syn_retries 6, tcp_syn_linear_timeouts 4 (6.5 and newer): four
/// retries one second apart, then twice the pause each time.
const SYN_SECONDS: [u64; 11] = [1, 2, 3, 4, 5, 7, 11, 19, 35, 67, 131];

/// gRPC gives an attempt to connect so long. Source: grpc/grpc `doc/connection-backoff.md` MIN_CONNECT_TIMEOUT.
const GRPC_CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

impl<'a> Exchange<'a> {
    /// Finds a connection for a try, or makes one.
    pub(super) fn dispatch(&mut self, now: Time, attempt: usize, plane: &mut Plane<'_, 'a>) {
        let client = self.client_of(attempt);
        let traffic = self.clients[client].traffic;
        let choice = self.choice(attempt);
        match traffic.connections {
            Connections::Http2 { connections, age_max, grpc } => {
                let number = self.request_of(attempt).draw.number;
                let channel = (number % u64::from(connections.max(1))) as usize;
                self.share(now, attempt, (channel, age_max, grpc), choice, plane);
            }
            Connections::New | Connections::Udp => self.connect(now, attempt, None, choice, plane),
            Connections::KeepAlive { .. } => {
                // A proxy chooses the pod first, and then a connection to it; a client has one address.
                if upstream(traffic).is_none()
                    && let Some(connection) = self.take_idle(now, client, None, plane.sockets)
                {
                    return self.send_on(now, connection, attempt);
                }
                self.connect(now, attempt, None, choice, plane);
            }
        }
    }

    /// Sends on the shared connection of this number, once it is made.
    fn share(
        &mut self,
        now: Time,
        attempt: usize,
        (number, age_max, grpc): (usize, Option<Duration>, bool),
        choice: u64,
        plane: &mut Plane<'_, 'a>,
    ) {
        let client = self.client_of(attempt);
        let channel = self.clients[client].channels[number];
        if let Some(id) = channel.connection {
            let connection = &mut self.connections[id];
            if !connection.open {
                connection.waiting.push(attempt);
                self.attempts[attempt].connection = Some(id);
                return;
            }
            let old = age_max.is_some_and(|age| connection.begun + age <= now);
            if !old && !self.is_known_to_be_closed(id, now, plane.sockets) {
                return self.send_on(now, id, attempt);
            }
            self.clients[client].channels[number].connection = None;
            self.forget_if_unused(id);
        }
        if grpc && now < channel.again_at {
            let fault = self.request_of(attempt).last.unwrap_or_else(|| Fault::new(FailureKind::Refused, None, now));
            let fault = Fault { kind: FailureKind::Refused, seen: Seen::At(now), ..fault };
            return self.failed(now, attempt, fault, plane);
        }
        self.connect(now, attempt, Some(number), choice, plane);
    }

    /// Makes a new connection, or takes an idle one to the pod that a proxy has chosen. With datagrams there is nothing to
    /// make: what stands for a connection then lasts for one request.
    fn connect(&mut self, now: Time, attempt: usize, channel: Option<usize>, choice: u64, plane: &mut Plane<'_, 'a>) {
        let client = self.client_of(attempt);
        let traffic = self.clients[client].traffic;
        let open = self.request_of(attempt);
        let (number, tried) = (open.draw.number, open.upstream_tried);
        let from = self.clients[client].tracking.origin(number);
        let datagram = traffic.connections == Connections::Udp;
        let Way { goes, machine, transit } = match self.clients[client].tracking.echo(now, from) {
            Some(pod) if !datagram => Way::to(pod),
            _ => self.route(now, client, from, (choice, tried), plane),
        };
        let (pod, cause) = match goes {
            Goes::To(pod) => (Some(pod), CauseId::default()),
            Goes::Drop(cause) => (None, cause),
            Goes::Reject(cause) => {
                let fault = Fault { cause, ..Fault::new(FailureKind::NoEndpoints, None, now) };
                return self.failed(now, attempt, fault, plane);
            }
        };
        if datagram && pod.is_none() {
            return self.silence(attempt, Fault { cause, ..Fault::new(FailureKind::RequestTimeout, None, now) });
        }
        // A load balancer has connections to nodes; which pods are behind them was decided when they were made.
        let end = match (traffic.via, transit) {
            (Via::KubeProxy, Some(node)) => Some(End::Node(node)),
            _ => pod.map(|pod| End::Pod(pod, transit)),
        };
        if upstream(traffic).is_some()
            && let Some(end) = end
            && let Some(connection) = self.take_idle(now, client, Some(end), plane.sockets)
        {
            return self.send_on(now, connection, attempt);
        }
        let delay = pod.map_or(Duration::ZERO, |pod| self.clients[client].delay(pod, plane.round_trips));
        let id = self.connections.insert(Connection {
            client,
            pod,
            machine,
            transit,
            delay,
            begun: now,
            established: datagram.then_some(now),
            open: datagram,
            unanswered: 0,
            waiting: if datagram { Vec::new() } else { vec![attempt] },
            streams: 0,
            used: 0,
            at_server: 0,
            idle_since: now,
            lost: None,
            answered: false,
            is_http2: matches!(self.clients[client].traffic.connections, Connections::Http2 { .. }),
            timer: None,
            patience: None,
            channel,
            cause,
            from,
        });
        if datagram {
            return self.send_on(now, id, attempt);
        }
        self.connections[id].timer = Some(self.queue.schedule(now + delay, Happening::Syn(id)));
        (self.attempts[attempt].connection, self.attempts[attempt].pod) = (Some(id), pod);
        if let Some(number) = channel {
            self.clients[client].channels[number].connection = Some(id);
        }
    }

    /// The most recently used idle connection (to this end), with those that the client knows to be closed thrown away.
    fn take_idle(&mut self, now: Time, client: usize, end: Option<End>, sockets: &Sockets<'_>) -> Option<usize> {
        let mut at = self.clients[client].idle.len();
        while at > 0 {
            at -= 1;
            let id = self.clients[client].idle[at];
            let connection = &self.connections[id];
            let fits = match end {
                None => true,
                Some(End::Pod(pod, transit)) => connection.pod == Some(pod) && connection.transit == transit,
                Some(End::Node(node)) => connection.transit == Some(node),
            };
            if !fits {
                continue;
            }
            self.clients[client].idle.remove(at);
            if !self.has_expired(id, now) && !self.is_known_to_be_closed(id, now, sockets) {
                return Some(id);
            }
            self.connections.remove(id);
        }
        None
    }

    /// Puts a request on a connection.
    pub(super) fn send_on(&mut self, now: Time, id: usize, attempt: usize) {
        let connection = &mut self.connections[id];
        connection.streams += 1;
        connection.used += 1;
        let at = &mut self.attempts[attempt];
        (at.connection, at.pod, at.reused) = (Some(id), connection.pod, connection.used > 1);
        at.timer = Some(self.queue.schedule(now + connection.delay, Happening::Arrive(attempt)));
    }

    /// A SYN reaches the pod, or the place where that was.
    pub(super) fn syn(&mut self, now: Time, id: usize, plane: &mut Plane<'_, 'a>) {
        let node = self.node_of(id);
        let connection = &mut self.connections[id];
        connection.timer = None;
        let silence = connection.pod.map_or(Some(connection.cause), |pod| plane.sockets.separation(node, pod));
        let silence = connection.lost.or(silence);
        let state = connection.pod.map(|pod| plane.sockets.end(pod).state);
        if silence.is_none() && state.is_some_and(|state| state != Listener::Gone) {
            self.clients[connection.client].tracking.answered(connection.from);
        }
        match (silence, connection.pod) {
            (None, Some(pod)) => match plane.sockets.end(pod).state {
                Listener::Open | Listener::Unattended => {
                    (connection.established, connection.idle_since) = (Some(now), now);
                    let told = self.queue.schedule(now + connection.delay, Happening::Connected(id));
                    connection.timer = Some(told);
                }
                Listener::Closed => {
                    connection.cause = plane.sockets.cause(pod);
                    let told = self.queue.schedule(now + connection.delay, Happening::Refused(id));
                    connection.timer = Some(told);
                }
                Listener::Gone => self.unanswered(now, id, plane.sockets.cause(pod)),
            },
            (silence, _) => self.unanswered(now, id, silence.unwrap_or_default()),
        }
    }

    /// Nothing answers a SYN: the kernel will send it again, to the same pod, for connection tracking keeps the choice.
    fn unanswered(&mut self, now: Time, id: usize, cause: CauseId) {
        let traffic = self.clients[self.connections[id].client].traffic;
        let patient = self.patient(id);
        let connection = &mut self.connections[id];
        connection.cause = cause;
        if let Some(pod) = connection.pod {
            self.clients[connection.client].tracking.unanswered(now, connection.from, pod);
        }
        let kernel = Duration::from_secs(SYN_SECONDS[SYN_SECONDS.len() - 1]);
        let own = match (patient, traffic.connections) {
            (Some(patience), _) => Some(patience),
            (None, Connections::Http2 { grpc: true, .. }) => {
                Some(traffic.connect_timeout.unwrap_or(GRPC_CONNECT_TIMEOUT))
            }
            (None, _) => traffic.connect_timeout,
        };
        let gives_up = connection.begun + own.unwrap_or(kernel).min(kernel);
        if connection.patience.is_none() {
            let at = gives_up.max(now);
            connection.patience = Some(self.queue.schedule(at, Happening::ConnectTimeout(id)));
        }
        let next = SYN_SECONDS.get(connection.unanswered).map(|s| connection.begun + Duration::from_secs(*s));
        connection.unanswered += 1;
        if let Some(next) = next.filter(|next| *next < gives_up) {
            let arrives = (next + connection.delay).max(now);
            connection.timer = Some(self.queue.schedule(arrives, Happening::Syn(id)));
        }
        let (pod, seen, waiting) = (connection.pod, Seen::At(connection.begun), connection.waiting.clone());
        for attempt in waiting {
            let fault = Fault { cause, seen, ..Fault::new(FailureKind::ConnectTimeout, pod, now) };
            self.attempts[attempt].fault.get_or_insert(fault);
            self.ensure_deadline(self.attempts[attempt].request);
        }
    }

    /// How long the proxy waits that makes this connection; `None`: no proxy does.
    fn patient(&self, id: usize) -> Option<Duration> {
        let connection = &self.connections[id];
        let traffic = self.clients[connection.client].traffic;
        match &traffic.balancer {
            // The SYN goes to a node that does not answer, and so not from the proxy on it.
            Some(balancer) if connection.pod.is_none() => {
                balancer.profile.is_proxy().then_some(balancer.connect_timeout)
            }
            _ => upstream(traffic).map(|upstream| upstream.connect_timeout),
        }
    }

    /// A node through which it passes has gone: nothing gets through any more.
    pub(super) fn lose(&mut self, now: Time, id: usize, cause: CauseId) {
        let connection = &mut self.connections[id];
        connection.lost = Some(cause);
        if !connection.open {
            if let Some(timer) = connection.timer.take() {
                self.queue.cancel(timer);
            }
            return self.unanswered(now, id, cause);
        }
        let theirs = self.attempts.iter().filter(|(_, attempt)| attempt.connection == Some(id));
        for attempt in theirs.map(|(attempt, _)| attempt).collect::<Vec<_>>() {
            let at = &mut self.attempts[attempt];
            let (timer, work, pod) = (at.timer.take(), at.work.take(), at.pod);
            if let Some(timer) = timer {
                self.queue.cancel(timer);
            }
            if let Some(work) = work {
                self.disown(work);
            }
            self.silence(attempt, Fault { cause, ..Fault::new(FailureKind::RequestTimeout, pod, now) });
        }
    }

    /// The client learns that its connection is made.
    pub(super) fn connected(&mut self, now: Time, id: usize) {
        let connection = &mut self.connections[id];
        (connection.timer, connection.open) = (None, true);
        if let Some(patience) = connection.patience.take() {
            self.queue.cancel(patience);
        }
        if let Some(number) = connection.channel {
            self.clients[connection.client].channels[number].failures = 0;
        }
        for attempt in std::mem::take(&mut connection.waiting) {
            self.attempts[attempt].fault = None;
            self.send_on(now, id, attempt);
        }
    }

    /// The client learns that its connection is refused.
    pub(super) fn refused(&mut self, now: Time, id: usize, plane: &mut Plane<'_, 'a>) {
        let connection = &self.connections[id];
        let seen = Seen::At(Time::from_nanos(now.as_nanos() - connection.delay.as_nanos()));
        let fault = Fault::new(FailureKind::Refused, connection.pod, now);
        self.not_made(now, id, Fault { cause: connection.cause, seen, ..fault }, plane);
    }

    /// The client gives up making a connection.
    pub(super) fn connect_timeout(&mut self, now: Time, id: usize, plane: &mut Plane<'_, 'a>) {
        let connection = &mut self.connections[id];
        connection.patience = None;
        let (seen, cause) = (Seen::At(connection.begun), connection.cause);
        let fault = Fault { cause, seen, ..Fault::new(FailureKind::ConnectTimeout, connection.pod, now) };
        self.not_made(now, id, fault, plane);
    }

    fn not_made(&mut self, now: Time, id: usize, fault: Fault, plane: &mut Plane<'_, 'a>) {
        let waiting = std::mem::take(&mut self.connections[id].waiting);
        let (client, channel) = (self.connections[id].client, self.connections[id].channel);
        if let Some(number) = channel {
            self.back_off(now, client, number);
        }
        self.remove_connection(id);
        for attempt in waiting {
            self.attempts[attempt].connection = None;
            self.failed(now, attempt, fault, plane);
        }
    }

    /// gRPC waits before it connects again: 1 s, and 1.6 times as long each time, up to 120 s, 20 % more or less.
    fn back_off(&mut self, now: Time, client: usize, number: usize) {
        let unit = {
            let client = &self.clients[client];
            let key = Key::new("grpcBackoff").number(client.key.bits()).number(number as u64);
            self.random.unit(key, u64::from(client.channels[number].failures))
        };
        let channel = &mut self.clients[client].channels[number];
        let mut pause = 1e9;
        for _ in 0..channel.failures {
            pause = f64::min(pause * 1.6, 120e9);
        }
        channel.connection = None;
        channel.failures += 1;
        channel.again_at = now + Duration::from_nanos_f64(pause * (0.8 + 0.4 * unit));
    }

    /// A request has been answered on it: it is kept, if it may be.
    pub(super) fn release(&mut self, now: Time, id: usize, plane: &mut Plane<'_, 'a>) {
        let connection = &mut self.connections[id];
        connection.streams -= 1;
        let client = connection.client;
        match self.clients[client].traffic.connections {
            Connections::New => self.remove_connection(id),
            Connections::Udp => {
                let from = connection.from;
                self.clients[client].tracking.replied(now, from);
                self.remove_connection(id);
            }
            Connections::Http2 { .. } => self.forget_if_unused(id),
            Connections::KeepAlive { idle_max, requests_max, age_max, .. } => {
                let worn_out = requests_max.is_some_and(|max| connection.used >= max)
                    || age_max.is_some_and(|age| connection.begun + age <= now);
                if worn_out || self.is_known_to_be_closed(id, now, plane.sockets) {
                    return self.remove_connection(id);
                }
                if self.clients[client].idle.len() >= idle_max as usize {
                    self.throw_away(now, client, plane.sockets);
                }
                if self.clients[client].idle.len() < idle_max as usize {
                    self.clients[client].idle.push(id);
                } else {
                    self.remove_connection(id);
                }
            }
        }
    }

    /// Makes room among idle connections: those that have been closed at either end do not count.
    fn throw_away(&mut self, now: Time, client: usize, sockets: &Sockets<'_>) {
        let idle = std::mem::take(&mut self.clients[client].idle);
        let (dead, alive): (Vec<usize>, Vec<usize>) = idle
            .into_iter()
            .partition(|id| self.has_expired(*id, now) || self.is_known_to_be_closed(*id, now, sockets));
        self.clients[client].idle = alive;
        for id in dead {
            self.connections.remove(id);
        }
    }

    /// A try lets go of its connection without an answer: closed, unless other requests share it.
    pub(super) fn let_go(&mut self, attempt: usize) {
        let Some(id) = self.attempts[attempt].connection.take() else { return };
        let connection = &mut self.connections[id];
        if let Some(at) = connection.waiting.iter().position(|a| *a == attempt) {
            connection.waiting.remove(at);
        } else {
            connection.streams -= 1;
        }
        match connection.channel {
            None => self.remove_connection(id),
            Some(_) => self.forget_if_unused(id),
        }
    }

    /// A shared connection that its channel has given up goes with its last request.
    fn forget_if_unused(&mut self, id: usize) {
        let connection = &self.connections[id];
        let Some(number) = connection.channel else { return };
        let current = self.clients[connection.client].channels[number].connection == Some(id);
        if !current && connection.streams == 0 && connection.waiting.is_empty() {
            self.remove_connection(id);
        }
    }

    /// It is no more. Nothing may be waiting for it.
    pub(super) fn remove_connection(&mut self, id: usize) {
        let connection = self.connections.remove(id);
        for timer in [connection.timer, connection.patience].into_iter().flatten() {
            self.queue.cancel(timer);
        }
    }

    /// The client's own limit on idle connections.
    fn has_expired(&self, id: usize, now: Time) -> bool {
        let connection = &self.connections[id];
        match self.clients[connection.client].traffic.connections {
            Connections::KeepAlive { idle_timeout: Some(timeout), .. } => {
                connection.idle_since + connection.delay + timeout <= now
            }
            _ => false,
        }
    }

    /// The node that sends to the pod: the client's, or the one through which the connection passes.
    pub(super) fn node_of(&self, id: usize) -> NodeId {
        let connection = &self.connections[id];
        connection.transit.unwrap_or(self.clients[connection.client].node)
    }
}
