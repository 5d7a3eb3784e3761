//! What a run has to tell: the input of every report.

use std::collections::BTreeMap;

use crate::api::{NodeId, PodId, ServiceId, Store};
use crate::engine::{Duration, Time};
use crate::simulation::end_state::EndState;
pub use crate::simulation::network::Phases;
use crate::simulation::observe::{CauseId, PodTimes, Trace};
use crate::simulation::outage::Outage;
use crate::simulation::setup::{BalancerProfile, EnvoyProfile, Resolve, Traffic, Via};

/// The result of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The end of the run.
    pub end: Time,
    /// The digest of everything that happened.
    pub digest: String,
    /// How many events were handled.
    pub events: u64,
    /// Requests of all clients.
    pub requests: Requests,
    /// By Service, in the order of the Setup.
    pub services: Vec<ServiceOutcome>,
    /// One entry a node and `kubectl drain`, in order of start.
    pub drains: Vec<DrainOutcome>,
    /// All pods that there ever were, in order of creation.
    pub pods: Vec<PodOutcome>,
    /// Budgets, in the order of the Setup.
    pub pdbs: Vec<PdbOutcome>,
    /// Deployments, in the order of the Setup.
    pub deployments: Vec<DeploymentOutcome>,
    /// Failed requests in order of time (then client); at most [`FAILURES_KEPT`] of them, the first ones.
    pub failures: Vec<Failure>,
    /// Names of nodes, by [`NodeId`].
    pub node_names: Vec<String>,
    /// Names of ReplicaSets, by [`ReplicaSetId`](crate::api::ReplicaSetId).
    pub replica_set_names: Vec<String>,
    /// The clients' traffic streams, in the order of the setup.
    pub traffic: Vec<TrafficOutcome>,
    /// The causal trace; empty if it was off.
    pub trace: Trace,
    /// Every version of every object; `None` if the trace was off.
    pub history: Option<Store>,
    /// What the run itself found worth a warning.
    pub warnings: Vec<String>,
    /// Where everything stood at the end, if a drain was still going on.
    pub end_state: Option<Box<EndState>>,
}

impl Outcome {
    /// How many requests of all streams together were expected to fail, given all that happened to pods and routes: the
    /// conditional mean of their number. Its mean over many seeds is that of the number, and it varies less. `None` if
    /// that is not known of every stream, or there is none.
    #[must_use]
    pub fn expected_failed(&self) -> Option<f64> {
        if self.traffic.is_empty() {
            return None;
        }
        self.traffic.iter().map(TrafficOutcome::expected_failed).sum()
    }
}

/// So many failed requests are kept one by one; all are counted.
pub const FAILURES_KEPT: usize = 10_000;

/// Requests by how they ended. `sent = ok + ok_after_retry + failed + unfinished`, always.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Requests {
    /// All that were sent.
    pub sent: u64,
    /// Answered.
    pub ok: u64,
    /// Answered, but only after a retry.
    pub ok_after_retry: u64,
    /// Failed, by kind.
    pub failed_by: BTreeMap<FailureKind, u64>,
    /// Neither, when the run ended.
    pub unfinished: u64,
}

impl Requests {
    /// All that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed_by.values().sum()
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.ok_after_retry += other.ok_after_retry;
        self.unfinished += other.unfinished;
        for (kind, count) in &other.failed_by {
            *self.failed_by.entry(*kind).or_default() += count;
        }
    }
}

/// What chooses a pod for a new connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Router {
    /// The kube-proxy of a node.
    #[default]
    KubeProxy,
    /// A replica of an ingress controller.
    Ingress,
    /// An Envoy.
    Envoy(EnvoyProfile),
    /// A load balancer whose targets are pods.
    Balancer(BalancerProfile),
    /// A client that has looked the pods up.
    Dns,
}

impl Router {
    /// The name that its profile has in a scenario: `kube-proxy`, `ingress-nginx`, …
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KubeProxy => "kube-proxy",
            Self::Ingress => "ingress-nginx",
            Self::Envoy(profile) => profile.name(),
            Self::Balancer(profile) => profile.name(),
            Self::Dns => "dns",
        }
    }
}

