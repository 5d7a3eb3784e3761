//! The words of Events, by version. Quoted names are names of objects and images, which need no escapes.

use serde_json::Value;

use crate::api::Version;
use crate::engine::Duration;

/// Source: `pkg/kubelet/images/image_manager.go` EnsureImageExists: the longer words come with the gate
/// KubeletEnsureSecretPulledImages (beta 1.35).
pub(super) fn image_present(image: &str, version: Version) -> String {
    let more = if version.kubelet_checks_pull_credentials() { " and can be accessed by the pod" } else { "" };
    format!("Container image \"{image}\" already present on machine{more}")
}

/// Source: `pkg/kubelet/images/image_manager.go` pullImage (v1.36).
pub(super) fn pulling(image: &str) -> String {
    format!("Pulling image \"{image}\"")
}

/// The real message ends with the image's size from 1.30 on; sizes are not modelled.
///
/// Source: `pkg/kubelet/images/image_manager.go` pullImage (v1.36).
pub(super) fn pulled(image: &str, alone: Duration, with_waiting: Duration) -> String {
    let millis = |time: Duration| Duration::from_millis(time.as_nanos() / 1_000_000);
    format!("Successfully pulled image \"{image}\" in {} ({} including waiting)", millis(alone), millis(with_waiting))
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go` startContainer (v1.34 against v1.35, PR 134043).
pub(super) fn created(container: &str, version: Version) -> String {
    if version.container_events_without_name() {
        "Container created".to_string()
    } else {
        format!("Created container: {container}")
    }
}

/// As [`created`].
pub(super) fn started(container: &str, version: Version) -> String {
    if version.container_events_without_name() {
        "Container started".to_string()
    } else {
        format!("Started container {container}")
    }
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go` killContainer (v1.36).
pub(super) fn killing(container: &str) -> String {
    format!("Stopping container {container}")
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_manager.go` computePodActions (v1.36).
pub(super) fn probe_gave_up(container: &str, startup: bool) -> String {
    let probe = if startup { "startup" } else { "liveness" };
    format!("Container {container} failed {probe} probe, will be restarted")
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_manager.go` doBackOff (v1.36); the pod's UID is left out.
pub(super) fn backs_off(container: &str, pod: &str) -> String {
    format!("Back-off restarting failed container {container} in pod {pod}")
}

/// A probe that nobody answers because nobody listens. What a command prints is not known.
///
/// Source: `pkg/kubelet/prober/prober.go` probe; `pkg/probe/http/http.go`, `tcp/tcp.go`, `grpc/grpc.go` (v1.36).
pub(super) fn unhealthy(kind: &str, probe: &Value, ports: &Value, address: &str) -> String {
    let port = |of: &Value| match &of["port"] {
        Value::String(name) => {
            let named = ports.as_array().into_iter().flatten().find(|p| p["name"] == **name);
            named.map_or_else(|| name.clone(), |p| p["containerPort"].to_string())
        }
        number => number.to_string(),
    };
    let refused = |port: &str| format!("dial tcp {address}:{port}: connect: connection refused");
    let output = if probe["httpGet"].is_object() {
        let get = &probe["httpGet"];
        let scheme = get["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        let path = get["path"].as_str().unwrap_or_default().trim_start_matches('/');
        let port = port(get);
        format!("Get \"{scheme}://{address}:{port}/{path}\": {}", refused(&port))
    } else if probe["tcpSocket"].is_object() {
        refused(&port(&probe["tcpSocket"]))
    } else if probe["grpc"].is_object() {
        let seconds = probe["timeoutSeconds"].as_u64().unwrap_or(1);
        let port = port(&probe["grpc"]);
        format!("timeout: failed to connect service \"{address}:{port}\" within {seconds}s: context deadline exceeded")
    } else {
        String::new()
    };
    format!("{kind} probe failed: {output}")
}

/// Source: `pkg/controller/deployment/sync.go` getNewReplicaSet and scaleReplicaSet (v1.31 against v1.32).
pub(super) fn scaled(replica_set: &str, from: u32, to: u32, is_new: bool, version: Version) -> String {
    let direction = if from < to { "up" } else { "down" };
    let numbers = match (version.scaling_event_says_from_first(), is_new) {
        (true, _) => format!("from {from} to {to}"),
        (false, true) => format!("to {to}"),
        (false, false) => format!("to {to} from {from}"),
    };
    format!("Scaled {direction} replica set {replica_set} {numbers}")
}

/// Source: `pkg/controller/statefulset/stateful_pod_control.go` recordPodEvent (v1.34 against v1.35).
pub(super) fn of_stateful_set(pod: &str, set: &str, is_new: bool, version: Version) -> String {
    let verb = match (version.stateful_set_events_are_titled(), is_new) {
        (true, true) => "Create",
        (true, false) => "Delete",
        (false, true) => "create",
        (false, false) => "delete",
    };
    format!("{verb} Pod {pod} in StatefulSet {set} successful")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Against recorded Events of v1.36.2, and the sources of the versions before.
    #[test]
    fn words_by_version() {
        let (old, new) = (Version::minor(34), Version::minor(35));
        for (message, expected) in [
            (
                image_present("rk/app:1", new),
                "Container image \"rk/app:1\" already present on machine and can be accessed by the pod",
            ),
            (image_present("rk/app:1", old), "Container image \"rk/app:1\" already present on machine"),
            (created("c", new), "Container created"),
            (created("c", old), "Created container: c"),
            (started("c", new), "Container started"),
            (started("c", old), "Started container c"),
            (killing("c"), "Stopping container c"),
            (scaled("web-5b484dcc79", 0, 6, true, new), "Scaled up replica set web-5b484dcc79 from 0 to 6"),
            (scaled("web-1", 6, 2, false, new), "Scaled down replica set web-1 from 6 to 2"),
            (scaled("web-1", 6, 2, false, Version::minor(31)), "Scaled down replica set web-1 to 2 from 6"),
            (scaled("web-1", 0, 6, true, Version::minor(31)), "Scaled up replica set web-1 to 6"),
            (of_stateful_set("db-0", "db", true, old), "create Pod db-0 in StatefulSet db successful"),
            (of_stateful_set("db-0", "db", false, new), "Delete Pod db-0 in StatefulSet db successful"),
            (
                pulled("i", Duration::from_micros(1_234_567), Duration::from_secs(2)),
                "Successfully pulled image \"i\" in 1.234s (2s including waiting)",
            ),
        ] {
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn probes_fail_in_the_words_of_their_kind() {
        let ports = json!([{"name": "web", "containerPort": 8080}]);
        for (probe, expected) in [
            (
                json!({"httpGet": {"path": "/", "port": 8080}}),
                "Readiness probe failed: Get \"http://10.244.2.6:8080/\": dial tcp 10.244.2.6:8080: connect: connection refused",
            ),
            (
                json!({"httpGet": {"path": "healthz", "port": "web", "scheme": "HTTPS"}}),
                "Readiness probe failed: Get \"https://10.244.2.6:8080/healthz\": dial tcp 10.244.2.6:8080: connect: connection refused",
            ),
            (
                json!({"tcpSocket": {"port": 5432}}),
                "Readiness probe failed: dial tcp 10.244.2.6:5432: connect: connection refused",
            ),
            (
                json!({"grpc": {"port": 9090}}),
                "Readiness probe failed: timeout: failed to connect service \"10.244.2.6:9090\" within 1s: context deadline exceeded",
            ),
            (json!({"exec": {"command": ["true"]}}), "Readiness probe failed: "),
        ] {
            assert_eq!(unhealthy("Readiness", &probe, &ports, "10.244.2.6"), expected);
        }
    }
}
