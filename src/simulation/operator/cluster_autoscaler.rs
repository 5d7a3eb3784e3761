//! A scale-down by cluster-autoscaler: the node is tainted, its pods are evicted with a patience of two minutes each, and
//! the machine goes; or nothing comes of it, and the taint is taken away again.
//!
//! Which nodes are no longer needed, and for how long that must hold (`--scale-down-unneeded-time`), is said by the scenario;
//! whether a node *can* be removed is decided here.
//!
//! Source: `cluster-autoscaler/core/scaledown/actuation/{actuator,drain,group_deletion_scheduler}.go`,
//! `cluster-autoscaler/simulator/drainability/rules` (cluster-autoscaler 1.36.1). Not modelled: drain priorities, pods that
//! must complete, `--min-replica-count`, `--scale-down-parallelism`, and its client's rate limit.

use crate::api::eviction::Refusal;
use crate::api::{Node, NodeId, Owner, PodId, Taint, TaintEffect};
use crate::engine::{Duration, Time};
use crate::simulation::context::node_luck;
use crate::simulation::event::KubectlStep;
use crate::simulation::operator::evictor::{BackOff, Evictor, Reply, State, is_over};
use crate::simulation::operator::progress::NodeProgress;
use crate::simulation::operator::shell::{MachineOrder, Shell};
use crate::simulation::operator::single::live_node;
use crate::simulation::setup::ClusterAutoscalerOptions;
use crate::simulation::write::Write;

/// `ToBeDeletedTaint`.
pub(super) const TAINT: &str = Node::TO_BE_DELETED;
/// `DefaultEvictionRetryTime`, the same after each refusal, whatever its reason.
const RETRY: BackOff = BackOff::constant(Duration::from_secs(10));
/// Between two looks at the pods that are to disappear.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// `DefaultPodEvictionHeadroom`.
const HEADROOM: Duration = Duration::from_secs(30);
/// `--unremovable-node-recheck-timeout`.
const RECHECK_UNREMOVABLE: Duration = Duration::from_secs(300);
/// `--scale-down-delay-after-failure`.
const DELAY_AFTER_FAILURE: Duration = Duration::from_secs(180);
/// `--blocking-system-pod-distruption-timeout` (sic).
const SYSTEM_POD_TIMEOUT: Duration = Duration::from_secs(3600);
/// `PodLongTerminatingExtraThreshold`.
const LONG_TERMINATING: Duration = Duration::from_secs(30);

/// A running scale-down.
#[derive(Clone, Debug)]
pub struct ClusterAutoscaler {
    options: ClusterAutoscalerOptions,
    works: Vec<Work>,
    evictor: Evictor,
}

#[derive(Clone, Debug)]
struct Work {
    progress: NodeProgress,
    id: Option<NodeId>,
    stage: Stage,
    /// No eviction is tried from then on.
    retry_until: Option<Time>,
    /// The pods must have disappeared by then.
    gone_until: Option<Time>,
    /// Numbers of pods that must go, and of those that may.
    full: Vec<u32>,
    best_effort: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Nothing is done; it may be looked at later.
    Idle,
    Tainting,
    /// `--node-delete-delay-after-taint`.
    Delaying,
    Evicting,
    Disappearing,
    Cleaning,
    Removing,
    Done,
}

