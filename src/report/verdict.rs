//! The first lines of a report: did requests fail, and the one sentence of why.

use std::collections::BTreeMap;

use super::Report;
use super::style::{and, between, plural, seconds, share, thousands};
use crate::api::{PodId, ServiceId};
use crate::engine::Time;
use crate::simulation::Outcome;
use crate::simulation::outcome::{DrainOutcome, Failure, FailureKind, PodActivity, PodOutcome, Requests};
use crate::simulation::setup::{ActionKind, Resolve, Restarted, Via};

/// How a run went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// Whether no request failed; `None` if none was sent.
    pub good: Option<bool>,
    /// `37 of 24,000 requests failed (0.154 %) while node-1 was drained`.
    pub headline: String,
    /// The one sentence of cause, if there is something to say.
    pub cause: Option<String>,
}

pub(super) fn verdict(report: &Report<'_>) -> Verdict {
    let requests = &report.outcome.requests;
    let failed = requests.failed();
    if failed > 0 {
        let (sent, rate) = (thousands(requests.sent), share(failed, requests.sent));
        let headline = format!("{} of {sent} requests failed ({rate}){}", thousands(failed), meanwhile(report));
        return Verdict { good: Some(false), headline, cause: cause(report, None) };
    }
    let race = tightest(report.outcome);
    if requests.sent == 0 {
        return Verdict { good: None, headline: "no request was sent".to_string(), cause: race };
    }
    let headline = format!("no request failed of {}{}", thousands(requests.sent), meanwhile(report));
    Verdict { good: Some(true), headline, cause: race }
}

/// What is not as whoever did it wanted it when the run ends: a line of what, and one of why if that is known.
pub(super) fn left_undone(report: &Report<'_>) -> Vec<(String, Option<String>)> {
    let outcome = report.outcome;
    let mut lines: Vec<(String, Option<String>)> = Vec::new();
    for drain in outcome.drains.iter().filter(|d| d.completed_at.is_none()) {
        let node = &drain.node;
        let denied = plural(drain.evictions_denied, "eviction");
        lines.push(if drain.ended_at.is_some() {
            let last = drain.messages.last().map(|(_, message)| message.clone());
            (format!("the drain of {node} was given up, {denied} denied"), last)
        } else {
            let what = format!("the drain of {node} was still going on when the run ended, {denied} denied");
            (what, (drain.evictions_denied > 0).then(|| stubborn_budgets(outcome)).flatten())
        });
    }
    let homeless: Vec<&PodOutcome> =
        outcome.pods.iter().filter(|p| p.node.is_none() && p.times.deleted_at.is_none()).collect();
    if let Some(first) = homeless.first() {
        let (count, name) = (homeless.len() as u64, &first.name);
        let since = first.created_at;
        let pods = if count == 1 { format!("pod {name}") } else { format!("{}, first {name}", plural(count, "pod")) };
        let why = match first.unschedulable.as_str() {
            "" => "no node fits, or none has room",
            why => why,
        };
        lines.push((
            format!("{pods} had no node when the run ended"),
            Some(format!("it has been waiting since {since}: {why}")),
        ));
    }
    lines
}

/// Drains that completed without having evicted anything: they prove nothing.
pub(super) fn empty_drains(outcome: &Outcome) -> impl Iterator<Item = &str> {
    let empty = outcome.drains.iter().filter(|d| d.completed_at.is_some() && d.evictions_granted == 0);
    empty.map(|d| d.node.as_str())
}

/// The budgets that refused evictions and allow none at the end.
fn stubborn_budgets(outcome: &Outcome) -> Option<String> {
    let mut sentences = outcome.pdbs.iter().filter(|p| p.denials > 0).filter_map(|pdb| {
        let (_, allowed, healthy, desired) = *pdb.history.last()?;
        let never = pdb.history.iter().all(|(_, allowed, ..)| *allowed == 0);
        let when = if never { "never allowed a disruption" } else { "allows no disruption any more" };
        let name = &pdb.name;
        (allowed == 0).then(|| format!("{name} {when}: {} healthy, {desired} wanted", plural(healthy.into(), "pod")))
    });
    let first = sentences.next()?;
    let others = sentences.count() as u64;
    Some(if others == 0 { first } else { format!("{first} (and {} more)", plural(others, "budget")) })
}

