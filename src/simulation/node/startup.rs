//! SyncPod: sandbox, images, containers, each as the sync has found it to be due.
//!
//! Source: `pkg/kubelet/kubelet.go` SyncPod, `pkg/kubelet/kuberuntime/kuberuntime_manager.go` SyncPod and
//! `kuberuntime_container.go` startContainer, `pkg/kubelet/pod_workers.go` completeWork (v1.36).

use crate::api::PodId;
use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::event::KubeletStep;
use crate::simulation::latency::Hop;
use crate::simulation::network::Network;
use crate::simulation::node::actions::{Actions, Seen};
use crate::simulation::node::app::Process;
use crate::simulation::node::kubelet::{Kubelets, Sandbox, services_of, template};
use crate::simulation::node::termination::Killing;
use crate::simulation::observe::What;

/// How often the kubelet looks which pods are due for another sync (`kubelet.go` Run, syncTicker).
const SYNC_TICKER: Duration = Duration::from_secs(1);
/// A sync that failed is tried again after this time, and up to half as much more (`backOffPeriod`).
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Nothing waits longer for its next sync, jitter excepted (`syncFrequency`).
const RESYNC: Duration = Duration::from_secs(60);
/// `workerBackOffPeriodJitterFactor`.
const RETRY_JITTER: f64 = 0.5;

/// A container that the running sync is to start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    container: u8,
    /// When its last process ended, as the kubelet knew it when the sync began: a process that this sync itself has
    /// stopped does not count (doBackOff looks at the status from before).
    ended: Option<Time>,
}

impl Kubelets {
    /// One SyncPod: looks at what runs and says so, then stops and starts what is to be stopped and started.
    pub(super) fn sync_pod(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        match self.pod(pod).sandbox {
            Sandbox::None => {
                ctx.note(What::PodStarting { pod });
                let now = ctx.now();
                let runtime = self.pod(pod);
                runtime.first_sync = now;
                runtime.sandbox = Sandbox::Making;
                let delay = self.latency(ctx, Hop::SandboxStart, pod);
                Self::after(ctx, delay, pod, KubeletStep::SandboxReady);
                return;
            }
            Sandbox::Making => return self.sync_ended(ctx, pod, false),
            Sandbox::Ready | Sandbox::Gone => {}
        }
        self.look(ctx, pod);
        self.poke_probes(ctx, pod);
        self.take_up_conditions(ctx, pod);
        if self.refresh_status(ctx, pod) {
            return self.pod_is_over(ctx, pod);
        }
        let seen: Vec<Seen> = self.pod(pod).containers.iter().map(|c| c.seen).collect();
        let actions = Actions::of(template(ctx, pod), &seen);
        self.pod(pod).changed = false;
        self.plan(pod, &actions.start);
        if actions.kill_pod {
            return self.kill_whole_pod(ctx, network, pod);
        }
        self.pod(pod).killing = Killing::Some(actions.kill.into());
        self.kill_next(ctx, network, pod);
    }

    /// The ends that the runtime has been looked at since become known.
    fn look(&mut self, ctx: &Context<'_>, pod: PodId) {
        let now = ctx.now();
        let runtime = self.pods[pod.index()].as_mut().expect("on a node");
        let node = &self.nodes[runtime.node.index()];
        for container in &mut runtime.containers {
            let Some(ended) = container.ended.filter(|_| container.process == Process::Exited) else { continue };
            if matches!(container.seen, Seen::Running { .. }) && runtime.worker.has_looked_since(node, ended.at, now) {
                container.seen = Seen::Exited(ended.code);
                container.probe.forget();
            }
        }
    }

    /// Everything has ended and nothing is to start again: the worker goes on to clean up.
    fn pod_is_over(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let grace = template(ctx, pod).termination_grace_period_seconds.max(1);
        let worker = &mut self.pod(pod).worker;
        worker.request_termination(grace);
        worker.pending = true;
        self.sync_ended(ctx, pod, false);
    }

    fn plan(&mut self, pod: PodId, start: &[u8]) {
        let runtime = self.pod(pod);
        let ended = |c: u8| runtime.containers[usize::from(c)].ended.map(|e| e.at);
        runtime.plan = start.iter().map(|&container| Planned { container, ended: ended(container) }).collect();
    }

    /// Sandbox and network are there.
    pub(super) fn sandbox_ready(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        let services = services_of(ctx, pod);
        let node = self.pod(pod).node;
        network.pod_created(pod, template(ctx, pod).entrance(), &services, node);
        self.pod(pod).sandbox = Sandbox::Ready;
        self.pod(pod).changed = true;
        let seen = vec![Seen::None; self.pod(pod).containers.len()];
        let actions = Actions::of(template(ctx, pod), &seen);
        self.plan(pod, &actions.start);
        self.start_next(ctx, pod);
    }

