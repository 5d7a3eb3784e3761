//! What has become of all requests, and why: told when the run is over.

use std::collections::BTreeMap;

use crate::api::{NodeId, PodId, ServiceId};
use crate::engine::Time;
use crate::simulation::network::exchange::Phases;
use crate::simulation::network::kube_proxy::Spell;
use crate::simulation::network::ledger::{Failed, Seen, Through};
use crate::simulation::network::seat::Seat;
use crate::simulation::network::{Network, bulk};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::{Failure, FailureKind, PodActivity, Requests, Router};
use crate::simulation::setup::{Resolve, Via};

/// What has become of the requests of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct NetworkOutcome {
    /// All of them.
    pub requests: Requests,
    /// By Service, in the order of the Setup.
    pub services: Vec<Requests>,
    /// By traffic stream, in the order of the Setup.
    pub traffic: Vec<Requests>,
    /// By traffic stream: how many of its requests were expected to fail in which way, given all that happened to pods and
    /// rules; `None` of a stream whose requests depend on each other.
    pub expected_failures: Vec<Option<BTreeMap<FailureKind, f64>>>,
    /// By traffic stream: how many of its requests failed behind its gateway, if it has one.
    pub failed_behind: Vec<Option<u64>>,
    /// Failed requests in order of the time when they were sent, then traffic stream, client's node and number; at most
    /// [`FAILURES_KEPT`](crate::simulation::outcome::FAILURES_KEPT) of them, the first ones.
    pub failures: Vec<Failure>,
    /// By [`PodId`].
    pub pods: Vec<PodTraffic>,
    /// How long answers took, by traffic stream; nothing where requests are independent of each other.
    pub latencies: Vec<Phases>,
}

/// What the data plane has to tell of a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PodTraffic {
    /// How many requests failed that had been sent to it.
    pub failed: u64,
    /// When the last node stopped sending new connections there, and which that was (the one of the lowest number, if
    /// several did at once); `None`: none ever sent any, or one does so to the end.
    pub last_route_clean: Option<(Time, NodeId)>,
    /// What on that node that was.
    pub last_router: Router,
}

