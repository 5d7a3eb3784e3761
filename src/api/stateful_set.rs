//! StatefulSets.

use crate::api::labels::Selector;
use crate::api::meta::TemplateId;

/// `spec.podManagementPolicy`: whether one pod waits for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PodManagement {
    /// `OrderedReady` (the default): a pod is made when all of lower ordinals are available; pods go one at a time.
    #[default]
    OrderedReady,
    /// `Parallel`: no pod waits for another, except in a rolling update.
    Parallel,
}

/// `spec.updateStrategy` of a StatefulSet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatefulSetUpdate {
    /// Pods get a new template when somebody deletes them.
    OnDelete,
    /// The highest ordinal first, one at a time. `maxUnavailable` is behind the feature gate MaxUnavailableStatefulSet,
    /// which is off in the newest patch of each version.
    RollingUpdate {
        /// Pods of lower ordinals keep the old template.
        partition: u32,
    },
}

impl Default for StatefulSetUpdate {
    /// Source: `pkg/apis/apps/v1/defaults.go` SetDefaults_StatefulSet (v1.36).
    fn default() -> Self {
        Self::RollingUpdate { partition: 0 }
    }
}

/// One version of a StatefulSet, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatefulSet {
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
    /// How often the template has been changed: stands for `status.updateRevision`.
    pub revision: u32,
    /// The template that pods below the partition are made from: that of `current_revision`.
    pub current_template: TemplateId,
    /// Stands for `status.currentRevision`.
    pub current_revision: u32,
    /// The counts in its status.
    pub status: StatefulSetStatus,
}

/// The counts in `status` of a StatefulSet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StatefulSetStatus {
    /// `replicas`: pods that exist, terminating ones included.
    pub replicas: u32,
    /// `readyReplicas`.
    pub ready: u32,
    /// `availableReplicas`: ready for `minReadySeconds`.
    pub available: u32,
    /// `updatedReplicas`: of the newest revision, not terminating.
    pub updated: u32,
}

/// The ordinal of a StatefulSet's pod, which is the end of its name.
///
/// Source: `pkg/controller/statefulset/stateful_set_utils.go` getParentNameAndOrdinal (v1.36).
#[must_use]
pub fn ordinal_of(pod_name: &str) -> Option<u32> {
    pod_name.rsplit_once('-')?.1.parse().ok()
}
