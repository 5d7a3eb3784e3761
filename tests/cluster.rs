//! A whole cluster as input: the made-up export `tests/clusters/shop.yaml` (by `examples/cluster_export.rs`), as a list in
//! YAML and JSON and as a dump, and the questions that `drainsim drain` answers about it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use assert_cmd::Command;
use drainsim::analysis::deadlock::{Remedy, Shortage, Why};
use drainsim::analysis::drain::{self, DrainRun, NodeEnd};
use drainsim::analysis::runs;
use drainsim::engine::Duration;
use drainsim::scenario::cluster::{Cluster, Question, Then, Upgrade};
use drainsim::scenario::{Disk, Input, Memory, Scenario};
use drainsim::simulation::found::FoundState;
use serde_json::{Value, json};

const SHOP: &str = "tests/clusters/shop.yaml";

fn node(number: usize) -> String {
    format!("ip-10-0-{}-{}.eu-central-1.compute.internal", 16 * (number % 3), 20 + 7 * number)
}

fn question(nodes: &[usize]) -> Question {
    let names: Vec<String> = nodes.iter().map(|n| node(*n)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut question = Question::drain(&names);
    question.drain.ignore_daemonsets = true;
    question.drain.delete_emptydir_data = true;
    question
}

fn load(question: &Question) -> Cluster {
    Cluster::load(&Disk, &[Input::Path(SHOP.into())], question).unwrap_or_else(|problems| panic!("{problems}"))
}

fn play(cluster: &Cluster) -> DrainRun {
    drain::play(&cluster.setup, &cluster.nodes, 1)
}

/// The export as values.
fn items() -> Vec<Value> {
    let text = std::fs::read_to_string(SHOP).unwrap();
    let list: Value = serde_saphyr::from_str(&text).unwrap();
    list["items"].as_array().unwrap().clone()
}

#[test]
fn the_cluster_is_as_it_was() {
    assert!(std::fs::read_to_string(SHOP).unwrap().lines().count() > 5000, "a real one is long");
    let cluster = load(&question(&[0]));
    let setup = &cluster.setup;
    assert_eq!((setup.nodes.len(), setup.deployments.len(), setup.stateful_sets.len()), (6, 7, 3));
    assert_eq!(setup.version.to_string(), "1.33", "the kubelets say so");
    assert_eq!(setup.nodes[0].node.allocatable.cpu_millis, 3920);
    let web = setup.found.replica_sets.iter().find(|rs| rs.name.starts_with("web-")).unwrap();
    assert_eq!((web.revision, web.replicas, web.pods.len()), (2, 4, 4), "the newest of two; the old one has no pods");
    assert!(web.pods.iter().all(|pod| pod.name.starts_with(&web.name) && pod.state == FoundState::Ready));
    let nodes: Vec<_> = web.pods.iter().map(|pod| pod.node.clone().unwrap()).collect();
    assert_eq!(nodes, [node(0), node(1), node(2), node(3)]);
    let search = setup.found.replica_sets.iter().find(|rs| rs.name.starts_with("search-")).unwrap();
    assert_eq!(search.pods[1].state, FoundState::NotReady, "it crashes");
    assert_eq!(setup.found.pods["data/postgres-2"], FoundState::Ready);
}

#[test]
fn what_is_ignored_is_counted_and_named_once() {
    let cluster = load(&question(&[0]));
    let ignored: Vec<String> = cluster.ignored.iter().map(ToString::to_string).collect();
    for expected in
        ["35 Secrets", "5 ConfigMaps", "12 monitoring.coreos.com/ServiceMonitor", "5 cert-manager.io/Certificate"]
    {
        assert!(ignored.iter().any(|i| i == expected), "{expected}: {ignored:?}");
    }
    let told: Vec<&String> = cluster.warnings.iter().chain(&cluster.assumptions).collect();
    assert!(told.len() < 30, "{told:#?}");
    for word in ["Secret", "ServiceMonitor", "Certificate", "managedFields", "unknown field"] {
        assert!(!told.iter().any(|line| line.contains(word)), "{word}: {told:#?}");
    }
    let unique: std::collections::BTreeSet<_> = told.iter().collect();
    assert_eq!(unique.len(), told.len());
}

#[test]
fn a_budget_that_wants_the_only_replica_blocks_for_ever_and_scaling_helps() {
    let cluster = load(&question(&[3]));
    let run = play(&cluster);
    assert_eq!(run.nodes, [NodeEnd::Never]);
    let [deadlock] = run.deadlocks.as_slice() else { panic!("{:?}", run.deadlocks) };
    let [blocked] = deadlock.pods.as_slice() else { panic!("{:?}", deadlock.pods) };
    assert!(blocked.name.starts_with("shop/checkout-"), "{}", blocked.name);
    let Why::Budget(pdb, shortage) = &blocked.why else { panic!("{:?}", blocked.why) };
    assert_eq!(cluster.setup.pdbs[pdb.index()].full_name(), "shop/checkout");
    assert_eq!(*shortage, Shortage::TooFewReplicas { most: 1, desired: 1 });
    let resolution = drain::resolve(&cluster.setup, &cluster.nodes, &run);
    assert!(
        matches!(resolution.changes[..], [Remedy::ScaleDeployment { replicas: 2, .. }]),
        "{:?}",
        resolution.changes
    );
    assert!(resolution.run.is_some_and(|run| run.is_drained()));
}

#[test]
fn a_pod_that_crashes_keeps_its_healthy_neighbour_where_it_is() {
    let cluster = load(&question(&[0]));
    let run = play(&cluster);
    let pods = &run.deadlocks[0].pods;
    assert!(pods.iter().all(|p| p.name.starts_with("shop/search-")), "{pods:?}");
    let Why::Budget(_, Shortage::Unhealthy { broken, most: 1, desired: 1, .. }) = &pods[0].why else {
        panic!("{pods:?}")
    };
    assert_eq!(broken.len(), 1);
    // the one that crashes may go itself: nobody counts on it
    let other = play(&load(&question(&[5])));
    assert!(other.is_drained(), "{:?}", other.nodes);
}

#[test]
fn the_same_cluster_in_any_form_gives_the_same_answer() {
    let items = items();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let as_json = Memory(BTreeMap::from([(PathBuf::from("cluster.json"), list.into_bytes())]));
    let dump = Memory(dump(&items));
    let question = question(&[4]);
    let mut answers = vec![play(&load(&question))];
    for (files, inputs) in [(&as_json, vec!["cluster.json"]), (&dump, vec!["dump", "pdb.json"])] {
        let inputs: Vec<Input> = inputs.into_iter().map(|path| Input::Path(path.into())).collect();
        let cluster = Cluster::load(files, &inputs, &question).unwrap_or_else(|problems| panic!("{problems}"));
        answers.push(play(&cluster));
    }
    assert!(answers[0].is_drained());
    let sorted = |run: &DrainRun| {
        let mut services = run.services.clone();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        (run.nodes.clone(), services)
    };
    assert_eq!(answers[0].digest, answers[1].digest, "YAML and JSON");
    assert_eq!(sorted(&answers[0]), sorted(&answers[2]), "a list and a dump, which has another order");
}

/// As `kubectl cluster-info dump --output-directory` lays it out: typed lists, whose items have no kind, by namespace. It has
/// no budgets, which stand in a file of their own.
fn dump(items: &[Value]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut lists: BTreeMap<(PathBuf, String, String), Vec<Value>> = BTreeMap::new();
    for item in items {
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_string();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let namespace = item["metadata"]["namespace"].as_str().unwrap_or_default();
        let path = match kind.as_str() {
            "Node" => PathBuf::from("dump/nodes.json"),
            "PodDisruptionBudget" => PathBuf::from("pdb.json"),
            "Service"
            | "Pod"
            | "Deployment"
            | "ReplicaSet"
            | "DaemonSet"
            | "StatefulSet"
            | "Job"
            | "HorizontalPodAutoscaler" => PathBuf::from(format!("dump/{namespace}/{}s.json", kind.to_lowercase())),
            _ => continue,
        };
        let mut item = item.clone();
        item.as_object_mut().unwrap().retain(|key, _| key != "apiVersion" && key != "kind");
        lists.entry((path, api_version, kind)).or_default().push(item);
    }
    let mut files: BTreeMap<PathBuf, Vec<u8>> = lists
        .into_iter()
        .map(|((path, api_version, kind), items)| {
            let list = json!({"apiVersion": api_version, "kind": format!("{kind}List"), "metadata": {"resourceVersion": "1"}, "items": items});
            (path, list.to_string().into_bytes())
        })
        .collect();
    files.insert("dump/shop/web-x/logs.txt".into(), b"==== START logs for container web ====\n{[".to_vec());
    files
}

#[test]
fn threads_and_repetition_change_nothing() {
    let cluster = load(&question(&[1]));
    let all = |jobs| runs::by_seed(7, 6, jobs, |seed| drain::play(&cluster.setup, &cluster.nodes, seed), |_| {});
    let once = all(1);
    assert_eq!(once, all(3));
    let again = load(&question(&[1]));
    assert_eq!(cluster, again);
}

#[test]
fn an_upgrade_goes_on_beside_a_node_that_never_empties() {
    let mut all = question(&[0, 1, 2, 3, 4, 5]);
    all.upgrade = Some(Upgrade { max_parallel: 3, then: Then::Replace(Duration::from_secs(90)) });
    let cluster = load(&all);
    let run = play(&cluster);
    // checkout holds its node; search holds one until the pod that crashes has been evicted from another
    let drained = |n: &NodeEnd| matches!(n, NodeEnd::Drained(_));
    assert_eq!(run.nodes.iter().filter(|n| drained(n)).count(), 5, "{:?}", run.nodes);
    assert_eq!(run.nodes[3], NodeEnd::Never);
    assert!(matches!(run.nodes[0], NodeEnd::Drained(took) if took > Duration::from_secs(60)), "{:?}", run.nodes);
    let resolution = drain::resolve(&cluster.setup, &cluster.nodes, &run);
    assert!(resolution.run.is_some(), "{:?}", resolution.changes);
    all.upgrade = Some(Upgrade { max_parallel: 1, then: Then::Uncordon(Duration::from_secs(60)) });
    let run = play(&load(&all));
    assert!(run.nodes.contains(&NodeEnd::NotReached), "one at a time, the first that blocks ends it: {:?}", run.nodes);
}

#[test]
fn a_long_upgrade_is_followed_to_its_last_node() {
    let mut items = small("True");
    let node = |n: u32| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("n{n}")},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    };
    items.extend((0..6).map(node));
    let mut all = Question::drain(&["a", "b", "n0", "n1", "n2", "n3", "n4", "n5"]);
    // ten minutes are over between two drains, when none is open that could be going on
    for (minutes, hours) in [(3, 0), (300, 24)] {
        all.upgrade = Some(Upgrade { max_parallel: 1, then: Then::Replace(Duration::from_secs(minutes * 60)) });
        let run = play(&load_items(items.clone(), &all));
        assert!(run.is_drained(), "{minutes}m: {:?}", run.nodes);
        assert!(run.took.is_some_and(|took| took > Duration::from_secs(hours * 3600)), "{:?}", run.took);
    }
}

