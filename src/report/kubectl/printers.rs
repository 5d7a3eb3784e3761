//! What `kubectl get` prints of an object: headers and cells, worked out from the object alone.
//!
//! Source: `pkg/printers/internalversion/printers.go` (v1.36).

use serde_json::Value;

use crate::report::kubectl::clock::{self, Instant};
use crate::report::kubectl::pod_status;
use crate::report::kubectl::resource::Resource;

/// The headers of a table; `wide` has more of them.
pub(super) fn headers(resource: Resource, wide: bool) -> Vec<&'static str> {
    let workload = ["CONTAINERS", "IMAGES", "SELECTOR"].as_slice();
    let (narrow, more): (&[&str], &[&str]) = match resource {
        Resource::Nodes => (
            &["NAME", "STATUS", "ROLES", "AGE", "VERSION"],
            &["INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME"],
        ),
        Resource::Pods => {
            (&["NAME", "READY", "STATUS", "RESTARTS", "AGE"], &["IP", "NODE", "NOMINATED NODE", "READINESS GATES"])
        }
        Resource::Deployments => (&["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"], workload),
        Resource::ReplicaSets => (&["NAME", "DESIRED", "CURRENT", "READY", "AGE"], workload),
        Resource::StatefulSets => (&["NAME", "READY", "AGE"], &["CONTAINERS", "IMAGES"]),
        Resource::DaemonSets => {
            (&["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE SELECTOR", "AGE"], workload)
        }
        Resource::Jobs => (&["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"], workload),
        Resource::Services => (&["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"], &["SELECTOR"]),
        Resource::EndpointSlices => (&["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"], &[]),
        Resource::PodDisruptionBudgets => {
            (&["NAME", "MIN AVAILABLE", "MAX UNAVAILABLE", "ALLOWED DISRUPTIONS", "AGE"], &[])
        }
        Resource::HorizontalPodAutoscalers => {
            (&["NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"], &[])
        }
        Resource::Events if wide => {
            // the message stands before the last columns
            let all = [
                "LAST SEEN",
                "TYPE",
                "REASON",
                "OBJECT",
                "SUBOBJECT",
                "SOURCE",
                "MESSAGE",
                "FIRST SEEN",
                "COUNT",
                "NAME",
            ];
            return all.to_vec();
        }
        Resource::Events => (&["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"], &[]),
    };
    narrow.iter().chain(if wide { more } else { &[] }).copied().collect()
}

