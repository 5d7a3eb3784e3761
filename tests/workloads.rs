//! Whole runs with pods that are not a Deployment's.

use std::path::PathBuf;

use drainsim::scenario::{Input, Memory, Scenario};
use drainsim::simulation::{Outcome, run};

/// A run of the scenario whose `spec` goes on with `spec`, with these manifests.
fn outcome(spec: &str, manifests: &str) -> Outcome {
    let text = format!(
        "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {{name: s}}\nspec:\n  duration: 2m\n  \
         nodes: [{{name: n1}}, {{name: n2}}]\n  apps: [{{profile: nginx, startup: 1s, serviceTime: 10ms}}]\n{spec}\n---\n{manifests}"
    );
    let files = Memory([(PathBuf::from("s.yaml"), text.into_bytes())].into());
    let scenario = Scenario::load_from(&files, &[Input::Path("s.yaml".into())], &[]);
    run(&scenario.unwrap_or_else(|problems| panic!("{problems}")).setup, 1, true)
}

const STATIC: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: proxy-n1, labels: {app: proxy}, annotations: {kubernetes.io/config.mirror: abc}}
spec: {nodeName: n1, containers: [{name: c, image: nginx}]}
---
apiVersion: v1
kind: Service
metadata: {name: proxy}
spec: {selector: {app: proxy}, ports: [{port: 80}]}
"#;

#[test]
fn a_static_pod_outlives_its_mirror() {
    let spec =
        "  traffic: [{service: proxy, rate: 20/s, from: [n2]}]\n  actions: [{at: 10s, deletePod: {name: proxy-n1}}]";
    let outcome = outcome(spec, STATIC);
    assert_eq!(outcome.pods.len(), 1);
    assert!(outcome.pods[0].exists, "the kubelet has made the mirror anew");
    let listens = outcome.trace.entries().iter().all(|e| !format!("{:?}", e.what).starts_with("ListenerClosed"));
    assert!(listens, "and its containers have noticed nothing");
    let ready: Vec<u32> = outcome.services[0].ready_endpoints.iter().map(|(_, n)| *n).collect();
    assert_eq!(ready.last(), Some(&1), "{ready:?}");
}

#[test]
fn a_drain_passes_a_static_pod_by_and_nobody_replaces_a_bare_one() {
    let bare = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: bare}\n\
                spec: {nodeName: n1, containers: [{name: c, image: nginx}]}";
    let outcome = outcome("  actions: [{at: 10s, drain: {node: n1, force: true}}]", &format!("{STATIC}{bare}"));
    let there: Vec<_> = outcome.pods.iter().map(|p| (p.name.as_str(), p.exists)).collect();
    assert_eq!(there, [("proxy-n1", true), ("bare", false)]);
    assert_eq!(outcome.drains[0].exit_code, Some(0));
}

const ORPHAN: &str = r#"
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: nginx}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: stray, labels: {app: other}}
spec: {containers: [{name: c, image: nginx}]}
"#;

#[test]
fn a_stray_pod_that_is_given_the_labels_is_adopted_and_makes_one_too_many() {
    let spec = "  actions: [{at: 10s, labelPod: {name: stray, labels: {app: web}, overwrite: true}}]";
    let outcome = outcome(spec, ORPHAN);
    assert_eq!(outcome.pods.len(), 3, "nothing is made");
    assert_eq!(outcome.pods.iter().filter(|p| p.exists).count(), 2, "one of three is deleted");
}

#[test]
fn without_overwrite_a_label_that_is_there_stays() {
    let spec = "  actions: [{at: 10s, labelPod: {name: stray, labels: {app: web}}}]";
    let outcome = outcome(spec, ORPHAN);
    assert!(outcome.pods.iter().all(|p| p.exists));
}

#[test]
fn nodes_have_the_labels_that_kubelets_give_them_and_a_pod_without_a_place_is_told_why() {
    let web = |selector: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 3\n  selector: {{matchLabels: {{app: web}}}}\n  \
             template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      nodeSelector: {selector}\n      \
             containers: [{{name: c, image: \"nginx:1.27\"}}]\n"
        )
    };
    let plain = outcome("", &web("{kubernetes.io/os: linux, kubernetes.io/arch: amd64}"));
    assert!(plain.pods.iter().all(|p| p.node.is_some()) && plain.warnings.is_empty(), "{:?}", plain.warnings);
    let windows = outcome("", &web("{kubernetes.io/os: windows}"));
    let why = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector";
    assert!(windows.pods.iter().all(|p| p.node.is_none() && p.unschedulable == why), "{:?}", windows.pods);
    assert!(
        matches!(&windows.warnings[..], [one] if one.ends_with(&format!("2 other pods start Pending: {why}"))),
        "{:?}",
        windows.warnings
    );
}
