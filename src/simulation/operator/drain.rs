//! `kubectl drain`: all nodes are cordoned, then one after the other is emptied.
//!
//! On a node, every pod that the filters let through is evicted at the same time, each on its own: it is asked for until it
//! is granted, 5 s after each refusal, and then looked at every second until it is gone. The node is drained when the last
//! of them is.
//!
//! Source: `k8s.io/kubectl/pkg/cmd/drain/drain.go` RunDrain, deleteOrEvictPodsSimple; `k8s.io/kubectl/pkg/drain/drain.go`
//! GetPodsForDeletion, evictPods, deletePods (v1.36; older versions from the tags v0.29.0 to v0.35.0 of kubernetes/kubectl).
//!
//! Not modelled: chunks of 500 pods, client-go's log line about long waits for the rate limit,
//! and that an eviction, which goes by name, may hit a successor of the same name: nothing here makes one.

use crate::api::eviction::Refusal;
use crate::api::{NodeId, Owner, PodId, Store};
use crate::engine::{Duration, Time};
use crate::simulation::context::node_luck;
use crate::simulation::end_state::OpenDrain;
use crate::simulation::event::KubectlStep;
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::operator::filters::{self, Verdict};
use crate::simulation::operator::messages::{self, Failure};
use crate::simulation::operator::progress::NodeProgress;
use crate::simulation::operator::shell::{EvictionRequest, Shell};
use crate::simulation::operator::single::live_node;
use crate::simulation::operator::wait::{Limit, Next, Wait};
use crate::simulation::setup::{DrainOptions, DryRun};
use crate::simulation::write::{Write, WriteError};

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

    /// Flags are read before anything else: one that the version does not know ends the process.
    fn start(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        if self.options.delete_local_data {
            if !shell.ctx.version.drain_has_delete_local_data() {
                shell.print(0, "error: unknown flag: --delete-local-data");
                shell.print(0, "See 'kubectl drain --help' for usage.");
                return Some(1);
            }
            shell.print(0, messages::DELETE_LOCAL_DATA_DEPRECATED);
            self.options.delete_emptydir_data = true;
        }
        if self.options.selector.is_some() {
            shell.read(node_luck(""), KubectlStep::Selected);
            return None;
        }
        self.look_up(shell, 0)
    }

    /// The list of nodes has come: those that the selector takes, by name, as the apiserver keeps them. If there is none,
    /// kubectl has nothing to do and says nothing.
    fn selected(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        let selector = self.options.selector.as_ref()?;
        let store = &shell.ctx.store;
        let heads = (0..store.nodes.len()).map(NodeId::from).filter_map(|id| Some((id, store.nodes.head(id.index())?)));
        let mut found: Vec<_> = heads.filter(|(_, node)| selector.matches(&node.labels)).collect();
        found.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        for (id, node) in found {
            self.names.push(node.name.clone());
            let was_unschedulable = node.unschedulable;
            self.nodes.push(NodeDrain { id: Some(id), was_unschedulable, ..NodeDrain::default() });
        }
        if self.nodes.is_empty() { Some(0) } else { self.cordon_from(shell, 0) }
    }

    /// Gets the Node objects, one after the other.
    fn look_up(&mut self, shell: &mut Shell<'_, '_>, node: u32) -> Option<i32> {
        let Some(name) = self.names.get(node as usize) else { return self.cordon_from(shell, 0) };
        shell.read(node_luck(name), KubectlStep::Found(node));
        None
    }

    /// A node that does not exist ends the process before anything is touched.
    fn found(&mut self, shell: &mut Shell<'_, '_>, node: u32) -> Option<i32> {
        let name = &self.names[node as usize];
        let Some(id) = live_node(&shell.ctx.store, name) else {
            shell.print(node, messages::from_server(WriteError::NotFound, "nodes", name));
            return Some(1);
        };
        let state = &mut self.nodes[node as usize];
        state.id = Some(id);
        state.was_unschedulable = shell.ctx.store.nodes.head(id.index()).is_some_and(|n| n.unschedulable);
        self.look_up(shell, node + 1)
    }

    /// Cordons the nodes from this one on, one after the other, judging by what was read of them in the beginning.
    fn cordon_from(&mut self, shell: &mut Shell<'_, '_>, first: u32) -> Option<i32> {
        let suffix = self.options.dry_run.suffix();
        for (number, (name, node)) in (0..).zip(self.nodes()).skip(first as usize) {
            if node.was_unschedulable {
                shell.print(number, format!("node/{name} already cordoned{suffix}"));
                continue;
            }
            let Some(node) = node.id else { continue };
            let write = Write::Cordon { node, unschedulable: true };
            match self.options.dry_run {
                DryRun::Client => shell.print(number, format!("node/{name} cordoned{suffix}")),
                DryRun::Server => {
                    shell.pretend_core(node_luck(name), KubectlStep::Cordon(number));
                    return None;
                }
                DryRun::None => {
                    shell.write_core(write, node_luck(name), KubectlStep::Cordon(number));
                    return None;
                }
            }
        }
        if self.nodes.is_empty() {
            return Some(0);
        }
        self.come_to(shell, 0)
    }

    /// A node that cannot be cordoned is drained all the same.
    fn cordoned(&mut self, shell: &mut Shell<'_, '_>, node: u32, result: Result<(), WriteError>) -> Option<i32> {
        let name = &self.names[node as usize];
        match result {
            Ok(()) => shell.print(node, format!("node/{name} cordoned{}", self.options.dry_run.suffix())),
            Err(error) => {
                let error = messages::write_refused(error, "nodes", name);
                shell.print(node, format!("error: unable to cordon node \"{name}\": {error}"));
            }
        }
        self.cordon_from(shell, node + 1)
    }

    /// Begins with a node, or ends the process if there is none left.
    fn come_to(&mut self, shell: &mut Shell<'_, '_>, node: usize) -> Option<i32> {
        if node == self.nodes.len() {
            return Some(self.end(shell));
        }
        self.current = node;
        self.node().started_at = Some(shell.now());
        if let Some(node) = self.node().id {
            shell.ctx.note(What::DrainStarted { kubectl: shell.id, node });
        }
        self.list(shell);
        None
    }

    fn list(&self, shell: &mut Shell<'_, '_>) {
        shell.read_core(node_luck(self.name()), KubectlStep::List(self.number()));
    }

    /// The list has come: the node's pods by namespace and name, as the apiserver keeps them. The filter for DaemonSets
    /// gets the DaemonSet of each such pod, one after the other.
    fn listed(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        let node = self.node().id?;
        let (now, version, store) = (shell.now(), shell.ctx.version, &shell.ctx.store);
        let selected = |pod: &PodId| {
            let Some(head) = store.pods.head(pod.index()) else { return false };
            self.options.pod_selector.as_ref().is_none_or(|s| s.matches(&store.label_set(head.labels).labels))
        };
        let mut listed = Vec::new();
        let mut looked_up: Vec<u64> = Vec::new();
        for pod in store.pods_on(node).iter().copied().filter(selected) {
            let Some(head) = store.pods.head(pod.index()) else { continue };
            let owner: &Owner = &store.owner_of(pod, head);
            let has_empty_dir = store.template_of(pod).has_empty_dir;
            let verdict = filters::judge(owner, has_empty_dir, head, &self.options, now, version);
            if filters::looks_up_owner(owner, head) {
                looked_up.push(shell.ctx.pod_luck(pod));
            }
            listed.push(Listed { pod, full_name: store.pod_name(pod), verdict });
        }
        listed.sort_by(|a, b| a.full_name.cmp(&b.full_name));
        self.node().listed = listed;
        let mut at = now;
        for pod in looked_up {
            let wait = shell.client.apps.take(at);
            at += wait + shell.latency(Hop::ApiRequest, pod) + shell.latency(Hop::ApiRead, pod);
        }
        if at > now {
            shell.at(at, KubectlStep::Filtered(self.number()));
            return None;
        }
        self.filtered(shell)
    }

    /// One pod in error, and nothing on the node is evicted. A list that was made because of a failure only tells what
    /// is left.
    fn filtered(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        let number = self.number();
        let verdicts = || self.nodes[self.current].listed.iter().map(|l| (l.full_name.as_str(), l.verdict));
        let (errors, warnings) = (filters::errors(verdicts()), filters::warnings(verdicts()));
        if self.node().failure.is_some() {
            return self.tell_what_is_left(shell, errors);
        }
        if !errors.is_empty() {
            return self.give_up(shell, Failure::Aggregate(errors), "");
        }
        if !warnings.is_empty() {
            shell.print(number, format!("Warning: {warnings}"));
        }
        if self.options.dry_run == DryRun::Client {
            let going: Vec<PodId> = self.node().listed.iter().filter(|l| l.verdict.deletes()).map(|l| l.pod).collect();
            for pod in going {
                let text = messages::evicting(&shell.ctx.store.pod_meta[pod.index()]);
                shell.print(number, format!("{text}{}", DryRun::Client.suffix()));
            }
            return self.drained(shell);
        }
        let node = self.node();
        let target = |pod: &Listed| Target { pod: pod.pod, hidden_retries: 0, may_send: false };
        node.targets = node.listed.iter().filter(|l| l.verdict.deletes()).map(target).collect();
        if node.targets.is_empty() {
            return self.drained(shell);
        }
        if self.options.disable_eviction {
            return self.delete_from(shell, 0);
        }
        // whether the apiserver knows evictions is asked each time; discovery is not limited
        shell.read(node_luck(self.name()), KubectlStep::Begin(number));
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
