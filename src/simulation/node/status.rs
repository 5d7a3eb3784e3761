//! The status manager: tells the apiserver what became of a pod, one patch at a time, and removes the object at last.
//!
//! Source: `pkg/kubelet/status/status_manager.go` syncBatch, syncPod, canBeDeleted (v1.36).

use crate::api::{Phase, PodId};
use crate::engine::Time;
use crate::simulation::apiserver;
use crate::simulation::context::Context;
use crate::simulation::event::KubeletStep;
use crate::simulation::latency::Hop;
use crate::simulation::node::app::Process;
use crate::simulation::node::kubelet::{Kubelets, Setup};
use crate::simulation::write::{Caller, PodStatusPatch, Write, WriteError};

/// What is to be told of a pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusState {
    phase: Phase,
    ready: bool,
    ready_since: Time,
    has_ip: bool,
    /// A patch is arranged and will take the newest status with it.
    arranged: bool,
    /// Init containers that have ended.
    pub(super) init_done: u8,
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
            arranged: false,
            init_done: 0,
            finished: false,
            removing: false,
        }
    }
}

impl StatusState {
    /// The status of a pod that has been running since before the start.
    pub(super) fn running_for_long() -> Self {
        Self { phase: Phase::Running, ready: true, has_ip: true, ..Self::default() }
    }

    /// The status of a pod that was found running and not Ready.
    pub(super) fn unready_for_long() -> Self {
        Self { ready: false, ..Self::running_for_long() }
    }

    /// As the API has it.
    fn patch(self) -> PodStatusPatch {
        PodStatusPatch { phase: self.phase, ready: self.ready, ready_since: self.ready_since, has_ip: self.has_ip }
    }
}

impl Kubelets {
    /// Works the status out anew from the containers, and arranges a patch if it has changed.
    pub(super) fn refresh_status(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let runtime = self.pod(pod);
        if runtime.setup != Setup::Done {
            return;
        }
        let ready = !runtime.never_ready && runtime.containers.iter().all(|c| c.probe.ready);
        self.tell(ctx, pod, Phase::Running, ready);
    }

    /// All containers have ended: the last status.
    pub(super) fn tell_ended(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let runtime = self.pod(pod);
        let well = runtime.setup == Setup::Done
            && runtime.containers.iter().all(|c| c.process == Process::Exited && c.kill.exit_code == 0);
        self.tell(ctx, pod, if well { Phase::Succeeded } else { Phase::Failed }, false);
    }

    fn tell(&mut self, ctx: &mut Context<'_>, pod: PodId, phase: Phase, ready: bool) {
        let now = ctx.now();
        let status = &mut self.pod(pod).status;
        let before = status.patch();
        if status.ready != ready {
            status.ready_since = now.truncate_to_second();
        }
        (status.phase, status.ready, status.has_ip) = (phase, ready, true);
        if status.patch() != before {
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

    /// The writer has come to this pod: it sends the newest status.
    pub(super) fn patch_status(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        let status = &mut self.pod(pod).status;
        status.arranged = false;
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
        let allowed = ctx.store.pods.head(pod.index()).is_some_and(apiserver::can_be_removed);
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
