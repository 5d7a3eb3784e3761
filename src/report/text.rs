//! The report of one run for a terminal: the verdict first, then what happened, then what was taken for granted.

use std::fmt::Write as _;

use super::style::{BAD, BOLD, DIM, GOOD, PLAIN, WARN, WIDTH, paint, plural, share, thousands, wrap};
use super::table::{Align, Cell, Table};
use super::verdict::{empty_drains, failed_by, left_undone, verdict};
use super::{Report, cases, outage, race};
use crate::engine::Duration;
use crate::scenario::expectation::Checked;
use crate::simulation::outcome::{DrainOutcome, FailureKind, Phases, Requests, ServiceOutcome};
use crate::simulation::setup::Via;

/// Longer transcripts of one drain are cut in the middle.
const DRAIN_LINES_MAX: usize = 40;

/// The report, with escapes for colours; whoever prints it strips them where they are not wanted.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let outcome = report.outcome;
    let mut out = String::new();
    head(&mut out, report);
    section(&mut out, "Requests", &requests(&outcome.requests, outcome.expected_failed()));
    section(&mut out, "Unknown applications", &cases::render(report.cases));
    section(&mut out, "Services", &services(report));
    section(&mut out, "Traffic", &traffic(report));
    section(&mut out, "Latency", &latency(report));
    section(&mut out, "Drains", &outcome.drains.iter().map(drain).collect::<Vec<_>>().join("\n"));
    section(&mut out, "Budgets", &budgets(report));
    section(&mut out, "Outages", &outage::render(report));
    let race = race::render(outcome);
    if !race.is_empty() {
        let legend = "seconds after each pod's own DELETE; slack = listener closed − last route clean, `!` = too late";
        section(&mut out, "The race", &format!("  {}\n{race}", paint(DIM, legend)));
    }
    section(&mut out, "Expectations", &expectations(report.expectations));
    section(&mut out, "Warnings", &list(report.warnings.iter().chain(&outcome.warnings), WARN));
    section(&mut out, "Assumptions", &list(report.assumptions.iter(), PLAIN));
    let simulated = format!(
        "{} · seed {} · {} simulated · {} · digest {}",
        report.scenario,
        outcome.seed,
        outcome.end,
        plural(outcome.events, "event"),
        outcome.digest
    );
    let _ = writeln!(out, "\n{}", paint(DIM, &simulated));
    out
}

fn head(out: &mut String, report: &Report<'_>) {
    let verdict = verdict(report);
    let (mark, style) = match verdict.good {
        Some(true) => ("✓", GOOD),
        Some(false) => ("✗", BAD),
        None => ("–", PLAIN),
    };
    let _ = writeln!(out, "{} {}", paint(style, mark), paint(BOLD, &verdict.headline));
    for line in verdict.cause.iter().flat_map(|cause| wrap(cause, WIDTH - 2)) {
        let _ = writeln!(out, "  {line}");
    }
    out.push_str(&cases::line(report.cases));
    for (what, why) in left_undone(report) {
        let _ = writeln!(out, "{} {what}", paint(BAD, "✗"));
        for line in why.iter().flat_map(|why| wrap(why, WIDTH - 2)) {
            let _ = writeln!(out, "  {line}");
        }
    }
    for node in empty_drains(report.outcome) {
        let _ = writeln!(out, "{} the drain of {node} evicted nothing", paint(WARN, "–"));
    }
    // What is about many runs is neither met nor broken by one.
    let of_one_run = || report.expectations.iter().filter(|e| !e.about_many_runs);
    let all = of_one_run().count();
    let failed = of_one_run().filter(|e| !e.passed).count();
    let _ = match (all, failed) {
        (0, _) => Ok(()),
        (1, 0) => writeln!(out, "{} the expectation holds", paint(GOOD, "✓")),
        (_, 0) => writeln!(out, "{} all {all} expectations hold", paint(GOOD, "✓")),
        (_, _) => writeln!(out, "{} {failed} of {} failed", paint(BAD, "✗"), plural(all as u64, "expectation")),
    };
}

/// A heading and its lines, or nothing if there are none.
pub(super) fn section(out: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        let _ = write!(out, "\n{}\n{body}", paint(BOLD, title));
    }
}

