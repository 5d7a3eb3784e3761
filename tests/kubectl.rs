//! A run read as a kubectl user reads it: tables, objects and events of the built-in scenarios.
//!
//! `INSTA_UPDATE=always cargo test --test kubectl` writes the snapshots anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

use drainsim::api::Selector;
use drainsim::engine::Time;
use drainsim::report::kubectl::{Cluster, Output, Query, Resource, events, get, watch};
use drainsim::scenario::library;
use drainsim::scenario::{Input, Memory, Scenario};
use drainsim::simulation::{self, Outcome, Setup};
use serde_json::{Value, json};

/// A scenario and its run.
struct Played {
    scenario: Scenario,
    outcome: Outcome,
}

impl Played {
    fn new(scenario: Scenario) -> Self {
        let outcome = simulation::run(&scenario.setup, scenario.seed.unwrap_or(1), true);
        Self { scenario, outcome }
    }

    fn builtin(name: &str) -> Self {
        let builtin = library::find(name).expect("a built-in scenario");
        let input = Input::Builtin { name: builtin.name.to_string(), text: builtin.text.to_string() };
        Self::new(Scenario::load(&[input], &[]).unwrap())
    }

    fn cluster(&self) -> Cluster<'_> {
        Cluster::new(&self.scenario.setup, &self.scenario.originals, &self.outcome).expect("the run kept its history")
    }

    fn table(&self, resources: &[Resource], output: Output, seconds: u64) -> String {
        let answer = get(&self.cluster(), &query(resources, output), Time::from_secs(seconds)).unwrap();
        assert_eq!(answer.err, "");
        answer.out
    }

    fn objects(&self, resource: Resource, at: Time) -> Vec<Value> {
        let answer = get(&self.cluster(), &query(&[resource], Output::Json), at).unwrap();
        let mut list: Value = serde_json::from_str(&answer.out).unwrap();
        let Value::Array(items) = list["items"].take() else { panic!("a list") };
        items
    }
}

fn query(resources: &[Resource], output: Output) -> Query {
    Query {
        resources: resources.to_vec(),
        name: None,
        namespace: Some("default".to_string()),
        selector: Selector::default(),
        times: false,
        output,
    }
}

/// What the page on disruptions (kubernetes.io/docs/concepts/workloads/pods/disruptions/, "PDB Example") says of its cluster,
/// state after state: each node with its pods. Pods of `*no node*` stand last; of pod-y it does not say what state it is in.
const STATES_OF_THE_PAGE: [&str; 6] = [
    "node-1: pod-a available, pod-x available | node-2: pod-b available | node-3: pod-c available",
    "node-1 draining: pod-a terminating, pod-x terminating | node-2: pod-b available | node-3: pod-c available",
    "node-1 draining: pod-a terminating, pod-x terminating | node-2: pod-b available, pod-d starting | \
     node-3: pod-c available, pod-y",
    "node-1 drained: | node-2: pod-b available, pod-d starting | node-3: pod-c available, pod-y",
    "node-1 drained: | node-2: pod-b available, pod-d available | node-3: pod-c available, pod-y",
    "node-1 drained: | node-2: pod-b terminating, pod-d available | node-3: pod-c available, pod-y | no node: pod-e pending",
];

/// The state of the cluster in the words of that page. Its letters are given in the order of creation: a, b, c, … to the
/// pods of `app`, x, y, … to those of `other`. A cordoned node with nothing on it that a drain would take is drained. Only
/// of node-1 does the page say so: where another drain stands is not in its tables.
fn state(played: &Played, at: Time) -> String {
    let mut letters: BTreeMap<String, String> = BTreeMap::new();
    for (workload, first) in [("app-", b'a'), ("other-", b'x')] {
        let pods = played.outcome.pods.iter().filter(|p| p.name.starts_with(workload));
        letters.extend((first..).zip(pods).map(|(letter, p)| (p.name.clone(), format!("pod-{}", char::from(letter)))));
    }
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in played.objects(Resource::Pods, at) {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        let node = pod["spec"]["nodeName"].as_str().unwrap_or("no node");
        let state = match (pod["metadata"]["deletionTimestamp"].is_string(), is_ready) {
            (true, _) => " terminating",
            (false, _) if node == "no node" => " pending",
            (false, true) => " available",
            (false, false) => " starting",
        };
        let letter = &letters[pod["metadata"]["name"].as_str().unwrap()];
        let state = if letter == "pod-y" { "" } else { state };
        places.entry(node.to_string()).or_default().push(format!("{letter}{state}"));
    }
    let mut parts = Vec::new();
    for node in played.objects(Resource::Nodes, at) {
        let name = node["metadata"]["name"].as_str().unwrap();
        let mut pods = places.remove(name).unwrap_or_default();
        pods.sort();
        let drain = match (name == "node-1" && node["spec"]["unschedulable"] == true, pods.is_empty()) {
            (true, true) => " drained",
            (true, false) => " draining",
            (false, _) => "",
        };
        parts.push(format!("{name}{drain}: {}", pods.join(", ")).trim_end().to_string());
    }
    parts.extend(places.remove("no node").map(|pods| format!("no node: {}", pods.join(", "))));
    parts.join(" | ")
}