/// The cells of an object's row at `now`.
pub(super) fn row(resource: Resource, object: &Value, wide: bool, now: Instant) -> Vec<String> {
    let name = text(&object["metadata"]["name"]);
    let age = since(&object["metadata"]["creationTimestamp"], now);
    let mut cells = match resource {
        Resource::Nodes => {
            vec![name, node_status(object), roles(object), age, text(&object["status"]["nodeInfo"]["kubeletVersion"])]
        }
        Resource::Pods => {
            let shown = pod_status::of(object, now);
            vec![name, shown.ready, shown.status, shown.restarts, age]
        }
        Resource::Deployments => {
            let status = &object["status"];
            let ready = format!("{}/{}", count(&status["readyReplicas"]), count(&object["spec"]["replicas"]));
            vec![name, ready, count(&status["updatedReplicas"]), count(&status["availableReplicas"]), age]
        }
        Resource::ReplicaSets => {
            let status = &object["status"];
            vec![
                name,
                count(&object["spec"]["replicas"]),
                count(&status["replicas"]),
                count(&status["readyReplicas"]),
                age,
            ]
        }
        Resource::StatefulSets => {
            let ready = format!("{}/{}", count(&object["status"]["readyReplicas"]), count(&object["spec"]["replicas"]));
            vec![name, ready, age]
        }
        Resource::DaemonSets => {
            let of = |key: &str| count(&object["status"][key]);
            let selector = pairs(&object["spec"]["template"]["spec"]["nodeSelector"]);
            let (desired, current) = (of("desiredNumberScheduled"), of("currentNumberScheduled"));
            let (updated, available) = (of("updatedNumberScheduled"), of("numberAvailable"));
            vec![name, desired, current, of("numberReady"), updated, available, selector, age]
        }
        Resource::Jobs => vec![name, job_status(object), job_completions(object), job_duration(object, now), age],
        Resource::Services => {
            let spec = &object["spec"];
            vec![name, text(&spec["type"]), text(&spec["clusterIP"]), "<none>".to_string(), service_ports(spec), age]
        }
        Resource::EndpointSlices => {
            let ports =
                list(&object["ports"], |port| if port["port"].is_null() { "*".into() } else { text(&port["port"]) });
            let addresses = list(&object["endpoints"], |e| text(&e["addresses"][0]));
            vec![name, text(&object["addressType"]), ports, addresses, age]
        }
        Resource::PodDisruptionBudgets => {
            let limit = |key: &str| match &object["spec"][key] {
                Value::Null => "N/A".to_string(),
                value => text(value),
            };
            vec![
                name,
                limit("minAvailable"),
                limit("maxUnavailable"),
                count(&object["status"]["disruptionsAllowed"]),
                age,
            ]
        }
        Resource::HorizontalPodAutoscalers => {
            let (spec, target) = (&object["spec"], &object["spec"]["scaleTargetRef"]);
            let reference = format!("{}/{}", text(&target["kind"]), text(&target["name"]));
            let least = if spec["minReplicas"].is_null() { "<unset>".into() } else { text(&spec["minReplicas"]) };
            let (most, replicas) = (count(&spec["maxReplicas"]), count(&object["status"]["currentReplicas"]));
            vec![name, reference, metrics(object), least, most, replicas, age]
        }
        Resource::Events => return event(object, wide, now),
    };
    if wide {
        cells.extend(more(resource, object));
    }
    cells
}

