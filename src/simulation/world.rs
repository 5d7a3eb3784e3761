//! One run: all components, the loop, and the dispatch: which event is whose.

use std::collections::BTreeMap;

use crate::api::{Endpoints, Kind, Node, NodeId, PodId, ReplicaSetId, Revision};
use crate::engine::{Duration, Time};
use crate::simulation::context::{Context, Watches};
use crate::simulation::control_plane::autoscaler::AutoscalerController;
use crate::simulation::control_plane::daemon_set::DaemonSetController;
use crate::simulation::control_plane::deployment::DeploymentController;
use crate::simulation::control_plane::disruption::DisruptionController;
use crate::simulation::control_plane::endpoint_slice::EndpointSliceController;
use crate::simulation::control_plane::job::JobController;
use crate::simulation::control_plane::node_lifecycle::{NodeLifecycleController, taints_of};
use crate::simulation::control_plane::pod_gc::PodGc;
use crate::simulation::control_plane::replica_set::ReplicaSetController;
use crate::simulation::control_plane::scheduler::Scheduler;
use crate::simulation::control_plane::stateful_set::StatefulSetController;
use crate::simulation::control_plane::taint_eviction::TaintEvictionController;
use crate::simulation::control_plane::target_health::TargetHealthControllers;
use crate::simulation::end_state::Progress;
use crate::simulation::event::{Controller, Event, ShutdownStep, WatchId};
use crate::simulation::eviction::{Answer, Evictions};
use crate::simulation::fault::Machines;
use crate::simulation::network::Network;
use crate::simulation::node::Kubelets;
use crate::simulation::observe::What;
use crate::simulation::operator::{Kubectl, MachineOrder};
use crate::simulation::setup::{ActionKind, Setup, When};
use crate::simulation::write::{Caller, PendingWrite, Write, WriteError};
use crate::simulation::{apiserver, start, summary};

/// Runs a scenario once.
///
/// Equal `setup` and `seed` give an equal outcome, whether or not the causal trace is kept.
#[must_use]
pub fn run(setup: &Setup, seed: u64, keep_trace: bool) -> crate::simulation::Outcome {
    run_to_the_end(setup, seed, keep_trace, None)
}

/// As [`run`], but ends `settle` after the last action is done, if that is before the end of the setup's duration. While
/// a Service with clients that had ready endpoints has none, `settle` begins anew, up to `RECOVERY_MAX` after the last action.
#[must_use]
pub fn run_until_settled(setup: &Setup, seed: u64, keep_trace: bool, settle: Duration) -> crate::simulation::Outcome {
    run_to_the_end(setup, seed, keep_trace, Some(settle))
}

/// For an outage to end that an action has caused; one that lasts longer is taken to last.
const RECOVERY_MAX: Duration = Duration::from_secs(600);

fn run_to_the_end(setup: &Setup, seed: u64, keep_trace: bool, settle: Option<Duration>) -> crate::simulation::Outcome {
    let mut world = World::new(setup, seed, keep_trace);
    start::steady_state(&mut world);
    let mut end = Time::ZERO + setup.duration;
    let horizon = end;
    let mut done_at = None;
    let mut events = 0;
    loop {
        while let Some(event) = world.ctx.pop(end) {
            events += 1;
            world.handle(event);
            if let Some(settle) = settle
                && done_at.is_none()
                && world.nothing_is_to_come()
            {
                done_at = Some(world.ctx.now());
                end = horizon.min(world.ctx.now() + settle);
            }
        }
        let (Some(settle), Some(done_at)) = (settle, done_at) else { break };
        let last = horizon.min(done_at + RECOVERY_MAX);
        if end >= last || !world.some_service_is_out() {
            break;
        }
        end = last.min(end + settle);
    }
    summary::outcome(world, seed, end, events)
}

