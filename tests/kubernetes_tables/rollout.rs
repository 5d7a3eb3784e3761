//! How far a rolling update may go.

use super::table;
use drainsim::api::IntOrPercent::{self, Int, Percent};
use drainsim::api::workload::Strategy;

/// `pkg/controller/deployment/util/deployment_util.go` ResolveFenceposts, then MaxUnavailable, which is at most the number of
/// replicas; `deployment_util_test.go` TestResolveFenceposts, TestMaxUnavailable. A row: maxSurge, maxUnavailable, replicas;
/// too many, too few.
pub fn check() -> usize {
    const SOURCE: &str = "pkg/controller/deployment/util/deployment_util_test.go TestResolveFenceposts";
    let rows: [((IntOrPercent, IntOrPercent, u32), (u32, u32)); 14] = [
        ((Percent(39), Percent(39), 10), (4, 3)),
        ((Int(0), Percent(39), 10), (0, 3)),
        ((Percent(39), Int(0), 10), (4, 0)),
        // both 0: nothing could move
        ((Int(0), Int(0), 10), (0, 1)),
        ((Percent(0), Percent(0), 10), (0, 1)),
        ((Percent(0), Percent(5), 10), (0, 1)),
        // the defaults
        ((Percent(25), Percent(25), 1), (1, 0)),
        ((Percent(25), Percent(25), 3), (1, 0)),
        ((Percent(25), Percent(25), 4), (1, 1)),
        ((Percent(25), Percent(25), 10), (3, 2)),
        ((Percent(100), Percent(100), 7), (7, 7)),
        // TestMaxUnavailable: not more than there are
        ((Int(0), Int(10), 5), (0, 5)),
        ((Int(0), Int(10), 0), (0, 0)),
        ((Int(1), Percent(120), 3), (1, 3)),
    ];
    table(SOURCE, &rows, |(max_surge, max_unavailable, replicas)| {
        let strategy = Strategy::RollingUpdate { max_surge: *max_surge, max_unavailable: *max_unavailable };
        strategy.fenceposts(*replicas)
    }) + table("… MaxSurge, MaxUnavailable of Recreate", &[(3, (0, 0))], |n| Strategy::Recreate.fenceposts(*n))
}
