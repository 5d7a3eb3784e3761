//! A sweep as a picture: a static SVG, alone or in a page that needs nothing from elsewhere.
//!
//! Of several variables the one with the most values goes from left to right, and each combination of the others is a line of
//! its own.

use std::fmt::Write as _;

use super::short;
use crate::analysis::sweep::{Point, Records};

const WIDTH: f64 = 860.0;
const PANEL: f64 = 220.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 40.0;
/// Above the first panel, or the legend.
const TOP: f64 = 54.0;
/// The height of a line of the legend.
const LEGEND: f64 = 20.0;
/// About what a letter of a label takes.
const LETTER: f64 = 7.0;

/// The colours of lines, easy to tell apart for the colour-blind, too (Okabe and Ito, "Color Universal Design" (2008)), and how
/// they are dashed when there are more lines than colours.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333"];
const DASHES: [&str; 4] = ["", "7 3", "2 3", "9 3 2 3"];

/// Which points a line joins, from left to right.
struct Series {
    /// The values of the variables that it stands for: `replicas=2`; empty if there is one line only.
    name: String,
    /// Places from left to right, and numbers of points.
    points: Vec<(usize, usize)>,
}

/// The points as lines over one variable.
struct Plan {
    /// The name of that variable.
    variable: String,
    /// Its values.
    values: Vec<String>,
    series: Vec<Series>,
    /// Lines are not told apart by colours: there is one, or they stand side by side.
    is_plain: bool,
}

impl Plan {
    fn new(records: &Records, points: &[Point]) -> Self {
        let axes: Vec<String> = records.header.axes.iter().map(|a| short(&a.path)).collect();
        let distinct = |axis: usize| {
            let mut values: Vec<String> = Vec::new();
            for value in points.iter().filter_map(|p| p.values.get(axis)) {
                if !values.contains(value) {
                    values.push(value.clone());
                }
            }
            values
        };
        // Of those with equally many the first.
        let across = (0..axes.len()).rev().max_by_key(|axis| distinct(*axis).len()).unwrap_or(0);
        let values = distinct(across);
        let mut series: Vec<Series> = Vec::new();
        for (number, point) in points.iter().enumerate() {
            let others = axes.iter().zip(&point.values).enumerate().filter(|(axis, _)| *axis != across);
            let name = others.map(|(_, (axis, value))| format!("{axis}={value}")).collect::<Vec<_>>().join(", ");
            let place = values.iter().position(|value| point.values.get(across) == Some(value)).unwrap_or(0);
            match series.iter_mut().find(|s| s.name == name) {
                Some(one) => one.points.push((place, number)),
                None => series.push(Series { name, points: vec![(place, number)] }),
            }
        }
        // Points that were drawn at random are no lines; neither are more of them than one can tell apart.
        let no_lines = axes.len() > 1 && series.len() == points.len() && points.len() > 1;
        if no_lines || series.len() > COLOURS.len() * DASHES.len() {
            let values: Vec<String> = points.iter().map(|p| p.values.join("/")).collect();
            let outer = |number: usize| points[number].values.split_last().map(|(_, outer)| outer);
            let numbers: Vec<usize> = (0..points.len()).collect();
            let runs = numbers.chunk_by(|a, b| outer(*a) == outer(*b));
            let alone = |run: &[usize]| Series { name: String::new(), points: run.iter().map(|n| (*n, *n)).collect() };
            return Self { variable: axes.join(" / "), values, series: runs.map(alone).collect(), is_plain: true };
        }
        let is_plain = series.len() < 2;
        Self { variable: axes.get(across).cloned().unwrap_or_default(), values, series, is_plain }
    }

    /// The colour of a line and how it is dashed; a single one has the colour of its panel.
    fn style(&self, series: usize, panel: &Panel) -> (&'static str, &'static str) {
        if self.is_plain {
            return (panel.colour, "");
        }
        (COLOURS[series % COLOURS.len()], DASHES[series / COLOURS.len() % DASHES.len()])
    }

    /// The names of the lines, and where each stands; how high that is.
    fn legend(&self) -> (Vec<(f64, f64)>, f64) {
        if self.is_plain {
            return (Vec::new(), 0.0);
        }
        let (mut x, mut y) = (LEFT, 0.0);
        let mut places = Vec::new();
        for series in &self.series {
            let width = 30.0 + LETTER * series.name.chars().count() as f64 + 16.0;
            if x + width > WIDTH - RIGHT && x > LEFT {
                (x, y) = (LEFT, y + LEGEND);
            }
            places.push((x, y));
            x += width;
        }
        (places, y + LEGEND)
    }
}

/// One panel: lines with bands around them.
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
    let plan = Plan::new(records, &points);
    let (legend, legend_height) = plan.legend();
    let top = TOP + legend_height;
    let height = top + panels.len() as f64 * PANEL + 44.0;
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
    for (number, (x, y)) in legend.iter().enumerate() {
        let ((colour, dashes), y) = (plan.style(number, &panels[0]), TOP + y + 4.0);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"2.5\" \
             stroke-dasharray=\"{dashes}\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"#333\">{}</text>",
            x + 22.0,
            x + 28.0,
            y + 4.0,
            escaped(&plan.series[number].name)
        );
    }
    for (number, panel) in panels.iter().enumerate() {
        draw(&mut out, panel, &plan, &points, top + number as f64 * PANEL);
    }
    labels(&mut out, &plan.values, height - 32.0);
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        height - 12.0,
        escaped(&plan.variable)
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

