//! What the data plane is told of pods: their sockets open and close, their processes end. And what it is asked about them.

use crate::api::{NodeId, PodId, ServiceId};
use crate::engine::Time;
use crate::simulation::network::Network;
use crate::simulation::network::routers::health_check::Answer;
use crate::simulation::network::sockets::Listener;
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::PodActivity;

impl Network<'_> {
    /// The network of a pod is there; nothing listens yet. `app` is an index into `Setup::apps`.
    pub fn pod_created(&mut self, pod: PodId, app: u32, services: &[ServiceId], node: NodeId) {
        self.sockets.know(pod);
        self.sockets.create(pod, app, services, node);
        self.check_changes(Time::ZERO, pod);
    }

    /// A pod gets a new sandbox. If it had one that has vanished, connections are refused from now on.
    pub fn sandbox_made(&mut self, now: Time, pod: PodId) {
        self.sockets.know(pod);
        if self.sockets.end(pod).state == Listener::Gone {
            self.advance_to_change(now, pod);
            self.sockets.renew(now, pod);
            self.check_changes(now, pod);
        }
    }

    /// The pod accepts connections from now on.
    pub fn listen(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.advance_to_change(now, pod);
        self.exchange.pod_changes(now, self.sockets.services_of(pod));
        self.sockets.listen(now, pod, cause);
        self.check_changes(now, pod);
        self.routers.pod_listens(now, pod, self.sockets.services_of(pod), &self.proxies);
        self.exchange.listen(now, pod);
    }

    /// What a health check of a pod meets has changed.
    pub(super) fn check_changes(&mut self, now: Time, pod: PodId) {
        let reachable = self.sockets.separation(NodeId::OUTSIDE, pod).is_none();
        let answer = match self.sockets.end(pod).state {
            Listener::Open if reachable && !self.sockets.hangs(pod) => Answer::Good,
            Listener::Closed | Listener::Unattended if reachable => Answer::Bad,
            _ => Answer::Silent,
        };
        self.routers.pod_answers(now, pod, answer);
    }

    /// The same for all pods of a node.
    pub(super) fn checks_change(&mut self, now: Time, node: NodeId) {
        for pod in (0..self.sockets.len()).map(PodId::from) {
            if self.sockets.node_of(pod) == Some(node) {
                self.check_changes(now, pod);
            }
        }
    }

    /// What the pod is doing, for the explanation of failures: a preStop hook, say. Opening and closing sockets sets it
    /// too.
    pub fn set_activity(&mut self, now: Time, pod: PodId, activity: PodActivity, _cause: CauseId) {
        self.sockets.know(pod);
        self.sockets.set_activity(now, pod, activity);
    }

    /// A new process takes the place of one that has ended; it does not listen yet.
    pub fn restarted(&mut self, now: Time, pod: PodId, app: u32, _cause: CauseId) {
        self.sockets.know(pod);
        self.sockets.set_app(pod, Some(app));
        self.sockets.begin_anew(now, pod);
    }

    /// From now on the pod accepts connections and requests, and answers none that comes. What it is working on it
    /// finishes.
    pub fn hang(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.advance_to_change(now, pod);
        self.sockets.set_app(pod, None);
        self.sockets.hang(now, pod, cause);
        self.check_changes(now, pod);
    }

    /// The pod closes its listener, and its idle connections if the app does; requests in flight go on.
    pub fn close_listener(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.sockets.know(pod);
        if self.sockets.end(pod).state.accepts() {
            self.advance_to_change(now, pod);
            self.exchange.pod_changes(now, self.sockets.services_of(pod));
            self.sockets.close_listener(now, pod, cause);
            self.check_changes(now, pod);
        }
    }

    /// The pod accepts no connection any more, but its listening socket stays open until the process ends: new connections are
    /// completed by the kernel, and nobody answers them. Requests in flight go on.
    pub fn stop_accepting(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.advance_to_change(now, pod);
        self.exchange.pod_changes(now, self.sockets.services_of(pod));
        self.sockets.stop_accepting(now, pod, cause);
    }

    /// The process says goodbye to its clients: responses carry `Connection: close`, HTTP/2 connections get their GOAWAY.
    /// Closing the listener does so, too, unless the app never does.
    pub fn says_goodbye(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.advance_to_change(now, pod);
        self.sockets.says_goodbye(now, pod, cause);
    }

    /// The process has ended. Requests in flight are reset, except those that end at this very instant; new connections are
    /// refused.
    pub fn cut(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.sockets.know(pod);
        // Without a listener nobody sees a difference but who is in flight.
        if self.sockets.end(pod).state.accepts() {
            self.advance_to_change(now, pod);
        } else {
            self.advance_exchange(now);
        }
        self.sockets.cut(now, pod, cause, &mut self.ledger);
        self.check_changes(now, pod);
        let (_, exchange, mut plane) = self.split();
        exchange.pod_changes(now, plane.sockets.services_of(pod));
        exchange.cut(now, pod, cause, &mut plane);
        plane.routers.pod_ends(now, pod, plane.proxies);
    }

    /// The container behind the proxy of the pod listens from now on, or does no longer: the proxy hands requests on, or
    /// answers them itself. Those that the container is working on go on.
    pub fn behind_front(&mut self, now: Time, pod: PodId, listens: bool, cause: CauseId) {
        self.advance_to_change(now, pod);
        self.exchange.pod_changes(now, self.sockets.services_of(pod));
        self.sockets.behind(now, pod, listens, cause);
        self.check_changes(now, pod);
        if listens {
            self.exchange.listen(now, pod);
        }
    }

    /// The container behind the proxy of the pod has ended: the proxy answers what that was working on, except what ends at
    /// this very instant, and all that comes.
    pub fn behind_front_ended(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.advance_to_change(now, pod);
        self.sockets.behind_ended(now, pod, cause, &mut self.ledger);
        self.check_changes(now, pod);
        let (_, exchange, mut plane) = self.split();
        exchange.pod_changes(now, plane.sockets.services_of(pod));
        exchange.behind_front_ended(now, pod, cause, &mut plane);
    }

    /// A new process behind the proxy of the pod takes the place of one that has ended; or (`None`) it goes on to listen and
    /// answers nothing that comes. `app` is an index into `Setup::apps`.
    pub fn behind_front_is(&mut self, now: Time, pod: PodId, app: Option<u32>) {
        self.advance_to_change(now, pod);
        self.sockets.set_behind(pod, app);
    }

    /// The container behind the proxy of the pod accepts requests from now on, and answers none that comes.
    pub fn behind_front_hangs(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.behind_front_is(now, pod, None);
        self.sockets.hang(now, pod, cause);
        self.check_changes(now, pod);
    }

    /// Whether any client is connected to the pod at `now`.
    pub fn is_connected(&mut self, now: Time, pod: PodId) -> bool {
        self.advance_to_change(now, pod);
        let Self { exchange, routers, proxies, sockets, ledger, .. } = self;
        let is_later = |until: Option<Time>| until.is_some_and(|until| until > now);
        if is_later(sockets.in_flight_until(now, pod, ledger)) || is_later(exchange.in_flight_until(now, pod)) {
            return true;
        }
        // Envoys close what is idle when they hear that the pod is to go; others keep it until they need it no more.
        exchange
            .connected_clients(now, pod, sockets)
            .any(|(leg, node, gateway)| !routers.has_left(now, leg, (node, gateway), pod, proxies))
    }

    /// The pod's network is gone: connections to it are neither accepted nor refused, and nobody is told about those that
    /// were open. This is final, unless the pod gets [a new sandbox](Self::sandbox_made).
    pub fn vanish(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.advance_to_change(now, pod);
        self.sockets.vanish(now, pod, cause, &mut self.ledger);
        self.check_changes(now, pod);
        let (_, exchange, mut plane) = self.split();
        exchange.pod_changes(now, plane.sockets.services_of(pod));
        exchange.vanish(now, pod, cause, &mut plane);
        plane.routers.pod_ends(now, pod, plane.proxies);
    }

    /// When the last request that this pod is working on at `now` will be done; `None` if there is none. Requests sent at
    /// `now` or later do not count: a pod that does not listen gets none.
    pub fn in_flight_until(&mut self, now: Time, pod: PodId) -> Option<Time> {
        self.sockets.know(pod);
        if self.sockets.end(pod).state.accepts() {
            self.advance_to_change(now, pod);
        } else {
            self.advance_exchange(now);
        }
        let mut until = self.sockets.in_flight_until(now, pod, &mut self.ledger);
        until = until.max(self.exchange.in_flight_until(now, pod)).max(self.exchange.answers_awaited_until(now, pod));
        let random = self.random;
        let (streams, _, mut plane) = self.split();
        for stream in streams {
            if plane.sockets.services_of(pod).contains(&stream.service()) {
                until = until.max(stream.in_flight_until(now, pod, random, &mut plane));
            }
        }
        until
    }

    /// When the last connection to this pod will have ended, if nothing more comes on any of them; [`Time::MAX`]: never; `None`
    /// if there is none.
    pub fn connections_until(&mut self, now: Time, pod: PodId) -> Option<Time> {
        self.advance_to_change(now, pod);
        let until = self.sockets.in_flight_until(now, pod, &mut self.ledger);
        until.max(self.exchange.connections_until(now, pod, &self.sockets))
    }

    /// If this pod is a gateway's and still waits for an answer from a pod behind it: a time until which it will not have all of
    /// them, as far as is known.
    pub fn answers_awaited_until(&mut self, now: Time, pod: PodId) -> Option<Time> {
        self.advance_exchange(now);
        self.exchange.answers_awaited_until(now, pod)
    }

    /// Until when streams that are on their way may reach a pod that has just sent a graceful GOAWAY over HTTP/2; `None` if
    /// there is no such connection to it.
    pub fn streams_until(&mut self, now: Time, pod: PodId) -> Option<Time> {
        self.advance_to_change(now, pod);
        self.exchange.streams_until(now, pod, &self.sockets)
    }
}