#[test]
fn without_ignore_daemonsets_kubectl_refuses() {
    let mut refused = question(&[2]);
    refused.drain.ignore_daemonsets = false;
    let run = play(&load(&refused));
    assert!(
        matches!(&run.nodes[..], [NodeEnd::Failed(words)] if words.contains("DaemonSet-managed Pods")),
        "{:?}",
        run.nodes
    );
}

#[test]
fn questions_that_make_no_sense_are_told() {
    let told = |question: &Question| {
        let result = Cluster::load(&Disk, &[Input::Path(SHOP.into())], question);
        result.err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    let unknown = Question::drain(&["ip-10-0-0-20.eu-central-1.compute.interna"]);
    assert!(
        told(&unknown).contains("did you mean `ip-10-0-0-20.eu-central-1.compute.internal`?"),
        "{}",
        told(&unknown)
    );
    let mut traffic = question(&[0]);
    traffic.traffic("shop/wep=5/s").unwrap();
    assert!(told(&traffic).contains("did you mean `shop/web`?"), "{}", told(&traffic));
    let mut app = question(&[0]);
    app.app("app=nothing=graceful").unwrap();
    assert!(told(&app).contains("no pod has these labels"), "{}", told(&app));
}

/// Two nodes, the second as its conditions say, and a Deployment with the only pod on it.
fn small(ready: &str) -> Vec<Value> {
    let node = |name: &str, ready: &str| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    };
    let (labels, spec) = (json!({"app": "web"}), json!({"containers": [{"name": "c", "image": "nginx:1.27"}]}));
    let template = json!({"metadata": {"labels": labels}, "spec": spec});
    let mut on_the_second = spec.clone();
    on_the_second["nodeName"] = json!("b");
    let workload = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
    let owner = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "controller": true}]);
    vec![
        node("a", "True"),
        node("b", ready),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": workload}),
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "web-5c", "ownerReferences": owner("Deployment", "web")}, "spec": workload}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-5c-x", "labels": labels,
            "ownerReferences": owner("ReplicaSet", "web-5c")}, "spec": on_the_second,
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": labels, "ports": [{"port": 80}]}}),
    ]
}

