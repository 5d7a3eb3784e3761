//! The answer of `drainsim tune` as data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Question, grace_seconds};
use crate::analysis::tune::budgets::{Turned, said};
use crate::analysis::tune::{Trial, Tuned};
use crate::report::json::API_VERSION;

/// The answer as data.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TuneResult {
    /// `drainsim/v1alpha1`.
    pub api_version: &'static str,
    /// `Tuned`.
    pub kind: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// What is promised.
    pub promise: PromiseData,
    /// Whether a sleep and budgets were found that keep the promise.
    pub met: bool,
    /// They, confirmed with seeds by which they were not chosen.
    pub recommended: Option<TrialData>,
    /// The grace period that goes with it, seconds.
    pub termination_grace_period_seconds: Option<u64>,
    /// One second less, with the seeds of the confirmation.
    pub one_second_less: Option<TrialData>,
    /// With each of the budgets one pod tighter in turn, and the seeds of the confirmation.
    pub one_pod_tighter: Vec<TrialData>,
    /// The candidate that decides that the promise cannot be kept.
    pub decisive: Option<TrialData>,
    /// The budgets that the drains ask, as they are.
    pub disruption_budgets: Vec<DisruptionBudgetData>,
    /// More replicas, with which the promise can be kept: at all, or without wider budgets.
    pub with_more_replicas: Option<ScaledData>,
    /// All candidates of the search, by length of the sleep.
    pub candidates: Vec<TrialData>,
    /// What the sleep is needed for.
    pub budget: Option<BudgetData>,
    /// The commands that apply the recommendation.
    pub patches: Vec<String>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// A run of the decisive candidate that breaks the promise.
    pub replay: Option<String>,
}

/// A budget as it is.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionBudgetData {
    /// `namespace/name`.
    pub name: String,
    /// How many pods it selects.
    pub pods: u32,
    /// What it says: `minAvailable: 1`.
    pub says: String,
    /// How many pods it lets go at once.
    pub allowed: u32,
}

/// Workloads with more replicas.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaledData {
    /// By workload, `Deployment/default/web`: how many replicas.
    pub replicas: BTreeMap<String, u32>,
    /// What was tried with them.
    pub trial: TrialData,
    /// The commands that apply it.
    pub patches: Vec<String>,
}

/// A promise.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromiseData {
    /// At most so many requests fail in a run.
    pub failed_max: u64,
    /// All drains of a run end within so many seconds.
    pub drain_within_seconds: Option<f64>,
    /// Each Service with clients keeps so many ready endpoints.
    pub ready_min: Option<u32>,
    /// In this share of all runs.
    pub share: f64,
    /// How sure that must be.
    pub confidence: f64,
    /// The longest sleep that was thought of, seconds.
    pub up_to_seconds: u64,
}

/// A sleep that was tried.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialData {
    /// The sleep.
    pub pre_stop_seconds: u64,
    /// By budget that the drains ask: what it says.
    pub disruption_budgets: BTreeMap<String, String>,
    /// How many runs were made; they end with the first exception too many.
    pub runs: u64,
    /// How many of them broke the promise.
    pub broken: u64,
    /// In how many of them too many requests failed.
    pub losing: u64,
    /// In how many of them a Service had too few ready endpoints.
    pub short: u64,
    /// In how many of them a drain took too long, or did not end.
    pub late: u64,
    /// In how many of them a drain did not end.
    pub unfinished: u64,
    /// The lower end of the share of all runs that break the promise.
    pub broken_share_low: f64,
    /// The upper end.
    pub broken_share_high: f64,
    /// Whether the runs show that the promise is kept.
    pub shown: bool,
    /// The median of the drain, seconds.
    pub drain_p50_seconds: Option<f64>,
    /// The fewest ready endpoints of a Service with clients.
    pub ready_min: Option<u32>,
    /// Whether no other candidate is faster and breaks the promise less often.
    pub on_front: bool,
    /// The longest drain, seconds.
    pub drain_max_seconds: Option<f64>,
    /// The longest time from a deletion to the end of its process, seconds.
    pub shutdown_max_seconds: Option<f64>,
    /// The first seed that broke the promise.
    pub first_broken_seed: Option<u64>,
}

