//! A control plane in small, for tests: the controllers of this folder that move pods, the scheduler, an apiserver that
//! commits whatever it is sent, and kubelets that need a fixed time to start and to stop a pod.

use crate::api::deletion::{Outcome, delete};
use crate::api::quantity::Resources;
use crate::api::{
    Container, DaemonSetId, Deployment, DeploymentId, JobId, Kind, Labels, Node, NodeId, Owner, Phase, Pod, PodId,
    PodMeta, PodTemplate, ReplicaSet, ReplicaSetId, Revision, Selector, StatefulSetId, TemplateId,
};
use crate::engine::{Distribution, Duration, Key, Time};
use crate::simulation::apiserver;
use crate::simulation::context::{Context, Watches};
use crate::simulation::control_plane::daemon_set::DaemonSetController;
use crate::simulation::control_plane::deployment::{DeploymentController, replica_set_name, replica_set_selector};
use crate::simulation::control_plane::job::JobController;
use crate::simulation::control_plane::replica_set::ReplicaSetController;
use crate::simulation::control_plane::scheduler::Scheduler;
use crate::simulation::control_plane::stateful_set::StatefulSetController;
use crate::simulation::event::{Controller, Event, KubeletStep};
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::setup::{Setup, plain_node};
use crate::simulation::write::{Caller, PendingWrite, Write, WriteError};

/// How long a pod takes from being bound to Ready.
pub const START: Duration = Duration::from_secs(2);
/// The grace period of all pods, which all of them use up.
pub const STOP: Duration = Duration::from_secs(5);

/// A setup in which each hop takes a round time: every one 10 ms, a commit with its request 20 ms.
pub fn setup() -> Setup {
    let mut setup = Setup::default();
    for hop in Hop::ALL {
        setup.latencies.set(*hop, Distribution::Constant(Duration::from_millis(10)));
    }
    setup
}

/// A template of pods labelled `app=NAME` that ask for this much CPU.
pub fn template(name: &str, cpu_millis: u64) -> PodTemplate {
    PodTemplate {
        termination_grace_period_seconds: STOP.as_secs(),
        requests: Resources { cpu_millis, memory_bytes: 0 },
        ..PodTemplate::plain(Labels::from([("app".to_string(), name.to_string())]), Vec::new())
    }
}

/// A container without probes and hooks.
pub fn container(name: &str) -> Container {
    Container::plain(name, name, 0)
}

/// A plain node in a zone.
pub fn node_in(name: &str, zone: &str) -> Node {
    let mut node = plain_node(name);
    node.labels.insert("topology.kubernetes.io/zone".into(), zone.into());
    node
}

/// What is under test, with what it needs around it.
pub struct Cluster<'a> {
    pub ctx: Context<'a>,
    pub replica_sets: ReplicaSetController,
    pub deployments: DeploymentController,
    pub stateful_sets: StatefulSetController,
    pub daemon_sets: DaemonSetController,
    pub jobs: JobController,
    pub scheduler: Scheduler,
    /// Called after each commit.
    pub after_commit: Option<fn(&Context<'a>)>,
    /// What has been committed, and when.
    pub commits: Vec<(Time, Write)>,
}

impl<'a> Cluster<'a> {
    /// A cluster of these nodes, all Ready.
    pub fn new(setup: &'a Setup, nodes: impl IntoIterator<Item = Node>) -> Self {
        let mut ctx = Context::new(setup, 1, true);
        for node in nodes {
            ctx.store.create_node(Time::ZERO, node);
        }
        Self {
            ctx,
            replica_sets: ReplicaSetController::new(),
            deployments: DeploymentController::new(),
            stateful_sets: StatefulSetController::new(),
            daemon_sets: DaemonSetController::new(),
            jobs: JobController::new(),
            scheduler: Scheduler::new(),
            after_commit: None,
            commits: Vec::new(),
        }
    }

