//! The StatefulSet controller: pods with names that stay, made and taken away in order.
//!
//! A name exists once. So a pod that is being deleted is replaced only when its object is *gone*: after its grace period,
//! and never if its node is lost and nobody removes the object. What one sync does is decided by the pure function
//! `decide`.
//!
//! Source: `pkg/controller/statefulset/stateful_set_control.go` (updateStatefulSet, processReplica, processCondemned),
//! `stateful_set.go` (updatePod, syncStatefulSet) and `stateful_set_utils.go` (v1.36).

use std::collections::{BTreeMap, BTreeSet};

use crate::api::stateful_set::{PodManagement, StatefulSetStatus, StatefulSetUpdate, ordinal_of};
use crate::api::{Kind, Owner, Phase, Pod, PodId, StatefulSet, StatefulSetId, TemplateId};
use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::control_plane::batch_worker::{BatchWorker, Plan, claim, slow_start};
use crate::simulation::control_plane::deployment::replica_set_name;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::Controller;
use crate::simulation::latency::Hop;
use crate::simulation::write::{NewPod, WorkloadWrite, Write, WriteError};

/// `--concurrent-statefulset-syncs` (`pkg/controller/statefulset/config/v1alpha1/defaults.go`).
const WORKERS: usize = 5;

/// The controller, with its queue and what it remembers of each StatefulSet.
///
/// Not modelled: volume claims and their retention policy, the feature gate MaxUnavailableStatefulSet (off), rollback and
/// revision history, adoption of pods.
#[derive(Clone, Debug)]
pub struct StatefulSetController {
    worker: BatchWorker,
    sets: BTreeMap<StatefulSetId, Tracked>,
}

/// What the controller remembers of one StatefulSet.
#[derive(Clone, Debug, Default)]
struct Tracked {
    /// Its pods, as far as the informer has told.
    pods: BTreeSet<PodId>,
    /// How many pods of each ordinal there have been: tells their luck apart.
    incarnations: BTreeMap<u32, u32>,
}

impl Default for StatefulSetController {
    fn default() -> Self {
        Self::new()
    }
}

