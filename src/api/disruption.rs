//! The arithmetic of PodDisruptionBudgets: what the disruption controller computes from the pods that it sees.
//!
//! Source: `pkg/controller/disruption/disruption.go` (v1.36): getExpectedPodCount, countHealthyPods, buildDisruptedPodMap,
//! updatePdbStatus, failSafe.

use crate::api::meta::{IntOrPercent, PodId};
use crate::api::pdb::{Budget, DisruptionReason, PdbStatus};
use crate::api::pod::Pod;
use crate::engine::{Duration, Time};

/// How long an admitted eviction counts although its pod has no deletionTimestamp (`DeletionTimeout`).
pub const DELETION_TIMEOUT: Duration = Duration::from_secs(120);

/// The status of a budget, and when the next entry of `disruptedPods` runs out.
///
/// `pods` are those that the budget selects, ordered by identity. `scale` is asked for the sum of `spec.replicas` over
/// their controllers, if that counts; `None` means that a controller has no scale, and then nothing is allowed.
/// `observedGeneration` stays as it was.
pub fn status(
    budget: Budget,
    pods: &[(PodId, Pod)],
    scale: impl FnOnce() -> Option<u32>,
    old: &PdbStatus,
    now: Time,
) -> (PdbStatus, Option<Time>) {
    let disrupted_pods = still_disrupted(pods, old, now);
    let recheck = disrupted_pods.iter().map(|(_, at)| *at + DELETION_TIMEOUT).min();
    let Some((expected_pods, desired_healthy)) = expected(budget, pods.len(), scale) else {
        // failSafe: the numbers stay, nothing is allowed
        let failed = PdbStatus { disruptions_allowed: 0, reason: DisruptionReason::SyncFailed, ..old.clone() };
        return (failed, recheck);
    };
    let current_healthy = count_healthy(pods, &disrupted_pods, now);
    let disruptions_allowed = if expected_pods == 0 { 0 } else { current_healthy.saturating_sub(desired_healthy) };
    let reason =
        if disruptions_allowed > 0 { DisruptionReason::SufficientPods } else { DisruptionReason::InsufficientPods };
    let status = PdbStatus {
        observed_generation: old.observed_generation,
        disruptions_allowed,
        current_healthy,
        desired_healthy,
        expected_pods,
        disrupted_pods,
        reason,
    };
    (status, recheck)
}

/// (expectedPods, desiredHealthy). A plain `minAvailable` counts the pods that there are, in every phase and terminating
/// ones, too; a percentage and `maxUnavailable` go by the scale of their controllers.
pub(crate) fn expected(budget: Budget, pods: usize, scale: impl FnOnce() -> Option<u32>) -> Option<(u32, u32)> {
    match budget {
        Budget::Nothing => Some((0, 0)),
        Budget::MinAvailable(IntOrPercent::Int(n)) => Some((u32::try_from(pods).unwrap_or(u32::MAX), n)),
        Budget::MinAvailable(percent @ IntOrPercent::Percent(_)) => scale().map(|s| (s, percent.scaled_up(s))),
        Budget::MaxUnavailable(unavailable) => scale().map(|s| (s, s.saturating_sub(unavailable.scaled_up(s)))),
    }
}

/// buildDisruptedPodMap: entries whose pod is there, is not being deleted, and that are not too old.
fn still_disrupted(pods: &[(PodId, Pod)], old: &PdbStatus, now: Time) -> Vec<(PodId, Time)> {
    let waits = |(id, at): &&(PodId, Time)| {
        let found = pods.binary_search_by_key(id, |(p, _)| *p);
        found.is_ok_and(|i| pods[i].1.deletion.is_none()) && *at + DELETION_TIMEOUT >= now
    };
    old.disrupted_pods.iter().filter(waits).copied().collect()
}

/// countHealthyPods: Ready, not terminating, and not admitted for eviction within the last two minutes.
fn count_healthy(pods: &[(PodId, Pod)], disrupted: &[(PodId, Time)], now: Time) -> u32 {
    let is_disrupted = |id: PodId| {
        let found = disrupted.binary_search_by_key(&id, |(p, _)| *p);
        found.is_ok_and(|i| disrupted[i].1 + DELETION_TIMEOUT > now)
    };
    let healthy = pods.iter().filter(|(id, pod)| pod.ready && pod.deletion.is_none() && !is_disrupted(*id));
    u32::try_from(healthy.count()).unwrap_or(u32::MAX)
}