/// Everything that lives during a run.
pub(super) struct World<'a> {
    pub(super) ctx: Context<'a>,
    pub(super) disruption: DisruptionController,
    pub(super) endpoint_slice: EndpointSliceController,
    pub(super) deployment: DeploymentController,
    pub(super) replica_set: ReplicaSetController,
    pub(super) stateful_set: StatefulSetController,
    pub(super) daemon_set: DaemonSetController,
    pub(super) job: JobController,
    pub(super) autoscaler: AutoscalerController,
    pub(super) node_lifecycle: NodeLifecycleController,
    pub(super) taint_eviction: TaintEvictionController,
    pub(super) pod_gc: PodGc,
    pub(super) target_health: TargetHealthControllers,
    pub(super) scheduler: Scheduler,
    pub(super) kubelets: Kubelets,
    pub(super) network: Network<'a>,
    pub(super) evictions: Evictions,
    pub(super) kubectl: Kubectl,
    pub(super) machines: Machines,
    pub(super) warnings: Vec<String>,
    /// Pods that found no node when the run began, by what the scheduler said.
    pub(super) pending_at_start: BTreeMap<String, Vec<String>>,
    /// How far each action of the setup has come.
    pub(super) progress: Vec<Progress>,
    /// Who waits for a node to become Ready.
    joining: Vec<(NodeId, Joiner)>,
    /// Actions that wait for a machine to be down.
    shutting_down: Vec<(NodeId, u32)>,
}

/// Who has let a machine join.
#[derive(Clone, Copy, Debug)]
enum Joiner {
    /// An action of the scenario.
    Action(u32),
    /// An operator's process, and its number for the machine.
    Operator(u32, u32),
}

impl<'a> World<'a> {
    fn new(setup: &'a Setup, seed: u64, keep_trace: bool) -> Self {
        let ctx = Context::new(setup, seed, keep_trace);
        let network = Network::new(setup, ctx.random);
        Self {
            ctx,
            disruption: DisruptionController::default(),
            endpoint_slice: EndpointSliceController::new(setup.services.len()),
            deployment: DeploymentController::new(),
            replica_set: ReplicaSetController::new(),
            node_lifecycle: NodeLifecycleController::new(&setup.controller_manager),
            taint_eviction: TaintEvictionController::default(),
            pod_gc: PodGc::default(),
            target_health: TargetHealthControllers::new(setup),
            stateful_set: StatefulSetController::new(),
            daemon_set: DaemonSetController::new(),
            job: JobController::new(),
            autoscaler: AutoscalerController::default(),
            scheduler: Scheduler::new(),
            kubelets: Kubelets::default(),
            network,
            evictions: Evictions::default(),
            kubectl: Kubectl::new(),
            machines: Machines::default(),
            warnings: Vec::new(),
            pending_at_start: BTreeMap::new(),
            progress: vec![Progress::Waiting; setup.actions.len()],
            joining: Vec::new(),
            shutting_down: Vec::new(),
        }
    }