impl StatefulSetController {
    /// A controller that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        let queue = WorkQueue::with_default_backoff(WORKERS);
        let worker = BatchWorker::new(Controller::StatefulSet, Kind::StatefulSet, Hop::StatefulSetSync, queue);
        Self { worker, sets: BTreeMap::new() }
    }

    /// The start state: a pod that the controller has known for long.
    pub fn start_with(&mut self, ctx: &Context<'_>, pod: PodId) {
        let meta = &ctx.store.pod_meta[pod.index()];
        if let (Owner::StatefulSet(id), Some(ordinal)) = (&meta.owner, ordinal_of(&meta.name)) {
            let tracked = self.sets.entry(*id).or_default();
            tracked.pods.insert(pod);
            *tracked.incarnations.entry(ordinal).or_default() += 1;
        }
    }

    /// The informer delivers a version of a StatefulSet.
    pub fn on_stateful_set(&mut self, ctx: &mut Context<'_>, id: StatefulSetId) {
        self.worker.add(ctx, id.0);
    }

    /// The informer delivers a version of a pod; `old` is the one delivered before, `new` is `None` if it is gone.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, pod: PodId, old: Option<Pod>, new: Option<Pod>) {
        let owner = |version: Option<Pod>| match ctx.store.owner_of(pod, &version?) {
            Owner::StatefulSet(id) => Some(id),
            _ => None,
        };
        let (before, now) = (owner(old), owner(new));
        if let Some(id) = now {
            self.sets.entry(id).or_default().pods.insert(pod);
        } else if let Some(id) = before {
            self.sets.entry(id).or_default().pods.remove(&pod);
        }
        let Some(id) = now.or(before) else { return };
        let became_ready = new.is_some_and(|p| p.ready) && old.is_some_and(|p| !p.ready);
        if became_ready {
            let seen = ctx.controller_view(Kind::StatefulSet);
            let min_ready = ctx.store.stateful_sets.at(id.index(), seen).map_or(0, |set| set.min_ready_seconds);
            if min_ready > 0 {
                self.worker.add_after(ctx, id.0, Duration::from_secs(min_ready));
            }
        }
        self.worker.add(ctx, id.0);
    }

    /// A delayed key is due.
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.worker.requeue(ctx, key);
    }

    /// The answer to one of the controller's writes.
    pub fn written(&mut self, ctx: &mut Context<'_>, key: u32, result: Result<(), WriteError>) {
        self.worker.written(ctx, key, result);
    }

    /// A worker syncs a StatefulSet (syncStatefulSet).
    pub fn sync(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.worker.begin(ctx, key);
        let id = StatefulSetId(key);
        let seen = ctx.controller_view(Kind::StatefulSet);
        let Some(set) = ctx.store.stateful_sets.at(id.index(), seen).cloned() else {
            return self.worker.carry_out(ctx, key, Plan::default());
        };
        let tracked = self.sets.entry(id).or_default();
        let (pods, releases) = claim(ctx, tracked.pods.iter().copied(), &Owner::StatefulSet(id), &set.selector);
        let members: Vec<_> = pods.into_iter().filter_map(|(pod, version)| member(ctx, &set, pod, &version)).collect();
        let mut plan = Plan::default();
        if !releases.is_empty() {
            plan.batches.push_back(releases);
        }
        let writes: Vec<_> = decide(&set, &members)
            .into_iter()
            .filter_map(|step| match step {
                Step::Delete(pod) => Some(Write::DeletePod { pod, grace_seconds: None, unless_changed_since: None }),
                Step::Create { ordinal, updated } => {
                    let made_from = if updated {
                        (set.revision, set.template)
                    } else {
                        (set.current_revision, set.current_template)
                    };
                    let incarnation = tracked.incarnations.entry(ordinal).or_default();
                    let new = new_pod(ctx, id, ordinal, made_from, *incarnation)?;
                    *incarnation += 1;
                    Some(Write::Workload(WorkloadWrite::CreatePod(Box::new(new))))
                }
            })
            .collect();
        plan.batches.extend(slow_start(writes));
        let status = status_of(&members);
        let complete = matches!(set.update, StatefulSetUpdate::RollingUpdate { .. })
            && set.current_revision != set.revision
            && [status.updated, status.ready, status.replicas].iter().all(|n| *n == set.replicas);
        if status != set.status || complete {
            let write = WorkloadWrite::StatefulSetStatus { stateful_set: id, status, complete };
            plan.status = Some(Write::Workload(write));
        }
        if set.min_ready_seconds > 0 && status.available != set.replicas {
            plan.recheck = Some(Duration::from_secs(set.min_ready_seconds));
        }
        self.worker.carry_out(ctx, key, plan);
    }
}

/// A pod of a StatefulSet, as far as the decision needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Member {
    pod: PodId,
    ordinal: u32,
    phase: Phase,
    terminating: bool,
    /// isRunningAndReady.
    ready: bool,
    /// isRunningAndAvailable.
    available: bool,
    /// It is of the newest revision.
    updated: bool,
}

/// What one sync does to pods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The pod of this ordinal is made, from the newest template or from the current one.
    Create { ordinal: u32, updated: bool },
    /// A pod is deleted.
    Delete(PodId),
}

/// A pod whose name has no ordinal is ignored.
fn member(ctx: &Context<'_>, set: &StatefulSet, pod: PodId, version: &Pod) -> Option<Member> {
    let ordinal = ordinal_of(&ctx.store.pod_meta[pod.index()].name)?;
    let revision = ctx.store.label_set(version.labels).labels.get(REVISION);
    let ready = version.phase == Phase::Running && version.ready;
    let min_ready = Duration::from_secs(set.min_ready_seconds);
    Some(Member {
        pod,
        ordinal,
        phase: version.phase,
        terminating: version.deletion.is_some(),
        ready,
        available: ready && is_available(version, min_ready, ctx.now()),
        // a pod of the input without the label is of the revision that it was found with
        updated: revision
            .map_or(set.revision == 1, |r| *r == replica_set_name(&set.namespace, &set.name, set.revision)),
    })
}

/// Ready for `minReadySeconds` (podutil.IsPodAvailable).
fn is_available(pod: &Pod, min_ready: Duration, now: Time) -> bool {
    min_ready.is_zero() || pod.ready_since + min_ready <= now
}

