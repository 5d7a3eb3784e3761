//! Kubernetes objects, read as far as they matter here: leniently, since whatever a cluster hands out must be readable,
//! but never silently. A field that would change the result and is not modelled is named in a warning, once.

mod affinity;
mod autoscaler;
mod daemon_set;
mod job;
mod node;
mod pdb;
mod pod;
mod priority;
mod selector;
mod service;
mod stateful_set;
mod unmodelled;
mod workload;

use crate::api::{Labels, Version};
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::document::Document;
use crate::scenario::read::{MapOf, Read};
use crate::scenario::source::Spanned;
use crate::scenario::tree::Node;

pub use autoscaler::AutoscalerManifest;
pub use daemon_set::DaemonSetManifest;
pub use job::JobManifest;
pub use node::NodeManifest;
pub use pdb::PdbManifest;
pub(crate) use pod::hook_longer_than_grace;
pub use pod::{ContainerManifest, HookManifest, TemplateManifest};
pub use service::{ServiceManifest, TargetPort};
pub use stateful_set::StatefulSetManifest;
pub use workload::{DeploymentManifest, PodManifest, PodState, ReplicaSetManifest};

pub use unmodelled::Ignored;

use priority::Priorities;
use unmodelled::Unmodelled;

/// All objects of an input that are modelled, each kind in the order of the files.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Manifests {
    /// `v1` Node.
    pub nodes: Vec<NodeManifest>,
    /// `v1` Service.
    pub services: Vec<ServiceManifest>,
    /// `policy/v1` PodDisruptionBudget.
    pub pdbs: Vec<PdbManifest>,
    /// `apps/v1` Deployment.
    pub deployments: Vec<DeploymentManifest>,
    /// `apps/v1` ReplicaSet, and `v1` ReplicationController, which is the same with another selector.
    pub replica_sets: Vec<ReplicaSetManifest>,
    /// `apps/v1` DaemonSet.
    pub daemon_sets: Vec<DaemonSetManifest>,
    /// `apps/v1` StatefulSet.
    pub stateful_sets: Vec<StatefulSetManifest>,
    /// `batch/v1` Job.
    pub jobs: Vec<JobManifest>,
    /// `autoscaling` HorizontalPodAutoscaler.
    pub autoscalers: Vec<AutoscalerManifest>,
    /// `v1` Pod.
    pub pods: Vec<PodManifest>,
    /// The names of those `v1` Namespaces whose pods get readiness gates from the aws-load-balancer-controller.
    pub gated_namespaces: Vec<String>,
    /// Objects that are not modelled.
    pub ignored: Vec<Ignored>,
}

/// What readers of objects share.
pub(crate) struct Cx<'a> {
    version: Version,
    problems: &'a mut Diagnostics,
    unmodelled: Unmodelled,
    priorities: Priorities,
}

impl Cx<'_> {
    /// The value under `key`, if it is there and can be read; a problem is told.
    fn field<T: Read>(&mut self, node: &Node, key: &str) -> Option<T> {
        node.get(key).and_then(|value| T::read(value, self.problems))
    }

    fn push(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }
}

/// Reads all documents that are not the scenario. An `export` is what a cluster hands out: its apiserver has accepted all of
/// it, so what cannot be read here is left out with a warning instead of refused.
pub fn read(documents: &[Document], version: Version, export: bool, problems: &mut Diagnostics) -> Manifests {
    let mut manifests = Manifests::default();
    let mut cx = Cx { version, problems, unmodelled: Unmodelled::default(), priorities: Priorities::read(documents) };
    for document in documents.iter().filter(|d| !d.is_scenario()) {
        let before = cx.problems.list.len();
        manifests.gated_namespaces.extend(gated_namespace(document));
        match (document.group.as_str(), document.kind.as_str()) {
            ("", "Node") => manifests.nodes.extend(node::read(document, &mut cx)),
            ("", "Service") => manifests.services.extend(service::read(document, &mut cx)),
            ("policy", "PodDisruptionBudget") => manifests.pdbs.extend(pdb::read(document, &mut cx)),
            ("apps" | "extensions", "Deployment") => {
                manifests.deployments.extend(workload::read_deployment(document, &mut cx));
            }
            ("apps" | "extensions", "ReplicaSet") | ("", "ReplicationController") => {
                manifests.replica_sets.extend(workload::read_replica_set(document, &mut cx));
            }
            ("apps" | "extensions", "DaemonSet") => {
                manifests.daemon_sets.extend(daemon_set::read(document, &mut cx));
            }
            ("apps", "StatefulSet") => manifests.stateful_sets.extend(stateful_set::read(document, &mut cx)),
            ("batch", "Job") => manifests.jobs.extend(job::read(document, &mut cx)),
            ("autoscaling", "HorizontalPodAutoscaler") => {
                manifests.autoscalers.extend(autoscaler::read(document, &mut cx));
            }
            ("", "Pod") => manifests.pods.extend(workload::read_pod(document, &mut cx)),
            _ => cx.unmodelled.kind(document),
        }
        for problem in cx.problems.list.iter_mut().skip(before).filter(|_| export) {
            problem.severity = crate::scenario::Severity::Warning;
        }
    }
    manifests.ignored = cx.unmodelled.ignored();
    cx.unmodelled.tell(export, cx.problems);
    manifests
}

