//! Whether a pod of a template could be placed on some node, now or after pods that may leave have left. Resource requests,
//! numbers of pods, taints, node selectors, required anti-affinity and hard spread constraints are looked at, as the
//! scheduler does; everything else that might refuse a node is taken not to.
//!
//! Source: `pkg/scheduler/framework/plugins/{nodeunschedulable,tainttoleration,nodeaffinity,noderesources,
//! interpodaffinity,podtopologyspread}` (v1.36).

use crate::analysis::deadlock::possible::Possible;
use crate::api::node::{TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE};
use crate::api::pod::{PodTerm, SpreadConstraint};
use crate::api::quantity::Resources;
use crate::api::{Node, NodeId, PodTemplate, Taint, TaintEffect};
use crate::simulation::end_state::EndPod;

/// Whether one more pod of this template may find a node.
pub(super) fn may_be_placed(possible: &Possible<'_>, template: &PodTemplate) -> bool {
    let here = possible.state.nodes.iter().enumerate().any(|(number, node)| {
        let id = NodeId::from(number);
        node.object.as_ref().is_some_and(|object| {
            admits(object, template, possible.may_be_uncordoned(id))
                && has_room(possible, id, object, template)
                && nobody_objects(possible, object, template)
                && spread_allows(possible, object, template)
        })
    });
    here || possible.joining().any(|node| admits(node, template, true) && fits(node, template, Resources::default(), 0))
}

/// What depends on node and template only. A node that joins becomes Ready, and one that may be uncordoned will be.
fn admits(node: &Node, template: &PodTemplate, uncordoned: bool) -> bool {
    let placement = &template.placement;
    let tolerated = |taint: &Taint| {
        taint.effect == TaintEffect::PreferNoSchedule || placement.tolerations.iter().any(|t| t.tolerates(taint))
    };
    let passing = |taint: &&Taint| {
        let key = taint.key.as_str();
        !(uncordoned && [TAINT_UNSCHEDULABLE, TAINT_NOT_READY, TAINT_UNREACHABLE].contains(&key))
    };
    let cordoned = Taint { key: TAINT_UNSCHEDULABLE.into(), value: String::new(), effect: TaintEffect::NoSchedule };
    placement.node_name.as_ref().is_none_or(|name| *name == node.name)
        && belongs(node, template)
        && (uncordoned || !node.unschedulable || tolerated(&cordoned))
        && node.taints.iter().filter(passing).all(tolerated)
}

/// Node selector and required node affinity.
fn belongs(node: &Node, template: &PodTemplate) -> bool {
    let placement = &template.placement;
    placement.node_selector.matches(&node.labels)
        && (placement.required_node_terms.is_empty()
            || placement.required_node_terms.iter().any(|term| term.matches(&node.labels)))
}

/// Whether there is room beside the pods that stay.
fn has_room(possible: &Possible<'_>, id: NodeId, node: &Node, template: &PodTemplate) -> bool {
    let mut used = Resources::default();
    let mut pods = 0;
    for pod in possible.pods_on(id).filter(|p| !possible.may_go(p.id)) {
        used += possible.template(pod).requests;
        pods += 1;
    }
    fits(node, template, used, pods)
}

fn fits(node: &Node, template: &PodTemplate, used: Resources, pods: u32) -> bool {
    let Resources { cpu_millis, memory_bytes } = template.requests;
    let all = node.allocatable;
    pods < node.pods_max
        && (cpu_millis == 0 || used.cpu_millis + cpu_millis <= all.cpu_millis)
        && (memory_bytes == 0 || used.memory_bytes + memory_bytes <= all.memory_bytes)
}

/// Required anti-affinity, of the new pod and of those that stay.
fn nobody_objects(possible: &Possible<'_>, node: &Node, template: &PodTemplate) -> bool {
    let in_domain = |pod: &EndPod, term: &PodTerm| {
        let domain = node.labels.get(&term.topology_key);
        let other = pod.object.node.and_then(|n| possible.state.nodes[n.index()].object.as_ref());
        pod.namespace == template.namespace
            && domain.is_some()
            && other.and_then(|n| n.labels.get(&term.topology_key)) == domain
    };
    let mine = &template.placement.required_anti_affinity;
    let staying = || possible.state.pods.iter().filter(|p| p.object.node.is_some() && !possible.may_go(p.id));
    let i_object =
        mine.iter().any(|term| staying().any(|pod| term.selector.matches(&pod.labels) && in_domain(pod, term)));
    let they_object = || {
        possible.objecting().any(|pod| {
            let theirs = &possible.template(pod).placement.required_anti_affinity;
            theirs.iter().any(|term| term.selector.matches(&template.labels) && in_domain(pod, term))
        })
    };
    !i_object && !they_object()
}

/// Hard spread constraints. A domain where nothing can be placed keeps the pods it has: it may hold the others down.
fn spread_allows(possible: &Possible<'_>, node: &Node, template: &PodTemplate) -> bool {
    template.placement.spread.iter().filter(|c| c.required).all(|constraint| {
        let key = constraint.term.topology_key.as_str();
        let Some(domain) = node.labels.get(key) else { return false };
        let own = u32::from(constraint.term.selector.matches(&template.labels));
        let stay = count(possible, template, constraint, domain, true);
        let Some(least) = least_possible(possible, template, constraint) else { return true };
        (stay + own).saturating_sub(least) <= constraint.max_skew
    })
}

/// The highest number that the emptiest domain can come to; `None`: there is no bound.
fn least_possible(possible: &Possible<'_>, template: &PodTemplate, constraint: &SpreadConstraint) -> Option<u32> {
    let key = constraint.term.topology_key.as_str();
    let nodes = || possible.state.nodes.iter().enumerate().filter_map(|(n, node)| Some((n, node.object.as_ref()?)));
    let mut least = None;
    for (_, node) in nodes().filter(|(_, node)| belongs(node, template)) {
        let Some(domain) = node.labels.get(key) else { continue };
        let is_open = |(number, other): (usize, &Node)| {
            other.labels.get(key) == Some(domain)
                && admits(other, template, possible.may_be_uncordoned(NodeId::from(number)))
        };
        if !nodes().any(is_open) && possible.joining().next().is_none() {
            let pods = count(possible, template, constraint, domain, false);
            least = Some(least.map_or(pods, |l: u32| l.min(pods)));
        }
    }
    least
}

/// The matching pods of a domain; `staying`: only those that do not leave.
fn count(
    possible: &Possible<'_>,
    template: &PodTemplate,
    constraint: &SpreadConstraint,
    domain: &str,
    staying: bool,
) -> u32 {
    let key = constraint.term.topology_key.as_str();
    let counts = |pod: &&EndPod| {
        let node = pod.object.node.and_then(|n| possible.state.nodes[n.index()].object.as_ref());
        pod.namespace == template.namespace
            && pod.object.is_active()
            && constraint.term.selector.matches(&pod.labels)
            && node.and_then(|n| n.labels.get(key)).is_some_and(|d| d == domain)
            && !(staying && possible.may_be_deleted(pod.id))
    };
    u32::try_from(possible.state.pods.iter().filter(counts).count()).unwrap_or(u32::MAX)
}
