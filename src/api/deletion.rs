//! Graceful deletion of pods in the apiserver.
//!
//! Source: `k8s.io/apiserver/pkg/registry/rest/delete.go` BeforeDelete and `pkg/registry/core/pod/strategy.go`
//! CheckGracefulDelete (v1.36).

use crate::api::pod::Pod;
use crate::engine::{Duration, Time};

/// `metadata.deletionTimestamp` and `metadata.deletionGracePeriodSeconds`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deletion {
    /// The whole second at which the grace period *ends* (the request's time plus the grace).
    pub timestamp: Time,
    /// The grace period, seconds.
    pub grace_seconds: u64,
}

/// What a DELETE of a pod does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The object gets (or changes) its deletionTimestamp and stays until the kubelet has confirmed.
    Mark(Deletion),
    /// The object is removed at once.
    Remove,
    /// It is being deleted already, and nothing changes.
    Unchanged,
}

/// Decides a DELETE with `requested` seconds of grace (`None`: the pod's own `spec_grace_seconds`).
///
/// A scheduled Pending pod keeps its grace; an unscheduled or ended one is removed at once. A second DELETE can only
/// shorten what the first one gave.
#[must_use]
pub fn delete(pod: &Pod, spec_grace_seconds: u64, requested: Option<i64>, now: Time) -> Outcome {
    if let Some(running) = pod.deletion {
        let Some(requested) = requested else { return Outcome::Unchanged };
        let requested = u64::try_from(requested).unwrap_or(1);
        if requested >= running.grace_seconds {
            return Outcome::Unchanged;
        }
        if requested == 0 {
            return Outcome::Remove;
        }
        let shortened = running.timestamp - Duration::from_secs(running.grace_seconds - requested);
        return Outcome::Mark(if shortened < now {
            Deletion { timestamp: now.truncate_to_second(), grace_seconds: 1 }
        } else {
            Deletion { timestamp: shortened, grace_seconds: requested }
        });
    }
    let grace_seconds = match requested {
        _ if pod.node.is_none() || pod.phase.is_terminal() => 0,
        Some(negative) if negative < 0 => 1,
        Some(seconds) => seconds.unsigned_abs(),
        None => spec_grace_seconds,
    };
    if grace_seconds == 0 {
        Outcome::Remove
    } else {
        let timestamp = (now + Duration::from_secs(grace_seconds)).truncate_to_second();
        Outcome::Mark(Deletion { timestamp, grace_seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{LabelSetId, NodeId, Phase};

    fn mark(timestamp: u64, grace_seconds: u64) -> Outcome {
        Outcome::Mark(Deletion { timestamp: Time::from_secs(timestamp), grace_seconds })
    }

    #[test]
    fn the_first_delete() {
        let running = Pod { phase: Phase::Running, node: Some(NodeId(0)), ..Pod::created(LabelSetId(0), None) };
        let now = Time::from_millis(10_900);
        for (pod, requested, expected) in [
            (running, None, mark(40, 30)),
            (running, Some(5), mark(15, 5)),
            (running, Some(0), Outcome::Remove),
            (running, Some(-1), mark(11, 1)),
            (Pod { phase: Phase::Pending, ..running }, None, mark(40, 30)),
            (Pod { node: None, phase: Phase::Pending, ..running }, None, Outcome::Remove),
            (Pod { phase: Phase::Succeeded, ..running }, Some(30), Outcome::Remove),
            (Pod { phase: Phase::Failed, ..running }, None, Outcome::Remove),
        ] {
            assert_eq!(delete(&pod, 30, requested, now), expected, "{pod:?} {requested:?}");
        }
    }

    #[test]
    fn a_second_delete_can_only_shorten() {
        let deletion = Some(Deletion { timestamp: Time::from_secs(40), grace_seconds: 30 });
        let pod = Pod { phase: Phase::Running, node: Some(NodeId(0)), deletion, ..Pod::created(LabelSetId(0), None) };
        let now = Time::from_secs(20);
        for (requested, expected) in [
            (None, Outcome::Unchanged),
            (Some(30), Outcome::Unchanged),
            (Some(600), Outcome::Unchanged),
            (Some(15), mark(25, 15)),
            (Some(5), mark(20, 1)),
            (Some(0), Outcome::Remove),
        ] {
            assert_eq!(delete(&pod, 30, requested, now), expected, "{requested:?}");
        }
    }
}
