//! How containers are stopped: preStop, the turn of sidecars, the stop signal, the grace clock, SIGKILL. And
//! SyncTerminatingPod and SyncTerminatedPod, which stop all of them and do what is left until the object can go.
//!
//! Source: `pkg/kubelet/kubelet.go` SyncTerminatingPod and SyncTerminatedPod, `pkg/kubelet/kuberuntime/kuberuntime_container.go`
//! killContainer, setTerminationGracePeriod and executePreStopHook, `kuberuntime_termination_order.go`,
//! `kuberuntime_manager.go` minimumGracePeriodInSeconds,
//! `pkg/kubelet/lifecycle/handlers.go`, `pkg/kubelet/volumemanager/volume_manager.go` (v1.36); the signal and the time until
//! SIGKILL: containerd `internal/cri/server/container_stop.go`.

use std::collections::VecDeque;

use crate::api::PodId;
use crate::api::pod::{Hook, HookStep, Signal};
use crate::engine::{Duration, Time, Timer};
use crate::simulation::context::Context;
use crate::simulation::event::{AppStep, Event, KubeletStep};
use crate::simulation::latency::Hop;
use crate::simulation::network::Network;
use crate::simulation::node::actions::{FailedProbe, Seen};
use crate::simulation::node::app::{Process, Sender};
use crate::simulation::node::kubelet::{Kubelets, Place, Sandbox, place, template};
use crate::simulation::node::worker::Work;
use crate::simulation::observe::What;
use crate::simulation::outcome::PodActivity;
use crate::simulation::setup::ConnectionClose;

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
    /// The next step of the hook.
    hook_timer: Option<Timer>,
    /// Since when a sidecar waits for its turn, and the end of its patience.
    waiting: Option<(Time, Timer)>,
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
    /// Of the pod: when its volumes are unmounted.
    pub(super) unmounted_at: Time,
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

impl Kill {
    /// What it has still in store.
    pub(super) fn timers(self) -> impl Iterator<Item = Timer> {
        let deadline = if let HookState::Running(_, deadline) = self.hook { Some(deadline) } else { None };
        [self.hook_timer, deadline, self.waiting.map(|(_, timer)| timer), self.kill_timer].into_iter().flatten()
    }
}

/// What a worker's sync is stopping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Killing {
    /// Nothing.
    Nothing,
    /// Containers whose probes have failed, one after the other; these are left.
    Some(VecDeque<(u8, FailedProbe)>),
    /// All of them, at once.
    All,
}

impl Kubelets {
    /// SyncTerminatingPod: stops all containers, each in its own time.
    pub(super) fn sync_terminating_pod(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        if let Some(retry) = self.pod(pod).retry.take() {
            ctx.cancel(retry);
        }
        let grace_seconds = self.pod(pod).worker.termination.unwrap_or(1).max(1);
        self.kill_all(ctx, network, pod, grace_seconds);
    }

    /// A SyncPod has found that nothing but sidecars is left to run: they are stopped, and the sandbox with them.
    pub(super) fn kill_whole_pod(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        let grace_seconds = template(ctx, pod).termination_grace_period_seconds;
        self.pod(pod).changed = true;
        self.kill_all(ctx, network, pod, grace_seconds);
    }

    fn kill_all(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, grace_seconds: u64) {
        self.pod(pod).killing = Killing::All;
        let cause = ctx.note(What::KillingStarted { pod });
        let now = ctx.now();
        let numbers = 0..u8::try_from(self.pod(pod).containers.len()).unwrap_or(u8::MAX);
        for c in numbers.clone() {
            let container = self.container(pod, c);
            if matches!(container.process, Process::NotStarted | Process::Exited) {
                container.kill.stopped = true;
                continue;
            }
            container.kill.begun_at = Some(now);
            container.kill.grace_seconds = grace_seconds;
            self.stop_liveness(ctx, pod, c);
        }
        for c in numbers {
            ctx.cause = cause;
            if !self.container(pod, c).kill.stopped {
                self.begin_hook(ctx, network, pod, c);
            }
        }
        ctx.cause = cause;
        self.stop_sandbox_if_done(ctx, pod);
    }

