//! The store behind the apiserver: every write makes a new revision, and old ones stay readable, so that each component
//! can be shown the past that its watch has delivered.
//!
//! All versions are kept to the end of a run: they are small, and a report may ask for the state at any time.

use std::collections::BTreeMap;

use crate::api::autoscaler::HorizontalPodAutoscaler;
use crate::api::daemon_set::DaemonSet;
use crate::api::job::Job;
use crate::api::labels::{LabelSetId, Labels, Selector};
use crate::api::meta::{NodeId, PdbId, PodId, ServiceId, TemplateId};
use crate::api::node::Node;
use crate::api::pdb::{Pdb, PdbSpec};
use crate::api::pod::{ContainerStatus, Handover, Owner, Pod, PodMeta, PodTemplate, StatusesId};
use crate::api::service::{Endpoints, Service};
use crate::api::stateful_set::StatefulSet;
use crate::api::workload::{Deployment, ReplicaSet};
use crate::engine::Time;

/// A resourceVersion: one sequence over all objects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

/// The kinds of object that change during a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Pods.
    Pod,
    /// Nodes.
    Node,
    /// PodDisruptionBudgets.
    Pdb,
    /// EndpointSlices, those of one Service together.
    Endpoints,
    /// ReplicaSets.
    ReplicaSet,
    /// Deployments.
    Deployment,
    /// StatefulSets.
    StatefulSet,
    /// DaemonSets.
    DaemonSet,
    /// Jobs.
    Job,
    /// HorizontalPodAutoscalers.
    Autoscaler,
}

/// All versions of all objects of one kind.
#[derive(Clone, Debug)]
pub struct Table<T> {
    objects: Vec<Vec<Stored<T>>>,
}

/// One version: when it was written, and what; `None` when the object was removed.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    /// The revision of the write.
    pub revision: Revision,
    /// The time of the write.
    pub time: Time,
    /// The object, or `None` from its removal on.
    pub value: Option<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { objects: Vec::new() }
    }
}

impl<T> Table<T> {
    /// How many objects there have ever been.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there has never been one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The newest version; `None` if the object is gone.
    #[must_use]
    pub fn head(&self, index: usize) -> Option<&T> {
        self.objects.get(index)?.last()?.value.as_ref()
    }

    /// The revision of the newest version.
    #[must_use]
    pub fn head_revision(&self, index: usize) -> Revision {
        self.objects[index].last().map_or(Revision(0), |v| v.revision)
    }

    /// What a reader sees to whom everything up to `seen` has been delivered.
    #[must_use]
    pub fn at(&self, index: usize, seen: Revision) -> Option<&T> {
        self.stored_at(index, seen)?.value.as_ref()
    }

    /// As [`at`](Self::at), with the revision of the version.
    #[must_use]
    pub fn stored_at(&self, index: usize, seen: Revision) -> Option<&Stored<T>> {
        self.objects.get(index)?.iter().rev().find(|v| v.revision <= seen)
    }

    /// The version before `revision`, which a watcher compares with.
    #[must_use]
    pub fn before(&self, index: usize, revision: Revision) -> Option<&T> {
        self.objects.get(index)?.iter().rev().find(|v| v.revision < revision)?.value.as_ref()
    }

    /// How many versions the object has: a number for the next one that does not depend on other objects.
    #[must_use]
    pub fn version_count(&self, index: usize) -> u64 {
        self.objects.get(index).map_or(0, |v| v.len() as u64)
    }

    /// The revision of the newest version, and how many versions there are.
    #[must_use]
    pub fn newest(&self, index: usize) -> (Revision, u64) {
        (self.head_revision(index), self.version_count(index))
    }

    /// All versions of an object, oldest first.
    #[must_use]
    pub fn history(&self, index: usize) -> &[Stored<T>] {
        self.objects.get(index).map_or(&[], Vec::as_slice)
    }

    /// The version of an object at `time`, if it existed then.
    #[must_use]
    pub fn stored_at_time(&self, index: usize, time: Time) -> Option<&Stored<T>> {
        self.history(index).iter().rev().find(|v| v.time <= time).filter(|v| v.value.is_some())
    }

    fn push(&mut self, index: usize, stored: Stored<T>) {
        if index == self.objects.len() {
            self.objects.push(Vec::with_capacity(4));
        }
        self.objects[index].push(stored);
    }
}

/// A label set, and who selects it.
#[derive(Clone, Debug)]
pub struct LabelSet {
    /// The namespace.
    pub namespace: String,
    /// The labels.
    pub labels: Labels,
    /// The Services that select it.
    pub services: Vec<ServiceId>,
    /// The budgets that select it.
    pub pdbs: Vec<PdbId>,
    /// Pods that have these labels, in order of creation. Those gone for long are dropped.
    pub pods: Vec<PodId>,
}

