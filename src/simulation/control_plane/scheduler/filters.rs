//! Where a pod may run.
//!
//! Source: `pkg/scheduler/framework/plugins/{nodeunschedulable,tainttoleration,nodeaffinity,noderesources,
//! podtopologyspread,interpodaffinity}` in the order of `pkg/scheduler/apis/config/v1/default_plugins.go` (v1.36).

use std::collections::BTreeMap;

use crate::api::node::{TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE};
use crate::api::pod::{Placement, PodTerm};
use crate::api::quantity::Resources;
use crate::api::{
    LabelSetId, Labels, Node, NodeId, PodTemplate, Selector, Store, Taint, TaintEffect, TemplateId, Version,
};

use super::cache::{Cache, Count, Group, OwnerKey};

/// The pod that is to be placed.
#[derive(Clone, Debug)]
pub(super) struct Incoming<'a> {
    pub template_id: TemplateId,
    pub template: &'a PodTemplate,
    pub labels_id: LabelSetId,
    pub labels: &'a Labels,
    pub owner: OwnerKey,
    /// The pod is for this node only: its node affinity names it.
    pub only_on: Option<NodeId>,
}

impl<'a> Incoming<'a> {
    pub fn new(store: &'a Store, template_id: TemplateId, labels_id: LabelSetId, owner: OwnerKey) -> Self {
        let template = &store.templates[template_id.index()];
        Self { template_id, template, labels_id, labels: &store.label_set(labels_id).labels, owner, only_on: None }
    }
}

/// Why a node was refused. The order is that of the plugins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Reason {
    Unschedulable,
    Taint {
        key: String,
        value: String,
    },
    NodeAffinity,
    /// PreFilter of NodeAffinity leaves only the node that the pod names.
    OtherNode,
    TooManyPods,
    InsufficientCpu {
        ever: bool,
    },
    InsufficientMemory {
        ever: bool,
    },
    SpreadLabel,
    Spread,
    Affinity,
    AntiAffinity,
    ExistingAntiAffinity,
}

impl Reason {
    /// Whether the removal of pods cannot help (UnschedulableAndUnresolvable).
    fn is_unresolvable(&self) -> bool {
        match self {
            Self::Unschedulable
            | Self::Taint { .. }
            | Self::NodeAffinity
            | Self::OtherNode
            | Self::SpreadLabel
            | Self::Affinity => true,
            Self::InsufficientCpu { ever } | Self::InsufficientMemory { ever } => !ever,
            Self::TooManyPods | Self::Spread | Self::AntiAffinity | Self::ExistingAntiAffinity => false,
        }
    }

    /// Which kind of event may make it go away.
    pub fn plugin(&self) -> Plugins {
        match self {
            Self::Unschedulable | Self::Taint { .. } | Self::NodeAffinity | Self::OtherNode => Plugins::NODE,
            Self::TooManyPods | Self::InsufficientCpu { .. } | Self::InsufficientMemory { .. } => Plugins::RESOURCES,
            Self::SpreadLabel | Self::Spread => Plugins::SPREAD,
            Self::Affinity | Self::AntiAffinity | Self::ExistingAntiAffinity => Plugins::INTER_POD,
        }
    }

    /// As the event FailedScheduling says it.
    fn text(&self, version: Version) -> String {
        match self {
            Self::Unschedulable => "node(s) were unschedulable".into(),
            Self::Taint { .. } if version.scheduler_hides_taint() => "node(s) had untolerated taint(s)".into(),
            Self::Taint { key, value } => format!("node(s) had untolerated taint {{{key}: {value}}}"),
            Self::NodeAffinity => "node(s) didn't match Pod's node affinity/selector".into(),
            Self::OtherNode => "node(s) didn't satisfy plugin(s) [NodeAffinity]".into(),
            Self::TooManyPods => "Too many pods".into(),
            Self::InsufficientCpu { .. } => "Insufficient cpu".into(),
            Self::InsufficientMemory { .. } => "Insufficient memory".into(),
            Self::SpreadLabel => "node(s) didn't match pod topology spread constraints (missing required label)".into(),
            Self::Spread => "node(s) didn't match pod topology spread constraints".into(),
            Self::Affinity => "node(s) didn't match pod affinity rules".into(),
            Self::AntiAffinity => "node(s) didn't match pod anti-affinity rules".into(),
            Self::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules".into(),
        }
    }
}

/// A set of groups of plugins that have refused a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Plugins(u8);

