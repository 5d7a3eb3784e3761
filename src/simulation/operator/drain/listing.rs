//! What `kubectl drain` does before the first pod goes: it finds the nodes, cordons all of them, and lists and filters the pods
//! of the one that it has come to.

use crate::api::{NodeId, Owner, PodId};
use crate::simulation::context::node_luck;
use crate::simulation::event::KubectlStep;
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::operator::drain::{Drain, Listed, NodeDrain, Target};
use crate::simulation::operator::filters;
use crate::simulation::operator::messages::{self, Failure};
use crate::simulation::operator::shell::Shell;
use crate::simulation::operator::single::live_node;
use crate::simulation::setup::DryRun;
use crate::simulation::write::{Write, WriteError};

impl Drain {
    /// Flags are read before anything else: one that the version does not know ends the process.
    pub(super) fn start(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
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
    pub(super) fn selected(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
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
    pub(super) fn found(&mut self, shell: &mut Shell<'_, '_>, node: u32) -> Option<i32> {
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
    pub(super) fn cordoned(
        &mut self,
        shell: &mut Shell<'_, '_>,
        node: u32,
        result: Result<(), WriteError>,
    ) -> Option<i32> {
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
    pub(super) fn come_to(&mut self, shell: &mut Shell<'_, '_>, node: usize) -> Option<i32> {
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

    pub(super) fn list(&self, shell: &mut Shell<'_, '_>) {
        shell.read_core(node_luck(self.name()), KubectlStep::List(self.number()));
    }

    /// The list has come: the node's pods by namespace and name, as the apiserver keeps them. The filter for DaemonSets
    /// gets the DaemonSet of each such pod, one after the other.
    pub(super) fn listed(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
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
    pub(super) fn filtered(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
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
}
