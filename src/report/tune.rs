//! The answer of `drainsim tune` for a terminal: the recommendation first, then what it rests on.

pub mod data;

use std::fmt::Write as _;

use super::style::{BAD, BOLD, DIM, GOOD, PLAIN, WIDTH, paint, percent, plural, thousands, wrap};
use super::table::{Align, Cell, Table};
use crate::analysis::tune::{Promise, Trial, Tuned};
use crate::simulation::outcome::{FailureKind, PodActivity};

/// What the answer was asked with.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// What is promised.
    pub promise: Promise,
    /// The longest sleep that was allowed.
    pub most: u64,
    /// `kubectl patch …`, one a workload.
    pub patches: &'a [String],
    /// What was taken for granted.
    pub assumptions: &'a [String],
    /// The command that shows a run that breaks the promise.
    pub replay: Option<&'a str>,
}

/// The grace period that goes with a sleep: what the longest shutdown took, rounded up with a second to spare, and no
/// less than Kubernetes' default of 30 s.
#[must_use]
pub fn grace_seconds(trial: &Trial) -> u64 {
    let needed = trial.shutdown_max.map_or(trial.seconds as f64, |s| s.max(trial.seconds as f64));
    (needed.ceil() as u64 + 1).max(30)
}

/// The answer, with escapes for colours.
#[must_use]
pub fn render(question: &Question<'_>, tuned: &Tuned) -> String {
    let mut out = String::new();
    let promise = promise(question.promise);
    match &tuned.recommended {
        Some(best) => {
            let title = format!("preStop {} s keeps the promise: {promise}", best.seconds);
            let _ = writeln!(out, "{} {}", paint(GOOD, "✓"), paint(BOLD, &title));
            recommendation(&mut out, best, tuned.one_less.as_ref());
        }
        None => {
            let title = format!("cannot be met with a preStop of up to {} s: {promise}", question.most);
            let _ = writeln!(out, "{} {}", paint(BAD, "✗"), paint(BOLD, &title));
            if let Some(last) = tuned.trials.last() {
                decider(&mut out, question, last);
            }
        }
    }
    let _ = writeln!(out, "\n{}", paint(BOLD, "Drain time against loss"));
    out.push_str(&front(tuned));
    if let Some((need, lines)) = &tuned.budget {
        let _ = writeln!(out, "\n{}", paint(BOLD, "Budget: what the sleep is needed for"));
        let intro = format!(
            "  in 99 of 100 runs routes are clean at most {need:.2} s after the listener would have closed without a sleep; \
             with one part at its median that falls by"
        );
        for line in wrap(&intro, WIDTH) {
            let _ = writeln!(out, "{line}");
        }
        let mut table = Table::new(2, 3, &[(Align::Left, ""), (Align::Right, "")]);
        for line in lines.iter().filter(|l| l.saves.abs() >= 0.005).take(8) {
            table.row([line.name.into(), format!("{:+.3} s", -line.saves).into()]);
        }
        out.push_str(&table.render());
    }
    if !question.patches.is_empty() && tuned.recommended.is_some() {
        let _ = writeln!(out, "\n{}", paint(BOLD, "To apply (starts a rollout of the workload)"));
        question.patches.iter().for_each(|patch| {
            let _ = writeln!(out, "  {patch}");
        });
    }
    let _ = writeln!(out, "\n{}", paint(BOLD, "This rests on"));
    let fixed =
        ["the latencies of the scenario: they are assumptions unless they were measured in your cluster".to_string()];
    for line in fixed.iter().chain(question.assumptions).flat_map(|a| wrap(&format!("- {a}"), WIDTH - 2)) {
        let _ = writeln!(out, "  {line}");
    }
    let _ = writeln!(out, "\n{}", paint(DIM, question.scenario));
    out
}

/// `at most 0 requests fail, in 99 % of runs, with 95 % confidence`.
fn promise(promise: Promise) -> String {
    let within = promise.drain_within.map_or(String::new(), |d| format!(" and drains end within {d}"));
    let failed = match promise.failed_max {
        0 => "no request fails".to_string(),
        most => format!("at most {} fail", plural(most, "request")),
    };
    let number = |share: f64| format!("{}", (share * 1e8).round() / 1e6);
    format!("{failed}{within} in {} % of runs, with {} % confidence", number(promise.share), number(promise.confidence))
}

