//! Which pods `kubectl drain` takes.

use super::{running, table};
use drainsim::api::pod::Owner;
use drainsim::api::{Deletion, Phase, Pod, ReplicaSetId, Version};
use drainsim::engine::{Duration, Time};
use drainsim::simulation::operator::filters::{Verdict, is_given_up, judge};
use drainsim::simulation::setup::DrainOptions;

/// All tables of this file.
pub fn check() -> usize {
    filters() + skipped()
}

/// What is done with a pod, without the words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Does {
    Delete,
    DeleteAndWarn,
    Skip,
    SkipAndWarn,
    Refuse,
}

/// The flags that filters look at.
#[derive(Clone, Copy, Debug)]
struct Flags {
    force: bool,
    daemonsets: bool,
    emptydir: bool,
}

const NONE: Flags = Flags { force: false, daemonsets: false, emptydir: false };
const FORCE: Flags = Flags { force: true, ..NONE };
const DAEMONSETS: Flags = Flags { daemonsets: true, ..NONE };
const EMPTYDIR: Flags = Flags { emptydir: true, ..NONE };
const ALL: Flags = Flags { force: true, daemonsets: true, emptydir: true };

/// `k8s.io/kubectl/pkg/drain/filters.go` makeFilters; `k8s.io/kubectl/pkg/cmd/drain/drain_test.go` TestDrain. A row: owner,
/// emptyDir, phase, flags.
fn filters() -> usize {
    use Phase::{Failed, Pending, Running, Succeeded};
    let set = Owner::ReplicaSet(ReplicaSetId(0));
    let daemon = Owner::DaemonSet(0_usize.into());
    let job = Owner::Job(0_usize.into());
    let other = Owner::Other { kind: "Rollout".into(), name: "web".into() };
    let rows: [((&Owner, bool, Phase, Flags), Does); 26] = [
        ((&set, false, Running, NONE), Does::Delete),
        ((&job, false, Running, NONE), Does::Delete),
        ((&other, false, Running, NONE), Does::Delete),
        ((&set, false, Pending, NONE), Does::Delete),
        // DaemonSets
        ((&daemon, false, Running, NONE), Does::Refuse),
        ((&daemon, false, Running, FORCE), Does::Refuse),
        ((&daemon, false, Running, DAEMONSETS), Does::SkipAndWarn),
        ((&daemon, true, Running, DAEMONSETS), Does::SkipAndWarn),
        ((&daemon, false, Succeeded, NONE), Does::Delete),
        ((&daemon, false, Failed, NONE), Does::Delete),
        // mirror pods stay, whatever the flags
        ((&Owner::Mirror, false, Running, NONE), Does::Skip),
        ((&Owner::Mirror, true, Running, NONE), Does::Skip),
        ((&Owner::Mirror, false, Running, ALL), Does::Skip),
        // local storage; that it is deleted is not told, since a later filter has the last word
        ((&set, true, Running, NONE), Does::Refuse),
        ((&set, true, Running, FORCE), Does::Refuse),
        ((&set, true, Running, EMPTYDIR), Does::Delete),
        ((&set, true, Succeeded, NONE), Does::Delete),
        ((&set, true, Failed, NONE), Does::Delete),
        ((&set, true, Pending, NONE), Does::Refuse),
        // no controller
        ((&Owner::None, false, Running, NONE), Does::Refuse),
        ((&Owner::None, false, Pending, NONE), Does::Refuse),
        ((&Owner::None, false, Running, FORCE), Does::DeleteAndWarn),
        ((&Owner::None, false, Succeeded, NONE), Does::Delete),
        ((&Owner::None, false, Failed, NONE), Does::Delete),
        ((&Owner::None, true, Running, FORCE), Does::Refuse),
        ((&Owner::None, true, Running, ALL), Does::DeleteAndWarn),
    ];
    table("kubectl pkg/cmd/drain/drain_test.go TestDrain", &rows, |(owner, has_empty_dir, phase, flags)| {
        let options = DrainOptions {
            force: flags.force,
            ignore_daemonsets: flags.daemonsets,
            delete_emptydir_data: flags.emptydir,
            ..DrainOptions::default()
        };
        let pod = Pod { phase: *phase, ..running(true) };
        match judge(owner, *has_empty_dir, &pod, &options, Time::from_secs(100), Version::minor(36)) {
            Verdict::Delete => Does::Delete,
            Verdict::DeleteWithWarning(_) => Does::DeleteAndWarn,
            Verdict::Skip => Does::Skip,
            Verdict::SkipWithWarning(_) => Does::SkipAndWarn,
            Verdict::Error(_) => Does::Refuse,
        }
    })
}

/// `filters.go` skipDeletedFilter; `filter_test.go` TestSkipDeletedFilter. A row: the age of the deletionTimestamp in
/// milliseconds (none: not being deleted), and the flag; whether the pod is passed by.
fn skipped() -> usize {
    let rows: [((Option<u64>, u64), bool); 9] = [
        ((None, 20), false),
        ((Some(0), 20), false),
        ((Some(1_000), 20), false),
        ((Some(100_000), 20), true),
        // in whole seconds, and more than so many
        ((Some(20_000), 20), false),
        ((Some(20_999), 20), false),
        ((Some(21_000), 20), true),
        ((Some(100_000), 0), false),
        ((None, 0), false),
    ];
    table("kubectl pkg/drain/filter_test.go TestSkipDeletedFilter", &rows, |(age, flag)| {
        let now = Time::from_secs(1000);
        let at = age.map(|age| now - Duration::from_millis(age));
        let deletion = at.map(|timestamp| Deletion { timestamp, grace_seconds: 30 });
        is_given_up(&Pod { deletion, ..running(true) }, *flag, now)
    })
}
