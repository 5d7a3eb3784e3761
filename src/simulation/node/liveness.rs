//! Liveness probes. As long as the process answers nothing is simulated; when it stops to answer, or has not yet begun to,
//! the tick is worked out at which the probe has failed often enough.
//!
//! Source: `pkg/kubelet/prober/worker.go` doProbe, `pkg/kubelet/kubelet.go` syncLoopIteration (v1.36). The worker's ticker
//! runs from the pod's first sync on; while a container starts (initial delay, startup probe) nothing is tried.

use crate::api::PodId;
use crate::api::pod::Probe;
use crate::engine::{Duration, Time};
use crate::simulation::context::Context;
use crate::simulation::event::KubeletStep;
use crate::simulation::latency::Hop;
use crate::simulation::node::actions::{FailedProbe, Seen};
use crate::simulation::node::app::Process;
use crate::simulation::node::kubelet::{Kubelets, template};
use crate::simulation::node::probe::Origin;
use crate::simulation::node::worker::Work;
use crate::simulation::observe::What;

/// When a probe that fails from `unhealthy` on has failed `failureThreshold` times in a row, if the container was started at
/// `started`: the start of that last attempt. Attempts do not overlap: one that gets no answer takes its whole `timeout`.
pub(super) fn last_failure(probe: &Probe, ticker: Origin, started: Time, unhealthy: Time, timeout: Duration) -> Time {
    let due = started + probe.initial_delay;
    let from = if due > unhealthy { due - Duration::from_nanos(1) } else { unhealthy };
    let first = ticker.next_tick(from, probe.period);
    first + probe.period.max(timeout).mul(u64::from(probe.failure_threshold.max(1) - 1))
}

impl Kubelets {
    /// The process has begun or stopped to answer: arranges the failure of its liveness probe, or takes it back.
    pub(super) fn watch_liveness(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        let Some(probe) = template(ctx, pod).container(c).liveness else { return };
        let (now, first_sync, stage) = (ctx.now(), self.pod(pod).first_sync, self.pod(pod).worker.stage);
        let container = self.container(pod, c);
        let runs = !matches!(container.process, Process::NotStarted | Process::Exited);
        if container.answers() || !runs || stage != Work::Sync {
            if let Some(timer) = container.probe.liveness_timer.take() {
                ctx.cancel(timer);
            }
            return;
        }
        let is_due = container.probe.started && matches!(container.seen, Seen::Running { failed: None, .. });
        let Some(started) = container.started_at.filter(|_| is_due && container.probe.liveness_timer.is_none()) else {
            return;
        };
        let ticker = container.probe.liveness_ticker.unwrap_or(Origin::At(first_sync));
        let timeout = if container.hangs { probe.timeout } else { Duration::ZERO };
        let last = last_failure(&probe, ticker, started, now, timeout);
        let answer = last + if timeout.is_zero() { self.latency(ctx, Hop::ProbeLatency, pod) } else { timeout };
        let timer = Self::after(ctx, answer.since(now), pod, KubeletStep::LivenessFailed(c));
        self.container(pod, c).probe.liveness_timer = Some(timer);
    }

    /// The probe has failed often enough: the next sync stops the container.
    pub(super) fn liveness_failed(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8) {
        self.container(pod, c).probe.liveness_timer = None;
        ctx.remark(What::ProbeFailed { pod, container: u32::from(c), startup: 2 });
        self.give_up(ctx, pod, c, FailedProbe::Liveness);
    }

    /// A probe gives its container up, and is on hold until there is a new one.
    pub(super) fn give_up(&mut self, ctx: &mut Context<'_>, pod: PodId, c: u8, probe: FailedProbe) {
        if self.pod(pod).worker.stage != Work::Sync {
            return;
        }
        if let Seen::Running { failed, .. } = &mut self.container(pod, c).seen {
            *failed = Some(probe);
            self.update(ctx, pod);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// doProbe: ticks are whole periods after the pod's first sync (0 here); times in seconds.
    #[test]
    fn the_last_failure() {
        for (initial_delay, period, timeout, threshold, hangs, started, unhealthy, expected) in [
            // the defaults: a process that stops to listen is given up 20 to 30 s later
            (0, 10, 1, 3, false, 0, 1, 30),
            (0, 10, 1, 3, false, 0, 10, 40), // the tick of that very instant has found it well
            (0, 10, 1, 3, false, 0, 9, 30),
            (0, 1, 1, 3, false, 0, 5, 8),
            (0, 1, 1, 1, false, 0, 5, 6),
            // one that hangs takes the whole timeout of each attempt; ticks that come meanwhile wait for its end
            (0, 10, 1, 3, true, 0, 1, 30),
            (0, 1, 5, 3, true, 0, 5, 16),
            // nothing is tried before initialDelaySeconds have passed since the start; a tick at that instant counts
            (15, 10, 1, 3, false, 0, 0, 40),
            (20, 10, 1, 3, false, 0, 0, 40),
            (30, 10, 1, 1, false, 45, 45, 80),
            (30, 10, 1, 1, false, 0, 45, 50),
        ] {
            let secs = Duration::from_secs;
            let probe = Probe {
                initial_delay: secs(initial_delay),
                period: secs(period),
                timeout: secs(timeout),
                failure_threshold: threshold,
                ..Probe::default()
            };
            let timeout = if hangs { probe.timeout } else { Duration::ZERO };
            let (started, unhealthy) = (Time::from_secs(started), Time::from_secs(unhealthy));
            let last = last_failure(&probe, Origin::At(Time::ZERO), started, unhealthy, timeout);
            assert_eq!(last, Time::from_secs(expected), "{probe:?} from {unhealthy}");
        }
    }
}