impl Router {
    /// Who chooses the pods of a stream.
    #[must_use]
    pub fn of(traffic: &Traffic) -> Self {
        if traffic.resolve != Resolve::Address {
            return Self::Dns;
        }
        match (traffic.via, &traffic.balancer) {
            (Via::IngressNginx(_), _) => Self::Ingress,
            (Via::Envoy(envoy), _) => Self::Envoy(envoy.profile),
            (Via::Balancer, Some(balancer)) => Self::Balancer(balancer.profile),
            (Via::KubeProxy | Via::Balancer, _) => Self::KubeProxy,
        }
    }
}

/// What a client sees of a failed request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FailureKind {
    /// Connection refused: the pod's network is there, its listener is not.
    Refused,
    /// The connection was cut while the request was worked on.
    ResetInFlight,
    /// The request was sent on an idle connection just as the server closed it.
    ResetIdle,
    /// The Service has no endpoint: rejected by the client's own node.
    NoEndpoints,
    /// The connection could not be made within the timeout: packets go nowhere.
    ConnectTimeout,
    /// No answer within the timeout.
    RequestTimeout,
    /// A proxy in between got no proper answer.
    Http502,
    /// A proxy in between has nobody to ask.
    Http503,
    /// A proxy in between waited too long.
    Http504,
}

impl FailureKind {
    /// All kinds, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::ResetInFlight,
        Self::ResetIdle,
        Self::NoEndpoints,
        Self::ConnectTimeout,
        Self::RequestTimeout,
        Self::Http502,
        Self::Http503,
        Self::Http504,
    ];

    /// The name in results: `refused`, `resetInFlight`, …
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ResetInFlight => "resetInFlight",
            Self::ResetIdle => "resetIdle",
            Self::NoEndpoints => "noEndpoints",
            Self::ConnectTimeout => "connectTimeout",
            Self::RequestTimeout => "requestTimeout",
            Self::Http502 => "http502",
            Self::Http503 => "http503",
            Self::Http504 => "http504",
        }
    }
}

/// One traffic stream's share.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TrafficOutcome {
    /// Its name.
    pub name: String,
    /// Its requests.
    pub requests: Requests,
    /// How long its answers took; empty if its requests are independent of each other, each with its own service time.
    pub latencies: Phases,
    /// How many of them were expected to fail, by kind, given all that happened to pods and routes; `None`: they depend on
    /// each other, so that nobody knows.
    pub expected_failures: Option<BTreeMap<FailureKind, f64>>,
    /// How many of its failed requests a gateway's pod had sent on, so that it was a pod behind the gateway that failed them,
    /// or there was none; `None`: there is no gateway.
    pub failed_behind: Option<u64>,
    /// They were counted in bulk: the numbers of its [failures](Failure::number) count those of a client that were kept.
    pub in_bulk: bool,
}

impl TrafficOutcome {
    /// How many of its requests were expected to fail, if that is known.
    #[must_use]
    pub fn expected_failed(&self) -> Option<f64> {
        // Of nothing `sum` would make −0.
        self.expected_failures.as_ref().map(|kinds| kinds.values().fold(0.0, |sum, mean| sum + mean))
    }
}

/// One Service's share.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceOutcome {
    /// Which.
    pub id: ServiceId,
    /// `namespace/name`.
    pub name: String,
    /// Requests to it.
    pub requests: Requests,
    /// The fewest ready endpoints that its EndpointSlices ever listed.
    pub min_ready_endpoints: u32,
    /// How long its EndpointSlices listed no ready endpoint.
    pub zero_endpoints: Duration,
    /// Each change of the number of ready endpoints.
    pub ready_endpoints: Vec<(Time, u32)>,
    /// The times without a ready endpoint, and what they were made of.
    pub outages: Vec<Outage>,
}

/// One node's share of a `kubectl drain`.
#[derive(Clone, PartialEq, Debug)]
pub struct DrainOutcome {
    /// Which process: index in order of start.
    pub kubectl: u32,
    /// The scenario's action that started it.
    pub action: u32,
    /// The node's name.
    pub node: String,
    /// When the process came to this node (cordoning excepted: that is done for all nodes first).
    pub started_at: Time,
    /// When the node was drained; `None` if it was not, or not by the end of the run.
    pub completed_at: Option<Time>,
    /// When the process gave the node up or ended; `None`: it was still running.
    pub ended_at: Option<Time>,
    /// The process's exit code; `None`: it was still running.
    pub exit_code: Option<i32>,
    /// Evictions (or deletes) that were accepted.
    pub evictions_granted: u64,
    /// Evictions that were refused with 429.
    pub evictions_denied: u64,
    /// What kubectl printed about this node, line by line.
    pub messages: Vec<(Time, String)>,
}

