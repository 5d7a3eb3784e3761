//! Results as data: `-o json` and `-o yaml`. Others parse this; fields are added, never renamed or removed, within one
//! `apiVersion`.
//!
//! Times are seconds since the start of the run, spans are seconds, what did not happen is null.

mod many;

pub use many::{Context, ResultSet};

use schemars::JsonSchema;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::Report;
use super::cases::UnknownApps;
use super::verdict::{failure_sentence, verdict};
use crate::engine::{Duration, Tally, Time};
use crate::scenario::expectation::Checked;
use crate::simulation::outage::Part;
use crate::simulation::outcome::{self, FailureKind};

/// The version of both kinds of results, and of scenarios.
pub const API_VERSION: &str = "drainsim/v1alpha1";

/// So many failed requests are listed one by one; all are counted.
pub const FAILURES_LISTED: usize = 100;

/// One run.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// `drainsim/v1alpha1`.
    pub api_version: &'static str,
    /// `Result`.
    pub kind: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// The seed: the same scenario, seed and version give the same result.
    pub seed: u64,
    /// A fingerprint of everything that happened.
    pub digest: String,
    /// The end of the run.
    pub duration_seconds: f64,
    /// In a sentence.
    pub verdict: Verdict,
    /// Requests of all clients.
    pub requests: Requests,
    /// How many requests were expected to fail, given what happened to pods and routes; null: requests depend on each
    /// other, so that nobody knows.
    pub expected_failed_requests: Option<f64>,
    /// By `namespace/name`.
    pub services: Named<Service>,
    /// By the name of the traffic stream.
    pub traffic: Named<Stream>,
    /// One entry a node and `kubectl drain`, in order of start.
    pub drains: Vec<Drain>,
    /// All pods that there ever were, in order of creation.
    pub pods: Vec<Pod>,
    /// The PodDisruptionBudgets.
    pub pdbs: Vec<Pdb>,
    /// The first failed requests, at most 100.
    pub failures: Vec<Failure>,
    /// What may make the result differ from a real cluster's.
    pub warnings: Vec<String>,
    /// What was taken for granted because no manifest can tell it.
    pub assumptions: Vec<String>,
    /// What comes out if applications of which nothing is known do something else; `null` if all are known.
    pub unknown_apps: Option<UnknownApps>,
    /// In the order of the scenario.
    pub expectations: Vec<Expectation>,
}

/// The first lines of the text report.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Verdict {
    /// Whether requests failed, and how many.
    pub headline: String,
    /// Why, in one sentence.
    pub cause: Option<String>,
}

/// Requests by how they ended. `sent = ok + okAfterRetry + failed + unfinished`, always.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// All.
    pub sent: u64,
    /// Answered.
    pub ok: u64,
    /// Answered, but only after a retry.
    pub ok_after_retry: u64,
    /// Failed.
    pub failed: u64,
    /// Neither, when the run ended.
    pub unfinished: u64,
    /// By what the client saw: `refused`, `resetInFlight`, `resetIdle`, `noEndpoints`, `connectTimeout`,
    /// `requestTimeout`, `http502`, `http503`, `http504`; all are there, also at 0.
    pub failed_by: Named<u64>,
}

/// One stream of requests.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    /// Its requests.
    #[serde(flatten)]
    pub requests: Requests,
    /// How many of its failed requests the pods of a gateway had sent on; left out without such a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_behind_gateway: Option<u64>,
    /// How long its answers took; `null` if its requests are independent of each other, each with its own service time.
    pub latency: Option<Latency>,
}

/// How long answers took, before a pod of the Service first came, went or closed its listener, from then to the last such
/// change, and since.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Before.
    pub before: Spread,
    /// During.
    pub during: Spread,
    /// After.
    pub after: Spread,
}

