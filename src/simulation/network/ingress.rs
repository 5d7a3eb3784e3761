//! Ingress controllers: when a replica of ingress-nginx knew which version of which Service's endpoints.
//!
//! Two loops in series stand between an EndpointSlice and a request. The controller (Go) watches the slices, syncs at a
//! limited rate, and posts what it found to its nginx; a worker of nginx (Lua) looks for news once a second. As with
//! kube-proxy, what a replica knows at a time depends on the seed, its node and the log of writes alone, and is worked out
//! when somebody asks.
//!
//! Only endpoints that are `ready` count. There is no falling back to terminating ones: without a ready endpoint the answer
//! is 503. When a pod refuses the connection, the next one is asked at once; when it is silent, after
//! `proxy-connect-timeout`. A request that a pod had accepted is not sent again, as if all were POSTs
//! (`retry-non-idempotent: false`).
//!
//! A replica is a machine on a node, which lives as long as the node, or a process in a [pod](Seat::Pod): that one begins with
//! all that was written before it listened, for the controller starts nginx when its caches are filled.
//!
//! Simplified: each replica has one worker; a pod is chosen at random and then in turn, not in turn from the start.

use std::collections::BTreeMap;

use crate::api::{NodeId, PodId};
use crate::engine::{Duration, Key, Random, Time};
use crate::simulation::context::node_luck;
use crate::simulation::latency::Hop;
use crate::simulation::network::kube_proxy::{Delays, Entry, Spell, Sync, entry_number};
use crate::simulation::network::rules::ServiceRules;
use crate::simulation::network::seat::Seat;
use crate::simulation::setup::{IngressNginx, Setup, Via};

/// All replicas.
#[derive(Clone, Debug)]
pub(super) struct Ingresses<'a> {
    setup: &'a Setup,
    random: Random,
    delays: Delays<'a>,
    replicas: BTreeMap<Seat, Replica>,
}

/// A replica of the ingress controller, and its nginx.
#[derive(Clone, Debug)]
struct Replica {
    luck: u64,
    config: IngressNginx,
    off: Option<Time>,
    /// The worker's first look.
    phase: Duration,
    /// What the worker knew since when.
    syncs: Vec<Sync>,
    /// The first entry of the log that no sync has taken.
    next: usize,
    /// The delivery of the last entry before that.
    last_delivery: Time,
    /// The start of the last sync; `None`: long ago.
    last_start: Option<Time>,
}

impl<'a> Ingresses<'a> {
    pub fn new(setup: &'a Setup, random: Random) -> Self {
        let delays = Delays::new(setup, random, "ingress", Hop::IngressSync);
        Self { setup, random, delays, replicas: BTreeMap::new() }
    }

    /// A replica starts on this node, if the scenario has one there, and knows all that was written up to now.
    pub fn add_node(&mut self, now: Time, node: NodeId, name: &str, log: &[Entry]) {
        let here = |t: &&crate::simulation::setup::Traffic| t.from.iter().any(|from| from == name);
        let config = self.setup.traffic.iter().filter(here).find_map(|t| match t.via {
            Via::IngressNginx(config) => Some(config),
            _ => None,
        });
        if let Some(config) = config {
            self.start(now, Seat::Node(node), node_luck(name), config, log);
        }
    }

    /// A replica starts, and knows all that was written up to now.
    pub fn start(&mut self, now: Time, seat: Seat, luck: u64, config: IngressNginx, log: &[Entry]) {
        let unit = self.random.unit(Key::new("ingressPoll").number(luck), 0);
        let replica = Replica {
            luck,
            config,
            off: None,
            phase: Duration::from_secs_f64(config.poll_interval.as_secs_f64() * unit),
            syncs: vec![Sync { applied: now, entries: entry_number(log.len()) }],
            next: log.len(),
            last_delivery: now,
            last_start: (now > Time::ZERO).then_some(now),
        };
        self.replicas.insert(seat, replica);
    }

    /// A replica is no more.
    pub fn end(&mut self, now: Time, seat: Seat, log: &[Entry]) {
        self.fold(seat, now, log);
        if let Some(replica) = self.replicas.get_mut(&seat) {
            replica.off.get_or_insert(now);
            replica.syncs.retain(|s| s.applied < now);
        }
    }

    /// Works out what a replica knows at all times before `to`. Everything that was committed before `to` must be in the log.
    pub fn fold(&mut self, seat: Seat, to: Time, log: &[Entry]) {
        let Some(replica) = self.replicas.get_mut(&seat) else { return };
        let to = replica.off.map_or(to, |off| to.min(off));
        // What was there at the start has been for long.
        if let Some(first) = replica.syncs.first_mut().filter(|first| first.applied == Time::ZERO) {
            while log.get(replica.next).is_some_and(|entry| entry.committed == Time::ZERO) {
                replica.next += 1;
                first.entries = entry_number(replica.next);
            }
        }
        while let Some(first) = log.get(replica.next) {
            // A watch delivers in order.
            let asked = replica.last_delivery.max(first.committed + self.delays.watch(replica.luck, first));
            let start = replica.last_start.map_or(asked, |last| asked.max(last + replica.config.sync_interval));
            if start >= to {
                return;
            }
            while let Some(entry) = log.get(replica.next) {
                let delivered = replica.last_delivery.max(entry.committed + self.delays.watch(replica.luck, entry));
                if delivered > start {
                    break;
                }
                replica.last_delivery = delivered;
                replica.next += 1;
            }
            let posted = start + self.delays.sync(replica.luck, first);
            let before = replica.syncs.last().map_or(Time::ZERO, |s| s.applied);
            let applied = replica.next_look(posted).max(before);
            replica.syncs.push(Sync { applied, entries: entry_number(replica.next) });
            replica.last_start = Some(start);
        }
    }

    /// Works out what happens up to `end`, both included, and forgets what would come after it.
    pub fn finish(&mut self, end: Time, log: &[Entry]) {
        for seat in self.seats().collect::<Vec<_>>() {
            self.fold(seat, end, log);
        }
        for replica in self.replicas.values_mut() {
            replica.syncs.retain(|s| s.applied <= end);
        }
    }

    /// What a replica knew since when, as far as that was folded.
    pub fn syncs(&self, seat: Seat) -> &[Sync] {
        self.replicas.get(&seat).map_or(&[], |r| &r.syncs)
    }

    /// The last stretch of time, begun by `begun`, in which a replica sent new connections to a pod.
    pub fn last_spell(&self, rules: &ServiceRules, pod: PodId, seat: Seat, begun: Time) -> Option<Spell> {
        let replica = self.replicas.get(&seat)?;
        let sends = |sync: &Sync| (sync.applied, rules.is_ready(rules.version_within(sync.entries), pod));
        let spell = Spell::last(replica.syncs.iter().map(sends), begun);
        spell.map(|s| Spell { to: s.to.or(replica.off), ..s })
    }

    /// Where there are replicas, or have been.
    pub fn seats(&self) -> impl Iterator<Item = Seat> + '_ {
        self.replicas.keys().copied()
    }
}

impl Replica {
    /// When the worker sees what was posted at `posted`.
    fn next_look(&self, posted: Time) -> Time {
        let interval = self.config.poll_interval.as_nanos().max(1);
        let since = posted.as_nanos().saturating_sub(self.phase.as_nanos());
        Time::ZERO + self.phase + Duration::from_nanos(since.div_ceil(interval) * interval)
    }
}
