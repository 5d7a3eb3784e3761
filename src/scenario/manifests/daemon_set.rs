//! `apps/v1` DaemonSet.

use crate::api::daemon_set::DaemonSetUpdate;
use crate::api::node::{TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE};
use crate::api::{IntOrPercent, Selector, TaintEffect, Toleration};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::Document;
use crate::scenario::manifests::pod::TemplateManifest;
use crate::scenario::manifests::workload::{Common, read_common};
use crate::scenario::manifests::{Cx, Meta};
use crate::scenario::tree::Node;

/// A DaemonSet of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct DaemonSetManifest {
    /// `metadata`.
    pub meta: Meta,
    /// `spec.updateStrategy`.
    pub update: DaemonSetUpdate,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: u64,
    /// `spec.selector`.
    pub selector: Selector,
    /// `spec.template`, with the tolerations that the controller adds.
    pub template: TemplateManifest,
}

pub(super) fn read(document: &Document, cx: &mut Cx<'_>) -> Option<DaemonSetManifest> {
    let Common { meta, spec, selector, mut template } = read_common(document, cx)?;
    add_daemon_tolerations(&mut template.template.placement.tolerations);
    Some(DaemonSetManifest {
        update: spec.get("updateStrategy").map(|node| read_update(node, cx)).unwrap_or_default(),
        min_ready_seconds: cx.field(spec, "minReadySeconds").unwrap_or(0),
        meta,
        selector,
        template,
    })
}

/// The tolerations of daemon pods: they stay on nodes that are not ready, and come to cordoned ones and to those under
/// pressure.
///
/// Source: `pkg/controller/daemon/util/daemonset_util.go` AddOrUpdateDaemonPodTolerations (v1.36), without
/// network-unavailable for pods on the host's network.
pub(super) fn add_daemon_tolerations(tolerations: &mut Vec<Toleration>) {
    const PRESSURE: [&str; 3] =
        ["node.kubernetes.io/disk-pressure", "node.kubernetes.io/memory-pressure", "node.kubernetes.io/pid-pressure"];
    let stays = [TAINT_NOT_READY, TAINT_UNREACHABLE];
    tolerations.retain(|t| !(t.seconds.is_some() && t.key.as_deref().is_some_and(|key| stays.contains(&key))));
    let toleration =
        |key: &str, effect| Toleration { key: Some(key.into()), value: None, effect: Some(effect), seconds: None };
    tolerations.extend(stays.map(|key| toleration(key, TaintEffect::NoExecute)));
    tolerations.extend(PRESSURE.map(|key| toleration(key, TaintEffect::NoSchedule)));
    tolerations.push(toleration(TAINT_UNSCHEDULABLE, TaintEffect::NoSchedule));
}

fn read_update(node: &Node, cx: &mut Cx<'_>) -> DaemonSetUpdate {
    let kind: Option<String> = cx.field(node, "type");
    match kind.as_deref() {
        Some("OnDelete") => return DaemonSetUpdate::OnDelete,
        None | Some("RollingUpdate") => {}
        Some(other) => {
            let span = node.get("type").map_or(&node.span, |n| &n.span);
            let problem = Diagnostic::error(format!("unknown update strategy `{other}`"));
            cx.push(problem.at(span, "expected RollingUpdate or OnDelete"));
        }
    }
    let Some(rolling) = node.get("rollingUpdate") else { return DaemonSetUpdate::default() };
    let max_surge = cx.field(rolling, "maxSurge").unwrap_or(IntOrPercent::Int(0));
    let max_unavailable = cx.field(rolling, "maxUnavailable").unwrap_or(IntOrPercent::Int(1));
    check_rolling_update(max_surge, max_unavailable, rolling, cx);
    DaemonSetUpdate::RollingUpdate { max_unavailable, max_surge }
}

/// Exactly one of the two is 0; `maxUnavailable` is 1 unless given.
///
/// Source: `pkg/apis/apps/validation/validation.go` ValidateRollingUpdateDaemonSet (v1.36).
fn check_rolling_update(max_surge: IntOrPercent, max_unavailable: IntOrPercent, rolling: &Node, cx: &mut Cx<'_>) {
    let (surges, lacks) = (max_surge.scaled_up(100) > 0, max_unavailable.scaled_up(100) > 0);
    let span = |field: &str| rolling.get(field).map_or(&rolling.span, |n| &n.span);
    if surges && lacks {
        cx.push(
            Diagnostic::error("the apiserver refuses a DaemonSet that has both `maxSurge` and `maxUnavailable`")
                .at(span("maxSurge"), "new pods come first")
                .help("set `maxUnavailable: 0`: it is 1 if left out"),
        );
    } else if !surges && !lacks {
        cx.push(
            Diagnostic::error("the apiserver refuses `maxUnavailable: 0` in a DaemonSet without `maxSurge`")
                .at(span("maxUnavailable"), "no pod could ever be replaced")
                .help("set `maxSurge: 1`, or leave `maxUnavailable` out"),
        );
    }
}