    /// Stops the next container whose probe has failed; when there is none left, the sync goes on to start some.
    pub(super) fn kill_next(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        let Killing::Some(queue) = &mut self.pod(pod).killing else { return };
        let Some((c, probe)) = queue.pop_front() else {
            self.pod(pod).killing = Killing::Nothing;
            return self.start_next(ctx, pod);
        };
        if self.container(pod, c).process == Process::Exited {
            return self.kill_next(ctx, network, pod); // it was faster
        }
        let spec = template(ctx, pod).container(c);
        let probe_spec = if probe == FailedProbe::Startup { spec.startup } else { spec.liveness };
        let own = probe_spec.and_then(|p| p.termination_grace_seconds);
        let grace_seconds = own.unwrap_or(template(ctx, pod).termination_grace_period_seconds);
        let startup = u32::from(probe == FailedProbe::Startup);
        ctx.note(What::ProbeGaveUp { pod, container: u32::from(c), startup });
        self.pod(pod).changed = true;
        let now = ctx.now();
        self.stop_liveness(ctx, pod, c);
        let kill = &mut self.container(pod, c).kill;
        (kill.begun_at, kill.grace_seconds) = (Some(now), grace_seconds);
        self.begin_hook(ctx, network, pod, c);
    }

    fn begin_hook(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let spec = template(ctx, pod).container(c);
        let Some(hook) = spec.pre_stop.clone().filter(|_| self.container(pod, c).kill.grace_seconds > 0) else {
            return self.wait_for_turn(ctx, pod, c);
        };
        let cause = ctx.note(What::PreStopStarted { pod, container: u32::from(c) });
        if matches!(place(ctx, pod, c), Place::Serves | Place::Behind) {
            network.set_activity(ctx.now(), pod, PodActivity::PreStop, cause);
        }
        if Self::app_of(ctx, pod, c).shutdown.connection_close == ConnectionClose::OnPreStop {
            self.says_goodbye(ctx, network, pod, c);
        }
        let grace = Duration::from_secs(self.container(pod, c).kill.grace_seconds);
        let first = match hook {
            Hook::Sleep(time) => time,
            Hook::Exec(_) => self.latency(ctx, Hop::HookExec, pod),
            Hook::HttpGet(_) => self.latency(ctx, Hop::HookHttp, pod),
        };
        self.next_hook_step(ctx, pod, c, first);
        let deadline = Self::after(ctx, grace, pod, KubeletStep::HookDeadline(c));
        self.container(pod, c).kill.hook = HookState::Running(0, deadline);
    }

