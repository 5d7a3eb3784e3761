//! Tests of the scheduler as a whole.

use crate::api::node::{TAINT_NOT_READY, TAINT_UNSCHEDULABLE};
use crate::api::pod::{PodTerm, SpreadConstraint};
use crate::api::quantity::Resources;
use crate::api::{Node, NodeId, PodId, PodTemplate, Selector, Taint, TaintEffect, TemplateId, Toleration, Version};
use crate::simulation::control_plane::harness::{Cluster, living, node_in, setup, template};
use crate::simulation::setup::{Setup, plain_node};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

fn term(app: &str, topology_key: &str) -> PodTerm {
    PodTerm { selector: Selector::labels([("app", app)]), topology_key: topology_key.into() }
}

fn taint(key: &str, effect: TaintEffect) -> Taint {
    Taint { key: key.into(), value: String::new(), effect }
}

fn tolerate(key: &str) -> Toleration {
    Toleration { key: Some(key.into()), value: None, effect: None, seconds: None }
}

/// Puts one pod of a template into a cluster of these nodes: the node, or why not.
fn place(nodes: Vec<Node>, pod: PodTemplate) -> Result<u32, String> {
    let setup = Setup { version: Version::minor(33), ..setup() };
    let mut cluster = Cluster::new(&setup, nodes);
    let template = cluster.ctx.store.add_template(pod);
    cluster.start();
    let pod = cluster.submit_pod(template, 0);
    cluster.run_to(1);
    match cluster.ctx.store.pods.head(pod.index()).and_then(|p| p.node) {
        Some(node) => Ok(node.0),
        None => Err(cluster.scheduler.unschedulable_reason(&cluster.ctx, pod)),
    }
}

#[test]
fn a_node_is_refused_with_the_words_of_the_first_plugin() {
    let full = || Node { pods_max: 0, ..plain_node("a") };
    let node = |change: fn(&mut Node)| {
        let mut node = plain_node("a");
        change(&mut node);
        vec![node]
    };
    let pod = |change: fn(&mut PodTemplate)| {
        let mut pod = template("web", 1000);
        change(&mut pod);
        pod
    };
    let plain = || pod(|_| {});
    let helpless = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    let no_victims = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    for (nodes, pod, reason, preemption) in [
        (node(|n| n.unschedulable = true), plain(), "node(s) were unschedulable", helpless),
        (
            node(|n| n.taints.push(taint("dedicated", TaintEffect::NoExecute))),
            plain(),
            "node(s) had untolerated taint {dedicated: }",
            helpless,
        ),
        (
            node(|n| n.ready = false),
            plain(),
            "node(s) had untolerated taint {node.kubernetes.io/not-ready: }",
            helpless,
        ),
        (
            node(|_| {}),
            pod(|p| p.placement.node_selector = Selector::labels([("disk", "ssd")])),
            "node(s) didn't match Pod's node affinity/selector",
            helpless,
        ),
        (
            node(|_| {}),
            pod(|p| p.placement.required_node_terms = vec![Selector::labels([("disk", "ssd")])]),
            "node(s) didn't match Pod's node affinity/selector",
            helpless,
        ),
        (vec![full()], plain(), "Too many pods", no_victims),
        (node(|n| n.allocatable.cpu_millis = 999), plain(), "Insufficient cpu", helpless),
        (
            node(|_| {}),
            pod(|p| p.placement.required_affinity = vec![term("db", HOSTNAME)]),
            "node(s) didn't match pod affinity rules",
            helpless,
        ),
        (
            node(|_| {}),
            pod(|p| {
                p.placement.spread = vec![SpreadConstraint { term: term("web", ZONE), max_skew: 1, required: true }];
            }),
            "node(s) didn't match pod topology spread constraints (missing required label)",
            helpless,
        ),
    ] {
        let expected = format!("0/1 nodes are available: 1 {reason}. {preemption}");
        assert_eq!(place(nodes, pod), Err(expected));
    }
}

