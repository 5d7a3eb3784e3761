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
//! - `pods`: what the data plane is told of pods, and asked about them.
//! - `outcome`: what it has to tell in the end.

mod bulk;
mod clients;
mod exchange;
mod ingress;
mod kube_proxy;
mod ledger;
mod outcome;
mod pods;
mod routers;
mod rules;
mod seat;
mod sockets;
#[cfg(test)]
mod tests;

use crate::api::{Endpoints, Node, NodeId, PodId, ServiceId};
use crate::engine::{Random, Time};
use crate::simulation::observe::CauseId;
use crate::simulation::setup::Setup;

use clients::{Plane, RoundTrips, TrafficStream, pick};
pub use exchange::Phases;
use exchange::{Exchange, is_plain};
pub use kube_proxy::HealthAnswer;
use kube_proxy::KubeProxies;
use ledger::Ledger;
pub use outcome::{NetworkOutcome, PodTraffic};
use routers::Routers;
use rules::Route;
use sockets::Sockets;

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

    /// A watch has delivered a Node object; `None`: deleted. Controllers of load balancers, and kube-proxies, see it now.
    pub fn node_seen(&mut self, now: Time, node: NodeId, object: Option<&Node>) {
        self.advance_all(now);
        self.routers.node_seen(now, node, object);
    }

    /// This is why a node will fail its connections.
    pub fn node_failed(&mut self, node: NodeId, cause: CauseId) {
        self.routers.node_failed(node, cause);
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
}

#[cfg(test)]
fn test_app(service_time: crate::engine::Distribution) -> crate::simulation::setup::App {
    crate::simulation::setup::App { service_time, ..crate::simulation::setup::App::plain("test") }
}
