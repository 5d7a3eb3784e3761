//! A sweep as a table with spark lines, as CSV, as JSON and as a chart. All of it comes from the records alone, so a
//! merged sweep prints what one machine would have printed.

pub mod chart;
pub mod data;

use std::fmt::Write as _;

use super::style::{BAD, BOLD, DIM, GOOD, PLAIN, WARN, paint, percent, plural, thousands};
use super::table::{Align, Cell, Table};
use crate::analysis::runs::CONFIDENCE;
use crate::analysis::sweep::{Point, Records};

/// The table, with escapes for colours.
#[must_use]
pub fn render(records: &Records) -> String {
    let (header, points) = (&records.header, records.points());
    let mut out = String::new();
    let runs = plural(records.records.len() as u64, "run");
    let title = format!("{}: {}, {runs}", header.scenario, plural(points.len() as u64, "point"));
    let _ = writeln!(out, "{}", paint(BOLD, &title));
    if records.missing() > 0 {
        let line = format!("! {} not there: the numbers are of those that are", plural(records.missing(), "run"));
        let _ = writeln!(out, "{}", paint(WARN, &line));
    }
    out.push('\n');
    out.push_str(&table(records, &points));
    let sparks = sparks(&points);
    if points.len() > 1 {
        let _ = write!(out, "\n{sparks}");
    }
    let last = header.first_seed.wrapping_add(u64::from(header.runs) - 1);
    let foot = format!(
        "seeds {} to {last}, the same at every point · LOSING: runs with any failed request, Clopper-Pearson or rule of \
         three at {:.0} %",
        header.first_seed,
        CONFIDENCE * 100.0
    );
    for line in super::style::wrap(&foot, super::style::WIDTH) {
        let _ = write!(out, "\n{}", paint(DIM, &line));
    }
    out.push('\n');
    out
}

fn table(records: &Records, points: &[Point]) -> String {
    let names: Vec<String> = records.header.axes.iter().map(|axis| short(&axis.path)).collect();
    let head = |text| (Align::Right, text);
    let mut columns: Vec<(Align, &'static str)> = names.iter().map(|_| (Align::Right, "")).collect();
    columns.extend([head("RUNS"), head("LOSING"), (Align::Left, "(95 %)")]);
    columns.extend([
        head("FAILED\nP50"),
        head("\nP99"),
        head("EXPECTED\nMEAN"),
        head("LEAST SLACK\nMIN"),
        head("\nP50"),
    ]);
    columns.extend([head("DRAIN\nP50"), head("\nP99"), head("NOT\nDRAINED"), head("READY\nMIN"), head("DENIED\nP50")]);
    let mut table = Table::new(0, 2, &columns);
    // The names of axes are not known to the compiler, so they are a row and not headers.
    let blank = std::iter::repeat_n(Cell::from(""), 13);
    table.row(names.iter().map(|name| Cell::styled(BOLD, name.as_str())).chain(blank));
    for point in points {
        let style = if point.losing > 0 { BAD } else { GOOD };
        let seconds = |value: Option<f64>| value.map_or("–".to_string(), |v| format!("{v:.2}s"));
        let whole = |value: f64| if value.fract() == 0.0 { thousands(value as u64) } else { format!("{value:.1}") };
        let ends = format!("{} – {}", percent(point.losing_share.low), percent(point.losing_share.high));
        let (slack, drain) = (point.slack.as_ref(), point.drain.as_ref());
        let cells = [
            thousands(point.runs).into(),
            Cell::styled(style, percent(point.losing as f64 / point.runs as f64)),
            ends.into(),
            whole(point.failed.percentiles[0].value).into(),
            whole(point.failed.percentiles[2].value).into(),
            point.expected.as_ref().map_or("–".to_string(), |e| format!("{:.1}", e.mean)).into(),
            seconds(slack.map(|s| s.min)).into(),
            seconds(slack.map(|s| s.percentiles[0].value)).into(),
            seconds(drain.map(|d| d.percentiles[0].value)).into(),
            seconds(drain.map(|d| d.percentiles[2].value)).into(),
            Cell::styled(if point.undrained > 0 { BAD } else { PLAIN }, thousands(point.undrained)),
            point.ready.as_ref().map_or("–".to_string(), |r| whole(r.min)).into(),
            whole(point.denials.percentiles[0].value).into(),
        ];
        table.row(point.values.iter().map(|v| Cell::from(v.as_str())).chain(cells));
    }
    table.render()
}

/// The last words of a path.
pub(super) fn short(path: &str) -> String {
    let words: Vec<&str> = path.rsplit(['.', ':']).take(1).collect();
    words.first().map_or_else(String::new, ToString::to_string)
}

/// One line of blocks for each number, a block a point.
fn sparks(points: &[Point]) -> String {
    let rows: [(&str, Vec<Option<f64>>); 3] = [
        ("losing runs", points.iter().map(|p| Some(p.losing as f64 / p.runs as f64)).collect()),
        ("least slack", points.iter().map(|p| p.slack.as_ref().map(|s| s.min)).collect()),
        ("drain p50", points.iter().map(|p| p.drain.as_ref().map(|d| d.percentiles[0].value)).collect()),
    ];
    rows.iter().fold(String::new(), |mut out, (name, values)| {
        let _ = writeln!(out, "{name:<12} {}", spark(values));
        out
    })
}

/// Blocks from the least to the greatest value; a space where there is none.
fn spark(values: &[Option<f64>]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let there = || values.iter().flatten().copied();
    let (low, high) = (there().fold(f64::INFINITY, f64::min), there().fold(f64::NEG_INFINITY, f64::max));
    let block = |value: &Option<f64>| match value {
        None => ' ',
        Some(_) if high <= low => BLOCKS[0],
        Some(value) => BLOCKS[(((value - low) / (high - low)) * 7.0).round() as usize],
    };
    values.iter().map(block).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::analysis::sweep::{Axis, Header, Record, grid};

    /// Three points of four runs each; the shortest preStop loses.
    pub(crate) fn records() -> Records {
        let axes = [Axis::parse("Deployment/default/web:preStop=0s..10s:5s").unwrap()];
        let record = |number: u64| {
            let point = number / 4;
            Record {
                number,
                digest: format!("{number:016x}"),
                sent: 1000,
                failed: if point == 0 { number * 3 } else { 0 },
                expected_millionths: Some(if point == 0 { number * 2_900_000 } else { 0 }),
                drain_nanos: (number != 11).then_some(2_000_000_000 + point * 5_000_000_000 + number * 1_000_000),
                undrained: u32::from(number == 11),
                slack_nanos: Some(-200_000_000 + point as i64 * 5_000_000_000),
                denials: 0,
                ready: Some(1),
                passed: point > 0,
            }
        };
        Records {
            header: Header::new("web-drain", &axes, grid(&axes), 4, 1, &[]),
            records: (0..12).map(record).collect(),
        }
    }

    #[test]
    fn the_table_of_a_sweep() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&render(&records())).to_string());
    }

    #[test]
    fn sparks_go_from_the_least_to_the_greatest() {
        assert_eq!(spark(&[Some(0.0), Some(0.5), Some(1.0), None]), "▁▅█ ");
        assert_eq!(spark(&[Some(3.0), Some(3.0)]), "▁▁");
        assert_eq!(short("Deployment/default/web:spec.replicas"), "replicas");
    }
}
