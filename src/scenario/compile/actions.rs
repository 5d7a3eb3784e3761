//! What is done to the cluster.

use std::collections::BTreeMap;

use crate::api::{Labels, Selector};
use crate::engine::Duration;
use crate::scenario::compile::nodes::node_of;
use crate::scenario::compile::{Compiler, instant};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::{
    ActionEntry, DeletePodAction, DrainAction, LabelPodAction, NodeEntry, PartitionAction, PatchHpaAction,
    SpotNoticeAction, TaintAction,
};
use crate::scenario::source::Spanned;
use crate::scenario::suggest;
use crate::scenario::values::{NodeRef, SelectorText};
use crate::simulation::setup::{Action, ActionKind, DrainOptions, Partition, PartitionScope, When};

/// From a machine's start to Ready, if nobody says.
pub(super) const NODE_READY_DEFAULT: Duration = Duration::from_secs(30);

/// Amazon EC2 Spot gives two minutes; other clouds 30 s.
const SPOT_DEADLINE_DEFAULT: Duration = Duration::from_secs(120);

/// What the AWS Node Termination Handler asks of kubectl's drain library.
///
/// Source: aws/aws-node-termination-handler `pkg/node/node.go` getDrainHelper: Force, IgnoreAllDaemonSets,
/// DeleteEmptyDirData, GracePeriodSeconds -1 and a timeout of 120 s (`node-termination-grace-period`) by default.
fn termination_handler_drain(node: String) -> DrainOptions {
    DrainOptions {
        nodes: vec![node],
        force: true,
        ignore_daemonsets: true,
        delete_emptydir_data: true,
        timeout: Duration::from_secs(120),
        ..DrainOptions::default()
    }
}

