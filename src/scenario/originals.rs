//! The objects of the input as they were written, for whoever prints them again: the model keeps only what it needs.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::api::TemplateId;
use crate::scenario::document::Document;
use crate::scenario::tree;

/// The Kubernetes objects of the input.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Originals {
    objects: BTreeMap<(String, String, String), Value>,
    templates: Vec<Value>,
}

impl Originals {
    /// Takes every document that is not the scenario.
    pub(super) fn new(documents: &[Document]) -> Self {
        let mut objects = BTreeMap::new();
        for document in documents.iter().filter(|d| !d.is_scenario()) {
            let key = (document.kind.clone(), document.namespace().to_string(), document.name().to_string());
            objects.entry(key).or_insert_with(|| json(&document.node));
        }
        Self { objects, templates: Vec::new() }
    }

    /// Adds the next template: that of the workload of this kind and name, or the pod itself.
    pub(super) fn add_template(&mut self, kind: &str, namespace: &str, name: &str) {
        let object = self.object(kind, namespace, name).unwrap_or(&Value::Null);
        let template = if kind == "Pod" { object } else { &object["spec"]["template"] };
        let mut fresh = Map::new();
        for key in ["labels", "annotations"] {
            let of = &template["metadata"][key];
            if of.is_object() {
                fresh.entry("metadata").or_insert_with(|| Value::Object(Map::new()))[key] = of.clone();
            }
        }
        fresh.insert("spec".to_string(), template["spec"].clone());
        self.templates.push(Value::Object(fresh));
    }

    /// The object of this kind and name. Nodes are in the namespace `default` here.
    #[must_use]
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind.to_string(), namespace.to_string(), name.to_string()))
    }

    /// `metadata` (labels and annotations) and `spec` of a pod template; `None` for one that came up during a run.
    #[must_use]
    pub fn template(&self, id: TemplateId) -> Option<&Value> {
        self.templates.get(id.index())
    }
}

/// The same value without its places.
fn json(node: &tree::Node) -> Value {
    match &node.value {
        tree::Value::Null => Value::Null,
        tree::Value::Bool(value) => Value::Bool(*value),
        tree::Value::String(text) => Value::String(text.clone()),
        tree::Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
        tree::Value::List(items) => Value::Array(items.iter().map(json).collect()),
        tree::Value::Map(entries) => Value::Object(entries.iter().map(|e| (e.key.clone(), json(&e.node))).collect()),
    }
}
