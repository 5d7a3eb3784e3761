//! Which note of the causal trace makes which component record an Event.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::{JobId, NodeId, PodId, PodTemplate, ReplicaSetId};
use crate::engine::{Duration, Key, Random, Time};
use crate::report::kubectl::cluster::{Cluster, uid};
use crate::report::kubectl::events::messages;
use crate::report::kubectl::owner::newest;
use crate::report::kubectl::resource::Resource;
use crate::simulation::context::node_luck;
use crate::simulation::observe::{TraceEntry, What};

/// How often a kubelet looks at its node object (`nodeStatusUpdateFrequency`): then it notices that it was cordoned.
const NODE_STATUS_UPDATE_FREQUENCY: Duration = Duration::from_secs(10);

/// An Event as a component hands it to its recorder.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) time: Time,
    pub(super) recorder: Recorder,
    pub(super) about: About,
    pub(super) kind: Kind,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Which of the two Event APIs a component uses, and its name there.
#[derive(Clone, Debug)]
pub(super) enum Recorder {
    /// `k8s.io/client-go/tools/record`: all but the scheduler.
    Core {
        /// `source.component`.
        component: String,
        /// `source.host`; empty for controllers.
        host: String,
    },
    /// `k8s.io/client-go/tools/events`: the scheduler.
    Series {
        /// `reportingComponent`.
        component: String,
        /// `reportingInstance`.
        instance: String,
        /// `action`.
        action: &'static str,
    },
}

/// `type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Normal,
    Warning,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// `involvedObject`.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    /// Empty for nodes.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) field_path: String,
}

impl About {
    /// Events about what is in no namespace are in `default`.
    pub(super) fn event_namespace(&self) -> &str {
        if self.namespace.is_empty() { "default" } else { &self.namespace }
    }

