//! `v1` Node.

use serde_json::{Value, json};

use crate::api::{Node, NodeId, TaintEffect};
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::{Cluster, node_address, pod_network};
use crate::report::kubectl::objects::{Identity, condition, labels, metadata, object, spec};
use crate::report::kubectl::resource::Resource;

impl Cluster<'_> {
    /// A node at a time.
    pub(in crate::report::kubectl) fn node(&self, id: NodeId, at: Time) -> Option<Value> {
        let history = self.store.nodes.history(id.index());
        let stored = self.store.nodes.stored_at_time(id.index(), at)?;
        let node = stored.value.as_ref()?;
        let original = self.originals.object("Node", "default", &node.name);
        let created = Instant::since(Self::first_written(history));
        let identity = Identity {
            resource: Resource::Nodes,
            namespace: None,
            name: &node.name,
            number: id.index(),
            created,
            revision: stored.revision,
        };
        let mut metadata = metadata(&identity, original);
        metadata["labels"] = labels(&node.labels);
        let mut spec = spec(original);
        spec.entry("podCIDR").or_insert_with(|| json!(format!("{}.0/24", pod_network(id))));
        spec.remove("unschedulable");
        spec.remove("taints");
        if node.unschedulable {
            spec.insert("unschedulable".to_string(), json!(true));
        }
        if !node.taints.is_empty() {
            spec.insert("taints".to_string(), taints(node));
        }
        // since when Ready has been what it is
        let state = |n: &Node| (n.ready, n.unreachable);
        let same = history.iter().filter(|v| v.time <= at).rev();
        let same = same.take_while(|v| v.value.as_ref().is_some_and(|n| state(n) == state(node)));
        let since = Instant::since(same.last().map_or(stored.time, |v| v.time));
        let resources = json!({
            "cpu": quantity(node.allocatable.cpu_millis),
            "memory": format!("{}Ki", node.allocatable.memory_bytes >> 10),
            "pods": node.pods_max.to_string(),
        });
        let mut info = original.map_or_else(|| json!({}), |o| o["status"]["nodeInfo"].clone());
        if !info.is_object() {
            info = json!({});
        }
        info["kubeletVersion"] = json!(format!("v{}.0", self.setup.version));
        let status = json!({
            "addresses": [
                {"type": "InternalIP", "address": node_address(id)},
                {"type": "Hostname", "address": node.name},
            ],
            "allocatable": resources,
            "capacity": resources,
            "conditions": [ready(node, since)],
            "nodeInfo": info,
        });
        Some(object(Resource::Nodes, metadata, Value::Object(spec), status))
    }
}

/// Source: `pkg/kubelet/nodestatus/setters.go` ReadyCondition; `pkg/controller/nodelifecycle/node_lifecycle_controller.go`
/// for Unknown (v1.36).
fn ready(node: &Node, since: Instant) -> Value {
    if node.unreachable {
        let mut unknown = condition("Ready", false, since, "NodeStatusUnknown", "Kubelet stopped posting node status.");
        unknown["status"] = json!("Unknown");
        unknown
    } else if node.ready {
        condition("Ready", true, since, "KubeletReady", "kubelet is posting ready status")
    } else {
        condition("Ready", false, since, "KubeletNotReady", "")
    }
}

fn taints(node: &Node) -> Value {
    let entries = node.taints.iter().map(|taint| {
        let effect = match taint.effect {
            TaintEffect::NoSchedule => "NoSchedule",
            TaintEffect::PreferNoSchedule => "PreferNoSchedule",
            TaintEffect::NoExecute => "NoExecute",
        };
        let mut entry = json!({"key": taint.key, "effect": effect});
        if !taint.value.is_empty() {
            entry["value"] = json!(taint.value);
        }
        entry
    });
    entries.collect()
}

/// Thousandths of a core as Kubernetes writes them.
fn quantity(millis: u64) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}