impl Plugins {
    /// NodeUnschedulable, TaintToleration, NodeAffinity.
    pub const NODE: Self = Self(1);
    /// NodeResourcesFit.
    pub const RESOURCES: Self = Self(2);
    /// PodTopologySpread.
    pub const SPREAD: Self = Self(4);
    /// InterPodAffinity.
    pub const INTER_POD: Self = Self(8);

    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub const fn any_of(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Why no node would do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Diagnosis {
    nodes: u32,
    reasons: BTreeMap<Reason, u32>,
    /// Nodes on which preemption cannot help.
    unresolvable: u32,
    pub plugins: Plugins,
}

impl Diagnosis {
    /// The message of the event FailedScheduling.
    ///
    /// Source: `pkg/scheduler/framework/types.go` FitError.Error, `pkg/scheduler/framework/preemption/preemption.go`,
    /// `plugins/defaultpreemption/default_preemption.go`, `plugins/dynamicresources/dynamicresources.go` (on by default
    /// since 1.34). No pod has a priority here, so preemption never finds a victim.
    pub fn text(&self, version: Version) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".into();
        }
        let mut by_text: BTreeMap<String, u32> = BTreeMap::new();
        for (reason, count) in &self.reasons {
            *by_text.entry(reason.text(version)).or_default() += count;
        }
        let sorted = |histogram: BTreeMap<String, u32>| {
            let mut lines: Vec<_> = histogram.into_iter().map(|(text, n)| format!("{n} {text}")).collect();
            lines.sort();
            lines.join(", ")
        };
        let preemption = BTreeMap::from([
            ("Preemption is not helpful for scheduling".to_string(), self.unresolvable),
            ("No preemption victims found for incoming pod".to_string(), self.nodes - self.unresolvable),
        ]);
        let preemption = preemption.into_iter().filter(|(_, n)| *n > 0).collect();
        let claims = if version.scheduler_looks_at_claims() { "no new claims to deallocate, " } else { "" };
        let none = format!("0/{} nodes are available:", self.nodes);
        format!("{none} {}. {claims}preemption: {none} {}.", sorted(by_text), sorted(preemption))
    }
}

/// What a node and a pod template decide between them, whatever runs where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// Why the node is out of the question.
    pub refusal: Option<Reason>,
    /// nodeSelector and required node affinity hold: the node counts for topology spread.
    pub affinity: bool,
    /// PreferNoSchedule taints that are not tolerated.
    pub unwanted: u32,
}

impl Verdict {
    pub fn of(node: Option<&Node>, placement: &Placement) -> Self {
        let Some(node) = node else {
            return Self { refusal: Some(Reason::NodeAffinity), affinity: false, unwanted: 0 };
        };
        let tolerated = |taint: &Taint| placement.tolerations.iter().any(|t| t.tolerates(taint));
        let affinity = matches_node(placement, &node.labels);
        let cordon = Taint { key: TAINT_UNSCHEDULABLE.into(), value: String::new(), effect: TaintEffect::NoSchedule };
        let unwanted =
            node.taints.iter().filter(|t| t.effect == TaintEffect::PreferNoSchedule && !tolerated(t)).count();
        let refusal = if node.unschedulable && !tolerated(&cordon) {
            Some(Reason::Unschedulable)
        } else if let Some(Taint { key, value, .. }) =
            effective_taints(node).find(|t| t.effect != TaintEffect::PreferNoSchedule && !tolerated(t))
        {
            Some(Reason::Taint { key, value })
        } else if affinity {
            None
        } else {
            Some(Reason::NodeAffinity)
        };
        Self { refusal, affinity, unwanted: u32::try_from(unwanted).unwrap_or(u32::MAX) }
    }
}

/// A node's taints; one that is not Ready has not-ready:NoSchedule, whether it is written down or not.
fn effective_taints(node: &Node) -> impl Iterator<Item = Taint> + '_ {
    let told = node.taints.iter().any(|t| t.key == TAINT_NOT_READY || t.key == TAINT_UNREACHABLE);
    let implied = (!node.ready && !told).then(|| Taint {
        key: TAINT_NOT_READY.into(),
        value: String::new(),
        effect: TaintEffect::NoSchedule,
    });
    node.taints.iter().cloned().chain(implied)
}

fn matches_node(placement: &Placement, labels: &Labels) -> bool {
    let terms = &placement.required_node_terms;
    placement.node_selector.matches(labels) && (terms.is_empty() || terms.iter().any(|t| t.matches(labels)))
}

/// What depends on the pods that are there, worked out once a cycle (PreFilter).
pub(super) struct PreFilter<'a> {
    pod: &'a Incoming<'a>,
    spread: Vec<Spread>,
    affinity: Vec<(usize, Vec<u32>)>,
    /// No pod satisfies the affinity, but the pod would itself: the first of its kind may go anywhere.
    first_of_its_kind: bool,
    /// Pairs of a topology and its domains that are closed to the pod by its own anti-affinity.
    anti_affinity: Vec<(usize, Vec<u32>)>,
    /// As `anti_affinity`, by the anti-affinity of pods that are there.
    existing: Vec<(usize, Vec<u32>)>,
}

