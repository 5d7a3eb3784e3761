//! What is written down while a simulation runs. Nothing here changes what happens.

pub mod digest;
pub mod pods;
pub mod trace;

pub use pods::PodTimes;
pub use trace::{CauseId, Trace, TraceEntry, What};

use crate::api::PodId;
use crate::engine::Time;

/// Takes note of everything that happens: the digest always, the causal trace if asked to.
#[derive(Clone, Debug)]
pub struct Observer {
    /// The digest of all notes so far.
    pub digest: digest::Digest,
    /// The causal trace; empty if it is off.
    pub trace: Trace,
    /// The instants of each pod's life, by [`PodId`].
    pub pods: Vec<PodTimes>,
    notes: u32,
}

impl Observer {
    /// An observer that keeps the causal trace, or only digest and instants.
    #[must_use]
    pub fn new(keep_trace: bool) -> Self {
        Self { digest: digest::Digest::default(), trace: Trace::new(keep_trace), pods: Vec::new(), notes: 0 }
    }

    /// Writes down what happened, and what caused it; returns the identity by which later notes name it as their cause.
    pub fn note(&mut self, time: Time, cause: CauseId, what: What) -> CauseId {
        self.notes += 1;
        let id = CauseId(self.notes);
        self.digest.add(time, what);
        pods::record(&mut self.pods, time, what);
        self.trace.push(TraceEntry { id, cause, time, what });
        id
    }

    /// Writes down what only a reader wants to know: it is the cause of nothing, and the digest does not contain it.
    pub fn remark(&mut self, time: Time, cause: CauseId, what: What) {
        self.notes += 1;
        self.trace.push(TraceEntry { id: CauseId(self.notes), cause, time, what });
    }

    /// The instants of a pod's life.
    pub fn pod_mut(&mut self, pod: PodId) -> &mut PodTimes {
        pods::at(&mut self.pods, pod)
    }
}
