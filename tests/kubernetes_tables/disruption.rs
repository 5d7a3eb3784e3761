//! The disruption controller's arithmetic.

use super::{running, table, terminating};
use drainsim::api::IntOrPercent::{Int, Percent};
use drainsim::api::disruption::status;
use drainsim::api::pdb::Budget::{self, MaxUnavailable, MinAvailable, Nothing};
use drainsim::api::pdb::DisruptionReason::{InsufficientPods, SufficientPods, SyncFailed};
use drainsim::api::pdb::{DisruptionReason, PdbStatus};
use drainsim::api::{Phase, Pod, PodId};
use drainsim::engine::{Duration, Time};

const NOW: Time = Time::from_secs(1000);

/// All tables of this file.
pub fn check() -> usize {
    expected_counts() + healthy_pods() + disrupted_pods() + recheck_times()
}

fn numbered(pods: &[Pod]) -> Vec<(PodId, Pod)> {
    (0..).map(PodId).zip(pods.iter().copied()).collect()
}

/// allowed, currentHealthy, desiredHealthy, expectedPods: the order of `VerifyPdbStatus` in the original tests.
type Numbers = (u32, u32, u32, u32);

fn numbers(s: &PdbStatus) -> Numbers {
    (s.disruptions_allowed, s.current_healthy, s.desired_healthy, s.expected_pods)
}

