//! The process in a container: what it waits for, when it listens, what it does about signals, when and how it ends.
//!
//! Only one container of a pod is spoken to by clients, or two: a proxy as its front, and the application behind it. The
//! others matter by when they start and by how long they take to end.

use crate::api::PodId;
use crate::api::pod::Signal;
use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::event::{AppStep, Event, SIGNALS};
use crate::simulation::latency::Hop;
use crate::simulation::network::Network;
use crate::simulation::node::actions::Seen;
use crate::simulation::node::kubelet::{ContainerRuntime, Kubelets, Place, place, template};
use crate::simulation::observe::{CauseId, What};
use crate::simulation::setup::{ConnectionClose, GoAway, IdleConnections, Reaction, SocketAtShutdown};

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

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ended {
    /// When.
    pub(super) at: Time,
    /// Its exit code; 137 after SIGKILL.
    pub(super) code: u32,
}

/// Who sends a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sender {
    /// A command of the container's preStop hook.
    Hook,
    /// The container runtime, asked by the kubelet.
    Runtime,
}

impl ContainerRuntime {
    /// What a probe of the process would find.
    pub(super) fn answers(&self) -> bool {
        self.process == Process::Serving && !self.hangs
    }
}

impl Kubelets {
    /// A container begins with a new process: its first one, or another one after that has ended.
    pub(super) fn new_process(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let now = ctx.now();
        let container = self.container(pod, c);
        let again = container.started_at.replace(now).is_some();
        container.process = Process::Starting;
        container.seen = Seen::Running { started: false, failed: None };
        if again {
            container.restarts += 1;
            (container.hangs, container.winding_down, container.pending) = (false, None, None);
            container.drain_limit = None;
            container.probe.forget();
            let kill = std::mem::take(&mut container.kill);
            let stale: Vec<_> = container.timers.drain(..).chain(kill.timers()).collect();
            stale.into_iter().for_each(|timer| ctx.cancel(timer));
            let entrance = template(ctx, pod).entrance();
            match place(ctx, pod, c) {
                Place::Serves | Place::Front => network.restarted(now, pod, entrance, ctx.cause),
                Place::Behind => network.behind_front_is(now, pod, Some(entrance)),
                Place::Beside => {}
            }
        }
        if Self::app_of(ctx, pod, c).life.waits_for.is_some() {
            self.app_attempts(ctx, network, pod, c);
        } else {
            self.app_begins(ctx, pod, c);
        }
        self.arrange_mishaps(ctx, pod, c);
    }

    /// What the process waits for is asked; it begins when there is an answer.
    pub(super) fn app_attempts(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let Some(waits_for) = Self::app_of(ctx, pod, c).life.waits_for else { return };
        if self.container(pod, c).process != Process::Starting {
            return;
        }
        let runtime = self.pod(pod);
        runtime.draws += 1;
        let (luck, draws, node) = (runtime.luck, runtime.draws, runtime.node);
        let choice = ctx.random.draw(Key::new("attempt").number(luck), draws);
        if network.accepts(ctx.now(), node, waits_for.service, choice) {
            return self.app_begins(ctx, pod, c);
        }
        let timer = ctx.schedule(waits_for.every, Event::App(pod, c, AppStep::Attempt));
        self.container(pod, c).timers.push(timer);
    }

    /// The process begins with its own work: it starts up, or does what it is there for and ends.
    fn app_begins(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let app = Self::app_of(ctx, pod, c);
        let mut ends_after = app.life.exits_after;
        if template(ctx, pod).runs_to_completion(c) {
            let waited = app.life.waits_for.is_some();
            let run = ends_after.or_else(|| waited.then_some(Duration::ZERO));
            ends_after = run.or_else(|| Some(self.latency(ctx, Hop::InitContainerRun, pod)));
        } else if !self.pod(pod).never_ready {
            let key = Key::new("appStartup").number(self.pod(pod).luck);
            let occasion = u64::from(c) + 256 * u64::from(self.container(pod, c).restarts);
            let startup = app.startup.sample(ctx.random.unit(key, occasion));
            let timer = ctx.schedule(startup, Event::App(pod, c, AppStep::Listening));
            self.container(pod, c).timers.push(timer);
        }
        if let Some(after) = ends_after {
            let timer = ctx.schedule(after, Event::App(pod, c, AppStep::End));
            self.container(pod, c).timers.push(timer);
        }
    }

