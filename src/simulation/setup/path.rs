//! The hops between a client and a pod, and what is known of each by its name.
//!
//! A path is at most a load balancer, which has addresses of its own outside of the cluster, and then who chooses the pod:
//! the kube-proxy of a node, a proxy in the cluster that watches endpoints by itself, or the load balancer if its targets
//! are pods.

use crate::engine::{Distribution, Duration};

use super::Connections;

/// Who chooses the pod of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Via {
    /// kube-proxy: on the client's node, or on the node that is a load balancer's target.
    #[default]
    KubeProxy,
    /// An ingress controller of its own mind. [`Traffic::from`](super::Traffic::from) names the nodes on which its replicas
    /// run; the clients are somewhere outside, and always reach a replica that runs.
    IngressNginx(IngressNginx),
    /// An Envoy that gets its endpoints by xDS. [`Traffic::from`](super::Traffic::from) names the nodes on which it runs: as
    /// a gateway, like an ingress controller; as a sidecar, beside each client.
    Envoy(Envoy),
    /// The load balancer, whose targets are pods.
    Balancer,
}

impl Via {
    /// What a proxy of this kind does about connections to the pods behind it, and how long it waits for their answers.
    ///
    /// Source: kubernetes/ingress-nginx, `internal/ingress/controller/config/config.go` NewDefault
    /// (upstream-keepalive-connections 320, -timeout 60, -requests 10000, -time 1h; proxy-read-timeout 60)
    /// (controller-v1.15.1); Envoy, `api/envoy/config/core/v3/protocol.proto` HttpProtocolOptions idle_timeout 1 h,
    /// `cluster/v3/circuit_breaker.proto` max_connections 1024, `route/v3/route_components.proto` RouteAction timeout 15 s. Envoy
    /// Gateway leaves these three as they are (`internal/xds/translator/cluster.go`, `route.go`, v1.9.0). Istio has no limit of
    /// connections (`pilot/pkg/networking/core/cluster_traffic_policy.go` getDefaultCircuitBreakerThresholds), and no timeout
    /// (`route/route.go` Notimeout, 1.30.3), which is a day here.
    #[must_use]
    pub fn upstream(self) -> (Connections, Duration) {
        let seconds = Duration::from_secs;
        match self {
            Self::IngressNginx(_) => {
                let connections = Connections::KeepAlive {
                    idle_max: 320,
                    idle_timeout: Some(seconds(60)),
                    requests_max: Some(10_000),
                    age_max: Some(seconds(3600)),
                };
                (connections, seconds(60))
            }
            Self::Envoy(envoy) => {
                let (idle_max, patience) = match envoy.profile {
                    EnvoyProfile::EnvoyGateway => (1024, 15),
                    EnvoyProfile::IstioGateway | EnvoyProfile::IstioSidecar => (u32::MAX, 86_400),
                };
                let connections = Connections::KeepAlive {
                    idle_max,
                    idle_timeout: Some(seconds(3600)),
                    requests_max: None,
                    age_max: None,
                };
                (connections, seconds(patience))
            }
            Self::KubeProxy | Self::Balancer => (Connections::New, seconds(86_400)),
        }
    }
}

/// How ingress-nginx follows the endpoints, and what it does about an upstream that fails it.
///
/// Source: kubernetes/ingress-nginx, `internal/ingress/controller/config/config.go` NewDefault (proxy-connect-timeout,
/// proxy-next-upstream `error timeout`, proxy-next-upstream-tries, retry-non-idempotent), `pkg/flags/flags.go`
/// (sync-rate-limit), `rootfs/etc/nginx/lua/balancer.lua` BACKENDS_SYNC_INTERVAL (controller-v1.15.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IngressNginx {
    /// At least so long from the start of one sync of the controller to the next: `--sync-rate-limit` 0.3 per second.
    pub sync_interval: Duration,
    /// Every worker of nginx looks so often for endpoints that the controller has posted.
    pub poll_interval: Duration,
    /// `proxy-next-upstream-tries`: so many pods at most are asked for a connection.
    pub tries: u32,
    /// `proxy-connect-timeout`.
    pub connect_timeout: Duration,
}

