//! Which of the nodes that are possible is best.
//!
//! Every plugin gives 0 to 100; the weights are those of `pkg/scheduler/apis/config/v1/default_plugins.go` (v1.36).
//! ImageLocality (weight 1) and preferred node affinity (weight 2) are not modelled: they give every node the same.

use crate::api::quantity::Resources;
use crate::api::{NodeId, ServiceId, Store, Version};

use super::cache::{Cache, Group, OwnerKey, non_zero_requests};
use super::filters::{Incoming, is_empty, per_domain, selects};

const MAX_NODE_SCORE: i64 = 100;
const TAINT_TOLERATION_WEIGHT: i64 = 3;
const NODE_RESOURCES_FIT_WEIGHT: i64 = 1;
const POD_TOPOLOGY_SPREAD_WEIGHT: i64 = 2;
const INTER_POD_AFFINITY_WEIGHT: i64 = 2;
const BALANCED_ALLOCATION_WEIGHT: i64 = 1;
/// hardPodAffinityWeight: what a *required* affinity of a pod that is there counts for an incoming pod that matches it.
const HARD_POD_AFFINITY_WEIGHT: i64 = 1;
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
/// The constraints of a pod that has none of its own (`plugins/podtopologyspread/plugin.go` systemDefaultConstraints).
const DEFAULT_CONSTRAINTS: [(&str, u32); 2] = [(HOSTNAME, 3), (ZONE, 5)];

/// The score of each of the `feasible` nodes.
pub(super) fn score(
    cache: &mut Cache,
    store: &Store,
    version: Version,
    pod: &Incoming<'_>,
    feasible: &[NodeId],
) -> Vec<i64> {
    let mut total = vec![0; feasible.len()];
    let mut add = |scores: Vec<i64>, weight: i64| {
        for (sum, score) in total.iter_mut().zip(scores) {
            *sum += score * weight;
        }
    };
    add(taint_toleration(cache, pod, feasible), TAINT_TOLERATION_WEIGHT);
    add(least_allocated(cache, pod, feasible), NODE_RESOURCES_FIT_WEIGHT);
    add(balanced_allocation(cache, version, pod, feasible), BALANCED_ALLOCATION_WEIGHT);
    add(topology_spread(cache, store, pod, feasible), POD_TOPOLOGY_SPREAD_WEIGHT);
    add(inter_pod_affinity(cache, store, pod, feasible), INTER_POD_AFFINITY_WEIGHT);
    total
}

/// The fewer PreferNoSchedule taints that are not tolerated, the better (`plugins/tainttoleration`,
/// DefaultNormalizeScore in reverse).
fn taint_toleration(cache: &Cache, pod: &Incoming<'_>, feasible: &[NodeId]) -> Vec<i64> {
    let verdicts = cache.verdicts(pod.template_id);
    let unwanted: Vec<_> = feasible.iter().map(|n| i64::from(verdicts[n.index()].unwanted)).collect();
    let max = unwanted.iter().copied().max().unwrap_or(0);
    let normalized = |n: i64| if max == 0 { MAX_NODE_SCORE } else { MAX_NODE_SCORE - MAX_NODE_SCORE * n / max };
    unwanted.into_iter().map(normalized).collect()
}

/// The emptier the better: the mean of what is left of CPU and of memory, in percent
/// (`plugins/noderesources/least_allocated.go`).
fn least_allocated(cache: &Cache, pod: &Incoming<'_>, feasible: &[NodeId]) -> Vec<i64> {
    let asked = non_zero_requests(pod.template);
    let free = |used: u64, asked: u64, of: u64| {
        let requested = used + asked;
        (of.saturating_sub(requested) * MAX_NODE_SCORE as u64).checked_div(of)
    };
    let score = |id: &NodeId| {
        let Some(node) = cache.node(*id) else { return 0 };
        let used = cache.usage(*id).non_zero;
        let of = node.allocatable;
        let parts = [
            free(used.cpu_millis, asked.cpu_millis, of.cpu_millis),
            free(used.memory_bytes, asked.memory_bytes, of.memory_bytes),
        ];
        let known = parts.iter().flatten();
        (known.clone().sum::<u64>() / (known.count() as u64).max(1)) as i64
    };
    feasible.iter().map(score).collect()
}

