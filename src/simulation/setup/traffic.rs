//! Streams of requests.

use crate::api::ServiceId;
use crate::engine::{Duration, Time};

use super::{Connections, LoadBalancer, Origin, Resolve, Retries, Via};

/// A stream of requests to one Service.
#[derive(Clone, PartialEq, Debug)]
pub struct Traffic {
    /// A name for reports and for keyed draws.
    pub name: String,
    /// Where the requests go.
    pub service: ServiceId,
    /// Requests per second, all clients together.
    pub rate: f64,
    /// How the requests are spaced.
    pub arrivals: Arrivals,
    /// The nodes that the clients sit on, one client each, with equal shares of the rate.
    pub from: Vec<String>,
    /// What the clients do about connections.
    pub connections: Connections,
    /// Where these come from.
    pub origin: Origin,
    /// A load balancer that the requests come through first; its clients are outside of the cluster, and `from` then names
    /// the nodes of in-cluster proxies behind it, if there are any.
    pub balancer: Option<LoadBalancer>,
    /// How the clients find the pods.
    pub resolve: Resolve,
    /// Who chooses the pod.
    pub via: Via,
    /// The pods of `service` are proxies that send the requests on: what each of them does as a client of the pods behind
    /// it, whose Service is the one that is asked for. Of this stream only `service`, `via`, `connections`, `timeout` and
    /// `retries` count.
    pub onward: Option<Box<Traffic>>,
    /// A request that has not been answered after this time has failed: connecting and answering together.
    pub timeout: Duration,
    /// A connection that has not been made after this time is given up; `None`: only with the request.
    pub connect_timeout: Option<Duration>,
    /// What the clients do about a request that fails.
    pub retries: Retries,
    /// The first request comes after this time.
    pub start: Time,
    /// No request is sent from this time on; `None`: to the end of the run.
    pub stop: Option<Time>,
}

impl Traffic {
    /// Requests to the Service as clients on these nodes send them who do nothing special: at random times, each on a new
    /// connection, through kube-proxy, from the start to the end of the run, once, with 10 s for the answer.
    #[must_use]
    pub fn plain(name: &str, service: ServiceId, rate: f64, from: Vec<String>) -> Self {
        Self {
            name: name.to_string(),
            service,
            rate,
            arrivals: Arrivals::Poisson,
            from,
            connections: Connections::New,
            origin: Origin::default(),
            balancer: None,
            resolve: Resolve::Address,
            via: Via::KubeProxy,
            onward: None,
            timeout: Self::TIMEOUT,
            connect_timeout: None,
            retries: Retries::default(),
            start: Time::ZERO,
            stop: None,
        }
    }

    /// What the pods of a gateway do that send requests on to a Service by way of `via`.
    #[must_use]
    pub fn onward(name: &str, service: ServiceId, via: Via) -> Self {
        let (connections, timeout) = via.upstream();
        Self { via, connections, timeout, ..Self::plain(name, service, 0.0, Vec::new()) }
    }

    /// How long clients wait for an answer where nothing else is said, an assumption.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// The stretches of the way from one process to the next: one, or two if pods of a gateway send the requests on.
    pub fn legs(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |leg| leg.onward.as_deref())
    }

    /// The last of the [legs](Self::legs), which leads to the Service that is asked for.
    #[must_use]
    pub fn last_leg(&self) -> &Self {
        self.onward.as_deref().map_or(self, Self::last_leg)
    }

    /// The same, to change.
    pub fn last_leg_mut(&mut self) -> &mut Self {
        match self.onward {
            Some(ref mut onward) => onward.last_leg_mut(),
            None => self,
        }
    }

    /// The names of the hops, in the order in which a request takes them: `aws-nlb-instance, kube-proxy`.
    #[must_use]
    pub fn path(&self) -> String {
        let chooses = match self.via {
            Via::KubeProxy => Some("kube-proxy"),
            Via::IngressNginx(_) => Some("ingress-nginx"),
            Via::Envoy(envoy) => Some(envoy.profile.name()),
            Via::Balancer => None,
        };
        let balancer = self.balancer.as_ref().map(|balancer| balancer.profile.name());
        let onward = self.onward.as_ref().map(|onward| onward.path());
        let names = balancer.into_iter().chain(chooses).map(str::to_string).chain(onward);
        names.collect::<Vec<_>>().join(", ")
    }
}

/// How requests are spaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrivals {
    /// Independently: exponential gaps.
    Poisson,
    /// Evenly, each client with a phase of its own.
    Constant,
}
