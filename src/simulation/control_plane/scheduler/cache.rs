//! What the scheduler knows of nodes and of the pods on them, kept up to date pod by pod, so that a cycle need not look at
//! every pod.
//!
//! Pods that are alike for the scheduler (same labels, template and controller) form a [`Group`]; counts per node are
//! kept by group, and a selector is matched against groups instead of pods.
//!
//! Source: `pkg/scheduler/backend/cache/{cache,node_tree,snapshot}.go` and `pkg/scheduler/framework/types.go` NodeInfo
//! (v1.36).

use std::collections::BTreeMap;

use crate::api::quantity::Resources;
use crate::api::{
    LabelSetId, Labels, Node, NodeId, Owner, PodId, PodTemplate, ReplicaSetId, StatefulSetId, Store, TemplateId,
};

use super::filters::Verdict;

/// What a container without a request counts as when nodes are *scored*: 100 m of CPU and 200 MiB
/// (`pkg/scheduler/util/pod_resources.go`, v1.36).
const DEFAULT_REQUEST: Resources = Resources { cpu_millis: 100, memory_bytes: 200 << 20 };

/// Nodes, and the pods that run on them or have been assumed to.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    nodes: Vec<Option<Node>>,
    usage: Vec<Usage>,
    /// NodeTree: zone after zone in turn, so that neighbours in the list are in different zones.
    order: Vec<NodeId>,
    groups: Vec<Group>,
    group_ids: BTreeMap<GroupKey, u32>,
    pods: Vec<Option<Placed>>,
    topologies: Vec<Topology>,
    topology_ids: BTreeMap<String, usize>,
    /// What depends on nodes and a template only, by [`TemplateId`]; empty: not worked out since a node changed.
    verdicts: Vec<Vec<Verdict>>,
}

/// What the pods of a node ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Usage {
    pub requested: Resources,
    /// As `requested`, with defaults in place of zeroes.
    pub non_zero: Resources,
    pub pods: u32,
}

/// Pods that the scheduler need not tell apart.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub key: GroupKey,
    pub counts: BTreeMap<NodeId, Count>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct GroupKey {
    pub labels: LabelSetId,
    pub template: TemplateId,
    pub owner: OwnerKey,
}

/// A controller whose selector is used for default spreading (`plugins/helper/spread.go` DefaultSelector).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum OwnerKey {
    None,
    ReplicaSet(ReplicaSetId),
    StatefulSet(StatefulSetId),
}

impl From<&Owner> for OwnerKey {
    fn from(owner: &Owner) -> Self {
        match owner {
            Owner::ReplicaSet(id) => Self::ReplicaSet(*id),
            Owner::StatefulSet(id) => Self::StatefulSet(*id),
            _ => Self::None,
        }
    }
}

/// Pods of a group on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Count {
    pub all: u32,
    /// Without those that are being deleted.
    pub live: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    pub node: NodeId,
    group: u32,
    live: bool,
    /// Not yet confirmed by the watch.
    pub assumed: bool,
}

/// The domains of one topology key: which nodes share a value of that label.
#[derive(Clone, Debug, Default)]
pub(super) struct Topology {
    key: String,
    /// By [`NodeId`]; `None`: the node is gone or has no such label.
    of_node: Vec<Option<u32>>,
    pub domains: usize,
}

impl Topology {
    pub fn domain(&self, node: NodeId) -> Option<usize> {
        self.of_node.get(node.index()).copied().flatten().map(|d| d as usize)
    }
}

