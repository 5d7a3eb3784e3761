//! kube-proxy on every node: when its rules contained which version of which Service's endpoints.
//!
//! All writes of EndpointSlices form one log. A proxy reads it through its own watch, in order, and runs now and then;
//! what one node's rules were at a time depends on the seed, the node and the log, and on nothing else. So it is worked
//! out when somebody asks, node by node, as far as it is asked for: [`KubeProxies::fold`]. Who asks first, or in which
//! steps, makes no difference.
//!
//! - `runner`: when a run begins, by mode and version.
//! - `sync`: how long it takes, and whether it fails.
//! - `other_changes`: what else in the cluster keeps the proxies busy.
//! - `health`: what a proxy answers to load balancers.

use std::collections::{BTreeMap, VecDeque};

use crate::api::{Endpoints, NodeId, PodId, ServiceId, ZoneId};
use crate::engine::{Distribution, Duration, Key, Random, Time};
use crate::simulation::context::node_luck;
use crate::simulation::latency::Hop;
use crate::simulation::network::rules::{Arrival, Keep, Place, Route, ServiceRules};
use crate::simulation::observe::CauseId;
use crate::simulation::setup::{Connections, Resolve, Setup, Traffic, Via};

mod health;
mod other_changes;
mod runner;
mod sync;

pub use health::HealthAnswer;

use health::Health;
use other_changes::OtherChanges;
use runner::Runner;
use sync::{Run, SyncTimes};

/// All proxies, and the log that they read.
#[derive(Clone, Debug)]
pub(super) struct KubeProxies<'a> {
    delays: Delays<'a>,
    runner: Runner,
    times: SyncTimes<'a>,
    /// An update that waits for so long makes a proxy unhealthy.
    health_timeout: Duration,
    /// `/healthz` fails on nodes that are about to go.
    drains_terminating_nodes: bool,
    others: OtherChanges,
    log: Vec<Entry>,
    services: Vec<ServiceRules>,
    proxies: Vec<Option<Proxy>>,
    /// By node: its zone.
    zones: Vec<Option<ZoneId>>,
    zone_names: BTreeMap<String, ZoneId>,
}

/// One write of a Service's EndpointSlices, of ours or another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub committed: Time,
    pub service_luck: u64,
    pub ordinal: u32,
}

/// The rules have been brought up to date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sync {
    /// Since when they are in force.
    pub applied: Time,
    /// They contain so many entries of the log.
    pub entries: u32,
}

/// A stretch of time in which a node sent new connections to a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spell {
    /// The first instant.
    pub from: Time,
    /// The first instant after it; `None`: it was going on at the end.
    pub to: Option<Time>,
}

impl Spell {
    /// The last one, begun by `begun`, of a router of which each change is told in order: when, and whether it sent to the
    /// pod from then on.
    pub fn last(changes: impl IntoIterator<Item = (Time, bool)>, begun: Time) -> Option<Self> {
        let mut spell: Option<Self> = None;
        for (at, sends) in changes {
            match &mut spell {
                Some(Self { to: to @ None, .. }) if !sends => *to = Some(at),
                None | Some(Self { to: Some(_), .. }) if sends && at <= begun => {
                    spell = Some(Self { from: at, to: None });
                }
                _ => {}
            }
        }
        spell
    }

    /// The one that ends last.
    pub fn longest(spells: impl IntoIterator<Item = Self>) -> Option<Self> {
        spells.into_iter().max_by_key(|spell| spell.to.unwrap_or(Time::MAX))
    }
}

#[derive(Clone, Debug)]
struct Proxy {
    name: String,
    luck: u64,
    off: Option<Time>,
    /// When the node last lost power, whether or not it has come back.
    last_off: Option<Time>,
    /// When the proxy was cut off from the apiserver, and when its watch was made anew.
    cuts: Vec<(Time, Option<Time>)>,
    /// All successful runs so far that changed anything, in order of time; the first one is the state at the start.
    syncs: Vec<Sync>,
    /// How many runs there have been.
    runs: u64,
    /// The last run failed: the next one is a full sync.
    needs_full_sync: bool,
    /// When the next run comes even if nobody asks for one: a retry, or the periodic one.
    timer: Option<Time>,
    health: Health,
    /// The first entry of the log that no run has taken.
    next: usize,
    /// When the entries from `next` on were delivered, as far as that has been worked out.
    delivered: VecDeque<Time>,
    /// The delivery of the last entry for which that has been worked out.
    last_delivery: Time,
    /// The end of the last run; `None`: long before the start.
    last_end: Option<Time>,
    /// The token bucket of the old runner: how many nanoseconds of `min` were in it, and when.
    tokens: (Duration, Time),
}

