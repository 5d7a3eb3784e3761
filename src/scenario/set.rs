//! `--set`: a value changed from the command line, in the tree and so before anything is checked.
//!
//! `spec.traffic[0].rate=500/s` changes the scenario, `Deployment/default/web:spec.replicas=3` an object of a manifest.
//! A short name such as `preStop` turns a handle (`handles`): `preStop=10s`, `Deployment/default/web:preStop=10s`.
//! A dot inside a key is written `\.`. Keys that are not there are created, also an element right after a list's end.
//! `spec.nodes[2]-` takes a key or an element away, as `kubectl label` writes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::Version;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::document::Document;
use crate::scenario::handles;
use crate::scenario::source::{SourceFile, Span};
use crate::scenario::suggest;
use crate::scenario::tree::{self, Entry, Node, Value};

/// One `--set`, parsed.
struct Assignment {
    /// The object, as `Kind/namespace/name` or `Kind/name`; the scenario if there is none.
    object: Option<Span>,
    path: Vec<(Step, Span)>,
    /// `None`: what stands there is taken away.
    value: Option<Node>,
}

enum Step {
    Key(String),
    Index(usize),
}

/// Applies all of them, in order. What they take for granted, one sentence each.
pub fn apply(sets: &[String], documents: &mut [Document], problems: &mut Diagnostics) -> Vec<String> {
    let mut assumptions = Vec::new();
    for (index, text) in sets.iter().enumerate() {
        // Shown after all files.
        let order = u32::MAX - u32::try_from(sets.len() - index).unwrap_or(0);
        let file = SourceFile::new("--set", text.as_str(), order);
        let version = version(&sets[index..], documents);
        if let Err(problem) =
            parse(&file).and_then(|assignment| assign(assignment, documents, version, &mut assumptions))
        {
            problems.push(*problem);
        }
    }
    // A short name that is turned again takes the same for granted.
    let mut told = BTreeSet::new();
    assumptions.retain(|line| told.insert(line.clone()));
    assumptions
}

/// The version of Kubernetes that the scenario has in the end, as far as the settings to come tell.
fn version(sets: &[String], documents: &[Document]) -> Version {
    let set = sets.iter().rev().find_map(|set| set.strip_prefix("spec.kubernetes="));
    let scenario = documents.iter().find(|d| d.is_scenario());
    let written = scenario.and_then(|d| match &d.node.at(&["spec", "kubernetes"])?.value {
        Value::String(text) | Value::Number(text) => Some(text.as_str()),
        _ => None,
    });
    let text = set.map(|text| text.trim_matches(['"', '\'', ' '])).or(written);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn parse(file: &Arc<SourceFile>) -> Result<Assignment, Box<Diagnostic>> {
    const EXAMPLE: &str =
        "write PATH=VALUE, as in spec.traffic[0].rate=500/s or Deployment/default/web:spec.replicas=3";
    let text = &file.text;
    let whole = Span::new(file, 0, text.len());
    let removes = text.strip_suffix('-').filter(|path| !path.contains('='));
    let Some(equals) = removes.map(str::len).or_else(|| text.find('=')) else {
        return Err(Box::new(Diagnostic::error("`--set` lacks a `=`").at(&whole, "").help(EXAMPLE)));
    };
    let colon = text[..equals].find(':');
    let object = colon.map(|colon| Span::new(file, 0, colon));
    let path = parse_path(file, colon.map_or(0, |at| at + 1), equals).ok_or_else(|| {
        Box::new(Diagnostic::error("this is no path to a value").at(&Span::new(file, 0, equals), "").help(EXAMPLE))
    })?;
    if removes.is_some() {
        return Ok(Assignment { object, path, value: None });
    }
    let mut values = tree::parse(file, equals + 1)?;
    let null = Node { value: Value::Null, span: Span::new(file, equals + 1, text.len()) };
    Ok(Assignment { object, path, value: Some(values.pop().unwrap_or(null)) })
}

/// `a.b[0].c\.d` as its steps; `None` if it is not one.
fn parse_path(file: &Arc<SourceFile>, start: usize, end: usize) -> Option<Vec<(Step, Span)>> {
    let mut steps = Vec::new();
    let mut at = start;
    while at < end {
        let mut key = String::new();
        let mut chars = file.text[at..end].char_indices().peekable();
        let mut length = end - at;
        while let Some((offset, c)) = chars.next() {
            match c {
                '\\' => key.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' => {
                    length = offset;
                    break;
                }
                c => key.push(c),
            }
        }
        if key.is_empty() {
            return None;
        }
        steps.push((Step::Key(key), Span::new(file, at, at + length)));
        at += length;
        while let Some(inside) = file.text[at..end].strip_prefix('[') {
            let close = inside.find(']')?;
            steps.push((Step::Index(inside[..close].parse().ok()?), Span::new(file, at, at + close + 2)));
            at += close + 2;
        }
        match file.text[at..end].chars().next() {
            None => return Some(steps),
            Some('.') => at += 1,
            Some(_) => return None,
        }
    }
    // Nothing at all, or a dot at the end.
    None
}

