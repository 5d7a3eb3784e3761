//! Readiness and startup probes; liveness probes are in `liveness`.
//!
//! Source: `pkg/kubelet/prober/prober_manager.go` UpdatePodStatus, `worker.go` run and doProbe,
//! `results/results_manager.go` Set (v1.36). A probe that cannot change anything is not simulated: while a container is ready
//! and listens, no event is spent on it.

use crate::api::PodId;
use crate::api::pod::Probe;
use crate::engine::{Duration, Key, Time, Timer};
use crate::simulation::context::Context;
use crate::simulation::event::KubeletStep;
use crate::simulation::latency::Hop;
use crate::simulation::node::actions::{FailedProbe, Seen};
use crate::simulation::node::app::Process;
use crate::simulation::node::kubelet::{ContainerRuntime, Kubelets, template};
use crate::simulation::node::worker::Work;
use crate::simulation::observe::What;

/// How often the attempt that a sync provokes finds the container in the status manager's cache, which that same sync is
/// about to fill: a race of two goroutines, 77 of 111 recorded pod starts on a v1.36 cluster (see `docs/model.md`). If it
/// loses, the attempt is not made.
const POKE_FINDS_CONTAINER: f64 = 0.69;

/// The probes of one container.
#[derive(Clone, Debug, Default)]
pub(super) struct ProbeState {
    /// The startup probe has succeeded, or there is none to wait for.
    pub(super) started: bool,
    /// The container is ready.
    pub(super) ready: bool,
    /// The ticker's origin: attempts come a whole number of periods after it.
    ticker: Origin,
    /// The kubelet has heard of the result that a new container starts with, failure: for the worker that is a change of
    /// the result as any other.
    told: bool,
    /// The next attempt is one of the ticker, not one that a sync has asked for.
    ticked: bool,
    successes: u32,
    /// Attempts of the startup probe that have failed in a row.
    failures: u32,
    pokes: u64,
    next: Option<Timer>,
    /// Where the ticker of the liveness probe started from; `None`: at the pod's first sync.
    pub(super) liveness_ticker: Option<Origin>,
    /// The failure of the liveness probe that is to come.
    pub(super) liveness_timer: Option<Timer>,
}

/// Where a ticker started from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// At this time.
    At(Time),
    /// Before the run began: ticks come this long after its start, and then every period.
    Phase(Duration),
}

impl Default for Origin {
    fn default() -> Self {
        Self::Phase(Duration::ZERO)
    }
}

impl Origin {
    /// The first tick after `t`.
    pub(super) fn next_tick(self, t: Time, period: Duration) -> Time {
        let origin = match self {
            Self::At(at) => at,
            Self::Phase(phase) => Time::ZERO + phase,
        };
        if t < origin {
            return origin;
        }
        origin + period.mul(t.since(origin).as_nanos() / period.as_nanos().max(1) + 1)
    }
}

impl ProbeState {
    /// The state of a container that has been ready since before the run.
    pub(super) fn ready_for_long(readiness: Duration, liveness: Duration) -> Self {
        Self {
            started: true,
            ready: true,
            ticker: Origin::Phase(readiness),
            liveness_ticker: Some(Origin::Phase(liveness)),
            told: true,
            ..Self::default()
        }
    }

    /// The container has ended, or another one takes its place: results are forgotten, the tickers go on. The timers of the
    /// old one must have been [stopped](Kubelets::stop_probes).
    pub(super) fn forget(&mut self) {
        let Self { ticker, liveness_ticker, .. } = *self;
        *self = Self { ticker, liveness_ticker, ..Self::default() };
    }
}

impl ContainerRuntime {
    /// The container counts as started: its startup probe has succeeded, or there is none.
    fn now_started(&mut self) {
        self.probe.started = true;
        if let Seen::Running { started, .. } = &mut self.seen {
            *started = true;
        }
    }

    /// A number for the n-th occasion in the life of this process.
    fn occasion(&self, n: u64) -> u64 {
        n + 1_000_000 * u64::from(self.restarts)
    }
}

impl Kubelets {
    /// A sync looks at the running containers: those without a readiness probe are ready, the others' probes are asked to
    /// try at once.
    pub(super) fn poke_probes(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let now = ctx.now();
        for c in 0..u8::try_from(self.pod(pod).containers.len()).unwrap_or(u8::MAX) {
            if template(ctx, pod).runs_to_completion(c) {
                continue;
            }
            let spec = template(ctx, pod).container(c);
            let (readiness, startup) = (spec.readiness, spec.startup);
            let (luck, first_sync) = (self.pod(pod).luck, self.pod(pod).first_sync);
            let container = self.container(pod, c);
            if container.probe.ready || matches!(container.process, Process::NotStarted | Process::Exited) {
                continue;
            }
            match startup {
                None if !container.probe.started => {
                    container.now_started();
                    self.watch_liveness(ctx, pod, c);
                }
                None => {}
                // a startup probe is not provoked: it keeps the ticks that began with the pod's first sync
                Some(_) if !container.probe.started => {
                    if container.probe.next.is_none() {
                        container.probe.ticker = Origin::At(first_sync);
                        self.attempt_at_next_tick(ctx, pod, c);
                    }
                    continue;
                }
                Some(_) => {}
            }
            let container = self.container(pod, c);
            if readiness.is_none() && container.probe.started {
                container.probe.ready = true;
                continue;
            }
            let first = container.probe.pokes == 0;
            container.probe.pokes += 1;
            container.probe.ticker = Origin::At(now);
            let found = ctx.random.unit(Key::new("probePoke").number(luck), container.occasion(container.probe.pokes))
                < POKE_FINDS_CONTAINER;
            // later syncs find the container where the first one, or the startup probe's success, has put it
            if found || !first || startup.is_some() {
                self.attempt_at(ctx, pod, c, now);
            } else {
                self.attempt_at_next_tick(ctx, pod, c);
            }
            if found && first && startup.is_none() {
                // a young process answers after this sync has ended: the worker hears of two changes, one now and one then.
                // In later syncs the answer comes within the sync, and the two make one more sync together
                self.container(pod, c).probe.told = true;
                self.update(ctx, pod);
            }
        }
    }