/// Everything that the apiserver knows.
#[derive(Clone, Debug, Default)]
pub struct Store {
    revision: Revision,
    /// Pod templates. They do not change; a rollout adds one.
    pub templates: Vec<PodTemplate>,
    /// The fixed part of pods, by [`PodId`].
    pub pod_meta: Vec<PodMeta>,
    /// The changing part of pods.
    pub pods: Table<Pod>,
    /// Nodes.
    pub nodes: Table<Node>,
    /// Services.
    pub services: Vec<Service>,
    /// EndpointSlices by [`ServiceId`].
    pub endpoints: Table<Endpoints>,
    /// The specs of budgets.
    pub pdb_specs: Vec<PdbSpec>,
    /// Generation and status of budgets.
    pub pdbs: Table<Pdb>,
    /// ReplicaSets.
    pub replica_sets: Table<ReplicaSet>,
    /// Deployments.
    pub deployments: Table<Deployment>,
    /// StatefulSets.
    pub stateful_sets: Table<StatefulSet>,
    /// DaemonSets.
    pub daemon_sets: Table<DaemonSet>,
    /// Jobs.
    pub jobs: Table<Job>,
    /// HorizontalPodAutoscalers.
    pub autoscalers: Table<HorizontalPodAutoscaler>,
    label_sets: Vec<LabelSet>,
    label_set_ids: BTreeMap<(String, Labels), LabelSetId>,
    service_label_sets: Vec<Vec<LabelSetId>>,
    pdb_label_sets: Vec<Vec<LabelSetId>>,
    node_pods: Vec<Vec<PodId>>,
    container_statuses: Vec<Vec<ContainerStatus>>,
    container_statuses_ids: BTreeMap<Vec<ContainerStatus>, StatusesId>,
}