    /// The crash and the hang that the scenario has in store for the process.
    pub(super) fn arrange_mishaps(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let life = &Self::app_of(ctx, pod, c).life;
        for (at, step) in [(life.crashes_at, AppStep::Crash), (life.hangs_at, AppStep::Hang)] {
            if let Some(at) = at.filter(|at| *at > ctx.now()) {
                let timer = ctx.schedule_at(at, Event::App(pod, c, step));
                self.container(pod, c).timers.push(timer);
            }
        }
    }

    /// The process ends by itself, as it does after so long.
    pub(super) fn app_ends(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let code = Self::app_of(ctx, pod, c).life.exit_code;
        if !self.container(pod, c).hangs {
            self.app_exits(ctx, network, pod, c, code);
        }
    }

    /// The process crashes, with an exit code that says so.
    pub(super) fn app_crashes(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let code = Self::app_of(ctx, pod, c).life.exit_code.max(1);
        self.app_exits(ctx, network, pod, c, code);
    }

    /// The process goes on to exist, and answers nothing any more.
    pub(super) fn app_hangs(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let container = self.container(pod, c);
        if matches!(container.process, Process::NotStarted | Process::Exited) {
            return;
        }
        container.hangs = true;
        if let Some(timer) = container.pending.take() {
            ctx.cancel(timer);
        }
        let cause = ctx.note(What::ContainerHangs { pod, container: u32::from(c) });
        match place(ctx, pod, c) {
            Place::Serves | Place::Front => network.hang(ctx.now(), pod, cause),
            Place::Behind => network.behind_front_hangs(ctx.now(), pod, cause),
            Place::Beside => {}
        }
        self.probe_will_fail(ctx, pod, c);
        self.watch_liveness(ctx, pod, c);
    }

