//! The upgrade of a node pool as managed services do it: new machines come, old nodes are emptied and go.
//!
//! What the services publish is less than source code: the order of the steps, their limits and what happens at the limit.
//! That is what is modelled here; how often an eviction is tried again (every 5 s) and how often they look (every second)
//! is taken from `kubectl drain`.
//!
//! - GKE, surge upgrades: a surge machine is created and Ready before its old node is cordoned and drained; budgets and
//!   grace periods are respected for an hour, then the pods are deleted. Defaults: maxSurge 1, maxUnavailable 0.
//!   Source: cloud.google.com/kubernetes-engine/docs/concepts/node-pool-upgrade-strategies.
//! - EKS, managed node groups: the group is scaled up first, all old nodes are marked unschedulable with a taint, then up to
//!   maxUnavailable (1) at a time are drained, for 15 minutes at most (then PodEvictionFailure, or deletion if forced),
//!   cordoned, left alone for 60 s and terminated. Source: docs.aws.amazon.com/eks/latest/userguide/
//!   managed-node-update-behavior.html.
//! - AKS: buffer machines come first, old nodes are cordoned and drained as many at a time, for 30 minutes at most (then the
//!   upgrade fails and the node is made schedulable again), left alone for the soak time, and reimaged: they come back
//!   under their names. At last the buffer machines are drained and go. Source: learn.microsoft.com/azure/aks/
//!   upgrade-aks-node-pools-rolling, AgentPoolUpgradeSettings.

use crate::api::eviction::Refusal;
use crate::api::{Node, NodeId, PodId, Taint, TaintEffect};
use crate::engine::{Duration, Time};
use crate::simulation::context::node_luck;
use crate::simulation::event::KubectlStep;
use crate::simulation::operator::evictor::{BackOff, Evictor, Reply, State, is_over};
use crate::simulation::operator::filters;
use crate::simulation::operator::messages;
use crate::simulation::operator::progress::NodeProgress;
use crate::simulation::operator::shell::{MachineOrder, Shell};
use crate::simulation::operator::single::live_node;
use crate::simulation::setup::{DrainOptions, UpgradeOptions, UpgradeProfile};
use crate::simulation::write::{Write, WriteError};

const RETRY: BackOff = BackOff::constant(Duration::from_secs(5));
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The taint that EKS gives to nodes of the old version.
const EKS_TAINT: &str = "eks.amazonaws.com/nodegroup";

impl UpgradeProfile {
    /// All additional machines are there before the first old node is touched.
    const fn surges_first(self) -> bool {
        matches!(self, Self::Eks | Self::Aks)
    }

    /// How many old nodes are emptied at a time.
    fn parallel(self, options: &UpgradeOptions) -> usize {
        let nodes = match self {
            Self::Plain | Self::Gke => options.max_surge + options.max_unavailable,
            Self::Eks => options.max_unavailable,
            Self::Aks => options.max_surge.max(options.max_unavailable),
        };
        nodes.max(1) as usize
    }
}

/// A running upgrade.
#[derive(Clone, Debug)]
pub struct Upgrade {
    options: UpgradeOptions,
    works: Vec<Work>,
    machines: Vec<Machine>,
    evictor: Evictor,
    phase: Phase,
    failed: bool,
}

/// What is done with one old node (or, at the end, with a buffer machine of AKS).
#[derive(Clone, Debug)]
struct Work {
    progress: NodeProgress,
    id: Option<NodeId>,
    stage: Stage,
    deadline: Option<Time>,
    /// Its replacement comes first.
    surges: bool,
    /// The time is over, and pods are deleted.
    forced: bool,
    /// It is a buffer machine, which nothing replaces.
    buffer: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Waiting,
    Surging,
    Cordoning,
    Draining,
    /// Empty: cordoned late (EKS), or left alone.
    Empty,
    Removing,
    Replacing,
    Done,
    Failed,
}

#[derive(Clone, Debug)]
struct Machine {
    name: String,
    work: Option<usize>,
    ready: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Surging,
    /// So many taints have not been answered.
    Marking(usize),
    Rolling,
    CleaningUp,
}

