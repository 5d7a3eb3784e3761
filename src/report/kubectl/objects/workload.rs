//! `apps/v1` Deployment and ReplicaSet.

use serde_json::{Value, json};

use crate::api::workload::Strategy;
use crate::api::{DeploymentId, IntOrPercent, ReplicaSet, ReplicaSetId};
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::Cluster;
use crate::report::kubectl::objects::{Identity, condition, controller, labels, metadata, object, spec};
use crate::report::kubectl::resource::Resource;

/// The label that tells the ReplicaSets of a Deployment apart.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// The annotation with the number of a Deployment's change of template.
const REVISION: &str = "deployment.kubernetes.io/revision";

impl Cluster<'_> {
    /// A Deployment at a time. Its status is the sum over its ReplicaSets at that time; the real one is written by the
    /// controller a moment later.
    ///
    /// Source: `pkg/controller/deployment/sync.go` calculateStatus (v1.36).
    pub(in crate::report::kubectl) fn deployment(&self, id: DeploymentId, at: Time) -> Option<Value> {
        let history = self.store.deployments.history(id.index());
        let stored = self.store.deployments.stored_at_time(id.index(), at)?;
        let d = stored.value.as_ref()?;
        let original = self.originals.object("Deployment", &d.namespace, &d.name);
        let created = Instant::since(Self::first_written(history));
        let identity = Identity {
            resource: Resource::Deployments,
            namespace: Some(&d.namespace),
            name: &d.name,
            number: id.index(),
            created,
            revision: stored.revision,
        };
        let mut metadata = metadata(&identity, original);
        metadata["annotations"][REVISION] = json!(d.revision.to_string());
        let generation = history.iter().filter(|v| v.time <= at).count();
        metadata["generation"] = json!(generation);
        let mut spec = spec(original);
        spec.insert("replicas".to_string(), json!(d.replicas));
        spec.insert("template".to_string(), self.bare_template(d.template));
        spec.insert("strategy".to_string(), strategy(d.strategy));
        spec.entry("selector")
            .or_insert_with(|| json!({"matchLabels": labels(&self.store.templates[d.template.index()].labels)}));
        let sets: Vec<&ReplicaSet> = self
            .replica_sets_of(id)
            .into_iter()
            .filter_map(|rs| self.store.replica_sets.stored_at_time(rs.index(), at)?.value.as_ref())
            .collect();
        let sum = |count: fn(&ReplicaSet) -> u32| sets.iter().map(|rs| count(rs)).sum::<u32>();
        let updated = sets.iter().filter(|rs| rs.revision == d.revision).map(|rs| rs.status_replicas).sum::<u32>();
        let available = sum(|rs| rs.available_replicas);
        let may_lack = match d.strategy {
            Strategy::RollingUpdate { max_surge, max_unavailable } => {
                max_unavailable_of(max_surge, max_unavailable, d.replicas)
            }
            Strategy::Recreate => d.replicas,
        };
        let enough = available + may_lack >= d.replicas;
        let (reason, message) = if enough {
            ("MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        let mut status = json!({
            "observedGeneration": generation,
            "replicas": sum(|rs| rs.status_replicas),
            "updatedReplicas": updated,
            "readyReplicas": sum(|rs| rs.ready_replicas),
            "availableReplicas": available,
            "conditions": [condition("Available", enough, created, reason, message)],
        });
        let missing = d.replicas.saturating_sub(available);
        if missing > 0 {
            status["unavailableReplicas"] = json!(missing);
        }
        drop_zeros(&mut status);
        Some(object(Resource::Deployments, metadata, Value::Object(spec), status))
    }

    /// A ReplicaSet at a time.
    pub(in crate::report::kubectl) fn replica_set(&self, id: ReplicaSetId, at: Time) -> Option<Value> {
        let history = self.store.replica_sets.history(id.index());
        let stored = self.store.replica_sets.stored_at_time(id.index(), at)?;
        let rs = stored.value.as_ref()?;
        let identity = Identity {
            resource: Resource::ReplicaSets,
            namespace: Some(&rs.namespace),
            name: &rs.name,
            number: id.index(),
            created: Instant::since(Self::first_written(history)),
            revision: stored.revision,
        };
        let original = self.originals.object("ReplicaSet", &rs.namespace, &rs.name);
        let mut metadata = metadata(&identity, original);
        let mut template = self.bare_template(rs.template);
        let mut selected = self.store.templates[rs.template.index()].labels.clone();
        if let Some(owner) = rs.deployment {
            let hash = rs.name.rsplit('-').next().unwrap_or_default();
            selected.insert(TEMPLATE_HASH.to_string(), hash.to_string());
            metadata["annotations"][REVISION] = json!(rs.revision.to_string());
            metadata["labels"] = labels(&selected);
            let owner_name = self.deployment_name(owner);
            metadata["ownerReferences"] =
                controller("apps/v1", "Deployment", &rs.namespace, &owner_name, owner.index());
        }
        template["metadata"]["labels"] = labels(&selected);
        let mut spec = spec(original);
        spec.insert("replicas".to_string(), json!(rs.replicas));
        spec.insert("template".to_string(), template);
        if rs.deployment.is_some() {
            spec.insert("selector".to_string(), json!({"matchLabels": labels(&selected)}));
        } else {
            spec.entry("selector").or_insert_with(|| json!({"matchLabels": labels(&selected)}));
        }
        if rs.min_ready_seconds > 0 {
            spec.insert("minReadySeconds".to_string(), json!(rs.min_ready_seconds));
        }
        let mut status = json!({
            "replicas": rs.status_replicas,
            "fullyLabeledReplicas": rs.status_replicas,
            "readyReplicas": rs.ready_replicas,
            "availableReplicas": rs.available_replicas,
        });
        drop_zeros(&mut status);
        status["replicas"] = json!(rs.status_replicas);
        Some(object(Resource::ReplicaSets, metadata, Value::Object(spec), status))
    }

    pub(super) fn bare_template(&self, id: crate::api::TemplateId) -> Value {
        let mut template = self.template(id);
        template["metadata"]["labels"] = labels(&self.store.templates[id.index()].labels);
        template
    }
}

/// Counts of nothing are left out, as `omitempty` does.
pub(super) fn drop_zeros(status: &mut Value) {
    if let Some(map) = status.as_object_mut() {
        map.retain(|_, value| *value != json!(0));
    }
}

fn strategy(strategy: Strategy) -> Value {
    let number = |value: IntOrPercent| match value {
        IntOrPercent::Int(n) => json!(n),
        IntOrPercent::Percent(_) => json!(value.to_string()),
    };
    match strategy {
        Strategy::Recreate => json!({"type": "Recreate"}),
        Strategy::RollingUpdate { max_surge, max_unavailable } => json!({
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": number(max_surge), "maxUnavailable": number(max_unavailable)},
        }),
    }
}

/// Source: `pkg/controller/deployment/util/deployment_util.go` MaxUnavailable and ResolveFenceposts (v1.36).
fn max_unavailable_of(max_surge: IntOrPercent, max_unavailable: IntOrPercent, replicas: u32) -> u32 {
    let (surge, unavailable) = (max_surge.scaled_up(replicas), max_unavailable.scaled_down(replicas));
    if surge == 0 && unavailable == 0 { 1.min(replicas) } else { unavailable.min(replicas) }
}
