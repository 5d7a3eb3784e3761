//! Who stands between a client and kube-proxy or a pod: machines that know at a time what they have heard by then.
//!
//! Each is told what happens in the cluster (endpoints were written, a pod listens or does not, a node changes) and works out
//! what that means for it when somebody asks. What it answers for a time depends on the seed and on what it was told of
//! the time before, not on who asks or when.
//!
//! - `health_check`: when a target counts as healthy.
//! - `balancer`: a load balancer before the cluster, with pods or nodes as targets.
//! - `envoy`: Envoys that get their endpoints by xDS.
//! - `nodes`: which nodes are fit to be targets, and what they answer.

pub(super) mod balancer;
pub(super) mod envoy;
pub(super) mod health_check;
mod nodes;

use crate::api::{Node, NodeId, PodId, ServiceId};
use crate::engine::{Duration, Key, Random, Time};
use crate::simulation::latency::Hop;
use crate::simulation::network::clients::pick;
use crate::simulation::network::ingress::Ingresses;
use crate::simulation::network::kube_proxy::{KubeProxies, Spell, Sync};
use crate::simulation::network::rules::Route;
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::Router;
use crate::simulation::setup::{Setup, Targets, Traffic, Via};

pub(super) use balancer::{Cut, Target};

use balancer::{Balancer, Notice};
use envoy::Envoys;
use health_check::Answer;
use nodes::Nodes;

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Routers<'a> {
    setup: &'a Setup,
    ingresses: Ingresses<'a>,
    /// One for each setting of Envoys.
    envoys: Vec<Envoys<'a>>,
    /// By traffic stream.
    balancers: Vec<Option<Balancer<'a>>>,
    /// By traffic stream: up to when the health check ports of nodes have been asked, and how many syncs of each node's
    /// kube-proxy that took.
    asked: Vec<(Time, Vec<usize>)>,
    nodes: Nodes,
}

/// Where a new connection goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Way {
    /// The pod, or why there is none.
    pub goes: Goes,
    /// The machine of a load balancer that sends it there.
    pub machine: Option<u32>,
    /// The node through which it passes, if that is not the client's.
    pub transit: Option<NodeId>,
}

impl Way {
    /// Straight to a pod.
    pub const fn to(pod: PodId) -> Self {
        Self { goes: Goes::To(pod), machine: None, transit: None }
    }
}

/// The end of a way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goes {
    /// To this pod.
    To(PodId),
    /// Nowhere, and the client knows at once.
    Reject(CauseId),
    /// Nowhere, in silence.
    Drop(CauseId),
}

