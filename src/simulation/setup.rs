//! What a run starts from: a cluster in its steady state, the traffic, and what will be done to it. Everything is
//! resolved and checked; nothing behind it parses a string again.

use std::collections::BTreeMap;

use crate::api::autoscaler::ScaleTarget;
use crate::api::daemon_set::DaemonSetUpdate;
use crate::api::job::{PodFailurePolicy, PodReplacementPolicy};
use crate::api::pod::Signal;
use crate::api::quantity::Resources;
use crate::api::stateful_set::{PodManagement, StatefulSetUpdate};
use crate::api::workload::Strategy;
use crate::api::{Labels, Node, Owner, PdbSpec, PodTemplate, Selector, Service, ServiceId, Taint, TemplateId, Version};
use crate::engine::{Distribution, Duration, Time};
use crate::simulation::found::Found;
use crate::simulation::latency::Latencies;

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

/// How the process in a container starts, serves and ends.
#[derive(Clone, PartialEq, Debug)]
pub struct App {
    /// The name of the profile, for reports.
    pub profile: String,
    /// From the start of the process to its listening socket.
    pub startup: Distribution,
    /// How long a request is worked on.
    pub service_time: Distribution,
    /// From a signal's arrival to what the process does about it.
    pub reaction: Distribution,
    /// The signal that the runtime sends to stop the container: `lifecycle.stopSignal`, else the image's STOPSIGNAL,
    /// else SIGTERM.
    pub stop_signal: Signal,
    /// What each signal makes it do. A signal that is not here has no handler, and PID 1 then ignores it
    /// (pid_namespaces(7)).
    pub reactions: BTreeMap<Signal, Reaction>,
    /// How long the server keeps an idle connection open; `None`: for ever.
    pub keep_alive_timeout: Option<Duration>,
    /// What the process does without being asked.
    pub life: Life,
}

/// What a process does without being asked: wait for others, end, crash, hang. By default, nothing of all that.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Life {
    /// It asks for this before it does anything else.
    pub waits_for: Option<WaitsFor>,
    /// It exits by itself so long after its start (or after what it waits for has come).
    pub exits_after: Option<Duration>,
    /// With this exit code; also when it crashes.
    pub exit_code: u32,
    /// It crashes at this time, if it runs then.
    pub crashes_at: Option<Time>,
    /// If it runs at this time, it hangs from then on: connections are accepted and nothing is answered, neither to
    /// clients nor to probes; no signal but SIGKILL has an effect.
    pub hangs_at: Option<Time>,
}

/// `until nc -z SERVICE PORT; do sleep 2; done`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitsFor {
    /// The Service that must accept a connection.
    pub service: ServiceId,
    /// The pause between attempts.
    pub every: Duration,
}

/// What a process does on a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// Nothing.
    Ignore,
    /// Ends at once: whatever is in flight is cut, idle connections are closed.
    ExitNow,
    /// Winds down, then exits.
    Drain {
        /// Goes on accepting connections for so long first.
        linger: Duration,
        /// Then closes the listener and idle connections and finishes what is in flight, for at most this long (`None`:
        /// as long as it takes); what is left is cut.
        in_flight_max: Option<Duration>,
        /// Works so long after the last request before it exits (flushing, closing pools).
        work: Duration,
    },
}

/// kube-proxy on every node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KubeProxySetup {
    /// `--iptables-min-sync-period`: no sync begins sooner after the end of the one before. 1 s by default for iptables and
    /// nftables (`pkg/proxy/apis/config/v1alpha1/defaults.go`, v1.36).
    pub min_sync_period: Duration,
}

impl Default for KubeProxySetup {
    fn default() -> Self {
        Self { min_sync_period: Duration::from_secs(1) }
    }
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

/// A stream of requests to one Service.
#[derive(Clone, PartialEq, Debug)]
pub struct Traffic {
    /// A name for reports and for keyed draws.
    pub name: String,
    /// Where the requests go.
    pub service: ServiceId,
    /// Requests per second, all clients together.
    pub rate: f64,
    /// How the requests are spaced.
    pub arrivals: Arrivals,
    /// The nodes that the clients sit on, one client each, with equal shares of the rate.
    pub from: Vec<String>,
    /// What the clients do about connections.
    pub connections: Connections,
    /// Who chooses the pod.
    pub via: Via,
    /// A request that has not been answered after this time has failed: connecting and answering together.
    pub timeout: Duration,
    /// The first request comes after this time.
    pub start: Time,
    /// No request is sent from this time on; `None`: to the end of the run.
    pub stop: Option<Time>,
}

/// How requests are spaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrivals {
    /// Independently: exponential gaps.
    Poisson,
    /// Evenly, each client with a phase of its own.
    Constant,
}

