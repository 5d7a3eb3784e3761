//! Envoys that get their endpoints by xDS: when each knew which version of which Service's endpoints.
//!
//! A control plane in the cluster (istiod, or Envoy Gateway) watches the EndpointSlices. istiod collects changes until there
//! has been none for a while, whatever Services they belong to, and then pushes to all its proxies; each takes it up
//! after a time of its own. What an Envoy knows at a time depends on the seed, its node and the log of writes alone.
//!
//! Only endpoints that are `ready` count: istiod leaves out the others, Envoy Gateway marks those that are terminating, or do
//! not serve, as draining, which get nothing new. Without one the answer is 503.
//!
//! Source: istio, `pilot/pkg/bootstrap/discovery.go` debounce, `pilot/pkg/serviceregistry/kube/controller/endpointslice.go`
//! endpointHealthStatus (1.30.3); Envoy Gateway, `internal/gatewayapi/route.go` getIREndpointsFromEndpointSlice,
//! `internal/xds/translator/cluster.go` (v1.9.0).
//!
//! Left out: if all that Envoy Gateway's Envoy has is draining, it panics (Envoy,
//! `load_balancing_policies/common/load_balancer_impl.cc` recalculatePerPriorityPanic: a threshold of 50 % by default, which Istio
//! sets to 0) and sends to those.
//!
//! Simplified: one control plane, whose push throttle (`PILOT_PUSH_THROTTLE`) is part of the hop `xdsPush`; changes of
//! configuration other than endpoints; locality and outlier detection, which Istio has off by default.

use std::collections::BTreeMap;

use crate::api::{NodeId, PodId};
use crate::engine::{Distribution, Key, Random, Time};
use crate::simulation::context::node_luck;
use crate::simulation::latency::Hop;
use crate::simulation::network::kube_proxy::{Entry, Spell, Sync, entry_number};
use crate::simulation::network::rules::ServiceRules;
use crate::simulation::network::seat::Seat;
use crate::simulation::setup::{Envoy, Setup, Via};

/// All Envoys of one profile's settings, and their control plane.
#[derive(Clone, Debug)]
pub(in crate::simulation::network) struct Envoys<'a> {
    config: Envoy,
    /// The nodes that have one, by name; an empty list: none.
    on: Vec<&'a str>,
    random: Random,
    watch: &'a Distribution,
    push: &'a Distribution,
    control: ControlPlane,
    envoys: BTreeMap<Seat, Proxy>,
}

/// What collects changes.
#[derive(Clone, Debug, Default)]
struct ControlPlane {
    /// The first entry of the log that has not been delivered.
    next: usize,
    last_delivery: Time,
    /// What is being collected: the first and the last change.
    collecting: Option<(Time, Time)>,
    /// Pushes: when, and with how many entries of the log.
    pushes: Vec<(Time, u32)>,
}

#[derive(Clone, Debug)]
struct Proxy {
    luck: u64,
    off: Option<Time>,
    /// How many pushes it has been given.
    pushes: usize,
    syncs: Vec<Sync>,
}

impl<'a> Envoys<'a> {
    /// Those of all traffic streams with the same settings as this one.
    pub fn new(setup: &'a Setup, config: Envoy, random: Random) -> Self {
        let mine = setup.traffic.iter().filter(move |t| t.via == Via::Envoy(config));
        Self {
            config,
            on: mine.flat_map(|t| t.from.iter().map(String::as_str)).collect(),
            random,
            watch: setup.latencies.get(Hop::Watch),
            push: setup.latencies.get(Hop::XdsPush),
            control: ControlPlane::default(),
            envoys: BTreeMap::new(),
        }
    }

    /// The settings.
    pub fn config(&self) -> Envoy {
        self.config
    }

    /// An Envoy starts on this node, if the scenario has one there, and knows all that was written up to now.
    pub fn add_node(&mut self, now: Time, node: NodeId, name: &str, log: &[Entry]) {
        if self.on.contains(&name) {
            self.start(now, Seat::Node(node), node_luck(name), log);
        }
    }