/// Requests by outcome, with their shares; kinds of failures that did not happen are left out. `expected`: how many were
/// expected to fail, given what happened to pods and routes; left out with all failures where next to none were.
pub(super) fn requests(requests: &Requests, expected: Option<f64>) -> String {
    let mut table = Table::new(2, 3, &[(Align::Left, ""), (Align::Right, ""), (Align::Right, "")]);
    let mut row = |name: &str, count: u64, style| {
        let part = if name == "sent" { String::new() } else { share(count, requests.sent) };
        table.row([name.into(), Cell::styled(style, thousands(count)), Cell::styled(style, part)]);
    };
    row("sent", requests.sent, PLAIN);
    row("ok", requests.ok, PLAIN);
    if requests.ok_after_retry > 0 {
        row("ok after retry", requests.ok_after_retry, PLAIN);
    }
    row("failed", requests.failed(), if requests.failed() > 0 { BAD } else { PLAIN });
    for kind in FailureKind::ALL {
        if let Some(count) = requests.failed_by.get(&kind).filter(|count| **count > 0) {
            row(&format!("  {}", kind.name()), *count, PLAIN);
        }
    }
    if let Some(expected) = expected.filter(|expected| requests.failed() > 0 || *expected >= 0.05) {
        table.row(["  expected".into(), Cell::styled(DIM, format!("{expected:.1}")), "".into()]);
    }
    let mut row = |name: &str, count: u64, style| {
        table.row([
            name.into(),
            Cell::styled(style, thousands(count)),
            Cell::styled(style, share(count, requests.sent)),
        ]);
    };
    if requests.unfinished > 0 {
        row("unfinished", requests.unfinished, PLAIN);
    }
    table.render()
}

