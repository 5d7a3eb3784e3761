//! All kubelets of the cluster, and the pods that they run.
//!
//! Source: `pkg/kubelet/kubelet.go`, `pkg/kubelet/pod_workers.go` (v1.36).

use std::collections::{BTreeSet, VecDeque};

use crate::api::{Kind, NodeId, Owner, Pod, PodId, PodTemplate};
use crate::engine::{Duration, Time, Timer};
use crate::simulation::context::Context;
use crate::simulation::event::{AppStep, Event, KubeletStep};
use crate::simulation::latency::Hop;
use crate::simulation::network::Network;
use crate::simulation::node::actions::Seen;
use crate::simulation::node::app::{Ended, Process};
use crate::simulation::node::back_off::BackOff;
use crate::simulation::node::probe::ProbeState;
use crate::simulation::node::shutdown::Shutdown;
use crate::simulation::node::startup::Planned;
use crate::simulation::node::status::StatusState;
use crate::simulation::node::termination::{Kill, Killing};
use crate::simulation::node::worker::Worker;
use crate::simulation::observe::What;
use crate::simulation::outcome::PodActivity;
use crate::simulation::setup::App;

/// The kubelets of all nodes.
#[derive(Debug, Default)]
pub struct Kubelets {
    pub(super) nodes: Vec<NodeState>,
    pub(super) pods: Vec<Option<PodRuntime>>,
    /// Pods that were found unable to start.
    stuck: BTreeSet<PodId>,
}

/// What a kubelet keeps for its node.
#[derive(Clone, Debug)]
pub(super) struct NodeState {
    /// No power: nothing happens on this node.
    pub(super) off: bool,
    /// Nothing that the kubelet sends arrives.
    pub(super) cut_off: bool,
    /// The kubelet's process is stopped.
    stopped: bool,
    /// What was due meanwhile: it happens when the kubelet runs again.
    held: Vec<(PodId, KubeletStep)>,
    /// The number that stands for the node in keyed draws.
    pub(super) luck: u64,
    /// When the first relist of the PLEG begins.
    pub(super) relist_phase: Duration,
    /// How long a relist takes on this node.
    pub(super) relist_duration: Duration,
    /// Images that need no pull.
    pub(super) images: BTreeSet<String>,
    /// When the pull that is under way ends: one at a time.
    pub(super) pull_free_at: Time,
    /// When the status writer is free again: one patch at a time.
    pub(super) status_free_at: Time,
    /// The machine is being shut down, and the kubelet delays that.
    pub(super) shutdown: Option<Shutdown>,
}

/// A pod on a node.
#[derive(Clone, Debug)]
pub(super) struct PodRuntime {
    pub(super) node: NodeId,
    pub(super) luck: u64,
    /// Tells the draws for this pod apart.
    pub(super) draws: u64,
    pub(super) worker: Worker,
    /// When its first sync began: the tickers of its startup and liveness probes start there.
    pub(super) first_sync: Time,
    pub(super) sandbox: Sandbox,
    /// What the running sync has still to start.
    pub(super) plan: VecDeque<Planned>,
    /// The running sync has made or started something.
    pub(super) changed: bool,
    /// What is being stopped.
    pub(super) killing: Killing,
    /// The sync that comes when a back-off is over.
    pub(super) retry: Option<Timer>,
    /// By number: `containers`, then `init_containers`.
    pub(super) containers: Vec<ContainerRuntime>,
    pub(super) status: StatusState,
    /// It was found not Ready, or its kind never becomes so: its process never listens.
    pub(super) never_ready: bool,
}

/// The pod's sandbox, and with it its network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sandbox {
    /// There is none yet.
    None,
    /// It is being made.
    Making,
    /// It is there.
    Ready,
    /// It has been stopped.
    Gone,
}

/// A container of a pod.
#[derive(Clone, Debug)]
pub(super) struct ContainerRuntime {
    /// When its process was last started; `None`: never.
    pub(super) started_at: Option<Time>,
    pub(super) process: Process,
    /// The kubelet's view of it: an end is seen by the relist after it.
    pub(super) seen: Seen,
    /// How its last process ended.
    pub(super) ended: Option<Ended>,
    /// How many processes it has had before this one.
    pub(super) restarts: u32,
    pub(super) back_off: BackOff,
    /// The last sync has put its start off.
    pub(super) waits: bool,
    /// It answers nothing any more.
    pub(super) hangs: bool,
    /// What its process will do by itself.
    pub(super) timers: Vec<Timer>,
    pub(super) probe: ProbeState,
    pub(super) kill: Kill,
    /// The end of lingering, or the exit, that the process has arranged.
    pub(super) pending: Option<Timer>,
    /// The signal (by number) on which it is winding down.
    pub(super) winding_down: Option<u8>,
    /// It waits no longer than until then for what is in flight.
    pub(super) drain_limit: Option<Time>,
}

