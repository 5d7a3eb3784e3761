//! What is done to the cluster in a run, and when: kubectl's commands with their flags, managed upgrades, autoscalers, and
//! machines that fail.

use crate::api::pdb::{Budget, UnhealthyPodEvictionPolicy};
use crate::api::workload::Strategy;
use crate::api::{Node, PdbId, Selector, Taint, TemplateId};
use crate::engine::{Duration, Time};

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
        /// Index into [`Setup::autoscalers`](super::Setup::autoscalers).
        autoscaler: usize,
        /// `spec.minReplicas`.
        min_replicas: Option<u32>,
        /// `spec.maxReplicas`.
        max_replicas: Option<u32>,
    },
    /// `kubectl scale deployment`.
    Scale {
        /// Index into [`Setup::deployments`](super::Setup::deployments).
        deployment: usize,
        /// The new number of replicas.
        replicas: u32,
    },
    /// `kubectl rollout restart`.
    RolloutRestart(Restarted),
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
        /// Index into [`Setup::replica_sets`](super::Setup::replica_sets).
        replica_set: usize,
        /// The new number of replicas.
        replicas: u32,
    },
    /// `kubectl scale statefulset`.
    ScaleStatefulSet {
        /// Index into [`Setup::stateful_sets`](super::Setup::stateful_sets).
        stateful_set: usize,
        /// The new number of replicas.
        replicas: u32,
    },
    /// `kubectl apply`.
    Apply(Vec<Applied>),
    /// `kubectl delete poddisruptionbudget`.
    DeletePdb {
        /// Index into [`Setup::pdbs`](super::Setup::pdbs) and then [`Setup::later_pdbs`](super::Setup::later_pdbs).
        pdb: PdbId,
    },
}

/// A workload whose template gets an annotation with the time, so that all of its pods are replaced as its strategy says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restarted {
    /// Index into [`Setup::deployments`](super::Setup::deployments).
    Deployment(usize),
    /// Index into [`Setup::stateful_sets`](super::Setup::stateful_sets).
    StatefulSet(usize),
    /// Index into [`Setup::daemon_sets`](super::Setup::daemon_sets).
    DaemonSet(usize),
}

/// An object that is applied.
#[derive(Clone, PartialEq, Debug)]
pub enum Applied {
    /// A Deployment that is there.
    Deployment {
        /// Index into [`Setup::deployments`](super::Setup::deployments).
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
        /// Index into [`Setup::pdbs`](super::Setup::pdbs) and then [`Setup::later_pdbs`](super::Setup::later_pdbs).
        pdb: PdbId,
        /// The budget.
        budget: Budget,
        /// `unhealthyPodEvictionPolicy`.
        unhealthy: UnhealthyPodEvictionPolicy,
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
    pub selector: Option<Selector>,
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
    pub pod_selector: Option<Selector>,
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
