//! Which pods of a node `kubectl drain` takes, passes by, or refuses.
//!
//! Source: `k8s.io/kubectl/pkg/drain/filters.go` (v1.36; texts of older versions from the tags v0.29.0 to v0.35.0 of
//! kubernetes/kubectl).

use crate::api::{Owner, Phase, Pod, Version};
use crate::engine::Time;
use crate::simulation::setup::DrainOptions;

const DAEMON_SET_FATAL: &str = "DaemonSet-managed Pods (use --ignore-daemonsets to ignore)";
const DAEMON_SET_WARNING: &str = "ignoring DaemonSet-managed Pods";
const LOCAL_STORAGE_FATAL: &str = "Pods with local storage (use --delete-emptydir-data to override)";
const LOCAL_STORAGE_WARNING: &str = "deleting Pods with local storage";
const UNMANAGED_WARNING: &str = "deleting Pods that declare no controller";

/// What becomes of a pod: `PodDeleteStatus`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is evicted.
    Delete,
    /// It is evicted, with this warning.
    DeleteWithWarning(&'static str),
    /// It stays, and nobody is told.
    Skip,
    /// It stays, with this warning.
    SkipWithWarning(&'static str),
    /// It stays, and so does every other pod of its node.
    Error(&'static str),
}

impl Verdict {
    /// Whether the pod is evicted.
    #[must_use]
    pub const fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::DeleteWithWarning(_))
    }

    const fn warning(self) -> Option<&'static str> {
        match self {
            Self::DeleteWithWarning(text) | Self::SkipWithWarning(text) => Some(text),
            _ => None,
        }
    }

    const fn error(self) -> Option<&'static str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// Sends a pod through the filters, in their order. The first one that keeps it ends the chain; of the warnings only the
/// last filter's survives, so that the one about local storage is never printed.
///
/// All DaemonSets that own pods exist.
#[must_use]
pub fn judge(
    owner: &Owner,
    has_empty_dir: bool,
    pod: &Pod,
    options: &DrainOptions,
    now: Time,
    version: Version,
) -> Verdict {
    let filters = [
        skip_deleted(pod, options, now),
        daemon_set(owner, pod.phase, options),
        mirror_pod(owner),
        local_storage(has_empty_dir, pod.phase, options),
        unmanaged(owner, pod.phase, options, version),
    ];
    let mut verdict = Verdict::Delete;
    for filter in filters {
        verdict = filter;
        if !verdict.deletes() {
            break;
        }
    }
    verdict
}

/// Whether a pod has been terminating for so long that `--skip-wait-for-delete-timeout` gives it up. What counts is the
/// time since its deletionTimestamp, the *end* of its grace period, in whole seconds.
#[must_use]
pub fn is_given_up(pod: &Pod, skip_wait_for_delete_timeout: u64, now: Time) -> bool {
    skip_wait_for_delete_timeout > 0
        && pod.deletion.is_some_and(|deletion| now.since(deletion.timestamp).as_secs() > skip_wait_for_delete_timeout)
}

/// Whether the filter for DaemonSets asks the apiserver for the owner of this pod.
#[must_use]
pub fn looks_up_owner(owner: &Owner, pod: &Pod) -> bool {
    matches!(owner, Owner::DaemonSet(_)) && !pod.phase.is_terminal()
}

/// The warnings of a node's pods in one line; empty if there are none. `pods` are `namespace/name` and verdict in the
/// order of the list. kubectl orders the warnings as Go iterates over a map; here it is the order of the pods.
#[must_use]
pub fn warnings<'a>(pods: impl IntoIterator<Item = (&'a str, Verdict)>) -> String {
    by_text(pods.into_iter().filter_map(|(name, verdict)| Some((verdict.warning()?, name)))).join("; ")
}