fn assign(
    assignment: Assignment,
    documents: &mut [Document],
    version: Version,
    assumptions: &mut Vec<String>,
) -> Result<(), Box<Diagnostic>> {
    let Assignment { object, path, value } = assignment;
    if let ([(Step::Key(key), span)], Some(value)) = (&path[..], &value)
        && handles::is_handle(key)
    {
        let mut turned: Vec<&mut Document> = match &object {
            Some(reference) => vec![find_object(reference, documents)?],
            None => documents.iter_mut().filter(|d| !d.is_scenario()).collect(),
        };
        return handles::turn(key, span, value, &mut turned, version, assumptions);
    }
    if let [(Step::Key(key), span)] = &path[..] {
        misspelt(key, span, object.is_none())?;
    }
    let document = match &object {
        None => documents.iter_mut().find(|d| d.is_scenario()).ok_or_else(|| {
            let problem = Diagnostic::error("there is no scenario to set a value in");
            Box::new(path.first().map_or(problem.clone(), |(_, span)| problem.at(span, "")))
        })?,
        Some(reference) => find_object(reference, documents)?,
    };
    let Some((last, before)) = path.split_last() else { return Ok(()) };
    let mut node = &mut document.node;
    for (step, span) in before {
        node = descend(node, step, span)?;
    }
    match value {
        Some(value) => *descend(node, &last.0, &last.1)? = value,
        None => remove(node, &last.0, &last.1)?,
    }
    Ok(())
}

/// Takes a key or an element away.
fn remove(node: &mut Node, step: &Step, span: &Span) -> Result<(), Box<Diagnostic>> {
    let missing = || Err(Box::new(Diagnostic::error("there is nothing here that could be taken away").at(span, "")));
    match (step, &mut node.value) {
        (Step::Key(key), Value::Map(entries)) => match entries.iter().position(|e| e.key == *key) {
            Some(at) => _ = entries.remove(at),
            None => return missing(),
        },
        (Step::Index(at), Value::List(items)) if *at < items.len() => _ = items.remove(*at),
        _ => return missing(),
    }
    Ok(())
}

/// Refuses a field at the top that is none and looks like a short name. An object of Kubernetes may have other fields at its
/// top than these; what is near a short name is taken for one all the same, because it would change nothing.
fn misspelt(key: &str, span: &Span, of_scenario: bool) -> Result<(), Box<Diagnostic>> {
    const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    let names = handles::HANDLES.iter().map(|(name, _)| *name);
    let known = FIELDS.iter().copied().chain(names.clone());
    if FIELDS.contains(&key) || (!of_scenario && suggest::nearest(key, names.clone()).is_none()) {
        return Ok(());
    }
    let help = match suggest::nearest(key, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the short names are: {}", names.collect::<Vec<_>>().join(", ")),
    };
    let message = format!("there is no short name `{key}`, and no such field at the top of a scenario");
    let message = if of_scenario { message } else { format!("there is no short name `{key}`") };
    Err(Box::new(Diagnostic::error(message).at(span, "").help(help)))
}

fn find_object<'a>(reference: &Span, documents: &'a mut [Document]) -> Result<&'a mut Document, Box<Diagnostic>> {
    let full = |d: &Document| format!("{}/{}/{}", d.kind, d.namespace(), d.name());
    let wanted = reference.text();
    let matches = |d: &Document| full(d) == wanted || format!("{}/{}", d.kind, d.name()) == wanted;
    let found: Vec<usize> = (0..documents.len()).filter(|&i| matches(&documents[i])).collect();
    match found[..] {
        [one] => Ok(&mut documents[one]),
        [] => {
            let names: Vec<String> = documents.iter().filter(|d| !d.is_scenario()).map(full).collect();
            Err(Box::new(
                Diagnostic::error(format!("there is no object `{wanted}`"))
                    .at(reference, "expected Kind/namespace/name")
                    .help(suggest::help(wanted, "objects", names.iter().map(String::as_str))),
            ))
        }
        _ => {
            let names: Vec<String> = found.iter().map(|&i| full(&documents[i])).collect();
            Err(Box::new(
                Diagnostic::error(format!("there is more than one `{wanted}`"))
                    .at(reference, "")
                    .help(format!("name one of them: {}", names.join(", "))),
            ))
        }
    }
}