/// The closest race of a run without a failed request; pods that nobody speaks to race with nobody.
fn tightest(outcome: &Outcome) -> Option<String> {
    let spoken_to = |pod: &PodOutcome| {
        let mut services = outcome.services.iter().filter(|s| s.requests.sent > 0);
        outcome.requests.sent == 0 || services.any(|s| pod.services.contains(&s.id))
    };
    let races = outcome.pods.iter().filter(|p| spoken_to(p)).filter_map(|p| Some((p.slack_nanos?, p)));
    let (slack, pod) = races.min_by_key(|(slack, _)| *slack)?;
    let by = seconds(slack);
    Some(match slack {
        0.. => format!("the tightest race was won by {by} (pod {})", pod.name),
        _ => {
            format!("one race was lost by {by} (pod {}), but no request met the closed listener in that time", pod.name)
        }
    })
}

/// ` while node-1 was drained`, or what else was done; nothing if nothing was.
fn meanwhile(report: &Report<'_>) -> String {
    let of = |kind: fn(&ActionKind) -> bool| report.setup.actions.iter().any(|a| kind(&a.what));
    let faults = [
        (of(|a| matches!(a, ActionKind::ShutOff(_))), "nodes lost power"),
        (of(|a| matches!(a, ActionKind::Restart(_))), "nodes restarted"),
        (of(|a| matches!(a, ActionKind::Partition(_))), "nodes were cut off"),
        (of(|a| matches!(a, ActionKind::StopKubelet(_))), "kubelets were stopped"),
    ];
    let faults: Vec<String> = faults.iter().filter(|(has, _)| *has).map(|(_, text)| (*text).to_string()).collect();
    let faults = if faults.is_empty() { String::new() } else { format!(" while {}", and(&faults)) };
    let drains = drains(&report.outcome.drains);
    if !(faults.is_empty() && drains.is_empty()) {
        return if faults.is_empty() || drains.is_empty() {
            faults + &drains
        } else {
            format!("{faults}, and{drains}")
        };
    }
    let rolled_out = report.setup.actions.iter().find_map(|action| match action.what {
        ActionKind::RolloutRestart(Restarted::Deployment(_)) => Some("Deployment"),
        ActionKind::RolloutRestart(Restarted::StatefulSet(_)) => Some("StatefulSet"),
        ActionKind::RolloutRestart(Restarted::DaemonSet(_)) => Some("DaemonSet"),
        _ => None,
    });
    if let Some(kind) = rolled_out {
        format!(" while a {kind} was rolled out")
    } else if of(|a| matches!(a, ActionKind::DeletePod { .. })) {
        " while pods were deleted".to_string()
    } else {
        String::new()
    }
}

/// ` while node-1 was drained`; nothing if nothing was.
fn drains(drains: &[DrainOutcome]) -> String {
    let mut nodes: Vec<String> = Vec::new();
    for drain in drains {
        if !nodes.contains(&drain.node) {
            nodes.push(drain.node.clone());
        }
    }
    let completed = drains.iter().all(|d| d.completed_at.is_some());
    match nodes.as_slice() {
        [] => String::new(),
        [node] if !completed => format!(" during the drain of {node}"),
        some if !completed && some.len() <= 4 => format!(" during the drains of {}", and(some)),
        many if !completed => format!(" during the drains of {} nodes", many.len()),
        [node] => format!(" while {node} was drained"),
        some if some.len() <= 4 => format!(" while {} were drained", and(some)),
        many => format!(" while {} nodes were drained", many.len()),
    }
}

