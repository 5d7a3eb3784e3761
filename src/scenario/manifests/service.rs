//! `v1` Service.

use crate::api::{Selector, Service};
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
    /// `clusterIP: None`: clients find the pods by DNS, not through kube-proxy.
    pub headless: bool,
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
    for (key, value, field, instead) in [
        (
            "externalTrafficPolicy",
            "Local",
            "externalTrafficPolicy: Local",
            "clients are in the cluster: it does not concern them",
        ),
        ("sessionAffinity", "ClientIP", "sessionAffinity: ClientIP", "every connection may go to any endpoint"),
    ] {
        if text(key) == Some(value) {
            cx.unmodelled.field(field, at(key), instead);
        }
    }
    if let Some(field) = spec.get("trafficDistribution") {
        cx.unmodelled.field("trafficDistribution", &field.span, "all endpoints are equally near");
    }
    let selector: MapOf<String> = cx.field(spec, "selector").unwrap_or_default();
    let labels: Vec<_> = selector.0.into_iter().map(|(key, value)| (key.value, value)).collect();
    Some(ServiceManifest {
        service: Service {
            namespace: meta.namespace,
            name: meta.name.value,
            // An empty selector is none: somebody else writes the endpoints.
            selector: (!labels.is_empty()).then(|| Selector::labels(labels)),
            publish_not_ready_addresses: cx.field(spec, "publishNotReadyAddresses").unwrap_or(false),
            internal_traffic_local: text("internalTrafficPolicy") == Some("Local"),
        },
        selector_span: spec.entry("selector").map_or_else(|| meta.name.span.clone(), |e| e.key_span.clone()),
        span: meta.name.span,
        target: read_target(spec, cx),
        headless: text("clusterIP") == Some("None"),
    })
}
