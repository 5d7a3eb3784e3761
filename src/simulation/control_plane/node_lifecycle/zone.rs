//! Zones of nodes: how much of each is well, and how fast its nodes may get the taint that drives their pods away.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go` ComputeZoneState, setLimiterInZone and
//! ReducedQPSFunc, `scheduler/rate_limited_queue.go` (v1.36); the key of a zone:
//! `k8s.io/component-helpers/node/topology/helpers.go` GetZoneKey.

use std::collections::VecDeque;

use super::heartbeat::Instant;
use crate::api::{Node, NodeId};
use crate::simulation::setup::ControllerManagerSetup;

/// Nodes with this label do not count when a zone's state is worked out.
const EXCLUDE: &str = "node.kubernetes.io/exclude-disruption";

/// How much of a zone is well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum ZoneState {
    /// Nobody has looked yet.
    #[default]
    Initial,
    /// Most nodes are Ready.
    Normal,
    /// More than two nodes, and at least `--unhealthy-zone-threshold` of them, are not.
    PartialDisruption,
    /// None is.
    FullDisruption,
}

impl ZoneState {
    /// The state of a zone with so many nodes that are Ready, and so many that are not.
    #[must_use]
    pub fn of(ready: u32, not_ready: u32, unhealthy_threshold: f64) -> Self {
        let share = f64::from(not_ready) / f64::from((ready + not_ready).max(1));
        match (ready, not_ready) {
            (0, 1..) => Self::FullDisruption,
            (_, 3..) if share >= unhealthy_threshold => Self::PartialDisruption,
            _ => Self::Normal,
        }
    }

    /// How many nodes a second may be tainted in a zone of this state and size.
    #[must_use]
    pub fn eviction_rate(self, size: u32, settings: &ControllerManagerSetup) -> f64 {
        match self {
            Self::Initial | Self::Normal | Self::FullDisruption => settings.node_eviction_rate,
            Self::PartialDisruption if size > settings.large_cluster_size_threshold => {
                settings.secondary_node_eviction_rate
            }
            Self::PartialDisruption => 0.0,
        }
    }
}

/// What names a node's zone: region and zone label, with the old names of the labels. Empty for a node without them: all
/// such nodes are one zone.
#[must_use]
pub fn zone_key(node: &Node) -> String {
    let label = |names: [&str; 2]| names.iter().find_map(|name| node.labels.get(*name)).map_or("", String::as_str);
    let zone = label(["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]);
    let region = label(["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]);
    if zone.is_empty() && region.is_empty() { String::new() } else { format!("{region}/{zone}") }
}

/// Whether a node counts for the state of its zone.
#[must_use]
pub fn counts(node: &Node) -> bool {
    !node.labels.contains_key(EXCLUDE)
}

/// What the controller keeps for a zone.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub state: ZoneState,
    /// Nodes that wait for their taint, the one that was added first in front.
    pub queue: VecDeque<NodeId>,
    pub limiter: Limiter,
}

impl Zone {
    pub fn new(rate: f64) -> Self {
        Self { state: ZoneState::Initial, queue: VecDeque::new(), limiter: Limiter { rate, token_at: Instant::MIN } }
    }

    /// To the end of the queue, also if it is in it already: each pass takes a node out and adds it anew.
    pub fn enqueue(&mut self, node: NodeId) {
        self.queue.retain(|n| *n != node);
        self.queue.push_back(node);
    }
}

/// A token bucket that holds one token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limiter {
    /// Tokens a second; none ever comes if this is 0.
    rate: f64,
    token_at: Instant,
}

impl Limiter {
    /// Takes the token, if there is one.
    pub fn try_accept(&mut self, now: Instant) -> bool {
        let has = self.rate > 0.0 && self.token_at <= now;
        if has {
            self.token_at = now + (1e9 / self.rate) as i64;
        }
        has
    }

    /// When there will be a token.
    pub fn next(&self) -> Option<Instant> {
        (self.rate > 0.0).then_some(self.token_at)
    }

    /// `SwapLimiter`: a new bucket is full, unless the old one was empty just now.
    pub fn swap(&mut self, rate: f64, now: Instant) {
        if rate == self.rate {
            return;
        }
        let had = self.try_accept(now);
        *self = Self { rate, token_at: Instant::MIN };
        if !had {
            self.try_accept(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::setup::plain_node;

    /// The table of `TestZoneState`-like cases: ComputeZoneState (v1.36) with the default threshold.
    #[test]
    fn states() {
        use ZoneState::{FullDisruption as Full, Normal, PartialDisruption as Partial};
        for (ready, not_ready, state) in [
            (0, 0, Normal),
            (1, 0, Normal),
            (0, 1, Full),
            (0, 100, Full),
            (1, 1, Normal),
            (1, 2, Normal),
            (1, 3, Partial),
            (2, 3, Partial),
            (3, 3, Normal),
            (9, 11, Partial),
            (10, 11, Normal),
            (45, 55, Partial),
            (46, 54, Normal),
        ] {
            assert_eq!(ZoneState::of(ready, not_ready, 0.55), state, "{ready} ready, {not_ready} not");
        }
    }

    #[test]
    fn rates() {
        let settings = ControllerManagerSetup::default();
        for (state, size, rate) in [
            (ZoneState::Normal, 10, 0.1),
            (ZoneState::Normal, 1000, 0.1),
            (ZoneState::FullDisruption, 10, 0.1),
            (ZoneState::PartialDisruption, 50, 0.0),
            (ZoneState::PartialDisruption, 51, 0.01),
        ] {
            assert!((state.eviction_rate(size, &settings) - rate).abs() < 1e-12, "{state:?} of {size}");
        }
    }

    #[test]
    fn a_zone_is_named_by_region_and_zone() {
        let mut node = plain_node("n");
        assert_eq!(zone_key(&node), "");
        node.labels.insert("topology.kubernetes.io/zone".into(), "a".into());
        assert_eq!(zone_key(&node), "/a");
        node.labels.insert("failure-domain.beta.kubernetes.io/region".into(), "eu".into());
        assert_eq!(zone_key(&node), "eu/a");
        assert!(counts(&node));
        node.labels.insert(EXCLUDE.into(), String::new());
        assert!(!counts(&node));
    }

    #[test]
    fn one_token_each_ten_seconds() {
        let seconds = |s: i64| s * 1_000_000_000;
        let mut limiter = Zone::new(0.1).limiter;
        assert!(limiter.try_accept(seconds(3)));
        assert!(!limiter.try_accept(seconds(12)));
        assert_eq!(limiter.next(), Some(seconds(13)));
        limiter.swap(0.0, seconds(12));
        assert!(!limiter.try_accept(seconds(1000)) && limiter.next().is_none());
        // a bucket that never gave anything was "empty", so that the new one begins empty
        limiter.swap(0.1, seconds(1000));
        assert!(!limiter.try_accept(seconds(1009)) && limiter.try_accept(seconds(1010)));
        // a bucket with its token in it is swapped for one with a token in it
        limiter.swap(0.5, seconds(1100));
        assert!(limiter.try_accept(seconds(1100)) && !limiter.try_accept(seconds(1101)));
    }
}
