//! What one sync of a Deployment does: pure arithmetic over its ReplicaSets.
//!
//! Source: `pkg/controller/deployment/{rolling,recreate,sync}.go` and
//! `pkg/controller/deployment/util/deployment_util.go` (v1.36).

use std::cmp::Reverse;

use crate::api::workload::Strategy;
use crate::api::{Deployment, ReplicaSetId, Revision};

/// A ReplicaSet of the Deployment, as the controller sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Member {
    pub id: ReplicaSetId,
    /// The version that the controller has read.
    pub base: Revision,
    /// The revision of the Deployment that it was made for.
    pub revision: u32,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `status.replicas`.
    pub status_replicas: u32,
    /// `status.availableReplicas`.
    pub available: u32,
    /// The size of the Deployment when the ReplicaSet was last scaled.
    pub annotation: Option<Sizes>,
}

/// The annotations `deployment.kubernetes.io/desired-replicas` and `max-replicas`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sizes {
    pub desired: u32,
    pub max: u32,
}

impl Sizes {
    pub fn of(deployment: &Deployment) -> Self {
        Self { desired: deployment.replicas, max: deployment.replicas + fenceposts(deployment).max_surge }
    }
}

/// One write of a sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Create the new ReplicaSet with so many replicas.
    Create(u32),
    /// Set `spec.replicas`.
    Scale { replica_set: ReplicaSetId, replicas: u32, base: Revision },
    /// Nothing but the annotations of the ReplicaSet of this revision change.
    Annotate { revision: u32 },
}

impl Step {
    fn scale(member: &Member, replicas: u32) -> Self {
        Self::Scale { replica_set: member.id, replicas, base: member.base }
    }
}

/// How far a rolling update may go above and below the wanted number of pods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fenceposts {
    pub max_surge: u32,
    pub max_unavailable: u32,
}

/// Those of the Deployment at its present size.
pub(super) fn fenceposts(deployment: &Deployment) -> Fenceposts {
    let (max_surge, max_unavailable) = deployment.strategy.fenceposts(deployment.replicas);
    Fenceposts { max_surge, max_unavailable }
}

/// Whether the Deployment's size has changed since its ReplicaSets were last scaled (isScalingEvent).
pub(super) fn is_scaling_event(deployment: &Deployment, members: &[Member]) -> bool {
    let differs = |m: &Member| m.annotation.is_some_and(|a| a.desired != deployment.replicas);
    members.iter().any(|m| m.replicas > 0 && differs(m))
}

/// How large the new ReplicaSet may be now, given that all together have `current` replicas (NewRSNewReplicas). Pods
/// that are being deleted do not count.
pub(super) fn new_replicas(deployment: &Deployment, current: u32, new: u32) -> u32 {
    if deployment.strategy == Strategy::Recreate {
        return deployment.replicas;
    }
    let max_total = deployment.replicas + fenceposts(deployment).max_surge;
    let room = max_total.saturating_sub(current);
    new + room.min(deployment.replicas.saturating_sub(new))
}

/// rolloutRolling: the new ReplicaSet up; if that changed nothing, the old ones down. `old` is sorted, the oldest first.
pub(super) fn rolling(deployment: &Deployment, new: Option<Member>, old: &[Member]) -> Vec<Step> {
    let old_total: u32 = old.iter().map(|m| m.replicas).sum();
    let mut steps = Vec::new();
    let (new_size, new_available) = match new {
        // a ReplicaSet that is created gets its size at once, and the sync goes on
        None => {
            let size = new_replicas(deployment, old_total, 0);
            steps.push(Step::Create(size));
            (size, 0)
        }
        Some(new) => {
            let size = if new.replicas >= deployment.replicas {
                deployment.replicas
            } else {
                new_replicas(deployment, old_total + new.replicas, new.replicas)
            };
            if size != new.replicas {
                return vec![Step::scale(&new, size)];
            }
            (size, new.available)
        }
    };
    steps.extend(reconcile_old(deployment, old, new_size, new_available));
    steps
}

