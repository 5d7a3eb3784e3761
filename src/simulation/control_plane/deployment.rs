//! The Deployment controller: moves pods from old ReplicaSets to the new one.
//!
//! It never touches pods, only `spec.replicas` of ReplicaSets, and never asks a budget. An eviction does not concern it
//! at all: the ReplicaSet replaces the pod.
//!
//! What one sync does is decided by pure functions in `plan`, from the ReplicaSets as the informer shows them; the
//! writes of a plan are then sent one after the other, each after the answer to the one before.
//!
//! Source: `pkg/controller/deployment/{deployment_controller,sync,rolling,recreate}.go` and
//! `pkg/controller/deployment/util/deployment_util.go` (v1.36).

mod plan;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::api::labels::Requirement;
use crate::api::workload::Strategy;
use crate::api::{Deployment, DeploymentId, Kind, Owner, Pod, PodId, ReplicaSet, ReplicaSetId, Revision, Selector};
use crate::engine::Key;
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::Controller;
use crate::simulation::latency::Hop;
use crate::simulation::observe::CauseId;
use crate::simulation::write::{Caller, Write, WriteError};

use plan::{Member, Sizes, Step};

/// `--concurrent-deployment-syncs` (`pkg/controller/deployment/config/v1alpha1/defaults.go`).
const WORKERS: usize = 5;
/// After so many failures in a row a Deployment is left alone until its next event (maxRetries).
const MAX_RETRIES: u32 = 15;

/// The name of the ReplicaSet of a revision: the Deployment's and a hash of ten letters.
///
/// The real hash is over the pod template (`pkg/controller/controller_utils.go` ComputeHash); this one is over the
/// revision, which stands for the template. The letters are those of
/// `k8s.io/apimachinery/pkg/util/rand/rand.go` SafeEncodeString.
#[must_use]
pub fn replica_set_name(namespace: &str, name: &str, revision: u32) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    const LENGTH: usize = 10;
    let mut hash = Key::new("pod-template-hash").text(namespace).text(name).number(u64::from(revision)).bits();
    let mut full = format!("{name}-");
    for _ in 0..LENGTH {
        full.push(char::from(LETTERS[(hash % 27) as usize]));
        hash /= 27;
    }
    full
}

/// The selector of a Deployment's ReplicaSet of this name: the Deployment's, and the hash.
#[must_use]
pub fn replica_set_selector(deployment: &Selector, name: &str) -> Selector {
    let hash = name.rsplit('-').next().unwrap_or_default();
    let mut selector = deployment.clone();
    selector.requirements.push(Requirement::In("pod-template-hash".into(), vec![hash.into()]));
    selector
}

/// The controller, with its queue and what it remembers of each Deployment.
///
/// Not modelled: paused Deployments, rollback, progressDeadlineSeconds, the status of Deployments, revisionHistoryLimit
/// and hash collisions.
#[derive(Clone, Debug)]
pub struct DeploymentController {
    queue: WorkQueue,
    client: RateLimit,
    deployments: Vec<Tracked>,
    /// How many ReplicaSets have been sorted to their Deployments.
    indexed: usize,
    /// The pods of each ReplicaSet, as far as the informer has told.
    pods: Vec<BTreeSet<PodId>>,
}

/// What the controller remembers of one Deployment.
#[derive(Clone, Debug, Default)]
struct Tracked {
    /// Its ReplicaSets, the oldest first.
    replica_sets: Vec<ReplicaSetId>,
    /// The annotations desired-replicas and max-replicas of its ReplicaSets, by revision. They are kept here and not in the
    /// object: so a change of nothing but these costs no write.
    annotations: BTreeMap<u32, Sizes>,
    /// The newest revision for which a ReplicaSet has been created.
    created: Option<u32>,
    writes: u64,
    run: Option<Run>,
}

/// A sync that waits for answers.
#[derive(Clone, Debug)]
struct Run {
    cause: CauseId,
    revision: u32,
    sizes: Sizes,
    current: Option<Step>,
    left: VecDeque<Step>,
    /// What the answers to this sync's writes said: the versions that its next writes build on.
    own: BTreeMap<ReplicaSetId, Revision>,
}

impl Default for DeploymentController {
    fn default() -> Self {
        Self::new()
    }
}

