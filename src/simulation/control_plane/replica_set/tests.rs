use super::*;
use crate::api::{LabelSetId, TemplateId};
use crate::simulation::control_plane::harness::{Cluster, START, STOP, living, setup, template};
use crate::simulation::observe::What;
use crate::simulation::setup::{Setup, plain_node};

fn cluster(setup: &Setup, replicas: u32) -> (Cluster<'_>, ReplicaSetId) {
    let mut cluster = Cluster::new(setup, ["a", "b", "c"].map(plain_node));
    let template: TemplateId = cluster.ctx.store.add_template(template("web", 10));
    let id = cluster.add_replica_set(template, replicas, None);
    cluster.start();
    (cluster, id)
}

#[test]
fn creations_come_in_batches_that_double() {
    let setup = setup();
    let (mut cluster, id) = cluster(&setup, 0);
    cluster.change_replica_set(id, |rs| rs.replicas = 9);
    cluster.run_to(60);
    let mut batches: BTreeMap<Time, Vec<u32>> = BTreeMap::new();
    for (time, write) in &cluster.commits {
        if let Write::CreatePod { ordinal, .. } = write {
            batches.entry(*time).or_default().push(*ordinal);
        }
    }
    let batches: Vec<_> = batches.into_values().collect();
    assert_eq!(batches, [vec![0], vec![1, 2], vec![3, 4, 5, 6], vec![7, 8]]);
    let rs = cluster.ctx.store.replica_sets.head(id.index()).unwrap();
    assert_eq!((rs.status_replicas, rs.ready_replicas, rs.available_replicas), (9, 9, 9));
}

#[test]
fn a_stale_view_makes_no_duplicates() {
    let mut setup = setup();
    // the watch needs far longer than any sync
    setup.latencies.set(Hop::Watch, crate::engine::Distribution::Constant(Duration::from_secs(3)));
    let (mut cluster, id) = cluster(&setup, 2);
    cluster.change_replica_set(id, |rs| rs.replicas = 4);
    cluster.run_to(4);
    cluster.change_replica_set(id, |rs| rs.min_ready_seconds = 1);
    cluster.run_to(60);
    assert_eq!(cluster.ctx.store.pods.len(), 4);
}

#[test]
fn the_replacement_is_made_at_the_deletion_timestamp() {
    let setup = setup();
    let (mut cluster, _) = cluster(&setup, 3);
    cluster.delete_pod(PodId(1));
    cluster.run_to(1);
    let deleted = cluster.ctx.store.pods.head(1).expect("it is still being stopped");
    assert!(deleted.deletion.is_some());
    assert_eq!(living(&cluster.ctx).count(), 4, "and its replacement is there");
    cluster.run_to(60);
    assert_eq!(living(&cluster.ctx).count(), 3);
    assert_eq!(cluster.ctx.store.pods.len(), 4, "just one");
}

#[test]
fn available_means_ready_for_min_ready_seconds() {
    let setup = setup();
    let (mut cluster, id) = cluster(&setup, 0);
    cluster.change_replica_set(id, |rs| (rs.replicas, rs.min_ready_seconds) = (1, 10));
    let counts = |cluster: &Cluster<'_>| {
        let rs = cluster.ctx.store.replica_sets.head(id.index()).unwrap();
        (rs.ready_replicas, rs.available_replicas)
    };
    let ready = START.as_secs();
    cluster.run_to(ready + 9);
    assert_eq!(counts(&cluster), (1, 0));
    cluster.run_to(ready + 11);
    assert_eq!(counts(&cluster), (1, 1));
}

#[test]
fn surplus_pods_are_deleted_and_nothing_else() {
    let setup = setup();
    let (mut cluster, id) = cluster(&setup, 7);
    cluster.change_replica_set(id, |rs| rs.replicas = 4);
    cluster.run_to(STOP.as_secs() + 2);
    assert_eq!(living(&cluster.ctx).count(), 4);
    let deletions = cluster.commits.iter().filter(|(_, w)| matches!(w, Write::DeletePod { .. })).count();
    assert_eq!((deletions, cluster.ctx.store.pods.len()), (3, 7));
    let left = cluster.nodes_of(TemplateId(0));
    let most = (0..3).map(|n| left.iter().filter(|l| **l == Some(n)).count()).max();
    assert_eq!(most, Some(2), "the three that share a node go first: {left:?}");
}

