//! The scenario document, as it is written: `apiVersion: drainsim/v1alpha1`, `kind: Scenario`.
//!
//! The comments on the fields are what the JSON Schema, and so an editor, shows.

use crate::api::Version;
use crate::api::pod::Signal;
use crate::engine::{Distribution, Duration};
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::read::{MapOf, Read, record};
use crate::scenario::source::Spanned;
use crate::scenario::suggest::nearest;
use crate::scenario::tree::{Entry, Node, Value};
use crate::scenario::values::{
    ConnectionsEntry, HookSteps, KeepAliveTimeout, LatencyProfile, NodeRef, Objects, ProfileName, Quantity, Rate,
    ReactionEntry, Seconds, SelectorText, Sources, TaintEntry,
};
use crate::simulation::setup::{Arrivals, DryRun, Via};

mod operators;

pub use operators::{ClusterAutoscalerAction, DeletePdbAction, KarpenterAction, UpgradeAction};

/// `apiVersion` of the scenario document.
pub const API_VERSION: &str = "drainsim/v1alpha1";
/// `kind` of the scenario document.
pub const KIND: &str = "Scenario";

record! {
    /// A scenario: a cluster, its traffic, what is done to it, and what is expected of it. The workloads are real
    /// Kubernetes manifests, in the same file after `---` or in files that `spec.manifests` names.
    pub struct ScenarioFile is "a scenario" {
        /// The version of this format.
        #[schemars(extend("const" = API_VERSION))]
        pub api_version: String,
        /// The kind of this document.
        #[schemars(extend("const" = KIND))]
        pub kind: String,
        /// Name, description and labels.
        pub metadata: Metadata,
        /// The scenario itself.
        pub spec: Spanned<Spec>,
    }
}

record! {
    /// Name, description and labels of the scenario.
    pub struct Metadata is "metadata" {
        /// A name, unique among the scenarios that are run together.
        pub name: String,
        /// What the scenario shows, in a sentence or two.
        pub description: Option<String>,
        /// Labels to select scenarios by.
        #[schemars(default)]
        pub labels: MapOf<String>,
    }
}

record! {
    /// The cluster, the traffic, the actions and the expectations.
    pub struct Spec is "spec" {
        /// The Kubernetes version of all components; the newest that is well tested if left out.
        pub kubernetes: Option<Version>,
        /// How long the run lasts.
        pub duration: Spanned<Duration>,
        /// The seed of all randomness; `--seed` overrides it.
        pub seed: Option<u64>,
        /// The nodes. Nodes may also be given as manifests of `kind: Node`.
        #[schemars(default)]
        pub nodes: Vec<NodeEntry>,
        /// Files or directories with Kubernetes manifests, relative to this file.
        #[schemars(default)]
        pub manifests: Vec<Spanned<String>>,
        /// How the applications in the pods behave. For each container the first entry that fits counts.
        #[schemars(default)]
        pub apps: Vec<AppEntry>,
        /// Where the pods of a Deployment, ReplicaSet, StatefulSet or Job are at the start: its name, and nodes for its first pods in
        /// order. The others are placed as the scheduler would.
        #[schemars(default)]
        pub placement: MapOf<Vec<Spanned<String>>>,
        /// The clients.
        #[schemars(default)]
        pub traffic: Vec<TrafficEntry>,
        /// What is done to the cluster.
        #[schemars(default)]
        pub actions: Vec<ActionEntry>,
        /// How long things take, unless `latencies` says otherwise; `default` if left out.
        pub latency_profile: Option<LatencyProfile>,
        /// How long things take, by the name of the hop; each has a default.
        #[schemars(default)]
        pub latencies: MapOf<Distribution>,
        /// Settings of kube-proxy.
        pub kube_proxy: Option<KubeProxyEntry>,
        /// Settings of the kubelet.
        pub kubelet: Option<KubeletEntry>,
        /// What must be true of the outcome.
        #[schemars(default)]
        pub expect: Vec<Spanned<String>>,
    }
}

record! {
    /// A node.
    pub struct NodeEntry is "a node" {
        /// The name.
        pub name: Spanned<String>,
        /// So many nodes like this one, named NAME-1, NAME-2, ….
        pub count: Option<Spanned<u32>>,
        /// The node joins the cluster and is Ready at this time; it has been there for long if left out.
        pub ready: Option<Duration>,
        /// Labels.
        #[schemars(default)]
        pub labels: MapOf<String>,
        /// Taints.
        #[schemars(default)]
        pub taints: Vec<TaintEntry>,
        /// What it has to give; 4 CPUs, 16Gi and 110 pods if left out.
        pub capacity: Option<Capacity>,
        /// Whether it is cordoned.
        pub unschedulable: Option<bool>,
    }
}

