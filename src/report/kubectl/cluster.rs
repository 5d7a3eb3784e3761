//! The cluster at any time of a run: which objects there were, and when each of them changed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::{
    AutoscalerId, DaemonSetId, DeploymentId, JobId, NodeId, PdbId, PodId, ReplicaSetId, ServiceId, StatefulSetId, Store,
};
use crate::engine::{Key, Time};
use crate::report::kubectl::resource::Resource;
use crate::scenario::Originals;
use crate::simulation::observe::{Trace, TraceEntry, What};
use crate::simulation::{Outcome, Setup};

/// A run whose trace was kept, as a cluster that can be looked at.
#[derive(Clone, Debug)]
pub struct Cluster<'a> {
    pub(super) setup: &'a Setup,
    pub(super) store: &'a Store,
    pub(super) originals: &'a Originals,
    pub(super) trace: &'a Trace,
    /// The seed, for what depends on luck and only a reader sees.
    pub(super) seed: u64,
    /// The end of the run.
    pub(super) end: Time,
    /// By pod: what happened in its containers.
    facts: Vec<Vec<TraceEntry>>,
    /// By pod: its address once it has one.
    addresses: Vec<Option<String>>,
}

/// An object of a resource: its place in the store, and for EndpointSlices which of the Service's slices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ObjectId {
    pub(super) index: usize,
    pub(super) slice: usize,
}

/// So many endpoints are in one EndpointSlice (`--max-endpoints-per-slice`).
pub(super) const ENDPOINTS_PER_SLICE: usize = 100;

impl<'a> Cluster<'a> {
    /// The cluster of a run; `None` if the run did not keep its history.
    #[must_use]
    pub fn new(setup: &'a Setup, originals: &'a Originals, outcome: &'a Outcome) -> Option<Self> {
        let store = outcome.history.as_ref()?;
        let mut facts = vec![Vec::new(); store.pod_meta.len()];
        for entry in outcome.trace.entries() {
            let pod = entry.what.pod().or_else(|| entry.what.remarked_pod());
            if let Some(of) = pod.and_then(|pod| facts.get_mut(pod.index())).filter(|_| is_of_containers(entry.what)) {
                of.push(*entry);
            }
        }
        let (seed, end) = (outcome.seed, outcome.end);
        Some(Self { setup, store, originals, trace: &outcome.trace, seed, end, facts, addresses: addresses(store) })
    }

    /// Every object of a resource that there ever was.
    pub(super) fn ids(&self, resource: Resource) -> Vec<ObjectId> {
        let whole = |count: usize| (0..count).map(|index| ObjectId { index, slice: 0 }).collect();
        match resource {
            Resource::Nodes => whole(self.store.nodes.len()),
            Resource::Pods => whole(self.store.pods.len()),
            Resource::Deployments => whole(self.store.deployments.len()),
            Resource::ReplicaSets => whole(self.store.replica_sets.len()),
            Resource::StatefulSets => whole(self.store.stateful_sets.len()),
            Resource::DaemonSets => whole(self.store.daemon_sets.len()),
            Resource::Jobs => whole(self.store.jobs.len()),
            Resource::Services => whole(self.store.services.len()),
            Resource::PodDisruptionBudgets => whole(self.store.pdbs.len()),
            Resource::HorizontalPodAutoscalers => whole(self.store.autoscalers.len()),
            Resource::EndpointSlices => {
                let slices = |index: usize| {
                    let versions = self.store.endpoints.history(index).iter().filter_map(|v| v.value.as_ref());
                    versions.map(|e| e.list.len().div_ceil(ENDPOINTS_PER_SLICE).max(1)).max().unwrap_or(0)
                };
                let of = |index| (0..slices(index)).map(move |slice| ObjectId { index, slice });
                (0..self.store.endpoints.len()).flat_map(of).collect()
            }
            Resource::Events => Vec::new(),
        }
    }

    /// An object as the apiserver would show it at a time; `None` if it is not there.
    pub(super) fn object(&self, resource: Resource, id: ObjectId, at: Time) -> Option<Value> {
        let ObjectId { index, slice } = id;
        match resource {
            Resource::Nodes => self.node(NodeId::from(index), at),
            Resource::Pods => self.pod(PodId::from(index), at),
            Resource::Deployments => self.deployment(DeploymentId::from(index), at),
            Resource::ReplicaSets => self.replica_set(ReplicaSetId::from(index), at),
            Resource::StatefulSets => self.stateful_set(StatefulSetId::from(index), at),
            Resource::DaemonSets => self.daemon_set(DaemonSetId::from(index), at),
            Resource::Jobs => self.job(JobId::from(index), at),
            Resource::Services => self.service(ServiceId::from(index)),
            Resource::PodDisruptionBudgets => self.pdb(PdbId::from(index), at),
            Resource::HorizontalPodAutoscalers => self.autoscaler(AutoscalerId::from(index), at),
            Resource::EndpointSlices => self.endpoint_slice(ServiceId::from(index), slice, at),
            Resource::Events => None,
        }
    }

