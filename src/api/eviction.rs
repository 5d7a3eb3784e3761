//! The eviction subresource: what `POST …/pods/{name}/eviction` decides from the pod and the budget that it read.
//!
//! Source: `pkg/registry/core/pod/storage/eviction.go` EvictionREST.Create, canIgnorePDB, checkAndDecrement (v1.36). The
//! waits and retries around these decisions are in [`simulation::eviction`](crate::simulation::eviction).

use crate::api::meta::{PdbId, PodId};
use crate::api::pdb::{DisruptionReason, Pdb, PdbStatus, UnhealthyPodEvictionPolicy};
use crate::api::pod::{Phase, Pod};
use crate::api::version::Version;
use crate::engine::Time;

/// Above so many entries of `disruptedPods` no eviction is admitted.
const DISRUPTED_PODS_MAX: usize = 2000;
/// The seconds that a client is asked to wait while the controller has not seen the budget's newest spec.
const RETRY_AFTER_SECONDS: u64 = 10;

/// What to do with an eviction, before any budget is touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// Delete the pod; no budget is asked. `unless_changed`: with the resourceVersion that was read as precondition.
    Delete {
        /// Fail the delete if the pod has changed since it was read.
        unless_changed: bool,
    },
    /// Take one disruption from this budget first.
    TakeFrom(PdbId),
    /// Refused.
    Refuse(Refusal),
}

/// Why an eviction was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// 404.
    NotFound,
    /// 500: more than one budget selects the pod; not retried by anybody.
    MoreThanOneBudget,
    /// 429 with Retry-After 10: the budget's status is older than its spec.
    BudgetNotObserved(PdbId),
    /// 429 with Retry-After 10: the pod changed between read and delete.
    PodChanged,
    /// 429 without Retry-After: no disruption is allowed now.
    NoBudget(PdbId),
    /// 403: too many evicted pods whose deletion the controller has not yet seen.
    TooManyDisrupted(PdbId),
    /// 409: every try to write the budget's status met a newer one.
    Conflict(PdbId),
}

impl Refusal {
    /// The HTTP status code.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::MoreThanOneBudget => 500,
            Self::BudgetNotObserved(_) | Self::PodChanged | Self::NoBudget(_) => 429,
            Self::TooManyDisrupted(_) => 403,
            Self::Conflict(_) => 409,
        }
    }

    /// The seconds of the Retry-After header, which the client library obeys before its caller sees anything.
    #[must_use]
    pub const fn retry_after_seconds(self) -> Option<u64> {
        match self {
            Self::BudgetNotObserved(_) | Self::PodChanged => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }
}

/// Whether no budget is looked at: the pod has ended, has not started, or is going already.
#[must_use]
pub const fn can_ignore_pdb(pod: &Pod) -> bool {
    pod.phase.is_terminal() || matches!(pod.phase, Phase::Pending) || pod.deletion.is_some()
}

/// Decides by the pod and by the budgets that select it.
#[must_use]
pub fn route(pod: &Pod, budgets: &[(PdbId, UnhealthyPodEvictionPolicy, &PdbStatus)]) -> Route {
    if can_ignore_pdb(pod) {
        // a Pending pod that has just become Running must not be lost
        return Route::Delete { unless_changed: matches!(pod.phase, Phase::Pending) && pod.deletion.is_none() };
    }
    match budgets {
        [] => Route::Delete { unless_changed: false },
        [(id, policy, status)] => {
            let spare = match policy {
                UnhealthyPodEvictionPolicy::AlwaysAllow => true,
                UnhealthyPodEvictionPolicy::IfHealthyBudget => {
                    status.current_healthy >= status.desired_healthy && status.desired_healthy > 0
                }
            };
            if !pod.ready && spare { Route::Delete { unless_changed: true } } else { Route::TakeFrom(*id) }
        }
        _ => Route::Refuse(Refusal::MoreThanOneBudget),
    }
}

/// The budget's new status if one more pod may go, entered into `disruptedPods` at `now`.
///
/// # Errors
/// The refusal, with its reason.
pub fn check_and_decrement(id: PdbId, pdb: &Pdb, pod: PodId, now: Time) -> Result<PdbStatus, Refusal> {
    if pdb.status.observed_generation < pdb.generation {
        return Err(Refusal::BudgetNotObserved(id));
    }
    if pdb.status.disrupted_pods.len() > DISRUPTED_PODS_MAX {
        return Err(Refusal::TooManyDisrupted(id));
    }
    if pdb.status.disruptions_allowed == 0 {
        return Err(Refusal::NoBudget(id));
    }
    let mut status = pdb.status.clone();
    status.disruptions_allowed -= 1;
    if status.disruptions_allowed == 0 {
        status.reason = DisruptionReason::InsufficientPods;
    }
    match status.disrupted_pods.binary_search_by_key(&pod, |(p, _)| *p) {
        Ok(i) => status.disrupted_pods[i].1 = now.truncate_to_second(),
        Err(i) => status.disrupted_pods.insert(i, (pod, now.truncate_to_second())),
    }
    Ok(status)
}

