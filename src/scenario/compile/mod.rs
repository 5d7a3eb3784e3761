//! The scenario document and the manifests together become a [`Setup`]: names are resolved, defaults filled in, and what
//! does not fit together is told.

mod actions;
mod apply;
mod apps;
mod capacity;
mod clients;
mod components;
mod controllers;
mod found;
mod fronts;
mod gates;
mod kube_proxy;
mod kubelet;
mod nodes;
mod operators;
mod path;
mod services;
mod serving;
mod traffic;
mod waiting;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Labels, TemplateId, Version};
use crate::engine::{Duration, Time};
use crate::scenario::compile::apply::AppliedManifest;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::document::Document;
use crate::scenario::file::{API_VERSION, KIND, ScenarioFile, Spec};
use crate::scenario::manifests::{self, ContainerManifest, Manifests};
use crate::scenario::originals::Originals;
use crate::scenario::read::Read;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest;
use crate::scenario::tree::Node;
use crate::scenario::unknown_apps::UnknownApps;
use crate::scenario::{Scenario, expectations};
use crate::simulation::latency::Hop;
use crate::simulation::setup::Setup;

pub(super) use found::some_of;

/// No run may be longer: 31 days.
const DURATION_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// Makes a scenario of the documents; `None` if there is none, or if `problems` now has errors.
///
/// Of an `export` of a whole cluster, what is assumed of many containers is told once.
pub(super) fn compile(documents: &[Document], export: bool, problems: &mut Diagnostics) -> Option<Scenario> {
    let document = the_scenario(documents, problems);
    let file = document.and_then(|d| ScenarioFile::read(&d.node, problems));
    // The version is needed to read manifests, also when something else is wrong with the scenario.
    let version = document.and_then(|d| d.node.at(&["spec", "kubernetes"])).map(version_of);
    let version = version.flatten().unwrap_or_default();
    let manifests = manifests::read(documents, version, export, problems);
    if problems.has_errors() {
        return None;
    }
    let file = file?;
    let mut compiler = Compiler {
        spec: &file.spec.value,
        spec_span: &file.spec.span,
        manifests,
        problems,
        assumptions: Vec::new(),
        of_many: Vec::new(),
        made_up_stateful_sets: BTreeSet::new(),
        made_up_jobs: BTreeSet::new(),
        templates: Vec::new(),
        applied: BTreeMap::new(),
        unknown_apps: UnknownApps::default(),
        setup: Setup { version, duration: file.spec.value.duration.value, ..Setup::default() },
    };
    compiler.run(export);
    let ignored = std::mem::take(&mut compiler.manifests.ignored);
    let mut originals = Originals::new(documents);
    for template in &compiler.templates {
        originals.add_template(template.kind, &template.namespace, &template.name);
    }
    let Compiler { setup, assumptions, unknown_apps, problems, .. } = compiler;
    let expectations = expectations::read(&file.spec.value.expect, &setup, problems);
    Some(Scenario {
        name: file.metadata.name,
        description: file.metadata.description.unwrap_or_default(),
        labels: file.metadata.labels.0.into_iter().map(|(key, value)| (key.value, value)).collect(),
        seed: file.spec.value.seed,
        setup,
        expectations,
        warnings: Vec::new(),
        assumptions,
        unknown_apps,
        ignored,
        originals,
    })
}

fn version_of(node: &Node) -> Option<Version> {
    Version::read(node, &mut Diagnostics::default())
}

/// The one scenario among the documents.
fn the_scenario<'a>(documents: &'a [Document], problems: &mut Diagnostics) -> Option<&'a Document> {
    let mut scenarios = documents.iter().filter(|d| d.is_scenario());
    let Some(first) = scenarios.next() else {
        // If a file could not be read, the scenario was probably in it.
        if !problems.has_errors() {
            let found = documents.len();
            let problem = Diagnostic::error("there is no scenario in the input");
            let problem = match found {
                0 => problem,
                1 => problem.note("it has one Kubernetes object"),
                _ => problem.note(format!("it has {found} Kubernetes objects")),
            };
            problems.push(
                problem.help(format!("a scenario is a document with `apiVersion: {API_VERSION}` and `kind: {KIND}`")),
            );
        }
        return None;
    };
    for other in scenarios {
        problems.push(
            Diagnostic::error("there are two scenarios in the input")
                .at(&other.kind_span, "the second one")
                .and_at(&first.kind_span, "the first one")
                .help("run them one by one, or put what they share into a file of manifests"),
        );
    }
    Some(first)
}

