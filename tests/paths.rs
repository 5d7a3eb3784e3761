//! Paths as people have measured them: whole runs, many seeds.

use drainsim::engine::{Duration, Time};
use drainsim::scenario::{Input, Scenario, library};
use drainsim::simulation::observe::What;
use drainsim::simulation::outcome::PodOutcome;
use drainsim::simulation::{Outcome, Setup, run};

/// The scenario path-kube-proxy with another path.
fn setup(via: &str, sleep: u64, sets: &[&str]) -> Setup {
    let builtin = library::find("path-kube-proxy").unwrap();
    let input = Input::Builtin { name: builtin.name.into(), text: builtin.text.into() };
    let mut all = vec![
        format!("spec.traffic[0].via={via}"),
        "spec.traffic[0].rate=40/s".to_string(),
        format!("preStop={sleep}s"),
        format!("gracePeriod={}s", sleep + 60),
    ];
    all.extend(sets.iter().map(ToString::to_string));
    Scenario::load(&[input], &all).unwrap_or_else(|problems| panic!("{problems}")).setup
}

fn outcomes(setup: &Setup, seeds: u64) -> impl Iterator<Item = Outcome> + '_ {
    (1..=seeds).map(|seed| run(setup, seed, false))
}

/// "502 without preStop, very rarely with a sleep of 40 s, not found with one of 70 s": aws-load-balancer-controller issue
/// 2106. One drain here is a pod; a load balancer of six machines makes six chances of it.
#[test]
fn an_alb_loses_much_without_a_sleep_little_with_40_s_and_nothing_with_70_s() {
    let losing = |sleep: u64| {
        // Nothing is lost before the pod's process ends.
        let (start, stop) = (sleep + 25, sleep + 80);
        let sets = [&*format!("spec.traffic[0].start={start}s"), &*format!("spec.traffic[0].stop={stop}s")];
        let setup = setup("{profile: aws-alb-ip, machines: 6}", sleep, &sets);
        let failed: Vec<u64> = outcomes(&setup, 200).map(|outcome| outcome.requests.failed()).collect();
        (failed.iter().filter(|failed| **failed > 0).count(), failed.iter().sum::<u64>())
    };
    let [none, forty, seventy] = [0, 40, 70].map(losing);
    assert_eq!(none.0, 200, "every run loses without a sleep");
    assert!((1..=10).contains(&forty.0), "rare with 40 s: {forty:?}");
    assert!(none.1 > 100 * forty.1, "{none:?} against {forty:?}");
    assert_eq!(seventy, (0, 0), "none with 70 s");
}

