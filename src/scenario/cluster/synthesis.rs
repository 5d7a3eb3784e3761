//! The scenario that nobody has to write: the version, the clients and the applications.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::api::{Labels, Version};
use crate::scenario::cluster::question::{AppOf, Question};
use crate::scenario::cluster::{document, labels, of_kind};
use crate::scenario::compile::some_of;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::document::Document;
use crate::scenario::file::{API_VERSION, KIND};
use crate::scenario::suggest;
use crate::scenario::tree::Node;

/// The longest that is ever simulated; a run of a drain ends when the drain has.
const DURATION: &str = "6h";

/// A request without an answer after this time has failed.
const TIMEOUT: &str = "10s";

/// Makes the scenario; its actions come later.
pub(super) fn scenario(
    documents: &[Document],
    question: &Question,
    nodes: &[String],
    version: Version,
    assumptions: &mut Vec<String>,
    problems: &mut Diagnostics,
) -> Option<Document> {
    let spec = json!({
        "kubernetes": version.to_string(),
        "duration": DURATION,
        "traffic": traffic(documents, question, nodes, assumptions, problems),
        "apps": apps(documents, question, problems),
    });
    let scenario = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "drain"}, "spec": spec});
    document("the command line", &scenario.to_string(), problems)
}

/// One stream to each Service of which a pod is on the nodes: nobody else can lose anything.
fn traffic(
    documents: &[Document],
    question: &Question,
    nodes: &[String],
    assumptions: &mut Vec<String>,
    problems: &mut Diagnostics,
) -> Vec<Value> {
    let concerned = concerned_labels(documents, nodes);
    let (mut streams, mut silent, mut headless, mut assumed) = (Vec::new(), 0, Vec::new(), 0);
    let mut said: BTreeSet<&str> = question.rates.iter().map(|r| r.service.as_str()).collect();
    for service in of_kind(documents, "Service").filter(|d| d.group.is_empty()) {
        let name = format!("{}/{}", service.namespace(), service.name());
        let rate = question.rates.iter().rev().find(|r| r.service == name).map(|r| r.rate);
        said.remove(name.as_str());
        let selector = labels(service.node.at(&["spec", "selector"]));
        let selects = |(namespace, pod): &(String, Labels)| {
            *namespace == service.namespace() && selector.iter().all(|(key, value)| pod.get(key) == Some(value))
        };
        if selector.is_empty() {
            if rate.is_some() {
                let message = format!("the Service `{name}` has no selector: its endpoints are not modelled");
                problems.push(Diagnostic::error(message));
            }
            continue;
        }
        if rate.is_none() && !concerned.iter().any(selects) {
            silent += 1;
            continue;
        }
        let is_headless = service.node.at(&["spec", "clusterIP"]).and_then(Node::as_str) == Some("None");
        if is_headless && rate.is_none() {
            headless.push(name);
            continue;
        }
        assumed += usize::from(rate.is_none());
        let rate = rate.unwrap_or(question.rate);
        if rate > 0.0 {
            streams.push(json!({"service": name, "rate": format!("{rate}/s"), "timeout": TIMEOUT}));
        }
    }
    for name in said {
        let known: Vec<String> =
            of_kind(documents, "Service").map(|d| format!("{}/{}", d.namespace(), d.name())).collect();
        let problem = Diagnostic::error(format!("there is no Service `{name}` in the input"));
        problems.push(problem.help(suggest::help(name, "Services", known.iter().map(String::as_str))));
    }
    if assumed > 0 {
        let services = if assumed == 1 { "1 Service gets".to_string() } else { format!("{assumed} Services get") };
        assumptions.push(format!(
            "{services} {} requests a second each, independently spaced, from clients on all nodes, on \
             a new connection each; one without an answer after {TIMEOUT} has failed (`--traffic NAMESPACE/SERVICE=RATE`, \
             `--traffic '*=RATE'`)",
            question.rate
        ));
    }
    if silent > 0 {
        assumptions.push(match silent {
            1 => "1 Service has no pod on the drained nodes: nobody sends requests to it".to_string(),
            n => format!("{n} Services have no pod on the drained nodes: nobody sends requests to them"),
        });
    }
    if !headless.is_empty() {
        assumptions.push(format!(
            "nobody sends requests to headless Services, whose clients find the pods by DNS: {}",
            some_of(&headless)
        ));
    }
    streams
}

