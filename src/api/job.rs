//! Jobs.

use crate::api::labels::Selector;
use crate::api::meta::TemplateId;

/// `spec.podReplacementPolicy`: when a pod that goes is replaced.
///
/// Source: `pkg/apis/batch/v1/defaults.go` SetDefaults_Job (v1.36).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PodReplacementPolicy {
    /// As soon as it has a deletionTimestamp or has failed (the default without a podFailurePolicy).
    #[default]
    TerminatingOrFailed,
    /// When its phase is Failed or Succeeded (the default with a podFailurePolicy).
    Failed,
}

/// What a `podFailurePolicy` does about pods that were disrupted, and about exit codes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PodFailurePolicy {
    /// The rules; the first that matches counts.
    pub rules: Vec<PodFailureRule>,
}

/// One rule of a `podFailurePolicy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodFailureRule {
    /// When it matches.
    pub matches: PodFailureMatch,
    /// What follows.
    pub action: PodFailureAction,
}

/// The condition of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PodFailureMatch {
    /// `onPodConditions` with `DisruptionTarget`: the pod was evicted or preempted, or its node was lost.
    DisruptionTarget,
    /// Something that the model does not know of a pod: it never matches.
    Unknown,
}

/// The action of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PodFailureAction {
    /// `Ignore`: the failure does not count against `backoffLimit`.
    Ignore,
    /// `Count`: it does.
    Count,
    /// `FailJob`: the Job has failed.
    FailJob,
}

/// One version of a Job, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.parallelism`.
    pub parallelism: u32,
    /// `spec.completions`; `None`: one success is enough.
    pub completions: Option<u32>,
    /// `spec.backoffLimit`; 6 unless given.
    pub backoff_limit: u32,
    /// `spec.podReplacementPolicy`.
    pub replacement: PodReplacementPolicy,
    /// `spec.podFailurePolicy`.
    pub failure_policy: Option<PodFailurePolicy>,
    /// `spec.selector`, which the apiserver makes up.
    pub selector: Selector,
    /// `spec.template`.
    pub template: TemplateId,
    /// The counts in its status.
    pub status: JobStatus,
}

/// The counts in `status` of a Job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JobStatus {
    /// `active`: pods that neither have ended nor are being deleted.
    pub active: u32,
    /// `terminating`.
    pub terminating: u32,
    /// `succeeded`.
    pub succeeded: u32,
    /// `failed`, without those that a rule ignores: these count against `backoffLimit`.
    pub failed: u32,
    /// Complete (true) or Failed (false); `None`: it goes on.
    pub finished: Option<bool>,
}
