//! Why: the causal chain of a failed request or of a pod's end, both chains side by side on one axis of time.

use std::fmt::Write as _;

use super::style::{BAD, BOLD, DIM, WIDTH, between, paint, plural, seconds, signed, thousands, wrap};
use super::verdict::failure_sentence;
use super::{Names, Report, sentence};
use crate::engine::Time;
use crate::simulation::observe::{CauseId, TraceEntry, What};
use crate::simulation::outcome::{Failure, PodOutcome, Router};

/// What is to be explained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// The n-th failed request in order of time, from 1.
    Request(usize),
    /// The pod of this name, or the first whose name begins so.
    Pod(String),
    /// The first failed request, or else the pod with the tightest race.
    Worst,
}

/// Answers a question about a run whose trace was kept.
///
/// # Errors
///
/// A sentence that says what there is instead, if there is no such request or pod.
pub fn explain(report: &Report<'_>, question: &Question) -> Result<String, String> {
    let outcome = report.outcome;
    match question {
        Question::Request(number) => {
            let failure = number.checked_sub(1).and_then(|index| outcome.failures.get(index));
            failure.map(|failure| of_failure(report, failure)).ok_or_else(|| match outcome.failures.len() {
                0 => "no request failed in this run; --pod explains a pod".to_string(),
                kept => format!("there is no failed request {number}: choose 1 to {}", thousands(kept as u64)),
            })
        }
        Question::Pod(name) => {
            let named = outcome.pods.iter().find(|p| p.name == *name || format!("{}/{}", p.namespace, p.name) == *name);
            let pod = named.or_else(|| outcome.pods.iter().find(|p| p.name.starts_with(name.as_str())));
            pod.map(|pod| of_pod(report, pod)).ok_or_else(|| {
                let names: Vec<&str> = outcome.pods.iter().take(10).map(|p| p.name.as_str()).collect();
                format!("there is no pod {name}; there are {}", names.join(", "))
            })
        }
        Question::Worst => match outcome.failures.first() {
            Some(failure) => Ok(of_failure(report, failure)),
            None => {
                let slack =
                    |p: &&PodOutcome| (p.slack_nanos.unwrap_or(i64::MAX), p.times.deleted_at.unwrap_or(Time::MAX));
                let gone = outcome.pods.iter().filter(|p| p.times.deleted_at.is_some()).min_by_key(slack);
                gone.map(|pod| of_pod(report, pod)).ok_or_else(|| "no request failed and no pod went away".to_string())
            }
        },
    }
}

fn of_failure(report: &Report<'_>, failure: &Failure) -> String {
    let names = report.names();
    let mut out = String::new();
    let title = format!(
        "request {} of {} from {} to {} failed: {}",
        thousands(failure.number),
        names.traffic(failure.traffic),
        names.node(failure.client_node),
        names.service(failure.service),
        failure.kind.name()
    );
    heading(&mut out, "✗", &title, &failure_sentence(report, failure));
    let pod = failure.pod.and_then(|pod| names.outcome_of(pod));
    let router = names.router_of(failure);
    let mut lines = chains(report, pod, failure);
    if let Some(clean) = failure.route_clean_at {
        lines.push(Line {
            at: clean,
            after: failure.endpoint_not_ready_at,
            place: Place::Right,
            text: format!("{}: sends no new connection there", names.short_router_of(failure)),
        });
    }
    let client = match router {
        _ if failure.gateway.is_some() => format!("client of {}", names.short_router_of(failure)),
        Router::KubeProxy | Router::Dns => format!("client on {}", names.node(failure.client_node)),
        _ => format!("client of {}", names.router(router, failure.client_node)),
    };
    let request = |at, text: String| Line { at, after: None, place: Place::Request, text };
    lines.push(request(failure.sent_at, format!("{client}: sends request {}", thousands(failure.number))));
    let end = format!("{client}: request {} has failed: {}", thousands(failure.number), failure.kind.name());
    lines.push(Line { after: Some(failure.sent_at), ..request(failure.failed_at, end) });
    axis(&mut out, lines);
    if let Some(pod) = pod {
        race(&mut out, pod, failure.route_clean_at, &names.the_router_of(failure));
    }
    out
}