/// A DoNotSchedule constraint.
struct Spread {
    topology: usize,
    counts: Vec<u32>,
    min: u32,
    self_match: u32,
    max_skew: u32,
}

impl<'a> PreFilter<'a> {
    pub fn new(cache: &mut Cache, store: &Store, pod: &'a Incoming<'a>) -> Self {
        cache.prepare_verdicts(store, pod.template_id);
        let placement = &pod.template.placement;
        let namespace = &pod.template.namespace;
        let in_term = |group: &Group, term: &PodTerm| selects(store, group, namespace, &term.selector);

        let spread = hard_spread(cache, store, pod);

        let required = &placement.required_affinity;
        let mut affinity = Vec::new();
        for term in required {
            let topology = cache.topology_id(&term.topology_key);
            // a pod counts only if it matches all terms
            let matches = |group: &Group| required.iter().all(|t| in_term(group, t));
            affinity.push((topology, per_domain(cache, topology, matches, |c| c.all, |_| true)));
        }
        let nobody = affinity.iter().all(|(_, counts)| counts.iter().all(|n| *n == 0));
        let first_of_its_kind = nobody && required.iter().all(|t| t.selector.matches(pod.labels));

        let mut anti_affinity = Vec::new();
        for term in &placement.required_anti_affinity {
            let topology = cache.topology_id(&term.topology_key);
            let counts = per_domain(cache, topology, |group| in_term(group, term), |c| c.all, |_| true);
            anti_affinity.push((topology, counts));
        }

        let mut wanted_by_others: Vec<(u32, PodTerm)> = Vec::new();
        for (index, group) in (0..).zip(cache.groups()) {
            let template = &store.templates[group.key.template.index()];
            if group.counts.is_empty() || template.namespace != *namespace {
                continue;
            }
            let terms = template.placement.required_anti_affinity.iter();
            wanted_by_others.extend(terms.filter(|t| t.selector.matches(pod.labels)).map(|t| (index, t.clone())));
        }
        let mut existing = Vec::new();
        for (index, term) in wanted_by_others {
            let topology = cache.topology_id(&term.topology_key);
            let mut counts = vec![0; cache.topology(topology).domains];
            for (node, count) in &cache.groups()[index as usize].counts {
                if let Some(domain) = cache.topology(topology).domain(*node) {
                    counts[domain] += count.all;
                }
            }
            existing.push((topology, counts));
        }
        Self { pod, spread, affinity, first_of_its_kind, anti_affinity, existing }
    }

    /// Whether the pod may run there.
    pub fn passes(&self, cache: &Cache, node: NodeId) -> bool {
        self.pod.only_on.is_none_or(|only| only == node)
            && cache.verdicts(self.pod.template_id)[node.index()].refusal.is_none()
            && self.fits(cache, node)
            && self.check_spread(cache, node).is_none()
            && self.check_inter_pod(cache, node).is_none()
    }

