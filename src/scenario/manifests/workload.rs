//! `apps/v1` Deployment, ReplicaSet and DaemonSet, and `v1` Pod.

use crate::api::meta::IntOrPercent;
use crate::api::node::{TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE};
use crate::api::workload::Strategy;
use crate::api::{Labels, Phase, Selector, TaintEffect, Toleration};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::Document;
use crate::scenario::manifests::pod::TemplateManifest;
use crate::scenario::manifests::{Cx, Meta, pod, read_labels, selector};
use crate::scenario::tree::Node;

/// A Deployment of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct DeploymentManifest {
    /// `metadata`.
    pub meta: Meta,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.strategy`.
    pub strategy: Strategy,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: u64,
    /// `spec.template`.
    pub template: TemplateManifest,
}

/// A ReplicaSet of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct ReplicaSetManifest {
    /// `metadata`.
    pub meta: Meta,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: u64,
    /// The annotation `deployment.kubernetes.io/revision`; 0 without one.
    pub revision: u32,
    /// `spec.template`.
    pub template: TemplateManifest,
}

/// A DaemonSet of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct DaemonSetManifest {
    /// `metadata`.
    pub meta: Meta,
    /// `spec.template`.
    pub template: TemplateManifest,
}

/// A Pod of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct PodManifest {
    /// `metadata`.
    pub meta: Meta,
    /// Its spec.
    pub template: TemplateManifest,
    /// `status.phase`.
    pub phase: Phase,
    /// How it was in the cluster that it comes from; `None`: it has no status.
    pub state: Option<PodState>,
}

/// The part of a pod's status that tells how it goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodState {
    /// The condition Ready.
    pub ready: bool,
    /// The reason for which a container waits and that does not go away by itself; or that the containers run, and the pod
    /// is not Ready.
    pub why: Option<String>,
}

/// Reasons of waiting containers that only somebody's doing, or a change elsewhere, takes away.
///
/// Source: `pkg/kubelet/container/sync_result.go`, `pkg/kubelet/images/types.go` (v1.36).
const FAILING: &[&str] = &[
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "PostStartHookError",
    "PreCreateHookError",
    "PreStartHookError",
    "RegistryUnavailable",
    "RunContainerError",
    "SignatureValidationFailed",
];

/// The label with which a Deployment's controller tells its ReplicaSets' pods apart; the model adds its own.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";

pub(super) fn read_deployment(document: &Document, cx: &mut Cx<'_>) -> Option<DeploymentManifest> {
    let (meta, spec, template) = read_common(document, cx)?;
    if let Some(paused) = spec.get("paused").filter(|p| p.span.text() == "true") {
        cx.unmodelled.field("paused", &paused.span, "changes of the template are rolled out");
    }
    Some(DeploymentManifest {
        replicas: cx.field(spec, "replicas").unwrap_or(1),
        strategy: spec.get("strategy").map(|s| read_strategy(s, cx)).unwrap_or_default(),
        min_ready_seconds: cx.field(spec, "minReadySeconds").unwrap_or(0),
        meta,
        template,
    })
}

pub(super) fn read_replica_set(document: &Document, cx: &mut Cx<'_>) -> Option<ReplicaSetManifest> {
    let (meta, spec, template) = read_common(document, cx)?;
    let revision = document.node.at(&["metadata", "annotations", "deployment.kubernetes.io/revision"]);
    Some(ReplicaSetManifest {
        revision: revision.and_then(Node::as_str).and_then(|text| text.parse().ok()).unwrap_or(0),
        replicas: cx.field(spec, "replicas").unwrap_or(1),
        min_ready_seconds: cx.field(spec, "minReadySeconds").unwrap_or(0),
        meta,
        template,
    })
}

pub(super) fn read_daemon_set(document: &Document, cx: &mut Cx<'_>) -> Option<DaemonSetManifest> {
    let (meta, _, mut template) = read_common(document, cx)?;
    add_daemon_tolerations(&mut template.template.placement.tolerations);
    Some(DaemonSetManifest { meta, template })
}

/// The tolerations of daemon pods: they stay on nodes that are not ready, and come to cordoned ones.
///
/// Source: `pkg/controller/daemon/util/daemonset_util.go` AddOrUpdateDaemonPodTolerations (v1.36), without those for
/// pressure, which is not modelled.
fn add_daemon_tolerations(tolerations: &mut Vec<Toleration>) {
    let stays = [TAINT_NOT_READY, TAINT_UNREACHABLE];
    tolerations.retain(|t| !(t.seconds.is_some() && t.key.as_deref().is_some_and(|key| stays.contains(&key))));
    let toleration =
        |key: &str, effect| Toleration { key: Some(key.into()), value: None, effect: Some(effect), seconds: None };
    tolerations.extend(stays.map(|key| toleration(key, TaintEffect::NoExecute)));
    tolerations.push(toleration(TAINT_UNSCHEDULABLE, TaintEffect::NoSchedule));
}

pub(super) fn read_pod(document: &Document, cx: &mut Cx<'_>) -> Option<PodManifest> {
    let meta = Meta::read(document, cx)?;
    let spec = spec_of(document, &meta, cx)?;
    let mut labels = meta.labels.clone();
    labels.remove(TEMPLATE_HASH);
    if let Some(policy) = spec.get("restartPolicy").filter(|p| p.as_str() != Some("Always")) {
        cx.unmodelled.field("restartPolicy", &policy.span, "the containers run until somebody stops them");
    }
    let phase = match document.node.at(&["status", "phase"]).and_then(Node::as_str) {
        Some("Pending") => Phase::Pending,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Running,
    };
    let state = read_state(document);
    Some(PodManifest { template: pod::read(spec, &meta.namespace, labels, cx)?, meta, phase, state })
}

/// What `status` says of a pod; `None` for one that has none, as in manifests that people write.
fn read_state(document: &Document) -> Option<PodState> {
    let status = document.node.get("status")?;
    let phase = status.get("phase").and_then(Node::as_str)?;
    let text = |node: &Node, key: &str| node.get(key).and_then(Node::as_str).unwrap_or_default().to_string();
    // a status that somebody has shortened to its phase says nothing against the pod
    let ready = status.get("conditions").map_or(phase == "Running", |conditions| {
        conditions.items().iter().any(|c| text(c, "type") == "Ready" && text(c, "status") == "True")
    });
    let containers = ["initContainerStatuses", "containerStatuses"];
    let containers = containers.iter().flat_map(|key| status.get(key).map(Node::items).unwrap_or_default());
    let waiting = containers.filter_map(|c| c.at(&["state", "waiting"]));
    let failing = waiting.map(|w| text(w, "reason")).find(|reason| {
        let reason = reason.strip_prefix("Init:").unwrap_or(reason);
        FAILING.contains(&reason)
    });
    let running = (phase != "Pending" && !ready).then(|| "Running, not Ready".to_string());
    Some(PodState { ready, why: failing.or(running).filter(|_| !ready) })
}

fn spec_of<'a>(document: &'a Document, meta: &Meta, cx: &mut Cx<'_>) -> Option<&'a Node> {
    let spec = document.node.get("spec");
    if spec.is_none() {
        cx.push(Diagnostic::error(format!("this {} has no `spec`", document.kind)).at(&meta.name.span, ""));
    }
    spec
}

/// Metadata, spec and template of what makes pods.
fn read_common<'a>(document: &'a Document, cx: &mut Cx<'_>) -> Option<(Meta, &'a Node, TemplateManifest)> {
    let meta = Meta::read(document, cx)?;
    let spec = spec_of(document, &meta, cx)?;
    let Some(template) = spec.get("template") else {
        cx.push(Diagnostic::error(format!("this {} has no `spec.template`", document.kind)).at(&spec.span, ""));
        return None;
    };
    let mut labels = match template.get("metadata") {
        Some(metadata) => read_labels(metadata, cx)?,
        None => Labels::new(),
    };
    check_selector(document, spec, &labels, cx);
    labels.remove(TEMPLATE_HASH);
    let Some(pod_spec) = template.get("spec") else {
        cx.push(Diagnostic::error("this pod template has no `spec`").at(&template.span, ""));
        return None;
    };
    let template = pod::read(pod_spec, &meta.namespace, labels, cx)?;
    Some((meta, spec, template))
}

/// Source: `pkg/apis/apps/validation/validation.go` ValidateDeploymentSpec, ValidatePodTemplateSpecForReplicaSet (v1.36).
fn check_selector(document: &Document, spec: &Node, labels: &Labels, cx: &mut Cx<'_>) {
    let Some(node) = spec.get("selector") else { return };
    let selector: Selector = selector::read(node, cx);
    if !selector.matches(labels) {
        let shown: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        cx.push(
            Diagnostic::error(format!("the selector of this {} does not select its own pods", document.kind))
                .at(&node.span, "the apiserver refuses this")
                .note(format!(
                    "the template's labels are: {}",
                    if shown.is_empty() { "none".into() } else { shown.join(", ") }
                )),
        );
    }
}

fn read_strategy(node: &Node, cx: &mut Cx<'_>) -> Strategy {
    let kind: Option<String> = cx.field(node, "type");
    match kind.as_deref() {
        Some("Recreate") => return Strategy::Recreate,
        None | Some("RollingUpdate") => {}
        Some(other) => {
            let span = node.get("type").map_or(&node.span, |n| &n.span);
            cx.push(
                Diagnostic::error(format!("unknown strategy `{other}`")).at(span, "expected RollingUpdate or Recreate"),
            );
        }
    }
    let default = IntOrPercent::Percent(25);
    let Some(rolling) = node.get("rollingUpdate") else { return Strategy::default() };
    let max_surge = cx.field(rolling, "maxSurge").unwrap_or(default);
    let max_unavailable = cx.field(rolling, "maxUnavailable").unwrap_or(default);
    let zero = |n: IntOrPercent| matches!(n, IntOrPercent::Int(0) | IntOrPercent::Percent(0));
    if zero(max_surge) && zero(max_unavailable) {
        cx.push(
            Diagnostic::error("`maxSurge` and `maxUnavailable` cannot both be 0")
                .at(&rolling.span, "the apiserver refuses this: nothing could ever be replaced"),
        );
    }
    Strategy::RollingUpdate { max_surge, max_unavailable }
}
