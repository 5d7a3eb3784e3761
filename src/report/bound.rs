//! The answer of `drainsim bound`, for a terminal and as data.

use std::fmt::Write as _;

use serde::Serialize;

use super::style::{BAD, BOLD, DIM, GOOD, PLAIN, WIDTH, and, paint, plural, seconds, thousands, wrap};
use super::table::{Align, Cell, Table};
use crate::analysis::bound::order::Orders;
use crate::analysis::bound::race::{Race, Step};
use crate::analysis::bound::replay::Attained;
use crate::analysis::bound::{Bound, Chain, Worst};
use crate::simulation::Outcome;

/// What is not in the bound, whatever the scenario.
pub const NOT_COVERED: [&str; 3] = [
    "connections that were open before: kept-alive ones go on to the pod, and what is in flight may be cut when it exits",
    "restarts of the control plane, lost watches, and writes that the apiserver refuses for load",
    "other routers than kube-proxy and ingress-nginx: load balancers outside the cluster, DNS, a service mesh",
];

/// All that is told.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// The quantile that stands for a longest span.
    pub quantile: f64,
    /// The bound.
    pub bound: &'a Bound,
    /// The sleep that covers it.
    pub cover: &'a Cover,
    /// The run that comes nearest, if one was looked for and found.
    pub attained: Option<&'a Attained>,
    /// How many seeds were tried for it at most.
    pub tried: u32,
    /// The command that shows that run.
    pub replay: &'a str,
    /// All orders of the steps, with one other change, with two.
    pub orders: &'a [Orders],
    /// What was taken for granted because no manifest can tell it.
    pub assumptions: &'a [String],
}

/// What a preStop sleep can do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cover {
    /// This sleep, in whole seconds, and no shorter one; and the commands that set it.
    #[serde(rename_all = "camelCase")]
    Sleep {
        /// The sleep.
        seconds: u64,
        /// The grace period has to be above this many seconds.
        grace_above_seconds: u64,
        /// `kubectl patch …`.
        patches: Vec<String>,
    },
    /// None does, and why.
    None(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    scenario: &'a str,
    quantile: f64,
    deficit_seconds: f64,
    workloads: Vec<WorkloadData<'a>>,
    alone: bool,
    hops_by_quantile: Vec<&'static str>,
    premises: &'a [String],
    outages: &'a [String],
    not_covered: [&'static str; 3],
    cover: &'a Cover,
    attained: Option<AttainedData<'a>>,
    seeds_tried_at_most: u32,
    orders: Vec<OrdersData>,
    races: Vec<RaceData<'a>>,
    replay: &'a str,
    assumptions: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkloadData<'a> {
    workload: &'a str,
    deficit_seconds: f64,
    propagation: Vec<TermData<'a>>,
    shutdown: Vec<TermData<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrdersData {
    other_changes: u8,
    states: usize,
    longest_seconds: f64,
    schedule: Vec<(f64, String)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RaceData<'a> {
    budget: &'a str,
    disruptions_allowed: u32,
    states: usize,
    both_admitted: Option<Vec<String>>,
    conflict: Option<Vec<String>>,
    denied: Option<Vec<String>>,
    overdrawn: Option<Vec<String>>,
}

#[derive(Serialize)]
struct TermData<'a> {
    from: &'static str,
    what: &'a str,
    seconds: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttainedData<'a> {
    seed: u64,
    pod: &'a str,
    deficit_seconds: f64,
    short_of_bound_seconds: f64,
    failed_requests: u64,
}

/// The answer as data.
#[must_use]
pub fn data(answer: &Answer<'_>) -> serde_json::Value {
    let float = |nanos: i64| nanos as f64 / 1e9;
    let bound = answer.bound;
    let worst = bound.worst[0].deficit();
    let data = Data {
        scenario: answer.scenario,
        quantile: answer.quantile,
        deficit_seconds: float(worst),
        workloads: (bound.worst.iter())
            .map(|w| WorkloadData {
                workload: &w.workload,
                deficit_seconds: float(w.deficit()),
                propagation: terms_of(&w.propagation),
                shutdown: terms_of(&w.shutdown),
            })
            .collect(),
        alone: bound.alone,
        hops_by_quantile: bound.cut.iter().map(|hop| hop.name()).collect(),
        premises: &bound.premises,
        outages: &bound.outages,
        not_covered: NOT_COVERED,
        cover: answer.cover,
        attained: answer.attained.map(|a| AttainedData {
            seed: a.seed,
            pod: &a.pod,
            deficit_seconds: float(a.deficit),
            short_of_bound_seconds: float(worst - a.deficit),
            failed_requests: a.failed,
        }),
        seeds_tried_at_most: answer.tried,
        orders: (answer.orders.iter())
            .map(|orders| OrdersData {
                other_changes: orders.others,
                states: orders.states,
                longest_seconds: orders.longest.as_secs_f64(),
                schedule: orders.schedule.iter().map(|(step, at)| (float(*at), step.to_string())).collect(),
            })
            .collect(),
        races: bound.races.iter().map(|(budget, race)| race_data(budget, race)).collect(),
        replay: answer.replay,
        assumptions: answer.assumptions,
    };
    serde_json::to_value(data).unwrap_or_default()
}

fn terms_of(chain: &Chain) -> Vec<TermData<'_>> {
    chain.terms.iter().map(|t| TermData { from: t.from, what: &t.what, seconds: t.span.as_secs_f64() }).collect()
}

