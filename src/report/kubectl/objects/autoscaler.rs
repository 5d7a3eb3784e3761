//! `autoscaling/v2` HorizontalPodAutoscaler.

use serde_json::{Map, Value, json};

use crate::api::autoscaler::ScaleTarget;
use crate::api::{AutoscalerId, HorizontalPodAutoscaler};
use crate::engine::{Random, Time};
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::Cluster;
use crate::report::kubectl::objects::{Identity, metadata, object};
use crate::report::kubectl::resource::Resource;
use crate::simulation::control_plane::autoscaler::syncs;
use crate::simulation::observe::What;

/// What an autoscaler without metrics follows, percent of the requested CPU
/// (`pkg/apis/autoscaling/v2/defaults.go` SetDefaults_HorizontalPodAutoscaler, v1.36).
const CPU_DEFAULT: u64 = 80;

impl Cluster<'_> {
    /// An autoscaler at a time. Its status is that of its last sync; what it measured then, and its conditions, are left out.
    ///
    /// Source: `pkg/controller/podautoscaler/horizontal.go` setStatus (v1.36).
    pub(in crate::report::kubectl) fn autoscaler(&self, id: AutoscalerId, at: Time) -> Option<Value> {
        let history = self.store.autoscalers.history(id.index());
        let stored = self.store.autoscalers.stored_at_time(id.index(), at)?;
        let hpa = stored.value.as_ref()?;
        let original = self.originals.object("HorizontalPodAutoscaler", &hpa.namespace, &hpa.name);
        let identity = Identity {
            resource: Resource::HorizontalPodAutoscalers,
            namespace: Some(&hpa.namespace),
            name: &hpa.name,
            number: id.index(),
            created: Instant::since(Self::first_written(history)),
            revision: stored.revision,
        };
        let written = original.map_or(&Value::Null, |o| &o["spec"]);
        let mut spec = Map::new();
        for key in ["behavior", "scaleTargetRef"] {
            if !written[key].is_null() {
                spec.insert(key.to_string(), written[key].clone());
            }
        }
        spec.insert("minReplicas".to_string(), json!(hpa.min_replicas));
        spec.insert("maxReplicas".to_string(), json!(hpa.max_replicas));
        spec.insert("metrics".to_string(), metrics(written));
        // what it saw at its last sync, and what it made of that
        let sync = self.syncs_of(id, hpa).take_while(|sync| *sync <= at).last().unwrap_or(Time::ZERO);
        let of_it = |what: What| match what {
            What::Autoscaled { autoscaler, replicas } if autoscaler == id => Some(replicas),
            _ => None,
        };
        let then = self.trace.entries().iter().filter(|entry| entry.time == sync).find_map(|entry| of_it(entry.what));
        let current = self.replicas_of(hpa.target, sync);
        let status = json!({"currentReplicas": current, "desiredReplicas": then.unwrap_or(current)});
        Some(object(identity.resource, metadata(&identity, original), Value::Object(spec), status))
    }

    /// When it looks at its target, until the end of the run.
    pub(in crate::report::kubectl) fn syncs_of(
        &self,
        id: AutoscalerId,
        hpa: &HorizontalPodAutoscaler,
    ) -> impl Iterator<Item = Time> {
        let is_tracked = self.setup.autoscalers.len() > id.index();
        let end = self.end;
        syncs(Random::new(self.seed), hpa).take_while(move |sync| is_tracked && *sync <= end)
    }

    /// `spec.replicas` of a target.
    fn replicas_of(&self, target: ScaleTarget, at: Time) -> u32 {
        let store = self.store;
        let replicas = match target {
            ScaleTarget::Deployment(id) => {
                store.deployments.stored_at_time(id.index(), at).and_then(|v| v.value.as_ref()).map(|d| d.replicas)
            }
            ScaleTarget::StatefulSet(id) => {
                store.stateful_sets.stored_at_time(id.index(), at).and_then(|v| v.value.as_ref()).map(|s| s.replicas)
            }
            ScaleTarget::ReplicaSet(id) => {
                store.replica_sets.stored_at_time(id.index(), at).and_then(|v| v.value.as_ref()).map(|rs| rs.replicas)
            }
        };
        replicas.unwrap_or(0)
    }
}

/// `spec.metrics`, as version 2 of the API has it: of what was written for version 1, and the default.
fn metrics(written: &Value) -> Value {
    if written["metrics"].as_array().is_some_and(|metrics| !metrics.is_empty()) {
        return written["metrics"].clone();
    }
    let percent = written["targetCPUUtilizationPercentage"].as_u64().unwrap_or(CPU_DEFAULT);
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
}
