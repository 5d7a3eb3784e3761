//! Writes on their way to the apiserver, and who waits for their answer.

use crate::api::pdb::{Budget, UnhealthyPodEvictionPolicy};
use crate::api::workload::Strategy;
use crate::api::{
    Endpoints, NodeId, PdbId, PdbStatus, PodId, ReplicaSet, ReplicaSetId, Revision, ServiceId, Taint, TemplateId,
};
use crate::engine::Time;
use crate::simulation::event::{Controller, KubectlStep};

mod workload;

pub use workload::{NewPod, WorkloadWrite};

/// A write that has been sent and has not been committed.
#[derive(Clone, Debug)]
pub struct PendingWrite {
    /// What.
    pub write: Write,
    /// Who is told of the answer.
    pub caller: Caller,
}

/// Who is told when a write has been committed or refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// Nobody.
    Nobody,
    /// A controller, for this key.
    Controller(Controller, u32),
    /// The scheduler, about this pod.
    Scheduler(PodId),
    /// The status writer of the kubelet of this pod.
    Kubelet(PodId),
    /// A kubectl process, which then takes this step.
    Kubectl(u32, KubectlStep),
    /// An eviction call, which then takes its next step.
    Eviction(u32),
}

/// Why a write was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// 409: the object has a newer version than the one that the writer had read.
    Conflict,
    /// 404.
    NotFound,
}

