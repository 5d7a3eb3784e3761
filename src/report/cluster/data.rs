//! The answer as data: `-o json` and `-o yaml`.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::cases::UnknownApps;
use super::{Answer, ServiceSum, command, loss, most_homeless, reason, refusals, service_sums};
use crate::analysis::deadlock::{Blocked, Deadlock, Why};
use crate::analysis::drain::{self, DrainRun, NodeTally};
use crate::engine::Duration;

/// The answer as data.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainAnswer {
    /// `drainsim/v1alpha1`.
    pub api_version: &'static str,
    /// `DrainAnswer`.
    pub kind: &'static str,
    /// The Kubernetes version.
    pub kubernetes: String,
    /// The seeds of the runs.
    pub seeds: Vec<u64>,
    /// Whether the drain ends in every run.
    pub ends: bool,
    /// `ends`, `never` (proved, in some run), `fails` or `notProved`.
    pub verdict: &'static str,
    /// From the first drain's start to the last one's end: each run that ended, in the order of the seeds.
    pub took_seconds: Vec<f64>,
    /// By node.
    pub nodes: Vec<NodeAnswer>,
    /// By Service with requests.
    pub services: Vec<ServiceAnswer>,
    /// Pods that never leave their node, of the first run that has any.
    pub blocked: Vec<BlockedAnswer>,
    /// Budgets that refused evictions.
    pub refusals: Vec<RefusalsAnswer>,
    /// Pods that were made during a run and had no node when it ended, of the run with the most of them.
    pub homeless: Vec<String>,
    /// Changes with which that run ends, in order; empty if none were found.
    pub changes: Vec<String>,
    /// Whether the drain was seen to end with all changes.
    pub changes_resolve: bool,
    /// Why requests were lost, the Service with most losses first.
    pub losses: Vec<LossAnswer>,
    /// What was tried against that; `null` if nothing was.
    pub cure: Option<CureAnswer>,
    /// Objects of the input that are not modelled.
    pub ignored: Vec<IgnoredAnswer>,
    /// What may make the answer wrong.
    pub warnings: Vec<String>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// What comes out if applications of which nothing is known do something else; `null` if all are known.
    pub unknown_apps: Option<UnknownApps>,
}

/// A node's share.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeAnswer {
    /// Its name.
    pub name: String,
    /// Seconds of the drains that ended, shortest first.
    pub drained_seconds: Vec<f64>,
    /// Runs in which kubectl gave up.
    pub failed: u64,
    /// What it said then.
    pub errors: Vec<String>,
    /// Runs in which the drain never ends, which is proved.
    pub never: u64,
    /// Runs in which it had not ended, and nothing is proved.
    pub not_yet: u64,
    /// Runs in which nobody came to it.
    pub not_reached: u64,
}

/// What the clients of a Service lost, over all runs.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAnswer {
    /// `namespace/name`.
    pub name: String,
    /// Requests.
    pub sent: u64,
    /// Of them failed.
    pub failed: u64,
    /// Runs in which any failed.
    pub runs_with_failures: u64,
    /// The fewest ready endpoints of any run.
    pub min_ready_endpoints: u32,
    /// The longest time without any, of any run.
    pub zero_endpoint_seconds: f64,
    /// Whether it was without any when a run ended, ten minutes after the drain: the time above is only the beginning.
    pub out_at_end: bool,
}

/// Why requests to a Service were lost.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LossAnswer {
    /// `namespace/name`.
    pub service: String,
    /// Why most of them were, in the run that lost most; a sentence.
    pub cause: String,
}

/// Changes against the losses, all of them tried together under the same seeds.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CureAnswer {
    /// What to type.
    pub changes: Vec<String>,
    /// Requests that still fail in all runs.
    pub failed: u64,
    /// Why most of those do; `null` if none does.
    pub left: Option<String>,
    /// Whether the drain still ends in every run.
    pub ends: bool,
}

/// A pod that never leaves.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockedAnswer {
    /// Its node.
    pub node: String,
    /// `namespace/name`.
    pub pod: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// The budget, if one is to blame.
    pub pdb: Option<String>,
    /// Why, in a sentence.
    pub reason: String,
    /// What may change that.
    pub remedies: Vec<String>,
}

/// A budget that refused evictions.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusalsAnswer {
    /// `namespace/name`.
    pub pdb: String,
    /// Runs in which it did.
    pub runs: u64,
    /// How often at most in one run.
    pub most: u64,
}

