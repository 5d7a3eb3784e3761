//! What an outage was made of: its parts, one below the other.

use std::fmt::Write as _;

use super::style::{DIM, WIDTH, paint, plural, wrap};
use super::table::{Align, Table};
use super::{Names, Report, sentence};
use crate::engine::Duration;
use crate::simulation::outage::{Outage, Part, Start};

/// Shorter ones are not told; the table of Services sums them up.
const TOLD_FROM: Duration = Duration::from_secs(1);
/// More of one Service are not told.
const TOLD_MAX: usize = 3;

/// The section, or nothing if no Service was without endpoints for long.
pub(super) fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    for service in &report.outcome.services {
        let long: Vec<&Outage> = service.outages.iter().filter(|o| o.total() >= TOLD_FROM && told(o)).collect();
        for outage in long.iter().take(TOLD_MAX) {
            let _ = write!(out, "{}", one(report, &service.name, outage));
        }
        if long.len() > TOLD_MAX {
            let _ =
                writeln!(out, "  … and {} of {}", plural((long.len() - TOLD_MAX) as u64, "other outage"), service.name);
        }
    }
    out
}

/// Of an outage that nobody caused there is nothing to tell.
fn told(outage: &Outage) -> bool {
    outage.begins.1 != Start::Unready
}

fn one(report: &Report<'_>, service: &str, outage: &Outage) -> String {
    let names = report.names();
    let end = outage.to.map_or_else(|| "the end of the run".to_string(), |at| at.to_string());
    let total = outage.total();
    let title = format!("{service} had no ready endpoint from {} to {end}; {} in all:", outage.from, seconds(total));
    let mut out = String::new();
    for (number, line) in wrap(&title, WIDTH - 2).into_iter().enumerate() {
        let _ = writeln!(out, "  {}{line}", if number == 0 { "" } else { "  " });
    }
    let columns = [(Align::Right, ""), (Align::Left, ""), (Align::Right, ""), (Align::Left, "")];
    let mut table = Table::new(4, 2, &columns);
    table.row([outage.begins.0.to_string().into(), "".into(), "".into(), start(&names, outage).into()]);
    for (part, at) in &outage.parts {
        let span = outage.part(*part).unwrap_or_default();
        let text = end_of(&names, outage, *part);
        table.row([at.to_string().into(), part.name().into(), seconds(span).into(), text.into()]);
    }
    out.push_str(&table.render());
    if outage.to.is_none() {
        let _ = writeln!(out, "    {}", paint(DIM, "it was not over when the run ended"));
    }
    out
}

fn start(names: &Names<'_>, outage: &Outage) -> String {
    match outage.begins.1 {
        Start::Fault(what) => sentence(names, what).to_string(),
        Start::Deletion => {
            let pod = outage.lost.map_or_else(|| "the pod".to_string(), |pod| names.the_pod(pod));
            format!("{pod} is deleted")
        }
        Start::Unready => "the last endpoint becomes unready".to_string(),
    }
}

/// What a part ends with.
fn end_of(names: &Names<'_>, outage: &Outage, part: Part) -> String {
    let node = outage.node.map_or_else(|| "its node".to_string(), |node| names.node(node));
    let pod = |pod: Option<crate::api::PodId>| pod.map_or_else(|| "the pod".to_string(), |pod| names.the_pod(pod));
    match part {
        Part::Detection => format!("{node} is given up: Ready is Unknown"),
        Part::Tainting => format!("{node} gets its NoExecute taint"),
        Part::Toleration => format!("{} is deleted", pod(outage.lost)),
        Part::Recreation => format!("{} is created", pod(outage.back)),
        Part::Scheduling => "it is bound to a node".to_string(),
        Part::Return => format!("the kubelet of {node} is back"),
        Part::Startup => format!("{} listens", pod(outage.back)),
        Part::Readiness => "it is a ready endpoint".to_string(),
    }
}

fn seconds(span: Duration) -> String {
    format!("{:.3} s", span.as_secs_f64())
}
