//! The nodes: of the scenario, of the manifests, and those that pods name.

use std::collections::BTreeMap;

use crate::api::Node;
use crate::scenario::compile::{Compiler, instant, some_of};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::NodeEntry;
use crate::scenario::source::{Span, Spanned};
use crate::simulation::setup::{NodeSetup, plain_node};

/// More nodes than any supported cluster has (5,000: kubernetes.io/docs/setup/best-practices/cluster-large).
const NODES_MAX: usize = 20_000;

impl Compiler<'_> {
    pub(super) fn nodes(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for entry in &self.spec.nodes {
            let ready_at = entry.ready.map(instant);
            for name in self.names_of(entry) {
                self.add_node(NodeSetup { node: node_of(entry, &name), ready_at }, &entry.name.span, &mut seen);
            }
        }
        let (mut silent, mut not_ready) = (Vec::new(), Vec::new());
        for manifest in std::mem::take(&mut self.manifests.nodes) {
            let mut node = manifest.node;
            if node.unreachable {
                silent.push(node.name.clone());
            } else if !node.ready {
                not_ready.push(node.name.clone());
                (node.ready, node.unschedulable) = (true, true);
            }
            self.add_node(NodeSetup { node, ready_at: None }, &manifest.span, &mut seen);
        }
        self.tell_not_ready(&silent, &not_ready);
        if self.setup.nodes.is_empty() {
            self.nodes_that_pods_name();
        }
        // An entry that gave none has been told of.
        if self.setup.nodes.is_empty() && self.spec.nodes.is_empty() {
            self.push(
                Diagnostic::error("the scenario has no nodes")
                    .at(self.spec_span, "in this `spec`")
                    .help("add `nodes: [{name: node-1}, {name: node-2}]` to spec, or manifests of `kind: Node`"),
            );
        }
    }

    /// What is taken for granted of nodes that were not Ready.
    fn tell_not_ready(&mut self, silent: &[String], not_ready: &[String]) {
        let are = |names: &[String], one: &str, many: &str| match names {
            [_] => format!("1 node {one}"),
            names => format!("{} nodes {many}", names.len()),
        };
        if !silent.is_empty() {
            let what = are(silent, "does not answer (Ready is Unknown)", "do not answer (Ready is Unknown)");
            self.assume(format!(
                "{what}, and taken to be without power for good: nobody there ends a pod: {}",
                some_of(silent)
            ));
        }
        if !not_ready.is_empty() {
            let what = are(not_ready, "says that it is not Ready", "say that they are not Ready");
            self.assume(format!(
                "{what}: taken to take no new pods, as if cordoned, and to end pods as others do: {}",
                some_of(not_ready)
            ));
        }
    }

    fn add_node(&mut self, node: NodeSetup, span: &Span, seen: &mut BTreeMap<String, Span>) {
        let name = node.node.name.clone();
        if let Some(first) = seen.get(&name) {
            let problem = Diagnostic::error(format!("the node `{name}` is given twice")).at(span, "the second time");
            return self.push(problem.and_at(first, "the first time"));
        }
        seen.insert(name, span.clone());
        self.setup.nodes.push(node);
    }

    /// One name, or as many as `count` says.
    fn names_of(&mut self, entry: &NodeEntry) -> Vec<String> {
        let name = &entry.name.value;
        if name.is_empty() {
            self.push(Diagnostic::error("a node needs a name").at(&entry.name.span, "this is empty"));
            return Vec::new();
        }
        match &entry.count {
            None => vec![name.clone()],
            Some(Spanned { value, span }) => match usize::try_from(*value) {
                Ok(count @ 1..=NODES_MAX) => (1..=count).map(|n| format!("{name}-{n}")).collect(),
                _ => {
                    let problem = Diagnostic::error(format!("`count` is {value}"));
                    self.push(problem.at(span, format!("expected 1 to {NODES_MAX}")));
                    Vec::new()
                }
            },
        }
    }

    /// A dump of pods without nodes: the nodes that they name are taken as plain ones.
    fn nodes_that_pods_name(&mut self) {
        let pods = &self.manifests.pods;
        let mut names: Vec<String> =
            pods.iter().filter_map(|p| p.template.template.placement.node_name.clone()).collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            return;
        }
        self.assumptions.push(format!(
            "the input has no nodes: those that pods name ({}) are taken as plain ones of 4 CPUs, 16Gi and 110 pods \
             (`spec.nodes`, or manifests of kind Node)",
            names.join(", ")
        ));
        let node = |name: &String| NodeSetup { node: plain_node(name), ready_at: None };
        self.setup.nodes.extend(names.iter().map(node));
    }
}

/// A node as it is written in a scenario.
pub(super) fn node_of(entry: &NodeEntry, name: &str) -> Node {
    let mut node = plain_node(name);
    node.labels.extend(entry.labels.0.iter().map(|(key, value)| (key.value.clone(), value.clone())));
    node.taints.extend(entry.taints.iter().map(|taint| taint.0.clone()));
    node.unschedulable = entry.unschedulable.unwrap_or(false);
    if let Some(capacity) = &entry.capacity {
        if let Some(cpu) = capacity.cpu {
            node.allocatable.cpu_millis = cpu.0;
        }
        if let Some(memory) = capacity.memory {
            node.allocatable.memory_bytes = memory.0 / 1000;
        }
        if let Some(pods) = capacity.pods {
            node.pods_max = pods;
        }
    }
    node
}