/// The sentence of the commonest failure, of all requests or of those to a Service, and how much it explains if not
/// everything.
pub(super) fn cause(report: &Report<'_>, service: Option<ServiceId>) -> Option<String> {
    let mut groups: BTreeMap<(FailureKind, PodActivity), Vec<&Failure>> = BTreeMap::new();
    let failures = || report.outcome.failures.iter().filter(|f| service.is_none_or(|id| f.service == id));
    for failure in failures() {
        groups.entry((failure.kind, failure.pod_phase)).or_default().push(failure);
    }
    let (_, group) = groups.iter().max_by_key(|(key, group)| (group.len(), std::cmp::Reverse(**key)))?;
    // Of these the one whose router was latest, then the first.
    let example = group.iter().copied().min_by_key(|f| (std::cmp::Reverse(f.route_clean_at), f.sent_at))?;
    let pods = {
        let mut pods: Vec<PodId> = group.iter().filter_map(|f| f.pod).collect();
        pods.sort_unstable();
        pods.dedup();
        pods
    };
    let mut text = failure_sentence(report, example);
    if let Some(advice) = advice(report, example, &pods) {
        text.push_str("; ");
        text.push_str(&advice);
    }
    let kept = failures().count();
    if group.len() < kept {
        // Of very many failures only the first are kept.
        let all = match service {
            None => report.outcome.requests.failed(),
            Some(id) => report.outcome.services.iter().filter(|s| s.id == id).map(|s| s.requests.failed()).sum(),
        };
        let first = if (kept as u64) < all { "the first " } else { "" };
        text.push_str(&format!(" (this kind: {} of {first}{})", thousands(group.len() as u64), thousands(kept as u64)));
    } else if pods.len() > 1 {
        text.push_str(&format!(" (likewise {})", plural(pods.len() as u64 - 1, "other pod")));
    }
    Some(text)
}

/// Why one request failed.
pub(super) fn failure_sentence(report: &Report<'_>, failure: &Failure) -> String {
    let names = report.names();
    let pod = failure.pod.and_then(|pod| names.outcome_of(pod));
    let name = pod.map_or("a pod", |p| p.name.as_str());
    let router = names.the_router_of(failure);
    let deadline = |pod: Option<&PodOutcome>, at: fn(&PodOutcome) -> Option<Time>| pod.and_then(at);
    let stream = &report.setup.traffic[failure.traffic as usize];
    let tracked = failure.gateway.is_none() && stream.via == Via::KubeProxy && stream.resolve == Resolve::Address;
    match failure.kind {
        FailureKind::Refused if failure.pod_phase == PodActivity::Starting => {
            format!(
                "refused by {name}: it was counted as Ready before it listened; a readiness probe would have kept it out"
            )
        }
        FailureKind::Refused => match closed(report, pod) {
            Some((closed, who, early)) => {
                format!(
                    "refused by {name}: {who} closed its listener at {closed}{early}, {}",
                    still_routed(&router, failure, closed, tracked)
                )
            }
            None => format!("refused by {name}: it does not listen"),
        },
        FailureKind::ConnectTimeout => match failure.pod_phase {
            PodActivity::NodeOff => {
                let node = pod.and_then(|p| p.node.as_deref()).unwrap_or("its node");
                format!("no answer from {name}: {node} is off, and {router} {}", routed_until(failure))
            }
            PodActivity::CutOff => {
                format!(
                    "no answer from {name}: its node and {} cannot reach each other",
                    names.node(failure.client_node)
                )
            }
            _ => match deadline(pod, |p| p.times.network_gone_at) {
                Some(gone) => {
                    format!(
                        "no answer from {name}: its network was gone at {gone}, {}",
                        still_routed(&router, failure, gone, tracked)
                    )
                }
                None => format!("{name} could not be reached within the client's timeout"),
            },
        },
        FailureKind::ResetInFlight => reset(report, pod, failure),
        FailureKind::ResetIdle => {
            format!("reset by {name}: the request was sent on an idle connection just as the server closed it")
        }
        FailureKind::NoEndpoints => no_endpoints(report, failure),
        FailureKind::RequestTimeout if failure.pod_phase == PodActivity::Hanging => {
            format!("{name} hangs: it accepts requests and answers none")
        }
        FailureKind::RequestTimeout if failure.pod_phase == PodActivity::CutOff => {
            format!("no answer from {name}: its node was cut off from {}", names.node(failure.client_node))
        }
        FailureKind::RequestTimeout => {
            format!("{name} accepted the request, but did not answer within the client's timeout")
        }
        FailureKind::Http502 | FailureKind::Http503 if failure.pod_phase == PodActivity::Unattended => {
            unattended(report, pod, failure, &router, tracked)
        }
        FailureKind::Http502 if failure.pod_phase == PodActivity::Draining || failure.route_clean_at.is_some() => {
            match closed(report, pod) {
                Some((closed, who, early)) if closed <= failure.sent_at => {
                    let still = still_routed(&router, failure, closed, tracked);
                    let who = if who == "it" { ",".to_string() } else { format!(": {who}") };
                    format!("502: {name}, the last one asked{who} had closed its listener at {closed}{early}, {still}")
                }
                _ => format!("502: {}", reset(report, pod, failure)),
            }
        }
        FailureKind::Http502 => format!("502: {router} got no proper answer from {name}"),
        FailureKind::Http503 if pod.is_some() && matches!(stream.via, Via::Envoy(_)) => {
            format!("503 from {router}: {}", reset(report, pod, failure))
        }
        FailureKind::Http503 if pod.is_some() => {
            format!("503 from {name}: as many requests were waiting as it lets wait")
        }
        FailureKind::Http503 => {
            let no_endpoints = no_endpoints(report, failure);
            format!("503 from {router}: {no_endpoints}")
        }
        FailureKind::Http504 => format!("504: {name}, the last one asked, did not answer {router} in time"),
    }
}