/// reconcileOldReplicaSets: first old pods that are not available anyway, then available ones as far as enough remain.
fn reconcile_old(deployment: &Deployment, old: &[Member], new_size: u32, new_available: u32) -> Vec<Step> {
    let old_total: u32 = old.iter().map(|m| m.replicas).sum();
    if old_total == 0 {
        return Vec::new();
    }
    let min_available = i64::from(deployment.replicas) - i64::from(fenceposts(deployment).max_unavailable);
    let new_unavailable = i64::from(new_size) - i64::from(new_available);
    let max_scaled_down = i64::from(old_total) + i64::from(new_size) - min_available - new_unavailable;
    if max_scaled_down <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<u32> = old.iter().map(|m| m.replicas).collect();
    let mut steps = Vec::new();

    // cleanupUnhealthyReplicas
    let mut left = u32::try_from(max_scaled_down).unwrap_or(u32::MAX);
    for (member, size) in old.iter().zip(&mut sizes) {
        let by = left.min(size.saturating_sub(member.available));
        if by > 0 {
            *size -= by;
            left -= by;
            steps.push(Step::scale(member, *size));
        }
    }

    // scaleDownOldReplicaSetsForRollingUpdate
    let available: i64 = old.iter().map(|m| i64::from(m.available)).sum::<i64>() + i64::from(new_available);
    let mut left = u32::try_from(available - min_available).unwrap_or(0);
    for (member, size) in old.iter().zip(&mut sizes) {
        let by = left.min(*size);
        if by > 0 {
            *size -= by;
            left -= by;
            steps.push(Step::scale(member, *size));
        }
    }
    steps
}

/// rolloutRecreate: the old ReplicaSets to zero; when none of their pods runs any more, the new one.
pub(super) fn recreate(
    deployment: &Deployment,
    new: Option<Member>,
    old: &[Member],
    old_pods_running: bool,
) -> Vec<Step> {
    let down: Vec<_> = old.iter().filter(|m| m.replicas > 0).map(|m| Step::scale(m, 0)).collect();
    if !down.is_empty() {
        return down;
    }
    match new {
        _ if old_pods_running => Vec::new(),
        None => vec![Step::Create(deployment.replicas)],
        Some(new) if new.replicas != deployment.replicas => vec![Step::scale(&new, deployment.replicas)],
        Some(_) => Vec::new(),
    }
}

/// scale: what a change of the Deployment's size does, during a rollout in proportion.
pub(super) fn scale(deployment: &Deployment, new: Option<Member>, old: &[Member]) -> Vec<Step> {
    let active: Vec<Member> = old.iter().chain(&new).filter(|m| m.replicas > 0).copied().collect();
    // FindActiveOrLatest
    let single = match active.len() {
        0 => new.or(old.last().copied()),
        1 => Some(active[0]),
        _ => None,
    };
    if let Some(single) = single {
        return if single.replicas == deployment.replicas {
            Vec::new()
        } else {
            vec![Step::scale(&single, deployment.replicas)]
        };
    }
    // IsSaturated
    let saturated = |m: &Member| {
        m.annotation.is_some_and(|a| a.desired == deployment.replicas)
            && m.replicas == deployment.replicas
            && m.available == deployment.replicas
    };
    if new.as_ref().is_some_and(saturated) {
        return old.iter().filter(|m| m.replicas > 0).map(|m| Step::scale(m, 0)).collect();
    }
    if deployment.strategy == Strategy::Recreate {
        return Vec::new();
    }
    proportional(deployment, active)
}

/// The proportional part of scale: what is to be added or removed is shared out by size, the largest first, and the
/// largest takes what rounding leaves over.
fn proportional(deployment: &Deployment, mut active: Vec<Member>) -> Vec<Step> {
    let total: i64 = active.iter().map(|m| i64::from(m.replicas)).sum();
    let allowed =
        if deployment.replicas > 0 { i64::from(deployment.replicas + fenceposts(deployment).max_surge) } else { 0 };
    let to_add = allowed - total;
    if to_add > 0 {
        active.sort_by_key(|m| (Reverse(m.replicas), Reverse(m.id)));
    } else {
        active.sort_by_key(|m| (Reverse(m.replicas), m.id));
    }
    let status_total: u32 = active.iter().map(|m| m.status_replicas).sum();
    let mut added = 0;
    let mut sizes = Vec::with_capacity(active.len());
    for member in &active {
        let share = proportion(deployment, member, status_total, to_add, added);
        sizes.push(i64::from(member.replicas) + share);
        added += share;
    }
    if to_add != 0 {
        sizes[0] = (sizes[0] + to_add - added).max(0);
    }
    let steps = active.iter().zip(sizes).map(|(member, size)| {
        let size = u32::try_from(size).unwrap_or(0);
        if size == member.replicas { Step::Annotate { revision: member.revision } } else { Step::scale(member, size) }
    });
    steps.collect()
}

