//! `kubectl drain`: all nodes are cordoned, then one after the other is emptied.
//!
//! On a node, every pod that the filters let through is evicted at the same time, each on its own: it is asked for until it
//! is granted, 5 s after each refusal, and then looked at every second until it is gone. The node is drained when the last
//! of them is.
//!
//! Source: `k8s.io/kubectl/pkg/cmd/drain/drain.go` RunDrain, deleteOrEvictPodsSimple; `k8s.io/kubectl/pkg/drain/drain.go`
//! GetPodsForDeletion, evictPods, deletePods (v1.36; older versions from the tags v0.29.0 to v0.35.0 of kubernetes/kubectl).
//!
//! Not modelled: chunks of 500 pods, client-go's log line about long waits for the rate limit, and that an eviction, which
//! goes by name, may hit a successor of the same name, as StatefulSets make them.

use crate::api::eviction::Refusal;
use crate::api::{NodeId, PodId, Store};
use crate::engine::{Duration, Time};
use crate::simulation::end_state::OpenDrain;
use crate::simulation::event::KubectlStep;
use crate::simulation::observe::What;
use crate::simulation::operator::filters::{self, Verdict};
use crate::simulation::operator::messages::{self, Failure};
use crate::simulation::operator::progress::NodeProgress;
use crate::simulation::operator::shell::{EvictionRequest, Shell};
use crate::simulation::operator::wait::{Limit, Next, Wait};
use crate::simulation::setup::{DrainOptions, DryRun};
use crate::simulation::write::{Write, WriteError};

mod listing;

/// `EvictErrorRetryDelay`, counted from the refusal.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// How often client-go obeys a Retry-After before its caller hears of the refusal (`k8s.io/client-go/rest/request.go`
/// maxRetries, v1.36).
const HIDDEN_RETRIES_MAX: u32 = 10;

/// A `kubectl drain` process.
#[derive(Clone, Debug)]
pub struct Drain {
    options: DrainOptions,
    /// The nodes of the command line, or those that the selector has found.
    names: Vec<String>,
    nodes: Vec<NodeDrain>,
    /// The node that the process is busy with.
    current: usize,
}

/// One node's share.
#[derive(Clone, Debug, Default)]
pub struct NodeDrain {
    id: Option<NodeId>,
    was_unschedulable: bool,
    deadline: Time,
    listed: Vec<Listed>,
    targets: Vec<Target>,
    waits: Vec<Wait>,
    /// Evictions, or waits, that have not come to their end.
    running: usize,
    errors: Vec<String>,
    failure: Option<Failure>,
    /// When the process came to it.
    pub started_at: Option<Time>,
    /// When it was empty.
    pub completed_at: Option<Time>,
    /// When it was empty or given up.
    pub ended_at: Option<Time>,
    /// Evictions (or deletes) that were accepted.
    pub granted: u64,
    /// Evictions that were answered with 429.
    pub denied: u64,
}

/// A pod as it was listed.
#[derive(Clone, Debug)]
struct Listed {
    pod: PodId,
    full_name: String,
    verdict: Verdict,
}

/// A pod that is to go.
#[derive(Clone, Copy, Debug)]
struct Target {
    pod: PodId,
    hidden_retries: u32,
    /// Whether the rate limit lets the next request pass.
    may_send: bool,
}

impl NodeDrain {
    /// What reports need of it.
    #[must_use]
    pub fn progress(&self, name: &str) -> NodeProgress {
        NodeProgress {
            name: name.to_string(),
            started_at: self.started_at,
            completed_at: self.completed_at,
            ended_at: self.ended_at,
            granted: self.granted,
            denied: self.denied,
        }
    }
}

impl Drain {
    /// A process that has not begun.
    #[must_use]
    pub fn new(options: &DrainOptions) -> Self {
        let (names, nodes) = (options.nodes.clone(), vec![NodeDrain::default(); options.nodes.len()]);
        Self { options: options.clone(), names, nodes, current: 0 }
    }

