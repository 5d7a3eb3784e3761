//! Deployments and ReplicaSets.

use crate::api::labels::Selector;
use crate::api::meta::{DeploymentId, IntOrPercent, TemplateId};

/// `spec.strategy` of a Deployment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// Old pods are replaced by new ones, some at a time.
    RollingUpdate {
        /// `maxSurge`, rounded up; 25 % unless given.
        max_surge: IntOrPercent,
        /// `maxUnavailable`, rounded down; 25 % unless given.
        max_unavailable: IntOrPercent,
    },
    /// All old pods go first.
    Recreate,
}

impl Default for Strategy {
    /// Source: `pkg/apis/apps/v1/defaults.go` SetDefaults_Deployment (v1.36).
    fn default() -> Self {
        Self::RollingUpdate { max_surge: IntOrPercent::Percent(25), max_unavailable: IntOrPercent::Percent(25) }
    }
}

impl Strategy {
    /// How many pods a rolling update of so many replicas may have too many and too few: the surge rounded up, the
    /// unavailable rounded down. Were both zero nothing could ever move, so one may be unavailable then; were more
    /// unavailable than there are, all may. Both are zero for Recreate.
    ///
    /// Source: `pkg/controller/deployment/util/deployment_util.go` ResolveFenceposts, MaxSurge, MaxUnavailable (v1.36).
    #[must_use]
    pub fn fenceposts(self, replicas: u32) -> (u32, u32) {
        let Self::RollingUpdate { max_surge, max_unavailable } = self else { return (0, 0) };
        let max_surge = max_surge.scaled_up(replicas);
        let max_unavailable = match max_unavailable.scaled_down(replicas) {
            0 if max_surge == 0 => 1,
            n => n,
        };
        (max_surge, max_unavailable.min(replicas))
    }
}

/// One version of a Deployment, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deployment {
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
    /// How often the template has been changed (`kubectl rollout restart` changes it): the ReplicaSet of this revision is
    /// the new one.
    pub revision: u32,
}

/// One version of a ReplicaSet, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaSet {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The Deployment that owns it.
    pub deployment: Option<DeploymentId>,
    /// The revision of the Deployment that it was made for.
    pub revision: u32,
    /// `spec.selector`; of a Deployment's ReplicaSet with the hash of its template.
    pub selector: Selector,
    /// `spec.template`.
    pub template: TemplateId,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: u64,
    /// `status.replicas`: active pods that the controller has counted.
    pub status_replicas: u32,
    /// `status.readyReplicas`.
    pub ready_replicas: u32,
    /// `status.availableReplicas`: ready for `minReadySeconds`.
    pub available_replicas: u32,
}