/// How long after its deletion the last route to a pod was gone, in seconds, in order.
fn clean_after(setup: &Setup, seeds: u64) -> Vec<f64> {
    let clean = |pod: &PodOutcome| Some(pod.times.last_route_clean?.0.since(pod.times.deleted_at?).as_secs_f64());
    let mut all: Vec<f64> =
        outcomes(setup, seeds).flat_map(|outcome| outcome.pods.iter().filter_map(clean).collect::<Vec<_>>()).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// With a readiness gate, a new pod is Ready after its target is healthy: in every run, whatever was drawn. Without, it is Ready
/// long before.
#[test]
fn gated_pods_are_ready_after_their_targets_are_healthy() {
    for (profile, machines) in [("aws-alb-ip", 1), ("aws-alb-ip", 4), ("aws-nlb-ip", 2), ("gcp-neg", 2)] {
        let via = format!("{{profile: {profile}, machines: {machines}, readinessGate: true}}");
        let setup = setup(&via, 5, &["spec.duration=15m", "spec.traffic[0].rate=1/s"]);
        for seed in 1..=20 {
            let outcome = run(&setup, seed, true);
            let at = |pod, is: fn(What) -> bool| {
                let of_pod = outcome.trace.entries().iter().filter(move |entry| entry.what.pod() == Some(pod));
                of_pod.filter(move |entry| is(entry.what)).map(|entry| entry.time).next()
            };
            let new: Vec<_> = outcome.pods.iter().filter(|pod| pod.created_at > Time::ZERO).collect();
            assert!(!new.is_empty(), "{profile}: the drained pod has a successor");
            for pod in new {
                let listens = at(pod.id, |what| matches!(what, What::ListenerOpened { .. })).unwrap();
                let healthy = at(pod.id, |what| matches!(what, What::TargetHealth { healthy: 1, .. })).unwrap();
                let written = at(pod.id, |what| matches!(what, What::GateWritten { status: 1, .. })).unwrap();
                let ready = at(pod.id, |what| matches!(what, What::PodReady { .. })).unwrap();
                let order = [listens, healthy, written, ready];
                assert!(order.is_sorted_by(|a, b| a < b), "{profile}, seed {seed}: {order:?}");
                assert!(ready.since(healthy) < Duration::from_secs(4), "{profile}, seed {seed}: {order:?}");
            }
        }
    }
}

/// A gate that nobody sets is taken to be True, and one that is always True changes nothing.
#[test]
fn a_gate_that_nobody_sets_changes_nothing() {
    let gate = "Deployment/default/web:spec.template.spec.readinessGates=[{conditionType: example.com/a}]";
    let (plain, gated) = (setup("aws-alb-ip", 5, &[]), setup("aws-alb-ip", 5, &[gate]));
    assert_eq!(gated.templates[0].readiness_gates.len(), 1);
    for seed in 1..=3 {
        assert_eq!(run(&plain, seed, false).digest, run(&gated, seed, false).digest);
    }
}

/// "Consistently two minutes", "about two minutes" to a target that answers: aws-load-balancer-controller issues 2366 and 3270,
/// aws/containers-roadmap issue 470.
#[test]
fn an_nlb_goes_on_sending_for_two_minutes() {
    let late = clean_after(&setup("aws-nlb-ip", 200, &["spec.traffic[0].rate=2/s"]), 40);
    assert_eq!(late.len(), 40, "one pod a run");
    let median = late[late.len() / 2];
    assert!((95.0..135.0).contains(&median) && late[0] > 60.0 && late[39] < 200.0, "{late:?}");
}

/// A target that does not answer is found by health checks before that: three of them, 10 s apart, and a timeout.
#[test]
fn health_checks_of_an_nlb_find_a_dead_pod_before_the_deregistration_is_through() {
    let setup = setup("aws-nlb-ip", 0, &["spec.traffic[0].rate=20/s"]);
    let late = clean_after(&setup, 20);
    assert!(late[0] > 30.0 && late[19] < 42.0, "{late:?}");
    let last = run(&setup, 1, false).failures.last().map(|failure| failure.sent_at.as_secs_f64()).unwrap();
    assert!((55.0..75.0).contains(&last), "deleted at 30 s, lost until {last}");
}

/// What a load balancer is told about nodes: nothing by a drain, everything by cluster-autoscaler, and too late by power.
#[test]
fn a_drained_node_is_a_transit_hop_and_one_without_power_a_hole() {
    let actions = |actions: &str| format!("spec.actions={actions}");
    let lost = |actions: &str| {
        let setup = setup("aws-nlb-instance", 10, &[actions]);
        let outcome = run(&setup, 3, false);
        (outcome.requests.failed(), outcome.requests.sent)
    };
    let (drained, _) = lost(&actions("[{at: 30s, drain: {node: node-1}}]"));
    assert_eq!(drained, 0, "its kube-proxy forwards to the others");
    // A third of the connections, until three checks have failed: 20 to 40 s of 40 requests a second.
    let (off, _) = lost(&actions("[{at: 30s, drain: {node: node-1}}, {at: 90s, shutOff: node-1}]"));
    assert!((200..700).contains(&off), "{off}");
}

/// Requests that are open at a target that is taken out are cut when the deregistration delay is over.
#[test]
fn long_requests_are_cut_at_the_end_of_the_deregistration_delay() {
    let failed = |via: &str| {
        let sets = ["spec.apps[0].serviceTime=50s", "spec.traffic[0].timeout=2m"];
        let setup = setup(via, 90, &sets);
        let outcome = run(&setup, 2, false);
        outcome.requests.failed()
    };
    assert_eq!(failed("{profile: aws-alb-ip, deregistrationDelay: 60s, deregister: 5s}"), 0);
    assert!(failed("{profile: aws-alb-ip, deregistrationDelay: 10s, deregister: 5s}") > 100);
    assert_eq!(failed("{profile: aws-nlb-ip, deregistrationDelay: 10s, deregister: 5s}"), 0, "packets go on");
}

/// istiod's debounce makes its gateways later than Envoy Gateway's, and retries make up for it.
#[test]
fn retries_make_up_for_a_debounce() {
    let lost = |via: &str| {
        let sets = ["spec.traffic[0].timeout=30s", "spec.traffic[0].stop=60s"];
        let setup = setup(via, 0, &sets);
        let all: Vec<(u64, u64)> =
            outcomes(&setup, 40).map(|o| (o.requests.failed(), o.requests.ok_after_retry)).collect();
        (all.iter().map(|a| a.0).sum::<u64>(), all.iter().map(|a| a.1).sum::<u64>())
    };
    let (gateway, without) = lost("envoy-gateway");
    let (istio, retried) = lost("istio-gateway");
    assert!(gateway > 20 && without == 0, "{gateway}, {without}");
    // What is left are connections that were accepted, and reset before their first request.
    assert!(istio < 5 && retried > gateway / 2, "{istio}, {retried}");
}

/// A built-in scenario with changes.
fn changed(name: &str, sets: &[&str]) -> Setup {
    let builtin = library::find(name).unwrap();
    let input = Input::Builtin { name: builtin.name.into(), text: builtin.text.into() };
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    Scenario::load(&[input], &sets).unwrap_or_else(|problems| panic!("{problems}")).setup
}

/// An ordinary sidecar ends by its own clock, whatever the application does in preStop: Istio's after
/// terminationDrainDuration, and its listener after drainDuration if that is sooner (istio `pkg/envoy/agent.go`).
#[test]
fn the_sidecar_of_a_mesh_does_not_wait_for_the_application() {
    let config = "Deployment/web:spec.template.metadata.annotations.proxy\\.istio\\.io/config";
    for (drain, seconds) in [("5s", 5.0), ("20s", 20.0), ("80s", 45.0)] {
        let set = format!("{config}=\"terminationDrainDuration: {drain}\"");
        let outcome = run(&changed("path-mesh-sidecar-trap", &[&set]), 1, false);
        let times = outcome.pods.iter().find(|pod| pod.times.deleted_at.is_some()).unwrap().times;
        let accepted = times.front_closed_at.unwrap().since(times.front_sigterm_at.unwrap()).as_secs_f64();
        assert!((seconds..seconds + 0.2).contains(&accepted), "{drain}: {accepted}");
        assert_eq!(times.listener_closed_at, times.front_closed_at);
        let slept = times.sigterm_at.unwrap().since(times.deleted_at.unwrap()).as_secs_f64();
        assert!((60.0..61.0).contains(&slept), "{slept}");
    }
}

/// What would be lost if the sidecar were a container like any other is nothing: it is the way through it that loses.
#[test]
fn a_sidecar_that_is_not_in_the_way_costs_nothing() {
    let beside = "spec.apps[0]={deployment: web, container: istio-proxy, fronts: false}";
    let lost = |sets: &[&str]| outcomes(&changed("path-mesh-sidecar-trap", sets), 5).map(|o| o.requests.failed()).min();
    assert!(lost(&[]) > Some(0));
    assert_eq!(outcomes(&changed("path-mesh-sidecar-trap", &[beside]), 5).map(|o| o.requests.failed()).sum::<u64>(), 0);
}

/// By default long requests are cut 5 s after the stop signal; EXIT_ON_ZERO_ACTIVE_CONNECTIONS waits for them, but not for
/// connections that are still to come.
#[test]
fn a_sidecar_that_waits_for_its_connections_cuts_none_and_awaits_none() {
    let name = "path-mesh-sidecar-exit-on-zero";
    let value = "Deployment/web:spec.template.spec.containers[1].env[0].value";
    let failed = |sets: &[&str]| outcomes(&changed(name, sets), 10).map(|o| o.requests.failed()).sum::<u64>();
    assert_eq!(failed(&[]), 0);
    assert!(failed(&[&format!("{value}=\"false\"")]) > 0);
    let trap = "path-mesh-sidecar-trap";
    let variable = "Deployment/web:spec.template.spec.containers[1].env=[{name: EXIT_ON_ZERO_ACTIVE_CONNECTIONS, value: \"true\"}]";
    let outcome = run(&changed(trap, &[variable]), 1, false);
    assert!(outcome.requests.failed() > 0, "the first second without a connection ends it");
}

/// Which requests die because the gateway's pod goes, and which because a pod behind it goes: each drain has losses of its own.
#[test]
fn a_gateway_and_the_pods_behind_it_are_told_apart() {
    // The pods behind leave without a sleep, and nobody asks another one.
    let via = "spec.traffic[0].via=[service-load-balancer, \
               {profile: envoy-gateway, service: ingress-nginx-controller}]";
    let sets = [via, "Deployment/default/web:preStop=0s", "spec.traffic[0].rate=200/s"];
    let setup = changed("path-ingress-pod-drained", &sets);
    let by = |outcome: &Outcome, prefix: &str| -> u64 {
        outcome.pods.iter().filter(|p| p.name.starts_with(prefix)).map(|p| p.times.failed_requests).sum()
    };
    let (mut gateway, mut behind) = (0, 0);
    for outcome in outcomes(&setup, 10) {
        gateway += by(&outcome, "ingress-nginx");
        behind += by(&outcome, "web");
        assert_eq!(by(&outcome, "ingress-nginx") + by(&outcome, "web"), outcome.requests.failed());
        assert_eq!(outcome.traffic[0].failed_behind, Some(by(&outcome, "web")));
        for failure in &outcome.failures {
            // The node of the gateway's pod is drained after 1 min, that of the pod behind it after 5 min.
            let late = failure.sent_at.as_secs_f64() > 300.0;
            assert_eq!(failure.gateway.is_some(), late, "{failure:?}");
        }
    }
    assert!(gateway > 100 && behind > 50, "{gateway}, {behind}");
}
