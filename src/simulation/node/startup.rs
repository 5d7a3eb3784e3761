//! SyncPod: sandbox, images, init containers one after the other, then the containers.
//!
//! Source: `pkg/kubelet/kubelet.go` SyncPod, `pkg/kubelet/kuberuntime/kuberuntime_manager.go` SyncPod and
//! `kuberuntime_container.go` startContainer (v1.36).

use crate::api::PodId;
use crate::api::pod::Container;
use crate::simulation::context::Context;
use crate::simulation::event::{AppStep, Event, KubeletStep};
use crate::simulation::latency::Hop;
use crate::simulation::network::Network;
use crate::simulation::node::app::Process;
use crate::simulation::node::kubelet::{Kubelets, Setup, services_of, template};
use crate::simulation::observe::What;

impl Kubelets {
    /// One SyncPod: starts what is to be started, or looks at what runs and says so.
    pub(super) fn sync_pod(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let (setup, init_done) = (self.pod(pod).setup, self.pod(pod).status.init_done);
        match setup {
            Setup::Nothing => {
                ctx.note(What::PodStarting { pod });
                self.pod(pod).first_sync = ctx.now();
                self.pod(pod).setup = Setup::Sandbox;
                let delay = self.latency(ctx, Hop::SandboxStart, pod);
                Self::after(ctx, delay, pod, KubeletStep::SandboxReady);
            }
            // an init container runs: nothing to do until it has ended
            Setup::Init(c) if init_done <= c => self.sync_ended(ctx, pod, false),
            Setup::Init(c) => self.start_next(ctx, pod, c + 1),
            Setup::Sandbox | Setup::Container(_) => self.sync_ended(ctx, pod, false),
            Setup::Done => {
                self.poke_probes(ctx, pod);
                self.refresh_status(ctx, pod);
                self.sync_ended(ctx, pod, false);
            }
        }
    }

    /// Sandbox and network are there.
    pub(super) fn sandbox_ready(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        let services = services_of(ctx, pod);
        let node = self.pod(pod).node;
        network.pod_created(pod, template(ctx, pod).serving().app, &services, node);
        self.start_next(ctx, pod, 0);
    }

    /// Starts the init container of this number, or the first container if all init containers have run.
    fn start_next(&mut self, ctx: &mut Context<'_>, pod: PodId, init: u8) {
        let has_init = usize::from(init) < template(ctx, pod).init_containers.len();
        self.pod(pod).setup = if has_init { Setup::Init(init) } else { Setup::Container(0) };
        self.pull(ctx, pod);
    }

    /// The container that is to be started, and its number.
    fn current<'c>(&mut self, ctx: &'c Context<'_>, pod: PodId) -> (u8, &'c Container) {
        let template = template(ctx, pod);
        match self.pod(pod).setup {
            Setup::Init(c) => (c, &template.init_containers[usize::from(c)]),
            Setup::Container(c) => (c, &template.containers[usize::from(c)]),
            Setup::Nothing | Setup::Sandbox | Setup::Done => (0, &template.containers[0]),
        }
    }

    /// Pulls the container's image if the node does not have it; pulls of one node wait for each other.
    fn pull(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let (c, container) = self.current(ctx, pod);
        let image = container.image.clone();
        let node = self.pod(pod).node.index();
        let container = self.number_in_pod(ctx, pod, c);
        if self.nodes[node].images.contains(&image) {
            ctx.remark(What::ImagePresent { pod, container });
            return self.image_ready(ctx, pod, c);
        }
        ctx.remark(What::ImagePulling { pod, container });
        let luck = crate::engine::Key::new("pull").number(self.nodes[node].luck).text(&image).bits();
        let pull = ctx.latency(Hop::ImagePull, luck, 0);
        let now = ctx.now();
        let state = &mut self.nodes[node];
        let done = state.pull_free_at.max(now) + pull;
        state.pull_free_at = done;
        Self::after(ctx, done.since(now), pod, KubeletStep::ImageReady(c));
    }

    /// The number of the container that is to be started, init containers counted first.
    fn number_in_pod(&mut self, ctx: &Context<'_>, pod: PodId, c: u8) -> u32 {
        let before = match self.pod(pod).setup {
            Setup::Init(_) => 0,
            _ => template(ctx, pod).init_containers.len(),
        };
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(u32::from(c))
    }

    /// The image has been pulled.
    pub(super) fn image_pulled(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let container = self.number_in_pod(ctx, pod, c);
        ctx.remark(What::ImagePulled { pod, container });
        self.image_ready(ctx, pod, c);
    }

    /// The image is there: the container is created and started.
    fn image_ready(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let image = self.current(ctx, pod).1.image.clone();
        let node = self.pod(pod).node.index();
        self.nodes[node].images.insert(image);
        let delay = self.latency(ctx, Hop::ContainerStart, pod);
        Self::after(ctx, delay, pod, KubeletStep::ContainerStarted(c));
    }

    /// A container's process runs.
    pub(super) fn container_started(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        if let Setup::Init(init) = self.pod(pod).setup {
            // its end is seen by the relist after it; until then the worker is free
            ctx.remark(What::InitContainerStarted { pod, container: u32::from(init) });
            let run = self.latency(ctx, Hop::InitContainerRun, pod);
            Self::after(ctx, run, pod, KubeletStep::InitContainerDone(init));
            return self.sync_ended(ctx, pod, true);
        }
        let now = ctx.now();
        let cause = ctx.note(What::ContainerStarted { pod, container: u32::from(c) });
        let app = &ctx.setup.apps[template(ctx, pod).containers[usize::from(c)].app as usize];
        let key = crate::engine::Key::new("appStartup").number(self.pod(pod).luck);
        let startup = app.startup.sample(ctx.random.unit(key, u64::from(c)));
        let container = self.container(pod, c);
        container.started_at = Some(now);
        container.process = Process::Starting;
        if !self.pod(pod).never_ready {
            ctx.schedule(startup, Event::App(pod, c, AppStep::Listening));
        }
        ctx.cause = cause;
        if usize::from(c) + 1 < template(ctx, pod).containers.len() {
            self.pod(pod).setup = Setup::Container(c + 1);
            return self.pull(ctx, pod);
        }
        self.pod(pod).setup = Setup::Done;
        self.sync_ended(ctx, pod, true);
    }

    /// An init container has ended; the PLEG sees it with its next relist.
    pub(super) fn init_container_done(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        ctx.remark(What::InitContainerExited { pod, container: u32::from(c), code: 0 });
        self.pod(pod).status.init_done = c + 1;
        self.update_after_relist(ctx, pod);
    }
}