    /// One event, one arm.
    fn handle(&mut self, event: Event) {
        let ctx = &mut self.ctx;
        match event {
            Event::Action(action) => self.begin_action(action),
            Event::NodeReady(node) => self.node_ready(node),
            Event::Deliver(watch, kind, index, revision) => self.deliver(watch, kind, index, Revision(revision)),
            Event::Commit(write) => {
                let PendingWrite { write, caller } = ctx.take_write(write);
                let removed = match write {
                    Write::RemovePod { pod } | Write::DeletePod { pod, .. } => Some(pod),
                    _ => None,
                };
                let given_up = match write {
                    Write::MarkNodeUnreachable { node } => Some(node),
                    _ => None,
                };
                let status_of = match write {
                    Write::PodStatus { pod, .. } | Write::MarkPodNotReady { pod } => Some(pod),
                    _ => None,
                };
                let may_move_targets = status_of.is_some() || matches!(write, Write::Endpoints { .. });
                let deleted = match (&write, caller) {
                    (Write::DeletePod { pod, .. }, Caller::Controller(controller, _)) if makes_pods(controller) => {
                        Some(What::DeletedByController { pod: *pod })
                    }
                    _ => None,
                };
                let result = apiserver::commit(ctx, &mut self.network, write);
                if may_move_targets {
                    self.target_health.expect(ctx, &self.network, status_of);
                }
                if let Some(what) = deleted.filter(|_| result.is_ok()) {
                    ctx.remark(what);
                }
                if let Some(pod) = removed.filter(|pod| ctx.store.pods.head(pod.index()).is_none()) {
                    self.kubectl.pod_removed(ctx, pod);
                }
                if let Some(node) = given_up {
                    self.node_given_up(node);
                }
                self.answer(caller, result);
            }
            Event::Eviction(call) => {
                let answer = self.evictions.step(ctx, call);
                self.answer_eviction(answer);
            }
            Event::Sync(Controller::Disruption, key) => self.disruption.sync(ctx, key),
            Event::Sync(Controller::EndpointSlice, key) => self.endpoint_slice.sync(ctx, key),
            Event::Sync(Controller::Deployment, key) => self.deployment.sync(ctx, key),
            Event::Sync(Controller::ReplicaSet, key) => self.replica_set.sync(ctx, key),
            Event::Sync(Controller::NodeLifecycle, key) => self.node_lifecycle.sync(ctx, key),
            Event::Requeue(Controller::Disruption, key) => self.disruption.requeue(ctx, key),
            Event::Requeue(Controller::EndpointSlice, key) => self.endpoint_slice.requeue(ctx, key),
            Event::Requeue(Controller::Deployment, key) => self.deployment.requeue(ctx, key),
            Event::Requeue(Controller::ReplicaSet, key) => self.replica_set.requeue(ctx, key),
            Event::Requeue(Controller::NodeLifecycle, key) => self.node_lifecycle.requeue(ctx, key),
            Event::Sync(Controller::StatefulSet, key) => self.stateful_set.sync(ctx, key),
            Event::Sync(Controller::DaemonSet, key) => self.daemon_set.sync(ctx, key),
            Event::Sync(Controller::Job, key) => self.job.sync(ctx, key),
            Event::Requeue(Controller::StatefulSet, key) => self.stateful_set.requeue(ctx, key),
            Event::Requeue(Controller::DaemonSet, key) => self.daemon_set.requeue(ctx, key),
            Event::Requeue(Controller::Job, key) => self.job.requeue(ctx, key),
            Event::Requeue(Controller::Autoscaler, key) | Event::Sync(Controller::Autoscaler, key) => {
                self.autoscaler.requeue(ctx, key);
            }
            Event::Schedule => self.scheduler.schedule(ctx),
            Event::ScheduleRetry(pod) => self.scheduler.retry(ctx, pod),
            Event::NodeMonitor(step) => self.node_lifecycle.monitor(ctx, step),
            Event::TaintEviction(pod) => self.taint_eviction.due(ctx, pod),
            Event::PodGc => self.pod_gc.pass(ctx),
            Event::TargetHealth(stream) => self.target_health.look(ctx, &mut self.network, stream),
            Event::Fault(node, step, epoch) => self.fault_step(node, step, epoch),
            Event::Kubelet(pod, step) => self.kubelets.step(ctx, &mut self.network, pod, step),
            Event::NodeShutdown(node, ShutdownStep::PowerOff) => self.shutdown_is_over(node),
            Event::NodeShutdown(node, step) => self.kubelets.shutdown_step(ctx, node, step),
            Event::App(pod, container, step) => self.kubelets.app_step(ctx, &mut self.network, pod, container, step),
            Event::Kubectl(process, step) => {
                self.kubectl.step(ctx, process, step);
                self.after_kubectl();
            }
        }
    }

