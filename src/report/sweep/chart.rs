//! A sweep as a picture: a static SVG, alone or in a page that needs nothing from elsewhere.

use std::fmt::Write as _;

use super::short;
use crate::analysis::sweep::{Point, Records};

const WIDTH: f64 = 860.0;
const PANEL: f64 = 220.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 40.0;
/// Above the first panel.
const TOP: f64 = 54.0;
/// About what a letter of a label takes.
const LETTER: f64 = 7.0;

/// One panel: a line with a band around it.
struct Panel {
    title: String,
    /// By point: low, value, high.
    values: Vec<Option<[f64; 3]>>,
    colour: &'static str,
    unit: fn(f64) -> String,
    /// The scale goes up to this at least, so that a narrow band does not look like a wide one.
    top_min: f64,
}

/// The chart: the share of losing runs with its interval, the drain's duration with its spread, the least slack; the
/// points from left to right.
#[must_use]
pub fn svg(records: &Records) -> String {
    let points = records.points();
    let seconds: fn(f64) -> String = |v| format!("{} s", (v * 1e2).round() / 1e2);
    let panels = [
        Panel {
            title: "runs with failed requests, with 95 % interval".to_string(),
            values: points.iter().map(losing).collect(),
            colour: "#b3261e",
            unit: |v| format!("{} %", (v * 1e4).round() / 1e2),
            top_min: 0.2,
        },
        Panel {
            title: "drain: p50, up to p99".to_string(),
            values: points
                .iter()
                .map(|p| {
                    p.drain.as_ref().map(|d| [d.percentiles[0].value, d.percentiles[0].value, d.percentiles[2].value])
                })
                .collect(),
            colour: "#1f5fa8",
            unit: seconds,
            top_min: 1.0,
        },
        Panel {
            title: "least slack: p50, down to the least of all runs (below 0: routes outlive the listener)".to_string(),
            values: points
                .iter()
                .map(|p| p.slack.as_ref().map(|s| [s.min, s.percentiles[0].value, s.percentiles[0].value]))
                .collect(),
            colour: "#2e7d32",
            unit: seconds,
            top_min: 1.0,
        },
    ];
    let height = TOP + panels.len() as f64 * PANEL + 44.0;
    let header = &records.header;
    let axes: Vec<String> = header.axes.iter().map(|a| short(&a.path)).collect();
    let title = format!("{}: {}", header.scenario, axes.join(", "));
    let last = header.first_seed.wrapping_add(u64::from(header.runs) - 1);
    let below = format!(
        "{} points, seeds {} to {last} at each of them · drainsim {}",
        points.len(),
        header.first_seed,
        header.version
    );
    // Who cannot see the picture gets its title and what is drawn; the numbers are in the table of the page.
    let names: Vec<&str> = panels.iter().map(|p| p.title.as_str()).collect();
    let described = format!("{below}. From top to bottom: {}.", names.join("; "));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-labelledby=\"sweep-title sweep-described\">\n\
         <title id=\"sweep-title\">{}</title>\n<desc id=\"sweep-described\">{}</desc>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n",
        escaped(&title),
        escaped(&described)
    );
    let _ =
        writeln!(out, "<text x=\"{LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{}</text>", escaped(&title));
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"42\" fill=\"#555\">{}</text>", escaped(&below));
    for (number, panel) in panels.iter().enumerate() {
        draw(&mut out, panel, &points, TOP + number as f64 * PANEL);
    }
    let values: Vec<String> = points.iter().map(|p| p.values.join("/")).collect();
    labels(&mut out, &values, height - 32.0);
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        height - 12.0,
        escaped(&axes.join(" / "))
    );
    out.push_str("</svg>\n");
    out
}

/// A page with the chart and the numbers as a table.
#[must_use]
pub fn html(records: &Records) -> String {
    let csv = super::data::csv(records);
    let row = |line: &str, cell: &str| {
        let cells: String = line.split(',').map(|c| format!("<{cell}>{}</{cell}>", escaped(&readable(c)))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let mut lines = csv.split_terminator("\r\n");
    let head = lines.next().map_or_else(String::new, |line| row(line, "th"));
    let body: String = lines.map(|line| row(line, "td")).collect();
    let name = escaped(&records.header.scenario);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}: sweep</title>\n<style>body{{font-family:\
         sans-serif;margin:2em}}table{{border-collapse:collapse;font-size:12px}}td,th{{border:1px solid #ccc;padding:3px \
         6px;text-align:right;white-space:nowrap}}th{{white-space:normal}}caption{{text-align:left;padding:6px \
         0}}svg{{max-width:100%;height:auto}}.wide{{overflow-x:auto}}</style></head><body>\n{}\n<div \
         class=\"wide\"><table>\n<caption>The numbers of all points</caption>\n<thead>{head}</thead>\n<tbody>{body}</tbody></table></div>\n</body></html>\n",
        svg(records)
    )
}

