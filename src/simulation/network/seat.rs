//! Where a proxy in the cluster runs.

use crate::api::{NodeId, PodId};
use crate::engine::{Key, Time};

/// A place for one replica of a proxy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Seat {
    /// On a node, as something that lives as long as the node.
    Node(NodeId),
    /// In a pod: the process that has listened there from this time on. A pod's next process knows nothing of what the last
    /// one did.
    Pod(PodId, Time),
}

impl Seat {
    /// Stands in keyed draws for a proxy in a pod.
    pub fn luck_of(pod: PodId) -> u64 {
        Key::new("gateway").number(u64::from(pod.0)).bits()
    }
}
