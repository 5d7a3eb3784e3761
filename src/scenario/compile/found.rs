//! A cluster's own ReplicaSets and pods, where the input has them with their status: they keep their names, their nodes and
//! whether they are Ready.
//!
//! In a namespace of which any pod has a status, the pods of the input are taken to be all there are. Elsewhere (manifests
//! as people write them) workloads start rolled out.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Phase, Selector, TemplateId};
use crate::scenario::compile::Compiler;
use crate::scenario::manifests::{PodManifest, PodState, ReplicaSetManifest};
use crate::simulation::Setup;
use crate::simulation::control_plane::deployment::{replica_set_name, replica_set_selector};
use crate::simulation::found::{FoundOwner, FoundPod, FoundReplicaSet, FoundState};

/// Pods with a status, while the input is gone through.
#[derive(Default)]
pub(super) struct FoundPods {
    /// By owner and name of the ReplicaSet.
    by_replica_set: BTreeMap<(FoundOwner, String), Vec<FoundPod>>,
    /// Namespaces of which pods have been found.
    namespaces: BTreeSet<String>,
    /// Pods that stay as they are, and why, in words.
    pub unready: BTreeMap<String, Vec<String>>,
}

impl FoundPods {
    /// A pod of a ReplicaSet; `None`: the input does not say how it is.
    pub fn add(&mut self, owner: FoundOwner, manifest: &PodManifest, node: Option<&String>) -> Option<()> {
        let state = self.note(manifest)?;
        let replica_set = manifest.meta.owner.as_ref()?.name.clone();
        let pod = FoundPod { name: manifest.meta.name.value.clone(), node: node.cloned(), state };
        self.by_replica_set.entry((owner, replica_set)).or_default().push(pod);
        Some(())
    }

    /// A pod of another controller that is modelled, or of none.
    pub fn add_other(&mut self, manifest: &PodManifest, setup: &mut Setup) {
        if let Some(state) = self.note(manifest) {
            setup.found.pods.insert(manifest.meta.full_name(), state);
        }
    }

    /// A pod of the Job of this index.
    pub fn add_to_job(&mut self, job: usize, manifest: &PodManifest, node: Option<&String>, setup: &mut Setup) {
        if let Some(state) = self.note(manifest) {
            setup.found.pods.insert(manifest.meta.full_name(), state);
            let pod = FoundPod { name: manifest.meta.name.value.clone(), node: node.cloned(), state };
            setup.found.jobs.entry(job).or_default().push(pod);
        }
    }

    /// How a pod was found, and a note of it if it will not become Ready.
    pub fn note(&mut self, manifest: &PodManifest) -> Option<FoundState> {
        let PodState { ready, why } = manifest.state.as_ref()?;
        self.namespaces.insert(manifest.meta.namespace.clone());
        let state = match (manifest.phase, why) {
            _ if *ready => FoundState::Ready,
            (Phase::Pending, None) => FoundState::Starting,
            (Phase::Pending, Some(_)) => FoundState::Stuck,
            _ => FoundState::NotReady,
        };
        if matches!(state, FoundState::Stuck | FoundState::NotReady) {
            let why = why.clone().unwrap_or_else(|| "Running, not Ready".into());
            self.unready.entry(why).or_default().push(manifest.meta.full_name());
        }
        Some(state)
    }

    /// A pod that ends or is ending was there, too.
    pub fn saw(&mut self, namespace: &str) {
        self.namespaces.insert(namespace.to_string());
    }
}

