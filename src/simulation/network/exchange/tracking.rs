//! What the kernel of a client's node remembers: which pod an address was sent to (session affinity), and which pod a
//! connection was sent to (connection tracking).
//!
//! - *Session affinity.* The rules of each endpoint keep a list of addresses that were sent there. An address that is on the
//!   list of an endpoint, and not for longer than the timeout, is sent there again, which renews it. A list goes with its
//!   rules: an address whose endpoint is not in the rules any more is sent anywhere.
//!   Source: `pkg/proxy/iptables/proxier.go` writeServiceToEndpointRules (`recent --rcheck --seconds … --reap`, and
//!   `recent --set`), `pkg/proxy/nftables/proxier.go` (an `update` of a set with a timeout) (v1.36).
//! - *The echo.* The translation of a connection is decided by its first packet. If nothing ever answers, the entry stays
//!   for `nf_conntrack_tcp_timeout_syn_sent`, 120 s after the last SYN. A later connection from the same address and port is
//!   taken for the same one: it goes to the pod that is gone, whatever the rules say now, and keeps the entry alive.
//!   Source: Linux `net/netfilter/nf_conntrack_proto_tcp.c` tcp_timeouts, tcp_conntracks (a SYN in the state SYN_SENT is no
//!   new connection). A refused connection leaves nothing behind.
//!
//! - *Flows of datagrams.* UDP has no connections, but connection tracking has flows: datagrams of the same address and port
//!   go to the same pod, for 30 s after the last one, or for 120 s if they have been answered for 2 s. The rules are not
//!   asked meanwhile; so a flow stays with a pod that terminates, until kube-proxy deletes it because the pod does not serve
//!   any more. Source: Linux `net/netfilter/nf_conntrack_proto_udp.c` udp_timeouts, nf_conntrack_udp_packet.
//!
//! Linux goes through the ports for one destination in turn, and passes over up to seven each time, by chance
//! (`net/ipv4/inet_hashtables.c` `__inet_hash_connect`, 5.19 and newer): so a port comes again after as many connections as
//! there are ports on average, and after a quarter of that at the earliest. A port that is in use is not left out here.

use std::collections::BTreeMap;

use crate::api::PodId;
use crate::engine::{Duration, Key, Random, Time};
use crate::simulation::network::clients::pick;
use crate::simulation::setup::Origin;

/// `nf_conntrack_tcp_timeout_syn_sent`.
const SYN_SENT_TIMEOUT: Duration = Duration::from_secs(120);

/// `nf_conntrack_udp_timeout`, and `nf_conntrack_udp_timeout_stream` for a flow that has been answered for so long.
const UDP_TIMEOUT: Duration = Duration::from_secs(30);
const UDP_TIMEOUT_STREAM: Duration = Duration::from_secs(120);
const UDP_STREAM_AFTER: Duration = Duration::from_secs(2);

/// The next port is one to eight further.
const STEPS: u64 = 8;

/// What is remembered of one client.
#[derive(Clone, Debug)]
pub(super) struct Tracking {
    addresses: Vec<Address>,
    ports: Option<u64>,
    datagrams: bool,
    random: Random,
    /// Stands for the client in keyed draws.
    key: Key,
}

#[derive(Clone, Debug, Default)]
struct Address {
    /// When it was last sent to a pod for a new connection.
    sent: BTreeMap<PodId, Time>,
    /// How many ports it has used, and the last one.
    used: u64,
    port: u64,
    /// By port: the pod that never answered, and until when that is remembered.
    unanswered: BTreeMap<u64, (PodId, Time)>,
    /// By port.
    flows: BTreeMap<u64, Flow>,
}

/// Datagrams of one port.
#[derive(Clone, Copy, Debug)]
struct Flow {
    pod: PodId,
    begun: Time,
    /// The last datagram, either way.
    last: Time,
    answered: bool,
}

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sender {
    address: usize,
    /// `None`: a port that was never used before.
    port: Option<u64>,
}

