//! The table of metrics, and how each is read from an [`Outcome`].

use super::Value;
use crate::engine::{Duration, Tally, Time};
use crate::simulation::Outcome;
use crate::simulation::outage::{Outage, Part};
use crate::simulation::outcome::{
    DeploymentOutcome, DrainOutcome, FailureKind, PdbOutcome, Phases, PodOutcome, Requests, ServiceOutcome,
    TrafficOutcome,
};

/// What a metric belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Collection {
    /// The run as a whole.
    Run,
    /// One Service, by `name` or `namespace/name`.
    Services,
    /// One stream of traffic, by its name.
    Traffic,
    /// The drains of one node, by its name.
    Drains,
    /// One PodDisruptionBudget, by `name` or `namespace/name`.
    Pdbs,
    /// Pods, by `name` or `namespace/name`.
    Pods,
    /// One Deployment, by `name` or `namespace/name`.
    Deployments,
}

impl Collection {
    /// The collections with a name of their own.
    pub const NAMED: [Self; 6] =
        [Self::Services, Self::Traffic, Self::Drains, Self::Pdbs, Self::Pods, Self::Deployments];

    /// The first word of its metrics; empty for the run.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "",
            Self::Services => "services",
            Self::Traffic => "traffic",
            Self::Drains => "drains",
            Self::Pdbs => "pdbs",
            Self::Pods => "pods",
            Self::Deployments => "deployments",
        }
    }
}

/// What a metric can be compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    /// A whole number: `== 0`.
    Count,
    /// A share: `< 0.1%`, or `< 0.001`.
    Ratio,
    /// A span of time, which may be negative: `> 1.5s`. `0` needs no unit.
    Span,
    /// Something that happens or not: alone, or `within 60s`.
    Event,
    /// Any number: `< 0.5`.
    Number,
}

impl ValueKind {
    /// What may follow, for messages.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Count => "a whole number, such as `0`",
            Self::Ratio => "a percentage or a share of 1, such as `0.1%` or `0.001`",
            Self::Span => "a duration, such as `500ms` or `1m30s`",
            Self::Number => "a number, such as `0.5`",
            Self::Event => "nothing, or `within` and a duration, such as `within 60s`",
        }
    }
}

/// How several selected objects become one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aggregate {
    /// Added up.
    Sum,
    /// The least.
    Least,
    /// The greatest.
    Greatest,
    /// The event must have happened to all, and the last one counts.
    All,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What it belongs to.
    pub collection: Collection,
    /// Its last word or words: `failedRequests`, `slack.min`.
    pub key: &'static str,
    /// What it can be compared with.
    pub kind: ValueKind,
    /// How several become one.
    pub aggregate: Aggregate,
    /// What it is.
    pub doc: &'static str,
    read: Read,
}

impl PartialEq for Metric {
    /// Rows are told apart by what names them.
    fn eq(&self, other: &Self) -> bool {
        (self.collection, self.key) == (other.collection, other.key)
    }
}

/// Where the value of one object comes from.
#[derive(Clone, Copy, Debug)]
enum Read {
    Requests(fn(&Requests) -> u64),
    FailedBy(FailureKind),
    FailureRate,
    /// Of streams.
    ExpectedFailed,
    LeastSlack,
    /// Of which phase, and which quantile.
    Latency(fn(&Phases) -> &Tally, f64),
    Service(fn(&ServiceOutcome) -> Option<i64>),
    Drain(fn(&DrainOutcome) -> Option<i64>),
    Pdb(fn(&PdbOutcome) -> Option<i64>),
    Pod(fn(&PodOutcome) -> Option<i64>),
    ServiceAt(fn(&ServiceOutcome, Time) -> Option<i64>),
    PdbAt(fn(&PdbOutcome, Time) -> Option<i64>),
    DeploymentAt(fn(&DeploymentOutcome, Time) -> Option<i64>),
}

impl Metric {
    /// Whether it is a state at one time, which an expectation must name, rather than a number of the whole run.
    #[must_use]
    pub const fn is_momentary(&self) -> bool {
        matches!(self.read, Read::ServiceAt(_) | Read::PdbAt(_) | Read::DeploymentAt(_))
    }
}

/// What was read.
pub(super) enum Measured {
    /// Nothing was selected, or it has no such value: why.
    Nothing(String),
    /// A number, and how to print it.
    Number { value: Value, text: String },
    /// When it happened, in nanoseconds after what it is counted from, if it did; and how to say so.
    Event { after: Option<i64>, text: String },
}