impl Cache {
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())?.as_ref()
    }

    /// How many nodes have ever been heard of.
    pub fn known_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes that exist, in the order in which they are tried.
    pub fn order(&self) -> &[NodeId] {
        &self.order
    }

    pub fn usage(&self, id: NodeId) -> Usage {
        self.usage.get(id.index()).copied().unwrap_or_default()
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub fn placed(&self, pod: PodId) -> Option<&Placed> {
        self.pods.get(pod.index())?.as_ref()
    }

    /// Takes in nodes, changed or new; `None`: it is gone. Its pods stay until they are taken out themselves.
    pub fn set_nodes(&mut self, nodes: impl IntoIterator<Item = (NodeId, Option<Node>)>) {
        for (id, node) in nodes {
            if self.nodes.len() <= id.index() {
                self.nodes.resize(id.index() + 1, None);
            }
            self.nodes[id.index()] = node;
        }
        self.order = self.list_nodes();
        self.verdicts.iter_mut().for_each(Vec::clear);
        for topology in &mut self.topologies {
            *topology = topology_of(&self.nodes, std::mem::take(&mut topology.key));
        }
    }

    /// A pod is on a node, or is assumed to be.
    pub fn put(&mut self, store: &Store, pod: PodId, key: GroupKey, node: NodeId, live: bool, assumed: bool) {
        self.remove(store, pod);
        let group = self.group_id(key);
        if self.pods.len() <= pod.index() {
            self.pods.resize(pod.index() + 1, None);
        }
        if self.usage.len() <= node.index() {
            self.usage.resize(node.index() + 1, Usage::default());
        }
        self.pods[pod.index()] = Some(Placed { node, group, live, assumed });
        let template = &store.templates[self.groups[group as usize].key.template.index()];
        let usage = &mut self.usage[node.index()];
        usage.requested += template.requests;
        usage.non_zero += non_zero_requests(template);
        usage.pods += 1;
        let count = self.groups[group as usize].counts.entry(node).or_default();
        count.all += 1;
        count.live += u32::from(live);
    }

    /// A pod is gone, has ended, or could not be bound; returns where it was.
    pub fn remove(&mut self, store: &Store, pod: PodId) -> Option<Placed> {
        let placed = self.pods.get_mut(pod.index())?.take()?;
        let group = &mut self.groups[placed.group as usize];
        let template = &store.templates[group.key.template.index()];
        let usage = &mut self.usage[placed.node.index()];
        let subtract = |from: &mut Resources, what: Resources| {
            from.cpu_millis -= what.cpu_millis;
            from.memory_bytes -= what.memory_bytes;
        };
        subtract(&mut usage.requested, template.requests);
        subtract(&mut usage.non_zero, non_zero_requests(template));
        usage.pods -= 1;
        if let Some(count) = group.counts.get_mut(&placed.node) {
            count.all -= 1;
            count.live -= u32::from(placed.live);
            if count.all == 0 {
                group.counts.remove(&placed.node);
            }
        }
        Some(placed)
    }

    /// The number of the topology of this key, for [`topology`](Self::topology).
    pub fn topology_id(&mut self, key: &str) -> usize {
        if let Some(id) = self.topology_ids.get(key) {
            return *id;
        }
        let id = self.topologies.len();
        self.topologies.push(topology_of(&self.nodes, key.to_string()));
        self.topology_ids.insert(key.to_string(), id);
        id
    }

    pub fn topology(&self, id: usize) -> &Topology {
        &self.topologies[id]
    }

    /// Works out what a template and the nodes alone decide; kept until a node changes.
    pub fn prepare_verdicts(&mut self, store: &Store, id: TemplateId) {
        if self.verdicts.len() <= id.index() {
            self.verdicts.resize(id.index() + 1, Vec::new());
        }
        if self.verdicts[id.index()].is_empty() {
            let placement = &store.templates[id.index()].placement;
            self.verdicts[id.index()] = self.nodes.iter().map(|n| Verdict::of(n.as_ref(), placement)).collect();
        }
    }

    /// By [`NodeId`]; see [`prepare_verdicts`](Self::prepare_verdicts).
    pub fn verdicts(&self, id: TemplateId) -> &[Verdict] {
        &self.verdicts[id.index()]
    }

    fn group_id(&mut self, key: GroupKey) -> u32 {
        if let Some(id) = self.group_ids.get(&key) {
            return *id;
        }
        let id = u32::try_from(self.groups.len()).expect("fewer than 2^32 groups");
        self.groups.push(Group { key: key.clone(), counts: BTreeMap::new() });
        self.group_ids.insert(key, id);
        id
    }

    fn list_nodes(&self) -> Vec<NodeId> {
        let mut zones: Vec<(String, Vec<NodeId>)> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            let zone = zone_key(&node.labels);
            match zones.iter_mut().find(|(z, _)| *z == zone) {
                Some((_, nodes)) => nodes.push(NodeId::from(index)),
                None => zones.push((zone, vec![NodeId::from(index)])),
            }
        }
        let longest = zones.iter().map(|(_, nodes)| nodes.len()).max().unwrap_or(0);
        let rounds = (0..longest).flat_map(|i| zones.iter().filter_map(move |(_, nodes)| nodes.get(i).copied()));
        rounds.collect()
    }
}

/// `k8s.io/component-helpers/node/topology/helpers.go` GetZoneKey.
fn zone_key(labels: &Labels) -> String {
    let get = |key| labels.get(key).map_or("", String::as_str);
    format!("{}:{}", get("topology.kubernetes.io/region"), get("topology.kubernetes.io/zone"))
}

fn topology_of(nodes: &[Option<Node>], key: String) -> Topology {
    let mut values: BTreeMap<&str, u32> = BTreeMap::new();
    let mut of_node = Vec::with_capacity(nodes.len());
    for node in nodes {
        let value = node.as_ref().and_then(|n| n.labels.get(&key));
        of_node.push(value.map(|v| {
            let next = u32::try_from(values.len()).expect("fewer than 2^32 domains");
            *values.entry(v).or_insert(next)
        }));
    }
    let domains = values.len();
    Topology { key, of_node, domains }
}

/// What a pod counts as when nodes are scored. The default is per container in Kubernetes; a template carries the sum
/// only, so it is used if no container at all asks for the resource.
pub(super) fn non_zero_requests(template: &PodTemplate) -> Resources {
    let containers = template.containers.len().max(1) as u64;
    let or_default = |asked: u64, default: u64| if asked == 0 { default * containers } else { asked };
    Resources {
        cpu_millis: or_default(template.requests.cpu_millis, DEFAULT_REQUEST.cpu_millis),
        memory_bytes: or_default(template.requests.memory_bytes, DEFAULT_REQUEST.memory_bytes),
    }
}
