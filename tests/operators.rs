//! Those who remove nodes without kubectl, and what kubectl does in the middle of a run: whole runs, by what is printed and
//! by when evictions are asked for.

use drainsim::api::NodeId;
use drainsim::engine::Time;
use drainsim::scenario::{Input, Memory, Scenario};
use drainsim::simulation::observe::What;
use drainsim::simulation::{Outcome, run};

/// Three old nodes, `web` with three pods under a budget, one on each node; and `stuck`, whose budget allows nothing.
const CLUSTER: &str = "
apiVersion: drainsim/v1alpha1
kind: Scenario
metadata: {name: operators}
spec:
  kubernetes: '1.36'
  duration: DURATION
  nodes: [{name: a}, {name: b}, {name: c}]
  placement: {web: [a, b, c], stuck: [c]}
  latencies: {imagePull: 2s}
  apps:
    - {deployment: web, profile: graceful, startup: 2s}
    - {deployment: stuck, profile: graceful, startup: 2s}
  actions: ACTIONS
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app: web}}
";
const STUCK: &str = "
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stuck}
spec:
  replicas: 1
  selector: {matchLabels: {app: stuck}}
  template:
    metadata: {labels: {app: stuck}, annotations: ANNOTATIONS}
    spec: {terminationGracePeriodSeconds: 30, containers: [{name: stuck, image: stuck}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: stuck}
spec:
  maxUnavailable: 0
  selector: {matchLabels: {app: stuck}}
";

/// One run of the cluster with these actions; `stuck` is there if its annotations are given.
fn play(actions: &str, duration: &str, stuck: Option<&str>) -> Outcome {
    let mut text = CLUSTER.replace("DURATION", duration).replace("ACTIONS", actions);
    match stuck {
        Some(annotations) => text += &STUCK.replace("ANNOTATIONS", annotations),
        None => {
            text = text.replace(", stuck: [c]", "");
            text = text.replace("\n    - {deployment: stuck, profile: graceful, startup: 2s}", "");
        }
    }
    let files = Memory([("s.yaml".into(), text.into_bytes())].into());
    let scenario = Scenario::load_from(&files, &[Input::Path("s.yaml".into())], &[]);
    run(&scenario.unwrap_or_else(|problems| panic!("{problems}")).setup, 1, true)
}

/// What was printed about a node.
fn lines<'a>(outcome: &'a Outcome, node: &str) -> Vec<&'a str> {
    let of_node = outcome.drains.iter().filter(|d| d.node == node);
    of_node.flat_map(|d| &d.messages).map(|(_, line)| line.as_str()).collect()
}

fn time_of(outcome: &Outcome, node: &str, begins: &str) -> Time {
    let mut messages = outcome.drains.iter().filter(|d| d.node == node).flat_map(|d| &d.messages);
    messages.find(|(_, line)| line.starts_with(begins)).unwrap_or_else(|| panic!("{begins}: {outcome:#?}")).0
}

/// When the evictions of the pods whose names begin so were asked for, in seconds.
fn asked(outcome: &Outcome, begins: &str) -> Vec<f64> {
    let of_pod = |id: drainsim::api::PodId| outcome.pods[id.index()].name.starts_with(begins);
    let entries = outcome.trace.entries().iter().filter_map(|e| match e.what {
        What::EvictionRequested { pod, .. } if of_pod(pod) => Some(e.time.as_secs_f64()),
        _ => None,
    });
    entries.collect()
}

fn gaps(times: &[f64]) -> Vec<f64> {
    times.windows(2).map(|w| w[1] - w[0]).collect()
}

/// The number of nodes that are Ready, after each change of it.
fn ready_nodes(outcome: &Outcome, at_start: i32) -> Vec<i32> {
    let mut counts = vec![at_start];
    for entry in outcome.trace.entries() {
        let change = match entry.what {
            What::NodeReady { .. } => 1,
            What::NodeDeleted { .. } => -1,
            _ => continue,
        };
        counts.push(counts[counts.len() - 1] + change);
    }
    counts
}