/// Who chooses the pod of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Via {
    /// kube-proxy on the client's node: the clients speak to the Service's address.
    #[default]
    KubeProxy,
    /// An ingress controller of its own mind. [`Traffic::from`] names the nodes on which its replicas run; the clients
    /// are somewhere outside, and always reach a replica that runs.
    IngressNginx(IngressNginx),
}

/// How ingress-nginx follows the endpoints, and what it does about an upstream that fails it.
///
/// Source: kubernetes/ingress-nginx, `internal/ingress/controller/config/config.go` NewDefault (proxy-connect-timeout,
/// proxy-next-upstream `error timeout`, proxy-next-upstream-tries, retry-non-idempotent), `pkg/flags/flags.go`
/// (sync-rate-limit), `rootfs/etc/nginx/lua/balancer.lua` BACKENDS_SYNC_INTERVAL (v1.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IngressNginx {
    /// At least so long from the start of one sync of the controller to the next: `--sync-rate-limit` 0.3 per second.
    pub sync_interval: Duration,
    /// Every worker of nginx looks so often for endpoints that the controller has posted.
    pub poll_interval: Duration,
    /// `proxy-next-upstream-tries`: so many pods at most are asked for a connection.
    pub tries: u32,
    /// `proxy-connect-timeout`.
    pub connect_timeout: Duration,
}