impl Store {
    /// The revision of the newest write.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    fn next<T>(&mut self, now: Time, value: Option<T>) -> Stored<T> {
        self.revision.0 += 1;
        Stored { revision: self.revision, time: now, value }
    }

    /// Adds a pod and gives it its identity.
    pub fn create_pod(&mut self, now: Time, meta: PodMeta, pod: Pod) -> PodId {
        let id = PodId::from(self.pod_meta.len());
        self.pod_meta.push(meta);
        let set = &mut self.label_sets[pod.labels.0 as usize];
        set.pods.push(id);
        if set.pods.len() > 64 && set.pods.len().is_multiple_of(64) {
            // watchers may still see a pod that has been gone for less than a minute
            let horizon = now - crate::engine::Duration::from_secs(60);
            let pods = &self.pods;
            set.pods.retain(|p| {
                *p == id || pods.history(p.index()).last().is_none_or(|v| v.value.is_some() || v.time >= horizon)
            });
        }
        if let Some(node) = pod.node {
            self.node_pods[node.index()].push(id);
        }
        let stored = self.next(now, Some(pod));
        self.pods.push(id.index(), stored);
        id
    }

    /// Writes a new version of a pod.
    pub fn update_pod(&mut self, now: Time, id: PodId, pod: Pod) -> Revision {
        let old = self.pods.head(id.index()).expect("an updated pod exists");
        let (old_node, old_labels) = (old.node, old.labels);
        if let (None, Some(node)) = (old_node, pod.node) {
            self.node_pods[node.index()].push(id);
        }
        if old_labels != pod.labels {
            self.label_sets[old_labels.0 as usize].pods.retain(|p| *p != id);
            let pods = &mut self.label_sets[pod.labels.0 as usize].pods;
            let at = pods.partition_point(|p| *p < id);
            pods.insert(at, id);
        }
        let stored = self.next(now, Some(pod));
        self.pods.push(id.index(), stored);
        self.revision
    }

    /// Writes a pod that was removed before: the mirror of a static pod comes again.
    pub fn restore_pod(&mut self, now: Time, id: PodId, pod: Pod) -> Revision {
        debug_assert!(self.pods.head(id.index()).is_none(), "a pod that is there need not be restored");
        if let Some(node) = pod.node {
            self.node_pods[node.index()].push(id);
        }
        let pods = &mut self.label_sets[pod.labels.0 as usize].pods;
        if let Err(at) = pods.binary_search(&id) {
            pods.insert(at, id);
        }
        let stored = self.next(now, Some(pod));
        self.pods.push(id.index(), stored);
        self.revision
    }

    /// Removes a pod.
    pub fn remove_pod(&mut self, now: Time, id: PodId) -> Revision {
        if let Some(node) = self.pods.head(id.index()).and_then(|p| p.node) {
            self.node_pods[node.index()].retain(|p| *p != id);
        }
        let stored = self.next(now, None);
        self.pods.push(id.index(), stored);
        self.revision
    }

    /// Adds a node.
    pub fn create_node(&mut self, now: Time, node: Node) -> NodeId {
        let id = NodeId::from(self.nodes.len());
        self.node_pods.push(Vec::new());
        let stored = self.next(now, Some(node));
        self.nodes.push(id.index(), stored);
        id
    }

    /// Writes a new version of a node, or removes it.
    pub fn put_node(&mut self, now: Time, id: NodeId, node: Option<Node>) -> Revision {
        let stored = self.next(now, node);
        self.nodes.push(id.index(), stored);
        self.revision
    }

    /// Writes a budget's generation and status.
    pub fn put_pdb(&mut self, now: Time, id: PdbId, pdb: Pdb) -> Revision {
        let stored = self.next(now, Some(pdb));
        self.pdbs.push(id.index(), stored);
        self.revision
    }

    /// Writes the endpoints of a Service.
    pub fn put_endpoints(&mut self, now: Time, id: ServiceId, endpoints: Endpoints) -> Revision {
        let stored = self.next(now, Some(endpoints));
        self.endpoints.push(id.index(), stored);
        self.revision
    }

    /// Writes a ReplicaSet; an index just past the end creates it.
    pub fn put_replica_set(&mut self, now: Time, index: usize, replica_set: ReplicaSet) -> Revision {
        let stored = self.next(now, Some(replica_set));
        self.replica_sets.push(index, stored);
        self.revision
    }

    /// Writes a Deployment; an index just past the end creates it.
    pub fn put_deployment(&mut self, now: Time, index: usize, deployment: Deployment) -> Revision {
        let stored = self.next(now, Some(deployment));
        self.deployments.push(index, stored);
        self.revision
    }

    /// Writes a StatefulSet; an index just past the end creates it.
    pub fn put_stateful_set(&mut self, now: Time, index: usize, stateful_set: StatefulSet) -> Revision {
        let stored = self.next(now, Some(stateful_set));
        self.stateful_sets.push(index, stored);
        self.revision
    }

    /// Writes a DaemonSet; an index just past the end creates it.
    pub fn put_daemon_set(&mut self, now: Time, index: usize, daemon_set: DaemonSet) -> Revision {
        let stored = self.next(now, Some(daemon_set));
        self.daemon_sets.push(index, stored);
        self.revision
    }

    /// Writes a Job; an index just past the end creates it.
    pub fn put_job(&mut self, now: Time, index: usize, job: Job) -> Revision {
        let stored = self.next(now, Some(job));
        self.jobs.push(index, stored);
        self.revision
    }

    /// Writes an autoscaler; an index just past the end creates it.
    pub fn put_autoscaler(&mut self, now: Time, index: usize, autoscaler: HorizontalPodAutoscaler) -> Revision {
        let stored = self.next(now, Some(autoscaler));
        self.autoscalers.push(index, stored);
        self.revision
    }

    /// Adds a Service. All Services and budgets come before the first label set is interned.
    pub fn add_service(&mut self, service: Service) -> ServiceId {
        debug_assert!(self.label_sets.is_empty(), "Services come before pods");
        self.services.push(service);
        self.service_label_sets.push(Vec::new());
        ServiceId::from(self.services.len() - 1)
    }

    /// Adds a budget as it is created: nobody has observed it.
    pub fn add_pdb(&mut self, now: Time, spec: PdbSpec) -> PdbId {
        let (budget, unhealthy) = (spec.budget, spec.unhealthy);
        let id = self.register_pdb(spec);
        self.put_pdb(now, id, Pdb { generation: 1, budget, unhealthy, ..Pdb::default() });
        id
    }

    /// Makes a budget known that may be created later: until then there is no object.
    pub fn register_pdb(&mut self, spec: PdbSpec) -> PdbId {
        debug_assert!(self.label_sets.is_empty(), "budgets come before pods");
        let id = PdbId::from(self.pdb_specs.len());
        self.pdb_specs.push(spec);
        self.pdb_label_sets.push(Vec::new());
        self.pdbs.objects.push(Vec::with_capacity(4));
        id
    }

    /// Removes a budget.
    pub fn remove_pdb(&mut self, now: Time, id: PdbId) -> Revision {
        let stored = self.next(now, None);
        self.pdbs.push(id.index(), stored);
        self.revision
    }

    /// The identity of a label set in a namespace.
    pub fn intern_labels(&mut self, namespace: &str, labels: &Labels) -> LabelSetId {
        let key = (namespace.to_string(), labels.clone());
        if let Some(id) = self.label_set_ids.get(&key) {
            return *id;
        }
        let id = LabelSetId(u32::try_from(self.label_sets.len()).expect("fewer than 2^32 label sets"));
        let selects =
            |ns: &str, selector: Option<&Selector>| ns == namespace && selector.is_some_and(|s| s.matches(labels));
        let services: Vec<_> = (0..self.services.len())
            .map(ServiceId::from)
            .filter(|s| {
                let service = &self.services[s.index()];
                selects(&service.namespace, service.selector.as_ref())
            })
            .collect();
        let pdbs: Vec<_> = (0..self.pdb_specs.len())
            .map(PdbId::from)
            .filter(|p| {
                let pdb = &self.pdb_specs[p.index()];
                selects(&pdb.namespace, pdb.selector.as_ref())
            })
            .collect();
        for service in &services {
            self.service_label_sets[service.index()].push(id);
        }
        for pdb in &pdbs {
            self.pdb_label_sets[pdb.index()].push(id);
        }
        self.label_sets.push(LabelSet {
            namespace: key.0.clone(),
            labels: labels.clone(),
            services,
            pdbs,
            pods: Vec::new(),
        });
        self.label_set_ids.insert(key, id);
        id
    }

    /// A label set by its identity.
    #[must_use]
    pub fn label_set(&self, id: LabelSetId) -> &LabelSet {
        &self.label_sets[id.0 as usize]
    }

    /// The identity of the statuses of a pod's containers, in the order of their numbers.
    pub fn intern_statuses(&mut self, statuses: Vec<ContainerStatus>) -> StatusesId {
        if statuses.is_empty() {
            return StatusesId::default();
        }
        if let Some(id) = self.container_statuses_ids.get(&statuses) {
            return *id;
        }
        self.container_statuses.push(statuses.clone());
        let id = StatusesId(u32::try_from(self.container_statuses.len()).expect("fewer than 2^32 statuses"));
        self.container_statuses_ids.insert(statuses, id);
        id
    }

    /// The statuses of a pod's containers, in the order of their numbers; empty as long as its kubelet has told nothing.
    #[must_use]
    pub fn container_statuses(&self, id: StatusesId) -> &[ContainerStatus] {
        id.0.checked_sub(1).map_or(&[], |index| &self.container_statuses[index as usize])
    }

    /// Pods that have ever carried labels which this Service selects (the caller looks at its own version of each), in
    /// order of creation.
    #[must_use]
    pub fn pods_of_service(&self, id: ServiceId) -> Vec<PodId> {
        self.pods_of(&self.service_label_sets[id.index()])
    }

    /// As [`pods_of_service`](Self::pods_of_service), for a budget.
    #[must_use]
    pub fn pods_of_pdb(&self, id: PdbId) -> Vec<PodId> {
        self.pods_of(&self.pdb_label_sets[id.index()])
    }

    fn pods_of(&self, sets: &[LabelSetId]) -> Vec<PodId> {
        let mut pods: Vec<_> = sets.iter().flat_map(|s| self.label_set(*s).pods.iter().copied()).collect();
        pods.sort_unstable();
        pods
    }

    /// The pods that are bound to a node now, in the order in which they were bound.
    #[must_use]
    pub fn pods_on(&self, node: NodeId) -> &[PodId] {
        &self.node_pods[node.index()]
    }

    /// The template of a pod.
    #[must_use]
    pub fn template_of(&self, pod: PodId) -> &PodTemplate {
        &self.templates[self.pod_meta[pod.index()].template.index()]
    }

    /// The controller of a pod, as this version of it says.
    #[must_use]
    pub fn owner_of(&self, id: PodId, version: &Pod) -> Owner {
        match version.handover {
            Handover::None => self.pod_meta[id.index()].owner.clone(),
            Handover::Released => Owner::None,
            Handover::Adopted(replica_set) => Owner::ReplicaSet(replica_set),
        }
    }

    /// Adds a template.
    pub fn add_template(&mut self, template: PodTemplate) -> TemplateId {
        self.templates.push(template);
        TemplateId::from(self.templates.len() - 1)
    }

    /// The node of this name, if it exists or existed.
    #[must_use]
    pub fn node_by_name(&self, name: &str) -> Option<NodeId> {
        (0..self.nodes.len())
            .map(NodeId::from)
            .find(|id| self.nodes.history(id.index()).iter().any(|v| v.value.as_ref().is_some_and(|n| n.name == name)))
    }

    /// The newest name under which a node was known.
    #[must_use]
    pub fn node_name(&self, id: NodeId) -> &str {
        self.nodes.history(id.index()).iter().rev().find_map(|v| v.value.as_ref()).map_or("?", |n| n.name.as_str())
    }

    /// `namespace/name` of a pod.
    #[must_use]
    pub fn pod_name(&self, id: PodId) -> String {
        let meta = &self.pod_meta[id.index()];
        format!("{}/{}", meta.namespace, meta.name)
    }
}
