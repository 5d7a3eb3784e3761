//! What loads: manifests as people write them and as clusters hand them out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use drainsim::api::pod::{Hook, HookStep, Signal};
use drainsim::api::{Owner, Version};
use drainsim::engine::{Distribution, Duration, Time};
use drainsim::scenario::{Input, Memory, Scenario, schema};
use drainsim::simulation::Setup;
use drainsim::simulation::found::FoundOwner;
use drainsim::simulation::latency::Hop;
use drainsim::simulation::setup::{ActionKind, Connections, Reaction, When};

fn load_files(files: &[(&str, &str)], sets: &[&str]) -> Scenario {
    let memory = Memory(
        files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect::<BTreeMap<_, _>>(),
    );
    let inputs = [Input::Path(files[0].0.into())];
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_string()).collect();
    Scenario::load_from(&memory, &inputs, &sets).unwrap_or_else(|problems| panic!("{problems}"))
}

fn load(text: &str) -> Scenario {
    load_files(&[("s.yaml", text)], &[])
}

/// A scenario with one node and no traffic, and manifests after it.
fn cluster(spec: &str, manifests: &str) -> Scenario {
    load(&format!(
        "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {{name: s}}\nspec:\n  duration: 1m\n{spec}\n---\n{manifests}"
    ))
}

const EVERYTHING: &str = r#"
# yaml-language-server: $schema=./scenario.schema.json
apiVersion: drainsim/v1alpha1
kind: Scenario
metadata: {name: everything, description: All fields at once, labels: {row: M0}}
spec:
  kubernetes: "1.33"
  duration: 5m
  seed: 7
  nodes:
    - {name: node-1, labels: {zone: a}, capacity: {cpu: 2, memory: 4Gi, pods: 20}}
    - {name: node-2, ready: 30s, taints: ["dedicated=db:NoSchedule", {key: gpu, effect: NoExecute}], unschedulable: true}
    - {name: pool, count: 3}
  apps:
    - selector: {app: web}
      container: web
      profile: graceful
      startup: &startup {p50: 1s, p99: 5s}
      serviceTime: 20ms
      reaction: {mean: 5ms}
      stopSignal: SIGQUIT
      signals: {SIGQUIT: {drain: {linger: 1s, inFlightMax: 10s, work: 2s}}, SIGHUP: ignore}
      keepAliveTimeout: none
      preStop: [{wait: 1s}, {signal: SIGUSR1}, untilExit]
  placement: {web: [node-1, pool-1]}
  traffic:
    - {service: web, rate: 12000/min, arrivals: constant, from: [node-1], timeout: 3s, start: 5s, stop: 4m}
    - {name: pooled, service: default/web, rate: 0.5/s, connections: {keepAlive: {idle: 50, idleTimeout: 60s}}}
  actions:
    - {name: first, at: 10s, drain: {nodes: [node-1, pool-1], force: true, ignoreDaemonsets: true, timeout: 1m, podSelector: "app=web"}}
    - {after: first, wait: 5s, uncordon: node-1}
    - {at: 20s, cordon: {node: pool-2}}
    - {at: 20s, deletePod: {name: web-, gracePeriod: 0}}
    - {at: 20s, scale: {deployment: web, replicas: 3}}
    - {at: 20s, rolloutRestart: {deployment: default/web}}
    - {at: 20s, addNode: {name: late, ready: 1m}}
    - {at: 20s, shutOff: {node: late}}
    - {at: 20s, deleteNode: late}
  latencies: {endpointSliceSync: *startup, kubeProxySync: {min: 0s, max: 1s}}
  kubeProxy: {minSyncPeriod: 10s}
  expect: ["failedRequests == 0"]
---
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  creationTimestamp: null
spec:
  replicas: 2
  minReadySeconds: 5
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, creationTimestamp: null}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
        - name: web
          image: example/web:1
          lifecycle: {preStop: {exec: {command: [/drain]}}}
          resources: {requests: {cpu: 250m, memory: 64Mi}}
          readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 3}
status: {}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}}
"#;

