//! The eviction subresource.

use super::{running, table, terminating};
use drainsim::api::eviction::{Refusal, Route, cause, check_and_decrement, route};
use drainsim::api::pdb::UnhealthyPodEvictionPolicy::{self, AlwaysAllow, IfHealthyBudget};
use drainsim::api::pdb::{Budget, DisruptionReason};
use drainsim::api::{Pdb, PdbId, PdbStatus, Phase, Pod, PodId, Version};
use drainsim::engine::Time;

const PDB: PdbId = PdbId(0);
/// Delete, whatever the pod has become.
const FREE: Route = Route::Delete { unless_changed: false };
/// Delete with the resourceVersion that was read as precondition.
const BOUND: Route = Route::Delete { unless_changed: true };
const TAKE: Route = Route::TakeFrom(PDB);

/// All tables of this file.
pub fn check() -> usize {
    phases() + unhealthy_pods() + numbers_of_budgets() + budget_checks() + answers() + words()
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

fn phase(phase: Phase) -> Pod {
    Pod { phase, ..running(false) }
}

/// canIgnorePDB, shouldEnforceResourceVersion; TestEviction, TestEvictionWithETCD ("matching pdbs with no disruptions
/// allowed, pod …"). The budget allows nothing.
fn phases() -> usize {
    let rows: [(Pod, Route); 9] = [
        (running(true), TAKE),
        (phase(Phase::Pending), BOUND),
        (Pod { ready: true, ..phase(Phase::Pending) }, BOUND),
        (Pod { node: None, ..phase(Phase::Pending) }, BOUND),
        (phase(Phase::Succeeded), FREE),
        (phase(Phase::Failed), FREE),
        (terminating(true), FREE),
        (terminating(false), FREE),
        (Pod { phase: Phase::Pending, ..terminating(false) }, FREE),
    ];
    table("pkg/registry/core/pod/storage/eviction_test.go TestEviction", &rows, |pod| {
        route(pod, &[(PDB, IfHealthyBudget, &status(0, 1, 1))])
    })
}

/// TestEviction "… pod unhealthy, unhealthy pod ours …". A row: Ready, policy, currentHealthy, desiredHealthy.
fn unhealthy_pods() -> usize {
    let rows: [((bool, UnhealthyPodEvictionPolicy, u32, u32), Route); 14] = [
        ((true, IfHealthyBudget, 3, 3), TAKE),
        ((true, IfHealthyBudget, 5, 3), TAKE),
        ((true, AlwaysAllow, 3, 3), TAKE),
        ((true, AlwaysAllow, 0, 3), TAKE),
        // unready ones: as long as the others are enough
        ((false, IfHealthyBudget, 3, 3), BOUND),
        ((false, IfHealthyBudget, 5, 3), BOUND),
        ((false, IfHealthyBudget, 2, 3), TAKE),
        ((false, IfHealthyBudget, 0, 1), TAKE),
        // a budget that desires nothing is not a healthy one
        ((false, IfHealthyBudget, 0, 0), TAKE),
        ((false, IfHealthyBudget, 5, 0), TAKE),
        ((false, AlwaysAllow, 3, 3), BOUND),
        ((false, AlwaysAllow, 2, 3), BOUND),
        ((false, AlwaysAllow, 0, 0), BOUND),
        ((false, AlwaysAllow, 0, 9), BOUND),
    ];
    table("pkg/registry/core/pod/storage/eviction_test.go TestEviction (unhealthy)", &rows, |row| {
        let (ready, policy, current, desired) = *row;
        route(&running(ready), &[(PDB, policy, &status(0, current, desired))])
    })
}

/// Create: `len(pdbs)`. A row: the pod, and how many budgets select it.
fn numbers_of_budgets() -> usize {
    let rows: [((Pod, usize), Route); 8] = [
        ((running(true), 0), FREE),
        ((running(false), 0), FREE),
        ((running(true), 1), TAKE),
        ((running(true), 2), Route::Refuse(Refusal::MoreThanOneBudget)),
        ((running(false), 2), Route::Refuse(Refusal::MoreThanOneBudget)),
        ((running(true), 3), Route::Refuse(Refusal::MoreThanOneBudget)),
        // these never come to the budgets
        ((phase(Phase::Pending), 2), BOUND),
        ((terminating(true), 2), FREE),
    ];
    let s = status(1, 2, 1);
    table("pkg/registry/core/pod/storage/eviction.go Create", &rows, |(pod, count)| {
        let budgets: Vec<_> = (0..*count).map(|i| (PdbId::from(i), IfHealthyBudget, &s)).collect();
        route(pod, &budgets)
    })
}

/// checkAndDecrement; TestEvictionPDBStatus. A row: generation, observedGeneration, disruptedPods, disruptionsAllowed; what
/// is allowed afterwards and the reason, or the refusal.
fn budget_checks() -> usize {
    use DisruptionReason::{InsufficientPods, SufficientPods};
    type Row = ((u64, u64, u32, u32), Result<(u32, DisruptionReason), Refusal>);
    let rows: [Row; 11] = [
        ((1, 1, 0, 3), Ok((2, SufficientPods))),
        ((1, 1, 0, 2), Ok((1, SufficientPods))),
        // the last one: the condition turns
        ((1, 1, 0, 1), Ok((0, InsufficientPods))),
        ((1, 1, 0, 0), Err(Refusal::NoBudget(PDB))),
        // the status is of an older spec
        ((2, 1, 0, 3), Err(Refusal::BudgetNotObserved(PDB))),
        ((1, 0, 0, 0), Err(Refusal::BudgetNotObserved(PDB))),
        ((1, 2, 0, 1), Ok((0, InsufficientPods))),
        // MaxDisruptedPodSize
        ((1, 1, 2000, 1), Ok((0, InsufficientPods))),
        ((1, 1, 2001, 1), Err(Refusal::TooManyDisrupted(PDB))),
        // in this order
        ((1, 1, 2001, 0), Err(Refusal::TooManyDisrupted(PDB))),
        ((2, 1, 2001, 0), Err(Refusal::BudgetNotObserved(PDB))),
    ];
    table("pkg/registry/core/pod/storage/eviction.go checkAndDecrement", &rows, |row| {
        let (generation, observed_generation, disrupted, disruptions_allowed) = *row;
        let status = PdbStatus {
            observed_generation,
            disruptions_allowed,
            disrupted_pods: (0..disrupted).map(|i| (PodId(i), Time::ZERO)).collect(),
            reason: SufficientPods,
            ..PdbStatus::default()
        };
        let pdb = Pdb { generation, budget: Budget::Nothing, unhealthy: IfHealthyBudget, status };
        let after = check_and_decrement(PDB, &pdb, PodId(9999), Time::from_secs(5))?;
        assert!(after.disrupted_pods.contains(&(PodId(9999), Time::from_secs(5))), "the pod is entered");
        Ok((after.disruptions_allowed, after.reason))
    })
}

/// createTooManyRequestsError and the other errors of `eviction.go`: HTTP code and Retry-After.
fn answers() -> usize {
    let rows: [(Refusal, (u16, Option<u64>)); 7] = [
        (Refusal::NotFound, (404, None)),
        (Refusal::MoreThanOneBudget, (500, None)),
        (Refusal::BudgetNotObserved(PDB), (429, Some(10))),
        (Refusal::PodChanged, (429, Some(10))),
        (Refusal::NoBudget(PDB), (429, None)),
        (Refusal::TooManyDisrupted(PDB), (403, None)),
        (Refusal::Conflict(PDB), (409, None)),
    ];
    table("pkg/registry/core/pod/storage/eviction.go", &rows, |refusal| (refusal.code(), refusal.retry_after_seconds()))
}

/// TestEviction "the error is about sync failure …", "the error includes the reason …". A row: version, reason of the
/// condition, currentHealthy, desiredHealthy; what the refusal says. (The message of the condition SyncFailed, which follows
/// after a colon, is not modelled.)
fn words() -> usize {
    use DisruptionReason::{InsufficientPods, SyncFailed};
    let needs = "The disruption budget web needs 3 healthy pods and has 2 currently";
    let rows: [((u8, DisruptionReason, u32, u32), &str); 6] = [
        ((36, InsufficientPods, 2, 3), needs),
        ((36, InsufficientPods, 4, 3), "The disruption budget web does not allow evicting pods currently"),
        (
            (36, SyncFailed, 2, 3),
            "The disruption budget web does not allow evicting pods currently because it failed sync",
        ),
        (
            (35, SyncFailed, 2, 3),
            "The disruption budget web does not allow evicting pods currently because it failed sync",
        ),
        ((34, SyncFailed, 2, 3), needs),
        ((34, InsufficientPods, 2, 3), needs),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(given, text)| (given, text.to_string())).collect();
    table("pkg/registry/core/pod/storage/eviction_test.go TestEviction (words)", &rows, |row| {
        let (minor, reason, current, desired) = *row;
        let status = PdbStatus { reason, ..status(0, current, desired) };
        cause(Refusal::NoBudget(PDB), "web", &status, Version::minor(minor))
    })
}
