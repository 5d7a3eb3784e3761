//! `apps/v1` StatefulSet.

use crate::api::Selector;
use crate::api::stateful_set::{PodManagement, StatefulSetUpdate};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::Document;
use crate::scenario::manifests::pod::TemplateManifest;
use crate::scenario::manifests::workload::{Common, read_common};
use crate::scenario::manifests::{Cx, Meta};
use crate::scenario::tree::Node;

/// A StatefulSet of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct StatefulSetManifest {
    /// `metadata`.
    pub meta: Meta,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.ordinals.start`.
    pub first_ordinal: u32,
    /// `spec.podManagementPolicy`.
    pub management: PodManagement,
    /// `spec.updateStrategy`.
    pub update: StatefulSetUpdate,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: u64,
    /// `spec.selector`.
    pub selector: Selector,
    /// `spec.template`.
    pub template: TemplateManifest,
}

pub(super) fn read(document: &Document, cx: &mut Cx<'_>) -> Option<StatefulSetManifest> {
    let Common { meta, spec, selector, template } = read_common(document, cx)?;
    if let Some(claims) = spec.get("volumeClaimTemplates").filter(|claims| !claims.items().is_empty()) {
        let instead = "volumes follow their pods to other nodes without delay";
        cx.unmodelled.field("volumeClaimTemplates", &claims.span, instead);
    }
    let first_ordinal = spec.get("ordinals").and_then(|ordinals| cx.field(ordinals, "start")).unwrap_or(0);
    Some(StatefulSetManifest {
        replicas: cx.field(spec, "replicas").unwrap_or(1),
        first_ordinal,
        management: spec.get("podManagementPolicy").map(|node| read_management(node, cx)).unwrap_or_default(),
        update: spec.get("updateStrategy").map(|node| read_update(node, cx)).unwrap_or_default(),
        min_ready_seconds: cx.field(spec, "minReadySeconds").unwrap_or(0),
        meta,
        selector,
        template,
    })
}

fn read_management(node: &Node, cx: &mut Cx<'_>) -> PodManagement {
    match node.as_str() {
        Some("OrderedReady") => PodManagement::OrderedReady,
        Some("Parallel") => PodManagement::Parallel,
        _ => {
            let problem = Diagnostic::error("unknown podManagementPolicy");
            cx.push(problem.at(&node.span, "expected OrderedReady or Parallel"));
            PodManagement::default()
        }
    }
}

fn read_update(node: &Node, cx: &mut Cx<'_>) -> StatefulSetUpdate {
    let kind: Option<String> = cx.field(node, "type");
    match kind.as_deref() {
        Some("OnDelete") => return StatefulSetUpdate::OnDelete,
        None | Some("RollingUpdate") => {}
        Some(other) => {
            let span = node.get("type").map_or(&node.span, |n| &n.span);
            let problem = Diagnostic::error(format!("unknown update strategy `{other}`"));
            cx.push(problem.at(span, "expected RollingUpdate or OnDelete"));
        }
    }
    let Some(rolling) = node.get("rollingUpdate") else { return StatefulSetUpdate::default() };
    if let Some(field) = rolling.get("maxUnavailable") {
        let instead = "one pod at a time: the feature gate MaxUnavailableStatefulSet is off";
        cx.unmodelled.field("rollingUpdate.maxUnavailable of a StatefulSet", &field.span, instead);
    }
    StatefulSetUpdate::RollingUpdate { partition: cx.field(rolling, "partition").unwrap_or(0) }
}