/// A cell of the table: a number of no more than four decimals.
fn readable(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(number) if cell.contains('.') => format!("{}", (number * 1e4).round() / 1e4),
        _ => cell.replace('_', " "),
    }
}

fn losing(point: &Point) -> Option<[f64; 3]> {
    let share = point.losing as f64 / point.runs as f64;
    Some([point.losing_share.low, share, point.losing_share.high])
}

/// Where the point of this number stands.
fn x_of(number: usize, count: usize) -> f64 {
    let room = WIDTH - LEFT - RIGHT;
    if count < 2 { LEFT + room / 2.0 } else { LEFT + room * number as f64 / (count - 1) as f64 }
}

fn draw(out: &mut String, panel: &Panel, points: &[Point], top: f64) {
    let there = || panel.values.iter().flatten().flatten().copied();
    let (low, high) = (there().fold(0.0_f64, f64::min), there().fold(panel.top_min, f64::max));
    let step = round_step((high - low) / 5.0);
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    let (low, high) = (first * step, last * step);
    let (upper, lower) = (top + 30.0, top + PANEL - 20.0);
    let y = |value: f64| lower - (value - low) / (high - low) * (lower - upper);
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#333\">{}</text>", top + 18.0, escaped(&panel.title));
    for tick in 0..=((last - first) as i32) {
        let value = (first + f64::from(tick)) * step;
        let at = y(value);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\" fill=\"#555\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            (panel.unit)(value)
        );
    }
    if low < 0.0 {
        let at = y(0.0);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#888\"/>",
            WIDTH - RIGHT
        );
    }
    let count = panel.values.len();
    let at = |number: usize, value: f64| format!("{:.1},{:.1}", x_of(number, count), y(value));
    let known: Vec<(usize, [f64; 3])> = panel.values.iter().enumerate().filter_map(|(n, v)| Some((n, (*v)?))).collect();
    let colour = panel.colour;
    for run in runs_of(&known, points) {
        let upward = run.iter().map(|(n, v)| at(*n, v[2]));
        let band: Vec<String> = upward.chain(run.iter().rev().map(|(n, v)| at(*n, v[0]))).collect();
        let line: Vec<String> = run.iter().map(|(n, v)| at(*n, v[1])).collect();
        let _ = writeln!(out, "<polygon points=\"{}\" fill=\"{colour}\" fill-opacity=\"0.18\"/>", band.join(" "));
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
    }
    for number in (0..count).filter(|n| panel.values[*n].is_none()) {
        let x = x_of(number, count);
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#888\">none</text>",
            lower - 4.0
        );
    }
    for (number, [low, _, high]) in &known {
        // A whisker, for a point that no line leads to has no band either.
        let x = x_of(*number, count);
        let (from, to) = (y(*low), y(*high));
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.5\"/>"
        );
    }
    for (number, value) in &known {
        let name = points.get(*number).map_or_else(String::new, |p| p.values.join(", "));
        let [bottom, middle, top] = value.map(panel.unit);
        let _ = writeln!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"><title>{}: {middle} ({bottom} to {top})</title></circle>",
            x_of(*number, count),
            y(value[1]),
            escaped(&name)
        );
    }
}

/// 1, 2 or 5 times a power of ten, and at least `wanted`.
fn round_step(wanted: f64) -> f64 {
    let mut decade = 1e-9;
    while decade * 10.0 < wanted {
        decade *= 10.0;
    }
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * decade).find(|step| *step >= wanted).unwrap_or(decade * 10.0)
}

/// The points that a line may join: neighbours that differ in the last axis only.
fn runs_of<'a>(
    known: &'a [(usize, [f64; 3])],
    points: &'a [Point],
) -> impl Iterator<Item = &'a [(usize, [f64; 3])]> + 'a {
    let outer = |number: usize| points[number].values.split_last().map(|(_, outer)| outer);
    known.chunk_by(move |a, b| a.0 + 1 == b.0 && outer(a.0) == outer(b.0))
}

