//! Graceful deletion.

use super::{running, table};
use drainsim::api::deletion::{Outcome, delete};
use drainsim::api::{Deletion, Phase, Pod};
use drainsim::engine::Time;

/// All tables of this file.
pub fn check() -> usize {
    first_deletes() + later_deletes()
}

fn mark(timestamp: u64, grace_seconds: u64) -> Outcome {
    Outcome::Mark(Deletion { timestamp: Time::from_secs(timestamp), grace_seconds })
}

/// `pkg/registry/core/pod/strategy.go` CheckGracefulDelete, `k8s.io/apiserver/pkg/registry/rest/delete.go` BeforeDelete;
/// `strategy_test.go` TestCheckGracefulDelete. At 10.9 s. A row: on a node, phase, grace of the spec, grace of the request.
fn first_deletes() -> usize {
    use Phase::{Failed, Pending, Running, Succeeded};
    let rows: [((bool, Phase, u64, Option<i64>), Outcome); 13] = [
        ((true, Pending, 30, Some(30)), mark(40, 30)),
        ((true, Failed, 30, Some(30)), Outcome::Remove),
        ((false, Pending, 30, Some(30)), Outcome::Remove),
        ((false, Succeeded, 30, Some(30)), Outcome::Remove),
        ((true, Succeeded, 30, None), Outcome::Remove),
        ((true, Running, 30, None), mark(40, 30)),
        ((true, Running, 600, None), mark(610, 600)),
        ((true, Running, 0, None), Outcome::Remove),
        ((true, Running, 30, Some(0)), Outcome::Remove),
        // what is negative counts as 1
        ((true, Running, 30, Some(-1)), mark(11, 1)),
        ((true, Running, 30, Some(-600)), mark(11, 1)),
        // the request's is taken, shorter or longer than the pod's own
        ((true, Running, 30, Some(5)), mark(15, 5)),
        ((true, Running, 30, Some(90)), mark(100, 90)),
    ];
    table("pkg/registry/core/pod/strategy_test.go TestCheckGracefulDelete", &rows, |row| {
        let (scheduled, phase, own, requested) = *row;
        let node = running(true).node.filter(|_| scheduled);
        delete(&Pod { phase, node, ..running(true) }, own, requested, Time::from_millis(10_900))
    })
}

/// BeforeDelete of an object that is being deleted, with 60 s of grace until 100 s. A row: the time in seconds, and the grace
/// of the request.
fn later_deletes() -> usize {
    let rows: [((u64, Option<i64>), Outcome); 10] = [
        ((50, None), Outcome::Unchanged),
        ((50, Some(60)), Outcome::Unchanged),
        ((50, Some(90)), Outcome::Unchanged),
        ((50, Some(30)), mark(70, 30)),
        ((50, Some(59)), mark(99, 59)),
        ((50, Some(0)), Outcome::Remove),
        // counted from the first delete: what would be over is over now, with 1 s of grace
        ((50, Some(5)), mark(50, 1)),
        ((45, Some(5)), mark(45, 5)),
        ((99, Some(30)), mark(99, 1)),
        ((99, Some(-1)), mark(99, 1)),
    ];
    table("apiserver registry/rest/delete.go BeforeDelete", &rows, |(now, requested)| {
        let deletion = Some(Deletion { timestamp: Time::from_secs(100), grace_seconds: 60 });
        delete(&Pod { deletion, ..running(true) }, 60, *requested, Time::from_secs(*now))
    })
}
