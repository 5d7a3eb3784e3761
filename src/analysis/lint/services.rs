//! Services that lead nowhere, or to the wrong pods.

use crate::analysis::lint::cluster::{Cluster, text};
use crate::analysis::lint::rule::{Rule, Sink};
use crate::scenario::diagnostic::Severity;
use crate::scenario::tree::{Node, Value};

pub(super) static SELECTS_NOTHING: Rule = Rule {
    id: "service-selects-nothing",
    severity: Severity::Warning,
    summary: "a Service whose selector matches no pod",
    why: "It has no endpoint: every connection to it is rejected. A Service selects pods of its own namespace by the labels of \
          their template.",
    fix: "selector: ...   # the labels of the pod template",
    source: "pkg/controller/endpointslice/endpointslice_controller.go syncService; pkg/proxy/iptables/proxier.go",
    check: selects_nothing,
};

fn selects_nothing(cluster: &Cluster<'_>, sink: &mut Sink) {
    if cluster.workloads.is_empty() {
        return;
    }
    for service in &cluster.services {
        let Some(selector) = &service.selector else { continue };
        if cluster.selected(&service.namespace, selector).next().is_some() {
            continue;
        }
        let place = service.spec.entry("selector").map_or(&service.span, |e| &e.key_span);
        let message = format!("the Service {}/{} selects no pod of the input", service.namespace, service.name);
        let elsewhere = cluster.workloads.iter().find(|w| selector.matches(&w.labels));
        let here = cluster.workloads.iter().find(|w| w.namespace == service.namespace);
        let finding = sink.push(message, place, "");
        if let Some(workload) = elsewhere {
            finding
                .and_at(&workload.span, format!("it would select this one, of the namespace {}", workload.namespace));
            finding.fix(format!("metadata: {{namespace: {}}}", workload.namespace));
        } else if let Some(workload) = here {
            let labels: Vec<String> = workload.labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            finding.and_at(&workload.span, "its pods have other labels");
            finding.fix(format!("selector: {{{}}}   # if it is {}", labels.join(", "), workload.title()));
        }
    }
}

pub(super) static PORT_NAME: Rule = Rule {
    id: "service-port-unknown",
    severity: Severity::Warning,
    summary: "a Service whose targetPort names a port that its pods do not have",
    why: "The pods become endpoints without a port: nothing is routed to them.",
    fix: "targetPort: ...   # a name under `ports` of the container, or a number",
    source: "k8s.io/endpointslice/utils.go getEndpointPorts; pkg/api/v1/pod/util.go FindPort",
    check: |cluster, sink| {
        for service in &cluster.services {
            let led: Vec<_> = cluster.workloads.iter().filter(|w| service.leads_to(w)).collect();
            for port in service.spec.get("ports").map(Node::items).unwrap_or_default() {
                let Some((name, node)) = port.get("targetPort").and_then(|n| Some((n.as_str()?, n))) else { continue };
                let has = |w: &crate::analysis::lint::cluster::Workload<'_>| {
                    let inits = w.pod.get("initContainers").map(Node::items).unwrap_or_default();
                    let all = w.pod.get("containers").map(Node::items).unwrap_or_default().iter().chain(inits);
                    all.flat_map(|c| c.get("ports").map(Node::items).unwrap_or_default())
                        .any(|p| text(p, "name") == name)
                };
                for workload in led.iter().filter(|w| !has(w)) {
                    let message = format!("the pods of {} have no port named `{name}`", workload.title());
                    sink.push(message, &node.span, "").and_at(&workload.span, "no container of it has that port");
                }
            }
        }
    },
};

pub(super) static PUBLISHES_NOT_READY: Rule = Rule {
    id: "service-publishes-not-ready",
    severity: Severity::Warning,
    summary: "a Service that leads to pods which are not Ready, or going",
    why: "With publishNotReadyAddresses every endpoint counts as ready, also while its pod starts and while it terminates: new \
          connections come to pods that do not listen. preStop does not help, since the route stays until the pod is gone.",
    fix: "publishNotReadyAddresses: false",
    source: "k8s.io/endpointslice/utils.go podToEndpoint",
    check: |cluster, sink| {
        for service in cluster.services.iter().filter(|s| !s.is_headless()) {
            let field = service.spec.get("publishNotReadyAddresses").filter(|n| n.value == Value::Bool(true));
            let Some(field) = field else { continue };
            let message = format!("the Service {}/{} routes to pods that are going", service.namespace, service.name);
            sink.push(message, &field.span, "meant for headless Services of peers that must find each other early");
        }
    },
};
