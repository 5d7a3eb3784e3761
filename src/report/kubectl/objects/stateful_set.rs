//! `apps/v1` StatefulSet.

use serde_json::{Value, json};

use crate::api::StatefulSetId;
use crate::api::stateful_set::PodManagement;
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::Cluster;
use crate::report::kubectl::objects::workload::drop_zeros;
use crate::report::kubectl::objects::{Identity, labels, metadata, object, spec};
use crate::report::kubectl::resource::Resource;

impl Cluster<'_> {
    /// A StatefulSet at a time.
    pub(in crate::report::kubectl) fn stateful_set(&self, id: StatefulSetId, at: Time) -> Option<Value> {
        let history = self.store.stateful_sets.history(id.index());
        let stored = self.store.stateful_sets.stored_at_time(id.index(), at)?;
        let set = stored.value.as_ref()?;
        let original = self.originals.object("StatefulSet", &set.namespace, &set.name);
        let identity = Identity {
            resource: Resource::StatefulSets,
            namespace: Some(&set.namespace),
            name: &set.name,
            number: id.index(),
            created: Instant::since(Self::first_written(history)),
            revision: stored.revision,
        };
        let mut spec = spec(original);
        spec.insert("replicas".to_string(), json!(set.replicas));
        spec.insert("template".to_string(), self.bare_template(set.template));
        spec.entry("selector")
            .or_insert_with(|| json!({"matchLabels": labels(&self.store.templates[set.template.index()].labels)}));
        if set.management == PodManagement::Parallel {
            spec.insert("podManagementPolicy".to_string(), json!("Parallel"));
        }
        let mut status = json!({
            "readyReplicas": set.status.ready,
            "availableReplicas": set.status.available,
            "updatedReplicas": set.status.updated,
        });
        drop_zeros(&mut status);
        status["replicas"] = json!(set.status.replicas);
        status["currentRevision"] = json!(format!("{}-{}", set.name, set.current_revision));
        status["updateRevision"] = json!(format!("{}-{}", set.name, set.revision));
        Some(object(Resource::StatefulSets, metadata(&identity, original), Value::Object(spec), status))
    }
}