    /// An attempt has its answer, or enough ticks have passed for the answer to change.
    pub(super) fn probe_result(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let spec = template(ctx, pod).container(c);
        let (readiness, startup) = (spec.readiness, spec.startup);
        let now = ctx.now();
        let container = self.container(pod, c);
        container.probe.next = None;
        let listens = container.answers();
        let is_startup = !container.probe.started;
        let Some(probe) = (if is_startup { startup } else { readiness }) else { return };
        if container.probe.ready {
            if !listens {
                ctx.remark(What::ProbeFailed { pod, container: u32::from(c), startup: 0 });
                let container = self.container(pod, c);
                container.probe.ready = false;
                container.probe.successes = 0;
                self.result_changed(ctx, pod);
            }
            return;
        }
        let old_enough =
            container.started_at.is_some_and(|at| now.since(at).as_secs() >= probe.initial_delay.as_secs());
        let told = std::mem::replace(&mut container.probe.told, true);
        let ticked = container.probe.ticked;
        if listens && old_enough {
            container.probe.successes += 1;
            let threshold = if is_startup { 1 } else { probe.success_threshold };
            if container.probe.successes >= threshold {
                container.probe.successes = 0;
                if is_startup {
                    container.now_started();
                    container.probe.ready = readiness.is_none();
                } else {
                    container.probe.ready = true;
                }
                if !told && ticked {
                    // no sync is under way that the first of the two changes would wait for: it has one of its own
                    self.update(ctx, pod);
                }
                return self.result_changed(ctx, pod);
            }
        } else {
            container.probe.successes = 0;
            if old_enough {
                ctx.remark(What::ProbeFailed { pod, container: u32::from(c), startup: u32::from(is_startup) });
            }
            let container = self.container(pod, c);
            container.probe.failures += u32::from(is_startup && old_enough);
            if is_startup && container.probe.failures >= probe.failure_threshold.max(1) {
                return self.give_up(ctx, pod, c, FailedProbe::Startup);
            }
        }
        if !told {
            self.update(ctx, pod);
        }
        self.attempt_at_next_tick(ctx, pod, c);
    }

    /// The process no longer listens: from the next tick on its readiness probe fails, `failureThreshold` times.
    pub(super) fn probe_will_fail(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let Some(probe) = template(ctx, pod).container(c).readiness else { return };
        let now = ctx.now();
        let container = self.container(pod, c);
        if !container.probe.ready {
            return;
        }
        let timeout = if container.hangs { probe.timeout } else { Duration::ZERO };
        let first = container.probe.ticker.next_tick(now, probe.period);
        let last = first + probe.period.max(timeout).mul(u64::from(probe.failure_threshold.max(1) - 1));
        self.attempt_at(ctx, pod, c, last + timeout);
    }

    /// No probe of this container will be answered any more.
    pub(super) fn stop_probes(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        self.cancel_attempt(ctx, pod, c);
        self.stop_liveness(ctx, pod, c);
    }

    /// Its liveness probe has no consequences any more.
    pub(super) fn stop_liveness(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        if let Some(timer) = self.container(pod, c).probe.liveness_timer.take() {
            ctx.cancel(timer);
        }
    }

    fn cancel_attempt(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        if let Some(timer) = self.container(pod, c).probe.next.take() {
            ctx.cancel(timer);
        }
    }

    fn attempt_at_next_tick(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let spec = template(ctx, pod).container(c);
        let period = period_of(spec.readiness, spec.startup, self.container(pod, c).probe.started);
        let at = self.container(pod, c).probe.ticker.next_tick(ctx.now(), period);
        self.attempt_at(ctx, pod, c, at);
        self.container(pod, c).probe.ticked = true;
    }

    fn attempt_at(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8, at: Time) {
        self.cancel_attempt(ctx, pod, c);
        let answer = at + self.latency(ctx, Hop::ProbeLatency, pod);
        let timer = Self::after(ctx, answer.since(ctx.now()), pod, KubeletStep::ProbeResult(c));
        let probe = &mut self.container(pod, c).probe;
        (probe.next, probe.ticked) = (Some(timer), false);
    }

    /// A result has changed: the status says so at once, and the worker is asked for a sync (`syncLoopIteration`).
    fn result_changed(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        self.refresh_status(ctx, pod);
        if self.pod(pod).worker.stage == Work::Sync {
            self.update(ctx, pod);
        }
    }
}

fn period_of(readiness: Option<Probe>, startup: Option<Probe>, started: bool) -> Duration {
    let probe = if started { readiness } else { startup.or(readiness) };
    probe.unwrap_or_default().period
}
