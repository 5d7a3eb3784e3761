//! What `priorityClassName` stands for.

use std::collections::BTreeMap;

use crate::scenario::document::Document;
use crate::scenario::tree::{Node, Value};

/// The priority classes of the input, and those that every cluster has.
#[derive(Clone, Debug, Default)]
pub(super) struct Priorities {
    classes: BTreeMap<String, i32>,
    default: i32,
}

impl Priorities {
    /// Reads the documents of kind PriorityClass; what cannot be read counts as 0.
    ///
    /// The two classes of the system: `pkg/apis/scheduling/types.go` SystemCriticalPriority and
    /// `pkg/apis/scheduling/v1/helpers.go` (v1.36).
    pub fn read(documents: &[Document]) -> Self {
        let system = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
        let mut priorities =
            Self { classes: system.map(|(name, value)| (name.to_string(), value)).into(), ..Self::default() };
        for document in documents.iter().filter(|d| d.group == "scheduling.k8s.io" && d.kind == "PriorityClass") {
            let Some(name) = document.node.at(&["metadata", "name"]).and_then(Node::as_str) else { continue };
            let value = document.node.get("value").and_then(number).unwrap_or_default();
            if document.node.get("globalDefault").is_some_and(|n| n.value == Value::Bool(true)) {
                priorities.default = value;
            }
            priorities.classes.insert(name.to_string(), value);
        }
        priorities
    }

    /// The priority of a pod: admission writes it into `spec.priority`, and so it is there in what a cluster hands out.
    ///
    /// Source: `plugin/pkg/admission/priority/admission.go` admitPod (v1.36).
    pub fn of(&self, spec: &Node) -> i32 {
        let class = || spec.get("priorityClassName").and_then(Node::as_str).and_then(|name| self.classes.get(name));
        spec.get("priority").and_then(number).or_else(|| class().copied()).unwrap_or(self.default)
    }
}

fn number(node: &Node) -> Option<i32> {
    match &node.value {
        Value::Number(text) => text.parse().ok(),
        _ => None,
    }
}