impl<'a> KubeProxies<'a> {
    pub fn new(setup: &'a Setup, random: Random) -> Self {
        let by_ingress = |service| {
            let reads_ready = |t: &Traffic| t.via != Via::KubeProxy || t.resolve != Resolve::Address;
            setup.traffic.iter().flat_map(Traffic::legs).any(|t| t.service == service && reads_ready(t))
        };
        let by_datagrams =
            |service| setup.traffic.iter().any(|t| t.service == service && t.connections == Connections::Udp);
        let keep = |service| Keep { ready: by_ingress(service), serving: by_datagrams(service) };
        Self {
            delays: Delays::new(setup, random, "kube-proxy", Hop::KubeProxySync),
            runner: Runner::new(setup),
            times: SyncTimes::new(setup, random),
            health_timeout: setup.kube_proxy.sync_period.mul(2),
            drains_terminating_nodes: setup.version.proxy_drains_terminating_nodes(),
            others: OtherChanges::new(setup.kube_proxy.other_changes, random),
            log: Vec::new(),
            services: (0..)
                .zip(&setup.services)
                .map(|(i, s)| ServiceRules::new(s, setup.kube_proxy.mode, keep(ServiceId(i))))
                .collect(),
            proxies: Vec::new(),
            zones: Vec::new(),
            zone_names: BTreeMap::new(),
        }
    }

    /// The node has this label `topology.kubernetes.io/zone`. To be told before the node has endpoints.
    pub fn node_in_zone(&mut self, node: NodeId, zone: &str) {
        if zone.is_empty() {
            return;
        }
        let next = ZoneId(entry_number(self.zone_names.len()));
        let id = *self.zone_names.entry(zone.to_string()).or_insert(next);
        if self.zones.len() <= node.index() {
            self.zones.resize(node.index() + 1, None);
        }
        self.zones[node.index()] = Some(id);
    }

    /// The proxy of a node starts with everything in its rules that has been written. One that starts during the run has
    /// just done its first sync; those at time zero have been idle for long.
    pub fn add_node(&mut self, now: Time, node: NodeId, name: &str) {
        self.elapse(now);
        if self.proxies.len() <= node.index() {
            self.proxies.resize(node.index() + 1, None);
        }
        let luck = node_luck(name);
        let timer =
            if now > Time::ZERO { self.runner.periodic(now) } else { self.times.first_periodic(luck, &self.runner) };
        self.proxies[node.index()] = Some(Proxy {
            name: name.to_string(),
            luck,
            off: None,
            last_off: None,
            cuts: Vec::new(),
            syncs: vec![Sync { applied: now, entries: entry_number(self.log.len()) }],
            runs: 0,
            needs_full_sync: false,
            timer,
            health: Health::new(now),
            next: self.log.len(),
            delivered: VecDeque::new(),
            last_delivery: now,
            last_end: (now > Time::ZERO).then_some(now),
            tokens: self.runner.full_bucket(now),
        });
    }

    /// The proxy stops: what it has not put into its rules by `now`, it never does.
    pub fn node_off(&mut self, now: Time, node: NodeId) {
        self.fold(node, now);
        if let Some(proxy) = self.proxies.get_mut(node.index()).and_then(Option::as_mut) {
            proxy.off.get_or_insert(now);
            proxy.last_off = proxy.off;
            proxy.syncs.retain(|s| s.applied < now);
        }
    }

