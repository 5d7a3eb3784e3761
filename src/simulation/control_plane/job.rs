//! The Job controller: pods that are to end, so many at a time, until enough have ended well.
//!
//! A pod that is evicted counts as failed as soon as it is being deleted, is replaced after a back-off of 10 s, and takes
//! its work with it. With a `podFailurePolicy` it counts when it has ended, if no rule ignores it.
//!
//! Source: `pkg/controller/job/job_controller.go` (syncJob, manageJob, trackJobStatusAndRemoveFinalizers, isPodFailed),
//! `backoff_utils.go` and `pod_failure_policy.go` (v1.36).

use std::collections::{BTreeMap, BTreeSet};

use crate::api::job::{JobStatus, PodFailureAction, PodFailureMatch, PodReplacementPolicy};
use crate::api::{Job, JobId, Kind, Owner, Phase, Pod, PodId};
use crate::engine::{Duration, Key, Time};
use crate::simulation::apiserver::suffixed;
use crate::simulation::context::Context;
use crate::simulation::control_plane::batch_worker::{BatchWorker, Plan, claim, slow_start};
use crate::simulation::control_plane::expectations::Expectations;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::Controller;
use crate::simulation::latency::Hop;
use crate::simulation::write::{NewPod, WorkloadWrite, Write, WriteError};

/// `--concurrent-job-syncs` (`pkg/controller/job/config/v1alpha1/defaults.go`).
const WORKERS: usize = 5;
/// Events of pods are gathered for so long before a sync (SyncJobBatchPeriod).
const BATCH_PERIOD: Duration = Duration::from_secs(1);
/// After a failed pod the next one is made so much later, twice as long after each further one (DefaultJobPodFailureBackOff) …
const BACKOFF_BASE: Duration = Duration::from_secs(10);
/// … up to this (MaxJobPodFailureBackOff).
const BACKOFF_MAX: Duration = Duration::from_secs(600);
/// At most so many pods are created by one sync (MaxPodCreateDeletePerSync).
const CREATED_MAX: u32 = 500;

/// The controller, with its queue and what it remembers of each Job.
///
/// Counts are kept here from sync to sync, where the real one reads them from the status that it has written, with the pods
/// that are on the way between (uncountedTerminatedPods). Not modelled: indexes, deadlines, suspension during a run, success
/// policies, rules by exit code, restarts within a pod (they count against backoffLimit with `restartPolicy: OnFailure`),
/// adoption.
#[derive(Clone, Debug)]
pub struct JobController {
    worker: BatchWorker,
    jobs: BTreeMap<JobId, Tracked>,
}

/// What the controller remembers of one Job.
#[derive(Clone, Debug, Default)]
struct Tracked {
    /// Its pods, as far as the informer has told.
    pods: BTreeSet<PodId>,
    next_ordinal: u32,
    expectations: Expectations,
    /// Pods that have been counted; their finalizer is gone, or on its way out.
    counted: BTreeSet<PodId>,
    succeeded: u32,
    failed: u32,
    finished: Option<bool>,
    /// Failures since the last success, and the time of the last one.
    failures: u32,
    last_failure: Time,
}

impl Default for JobController {
    fn default() -> Self {
        Self::new()
    }
}