    /// As an ObjectReference.
    pub(super) fn reference(&self) -> Value {
        let mut reference =
            json!({"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid});
        for (key, text) in [("namespace", &self.namespace), ("fieldPath", &self.field_path)] {
            if !text.is_empty() {
                reference[key] = json!(text);
            }
        }
        reference
    }
}

/// Everything that is recorded during a run, in order of time.
pub(super) fn all(cluster: &Cluster<'_>) -> Vec<Recorded> {
    let mut collector = Collector { cluster, list: Vec::new(), pulling: BTreeMap::new(), pulled: BTreeMap::new() };
    for entry in cluster.trace.entries() {
        collector.note(entry);
    }
    collector.nodes_schedulable();
    collector.list.sort_by_key(|recorded| recorded.time);
    collector.list
}

struct Collector<'c, 'a> {
    cluster: &'c Cluster<'a>,
    list: Vec<Recorded>,
    /// When the pull of a container's image began.
    pulling: BTreeMap<(PodId, u32), Time>,
    /// When the last pull of a node ended: one at a time.
    pulled: BTreeMap<NodeId, Time>,
}

impl Collector<'_, '_> {
    fn note(&mut self, entry: &TraceEntry) {
        use Kind::{Normal, Warning};
        let (cluster, time, version) = (self.cluster, entry.time, self.cluster.setup.version);
        match entry.what {
            What::PodBound { pod, node } => {
                let about = self.pod(pod);
                let to = cluster.store.node_name(node);
                let message = format!("Successfully assigned {}/{} to {to}", about.namespace, about.name);
                self.push(time, scheduler("Binding"), about, Normal, "Scheduled", message);
            }
            What::PodUnschedulable { pod } => {
                let message = cluster.trace.text(entry.id).unwrap_or_default().to_string();
                self.push(time, scheduler("Scheduling"), self.pod(pod), Warning, "FailedScheduling", message);
            }
            What::PodCreated { pod } => self.by_controller(time, pod, "SuccessfulCreate"),
            What::DeletedByController { pod } => self.by_controller(time, pod, "SuccessfulDelete"),
            What::ReplicaSetScaled { replica_set, replicas } => self.scaled(time, replica_set, replicas),
            What::ImagePresent { pod, container } => {
                if let Some((image, about)) = self.container(pod, container) {
                    self.kubelet(time, pod, about, Normal, "Pulled", messages::image_present(&image, version));
                }
            }
            What::ImagePulling { pod, container } => {
                self.pulling.insert((pod, container), time);
                if let Some((image, about)) = self.container(pod, container) {
                    self.kubelet(time, pod, about, Normal, "Pulling", messages::pulling(&image));
                }
            }
            What::ImagePulled { pod, container } => self.image_pulled(time, pod, container),
            What::ContainerStarted { pod, container } => self.started(time, pod, container),
            What::ContainerBacksOff { pod, container } => {
                if let Some((_, about)) = self.container(pod, container) {
                    let message = messages::backs_off(&self.container_name(pod, container), &self.pod(pod).name);
                    self.kubelet(time, pod, about, Warning, "BackOff", message);
                }
            }
            What::ProbeGaveUp { pod, container, startup } => {
                if let Some((_, about)) = self.container(pod, container) {
                    let message = messages::probe_gave_up(&self.container_name(pod, container), startup == 1);
                    self.kubelet(time, pod, about, Normal, "Killing", message);
                }
            }
            What::PodRejected { pod } => {
                let message = "Pod was rejected as the node is shutting down.".to_string();
                self.kubelet(time, pod, self.pod(pod), Warning, "NodeShutdown", message);
            }
            What::KillingStarted { pod } => self.killing(time, pod),
            What::ContainerExited { pod, container, .. } => self.hook_killed(entry, pod, container),
            What::ProbeFailed { pod, container, startup } => self.unhealthy(time, pod, container, startup),
            What::PodDeleted { pod, .. } => {
                let cause = cluster.trace.get(entry.cause).map(|e| e.what);
                if matches!(cause, Some(What::TaintsChanged { .. })) {
                    let about = self.pod(pod);
                    let message = format!("Marking for deletion Pod {}/{}", about.namespace, about.name);
                    let by = controller("taint-eviction-controller");
                    self.push(time, by, about, Normal, "TaintManagerEviction", message);
                }
            }
            What::PodNotReady { pod } if self.is_silenced(pod, time) => {
                let message = "Node is not ready".to_string();
                self.push(time, controller("node-controller"), self.pod(pod), Warning, "NodeNotReady", message);
            }
            What::NodeUnreachable { node } => self.node_status(time, "node-controller", node, "NodeNotReady"),
            What::NodeAdded { node } => {
                self.node_event(time, node, "RegisteredNode", "Registered Node", "in");
            }
            What::NodeDeleted { node } => {
                self.node_event(time, node, "RemovingNode", "Removing Node", "from");
            }
            What::NodeReady { node } => {
                let by = kubelet_of(cluster.store.node_name(node));
                self.push(time, by, self.node(node), Normal, "Starting", "Starting kubelet.".to_string());
                self.node_status(time, "kubelet", node, "NodeReady");
            }
            What::JobEnded { job, complete } => self.job_ended(time, job, complete == 1),
            What::PdbUpdated { pdb, .. } => {
                let at = cluster.store.pdbs.stored_at_time(pdb.index(), time).and_then(|v| v.value.as_ref());
                let selects = !cluster.store.pods_of_pdb(pdb).is_empty();
                if selects && at.is_some_and(|p| p.status.expected_pods == 0) {
                    let spec = &cluster.store.pdb_specs[pdb.index()];
                    let about = reference(Resource::PodDisruptionBudgets, &spec.namespace, &spec.name, pdb.index());
                    let message = "No matching pods found".to_string();
                    self.push(time, controller("controllermanager"), about, Normal, "NoPods", message);
                }
            }
            _ => {}
        }
    }

    fn push(
        &mut self,
        time: Time,
        recorder: Recorder,
        about: About,
        kind: Kind,
        reason: &'static str,
        message: String,
    ) {
        self.list.push(Recorded { time, recorder, about, kind, reason, message });
    }

    /// By the kubelet of a pod's node.
    fn kubelet(&mut self, time: Time, pod: PodId, about: About, kind: Kind, reason: &'static str, message: String) {
        let history = self.cluster.store.pods.history(pod.index());
        let node = history.iter().rev().find_map(|v| v.value?.node);
        let by = kubelet_of(node.map_or("", |node| self.cluster.store.node_name(node)));
        self.push(time, by, about, kind, reason, message);
    }

    /// A pod's controller has made it, or deleted it.
    fn by_controller(&mut self, time: Time, pod: PodId, reason: &'static str) {
        let store = self.cluster.store;
        let version = store.pods.history(pod.index()).iter().rev().find(|v| v.time <= time && v.value.is_some());
        let owner = version.and_then(|v| v.value).map(|version| store.owner_of(pod, &version));
        let Some(of) = owner.and_then(|owner| self.cluster.controller(&owner)) else { return };
        let name = &self.pod(pod).name;
        let is_new = reason == "SuccessfulCreate";
        let message = if of.kind == "StatefulSet" {
            messages::of_stateful_set(name, &of.name, is_new, self.cluster.setup.version)
        } else if is_new {
            format!("Created pod: {name}")
        } else {
            format!("Deleted pod: {name}")
        };
        let namespace = &store.pod_meta[pod.index()].namespace;
        let kind = Resource::ALL.into_iter().find(|r| r.kind() == of.kind).map_or("", Resource::kind);
        let about = About {
            api_version: of.api_version,
            kind,
            namespace: namespace.clone(),
            name: of.name.clone(),
            uid: uid(kind, namespace, &of.name, of.number),
            field_path: String::new(),
        };
        self.push(time, controller(of.component), about, Kind::Normal, reason, message);
    }

    fn scaled(&mut self, time: Time, id: ReplicaSetId, to: u32) {
        let history = self.cluster.store.replica_sets.history(id.index());
        let Some(after) =
            history.iter().find(|v| v.time == time && v.value.as_ref().is_some_and(|rs| rs.replicas == to))
        else {
            return;
        };
        let before = history.iter().rev().find(|v| v.revision < after.revision).and_then(|v| v.value.as_ref());
        let Some(rs) = after.value.as_ref() else { return };
        let (from, is_new) = before.map_or((0, true), |rs| (rs.replicas, false));
        if let (Some(owner), true) = (rs.deployment, from != to) {
            let message = messages::scaled(&rs.name, from, to, is_new, self.cluster.setup.version);
            let name = self.cluster.deployment_name(owner);
            let about = reference(Resource::Deployments, &rs.namespace, &name, owner.index());
            self.push(time, controller("deployment-controller"), about, Kind::Normal, "ScalingReplicaSet", message);
        }
    }

    /// Source: `pkg/controller/job/job_controller.go` recordJobFinished (v1.36).
    fn job_ended(&mut self, time: Time, id: JobId, complete: bool) {
        let Some(job) = newest(&self.cluster.store.jobs, id.index()) else { return };
        let about = reference(Resource::Jobs, &job.namespace, &job.name, id.index());
        let (kind, reason, message) = if complete {
            (Kind::Normal, "Completed", "Job completed")
        } else {
            (Kind::Warning, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        };
        self.push(time, controller("job-controller"), about, kind, reason, message.to_string());
    }

    fn image_pulled(&mut self, time: Time, pod: PodId, container: u32) {
        let began = self.pulling.remove(&(pod, container)).unwrap_or(time);
        let node = self.cluster.store.pods.history(pod.index()).iter().rev().find_map(|v| v.value?.node);
        let free = node.and_then(|node| self.pulled.insert(node, time)).unwrap_or(Time::ZERO);
        if let Some((image, about)) = self.container(pod, container) {
            let message = messages::pulled(&image, time.since(began.max(free)), time.since(began));
            self.kubelet(time, pod, about, Kind::Normal, "Pulled", message);
        }
    }

    fn started(&mut self, time: Time, pod: PodId, container: u32) {
        let version = self.cluster.setup.version;
        let Some((_, about)) = self.container(pod, container) else { return };
        let name = self.container_name(pod, container);
        self.kubelet(time, pod, about.clone(), Kind::Normal, "Created", messages::created(&name, version));
        self.kubelet(time, pod, about, Kind::Normal, "Started", messages::started(&name, version));
    }

    /// One for each container that runs.
    fn killing(&mut self, time: Time, pod: PodId) {
        let template = self.cluster.store.template_of(pod);
        let facts = self.cluster.facts_of(pod);
        for number in (0..u8::MAX).take(template.container_count()) {
            let completes = template.runs_to_completion(number);
            let number = u32::from(number);
            let last = facts.iter().take_while(|e| e.time <= time).filter_map(|e| match e.what {
                What::ContainerStarted { container, .. } if container == number => Some(true),
                What::ContainerExited { container, .. } if container == number => Some(false),
                _ => None,
            });
            let history = self.cluster.store.pods.history(pod.index());
            let from_the_start = !completes && history.first().and_then(|v| v.value).is_some_and(|p| p.has_ip);
            if last.last().unwrap_or(from_the_start)
                && let Some((_, about)) = self.container(pod, number)
            {
                let message = messages::killing(&self.container_name(pod, number));
                self.kubelet(time, pod, about, Kind::Normal, "Killing", message);
            }
        }
    }

    /// A command of a preStop hook that still runs when its container ends is killed with it, and has failed.
    fn hook_killed(&mut self, exit: &TraceEntry, pod: PodId, number: u32) {
        let template = self.cluster.store.template_of(pod);
        let is_command = matches!(
            template.all_containers().nth(number as usize).map(|c| &c.pre_stop),
            Some(Some(crate::api::pod::Hook::Exec(_)))
        );
        let of_hook = |e: &&TraceEntry| match e.what {
            // ended by the container's own end: the note comes right after that of the exit
            What::PreStopEnded { container, .. } => container == number && e.cause >= exit.id,
            What::PreStopOverran { container, .. } => container == number,
            _ => false,
        };
        if is_command
            && self.cluster.facts_of(pod).iter().any(|e| of_hook(&e))
            && let Some((_, about)) = self.container(pod, number)
        {
            let message = "PreStopHook failed".to_string();
            self.kubelet(exit.time, pod, about, Kind::Warning, "FailedPreStopHook", message);
        }
    }

    /// A failed attempt. While a container is ready the model skips the attempts that cannot change anything yet: those
    /// before the one that makes it not ready failed, too.
    fn unhealthy(&mut self, time: Time, pod: PodId, number: u32, kind: u32) {
        let template: &PodTemplate = self.cluster.store.template_of(pod);
        let Some(spec) = template.all_containers().nth(number as usize) else { return };
        let (probe, name, field) = match kind {
            0 => (spec.readiness, "Readiness", "readinessProbe"),
            1 => (spec.startup, "Startup", "startupProbe"),
            _ => (spec.liveness, "Liveness", "livenessProbe"),
        };
        let Some(probe) = probe else { return };
        let written = self.cluster.template(self.cluster.store.pod_meta[pod.index()].template);
        let index = number as usize;
        let container = match index.checked_sub(template.containers.len()) {
            None => &written["spec"]["containers"][index],
            Some(index) => &written["spec"]["initContainers"][index],
        };
        let address = self.cluster.address(pod).unwrap_or_default();
        let message = messages::unhealthy(name, &container[field], &container["ports"], address);
        let Some((_, about)) = self.container(pod, number) else { return };
        let made_unready = {
            let at = self.cluster.store.pods.stored_at_time(pod.index(), time).and_then(|v| v.value);
            at.is_some_and(|p| p.ready) && kind == 0
        };
        let skipped = if made_unready || kind == 2 { u64::from(probe.failure_threshold.max(1) - 1) } else { 0 };
        for back in (0..=skipped).rev() {
            let at = time - probe.period.mul(back);
            self.kubelet(at, pod, about.clone(), Kind::Warning, "Unhealthy", message.clone());
        }
    }

    /// Whether the pod's node was given up: then it is the node controller that says that the pod is not ready.
    fn is_silenced(&self, pod: PodId, time: Time) -> bool {
        let store = &self.cluster.store;
        let node = store.pods.stored_at_time(pod.index(), time).and_then(|v| v.value?.node);
        let node = node.and_then(|node| store.nodes.stored_at_time(node.index(), time));
        node.and_then(|v| v.value.as_ref()).is_some_and(|n| n.unreachable)
    }

    /// `NodeNotSchedulable` and `NodeSchedulable`, which the kubelet records when it next looks at its node.
    fn nodes_schedulable(&mut self) {
        let store = self.cluster.store;
        let random = Random::new(self.cluster.seed);
        for node in (0..store.nodes.len()).map(NodeId::from) {
            let off = self.cluster.trace.entries().iter().find_map(|e| match e.what {
                What::NodeOff { node: n } if n == node => Some(e.time),
                _ => None,
            });
            let until = off.unwrap_or(self.cluster.end).min(self.cluster.end);
            let phase = random.unit(Key::new("nodeStatusPhase").number(node_luck(store.node_name(node))), 0);
            let first = Time::ZERO + Duration::from_secs_f64(NODE_STATUS_UPDATE_FREQUENCY.as_secs_f64() * phase);
            let history = store.nodes.history(node.index());
            let mut known = history.first().and_then(|v| v.value.as_ref()).is_some_and(|n| n.unschedulable);
            let mut look = first;
            for version in history.iter().skip(1) {
                // the first look after this write sees the newest version then
                while look < version.time {
                    look += NODE_STATUS_UPDATE_FREQUENCY;
                }
                let seen = store.nodes.stored_at_time(node.index(), look).and_then(|v| v.value.as_ref());
                let Some(now) = seen.map(|n| n.unschedulable).filter(|_| look <= until) else { continue };
                if now != std::mem::replace(&mut known, now) {
                    let reason = if now { "NodeNotSchedulable" } else { "NodeSchedulable" };
                    self.node_status(look, "kubelet", node, reason);
                }
            }
        }
    }

    /// `Node n status is now: …`.
    fn node_status(&mut self, time: Time, component: &str, node: NodeId, reason: &'static str) {
        let name = self.cluster.store.node_name(node);
        let by = if component == "kubelet" { kubelet_of(name) } else { controller(component) };
        let message = format!("Node {name} status is now: {reason}");
        self.push(time, by, self.node(node), Kind::Normal, reason, message);
    }

    /// `Node n event: …`.
    fn node_event(&mut self, time: Time, node: NodeId, reason: &'static str, verb: &str, preposition: &str) {
        let name = self.cluster.store.node_name(node);
        let message = format!("Node {name} event: {verb} {name} {preposition} Controller");
        self.push(time, controller("node-controller"), self.node(node), Kind::Normal, reason, message);
    }

    fn pod(&self, pod: PodId) -> About {
        let meta = &self.cluster.store.pod_meta[pod.index()];
        reference(Resource::Pods, &meta.namespace, &meta.name, pod.index())
    }

    fn node(&self, node: NodeId) -> About {
        reference(Resource::Nodes, "", self.cluster.store.node_name(node), node.index())
    }

    /// The image of a container (init containers counted first), and the reference to it.
    fn container(&self, pod: PodId, number: u32) -> Option<(String, About)> {
        let template = self.cluster.store.template_of(pod);
        let container = template.all_containers().nth(number as usize)?;
        let is_init = number as usize >= template.containers.len();
        let field = if is_init { "initContainers" } else { "containers" };
        let field_path = format!("spec.{field}{{{}}}", container.name);
        Some((container.image.clone(), About { field_path, ..self.pod(pod) }))
    }

    fn container_name(&self, pod: PodId, number: u32) -> String {
        let template = self.cluster.store.template_of(pod);
        template.all_containers().nth(number as usize).map_or_else(String::new, |c| c.name.clone())
    }
}

fn reference(resource: Resource, namespace: &str, name: &str, number: usize) -> About {
    About {
        api_version: resource.api_version(),
        kind: resource.kind(),
        namespace: namespace.to_string(),
        name: name.to_string(),
        uid: uid(resource.kind(), namespace, name, number),
        field_path: String::new(),
    }
}

fn scheduler(action: &'static str) -> Recorder {
    let component = "default-scheduler".to_string();
    Recorder::Series { instance: format!("{component}-control-plane"), component, action }
}

fn controller(component: &str) -> Recorder {
    Recorder::Core { component: component.to_string(), host: String::new() }
}

fn kubelet_of(node: &str) -> Recorder {
    Recorder::Core { component: "kubelet".to_string(), host: node.to_string() }
}