#[test]
fn a_surge_upgrade_never_has_fewer_nodes_and_never_more_than_one_extra() {
    let outcome = play("[{at: 10s, upgrade: {profile: gke, nodes: [a, b, c], ready: 20s}}]", "10m", None);
    assert_eq!(ready_nodes(&outcome, 3), [3, 4, 3, 4, 3, 4, 3]);
    assert!(outcome.drains.iter().all(|d| d.exit_code == Some(0) && d.completed_at.is_some()));
    assert_eq!(outcome.node_names[3..], ["a-new", "b-new", "c-new"]);
    let order = ["machine a-new is ordered", "node/a-new is Ready", "node/a cordoned", "evicting pod"];
    let times: Vec<Time> = order.iter().map(|line| time_of(&outcome, "a", line)).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn without_surge_the_old_node_goes_first() {
    let outcome = play("[{at: 10s, upgrade: {nodes: [a, b, c], ready: 20s}}]", "10m", None);
    assert_eq!(ready_nodes(&outcome, 3), [3, 2, 3, 2, 3, 2, 3]);
    let both = "[{at: 10s, upgrade: {profile: gke, nodes: [a, b, c], maxSurge: 1, maxUnavailable: 1, ready: 20s}}]";
    let outcome = play(both, "10m", None);
    let counts = ready_nodes(&outcome, 3);
    assert_eq!((counts.iter().min(), counts.iter().max()), (Some(&2), Some(&4)), "{counts:?}");
    assert_eq!(counts.last(), Some(&3));
}

#[test]
fn gke_deletes_at_its_deadline_what_the_budget_holds() {
    let upgrade = "[{at: 10s, upgrade: {profile: gke, nodes: [c], drainTimeout: 100s, ready: 20s}}]";
    let outcome = play(upgrade, "10m", Some("{}"));
    let started = outcome.drains[0].started_at;
    assert_eq!(time_of(&outcome, "c", "deleting pod default/stuck").since(started).as_secs(), 100);
    assert!(outcome.drains[0].completed_at.is_some());
    assert_eq!(outcome.pdbs.iter().find(|p| p.name == "default/stuck").map(|p| p.admitted), Some(0));
    let retries = gaps(&asked(&outcome, "stuck"));
    assert!(retries.len() >= 18 && retries.iter().all(|gap| (5.0..5.2).contains(gap)), "{retries:?}");
}

#[test]
fn eks_fails_after_fifteen_minutes_unless_it_is_forced() {
    let outcome = play("[{at: 10s, upgrade: {profile: eks, nodes: [a, c], ready: 20s}}]", "30m", Some("{}"));
    let [a, c] = &outcome.drains[..] else { panic!("two nodes") };
    assert!(a.completed_at.is_some() && c.completed_at.is_none());
    assert_eq!((c.exit_code, c.ended_at.map(|at| at.since(c.started_at).as_secs())), (Some(1), Some(900)));
    assert!(lines(&outcome, "c").contains(&"PodEvictionFailure: pods on c have not left within 15m0s"));
    // two new machines first; the drained node is cordoned, and 60 s later it goes
    assert!(
        a.started_at >= time_of(&outcome, "c", "machine c-new is ordered") + drainsim::engine::Duration::from_secs(20)
    );
    let cordoned = time_of(&outcome, "a", "node/a cordoned");
    assert!(Some(cordoned) > a.completed_at);
    assert_eq!(time_of(&outcome, "a", "machine a is switched off").since(cordoned).as_secs(), 60);

    let outcome = play("[{at: 10s, upgrade: {profile: eks, nodes: [c], force: true, ready: 20s}}]", "30m", Some("{}"));
    let c = &outcome.drains[0];
    assert_eq!(c.exit_code, Some(0));
    assert!(c.completed_at.is_some_and(|at| at.since(c.started_at).as_secs() >= 900));
}

#[test]
fn aks_gives_a_node_back_that_it_cannot_drain() {
    let upgrade = "[{at: 10s, upgrade: {profile: aks, nodes: [c, a], drainTimeout: 60s, ready: 20s}}]";
    let outcome = play(upgrade, "10m", Some("{}"));
    let of = |node: &str| outcome.drains.iter().find(|d| d.node == node).unwrap_or_else(|| panic!("{node}"));
    assert_eq!((of("c").completed_at, of("c").exit_code), (None, Some(1)));
    assert_eq!(of("a").completed_at, None, "no node is taken up after a failure");
    assert!(of("c-buffer-1").completed_at.is_some(), "the buffer machine goes all the same");
    let uncordoned = outcome.trace.entries().iter().any(|e| e.what == What::Uncordoned { node: NodeId(2) });
    assert!(uncordoned, "made schedulable again");
}

#[test]
fn aks_reimages_nodes_under_their_names() {
    let outcome = play("[{at: 10s, upgrade: {profile: aks, nodes: [a, b, c], ready: 20s}}]", "15m", None);
    assert_eq!(outcome.node_names, ["a", "b", "c", "a-buffer-1", "a", "b", "c"]);
    assert_eq!(ready_nodes(&outcome, 3).last(), Some(&3));
    assert!(outcome.drains.iter().all(|d| d.completed_at.is_some() && d.exit_code == Some(0)));
}

#[test]
fn cluster_autoscaler_does_not_touch_a_node_that_cannot_be_removed() {
    let outcome = play("[{at: 10s, clusterAutoscaler: {nodes: [c]}}]", "8m", Some("{}"));
    let blocked = "node c cannot be removed: not enough pod disruption budget to move default/stuck";
    let told = lines(&outcome, "c");
    assert_eq!(
        told.iter().filter(|line| line.starts_with(blocked)).count(),
        2,
        "looked at again after 5 minutes: {told:?}"
    );
    assert!(asked(&outcome, "").is_empty());

    let unsafe_pod = "{cluster-autoscaler.kubernetes.io/safe-to-evict: 'false'}";
    let outcome = play("[{at: 10s, clusterAutoscaler: {nodes: [c]}}]", "1m", Some(unsafe_pod));
    assert!(lines(&outcome, "c")[0].starts_with("node c cannot be removed: pod annotated as not safe to evict"));
    // the rule is passed by, not the budget itself: the eviction is refused then
    let safe_pod = "{cluster-autoscaler.kubernetes.io/safe-to-evict: 'true'}";
    let outcome = play("[{at: 10s, clusterAutoscaler: {nodes: [c]}}]", "4m", Some(safe_pod));
    let times = asked(&outcome, "stuck");
    assert_eq!(times.len(), 12, "ten seconds apart, and none at 2 minutes: {times:?}");
    assert!(gaps(&times).iter().all(|gap| (10.0..10.2).contains(gap)), "{times:?}");
    let drain = &outcome.drains[0];
    assert_eq!(drain.completed_at, None);
    assert_eq!(
        drain.ended_at.map(|at| at.since(drain.started_at).as_secs()),
        Some(5 + 120),
        "the delay after the taint"
    );
    let uncordoned = outcome.trace.entries().iter().any(|e| e.what == What::Uncordoned { node: NodeId(2) });
    assert!(uncordoned, "the taint is taken away, and with it the cordon");
}

#[test]
fn cluster_autoscaler_removes_the_machine_and_the_node_object_much_later() {
    let outcome = play("[{at: 10s, clusterAutoscaler: {node: a}}]", "3m", None);
    let removed = time_of(&outcome, "a", "Normal ScaleDown: node removed by cluster autoscaler");
    let deleted =
        outcome.trace.entries().iter().find(|e| e.what == What::NodeDeleted { node: NodeId(0) }).expect("gone");
    assert_eq!(
        deleted.time.since(removed).as_secs(),
        55,
        "the monitor grace period and a pass of the cloud's controller"
    );
}

#[test]
fn karpenter_backs_off_from_a_tenth_of_a_second_to_ten_seconds() {
    let outcome = play("[{at: 10s, karpenter: {node: c}}]", "2m", Some("{}"));
    let gaps = gaps(&asked(&outcome, "stuck"));
    for (gap, wait) in gaps.iter().zip([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]) {
        assert!((wait..wait + 0.2).contains(gap), "{gap} after {wait}: {gaps:?}");
    }
    assert!(gaps.len() >= 10);
    assert_eq!(outcome.drains[0].completed_at, None, "without a termination grace period it waits for ever");
}

#[test]
fn karpenter_deletes_what_is_left_before_its_termination_grace_period_ends() {
    for (annotations, asks) in [("{}", true), ("{karpenter.sh/do-not-disrupt: 'true'}", false)] {
        let action = "[{at: 10s, karpenter: {node: c, terminationGracePeriod: 2m}}]";
        let outcome = play(action, "5m", Some(annotations));
        assert_eq!(!asked(&outcome, "stuck").is_empty(), asks, "{annotations}");
        let drain = &outcome.drains[0];
        let deleted = time_of(&outcome, "c", "Normal Disrupted: default/stuck").since(drain.started_at).as_secs();
        // its 30 s of grace would outlast the node from 90 s on; the queue looks every 10 s then
        assert!((90..=101).contains(&deleted), "{annotations}: {deleted}");
        assert!(drain.completed_at.is_some_and(|at| at.since(drain.started_at).as_secs() <= 121));
    }
}

#[test]
fn karpenter_waits_for_all_replacements_before_any_pod_moves() {
    let outcome = play("[{at: 10s, karpenter: {nodes: [a, b], replacementReady: 30s}}]", "5m", None);
    assert_eq!(ready_nodes(&outcome, 3), [3, 4, 5, 4, 3]);
    assert!(outcome.drains.iter().all(|d| d.started_at >= Time::from_secs(40) && d.completed_at.is_some()));
}

#[test]
fn a_replica_set_and_a_stateful_set_are_scaled_by_name() {
    let workload = |kind: &str, name: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  replicas: 1\n  serviceName: {name}\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
             spec: {{containers: [{{name: main, image: main}}]}}\n"
        )
    };
    let actions =
        "[{at: 10s, scale: {replicaSet: own, replicas: 3}}, {at: 10s, scale: {statefulSet: db, replicas: 2}}]";
    let text = CLUSTER.replace("DURATION", "2m").replace("ACTIONS", actions).replace(", stuck: [c]", "");
    let text = text.replace("\n    - {deployment: stuck, profile: graceful, startup: 2s}", "");
    let text = text + &workload("ReplicaSet", "own") + &workload("StatefulSet", "db");
    let files = Memory([("s.yaml".into(), text.into_bytes())].into());
    let scenario = Scenario::load_from(&files, &[Input::Path("s.yaml".into())], &[]);
    let outcome = run(&scenario.unwrap_or_else(|problems| panic!("{problems}")).setup, 1, true);
    let count = |begins: &str| outcome.pods.iter().filter(|p| p.name.starts_with(begins)).count();
    assert_eq!((count("own-"), count("db-")), (3, 2));
}

