//! PodDisruptionBudgets that block, do nothing, or do something else than they seem to.

use crate::analysis::lint::cluster::{Budget, Cluster, Workload, text};
use crate::analysis::lint::rule::{Rule, Sink};
use crate::api::IntOrPercent;
use crate::scenario::diagnostic::Severity;
use crate::scenario::source::Span;
use crate::scenario::tree::Node;

pub(super) static ALLOWS_NOTHING: Rule = Rule {
    id: "pdb-allows-nothing",
    severity: Severity::Warning,
    summary: "a PodDisruptionBudget that never allows an eviction",
    why: "Every eviction is refused with 429, and kubectl drain asks again every 5 s until its --timeout, or for ever. A \
          percentage is rounded up to whole pods.",
    fix: "maxUnavailable: 1",
    source: "pkg/controller/disruption/disruption.go getExpectedPodCount, updatePdbStatus; \
             pkg/registry/core/pod/storage/eviction.go checkAndDecrement",
    check: |cluster, sink| each_verdict(cluster, sink, Verdict::Nothing),
};

pub(super) static SINGLE_REPLICA: Rule = Rule {
    id: "pdb-single-replica",
    severity: Severity::Warning,
    summary: "a PodDisruptionBudget that protects the only replica",
    why: "The only pod can never be evicted: a drain of its node does not end, and nothing starts a second pod first, \
          because a Deployment surges on rollouts only.",
    fix: "replicas: 2",
    source: "pkg/controller/disruption/disruption.go getExpectedPodCount; pkg/registry/core/pod/storage/eviction.go \
             checkAndDecrement",
    check: |cluster, sink| each_verdict(cluster, sink, Verdict::OnlyOne),
};

pub(super) static AUTOSCALER_MINIMUM: Rule = Rule {
    id: "pdb-hpa-minimum",
    severity: Severity::Warning,
    summary: "an autoscaler may scale down to where its PodDisruptionBudget allows nothing",
    why: "At night, at minReplicas, the budget needs every pod there is: drains that went well by day do not end. The \
          autoscaler does not look at budgets.",
    fix: "maxUnavailable: 1",
    source: "pkg/controller/disruption/disruption.go getExpectedPodCount; \
             pkg/controller/podautoscaler/horizontal.go normalizeDesiredReplicas",
    check: |cluster, sink| each_verdict(cluster, sink, Verdict::NothingAtMinimum),
};

/// What comes of a budget's numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Evictions can be allowed.
    Something,
    Nothing,
    OnlyOne,
    NothingAtMinimum,
}

/// The budget's bound: its field, the value, and where it stands.
fn bound<'b>(budget: &'b Budget<'_>) -> Option<(&'static str, IntOrPercent, &'b Span)> {
    let min = budget.min_available.as_ref().map(|(n, span)| ("minAvailable", *n, span));
    min.or_else(|| budget.max_unavailable.as_ref().map(|(n, span)| ("maxUnavailable", *n, span)))
}

/// How many of so many pods may go when all are healthy.
///
/// Source: `pkg/controller/disruption/disruption.go` getExpectedPodCount (v1.36): percentages are rounded up.
fn allowed(bound: (&str, IntOrPercent), pods: u32) -> u32 {
    match bound {
        ("minAvailable", n) => pods.saturating_sub(n.scaled_up(pods)),
        (_, n) => n.scaled_up(pods).min(pods),
    }
}

fn verdict(budget: &Budget<'_>, guarded: &[&Workload<'_>]) -> Verdict {
    let Some((field, n, _)) = bound(budget) else { return Verdict::Nothing };
    if guarded.iter().any(|w| !w.has_scale()) {
        // Another rule's case, or nobody knows the number of pods.
        return Verdict::Something;
    }
    let now: u32 = guarded.iter().map(|w| w.replicas).sum();
    let fewest: u32 = guarded.iter().map(|w| w.fewest()).sum();
    let scales = guarded.iter().any(|w| w.autoscaler.is_some());
    let hopeless = matches!(
        (field, n),
        ("minAvailable", IntOrPercent::Percent(100..))
            | ("maxUnavailable", IntOrPercent::Int(0) | IntOrPercent::Percent(0))
    );
    match fewest {
        0 => Verdict::Something,
        1 if allowed((field, n), 1) == 0 && !scales => Verdict::OnlyOne,
        _ if hopeless || (!scales && allowed((field, n), now) == 0) => Verdict::Nothing,
        _ if scales && allowed((field, n), fewest) == 0 => Verdict::NothingAtMinimum,
        _ => Verdict::Something,
    }
}

