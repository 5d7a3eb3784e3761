//! Who stands between a client and kube-proxy or a pod: machines that know at a time what they have heard by then.
//!
//! Each is told what happens in the cluster (endpoints were written, a pod listens or does not, a node changes) and works out
//! what that means for it when somebody asks. What it answers for a time depends on the seed and on what it was told of
//! the time before, not on who asks or when.
//!
//! - `health_check`: when a target counts as healthy.
//! - `balancer`: a load balancer before the cluster, with pods or nodes as targets.
//! - `gates`: the readiness gates that a load balancer's controller writes.
//! - `envoy`: Envoys that get their endpoints by xDS.
//! - `nodes`: which nodes are fit to be targets, and what they answer.

pub(super) mod balancer;
pub(super) mod envoy;
mod gates;
pub(super) mod health_check;
mod nodes;

use std::collections::BTreeMap;

use crate::api::{Endpoint, Node, NodeId, PodId, ServiceId};
use crate::engine::{Duration, Key, Random, Time};
use crate::simulation::latency::Hop;
use crate::simulation::network::clients::pick;
use crate::simulation::network::ingress::Ingresses;
use crate::simulation::network::kube_proxy::{KubeProxies, Spell, Sync};
use crate::simulation::network::rules::{Route, ServiceRules};
use crate::simulation::network::seat::Seat;
use crate::simulation::observe::CauseId;
use crate::simulation::setup::{BalancerProfile, Setup, Targets, Traffic, Via};

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
    /// The processes that listen in pods of gateways.
    gateways: BTreeMap<PodId, Seat>,
    /// One for each setting of Envoys.
    envoys: Vec<Envoys<'a>>,
    /// By traffic stream.
    balancers: Vec<Option<Balancer<'a>>>,
    /// By traffic stream: up to when the health check ports of nodes have been asked, and how many syncs of each node's
    /// kube-proxy that took.
    asked: Vec<(Time, Vec<usize>)>,
    nodes: Nodes,
    /// Pods with a readiness gate that a controller of a load balancer sets: whether they may be targets before they are Ready.
    gated: BTreeMap<PodId, bool>,
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
        for traffic in setup.traffic.iter().flat_map(Traffic::legs) {
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
            gateways: BTreeMap::new(),
            envoys,
            balancers: setup.traffic.iter().map(balancer).collect(),
            asked: vec![(Time::ZERO, Vec::new()); setup.traffic.len()],
            nodes: Nodes::new(random),
            gated: BTreeMap::new(),
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
        self.end(now, Seat::Node(node), proxies);
        self.nodes.runs(node, false);
        self.ask_node(now, node);
    }

    fn end(&mut self, now: Time, seat: Seat, proxies: &KubeProxies<'_>) {
        self.ingresses.end(now, seat, proxies.log());
        for envoys in &mut self.envoys {
            envoys.end(now, seat, proxies.log());
        }
    }

    /// A process begins to listen in a pod of these Services. If it is a gateway's, it knows all that was written up to now.
    pub fn pod_listens(&mut self, now: Time, pod: PodId, services: &[ServiceId], proxies: &KubeProxies<'_>) {
        let mine = self.setup.traffic.iter().filter(|t| services.contains(&t.service));
        let (seat, luck) = (Seat::Pod(pod, now), Seat::luck_of(pod));
        for onward in mine.filter_map(|t| t.onward.as_deref()) {
            match onward.via {
                Via::IngressNginx(config) => self.ingresses.start(now, seat, luck, config, proxies.log()),
                Via::Envoy(config) => {
                    for envoys in self.envoys.iter_mut().filter(|envoys| envoys.config() == config) {
                        envoys.start(now, seat, luck, proxies.log());
                    }
                }
                Via::KubeProxy | Via::Balancer => continue,
            }
            self.gateways.insert(pod, seat);
        }
    }

    /// The process in a pod has ended.
    pub fn pod_ends(&mut self, now: Time, pod: PodId, proxies: &KubeProxies<'_>) {
        if let Some(seat) = self.gateways.remove(&pod) {
            self.end(now, seat, proxies);
        }
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
        for stream in 0..self.balancers.len() {
            if self.setup.traffic[stream].service == service {
                self.endpoints_changed(now, stream, rules);
            }
        }
    }

    /// A pod with a readiness gate that the controller of this stream's load balancer sets was written: whether it may be a
    /// target as far as its own status says, and whether the gate's condition is True.
    pub fn gated_pod(
        &mut self,
        now: Time,
        stream: usize,
        (pod, containers_ready, is_true): (PodId, bool, bool),
        proxies: &KubeProxies<'_>,
    ) {
        self.gated.insert(pod, containers_ready);
        if let Some(balancer) = &mut self.balancers[stream] {
            balancer.gated(pod, is_true);
        }
        if now > Time::ZERO {
            self.endpoints_changed(now, stream, proxies.rules(self.setup.traffic[stream].service));
        }
    }

    fn endpoints_changed(&mut self, now: Time, stream: usize, rules: &ServiceRules) {
        let Self { setup, balancers, gated, .. } = self;
        let traffic = &setup.traffic[stream];
        let Some((config, balancer)) = traffic.balancer.as_ref().zip(balancers[stream].as_mut()) else { return };
        if aims_at(traffic) == Some(Targets::Pods) {
            let endpoints = rules.newest().list.iter().filter(|endpoint| is_target(config.profile, endpoint, gated));
            balancer.should_have(now, endpoints.map(|e| Target::Pod(e.pod)).collect(), Notice::Committed);
        }
    }

    /// When the controller of a stream's load balancer will have read about the health of targets, as far as is known.
    pub fn next_health(&self, stream: usize) -> Option<Time> {
        self.balancers[stream].as_ref()?.next_health()
    }

    /// What the controller of a stream's load balancer makes, by `now`, of the gates of pods: which are to be True, or no
    /// longer.
    pub fn gates(&mut self, stream: usize, now: Time) -> Vec<(PodId, bool)> {
        self.balancers[stream].as_mut().map_or_else(Vec::new, |balancer| balancer.take_gates(now))
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
        let goes = match traffic.via {
            Via::IngressNginx(_) | Via::Envoy(_) => {
                self.by_proxy((now, to), traffic, Seat::Node(node), (choice, tried), proxies)
            }
            Via::KubeProxy | Via::Balancer => {
                proxies.fold(node, to);
                let entries = known(proxies.syncs(node), now).unwrap_or(0);
                let version = proxies.version(service, entries);
                let (route, cause) = match transit {
                    Some(_) => proxies.route_external(service, version, node),
                    None => proxies.route(service, version, node),
                };
                one_of(route, cause, (choice, tried))
            }
        };
        Way { goes, machine, transit }
    }

    /// Where the proxy in a pod of a gateway sends a request at `now`; otherwise as [`route`](Self::route).
    pub fn route_onward(
        &mut self,
        times: (Time, Time),
        (gateway, onward): (PodId, &Traffic),
        choice: (u64, u32),
        proxies: &mut KubeProxies<'_>,
    ) -> Way {
        let seat = self.gateways.get(&gateway).copied();
        let goes = seat.map(|seat| self.by_proxy(times, onward, seat, choice, proxies));
        Way { goes: goes.unwrap_or(Goes::Reject(CauseId::default())), machine: None, transit: None }
    }

    /// The choice of a proxy that watches endpoints by itself.
    fn by_proxy(
        &mut self,
        (now, to): (Time, Time),
        traffic: &Traffic,
        seat: Seat,
        choice: (u64, u32),
        proxies: &KubeProxies<'_>,
    ) -> Goes {
        let entries = match traffic.via {
            Via::IngressNginx(_) => {
                self.ingresses.fold(seat, to, proxies.log());
                known(self.ingresses.syncs(seat), now)
            }
            Via::Envoy(config) => {
                let envoys = self.envoys.iter_mut().find(|envoys| envoys.config() == config);
                envoys.and_then(|envoys| {
                    envoys.fold(seat, to, proxies.log());
                    known(envoys.syncs(seat), now)
                })
            }
            Via::KubeProxy | Via::Balancer => None,
        };
        let version = proxies.version(traffic.service, entries.unwrap_or(0));
        let (route, cause) = proxies.route_ready(traffic.service, version);
        one_of(route, cause, choice)
    }

    /// Whether the Envoy that sends for a stream's leg, beside the clients on a node or in a gateway's pod, has heard by `now` that
    /// a pod is not to be sent to: it closes its idle connections to that.
    ///
    /// Source: Envoy, `source/common/upstream/cluster_manager_impl.cc` removeHosts (1.32).
    pub fn has_left(
        &mut self,
        now: Time,
        leg: &Traffic,
        (node, gateway): (NodeId, Option<PodId>),
        pod: PodId,
        proxies: &KubeProxies<'_>,
    ) -> bool {
        let Via::Envoy(config) = leg.via else { return false };
        let seat = gateway.map_or(Some(Seat::Node(node)), |gateway| self.gateways.get(&gateway).copied());
        let envoys = self.envoys.iter_mut().find(|envoys| envoys.config() == config);
        let (Some(seat), Some(envoys)) = (seat, envoys) else { return false };
        envoys.fold(seat, now, proxies.log());
        let entries = known(envoys.syncs(seat), now).unwrap_or(0);
        match proxies.route_ready(leg.service, proxies.version(leg.service, entries)).0 {
            Route::Pods(pods) => !pods.contains(&pod),
            Route::Reject | Route::Drop => true,
        }
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

    /// The last stretch of time, begun by `begun`, in which the router of a leg of a stream (the one at `seat`, if it has
    /// several) sent new connections to a pod. `None` for kube-proxy, which is asked itself.
    pub fn last_spell(
        &self,
        (stream, leg): (usize, &Traffic),
        pod: PodId,
        seat: Seat,
        begun: Time,
        proxies: &KubeProxies<'_>,
    ) -> Option<Spell> {
        let rules = proxies.rules(leg.service);
        match leg.via {
            Via::KubeProxy => None,
            Via::IngressNginx(_) => self.ingresses.last_spell(rules, pod, seat, begun),
            Via::Envoy(config) => {
                let envoys = self.envoys.iter().find(|envoys| envoys.config() == config)?;
                envoys.last_spell(rules, pod, seat, begun)
            }
            Via::Balancer => self.balancers[stream].as_ref()?.last_spell(Target::Pod(pod), begun),
        }
    }

    /// For each router other than a kube-proxy that sent to a pod of the Service of a stream's leg: where it is, and its last
    /// stretch of time, begun by `begun`.
    pub fn last_spells(
        &self,
        leg: (usize, &Traffic),
        pod: PodId,
        begun: Time,
        proxies: &KubeProxies<'_>,
    ) -> Vec<(Seat, Spell)> {
        let seats: Vec<Seat> = match leg.1.via {
            Via::KubeProxy => Vec::new(),
            Via::IngressNginx(_) => self.ingresses.seats().collect(),
            Via::Envoy(config) => {
                let envoys = self.envoys.iter().filter(|envoys| envoys.config() == config);
                envoys.flat_map(|envoys| envoys.seats().collect::<Vec<_>>()).collect()
            }
            Via::Balancer => vec![Seat::Node(NodeId::OUTSIDE)],
        };
        let spell = |seat| Some((seat, self.last_spell(leg, pod, seat, begun, proxies)?));
        seats.into_iter().filter_map(spell).collect()
    }

    /// Where the process in a pod of a gateway was that listened there at a time.
    pub fn seat_of(&self, gateway: PodId, onward: &Traffic, at: Time) -> Option<Seat> {
        let its = |seat: &Seat| matches!(seat, Seat::Pod(pod, since) if *pod == gateway && *since <= at);
        match onward.via {
            Via::IngressNginx(_) => self.ingresses.seats().filter(its).last(),
            Via::Envoy(config) => self.envoys.iter().find(|e| e.config() == config)?.seats().filter(its).last(),
            Via::KubeProxy | Via::Balancer => None,
        }
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

/// Whether an endpoint should be a target.
///
/// The controller of AWS takes those that are ready, and those whose containers are ready on a Ready node: so a pod is
/// registered that waits for nothing but the gate. (Without a gate no change of a pod makes it look, and the endpoint follows at
/// once; this is left out.) The one of Google Cloud takes every endpoint that is not terminating, ready or not, and leaves it
/// to the health checks.
///
/// Source: aws-load-balancer-controller, `pkg/backend/endpoint_resolver.go` resolvePodEndpointsWithEndpointsData,
/// `controllers/elbv2/eventhandlers/pod.go` (v3.5); ingress-gce, `pkg/neg/types/types.go` EndpointsDataFromEndpointSlices,
/// `pkg/neg/syncers/utils.go` toZoneNetworkEndpointMap (August 2026).
fn is_target(profile: BalancerProfile, endpoint: &Endpoint, gated: &BTreeMap<PodId, bool>) -> bool {
    match profile {
        BalancerProfile::GcpNeg => !endpoint.terminating,
        _ => endpoint.ready || (!endpoint.terminating && gated.get(&endpoint.pod) == Some(&true)),
    }
}

/// With how many entries of the log a router worked at `now`.
fn known(syncs: &[Sync], now: Time) -> Option<u32> {
    syncs[..syncs.partition_point(|s| s.applied <= now)].last().map(|s| s.entries)
}

/// Where a connection goes whose client has this route.
pub(super) fn one_of(route: Route<'_>, cause: CauseId, (choice, tried): (u64, u32)) -> Goes {
    match route {
        Route::Pods(pods) => Goes::To(nth_choice(pods, choice, tried)),
        Route::Reject => Goes::Reject(cause),
        Route::Drop => Goes::Drop(cause),
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