/// The detail of a 429 or 500, as the apiserver words it. `name` is the budget's.
#[must_use]
pub fn cause(refusal: Refusal, name: &str, status: &PdbStatus, version: Version) -> String {
    let PdbStatus { desired_healthy: desired, current_healthy: current, .. } = status;
    match refusal {
        Refusal::NotFound => "not found".to_string(),
        Refusal::MoreThanOneBudget => {
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
                .to_string()
        }
        Refusal::BudgetNotObserved(_) | Refusal::PodChanged => {
            format!("The disruption budget {name} is still being processed by the server.")
        }
        Refusal::NoBudget(_) => {
            if version.eviction_tells_reason() && status.reason == DisruptionReason::SyncFailed {
                format!("The disruption budget {name} does not allow evicting pods currently because it failed sync")
            } else if version.eviction_tells_reason() && current > desired {
                format!("The disruption budget {name} does not allow evicting pods currently")
            } else {
                format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
            }
        }
        Refusal::TooManyDisrupted(_) => {
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller".to_string()
        }
        Refusal::Conflict(_) => format!(
            "Operation cannot be fulfilled on poddisruptionbudgets.policy \"{name}\": the object has been modified; please apply \
             your changes to the latest version and try again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Deletion, LabelSetId, NodeId};

    const PDB: PdbId = PdbId(0);

    fn running(ready: bool) -> Pod {
        Pod { phase: Phase::Running, ready, node: Some(NodeId(0)), has_ip: true, ..Pod::created(LabelSetId(0), None) }
    }

    fn status(allowed: u32, current: u32, desired: u32) -> PdbStatus {
        PdbStatus {
            observed_generation: 1,
            disruptions_allowed: allowed,
            current_healthy: current,
            desired_healthy: desired,
            ..PdbStatus::default()
        }
    }

    #[test]
    fn which_way_an_eviction_goes() {
        use UnhealthyPodEvictionPolicy::{AlwaysAllow, IfHealthyBudget};
        let (free, bound) = (Route::Delete { unless_changed: false }, Route::Delete { unless_changed: true });
        let deleted = Pod { deletion: Some(Deletion { timestamp: Time::ZERO, grace_seconds: 30 }), ..running(true) };
        let phase = |phase| Pod { phase, ..running(false) };
        let take = Route::TakeFrom(PDB);
        for (pod, policy, status, expected) in [
            (phase(Phase::Succeeded), IfHealthyBudget, status(0, 0, 1), free),
            (phase(Phase::Failed), IfHealthyBudget, status(0, 0, 1), free),
            (phase(Phase::Pending), IfHealthyBudget, status(0, 0, 1), bound),
            (deleted, IfHealthyBudget, status(0, 0, 1), free),
            (running(true), IfHealthyBudget, status(0, 0, 1), take),
            (running(true), AlwaysAllow, status(1, 2, 1), take),
            (running(false), AlwaysAllow, status(0, 0, 1), bound),
            (running(false), IfHealthyBudget, status(0, 1, 1), bound),
            (running(false), IfHealthyBudget, status(0, 0, 1), take),
            (running(false), IfHealthyBudget, status(1, 1, 0), take),
        ] {
            assert_eq!(route(&pod, &[(PDB, policy, &status)]), expected, "{pod:?} {policy:?} {status:?}");
        }
        let s = status(1, 2, 1);
        assert_eq!(route(&running(true), &[]), free);
        let two = [(PDB, IfHealthyBudget, &s), (PdbId(1), IfHealthyBudget, &s)];
        assert_eq!(route(&running(true), &two), Route::Refuse(Refusal::MoreThanOneBudget));
        assert_eq!(route(&phase(Phase::Pending), &two), bound, "Pending pods are evicted before budgets are counted");
    }

    #[test]
    fn taking_from_a_budget() {
        let now = Time::from_millis(5_700);
        let pdb = |generation, status| Pdb { generation, status, ..Pdb::default() };
        let taken = check_and_decrement(PDB, &pdb(1, status(2, 3, 1)), PodId(7), now).unwrap();
        assert_eq!((taken.disruptions_allowed, taken.disrupted_pods), (1, vec![(PodId(7), Time::from_secs(5))]));
        let last = check_and_decrement(PDB, &pdb(1, status(1, 2, 1)), PodId(7), now).unwrap();
        assert_eq!((last.disruptions_allowed, last.reason), (0, DisruptionReason::InsufficientPods));
        let refused = |p: Pdb| check_and_decrement(PDB, &p, PodId(7), now).unwrap_err();
        assert_eq!(refused(pdb(2, status(1, 2, 1))), Refusal::BudgetNotObserved(PDB), "older than the spec");
        assert_eq!(refused(pdb(1, status(0, 1, 1))), Refusal::NoBudget(PDB));
        let mut full = status(1, 2, 1);
        full.disrupted_pods = (0..=2000).map(|i| (PodId(i), Time::ZERO)).collect();
        assert_eq!(refused(pdb(1, full)), Refusal::TooManyDisrupted(PDB));
    }

    #[test]
    fn codes_and_retry_after() {
        for (refusal, code, retry) in [
            (Refusal::NotFound, 404, None),
            (Refusal::MoreThanOneBudget, 500, None),
            (Refusal::BudgetNotObserved(PDB), 429, Some(10)),
            (Refusal::PodChanged, 429, Some(10)),
            (Refusal::NoBudget(PDB), 429, None),
            (Refusal::TooManyDisrupted(PDB), 403, None),
            (Refusal::Conflict(PDB), 409, None),
        ] {
            assert_eq!((refusal.code(), refusal.retry_after_seconds()), (code, retry));
        }
    }

    #[test]
    fn the_reason_depends_on_the_version() {
        let text = |minor, s| cause(Refusal::NoBudget(PDB), "web", &s, Version::minor(minor));
        assert_eq!(text(34, status(0, 3, 1)), "The disruption budget web needs 1 healthy pods and has 3 currently");
        assert_eq!(text(36, status(0, 1, 1)), "The disruption budget web needs 1 healthy pods and has 1 currently");
        assert_eq!(text(36, status(0, 3, 1)), "The disruption budget web does not allow evicting pods currently");
    }
}