/// `pkg/controller/disruption/disruption.go` getExpectedPodCount, updatePdbStatus. A row: budget, ready and unready pods, sum
/// of their controllers' replicas (`None`: a controller without a scale).
fn expected_counts() -> usize {
    type Row = ((Budget, u32, u32, Option<u32>), (Numbers, DisruptionReason));
    let of = |(budget, ready, unready, scale): &(Budget, u32, u32, Option<u32>)| {
        let mut pods = vec![running(true); *ready as usize];
        pods.extend(vec![running(false); *unready as usize]);
        let (status, _) = status(*budget, &numbered(&pods), || *scale, &PdbStatus::default(), NOW);
        (numbers(&status), status.reason)
    };
    // TestNoSelector, TestUnavailable: a number is counted in pods, whatever their controllers want
    let min_int: [Row; 9] = [
        ((MinAvailable(Int(3)), 0, 0, None), ((0, 0, 3, 0), InsufficientPods)),
        ((MinAvailable(Int(3)), 1, 0, None), ((0, 1, 3, 1), InsufficientPods)),
        ((MinAvailable(Int(3)), 2, 0, None), ((0, 2, 3, 2), InsufficientPods)),
        ((MinAvailable(Int(3)), 3, 0, None), ((0, 3, 3, 3), InsufficientPods)),
        ((MinAvailable(Int(3)), 4, 0, None), ((1, 4, 3, 4), SufficientPods)),
        ((MinAvailable(Int(3)), 3, 1, None), ((0, 3, 3, 4), InsufficientPods)),
        ((MinAvailable(Int(0)), 2, 0, None), ((2, 2, 0, 2), SufficientPods)),
        // TestReplicaSet: pods of a ReplicaSet of 10
        ((MinAvailable(Int(1)), 2, 0, Some(10)), ((1, 2, 1, 2), SufficientPods)),
        ((MinAvailable(Int(5)), 2, 0, Some(10)), ((0, 2, 5, 2), InsufficientPods)),
    ];
    // TestReplicationController, TestStatefulSetController, TestTwoControllers
    let min_percent: [Row; 14] = [
        ((MinAvailable(Percent(34)), 0, 0, Some(0)), ((0, 0, 0, 0), InsufficientPods)),
        ((MinAvailable(Percent(34)), 1, 0, Some(3)), ((0, 1, 2, 3), InsufficientPods)),
        ((MinAvailable(Percent(34)), 2, 0, Some(3)), ((0, 2, 2, 3), InsufficientPods)),
        ((MinAvailable(Percent(34)), 3, 0, Some(3)), ((1, 3, 2, 3), SufficientPods)),
        ((MinAvailable(Percent(67)), 2, 0, Some(3)), ((0, 2, 3, 3), InsufficientPods)),
        ((MinAvailable(Percent(67)), 3, 0, Some(3)), ((0, 3, 3, 3), InsufficientPods)),
        ((MinAvailable(Percent(28)), 0, 6, Some(11)), ((0, 0, 4, 11), InsufficientPods)),
        ((MinAvailable(Percent(28)), 4, 6, Some(11)), ((0, 4, 4, 11), InsufficientPods)),
        ((MinAvailable(Percent(28)), 5, 6, Some(11)), ((1, 5, 4, 11), SufficientPods)),
        ((MinAvailable(Percent(28)), 5, 13, Some(22)), ((0, 5, 7, 22), InsufficientPods)),
        ((MinAvailable(Percent(28)), 7, 13, Some(22)), ((0, 7, 7, 22), InsufficientPods)),
        ((MinAvailable(Percent(28)), 9, 13, Some(22)), ((2, 9, 7, 22), SufficientPods)),
        ((MinAvailable(Percent(100)), 5, 0, Some(5)), ((0, 5, 5, 5), InsufficientPods)),
        ((MinAvailable(Percent(0)), 5, 0, Some(5)), ((5, 5, 0, 5), SufficientPods)),
    ];
    // TestIntegerMaxUnavailable(WithScaling), TestPercentageMaxUnavailableWithScaling, TestScaleResource
    let max: [Row; 11] = [
        ((MaxUnavailable(Int(1)), 0, 0, Some(0)), ((0, 0, 0, 0), InsufficientPods)),
        ((MaxUnavailable(Int(2)), 1, 0, Some(7)), ((0, 1, 5, 7), InsufficientPods)),
        ((MaxUnavailable(Int(2)), 1, 0, Some(5)), ((0, 1, 3, 5), InsufficientPods)),
        ((MaxUnavailable(Percent(30)), 1, 0, Some(7)), ((0, 1, 4, 7), InsufficientPods)),
        ((MaxUnavailable(Percent(30)), 1, 0, Some(3)), ((0, 1, 2, 3), InsufficientPods)),
        ((MaxUnavailable(Int(5)), 6, 0, Some(10)), ((1, 6, 5, 10), SufficientPods)),
        ((MaxUnavailable(Int(0)), 3, 0, Some(3)), ((0, 3, 3, 3), InsufficientPods)),
        ((MaxUnavailable(Percent(1)), 3, 0, Some(3)), ((1, 3, 2, 3), SufficientPods)),
        ((MaxUnavailable(Percent(0)), 3, 0, Some(3)), ((0, 3, 3, 3), InsufficientPods)),
        ((MaxUnavailable(Percent(100)), 3, 0, Some(3)), ((3, 3, 0, 3), SufficientPods)),
        // more than there are: desired is not negative
        ((MaxUnavailable(Int(9)), 3, 0, Some(3)), ((3, 3, 0, 3), SufficientPods)),
    ];
    // TestNakedPod, TestTotalUnmanagedPods: pods without a controller count for nothing. TestUnsupportedControllerPod,
    // TestScaleFinderNoResource: a controller without a scale makes it fail.
    let odd: [Row; 6] = [
        ((MinAvailable(Percent(28)), 1, 0, Some(0)), ((0, 1, 0, 0), InsufficientPods)),
        ((MaxUnavailable(Int(1)), 1, 0, Some(0)), ((0, 1, 0, 0), InsufficientPods)),
        ((MaxUnavailable(Int(1)), 3, 0, None), ((0, 0, 0, 0), SyncFailed)),
        ((MinAvailable(Percent(10)), 3, 0, None), ((0, 0, 0, 0), SyncFailed)),
        ((MinAvailable(Int(1)), 3, 0, None), ((2, 3, 1, 3), SufficientPods)),
        // neither field: nothing is expected, so nothing is allowed
        ((Nothing, 3, 0, Some(3)), ((0, 3, 0, 0), InsufficientPods)),
    ];
    const FILE: &str = "pkg/controller/disruption/disruption_test.go";
    table(&format!("{FILE} TestUnavailable"), &min_int, of)
        + table(&format!("{FILE} TestTwoControllers"), &min_percent, of)
        + table(&format!("{FILE} TestIntegerMaxUnavailable…"), &max, of)
        + table(&format!("{FILE} TestNakedPod, TestUnsupportedControllerPod"), &odd, of)
}

