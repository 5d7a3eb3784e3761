//! `apps/v1` Deployment and ReplicaSet, `v1` Pod, and what all kinds that make pods have in common.

use std::collections::BTreeMap;

use crate::api::labels::Requirement;
use crate::api::meta::IntOrPercent;
use crate::api::pod::DisruptionHints;
use crate::api::workload::Strategy;
use crate::api::{Labels, Phase, Selector};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::Document;
use crate::scenario::manifests::pod::TemplateManifest;
use crate::scenario::manifests::{Cx, Meta, pod, read_labels, selector};
use crate::scenario::read::MapOf;
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
    /// `spec.selector`.
    pub selector: Selector,
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
    /// `spec.selector`.
    pub selector: Selector,
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
    let Common { meta, spec, selector, template } = read_common(document, cx)?;
    if let Some(paused) = spec.get("paused").filter(|p| p.span.text() == "true") {
        cx.unmodelled.field("paused", &paused.span, "changes of the template are rolled out");
    }
    Some(DeploymentManifest {
        replicas: cx.field(spec, "replicas").unwrap_or(1),
        strategy: spec.get("strategy").map(|s| read_strategy(s, cx)).unwrap_or_default(),
        min_ready_seconds: cx.field(spec, "minReadySeconds").unwrap_or(0),
        meta,
        selector,
        template,
    })
}

pub(super) fn read_replica_set(document: &Document, cx: &mut Cx<'_>) -> Option<ReplicaSetManifest> {
    let Common { meta, spec, selector, template } = read_common(document, cx)?;
    let revision = document.node.at(&["metadata", "annotations", "deployment.kubernetes.io/revision"]);
    Some(ReplicaSetManifest {
        revision: revision.and_then(Node::as_str).and_then(|text| text.parse().ok()).unwrap_or(0),
        replicas: cx.field(spec, "replicas").unwrap_or(1),
        min_ready_seconds: cx.field(spec, "minReadySeconds").unwrap_or(0),
        meta,
        selector,
        template,
    })
}

pub(super) fn read_pod(document: &Document, cx: &mut Cx<'_>) -> Option<PodManifest> {
    let meta = Meta::read(document, cx)?;
    let spec = spec_of(document, &meta, cx)?;
    let mut labels = meta.labels.clone();
    labels.remove(TEMPLATE_HASH);
    let is_of_a_job = meta.owner.as_ref().is_some_and(|owner| owner.kind == "Job");
    let policy = spec.get("restartPolicy").filter(|p| p.as_str() != Some("Always"));
    if let Some(policy) = policy.filter(|_| !is_of_a_job) {
        cx.unmodelled.field("restartPolicy", &policy.span, "the containers run until somebody stops them");
    }
    let phase = match document.node.at(&["status", "phase"]).and_then(Node::as_str) {
        Some("Pending") => Phase::Pending,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Running,
    };
    let mut template = pod::read(spec, &meta.namespace, labels, cx)?;
    read_hints(document.node.get("metadata"), &mut template.template.hints);
    template.annotations = annotations(document.node.get("metadata"));
    let state = read_state(document);
    Some(PodManifest { template, meta, phase, state })
}

fn annotations(metadata: Option<&Node>) -> BTreeMap<String, String> {
    let entries = metadata.and_then(|m| m.get("annotations")).map(Node::entries).unwrap_or_default();
    entries.iter().filter_map(|e| Some((e.key.clone(), e.node.as_str()?.to_string()))).collect()
}

/// The annotations with which pods speak to Karpenter and to cluster-autoscaler.
fn read_hints(metadata: Option<&Node>, hints: &mut DisruptionHints) {
    let annotation = |key: &str| metadata.and_then(|m| m.at(&["annotations", key])).and_then(Node::as_str);
    hints.do_not_disrupt = annotation("karpenter.sh/do-not-disrupt") == Some("true");
    hints.safe_to_evict = match annotation("cluster-autoscaler.kubernetes.io/safe-to-evict") {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
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

/// What all kinds that make pods have.
pub(super) struct Common<'a> {
    /// `metadata`.
    pub meta: Meta,
    /// `spec`.
    pub spec: &'a Node,
    /// `spec.selector`; without one all labels of the template.
    pub selector: Selector,
    /// `spec.template`.
    pub template: TemplateManifest,
}

pub(super) fn read_common<'a>(document: &'a Document, cx: &mut Cx<'_>) -> Option<Common<'a>> {
    let meta = Meta::read(document, cx)?;
    let spec = spec_of(document, &meta, cx)?;
    let Some(template_node) = spec.get("template") else {
        cx.push(Diagnostic::error(format!("this {} has no `spec.template`", document.kind)).at(&spec.span, ""));
        return None;
    };
    let mut labels = match template_node.get("metadata") {
        Some(metadata) => read_labels(metadata, cx)?,
        None => Labels::new(),
    };
    let selector = read_selector(document, spec, &labels, cx);
    labels.remove(TEMPLATE_HASH);
    let Some(pod_spec) = template_node.get("spec") else {
        cx.push(Diagnostic::error("this pod template has no `spec`").at(&template_node.span, ""));
        return None;
    };
    let mut template = pod::read(pod_spec, &meta.namespace, labels, cx)?;
    read_hints(template_node.get("metadata"), &mut template.template.hints);
    template.annotations = annotations(template_node.get("metadata"));
    Some(Common { meta, spec, selector, template })
}

/// Source: `pkg/apis/apps/validation/validation.go` ValidateDeploymentSpec, ValidatePodTemplateSpecForReplicaSet (v1.36).
fn read_selector(document: &Document, spec: &Node, labels: &Labels, cx: &mut Cx<'_>) -> Selector {
    let Some(node) = spec.get("selector") else { return Selector::labels(labels.clone()) };
    // a ReplicationController's is a plain map
    let mut selector = match document.kind.as_str() {
        "ReplicationController" => {
            let labels: MapOf<String> = cx.field(spec, "selector").unwrap_or_default();
            Selector::labels(labels.0.into_iter().map(|(key, value)| (key.value, value)))
        }
        _ => selector::read(node, cx),
    };
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
    // the model gives out hashes of its own
    let is_hash = |r: &Requirement| matches!(r, Requirement::In(key, _) if key == TEMPLATE_HASH);
    selector.requirements.retain(|r| !is_hash(r));
    selector
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
