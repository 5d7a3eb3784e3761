//! Writes of the controllers of StatefulSets, DaemonSets, Jobs and autoscalers, and those that change whose pod a pod is.

use crate::api::daemon_set::DaemonSetStatus;
use crate::api::job::JobStatus;
use crate::api::stateful_set::StatefulSetStatus;
use crate::api::{
    AutoscalerId, DaemonSetId, JobId, Labels, NodeId, Owner, PodId, ReplicaSetId, StatefulSetId, TemplateId,
};

/// One such write.
#[derive(Clone, PartialEq, Debug)]
pub enum WorkloadWrite {
    /// A controller, or a kubelet for a static pod, makes a pod.
    CreatePod(Box<NewPod>),
    /// A pod's labels no longer match the selector of its controller, which gives it up.
    ReleasePod {
        /// Which.
        pod: PodId,
    },
    /// A ReplicaSet takes a pod that nobody controls.
    AdoptPod {
        /// Which.
        pod: PodId,
        /// The new controller.
        replica_set: ReplicaSetId,
    },
    /// `kubectl label pod`.
    LabelPod {
        /// Which.
        pod: PodId,
        /// Labels to set, or to take away (`None`).
        changes: Vec<(String, Option<String>)>,
    },
    /// A kubelet makes the mirror of a static pod anew.
    RestoreMirror {
        /// Which.
        pod: PodId,
    },
    /// The Job controller has counted a pod: its tracking finalizer goes.
    RemoveFinalizer {
        /// Which.
        pod: PodId,
    },
    /// `spec.replicas` of a StatefulSet.
    ScaleStatefulSet {
        /// Which.
        stateful_set: StatefulSetId,
        /// The new number.
        replicas: u32,
    },
    /// `status` of a StatefulSet.
    StatefulSetStatus {
        /// Which.
        stateful_set: StatefulSetId,
        /// The counts.
        status: StatefulSetStatus,
        /// A rolling update is complete: the new revision becomes the current one.
        complete: bool,
    },
    /// A new template for a StatefulSet.
    ChangeStatefulSetTemplate {
        /// Which.
        stateful_set: StatefulSetId,
        /// The new template.
        template: TemplateId,
    },
    /// `status` of a DaemonSet.
    DaemonSetStatus {
        /// Which.
        daemon_set: DaemonSetId,
        /// The counts.
        status: DaemonSetStatus,
    },
    /// A new template for a DaemonSet.
    ChangeDaemonSetTemplate {
        /// Which.
        daemon_set: DaemonSetId,
        /// The new template.
        template: TemplateId,
    },
    /// `status` of a Job.
    JobStatus {
        /// Which.
        job: JobId,
        /// The counts.
        status: JobStatus,
    },
    /// `spec.minReplicas` and `spec.maxReplicas` of an autoscaler.
    BoundAutoscaler {
        /// Which.
        autoscaler: AutoscalerId,
        /// `spec.minReplicas`; `None`: as it was.
        min_replicas: Option<u32>,
        /// `spec.maxReplicas`; `None`: as it was.
        max_replicas: Option<u32>,
    },
}

/// A pod as its controller sends it.
#[derive(Clone, PartialEq, Debug)]
pub struct NewPod {
    /// The namespace.
    pub namespace: String,
    /// The name. If a pod of this name exists, the apiserver answers AlreadyExists.
    pub name: String,
    /// Stands for it in keyed draws.
    pub luck: u64,
    /// What it is made from.
    pub template: TemplateId,
    /// Its labels: those of the template and those of its controller.
    pub labels: Labels,
    /// Its controller.
    pub owner: Owner,
    /// The only node for it.
    pub only_on: Option<NodeId>,
    /// Its node, if it does not go through the scheduler.
    pub node: Option<NodeId>,
}