impl Default for IngressNginx {
    fn default() -> Self {
        Self {
            sync_interval: Duration::from_nanos(10_000_000_000 / 3),
            poll_interval: Duration::from_secs(1),
            tries: 3,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// What a client does about connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connections {
    /// A new one for each request.
    New,
    /// Idle ones are used again, the most recent first.
    KeepAlive {
        /// At most so many are kept idle per client; more are closed when their request is done.
        idle_max: u32,
        /// An idle connection is closed by the client after this time; `None`: never.
        idle_timeout: Option<Duration>,
    },
}

/// Something that is done to the cluster.
#[derive(Clone, PartialEq, Debug)]
pub struct Action {
    /// A name that other actions may wait for; empty if none was given.
    pub name: String,
    /// When.
    pub when: When,
    /// What.
    pub what: ActionKind,
}

/// When an action happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At this time.
    At(Time),
    /// So long after the action of this index is done.
    After(usize, Duration),
    /// As [`After`](Self::After), unless that action is a command that failed.
    OnSuccess(usize, Duration),
    /// As soon as so many of the actions `first..end` are done: work that goes on in a window.
    Window {
        /// The first action that counts.
        first: usize,
        /// The one behind the last that counts.
        end: usize,
        /// How many must be done.
        done: usize,
    },
}

/// What is done.
#[derive(Clone, PartialEq, Debug)]
pub enum ActionKind {
    /// `kubectl drain NODE…`: one process.
    Drain(DrainOptions),
    /// `kubectl cordon NODE`.
    Cordon(String),
    /// `kubectl uncordon NODE`.
    Uncordon(String),
    /// `kubectl delete pod`.
    DeletePod {
        /// The namespace.
        namespace: String,
        /// The name, or the name's beginning: the first living pod in order of creation that has it.
        name: String,
        /// `--grace-period`.
        grace_seconds: Option<i64>,
        /// `--force`: with a grace period of 0, which it is unless another one is given, the object goes at once.
        force: bool,
    },
    /// `kubectl label pod`.
    LabelPod {
        /// The namespace.
        namespace: String,
        /// The name, or the name's beginning: the first living pod in order of creation that has it.
        name: String,
        /// Labels to set, and to take away (`None`).
        changes: Vec<(String, Option<String>)>,
        /// `--overwrite`.
        overwrite: bool,
    },
    /// `kubectl patch hpa`: other bounds for an autoscaler.
    PatchAutoscaler {
        /// Index into [`Setup::autoscalers`].
        autoscaler: usize,
        /// `spec.minReplicas`.
        min_replicas: Option<u32>,
        /// `spec.maxReplicas`.
        max_replicas: Option<u32>,
    },
    /// `kubectl scale deployment`.
    Scale {
        /// Index into [`Setup::deployments`].
        deployment: usize,
        /// The new number of replicas.
        replicas: u32,
    },
    /// `kubectl rollout restart deployment`.
    RolloutRestart {
        /// Index into [`Setup::deployments`].
        deployment: usize,
    },
    /// A machine joins: its Node object is created now, and is Ready after its start-up.
    AddNode {
        /// The node.
        node: Node,
        /// From now to Ready.
        ready_after: Duration,
    },
    /// The machine loses power: its pods and their network vanish, nobody is told.
    ShutOff(String),
    /// The Node object is deleted (`kubectl delete node`).
    DeleteNode(String),
    /// The machine gets its power back.
    PowerOn(String),
    /// The kernel restarts: the power goes and comes back at once.
    Restart(String),
    /// The kubelet's process is stopped; containers and kube-proxy go on.
    StopKubelet(String),
    /// The kubelet's process is started again.
    StartKubelet(String),
    /// A node is cut off.
    Partition(Partition),
    /// `kubectl taint nodes`.
    Taint {
        /// The node.
        node: String,
        /// The taint; to remove one, its key and effect count.
        taint: Taint,
        /// `KEY:EFFECT-`.
        remove: bool,
    },
    /// The machine is shut down in an orderly way (`systemctl poweroff`): its kubelet may delay that.
    Shutdown(String),
    /// A managed service upgrades a pool of nodes: each is emptied and replaced.
    Upgrade(UpgradeOptions),
    /// cluster-autoscaler scales these nodes down.
    ClusterAutoscaler(ClusterAutoscalerOptions),
    /// Karpenter disrupts these nodes.
    Karpenter(KarpenterOptions),
    /// `kubectl scale replicaset`.
    ScaleReplicaSet {
        /// Index into [`Setup::replica_sets`].
        replica_set: usize,
        /// The new number of replicas.
        replicas: u32,
    },
    /// `kubectl scale statefulset`.
    ScaleStatefulSet {
        /// Index into [`Setup::stateful_sets`].
        stateful_set: usize,
        /// The new number of replicas.
        replicas: u32,
    },
    /// `kubectl apply`.
    Apply(Vec<Applied>),
    /// `kubectl delete poddisruptionbudget`.
    DeletePdb {
        /// Index into [`Setup::pdbs`] and then [`Setup::later_pdbs`].
        pdb: crate::api::PdbId,
    },
}

/// An object that is applied.
#[derive(Clone, PartialEq, Debug)]
pub enum Applied {
    /// A Deployment that is there.
    Deployment {
        /// Index into [`Setup::deployments`].
        deployment: usize,
        /// `spec.replicas`; `None`: as it is.
        replicas: Option<u32>,
        /// `spec.strategy`.
        strategy: Strategy,
        /// `spec.minReadySeconds`.
        min_ready_seconds: u64,
        /// `spec.template`.
        template: TemplateId,
    },
    /// A budget, which is created if it is not there.
    Pdb {
        /// Index into [`Setup::pdbs`] and then [`Setup::later_pdbs`].
        pdb: crate::api::PdbId,
        /// The budget.
        budget: crate::api::pdb::Budget,
        /// `unhealthyPodEvictionPolicy`.
        unhealthy: crate::api::pdb::UnhealthyPodEvictionPolicy,
    },
}

/// A node that is cut off from others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partition {
    /// The node.
    pub node: String,
    /// From whom.
    pub from: PartitionScope,
    /// When it is over; `None`: not in this run.
    pub heal_after: Option<Duration>,
}

/// Whom a node that is cut off cannot reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartitionScope {
    /// The control plane: kubelet and kube-proxy hear and say nothing. Clients and pods of all nodes still reach each other.
    ControlPlane,
    /// The control plane and all other nodes.
    Everything,
}

/// The upgrade of a node pool. Every old node is replaced by a new machine like it.
#[derive(Clone, PartialEq, Debug)]
pub struct UpgradeOptions {
    /// In which order things are done.
    pub profile: UpgradeProfile,
    /// The old nodes, in the order in which they are taken.
    pub nodes: Vec<String>,
    /// So many machines come in addition, before old ones go.
    pub max_surge: u32,
    /// So many old nodes go before their replacement is there.
    pub max_unavailable: u32,
    /// How long a node may take to become empty; `None`: for ever.
    pub drain_timeout: Option<Duration>,
    /// What is left then is deleted, whatever the budgets say; without it the upgrade fails.
    pub force: bool,
    /// From empty to switched off.
    pub wait_after_drain: Duration,
    /// From the order of a machine to its node's being Ready.
    pub ready_after: Duration,
}

/// Whose upgrade it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpgradeProfile {
    /// Nobody's: cordon, drain, replace, with no time limit.
    Plain,
    /// Surge upgrades of Google Kubernetes Engine.
    Gke,
    /// Updates of managed node groups of Amazon EKS.
    Eks,
    /// Rolling upgrades of Azure Kubernetes Service.
    Aks,
}

