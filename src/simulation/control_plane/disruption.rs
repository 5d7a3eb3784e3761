//! The disruption controller: how many pods each PodDisruptionBudget lets go. Its arithmetic is in
//! [`api::disruption`](crate::api::disruption).
//!
//! Source: `pkg/controller/disruption/disruption.go` (v1.36): trySync, getExpectedPodCount, countHealthyPods,
//! buildDisruptedPodMap, updatePdbStatus.

use std::collections::BTreeSet;

use crate::api::pdb::DisruptionReason;
use crate::api::{Kind, Owner, Pdb, PdbId, PdbStatus, Pod, PodId, Revision, disruption};
use crate::engine::{Duration, Time};
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::Controller;
use crate::simulation::latency::Hop;
use crate::simulation::write::{Caller, Write, WriteError};

/// The recheck of an expiring entry goes through the rate limiter of the main queue, whose least delay this is. Without it
/// the exact boundary, at which an entry is kept but no longer counted, would be looked at for ever.
const RECHECK_DELAY: Duration = Duration::from_millis(5);

/// The controller: one worker, keys are budgets.
#[derive(Clone, Debug)]
pub struct DisruptionController {
    queue: WorkQueue,
    client: RateLimit,
    writes: u64,
}

impl Default for DisruptionController {
    fn default() -> Self {
        Self { queue: WorkQueue::with_default_backoff(1), client: RateLimit::controller(), writes: 0 }
    }
}

impl DisruptionController {
    /// The informer has delivered a version of a pod: its budget (the first, if several select it) is looked at. Labels that
    /// it no longer has are not.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, old: Option<Pod>, new: Option<Pod>) {
        if let Some(pod) = new.or(old) {
            let pdb = ctx.store.label_set(pod.labels).pdbs.first().copied();
            if let Some(pdb) = pdb {
                self.queue.add(pdb.0, ctx.cause);
            }
        }
        self.pump(ctx);
    }

    /// The informer has delivered a version of a budget.
    pub fn on_pdb(&mut self, ctx: &mut Context<'_>, pdb: PdbId) {
        self.queue.add(pdb.0, ctx.cause);
        self.pump(ctx);
    }

    /// A worker computes a budget's status from what the informers have delivered, and writes it if it differs.
    pub fn sync(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.begin(ctx, key);
        let pdb = PdbId(key);
        let seen = ctx.controller_view(Kind::Pdb);
        let Some((base, old)) = ctx
            .store
            .pdbs
            .stored_at(pdb.index(), seen)
            .and_then(|stored| Some((stored.revision, stored.value.clone()?)))
        else {
            return self.finish(ctx, key);
        };
        let (mut status, recheck) = compute(ctx, pdb, &old, ctx.controller_view(Kind::Pod));
        if status.reason != DisruptionReason::SyncFailed {
            status.observed_generation = old.generation; // failSafe leaves it
        }
        if let Some(at) = recheck {
            let delay = at.since(ctx.now()) + RECHECK_DELAY;
            self.queue.add_after(ctx, Controller::Disruption, key, delay);
        }
        if status == old.status {
            self.queue.forget(key);
            return self.finish(ctx, key);
        }
        self.writes += 1;
        let luck = ctx.luck_of(Kind::Pdb, key);
        let wait = self.client.reserve(ctx.now());
        let caller = Caller::Controller(Controller::Disruption, key);
        ctx.submit_after_wait(wait, Write::PdbStatus { pdb, base, status }, caller, luck, self.writes);
    }

    /// The status write of a budget has been answered. After a conflict the whole computation is done again.
    pub fn written(&mut self, ctx: &mut Context<'_>, key: u32, result: Result<(), WriteError>) {
        match result {
            Ok(()) => self.queue.forget(key),
            Err(_) => {
                let delay = self.queue.fail(key);
                self.queue.add_after(ctx, Controller::Disruption, key, delay);
            }
        }
        self.finish(ctx, key);
    }

    /// A delayed key is due.
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.due(key, ctx.now(), ctx.cause);
        self.pump(ctx);
    }

    fn finish(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.done(key);
        self.pump(ctx);
    }

    fn pump(&mut self, ctx: &mut Context<'_>) {
        self.queue.pump(ctx, Controller::Disruption, Hop::DisruptionSync, |ctx, key| ctx.luck_of(Kind::Pdb, key));
    }
}

