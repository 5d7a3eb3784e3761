use super::*;
use crate::api::daemon_set::DaemonSetUpdate;
use crate::api::node::TAINT_UNSCHEDULABLE;
use crate::api::{IntOrPercent, Selector, Taint, TemplateId, Toleration};
use crate::simulation::control_plane::harness::{Cluster, STOP, living, setup, template};
use crate::simulation::setup::plain_node;

fn taint(key: &str, effect: TaintEffect) -> Taint {
    Taint { key: key.into(), value: String::new(), effect }
}

/// `pkg/controller/daemon/daemon_controller.go` NodeShouldRunDaemonPod (v1.36).
#[test]
fn nodes_that_should_run_a_pod_and_those_that_keep_it() {
    use TaintEffect::{NoExecute, NoSchedule, PreferNoSchedule};
    let mut template = template("agent", 10);
    let tolerate = |key: &str, effect| Toleration { key: Some(key.into()), value: None, effect, seconds: None };
    template.placement.tolerations = vec![tolerate(TAINT_UNSCHEDULABLE, Some(NoSchedule)), tolerate("known", None)];
    template.placement.node_selector = Selector::labels([("disk", "ssd")]);
    for (taints, ssd, expected) in [
        (vec![], true, (true, true)),
        (vec![], false, (false, false)),
        (vec![taint(TAINT_UNSCHEDULABLE, NoSchedule)], true, (true, true)),
        (vec![taint("known", NoExecute)], true, (true, true)),
        (vec![taint("other", NoSchedule)], true, (false, true)),
        (vec![taint("other", NoExecute)], true, (false, false)),
        (vec![taint("other", PreferNoSchedule)], true, (true, true)),
        (vec![taint("known", NoSchedule), taint("other", NoSchedule)], true, (false, true)),
    ] {
        let mut node = plain_node("a");
        node.taints = taints;
        if ssd {
            node.labels.insert("disk".into(), "ssd".into());
        }
        assert_eq!((should_run(&template, &node), should_stay(&template, &node)), expected, "{node:?}");
    }
}

fn pod(number: u32, word: &str) -> DaemonPod {
    let state = word.strip_prefix("old").map_or(word, |rest| rest.trim_start_matches('-'));
    let phase = match state {
        "failed" => Phase::Failed,
        "done" => Phase::Succeeded,
        _ => Phase::Running,
    };
    let ready = matches!(state, "ok" | "" | "goes");
    let (terminating, updated) = (state == "goes", !word.starts_with("old"));
    DaemonPod { pod: PodId(number), phase, terminating, ready, available: ready, updated }
}

/// A node by its pods, all fit for the DaemonSet. Pods are numbered through.
fn sites_of(nodes: &[&[&str]]) -> Vec<Site> {
    let mut number = 0;
    let mut next = |word: &&str| {
        number += 1;
        pod(number - 1, word)
    };
    (0..)
        .map(NodeId)
        .zip(nodes)
        .map(|(node, words)| Site { node, run: true, stay: true, pods: words.iter().map(&mut next).collect() })
        .collect()
}

/// `pkg/controller/daemon/daemon_controller.go` podsShouldBeOnNode (v1.36).
#[test]
fn what_is_missing_and_what_is_too_many() {
    // pods of one node; shouldRun, shouldContinueRunning; created?, deleted pods
    type Case = (&'static [&'static str], bool, bool, bool, &'static [u32]);
    let cases: [Case; 12] = [
        (&[], true, true, true, &[]),
        (&[], false, true, false, &[]),
        (&[], false, false, false, &[]),
        (&["ok"], true, true, false, &[]),
        (&["ok"], false, true, false, &[]),
        (&["ok"], false, false, false, &[0]),
        (&["goes"], true, true, false, &[]),
        (&["goes"], false, false, false, &[]),
        (&["failed"], true, true, false, &[0]),
        (&["done"], true, true, false, &[0]),
        (&["ok", "ok", "starts"], true, true, false, &[1, 2]),
        (&["goes", "ok"], true, true, false, &[]),
    ];
    for (words, run, stay, created, deleted) in cases {
        let mut sites = sites_of(&[words]);
        (sites[0].run, sites[0].stay) = (run, stay);
        let change = manage(&set(), &sites, &mut BTreeMap::new(), Time::ZERO);
        assert_eq!(!change.create.is_empty(), created, "{words:?} {run} {stay}");
        assert_eq!(change.delete, deleted.iter().map(|n| PodId(*n)).collect::<Vec<_>>(), "{words:?} {run} {stay}");
    }
}