fn of_pod(report: &Report<'_>, pod: &PodOutcome) -> String {
    let names = report.names();
    let mut out = String::new();
    let lost = pod.times.failed_requests;
    let node = pod.node.as_deref().map_or_else(|| "never on a node".to_string(), |node| format!("on {node}"));
    let mark = if lost > 0 || pod.slack_nanos.is_some_and(|slack| slack < 0) { "✗" } else { "✓" };
    let title = format!("pod {}/{}, {node}", pod.namespace, pod.name);
    let cost = match lost {
        0 => "no request failed because of it".to_string(),
        some => format!("{} failed because of it", plural(some, "request")),
    };
    heading(&mut out, mark, &title, &cost);
    let mut lines = pod_chains(report, pod);
    if let Some((at, node)) = pod.times.last_route_clean {
        lines.push(Line {
            at,
            after: pod.times.endpoint_not_ready_at,
            place: Place::Right,
            text: format!(
                "{}: the last one to send no new connection there",
                names.router(pod.times.last_router, node)
            ),
        });
    }
    axis(&mut out, lines);
    let last = pod.times.last_route_clean;
    let router = last.map_or_else(String::new, |(_, node)| {
        format!("the last {}, on {},", pod.times.last_router.name(), names.node(node))
    });
    race(&mut out, pod, last.map(|(at, _)| at), &router);
    out
}