impl<'a> Routers<'a> {
    pub fn new(setup: &'a Setup, random: Random) -> Self {
        let mut envoys: Vec<Envoys<'a>> = Vec::new();
        for traffic in &setup.traffic {
            if let Via::Envoy(config) = traffic.via
                && envoys.iter().all(|known| known.config() != config)
            {
                envoys.push(Envoys::new(setup, config, random));
            }
        }
        let balancer = |traffic: &'a Traffic| {
            let service = &setup.services.get(traffic.service.index())?;
            let name = format!("{}/{}", service.namespace, service.name);
            traffic.balancer.as_ref().map(|b| Balancer::new(b, setup.latencies.get(Hop::Watch), random, &name))
        };
        Self {
            setup,
            ingresses: Ingresses::new(setup, random),
            envoys,
            balancers: setup.traffic.iter().map(balancer).collect(),
            asked: vec![(Time::ZERO, Vec::new()); setup.traffic.len()],
            nodes: Nodes::new(random),
        }
    }

    /// A node joins, and with it what the scenario has there; all that was written up to now is known to it.
    pub fn add_node(&mut self, now: Time, node: NodeId, name: &str, proxies: &KubeProxies<'_>) {
        self.ingresses.add_node(now, node, name, proxies.log());
        for envoys in &mut self.envoys {
            envoys.add_node(now, node, name, proxies.log());
        }
        self.nodes.runs(node, true);
        self.ask_node(now, node);
    }

    /// A node loses power.
    pub fn node_off(&mut self, now: Time, node: NodeId, proxies: &KubeProxies<'_>) {
        self.ingresses.node_off(now, node, proxies.log());
        for envoys in &mut self.envoys {
            envoys.node_off(now, node, proxies.log());
        }
        self.nodes.runs(node, false);
        self.ask_node(now, node);
    }

    /// A node has its power back.
    pub fn node_on(&mut self, now: Time, node: NodeId) {
        self.nodes.runs(node, true);
        self.ask_node(now, node);
    }

    /// A node can be reached from outside, or not.
    pub fn node_reachable(&mut self, now: Time, node: NodeId, reachable: bool) {
        self.nodes.reachable(node, reachable);
        self.ask_node(now, node);
    }

    /// A watch has delivered a Node object; `None`: deleted. Controllers of load balancers and kube-proxies see it now.
    pub fn node_seen(&mut self, now: Time, id: NodeId, node: Option<&Node>) {
        let change = self.nodes.written(id, node);
        let Self { setup, balancers, nodes, .. } = self;
        for (traffic, balancer) in setup.traffic.iter().zip(balancers) {
            let Some((config, balancer)) = traffic.balancer.as_ref().zip(balancer.as_mut()) else { continue };
            if aims_at(traffic) == Some(Targets::Nodes) {
                let fits = |name: &str| traffic.from.is_empty() || traffic.from.iter().any(|from| from == name);
                let notice = nodes.noticed(now, config.profile, change).map_or(Notice::Delivered, Notice::Later);
                balancer.should_have(now, nodes.fit(config.profile, fits), notice);
            }
        }
        self.ask_node(now, id);
    }

    /// The EndpointSlices of a Service have been written.
    pub fn endpoints_written(&mut self, now: Time, service: ServiceId, proxies: &KubeProxies<'_>) {
        let rules = proxies.rules(service);
        for (traffic, balancer) in self.setup.traffic.iter().zip(&mut self.balancers) {
            if let Some(balancer) = balancer
                && traffic.service == service
                && aims_at(traffic) == Some(Targets::Pods)
            {
                let pods = match rules.route_ready(rules.version_within(u32::MAX)).0 {
                    Route::Pods(pods) => pods,
                    Route::Reject | Route::Drop => &[],
                };
                balancer.should_have(now, pods.iter().map(|pod| Target::Pod(*pod)).collect(), Notice::Committed);
            }
        }
    }

    /// A pod answers health checks like this from now on.
    pub fn pod_answers(&mut self, now: Time, pod: PodId, answer: Answer) {
        for (traffic, balancer) in self.setup.traffic.iter().zip(&mut self.balancers) {
            if let Some(balancer) = balancer
                && aims_at(traffic) == Some(Targets::Pods)
            {
                balancer.answers(now, Target::Pod(pod), answer);
            }
        }
    }

    /// Where a new connection of a stream's client goes at `now`; all that happens before `to` is known. `choice` decides
    /// among equals, uniformly; `tried` pods have been asked in vain by a proxy that then takes the next one.
    pub fn route(
        &mut self,
        (now, to): (Time, Time),
        stream: usize,
        client: NodeId,
        (choice, tried): (u64, u32),
        proxies: &mut KubeProxies<'_>,
    ) -> Way {
        let traffic = &self.setup.traffic[stream];
        let (mut node, mut machine, mut transit) = (client, None, None);
        let mut choice = choice;
        self.ask_ports(stream, to, proxies);
        if let Some(balancer) = &mut self.balancers[stream] {
            let (target, number) = balancer.at(now, choice);
            machine = Some(number);
            match target {
                None => return Way { goes: Goes::Reject(CauseId::default()), machine, transit },
                Some(Target::Pod(pod)) => return Way { goes: Goes::To(pod), machine, transit },
                Some(Target::Node(target)) if !self.nodes.answers(target) => {
                    let goes = Goes::Drop(self.nodes.cause(target));
                    return Way { goes, machine, transit: Some(target) };
                }
                Some(Target::Node(target)) => (node, transit) = (target, Some(target)),
            }
            choice = Key::new("behindTheBalancer").number(choice).bits();
        }
        let service = traffic.service;
        let known = |syncs: &[Sync]| syncs[..syncs.partition_point(|s| s.applied <= now)].last().map(|s| s.entries);
        let (route, cause) = match traffic.via {
            Via::IngressNginx(_) => {
                self.ingresses.fold(node, to, proxies.log());
                let entries = known(self.ingresses.syncs(node)).unwrap_or(0);
                proxies.route_ready(service, proxies.version(service, entries))
            }
            Via::Envoy(config) => {
                let envoys = self.envoys.iter_mut().find(|envoys| envoys.config() == config);
                let entries = envoys.and_then(|envoys| {
                    envoys.fold(node, to, proxies.log());
                    known(envoys.syncs(node))
                });
                proxies.route_ready(service, proxies.version(service, entries.unwrap_or(0)))
            }
            Via::KubeProxy | Via::Balancer => {
                proxies.fold(node, to);
                let entries = known(proxies.syncs(node)).unwrap_or(0);
                let version = proxies.version(service, entries);
                match transit {
                    Some(_) => proxies.route_external(service, version, node),
                    None => proxies.route(service, version, node),
                }
            }
        };
        let goes = match route {
            Route::Pods(pods) => Goes::To(nth_choice(pods, choice, tried)),
            Route::Reject => Goes::Reject(cause),
            Route::Drop => Goes::Drop(cause),
        };
        Way { goes, machine, transit }
    }

    /// When the load balancer of a stream will hear of a change, as far as is known.
    pub fn next_reconciliation(&self, stream: usize) -> Option<Time> {
        self.balancers[stream].as_ref()?.next_reconciliation()
    }

    /// Lets the load balancer of a stream hear of all that it can by `now`. Returns when it will cut what.
    pub fn reconcile(&mut self, stream: usize, now: Time) -> Vec<Cut> {
        self.balancers[stream].as_mut().map_or_else(Vec::new, |balancer| {
            balancer.fold(now + Duration::from_nanos(1));
            balancer.take_cuts()
        })
    }

    /// What made a node fail.
    pub fn failure_of(&self, node: NodeId) -> CauseId {
        self.nodes.cause(node)
    }

    /// This makes a node fail its connections.
    pub fn node_failed(&mut self, node: NodeId, cause: CauseId) {
        self.nodes.failed(node, cause);
    }

    /// Works out what happens up to `end`, both included, and forgets what would come after it.
    pub fn finish(&mut self, end: Time, proxies: &KubeProxies<'_>) {
        self.ingresses.finish(end, proxies.log());
        for envoys in &mut self.envoys {
            envoys.finish(end, proxies.log());
        }
        for balancer in self.balancers.iter_mut().flatten() {
            balancer.fold(end);
        }
    }

    /// The last stretch of time, begun by `begun`, in which a stream's router (the one on `node`, if it has several) sent
    /// new connections to a pod. `None` for kube-proxy, which is asked itself.
    pub fn last_spell(
        &self,
        stream: usize,
        pod: PodId,
        node: NodeId,
        begun: Time,
        proxies: &KubeProxies<'_>,
    ) -> Option<Spell> {
        let traffic = &self.setup.traffic[stream];
        let rules = proxies.rules(traffic.service);
        match traffic.via {
            Via::KubeProxy => None,
            Via::IngressNginx(_) => self.ingresses.last_spell(rules, pod, node, begun),
            Via::Envoy(config) => {
                let envoys = self.envoys.iter().find(|envoys| envoys.config() == config)?;
                envoys.last_spell(rules, pod, node, begun)
            }
            Via::Balancer => self.balancers[stream].as_ref()?.last_spell(Target::Pod(pod), begun),
        }
    }

    /// For each router other than a kube-proxy that sent to a pod of a stream's Service: which it is, where, and its last
    /// stretch of time.
    pub fn last_spells(&self, stream: usize, pod: PodId, proxies: &KubeProxies<'_>) -> Vec<(Router, NodeId, Spell)> {
        let traffic = &self.setup.traffic[stream];
        let nodes: Vec<NodeId> = match traffic.via {
            Via::KubeProxy => Vec::new(),
            Via::IngressNginx(_) => self.ingresses.nodes().collect(),
            Via::Envoy(config) => {
                let envoys = self.envoys.iter().filter(|envoys| envoys.config() == config);
                envoys.flat_map(|envoys| envoys.nodes().collect::<Vec<_>>()).collect()
            }
            Via::Balancer => vec![NodeId::OUTSIDE],
        };
        let spell = |node| Some((Router::of(traffic), node, self.last_spell(stream, pod, node, Time::MAX, proxies)?));
        nodes.into_iter().filter_map(spell).collect()
    }

    /// Under `externalTrafficPolicy: Local` a load balancer asks each node whether a ready pod is there: what kube-proxy says
    /// follows its rules.
    ///
    /// Source: `pkg/proxy/healthcheck/service_health.go` (v1.36).
    fn ask_ports(&mut self, stream: usize, to: Time, proxies: &mut KubeProxies<'_>) {
        let traffic = &self.setup.traffic[stream];
        let Some(balancer) = &mut self.balancers[stream] else { return };
        let service = &self.setup.services[traffic.service.index()];
        let (until, taken) = &mut self.asked[stream];
        if *until >= to || !service.has_health_check_node_port() || traffic.via != Via::KubeProxy {
            return;
        }
        *until = to;
        taken.resize(self.nodes.len(), 0);
        for (node, taken) in (0..).map(NodeId).zip(taken) {
            proxies.fold(node, to);
            let rules = proxies.rules(traffic.service);
            let syncs = proxies.syncs(node);
            while let Some(sync) = syncs.get(*taken).filter(|sync| sync.applied < to) {
                let ready = rules.local_ready(rules.version_within(sync.entries), node);
                let answer = if ready > 0 { Answer::Good } else { Answer::Bad };
                balancer.port_says(sync.applied, Target::Node(node), answer);
                *taken += 1;
            }
        }
    }

    /// The load balancers ask a node how it is.
    fn ask_node(&mut self, now: Time, node: NodeId) {
        let Self { setup, balancers, nodes, .. } = self;
        for (traffic, balancer) in setup.traffic.iter().zip(balancers) {
            if let Some((config, balancer)) = traffic.balancer.as_ref().zip(balancer.as_mut()) {
                balancer.answers(now, Target::Node(node), nodes.answer(node, config.check.asks));
            }
        }
    }
}

/// What the load balancer of a stream sends to: nodes also if proxies in the cluster come next, which live on them.
fn aims_at(traffic: &Traffic) -> Option<Targets> {
    let balancer = traffic.balancer.as_ref()?;
    Some(if traffic.via == Via::Balancer { balancer.profile.targets() } else { Targets::Nodes })
}

/// The pod that is asked after `tried` others: the first by chance, then in turn.
pub(super) fn nth_choice(pods: &[PodId], choice: u64, tried: u32) -> PodId {
    let first = pods.partition_point(|pod| *pod < pick(pods, choice));
    pods[(first + tried as usize) % pods.len()]
}
