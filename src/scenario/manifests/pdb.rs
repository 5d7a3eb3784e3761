//! `policy/v1` PodDisruptionBudget.

use crate::api::PdbSpec;
use crate::api::meta::IntOrPercent;
use crate::api::pdb::{Budget, UnhealthyPodEvictionPolicy};
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::document::Document;
use crate::scenario::manifests::{Cx, Meta, selector};
use crate::scenario::read::{Read, expected};
use crate::scenario::source::Span;
use crate::scenario::tree::{Node, Value};

/// A PodDisruptionBudget of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct PdbManifest {
    /// The budget.
    pub pdb: PdbSpec,
    /// Where its name stands.
    pub span: Span,
    /// Where its selector stands, or the name if it has none.
    pub selector_span: Span,
}

impl Read for IntOrPercent {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        const WHAT: &str = "a whole number of zero or more, or a percentage such as \"25%\"";
        match &node.value {
            Value::Number(text) => match text.parse() {
                Ok(number) => Some(Self::Int(number)),
                Err(_) => expected(node, WHAT, problems),
            },
            Value::String(text) => match text.strip_suffix('%').map(str::parse) {
                Some(Ok(percent)) => Some(Self::Percent(percent)),
                _ => expected(node, WHAT, problems),
            },
            _ => expected(node, WHAT, problems),
        }
    }
}

/// Reads one.
pub(super) fn read(document: &Document, cx: &mut Cx<'_>) -> Option<PdbManifest> {
    let meta = Meta::read(document, cx)?;
    if document.api_version == "policy/v1beta1" {
        cx.push(
            Diagnostic::warning("policy/v1beta1 is served by no Kubernetes since 1.25: read as policy/v1")
                .at(&document.kind_span, "of an old API version")
                .note("in policy/v1 an empty selector selects every pod of the namespace, in policy/v1beta1 it selected none"),
        );
    }
    let empty = Node { value: Value::Map(Vec::new()), span: meta.name.span.clone() };
    let spec = document.node.get("spec").unwrap_or(&empty);
    let selector = spec.get("selector").map(|node| selector::read(node, cx));
    let min: Option<IntOrPercent> = cx.field(spec, "minAvailable");
    let max: Option<IntOrPercent> = cx.field(spec, "maxUnavailable");
    let budget = match (min, max) {
        (Some(_), Some(_)) => {
            // Source: pkg/apis/policy/validation/validation.go ValidatePodDisruptionBudgetSpec (v1.36).
            let at = |key: &str| spec.get(key).map_or(&spec.span, |n| &n.span);
            cx.push(
                Diagnostic::error("a PodDisruptionBudget cannot have both `minAvailable` and `maxUnavailable`")
                    .at(at("maxUnavailable"), "the apiserver refuses both together")
                    .and_at(at("minAvailable"), "the other one"),
            );
            return None;
        }
        (Some(min), None) => Budget::MinAvailable(min),
        (None, Some(max)) => Budget::MaxUnavailable(max),
        (None, None) => Budget::Nothing,
    };
    let policy: Option<String> = cx.field(spec, "unhealthyPodEvictionPolicy");
    let unhealthy = match policy.as_deref() {
        None | Some("IfHealthyBudget") => UnhealthyPodEvictionPolicy::IfHealthyBudget,
        Some("AlwaysAllow") => UnhealthyPodEvictionPolicy::AlwaysAllow,
        Some(other) => {
            let span = spec.get("unhealthyPodEvictionPolicy").map_or(&spec.span, |n| &n.span);
            cx.push(
                Diagnostic::error(format!("unknown unhealthyPodEvictionPolicy `{other}`"))
                    .at(span, "expected IfHealthyBudget or AlwaysAllow"),
            );
            return None;
        }
    };
    Some(PdbManifest {
        pdb: PdbSpec { namespace: meta.namespace, name: meta.name.value, selector, budget, unhealthy },
        selector_span: spec.entry("selector").map_or_else(|| meta.name.span.clone(), |e| e.key_span.clone()),
        span: meta.name.span,
    })
}
