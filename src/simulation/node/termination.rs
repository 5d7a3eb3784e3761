//! SyncTerminatingPod and SyncTerminatedPod: preStop, the stop signal, the grace clock, SIGKILL, and what is left to do
//! until the object can go.
//!
//! Source: `pkg/kubelet/kubelet.go` SyncTerminatingPod and SyncTerminatedPod, `pkg/kubelet/kuberuntime/kuberuntime_container.go`
//! killContainer and executePreStopHook, `kuberuntime_manager.go` minimumGracePeriodInSeconds,
//! `pkg/kubelet/lifecycle/handlers.go`, `pkg/kubelet/volumemanager/volume_manager.go` (v1.36); the signal and the time until
//! SIGKILL: containerd `internal/cri/server/container_stop.go`.

use crate::api::PodId;
use crate::api::pod::{Hook, HookStep, Signal};
use crate::engine::{Duration, Time, Timer};
use crate::simulation::context::Context;
use crate::simulation::event::{AppStep, Event, KubeletStep};
use crate::simulation::latency::Hop;
use crate::simulation::network::Network;
use crate::simulation::node::app::{Process, Sender};
use crate::simulation::node::kubelet::{Kubelets, Setup, serves, template};
use crate::simulation::observe::What;
use crate::simulation::outcome::PodActivity;

/// However little preStop has left, a container has so many seconds between its stop signal and SIGKILL.
const MINIMUM_GRACE_PERIOD_SECONDS: u64 = 2;
/// How often an unfinished unmount is looked at again (`podAttachAndMountRetryInterval`).
const UNMOUNT_POLL: Duration = Duration::from_millis(300);

/// How far the stopping of a container has come. Each container has a clock of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Kill {
    begun_at: Option<Time>,
    /// The grace period that the kill began with, seconds.
    grace_seconds: u64,
    hook: HookState,
    /// The grace period was over before the hook.
    hook_overran: bool,
    /// The stop signal has been decided upon.
    stopping: bool,
    /// What is left of the grace period for the process, seconds.
    left_seconds: u64,
    kill_timer: Option<Timer>,
    /// SIGKILL was sent.
    pub(super) killed: bool,
    /// CRI StopContainer has returned.
    stopped: bool,
    /// The exit code of the process: 137 after SIGKILL.
    pub(super) exit_code: u32,
    /// Of the pod: when its volumes are unmounted.
    unmounted_at: Time,
}

#[derive(Clone, Copy, Debug, Default)]
enum HookState {
    #[default]
    None,
    /// The step that comes next, and the timer of the deadline.
    Running(usize, Timer),
    /// The kubelet waits for it no longer.
    Over,
}

impl Kubelets {
    /// Stops all containers at once, each in its own time.
    pub(super) fn sync_terminating_pod(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        let cause = ctx.note(What::KillingStarted { pod });
        let grace_seconds = self.pod(pod).worker.termination.unwrap_or(1).max(1);
        let now = ctx.now();
        for c in 0..u8::try_from(self.pod(pod).containers.len()).unwrap_or(u8::MAX) {
            ctx.cause = cause;
            let container = self.container(pod, c);
            if matches!(container.process, Process::NotStarted | Process::Exited) {
                container.kill.stopped = true;
                continue;
            }
            container.kill.begun_at = Some(now);
            container.kill.grace_seconds = grace_seconds;
            self.begin_hook(ctx, network, pod, c);
        }
        ctx.cause = cause;
        self.stop_sandbox_if_done(ctx, pod);
    }