    /// The start state: a ReplicaSet with all its pods Ready, on the nodes that the scheduler chooses.
    pub fn add_replica_set(
        &mut self,
        template: TemplateId,
        replicas: u32,
        owner: Option<DeploymentId>,
    ) -> ReplicaSetId {
        let id = ReplicaSetId::from(self.ctx.store.replica_sets.len());
        let name = match owner {
            Some(d) => replica_set_name("default", &self.ctx.store.deployments.head(d.index()).unwrap().name, 1),
            None => format!("rs-{}", id.0),
        };
        let selector = Selector::labels(self.ctx.store.templates[template.index()].labels.clone());
        let selector = replica_set_selector(&selector, &name);
        let rs = ReplicaSet {
            namespace: "default".into(),
            name,
            deployment: owner,
            revision: 1,
            selector,
            template,
            replicas,
            min_ready_seconds: 0,
            status_replicas: replicas,
            ready_replicas: replicas,
            available_replicas: replicas,
        };
        self.ctx.store.put_replica_set(Time::ZERO, id.index(), rs);
        self.replica_sets.first_ordinal(id, replicas);
        for ordinal in 0..replicas {
            let pod = self.create_pod(template, Owner::ReplicaSet(id), ordinal);
            let old = *self.ctx.store.pods.head(pod.index()).unwrap();
            let luck = self.ctx.pod_luck(pod);
            let node =
                self.scheduler.place_now(&self.ctx, template, old.labels, &Owner::ReplicaSet(id), luck).expect("room");
            let ready = Pod { node: Some(node), phase: Phase::Running, ready: true, has_ip: true, ..old };
            self.ctx.store.update_pod(Time::ZERO, pod, ready);
            self.scheduler.assume(&self.ctx, pod);
            self.replica_sets.start_with(&self.ctx, pod);
            self.deployments.start_with(&self.ctx, pod);
        }
        id
    }

    /// The start state: a Deployment that is completely rolled out.
    pub fn add_deployment(&mut self, deployment: Deployment) -> DeploymentId {
        let id = DeploymentId::from(self.ctx.store.deployments.len());
        let (template, replicas) = (deployment.template, deployment.replicas);
        self.ctx.store.put_deployment(Time::ZERO, id.index(), deployment);
        self.add_replica_set(template, replicas, Some(id));
        id
    }

    /// Everything up to now is known to everybody.
    pub fn start(&mut self) {
        self.ctx.watches.start_at(self.ctx.store.revision());
    }

    /// A bare pod is created now.
    pub fn submit_pod(&mut self, template: TemplateId, ordinal: u32) -> PodId {
        let pod = self.create_pod(template, Owner::None, ordinal);
        self.ctx.publish(Kind::Pod, pod.0);
        pod
    }

    fn create_pod(&mut self, template: TemplateId, owner: Owner, ordinal: u32) -> PodId {
        let PodTemplate { namespace, mut labels, .. } = self.ctx.store.templates[template.index()].clone();
        if let Owner::ReplicaSet(id) = owner {
            let name = &self.ctx.store.replica_sets.head(id.index()).expect("the ReplicaSet exists").name;
            labels.insert("pod-template-hash".into(), name.rsplit('-').next().unwrap_or_default().into());
        }
        let set = self.ctx.store.intern_labels(&namespace, &labels);
        let name = format!("{}-{ordinal}", labels["app"]);
        let luck = Key::new("pod").number(u64::from(template.0)).text(&name).bits();
        let now = self.ctx.now();
        let meta = PodMeta { namespace, name, template, owner, created_at: now, luck, only_on: None };
        self.ctx.store.create_pod(now, meta, Pod::created(set, None))
    }

    /// Changes a pod, as its kubelet would.
    pub fn change_pod(&mut self, pod: PodId, change: impl FnOnce(&mut Pod)) {
        let mut object = *self.ctx.store.pods.head(pod.index()).expect("the pod exists");
        change(&mut object);
        self.ctx.store.update_pod(self.ctx.now(), pod, object);
        self.ctx.publish(Kind::Pod, pod.0);
    }

    /// Changes a node.
    pub fn change_node(&mut self, node: NodeId, change: impl FnOnce(&mut Node)) {
        let mut object = self.ctx.store.nodes.head(node.index()).expect("the node exists").clone();
        change(&mut object);
        self.ctx.store.put_node(self.ctx.now(), node, Some(object));
        self.ctx.publish(Kind::Node, node.0);
    }

    /// Changes a Deployment, as a user would.
    pub fn change_deployment(&mut self, id: DeploymentId, change: impl FnOnce(&mut Deployment)) {
        let mut object = self.ctx.store.deployments.head(id.index()).expect("the Deployment exists").clone();
        change(&mut object);
        self.ctx.store.put_deployment(self.ctx.now(), id.index(), object);
        self.ctx.publish(Kind::Deployment, id.0);
    }

    /// Asks for a pod's deletion.
    pub fn delete_pod(&mut self, pod: PodId) {
        let write = Write::DeletePod { pod, grace_seconds: None, unless_changed_since: None };
        self.ctx.submit(write, Caller::Nobody, 0, 0);
    }

    /// Runs until `end` seconds.
    pub fn run_to(&mut self, end: u64) {
        let end = Time::from_secs(end);
        while let Some(event) = self.ctx.pop(end) {
            self.handle(event);
        }
        // the clock stands where something happened last; what a test does next is to happen at the end
        self.ctx.schedule_at(end, Event::Action(0));
        self.ctx.pop(end);
    }