impl JobController {
    /// A controller that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        // errors of a Job back off from 1 s to 10 min (syncJobBackoff)
        let queue = WorkQueue::new(WORKERS, Duration::from_secs(1), BACKOFF_MAX);
        Self { worker: BatchWorker::new(Controller::Job, Kind::Job, Hop::JobSync, queue), jobs: BTreeMap::new() }
    }

    /// The start state: a pod that the controller has known for long.
    pub fn start_with(&mut self, ctx: &Context<'_>, pod: PodId) {
        if let Owner::Job(id) = ctx.store.pod_meta[pod.index()].owner {
            let tracked = self.jobs.entry(id).or_default();
            tracked.pods.insert(pod);
            tracked.next_ordinal += 1;
        }
    }

    /// The informer delivers a version of a Job.
    pub fn on_job(&mut self, ctx: &mut Context<'_>, id: JobId) {
        self.worker.add(ctx, id.0);
    }

    /// The informer delivers a version of a pod; `old` is the one delivered before, `new` is `None` if it is gone.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, pod: PodId, old: Option<Pod>, new: Option<Pod>) {
        let owner = |version: Option<Pod>| match ctx.store.owner_of(pod, &version?) {
            Owner::Job(id) => Some(id),
            _ => None,
        };
        let (before, now) = (owner(old), owner(new));
        let Some(id) = now.or(before) else { return };
        let tracked = self.jobs.entry(id).or_default();
        if now.is_some() {
            tracked.pods.insert(pod);
        } else {
            tracked.pods.remove(&pod);
        }
        tracked.expectations.delivered(pod, old.as_ref(), new.as_ref());
        self.worker.add_after(ctx, id.0, BATCH_PERIOD);
    }

    /// A delayed key is due.
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.worker.requeue(ctx, key);
    }

    /// The answer to one of the controller's writes.
    pub fn written(&mut self, ctx: &mut Context<'_>, key: u32, result: Result<(), WriteError>) {
        if result == Err(WriteError::Conflict) {
            self.jobs.entry(JobId(key)).or_default().expectations = Expectations::default();
        }
        self.worker.written(ctx, key, result);
    }

    /// A worker syncs a Job (syncJob).
    pub fn sync(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.worker.begin(ctx, key);
        let id = JobId(key);
        let Some(job) = ctx.store.jobs.at(id.index(), ctx.controller_view(Kind::Job)).cloned() else {
            return self.worker.carry_out(ctx, key, Plan::default());
        };
        let tracked = self.jobs.entry(id).or_default();
        let (pods, mut first) = claim(ctx, tracked.pods.iter().copied(), &Owner::Job(id), &job.selector);
        let now = ctx.now();
        let counted = tracked.count(&job, &pods, now);
        first.extend(counted.into_iter().map(|pod| Write::Workload(WorkloadWrite::RemoveFinalizer { pod })));
        let mut plan = Plan::default();
        if !first.is_empty() {
            plan.batches.push_back(first);
        }
        let active: Vec<PodId> = pods.iter().filter(|(_, pod)| pod.is_active()).map(|(id, _)| *id).collect();
        let terminating = pods.iter().filter(|(_, p)| p.deletion.is_some() && !p.phase.is_terminal()).count();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let terminating = count(terminating);
        if tracked.expectations.satisfied(now) {
            let want =
                if tracked.finished.is_some() { 0 } else { wanted(&job, tracked.succeeded, count(active.len())) };
            let waits_for = if replaces_only_failed(&job) { terminating } else { 0 };
            let missing = want.saturating_sub(count(active.len()) + waits_for).min(CREATED_MAX);
            let surplus = count(active.len()).saturating_sub(want);
            let wait = backoff(tracked.failures).saturating_sub(now.since(tracked.last_failure));
            if surplus > 0 {
                // the youngest first
                let doomed: Vec<PodId> = active.iter().rev().take(surplus as usize).copied().collect();
                tracked.expectations =
                    Expectations { deletions: doomed.iter().copied().collect(), since: now, creations: 0 };
                let delete = |pod| Write::DeletePod { pod, grace_seconds: None, unless_changed_since: None };
                plan.batches.push_back(doomed.into_iter().map(delete).collect());
            } else if missing > 0 && tracked.failures > 0 && !wait.is_zero() {
                plan.recheck = Some(wait);
            } else if missing > 0 {
                tracked.expectations = Expectations { creations: missing, since: now, ..Expectations::default() };
                let ordinals = tracked.next_ordinal..tracked.next_ordinal + missing;
                tracked.next_ordinal += missing;
                let writes = ordinals.filter_map(|ordinal| {
                    let new = new_pod(ctx, id, ordinal)?;
                    Some(Write::Workload(WorkloadWrite::CreatePod(Box::new(new))))
                });
                plan.batches.extend(slow_start(writes.collect()));
            }
        }
        let status = JobStatus {
            active: count(active.len()),
            terminating,
            succeeded: tracked.succeeded,
            failed: tracked.failed,
            finished: tracked.finished,
        };
        if status != job.status {
            plan.status = Some(Write::Workload(WorkloadWrite::JobStatus { job: id, status }));
        }
        self.worker.carry_out(ctx, key, plan);
    }
}