/// Namespaces and labels of the pods on these nodes. Without any pods in the input, of all pods that workloads make.
fn concerned_labels(documents: &[Document], nodes: &[String]) -> BTreeSet<(String, Labels)> {
    let on_nodes = |pod: &&Document| {
        let node = pod.node.at(&["spec", "nodeName"]).and_then(Node::as_str);
        node.is_some_and(|node| nodes.iter().any(|n| n == node))
    };
    let mut found: BTreeSet<(String, Labels)> = of_kind(documents, "Pod")
        .filter(on_nodes)
        .map(|d| (d.namespace().to_string(), labels(d.node.at(&["metadata", "labels"]))))
        .collect();
    let with_pods: BTreeSet<&str> = of_kind(documents, "Pod").map(Document::namespace).collect();
    for workload in documents.iter().filter(|d| !with_pods.contains(d.namespace())) {
        if let Some(template) = workload.node.at(&["spec", "template", "metadata", "labels"]) {
            found.insert((workload.namespace().to_string(), labels(Some(template))));
        }
    }
    found
}

fn apps(documents: &[Document], question: &Question, problems: &mut Diagnostics) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut others = Vec::new();
    for app in &question.apps {
        match app {
            AppOf::Labels(labels, profile) => {
                let has = |(_, pod, _): &Template| labels.iter().all(|(key, value)| pod.get(key) == Some(value));
                if !templates(documents).iter().any(has) {
                    let shown: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    problems.push(Diagnostic::error(format!("--app {}: no pod has these labels", shown.join(","))));
                    continue;
                }
                entries.push(json!({"selector": labels, "profile": profile}));
            }
            AppOf::Image(image, profile) => {
                let before = entries.len();
                let found: BTreeSet<(Labels, String)> = templates(documents)
                    .into_iter()
                    .flat_map(|(_, labels, containers)| containers.into_iter().map(move |c| (labels.clone(), c)))
                    .filter(|(_, (_, of))| is_image(of, image))
                    .map(|(labels, (container, _))| (labels, container))
                    .collect();
                for (labels, container) in found {
                    let container = json!({"selector": labels, "container": container, "profile": profile});
                    entries.push(container);
                }
                if entries.len() == before {
                    problems.push(Diagnostic::error(format!("--app image:{image}: no container has this image")));
                }
            }
            AppOf::All(profile) => others.push(json!({"profile": profile})),
        }
    }
    entries.extend(others);
    entries
}

/// Namespace, labels, and names and images of the containers of whatever makes pods.
type Template = (String, Labels, BTreeMap<String, String>);

fn templates(documents: &[Document]) -> Vec<Template> {
    let template = |d: &Document| {
        let root = if d.kind == "Pod" { &d.node } else { d.node.at(&["spec", "template"])? };
        let mut labels = labels(root.at(&["metadata", "labels"]));
        labels.remove("pod-template-hash");
        let containers = root.at(&["spec", "containers"])?.items().iter();
        let text = |c: &Node, key: &str| c.get(key).and_then(Node::as_str).unwrap_or_default().to_string();
        let containers = containers.map(|c| (text(c, "name"), text(c, "image"))).collect();
        Some((d.namespace().to_string(), labels, containers))
    };
    documents.iter().filter_map(template).collect()
}

/// Whether an image is meant: by all of its name, or by the last part of its path; tag and digest do not matter.
fn is_image(image: &str, name: &str) -> bool {
    let without_digest = image.split('@').next().unwrap_or_default();
    let (path, last) = without_digest.rsplit_once('/').map_or(("", without_digest), |(path, last)| (path, last));
    let last = last.split(':').next().unwrap_or_default();
    name == last || name == image || (!path.is_empty() && name == format!("{path}/{last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_by_name() {
        let image = "registry.example.com:5000/team/api:1.2@sha256:0123";
        for name in ["api", "registry.example.com:5000/team/api", image] {
            assert!(is_image(image, name), "{name}");
        }
        assert!(!is_image(image, "ap") && !is_image(image, "team") && is_image("nginx", "nginx"));
    }
}
