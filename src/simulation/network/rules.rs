//! What the EndpointSlices of each Service have said, version by version, as rules: where a new connection may go.
//!
//! A version's lists of pods are made once, when the version is written; all nodes read the same ones. What a list holds for
//! which node is in `reach`.

use std::collections::BTreeMap;

use crate::api::{Endpoints, NodeId, PodId, Service, ZoneId};
use crate::engine::{Key, Time};
use crate::simulation::observe::CauseId;
use crate::simulation::setup::ProxyMode;

mod reach;

pub(super) use reach::Keep;
use reach::{Policy, Reach};

/// Where the rules send a new connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route<'a> {
    /// To one of these pods, each as likely as the others. Never empty.
    Pods(&'a [PodId]),
    /// Nowhere: rejected, the client knows at once.
    Reject,
    /// Nowhere: dropped without a word, the client waits in vain.
    Drop,
}

/// How a connection comes to the rules of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Arrival {
    /// From a client on the node to the Service's address in the cluster.
    Internal,
    /// From outside the cluster, to a node port or an address of a load balancer.
    External,
}

/// Where a node is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub node: NodeId,
    pub zone: Option<ZoneId>,
}

/// All versions of one Service's endpoints.
#[derive(Clone, Debug)]
pub(super) struct ServiceRules {
    /// Stands for the Service in keyed draws; the same number as
    /// [`Context::luck_of`](crate::simulation::context::Context::luck_of) gives its EndpointSlices.
    pub luck: u64,
    policy: Policy,
    /// How often the EndpointSlices were written, whether that changed anything for a proxy or not.
    writes: u32,
    endpoints: Endpoints,
    versions: Vec<RulesVersion>,
    lists: Vec<Reach>,
    pods: BTreeMap<PodId, Listing>,
}

/// One version that differs from the one before.
#[derive(Clone, Copy, Debug)]
struct RulesVersion {
    /// Its place in the log of all Services' versions.
    entry: u32,
    list: u32,
    cause: CauseId,
}

/// When a pod stood in the EndpointSlices of a Service, and how.
#[derive(Clone, Debug, Default)]
struct Listing {
    /// Each change of the condition `ready`, with the time of the commit.
    ready: Vec<(Time, bool)>,
    /// Ranges of versions that name it as usable for clients in the cluster: the first one, and the first one after that
    /// does not.
    usable: Vec<(u32, Option<u32>)>,
}

impl ServiceRules {
    /// `keep` says what will be asked besides where versions lead: [`route_ready`](Self::route_ready),
    /// [`keeps_flow`](Self::keeps_flow).
    pub fn new(service: &Service, mode: ProxyMode, keep: Keep) -> Self {
        Self {
            luck: Key::new("endpoints").text(&service.namespace).text(&service.name).bits(),
            policy: Policy::of(service, mode, keep),
            writes: 0,
            endpoints: Endpoints::default(),
            versions: Vec::new(),
            lists: Vec::new(),
            pods: BTreeMap::new(),
        }
    }

    /// Takes a version that was committed at `now` and would be number `entry` of the log. Returns its ordinal among the
    /// Service's writes, or `None` if it says the same as the one before: no proxy takes notice of that.
    ///
    /// Source: `pkg/proxy/endpointslicecache.go` updatePending, esDataChanged: addresses and conditions are compared
    /// (v1.36).
    pub fn write(
        &mut self,
        now: Time,
        entry: u32,
        endpoints: &Endpoints,
        place_of: impl Fn(PodId) -> Option<Place>,
        cause: CauseId,
    ) -> Option<u32> {
        let ordinal = self.writes;
        self.writes += 1;
        if !self.versions.is_empty() && self.endpoints == *endpoints {
            return None;
        }
        debug_assert!(endpoints.list.is_sorted_by(|a, b| a.pod < b.pod), "endpoints are listed in order of creation");
        self.note_readiness(now, endpoints);
        let list = Reach::new(&self.policy, endpoints, place_of);
        self.note_usable(&list);
        if self.lists.last() != Some(&list) {
            self.lists.push(list);
        }
        let list = u32::try_from(self.lists.len() - 1).expect("fewer than 2^32 versions");
        self.versions.push(RulesVersion { entry, list, cause });
        self.endpoints.clone_from(endpoints);
        Some(ordinal)
    }

    /// The newest version among the first `entries` entries of the log.
    pub fn version_within(&self, entries: u32) -> Option<u32> {
        let count = self.versions.partition_point(|v| v.entry < entries);
        u32::try_from(count).expect("fewer than 2^32 versions").checked_sub(1)
    }