fn recommendation(out: &mut String, best: &Trial, one_less: Option<&Trial>) {
    let high = percent(best.broken_share.high);
    let mut lines = vec![format!(
        "confirmed with {} under seeds that it was not chosen by: {} broke the promise, so at most {high} of all runs do",
        plural(best.runs, "run"),
        thousands(best.broken)
    )];
    if let Some(less) = one_less {
        let Trial { seconds, broken, runs, .. } = less;
        let ends = format!("{} to {}", percent(less.broken_share.low), percent(less.broken_share.high));
        lines.push(match less.shown {
            true => format!(
                "{seconds} s passes with these seeds, too ({broken} of {runs}), but not with those of the search"
            ),
            false => format!("{seconds} s does not: {broken} of {runs} broke the promise ({ends} of all runs)"),
        });
    }
    let grace = grace_seconds(best);
    if let Some(longest) = best.shutdown_max {
        let why = if grace == 30 { ", the default" } else { "" };
        lines.push(format!(
            "terminationGracePeriodSeconds {grace}{why}: the longest shutdown took {longest:.1} s from the deletion on"
        ));
    }
    if best.killed > 0 {
        lines.push(format!("containers were killed in {}: they do not stop by themselves", plural(best.killed, "run")));
    }
    if let Some((median, longest)) = best.drain {
        lines.push(format!("drains take {median:.1} s in the median, {longest:.1} s at the longest"));
    }
    for line in lines.iter().flat_map(|l| wrap(l, WIDTH - 2)) {
        let _ = writeln!(out, "  {line}");
    }
}

/// Which assumption decides that it cannot be met.
fn decider(out: &mut String, question: &Question<'_>, last: &Trial) {
    let mut lines =
        vec![format!("with {} s, {} of {} broke it", last.seconds, thousands(last.broken), plural(last.runs, "run"))];
    if last.late > last.losing {
        lines.push("the time allowed for the drain decides: a drain takes at least the sleep, and what the budget makes it wait".to_string());
        if let Some((median, longest)) = last.drain {
            lines.push(format!("drains took {median:.1} s in the median, {longest:.1} s at the longest"));
        }
    } else if let Some(((kind, activity), count)) = last.kinds.iter().max_by_key(|(_, count)| **count) {
        let all: u64 = last.kinds.values().sum();
        lines.push(format!(
            "{} of {} failed requests: {}",
            thousands(*count),
            thousands(all),
            because(*kind, *activity)
        ));
    }
    if let Some(replay) = question.replay {
        lines.push(replay.to_string());
    }
    for line in lines.iter().flat_map(|l| wrap(l, WIDTH - 2)) {
        let _ = writeln!(out, "  {line}");
    }
}

/// Why a longer sleep does not help.
fn because(kind: FailureKind, activity: PodActivity) -> &'static str {
    match (kind, activity) {
        (FailureKind::NoEndpoints, _) => {
            "no pod was ready: the number of replicas, the budget or the start-up time decides, not preStop"
        }
        (FailureKind::Refused, PodActivity::Starting) => "refused by a pod that starts: its readiness probe decides",
        (FailureKind::ResetInFlight, _) => {
            "cut while being worked on: what the application does on its stop signal decides (apps), or its grace period"
        }
        (FailureKind::ResetIdle, _) => "sent on a connection just closed: keep-alive of clients and server decides",
        (FailureKind::ConnectTimeout | FailureKind::RequestTimeout, PodActivity::NodeOff) => {
            "sent to a node that is off: no preStop hook runs there"
        }
        (FailureKind::Refused | FailureKind::ConnectTimeout, _) => {
            "routes outlive the listener even so: the latencies on the way to kube-proxy decide"
        }
        _ => "not a matter of preStop",
    }
}

/// All candidates: longer drains, fewer losses.
fn front(tuned: &Tuned) -> String {
    let mut table = Table::new(
        2,
        3,
        &[
            (Align::Right, "PRESTOP"),
            (Align::Right, "DRAIN\nP50"),
            (Align::Right, "\nMAX"),
            (Align::Right, "RUNS"),
            (Align::Right, "BROKEN"),
            (Align::Left, "OF ALL RUNS"),
            (Align::Left, ""),
        ],
    );
    let best = tuned.recommended.as_ref().map(|t| t.seconds);
    for trial in &tuned.trials {
        let (p50, max) = trial
            .drain
            .map_or(("–".to_string(), "–".to_string()), |(a, b)| (format!("{a:.2}s"), format!("{b:.2}s")));
        let ends = format!("{} to {}", percent(trial.broken_share.low), percent(trial.broken_share.high));
        let (style, note) = match (trial.shown, best == Some(trial.seconds)) {
            (_, true) => (GOOD, "recommended"),
            (true, false) => (PLAIN, "longer than needed"),
            (false, false) => (BAD, "too short"),
        };
        table.row([
            Cell::from(format!("{}s", trial.seconds)),
            p50.into(),
            max.into(),
            thousands(trial.runs).into(),
            thousands(trial.broken).into(),
            ends.into(),
            Cell::styled(style, note),
        ]);
    }
    let legend = "  runs end with the first exception too many; the same seeds for all";
    format!("{}{}\n", table.render(), paint(DIM, legend))
}