fn each_verdict(cluster: &Cluster<'_>, sink: &mut Sink, wanted: Verdict) {
    for budget in &cluster.budgets {
        let guarded: Vec<&Workload<'_>> = cluster.guarded(budget).collect();
        let Some(first) = guarded.first() else { continue };
        if is_refused(budget) || verdict(budget, &guarded) != wanted {
            continue;
        }
        let name = format!("{}/{}", budget.namespace, budget.name);
        let Some((field, n, span)) = bound(budget) else {
            sink.push(
                format!("the budget {name} has neither minAvailable nor maxUnavailable: it allows nothing"),
                &budget.span,
                "",
            )
            .fix("spec:\n  maxUnavailable: 1");
            continue;
        };
        let pods: u32 = guarded.iter().map(|w| w.replicas).sum();
        let whose = match guarded[..] {
            [one] => one.title(),
            _ => format!("{} workloads", guarded.len()),
        };
        let finding = match wanted {
            Verdict::OnlyOne => {
                let message = format!("the budget {name} protects the only replica of {whose}");
                let finding = sink.push(message, span, format!("{field}: {n} of 1 pod lets none go"));
                finding.fix("replicas: 2                # in the workload; then the budget can let one go\n# or, where an outage at each drain is acceptable, in the budget:\nmaxUnavailable: 1          # instead of what is there now")
            }
            Verdict::NothingAtMinimum => {
                let Some(scaled) = guarded.iter().find_map(|w| w.autoscaler.as_ref()) else { continue };
                let fewest: u32 = guarded.iter().map(|w| w.fewest()).sum();
                let message = format!(
                    "the autoscaler {} may go down to {}, and then the budget {name} allows nothing",
                    scaled.name, scaled.minimum
                );
                let finding = sink.push(message, span, format!("{field}: {n} of {fewest} lets none go"));
                finding.and_at(&scaled.span, "the fewest replicas");
                finding.fix(format!(
                    "maxUnavailable: 1          # in the budget, instead of {field}: it follows the number of replicas\nminReplicas: {}             # or so in the autoscaler",
                    fewest + 1
                ))
            }
            _ => {
                let label = match n {
                    IntOrPercent::Percent(1..=99) => {
                        let up = n.scaled_up(pods);
                        format!("{n} of {pods} pods, rounded up, is {up}")
                    }
                    _ => format!("{field}: {n} of {pods} pods lets none go"),
                };
                let finding = sink.push(format!("the budget {name} never lets a pod of {whose} go"), span, label);
                finding.fix(format!("maxUnavailable: 1          # instead of {field}: {n}"))
            }
        };
        finding.and_at(first.replicas_place(), format!("{} wanted here", replicas(first.replicas)));
    }
}

fn replicas(count: u32) -> String {
    if count == 1 { "1 replica".to_string() } else { format!("{count} replicas") }
}

pub(super) static SELECTS_NOTHING: Rule = Rule {
    id: "pdb-selects-nothing",
    severity: Severity::Warning,
    summary: "a PodDisruptionBudget that selects no pod",
    why: "It protects nothing: evictions of the pods it was meant for are allowed, all at once. A budget selects pods of its \
          own namespace by the labels of their template, not of their Deployment.",
    fix: "selector: {matchLabels: ...}   # the labels of the pod template",
    source: "pkg/registry/core/pod/storage/eviction.go getPodDisruptionBudgets; \
             pkg/controller/disruption/disruption.go getPodsForPdb",
    check: selects_nothing,
};

fn selects_nothing(cluster: &Cluster<'_>, sink: &mut Sink) {
    if cluster.workloads.is_empty() {
        return;
    }
    for budget in &cluster.budgets {
        if cluster.guarded(budget).next().is_some() {
            continue;
        }
        let name = format!("{}/{}", budget.namespace, budget.name);
        let Some(selector) = &budget.selector else {
            sink.push(format!("the budget {name} has no selector: it selects nothing"), &budget.span, "");
            continue;
        };
        let place = budget.spec.entry("selector").map_or(&budget.span, |e| &e.key_span);
        let elsewhere = cluster.workloads.iter().find(|w| selector.matches(&w.labels));
        let same_namespace = cluster.workloads.iter().find(|w| w.namespace == budget.namespace);
        let finding = sink.push(format!("the budget {name} selects no pod of the input"), place, "");
        if let Some(workload) = elsewhere {
            finding
                .and_at(&workload.span, format!("it would select this one, of the namespace {}", workload.namespace));
            finding.fix(format!("metadata: {{namespace: {}}}", workload.namespace));
        } else if let Some(workload) = same_namespace {
            finding.and_at(&workload.span, format!("the labels of its pods: {}", shown(workload)));
            finding.fix(format!("selector: {{matchLabels: {{{}}}}}", shown(workload).replace('=', ": ")));
        }
    }
}