    /// Why the pod may not run on any of the nodes: for each, what the first plugin that refuses it says.
    pub fn diagnose(&self, cache: &Cache) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        for node in cache.order() {
            let reasons = self.reasons(cache, *node);
            diagnosis.nodes += 1;
            diagnosis.unresolvable += u32::from(reasons.iter().any(Reason::is_unresolvable));
            for reason in reasons {
                diagnosis.plugins.add(reason.plugin());
                *diagnosis.reasons.entry(reason).or_default() += 1;
            }
        }
        diagnosis
    }

    fn reasons(&self, cache: &Cache, node: NodeId) -> Vec<Reason> {
        if self.pod.only_on.is_some_and(|only| only != node) {
            return vec![Reason::OtherNode];
        }
        if let Some(reason) = &cache.verdicts(self.pod.template_id)[node.index()].refusal {
            return vec![reason.clone()];
        }
        let insufficient = self.insufficient(cache, node);
        if !insufficient.is_empty() {
            return insufficient;
        }
        self.check_spread(cache, node).or_else(|| self.check_inter_pod(cache, node)).into_iter().collect()
    }

    fn fits(&self, cache: &Cache, node: NodeId) -> bool {
        let Some(object) = cache.node(node) else { return false };
        let usage = cache.usage(node);
        let asked = self.pod.template.requests;
        let room = |asked: u64, used: u64, of: u64| asked == 0 || used.saturating_add(asked) <= of;
        usage.pods < object.pods_max
            && room(asked.cpu_millis, usage.requested.cpu_millis, object.allocatable.cpu_millis)
            && room(asked.memory_bytes, usage.requested.memory_bytes, object.allocatable.memory_bytes)
    }

    /// fitsRequest: pods that are being deleted hold what they have asked for.
    fn insufficient(&self, cache: &Cache, node: NodeId) -> Vec<Reason> {
        let Some(object) = cache.node(node) else { return Vec::new() };
        let usage = cache.usage(node);
        let Resources { cpu_millis, memory_bytes } = self.pod.template.requests;
        let mut reasons = Vec::new();
        if usage.pods >= object.pods_max {
            reasons.push(Reason::TooManyPods);
        }
        let lacks = |asked: u64, used: u64, of: u64| asked > 0 && used.saturating_add(asked) > of;
        if lacks(cpu_millis, usage.requested.cpu_millis, object.allocatable.cpu_millis) {
            reasons.push(Reason::InsufficientCpu { ever: cpu_millis <= object.allocatable.cpu_millis });
        }
        if lacks(memory_bytes, usage.requested.memory_bytes, object.allocatable.memory_bytes) {
            reasons.push(Reason::InsufficientMemory { ever: memory_bytes <= object.allocatable.memory_bytes });
        }
        reasons
    }

    fn check_spread(&self, cache: &Cache, node: NodeId) -> Option<Reason> {
        for spread in &self.spread {
            let Some(domain) = cache.topology(spread.topology).domain(node) else { return Some(Reason::SpreadLabel) };
            if spread.counts[domain] + spread.self_match > spread.min + spread.max_skew {
                return Some(Reason::Spread);
            }
        }
        None
    }

    fn check_inter_pod(&self, cache: &Cache, node: NodeId) -> Option<Reason> {
        let mut satisfied = true;
        for (topology, counts) in &self.affinity {
            let Some(domain) = cache.topology(*topology).domain(node) else { return Some(Reason::Affinity) };
            satisfied &= counts[domain] > 0;
        }
        if !satisfied && !self.first_of_its_kind {
            return Some(Reason::Affinity);
        }
        let closed = |(topology, counts): &(usize, Vec<u32>)| {
            cache.topology(*topology).domain(node).is_some_and(|domain| counts[domain] > 0)
        };
        if self.anti_affinity.iter().any(closed) {
            return Some(Reason::AntiAffinity);
        }
        self.existing.iter().any(closed).then_some(Reason::ExistingAntiAffinity)
    }
}

/// The DoNotSchedule constraints of a pod. Pods that are being deleted do not count; tainted and cordoned nodes do
/// (nodeTaintsPolicy is Ignore unless given), nodes that the pod's node affinity excludes do not.
fn hard_spread(cache: &mut Cache, store: &Store, pod: &Incoming<'_>) -> Vec<Spread> {
    let constraints: Vec<_> = pod.template.placement.spread.iter().filter(|c| c.required).collect();
    let topologies: Vec<_> = constraints.iter().map(|c| cache.topology_id(&c.term.topology_key)).collect();
    let verdicts = cache.verdicts(pod.template_id);
    let has_all = |node: NodeId| topologies.iter().all(|t| cache.topology(*t).domain(node).is_some());
    let counts_there = |node: NodeId| verdicts.get(node.index()).is_some_and(|v| v.affinity) && has_all(node);
    let spread = constraints.iter().zip(&topologies).map(|(constraint, topology)| {
        let selector = &constraint.term.selector;
        let counts = per_domain(
            cache,
            *topology,
            |group| !is_empty(selector) && selects(store, group, &pod.template.namespace, selector),
            |count| count.live,
            counts_there,
        );
        let eligible = cache.order().iter().copied().filter(|n| counts_there(*n));
        let min = eligible.filter_map(|n| cache.topology(*topology).domain(n)).map(|d| counts[d]).min();
        Spread {
            topology: *topology,
            min: min.unwrap_or(u32::MAX - constraint.max_skew),
            counts,
            self_match: u32::from(selector.matches(pod.labels)),
            max_skew: constraint.max_skew,
        }
    });
    spread.collect()
}

/// An empty selector counts no pod for spreading (countPodsMatchSelector).
pub(super) fn is_empty(selector: &Selector) -> bool {
    selector.requirements.is_empty()
}

/// Whether pods of this group are selected in this namespace.
pub(super) fn selects(store: &Store, group: &Group, namespace: &str, selector: &Selector) -> bool {
    let set = store.label_set(group.key.labels);
    set.namespace == namespace && selector.matches(&set.labels)
}

/// Pods of all groups that match, on nodes that count, by domain of a topology.
pub(super) fn per_domain(
    cache: &Cache,
    topology: usize,
    matches: impl Fn(&Group) -> bool,
    of: impl Fn(&Count) -> u32,
    counts_there: impl Fn(NodeId) -> bool,
) -> Vec<u32> {
    let topology = cache.topology(topology);
    let mut counts = vec![0; topology.domains];
    for group in cache.groups().iter().filter(|g| !g.counts.is_empty() && matches(g)) {
        for (node, count) in &group.counts {
            if let Some(domain) = topology.domain(*node).filter(|_| counts_there(*node)) {
                counts[domain] += of(count);
            }
        }
    }
    counts
}