    /// A watch has delivered one version of one object: whoever shares that watch looks at it, in the order of the code.
    fn deliver(&mut self, watch: WatchId, kind: Kind, index: u32, revision: Revision) {
        let ctx = &mut self.ctx;
        let is_cut_off = Watches::node_of(watch).is_some_and(|node| !self.machines.is_connected(node));
        // what is lost here is found when the watch is made anew, which also overtakes what was under way
        if is_cut_off || ctx.watches.seen(watch, kind) >= revision {
            return;
        }
        ctx.watches.deliver(watch, kind, revision);
        let cause = ctx.cause;
        let at = index as usize;
        match (watch, kind) {
            (Watches::CONTROLLER_MANAGER, Kind::Pod) => {
                let (old, new) =
                    (ctx.store.pods.before(at, revision).copied(), ctx.store.pods.at(at, revision).copied());
                self.endpoint_slice.on_pod(ctx, old, new);
                ctx.cause = cause;
                self.disruption.on_pod(ctx, old, new);
                ctx.cause = cause;
                self.replica_set.on_pod(ctx, PodId(index), old, new);
                ctx.cause = cause;
                self.deployment.on_pod(ctx, PodId(index), old, new);
                ctx.cause = cause;
                self.stateful_set.on_pod(ctx, PodId(index), old, new);
                ctx.cause = cause;
                self.daemon_set.on_pod(ctx, PodId(index), old, new);
                ctx.cause = cause;
                self.job.on_pod(ctx, PodId(index), old, new);
                ctx.cause = cause;
                self.node_lifecycle.on_pod(ctx, PodId(index), old, new);
                ctx.cause = cause;
                self.taint_eviction.on_pod(ctx, PodId(index), old, new);
                ctx.cause = cause;
                self.pod_gc.on_pod(ctx, new);
            }
            (Watches::CONTROLLER_MANAGER, Kind::Node) => {
                let object = ctx.store.nodes.at(index as usize, revision);
                self.network.node_seen(ctx.now(), NodeId(index), object);
                self.node_lifecycle.on_node(ctx, NodeId(index));
                ctx.cause = cause;
                self.taint_eviction.on_node(ctx, NodeId(index));
                ctx.cause = cause;
                self.pod_gc.on_node(ctx, NodeId(index));
                ctx.cause = cause;
                self.daemon_set.on_node(ctx, NodeId(index), revision);
            }
            (Watches::CONTROLLER_MANAGER, Kind::Pdb) => self.disruption.on_pdb(ctx, crate::api::PdbId(index)),
            (Watches::CONTROLLER_MANAGER, Kind::Endpoints) => {}
            (Watches::CONTROLLER_MANAGER, Kind::ReplicaSet) => {
                self.replica_set.on_replica_set(ctx, ReplicaSetId(index));
                ctx.cause = cause;
                self.deployment.on_replica_set(ctx, ReplicaSetId(index));
            }
            (Watches::CONTROLLER_MANAGER, Kind::Deployment) => {
                self.deployment.on_deployment(ctx, crate::api::DeploymentId(index));
            }
            (Watches::CONTROLLER_MANAGER, Kind::StatefulSet) => {
                self.stateful_set.on_stateful_set(ctx, crate::api::StatefulSetId(index));
            }
            (Watches::CONTROLLER_MANAGER, Kind::DaemonSet) => {
                self.daemon_set.on_daemon_set(ctx, crate::api::DaemonSetId(index));
            }
            (Watches::CONTROLLER_MANAGER, Kind::Job) => self.job.on_job(ctx, crate::api::JobId(index)),
            (Watches::SCHEDULER, Kind::Pod) => {
                let (old, new) =
                    (ctx.store.pods.before(at, revision).copied(), ctx.store.pods.at(at, revision).copied());
                self.scheduler.on_pod(ctx, PodId(index), old, new);
            }
            (Watches::SCHEDULER, Kind::Node) => self.scheduler.on_node(ctx, NodeId(index)),
            (kubelet, Kind::Pod) => {
                let was_deleted = ctx.store.pods.before(at, revision).is_some_and(|p| p.deletion.is_some());
                if let Some(node) = Watches::node_of(kubelet) {
                    self.kubelets.on_pod(ctx, PodId(index), node, was_deleted, false);
                }
            }
            _ => {}
        }
        ctx.cause = cause;
    }