/// How long some answers took; at most 1.6 % too long, by rounding, but for the longest.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How many.
    pub answers: u64,
    /// Half of them took no longer; `null` if there were none.
    pub p50_seconds: Option<f64>,
    /// 99 % of them took no longer.
    pub p99_seconds: Option<f64>,
    /// None took longer.
    pub max_seconds: Option<f64>,
}

impl Stream {
    fn new(stream: &outcome::TrafficOutcome) -> Self {
        let outcome::Phases { before, during, after, .. } = &stream.latencies;
        let timed = before.count() + during.count() + after.count() > 0;
        let spread = |tally: &Tally| {
            let quantile = |p| tally.quantile(p).map(Duration::as_secs_f64);
            Spread {
                answers: tally.count(),
                p50_seconds: quantile(0.5),
                p99_seconds: quantile(0.99),
                max_seconds: (tally.count() > 0).then(|| tally.max().as_secs_f64()),
            }
        };
        let latency = timed.then(|| Latency { before: spread(before), during: spread(during), after: spread(after) });
        Self { requests: Requests::new(&stream.requests), failed_behind_gateway: stream.failed_behind, latency }
    }
}

/// One Service's share.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Requests to it.
    #[serde(flatten)]
    pub requests: Requests,
    /// The fewest ready endpoints that its EndpointSlices ever listed.
    pub min_ready_endpoints: u32,
    /// How long its EndpointSlices listed no ready endpoint.
    pub zero_endpoint_seconds: f64,
    /// The times without a ready endpoint, and what they were made of.
    pub outages: Vec<Outage>,
}

/// A time without a ready endpoint.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// When it began with the fault of a node, or with the deletion of the last pod.
    pub began_at: f64,
    /// The first instant without a ready endpoint.
    pub from: f64,
    /// The first instant with one again; null: not in this run.
    pub to: Option<f64>,
    /// Its parts in order of time; together they last from `beganAt` to `to`.
    pub parts: Vec<OutagePart>,
}

/// A part of an outage.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutagePart {
    /// `detection`, `tainting`, `toleration`, `recreation`, `scheduling`, `return`, `startup`, `readiness`.
    pub name: &'static str,
    /// How long it was.
    pub seconds: f64,
}

/// One node's share of a `kubectl drain`.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// The node.
    pub node: String,
    /// When kubectl came to the node.
    pub started_at: f64,
    /// When it was through with it.
    pub completed_at: Option<f64>,
    /// The exit code of the kubectl process; null: it was still running.
    pub exit_code: Option<i32>,
    /// Evictions that were accepted.
    pub evictions_granted: u64,
    /// Evictions that were refused with 429.
    pub evictions_denied: u64,
    /// What kubectl printed.
    pub messages: Vec<Message>,
}

/// A line of kubectl.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Message {
    /// When.
    pub at: f64,
    /// The line.
    pub text: String,
}

/// One pod's life.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// The name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// Its node; null: it was never bound.
    pub node: Option<String>,
    /// 0 for pods that were there at the start.
    pub created_at: f64,
    /// It became Ready for the first time.
    pub ready_at: Option<f64>,
    /// It got its deletionTimestamp.
    pub deleted_at: Option<f64>,
    /// The first preStop hook began.
    pub pre_stop_at: Option<f64>,
    /// The stop signal arrived.
    pub sigterm_at: Option<f64>,
    /// SIGKILL was sent.
    pub sigkill_at: Option<f64>,
    /// New connections were refused from here on.
    pub listener_closed_at: Option<f64>,
    /// The serving process ended.
    pub exited_at: Option<f64>,
    /// The pod has a proxy of its own, and that listened no longer; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_closed_at: Option<f64>,
    /// That proxy ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_exited_at: Option<f64>,
    /// The object was gone.
    pub removed_at: Option<f64>,
    /// An EndpointSlice that no longer says ready was written.
    pub endpoint_not_ready_at: Option<f64>,
    /// The last router stopped sending new connections there.
    pub last_route_clean_at: Option<f64>,
    /// The node of that router.
    pub last_route_clean_on: Option<String>,
    /// What that router is: `kube-proxy` or `ingress-nginx`.
    pub last_route_clean_by: Option<String>,
    /// listenerClosedAt − lastRouteCleanAt: negative if a route outlived the listener.
    pub slack_seconds: Option<f64>,
    /// Requests that failed because of this pod.
    pub failed_requests: u64,
}