/// What the sleep is needed for.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetData {
    /// In 99 of 100 runs routes are clean at most so long after the listener would have closed without a sleep.
    pub needed_p99_seconds: f64,
    /// What each part of the way contributes, the most first.
    pub parts: Vec<PartData>,
}

/// One part of the way.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartData {
    /// The latency, or the setting.
    pub name: String,
    /// By how much the need falls when it always takes its median; below 0: rises.
    pub saves_seconds: f64,
}

impl TuneResult {
    /// The answer to a question.
    #[must_use]
    pub fn new(question: &Question<'_>, tuned: &Tuned) -> Self {
        let promise = question.promise;
        let trial = |trial: &Trial| TrialData::new(trial, &tuned.budgets, &tuned.trials);
        Self {
            api_version: API_VERSION,
            kind: "Tuned",
            scenario: question.scenario.to_string(),
            promise: PromiseData {
                failed_max: promise.failed_max,
                drain_within_seconds: promise.drain_within.map(|d| d.as_secs_f64()),
                ready_min: promise.ready_min,
                share: promise.share,
                confidence: promise.confidence,
                up_to_seconds: question.most,
            },
            met: tuned.recommended.is_some(),
            recommended: tuned.recommended.as_ref().map(trial),
            termination_grace_period_seconds: tuned
                .recommended
                .as_ref()
                .map(|best| grace_seconds(best).max(question.grace.1)),
            one_second_less: tuned.one_less.as_ref().map(trial),
            one_pod_tighter: tuned.tighter.iter().filter_map(|(_, t)| t.as_ref()).map(trial).collect(),
            decisive: tuned.decisive.as_ref().map(trial),
            disruption_budgets: (tuned.budgets.iter())
                .map(|budget| DisruptionBudgetData {
                    name: budget.full_name(),
                    pods: budget.pods,
                    says: said(budget.before),
                    allowed: budget.allowed_before(),
                })
                .collect(),
            with_more_replicas: tuned.scaled.as_ref().map(|(scaled, budgets, trial)| ScaledData {
                replicas: scaled
                    .iter()
                    .map(|s| (format!("{}/{}/{}", s.kind, s.namespace, s.name), s.replicas))
                    .collect(),
                trial: TrialData::new(trial, budgets, std::slice::from_ref(trial)),
                patches: question.scaled_patches.to_vec(),
            }),
            candidates: tuned.trials.iter().map(trial).collect(),
            budget: question.parts.map(|(needed, lines)| BudgetData {
                needed_p99_seconds: *needed,
                parts: lines
                    .iter()
                    .map(|line| PartData { name: line.name.to_string(), saves_seconds: line.saves })
                    .collect(),
            }),
            patches: question.patches.to_vec(),
            assumptions: question.assumptions.to_vec(),
            replay: question.replay.map(str::to_string),
        }
    }
}

impl TrialData {
    fn new(trial: &Trial, budgets: &[Turned], all: &[Trial]) -> Self {
        let budgets = budgets.iter().zip(&trial.allowed).map(|(b, allowed)| (b.full_name(), said(b.at(*allowed))));
        Self {
            pre_stop_seconds: trial.seconds,
            disruption_budgets: budgets.collect(),
            runs: trial.runs,
            broken: trial.broken,
            losing: trial.losing,
            short: trial.short,
            late: trial.late,
            unfinished: trial.unfinished,
            broken_share_low: trial.broken_share.low,
            broken_share_high: trial.broken_share.high,
            shown: trial.shown,
            ready_min: trial.ready_min,
            on_front: !trial.is_beaten(all),
            drain_p50_seconds: trial.drain.map(|(median, _)| median),
            drain_max_seconds: trial.drain.map(|(_, longest)| longest),
            shutdown_max_seconds: trial.shutdown_max,
            first_broken_seed: trial.first_broken,
        }
    }
}