macro_rules! table {
    ($($collection:ident $key:literal $kind:ident $aggregate:ident $read:expr, $doc:literal;)*) => {
        /// All metrics, by collection, in the order of documentation. `failedRequests.KIND` and
        /// `services.NAME.failedRequests.KIND` are one row for each kind of failure.
        #[must_use]
        pub fn metrics() -> &'static [Metric] {
            static METRICS: &[Metric] = &[$(Metric {
                collection: Collection::$collection,
                key: $key,
                kind: ValueKind::$kind,
                aggregate: Aggregate::$aggregate,
                doc: $doc,
                read: $read,
            },)*];
            METRICS
        }
    };
}

table! {
    Run "failedRequests" Count Sum Read::Requests(Requests::failed), "requests that failed, all Services together";
    Run "failedRequests.refused" Count Sum Read::FailedBy(FailureKind::Refused), "… connection refused";
    Run "failedRequests.resetInFlight" Count Sum Read::FailedBy(FailureKind::ResetInFlight), "… cut while worked on";
    Run "failedRequests.resetIdle" Count Sum Read::FailedBy(FailureKind::ResetIdle), "… sent on a connection just closed";
    Run "failedRequests.noEndpoints" Count Sum Read::FailedBy(FailureKind::NoEndpoints), "… the Service had no endpoint";
    Run "failedRequests.connectTimeout" Count Sum Read::FailedBy(FailureKind::ConnectTimeout), "… no connection in time";
    Run "failedRequests.requestTimeout" Count Sum Read::FailedBy(FailureKind::RequestTimeout), "… no answer in time";
    Run "failedRequests.http502" Count Sum Read::FailedBy(FailureKind::Http502), "… 502 from a proxy";
    Run "failedRequests.http503" Count Sum Read::FailedBy(FailureKind::Http503), "… 503 from a proxy";
    Run "failedRequests.http504" Count Sum Read::FailedBy(FailureKind::Http504), "… 504 from a proxy";
    Run "failureRate" Ratio Greatest Read::FailureRate, "failed requests as a share of those sent";
    Run "expectedFailedRequests" Number Sum Read::ExpectedFailed,
        "how many were to be expected, given what happened to pods and routes: the mean of failedRequests, with less chance";
    Run "sentRequests" Count Sum Read::Requests(|r| r.sent), "requests that were sent";
    Run "retriedRequests" Count Sum Read::Requests(|r| r.ok_after_retry), "requests answered only after a retry";
    Run "unfinishedRequests" Count Sum Read::Requests(|r| r.unfinished), "requests still open when the run ended";
    Run "slack.min" Span Least Read::LeastSlack,
        "the least slack of all pods that went away: listener closed minus last route clean; negative: too late";

    Services "failedRequests" Count Sum Read::Requests(Requests::failed), "requests to the Service that failed";
    Services "failedRequests.refused" Count Sum Read::FailedBy(FailureKind::Refused), "… connection refused";
    Services "failedRequests.resetInFlight" Count Sum Read::FailedBy(FailureKind::ResetInFlight), "… cut while worked on";
    Services "failedRequests.resetIdle" Count Sum Read::FailedBy(FailureKind::ResetIdle),
        "… sent on a connection just closed";
    Services "failedRequests.noEndpoints" Count Sum Read::FailedBy(FailureKind::NoEndpoints), "… there was no endpoint";
    Services "failedRequests.connectTimeout" Count Sum Read::FailedBy(FailureKind::ConnectTimeout),
        "… no connection in time";
    Services "failedRequests.requestTimeout" Count Sum Read::FailedBy(FailureKind::RequestTimeout), "… no answer in time";
    Services "failedRequests.http502" Count Sum Read::FailedBy(FailureKind::Http502), "… 502 from a proxy";
    Services "failedRequests.http503" Count Sum Read::FailedBy(FailureKind::Http503), "… 503 from a proxy";
    Services "failedRequests.http504" Count Sum Read::FailedBy(FailureKind::Http504), "… 504 from a proxy";
    Services "failureRate" Ratio Greatest Read::FailureRate, "failed requests as a share of those sent to it";
    Services "sentRequests" Count Sum Read::Requests(|r| r.sent), "requests sent to it";
    Services "minReadyEndpoints" Count Least Read::Service(|s| Some(i64::from(s.min_ready_endpoints))),
        "the fewest ready endpoints that its EndpointSlices ever listed";
    Services "readyEndpoints" Count Sum Read::ServiceAt(|s, at| since(&s.ready_endpoints, at)),
        "at a time: the ready endpoints in its EndpointSlices";
    Services "zeroEndpointSeconds" Span Greatest Read::Service(|s| Some(nanos(s.zero_endpoints))),
        "how long its EndpointSlices listed no ready endpoint";
    Services "outage" Span Greatest Read::Service(|s| Some(longest(s).map_or(0, |o| nanos(o.total())))),
        "its longest outage, from the fault or deletion that led to it until it has a ready endpoint again";
    Services "outage.detection" Span Greatest Read::Service(|s| part(s, Part::Detection)),
        "… of it: until the node is given up";
    Services "outage.tainting" Span Greatest Read::Service(|s| part(s, Part::Tainting)),
        "… until the node gets its NoExecute taint";
    Services "outage.toleration" Span Greatest Read::Service(|s| part(s, Part::Toleration)), "… until the pod is deleted";
    Services "outage.recreation" Span Greatest Read::Service(|s| part(s, Part::Recreation)),
        "… until another pod is created";
    Services "outage.scheduling" Span Greatest Read::Service(|s| part(s, Part::Scheduling)),
        "… until that pod has a node";
    Services "outage.return" Span Greatest Read::Service(|s| part(s, Part::Return)),
        "… until the kubelet of the lost node is back";
    Services "outage.startup" Span Greatest Read::Service(|s| part(s, Part::Startup)), "… until the pod listens";
    Services "outage.readiness" Span Greatest Read::Service(|s| part(s, Part::Readiness)),
        "… until it is a ready endpoint";

    Traffic "failedRequests" Count Sum Read::Requests(Requests::failed), "requests of the stream that failed";
    Traffic "failedRequests.refused" Count Sum Read::FailedBy(FailureKind::Refused), "… connection refused";
    Traffic "failedRequests.resetInFlight" Count Sum Read::FailedBy(FailureKind::ResetInFlight), "… cut while worked on";
    Traffic "failedRequests.resetIdle" Count Sum Read::FailedBy(FailureKind::ResetIdle), "… sent on a connection just closed";
    Traffic "failedRequests.noEndpoints" Count Sum Read::FailedBy(FailureKind::NoEndpoints), "… the Service had no endpoint";
    Traffic "failedRequests.connectTimeout" Count Sum Read::FailedBy(FailureKind::ConnectTimeout), "… no connection in time";
    Traffic "failedRequests.requestTimeout" Count Sum Read::FailedBy(FailureKind::RequestTimeout), "… no answer in time";
    Traffic "failedRequests.http502" Count Sum Read::FailedBy(FailureKind::Http502), "… 502 from a proxy";
    Traffic "failedRequests.http503" Count Sum Read::FailedBy(FailureKind::Http503), "… 503 from a proxy";
    Traffic "failedRequests.http504" Count Sum Read::FailedBy(FailureKind::Http504), "… 504 from a proxy";
    Traffic "failureRate" Ratio Greatest Read::FailureRate, "failed requests as a share of those it sent";
    Traffic "expectedFailedRequests" Number Sum Read::ExpectedFailed,
        "how many were to be expected, given what happened to pods and routes";
    Traffic "sentRequests" Count Sum Read::Requests(|r| r.sent), "requests that it sent";
    Traffic "retriedRequests" Count Sum Read::Requests(|r| r.ok_after_retry), "requests answered only after a retry";
    Traffic "latency.before.p50" Span Greatest Read::Latency(|p| &p.before, 0.5),
        "half of its answers took no longer, before the Service's pods began to come and go";
    Traffic "latency.before.p99" Span Greatest Read::Latency(|p| &p.before, 0.99), "… 99 % of them";
    Traffic "latency.during.p50" Span Greatest Read::Latency(|p| &p.during, 0.5), "… from then to the last such change";
    Traffic "latency.during.p99" Span Greatest Read::Latency(|p| &p.during, 0.99), "… 99 % of them";
    Traffic "latency.after.p50" Span Greatest Read::Latency(|p| &p.after, 0.5), "… since";
    Traffic "latency.after.p99" Span Greatest Read::Latency(|p| &p.after, 0.99), "… 99 % of them";

    Drains "completed" Event All Read::Drain(|d| d.completed_at.map(|at| nanos(at.since(d.started_at)))),
        "`kubectl drain` was through with the node; counted from when it came to the node";
    Drains "duration" Span Greatest Read::Drain(|d| d.completed_at.map(|at| nanos(at.since(d.started_at)))),
        "how long the completed drain took";
    Drains "exitCode" Count Greatest Read::Drain(|d| d.exit_code.map(i64::from)), "kubectl's exit code";
    Drains "evictionsGranted" Count Sum Read::Drain(|d| Some(count(d.evictions_granted))), "evictions that were accepted";
    Drains "evictionsDenied" Count Sum Read::Drain(|d| Some(count(d.evictions_denied))),
        "evictions that were refused with 429";

    Pdbs "denials" Count Sum Read::Pdb(|p| Some(count(p.denials))), "evictions that the budget refused";
    Pdbs "admitted" Count Sum Read::Pdb(|p| Some(count(p.admitted))), "evictions that the budget admitted";
    Pdbs "minHealthy" Count Least Read::Pdb(|p| Some(i64::from(p.min_current_healthy))),
        "the fewest healthy pods that its status ever named";
    Pdbs "disruptionsAllowed" Count Sum Read::PdbAt(|p, at| pdb_status(p, at).map(|s| s.1)),
        "at a time: `status.disruptionsAllowed`";
    Pdbs "currentHealthy" Count Sum Read::PdbAt(|p, at| pdb_status(p, at).map(|s| s.2)),
        "at a time: `status.currentHealthy`";

    Pods "count" Count Sum Read::Pod(|_| Some(1)), "how many such pods there ever were";
    Pods "alive" Count Sum Read::Pod(|p| Some(i64::from(p.exists))), "how many of them exist when the run ends";
    Pods "succeeded" Count Sum Read::Pod(|p| Some(i64::from(p.succeeded))), "how many of them have ended well";
    Pods "lostWork" Span Sum Read::Pod(|p| Some(nanos(p.lost_work))),
        "how long pods of Jobs had run when they were deleted or failed: work to be done again";
    Pods "unscheduled" Count Sum Read::Pod(|p| Some(i64::from(p.node.is_none()))), "pods that never got a node";
    Pods "sigkills" Count Sum Read::Pod(|p| Some(i64::from(p.times.killed_containers > 0))),
        "pods of which a container was killed with SIGKILL";
    Pods "restarts" Count Sum Read::Pod(|p| Some(i64::from(p.restarts))),
        "how often its containers were restarted during the run";
    Pods "failedRequests" Count Sum Read::Pod(|p| Some(count(p.times.failed_requests))),
        "requests that failed because of the pod";
    Pods "slack" Span Least Read::Pod(|p| p.slack_nanos), "listener closed minus last route clean; negative: too late";
    Pods "ready" Event All Read::Pod(|p| p.times.ready_at.map(|at| nanos(at.since(p.created_at)))),
        "it became Ready; counted from its creation";
    Pods "deleted" Event All Read::Pod(|p| p.times.deleted_at.map(|at| nanos(at.since(Time::ZERO)))),
        "it got its deletionTimestamp; counted from the start of the run";
    Pods "exited" Event All Read::Pod(|p| since_deletion(p, p.times.exited_at)),
        "its process ended; counted from the deletion";
    Pods "ended" Event All Read::Pod(|p| p.times.ended_at.map(|at| nanos(at.since(Time::ZERO)))),
        "its phase became Succeeded or Failed; counted from the start of the run";
    Pods "removed" Event All Read::Pod(|p| since_deletion(p, p.times.removed_at)),
        "its object was gone; counted from the deletion";

    Deployments "readyPods" Count Sum Read::DeploymentAt(|d, at| since(&d.ready_pods, at)),
        "at a time: its pods that are Ready and not being deleted";
}