fn more(resource: Resource, object: &Value) -> Vec<String> {
    let or_none = |value: &Value| if value.is_null() { "<none>".to_string() } else { text(value) };
    match resource {
        Resource::Nodes => {
            let addresses = object["status"]["addresses"].as_array().into_iter().flatten();
            let of = |kind: &str| {
                addresses.clone().find(|a| a["type"] == *kind).map_or("<none>".into(), |a| text(&a["address"]))
            };
            let info = &object["status"]["nodeInfo"];
            let known = |key: &str| if info[key].is_null() { "<unknown>".to_string() } else { text(&info[key]) };
            vec![
                of("InternalIP"),
                of("ExternalIP"),
                known("osImage"),
                known("kernelVersion"),
                known("containerRuntimeVersion"),
            ]
        }
        Resource::Pods => {
            let nominated = "<none>".to_string();
            vec![or_none(&object["status"]["podIP"]), or_none(&object["spec"]["nodeName"]), nominated, gates(object)]
        }
        Resource::Deployments
        | Resource::ReplicaSets
        | Resource::StatefulSets
        | Resource::DaemonSets
        | Resource::Jobs => {
            let containers = object["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
            let joined = |key: &str| containers.clone().map(|c| text(&c[key])).collect::<Vec<_>>().join(",");
            let mut cells = vec![joined("name"), joined("image")];
            if resource != Resource::StatefulSets {
                cells.push(selector(&object["spec"]["selector"]));
            }
            cells
        }
        Resource::Services => vec![pairs(&object["spec"]["selector"])],
        Resource::EndpointSlices
        | Resource::PodDisruptionBudgets
        | Resource::HorizontalPodAutoscalers
        | Resource::Events => Vec::new(),
    }
}

/// formatHPAMetrics: the metrics of an autoscaler as they are and as they are meant to be, two of them at most.
fn metrics(hpa: &Value) -> String {
    const SHOWN_MAX: usize = 2;
    let metrics = hpa["spec"]["metrics"].as_array().map_or(&[][..], Vec::as_slice);
    let shown = metrics.iter().zip(0..).take(SHOWN_MAX).map(|(metric, number): (&Value, usize)| {
        let (key, is_resource) = match metric["type"].as_str().unwrap_or_default() {
            "External" => ("external", false),
            "Pods" => ("pods", false),
            "Object" => ("object", false),
            "Resource" => ("resource", true),
            "ContainerResource" => ("containerResource", true),
            _ => return "<unknown type>".to_string(),
        };
        let (wanted, current) = (&metric[key]["target"], &hpa["status"]["currentMetrics"][number][key]["current"]);
        let known = |value: &Value, unknown: &str| if value.is_null() { unknown.to_string() } else { text(value) };
        let percent = |value: &Value, unknown: &str| value.as_u64().map_or(unknown.to_string(), |n| format!("{n}%"));
        let is_average = !wanted["averageValue"].is_null();
        let field = if is_average { "averageValue" } else { "value" };
        let pair = format!("{}/{}", known(&current[field], "<unknown>"), known(&wanted[field], "0"));
        match (is_resource, is_average) {
            (true, true) => format!("{}: {pair}", text(&metric[key]["name"])),
            (true, false) => {
                let field = "averageUtilization";
                let (now, wanted) = (percent(&current[field], "<unknown>"), percent(&wanted[field], "<auto>"));
                format!("{}: {now}/{wanted}", text(&metric[key]["name"]))
            }
            (false, true) if key != "pods" => format!("{pair} (avg)"),
            (false, _) => pair,
        }
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    match metrics.len().saturating_sub(SHOWN_MAX) {
        _ if metrics.is_empty() => "<none>".to_string(),
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

/// How many of a pod's readiness gates are True, and how many it has.
fn gates(pod: &Value) -> String {
    let gates = pod["spec"]["readinessGates"].as_array().into_iter().flatten();
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let is_true = |gate: &&Value| {
        conditions.clone().find(|c| c["type"] == gate["conditionType"]).is_some_and(|c| c["status"] == "True")
    };
    match gates.clone().count() {
        0 => "<none>".to_string(),
        all => format!("{}/{all}", gates.filter(is_true).count()),
    }
}

/// printEvent.
fn event(object: &Value, wide: bool, now: Instant) -> Vec<String> {
    let first = match &object["firstTimestamp"] {
        Value::Null => since(&object["eventTime"], now),
        time => since(time, now),
    };
    let (last, times) = if object["series"].is_object() {
        (since(&object["series"]["lastObservedTime"], now), text(&object["series"]["count"]))
    } else {
        let last = &object["lastTimestamp"];
        let last = if last.is_null() { first.clone() } else { since(last, now) };
        (last, object["count"].as_u64().unwrap_or(1).max(1).to_string())
    };
    let about = &object["involvedObject"];
    let target = format!("{}/{}", text(&about["kind"]).to_lowercase(), text(&about["name"]));
    let (kind, reason, message) = (text(&object["type"]), text(&object["reason"]), text(&object["message"]));
    if !wide {
        return vec![last, kind, reason, target, message];
    }
    let part = |first: &Value, second: &Value| text(if first.is_null() { second } else { first });
    let component = part(&object["source"]["component"], &object["reportingComponent"]);
    let host = part(&object["source"]["host"], &object["reportingInstance"]);
    let source = if host.is_empty() { component } else { format!("{component}, {host}") };
    let path = text(&about["fieldPath"]);
    vec![last, kind, reason, target, path, source, message, first, times, text(&object["metadata"]["name"])]
}

/// printJob, STATUS.
fn job_status(job: &Value) -> String {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    let has = |kind: &str| conditions.clone().any(|c| c["type"] == kind && c["status"] == "True");
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else {
        "Running"
    }
    .to_string()
}

/// printJob, COMPLETIONS.
fn job_completions(job: &Value) -> String {
    let (succeeded, parallelism) = (count(&job["status"]["succeeded"]), job["spec"]["parallelism"].as_u64());
    match (job["spec"]["completions"].as_u64(), parallelism) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, Some(parallelism)) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

/// printJob, DURATION.
fn job_duration(job: &Value, now: Instant) -> String {
    let time = |key: &str| job["status"][key].as_str().and_then(clock::parse);
    time("startTime").map_or_else(String::new, |from| clock::age(time("completionTime").unwrap_or(now), from))
}

/// `Ready,SchedulingDisabled`.
fn node_status(node: &Value) -> String {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.clone().find(|c| c["type"] == "Ready");
    let mut status = match ready {
        Some(ready) if ready["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_string();
    if node["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    status
}

/// findNodeRoles.
fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let mut roles: Vec<&str> = labels
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { "<none>".to_string() } else { roles.join(",") }
}

/// makePortString.
fn service_ports(spec: &Value) -> String {
    let ports = spec["ports"].as_array().into_iter().flatten();
    let piece = |port: &Value| match port["nodePort"].as_u64() {
        Some(node) => format!("{}:{node}/{}", text(&port["port"]), text(&port["protocol"])),
        None => format!("{}/{}", text(&port["port"]), text(&port["protocol"])),
    };
    let pieces: Vec<String> = ports.map(piece).collect();
    if pieces.is_empty() { "<none>".to_string() } else { pieces.join(",") }
}

/// listWithMoreString: at most three.
fn list(values: &Value, show: impl Fn(&Value) -> String) -> String {
    const SHOWN_MAX: usize = 3;
    let values = values.as_array().map_or(&[][..], Vec::as_slice);
    let shown = values.iter().take(SHOWN_MAX).map(show).collect::<Vec<_>>().join(",");
    match values.len().saturating_sub(SHOWN_MAX) {
        0 if shown.is_empty() => "<unset>".to_string(),
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

/// FormatLabelSelector.
fn selector(selector: &Value) -> String {
    let mut parts: Vec<String> = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = text(&expression["key"]);
        let values = expression["values"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(",");
        parts.push(match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key,
        });
    }
    if parts.is_empty() { "<none>".to_string() } else { parts.join(",") }
}

/// FormatLabels.
fn pairs(map: &Value) -> String {
    let pairs = map.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value)));
    let pairs = pairs.collect::<Vec<_>>().join(",");
    if pairs.is_empty() { "<none>".to_string() } else { pairs }
}

/// A string as it is, anything else as JSON; nothing for null.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn count(value: &Value) -> String {
    value.as_u64().unwrap_or(0).to_string()
}

/// translateTimestampSince.
pub(super) fn since(timestamp: &Value, now: Instant) -> String {
    let instant = timestamp.as_str().and_then(clock::parse);
    instant.map_or_else(|| "<unknown>".to_string(), |instant| clock::age(now, instant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Time;
    use serde_json::json;

    fn cells(resource: Resource, wide: bool, object: &Value) -> String {
        row(resource, object, wide, Instant::at(Time::from_secs(30))).join("|")
    }

    /// Rows as `pkg/printers/internalversion/printers_test.go` (v1.36) has them: the same situations, other names.
    #[test]
    fn rows_of_every_resource() {
        let meta = json!({"name": "x", "creationTimestamp": "2025-12-31T23:00:00Z"});
        for (resource, wide, body, expected) in [
            (
                Resource::Nodes,
                false,
                json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
                "x|Ready|<none>|60m|",
            ),
            (
                Resource::Nodes,
                false,
                json!({"spec": {"unschedulable": true}}),
                "x|Unknown,SchedulingDisabled|<none>|60m|",
            ),
            (
                Resource::Nodes,
                false,
                json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}], "nodeInfo": {"kubeletVersion": "v1.36.0"}}}),
                "x|NotReady|<none>|60m|v1.36.0",
            ),
            (
                Resource::PodDisruptionBudgets,
                false,
                json!({"spec": {"minAvailable": 22}, "status": {"disruptionsAllowed": 5}}),
                "x|22|N/A|5|60m",
            ),
            (Resource::PodDisruptionBudgets, false, json!({"spec": {"maxUnavailable": "30%"}}), "x|N/A|30%|0|60m"),
            (
                Resource::EndpointSlices,
                false,
                json!({"addressType": "IPv4", "endpoints": [], "ports": []}),
                "x|IPv4|<unset>|<unset>|60m",
            ),
            (
                Resource::EndpointSlices,
                false,
                json!({"addressType": "IPv4", "ports": [{"port": 80}, {}],
                    "endpoints": [{"addresses": ["a"]}, {"addresses": ["b"]}, {"addresses": ["c"]}, {"addresses": ["d"]}]}),
                "x|IPv4|80,*|a,b,c + 1 more...|60m",
            ),
            (
                Resource::Services,
                true,
                json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.1", "selector": {"a": "b"},
                    "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "nodePort": 30053, "protocol": "UDP"}]}}),
                "x|NodePort|10.96.0.1|<none>|80/TCP,53:30053/UDP|60m|a=b",
            ),
            (
                Resource::Deployments,
                true,
                json!({"spec": {"replicas": 5, "selector": {"matchLabels": {"a": "b"}},
                    "template": {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}},
                    "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 3}}),
                "x|1/5|2|3|60m|c,d|i,j|a=b",
            ),
            (
                Resource::HorizontalPodAutoscalers,
                false,
                json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 9,
                    "metrics": [
                        {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
                        {"type": "Object", "object": {"target": {"averageValue": "7"}}},
                        {"type": "Pods", "pods": {"target": {"averageValue": "200"}}}]},
                    "status": {"currentReplicas": 3, "currentMetrics": [{"resource": {"current": {"averageUtilization": 9}}}]}}),
                "x|Deployment/web|cpu: 9%/80%, <unknown>/7 (avg) + 1 more...|2|9|3|60m",
            ),
            (
                Resource::HorizontalPodAutoscalers,
                false,
                json!({"spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "db"}, "maxReplicas": 9,
                    "metrics": [{"type": "Pods", "pods": {"target": {"averageValue": "200"}}}]}}),
                "x|StatefulSet/db|<unknown>/200|<unset>|9|0|60m",
            ),
            (
                Resource::ReplicaSets,
                false,
                json!({"spec": {"replicas": 5}, "status": {"replicas": 4, "readyReplicas": 3}}),
                "x|5|4|3|60m",
            ),
        ] {
            let mut object = body;
            object["metadata"] = meta.clone();
            assert_eq!(cells(resource, wide, &object), expected);
            assert_eq!(row(resource, &object, wide, Instant::at(Time::ZERO)).len(), headers(resource, wide).len());
        }
    }

    #[test]
    fn events_of_both_apis() {
        let about = json!({"kind": "Pod", "name": "x", "fieldPath": "spec.containers{c}"});
        let mut event = json!({"type": "Normal", "reason": "Killing", "message": "m", "involvedObject": about,
            "metadata": {"name": "x.1"}, "source": {"component": "kubelet", "host": "n"}, "count": 3,
            "firstTimestamp": "2026-01-01T00:00:10Z", "lastTimestamp": "2026-01-01T00:00:25Z"});
        assert_eq!(cells(Resource::Events, false, &event), "5s|Normal|Killing|pod/x|m");
        assert_eq!(
            cells(Resource::Events, true, &event),
            "5s|Normal|Killing|pod/x|spec.containers{c}|kubelet, n|m|20s|3|x.1"
        );
        for key in ["firstTimestamp", "lastTimestamp", "source", "count"] {
            event[key] = Value::Null;
        }
        event["eventTime"] = json!("2026-01-01T00:00:10.500000Z");
        event["reportingComponent"] = json!("default-scheduler");
        assert_eq!(
            cells(Resource::Events, true, &event),
            "19s|Normal|Killing|pod/x|spec.containers{c}|default-scheduler|m|19s|1|x.1"
        );
        event["series"] = json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:29.000000Z"});
        assert_eq!(cells(Resource::Events, false, &event), "1s|Normal|Killing|pod/x|m");
    }
}
