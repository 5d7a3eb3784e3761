//! The entries of `actions`: a time, and one thing that is done. Those who remove nodes without kubectl are in `operators`.

use crate::engine::Duration;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::file::NodeEntry;
use crate::scenario::file::operators::{ClusterAutoscalerAction, DeletePdbAction, KarpenterAction, UpgradeAction};
use crate::scenario::read::{MapOf, record};
use crate::scenario::source::Spanned;
use crate::scenario::suggest::nearest;
use crate::scenario::tree::{Entry, Node, Value};
use crate::scenario::values::{NodeRef, Objects, Seconds, SelectorText, TaintEntry};
use crate::simulation::setup::{DryRun, PartitionScope};

record! {
    /// Something that is done to the cluster: when (`at` or `after`), and one thing.
    #[schemars(transform = exactly_one_thing)]
    pub struct ActionEntry is "an action", checked by check_action {
        /// A name, for `after` and for expectations.
        pub name: Option<Spanned<String>>,
        /// When: this long after the start.
        pub at: Option<Spanned<Duration>>,
        /// When: after the action of this name is done.
        pub after: Option<Spanned<String>>,
        /// With `after`: so long after it.
        pub wait: Option<Duration>,
        /// `kubectl drain`.
        pub drain: Option<DrainAction>,
        /// `kubectl cordon`.
        pub cordon: Option<NodeRef>,
        /// `kubectl uncordon`.
        pub uncordon: Option<NodeRef>,
        /// `kubectl delete pod`.
        pub delete_pod: Option<DeletePodAction>,
        /// `kubectl label pod`.
        pub label_pod: Option<LabelPodAction>,
        /// `kubectl patch hpa`: other bounds.
        pub patch_hpa: Option<PatchHpaAction>,
        /// `kubectl scale` of a Deployment, a ReplicaSet or a StatefulSet.
        pub scale: Option<ScaleAction>,
        /// `kubectl rollout restart` of a Deployment, a StatefulSet or a DaemonSet.
        pub rollout_restart: Option<RestartAction>,
        /// A node joins: it registers now and is Ready after `ready` (30s if left out).
        pub add_node: Option<NodeEntry>,
        /// A machine loses power.
        pub shut_off: Option<NodeRef>,
        /// `kubectl delete node`.
        pub delete_node: Option<NodeRef>,
        /// A machine gets its power back: after the hop `nodeBoot` its kubelet runs.
        pub power_on: Option<NodeRef>,
        /// A kernel restarts: the power goes, and comes back at once.
        pub restart: Option<NodeRef>,
        /// The process of a kubelet is stopped; containers and kube-proxy go on.
        pub stop_kubelet: Option<NodeRef>,
        /// The process of a kubelet is started again.
        pub start_kubelet: Option<NodeRef>,
        /// A node is cut off from others.
        pub partition: Option<PartitionAction>,
        /// `kubectl taint nodes`.
        pub taint: Option<TaintAction>,
        /// A machine is shut down in an orderly way: its kubelet stops the pods first, if `kubelet.shutdownGracePeriod` says
        /// so.
        pub shutdown: Option<NodeRef>,
        /// The cloud announces that it will take a machine away; a node termination handler drains it until then.
        pub spot_notice: Option<SpotNoticeAction>,
        /// A managed service upgrades a pool of nodes.
        pub upgrade: Option<UpgradeAction>,
        /// cluster-autoscaler removes nodes that are no longer needed.
        pub cluster_autoscaler: Option<ClusterAutoscalerAction>,
        /// Karpenter disrupts nodes.
        pub karpenter: Option<KarpenterAction>,
        /// `kubectl apply`: Deployments that are there are changed, PodDisruptionBudgets made or changed.
        pub apply: Option<Objects>,
        /// `kubectl delete poddisruptionbudget`.
        pub delete_pdb: Option<DeletePdbAction>,
    }
}

/// The keys of an action that say what is done.
const ACTIONS: [&str; 24] = [
    "drain",
    "cordon",
    "uncordon",
    "deletePod",
    "labelPod",
    "patchHpa",
    "scale",
    "rolloutRestart",
    "addNode",
    "shutOff",
    "deleteNode",
    "powerOn",
    "restart",
    "stopKubelet",
    "startKubelet",
    "partition",
    "taint",
    "shutdown",
    "spotNotice",
    "upgrade",
    "clusterAutoscaler",
    "karpenter",
    "apply",
    "deletePdb",
];