impl Compiler<'_> {
    /// Puts what was found into the setup.
    pub(super) fn found(&mut self, mut found: FoundPods) {
        let manifests = std::mem::take(&mut self.manifests.replica_sets);
        for number in 0..self.setup.deployments.len() {
            let d = &self.setup.deployments[number];
            if !found.namespaces.contains(&d.namespace) {
                continue;
            }
            let (namespace, name, replicas, template) = (d.namespace.clone(), d.name.clone(), d.replicas, d.template);
            let base = d.selector.clone();
            let of = FoundOwner::Deployment(number);
            let mut sets = self.replica_sets_of(&manifests, &namespace, &name, of, template, &mut found);
            if sets.is_empty() {
                let name = replica_set_name(&namespace, &name, 1);
                let (selector, pods) = (Selector::default(), Vec::new());
                sets.push(FoundReplicaSet { of, name, revision: 1, template, replicas, selector, pods });
            }
            for set in &mut sets {
                set.selector = replica_set_selector(&base, &set.name);
            }
            self.setup.found.replica_sets.append(&mut sets);
        }
        for number in 0..self.setup.replica_sets.len() {
            let rs = &self.setup.replica_sets[number];
            if !found.namespaces.contains(&rs.namespace) {
                continue;
            }
            let of = FoundOwner::ReplicaSet(number);
            let pods = found.by_replica_set.remove(&(of, rs.name.clone())).unwrap_or_default();
            let (name, template, replicas) = (rs.name.clone(), rs.template, rs.replicas);
            let selector = rs.selector.clone();
            let set = FoundReplicaSet { of, name, revision: 1, template, replicas, selector, pods };
            self.setup.found.replica_sets.push(set);
        }
        self.manifests.replica_sets = manifests;
        self.setup.found.namespaces = found.namespaces;
        self.never_ready();
        for (why, mut pods) in found.unready {
            pods.sort();
            let many = match pods.len() {
                1 => "1 pod is".to_string(),
                n => format!("{n} pods are"),
            };
            let sentence = format!("{many} not Ready ({why}), and taken to stay so: {}", some_of(&pods));
            self.assume(sentence);
        }
    }

    /// The ReplicaSets of a Deployment that have pods or want some, and the newest one, in the order of their revisions.
    fn replica_sets_of(
        &mut self,
        manifests: &[ReplicaSetManifest],
        namespace: &str,
        deployment: &str,
        of: FoundOwner,
        template: TemplateId,
        found: &mut FoundPods,
    ) -> Vec<FoundReplicaSet> {
        let is_its = |rs: &&ReplicaSetManifest| {
            let owner = rs.meta.owner.as_ref();
            rs.meta.namespace == namespace && owner.is_some_and(|o| o.kind == "Deployment" && o.name == deployment)
        };
        let mut mine: Vec<&ReplicaSetManifest> = manifests.iter().filter(is_its).collect();
        mine.sort_by_key(|rs| rs.revision);
        let mut sets = Vec::new();
        let newest = mine.len().saturating_sub(1);
        for (at, rs) in mine.into_iter().enumerate() {
            let name = rs.meta.name.value.clone();
            let pods = found.by_replica_set.remove(&(of, name.clone())).unwrap_or_default();
            if at < newest && rs.replicas == 0 && pods.is_empty() {
                continue;
            }
            let template = if at == newest {
                template
            } else {
                self.add_template("ReplicaSet", namespace, &rs.meta.name, rs.template.clone())
            };
            let revision = u32::try_from(at).unwrap_or(u32::MAX) + 1;
            let selector = Selector::default();
            sets.push(FoundReplicaSet { of, name, revision, template, replicas: rs.replicas, selector, pods });
        }
        // pods whose ReplicaSet is not in the input: of the newest one, as far as anybody knows
        let keys: Vec<_> = found.by_replica_set.keys().filter(|(owner, _)| *owner == of).cloned().collect();
        for key in keys {
            let pods = found.by_replica_set.remove(&key).unwrap_or_default();
            let replicas = u32::try_from(pods.len()).unwrap_or(u32::MAX);
            let revision = u32::try_from(sets.len()).unwrap_or(u32::MAX) + 1;
            let selector = Selector::default();
            sets.push(FoundReplicaSet { of, name: key.1, revision, template, replicas, selector, pods });
        }
        sets
    }

    /// Templates of which pods were found not Ready, and none Ready or on its way.
    fn never_ready(&mut self) {
        let mut states: BTreeMap<TemplateId, (bool, bool)> = BTreeMap::new();
        for set in &self.setup.found.replica_sets {
            for pod in &set.pods {
                let (hopeful, hopeless) = states.entry(set.template).or_default();
                match pod.state {
                    FoundState::Ready | FoundState::Starting => *hopeful = true,
                    FoundState::NotReady | FoundState::Stuck => *hopeless = true,
                }
            }
        }
        for set in &self.setup.stateful_sets {
            for ordinal in set.first_ordinal..set.first_ordinal + set.replicas {
                let name = format!("{}/{}-{ordinal}", set.namespace, set.name);
                let (hopeful, hopeless) = states.entry(set.template).or_default();
                match self.setup.found.pods.get(&name) {
                    None => {}
                    Some(FoundState::Ready | FoundState::Starting) => *hopeful = true,
                    Some(FoundState::NotReady | FoundState::Stuck) => *hopeless = true,
                }
            }
        }
        let hopeless = states.into_iter().filter(|(_, (hopeful, hopeless))| *hopeless && !hopeful);
        let hopeless: BTreeSet<TemplateId> = hopeless.map(|(id, _)| id).collect();
        if !hopeless.is_empty() {
            let titles: Vec<String> = hopeless.iter().map(|id| self.templates[id.index()].title()).collect();
            self.assume(format!(
                "no pod of {} is Ready: new ones are taken not to become Ready either",
                some_of(&titles)
            ));
        }
        self.setup.found.never_ready = hopeless;
    }
}

/// A few names, and how many more there are.
pub(crate) fn some_of(names: &[String]) -> String {
    const SHOWN_MAX: usize = 3;
    match names.len().checked_sub(SHOWN_MAX) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN_MAX].join(", ")),
    }
}