impl DeploymentController {
    /// A controller that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: WorkQueue::with_default_backoff(WORKERS),
            client: RateLimit::controller(),
            deployments: Vec::new(),
            indexed: 0,
            pods: Vec::new(),
        }
    }

    /// The start state: a pod that the controller has known for long.
    pub fn start_with(&mut self, ctx: &Context<'_>, pod: PodId) {
        if let Owner::ReplicaSet(id) = ctx.store.pod_meta[pod.index()].owner {
            self.pods_of(id).insert(pod);
        }
    }

    /// The informer delivers a version of a Deployment.
    pub fn on_deployment(&mut self, ctx: &mut Context<'_>, id: DeploymentId) {
        self.queue.add(id.0, ctx.cause);
        self.pump(ctx);
    }

    /// The informer delivers a version of a ReplicaSet.
    pub fn on_replica_set(&mut self, ctx: &mut Context<'_>, id: ReplicaSetId) {
        let seen = ctx.controller_view(Kind::ReplicaSet);
        if let Some(deployment) = ctx.store.replica_sets.at(id.index(), seen).and_then(|rs| rs.deployment) {
            self.queue.add(deployment.0, ctx.cause);
            self.pump(ctx);
        }
    }

    /// The informer delivers a version of a pod. Only the end of a Recreate Deployment's last pod makes it sync
    /// (deletePod).
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, pod: PodId, old: Option<Pod>, new: Option<Pod>) {
        let owner = |version: Option<Pod>| match ctx.store.owner_of(pod, &version?) {
            Owner::ReplicaSet(id) => Some(id),
            _ => None,
        };
        let (before, now) = (owner(old), owner(new));
        if let Some(id) = now {
            self.pods_of(id).insert(pod);
        }
        let Some(id) = before.filter(|_| before != now) else { return };
        self.pods_of(id).remove(&pod);
        if new.is_some() {
            return;
        }
        let seen = ctx.controller_view(Kind::ReplicaSet);
        let Some(owner) = ctx.store.replica_sets.at(id.index(), seen).and_then(|rs| rs.deployment) else { return };
        let seen = ctx.controller_view(Kind::Deployment);
        let Some(deployment) = ctx.store.deployments.at(owner.index(), seen) else { return };
        if deployment.strategy == Strategy::Recreate {
            self.index_replica_sets(ctx);
            let sets = self.tracked(owner).replica_sets.clone();
            if sets.into_iter().all(|rs| self.pods_of(rs).is_empty()) {
                self.queue.add(owner.0, ctx.cause);
                self.pump(ctx);
            }
        }
    }

    /// A delayed key is due.
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.due(key, ctx.now(), ctx.cause);
        self.pump(ctx);
    }

    /// A worker syncs a Deployment (syncDeployment).
    pub fn sync(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.begin(ctx, key);
        let id = DeploymentId(key);
        let seen = ctx.controller_view(Kind::Deployment);
        let Some(deployment) = ctx.store.deployments.at(id.index(), seen).cloned() else {
            return self.finish(ctx, id, Ok(()));
        };
        self.index_replica_sets(ctx);
        let members = self.members(ctx, id, &deployment);
        let is_new = |m: &Member| m.revision == deployment.revision;
        let new = members.iter().find(|m| is_new(m)).copied();
        let old: Vec<_> = members.iter().filter(|m| !is_new(m)).copied().collect();
        let steps = if plan::is_scaling_event(&deployment, &members) {
            plan::scale(&deployment, new, &old)
        } else if deployment.strategy == Strategy::Recreate {
            plan::recreate(&deployment, new, &old, self.old_pods_running(ctx, &old))
        } else {
            plan::rolling(&deployment, new, &old)
        };
        let tracked = self.tracked(id);
        let creates = steps.iter().any(|s| matches!(s, Step::Create(_)));
        if creates && tracked.created == Some(deployment.revision) {
            // It exists, but the informer has not shown it: creating it again fails with AlreadyExists, looking it up in
            // the cache with NotFound, and the key is tried again later.
            return self.finish(ctx, id, Err(WriteError::NotFound));
        }
        tracked.run = Some(Run {
            cause: ctx.cause,
            revision: deployment.revision,
            sizes: Sizes::of(&deployment),
            current: None,
            left: steps.into(),
            own: BTreeMap::new(),
        });
        self.advance(ctx, id);
    }

    /// The answer to one of the controller's writes.
    pub fn written(&mut self, ctx: &mut Context<'_>, key: u32, result: Result<(), WriteError>) {
        let id = DeploymentId(key);
        if self.tracked(id).run.is_none() {
            return;
        }
        match result {
            Ok(()) => {
                self.note_success(ctx, id);
                self.advance(ctx, id);
            }
            Err(error) => self.finish(ctx, id, Err(error)),
        }
    }

    fn tracked(&mut self, id: DeploymentId) -> &mut Tracked {
        if self.deployments.len() <= id.index() {
            self.deployments.resize_with(id.index() + 1, Tracked::default);
        }
        &mut self.deployments[id.index()]
    }

    fn pods_of(&mut self, id: ReplicaSetId) -> &mut BTreeSet<PodId> {
        if self.pods.len() <= id.index() {
            self.pods.resize_with(id.index() + 1, BTreeSet::new);
        }
        &mut self.pods[id.index()]
    }

    fn pump(&mut self, ctx: &mut Context<'_>) {
        self.queue
            .pump(ctx, Controller::Deployment, Hop::DeploymentSync, |ctx, key| ctx.luck_of(Kind::Deployment, key));
    }

    /// Sorts the ReplicaSets that have come into view to their Deployments. They come in the order of creation.
    fn index_replica_sets(&mut self, ctx: &Context<'_>) {
        let seen = ctx.controller_view(Kind::ReplicaSet);
        while let Some(rs) = ctx.store.replica_sets.at(self.indexed, seen) {
            let id = ReplicaSetId::from(self.indexed);
            if let Some(deployment) = rs.deployment {
                self.tracked(deployment).replica_sets.push(id);
            }
            self.indexed += 1;
        }
    }

    /// The ReplicaSets of a Deployment as the informer shows them, the oldest first.
    fn members(&mut self, ctx: &Context<'_>, id: DeploymentId, deployment: &Deployment) -> Vec<Member> {
        let seen = ctx.controller_view(Kind::ReplicaSet);
        let tracked = self.tracked(id);
        let member = |rs: &ReplicaSetId| {
            let stored = ctx.store.replica_sets.stored_at(rs.index(), seen)?;
            let object = stored.value.as_ref()?;
            Some(Member {
                id: *rs,
                base: stored.revision,
                revision: object.revision,
                replicas: object.replicas,
                status_replicas: object.status_replicas,
                available: object.available_replicas,
                annotation: tracked.annotations.get(&object.revision).copied().or_else(|| {
                    // from before the start: completely rolled out, so what it had then was wanted
                    let first = ctx.store.replica_sets.history(rs.index()).first()?.value.as_ref()?;
                    Some(Sizes::of(&Deployment { replicas: first.replicas, ..deployment.clone() }))
                }),
            })
        };
        tracked.replica_sets.iter().filter_map(member).collect()
    }

    /// Whether an old ReplicaSet has, or says that it has, a pod that has not ended. Pods that are being deleted count.
    fn old_pods_running(&mut self, ctx: &Context<'_>, old: &[Member]) -> bool {
        let seen = ctx.controller_view(Kind::Pod);
        old.iter().any(|m| {
            m.status_replicas > 0
                || self
                    .pods_of(m.id)
                    .iter()
                    .any(|p| ctx.store.pods.at(p.index(), seen).is_some_and(|pod| !pod.phase.is_terminal()))
        })
    }

    /// Sends the next write of a sync, or ends it.
    fn advance(&mut self, ctx: &mut Context<'_>, id: DeploymentId) {
        let tracked = self.tracked(id);
        let Some(run) = &mut tracked.run else { return };
        let Some(step) = run.left.pop_front() else { return self.finish(ctx, id, Ok(())) };
        run.current = Some(step);
        let cause = run.cause;
        let write = match step {
            Step::Create(replicas) => {
                let seen = ctx.controller_view(Kind::Deployment);
                let Some(deployment) = ctx.store.deployments.at(id.index(), seen) else {
                    return self.finish(ctx, id, Err(WriteError::NotFound));
                };
                Write::CreateReplicaSet(Box::new(new_replica_set(deployment, id, replicas)))
            }
            Step::Scale { replica_set, replicas, base } => {
                let base = run.own.get(&replica_set).copied().unwrap_or(base);
                Write::ScaleReplicaSet { replica_set, base, replicas }
            }
            Step::Annotate { revision } => {
                let sizes = run.sizes;
                tracked.annotations.insert(revision, sizes);
                return self.advance(ctx, id);
            }
        };
        tracked.writes += 1;
        let index = tracked.writes;
        let luck = Key::new("deployment write").number(ctx.luck_of(Kind::Deployment, id.0)).bits();
        let wait = self.client.reserve(ctx.now());
        let way = ctx.latency(Hop::ApiRequest, luck, index) + ctx.latency(Hop::ApiWrite, luck, index);
        let outer = std::mem::replace(&mut ctx.cause, cause);
        ctx.submit_after(wait + way, write, Caller::Controller(Controller::Deployment, id.0));
        ctx.cause = outer;
    }

    /// Remembers what a write that has succeeded has changed.
    fn note_success(&mut self, ctx: &Context<'_>, id: DeploymentId) {
        let tracked = self.tracked(id);
        let Some(run) = &mut tracked.run else { return };
        match run.current.take() {
            Some(Step::Create(_)) => {
                tracked.created = Some(run.revision);
                tracked.annotations.insert(run.revision, run.sizes);
            }
            Some(Step::Scale { replica_set, .. }) => {
                // the answer carries the object as it was written
                run.own.insert(replica_set, ctx.store.replica_sets.head_revision(replica_set.index()));
                if let Some(rs) = ctx.store.replica_sets.head(replica_set.index()) {
                    tracked.annotations.insert(rs.revision, run.sizes);
                }
            }
            Some(Step::Annotate { .. }) | None => {}
        }
    }

    fn finish(&mut self, ctx: &mut Context<'_>, id: DeploymentId, result: Result<(), WriteError>) {
        self.tracked(id).run = None;
        match result {
            Err(_) if self.queue.failures(id.0) < MAX_RETRIES => {
                let delay = self.queue.fail(id.0);
                self.queue.add_after(ctx, Controller::Deployment, id.0, delay);
            }
            _ => self.queue.forget(id.0),
        }
        self.queue.done(id.0);
        self.pump(ctx);
    }
}