fn states(played: &Played) -> Vec<String> {
    let mut times: Vec<Time> = played.outcome.trace.entries().iter().map(|e| e.time).collect();
    times.insert(0, Time::ZERO);
    times.dedup();
    let mut states: Vec<String> = times.into_iter().map(|at| state(played, at)).collect();
    states.dedup();
    states
}

#[test]
fn m14_goes_through_the_states_of_the_page_in_order() {
    let played = Played::builtin("m14-drain-blocked-until-a-node-is-added");
    let states = states(&played);
    let mut rest = states.iter();
    for expected in STATES_OF_THE_PAGE {
        assert!(
            rest.any(|s| s == expected),
            "after the states before it there is no\n{expected}\nin\n{}",
            states.join("\n")
        );
    }
    let last = states.last().unwrap();
    assert_eq!(
        last, "node-1 drained: | node-2: | node-3: pod-c available, pod-y | node-4: pod-e available, pod-f available",
        "with the new node the drain goes on to its end"
    );
}

/// What the page says of an impatient drain of node-2 is not what happens.
#[test]
fn m14_the_starting_pod_is_evicted_by_an_impatient_drain() {
    let states = states(&Played::builtin("m14-impatient-drain-takes-the-starting-pod"));
    for (state, expected) in states.iter().zip(&STATES_OF_THE_PAGE[..1]) {
        assert_eq!(state, expected);
    }
    assert!(states.iter().any(|s| s.contains("pod-b available, pod-d terminating")), "{}", states.join("\n"));
    assert_eq!(
        states.last().unwrap(),
        "node-1 drained: | node-2: pod-b available | node-3: pod-c available, pod-y | no node: pod-e pending"
    );
}

#[test]
fn tables_of_m14() {
    let played = Played::builtin("m14-drain-blocked-until-a-node-is-added");
    let all =
        [Resource::Nodes, Resource::Pods, Resource::Deployments, Resource::ReplicaSets, Resource::PodDisruptionBudgets];
    insta::assert_snapshot!("m14_before", played.table(&all, Output::Wide, 0));
    insta::assert_snapshot!("m14_blocked", played.table(&all, Output::Wide, 120));
    insta::assert_snapshot!("m14_at_the_end", played.table(&all, Output::Table, 480));
    insta::assert_snapshot!("m14_events", events(&played.cluster(), played.outcome.end));
}

#[test]
fn tables_of_m02() {
    let played = Played::builtin("m02-drain");
    let all = [Resource::Nodes, Resource::Services, Resource::EndpointSlices];
    insta::assert_snapshot!("m02_in_between", played.table(&all, Output::Table, 25));
    let pods = query(&[Resource::Pods], Output::Table);
    let watched = watch(&played.cluster(), &pods, Time::from_secs(9), Time::from_secs(40)).unwrap();
    insta::assert_snapshot!("m02_watch", watched.out);
    insta::assert_snapshot!("m02_get_events", played.table(&[Resource::Events], Output::Wide, 60));
    insta::assert_snapshot!("m02_pod", {
        let name = played.outcome.pods[0].name.clone();
        let one = Query { name: Some(name), ..query(&[Resource::Pods], Output::Yaml) };
        get(&played.cluster(), &one, Time::from_millis(10_200)).unwrap().out
    });
}

/// What `kubectl get pods -w` says of a pod that is evicted and of its replacement, without repetitions: as in the recording
/// `C-iptables-graceful-pre0-r1` of a v1.36.2 cluster (see `tests/recordings`), whose objects were put through printPod by
/// hand.
#[test]
fn pods_go_through_the_states_that_a_recorded_cluster_showed() {
    let played = Played::builtin("m02-drain");
    let pods = query(&[Resource::Pods], Output::Table);
    let watched = watch(&played.cluster(), &pods, Time::ZERO, Time::from_secs(25)).unwrap().out;
    let states = |suffix: &str| {
        let rows = watched.lines().filter(|line| line.split(' ').next().unwrap().ends_with(suffix));
        let mut states: Vec<String> =
            rows.map(|row| row.split_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" ")).collect();
        states.dedup();
        states
    };
    assert_eq!(states("-5vrtr"), ["1/1 Running", "1/1 Terminating", "0/1 Completed"]);
    assert_eq!(states("-22fdk"), ["0/1 Pending", "0/1 ContainerCreating", "0/1 Running", "1/1 Running"]);
}