    /// The nodes of the living pods of a template, sorted.
    pub fn nodes_of(&self, template: TemplateId) -> Vec<Option<u32>> {
        let pods = living(&self.ctx).filter(|(id, _)| self.ctx.store.pod_meta[id.index()].template == template);
        let mut nodes: Vec<_> = pods.map(|(_, pod)| pod.node.map(|n| n.0)).collect();
        nodes.sort_unstable();
        nodes
    }

    fn handle(&mut self, event: Event) {
        let ctx = &mut self.ctx;
        match event {
            Event::Deliver(watch, kind, index, revision) => {
                let revision = Revision(revision);
                ctx.watches.deliver(watch, kind, revision);
                let i = index as usize;
                let old = ctx.store.pods.before(i, revision).copied().filter(|_| kind == Kind::Pod);
                let new = ctx.store.pods.at(i, revision).copied().filter(|_| kind == Kind::Pod);
                match (watch, kind) {
                    (Watches::CONTROLLER_MANAGER, Kind::Pod) => {
                        self.replica_sets.on_pod(ctx, PodId(index), old, new);
                        self.deployments.on_pod(ctx, PodId(index), old, new);
                        self.stateful_sets.on_pod(ctx, PodId(index), old, new);
                        self.daemon_sets.on_pod(ctx, PodId(index), old, new);
                        self.jobs.on_pod(ctx, PodId(index), old, new);
                    }
                    (Watches::CONTROLLER_MANAGER, Kind::Node) => {
                        self.daemon_sets.on_node(ctx, NodeId(index), revision);
                    }
                    (Watches::CONTROLLER_MANAGER, Kind::StatefulSet) => {
                        self.stateful_sets.on_stateful_set(ctx, StatefulSetId(index));
                    }
                    (Watches::CONTROLLER_MANAGER, Kind::DaemonSet) => {
                        self.daemon_sets.on_daemon_set(ctx, DaemonSetId(index));
                    }
                    (Watches::CONTROLLER_MANAGER, Kind::Job) => self.jobs.on_job(ctx, JobId(index)),
                    (Watches::CONTROLLER_MANAGER, Kind::ReplicaSet) => {
                        self.replica_sets.on_replica_set(ctx, ReplicaSetId(index));
                        self.deployments.on_replica_set(ctx, ReplicaSetId(index));
                    }
                    (Watches::CONTROLLER_MANAGER, Kind::Deployment) => {
                        self.deployments.on_deployment(ctx, DeploymentId(index));
                    }
                    (Watches::SCHEDULER, Kind::Pod) => self.scheduler.on_pod(ctx, PodId(index), old, new),
                    (Watches::SCHEDULER, Kind::Node) => self.scheduler.on_node(ctx, NodeId(index)),
                    (kubelet, Kind::Pod) if Watches::node_of(kubelet).is_some() => {
                        if new.is_some_and(|p| p.deletion.is_some()) {
                            ctx.schedule(STOP, Event::Kubelet(PodId(index), KubeletStep::CleanedUp));
                        } else if new.is_some_and(|p| p.phase == Phase::Pending) {
                            ctx.schedule(START, Event::Kubelet(PodId(index), KubeletStep::Sync));
                        }
                    }
                    _ => {}
                }
            }
            Event::Commit(write) => self.commit(write),
            Event::Sync(Controller::ReplicaSet, key) => self.replica_sets.sync(ctx, key),
            Event::Sync(Controller::StatefulSet, key) => self.stateful_sets.sync(ctx, key),
            Event::Sync(Controller::DaemonSet, key) => self.daemon_sets.sync(ctx, key),
            Event::Sync(Controller::Job, key) => self.jobs.sync(ctx, key),
            Event::Requeue(Controller::StatefulSet, key) => self.stateful_sets.requeue(ctx, key),
            Event::Requeue(Controller::DaemonSet, key) => self.daemon_sets.requeue(ctx, key),
            Event::Requeue(Controller::Job, key) => self.jobs.requeue(ctx, key),
            Event::Sync(Controller::Deployment, key) => self.deployments.sync(ctx, key),
            Event::Requeue(Controller::ReplicaSet, key) => self.replica_sets.requeue(ctx, key),
            Event::Requeue(Controller::Deployment, key) => self.deployments.requeue(ctx, key),
            Event::Schedule => self.scheduler.schedule(ctx),
            Event::ScheduleRetry(pod) => self.scheduler.retry(ctx, pod),
            Event::Kubelet(pod, KubeletStep::Sync) => {
                let head = ctx.store.pods.head(pod.index()).copied();
                if head.is_some_and(|p| p.deletion.is_none()) {
                    let now = ctx.now().truncate_to_second();
                    self.change_pod(pod, |p| {
                        (p.phase, p.ready, p.ready_since, p.has_ip) = (Phase::Running, true, now, true);
                    });
                    self.check();
                }
            }
            Event::Kubelet(pod, KubeletStep::CleanedUp) if ctx.store.pods.head(pod.index()).is_some() => {
                ctx.store.remove_pod(ctx.now(), pod);
                ctx.publish(Kind::Pod, pod.0);
            }
            _ => {}
        }
    }