    /// Where a node sends new connections under this version, and what made it so. Without any version (no EndpointSlice
    /// yet) everything is rejected.
    pub fn route(&self, version: Option<u32>, place: Place, arrival: Arrival) -> (Route<'_>, CauseId) {
        let Some(version) = version.map(|v| self.versions[v as usize]) else {
            return (Route::Reject, CauseId::default());
        };
        (self.lists[version.list as usize].route(&self.policy, place, arrival), version.cause)
    }

    /// All endpoints of the newest version.
    pub const fn newest(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Whether [`route_ready`](Self::route_ready) names a pod.
    pub fn is_ready(&self, version: Option<u32>, pod: PodId) -> bool {
        matches!(self.route_ready(version).0, Route::Pods(pods) if pods.binary_search(&pod).is_ok())
    }

    /// Where an ingress controller sends a new connection under this version: it looks at nothing but the condition `ready`.
    ///
    /// Source: ingress-nginx, `internal/ingress/controller/endpointslices.go` getEndpointsFromSlices (controller-v1.15.1).
    pub fn route_ready(&self, version: Option<u32>) -> (Route<'_>, CauseId) {
        let Some(version) = version.map(|v| self.versions[v as usize]) else {
            return (Route::Reject, CauseId::default());
        };
        let route = match self.lists[version.list as usize].ready() {
            [] => Route::Reject,
            pods => Route::Pods(pods),
        };
        (route, version.cause)
    }

    /// Whether a node that has this version in its rules leaves a flow of datagrams to a pod as it is.
    pub fn keeps_flow(&self, version: Option<u32>, pod: PodId, place: Place) -> bool {
        let list = version.map(|v| &self.lists[self.versions[v as usize].list as usize]);
        list.is_none_or(|list| list.keeps_flow(&self.policy, pod, place))
    }

    /// How many ready endpoints a node has under this version. It is counted only for Services with a health-check node port.
    pub fn local_ready(&self, version: Option<u32>, node: NodeId) -> u32 {
        version.map_or(0, |v| self.lists[self.versions[v as usize].list as usize].local_ready(node))
    }

    /// The last commit up to `at` by which this pod ceased to be ready; `None` if it was ready then, or never had been.
    pub fn not_ready_since(&self, pod: PodId, at: Time) -> Option<Time> {
        let changes = &self.pods.get(&pod)?.ready;
        let (since, ready) = *changes[..changes.partition_point(|(time, _)| *time <= at)].last()?;
        (!ready).then_some(since)
    }

    /// The ranges of versions in which a node sent connections of this kind to a pod (which is on `pod_node`), the last one
    /// first, as places in the log: from the entry that brought it in to the one that took it out.
    pub fn usable_entries(
        &self,
        (pod, pod_node): (PodId, Option<NodeId>),
        place: Place,
        arrival: Arrival,
    ) -> Vec<(u32, Option<u32>)> {
        let entry = |version: u32| self.versions[version as usize].entry;
        let to_entries = |(first, end): &(u32, Option<u32>)| (entry(*first), end.map(entry));
        let known = self.pods.get(&pod).map_or(&[][..], |p| &p.usable);
        match (arrival, self.policy.alike()) {
            (Arrival::Internal, reach::Alike::Everywhere) => known.iter().rev().map(to_entries).collect(),
            (Arrival::Internal, reach::Alike::OnItsNode) if pod_node != Some(place.node) => Vec::new(),
            (Arrival::Internal, reach::Alike::OnItsNode) => known.iter().rev().map(to_entries).collect(),
            _ => self.search(pod, place, arrival).iter().rev().map(to_entries).collect(),
        }
    }

    /// The same by looking at every version.
    fn search(&self, pod: PodId, place: Place, arrival: Arrival) -> Vec<(u32, Option<u32>)> {
        let mut ranges: Vec<(u32, Option<u32>)> = Vec::new();
        for number in (0u32..).take(self.versions.len()) {
            let (route, _) = self.route(Some(number), place, arrival);
            let named = matches!(route, Route::Pods(pods) if pods.binary_search(&pod).is_ok());
            match ranges.last_mut() {
                Some((_, end @ None)) if !named => *end = Some(number),
                Some((_, None)) => {}
                _ if named => ranges.push((number, None)),
                _ => {}
            }
        }
        ranges
    }

    fn note_readiness(&mut self, now: Time, new: &Endpoints) {
        let mut set = |pod: PodId, ready: bool| {
            let changes = &mut self.pods.entry(pod).or_default().ready;
            if changes.last().map_or(ready, |(_, was)| *was != ready) {
                changes.push((now, ready));
            }
        };
        for endpoint in &new.list {
            set(endpoint.pod, endpoint.ready);
        }
        for endpoint in &self.endpoints.list {
            if new.get(endpoint.pod).is_none() {
                set(endpoint.pod, false);
            }
        }
    }

    fn note_usable(&mut self, new: &Reach) {
        let version = u32::try_from(self.versions.len()).expect("fewer than 2^32 versions");
        let old = self.lists.last().map_or(&[][..], Reach::internal);
        for pod in old.iter().filter(|p| new.internal().binary_search(p).is_err()) {
            if let Some((_, end)) = self.pods.get_mut(pod).and_then(|p| p.usable.last_mut()) {
                *end = Some(version);
            }
        }
        for pod in new.internal().iter().filter(|p| old.binary_search(p).is_err()) {
            self.pods.entry(*pod).or_default().usable.push((version, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Endpoint;

    const READY: (bool, bool, bool) = (true, true, false);
    const TERMINATING: (bool, bool, bool) = (false, true, true);

    fn at(node: u32) -> Place {
        Place { node: NodeId(node), zone: None }
    }

    fn endpoints(list: &[(u32, (bool, bool, bool))]) -> Endpoints {
        let list = list
            .iter()
            .map(|(pod, (ready, serving, terminating))| Endpoint {
                pod: PodId(*pod),
                ready: *ready,
                serving: *serving,
                terminating: *terminating,
            })
            .collect();
        Endpoints { list }
    }

    fn rules(local: bool, versions: &[Endpoints]) -> ServiceRules {
        let service = Service { internal_traffic_local: local, ..Service::default() };
        let mut rules = ServiceRules::new(&service, ProxyMode::Iptables, Keep { ready: true, serving: false });
        for (i, version) in versions.iter().enumerate() {
            let entry = u32::try_from(i).unwrap();
            // Even pods are on node 0, odd ones on node 1.
            rules.write(Time::from_secs(i as u64), entry, version, |p| Some(at(p.0 % 2)), CauseId(entry));
        }
        rules
    }

    fn pods(rules: &ServiceRules, node: u32) -> Vec<u32> {
        match rules.route(rules.version_within(u32::MAX), at(node), Arrival::Internal).0 {
            Route::Pods(pods) => pods.iter().map(|p| p.0).collect(),
            Route::Reject => panic!("rejected"),
            Route::Drop => panic!("dropped"),
        }
    }

    #[test]
    fn the_policy_local_falls_back_node_by_node() {
        let version = endpoints(&[(0, READY), (1, TERMINATING)]);
        let cluster = rules(false, std::slice::from_ref(&version));
        assert_eq!((pods(&cluster, 0), pods(&cluster, 1)), (vec![0], vec![0]));
        let local = rules(true, &[version]);
        assert_eq!((pods(&local, 0), pods(&local, 1)), (vec![0], vec![1]));
        assert_eq!(local.route(Some(0), at(2), Arrival::Internal).0, Route::Drop);
    }

    #[test]
    fn without_endpoints_connections_are_rejected() {
        let rules = rules(true, &[endpoints(&[(0, (false, false, true))])]);
        assert_eq!(rules.route(Some(0), at(0), Arrival::Internal), (Route::Reject, CauseId(0)));
        assert_eq!(rules.route(None, at(0), Arrival::Internal), (Route::Reject, CauseId::default()));
    }

    #[test]
    fn readiness_is_known_at_any_time() {
        let up = endpoints(&[(0, READY), (1, READY)]);
        let rules =
            rules(false, &[up.clone(), endpoints(&[(0, TERMINATING), (1, READY)]), endpoints(&[(1, READY)]), up]);
        let since = |at| rules.not_ready_since(PodId(0), Time::from_millis(at));
        assert_eq!(
            [since(500), since(1000), since(2500), since(3000)].map(|t| t.map(Time::as_secs_f64)),
            [None, Some(1.0), Some(1.0), None]
        );
        assert_eq!(rules.usable_entries((PodId(0), None), at(0), Arrival::Internal), [(3, None), (0, Some(1))]);
    }

    #[test]
    fn a_write_that_changes_nothing_is_no_version() {
        let mut rules = rules(false, &[endpoints(&[(0, READY)])]);
        let node_of = |_| Some(at(0));
        let now = Time::from_secs(1);
        assert_eq!(rules.write(now, 1, &endpoints(&[(0, READY)]), node_of, CauseId(0)), None);
        assert_eq!(rules.write(now, 1, &endpoints(&[(0, TERMINATING)]), node_of, CauseId(0)), Some(2));
    }
}
