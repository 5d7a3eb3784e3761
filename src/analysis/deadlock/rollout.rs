//! What a Deployment may still do with its pods.
//!
//! Source: `pkg/controller/deployment/rolling.go` reconcileNewReplicaSet, reconcileOldReplicaSets,
//! cleanupUnhealthyReplicas, scaleDownOldReplicaSetsForRollingUpdate (v1.36).

use crate::analysis::deadlock::possible::Possible;
use crate::api::autoscaler::ScaleTarget;
use crate::api::workload::Strategy;
use crate::api::{Deployment, DeploymentId, Owner, ReplicaSet, ReplicaSetId};
use crate::simulation::end_state::{EndPod, EndState};
use crate::simulation::setup::{ActionKind, Restarted};

/// How a Deployment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Motion {
    /// The newest ReplicaSet has all replicas, and nobody is going to touch it.
    AtRest,
    /// It is in the middle of a rollout.
    Rolling,
    /// Somebody may yet scale it or change its template: it may do anything with its pods.
    ToBeTouched,
}

/// Whether the newest ReplicaSet has all replicas, and the others none.
pub(super) fn is_at_rest(state: &EndState, id: DeploymentId) -> bool {
    let Some(deployment) = &state.deployments[id.index()] else { return false };
    let wanted = |rs: &ReplicaSet| if rs.revision == deployment.revision { deployment.replicas } else { 0 };
    let mine = || state.replica_sets.iter().flatten().filter(|rs| rs.deployment == Some(id));
    mine().all(|rs| rs.replicas == wanted(rs)) && mine().any(|rs| rs.revision == deployment.revision)
}