/// Objects of a kind that is not modelled.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IgnoredAnswer {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// How many there are.
    pub count: usize,
}

impl DrainAnswer {
    /// The answer as data.
    #[must_use]
    pub fn new(answer: &Answer<'_>) -> Self {
        let tallies = drain::tally(answer.nodes.len(), answer.runs);
        let verdict = if answer.is_drained() {
            "ends"
        } else if answer.stuck().is_some() {
            "never"
        } else if tallies.iter().any(|t| !t.failed.is_empty()) {
            "fails"
        } else {
            "notProved"
        };
        let seconds = |durations: &[Duration]| durations.iter().map(|d| d.as_secs_f64()).collect();
        let node = |(name, tally): (&String, &NodeTally)| NodeAnswer {
            name: name.clone(),
            drained_seconds: seconds(&tally.drained),
            failed: tally.failed.values().sum(),
            errors: tally.failed.keys().cloned().collect(),
            never: tally.never,
            not_yet: tally.not_yet,
            not_reached: tally.not_reached,
        };
        let service = |sum: &ServiceSum<'_>| ServiceAnswer {
            name: sum.name.to_string(),
            sent: sum.requests.sent,
            failed: sum.requests.failed(),
            runs_with_failures: sum.runs_with_failures,
            min_ready_endpoints: sum.min_ready,
            zero_endpoint_seconds: sum.without_endpoints.as_secs_f64(),
            out_at_end: sum.is_out,
        };
        Self {
            api_version: crate::report::json::API_VERSION,
            kind: "DrainAnswer",
            kubernetes: answer.setup.version.to_string(),
            seeds: answer.runs.iter().map(|r| r.seed).collect(),
            ends: answer.is_drained(),
            verdict,
            took_seconds: answer.runs.iter().filter_map(|r| r.took).map(|d| d.as_secs_f64()).collect(),
            nodes: answer.nodes.iter().zip(&tallies).map(node).collect(),
            services: service_sums(answer).iter().map(service).collect(),
            refusals: refusals(answer)
                .into_iter()
                .map(|(pdb, counts)| RefusalsAnswer {
                    pdb,
                    runs: counts.len() as u64,
                    most: counts.last().copied().unwrap_or(0),
                })
                .collect(),
            homeless: most_homeless(answer).map(|run| run.homeless.clone()).unwrap_or_default(),
            blocked: answer.stuck().map(|run| blocked_answers(answer, run)).unwrap_or_default(),
            changes: answer
                .resolution
                .map(|r| r.changes.iter().map(|c| command(answer.setup, c)).collect())
                .unwrap_or_default(),
            changes_resolve: answer.resolution.is_some_and(|r| r.run.is_some()),
            losses: (answer.losses.iter())
                .map(|loss| LossAnswer { service: loss.service.clone(), cause: loss.cause.clone() })
                .collect(),
            cure: answer.cure.map(|cure| CureAnswer {
                changes: cure.changes.iter().map(|change| loss::command(answer.setup, change)).collect(),
                failed: loss::failed(&cure.runs),
                left: cure.left.as_ref().map(|left| left.cause.clone()),
                ends: cure.runs.iter().all(DrainRun::is_drained),
            }),
            ignored: answer
                .ignored
                .iter()
                .map(|i| IgnoredAnswer { group: i.group.clone(), kind: i.kind.clone(), count: i.count })
                .collect(),
            warnings: answer.warnings.to_vec(),
            assumptions: answer.assumptions.to_vec(),
            unknown_apps: answer.cases.map(UnknownApps::new),
        }
    }
}

fn blocked_answers(answer: &Answer<'_>, run: &DrainRun) -> Vec<BlockedAnswer> {
    let one = |deadlock: &Deadlock, pod: &Blocked| BlockedAnswer {
        node: deadlock.node_name.clone(),
        pod: pod.name.clone(),
        ready: pod.ready,
        pdb: match &pod.why {
            Why::Budget(pdb, _) => Some(answer.setup.pdbs[pdb.index()].full_name()),
            Why::NodeOff { .. } => None,
        },
        reason: reason(answer.setup, pod),
        remedies: pod.remedies.iter().map(|r| command(answer.setup, r)).collect(),
    };
    run.deadlocks.iter().flat_map(|d| d.pods.iter().map(move |p| one(d, p))).collect()
}