#[test]
fn every_field_arrives() {
    let scenario = load(EVERYTHING);
    let setup = &scenario.setup;
    assert_eq!((scenario.name.as_str(), scenario.seed, setup.version), ("everything", Some(7), Version::minor(33)));
    assert_eq!(scenario.labels["row"], "M0");
    assert_eq!(scenario.expectations[0].span.text(), "\"failedRequests == 0\"");
    assert_eq!(scenario.warnings, []);

    let names: Vec<_> = setup.nodes.iter().map(|n| n.node.name.as_str()).collect();
    assert_eq!(names, ["node-1", "node-2", "pool-1", "pool-2", "pool-3"]);
    assert_eq!((setup.nodes[0].node.allocatable.cpu_millis, setup.nodes[0].node.pods_max), (2000, 20));
    assert_eq!(setup.nodes[1].ready_at, Some(Time::from_secs(30)));
    assert_eq!(setup.nodes[1].node.taints.len(), 2);

    let app = &setup.apps[0];
    assert_eq!(app.stop_signal, Signal::Quit);
    assert_eq!(app.reactions[&Signal::Hup], Reaction::Ignore);
    assert!(
        matches!(app.reactions[&Signal::Quit], Reaction::Drain { in_flight_max: Some(max), .. } if max == Duration::from_secs(10))
    );
    assert_eq!((app.keep_alive_timeout, &app.service_time), (None, &Distribution::Constant(Duration::from_millis(20))));
    let steps = [HookStep::Wait(Duration::from_secs(1)), HookStep::Signal(Signal::Usr1), HookStep::UntilExit];
    assert_eq!(setup.templates[0].containers[0].pre_stop, Some(Hook::Exec(steps.to_vec())));
    assert_eq!(setup.templates[0].requests.cpu_millis, 250);
    assert_eq!(setup.deployments[0].placement, ["node-1", "pool-1"]);

    assert_eq!((setup.traffic[0].name.as_str(), setup.traffic[0].rate), ("web", 200.0));
    assert_eq!(setup.traffic[0].stop, Some(Time::from_secs(240)));
    assert_eq!(setup.traffic[1].from, ["node-1", "pool-1", "pool-2", "pool-3"], "node-2 is not there at the start");
    assert!(matches!(setup.traffic[1].connections, Connections::KeepAlive { idle_max: 50, .. }));
    assert_eq!(setup.actions.len(), 9);
    assert!(matches!(&setup.actions[0].what, ActionKind::Drain(d) if d.nodes.len() == 2 && d.grace_period == -1));
    assert_eq!(setup.actions[1].when, When::After(0, Duration::from_secs(5)));
    assert_eq!(setup.latencies.get(Hop::EndpointSliceSync).quantile(0.5), Duration::from_secs(1));
    assert_eq!(setup.kube_proxy.min_sync_period, Duration::from_secs(10));
    assert_eq!(scenario.assumptions.len(), 1, "only the timeout of the second stream: {:?}", scenario.assumptions);
}

/// What `kubectl get deploy,rs,po,svc,pdb,no -o json` writes, shortened.
const LIST: &str = r#"{
    "apiVersion": "v1",
    "kind": "List",
    "metadata": {"resourceVersion": ""},
    "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment",
         "metadata": {"name": "web", "namespace": "prod", "uid": "1", "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]},
         "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"creationTimestamp": null, "labels": {"app": "web"}},
                  "spec": {"containers": [{"name": "web", "image": "nginx:1.15", "resources": {}, "terminationMessagePath": "/dev/termination-log"}]}}},
         "status": {"replicas": 2}},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet",
         "metadata": {"name": "web-5d4f", "namespace": "prod", "labels": {"app": "web", "pod-template-hash": "5d4f"},
                      "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": true}]},
         "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web", "pod-template-hash": "5d4f"}},
                  "template": {"metadata": {"labels": {"app": "web", "pod-template-hash": "5d4f"}}, "spec": {"containers": [{"name": "web", "image": "nginx:1.15"}]}}}},
        POD_A, POD_B,
        {"apiVersion": "v1", "kind": "Pod",
         "metadata": {"name": "web-0", "namespace": "prod", "ownerReferences": [{"kind": "StatefulSet", "name": "web", "controller": true}]},
         "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "nginx"}]}, "status": {"phase": "Running"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "prod"},
         "spec": {"nodeName": "n2", "containers": [{"name": "c", "image": "nginx"}], "volumes": [{"name": "v", "emptyDir": {}}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "done", "namespace": "prod"},
         "spec": {"nodeName": "n2", "containers": [{"name": "c", "image": "nginx"}]}, "status": {"phase": "Succeeded"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "prod"}, "spec": {"selector": {"app": "web"}, "clusterIP": "10.0.0.1"}},
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "prod"},
         "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "web"}}}, "status": {"disruptionsAllowed": 1}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}},
         "status": {"allocatable": {"cpu": "1930m", "memory": "7244720Ki", "pods": "29"}, "conditions": [{"type": "Ready", "status": "True"}]}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}, "spec": {"unschedulable": true,
         "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"}]}},
        {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}}
    ]
}"#;

