//! Nodes that are cut off from all others, and what is lost across the cut.

use crate::api::{NodeId, PodId};
use crate::engine::Time;
use crate::simulation::network::ledger::Ledger;
use crate::simulation::network::sockets::{Sockets, lost_in_flight};
use crate::simulation::observe::CauseId;

/// A node is cut off from all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::simulation::network) struct Cut {
    node: NodeId,
    pub from: Time,
    pub to: Option<Time>,
    /// When that will end, as far as it was known when it began.
    pub heals: Option<Time>,
    pub cause: CauseId,
}

impl Sockets<'_> {
    /// A node is cut off from all others. Requests that cross the cut are lost, unless `heals` comes within their time.
    pub fn cut_off(&mut self, now: Time, node: NodeId, heals: Option<Time>, cause: CauseId, ledger: &mut Ledger) {
        self.cuts.push(Cut { node, from: now, to: None, heals, cause });
        self.divided = true;
        for (pod, sockets) in self.pods.iter_mut().enumerate() {
            let pod = PodId::from(pod);
            sockets.settle(pod, now, ledger);
            let here = sockets.node == Some(node);
            for in_flight in sockets.in_flight.iter_mut().filter(|r| !r.orphan && here != (r.request.client == node)) {
                let timeout = ledger.timeout(in_flight.request.traffic);
                if heals.is_none_or(|heals| heals > in_flight.request.sent + timeout) {
                    in_flight.orphan = true;
                    ledger.fail(now, lost_in_flight(in_flight, pod, now, cause, timeout));
                }
            }
        }
    }

    /// A node is no longer cut off.
    pub fn healed(&mut self, now: Time, node: NodeId) {
        for cut in self.cuts.iter_mut().filter(|cut| cut.node == node) {
            cut.to.get_or_insert(now);
        }
        self.divided = self.cuts.iter().any(|cut| cut.to.is_none());
    }

    /// Whether the node of a client and that of a pod cannot reach each other now.
    #[inline]
    pub fn separated(&self, client: NodeId, pod: PodId) -> bool {
        self.divided && self.separation(client, pod).is_some()
    }

    /// What separates the node of a client from that of a pod now.
    pub fn separation(&self, client: NodeId, pod: PodId) -> Option<CauseId> {
        let node = self.node_of(pod).filter(|node| *node != client)?;
        let cuts = self.cuts.iter().filter(|cut| cut.to.is_none());
        cuts.filter(|cut| cut.node == client || cut.node == node).map(|cut| cut.cause).next()
    }

    /// Whether this is the cause of failures across a partition.
    pub fn failed_by_partition(&self, cause: CauseId) -> bool {
        self.cuts.iter().any(|cut| cut.cause == cause)
    }

    /// All times in which a node was cut off from all others, in the order in which they began.
    pub fn cuts(&self) -> impl Iterator<Item = &Cut> {
        self.cuts.iter()
    }

    /// Whether packets between the node of a client and that of a pod cross a cut.
    pub fn crosses(&self, cut: &Cut, client: NodeId, pod: PodId) -> bool {
        self.node_of(pod).is_some_and(|node| node != client && (cut.node == client || cut.node == node))
    }
}