/// The values of the axes below, as many as there is room for.
fn labels(out: &mut String, texts: &[String], y: f64) {
    let width = |text: &String| LETTER * text.chars().count() as f64;
    let widest = texts.iter().map(width).fold(0.0, f64::max) + 2.0 * LETTER;
    let room = (WIDTH - LEFT - RIGHT) / texts.len().saturating_sub(1).max(1) as f64;
    let every = ((widest / room).ceil() as usize).max(1);
    for (number, text) in texts.iter().enumerate().step_by(every) {
        // The outermost ones stay within the frame.
        let half = width(text) / 2.0;
        let x = x_of(number, texts.len()).min(WIDTH - half - 2.0).max(half + 2.0);
        let text = escaped(text);
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"#333\">{text}</text>");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sweep::tests::records;

    #[test]
    fn the_chart_is_well_formed_and_within_its_frame() {
        let text = svg(&records());
        let document = roxmltree::Document::parse(&text).unwrap();
        let circles: Vec<_> = document.descendants().filter(|n| n.has_tag_name("circle")).collect();
        assert_eq!(circles.len(), 9, "three panels of three points");
        for circle in circles {
            let number = |name| circle.attribute(name).unwrap().parse::<f64>().unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&number("cx")) && (TOP..=740.0).contains(&number("cy")));
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn lines_join_neighbours_only() {
        let mut gap = records();
        // The middle point has no completed drain.
        gap.records.iter_mut().filter(|r| r.number / 4 == 1).for_each(|r| r.drain_nanos = None);
        let (whole, gap) = (svg(&records()), svg(&gap));
        assert_eq!((whole.matches("<polyline").count(), whole.matches(">none<").count()), (3, 0));
        assert_eq!((gap.matches("<polyline").count(), gap.matches(">none<").count()), (4, 1));
        let mut grid = records();
        let second = crate::analysis::sweep::Axis::parse("replicas=2").unwrap();
        grid.header.axes.push(second);
        grid.header.points.iter_mut().for_each(|values| values.push("2".into()));
        assert_eq!(svg(&grid).matches("<polyline").count(), 9, "another outer value, another line");
    }

    #[test]
    fn labels_do_not_overlap_and_stay_within_the_frame() {
        let many: Vec<String> = (0..60).map(|n| format!("a-long-value-{n}")).collect();
        let mut out = String::new();
        labels(&mut out, &many, 700.0);
        let text = format!("<svg>{out}</svg>");
        let document = roxmltree::Document::parse(&text).unwrap();
        let ends: Vec<(f64, f64)> = document
            .descendants()
            .filter(|n| n.has_tag_name("text"))
            .map(|n| {
                let half = LETTER * n.text().unwrap().len() as f64 / 2.0;
                let x: f64 = n.attribute("x").unwrap().parse().unwrap();
                (x - half, x + half)
            })
            .collect();
        assert!(ends.len() > 3 && ends.iter().all(|(from, to)| *from >= 0.0 && *to <= WIDTH), "{ends:?}");
        assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ends:?}");
    }

    #[test]
    fn the_picture_is_described() {
        let text = svg(&records());
        let document = roxmltree::Document::parse(&text).unwrap();
        let root = document.root_element();
        assert_eq!(root.attribute("role"), Some("img"));
        for id in root.attribute("aria-labelledby").unwrap().split(' ') {
            let node = document.descendants().find(|n| n.attribute("id") == Some(id)).unwrap();
            assert!(node.text().is_some_and(|t| t.len() > 5), "{text}");
        }
        assert_eq!(
            [readable("0.36054258730748984"), readable("12"), readable("losing_share")],
            ["0.3605", "12", "losing share"]
        );
    }

    #[test]
    fn ticks_are_round() {
        for (wanted, step) in [(0.04, 0.05), (0.2, 0.2), (1.1, 2.0), (7.0, 10.0), (31.0, 50.0)] {
            assert!((round_step(wanted) - step).abs() < 1e-9, "{wanted}: {}", round_step(wanted));
        }
        let text = svg(&records());
        assert!(text.contains(">20 %</text>") && text.contains(">0 s</text>"), "{text}");
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let page = html(&records());
        assert!(page.contains("<td>0.75</td>") && !page.contains("src=") && !page.contains("href="), "{page}");
        let mut one = records();
        one.records.truncate(1);
        assert!(!svg(&one).contains("NaN"));
    }
}
