//! Services, and the EndpointSlices that say which pods stand behind them.

use crate::api::labels::Selector;
use crate::api::meta::PodId;
use crate::api::pod::Pod;
use crate::engine::Duration;

/// A Service. Fixed for the run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Service {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.selector`. A Service without one has no endpoints of ours.
    pub selector: Option<Selector>,
    /// `spec.clusterIP: None`. kube-proxy passes it over (`ShouldSkipService` in `pkg/proxy/util/utils.go`, v1.36): only DNS
    /// leads to its pods.
    pub headless: bool,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready_addresses: bool,
    /// `spec.internalTrafficPolicy: Local`.
    pub internal_traffic_local: bool,
    /// `spec.externalTrafficPolicy: Local`. It counts only if the Service is [reachable from
    /// outside](Self::externally_accessible).
    pub external_traffic_local: bool,
    /// `spec.type`.
    pub service_type: ServiceType,
    /// There are `spec.externalIPs`.
    pub external_ips: bool,
    /// `spec.trafficDistribution`, as far as the version knows it; `None`: all endpoints are equally near.
    pub traffic_distribution: Option<TrafficDistribution>,
    /// `spec.sessionAffinity: ClientIP` with its `timeoutSeconds`.
    pub session_affinity: Option<Duration>,
}

/// `spec.type`, as far as it has endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ServiceType {
    /// An address in the cluster.
    #[default]
    ClusterIp,
    /// And a port on each node.
    NodePort,
    /// And a load balancer in front of the nodes or of the pods.
    LoadBalancer,
}

/// Which endpoints are to be preferred.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrafficDistribution {
    /// Those in the client's zone: `PreferClose`, and the clearer name `PreferSameZone` that it has got later.
    PreferSameZone,
    /// Those on the client's node, then those in its zone.
    PreferSameNode,
}

impl Service {
    /// `sessionAffinityConfig.clientIP.timeoutSeconds` if it is left out.
    ///
    /// Source: `pkg/apis/core/v1/defaults.go` SetDefaults_Service, DefaultClientIPServiceAffinitySeconds (v1.36).
    pub const SESSION_AFFINITY_TIMEOUT: Duration = Duration::from_secs(10_800);

    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether anything from outside the cluster may come in: by a node port, a load balancer's address or an external one.
    ///
    /// Source: `pkg/proxy/serviceport.go` ExternallyAccessible (v1.36).
    #[must_use]
    pub fn externally_accessible(&self) -> bool {
        self.service_type != ServiceType::ClusterIp || self.external_ips
    }

    /// Whether some traffic may go to any endpoint of the cluster. Under `externalTrafficPolicy: Local`, too: what comes
    /// from inside to an external address does.
    ///
    /// Source: `pkg/proxy/serviceport.go` UsesClusterEndpoints (v1.36).
    #[must_use]
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.internal_traffic_local || self.externally_accessible()
    }

    /// Whether some traffic must stay on the node.
    ///
    /// Source: `pkg/proxy/serviceport.go` UsesLocalEndpoints (v1.36).
    #[must_use]
    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_traffic_local || (self.external_traffic_local && self.externally_accessible())
    }

    /// Whether each node answers health checks for this Service on a port of its own.
    ///
    /// Source: `pkg/api/v1/service/util.go` NeedsHealthCheck (v1.36).
    #[must_use]
    pub fn has_health_check_node_port(&self) -> bool {
        self.service_type == ServiceType::LoadBalancer && self.external_traffic_local
    }
}

/// One endpoint and its conditions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The pod.
    pub pod: PodId,
    /// The condition `ready`: may have new connections.
    pub ready: bool,
    /// The condition `serving`: the pod is Ready, terminating or not.
    pub serving: bool,
    /// The condition `terminating`: the pod has a deletionTimestamp.
    pub terminating: bool,
}

