//! The report of many runs for a terminal.

use std::fmt::Write as _;

use super::style::{
    BAD, BOLD, DIM, GOOD, PLAIN, WIDTH, and, paint, percent, plural, seconds, share, shorten, thousands, wrap,
};
use super::table::{Align, Cell, Table};
use super::text::{requests, section};
use crate::analysis::judge::Verdict;
use crate::analysis::open_drain::OpenDrain;
use crate::analysis::runs::{CONFIDENCE, ExpectationSummary, Percentile, Run, Spread, Summary};
use crate::analysis::statistics::Interval;

use super::cases;
use super::json::Context;

/// The report, with escapes for colours.
#[must_use]
pub fn render(context: &Context<'_>, summary: &Summary, runs: &[Run]) -> String {
    let mut out = String::new();
    head(&mut out, summary);
    out.push_str(&cases::line(context.cases));
    section(&mut out, "Requests of all runs", &requests(&summary.requests, None));
    section(&mut out, "Unknown applications", &cases::render(context.cases));
    section(&mut out, "Per run", &spreads(summary));
    section(&mut out, "Expectations", &expectations(&summary.expectations, summary.runs));
    let worst = summary.worst;
    let late = worst.least_slack.filter(|slack| *slack < 0);
    let what = match (worst.failed, late) {
        (0, None) => None,
        (0, Some(slack)) => Some(format!(
            "no run lost a request; in that with seed {} a route outlived its listener by {}, and nobody came just then",
            worst.seed,
            seconds(-slack)
        )),
        (failed, _) => {
            let why = context.worst_cause.map_or_else(String::new, |cause| format!(": {cause}"));
            Some(format!("seed {}: {} failed{why}", worst.seed, plural(failed, "request")))
        }
    };
    if let Some(what) = what {
        let lines: String = wrap(&what, WIDTH - 2).iter().map(|line| format!("  {line}\n")).collect();
        section(&mut out, "Worst run", &format!("{lines}  {}\n", context.replay));
    }
    for (title, lines) in [("Warnings", context.warnings), ("Assumptions", context.assumptions)] {
        let lines = lines.iter().flat_map(|l| wrap(&format!("- {l}"), WIDTH - 2)).map(|l| format!("  {l}\n"));
        section(&mut out, title, &lines.collect::<String>());
    }
    let (first, last) = (runs.first().map_or(0, |r| r.seed), runs.last().map_or(0, |r| r.seed));
    let foot = format!("{} · seeds {first} to {last} · intervals at {:.0} %", context.scenario, CONFIDENCE * 100.0);
    let _ = writeln!(out, "\n{}", paint(DIM, &foot));
    out
}

fn head(out: &mut String, summary: &Summary) {
    let runs = plural(summary.runs, "run");
    let bound = |interval: Interval| format!("{} to {}", percent(interval.low), percent(interval.high));
    match summary.failure_fraction {
        None => {
            let _ = writeln!(out, "– no request was sent in {runs}");
        }
        Some(_) if summary.runs_with_failures == 0 => {
            let _ = writeln!(out, "{} {}", paint(GOOD, "✓"), paint(BOLD, &format!("no request failed in {runs}")));
            let high = percent(summary.runs_with_failures_interval.high);
            let _ = writeln!(out, "  so, at 95 %, fewer than {high} of all runs have any failure (rule of three)");
        }
        Some((fraction, interval)) => {
            let failed = thousands(summary.requests.failed());
            let title = format!(
                "{failed} of {} requests failed in {runs}: {}",
                thousands(summary.requests.sent),
                percent(fraction)
            );
            let _ = writeln!(out, "{} {}", paint(BAD, "✗"), paint(BOLD, &title));
            if let Some(interval) = interval {
                let _ = writeln!(
                    out,
                    "  {} at 95 %, taken over runs: requests of one run share its weather",
                    bound(interval)
                );
            }
            let with = share(summary.runs_with_failures, summary.runs);
            let count = thousands(summary.runs_with_failures);
            let line =
                format!("{count} of {runs} had a failure: {with} ({})", bound(summary.runs_with_failures_interval));
            let _ = writeln!(out, "  {line}");
            if summary.runs_with_failures < 10 && summary.runs > 1 {
                let _ = writeln!(
                    out,
                    "  {}",
                    paint(DIM, "so few runs with failures make the first interval rough; more runs sharpen it")
                );
            }
        }
    }
    for drain in summary.drains.iter().filter(|d| d.completed < d.started) {
        let (open, drains) = (thousands(drain.started - drain.completed), plural(drain.started, "drain"));
        let _ = writeln!(out, "{} {open} of {drains} of {} not completed", paint(BAD, "✗"), drain.node);
        for line in drain.open.iter().flat_map(|(why, count)| {
            let runs = if drain.open.len() == 1 { String::new() } else { format!(" ({} times)", thousands(*count)) };
            wrap(&format!("{}{runs}", open_drain(why)), WIDTH - 2)
        }) {
            let _ = writeln!(out, "  {line}");
        }
    }
    let all = summary.expectations.len() as u64;
    let of = |verdict| summary.expectations.iter().filter(|e| e.verdict == verdict).count();
    let (failed, undecided) = (of(Verdict::Fails), of(Verdict::Undecided));
    let _ = match (all, failed) {
        (0, _) => Ok(()),
        (_, 0) if undecided > 0 => {
            let all = plural(all, "expectation");
            writeln!(out, "– {undecided} of {all} undecided: `drainsim test` makes as many runs as it takes")
        }
        (1, 0) => writeln!(out, "{} the expectation holds in every run", paint(GOOD, "✓")),
        (_, 0) => writeln!(out, "{} all {all} expectations hold in every run", paint(GOOD, "✓")),
        (_, _) => writeln!(out, "{} {failed} of {} failed in some run", paint(BAD, "✗"), plural(all, "expectation")),
    };
}