/// The more equally CPU and memory are used, the better (`plugins/noderesources/balanced_allocation.go`). A pod that asks
/// for nothing is not scored since 1.33; since 1.36 the change that the pod makes is scored, not the result.
fn balanced_allocation(cache: &Cache, version: Version, pod: &Incoming<'_>, feasible: &[NodeId]) -> Vec<i64> {
    let asked = pod.template.requests;
    if asked == Resources::default() && version.balanced_allocation_skips_best_effort() {
        return vec![0; feasible.len()];
    }
    let score = |id: &NodeId| {
        let Some(node) = cache.node(*id) else { return 0 };
        let used = cache.usage(*id).requested;
        let mut with = used;
        with += asked;
        let after = balance(with, node.allocatable);
        if version.balanced_allocation_compares() {
            MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + after - balance(used, node.allocatable)) / 2
        } else {
            after
        }
    };
    feasible.iter().map(score).collect()
}

/// 100 less the standard deviation of the two fractions, in percent.
fn balance(requested: Resources, allocatable: Resources) -> i64 {
    if allocatable.cpu_millis == 0 || allocatable.memory_bytes == 0 {
        return MAX_NODE_SCORE;
    }
    let fraction = |used: u64, of: u64| (used as f64 / of as f64).min(1.0);
    let cpu = fraction(requested.cpu_millis, allocatable.cpu_millis);
    let memory = fraction(requested.memory_bytes, allocatable.memory_bytes);
    ((1.0 - ((cpu - memory) / 2.0).abs()) * MAX_NODE_SCORE as f64) as i64
}

/// Which pods a soft constraint counts.
enum Selected<'a> {
    By(&'a crate::api::Selector),
    /// Those that the pod's Services and its controller select.
    Default {
        services: &'a [ServiceId],
        owner: &'a OwnerKey,
    },
}

impl Selected<'_> {
    fn matches(&self, store: &Store, group: &Group, namespace: &str) -> bool {
        match self {
            Self::By(selector) => !is_empty(selector) && selects(store, group, namespace, selector),
            Self::Default { services, owner } => {
                let set = store.label_set(group.key.labels);
                set.namespace == namespace
                    && (**owner == OwnerKey::None || group.key.owner == **owner)
                    && services.iter().all(|s| set.services.contains(s))
            }
        }
    }
}

