//! StatefulSets, DaemonSets, Jobs and autoscalers. A controller that pods name and the input lacks is made up from them.

use std::collections::BTreeMap;

use crate::api::autoscaler::ScaleTarget;
use crate::api::daemon_set::DaemonSetUpdate;
use crate::api::job::PodReplacementPolicy;
use crate::api::stateful_set::{PodManagement, StatefulSetUpdate, ordinal_of};
use crate::api::{DeploymentId, ReplicaSetId, Selector, StatefulSetId};
use crate::scenario::compile::Compiler;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::manifests::PodManifest;
use crate::scenario::source::Span;
use crate::simulation::setup::{AutoscalerSetup, DaemonSetSetup, JobSetup, StatefulSetSetup};

impl Compiler<'_> {
    pub(super) fn stateful_sets(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for manifest in std::mem::take(&mut self.manifests.stateful_sets) {
            let meta = manifest.meta;
            if self.is_duplicate("StatefulSet", &meta.full_name(), &meta.name.span, &mut seen) {
                continue;
            }
            let template = self.add_template("StatefulSet", &meta.namespace, &meta.name, manifest.template);
            self.setup.stateful_sets.push(StatefulSetSetup {
                namespace: meta.namespace,
                name: meta.name.value,
                replicas: manifest.replicas,
                first_ordinal: manifest.first_ordinal,
                management: manifest.management,
                update: manifest.update,
                min_ready_seconds: manifest.min_ready_seconds,
                selector: manifest.selector,
                template,
                placement: Vec::new(),
            });
        }
    }

    /// Has one on each node that is there and fits; those that are in the input keep their names.
    pub(super) fn daemon_sets(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for manifest in std::mem::take(&mut self.manifests.daemon_sets) {
            let meta = manifest.meta;
            if self.is_duplicate("DaemonSet", &meta.full_name(), &meta.name.span, &mut seen) {
                continue;
            }
            let template = self.add_template("DaemonSet", &meta.namespace, &meta.name, manifest.template);
            self.setup.daemon_sets.push(DaemonSetSetup {
                namespace: meta.namespace,
                name: meta.name.value,
                update: manifest.update,
                min_ready_seconds: manifest.min_ready_seconds,
                selector: manifest.selector,
                template,
                pods: BTreeMap::new(),
            });
        }
    }

    /// Those that have ended or are suspended make no pods, and are left out.
    pub(super) fn jobs(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for manifest in std::mem::take(&mut self.manifests.jobs) {
            let meta = manifest.meta;
            if self.is_duplicate("Job", &meta.full_name(), &meta.name.span, &mut seen) || manifest.idle {
                continue;
            }
            let template = self.add_template("Job", &meta.namespace, &meta.name, manifest.template);
            self.setup.jobs.push(JobSetup {
                namespace: meta.namespace,
                name: meta.name.value,
                parallelism: manifest.parallelism,
                completions: manifest.completions,
                backoff_limit: manifest.backoff_limit,
                replacement: manifest.replacement,
                failure_policy: manifest.failure_policy,
                template,
                placement: Vec::new(),
            });
        }
    }

    pub(super) fn autoscalers(&mut self) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for manifest in std::mem::take(&mut self.manifests.autoscalers) {
            let meta = manifest.meta;
            if self.is_duplicate("HorizontalPodAutoscaler", &meta.full_name(), &meta.name.span, &mut seen) {
                continue;
            }
            let namespace = meta.namespace.as_str();
            let named = |ns: &str, name: &str| ns == namespace && name == manifest.target.value;
            let setup = &self.setup;
            let target = match manifest.kind.as_str() {
                "Deployment" => setup
                    .deployments
                    .iter()
                    .position(|d| named(&d.namespace, &d.name))
                    .map(|i| ScaleTarget::Deployment(DeploymentId::from(i))),
                "StatefulSet" => setup
                    .stateful_sets
                    .iter()
                    .position(|s| named(&s.namespace, &s.name))
                    .map(|i| ScaleTarget::StatefulSet(StatefulSetId::from(i))),
                "ReplicaSet" | "ReplicationController" => setup
                    .replica_sets
                    .iter()
                    .position(|r| named(&r.namespace, &r.name))
                    .map(|i| ScaleTarget::ReplicaSet(ReplicaSetId::from(i))),
                _ => None,
            };
            let Some(target) = target else {
                let message = format!("there is no {} `{}` for this autoscaler", manifest.kind, manifest.target.value);
                let problem = Diagnostic::warning(message);
                self.push(problem.at(&manifest.target.span, "the autoscaler is left out"));
                continue;
            };
            if manifest.per_pod.is_none() {
                self.assume(format!(
                    "HorizontalPodAutoscaler {}: its metric is taken to follow the requests, and each pod has just its \
                     target at the start",
                    meta.full_name()
                ));
            }
            self.setup.autoscalers.push(AutoscalerSetup {
                namespace: meta.namespace,
                name: meta.name.value,
                target,
                min_replicas: manifest.min_replicas,
                max_replicas: manifest.max_replicas,
                per_pod: manifest.per_pod,
                stabilization: manifest.stabilization,
            });
        }
    }

    /// The StatefulSet of a pod. One that the input lacks has as many replicas as its pods' ordinals ask for.
    pub(super) fn stateful_set_of_pod(&mut self, manifest: &PodManifest, name: &str, node: Option<String>) {
        let namespace = &manifest.meta.namespace;
        let ordinal = ordinal_of(&manifest.meta.name.value).unwrap_or(0);
        let sets = &self.setup.stateful_sets;
        let index = sets.iter().position(|s| s.namespace == *namespace && s.name == name).unwrap_or_else(|| {
            self.assume_made_up("StatefulSet", namespace, name, "as many replicas as its pods there ask for");
            let template = self.template_of_owner("StatefulSet", manifest, name, STATEFUL_LABELS);
            let selector = Selector::labels(self.setup.templates[template.index()].labels.clone());
            self.made_up_stateful_sets.insert(self.setup.stateful_sets.len());
            self.setup.stateful_sets.push(StatefulSetSetup {
                namespace: namespace.clone(),
                name: name.to_string(),
                replicas: 0,
                first_ordinal: 0,
                management: PodManagement::OrderedReady,
                update: StatefulSetUpdate::default(),
                min_ready_seconds: 0,
                selector,
                template,
                placement: Vec::new(),
            });
            self.setup.stateful_sets.len() - 1
        });
        let is_made_up = self.made_up_stateful_sets.contains(&index);
        let set = &mut self.setup.stateful_sets[index];
        if is_made_up {
            set.replicas = set.replicas.max(ordinal + 1);
        }
        let at = ordinal.saturating_sub(set.first_ordinal) as usize;
        if at < set.replicas as usize {
            // an empty name: the scheduler's rules place it
            set.placement.resize(set.placement.len().max(at + 1), String::new());
            set.placement[at] = node.unwrap_or_default();
        }
    }

    pub(super) fn daemon_set_of_pod(&mut self, manifest: &PodManifest, name: &str, node: Option<String>) {
        let namespace = &manifest.meta.namespace;
        let sets = &self.setup.daemon_sets;
        let index = sets.iter().position(|s| s.namespace == *namespace && s.name == name).unwrap_or_else(|| {
            self.assume_made_up("DaemonSet", namespace, name, "a pod on each node that fits one of its pods");
            let template = self.template_of_owner("DaemonSet", manifest, name, DAEMON_LABELS);
            let selector = Selector::labels(self.setup.templates[template.index()].labels.clone());
            self.setup.daemon_sets.push(DaemonSetSetup {
                namespace: namespace.clone(),
                name: name.to_string(),
                update: DaemonSetUpdate::default(),
                min_ready_seconds: 0,
                selector,
                template,
                pods: BTreeMap::new(),
            });
            self.setup.daemon_sets.len() - 1
        });
        if let Some(node) = node {
            self.setup.daemon_sets[index].pods.insert(node, manifest.meta.name.value.clone());
        }
    }

    /// The index of the Job.
    pub(super) fn job_of_pod(&mut self, manifest: &PodManifest, name: &str, node: Option<String>) -> usize {
        let namespace = &manifest.meta.namespace;
        let jobs = &self.setup.jobs;
        let index = jobs.iter().position(|j| j.namespace == *namespace && j.name == name).unwrap_or_else(|| {
            self.assume_made_up("Job", namespace, name, "as many completions as it has pods there");
            let template = self.template_of_owner("Job", manifest, name, JOB_LABELS);
            self.made_up_jobs.insert(self.setup.jobs.len());
            self.setup.jobs.push(JobSetup {
                namespace: namespace.clone(),
                name: name.to_string(),
                parallelism: 0,
                completions: Some(0),
                backoff_limit: 6,
                replacement: PodReplacementPolicy::default(),
                failure_policy: None,
                template,
                placement: Vec::new(),
            });
            self.setup.jobs.len() - 1
        });
        let is_made_up = self.made_up_jobs.contains(&index);
        let job = &mut self.setup.jobs[index];
        if is_made_up {
            job.parallelism += 1;
            job.completions = job.completions.map(|n| n + 1);
        }
        job.placement.push(node.unwrap_or_default());
        index
    }

    fn assume_made_up(&mut self, kind: &str, namespace: &str, name: &str, what: &str) {
        self.assume(format!("{kind} {namespace}/{name} is not in the input: taken to have {what}"));
    }

    /// The template of a controller that is known by one of its pods only: the pod's, without what the controller adds.
    fn template_of_owner(
        &mut self,
        kind: &'static str,
        manifest: &PodManifest,
        name: &str,
        added: &[&str],
    ) -> crate::api::TemplateId {
        let mut template = manifest.template.clone();
        template.template.placement.node_name = None;
        template.template.labels.retain(|key, _| !added.contains(&key.as_str()));
        let named = crate::scenario::source::Spanned { value: name.to_string(), span: manifest.meta.name.span.clone() };
        self.add_template(kind, &manifest.meta.namespace, &named, template)
    }
}

/// Labels that the controllers add to those of the template (`pkg/controller/statefulset/stateful_set_utils.go`,
/// `pkg/controller/daemon/util/daemonset_util.go`, `pkg/controller/job/job_controller.go`, v1.36).
const STATEFUL_LABELS: &[&str] =
    &["statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "controller-revision-hash"];
const DAEMON_LABELS: &[&str] = &["controller-revision-hash", "pod-template-generation"];
const JOB_LABELS: &[&str] = &["batch.kubernetes.io/job-completion-index"];