    /// The hook goes on with its next step, or has come to its end.
    pub(super) fn hook_step(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let steps = match &template(ctx, pod).container(c).pre_stop {
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
                self.next_hook_step(ctx, pod, c, *time);
            }
            Some(HookStep::Signal(signal)) => {
                self.send_signal(ctx, network, pod, c, *signal, Sender::Hook);
                let next = self.latency(ctx, Hop::HookCommand, pod);
                self.next_hook_step(ctx, pod, c, next);
            }
            Some(HookStep::UntilExit) => {
                if self.container(pod, c).process == Process::Exited {
                    self.hook_over(ctx, pod, c, false);
                }
            }
            None => self.hook_over(ctx, pod, c, false),
        }
    }

    fn next_hook_step(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8, after: Duration) {
        let timer = Self::after(ctx, after, pod, KubeletStep::Hook(c));
        self.container(pod, c).kill.hook_timer = Some(timer);
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
        self.wait_for_turn(ctx, pod, c);
    }

    /// preStop is over, or there was none. A sidecar whose pod is stopped as a whole goes on when all containers have
    /// stopped, and the sidecar after it; for the others it is their turn at once.
    ///
    /// The time that it has waited is charged to its grace period as the hook's is, in whole seconds.
    fn wait_for_turn(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let now = ctx.now();
        let kill = &mut self.container(pod, c).kill;
        let used = kill.begun_at.map_or(0, |at| now.since(at).as_secs());
        kill.left_seconds = kill.grace_seconds.saturating_sub(used);
        let left = kill.left_seconds;
        if left > 0 && self.pod(pod).killing == Killing::All && self.must_wait(ctx, pod, c) {
            let timer = Self::after(ctx, Duration::from_secs(left), pod, KubeletStep::Turn(c));
            self.container(pod, c).kill.waiting = Some((now, timer));
            return;
        }
        self.stop_container(ctx, pod, c);
    }

    /// Whether something has to stop before this container may.
    fn must_wait(&self, ctx: &Context<'_>, pod: PodId, c: u8) -> bool {
        let template = template(ctx, pod);
        if !template.container(c).sidecar {
            return false;
        }
        let containers = &self.runtime(pod).expect("on a node").containers;
        let runs = |number: u8| !containers[usize::from(number)].kill.stopped;
        let mains = 0..template.init_number(0);
        let next =
            (c + 1..template.init_number(template.init_containers.len())).find(|n| template.container(*n).sidecar);
        mains.into_iter().any(runs) || next.is_some_and(runs)
    }

    /// A sidecar waits no longer: its turn has come, or its grace period is over.
    pub(super) fn turn_has_come(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let now = ctx.now();
        let kill = &mut self.container(pod, c).kill;
        let Some((since, timer)) = kill.waiting.take() else { return };
        kill.left_seconds = kill.left_seconds.saturating_sub(now.since(since).as_secs());
        ctx.cancel(timer);
        if self.container(pod, c).process == Process::Exited {
            return self.stop_returns(ctx, pod, c);
        }
        self.stop_container(ctx, pod, c);
    }

    /// CRI StopContainer, with what is left of the grace period.
    fn stop_container(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        // at the deadline the kubelet goes on at once; a hook that ends takes the way back from the container
        let returns = matches!(template(ctx, pod).container(c).pre_stop, Some(Hook::Exec(_)))
            && !self.container(pod, c).kill.hook_overran;
        let mut way = self.latency(ctx, Hop::StopContainer, pod);
        if returns {
            way += self.latency(ctx, Hop::HookReturn, pod);
        }
        let kill = &mut self.container(pod, c).kill;
        kill.left_seconds = kill.left_seconds.max(MINIMUM_GRACE_PERIOD_SECONDS);
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
        let signal = Self::app_of(ctx, pod, c).stop_signal;
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

    /// The container's process has ended: while it was being stopped, or by itself, and then the next relist sees it.
    pub(super) fn process_ended(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let in_container = !matches!(template(ctx, pod).container(c).pre_stop, Some(Hook::Sleep(_)));
        let kill = &mut self.container(pod, c).kill;
        if kill.begun_at.is_none() {
            return self.update_after_relist(ctx, pod);
        }
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
    pub(super) fn container_stopped(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let container = self.container(pod, c);
        if std::mem::replace(&mut container.kill.stopped, true) {
            return;
        }
        container.seen = container.ended.map_or(Seen::None, |e| Seen::Exited(e.code));
        match self.pod(pod).killing {
            Killing::Nothing => {}
            Killing::Some(_) => self.kill_next(ctx, network, pod),
            Killing::All => {
                for sidecar in 0..u8::try_from(self.pod(pod).containers.len()).unwrap_or(u8::MAX) {
                    let waits = self.container(pod, sidecar).kill.waiting.is_some();
                    if waits && !self.must_wait(ctx, pod, sidecar) {
                        self.turn_has_come(ctx, pod, sidecar);
                    }
                }
                self.stop_sandbox_if_done(ctx, pod);
            }
        }
    }

    fn stop_sandbox_if_done(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let runtime = self.pod(pod);
        if !runtime.containers.iter().all(|c| c.kill.stopped) {
            return;
        }
        let step = match runtime.sandbox {
            Sandbox::None | Sandbox::Gone => KubeletStep::TerminalStatus,
            Sandbox::Making | Sandbox::Ready => KubeletStep::SandboxStopped,
        };
        let delay = self.latency(ctx, Hop::SandboxStop, pod);
        Self::after(ctx, delay, pod, step);
    }

    /// The pod's network is gone.
    pub(super) fn sandbox_stopped(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId) {
        let cause = ctx.note(What::NetworkGone { pod });
        network.vanish(ctx.now(), pod, cause);
        self.pod(pod).sandbox = Sandbox::Gone;
        if self.pod(pod).worker.stage == Work::Sync {
            self.pod(pod).killing = Killing::Nothing;
            return self.sync_ended(ctx, pod, true);
        }
        let delay = self.latency(ctx, Hop::TerminalStatus, pod);
        Self::after(ctx, delay, pod, KubeletStep::TerminalStatus);
    }

    /// SyncTerminatingPod ends: the last status is told; the worker cleans up after the next relist.
    pub(super) fn terminal_status(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        self.tell_ended(ctx, pod);
        let unmounted_at = ctx.now() + self.latency(ctx, Hop::PodCleanup, pod);
        self.container(pod, 0).kill.unmounted_at = unmounted_at;
        self.sync_ended(ctx, pod, false);
        let polls = unmounted_at.since(ctx.now()).as_nanos().div_ceil(UNMOUNT_POLL.as_nanos());
        self.shutdown_goes_on(ctx, pod, UNMOUNT_POLL.mul(polls));
    }

    /// Waits for the volumes, then lets the object go. This is the worker's last sync: it stays busy.
    pub(super) fn sync_terminated_pod(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let missing = self.container(pod, 0).kill.unmounted_at.since(ctx.now());
        let polls = missing.as_nanos().div_ceil(UNMOUNT_POLL.as_nanos());
        Self::after(ctx, UNMOUNT_POLL.mul(polls), pod, KubeletStep::CleanedUp);
    }
}
