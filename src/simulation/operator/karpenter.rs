//! Karpenter's disruption of nodes: the taint, replacements if there are to be any, then the drain of its termination
//! controller, group by group through an eviction queue, and the end of the instance.
//!
//! Source: `sigs.k8s.io/karpenter/pkg/controllers/node/termination` controller.go, terminator/terminator.go,
//! terminator/eviction.go; `pkg/controllers/disruption/queue.go`; `pkg/utils/pod/scheduling.go` (v1.14 and the 20 commits
//! after it). Which nodes are disrupted (drift, consolidation, expiry) is said by the scenario. Not modelled: disruption
//! budgets of NodePools, durations in `do-not-disrupt`, volume attachments; it reads pods at the moment, not through a
//! cache.

use crate::api::eviction::Refusal;
use crate::api::{Node, NodeId, Owner, Pod, PodId, Taint, TaintEffect};
use crate::engine::{Duration, Time};
use crate::simulation::context::node_luck;
use crate::simulation::event::KubectlStep;
use crate::simulation::operator::evictor::{BackOff, Evictor, Reply, State};
use crate::simulation::operator::progress::NodeProgress;
use crate::simulation::operator::shell::{MachineOrder, Shell};
use crate::simulation::operator::single::live_node;
use crate::simulation::operator::upgrade::fresh;
use crate::simulation::setup::KarpenterOptions;
use crate::simulation::write::Write;

/// `DisruptedTaintKey`.
pub(super) const TAINT: &str = "karpenter.sh/disrupted";
/// `evictionQueueBaseDelay`, `evictionQueueMaxDelay`.
const RETRY: BackOff = BackOff { first: Duration::from_millis(100), max: Duration::from_secs(10) };
/// The drain of a node that is not empty is looked at so often.
const REQUEUE: Duration = Duration::from_secs(1);
/// `MinDrainTime`: pods may still come, from a scheduler that has not seen the taint.
const MIN_DRAIN_TIME: Duration = Duration::from_secs(5);
/// Whether the instance is gone is asked so often.
const INSTANCE_POLL: Duration = Duration::from_secs(5);
/// A pod that terminates for so long after its deletionTimestamp is waited for no more.
const STUCK_TERMINATING: Duration = Duration::from_secs(60);

/// A running disruption.
#[derive(Clone, Debug)]
pub struct Karpenter {
    options: KarpenterOptions,
    works: Vec<Work>,
    evictor: Evictor,
}

#[derive(Clone, Debug)]
struct Work {
    progress: NodeProgress,
    id: Option<NodeId>,
    stage: Stage,
    began_at: Time,
    /// When the node goes whatever is on it.
    termination_time: Option<Time>,
    /// The last line about a pod that is held back, which is not said again.
    said: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Tainting,
    Replacing,
    Draining,
    Terminating,
    Done,
}