/// `tracked`: the client's node remembers where it sent connections before, whatever its rules say now.
fn still_routed(router: &str, failure: &Failure, since: Time, tracked: bool) -> String {
    match failure.route_clean_at {
        Some(clean) if tracked && clean <= failure.sent_at => format!(
            "{router} had stopped routing there at {clean}, but connection tracking on that node had not forgotten the way"
        ),
        Some(clean) if clean > since => {
            format!("{router} still routed there until {clean} ({} late)", seconds(between(since, clean)))
        }
        Some(clean) => format!("{router} stopped routing there at {clean}, with this request on its way"),
        None => format!("{router} still routed there when the run ended"),
    }
}

fn routed_until(failure: &Failure) -> String {
    failure
        .route_clean_at
        .map_or("still routed there when the run ended".to_string(), |at| format!("routed there until {at}"))
}

/// When new connections to a pod began to be refused, by what of it (`it`, or its proxy), and whether that was early.
fn closed(report: &Report<'_>, pod: Option<&PodOutcome>) -> Option<(Time, String, String)> {
    let pod = pod?;
    match pod.times.front {
        None => pod.times.listener_closed_at.map(|at| (at, "it".to_string(), String::new())),
        Some(front) => {
            let at = pod.times.front_closed_at?;
            let behind = report.names().container(pod.id, pod.times.serving);
            let front = report.names().container(pod.id, front);
            let asleep = pod.times.sigterm_at.is_none_or(|signal| signal > at);
            let early = if asleep { format!(", before {behind} was told to stop") } else { String::new() };
            Some((at, format!("its {front}"), early))
        }
    }
}

/// The proxy of a pod answered by itself.
fn unattended(report: &Report<'_>, pod: Option<&PodOutcome>, failure: &Failure, router: &str, tracked: bool) -> String {
    let code = if failure.kind == FailureKind::Http502 { "502" } else { "503" };
    let Some((pod, front)) = pod.and_then(|pod| Some((pod, pod.times.front?))) else {
        return format!("{code} from the proxy of a pod: what it stands before did not listen");
    };
    let (name, names) = (&pod.name, report.names());
    let (front, behind) = (names.container(pod.id, front), names.container(pod.id, pod.times.serving));
    match pod.times.behind_closed_at {
        Some(closed) if closed <= failure.sent_at => {
            let still = still_routed(router, failure, closed, tracked);
            format!("{code} from {front} of {name}: {behind} behind it had closed its listener at {closed}, {still}")
        }
        Some(_) if failure.failed_at > failure.sent_at => {
            let ended = pod.times.exited_at.map_or_else(String::new, |at| format!(" at {at}"));
            format!("{code} from {front} of {name}: {behind} behind it ended{ended} with the request unfinished")
        }
        _ => format!("{code} from {front} of {name}: {behind} behind it did not listen yet"),
    }
}