/// One time and one thing.
fn check_action(node: &Node, problems: &mut Diagnostics) -> bool {
    let keys = node.entries();
    let things: Vec<&Entry> = keys.iter().filter(|e| ACTIONS.contains(&e.key.as_str())).collect();
    let unknown = keys.iter().any(|e| !ACTIONS.contains(&e.key.as_str()) && !TIMES.contains(&e.key.as_str()));
    let before = problems.list.len();
    match things[..] {
        [one] if one.node.value == Value::Null => problems
            .push(Diagnostic::error(format!("`{}` is empty", one.key)).at(&one.key_span, "what follows is missing")),
        [_] => {}
        // An unknown field is probably the misspelt action, and has been told of.
        [] if unknown => return false,
        [] => problems.push(
            Diagnostic::error("this action does nothing")
                .at(&node.span, "the action begins here")
                .help(format!("add one of: {}", ACTIONS.join(", "))),
        ),
        [first, second, ..] => problems.push(
            Diagnostic::error("an action does one thing")
                .at(&second.key_span, "the second one")
                .and_at(&first.key_span, "the first one")
                .help("make two entries of the list; they may have the same time"),
        ),
    }
    match (node.entry("at"), node.entry("after"), node.entry("wait")) {
        (Some(at), Some(after), _) => problems.push(
            Diagnostic::error("an action has either `at` or `after`, not both")
                .at(&after.key_span, "the second time")
                .and_at(&at.key_span, "the first time"),
        ),
        (None, None, _) if !unknown => problems.push(
            Diagnostic::error("this action does not say when it happens")
                .at(&node.span, "the action begins here")
                .help("add `at: 10s`, or `after: NAME` of another action"),
        ),
        (Some(_), None, Some(wait)) => problems.push(
            Diagnostic::error("`wait` goes with `after`, not with `at`")
                .at(&wait.key_span, "")
                .help("write the sum of both as `at`"),
        ),
        _ => {}
    }
    problems.list.len() == before
}

/// The keys of an action that do not.
const TIMES: [&str; 4] = ["name", "at", "after", "wait"];

fn exactly_one_thing(schema: &mut schemars::Schema) {
    let one_of: Vec<_> = ACTIONS.iter().map(|action| serde_json::json!({"required": [action]})).collect();
    schema.insert("oneOf".into(), one_of.into());
    let one_time: Vec<_> = ["at", "after"].iter().map(|key| serde_json::json!({"required": [key]})).collect();
    schema.insert("anyOf".into(), one_time.into());
}

/// At least one node, by name or by label.
fn check_drain(node: &Node, problems: &mut Diagnostics) -> bool {
    let nodes = node.get("nodes").map(Node::items).unwrap_or_default();
    if let Some(selector) = node.entry("selector") {
        if let Some(names) = node.entry("node").or_else(|| node.entry("nodes")) {
            problems.push(
                Diagnostic::error("kubectl cannot specify both a node name and a --selector option")
                    .at(&selector.key_span, "nodes by their labels")
                    .and_at(&names.key_span, "nodes by their names")
                    .help("leave one of the two out"),
            );
            return false;
        }
        return true;
    }
    let misspelt = node.entries().iter().any(|e| e.key != "node" && nearest(&e.key, ["node", "nodes"]).is_some());
    if node.get("node").is_none() && nodes.is_empty() && !misspelt {
        problems.push(Diagnostic::error("`drain` does not say which node").at(&node.span, "in this drain").help(
            "write `drain: {node: NAME}`, or `nodes: [A, B]` for several with one command, or `selector: LABELS`",
        ));
        return false;
    }
    true
}

record! {
    /// `kubectl drain`: one process, with kubectl's flags.
    pub struct DrainAction is "`drain`", checked by check_drain {
        /// The node.
        pub node: Option<Spanned<String>>,
        /// Several nodes, one after the other as kubectl does.
        #[schemars(default)]
        pub nodes: Vec<Spanned<String>>,
        /// `--selector`: the nodes with these labels, instead of names.
        pub selector: Option<Spanned<SelectorText>>,
        /// `--force`.
        pub force: Option<bool>,
        /// `--ignore-daemonsets`.
        pub ignore_daemonsets: Option<bool>,
        /// `--delete-emptydir-data`.
        pub delete_emptydir_data: Option<bool>,
        /// `--delete-local-data`, as it was called before 1.20; an error of kubectl from 1.31 on.
        pub delete_local_data: Option<bool>,
        /// `--disable-eviction`.
        pub disable_eviction: Option<bool>,
        /// `--grace-period`, in seconds; negative: the pod's own.
        pub grace_period: Option<Seconds>,
        /// `--timeout`; 0s: none.
        pub timeout: Option<Duration>,
        /// `--pod-selector`.
        pub pod_selector: Option<SelectorText>,
        /// `--skip-wait-for-delete-timeout`, in seconds; 0: off.
        pub skip_wait_for_delete_timeout: Option<Spanned<Seconds>>,
        /// `--dry-run`; `none` if left out.
        pub dry_run: Option<DryRun>,
    }
}

record! {
    /// An interruption notice of a cloud, and the node termination handler that acts on it: cordon and drain (with
    /// `--ignore-daemonsets --delete-emptydir-data --force`, evictions, the pods' own grace periods), and no power from the
    /// deadline on, whatever has come of that.
    pub struct SpotNoticeAction is "`spotNotice`" {
        /// The node.
        pub node: Spanned<String>,
        /// From the notice to the end; 2m if left out.
        pub deadline: Option<Spanned<Duration>>,
    }
}