impl Karpenter {
    /// A disruption that has not begun.
    #[must_use]
    pub fn new(options: &KarpenterOptions) -> Self {
        let work = |name: &String| Work {
            progress: NodeProgress::new(name),
            id: None,
            stage: Stage::Tainting,
            began_at: Time::ZERO,
            termination_time: None,
            said: None,
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
            KubectlStep::Start => self.start(shell),
            KubectlStep::Marked(work) => self.marked(shell, work),
            KubectlStep::MachineReady(_) => self.replaced(shell),
            KubectlStep::Poll(work) => self.poll(shell, work),
            KubectlStep::List(work) => self.listed(shell, work),
            KubectlStep::Evict(slot) => self.reconcile(shell, slot),
            KubectlStep::Send(slot) => self.evictor.send(shell, slot),
            KubectlStep::Waited(work) => self.instance_gone(shell, work),
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
        let attempt = self.evictor.attempts()[slot as usize];
        let (granted, code) = (result.is_ok(), result.err().map(Refusal::code));
        let several = matches!(result, Err(Refusal::MoreThanOneBudget));
        let reply = self.evictor.answered(shell, slot, result);
        let progress = &mut self.works[attempt.node as usize].progress;
        let pod = shell.ctx.store.pod_name(attempt.pod);
        match reply {
            Reply::Accepted => {
                progress.granted += u64::from(granted);
                if granted {
                    shell.print(attempt.node, format!("Normal Evicted: Evicted pod: {pod}"));
                }
            }
            Reply::Refused | Reply::Pending => {
                progress.denied += u64::from(code == Some(429));
                let why =
                    if several { "eviction does not support multiple PDBs" } else { "evicting pod violates a PDB" };
                self.say(shell, attempt.node, format!("Warning FailedDraining: Failed to drain node, {why}: {pod}"));
            }
        }
        None
    }

    /// All nodes are tainted at the same time.
    fn start(&mut self, shell: &mut Shell<'_, '_>) {
        for (number, work) in (0..).zip(&mut self.works) {
            work.id = live_node(&shell.ctx.store, &work.progress.name);
            let Some(node) = work.id else {
                work.stage = Stage::Done;
                continue;
            };
            let write = Write::MarkNode { node, taint: taint(), present: true, unschedulable: None };
            shell.write(write, node_luck(&work.progress.name), KubectlStep::Marked(number));
        }
    }

    /// The replacements are launched when the nodes are tainted, and must be there before any of the nodes goes.
    fn marked(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let work = &mut self.works[number as usize];
        if work.stage != Stage::Tainting {
            return;
        }
        let old = work.id.and_then(|id| shell.ctx.store.nodes.head(id.index()).cloned());
        work.stage = Stage::Replacing;
        match (self.options.replacement_ready_after, old) {
            (Some(ready_after), Some(old)) => {
                let node: Box<Node> = Box::new(fresh(&old, &format!("{}-new", work.progress.name)));
                shell.print(number, format!("machine {} is launched", node.name));
                shell.machines.push(MachineOrder::Start { kubectl: shell.id, number, node, ready_after });
            }
            _ => self.delete(shell, number as usize),
        }
    }

    fn replaced(&mut self, shell: &mut Shell<'_, '_>) {
        let names: Vec<String> = self.works.iter().map(|w| format!("{}-new", w.progress.name)).collect();
        let is_ready = |name: &String| {
            let node = live_node(&shell.ctx.store, name).and_then(|id| shell.ctx.store.nodes.head(id.index()));
            node.is_some_and(|n| n.ready)
        };
        let waiting = |work: &Work| work.stage == Stage::Replacing;
        let ready = self.works.iter().zip(&names).filter(|(w, _)| waiting(w)).all(|(_, name)| is_ready(name));
        if !ready {
            return;
        }
        for number in 0..self.works.len() {
            if waiting(&self.works[number]) {
                self.delete(shell, number);
            }
        }
    }

    /// The NodeClaim is deleted: the time of the node's termination begins to run.
    fn delete(&mut self, shell: &mut Shell<'_, '_>, number: usize) {
        let Some(node) = self.works[number].id else { return };
        let grace = self.options.termination_grace_period;
        let work = &mut self.works[number];
        work.stage = Stage::Draining;
        work.began_at = shell.now();
        work.termination_time = grace.map(|grace| shell.now() + grace);
        work.progress.begin(shell, node);
        self.poll(shell, u32::try_from(number).unwrap_or(u32::MAX));
    }

    fn poll(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        if self.works[number as usize].stage == Stage::Draining {
            shell.read(node_luck(&self.works[number as usize].progress.name), KubectlStep::List(number));
        }
    }

    /// One pass over the node: pods whose grace would outlast the node are deleted at once, whatever their group; of the
    /// others the first group that is not empty goes into the queue.
    fn listed(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let work = &self.works[number as usize];
        let Some(node) = work.id else { return };
        let waiting = waiting_pods(shell, node);
        if waiting.is_empty() {
            if shell.now().since(work.began_at) < MIN_DRAIN_TIME {
                shell.after(REQUEUE, KubectlStep::Poll(number));
            } else {
                self.drained(shell, number);
            }
            return;
        }
        let (late, rest): (Vec<PodId>, Vec<PodId>) =
            waiting.into_iter().partition(|pod| needs_force(shell, *pod, work.termination_time));
        let first = rest.iter().map(|pod| group(shell, *pod)).min();
        let group: Vec<PodId> = rest.into_iter().filter(|pod| Some(group(shell, *pod)) == first).collect();
        for pod in late.into_iter().chain(group) {
            // what is in the queue stays there; what has left it and is still waited for comes back
            let queued =
                (0..).zip(self.evictor.attempts()).find(|(_, a)| a.pod == pod).map(|(slot, a)| (slot, a.state));
            match queued {
                Some((_, State::Asked | State::BackingOff)) => {}
                Some((slot, _)) if needs_force(shell, pod, self.works[number as usize].termination_time) => {
                    self.reconcile(shell, slot);
                }
                Some(_) => {}
                None => {
                    let slot = self.evictor.add(number, pod, None);
                    self.reconcile(shell, slot);
                }
            }
        }
        shell.after(REQUEUE, KubectlStep::Poll(number));
    }

    /// The queue takes a pod: deleted if it is late, passed by if it is going, held back if it must not be disrupted, else
    /// evicted.
    fn reconcile(&mut self, shell: &mut Shell<'_, '_>, slot: u32) {
        let attempt = self.evictor.attempts()[slot as usize];
        let pod = attempt.pod;
        let Some(head) = shell.ctx.store.pods.head(pod.index()).copied() else { return self.evictor.finish(slot) };
        let termination_time = self.works[attempt.node as usize].termination_time;
        if needs_force(shell, pod, termination_time) {
            let left = termination_time.map_or(0, |at| at.since(shell.now()).as_secs()).max(1);
            let own = shell.ctx.store.template_of(pod).termination_grace_period_seconds;
            let text = format!(
                "Normal Disrupted: {}: deleted for the termination of the node, granted {left} s of its {own} s of grace, \
                 bypassing its PDB and do-not-disrupt",
                shell.ctx.store.pod_name(pod)
            );
            shell.print(attempt.node, text);
            self.works[attempt.node as usize].progress.granted += 1;
            self.evictor.finish(slot);
            let grace_seconds = Some(i64::try_from(left).unwrap_or(i64::MAX));
            let write = Write::DeletePod { pod, grace_seconds, unless_changed_since: None };
            shell.write(write, shell.ctx.pod_luck(pod), KubectlStep::Answer(slot));
        } else if head.deletion.is_some() || head.phase.is_terminal() {
            self.evictor.finish(slot);
        } else if shell.ctx.store.template_of(pod).hints.do_not_disrupt {
            let name = shell.ctx.store.pod_name(pod);
            self.say(shell, attempt.node, format!("pod {name} has karpenter.sh/do-not-disrupt"));
            self.evictor.back_off(shell, slot);
        } else {
            self.evictor.ask(shell, slot);
        }
    }

    /// Events of the same words about the same node are told once.
    fn say(&mut self, shell: &mut Shell<'_, '_>, number: u32, text: String) {
        let said = &mut self.works[number as usize].said;
        if said.as_ref() != Some(&text) {
            shell.print(number, text.clone());
            *said = Some(text);
        }
    }

    fn drained(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let work = &mut self.works[number as usize];
        let Some(node) = work.id else { return };
        work.progress.end(shell, node, 0);
        work.stage = Stage::Terminating;
        shell.print(number, format!("node {} is drained, its instance is terminated", work.progress.name));
        shell.machines.push(MachineOrder::Stop(node));
        shell.after(INSTANCE_POLL, KubectlStep::Waited(number));
    }

    /// The cloud knows the instance no more: the finalizer is removed, and the Node object is gone.
    fn instance_gone(&mut self, shell: &mut Shell<'_, '_>, number: u32) {
        let work = &self.works[number as usize];
        let Some(node) = work.id else { return };
        shell.write(Write::DeleteNode { node }, node_luck(&work.progress.name), KubectlStep::Removed(number));
    }
}

fn taint() -> Taint {
    Taint { key: TAINT.to_string(), value: String::new(), effect: TaintEffect::NoSchedule }
}

/// The pods that a drain waits for, by name (IsWaitingEviction).
fn waiting_pods(shell: &Shell<'_, '_>, node: NodeId) -> Vec<PodId> {
    let store = &shell.ctx.store;
    let is_waiting = |pod: &PodId| {
        let Some(head) = store.pods.head(pod.index()) else { return false };
        let stuck = head.deletion.is_some_and(|d| shell.now().since(d.timestamp) > STUCK_TERMINATING);
        let tolerates = store.template_of(*pod).placement.tolerations.iter().any(|t| t.tolerates(&taint()));
        let mirror = matches!(store.owner_of(*pod, head), Owner::Mirror);
        !head.phase.is_terminal() && !tolerates && !stuck && !mirror
    };
    let mut pods: Vec<PodId> = store.pods_on(node).iter().copied().filter(is_waiting).collect();
    pods.sort_by_key(|pod| store.pod_name(*pod));
    pods
}

/// The place of a pod in the order of groups: those that are neither critical nor a DaemonSet's first.
fn group(shell: &Shell<'_, '_>, pod: PodId) -> u8 {
    let store = &shell.ctx.store;
    let daemon = matches!(store.pod_meta[pod.index()].owner, Owner::DaemonSet(_));
    u8::from(daemon) + 2 * u8::from(store.template_of(pod).hints.critical)
}

fn needs_force(shell: &Shell<'_, '_>, pod: PodId, termination_time: Option<Time>) -> bool {
    let head = shell.ctx.store.pods.head(pod.index());
    let grace = shell.ctx.store.template_of(pod).termination_grace_period_seconds;
    head.is_some_and(|head| is_late(head, grace, termination_time, shell.now()))
}

/// Whether a pod's grace, as it is or would be, ends after the node (needsForceDelete).
fn is_late(pod: &Pod, grace_seconds: u64, termination_time: Option<Time>, now: Time) -> bool {
    let Some(end) = termination_time else { return false };
    match pod.deletion {
        Some(deletion) => deletion.timestamp > end,
        None => now + Duration::from_secs(grace_seconds) > end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Deletion, LabelSetId};

    #[test]
    fn pods_whose_grace_outlasts_the_node_are_late() {
        let at = Time::from_secs;
        let running = Pod::created(LabelSetId(0), Some(NodeId(0)));
        let going =
            |timestamp| Pod { deletion: Some(Deletion { timestamp: at(timestamp), grace_seconds: 30 }), ..running };
        for (pod, grace, end, now, late) in [
            (running, 30, None, 1_000, false),
            (running, 30, Some(100), 70, false),
            (running, 30, Some(100), 71, true),
            (running, 0, Some(100), 100, false),
            (running, 600, Some(100), 0, true),
            (going(100), 30, Some(100), 99, false),
            (going(101), 30, Some(100), 75, true),
            (going(500), 30, None, 75, false),
        ] {
            assert_eq!(is_late(&pod, grace, end.map(at), at(now)), late, "{grace} {end:?} {now}");
        }
    }
}