fn reset(report: &Report<'_>, pod: Option<&PodOutcome>, failure: &Failure) -> String {
    let name = pod.map_or("a pod", |p| p.name.as_str());
    let times = pod.map(|p| p.times);
    let front = pod.and_then(|pod| Some((pod, pod.times.front?, pod.times.front_exited_at?)));
    if let Some((pod, front, exited)) = front.filter(|(.., exited)| *exited <= failure.failed_at) {
        let (front, behind) =
            (report.names().container(pod.id, front), report.names().container(pod.id, pod.times.serving));
        let after = pod
            .times
            .front_sigterm_at
            .map_or_else(String::new, |signal| format!(", {} after its stop signal", seconds(between(signal, exited))));
        return format!("cut by {name}: its {front} ended at {exited}{after}, with the request still in {behind}");
    }
    let killed = times.and_then(|t| t.sigkill_at).filter(|at| *at <= failure.failed_at);
    if let Some(killed) = killed {
        return format!(
            "cut by {name}: it was killed with SIGKILL at {killed}, its grace period over, with the request unfinished"
        );
    }
    if failure.pod_phase == PodActivity::NodeOff {
        return format!(
            "cut at {}: the machine under {name} lost power with the request unfinished",
            failure.failed_at
        );
    }
    match (times.and_then(|t| t.exited_at), times.and_then(|t| t.sigterm_at)) {
        (Some(exited), Some(signal)) => {
            let after = seconds(between(signal, exited));
            format!(
                "cut by {name}: its process ended at {exited}, {after} after its stop signal, with the request unfinished"
            )
        }
        _ => format!("cut by {name} at {} with the request unfinished", failure.failed_at),
    }
}

/// For how long the Service had nobody, around the time of the request.
fn no_endpoints(report: &Report<'_>, failure: &Failure) -> String {
    let Some(service) = report.outcome.services.iter().find(|s| s.id == failure.service) else {
        return "the Service had no endpoint".to_string();
    };
    // The client's router learns late: what it acted on is the last change to nothing before the request.
    let empty_at = service.ready_endpoints.iter().rposition(|(at, ready)| *ready == 0 && *at <= failure.sent_at);
    let Some(empty_at) = empty_at else { return format!("{} had no ready endpoint", service.name) };
    let since = service.ready_endpoints[empty_at].0;
    let until = service.ready_endpoints[empty_at..].iter().find(|(_, ready)| *ready > 0);
    let span = match until {
        Some((until, _)) => format!("from {since} to {until}"),
        None => format!("from {since} to the end of the run"),
    };
    let unbounded = report.outcome.pdbs.is_empty() && report.outcome.drains.iter().any(|d| d.evictions_granted > 0);
    let advice = if unbounded { "; no PodDisruptionBudget made the drain wait for replacements" } else { "" };
    format!("{} had no ready endpoint {span}{advice}", service.name)
}

