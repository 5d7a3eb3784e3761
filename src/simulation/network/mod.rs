//! The data plane: kube-proxy's rules on every node, the pods' sockets, the clients, and the ledger of requests.
//!
//! Requests do not change the control plane, with one exception: an application that winds down exits when its last
//! request is done. So they are not events. [`Network`] is told of each change that matters to a request (endpoints were
//! written, a pod listens, closes, exits, vanishes), and simulates the requests of a traffic stream up to a change just
//! before one of its pods changes. It is a machine of its own: changes go in, in order of time, and at the end a
//! [`NetworkOutcome`] comes out.
//!
//! What is simulated when does not show: the outcome depends on the seed and on the changes only.
//!
//! - `rules`: what the EndpointSlices of each Service said, version by version.
//! - `kube_proxy`: which of these versions was in force on which node, when.
//! - `sockets`: what a connection to a pod meets.
//! - `ingress`: the same for the replicas of an ingress controller.
//! - `seat`: where a proxy in the cluster runs.
//! - `clients`: who sends what when; requests that are independent of each other, each on a new connection.
//! - `exchange`: all other requests: on kept or shared connections, tried again, by way of proxies, to busy pods.
//! - `ledger`: how every request ended.

mod bulk;
mod clients;
mod exchange;
mod ingress;
mod kube_proxy;
mod ledger;
mod routers;
mod rules;
mod seat;
mod sockets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::api::{Endpoints, Node, NodeId, PodId, ServiceId};
use crate::engine::{Random, Time};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::{Failure, FailureKind, PodActivity, Requests, Router};
use crate::simulation::setup::{Resolve, Setup, Via};

use clients::{Plane, RoundTrips, TrafficStream, pick};
pub use exchange::Phases;
use exchange::{Exchange, is_plain};
pub use kube_proxy::HealthAnswer;
use kube_proxy::{KubeProxies, Spell};
use ledger::{Failed, Ledger, Seen, Through};
use routers::Routers;
use routers::health_check::Answer;
use rules::Route;
use seat::Seat;
use sockets::{Listener, Sockets};

/// The data plane of one run. All times that it is told must not fall.
#[derive(Clone, Debug)]
pub struct Network<'a> {
    setup: &'a Setup,
    proxies: KubeProxies<'a>,
    routers: Routers<'a>,
    sockets: Sockets<'a>,
    random: Random,
    /// Those of independent requests.
    streams: Vec<TrafficStream<'a>>,
    /// All others.
    exchange: Exchange<'a>,
    ledger: Ledger,
    round_trips: RoundTrips<'a>,
}

/// What has become of the requests of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct NetworkOutcome {
    /// All of them.
    pub requests: Requests,
    /// By Service, in the order of the Setup.
    pub services: Vec<Requests>,
    /// By traffic stream, in the order of the Setup.
    pub traffic: Vec<Requests>,
    /// By traffic stream: how many of its requests were expected to fail in which way, given all that happened to pods and
    /// rules; `None` of a stream whose requests depend on each other.
    pub expected_failures: Vec<Option<BTreeMap<FailureKind, f64>>>,
    /// By traffic stream: how many of its requests failed behind its gateway, if it has one.
    pub failed_behind: Vec<Option<u64>>,
    /// Failed requests in order of the time when they were sent, then traffic stream, client's node and number; at most
    /// [`FAILURES_KEPT`](crate::simulation::outcome::FAILURES_KEPT) of them, the first ones.
    pub failures: Vec<Failure>,
    /// By [`PodId`].
    pub pods: Vec<PodTraffic>,
    /// How long answers took, by traffic stream; nothing where requests are independent of each other.
    pub latencies: Vec<Phases>,
}

/// What the data plane has to tell of a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PodTraffic {
    /// How many requests failed that had been sent to it.
    pub failed: u64,
    /// When the last node stopped sending new connections there, and which that was (the one of the lowest number, if
    /// several did at once); `None`: none ever sent any, or one does so to the end.
    pub last_route_clean: Option<(Time, NodeId)>,
    /// What on that node that was.
    pub last_router: Router,
}

impl<'a> Network<'a> {
    /// A data plane without nodes, pods and endpoints.
    #[must_use]
    pub fn new(setup: &'a Setup, random: Random) -> Self {
        let plain = (0u32..).zip(&setup.traffic).filter(|(_, traffic)| is_plain(setup, traffic));
        let plain = plain.map(|(index, _)| TrafficStream::new(index, setup, random));
        Self {
            setup,
            proxies: KubeProxies::new(setup, random),
            routers: Routers::new(setup, random),
            sockets: Sockets::new(setup),
            random,
            streams: plain.collect(),
            exchange: Exchange::new(setup, random),
            ledger: Ledger::new(&setup.traffic),
            round_trips: RoundTrips::new(setup, random),
        }
    }

