//! Objects as the apiserver shows them: what the input says of them, and what the run has made of that.

mod autoscaler;
mod containers;
mod daemon_set;
mod endpoint_slice;
mod job;
mod node;
mod pdb;
mod pod;
mod service;
mod stateful_set;
mod workload;

use serde_json::{Map, Value, json};

use crate::api::Revision;
use crate::api::labels::Labels;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::uid;
use crate::report::kubectl::resource::Resource;

/// What every object has.
struct Identity<'a> {
    resource: Resource,
    namespace: Option<&'a str>,
    name: &'a str,
    /// Tells objects of one name apart.
    number: usize,
    created: Instant,
    revision: Revision,
}

/// `metadata` of an object: that of the input, if it is in the input, without what belongs to another cluster.
fn metadata(identity: &Identity<'_>, original: Option<&Value>) -> Value {
    let Identity { resource, namespace, name, number, created, revision } = *identity;
    let mut metadata = Map::new();
    for key in ["labels", "annotations"] {
        let value = original.map_or(&Value::Null, |o| &o["metadata"][key]);
        if value.as_object().is_some_and(|map| !map.is_empty()) {
            metadata.insert(key.to_string(), value.clone());
        }
    }
    metadata.insert("name".to_string(), json!(name));
    if let Some(namespace) = namespace {
        metadata.insert("namespace".to_string(), json!(namespace));
    }
    metadata.insert("creationTimestamp".to_string(), json!(created.rfc3339()));
    metadata.insert("resourceVersion".to_string(), json!(revision.0.to_string()));
    metadata.insert("uid".to_string(), json!(uid(resource.kind(), namespace.unwrap_or_default(), name, number)));
    Value::Object(metadata)
}

/// An object with its metadata, spec and status.
fn object(resource: Resource, metadata: Value, spec: Value, status: Value) -> Value {
    let mut object = json!({
        "apiVersion": resource.api_version(),
        "kind": resource.kind(),
        "metadata": metadata,
        "spec": spec,
    });
    if !status.is_null() {
        object["status"] = status;
    }
    object
}

/// `spec` of the input, or an empty one.
fn spec(original: Option<&Value>) -> Map<String, Value> {
    original.and_then(|o| o["spec"].as_object()).cloned().unwrap_or_default()
}

fn labels(labels: &Labels) -> Value {
    labels.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect::<Map<_, _>>().into()
}

/// One entry of `status.conditions`.
fn condition(kind: &str, holds: bool, since: Instant, reason: &str, message: &str) -> Value {
    let status = if holds { "True" } else { "False" };
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": since.rfc3339()});
    for (key, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition[key] = json!(text);
        }
    }
    condition
}

/// An owner reference that names the controller.
fn controller(api_version: &str, kind: &str, namespace: &str, name: &str, number: usize) -> Value {
    json!([{
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid(kind, namespace, name, number),
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}