impl Compiler<'_> {
    pub(super) fn actions(&mut self) {
        let spec = self.spec;
        let names = self.action_names();
        let joining = self.joining_nodes();
        // what follows from an entry besides its own action comes after all of them: entries are named by their place
        let mut more = Vec::new();
        for (index, entry) in spec.actions.iter().enumerate() {
            let when = self.when(entry, &names);
            let what = self.what(index, entry, &joining);
            if let (Some(when), Some(what)) = (when, what) {
                let name = entry.name.as_ref().map(|n| n.value.clone()).unwrap_or_default();
                let (what, when) = match &entry.spot_notice {
                    Some(notice) => {
                        more.push(Action { name: String::new(), when, what });
                        self.end_of_spot(notice, when)
                    }
                    None => (what, when),
                };
                self.setup.actions.push(Action { name, when, what });
            }
        }
        if self.setup.actions.len() == spec.actions.len() {
            self.check_cycles();
        }
        self.setup.actions.append(&mut more);
    }

    /// Named actions, by name.
    fn action_names(&mut self) -> BTreeMap<String, usize> {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for (index, entry) in self.spec.actions.iter().enumerate() {
            let Some(Spanned { value, span }) = &entry.name else { continue };
            if let Some(&first) = names.get(value) {
                let problem = Diagnostic::error(format!("two actions are named `{value}`")).at(span, "the second one");
                let first = self.spec.actions[first].name.as_ref().map_or(span, |n| &n.span);
                self.push(problem.and_at(first, "the first one"));
            } else {
                names.insert(value.clone(), index);
            }
        }
        names
    }

    /// Nodes that actions add.
    fn joining_nodes(&mut self) -> Vec<String> {
        let mut joining: Vec<Spanned<String>> = Vec::new();
        for entry in self.spec.actions.iter().filter_map(|a| a.add_node.as_ref()) {
            if self.knows_node(&entry.name.value) {
                self.push(
                    Diagnostic::error(format!("the node `{}` is there already", entry.name.value))
                        .at(&entry.name.span, "a node of this name is in `nodes`")
                        .help("give the new node another name, or let the one in `nodes` join with `ready`"),
                );
            } else if let Some(first) = joining.iter().find(|n| n.value == entry.name.value) {
                let problem = Diagnostic::error(format!("the node `{}` is added twice", entry.name.value));
                let problem = problem.at(&entry.name.span, "the second time").and_at(&first.span, "the first time");
                self.push(problem);
            } else {
                joining.push(entry.name.clone());
            }
        }
        joining.into_iter().map(|n| n.value).collect()
    }

    /// The time; that there is exactly one has been checked when the file was read.
    fn when(&mut self, entry: &ActionEntry, names: &BTreeMap<String, usize>) -> Option<When> {
        if let Some(at) = &entry.at {
            if at.value >= self.setup.duration && !self.setup.duration.is_zero() {
                let problem = Diagnostic::warning("this action never happens");
                self.push(problem.at(&at.span, format!("the run lasts {}", self.setup.duration)));
            }
            return Some(When::At(instant(at.value)));
        }
        let after = entry.after.as_ref()?;
        let Some(&first) = names.get(&after.value) else {
            self.push(
                Diagnostic::error(format!("there is no action named `{}`", after.value))
                    .at(&after.span, "unknown action")
                    .help(suggest::help(&after.value, "named actions", names.keys().map(String::as_str))),
            );
            return None;
        };
        Some(When::After(first, entry.wait.unwrap_or_default()))
    }

    fn what(&mut self, index: usize, entry: &ActionEntry, joining: &[String]) -> Option<ActionKind> {
        if let Some(drain) = &entry.drain {
            return self.drain(drain, joining).map(ActionKind::Drain);
        }
        if let Some(NodeRef(node)) = &entry.cordon {
            return self.node(node, joining).map(ActionKind::Cordon);
        }
        if let Some(NodeRef(node)) = &entry.uncordon {
            return self.node(node, joining).map(ActionKind::Uncordon);
        }
        if let Some(NodeRef(node)) = &entry.shut_off {
            return self.node(node, joining).map(ActionKind::ShutOff);
        }
        if let Some(NodeRef(node)) = &entry.delete_node {
            return self.node(node, joining).map(ActionKind::DeleteNode);
        }
        if let Some(NodeRef(node)) = &entry.shutdown {
            return self.node(node, joining).map(ActionKind::Shutdown);
        }
        if let Some(notice) = &entry.spot_notice {
            let node = self.node(&notice.node, joining)?;
            return Some(ActionKind::Drain(termination_handler_drain(node)));
        }
        if let Some(pod) = &entry.delete_pod {
            return self.delete_pod(pod);
        }
        if let Some(label) = &entry.label_pod {
            return self.label_pod(label);
        }
        if let Some(patch) = &entry.patch_hpa {
            return self.patch_hpa(patch);
        }
        if let Some(scale) = &entry.scale {
            let replicas = scale.replicas;
            if let Some(name) = &scale.replica_set {
                let replica_set = self.replica_set(name)?;
                return Some(ActionKind::ScaleReplicaSet { replica_set, replicas });
            }
            if let Some(name) = &scale.stateful_set {
                let stateful_set = self.stateful_set(name)?;
                return Some(ActionKind::ScaleStatefulSet { stateful_set, replicas });
            }
            let deployment = self.deployment(scale.deployment.as_ref()?)?;
            return Some(ActionKind::Scale { deployment, replicas });
        }
        if let Some(restart) = &entry.rollout_restart {
            return self.restarted(restart).map(ActionKind::RolloutRestart);
        }
        if let Some(NodeRef(node)) = &entry.power_on {
            return self.node(node, joining).map(ActionKind::PowerOn);
        }
        if let Some(NodeRef(node)) = &entry.restart {
            return self.node(node, joining).map(ActionKind::Restart);
        }
        if let Some(NodeRef(node)) = &entry.stop_kubelet {
            return self.node(node, joining).map(ActionKind::StopKubelet);
        }
        if let Some(NodeRef(node)) = &entry.start_kubelet {
            return self.node(node, joining).map(ActionKind::StartKubelet);
        }
        if let Some(PartitionAction { node, from, heal_after }) = &entry.partition {
            let node = self.node(node, joining)?;
            let from = from.unwrap_or(PartitionScope::ControlPlane);
            let heal_after = heal_after.as_ref().map(|after| after.value);
            return Some(ActionKind::Partition(Partition { node, from, heal_after }));
        }
        if let Some(TaintAction { node, taint, remove }) = &entry.taint {
            let node = self.node(node, joining)?;
            return Some(ActionKind::Taint { node, taint: taint.0.clone(), remove: remove.unwrap_or(false) });
        }
        if let Some(upgrade) = &entry.upgrade {
            return self.upgrade(upgrade, joining).map(ActionKind::Upgrade);
        }
        if let Some(autoscaler) = &entry.cluster_autoscaler {
            return self.cluster_autoscaler(autoscaler, joining).map(ActionKind::ClusterAutoscaler);
        }
        if let Some(karpenter) = &entry.karpenter {
            return self.karpenter(karpenter, joining).map(ActionKind::Karpenter);
        }
        if entry.apply.is_some() {
            return self.apply(index).map(ActionKind::Apply);
        }
        if let Some(budget) = &entry.delete_pdb {
            return self.pdb_named(&budget.name).map(|pdb| ActionKind::DeletePdb { pdb });
        }
        entry.add_node.as_ref().and_then(|node| self.add_node_action(node))
    }

    fn add_node_action(&mut self, entry: &NodeEntry) -> Option<ActionKind> {
        if let Some(count) = &entry.count {
            let problem = Diagnostic::error("`addNode` adds one node");
            self.push(problem.at(&count.span, "not more").help("write one action for each node"));
            return None;
        }
        let ready_after = entry.ready.unwrap_or_else(|| {
            self.assumptions.push(format!(
                "the node {} is Ready {NODE_READY_DEFAULT} after it has been added (`addNode.ready`)",
                entry.name.value
            ));
            NODE_READY_DEFAULT
        });
        Some(ActionKind::AddNode { node: node_of(entry, &entry.name.value), ready_after })
    }

    /// The name of a node that is there at the start, joins, or is added.
    pub(super) fn node(&mut self, name: &Spanned<String>, joining: &[String]) -> Option<String> {
        if self.knows_node(&name.value) || joining.contains(&name.value) {
            return Some(name.value.clone());
        }
        let known = self.setup.nodes.iter().map(|n| n.node.name.as_str());
        let help = suggest::help(&name.value, "nodes", known.chain(joining.iter().map(String::as_str)));
        let problem = Diagnostic::error(format!("there is no node `{}`", name.value)).at(&name.span, "unknown node");
        self.push(problem.help(help));
        None
    }

    fn drain(&mut self, entry: &DrainAction, joining: &[String]) -> Option<DrainOptions> {
        let names: Vec<&Spanned<String>> = entry.node.iter().chain(&entry.nodes).collect();
        let nodes: Vec<Option<String>> = names.iter().map(|name| self.node(name, joining)).collect();
        let nodes: Vec<String> = nodes.into_iter().collect::<Option<_>>()?;
        let selector = entry.selector.as_ref().map(|s| self.node_selector(s));
        let default = DrainOptions::default();
        let skip = match &entry.skip_wait_for_delete_timeout {
            None => 0,
            Some(Spanned { value, span }) => match u64::try_from(value.0) {
                Ok(seconds) => seconds,
                Err(_) => {
                    let problem = Diagnostic::error("`skipWaitForDeleteTimeout` is negative");
                    self.push(problem.at(span, "expected 0 (off) or more seconds"));
                    0
                }
            },
        };
        Some(DrainOptions {
            nodes,
            selector,
            force: entry.force.unwrap_or(default.force),
            ignore_daemonsets: entry.ignore_daemonsets.unwrap_or(default.ignore_daemonsets),
            delete_emptydir_data: entry.delete_emptydir_data.unwrap_or(default.delete_emptydir_data),
            delete_local_data: entry.delete_local_data.unwrap_or(default.delete_local_data),
            disable_eviction: entry.disable_eviction.unwrap_or(default.disable_eviction),
            grace_period: entry.grace_period.map_or(default.grace_period, |s| s.0),
            timeout: entry.timeout.unwrap_or(default.timeout),
            pod_selector: entry.pod_selector.as_ref().map(|s| s.0.clone()),
            skip_wait_for_delete_timeout: skip,
            dry_run: entry.dry_run.unwrap_or_default(),
        })
    }

    /// The machine is gone at the deadline.
    fn end_of_spot(&mut self, notice: &SpotNoticeAction, when: When) -> (ActionKind, When) {
        let deadline = notice.deadline.as_ref().map_or(SPOT_DEADLINE_DEFAULT, |d| d.value);
        let end = match when {
            When::At(at) => When::At(at + deadline),
            When::After(first, wait) => When::After(first, wait + deadline),
            When::OnSuccess(first, wait) => When::OnSuccess(first, wait + deadline),
            window @ When::Window { .. } => window,
        };
        let span = notice.deadline.as_ref().map_or(&notice.node.span, |d| &d.span);
        if let When::At(end) = end
            && end > instant(self.setup.duration)
        {
            let problem = Diagnostic::warning("the machine is still there at the end of the run");
            self.push(problem.at(span, format!("the run lasts {}", self.setup.duration)));
        }
        (ActionKind::ShutOff(notice.node.value.clone()), end)
    }

    /// A selector that takes none of the nodes that the scenario has or adds is told of; kubectl would say nothing.
    fn node_selector(&mut self, selector: &Spanned<SelectorText>) -> Selector {
        let found = selector.value.0.clone();
        let taken = |labels: &Labels| found.matches(labels);
        let added = self.spec.actions.iter().filter_map(|a| a.add_node.as_ref());
        if !self.setup.nodes.iter().any(|n| taken(&n.node.labels))
            && !added.map(|entry| node_of(entry, &entry.name.value)).any(|n| taken(&n.labels))
        {
            let problem = Diagnostic::warning("no node has these labels, and the drain does nothing");
            self.push(problem.at(&selector.span, "selects none of the nodes"));
        }
        found
    }

    /// Pods of workloads get their names during the run; only the beginning can be checked.
    fn delete_pod(&mut self, entry: &DeletePodAction) -> Option<ActionKind> {
        let (namespace, name) = self.possible_pod(entry.namespace.as_ref(), &entry.name)?;
        let (grace_seconds, force) = (entry.grace_period.map(|s| s.0), entry.force.unwrap_or(false));
        Some(ActionKind::DeletePod { namespace, name, grace_seconds, force })
    }

    fn label_pod(&mut self, entry: &LabelPodAction) -> Option<ActionKind> {
        let set = entry.labels.0.iter().map(|(key, value)| (key.value.clone(), Some(value.clone())));
        let remove = entry.remove.iter().map(|key| (key.value.clone(), None));
        let changes: Vec<_> = set.chain(remove).collect();
        if changes.is_empty() {
            let problem = Diagnostic::error("`labelPod` changes no label");
            self.push(
                problem.at(&entry.name.span, "of this pod").help("add `labels: {KEY: VALUE}`, or `remove: [KEY]`"),
            );
            return None;
        }
        let (namespace, name) = self.possible_pod(entry.namespace.as_ref(), &entry.name)?;
        Some(ActionKind::LabelPod { namespace, name, changes, overwrite: entry.overwrite.unwrap_or(false) })
    }

    fn patch_hpa(&mut self, entry: &PatchHpaAction) -> Option<ActionKind> {
        let all = self.setup.autoscalers.iter().map(|h| (h.namespace.clone(), h.name.clone())).collect();
        let autoscaler = self.one_named("HorizontalPodAutoscaler", &entry.name, all)?;
        let (min_replicas, max_replicas) = (entry.min_replicas, entry.max_replicas);
        Some(ActionKind::PatchAutoscaler { autoscaler, min_replicas, max_replicas })
    }

    /// The namespace and the beginning of the name of a pod, if there can be one.
    fn possible_pod(
        &mut self,
        namespace: Option<&Spanned<String>>,
        name: &Spanned<String>,
    ) -> Option<(String, String)> {
        let namespace = namespace.map_or("default", |n| n.value.as_str());
        let Spanned { value: name, span } = name;
        let known = self.pod_name_prefixes();
        let here: Vec<&str> = known.iter().filter(|(ns, _)| ns == namespace).map(|(_, name)| name.as_str()).collect();
        let possible = |own: &&str| own.starts_with(name.as_str()) || name.starts_with(&format!("{own}-"));
        if name.is_empty() || !here.iter().any(possible) {
            self.push(
                Diagnostic::error(format!("no pod in the namespace `{namespace}` can be named `{name}`"))
                    .at(span, "unknown pod")
                    .help(suggest::help(name, "beginnings of pods' names", here)),
            );
            return None;
        }
        Some((namespace.to_string(), name.clone()))
    }

    /// Actions that wait for each other never happen.
    fn check_cycles(&mut self) {
        for start in 0..self.setup.actions.len() {
            let mut at = start;
            for _ in 0..self.setup.actions.len() {
                match self.setup.actions[at].when {
                    When::At(_) => break,
                    When::After(first, _) | When::OnSuccess(first, _) => at = first,
                    When::Window { .. } => break,
                }
                if at == start {
                    let Some(after) = &self.spec.actions[start].after else { break };
                    let message = "these actions wait for each other, and none of them ever happens";
                    self.problems.push(Diagnostic::error(message).at(&after.span, "waits for itself in the end"));
                    return;
                }
            }
        }
    }
}