/// What the parts work with.
struct Compiler<'a> {
    spec: &'a Spec,
    spec_span: &'a Span,
    manifests: Manifests,
    problems: &'a mut Diagnostics,
    assumptions: Vec<String>,
    /// What is assumed of single containers: the same in words for many, whose container, and which of the assumptions says it.
    of_many: Vec<(String, String, usize)>,
    /// StatefulSets and Jobs that are known by their pods only.
    made_up_stateful_sets: BTreeSet<usize>,
    made_up_jobs: BTreeSet<usize>,
    /// Beside `setup.templates`, in the same order.
    templates: Vec<TemplateOrigin>,
    /// The objects of `apply` actions, by the action's index.
    applied: BTreeMap<usize, Vec<AppliedManifest>>,
    unknown_apps: UnknownApps,
    setup: Setup,
}

/// Whose template it is.
struct TemplateOrigin {
    /// `Deployment`, `ReplicaSet`, `StatefulSet`, `DaemonSet`, `Job` or `Pod`.
    kind: &'static str,
    /// The namespace.
    namespace: String,
    /// The name of the workload, or of the first pod.
    name: String,
    containers: Vec<ContainerManifest>,
    /// Where its readiness gates stand.
    gates: Vec<Span>,
    /// Of its pods.
    annotations: BTreeMap<String, String>,
}