/// The errors of a node's pods. The order is as arbitrary in kubectl as that of [`warnings`].
#[must_use]
pub fn errors<'a>(pods: impl IntoIterator<Item = (&'a str, Verdict)>) -> Vec<String> {
    by_text(pods.into_iter().filter_map(|(name, verdict)| Some((verdict.error()?, name))))
        .into_iter()
        .map(|text| format!("cannot delete {text}"))
        .collect()
}

fn by_text<'a>(pods: impl Iterator<Item = (&'static str, &'a str)>) -> Vec<String> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (text, name) in pods {
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(name),
            None => groups.push((text, vec![name])),
        }
    }
    groups.into_iter().map(|(text, names)| format!("{text}: {}", names.join(", "))).collect()
}

fn skip_deleted(pod: &Pod, options: &DrainOptions, now: Time) -> Verdict {
    if is_given_up(pod, options.skip_wait_for_delete_timeout, now) { Verdict::Skip } else { Verdict::Delete }
}

fn daemon_set(owner: &Owner, phase: Phase, options: &DrainOptions) -> Verdict {
    if !matches!(owner, Owner::DaemonSet(_)) || phase.is_terminal() {
        Verdict::Delete
    } else if options.ignore_daemonsets {
        Verdict::SkipWithWarning(DAEMON_SET_WARNING)
    } else {
        Verdict::Error(DAEMON_SET_FATAL)
    }
}

fn mirror_pod(owner: &Owner) -> Verdict {
    if matches!(owner, Owner::Mirror) { Verdict::Skip } else { Verdict::Delete }
}

fn local_storage(has_empty_dir: bool, phase: Phase, options: &DrainOptions) -> Verdict {
    if !has_empty_dir || phase.is_terminal() {
        Verdict::Delete
    } else if options.delete_emptydir_data {
        Verdict::DeleteWithWarning(LOCAL_STORAGE_WARNING)
    } else {
        Verdict::Error(LOCAL_STORAGE_FATAL)
    }
}

fn unmanaged(owner: &Owner, phase: Phase, options: &DrainOptions, version: Version) -> Verdict {
    if phase.is_terminal() || !matches!(owner, Owner::None) {
        Verdict::Delete
    } else if options.force {
        Verdict::DeleteWithWarning(UNMANAGED_WARNING)
    } else {
        Verdict::Error(unmanaged_fatal(version))
    }
}

