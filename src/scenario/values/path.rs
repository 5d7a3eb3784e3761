//! The hops between a client and a pod, as they are written under `via`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::engine::{Distribution, Duration};
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::read::{Read, expected, record, wrong_type};
use crate::scenario::source::Spanned;
use crate::scenario::suggest;
use crate::scenario::tree::{Node, Value};
use crate::simulation::setup::{BalancerProfile, EnvoyProfile};

/// One hop, or a list of them, from the client on.
#[derive(Clone, PartialEq, Debug)]
pub struct PathEntry(pub Vec<Spanned<HopEntry>>);

/// A hop by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HopProfile {
    /// kube-proxy.
    KubeProxy,
    /// ingress-nginx.
    IngressNginx,
    /// An Envoy.
    Envoy(EnvoyProfile),
    /// A load balancer before the cluster.
    Balancer(BalancerProfile),
}

impl HopProfile {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let envoys = EnvoyProfile::ALL.into_iter().map(Self::Envoy);
        let balancers = BalancerProfile::ALL.into_iter().map(Self::Balancer);
        [Self::KubeProxy, Self::IngressNginx].into_iter().chain(envoys).chain(balancers)
    }

    /// The name in a scenario.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KubeProxy => "kube-proxy",
            Self::IngressNginx => "ingress-nginx",
            Self::Envoy(profile) => profile.name(),
            Self::Balancer(profile) => profile.name(),
        }
    }
}

record! {
    /// A hop on the way to a pod. What is left out has the profile's default.
    pub struct HopEntry is "a hop of `via`" {
        /// Which hop: `kube-proxy`, `ingress-nginx`, an Envoy, or a load balancer.
        pub profile: HopProfile,
        /// ingress-nginx and gateways: the Service whose pods they are. Left out, each is a machine that lives as long as its
        /// node.
        pub service: Option<Spanned<String>>,
        /// Load balancer: how many machines it is. Each hears of changes, and checks targets, by itself.
        pub machines: Option<Spanned<u32>>,
        /// Load balancer: one reconciliation by its controller, with the call of the provider's API.
        pub reconcile: Option<Spanned<Distribution>>,
        /// Load balancer: from the API's answer until a machine has a new target.
        pub register: Option<Spanned<Distribution>>,
        /// Load balancer: from the API's answer until a machine sends no more to a target that was taken out.
        pub deregister: Option<Spanned<Distribution>>,
        /// Load balancer: how much longer the requests that are open then may take.
        pub deregistration_delay: Option<Spanned<Duration>>,
        /// Load balancer: how targets are checked.
        pub health_check: Option<Spanned<HealthCheckEntry>>,
        /// Load balancer whose targets are pods: whether its controller adds a readiness gate to the pods that the Service
        /// selects.
        pub readiness_gate: Option<Spanned<bool>>,
        /// How long it waits for a connection to a pod or node.
        pub connect_timeout: Option<Spanned<Duration>>,
        /// ingress-nginx and Envoys: how many pods at most are asked for a connection.
        pub tries: Option<Spanned<u32>>,
        /// ingress-nginx: at least so long from one sync to the next.
        pub sync_interval: Option<Spanned<Duration>>,
        /// ingress-nginx: how often a worker looks for new endpoints.
        pub poll_interval: Option<Spanned<Duration>>,
        /// Envoy: its control plane pushes when nothing has changed for so long.
        pub debounce_after: Option<Spanned<Duration>>,
        /// Envoy: or so long after the first change.
        pub debounce_max: Option<Spanned<Duration>>,
    }
}

record! {
    /// How a load balancer checks its targets.
    pub struct HealthCheckEntry is "`healthCheck`" {
        /// From one check to the next.
        pub interval: Option<Spanned<Duration>>,
        /// How long an answer may take.
        pub timeout: Option<Spanned<Duration>>,
        /// So many good answers in a row make an unhealthy target healthy.
        pub healthy_threshold: Option<Spanned<u32>>,
        /// So many bad ones make a healthy target unhealthy.
        pub unhealthy_threshold: Option<Spanned<u32>>,
    }
}

impl PathEntry {
    /// The hop whose proxies are the pods of a Service.
    #[must_use]
    pub fn gateway(&self) -> Option<(&HopEntry, &Spanned<String>)> {
        self.0.iter().find_map(|hop| Some((&hop.value, hop.value.service.as_ref()?)))
    }
}

impl HopEntry {
    /// The hop as its profile has it.
    #[must_use]
    pub const fn plain(profile: HopProfile) -> Self {
        Self {
            profile,
            service: None,
            machines: None,
            reconcile: None,
            register: None,
            deregister: None,
            deregistration_delay: None,
            health_check: None,
            readiness_gate: None,
            connect_timeout: None,
            tries: None,
            sync_interval: None,
            poll_interval: None,
            debounce_after: None,
            debounce_max: None,
        }
    }
}

schema_of!(HopProfile, "HopProfile", |_g| json_schema!({
    "description": "A hop by name.",
    "enum": HopProfile::all().map(HopProfile::name).collect::<Vec<_>>()
}));

schema_of!(PathEntry, "Via", |g| json_schema!({
    "description": "The hops on the way to a pod: one, or a list from the client on. Each is a name, or a map with `profile` and what differs from it.",
    "anyOf": [
        g.subschema_for::<HopProfile>(),
        g.subschema_for::<HopEntry>(),
        {
            "type": "array",
            "items": {"anyOf": [g.subschema_for::<HopProfile>(), g.subschema_for::<HopEntry>()]},
            "minItems": 1
        }
    ]
}));

impl Read for HopProfile {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let Value::String(name) = &node.value else { return expected(node, "the name of a hop", problems) };
        let found = Self::all().find(|profile| profile.name() == name);
        if found.is_none() {
            let help = suggest::help(name, "hops", Self::all().map(Self::name));
            let problem = Diagnostic::error(format!("unknown hop `{name}`")).at(&node.span, "unknown hop");
            problems.push(problem.help(help));
        }
        found
    }
}

impl Read for PathEntry {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        const WHAT: &str = "the name of a hop, a map with `profile`, or a list of these";
        match &node.value {
            Value::String(_) | Value::Map(_) => hop(node, problems).map(|hop| Self(vec![hop])),
            Value::List(hops) if !hops.is_empty() => {
                let read: Vec<_> = hops.iter().map(|node| hop(node, problems)).collect();
                read.into_iter().collect::<Option<_>>().map(Self)
            }
            _ => {
                problems.push(wrong_type(node, WHAT));
                None
            }
        }
    }
}

fn hop(node: &Node, problems: &mut Diagnostics) -> Option<Spanned<HopEntry>> {
    let value = match node.value {
        Value::Map(_) => HopEntry::read(node, problems)?,
        _ => HopEntry::plain(HopProfile::read(node, problems)?),
    };
    Some(Spanned { value, span: node.span.clone() })
}
