//! Why clients lose requests in a drain, Service by Service, and the changes that were tried against it.

use std::fmt::Write as _;

use serde_json::json;

use super::{Answer, paragraph, short};
use crate::analysis::drain::cure::Change;
use crate::analysis::drain::{self, DrainRun};
use crate::api::ServiceId;
use crate::report::style::{DIM, paint, plural, thousands};
use crate::report::{Report, verdict};
use crate::simulation::{Outcome, Setup};

/// So many Services are told one by one, and so many of the changes.
const SHOWN_MAX: usize = 4;

/// Why most requests to a Service were lost, in the run that lost most of them.
#[derive(Clone, PartialEq, Debug)]
pub struct Loss {
    /// `namespace/name`.
    pub service: String,
    /// A sentence.
    pub cause: String,
}

impl Loss {
    /// Of a Service in a run that has been played again; `None`: it lost nothing there.
    #[must_use]
    pub fn of(setup: &Setup, outcome: &Outcome, service: ServiceId) -> Option<Self> {
        let report = Report::of_run("", setup, outcome);
        let cause = verdict::cause(&report, Some(service))?;
        Some(Self { service: setup.services[service.index()].full_name(), cause })
    }

    /// The cause, with the Service if it does not begin with that.
    fn sentence(&self) -> String {
        let named = self.cause.starts_with(&self.service);
        if named { self.cause.clone() } else { format!("{}: {}", self.service, self.cause) }
    }
}

/// Changes against the losses, and the runs with all of them.
#[derive(Clone, PartialEq, Debug)]
pub struct Cure {
    /// In the order of the losses.
    pub changes: Vec<Change>,
    /// Under the same seeds.
    pub runs: Vec<DrainRun>,
    /// Why most of those requests fail that still do.
    pub left: Option<Loss>,
}

/// Service by Service.
pub(super) fn causes(answer: &Answer<'_>) -> String {
    let mut out = String::new();
    for loss in answer.losses.iter().take(SHOWN_MAX) {
        paragraph(&mut out, "  ", &loss.sentence());
    }
    if let Some(more @ 1..) = answer.losses.len().checked_sub(SHOWN_MAX) {
        let _ = writeln!(out, "  {}", paint(DIM, &format!("… and {}", plural(more as u64, "more Service"))));
    }
    out
}

/// The commands, and what became of the losses with them.
pub(super) fn cures(answer: &Answer<'_>) -> String {
    let Some(cure) = answer.cure else { return String::new() };
    let mut out = String::new();
    let shown = if answer.explain { cure.changes.len() } else { 2 * SHOWN_MAX };
    for change in cure.changes.iter().take(shown) {
        // On one line, to be copied.
        let _ = writeln!(out, "  {}", command(answer.setup, change));
    }
    if let Some(more @ 1..) = cure.changes.len().checked_sub(shown) {
        let _ = writeln!(out, "  {}", paint(DIM, &format!("… and {more} more like these (--explain)")));
    }
    let all = if cure.changes.len() == 1 { "this change" } else { "all of these" };
    let (now, before) = (failed(&cure.runs), answer.failed());
    let requests = match now {
        0 => "no request fails any more".to_string(),
        _ => format!("{} fail instead of {}", plural(now, "request"), thousands(before)),
    };
    let ends = cure.runs.iter().filter(|run| run.is_drained()).count();
    let mut took: Vec<_> = cure.runs.iter().filter_map(|run| run.took).collect();
    took.sort_unstable();
    let drain = match took.get(took.len().saturating_sub(1) / 2) {
        Some(median) if ends == cure.runs.len() => format!("the drain ends after {} in the median", short(*median)),
        _ => format!("the drain ends in {ends} of {} only", plural(cure.runs.len() as u64, "run")),
    };
    paragraph(&mut out, "  ", &format!("tried: with {all} {requests}, and {drain}"));
    if let Some(left) = &cure.left {
        paragraph(&mut out, "  ", &format!("what is left: {}", left.sentence()));
    }
    out
}

pub(super) fn failed(runs: &[DrainRun]) -> u64 {
    runs.iter().map(drain::DrainRun::failed).sum()
}

/// A change as somebody would make it.
pub(super) fn command(setup: &Setup, change: &Change) -> String {
    let of = change.deployment(setup);
    let (name, namespace) = (&of.name, &of.namespace);
    match change {
        Change::Scale { replicas, .. } => {
            format!("kubectl scale deployment {name} -n {namespace} --replicas={replicas}")
        }
        Change::Budget { selector, .. } => {
            format!(
                "kubectl create poddisruptionbudget {name} -n {namespace} --selector='{selector}' --max-unavailable=1"
            )
        }
        Change::Sleep { container, seconds, grace, .. } => {
            let hook = if setup.version.has_sleep_action() {
                json!({"sleep": {"seconds": seconds}})
            } else {
                json!({"exec": {"command": ["sleep", seconds.to_string()]}})
            };
            let containers = json!([{"name": container, "lifecycle": {"preStop": hook}}]);
            let pod = json!({"terminationGracePeriodSeconds": grace, "containers": containers});
            let patch = json!({"spec": {"template": {"spec": pod}}});
            format!("kubectl patch deployment {name} -n {namespace} --patch '{patch}'")
        }
    }
}
