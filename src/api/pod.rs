//! Pods: what is written in a template, and what changes while a pod lives.

use crate::api::deletion::Deletion;
use crate::api::labels::{LabelSetId, Labels, Selector};
use crate::api::meta::{DaemonSetId, JobId, NodeId, ReplicaSetId, StatefulSetId, TemplateId};
use crate::api::node::Toleration;
use crate::api::quantity::Resources;
use crate::api::readiness::{Gates, ReadinessGate};
use crate::engine::{Duration, Time};

/// A pod template together with its namespace: everything that the copies of a workload share.
#[derive(Clone, PartialEq, Debug)]
pub struct PodTemplate {
    /// The namespace of the pods.
    pub namespace: String,
    /// `metadata.labels` of the template, without the `pod-template-hash` that the Deployment controller adds.
    pub labels: Labels,
    /// `spec.terminationGracePeriodSeconds`; 30 unless given (`pkg/apis/core/v1/defaults.go`).
    pub termination_grace_period_seconds: u64,
    /// `spec.initContainers` in order: those that run to completion, and sidecars.
    pub init_containers: Vec<Container>,
    /// `spec.containers`; never empty.
    pub containers: Vec<Container>,
    /// The number of the container that clients speak to; see [`container`](Self::container).
    pub serving: u8,
    /// The container through which they do, if that is another one.
    pub front: Option<Front>,
    /// `spec.restartPolicy`.
    pub restart_policy: RestartPolicy,
    /// `spec.priority`, or what `spec.priorityClassName` stands for; 0 unless given.
    pub priority: i32,
    /// What the scheduler sets aside: the sum over containers, or the largest init container if that is more.
    pub requests: Resources,
    /// Where the pods may and should run.
    pub placement: Placement,
    /// Whether any volume is an `emptyDir`: `kubectl drain` asks for `--delete-emptydir-data` then.
    pub has_empty_dir: bool,
    /// What it says to those who remove nodes.
    pub hints: DisruptionHints,
    /// `spec.readinessGates`, at most [`Gates::MAX`], with those that load balancers' webhooks add.
    pub readiness_gates: Vec<ReadinessGate>,
}

/// A proxy to which a pod's network leads every connection that comes to the serving container: a mesh's sidecar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Front {
    /// Its number.
    pub container: u8,
    /// How the two of them meet clients: connections are the proxy's affair, the work is the serving container's. An index
    /// into `Setup::apps`.
    pub app: u32,
}

/// What a pod says to the operators that remove nodes. kubectl reads none of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DisruptionHints {
    /// `priorityClassName` is `system-cluster-critical` or `system-node-critical`.
    pub critical: bool,
    /// The annotation `karpenter.sh/do-not-disrupt` is `"true"`.
    pub do_not_disrupt: bool,
    /// The annotation `cluster-autoscaler.kubernetes.io/safe-to-evict`.
    pub safe_to_evict: Option<bool>,
}

impl PodTemplate {
    /// Pods in the namespace `default` with these labels and containers, the first of which serves, and nothing that a
    /// manifest need not say: 30 s of grace, no requests, no wishes.
    #[must_use]
    pub fn plain(labels: Labels, containers: Vec<Container>) -> Self {
        Self {
            namespace: "default".to_string(),
            labels,
            termination_grace_period_seconds: 30,
            init_containers: Vec::new(),
            containers,
            serving: 0,
            front: None,
            restart_policy: RestartPolicy::Always,
            priority: 0,
            requests: Resources::default(),
            placement: Placement::default(),
            has_empty_dir: false,
            hints: DisruptionHints::default(),
            readiness_gates: Vec::new(),
        }
    }

    /// The container that clients speak to.
    ///
    /// # Panics
    ///
    /// If `serving` is no number of a container.
    #[must_use]
    pub fn serving(&self) -> &Container {
        self.container(self.serving)
    }

    /// What clients meet: an index into `Setup::apps`.
    #[must_use]
    pub fn entrance(&self) -> u32 {
        self.front.map_or_else(|| self.serving().app, |front| front.app)
    }

    /// A container by its number: `containers` first, in their order, then `init_containers` in theirs.
    ///
    /// # Panics
    ///
    /// If it is no number of a container.
    #[must_use]
    pub fn container(&self, number: u8) -> &Container {
        let number = usize::from(number);
        self.containers.get(number).unwrap_or_else(|| &self.init_containers[number - self.containers.len()])
    }

