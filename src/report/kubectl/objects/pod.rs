//! `v1` Pod.

use serde_json::{Map, Value, json};

use crate::api::{Owner, Phase, Pod, PodId, TemplateId};
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::{Cluster, node_address};
use crate::report::kubectl::objects::containers::Statuses;
use crate::report::kubectl::objects::{Identity, condition, controller, labels, metadata, object};
use crate::report::kubectl::resource::Resource;
use crate::simulation::observe::What;

impl Cluster<'_> {
    /// A pod at a time.
    pub(in crate::report::kubectl) fn pod(&self, id: PodId, at: Time) -> Option<Value> {
        let stored = self.store.pods.stored_at_time(id.index(), at)?;
        let version = stored.value?;
        let meta = &self.store.pod_meta[id.index()];
        let identity = Identity {
            resource: Resource::Pods,
            namespace: Some(&meta.namespace),
            name: &meta.name,
            number: id.index(),
            created: Instant::since(meta.created_at),
            revision: stored.revision,
        };
        let template = self.template(meta.template);
        let mut metadata = metadata(&identity, Some(&template));
        metadata["labels"] = labels(&self.store.label_set(version.labels).labels);
        if let Some(deletion) = version.deletion {
            metadata["deletionTimestamp"] = json!(Instant::at(deletion.timestamp).rfc3339());
            metadata["deletionGracePeriodSeconds"] = json!(deletion.grace_seconds);
        }
        self.add_owner(&mut metadata, &self.store.owner_of(id, &version));
        let mut spec = template["spec"].as_object().cloned().unwrap_or_default();
        if let Some(node) = version.node {
            spec.insert("nodeName".to_string(), json!(self.store.node_name(node)));
        }
        let gates = &self.store.templates[meta.template.index()].readiness_gates;
        if !gates.is_empty() {
            let gates = gates.iter().map(|gate| json!({"conditionType": gate.condition_type}));
            spec.insert("readinessGates".to_string(), gates.collect());
        }
        let statuses = self.container_statuses(id, &version, at);
        let status = self.pod_status(id, &version, &statuses, at);
        Some(object(Resource::Pods, metadata, Value::Object(spec), status))
    }

    /// A pod template as it was written; one that came up during the run is like the one that it replaced.
    pub(in crate::report::kubectl) fn template(&self, id: TemplateId) -> Value {
        let template = &self.store.templates[id.index()];
        let written = self.originals.template(id).or_else(|| self.originals.template(self.first_template(id)?));
        let mut fresh = written.cloned().unwrap_or_else(|| json!({}));
        if !fresh["spec"].is_object() {
            let container = |c: &crate::api::Container| json!({"name": c.name, "image": c.image});
            fresh["spec"] = json!({"containers": template.containers.iter().map(container).collect::<Vec<_>>()});
        }
        let grace = template.termination_grace_period_seconds;
        for (key, value) in [
            ("restartPolicy", json!("Always")),
            ("terminationGracePeriodSeconds", json!(grace)),
            ("dnsPolicy", json!("ClusterFirst")),
            ("schedulerName", json!("default-scheduler")),
        ] {
            if fresh["spec"][key].is_null() {
                fresh["spec"][key] = value;
            }
        }
        fresh
    }

    fn add_owner(&self, metadata: &mut Value, owner: &Owner) {
        if *owner == Owner::Mirror {
            let uid = metadata["uid"].clone();
            metadata["annotations"]["kubernetes.io/config.mirror"] = uid;
        }
        let Some(of) = self.controller(owner) else { return };
        let namespace = metadata["namespace"].as_str().unwrap_or_default().to_string();
        // a StatefulSet names its pods itself
        if of.kind != "StatefulSet" {
            metadata["generateName"] = json!(format!("{}-", of.name));
        }
        metadata["ownerReferences"] = controller(of.api_version, &of.kind, &namespace, &of.name, of.number);
    }

    fn pod_status(&self, id: PodId, version: &Pod, statuses: &Statuses, at: Time) -> Value {
        let mut status = Map::new();
        let mut put = |key: &str, value: Value| status.insert(key.to_string(), value);
        let phase = match version.phase {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        };
        put("phase", json!(phase));
        if let Some(reason) = version.reason {
            put("reason", json!(reason.name()));
        }
        put("conditions", Value::Array(self.pod_conditions(id, version, statuses, at)));
        if let (Some(began), Some(node)) = (statuses.began, version.node) {
            let host = node_address(node);
            put("startTime", json!(began.rfc3339()));
            put("hostIP", json!(host));
            put("hostIPs", json!([{"ip": host}]));
        }
        if let Some(address) = self.address(id).filter(|_| version.has_ip) {
            put("podIP", json!(address));
            put("podIPs", json!([{"ip": address}]));
        }
        if !statuses.init.is_empty() {
            put("initContainerStatuses", Value::Array(statuses.init.clone()));
        }
        if !statuses.containers.is_empty() {
            put("containerStatuses", Value::Array(statuses.containers.clone()));
        }
        Value::Object(status)
    }

    /// Source: `pkg/kubelet/status/generate.go`, and `pkg/registry/core/pod/storage/eviction.go` for DisruptionTarget
    /// (v1.36).
    fn pod_conditions(&self, id: PodId, version: &Pod, statuses: &Statuses, at: Time) -> Vec<Value> {
        let history = self.store.pods.history(id.index());
        let first = |holds: fn(&Pod) -> bool| {
            let found = history.iter().find(|v| v.value.as_ref().is_some_and(holds));
            found.map_or_else(Instant::of_steady_state, |v| Instant::since(v.time))
        };
        let mut conditions = self.gate_conditions(id, version, at);
        if version.disruption_target {
            let since = first(|p| p.disruption_target);
            let evicted = self.facts_of(id).iter().any(|e| matches!(e.what, What::EvictionRequested { .. }));
            let (reason, message) = if evicted {
                ("EvictionByEvictionAPI", "Eviction API: evicting")
            } else {
                ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
            };
            conditions.push(condition("DisruptionTarget", true, since, reason, message));
        }
        if version.node.is_none() {
            let failed = |e: &&crate::simulation::observe::TraceEntry| {
                e.time <= at && matches!(e.what, What::PodUnschedulable { .. })
            };
            let mut failures = self.facts_of(id).iter().filter(failed);
            if let Some(first) = failures.next() {
                let last = failures.next_back().unwrap_or(first);
                let message = self.trace.text(last.id).unwrap_or_default();
                let since = Instant::at(first.time);
                conditions.push(condition("PodScheduled", false, since, "Unschedulable", message));
            }
            return conditions;
        }
        let scheduled = first(|p| p.node.is_some());
        let Some(began) = statuses.began else {
            conditions.push(condition("PodScheduled", true, scheduled, "", ""));
            return conditions;
        };
        let ended = match version.phase {
            Phase::Succeeded => Some("PodCompleted"),
            Phase::Failed => Some("PodFailed"),
            Phase::Pending | Phase::Running => None,
        };
        let initialized = statuses.initialized;
        let since_ready = match version.ready_since {
            Time::ZERO if began == Instant::of_steady_state() => began,
            Time::ZERO => began,
            time => Instant::at(time),
        };
        conditions.push(condition("PodReadyToStartContainers", ended.is_none() && version.has_ip, began, "", ""));
        let names = |statuses: &[Value], ready: bool| {
            let unready = statuses.iter().filter(|s| s["ready"] != json!(ready));
            unready.filter_map(|s| s["name"].as_str()).collect::<Vec<_>>().join(" ")
        };
        if initialized {
            let reason = if version.phase == Phase::Succeeded { "PodCompleted" } else { "" };
            conditions.push(condition("Initialized", true, began, reason, ""));
        } else {
            let message = format!("containers with incomplete status: [{}]", names(&statuses.init, true));
            conditions.push(condition("Initialized", false, began, "ContainersNotInitialized", &message));
        }
        let template = self.store.template_of(id);
        let shut =
            |gate: &u8| template.readiness_gates[usize::from(*gate)].set_by.is_some() && !version.gates.is_true(*gate);
        let shut: Vec<u8> = (0u8..).take(template.readiness_gates.len()).filter(shut).collect();
        let waits =
            ended.is_none() && !shut.is_empty() && !version.ready && names(&statuses.containers, true).is_empty();
        for kind in ["Ready", "ContainersReady"] {
            if waits {
                let containers_ready =
                    |p: &Pod| template.containers_ready(p.phase, self.store.container_statuses(p.containers));
                conditions.push(match kind {
                    "Ready" => {
                        let message = |gate: &u8| {
                            let gate = &template.readiness_gates[usize::from(*gate)].condition_type;
                            format!("corresponding condition of pod readiness gate {gate:?} does not exist.")
                        };
                        let message = shut.iter().map(message).collect::<Vec<_>>().join(", ");
                        condition(kind, false, since_ready, "ReadinessGatesNotReady", &message)
                    }
                    _ => condition(kind, true, self.since(id, at, containers_ready), "", ""),
                });
                continue;
            }
            conditions.push(match (version.ready, ended) {
                (true, _) => condition(kind, true, since_ready, "", ""),
                (false, Some(reason)) => condition(kind, false, since_ready, reason, ""),
                (false, None) => {
                    let message = format!("containers with unready status: [{}]", names(&statuses.containers, true));
                    condition(kind, false, since_ready, "ContainersNotReady", &message)
                }
            });
        }
        conditions.push(condition("PodScheduled", true, scheduled, "", ""));
        conditions
    }

    /// The conditions of the readiness gates that are True. Those that nobody sets are, too.
    fn gate_conditions(&self, id: PodId, version: &Pod, at: Time) -> Vec<Value> {
        let gates = (0u8..).zip(&self.store.template_of(id).readiness_gates);
        let is_true = |gate: u8, set_by: Option<u32>, pod: &Pod| set_by.is_none() || pod.gates.is_true(gate);
        gates
            .filter(|(number, gate)| is_true(*number, gate.set_by, version))
            .map(|(number, gate)| {
                let since = self.since(id, at, |pod| is_true(number, gate.set_by, pod));
                condition(&gate.condition_type, true, since, "", "")
            })
            .collect()
    }

    /// Since when something has held without a break, at a time at which it does.
    fn since(&self, id: PodId, at: Time, holds: impl Fn(&Pod) -> bool) -> Instant {
        let history = self.store.pods.history(id.index()).iter();
        let versions = history.take_while(|v| v.time <= at).filter_map(|v| Some((v.time, v.value.as_ref()?)));
        let mut since = None;
        for (time, pod) in versions {
            since = if holds(pod) { since.or(Some(time)) } else { None };
        }
        since.map_or_else(Instant::of_steady_state, Instant::since)
    }
}