/// One PodDisruptionBudget.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pdb {
    /// `namespace/name`.
    pub name: String,
    /// How many pods it selected at the start.
    pub pods: u32,
    /// Evictions that it refused.
    pub denials: u64,
    /// Evictions that it admitted.
    pub admitted: u64,
    /// `status.desiredHealthy` at the start.
    pub desired_healthy: u32,
    /// The fewest healthy pods that its status ever named.
    pub min_healthy: u32,
    /// Each change of its status.
    pub history: Vec<PdbStatus>,
}

/// A budget's status from some time on.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PdbStatus {
    /// When it was written.
    pub at: f64,
    /// `status.disruptionsAllowed`.
    pub disruptions_allowed: u32,
    /// `status.currentHealthy`.
    pub current_healthy: u32,
    /// `status.desiredHealthy`.
    pub desired_healthy: u32,
}

/// One failed request.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When it was sent.
    pub sent_at: f64,
    /// When the client knew.
    pub failed_at: f64,
    /// What the client saw: one of the names in `failedBy`.
    pub kind: &'static str,
    /// The traffic stream.
    pub traffic: String,
    /// The client's node.
    pub client_node: String,
    /// Its number at its client, from 0.
    pub number: u64,
    /// The Service, `namespace/name`.
    pub service: String,
    /// The pod that failed it.
    pub pod: Option<String>,
    /// The pod of a gateway that had sent it on to that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Why it failed.
    pub cause: String,
}

/// An expectation and what became of it.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Expectation {
    /// As it was written.
    pub text: String,
    /// Whether the run met it; of an expectation about many runs, whether this one met its condition.
    pub passed: bool,
    /// What the run gave.
    pub actual: String,
}

/// An object whose fields keep the order in which they were made.
#[derive(Clone, PartialEq, Debug)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        <std::collections::BTreeMap<String, T>>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

impl RunResult {
    /// The data of a report.
    #[must_use]
    pub fn new(report: &Report<'_>) -> Self {
        let outcome = report.outcome;
        let verdict = verdict(report);
        let name = |service: &outcome::ServiceOutcome| service.name.clone();
        Self {
            api_version: API_VERSION,
            kind: "Result",
            scenario: report.scenario.to_string(),
            seed: outcome.seed,
            digest: outcome.digest.clone(),
            duration_seconds: outcome.end.as_secs_f64(),
            verdict: Verdict { headline: verdict.headline, cause: verdict.cause },
            requests: Requests::new(&outcome.requests),
            expected_failed_requests: outcome.expected_failed(),
            services: Named(outcome.services.iter().map(|s| (name(s), Service::new(s))).collect()),
            traffic: Named(outcome.traffic.iter().map(|t| (t.name.clone(), Stream::new(t))).collect()),
            drains: outcome.drains.iter().map(Drain::new).collect(),
            pods: outcome.pods.iter().map(|p| Pod::new(p, report)).collect(),
            pdbs: outcome.pdbs.iter().map(Pdb::new).collect(),
            failures: outcome.failures.iter().take(FAILURES_LISTED).map(|f| Failure::new(f, report)).collect(),
            warnings: report.warnings.iter().chain(&outcome.warnings).cloned().collect(),
            assumptions: report.assumptions.to_vec(),
            unknown_apps: report.cases.map(UnknownApps::new),
            expectations: report.expectations.iter().map(Expectation::new).collect(),
        }
    }
}