impl Kubelets {
    /// A kubelet for a node that is there from now on.
    pub fn add_node(&mut self, ctx: &Context<'_>, node: NodeId) {
        debug_assert_eq!(self.nodes.len(), node.index(), "nodes are added in order");
        let luck = ctx.luck_of(Kind::Node, node.0);
        let relist_duration = ctx.latency(Hop::PlegRelist, luck, 0);
        let period = worker_period(relist_duration);
        let phase = crate::engine::Key::new("plegPhase").number(luck);
        let relist_phase = Duration::from_secs_f64(period.as_secs_f64() * ctx.random.unit(phase, 0));
        self.nodes.push(NodeState {
            off: false,
            cut_off: false,
            stopped: false,
            held: Vec::new(),
            luck,
            relist_phase,
            relist_duration,
            images: BTreeSet::new(),
            pull_free_at: Time::ZERO,
            status_free_at: Time::ZERO,
            shutdown: None,
        });
    }

    /// The node loses power: its containers are gone, its kubelet forgets what it was about to do.
    pub fn node_off(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, node: NodeId) {
        let state = &mut self.nodes[node.index()];
        (state.off, state.stopped) = (true, false);
        state.held.clear();
        state.shutdown = None;
        let cause = ctx.note(What::NodeOff { node });
        for pod in self.pods_on(node) {
            ctx.cause = cause;
            network.vanish(ctx.now(), pod, cause);
            network.set_activity(ctx.now(), pod, PodActivity::NodeOff, cause);
        }
        ctx.cause = cause;
        let is_here = |pod: PodId| self.runtime(pod).is_some_and(|p| p.node == node);
        ctx.cancel_all(|event| match event {
            Event::Kubelet(pod, _) | Event::App(pod, ..) => is_here(pod),
            _ => false,
        });
    }

    /// The kernel and the kubelet run again. Images are still there, containers and sandboxes are not: pods that are still
    /// bound are set up anew. What was seen last counts until the kubelet is [connected](Self::connected).
    pub fn node_on(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        let now = ctx.now();
        let state = &mut self.nodes[node.index()];
        (state.off, state.pull_free_at, state.status_free_at) = (false, now, now);
        for pod in self.pods_on(node) {
            let draws = self.pod(pod).draws;
            let restarts: Vec<u32> =
                self.pod(pod).containers.iter().map(|c| c.restarts + u32::from(c.started_at.is_some())).collect();
            match ctx.store.pods.head(pod.index()) {
                Some(head) if !head.phase.is_terminal() => {
                    let status = StatusState::after_restart(head, now);
                    self.insert(ctx, pod, node);
                    let runtime = self.pod(pod);
                    (runtime.draws, runtime.status) = (draws, status);
                    for (container, restarts) in runtime.containers.iter_mut().zip(restarts) {
                        container.restarts = restarts;
                    }
                }
                _ => self.pods[pod.index()] = None,
            }
        }
    }

    /// The kubelet's process stops. Containers go on; what the kubelet was about to do waits.
    pub fn kubelet_stopped(&mut self, node: NodeId) {
        self.nodes[node.index()].stopped = true;
    }

    /// The kubelet's process runs again.
    pub fn kubelet_started(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        let state = &mut self.nodes[node.index()];
        state.stopped = false;
        for (pod, step) in std::mem::take(&mut state.held) {
            Self::after(ctx, Duration::ZERO, pod, step);
        }
    }

    /// Nothing that the kubelet of this node sends arrives from now on.
    pub fn cut_off(&mut self, node: NodeId) {
        self.nodes[node.index()].cut_off = true;
    }