    /// The node has this label `topology.kubernetes.io/zone`: to be told before it [is added](Self::add_node).
    pub fn node_in_zone(&mut self, node: NodeId, zone: &str) {
        self.proxies.node_in_zone(node, zone);
    }

    /// The Node object of a node says, or no longer says, that the node is about to go: by the taint
    /// ToBeDeletedByClusterAutoscaler or a deletionTimestamp.
    pub fn node_leaving(&mut self, now: Time, node: NodeId, leaving: bool) {
        self.proxies.node_leaving(now, node, leaving);
    }

    /// What `/healthz` of a node's kube-proxy answers at `now`.
    pub fn healthz(&mut self, now: Time, node: NodeId) -> HealthAnswer {
        self.proxies.healthz(now, node)
    }

    /// What the health-check node port of a Service answers on a node at `now`.
    pub fn health_check_node_port(&mut self, now: Time, service: ServiceId, node: NodeId) -> HealthAnswer {
        self.proxies.health_check_node_port(now, service, node)
    }

    /// The kube-proxy of this node starts at `now`, with everything that has been written in its rules, and so do the
    /// clients of all traffic streams that name the node.
    pub fn add_node(&mut self, now: Time, node: NodeId, name: &str) {
        self.proxies.add_node(now, node, name);
        self.routers.add_node(now, node, name, &self.proxies);
        for stream in &mut self.streams {
            stream.add_node(now, node, name);
        }
        self.exchange.add_node(now, node, name);
    }

    /// The node loses power: its kube-proxy and clients stop. Requests that its clients are waiting for stay unfinished,
    /// for there is nobody left who could find that they failed. The pods on it are told by [`vanish`](Self::vanish).
    pub fn node_off(&mut self, now: Time, node: NodeId) {
        let (streams, exchange, mut plane) = self.split();
        for stream in streams {
            stream.client_off(now, node, &mut plane);
        }
        exchange.advance(now, &mut plane);
        exchange.client_off(node, plane.ledger);
        exchange.transit_off(now, node, plane.routers.failure_of(node));
        self.sockets.client_off(now, node, &mut self.ledger);
        self.ledger.client_off(now, node);
        self.proxies.elapse(now);
        self.routers.node_off(now, node, &self.proxies);
        self.proxies.node_off(now, node);
    }

    /// The node has its power back: its kube-proxy starts with everything that has been written in its rules, and so do its
    /// clients.
    pub fn node_on(&mut self, now: Time, node: NodeId, name: &str) {
        self.proxies.node_on(now, node, name);
        self.routers.node_on(now, node);
        for stream in &mut self.streams {
            stream.add_node(now, node, name);
        }
        self.exchange.add_node(now, node, name);
    }

    /// The kube-proxy of a node hears nothing from the apiserver any more.
    pub fn proxy_cut_off(&mut self, now: Time, node: NodeId) {
        self.proxies.cut_off(now, node);
    }

    /// The kube-proxy of a node has made its watch anew.
    pub fn proxy_connected(&mut self, now: Time, node: NodeId) {
        self.proxies.connected(now, node);
    }

    /// A node is cut off from all others: packets between them go nowhere, which ends at `heals` if that is known. What is
    /// in flight across the cut is lost, unless the client still waits when it heals: TCP sends again.
    pub fn node_cut_off(&mut self, now: Time, node: NodeId, heals: Option<Time>, cause: CauseId) {
        self.advance_all(now);
        self.sockets.cut_off(now, node, heals, cause, &mut self.ledger);
        self.routers.node_failed(node, cause);
        self.routers.node_reachable(now, node, false);
        self.checks_change(now, node);
    }

    /// A node is no longer cut off from others.
    pub fn node_healed(&mut self, now: Time, node: NodeId) {
        self.advance_all(now);
        self.sockets.healed(now, node);
        self.routers.node_reachable(now, node, true);
        self.checks_change(now, node);
        let (_, exchange, mut plane) = self.split();
        exchange.healed(now, &mut plane);
    }

    fn advance_all(&mut self, now: Time) {
        let (streams, exchange, mut plane) = self.split();
        for stream in streams {
            stream.advance(now, &mut plane);
        }
        exchange.advance(now, &mut plane);
    }

