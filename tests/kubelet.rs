//! What a kubelet does with the containers of a pod, seen in the causal trace: in which order they start and stop, how often
//! they are started again, and what the API is told.

use drainsim::api::Phase;
use drainsim::engine::{Duration, Time};
use drainsim::scenario::{Input, Memory, Scenario};
use drainsim::simulation::observe::What;
use drainsim::simulation::{Outcome, run};

/// The outcome of a scenario with two nodes: `spec` and manifests as they stand in a file. All hops take a fixed time.
fn outcome(spec: &str, manifests: &str, seed: u64) -> Outcome {
    let text = format!(
        "apiVersion: drainsim/v1alpha1
kind: Scenario
metadata: {{name: kubelet}}
spec:
  kubernetes: \"1.36\"
  nodes: [{{name: node-1}}, {{name: node-2}}]
  latencies: {{imagePull: 0s, containerStart: 100ms, sandboxStart: 400ms, plegRelist: 10ms}}
{spec}
---
{manifests}"
    );
    let files = Memory([("s.yaml".into(), text.into_bytes())].into());
    let scenario = Scenario::load_from(&files, &[Input::Path("s.yaml".into())], &[]).unwrap_or_else(|p| panic!("{p}"));
    run(&scenario.setup, seed, true)
}

/// A pod of one container, or more: `spec` is what follows `spec:`.
fn pod(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web, labels: {{app: web}}}}\nspec:\n{spec}")
}

/// A Deployment with no pod at the start; scaled to one later.
fn deployment(replicas: u32, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  selector: \
         {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n{spec}"
    )
}

/// When what `wanted` picks out happened, in the order of the notes.
fn times<T>(outcome: &Outcome, wanted: impl Fn(What) -> Option<T>) -> Vec<(f64, T)> {
    let note = |e: &drainsim::simulation::observe::TraceEntry| Some((e.time.as_secs_f64(), wanted(e.what)?));
    outcome.trace.entries().iter().filter_map(note).collect()
}

fn starts(outcome: &Outcome) -> Vec<(f64, u32)> {
    times(outcome, |what| if let What::ContainerStarted { container, .. } = what { Some(container) } else { None })
}

fn exits(outcome: &Outcome) -> Vec<(f64, u32)> {
    times(outcome, |what| if let What::ContainerExited { container, .. } = what { Some(container) } else { None })
}

fn signals(outcome: &Outcome) -> Vec<(f64, u32)> {
    times(outcome, |what| if let What::SignalArrived { container, .. } = what { Some(container) } else { None })
}

fn numbers(notes: &[(f64, u32)]) -> Vec<u32> {
    notes.iter().map(|(_, container)| *container).collect()
}

const SIDECARS: &str = "  terminationGracePeriodSeconds: 20
  initContainers:
    - {name: first, image: a, restartPolicy: Always}
    - {name: once, image: b}
    - {name: second, image: c, restartPolicy: Always, startupProbe: {tcpSocket: {port: 1}, periodSeconds: 1, failureThreshold: 30}}
  containers:
    - {name: app, image: d}
    - {name: helper, image: e}";

/// The numbers of the containers of [`SIDECARS`].
const APP: u32 = 0;
const HELPER: u32 = 1;
const FIRST: u32 = 2;
const ONCE: u32 = 3;
const SECOND: u32 = 4;

#[test]
fn sidecars_start_in_their_turn_among_the_init_containers() {
    let spec = "  duration: 1m
  apps:
    - {deployment: web, container: second, profile: graceful, startup: 5s}
    - {deployment: web, container: once, exitsAfter: 3s}
    - {deployment: web, profile: graceful, startup: 1s}
  actions: [{at: 10s, scale: {deployment: web, replicas: 1}}]";
    for seed in 0..5 {
        let outcome = outcome(spec, &deployment(0, SIDECARS), seed);
        let starts = starts(&outcome);
        assert_eq!(numbers(&starts), [FIRST, ONCE, SECOND, APP, HELPER]);
        let at = |container: u32| starts.iter().find(|s| s.1 == container).unwrap().0;
        // a sidecar without a startup probe holds up the next one for a sync only
        assert!(at(ONCE) - at(FIRST) < 1.5, "{starts:?}");
        // an init container has to end, and the relist to see that
        assert!((3.0..5.0).contains(&(at(SECOND) - at(ONCE))), "{starts:?}");
        // the startup probe of the sidecar gates what follows
        assert!((5.0..8.0).contains(&(at(APP) - at(SECOND))), "{starts:?}");
        assert!(outcome.pods[0].times.ready_at.is_some());
    }
}