    /// All containers, in the order of their numbers.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().chain(&self.init_containers)
    }

    /// As [`container`](Self::container), to be changed.
    ///
    /// # Panics
    ///
    /// If it is no number of a container.
    pub fn container_mut(&mut self, number: u8) -> &mut Container {
        let (number, containers) = (usize::from(number), self.containers.len());
        if number < containers { &mut self.containers[number] } else { &mut self.init_containers[number - containers] }
    }

    /// How many containers there are, init containers included.
    #[must_use]
    pub fn container_count(&self) -> usize {
        self.containers.len() + self.init_containers.len()
    }

    /// The number of the init container at this index.
    #[must_use]
    pub fn init_number(&self, index: usize) -> u8 {
        u8::try_from(self.containers.len() + index).unwrap_or(u8::MAX)
    }

    /// Whether the container of this number is an init container that runs to completion.
    #[must_use]
    pub fn runs_to_completion(&self, number: u8) -> bool {
        usize::from(number) >= self.containers.len() && !self.container(number).sidecar
    }

    /// Whether the container of this number is started again after it has ended with this exit code, as long as the pod is
    /// not to go.
    ///
    /// Source: `pkg/api/v1/pod/util.go` ContainerShouldRestart (v1.36). An init container that has ended well is done; one
    /// that has failed is tried again unless the policy is Never.
    #[must_use]
    pub fn restarts(&self, number: u8, exit_code: u32) -> bool {
        if self.container(number).sidecar {
            return true;
        }
        match self.restart_policy {
            RestartPolicy::Always => exit_code != 0 || !self.runs_to_completion(number),
            RestartPolicy::OnFailure => exit_code != 0,
            RestartPolicy::Never => false,
        }
    }
}

/// `spec.restartPolicy`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum RestartPolicy {
    /// Whatever a container ends with.
    #[default]
    Always,
    /// Only what has ended with another exit code than 0.
    OnFailure,
    /// Nothing.
    Never,
}

/// One container of a pod template.
#[derive(Clone, PartialEq, Debug)]
pub struct Container {
    /// `name`.
    pub name: String,
    /// `image`, as written.
    pub image: String,
    /// `lifecycle.preStop`.
    pub pre_stop: Option<Hook>,
    /// `readinessProbe`.
    pub readiness: Option<Probe>,
    /// `startupProbe`.
    pub startup: Option<Probe>,
    /// `livenessProbe`.
    pub liveness: Option<Probe>,
    /// Whether it is an init container with `restartPolicy: Always`: started in its turn among the init containers, and
    /// stopped after all `containers`.
    pub sidecar: bool,
    /// Index into the applications of the [`Setup`](crate::simulation::Setup): how the process in the container behaves.
    pub app: u32,
}

impl Container {
    /// One without hooks and probes. `app` is an index into the applications of the
    /// [`Setup`](crate::simulation::Setup).
    #[must_use]
    pub fn plain(name: &str, image: &str, app: u32) -> Self {
        Self {
            name: name.to_string(),
            image: image.to_string(),
            pre_stop: None,
            readiness: None,
            startup: None,
            liveness: None,
            sidecar: false,
            app,
        }
    }
}

/// A `preStop` hook, as far as the model can see into it.
#[derive(Clone, PartialEq, Debug)]
pub enum Hook {
    /// `exec`: a command in the container, read into the steps that matter.
    Exec(Vec<HookStep>),
    /// `httpGet`: a request to the container; it takes this long to be answered (an assumption of the scenario) and may
    /// make the application behave as if it had received a signal.
    HttpGet(Vec<HookStep>),
    /// `sleep`: a timer of the kubelet; nothing runs in the container.
    Sleep(Duration),
}

impl Hook {
    /// Whether it sleeps before it does anything else. A request may take its time, too, but is no sleep.
    #[must_use]
    pub fn sleeps_first(&self) -> bool {
        match self {
            Self::Sleep(_) => true,
            Self::Exec(steps) => matches!(steps.first(), Some(HookStep::Wait(_))),
            Self::HttpGet(_) => false,
        }
    }
}

/// What a hook does, one thing after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HookStep {
    /// Nothing, for so long: `sleep 5`.
    Wait(Duration),
    /// Sends a signal to the container's application: `nginx -s quit`.
    Signal(Signal),
    /// Waits until the application has exited: `while pgrep nginx; do sleep 1; done`. The container's own end cuts the
    /// hook short, so that this never ends by itself.
    UntilExit,
}

/// A signal that asks a process to end in some way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Signal {
    /// SIGTERM.
    Term,
    /// SIGQUIT.
    Quit,
    /// SIGINT.
    Int,
    /// SIGUSR1.
    Usr1,
    /// SIGWINCH.
    Winch,
    /// SIGHUP.
    Hup,
    /// SIGKILL.
    Kill,
}