impl Tracking {
    pub fn new(origin: Origin, datagrams: bool, random: Random, client: Key) -> Self {
        let addresses = vec![Address::default(); origin.addresses.max(1) as usize];
        let key = Key::new("sourcePort").number(client.bits());
        // One socket sends all datagrams of an address.
        let ports = origin.ports.map(u64::from).or(datagrams.then_some(1)).filter(|ports| *ports > 0);
        Self { addresses, ports, datagrams, random, key }
    }

    /// The origin of a new connection for request number `number`.
    pub fn origin(&mut self, number: u64) -> Sender {
        let address = (number % self.addresses.len() as u64) as usize;
        let port = self.ports.map(|ports| {
            let key = self.key.number(address as u64);
            let from = &mut self.addresses[address];
            let step = 1 + self.random.draw(key, from.used) % STEPS;
            from.used += 1;
            from.port = (from.port + step) % ports;
            from.port
        });
        Sender { address, port }
    }

    /// The pod that a new connection is taken to belong to already.
    pub fn echo(&mut self, now: Time, from: Sender) -> Option<PodId> {
        let port = from.port?;
        let unanswered = &mut self.addresses[from.address].unanswered;
        let (pod, until) = *unanswered.get(&port)?;
        if now < until {
            return Some(pod);
        }
        unanswered.remove(&port);
        None
    }

    /// The pod that an affine Service gives to an address: the first one that has it on its list, or one by chance.
    pub fn affine(&mut self, now: Time, from: Sender, pods: &[PodId], timeout: Duration, choice: u64) -> PodId {
        let sent = &mut self.addresses[from.address].sent;
        let is_listed = |pod: &&PodId| sent.get(pod).is_some_and(|last| now <= *last + timeout);
        let pod = pods.iter().find(is_listed).copied().unwrap_or_else(|| pick(pods, choice));
        sent.insert(pod, now);
        pod
    }

    /// The pod that datagrams of this origin go to as the last one did.
    pub fn flow(&self, now: Time, from: Sender) -> Option<PodId> {
        let flow = self.addresses[from.address].flows.get(&from.port.filter(|_| self.datagrams)?)?;
        let stream = flow.answered && flow.last.since(flow.begun) >= UDP_STREAM_AFTER;
        let timeout = if stream { UDP_TIMEOUT_STREAM } else { UDP_TIMEOUT };
        (now < flow.last + timeout).then_some(flow.pod)
    }

    /// A datagram goes to this pod.
    pub fn sent(&mut self, now: Time, from: Sender, pod: PodId) {
        if let Some(port) = from.port.filter(|_| self.datagrams) {
            let goes_on = self.flow(now, from) == Some(pod);
            let flows = &mut self.addresses[from.address].flows;
            match flows.get_mut(&port).filter(|_| goes_on) {
                Some(flow) => flow.last = now,
                None => _ = flows.insert(port, Flow { pod, begun: now, last: now, answered: false }),
            }
        }
    }

    /// An answer has come back.
    pub fn replied(&mut self, now: Time, from: Sender) {
        let flow = from.port.and_then(|port| self.addresses[from.address].flows.get_mut(&port));
        if let Some(flow) = flow {
            (flow.answered, flow.last) = (true, now);
        }
    }

    /// A SYN has gone unanswered.
    pub fn unanswered(&mut self, now: Time, from: Sender, pod: PodId) {
        if let Some(port) = from.port {
            self.addresses[from.address].unanswered.insert(port, (pod, now + SYN_SENT_TIMEOUT));
        }
    }

