//! Which pods each node may send to under one version of a Service's endpoints: traffic policies, terminating endpoints and
//! topology hints, worked out for all nodes at once.
//!
//! What is right for one node is [`categorize_endpoints`](crate::api::topology::categorize_endpoints); a property test below
//! compares the two. Only nodes and zones that have endpoints are kept apart, since all others are alike.

use std::collections::BTreeMap;

use crate::api::topology::Hints;
use crate::api::{Endpoint, Endpoints, NodeId, PodId, Service, ZoneId};
use crate::simulation::network::rules::{Arrival, Place, Route};
use crate::simulation::setup::ProxyMode;

/// What of a Service decides where its traffic may go.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    service: Service,
    mode: ProxyMode,
    keep: Keep,
}

/// What is kept of each version besides where it leads.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::simulation::network) struct Keep {
    /// Somebody asks for the ready endpoints alone.
    pub ready: bool,
    /// Somebody asks which endpoints still serve.
    pub serving: bool,
}

/// How much the nodes differ in where they send the traffic of their own clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alike {
    /// All do the same.
    Everywhere,
    /// Each uses its own pods alone.
    OnItsNode,
    /// Nothing so simple.
    Nowhere,
}

/// The pods within reach, each list in order of creation; versions that allow the same share one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Reach {
    /// There is an endpoint that some node might use.
    any: bool,
    /// Those of the policy Cluster, for a node without anything nearer.
    cluster: Vec<PodId>,
    /// By zone, if all ready ones are hinted for zones.
    by_zone: BTreeMap<ZoneId, Vec<PodId>>,
    /// By node, if all ready ones are hinted for nodes.
    by_node: BTreeMap<NodeId, Vec<PodId>>,
    /// Those of the policy Local, on the nodes that have any.
    local: BTreeMap<NodeId, Vec<PodId>>,
    /// All that clients in the cluster may come to, from one node or the other.
    internal: Vec<PodId>,
    ready: Vec<PodId>,
    serving: Vec<PodId>,
    local_ready: BTreeMap<NodeId, u32>,
}

impl Policy {
    pub fn of(service: &Service, mode: ProxyMode, keep: Keep) -> Self {
        Self { service: service.clone(), mode, keep }
    }

    /// Whether hints for zones or nodes are followed. Cilium does not, unless told to.
    ///
    /// Source: cilium `pkg/loadbalancer/config.go` EnableServiceTopology.
    fn follows_hints(&self) -> bool {
        self.service.traffic_distribution.is_some() && self.mode != ProxyMode::Ebpf
    }

    pub fn alike(&self) -> Alike {
        if self.service.internal_traffic_local {
            if self.mode == ProxyMode::Ipvs { Alike::Nowhere } else { Alike::OnItsNode }
        } else if self.follows_hints() {
            Alike::Nowhere
        } else {
            Alike::Everywhere
        }
    }
}

impl Reach {
    pub fn new(policy: &Policy, endpoints: &Endpoints, place_of: impl Fn(PodId) -> Option<Place>) -> Self {
        let service = &policy.service;
        let mut reach = Self { any: endpoints.usable().next().is_some(), ..Self::default() };
        if service.uses_cluster_endpoints() {
            reach.cluster = endpoints.usable().collect();
            if policy.follows_hints() {
                reach.follow_hints(policy, endpoints, &place_of);
            }
        }
        if service.uses_local_endpoints() {
            reach.local = local(endpoints, &place_of);
        }
        reach.internal = if service.internal_traffic_local {
            let mut pods: Vec<_> = reach.local.values().flatten().copied().collect();
            pods.sort_unstable();
            pods
        } else {
            reach.cluster.clone()
        };
        if policy.keep.serving {
            reach.serving = endpoints.list.iter().filter(|e| e.serving).map(|e| e.pod).collect();
        }
        if policy.keep.ready {
            reach.ready = endpoints.list.iter().filter(|e| e.ready).map(|e| e.pod).collect();
        }
        if service.has_health_check_node_port() {
            for place in endpoints.list.iter().filter(|e| e.ready).filter_map(|e| place_of(e.pod)) {
                *reach.local_ready.entry(place.node).or_default() += 1;
            }
        }
        reach
    }

    fn follow_hints(&mut self, policy: &Policy, endpoints: &Endpoints, place_of: impl Fn(PodId) -> Option<Place>) {
        let hints_of = |e: &Endpoint| {
            let place = place_of(e.pod);
            Hints::of(policy.service.traffic_distribution, e.ready, place.map(|p| p.node), place.and_then(|p| p.zone))
        };
        let hinted: Vec<(PodId, Hints)> =
            endpoints.list.iter().filter(|e| e.ready).map(|e| (e.pod, hints_of(e))).collect();
        if hinted.iter().all(|(_, hints)| !hints.zones.is_empty()) {
            self.by_zone = group(hinted.iter().map(|(pod, hints)| (*pod, &*hints.zones)));
        }
        if hinted.iter().all(|(_, hints)| !hints.nodes.is_empty()) {
            self.by_node = group(hinted.iter().map(|(pod, hints)| (*pod, &*hints.nodes)));
        }
    }