impl Endpoint {
    /// The endpoint of a pod, or `None` if the pod is not one: it has no address, or it has ended.
    ///
    /// Source: `k8s.io/endpointslice/utils.go` podToEndpoint and
    /// `k8s.io/endpointslice/util/controller_utils.go` ShouldPodBeInEndpoints (v1.36; the conditions are GA since 1.26).
    #[must_use]
    pub fn of(id: PodId, pod: &Pod, publish_not_ready_addresses: bool) -> Option<Self> {
        if pod.phase.is_terminal() || !pod.has_ip {
            return None;
        }
        let (serving, terminating) = (pod.ready, pod.deletion.is_some());
        let ready = publish_not_ready_addresses || (serving && !terminating);
        Some(Self { pod: id, ready, serving, terminating })
    }
}

/// The endpoints of one Service: all its EndpointSlices taken together, one version of them.
///
/// The real controller cuts them into slices of 100; what a proxy routes by is their union.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Endpoints {
    /// In the order in which the pods were created.
    pub list: Vec<Endpoint>,
}

impl Endpoints {
    /// The endpoint of this pod, if it is listed.
    #[must_use]
    pub fn get(&self, pod: PodId) -> Option<&Endpoint> {
        self.list.binary_search_by_key(&pod, |e| e.pod).ok().map(|i| &self.list[i])
    }

    /// How many are ready.
    #[must_use]
    pub fn ready_count(&self) -> u32 {
        u32::try_from(self.list.iter().filter(|e| e.ready).count()).unwrap_or(u32::MAX)
    }

    /// Where kube-proxy sends new connections: the ready ones; if there is none, those that still serve while they
    /// terminate.
    ///
    /// Source: `pkg/proxy/topology.go` CategorizeEndpoints (v1.36; the fall-back is GA since 1.28).
    pub fn usable(&self) -> impl Iterator<Item = PodId> + '_ {
        let any_ready = self.list.iter().any(|e| e.ready);
        self.list.iter().filter(move |e| if any_ready { e.ready } else { e.serving && e.terminating }).map(|e| e.pod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Deletion, LabelSetId, Phase};
    use crate::engine::Time;

    #[test]
    fn conditions_follow_the_pod() {
        let base = Pod { has_ip: true, phase: Phase::Running, ..Pod::created(LabelSetId(0), None) };
        let deleted = Some(Deletion { timestamp: Time::from_secs(30), grace_seconds: 30 });
        // ready, phase, ip, deletion, publishNotReady -> ready serving terminating
        for (pod, publish, expected) in [
            (Pod { ready: true, ..base }, false, Some((true, true, false))),
            (Pod { ready: false, ..base }, false, Some((false, false, false))),
            (Pod { ready: true, deletion: deleted, ..base }, false, Some((false, true, true))),
            (Pod { ready: false, deletion: deleted, ..base }, false, Some((false, false, true))),
            (Pod { ready: false, ..base }, true, Some((true, false, false))),
            (Pod { ready: true, deletion: deleted, ..base }, true, Some((true, true, true))),
            (Pod { ready: true, has_ip: false, ..base }, false, None),
            (Pod { phase: Phase::Failed, ..base }, true, None),
            (Pod { phase: Phase::Succeeded, ..base }, false, None),
            (Pod { phase: Phase::Pending, ..base }, false, Some((false, false, false))),
        ] {
            let got = Endpoint::of(PodId(0), &pod, publish).map(|e| (e.ready, e.serving, e.terminating));
            assert_eq!(got, expected, "{pod:?} publishNotReadyAddresses={publish}");
        }
    }

    #[test]
    fn one_ready_endpoint_switches_the_fall_back_off() {
        let endpoint = |pod, ready, serving, terminating| Endpoint { pod: PodId(pod), ready, serving, terminating };
        let usable = |list: &[Endpoint]| Endpoints { list: list.to_vec() }.usable().map(|p| p.0).collect::<Vec<_>>();
        assert_eq!(usable(&[endpoint(0, true, true, false), endpoint(1, false, true, true)]), [0]);
        assert_eq!(usable(&[endpoint(0, false, false, false), endpoint(1, false, true, true)]), [1]);
        assert_eq!(usable(&[endpoint(0, false, false, true), endpoint(1, false, false, false)]), [] as [u32; 0]);
    }
}
