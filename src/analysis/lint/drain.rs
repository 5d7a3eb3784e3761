//! What `kubectl drain` and the autoscalers make of pods, apart from budgets.

use crate::analysis::lint::cluster::{Cluster, read};
use crate::analysis::lint::rule::{Rule, Sink};
use crate::api::TaintEffect;
use crate::scenario::diagnostic::Severity;
use crate::scenario::tree::Node;

pub(super) static BARE_POD: Rule = Rule {
    id: "bare-pod",
    severity: Severity::Warning,
    summary: "a pod without a controller",
    why: "kubectl drain refuses the whole node because of it, unless told --force; then the pod is deleted and nobody makes \
          another one.",
    fix: "make it a Deployment with one replica",
    source: "k8s.io/kubectl/pkg/drain/filters.go unreplicatedFilter",
    check: |cluster, sink| {
        for workload in cluster.workloads.iter().filter(|w| w.kind == "Pod") {
            let message = format!("the pod {}/{} is not replaced when it goes", workload.namespace, workload.name);
            sink.push(message, &workload.span, "it has no controller");
        }
    },
};

pub(super) static EMPTY_DIR: Rule = Rule {
    id: "emptydir-data",
    severity: Severity::Info,
    summary: "an emptyDir volume",
    why: "kubectl drain refuses the whole node because of it, unless told --delete-emptydir-data; what is in it is lost with the \
          pod.",
    fix: "kubectl drain --delete-emptydir-data, if the data may be lost; else a persistent volume",
    source: "k8s.io/kubectl/pkg/drain/filters.go localStorageFilter",
    check: |cluster, sink| {
        // Pods of DaemonSets are passed by before their volumes are looked at.
        for workload in cluster.workloads.iter().filter(|w| w.kind != "DaemonSet") {
            let volumes = workload.pod.get("volumes").map(Node::items).unwrap_or_default();
            let Some(entry) = volumes.iter().find_map(|v| v.entry("emptyDir")) else { continue };
            let message = format!("{} needs kubectl drain --delete-emptydir-data", workload.title());
            sink.push(message, &entry.key_span, "");
        }
    },
};

pub(super) static DAEMON_SET_TAINTS: Rule = Rule {
    id: "daemonset-not-everywhere",
    severity: Severity::Warning,
    summary: "a DaemonSet that does not tolerate the taints of some nodes",
    why: "It has no pod there; a taint with NoExecute also evicts the one that runs, without asking any budget. Only the taints \
          that Kubernetes sets itself (not-ready, unreachable, pressure, unschedulable) are tolerated without being named.",
    fix: "tolerations: [{operator: Exists}]",
    source: "pkg/controller/daemon/daemon_controller.go NodeShouldRunDaemonPod; util/daemonset_util.go \
             AddOrUpdateDaemonPodTolerations",
    check: daemon_set_taints,
};

fn daemon_set_taints(cluster: &Cluster<'_>, sink: &mut Sink) {
    for workload in cluster.workloads.iter().filter(|w| w.kind == "DaemonSet") {
        // Where it is told to run, it is told where not to.
        if workload.pod.get("nodeSelector").is_some() || workload.pod.at(&["affinity", "nodeAffinity"]).is_some() {
            continue;
        }
        let tolerations = workload.tolerations();
        let mut missing: Vec<(String, Vec<&str>)> = Vec::new();
        for (node, taints) in &cluster.nodes {
            let of_kubernetes = |key: &str| key.starts_with("node.kubernetes.io/");
            let unmet = taints.iter().filter(|t| t.effect != TaintEffect::PreferNoSchedule && !of_kubernetes(&t.key));
            for taint in unmet.filter(|taint| !tolerations.iter().any(|t| t.tolerates(taint))) {
                let value = if taint.value.is_empty() { String::new() } else { format!("={}", taint.value) };
                let text = format!("{}{value}:{:?}", taint.key, taint.effect);
                match missing.iter_mut().find(|(known, _)| *known == text) {
                    Some((_, nodes)) => nodes.push(node),
                    None => missing.push((text, vec![node])),
                }
            }
        }
        for (taint, nodes) in missing {
            let who = match nodes[..] {
                [one] => one.to_string(),
                [first, ..] => format!("{first} and {} more", nodes.len() - 1),
                [] => continue,
            };
            let message = format!("{} has no pod on {who}", workload.title());
            let finding = sink.push(message, &workload.span, format!("does not tolerate {taint}"));
            finding.fix("tolerations:\n- operator: Exists          # every taint; or name the one that is meant");
        }
    }
}

pub(super) static AUTOSCALER_VETO: Rule = Rule {
    id: "autoscaler-veto",
    severity: Severity::Info,
    summary: "a pod that keeps cluster autoscalers from removing its node",
    why: "The annotation makes cluster-autoscaler or Karpenter leave the node alone. kubectl drain does not know it and evicts \
          the pod all the same.",
    fix: "use a PodDisruptionBudget where evictions, too, should be limited",
    source: "cluster-autoscaler/simulator/drainability/rules/notsafetoevict (kubernetes/autoscaler); \
             karpenter.sh/do-not-disrupt: Karpenter's documentation, Disruption",
    check: |cluster, sink| {
        let vetoes =
            [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")];
        for workload in &cluster.workloads {
            let annotations = workload.pod_metadata.and_then(|m| m.get("annotations")).map(Node::entries);
            for entry in annotations.unwrap_or_default() {
                let value: Option<String> = read(&entry.node);
                if vetoes.iter().any(|(key, veto)| entry.key == *key && value.as_deref() == Some(veto)) {
                    let message = format!("autoscalers leave a node alone as long as {} is on it", workload.title());
                    sink.push(message, &entry.key_span, "kubectl drain does not look at this");
                }
            }
        }
    },
};