    /// The proxy starts again, and has done its first sync: everything that has been written is in its rules.
    pub fn node_on(&mut self, now: Time, node: NodeId, name: &str) {
        self.elapse(now);
        match self.proxies.get_mut(node.index()).and_then(Option::as_mut) {
            Some(proxy) => {
                proxy.off = None;
                proxy.syncs.push(Sync { applied: now, entries: entry_number(self.log.len()) });
                proxy.next = self.log.len();
                proxy.delivered.clear();
                (proxy.last_delivery, proxy.last_end) = (now, Some(now));
                proxy.tokens = self.runner.full_bucket(now);
                proxy.needs_full_sync = false;
                proxy.timer = self.runner.periodic(now);
                proxy.health.restart(now);
            }
            None => self.add_node(now, node, name),
        }
    }

    /// The watch of the proxy delivers nothing from now on. Its rules stay as they are.
    pub fn cut_off(&mut self, now: Time, node: NodeId) {
        self.fold(node, now);
        let Some(proxy) = self.proxies.get_mut(node.index()).and_then(Option::as_mut) else { return };
        if proxy.cuts.last().is_none_or(|(_, healed)| healed.is_some()) {
            proxy.cuts.push((now, None));
            // what was worked out ahead of time does not come
            proxy.delivered.retain(|at| *at < now);
            proxy.last_delivery = proxy.delivered.back().copied().unwrap_or(proxy.last_delivery.min(now));
        }
    }

    /// The watch of the proxy has been made anew: all that it has missed comes at once.
    pub fn connected(&mut self, now: Time, node: NodeId) {
        if let Some((_, healed @ None)) =
            self.proxies.get_mut(node.index()).and_then(Option::as_mut).and_then(|p| p.cuts.last_mut())
        {
            *healed = Some(now);
        }
    }

    /// When the node last lost power.
    pub fn off_since(&self, node: NodeId) -> Option<Time> {
        self.proxies.get(node.index())?.as_ref()?.last_off
    }

    /// EndpointSlices were committed at `now`, not earlier than those before.
    pub fn endpoints_written(
        &mut self,
        now: Time,
        service: ServiceId,
        endpoints: &Endpoints,
        node_of: impl Fn(PodId) -> Option<NodeId>,
        cause: CauseId,
    ) {
        self.elapse(now);
        debug_assert!(self.log.last().is_none_or(|e| e.committed <= now), "commits come in order");
        let zones = &self.zones;
        let place_of = |pod| node_of(pod).map(|node| place(zones, node));
        let rules = &mut self.services[service.index()];
        if let Some(ordinal) = rules.write(now, entry_number(self.log.len()), endpoints, place_of, cause) {
            self.log.push(Entry { committed: now, service_luck: rules.luck, ordinal });
        }
    }

    /// Other Services have changed up to `to`: puts that into the log, before anything of `to` itself.
    pub fn elapse(&mut self, to: Time) {
        while let Some(entry) = self.others.next_before(to) {
            self.log.push(entry);
        }
    }

    /// Works out all runs of a node's proxy that begin before `to`: afterwards [`syncs`](Self::syncs) answers for all
    /// times before it. Everything that was committed before `to` must have been written to the log.
    pub fn fold(&mut self, node: NodeId, to: Time) {
        self.elapse(to);
        let Some(proxy) = self.proxies.get_mut(node.index()).and_then(Option::as_mut) else { return };
        let to = proxy.off.map_or(to, |off| to.min(off));
        while let Some(start) = self.runner.next_start(proxy, &self.log, &self.delays)
            && start < to
        {
            let first = proxy.next;
            let taken_until = self.runner.taken_until(start, proxy, &self.log, &self.delays);
            while let Some(delivered) = proxy.delivery(proxy.next, &self.log, &self.delays)
                && delivered <= taken_until
            {
                proxy.health.queued(delivered);
                proxy.delivered.pop_front();
                proxy.next += 1;
            }
            let run = Run {
                luck: proxy.luck,
                number: proxy.runs,
                full: proxy.needs_full_sync,
                first: self.log[first..proxy.next].first().copied(),
            };
            let end = start + self.times.duration(&run);
            let failed = self.times.fails(&run, &proxy.name, start);
            self.runner.ran(proxy, start, end, failed);
            proxy.runs += 1;
            proxy.needs_full_sync = failed;
            let entries = entry_number(proxy.next);
            if !failed {
                proxy.health.updated(end, self.health_timeout);
                if proxy.syncs.last().is_none_or(|s| s.entries < entries) {
                    proxy.syncs.push(Sync { applied: end, entries });
                }
            }
        }
    }