/// A scale-down by cluster-autoscaler, with its flags.
#[derive(Clone, PartialEq, Debug)]
pub struct ClusterAutoscalerOptions {
    /// The nodes that it no longer needs.
    pub nodes: Vec<String>,
    /// `--max-pod-eviction-time`: how long one pod's eviction is tried.
    pub max_pod_eviction_time: Duration,
    /// `--max-graceful-termination-sec`: no pod gets more grace.
    pub max_graceful_termination: u64,
    /// `--node-delete-delay-after-taint`.
    pub node_delete_delay_after_taint: Duration,
    /// `--daemonset-eviction-for-occupied-nodes`.
    pub evict_daemonsets: bool,
    /// `--skip-nodes-with-local-storage`.
    pub skip_nodes_with_local_storage: bool,
    /// `--cordon-node-before-terminating`.
    pub cordon: bool,
}

impl Default for ClusterAutoscalerOptions {
    /// The defaults of `cluster-autoscaler/config/flags/flags.go` (cluster-autoscaler 1.36.1).
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            max_pod_eviction_time: Duration::from_secs(120),
            max_graceful_termination: 600,
            node_delete_delay_after_taint: Duration::from_secs(5),
            evict_daemonsets: true,
            skip_nodes_with_local_storage: true,
            cordon: true,
        }
    }
}

/// A disruption of nodes by Karpenter.
#[derive(Clone, PartialEq, Debug)]
pub struct KarpenterOptions {
    /// The nodes.
    pub nodes: Vec<String>,
    /// `spec.terminationGracePeriod` of their NodeClaims; `None`: as long as it takes.
    pub termination_grace_period: Option<Duration>,
    /// Each node gets a replacement before it goes, Ready after so long; `None`: nothing replaces it.
    pub replacement_ready_after: Option<Duration>,
}

/// `kubectl drain`, with its flags.
#[derive(Clone, PartialEq, Debug)]
pub struct DrainOptions {
    /// The nodes, in the order given; none with [`selector`](Self::selector).
    pub nodes: Vec<String>,
    /// `--selector`: instead of names, the nodes that have these labels when the process looks.
    pub selector: Option<crate::api::Selector>,
    /// `--force`.
    pub force: bool,
    /// `--ignore-daemonsets`.
    pub ignore_daemonsets: bool,
    /// `--delete-emptydir-data`.
    pub delete_emptydir_data: bool,
    /// `--delete-local-data`, the old name of `--delete-emptydir-data`: deprecated from 1.20 on, unknown from 1.31 on.
    pub delete_local_data: bool,
    /// `--disable-eviction`: plain deletes, budgets are not asked.
    pub disable_eviction: bool,
    /// `--grace-period`; negative: the pod's own.
    pub grace_period: i64,
    /// `--timeout`, per node; zero: none.
    pub timeout: Duration,
    /// `--pod-selector`.
    pub pod_selector: Option<crate::api::Selector>,
    /// `--skip-wait-for-delete-timeout`, seconds; 0: off.
    pub skip_wait_for_delete_timeout: u64,
    /// `--dry-run`.
    pub dry_run: DryRun,
}

/// `--dry-run` of kubectl.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DryRun {
    /// It is done.
    #[default]
    None,
    /// kubectl reads, and sends no write.
    Client,
    /// The apiserver decides, and stores nothing.
    Server,
}

impl DryRun {
    /// What kubectl adds to its lines.
    ///
    /// Source: `k8s.io/kubectl/pkg/cmd/util/helpers.go` PrintFlagsWithDryRunStrategy (v1.36).
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            selector: None,
            force: false,
            ignore_daemonsets: false,
            delete_emptydir_data: false,
            delete_local_data: false,
            disable_eviction: false,
            grace_period: -1,
            timeout: Duration::ZERO,
            pod_selector: None,
            skip_wait_for_delete_timeout: 0,
            dry_run: DryRun::None,
        }
    }
}

/// A plain node: 4 cores, 16 GiB, 110 pods, labelled with its host name.
#[must_use]
pub fn plain_node(name: &str) -> Node {
    Node {
        name: name.to_string(),
        labels: Labels::from([("kubernetes.io/hostname".to_string(), name.to_string())]),
        unschedulable: false,
        taints: Vec::<Taint>::new(),
        ready: true,
        unreachable: false,
        allocatable: Resources { cpu_millis: 4000, memory_bytes: 16 << 30 },
        pods_max: 110,
    }
}