/// ScheduleAnyway constraints, or the default ones: the fewer pods of its kind in a domain, the better
/// (`plugins/podtopologyspread/scoring.go`).
fn topology_spread(cache: &mut Cache, store: &Store, pod: &Incoming<'_>, feasible: &[NodeId]) -> Vec<i64> {
    let own = &pod.template.placement.spread;
    let services = &store.label_set(pod.labels_id).services;
    let mut constraints: Vec<(usize, bool, u32, Selected<'_>)> = Vec::new();
    if !own.is_empty() {
        for c in own.iter().filter(|c| !c.required) {
            let key = &c.term.topology_key;
            constraints.push((cache.topology_id(key), key == HOSTNAME, c.max_skew, Selected::By(&c.term.selector)));
        }
    } else if !services.is_empty() || pod.owner != OwnerKey::None {
        for (key, max_skew) in DEFAULT_CONSTRAINTS {
            let selected = Selected::Default { services, owner: &pod.owner };
            constraints.push((cache.topology_id(key), key == HOSTNAME, max_skew, selected));
        }
    }
    if constraints.is_empty() {
        return vec![0; feasible.len()];
    }

    // with constraints of its own, a node must have all the labels to take part
    let has_all = |node: NodeId| constraints.iter().all(|(t, ..)| cache.topology(*t).domain(node).is_some());
    let takes_part = |node: NodeId| own.is_empty() || has_all(node);
    let verdicts = cache.verdicts(pod.template_id);
    let counts_there = |node: NodeId| verdicts.get(node.index()).is_some_and(|v| v.affinity) && takes_part(node);
    let mut raw = vec![0.0; feasible.len()];
    for (topology_id, is_hostname, max_skew, selected) in &constraints {
        let topology = cache.topology(*topology_id);
        let matches = |group: &Group| selected.matches(store, group, &pod.template.namespace);
        // a node counts for itself under the host name key, whatever its affinity
        let counts = per_domain(cache, *topology_id, matches, |c| c.live, |n| *is_hostname || counts_there(n));
        let candidates = feasible.iter().filter(|n| takes_part(**n));
        let size = if *is_hostname {
            candidates.count()
        } else {
            let mut domains: Vec<_> = candidates.map(|n| topology.domain(*n)).collect();
            domains.sort_unstable();
            domains.dedup();
            domains.len()
        };
        let weight = libm::log((size + 2) as f64);
        for (sum, node) in raw.iter_mut().zip(feasible) {
            if let Some(domain) = topology.domain(*node) {
                *sum += f64::from(counts[domain]) * weight + f64::from(*max_skew) - 1.0;
            }
        }
    }

    let scores = raw.iter().zip(feasible).map(|(s, n)| takes_part(*n).then_some(s.round() as i64));
    let scores: Vec<Option<i64>> = scores.collect();
    let max = scores.iter().flatten().copied().max().unwrap_or(0);
    let min = scores.iter().flatten().copied().min().unwrap_or(0);
    let normalized = |score: Option<i64>| match score {
        None => 0,
        Some(_) if max == 0 => MAX_NODE_SCORE,
        Some(score) => MAX_NODE_SCORE * (max + min - score) / max,
    };
    scores.into_iter().map(normalized).collect()
}

/// The weights of preferred terms, the pod's own and those of the pods that are there
/// (`plugins/interpodaffinity/scoring.go`).
fn inter_pod_affinity(cache: &mut Cache, store: &Store, pod: &Incoming<'_>, feasible: &[NodeId]) -> Vec<i64> {
    // weight, topology, and the group that it counts
    let mut terms: Vec<(i64, String, usize)> = Vec::new();
    let namespace = &pod.template.namespace;
    for (index, group) in cache.groups().iter().enumerate() {
        let other = &store.templates[group.key.template.index()];
        if group.counts.is_empty() || other.namespace != *namespace {
            continue;
        }
        for (weight, term) in &pod.template.placement.preferred {
            if selects(store, group, namespace, &term.selector) {
                terms.push((i64::from(*weight), term.topology_key.clone(), index));
            }
        }
        for (weight, term) in &other.placement.preferred {
            if term.selector.matches(pod.labels) {
                terms.push((i64::from(*weight), term.topology_key.clone(), index));
            }
        }
        for term in &other.placement.required_affinity {
            if term.selector.matches(pod.labels) {
                terms.push((HARD_POD_AFFINITY_WEIGHT, term.topology_key.clone(), index));
            }
        }
    }
    let mut raw = vec![0; feasible.len()];
    for (weight, key, index) in terms {
        let id = cache.topology_id(&key);
        let topology = cache.topology(id);
        let mut counts = vec![0i64; topology.domains];
        for (node, count) in &cache.groups()[index].counts {
            if let Some(domain) = topology.domain(*node) {
                counts[domain] += i64::from(count.all);
            }
        }
        for (sum, node) in raw.iter_mut().zip(feasible) {
            if let Some(domain) = topology.domain(*node) {
                *sum += weight * counts[domain];
            }
        }
    }
    let max = raw.iter().copied().max().unwrap_or(0);
    let min = raw.iter().copied().min().unwrap_or(0);
    if max == min {
        return vec![0; feasible.len()];
    }
    let normalized = |n: i64| (MAX_NODE_SCORE as f64 * ((n - min) as f64 / (max - min) as f64)) as i64;
    raw.into_iter().map(normalized).collect()
}
