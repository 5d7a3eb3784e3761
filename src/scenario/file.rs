//! The scenario document, as it is written: `apiVersion: drainsim/v1alpha1`, `kind: Scenario`.
//!
//! The comments on the fields are what the JSON Schema, and so an editor, shows.

use crate::api::Version;
use crate::api::pod::Signal;
use crate::engine::{Distribution, Duration};
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::expect_entry::ExpectEntry;
use crate::scenario::read::{MapOf, Read, record};
use crate::scenario::source::Spanned;
use crate::scenario::tree::{Node, Value};
use crate::scenario::values::{
    ConnectionsEntry, HookSteps, KeepAliveTimeout, LatencyProfile, PathEntry, ProfileName, Quantity, Rate,
    ReactionEntry, ResolveEntry, RetriesEntry, ShutdownEntry, Sources, TaintEntry,
};
use crate::simulation::setup::{Arrivals, RequestsMode};

mod action;
mod kube_proxy;
mod operators;

pub use action::{
    ActionEntry, DeletePodAction, DrainAction, LabelPodAction, PartitionAction, PatchHpaAction, RestartAction,
    SpotNoticeAction, TaintAction,
};
pub use kube_proxy::{FailedSyncsEntry, KubeProxyEntry};
pub use operators::{ClusterAutoscalerAction, KarpenterAction, UpgradeAction};

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
        /// How requests are simulated; `auto` if left out. `--requests` overrides it.
        pub requests: Option<Spanned<RequestsMode>>,
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
        /// Flags of kube-controller-manager that concern lost nodes.
        pub controller_manager: Option<ControllerManagerEntry>,
        /// Settings of the kubelets, the same on every node.
        pub kubelet: Option<KubeletEntry>,
        /// Flags of kube-apiserver.
        pub api_server: Option<ApiServerEntry>,
        /// What must be true of the outcome.
        #[schemars(default)]
        pub expect: Vec<ExpectEntry>,
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
        /// Labels, besides `kubernetes.io/hostname`, `kubernetes.io/os: linux` and `kubernetes.io/arch: amd64`.
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
    if let (Some(fronts), None) = (node.entry("fronts"), node.entry("container")) {
        problems.push(
            Diagnostic::error("`fronts` needs `container`")
                .at(&fronts.key_span, "which container of the pod is it?")
                .help("add `container: istio-proxy`"),
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
        /// How the server parts from its clients while it winds down.
        pub shutdown: Option<ShutdownEntry>,
        /// Whether the process is PID 1 of its container, and so does not get signals that it has no handler for; true if left
        /// out, unless the command or the manifest tells that it is not.
        pub pid1: Option<bool>,
        /// How many requests it works on at a time (threads, workers); others wait. All at once if left out.
        pub concurrency: Option<Spanned<u32>>,
        /// How many requests may wait; one more is answered with 503. Any number if left out.
        pub queue: Option<Spanned<u32>>,
        /// It is slow at first.
        pub warm_up: Option<WarmUpEntry>,
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
        /// Requests to the pod come to this container, named by `container`, and it hands them to the one to which the Service
        /// leads: a mesh's sidecar. Those of Istio and Linkerd are recognised; `false` takes one for a container like any other.
        pub fronts: Option<Spanned<bool>>,
        /// The process first waits for a Service to accept connections.
        pub waits_for: Option<WaitsForEntry>,
    }
}

record! {
    /// How a process that has just begun to listen is slow.
    pub struct WarmUpEntry is "`warmUp`" {
        /// So long after it has begun to listen it is as fast as ever.
        pub span: Spanned<Duration>,
        /// Requests take so many times as long at first, and less and less from there.
        pub factor: Spanned<f64>,
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
        /// Where the clients sit, or the proxies of `via` that run in the cluster; `nodes` if left out. Not for a load
        /// balancer alone: its clients are outside.
        pub from: Option<Sources>,
        /// The hops on the way to a pod: `kube-proxy`, a proxy in the cluster, a load balancer, or a list of them from the
        /// client on; `kube-proxy` if left out.
        pub via: Option<Spanned<PathEntry>>,
        /// What the clients do about connections; `new` if left out.
        pub connections: Option<ConnectionsEntry>,
        /// So many source addresses each client has, used in turn; 1 if left out. Session affinity goes by them.
        pub addresses: Option<Spanned<u32>>,
        /// So many source ports each address has for the Service, used in turn: a port whose last SYN nothing has answered
        /// leads to the same pod for two minutes, whatever the rules say. Linux has 14116. If left out no port is used twice.
        pub source_ports: Option<Spanned<u32>>,
        /// How clients find the pods; `dns` if left out for a headless Service, else `address`.
        pub resolve: Option<Spanned<ResolveEntry>>,
        /// A request without answer after this time has failed; 10s if left out.
        pub timeout: Option<Spanned<Duration>>,
        /// A connection that is not made after this time is given up; only with the request if left out.
        pub connect_timeout: Option<Spanned<Duration>>,
        /// What the clients do about requests that fail; nothing if left out.
        pub retries: Option<RetriesEntry>,
        /// A second copy of a request is sent if there is no answer after this time, and the first answer counts; never if
        /// left out.
        pub hedge_after: Option<Spanned<Duration>>,
        /// When the requests begin; at 0s if left out.
        pub start: Option<Spanned<Duration>>,
        /// When they stop; at the end of the run if left out.
        pub stop: Option<Spanned<Duration>>,
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
        /// `nodeStatusUpdateFrequency`; 10s if left out.
        pub node_status_update_frequency: Option<Spanned<Duration>>,
        /// `nodeStatusReportFrequency`; 5m if both are left out, `nodeStatusUpdateFrequency` if only that one is given.
        pub node_status_report_frequency: Option<Spanned<Duration>>,
        /// `nodeLeaseDurationSeconds`; 40 if left out. The lease is renewed each quarter of it.
        pub node_lease_duration_seconds: Option<Spanned<u32>>,
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
    /// Flags of kube-controller-manager that concern lost nodes.
    pub struct ControllerManagerEntry is "`controllerManager`" {
        /// `--node-monitor-period`; 5s if left out.
        pub node_monitor_period: Option<Spanned<Duration>>,
        /// `--node-monitor-grace-period`; 50s if left out, 40s before Kubernetes 1.32.
        pub node_monitor_grace_period: Option<Spanned<Duration>>,
        /// `--node-eviction-rate`, nodes a second in each zone; 0.1 if left out.
        pub node_eviction_rate: Option<Spanned<f64>>,
        /// `--secondary-node-eviction-rate`, in a large zone that is partly disrupted; 0.01 if left out.
        pub secondary_node_eviction_rate: Option<Spanned<f64>>,
        /// `--large-cluster-size-threshold`: a zone of more nodes is a large one; 50 if left out.
        pub large_cluster_size_threshold: Option<u32>,
        /// `--unhealthy-zone-threshold`: a zone with this share of its nodes not Ready is partly disrupted; 0.55 if left
        /// out.
        pub unhealthy_zone_threshold: Option<Spanned<f64>>,
    }
}

record! {
    /// Flags of kube-apiserver.
    pub struct ApiServerEntry is "`apiServer`" {
        /// `--default-not-ready-toleration-seconds`; 300 if left out.
        pub default_not_ready_toleration_seconds: Option<u32>,
        /// `--default-unreachable-toleration-seconds`; 300 if left out.
        pub default_unreachable_toleration_seconds: Option<u32>,
    }
}