impl Default for IngressNginx {
    fn default() -> Self {
        Self {
            sync_interval: Duration::from_nanos(10_000_000_000 / 3),
            poll_interval: Duration::from_secs(1),
            tries: 3,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// What an Envoy is there for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EnvoyProfile {
    /// Envoy Gateway.
    EnvoyGateway,
    /// Istio's ingress gateway, or a gateway of its Gateway API.
    IstioGateway,
    /// The sidecar beside a client in Istio's mesh.
    IstioSidecar,
}

impl EnvoyProfile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::EnvoyGateway, Self::IstioGateway, Self::IstioSidecar];

    /// The name in a scenario.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EnvoyGateway => "envoy-gateway",
            Self::IstioGateway => "istio-gateway",
            Self::IstioSidecar => "istio-sidecar",
        }
    }

    /// What is set if nobody says otherwise.
    ///
    /// Source: istio, `pilot/pkg/features/tuning.go` DebounceAfter, DebounceMax, EnableEDSDebounce;
    /// `pilot/pkg/networking/core/route/retry/retry.go` DefaultPolicy (`connect-failure,refused-stream,unavailable,cancelled`,
    /// and `retriable-status-codes` with no code: 503 was one up to 1.23, and up to 1.26 could be one again by
    /// EXCLUDE_UNSAFE_503_FROM_DEFAULT_RETRY; 2 retries, not on hosts that were tried), `pkg/config/mesh/mesh.go` ConnectTimeout
    /// 10 s (1.30.3). Envoy Gateway has no debounce, a connect timeout of 10 s (`internal/xds/translator/cluster.go`
    /// tcpClusterPerConnectTimeout), and retries only where a policy asks for them (`route.go` buildRetryPolicy: 2, if it does
    /// not say how many) (v1.9.0).
    #[must_use]
    pub const fn defaults(self) -> Envoy {
        let (debounce_after, debounce_max, tries) = match self {
            Self::EnvoyGateway => (Duration::ZERO, Duration::ZERO, 1),
            Self::IstioGateway | Self::IstioSidecar => (Duration::from_millis(100), Duration::from_secs(10), 3),
        };
        Envoy { profile: self, debounce_after, debounce_max, tries, connect_timeout: Duration::from_secs(10) }
    }
}

/// How an Envoy follows the endpoints, and what it does about a pod that fails it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Envoy {
    /// What it is there for.
    pub profile: EnvoyProfile,
    /// Its control plane pushes when nothing has changed for so long (`PILOT_DEBOUNCE_AFTER`).
    pub debounce_after: Duration,
    /// Or so long after the first change (`PILOT_DEBOUNCE_MAX`).
    pub debounce_max: Duration,
    /// So many pods at most are asked for a connection: the retries, and one.
    pub tries: u32,
    /// How long it waits for a connection.
    pub connect_timeout: Duration,
}

/// What a load balancer sends to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Targets {
    /// The ready endpoints of the Service.
    Pods,
    /// A port on every node, behind which is kube-proxy.
    Nodes,
}

/// A load balancer by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BalancerProfile {
    /// AWS Application Load Balancer, target-type ip.
    AwsAlbIp,
    /// AWS Network Load Balancer, target-type ip.
    AwsNlbIp,
    /// Google Cloud, container-native: network endpoint groups.
    GcpNeg,
    /// AWS Application Load Balancer, target-type instance.
    AwsAlbInstance,
    /// AWS Network Load Balancer, target-type instance.
    AwsNlbInstance,
    /// Google Cloud, instance groups.
    GcpInstanceGroup,
    /// What a cloud provider's service controller makes of `type: LoadBalancer`.
    ServiceLoadBalancer,
}

/// A load balancer before the cluster.
#[derive(Clone, PartialEq, Debug)]
pub struct LoadBalancer {
    /// Which.
    pub profile: BalancerProfile,
    /// It is so many machines, each of which hears of changes by itself and checks the targets by itself.
    pub machines: u32,
    /// One reconciliation by the controller in the cluster, from the start to the answer of the provider's API.
    pub reconcile: Distribution,
    /// From that answer until a machine of the load balancer has a new target. Then the health checks begin.
    pub register: Distribution,
    /// From that answer until a machine of the load balancer sends no more to a target that has been taken out.
    pub deregister: Distribution,
    /// Requests that are open then may take so much longer before they are cut.
    pub deregistration_delay: Duration,
    /// How targets are checked.
    pub check: HealthCheck,
    /// How long it waits for a connection to a target, if it makes one of its own ([`BalancerProfile::is_proxy`]).
    pub connect_timeout: Duration,
}