    /// The nodes, in the order of the command line, with their names.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &NodeDrain)> {
        self.names.iter().map(String::as_str).zip(&self.nodes)
    }

    /// What it is busy with, as `action` of the setup.
    #[must_use]
    pub fn open(&self, action: u32, store: &Store) -> OpenDrain {
        let node = self.nodes.get(self.current);
        let targets = node.map(|n| n.targets.as_slice()).unwrap_or_default();
        let left = |target: &Target| store.pods.head(target.pod.index()).map(|_| target.pod);
        OpenDrain {
            action,
            nodes: self.names.clone(),
            current: self.current,
            node: node.and_then(|n| n.id),
            pods: (!targets.is_empty()).then(|| targets.iter().filter_map(left).collect()),
        }
    }

    /// Takes a step; the exit code if it was the last one.
    pub fn step(&mut self, shell: &mut Shell<'_, '_>, step: KubectlStep) -> Option<i32> {
        match step {
            KubectlStep::Start => self.start(shell),
            KubectlStep::Found(node) => self.found(shell, node),
            KubectlStep::Selected => self.selected(shell),
            KubectlStep::List(_) => self.listed(shell),
            KubectlStep::Filtered(_) => self.filtered(shell),
            KubectlStep::Begin(_) => self.begin(shell),
            KubectlStep::Evict(slot) => self.attempt(shell, slot),
            KubectlStep::Send(slot) => self.send(shell, slot),
            KubectlStep::Refresh(slot) => self.refresh(shell, slot),
            KubectlStep::Poll(wait) => self.woken(shell, wait),
            KubectlStep::Looked(wait) => self.looked(shell, wait),
            KubectlStep::MachineReady(_)
            | KubectlStep::Marked(_)
            | KubectlStep::Deadline(_)
            | KubectlStep::Waited(_)
            | KubectlStep::Removed(_) => None, // other operators'
            // these come as answers to writes, and as steps in a dry run, which writes nothing
            KubectlStep::Cordon(node) => self.cordoned(shell, node, Ok(())),
            KubectlStep::Answer(slot) => self.deleted(shell, slot, Ok(())),
        }
    }

    /// A write has been answered; the exit code if nothing is left to do.
    pub fn written(
        &mut self,
        shell: &mut Shell<'_, '_>,
        step: KubectlStep,
        result: Result<(), WriteError>,
    ) -> Option<i32> {
        match step {
            KubectlStep::Cordon(node) => self.cordoned(shell, node, result),
            KubectlStep::Answer(slot) => self.deleted(shell, slot, result),
            _ => None,
        }
    }

    /// An eviction has been answered; the exit code if nothing is left to do.
    ///
    /// A 429 without Retry-After is tried again after 5 s. One with Retry-After is tried again by client-go, which says
    /// nothing and does not know the deadline.
    pub fn eviction_answered(
        &mut self,
        shell: &mut Shell<'_, '_>,
        slot: u32,
        result: Result<(), Refusal>,
    ) -> Option<i32> {
        let target = *self.target(slot);
        let Err(refusal) = result else {
            self.node().granted += 1;
            if self.options.dry_run == DryRun::Server {
                return self.finished(shell, None);
            }
            let limit = Limit::of_eviction(self.node().deadline, shell.ctx.version);
            return self.wait(shell, vec![slot], limit);
        };
        let code = refusal.code();
        shell.ctx.note(What::EvictionRefused { pod: target.pod, code: u32::from(code) });
        let meta = &shell.ctx.store.pod_meta[target.pod.index()];
        let error = messages::refused(refusal, meta, &shell.ctx.store);
        match code {
            404 => return self.finished(shell, None),
            429 => {}
            _ => {
                let error = messages::eviction_failed(meta, &error);
                return self.finished(shell, Some(error));
            }
        }
        let text = messages::will_retry(meta, RETRY_DELAY, &error);
        self.node().denied += 1;
        if let Some(seconds) = refusal.retry_after_seconds()
            && target.hidden_retries < HIDDEN_RETRIES_MAX
        {
            self.target(slot).hidden_retries += 1;
            shell.after(Duration::from_secs(seconds), KubectlStep::Send(slot));
            return None;
        }
        shell.print(self.number(), text);
        let again =
            if shell.ctx.version.drain_refetches_pod() { KubectlStep::Refresh(slot) } else { KubectlStep::Evict(slot) };
        shell.after(RETRY_DELAY, again);
        None
    }

    /// The timeout of the node begins to run, and a goroutine for each pod. Go's scheduler runs the one that was started
    /// last first, then the others in order: so it is in recordings.
    fn begin(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        let timeout = self.timeout();
        let node = self.node();
        node.deadline = shell.now() + timeout;
        node.running = node.targets.len();
        let last = u32::try_from(node.running).unwrap_or(u32::MAX) - 1;
        for slot in std::iter::once(last).chain(0..last) {
            shell.after(Duration::ZERO, KubectlStep::Evict(slot));
        }
        None
    }

    /// The deadline is looked at before each attempt, and not while the process sleeps between two.
    fn attempt(&mut self, shell: &mut Shell<'_, '_>, slot: u32) -> Option<i32> {
        let pod = self.target(slot).pod;
        let meta = &shell.ctx.store.pod_meta[pod.index()];
        let expired = messages::eviction_failed(meta, &messages::global_timeout(self.options.timeout));
        let text = messages::evicting(meta);
        shell.print(self.number(), format!("{text}{}", self.options.dry_run.suffix()));
        if shell.now() >= self.node().deadline {
            return self.finished(shell, Some(expired));
        }
        self.target(slot).hidden_retries = 0;
        self.send(shell, slot)
    }

    /// Sends the eviction as soon as the rate limit of `policy/v1` lets it pass.
    fn send(&mut self, shell: &mut Shell<'_, '_>, slot: u32) -> Option<i32> {
        let target = self.target(slot);
        if !target.may_send {
            let wait = shell.client.policy.take(shell.now());
            if !wait.is_zero() {
                target.may_send = true;
                shell.after(wait, KubectlStep::Send(slot));
                return None;
            }
        }
        target.may_send = false;
        let pod = target.pod;
        shell.ctx.note(What::EvictionRequested { pod, kubectl: shell.id });
        let grace_seconds = self.grace_seconds();
        let dry_run = self.options.dry_run == DryRun::Server;
        shell.requests.push(EvictionRequest { kubectl: shell.id, slot, pod, grace_seconds, dry_run });
        None
    }

    /// Gets the pod anew before the next attempt. A pod that is gone is attempted all the same: the answer is 404 then.
    fn refresh(&mut self, shell: &mut Shell<'_, '_>, slot: u32) -> Option<i32> {
        let luck = shell.ctx.pod_luck(self.target(slot).pod);
        shell.read_core(luck, KubectlStep::Evict(slot));
        None
    }

    /// With `--disable-eviction`: deletes pods from this one on, one after the other, and then waits for all of them.
    fn delete_from(&mut self, shell: &mut Shell<'_, '_>, slot: u32) -> Option<i32> {
        let targets = u32::try_from(self.node().targets.len()).unwrap_or(u32::MAX);
        if slot < targets {
            let (pod, grace_seconds) = (self.target(slot).pod, self.grace_seconds());
            if self.options.dry_run == DryRun::Server {
                shell.pretend_core(shell.ctx.pod_luck(pod), KubectlStep::Answer(slot));
                return None;
            }
            let write = Write::DeletePod { pod, grace_seconds, unless_changed_since: None };
            shell.write_core(write, shell.ctx.pod_luck(pod), KubectlStep::Answer(slot));
            return None;
        }
        self.node().running = 1;
        if self.options.dry_run == DryRun::Server {
            return self.finished(shell, None);
        }
        let limit = Limit::of_deletion(self.timeout(), shell.now(), shell.ctx.version);
        self.wait(shell, (0..targets).collect(), limit)
    }

    /// A pod that is gone already is as good as deleted.
    fn deleted(&mut self, shell: &mut Shell<'_, '_>, slot: u32, result: Result<(), WriteError>) -> Option<i32> {
        match result {
            Ok(()) => self.node().granted += 1,
            Err(WriteError::NotFound) => {}
            Err(error @ WriteError::Conflict) => {
                let name = &shell.ctx.store.pod_meta[self.target(slot).pod.index()].name;
                self.node().failure = Some(Failure::Plain(messages::write_refused(error, "pods", name)));
                self.list(shell);
                return None;
            }
        }
        self.delete_from(shell, slot + 1)
    }

    fn wait(&mut self, shell: &mut Shell<'_, '_>, slots: Vec<u32>, limit: Limit) -> Option<i32> {
        let wait = Wait::new(slots, limit, shell.now());
        let (next, node) = (Next::Look(wait.pod()), self.node());
        node.waits.push(wait);
        let index = u32::try_from(node.waits.len()).unwrap_or(u32::MAX) - 1;
        self.go_on(shell, index, next)
    }

    fn woken(&mut self, shell: &mut Shell<'_, '_>, wait: u32) -> Option<i32> {
        let next = self.node().waits[wait as usize].woken(shell.now());
        self.go_on(shell, wait, next)
    }

    fn looked(&mut self, shell: &mut Shell<'_, '_>, wait: u32) -> Option<i32> {
        let slot = self.node().waits[wait as usize].pod();
        let pod = self.target(slot).pod;
        let skip_after = self.options.skip_wait_for_delete_timeout;
        let meta = &shell.ctx.store.pod_meta[pod.index()];
        let parting_words = match shell.ctx.store.pods.head(pod.index()) {
            None if self.options.disable_eviction => Some(format!("pod/{} deleted", meta.name)),
            None => Some(format!("pod/{} evicted", meta.name)),
            Some(head) => {
                filters::is_given_up(head, skip_after, shell.now()).then(|| messages::skipping(meta, skip_after))
            }
        };
        let gone = parting_words.is_some();
        if let Some(text) = parting_words {
            shell.print(self.number(), text);
        }
        let next = self.node().waits[wait as usize].looked(gone, shell.now());
        self.go_on(shell, wait, next)
    }

    fn go_on(&mut self, shell: &mut Shell<'_, '_>, wait: u32, next: Next) -> Option<i32> {
        match next {
            Next::Look(slot) => {
                let luck = shell.ctx.pod_luck(self.target(slot).pod);
                shell.read_core(luck, KubectlStep::Looked(wait));
                None
            }
            Next::Sleep(until) => {
                shell.at(until, KubectlStep::Poll(wait));
                None
            }
            Next::Done => self.finished(shell, None),
            Next::Expired => {
                let wait = &self.nodes[self.current].waits[wait as usize];
                let error = wait.limit().error(self.options.timeout);
                if self.options.disable_eviction {
                    self.node().failure = Some(Failure::Plain(error));
                    return self.finished(shell, None);
                }
                let pod = self.nodes[self.current].targets[wait.pod() as usize].pod;
                let error = messages::wait_failed(&shell.ctx.store.pod_meta[pod.index()], &error);
                self.finished(shell, Some(error))
            }
        }
    }

    /// One pod (or the common wait) has come to its end. The last one decides about the node.
    fn finished(&mut self, shell: &mut Shell<'_, '_>, error: Option<String>) -> Option<i32> {
        let node = self.node();
        node.errors.extend(error);
        node.running -= 1;
        if node.running > 0 {
            return None;
        }
        if !node.errors.is_empty() {
            node.failure = Some(Failure::Aggregate(std::mem::take(&mut node.errors)));
        }
        if node.failure.is_none() {
            return self.drained(shell);
        }
        self.list(shell);
        None
    }

    fn drained(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        shell.print(self.number(), format!("node/{} drained{}", self.name(), self.options.dry_run.suffix()));
        self.node().completed_at = Some(shell.now());
        self.leave(shell, 0)
    }

    /// `errors` are those of the second list; kubectl ends its line about them with no newline.
    fn tell_what_is_left(&mut self, shell: &mut Shell<'_, '_>, errors: Vec<String>) -> Option<i32> {
        let (number, node) = (self.number(), &mut self.nodes[self.current]);
        let failure = node.failure.take()?;
        let left: Vec<_> = node.listed.iter().filter(|l| l.verdict.deletes()).map(|l| l.pod).collect();
        if !left.is_empty() {
            let name = self.name();
            shell.print(number, format!("There are pending pods in node \"{name}\" when an error occurred: {failure}"));
        }
        for pod in left {
            let text = format!("pod/{}", shell.ctx.store.pod_meta[pod.index()].name);
            shell.print(number, text);
        }
        if errors.is_empty() {
            return self.give_up(shell, failure, "");
        }
        shell.print(number, "Following errors occurred while getting the list of pods to delete:");
        self.give_up(shell, failure, &Failure::Aggregate(errors).to_string())
    }

    fn give_up(&mut self, shell: &mut Shell<'_, '_>, failure: Failure, unfinished_line: &str) -> Option<i32> {
        let text = messages::unable_to_drain(self.name(), &failure, shell.ctx.version);
        shell.print(self.number(), format!("{unfinished_line}{text}"));
        self.node().failure = Some(failure);
        self.leave(shell, 1)
    }

    fn leave(&mut self, shell: &mut Shell<'_, '_>, code: u32) -> Option<i32> {
        self.node().ended_at = Some(shell.now());
        if let Some(node) = self.node().id {
            shell.ctx.note(What::DrainEnded { kubectl: shell.id, node, code });
        }
        self.come_to(shell, self.current + 1)
    }

    /// The process's last words, and its exit code.
    fn end(&self, shell: &mut Shell<'_, '_>) -> i32 {
        let number = self.number();
        let failed = || self.nodes().filter_map(|(name, node)| Some((name, node.failure.clone()?)));
        if failed().next().is_none() {
            return 0;
        }
        shell.print(number, "There are pending nodes to be drained:");
        for (name, _) in failed() {
            shell.print(number, format!(" {name}"));
        }
        let failures: Vec<_> = failed().map(|(_, failure)| failure).collect();
        for line in messages::last_words(&failures) {
            shell.print(number, line);
        }
        1
    }

    fn node(&mut self) -> &mut NodeDrain {
        &mut self.nodes[self.current]
    }

    fn target(&mut self, slot: u32) -> &mut Target {
        &mut self.node().targets[slot as usize]
    }

    fn name(&self) -> &str {
        &self.names[self.current]
    }

    fn number(&self) -> u32 {
        u32::try_from(self.current).unwrap_or(u32::MAX)
    }

    /// `--timeout`, where zero means for ever.
    fn timeout(&self) -> Duration {
        if self.options.timeout.is_zero() { Duration::MAX } else { self.options.timeout }
    }

    fn grace_seconds(&self) -> Option<i64> {
        (self.options.grace_period >= 0).then_some(self.options.grace_period)
    }
}