const WORKLOADS: &str = r#"apiVersion: drainsim/v1alpha1
kind: Scenario
metadata: {name: workloads}
spec:
  kubernetes: "1.36"
  duration: 2m
  nodes: [{name: node-1}, {name: node-2}]
  placement: {db: [node-1, node-2]}
  actions:
    - {at: 10s, drain: {node: node-1, ignoreDaemonsets: true, force: true}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: postgres:17, readinessProbe: {tcpSocket: {port: 5432}, periodSeconds: 3}}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: kube-system}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: agent:1}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: work}
spec:
  parallelism: 2
  completions: 3
  template:
    metadata: {labels: {app: work}}
    spec: {restartPolicy: Never, containers: [{name: work, image: work:1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, labels: {app: bare}}
spec:
  nodeName: node-1
  initContainers: [{name: wait, image: busybox}]
  containers: [{name: app, image: nginx:1.25}, {name: side, image: side:1}]
"#;

/// One of each kind that has pods, on a node that is drained by force.
#[test]
fn every_kind_of_workload_is_shown() {
    let memory = Memory(BTreeMap::from([(PathBuf::from("s.yaml"), WORKLOADS.as_bytes().to_vec())]));
    let scenario = Scenario::load_from(&memory, &[Input::Path("s.yaml".into())], &[]);
    let played = Played::new(scenario.unwrap_or_else(|problems| panic!("{problems}")));
    let all = [Resource::StatefulSets, Resource::DaemonSets, Resource::Jobs, Resource::Pods];
    let table = |seconds| {
        let everywhere = Query { namespace: None, ..query(&all, Output::Wide) };
        get(&played.cluster(), &everywhere, Time::from_secs(seconds)).unwrap().out
    };
    insta::assert_snapshot!("workloads", [table(0), table(20)].join("\n----\n\n"));
    insta::assert_snapshot!("workloads_events", events(&played.cluster(), played.outcome.end));
}

/// An autoscaler tells what it saw at its last look at the target, as often as it looks.
#[test]
fn an_autoscaler_is_shown_with_its_bounds_and_its_replicas() {
    let played = Played::builtin("hpa-minimum-meets-a-budget");
    let all = [Resource::HorizontalPodAutoscalers];
    let row = |seconds| {
        let table = played.table(&all, Output::Table, seconds);
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(row(0)[0], "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE");
    assert_eq!(row(0)[1], "web Deployment/web <unknown>/200 1 5 1 10d");
    // somebody scales to 2, and the autoscaler takes that back
    let status = |seconds| played.objects(all[0], Time::from_secs(seconds))[0]["status"].clone();
    let seen: Vec<_> = (60..90).map(status).collect();
    assert!(seen.contains(&json!({"currentReplicas": 2, "desiredReplicas": 1})), "{seen:?}");
    assert_eq!(status(100), json!({"currentReplicas": 1, "desiredReplicas": 1}));
    assert_eq!(row(599)[1], "web Deployment/web <unknown>/200 2 5 2 10d");
    let spec = &played.objects(all[0], Time::ZERO)[0]["spec"];
    assert_eq!((&spec["metrics"][0]["type"], &spec["scaleTargetRef"]["name"]), (&json!("Pods"), &json!("web")));
    let watched = watch(&played.cluster(), &query(&all, Output::Table), Time::ZERO, Time::from_secs(599)).unwrap().out;
    assert_eq!(watched.lines().count(), 7, "{watched}");
}

/// Objects come out as they went in: what a run shows of its start is read as the same cluster again.
#[test]
fn objects_are_read_back_as_the_cluster_they_are_of() {
    for name in ["m02-drain", "m11-two-drains-one-budget", "m14-drain-blocked-until-a-node-is-added"] {
        let played = Played::builtin(name);
        let kinds = [
            Resource::Nodes,
            Resource::Pods,
            Resource::Deployments,
            Resource::ReplicaSets,
            Resource::Services,
            Resource::PodDisruptionBudgets,
            Resource::EndpointSlices,
        ];
        for (output, file) in [(Output::Yaml, "cluster.yaml"), (Output::Json, "cluster.json")] {
            let objects = played.table(&kinds, output, 0);
            let scenario = "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {name: again}\nspec: {kubernetes: '1.36', duration: 1m}\n";
            let files = [("s.yaml", scenario.to_string()), (file, objects)];
            let memory =
                Memory(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect());
            let inputs = ["s.yaml", file].map(|path| Input::Path(path.into()));
            let again =
                Scenario::load_from(&memory, &inputs, &[]).unwrap_or_else(|problems| panic!("{name}: {problems}"));
            let (old, new) = (&played.scenario.setup, &again.setup);
            assert_eq!(old.services, new.services, "{name}");
            assert_eq!(old.pdbs, new.pdbs, "{name}");
            // where the pods are is told by the pods, not by the scenario's `placement`
            let unplaced = |s: &Setup| {
                let mut all = s.deployments.clone();
                all.iter_mut().for_each(|d| d.placement.clear());
                all
            };
            assert_eq!(unplaced(old), unplaced(new), "{name}");
            let owned = |pod: &&serde_json::Value| pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet";
            let text = |value: &serde_json::Value| value.as_str().map(str::to_string);
            let mut there: Vec<_> = played
                .objects(Resource::Pods, Time::ZERO)
                .iter()
                .filter(owned)
                .map(|pod| (text(&pod["metadata"]["name"]).unwrap(), text(&pod["spec"]["nodeName"])))
                .collect();
            let found = new.found.replica_sets.iter().flat_map(|rs| &rs.pods);
            let mut found: Vec<_> = found.map(|pod| (pod.name.clone(), pod.node.clone())).collect();
            there.sort();
            found.sort();
            assert_eq!(there, found, "{name}");
            let mut templates = (old.templates.clone(), new.templates.clone());
            for template in templates.0.iter_mut().chain(&mut templates.1) {
                // how the processes behave is told by the scenario, not by the objects
                template.containers.iter_mut().for_each(|c| c.app = 0);
            }
            assert_eq!(templates.0, templates.1, "{name}");
            for node in old.nodes.iter().filter(|n| n.ready_at.is_none()) {
                let same = new.nodes.iter().find(|n| n.node.name == node.node.name).expect("the same nodes");
                assert_eq!(node.node, same.node, "{name}");
            }
        }
    }
}

#[test]
fn every_object_has_what_every_object_has() {
    let played = Played::builtin("m11-two-drains-one-budget");
    for at in [0, 61, 75, 300].map(Time::from_secs) {
        for resource in Resource::ALL {
            for object in played.objects(resource, at) {
                let metadata = &object["metadata"];
                assert_eq!(object["kind"], resource.kind());
                assert_eq!(object["apiVersion"], resource.api_version());
                for key in ["name", "uid", "creationTimestamp", "resourceVersion"] {
                    assert!(metadata[key].as_str().is_some_and(|s| !s.is_empty()), "{key} of {object}");
                }
                assert_eq!(metadata["namespace"].is_string(), resource.is_namespaced(), "{object}");
            }
        }
    }
}

#[test]
fn what_is_selected_named_and_missing() {
    let played = Played::builtin("m14-drain-blocked-until-a-node-is-added");
    let cluster = played.cluster();
    let names = |query: &Query| get(&cluster, query, Time::ZERO).map(|answer| answer.out.lines().count());
    let pods = query(&[Resource::Pods], Output::Name);
    assert_eq!(names(&pods), Ok(4));
    let selector = Selector::labels([("app", "other")]);
    assert_eq!(names(&Query { selector, ..pods.clone() }), Ok(1));
    let name = Some("nobody".to_string());
    let missing = names(&Query { name, ..query(&[Resource::PodDisruptionBudgets], Output::Table) });
    assert_eq!(missing.unwrap_err(), "Error from server (NotFound): poddisruptionbudgets.policy \"nobody\" not found");
    let elsewhere = Query { namespace: Some("prod".to_string()), ..query(&[Resource::Pods], Output::Table) };
    assert_eq!(get(&cluster, &elsewhere, Time::ZERO).unwrap().err, "No resources found in prod namespace.\n");
    let everywhere =
        get(&cluster, &Query { namespace: None, ..query(&[Resource::Pods], Output::Table) }, Time::ZERO).unwrap();
    assert!(everywhere.out.starts_with("NAMESPACE   NAME "), "{}", everywhere.out);
    assert!(
        watch(&cluster, &query(&[Resource::Pods, Resource::Nodes], Output::Table), Time::ZERO, Time::ZERO).is_err()
    );
}

/// Keeping the history changes nothing, and a run without it has none.
#[test]
fn only_runs_that_are_asked_to_keep_their_history() {
    let played = Played::builtin("m02-drain");
    let plain = simulation::run(&played.scenario.setup, 1, false);
    assert_eq!(plain.digest, played.outcome.digest);
    assert!(Cluster::new(&played.scenario.setup, &played.scenario.originals, &plain).is_none());
}