fn label(cluster: &mut Cluster<'_>, pod: PodId, value: &str) {
    let changes = vec![("app".to_string(), Some(value.to_string()))];
    let write = Write::Workload(WorkloadWrite::LabelPod { pod, changes });
    cluster.ctx.submit(write, Caller::Nobody, 0, 0);
}

/// The pods of the ReplicaSet that exist.
fn mine(cluster: &Cluster<'_>, id: ReplicaSetId) -> Vec<u32> {
    let store = &cluster.ctx.store;
    let is_mine = |(pod, version): &(PodId, &Pod)| store.owner_of(*pod, version) == Owner::ReplicaSet(id);
    living(&cluster.ctx).filter(is_mine).map(|(pod, _)| pod.0).collect()
}

/// `pkg/controller/controller_ref_manager.go` ClaimPods (v1.36).
#[test]
fn a_relabelled_pod_is_released_and_replaced_and_comes_back_as_surplus() {
    let setup = setup();
    let (mut cluster, id) = cluster(&setup, 3);
    label(&mut cluster, PodId(1), "debug");
    cluster.run_to(10);
    assert_eq!(mine(&cluster, id), [0, 2, 3], "a substitute has been made");
    let released = cluster.ctx.store.pods.head(1).expect("it lives on");
    assert!(released.ready && released.deletion.is_none());
    label(&mut cluster, PodId(1), "web");
    cluster.run_to(30);
    assert_eq!(mine(&cluster, id).len(), 3, "adopted again: one of four was too many");
    assert_eq!(cluster.ctx.store.pods.len(), 4, "and nothing more was made");
    let adopted = cluster.ctx.observer.trace.entries().iter().any(|e| matches!(e.what, What::PodAdopted { .. }));
    assert!(adopted);
}

#[test]
fn a_pod_that_is_being_deleted_is_neither_released_nor_adopted() {
    let setup = setup();
    let (mut cluster, id) = cluster(&setup, 2);
    cluster.delete_pod(PodId(0));
    cluster.run_to(1);
    label(&mut cluster, PodId(0), "debug");
    cluster.run_to(2);
    let claims = |(_, write): &(Time, Write)| matches!(write, Write::Workload(WorkloadWrite::ReleasePod { .. }));
    assert!(!cluster.commits.iter().any(claims));
    cluster.run_to(20);
    assert_eq!(mine(&cluster, id), [1, 2]);
}

#[test]
fn the_order_of_deletion() {
    let now = Time::from_secs(1000);
    let old = Time::from_secs(1);
    let pod = |node: Option<u32>, phase, ready: bool, ready_since| {
        let created = Pod::created(LabelSetId(0), node.map(NodeId));
        Pod { phase, ready, ready_since, ..created }
    };
    // from the first to go to the last; with doubled_up, created_at and uid
    let order = [
        (pod(None, Phase::Pending, false, old), 0, old, 9),
        (pod(Some(0), Phase::Pending, false, old), 0, Time::from_secs(999), 9),
        (pod(Some(0), Phase::Pending, false, old), 0, old, 0),
        (pod(Some(0), Phase::Running, false, old), 5, old, 9),
        (pod(Some(0), Phase::Running, false, old), 1, old, 9),
        (pod(Some(0), Phase::Running, true, old), 3, old, 9),
        (pod(Some(0), Phase::Running, true, Time::from_secs(999)), 1, old, 9),
        (pod(Some(0), Phase::Running, true, Time::from_secs(600)), 1, old, 1),
        (pod(Some(0), Phase::Running, true, Time::from_secs(700)), 1, old, 2),
        (pod(Some(0), Phase::Running, true, old), 1, old, 0),
    ];
    let ranks = order.map(|(pod, doubled_up, created, uid)| deletion_rank(&pod, doubled_up, created, now, uid));
    for (i, pair) in ranks.windows(2).enumerate() {
        assert!(pair[0] < pair[1], "{i} goes before {}", i + 1);
    }
}