    /// Where a node sends a connection.
    ///
    /// Without any endpoint it is rejected. Under the policy Local it is dropped if there is none on the node, though
    /// ipvs and Cilium do otherwise:
    ///
    /// - ipvs takes the endpoints of the policy Cluster then, if the Service has any (it has if it is reachable from
    ///   outside). For a client in the cluster that works; the answer to one outside comes from the pod's address, and
    ///   nobody knows it. A virtual server without any destination refuses.
    /// - Cilium rejects whatever has no backend (`service-no-backend-response: reject`).
    ///
    /// Source: `pkg/proxy/iptables/proxier.go` syncProxyRules, `pkg/proxy/nftables/proxier.go` syncProxyRules,
    /// `pkg/proxy/ipvs/proxier.go` syncEndpoint (v1.36); cilium `pkg/option/config.go` ServiceNoBackendResponse.
    pub fn route(&self, policy: &Policy, place: Place, arrival: Arrival) -> Route<'_> {
        let service = &policy.service;
        if !self.any || (arrival == Arrival::External && !service.externally_accessible()) {
            return Route::Reject;
        }
        let local = match arrival {
            Arrival::Internal => service.internal_traffic_local,
            Arrival::External => service.external_traffic_local,
        };
        if !local {
            return self.cluster(place);
        }
        match (self.local.get(&place.node), policy.mode, arrival) {
            (Some(pods), ..) => Route::Pods(pods),
            (None, ProxyMode::Iptables | ProxyMode::Nftables, _) => Route::Drop,
            (None, ProxyMode::Ipvs, Arrival::Internal) => self.cluster(place),
            (None, ProxyMode::Ipvs, Arrival::External) => Route::Drop,
            (None, ProxyMode::Ebpf, _) => Route::Reject,
        }
    }

    fn cluster(&self, place: Place) -> Route<'_> {
        let nearest = self.by_node.get(&place.node).or_else(|| self.by_zone.get(&place.zone?));
        match nearest.unwrap_or(&self.cluster).as_slice() {
            [] => Route::Reject,
            pods => Route::Pods(pods),
        }
    }

    /// All that clients in the cluster may come to, from one node or the other.
    pub fn internal(&self) -> &[PodId] {
        &self.internal
    }

    /// The ready ones, if they are kept.
    pub fn ready(&self) -> &[PodId] {
        &self.ready
    }

    /// Whether the node of a client keeps a flow of datagrams to a pod.
    ///
    /// After a sync that has changed a Service, kube-proxy deletes the flows to endpoints that do not serve, unless none does.
    /// With ipvs the flow is gone with the real server.
    ///
    /// Source: `pkg/proxy/conntrack/cleanup.go` CleanStaleEntries, `pkg/proxy/ipvs/graceful_termination.go` deleteRsFunc
    /// (v1.36).
    pub fn keeps_flow(&self, policy: &Policy, pod: PodId, place: Place) -> bool {
        if policy.mode == ProxyMode::Ipvs {
            return matches!(self.route(policy, place, Arrival::Internal), Route::Pods(pods) if pods.contains(&pod));
        }
        self.serving.is_empty() || self.serving.binary_search(&pod).is_ok()
    }

    /// How many ready ones a node has, if the Service has a port for that question.
    pub fn local_ready(&self, node: NodeId) -> u32 {
        self.local_ready.get(&node).copied().unwrap_or(0)
    }
}

/// Each node falls back to terminating endpoints by itself, whatever is ready elsewhere.
fn local(endpoints: &Endpoints, place_of: impl Fn(PodId) -> Option<Place>) -> BTreeMap<NodeId, Vec<PodId>> {
    let mut listed: BTreeMap<NodeId, Endpoints> = BTreeMap::new();
    for endpoint in &endpoints.list {
        if let Some(place) = place_of(endpoint.pod) {
            listed.entry(place.node).or_default().list.push(*endpoint);
        }
    }
    let usable = listed.into_iter().map(|(node, endpoints)| (node, endpoints.usable().collect::<Vec<_>>()));
    usable.filter(|(_, pods)| !pods.is_empty()).collect()
}

