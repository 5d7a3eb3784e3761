//! Services and PodDisruptionBudgets, and whether they select anything.

use std::collections::BTreeMap;

use crate::api::{Selector, Service, TemplateId};
use crate::scenario::compile::{Compiler, show_labels};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::source::{Span, Spanned};

impl Compiler<'_> {
    pub(super) fn services(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        let manifests = std::mem::take(&mut self.manifests.services);
        let mut kept = Vec::new();
        for manifest in manifests {
            let name = manifest.service.full_name();
            if let Some(first) = seen.insert(name.clone(), manifest.span.clone()) {
                self.push(
                    Diagnostic::error(format!("the Service `{name}` is given twice"))
                        .at(&manifest.span, "the second time")
                        .and_at(&first, "the first time"),
                );
                continue;
            }
            let mut service = manifest.service.clone();
            if let Some(given) = &manifest.traffic_distribution {
                self.check_distribution(&mut service, given);
            }
            self.setup.services.push(service);
            kept.push(manifest);
        }
        self.manifests.services = kept;
    }

    /// What an older apiserver does not know counts as if it were not there.
    fn check_distribution(&mut self, service: &mut Service, given: &Spanned<String>) {
        let version = self.setup.version;
        let (knows, since) = match given.value.as_str() {
            "PreferClose" => (version.traffic_distribution(), "1.31"),
            _ => (version.prefer_same_traffic_distribution(), "1.34"),
        };
        if !knows {
            service.traffic_distribution = None;
            let problem = Diagnostic::warning(format!("Kubernetes {version} does not know this `trafficDistribution`"));
            self.push(
                problem
                    .at(&given.span, format!("`{}` is on by default since {since}", given.value))
                    .note("it is left out: all endpoints are equally near"),
            );
        }
    }

    /// The templates whose pods a selector selects in a namespace.
    pub(super) fn selected(&self, namespace: &str, selector: &Selector) -> Vec<TemplateId> {
        let fits = |id: &TemplateId| {
            let template = &self.setup.templates[id.index()];
            template.namespace == namespace && selector.matches(&template.labels)
        };
        self.template_ids().filter(fits).collect()
    }

    /// What there is to select in a namespace, in words.
    pub(super) fn labels_in(&self, namespace: &str) -> String {
        let of = |id: TemplateId| &self.setup.templates[id.index()];
        let here: Vec<TemplateId> = self.template_ids().filter(|id| of(*id).namespace == namespace).collect();
        if here.is_empty() {
            let mut others: Vec<&str> = self.setup.templates.iter().map(|t| t.namespace.as_str()).collect();
            others.sort_unstable();
            others.dedup();
            return match others.len() {
                0 => "there are no pods in the manifests".into(),
                _ => format!("there are no pods in the namespace `{namespace}`, only in: {}", others.join(", ")),
            };
        }
        let mut labels: Vec<String> = here
            .iter()
            .map(|id| format!("{} has {}", self.templates[id.index()].title(), show_labels(&of(*id).labels)))
            .collect();
        labels.truncate(8);
        format!("labels of pods in the namespace `{namespace}`: {}", labels.join("; "))
    }

    pub(super) fn pdbs(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        // By template: the budget that selects it first.
        let mut first_of: BTreeMap<TemplateId, (String, Span)> = BTreeMap::new();
        for manifest in std::mem::take(&mut self.manifests.pdbs) {
            let name = manifest.pdb.full_name();
            if let Some(first) = seen.insert(name.clone(), manifest.span.clone()) {
                self.push(
                    Diagnostic::error(format!("the PodDisruptionBudget `{name}` is given twice"))
                        .at(&manifest.span, "the second time")
                        .and_at(&first, "the first time"),
                );
                continue;
            }
            let selector = manifest.pdb.selector.as_ref();
            let selected = selector.map(|s| self.selected(&manifest.pdb.namespace, s)).unwrap_or_default();
            if selected.is_empty() {
                let label = if selector.is_some() { "no pod has these labels" } else { "it has no selector" };
                let problem = Diagnostic::warning(format!("the PodDisruptionBudget `{name}` selects no pod"))
                    .at(&manifest.selector_span, label)
                    .help(self.labels_in(&manifest.pdb.namespace));
                self.push(problem);
            }
            let mut told = false;
            for id in selected {
                let Some((other, span)) = first_of.get(&id) else {
                    first_of.insert(id, (name.clone(), manifest.span.clone()));
                    continue;
                };
                if !told {
                    told = true;
                    let origin = &self.templates[id.index()];
                    let problem =
                        Diagnostic::warning(format!("two PodDisruptionBudgets select the pods of {}", origin.title()))
                            .at(&manifest.span, format!("`{name}`"))
                            .and_at(span, format!("`{other}`"))
                            .note("the apiserver answers evictions of such pods with 500, and `kubectl drain` fails");
                    self.problems.push(problem);
                }
            }
            self.setup.pdbs.push(manifest.pdb);
        }
    }
}