record! {
    /// What a node has to give to pods.
    pub struct Capacity is "`capacity`" {
        /// CPUs.
        pub cpu: Option<Quantity>,
        /// Memory.
        pub memory: Option<Quantity>,
        /// The number of pods.
        pub pods: Option<u32>,
    }
}

/// The keys of `signals` are signals; an exit code belongs to an exit.
fn check_app(node: &Node, problems: &mut Diagnostics) -> bool {
    let before = problems.list.len();
    if let (Some(code), None, None) = (node.entry("exitCode"), node.entry("exitsAfter"), node.entry("crashesAt")) {
        problems.push(
            Diagnostic::error("`exitCode` goes with `exitsAfter` or `crashesAt`")
                .at(&code.key_span, "this process does not exit by itself")
                .help("add `exitsAfter: 5s`, or leave `exitCode` out"),
        );
    }
    for entry in node.get("signals").map(Node::entries).unwrap_or_default() {
        let name = Node { value: Value::String(entry.key.clone()), span: entry.key_span.clone() };
        Signal::read(&name, problems);
    }
    problems.list.len() == before
}

record! {
    /// How the process in a container starts, serves and ends: a profile, and what differs from it.
    pub struct AppEntry is "an entry of `apps`", checked by check_app {
        /// For pods with these labels.
        pub selector: Option<Spanned<MapOf<String>>>,
        /// For pods of this Deployment: its name, or namespace/name.
        pub deployment: Option<Spanned<String>>,
        /// For the container of this name only.
        pub container: Option<Spanned<String>>,
        /// A named way to behave; the fields below override it.
        pub profile: Option<ProfileName>,
        /// From the start of the process to its listening socket.
        pub startup: Option<Distribution>,
        /// How long a request is worked on.
        pub service_time: Option<Distribution>,
        /// From a signal's arrival to what the process does about it.
        pub reaction: Option<Distribution>,
        /// The signal that stops the container: the image's STOPSIGNAL.
        pub stop_signal: Option<Signal>,
        /// What each signal makes it do, besides what the profile says. A signal of which nothing is said has no handler:
        /// as PID 1 the process does not get it.
        #[schemars(default)]
        pub signals: MapOf<ReactionEntry>,
        /// How long the server keeps an idle connection open.
        pub keep_alive_timeout: Option<KeepAliveTimeout>,
        /// What the container's preStop hook does, where its httpGet or its command does not tell.
        pub pre_stop: Option<Spanned<HookSteps>>,
        /// The process exits by itself so long after each start. A server that does is in a crash loop, and has long been at
        /// the start of the run; for a Job's container, or an init container, this is how long its work takes.
        pub exits_after: Option<Spanned<Duration>>,
        /// With `exitsAfter` or `crashesAt`: the exit code. If left out, it is 0 for `exitsAfter` where an end is meant (init
        /// containers, and pods whose restartPolicy is not Always), else 1.
        pub exit_code: Option<Spanned<u8>>,
        /// All processes of this kind that run then crash at this time.
        pub crashes_at: Option<Spanned<Duration>>,
        /// All processes of this kind that run then hang from this time on: they accept connections and answer nothing,
        /// neither clients nor probes, and only SIGKILL ends them.
        pub hangs_at: Option<Spanned<Duration>>,
        /// The process first waits for a Service to accept connections.
        pub waits_for: Option<WaitsForEntry>,
    }
}

record! {
    /// What a process waits for before it does anything else.
    pub struct WaitsForEntry is "`waitsFor`" {
        /// The Service: its name, or namespace/name.
        pub service: Spanned<String>,
        /// The pause between attempts; 2s if left out.
        pub every: Option<Spanned<Duration>>,
    }
}

record! {
    /// A stream of requests to one Service.
    pub struct TrafficEntry is "an entry of `traffic`" {
        /// A name for reports; the Service's if left out.
        pub name: Option<Spanned<String>>,
        /// The Service: its name, or namespace/name.
        pub service: Spanned<String>,
        /// How many requests, all clients together.
        pub rate: Rate,
        /// How requests are spaced; `poisson` if left out.
        pub arrivals: Option<Arrivals>,
        /// Where the clients sit, or the replicas of the ingress controller; `nodes` if left out.
        pub from: Option<Sources>,
        /// Who chooses the pod: the kube-proxy of the client's node, or an ingress controller; `kube-proxy` if left out.
        pub via: Option<Spanned<Via>>,
        /// What the clients do about connections; `new` if left out.
        pub connections: Option<ConnectionsEntry>,
        /// A request without answer after this time has failed; 10s if left out.
        pub timeout: Option<Spanned<Duration>>,
        /// When the requests begin; at 0s if left out.
        pub start: Option<Spanned<Duration>>,
        /// When they stop; at the end of the run if left out.
        pub stop: Option<Spanned<Duration>>,
    }
}