fn load_items(items: Vec<Value>, question: &Question) -> Cluster {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let memory = Memory([(PathBuf::from("c.json"), list.into_bytes())].into());
    let cluster = Cluster::load(&memory, &[Input::Path("c.json".into())], question);
    cluster.unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_node_that_does_not_answer_never_lets_its_pods_go() {
    let cluster = load_items(small("Unknown"), &Question::drain(&["b"]));
    let run = play(&cluster);
    assert_eq!(run.nodes, [NodeEnd::Never], "nobody says that the pod has ended");
    assert!(matches!(&run.deadlocks[0].pods[0].why, Why::NodeOff { node } if node == "b"));
    assert!(cluster.assumptions.iter().any(|a| a.contains("does not answer (Ready is Unknown)")), "it is said");
    let mut passed_over = Question::drain(&["b"]);
    passed_over.drain.skip_wait_for_delete_timeout = 60;
    assert!(play(&load_items(small("Unknown"), &passed_over)).is_drained());
    assert!(play(&load_items(small("False"), &Question::drain(&["b"]))).is_drained(), "its kubelet is there");
}

/// A mesh puts its sidecar into pods as they are created: the Deployment of the export does not have it.
#[test]
fn a_sidecar_that_was_injected_into_the_pods_found_is_taken_for_new_ones_too() {
    let proxy = json!({"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.27.1", "restartPolicy": "Always",
        "lifecycle": {"preStop": {"exec": {"command":
            ["pilot-agent", "request", "--debug-port=15020", "POST", "drain"]}}}});
    for native in [false, true] {
        let mut items = small("True");
        let spec = &mut items[4]["spec"];
        if native {
            spec["initContainers"] = json!([{"name": "istio-init", "image": "docker.io/istio/proxyv2:1.27.1"}, proxy]);
        } else {
            let mut ordinary = proxy.clone();
            (ordinary["restartPolicy"], ordinary["lifecycle"]) = (Value::Null, Value::Null);
            spec["containers"].as_array_mut().unwrap().push(ordinary);
        }
        let cluster = load_items(items, &Question::drain(&["b"]));
        let template = &cluster.setup.templates[0];
        let front = template.front.expect("requests come through it");
        assert_eq!(template.container(front.container).name, "istio-proxy");
        assert_eq!((template.serving().name.as_str(), template.container_count()), ("c", 2), "istio-init has ended");
        assert_eq!(template.container(front.container).sidecar, native);
        assert!(cluster.assumptions.iter().any(|a| a.contains("not in their template")), "{:?}", cluster.assumptions);
        assert!(play(&cluster).is_drained());
    }
}

#[test]
fn nothing_is_placed_on_a_node_that_is_not_ready() {
    for ready in ["Unknown", "False"] {
        let mut items = small(ready);
        items[4]["spec"]["nodeName"] = json!("a");
        let run = play(&load_items(items, &Question::drain(&["a"])));
        assert!(run.is_drained(), "{ready}: {:?}", run.nodes);
        assert_eq!(run.homeless.len(), 1, "{ready}: the replacement finds no node, and that is told");
        assert!(run.services[0].is_out, "{ready}");
    }
}

#[test]
fn an_outage_is_followed_to_its_end() {
    let mut items = small("True");
    items[2]["spec"]["minReadySeconds"] = json!(0);
    let probe = json!({"initialDelaySeconds": 90, "periodSeconds": 1, "tcpSocket": {"port": 80}});
    for at in [2, 3] {
        items[at]["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe.clone();
    }
    let run = play(&load_items(items, &Question::drain(&["b"])));
    assert!(run.took.is_some_and(|took| took < Duration::from_secs(30)), "{:?}", run.took);
    let web = &run.services[0];
    assert!(!web.is_out && web.without_endpoints > Duration::from_secs(90), "{:?}", web.without_endpoints);
}

#[test]
fn what_would_keep_requests_from_failing_is_named_and_has_been_tried() {
    let mut items = small("True");
    let export = |items: &[Value]| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    std::fs::write(&path, export(&items)).unwrap();
    let args = ["drain", "b", "-f", path.to_str().unwrap(), "--runs", "3", "--traffic", "*=50/s"];
    let answer = || -> Value {
        let json = drainsim(&[&args[..], &["-o", "json"]].concat()).success().get_output().stdout.clone();
        serde_json::from_slice(&json).unwrap()
    };
    let unprobed = answer();
    let left = unprobed["cure"]["left"].as_str().unwrap();
    assert!(left.contains("counted as Ready before it listened; a readiness probe would have kept it out"), "{left}");
    for at in [2, 3] {
        let probe = json!({"periodSeconds": 1, "tcpSocket": {"port": 80}});
        items[at]["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe;
    }
    std::fs::write(&path, export(&items)).unwrap();
    let answer = answer();
    assert!(answer["services"][0]["failed"].as_u64().unwrap() > 0);
    let cause = answer["losses"][0]["cause"].as_str().unwrap();
    assert!(cause.starts_with("default/web had no ready endpoint from"), "the only pod goes: {cause}");
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"lifecycle":{"preStop":{"sleep":{"seconds":5}}},"name":"c"}],"terminationGracePeriodSeconds":35}}}}"#;
    let changes = [
        "kubectl scale deployment web -n default --replicas=2".to_string(),
        "kubectl create poddisruptionbudget web -n default --selector='app=web' --max-unavailable=1".into(),
        format!("kubectl patch deployment web -n default --patch '{patch}'"),
    ];
    assert_eq!(answer["cure"], json!({"changes": changes, "failed": 0, "left": null, "ends": true}));
    let text = drainsim(&args).success().get_output().stdout.clone();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("tried: with all of these no request fails any more, and the drain ends after"), "{text}");
    assert!(changes.iter().all(|change| text.contains(change)), "each on a line of its own: {text}");
}

