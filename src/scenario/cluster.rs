//! A whole cluster as input: what `kubectl get … -A -o yaml` or `kubectl cluster-info dump` has written, and a drain that is
//! asked about. There is no scenario to write: it is made here, from what the cluster has and what the question says.
//!
//! What a cluster hands out has passed its apiserver, so nothing of it is refused: what cannot be read, or is not modelled,
//! is left out, and that is said once for each kind of thing.

mod question;
mod said_once;
mod synthesis;
mod upgrade;

use std::collections::BTreeMap;

use crate::api::Version;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::scenario::document::{Document, unfold};
use crate::scenario::load::{Files, Input, read_documents};
use crate::scenario::source::SourceFile;
use crate::scenario::tree::{self, Node};
use crate::scenario::unknown_apps::UnknownApps;
use crate::scenario::{Ignored, Originals, compile, suggest};
use crate::simulation::Setup;

pub use question::{AppOf, Question, RateOf, Targets, Then, Upgrade};

/// A cluster and what is done to it, ready to run.
#[derive(Clone, PartialEq, Debug)]
pub struct Cluster {
    /// What a run starts from. Its last action is the last thing that is done.
    pub setup: Setup,
    /// The nodes that are drained, in order.
    pub nodes: Vec<String>,
    /// Objects that are not modelled, by kind.
    pub ignored: Vec<Ignored>,
    /// What may make the answer wrong.
    pub warnings: Vec<String>,
    /// What the input does not say, and what was taken instead.
    pub assumptions: Vec<String>,
    /// The applications of which nothing is known.
    pub unknown_apps: UnknownApps,
    /// The objects as they were exported.
    pub originals: Originals,
}

impl Cluster {
    /// Reads the files, and makes a scenario of them and the question.
    ///
    /// # Errors
    /// What is wrong with the files or the question.
    pub fn load(files: &dyn Files, inputs: &[Input], question: &Question) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::default();
        let documents = read_documents(files, inputs, &mut problems);
        let read = if problems.has_errors() { None } else { read(documents, question, &mut problems) };
        match read {
            Some(cluster) if !problems.has_errors() => Ok(cluster),
            _ => {
                problems.list.retain(|d| d.severity == Severity::Error);
                problems.sort();
                Err(problems)
            }
        }
    }
}

fn read(documents: Vec<Document>, question: &Question, problems: &mut Diagnostics) -> Option<Cluster> {
    if let Some(scenario) = documents.iter().find(|d| d.is_scenario()) {
        let problem = Diagnostic::error("`drainsim drain` makes the scenario itself");
        problems.push(
            problem.at(&scenario.kind_span, "one is in the input").help("run it with `drainsim run`, or leave it out"),
        );
        return None;
    }
    let mut assumptions = Vec::new();
    let mut documents = without_duplicates(documents, &mut assumptions);
    let nodes = drained(&documents, question, problems)?;
    let version = question.version.unwrap_or_else(|| version_of(&documents, &mut assumptions));
    missing_kinds(&documents, &mut assumptions);
    let scenario = synthesis::scenario(&documents, question, &nodes, version, &mut assumptions, problems)?;
    documents.push(scenario);
    let mut scenario = compile::compile(&documents, true, problems)?;
    upgrade::actions(&mut scenario.setup, question, &nodes, &mut assumptions);
    assumptions.append(&mut scenario.assumptions);
    problems.sort();
    let warnings = problems.list.iter().filter(|d| d.severity == Severity::Warning);
    Some(Cluster {
        setup: scenario.setup,
        nodes,
        ignored: scenario.ignored,
        unknown_apps: scenario.unknown_apps,
        warnings: said_once::merged(warnings),
        assumptions,
        originals: scenario.originals,
    })
}

/// An object that is there twice, as in a dump beside a list, counts once: as it is first.
fn without_duplicates(documents: Vec<Document>, assumptions: &mut Vec<String>) -> Vec<Document> {
    let mut seen: BTreeMap<(String, String, String, String), ()> = BTreeMap::new();
    let all = documents.len();
    let key = |d: &Document| (d.group.clone(), d.kind.clone(), d.namespace().to_string(), d.name().to_string());
    let kept: Vec<Document> =
        documents.into_iter().filter(|d| d.name().is_empty() || seen.insert(key(d), ()).is_none()).collect();
    match all - kept.len() {
        0 => {}
        1 => assumptions.push("1 object is in the input twice: the first copy counts".into()),
        n => assumptions.push(format!("{n} objects are in the input more than once: the first copy counts")),
    }
    kept
}

