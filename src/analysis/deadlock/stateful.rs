//! What a StatefulSet may still do with its pods.
//!
//! Source: `pkg/controller/statefulset/stateful_set_control.go` processReplica, processCondemned (v1.36).

use std::collections::BTreeMap;

use crate::analysis::deadlock::possible::Possible;
use crate::api::autoscaler::ScaleTarget;
use crate::api::stateful_set::{PodManagement, ordinal_of};
use crate::api::{Owner, StatefulSet, StatefulSetId};
use crate::simulation::end_state::EndPod;

impl Possible<'_> {
    /// The fewest and the most replicas that it may be scaled to.
    pub(super) fn stateful_replicas(&self, id: StatefulSetId) -> (u32, u32) {
        let now = self.stateful_set(id).map_or(0, |set| set.replicas);
        let (least, most) = self.autoscaled(ScaleTarget::StatefulSet(id)).unwrap_or((now, now));
        (least.min(now), most.max(now))
    }

    /// Pods beyond its size go, and those of another revision than it wants.
    pub(super) fn stateful_set_may_delete(&self, id: StatefulSetId, pod: &EndPod) -> bool {
        let Some(set) = self.stateful_set(id) else { return true };
        let size = set.first_ordinal + self.stateful_replicas(id).0;
        // one after the other: only when all that are to stay are Ready
        let beyond = || ordinal_of(&pod.name).is_none_or(|n| n >= size) && self.may_come_to(id, set, size);
        beyond() || set.revision != set.current_revision || pod.template != set.template
    }

    /// The next pod of the same name may be Ready; one after the other, if that is how it is managed.
    pub(super) fn stateful_pod_may_be_replaced(&self, id: StatefulSetId, pod: &EndPod) -> bool {
        let Some(set) = self.stateful_set(id) else { return false };
        let ordinal = ordinal_of(&pod.name).unwrap_or(0);
        self.next_may_be_ready(set.template) && self.may_come_to(id, set, ordinal)
    }

    /// How many healthy pods that are not there yet it may make.
    pub(super) fn owed_by_stateful_set(&self, id: StatefulSetId, set: &StatefulSet) -> u32 {
        if !self.next_may_be_ready(set.template) {
            return 0;
        }
        let there = self.pods_of_set(id);
        let (_, most) = self.stateful_replicas(id);
        let wanted = set.first_ordinal..set.first_ordinal + most;
        // a pod that is being deleted is not healthy, and its successor is owed
        let missing = |n: &u32| there.get(n).is_none_or(|pod| pod.object.deletion.is_some());
        let owed = wanted.filter(missing).filter(|n| self.may_come_to(id, set, *n)).count();
        u32::try_from(owed).unwrap_or(u32::MAX)
    }

    /// Whether all pods before this one that are there may be healthy; those that are not may come.
    fn may_come_to(&self, id: StatefulSetId, set: &StatefulSet, ordinal: u32) -> bool {
        set.management == PodManagement::Parallel
            || self
                .pods_of_set(id)
                .range(..ordinal)
                .all(|(_, pod)| pod.object.deletion.is_some() || self.may_count_as_healthy(pod))
    }

    fn pods_of_set(&self, id: StatefulSetId) -> BTreeMap<u32, &EndPod> {
        let of_it = self.state.pods.iter().filter(|p| p.owner == Owner::StatefulSet(id));
        of_it.filter_map(|p| Some((ordinal_of(&p.name)?, p))).collect()
    }

    fn stateful_set(&self, id: StatefulSetId) -> Option<&StatefulSet> {
        self.state.stateful_sets.get(id.index())?.as_ref()
    }
}
