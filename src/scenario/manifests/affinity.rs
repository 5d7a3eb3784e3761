//! Where pods may and should run: node selectors, affinity, tolerations, topology spread.

use crate::api::node::Toleration;
use crate::api::pod::{Placement, PodTerm, SpreadConstraint};
use crate::api::{Selector, TaintEffect};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::manifests::{Cx, selector};
use crate::scenario::read::MapOf;
use crate::scenario::tree::Node;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Reads it from a pod spec.
pub(super) fn read(spec: &Node, cx: &mut Cx<'_>) -> Placement {
    let node_selector: MapOf<String> = cx.field(spec, "nodeSelector").unwrap_or_default();
    let mut placement = Placement {
        node_name: cx.field(spec, "nodeName"),
        node_selector: Selector::labels(node_selector.0.into_iter().map(|(key, value)| (key.value, value))),
        tolerations: spec
            .get("tolerations")
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .filter_map(|t| toleration(t, cx))
            .collect(),
        ..Placement::default()
    };
    if let Some(affinity) = spec.get("affinity") {
        if let Some(node_affinity) = affinity.get("nodeAffinity") {
            read_node_affinity(node_affinity, &mut placement, cx);
        }
        if let Some(pod_affinity) = affinity.get("podAffinity") {
            read_pod_affinity(pod_affinity, 1, &mut placement, cx);
        }
        if let Some(pod_anti_affinity) = affinity.get("podAntiAffinity") {
            read_pod_affinity(pod_anti_affinity, -1, &mut placement, cx);
        }
    }
    for constraint in spec.get("topologySpreadConstraints").map(Node::items).unwrap_or_default() {
        placement.spread.extend(read_spread(constraint, cx));
    }
    placement
}

fn read_node_affinity(node: &Node, placement: &mut Placement, cx: &mut Cx<'_>) {
    for term in node.at(&[REQUIRED, "nodeSelectorTerms"]).map(Node::items).unwrap_or_default() {
        if let Some(fields) = term.get("matchFields") {
            cx.unmodelled.field("matchFields", &fields.span, "this requirement is left out");
        }
        let expressions = term.get("matchExpressions").map(Node::items).unwrap_or_default();
        let requirements = expressions.iter().filter_map(|e| selector::read_expression(e, cx)).collect();
        placement.required_node_terms.push(Selector { requirements });
    }
    if let Some(preferred) = node.get(PREFERRED) {
        cx.unmodelled.field("nodeAffinity.preferred…", &preferred.span, "no node is preferred");
    }
}

/// `sign` is −1 for anti-affinity.
fn read_pod_affinity(node: &Node, sign: i32, placement: &mut Placement, cx: &mut Cx<'_>) {
    for term in node.get(REQUIRED).map(Node::items).unwrap_or_default() {
        if let Some(term) = read_term(term, cx) {
            let list = if sign > 0 { &mut placement.required_affinity } else { &mut placement.required_anti_affinity };
            list.push(term);
        }
    }
    for preferred in node.get(PREFERRED).map(Node::items).unwrap_or_default() {
        let weight: i64 = cx.field(preferred, "weight").unwrap_or(1);
        let term = preferred.get("podAffinityTerm").and_then(|term| read_term(term, cx));
        if let (Some(term), Ok(weight)) = (term, i32::try_from(weight)) {
            placement.preferred.push((sign * weight.clamp(1, 100), term));
        }
    }
}

fn read_term(node: &Node, cx: &mut Cx<'_>) -> Option<PodTerm> {
    for key in ["namespaces", "namespaceSelector", "matchLabelKeys", "mismatchLabelKeys"] {
        if let Some(field) = node.get(key) {
            cx.unmodelled.field(
                "podAffinityTerm.namespaces, namespaceSelector, matchLabelKeys",
                &field.span,
                "pods of the same namespace are looked at, by the labelSelector",
            );
        }
    }
    read_selected(node, cx)
}

/// What a term of pod affinity and a spread constraint have in common.
fn read_selected(node: &Node, cx: &mut Cx<'_>) -> Option<PodTerm> {
    // A term without a selector matches no pods, and so constrains nothing.
    let selector = selector::read(node.get("labelSelector")?, cx);
    Some(PodTerm { selector, topology_key: cx.field(node, "topologyKey")? })
}

fn read_spread(node: &Node, cx: &mut Cx<'_>) -> Option<SpreadConstraint> {
    for key in ["minDomains", "matchLabelKeys", "nodeAffinityPolicy", "nodeTaintsPolicy"] {
        if let Some(field) = node.get(key) {
            cx.unmodelled.field(
                "topologySpreadConstraints[].minDomains, matchLabelKeys, node…Policy",
                &field.span,
                "the constraint is taken without it",
            );
        }
    }
    let term = read_selected(node, cx)?;
    let when: Option<String> = cx.field(node, "whenUnsatisfiable");
    Some(SpreadConstraint {
        term,
        max_skew: cx.field(node, "maxSkew").unwrap_or(1),
        required: when.as_deref() != Some("ScheduleAnyway"),
    })
}

fn toleration(node: &Node, cx: &mut Cx<'_>) -> Option<Toleration> {
    let operator: String = cx.field(node, "operator").unwrap_or_else(|| "Equal".into());
    let key: Option<String> = cx.field(node, "key").filter(|key: &String| !key.is_empty());
    let value = match operator.as_str() {
        "Exists" => None,
        "Equal" => Some(cx.field(node, "value").unwrap_or_default()),
        other => {
            cx.push(
                Diagnostic::error(format!("unknown operator `{other}`")).at(&node.span, "expected Equal or Exists"),
            );
            return None;
        }
    };
    let effect: Option<TaintEffect> = match node.get("effect").and_then(Node::as_str) {
        None | Some("") => None,
        Some(_) => Some(cx.field(node, "effect")?),
    };
    // Zero and less mean: evict at once.
    let seconds: Option<i64> = cx.field(node, "tolerationSeconds");
    Some(Toleration { key, value, effect, seconds: seconds.map(|s| u64::try_from(s).unwrap_or(0)) })
}
