//! `apps/v1` DaemonSet.

use serde_json::{Value, json};

use crate::api::DaemonSetId;
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::Cluster;
use crate::report::kubectl::objects::{Identity, labels, metadata, object, spec};
use crate::report::kubectl::resource::Resource;

impl Cluster<'_> {
    /// A DaemonSet at a time.
    pub(in crate::report::kubectl) fn daemon_set(&self, id: DaemonSetId, at: Time) -> Option<Value> {
        let history = self.store.daemon_sets.history(id.index());
        let stored = self.store.daemon_sets.stored_at_time(id.index(), at)?;
        let set = stored.value.as_ref()?;
        let original = self.originals.object("DaemonSet", &set.namespace, &set.name);
        let identity = Identity {
            resource: Resource::DaemonSets,
            namespace: Some(&set.namespace),
            name: &set.name,
            number: id.index(),
            created: Instant::since(Self::first_written(history)),
            revision: stored.revision,
        };
        let mut spec = spec(original);
        spec.insert("template".to_string(), self.bare_template(set.template));
        spec.entry("selector")
            .or_insert_with(|| json!({"matchLabels": labels(&self.store.templates[set.template.index()].labels)}));
        let counts = set.status;
        let mut status = json!({
            "desiredNumberScheduled": counts.desired,
            "currentNumberScheduled": counts.current,
            "numberMisscheduled": 0,
            "numberReady": counts.ready,
            "numberAvailable": counts.available,
            "updatedNumberScheduled": counts.updated,
        });
        let missing = counts.desired.saturating_sub(counts.available);
        if missing > 0 {
            status["numberUnavailable"] = json!(missing);
        }
        Some(object(Resource::DaemonSets, metadata(&identity, original), Value::Object(spec), status))
    }
}