impl Upgrade {
    /// An upgrade that has not begun.
    #[must_use]
    pub fn new(options: &UpgradeOptions) -> Self {
        let works = options.nodes.iter().map(|name| Work::new(NodeProgress::new(name), None)).collect();
        Self {
            options: options.clone(),
            works,
            machines: Vec::new(),
            evictor: Evictor::new(RETRY),
            phase: Phase::Rolling,
            failed: false,
        }
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeProgress> {
        self.works.iter().map(|w| &w.progress)
    }

    /// Takes a step, or the answer to a write; the exit code if it was the last one.
    pub fn step(&mut self, shell: &mut Shell<'_, '_>, step: KubectlStep) -> Option<i32> {
        match step {
            KubectlStep::Start => shell.read(node_luck(""), KubectlStep::Selected),
            KubectlStep::Selected => return self.begin(shell),
            KubectlStep::MachineReady(number) => return self.machine_ready(shell, number),
            KubectlStep::Marked(_) => return self.marked(shell),
            KubectlStep::Cordon(work) => self.cordoned(shell, work),
            KubectlStep::Poll(work) => self.look(shell, work),
            KubectlStep::List(work) => return self.listed(shell, work),
            KubectlStep::Evict(slot) => self.try_again(shell, slot),
            KubectlStep::Send(slot) => self.evictor.send(shell, slot),
            KubectlStep::Deadline(work) => return self.deadline(shell, work),
            KubectlStep::Waited(work) => self.remove(shell, work),
            KubectlStep::Removed(work) => return self.removed(shell, work),
            _ => {}
        }
        None
    }

    /// An eviction has been answered.
    pub fn eviction_answered(
        &mut self,
        shell: &mut Shell<'_, '_>,
        slot: u32,
        result: Result<(), Refusal>,
    ) -> Option<i32> {
        let attempt = self.evictor.attempts()[slot as usize];
        let progress = &mut self.works[attempt.node as usize].progress;
        let (granted, refusal) = (result.is_ok(), result.err());
        match self.evictor.answered(shell, slot, result) {
            Reply::Accepted => progress.granted += u64::from(granted),
            Reply::Pending | Reply::Refused => {
                progress.denied += u64::from(refusal.is_some_and(|r| r.code() == 429));
                if let Some(refusal) = refusal {
                    let meta = &shell.ctx.store.pod_meta[attempt.pod.index()];
                    let error = messages::refused(refusal, meta, &shell.ctx.store);
                    let text = messages::will_retry(meta, RETRY.first, &error);
                    shell.print(attempt.node, text);
                }
            }
        }
        None
    }

    /// The pool has been looked at.
    fn begin(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        for number in 0..self.works.len() {
            let name = &self.works[number].progress.name;
            let Some(id) = live_node(&shell.ctx.store, name) else {
                shell.print(index(number), messages::from_server(WriteError::NotFound, "nodes", name));
                return Some(1);
            };
            self.works[number].id = Some(id);
        }
        if self.options.profile.surges_first() && self.options.max_surge > 0 {
            self.phase = Phase::Surging;
            let most = match self.options.profile {
                UpgradeProfile::Eks => self.works.len().min(self.options.max_surge as usize),
                _ => self.options.max_surge as usize,
            };
            for number in 0..most {
                self.order(shell, number % self.works.len(), None);
            }
            return None;
        }
        self.surged(shell)
    }

    /// Orders a machine like the `like`-th old node, for that node's own replacement if `work` says so.
    fn order(&mut self, shell: &mut Shell<'_, '_>, like: usize, work: Option<usize>) {
        let old = &self.works[like];
        let Some(node) = old.id.and_then(|id| last_version(shell, id)) else { return };
        let number = self.machines.len();
        let name = match self.options.profile {
            UpgradeProfile::Aks if work.is_some() => old.progress.name.clone(), // reimaged
            UpgradeProfile::Aks => format!("{}-buffer-{}", self.works[0].progress.name, number + 1),
            _ => format!("{}-new", old.progress.name),
        };
        let node = fresh(&node, &name);
        shell.print(index(like), format!("machine {name} is ordered"));
        self.machines.push(Machine { name, work, ready: false });
        shell.machines.push(MachineOrder::Start {
            kubectl: shell.id,
            number: index(number),
            node: Box::new(node),
            ready_after: self.options.ready_after,
        });
    }

    fn machine_ready(&mut self, shell: &mut Shell<'_, '_>, number: u32) -> Option<i32> {
        let machine = &mut self.machines[number as usize];
        machine.ready = true;
        let (name, work) = (machine.name.clone(), machine.work);
        shell.print(index(work.unwrap_or(0)), format!("node/{name} is Ready"));
        match work.map(|w| (w, self.works[w].stage)) {
            Some((work, Stage::Surging)) => self.cordon(shell, work),
            Some((work, Stage::Replacing)) => self.works[work].stage = Stage::Done,
            _ => {}
        }
        if self.phase == Phase::Surging && self.machines.iter().all(|m| m.ready) {
            return self.surged(shell);
        }
        self.advance(shell)
    }

    /// All machines that come first are there. EKS keeps new pods away from all old nodes from now on.
    fn surged(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        if self.options.profile != UpgradeProfile::Eks {
            self.phase = Phase::Rolling;
            return self.advance(shell);
        }
        self.phase = Phase::Marking(self.works.len());
        for (number, work) in (0..).zip(&self.works) {
            let Some(node) = work.id else { continue };
            let taint = Taint {
                key: EKS_TAINT.to_string(),
                value: "unschedulable".to_string(),
                effect: TaintEffect::NoSchedule,
            };
            let write = Write::MarkNode { node, taint, present: true, unschedulable: None };
            shell.write_core(write, node_luck(&work.progress.name), KubectlStep::Marked(number));
        }
        None
    }

    fn marked(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        let Phase::Marking(left) = &mut self.phase else { return None };
        *left -= 1;
        if *left > 0 {
            return None;
        }
        self.phase = Phase::Rolling;
        self.advance(shell)
    }

    /// Takes up the next old nodes, or ends.
    fn advance(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        if !matches!(self.phase, Phase::Rolling | Phase::CleaningUp) {
            return None;
        }
        let parallel = self.options.profile.parallel(&self.options);
        loop {
            let running = self.works.iter().filter(|w| w.is_running()).count();
            let may_begin = running < parallel && (!self.failed || self.phase == Phase::CleaningUp);
            let next = self.works.iter().position(|w| w.stage == Stage::Waiting);
            match next.filter(|_| may_begin) {
                Some(next) => self.take_up(shell, next),
                None if running > 0 || self.machines.iter().any(|m| !m.ready) => return None,
                None => break,
            }
        }
        if self.phase == Phase::Rolling && self.options.profile == UpgradeProfile::Aks {
            self.phase = Phase::CleaningUp;
            self.works.iter_mut().filter(|w| w.stage == Stage::Waiting).for_each(|w| w.stage = Stage::Failed);
            for machine in self.machines.iter().filter(|m| m.work.is_none()) {
                let id = live_node(&shell.ctx.store, &machine.name);
                self.works.push(Work { buffer: true, ..Work::new(NodeProgress::new(&machine.name), id) });
            }
            return self.advance(shell);
        }
        shell.print(0, if self.failed { "the upgrade has failed" } else { "the upgrade is complete" });
        Some(i32::from(self.failed))
    }

    fn take_up(&mut self, shell: &mut Shell<'_, '_>, work: usize) {
        let surging = self.works.iter().filter(|w| w.is_running() && w.surges).count();
        let one_by_one = matches!(self.options.profile, UpgradeProfile::Plain | UpgradeProfile::Gke);
        if one_by_one && surging < self.options.max_surge as usize {
            self.works[work].surges = true;
            self.works[work].stage = Stage::Surging;
            self.order(shell, work, Some(work));
        } else if self.options.profile == UpgradeProfile::Eks {
            self.drain(shell, work);
        } else {
            self.cordon(shell, work);
        }
    }

    fn cordon(&mut self, shell: &mut Shell<'_, '_>, work: usize) {
        let Some(node) = self.works[work].id else { return };
        if self.works[work].stage != Stage::Empty {
            self.works[work].stage = Stage::Cordoning;
        }
        let write = Write::Cordon { node, unschedulable: true };
        shell.write_core(write, node_luck(&self.works[work].progress.name), KubectlStep::Cordon(index(work)));
    }

    fn cordoned(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let work = number as usize;
        let name = &self.works[work].progress.name;
        match self.works[work].stage {
            Stage::Cordoning => {
                shell.print(number, format!("node/{name} cordoned"));
                self.drain(shell, work);
            }
            Stage::Empty => {
                shell.print(number, format!("node/{name} cordoned"));
                shell.after(self.options.wait_after_drain, KubectlStep::Waited(number));
            }
            _ => {} // made schedulable again after a failure
        }
    }

    fn drain(&mut self, shell: &mut Shell<'_, '_>, work: usize) {
        let Some(node) = self.works[work].id else { return };
        let timeout = self.options.drain_timeout;
        let entry = &mut self.works[work];
        entry.stage = Stage::Draining;
        entry.progress.begin(shell, node);
        if let Some(timeout) = timeout {
            entry.deadline = Some(shell.now() + timeout);
            shell.after(timeout, KubectlStep::Deadline(index(work)));
        }
        self.look(shell, index(work));
    }

    fn look(&mut self, shell: &mut Shell<'_, '_>, work: u32) {
        if self.works[work as usize].stage == Stage::Draining {
            shell.read_core(node_luck(&self.works[work as usize].progress.name), KubectlStep::List(work));
        }
    }

    /// The node's pods have been listed: those that are new are evicted; when there are none, the node is empty.
    fn listed(&mut self, shell: &mut Shell<'_, '_>, number: u32) -> Option<i32> {
        let work = number as usize;
        if self.works[work].stage != Stage::Draining {
            return None;
        }
        let pods = self.works[work].id.map(|node| pods_to_move(shell, node)).unwrap_or_default();
        if pods.is_empty() {
            return self.emptied(shell, work);
        }
        for pod in pods {
            if self.works[work].forced {
                self.delete(shell, number, pod);
            } else if !self.evictor.has(pod) {
                let slot = self.evictor.add(number, pod, None);
                self.evict(shell, slot);
            }
        }
        shell.after(POLL_INTERVAL, KubectlStep::Poll(number));
        None
    }

    fn evict(&mut self, shell: &mut Shell<'_, '_>, slot: u32) {
        let attempt = self.evictor.attempts()[slot as usize];
        let text = messages::evicting(&shell.ctx.store.pod_meta[attempt.pod.index()]);
        shell.print(attempt.node, text);
        self.evictor.ask(shell, slot);
    }

    fn try_again(&mut self, shell: &mut Shell<'_, '_>, slot: u32) {
        let attempt = self.evictor.attempts()[slot as usize];
        let work = &self.works[attempt.node as usize];
        if attempt.state == State::BackingOff && !is_over(work.deadline, shell.now()) {
            self.evict(shell, slot);
        }
    }

    fn delete(&mut self, shell: &mut Shell<'_, '_>, number: u32, pod: PodId) {
        if shell.ctx.store.pods.head(pod.index()).is_none_or(|p| p.deletion.is_some()) {
            return;
        }
        shell.print(number, format!("deleting pod {}", shell.ctx.store.pod_name(pod)));
        self.works[number as usize].progress.granted += 1;
        let write = Write::DeletePod { pod, grace_seconds: None, unless_changed_since: None };
        shell.write_core(write, shell.ctx.pod_luck(pod), KubectlStep::Answer(number));
    }

    /// The time is over: what is left is deleted, or the upgrade fails.
    fn deadline(&mut self, shell: &mut Shell<'_, '_>, number: u32) -> Option<i32> {
        let work = number as usize;
        if self.works[work].stage != Stage::Draining {
            return None;
        }
        for slot in self.evictor.of_node(number) {
            self.evictor.finish(slot);
        }
        if self.options.force {
            self.works[work].forced = true;
            let pods = self.works[work].id.map(|node| pods_to_move(shell, node)).unwrap_or_default();
            pods.into_iter().for_each(|pod| self.delete(shell, number, pod));
            return None;
        }
        let node = self.works[work].id?;
        let entry = &mut self.works[work];
        let limit = self.options.drain_timeout.unwrap_or_default();
        let name = entry.progress.name.clone();
        shell.print(
            number,
            match self.options.profile {
                UpgradeProfile::Eks => format!("PodEvictionFailure: pods on {name} have not left within {limit}"),
                _ => format!("error: node {name} could not be drained within {limit}"),
            },
        );
        entry.progress.end(shell, node, 1);
        entry.stage = Stage::Failed;
        self.failed = true;
        if self.options.profile == UpgradeProfile::Aks {
            let write = Write::Cordon { node, unschedulable: false };
            shell.write_core(write, node_luck(&name), KubectlStep::Cordon(number));
        }
        self.advance(shell)
    }

    fn emptied(&mut self, shell: &mut Shell<'_, '_>, work: usize) -> Option<i32> {
        let node = self.works[work].id?;
        let entry = &mut self.works[work];
        shell.print(index(work), format!("node/{} drained", entry.progress.name));
        entry.progress.end(shell, node, 0);
        entry.stage = Stage::Empty;
        if self.options.profile == UpgradeProfile::Eks {
            self.cordon(shell, work);
        } else {
            shell.after(self.options.wait_after_drain, KubectlStep::Waited(index(work)));
        }
        None
    }

    /// The machine is switched off, whatever still runs on it (DaemonSets), and the Node object goes.
    fn remove(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let entry = &mut self.works[number as usize];
        let Some(node) = entry.id else { return };
        entry.stage = Stage::Removing;
        shell.print(number, format!("machine {} is switched off", entry.progress.name));
        shell.machines.push(MachineOrder::Stop(node));
        shell.write_core(Write::DeleteNode { node }, node_luck(&entry.progress.name), KubectlStep::Removed(number));
    }

    fn removed(&mut self, shell: &mut Shell<'_, '_>, number: u32) -> Option<i32> {
        let work = number as usize;
        let Work { surges, buffer, .. } = self.works[work];
        self.works[work].stage = Stage::Done;
        match self.options.profile {
            _ if surges || buffer => {}
            // the group makes up for the machine by itself; nobody waits for that before the next node
            UpgradeProfile::Eks => {
                if self.machines.len() < self.works.len() {
                    self.order(shell, self.machines.len(), None);
                }
            }
            _ => {
                self.works[work].stage = Stage::Replacing;
                self.order(shell, work, Some(work));
            }
        }
        self.advance(shell)
    }
}

impl Work {
    const fn new(progress: NodeProgress, id: Option<NodeId>) -> Self {
        Self { progress, id, stage: Stage::Waiting, deadline: None, surges: false, forced: false, buffer: false }
    }

