//! The DaemonSet controller.

use crate::api::{DaemonSetId, Node, NodeId, Owner, PodTemplate, TaintEffect};
use crate::engine::Key;
use crate::simulation::apiserver::suffixed;
use crate::simulation::context::Context;
use crate::simulation::control_plane::deployment::replica_set_name;
use crate::simulation::control_plane::stateful_set::REVISION;
use crate::simulation::write::NewPod;

/// The pod for a node, of the newest revision. `incarnation` counts the pods for that node, from 0.
///
/// Source: `pkg/controller/daemon/util/daemonset_util.go` CreatePodTemplate, ReplaceDaemonSetPodNodeNameNodeAffinity
/// (v1.36).
#[must_use]
pub fn new_pod(ctx: &Context<'_>, id: DaemonSetId, node: NodeId, incarnation: u32) -> Option<NewPod> {
    let set = ctx.store.daemon_sets.head(id.index())?;
    let key = Key::new("pod").text(&set.namespace).text(&set.name).text(ctx.store.node_name(node));
    let luck = key.number(u64::from(incarnation)).bits();
    let mut labels = ctx.store.templates[set.template.index()].labels.clone();
    let revision = replica_set_name(&set.namespace, &set.name, set.revision);
    labels.insert(REVISION.into(), revision[set.name.len() + 1..].to_string());
    labels.insert("pod-template-generation".into(), set.revision.to_string());
    Some(NewPod {
        namespace: set.namespace.clone(),
        name: suffixed(&set.name, luck),
        luck,
        template: set.template,
        labels,
        owner: Owner::DaemonSet(id),
        only_on: Some(node),
        node: None,
    })
}

/// Whether a node should have the pod: its labels fit, and it has no taint of NoSchedule or NoExecute that the pod does not
/// tolerate.
///
/// Source: `pkg/controller/daemon/daemon_controller.go` NodeShouldRunDaemonPod, predicates (v1.36).
#[must_use]
pub fn should_run(template: &PodTemplate, node: &Node) -> bool {
    fits(template, node) && no_untolerated(template, node, &[TaintEffect::NoSchedule, TaintEffect::NoExecute])
}

/// Whether a pod that is there may stay: taints of NoSchedule do not matter to it.
#[must_use]
pub fn should_stay(template: &PodTemplate, node: &Node) -> bool {
    fits(template, node) && no_untolerated(template, node, &[TaintEffect::NoExecute])
}

fn fits(template: &PodTemplate, node: &Node) -> bool {
    let placement = &template.placement;
    let terms = &placement.required_node_terms;
    placement.node_name.as_ref().is_none_or(|name| *name == node.name)
        && placement.node_selector.matches(&node.labels)
        && (terms.is_empty() || terms.iter().any(|term| term.matches(&node.labels)))
}

fn no_untolerated(template: &PodTemplate, node: &Node, effects: &[TaintEffect]) -> bool {
    let tolerated = |taint| template.placement.tolerations.iter().any(|t| t.tolerates(taint));
    node.taints.iter().filter(|taint| effects.contains(&taint.effect)).all(tolerated)
}
