//! READY, STATUS and RESTARTS of a pod: what `kubectl get pods` makes of `status.phase`, the containers' states and the
//! deletionTimestamp.
//!
//! Source: `pkg/printers/internalversion/printers.go` printPod (v1.36).

use serde_json::Value;

use crate::report::kubectl::clock::{self, Instant};
use crate::report::kubectl::printers::text;

/// Three cells of a pod's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    /// `1/2`.
    pub(super) ready: String,
    /// `Running`, `Terminating`, `Init:0/1`, ….
    pub(super) status: String,
    /// `3 (5s ago)`.
    pub(super) restarts: String,
}

/// What is shown of a pod at `now`.
pub(super) fn of(pod: &Value, now: Instant) -> Shown {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let init_specs = array(&spec["initContainers"]);
    let restartable = |name: &Value| init_specs.iter().any(|c| c["name"] == *name && c["restartPolicy"] == "Always");
    let conditions = array(&status["conditions"]);
    let holds = |kind: &str| conditions.iter().any(|c| c["type"] == kind && c["status"] == "True");
    let mut reason = if status["reason"].is_null() { text(&status["phase"]) } else { text(&status["reason"]) };
    if conditions.iter().any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated") {
        reason = "SchedulingGated".to_string();
    }
    let total = array(&spec["containers"]).len() + init_specs.iter().filter(|c| c["restartPolicy"] == "Always").count();
    let mut ready = 0;
    let (mut restarts, mut sidecars) = (Restarts::default(), Restarts::default());

    let mut initializing = false;
    for (number, container) in array(&status["initContainerStatuses"]).iter().enumerate() {
        let is_sidecar = restartable(&container["name"]);
        restarts.add(container);
        if is_sidecar {
            sidecars.add(container);
        }
        let (terminated, waiting) = (&container["state"]["terminated"], &container["state"]["waiting"]["reason"]);
        if terminated["exitCode"] == 0 {
            continue;
        }
        if is_sidecar && container["started"] == true {
            ready += usize::from(container["ready"] == true);
            continue;
        }
        initializing = true;
        reason = if terminated.is_object() {
            format!("Init:{}", terminated_reason(terminated))
        } else if waiting.as_str().is_some_and(|w| !w.is_empty() && w != "PodInitializing") {
            format!("Init:{}", text(waiting))
        } else {
            format!("Init:{number}/{}", init_specs.len())
        };
        break;
    }

    if !initializing || holds("Initialized") {
        restarts = sidecars;
        let (mut has_running, mut error) = (false, None);
        for container in array(&status["containerStatuses"]).iter().rev() {
            restarts.add(container);
            let (terminated, waiting) = (&container["state"]["terminated"], &container["state"]["waiting"]["reason"]);
            if waiting.as_str().is_some_and(|w| !w.is_empty()) {
                reason = text(waiting);
            } else if terminated.is_object() {
                reason = terminated_reason(terminated);
                if terminated["exitCode"] != 0 {
                    error = Some(reason.clone());
                }
            } else if container["ready"] == true && container["state"]["running"].is_object() {
                has_running = true;
                ready += 1;
            }
        }
        if reason == "Completed" {
            // one container has ended, another one runs
            if has_running && holds("Ready") {
                reason = "Running".to_string();
            } else if let Some(error) = error {
                reason = error;
            } else if has_running {
                reason = "NotReady".to_string();
            }
        }
    }

    if pod["metadata"]["deletionTimestamp"].is_string() {
        if status["reason"] == "NodeLost" {
            reason = "Unknown".to_string();
        } else if !matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")) {
            reason = "Terminating".to_string();
        }
    }
    Shown { ready: format!("{ready}/{total}"), status: reason, restarts: restarts.shown(now) }
}

