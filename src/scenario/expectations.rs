//! The expectations of a scenario: read, and checked against what the scenario has.

use std::ops::Range;

use crate::api::Node;
use crate::engine::Time;
use crate::scenario::SourcedExpectation;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::expect_entry::{ExpectAt, ExpectEntry};
use crate::scenario::expectation::{Collection, Expectation};
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest;
use crate::simulation::Setup;
use crate::simulation::setup::{ActionKind, DeploymentSetup};

/// Reads all expectations; whatever is wrong with them goes to `problems`.
pub(super) fn read(entries: &[ExpectEntry], setup: &Setup, problems: &mut Diagnostics) -> Vec<SourcedExpectation> {
    // After an error some of what is named may be missing only because of it.
    let complete = !problems.has_errors();
    let mut read = Vec::new();
    for line in entries.iter().map(Line::new) {
        match Expectation::parse(&line.text) {
            Ok(expectation) => {
                let problem = unknown_name(&expectation, &line, setup).filter(|_| complete);
                if let Some(problem) = problem.or_else(|| after_the_end(&expectation, &line, setup)) {
                    problems.push(problem);
                }
                let recorded = expectation.recorded().map(|range| line.part(&range));
                read.push(SourcedExpectation { expectation, span: line.that.span.clone(), recorded });
            }
            Err(error) => {
                let place = line.part(&error.span);
                let mut problem =
                    Diagnostic::error(error.message.clone()).at(&place, format!("expected {}", error.expected));
                if let Some(suggestion) = &error.suggestion {
                    problem = problem.help(format!("did you mean `{suggestion}`?"));
                }
                problems.push(problem);
            }
        }
    }
    read
}

/// An entry as one text, and where its parts are written.
struct Line<'a> {
    text: String,
    /// What stands before `that` in the text, and where the file says it.
    at: Option<(usize, &'a Span)>,
    that: &'a Spanned<String>,
}

impl<'a> Line<'a> {
    fn new(entry: &'a ExpectEntry) -> Self {
        match entry {
            ExpectEntry::Line(that) => Self { text: that.value.clone(), at: None, that },
            ExpectEntry::At(ExpectAt { at, that }) => {
                let prefix = format!("at {}: ", at.value);
                let text = format!("{prefix}{}", that.value);
                Self { text, at: Some((prefix.len(), &at.span)), that }
            }
        }
    }

    /// The place of a part of the text, if the text stands in the file as it is; the place of the whole otherwise.
    fn part(&self, range: &Range<usize>) -> Span {
        let prefix = match self.at {
            Some((prefix, at)) if range.end <= prefix => return at.clone(),
            Some((prefix, _)) => prefix,
            None => 0,
        };
        let span = &self.that.span;
        match span.text().find(self.that.value.as_str()) {
            Some(offset) => {
                let start = span.start + offset;
                Span::new(&span.file, start + range.start.saturating_sub(prefix), start + range.end - prefix)
            }
            None => span.clone(),
        }
    }
}

/// A state after the end of the run is never seen.
fn after_the_end(expectation: &Expectation, line: &Line<'_>, setup: &Setup) -> Option<Diagnostic> {
    let at = expectation.at().filter(|at| at.since(Time::ZERO) > setup.duration)?;
    let place = line.at.map_or(&line.that.span, |(_, at)| at);
    let problem = Diagnostic::error(format!("the run ends before {at}"));
    Some(problem.at(place, format!("expected a time up to {}", setup.duration)))
}

/// An expectation about something that the scenario does not have can never hold.
fn unknown_name(expectation: &Expectation, line: &Line<'_>, setup: &Setup) -> Option<Diagnostic> {
    let (collection, name, range) = expectation.names()?;
    let (what, known): (_, Vec<String>) = match collection {
        Collection::Services => {
            ("Service", setup.services.iter().flat_map(|s| [s.name.clone(), s.full_name()]).collect())
        }
        Collection::Traffic => ("stream of traffic", setup.traffic.iter().map(|t| t.name.clone()).collect()),
        Collection::Pdbs => (
            "PodDisruptionBudget",
            setup.pdbs.iter().chain(&setup.later_pdbs).flat_map(|p| [p.name.clone(), p.full_name()]).collect(),
        ),
        Collection::Drains => {
            let drained = setup.actions.iter().filter_map(|a| match &a.what {
                ActionKind::Drain(options) => Some(match &options.selector {
                    Some(selector) => all_nodes(setup)
                        .filter(|n| selector.matches(&n.labels))
                        .map(|n| n.name.clone())
                        .collect::<Vec<_>>(),
                    None => options.nodes.clone(),
                }),
                ActionKind::Upgrade(options) => Some(options.nodes.clone()),
                ActionKind::ClusterAutoscaler(options) => Some(options.nodes.clone()),
                ActionKind::Karpenter(options) => Some(options.nodes.clone()),
                _ => None,
            });
            ("drained node", drained.flatten().collect())
        }
        Collection::Deployments => {
            let names = |d: &DeploymentSetup| [d.name.clone(), format!("{}/{}", d.namespace, d.name)];
            ("Deployment", setup.deployments.iter().flat_map(names).collect())
        }
        // pods get their names in the run
        Collection::Pods | Collection::Run => return None,
    };
    let matches = |known: &String| match name.strip_suffix('*') {
        Some(prefix) => known.starts_with(prefix),
        None => known == name,
    };
    if known.iter().any(matches) {
        return None;
    }
    let place = line.part(&range);
    let names = known.iter().filter(|k| !k.contains('/') || name.contains('/')).map(String::as_str);
    let problem = Diagnostic::error(format!("the scenario has no {what} `{name}`"));
    Some(problem.at(&place, format!("no such {what}")).help(suggest::help(name, &format!("{what}s"), names)))
}

/// The nodes of the start, and those that actions add.
fn all_nodes(setup: &Setup) -> impl Iterator<Item = &Node> {
    let added = setup.actions.iter().filter_map(|a| match &a.what {
        ActionKind::AddNode { node, .. } => Some(node),
        _ => None,
    });
    setup.nodes.iter().map(|n| &n.node).chain(added)
}