    /// The answer of a write goes to whoever waits for it.
    fn answer(&mut self, caller: Caller, result: Result<(), WriteError>) {
        let ctx = &mut self.ctx;
        match caller {
            Caller::Nobody => {}
            Caller::Controller(Controller::Disruption, key) => self.disruption.written(ctx, key, result),
            Caller::Controller(Controller::EndpointSlice, key) => self.endpoint_slice.written(ctx, key, result),
            Caller::Controller(Controller::Deployment, key) => self.deployment.written(ctx, key, result),
            Caller::Controller(Controller::ReplicaSet, key) => self.replica_set.written(ctx, key, result),
            Caller::Controller(Controller::NodeLifecycle, key) => self.node_lifecycle.written(ctx, key, result),
            Caller::Controller(Controller::StatefulSet, key) => self.stateful_set.written(ctx, key, result),
            Caller::Controller(Controller::DaemonSet, key) => self.daemon_set.written(ctx, key, result),
            Caller::Controller(Controller::Job, key) => self.job.written(ctx, key, result),
            Caller::Controller(Controller::Autoscaler, key) => self.autoscaler.written(ctx, key, result),
            Caller::Scheduler(pod) => self.scheduler.written(ctx, pod, result),
            Caller::Kubelet(pod) => self.kubelets.written(ctx, pod, result),
            Caller::Kubectl(process, step) => {
                self.kubectl.written(ctx, process, step, result);
                self.after_kubectl();
            }
            Caller::Eviction(call) => {
                let answer = self.evictions.written(ctx, call, result);
                self.answer_eviction(answer);
            }
        }
    }

    fn answer_eviction(&mut self, answer: Option<Answer>) {
        let Some(Answer { request, result }) = answer else { return };
        self.kubectl.eviction_answered(&mut self.ctx, request.kubectl, request.slot, result);
        self.after_kubectl();
    }

    /// Sends the evictions that kubectl has asked for, and begins the actions that have waited for a process to end.
    fn after_kubectl(&mut self) {
        for request in std::mem::take(&mut self.kubectl.requests) {
            self.evictions.send(&mut self.ctx, request);
        }
        for order in std::mem::take(&mut self.kubectl.machines) {
            match order {
                MachineOrder::Start { kubectl, number, node, ready_after } => {
                    self.machine_joins(*node, ready_after, Joiner::Operator(kubectl, number));
                }
                MachineOrder::Stop(node) => self.power_off(node),
            }
        }
        for action in self.kubectl.take_finished() {
            self.action_done(action);
        }
    }

    pub(super) fn action_done(&mut self, action: u32) {
        self.progress[action as usize] = Progress::Done;
        let failed = self.kubectl.has_failed(action);
        for (number, waiting) in self.ctx.setup.actions.iter().enumerate() {
            let due = match waiting.when {
                When::At(_) => None,
                When::After(first, wait) => (first == action as usize).then_some(wait),
                When::OnSuccess(first, wait) => (first == action as usize && !failed).then_some(wait),
                When::Window { first, end, done } => {
                    let reached = self.progress[first..end].iter().filter(|p| **p == Progress::Done).count() == done;
                    (reached && (first..end).contains(&(action as usize))).then_some(Duration::ZERO)
                }
            };
            if let Some(wait) = due {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                self.ctx.schedule(wait, Event::Action(number));
            }
        }
    }

    /// Whether a Service that clients speak to has lost its last ready endpoint and has not got one again.
    fn some_service_is_out(&self) -> bool {
        let endpoints = &self.ctx.store.endpoints;
        self.ctx.setup.traffic.iter().any(|traffic| {
            traffic.legs().any(|leg| {
                let versions = endpoints.history(leg.service.index());
                let mut counts = versions.iter().map(|v| v.value.as_ref().map_or(0, Endpoints::ready_count));
                let last = counts.next_back();
                last == Some(0) && counts.any(|count| count > 0)
            })
        })
    }