fn terminated_reason(terminated: &Value) -> String {
    match (terminated["reason"].as_str(), terminated["signal"].as_u64()) {
        (Some(reason), _) if !reason.is_empty() => reason.to_string(),
        (_, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", text(&terminated["exitCode"])),
    }
}

/// How often containers were restarted, and when the last of them had ended.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: u64,
    last: Option<Instant>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += container["restartCount"].as_u64().unwrap_or(0);
        let finished = container["lastState"]["terminated"]["finishedAt"].as_str().and_then(clock::parse);
        self.last = self.last.max(finished);
    }

    fn shown(self, now: Instant) -> String {
        match self.last {
            Some(last) if self.count > 0 => format!("{} ({} ago)", self.count, clock::age(now, last)),
            _ => self.count.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Time;
    use serde_json::json;

    fn shown(pod: &Value) -> String {
        let Shown { ready, status, restarts } = of(pod, Instant::at(Time::from_secs(60)));
        format!("{ready} {status} {restarts}")
    }

    /// The cases of printPod (`pkg/printers/internalversion/printers.go`, v1.36), one after the other.
    #[test]
    fn the_status_of_a_pod() {
        let running = |ready: bool| json!({"name": "c", "ready": ready, "restartCount": 0, "state": {"running": {"startedAt": ""}}});
        let waiting = |reason: &str| json!({"name": "c", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason}}});
        let ended = |code: u32, reason: &str| json!({"name": "c", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": code, "reason": reason}}});
        let again = json!({"name": "c", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:00:55Z"}}});
        let signalled = json!({"name": "c", "ready": false, "state": {"terminated": {"exitCode": 137, "signal": 9}}});
        let side = json!({"name": "side", "ready": true, "started": true, "restartCount": 2, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:50Z"}}});
        let (ready, none) = (json!([{"type": "Ready", "status": "True"}]), json!([]));
        for (phase, init, containers, conditions, deleted, expected) in [
            ("Pending", vec![], vec![], &none, false, "0/1 Pending 0"),
            ("Pending", vec![], vec![waiting("ContainerCreating")], &none, false, "0/1 ContainerCreating 0"),
            ("Running", vec![], vec![running(false)], &none, false, "0/1 Running 0"),
            ("Running", vec![], vec![running(true)], &ready, false, "1/1 Running 0"),
            ("Running", vec![], vec![running(true)], &ready, true, "1/1 Terminating 0"),
            ("Pending", vec![], vec![], &none, true, "0/1 Terminating 0"),
            ("Succeeded", vec![], vec![ended(0, "Completed")], &none, false, "0/1 Completed 0"),
            ("Succeeded", vec![], vec![ended(0, "Completed")], &none, true, "0/1 Completed 0"),
            ("Failed", vec![], vec![ended(137, "Error")], &none, true, "0/1 Error 0"),
            ("Failed", vec![], vec![ended(3, "")], &none, false, "0/1 ExitCode:3 0"),
            ("Failed", vec![], vec![signalled], &none, false, "0/1 Signal:9 0"),
            ("Running", vec![], vec![again], &none, false, "0/1 CrashLoopBackOff 3 (5s ago)"),
            ("Running", vec![], vec![ended(0, "Completed"), running(true)], &ready, false, "1/1 Running 0"),
            ("Running", vec![], vec![ended(0, "Completed"), running(true)], &none, false, "1/1 NotReady 0"),
            ("Pending", vec![running(false)], vec![waiting("PodInitializing")], &none, false, "0/1 Init:0/1 0"),
            (
                "Pending",
                vec![waiting("PodInitializing")],
                vec![waiting("PodInitializing")],
                &none,
                false,
                "0/1 Init:0/1 0",
            ),
            ("Pending", vec![waiting("CrashLoopBackOff")], vec![], &none, false, "0/1 Init:CrashLoopBackOff 0"),
            ("Pending", vec![ended(1, "Error")], vec![], &none, false, "0/1 Init:Error 0"),
            ("Pending", vec![ended(2, "")], vec![], &none, false, "0/1 Init:ExitCode:2 0"),
            (
                "Pending",
                vec![ended(0, "Completed")],
                vec![waiting("PodInitializing")],
                &none,
                false,
                "0/1 PodInitializing 0",
            ),
            ("Running", vec![side], vec![running(true)], &ready, false, "2/2 Running 2 (10s ago)"),
        ] {
            let sidecar = init.first().is_some_and(|c: &Value| c["name"] == "side");
            let specs = match (init.is_empty(), sidecar) {
                (true, _) => json!([]),
                (_, true) => json!([{"name": "side", "restartPolicy": "Always"}]),
                _ => json!([{"name": "c"}]),
            };
            let mut pod = json!({
                "metadata": {},
                "spec": {"containers": [{"name": "c"}], "initContainers": specs},
                "status": {"phase": phase, "initContainerStatuses": init, "containerStatuses": containers, "conditions": conditions},
            });
            if deleted {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
            }
            assert_eq!(shown(&pod), expected, "{pod}");
        }
    }

    #[test]
    fn reasons_of_the_pod_itself_come_first() {
        let pod = json!({"spec": {"containers": [{}, {}]}, "status": {"phase": "Failed", "reason": "Evicted"}});
        assert_eq!(shown(&pod), "0/2 Evicted 0");
        let lost =
            json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running", "reason": "NodeLost"}});
        assert_eq!(shown(&lost), "0/0 Unknown 0");
    }
}