/// The status of a budget by the pods as of `seen`, and when an entry of `disruptedPods` runs out.
#[must_use]
pub fn compute(ctx: &Context<'_>, pdb: PdbId, version: &Pdb, seen: Revision) -> (PdbStatus, Option<Time>) {
    let old = &version.status;
    let pods: Vec<(PodId, Pod)> = ctx
        .store
        .pods_of_pdb(pdb)
        .into_iter()
        .filter_map(|id| Some((id, *ctx.store.pods.at(id.index(), seen)?)))
        .filter(|(_, pod)| ctx.store.label_set(pod.labels).pdbs.contains(&pdb))
        .collect();
    disruption::status(version.budget, &pods, || scale_of_controllers(ctx, &pods), old, ctx.now())
}

/// The sum of `spec.replicas` over the distinct controllers of the pods: a ReplicaSet's Deployment if it has one, as the
/// informers know it. A pod without controller adds nothing; `None` if a controller has no scale that could be asked.
fn scale_of_controllers(ctx: &Context<'_>, pods: &[(PodId, Pod)]) -> Option<u32> {
    let mut controllers = BTreeSet::new();
    let mut sum = 0;
    for (id, pod) in pods {
        match ctx.store.owner_of(*id, pod) {
            Owner::ReplicaSet(rs_id) => {
                let rs = ctx.store.replica_sets.at(rs_id.index(), ctx.controller_view(Kind::ReplicaSet))?;
                let deployment = rs.deployment.and_then(|d| {
                    Some((d, ctx.store.deployments.at(d.index(), ctx.controller_view(Kind::Deployment))?))
                });
                if let Some((d, deployment)) = deployment {
                    if controllers.insert(("Deployment", d.0)) {
                        sum += deployment.replicas;
                    }
                } else if controllers.insert(("ReplicaSet", rs_id.0)) {
                    sum += rs.replicas;
                }
            }
            Owner::None | Owner::Mirror => {}
            Owner::StatefulSet(id) => {
                let seen = ctx.controller_view(Kind::StatefulSet);
                let set = ctx.store.stateful_sets.at(id.index(), seen)?;
                if controllers.insert(("StatefulSet", id.0)) {
                    sum += set.replicas;
                }
            }
            // they have no scale subresource
            Owner::DaemonSet(_) | Owner::Job(_) | Owner::Other { .. } => return None,
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::IntOrPercent;
    use crate::api::job::{JobStatus, PodReplacementPolicy};
    use crate::api::pdb::Budget;
    use crate::api::pod::Handover;
    use crate::api::stateful_set::{PodManagement, StatefulSetStatus, StatefulSetUpdate};
    use crate::api::workload::Strategy;
    use crate::api::{
        Deployment, DeploymentId, Job, JobId, LabelSetId, Labels, PodMeta, ReplicaSet, ReplicaSetId, Selector,
        StatefulSet, StatefulSetId, TemplateId,
    };
    use crate::simulation::Setup;

    const OF_DEPLOYMENT: Owner = Owner::ReplicaSet(ReplicaSetId(0));
    const ALONE: Owner = Owner::ReplicaSet(ReplicaSetId(1));
    const STATEFUL: Owner = Owner::StatefulSet(StatefulSetId(0));

    /// (expectedPods, desiredHealthy) by the controllers in the store.
    fn expected(ctx: &Context<'_>, budget: Budget, pods: &[(PodId, Pod)]) -> Option<(u32, u32)> {
        disruption::expected(budget, pods.len(), || scale_of_controllers(ctx, pods))
    }

    /// A Deployment of 4, a ReplicaSet of 6 and a StatefulSet of 5.
    fn context(setup: &Setup) -> Context<'_> {
        let mut ctx = Context::new(setup, 1, false);
        let (namespace, name) = ("default".to_string(), "a".to_string());
        let replica_set = |deployment, replicas| ReplicaSet {
            namespace: namespace.clone(),
            name: name.clone(),
            deployment,
            revision: 1,
            selector: Selector::default(),
            template: TemplateId(0),
            replicas,
            min_ready_seconds: 0,
            status_replicas: 0,
            ready_replicas: 0,
            available_replicas: 0,
        };
        // the ReplicaSet of a Deployment in a rolling update has another number than it
        ctx.store.put_replica_set(Time::ZERO, 0, replica_set(Some(DeploymentId(0)), 3));
        ctx.store.put_replica_set(Time::ZERO, 1, replica_set(None, 6));
        let deployment = Deployment {
            namespace: namespace.clone(),
            name: name.clone(),
            replicas: 4,
            strategy: Strategy::default(),
            min_ready_seconds: 0,
            selector: Selector::default(),
            template: TemplateId(0),
            revision: 1,
        };
        ctx.store.put_deployment(Time::ZERO, 0, deployment);
        let stateful_set = StatefulSet {
            namespace: namespace.clone(),
            name: name.clone(),
            replicas: 5,
            first_ordinal: 0,
            management: PodManagement::default(),
            update: StatefulSetUpdate::default(),
            min_ready_seconds: 0,
            selector: Selector::default(),
            template: TemplateId(0),
            revision: 1,
            current_template: TemplateId(0),
            current_revision: 1,
            status: StatefulSetStatus::default(),
        };
        ctx.store.put_stateful_set(Time::ZERO, 0, stateful_set);
        let job = Job {
            namespace,
            name,
            parallelism: 2,
            completions: None,
            backoff_limit: 6,
            replacement: PodReplacementPolicy::default(),
            failure_policy: None,
            selector: Selector::default(),
            template: TemplateId(0),
            status: JobStatus::default(),
        };
        ctx.store.put_job(Time::ZERO, 0, job);
        ctx.watches.start_at(ctx.store.revision());
        ctx
    }

    fn add(ctx: &mut Context<'_>, owner: &Owner, handover: Handover) -> (PodId, Pod) {
        let labels = ctx.store.intern_labels("default", &Labels::new());
        let pod = Pod { handover, ready: true, ..Pod::created(labels, None) };
        let meta = PodMeta {
            namespace: "default".into(),
            name: "p".into(),
            template: TemplateId(0),
            owner: owner.clone(),
            created_at: Time::ZERO,
            luck: 0,
            only_on: None,
        };
        assert_eq!(labels, LabelSetId(0));
        (ctx.store.create_pod(Time::ZERO, meta, pod), pod)
    }

    /// `pkg/controller/disruption/disruption.go` getExpectedPodCount, getExpectedScale and its finders (v1.36).
    #[test]
    fn expected_pods_by_the_kind_of_their_controllers() {
        use Budget::{MaxUnavailable, MinAvailable, Nothing};
        use IntOrPercent::{Int, Percent};
        let daemon = Owner::DaemonSet(crate::api::DaemonSetId(0));
        let job = Owner::Job(JobId(0));
        let custom = Owner::Other { kind: "Rollout".into(), name: "r".into() };
        let setup = Setup::default();
        // the pods' controllers; the budget; expectedPods and desiredHealthy, or SyncFailed
        type Case<'a> = (&'a [&'a Owner], Budget, Option<(u32, u32)>);
        let cases: [Case<'_>; 30] = [
            (&[&OF_DEPLOYMENT; 4], MaxUnavailable(Int(1)), Some((4, 3))),
            (&[&OF_DEPLOYMENT; 2], MaxUnavailable(Int(1)), Some((4, 3))),
            (&[&OF_DEPLOYMENT; 5], MaxUnavailable(Percent(50)), Some((4, 2))),
            (&[&OF_DEPLOYMENT; 4], MaxUnavailable(Percent(10)), Some((4, 3))),
            (&[&OF_DEPLOYMENT; 4], MaxUnavailable(Int(0)), Some((4, 4))),
            (&[&OF_DEPLOYMENT; 4], MaxUnavailable(Int(9)), Some((4, 0))),
            (&[&OF_DEPLOYMENT; 4], MinAvailable(Percent(50)), Some((4, 2))),
            (&[&OF_DEPLOYMENT; 4], MinAvailable(Percent(51)), Some((4, 3))),
            (&[&OF_DEPLOYMENT; 4], MinAvailable(Percent(100)), Some((4, 4))),
            (&[&ALONE; 6], MaxUnavailable(Int(1)), Some((6, 5))),
            (&[&ALONE; 6], MinAvailable(Percent(33)), Some((6, 2))),
            (&[&STATEFUL; 5], MaxUnavailable(Int(1)), Some((5, 4))),
            (&[&STATEFUL; 1], MaxUnavailable(Int(1)), Some((5, 4))),
            (&[&STATEFUL; 5], MinAvailable(Percent(50)), Some((5, 3))),
            (&[&OF_DEPLOYMENT, &ALONE], MaxUnavailable(Int(1)), Some((10, 9))),
            (&[&OF_DEPLOYMENT, &ALONE, &STATEFUL], MaxUnavailable(Percent(20)), Some((15, 12))),
            // nobody's pods count for nothing here, and as healthy ones elsewhere
            (&[&Owner::None; 3], MaxUnavailable(Int(1)), Some((0, 0))),
            (&[&Owner::None, &STATEFUL], MaxUnavailable(Int(1)), Some((5, 4))),
            (&[&Owner::Mirror], MinAvailable(Percent(50)), Some((0, 0))),
            // no scale subresource
            (&[&daemon], MaxUnavailable(Int(1)), None),
            (&[&daemon], MinAvailable(Percent(50)), None),
            (&[&job], MaxUnavailable(Int(1)), None),
            (&[&custom], MaxUnavailable(Int(1)), None),
            (&[&STATEFUL, &daemon], MaxUnavailable(Int(1)), None),
            // a plain number asks no controller
            (&[&daemon; 3], MinAvailable(Int(2)), Some((3, 2))),
            (&[&job; 2], MinAvailable(Int(1)), Some((2, 1))),
            (&[&custom; 2], MinAvailable(Int(1)), Some((2, 1))),
            (&[&Owner::None; 2], MinAvailable(Int(1)), Some((2, 1))),
            (&[], MaxUnavailable(Int(1)), Some((0, 0))),
            (&[&STATEFUL; 5], Nothing, Some((0, 0))),
        ];
        for (owners, budget, answer) in cases {
            let mut ctx = context(&setup);
            let pods: Vec<_> = owners.iter().map(|owner| add(&mut ctx, owner, Handover::None)).collect();
            assert_eq!(expected(&ctx, budget, &pods), answer, "{owners:?} {budget:?}");
        }
    }

    #[test]
    fn a_released_pod_is_nobodys_and_an_adopted_one_its_new_owners() {
        let setup = Setup::default();
        let mut ctx = context(&setup);
        let released = add(&mut ctx, &STATEFUL, Handover::Released);
        let adopted = add(&mut ctx, &Owner::None, Handover::Adopted(ReplicaSetId(1)));
        let budget = Budget::MaxUnavailable(IntOrPercent::Int(1));
        assert_eq!(expected(&ctx, budget, &[released]), Some((0, 0)));
        assert_eq!(expected(&ctx, budget, &[released, adopted]), Some((6, 5)));
    }
}