fn shown(workload: &Workload<'_>) -> String {
    let labels: Vec<String> = workload.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if labels.is_empty() { "none".to_string() } else { labels.join(", ") }
}

pub(super) static SELECTS_EVERYTHING: Rule = Rule {
    id: "pdb-selects-everything",
    severity: Severity::Warning,
    summary: "a PodDisruptionBudget with an empty selector",
    why: "In policy/v1 an empty selector selects every pod of the namespace. The budget counts them all together, so that one \
          application may lose all its pods, or a sick one blocks the others; and a second budget makes evictions fail with 500.",
    fix: "selector: {matchLabels: ...}   # the labels of one application",
    source: "k8s.io/api/policy/v1/types.go PodDisruptionBudgetSpec; pkg/registry/core/pod/storage/eviction.go \
             getPodDisruptionBudgets",
    check: |cluster, sink| {
        for budget in &cluster.budgets {
            let is_empty = budget.selector.as_ref().is_some_and(|s| s.requirements.is_empty());
            let Some(entry) = budget.spec.entry("selector").filter(|_| is_empty) else { continue };
            let count = cluster.guarded(budget).count();
            let message = format!("the budget {} selects every pod of the namespace {}", budget.name, budget.namespace);
            sink.push(
                message,
                &entry.key_span,
                format!("of {count} workload{} here", if count == 1 { "" } else { "s" }),
            );
        }
    },
};

pub(super) static OVERLAP: Rule = Rule {
    id: "pdb-overlap",
    severity: Severity::Error,
    summary: "two PodDisruptionBudgets select the same pod",
    why: "The eviction API does not decide between budgets: it answers 500, and kubectl drain gives up on the node.",
    fix: "delete one of the budgets, or make their selectors disjoint",
    source: "pkg/registry/core/pod/storage/eviction.go Create",
    check: |cluster, sink| {
        for workload in &cluster.workloads {
            let budgets: Vec<_> = cluster.budgets_of(workload).collect();
            let [first, others @ ..] = &budgets[..] else { continue };
            for other in others {
                let message = format!(
                    "the budgets {} and {} both select the pods of {}",
                    first.name,
                    other.name,
                    workload.title()
                );
                let finding = sink.push(message, &other.span, "no pod of both can be evicted");
                finding.and_at(&first.span, "the other one");
                finding.and_at(&workload.span, "whose pods they are");
                finding.fix(format!("kubectl delete pdb -n {} {}", other.namespace, other.name));
            }
        }
    },
};

pub(super) static WITHOUT_SCALE: Rule = Rule {
    id: "pdb-without-scale",
    severity: Severity::Warning,
    summary: "a percentage or maxUnavailable over pods whose controller has no scale",
    why: "Percentages and maxUnavailable are taken of spec.replicas of the pods' controllers. A DaemonSet or Job has none: the \
          budget fails to sync and allows nothing. Pods without a controller count for nothing.",
    fix: "minAvailable: 1            # a number: it is counted in pods",
    source: "pkg/controller/disruption/disruption.go getExpectedScale, failSafe",
    check: |cluster, sink| {
        for budget in &cluster.budgets {
            let Some((field, n, span)) = bound(budget).filter(|_| !is_refused(budget)) else { continue };
            if matches!((field, n), ("minAvailable", IntOrPercent::Int(_))) {
                continue;
            }
            // Pods without a controller beside others only do not count; alone they leave nothing to take from.
            let all_bare = cluster.guarded(budget).all(|w| w.kind == "Pod");
            let odd = cluster.guarded(budget).find(|w| !w.has_scale() && (w.kind != "Pod" || all_bare));
            let Some(workload) = odd else { continue };
            let message = format!("the budget {} cannot be computed for {}", budget.name, workload.title());
            let finding = sink.push(message, span, format!("{field}: {n} of what?"));
            finding.and_at(&workload.span, "this has no number of replicas");
        }
    },
};

