//! The status manager: tells the apiserver what became of a pod, one patch at a time, and removes the object at last.
//!
//! Source: `pkg/kubelet/status/status_manager.go` syncBatch, syncPod, canBeDeleted (v1.36).

use crate::api::pod::{ContainerState, ContainerStatus, StatusReason, StatusesId, Terminated, WaitingReason};
use crate::api::{Gates, Kind, Phase, Pod, PodId, PodTemplate, RestartPolicy, Revision};
use crate::engine::{Duration, Key, Time};
use crate::simulation::apiserver;
use crate::simulation::context::{Context, Watches};
use crate::simulation::event::KubeletStep;
use crate::simulation::latency::Hop;
use crate::simulation::node::actions::Seen;
use crate::simulation::node::app::Ended;
use crate::simulation::node::kubelet::{ContainerRuntime, Kubelets, template};
use crate::simulation::node::worker::Work;
use crate::simulation::observe::What;
use crate::simulation::write::{Caller, PodStatusPatch, Write, WriteError};

/// How often all statuses are compared with the API (`syncPeriod`).
const RECONCILE_PERIOD: Duration = Duration::from_secs(10);

/// What is to be told of a pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusState {
    phase: Phase,
    ready: bool,
    ready_since: Time,
    has_ip: bool,
    containers: StatusesId,
    /// The conditions of the readiness gates, as of the last sync.
    gates: Gates,
    reason: Option<StatusReason>,
    /// The condition DisruptionTarget, where the kubelet itself ends the pod.
    disrupted: bool,
    /// The kubelet ends the pod because its node is shut down.
    pub(super) shut_down: bool,
    /// A patch is arranged and will take the newest status with it.
    arranged: bool,
    /// All containers have been started once, or the pod has ended: there is something to tell.
    told: bool,
    /// Nothing of the pod is left on the node: the object may go.
    finished: bool,
    /// The last DELETE has been sent.
    removing: bool,
}

impl Default for StatusState {
    fn default() -> Self {
        Self {
            phase: Phase::Pending,
            ready: false,
            ready_since: Time::ZERO,
            has_ip: false,
            containers: StatusesId::default(),
            gates: Gates::default(),
            reason: None,
            disrupted: false,
            shut_down: false,
            arranged: false,
            told: false,
            finished: false,
            removing: false,
        }
    }
}

impl StatusState {
    /// The status that the API has of a pod which has been running since before the start.
    pub(super) fn of(pod: &Pod) -> Self {
        let Pod { phase, ready, ready_since, has_ip, containers, gates, .. } = *pod;
        Self { phase, ready, ready_since, has_ip, containers, gates, told: true, ..Self::default() }
    }

    /// What the kubelet of a restarted kernel says of a pod at first: nothing of it runs.
    pub(super) fn after_restart(pod: &crate::api::Pod, now: Time) -> Self {
        let ready_since = if pod.ready { now.truncate_to_second() } else { pod.ready_since };
        let Pod { phase, has_ip, containers, gates, .. } = *pod;
        Self { phase, ready: false, ready_since, has_ip, containers, gates, ..Self::default() }
    }

    /// As the API has it.
    fn patch(self) -> PodStatusPatch {
        let Self { phase, ready, ready_since, has_ip, containers, reason, disrupted, .. } = self;
        PodStatusPatch { phase, ready, ready_since, has_ip, containers, reason, disruption_target: disrupted }
    }
}

