//! Pods that clients reach through a proxy of their own: what it answers while nobody behind it listens.

use crate::api::PodId;
use crate::engine::Time;
use crate::simulation::network::ledger::{Failed, Ledger};
use crate::simulation::network::sockets::{Listener, Sockets, reset_in_flight};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::FailureKind;
use crate::simulation::setup::NobodyBehind;

/// The container behind the proxy of a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Behind {
    /// It listens.
    pub listens: bool,
    /// What made it so.
    pub cause: CauseId,
    /// What the proxy answers if it does not.
    pub answer: FailureKind,
}

impl Sockets<'_> {
    /// Clients reach the pod through a proxy of its own. What it stands before does not listen yet.
    pub(super) fn has_front(&mut self, pod: PodId, answer: NobodyBehind) {
        let answer = match answer {
            NobodyBehind::Http502 => FailureKind::Http502,
            NobodyBehind::Http503 => FailureKind::Http503,
        };
        self.pod_mut(pod).behind = Some(Behind { listens: false, cause: CauseId::default(), answer });
    }

    /// The container behind the proxy listens, or does no longer.
    pub fn behind(&mut self, now: Time, pod: PodId, listens: bool, cause: CauseId) {
        let Some(behind) = &mut self.pod_mut(pod).behind else { return };
        (behind.listens, behind.cause) = (listens, cause);
        let state = self.end(pod).state;
        if state.accepts() {
            self.ends[pod.index()].state = if listens { Listener::Open } else { Listener::Unattended };
            let sockets = self.pod_mut(pod);
            sockets.cause = cause;
            self.note_change(now, pod);
        }
    }

    /// The container behind the proxy has ended: in addition, the proxy answers for it what it was working on.
    pub fn behind_ended(&mut self, now: Time, pod: PodId, cause: CauseId, ledger: &mut Ledger) {
        self.behind(now, pod, false, cause);
        let Some(Behind { answer, .. }) = self.pods[pod.index()].behind else { return };
        let sockets = self.pod_mut(pod);
        sockets.settle(pod, now, ledger);
        for lost in sockets.in_flight.drain(..).filter(|r| !r.orphan) {
            ledger.fail(now, Failed { kind: answer, ..reset_in_flight(lost.request, pod, now, cause) });
        }
    }

    /// What a proxy of the pod answers by itself to a request that reaches it now, and why; `None`: it hands it on, or there
    /// is no such proxy.
    pub fn answer_of_front(&self, pod: PodId) -> Option<(FailureKind, CauseId)> {
        let behind = self.pods[pod.index()].behind.filter(|behind| !behind.listens)?;
        Some((behind.answer, behind.cause))
    }

    /// Whether this failure was an answer of the pod's proxy for the container behind it.
    pub fn is_answer_of_front(&self, pod: PodId, kind: FailureKind, cause: CauseId) -> bool {
        // an overload of the server itself has no cause in the trace
        cause != CauseId::default() && self.pods[pod.index()].behind.is_some_and(|behind| behind.answer == kind)
    }

    /// From now on the container behind the proxy of the pod works on requests as this app does, or (`None`) answers none.
    pub fn set_behind(&mut self, pod: PodId, app: Option<u32>) {
        self.ends[pod.index()].app = app.unwrap_or(self.hung());
    }
}
