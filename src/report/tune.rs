//! The answer of `drainsim tune` for a terminal: the recommendation first, then what it rests on.

pub mod data;

use std::fmt::Write as _;

use super::style::{BAD, BOLD, DIM, GOOD, PLAIN, WIDTH, paint, percent, plural, thousands, wrap};
use super::table::{Align, Cell, Table};
use crate::analysis::open_drain::OpenDrain;
use crate::analysis::tune::budgets::{Scaled, Turned, said};
use crate::analysis::tune::{Part, Promise, Trial, Tuned, Worth};
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
    /// Whether budgets were to stay as they are.
    pub keep_budgets: bool,
    /// What the sleep is needed for: the 99th percentile, seconds, and what each hop adds.
    pub parts: Option<&'a (f64, Vec<Part>)>,
    /// The shortest and the longest grace period of the pods that get the sleep, seconds, as they are now.
    pub grace: (u64, u64),
    /// `kubectl patch …`, one an object.
    pub patches: &'a [String],
    /// The same with more replicas.
    pub scaled_patches: &'a [String],
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
            let changed: Vec<String> = tuned.changed().map(|(b, allowed)| change(b, allowed)).collect();
            let title = match &changed[..] {
                [] => format!("preStop {} s keeps the promise: {promise}", best.seconds),
                _ => format!("preStop {} s and {} keep the promise: {promise}", best.seconds, changed.join(", ")),
            };
            title_line(&mut out, GOOD, "✓", &title);
            recommendation(&mut out, question, best, tuned.one_less.as_ref());
            budget_lines(&mut out, tuned, best);
        }
        None => {
            let budgets = match (tuned.budgets.is_empty(), question.keep_budgets) {
                (true, _) => "",
                (false, true) => " and the budgets that there are",
                (false, false) => " and any budgets",
            };
            let title = format!("cannot be met with a preStop of up to {} s{budgets}: {promise}", question.most);
            title_line(&mut out, BAD, "✗", &title);
            if let Some(decisive) = &tuned.decisive {
                decider(&mut out, question, tuned, decisive);
            }
        }
    }
    let _ = writeln!(out, "\n{}", paint(BOLD, "Drain time against loss"));
    out.push_str(&front(tuned));
    if let Some((need, lines)) = question.parts {
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
        let _ = writeln!(out, "\n{}", paint(BOLD, "To apply (a change of the pod template starts a rollout)"));
        question.patches.iter().for_each(|patch| {
            let _ = writeln!(out, "  {patch}");
        });
    }
    if let Some((scaled, budgets, trial)) = &tuned.scaled {
        more_replicas(&mut out, tuned, (scaled, budgets, trial), question.scaled_patches);
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

fn title_line(out: &mut String, style: anstyle::Style, mark: &str, title: &str) {
    for (number, line) in wrap(title, WIDTH - 2).into_iter().enumerate() {
        let mark = if number == 0 { paint(style, mark) } else { " ".to_string() };
        let _ = writeln!(out, "{mark} {}", paint(BOLD, &line));
    }
}

/// `no request fails and drains end, in 99 % of runs, with 95 % confidence`.
fn promise(promise: Promise) -> String {
    let failed = match promise.failed_max {
        0 => "no request fails".to_string(),
        most => format!("at most {} fail", plural(most, "request")),
    };
    let within = promise.drain_within.map_or(String::new(), |d| format!(" within {d}"));
    let stay = if promise.ready_min == Some(1) { "stays" } else { "stay" };
    let ready = promise.ready_min.map_or(String::new(), |n| format!(", {} {stay} ready", plural(n.into(), "endpoint")));
    let number = |share: f64| format!("{}", (share * 1e8).round() / 1e6);
    let (share, confidence) = (number(promise.share), number(promise.confidence));
    format!("{failed}{ready} and drains end{within} in {share} % of runs, with {confidence} % confidence")
}

/// `default/web with maxUnavailable: 2`.
fn change(budget: &Turned, allowed: u32) -> String {
    format!("{} with {}", budget.full_name(), said(budget.at(allowed)))
}

/// What budgets say in a candidate: `maxUnavailable: 1`, of several how many pods each lets go at once.
#[must_use]
pub fn budgets_of(budgets: &[Turned], allowed: &[u32]) -> String {
    match (budgets, allowed) {
        ([], _) | (_, []) => String::new(),
        ([one], [allowed]) => said(one.at(*allowed)),
        (_, [first, rest @ ..]) if rest.iter().all(|other| other == first) => format!("{first} each"),
        _ => {
            let one = |(budget, allowed): (&Turned, &u32)| format!("{} {allowed}", budget.name);
            budgets.iter().zip(allowed).map(one).collect::<Vec<_>>().join(", ")
        }
    }
}

/// What the budgets of the recommendation are, and what tighter ones would do.
fn budget_lines(out: &mut String, tuned: &Tuned, best: &Trial) {
    let mut lines = Vec::new();
    for (index, (budget, allowed)) in tuned.budgets.iter().zip(&best.allowed).enumerate() {
        let now = said(budget.before);
        let (pods, before) = (plural(budget.pods.into(), "pod"), budget.allowed_before());
        let lets = format!("lets {allowed} of {pods} go at once");
        let mut line = if budget.at(*allowed) == budget.before {
            format!("{} stays as it is: {now}, which {lets}", budget.full_name())
        } else {
            format!(
                "{}: {}, which {lets}; it is {now}, which lets {before} go",
                budget.full_name(),
                said(budget.at(*allowed))
            )
        };
        if let Some((_, tighter)) = tuned.tighter.iter().find(|(of, _)| *of == index) {
            let tighter = match tighter {
                None => "a tighter one lets none go".to_string(),
                Some(t) if t.shown => {
                    format!(
                        "{} passes with these seeds, too, but not with those of the search",
                        said(budget.at(t.allowed[index]))
                    )
                }
                Some(t) => {
                    let what = if t.worth() == Worth::Late { "were late" } else { "broke the promise" };
                    let bad = if t.worth() == Worth::Late { t.late } else { t.broken };
                    format!(
                        "tighter, with {}, {} of {} {what}",
                        said(budget.at(t.allowed[index])),
                        bad,
                        plural(t.runs, "run")
                    )
                }
            };
            let _ = write!(line, "; {tighter}");
        }
        lines.push(line);
    }
    if let Some(least) = best.ready_min {
        lines.push(format!("the fewest ready endpoints of a Service with clients: {least}"));
    }
    for line in lines.iter().flat_map(|l| wrap(l, WIDTH - 2)) {
        let _ = writeln!(out, "  {line}");
    }
}

/// What more replicas would do.
fn more_replicas(out: &mut String, tuned: &Tuned, found: (&[Scaled], &[Turned], &Trial), patches: &[String]) {
    let (scaled, budgets, trial) = found;
    let title = match tuned.recommended {
        Some(_) => "Instead of a wider budget: more replicas",
        None => "With more replicas it can be met",
    };
    let _ = writeln!(out, "\n{}", paint(BOLD, title));
    let count = |s: &Scaled| format!("{}/{} with {} instead of {}", s.kind, s.name, s.replicas, s.before);
    let all = scaled.iter().map(count).collect::<Vec<_>>().join(", ");
    let with: Vec<String> =
        budgets.iter().zip(&trial.allowed).map(|(budget, allowed)| change(budget, *allowed)).collect();
    let ends = percent(trial.broken_share.high);
    let text = format!(
        "{all}, preStop {} s, {}: {} of {} broke the promise, so at most {ends} of all runs do",
        trial.seconds,
        with.join(", "),
        trial.broken,
        plural(trial.runs, "run")
    );
    for line in wrap(&text, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
    patches.iter().for_each(|patch| {
        let _ = writeln!(out, "  {patch}");
    });
}

fn recommendation(out: &mut String, question: &Question<'_>, best: &Trial, one_less: Option<&Trial>) {
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
        let what = match question.grace {
            (30, 30) if grace == 30 => "30, the default".to_string(),
            (shortest, longest) if shortest >= grace && shortest == longest => format!("may stay at {shortest}"),
            (shortest, longest) if shortest >= grace => format!("may stay as it is, {shortest} to {longest}"),
            _ => grace.to_string(),
        };
        lines.push(format!(
            "terminationGracePeriodSeconds {what}: the longest shutdown took {longest:.1} s from the deletion on"
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
fn decider(out: &mut String, question: &Question<'_>, tuned: &Tuned, decisive: &Trial) {
    let budgets = budgets_of(&tuned.budgets, &decisive.allowed);
    let and = if budgets.is_empty() { String::new() } else { format!(" and {budgets}") };
    let broken = format!("{} of {} broke it", thousands(decisive.broken), plural(decisive.runs, "run"));
    let mut lines = vec![format!("with {} s{and}, {broken}", decisive.seconds)];
    if decisive.worth() == Worth::Late {
        lines.extend(what_is_late(question, tuned, decisive));
    } else if decisive.short > decisive.losing {
        let least = decisive.ready_min.unwrap_or(0);
        let text = "pods decide that are not ready: the number of replicas, their start-up time, and what takes them away \
                    without asking a budget; not preStop";
        lines.push(format!("{least} ready endpoints at the fewest: {text}"));
    } else if let Some(((kind, activity), count)) = decisive.kinds.iter().max_by_key(|(_, count)| **count) {
        let all: u64 = decisive.kinds.values().sum();
        lines.push(format!(
            "{} of {} failed requests: {}",
            thousands(*count),
            thousands(all),
            because(*kind, *activity)
        ));
    }
    let tighter =
        |t: &&Trial| t.worth() == Worth::Late && t.allowed.iter().sum::<u32>() < decisive.allowed.iter().sum();
    if let (Worth::Loses, Some(late)) = (decisive.worth(), tuned.trials.iter().rev().find(tighter)) {
        let budgets = budgets_of(&tuned.budgets, &late.allowed);
        let took = match late.drain {
            Some((median, _)) if late.unfinished == 0 => format!("{median:.1} s in the median"),
            _ => "for ever".to_string(),
        };
        lines.push(format!(
            "a tighter budget, {budgets}, keeps more pods ready, but its drains take {took}: both needs more replicas, a \
             faster start, or more time"
        ));
    }
    for line in lines.iter().flat_map(|l| wrap(l, WIDTH - 2)) {
        let _ = writeln!(out, "  {line}");
    }
    if let Some(replay) = question.replay {
        let _ = writeln!(out, "  {replay}");
    }
}

/// Why a drain takes longer than it may.
fn what_is_late(question: &Question<'_>, tuned: &Tuned, decisive: &Trial) -> Vec<String> {
    let mut lines = Vec::new();
    let given_up: Vec<(&String, u64)> = decisive.open.iter().filter_map(|(why, n)| given_up(why, *n)).collect();
    for (words, runs) in &given_up {
        lines.push(format!("in {} kubectl gave a drain up: {words}", plural(*runs, "run")));
    }
    if decisive.open.len() > given_up.len() {
        lines.push(format!("in {} a drain did not end before the run did", plural(decisive.unfinished, "run")));
    }
    if let Some((median, longest)) = decisive.drain {
        lines.push(format!("drains took {median:.1} s in the median, {longest:.1} s at the longest"));
    }
    let within = question.promise.drain_within.map(|d| d.as_secs_f64());
    let same = |t: &&Trial| t.allowed == decisive.allowed && t.seconds < decisive.seconds && t.worth() != Worth::Late;
    let shorter = tuned.trials.iter().filter(same).map(|t| t.seconds).max();
    let wide = tuned.budgets.iter().zip(&decisive.allowed).all(|(budget, allowed)| *allowed == budget.pods);
    let refused: u64 = given_up.iter().map(|(_, runs)| runs).sum();
    if refused >= decisive.unfinished && decisive.late == decisive.unfinished && refused > 0 {
        lines.push("no sleep and no budget changes that".to_string() + &fields_for(&given_up));
        return lines;
    }
    lines.push(match (shorter, decisive.shutdown_max, within) {
        (Some(seconds), ..) => format!(
            "the sleep decides: with {seconds} s drains are in time, but too much is lost; the latencies on the way to \
             kube-proxy make it so long"
        ),
        (None, Some(stop), Some(within)) if stop > within => format!(
            "the time that a pod takes to stop decides: {stop:.1} s from its deletion on, more than the {within:.1} s for \
             the whole drain (apps, preStop)"
        ),
        _ if !wide && question.keep_budgets => {
            "the budgets decide, or the time that replacements take to be ready; leave --keep-budgets out to look for wider \
             ones"
                .to_string()
        }
        _ if tuned.budgets.is_empty() => {
            "no budget holds the drains up: what they wait for is in `drainsim run`, and what kubectl says in -o events".to_string()
        }
        _ => "no budget decides, for all pods may go at once here: how often kubectl asks, and how long pods take to stop, do"
            .to_string(),
    });
    lines
}

fn given_up(why: &OpenDrain, runs: u64) -> Option<(&String, u64)> {
    match why {
        OpenDrain::GivenUp(words) => Some((words, runs)),
        OpenDrain::Refused(_) | OpenDrain::GoingOn => None,
    }
}

/// The fields of the scenario's drain for the flags that kubectl names.
fn fields_for(given_up: &[(&String, u64)]) -> String {
    const FLAGS: [(&str, &str); 3] = [
        ("--ignore-daemonsets", "ignoreDaemonsets: true"),
        ("--delete-emptydir-data", "deleteEmptydirData: true"),
        ("--force", "force: true"),
    ];
    let named = FLAGS.iter().filter(|(flag, _)| given_up.iter().any(|(words, _)| words.contains(flag)));
    match named.map(|(_, field)| *field).collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => String::new(),
        fields => format!("; the flag does, which is `{fields}` in the scenario's drain, where it is meant"),
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
        (FailureKind::Refused | FailureKind::ConnectTimeout, _)
        | (FailureKind::Http502 | FailureKind::Http503, PodActivity::Unattended) => {
            "routes outlive the listener even so: the latencies on the way to kube-proxy decide"
        }
        _ => "not a matter of preStop",
    }
}

/// Whether most requests failed because a Service had no endpoint.
fn for_want_of_endpoints(trial: &Trial) -> bool {
    let all: u64 = trial.kinds.values().sum();
    let wanting = trial.kinds.iter().filter(|((kind, activity), _)| match kind {
        FailureKind::NoEndpoints => true,
        FailureKind::Http503 => *activity != PodActivity::Unattended,
        _ => false,
    });
    2 * wanting.map(|(_, count)| count).sum::<u64>() > all
}

/// All candidates: longer drains, fewer losses. A candidate is on the front if no other one is better in one and in neither
/// worse.
fn front(tuned: &Tuned) -> String {
    let budgets = !tuned.budgets.is_empty();
    let mut columns = vec![(Align::Left, ""), (Align::Right, "PRESTOP")];
    columns.extend(budgets.then_some((Align::Left, if tuned.budgets.len() == 1 { "BUDGET" } else { "PODS AT ONCE" })));
    columns.extend([
        (Align::Right, "DRAIN\nP50"),
        (Align::Right, "\nMAX"),
        (Align::Right, "RUNS"),
        (Align::Right, "BROKEN"),
        (Align::Left, "OF ALL RUNS"),
        (Align::Left, ""),
    ]);
    let mut table = Table::new(2, 3, &columns);
    let best = tuned.recommended.as_ref().map(|t| (t.seconds, &t.allowed));
    for trial in &tuned.trials {
        let never = 2 * trial.unfinished > trial.runs;
        let longest = |b: f64| if trial.unfinished > 0 { "never".to_string() } else { format!("{b:.2}s") };
        let (p50, max) = match trial.drain {
            _ if never => ("never".to_string(), "never".to_string()),
            None => ("–".to_string(), "–".to_string()),
            Some((a, b)) => (format!("{a:.2}s"), longest(b)),
        };
        let ends = format!("{} to {}", percent(trial.broken_share.low), percent(trial.broken_share.high));
        let (style, note) = match (trial.worth(), best == Some((trial.seconds, &trial.allowed))) {
            (_, true) => (GOOD, "recommended"),
            (Worth::Kept, false) => (PLAIN, "more than needed"),
            (Worth::Loses, false) if trial.short > trial.losing => (BAD, "too few ready"),
            (Worth::Loses, false) if for_want_of_endpoints(trial) => (BAD, "nobody ready"),
            (Worth::Loses, false) => (BAD, "too short"),
            (Worth::Late, false) if trial.open.iter().any(|(why, n)| given_up(why, *n).is_some()) => (BAD, "given up"),
            (Worth::Late, false) => (BAD, "too late"),
        };
        let mark = if trial.is_beaten(&tuned.trials) { "" } else { "•" };
        let mut row = vec![Cell::from(mark), format!("{}s", trial.seconds).into()];
        row.extend(budgets.then(|| Cell::from(budgets_of(&tuned.budgets, &trial.allowed))));
        row.extend([
            p50.into(),
            max.into(),
            thousands(trial.runs).into(),
            thousands(trial.broken).into(),
            ends.into(),
            Cell::styled(style, note),
        ]);
        table.row(row);
    }
    let legend = "  • no other one is faster and breaks the promise less often; runs end with the first exception too \
                  many; the same seeds for all";
    let legend: Vec<String> =
        wrap(legend.trim_start(), WIDTH - 2).iter().map(|l| paint(DIM, &format!("  {l}"))).collect();
    format!("{}{}\n", table.render(), legend.join("\n"))
}
