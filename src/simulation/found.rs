//! A running cluster as it was found: ReplicaSets and pods that exist under their own names, on their own nodes, Ready or
//! not. What is not found starts as the steady state has it: rolled out, and Ready.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Selector, TemplateId};

/// What was found, beside what the objects of the [`Setup`](crate::simulation::Setup) ask for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    /// The ReplicaSets with their pods. Those of one Deployment stand in the order of their revisions.
    pub replica_sets: Vec<FoundReplicaSet>,
    /// All other pods, by `namespace/name`: of StatefulSets and DaemonSets, and those without a controller that is modelled.
    pub pods: BTreeMap<String, FoundState>,
    /// Pods of Jobs, by the Job's index in the setup, in place of those that the Job would begin with.
    pub jobs: BTreeMap<usize, Vec<FoundPod>>,
    /// Namespaces of which all pods were found: what is not here is not there.
    pub namespaces: BTreeSet<String>,
    /// Templates none of whose pods was Ready: their next pods do not become Ready either.
    pub never_ready: BTreeSet<TemplateId>,
}

/// A ReplicaSet as it was found.
#[derive(Clone, PartialEq, Debug)]
pub struct FoundReplicaSet {
    /// Whose it is.
    pub of: FoundOwner,
    /// Its name.
    pub name: String,
    /// The annotation `deployment.kubernetes.io/revision`; the highest one of a Deployment is the current one.
    pub revision: u32,
    /// `spec.template`.
    pub template: TemplateId,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.selector`.
    pub selector: Selector,
    /// All pods that it has, without those that are being deleted or have ended.
    pub pods: Vec<FoundPod>,
}

/// The object of the Setup that a found ReplicaSet belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FoundOwner {
    /// The Deployment of this index.
    Deployment(usize),
    /// It is the ReplicaSet of this index itself.
    ReplicaSet(usize),
}

/// A pod of a ReplicaSet, as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundPod {
    /// Its name.
    pub name: String,
    /// Its node; `None`: it has none yet.
    pub node: Option<String>,
    /// How it was.
    pub state: FoundState,
}

/// How a pod was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum FoundState {
    /// Running and Ready.
    #[default]
    Ready,
    /// On its way: without a node, or with one and being started. It goes on from there.
    Starting,
    /// Running, or waiting in a back-off after it ran, and not Ready. It stays so.
    NotReady,
    /// On a node and Pending for a reason that does not go away by itself, such as an image that cannot be pulled. It stays
    /// so.
    Stuck,
}