fn race_data<'a>(budget: &'a str, race: &Race) -> RaceData<'a> {
    let steps = |way: &Option<Vec<Step>>| way.as_ref().map(|way| way.iter().map(Step::to_string).collect());
    RaceData {
        budget,
        disruptions_allowed: race.allowed,
        states: race.states,
        both_admitted: steps(&race.both),
        conflict: steps(&race.conflict),
        denied: steps(&race.denied),
        overdrawn: steps(&race.overdrawn),
    }
}

/// The answer, with escapes for colours.
#[must_use]
pub fn render(answer: &Answer<'_>) -> String {
    let mut out = String::new();
    let bound = answer.bound;
    let worst = &bound.worst[0];
    let deficit = worst.deficit();
    let (style, sign, title) = if deficit > 0 {
        let alike = bound.worst.iter().filter(|w| w.deficit() == deficit).count() as u64;
        let others = if alike > 1 { format!(" and {}", plural(alike - 1, "other workload")) } else { String::new() };
        let title = format!(
            "the last route can outlive the listener of {}{others}: by {} at most",
            worst.workload,
            seconds(deficit)
        );
        (BAD, "✗", title)
    } else {
        let title = format!("every listener outlives the last route to it: by {} at least", seconds(deficit));
        (GOOD, "✓", title)
    };
    let _ = writeln!(out, "{} {}", paint(style, sign), paint(BOLD, &title));
    if !bound.outages.is_empty() {
        let (they_have, their) = if bound.outages.len() == 1 { ("it has", "its") } else { ("they have", "their") };
        let text = format!(
            "not so for {}: {they_have} no endpoint when {their} only pod goes, and then kube-proxy sends to it as long as it \
             terminates; it takes more replicas first",
            some(&bound.outages)
        );
        for (number, line) in wrap(&text, WIDTH - 2).iter().enumerate() {
            let mark = if number == 0 { paint(BAD, "✗") } else { " ".to_string() };
            let _ = writeln!(out, "{mark} {line}");
        }
    }
    cover(&mut out, answer.cover, deficit);
    let mut told: Vec<&Worst> = Vec::new();
    for worst in &bound.worst {
        let is_like = |other: &Worst| other.propagation == worst.propagation && other.shutdown == worst.shutdown;
        if told.iter().any(|other| is_like(other)) {
            continue;
        }
        told.push(worst);
        let alike: Vec<String> = bound.worst.iter().filter(|w| is_like(w)).map(|w| w.workload.clone()).collect();
        for line in wrap(&format!("{}: from the deletion of a pod", some(&alike)), WIDTH) {
            let first = if line.starts_with(&alike[0]) { "\n" } else { "" };
            let _ = writeln!(out, "{first}{}", paint(BOLD, &line));
        }
        let mut table = Table::new(2, 3, &[(Align::Left, ""), (Align::Left, ""), (Align::Right, "")]);
        chain(&mut table, "the longest way into the last router", &worst.propagation);
        chain(&mut table, "the shortest way to a closed listener", &worst.shutdown);
        out.push_str(&table.render());
    }
    let _ = writeln!(out, "\n{}", paint(BOLD, "A run that shows it"));
    attained(&mut out, answer, deficit);
    orders(&mut out, answer.orders, &worst.propagation);
    for (budget, found) in &bound.races {
        race(&mut out, budget, found);
    }
    let _ = writeln!(out, "\n{}", paint(BOLD, "This holds if"));
    let mut conditions = Vec::new();
    if !bound.cut.is_empty() {
        let names: Vec<String> = bound.cut.iter().map(|hop| hop.name().to_string()).collect();
        let share = (answer.quantile * 1e8).round() / 1e6;
        conditions.push(format!(
            "none of these takes longer than its {share} % quantile, for they have no longest span: {}",
            names.join(", ")
        ));
    }
    conditions.extend(bound.premises.iter().cloned());
    conditions
        .push("the latencies are those of your cluster: they are assumptions unless they were measured there".into());
    conditions.extend(answer.assumptions.iter().cloned());
    list(&mut out, &conditions);
    let _ = writeln!(out, "\n{}", paint(BOLD, "Not in it"));
    list(&mut out, &NOT_COVERED.map(String::from));
    let _ = writeln!(out, "\n{}", paint(DIM, answer.scenario));
    out
}

