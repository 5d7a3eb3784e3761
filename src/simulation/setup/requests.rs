//! Which requests are simulated one by one, and which are counted.

use crate::engine::Time;
use crate::simulation::setup::{Arrivals, Capacity, Connections, Origin, Resolve, Retries, Setup, Traffic, Via};

/// How the requests of a run are simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RequestsMode {
    /// Counted in bulk where that is exact and saves anything: streams that [can be](Setup::not_in_bulk) and expect
    /// [`BULK_FROM`] requests or more. All others one by one.
    #[default]
    Auto,
    /// One by one, always.
    Individual,
    /// Counted in bulk wherever that is exact.
    Bulk,
}

/// Under [`RequestsMode::Auto`] a stream that expects as many requests in a run, or more, is counted in bulk. One by one they
/// take some 50 ms.
pub const BULK_FROM: f64 = 1e6;

impl Setup {
    /// How many requests a stream is expected to send in a run.
    #[must_use]
    pub fn expected_requests(&self, traffic: &Traffic) -> f64 {
        let end = Time::ZERO + self.duration;
        let stop = traffic.stop.map_or(end, |stop| stop.min(end));
        traffic.rate * stop.since(traffic.start).as_secs_f64()
    }

    /// Whether the requests of a stream are counted in bulk. Depends on the setup alone.
    #[must_use]
    pub fn in_bulk(&self, traffic: &Traffic) -> bool {
        match self.requests {
            RequestsMode::Individual => false,
            RequestsMode::Bulk => self.not_in_bulk(traffic).is_none(),
            RequestsMode::Auto => self.not_in_bulk(traffic).is_none() && self.expected_requests(traffic) >= BULK_FROM,
        }
    }

    /// Why the requests of a stream cannot be counted in bulk; `None` if they can.
    #[must_use]
    pub fn not_in_bulk(&self, traffic: &Traffic) -> Option<&'static str> {
        let even = traffic.arrivals == Arrivals::Constant;
        let fronted = self.templates.iter().any(|template| template.front.is_some());
        self.dependence(traffic)
            .or_else(|| even.then_some("they are evenly spaced"))
            .or_else(|| fronted.then_some("pods take them through a proxy of their own"))
    }

    /// Why the requests of a stream depend on each other, or on more than the pod that is asked; `None` if they do not.
    #[must_use]
    pub fn dependence(&self, traffic: &Traffic) -> Option<&'static str> {
        if traffic.balancer.is_some() {
            Some("a load balancer sends them on")
        } else if traffic.onward.is_some() {
            Some("the pods of a gateway send them on")
        } else if matches!(traffic.via, Via::IngressNginx(_)) {
            Some("an ingress controller sends them on, and again")
        } else if traffic.via != Via::KubeProxy {
            Some("an Envoy sends them on, and again")
        } else if traffic.connections == Connections::Udp {
            Some("they are datagrams, which follow each other")
        } else if traffic.connections != Connections::New {
            Some("they share connections")
        } else if traffic.resolve != Resolve::Address {
            Some("their clients remember the pods' addresses")
        } else if traffic.retries != Retries::default() {
            Some("they are tried again")
        } else if traffic.origin != Origin::default() {
            Some("their source ports are used again")
        } else if self.services.get(traffic.service.index()).is_some_and(|s| s.session_affinity.is_some()) {
            Some("the Service has session affinity")
        } else if traffic.connect_timeout.is_some() {
            Some("their connections are given up before they are")
        } else if self.apps.iter().any(|app| app.capacity != Capacity::default()) {
            Some("they may have to queue in the pods")
        } else {
            None
        }
    }
}