impl Signal {
    /// The name as Kubernetes and images write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Quit => "SIGQUIT",
            Self::Int => "SIGINT",
            Self::Usr1 => "SIGUSR1",
            Self::Winch => "SIGWINCH",
            Self::Hup => "SIGHUP",
            Self::Kill => "SIGKILL",
        }
    }
}

/// A readiness, startup or liveness probe. Whether an attempt succeeds is decided by the application model: it does while
/// the application listens and does not hang.
///
/// Defaults: period 10 s, timeout 1 s, success threshold 1, failure threshold 3, no initial delay
/// (`pkg/apis/core/v1/defaults.go` SetDefaults_Probe, v1.36).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// `initialDelaySeconds`, counted from the container's start.
    pub initial_delay: Duration,
    /// `periodSeconds`.
    pub period: Duration,
    /// `timeoutSeconds`: how long an attempt waits for an answer. Matters where the process hangs.
    pub timeout: Duration,
    /// `successThreshold`.
    pub success_threshold: u32,
    /// `failureThreshold`.
    pub failure_threshold: u32,
    /// `terminationGracePeriodSeconds` of the probe: what a container has when this probe's failure ends it; the pod's
    /// unless given.
    pub termination_grace_seconds: Option<u64>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_seconds: None,
        }
    }
}

/// Where pods may run, and where they would rather.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Placement {
    /// `spec.nodeName`: bypasses the scheduler.
    pub node_name: Option<String>,
    /// `spec.nodeSelector`, and every label of it.
    pub node_selector: Selector,
    /// `affinity.nodeAffinity.requiredDuringScheduling…`: one of these terms must match; none given means anything does.
    pub required_node_terms: Vec<Selector>,
    /// `spec.tolerations`, with those that admission adds.
    pub tolerations: Vec<Toleration>,
    /// `affinity.podAffinity.requiredDuringScheduling…`.
    pub required_affinity: Vec<PodTerm>,
    /// `affinity.podAntiAffinity.requiredDuringScheduling…`.
    pub required_anti_affinity: Vec<PodTerm>,
    /// `affinity.pod(Anti)Affinity.preferredDuringScheduling…`: weight (negative: anti-affinity) and term.
    pub preferred: Vec<(i32, PodTerm)>,
    /// `spec.topologySpreadConstraints`.
    pub spread: Vec<SpreadConstraint>,
}

/// Pods that match a selector, counted per topology domain.
#[derive(Clone, PartialEq, Debug)]
pub struct PodTerm {
    /// Which pods (of the same namespace).
    pub selector: Selector,
    /// The node label that names the domain: `kubernetes.io/hostname`, `topology.kubernetes.io/zone`.
    pub topology_key: String,
}

/// One topology spread constraint.
#[derive(Clone, PartialEq, Debug)]
pub struct SpreadConstraint {
    /// Which pods are spread, over which domains.
    pub term: PodTerm,
    /// How much fuller than the emptiest a domain may be.
    pub max_skew: u32,
    /// `whenUnsatisfiable: DoNotSchedule` (true) or `ScheduleAnyway`.
    pub required: bool,
}

/// What is fixed when a pod is created.
#[derive(Clone, PartialEq, Debug)]
pub struct PodMeta {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// What it was made from.
    pub template: TemplateId,
    /// The controller that made it. Who controls it *now* is told by [`Store::owner_of`](crate::api::Store::owner_of).
    pub owner: Owner,
    /// The only node that it may run on: the node affinity that the DaemonSet controller gives to each of its pods.
    pub only_on: Option<NodeId>,
    /// When the object was created.
    pub created_at: Time,
    /// A number that stands for this pod in keyed draws: the same in runs that differ elsewhere.
    pub luck: u64,
}

/// The controller owner reference of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// None: a bare pod, which nobody replaces.
    None,
    /// A ReplicaSet, its `ordinal`-th pod in order of creation.
    ReplicaSet(ReplicaSetId),
    /// A StatefulSet.
    StatefulSet(StatefulSetId),
    /// A DaemonSet.
    DaemonSet(DaemonSetId),
    /// A Job.
    Job(JobId),
    /// A static pod's mirror (annotation `kubernetes.io/config.mirror`): drain passes it by.
    Mirror,
    /// Another controller, of this kind and name, that is not modelled.
    Other {
        /// `Workflow`, `Rollout`, …
        kind: String,
        /// Its name.
        name: String,
    },
}

/// What has become of the controller owner reference that a pod was created with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Handover {
    /// It is as it was.
    #[default]
    None,
    /// Its controller has given it up, because its labels no longer match: it is on its own.
    Released,
    /// A ReplicaSet has taken it.
    Adopted(ReplicaSetId),
}