fn group<'h, K: Copy + Ord + 'h>(hinted: impl Iterator<Item = (PodId, &'h [K])>) -> BTreeMap<K, Vec<PodId>> {
    let mut groups: BTreeMap<K, Vec<PodId>> = BTreeMap::new();
    for (pod, keys) in hinted {
        for key in keys {
            groups.entry(*key).or_default().push(pod);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::topology::{PlacedEndpoint, Viewer, categorize_endpoints};
    use crate::api::{ServiceType, TrafficDistribution};
    use proptest::prelude::*;

    /// Pod `p` is on node `p % 4`; nodes 0 and 1 are in zone 0, node 2 in zone 1; node 3 has a zone only sometimes.
    fn place(node: u32, last_has_zone: bool) -> Place {
        let zone = [Some(0), Some(0), Some(1), last_has_zone.then_some(1)][node as usize % 4];
        Place { node: NodeId(node), zone: zone.map(ZoneId) }
    }

    proptest! {
        #[test]
        fn every_node_does_what_its_own_kube_proxy_would(
            states in prop::collection::vec(0u32..5, 0..12),
            internal: bool,
            external: bool,
            port: bool,
            distribution in prop_oneof![
                Just(None), Just(Some(TrafficDistribution::PreferSameZone)), Just(Some(TrafficDistribution::PreferSameNode))
            ],
            last_has_zone: bool,
        ) {
            let service = Service {
                internal_traffic_local: internal,
                external_traffic_local: external,
                service_type: if port { ServiceType::NodePort } else { ServiceType::ClusterIp },
                traffic_distribution: distribution,
                ..Service::default()
            };
            // absent, not ready, ready, serving and terminating, terminating
            let list = (0u32..).zip(&states).filter(|(_, s)| **s > 0).map(|(pod, s)| Endpoint {
                pod: PodId(pod), ready: *s == 2, serving: matches!(s, 2 | 3), terminating: *s >= 3,
            });
            let endpoints = Endpoints { list: list.collect() };
            let policy = Policy::of(&service, ProxyMode::Iptables, Keep::default());
            let at = |pod: PodId| place(pod.0 % 4, last_has_zone);
            let reach = Reach::new(&policy, &endpoints, |pod| Some(at(pod)));
            let placed: Vec<_> = endpoints.list.iter().map(|e| PlacedEndpoint {
                endpoint: *e,
                node: Some(at(e.pod).node),
                hints: Hints::of(distribution, e.ready, Some(at(e.pod).node), at(e.pod).zone),
            }).collect();
            // node 4 has no pods
            for node in 0..5 {
                let place = place(node, last_has_zone);
                let viewer = Viewer { node: place.node, zone: place.zone, same_node: true };
                let right = categorize_endpoints(&placed, &service, viewer);
                for arrival in [Arrival::Internal, Arrival::External] {
                    if arrival == Arrival::External && !port {
                        continue;
                    }
                    let is_local = if arrival == Arrival::Internal { internal } else { external };
                    let pods = if is_local { &right.local } else { &right.cluster };
                    let expected = match (right.any, pods.as_slice()) {
                        (false, _) => Route::Reject,
                        (true, []) => Route::Drop,
                        (true, pods) => Route::Pods(pods),
                    };
                    prop_assert_eq!(reach.route(&policy, place, arrival), expected, "node {} {:?}", node, arrival);
                }
            }
        }
    }

    #[test]
    fn data_planes_differ_where_a_node_has_no_endpoint() {
        let endpoints =
            Endpoints { list: vec![Endpoint { pod: PodId(1), ready: true, serving: true, terminating: false }] };
        let routes = |service_type, mode| {
            let service = Service {
                internal_traffic_local: true,
                external_traffic_local: true,
                service_type,
                ..Service::default()
            };
            let policy = Policy::of(&service, mode, Keep::default());
            let reach = Reach::new(&policy, &endpoints, |pod| Some(place(pod.0, true)));
            let name = |arrival| match reach.route(&policy, place(0, true), arrival) {
                Route::Pods(_) => "pods",
                Route::Reject => "reject",
                Route::Drop => "drop",
            };
            (name(Arrival::Internal), name(Arrival::External))
        };
        use ProxyMode::{Ebpf, Iptables, Ipvs, Nftables};
        use ServiceType::{ClusterIp, NodePort};
        assert_eq!(routes(NodePort, Iptables), ("drop", "drop"));
        assert_eq!(routes(NodePort, Nftables), ("drop", "drop"));
        assert_eq!(routes(NodePort, Ipvs), ("pods", "drop"));
        assert_eq!(routes(NodePort, Ebpf), ("reject", "reject"));
        assert_eq!(routes(ClusterIp, Iptables), ("drop", "reject"));
        assert_eq!(routes(ClusterIp, Ipvs), ("reject", "reject"));
    }

    #[test]
    fn the_health_check_counts_ready_endpoints_only() {
        let service =
            Service { external_traffic_local: true, service_type: ServiceType::LoadBalancer, ..Service::default() };
        let policy = Policy::of(&service, ProxyMode::Iptables, Keep::default());
        let endpoint = |pod, ready| Endpoint { pod: PodId(pod), ready, serving: true, terminating: !ready };
        let endpoints = Endpoints { list: vec![endpoint(0, true), endpoint(1, false)] };
        let reach = Reach::new(&policy, &endpoints, |pod| Some(place(pod.0, true)));
        assert_eq!((reach.local_ready(NodeId(0)), reach.local_ready(NodeId(1))), (1, 0));
        // and yet what comes in at node 1 is served
        assert_eq!(reach.route(&policy, place(1, true), Arrival::External), Route::Pods(&[PodId(1)]));
    }
}
