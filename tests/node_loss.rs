//! When what happens after a node is lost: the times that Kubernetes' documentation and kubespray's promise, over many
//! seeds, from real scenarios.

use std::path::PathBuf;

use drainsim::engine::{Duration, Time};
use drainsim::scenario::{Input, Memory, Scenario};
use drainsim::simulation::observe::What;
use drainsim::simulation::outage::Part;
use drainsim::simulation::{self, Outcome};

/// A cluster with one pod on node-1, and what is done to it; `%` stands for more of the pod's spec.
fn scenario(spec: &str, more_of_the_pod: &str) -> Scenario {
    let text = format!(
        "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {{name: s}}\nspec:\n{spec}\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
{more_of_the_pod}      containers: [{{name: web, image: \"nginx:1\", readinessProbe: {{httpGet: {{port: 80}}, periodSeconds: 1}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
"
    );
    let memory = Memory([(PathBuf::from("s.yaml"), text.into_bytes())].into());
    Scenario::load_from(&memory, &[Input::Path("s.yaml".into())], &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

const NODES: &str = "  nodes: [{name: node-1}, {name: node-2}, {name: node-3}]\n  placement: {web: [node-1]}\n";

/// Where the fault is, in seconds; late enough for heartbeats to be anywhere.
const FAULT: u64 = 100;

fn run(scenario: &Scenario, seed: u64) -> Outcome {
    simulation::run(&scenario.setup, seed, true)
}

/// The first time that something is noted, in seconds after the fault.
fn first(outcome: &Outcome, is: impl Fn(What) -> bool) -> Option<f64> {
    let found = outcome.trace.entries().iter().find(|e| is(e.what));
    found.map(|e| e.time.as_secs_f64() - Time::from_secs(FAULT).as_secs_f64())
}

/// From the fault to: the node is given up, it is tainted, its pod is deleted.
fn times(outcome: &Outcome) -> [f64; 3] {
    [
        first(outcome, |w| matches!(w, What::NodeUnreachable { .. })).expect("given up"),
        first(outcome, |w| matches!(w, What::PodsDrivenAway { .. })).expect("tainted"),
        first(outcome, |w| matches!(w, What::PodDeleted { .. })).expect("deleted"),
    ]
}

/// The documented combinations of settings, and what their documentation says of the time until pods are evicted. A
/// heartbeat is up to one interval old when the node fails, the monitor notices heartbeats and the end of the grace
/// period up to a pass late, and taints a node a pass after it has given it up.
///
/// Source of the settings: kubespray `docs/kubernetes-reliability.md`. Its `--pod-eviction-timeout` is gone (1.27); its
/// heirs are the tolerations that admission adds.
#[test]
fn documented_settings_give_their_documented_times() {
    struct Row {
        version: &'static str,
        settings: &'static str,
        interval: f64,
        period: f64,
        grace: f64,
        toleration: f64,
    }
    let row = |version, settings, interval, period, grace, toleration| Row {
        version,
        settings,
        interval,
        period,
        grace,
        toleration,
    };
    for row in [
        row("1.29", "", 10.4, 5.0, 40.0, 300.0),
        row("1.31", "", 10.4, 5.0, 40.0, 300.0),
        row("1.32", "", 10.4, 5.0, 50.0, 300.0),
        row("1.33", "", 10.4, 5.0, 50.0, 300.0),
        row("1.36", "", 10.4, 5.0, 50.0, 300.0),
        // "Fast Update and Fast Reaction": 4s, 2s, 20s, 30s; 50 s
        row(
            "1.36",
            "  kubelet: {nodeStatusUpdateFrequency: 4s}\n  controllerManager: {nodeMonitorPeriod: 2s, \
             nodeMonitorGracePeriod: 20s}\n  apiServer: {defaultUnreachableTolerationSeconds: 30}\n",
            4.2,
            2.0,
            20.0,
            30.0,
        ),
        // "Medium Update and Average Reaction": 20s, 5s, 2m, 1m; 3 min. The lease is renewed each 10 s all the same
        row(
            "1.29",
            "  kubelet: {nodeStatusUpdateFrequency: 20s}\n  controllerManager: {nodeMonitorGracePeriod: 2m}\n  \
             apiServer: {defaultUnreachableTolerationSeconds: 60}\n",
            10.4,
            5.0,
            120.0,
            60.0,
        ),
        // "Low Update and Slow reaction": 1m, 5s, 5m, 1m; 6 min
        row(
            "1.29",
            "  kubelet: {nodeStatusUpdateFrequency: 1m}\n  controllerManager: {nodeMonitorGracePeriod: 5m}\n  \
             apiServer: {defaultUnreachableTolerationSeconds: 60}\n",
            10.4,
            5.0,
            300.0,
            60.0,
        ),
    ] {
        let Row { version, settings, interval, period, grace, toleration } = row;
        let spec = format!(
            "  kubernetes: \"{version}\"\n  duration: 10m\n  latencyProfile: idle-lab\n{settings}{NODES}  actions: [{{at: \
             {FAULT}s, shutOff: node-1}}]\n"
        );
        let scenario = scenario(&spec, "");
        let seeds = 60;
        let mut sum = 0.0;
        for seed in 1..=seeds {
            let [given_up, tainted, deleted] = times(&run(&scenario, seed));
            let label = format!("{version} {settings} seed {seed}: {given_up} {tainted} {deleted}");
            assert!(given_up > grace - interval && given_up < grace + period + 0.2, "{label}");
            let tainting = tainted - given_up;
            assert!(tainting > period - 0.1 && tainting < period + 0.3, "{label}");
            let tolerated = deleted - tainted;
            assert!(tolerated >= toleration && tolerated < toleration + 0.2, "{label}");
            sum += deleted;
        }
        let mean = sum / f64::from(u32::try_from(seeds).unwrap());
        let expected = grace - interval / 2.0 + period / 2.0 + period + toleration;
        assert!((mean - expected).abs() < 1.5, "{version} {settings}: {mean}, expected {expected}");
        assert!((mean - (grace + toleration)).abs() < 6.0, "{version} {settings}: {mean} is not what is documented");
    }
}

/// When a pod is deleted after its node has been tainted (`None`: never), by its tolerations: processPodOnNode and
/// DefaultTolerationSeconds (v1.36).
#[test]
fn tolerations_decide_when_pods_go() {
    let unreachable = |rest: &str| format!("{{key: node.kubernetes.io/unreachable, operator: Exists{rest}}}");
    for (tolerations, expected) in [
        (String::new(), Some(300.0)),
        (unreachable(", effect: NoExecute, tolerationSeconds: 30"), Some(30.0)),
        (unreachable(", effect: NoExecute, tolerationSeconds: 0"), Some(0.0)),
        (unreachable(", effect: NoExecute"), None),
        (unreachable(""), None),
        ("{operator: Exists}".to_string(), None),
        ("{operator: Exists, effect: NoExecute, tolerationSeconds: 60}".to_string(), Some(60.0)),
        // for another effect or key: admission adds its own
        (unreachable(", effect: NoSchedule"), Some(300.0)),
        ("{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute}".to_string(), Some(300.0)),
        // the first one that matches counts
        (
            format!(
                "{}, {}",
                unreachable(", effect: NoExecute, tolerationSeconds: 60"),
                unreachable(", effect: NoExecute, tolerationSeconds: 5")
            ),
            Some(60.0),
        ),
    ] {
        let more = format!("      tolerations: [{tolerations}]\n");
        let spec = format!("  duration: 9m\n{NODES}  actions: [{{at: {FAULT}s, shutOff: node-1}}]\n");
        let outcome = run(&scenario(&spec, &more), 1);
        let tainted = first(&outcome, |w| matches!(w, What::PodsDrivenAway { .. })).expect("tainted");
        let deleted = first(&outcome, |w| matches!(w, What::PodDeleted { .. }));
        match (deleted, expected) {
            (None, None) => {}
            (Some(deleted), Some(expected)) => {
                let after = deleted - tainted;
                assert!(after >= expected && after < expected + 1.0, "{tolerations}: {after}");
            }
            _ => panic!("{tolerations}: deleted {deleted:?}, expected {expected:?}"),
        }
    }
}

/// How many nodes are tainted, and how far apart, by how many fail in zones of what sizes. The run ends five minutes after
/// the fault.
#[test]
fn zones_decide_how_fast_nodes_are_tainted() {
    for (label, sizes, lost, expected) in [
        ("one of three", &[3][..], &[1][..], 1),
        ("two of three", &[3], &[2], 2),
        ("all of the only zone: nobody is driven away", &[3], &[3], 0),
        ("three of four: a small zone that is partly disrupted", &[4], &[3], 0),
        ("three of six: half is not enough", &[6], &[3], 3),
        ("all of one zone, the other is well", &[3, 3], &[3, 0], 3),
        ("all of both zones", &[2, 2], &[2, 2], 0),
        ("five of eight in one zone, the other is well", &[8, 2], &[5, 0], 0),
        // the first before more than half of them have been given up; then a new limiter of 0.01 a second, which begins
        // empty
        ("forty of sixty: a large zone that is partly disrupted", &[60], &[40], 3),
    ] {
        let mut nodes = String::new();
        let mut actions = String::new();
        for (zone, (size, lost)) in sizes.iter().zip(lost).enumerate() {
            for n in 0..*size {
                let name = format!("z{zone}-{n}");
                nodes.push_str(&format!("{{name: {name}, labels: {{topology.kubernetes.io/zone: z{zone}}}}}, "));
                if n < *lost {
                    actions.push_str(&format!("{{at: {FAULT}s, shutOff: {name}}}, "));
                }
            }
        }
        let spec =
            format!("  duration: 400s\n  nodes: [{nodes}]\n  placement: {{web: [z0-0]}}\n  actions: [{actions}]\n");
        let outcome = run(&scenario(&spec, "      tolerations: [{operator: Exists}]\n"), 3);
        let tainted = outcome.trace.entries().iter().filter(|e| matches!(e.what, What::PodsDrivenAway { .. }));
        let times: Vec<f64> = tainted.map(|e| e.time.as_secs_f64()).collect();
        assert_eq!(times.len(), expected, "{label}: {times:?}");
        let (least, most) = if sizes == [60] { (99.9, 106.0) } else { (9.9, 10.6) };
        for pair in times.windows(2) {
            assert!((least..most).contains(&(pair[1] - pair[0])), "{label}: {times:?}");
        }
    }
}

/// Nodes that come back one after the other after all have been silent: all grace periods begin anew with the first.
#[test]
fn after_full_disruption_everybody_gets_a_new_grace_period() {
    let spec = format!(
        "  duration: 10m\n{NODES}  actions:\n    - {{at: {FAULT}s, stopKubelet: node-1}}\n    - {{at: {FAULT}s, stopKubelet: \
         node-2}}\n    - {{at: {FAULT}s, stopKubelet: node-3}}\n    - {{at: 300s, startKubelet: node-2}}\n"
    );
    let outcome = run(&scenario(&spec, ""), 1);
    // the taints that the first two nodes to be given up may have got are gone when the third is
    let kept = first(&outcome, |w| matches!(w, What::PodsKept { .. }));
    let tainted: Vec<f64> = outcome
        .trace
        .entries()
        .iter()
        .filter(|e| matches!(e.what, What::PodsDrivenAway { .. }))
        .map(|e| e.time.as_secs_f64())
        .collect();
    assert!(kept.is_none_or(|at| at < 70.0), "{kept:?}");
    let late: Vec<f64> = tainted.into_iter().filter(|at| *at > 300.0).collect();
    // their condition is Unknown all the time, so they are tainted in turn when tainting goes on; the new limiter begins
    // empty, for the old one gave nothing
    assert_eq!(late.len(), 2, "{late:?}");
    assert!(late[0] > 311.0 && late[0] < 325.0 && (late[1] - late[0] - 10.0).abs() < 0.6, "{late:?}");
}

/// A kubelet that is back before the toleration has run out keeps its pods; one that is back later stops them.
#[test]
fn a_node_that_returns_in_time_keeps_its_pods() {
    for (fault, back, returns, stays) in [
        ("stopKubelet", "startKubelet", 350, true),
        ("stopKubelet", "startKubelet", 500, false),
        ("shutOff", "powerOn", 350, true),
        ("shutOff", "powerOn", 500, false),
    ] {
        let spec = format!(
            "  duration: 12m\n  latencies: {{nodeBoot: 30s, kubeletStart: 2s}}\n{NODES}  actions:\n    - {{at: {FAULT}s, \
             {fault}: node-1}}\n    - {{at: {returns}s, {back}: node-1}}\n"
        );
        let outcome = run(&scenario(&spec, ""), 1);
        let label = format!("{fault} {back} at {returns}");
        let old = &outcome.pods[0];
        assert_eq!(outcome.pods.len(), if stays { 1 } else { 2 }, "{label}");
        assert_eq!(old.times.deleted_at.is_none(), stays, "{label}");
        assert_eq!(old.times.removed_at.is_none(), stays, "{label}: its kubelet confirms the end");
        if let Some(removed) = old.times.removed_at {
            assert!(removed > Time::from_secs(returns), "{label}: {removed}");
        }
        let outage = &outcome.services[0].outages[0];
        assert_eq!(outage.part(Part::Return).is_some(), stays, "{label}: {outage:?}");
        assert!(outage.to.is_some(), "{label}");
        assert!(first(&outcome, |w| matches!(w, What::NodeReady { .. })).is_some(), "{label}: the node is Ready again");
    }
}

/// The parts add up to the whole, whatever happens.
#[test]
fn the_parts_of_an_outage_add_up() {
    let spec = format!("  duration: 9m\n{NODES}  actions: [{{at: {FAULT}s, shutOff: node-1}}]\n");
    for seed in 1..20 {
        let outcome = run(&scenario(&spec, ""), seed);
        let outage = &outcome.services[0].outages[0];
        let sum = Part::ALL.iter().filter_map(|part| outage.part(*part)).fold(Duration::ZERO, |sum, part| sum + part);
        assert_eq!(sum, outage.total());
        let names: Vec<_> = outage.parts.iter().map(|(part, _)| part.name()).collect();
        let all = ["detection", "tainting", "toleration", "recreation", "scheduling", "startup", "readiness"];
        assert_eq!(names, all);
        assert_eq!(outage.begins.0, Time::from_secs(FAULT));
    }
}

/// A pod on a dead node stays Terminating until somebody says that it is dead.
#[test]
fn what_lets_a_stuck_pod_go() {
    for (label, action, from, to) in [
        ("nothing", "", None, 0.0),
        (
            "the out-of-service taint",
            "{at: 500s, taint: {node: node-1, taint: \"node.kubernetes.io/out-of-service=x:NoExecute\"}}",
            Some(400.0),
            421.0,
        ),
        ("deletion of the Node object", "{at: 500s, deleteNode: node-1}", Some(440.0), 461.0),
        ("deletion by force", "{at: 500s, deletePod: {name: web, force: true}}", None, 0.0),
    ] {
        let spec = format!(
            "  duration: 10m\n  latencyProfile: idle-lab\n{NODES}  actions:\n    - {{at: {FAULT}s, shutOff: node-1}}\n{}",
            if action.is_empty() { String::new() } else { format!("    - {action}\n") }
        );
        for seed in 1..6 {
            let outcome = run(&scenario(&spec, ""), seed);
            let removed = outcome.pods[0].times.removed_at.map(|at| at.as_secs_f64() - 100.0);
            match (removed, from) {
                (Some(at), Some(from)) => assert!(at >= from && at <= to, "{label}: {at}"),
                // the name of an action's pod is that of a living one: the replacement's
                (removed, None) => assert_eq!(removed, None, "{label}"),
                (None, Some(_)) => panic!("{label}: not removed"),
            }
        }
    }
    // named in full, the stuck one goes at once
    let spec = format!("  duration: 9m\n{NODES}  actions: [{{at: {FAULT}s, shutOff: node-1}}]\n");
    let name = run(&scenario(&spec, ""), 1).pods[0].name.clone();
    let spec = format!(
        "  duration: 10m\n{NODES}  actions:\n    - {{at: {FAULT}s, shutOff: node-1}}\n    - {{at: 500s, deletePod: {{name: \
         {name}, force: true, gracePeriod: 0}}}}\n"
    );
    let outcome = run(&scenario(&spec, ""), 1);
    assert!(
        outcome.pods[0].times.removed_at.is_some_and(|at| at < Time::from_secs(501)),
        "{:?}",
        outcome.pods[0].times
    );
}

/// A pod that is deleted while its kubelet cannot be reached stops when the kubelet hears of it: with its own grace period if
/// the object is gone by then, since nobody has told the kubelet of another one.
#[test]
fn a_cut_off_kubelet_learns_late() {
    for (force, heal) in [(false, "5m"), (true, "5m")] {
        let spec = format!(
            "  duration: 12m\n  latencies: {{reconnect: 1s}}\n{NODES}  actions:\n    - {{at: {FAULT}s, partition: {{node: \
             node-1, healAfter: {heal}}}}}\n    - {{at: 110s, deletePod: {{name: web, force: {force}}}}}\n"
        );
        let outcome = run(&scenario(&spec, ""), 1);
        let times = outcome.pods[0].times;
        assert!(times.deleted_at.is_some_and(|at| at < Time::from_secs(112)), "{times:?}");
        assert_eq!(times.removed_at.is_some_and(|at| at < Time::from_secs(112)), force, "{times:?}");
        let killing = times.killing_at.expect("the kubelet stops it in the end");
        assert!(killing > Time::from_secs(401) && killing < Time::from_secs(404), "{killing}");
        assert!(times.removed_at.is_some() && times.exited_at.is_some(), "{times:?}");
    }
}
