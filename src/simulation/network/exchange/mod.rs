//! Clients that do more than send each request on a connection of its own: they keep connections, share them, try again,
//! look names up; their requests go through proxies that try other pods, and meet pods that can do only so much at a time.
//!
//! Such requests have to do with each other, so they are simulated one by one, by an event list of their own:
//!
//! ```text
//! client                                     pod
//!   | send: a connection is chosen or made    |
//!   |-- SYN ------------------- half a round trip -->| accepted, refused, or silence
//!   |<- SYN/ACK or RST -------------------------------|
//!   |-- request ------------------------------------->| worked on, or waits for a free worker
//!   |<- answer ---------------------------------------|
//! ```
//!
//! Requests do not change the control plane; so [`Exchange::advance`] brings all of this up to a time just before a pod or a
//! node changes, as the rest of the [data plane](super) does.
//!
//! - `client`: who sends, and what it has: connections, a budget for retries, names it has looked up.
//! - `routing`: where a new connection goes.
//! - `tracking`: what the client's node remembers of where it sent connections before.
//! - `connection`: how a connection is made, kept, and found to be closed.
//! - `attempt`: one try of a request, from its start to its answer or failure; what the client does then.
//! - `server`: what a pod makes of the requests that reach it.
//! - `balancing`: what load balancers do about connections that are open.
//! - `gateway`: what a pod does that sends requests on: it is a client of the pods behind it.
//! - `faults`: what happens to pods, nodes and networks meanwhile.
//! - `phases`: how long answers took, before, during and after the disruption.

mod attempt;
mod balancing;
mod client;
mod closing;
mod connection;
mod faults;
mod gateway;
mod names;
mod phases;
mod routing;
mod server;
mod tracking;

use std::collections::BTreeMap;

use slab::Slab;

use crate::api::{NodeId, PodId};
use crate::engine::{EventQueue, Key, Random, Time};
use crate::simulation::context::node_luck;
use crate::simulation::network::clients::{Plane, Source};
use crate::simulation::network::kube_proxy::{KubeProxies, Spell};
use crate::simulation::network::ledger::Ledger;
use crate::simulation::network::routers::Cut;
use crate::simulation::setup::{Resolve, Setup, Traffic, Via};

use attempt::{Attempt, Open};
use client::Client;
use connection::Connection;
use names::NameServers;
pub use phases::Phases;
use server::{Server, Work};

/// All clients that are not plain, their requests, and the pods' work on them.
#[derive(Clone, Debug)]
pub(super) struct Exchange<'a> {
    setup: &'a Setup,
    random: Random,
    queue: EventQueue<Happening>,
    clients: Vec<Client<'a>>,
    /// How often the clients of a stream have been started on a node.
    starts: BTreeMap<(u32, NodeId), u64>,
    requests: Slab<Open>,
    attempts: Slab<Attempt>,
    connections: Slab<Connection>,
    works: Slab<Work>,
    /// By pod.
    servers: Vec<Server>,
    /// By stream and pod of its gateway: the client that the process in the pod is.
    gateways: BTreeMap<(u32, PodId), usize>,
    /// By node: what stands for it in keyed draws.
    node_lucks: Vec<u64>,
    names: NameServers<'a>,
    /// By stream.
    phases: Vec<Phases>,
    /// What cannot get through a partition, in order of time.
    stuck: Vec<Stuck>,
    /// Requests that load balancers will cut: the stream, and which.
    cuts: Vec<(usize, Cut)>,
    /// By stream: the load balancer's next reconciliation is on the event list.
    reconciles: Vec<bool>,
    /// Up to when it is being simulated now.
    to: Time,
}

/// What is to come. The numbers are places in the slabs of [`Exchange`]; an event whose subject has gone is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Happening {
    /// A client sends its next request.
    Send(usize),
    /// A request is tried again.
    TryAgain(usize),
    /// A second copy of a request is sent.
    Hedge(usize),
    /// The client gives a request up.
    Deadline(usize),
    /// The client gives a try up.
    TryTimeout(usize),
    /// A SYN reaches the pod of a connection, or the place where that was.
    Syn(usize),
    /// The client learns that its connection is made.
    Connected(usize),
    /// The client learns that its connection is refused.
    Refused(usize),
    /// The client gives up making a connection.
    ConnectTimeout(usize),
    /// A request reaches its pod.
    Arrive(usize),
    /// A pod has done its work.
    Done(usize),
    /// An answer reaches the client.
    Answer(usize),
    /// The client learns that a try has failed.
    Fail(usize),
    /// The load balancer of a stream hears of a change.
    Reconcile(usize),
    /// A machine of a load balancer ends what is open at a target that was taken out: a place in [`Exchange::cuts`].
    Cut(usize),
}

/// A packet that TCP sends again until the partition heals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stuck {
    Request(usize),
    Answer(usize),
}

/// Whether requests of this stream are independent of each other and of everything but the pod that is asked.
pub(super) fn is_plain(setup: &Setup, traffic: &Traffic) -> bool {
    setup.dependence(traffic).is_none()
}

impl<'a> Exchange<'a> {
    pub fn new(setup: &'a Setup, random: Random) -> Self {
        let mut exchange = Self {
            setup,
            random,
            queue: EventQueue::new(),
            clients: Vec::new(),
            starts: BTreeMap::new(),
            requests: Slab::new(),
            attempts: Slab::new(),
            connections: Slab::new(),
            works: Slab::new(),
            servers: Vec::new(),
            gateways: BTreeMap::new(),
            node_lucks: Vec::new(),
            names: NameServers::new(setup, random),
            phases: vec![Phases::default(); setup.traffic.len()],
            stuck: Vec::new(),
            cuts: Vec::new(),
            reconciles: vec![false; setup.traffic.len()],
            to: Time::ZERO,
        };
        exchange.add_outside();
        exchange
    }

