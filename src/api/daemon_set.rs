//! DaemonSets.

use crate::api::labels::Selector;
use crate::api::meta::{IntOrPercent, TemplateId};

/// `spec.updateStrategy` of a DaemonSet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DaemonSetUpdate {
    /// Pods get a new template when somebody deletes them.
    OnDelete,
    /// Old pods are replaced by the controller, some at a time.
    RollingUpdate {
        /// On how many nodes the pod may be unavailable; 1 unless given. Percentages are rounded up.
        max_unavailable: IntOrPercent,
        /// On how many nodes a new pod may run beside the old one; 0 unless given. Percentages are rounded up.
        max_surge: IntOrPercent,
    },
}

impl DaemonSetUpdate {
    /// Whether a new pod may run beside the old one.
    ///
    /// Source: `pkg/controller/daemon/util/daemonset_util.go` AllowsSurge, SurgeCount (v1.36).
    #[must_use]
    pub fn surges(self) -> bool {
        matches!(self, Self::RollingUpdate { max_surge, .. } if max_surge.scaled_up(100) > 0)
    }
}

impl Default for DaemonSetUpdate {
    /// Source: `pkg/apis/apps/v1/defaults.go` SetDefaults_DaemonSet (v1.36).
    fn default() -> Self {
        Self::RollingUpdate { max_unavailable: IntOrPercent::Int(1), max_surge: IntOrPercent::Int(0) }
    }
}

/// One version of a DaemonSet, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DaemonSet {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.selector`.
    pub selector: Selector,
    /// `spec.template`; its tolerations are those that the controller adds, too.
    pub template: TemplateId,
    /// How often the template has been changed.
    pub revision: u32,
    /// `spec.updateStrategy`.
    pub update: DaemonSetUpdate,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: u64,
    /// The counts in its status.
    pub status: DaemonSetStatus,
}

/// The counts in `status` of a DaemonSet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DaemonSetStatus {
    /// `desiredNumberScheduled`: nodes that should have the pod.
    pub desired: u32,
    /// `currentNumberScheduled`: those of them that have it.
    pub current: u32,
    /// `numberReady`.
    pub ready: u32,
    /// `numberAvailable`.
    pub available: u32,
    /// `updatedNumberScheduled`.
    pub updated: u32,
}
