//! What is wrong with manifests, told without a run.
//!
//! [`lint`] reads inputs as a scenario is read and asks every [`Rule`] about them. A rule is a constant of one of the files
//! beside this one, which stand together by subject; [`RULES`] lists them all. What a rule claims about harm is shown by a
//! pair of scenarios under `tests/lint/`: with the finding requests are lost or a drain does not end, without it not.

mod budgets;
mod cluster;
mod drain;
mod grace;
mod hooks;
mod readiness;
mod replicas;
mod rule;
mod services;
mod signals;

use std::collections::BTreeSet;

use crate::api::Version;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::scenario::document::Document;
use crate::scenario::load::{Files, Input, manifests_in, read_documents};
use cluster::Cluster;

pub use rule::{Finding, RULES, Rule};

/// What is asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// The version that rules go by; the scenario's, or the newest that is well tested, if there is none.
    pub version: Option<Version>,
    /// Only these rules; all if empty.
    pub only: Vec<String>,
    /// Not these rules.
    pub disabled: Vec<String>,
    /// Nothing less severe than this.
    pub at_least: Severity,
}

impl Default for Options {
    fn default() -> Self {
        Self { version: None, only: Vec::new(), disabled: Vec::new(), at_least: Severity::Info }
    }
}

impl Options {
    fn wants(&self, rule: &Rule) -> bool {
        let named = |list: &[String]| list.iter().any(|id| id == rule.id);
        (self.only.is_empty() || named(&self.only)) && !named(&self.disabled)
    }
}

/// The findings about some inputs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Findings {
    /// In the order of files and lines; nothing is said twice of one place.
    pub list: Vec<Finding>,
    /// How many objects were looked at.
    pub objects: usize,
    /// What could not be read of files beside others that could.
    pub unread: Diagnostics,
}

/// Looks at inputs. Several scenarios are looked at one by one, each with the manifests that it names; everything else is
/// taken for one cluster.
///
/// # Errors
/// Nothing at all can be read: files are not there, texts are no YAML, documents are no Kubernetes objects. Where something
/// can, the rest is in [`Findings::unread`].
pub fn lint(files: &dyn Files, inputs: &[Input], options: &Options) -> Result<Findings, Diagnostics> {
    let mut findings = Findings::default();
    let (clusters, unread) = clusters(files, inputs)?;
    findings.unread = unread;
    for documents in clusters {
        findings.objects += documents.iter().filter(|d| !d.is_scenario()).count();
        let cluster = Cluster::read(&documents, options.version);
        for rule in RULES.iter().filter(|rule| options.wants(rule)) {
            findings.list.extend(rule.ask(&cluster).into_iter().filter(|f| f.severity <= options.at_least));
        }
    }
    let place = |f: &Finding| (f.place.file.order, f.place.file.name.clone(), f.place.start);
    findings.list.sort_by_key(place);
    findings.list.dedup_by(|a, b| a.rule.id == b.rule.id && place(a) == place(b) && a.message == b.message);
    Ok(findings)
}

/// The documents of the inputs, one list for each cluster that they describe.
fn clusters(files: &dyn Files, inputs: &[Input]) -> Result<(Vec<Vec<Document>>, Diagnostics), Diagnostics> {
    let mut unread = Diagnostics::default();
    let together = read_documents(files, inputs, &mut unread);
    unread.list.retain(|d| d.severity == Severity::Error);
    unread.sort();
    if together.is_empty() && unread.has_errors() {
        return Err(unread);
    }
    if together.iter().filter(|d| d.is_scenario()).count() <= 1 {
        return Ok((vec![together], unread));
    }
    let mut single = Vec::new();
    for input in inputs {
        match input {
            Input::Path(path) if files.is_directory(path) => {
                let found = manifests_in(files, path).map_err(|problem| Diagnostics { list: vec![*problem] })?;
                single.extend(found.into_iter().map(Input::Path));
            }
            other => single.push(other.clone()),
        }
    }
    let (mut clusters, mut others, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
    for input in single {
        // What cannot be read has been told above.
        let documents = read_documents(files, std::slice::from_ref(&input), &mut Diagnostics::default());
        if documents.iter().any(Document::is_scenario) {
            taken.extend(documents.iter().map(|d| d.kind_span.file.name.clone()));
            clusters.push(documents);
        } else {
            others.push((input, documents));
        }
    }
    let is_taken = |documents: &[Document]| documents.first().is_some_and(|d| taken.contains(&d.kind_span.file.name));
    others.retain(|(_, documents)| !is_taken(documents));
    if !others.is_empty() {
        clusters.push(others.into_iter().flat_map(|(_, documents)| documents).collect());
    }
    Ok((clusters, unread))
}

impl Finding {
    /// As it is printed: the place, what, the fix, and with `why` the reason and where to read more.
    #[must_use]
    pub fn diagnostic(&self, why: bool) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(self.severity, self.message.clone()).at(&self.place, self.label.clone());
        diagnostic.code = Some(self.rule.id);
        for (span, label) in &self.related {
            diagnostic = diagnostic.and_at(span, label.clone());
        }
        for note in &self.notes {
            diagnostic = diagnostic.note(note.clone());
        }
        if why {
            diagnostic = diagnostic.note(self.rule.why).note(format!("read more: {}", self.rule.page()));
        }
        diagnostic.help(self.fix.clone())
    }
}