    /// An Envoy starts, and knows all that was written up to now.
    pub fn start(&mut self, now: Time, seat: Seat, luck: u64, log: &[Entry]) {
        self.collect(now, log);
        let syncs = vec![Sync { applied: now, entries: entry_number(log.len()) }];
        let proxy = Proxy { luck, off: None, pushes: self.control.pushes.len(), syncs };
        self.envoys.insert(seat, proxy);
    }

    /// An Envoy is no more.
    pub fn end(&mut self, now: Time, seat: Seat, log: &[Entry]) {
        self.fold(seat, now, log);
        if let Some(envoy) = self.envoys.get_mut(&seat) {
            envoy.off.get_or_insert(now);
            envoy.syncs.retain(|s| s.applied < now);
        }
    }

    /// Works out what an Envoy knows at all times before `to`. Everything that was committed before `to` must be in the log.
    pub fn fold(&mut self, seat: Seat, to: Time, log: &[Entry]) {
        self.collect(to, log);
        let Self { random, push, control, envoys, .. } = self;
        let Some(envoy) = envoys.get_mut(&seat) else { return };
        let to = envoy.off.map_or(to, |off| to.min(off));
        if let Some(first) = envoy.syncs.first_mut().filter(|first| first.applied == Time::ZERO) {
            // What was there at the start has been for long.
            let at_start = log.partition_point(|entry| entry.committed == Time::ZERO);
            first.entries = first.entries.max(entry_number(at_start));
        }
        let key = Key::new(Hop::XdsPush.name()).number(envoy.luck);
        while let Some((pushed, entries)) = control.pushes.get(envoy.pushes).filter(|(pushed, _)| *pushed < to) {
            let last = envoy.syncs.last().copied().unwrap_or(Sync { applied: Time::ZERO, entries: 0 });
            envoy.pushes += 1;
            if *entries <= last.entries {
                continue; // it began with that
            }
            let taken = *pushed + push.sample(random.unit(key, u64::from(*entries)));
            envoy.syncs.push(Sync { applied: taken.max(last.applied), entries: *entries });
        }
    }

    /// Works out what happens up to `end`, both included, and forgets what would come after it.
    pub fn finish(&mut self, end: Time, log: &[Entry]) {
        for seat in self.seats().collect::<Vec<_>>() {
            self.fold(seat, end, log);
        }
        for envoy in self.envoys.values_mut() {
            envoy.syncs.retain(|s| s.applied <= end);
        }
    }

    /// What an Envoy knew since when, as far as that was folded.
    pub fn syncs(&self, seat: Seat) -> &[Sync] {
        self.envoys.get(&seat).map_or(&[], |e| &e.syncs)
    }

    /// The last stretch of time, begun by `begun`, in which an Envoy sent new connections to a pod.
    pub fn last_spell(&self, rules: &ServiceRules, pod: PodId, seat: Seat, begun: Time) -> Option<Spell> {
        let envoy = self.envoys.get(&seat)?;
        let sends = |sync: &Sync| (sync.applied, rules.is_ready(rules.version_within(sync.entries), pod));
        Spell::last(envoy.syncs.iter().map(sends), begun).map(|s| Spell { to: s.to.or(envoy.off), ..s })
    }

