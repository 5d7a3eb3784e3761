//! The reference of expectations, printed from the table that reads them.

use super::style::{BOLD, WIDTH, paint, wrap};
use super::table::{Align, Table};
use crate::scenario::expectation::{Aggregate, Collection, ValueKind, metrics};

/// Every metric that an expectation may use.
#[must_use]
pub fn render() -> String {
    let mut out = String::new();
    let intro = "An expectation is a metric, an operator (== != < <= > >=) and a value; or an event, alone or with \
                 `within` and a duration. `not` before it turns it round. A NAME may end in `*`; several objects are then \
                 taken together. What selects nothing fails.";
    let runs = "About many runs, for `drainsim test`: `… for 200 seeds` asks it of each; `… in 99% of runs` and `p99 of \
                drains.NAME.duration < 10m` of a share of all runs there could be, shown `with 95%`. `… == 37 recorded` is \
                written anew by --update. `at 45s: …` or {at: 45s, that: …} names the time of a state.";
    for line in wrap(intro, WIDTH).into_iter().chain([String::new()]).chain(wrap(runs, WIDTH)) {
        out.push_str(&line);
        out.push('\n');
    }
    for collection in std::iter::once(Collection::Run).chain(Collection::NAMED) {
        let title = match collection {
            Collection::Run => "the run".to_string(),
            named => format!("{}.NAME.…", named.word()),
        };
        let mut table = Table::new(2, 2, &[(Align::Left, ""), (Align::Left, ""), (Align::Left, ""), (Align::Left, "")]);
        for metric in metrics().iter().filter(|m| m.collection == collection) {
            let kind = match metric.kind {
                ValueKind::Count => "number",
                ValueKind::Ratio => "share",
                ValueKind::Number => "decimal",
                ValueKind::Span => "duration",
                ValueKind::Event => "event",
            };
            let together = match metric.aggregate {
                _ if collection == Collection::Run => "",
                Aggregate::Sum => "sum",
                Aggregate::Least => "least",
                Aggregate::Greatest => "greatest",
                Aggregate::All => "all",
            };
            let mut doc = wrap(metric.doc, WIDTH - 52).into_iter();
            table.row([metric.key.into(), kind.into(), together.into(), doc.next().unwrap_or_default().into()]);
            doc.for_each(|line| table.row(["".into(), "".into(), "".into(), format!("  {line}").into()]));
        }
        out.push_str(&format!("\n{}\n{}", paint(BOLD, &title), table.render()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_in_the_reference_within_the_width() {
        let text = anstream::adapter::strip_str(&render()).to_string();
        assert!(metrics().iter().all(|m| text.contains(m.key)));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && line == line.trim_end()), "{text}");
    }
}