fn pod_of_web(name: &str, node: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}", "namespace": "prod",
            "labels": {{"app": "web", "pod-template-hash": "5d4f"}},
            "ownerReferences": [{{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "controller": true}}]}},
            "spec": {{"nodeName": "{node}", "containers": [{{"name": "web", "image": "nginx:1.15"}}]}}, "status": {{"phase": "Running"}}}}"#
    )
}

const DRAIN_N1: &str = "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {name: s}\nspec:\n  duration: 1m\n  manifests: [cluster.json]\n  \
                        traffic: [{service: web, rate: 1/s}]\n  actions: [{at: 1s, drain: {node: n1}}]\n";

#[test]
fn a_list_from_a_cluster_becomes_that_cluster() {
    let list = LIST.replace("POD_A", &pod_of_web("web-5d4f-a", "n2")).replace("POD_B", &pod_of_web("web-5d4f-b", "n1"));
    let scenario = load_files(&[("s.yaml", DRAIN_N1), ("cluster.json", &list)], &[]);
    let setup = &scenario.setup;
    assert_eq!(found(setup), [("web-5d4f", "web-5d4f-a", Some("n2")), ("web-5d4f", "web-5d4f-b", Some("n1"))]);
    assert_eq!(setup.found.replica_sets[0].of, FoundOwner::Deployment(0));
    assert_eq!(setup.replica_sets, [], "it is the Deployment's");
    let pods: Vec<_> = setup.pods.iter().map(|p| (p.name.as_str(), p.node.as_deref())).collect();
    assert_eq!(pods, [("bare", Some("n2"))]);
    assert_eq!(setup.pods[0].owner, Owner::None);
    assert!(setup.templates[setup.pods[0].template.index()].has_empty_dir);
    let set = &setup.stateful_sets[0];
    assert_eq!((set.name.as_str(), set.replicas, set.placement.as_slice()), ("web", 1, &["n1".to_string()][..]));
    assert_eq!((setup.nodes[0].node.allocatable.cpu_millis, setup.nodes[0].node.pods_max), (1930, 29));
    assert_eq!(setup.nodes[0].node.allocatable.memory_bytes, 7_244_720 * 1024);
    assert!(setup.nodes[1].node.unschedulable);
    assert_eq!(setup.pdbs.len(), 1);
    let app = &setup.apps[setup.templates[0].containers[0].app as usize];
    assert_eq!((app.profile.as_str(), app.stop_signal), ("nginx", Signal::Term), "nginx:1.15 still had SIGTERM");
    assert!(
        scenario.assumptions.iter().any(|a| a.contains("prod/web") && a.contains("nginx:1.15")),
        "{:?}",
        scenario.assumptions
    );
    assert!(scenario.assumptions.iter().any(|a| a.starts_with("1 pod that has ended")));
    let warnings: Vec<&str> = scenario.warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(warnings, [""; 0]);
    assert!(scenario.assumptions.iter().any(|a| a.starts_with("StatefulSet prod/web is not in the input")));
}

#[test]
fn pods_without_their_replica_set_still_find_their_deployment_or_make_one() {
    let pods = format!("{}\n---\n{}\n", pod_of_web("web-5d4f-a", "n1"), pod_of_web("web-5d4f-b", "n2"));
    let scenario = cluster("", &pods);
    assert_eq!(scenario.setup.nodes.len(), 2, "the nodes that the pods name");
    let replica_set = &scenario.setup.replica_sets[0];
    assert_eq!((replica_set.name.as_str(), replica_set.replicas), ("web-5d4f", 2));
    let pods = found(&scenario.setup);
    assert_eq!(pods, [("web-5d4f", "web-5d4f-a", Some("n1")), ("web-5d4f", "web-5d4f-b", Some("n2"))]);
    assert_eq!(scenario.setup.pods, []);
}