impl Tracked {
    /// Counts pods that have ended, or count as failed although they have not; returns them. Decides whether the Job has
    /// ended.
    fn count(&mut self, job: &Job, pods: &[(PodId, Pod)], now: Time) -> Vec<PodId> {
        let mut counted = Vec::new();
        let mut failures: Vec<Time> = Vec::new();
        let mut fail_job = false;
        for (id, pod) in pods.iter().filter(|(id, pod)| pod.finalizer && !self.counted.contains(id)) {
            if pod.phase == Phase::Succeeded {
                self.succeeded += 1;
                (self.failures, self.last_failure) = (0, Time::ZERO);
            } else if is_failed(job, pod) {
                failures.push(failure_time(pod, now));
                match action_on(job, pod) {
                    PodFailureAction::Ignore => {}
                    PodFailureAction::Count => self.failed += 1,
                    PodFailureAction::FailJob => {
                        self.failed += 1;
                        fail_job = true;
                    }
                }
            } else {
                continue;
            }
            counted.push(*id);
        }
        self.counted.extend(counted.iter().copied());
        if let Some(last) = failures.iter().max() {
            self.failures += u32::try_from(failures.len()).unwrap_or(u32::MAX);
            self.last_failure = *last;
        }
        let active = pods.iter().any(|(_, pod)| pod.is_active());
        if self.finished.is_none() {
            if fail_job || self.failed > job.backoff_limit {
                self.finished = Some(false);
            } else if job.completions.map_or(self.succeeded > 0 && !active, |n| self.succeeded >= n) {
                self.finished = Some(true);
            }
        }
        counted
    }
}

/// onlyReplaceFailedPods.
fn replaces_only_failed(job: &Job) -> bool {
    job.replacement == PodReplacementPolicy::Failed || job.failure_policy.is_some()
}

/// isPodFailed.
fn is_failed(job: &Job, pod: &Pod) -> bool {
    pod.phase == Phase::Failed || !replaces_only_failed(job) && pod.deletion.is_some() && pod.phase != Phase::Succeeded
}

/// What the `podFailurePolicy` says about a failed pod (matchPodFailurePolicy): the first rule that matches, or Count.
fn action_on(job: &Job, pod: &Pod) -> PodFailureAction {
    let rules = job.failure_policy.iter().flat_map(|policy| &policy.rules);
    let mut matching = rules.filter(|rule| match rule.matches {
        PodFailureMatch::DisruptionTarget => pod.disruption_target,
        PodFailureMatch::Unknown => false,
    });
    matching.next().map_or(PodFailureAction::Count, |rule| rule.action)
}

/// getFinishedTime: of a pod that is being deleted, when that was asked for; of one that has ended, when it stopped being
/// ready.
fn failure_time(pod: &Pod, now: Time) -> Time {
    match pod.deletion {
        Some(deletion) if !pod.phase.is_terminal() => deletion.timestamp - Duration::from_secs(deletion.grace_seconds),
        _ if !pod.ready && pod.ready_since > Time::ZERO => pod.ready_since,
        _ => now,
    }
}

/// How many pods should be active (manageJob).
fn wanted(job: &Job, succeeded: u32, active: u32) -> u32 {
    match job.completions {
        Some(completions) => completions.saturating_sub(succeeded).min(job.parallelism),
        None if succeeded > 0 => active.min(job.parallelism),
        None => job.parallelism,
    }
}

/// How long after the last of so many failures in a row the next pod is made (getRemainingTimeForFailuresCount).
fn backoff(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => BACKOFF_BASE.checked_mul(1 << (n - 1).min(10)).map_or(BACKOFF_MAX, |wait| wait.min(BACKOFF_MAX)),
    }
}

