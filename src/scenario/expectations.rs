//! The expectations of a scenario: read, and checked against what the scenario has.

use crate::api::Node;
use crate::scenario::SourcedExpectation;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::expectation::{Collection, Expectation};
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest;
use crate::simulation::Setup;
use crate::simulation::setup::ActionKind;

/// Reads all expectations; whatever is wrong with them goes to `problems`.
pub(super) fn read(lines: &[Spanned<String>], setup: &Setup, problems: &mut Diagnostics) -> Vec<SourcedExpectation> {
    // After an error some of what is named may be missing only because of it.
    let complete = !problems.has_errors();
    let mut read = Vec::new();
    for Spanned { value: text, span } in lines {
        match Expectation::parse(text) {
            Ok(expectation) => {
                if complete && let Some(problem) = unknown_name(&expectation, text, span, setup) {
                    problems.push(problem);
                }
                read.push(SourcedExpectation { expectation, span: span.clone() });
            }
            Err(error) => {
                let place = part(text, span, &error.span);
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

/// An expectation about something that the scenario does not have can never hold.
fn unknown_name(expectation: &Expectation, text: &str, span: &Span, setup: &Setup) -> Option<Diagnostic> {
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
    let place = part(text, span, &range);
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

/// The place of a part of a text, if the text stands in the file as it is; the place of the whole otherwise.
fn part(text: &str, span: &Span, range: &std::ops::Range<usize>) -> Span {
    match span.text().find(text) {
        Some(offset) => Span::new(&span.file, span.start + offset + range.start, span.start + offset + range.end),
        None => span.clone(),
    }
}
