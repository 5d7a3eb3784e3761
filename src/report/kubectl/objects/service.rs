//! `v1` Service.

use serde_json::{Value, json};

use crate::api::labels::Requirement;
use crate::api::{Revision, ServiceId};
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::Cluster;
use crate::report::kubectl::objects::{Identity, metadata, object, spec};
use crate::report::kubectl::resource::Resource;

impl Cluster<'_> {
    /// A Service: it does not change.
    pub(in crate::report::kubectl) fn service(&self, id: ServiceId) -> Option<Value> {
        let service = self.store.services.get(id.index())?;
        let original = self.originals.object("Service", &service.namespace, &service.name);
        let identity = Identity {
            resource: Resource::Services,
            namespace: Some(&service.namespace),
            name: &service.name,
            number: id.index(),
            created: Instant::of_steady_state(),
            revision: Revision(1),
        };
        let mut spec = spec(original);
        for (key, value) in
            [("type", json!("ClusterIP")), ("clusterIP", json!(format!("10.96.{}.{}", id.0 / 240, 10 + id.0 % 240)))]
        {
            spec.entry(key).or_insert(value);
        }
        let address = spec["clusterIP"].clone();
        spec.entry("clusterIPs").or_insert_with(|| json!([address]));
        if let Some(ports) = spec.get_mut("ports").and_then(Value::as_array_mut) {
            for port in ports.iter_mut().filter(|p| p["protocol"].is_null()) {
                port["protocol"] = json!("TCP");
            }
        }
        spec.entry("selector").or_insert_with(|| {
            let requirements = service.selector.iter().flat_map(|s| &s.requirements);
            requirements
                .filter_map(|r| match r {
                    Requirement::In(key, values) => Some((key.clone(), json!(values.first()?))),
                    _ => None,
                })
                .collect::<serde_json::Map<_, _>>()
                .into()
        });
        let status = json!({"loadBalancer": {}});
        Some(object(Resource::Services, metadata(&identity, original), Value::Object(spec), status))
    }
}