/// kuberuntime_termination_order.go: containers first, then the sidecars from the last one to the first.
#[test]
fn sidecars_stop_after_the_containers_in_reverse_order() {
    let spec = "  duration: 1m
  apps:
    - {selector: {app: web}, container: app, startup: 1s, signals: {SIGTERM: {drain: {linger: 3s}}}}
    - {selector: {app: web}, profile: graceful, startup: 1s}
  actions: [{at: 10s, deletePod: {name: web}}]";
    let outcome = outcome(spec, &pod(SIDECARS), 1);
    let (signals, exits) = (signals(&outcome), exits(&outcome));
    assert_eq!(numbers(&exits), [HELPER, APP, SECOND, FIRST]);
    let mut first_two = numbers(&signals)[..2].to_vec();
    first_two.sort_unstable();
    assert_eq!(first_two, [APP, HELPER], "both containers get SIGTERM at once");
    let at = |notes: &[(f64, u32)], container: u32| notes.iter().find(|s| s.1 == container).unwrap().0;
    assert!(
        at(&signals, SECOND) > at(&exits, APP) && at(&signals, FIRST) > at(&exits, SECOND),
        "{signals:?} {exits:?}"
    );
    assert!(outcome.pods[0].times.sigkill_at.is_none());
}

/// waitForTurn: what a sidecar has waited is charged to its grace period, and 2 s are the least (seconds: grace period, how
/// long the container works on after SIGTERM, expected SIGTERM and SIGKILL of a sidecar that ignores SIGTERM).
#[test]
fn a_sidecar_has_what_the_containers_have_left_of_the_grace_period() {
    for (grace, works, term, kill) in
        [(20, 0, 0, 20), (20, 5, 5, 20), (20, 19, 19, 21), (10, 60, 10, 12), (1, 60, 1, 3)]
    {
        let spec = format!(
            "  duration: 2m
  apps:
    - {{selector: {{app: web}}, container: app, startup: 1s, signals: {{SIGTERM: {{drain: {{linger: {works}s}}}}}}}}
    - {{selector: {{app: web}}, profile: ignores-term, startup: 1s}}
  actions: [{{at: 10s, deletePod: {{name: web}}}}]"
        );
        let manifest = pod(&format!(
            "  terminationGracePeriodSeconds: {grace}
  initContainers: [{{name: proxy, image: a, restartPolicy: Always}}]
  containers: [{{name: app, image: b}}]"
        ));
        let outcome = outcome(&spec, &manifest, 1);
        let began = times(&outcome, |what| matches!(what, What::KillingStarted { .. }).then_some(()))[0].0;
        let proxy: Vec<f64> =
            signals(&outcome).iter().filter(|s| s.1 == 1).map(|(at, _)| (at - began).floor()).collect();
        assert_eq!(proxy, [f64::from(term), f64::from(kill)], "grace {grace}, the container works for {works}");
    }
}

/// doBackOff and flowcontrol.Backoff: 0, 10, 20, 40, … seconds from an end to the next start, late by up to half of what was
/// left when the kubelet saw the end, and by its looks at the runtime and at its queue, a second each.
#[test]
fn a_crash_loop_waits_longer_each_time() {
    let spec = "  duration: 10m
  apps: [{deployment: web, startup: 100ms, exitsAfter: 2s}]
  actions: [{at: 1s, scale: {deployment: web, replicas: 1}}]";
    for seed in 0..5 {
        let outcome = outcome(spec, &deployment(0, "  containers: [{name: app, image: a}]"), seed);
        let (starts, exits) = (starts(&outcome), exits(&outcome));
        for (number, wait) in [0.0, 10.0, 20.0, 40.0, 80.0].into_iter().enumerate() {
            let waited = starts[number + 1].0 - exits[number].0;
            // beyond a minute the kubelet looks once in between
            let latest = wait + (wait / 2.0_f64).min(45.0) + 3.5;
            assert!((wait..latest).contains(&waited), "start {}: {waited} s after the end", number + 1);
        }
        assert!(outcome.pods[0].times.ready_at.is_some(), "without a probe it is Ready as often as it runs");
        assert!(outcome.pods[0].restarts >= 5);
        let put_off = times(&outcome, |what| matches!(what, What::ContainerBacksOff { .. }).then_some(())).len();
        assert!(put_off >= 4);
    }
}

