//! Two policies side by side, for a terminal and as data.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::json::API_VERSION;
use super::style::{BAD, BOLD, DIM, GOOD, PLAIN, WARN, WIDTH, paint, plural, shorten, thousands, wrap};
use super::table::{Align, Cell, Table};
use crate::analysis::compare::{Change, Comparison, LostByOne, Measure, Unit};
use crate::analysis::runs::{CONFIDENCE, Spread};

/// The names of both sides, and how to see more.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    /// What A is.
    pub a: String,
    /// What B is.
    pub b: String,
    /// Why the example of a request that only A lost was lost, and the command that tells more.
    pub why_a: Option<(String, String)>,
    /// The same for B.
    pub why_b: Option<(String, String)>,
}

/// The report, with escapes for colours.
#[must_use]
pub fn render(sides: &Sides, comparison: &Comparison) -> String {
    let mut out = String::new();
    let regressions = comparison.regressions();
    let (mark, style, title) = match (regressions.is_empty(), comparison.differs()) {
        (false, _) => ("✗", BAD, "B is a step back"),
        (true, true) => ("✓", GOOD, "B is no step back"),
        (true, false) => ("=", PLAIN, "A and B do not differ"),
    };
    let over = format!("{title}, over {}", plural(comparison.pairs, "pair") + " of runs");
    let _ = writeln!(out, "{} {}", paint(style, mark), paint(BOLD, &over));
    for regression in regressions.iter().flat_map(|r| wrap(&format!("- {r}"), WIDTH - 2)) {
        let _ = writeln!(out, "  {regression}");
    }
    let _ = writeln!(out, "  A: {}\n  B: {}\n", sides.a, sides.b);
    out.push_str(&measures(&comparison.measures));
    let (only_a, only_b, p) = comparison.runs_with_failures;
    if only_a + only_b > 0 {
        let (a, b) = (plural(only_a, "run"), plural(only_b, "run"));
        let _ =
            writeln!(out, "\n  {a} with failures under A only, {b} under B only (McNemar's test: p {})", p_value(p));
    }
    for (name, other, lost, why) in
        [("A", "B", &comparison.lost_by_a, &sides.why_a), ("B", "A", &comparison.lost_by_b, &sides.why_b)]
    {
        lost_by_one(&mut out, name, other, lost, why.as_ref());
    }
    for pair in comparison.expectations.iter().filter(|e| e.held_a != e.held_b) {
        let _ = writeln!(out, "\n  {} held in {} runs under A, in {} under B", pair.text, pair.held_a, pair.held_b);
        if let Some((seed, actual)) = &pair.first_broken {
            let _ = writeln!(out, "  first broken with seed {seed}: {actual}");
        }
    }
    if comparison.truncated {
        let _ = writeln!(
            out,
            "\n  {}",
            paint(WARN, "so many requests failed that only the first ones were compared one by one")
        );
    }
    let last = comparison.first_seed.wrapping_add(comparison.pairs - 1);
    let foot = format!(
        "seeds {} to {last}, the same for both · paired differences, Student's and bootstrap interval joined, {:.0} %",
        comparison.first_seed,
        CONFIDENCE * 100.0
    );
    let _ = writeln!(out, "\n{}", paint(DIM, &foot));
    out
}

fn measures(measures: &[Measure]) -> String {
    let mut table = Table::new(
        2,
        2,
        &[
            (Align::Left, ""),
            (Align::Right, "A\nP50"),
            (Align::Right, "\nP99"),
            (Align::Right, "B\nP50"),
            (Align::Right, "\nP99"),
            (Align::Right, "B − A\nMEAN"),
            (Align::Left, "\n(95 %)"),
            (Align::Right, "RUNS IN WHICH B\nHAS MORE"),
            (Align::Right, "\nLESS"),
            (Align::Left, ""),
        ],
    );
    for measure in measures {
        let unit = measure.unit;
        let percentiles = |s: &Spread| [number(unit, s.percentiles[0].value), number(unit, s.percentiles[2].value)];
        let ([a50, a99], [b50, b99]) = (percentiles(&measure.a), percentiles(&measure.b));
        let difference = &measure.difference;
        let ends = difference
            .interval()
            .map_or_else(String::new, |i| format!("{} to {}", signed(unit, i.low), signed(unit, i.high)));
        let change = match measure.change() {
            Change::Better => Cell::styled(GOOD, "better"),
            Change::Worse if measure.decisive => Cell::styled(BAD, "worse"),
            Change::Worse => Cell::styled(WARN, "worse"),
            Change::Unclear => "unclear".into(),
            Change::Same => "same".into(),
        };
        table.row([
            shorten(&measure.name, 22).into(),
            a50.into(),
            a99.into(),
            b50.into(),
            b99.into(),
            signed(unit, difference.mean).into(),
            ends.into(),
            thousands(difference.above).into(),
            thousands(difference.below).into(),
            change,
        ]);
    }
    table.render()
}