/// `k8s.io/client-go/util/flowcontrol/backoff.go` Next, IsInBackOffSinceUpdate (v1.36).
#[test]
fn failed_pods_are_replaced_ever_more_slowly() {
    let mut backoff = BTreeMap::new();
    let mut replaced = Vec::new();
    for second in 0..40 {
        if wait_after_failure(&mut backoff, NodeId(0), Time::from_secs(second)).is_none() {
            replaced.push(second);
        }
    }
    assert_eq!(replaced, [0, 1, 3, 7, 15, 31]);
}

/// `pkg/controller/daemon/daemon_controller.go` podsShouldBeOnNode (v1.36), with surge.
#[test]
fn while_it_surges_a_node_may_have_an_old_pod_beside_a_new_one() {
    type Case = (&'static [&'static str], bool, &'static [u32]);
    let cases: [Case; 9] = [
        (&["old"], false, &[]),
        (&["goes"], true, &[]),
        (&["old", "starts"], false, &[]),
        (&["old", "ok"], false, &[0]),
        (&["old-starts", "starts"], false, &[0]),
        (&["old", "old", "starts"], false, &[1]),
        (&["old", "starts", "ok"], false, &[2]),
        (&["ok", "ok"], false, &[1]),
        (&["old-goes", "ok"], false, &[]),
    ];
    for (words, created, deleted) in cases {
        let change = manage(&surging(1), &sites_of(&[words]), &mut BTreeMap::new(), Time::ZERO);
        assert_eq!(!change.create.is_empty(), created, "{words:?}");
        assert_eq!(change.delete, deleted.iter().map(|n| PodId(*n)).collect::<Vec<_>>(), "{words:?}");
    }
}

