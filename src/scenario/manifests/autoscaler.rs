//! `autoscaling` HorizontalPodAutoscaler.

use crate::engine::Duration;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::Document;
use crate::scenario::manifests::{Cx, Meta};
use crate::scenario::source::Spanned;
use crate::scenario::tree::Node;
use crate::scenario::values::Quantity;

/// An autoscaler of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct AutoscalerManifest {
    /// `metadata`.
    pub meta: Meta,
    /// `spec.scaleTargetRef.kind`.
    pub kind: String,
    /// `spec.scaleTargetRef.name`.
    pub target: Spanned<String>,
    /// `spec.minReplicas`.
    pub min_replicas: u32,
    /// `spec.maxReplicas`.
    pub max_replicas: u32,
    /// `averageValue` of a metric that counts requests: how many a second one pod is meant to get.
    pub per_pod: Option<f64>,
    /// `spec.behavior.scaleDown.stabilizationWindowSeconds`.
    pub stabilization: Duration,
}

/// `--horizontal-pod-autoscaler-downscale-stabilization`
/// (`pkg/controller/podautoscaler/config/v1alpha1/defaults.go`, v1.36).
const STABILIZATION_DEFAULT: u64 = 300;

pub(super) fn read(document: &Document, cx: &mut Cx<'_>) -> Option<AutoscalerManifest> {
    let meta = Meta::read(document, cx)?;
    let missing = |cx: &mut Cx<'_>, what: &str| {
        cx.push(Diagnostic::error(format!("this HorizontalPodAutoscaler has no `{what}`")).at(&meta.name.span, ""));
    };
    let Some(spec) = document.node.get("spec") else {
        missing(cx, "spec");
        return None;
    };
    let Some(target) = spec.get("scaleTargetRef") else {
        missing(cx, "spec.scaleTargetRef");
        return None;
    };
    let max: Option<u32> = cx.field(spec, "maxReplicas");
    let Some(max_replicas) = max else {
        missing(cx, "spec.maxReplicas");
        return None;
    };
    let behavior = spec.get("behavior");
    for key in ["scaleUp", "scaleDown"] {
        let policies = behavior.and_then(|b| b.get(key)).and_then(|rules| rules.get("policies"));
        if let Some(policies) = policies {
            let instead = "it scales down by any number, and up to twice as many or by 4 pods in 15 s";
            cx.unmodelled.field("behavior policies", &policies.span, instead);
        }
    }
    let window = behavior.and_then(|b| b.get("scaleDown")).and_then(|d| cx.field(d, "stabilizationWindowSeconds"));
    Some(AutoscalerManifest {
        kind: cx.field(target, "kind").unwrap_or_default(),
        target: cx.field(target, "name")?,
        min_replicas: cx.field(spec, "minReplicas").unwrap_or(1),
        max_replicas,
        per_pod: read_per_pod(spec, cx),
        stabilization: Duration::from_secs(window.unwrap_or(STABILIZATION_DEFAULT)),
        meta,
    })
}

/// The first metric that is an average by pod of something that a client makes: requests a second, by convention of the
/// model. Of CPU and memory the model knows nothing; they are taken to follow the requests.
fn read_per_pod(spec: &Node, cx: &mut Cx<'_>) -> Option<f64> {
    let metrics = spec.get("metrics").map(Node::items).unwrap_or_default();
    metrics.iter().find_map(|metric| {
        let source = match metric.get("type").and_then(Node::as_str)? {
            "Pods" => metric.get("pods"),
            "External" => metric.get("external"),
            "Object" => metric.get("object"),
            _ => None,
        }?;
        let target = source.get("target")?;
        let Quantity(millis) = cx.field(target, "averageValue")?;
        Some(millis as f64 / 1000.0)
    })
}