/// What would have covered the lateness of all routers to these pods.
fn advice(report: &Report<'_>, failure: &Failure, pods: &[PodId]) -> Option<String> {
    let raced = matches!(failure.pod_phase, PodActivity::PreStop | PodActivity::Draining | PodActivity::Exited);
    if !raced || !matches!(failure.kind, FailureKind::Refused | FailureKind::ConnectTimeout) {
        return None;
    }
    let pods: Vec<&PodOutcome> = pods.iter().filter_map(|p| report.names().outcome_of(*p)).collect();
    let late = pods.iter().filter_map(|p| p.slack_nanos).min().filter(|slack| *slack < 0)?;
    let whole = late.unsigned_abs().div_ceil(1_000_000_000);
    let hooked: Vec<&&PodOutcome> = pods.iter().filter(|p| p.times.pre_stop_at.is_some()).collect();
    // the proxy was first: the application's own hook does not hold it
    let proxy = pods.iter().find_map(|pod| {
        let first = pod.times.front_closed_at.is_some() && pod.times.front_closed_at == pod.times.listener_closed_at;
        pod.times.front.filter(|_| first).map(|front| report.names().container(pod.id, front))
    });
    let what = if let Some(proxy) = proxy {
        format!("a preStop sleep of {whole} s in {proxy}, on top of how long it lasts now,")
    } else if hooked.iter().any(|p| !p.sleeps_first) {
        // what the hook does is under way by then, however long it takes
        format!("a preStop sleep of {whole} s before what the hook does now")
    } else if !hooked.is_empty() {
        format!("a preStop sleep longer by {whole} s")
    } else {
        format!("a preStop sleep of at least {whole} s")
    };
    Some(format!("{what} would have covered it"))
}