impl Possible<'_> {
    pub(super) fn motion(&self, id: DeploymentId) -> Motion {
        let touched = |(_, what): (usize, &ActionKind)| {
            matches!(what, ActionKind::Scale { deployment, .. } | ActionKind::RolloutRestart(Restarted::Deployment(deployment))
                if *deployment == id.index())
        };
        let now = self.state.deployments.get(id.index()).and_then(Option::as_ref).map_or(0, |d| d.replicas);
        let autoscaled = self.autoscaled(ScaleTarget::Deployment(id)).is_some_and(|range| range != (now, now));
        if autoscaled || self.to_come().any(touched) {
            Motion::ToBeTouched
        } else if self.is_at_rest(id) {
            Motion::AtRest
        } else {
            Motion::Rolling
        }
    }

    /// Whether the controller of a pod may delete it: a ReplicaSet with too many, or a rollout that can go on.
    pub(super) fn controller_may_delete(&self, pod: &EndPod) -> bool {
        let id = match pod.owner {
            Owner::ReplicaSet(id) => id,
            Owner::StatefulSet(id) => return self.stateful_set_may_delete(id, pod),
            Owner::DaemonSet(id) => {
                return self.state.daemon_sets[id.index()].as_ref().is_none_or(|set| set.revision > 1);
            }
            _ => return false,
        };
        let Some(rs) = self.replica_set(id) else { return true };
        let Some(deployment) = rs.deployment else { return self.active(id) > rs.replicas };
        let Some(object) = self.state.deployments[deployment.index()].as_ref() else { return true };
        match self.motion(deployment) {
            Motion::AtRest => self.active(id) > rs.replicas,
            Motion::ToBeTouched => true,
            Motion::Rolling if self.active(id) > rs.replicas => true,
            Motion::Rolling if rs.revision == object.revision => rs.replicas > object.replicas,
            Motion::Rolling => self.old_pod_may_go(deployment, object, pod.object.ready),
        }
    }

    /// Old pods go while enough others are available. Those that are not go as soon as what is not available among the new
    /// ones leaves room for it.
    fn old_pod_may_go(&self, id: DeploymentId, deployment: &Deployment, ready: bool) -> bool {
        let Strategy::RollingUpdate { max_unavailable, max_surge } = deployment.strategy else { return true };
        let surge = max_surge.scaled_up(deployment.replicas);
        // both zero after rounding: one may be unavailable (ResolveFenceposts)
        let unavailable = match (max_unavailable.scaled_down(deployment.replicas), surge) {
            (0, 0) => 1,
            (n, _) => n,
        };
        let least = deployment.replicas.saturating_sub(unavailable);
        let (mut old, mut old_available, mut new_available) = (0, 0, 0);
        for (number, rs) in self.replica_sets_of(id) {
            let healthy = self.most_healthy_of(number);
            if rs.revision == deployment.revision {
                new_available += healthy + self.owed_by(number, rs);
            } else {
                old += rs.replicas.max(self.active(ReplicaSetId::from(number)));
                old_available += healthy;
            }
        }
        let beyond_limit = old + new_available > deployment.replicas + surge.max(1);
        let may_shrink = old + new_available.min(deployment.replicas) > least;
        beyond_limit || (may_shrink && (!ready || old_available + new_available > least))
    }

    /// How many pods that are healthy, and are not there yet, a ReplicaSet may make.
    pub(super) fn owed_by(&self, number: usize, rs: &ReplicaSet) -> u32 {
        let id = ReplicaSetId::from(number);
        let touched = rs.deployment.is_some_and(|d| self.motion(d) == Motion::ToBeTouched);
        if !touched && !self.next_may_be_ready(rs.template) {
            return 0;
        }
        let own = rs.replicas.saturating_sub(self.active(id));
        let Some(deployment) = rs.deployment else { return own };
        let Some(object) = self.state.deployments[deployment.index()].as_ref() else { return own };
        let total = || self.replica_sets_of(deployment).map(|(n, _)| self.active(ReplicaSetId::from(n))).sum::<u32>();
        match self.motion(deployment) {
            Motion::AtRest => own,
            Motion::Rolling if rs.revision < object.revision => own,
            Motion::Rolling => {
                let room = most(object, object.replicas).saturating_sub(total());
                own.max(object.replicas.saturating_sub(self.active(id)).min(room))
            }
            Motion::ToBeTouched => {
                let replicas = self.replicas(deployment).1;
                most(object, replicas).saturating_sub(self.active(id))
            }
        }
    }

    /// Pods of a ReplicaSet that are Ready or may become so, or be replaced by such.
    fn most_healthy_of(&self, number: usize) -> u32 {
        let owner = Owner::ReplicaSet(ReplicaSetId::from(number));
        let counts = |p: &&EndPod| p.owner == owner && p.object.is_active() && self.may_count_as_healthy(p);
        u32::try_from(self.state.pods.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }

    fn replica_sets_of(&self, id: DeploymentId) -> impl Iterator<Item = (usize, &ReplicaSet)> + '_ {
        let all = self.state.replica_sets.iter().enumerate();
        all.filter_map(move |(number, rs)| Some((number, rs.as_ref().filter(|rs| rs.deployment == Some(id))?)))
    }

    /// Whether a healthy pod may come in the place of this one, from its own ReplicaSet or from the one that a rollout
    /// leads to.
    pub(super) fn may_be_replaced(&self, pod: &EndPod) -> bool {
        let id = match pod.owner {
            Owner::ReplicaSet(id) => id,
            Owner::StatefulSet(id) => return self.stateful_pod_may_be_replaced(id, pod),
            Owner::DaemonSet(_) => return self.next_may_be_ready(pod.template),
            _ => return false,
        };
        let newest = || {
            let deployment = self.replica_set(id)?.deployment?;
            let revision = self.state.deployments[deployment.index()].as_ref()?.revision;
            self.replica_sets_of(deployment).find(|(_, rs)| rs.revision == revision).map(|(_, rs)| rs.template)
        };
        let touched =
            || self.replica_set(id).and_then(|rs| rs.deployment).is_some_and(|d| self.motion(d) == Motion::ToBeTouched);
        self.next_may_be_ready(pod.template) || newest().is_some_and(|t| self.next_may_be_ready(t)) || touched()
    }
}

/// The most pods that a Deployment of so many replicas has during a rollout.
fn most(deployment: &Deployment, replicas: u32) -> u32 {
    match deployment.strategy {
        Strategy::RollingUpdate { max_surge, .. } => replicas + max_surge.scaled_up(replicas),
        Strategy::Recreate => replicas,
    }
}