/// GetReplicaSetProportion: the share of one ReplicaSet, at most what is left to add (or to remove).
fn proportion(deployment: &Deployment, member: &Member, status_total: u32, to_add: i64, added: i64) -> i64 {
    if member.replicas == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let size = i64::from(member.replicas);
    let fraction = if deployment.replicas == 0 {
        -size
    } else {
        let max_before = i64::from(member.annotation.map_or(status_total, |a| a.max)).max(1);
        let max_now = i64::from(deployment.replicas + fenceposts(deployment).max_surge);
        // rounded to the nearest, halves up
        (2 * size * max_now + max_before).div_euclid(2 * max_before) - size
    };
    let allowed = to_add - added;
    if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::IntOrPercent::{self, Int, Percent};
    use crate::api::TemplateId;

    fn deployment(replicas: u32, max_surge: IntOrPercent, max_unavailable: IntOrPercent) -> Deployment {
        Deployment {
            namespace: "default".into(),
            name: "web".into(),
            replicas,
            strategy: Strategy::RollingUpdate { max_surge, max_unavailable },
            min_ready_seconds: 0,
            selector: crate::api::Selector::default(),
            template: TemplateId(0),
            revision: 2,
        }
    }

    /// A ReplicaSet whose annotations say what `d` says.
    fn member(d: &Deployment, id: u32, replicas: u32, available: u32) -> Member {
        Member {
            id: ReplicaSetId(id),
            base: Revision(1),
            revision: id,
            replicas,
            status_replicas: replicas,
            available,
            annotation: Some(Sizes::of(d)),
        }
    }

    /// `Create` as (none, size), `Scale` as (id, size).
    fn sizes(steps: &[Step]) -> Vec<(Option<u32>, u32)> {
        let size = |s: &Step| match *s {
            Step::Create(n) => Some((None, n)),
            Step::Scale { replica_set, replicas, .. } => Some((Some(replica_set.0), replicas)),
            Step::Annotate { .. } => None,
        };
        steps.iter().filter_map(size).collect()
    }

    #[test]
    fn fenceposts_round_apart() {
        for (replicas, surge, unavailable, expected) in [
            (10, Percent(25), Percent(25), (3, 2)),
            (4, Percent(25), Percent(25), (1, 1)),
            (3, Percent(25), Percent(25), (1, 0)),
            (1, Percent(25), Percent(25), (1, 0)),
            (10, Int(0), Percent(0), (0, 1)),
            (3, Int(0), Percent(25), (0, 1)),
            (2, Int(1), Int(5), (1, 2)),
            (0, Percent(25), Percent(25), (0, 0)),
        ] {
            let posts = fenceposts(&deployment(replicas, surge, unavailable));
            assert_eq!((posts.max_surge, posts.max_unavailable), expected, "{replicas} {surge} {unavailable}");
        }
    }

    #[test]
    fn a_rollout_of_three_goes_one_by_one() {
        let d = deployment(3, Percent(25), Percent(25));
        let m = |id, replicas, available| member(&d, id, replicas, available);
        for (new, old, expected) in [
            (None, m(1, 3, 3), vec![(None, 1)]),
            (Some(m(2, 1, 0)), m(1, 3, 3), vec![]),
            (Some(m(2, 1, 1)), m(1, 3, 3), vec![(Some(1), 2)]),
            (Some(m(2, 1, 1)), m(1, 2, 3), vec![(Some(2), 2)]),
            (Some(m(2, 3, 3)), m(1, 1, 1), vec![(Some(1), 0)]),
            (Some(m(2, 3, 3)), m(1, 0, 0), vec![]),
        ] {
            assert_eq!(sizes(&rolling(&d, new, &[old])), expected, "{new:?} {old:?}");
        }
    }

    #[test]
    fn the_sync_that_creates_also_scales_down() {
        let d = deployment(10, Int(3), Int(2));
        let old = [member(&d, 1, 10, 10)];
        assert_eq!(sizes(&rolling(&d, None, &old)), [(None, 3), (Some(1), 8)]);
    }

    #[test]
    fn unhealthy_old_pods_go_first_and_from_the_oldest() {
        let d = deployment(10, Int(3), Int(2));
        // 13 in all, 8 must be available, the new 5 are not: nothing may go
        let stuck = [member(&d, 1, 8, 7)];
        assert_eq!(rolling(&d, Some(member(&d, 2, 5, 0)), &stuck), []);
        // of 13, two new ones are missing: 3 may go, the broken ones of the oldest first; of the available 8 none may
        let old = [member(&d, 0, 3, 1), member(&d, 1, 5, 4)];
        let new = Some(member(&d, 2, 5, 3));
        assert_eq!(sizes(&rolling(&d, new, &old)), [(Some(0), 1), (Some(1), 4)]);
    }

    #[test]
    fn one_old_replica_set_can_be_scaled_twice_in_a_sync() {
        let d = deployment(4, Int(2), Int(2));
        let old = [member(&d, 1, 4, 3)];
        let steps = rolling(&d, Some(member(&d, 2, 4, 4)), &old);
        // one that is not available anyway, then the three that are: seven are available, two would do
        assert_eq!(sizes(&steps), [(Some(1), 3), (Some(1), 0)]);
    }

    #[test]
    fn recreate_waits_for_the_last_old_pod() {
        let d = Deployment { strategy: Strategy::Recreate, ..deployment(3, Int(0), Int(0)) };
        let up = member(&d, 1, 3, 3);
        let down = member(&d, 1, 0, 0);
        assert_eq!(sizes(&recreate(&d, None, &[up], true)), [(Some(1), 0)]);
        assert_eq!(recreate(&d, None, &[down], true), []);
        assert_eq!(sizes(&recreate(&d, None, &[down], false)), [(None, 3)]);
        assert_eq!(recreate(&d, Some(member(&d, 2, 3, 0)), &[down], false), []);
    }

    #[test]
    fn scaling_one_replica_set_is_plain() {
        let before = deployment(2, Percent(25), Percent(25));
        let after = Deployment { replicas: 5, ..before.clone() };
        let rs = member(&before, 2, 2, 2);
        assert!(is_scaling_event(&after, &[rs]));
        assert!(!is_scaling_event(&before, &[rs]));
        assert_eq!(sizes(&scale(&after, Some(rs), &[member(&before, 1, 0, 0)])), [(Some(2), 5)]);
    }

    #[test]
    fn scaling_during_a_rollout_is_proportional() {
        // the example of the documentation: 10 replicas, surge 3, unavailable 2, stuck at 8 + 5, scaled to 15
        let before = deployment(10, Int(3), Int(2));
        let after = Deployment { replicas: 15, ..before.clone() };
        let old = [member(&before, 1, 8, 8)];
        let new = Some(member(&before, 2, 5, 0));
        assert_eq!(sizes(&scale(&after, new, &old)), [(Some(1), 11), (Some(2), 7)]);
        // and down again: 13 of 18 must go from 11 + 7 to 5 in all
        let shrunk = Deployment { replicas: 2, ..after.clone() };
        let old = [member(&after, 1, 11, 8)];
        let new = Some(member(&after, 2, 7, 0));
        let steps = sizes(&scale(&shrunk, new, &old));
        assert_eq!(steps.iter().map(|s| s.1).sum::<u32>(), 5, "{steps:?}");
        let zero = Deployment { replicas: 0, ..after.clone() };
        assert_eq!(sizes(&scale(&zero, new, &old)), [(Some(1), 0), (Some(2), 0)]);
    }
}
