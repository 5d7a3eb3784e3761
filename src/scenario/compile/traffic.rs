//! The clients.

use crate::api::ServiceId;
use crate::engine::{Duration, Time};
use crate::scenario::compile::{Compiler, instant};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::TrafficEntry;
use crate::scenario::source::Spanned;
use crate::scenario::values::{ConnectionsEntry, PathEntry, ResolveEntry, Sources};
use crate::simulation::setup::{Arrivals, LoadBalancer, RequestsMode, Resolve, Traffic, Via};

/// No scenario may send more requests one by one in a run: they take about a minute.
const REQUESTS_MAX: f64 = 1e9;

/// And so many in bulk: what counts are still exact for.
const BULK_MAX: f64 = 1e15;

impl Compiler<'_> {
    pub(super) fn traffic(&mut self) {
        let spec = self.spec;
        let (mut requests, mut in_bulk) = (0.0, 0.0);
        self.setup.requests = spec.requests.as_ref().map_or_else(RequestsMode::default, |mode| mode.value);
        for entry in &spec.traffic {
            if let Some(traffic) = self.stream(entry) {
                self.not_in_bulk(&traffic);
                let counted = self.setup.in_bulk(&traffic);
                let (sum, max) = if counted { (&mut in_bulk, BULK_MAX) } else { (&mut requests, REQUESTS_MAX) };
                let before = *sum;
                *sum += self.setup.expected_requests(&traffic);
                let sum = *sum;
                if before <= max && sum > max {
                    self.too_many_requests(sum, counted, entry);
                }
                if counted && self.setup.requests == RequestsMode::Auto {
                    let count = self.setup.expected_requests(&traffic);
                    let name = &traffic.name;
                    self.assume(format!(
                        "traffic `{name}`: about {count:.0} requests are counted in bulk (`requests`)"
                    ));
                }
                self.setup.traffic.push(traffic);
            }
        }
        self.unused_services();
    }

    /// Who asks for bulk must be told where it cannot be.
    fn not_in_bulk(&mut self, traffic: &Traffic) {
        let Some(Spanned { value: RequestsMode::Bulk, span }) = &self.spec.requests else { return };
        if let Some(why) = self.setup.not_in_bulk(traffic) {
            let name = &traffic.name;
            let message = format!("the requests of traffic `{name}` cannot be counted in bulk: {why}");
            let problem = Diagnostic::error(message).at(span, "this is asked for all streams");
            self.push(problem.help("`auto` counts those that can be, and simulates the others one by one"));
        }
    }

    fn too_many_requests(&mut self, requests: f64, counted: bool, entry: &TrafficEntry) {
        let (max, how) = if counted { (BULK_MAX, "counted") } else { (REQUESTS_MAX, "simulated one by one") };
        let problem = Diagnostic::error(format!("the clients would send {requests:.0} requests in a run"))
            .at(&entry.service.span, format!("at most {max:.0} can be {how}"))
            .help("lower `rate`, end the traffic with `stop`, or shorten `spec.duration`: shares need no full rate");
        self.push(problem);
    }

    fn stream(&mut self, entry: &TrafficEntry) -> Option<Traffic> {
        let service = self.service(&entry.service);
        let path = self.path(entry);
        let from = self.clients(entry, path.as_ref());
        let (start, stop) = self.window(entry);
        let timeout = match &entry.timeout {
            Some(Spanned { value, span }) if value.is_zero() => {
                self.push(Diagnostic::error("no request is answered within no time").at(span, "expected more than 0s"));
                return None;
            }
            Some(timeout) => timeout.value,
            None => Traffic::TIMEOUT,
        };
        let name = self.name_of(entry);
        if entry.timeout.is_none() {
            self.assume(format!(
                "traffic `{name}`: a request without an answer after {timeout} has failed (`traffic[].timeout`)"
            ));
        }
        let gateway = service.and_then(|service| self.gateway(entry, service));
        // Where the clients' own connections go.
        let front = gateway.map(|(gateway, _)| gateway).or(service);
        let mut connections = self.connections(entry);
        let resolve = if gateway.is_some() { Resolve::Address } else { self.resolve(entry, service) };
        let (connect_timeout, retries) = (self.connect_timeout(entry, timeout), self.retries(entry, timeout));
        let mut path = path?;
        self.check_connections(entry, &path);
        if let Some(front) = front {
            self.nodes_as_targets(entry, front, &mut path);
        }
        let origin = self.origin(entry, &path);
        let (balancer, via) = path;
        if entry.connections.is_none() && matches!(via, Via::IngressNginx(_) | Via::Envoy(_)) {
            connections = via.upstream().0; // behind a proxy they are the proxy's
        }
        let service = service?;
        let onward = gateway.map(|(_, via)| Box::new(Traffic::onward(&name, service, via)));
        Some(Traffic {
            name,
            service: front?,
            rate: entry.rate.0,
            arrivals: entry.arrivals.unwrap_or(Arrivals::Poisson),
            from: from?,
            connections,
            origin,
            resolve,
            balancer,
            via,
            onward,
            timeout,
            connect_timeout,
            retries,
            start,
            stop,
        })
    }

    /// Who goes through a proxy or a load balancer does not look pods up.
    fn check_connections(&mut self, entry: &TrafficEntry, (balancer, via): &(Option<LoadBalancer>, Via)) {
        let gateway = entry.via.as_ref().is_some_and(|path| path.value.gateway().is_some());
        if let Some(Spanned { span, .. }) = &entry.via
            && (balancer.is_some() || *via != Via::KubeProxy || gateway)
            && matches!(entry.connections, Some(ConnectionsEntry::Udp))
        {
            let problem = Diagnostic::error("datagrams are modelled on the way through kube-proxy only");
            self.push(problem.at(span, "these are connections"));
        }
        if let Some(Spanned { value: PathEntry(hops), .. }) = &entry.via
            && let Some(hop) = hops.first()
            && (balancer.is_some() || *via != Via::KubeProxy || gateway)
            && let Some(resolve) = &entry.resolve
            && resolve.value != ResolveEntry::Address
        {
            self.push(
                Diagnostic::error("clients of a proxy do not look pods up")
                    .at(&resolve.span, "DNS would give them the addresses of pods")
                    .and_at(&hop.span, "but this proxy chooses the pods"),
            );
        }
    }

    /// The name that was given, or the Service's, with a number if that is taken.
    fn name_of(&mut self, entry: &TrafficEntry) -> String {
        let taken = |name: &str| self.setup.traffic.iter().any(|t| t.name == name);
        if let Some(Spanned { value, span }) = &entry.name {
            if taken(value) {
                let problem = Diagnostic::error(format!("two streams of traffic are named `{value}`"));
                self.push(problem.at(span, "the second one"));
            }
            return value.clone();
        }
        let base = &entry.service.value;
        let numbered = (2..).map(|n| format!("{base}-{n}"));
        std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
    }

    pub(super) fn service(&mut self, name: &Spanned<String>) -> Option<ServiceId> {
        let all = self.setup.services.iter().map(|s| (s.namespace.clone(), s.name.clone())).collect();
        let index = self.one_named("Service", name, all)?;
        self.check_endpoints(index, name);
        Some(ServiceId::from(index))
    }

    /// A Service that gets traffic must select pods.
    fn check_endpoints(&mut self, index: usize, name: &Spanned<String>) {
        let service = &self.setup.services[index];
        let manifest = &self.manifests.services[index];
        let selector_span = manifest.selector_span.clone();
        let problem = match &service.selector {
            None => {
                Diagnostic::error(format!("the Service `{}` has no selector, and so no endpoints here", name.value))
                    .at(&name.span, "no pod would get these requests")
                    .and_at(&selector_span, "endpoints that somebody writes by hand are not modelled")
            }
            Some(selector) if self.selected(&service.namespace, selector).is_empty() => {
                Diagnostic::error(format!("the Service `{}` selects no pod", name.value))
                    .at(&selector_span, "no pod template has these labels")
                    .and_at(&name.span, "no pod would get these requests")
                    .help(self.labels_in(&service.namespace))
            }
            Some(_) => return,
        };
        self.push(problem);
    }

    /// The nodes of the clients, or of the proxies in the cluster that they go through. The clients of a load balancer
    /// alone sit on none.
    fn clients(&mut self, entry: &TrafficEntry, path: Option<&(Option<LoadBalancer>, Via)>) -> Option<Vec<String>> {
        if let Some((Some(_), Via::KubeProxy | Via::Balancer)) = path {
            return Some(Vec::new());
        }
        match &entry.from {
            None | Some(Sources::Nodes) => {
                let at_start = self.setup.nodes.iter().filter(|n| n.ready_at.is_none());
                let names: Vec<String> = at_start.map(|n| n.node.name.clone()).collect();
                if self.setup.nodes.is_empty() {
                    return None; // told already
                }
                if names.is_empty() {
                    self.push(
                        Diagnostic::error("there is no node for the clients to sit on at the start")
                            .at(&entry.service.span, "traffic to this Service comes from nowhere")
                            .help("leave out `ready` for at least one node"),
                    );
                    return None;
                }
                Some(names)
            }
            Some(Sources::Named(names)) => {
                for (i, name) in names.iter().enumerate() {
                    if !self.knows_node(&name.value) {
                        let problem = self.unknown_node(name);
                        self.push(problem);
                    } else if names[..i].iter().any(|other| other.value == name.value) {
                        let problem = Diagnostic::error(format!("the node `{}` is named twice", name.value));
                        self.push(problem.at(&name.span, "one client sits on each node"));
                    }
                }
                Some(names.iter().map(|name| name.value.clone()).collect())
            }
        }
    }

    fn window(&mut self, entry: &TrafficEntry) -> (Time, Option<Time>) {
        let start = entry.start.as_ref().map_or(Duration::ZERO, |s| s.value);
        if let Some(stop) = &entry.stop
            && stop.value <= start
        {
            let problem = Diagnostic::error("this traffic stops before it starts");
            self.push(problem.at(&stop.span, format!("it starts at {start}")));
        }
        if let Some(Spanned { value, span }) = &entry.start
            && *value >= self.setup.duration
        {
            let problem = Diagnostic::warning("this traffic never starts");
            self.push(problem.at(span, format!("the run lasts {}", self.setup.duration)));
        }
        (instant(start), entry.stop.as_ref().map(|s| instant(s.value)))
    }

    /// A Service without traffic that selects nothing is perhaps a typing error, too.
    fn unused_services(&mut self) {
        let mut problems = Vec::new();
        for (index, manifest) in self.manifests.services.iter().enumerate() {
            let service = &manifest.service;
            let used = self.setup.traffic.iter().flat_map(Traffic::legs).any(|t| t.service == ServiceId::from(index));
            let told =
                self.problems.list.iter().any(|d| d.place.as_ref().is_some_and(|(s, _)| *s == manifest.selector_span));
            let Some(selector) = service.selector.as_ref().filter(|_| !used && !told) else { continue };
            if self.selected(&service.namespace, selector).is_empty() {
                problems.push(
                    Diagnostic::warning(format!("the Service `{}` selects no pod", service.full_name()))
                        .at(&manifest.selector_span, "no pod template has these labels")
                        .help(self.labels_in(&service.namespace)),
                );
            }
        }
        self.problems.list.extend(problems);
    }
}
