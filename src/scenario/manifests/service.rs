//! `v1` Service.

use crate::api::{Selector, Service, ServiceType, TrafficDistribution};
use crate::engine::Duration;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::Document;
use crate::scenario::manifests::{Cx, Meta};
use crate::scenario::read::{MapOf, Read};
use crate::scenario::source::{Span, Spanned};
use crate::scenario::tree::Node;

/// A Service of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceManifest {
    /// The Service.
    pub service: Service,
    /// Where its name stands.
    pub span: Span,
    /// Where its selector stands, or the name if it has none.
    pub selector_span: Span,
    /// Where its first port leads to, and where that stands. Requests are taken to go to the first port.
    pub target: Option<Spanned<TargetPort>>,
    /// Where `trafficDistribution` stands, and the value.
    pub traffic_distribution: Option<Spanned<String>>,
}

/// `targetPort`: a port of the pods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetPort {
    /// By number: the process need not be declared to have it.
    Number(u16),
    /// By name: `ports[].name` of a container.
    Name(String),
}

/// Source: `pkg/apis/core/v1/defaults.go` SetDefaults_Service (v1.36): without `targetPort` it is `port`.
fn read_target(spec: &Node, cx: &mut Cx<'_>) -> Option<Spanned<TargetPort>> {
    let port = spec.get("ports").map(Node::items).unwrap_or_default().first()?;
    let node = port.get("targetPort").or_else(|| port.get("port"))?;
    let value = match node.as_str() {
        Some(name) => TargetPort::Name(name.to_string()),
        None => TargetPort::Number(u16::read(node, cx.problems)?),
    };
    Some(Spanned { value, span: node.span.clone() })
}

/// Source: `pkg/apis/core/validation/validation.go` ValidateServiceSessionAffinityConfig: from 1 s to a day (v1.36).
fn session_affinity(spec: &Node, cx: &mut Cx<'_>) -> Option<Duration> {
    spec.get("sessionAffinity").filter(|n| n.as_str() == Some("ClientIP"))?;
    let timeout =
        spec.get("sessionAffinityConfig").and_then(|c| c.get("clientIP")).and_then(|c| c.get("timeoutSeconds"));
    let Some(node) = timeout else { return Some(Service::SESSION_AFFINITY_TIMEOUT) };
    let seconds = u32::read(node, cx.problems)?;
    if !(1..=86_400).contains(&seconds) {
        let problem = Diagnostic::error(format!("`timeoutSeconds` is {seconds}"));
        cx.problems.push(problem.at(&node.span, "expected 1 to 86400"));
        return None;
    }
    Some(Duration::from_secs(u64::from(seconds)))
}

/// What the version does not know, its apiserver drops (`PreferClose`) or refuses (the two newer values). The older
/// annotation wins over the field.
///
/// Source: `k8s.io/endpointslice/reconciler.go` validTrafficDistribution, hintsEnabled (v1.36).
fn traffic_distribution(document: &Document, spec: &Node, cx: &mut Cx<'_>) -> Option<TrafficDistribution> {
    let annotations = document.node.get("metadata").and_then(|m| m.get("annotations"));
    for key in ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"] {
        let mode = annotations.and_then(|a| a.get(key)).filter(|n| matches!(n.as_str(), Some("Auto" | "auto")));
        if let Some(mode) = mode {
            cx.unmodelled.field(
                "the annotation service.kubernetes.io/topology-mode: Auto",
                &mode.span,
                "all endpoints are equally near",
            );
            return None;
        }
    }
    let node = spec.get("trafficDistribution")?;
    let value = match node.as_str() {
        Some("PreferClose" | "PreferSameZone") => TrafficDistribution::PreferSameZone,
        Some("PreferSameNode") => TrafficDistribution::PreferSameNode,
        _ => {
            cx.problems.push(
                Diagnostic::error("unknown `trafficDistribution`")
                    .at(&node.span, "expected PreferClose, PreferSameZone or PreferSameNode"),
            );
            return None;
        }
    };
    Some(value)
}

/// Reads one; `None` for what has no endpoints here (ExternalName).
pub(super) fn read(document: &Document, cx: &mut Cx<'_>) -> Option<ServiceManifest> {
    let meta = Meta::read(document, cx)?;
    let empty = Node { value: crate::scenario::tree::Value::Map(Vec::new()), span: meta.name.span.clone() };
    let spec = document.node.get("spec").unwrap_or(&empty);
    let text = |key: &str| spec.get(key).and_then(Node::as_str);
    let at = |key: &str| spec.get(key).map_or(&spec.span, |n| &n.span);
    if text("type") == Some("ExternalName") {
        cx.unmodelled.field("type: ExternalName", at("type"), "the Service is left out");
        return None;
    }
    let session_affinity = session_affinity(spec, cx);
    let service_type = match text("type") {
        Some("NodePort") => ServiceType::NodePort,
        Some("LoadBalancer") => ServiceType::LoadBalancer,
        _ => ServiceType::ClusterIp,
    };
    let traffic_distribution = traffic_distribution(document, spec, cx);
    let selector: MapOf<String> = cx.field(spec, "selector").unwrap_or_default();
    let labels: Vec<_> = selector.0.into_iter().map(|(key, value)| (key.value, value)).collect();
    Some(ServiceManifest {
        service: Service {
            namespace: meta.namespace,
            name: meta.name.value,
            // An empty selector is none: somebody else writes the endpoints.
            selector: (!labels.is_empty()).then(|| Selector::labels(labels)),
            headless: text("clusterIP") == Some("None"),
            publish_not_ready_addresses: cx.field(spec, "publishNotReadyAddresses").unwrap_or(false),
            internal_traffic_local: text("internalTrafficPolicy") == Some("Local"),
            external_traffic_local: text("externalTrafficPolicy") == Some("Local"),
            service_type,
            external_ips: spec.get("externalIPs").is_some_and(|list| !list.items().is_empty()),
            traffic_distribution,
            session_affinity,
        },
        selector_span: spec.entry("selector").map_or_else(|| meta.name.span.clone(), |e| e.key_span.clone()),
        span: meta.name.span,
        target: read_target(spec, cx),
        traffic_distribution: spec
            .get("trafficDistribution")
            .and_then(|n| Some(Spanned { value: n.as_str()?.to_string(), span: n.span.clone() })),
    })
}