fn new_replica_set(deployment: &Deployment, id: DeploymentId, replicas: u32) -> ReplicaSet {
    ReplicaSet {
        namespace: deployment.namespace.clone(),
        name: replica_set_name(&deployment.namespace, &deployment.name, deployment.revision),
        deployment: Some(id),
        revision: deployment.revision,
        selector: replica_set_selector(
            &deployment.selector,
            &replica_set_name(&deployment.namespace, &deployment.name, deployment.revision),
        ),
        template: deployment.template,
        replicas,
        min_ready_seconds: deployment.min_ready_seconds,
        status_replicas: 0,
        ready_replicas: 0,
        available_replicas: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{IntOrPercent, Phase, TemplateId};
    use crate::simulation::control_plane::harness::{Cluster, living, setup, template};
    use crate::simulation::setup::plain_node;

    fn deployment(replicas: u32, strategy: Strategy) -> Deployment {
        Deployment {
            namespace: "default".into(),
            name: "web".into(),
            replicas,
            strategy,
            min_ready_seconds: 0,
            selector: Selector::labels([("app", "web")]),
            template: TemplateId(0),
            revision: 1,
        }
    }

    fn rolling(max_surge: u32, max_unavailable: u32) -> Strategy {
        Strategy::RollingUpdate {
            max_surge: IntOrPercent::Int(max_surge),
            max_unavailable: IntOrPercent::Int(max_unavailable),
        }
    }

    fn restart(cluster: &mut Cluster<'_>, id: DeploymentId) {
        cluster.change_deployment(id, |d| d.revision += 1);
    }

    /// `spec.replicas` of all ReplicaSets, the oldest first.
    fn sizes(cluster: &Cluster<'_>) -> Vec<u32> {
        let sets = &cluster.ctx.store.replica_sets;
        (0..sets.len()).filter_map(|i| Some(sets.head(i)?.replicas)).collect()
    }

    #[test]
    fn names_are_stable_and_tell_revisions_apart() {
        let first = replica_set_name("default", "web", 1);
        assert_eq!(first, replica_set_name("default", "web", 1));
        assert_ne!(first, replica_set_name("default", "web", 2));
        let hash = first.strip_prefix("web-").unwrap();
        assert_eq!(hash.len(), 10);
        assert!(hash.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)), "{hash}");
    }

    #[test]
    fn a_rolling_update_stays_between_its_fenceposts() {
        for (strategy, between) in [(rolling(1, 0), 4..=5), (rolling(0, 1), 3..=4), (rolling(2, 2), 2..=6)] {
            let setup = setup();
            let mut cluster = Cluster::new(&setup, ["a", "b", "c"].map(plain_node));
            cluster.ctx.store.add_template(template("web", 10));
            let id = cluster.add_deployment(deployment(4, strategy));
            cluster.start();
            restart(&mut cluster, id);
            for second in 1..=60 {
                cluster.run_to(second);
                let active = living(&cluster.ctx).filter(|(_, p)| p.is_active());
                let ready = active.filter(|(_, p)| p.ready).count();
                assert!(ready >= *between.start(), "{strategy:?}: {ready} ready after {second} s");
                let wanted: u32 = sizes(&cluster).iter().sum();
                assert!(wanted as usize <= *between.end(), "{strategy:?}: {wanted} wanted after {second} s");
            }
            assert_eq!(sizes(&cluster), [0, 4], "{strategy:?}");
            assert_eq!(living(&cluster.ctx).count(), 4, "{strategy:?}");
        }
    }

    #[test]
    fn recreate_leaves_a_gap() {
        let setup = setup();
        let mut cluster = Cluster::new(&setup, ["a", "b"].map(plain_node));
        cluster.ctx.store.add_template(template("web", 10));
        let id = cluster.add_deployment(deployment(3, Strategy::Recreate));
        cluster.start();
        cluster.after_commit = Some(|ctx| {
            let old_runs = living(ctx).any(|(p, pod)| p.0 < 3 && !pod.phase.is_terminal());
            let new = living(ctx).any(|(p, _)| p.0 >= 3);
            assert!(!(old_runs && new), "a new pod while an old one runs");
        });
        restart(&mut cluster, id);
        cluster.run_to(60);
        assert_eq!(sizes(&cluster), [0, 3]);
        assert!(living(&cluster.ctx).all(|(_, p)| p.ready && p.phase == Phase::Running));
    }

    #[test]
    fn scaling_changes_the_one_replica_set() {
        let setup = setup();
        let mut cluster = Cluster::new(&setup, ["a", "b"].map(plain_node));
        cluster.ctx.store.add_template(template("web", 10));
        let id = cluster.add_deployment(deployment(2, Strategy::default()));
        cluster.start();
        for (replicas, at) in [(5, 20), (1, 40), (0, 60), (2, 80)] {
            cluster.change_deployment(id, |d| d.replicas = replicas);
            cluster.run_to(at);
            assert_eq!(sizes(&cluster), [replicas]);
            assert_eq!(living(&cluster.ctx).count(), replicas as usize);
        }
    }

    #[test]
    fn a_second_restart_overtakes_the_first() {
        let setup = setup();
        let mut cluster = Cluster::new(&setup, ["a", "b", "c"].map(plain_node));
        cluster.ctx.store.add_template(template("web", 10));
        let id = cluster.add_deployment(deployment(6, rolling(2, 1)));
        cluster.start();
        restart(&mut cluster, id);
        cluster.run_to(3);
        restart(&mut cluster, id);
        cluster.run_to(120);
        assert_eq!(sizes(&cluster), [0, 0, 6]);
        assert_eq!(living(&cluster.ctx).count(), 6);
    }

    /// A setup in which the watch needs 2 s.
    fn slow_watch() -> crate::simulation::Setup {
        let mut setup = setup();
        setup.latencies.set(Hop::Watch, crate::engine::Distribution::Constant(crate::engine::Duration::from_secs(2)));
        setup
    }

    #[test]
    fn a_conflict_is_retried_until_the_view_is_fresh() {
        let setup = slow_watch();
        let mut cluster = Cluster::new(&setup, ["a", "b"].map(plain_node));
        cluster.ctx.store.add_template(template("web", 10));
        let id = cluster.add_deployment(deployment(2, Strategy::default()));
        cluster.start();
        cluster.change_deployment(id, |d| d.replicas = 3);
        cluster.run_to(1);
        cluster.change_replica_set(ReplicaSetId(0), |rs| rs.available_replicas = 1);
        cluster.run_to(20);
        assert_eq!(sizes(&cluster), [3]);
        let attempts = cluster.commits.iter().filter(|(_, w)| matches!(w, Write::ScaleReplicaSet { .. })).count();
        assert!((8..30).contains(&attempts), "{attempts} attempts in the 4 s of stale views: without back-off, 100");
    }

    #[test]
    fn a_replica_set_that_is_not_in_view_is_not_created_again() {
        let setup = slow_watch();
        let mut cluster = Cluster::new(&setup, ["a", "b"].map(plain_node));
        cluster.ctx.store.add_template(template("web", 10));
        let id = cluster.add_deployment(deployment(2, Strategy::default()));
        cluster.start();
        restart(&mut cluster, id);
        cluster.run_to(1);
        cluster.change_deployment(id, |d| d.min_ready_seconds = 1);
        cluster.run_to(60);
        assert_eq!(sizes(&cluster), [0, 2]);
    }

    #[test]
    fn an_eviction_is_no_business_of_the_deployment() {
        let setup = setup();
        let mut cluster = Cluster::new(&setup, ["a", "b"].map(plain_node));
        cluster.ctx.store.add_template(template("web", 10));
        cluster.add_deployment(deployment(2, Strategy::default()));
        cluster.start();
        cluster.delete_pod(PodId(0));
        cluster.run_to(30);
        assert_eq!(living(&cluster.ctx).count(), 2);
        let scaled = cluster.commits.iter().any(|(_, w)| matches!(w, Write::ScaleReplicaSet { .. }));
        assert!(!scaled);
    }
}
