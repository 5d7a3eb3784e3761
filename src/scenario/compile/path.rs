//! From the hops of `via` to a path that a request can take.

use crate::api::ServiceId;
use crate::scenario::compile::Compiler;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::TrafficEntry;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::values::{HealthCheckEntry, HopEntry, HopProfile, PathEntry};
use crate::simulation::setup::{
    BalancerProfile, Envoy, EnvoyProfile, HealthCheck, IngressNginx, LoadBalancer, Targets, Via,
};

impl Compiler<'_> {
    /// The load balancer, if there is one, and who chooses the pods (of a gateway, if there is one whose proxies are pods
    /// themselves); `None` if no request could go this way.
    pub(super) fn path(&mut self, entry: &TrafficEntry) -> Option<(Option<LoadBalancer>, Via)> {
        let Some(Spanned { value: PathEntry(hops), .. }) = &entry.via else { return Some((None, Via::KubeProxy)) };
        if let Some(problem) = impossible(hops) {
            self.push(problem);
            return None;
        }
        let before = self.problems.list.len();
        for hop in hops {
            self.check_settings(hop);
        }
        let mut balancer = None;
        let mut via = None;
        for Spanned { value: hop, .. } in hops {
            match hop.profile {
                HopProfile::KubeProxy => via = Some(Via::KubeProxy),
                _ if hop.service.is_some() => {}
                HopProfile::IngressNginx | HopProfile::Envoy(_) => via = Some(proxy(hop)),
                HopProfile::Balancer(profile) => balancer = Some(load_balancer(hop, profile)),
            }
        }
        let via = via.unwrap_or(match balancer.as_ref().map(|b| b.profile.targets()) {
            Some(Targets::Pods) => Via::Balancer,
            _ => Via::KubeProxy,
        });
        if let (Some(first), Some(_), Via::KubeProxy | Via::Balancer, Some(_)) =
            (hops.first(), &balancer, via, &entry.from)
        {
            self.push(
                Diagnostic::error("the clients of a load balancer are outside of the cluster")
                    .at(&first.span, "no node is on this path before the load balancer")
                    .help("leave out `from`"),
            );
        }
        (self.problems.list.len() == before).then_some((balancer, via))
    }

    /// The Service of the gateway's pods, and what they do with requests to `service`.
    pub(super) fn gateway(&mut self, entry: &TrafficEntry, service: ServiceId) -> Option<(ServiceId, Via)> {
        let (hop, name) = entry.via.as_ref().and_then(|path| path.value.gateway())?;
        if !may_be_pods(hop.profile) {
            return None; // told already
        }
        let gateway = self.service(name)?;
        if gateway == service {
            self.push(
                Diagnostic::error("the gateway would send the requests on to itself")
                    .at(&name.span, "the Service of its own pods")
                    .and_at(&entry.service.span, "the Service that the requests are for")
                    .help("`via[].service` names the Service in front of the proxies, `service` the one behind them"),
            );
            return None;
        }
        Some((gateway, proxy(hop)))
    }

    /// What a load balancer whose targets are nodes needs of the Service, and what follows from the Service for it.
    pub(super) fn nodes_as_targets(
        &mut self,
        entry: &TrafficEntry,
        service: ServiceId,
        (balancer, via): &mut (Option<LoadBalancer>, Via),
    ) {
        let Some(balancer) = balancer else { return };
        let Some(Spanned { value: path @ PathEntry(hops), .. }) = &entry.via else { return };
        let named = path.gateway().map_or(&entry.service, |(_, name)| name);
        let Some(hop) = hops.first().filter(|_| *via == Via::KubeProxy) else { return };
        let service = &self.setup.services[service.index()];
        if !service.externally_accessible() {
            let name = service.name.clone();
            self.push(
                Diagnostic::error(format!("the Service `{name}` has no port on nodes"))
                    .at(&hop.span, "the targets of this load balancer are nodes")
                    .and_at(&named.span, "a Service of type ClusterIP")
                    .help("write `type: NodePort` or `type: LoadBalancer` in its `spec`"),
            );
        } else if service.has_health_check_node_port() {
            let entry = hop.value.health_check.as_ref().map(|check| &check.value);
            balancer.check = health_check(entry, balancer.profile.check_of_local_service());
        }
    }

    /// Says which settings the profile of a hop does not have, and which values make no sense.
    fn check_settings(&mut self, Spanned { value: hop, .. }: &Spanned<HopEntry>) {
        let profile = hop.profile;
        let balancer = matches!(profile, HopProfile::Balancer(_));
        let nginx = profile == HopProfile::IngressNginx;
        let envoy = matches!(profile, HopProfile::Envoy(_));
        let makes_connections = match profile {
            HopProfile::Balancer(profile) => profile.is_proxy(),
            _ => nginx || envoy,
        };
        let pods_as_targets = matches!(profile, HopProfile::Balancer(profile) if profile.targets() == Targets::Pods);
        let settings: [(&str, Option<&Span>, bool); 13] = [
            ("service", hop.service.as_ref().map(|s| &s.span), may_be_pods(profile)),
            ("machines", hop.machines.as_ref().map(|s| &s.span), balancer),
            ("reconcile", hop.reconcile.as_ref().map(|s| &s.span), balancer),
            ("register", hop.register.as_ref().map(|s| &s.span), balancer),
            ("deregister", hop.deregister.as_ref().map(|s| &s.span), balancer),
            ("deregistrationDelay", hop.deregistration_delay.as_ref().map(|s| &s.span), balancer),
            ("healthCheck", hop.health_check.as_ref().map(|s| &s.span), balancer),
            ("readinessGate", hop.readiness_gate.as_ref().map(|s| &s.span), pods_as_targets),
            ("connectTimeout", hop.connect_timeout.as_ref().map(|s| &s.span), makes_connections),
            ("tries", hop.tries.as_ref().map(|s| &s.span), nginx || envoy),
            ("syncInterval", hop.sync_interval.as_ref().map(|s| &s.span), nginx),
            ("pollInterval", hop.poll_interval.as_ref().map(|s| &s.span), nginx),
            ("debounceAfter", hop.debounce_after.as_ref().map(|s| &s.span), envoy),
        ];
        for (name, span, _) in settings.iter().filter(|(_, span, fits)| span.is_some() && !fits) {
            self.not_a_setting(name, profile, *span);
        }
        if !envoy {
            self.not_a_setting("debounceMax", profile, hop.debounce_max.as_ref().map(|s| &s.span));
        }
        let check = hop.health_check.as_ref().map(|check| &check.value);
        let counts = [
            &hop.machines,
            &hop.tries,
            &check.and_then(|c| c.healthy_threshold.clone()),
            &check.and_then(|c| c.unhealthy_threshold.clone()),
        ];
        for zero in counts.into_iter().flatten().filter(|count| count.value == 0) {
            self.push(Diagnostic::error("there is at least one").at(&zero.span, "expected 1 or more"));
        }
        if let Some(zero) = check.and_then(|c| c.interval.as_ref()).filter(|interval| interval.value.is_zero()) {
            self.push(Diagnostic::error("checks without a pause").at(&zero.span, "expected more than 0s"));
        }
        if let (HopProfile::Balancer(profile), Some(entry)) = (profile, check)
            && let merged = health_check(Some(entry), profile.defaults().check)
            && merged.timeout > merged.interval
            && let Some(place) = entry.timeout.as_ref().or(entry.interval.as_ref())
        {
            self.push(
                Diagnostic::error("a health check may take longer than the time until the next one")
                    .at(&place.span, format!("the timeout is {}, the interval {}", merged.timeout, merged.interval)),
            );
        }
    }

    fn not_a_setting(&mut self, name: &str, profile: HopProfile, span: Option<&Span>) {
        if let Some(span) = span {
            let problem = Diagnostic::error(format!("`{name}` is no setting of {}", profile.name()));
            self.push(problem.at(span, "has no effect on this hop"));
        }
    }
}