/// How a machine of a load balancer finds out whether a target is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthCheck {
    /// From one check to the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// So many good answers in a row make an unhealthy target healthy. (For a new one, the first is enough.)
    pub healthy: u32,
    /// So many bad ones make a healthy target unhealthy.
    pub unhealthy: u32,
    /// What is asked on a node.
    pub asks: Checked,
}

/// What a health check asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Checked {
    /// The port that requests go to.
    TrafficPort,
    /// `/healthz` of the node's kube-proxy, which says no once the node is about to be deleted (KEP-3836, since 1.31).
    KubeProxy,
}

impl BalancerProfile {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AwsAlbIp,
        Self::AwsNlbIp,
        Self::GcpNeg,
        Self::AwsAlbInstance,
        Self::AwsNlbInstance,
        Self::GcpInstanceGroup,
        Self::ServiceLoadBalancer,
    ];

    /// The name in a scenario.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AwsAlbIp => "aws-alb-ip",
            Self::AwsNlbIp => "aws-nlb-ip",
            Self::GcpNeg => "gcp-neg",
            Self::AwsAlbInstance => "aws-alb-instance",
            Self::AwsNlbInstance => "aws-nlb-instance",
            Self::GcpInstanceGroup => "gcp-instance-group",
            Self::ServiceLoadBalancer => "service-load-balancer",
        }
    }

    /// What it sends to.
    #[must_use]
    pub const fn targets(self) -> Targets {
        match self {
            Self::AwsAlbIp | Self::AwsNlbIp | Self::GcpNeg => Targets::Pods,
            _ => Targets::Nodes,
        }
    }

    /// It ends the client's connection and makes one of its own, so that clients see its answers (502, 503, 504). The
    /// others pass packets on, and clients see what the target does.
    #[must_use]
    pub const fn is_proxy(self) -> bool {
        match self {
            Self::AwsAlbIp | Self::AwsAlbInstance | Self::GcpNeg | Self::GcpInstanceGroup => true,
            Self::AwsNlbIp | Self::AwsNlbInstance | Self::ServiceLoadBalancer => false,
        }
    }

    /// If no target is healthy, it sends to all of them.
    ///
    /// Source: AWS, "Health checks for Application" and "for Network Load Balancer target groups"; Google Cloud, "Troubleshoot
    /// issues with external Application Load Balancers" (an error of the proxy's own, `failed_to_pick_backend`). Assumption for the
    /// service controller's load balancer: GKE's does so, too.
    #[must_use]
    pub const fn fails_open(self) -> bool {
        !matches!(self, Self::GcpNeg | Self::GcpInstanceGroup)
    }

    /// The controller looks at all nodes so often, and at single ones only if they come, go, or get or lose the label that
    /// excludes them; `None`: it sees every change of a node.
    ///
    /// Source: `k8s.io/cloud-provider/controllers/service/controller.go` nodeSyncPeriod, shouldSyncUpdatedNode (June 2026).
    #[must_use]
    pub const fn node_sync_period(self) -> Option<Duration> {
        match self {
            Self::ServiceLoadBalancer => Some(Duration::from_secs(100)),
            _ => None,
        }
    }

    /// How nodes are checked that answer for a Service with `externalTrafficPolicy: Local`, on its health check port.
    ///
    /// Source: aws-load-balancer-controller, `pkg/service/model_builder.go` defaultHealthCheck…ForInstanceModeLocal (10 s, 6 s,
    /// 2, 2) (v3.5). Google Cloud's load balancers for such Services are others (`gceLocalHc…` in the source below) and are not here.
    #[must_use]
    pub fn check_of_local_service(self) -> HealthCheck {
        let check = self.defaults().check;
        match self {
            Self::AwsNlbInstance => HealthCheck { timeout: Duration::from_secs(6), healthy: 2, unhealthy: 2, ..check },
            _ => check,
        }
    }

    /// What is set if nobody says otherwise.
    ///
    /// Health checks and the deregistration delay are what the controllers and providers document. How long a provider
    /// takes to carry out a change is documented by nobody; the distributions are drawn through what users measured:
    ///
    /// - ALB: 5 s is not enough, 15 s is not, 25 s seems to be (aws-load-balancer-controller issue 1064, alphagov
    ///   govuk-helm-charts pull request 2202), errors after 40 s are very rare and after 70 s not found (issue 2106).
    /// - NLB: new connections for about two minutes, whatever the deregistration delay (issues 2366 and 3270,
    ///   aws/containers-roadmap issue 470); "it can take a few minutes" until a new target is used (AWS, health checks of
    ///   NLB target groups).
    /// - NEG: a preStop sleep of 40 s is in the example of Google Cloud's knowledge base ("502 503 errors on external HTTP(s)
    ///   load balancer"), one of 120 s in GKE's page on troubleshooting (quoted in ingress-gce issue 2222, whose author saw
    ///   502 for about a minute).
    ///
    /// Source: aws-load-balancer-controller, `pkg/ingress/model_builder.go` (15 s, 5 s, 2, 2), `pkg/service/model_builder.go`
    /// (10 s, 10 s, 3, 3) (v3.5); AWS, API reference, TargetGroupAttribute (deregistration_delay.timeout_seconds 300), and
    /// "Troubleshoot your Application Load Balancers" (10 s for a connection); ingress-gce, `pkg/translator/healthchecks.go`
    /// (instance groups 60 s, 60 s, 1, 10; NEG 15 s, 15 s, 1, 2), `pkg/backends/features/draining.go` EnsureDraining (connection
    /// draining only if a BackendConfig has it) (August 2026).
    ///
    /// Assumptions: that without it Google Cloud cuts at once, and that its proxies wait 10 s for a connection, as an ALB does.
    /// All of the service controller's load balancer: the numbers are nobody's. GKE checks each 8 s, for 1 s, 1, 3 (ingress-gce
    /// `pkg/l4/healthchecks/healthchecksl4.go`, August 2026), a Classic Load Balancer each 10 s, for 5 s, 2, 6
    /// (cloud-provider-aws `pkg/providers/v1/aws_loadbalancer.go`, July 2026); both can ask `/healthz` on port 10256.
    #[must_use]
    pub fn defaults(self) -> LoadBalancer {
        let seconds = Duration::from_secs;
        let spread = |p50, p99| Distribution::log_normal(p50, p99).expect("p50 < p99");
        let (register, deregister) = match self {
            Self::AwsAlbIp | Self::AwsAlbInstance => (spread(seconds(5), seconds(20)), spread(seconds(8), seconds(30))),
            Self::AwsNlbIp | Self::AwsNlbInstance => {
                (spread(seconds(60), seconds(180)), spread(seconds(100), seconds(140)))
            }
            Self::GcpNeg | Self::GcpInstanceGroup => {
                (spread(seconds(10), seconds(60)), spread(seconds(10), seconds(45)))
            }
            Self::ServiceLoadBalancer => (spread(seconds(5), seconds(30)), spread(seconds(5), seconds(30))),
        };
        let (interval, timeout, healthy, unhealthy) = match self {
            Self::AwsAlbIp | Self::AwsAlbInstance => (15, 5, 2, 2),
            Self::AwsNlbIp | Self::AwsNlbInstance => (10, 10, 3, 3),
            Self::GcpNeg => (15, 15, 1, 2),
            Self::GcpInstanceGroup => (60, 60, 1, 10),
            Self::ServiceLoadBalancer => (10, 5, 2, 3),
        };
        let asks = match self {
            Self::ServiceLoadBalancer => Checked::KubeProxy,
            _ => Checked::TrafficPort,
        };
        let delay = match self {
            Self::GcpNeg | Self::GcpInstanceGroup => 0,
            _ => 300,
        };
        LoadBalancer {
            profile: self,
            machines: 2,
            reconcile: spread(Duration::from_millis(700), seconds(5)),
            register,
            deregister,
            deregistration_delay: seconds(delay),
            check: HealthCheck { interval: seconds(interval), timeout: seconds(timeout), healthy, unhealthy, asks },
            connect_timeout: seconds(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_has_a_name_of_its_own_and_checks_that_can_end() {
        let mut names: Vec<_> = BalancerProfile::ALL.map(BalancerProfile::name).to_vec();
        names.extend(EnvoyProfile::ALL.map(EnvoyProfile::name));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 10);
        for profile in BalancerProfile::ALL {
            let LoadBalancer { check, machines, .. } = profile.defaults();
            assert!(machines > 0 && check.timeout <= check.interval && check.healthy > 0 && check.unhealthy > 0);
        }
    }
}
