//! Changes of endpoints of Services that the scenario does not name: each makes every proxy run.

use crate::engine::{Duration, Key, Random, Stream, Time};
use crate::simulation::network::kube_proxy::Entry;

/// A Poisson process, the same for all nodes.
#[derive(Clone, Debug)]
pub(super) struct OtherChanges {
    /// Mean gap in nanoseconds; `None`: there are no other changes.
    mean: Option<f64>,
    stream: Stream,
    next: Entry,
}

impl OtherChanges {
    /// So many per second.
    pub fn new(rate: f64, random: Random) -> Self {
        let key = Key::new("otherChanges");
        let next = Entry { committed: Time::ZERO, service_luck: key.bits(), ordinal: 0 };
        let mut changes = Self { mean: (rate > 0.0).then(|| 1e9 / rate), stream: random.stream(key), next };
        changes.step();
        changes
    }

    /// The next one, if it is before `to`.
    pub fn next_before(&mut self, to: Time) -> Option<Entry> {
        let entry = self.next;
        if self.mean.is_none() || entry.committed >= to {
            return None;
        }
        self.step();
        Some(entry)
    }

    fn step(&mut self) {
        if let Some(mean) = self.mean {
            let gap = Duration::from_nanos_f64(self.stream.exponential(mean));
            self.next.committed = self.next.committed.saturating_add(gap);
            self.next.ordinal = self.next.ordinal.wrapping_add(1);
        }
    }
}