/// The last step of a history up to a time; before the first one, the first.
fn since(steps: &[(Time, u32)], at: Time) -> Option<i64> {
    let steps_until = steps.partition_point(|(time, _)| *time <= at);
    steps.get(steps_until.saturating_sub(1)).map(|(_, number)| i64::from(*number))
}

fn pdb_status(pdb: &PdbOutcome, at: Time) -> Option<(Time, i64, i64)> {
    let until = pdb.history.partition_point(|h| h.0 <= at);
    pdb.history.get(until.saturating_sub(1)).map(|h| (h.0, i64::from(h.1), i64::from(h.2)))
}

/// The longest outage of a Service.
fn longest(service: &ServiceOutcome) -> Option<&Outage> {
    service.outages.iter().max_by_key(|outage| outage.total())
}

/// A part of the longest outage, 0 if there was none.
fn part(service: &ServiceOutcome, part: Part) -> Option<i64> {
    Some(longest(service).and_then(|outage| outage.part(part)).map_or(0, nanos))
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn since_deletion(pod: &PodOutcome, at: Option<Time>) -> Option<i64> {
    Some(nanos(at?.since(pod.times.deleted_at.unwrap_or(pod.created_at))))
}

/// Reads a metric of what `name` selects; `at` is the time of a momentary one.
pub(super) fn measure(metric: &Metric, name: &str, at: Time, outcome: &Outcome) -> Measured {
    match metric.collection {
        Collection::Run => of_run(metric, outcome),
        Collection::Services => {
            let services: Vec<_> = outcome.services.iter().filter(|s| selects(name, &s.name)).collect();
            match metric.read {
                Read::Requests(_) | Read::FailedBy(_) | Read::FailureRate if !services.is_empty() => {
                    let mut requests = Requests::default();
                    services.iter().for_each(|s| requests.add(&s.requests));
                    of_requests(metric.read, &requests)
                }
                Read::Service(read) => together(metric, &services, read, &format!("no Service {name}"), ""),
                Read::ServiceAt(read) => {
                    together(metric, &services, |s| read(s, at), &format!("no Service {name}"), "")
                }
                _ => Measured::Nothing(format!("no Service {name}")),
            }
        }
        Collection::Traffic => {
            let mut requests = Requests::default();
            let streams: Vec<_> = outcome.traffic.iter().filter(|t| matches(name, &t.name)).collect();
            if streams.is_empty() {
                return Measured::Nothing(format!("no traffic {name}"));
            }
            if let Read::Latency(phase, share) = metric.read {
                return latency(streams.iter().map(|t| phase(&t.latencies)), share);
            }
            if let Read::ExpectedFailed = metric.read {
                return expected_failed(&streams);
            }
            streams.iter().for_each(|t| requests.add(&t.requests));
            of_requests(metric.read, &requests)
        }
        Collection::Drains => {
            let drains: Vec<_> = outcome.drains.iter().filter(|d| matches(name, &d.node)).collect();
            let Read::Drain(read) = metric.read else { return Measured::Nothing(String::new()) };
            let lacking = match metric.key {
                "exitCode" => "kubectl is still running",
                _ => "not completed",
            };
            together(metric, &drains, read, &format!("no drain of {name}"), lacking)
        }
        Collection::Pdbs => {
            let pdbs: Vec<_> = outcome.pdbs.iter().filter(|p| selects(name, &p.name)).collect();
            let nobody = format!("no PodDisruptionBudget {name}");
            match metric.read {
                Read::Pdb(read) => together(metric, &pdbs, read, &nobody, ""),
                Read::PdbAt(read) => together(metric, &pdbs, |p| read(p, at), &nobody, ""),
                _ => Measured::Nothing(String::new()),
            }
        }
        Collection::Deployments => {
            let deployments: Vec<_> = outcome.deployments.iter().filter(|d| selects(name, &d.name)).collect();
            let Read::DeploymentAt(read) = metric.read else { return Measured::Nothing(String::new()) };
            together(metric, &deployments, |d| read(d, at), &format!("no Deployment {name}"), "")
        }
        Collection::Pods => {
            let of_name = |p: &&PodOutcome| selects(name, &format!("{}/{}", p.namespace, p.name));
            let mut pods: Vec<_> = outcome.pods.iter().filter(of_name).collect();
            let Read::Pod(read) = metric.read else { return Measured::Nothing(String::new()) };
            if !pods.is_empty() && metric.key == "slack" {
                // Pods that stayed have no slack; they say nothing against those that went.
                pods.retain(|p| p.slack_nanos.is_some());
                return together(metric, &pods, read, &format!("no pod {name} lost its routes and its listener"), "");
            }
            together(metric, &pods, read, &format!("no pod {name}"), &format!("not {}", metric.key))
        }
    }
}

fn of_run(metric: &Metric, outcome: &Outcome) -> Measured {
    match metric.read {
        Read::LeastSlack => match outcome.pods.iter().filter_map(|p| p.slack_nanos).min() {
            Some(least) => number(Value::Span(least)),
            None => Measured::Nothing("no pod lost its routes and its listener".to_string()),
        },
        Read::ExpectedFailed => expected_failed(&outcome.traffic.iter().collect::<Vec<_>>()),
        read => of_requests(read, &outcome.requests),
    }
}

/// A quantile of all these streams' answers together.
fn latency<'t>(tallies: impl Iterator<Item = &'t Tally>, share: f64) -> Measured {
    let mut all = Tally::default();
    tallies.for_each(|tally| all.add(tally));
    match all.quantile(share) {
        Some(latency) => number(Value::Span(nanos(latency))),
        None => Measured::Nothing("no answer was timed in this phase".to_string()),
    }
}

