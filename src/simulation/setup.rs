//! What a run starts from: a cluster in its steady state, the traffic, and what will be done to it. Everything is
//! resolved and checked; nothing behind it parses a string again.

use std::collections::BTreeMap;

use crate::api::autoscaler::ScaleTarget;
use crate::api::daemon_set::DaemonSetUpdate;
use crate::api::job::{PodFailurePolicy, PodReplacementPolicy};
use crate::api::quantity::Resources;
use crate::api::stateful_set::{PodManagement, StatefulSetUpdate};
use crate::api::workload::Strategy;
use crate::api::{Labels, Node, Owner, PdbSpec, PodTemplate, Selector, Service, Taint, TemplateId, Version};
use crate::engine::{Duration, Time};
use crate::simulation::found::Found;
use crate::simulation::latency::Latencies;

mod action;
mod app;
mod client;
mod kube_proxy;
mod path;
mod requests;
mod traffic;

pub use action::{
    Action, ActionKind, Applied, ClusterAutoscalerOptions, DrainOptions, DryRun, KarpenterOptions, Partition,
    PartitionScope, Restarted, UpgradeOptions, UpgradeProfile, When,
};
pub use app::{
    App, Capacity, ConnectionClose, GoAway, IdleConnections, Life, NobodyBehind, Reaction, Shutdown, SocketAtShutdown,
    WaitsFor, WarmUp,
};
pub use kube_proxy::{ClusterSize, FailedSyncs, FailureSpan, KubeProxySetup, ProxyMode, SyncCost};
pub use path::{BalancerProfile, Checked, Envoy, EnvoyProfile, HealthCheck, IngressNginx, LoadBalancer, Targets, Via};

pub use client::{ClientCache, Connections, Origin, Resolve, Retries, RetryOn};
pub use requests::{BULK_FROM, RequestsMode};
pub use traffic::{Arrivals, Traffic};

/// The input of one run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Setup {
    /// The version of all Kubernetes components.
    pub version: Version,
    /// How long the run lasts.
    pub duration: Duration,
    /// The nodes.
    pub nodes: Vec<NodeSetup>,
    /// The Services.
    pub services: Vec<Service>,
    /// The PodDisruptionBudgets, already observed by their controller.
    pub pdbs: Vec<PdbSpec>,
    /// PodDisruptionBudgets that are not there at the start: an action applies them.
    pub later_pdbs: Vec<PdbSpec>,
    /// The pod templates that the workloads refer to.
    pub templates: Vec<PodTemplate>,
    /// The Deployments, completely rolled out.
    pub deployments: Vec<DeploymentSetup>,
    /// ReplicaSets without a Deployment.
    pub replica_sets: Vec<ReplicaSetSetup>,
    /// The StatefulSets, completely rolled out.
    pub stateful_sets: Vec<StatefulSetSetup>,
    /// The DaemonSets, with a pod on each node that they are for.
    pub daemon_sets: Vec<DaemonSetSetup>,
    /// The Jobs, with as many pods running as they may have.
    pub jobs: Vec<JobSetup>,
    /// The HorizontalPodAutoscalers, content with what there is.
    pub autoscalers: Vec<AutoscalerSetup>,
    /// Single pods: bare ones, and those of controllers that are not modelled.
    pub pods: Vec<PodSetup>,
    /// What of the workloads and pods was found running, under names of its own. Empty: everything is rolled out.
    pub found: Found,
    /// The applications that run in containers.
    pub apps: Vec<App>,
    /// The clients.
    pub traffic: Vec<Traffic>,
    /// How their requests are simulated.
    pub requests: RequestsMode,
    /// What is done to the cluster.
    pub actions: Vec<Action>,
    /// How long things take.
    pub latencies: Latencies,
    /// kube-proxy's settings, the same on every node.
    pub kube_proxy: KubeProxySetup,
    /// kube-controller-manager's settings.
    pub controller_manager: ControllerManagerSetup,
    /// The kubelets' settings, the same on every node.
    pub kubelet: KubeletSetup,
}

/// A node, and when it is there.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeSetup {
    /// The node as it is created.
    pub node: Node,
    /// When it becomes Ready; `None`: it has been for long. Nodes that join have no images yet.
    pub ready_at: Option<Time>,
}

/// A Deployment of the scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct DeploymentSetup {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.strategy`.
    pub strategy: Strategy,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: u64,
    /// `spec.selector`.
    pub selector: Selector,
    /// `spec.template`.
    pub template: TemplateId,
    /// Nodes for the first pods, in order; the scheduler's rules place the others.
    pub placement: Vec<String>,
}

/// A ReplicaSet without a Deployment.
#[derive(Clone, PartialEq, Debug)]
pub struct ReplicaSetSetup {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: u64,
    /// `spec.selector`.
    pub selector: Selector,
    /// `spec.template`.
    pub template: TemplateId,
    /// Nodes for the first pods, in order.
    pub placement: Vec<String>,
}

/// A StatefulSet of the scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct StatefulSetSetup {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
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
    pub template: TemplateId,
    /// Nodes for the pods by ordinal, from the first on; the scheduler's rules place the others.
    pub placement: Vec<String>,
}

/// A DaemonSet of the scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct DaemonSetSetup {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.updateStrategy`.
    pub update: DaemonSetUpdate,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: u64,
    /// `spec.selector`.
    pub selector: Selector,
    /// `spec.template`, with the tolerations that the controller adds.
    pub template: TemplateId,
    /// Names of the pods that are there, by node; nodes without an entry get one with a name of the model's.
    pub pods: BTreeMap<String, String>,
}