/// countHealthyPods: `pods` are Ready or not, terminating or not.
fn healthy_pods() -> usize {
    let failed = Pod { phase: Phase::Failed, ..running(false) };
    let rows: [(Vec<Pod>, Numbers); 6] = [
        (vec![running(true), running(true)], (1, 2, 1, 2)),
        (vec![running(true), running(false)], (0, 1, 1, 2)),
        // a terminating pod is still expected, and healthy no more
        (vec![running(true), terminating(true)], (0, 1, 1, 2)),
        (vec![running(true), running(true), terminating(true)], (1, 2, 1, 3)),
        (vec![terminating(true), terminating(false)], (0, 0, 1, 2)),
        // so is one that has ended
        (vec![running(true), failed], (0, 1, 1, 2)),
    ];
    table("pkg/controller/disruption/disruption.go countHealthyPods", &rows, |pods| {
        numbers(&status(MinAvailable(Int(1)), &numbered(pods), || None, &PdbStatus::default(), NOW).0)
    })
}

fn seconds_ago(seconds: u64) -> Time {
    NOW - Duration::from_secs(seconds)
}

/// buildDisruptedPodMap; TestUpdateDisruptedPods. A row: the age of the entry in seconds, and the pod if it is there; what is
/// left of the map, and how many are healthy.
fn disrupted_pods() -> usize {
    let rows: [((u64, Option<Pod>), (usize, u32)); 8] = [
        ((0, Some(terminating(true))), (0, 0)),
        ((180, Some(running(true))), (0, 1)),
        ((60, Some(running(true))), (1, 0)),
        ((0, None), (0, 0)),
        ((0, Some(running(true))), (1, 0)),
        ((119, Some(running(true))), (1, 0)),
        // at the very end it is kept, and no longer counted
        ((120, Some(running(true))), (1, 1)),
        ((121, Some(running(true))), (0, 1)),
    ];
    table("pkg/controller/disruption/disruption_test.go TestUpdateDisruptedPods", &rows, |(age, pod)| {
        let old = PdbStatus { disrupted_pods: vec![(PodId(0), seconds_ago(*age))], ..PdbStatus::default() };
        let pods: Vec<Pod> = pod.iter().copied().collect();
        let (status, _) = status(MinAvailable(Int(1)), &numbered(&pods), || None, &old, NOW);
        (status.disrupted_pods.len(), status.current_healthy)
    }) + {
        // all four of the original at once
        let pods = [(PodId(1), terminating(true)), (PodId(2), running(true)), (PodId(3), running(true))];
        let entries = [(1, 0), (2, 180), (3, 60), (4, 0)].map(|(pod, age)| (PodId(pod), seconds_ago(age)));
        let old = PdbStatus { disrupted_pods: entries.to_vec(), ..PdbStatus::default() };
        let (status, _) = status(MinAvailable(Int(1)), &pods, || None, &old, NOW);
        assert_eq!((numbers(&status), status.disrupted_pods), ((0, 1, 1, 3), vec![(PodId(3), seconds_ago(60))]));
        1
    }
}

/// buildDisruptedPodMap: when the budget is looked at again. A row: the ages of entries of pods that are there.
fn recheck_times() -> usize {
    let rows: [(Vec<u64>, Option<u64>); 4] =
        [(vec![], None), (vec![0], Some(120)), (vec![60, 10, 90], Some(30)), (vec![121], None)];
    table("pkg/controller/disruption/disruption.go buildDisruptedPodMap", &rows, |ages| {
        let entries = (0..).map(PodId).zip(ages.iter().map(|age| seconds_ago(*age))).collect();
        let old = PdbStatus { disrupted_pods: entries, ..PdbStatus::default() };
        let pods = vec![running(true); ages.len()];
        let (_, recheck) = status(MinAvailable(Int(1)), &numbered(&pods), || None, &old, NOW);
        recheck.map(|at| at.since(NOW).as_secs())
    })
}