/// `status.phase`, from the containers' statuses by number.
///
/// Source: `pkg/kubelet/kubelet_pods.go` getPhase (v1.36). `is_over`: nothing will be started any more, whatever the policy.
fn phase_of(template: &PodTemplate, statuses: &[ContainerStatus], is_over: bool) -> Phase {
    use ContainerState::{Running, Terminated, Waiting};
    let (containers, inits) = statuses.split_at(template.containers.len());
    let (mut pending, mut running, mut waiting) = (0, 0, 0);
    let initialized = containers.iter().any(|s| !matches!(s.state, Waiting(_)) || s.last.is_some());
    for (status, spec) in inits.iter().zip(&template.init_containers) {
        match (status.state, spec.sidecar, status.last) {
            (Running, true, _) => {
                running += 1;
                pending += u32::from(!status.started && !initialized);
            }
            (Terminated(_), true, _) | (Waiting(_), true, Some(_)) => {}
            (Waiting(_), true, None) => waiting += 1,
            (Terminated(end), false, _) | (Waiting(_), false, Some(end)) => {
                if end.exit_code != 0 && template.restart_policy == RestartPolicy::Never {
                    return Phase::Failed;
                }
                // one that has failed and is to be tried again leaves the containers behind it waiting
            }
            (Running, false, _) | (Waiting(_), false, None) => pending += 1,
        }
    }
    let (mut stopped, mut succeeded, mut may_restart) = (0, 0, false);
    for (status, number) in containers.iter().zip(0..) {
        match (status.state, status.last) {
            (Running, _) => running += 1,
            (Terminated(end), _) | (Waiting(_), Some(end)) => {
                stopped += 1;
                succeeded += u32::from(end.exit_code == 0);
                may_restart |= template.restarts(number, end.exit_code);
            }
            (Waiting(_), None) => waiting += 1,
        }
    }
    if pending > 0 || waiting > 0 {
        Phase::Pending
    } else if running > 0 || (may_restart && !is_over) {
        Phase::Running
    } else if stopped == succeeded {
        Phase::Succeeded
    } else {
        Phase::Failed
    }
}

impl Kubelets {
    /// Works the status out anew from the containers, and arranges a patch if it has changed. Whether the pod is over:
    /// everything has ended and nothing is to start again. The API is told of that phase when the worker has cleaned up
    /// (mergePodStatus).
    pub(super) fn refresh_status(&mut self, ctx: &mut Context<'_>, pod: PodId) -> bool {
        let template = template(ctx, pod);
        let runtime = self.runtime(pod).expect("on a node");
        let containers = &runtime.containers[..template.containers.len()];
        // without init containers, everything up to the first start of all of them is one step to the outside
        if !runtime.status.told
            && template.init_containers.is_empty()
            && containers.iter().any(|c| c.seen == Seen::None)
        {
            return false;
        }
        let statuses = self.statuses(ctx, pod, false);
        let stage = runtime.worker.stage;
        let phase = phase_of(template, &statuses, false);
        let ready = !runtime.never_ready && template.ready(phase, &statuses, runtime.status.gates);
        if stage != Work::Sync {
            // only readiness changes while the pod is being stopped
            let phase = runtime.status.phase;
            self.tell(ctx, pod, phase, ready, statuses);
            return false;
        }
        let is_over = phase.is_terminal();
        let told = if is_over { self.pod(pod).status.phase } else { phase };
        self.tell(ctx, pod, told, ready, statuses);
        is_over
    }

    /// A sync takes up the conditions that others have written: they count for Ready until the next one.
    ///
    /// Source: `pkg/kubelet/kubelet_pods.go` generateAPIPodStatus, which keeps the conditions of the pod that the sync was
    /// given (v1.36).
    pub(super) fn take_up_conditions(&mut self, ctx: &Context<'_>, pod: PodId) {
        if !template(ctx, pod).readiness_gates.is_empty()
            && let Some(seen) = self.seen_by_kubelet(ctx, pod)
        {
            self.pod(pod).status.gates = seen.gates;
        }
    }

    /// A version of the pod has come in which a condition of a readiness gate differs: if Ready is not what it should be, the
    /// worker is asked for a sync.
    ///
    /// Source: `pkg/kubelet/kubelet.go` HandlePodReconcile, `pkg/kubelet/status/status_manager.go`
    /// NeedToReconcilePodReadiness (v1.36). It compares the message, too; then a sync comes that changes the message alone.
    pub(super) fn needs_to_reconcile_readiness(&self, ctx: &Context<'_>, pod: PodId) -> bool {
        let (Some(seen), Some(runtime)) = (self.seen_by_kubelet(ctx, pod), self.runtime(pod)) else { return false };
        let template = template(ctx, pod);
        let ready = template.ready(seen.phase, ctx.store.container_statuses(seen.containers), seen.gates);
        seen.gates != runtime.status.gates && seen.ready != ready
    }

    fn seen_by_kubelet(&self, ctx: &Context<'_>, pod: PodId) -> Option<Pod> {
        let seen = ctx.watches.seen(Watches::kubelet(self.runtime(pod)?.node), Kind::Pod);
        ctx.store.pods.at(pod.index(), seen).copied()
    }