#[test]
fn a_dumped_directory_is_read() {
    let pods = format!(r#"{{"kind": "PodList", "apiVersion": "v1", "items": [{}]}}"#, pod_of_web("web-5d4f-a", "n1"))
        .replace(r#""apiVersion": "v1", "kind": "Pod", "#, "");
    let nodes = r#"{"kind": "NodeList", "apiVersion": "v1", "items": [{"metadata": {"name": "n1"}}]}"#;
    let scenario = load_files(
        &[
            (
                "s.yaml",
                "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {name: s}\nspec: {duration: 1m, manifests: [dump]}\n",
            ),
            ("dump/nodes.json", nodes),
            ("dump/prod/pods.json", &pods),
            ("dump/prod/web-5d4f-a/logs.txt", "==== START logs: {[ ===="),
        ],
        &[],
    );
    assert_eq!(found(&scenario.setup), [("web-5d4f", "web-5d4f-a", Some("n1"))]);
}

/// The pods of ReplicaSets that were found: ReplicaSet, name and node.
fn found(setup: &Setup) -> Vec<(&str, &str, Option<&str>)> {
    let sets = setup.found.replica_sets.iter();
    sets.flat_map(|rs| rs.pods.iter().map(|p| (rs.name.as_str(), p.name.as_str(), p.node.as_deref()))).collect()
}

#[test]
fn a_daemon_set_has_a_pod_on_each_node_that_it_tolerates() {
    let scenario = cluster(
        "  nodes: [{name: a}, {name: b, taints: ['x=y:NoSchedule']}, {name: c, unschedulable: true}, {name: d, ready: 10s}]",
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: logs}\nspec:\n  template:\n    spec: {containers: [{name: l, image: httpd}]}\n",
    );
    let outcome = drainsim::simulation::run(&scenario.setup, 1, false);
    let nodes: Vec<_> = outcome.pods.iter().filter_map(|p| p.node.as_deref()).collect();
    assert_eq!(nodes, ["a", "c", "d"], "d gets its own when it is there");
}

#[test]
fn what_nobody_says_is_stated() {
    let scenario = cluster(
        "  nodes: [{name: a}]",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: 'example/api:2', lifecycle: {preStop: {httpGet: {path: /}}}}]\n",
    );
    insta::assert_snapshot!(scenario.assumptions.join("\n"));
}

#[test]
fn the_command_line_changes_scenario_and_manifests() {
    let sets = [
        "spec.duration=10m",
        "Deployment/default/web:spec.replicas=5",
        "spec.traffic[0].rate=1/s",
        "spec.kubernetes=1.30",
    ];
    let scenario = load_files(&[("s.yaml", EVERYTHING)], &sets);
    assert_eq!(scenario.setup.duration, Duration::from_secs(600));
    assert_eq!(scenario.setup.deployments[0].replicas, 5);
    assert_eq!(scenario.setup.traffic[0].rate, 1.0);
    assert_eq!(scenario.setup.version, Version::minor(30));
}

#[test]
fn the_inputs_add_up_wherever_they_come_from() {
    let manifest = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n";
    let scenario = "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {name: s}\nspec: {duration: 1m}\n";
    let inputs = [Input::Builtin { name: "drain".into(), text: scenario.into() }, Input::Stdin(manifest.into())];
    assert_eq!(Scenario::load(&inputs, &[]).unwrap().setup.nodes.len(), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    /// Whatever is cut out, doubled or put in, loading ends, tells something that can be shown, and never panics.
    #[test]
    fn no_input_makes_it_panic(from in 0usize..3500, length in 0usize..40, put in "[-:\\[\\]{}&*!|>'\"%@,#? \\nа-я0-9a-z]{0,6}") {
        let mut text: Vec<char> = EVERYTHING.chars().collect();
        let from = from.min(text.len());
        let end = (from + length).min(text.len());
        text.splice(from..end, put.chars());
        let text: String = text.into_iter().collect();
        let files = Memory(BTreeMap::from([(PathBuf::from("s.yaml"), text.into_bytes())]));
        if let Err(problems) = Scenario::load_from(&files, &[Input::Path("s.yaml".into())], &[]) {
            assert!(problems.has_errors());
            assert!(!problems.render(true).is_empty());
        }
    }
}

#[test]
fn the_schema_accepts_what_loads_and_refuses_typing_errors() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document = EVERYTHING.split("\n---").next().unwrap();
    let value: serde_json::Value = serde_saphyr::from_str(document).unwrap();
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert_eq!(errors, [] as [&str; 0]);
    for (field, wrong) in [
        ("\"duration\"", "\"duraton\""),
        ("\"5m\"", "\"5 minutes\""),
        ("\"graceful\"", "\"gracefull\""),
        ("\"endpointSliceSync\"", "\"endpointSliceSink\""),
        ("\"cordon\"", "\"evict\""),
    ] {
        let text = value.to_string();
        assert!(text.contains(field), "{field}");
        let broken: serde_json::Value = serde_json::from_str(&text.replacen(field, wrong, 1)).unwrap();
        assert!(!validator.is_valid(&broken), "{wrong}");
    }
}