    /// What the kubelet of this node sends arrives again, and it has been told of all changes to its pods. `restarted`: its
    /// process is a new one, and tells the status of every pod at once; one that has run on finds what others have written
    /// at the next tick of its status manager.
    pub fn connected(&mut self, ctx: &mut Context<'_>, node: NodeId, restarted: bool) {
        self.nodes[node.index()].cut_off = false;
        let luck = self.nodes[node.index()].luck;
        let tick = crate::engine::Key::new("statusTick").number(luck);
        let tick = STATUS_SYNC_PERIOD.as_secs_f64() * ctx.random.unit(tick, ctx.now().as_nanos());
        let wait = if restarted { Duration::ZERO } else { Duration::from_secs_f64(tick) };
        for pod in self.pods_on(node) {
            self.reconcile_status(ctx, pod, wait);
            if self.pod(pod).sandbox == Sandbox::None {
                self.wake_after_reaction(ctx, pod);
            }
        }
    }

    fn pods_on(&self, node: NodeId) -> Vec<PodId> {
        let is_here = |pod: &PodId| self.runtime(*pod).is_some_and(|p| p.node == node);
        (0..self.pods.len()).map(PodId::from).filter(is_here).collect()
    }

    /// A pod that has been running on this node for long: the steady state at the start of a run.
    pub fn adopt(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, node: NodeId) {
        self.insert(ctx, pod, node);
        let template = ctx.store.template_of(pod);
        let images = template.init_containers.iter().chain(&template.containers).map(|c| c.image.clone());
        self.nodes[node.index()].images.extend(images.collect::<Vec<_>>());
        let services = services_of(ctx, pod);
        network.pod_created(pod, template.entrance(), &services, node);
        let (serving, front) = (template.serving, template.front);
        self.adopt_containers(ctx, pod);
        let listens = |kubelets: &mut Self, c: u8| kubelets.container(pod, c).process == Process::Serving;
        let Some(front) = front else {
            if listens(self, serving) {
                network.listen(Time::ZERO, pod, ctx.cause);
            }
            return;
        };
        if listens(self, front.container) {
            network.listen(Time::ZERO, pod, ctx.cause);
        }
        if listens(self, serving) {
            network.behind_front(Time::ZERO, pod, true, ctx.cause);
        }
    }

    /// A pod that was found running and not Ready: its containers are there, and nothing listens in them.
    pub fn adopt_unready(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, node: NodeId) {
        self.insert(ctx, pod, node);
        let template = ctx.store.template_of(pod);
        let images = template.init_containers.iter().chain(&template.containers).map(|c| c.image.clone());
        self.nodes[node.index()].images.extend(images.collect::<Vec<_>>());
        let services = services_of(ctx, pod);
        network.pod_created(pod, template.entrance(), &services, node);
        self.adopt_containers(ctx, pod);
        let runtime = self.pods[pod.index()].as_mut().expect("just inserted");
        runtime.never_ready = true;
        for container in runtime.containers.iter_mut().filter(|c| c.process == Process::Serving) {
            container.process = Process::Starting;
            container.probe = ProbeState::default();
        }
    }

    /// A pod that was found unable to start: its kubelet goes on trying, and nothing comes of it until the pod is deleted.
    pub fn adopt_stuck(&mut self, pod: PodId) {
        self.stuck.insert(pod);
    }