    /// All containers have ended: the last status.
    ///
    /// Source: generateAPIPodStatus and getPhase with podIsTerminal. A pod that its kubelet has stopped for a shutdown was
    /// given phase Failed and the reason Terminated when that began; if all its containers have ended with 0, the phase that
    /// is worked out at the end is another one (Succeeded), and the reason, which goes with the phase, is lost.
    pub(super) fn tell_ended(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let statuses = self.statuses(ctx, pod, true);
        let phase = phase_of(template(ctx, pod), &statuses, true);
        let status = &mut self.pod(pod).status;
        if status.shut_down {
            status.disrupted = true;
            status.reason = (phase == Phase::Failed).then_some(StatusReason::Terminated);
        }
        self.tell(ctx, pod, phase, false, statuses);
    }

    /// The kubelet does not admit the pod: nothing of it is ever started.
    pub(super) fn reject(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        ctx.note(What::PodRejected { pod });
        let runtime = self.pod(pod);
        runtime.worker.stage = Work::Terminated;
        runtime.worker.busy = true;
        runtime.status.reason = Some(StatusReason::NodeShutdown);
        runtime.status.phase = Phase::Failed;
        self.arrange_patch(ctx, pod);
    }

    /// The statuses of the containers, by number, as the kubelet knows them; at the end of the pod, as they are.
    fn statuses(&self, ctx: &Context<'_>, pod: PodId, at_the_end: bool) -> Vec<ContainerStatus> {
        let template = template(ctx, pod);
        let runtime = self.runtime(pod).expect("on a node");
        let has_init = !template.init_containers.is_empty();
        let of = |(container, c): (&ContainerRuntime, u8)| {
            let terminated = |e: Ended| Terminated { exit_code: e.code, finished_at: e.at.truncate_to_second() };
            let ended = container.ended.map(terminated);
            let runs = !at_the_end && matches!(container.seen, Seen::Running { .. });
            let (state, last) = match (container.started_at, ended) {
                // convertStatusToAPIStatus: what never ran counts as killed when the pod is over
                (None, _) if at_the_end => {
                    (ContainerState::Terminated(Terminated { exit_code: 137, finished_at: Time::ZERO }), None)
                }
                (None, _) => {
                    let initializing = has_init && (usize::from(c) < template.containers.len() || c > 0);
                    let reason =
                        if initializing { WaitingReason::PodInitializing } else { WaitingReason::ContainerCreating };
                    (ContainerState::Waiting(reason), None)
                }
                (Some(_), last) if runs => (ContainerState::Running, last.filter(|_| container.restarts > 0)),
                (Some(_), Some(end)) if container.waits && !at_the_end => {
                    (ContainerState::Waiting(WaitingReason::CrashLoopBackOff), Some(end))
                }
                (Some(_), Some(end)) => (ContainerState::Terminated(end), None),
                (Some(_), None) => (ContainerState::Running, None),
            };
            let completed = template.runs_to_completion(c) && container.seen == Seen::Exited(0);
            ContainerStatus {
                state,
                last,
                ready: completed || (runs && container.probe.ready),
                started: runs && container.probe.started,
                restart_count: container.restarts,
            }
        };
        runtime.containers.iter().zip(0..).map(of).collect()
    }

    fn tell(&mut self, ctx: &mut Context<'_>, pod: PodId, phase: Phase, ready: bool, containers: Vec<ContainerStatus>) {
        let now = ctx.now();
        let containers = ctx.store.intern_statuses(containers);
        let status = &mut self.pod(pod).status;
        let before = status.patch();
        if status.ready != ready {
            status.ready_since = now.truncate_to_second();
        }
        (status.phase, status.ready, status.has_ip, status.told) = (phase, ready, true, true);
        status.containers = containers;
        if status.patch() != before {
            self.arrange_patch(ctx, pod);
        }
    }