    /// The process listens.
    pub(super) fn app_listens(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let container = self.container(pod, c);
        if container.process != Process::Starting || container.hangs {
            return;
        }
        container.process = Process::Serving;
        self.watch_liveness(ctx, pod, c);
        let container = u32::from(c);
        match place(ctx, pod, c) {
            Place::Serves => {
                let cause = ctx.note(What::ListenerOpened { pod });
                network.listen(ctx.now(), pod, cause);
            }
            Place::Front => {
                let cause = ctx.note(What::ContainerListens { pod, container });
                network.listen(ctx.now(), pod, cause);
            }
            Place::Behind => {
                let cause = ctx.note(What::ContainerListens { pod, container });
                network.behind_front(ctx.now(), pod, true, cause);
            }
            Place::Beside => {}
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
        let app = Self::app_of(ctx, pod, c);
        if matches!(app.reactions.get(&signal), None | Some(Reaction::Ignore)) {
            return;
        }
        let restarts = u64::from(self.container(pod, c).restarts);
        let number = SIGNALS.iter().position(|s| *s == signal).unwrap_or_default();
        let key = Key::new("reaction").number(ctx.pod_luck(pod)).number(u64::from(c));
        let delay = app.reaction.sample(ctx.random.unit(key, number as u64 + 16 * restarts));
        let timer = ctx.schedule(delay, Event::App(pod, c, AppStep::React(u8::try_from(number).unwrap_or_default())));
        self.container(pod, c).timers.push(timer);
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
        let app = Self::app_of(ctx, pod, c);
        let Some(reaction) = app.reactions.get(&SIGNALS[usize::from(signal)]).copied() else { return };
        if self.container(pod, c).hangs {
            return;
        }
        let process = self.container(pod, c).process;
        match (reaction, process) {
            (_, Process::NotStarted | Process::Exited) | (Reaction::Ignore, _) => {}
            (Reaction::ExitNow, _) | (Reaction::Drain { .. } | Reaction::Outlast { .. }, Process::Starting) => {
                if let Some(timer) = self.container(pod, c).pending.take() {
                    ctx.cancel(timer);
                }
                self.app_exits(ctx, network, pod, c, 0);
            }
            (Reaction::Drain { .. } | Reaction::Outlast { .. }, Process::Draining) => {} // it is winding down already
            (Reaction::Drain { linger, .. } | Reaction::Outlast { least: linger, .. }, Process::Serving) => {
                if self.container(pod, c).pending.is_some() {
                    return; // it is lingering already
                }
                self.container(pod, c).winding_down = Some(signal);
                if matches!(app.shutdown.connection_close, ConnectionClose::OnSignal | ConnectionClose::OnPreStop) {
                    self.says_goodbye(ctx, network, pod, c);
                }
                if let Reaction::Outlast { every, .. } = reaction {
                    let timer = ctx.schedule(linger + every, Event::App(pod, c, AppStep::CloseListener));
                    self.container(pod, c).pending = Some(timer);
                    return;
                }
                if linger.is_zero() {
                    return self.app_closes_listener(ctx, network, pod, c);
                }
                let timer = ctx.schedule(linger, Event::App(pod, c, AppStep::CloseListener));
                self.container(pod, c).pending = Some(timer);
            }
        }
    }

    /// The process accepts no more, parts from its clients, and exits when its work is done.
    pub(super) fn app_closes_listener(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        if self.container(pod, c).process != Process::Serving {
            return;
        }
        let app = Self::app_of(ctx, pod, c);
        let signal = self.container(pod, c).winding_down.unwrap_or_default();
        let (in_flight_max, work) = match app.reactions.get(&SIGNALS[usize::from(signal)]) {
            Some(Reaction::Drain { in_flight_max, work, .. }) => (*in_flight_max, *work),
            Some(Reaction::Outlast { every, .. }) => {
                if place(ctx, pod, c) != Place::Beside && network.is_connected(ctx.now(), pod) {
                    let timer = ctx.schedule(*every, Event::App(pod, c, AppStep::CloseListener));
                    self.container(pod, c).pending = Some(timer);
                    return;
                }
                (Some(Duration::ZERO), Duration::ZERO)
            }
            _ => (None, Duration::ZERO),
        };
        self.container(pod, c).process = Process::Draining;
        let now = ctx.now();
        let mut idle_at = now;
        let place = place(ctx, pod, c);
        if place != Place::Beside {
            idle_at = network.in_flight_until(now, pod).unwrap_or(now).max(now);
            match (place, app.shutdown.listener) {
                (Place::Behind, SocketAtShutdown::Closes) => {
                    let cause = ctx.note(What::ContainerStopsListening { pod, container: u32::from(c) });
                    network.behind_front(now, pod, false, cause);
                }
                (Place::Behind, SocketAtShutdown::OpenUntilExit) => {
                    ctx.note(What::ContainerStopsListening { pod, container: u32::from(c) });
                    network.behind_front_is(now, pod, None);
                }
                (_, SocketAtShutdown::Closes) => {
                    let cause = self.note_closed(ctx, pod, c);
                    network.close_listener(now, pod, cause);
                }
                (_, SocketAtShutdown::OpenUntilExit) => {
                    let cause = ctx.note(What::StoppedAccepting { pod });
                    network.stop_accepting(now, pod, cause);
                }
            }
            if place != Place::Behind && app.shutdown.go_away == GoAway::Graceful {
                idle_at = idle_at.max(network.streams_until(now, pod).unwrap_or(now));
            }
        }
        self.probe_will_fail(ctx, pod, c);
        let limit = in_flight_max.map(|limit| now + limit);
        self.container(pod, c).drain_limit = limit;
        let idle_at = limit.map_or(idle_at, |limit| idle_at.min(limit));
        let timer = ctx.schedule_at(idle_at + work, Event::App(pod, c, AppStep::Exit));
        self.container(pod, c).pending = Some(timer);
    }

    /// The process is done with what was in flight when it began to wind down, or is dying of SIGKILL. One that has gone on to
    /// serve kept connections may have more to do.
    pub(super) fn app_is_done(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        let (now, app) = (ctx.now(), Self::app_of(ctx, pod, c));
        let container = self.container(pod, c);
        // what a proxy keeps open to the application behind it keeps that from nothing
        let meets_clients = matches!(place(ctx, pod, c), Place::Serves | Place::Front);
        if !container.kill.killed && container.process == Process::Draining && meets_clients {
            let until = match app.shutdown.idle_connections {
                IdleConnections::Close | IdleConnections::CloseOnUse if app.shutdown.go_away != GoAway::Graceful => {
                    None
                }
                IdleConnections::Close | IdleConnections::CloseOnUse | IdleConnections::ServeUntilExit => {
                    network.in_flight_until(now, pod)
                }
                IdleConnections::Serve | IdleConnections::CloseOnce => network.connections_until(now, pod),
            };
            let until = until.max(network.answers_awaited_until(now, pod));
            let limit = self.container(pod, c).drain_limit.unwrap_or(Time::MAX);
            if let Some(until) = until.map(|until| until.min(limit)).filter(|until| *until > now) {
                // a connection that nobody will ever close keeps it until SIGKILL
                let timer = (until < Time::MAX).then(|| ctx.schedule_at(until, Event::App(pod, c, AppStep::Exit)));
                self.container(pod, c).pending = timer;
                return;
            }
        }
        self.app_exits(ctx, network, pod, c, 0);
    }

    /// The listener of a container that clients speak to is closed.
    fn note_closed(&self, ctx: &mut Context<'_>, pod: PodId, c: u8) -> CauseId {
        ctx.note(match place(ctx, pod, c) {
            Place::Serves => What::ListenerClosed { pod },
            Place::Front | Place::Behind | Place::Beside => {
                What::ContainerStopsListening { pod, container: u32::from(c) }
            }
        })
    }

    /// The process's responses carry `Connection: close` from now on. What an application says so is not for the clients of the
    /// proxy before it (RFC 9110, section 7.6.1).
    pub(super) fn says_goodbye(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8) {
        if matches!(place(ctx, pod, c), Place::Serves | Place::Front) {
            let cause = ctx.note(What::SaysGoodbye { pod });
            network.says_goodbye(ctx.now(), pod, cause);
        }
    }

    /// The process ends: its sockets are closed by the kernel.
    pub(super) fn app_exits(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, pod: PodId, c: u8, code: u32) {
        let now = ctx.now();
        let container = self.container(pod, c);
        if container.process == Process::Exited {
            return;
        }
        if container.process == Process::NotStarted {
            return;
        }
        let listened = container.process == Process::Serving;
        let code = if container.kill.killed { 137 } else { code };
        container.process = Process::Exited;
        container.ended = Some(Ended { at: now, code });
        if let Some(timer) = container.pending.take() {
            ctx.cancel(timer);
        }
        let place = place(ctx, pod, c);
        if listened && place != Place::Beside {
            self.note_closed(ctx, pod, c);
        }
        let cause = ctx.note(What::ContainerExited { pod, container: u32::from(c), code });
        match place {
            Place::Serves | Place::Front => network.cut(ctx.now(), pod, cause),
            Place::Behind => network.behind_front_ended(ctx.now(), pod, cause),
            Place::Beside => {}
        }
        self.stop_probes(ctx, pod, c);
        self.process_ended(ctx, pod, c);
    }
}
