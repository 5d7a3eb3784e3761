//! Everything that can happen, as small values: the table of contents of the simulation is the `match` over these in
//! `world.rs`.

use crate::api::{Kind, NodeId, PodId};

/// An event of the future-event list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// An action of the scenario is due: index into `Setup::actions`.
    Action(u32),
    /// A node that joins becomes Ready.
    NodeReady(NodeId),
    /// A watch delivers one version of one object.
    Deliver(WatchId, Kind, u32, u64),
    /// A write reaches the store: index of a pending write.
    Commit(u32),
    /// An eviction call in the apiserver takes its next step: index of the call.
    Eviction(u32),
    /// A controller's worker takes a key.
    Sync(Controller, u32),
    /// A delayed key is due in a controller's queue.
    Requeue(Controller, u32),
    /// The scheduler takes the next pod.
    Schedule,
    /// Pods in the scheduler's back-off or unschedulable queue are due.
    ScheduleRetry(PodId),
    /// The node monitor takes its next step.
    NodeMonitor(MonitorStep),
    /// The toleration of a pod for its node's NoExecute taints has run out.
    TaintEviction(PodId),
    /// A pass of the pod garbage collector.
    PodGc,
    /// A machine, or what connects it to others, changes. The number tells changes apart that have been overtaken.
    Fault(NodeId, FaultStep, u32),
    /// A kubelet does the next thing for a pod.
    Kubelet(PodId, KubeletStep),
    /// A kubelet does the next thing about the shutdown of its node.
    NodeShutdown(NodeId, ShutdownStep),
    /// The process in a container does something.
    App(PodId, u8, AppStep),
    /// The controller of the load balancer of a traffic stream may have read something new about the health of targets.
    TargetHealth(u32),
    /// A running `kubectl` does its next thing: index of the process, and what.
    Kubectl(u32, KubectlStep),
}

/// A watch stream: who reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatchId(pub u32);

/// The controllers of kube-controller-manager that are modelled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Controller {
    /// `pkg/controller/disruption`, by budget.
    Disruption,
    /// `pkg/controller/endpointslice`, by Service.
    EndpointSlice,
    /// `pkg/controller/deployment`, by Deployment.
    Deployment,
    /// `pkg/controller/replicaset`, by ReplicaSet.
    ReplicaSet,
    /// The part of `pkg/controller/nodelifecycle` that turns `spec.unschedulable` into a taint, by node.
    NodeLifecycle,
    /// `pkg/controller/statefulset`, by StatefulSet.
    StatefulSet,
    /// `pkg/controller/daemon`, by DaemonSet.
    DaemonSet,
    /// `pkg/controller/job`, by Job.
    Job,
    /// `pkg/controller/podautoscaler`, by HorizontalPodAutoscaler.
    Autoscaler,
}

/// What the node monitor does next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MonitorStep {
    /// A pass over all nodes begins.
    Pass,
    /// All writes of the pass have been answered: the states of the zones are worked out.
    PassEnd,
    /// Nodes that wait for their NoExecute taint are looked at.
    Tainting,
}

/// What happens to a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FaultStep {
    /// The kernel and the kubelet run again.
    Booted,
    /// A kubelet that was stopped runs again.
    KubeletStarted,
    /// The partition is over.
    Healed,
    /// The kubelet's requests arrive again, and its watches have been made anew.
    Connected,
    /// The watch of the node's kube-proxy has been made anew.
    ProxyConnected,
    /// The kubelet reports its node's status.
    StatusReport,
}

/// What a kubelet does next for a pod.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KubeletStep {
    /// Something asks for a sync of the pod.
    Update,
    /// The pod's worker begins the sync that it has taken.
    Sync,
    /// The sandbox is there.
    SandboxReady,
    /// The image of the next container is there.
    ImageReady(u8),
    /// A container has been started.
    ContainerStarted(u8),
    /// A readiness or startup probe of a container has an answer that changes something.
    ProbeResult(u8),
    /// The liveness probe of a container has failed often enough.
    LivenessFailed(u8),
    /// The preStop hook of a container takes its next step.
    Hook(u8),
    /// The grace period has run out while a container's preStop hook was running.
    HookDeadline(u8),
    /// The stop signal arrives in a container.
    StopSignal(u8),
    /// A container's time after the stop signal is over.
    Kill(u8),
    /// The grace period of a sidecar is over before its turn to be stopped has come.
    Turn(u8),
    /// CRI StopContainer has returned for a container whose process has ended.
    ContainerStopped(u8),
    /// The pod's network is taken down.
    SandboxStopped,
    /// The runtime has been looked at once more: the last status is known.
    TerminalStatus,
    /// The status writer takes up this pod.
    PatchStatus,
    /// The status writer compares what the API has with what it knows.
    Reconcile,
    /// Volumes and cgroups are gone: the object may be deleted.
    CleanedUp,
}

/// What the process in a container does next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AppStep {
    /// It listens.
    Listening,
    /// It acts on a signal (by its number in [`SIGNALS`]).
    React(u8),
    /// It closes its listener, after lingering.
    CloseListener,
    /// It exits.
    Exit,
    /// It tries again whether what it waits for is there.
    Attempt,
    /// It ends by itself.
    End,
    /// It crashes.
    Crash,
    /// It hangs from now on.
    Hang,
}

/// What a kubelet does while its node is being shut down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ShutdownStep {
    /// The time of a group of pods (by its place in the order of stopping) is over.
    GroupOver(u8),
    /// The volumes of a pod are looked at again.
    Look,
    /// It delays the shutdown no longer.
    PowerOff,
}

/// What a running `kubectl` does next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KubectlStep {
    /// Begins.
    Start,
    /// The answer to the look-up of the n-th node of the command line (or of the one other object) has come.
    Found(u32),
    /// The cordon (or other single write) of the n-th node has been answered.
    Cordon(u32),
    /// The pods of the n-th node have been listed.
    List(u32),
    /// The pods of the n-th node have been filtered.
    Filtered(u32),
    /// The evictions of the n-th node begin.
    Begin(u32),
    /// The n-th pod of the current node is to be evicted.
    Evict(u32),
    /// The eviction of the n-th pod may leave: the client's rate limit allows it.
    Send(u32),
    /// The n-th pod has been refused; it is fetched anew before the next attempt.
    Refresh(u32),
    /// The answer to the deletion of the n-th pod has come.
    Answer(u32),
    /// The pods of the n-th wait are to be looked at again.
    Poll(u32),
    /// The answer to a look at a pod of the n-th wait has come.
    Looked(u32),
    /// The list of the nodes that a selector takes has come.
    Selected,
    /// The machine that was ordered as the n-th is Ready.
    MachineReady(u32),
    /// The write that takes the n-th node out of service (or puts it back) has been answered.
    Marked(u32),
    /// The time that was given to the n-th node is over.
    Deadline(u32),
    /// A wait that is part of the work on the n-th node is over.
    Waited(u32),
    /// The Node object of the n-th node is gone.
    Removed(u32),
}

/// Signals by number, for [`AppStep::React`].
pub const SIGNALS: [crate::api::pod::Signal; 7] = {
    use crate::api::pod::Signal::{Hup, Int, Kill, Quit, Term, Usr1, Winch};
    [Term, Quit, Int, Usr1, Winch, Hup, Kill]
};