#[test]
fn an_applied_budget_is_closed_until_its_controller_has_seen_it() {
    let actions = "
    - at: 10s
      apply:
        - apiVersion: policy/v1
          kind: PodDisruptionBudget
          metadata: {name: web}
          spec: {maxUnavailable: 0, selector: {matchLabels: {app: web}}}
    - {at: 20s, drain: {node: a, timeout: 12s}}
    - {at: 60s, deletePdb: {name: web}}
    - {at: 70s, drain: {node: b}}";
    let outcome = play(actions, "3m", None);
    let [a, b] = &outcome.drains[..] else { panic!("two drains") };
    assert_eq!((a.exit_code, a.completed_at, a.evictions_denied), (Some(1), None, 3));
    assert_eq!((b.exit_code, b.evictions_denied), (Some(0), 0));
    let allowed: Vec<u32> = outcome.pdbs[0].history.iter().map(|h| h.1).collect();
    assert_eq!((allowed.first(), allowed.last()), (Some(&1), Some(&0)));
}

#[test]
fn apply_rolls_out_a_changed_template_and_nothing_for_the_same_one() {
    let manifest = |image: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}, spec: {{selector: {{matchLabels: {{app: web}}}}, \
             template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: {image}}}]}}}}}}}}"
        )
    };
    let same = play(&format!("[{{at: 10s, apply: {}}}]", manifest("web")), "3m", None);
    assert_eq!(same.pods.len(), 3);
    let changed = play(&format!("[{{at: 10s, apply: {}}}]", manifest("web-2")), "3m", None);
    assert_eq!(changed.pods.len(), 6, "three old pods and three new ones: replicas are left as they are");
    assert_eq!(changed.pods.iter().filter(|p| p.times.deleted_at.is_some()).count(), 3);
}