#[test]
fn a_scenario_may_take_its_manifests_from_an_export() {
    let scenario = format!(
        "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {{name: replay}}\nspec:\n  duration: 2m\n  manifests: [cluster.json]\n  \
         traffic: [{{service: shop/web, rate: 20/s}}]\n  actions: [{{at: 5s, drain: {{node: {}, ignoreDaemonsets: true}}}}]\n",
        node(1)
    );
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items()}).to_string();
    let files = [("s.yaml", scenario), ("cluster.json", list)];
    let memory = Memory(files.into_iter().map(|(p, t)| (PathBuf::from(p), t.into_bytes())).collect::<BTreeMap<_, _>>());
    let scenario = Scenario::load_from(&memory, &[Input::Path("s.yaml".into())], &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems}"));
    let outcome = drainsim::simulation::run(&scenario.setup, 1, false);
    assert!(outcome.drains[0].completed_at.is_some(), "{:?}", outcome.drains[0].messages);
    assert!(outcome.pods.iter().any(|p| p.name == "postgres-1" && p.times.deleted_at.is_some()), "by its own name");
}

fn drainsim(args: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("drainsim").unwrap().args(args).assert()
}

#[test]
fn the_exit_code_tells_how_it_went() {
    let (fine, blocked) = (node(4), node(3));
    let flags = ["-f", SHOP, "--ignore-daemonsets", "--delete-emptydir-data", "--runs", "2"];
    let with = |first: &[&'static str], node: &str| -> Vec<String> {
        ["drain", node].iter().chain(&flags).chain(first).map(ToString::to_string).collect()
    };
    let run = |args: Vec<String>| drainsim(&args.iter().map(String::as_str).collect::<Vec<_>>());
    run(with(&[], &fine)).code(0);
    let output = run(with(&["-o", "json"], &blocked)).code(1).get_output().stdout.clone();
    let answer: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!((&answer["verdict"], &answer["blocked"][0]["pdb"]), (&json!("never"), &json!("shop/checkout")));
    assert_eq!(answer["changesResolve"], json!(true));
    run(with(&["--traffic", "nobody/home=1/s"], &fine)).code(2);
    drainsim(&["drain", "-f", SHOP, &fine, &fine]).code(2);
    let dry = run(with(&["--dry-run"], &format!("node/{blocked}"))).code(0).get_output().stdout.clone();
    let dry = String::from_utf8(dry).unwrap();
    let (first, last) = (format!("node/{blocked} cordoned (dry run)"), format!("node/{blocked} drained (dry run)"));
    assert_eq!((dry.lines().next(), dry.lines().last()), (Some(first.as_str()), Some(last.as_str())));
    assert!(dry.contains("\nevicting pod shop/checkout-5fba95c5-k8x2q (dry run)\n"), "{dry}");
    let events = run(with(&["-o", "events"], &fine)).code(0).get_output().stdout.clone();
    assert!(String::from_utf8(events).unwrap().starts_with("NAMESPACE"));
    drainsim(&["drain", "-f", SHOP]).code(2);
    drainsim(&["drain", "x", "-f", "no-such-file.yaml"]).code(2);
}
