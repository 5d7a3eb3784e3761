//! Names: which pods a client of a headless Service knows.
//!
//! CoreDNS watches EndpointSlices and answers with the addresses that are ready. Its cache, and the client's, hold an answer
//! until its TTL is over. The cache counts the TTL down, so that a client that honours it is at most one TTL behind CoreDNS'
//! own fetch, not two. Source: CoreDNS plugins `kubernetes` (ttl, 5 s by default) and `cache`; kubeadm's Corefile sets both to
//! 30 s (`cmd/kubeadm/app/phases/addons/dns/manifests.go`, v1.36).
//!
//! Simplified: one name server with one cache answers each client; somebody always asks, so that the cache is renewed as
//! soon as it has expired. A client tries one address, at random, for each connection.

use crate::api::{PodId, ServiceId};
use crate::engine::{Duration, Key, Random, Time};
use crate::simulation::latency::Hop;
use crate::simulation::network::kube_proxy::{Delays, Entry, KubeProxies, Spell, entry_number};
use crate::simulation::setup::{ClientCache, Setup};

/// The name servers: one a client's node.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameServers<'a> {
    random: Random,
    delays: Delays<'a>,
}

/// What a client knows of the Service's name.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    /// The version of the endpoints, until this time (`None`: for ever).
    known: Option<(Option<u32>, Option<Time>)>,
    /// Each answer that was another version than the one before, with its time.
    answers: Vec<(Time, Option<u32>)>,
}

impl Lookup {
    /// The last stretch of time, begun by `begun`, in which the client had the address of a pod.
    pub fn last_spell(&self, service: ServiceId, pod: PodId, begun: Time, proxies: &KubeProxies<'_>) -> Option<Spell> {
        let rules = proxies.rules(service);
        Spell::last(self.answers.iter().map(|(at, version)| (*at, rules.is_ready(*version, pod))), begun)
    }
}

impl<'a> NameServers<'a> {
    pub fn new(setup: &'a Setup, random: Random) -> Self {
        Self { random, delays: Delays::new(setup, random, "coredns", Hop::Watch) }
    }

    /// The version of a Service's endpoints that a client goes by at `now`.
    pub fn look_up(
        &self,
        now: Time,
        lookup: &mut Lookup,
        service: ServiceId,
        (ttl, cache): (Duration, ClientCache),
        client: Key,
        proxies: &KubeProxies<'_>,
    ) -> Option<u32> {
        if let Some((version, until)) = lookup.known
            && until.is_none_or(|until| now < until)
        {
            return version;
        }
        let fetched = self.fetched(now, ttl, client);
        let version = self.version_at(fetched, service, client.bits(), proxies);
        let until = match cache {
            ClientCache::Ttl => Some((fetched + ttl).max(now)),
            ClientCache::For(span) => Some(now + span),
            ClientCache::Forever => None,
        };
        lookup.known = Some((version, until));
        if lookup.answers.last().is_none_or(|(_, before)| *before != version) {
            lookup.answers.push((now, version));
        }
        version
    }

    /// When the name server last asked for the answer that it gives at `now`.
    fn fetched(&self, now: Time, ttl: Duration, client: Key) -> Time {
        let ttl = ttl.as_nanos();
        if ttl == 0 {
            return now;
        }
        let unit = self.random.unit(Key::new("coreDnsCache").number(client.bits()), 0);
        let phase = (unit * ttl as f64) as u64;
        let since = (now.as_nanos() + ttl - phase) % ttl;
        Time::from_nanos(now.as_nanos().saturating_sub(since))
    }

    /// What had come through the watch of the name server by then.
    fn version_at(&self, at: Time, service: ServiceId, luck: u64, proxies: &KubeProxies<'_>) -> Option<u32> {
        let log = proxies.log();
        let committed = log.partition_point(|entry| entry.committed <= at);
        // A watch delivers in order: an entry that is late holds up all after it.
        // What was there at the start has been for long.
        let comes = |entry: &Entry| match entry.committed {
            Time::ZERO => Time::ZERO,
            committed => committed + self.delays.watch(luck, entry),
        };
        let late = log[..committed].iter().position(|entry| comes(entry) > at);
        proxies.version(service, entry_number(late.unwrap_or(committed)))
    }
}