/// Before 1.35 the worker comes again each 10 to 15 s.
#[test]
fn older_kubelets_look_each_ten_seconds() {
    for (version, latest) in [("1.34", 26.0), ("1.36", 43.0)] {
        let spec = "  duration: 5m
  apps: [{deployment: web, startup: 100ms, exitsAfter: 2s}]
  actions: [{at: 1s, scale: {deployment: web, replicas: 1}}]";
        let manifest = deployment(0, "  containers: [{name: app, image: a}]");
        let text = format!(
            "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {{name: s}}\nspec:\n  kubernetes: \"{version}\"\n  \
             nodes: [{{name: node-1}}]\n{spec}\n---\n{manifest}"
        );
        let files = Memory([("s.yaml".into(), text.into_bytes())].into());
        let scenario = Scenario::load_from(&files, &[Input::Path("s.yaml".into())], &[]).unwrap();
        let waited = (0..20).map(|seed| {
            let outcome = run(&scenario.setup, seed, true);
            // the start that has to wait for 20 s
            starts(&outcome)[3].0 - exits(&outcome)[2].0
        });
        let waited = waited.fold(0.0, f64::max);
        assert!((20.0..latest + 10.0).contains(&waited), "{version}: {waited}");
    }
}

/// ShouldContainerBeRestarted and getPhase.
#[test]
fn restart_policies_and_phases() {
    for (policy, code, starts_at_least, ended) in [
        ("Always", 0, 3, None),
        ("OnFailure", 1, 3, None),
        ("OnFailure", 0, 0, Some(Phase::Succeeded)),
        ("Never", 0, 0, Some(Phase::Succeeded)),
        ("Never", 3, 0, Some(Phase::Failed)),
    ] {
        // the pod has just begun where it is to end; where it restarts, it is in its crash loop already
        let spec = format!(
            "  duration: 20m
  apps: [{{selector: {{app: web}}, startup: 1s, exitsAfter: 30s, exitCode: {code}}}]"
        );
        let manifest = pod(&format!("  restartPolicy: {policy}\n  containers: [{{name: app, image: a}}]"));
        let outcome = outcome(&spec, &manifest, 1);
        assert!(starts(&outcome).len() >= starts_at_least, "{policy} {code}");
        assert_eq!(starts(&outcome).is_empty(), ended.is_some(), "{policy} {code}");
        let at = outcome.pods[0].times.ended_at;
        assert_eq!(at.is_some(), ended.is_some(), "{policy} {code}");
        if let Some(at) = at {
            let late = at.since(Time::from_secs(30));
            assert!(late < Duration::from_secs(5), "{policy} {code}: the phase is told {late} after the end");
        }
    }
}

/// A startup probe that never succeeds ends its container after failureThreshold attempts, and the next one as well.
#[test]
fn a_startup_probe_gives_up() {
    let spec = "  duration: 2m
  apps: [{deployment: web, profile: graceful, startup: 10m}]
  actions: [{at: 1s, scale: {deployment: web, replicas: 1}}]";
    let manifest = deployment(
        0,
        "  containers:
    - name: app
      image: a
      startupProbe: {tcpSocket: {port: 1}, periodSeconds: 2, failureThreshold: 5}",
    );
    let outcome = outcome(spec, &manifest, 3);
    let gaveup = times(&outcome, |what| matches!(what, What::ProbeGaveUp { startup: 1, .. }).then_some(()));
    assert!(gaveup.len() >= 3, "{gaveup:?}");
    let started = starts(&outcome)[0].0;
    assert!((8.0..13.0).contains(&(gaveup[0].0 - started)), "five attempts at 2 s: {gaveup:?} after {started}");
    assert!(outcome.pods[0].times.ready_at.is_none());
}

