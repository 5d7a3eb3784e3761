//! What commands advise for manifests as people have them: several workloads, short grace periods, Services of all kinds. Each
//! patch is applied to the manifest that it is for, and has to give what was promised.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const FRONT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: front}
spec:
  replicas: 3
  selector: {matchLabels: {app: front}}
  template:
    metadata: {labels: {app: front}}
    spec:
      terminationGracePeriodSeconds: GRACE
      containers: [{name: c, image: "nginx:1.27", readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {selector: {app: front}, ports: [{port: 80}]}
"#;

/// Beside it: a database behind a headless Service that publishes all its pods, an agent on every node, a lonely cache.
const OTHERS: &str = r#"
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: "postgres:16"}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: c, image: "agent:1"}]}
"#;

const CACHE: &str = r#"
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cache}
spec:
  selector: {matchLabels: {app: cache}}
  template:
    metadata: {labels: {app: cache}}
    spec: {containers: [{name: c, image: "redis:7"}]}
---
apiVersion: v1
kind: Service
metadata: {name: cache}
spec: {selector: {app: cache}, ports: [{port: 6379}]}
"#;

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A scenario that drains n1 of three nodes, with these manifests.
fn scenario(folder: &Path, drain: &str, manifests: &str) -> String {
    let text = format!(
        "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {{name: s}}\nspec:\n  duration: 45s\n  \
         nodes: [{{name: n1}}, {{name: n2}}, {{name: n3}}]\n  apps:\n  - {{deployment: front, profile: nginx, startup: 1s, serviceTime: 10ms}}\n  \
         traffic: [{{service: front, rate: 10/s}}]\n  actions: [{{at: 10s, drain: {{node: n1{drain}}}}}]\n---\n{manifests}"
    );
    write(folder, "s.yaml", &text)
}

/// The exit code, and what is printed.
fn drainsim(args: &[&str]) -> (i32, String) {
    let output = Command::new(assert_cmd::cargo::cargo_bin("drainsim")).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text.into_owned())
}

/// The objects that patches are for, and what they would have.
fn patches(text: &str) -> Vec<(String, Value)> {
    let command = |line: &str| {
        let (head, rest) = line.trim().strip_prefix("kubectl patch ")?.split_once(" --patch '")?;
        let name = head.split(" -n ").next()?.to_string();
        Some((name, serde_json::from_str(rest.strip_suffix('\'')?).unwrap()))
    };
    text.lines().filter_map(command).collect()
}

fn pod(patch: &Value) -> &Value {
    &patch["spec"]["template"]["spec"]
}

#[test]
fn the_patch_of_bound_has_a_grace_period_that_outlasts_its_sleep() {
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "", &FRONT.replace("GRACE", "3"));
    let (code, text) = drainsim(&["bound", &file, "--runs", "4"]);
    let patches = patches(&text);
    assert_eq!((code, patches.len()), (0, 1), "{text}");
    let pod = pod(&patches[0].1);
    let sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    assert!(sleep >= 3 && pod["terminationGracePeriodSeconds"] == sleep + 3, "{text}");
    let sets = [format!("preStop={sleep}s"), format!("gracePeriod={}s", sleep + 3)];
    let (_, after) = drainsim(&["bound", &file, "--runs", "4", "--set", &sets[0], "--set", &sets[1]]);
    assert!(after.starts_with("✓ every listener outlives the last route"), "{after}");
}

#[test]
fn bound_tells_apart_what_it_shows_and_what_only_more_replicas_cure() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        scenario(folder.path(), ", ignoreDaemonsets: true", &[&FRONT.replace("GRACE", "30"), OTHERS, CACHE].concat());
    let (code, text) = drainsim(&["bound", &file, "--runs", "64", "-o", "json"]);
    assert_eq!(code, 0, "nobody is routed by a headless Service: {text}");
    let data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["outages"], serde_json::json!(["default/cache"]));
    let workloads: Vec<&str> =
        data["workloads"].as_array().unwrap().iter().map(|w| w["workload"].as_str().unwrap()).collect();
    assert_eq!(workloads, ["Deployment/front", "Deployment/cache"], "no Service of the others is routed");
    let short = data["attained"]["shortOfBoundSeconds"].as_f64().unwrap();
    assert!(short >= 0.0, "no run is worse than what is proved: {text}");
    let (_, text) = drainsim(&["bound", &file, "--runs", "64"]);
    assert!(text.contains("not so for default/cache: it has no endpoint when its only pod goes"), "{text}");
}

const FAST: [&str; 8] = ["--in", "80%", "--confidence", "80%", "--up-to", "2s", "--runs", "8"];

#[test]
fn tune_shortens_no_grace_period_and_patches_only_what_is_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    let drain = ", ignoreDaemonsets: true";
    let file = scenario(folder.path(), drain, &[&FRONT.replace("GRACE", "60"), OTHERS].concat());
    let (code, text) = drainsim(&[&["tune", &file][..], &FAST].concat());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("terminationGracePeriodSeconds may stay at 60: the longest shutdown took"), "{text}");
    let patches = patches(&text);
    assert!(patches.iter().all(|(name, _)| name == "deployment front") && patches.len() == 1, "{text}");
    assert_eq!(pod(&patches[0].1)["terminationGracePeriodSeconds"], 60, "{text}");
}

#[test]
fn tune_tells_that_kubectl_gave_up_and_which_flag_it_wants() {
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "", &[&FRONT.replace("GRACE", "30"), OTHERS].concat());
    let (code, text) = drainsim(&[&["tune", &file][..], &FAST].concat());
    assert_eq!(code, 1, "{text}");
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("kubectl gave a drain up: cannot delete DaemonSet-managed Pods (use --ignore-daemonsets"),
        "{text}"
    );
    assert!(flat.contains("which is `ignoreDaemonsets: true` in the scenario's drain"), "{text}");
    let (_, text) = drainsim(&["run", &file, "--runs", "3"]);
    assert!(text.contains("kubectl gave it up: cannot delete DaemonSet-managed Pods"), "{text}");
}

/// `/wait-shutdown` stops nginx at once: more time after that would not help.
#[test]
fn a_hook_that_is_no_sleep_is_to_begin_later() {
    let (_, text) = drainsim(&["run", "scenarios/app-ingress-nginx.yaml"]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("a preStop sleep of 1 s before what the hook does now would have covered it"), "{text}");
    assert!(!text.contains("sleep longer by"), "{text}");
}

/// Before 1.30 a sleep is a command, and the image has to have it.
#[test]
fn without_a_sleep_action_the_sleep_is_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "", &FRONT.replace("GRACE", "30"));
    let old = ["--set", "spec.kubernetes=\"1.29\""];
    let assumed = "the image of container c has the program `sleep`";
    for command in [
        &["tune", &file, "--in", "50%", "--confidence", "60%", "--up-to", "3s"][..],
        &["bound", &file, "--runs", "4"],
        &["run", &file, "--set", "preStop=5s"],
    ] {
        let (code, text) = drainsim(&[command, &old].concat());
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 0 && text.contains(assumed), "{command:?}: {text}");
        assert!(!text.contains("\"sleep\":{"), "{command:?}: {text}");
    }
    let (_, text) = drainsim(&[&["bound", &file, "--runs", "4"][..], &old].concat());
    let patches = patches(&text);
    let hook = &pod(&patches[0].1)["containers"][0]["lifecycle"]["preStop"];
    assert_eq!(hook["exec"]["command"][0], "sleep", "{text}");
}