#[test]
fn tolerations_and_affinity_open_nodes() {
    let mut cordoned = plain_node("a");
    cordoned.unschedulable = true;
    cordoned.taints.push(taint(TAINT_UNSCHEDULABLE, TaintEffect::NoSchedule));
    let mut pod = template("web", 10);
    pod.placement.tolerations = vec![tolerate(TAINT_UNSCHEDULABLE)];
    assert_eq!(place(vec![cordoned], pod), Ok(0));

    let joining = Node { ready: false, ..plain_node("a") };
    let mut pod = template("web", 10);
    pod.placement.tolerations = vec![tolerate(TAINT_NOT_READY)];
    assert_eq!(place(vec![joining], pod), Ok(0));

    // of several terms one is enough
    let mut pod = template("web", 10);
    pod.placement.required_node_terms =
        vec![Selector::labels([(HOSTNAME, "none")]), Selector::labels([(HOSTNAME, "c")])];
    assert_eq!(place(["a", "b", "c"].map(plain_node).into(), pod), Ok(2));

    // the first of its kind satisfies its own affinity
    let mut pod = template("web", 10);
    pod.placement.required_affinity = vec![term("web", HOSTNAME)];
    assert_eq!(place(vec![plain_node("a")], pod), Ok(0));

    let mut unwanted = plain_node("a");
    unwanted.taints.push(taint("old", TaintEffect::PreferNoSchedule));
    assert_eq!(place(vec![unwanted, plain_node("b")], template("web", 10)), Ok(1));
}

#[test]
fn the_message_counts_nodes_by_reason() {
    for (minor, words) in [
        (
            33,
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. preemption: 0/3 nodes are \
              available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.",
        ),
        (
            36,
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. no new claims to deallocate, \
              preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims \
              found for incoming pod.",
        ),
    ] {
        let setup = Setup { version: Version::minor(minor), ..setup() };
        let mut cluster = Cluster::new(&setup, ["a", "b", "c"].map(plain_node));
        let big = cluster.ctx.store.add_template(template("web", 3000));
        cluster.add_replica_set(big, 3, None);
        cluster.start();
        cluster.change_node(NodeId(0), |n| n.unschedulable = true);
        cluster.run_to(1);
        let pod = cluster.submit_pod(big, 7);
        cluster.run_to(2);
        assert_eq!(cluster.scheduler.unschedulable_reason(&cluster.ctx, pod), words);
    }
}

#[test]
fn the_start_state_is_spread_as_the_scheduler_would() {
    let setup = setup();
    let mut cluster = Cluster::new(&setup, ["a", "b", "c"].map(plain_node));
    let web = cluster.ctx.store.add_template(template("web", 100));
    cluster.add_replica_set(web, 6, None);
    assert_eq!(cluster.nodes_of(web), [0, 0, 1, 1, 2, 2].map(Some));

    let nodes = [("a", "x"), ("b", "x"), ("c", "x"), ("d", "y")].map(|(n, z)| node_in(n, z));
    let mut cluster = Cluster::new(&setup, nodes);
    let web = cluster.ctx.store.add_template(template("web", 0));
    cluster.add_replica_set(web, 2, None);
    assert_eq!(cluster.nodes_of(web)[1], Some(3), "one in each zone");
}

#[test]
fn pods_of_one_controller_are_spread_against_the_room_there_is() {
    let setup = setup();
    let big = Node { allocatable: Resources { cpu_millis: 64_000, memory_bytes: 256 << 30 }, ..plain_node("a") };
    let mut cluster = Cluster::new(&setup, [big, plain_node("b")]);
    let web = cluster.ctx.store.add_template(template("web", 1000));
    let bare = cluster.ctx.store.add_template(template("bare", 1000));
    cluster.add_replica_set(web, 2, None);
    assert_eq!(cluster.nodes_of(web), [0, 1].map(Some), "the default constraints");
    cluster.start();
    for ordinal in 0..2 {
        cluster.submit_pod(bare, ordinal);
    }
    cluster.run_to(1);
    assert_eq!(cluster.nodes_of(bare), [0, 0].map(Some), "nobody selects these");
}

#[test]
fn a_pod_that_is_being_deleted_holds_its_room_and_its_anti_affinity() {
    for exclusive in [false, true] {
        let setup = setup();
        let mut cluster = Cluster::new(&setup, ["a", "b"].map(plain_node));
        let mut pod = template("web", if exclusive { 10 } else { 3000 });
        if exclusive {
            pod.placement.required_anti_affinity = vec![term("web", HOSTNAME)];
        }
        let web = cluster.ctx.store.add_template(pod);
        cluster.add_replica_set(web, 2, None);
        cluster.start();
        cluster.delete_pod(PodId(0));
        cluster.run_to(4);
        let replacement = cluster.ctx.store.pods.head(2).expect("the ReplicaSet has made it");
        assert_eq!(replacement.node, None, "exclusive: {exclusive}");
        cluster.run_to(6);
        assert_eq!(cluster.nodes_of(web), [Some(0), Some(1)], "exclusive: {exclusive}");
    }
}

