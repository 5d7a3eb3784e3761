//! Which of a Service's endpoints a node may use: traffic policies, terminating endpoints, topology hints.
//!
//! One function of kube-proxy decides it, and here it is. It says what is right for one node; the data plane works the same
//! out for all nodes at once, and is tested against this.

use crate::api::meta::{NodeId, PodId};
use crate::api::service::{Endpoint, Service, TrafficDistribution};

/// A zone: the value of the label `topology.kubernetes.io/zone`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ZoneId(pub u32);

/// An endpoint with what an EndpointSlice says of its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacedEndpoint {
    /// The endpoint and its conditions.
    pub endpoint: Endpoint,
    /// `nodeName`.
    pub node: Option<NodeId>,
    /// `hints`.
    pub hints: Hints,
}

/// Where an endpoint should be used. Both empty: no hint.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hints {
    /// `forZones`.
    pub zones: Vec<ZoneId>,
    /// `forNodes`.
    pub nodes: Vec<NodeId>,
}

impl Hints {
    /// What the EndpointSlice controller writes: a ready endpoint is for its own zone, if its node has one, and for its own
    /// node, if that is asked for. An endpoint that is not ready has none.
    ///
    /// Source: `k8s.io/endpointslice/trafficdist/trafficdist.go` preferCloseHeuristic (v1.36).
    #[must_use]
    pub fn of(
        distribution: Option<TrafficDistribution>,
        ready: bool,
        node: Option<NodeId>,
        zone: Option<ZoneId>,
    ) -> Self {
        match distribution {
            Some(distribution) if ready => Self {
                zones: zone.into_iter().collect(),
                nodes: node.filter(|_| distribution == TrafficDistribution::PreferSameNode).into_iter().collect(),
            },
            _ => Self::default(),
        }
    }
}

/// The node that asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Viewer {
    /// Which it is.
    pub node: NodeId,
    /// Its zone; `None`: it has no such label, or an empty one.
    pub zone: Option<ZoneId>,
    /// Hints for nodes count: the feature gate PreferSameTrafficDistribution.
    pub same_node: bool,
}

/// The usable endpoints of a Service on one node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Categorized {
    /// For traffic under the policy Cluster. Empty if the Service has none.
    pub cluster: Vec<PodId>,
    /// For traffic under the policy Local. Empty if the Service has none.
    pub local: Vec<PodId>,
    /// All that can be reached from here: the two together.
    pub reachable: Vec<PodId>,
    /// There is a usable endpoint somewhere, in reach or not. If not, traffic is rejected; if there is, traffic under the
    /// policy Local is dropped where there is none on the node.
    pub any: bool,
}

/// Sorts a Service's endpoints for a node. Usable are the ready ones; if there is none, those that still serve while they
/// terminate. Each policy falls back by itself. Topology narrows the policy Cluster only, and only among ready endpoints.
///
/// Source: `pkg/proxy/topology.go` CategorizeEndpoints (v1.36; the fall-back is GA since 1.28).
#[must_use]
pub fn categorize_endpoints(endpoints: &[PlacedEndpoint], service: &Service, viewer: Viewer) -> Categorized {
    let mut result = Categorized::default();
    if service.uses_cluster_endpoints() {
        let mode = Mode::of(endpoints, viewer);
        result.cluster = usable(endpoints, |e| mode.allows(e, viewer), |_| true);
        result.any = !result.cluster.is_empty();
    }
    if service.uses_local_endpoints() {
        let here = |e: &PlacedEndpoint| e.node == Some(viewer.node);
        result.local = usable(endpoints, here, here);
        result.any |= endpoints.iter().any(|e| e.endpoint.ready || serves_while_terminating(e));
    }
    result.reachable = result.cluster.iter().chain(&result.local).copied().collect();
    result.reachable.sort_unstable();
    result.reachable.dedup();
    result
}

/// The ready ones that are `wanted`, or else the terminating ones that are `wanted_terminating`.
fn usable(
    endpoints: &[PlacedEndpoint],
    wanted: impl Fn(&PlacedEndpoint) -> bool,
    wanted_terminating: impl Fn(&PlacedEndpoint) -> bool,
) -> Vec<PodId> {
    let ready: Vec<_> = endpoints.iter().filter(|e| e.endpoint.ready && wanted(e)).map(|e| e.endpoint.pod).collect();
    if !ready.is_empty() {
        return ready;
    }
    let terminating = endpoints.iter().filter(|e| serves_while_terminating(e) && wanted_terminating(e));
    terminating.map(|e| e.endpoint.pod).collect()
}

fn serves_while_terminating(e: &PlacedEndpoint) -> bool {
    e.endpoint.serving && e.endpoint.terminating
}

/// Which hints a node follows. Those of some endpoints only, or for other places only, are no hints at all: so a node whose
/// last near endpoint goes uses all of them at once.
///
/// Source: `pkg/proxy/topology.go` topologyModeFromHints (v1.36).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    All,
    SameZone,
    SameNode,
}

impl Mode {
    fn of(endpoints: &[PlacedEndpoint], viewer: Viewer) -> Self {
        let ready = || endpoints.iter().filter(|e| e.endpoint.ready);
        let for_node = |e: &PlacedEndpoint| e.hints.nodes.contains(&viewer.node);
        let for_zone = |e: &PlacedEndpoint| viewer.zone.is_some_and(|zone| e.hints.zones.contains(&zone));
        if viewer.same_node && ready().all(|e| !e.hints.nodes.is_empty()) && ready().any(for_node) {
            Self::SameNode
        } else if ready().all(|e| !e.hints.zones.is_empty()) && ready().any(for_zone) {
            Self::SameZone
        } else {
            Self::All
        }
    }

    fn allows(self, e: &PlacedEndpoint, viewer: Viewer) -> bool {
        match self {
            Self::All => true,
            Self::SameZone => viewer.zone.is_some_and(|zone| e.hints.zones.contains(&zone)),
            Self::SameNode => e.hints.nodes.contains(&viewer.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_the_endpoints_own_place() {
        use TrafficDistribution::{PreferSameNode, PreferSameZone};
        let (node, zone) = (Some(NodeId(1)), Some(ZoneId(2)));
        let of = |distribution, ready, zone| {
            let hints = Hints::of(distribution, ready, node, zone);
            (hints.zones.len(), hints.nodes.len())
        };
        assert_eq!(of(None, true, zone), (0, 0));
        assert_eq!(of(Some(PreferSameZone), true, zone), (1, 0));
        assert_eq!(of(Some(PreferSameZone), true, None), (0, 0));
        assert_eq!(of(Some(PreferSameNode), true, zone), (1, 1));
        assert_eq!(of(Some(PreferSameNode), true, None), (0, 1));
        assert_eq!(of(Some(PreferSameNode), false, zone), (0, 0));
    }
}