const fn unmanaged_fatal(version: Version) -> &'static str {
    if version.drain_says_pods_declare() {
        "Pods declare no controller (use --force to override)"
    } else if version.drain_says_cannot_delete_twice() {
        "cannot delete Pods that declare no controller (use --force to override)"
    } else {
        "Pods that declare no controller (use --force to override)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Deletion, LabelSetId, NodeId, ReplicaSetId};
    use crate::engine::Duration;

    const NOW: Time = Time::from_secs(100);

    fn pod(phase: Phase) -> Pod {
        Pod { phase, ..Pod::created(LabelSetId(0), Some(NodeId(0))) }
    }

    #[test]
    fn every_kind_of_pod_under_every_flag() {
        use Phase::{Failed, Pending, Running, Succeeded};
        let none = DrainOptions::default();
        let force = DrainOptions { force: true, ..none.clone() };
        let ignore = DrainOptions { ignore_daemonsets: true, ..none.clone() };
        let emptydir = DrainOptions { delete_emptydir_data: true, ..none.clone() };
        let all = DrainOptions { force: true, ignore_daemonsets: true, delete_emptydir_data: true, ..none.clone() };
        let replica = || Owner::ReplicaSet(ReplicaSetId(0));
        let daemon = || Owner::DaemonSet(crate::api::DaemonSetId(0));
        let stateful = || Owner::StatefulSet(crate::api::StatefulSetId(0));
        let unmanaged = Verdict::Error("Pods that declare no controller (use --force to override)");
        for (owner, empty_dir, phase, options, expected) in [
            (replica(), false, Running, &none, Verdict::Delete),
            (replica(), false, Pending, &none, Verdict::Delete),
            (stateful(), false, Running, &none, Verdict::Delete),
            (replica(), true, Running, &none, Verdict::Error(LOCAL_STORAGE_FATAL)),
            (replica(), true, Running, &force, Verdict::Error(LOCAL_STORAGE_FATAL)),
            (replica(), true, Succeeded, &none, Verdict::Delete),
            // the last filter's verdict replaces the warning about local storage
            (replica(), true, Running, &emptydir, Verdict::Delete),
            (daemon(), false, Running, &none, Verdict::Error(DAEMON_SET_FATAL)),
            (daemon(), false, Running, &force, Verdict::Error(DAEMON_SET_FATAL)),
            (daemon(), false, Running, &ignore, Verdict::SkipWithWarning(DAEMON_SET_WARNING)),
            (daemon(), true, Running, &ignore, Verdict::SkipWithWarning(DAEMON_SET_WARNING)),
            (daemon(), false, Succeeded, &none, Verdict::Delete),
            (daemon(), false, Failed, &ignore, Verdict::Delete),
            (Owner::Mirror, true, Running, &none, Verdict::Skip),
            (Owner::None, false, Running, &none, unmanaged),
            (Owner::None, true, Running, &force, Verdict::Error(LOCAL_STORAGE_FATAL)),
            (Owner::None, true, Running, &emptydir, unmanaged),
            (Owner::None, true, Running, &all, Verdict::DeleteWithWarning(UNMANAGED_WARNING)),
            (Owner::None, false, Running, &force, Verdict::DeleteWithWarning(UNMANAGED_WARNING)),
            (Owner::None, true, Succeeded, &none, Verdict::Delete),
        ] {
            let verdict = judge(&owner, empty_dir, &pod(phase), options, NOW, Version::DEFAULT);
            assert_eq!(verdict, expected, "{owner:?} {empty_dir} {phase:?} {options:?}");
        }
    }

    /// Every kind of owner, with and without emptyDir, running or ended, under each of the eight combinations of the three
    /// flags: what `filters.go` makes of it, worked out by hand.
    ///
    /// `D` goes; `W` goes with the warning about controllers; `s` stays unsaid (mirror); `i` stays with the warning about
    /// DaemonSets; refused for want of: `X` --ignore-daemonsets, `L` --delete-emptydir-data, `U` --force.
    #[test]
    fn every_combination_of_flags() {
        const FLAGS: [&str; 8] = ["---", "f--", "-i-", "--d", "fi-", "f-d", "-id", "fid"];
        const TABLE: &str = "
            replicaset   running  DDDDDDDD
            replicaset+  running  LLLDLDDD
            replicaset   ended    DDDDDDDD
            replicaset+  ended    DDDDDDDD
            statefulset  running  DDDDDDDD
            statefulset+ running  LLLDLDDD
            statefulset  ended    DDDDDDDD
            statefulset+ ended    DDDDDDDD
            daemonset    running  XXiXiXii
            daemonset+   running  XXiXiXii
            daemonset    ended    DDDDDDDD
            daemonset+   ended    DDDDDDDD
            mirror       running  ssssssss
            mirror+      running  ssssssss
            mirror       ended    ssssssss
            mirror+      ended    ssssssss
            none         running  UWUUWWUW
            none+        running  LLLULWUW
            none         ended    DDDDDDDD
            none+        ended    DDDDDDDD";
        let mut cases = 0;
        for row in TABLE.lines().filter(|line| !line.trim().is_empty()) {
            let [owner, phase, letters] = row.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{row}") };
            let kind = owner.trim_end_matches('+');
            let owned = match kind {
                "replicaset" => Owner::ReplicaSet(crate::api::ReplicaSetId(0)),
                "statefulset" => Owner::StatefulSet(crate::api::StatefulSetId(0)),
                "daemonset" => Owner::DaemonSet(crate::api::DaemonSetId(0)),
                "mirror" => Owner::Mirror,
                _ => Owner::None,
            };
            let phases: &[Phase] =
                if phase == "ended" { &[Phase::Succeeded, Phase::Failed] } else { &[Phase::Running, Phase::Pending] };
            for ((flags, letter), phase) in
                FLAGS.iter().zip(letters.chars()).flat_map(|x| phases.iter().map(move |p| (x, *p)))
            {
                let options = DrainOptions {
                    force: flags.contains('f'),
                    ignore_daemonsets: flags.contains('i'),
                    delete_emptydir_data: flags.contains('d'),
                    ..DrainOptions::default()
                };
                let verdict = judge(&owned, owner.ends_with('+'), &pod(phase), &options, NOW, Version::DEFAULT);
                let expected = match letter {
                    'D' => Verdict::Delete,
                    'W' => Verdict::DeleteWithWarning(UNMANAGED_WARNING),
                    's' => Verdict::Skip,
                    'i' => Verdict::SkipWithWarning(DAEMON_SET_WARNING),
                    'X' => Verdict::Error(DAEMON_SET_FATAL),
                    'L' => Verdict::Error(LOCAL_STORAGE_FATAL),
                    _ => Verdict::Error("Pods that declare no controller (use --force to override)"),
                };
                assert_eq!(verdict, expected, "{owner} {phase:?} {flags}");
                cases += 1;
            }
        }
        assert_eq!(cases, 20 * 8 * 2);
    }

    #[test]
    fn long_terminating_pods_are_given_up_after_the_end_of_their_grace() {
        let options = DrainOptions { skip_wait_for_delete_timeout: 5, ..DrainOptions::default() };
        let ended = |timestamp| Pod {
            deletion: Some(Deletion { timestamp: Time::from_secs(timestamp), grace_seconds: 30 }),
            ..pod(Phase::Running)
        };
        let bare = |pod: &Pod, now| judge(&Owner::None, false, pod, &options, now, Version::DEFAULT);
        assert_ne!(bare(&ended(130), NOW), Verdict::Skip, "still within its grace");
        assert_ne!(
            bare(&ended(95), NOW + Duration::from_millis(999)),
            Verdict::Skip,
            "5 whole seconds are not more than 5"
        );
        assert_eq!(bare(&ended(94), NOW), Verdict::Skip, "before any error");
        assert!(!is_given_up(&ended(0), 0, NOW), "off by default");
        assert!(!is_given_up(&pod(Phase::Running), 5, NOW), "not being deleted");
    }

    #[test]
    fn pods_are_grouped_by_what_is_said_of_them() {
        let list = [
            ("kube-system/agent-1", Verdict::SkipWithWarning(DAEMON_SET_WARNING)),
            ("default/bare", Verdict::DeleteWithWarning(UNMANAGED_WARNING)),
            ("default/web", Verdict::Delete),
            ("kube-system/agent-2", Verdict::SkipWithWarning(DAEMON_SET_WARNING)),
            ("default/cache", Verdict::Error(LOCAL_STORAGE_FATAL)),
        ];
        assert_eq!(
            warnings(list),
            "ignoring DaemonSet-managed Pods: kube-system/agent-1, kube-system/agent-2; deleting Pods that declare no \
             controller: default/bare"
        );
        assert_eq!(
            errors(list),
            ["cannot delete Pods with local storage (use --delete-emptydir-data to override): default/cache"]
        );
    }

    #[test]
    fn the_words_about_unmanaged_pods_have_changed_twice() {
        for (minor, expected) in [
            (29, "cannot delete Pods declare no controller (use --force to override): default/bare"),
            (30, "cannot delete cannot delete Pods that declare no controller (use --force to override): default/bare"),
            (35, "cannot delete cannot delete Pods that declare no controller (use --force to override): default/bare"),
            (36, "cannot delete Pods that declare no controller (use --force to override): default/bare"),
        ] {
            let options = DrainOptions::default();
            let verdict = judge(&Owner::None, false, &pod(Phase::Running), &options, NOW, Version::minor(minor));
            assert_eq!(errors([("default/bare", verdict)]), [expected], "1.{minor}");
        }
    }
}