/// The nodes that the question means.
fn drained(documents: &[Document], question: &Question, problems: &mut Diagnostics) -> Option<Vec<String>> {
    let nodes: Vec<&Document> = documents.iter().filter(|d| d.group.is_empty() && d.kind == "Node").collect();
    let mut names: Vec<&str> = nodes.iter().map(|d| d.name()).collect();
    if nodes.is_empty() {
        // the nodes that pods name are taken as plain ones
        names = of_kind(documents, "Pod").filter_map(|d| d.node.at(&["spec", "nodeName"])?.as_str()).collect();
        names.sort_unstable();
        names.dedup();
    }
    if names.is_empty() {
        let problem = Diagnostic::error("the input has no nodes, and no pod that names one");
        problems.push(problem.help(HOW_TO_EXPORT));
        return None;
    }
    match &question.targets {
        Targets::All => Some(names.into_iter().map(str::to_string).collect()),
        Targets::Selected(selector) => {
            let fits = |d: &&&Document| selector.matches(&labels(d.node.at(&["metadata", "labels"])));
            let found: Vec<String> = nodes.iter().filter(fits).map(|d| d.name().to_string()).collect();
            if found.is_empty() {
                problems.push(Diagnostic::error("no node of the input has these labels"));
                return None;
            }
            Some(found)
        }
        Targets::Named(wanted) => {
            for name in wanted.iter().filter(|name| !names.contains(&name.as_str())) {
                let problem = Diagnostic::error(format!("nodes \"{name}\" not found in the input"));
                problems.push(problem.help(suggest::help(name, "nodes", names.iter().copied())));
            }
            for (_, name) in wanted.iter().enumerate().filter(|(at, name)| wanted[..*at].contains(name)) {
                let problem = Diagnostic::error(format!("the node \"{name}\" is named twice"));
                problems.push(problem.help("leave it out once"));
            }
            (!problems.has_errors()).then(|| wanted.clone())
        }
    }
}

/// What to run to have everything that matters.
pub const HOW_TO_EXPORT: &str =
    "write it with: kubectl get nodes,deploy,rs,sts,ds,jobs,pods,svc,endpointslices,pdb,hpa -A -o yaml";

/// The version that most nodes have.
fn version_of(documents: &[Document], assumptions: &mut Vec<String>) -> Version {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for node in of_kind(documents, "Node") {
        let kubelet = node.node.at(&["status", "nodeInfo", "kubeletVersion"]).and_then(Node::as_str);
        // v1.33.4-gke.1036000
        let minor = kubelet.and_then(|v| v.strip_prefix("v1.")).and_then(|v| v.split(['.', '+', '-']).next());
        if let Some(minor) = minor.filter(|m| m.parse::<u32>().is_ok()) {
            *counts.entry(format!("1.{minor}")).or_default() += 1;
        }
    }
    let most = counts.iter().max_by_key(|(_, count)| **count).map(|(version, _)| version.clone());
    let version = match most.as_deref().map(str::parse::<Version>) {
        Some(Ok(version)) => version,
        Some(Err(_)) => {
            let found = most.unwrap_or_default();
            let nearest = if found < format!("{}", Version::OLDEST) { Version::OLDEST } else { Version::NEWEST };
            assumptions.push(format!("the nodes have Kubernetes {found}, which is not modelled: taken as {nearest}"));
            nearest
        }
        None => {
            let version = Version::default();
            assumptions.push(format!("Kubernetes {version}, since no node says its version (`--kubernetes`)"));
            version
        }
    };
    if counts.len() > 1 {
        let versions: Vec<String> = counts.keys().cloned().collect();
        assumptions.push(format!("the nodes have the versions {}: taken as {version} throughout", versions.join(", ")));
    }
    version
}

/// What an export often lacks, and what that means.
fn missing_kinds(documents: &[Document], assumptions: &mut Vec<String>) {
    let has = |kind: &str| of_kind(documents, kind).next().is_some();
    for (kind, meaning) in [
        (
            "PodDisruptionBudget",
            "every eviction is admitted (`kubectl cluster-info dump` leaves them out: add `kubectl get pdb -A -o json`)",
        ),
        ("Service", "nobody sends requests, so none are lost"),
    ] {
        if !has(kind) {
            assumptions.push(format!("the input has no {kind}: {meaning}"));
        }
    }
    if !has("Pod") {
        assumptions.push("the input has no pods: every workload is taken to be rolled out and Ready, placed by the scheduler's rules".into());
    }
}

fn of_kind<'a>(documents: &'a [Document], kind: &'a str) -> impl Iterator<Item = &'a Document> + Clone {
    documents.iter().filter(move |d| d.kind == kind)
}

/// A map of labels.
fn labels(node: Option<&Node>) -> crate::api::Labels {
    let entries = node.map(Node::entries).unwrap_or_default();
    entries.iter().filter_map(|e| Some((e.key.clone(), e.node.as_str()?.to_string()))).collect()
}

/// A document that was made here.
fn document(name: &str, text: &str, problems: &mut Diagnostics) -> Option<Document> {
    let mut documents = Vec::new();
    match tree::parse(&SourceFile::new(name, text, u32::MAX), 0) {
        Ok(roots) => roots.into_iter().for_each(|root| unfold(root, &mut documents, problems)),
        Err(problem) => problems.push(*problem),
    }
    documents.pop()
}
