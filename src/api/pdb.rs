//! PodDisruptionBudgets.

use crate::api::labels::Selector;
use crate::api::meta::{IntOrPercent, PodId};
use crate::engine::Time;

/// What must stay up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Budget {
    /// `minAvailable`.
    MinAvailable(IntOrPercent),
    /// `maxUnavailable`.
    MaxUnavailable(IntOrPercent),
    /// Neither: nothing may be evicted.
    #[default]
    Nothing,
}

/// What happens to evictions of pods that are not Ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnhealthyPodEvictionPolicy {
    /// They may go if the application is not below its budget (the default).
    #[default]
    IfHealthyBudget,
    /// They may always go.
    AlwaysAllow,
}

/// The part of a budget that a person writes, as it is at first. The budget and the policy may change; see [`Pdb`].
#[derive(Clone, PartialEq, Debug)]
pub struct PdbSpec {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Which pods; `None` (a null selector) matches none, an empty one all of the namespace (policy/v1).
    pub selector: Option<Selector>,
    /// The budget.
    pub budget: Budget,
    /// `unhealthyPodEvictionPolicy`.
    pub unhealthy: UnhealthyPodEvictionPolicy,
}

impl PdbSpec {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Why `disruptionsAllowed` is what it is: the reason of the condition DisruptionAllowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DisruptionReason {
    /// Nobody has computed it yet.
    #[default]
    None,
    /// True/SufficientPods.
    SufficientPods,
    /// False/InsufficientPods.
    InsufficientPods,
    /// False/SyncFailed: a pod's controller could not be found.
    SyncFailed,
}

/// The part that the disruption controller and the eviction handler write.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PdbStatus {
    /// The generation that the controller has seen; 0 for a new budget.
    pub observed_generation: u64,
    /// How many more pods may be evicted now.
    pub disruptions_allowed: u32,
    /// Pods that are Ready and not about to go.
    pub current_healthy: u32,
    /// How many there must be.
    pub desired_healthy: u32,
    /// The number of pods that the budget is computed from.
    pub expected_pods: u32,
    /// Pods whose eviction was admitted and whose deletion the controller has not yet seen, with the (whole-second) time
    /// of admission; ordered by pod. The real map is keyed by name.
    pub disrupted_pods: Vec<(PodId, Time)>,
    /// The reason of the condition DisruptionAllowed.
    pub reason: DisruptionReason,
}

/// One version of a budget, as stored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pdb {
    /// `metadata.generation`: rises when the spec changes.
    pub generation: u64,
    /// The budget.
    pub budget: Budget,
    /// `unhealthyPodEvictionPolicy`.
    pub unhealthy: UnhealthyPodEvictionPolicy,
    /// `status`.
    pub status: PdbStatus,
}
