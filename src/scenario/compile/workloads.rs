//! Deployments, ReplicaSets and pods. A cluster's dump has the pods of Deployments, too: they tell where the
//! Deployment's pods are, and are not simulated twice.

use std::collections::BTreeMap;

use crate::api::{Owner, RestartPolicy, Selector, TemplateId};
use crate::scenario::compile::found::FoundPods;
use crate::scenario::compile::{Compiler, TemplateOrigin, is_named};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::manifests::{PodManifest, ReplicaSetManifest, TemplateManifest};
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest;
use crate::simulation::found::FoundOwner;
use crate::simulation::setup::{DeploymentSetup, PodSetup, ReplicaSetSetup};

/// No scenario may start with more pods (the largest supported clusters have 150,000).
const PODS_MAX: u64 = 200_000;

/// Who simulates a pod that is in the input.
enum Maker {
    /// The Deployment of this index.
    Deployment(usize),
    /// The ReplicaSet of this index.
    ReplicaSet(usize),
    /// The StatefulSet of this name.
    StatefulSet(String),
    /// The DaemonSet of this name.
    DaemonSet(String),
    /// The Job of this name.
    Job(String),
    /// Nobody: it is simulated as a single pod.
    Nobody(Owner),
}

impl Compiler<'_> {
    pub(super) fn workloads(&mut self) {
        self.deployments();
        self.replica_sets();
        self.stateful_sets();
        self.daemon_sets();
        self.jobs();
        self.pods();
        self.autoscalers();
        self.placements();
        let single = self.setup.pods.len() as u64;
        let pods: u64 = self.setup.deployments.iter().map(|d| u64::from(d.replicas)).sum::<u64>()
            + self.setup.replica_sets.iter().map(|r| u64::from(r.replicas)).sum::<u64>()
            + self.setup.stateful_sets.iter().map(|s| u64::from(s.replicas)).sum::<u64>()
            + self.setup.jobs.iter().map(|j| u64::from(j.parallelism)).sum::<u64>()
            + (self.setup.daemon_sets.len() * self.setup.nodes.len()) as u64
            + single;
        if pods > PODS_MAX {
            self.push(Diagnostic::error(format!("the scenario has {pods} pods; at most {PODS_MAX} can be simulated")));
        }
    }

    fn deployments(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for manifest in std::mem::take(&mut self.manifests.deployments) {
            let meta = manifest.meta;
            if self.is_duplicate("Deployment", &meta.full_name(), &meta.name.span, &mut seen) {
                continue;
            }
            let template = self.add_template("Deployment", &meta.namespace, &meta.name, manifest.template);
            self.setup.deployments.push(DeploymentSetup {
                namespace: meta.namespace,
                name: meta.name.value,
                replicas: manifest.replicas,
                strategy: manifest.strategy,
                min_ready_seconds: manifest.min_ready_seconds,
                selector: manifest.selector,
                template,
                placement: Vec::new(),
            });
        }
    }

    /// Those of a Deployment of the input are made by it.
    fn replica_sets(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        let all = std::mem::take(&mut self.manifests.replica_sets);
        for manifest in &all {
            let ReplicaSetManifest { meta, replicas, min_ready_seconds, selector, template, .. } = manifest;
            if self.is_duplicate("ReplicaSet", &meta.full_name(), &meta.name.span, &mut seen) {
                continue;
            }
            if self.deployment_of(manifest).is_some() || (meta.owner.is_some() && *replicas == 0) {
                continue;
            }
            let template = self.add_template("ReplicaSet", &meta.namespace, &meta.name, template.clone());
            self.setup.replica_sets.push(ReplicaSetSetup {
                namespace: meta.namespace.clone(),
                name: meta.name.value.clone(),
                replicas: *replicas,
                min_ready_seconds: *min_ready_seconds,
                selector: selector.clone(),
                template,
                placement: Vec::new(),
            });
        }
        self.manifests.replica_sets = all;
    }

    fn deployment_of(&self, replica_set: &ReplicaSetManifest) -> Option<usize> {
        let owner = replica_set.meta.owner.as_ref().filter(|o| o.kind == "Deployment")?;
        let namespace = &replica_set.meta.namespace;
        self.setup.deployments.iter().position(|d| d.namespace == *namespace && d.name == owner.name)
    }

    fn pods(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        let (mut finished, mut leaving) = (0, Vec::new());
        let mut found = FoundPods::default();
        for manifest in std::mem::take(&mut self.manifests.pods) {
            if self.is_duplicate("Pod", &manifest.meta.full_name(), &manifest.meta.name.span, &mut seen) {
                continue;
            }
            if manifest.phase.is_terminal() {
                finished += 1;
                found.saw(&manifest.meta.namespace);
            } else if manifest.meta.deleting {
                found.saw(&manifest.meta.namespace);
                leaving.push(manifest.meta.name);
            } else {
                self.pod(manifest, &mut found);
            }
        }
        self.found(found);
        if finished > 0 {
            self.assume(match finished {
                1 => "1 pod that has ended (Succeeded or Failed) is left out".to_string(),
                n => format!("{n} pods that have ended (Succeeded or Failed) are left out"),
            });
        }
        if let Some(first) = leaving.first() {
            let (message, label) = match leaving.len() {
                1 => (format!("the pod `{}` is being deleted already, and left out", first.value), "this one"),
                n => (format!("{n} pods are being deleted already, and left out"), "the first of them"),
            };
            self.push(Diagnostic::warning(message).at(&first.span, label).note(
                "a real drain waits for those on its node, and for ever if the node does not answer (--skip-wait-for-delete-timeout)",
            ));
        }
    }

    /// Pods whose controller is not simulated; of one that is in the input itself this has been told.
    fn tell_unreplaced(&mut self, owner: &Owner, span: &Span) {
        let Owner::Other { kind, .. } = owner else { return };
        let message = format!("the pods of a {kind} are not replaced");
        let of_kind = format!("the kind {kind} is not modelled");
        if self.problems.list.iter().any(|d| d.message == message || d.message.starts_with(&of_kind)) {
            return;
        }
        self.push(
            Diagnostic::warning(message).at(span, "its controller is not modelled: when this pod goes, none comes"),
        );
    }

    fn pod(&mut self, mut manifest: PodManifest, found: &mut FoundPods) {
        let node = self.node_of_pod(&mut manifest);
        let maker = self.maker(&manifest);
        let template = match &maker {
            Maker::Deployment(index) => Some(self.setup.deployments[*index].template),
            Maker::ReplicaSet(index) => Some(self.setup.replica_sets[*index].template),
            Maker::StatefulSet(name) => {
                let mut sets = self.setup.stateful_sets.iter();
                sets.find(|s| s.namespace == manifest.meta.namespace && s.name == *name).map(|s| s.template)
            }
            Maker::DaemonSet(_) | Maker::Job(_) | Maker::Nobody(_) => None,
        };
        if let Some(template) = template {
            self.take_injected(template, &manifest.template);
        }
        match maker {
            Maker::Deployment(index) => {
                if found.add(FoundOwner::Deployment(index), &manifest, node.as_ref()).is_none() {
                    self.setup.deployments[index].placement.extend(node);
                }
            }
            Maker::ReplicaSet(index) => {
                if found.add(FoundOwner::ReplicaSet(index), &manifest, node.as_ref()).is_none() {
                    self.setup.replica_sets[index].placement.extend(node);
                }
            }
            Maker::StatefulSet(name) => {
                found.add_other(&manifest, &mut self.setup);
                self.stateful_set_of_pod(&manifest, &name, node);
            }
            Maker::DaemonSet(name) => {
                found.add_other(&manifest, &mut self.setup);
                self.daemon_set_of_pod(&manifest, &name, node);
            }
            Maker::Job(name) => {
                let at = node.clone();
                let job = self.job_of_pod(&manifest, &name, node);
                found.add_to_job(job, &manifest, at.as_ref(), &mut self.setup);
            }
            Maker::Nobody(owner) => {
                found.add_other(&manifest, &mut self.setup);
                let PodManifest { meta, template, .. } = manifest;
                self.tell_unreplaced(&owner, &meta.name.span);
                let template = self.add_template("Pod", &meta.namespace, &meta.name, template);
                self.setup.pods.push(PodSetup { name: meta.name.value, owner, template, node });
            }
        }
    }

    /// Where the pod is; taken out of its template, so that pods that differ in nothing else share one.
    fn node_of_pod(&mut self, manifest: &mut PodManifest) -> Option<String> {
        let name = manifest.template.template.placement.node_name.take()?;
        if self.knows_node(&name) {
            return Some(name);
        }
        let name = Spanned { value: name, span: manifest.meta.name.span.clone() };
        let mut problem = self.unknown_node(&name);
        problem.severity = crate::scenario::Severity::Warning;
        problem.message = format!("the node `{}` of this pod is not in the input", name.value);
        problem.place = Some((name.span, "the scheduler places it anew".into()));
        self.push(problem);
        None
    }

    fn maker(&mut self, manifest: &PodManifest) -> Maker {
        let meta = &manifest.meta;
        if meta.mirror {
            return Maker::Nobody(Owner::Mirror);
        }
        let Some(owner) = &meta.owner else { return Maker::Nobody(Owner::None) };
        match owner.kind.as_str() {
            "Node" => Maker::Nobody(Owner::Mirror),
            "StatefulSet" => Maker::StatefulSet(owner.name.clone()),
            "DaemonSet" => Maker::DaemonSet(owner.name.clone()),
            "Job" => Maker::Job(owner.name.clone()),
            "ReplicaSet" | "ReplicationController" => {
                let replica_set = self
                    .manifests
                    .replica_sets
                    .iter()
                    .find(|r| r.meta.namespace == meta.namespace && r.meta.name.value == owner.name);
                // Without the ReplicaSet, its name still tells the Deployment's: NAME-HASH.
                let deployment = replica_set.map_or_else(
                    || {
                        let name = owner.name.rsplit_once('-')?.0;
                        self.setup.deployments.iter().position(|d| d.namespace == meta.namespace && d.name == name)
                    },
                    |replica_set| self.deployment_of(replica_set),
                );
                if let Some(index) = deployment {
                    return Maker::Deployment(index);
                }
                Maker::ReplicaSet(self.replica_set_of_pod(manifest, &owner.name))
            }
            kind => Maker::Nobody(Owner::Other { kind: kind.into(), name: owner.name.clone() }),
        }
    }

    /// The ReplicaSet of a pod; made up from its pods if the input does not have it.
    fn replica_set_of_pod(&mut self, manifest: &PodManifest, name: &str) -> usize {
        let namespace = &manifest.meta.namespace;
        let position = self.setup.replica_sets.iter().position(|r| r.namespace == *namespace && r.name == name);
        let given =
            self.manifests.replica_sets.iter().any(|r| r.meta.namespace == *namespace && r.meta.name.value == name);
        if let Some(index) = position {
            if !given {
                self.setup.replica_sets[index].replicas += 1;
            }
            return index;
        }
        self.assume(format!(
            "ReplicaSet {namespace}/{name} is not in the input: taken to have as many replicas as it has pods there"
        ));
        let named = Spanned { value: name.to_string(), span: manifest.meta.name.span.clone() };
        let mut template = manifest.template.clone();
        template.template.placement.node_name = None;
        let template = self.add_template("ReplicaSet", namespace, &named, template);
        self.setup.replica_sets.push(ReplicaSetSetup {
            namespace: namespace.clone(),
            name: name.to_string(),
            replicas: 1,
            min_ready_seconds: 0,
            selector: Selector::labels(manifest.template.template.labels.clone()),
            template,
            placement: Vec::new(),
        });
        self.setup.replica_sets.len() - 1
    }

    /// `spec.placement`: where the scenario wants the first pods.
    fn placements(&mut self) {
        for (name, nodes) in &self.spec.placement.0 {
            for node in nodes {
                match self.setup.nodes.iter().find(|n| n.node.name == node.value) {
                    None => {
                        let problem = self.unknown_node(node);
                        self.push(problem);
                    }
                    Some(n) => {
                        if let Some(at) = n.ready_at {
                            self.push(
                                Diagnostic::error(format!("the node `{}` is not there at the start", node.value))
                                    .at(&node.span, format!("it joins, and is Ready at {at}"))
                                    .help("place pods on nodes without `ready`"),
                            );
                        }
                    }
                }
            }
            let names: Vec<String> = nodes.iter().map(|n| n.value.clone()).collect();
            let set = self.setup.replica_sets.iter().position(|r| is_named(&name.value, &r.namespace, &r.name));
            let stateful = self.setup.stateful_sets.iter().position(|s| is_named(&name.value, &s.namespace, &s.name));
            let job = self.setup.jobs.iter().position(|j| is_named(&name.value, &j.namespace, &j.name));
            let replicas = if let Some(index) = stateful {
                self.setup.stateful_sets[index].placement = names;
                self.setup.stateful_sets[index].replicas
            } else if let Some(index) = job {
                self.setup.jobs[index].placement = names;
                self.setup.jobs[index].parallelism
            } else if let Some(index) = set {
                self.setup.replica_sets[index].placement = names;
                self.setup.replica_sets[index].replicas
            } else {
                let Some(index) = self.deployment(name) else { continue };
                self.setup.deployments[index].placement = names;
                self.setup.deployments[index].replicas
            };
            if nodes.len() as u64 > u64::from(replicas) {
                let message = format!("`{}` has {replicas} replicas, and {} nodes for them", name.value, nodes.len());
                self.push(Diagnostic::warning(message).at(&name.span, "the last nodes get none"));
            }
        }
    }

    pub(super) fn is_duplicate(
        &mut self,
        kind: &str,
        name: &str,
        span: &Span,
        seen: &mut BTreeMap<String, Span>,
    ) -> bool {
        let Some(first) = seen.insert(name.to_string(), span.clone()) else { return false };
        self.push(
            Diagnostic::error(format!("the {kind} `{name}` is given twice"))
                .at(span, "the second time")
                .and_at(&first, "the first time"),
        );
        true
    }

    /// The id of a template; pods that are alike share one.
    pub(super) fn add_template(
        &mut self,
        kind: &'static str,
        namespace: &str,
        name: &Spanned<String>,
        manifest: TemplateManifest,
    ) -> TemplateId {
        let TemplateManifest { template, containers, gates, annotations, restart_policy, .. } = manifest;
        if let (Some(span), "Deployment" | "ReplicaSet" | "DaemonSet", policy) =
            (&restart_policy, kind, template.restart_policy)
            && policy != RestartPolicy::Always
        {
            // pkg/apis/apps/validation/validation.go ValidatePodTemplateSpecForReplicaSet (v1.36)
            self.push(
                Diagnostic::error(format!("the pods of a {kind} have the restartPolicy Always, not {policy:?}"))
                    .at(span, "the apiserver refuses this")
                    .help("leave it out"),
            );
        }
        if kind == "Pod" {
            let same = |i: &usize| self.templates[*i].kind == "Pod" && self.setup.templates[*i] == template;
            if let Some(index) = (0..self.templates.len()).find(same) {
                return TemplateId::from(index);
            }
        }
        if let Some(node) = &template.placement.node_name
            && !self.knows_node(node)
        {
            let names = self.setup.nodes.iter().map(|n| n.node.name.as_str());
            let problem = Diagnostic::error(format!("there is no node `{node}`, which spec.nodeName wants"))
                .at(&name.span, "of this workload")
                .help(suggest::help(node, "nodes", names));
            self.push(problem);
        }
        self.setup.templates.push(template);
        self.templates.push(TemplateOrigin {
            kind,
            namespace: namespace.to_string(),
            name: name.value.clone(),
            containers,
            gates,
            annotations,
        });
        TemplateId::from(self.setup.templates.len() - 1)
    }

    /// Names of all that makes pods, for suggestions: as pods' names begin.
    pub(super) fn pod_name_prefixes(&self) -> Vec<(String, String)> {
        let deployments = self.setup.deployments.iter().map(|d| (d.namespace.clone(), d.name.clone()));
        let replica_sets = self.setup.replica_sets.iter().map(|r| (r.namespace.clone(), r.name.clone()));
        let pods = &self.setup.pods;
        let pods = pods.iter().map(|p| (self.setup.templates[p.template.index()].namespace.clone(), p.name.clone()));
        let stateful_sets = self.setup.stateful_sets.iter().map(|s| (s.namespace.clone(), s.name.clone()));
        let daemon_sets = self.setup.daemon_sets.iter().map(|s| (s.namespace.clone(), s.name.clone()));
        let jobs = self.setup.jobs.iter().map(|j| (j.namespace.clone(), j.name.clone()));
        deployments.chain(replica_sets).chain(stateful_sets).chain(daemon_sets).chain(jobs).chain(pods).collect()
    }
}