    /// The watch of a kubelet has delivered a version of one of its pods. `relisted`: it was found, or missed, in a list of
    /// all pods.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, pod: PodId, node: NodeId, old_deleted: bool, relisted: bool) {
        if self.nodes[node.index()].off {
            return;
        }
        if matches!(ctx.store.pod_meta[pod.index()].owner, Owner::Mirror) {
            return self.mirror_changed(ctx, pod, node);
        }
        let seen = ctx.watches.seen(crate::simulation::context::Watches::kubelet(node), Kind::Pod);
        let version = ctx.store.pods.at(pod.index(), seen).copied();
        if self.runtime(pod).is_none() {
            if version.is_some_and(|v| !v.phase.is_terminal()) {
                self.insert(ctx, pod, node);
                if self.nodes[node.index()].shutdown.is_some() {
                    return self.reject(ctx, pod);
                }
                self.wake_after_reaction(ctx, pod);
            } else {
                return;
            }
        }
        let grace = match version {
            Some(version) => version.deletion.map(|d| d.grace_seconds),
            // gone from one list to the next: nobody has told the kubelet of a shorter grace period than the pod's own
            None if relisted && !old_deleted => Some(template(ctx, pod).termination_grace_period_seconds),
            // the object is gone: on the node, a grace period of 0 is 1 (pod_workers.go calculateEffectiveGracePeriod)
            None => Some(1),
        };
        let Some(grace) = grace else {
            if self.needs_to_reconcile_readiness(ctx, pod) {
                self.wake_after_reaction(ctx, pod);
            }
            return self.compare_readiness(ctx, pod, seen);
        };
        let runtime = self.pods[pod.index()].as_mut().expect("looked up above");
        if !old_deleted {
            ctx.note(What::KubeletSawDeletion { pod });
        }
        if runtime.worker.request_termination(grace.max(1)) {
            self.wake_after_reaction(ctx, pod);
        }
    }

    /// Does what an event asks for.
    pub fn step(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, step: KubeletStep) {
        if self.is_off(pod) {
            return;
        }
        let node = self.pod(pod).node.index();
        if self.nodes[node].stopped {
            self.nodes[node].held.push((pod, step));
            return;
        }
        match step {
            KubeletStep::Update => self.update(ctx, pod),
            KubeletStep::Sync => self.run_sync(ctx, network, pod),
            KubeletStep::SandboxReady => {
                network.sandbox_made(ctx.now(), pod);
                self.sandbox_ready(ctx, network, pod);
            }
            KubeletStep::ImageReady(c) => self.image_pulled(ctx, pod, c),
            KubeletStep::ContainerStarted(c) => self.container_started(ctx, network, pod, c),
            KubeletStep::ProbeResult(c) => self.probe_result(ctx, pod, c),
            KubeletStep::LivenessFailed(c) => self.liveness_failed(ctx, pod, c),
            KubeletStep::Hook(c) => self.hook_step(ctx, network, pod, c),
            KubeletStep::HookDeadline(c) => self.hook_deadline(ctx, network, pod, c),
            KubeletStep::StopSignal(c) => self.stop_signal(ctx, network, pod, c),
            KubeletStep::Kill(c) => self.kill(ctx, pod, c),
            KubeletStep::Turn(c) => self.turn_has_come(ctx, pod, c),
            KubeletStep::ContainerStopped(c) => self.container_stopped(ctx, network, pod, c),
            KubeletStep::SandboxStopped => self.sandbox_stopped(ctx, network, pod),
            KubeletStep::TerminalStatus => self.terminal_status(ctx, pod),
            KubeletStep::PatchStatus => self.patch_status(ctx, pod),
            KubeletStep::Reconcile => self.reconcile(ctx, pod),
            KubeletStep::CleanedUp => self.cleaned_up(ctx, pod),
        }
    }

    /// Does what an event of a container's process asks for.
    pub fn app_step(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8, step: AppStep) {
        if self.is_off(pod) {
            return;
        }
        match step {
            AppStep::Listening => self.app_listens(ctx, network, pod, c),
            AppStep::React(signal) => self.app_reacts(ctx, network, pod, c, signal),
            AppStep::CloseListener => self.app_closes_listener(ctx, network, pod, c),
            AppStep::Exit => self.app_is_done(ctx, network, pod, c),
            AppStep::Attempt => self.app_attempts(ctx, network, pod, c),
            AppStep::End => self.app_ends(ctx, network, pod, c),
            AppStep::Crash => self.app_crashes(ctx, network, pod, c),
            AppStep::Hang => self.app_hangs(ctx, network, pod, c),
        }
    }

    /// Whether this node's machine has no power.
    #[must_use]
    pub fn is_node_off(&self, node: NodeId) -> bool {
        self.nodes.get(node.index()).is_some_and(|n| n.off)
    }

    /// Whether a pod will not become Ready, whatever happens: as it was found, or as all of its kind are.
    #[must_use]
    pub fn is_never_ready(&self, ctx: &Context<'_>, pod: PodId, object: &Pod) -> bool {
        let template = ctx.store.pod_meta[pod.index()].template;
        match self.runtime(pod) {
            Some(runtime) => runtime.never_ready || (!object.ready && self.nodes[runtime.node.index()].off),
            None => ctx.setup.found.never_ready.contains(&template) || self.stuck.contains(&pod),
        }
    }

    /// The application in a container.
    pub(super) fn app_of<'c>(ctx: &Context<'c>, pod: PodId, c: u8) -> &'c App {
        &ctx.setup.apps[template(ctx, pod).container(c).app as usize]
    }

    fn is_off(&self, pod: PodId) -> bool {
        self.runtime(pod).is_none_or(|p| self.nodes[p.node.index()].off)
    }

    pub(super) fn runtime(&self, pod: PodId) -> Option<&PodRuntime> {
        self.pods.get(pod.index())?.as_ref()
    }

    /// The pod, which an event proves to be on a node.
    pub(super) fn pod(&mut self, pod: PodId) -> &mut PodRuntime {
        self.pods[pod.index()].as_mut().expect("an event of a pod that is on a node")
    }

    pub(super) fn container(&mut self, pod: PodId, c: u8) -> &mut ContainerRuntime {
        &mut self.pod(pod).containers[usize::from(c)]
    }

    /// A draw of a hop for this pod; each one is a new occasion.
    pub(super) fn latency(&mut self, ctx: &Context<'_>, hop: Hop, pod: PodId) -> Duration {
        let runtime = self.pod(pod);
        runtime.draws += 1;
        ctx.latency(hop, runtime.luck, runtime.draws)
    }

    /// Lets the next thing happen to a pod after `delay`.
    pub(super) fn after(ctx: &mut Context<'_>, delay: Duration, pod: PodId, step: KubeletStep) -> Timer {
        ctx.schedule(delay, Event::Kubelet(pod, step))
    }

    fn wake_after_reaction(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let delay = self.latency(ctx, Hop::KubeletSync, pod);
        Self::after(ctx, delay, pod, KubeletStep::Update);
    }

    fn insert(&mut self, ctx: &mut Context<'_>, pod: PodId, node: NodeId) {
        let (serving, front) = (template(ctx, pod).serving, template(ctx, pod).front);
        let times = ctx.observer.pod_mut(pod);
        (times.serving, times.front) = (u32::from(serving), front.map(|front| u32::from(front.container)));
        if self.pods.len() <= pod.index() {
            self.pods.resize(pod.index() + 1, None);
        }
        let container = || ContainerRuntime {
            started_at: None,
            process: Process::NotStarted,
            seen: Seen::None,
            ended: None,
            restarts: 0,
            back_off: BackOff::default(),
            waits: false,
            hangs: false,
            timers: Vec::new(),
            probe: ProbeState::default(),
            kill: Kill::default(),
            pending: None,
            winding_down: None,
            drain_limit: None,
        };
        self.pods[pod.index()] = Some(PodRuntime {
            node,
            luck: ctx.pod_luck(pod),
            draws: 0,
            worker: Worker::default(),
            first_sync: Time::ZERO,
            sandbox: Sandbox::None,
            plan: VecDeque::new(),
            changed: false,
            killing: Killing::Nothing,
            retry: None,
            containers: std::iter::repeat_with(container).take(template(ctx, pod).container_count()).collect(),
            status: StatusState::default(),
            never_ready: ctx.setup.found.never_ready.contains(&ctx.store.pod_meta[pod.index()].template),
        });
    }
}