/// setTerminationGracePeriod: the probe's own grace period is the one that counts (pod's, probe's, expected).
#[test]
fn a_liveness_probe_may_have_a_grace_period_of_its_own() {
    for (pods, probes, expected) in [(30, None, 30), (30, Some(5), 5), (5, Some(20), 20), (1, None, 2)] {
        let spec = "  duration: 3m
  apps: [{selector: {app: web}, profile: graceful, startup: 1s, hangsAt: 20s}]";
        let own = probes.map_or(String::new(), |s| format!(", terminationGracePeriodSeconds: {s}"));
        let manifest = pod(&format!(
            "  terminationGracePeriodSeconds: {pods}
  containers:
    - {{name: app, image: a, livenessProbe: {{tcpSocket: {{port: 1}}, periodSeconds: 5{own}}}}}"
        ));
        let outcome = outcome(spec, &manifest, 1);
        let signals = signals(&outcome);
        assert_eq!(signals.len(), 2, "SIGTERM, which it does not take, and SIGKILL");
        // 3 attempts at 5 s, each with a timeout of 1 s
        assert!((30.0..38.0).contains(&signals[0].0), "{signals:?}");
        assert_eq!((signals[1].0 - signals[0].0).round(), f64::from(expected), "{pods} {probes:?}");
        assert_eq!((starts(&outcome).len(), outcome.pods[0].restarts), (1, 1));
    }
}

/// nodeshutdown_manager.go killPods: ordinary pods first, then critical ones, each with what is left of its group's time.
#[test]
fn a_shutdown_stops_pods_by_priority() {
    let spec = "  duration: 2m
  kubelet: {shutdownGracePeriod: 30s, shutdownGracePeriodCriticalPods: 10s}
  apps: [{selector: {}, profile: ignores-term, startup: 1s}]
  actions: [{at: 10s, shutdown: node-1}]";
    let one = |name: &str, rest: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: web}}}}\nspec:\n  nodeName: node-1\n{rest}  \
             containers: [{{name: app, image: a}}]\n"
        )
    };
    let manifests = [
        one("ordinary", ""),
        one("short", "  terminationGracePeriodSeconds: 5\n"),
        one("critical", "  priorityClassName: system-node-critical\n"),
    ];
    let outcome = outcome(spec, &manifests.join("---\n"), 1);
    let killed = |name: &str| {
        let pod = outcome.pods.iter().find(|p| p.name == name).unwrap();
        pod.times.sigkill_at.map(|at| at.as_secs_f64().floor())
    };
    assert_eq!((killed("short"), killed("ordinary")), (Some(15.0), Some(30.0)));
    // the group's time is over just when its last pod is killed; the critical one has 10 s, and then there is no power
    assert_eq!(killed("critical"), None);
    let off = times(&outcome, |what| matches!(what, What::NodeOff { .. }).then_some(()))[0].0;
    assert!((40.0..40.5).contains(&off), "{off}");
    assert!(outcome.pods.iter().all(|p| p.times.deleted_at.is_none()));
}

/// rejectPod: what is bound to a node just before it is known that it is being shut down fails.
#[test]
fn a_node_that_is_being_shut_down_admits_no_pods() {
    let spec = "  duration: 20s
  kubelet: {shutdownGracePeriod: 30s}
  apps: [{selector: {app: web}, profile: ignores-term, startup: 1s}]
  placement: {web: [node-1]}
  actions: [{at: 9950ms, deletePod: {name: web}}, {at: 10s, shutdown: node-1}]";
    let manifest =
        deployment(1, "  nodeSelector: {kubernetes.io/hostname: node-1}\n  containers: [{name: app, image: a}]");
    // what the scheduler binds before it knows that the node is not ready
    let rejected = (0..40).filter(|seed| {
        let outcome = outcome(spec, &manifest, *seed);
        !times(&outcome, |what| matches!(what, What::PodRejected { .. }).then_some(())).is_empty()
    });
    assert!(rejected.count() > 0);
}