/// The node one step down, created if that is possible.
fn descend<'a>(node: &'a mut Node, step: &Step, span: &Span) -> Result<&'a mut Node, Box<Diagnostic>> {
    let found = node.describe();
    if node.value == Value::Null {
        node.value = match step {
            Step::Key(_) => Value::Map(Vec::new()),
            Step::Index(_) => Value::List(Vec::new()),
        };
    }
    let null = || Node { value: Value::Null, span: span.clone() };
    let wrong = |expected: &str| {
        let message = format!("`--set` goes into {expected} here, but there is {found}");
        Err(Box::new(Diagnostic::error(message).at(span, "")))
    };
    match (step, &mut node.value) {
        (Step::Key(key), Value::Map(entries)) => {
            let index = entries.iter().position(|e| e.key == *key).unwrap_or_else(|| {
                entries.push(Entry { key: key.clone(), key_span: span.clone(), node: null() });
                entries.len() - 1
            });
            Ok(&mut entries[index].node)
        }
        (Step::Index(index), Value::List(items)) => {
            if *index == items.len() {
                items.push(null());
            }
            let length = items.len();
            items.get_mut(*index).ok_or_else(|| {
                let has = match length {
                    0 => "it is empty".to_string(),
                    1 => "it has one element, [0]".to_string(),
                    _ => format!("its elements are [0] to [{}]", length - 1),
                };
                Box::new(Diagnostic::error(format!("there is no element [{index}] in this list: {has}")).at(span, ""))
            })
        }
        (Step::Key(_), _) => wrong("a map"),
        (Step::Index(_), _) => wrong("a list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::document::unfold;

    const FILE: &str = "apiVersion: drainsim/v1alpha1\nkind: Scenario\nspec: {traffic: [{rate: 1/s}]}\n---\n\
                        apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1}\n";

    fn set(sets: &[&str]) -> Result<Vec<Document>, String> {
        let (mut documents, mut problems) = (Vec::new(), Diagnostics::default());
        for node in tree::parse(&SourceFile::new("t", FILE, 0), 0).unwrap() {
            unfold(node, &mut documents, &mut problems);
        }
        apply(&sets.iter().map(|s| (*s).to_string()).collect::<Vec<_>>(), &mut documents, &mut problems);
        match problems.list.first() {
            None => Ok(documents),
            Some(problem) => Err(problem.message.clone()),
        }
    }

    #[test]
    fn values_are_changed_and_created() {
        let documents = set(&[
            "spec.traffic[0].rate=5/s",
            "spec.traffic[1].rate=6/s",
            "spec.duration=2m",
            "Deployment/default/web:spec.replicas=3",
            "Deployment/web:metadata.annotations.a\\.b/c=x",
        ])
        .unwrap();
        let traffic = documents[0].node.at(&["spec", "traffic"]).unwrap().items();
        assert_eq!(traffic[0].get("rate").unwrap().as_str(), Some("5/s"));
        assert_eq!(traffic[1].get("rate").unwrap().as_str(), Some("6/s"));
        assert_eq!(documents[0].node.at(&["spec", "duration"]).unwrap().as_str(), Some("2m"));
        assert_eq!(documents[1].node.at(&["spec", "replicas"]).unwrap().value, Value::Number("3".into()));
        assert_eq!(documents[1].node.at(&["metadata", "annotations", "a.b/c"]).unwrap().as_str(), Some("x"));
    }

    #[test]
    fn whole_maps_can_be_set_and_values_removed() {
        let documents = set(&["spec.nodes=[{name: a}]", "spec.traffic="]).unwrap();
        assert_eq!(documents[0].node.at(&["spec", "nodes"]).unwrap().items().len(), 1);
        assert_eq!(documents[0].node.at(&["spec", "traffic"]), None);
    }

    #[test]
    fn a_misspelt_short_name_is_told() {
        for text in ["preStp=1s", "prestop=1s", "minAvailabel=1", "Deployment/web:preStp=1s"] {
            assert!(set(&[text]).unwrap_err().contains("there is no short name"), "{text}");
        }
        assert!(set(&["Deployment/web:immutable=true"]).is_ok(), "kinds may have fields of their own");
    }

    #[test]
    fn keys_and_elements_are_taken_away_in_the_order_that_is_told() {
        let sets = ["spec.traffic[1]={rate: 2/s}", "spec.traffic[0]-", "Deployment/web:spec.replicas-"];
        let documents = set(&sets).unwrap();
        let traffic = documents[0].node.at(&["spec", "traffic"]).unwrap().items();
        assert_eq!((traffic.len(), traffic[0].get("rate").unwrap().as_str()), (1, Some("2/s")));
        assert_eq!(documents[1].node.at(&["spec", "replicas"]), None);
        assert_eq!(set(&["metadata.name=a-"]).unwrap()[0].name(), "a-", "a value may end with a dash");
    }

    #[test]
    fn bad_paths_are_refused() {
        for text in [
            "spec.traffic[1]-",
            "spec.trafic-",
            "-",
            "spec.traffic[0].rate.x-",
            "spec.duration",
            "=1",
            ".a=1",
            "a..b=1",
            "a[=1",
            "a[x]=1",
            "a[0]b=1",
            "spec.=1",
            "spec.traffic[5].rate=1/s",
            "spec.traffic.rate=1",
            "spec[0]=1",
            "Deployment/default/wbe:spec.replicas=1",
            "spec.duration=[1",
        ] {
            assert!(set(&[text]).is_err(), "{text}");
        }
    }
}