/// What is to be done now (updateStatefulSet). With `OrderedReady` at most one thing.
fn decide(set: &StatefulSet, members: &[Member]) -> Vec<Step> {
    let ordered = set.management == PodManagement::OrderedReady;
    let range = set.first_ordinal..set.first_ordinal + set.replicas;
    let partition = match set.update {
        StatefulSetUpdate::RollingUpdate { partition } => set.first_ordinal + partition,
        StatefulSetUpdate::OnDelete => 0,
    };
    let mut steps = Vec::new();
    for ordinal in range.clone() {
        let replica = members.iter().find(|m| m.ordinal == ordinal);
        match replica {
            None => steps.push(Step::Create { ordinal, updated: ordinal >= partition }),
            Some(m) if m.phase.is_terminal() => {
                if !m.terminating {
                    steps.push(Step::Delete(m.pod));
                }
            }
            Some(m) if !m.terminating && m.available => continue,
            // it is waited for: until it is gone, or available
            Some(_) => {}
        }
        if ordered {
            return steps;
        }
    }
    let mut condemned: Vec<_> = members.iter().filter(|m| !range.contains(&m.ordinal)).collect();
    condemned.sort_by_key(|m| std::cmp::Reverse(m.ordinal));
    // of those that are left over, the lowest of the unavailable ones; in order all others are available here
    let first_unavailable = condemned.iter().rev().find(|m| m.terminating || !m.available).map(|m| m.pod);
    for m in condemned {
        if m.terminating {
            if ordered {
                return steps;
            }
            continue;
        }
        if ordered && !m.available && first_unavailable != Some(m.pod) {
            return steps;
        }
        steps.push(Step::Delete(m.pod));
        if ordered {
            return steps;
        }
    }
    if set.update != StatefulSetUpdate::OnDelete {
        steps.extend(next_update(members, range, partition));
    }
    steps
}

/// The pod that a rolling update takes next: the highest ordinal that is not updated, if all above are available.
fn next_update(members: &[Member], range: std::ops::Range<u32>, partition: u32) -> Option<Step> {
    for ordinal in range.rev().take_while(|ordinal| *ordinal >= partition) {
        let m = members.iter().find(|m| m.ordinal == ordinal)?;
        if !m.updated && !m.terminating {
            return Some(Step::Delete(m.pod));
        }
        if m.terminating || !m.available {
            return None;
        }
    }
    None
}

/// computeReplicaStatus, by what the sync has found.
fn status_of(members: &[Member]) -> StatefulSetStatus {
    let count = |is: fn(&&Member) -> bool| u32::try_from(members.iter().filter(is).count()).unwrap_or(u32::MAX);
    StatefulSetStatus {
        replicas: count(|_| true),
        ready: count(|m| m.ready),
        available: count(|m| m.available),
        updated: count(|m| m.updated && !m.terminating),
    }
}

/// The pod of this ordinal, made for a revision. `incarnation` counts the pods of that name, from 0, and tells their luck
/// apart.
///
/// Source: `pkg/controller/statefulset/stateful_set_utils.go` newVersionedStatefulSetPod, updateIdentity (v1.36).
#[must_use]
pub fn new_pod(
    ctx: &Context<'_>,
    id: StatefulSetId,
    ordinal: u32,
    (revision, template): (u32, TemplateId),
    incarnation: u32,
) -> Option<NewPod> {
    let set = ctx.store.stateful_sets.head(id.index())?;
    let name = format!("{}-{ordinal}", set.name);
    let key = Key::new("pod").text(&set.namespace).text(&set.name).number(u64::from(ordinal));
    let luck = key.number(u64::from(incarnation)).bits();
    let mut labels = ctx.store.templates[template.index()].labels.clone();
    labels.insert("statefulset.kubernetes.io/pod-name".into(), name.clone());
    labels.insert("apps.kubernetes.io/pod-index".into(), ordinal.to_string());
    labels.insert(REVISION.into(), replica_set_name(&set.namespace, &set.name, revision));
    Some(NewPod {
        namespace: set.namespace.clone(),
        name,
        luck,
        template,
        labels,
        owner: Owner::StatefulSet(id),
        only_on: None,
        node: None,
    })
}