    /// Starts the next container of the plan that does not have to wait; without one, the sync ends.
    pub(super) fn start_next(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let now = ctx.now();
        while let Some(Planned { container: c, ended }) = self.pod(pod).plan.pop_front() {
            let container = self.container(pod, c);
            if let Some(ended) = ended {
                if now < container.back_off.over_at(ended) {
                    if !std::mem::replace(&mut container.waits, true) {
                        ctx.note(What::ContainerBacksOff { pod, container: u32::from(c) });
                    }
                    if template(ctx, pod).runs_to_completion(c) {
                        self.pod(pod).plan.clear(); // the pod's start-up waits with it
                    }
                    continue;
                }
                container.back_off.started(ended, now);
            }
            container.waits = false;
            return self.pull(ctx, pod, c);
        }
        let changed = self.pod(pod).changed;
        self.sync_ended(ctx, pod, changed);
        self.arrange_retry(ctx, pod);
    }

    /// Arranges the sync after a back-off. It is tried again when the first back-off is over, late by up to half of what was
    /// left; before 1.35 after 10 to 15 s, whatever was left. The kubelet looks once a second which pods are due.
    fn arrange_retry(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        if let Some(timer) = self.pod(pod).retry.take() {
            ctx.cancel(timer);
        }
        let now = ctx.now();
        let over = |c: &super::kubelet::ContainerRuntime| c.ended.filter(|_| c.waits).map(|e| c.back_off.over_at(e.at));
        let runtime = self.pod(pod);
        let Some(first) = runtime.containers.iter().filter_map(over).min() else { return };
        runtime.draws += 1;
        let (luck, draws, node) = (runtime.luck, runtime.draws, runtime.node);
        let left = if ctx.version.restarts_when_back_off_ends() { first.since(now).min(RESYNC) } else { RETRY_AFTER };
        let jitter = RETRY_JITTER * ctx.random.unit(Key::new("retryJitter").number(luck), draws);
        let due = now + Duration::from_secs_f64(left.as_secs_f64() * (1.0 + jitter));
        let phase = Key::new("syncTicker").number(self.nodes[node.index()].luck);
        let phase = Duration::from_secs_f64(SYNC_TICKER.as_secs_f64() * ctx.random.unit(phase, 0));
        let ticks = due.since(Time::ZERO + phase).as_nanos().div_ceil(SYNC_TICKER.as_nanos());
        let at = Time::ZERO + phase + SYNC_TICKER.mul(ticks);
        let timer = Self::after(ctx, at.since(now), pod, KubeletStep::Update);
        self.pod(pod).retry = Some(timer);
    }

    /// Pulls the container's image if the node does not have it; pulls of one node wait for each other.
    fn pull(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let image = template(ctx, pod).container(c).image.clone();
        let node = self.pod(pod).node.index();
        let container = u32::from(c);
        if self.nodes[node].images.contains(&image) {
            ctx.remark(What::ImagePresent { pod, container });
            return self.image_ready(ctx, pod, c);
        }
        ctx.remark(What::ImagePulling { pod, container });
        let luck = Key::new("pull").number(self.nodes[node].luck).text(&image).bits();
        let pull = ctx.latency(Hop::ImagePull, luck, 0);
        let now = ctx.now();
        let state = &mut self.nodes[node];
        let done = state.pull_free_at.max(now) + pull;
        state.pull_free_at = done;
        Self::after(ctx, done.since(now), pod, KubeletStep::ImageReady(c));
    }

    /// The image has been pulled.
    pub(super) fn image_pulled(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        ctx.remark(What::ImagePulled { pod, container: u32::from(c) });
        self.image_ready(ctx, pod, c);
    }

    /// The image is there: the container is created and started.
    fn image_ready(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let image = template(ctx, pod).container(c).image.clone();
        let node = self.pod(pod).node.index();
        self.nodes[node].images.insert(image);
        let delay = self.latency(ctx, Hop::ContainerStart, pod);
        Self::after(ctx, delay, pod, KubeletStep::ContainerStarted(c));
    }

    /// A container's process runs. The sync goes on with the next one.
    pub(super) fn container_started(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let cause = ctx.note(What::ContainerStarted { pod, container: u32::from(c) });
        self.new_process(ctx, network, pod, c);
        ctx.cause = cause;
        self.pod(pod).changed = true;
        self.start_next(ctx, pod);
    }
}