impl ClusterAutoscaler {
    /// A scale-down that has not begun.
    #[must_use]
    pub fn new(options: &ClusterAutoscalerOptions) -> Self {
        let work = |name: &String| Work {
            progress: NodeProgress::new(name),
            id: None,
            stage: Stage::Idle,
            retry_until: None,
            gone_until: None,
            full: Vec::new(),
            best_effort: Vec::new(),
        };
        let works = options.nodes.iter().map(work).collect();
        Self { options: options.clone(), works, evictor: Evictor::new(RETRY) }
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeProgress> {
        self.works.iter().map(|w| &w.progress)
    }

    /// Takes a step, or the answer to a write; the exit code if it was the last one.
    pub fn step(&mut self, shell: &mut Shell<'_, '_>, step: KubectlStep) -> Option<i32> {
        match step {
            KubectlStep::Start => (0..self.works.len()).for_each(|work| self.consider(shell, work)),
            KubectlStep::Begin(work) => self.consider(shell, work as usize),
            KubectlStep::Marked(work) => self.marked(shell, work),
            KubectlStep::Waited(work) => self.evict_pods(shell, work),
            KubectlStep::Evict(slot) => self.try_again(shell, slot),
            KubectlStep::Send(slot) => self.evictor.send(shell, slot),
            KubectlStep::Poll(work) => self.poll(shell, work),
            KubectlStep::Looked(work) => self.looked(shell, work),
            KubectlStep::Removed(work) => self.works[work as usize].stage = Stage::Done,
            _ => {}
        }
        self.works.iter().all(|w| w.stage == Stage::Done).then_some(0)
    }

    /// An eviction has been answered.
    pub fn eviction_answered(
        &mut self,
        shell: &mut Shell<'_, '_>,
        slot: u32,
        result: Result<(), Refusal>,
    ) -> Option<i32> {
        let node = self.evictor.attempts()[slot as usize].node;
        let progress = &mut self.works[node as usize].progress;
        let (granted, code) = (result.is_ok(), result.err().map(Refusal::code));
        match self.evictor.answered(shell, slot, result) {
            Reply::Accepted => progress.granted += u64::from(granted),
            Reply::Refused | Reply::Pending => progress.denied += u64::from(code == Some(429)),
        }
        self.confirm(shell, node);
        None
    }

    /// The planner looks whether the node can be removed: if not, again after five minutes. All nodes are tainted before
    /// any is emptied, so that the pods of one do not come to the next.
    fn consider(&mut self, shell: &mut Shell<'_, '_>, work: usize) {
        let entry = &mut self.works[work];
        if entry.stage != Stage::Idle {
            return;
        }
        let Some(node) = live_node(&shell.ctx.store, &entry.progress.name) else {
            entry.stage = Stage::Done;
            return;
        };
        entry.id = Some(node);
        if let Some(reason) = blocking_pod(shell, node, &self.options) {
            let name = &entry.progress.name;
            shell.print(index(work), format!("node {name} cannot be removed: {reason}"));
            shell.after(RECHECK_UNREMOVABLE, KubectlStep::Begin(index(work)));
            return;
        }
        entry.progress.begin(shell, node);
        entry.stage = Stage::Tainting;
        self.mark(shell, work, true);
    }

    fn mark(&self, shell: &mut Shell<'_, '_>, work: usize, present: bool) {
        let entry = &self.works[work];
        let Some(node) = entry.id else { return };
        let value = shell.now().truncate_to_second().as_nanos() / 1_000_000_000;
        let taint = Taint { key: TAINT.to_string(), value: value.to_string(), effect: TaintEffect::NoSchedule };
        let unschedulable = self.options.cordon.then_some(present);
        let write = Write::MarkNode { node, taint, present, unschedulable };
        shell.write(write, node_luck(&entry.progress.name), KubectlStep::Marked(index(work)));
    }

    fn marked(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let entry = &mut self.works[number as usize];
        match entry.stage {
            Stage::Tainting => {
                shell.print(number, "Normal ScaleDown: marked the node as toBeDeleted/unschedulable");
                entry.stage = Stage::Delaying;
                shell.after(self.options.node_delete_delay_after_taint, KubectlStep::Waited(number));
            }
            Stage::Cleaning => {
                entry.stage = Stage::Idle;
                shell.after(DELAY_AFTER_FAILURE, KubectlStep::Begin(number));
            }
            _ => {}
        }
    }

    /// The pods are looked at once more, and evicted all at the same time.
    fn evict_pods(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let work = number as usize;
        let Some(node) = self.works[work].id else { return };
        if self.works[work].stage != Stage::Delaying {
            return;
        }
        if let Some(reason) = blocking_pod(shell, node, &self.options) {
            return self.fail(shell, number, &format!("failed to get pods to move on node: {reason}"));
        }
        let store = &shell.ctx.store;
        let mut pods: Vec<PodId> = store.pods_on(node).to_vec();
        pods.sort_by_key(|pod| store.pod_name(*pod));
        let entry = &mut self.works[work];
        (entry.full, entry.best_effort) = (Vec::new(), Vec::new());
        entry.stage = Stage::Evicting;
        entry.retry_until = Some(shell.now() + self.options.max_pod_eviction_time);
        for pod in pods {
            let owner = &shell.ctx.store.pod_meta[pod.index()].owner;
            let daemon = matches!(owner, Owner::DaemonSet(_));
            if matches!(owner, Owner::Mirror) || (daemon && !self.options.evict_daemonsets) {
                continue;
            }
            let own = shell.ctx.store.template_of(pod).termination_grace_period_seconds;
            let limit = self.options.max_graceful_termination;
            let grace = if limit > 0 { own.min(limit) } else { own };
            let slot = self.evictor.add(number, pod, Some(i64::try_from(grace).unwrap_or(i64::MAX)));
            let entry = &mut self.works[work];
            if daemon {
                entry.best_effort.push(slot)
            } else {
                entry.full.push(slot)
            }
            let text = format!("Normal ScaleDown: deleting pod for node scale down: {}", shell.ctx.store.pod_name(pod));
            shell.print(number, text);
            self.evictor.ask(shell, slot);
        }
        self.confirm(shell, number);
    }

    /// The deadline is looked at before each attempt but the first, after the sleep.
    fn try_again(&mut self, shell: &mut Shell<'_, '_>, slot: u32) {
        let attempt = self.evictor.attempts()[slot as usize];
        let entry = &self.works[attempt.node as usize];
        if attempt.state != State::BackingOff || entry.stage != Stage::Evicting {
            return;
        }
        if is_over(entry.retry_until, shell.now()) {
            self.evictor.finish(slot);
            self.confirm(shell, attempt.node);
        } else {
            self.evictor.ask(shell, slot);
        }
    }

    /// Every pod must be confirmed or given up, those of DaemonSets too, before the node goes on or fails.
    fn confirm(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let entry = &self.works[number as usize];
        let state = |slot: &u32| self.evictor.attempts()[*slot as usize].state;
        if entry.stage != Stage::Evicting
            || entry.full.iter().chain(&entry.best_effort).any(|s| matches!(state(s), State::Asked | State::BackingOff))
        {
            return;
        }
        let failed: Vec<u32> = entry.full.iter().copied().filter(|slot| state(slot) == State::Over).collect();
        if failed.is_empty() {
            let limit = Duration::from_secs(self.options.max_graceful_termination) + HEADROOM;
            let entry = &mut self.works[number as usize];
            entry.stage = Stage::Disappearing;
            entry.gone_until = Some(shell.now() + limit);
            return self.poll(shell, number);
        }
        for slot in failed {
            let pod = self.evictor.attempts()[slot as usize].pod;
            let text = format!(
                "Warning ScaleDownFailed: failed to delete pod for ScaleDown: {}",
                shell.ctx.store.pod_name(pod)
            );
            shell.print(number, text);
        }
        self.fail(shell, number, "prepareNodeForDeletion failed");
    }

    fn poll(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let entry = &self.works[number as usize];
        if entry.stage != Stage::Disappearing {
            return;
        }
        if is_over(entry.gone_until, shell.now()) {
            self.fail(shell, number, "pods remaining after timeout");
        } else {
            shell.read(node_luck(&self.works[number as usize].progress.name), KubectlStep::Looked(number));
        }
    }

    fn looked(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let entry = &self.works[number as usize];
        let is_there = |slot: &u32| {
            let pod = self.evictor.attempts()[*slot as usize].pod;
            shell.ctx.store.pods.head(pod.index()).is_some()
        };
        if !entry.full.iter().any(is_there) {
            return self.remove(shell, number);
        }
        shell.after(POLL_INTERVAL, KubectlStep::Poll(number));
    }

    /// The taint is taken away; the node is considered again three minutes later.
    fn fail(&mut self, shell: &mut Shell<'_, '_>, number: u32, reason: &str) {
        let work = number as usize;
        let Some(node) = self.works[work].id else { return };
        shell.print(number, format!("Warning ScaleDownFailed: failed to drain and delete node: {reason}"));
        self.works[work].stage = Stage::Cleaning;
        self.works[work].progress.end(shell, node, 1);
        self.mark(shell, work, false);
    }

    /// The cloud provider is asked to delete the machine. It is off at once here; its Node object goes when the cloud
    /// controller manager has seen the node not ready, which is after the monitor grace period, and looks every 5 s
    /// (`k8s.io/cloud-provider/controllers/nodelifecycle` MonitorNodes, v1.36).
    fn remove(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        const MONITOR_PERIOD: Duration = Duration::from_secs(5);
        let entry = &mut self.works[number as usize];
        let Some(node) = entry.id else { return };
        entry.progress.end(shell, node, 0);
        entry.stage = Stage::Removing;
        shell.print(number, "Normal ScaleDown: node removed by cluster autoscaler");
        shell.machines.push(MachineOrder::Stop(node));
        let unseen = Duration::from_secs(shell.ctx.version.node_monitor_grace_seconds()) + MONITOR_PERIOD;
        let caller = crate::simulation::write::Caller::Kubectl(shell.id, KubectlStep::Removed(number));
        shell.ctx.submit_after(unseen, Write::DeleteNode { node }, caller);
    }
}

/// Why the node cannot be removed: the first pod that stands in the way (GetPodsToMove, with the rules in their order).
fn blocking_pod(shell: &Shell<'_, '_>, node: NodeId, options: &ClusterAutoscalerOptions) -> Option<String> {
    let store = &shell.ctx.store;
    let mut pods: Vec<PodId> = store.pods_on(node).to_vec();
    pods.sort_by_key(|pod| store.pod_name(*pod));
    pods.into_iter().find_map(|pod| blocks(shell, pod, options))
}

fn blocks(shell: &Shell<'_, '_>, pod: PodId, options: &ClusterAutoscalerOptions) -> Option<String> {
    let store = &shell.ctx.store;
    let (head, meta, template) = (store.pods.head(pod.index())?, &store.pod_meta[pod.index()], store.template_of(pod));
    let grace = Duration::from_secs(template.termination_grace_period_seconds);
    let long_terminating = head.deletion.is_some_and(|d| d.timestamp + grace + LONG_TERMINATING < shell.now());
    let owner = store.owner_of(pod, head);
    let passes = matches!(owner, Owner::Mirror | Owner::DaemonSet(_))
        || long_terminating
        || template.hints.safe_to_evict == Some(true)
        || head.phase.is_terminal();
    if passes {
        return None;
    }
    let budgets = &store.label_set(head.labels).pdbs;
    let budgets: Vec<_> = budgets.iter().filter_map(|id| store.pdbs.head(id.index())).collect();
    // with --skip-nodes-with-custom-controller-pods, which is on by default, only these kinds count as controllers
    let replicated = match &owner {
        Owner::ReplicaSet(_) | Owner::StatefulSet(_) | Owner::Job(_) => true,
        Owner::Other { kind, .. } => kind == "ReplicationController",
        Owner::None | Owner::DaemonSet(_) | Owner::Mirror => false,
    };
    if !replicated {
        return Some(format!("{}/{} is not replicated", meta.namespace, meta.name));
    }
    // what was there at the start has been there for longer than the timeout
    let is_young = meta.created_at > Time::ZERO && shell.now() < meta.created_at + SYSTEM_POD_TIMEOUT;
    if meta.namespace == "kube-system" && budgets.is_empty() && is_young {
        return Some(format!("non-daemonset, non-mirrored, non-pdb-assigned kube-system pod present: {}", meta.name));
    }
    if template.hints.safe_to_evict == Some(false) {
        return Some(format!("pod annotated as not safe to evict present: {}", meta.name));
    }
    if template.has_empty_dir && options.skip_nodes_with_local_storage {
        return Some(format!("pod with local storage present: {}", meta.name));
    }
    if budgets.iter().any(|pdb| pdb.status.disruptions_allowed < 1) {
        return Some(format!("not enough pod disruption budget to move {}/{}", meta.namespace, meta.name));
    }
    None
}

fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
