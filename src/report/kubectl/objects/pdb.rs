//! `policy/v1` PodDisruptionBudget.

use serde_json::{Map, Value, json};

use crate::api::pdb::{Budget, DisruptionReason, UnhealthyPodEvictionPolicy};
use crate::api::{IntOrPercent, PdbId};
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::Cluster;
use crate::report::kubectl::objects::{Identity, condition, metadata, object, spec};
use crate::report::kubectl::resource::Resource;

impl Cluster<'_> {
    /// A budget at a time.
    pub(in crate::report::kubectl) fn pdb(&self, id: PdbId, at: Time) -> Option<Value> {
        let history = self.store.pdbs.history(id.index());
        let stored = self.store.pdbs.stored_at_time(id.index(), at)?;
        let pdb = stored.value.as_ref()?;
        let written = self.store.pdb_specs.get(id.index())?;
        let original = self.originals.object("PodDisruptionBudget", &written.namespace, &written.name);
        let identity = Identity {
            resource: Resource::PodDisruptionBudgets,
            namespace: Some(&written.namespace),
            name: &written.name,
            number: id.index(),
            created: Instant::since(Self::first_written(history)),
            revision: stored.revision,
        };
        let mut metadata = metadata(&identity, original);
        metadata["generation"] = json!(pdb.generation);
        let number = |value: IntOrPercent| match value {
            IntOrPercent::Int(n) => json!(n),
            IntOrPercent::Percent(_) => json!(value.to_string()),
        };
        let mut spec = spec(original);
        match written.budget {
            Budget::MinAvailable(value) => spec.insert("minAvailable".to_string(), number(value)),
            Budget::MaxUnavailable(value) => spec.insert("maxUnavailable".to_string(), number(value)),
            Budget::Nothing => None,
        };
        if written.unhealthy == UnhealthyPodEvictionPolicy::AlwaysAllow {
            spec.insert("unhealthyPodEvictionPolicy".to_string(), json!("AlwaysAllow"));
        }
        let s = &pdb.status;
        let (holds, reason) = match s.reason {
            DisruptionReason::SufficientPods => (true, "SufficientPods"),
            DisruptionReason::SyncFailed => (false, "SyncFailed"),
            DisruptionReason::InsufficientPods | DisruptionReason::None => (false, "InsufficientPods"),
        };
        // since when the condition has been what it is
        let same = history.iter().filter(|v| v.time <= at).rev();
        let same = same.take_while(|v| {
            v.value.as_ref().is_some_and(|p| (p.status.reason == DisruptionReason::SufficientPods) == holds)
        });
        let since = Instant::since(same.last().map_or(stored.time, |v| v.time));
        let disrupted: Map<String, Value> = s
            .disrupted_pods
            .iter()
            .map(|(pod, time)| (self.store.pod_meta[pod.index()].name.clone(), json!(Instant::at(*time).rfc3339())))
            .collect();
        let mut status = json!({
            "conditions": [condition("DisruptionAllowed", holds, since, reason, "")],
            "currentHealthy": s.current_healthy,
            "desiredHealthy": s.desired_healthy,
            "disruptionsAllowed": s.disruptions_allowed,
            "expectedPods": s.expected_pods,
            "observedGeneration": s.observed_generation,
        });
        if !disrupted.is_empty() {
            status["disruptedPods"] = Value::Object(disrupted);
        }
        Some(object(Resource::PodDisruptionBudgets, metadata, Value::Object(spec), status))
    }
}