fn services(report: &Report<'_>) -> String {
    let mut table = Table::new(
        2,
        3,
        &[
            (Align::Left, "NAME"),
            (Align::Right, "SENT"),
            (Align::Right, "FAILED"),
            (Align::Right, "RATE"),
            (Align::Right, "MIN READY"),
            (Align::Right, "NO ENDPOINT FOR"),
            (Align::Left, "FAILED BY"),
        ],
    );
    let selects = |s: &ServiceOutcome| report.setup.services.get(s.id.index()).is_none_or(|s| s.selector.is_some());
    // A Service without selector and traffic, such as default/kubernetes, has nothing to tell.
    for service in report.outcome.services.iter().filter(|s| s.requests.sent > 0 || selects(s)) {
        let requests = &service.requests;
        let failed = requests.failed();
        let alarm = |bad: bool| if bad { BAD } else { PLAIN };
        table.row([
            service.name.as_str().into(),
            thousands(requests.sent).into(),
            Cell::styled(alarm(failed > 0), thousands(failed)),
            share(failed, requests.sent).into(),
            Cell::styled(alarm(service.min_ready_endpoints == 0), thousands(u64::from(service.min_ready_endpoints))),
            Cell::styled(
                alarm(!service.zero_endpoints.is_zero()),
                format!("{:.3}s", service.zero_endpoints.as_secs_f64()),
            ),
            failed_by(requests).into(),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

/// The streams apart, if they take different ways.
fn traffic(report: &Report<'_>) -> String {
    if report.setup.traffic.iter().all(|t| t.via == Via::KubeProxy && t.balancer.is_none() && t.onward.is_none()) {
        return String::new();
    }
    let columns = [
        (Align::Left, "NAME"),
        (Align::Left, "VIA"),
        (Align::Right, "SENT"),
        (Align::Right, "FAILED"),
        (Align::Right, "RATE"),
        (Align::Left, "FAILED BY"),
    ];
    let mut table = Table::new(2, 3, &columns);
    for (stream, setup) in report.outcome.traffic.iter().zip(&report.setup.traffic) {
        let failed = stream.requests.failed();
        table.row([
            stream.name.as_str().into(),
            setup.path().into(),
            thousands(stream.requests.sent).into(),
            Cell::styled(if failed > 0 { BAD } else { PLAIN }, thousands(failed)),
            share(failed, stream.requests.sent).into(),
            failed_by(&stream.requests).into(),
        ]);
    }
    table.render() + &at_and_behind_gateways(report)
}

/// What gateways lost that are pods themselves, and what the pods behind them did.
fn at_and_behind_gateways(report: &Report<'_>) -> String {
    let mut text = String::new();
    for (stream, setup) in report.outcome.traffic.iter().zip(&report.setup.traffic) {
        if let Some(behind) = stream.failed_behind.filter(|_| stream.requests.failed() > 0) {
            let at = stream.requests.failed() - behind;
            text.push_str(&format!(
                "  {}: {} failed before or at pods of {}, {} behind them\n",
                stream.name,
                thousands(at),
                report.names().service(setup.service),
                thousands(behind)
            ));
        }
    }
    text
}

/// How long answers took before, during and after the disruption, where requests have to do with each other.
fn latency(report: &Report<'_>) -> String {
    let columns = [
        (Align::Left, "NAME"),
        (Align::Left, "PHASE"),
        (Align::Right, "ANSWERS"),
        (Align::Right, "P50"),
        (Align::Right, "P99"),
        (Align::Right, "MAX"),
    ];
    let mut table = Table::new(2, 3, &columns);
    for stream in &report.outcome.traffic {
        let Phases { before, during, after, .. } = &stream.latencies;
        for (phase, tally) in [("before", before), ("during", during), ("after", after)] {
            let (Some(p50), Some(p99)) = (tally.quantile(0.5), tally.quantile(0.99)) else { continue };
            table.row([
                stream.name.as_str().into(),
                phase.into(),
                thousands(tally.count()).into(),
                milliseconds(p50).into(),
                milliseconds(p99).into(),
                milliseconds(tally.max()).into(),
            ]);
        }
    }
    if table.is_empty() { String::new() } else { table.render() }
}

/// `12.3ms`, `1.234s`.
fn milliseconds(span: Duration) -> String {
    match span.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.1}ms", seconds * 1e3),
        seconds => format!("{seconds:.3}s"),
    }
}

/// What kubectl printed, with the times at which it did.
fn drain(drain: &DrainOutcome) -> String {
    let (mark, style, end) = match (drain.completed_at, drain.ended_at) {
        (Some(at), _) => ("✓", GOOD, format!("drained in {:.3} s", at.since(drain.started_at).as_secs_f64())),
        (None, Some(at)) => ("✗", BAD, format!("given up after {:.3} s", at.since(drain.started_at).as_secs_f64())),
        (None, None) => ("…", WARN, "not drained when the run ended".to_string()),
    };
    let code = drain.exit_code.map_or_else(|| "still running".to_string(), |code| format!("exit code {code}"));
    let evictions = format!(
        "{} granted, {} denied",
        plural(drain.evictions_granted, "eviction"),
        thousands(drain.evictions_denied)
    );
    let mut out = format!("  {} {}: {end}, {code}; {evictions}\n", paint(style, mark), drain.node);
    let all = drain.messages.len();
    let cut = all > DRAIN_LINES_MAX;
    for (index, (at, message)) in drain.messages.iter().enumerate() {
        if cut && (DRAIN_LINES_MAX / 2..all - DRAIN_LINES_MAX / 2).contains(&index) {
            if index == DRAIN_LINES_MAX / 2 {
                let left_out = plural((all - DRAIN_LINES_MAX) as u64, "line");
                let _ = writeln!(out, "{:15}{}", "", paint(DIM, &format!("… {left_out} left out; see -o json")));
            }
            continue;
        }
        for (number, line) in message.lines().flat_map(|line| wrap(line, WIDTH - 17)).enumerate() {
            let time = if number == 0 { at.to_string() } else { String::new() };
            let hang = if number == 0 { "" } else { "  " };
            let _ = writeln!(out, "  {}  {hang}{line}", paint(DIM, &format!("{time:>11}")));
        }
    }
    out
}

fn budgets(report: &Report<'_>) -> String {
    let mut table = Table::new(
        2,
        3,
        &[
            (Align::Left, "NAME"),
            (Align::Right, "PODS"),
            (Align::Right, "DESIRED HEALTHY"),
            (Align::Right, "LOWEST HEALTHY"),
            (Align::Right, "ADMITTED"),
            (Align::Right, "DENIED"),
        ],
    );
    for pdb in &report.outcome.pdbs {
        let broken = pdb.min_current_healthy < pdb.desired_healthy;
        let lowest = thousands(u64::from(pdb.min_current_healthy));
        table.row([
            pdb.name.as_str().into(),
            thousands(u64::from(pdb.pods)).into(),
            thousands(u64::from(pdb.desired_healthy)).into(),
            if broken { Cell::styled(BAD, format!("{lowest} !")) } else { lowest.into() },
            thousands(pdb.admitted).into(),
            thousands(pdb.denials).into(),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

fn expectations(checks: &[Checked]) -> String {
    let mut table = Table::new(2, 1, &[(Align::Left, ""), (Align::Left, ""), (Align::Left, "")]);
    for check in checks {
        if check.about_many_runs {
            let actual = format!("  {} in this run; `drainsim test` makes as many as it takes", check.actual);
            table.row(["–".into(), check.text.as_str().into(), Cell::styled(DIM, actual)]);
            continue;
        }
        let (mark, style) = if check.passed { ("✓", GOOD) } else { ("✗", BAD) };
        let actual = Cell::styled(if check.passed { DIM } else { BAD }, format!("  {}", check.actual));
        table.row([Cell::styled(style, mark), check.text.as_str().into(), actual]);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

/// Bulleted lines with a hanging indent.
fn list<'a>(lines: impl Iterator<Item = &'a String>, style: anstyle::Style) -> String {
    let mut out = String::new();
    for line in lines {
        for (number, part) in line.lines().flat_map(|l| wrap(l, WIDTH - 4)).enumerate() {
            let bullet = if number == 0 { paint(style, "-") } else { " ".to_string() };
            let _ = writeln!(out, "  {bullet} {part}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expectation::Expectation;
    use crate::simulation::Outcome;
    use crate::simulation::fixture;

    fn text(outcome: &Outcome, expectations: &[&str]) -> String {
        let setup = fixture::setup();
        let checks: Vec<Checked> =
            expectations.iter().map(|e| Expectation::parse(e).unwrap().evaluate(outcome)).collect();
        let assumptions =
            ["nginx stops at once on SIGTERM (profile `nginx`); set `apps[].reaction` if yours does not, \
                            or measure it: the report cannot know"
                .to_string()];
        let warnings = ["nginx.yaml:12: `topologySpreadConstraints` is not modelled".to_string()];
        let report = Report {
            scenario: "naive-drain",
            setup: &setup,
            outcome,
            expectations: &checks,
            warnings: &warnings,
            assumptions: &assumptions,
            cases: None,
        };
        let text = anstream::adapter::strip_str(&render(&report)).to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH && line == line.trim_end(), "{line:?}");
        }
        text
    }

    #[test]
    fn a_run_with_a_lost_race() {
        insta::assert_snapshot!(text(
            &fixture::outcome(),
            &["failedRequests == 0", "drains.node-1.completed within 60s", "drains.node-9.completed"]
        ));
    }

    #[test]
    fn a_run_without_a_failed_request() {
        insta::assert_snapshot!(text(&fixture::calm_outcome(), &["failedRequests == 0"]));
    }

    #[test]
    fn nothing_at_all_has_no_empty_sections() {
        let mut outcome = fixture::calm_outcome();
        outcome.requests = Requests::default();
        outcome.services.clear();
        outcome.drains.clear();
        outcome.pods.clear();
        outcome.pdbs.clear();
        let text = text(&outcome, &[]);
        assert!(text.starts_with("– no request was sent\n\nRequests\n"), "{text}");
        assert!(!text.contains("Drains") && !text.contains("Services") && !text.contains("Expectations"), "{text}");
    }

    #[test]
    fn a_drain_that_does_not_end_is_told_at_the_top() {
        let mut outcome = fixture::calm_outcome();
        outcome.drains[1].completed_at = None;
        outcome.drains[1].ended_at = None;
        outcome.drains[1].exit_code = None;
        let text = text(&outcome, &[]);
        let line = text.lines().nth(2).unwrap_or_default();
        assert_eq!(line, "✗ the drain of node-2 was still going on when the run ended, 1 eviction denied");
        assert!(text.contains("… node-2: not drained when the run ended, still running; 1 eviction granted"), "{text}");
    }

    #[test]
    fn a_long_drain_is_cut_in_its_middle() {
        let mut outcome = fixture::outcome();
        let line = outcome.drains[0].messages[1].clone();
        outcome.drains[0].messages = vec![line; 500];
        let text = text(&outcome, &[]);
        assert!(text.contains("… 460 lines left out"), "{text}");
    }
}