/// The name of a namespace with the label that the webhook of the aws-load-balancer-controller looks for.
///
/// Source: aws-load-balancer-controller, `config/webhook/pod_mutator_patch.yaml` (v3.5).
fn gated_namespace(document: &Document) -> Option<String> {
    let is_namespace = (document.group.as_str(), document.kind.as_str()) == ("", "Namespace");
    let metadata = document.node.get("metadata").filter(|_| is_namespace)?;
    let label = metadata.at(&["labels", "elbv2.k8s.aws/pod-readiness-gate-inject"]).and_then(Node::as_str);
    let name = metadata.get("name").and_then(Node::as_str)?;
    (label == Some("enabled")).then(|| name.to_string())
}

/// `metadata`, as far as it matters.
#[derive(Clone, PartialEq, Debug)]
pub struct Meta {
    /// `namespace`, or `default`.
    pub namespace: String,
    /// `name`.
    pub name: Spanned<String>,
    /// `labels`.
    pub labels: Labels,
    /// The owner reference with `controller: true`.
    pub owner: Option<OwnerReference>,
    /// Whether the object has a deletionTimestamp.
    pub deleting: bool,
    /// Whether it is the mirror of a static pod.
    pub mirror: bool,
}

/// Who made the object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnerReference {
    /// `ReplicaSet`, `DaemonSet`, ….
    pub kind: String,
    /// Its name, in the same namespace.
    pub name: String,
}

impl Meta {
    fn read(document: &Document, cx: &mut Cx<'_>) -> Option<Self> {
        let lacks_name = |cx: &mut Cx<'_>, span| {
            cx.push(
                Diagnostic::error(format!("this {} has no name", document.kind)).at(span, "expected `metadata.name`"),
            );
        };
        let Some(metadata) = document.node.get("metadata") else {
            lacks_name(cx, &document.kind_span);
            return None;
        };
        if metadata.get("name").is_none() {
            lacks_name(cx, &metadata.span);
            return None;
        }
        let name: Spanned<String> = cx.field(metadata, "name")?;
        let owners = metadata.get("ownerReferences").map(Node::items).unwrap_or_default();
        let is_controller =
            |o: &&Node| o.get("controller").is_some_and(|c| c.value == crate::scenario::tree::Value::Bool(true));
        let owner = owners.iter().find(is_controller).map(|owner| {
            let text = |key| owner.get(key).and_then(Node::as_str).unwrap_or_default().to_string();
            OwnerReference { kind: text("kind"), name: text("name") }
        });
        Some(Self {
            namespace: cx.field(metadata, "namespace").unwrap_or_else(|| "default".into()),
            name,
            labels: read_labels(metadata, cx).unwrap_or_default(),
            owner,
            deleting: metadata.get("deletionTimestamp").is_some(),
            mirror: metadata.at(&["annotations", "kubernetes.io/config.mirror"]).is_some(),
        })
    }

    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name.value)
    }
}

/// `labels` of a metadata. The values must be strings, as the apiserver wants them.
///
/// `None` if they cannot be read, which has been told then.
fn read_labels(metadata: &Node, cx: &mut Cx<'_>) -> Option<Labels> {
    let Some(node) = metadata.get("labels") else { return Some(Labels::new()) };
    let labels = MapOf::<String>::read(node, cx.problems)?;
    Some(labels.0.into_iter().map(|(key, value)| (key.value, value)).collect())
}