impl Requests {
    fn new(requests: &outcome::Requests) -> Self {
        let of = |kind: FailureKind| requests.failed_by.get(&kind).copied().unwrap_or(0);
        Self {
            sent: requests.sent,
            ok: requests.ok,
            ok_after_retry: requests.ok_after_retry,
            failed: requests.failed(),
            unfinished: requests.unfinished,
            failed_by: Named(FailureKind::ALL.into_iter().map(|k| (k.name().to_string(), of(k))).collect()),
        }
    }
}

impl Service {
    fn new(service: &outcome::ServiceOutcome) -> Self {
        Self {
            requests: Requests::new(&service.requests),
            min_ready_endpoints: service.min_ready_endpoints,
            zero_endpoint_seconds: service.zero_endpoints.as_secs_f64(),
            outages: service.outages.iter().map(Outage::new).collect(),
        }
    }
}

impl Outage {
    fn new(outage: &crate::simulation::outage::Outage) -> Self {
        let seconds = |part| outage.part(part).unwrap_or_default().as_secs_f64();
        let part = |(part, _): &(Part, Time)| OutagePart { name: part.name(), seconds: seconds(*part) };
        Self {
            began_at: outage.begins.0.as_secs_f64(),
            from: outage.from.as_secs_f64(),
            to: outage.to.map(Time::as_secs_f64),
            parts: outage.parts.iter().map(part).collect(),
        }
    }
}

impl Drain {
    fn new(drain: &outcome::DrainOutcome) -> Self {
        let message = |(at, text): &(Time, String)| Message { at: at.as_secs_f64(), text: text.clone() };
        Self {
            node: drain.node.clone(),
            started_at: drain.started_at.as_secs_f64(),
            completed_at: drain.completed_at.map(Time::as_secs_f64),
            exit_code: drain.exit_code,
            evictions_granted: drain.evictions_granted,
            evictions_denied: drain.evictions_denied,
            messages: drain.messages.iter().map(message).collect(),
        }
    }
}

impl Pod {
    fn new(pod: &outcome::PodOutcome, report: &Report<'_>) -> Self {
        let times = &pod.times;
        let at = |time: Option<Time>| time.map(Time::as_secs_f64);
        Self {
            name: pod.name.clone(),
            namespace: pod.namespace.clone(),
            node: pod.node.clone(),
            created_at: pod.created_at.as_secs_f64(),
            ready_at: at(times.ready_at),
            deleted_at: at(times.deleted_at),
            pre_stop_at: at(times.pre_stop_at),
            sigterm_at: at(times.sigterm_at),
            sigkill_at: at(times.sigkill_at),
            listener_closed_at: at(times.listener_closed_at),
            exited_at: at(times.exited_at),
            proxy_closed_at: at(times.front_closed_at),
            proxy_exited_at: at(times.front_exited_at),
            removed_at: at(times.removed_at),
            endpoint_not_ready_at: at(times.endpoint_not_ready_at),
            last_route_clean_at: at(times.last_route_clean.map(|(at, _)| at)),
            last_route_clean_on: times.last_route_clean.map(|(_, node)| report.names().node(node)),
            last_route_clean_by: times.last_route_clean.map(|_| times.last_router.name().to_string()),
            slack_seconds: pod.slack_nanos.map(from_nanos),
            failed_requests: times.failed_requests,
        }
    }
}

impl Pdb {
    fn new(pdb: &outcome::PdbOutcome) -> Self {
        let status = |&(at, disruptions_allowed, current_healthy, desired_healthy): &(Time, u32, u32, u32)| PdbStatus {
            at: at.as_secs_f64(),
            disruptions_allowed,
            current_healthy,
            desired_healthy,
        };
        Self {
            name: pdb.name.clone(),
            pods: pdb.pods,
            denials: pdb.denials,
            admitted: pdb.admitted,
            desired_healthy: pdb.desired_healthy,
            min_healthy: pdb.min_current_healthy,
            history: pdb.history.iter().map(status).collect(),
        }
    }
}