    /// Where there are some, or have been.
    pub fn seats(&self) -> impl Iterator<Item = Seat> + '_ {
        self.envoys.keys().copied()
    }

    /// Works out all pushes before `to`.
    fn collect(&mut self, to: Time, log: &[Entry]) {
        let Self { config, random, watch, control, .. } = self;
        let due = |first: Time, last: Time| (last + config.debounce_after).min(first + config.debounce_max).max(first);
        while log.get(control.next).is_some_and(|entry| entry.committed == Time::ZERO) {
            control.next += 1; // known from the start
        }
        loop {
            let delivered = log.get(control.next).filter(|entry| entry.committed < to).map(|entry| {
                let key = Key::new("watch").text(config.profile.name()).number(entry.service_luck);
                let delay = watch.sample(random.unit(key, u64::from(entry.ordinal)));
                control.last_delivery.max(entry.committed + delay)
            });
            match (control.collecting, delivered) {
                (Some((first, last)), delivered) if delivered.is_none_or(|at| at > due(first, last)) => {
                    let at = due(first, last);
                    if at >= to {
                        return;
                    }
                    control.pushes.push((at, entry_number(control.next)));
                    control.collecting = None;
                }
                (collecting, Some(at)) => {
                    (control.next, control.last_delivery) = (control.next + 1, at);
                    control.collecting = Some((collecting.map_or(at, |(first, _)| first), at));
                }
                (_, None) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ServiceId;
    use crate::engine::Duration;
    use crate::simulation::latency::Latencies;
    use crate::simulation::setup::{EnvoyProfile, Traffic};

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Deliveries take 10 ms, pushes 20 ms.
    fn setup(config: Envoy) -> Setup {
        let mut latencies = Latencies::default();
        latencies.set(Hop::Watch, Distribution::Constant(ms(10)));
        latencies.set(Hop::XdsPush, Distribution::Constant(ms(20)));
        let traffic =
            Traffic { via: Via::Envoy(config), ..Traffic::plain("test", ServiceId(0), 1.0, vec!["a".into()]) };
        Setup { latencies, traffic: vec![traffic], ..Setup::default() }
    }

    fn log(commits: &[u64]) -> Vec<Entry> {
        let entry = |(ordinal, at): (u32, &u64)| Entry { committed: Time::from_millis(*at), service_luck: 1, ordinal };
        (0..).zip(commits).map(entry).collect()
    }

    fn applied(config: Envoy, commits: &[u64], asks: &[u64]) -> Vec<(u64, u32)> {
        let setup = setup(config);
        let mut envoys = Envoys::new(&setup, config, Random::new(3));
        envoys.add_node(Time::ZERO, NodeId(0), "a", &[]);
        let all = log(commits);
        for to in asks {
            let known = all.partition_point(|e| e.committed < Time::from_millis(*to));
            envoys.fold(Seat::Node(NodeId(0)), Time::from_millis(*to), &all[..known]);
        }
        envoys.finish(Time::from_secs(60), &all);
        envoys
            .syncs(Seat::Node(NodeId(0)))
            .iter()
            .skip(1)
            .map(|s| (s.applied.as_nanos() / 1_000_000, s.entries))
            .collect()
    }

    #[test]
    fn istiod_waits_for_a_pause() {
        let istio = EnvoyProfile::IstioGateway.defaults();
        assert_eq!(applied(istio, &[1000], &[]), [(1130, 1)]);
        assert_eq!(applied(istio, &[1000, 1050, 1140, 1300], &[]), [(1270, 3), (1430, 4)]);
    }

    #[test]
    fn but_not_for_ever() {
        let config = Envoy { debounce_max: ms(500), ..EnvoyProfile::IstioGateway.defaults() };
        let commits: Vec<u64> = (0..12).map(|i| 1000 + 90 * i).collect();
        assert_eq!(applied(config, &commits, &[])[0], (1530, 6), "500 ms after the first delivery at 1010");
    }

    #[test]
    fn envoy_gateway_pushes_at_once() {
        assert_eq!(applied(EnvoyProfile::EnvoyGateway.defaults(), &[1000, 1005], &[]), [(1030, 1), (1035, 2)]);
    }

    #[test]
    fn who_asks_when_makes_no_difference() {
        for profile in EnvoyProfile::ALL {
            let commits = [1000, 1001, 1090, 1400, 2000, 2000, 2099];
            let asks: Vec<u64> = (900..2600).step_by(7).collect();
            assert_eq!(applied(profile.defaults(), &commits, &[]), applied(profile.defaults(), &commits, &asks));
        }
    }
}
