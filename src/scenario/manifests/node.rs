//! `v1` Node.

use crate::api::Node as ApiNode;
use crate::scenario::document::Document;
use crate::scenario::manifests::{Cx, Meta};
use crate::scenario::source::Span;
use crate::scenario::tree::Node;
use crate::scenario::values::{Quantity, TaintEntry};
use crate::simulation::setup::plain_node;

/// A Node of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeManifest {
    /// The node.
    pub node: ApiNode,
    /// Where its name stands.
    pub span: Span,
}

/// Reads one. What a manifest does not say (a node in a file rarely has a status) is as in a plain node.
pub(super) fn read(document: &Document, cx: &mut Cx<'_>) -> Option<NodeManifest> {
    let meta = Meta::read(document, cx)?;
    let mut node = plain_node(&meta.name.value);
    node.labels.extend(meta.labels);
    if let Some(spec) = document.node.get("spec") {
        node.unschedulable = cx.field(spec, "unschedulable").unwrap_or(false);
        for taint in spec.get("taints").map(Node::items).unwrap_or_default() {
            node.taints.extend(read_taint(taint, cx));
        }
    }
    let status = document.node.get("status");
    let resources = status.and_then(|s| s.get("allocatable").or_else(|| s.get("capacity")));
    if let Some(resources) = resources {
        if let Some(Quantity(millis)) = cx.field(resources, "cpu") {
            node.allocatable.cpu_millis = millis;
        }
        if let Some(Quantity(millis)) = cx.field(resources, "memory") {
            node.allocatable.memory_bytes = millis / 1000;
        }
        if let Some(Quantity(millis)) = cx.field(resources, "pods") {
            node.pods_max = u32::try_from(millis / 1000).unwrap_or(u32::MAX);
        }
    }
    let conditions = status.and_then(|s| s.get("conditions")).map(Node::items).unwrap_or_default();
    let ready = conditions.iter().find(|c| c.get("type").and_then(Node::as_str) == Some("Ready"));
    if let Some(ready) = ready {
        let status = ready.get("status").and_then(Node::as_str).unwrap_or_default();
        (node.ready, node.unreachable) = (status == "True", status == "Unknown");
    }
    Some(NodeManifest { node, span: meta.name.span })
}

/// A taint of a Node object; it may have a `timeAdded`.
fn read_taint(node: &Node, cx: &mut Cx<'_>) -> Option<crate::api::Taint> {
    let mut plain = node.clone();
    if let crate::scenario::tree::Value::Map(entries) = &mut plain.value {
        entries.retain(|e| e.key != "timeAdded");
    }
    <TaintEntry as crate::scenario::read::Read>::read(&plain, cx.problems).map(|taint| taint.0)
}