fn lost_by_one(out: &mut String, name: &str, other: &str, lost: &LostByOne, why: Option<&(String, String)>) {
    if lost.count == 0 {
        return;
    }
    let kinds: Vec<String> =
        lost.by_kind.iter().map(|(kind, n)| format!("{} {}", thousands(*n), kind.name())).collect();
    let title = format!(
        "{} lost under {name} and not under {other}, in {}: {}",
        plural(lost.count, "request"),
        plural(lost.runs, "run"),
        kinds.join(", ")
    );
    out.push('\n');
    for line in wrap(&title, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
    if let (Some((seed, (traffic, client, number))), Some((why, command))) = (&lost.example, why) {
        let example =
            format!("for example, with seed {seed}, request {} of {traffic} from {client}: {why}", thousands(*number));
        for line in wrap(&example, WIDTH - 4) {
            let _ = writeln!(out, "    {line}");
        }
        let _ = writeln!(out, "    {command}");
    }
}

fn number(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds => format!("{value:.2}s"),
        Unit::Count if value.fract() == 0.0 => format!("{value:.0}"),
        Unit::Count => format!("{value:.2}"),
    }
}

fn signed(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds => format!("{value:+.2}s"),
        Unit::Count => format!("{value:+.2}"),
    }
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_string() } else { format!("= {p:.3}") }
}

/// The comparison as data.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonResult {
    /// `drainsim/v1alpha1`.
    pub api_version: &'static str,
    /// `Comparison`.
    pub kind: &'static str,
    /// What A is.
    pub a: String,
    /// What B is.
    pub b: String,
    /// The first seed.
    pub first_seed: u64,
    /// How many pairs of runs.
    pub pairs: u64,
    /// How sure the intervals are.
    pub confidence: f64,
    /// Why B is a step back, a sentence each.
    pub regressions: Vec<String>,
    /// The numbers of both.
    pub measures: Vec<MeasureResult>,
    /// Runs with failures under A only.
    pub runs_with_failures_only_a: u64,
    /// Runs with failures under B only.
    pub runs_with_failures_only_b: u64,
    /// The p-value of McNemar's test of these two.
    pub mc_nemar_p_value: f64,
    /// Requests that were lost under A and not under B.
    pub lost_only_by_a: u64,
    /// Requests that were lost under B and not under A.
    pub lost_only_by_b: u64,
}

/// One number under both policies.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeasureResult {
    /// What it is.
    pub name: String,
    /// `count` or `seconds`.
    pub unit: &'static str,
    /// `better`, `worse`, `unclear` or `same`: B against A.
    pub change: &'static str,
    /// The medians of A and B.
    pub p50: [f64; 2],
    /// The 99th percentiles of A and B.
    pub p99: [f64; 2],
    /// The mean of B − A.
    pub mean_difference: f64,
    /// The lower end of its interval; null for one pair.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// In how many pairs B has more.
    pub above: u64,
    /// In how many pairs B has less.
    pub below: u64,
}

impl ComparisonResult {
    /// The data of a comparison.
    #[must_use]
    pub fn new(sides: &Sides, comparison: &Comparison) -> Self {
        let (only_a, only_b, p) = comparison.runs_with_failures;
        Self {
            api_version: API_VERSION,
            kind: "Comparison",
            a: sides.a.clone(),
            b: sides.b.clone(),
            first_seed: comparison.first_seed,
            pairs: comparison.pairs,
            confidence: CONFIDENCE,
            regressions: comparison.regressions(),
            measures: comparison.measures.iter().map(MeasureResult::new).collect(),
            runs_with_failures_only_a: only_a,
            runs_with_failures_only_b: only_b,
            mc_nemar_p_value: p,
            lost_only_by_a: comparison.lost_by_a.count,
            lost_only_by_b: comparison.lost_by_b.count,
        }
    }
}

impl MeasureResult {
    fn new(measure: &Measure) -> Self {
        let interval = measure.difference.interval();
        Self {
            name: measure.name.clone(),
            unit: match measure.unit {
                Unit::Count => "count",
                Unit::Seconds => "seconds",
            },
            change: match measure.change() {
                Change::Better => "better",
                Change::Worse => "worse",
                Change::Unclear => "unclear",
                Change::Same => "same",
            },
            p50: [measure.a.percentiles[0].value, measure.b.percentiles[0].value],
            p99: [measure.a.percentiles[2].value, measure.b.percentiles[2].value],
            mean_difference: measure.difference.mean,
            low: interval.map(|i| i.low),
            high: interval.map(|i| i.high),
            above: measure.difference.above,
            below: measure.difference.below,
        }
    }
}
