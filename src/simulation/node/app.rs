//! The process in a container: when it listens, what it does about signals, when it exits.
//!
//! Only one container of a pod is spoken to by clients; the others matter by how long they take to end.

use crate::api::PodId;
use crate::api::pod::Signal;
use crate::engine::Duration;
use crate::simulation::context::Context;
use crate::simulation::event::{AppStep, Event, SIGNALS};
use crate::simulation::network::Network;
use crate::simulation::node::kubelet::{Kubelets, serves, template};
use crate::simulation::observe::What;
use crate::simulation::setup::Reaction;

/// Where a container's process is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Process {
    /// There is none yet.
    NotStarted,
    /// It runs and does not listen yet.
    Starting,
    /// It listens.
    Serving,
    /// It has closed its listener and finishes its work.
    Draining,
    /// It has ended.
    Exited,
}

/// Who sends a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sender {
    /// A command of the container's preStop hook.
    Hook,
    /// The container runtime, asked by the kubelet.
    Runtime,
}

impl Kubelets {
    /// The process listens.
    pub(super) fn app_listens(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let container = self.container(pod, c);
        if container.process != Process::Starting {
            return;
        }
        container.process = Process::Serving;
        if serves(ctx, pod, c) {
            let cause = ctx.note(What::ListenerOpened { pod });
            network.listen(ctx.now(), pod, cause);
        }
    }

    /// A signal arrives; the process acts on it after its reaction time. PID 1 ignores signals that it has no handler for.
    pub(super) fn send_signal(
        &mut self,
        ctx: &mut Context<'_>,
        _network: &mut Network<'_>,
        pod: PodId,
        c: u8,
        signal: Signal,
        sender: Sender,
    ) {
        if matches!(self.container(pod, c).process, Process::NotStarted | Process::Exited) {
            return;
        }
        let container = u32::from(c);
        ctx.note(match sender {
            Sender::Hook => What::HookSignalled { pod, container, signal },
            Sender::Runtime => What::SignalArrived { pod, container, signal },
        });
        let app = &ctx.setup.apps[template(ctx, pod).containers[usize::from(c)].app as usize];
        if matches!(app.reactions.get(&signal), None | Some(Reaction::Ignore)) {
            return;
        }
        let number = SIGNALS.iter().position(|s| *s == signal).unwrap_or_default();
        let key = crate::engine::Key::new("reaction").number(ctx.pod_luck(pod)).number(u64::from(c));
        let delay = app.reaction.sample(ctx.random.unit(key, number as u64));
        ctx.schedule(delay, Event::App(pod, c, AppStep::React(u8::try_from(number).unwrap_or_default())));
    }

    /// The process acts on a signal.
    pub(super) fn app_reacts(
        &mut self,
        ctx: &mut Context<'_>,
        network: &mut Network<'_>,
        pod: PodId,
        c: u8,
        signal: u8,
    ) {
        let app = &ctx.setup.apps[template(ctx, pod).containers[usize::from(c)].app as usize];
        let Some(reaction) = app.reactions.get(&SIGNALS[usize::from(signal)]).copied() else { return };
        let process = self.container(pod, c).process;
        match (reaction, process) {
            (_, Process::NotStarted | Process::Exited) | (Reaction::Ignore, _) => {}
            (Reaction::ExitNow, _) | (Reaction::Drain { .. }, Process::Starting) => {
                if let Some(timer) = self.container(pod, c).pending.take() {
                    ctx.cancel(timer);
                }
                self.app_exits(ctx, network, pod, c, 0);
            }
            (Reaction::Drain { .. }, Process::Draining) => {} // it is winding down already
            (Reaction::Drain { linger, .. }, Process::Serving) => {
                if self.container(pod, c).pending.is_some() {
                    return; // it is lingering already
                }
                self.container(pod, c).winding_down = Some(signal);
                if linger.is_zero() {
                    return self.app_closes_listener(ctx, network, pod, c);
                }
                let timer = ctx.schedule(linger, Event::App(pod, c, AppStep::CloseListener));
                self.container(pod, c).pending = Some(timer);
            }
        }
    }

    /// The process closes its listener and its idle connections, and exits when its work is done.
    pub(super) fn app_closes_listener(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        if self.container(pod, c).process != Process::Serving {
            return;
        }
        let app = &ctx.setup.apps[template(ctx, pod).containers[usize::from(c)].app as usize];
        let signal = self.container(pod, c).winding_down.unwrap_or_default();
        let (in_flight_max, work) = match app.reactions.get(&SIGNALS[usize::from(signal)]) {
            Some(Reaction::Drain { in_flight_max, work, .. }) => (*in_flight_max, *work),
            _ => (None, Duration::ZERO),
        };
        self.container(pod, c).process = Process::Draining;
        let now = ctx.now();
        let mut idle_at = now;
        if serves(ctx, pod, c) {
            let cause = ctx.note(What::ListenerClosed { pod });
            network.close_listener(now, pod, cause);
            idle_at = network.in_flight_until(now, pod).unwrap_or(now).max(now);
        }
        self.probe_will_fail(ctx, pod, c);
        if let Some(limit) = in_flight_max {
            idle_at = idle_at.min(now + limit);
        }
        let timer = ctx.schedule_at(idle_at + work, Event::App(pod, c, AppStep::Exit));
        self.container(pod, c).pending = Some(timer);
    }

    /// The process ends: its sockets are closed by the kernel.
    pub(super) fn app_exits(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8, code: u32) {
        let container = self.container(pod, c);
        if container.process == Process::Exited {
            return;
        }
        let listened = container.process == Process::Serving;
        let code = if container.kill.killed { 137 } else { code };
        container.process = Process::Exited;
        container.kill.exit_code = code;
        container.pending = None;
        if listened && serves(ctx, pod, c) {
            ctx.note(What::ListenerClosed { pod });
        }
        let cause = ctx.note(What::ContainerExited { pod, container: u32::from(c), code });
        if serves(ctx, pod, c) {
            network.cut(ctx.now(), pod, cause);
        }
        self.stop_probes(ctx, pod, c);
        self.process_ended(ctx, pod, c);
    }
}