/// What is wrong with the order of hops.
fn impossible(hops: &[Spanned<HopEntry>]) -> Option<Diagnostic> {
    let wrong =
        |message: &str, hop: &Spanned<HopEntry>, label: String| Some(Diagnostic::error(message).at(&hop.span, label));
    for (before, hop) in hops.iter().zip(&hops[1..]) {
        let (first, second) = (before.value.profile, hop.value.profile);
        match (first, second) {
            (HopProfile::Balancer(_), HopProfile::Balancer(_)) => {
                return wrong(
                    "two load balancers on one path are not modelled",
                    hop,
                    format!("comes after {}", first.name()),
                );
            }
            (_, HopProfile::Balancer(_)) => {
                return wrong(
                    "a load balancer is before the cluster, not in it",
                    hop,
                    format!("comes after {}", first.name()),
                )
                .map(|d| d.help("write the hops from the client on, the load balancer first"));
            }
            (HopProfile::Balancer(_), HopProfile::Envoy(EnvoyProfile::IstioSidecar)) => {
                return wrong(
                    "a sidecar is beside its client, in the cluster",
                    hop,
                    format!("the clients of {} are outside", first.name()),
                )
                .map(|d| d.help("choose `istio-gateway`"));
            }
            (HopProfile::Balancer(profile), HopProfile::KubeProxy) if profile.targets() == Targets::Pods => {
                return wrong(
                    "kube-proxy is not on the path of a load balancer whose targets are pods",
                    hop,
                    format!("{} sends to pods directly", profile.name()),
                )
                .map(|d| d.help(instance_profile(profile)));
            }
            (HopProfile::Balancer(_), _) => {}
            (_, _) => {
                return wrong("two hops that choose the pod", hop, format!("{} has chosen one already", first.name()));
            }
        }
    }
    None
}