/// `status.phase`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Not all containers have been started.
    Pending,
    /// At least one container runs, or is about to be restarted.
    Running,
    /// All containers have ended well.
    Succeeded,
    /// All containers have ended, at least one badly.
    Failed,
}

impl Phase {
    /// Succeeded or Failed: nothing will run any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// `status.reason` of a pod, where a kubelet gives one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StatusReason {
    /// `Terminated`: stopped because its node was shut down (`pkg/kubelet/nodeshutdown/nodeshutdown_manager.go`, v1.36).
    Terminated,
    /// `NodeShutdown`: rejected by a kubelet whose node is being shut down.
    NodeShutdown,
}

impl StatusReason {
    /// As the API has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Terminated => "Terminated",
            Self::NodeShutdown => "NodeShutdown",
        }
    }
}

/// The statuses of a pod's containers, as the store keeps them: equal ones once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StatusesId(pub u32);

/// One entry of `status.containerStatuses` or `status.initContainerStatuses`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ContainerStatus {
    /// `state`.
    pub state: ContainerState,
    /// `lastState.terminated`.
    pub last: Option<Terminated>,
    /// `ready`.
    pub ready: bool,
    /// `started`: it runs, and its startup probe has succeeded.
    pub started: bool,
    /// `restartCount`.
    pub restart_count: u32,
}

impl ContainerStatus {
    /// A container that has never run.
    #[must_use]
    pub const fn waiting(reason: WaitingReason) -> Self {
        Self { state: ContainerState::Waiting(reason), last: None, ready: false, started: false, restart_count: 0 }
    }
}

/// `state` of a container.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ContainerState {
    /// There is no process.
    Waiting(WaitingReason),
    /// There is one.
    Running,
    /// It has ended, and its restart (if there is to be one) has not been put off yet.
    Terminated(Terminated),
}

/// Why a container waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WaitingReason {
    /// Images are pulled, containers made.
    ContainerCreating,
    /// Init containers come first.
    PodInitializing,
    /// It ended, and its next start is put off.
    CrashLoopBackOff,
}

impl WaitingReason {
    /// As the API has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContainerCreating => "ContainerCreating",
            Self::PodInitializing => "PodInitializing",
            Self::CrashLoopBackOff => "CrashLoopBackOff",
        }
    }
}

/// How a container ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Terminated {
    /// `exitCode`: 137 after SIGKILL.
    pub exit_code: u32,
    /// `finishedAt`, cut to whole seconds as the API stores it.
    pub finished_at: Time,
}

impl Terminated {
    /// `reason`, as the container runtime gives it.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        if self.exit_code == 0 { "Completed" } else { "Error" }
    }
}

/// One version of a pod, as stored: the part that changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pod {
    /// Its labels.
    pub labels: LabelSetId,
    /// `spec.nodeName`.
    pub node: Option<NodeId>,
    /// `status.phase`.
    pub phase: Phase,
    /// The Ready condition.
    pub ready: bool,
    /// `lastTransitionTime` of the Ready condition, cut to whole seconds as the API stores it.
    pub ready_since: Time,
    /// Whether `status.podIP` is set: only then can the pod be an endpoint.
    pub has_ip: bool,
    /// `metadata.deletionTimestamp` and `deletionGracePeriodSeconds`.
    pub deletion: Option<Deletion>,
    /// The condition DisruptionTarget.
    pub disruption_target: bool,
    /// `status.containerStatuses` and `status.initContainerStatuses`: see
    /// [`Store::container_statuses`](crate::api::Store::container_statuses).
    pub containers: StatusesId,
    /// `status.reason`.
    pub reason: Option<StatusReason>,
    /// It has the finalizer `batch.kubernetes.io/job-tracking`: its object stays until the Job controller has counted it.
    pub finalizer: bool,
    /// Whether its controller has changed since it was created.
    pub handover: Handover,
    /// The conditions that its readiness gates name.
    pub gates: Gates,
}

impl Pod {
    /// A pod as it is created: Pending, nowhere.
    #[must_use]
    pub const fn created(labels: LabelSetId, node: Option<NodeId>) -> Self {
        Self {
            labels,
            node,
            phase: Phase::Pending,
            ready: false,
            ready_since: Time::ZERO,
            has_ip: false,
            deletion: None,
            disruption_target: false,
            containers: StatusesId(0),
            reason: None,
            finalizer: false,
            handover: Handover::None,
            gates: Gates::NONE,
        }
    }

    /// Whether a ReplicaSet counts it: neither ended nor being deleted.
    ///
    /// Source: `pkg/controller/controller_utils.go` IsPodActive (v1.36).
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.phase.is_terminal() && self.deletion.is_none()
    }
}