    fn begin_hook(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let spec = &template(ctx, pod).containers[usize::from(c)];
        let Some(hook) = spec.pre_stop.clone() else { return self.stop_container(ctx, pod, c) };
        let cause = ctx.note(What::PreStopStarted { pod, container: u32::from(c) });
        if serves(ctx, pod, c) {
            network.set_activity(ctx.now(), pod, PodActivity::PreStop, cause);
        }
        let grace = Duration::from_secs(self.container(pod, c).kill.grace_seconds);
        let first = match hook {
            Hook::Sleep(time) => time,
            Hook::Exec(_) => self.latency(ctx, Hop::HookExec, pod),
            Hook::HttpGet(_) => self.latency(ctx, Hop::HookHttp, pod),
        };
        Self::after(ctx, first, pod, KubeletStep::Hook(c));
        let deadline = Self::after(ctx, grace, pod, KubeletStep::HookDeadline(c));
        self.container(pod, c).kill.hook = HookState::Running(0, deadline);
    }

    /// The hook goes on with its next step, or has come to its end.
    pub(super) fn hook_step(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let steps = match &template(ctx, pod).containers[usize::from(c)].pre_stop {
            Some(Hook::Exec(steps) | Hook::HttpGet(steps)) => steps.clone(),
            Some(Hook::Sleep(_)) | None => Vec::new(),
        };
        let at = match self.container(pod, c).kill.hook {
            HookState::Running(at, timer) => {
                self.container(pod, c).kill.hook = HookState::Running(at + 1, timer);
                at
            }
            // the kubelet has given up on it; what it had begun in the container is not followed further
            HookState::Over | HookState::None => return,
        };
        match steps.get(at) {
            Some(HookStep::Wait(time)) => {
                Self::after(ctx, *time, pod, KubeletStep::Hook(c));
            }
            Some(HookStep::Signal(signal)) => {
                self.send_signal(ctx, network, pod, c, *signal, Sender::Hook);
                let next = self.latency(ctx, Hop::HookCommand, pod);
                Self::after(ctx, next, pod, KubeletStep::Hook(c));
            }
            Some(HookStep::UntilExit) => {
                if self.container(pod, c).process == Process::Exited {
                    self.hook_over(ctx, pod, c, false);
                }
            }
            None => self.hook_over(ctx, pod, c, false),
        }
    }

    /// The grace period is over and the hook is not.
    pub(super) fn hook_deadline(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let _ = network;
        self.hook_over(ctx, pod, c, true);
    }

    /// The kubelet goes on: the whole seconds that the hook took are charged to the grace period.
    fn hook_over(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8, overran: bool) {
        let HookState::Running(_, deadline) = self.container(pod, c).kill.hook else { return };
        self.container(pod, c).kill.hook = HookState::Over;
        let container = u32::from(c);
        ctx.note(if overran { What::PreStopOverran { pod, container } } else { What::PreStopEnded { pod, container } });
        ctx.cancel(deadline);
        self.container(pod, c).kill.hook_overran = overran;
        self.stop_container(ctx, pod, c);
    }

    /// CRI StopContainer, with what is left of the grace period.
    fn stop_container(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        // at the deadline the kubelet goes on at once; a hook that ends takes the way back from the container
        let returns = matches!(template(ctx, pod).containers[usize::from(c)].pre_stop, Some(Hook::Exec(_)))
            && !self.container(pod, c).kill.hook_overran;
        let now = ctx.now();
        let mut way = self.latency(ctx, Hop::StopContainer, pod);
        if returns {
            way += self.latency(ctx, Hop::HookReturn, pod);
        }
        let kill = &mut self.container(pod, c).kill;
        let used = kill.begun_at.map_or(0, |at| now.since(at).as_secs());
        kill.left_seconds = kill.grace_seconds.saturating_sub(used).max(MINIMUM_GRACE_PERIOD_SECONDS);
        kill.stopping = true;
        Self::after(ctx, way, pod, KubeletStep::StopSignal(c));
    }

