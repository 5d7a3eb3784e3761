//! The causal trace: everything that happened, and what made it happen. A chain of causes leads from a refused
//! connection back to the `kubectl drain` that began it.

use std::collections::BTreeMap;

use crate::api::pod::Signal;
use crate::api::{
    AutoscalerId, DaemonSetId, DeploymentId, JobId, NodeId, PdbId, PodId, ReplicaSetId, ServiceId, StatefulSetId,
};
use crate::engine::Time;

/// The identity of a note; 0 is "nothing": the start of the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CauseId(pub u32);

/// One thing that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceEntry {
    /// Its number, from 1.
    pub id: CauseId,
    /// What caused it.
    pub cause: CauseId,
    /// When.
    pub time: Time,
    /// What.
    pub what: What,
}

macro_rules! whats {
    ($($(#[$doc:meta])* $variant:ident($($field:ident: $type:ty),*);)*) => {
        /// What happened.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum What {
            $($(#[$doc])* $variant { $(#[doc = "Which, or how many."] $field: $type),* },)*
        }

        impl What {
            /// The note as numbers, for the digest: which kind, then its fields.
            #[must_use]
            pub fn words(self) -> [u32; 4] {
                let mut words = [0; 4];
                let mut _number = 0;
                $(
                    _number += 1;
                    if let Self::$variant { $($field),* } = self {
                        words[0] = _number;
                        let mut _at = 1;
                        $(words[_at] = $field.word(); _at += 1;)*
                        return words;
                    }
                )*
                words
            }
        }
    };
}

whats! {
    /// An action of the scenario began.
    ActionStarted(action: u32);
    /// An action of the scenario is done.
    ActionDone(action: u32);
    /// `kubectl drain` began on a node.
    DrainStarted(kubectl: u32, node: NodeId);
    /// `kubectl drain` is through with a node: 0, or its exit code.
    DrainEnded(kubectl: u32, node: NodeId, code: u32);
    /// A node was marked unschedulable.
    Cordoned(node: NodeId);
    /// A node was marked schedulable.
    Uncordoned(node: NodeId);
    /// A node got the taint that follows from being unschedulable, or lost it.
    TaintsChanged(node: NodeId);
    /// A Node object was created.
    NodeAdded(node: NodeId);
    /// A node became Ready.
    NodeReady(node: NodeId);
    /// A node lost power.
    NodeOff(node: NodeId);
    /// The node lifecycle controller gave a silent node up: its Ready condition became Unknown.
    NodeUnreachable(node: NodeId);
    /// A Node object was deleted.
    NodeDeleted(node: NodeId);
    /// An eviction was asked for.
    EvictionRequested(pod: PodId, kubectl: u32);
    /// The pod was taken from a budget.
    EvictionAdmitted(pod: PodId, pdb: PdbId);
    /// The eviction was refused, with this HTTP status.
    EvictionRefused(pod: PodId, code: u32);
    /// The write of the budget met a newer one; the apiserver tries again.
    EvictionConflict(pod: PodId);
    /// The pod got its deletionTimestamp, with so many seconds of grace.
    PodDeleted(pod: PodId, grace_seconds: u32);
    /// The pod was created.
    PodCreated(pod: PodId);
    /// The scheduler found no node.
    PodUnschedulable(pod: PodId);
    /// The pod was bound to a node.
    PodBound(pod: PodId, node: NodeId);
    /// The pod's Ready condition became true.
    PodReady(pod: PodId);
    /// The pod's Ready condition became false.
    PodNotReady(pod: PodId);
    /// The pod's status says that all its containers have ended.
    PodEnded(pod: PodId);
    /// The pod object is gone.
    PodRemoved(pod: PodId);
    /// The kubelet's worker began to set the pod up.
    PodStarting(pod: PodId);
    /// A container's process was started.
    ContainerStarted(pod: PodId, container: u32);
    /// The process listens.
    ListenerOpened(pod: PodId);
    /// The watch told the kubelet of the deletion.
    KubeletSawDeletion(pod: PodId);
    /// The kubelet's worker began to stop the pod's containers.
    KillingStarted(pod: PodId);
    /// The preStop hook began.
    PreStopStarted(pod: PodId, container: u32);
    /// The preStop hook ended by itself.
    PreStopEnded(pod: PodId, container: u32);
    /// The grace period ended before the preStop hook did.
    PreStopOverran(pod: PodId, container: u32);
    /// The stop signal, or SIGKILL, arrived in a container.
    SignalArrived(pod: PodId, container: u32, signal: Signal);
    /// The process closed its listener: new connections are refused.
    ListenerClosed(pod: PodId);
    /// The container's process ended, with this exit code.
    ContainerExited(pod: PodId, container: u32, code: u32);
    /// The pod's network is gone: packets go nowhere.
    NetworkGone(pod: PodId);
    /// The EndpointSlices of a Service were written, their n-th version.
    EndpointsWritten(service: ServiceId, version: u32, ready: u32);
    /// A budget's status was written by its controller.
    PdbUpdated(pdb: PdbId, allowed: u32, healthy: u32);
    /// A Deployment was given a number of replicas.
    DeploymentScaled(deployment: DeploymentId, replicas: u32);
    /// A Deployment's template was changed.
    RolloutRestarted(deployment: DeploymentId);
    /// A ReplicaSet was created or given a number of replicas.
    ReplicaSetScaled(replica_set: ReplicaSetId, replicas: u32);
    /// The preStop hook sent a signal to its container.
    HookSignalled(pod: PodId, container: u32, signal: Signal);
    /// A pod's labels were changed by a user.
    PodLabelled(pod: PodId);
    /// A pod's controller gave it up.
    PodReleased(pod: PodId);
    /// A ReplicaSet took a pod that nobody controlled.
    PodAdopted(pod: PodId, replica_set: ReplicaSetId);
    /// A StatefulSet was given a number of replicas.
    StatefulSetScaled(stateful_set: StatefulSetId, replicas: u32);
    /// The template of a StatefulSet was changed.
    StatefulSetChanged(stateful_set: StatefulSetId);
    /// The template of a DaemonSet was changed.
    DaemonSetChanged(daemon_set: DaemonSetId);
    /// A Job is complete (1) or has failed (0).
    JobEnded(job: JobId, complete: u32);
    /// An autoscaler was given other bounds, with this minimum.
    AutoscalerChanged(autoscaler: AutoscalerId, min: u32);
    /// An autoscaler wants this number of replicas.
    Autoscaled(autoscaler: AutoscalerId, replicas: u32);
    /// The kubelet found a container's image on the node.
    ImagePresent(pod: PodId, container: u32);
    /// The kubelet began to pull a container's image.
    ImagePulling(pod: PodId, container: u32);
    /// A container's image has been pulled.
    ImagePulled(pod: PodId, container: u32);
    /// An attempt of a liveness (2), startup (1) or readiness (0) probe failed.
    ProbeFailed(pod: PodId, container: u32, startup: u32);
    /// A pod was deleted by its own controller.
    DeletedByController(pod: PodId);
    /// The start of a container that has ended is put off: CrashLoopBackOff.
    ContainerBacksOff(pod: PodId, container: u32);
    /// A process began to answer nothing.
    ContainerHangs(pod: PodId, container: u32);
    /// The kubelet began to stop a container because its liveness probe (or its startup probe) has failed.
    ProbeGaveUp(pod: PodId, container: u32, startup: u32);
    /// A node is being shut down: its kubelet says that it is not ready, and stops its pods.
    NodeShuttingDown(node: NodeId);
    /// A kubelet refused to run a pod, since its node is being shut down.
    PodRejected(pod: PodId);
    /// A budget was created, or its spec changed.
    PdbApplied(pdb: PdbId);
    /// A budget was deleted.
    PdbDeleted(pdb: PdbId);
    /// An operator gave a node its taint (1), or took it away (0).
    NodeMarked(node: NodeId, present: u32);
    /// A node got a taint of the effect NoExecute.
    PodsDrivenAway(node: NodeId);
    /// A node lost its taints of the effect NoExecute.
    PodsKept(node: NodeId);
    /// The toleration of a pod for its node's taints has run out, or there is none: it is deleted, no budget is asked.
    TaintEvictionDue(pod: PodId);
    /// The pod garbage collector deletes a pod by force.
    PodCollected(pod: PodId);
    /// The kernel and the kubelet of a node run again.
    NodeBooted(node: NodeId);
    /// The kubelet of a node was stopped.
    KubeletStopped(node: NodeId);
    /// The kubelet of a node was started.
    KubeletStarted(node: NodeId);
    /// A node was cut off: 1 from the control plane, 2 from all other nodes as well.
    NodeCutOff(node: NodeId, scope: u32);
    /// A node is no longer cut off.
    PartitionHealed(node: NodeId);
    /// The kubelet of a node is connected to the apiserver again.
    KubeletConnected(node: NodeId);
    /// The workers of the process accept no new connection; their common socket stays open until they have exited.
    StoppedAccepting(pod: PodId);
    /// The process's responses carry `Connection: close` from now on.
    SaysGoodbye(pod: PodId);
    /// The controller of the load balancer of a traffic stream has read that a target is healthy (1), or has just registered
    /// it (0).
    TargetHealth(pod: PodId, traffic: u32, healthy: u32);
    /// A condition that a readiness gate of a pod names was written: the gate's place in the spec, and whether it is True.
    GateWritten(pod: PodId, gate: u32, status: u32);
    /// One of the two containers that a request goes through listens: the proxy that is the front of the pod, or the one behind
    /// it.
    ContainerListens(pod: PodId, container: u32);
    /// One of these two listens no longer.
    ContainerStopsListening(pod: PodId, container: u32);
}

/// A field of a note as a number.
trait Word {
    fn word(self) -> u32;
}

macro_rules! words {
    ($($id:ty),*) => { $(impl Word for $id { fn word(self) -> u32 { self.0 } })* };
}
words!(NodeId, PodId, PdbId, ServiceId, DeploymentId, ReplicaSetId, StatefulSetId, DaemonSetId, JobId, AutoscalerId);

impl Word for u32 {
    fn word(self) -> u32 {
        self
    }
}

impl Word for Signal {
    fn word(self) -> u32 {
        self as u32
    }
}

impl What {
    /// Whether it is about what befalls a node, or about a pod's listening: what the parts of outages are told by.
    #[must_use]
    pub const fn is_moment(self) -> bool {
        matches!(
            self,
            Self::NodeOff { .. }
                | Self::KubeletStopped { .. }
                | Self::NodeCutOff { .. }
                | Self::NodeUnreachable { .. }
                | Self::PodsDrivenAway { .. }
                | Self::KubeletConnected { .. }
                | Self::ListenerOpened { .. }
                | Self::ContainerListens { .. }
        )
    }

    /// The pod that it is about, if it is about one. Remarks are left out: they are no part of the chains of causes.
    #[must_use]
    pub const fn pod(self) -> Option<PodId> {
        match self {
            Self::EvictionRequested { pod, .. }
            | Self::EvictionAdmitted { pod, .. }
            | Self::EvictionRefused { pod, .. }
            | Self::EvictionConflict { pod }
            | Self::PodDeleted { pod, .. }
            | Self::PodCreated { pod }
            | Self::PodUnschedulable { pod }
            | Self::PodBound { pod, .. }
            | Self::PodReady { pod }
            | Self::PodNotReady { pod }
            | Self::PodEnded { pod }
            | Self::PodRemoved { pod }
            | Self::PodStarting { pod }
            | Self::ContainerStarted { pod, .. }
            | Self::ListenerOpened { pod }
            | Self::KubeletSawDeletion { pod }
            | Self::KillingStarted { pod }
            | Self::PreStopStarted { pod, .. }
            | Self::PreStopEnded { pod, .. }
            | Self::PreStopOverran { pod, .. }
            | Self::SignalArrived { pod, .. }
            | Self::HookSignalled { pod, .. }
            | Self::ContainerBacksOff { pod, .. }
            | Self::ContainerHangs { pod, .. }
            | Self::ProbeGaveUp { pod, .. }
            | Self::PodRejected { pod }
            | Self::TaintEvictionDue { pod }
            | Self::PodCollected { pod }
            | Self::ListenerClosed { pod }
            | Self::StoppedAccepting { pod }
            | Self::SaysGoodbye { pod }
            | Self::TargetHealth { pod, .. }
            | Self::GateWritten { pod, .. }
            | Self::ContainerListens { pod, .. }
            | Self::ContainerStopsListening { pod, .. }
            | Self::PodLabelled { pod }
            | Self::PodReleased { pod }
            | Self::PodAdopted { pod, .. }
            | Self::ContainerExited { pod, .. }
            | Self::NetworkGone { pod } => Some(pod),
            _ => None,
        }
    }

    /// The pod that a remark is about (see [`Observer::remark`](super::Observer::remark)).
    #[must_use]
    pub const fn remarked_pod(self) -> Option<PodId> {
        match self {
            Self::ImagePresent { pod, .. }
            | Self::ImagePulling { pod, .. }
            | Self::ImagePulled { pod, .. }
            | Self::ProbeFailed { pod, .. }
            | Self::DeletedByController { pod } => Some(pod),
            _ => None,
        }
    }
}

/// The notes of a run in the order in which they were made.
#[derive(Clone, Debug)]
pub struct Trace {
    keep: bool,
    entries: Vec<TraceEntry>,
    texts: BTreeMap<CauseId, String>,
}

impl Trace {
    /// A trace that keeps its notes, or throws them away.
    #[must_use]
    pub const fn new(keep: bool) -> Self {
        Self { keep, entries: Vec::new(), texts: BTreeMap::new() }
    }

    /// Whether notes are kept.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.keep
    }

    /// Keeps the words of a component with its note, such as the reasons of FailedScheduling; not worked out if nobody
    /// will read them.
    pub fn put_text(&mut self, id: CauseId, text: impl FnOnce() -> String) {
        if self.keep {
            self.texts.insert(id, text());
        }
    }

    /// The words that belong to a note.
    #[must_use]
    pub fn text(&self, id: CauseId) -> Option<&str> {
        self.texts.get(&id).map(String::as_str)
    }

    /// Adds a note.
    pub fn push(&mut self, entry: TraceEntry) {
        if self.keep {
            self.entries.push(entry);
        }
    }

    /// All notes, in order of time.
    #[must_use]
    pub fn entries(&self) -> &[TraceEntry] {
        &self.entries
    }

    /// The note of this number.
    #[must_use]
    pub fn get(&self, id: CauseId) -> Option<&TraceEntry> {
        self.entries.get(id.0.checked_sub(1)? as usize)
    }

    /// The chain of causes that led to a note, the first cause first, the note itself last.
    #[must_use]
    pub fn chain(&self, id: CauseId) -> Vec<TraceEntry> {
        let mut chain: Vec<_> = std::iter::successors(self.get(id), |entry| self.get(entry.cause)).copied().collect();
        chain.reverse();
        chain
    }
}