/// Where the place of this number is.
fn x_of(number: usize, count: usize) -> f64 {
    let room = WIDTH - LEFT - RIGHT;
    if count < 2 { LEFT + room / 2.0 } else { LEFT + room * number as f64 / (count - 1) as f64 }
}

fn draw(out: &mut String, panel: &Panel, plan: &Plan, points: &[Point], top: f64) {
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
    let places = plan.values.len();
    let many = !plan.is_plain;
    let at = |place: usize, value: f64| format!("{:.1},{:.1}", x_of(place, places), y(value));
    let known = |series: &Series| -> Vec<(usize, usize, [f64; 3])> {
        series.points.iter().filter_map(|(place, point)| Some((*place, *point, panel.values[*point]?))).collect()
    };
    for (number, series) in plan.series.iter().enumerate() {
        // Where bands lie one upon the other, each has to let the others through.
        let (colour, opacity) = (plan.style(number, panel).0, if many { 0.1 } else { 0.18 });
        for run in known(series).chunk_by(|a, b| a.0 + 1 == b.0) {
            let upward = run.iter().map(|(place, _, v)| at(*place, v[2]));
            let band: Vec<String> = upward.chain(run.iter().rev().map(|(place, _, v)| at(*place, v[0]))).collect();
            let _ =
                writeln!(out, "<polygon points=\"{}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>", band.join(" "));
        }
    }
    for (number, series) in plan.series.iter().enumerate() {
        let (colour, dashes) = plan.style(number, panel);
        // Earlier lines are wider, so that those which coincide can all be seen.
        let wider = if many { (plan.series.len() - 1 - number).min(3) as f64 * 1.5 } else { 0.0 };
        let known = known(series);
        // A line joins neighbours only.
        for run in known.chunk_by(|a, b| a.0 + 1 == b.0) {
            let line: Vec<String> = run.iter().map(|(place, _, v)| at(*place, v[1])).collect();
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{}\" \
                 stroke-dasharray=\"{dashes}\"/>",
                line.join(" "),
                2.0 + wider
            );
        }
        for (place, point, [low, middle, high]) in &known {
            // A whisker, for a point that no line leads to has no band either.
            let (x, from, to) = (x_of(*place, places), y(*low), y(*high));
            let name = points.get(*point).map_or_else(String::new, |p| p.values.join(", "));
            let _ = writeln!(
                out,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\" stroke=\"{colour}\" \
                 stroke-opacity=\"0.5\"/>"
            );
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"{}\" fill=\"{colour}\"><title>{}: {} ({} to {})</title></circle>",
                y(*middle),
                3.0 + wider / 2.0,
                escaped(&name),
                (panel.unit)(*middle),
                (panel.unit)(*low),
                (panel.unit)(*high)
            );
        }
    }
    let has_value = |place: usize| {
        let mut here = plan.series.iter().flat_map(|s| &s.points).filter(|(at, _)| *at == place);
        here.any(|(_, point)| panel.values[*point].is_some())
    };
    for place in (0..places).filter(|place| !has_value(*place)) {
        let x = x_of(place, places);
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#888\">none</text>",
            lower - 4.0
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

/// The values of the variable below, as many as there is room for.
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
    }

    #[test]
    fn of_two_variables_one_goes_across_and_each_value_of_the_other_is_a_line() {
        let mut grid = records();
        let (points, all) = (grid.header.points.clone(), grid.records.clone());
        let second = crate::analysis::sweep::Axis::parse("replicas=2,3").unwrap();
        grid.header.axes.push(second);
        // the last variable turns fastest
        let of = |values: &Vec<String>, last: &str| [&values[..], &[last.to_string()]].concat();
        grid.header.points = points.iter().flat_map(|values| [of(values, "2"), of(values, "3")]).collect();
        let runs = u64::from(grid.header.runs);
        let twice = |r: &crate::analysis::sweep::Record, more: u64| crate::analysis::sweep::Record {
            number: (r.number / runs * 2 + more) * runs + r.number % runs,
            ..r.clone()
        };
        grid.records = all.iter().flat_map(|r| [twice(r, 0), twice(r, 1)]).collect();
        grid.records.sort_by_key(|r| r.number);
        let text = svg(&grid);
        assert_eq!(text.matches("<polyline").count(), 6, "two lines in each of three panels");
        assert_eq!((text.matches("<circle").count(), text.matches(">none<").count()), (18, 0));
        let document = roxmltree::Document::parse(&text).unwrap();
        let texts: Vec<&str> =
            document.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text()).collect();
        assert!(texts.contains(&"replicas=2") && texts.contains(&"replicas=3"), "{texts:?}");
        let mut drawn = grid.clone();
        drawn
            .header
            .points
            .iter_mut()
            .enumerate()
            .for_each(|(n, values)| *values = vec![format!("{n}s"), format!("{n}")]);
        let drawn = svg(&drawn);
        assert_eq!((drawn.matches("<circle").count(), drawn.contains("replicas=")), (18, false), "points of no grid");
        assert!(drawn.contains(">5s/5</text>"), "{drawn}");
        assert!(texts.contains(&"preStop") && !texts.iter().any(|t| t.contains('/')), "{texts:?}");
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
