//! How long answers took, before, during and after the disruption.

use crate::engine::{Duration, Tally};

/// The latencies of a stream's answers, by when they came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Phases {
    /// Before a pod first came, went, or changed its mind about connections.
    pub before: Tally,
    /// From then to the last such change.
    pub during: Tally,
    /// Since.
    pub after: Tally,
    disrupted: bool,
}

impl Phases {
    /// An answer took so long.
    pub fn note(&mut self, latency: Duration) {
        (if self.disrupted { &mut self.after } else { &mut self.before }).note(latency);
    }

    /// A pod has changed: what came since the last change came during the disruption.
    pub fn disrupted(&mut self) {
        let since = std::mem::take(&mut self.after);
        self.during.add(&since);
        self.disrupted = true;
    }
}
