//! What a controller must see before it counts pods again: otherwise a stale cache would make it create or delete twice.
//!
//! Source: `pkg/controller/controller_utils.go` ControllerExpectations, UIDTrackingControllerExpectations (v1.36).

use std::collections::BTreeSet;

use crate::api::{Pod, PodId};
use crate::engine::{Duration, Time};

/// After this time creations and deletions that have not been seen are no longer waited for (ExpectationsTimeout).
const EXPECTATIONS_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The creations and deletions of one object that the informer has not shown yet.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// How many new pods.
    pub creations: u32,
    /// Which pods to go, or to get a deletionTimestamp.
    pub deletions: BTreeSet<PodId>,
    /// When they were asked for.
    pub since: Time,
}

impl Expectations {
    /// Whether all has been seen, or waited for long enough.
    #[must_use]
    pub fn satisfied(&self, now: Time) -> bool {
        (self.creations == 0 && self.deletions.is_empty()) || now.since(self.since) > EXPECTATIONS_TIMEOUT
    }

    /// The informer delivers a version of a pod; `old` is the one delivered before, `new` is `None` if it is gone.
    pub fn delivered(&mut self, pod: PodId, old: Option<&Pod>, new: Option<&Pod>) {
        if old.is_none() {
            self.creation_observed();
        }
        if new.is_none_or(|p| p.deletion.is_some()) {
            self.deletions.remove(&pod);
        }
    }

    /// One more pod has been seen, or will not come.
    pub fn creation_observed(&mut self) {
        self.creations = self.creations.saturating_sub(1);
    }
}