impl Network<'_> {
    /// Simulates the requests that are left, up to `end`, and closes the books.
    ///
    /// # Panics
    ///
    /// If the books do not balance: an error in this program.
    #[must_use]
    pub fn finish(mut self, end: Time) -> NetworkOutcome {
        let (streams, exchange, mut plane) = self.split();
        for stream in streams {
            stream.advance(end, &mut plane);
        }
        exchange.advance(end, &mut plane);
        exchange.finish(plane.ledger);
        self.proxies.elapse(end);
        self.proxies.finish(end);
        self.routers.finish(end, &self.proxies);
        self.sockets.finish(end, &mut self.ledger);
        let expected_failures = self.count(end);
        self.ledger.finish(end);

        let mut services = vec![Requests::default(); self.setup.services.len()];
        let mut requests = Requests::default();
        let traffic: Vec<_> = (0u32..).zip(&self.setup.traffic).map(|(i, _)| self.ledger.requests(i)).collect();
        let failed_behind = (0u32..).zip(&self.setup.traffic);
        let failed_behind = failed_behind.map(|(i, t)| t.onward.is_some().then(|| self.ledger.failed_behind(i)));
        let failed_behind = failed_behind.collect();
        for (stream, own) in self.setup.traffic.iter().zip(&traffic) {
            services[stream.last_leg().service.index()].add(own);
            requests.add(own);
        }
        let pods = (0..self.sockets.len()).map(|pod| self.pod_traffic(PodId::from(pod))).collect();
        let failed: Vec<_> = self.ledger.take_failures().collect();
        let failures = failed.iter().map(|failed| self.explain(failed)).collect();
        let latencies = self.exchange.take_phases();
        NetworkOutcome { requests, services, traffic, expected_failures, failed_behind, failures, pods, latencies }
    }

    /// Counts the requests of the streams that are counted in bulk, and works out what was to be expected of plain ones.
    fn count(&mut self, end: Time) -> Vec<Option<BTreeMap<FailureKind, f64>>> {
        let Self { setup, proxies, sockets, streams, ledger, random, .. } = self;
        let plane = bulk::Plane { proxies, sockets, random: *random };
        let mut expected = vec![None; setup.traffic.len()];
        for stream in streams {
            let Some((stream, in_bulk)) = stream.to_count(plane) else { continue };
            if in_bulk {
                bulk::settle(&stream, end, ledger);
            }
            expected[stream.index as usize] = Some(bulk::expected_failures(&stream, end));
        }
        expected
    }

    fn pod_traffic(&self, pod: PodId) -> PodTraffic {
        let services = self.sockets.services_of(pod);
        let (last_route_clean, last_router) = self.last_route_clean(pod, services);
        PodTraffic { failed: self.ledger.failed_by_pod(pod), last_route_clean, last_router }
    }

    /// The last router of all that lead to a pod. kube-proxies count wherever they are, for there may be clients that the
    /// scenario does not name; not so if all known traffic comes by somebody else who chooses pods.
    fn last_route_clean(&self, pod: PodId, services: &[ServiceId]) -> (Option<(Time, NodeId)>, Router) {
        let legs = self.setup.traffic.iter().enumerate().flat_map(|(stream, t)| t.legs().map(move |leg| (stream, leg)));
        let legs: Vec<_> = legs.filter(|(_, leg)| services.contains(&leg.service)).collect();
        let streams = || legs.iter().copied();
        let by_others = streams().any(|(_, t)| t.via != Via::KubeProxy);
        let by_name = streams().any(|(_, t)| t.resolve != Resolve::Address);
        let by_others = by_others || by_name;
        let by_proxy = !by_others || streams().any(|(_, t)| t.via == Via::KubeProxy && t.resolve == Resolve::Address);
        let mut last: Option<(Time, NodeId, Router)> = None;
        for (stream, leg) in streams() {
            let router = Router::of(leg);
            for (seat, spell) in self.routers.last_spells((stream, leg), pod, Time::MAX, &self.proxies) {
                let Some(to) = spell.to else { return (None, router) };
                if last.is_none_or(|(time, ..)| time < to) {
                    last = Some((to, self.node_of(seat), router));
                }
            }
            for (node, spell) in self.exchange.last_spells(stream, pod, Time::MAX, &self.proxies) {
                let Some(to) = spell.to else { return (None, Router::Dns) };
                if last.is_none_or(|(time, ..)| time < to) {
                    last = Some((to, node, Router::Dns));
                }
            }
        }
        if by_proxy {
            let routed = services.iter().copied().filter(|s| !self.setup.services[s.index()].headless);
            let routed: Vec<ServiceId> = routed.collect();
            match self.proxies.last_route_clean(pod, self.sockets.node_of(pod), &routed) {
                None if !by_others => return (None, Router::KubeProxy),
                Some((to, node)) if last.is_none_or(|(time, ..)| time < to) => {
                    last = Some((to, node, Router::KubeProxy));
                }
                _ => {}
            }
        }
        last.map_or((None, Router::KubeProxy), |(time, node, router)| (Some((time, node)), router))
    }

    fn node_of(&self, seat: Seat) -> NodeId {
        match seat {
            Seat::Node(node) => node,
            Seat::Pod(pod, _) => self.sockets.node_of(pod).unwrap_or(NodeId::OUTSIDE),
        }
    }

    /// Adds to a failure what the whole history tells about it.
    fn explain(&self, failed: &Failed) -> Failure {
        let Failed { request, failed_at, kind, pod, gateway, cause, seen } = *failed;
        let stream = &self.setup.traffic[request.traffic as usize];
        // The leg on which it failed.
        let leg = if gateway.is_some() { stream.last_leg() } else { stream };
        let service = leg.service;
        let spell = pod.and_then(|pod| match leg.via {
            _ if gateway.is_some() => {
                let seat = self.routers.seat_of(gateway?, leg, request.sent)?;
                self.routers.last_spell((request.traffic as usize, leg), pod, seat, request.sent, &self.proxies)
            }
            _ if stream.resolve != Resolve::Address => {
                let spells = self.exchange.last_spells(request.traffic as usize, pod, request.sent, &self.proxies);
                spells
                    .filter(|(node, _)| *node == request.client)
                    .map(|(_, spell)| spell)
                    .max_by_key(|spell| spell.from)
            }
            // Which of the nodes that a load balancer sends to it came through, nobody has kept: the last one counts.
            Via::KubeProxy if request.client == NodeId::OUTSIDE => {
                self.proxies.last_spell_from_outside(service, (pod, self.sockets.node_of(pod)), request.sent)
            }
            Via::IngressNginx(_) | Via::Envoy(_) if request.client == NodeId::OUTSIDE => {
                let leg = (request.traffic as usize, leg);
                let spells = self.routers.last_spells(leg, pod, request.sent, &self.proxies);
                Spell::longest(spells.into_iter().map(|(_, spell)| spell))
            }
            Via::KubeProxy => {
                self.proxies.last_spell(service, (pod, self.sockets.node_of(pod)), request.client, request.sent)
            }
            _ => {
                let leg = (request.traffic as usize, leg);
                self.routers.last_spell(leg, pod, Seat::Node(request.client), request.sent, &self.proxies)
            }
        });
        // On a kept connection a request may be sent long after the rules have changed: then no router is to blame.
        let routed =
            kind != FailureKind::ResetIdle && spell.is_some_and(|spell| spell.to.is_none_or(|to| request.sent < to));
        Failure {
            sent_at: request.sent,
            failed_at,
            kind: Through::of(stream).shows(kind, pod.is_some()),
            traffic: request.traffic,
            client_node: request.client,
            number: request.number,
            service,
            pod,
            gateway,
            pod_phase: pod.map_or(PodActivity::NoPod, |pod| self.activity(pod, (kind, seen), cause)),
            endpoint_not_ready_at: pod
                .filter(|_| routed)
                .and_then(|pod| self.proxies.not_ready_since(service, pod, request.sent)),
            route_clean_at: spell.and_then(|spell| spell.to),
            cause,
        }
    }

    fn activity(&self, pod: PodId, (kind, seen): (FailureKind, Seen), cause: CauseId) -> PodActivity {
        let activity = self.sockets.activity(pod, seen);
        if self.sockets.is_answer_of_front(pod, kind, cause) {
            return PodActivity::Unattended;
        }
        if self.sockets.failed_by_partition(cause) {
            return PodActivity::CutOff;
        }
        let node_off = self.sockets.node_of(pod).and_then(|node| self.proxies.off_since(node));
        let took_network = node_off.is_some_and(|off| self.sockets.vanished_at(pod).is_some_and(|at| at >= off));
        if activity == PodActivity::NetworkGone && took_network { PodActivity::NodeOff } else { activity }
    }
}
