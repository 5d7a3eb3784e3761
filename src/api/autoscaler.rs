//! HorizontalPodAutoscalers.

use crate::api::meta::{DeploymentId, ReplicaSetId, StatefulSetId};

/// What an autoscaler scales.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScaleTarget {
    /// A Deployment.
    Deployment(DeploymentId),
    /// A StatefulSet.
    StatefulSet(StatefulSetId),
    /// A ReplicaSet without a Deployment.
    ReplicaSet(ReplicaSetId),
}

/// One version of an autoscaler, as stored.
#[derive(Clone, PartialEq, Debug)]
pub struct HorizontalPodAutoscaler {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.scaleTargetRef`.
    pub target: ScaleTarget,
    /// `spec.minReplicas`; 1 unless given.
    pub min_replicas: u32,
    /// `spec.maxReplicas`.
    pub max_replicas: u32,
}