    /// Works out what happens up to `end`, both included, and forgets what would come after it.
    pub fn finish(&mut self, end: Time) {
        for node in 0..self.proxies.len() {
            self.fold(NodeId::from(node), end);
        }
        for proxy in self.proxies.iter_mut().flatten() {
            proxy.syncs.retain(|s| s.applied <= end);
        }
    }

    /// When a node's rules were brought up to date, as far as they have been folded.
    pub fn syncs(&self, node: NodeId) -> &[Sync] {
        self.proxies.get(node.index()).and_then(Option::as_ref).map_or(&[], |p| &p.syncs)
    }

    /// The version of a Service's endpoints that is in a node's rules at `now`, as far as they have been folded.
    pub fn version_in_force(&self, service: ServiceId, node: NodeId, now: Time) -> Option<u32> {
        let syncs = self.syncs(node);
        let last = syncs[..syncs.partition_point(|s| s.applied <= now)].last()?;
        self.version(service, last.entries)
    }

    /// The version of a Service's endpoints that rules with so many entries contain.
    pub fn version(&self, service: ServiceId, entries: u32) -> Option<u32> {
        self.services[service.index()].version_within(entries)
    }

    /// Where a node that has this version in its rules sends new connections of its clients, and what made it so.
    pub fn route(&self, service: ServiceId, version: Option<u32>, node: NodeId) -> (Route<'_>, CauseId) {
        self.services[service.index()].route(version, place(&self.zones, node), Arrival::Internal)
    }

    /// Whether a node that has this version in its rules leaves a flow of datagrams to a pod as it is.
    pub fn keeps_flow(&self, service: ServiceId, version: Option<u32>, pod: PodId, node: NodeId) -> bool {
        self.services[service.index()].keeps_flow(version, pod, place(&self.zones, node))
    }

    /// The same for connections that come to the node from outside the cluster, by a node port or a load balancer's address.
    /// (What comes to these addresses from inside goes to any endpoint, whatever the external policy is.)
    pub fn route_external(&self, service: ServiceId, version: Option<u32>, node: NodeId) -> (Route<'_>, CauseId) {
        self.services[service.index()].route(version, place(&self.zones, node), Arrival::External)
    }

    /// Where an ingress controller that knows this version sends new connections, and what made it so.
    pub fn route_ready(&self, service: ServiceId, version: Option<u32>) -> (Route<'_>, CauseId) {
        self.services[service.index()].route_ready(version)
    }

    /// All writes of EndpointSlices that changed anything, those of other Services as far as [time has
    /// passed](Self::elapse).
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// The rules of one Service, version by version.
    pub fn rules(&self, service: ServiceId) -> &ServiceRules {
        &self.services[service.index()]
    }

    /// See [`ServiceRules::not_ready_since`].
    pub fn not_ready_since(&self, service: ServiceId, pod: PodId, at: Time) -> Option<Time> {
        self.services[service.index()].not_ready_since(pod, at)
    }

    /// The last stretch of time, begun by `begun`, in which `node` sent new connections of its clients for a Service to a pod
    /// (which is on `pod_node`). A node without power sends nothing.
    pub fn last_spell(
        &self,
        service: ServiceId,
        pod: (PodId, Option<NodeId>),
        node: NodeId,
        begun: Time,
    ) -> Option<Spell> {
        self.spell(service, pod, (node, Arrival::Internal), begun)
    }

    /// The same for connections from outside to any node: the stretch that lasted longest.
    pub fn last_spell_from_outside(
        &self,
        service: ServiceId,
        pod: (PodId, Option<NodeId>),
        begun: Time,
    ) -> Option<Spell> {
        let nodes = (0..self.proxies.len()).map(NodeId::from);
        Spell::longest(nodes.filter_map(|node| self.spell(service, pod, (node, Arrival::External), begun)))
    }

