//! How many replicas there are, where they are, and how many may go at once.

use crate::analysis::lint::cluster::{Cluster, read, text};
use crate::analysis::lint::rule::{Rule, Sink};
use crate::api::IntOrPercent;
use crate::scenario::diagnostic::Severity;
use crate::scenario::tree::Node;

pub(super) static SINGLE: Rule = Rule {
    id: "single-replica",
    severity: Severity::Warning,
    summary: "a single replica behind a Service",
    why: "When its pod is evicted the replacement is created at that moment: there is no endpoint until that one has been \
          scheduled, started and found Ready.",
    fix: "replicas: 2",
    source: "pkg/controller/replicaset/replica_set.go manageReplicas; pkg/controller/controller_utils.go IsPodActive",
    check: |cluster, sink| {
        for (workload, service) in cluster.served() {
            if !matches!(workload.kind.as_str(), "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController")
                || workload.fewest() != 1
            {
                continue;
            }
            let message = format!("{} has one pod: its Service is down while that is replaced", workload.title());
            let place = workload.autoscaler.as_ref().map_or(workload.replicas_place(), |a| &a.span);
            let finding = sink.push(message, place, "1 replica");
            finding.and_at(&service.span, "clients come through this Service");
            if workload.autoscaler.is_some() {
                finding.fix("minReplicas: 2");
            }
        }
    },
};

pub(super) static NO_BUDGET: Rule = Rule {
    id: "no-pdb",
    severity: Severity::Info,
    summary: "several replicas behind a Service and no PodDisruptionBudget",
    why: "Nothing keeps drains from evicting all of them at the same time: those of one node go at once, and so do those of \
          nodes that are drained together.",
    fix: "a PodDisruptionBudget with maxUnavailable: 1",
    source: "pkg/registry/core/pod/storage/eviction.go Create",
    check: |cluster, sink| {
        for (workload, _) in cluster.served() {
            if !workload.has_scale() || workload.fewest() < 2 || cluster.budgets_of(workload).next().is_some() {
                continue;
            }
            let labels: Vec<String> = workload.labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            let message = format!("no budget limits how many pods of {} go at once", workload.title());
            sink.push(message, &workload.span, "").fix(format!(
                "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {}, namespace: {}}}\nspec: {{maxUnavailable: 1, selector: {{matchLabels: {{{}}}}}}}",
                workload.name,
                workload.namespace,
                labels.join(", ")
            ));
        }
    },
};

pub(super) static RECREATE: Rule = Rule {
    id: "rollout-recreate",
    severity: Severity::Warning,
    summary: "the strategy Recreate behind a Service",
    why: "On a rollout all old pods go first, and new ones are created when the last of them is gone: the Service has no endpoint \
          for a grace period and a start.",
    fix: "strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}",
    source: "pkg/controller/deployment/recreate.go rolloutRecreate",
    check: |cluster, sink| {
        for (workload, service) in cluster.served() {
            let strategy = workload.spec.at(&["strategy", "type"]).filter(|n| n.as_str() == Some("Recreate"));
            let Some(strategy) = strategy.filter(|_| workload.kind == "Deployment") else { continue };
            let message = format!("each rollout of {} takes its Service down", workload.title());
            sink.push(message, &strategy.span, "").and_at(&service.span, "clients come through this Service");
        }
    },
};

pub(super) static ALL_AT_ONCE: Rule = Rule {
    id: "rollout-all-at-once",
    severity: Severity::Warning,
    summary: "a rolling update that may take all pods at once",
    why: "maxUnavailable is as large as the number of replicas: a rollout deletes all old pods before a new one is Ready. \
          Budgets do not apply to rollouts.",
    fix: "strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}",
    source: "pkg/controller/deployment/rolling.go reconcileOldReplicaSets; util/deployment_util.go ResolveFenceposts",
    check: all_at_once,
};

fn all_at_once(cluster: &Cluster<'_>, sink: &mut Sink) {
    for (workload, service) in cluster.served() {
        let field = workload.spec.at(&["strategy", "rollingUpdate", "maxUnavailable"]);
        let Some(field) = field.filter(|_| workload.kind == "Deployment") else { continue };
        let Some(value) = read::<IntOrPercent>(field) else { continue };
        let replicas = workload.fewest();
        // One replica with a surge of at least 1 is the rule about single replicas' business.
        if replicas == 0 || value.scaled_down(replicas) < replicas {
            continue;
        }
        let message = format!("a rollout may take all {replicas} pods of {} at once", workload.title());
        sink.push(message, &field.span, format!("{value} of {replicas}"))
            .and_at(&service.span, "clients come through this Service");
    }
}

pub(super) static ON_ONE_NODE: Rule = Rule {
    id: "replicas-on-one-node",
    severity: Severity::Info,
    summary: "nothing keeps all replicas from running on one node",
    why: "The scheduler prefers to spread the pods of a Service, and fills whatever node is free. When that node is drained, or \
          lost, all replicas go together. Nothing moves them apart afterwards.",
    fix: "topologySpreadConstraints over kubernetes.io/hostname, with whenUnsatisfiable: DoNotSchedule",
    source: "pkg/scheduler/framework/plugins/podtopologyspread/plugin.go; pkg/scheduler/apis/config/v1/default_plugins.go",
    check: |cluster, sink| {
        for (workload, _) in cluster.served() {
            if !workload.has_scale() || workload.fewest() < 2 || keeps_apart(workload.pod) {
                continue;
            }
            let labels: Vec<String> = workload.labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            let message = format!("all {} pods of {} may run on one node", workload.fewest(), workload.title());
            sink.push(message, &workload.span, "").fix(format!(
                "topologySpreadConstraints:\n- maxSkew: 1\n  topologyKey: kubernetes.io/hostname\n  whenUnsatisfiable: DoNotSchedule\n  labelSelector: {{matchLabels: {{{}}}}}",
                labels.join(", ")
            ));
        }
    },
};

/// Whether the pods must not all be on one node.
fn keeps_apart(pod: &Node) -> bool {
    let spreads = pod.get("topologySpreadConstraints").map(Node::items).unwrap_or_default();
    let required = spreads.iter().any(|c| text(c, "whenUnsatisfiable") != "ScheduleAnyway");
    let anti = pod.at(&["affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]);
    required || anti.is_some_and(|terms| !terms.items().is_empty())
}