/// Why a drain was not completed.
pub(super) fn open_drain(why: &OpenDrain) -> String {
    match why {
        OpenDrain::GivenUp(line) => format!("kubectl gave it up: {line}"),
        OpenDrain::Refused(budgets) => match &budgets[..] {
            [one] => format!("the budget {one} still refused evictions when the run ended"),
            many => format!("the budgets {} still refused evictions when the run ended", and(many)),
        },
        OpenDrain::GoingOn => "it was still waiting for pods to go when the run ended".to_string(),
    }
}

/// One line for each number that a run has.
fn spreads(summary: &Summary) -> String {
    let mut table = Table::new(
        2,
        2,
        &[
            (Align::Left, ""),
            (Align::Right, "MEAN"),
            (Align::Left, "(95 %)"),
            (Align::Right, "MIN"),
            (Align::Right, "P50"),
            (Align::Right, "P90"),
            (Align::Right, "P99"),
            (Align::Right, "MAX"),
        ],
    );
    let row = |name: &str, spread: &Spread, unit: &dyn Fn(f64) -> String| {
        let ends = spread.mean_interval.map_or_else(String::new, |i| format!("{} – {}", unit(i.low), unit(i.high)));
        let [p50, p90, p99] = spread.percentiles.map(|p: Percentile| unit(p.value));
        [name.to_string(), unit(spread.mean), ends, unit(spread.min), p50, p90, p99, unit(spread.max)].map(Cell::from)
    };
    table.row(row("failed requests", &summary.failed, &tidy));
    if let Some(expected) = summary.expected_failed.as_ref().filter(|expected| expected.max >= 0.05) {
        table.row(row("… expected", expected, &|v| format!("{v:.2}")));
    }
    if let Some(slack) = &summary.least_slack {
        table.row(row("least slack", slack, &|v| format!("{v:+.3}s")));
    }
    for drain in &summary.drains {
        if let Some(duration) = &drain.duration {
            let name = format!("drain of {}", shorten(&drain.node, 14));
            table.row(row(&name, duration, &|v| format!("{v:.3}s")));
        }
    }
    table.render()
}

/// A count that may be a mean: at most two decimals.
fn tidy(value: f64) -> String {
    if value.fract() == 0.0 && (0.0..1e15).contains(&value) { thousands(value as u64) } else { format!("{value:.2}") }
}