/// One pod's life.
#[derive(Clone, PartialEq, Debug)]
pub struct PodOutcome {
    /// Which.
    pub id: PodId,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Its node, if it was bound.
    pub node: Option<String>,
    /// Its Services.
    pub services: Vec<ServiceId>,
    /// How often its containers have been restarted during the run, as its last status has it.
    pub restarts: u32,
    /// Its object is there at the end of the run.
    pub exists: bool,
    /// All its containers have ended well.
    pub succeeded: bool,
    /// How long a Job's pod had run when it was deleted or failed: work that its successor does again.
    pub lost_work: Duration,
    /// The names of its containers, in the order of the notes' numbers: init containers last.
    pub containers: Vec<String>,
    /// When it was created; pods of the steady state at 0.
    pub created_at: Time,
    /// The instants.
    pub times: PodTimes,
    /// listener closed − last route clean: positive if the routes were gone before the listener; `None` if one of the two
    /// did not happen. Nanoseconds.
    pub slack_nanos: Option<i64>,
    /// The preStop hook of the container that serves begins with a sleep, so that a longer one keeps the listener open for
    /// longer; false without a hook.
    pub sleeps_first: bool,
    /// Why the scheduler had found no node for it when the run ended, in its words; empty if it had, or had not tried.
    pub unschedulable: String,
}

/// One budget.
#[derive(Clone, PartialEq, Debug)]
pub struct PdbOutcome {
    /// `namespace/name`.
    pub name: String,
    /// How many pods it selects at the start.
    pub pods: u32,
    /// Evictions that it refused.
    pub denials: u64,
    /// Evictions that it admitted.
    pub admitted: u64,
    /// `status.desiredHealthy` at the start.
    pub desired_healthy: u32,
    /// The fewest healthy pods that its status ever named.
    pub min_current_healthy: u32,
    /// Each change of its status: (time, disruptionsAllowed, currentHealthy, desiredHealthy).
    pub history: Vec<(Time, u32, u32, u32)>,
}

/// One Deployment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeploymentOutcome {
    /// `namespace/name`.
    pub name: String,
    /// Each change of the number of its pods that are Ready and not being deleted, from 0s on.
    pub ready_pods: Vec<(Time, u32)>,
}

/// One failed request, and why it failed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Failure {
    /// When it was sent.
    pub sent_at: Time,
    /// When the client knew.
    pub failed_at: Time,
    /// What the client saw.
    pub kind: FailureKind,
    /// Which traffic stream: index into `Setup::traffic`.
    pub traffic: u32,
    /// The client's node.
    pub client_node: NodeId,
    /// The number of the request at its client, from 0. Of a stream that is counted in bulk: its number among those of the
    /// client that were kept.
    pub number: u64,
    /// Which Service: the one of a gateway if it had come no further.
    pub service: ServiceId,
    /// The pod that failed it; `None` if there was none.
    pub pod: Option<PodId>,
    /// The pod of a gateway that had sent it on, if one had: then it was not the gateway that failed it.
    pub gateway: Option<PodId>,
    /// What the pod that failed it was doing.
    pub pod_phase: PodActivity,
    /// Since when the client's router should have known better: the EndpointSlice write that made the pod not ready;
    /// `None`: there was none before the request, or no router is to blame.
    pub endpoint_not_ready_at: Option<Time>,
    /// When the client's own router stopped sending new connections there; `None`: not by the end of the run.
    pub route_clean_at: Option<Time>,
    /// What happened to the pod that made the request fail, for the chain of causes.
    pub cause: CauseId,
}

/// What a pod was doing when a request to it failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PodActivity {
    /// No pod was involved.
    NoPod,
    /// Its process did not listen yet.
    Starting,
    /// It served, and was cut off later.
    Serving,
    /// It was in its preStop hook.
    PreStop,
    /// It had got the stop signal and was winding down, the listener closed.
    Draining,
    /// Its process had ended, its network was still there.
    Exited,
    /// Its network was gone.
    NetworkGone,
    /// Its node was off.
    NodeOff,
    /// Its process accepted connections and answered nothing.
    Hanging,
    /// Its node and the client's could not reach each other.
    CutOff,
    /// Its proxy accepted requests; the container behind that took none, or ended.
    Unattended,
}
