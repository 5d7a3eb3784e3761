//! Pods that have been running since long before the run: what state their containers are in at its start.

use crate::api::pod::{ContainerState, ContainerStatus, Terminated};
use crate::api::{PodId, PodTemplate};
use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::event::{AppStep, Event, KubeletStep};
use crate::simulation::node::actions::Seen;
use crate::simulation::node::app::{Ended, Process};
use crate::simulation::node::back_off::{self, BackOff};
use crate::simulation::node::kubelet::{Kubelets, Sandbox};
use crate::simulation::node::probe::ProbeState;
use crate::simulation::node::status::StatusState;
use crate::simulation::setup::{App, Setup};

/// Whether a container of an old pod has been ending and starting again so often that it is found waiting.
///
/// One that lives for longer than the back-off is remembered is found running.
fn crash_loops(setup: &Setup, template: &PodTemplate, c: u8) -> bool {
    let App { life, .. } = &setup.apps[template.container(c).app as usize];
    let short = life.exits_after.is_some_and(|after| after <= back_off::FORGOTTEN_AFTER);
    !template.runs_to_completion(c) && short && template.restarts(c, life.exit_code)
}

/// The statuses of the containers of a pod that has been running for long, by number, and whether it is Ready.
#[must_use]
pub fn long_running(setup: &Setup, template: &PodTemplate) -> (Vec<ContainerStatus>, bool) {
    let status = |c: u8| {
        let ended = |exit_code| Terminated { exit_code, finished_at: Time::ZERO };
        let base = ContainerStatus {
            state: ContainerState::Running,
            last: None,
            ready: true,
            started: true,
            restart_count: 0,
        };
        if template.runs_to_completion(c) {
            ContainerStatus { state: ContainerState::Terminated(ended(0)), started: false, ..base }
        } else if crash_loops(setup, template, c) {
            let code = setup.apps[template.container(c).app as usize].life.exit_code;
            ContainerStatus {
                last: Some(ended(code)),
                ..ContainerStatus::waiting(crate::api::pod::WaitingReason::CrashLoopBackOff)
            }
        } else {
            base
        }
    };
    let count = u8::try_from(template.container_count()).unwrap_or(u8::MAX);
    let statuses: Vec<_> = (0..count).map(status).collect();
    let ready = statuses.iter().all(|s| s.ready);
    (statuses, ready)
}

impl Kubelets {
    /// Puts the containers of an old pod into their states.
    pub(super) fn adopt_containers(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let setup = ctx.setup;
        // old pods have the templates of the setup
        let template = &setup.templates[ctx.store.pod_meta[pod.index()].template.index()];
        let luck = ctx.pod_luck(pod);
        let version = *ctx.store.pods.head(pod.index()).expect("an adopted pod exists");
        let runtime = self.pod(pod);
        runtime.sandbox = Sandbox::Ready;
        runtime.status = StatusState::of(&version);
        let mut first_retry: Option<Duration> = None;
        for c in 0..u8::try_from(template.container_count()).unwrap_or(u8::MAX) {
            let life = &Self::app_of(ctx, pod, c).life;
            let unit = |what: &'static str| ctx.random.unit(Key::new(what).number(luck).number(u64::from(c)), 0);
            let container = self.container(pod, c);
            container.started_at = Some(Time::ZERO);
            if template.runs_to_completion(c) {
                container.process = Process::Exited;
                container.seen = Seen::Exited(0);
                container.ended = Some(Ended { at: Time::ZERO, code: 0 });
                continue;
            }
            let phase_of = |period: Duration, what| Duration::from_secs_f64(period.as_secs_f64() * unit(what));
            let spec = template.container(c);
            let readiness = phase_of(spec.readiness.map_or(Duration::ZERO, |p| p.period), "probePhase");
            let liveness = phase_of(spec.liveness.map_or(Duration::ZERO, |p| p.period), "livenessPhase");
            container.probe = ProbeState::ready_for_long(readiness, liveness);
            if crash_loops(setup, template, c) {
                let left = phase_of(back_off::MAX, "crashLoopPhase");
                container.process = Process::Exited;
                container.seen = Seen::Exited(life.exit_code);
                container.ended = Some(Ended { at: Time::ZERO, code: life.exit_code });
                container.back_off = BackOff::at_its_longest(left);
                container.waits = true;
                container.probe.forget();
                first_retry = Some(first_retry.map_or(left, |first: Duration| first.min(left)));
                continue;
            }
            container.process = Process::Serving;
            container.seen = Seen::Running { started: true, failed: None };
            if let Some(after) = life.exits_after {
                // at any point of its life; what ends for good has just begun
                let left = if template.restarts(c, life.exit_code) { phase_of(after, "exitPhase") } else { after };
                let timer = ctx.schedule(left, Event::App(pod, c, AppStep::End));
                self.container(pod, c).timers.push(timer);
            }
            self.arrange_mishaps(ctx, pod, c);
        }
        if let Some(left) = first_retry {
            let timer = Self::after(ctx, left, pod, KubeletStep::Update);
            self.pod(pod).retry = Some(timer);
        }
    }
}