    const fn is_running(&self) -> bool {
        !matches!(self.stage, Stage::Waiting | Stage::Done | Stage::Failed)
    }
}

/// The pods of a node that must leave it: neither mirror pods nor those of DaemonSets.
fn pods_to_move(shell: &Shell<'_, '_>, node: NodeId) -> Vec<PodId> {
    let everything =
        DrainOptions { force: true, ignore_daemonsets: true, delete_emptydir_data: true, ..DrainOptions::default() };
    let store = &shell.ctx.store;
    let leaves = |pod: &PodId| {
        let Some(head) = store.pods.head(pod.index()) else { return false };
        let owner = store.owner_of(*pod, head);
        filters::judge(&owner, false, head, &everything, shell.now(), shell.ctx.version).deletes()
    };
    let mut pods: Vec<PodId> = store.pods_on(node).iter().copied().filter(leaves).collect();
    pods.sort_by_key(|pod| store.pod_name(*pod));
    pods
}

/// The newest version of a node that there was.
fn last_version(shell: &Shell<'_, '_>, id: NodeId) -> Option<Node> {
    shell.ctx.store.nodes.history(id.index()).iter().rev().find_map(|v| v.value.clone())
}

/// A new machine like this one, without what has happened to it.
#[must_use]
pub(super) fn fresh(like: &Node, name: &str) -> Node {
    let mut node = Node { name: name.to_string(), unschedulable: false, unreachable: false, ..like.clone() };
    node.labels.insert("kubernetes.io/hostname".to_string(), name.to_string());
    let passing = ["node.kubernetes.io/", EKS_TAINT, super::karpenter::TAINT, super::cluster_autoscaler::TAINT];
    node.taints.retain(|t| !passing.iter().any(|key| t.key.starts_with(key)));
    node
}

fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
