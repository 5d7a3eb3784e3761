//! Readiness probes.

use crate::analysis::lint::cluster::{Cluster, int};
use crate::analysis::lint::rule::{Rule, Sink};
use crate::scenario::diagnostic::Severity;

/// From here on a start is slow enough to be told of.
const SLOW_SECONDS: i64 = 30;

/// Well-known ports on which nobody speaks HTTP: MySQL, PostgreSQL, AMQP, Redis, Cassandra, Kafka, memcached, MongoDB.
const NOT_HTTP: [i64; 8] = [3306, 5432, 5672, 6379, 9042, 9092, 11211, 27017];

pub(super) static NO_PROBE: Rule = Rule {
    id: "no-readiness-probe",
    severity: Severity::Warning,
    summary: "no readiness probe on a container behind a Service",
    why: "The pod is Ready as soon as its containers run. It gets connections before its listener is there, and budgets and \
          rollouts go on to the next pod as if it served.",
    fix: "readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 2}",
    source: "pkg/kubelet/prober/prober_manager.go UpdatePodStatus; pkg/kubelet/status/generate.go GeneratePodReadyCondition",
    check: no_probe,
};

fn no_probe(cluster: &Cluster<'_>, sink: &mut Sink) {
    for (workload, service) in cluster.served() {
        let Some(container) = service.serving(workload) else { continue };
        // A startup probe holds readiness back, too.
        if container.node.get("readinessProbe").is_some() || container.node.get("startupProbe").is_some() {
            continue;
        }
        let message = format!("container {} of {} is Ready before it listens", container.name, workload.title());
        let finding = sink.push(message, container.span(), "no readinessProbe");
        finding.and_at(&service.span, "clients come through this Service");
        let ports = container.node.get("ports").map(crate::scenario::tree::Node::items).unwrap_or_default();
        if let Some(port) = ports.first().and_then(|p| int(p, "containerPort")) {
            let probe = if NOT_HTTP.contains(&port) {
                format!("tcpSocket: {{port: {port}}}")
            } else {
                format!("httpGet: {{path: /, port: {port}}}")
            };
            finding.fix(format!("readinessProbe: {{{probe}, periodSeconds: 2}}"));
        }
    }
}

pub(super) static SLOW: Rule = Rule {
    id: "slow-readiness",
    severity: Severity::Info,
    summary: "a readiness probe that waits long before its first attempt",
    why: "However fast the application starts, each replacement is not Ready for that long. Under a budget a drain waits it out \
          once for every pod.",
    fix: "a startupProbe with a short period instead of initialDelaySeconds",
    source: "pkg/kubelet/prober/worker.go doProbe; pkg/controller/disruption/disruption.go countHealthyPods",
    check: |cluster, sink| {
        for workload in cluster.workloads.iter().filter(|w| w.runs_for_ever()) {
            for container in workload.containers() {
                let Some(delay) = container.node.at(&["readinessProbe", "initialDelaySeconds"]) else { continue };
                let seconds: i64 = crate::analysis::lint::cluster::read(delay).unwrap_or(0);
                if seconds < SLOW_SECONDS {
                    continue;
                }
                let message = format!("container {} is not Ready for {seconds} s after each start", container.name);
                sink.push(message, &delay.span, "counted from the container's start").fix(format!(
                    "readinessProbe: {{..., initialDelaySeconds: 0, periodSeconds: 2}}\nstartupProbe: {{..., periodSeconds: 1, failureThreshold: {}}}",
                    seconds * 2
                ));
            }
        }
    },
};