fn expectations(expectations: &[ExpectationSummary], runs: u64) -> String {
    let mut table = Table::new(2, 1, &[(Align::Left, ""), (Align::Left, ""), (Align::Left, ""), (Align::Left, "")]);
    for expectation in expectations {
        let (mark, style) = match expectation.verdict {
            Verdict::Holds => ("✓", GOOD),
            Verdict::Fails => ("✗", BAD),
            Verdict::Undecided => ("–", PLAIN),
        };
        let passed = format!("  {} of {}", thousands(expectation.passed), plural(runs, "run"));
        let first = expectation.first_failed.as_ref();
        let first = first.map_or_else(String::new, |(seed, actual)| format!("  first not with seed {seed}: {actual}"));
        let cells =
            [Cell::styled(style, mark), expectation.text.as_str().into(), passed.into(), Cell::styled(PLAIN, first)];
        table.row(cells);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expectation::Expectation;
    use crate::simulation::Outcome;
    use crate::simulation::fixture;

    fn text(outcomes: impl IntoIterator<Item = Outcome>) -> String {
        let expectations = ["failedRequests == 0", "drains.node-1.completed"].map(|e| Expectation::parse(e).unwrap());
        let runs: Vec<Run> = (7..)
            .zip(outcomes)
            .map(|(seed, mut outcome)| {
                outcome.seed = seed;
                Run::new(&outcome, &expectations)
            })
            .collect();
        let assumptions = ["nginx stops at once on SIGTERM".to_string()];
        let replay = "drainsim run naive-drain.yaml --seed 7";
        let context = Context {
            scenario: "naive-drain",
            warnings: &[],
            assumptions: &assumptions,
            replay,
            worst_cause: Some("refused by web-1: it closed its listener at 10.150s"),
            cases: None,
        };
        let text = anstream::adapter::strip_str(&render(&context, &Summary::new(&runs, &expectations).unwrap(), &runs))
            .to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH && line == line.trim_end(), "{line:?}");
        }
        text
    }

    #[test]
    fn some_runs_with_failures() {
        let outcomes = (0..40).map(|n| if n % 8 == 0 { fixture::outcome() } else { fixture::calm_outcome() });
        insta::assert_snapshot!(text(outcomes));
    }

    #[test]
    fn no_run_with_failures() {
        let text = text(std::iter::repeat_with(fixture::calm_outcome).take(100));
        assert!(text.starts_with("✓ no request failed in 100 runs\n"), "{text}");
        assert!(text.contains("fewer than 2.951 % of all runs"), "{text}");
        assert!(!text.contains("Worst run"), "{text}");
    }

    #[test]
    fn a_worst_run_that_lost_nothing_is_told_as_such() {
        let mut late = fixture::calm_outcome();
        late.pods[0].slack_nanos = Some(-141_000_000);
        let text = text([fixture::calm_outcome(), late]);
        assert!(text.contains("  no run lost a request; in that with seed 8 a route outlived"), "{text}");
        assert!(!text.contains("0 requests failed"), "{text}");
    }

    #[test]
    fn a_drain_that_never_ended_has_no_numbers() {
        let mut outcome = fixture::calm_outcome();
        outcome.drains[1].completed_at = None;
        let text = text([outcome.clone(), outcome]);
        assert!(text.lines().nth(2).unwrap().starts_with("✗ 2 of 2 drains of node-2 not completed"), "{text}");
        assert!(!text.contains("drain of node-2"), "{text}");
    }

    #[test]
    fn why_drains_did_not_end_is_told_with_how_often() {
        let mut given_up = fixture::calm_outcome();
        let drain = &mut given_up.drains[0];
        (drain.completed_at, drain.ended_at) = (None, Some(crate::engine::Time::from_secs(9)));
        let line = "cannot delete Pods with local storage (use --delete-emptydir-data to override): shop/a-1";
        drain.messages.push((crate::engine::Time::from_secs(9), line.into()));
        let mut other = given_up.clone();
        other.drains[0].messages.last_mut().unwrap().1 = line.replace("a-1", "a-2");
        let once = text([given_up.clone(), other.clone(), fixture::calm_outcome()]);
        let why =
            "  kubectl gave it up: cannot delete Pods with local storage (use --delete-emptydir-data to override)";
        assert!(once.contains(why), "{once}");
        (other.drains[0].ended_at, other.drains[0].evictions_denied) = (None, 3);
        other.pdbs[0].denials = 3;
        let both = text([given_up.clone(), given_up, other]);
        assert!(both.contains("override)\n  (2 times)\n") && both.contains("still refused evictions"), "{both}");
    }
}