/// A write, as the apiserver will carry it out when it commits.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// A ReplicaSet makes its next pod.
    CreatePod {
        /// Whose.
        replica_set: ReplicaSetId,
        /// The how-manyeth pod of that ReplicaSet, from 0: gives the pod its name and its luck.
        ordinal: u32,
    },
    /// The scheduler binds a pod.
    BindPod {
        /// Which.
        pod: PodId,
        /// Where.
        node: NodeId,
    },
    /// A kubelet patches a pod's status.
    PodStatus {
        /// Which.
        pod: PodId,
        /// What it says.
        status: PodStatusPatch,
    },
    /// The node lifecycle controller says that a pod on a silent node is not ready.
    MarkPodNotReady {
        /// Which.
        pod: PodId,
    },
    /// The node lifecycle controller says that nothing is heard of a node: Ready is Unknown.
    MarkNodeUnreachable {
        /// Which.
        node: NodeId,
    },
    /// A kubelet says that its node is not ready, for it is being shut down.
    NodeShuttingDown {
        /// Which.
        node: NodeId,
    },
    /// A kubelet reports that its node is Ready.
    ReportNodeReady {
        /// Which.
        node: NodeId,
    },
    /// The pod garbage collector says that a pod has failed, before it deletes it.
    FailPod {
        /// Which.
        pod: PodId,
        /// With the condition DisruptionTarget.
        disrupted: bool,
    },
    /// A DELETE of a pod.
    DeletePod {
        /// Which.
        pod: PodId,
        /// `gracePeriodSeconds` of the request; `None`: the pod's own.
        grace_seconds: Option<i64>,
        /// Precondition: the pod has still this version.
        unless_changed_since: Option<Revision>,
    },
    /// The kubelet's last DELETE (grace 0, UID precondition): the pod is gone.
    RemovePod {
        /// Which.
        pod: PodId,
    },
    /// The condition DisruptionTarget, written by the eviction handler before the delete.
    MarkDisrupted {
        /// Which.
        pod: PodId,
        /// Precondition: the pod has still this version.
        unless_changed_since: Option<Revision>,
    },
    /// A budget's status, by controller or eviction handler, with optimistic concurrency.
    PdbStatus {
        /// Which.
        pdb: PdbId,
        /// The version that the writer had read.
        base: Revision,
        /// The new status.
        status: PdbStatus,
    },
    /// The EndpointSlices of a Service.
    Endpoints {
        /// Which.
        service: ServiceId,
        /// The version that the controller had read.
        base: Revision,
        /// The new endpoints.
        endpoints: Endpoints,
    },
    /// `spec.replicas` of a ReplicaSet, by the Deployment controller.
    ScaleReplicaSet {
        /// Which.
        replica_set: ReplicaSetId,
        /// The version that the controller had read.
        base: Revision,
        /// The new number.
        replicas: u32,
    },
    /// A new ReplicaSet, by the Deployment controller.
    CreateReplicaSet(Box<ReplicaSet>),
    /// The counts in a ReplicaSet's status.
    ReplicaSetStatus {
        /// Which.
        replica_set: ReplicaSetId,
        /// `status.replicas`.
        replicas: u32,
        /// `status.readyReplicas`.
        ready: u32,
        /// `status.availableReplicas`.
        available: u32,
    },
    /// `spec.unschedulable` of a node.
    Cordon {
        /// Which.
        node: NodeId,
        /// The new value.
        unschedulable: bool,
    },
    /// A patch of a node's taints: those that are there already are not added again.
    PatchTaints {
        /// Which.
        node: NodeId,
        /// New ones; one of the same key and effect is replaced.
        add: Vec<Taint>,
        /// Those of the same key and effect go.
        remove: Vec<Taint>,
    },
    /// `spec.replicas` of a Deployment.
    ScaleDeployment {
        /// Index of the Deployment.
        deployment: u32,
        /// The new number.
        replicas: u32,
    },
    /// A new template for a Deployment (`kubectl rollout restart` changes an annotation of it).
    ChangeTemplate {
        /// Index of the Deployment.
        deployment: u32,
        /// The new template.
        template: TemplateId,
    },
    /// One taint of a node is added or taken away, and with it, in the same write, `spec.unschedulable` may change.
    MarkNode {
        /// Which.
        node: NodeId,
        /// The taint; of the same key and effect there is one.
        taint: Taint,
        /// Whether it is there afterwards.
        present: bool,
        /// The new `spec.unschedulable`; `None`: as it is.
        unschedulable: Option<bool>,
    },
    /// The spec of a Deployment, by `kubectl apply`.
    ApplyDeployment {
        /// Index of the Deployment.
        deployment: u32,
        /// `spec.replicas`.
        replicas: u32,
        /// `spec.strategy`.
        strategy: Strategy,
        /// `spec.minReadySeconds`.
        min_ready_seconds: u64,
        /// `spec.template`.
        template: TemplateId,
    },
    /// A budget is created, or its spec changed.
    ApplyPdb {
        /// Which.
        pdb: PdbId,
        /// The budget.
        budget: Budget,
        /// `unhealthyPodEvictionPolicy`.
        unhealthy: UnhealthyPodEvictionPolicy,
    },
    /// A budget is removed.
    DeletePdb {
        /// Which.
        pdb: PdbId,
    },
    /// The Node object is removed.
    DeleteNode {
        /// Which.
        node: NodeId,
    },
    /// A controller of a load balancer writes a condition that a readiness gate of a pod names.
    PodCondition {
        /// Which.
        pod: PodId,
        /// The gate, by its place in the pod's spec.
        gate: u8,
        /// Whether the condition is True.
        status: bool,
    },
    /// A write of the other workloads' controllers, or one that changes whose pod a pod is.
    Workload(WorkloadWrite),
}

/// What a kubelet says of a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PodStatusPatch {
    /// `status.phase`.
    pub phase: crate::api::Phase,
    /// The Ready condition.
    pub ready: bool,
    /// When Ready changed.
    pub ready_since: Time,
    /// Whether the pod has an address.
    pub has_ip: bool,
    /// The statuses of its containers.
    pub containers: crate::api::pod::StatusesId,
    /// `status.reason`.
    pub reason: Option<crate::api::pod::StatusReason>,
    /// Whether the kubelet adds the condition DisruptionTarget.
    pub disruption_target: bool,
}

impl PodStatusPatch {
    /// What the stored pod says.
    #[must_use]
    pub const fn of(pod: &crate::api::Pod) -> Self {
        let crate::api::Pod { phase, ready, ready_since, has_ip, containers, reason, disruption_target, .. } = *pod;
        Self { phase, ready, ready_since, has_ip, containers, reason, disruption_target }
    }
}
