//! `kubectl apply` in the middle of a run: the objects are read when the scenario is, so that what is wrong with them is told
//! then.

use crate::api::pdb::PdbSpec;
use crate::api::workload::Strategy;
use crate::api::{PdbId, TemplateId};
use crate::scenario::compile::Compiler;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::Document;
use crate::scenario::manifests::{self, DeploymentManifest, PdbManifest};
use crate::scenario::source::Spanned;
use crate::scenario::suggest;
use crate::simulation::setup::Applied;

/// An object of an `apply`, read.
pub(super) enum AppliedManifest {
    /// A Deployment that is there.
    Deployment {
        /// Its index.
        deployment: usize,
        /// `spec.replicas`, if given.
        replicas: Option<u32>,
        /// `spec.strategy`.
        strategy: Strategy,
        /// `spec.minReadySeconds`.
        min_ready_seconds: u64,
        /// `spec.template`.
        template: TemplateId,
    },
    /// A budget.
    Pdb(PdbManifest),
}

impl Compiler<'_> {
    /// Reads the objects of all `apply` actions, and adds their templates to those of the start.
    pub(super) fn applied_objects(&mut self) {
        let spec = self.spec;
        for (action, entry) in spec.actions.iter().enumerate() {
            let Some(objects) = &entry.apply else { continue };
            let read: Vec<AppliedManifest> = objects.0.iter().filter_map(|d| self.applied_object(d)).collect();
            self.applied.insert(action, read);
        }
    }

    fn applied_object(&mut self, document: &Document) -> Option<AppliedManifest> {
        let errors = self.problems.list.len();
        let mut read = manifests::read(std::slice::from_ref(document), self.setup.version, false, self.problems);
        if let Some(manifest) = read.deployments.pop() {
            let replicas = document.node.at(&["spec", "replicas"]).map(|_| manifest.replicas);
            return self.applied_deployment(manifest, replicas);
        }
        if let Some(manifest) = read.pdbs.pop() {
            return Some(AppliedManifest::Pdb(manifest));
        }
        if self.problems.list[errors..].iter().all(|d| d.severity != crate::scenario::Severity::Error) {
            self.push(
                Diagnostic::error(format!("drainsim cannot apply a {} in the middle of a run", document.kind))
                    .at(&document.kind_span, "not modelled")
                    .help("Deployments that are there can be changed, and PodDisruptionBudgets made or changed"),
            );
        }
        None
    }

    fn applied_deployment(&mut self, manifest: DeploymentManifest, replicas: Option<u32>) -> Option<AppliedManifest> {
        let DeploymentManifest { meta, strategy, min_ready_seconds, template, .. } = manifest;
        let full = meta.full_name();
        let position = self.setup.deployments.iter().position(|d| format!("{}/{}", d.namespace, d.name) == full);
        let Some(deployment) = position else {
            let names: Vec<String> = self.setup.deployments.iter().map(|d| d.name.clone()).collect();
            self.push(
                Diagnostic::error(format!("there is no Deployment `{full}` that could be changed"))
                    .at(&meta.name.span, "drainsim does not make new Deployments in the middle of a run")
                    .help(suggest::help(&meta.name.value, "Deployments", names.iter().map(String::as_str))),
            );
            return None;
        };
        // a template that this Deployment has had already is no new one
        let same = |i: &usize| {
            let origin = &self.templates[*i];
            (origin.kind, origin.namespace.as_str(), origin.name.as_str())
                == ("Deployment", meta.namespace.as_str(), meta.name.value.as_str())
                && self.setup.templates[*i] == template.template
        };
        let known = (0..self.templates.len()).find(same).map(TemplateId::from);
        let template = known.unwrap_or_else(|| self.add_template("Deployment", &meta.namespace, &meta.name, template));
        Some(AppliedManifest::Deployment { deployment, replicas, strategy, min_ready_seconds, template })
    }

    /// The objects of an action, with their indices.
    pub(super) fn apply(&mut self, action: usize) -> Option<Vec<Applied>> {
        let read = self.applied.remove(&action)?;
        read.into_iter().map(|object| self.resolved(object)).collect()
    }

    fn resolved(&mut self, object: AppliedManifest) -> Option<Applied> {
        match object {
            AppliedManifest::Deployment { deployment, replicas, strategy, min_ready_seconds, template } => {
                Some(Applied::Deployment { deployment, replicas, strategy, min_ready_seconds, template })
            }
            AppliedManifest::Pdb(PdbManifest { pdb: new, span, selector_span }) => {
                let (budget, unhealthy) = (new.budget, new.unhealthy);
                let known = self.all_pdbs().position(|p| p.full_name() == new.full_name());
                let index = match known {
                    Some(index) => {
                        let old = self.all_pdbs().nth(index)?;
                        if old.selector != new.selector {
                            self.push(
                                Diagnostic::error(
                                    "drainsim cannot change the selector of a budget in the middle of a run",
                                )
                                .at(&selector_span, "differs from the budget's selector")
                                .help("delete the budget with `deletePdb`, and apply one of another name"),
                            );
                            return None;
                        }
                        index
                    }
                    None => {
                        let selects = |t: &crate::api::PodTemplate| {
                            t.namespace == new.namespace && new.selector.as_ref().is_some_and(|s| s.matches(&t.labels))
                        };
                        if !self.setup.templates.iter().any(selects) {
                            let message = format!("the PodDisruptionBudget `{}` selects no pod", new.full_name());
                            self.push(Diagnostic::warning(message).at(&span, "no pod has these labels"));
                        }
                        self.setup.later_pdbs.push(new);
                        self.setup.pdbs.len() + self.setup.later_pdbs.len() - 1
                    }
                };
                Some(Applied::Pdb { pdb: PdbId::from(index), budget, unhealthy })
            }
        }
    }

    /// The budget of this name, of the start or applied before in the list of actions.
    pub(super) fn pdb_named(&mut self, name: &Spanned<String>) -> Option<PdbId> {
        let all = self.all_pdbs().map(|p| (p.namespace.clone(), p.name.clone())).collect();
        self.one_named("PodDisruptionBudget", name, all).map(PdbId::from)
    }

    fn all_pdbs(&self) -> impl Iterator<Item = &PdbSpec> {
        self.setup.pdbs.iter().chain(&self.setup.later_pdbs)
    }
}
