//! Kubernetes' own decisions as tables: what a function of Kubernetes answers, and ours must, too.
//!
//! Each table names the file and, where Kubernetes tests the same, the test that it restates (v1.36.2). A row is what goes in
//! and what comes out; where the original test has a row of that kind, the numbers are its own.

// The type of a row is said once, where the row is explained.
#![allow(clippy::type_complexity)]

mod kubernetes_tables {
    mod deletion;
    mod disruption;
    mod drain;
    mod endpoints;
    mod eviction;
    mod grace;
    mod numbers;
    mod readiness;
    mod restarts;
    mod rollout;
    mod selectors;
    mod tolerations;
    mod topology;

    use std::fmt::Debug;

    use drainsim::api::pod::Phase;
    use drainsim::api::{Deletion, LabelSetId, NodeId, Pod};
    use drainsim::engine::Time;

    /// Checks all rows of a table; how many there are. `source` is the file and the function or test in Kubernetes.
    fn table<I: Debug, O: PartialEq + Debug>(source: &str, rows: &[(I, O)], answer: impl Fn(&I) -> O) -> usize {
        for (number, (given, expected)) in rows.iter().enumerate() {
            assert_eq!(answer(given), *expected, "{source}\n  row {}: {given:?}", number + 1);
        }
        rows.len()
    }

    /// A pod that runs on a node and has an address.
    fn running(ready: bool) -> Pod {
        Pod { phase: Phase::Running, ready, has_ip: true, ..Pod::created(LabelSetId(0), Some(NodeId(0))) }
    }

    /// The same, with a deletionTimestamp.
    fn terminating(ready: bool) -> Pod {
        Pod { deletion: Some(Deletion { timestamp: Time::from_secs(30), grace_seconds: 30 }), ..running(ready) }
    }

    #[test]
    fn numbers_and_percentages() {
        numbers::check();
    }

    #[test]
    fn pods_are_ready() {
        readiness::check();
    }

    #[test]
    fn selectors_match() {
        selectors::check();
    }

    #[test]
    fn budgets_are_computed() {
        disruption::check();
    }

    #[test]
    fn evictions_are_decided() {
        eviction::check();
    }

    #[test]
    fn pods_are_deleted() {
        deletion::check();
    }

    #[test]
    fn containers_are_stopped() {
        grace::check();
    }

    #[test]
    fn containers_are_started_again() {
        restarts::check();
    }

    #[test]
    fn endpoints_have_conditions() {
        endpoints::check();
    }

    #[test]
    fn drains_choose_pods() {
        drain::check();
    }

    #[test]
    fn taints_are_tolerated() {
        tolerations::check();
    }

    #[test]
    fn endpoints_have_categories() {
        topology::check();
    }

    #[test]
    fn rollouts_have_fenceposts() {
        rollout::check();
    }

    #[test]
    fn there_are_at_least_150_rows() {
        let rows = numbers::check()
            + selectors::check()
            + disruption::check()
            + eviction::check()
            + deletion::check()
            + grace::check()
            + endpoints::check()
            + drain::check()
            + tolerations::check()
            + restarts::check()
            + rollout::check()
            + topology::check();
        assert!(rows >= 150, "{rows} rows");
    }
}