/// The names and counts of what failed: `refused 37, noEndpoints 2`.
pub(super) fn failed_by(requests: &Requests) -> String {
    let of = |kind: &FailureKind| requests.failed_by.get(kind).copied().filter(|count| *count > 0);
    let kinds = FailureKind::ALL.iter().filter_map(|k| Some(format!("{} {}", k.name(), thousands(of(k)?))));
    kinds.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::Setup;
    use crate::simulation::fixture;

    fn of(setup: &Setup, outcome: &Outcome) -> Verdict {
        verdict(&Report::of_run("test", setup, outcome))
    }

    fn cause_of(outcome: &Outcome) -> String {
        of(&fixture::setup(), outcome).cause.unwrap()
    }

    #[test]
    fn a_lost_race_names_pod_router_lateness_and_cure() {
        let verdict = of(&fixture::setup(), &fixture::outcome());
        assert_eq!(verdict.good, Some(false));
        assert_eq!(verdict.headline, "37 of 24,000 requests failed (0.154 %) while node-1 and node-2 were drained");
        assert_eq!(
            verdict.cause.unwrap(),
            "refused by nginx-66b6c48dd5-abcde: it closed its listener at 10.150s, the kube-proxy on node-2 still routed \
             there until 11.028s (0.878 s late); a preStop sleep of at least 1 s would have covered it"
        );
    }

    #[test]
    fn a_hook_that_sleeps_needs_to_sleep_longer_and_another_one_to_begin_later() {
        let mut outcome = fixture::outcome();
        outcome.pods[0].times.pre_stop_at = Some(Time::from_millis(10_100));
        outcome.pods[0].slack_nanos = Some(-2_000_000_001);
        let before = "a preStop sleep of 3 s before what the hook does now would have covered it";
        assert!(cause_of(&outcome).ends_with(before), "{}", cause_of(&outcome));
        outcome.pods[0].sleeps_first = true;
        assert!(cause_of(&outcome).ends_with("a preStop sleep longer by 3 s would have covered it"));
    }

    #[test]
    fn without_a_failed_request_the_tightest_race_is_told() {
        let mut outcome = fixture::calm_outcome();
        let verdict = of(&fixture::setup(), &outcome);
        assert_eq!(verdict.good, Some(true));
        assert_eq!(verdict.headline, "no request failed of 24,000 while node-1 and node-2 were drained");
        assert_eq!(verdict.cause.unwrap(), "the tightest race was won by 0.010 s (pod nginx-66b6c48dd5-abcde)");
        outcome.pods[0].slack_nanos = Some(-5_000_000);
        assert!(cause_of(&outcome).starts_with("one race was lost by 0.005 s"));
        outcome.requests = Requests::default();
        assert_eq!(of(&fixture::setup(), &outcome).good, None);
    }

    #[test]
    fn what_is_left_undone_says_why() {
        let (setup, mut outcome) = (fixture::setup(), fixture::calm_outcome());
        let undone = |outcome: &Outcome| left_undone(&Report::of_run("", &setup, outcome));
        assert_eq!(undone(&outcome), []);
        (outcome.drains[1].completed_at, outcome.drains[1].ended_at) = (None, None);
        outcome.pdbs[0].history = vec![(Time::ZERO, 0, 3, 3)];
        outcome.pdbs[0].denials = 7;
        outcome.pods[1].node = None;
        (outcome.pods[1].times.deleted_at, outcome.pods[1].created_at) = (None, Time::from_secs(9));
        let (budget, pod) = (outcome.pdbs[0].name.clone(), outcome.pods[1].name.clone());
        let lines = undone(&outcome);
        assert_eq!(lines[0].1, Some(format!("{budget} never allowed a disruption: 3 pods healthy, 3 wanted")));
        assert_eq!(lines[1].0, format!("pod {pod} had no node when the run ended"));
        assert!(lines[1].1.as_ref().unwrap().contains("since 9.000s"), "{lines:?}");
        outcome.drains[1].ended_at = Some(Time::from_secs(20));
        outcome.drains[1].messages.push((Time::from_secs(20), "global timeout reached: 10s".into()));
        let lines = undone(&outcome);
        assert_eq!(lines[0].1.as_deref(), Some("global timeout reached: 10s"));
        assert_eq!(of(&setup, &outcome).headline, "no request failed of 24,000 during the drains of node-1 and node-2");
        outcome.drains[0].evictions_granted = 0;
        assert_eq!(empty_drains(&outcome).collect::<Vec<_>>(), ["node-1"]);
    }

    #[test]
    fn a_pod_without_traffic_does_not_win_the_tightest_race() {
        let mut outcome = fixture::calm_outcome();
        let mut idle = outcome.pods[0].clone();
        (idle.slack_nanos, idle.services, idle.name) = (Some(-1), vec![], "database-0".into());
        outcome.pods.push(idle);
        assert!(cause_of(&outcome).contains("nginx-66b6c48dd5-abcde"), "{}", cause_of(&outcome));
    }

    #[test]
    fn every_kind_and_phase_has_a_sentence() {
        use PodActivity::{
            CutOff, Draining, Exited, Hanging, NetworkGone, NoPod, NodeOff, PreStop, Serving, Starting, Unattended,
        };
        let mut outcome = fixture::outcome();
        for kind in FailureKind::ALL {
            for phase in
                [NoPod, Starting, Serving, PreStop, Draining, Exited, NetworkGone, NodeOff, Hanging, CutOff, Unattended]
            {
                for pod in [None, Some(PodId(0)), Some(PodId(9))] {
                    for service in [ServiceId(0), ServiceId(9)] {
                        let first = outcome.failures[0];
                        outcome.failures[0] = Failure { kind, pod_phase: phase, pod, service, ..first };
                        outcome.failures.truncate(1);
                        assert!(cause_of(&outcome).len() > 10, "{kind:?} {phase:?} {pod:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_service_is_named_with_its_span() {
        let mut outcome = fixture::outcome();
        outcome.pdbs.clear();
        outcome.services[0].ready_endpoints = vec![
            (Time::from_millis(9_000), 0),
            (Time::from_millis(10_000), 1),
            (Time::from_millis(10_100), 0),
            (Time::from_secs(20), 2),
        ];
        for failure in &mut outcome.failures {
            (failure.kind, failure.pod, failure.pod_phase) = (FailureKind::NoEndpoints, None, PodActivity::NoPod);
        }
        assert_eq!(
            cause_of(&outcome),
            "default/nginx had no ready endpoint from 10.100s to 20.000s; no PodDisruptionBudget made the drain wait for \
             replacements"
        );
    }

    #[test]
    fn a_cut_request_says_who_cut_it() {
        let mut outcome = fixture::outcome();
        for failure in &mut outcome.failures {
            failure.kind = FailureKind::ResetInFlight;
        }
        assert!(
            cause_of(&outcome).contains("ended at 10.300s, 0.160 s after its stop signal"),
            "{}",
            cause_of(&outcome)
        );
        outcome.pods[0].times.sigkill_at = Some(Time::from_millis(10_100));
        assert!(cause_of(&outcome).contains("killed with SIGKILL at 10.100s"));
    }
}