    /// Whether every action is done, or waits for what will not be.
    fn nothing_is_to_come(&self) -> bool {
        if self.progress.contains(&Progress::Begun) {
            return false;
        }
        let waiting = self.ctx.setup.actions.iter().zip(&self.progress).filter(|(_, p)| **p == Progress::Waiting);
        // what is done has set off whatever follows from it: what still waits for something done waits in vain, unless its
        // time has not come
        let due_later = |when: When| match when {
            When::At(_) => true,
            When::After(first, _) => self.progress[first] == Progress::Done,
            When::OnSuccess(first, _) => {
                let number = u32::try_from(first).unwrap_or(u32::MAX);
                self.progress[first] == Progress::Done && !self.kubectl.has_failed(number)
            }
            When::Window { first, end, done } => {
                self.progress[first..end].iter().filter(|p| **p == Progress::Done).count() >= done
            }
        };
        waiting.into_iter().all(|(action, _)| !due_later(action.when))
    }

    fn begin_action(&mut self, action: u32) {
        self.ctx.note(What::ActionStarted { action });
        self.progress[action as usize] = Progress::Begun;
        let what = &self.ctx.setup.actions[action as usize].what;
        if self.begin_fault(action, what) {
            return;
        }
        let ctx = &mut self.ctx;
        match what {
            ActionKind::AddNode { node, ready_after } => {
                self.machine_joins(node.clone(), *ready_after, Joiner::Action(action));
            }
            ActionKind::Shutdown(name) => {
                if let Some(node) = ctx.store.node_by_name(name) {
                    self.shutting_down.push((node, action));
                    self.kubelets.shut_down(ctx, node);
                } else {
                    self.warnings
                        .push(format!("{name} could not be shut down: there is no such node at {}", ctx.now()));
                    ctx.note(What::ActionDone { action });
                    self.action_done(action);
                }
            }
            _ => {
                self.kubectl.start(ctx, action);
                self.after_kubectl();
            }
        }
    }

    /// A machine joins: its Node object is there now, and Ready after its start-up.
    fn machine_joins(&mut self, mut node: Node, ready_after: Duration, joiner: Joiner) {
        let ctx = &mut self.ctx;
        node.ready = false;
        node.taints = taints_of(&node);
        let now = ctx.now();
        let id = ctx.store.create_node(now, node);
        self.kubelets.add_node(ctx, id);
        ctx.note(What::NodeAdded { node: id });
        ctx.publish(Kind::Node, id.0);
        ctx.schedule(ready_after, Event::NodeReady(id));
        self.joining.push((id, joiner));
    }

    /// Nothing delays the shutdown of a machine any more.
    fn shutdown_is_over(&mut self, node: NodeId) {
        if !self.kubelets.is_node_off(node) {
            self.power_off(node);
        }
        let done: Vec<_> = self.shutting_down.iter().filter(|(n, _)| *n == node).map(|(_, action)| *action).collect();
        self.shutting_down.retain(|(n, _)| *n != node);
        for action in done {
            self.ctx.note(What::ActionDone { action });
            self.action_done(action);
        }
    }

    /// A node that has joined is Ready: its kube-proxy runs, and pods may come.
    fn node_ready(&mut self, id: NodeId) {
        if !self.machines.is_connected(id) {
            return;
        }
        let ctx = &mut self.ctx;
        let Some(node) = ctx.store.nodes.head(id.index()) else { return };
        let mut node = node.clone();
        node.ready = true;
        node.taints = taints_of(&node);
        let (now, name, zone) = (ctx.now(), node.name.clone(), node.zone().to_string());
        ctx.store.put_node(now, id, Some(node));
        ctx.note(What::NodeReady { node: id });
        ctx.publish(Kind::Node, id.0);
        self.network.node_in_zone(id, &zone);
        self.network.add_node(now, id, &name);
        let told: Vec<_> = self.joining.iter().filter(|(node, _)| *node == id).map(|(_, joiner)| *joiner).collect();
        for joiner in told {
            match joiner {
                Joiner::Action(action) => {
                    self.ctx.note(What::ActionDone { action });
                    self.action_done(action);
                }
                Joiner::Operator(kubectl, number) => self.kubectl.machine_ready(&mut self.ctx, kubectl, number, id),
            }
        }
    }
}

/// Whether a controller has pods of its own, which it also deletes.
const fn makes_pods(controller: Controller) -> bool {
    matches!(controller, Controller::ReplicaSet | Controller::StatefulSet | Controller::DaemonSet | Controller::Job)
}