record! {
    /// Settings of kube-proxy, the same on every node.
    pub struct KubeProxyEntry is "`kubeProxy`" {
        /// `iptables.minSyncPeriod`; 1s if left out.
        pub min_sync_period: Option<Duration>,
    }
}

/// `shutdownGracePeriodCriticalPods` is a part of `shutdownGracePeriod`, and the list by priority stands alone.
///
/// Source: `pkg/kubelet/apis/config/validation/validation.go` (v1.36).
fn check_kubelet(node: &Node, problems: &mut Diagnostics) -> bool {
    let before = problems.list.len();
    let total = node.entry("shutdownGracePeriod");
    let critical = node.entry("shutdownGracePeriodCriticalPods");
    if let (Some(critical), None) = (critical, total) {
        problems.push(
            Diagnostic::error("`shutdownGracePeriodCriticalPods` is a part of `shutdownGracePeriod`")
                .at(&critical.key_span, "the whole is missing")
                .help("add `shutdownGracePeriod`: what all pods get together"),
        );
    }
    if let (Some(list), Some(total)) = (node.entry("shutdownGracePeriodByPodPriority"), total) {
        problems.push(
            Diagnostic::error("a kubelet has `shutdownGracePeriod` or `shutdownGracePeriodByPodPriority`, not both")
                .at(&list.key_span, "the second one")
                .and_at(&total.key_span, "the first one"),
        );
    }
    problems.list.len() == before
}

record! {
    /// Settings of the kubelet, the same on every node; the names are those of its configuration file.
    pub struct KubeletEntry is "`kubelet`", checked by check_kubelet {
        /// How long a shutdown of the node is delayed for its pods, all together; 0s (no graceful shutdown) if left out.
        pub shutdown_grace_period: Option<Spanned<Duration>>,
        /// The last part of it, which is for critical pods (priority 2000000000 and more).
        pub shutdown_grace_period_critical_pods: Option<Spanned<Duration>>,
        /// In place of both: a time for each range of priorities.
        #[schemars(default)]
        pub shutdown_grace_period_by_pod_priority: Vec<ShutdownGraceEntry>,
    }
}

record! {
    /// How long the pods of a range of priorities have.
    pub struct ShutdownGraceEntry is "an entry of `shutdownGracePeriodByPodPriority`" {
        /// The lowest priority of the range; it ends where the next one begins.
        pub priority: i32,
        /// Seconds.
        pub shutdown_grace_period_seconds: u32,
    }
}

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
        /// `kubectl rollout restart deployment`.
        pub rollout_restart: Option<RestartAction>,
        /// A node joins: it registers now and is Ready after `ready` (30s if left out).
        pub add_node: Option<NodeEntry>,
        /// A machine loses power.
        pub shut_off: Option<NodeRef>,
        /// `kubectl delete node`.
        pub delete_node: Option<NodeRef>,
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
pub const ACTIONS: [&str; 18] = [
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
        /// `--grace-period`, in seconds; the pod's own if left out.
        pub grace_period: Option<Seconds>,
    }
}

/// One workload.
fn check_scale(node: &Node, problems: &mut Diagnostics) -> bool {
    const WORKLOADS: [&str; 3] = ["deployment", "replicaSet", "statefulSet"];
    let given: Vec<&Entry> = node.entries().iter().filter(|e| WORKLOADS.contains(&e.key.as_str())).collect();
    match given[..] {
        [first, second, ..] => problems.push(
            Diagnostic::error("`scale` is about one workload")
                .at(&second.key_span, "the second one")
                .and_at(&first.key_span, "the first one")
                .help("make two actions of it"),
        ),
        [] => problems.push(
            Diagnostic::error("`scale` does not say what")
                .at(&node.span, "in this action")
                .help("add `deployment: NAME`, `replicaSet: NAME` or `statefulSet: NAME`"),
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
    /// `kubectl rollout restart deployment`.
    pub struct RestartAction is "`rolloutRestart`" {
        /// The Deployment: its name, or namespace/name.
        pub deployment: Spanned<String>,
    }
}