/// `pkg/controller/daemon/update.go` rollingUpdate (v1.36), with surge.
#[test]
fn a_surge_makes_new_pods_first() {
    // pods of each node; nodes that get a new one, pods that go
    type Case = (u32, &'static [&'static [&'static str]], &'static [u32], &'static [u32]);
    let cases: [Case; 7] = [
        (1, &[&["old"], &["old"], &["old"]], &[0], &[]),
        (2, &[&["old"], &["old"], &["old"]], &[0, 1], &[]),
        (1, &[&["old", "starts"], &["old"], &["old"]], &[], &[]),
        (1, &[&["old", "ok"], &["old"], &["old"]], &[1], &[0]),
        (1, &[&["ok"], &["old"], &["old"]], &[1], &[]),
        (1, &[&["old"], &["old-starts"], &["old"]], &[1, 0], &[]),
        (1, &[&["old", "old"], &["old"]], &[], &[]),
    ];
    for (surge, nodes, created, deleted) in cases {
        let Roll { create, delete } = roll(&surging(surge), &sites_of(nodes));
        assert_eq!(create, created.iter().map(|n| NodeId(*n)).collect::<Vec<_>>(), "{surge} {nodes:?}");
        assert_eq!(delete, deleted.iter().map(|n| PodId(*n)).collect::<Vec<_>>(), "{surge} {nodes:?}");
    }
    // A node that should not have it keeps its old pod until enough others are available.
    for (others, deleted) in [(["ok", "starts"], vec![]), (["ok", "ok"], vec![PodId(0)])] {
        let mut sites = sites_of(&[&["old"], &[others[0]], &[others[1]]]);
        sites[0].run = false;
        assert_eq!(roll(&surging(1), &sites).delete, deleted, "{others:?}");
    }
}

fn surging(surge: u32) -> DaemonSet {
    let update =
        DaemonSetUpdate::RollingUpdate { max_unavailable: IntOrPercent::Int(0), max_surge: IntOrPercent::Int(surge) };
    DaemonSet { update, ..set() }
}

/// `pkg/controller/daemon/update.go` rollingUpdate (v1.36), without surge.
#[test]
fn a_rolling_update_takes_the_broken_and_as_many_others_as_may_be() {
    use IntOrPercent::{Int, Percent};
    type Case = (IntOrPercent, &'static [&'static [&'static str]], &'static [u32]);
    let cases: [Case; 8] = [
        (Int(1), &[&["old"], &["old"], &["old"]], &[0]),
        (Int(2), &[&["old"], &["old"], &["old"]], &[0, 1]),
        (Percent(50), &[&["old"], &["old"], &["old"]], &[0, 1]),
        (Int(1), &[&["starts"], &["old"], &["old"]], &[]),
        (Int(1), &[&["ok"], &["old"], &["old"]], &[1]),
        (Int(1), &[&["old-goes"], &["old"], &["old"]], &[]),
        (Int(1), &[&[], &["old"], &["old"]], &[]),
        (Int(1), &[&["old-starts"], &["old"], &["old"]], &[0]),
    ];
    for (max_unavailable, nodes, expected) in cases {
        let update = DaemonSetUpdate::RollingUpdate { max_unavailable, max_surge: Int(0) };
        let doomed = roll(&DaemonSet { update, ..set() }, &sites_of(nodes)).delete;
        assert_eq!(doomed, expected.iter().map(|n| PodId(*n)).collect::<Vec<_>>(), "{max_unavailable} {nodes:?}");
    }
    let on_delete = DaemonSet { update: DaemonSetUpdate::OnDelete, ..set() };
    assert_eq!(roll(&on_delete, &sites_of(&[&["old"]])), Roll::default());
}

fn set() -> DaemonSet {
    DaemonSet {
        namespace: "default".into(),
        name: "agent".into(),
        selector: Selector::labels([("app", "agent")]),
        template: TemplateId(0),
        revision: 1,
        update: DaemonSetUpdate::default(),
        min_ready_seconds: 0,
        status: DaemonSetStatus::default(),
    }
}

fn cluster(setup: &crate::simulation::Setup) -> Cluster<'_> {
    let mut cluster = Cluster::new(setup, ["a", "b"].map(plain_node));
    let mut template = template("agent", 10);
    let cordon = Some(TAINT_UNSCHEDULABLE.into());
    template.placement.tolerations = vec![Toleration { key: cordon, value: None, effect: None, seconds: None }];
    cluster.ctx.store.add_template(template);
    cluster.ctx.store.put_daemon_set(Time::ZERO, 0, set());
    cluster.start();
    cluster.ctx.publish(Kind::DaemonSet, 0);
    cluster
}

#[test]
fn every_node_gets_one_and_new_nodes_theirs() {
    let setup = setup();
    let mut cluster = cluster(&setup);
    cluster.run_to(10);
    assert_eq!(cluster.nodes_of(TemplateId(0)), [Some(0), Some(1)]);
    let id = cluster.ctx.store.create_node(cluster.ctx.now(), plain_node("c"));
    cluster.ctx.publish(Kind::Node, id.0);
    cluster.run_to(20);
    assert_eq!(cluster.nodes_of(TemplateId(0)), [Some(0), Some(1), Some(2)]);
    assert_eq!(cluster.ctx.store.daemon_sets.head(0).unwrap().status.available, 3);
}

#[test]
fn a_cordon_does_not_keep_the_successor_away() {
    let setup = setup();
    let mut cluster = cluster(&setup);
    cluster.run_to(10);
    cluster.change_node(NodeId(0), |n| {
        n.unschedulable = true;
        n.taints.push(taint(TAINT_UNSCHEDULABLE, TaintEffect::NoSchedule));
    });
    let victim = living(&cluster.ctx).find(|(_, p)| p.node == Some(NodeId(0))).unwrap().0;
    cluster.delete_pod(victim);
    cluster.run_to(10 + STOP.as_secs() - 1);
    assert_eq!(cluster.ctx.store.pods.len(), 2, "while the old one is there, no new one");
    cluster.run_to(20);
    assert_eq!(cluster.nodes_of(TemplateId(0)), [Some(0), Some(1)]);
    assert_eq!(cluster.ctx.store.pods.len(), 3);
}

#[test]
fn a_taint_that_it_does_not_tolerate_takes_the_pod_away() {
    let setup = setup();
    let mut cluster = cluster(&setup);
    cluster.run_to(10);
    cluster.change_node(NodeId(0), |n| n.taints.push(taint("broken", TaintEffect::NoExecute)));
    cluster.run_to(20);
    assert_eq!(cluster.nodes_of(TemplateId(0)), [Some(1)]);
}

#[test]
fn a_restart_replaces_all_one_after_the_other() {
    let setup = setup();
    for (update, most) in [(DaemonSetUpdate::default(), 2), (surging(1).update, 3)] {
        let mut cluster = cluster(&setup);
        cluster.run_to(10);
        let mut set = cluster.ctx.store.daemon_sets.head(0).unwrap().clone();
        (set.revision, set.update) = (2, update);
        cluster.ctx.store.put_daemon_set(cluster.ctx.now(), 0, set);
        cluster.ctx.publish(Kind::DaemonSet, 0);
        let mut seen = 0;
        for second in 11..60 {
            cluster.run_to(second);
            seen = seen.max(living(&cluster.ctx).filter(|(_, pod)| pod.deletion.is_none()).count());
        }
        assert_eq!(seen, most, "{update:?}");
        assert_eq!(cluster.ctx.store.pods.len(), 4);
        let status = cluster.ctx.store.daemon_sets.head(0).unwrap().status;
        assert_eq!((status.updated, status.available), (2, 2));
    }
}