    /// Starts the clients of load balancers: all of a stream's together, for none of them has anything of its own.
    fn add_outside(&mut self) {
        for (index, traffic) in (0u32..).zip(&self.setup.traffic) {
            if traffic.balancer.is_some() && traffic.rate > 0.0 && traffic.rate.is_finite() {
                let key = Key::new("client").text(&traffic.name).text("outside");
                let source = Source::new(traffic.arrivals, traffic.rate, traffic.start, self.random.stream(key));
                let mut client = Client::new(
                    index,
                    traffic,
                    (NodeId::OUTSIDE, node_luck("outside")),
                    (key, self.random),
                    Some(source),
                );
                client.schedule_next(self.clients.len(), &mut self.queue);
                self.clients.push(client);
            }
        }
    }

    /// Starts the clients that sit on this node. Each has an equal share of the rate, whether the others are there or not.
    pub fn add_node(&mut self, now: Time, node: NodeId, name: &str) {
        if self.node_lucks.len() <= node.index() {
            self.node_lucks.resize(node.index() + 1, 0);
        }
        self.node_lucks[node.index()] = node_luck(name);
        for (index, traffic) in (0u32..).zip(&self.setup.traffic) {
            if is_plain(self.setup, traffic) || traffic.balancer.is_some() {
                continue;
            }
            let seats = traffic.from.iter().filter(|from| *from == name).count();
            let rate = traffic.rate / traffic.from.len() as f64;
            if !(rate > 0.0 && rate.is_finite()) {
                continue;
            }
            let starts = self.starts.entry((index, node)).or_default();
            for seat in 0..seats as u64 {
                let mut key = Key::new("client").text(&traffic.name).text(name).number(seat);
                if *starts > 0 {
                    key = key.number(*starts);
                }
                let source = Source::new(traffic.arrivals, rate, traffic.start.max(now), self.random.stream(key));
                let mut client = Client::new(index, traffic, (node, node_luck(name)), (key, self.random), Some(source));
                client.schedule_next(self.clients.len(), &mut self.queue);
                self.clients.push(client);
            }
            *starts += 1;
        }
    }

    /// Lets everything happen that is due before `to`.
    pub fn advance(&mut self, to: Time, plane: &mut Plane<'_, 'a>) {
        self.to = to;
        plane.proxies.elapse(to);
        self.expect_reconciliations(plane);
        while self.queue.peek_time().is_some_and(|next| next < to) {
            let Some((now, happening)) = self.queue.pop() else { return };
            match happening {
                Happening::Send(client) => self.send(now, client, plane),
                Happening::TryAgain(request) => self.try_again(now, request, plane),
                Happening::Hedge(request) => self.hedge(now, request, plane),
                Happening::Deadline(request) => self.deadline(now, request, plane),
                Happening::TryTimeout(attempt) => self.try_timeout(now, attempt, plane),
                Happening::Syn(connection) => self.syn(now, connection, plane),
                Happening::Connected(connection) => self.connected(now, connection),
                Happening::Refused(connection) => self.refused(now, connection, plane),
                Happening::ConnectTimeout(connection) => self.connect_timeout(now, connection, plane),
                Happening::Arrive(attempt) => self.arrive(now, attempt, plane),
                Happening::Done(work) => self.done(now, work, plane),
                Happening::Answer(attempt) => self.answer(now, attempt, plane),
                Happening::Fail(attempt) => self.fail(now, attempt, plane),
                Happening::Reconcile(stream) => self.reconcile(now, stream, plane),
                Happening::Cut(cut) => self.balancer_cuts(now, cut, plane),
            }
        }
    }

    /// The run is over: what has no end has none.
    pub fn finish(&mut self, ledger: &mut Ledger) {
        for (_, open) in self.requests.iter().filter(|(_, open)| open.for_work.is_none()) {
            ledger.unfinished(open.request.traffic);
        }
        self.requests.clear();
    }

    /// The last stretches of time, begun by `begun`, in which clients of a stream that look names up had the address of a pod,
    /// by the nodes of these clients.
    pub fn last_spells<'s>(
        &'s self,
        stream: usize,
        pod: PodId,
        begun: Time,
        proxies: &'s KubeProxies<'_>,
    ) -> impl Iterator<Item = (NodeId, Spell)> + 's {
        let clients = self.clients.iter().filter(move |c| c.stream as usize == stream);
        let clients = clients.filter(|c| c.traffic.resolve != Resolve::Address);
        clients.filter_map(move |c| Some((c.node, c.lookup.last_spell(c.traffic.service, pod, begun, proxies)?)))
    }

    /// How long answers took, by stream.
    pub fn take_phases(&mut self) -> Vec<Phases> {
        std::mem::take(&mut self.phases)
    }
}

/// What a proxy does that chooses pods for its clients, and asks another one if it must.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Upstream {
    /// So many pods are asked at most.
    tries: u32,
    connect_timeout: crate::engine::Duration,
}

/// The proxy on a way; `None`: clients speak to pods themselves.
fn upstream(traffic: &Traffic) -> Option<Upstream> {
    match (traffic.via, &traffic.balancer) {
        (Via::IngressNginx(nginx), _) => Some(Upstream { tries: nginx.tries, connect_timeout: nginx.connect_timeout }),
        (Via::Envoy(envoy), _) => Some(Upstream { tries: envoy.tries, connect_timeout: envoy.connect_timeout }),
        (Via::KubeProxy | Via::Balancer, Some(balancer)) if balancer.profile.is_proxy() => {
            Some(Upstream { tries: 1, connect_timeout: balancer.connect_timeout })
        }
        (Via::KubeProxy | Via::Balancer, _) => None,
    }
}
