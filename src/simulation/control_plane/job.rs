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
        if old.is_none() {
            tracked.expectations.creation_observed();
        }
        if new.is_none_or(|p| p.deletion.is_some()) {
            tracked.expectations.deletions.remove(&pod);
        }
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