/// The profile of the same provider that does go through kube-proxy.
fn instance_profile(profile: BalancerProfile) -> String {
    let instead = match profile {
        BalancerProfile::AwsAlbIp => BalancerProfile::AwsAlbInstance,
        BalancerProfile::AwsNlbIp => BalancerProfile::AwsNlbInstance,
        _ => BalancerProfile::GcpInstanceGroup,
    };
    format!("leave `kube-proxy` out, or choose `{}`", instead.name())
}

/// Whether the proxies of a hop may be pods of a Service.
const fn may_be_pods(profile: HopProfile) -> bool {
    match profile {
        HopProfile::IngressNginx => true,
        HopProfile::Envoy(profile) => !matches!(profile, EnvoyProfile::IstioSidecar),
        HopProfile::KubeProxy | HopProfile::Balancer(_) => false,
    }
}

/// A proxy in the cluster that watches endpoints by itself.
fn proxy(hop: &HopEntry) -> Via {
    match hop.profile {
        HopProfile::IngressNginx => Via::IngressNginx(ingress_nginx(hop)),
        HopProfile::Envoy(profile) => Via::Envoy(envoy(hop, profile)),
        HopProfile::KubeProxy | HopProfile::Balancer(_) => Via::KubeProxy,
    }
}

fn ingress_nginx(hop: &HopEntry) -> IngressNginx {
    let default = IngressNginx::default();
    IngressNginx {
        sync_interval: value(hop.sync_interval.as_ref(), default.sync_interval),
        poll_interval: value(hop.poll_interval.as_ref(), default.poll_interval),
        tries: value(hop.tries.as_ref(), default.tries),
        connect_timeout: value(hop.connect_timeout.as_ref(), default.connect_timeout),
    }
}

fn envoy(hop: &HopEntry, profile: EnvoyProfile) -> Envoy {
    let default = profile.defaults();
    Envoy {
        profile,
        debounce_after: value(hop.debounce_after.as_ref(), default.debounce_after),
        debounce_max: value(hop.debounce_max.as_ref(), default.debounce_max),
        tries: value(hop.tries.as_ref(), default.tries),
        connect_timeout: value(hop.connect_timeout.as_ref(), default.connect_timeout),
    }
}

fn load_balancer(hop: &HopEntry, profile: BalancerProfile) -> LoadBalancer {
    let default = profile.defaults();
    LoadBalancer {
        profile,
        machines: value(hop.machines.as_ref(), default.machines),
        reconcile: value(hop.reconcile.as_ref(), default.reconcile),
        register: value(hop.register.as_ref(), default.register),
        deregister: value(hop.deregister.as_ref(), default.deregister),
        deregistration_delay: value(hop.deregistration_delay.as_ref(), default.deregistration_delay),
        check: health_check(hop.health_check.as_ref().map(|check| &check.value), profile.defaults().check),
        connect_timeout: value(hop.connect_timeout.as_ref(), default.connect_timeout),
    }
}

fn health_check(entry: Option<&HealthCheckEntry>, default: HealthCheck) -> HealthCheck {
    let Some(entry) = entry else { return default };
    HealthCheck {
        interval: value(entry.interval.as_ref(), default.interval),
        timeout: value(entry.timeout.as_ref(), default.timeout),
        healthy: value(entry.healthy_threshold.as_ref(), default.healthy),
        unhealthy: value(entry.unhealthy_threshold.as_ref(), default.unhealthy),
        asks: default.asks,
    }
}

fn value<T: Clone>(given: Option<&Spanned<T>>, default: T) -> T {
    given.map_or(default, |given| given.value.clone())
}