/// A Job of the scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct JobSetup {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.parallelism`.
    pub parallelism: u32,
    /// `spec.completions`; `None`: one success is enough.
    pub completions: Option<u32>,
    /// `spec.backoffLimit`.
    pub backoff_limit: u32,
    /// `spec.podReplacementPolicy`.
    pub replacement: PodReplacementPolicy,
    /// `spec.podFailurePolicy`.
    pub failure_policy: Option<PodFailurePolicy>,
    /// `spec.template`.
    pub template: TemplateId,
    /// Nodes for the first pods, in order.
    pub placement: Vec<String>,
}

/// A HorizontalPodAutoscaler of the scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct AutoscalerSetup {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.scaleTargetRef`: an index into the Setup's Deployments, StatefulSets or ReplicaSets.
    pub target: ScaleTarget,
    /// `spec.minReplicas`.
    pub min_replicas: u32,
    /// `spec.maxReplicas`.
    pub max_replicas: u32,
    /// How many requests a second one pod is meant to get (`averageValue`); `None`: as many as each gets at the start.
    pub per_pod: Option<f64>,
    /// `spec.behavior.scaleDown.stabilizationWindowSeconds`; 300 s unless given.
    pub stabilization: Duration,
}

/// A single pod.
#[derive(Clone, PartialEq, Debug)]
pub struct PodSetup {
    /// The name.
    pub name: String,
    /// Its controller, if any.
    pub owner: Owner,
    /// What it is made of; carries the namespace.
    pub template: TemplateId,
    /// Where it runs; the scheduler's rules place it if `None`.
    pub node: Option<String>,
}

/// kube-controller-manager, as far as lost nodes are concerned.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ControllerManagerSetup {
    /// `--node-monitor-period`: 5 s.
    pub node_monitor_period: Duration,
    /// `--node-monitor-grace-period`; `None`: the version's default.
    pub node_monitor_grace_period: Option<Duration>,
    /// `--node-eviction-rate`, nodes a second in each zone: 0.1.
    pub node_eviction_rate: f64,
    /// `--secondary-node-eviction-rate`, in a large zone that is partly disrupted: 0.01.
    pub secondary_node_eviction_rate: f64,
    /// `--large-cluster-size-threshold`: a zone of more nodes is a large one; 50.
    pub large_cluster_size_threshold: u32,
    /// `--unhealthy-zone-threshold`: a zone with this share of its nodes not Ready is partly disrupted; 0.55.
    pub unhealthy_zone_threshold: f64,
}

impl ControllerManagerSetup {
    /// After how long a silent node is given up.
    #[must_use]
    pub fn grace_period(&self, version: Version) -> Duration {
        self.node_monitor_grace_period.unwrap_or(Duration::from_secs(version.node_monitor_grace_seconds()))
    }
}

impl Default for ControllerManagerSetup {
    /// Source: `cmd/kube-controller-manager/app/options/nodelifecyclecontroller.go`,
    /// `k8s.io/cloud-provider/config/v1alpha1/defaults.go` (v1.36).
    fn default() -> Self {
        Self {
            node_monitor_period: Duration::from_secs(5),
            node_monitor_grace_period: None,
            node_eviction_rate: 0.1,
            secondary_node_eviction_rate: 0.01,
            large_cluster_size_threshold: 50,
            unhealthy_zone_threshold: 0.55,
        }
    }
}

/// The kubelet on every node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KubeletSetup {
    /// `nodeStatusUpdateFrequency`: how often the node's status is worked out; 10 s.
    pub node_status_update_frequency: Duration,
    /// `nodeStatusReportFrequency`: how often it is reported if it has not changed; 5 min.
    pub node_status_report_frequency: Duration,
    /// `nodeLeaseDurationSeconds`: 40 s; the lease is renewed each quarter of it.
    pub node_lease_duration: Duration,
    /// `shutdownGracePeriodByPodPriority`, from the lowest priority to the highest, in whole seconds; what
    /// `shutdownGracePeriod` and `shutdownGracePeriodCriticalPods` come to, where those are given. Empty: there is no graceful
    /// node shutdown (the default).
    pub shutdown_grace: Vec<(i32, u64)>,
}

impl KubeletSetup {
    /// How often the lease is renewed (`nodeLeaseRenewIntervalFraction`).
    #[must_use]
    pub fn lease_renewal(&self) -> Duration {
        Duration::from_nanos(self.node_lease_duration.as_nanos() / 4)
    }
}

impl Default for KubeletSetup {
    /// Source: `pkg/kubelet/apis/config/v1beta1/defaults.go` (v1.36).
    fn default() -> Self {
        Self {
            node_status_update_frequency: Duration::from_secs(10),
            node_status_report_frequency: Duration::from_secs(300),
            node_lease_duration: Duration::from_secs(40),
            shutdown_grace: Vec::new(),
        }
    }
}

/// A plain node: 4 cores, 16 GiB, 110 pods, with the labels that every kubelet registers with (`initialNode` in
/// `pkg/kubelet/kubelet_node_status.go`, v1.36): many a manifest asks for `kubernetes.io/os: linux`.
#[must_use]
pub fn plain_node(name: &str) -> Node {
    let label = |key: &str, value: &str| (format!("kubernetes.io/{key}"), value.to_string());
    Node {
        name: name.to_string(),
        labels: Labels::from([label("hostname", name), label("os", "linux"), label("arch", "amd64")]),
        unschedulable: false,
        taints: Vec::<Taint>::new(),
        ready: true,
        unreachable: false,
        allocatable: Resources { cpu_millis: 4000, memory_bytes: 16 << 30 },
        pods_max: 110,
    }
}