impl Failure {
    fn new(failure: &outcome::Failure, report: &Report<'_>) -> Self {
        let names = report.names();
        Self {
            sent_at: failure.sent_at.as_secs_f64(),
            failed_at: failure.failed_at.as_secs_f64(),
            kind: failure.kind.name(),
            traffic: names.traffic(failure.traffic),
            client_node: names.node(failure.client_node),
            number: failure.number,
            service: names.service(failure.service),
            pod: failure.pod.map(|pod| names.pod(pod)),
            gateway: failure.gateway.map(|pod| names.pod(pod)),
            cause: failure_sentence(report, failure),
        }
    }
}

impl Expectation {
    fn new(checked: &Checked) -> Self {
        Self { text: checked.text.clone(), passed: checked.passed, actual: checked.actual.clone() }
    }
}

/// Signed nanoseconds as seconds.
fn from_nanos(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::runs::{Run, Summary};
    use crate::scenario::expectation::Expectation as Parsed;
    use crate::simulation::fixture;

    fn result() -> RunResult {
        let (setup, mut outcome) = (fixture::setup(), fixture::outcome());
        outcome.failures.truncate(2);
        let checks = [Parsed::parse("failedRequests == 0").unwrap().evaluate(&outcome)];
        let warnings = ["a warning".to_string()];
        let assumptions = ["an assumption".to_string()];
        let (warnings, assumptions) = (&warnings, &assumptions);
        RunResult::new(&Report {
            scenario: "naive-drain",
            setup: &setup,
            outcome: &outcome,
            expectations: &checks,
            warnings,
            assumptions,
            cases: None,
        })
    }

    fn result_set() -> ResultSet {
        let expectations = [Parsed::parse("failedRequests == 0").unwrap()];
        let mut outcomes = [fixture::outcome(), fixture::calm_outcome(), fixture::calm_outcome()];
        for (outcome, seed) in outcomes.iter_mut().zip(1..) {
            outcome.seed = seed;
        }
        let runs: Vec<Run> = outcomes.iter().map(|o| Run::new(o, &expectations)).collect();
        let context = Context {
            scenario: "naive-drain",
            warnings: &[],
            assumptions: &[],
            replay: "drainsim run naive-drain.yaml --seed 1",
            worst_cause: Some("refused by web-1"),
            cases: None,
        };
        ResultSet::new(&context, &Summary::new(&runs, &expectations).unwrap(), &runs)
    }

    #[test]
    fn the_result_of_a_run() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&result()).unwrap());
    }

    #[test]
    fn the_result_of_many_runs() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&result_set()).unwrap());
    }

    #[test]
    fn the_requests_add_up_in_every_place() {
        let value = serde_json::to_value(result()).unwrap();
        for requests in [&value["requests"], &value["services"]["default/nginx"]] {
            let of = |name: &str| requests[name].as_u64().unwrap();
            assert_eq!(of("sent"), of("ok") + of("okAfterRetry") + of("failed") + of("unfinished"));
            let kinds = requests["failedBy"].as_object().unwrap();
            assert_eq!(kinds.len(), 9);
            assert_eq!(kinds.values().map(|v| v.as_u64().unwrap()).sum::<u64>(), of("failed"));
        }
    }

    #[test]
    fn yaml_says_the_same_as_json() {
        let yaml = serde_saphyr::to_string(&result()).unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read, serde_json::to_value(result()).unwrap());
    }

    #[test]
    fn both_kinds_keep_to_their_schemas() {
        for (schema, value) in [
            (schemars::schema_for!(RunResult), serde_json::to_value(result()).unwrap()),
            (schemars::schema_for!(ResultSet), serde_json::to_value(result_set()).unwrap()),
        ] {
            let schema = serde_json::to_value(schema).unwrap();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new());
        }
    }
}
