//! `batch/v1` Job.

use crate::api::job::{PodFailureAction, PodFailureMatch, PodFailurePolicy, PodFailureRule, PodReplacementPolicy};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::Document;
use crate::scenario::manifests::pod::TemplateManifest;
use crate::scenario::manifests::workload::{Common, read_common};
use crate::scenario::manifests::{Cx, Meta};
use crate::scenario::tree::Node;

/// A Job of the manifests.
#[derive(Clone, PartialEq, Debug)]
pub struct JobManifest {
    /// `metadata`.
    pub meta: Meta,
    /// `spec.parallelism`.
    pub parallelism: u32,
    /// `spec.completions`, less those that `status` says have succeeded; `None`: one success is enough.
    pub completions: Option<u32>,
    /// `spec.backoffLimit`.
    pub backoff_limit: u32,
    /// `spec.podReplacementPolicy`.
    pub replacement: PodReplacementPolicy,
    /// `spec.podFailurePolicy`.
    pub failure_policy: Option<PodFailurePolicy>,
    /// `spec.template`.
    pub template: TemplateManifest,
    /// It is complete, has failed, or is suspended: it makes no pods.
    pub idle: bool,
}

/// Defaults: parallelism 1, completions 1 if neither is given, backoffLimit 6; a podFailurePolicy changes the default of
/// podReplacementPolicy (`pkg/apis/batch/v1/defaults.go` SetDefaults_Job, v1.36).
pub(super) fn read(document: &Document, cx: &mut Cx<'_>) -> Option<JobManifest> {
    let Common { meta, spec, template, .. } = read_common(document, cx)?;
    for (key, instead) in [
        ("activeDeadlineSeconds", "the Job may take as long as it likes"),
        ("ttlSecondsAfterFinished", "a Job that has ended stays"),
        ("backoffLimitPerIndex", "failures count against backoffLimit, of all indexes together"),
        ("successPolicy", "the Job is complete when all its completions are there"),
    ] {
        if let Some(field) = spec.get(key) {
            cx.unmodelled.field(key, &field.span, instead);
        }
    }
    if spec.get("completionMode").and_then(Node::as_str) == Some("Indexed") {
        let instead = "its pods are counted as those of a plain Job";
        cx.unmodelled.field("completionMode: Indexed", &spec.span, instead);
    }
    let parallelism: Option<u32> = cx.field(spec, "parallelism");
    let completions: Option<u32> = cx.field(spec, "completions");
    let done: u32 = document.node.get("status").and_then(|status| cx.field(status, "succeeded")).unwrap_or(0);
    let completions = match (parallelism, completions) {
        (None, None) => Some(1),
        (_, completions) => completions,
    };
    let failure_policy = spec.get("podFailurePolicy").map(|node| read_failure_policy(node, cx));
    let default = match failure_policy {
        Some(_) => PodReplacementPolicy::Failed,
        None => PodReplacementPolicy::TerminatingOrFailed,
    };
    let replacement = spec.get("podReplacementPolicy").map_or(default, |node| match node.as_str() {
        Some("TerminatingOrFailed") => PodReplacementPolicy::TerminatingOrFailed,
        Some("Failed") => PodReplacementPolicy::Failed,
        _ => {
            let problem = Diagnostic::error("unknown podReplacementPolicy");
            cx.push(problem.at(&node.span, "expected TerminatingOrFailed or Failed"));
            default
        }
    });
    let conditions = document.node.at(&["status", "conditions"]).map(Node::items).unwrap_or_default();
    let ended = conditions.iter().any(|c| {
        matches!(c.get("type").and_then(Node::as_str), Some("Complete" | "Failed"))
            && c.get("status").and_then(Node::as_str) == Some("True")
    });
    Some(JobManifest {
        parallelism: parallelism.unwrap_or(1),
        completions: completions.map(|n| n.saturating_sub(done)),
        backoff_limit: cx.field(spec, "backoffLimit").unwrap_or(6),
        replacement,
        failure_policy,
        idle: ended || cx.field(spec, "suspend").unwrap_or(false),
        meta,
        template,
    })
}

fn read_failure_policy(node: &Node, cx: &mut Cx<'_>) -> PodFailurePolicy {
    let mut rules = Vec::new();
    for rule in node.get("rules").map(Node::items).unwrap_or_default() {
        let action = match rule.get("action").and_then(Node::as_str) {
            Some("Ignore") => PodFailureAction::Ignore,
            Some("FailJob" | "FailIndex") => PodFailureAction::FailJob,
            _ => PodFailureAction::Count,
        };
        let conditions = rule.get("onPodConditions").map(Node::items).unwrap_or_default();
        let is_disruption = |c: &Node| c.get("type").and_then(Node::as_str) == Some("DisruptionTarget");
        let matches = if conditions.iter().any(is_disruption) {
            PodFailureMatch::DisruptionTarget
        } else {
            let instead = "the rule never matches";
            cx.unmodelled.field("podFailurePolicy rules besides DisruptionTarget", &rule.span, instead);
            PodFailureMatch::Unknown
        };
        rules.push(PodFailureRule { matches, action });
    }
    PodFailurePolicy { rules }
}