    /// A SYN has been answered, one way or the other.
    pub fn answered(&mut self, from: Sender) {
        if let Some(port) = from.port {
            self.addresses[from.address].unanswered.remove(&port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODS: [PodId; 3] = [PodId(0), PodId(1), PodId(2)];

    fn tracking(addresses: u32, ports: Option<u32>) -> Tracking {
        Tracking::new(Origin { addresses, ports }, false, Random::new(1), Key::new("client"))
    }

    #[test]
    fn a_port_comes_again_after_as_many_connections_as_there_are_ports() {
        let mut tracking = tracking(1, Some(1000));
        let ports: Vec<u64> = (0..100_000).map(|n| tracking.origin(n).port.unwrap()).collect();
        let uses: Vec<usize> = ports.iter().enumerate().filter(|(_, port)| **port == 7).map(|(n, _)| n).collect();
        assert!((70..130).contains(&uses.len()), "{} times", uses.len());
        let soonest = uses.windows(2).map(|w| w[1] - w[0]).min().unwrap();
        assert!((180..300).contains(&soonest), "after {soonest}");
    }

    #[test]
    fn a_flow_lasts_longer_when_it_has_been_answered_for_a_while() {
        let mut tracking = Tracking::new(Origin::default(), true, Random::new(1), Key::new("client"));
        let from = tracking.origin(0);
        assert_eq!(from, tracking.origin(1), "one socket");
        tracking.sent(Time::from_secs(10), from, PodId(1));
        assert_eq!(tracking.flow(Time::from_secs(39), from), Some(PodId(1)));
        assert_eq!(tracking.flow(Time::from_secs(40), from), None);
        tracking.replied(Time::from_secs(11), from);
        assert_eq!(tracking.flow(Time::from_secs(41), from), None);
        tracking.sent(Time::from_secs(12), from, PodId(1));
        assert_eq!(tracking.flow(Time::from_secs(131), from), Some(PodId(1)));
        assert_eq!(tracking.flow(Time::from_secs(132), from), None);
        tracking.sent(Time::from_secs(200), from, PodId(2));
        assert_eq!(tracking.flow(Time::from_secs(230), from), None, "a new flow, and not answered yet");
    }

    #[test]
    fn an_address_stays_with_its_pod_while_it_comes_often_enough() {
        let mut tracking = tracking(2, None);
        let (one, other) = (tracking.origin(0), tracking.origin(1));
        let timeout = Duration::from_secs(10);
        // the highest choice is the last pod
        let mut ask = |seconds, from, pods: &[PodId], choice| {
            tracking.affine(Time::from_secs(seconds), from, pods, timeout, choice)
        };
        assert_eq!(ask(0, one, &PODS, u64::MAX), PodId(2));
        assert_eq!(ask(10, one, &PODS, 0), PodId(2));
        assert_eq!(ask(20, one, &PODS, 0), PodId(2), "each connection renews it");
        assert_eq!(ask(20, other, &PODS, 0), PodId(0), "another address has a choice of its own");
        assert_eq!(ask(31, one, &PODS, 0), PodId(0), "too late");
        // its pod has gone, and comes back: both lists have it then, and the first one counts
        assert_eq!(ask(32, one, &PODS[1..], u64::MAX), PodId(2));
        assert_eq!(ask(33, one, &PODS, u64::MAX), PodId(0));
    }

    #[test]
    fn a_port_is_bound_to_the_dead_for_two_minutes_after_the_last_try() {
        let mut tracking = tracking(1, Some(20));
        let [first, second] = [3, 4].map(|port| Sender { address: 0, port: Some(port) });
        let again = first;
        tracking.unanswered(Time::from_secs(1), first, PodId(7));
        assert_eq!(tracking.echo(Time::from_secs(120), again), Some(PodId(7)));
        assert_eq!(tracking.echo(Time::from_secs(120), second), None);
        tracking.unanswered(Time::from_secs(120), again, PodId(7));
        assert_eq!(tracking.echo(Time::from_secs(239), again), Some(PodId(7)));
        assert_eq!(tracking.echo(Time::from_secs(240), again), None);
        tracking.unanswered(Time::from_secs(300), second, PodId(7));
        tracking.answered(second);
        assert_eq!(tracking.echo(Time::from_secs(301), second), None);
    }
}