    /// The stop signal arrives; SIGKILL follows when the time that is left has passed.
    pub(super) fn stop_signal(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        if self.container(pod, c).process == Process::Exited {
            return self.stop_returns(ctx, pod, c);
        }
        let left = Duration::from_secs(self.container(pod, c).kill.left_seconds);
        let cause = ctx.cause;
        let timer = Self::after(ctx, left, pod, KubeletStep::Kill(c));
        self.container(pod, c).kill.kill_timer = Some(timer);
        ctx.cause = cause;
        let app = template(ctx, pod).containers[usize::from(c)].app;
        let signal = ctx.setup.apps[app as usize].stop_signal;
        self.send_signal(ctx, network, pod, c, signal, Sender::Runtime);
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let container = self.container(pod, c);
        container.kill.kill_timer = None;
        if container.process == Process::Exited {
            return;
        }
        container.kill.killed = true;
        let pending = container.pending.take();
        if let Some(timer) = pending {
            ctx.cancel(timer);
        }
        ctx.note(What::SignalArrived { pod, container: u32::from(c), signal: Signal::Kill });
        let dies = self.latency(ctx, Hop::Kill, pod);
        ctx.schedule(dies, Event::App(pod, c, AppStep::Exit));
    }

    /// The container's process has ended while the pod is being stopped.
    pub(super) fn process_ended(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let in_container = !matches!(template(ctx, pod).containers[usize::from(c)].pre_stop, Some(Hook::Sleep(_)));
        let kill = &mut self.container(pod, c).kill;
        if let Some(timer) = kill.kill_timer.take() {
            ctx.cancel(timer);
        }
        match kill.hook {
            // what the hook runs or asks is in the container and ends with it; a sleep of the kubelet goes on
            HookState::Running(..) if in_container => self.hook_over(ctx, pod, c, false),
            HookState::Running(..) => {}
            HookState::None | HookState::Over => {
                if kill.stopping && !kill.stopped {
                    self.stop_returns(ctx, pod, c);
                }
            }
        }
    }

    fn stop_returns(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let delay = self.latency(ctx, Hop::ContainerExit, pod);
        Self::after(ctx, delay, pod, KubeletStep::ContainerStopped(c));
    }

    /// CRI StopContainer has returned. When all containers have got that far, the sandbox is stopped.
    pub(super) fn container_stopped(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        if !std::mem::replace(&mut self.container(pod, c).kill.stopped, true) {
            self.stop_sandbox_if_done(ctx, pod);
        }
    }

    fn stop_sandbox_if_done(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let runtime = self.pod(pod);
        if !runtime.containers.iter().all(|c| c.kill.stopped) {
            return;
        }
        let step =
            if runtime.setup == Setup::Nothing { KubeletStep::TerminalStatus } else { KubeletStep::SandboxStopped };
        let delay = self.latency(ctx, Hop::SandboxStop, pod);
        Self::after(ctx, delay, pod, step);
    }

    /// The pod's network is gone.
    pub(super) fn sandbox_stopped(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        let cause = ctx.note(What::NetworkGone { pod });
        network.vanish(ctx.now(), pod, cause);
        let delay = self.latency(ctx, Hop::TerminalStatus, pod);
        Self::after(ctx, delay, pod, KubeletStep::TerminalStatus);
    }

    /// SyncTerminatingPod ends: the last status is told; the worker cleans up after the next relist.
    pub(super) fn terminal_status(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        self.tell_ended(ctx, pod);
        let unmounted_at = ctx.now() + self.latency(ctx, Hop::PodCleanup, pod);
        self.container(pod, 0).kill.unmounted_at = unmounted_at;
        self.sync_ended(ctx, pod, false);
    }

    /// Waits for the volumes, then lets the object go. This is the worker's last sync: it stays busy.
    pub(super) fn sync_terminated_pod(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let missing = self.container(pod, 0).kill.unmounted_at.since(ctx.now());
        let polls = missing.as_nanos().div_ceil(UNMOUNT_POLL.as_nanos());
        Self::after(ctx, UNMOUNT_POLL.mul(polls), pod, KubeletStep::CleanedUp);
    }
}