#[test]
fn anti_affinity_works_in_both_directions() {
    let setup = setup();
    let mut cluster = Cluster::new(&setup, ["a", "b"].map(plain_node));
    let mut hermit = template("hermit", 10);
    hermit.placement.required_anti_affinity = vec![term("web", HOSTNAME)];
    let hermit = cluster.ctx.store.add_template(hermit);
    let web = cluster.ctx.store.add_template(template("web", 10));
    cluster.start();
    let first = cluster.submit_pod(hermit, 0);
    cluster.run_to(1);
    for ordinal in 0..4 {
        cluster.submit_pod(web, ordinal);
    }
    cluster.run_to(2);
    let home = cluster.nodes_of(hermit)[0];
    // one that is being deleted still keeps them away
    cluster.delete_pod(first);
    cluster.run_to(3);
    for ordinal in 4..8 {
        cluster.submit_pod(web, ordinal);
    }
    cluster.run_to(4);
    assert!(cluster.nodes_of(web).iter().all(|n| n.is_some() && *n != home), "the guests keep away from the hermit");
}

#[test]
fn hard_spread_counts_cordoned_domains_but_not_pods_being_deleted() {
    let spread = |cordon: bool| {
        let setup = setup();
        let mut cluster = Cluster::new(&setup, [node_in("a", "x"), node_in("b", "y")]);
        let mut pod = template("web", 10);
        pod.placement.spread = vec![SpreadConstraint { term: term("web", ZONE), max_skew: 1, required: true }];
        let web = cluster.ctx.store.add_template(pod);
        cluster.add_replica_set(web, 2, None);
        cluster.start();
        let victim = living(&cluster.ctx).find(|(_, p)| p.node == Some(NodeId(0))).unwrap().0;
        if cordon {
            cluster.change_node(NodeId(0), |n| n.unschedulable = true);
        }
        cluster.delete_pod(victim);
        cluster.run_to(30);
        cluster.nodes_of(web)
    };
    assert_eq!(spread(false), [Some(0), Some(1)]);
    // zone x has no pod any more and still counts: a second one in y would be one too many
    assert_eq!(spread(true), [None, Some(1)]);
}

#[test]
fn a_new_node_wakes_the_unschedulable() {
    let setup = setup();
    let mut cluster = Cluster::new(&setup, [plain_node("a")]);
    let web = cluster.ctx.store.add_template(template("web", 3000));
    cluster.add_replica_set(web, 1, None);
    cluster.start();
    cluster.submit_pod(web, 5);
    cluster.run_to(100);
    assert_eq!(cluster.nodes_of(web), [None, Some(0)]);
    let attempts = unschedulable_notes(&cluster);
    assert_eq!(attempts, 1, "nothing has happened since");
    let id = cluster.ctx.store.create_node(cluster.ctx.now(), Node { ready: false, ..plain_node("b") });
    cluster.ctx.publish(crate::api::Kind::Node, id.0);
    cluster.run_to(110);
    assert_eq!(unschedulable_notes(&cluster), attempts, "a node that is not Ready is no help");
    cluster.change_node(id, |n| n.ready = true);
    cluster.run_to(111);
    assert_eq!(cluster.nodes_of(web), [Some(0), Some(1)]);
}

fn unschedulable_notes(cluster: &Cluster<'_>) -> usize {
    let is_note = |w| matches!(w, crate::simulation::observe::What::PodUnschedulable { .. });
    cluster.ctx.observer.trace.entries().iter().filter(|e| is_note(e.what)).count()
}

#[test]
fn a_large_cluster_is_placed_evenly_and_not_looked_at_as_a_whole() {
    let setup = setup();
    let nodes = (0..200).map(|i| node_in(&format!("n{i}"), ["x", "y", "z"][i % 3]));
    let mut cluster = Cluster::new(&setup, nodes);
    let web: TemplateId = cluster.ctx.store.add_template(template("web", 100));
    cluster.add_replica_set(web, 400, None);
    let mut per_node = vec![0; 200];
    for node in cluster.nodes_of(web).into_iter().flatten() {
        per_node[node as usize] += 1;
    }
    assert!(per_node.iter().all(|n| (1..=3).contains(n)), "{per_node:?}");
}