/// The first few of many names.
fn some(names: &[String]) -> String {
    const MANY: usize = 4;
    match names {
        [first @ .., _, _] if names.len() > MANY => {
            let first = &first[..MANY - 1];
            format!("{} and {} more", first.join(", "), names.len() - first.len())
        }
        _ => and(names),
    }
}

fn list(out: &mut String, items: &[String]) {
    for line in items.iter().flat_map(|item| wrap(&format!("- {item}"), WIDTH - 2)) {
        let _ = writeln!(out, "  {line}");
    }
}

fn cover(out: &mut String, cover: &Cover, deficit: i64) {
    let text = match cover {
        Cover::Sleep { seconds: 0, .. } => "no preStop sleep is needed for that".to_string(),
        Cover::Sleep { seconds, grace_above_seconds, .. } => format!(
            "a preStop sleep of {seconds} s covers it, whatever comes when, and no shorter one does; with a \
             terminationGracePeriodSeconds above {grace_above_seconds} and the time that the process needs to end"
        ),
        Cover::None(why) => format!("no preStop sleep covers it: {why}"),
    };
    for line in wrap(&text, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
    if let (Cover::Sleep { patches, .. }, true) = (cover, deficit > 0) {
        for patch in patches {
            let _ = writeln!(out, "  {patch}");
        }
    }
}

fn chain(table: &mut Table, title: &str, chain: &Chain) {
    let span = |s: crate::engine::Duration| seconds(i64::try_from(s.as_nanos()).unwrap_or(i64::MAX));
    table.row([Cell::styled(BOLD, title), Cell::from(""), Cell::styled(BOLD, span(chain.total()))]);
    for term in chain.terms.iter().filter(|t| !t.span.is_zero()) {
        table.row([Cell::styled(PLAIN, format!("  {}", term.from)), term.what.clone().into(), span(term.span).into()]);
    }
}

/// What orders of the steps come to: the sum takes everything that may be in the way, whether or not it can be at once.
fn orders(out: &mut String, all: &[Orders], sum: &Chain) {
    let Some(last) = all.last() else { return };
    let nanos = |span: crate::engine::Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    let _ = writeln!(out, "\n{}", paint(BOLD, "All orders of the steps into the last router"));
    let one = |orders: &Orders| {
        let changes = plural(u64::from(orders.others), "other change");
        let states = thousands(orders.states as u64);
        format!("with {changes} of the Service {} at most ({states} states)", seconds(nanos(orders.longest)))
    };
    let text = format!(
        "{}; the sum above, {}, is for any number of changes. The longest with {}, from the deletion on:",
        all.iter().map(one).collect::<Vec<_>>().join(", "),
        seconds(nanos(sum.total())),
        last.others
    );
    for line in wrap(&text, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
    for (step, at) in &last.schedule {
        let sign = if *at < 0 { '-' } else { ' ' };
        let _ = writeln!(out, "    {sign}{:>9}  {step}", seconds(*at));
    }
}

fn race(out: &mut String, budget: &str, race: &Race) {
    let _ = writeln!(out, "\n{}", paint(BOLD, &format!("Two evictions at once: {budget}")));
    let verdict = match &race.overdrawn {
        None => "no order admits more",
        Some(_) => "some order admits more",
    };
    let text = format!(
        "it allows {}; of all orders of two calls and the disruption controller's syncs ({} states) {verdict}",
        plural(race.allowed.into(), "disruption"),
        thousands(race.states as u64)
    );
    for line in wrap(&text, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
    let ways = [
        ("both are admitted", &race.both),
        ("one meets a conflict and tries again after 500 ms", &race.conflict),
        ("one is refused with 429", &race.denied),
        ("the budget is overdrawn", &race.overdrawn),
    ];
    for (what, way) in ways {
        let Some(way) = way else { continue };
        let _ = writeln!(out, "  shortest way in which {what}:");
        for (number, step) in way.iter().enumerate() {
            let _ = writeln!(out, "    {}. {step}", number + 1);
        }
    }
}

/// The line that says why fewer seeds are tried than usual.
#[must_use]
pub fn fewer_seeds(run: &Outcome, tried: u32, usual: u32) -> String {
    let (events, sent) = (thousands(run.events), thousands(run.requests.sent));
    let seeds = plural(tried.into(), "seed");
    format!(
        "runs of this scenario are long ({events} events, {sent} requests each): {seeds} instead of {usual} are tried for a run \
         that shows the bound; --runs N tries N\n"
    )
}

fn attained(out: &mut String, answer: &Answer<'_>, deficit: i64) {
    let Some(attained) = answer.attained else {
        let runs = plural(answer.tried.into(), "run");
        let text = match answer.bound.needs_ready.is_empty() {
            true => format!("none of {runs} took a pod away that somebody sent to"),
            false => format!("in none of {runs} did a pod go whose Services had another ready endpoint all the time"),
        };
        for line in wrap(&text, WIDTH - 2) {
            let _ = writeln!(out, "  {line}");
        }
        return;
    };
    let _ = writeln!(out, "  {}", answer.replay);
    let gap = deficit - attained.deficit;
    let words = |nanos: i64| match nanos {
        n if n > 0 => format!("{} after its listener has closed", seconds(n)),
        n => format!("{} before its listener closes", seconds(n)),
    };
    let near = if gap < 500_000 {
        "which is the bound".to_string()
    } else {
        format!(
            "{} short of the bound, the nearest of {} and of spans of the hops that are in neither chain: the rest are waits \
             for other pods' changes, which would have to come at their worst instants",
            seconds(gap),
            plural(answer.tried.into(), "seed")
        )
    };
    let text = format!(
        "the last route to {} goes {}, {near}; {} in it",
        attained.pod,
        words(attained.deficit),
        match attained.failed {
            0 => "no request fails".to_string(),
            n => format!("{} fail", plural(n, "request")),
        }
    );
    for line in wrap(&text, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
}