/// A pod with a sidecar first, and Services with the given first ports; the names of the serving container, what was
/// assumed and what was warned of.
fn serving(ports: &[&str]) -> (String, Vec<String>, Vec<String>) {
    let pods = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\nspec:\n  nodeName: n1\n  containers:\n  \
                - {name: proxy, image: proxy, ports: [{containerPort: 15090, name: envoy}]}\n  \
                - {name: web, image: web, ports: [{containerPort: 8080, name: http}, {containerPort: 9090}]}\n";
    let mut manifests = pods.to_string();
    let mut traffic = String::from("  nodes: [{name: n1}]\n  traffic:\n");
    for (n, port) in ports.iter().enumerate() {
        manifests.push_str(&format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{n}}}\nspec: {{selector: {{app: web}}, ports: [{port}]}}\n"
        ));
        traffic.push_str(&format!("    - {{service: s{n}, rate: 1/s, timeout: 1s}}\n"));
    }
    let scenario = cluster(&traffic, &manifests);
    let template = &scenario.setup.templates[0];
    let about = |list: Vec<String>| list.into_iter().filter(|s| s.contains("port") || s.contains("lead")).collect();
    (
        template.serving().name.clone(),
        about(scenario.assumptions.clone()),
        about(scenario.warnings.iter().map(|d| d.message.clone()).collect()),
    )
}

#[test]
fn requests_go_to_the_container_that_has_the_port() {
    for port in ["{port: 80, targetPort: http}", "{port: 80, targetPort: 9090}", "{port: 8080}"] {
        assert_eq!(serving(&[port]), ("web".into(), vec![], vec![]), "{port}");
    }
    assert_eq!(serving(&["{port: 15090}"]).0, "proxy");
    let (name, assumed, warned) = serving(&["{port: 80}"]);
    assert_eq!((name.as_str(), assumed.len(), warned.len()), ("proxy", 1, 0));
    assert!(assumed[0].contains("requests go to the first one, proxy"), "{assumed:?}");
    let (_, _, warned) = serving(&["{port: 80, targetPort: htp}"]);
    assert!(warned.len() == 1 && warned[0].contains("has a port named `htp`"), "{warned:?}");
    let (name, _, warned) = serving(&["{port: 80, targetPort: http}", "{port: 80, targetPort: envoy}"]);
    assert!(name == "web" && warned.len() == 1, "{name} {warned:?}");
    assert!(warned[0].contains("two Services lead to different containers"), "{warned:?}");
}

#[test]
fn pods_that_nobody_replaces_are_told_of_once() {
    let pod = |n: u8| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: db-{n}, ownerReferences: [{{kind: Rollout, name: db, controller: true}}]}}\n\
             spec: {{nodeName: n1, containers: [{{name: c}}]}}\n---\n"
        )
    };
    let told = |manifests: &str| {
        let scenario = cluster("  nodes: [{name: n1}]", manifests);
        scenario
            .warnings
            .iter()
            .filter(|w| w.message.contains("Rollout"))
            .map(|w| w.message.clone())
            .collect::<Vec<_>>()
    };
    let pods = pod(0) + &pod(1);
    assert_eq!(told(&pods), ["the pods of a Rollout are not replaced"]);
    let given = pods + "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: db}\nspec: {}\n";
    assert_eq!(told(&given), ["the kind Rollout is not modelled"]);
}

#[test]
fn a_sidecar_that_stands_first_loses_no_requests() {
    let scenario = |order: [&str; 2]| {
        let mut text = String::from(
            "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {name: s}\nspec:\n  duration: 1m\n  kubernetes: \"1.36\"\n  \
             nodes: [{name: n1}, {name: n2}]\n  placement: {web: [n1, n2]}\n  apps: [{container: web, profile: graceful}]\n  \
             traffic: [{service: web, rate: 500/s, from: [n2]}]\n  actions: [{at: 10s, drain: {node: n1}}]\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  \
             template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers:\n",
        );
        order.iter().for_each(|container| text.push_str(&format!("      - {container}\n")));
        load(&text)
    };
    let web = "{name: web, image: w, ports: [{containerPort: 8080, name: http}], readinessProbe: {httpGet: {port: 8080}}, \
               lifecycle: {preStop: {sleep: {seconds: 10}}}}";
    let proxy = "{name: proxy, image: p}";
    for order in [[web, proxy], [proxy, web]] {
        let outcome = drainsim::simulation::run(&scenario(order).setup, 1, false);
        assert_eq!(outcome.requests.failed(), 0, "{order:?}");
        let pod = outcome.pods.iter().find(|p| p.times.deleted_at.is_some()).unwrap();
        let (hook, term) = (pod.times.pre_stop_at.unwrap(), pod.times.sigterm_at.unwrap());
        assert!(term.since(hook) >= Duration::from_secs(10), "the times are those of the container that serves");
    }
}