    /// Somebody else has written that the pod is not ready (the node lifecycle controller does, for all pods of a node that
    /// is not): the status manager compares the two each 10 s, and writes again what it knows.
    ///
    /// Source: syncBatch with `all`, needsReconcile (v1.36).
    pub(super) fn compare_readiness(&mut self, ctx: &mut Context<'_>, pod: PodId, seen: Revision) {
        let (at, knows) = (pod.index(), self.pod(pod).status.ready);
        let was_ready = ctx.store.pods.before(at, seen).is_some_and(|p| p.ready);
        let is_ready = ctx.store.pods.at(at, seen).is_some_and(|p| p.ready);
        if knows && was_ready && !is_ready {
            let now = ctx.now();
            let node = self.pod(pod).node;
            let node = &self.nodes[node.index()];
            let phase = RECONCILE_PERIOD.as_secs_f64() * ctx.random.unit(Key::new("statusTicker").number(node.luck), 0);
            let first = Time::ZERO + Duration::from_secs_f64(phase);
            let ticks = now.since(first).as_nanos() / RECONCILE_PERIOD.as_nanos() + u64::from(now >= first);
            Self::after(ctx, (first + RECONCILE_PERIOD.mul(ticks)).since(now), pod, KubeletStep::Reconcile);
        }
    }

    /// The tick at which the two are compared.
    pub(super) fn reconcile(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let node = self.pod(pod).node;
        let seen = ctx.watches.seen(Watches::kubelet(node), Kind::Pod);
        let stored = ctx.store.pods.at(pod.index(), seen).map(|p| p.ready);
        if stored.is_some_and(|ready| ready != self.pod(pod).status.ready) {
            self.arrange_patch(ctx, pod);
        }
    }

    fn arrange_patch(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        if std::mem::replace(&mut self.pod(pod).status.arranged, true) {
            return;
        }
        let delay = self.latency(ctx, Hop::StatusPatch, pod);
        let now = ctx.now();
        let node = self.pod(pod).node.index();
        let at = self.nodes[node].status_free_at.max(now) + delay;
        self.nodes[node].status_free_at = at;
        Self::after(ctx, at.since(now), pod, KubeletStep::PatchStatus);
    }

    /// Tells the status again if the API says something else, after `wait`; and lets go of a pod that has ended.
    pub(super) fn reconcile_status(&mut self, ctx: &mut Context<'_>, pod: PodId, wait: Duration) {
        if self.pod(pod).status.finished {
            return self.remove_if_allowed(ctx, pod);
        }
        let Some(head) = ctx.store.pods.head(pod.index()) else { return };
        let said = PodStatusPatch::of(head);
        let status = &mut self.pod(pod).status;
        let differs = (said.phase, said.ready, said.has_ip) != (status.phase, status.ready, status.has_ip);
        if differs && !std::mem::replace(&mut status.arranged, true) {
            let delay = wait + self.latency(ctx, Hop::StatusPatch, pod);
            Self::after(ctx, delay, pod, KubeletStep::PatchStatus);
        }
    }

    /// The writer has come to this pod: it sends the newest status.
    pub(super) fn patch_status(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let node = self.pod(pod).node.index();
        let status = &mut self.pod(pod).status;
        status.arranged = false;
        if self.nodes[node].cut_off {
            return;
        }
        let status = &mut self.pod(pod).status;
        let write = Write::PodStatus { pod, status: status.patch() };
        let way = self.latency(ctx, Hop::ApiRequest, pod) + self.latency(ctx, Hop::ApiWrite, pod);
        let done = ctx.now() + way;
        let node = self.pod(pod).node.index();
        self.nodes[node].status_free_at = self.nodes[node].status_free_at.max(done);
        ctx.submit_after(way, write, Caller::Kubelet(pod));
    }

    /// The apiserver has answered a write of the status writer.
    pub fn written(&mut self, ctx: &mut Context<'_>, pod: PodId, _result: Result<(), WriteError>) {
        if self.runtime(pod).is_some_and(|p| p.status.finished) {
            self.remove_if_allowed(ctx, pod);
        }
    }

    /// Volumes and cgroups are gone: the object may go as well, once its status says that the pod has ended.
    pub(super) fn cleaned_up(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        self.pod(pod).status.finished = true;
        self.remove_if_allowed(ctx, pod);
    }