    /// The EndpointSlices of a Service were committed at `now`: one more version that every kube-proxy will see. Pods that
    /// it lists must have been [created](Self::pod_created) here if the Service's `internalTrafficPolicy` is `Local`.
    pub fn endpoints_written(&mut self, now: Time, service: ServiceId, endpoints: &Endpoints, cause: CauseId) {
        for endpoint in &endpoints.list {
            self.sockets.know(endpoint.pod);
            self.sockets.serves(endpoint.pod, service);
        }
        let Self { proxies, sockets, routers, .. } = self;
        proxies.endpoints_written(now, service, endpoints, |pod| sockets.node_of(pod), cause);
        routers.endpoints_written(now, service, proxies);
    }

    /// A pod was written with a readiness gate that the controller of this traffic stream's load balancer sets.
    /// `containers_ready`: so are its containers and its node; `is_true`: so is the gate's condition.
    pub fn gated_pod(&mut self, now: Time, stream: usize, pod: PodId, containers_ready: bool, is_true: bool) {
        self.routers.gated_pod(now, stream, (pod, containers_ready, is_true), &self.proxies);
    }

    /// When the controller of this traffic stream's load balancer will have read about the health of targets, as far as is
    /// known: [`gates`](Self::gates) has something to say at that time at the earliest.
    #[must_use]
    pub fn next_health(&self, stream: usize) -> Option<Time> {
        self.routers.next_health(stream)
    }

    /// The pods whose gate the controller of this traffic stream's load balancer has found to be set to this since it was asked
    /// last: its target is healthy, or has just been registered and is not yet.
    pub fn gates(&mut self, now: Time, stream: usize) -> Vec<(PodId, bool)> {
        self.routers.gates(stream, now)
    }

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

    /// A watch has delivered a Node object; `None`: deleted. Controllers of load balancers, and kube-proxies, see it now.
    pub fn node_seen(&mut self, now: Time, node: NodeId, object: Option<&Node>) {
        self.advance_all(now);
        self.routers.node_seen(now, node, object);
    }

    /// This is why a node will fail its connections.
    pub fn node_failed(&mut self, node: NodeId, cause: CauseId) {
        self.routers.node_failed(node, cause);
    }

    /// What a health check of a pod meets has changed.
    fn check_changes(&mut self, now: Time, pod: PodId) {
        let reachable = self.sockets.separation(NodeId::OUTSIDE, pod).is_none();
        let answer = match self.sockets.end(pod).state {
            Listener::Open if reachable && !self.sockets.hangs(pod) => Answer::Good,
            Listener::Closed | Listener::Unattended if reachable => Answer::Bad,
            _ => Answer::Silent,
        };
        self.routers.pod_answers(now, pod, answer);
    }