fn expected_failed(streams: &[&TrafficOutcome]) -> Measured {
    if let Some(stream) = streams.iter().find(|stream| stream.expected_failures.is_none()) {
        let name = &stream.name;
        return Measured::Nothing(format!("the requests of traffic {name} depend on each other: nobody knows"));
    }
    number(Value::Number(streams.iter().filter_map(|stream| stream.expected_failed()).sum()))
}

fn of_requests(read: Read, requests: &Requests) -> Measured {
    match read {
        Read::Requests(read) => number(Value::Count(count(read(requests)))),
        Read::FailedBy(kind) => number(Value::Count(count(requests.failed_by.get(&kind).copied().unwrap_or(0)))),
        _ if requests.sent == 0 => Measured::Nothing("no request was sent".to_string()),
        _ => number(Value::Ratio(requests.failed() as f64 / requests.sent as f64)),
    }
}

/// Takes the values of all selected objects together. `nobody` says that there are none, `lacking` that one has no value.
fn together<T>(
    metric: &Metric,
    objects: &[&T],
    read: impl Fn(&T) -> Option<i64>,
    nobody: &str,
    lacking: &str,
) -> Measured {
    if objects.is_empty() {
        return Measured::Nothing(nobody.to_string());
    }
    let values: Option<Vec<i64>> = objects.iter().map(|o| read(o)).collect();
    let value = values.and_then(|values| match metric.aggregate {
        Aggregate::Sum => Some(values.iter().fold(0_i64, |sum, v| sum.saturating_add(*v))),
        Aggregate::Least => values.into_iter().min(),
        Aggregate::Greatest | Aggregate::All => values.into_iter().max(),
    });
    match (metric.kind, value) {
        (ValueKind::Event, Some(after)) => {
            Measured::Event { after: Some(after), text: format!("{} after {}", metric.key, span(after)) }
        }
        (ValueKind::Event, None) => {
            let text = match (objects.iter().filter(|o| read(o).is_none()).count(), objects.len()) {
                (_, 1) => lacking.to_string(),
                (without, all) => format!("{without} of {all} {lacking}"),
            };
            Measured::Event { after: None, text }
        }
        (ValueKind::Span, Some(value)) => number(Value::Span(value)),
        (_, Some(value)) => number(Value::Count(value)),
        (_, None) => Measured::Nothing(lacking.to_string()),
    }
}

fn number(value: Value) -> Measured {
    let text = match value {
        Value::Count(count) => count.to_string(),
        Value::Ratio(ratio) => percent(ratio),
        Value::Span(nanos) => span(nanos),
        Value::Number(number) => decimal(number),
    };
    Measured::Number { value, text }
}

/// A share as a percentage with three significant digits at least: `0.154%`, `12.5%`, `0%`.
fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    let text = if percent >= 0.1 || percent == 0.0 { format!("{percent:.3}") } else { format!("{percent:.6}") };
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A number with two decimals, more if it is small.
fn decimal(number: f64) -> String {
    let text = if number.abs() >= 0.1 || number == 0.0 { format!("{number:.2}") } else { format!("{number:.6}") };
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A signed span, to the millisecond.
fn span(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    format!("{sign}{}", Time::from_nanos(nanos.unsigned_abs()))
}

/// Whether a pattern selects `namespace/name`; a pattern without a namespace selects in all of them.
fn selects(pattern: &str, full: &str) -> bool {
    if pattern.contains('/') {
        matches(pattern, full)
    } else {
        matches(pattern, full.split_once('/').map_or(full, |f| f.1))
    }
}

/// Whether a name is the pattern, or begins with it if it ends in `*`.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}