    fn remove_if_allowed(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let node = self.pod(pod).node.index();
        let cut_off = self.nodes[node].cut_off;
        let allowed = !cut_off && ctx.store.pods.head(pod.index()).is_some_and(apiserver::can_be_removed);
        if allowed && !std::mem::replace(&mut self.pod(pod).status.removing, true) {
            let delay = self.latency(ctx, Hop::StatusPatch, pod);
            let now = ctx.now();
            let node = self.pod(pod).node.index();
            let at = self.nodes[node].status_free_at.max(now) + delay;
            let way = self.latency(ctx, Hop::ApiRequest, pod) + self.latency(ctx, Hop::ApiWrite, pod);
            self.nodes[node].status_free_at = at + way;
            ctx.submit_after(at.since(now) + way, Write::RemovePod { pod }, Caller::Nobody);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Container;
    use crate::simulation::control_plane::harness;

    /// A container's status in short: `c` creating, `r` running, `R` running and not started, `0` and `1` ended with that code,
    /// `b` and `B` waiting in back-off after it ended with 0 and 1.
    fn status(short: char) -> ContainerStatus {
        let ended = |exit_code| Terminated { exit_code, finished_at: Time::ZERO };
        let base = ContainerStatus::waiting(WaitingReason::ContainerCreating);
        let (state, last) = match short {
            'r' | 'R' => (ContainerState::Running, None),
            '0' | '1' => (ContainerState::Terminated(ended(u32::from(short == '1'))), None),
            'b' | 'B' => {
                (ContainerState::Waiting(WaitingReason::CrashLoopBackOff), Some(ended(u32::from(short == 'B'))))
            }
            _ => (base.state, None),
        };
        ContainerStatus { state, last, started: short == 'r', ..base }
    }

    /// getPhase and its tests (`pkg/kubelet/kubelet_pods_test.go` TestPodPhaseWith…): containers, init containers (`S` before
    /// one makes it a sidecar).
    #[test]
    fn phases() {
        use Phase::{Failed, Pending, Running, Succeeded};
        use RestartPolicy::{Always, Never, OnFailure};
        for (policy, containers, inits, is_over, expected) in [
            (Always, "cc", "", false, Pending),
            (Always, "rc", "", false, Pending),
            (Always, "rr", "", false, Running),
            (Always, "r1", "", false, Running),
            (Always, "rB", "", false, Running),
            (Always, "00", "", false, Running),
            (Always, "BB", "", false, Running),
            (Always, "00", "", true, Succeeded),
            (Always, "01", "", true, Failed),
            (OnFailure, "00", "", false, Succeeded),
            (OnFailure, "01", "", false, Running),
            (OnFailure, "0B", "", false, Running),
            (OnFailure, "r0", "", false, Running),
            (Never, "00", "", false, Succeeded),
            (Never, "01", "", false, Failed),
            (Never, "r1", "", false, Running),
            // init containers that run to completion
            (Always, "c", "c", false, Pending),
            (Always, "c", "r", false, Pending),
            (Always, "c", "0", false, Pending),
            (Always, "c", "1", false, Pending),
            (Always, "c", "B", false, Pending),
            (Never, "c", "1", false, Failed),
            (Always, "r", "0", false, Running),
            // sidecars
            (Always, "c", "SR", false, Pending),
            (Always, "c", "Sr", false, Pending),
            (Always, "r", "Sr", false, Running),
            (Always, "r", "SB", false, Running),
            (Always, "r", "SR", false, Running),
            (Never, "0", "Sr", false, Running),
            (Never, "0", "S0", false, Succeeded),
            (Never, "1", "S0", false, Failed),
            (Never, "0", "S1", false, Succeeded),
        ] {
            let mut template = harness::template("web", 100);
            let one = |sidecar| Container { sidecar, ..harness::container("app") };
            template.restart_policy = policy;
            template.containers = containers.chars().map(|_| one(false)).collect();
            let is_sidecar = inits.starts_with('S');
            let inits = inits.trim_start_matches('S');
            template.init_containers = inits.chars().map(|_| one(is_sidecar)).collect();
            let statuses: Vec<_> = containers.chars().chain(inits.chars()).map(status).collect();
            let phase = phase_of(&template, &statuses, is_over);
            assert_eq!(phase, expected, "{policy:?} {containers} {inits} sidecar: {is_sidecar} over: {is_over}");
        }
    }
}