/// The label that names the revision of a pod of a StatefulSet or DaemonSet.
pub const REVISION: &str = "controller-revision-hash";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::stateful_set::PodManagement::{OrderedReady, Parallel};
    use crate::simulation::control_plane::harness::{Cluster, START, STOP, living, setup, template};
    use crate::simulation::setup::plain_node;

    fn set(replicas: u32, management: PodManagement, update: StatefulSetUpdate) -> StatefulSet {
        StatefulSet {
            namespace: "default".into(),
            name: "db".into(),
            replicas,
            first_ordinal: 0,
            management,
            update,
            min_ready_seconds: 0,
            selector: crate::api::Selector::labels([("app", "db")]),
            template: TemplateId(0),
            revision: 1,
            current_template: TemplateId(0),
            current_revision: 1,
            status: StatefulSetStatus { replicas, ready: replicas, available: replicas, updated: replicas },
        }
    }

    /// A member by a short word: `ok`, `old` (of an old revision), `starts`, `old-starts`, `goes`, `old-goes`, `failed`,
    /// `done`.
    fn member(ordinal: u32, word: &str) -> Member {
        let state = word.strip_prefix("old").map_or(word, |rest| rest.trim_start_matches('-'));
        let phase = match state {
            "failed" => Phase::Failed,
            "done" => Phase::Succeeded,
            _ => Phase::Running,
        };
        let ready = matches!(state, "ok" | "" | "goes");
        Member {
            pod: PodId(ordinal),
            ordinal,
            phase,
            terminating: state == "goes",
            ready,
            available: ready,
            updated: !word.starts_with("old"),
        }
    }

    /// `pkg/controller/statefulset/stateful_set_control.go` updateStatefulSet, processReplica, processCondemned (v1.36).
    #[test]
    fn one_sync() {
        let create = |ordinal| Step::Create { ordinal, updated: true };
        let create_old = |ordinal| Step::Create { ordinal, updated: false };
        let delete = |ordinal| Step::Delete(PodId(ordinal));
        let rolling = StatefulSetUpdate::default();
        let partition = |partition| StatefulSetUpdate::RollingUpdate { partition };
        let on_delete = StatefulSetUpdate::OnDelete;
        // replicas, management, update, the pods by ordinal (`-`: none), what is done
        let cases: [(u32, _, _, &[&str], Vec<Step>); 31] = [
            (3, OrderedReady, rolling, &[], vec![create(0)]),
            (3, Parallel, rolling, &[], vec![create(0), create(1), create(2)]),
            (3, OrderedReady, rolling, &["starts"], vec![]),
            (3, Parallel, rolling, &["starts"], vec![create(1), create(2)]),
            (3, OrderedReady, rolling, &["ok"], vec![create(1)]),
            (3, OrderedReady, rolling, &["ok", "ok", "ok"], vec![]),
            // the replacement waits until the object is gone, and the ones after it with it
            (3, OrderedReady, rolling, &["ok", "goes", "ok"], vec![]),
            (3, OrderedReady, rolling, &["ok", "goes", "-"], vec![]),
            (3, Parallel, rolling, &["ok", "goes", "-"], vec![create(2)]),
            (3, OrderedReady, rolling, &["ok", "-", "-"], vec![create(1)]),
            (3, OrderedReady, rolling, &["starts", "ok", "-"], vec![]),
            // ended pods are deleted first, whatever their end
            (2, OrderedReady, rolling, &["failed", "ok"], vec![delete(0)]),
            (2, OrderedReady, rolling, &["done", "-"], vec![delete(0)]),
            (2, Parallel, rolling, &["done", "-"], vec![delete(0), create(1)]),
            // scaling down
            (1, OrderedReady, rolling, &["ok", "ok", "ok"], vec![delete(2)]),
            (1, Parallel, rolling, &["ok", "ok", "ok"], vec![delete(2), delete(1)]),
            (1, OrderedReady, rolling, &["ok", "ok", "goes"], vec![]),
            (1, OrderedReady, rolling, &["starts", "ok", "ok"], vec![]),
            (1, OrderedReady, rolling, &["ok", "ok", "starts"], vec![delete(2)]),
            (1, OrderedReady, rolling, &["ok", "starts", "starts"], vec![]),
            // rolling update: the highest first, one at a time, in both managements
            (3, OrderedReady, rolling, &["old", "old", "old"], vec![delete(2)]),
            (3, Parallel, rolling, &["old", "old", "old"], vec![delete(2)]),
            (3, Parallel, rolling, &["old", "old", "starts"], vec![]),
            (3, OrderedReady, rolling, &["old", "old", "ok"], vec![delete(1)]),
            (3, Parallel, rolling, &["old", "old-goes", "ok"], vec![]),
            // a broken update is not repaired in order: the pod that never gets ready holds everything up
            (3, OrderedReady, rolling, &["old", "old", "old-starts"], vec![]),
            (3, Parallel, rolling, &["old", "old", "old-starts"], vec![delete(2)]),
            (3, OrderedReady, partition(2), &["old", "old", "ok"], vec![]),
            (3, OrderedReady, partition(2), &["old", "-", "ok"], vec![create_old(1)]),
            (3, OrderedReady, on_delete, &["old", "old", "old"], vec![]),
            (3, OrderedReady, on_delete, &["old", "old", "-"], vec![create(2)]),
        ];
        for (replicas, management, update, words, expected) in cases {
            let present = (0..).zip(words).filter(|(_, word)| **word != "-");
            let members: Vec<_> = present.map(|(ordinal, word)| member(ordinal, word)).collect();
            let steps = decide(&set(replicas, management, update), &members);
            assert_eq!(steps, expected, "{replicas} {management:?} {update:?} {words:?}");
        }
    }

    fn cluster(setup: &crate::simulation::Setup, replicas: u32, management: PodManagement) -> Cluster<'_> {
        let mut cluster = Cluster::new(setup, ["a", "b", "c"].map(plain_node));
        cluster.ctx.store.add_template(template("db", 10));
        cluster.ctx.store.put_stateful_set(Time::ZERO, 0, set(replicas, management, StatefulSetUpdate::default()));
        cluster.start();
        cluster.ctx.publish(Kind::StatefulSet, 0);
        cluster
    }

    fn names(cluster: &Cluster<'_>) -> Vec<String> {
        living(&cluster.ctx).map(|(id, _)| cluster.ctx.store.pod_meta[id.index()].name.clone()).collect()
    }

    #[test]
    fn pods_come_in_order_each_after_the_one_before_is_ready() {
        let setup = setup();
        let mut cluster = cluster(&setup, 3, OrderedReady);
        let (second, third) = (START.as_secs() + 1, 2 * START.as_secs() + 1);
        cluster.run_to(1);
        assert_eq!(names(&cluster), ["db-0"]);
        cluster.run_to(second);
        assert_eq!(names(&cluster), ["db-0", "db-1"]);
        cluster.run_to(third);
        assert_eq!(names(&cluster), ["db-0", "db-1", "db-2"]);
    }

    #[test]
    fn the_replacement_waits_for_the_old_object() {
        let setup = setup();
        let mut cluster = cluster(&setup, 3, Parallel);
        cluster.run_to(10);
        cluster.delete_pod(PodId(1));
        cluster.run_to(10 + STOP.as_secs() - 1);
        assert_eq!(cluster.ctx.store.pods.len(), 3, "the old one is still there, and nothing is made");
        cluster.run_to(10 + STOP.as_secs() + 1);
        assert_eq!(cluster.ctx.store.pods.len(), 4);
        assert_eq!(cluster.ctx.store.pod_meta[3].name, "db-1");
        assert_ne!(cluster.ctx.pod_luck(PodId(3)), cluster.ctx.pod_luck(PodId(1)), "a new life, a new luck");
    }

    #[test]
    fn a_new_template_is_rolled_out_from_the_top() {
        let setup = setup();
        let mut cluster = cluster(&setup, 3, Parallel);
        cluster.run_to(10);
        let write =
            WorkloadWrite::ChangeStatefulSetTemplate { stateful_set: StatefulSetId(0), template: TemplateId(0) };
        cluster.ctx.submit(Write::Workload(write), crate::simulation::write::Caller::Nobody, 0, 0);
        cluster.run_to(90);
        let made: Vec<_> = cluster.ctx.store.pod_meta.iter().skip(3).map(|m| m.name.as_str()).collect();
        assert_eq!(made, ["db-2", "db-1", "db-0"]);
        let set = cluster.ctx.store.stateful_sets.head(0).unwrap();
        assert_eq!((set.current_revision, set.status.updated), (2, 3), "the update is complete");
    }

    #[test]
    fn a_relabelled_pod_is_given_up_and_its_name_stays_taken() {
        let setup = setup();
        let mut cluster = cluster(&setup, 2, OrderedReady);
        cluster.run_to(10);
        let changes = vec![("app".to_string(), Some("debug".to_string()))];
        let write = WorkloadWrite::LabelPod { pod: PodId(1), changes };
        cluster.ctx.submit(Write::Workload(write), crate::simulation::write::Caller::Nobody, 0, 0);
        cluster.run_to(30);
        let pod = cluster.ctx.store.pods.head(1).unwrap();
        assert_eq!(cluster.ctx.store.owner_of(PodId(1), pod), Owner::None);
        assert_eq!(names(&cluster), ["db-0", "db-1"], "no second db-1 can be made");
    }
}