    /// The same for connections of either kind.
    pub fn spell(
        &self,
        service: ServiceId,
        pod: (PodId, Option<NodeId>),
        (node, arrival): (NodeId, Arrival),
        begun: Time,
    ) -> Option<Spell> {
        let proxy = self.proxies.get(node.index())?.as_ref()?;
        let containing = |entry: u32| proxy.syncs.partition_point(|s| s.entries <= entry);
        let ranges = self.services[service.index()].usable_entries(pod, place(&self.zones, node), arrival);
        ranges.into_iter().find_map(|(in_by, out_by)| {
            let (first, after) = (containing(in_by), out_by.map_or(proxy.syncs.len(), containing));
            // A proxy that took both at once never sent anything there.
            let from = proxy.syncs.get(first).filter(|s| first < after && s.applied <= begun)?.applied;
            Some(Spell { from, to: proxy.syncs.get(after).map(|s| s.applied).or(proxy.off) })
        })
    }

    /// When the last node stopped sending new connections to this pod, and which that was (the first of them, if several
    /// did at once); `None` if none ever did or one still does.
    pub fn last_route_clean(
        &self,
        pod: PodId,
        pod_node: Option<NodeId>,
        services: &[ServiceId],
    ) -> Option<(Time, NodeId)> {
        let mut last: Option<(Time, NodeId)> = None;
        for node in (0..self.proxies.len()).map(NodeId::from) {
            for service in services {
                if let Some(spell) = self.last_spell(*service, (pod, pod_node), node, Time::MAX) {
                    let to = spell.to?;
                    if last.is_none_or(|(time, _)| time < to) {
                        last = Some((to, node));
                    }
                }
            }
        }
        last
    }
}

impl Proxy {
    /// When entry number `at`, which no run has taken, comes through the watch; `None` if there is no such entry yet.
    fn delivery(&mut self, at: usize, log: &[Entry], delays: &Delays) -> Option<Time> {
        while self.next + self.delivered.len() <= at {
            let entry = log.get(self.next + self.delivered.len())?;
            // A watch delivers in order, and nothing while it is cut off.
            let at = self.arrival(self.last_delivery.max(entry.committed + delays.watch(self.luck, entry)))?;
            self.last_delivery = at;
            self.delivered.push_back(at);
        }
        Some(self.delivered[at - self.next])
    }

    /// When something arrives that would do so at `at` if nothing were cut off.
    fn arrival(&self, mut at: Time) -> Option<Time> {
        for (from, healed) in &self.cuts {
            if at >= *from && healed.is_none_or(|healed| at < healed) {
                at = (*healed)?;
            }
        }
        Some(at)
    }
}

/// The hops of a change into what a router knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delays<'a> {
    random: Random,
    watch: (Key, &'a Distribution),
    sync: (Key, &'a Distribution),
}

impl<'a> Delays<'a> {
    /// Those of the routers that `watcher` stands for, each of whose runs takes the hop `sync`.
    pub fn new(setup: &'a Setup, random: Random, watcher: &str, sync: Hop) -> Self {
        Self {
            random,
            watch: (Key::new("watch").text(watcher), setup.latencies.get(Hop::Watch)),
            sync: (Key::new(sync.name()), setup.latencies.get(sync)),
        }
    }

    /// From the commit to the delivery to this router.
    pub fn watch(&self, router: u64, entry: &Entry) -> Duration {
        self.draw(self.watch, router, entry)
    }

    /// How long the run that takes this entry first lasts.
    pub fn sync(&self, router: u64, first: &Entry) -> Duration {
        self.draw(self.sync, router, first)
    }

    fn draw(&self, (key, distribution): (Key, &Distribution), router: u64, entry: &Entry) -> Duration {
        let key = key.number(router).number(entry.service_luck);
        distribution.sample(self.random.unit(key, u64::from(entry.ordinal)))
    }
}

/// A node with its zone.
fn place(zones: &[Option<ZoneId>], node: NodeId) -> Place {
    Place { node, zone: zones.get(node.index()).copied().flatten() }
}

/// The place of an entry in the log.
pub(super) fn entry_number(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 writes of EndpointSlices")
}

#[cfg(test)]
mod tests;