    /// The same for all pods of a node.
    fn checks_change(&mut self, now: Time, node: NodeId) {
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

    /// Whether a connection from a node to a Service would be accepted at `now`. `choice` decides, uniformly, which of its
    /// endpoints is asked.
    pub fn accepts(&mut self, now: Time, node: NodeId, service: ServiceId, choice: u64) -> bool {
        self.proxies.fold(node, now);
        let Some(rules) = self.proxies.syncs(node).iter().rev().find(|s| s.applied <= now) else { return false };
        let version = self.proxies.version(service, rules.entries);
        let (Route::Pods(pods), _) = self.proxies.route(service, version, node) else { return false };
        self.sockets.end(pick(pods, choice)).state.accepts()
    }

    /// The same for a connection that comes to the node from outside the cluster, by a node port or the address of a load
    /// balancer: `externalTrafficPolicy` decides which endpoints may be asked.
    pub fn accepts_from_outside(&mut self, now: Time, node: NodeId, service: ServiceId, choice: u64) -> bool {
        self.proxies.fold(node, now);
        let Some(rules) = self.proxies.syncs(node).iter().rev().find(|s| s.applied <= now) else { return false };
        let version = self.proxies.version(service, rules.entries);
        let (Route::Pods(pods), _) = self.proxies.route_external(service, version, node) else { return false };
        self.sockets.end(pick(pods, choice)).state.accepts()
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

    /// Simulates the requests that are left, up to `end`, and closes the books.
    ///
    /// # Panics
    ///
    /// If the books do not balance: an error in this program.
    #[must_use]
    pub fn finish(mut self, end: Time) -> NetworkOutcome {
        let (streams, exchange, mut plane) = self.split();
        for stream in streams {
            stream.advance(end, &mut plane);
        }
        exchange.advance(end, &mut plane);
        exchange.finish(plane.ledger);
        self.proxies.elapse(end);
        self.proxies.finish(end);
        self.routers.finish(end, &self.proxies);
        self.sockets.finish(end, &mut self.ledger);
        let expected_failures = self.count(end);
        self.ledger.finish(end);

        let mut services = vec![Requests::default(); self.setup.services.len()];
        let mut requests = Requests::default();
        let traffic: Vec<_> = (0u32..).zip(&self.setup.traffic).map(|(i, _)| self.ledger.requests(i)).collect();
        let failed_behind = (0u32..).zip(&self.setup.traffic);
        let failed_behind = failed_behind.map(|(i, t)| t.onward.is_some().then(|| self.ledger.failed_behind(i)));
        let failed_behind = failed_behind.collect();
        for (stream, own) in self.setup.traffic.iter().zip(&traffic) {
            services[stream.last_leg().service.index()].add(own);
            requests.add(own);
        }
        let pods = (0..self.sockets.len()).map(|pod| self.pod_traffic(PodId::from(pod))).collect();
        let failed: Vec<_> = self.ledger.take_failures().collect();
        let failures = failed.iter().map(|failed| self.explain(failed)).collect();
        let latencies = self.exchange.take_phases();
        NetworkOutcome { requests, services, traffic, expected_failures, failed_behind, failures, pods, latencies }
    }

    /// Counts the requests of the streams that are counted in bulk, and works out what was to be expected of plain ones.
    fn count(&mut self, end: Time) -> Vec<Option<BTreeMap<FailureKind, f64>>> {
        let Self { setup, proxies, sockets, streams, ledger, random, .. } = self;
        let plane = bulk::Plane { proxies, sockets, random: *random };
        let mut expected = vec![None; setup.traffic.len()];
        for stream in streams {
            let Some((stream, in_bulk)) = stream.to_count(plane) else { continue };
            if in_bulk {
                bulk::settle(&stream, end, ledger);
            }
            expected[stream.index as usize] = Some(bulk::expected_failures(&stream, end));
        }
        expected
    }

    fn advance_exchange(&mut self, now: Time) {
        let (_, exchange, mut plane) = self.split();
        exchange.advance(now, &mut plane);
    }

    /// Brings the traffic that can reach this pod up to `now`, before the pod changes.
    fn advance_to_change(&mut self, now: Time, pod: PodId) {
        self.sockets.know(pod);
        let (streams, exchange, mut plane) = self.split();
        for stream in streams {
            if plane.sockets.services_of(pod).contains(&stream.service()) {
                stream.advance(now, &mut plane);
            }
        }
        exchange.advance(now, &mut plane);
    }

    fn split(&mut self) -> (&mut [TrafficStream<'a>], &mut Exchange<'a>, Plane<'_, 'a>) {
        let Self { proxies, routers, sockets, streams, exchange, ledger, round_trips, .. } = self;
        (streams, exchange, Plane { proxies, routers, sockets, ledger, round_trips: *round_trips })
    }

    fn pod_traffic(&self, pod: PodId) -> PodTraffic {
        let services = self.sockets.services_of(pod);
        let (last_route_clean, last_router) = self.last_route_clean(pod, services);
        PodTraffic { failed: self.ledger.failed_by_pod(pod), last_route_clean, last_router }
    }

    /// The last router of all that lead to a pod. kube-proxies count wherever they are, for there may be clients that the
    /// scenario does not name; not so if all known traffic comes by somebody else who chooses pods.
    fn last_route_clean(&self, pod: PodId, services: &[ServiceId]) -> (Option<(Time, NodeId)>, Router) {
        let legs = self.setup.traffic.iter().enumerate().flat_map(|(stream, t)| t.legs().map(move |leg| (stream, leg)));
        let legs: Vec<_> = legs.filter(|(_, leg)| services.contains(&leg.service)).collect();
        let streams = || legs.iter().copied();
        let by_others = streams().any(|(_, t)| t.via != Via::KubeProxy);
        let by_name = streams().any(|(_, t)| t.resolve != Resolve::Address);
        let by_others = by_others || by_name;
        let by_proxy = !by_others || streams().any(|(_, t)| t.via == Via::KubeProxy && t.resolve == Resolve::Address);
        let mut last: Option<(Time, NodeId, Router)> = None;
        for (stream, leg) in streams() {
            let router = Router::of(leg);
            for (seat, spell) in self.routers.last_spells((stream, leg), pod, Time::MAX, &self.proxies) {
                let Some(to) = spell.to else { return (None, router) };
                if last.is_none_or(|(time, ..)| time < to) {
                    last = Some((to, self.node_of(seat), router));
                }
            }
            for (node, spell) in self.exchange.last_spells(stream, pod, Time::MAX, &self.proxies) {
                let Some(to) = spell.to else { return (None, Router::Dns) };
                if last.is_none_or(|(time, ..)| time < to) {
                    last = Some((to, node, Router::Dns));
                }
            }
        }
        if by_proxy {
            let routed = services.iter().copied().filter(|s| !self.setup.services[s.index()].headless);
            let routed: Vec<ServiceId> = routed.collect();
            match self.proxies.last_route_clean(pod, self.sockets.node_of(pod), &routed) {
                None if !by_others => return (None, Router::KubeProxy),
                Some((to, node)) if last.is_none_or(|(time, ..)| time < to) => {
                    last = Some((to, node, Router::KubeProxy));
                }
                _ => {}
            }
        }
        last.map_or((None, Router::KubeProxy), |(time, node, router)| (Some((time, node)), router))
    }

    fn node_of(&self, seat: Seat) -> NodeId {
        match seat {
            Seat::Node(node) => node,
            Seat::Pod(pod, _) => self.sockets.node_of(pod).unwrap_or(NodeId::OUTSIDE),
        }
    }

    /// Adds to a failure what the whole history tells about it.
    fn explain(&self, failed: &Failed) -> Failure {
        let Failed { request, failed_at, kind, pod, gateway, cause, seen } = *failed;
        let stream = &self.setup.traffic[request.traffic as usize];
        // The leg on which it failed.
        let leg = if gateway.is_some() { stream.last_leg() } else { stream };
        let service = leg.service;
        let spell = pod.and_then(|pod| match leg.via {
            _ if gateway.is_some() => {
                let seat = self.routers.seat_of(gateway?, leg, request.sent)?;
                self.routers.last_spell((request.traffic as usize, leg), pod, seat, request.sent, &self.proxies)
            }
            _ if stream.resolve != Resolve::Address => {
                let spells = self.exchange.last_spells(request.traffic as usize, pod, request.sent, &self.proxies);
                spells
                    .filter(|(node, _)| *node == request.client)
                    .map(|(_, spell)| spell)
                    .max_by_key(|spell| spell.from)
            }
            // Which of the nodes that a load balancer sends to it came through, nobody has kept: the last one counts.
            Via::KubeProxy if request.client == NodeId::OUTSIDE => {
                self.proxies.last_spell_from_outside(service, (pod, self.sockets.node_of(pod)), request.sent)
            }
            Via::IngressNginx(_) | Via::Envoy(_) if request.client == NodeId::OUTSIDE => {
                let leg = (request.traffic as usize, leg);
                let spells = self.routers.last_spells(leg, pod, request.sent, &self.proxies);
                Spell::longest(spells.into_iter().map(|(_, spell)| spell))
            }
            Via::KubeProxy => {
                self.proxies.last_spell(service, (pod, self.sockets.node_of(pod)), request.client, request.sent)
            }
            _ => {
                let leg = (request.traffic as usize, leg);
                self.routers.last_spell(leg, pod, Seat::Node(request.client), request.sent, &self.proxies)
            }
        });
        // On a kept connection a request may be sent long after the rules have changed: then no router is to blame.
        let routed =
            kind != FailureKind::ResetIdle && spell.is_some_and(|spell| spell.to.is_none_or(|to| request.sent < to));
        Failure {
            sent_at: request.sent,
            failed_at,
            kind: Through::of(stream).shows(kind, pod.is_some()),
            traffic: request.traffic,
            client_node: request.client,
            number: request.number,
            service,
            pod,
            gateway,
            pod_phase: pod.map_or(PodActivity::NoPod, |pod| self.activity(pod, (kind, seen), cause)),
            endpoint_not_ready_at: pod
                .filter(|_| routed)
                .and_then(|pod| self.proxies.not_ready_since(service, pod, request.sent)),
            route_clean_at: spell.and_then(|spell| spell.to),
            cause,
        }
    }

    fn activity(&self, pod: PodId, (kind, seen): (FailureKind, Seen), cause: CauseId) -> PodActivity {
        let activity = self.sockets.activity(pod, seen);
        if self.sockets.is_answer_of_front(pod, kind, cause) {
            return PodActivity::Unattended;
        }
        if self.sockets.failed_by_partition(cause) {
            return PodActivity::CutOff;
        }
        let node_off = self.sockets.node_of(pod).and_then(|node| self.proxies.off_since(node));
        let took_network = node_off.is_some_and(|off| self.sockets.vanished_at(pod).is_some_and(|at| at >= off));
        if activity == PodActivity::NetworkGone && took_network { PodActivity::NodeOff } else { activity }
    }
}

#[cfg(test)]
fn test_app(service_time: crate::engine::Distribution) -> crate::simulation::setup::App {
    crate::simulation::setup::App { service_time, ..crate::simulation::setup::App::plain("test") }
}