/// The `ordinal`-th pod of a Job, in order of creation.
#[must_use]
pub fn new_pod(ctx: &Context<'_>, id: JobId, ordinal: u32) -> Option<NewPod> {
    let job = ctx.store.jobs.head(id.index())?;
    let luck = Key::new("pod").text(&job.namespace).text(&job.name).number(u64::from(ordinal)).bits();
    let mut labels = ctx.store.templates[job.template.index()].labels.clone();
    for key in ["batch.kubernetes.io/job-name", "job-name"] {
        labels.insert(key.into(), job.name.clone());
    }
    Some(NewPod {
        namespace: job.namespace.clone(),
        name: suffixed(&job.name, luck),
        luck,
        template: job.template,
        labels,
        owner: Owner::Job(id),
        only_on: None,
        node: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Deletion;
    use crate::api::job::{PodFailurePolicy, PodFailureRule};
    use crate::api::{LabelSetId, NodeId, Selector, TemplateId};
    use crate::simulation::control_plane::harness::{Cluster, STOP, living, setup, template};
    use crate::simulation::setup::plain_node;

    fn job(parallelism: u32, completions: Option<u32>) -> Job {
        Job {
            namespace: "default".into(),
            name: "work".into(),
            parallelism,
            completions,
            backoff_limit: 6,
            replacement: PodReplacementPolicy::default(),
            failure_policy: None,
            selector: Selector::labels([("batch.kubernetes.io/job-name", "work")]),
            template: TemplateId(0),
            status: JobStatus::default(),
        }
    }

    fn rule(action: PodFailureAction) -> Option<PodFailurePolicy> {
        Some(PodFailurePolicy { rules: vec![PodFailureRule { matches: PodFailureMatch::DisruptionTarget, action }] })
    }

    /// `pkg/controller/job/job_controller.go` manageJob (v1.36).
    #[test]
    fn how_many_pods_there_should_be() {
        for (parallelism, completions, succeeded, active, expected) in [
            (3, Some(5), 0, 0, 3),
            (3, Some(5), 3, 1, 2),
            (3, Some(5), 5, 0, 0),
            (3, Some(2), 0, 0, 2),
            (3, None, 0, 0, 3),
            (3, None, 1, 2, 2),
            (0, Some(5), 0, 1, 0),
        ] {
            let wanted = wanted(&job(parallelism, completions), succeeded, active);
            assert_eq!(wanted, expected, "{parallelism} {completions:?} {succeeded} {active}");
        }
    }

    /// `pkg/controller/job/backoff_utils.go` getRemainingTimeForFailuresCount (v1.36).
    #[test]
    fn each_failure_doubles_the_wait() {
        let waits: Vec<_> = (0..9).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
    }

    /// `job_controller.go` isPodFailed and `pod_failure_policy.go` matchPodFailurePolicy (v1.36).
    #[test]
    fn when_a_pod_counts_as_failed_and_what_follows() {
        use PodFailureAction::{Count, FailJob, Ignore};
        let deletion = Some(Deletion { timestamp: Time::from_secs(40), grace_seconds: 30 });
        let running = Pod { phase: Phase::Running, finalizer: true, ..Pod::created(LabelSetId(0), Some(NodeId(0))) };
        let evicted = Pod { deletion, disruption_target: true, ..running };
        let ended = Pod { phase: Phase::Failed, ..evicted };
        let crashed = Pod { phase: Phase::Failed, ..running };
        let done = Pod { phase: Phase::Succeeded, deletion, ..running };
        for (pod, policy, replacement, failed, action) in [
            (running, None, PodReplacementPolicy::TerminatingOrFailed, false, Count),
            (evicted, None, PodReplacementPolicy::TerminatingOrFailed, true, Count),
            (evicted, None, PodReplacementPolicy::Failed, false, Count),
            (ended, None, PodReplacementPolicy::Failed, true, Count),
            (evicted, rule(Ignore), PodReplacementPolicy::Failed, false, Ignore),
            (ended, rule(Ignore), PodReplacementPolicy::Failed, true, Ignore),
            (ended, rule(FailJob), PodReplacementPolicy::Failed, true, FailJob),
            (crashed, rule(Ignore), PodReplacementPolicy::Failed, true, Count),
            (done, None, PodReplacementPolicy::TerminatingOrFailed, false, Count),
        ] {
            let job = Job { failure_policy: policy, replacement, ..job(1, Some(1)) };
            assert_eq!((is_failed(&job, &pod), action_on(&job, &pod)), (failed, action), "{pod:?} {job:?}");
        }
        assert_eq!(failure_time(&evicted, Time::from_secs(99)), Time::from_secs(10), "when the deletion was asked for");
    }

    fn cluster(setup: &crate::simulation::Setup, job: Job) -> Cluster<'_> {
        let mut cluster = Cluster::new(setup, ["a", "b"].map(plain_node));
        cluster.ctx.store.add_template(template("work", 10));
        cluster.ctx.store.put_job(Time::ZERO, 0, job);
        cluster.start();
        cluster.ctx.publish(Kind::Job, 0);
        cluster
    }

    fn status(cluster: &Cluster<'_>) -> JobStatus {
        cluster.ctx.store.jobs.head(0).unwrap().status
    }

    #[test]
    fn pods_that_end_well_are_followed_by_others_until_there_are_enough() {
        let setup = setup();
        let mut cluster = cluster(&setup, job(2, Some(3)));
        cluster.run_to(10);
        assert_eq!(living(&cluster.ctx).count(), 2);
        cluster.change_pod(PodId(0), |p| p.phase = Phase::Succeeded);
        cluster.run_to(20);
        assert_eq!(cluster.ctx.store.pods.len(), 3);
        for pod in [1, 2] {
            cluster.change_pod(PodId(pod), |p| p.phase = Phase::Succeeded);
        }
        cluster.run_to(30);
        assert_eq!(cluster.ctx.store.pods.len(), 3, "that was enough");
        assert_eq!((status(&cluster).succeeded, status(&cluster).finished), (3, Some(true)));
    }

    #[test]
    fn an_evicted_pod_is_replaced_after_ten_seconds_and_counts_as_failed() {
        let setup = setup();
        let mut cluster = cluster(&setup, job(1, Some(1)));
        cluster.run_to(10);
        cluster.delete_pod(PodId(0));
        cluster.run_to(19);
        assert_eq!(
            (cluster.ctx.store.pods.len(), status(&cluster).failed),
            (1, 1),
            "it waits, though it has counted it"
        );
        cluster.run_to(23);
        assert_eq!(cluster.ctx.store.pods.len(), 2);
    }

    #[test]
    fn with_a_failure_policy_the_successor_waits_for_the_end_and_nothing_is_counted() {
        let setup = setup();
        let mut cluster = cluster(&setup, Job { failure_policy: rule(PodFailureAction::Ignore), ..job(1, Some(1)) });
        cluster.run_to(10);
        cluster.change_pod(PodId(0), |p| p.disruption_target = true);
        cluster.delete_pod(PodId(0));
        // the kubelet says that it has ended, and wants it gone; the finalizer holds it until it has been counted
        cluster.run_to(10 + STOP.as_secs() - 1);
        assert_eq!(status(&cluster).terminating, 1);
        let now = cluster.ctx.now().truncate_to_second();
        cluster.change_pod(PodId(0), |p| (p.phase, p.ready, p.ready_since) = (Phase::Failed, false, now));
        cluster.run_to(40);
        assert_eq!(status(&cluster).failed, 0);
        assert_eq!(cluster.ctx.store.pods.len(), 2);
        assert!(cluster.ctx.store.pods.head(0).is_none(), "the finalizer has gone");
    }

    #[test]
    fn too_many_failures_end_the_job() {
        let setup = setup();
        let mut cluster = cluster(&setup, Job { backoff_limit: 1, ..job(1, Some(1)) });
        cluster.run_to(10);
        cluster.change_pod(PodId(0), |p| p.phase = Phase::Failed);
        cluster.run_to(60);
        assert_eq!((cluster.ctx.store.pods.len(), status(&cluster).finished), (2, None));
        cluster.change_pod(PodId(1), |p| p.phase = Phase::Failed);
        cluster.run_to(120);
        assert_eq!((cluster.ctx.store.pods.len(), status(&cluster).finished), (2, Some(false)));
    }
}