    /// The times at which an object may have changed, in order.
    pub(super) fn instants(&self, resource: Resource, id: ObjectId) -> BTreeSet<Time> {
        fn times<T>(history: &[crate::api::store::Stored<T>]) -> impl Iterator<Item = Time> + '_ {
            history.iter().map(|v| v.time)
        }
        let store = self.store;
        match resource {
            Resource::Nodes => times(store.nodes.history(id.index)).collect(),
            Resource::Pods => {
                let facts = self.facts_of(PodId::from(id.index)).iter().map(|e| e.time);
                times(store.pods.history(id.index)).chain(facts).collect()
            }
            Resource::ReplicaSets => times(store.replica_sets.history(id.index)).collect(),
            Resource::StatefulSets => times(store.stateful_sets.history(id.index)).collect(),
            Resource::DaemonSets => times(store.daemon_sets.history(id.index)).collect(),
            Resource::Jobs => times(store.jobs.history(id.index)).collect(),
            Resource::Deployments => {
                let own = self.replica_sets_of(DeploymentId::from(id.index));
                let below = own.into_iter().flat_map(|rs| times(store.replica_sets.history(rs.index())));
                times(store.deployments.history(id.index)).chain(below).collect()
            }
            Resource::PodDisruptionBudgets => times(store.pdbs.history(id.index)).collect(),
            Resource::HorizontalPodAutoscalers => {
                let first = store.autoscalers.history(id.index).first().and_then(|v| v.value.as_ref());
                let syncs = first.into_iter().flat_map(|hpa| self.syncs_of(AutoscalerId::from(id.index), hpa));
                times(store.autoscalers.history(id.index)).chain(syncs).collect()
            }
            Resource::EndpointSlices => times(store.endpoints.history(id.index)).collect(),
            Resource::Services | Resource::Events => BTreeSet::new(),
        }
    }

    /// The ReplicaSets that a Deployment has ever had.
    pub(super) fn replica_sets_of(&self, id: DeploymentId) -> Vec<ReplicaSetId> {
        let sets = &self.store.replica_sets;
        let is_its = |index: &usize| {
            sets.history(*index).iter().any(|v| v.value.as_ref().is_some_and(|rs| rs.deployment == Some(id)))
        };
        (0..sets.len()).filter(is_its).map(ReplicaSetId::from).collect()
    }

    /// What happened in a pod's containers, in order.
    pub(super) fn facts_of(&self, pod: PodId) -> &[TraceEntry] {
        self.facts.get(pod.index()).map_or(&[], Vec::as_slice)
    }

    /// The address that a pod gets when it is set up.
    pub(super) fn address(&self, pod: PodId) -> Option<&str> {
        self.addresses.get(pod.index())?.as_deref()
    }

    /// When an object's first version was written.
    pub(super) fn first_written<T>(history: &[crate::api::store::Stored<T>]) -> Time {
        history.first().map_or(Time::ZERO, |v| v.time)
    }
}

/// What tells how a pod's containers came to the state that `kubectl` shows.
const fn is_of_containers(what: What) -> bool {
    matches!(
        what,
        What::PodStarting { .. }
            | What::PodUnschedulable { .. }
            | What::ContainerStarted { .. }
            | What::ContainerExited { .. }
            | What::PreStopEnded { .. }
            | What::PreStopOverran { .. }
            | What::EvictionRequested { .. }
    )
}

/// Addresses out of each node's range, in the order in which pods were bound to it.
fn addresses(store: &Store) -> Vec<Option<String>> {
    let mut bound: Vec<_> = (0..store.pods.len())
        .filter_map(|index| {
            let first = store.pods.history(index).iter().find(|v| v.value.is_some_and(|p| p.node.is_some()))?;
            Some((first.revision, index, first.value?.node?))
        })
        .collect();
    bound.sort_unstable();
    let mut used = vec![0_u32; store.nodes.len()];
    let mut addresses = vec![None; store.pods.len()];
    for (_, index, node) in bound {
        let number = used[node.index()];
        used[node.index()] += 1;
        addresses[index] = Some(format!("{}.{}", pod_network(node), 2 + number % 253));
    }
    addresses
}

/// The first three bytes of a node's range of pod addresses.
pub(super) fn pod_network(node: NodeId) -> String {
    format!("10.{}.{}", 244 + (node.0 >> 8) % 12, node.0 & 255)
}

/// A node's own address.
pub(super) fn node_address(node: NodeId) -> String {
    format!("172.18.{}.{}", node.0 / 250, 2 + node.0 % 250)
}

/// `metadata.uid`: the same in every run.
pub(super) fn uid(kind: &str, namespace: &str, name: &str, number: usize) -> String {
    let key = Key::new("uid").text(kind).text(namespace).text(name).number(number as u64);
    let (high, low) = (key.bits(), key.number(1).bits());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:x}{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        8 + ((low >> 60) & 3),
        (low >> 48) & 0xfff,
        low & 0xffff_ffff_ffff
    )
}