impl TemplateOrigin {
    /// `Deployment default/web`.
    fn title(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Compiler<'_> {
    fn run(&mut self, export: bool) {
        self.check_duration();
        if self.spec.kubernetes.is_none() {
            let version = self.setup.version;
            self.assume(format!("Kubernetes {version}, since the scenario names no version (`spec.kubernetes`)"));
        }
        self.nodes();
        self.workloads();
        self.applied_objects();
        self.services();
        self.serving();
        self.fronts();
        self.apps();
        self.pdbs();
        self.traffic();
        self.readiness_gates();
        self.actions();
        self.latencies();
        self.tell_assumptions_of_many(export);
        self.kube_proxy();
        self.components();
        self.kubelet();
    }

    fn check_duration(&mut self) {
        let Spanned { value: duration, span } = &self.spec.duration;
        if duration.is_zero() {
            self.push(Diagnostic::error("a run of no time has no outcome").at(span, "expected more than 0s"));
        } else if *duration > DURATION_MAX {
            self.push(Diagnostic::error("the run is too long").at(span, format!("at most {DURATION_MAX}")));
        }
    }

    fn latencies(&mut self) {
        if let Some(profile) = self.spec.latency_profile {
            self.setup.latencies = profile.latencies();
        }
        for (name, distribution) in &self.spec.latencies.0 {
            match Hop::by_name(&name.value) {
                Some(hop) => self.setup.latencies.set(hop, distribution.clone()),
                None => self.problems.push(
                    Diagnostic::error(format!("there is no latency named `{}`", name.value))
                        .at(&name.span, "unknown hop")
                        .help(suggest::help(&name.value, "latencies", Hop::ALL.iter().map(|h| h.name()))),
                ),
            }
        }
    }

    fn push(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// Something that is assumed of one container, in a whole sentence; `of_many` says it of any number of them.
    fn assume_of(&mut self, who: &str, of_many: String, sentence: String) {
        self.of_many.push((of_many, who.to_string(), self.assumptions.len()));
        self.assume(sentence);
    }

    /// What is assumed of many containers alike is said once, where it was said first; of an export in any case, for a
    /// cluster has hundreds of them.
    fn tell_assumptions_of_many(&mut self, export: bool) {
        const MANY: usize = 4;
        let least = if export { 1 } else { MANY };
        let mut groups: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
        for (what, who, place) in std::mem::take(&mut self.of_many) {
            groups.entry(what).or_default().push((who, place));
        }
        let mut gone = BTreeSet::new();
        for (what, members) in groups.into_iter().filter(|(_, members)| members.len() >= least) {
            let count = match members.len() {
                1 => "1 container".to_string(),
                n => format!("{n} containers"),
            };
            let say_so = if export { "" } else { " (`apps[]` says otherwise)" };
            let mut who: Vec<String> = members.iter().map(|(who, _)| who.clone()).collect();
            if export {
                who.sort();
            }
            let mut places = members.iter().map(|(_, place)| *place);
            if let Some(first) = places.next() {
                self.assumptions[first] = format!("{count} {what}{say_so}: {}", found::some_of(&who));
            }
            gone.extend(places);
        }
        let kept = std::mem::take(&mut self.assumptions).into_iter().enumerate().filter(|(at, _)| !gone.contains(at));
        self.assumptions = kept.map(|(_, sentence)| sentence).collect();
    }

    fn assume(&mut self, sentence: String) {
        self.assumptions.push(sentence);
    }

    /// The node of this name, among those of the start and those that join.
    fn knows_node(&self, name: &str) -> bool {
        self.setup.nodes.iter().any(|n| n.node.name == name)
    }

    fn unknown_node(&self, name: &Spanned<String>) -> Diagnostic {
        let names = self.setup.nodes.iter().map(|n| n.node.name.as_str());
        Diagnostic::error(format!("there is no node `{}`", name.value))
            .at(&name.span, "unknown node")
            .help(suggest::help(&name.value, "nodes", names))
    }

    /// The index of the Deployment that is meant by `name` or `namespace/name`; told if there is none.
    fn deployment(&mut self, name: &Spanned<String>) -> Option<usize> {
        let all = self.setup.deployments.iter().map(|d| (d.namespace.clone(), d.name.clone())).collect();
        self.one_named("Deployment", name, all)
    }

    /// The index of the object that is meant by `name` or `namespace/name` among all of its kind, which are given by namespace
    /// and name; told if it is none or several.
    fn one_named(&mut self, kind: &str, name: &Spanned<String>, all: Vec<(String, String)>) -> Option<usize> {
        let fits = |i: &usize| is_named(&name.value, &all[*i].0, &all[*i].1);
        let found: Vec<usize> = (0..all.len()).filter(fits).collect();
        let names: Vec<String> = all.iter().map(|(namespace, name)| short_name(namespace, name)).collect();
        match &found[..] {
            [one] => Some(*one),
            [] => {
                self.push(
                    Diagnostic::error(format!("there is no {kind} `{}`", name.value))
                        .at(&name.span, format!("unknown {kind}"))
                        .help(suggest::help(&name.value, &format!("{kind}s"), names.iter().map(String::as_str))),
                );
                None
            }
            several => {
                let names: Vec<&str> = several.iter().map(|&i| names[i].as_str()).collect();
                self.push(
                    Diagnostic::error(format!("there is more than one {kind} `{}`", name.value))
                        .at(&name.span, "in several namespaces")
                        .help(format!("write one of: {}", names.join(", "))),
                );
                None
            }
        }
    }

    /// Every template, with its labels and namespace, that a selector may meet.
    fn template_ids(&self) -> impl Iterator<Item = TemplateId> + use<> {
        (0..self.setup.templates.len()).map(TemplateId::from)
    }
}

/// Whether `reference` (`name` or `namespace/name`) means this object.
fn is_named(reference: &str, namespace: &str, name: &str) -> bool {
    match reference.split_once('/') {
        Some((n, rest)) => n == namespace && rest == name,
        None => reference == name,
    }
}

/// `name` in the default namespace, else `namespace/name`.
fn short_name(namespace: &str, name: &str) -> String {
    if namespace == "default" { name.to_string() } else { format!("{namespace}/{name}") }
}

fn show_labels(labels: &Labels) -> String {
    if labels.is_empty() {
        return "none".into();
    }
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

/// The instant so long after the start.
fn instant(span: Duration) -> Time {
    Time::ZERO + span
}