record! {
    /// `kubectl delete pod`.
    pub struct DeletePodAction is "`deletePod`" {
        /// The name, or its beginning: the oldest living pod that has it.
        pub name: Spanned<String>,
        /// The namespace; `default` if left out.
        pub namespace: Option<Spanned<String>>,
        /// `--grace-period`, in seconds; the pod's own if left out, or 0 with `force`.
        pub grace_period: Option<Seconds>,
        /// `--force`: a grace period of 0 then removes the object at once, whatever becomes of the containers.
        pub force: Option<bool>,
    }
}

record! {
    /// A node is cut off from others.
    pub struct PartitionAction is "`partition`" {
        /// The node.
        pub node: Spanned<String>,
        /// From whom; `controlPlane` if left out.
        pub from: Option<PartitionScope>,
        /// When it is over; not in this run if left out.
        pub heal_after: Option<Spanned<Duration>>,
    }
}

record! {
    /// `kubectl taint nodes`.
    pub struct TaintAction is "`taint`" {
        /// The node.
        pub node: Spanned<String>,
        /// The taint.
        pub taint: TaintEntry,
        /// Takes the taint of this key and effect away instead.
        pub remove: Option<bool>,
    }
}

fn check_scale(node: &Node, problems: &mut Diagnostics) -> bool {
    one_workload("scale", ["deployment", "replicaSet", "statefulSet"], Some("replicas"), node, problems)
}

fn check_restart(node: &Node, problems: &mut Diagnostics) -> bool {
    one_workload("rolloutRestart", ["deployment", "statefulSet", "daemonSet"], None, node, problems)
}

/// The action names one workload, of one of these kinds; it may have one other field.
fn one_workload(action: &str, kinds: [&str; 3], other: Option<&str>, node: &Node, problems: &mut Diagnostics) -> bool {
    let given: Vec<&Entry> = node.entries().iter().filter(|e| kinds.contains(&e.key.as_str())).collect();
    let unknown = |e: &&Entry| Some(e.key.as_str()) != other;
    let misspelt = node.entries().iter().filter(unknown).any(|e| nearest(&e.key, kinds).is_some());
    match given[..] {
        [first, second, ..] => problems.push(
            Diagnostic::error(format!("`{action}` is about one workload"))
                .at(&second.key_span, "the second one")
                .and_at(&first.key_span, "the first one")
                .help("make two actions of it"),
        ),
        [] if misspelt => {}
        [] => problems.push(
            Diagnostic::error(format!("`{action}` does not say what")).at(&node.span, "in this action").help({
                let [a, b, c] = kinds;
                format!("add `{a}: NAME`, `{b}: NAME` or `{c}: NAME`")
            }),
        ),
        [_] => return true,
    }
    false
}

record! {
    /// `kubectl label pod`.
    pub struct LabelPodAction is "`labelPod`" {
        /// The name, or its beginning: the oldest living pod that has it.
        pub name: Spanned<String>,
        /// The namespace; `default` if left out.
        pub namespace: Option<Spanned<String>>,
        /// Labels to set.
        #[schemars(default)]
        pub labels: MapOf<String>,
        /// Keys of labels to take away: `KEY-` on kubectl's command line.
        #[schemars(default)]
        pub remove: Vec<Spanned<String>>,
        /// `--overwrite`; without it a label that has another value is an error of kubectl.
        pub overwrite: Option<bool>,
    }
}

record! {
    /// `kubectl patch hpa`: other bounds.
    pub struct PatchHpaAction is "`patchHpa`" {
        /// The HorizontalPodAutoscaler: its name, or namespace/name.
        pub name: Spanned<String>,
        /// `spec.minReplicas`.
        pub min_replicas: Option<u32>,
        /// `spec.maxReplicas`.
        pub max_replicas: Option<u32>,
    }
}

record! {
    /// `kubectl scale`.
    pub struct ScaleAction is "`scale`", checked by check_scale {
        /// The Deployment: its name, or namespace/name.
        pub deployment: Option<Spanned<String>>,
        /// A ReplicaSet that no Deployment owns: its name, or namespace/name.
        pub replica_set: Option<Spanned<String>>,
        /// The StatefulSet: its name, or namespace/name.
        pub stateful_set: Option<Spanned<String>>,
        /// `--replicas`.
        pub replicas: u32,
    }
}

record! {
    /// `kubectl rollout restart`.
    pub struct RestartAction is "`rolloutRestart`", checked by check_restart {
        /// The Deployment: its name, or namespace/name.
        pub deployment: Option<Spanned<String>>,
        /// The StatefulSet: its name, or namespace/name.
        pub stateful_set: Option<Spanned<String>>,
        /// The DaemonSet: its name, or namespace/name.
        pub daemon_set: Option<Spanned<String>>,
    }
}