fn heading(out: &mut String, mark: &str, title: &str, text: &str) {
    let _ = writeln!(out, "{mark} {}", paint(BOLD, title));
    for line in wrap(text, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
    out.push('\n');
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Place {
    /// Before the two chains part: over the whole width.
    Both,
    /// Kubelet and application.
    Left,
    /// Endpoints and routes.
    Right,
    /// The request itself: over the whole width.
    Request,
}

/// One line of an explanation.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    at: Time,
    /// When its cause was.
    after: Option<Time>,
    place: Place,
    text: String,
}

/// The chains that led to a failure.
fn chains(report: &Report<'_>, pod: Option<&PodOutcome>, failure: &Failure) -> Vec<Line> {
    if let Some(pod) = pod.filter(|pod| pod.times.deleted_at.is_some()) {
        let mut lines = pod_chains(report, pod);
        // What the pod did long after the request does not explain it.
        lines.retain(|line| line.at <= failure.failed_at || line.place == Place::Right);
        return lines;
    }
    let trace = &report.outcome.trace;
    let mut chain = trace.chain(failure.cause);
    if chain.is_empty() {
        // Nobody is to blame but the lack of endpoints: what emptied the Service last.
        let emptied = |e: &&TraceEntry| {
            matches!(e.what, What::EndpointsWritten { service, ready: 0, .. } if service == failure.service)
                && e.time <= failure.failed_at
        };
        let last = trace.entries().iter().rfind(emptied);
        chain = last.map_or_else(Vec::new, |entry| trace.chain(entry.id));
    }
    let names = report.names().about(failure.pod);
    chain.iter().map(|entry| line(report, &names, entry, Place::Both)).collect()
}

/// Both chains of a pod's end, or its life so far if it was not deleted.
fn pod_chains(report: &Report<'_>, pod: &PodOutcome) -> Vec<Line> {
    let trace = &report.outcome.trace;
    let names = report.names().about(Some(pod.id));
    let entries = trace.entries();
    let deletion = entries.iter().find(|e| matches!(e.what, What::PodDeleted { pod: p, .. } if p == pod.id));
    let Some(deletion) = deletion else {
        let first = entries.iter().find(|e| e.what.pod() == Some(pod.id));
        let mut chain = first.map_or_else(Vec::new, |entry| trace.chain(entry.id));
        let rest = |e: &&TraceEntry| e.what.pod() == Some(pod.id) && Some(e.id) > chain.last().map(|c| c.id);
        let rest: Vec<TraceEntry> = entries.iter().filter(rest).copied().collect();
        chain.extend(rest);
        return chain.iter().map(|entry| line(report, &names, entry, Place::Both)).collect();
    };
    let common = trace.chain(deletion.id);
    let known = |id: CauseId| common.iter().any(|e| e.id == id);
    let mut lines: Vec<Line> = common.iter().map(|entry| line(report, &names, entry, Place::Both)).collect();
    let left = |e: &&TraceEntry| e.id > deletion.id && e.what.pod() == Some(pod.id) && is_shutdown(e.what);
    lines.extend(entries.iter().filter(left).map(|entry| line(report, &names, entry, Place::Left)));
    let written = |e: &&TraceEntry| {
        matches!(e.what, What::EndpointsWritten { service, .. } if pod.services.contains(&service))
            && Some(e.time) == pod.times.endpoint_not_ready_at
    };
    let right = entries.iter().find(written).map_or_else(Vec::new, |entry| trace.chain(entry.id));
    let shutdown = |e: &TraceEntry| e.what.pod() == Some(pod.id) && is_shutdown(e.what);
    let right = right.iter().filter(|e| !known(e.id) && !shutdown(e));
    lines.extend(right.map(|entry| line(report, &names, entry, Place::Right)));
    lines
}

/// Whether a note belongs to the shutdown chain; what else concerns the pod is about evictions and its life before.
const fn is_shutdown(what: What) -> bool {
    !matches!(
        what,
        What::EvictionRequested { .. }
            | What::EvictionAdmitted { .. }
            | What::EvictionRefused { .. }
            | What::EvictionConflict { .. }
            | What::PodDeleted { .. }
    )
}

fn line(report: &Report<'_>, names: &Names<'_>, entry: &TraceEntry, place: Place) -> Line {
    Line {
        at: entry.time,
        after: report.outcome.trace.get(entry.cause).map(|cause| cause.time),
        place,
        text: sentence(names, entry.what).to_string(),
    }
}

/// Prints lines on one axis of time: when, how long after the cause, and what.
fn axis(out: &mut String, mut lines: Vec<Line>) {
    const MARGIN: usize = 23;
    const COLUMN: usize = (WIDTH - MARGIN - 3) / 2;
    // Stable: the order of notes at one instant is their order of cause.
    lines.sort_by_key(|line| line.at);
    let parted = |line: &Line| matches!(line.place, Place::Left | Place::Right);
    let first_parted = lines.iter().position(parted);
    let _ = writeln!(out, "{}", paint(BOLD, &format!("{:>11}  {:>8}", "TIME", "STEP")));
    for (index, line) in lines.iter().enumerate() {
        if Some(index) == first_parted {
            let titles = format!(
                "{:MARGIN$}{:COLUMN$} │ {}",
                "", "SHUTDOWN: kubelet and process", "ROUTES: endpoints and proxies"
            );
            let _ = writeln!(out, "\n{}", paint(BOLD, &titles));
        }
        let step = line.after.map_or_else(String::new, |after| signed(between(after, line.at)));
        let time = format!("{:>11}", line.at.to_string());
        let width = if parted(line) { COLUMN } else { WIDTH - MARGIN };
        for (number, part) in wrap(&line.text, width).into_iter().enumerate() {
            let margin = if number == 0 {
                format!("{time}  {}  ", paint(DIM, &format!("{step:>8}")))
            } else {
                " ".repeat(MARGIN)
            };
            let body = match line.place {
                Place::Both => part,
                Place::Request => paint(BAD, &part),
                Place::Left => format!("{part:COLUMN$} │"),
                Place::Right => format!("{:COLUMN$} │ {part}", ""),
            };
            let _ = writeln!(out, "{margin}{body}");
        }
    }
}

/// How the race ended, in a sentence.
fn race(out: &mut String, pod: &PodOutcome, clean: Option<Time>, router: &str) {
    let (Some(deleted), Some(closed), Some(clean)) = (pod.times.deleted_at, pod.times.listener_closed_at, clean) else {
        return;
    };
    let late = between(closed, clean);
    let end = if late > 0 {
        format!("the route outlived the listener by {}", seconds(late))
    } else {
        format!("the route was gone {} before the listener", seconds(late))
    };
    let text = format!(
        "The pod closed its listener {} after its deletion, {router} was clean after {}: {end}.",
        seconds(between(deleted, closed)),
        seconds(between(deleted, clean)),
    );
    out.push('\n');
    for line in wrap(&text, WIDTH) {
        let _ = writeln!(out, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ServiceId;
    use crate::simulation::Outcome;
    use crate::simulation::fixture;
    use crate::simulation::outcome::{FailureKind, PodActivity};

    fn ask(outcome: &Outcome, question: &Question) -> Result<String, String> {
        let setup = fixture::setup();
        let report = Report::of_run("test", &setup, outcome);
        let text = explain(&report, question)?;
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert!(plain.lines().all(|line| line.chars().count() <= WIDTH), "{plain}");
        Ok(plain)
    }

    #[test]
    fn a_refused_request() {
        insta::assert_snapshot!(ask(&fixture::outcome(), &Question::Request(5)).unwrap());
    }

    #[test]
    fn a_pod_that_won_its_race() {
        insta::assert_snapshot!(
            ask(&fixture::outcome(), &Question::Pod("nginx-66b6c48dd5-fghij".to_string())).unwrap()
        );
    }

    #[test]
    fn a_pod_that_stayed_tells_its_life() {
        let text = ask(&fixture::outcome(), &Question::Pod("default/nginx-66b6c48dd5-klmno".to_string())).unwrap();
        assert!(text.contains("scheduler: binds the pod to node-3"), "{text}");
        assert!(text.contains("kubelet node-3: reports the pod Ready"), "{text}");
    }

    #[test]
    fn without_a_question_the_worst_is_explained() {
        assert!(ask(&fixture::outcome(), &Question::Worst).unwrap().starts_with("✗ request 1,350 of web from node-2"));
        let calm = ask(&fixture::calm_outcome(), &Question::Worst).unwrap();
        assert!(
            calm.starts_with("✓ pod default/nginx-66b6c48dd5-abcde, on node-1\n  no request failed because of it"),
            "{calm}"
        );
        let mut empty = fixture::calm_outcome();
        empty.pods.clear();
        assert_eq!(ask(&empty, &Question::Worst).unwrap_err(), "no request failed and no pod went away");
    }

    #[test]
    fn a_request_without_an_endpoint_is_led_back_to_what_emptied_the_service() {
        let mut outcome = fixture::outcome();
        let cause =
            outcome.trace.entries().iter().rev().find(|e| matches!(e.what, What::PodDeleted { .. })).unwrap().id;
        let id = CauseId(u32::try_from(outcome.trace.entries().len()).unwrap() + 1);
        let what = What::EndpointsWritten { service: ServiceId(0), version: 5, ready: 0 };
        outcome.trace.push(TraceEntry { id, cause, time: Time::from_secs(19), what });
        let failure = &mut outcome.failures[0];
        (failure.kind, failure.pod, failure.pod_phase) = (FailureKind::NoEndpoints, None, PodActivity::NoPod);
        (failure.sent_at, failure.failed_at) = (Time::from_secs(20), Time::from_secs(20));
        (failure.cause, failure.route_clean_at) = (CauseId::default(), None);
        let text = ask(&outcome, &Question::Request(1)).unwrap();
        assert!(text.contains("scenario: kubectl drain node-2"), "{text}");
        assert!(text.contains("default/nginx now has 0 ready endpoints"), "{text}");
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let outcome = fixture::outcome();
        assert_eq!(ask(&outcome, &Question::Request(0)).unwrap_err(), "there is no failed request 0: choose 1 to 37");
        assert_eq!(ask(&outcome, &Question::Request(38)).unwrap_err(), "there is no failed request 38: choose 1 to 37");
        assert!(
            ask(&outcome, &Question::Pod("x".to_string()))
                .unwrap_err()
                .starts_with("there is no pod x; there are nginx-")
        );
        assert!(ask(&fixture::calm_outcome(), &Question::Request(1)).unwrap_err().starts_with("no request failed"));
    }

    #[test]
    fn without_a_trace_there_is_still_a_sentence() {
        let mut outcome = fixture::outcome();
        outcome.trace = crate::simulation::observe::Trace::new(false);
        assert!(ask(&outcome, &Question::Worst).unwrap().contains("it closed its listener at 10.150s"));
    }
}