    fn check(&self) {
        if let Some(check) = self.after_commit {
            check(&self.ctx);
        }
    }

    fn commit(&mut self, index: u32) {
        let PendingWrite { write, caller } = self.ctx.take_write(index);
        let now = self.ctx.now();
        self.commits.push((now, write.clone()));
        let result = self.carry_out(write);
        self.check();
        let ctx = &mut self.ctx;
        match caller {
            Caller::Controller(Controller::ReplicaSet, key) => self.replica_sets.written(ctx, key, result),
            Caller::Controller(Controller::Deployment, key) => self.deployments.written(ctx, key, result),
            Caller::Controller(Controller::StatefulSet, key) => self.stateful_sets.written(ctx, key, result),
            Caller::Controller(Controller::DaemonSet, key) => self.daemon_sets.written(ctx, key, result),
            Caller::Controller(Controller::Job, key) => self.jobs.written(ctx, key, result),
            Caller::Scheduler(pod) => self.scheduler.written(ctx, pod, result),
            _ => {}
        }
    }

    fn carry_out(&mut self, write: Write) -> Result<(), WriteError> {
        let now = self.ctx.now();
        match write {
            Write::CreatePod { replica_set, ordinal } => {
                let template = self.ctx.store.replica_sets.head(replica_set.index()).unwrap().template;
                let pod = self.create_pod(template, Owner::ReplicaSet(replica_set), ordinal);
                self.ctx.note(What::PodCreated { pod });
                self.ctx.publish(Kind::Pod, pod.0);
            }
            Write::BindPod { pod, node } => {
                let head = self.ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
                if head.node.is_some() || head.deletion.is_some() {
                    return Err(WriteError::Conflict);
                }
                self.change_pod(pod, |p| p.node = Some(node));
            }
            Write::DeletePod { pod, grace_seconds, .. } => {
                let head = self.ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
                match delete(head, STOP.as_secs(), grace_seconds, now) {
                    Outcome::Mark(deletion) => self.change_pod(pod, |p| p.deletion = Some(deletion)),
                    Outcome::Remove => {
                        self.ctx.store.remove_pod(now, pod);
                        self.ctx.publish(Kind::Pod, pod.0);
                    }
                    Outcome::Unchanged => {}
                }
            }
            Write::ScaleReplicaSet { replica_set, base, replicas } => {
                if self.ctx.store.replica_sets.head_revision(replica_set.index()) != base {
                    return Err(WriteError::Conflict);
                }
                self.change_replica_set(replica_set, |rs| rs.replicas = replicas);
            }
            Write::ReplicaSetStatus { replica_set, replicas, ready, available } => {
                self.change_replica_set(replica_set, |rs| {
                    (rs.status_replicas, rs.ready_replicas, rs.available_replicas) = (replicas, ready, available);
                });
            }
            Write::CreateReplicaSet(rs) => {
                let index = self.ctx.store.replica_sets.len();
                self.ctx.store.put_replica_set(now, index, *rs);
                self.ctx.publish(Kind::ReplicaSet, u32::try_from(index).unwrap());
            }
            Write::Workload(write) => return apiserver::workloads::commit(&mut self.ctx, write),
            other => panic!("{other:?} is no business of this harness"),
        }
        Ok(())
    }

    /// Changes a ReplicaSet.
    pub fn change_replica_set(&mut self, id: ReplicaSetId, change: impl FnOnce(&mut ReplicaSet)) {
        let mut rs = self.ctx.store.replica_sets.head(id.index()).unwrap().clone();
        change(&mut rs);
        self.ctx.store.put_replica_set(self.ctx.now(), id.index(), rs);
        self.ctx.publish(Kind::ReplicaSet, id.0);
    }
}

/// The pods that exist.
pub fn living<'c>(ctx: &'c Context<'_>) -> impl Iterator<Item = (PodId, &'c Pod)> {
    (0..ctx.store.pods.len()).filter_map(|i| Some((PodId::from(i), ctx.store.pods.head(i)?)))
}