pub(super) static UNHEALTHY_POLICY: Rule = Rule {
    id: "pdb-unhealthy-policy",
    severity: Severity::Info,
    summary: "pods that are not Ready can block a drain",
    why: "Under IfHealthyBudget, the default, a pod that is not Ready can be evicted only while the application has all the \
          healthy pods that the budget wants. One that crashes for ever blocks drains for ever.",
    fix: "unhealthyPodEvictionPolicy: AlwaysAllow",
    source: "pkg/registry/core/pod/storage/eviction.go Create; k8s.io/api/policy/v1/types.go UnhealthyPodEvictionPolicyType",
    check: |cluster, sink| {
        for budget in &cluster.budgets {
            if text(budget.spec, "unhealthyPodEvictionPolicy") == "AlwaysAllow"
                || cluster.guarded(budget).next().is_none()
            {
                continue;
            }
            let place = budget.spec.get("unhealthyPodEvictionPolicy").map_or(&budget.span, |n| &n.span);
            let message = format!("pods of the budget {} that are not Ready can block drains", budget.name);
            sink.push(message, place, "").fix("spec:\n  unhealthyPodEvictionPolicy: AlwaysAllow");
        }
    },
};

pub(super) static MIN_READY_SECONDS: Rule = Rule {
    id: "pdb-ignores-min-ready-seconds",
    severity: Severity::Info,
    summary: "a budget does not wait for minReadySeconds",
    why: "A budget counts pods that are Ready, not pods that are available: a drain takes the next pod as soon as the \
          replacement is Ready. minReadySeconds slows rollouts down, not drains.",
    fix: "let the readiness probe fail until the pod can take its full load",
    source: "pkg/controller/disruption/disruption.go countHealthyPods",
    check: |cluster, sink| {
        for workload in &cluster.workloads {
            let Some(node) = workload.spec.get("minReadySeconds").filter(|n| n.span.text() != "0") else { continue };
            let Some(budget) = cluster.budgets_of(workload).next() else { continue };
            let message = format!("drains of {} do not wait for its minReadySeconds", workload.title());
            sink.push(message, &node.span, "only rollouts wait for this")
                .and_at(&budget.span, "this counts Ready pods");
        }
    },
};

pub(super) static REFUSED: Rule = Rule {
    id: "pdb-refused",
    severity: Severity::Error,
    summary: "a PodDisruptionBudget that the apiserver refuses",
    why: "The object is not created, so nothing is protected.",
    fix: "write policy/v1, with either minAvailable or maxUnavailable",
    source: "pkg/apis/policy/validation/validation.go ValidatePodDisruptionBudgetSpec; policy/v1beta1 was removed in 1.25",
    check: |cluster, sink| {
        for budget in &cluster.budgets {
            if let (Some((min, first)), Some((_, second))) = (&budget.min_available, &budget.max_unavailable) {
                let message = format!("the budget {} has both minAvailable and maxUnavailable", budget.name);
                let finding = sink.push(message, second, "the second one");
                finding
                    .and_at(first, "the first one")
                    .fix(format!("minAvailable: {min}            # and nothing else"));
            }
            if budget.document.api_version == "policy/v1beta1" {
                let message =
                    format!("the budget {} is written in policy/v1beta1, which no cluster serves", budget.name);
                let place = budget.document.node.get("apiVersion").map_or(&budget.span, |n: &Node| &n.span);
                let finding = sink.push(message, place, "removed in 1.25");
                finding.note("an empty selector selected nothing there; in policy/v1 it selects everything");
                finding.fix("apiVersion: policy/v1");
            }
        }
    },
};

fn is_refused(budget: &Budget<'_>) -> bool {
    budget.min_available.is_some() && budget.max_unavailable.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use IntOrPercent::{Int, Percent};

    #[test]
    fn how_many_may_go() {
        for (field, n, pods, expected) in [
            ("minAvailable", Int(1), 2, 1),
            ("minAvailable", Int(3), 3, 0),
            ("minAvailable", Int(5), 3, 0),
            ("minAvailable", Percent(50), 3, 1),
            ("minAvailable", Percent(90), 5, 0),
            ("minAvailable", Percent(80), 5, 1),
            ("minAvailable", Percent(100), 50, 0),
            ("maxUnavailable", Int(0), 3, 0),
            ("maxUnavailable", Int(9), 3, 3),
            ("maxUnavailable", Percent(1), 3, 1),
            ("maxUnavailable", Percent(0), 3, 0),
        ] {
            assert_eq!(allowed((field, n), pods), expected, "{field}: {n} of {pods}");
        }
    }
}
