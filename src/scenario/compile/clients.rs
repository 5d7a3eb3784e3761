//! What clients do about connections, names and failures.

use crate::api::ServiceId;
use crate::engine::Duration;
use crate::scenario::compile::Compiler;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::TrafficEntry;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::values::{ConnectionsEntry, DnsEntry, Http2Entry, ResolveEntry};
use crate::simulation::setup::{
    ClientCache, Connections, LoadBalancer, Origin, ProxyMode, Resolve, Retries, RetryOn, Via,
};

/// kubeadm's Corefile: `ttl 30` of the plugin `kubernetes`, and `cache 30`.
const DNS_TTL: Duration = Duration::from_secs(30);

impl Compiler<'_> {
    pub(super) fn connections(&mut self, entry: &TrafficEntry) -> Connections {
        match &entry.connections {
            None | Some(ConnectionsEntry::New) => Connections::New,
            Some(ConnectionsEntry::KeepAlive(pool)) => {
                if let Some(max) = &pool.max_requests {
                    self.at_least_one(max.value, &max.span, "a connection carries at least one request");
                }
                Connections::KeepAlive {
                    idle_max: pool.idle,
                    idle_timeout: pool.idle_timeout,
                    requests_max: pool.max_requests.as_ref().map(|max| max.value),
                    age_max: pool.max_age,
                }
            }
            Some(ConnectionsEntry::Http2(shared)) => self.shared(shared, false),
            Some(ConnectionsEntry::Grpc(shared)) => self.shared(shared, true),
            Some(ConnectionsEntry::Udp) => {
                self.check_datagrams(entry);
                Connections::Udp
            }
        }
    }

    /// Clients of datagrams do not look pods up.
    fn check_datagrams(&mut self, entry: &TrafficEntry) {
        if let Some(resolve) = entry.resolve.as_ref().filter(|resolve| resolve.value != ResolveEntry::Address) {
            self.push(
                Diagnostic::error("datagrams are modelled on the way through kube-proxy only")
                    .at(&resolve.span, "these clients speak to pods themselves"),
            );
        }
    }

    fn shared(&mut self, entry: &Http2Entry, grpc: bool) -> Connections {
        if let Some(connections) = &entry.connections {
            self.at_least_one(connections.value, &connections.span, "a client needs a connection");
        }
        let connections = entry.connections.as_ref().map_or(1, |c| c.value);
        Connections::Http2 { connections, age_max: entry.max_age, grpc }
    }

    /// Clients of a headless Service look its pods up, unless told otherwise.
    pub(super) fn resolve(&mut self, entry: &TrafficEntry, service: Option<ServiceId>) -> Resolve {
        let headless = service.is_some_and(|s| self.manifests.services[s.index()].service.headless);
        match entry.resolve.as_ref().map(|resolve| &resolve.value) {
            Some(ResolveEntry::Address) => {
                if headless && let Some(resolve) = &entry.resolve {
                    self.push(
                        Diagnostic::error(format!("the Service `{}` is headless", entry.service.value))
                            .at(&resolve.span, "it has no address")
                            .help("write `resolve: dns`, or give the Service a clusterIP"),
                    );
                }
                Resolve::Address
            }
            Some(ResolveEntry::Dns(dns)) => {
                if !headless && let Some(resolve) = &entry.resolve {
                    self.push(
                        Diagnostic::error(format!("the Service `{}` is not headless", entry.service.value))
                            .at(&resolve.span, "its name gives one address, that of the Service")
                            .help("leave out `resolve`, or set the Service's `clusterIP: None`"),
                    );
                }
                by_dns(dns)
            }
            None if headless => by_dns(&DnsEntry { ttl: None, cache: None }),
            None => Resolve::Address,
        }
    }

    /// Source ports matter where connections are tracked.
    pub(super) fn origin(&mut self, entry: &TrafficEntry, (balancer, via): &(Option<LoadBalancer>, Via)) -> Origin {
        let mut origin = Origin::default();
        if let Some(Spanned { value, span }) = &entry.addresses {
            self.at_least_one(*value, span, "a client has an address");
            origin.addresses = (*value).max(1);
        }
        let Some(Spanned { value, span }) = &entry.source_ports else { return origin };
        self.at_least_one(*value, span, "a connection needs a port");
        let mode = self.spec.kube_proxy.as_ref().and_then(|p| p.mode).unwrap_or_default();
        if balancer.is_some() || *via != Via::KubeProxy {
            let problem = Diagnostic::error("`sourcePorts` is about connections through kube-proxy");
            self.push(problem.at(span, "the clients of a proxy do not speak to the Service's address"));
        } else if matches!(mode, ProxyMode::Iptables | ProxyMode::Nftables) {
            origin.ports = Some(*value);
        } else {
            let problem = Diagnostic::warning(format!("`sourcePorts` changes nothing in the mode {}", mode.name()));
            self.push(problem.at(span, "it is modelled for iptables and nftables"));
        }
        origin
    }

    pub(super) fn connect_timeout(&mut self, entry: &TrafficEntry, timeout: Duration) -> Option<Duration> {
        let Spanned { value, span } = entry.connect_timeout.as_ref()?;
        self.within_the_request(*value, span, timeout);
        Some(*value)
    }

    pub(super) fn retries(&mut self, entry: &TrafficEntry, timeout: Duration) -> Retries {
        let mut retries = Retries::default();
        if let Some(hedge) = &entry.hedge_after {
            self.within_the_request(hedge.value, &hedge.span, timeout);
            retries.hedge_after = Some(hedge.value);
        }
        let Some(given) = &entry.retries else { return retries };
        self.at_least_one(given.attempts.value, &given.attempts.span, "a request is sent at least once");
        retries.attempts = given.attempts.value;
        retries.on = given.on.unwrap_or(RetryOn::Connect);
        if let Some(backoff) = given.backoff {
            (retries.backoff, retries.backoff_max) = (backoff, backoff.checked_mul(10).unwrap_or(backoff));
        }
        retries.backoff_max = given.max_backoff.unwrap_or(retries.backoff_max);
        if let Some(Spanned { value, span }) = &given.budget {
            if !(value.is_finite() && *value >= 0.0) {
                let problem = Diagnostic::error("a budget is a number of retries per request");
                self.push(problem.at(span, "expected 0 or more, such as 0.2"));
            }
            retries.budget = Some(*value);
        }
        if let Some(Spanned { value, span }) = &given.per_try_timeout {
            self.within_the_request(*value, span, timeout);
            retries.per_try_timeout = Some(*value);
        }
        retries
    }

    fn at_least_one(&mut self, value: u32, span: &Span, why: &str) {
        if value == 0 {
            self.push(Diagnostic::error(why.to_string()).at(span, "expected 1 or more"));
        }
    }

    fn within_the_request(&mut self, value: Duration, span: &Span, timeout: Duration) {
        if value.is_zero() {
            self.push(Diagnostic::error("nothing happens within no time").at(span, "expected more than 0s"));
        } else if value >= timeout {
            self.push(
                Diagnostic::warning("the request is given up before this time is over")
                    .at(span, format!("its `timeout` is {timeout}"))
                    .help("a shorter time, or a longer `timeout`"),
            );
        }
    }
}

fn by_dns(entry: &DnsEntry) -> Resolve {
    Resolve::Dns { ttl: entry.ttl.unwrap_or(DNS_TTL), cache: entry.cache.unwrap_or(ClientCache::Ttl) }
}
