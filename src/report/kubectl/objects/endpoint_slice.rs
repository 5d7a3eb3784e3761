//! `discovery.k8s.io/v1` EndpointSlice.

use serde_json::{Value, json};

use crate::api::{PodId, ServiceId};
use crate::engine::{Key, Time};
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::{Cluster, ENDPOINTS_PER_SLICE, uid};
use crate::report::kubectl::objects::{Identity, controller, metadata};
use crate::report::kubectl::resource::Resource;

impl Cluster<'_> {
    /// One of the EndpointSlices of a Service at a time: the n-th hundred of its endpoints. The real controller fills
    /// slices in another order once there is more than one.
    ///
    /// Source: `k8s.io/endpointslice/utils.go` newEndpointSlice, podToEndpoint, getEndpointPorts (v1.36).
    pub(in crate::report::kubectl) fn endpoint_slice(&self, id: ServiceId, slice: usize, at: Time) -> Option<Value> {
        let stored = self.store.endpoints.stored_at_time(id.index(), at)?;
        let endpoints = &stored.value.as_ref()?.list;
        if slice > 0 && endpoints.len() <= slice * ENDPOINTS_PER_SLICE {
            return None;
        }
        let service = &self.store.services[id.index()];
        let name = format!("{}-{}", service.name, suffix(&service.full_name(), slice));
        let identity = Identity {
            resource: Resource::EndpointSlices,
            namespace: Some(&service.namespace),
            name: &name,
            number: slice,
            created: Instant::since(Self::first_written(self.store.endpoints.history(id.index()))),
            revision: stored.revision,
        };
        let mut metadata = metadata(&identity, None);
        metadata["generateName"] = json!(format!("{}-", service.name));
        metadata["labels"] = json!({
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": service.name,
        });
        metadata["ownerReferences"] = controller("v1", "Service", &service.namespace, &service.name, id.index());
        let here = endpoints.iter().skip(slice * ENDPOINTS_PER_SLICE).take(ENDPOINTS_PER_SLICE);
        let list: Vec<Value> = here
            .map(|endpoint| {
                let pod = endpoint.pod;
                let meta = &self.store.pod_meta[pod.index()];
                let node = self.store.pods.stored_at_time(pod.index(), at).and_then(|v| v.value?.node);
                let mut entry = json!({
                    "addresses": [self.address(pod).unwrap_or_default()],
                    "conditions": {
                        "ready": endpoint.ready,
                        "serving": endpoint.serving,
                        "terminating": endpoint.terminating,
                    },
                    "targetRef": {
                        "kind": "Pod",
                        "name": meta.name,
                        "namespace": meta.namespace,
                        "uid": uid("Pod", &meta.namespace, &meta.name, pod.index()),
                    },
                });
                if let Some(node) = node {
                    entry["nodeName"] = json!(self.store.node_name(node));
                }
                entry
            })
            .collect();
        // a slice without endpoints keeps a place and has no ports
        let ports = here_ports(self, id, endpoints.first().map(|e| e.pod));
        Some(json!({
            "apiVersion": Resource::EndpointSlices.api_version(),
            "kind": Resource::EndpointSlices.kind(),
            "metadata": metadata,
            "addressType": "IPv4",
            "endpoints": list,
            "ports": ports,
        }))
    }
}

/// The Service's ports with the numbers that they have in the pods.
fn here_ports(cluster: &Cluster<'_>, id: ServiceId, pod: Option<PodId>) -> Value {
    let service = cluster.service(id).unwrap_or_default();
    let Some(pod) = pod else { return json!([]) };
    let template = cluster.template(cluster.store.pod_meta[pod.index()].template);
    let number = |port: &Value| match &port["targetPort"] {
        Value::Null => port["port"].clone(),
        Value::String(name) => named_port(&template, name),
        number => number.clone(),
    };
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let ports = ports.iter().map(|port| {
        json!({"name": port["name"].as_str().unwrap_or_default(), "port": number(port), "protocol": port["protocol"]})
    });
    ports.collect()
}

/// The container port of this name; null if there is none.
fn named_port(template: &Value, name: &str) -> Value {
    let containers = template["spec"]["containers"].as_array().into_iter().flatten();
    let mut ports = containers.flat_map(|c| c["ports"].as_array().into_iter().flatten());
    ports.find(|port| port["name"] == json!(name)).map_or(Value::Null, |port| port["containerPort"].clone())
}

/// Five letters of the alphabet of generated names (`k8s.io/apimachinery/pkg/util/rand/rand.go`).
fn suffix(service: &str, slice: usize) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = Key::new("endpointslice").text(service).number(slice as u64).bits();
    let letters = (0..5).map(|_| {
        let letter = ALPHABET[(rest % 27) as usize];
        rest /= 27;
        char::from(letter)
    });
    letters.collect()
}
