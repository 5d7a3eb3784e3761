//! What comes out, by what applications do of which nothing is known.

use schemars::JsonSchema;
use serde::Serialize;

use super::style::{BAD, PLAIN, WARN, WIDTH, paint, plural, share, thousands, wrap};
use super::table::{Align, Cell, Table};
use crate::analysis::attitudes::{Case, Cases};
use crate::scenario::unknown_apps::Attitude;

/// More containers are not named one by one.
const NAMED_MAX: usize = 3;

/// The line below the verdict: between how many and how many requests fail.
pub(super) fn line(cases: Option<&Cases>) -> String {
    let Some(cases) = cases.filter(|cases| cases.differ()) else { return String::new() };
    let (fewest, most) = cases.failed();
    let signal = cases.stop_signal.unwrap_or("their stop signal");
    let what = if fewest == most {
        format!("how long it takes depends on what unknown applications do on {signal}")
    } else {
        format!(
            "between {} and {} fail, depending on what unknown applications do on {signal}",
            thousands(fewest),
            plural(most, "request")
        )
    };
    format!("{} {what}\n", paint(WARN, "–"))
}

/// A table of the cases, and how to decide; nothing if it does not matter.
pub(super) fn render(cases: Option<&Cases>) -> String {
    let Some(cases) = cases.filter(|cases| cases.differ()) else { return String::new() };
    let claims = cases.list.iter().any(|case| !case.broken.is_empty());
    let mut columns = vec![
        (Align::Left, "ON THEIR STOP SIGNAL THEY"),
        (Align::Right, "FAILED"),
        (Align::Right, "RATE"),
        (Align::Right, "LONGEST DRAIN"),
    ];
    columns.extend(claims.then_some((Align::Left, "EXPECTATIONS THAT FAIL")));
    let mut table = Table::new(2, 3, &columns);
    for (number, case) in cases.list.iter().enumerate() {
        let failed = case.requests.failed();
        let taken = if number == 0 { " (taken)" } else { "" };
        let drain = case.longest_drain.map_or("–".to_string(), |took| format!("{:.3}s", took.as_secs_f64()));
        let mut cells = vec![
            format!("{}{taken}", words(case.attitude)).into(),
            Cell::styled(if failed > 0 { BAD } else { PLAIN }, thousands(failed)),
            share(failed, case.requests.sent).into(),
            drain.into(),
        ];
        cells.extend(claims.then(|| case.broken.join("; ").into()));
        table.row(cells);
    }
    let mut out = table.render();
    let who = match cases.containers.as_slice() {
        few if few.len() <= NAMED_MAX => few.join("; "),
        many => format!("{}, and {} more", many[..NAMED_MAX].join("; "), many.len() - NAMED_MAX),
    };
    let advice = format!(
        "Which it is decides, and drainsim cannot know: {who}. Say it (`apps[].profile`, or `--app` of `drainsim drain`): \
         `drainsim schema profiles` lists servers, and docs/apps.md tells what each loses."
    );
    for line in wrap(&advice, WIDTH - 2) {
        out.push_str(&format!("  {line}\n"));
    }
    out
}

fn words(attitude: Attitude) -> &'static str {
    match attitude {
        Attitude::ExitsAtOnce => "exit at once",
        Attitude::WindsDown => "wind down",
        Attitude::Ignores => "ignore it",
    }
}

/// The same as data.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnknownApps {
    /// The containers of which nothing is known.
    pub containers: Vec<String>,
    /// What comes out if they exit at once (which is what the rest of the result is about), wind down, or ignore the signal.
    pub cases: Vec<UnknownCase>,
}

/// What comes out if unknown applications do this.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnknownCase {
    /// `exitsAtOnce`, `windsDown` or `ignores`.
    pub on_stop_signal: &'static str,
    /// Requests of all clients, in all runs.
    pub sent: u64,
    /// Those that failed.
    pub failed: u64,
    /// The longest that a drain took; `null` if there was none, or not all came to their end.
    pub longest_drain_seconds: Option<f64>,
    /// The expectations that failed, in any run.
    pub failed_expectations: Vec<String>,
}

impl UnknownApps {
    /// Of cases.
    #[must_use]
    pub fn new(cases: &Cases) -> Self {
        let case = |case: &Case| UnknownCase {
            on_stop_signal: match case.attitude {
                Attitude::ExitsAtOnce => "exitsAtOnce",
                Attitude::WindsDown => "windsDown",
                Attitude::Ignores => "ignores",
            },
            sent: case.requests.sent,
            failed: case.requests.failed(),
            longest_drain_seconds: case.longest_drain.map(crate::engine::Duration::as_secs_f64),
            failed_expectations: case.broken.clone(),
        };
        Self { containers: cases.containers.clone(), cases: cases.list.iter().map(case).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::outcome::Requests;

    #[test]
    fn what_has_no_expectations_has_no_column_of_them() {
        let case = |attitude, sent, broken: &[&str]| Case {
            attitude,
            requests: Requests { sent, ..Requests::default() },
            longest_drain: None,
            broken: broken.iter().map(ToString::to_string).collect(),
        };
        let table = |broken: &[&str]| {
            let list = vec![
                case(Attitude::ExitsAtOnce, 7, &[]),
                Case {
                    longest_drain: Some(crate::engine::Duration::from_secs(1)),
                    ..case(Attitude::Ignores, 7, broken)
                },
            ];
            let cases = Cases { containers: vec!["container app".into()], stop_signal: None, list };
            anstream::adapter::strip_str(&render(Some(&cases))).to_string()
        };
        assert!(table(&[]).lines().next().unwrap().ends_with("LONGEST DRAIN"), "{}", table(&[]));
        assert!(table(&["failedRequests == 0"]).contains("EXPECTATIONS THAT FAIL"));
    }
}