/// The template of a pod, for as long as the setup is.
pub(super) fn template<'c>(ctx: &'c Context<'_>, pod: PodId) -> &'c PodTemplate {
    ctx.store.template_of(pod)
}

/// What a container is to the pod's clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// They speak to it.
    Serves,
    /// They speak to it, and it hands their requests to [`Behind`](Self::Behind).
    Front,
    /// It gets their requests from [`Front`](Self::Front).
    Behind,
    /// Nothing.
    Beside,
}

/// What a container is to the pod's clients.
pub(super) fn place(ctx: &Context<'_>, pod: PodId, c: u8) -> Place {
    let template = template(ctx, pod);
    match template.front {
        Some(front) if front.container == c => Place::Front,
        Some(_) if template.serving == c => Place::Behind,
        None if template.serving == c => Place::Serves,
        _ => Place::Beside,
    }
}

/// The Services that select a pod.
pub(super) fn services_of(ctx: &Context<'_>, pod: PodId) -> Vec<crate::api::ServiceId> {
    let version = ctx.store.pods.history(pod.index()).iter().rev().find_map(|v| v.value.as_ref());
    version.map_or_else(Vec::new, |v| ctx.store.label_set(v.labels).services.clone())
}

/// The status manager compares all statuses with what the API has at this period (`syncPeriod` in
/// `pkg/kubelet/status/status_manager.go`, v1.36).
const STATUS_SYNC_PERIOD: Duration = Duration::from_secs(10);

/// `genericPlegRelistPeriod`: the next relist begins 1 s after the end of the one before.
pub(super) fn worker_period(relist_duration: Duration) -> Duration {
    Duration::from_secs(1) + relist_duration
}
