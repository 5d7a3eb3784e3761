//! The commands of kubectl that write one object: cordon, uncordon, label, patch, scale, rollout restart, delete.
//!
//! Source: `k8s.io/kubectl/pkg/cmd/drain/drain.go` RunCordonOrUncordon, `pkg/cmd/scale/scale.go` RunScale,
//! `pkg/cmd/rollout/rollout_restart.go` RunRestart, `pkg/cmd/delete/delete.go` DeleteResult, `pkg/cmd/wait/delete.go`
//! IsDeleted (v1.36).

use crate::api::{AutoscalerId, DaemonSetId, Kind, NodeId, PodId, ReplicaSetId, StatefulSetId, Store};
use crate::simulation::context::{Context, node_luck};
use crate::simulation::event::KubectlStep;
use crate::simulation::operator::shell::Shell;
use crate::simulation::operator::{label, messages};
use crate::simulation::setup::{ActionKind, Restarted};
use crate::simulation::write::{WorkloadWrite, Write, WriteError};

/// A process that runs one of these commands.
#[derive(Clone, Debug)]
pub struct Single {
    what: ActionKind,
    pod: Option<PodId>,
    watching: bool,
    /// What `kubectl label` will say.
    labelled: &'static str,
}

/// The node of this name that exists now.
#[must_use]
pub fn live_node(store: &Store, name: &str) -> Option<NodeId> {
    let is_named = |id: &NodeId| store.nodes.head(id.index()).is_some_and(|n| n.name == name);
    (0..store.nodes.len()).map(NodeId::from).find(is_named)
}

impl Single {
    /// A process that has not begun.
    #[must_use]
    pub const fn new(what: ActionKind) -> Self {
        Self { what, pod: None, watching: false, labelled: "" }
    }

    /// The pod for whose end a watch waits.
    #[must_use]
    pub fn watched(&self) -> Option<PodId> {
        self.pod.filter(|_| self.watching)
    }

    /// Takes a step; the exit code if it was the last one.
    pub fn step(&mut self, shell: &mut Shell<'_, '_>, step: KubectlStep) -> Option<i32> {
        match step {
            KubectlStep::Start => self.start(shell),
            KubectlStep::Found(_) => self.found(shell),
            KubectlStep::Looked(_) => self.looked(shell),
            _ => None,
        }
    }

    /// The write has been answered; the exit code if nothing is left to do.
    pub fn written(&mut self, shell: &mut Shell<'_, '_>, result: Result<(), WriteError>) -> Option<i32> {
        if let Err(error) = result {
            if matches!(self.what, ActionKind::ScaleReplicaSet { .. }) && error == WriteError::Conflict {
                return self.start(shell); // `pkg/scale/scale.go` ScaleSimple: read and written again
            }
            return Some(self.refused(shell, error));
        }
        match &self.what {
            ActionKind::Cordon(node) => shell.print(0, format!("node/{node} cordoned")),
            ActionKind::Uncordon(node) => shell.print(0, format!("node/{node} uncordoned")),
            ActionKind::Scale { deployment, .. } => {
                let name = deployment_name(shell.ctx, *deployment);
                shell.print(0, format!("deployment.apps/{name} scaled"));
            }
            ActionKind::RolloutRestart(workload) => {
                let Titled { singular, name, .. } = titled(shell.ctx, *workload);
                shell.print(0, format!("{singular}.apps/{name} restarted"));
            }
            ActionKind::ScaleReplicaSet { replica_set, .. } => {
                let name = replica_set_name(shell.ctx, *replica_set);
                shell.print(0, format!("replicaset.apps/{name} scaled"));
            }
            ActionKind::ScaleStatefulSet { stateful_set, .. } => {
                let name = stateful_set_name(shell.ctx, *stateful_set);
                shell.print(0, format!("statefulset.apps/{name} scaled"));
            }
            ActionKind::DeletePdb { pdb } => {
                let spec = &shell.ctx.store.pdb_specs[pdb.index()];
                let text = messages::pdb_deleted(spec, shell.ctx.version);
                shell.print(0, text);
                shell.read(shell.ctx.luck_of(Kind::Pdb, pdb.0), KubectlStep::Looked(0));
                return None;
            }
            ActionKind::DeleteNode(node) => {
                shell.print(0, format!("node \"{node}\" deleted"));
                shell.read(node_luck(node), KubectlStep::Looked(0));
                return None;
            }
            ActionKind::Taint { node, remove, .. } => {
                shell.print(0, format!("node/{node} {}", if *remove { "untainted" } else { "tainted" }));
            }
            ActionKind::LabelPod { .. } => {
                let name = self.pod.map_or("", |pod| shell.ctx.store.pod_meta[pod.index()].name.as_str());
                let text = format!("pod/{name} {}", self.labelled);
                shell.print(0, text);
            }
            ActionKind::PatchAutoscaler { autoscaler, .. } => {
                let name = autoscaler_name(shell.ctx, *autoscaler);
                shell.print(0, format!("horizontalpodautoscaler.autoscaling/{name} patched"));
            }
            ActionKind::DeletePod { grace_seconds, force, .. } => {
                let pod = self.pod?;
                let forced = *force && grace_of_delete(*grace_seconds, true) == Some(0);
                let text = messages::pod_deleted(&shell.ctx.store.pod_meta[pod.index()], shell.ctx.version, forced);
                shell.print(0, text);
                shell.read(shell.ctx.pod_luck(pod), KubectlStep::Looked(0));
                return None;
            }
            _ => {}
        }
        Some(0)
    }

    /// `kubectl delete` needs not see the object before it deletes it, the others do.
    fn start(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        match &self.what {
            ActionKind::Cordon(node) | ActionKind::Uncordon(node) | ActionKind::Taint { node, .. } => {
                shell.read(node_luck(node), KubectlStep::Found(0));
                None
            }
            ActionKind::Scale { deployment, .. } => {
                shell.read(deployment_luck(shell.ctx, *deployment), KubectlStep::Found(0));
                None
            }
            ActionKind::RolloutRestart(workload) => {
                shell.read(titled(shell.ctx, *workload).luck, KubectlStep::Found(0));
                None
            }
            ActionKind::ScaleReplicaSet { replica_set, .. } => {
                shell.read(replica_set_luck(shell.ctx, *replica_set), KubectlStep::Found(0));
                None
            }
            ActionKind::ScaleStatefulSet { stateful_set, .. } => {
                shell.read(stateful_set_luck(shell.ctx, *stateful_set), KubectlStep::Found(0));
                None
            }
            ActionKind::DeletePdb { pdb } => {
                let luck = shell.ctx.luck_of(Kind::Pdb, pdb.0);
                shell.write(Write::DeletePdb { pdb: *pdb }, luck, KubectlStep::Answer(0));
                None
            }
            ActionKind::DeleteNode(name) => {
                let Some(node) = live_node(&shell.ctx.store, name) else {
                    return Some(self.refused(shell, WriteError::NotFound));
                };
                shell.write(Write::DeleteNode { node }, node_luck(name), KubectlStep::Answer(0));
                None
            }
            ActionKind::LabelPod { namespace, name, .. } => {
                self.pod = first_pod_named(&shell.ctx.store, namespace, name);
                let luck = self.pod.map_or(0, |pod| shell.ctx.pod_luck(pod));
                shell.read(luck, KubectlStep::Found(0));
                None
            }
            ActionKind::PatchAutoscaler { autoscaler, .. } => {
                shell.read(autoscaler_luck(shell.ctx, *autoscaler), KubectlStep::Found(0));
                None
            }
            ActionKind::DeletePod { namespace, name, grace_seconds, force } => {
                self.pod = first_pod_named(&shell.ctx.store, namespace, name);
                let Some(pod) = self.pod else { return Some(self.refused(shell, WriteError::NotFound)) };
                let grace_seconds = grace_of_delete(*grace_seconds, *force);
                if *force && grace_seconds == Some(0) {
                    shell.print(0, messages::FORCED_DELETION.to_string());
                }
                let write = Write::DeletePod { pod, grace_seconds, unless_changed_since: None };
                shell.write(write, shell.ctx.pod_luck(pod), KubectlStep::Answer(0));
                None
            }
            _ => Some(0),
        }
    }

    fn found(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        let store = &shell.ctx.store;
        match &self.what {
            ActionKind::Cordon(name) | ActionKind::Uncordon(name) => {
                let unschedulable = matches!(self.what, ActionKind::Cordon(_));
                let Some(node) = live_node(store, name) else {
                    shell.print(0, messages::from_server(WriteError::NotFound, "nodes", name));
                    return Some(1);
                };
                if store.nodes.head(node.index()).is_some_and(|n| n.unschedulable == unschedulable) {
                    let state = if unschedulable { "cordoned" } else { "uncordoned" };
                    shell.print(0, format!("node/{name} already {state}"));
                    return Some(0);
                }
                shell.write(Write::Cordon { node, unschedulable }, node_luck(name), KubectlStep::Cordon(0));
            }
            ActionKind::Taint { node: name, taint, remove } => {
                let Some(node) = live_node(store, name) else {
                    return Some(self.refused(shell, WriteError::NotFound));
                };
                let (add, remove) = if *remove { (vec![], vec![taint.clone()]) } else { (vec![taint.clone()], vec![]) };
                shell.write(Write::PatchTaints { node, add, remove }, node_luck(name), KubectlStep::Answer(0));
            }
            ActionKind::Scale { deployment, replicas } => {
                let (index, replicas) = (u32::try_from(*deployment).unwrap_or(u32::MAX), *replicas);
                let luck = deployment_luck(shell.ctx, *deployment);
                shell.write(Write::ScaleDeployment { deployment: index, replicas }, luck, KubectlStep::Answer(0));
            }
            ActionKind::ScaleStatefulSet { stateful_set, replicas } => {
                let (id, replicas) = (StatefulSetId::from(*stateful_set), *replicas);
                let write = WorkloadWrite::ScaleStatefulSet { stateful_set: id, replicas };
                let luck = stateful_set_luck(shell.ctx, *stateful_set);
                shell.write(Write::Workload(write), luck, KubectlStep::Answer(0));
            }
            ActionKind::ScaleReplicaSet { replica_set, replicas } => {
                let (id, replicas) = (replica_set_id(shell.ctx, *replica_set), *replicas);
                if store.replica_sets.head(id.index()).is_none() {
                    return Some(self.refused(shell, WriteError::NotFound));
                }
                let base = store.replica_sets.head_revision(id.index());
                let luck = replica_set_luck(shell.ctx, *replica_set);
                let write = Write::ScaleReplicaSet { replica_set: id, base, replicas };
                shell.write(write, luck, KubectlStep::Answer(0));
            }
            ActionKind::RolloutRestart(workload) => {
                let Some(write) = restart(store, *workload) else {
                    return Some(self.refused(shell, WriteError::NotFound));
                };
                let luck = titled(shell.ctx, *workload).luck;
                shell.write(write, luck, KubectlStep::Answer(0));
            }
            ActionKind::LabelPod { changes, overwrite, .. } => {
                let Some((pod, head)) = self.pod.and_then(|pod| Some((pod, store.pods.head(pod.index())?))) else {
                    return Some(self.refused(shell, WriteError::NotFound));
                };
                let labels = &store.label_set(head.labels).labels;
                if let Some((key, value)) = label::overwritten(labels, changes).filter(|_| !overwrite) {
                    let text = format!("error: '{key}' already has a value ({value}), and --overwrite is false");
                    shell.print(0, text);
                    return Some(1);
                }
                self.labelled = label::outcome(labels, changes);
                if self.labelled == label::NOT_LABELED {
                    let text = format!("pod/{} {}", store.pod_meta[pod.index()].name, self.labelled);
                    shell.print(0, text);
                    return Some(0);
                }
                let write = WorkloadWrite::LabelPod { pod, changes: changes.clone() };
                shell.write(Write::Workload(write), shell.ctx.pod_luck(pod), KubectlStep::Answer(0));
            }
            ActionKind::PatchAutoscaler { autoscaler, min_replicas, max_replicas } => {
                let luck = autoscaler_luck(shell.ctx, *autoscaler);
                let write = WorkloadWrite::BoundAutoscaler {
                    autoscaler: AutoscalerId::from(*autoscaler),
                    min_replicas: *min_replicas,
                    max_replicas: *max_replicas,
                };
                shell.write(Write::Workload(write), luck, KubectlStep::Answer(0));
            }
            _ => {}
        }
        None
    }

    /// `kubectl delete` ends when the object is gone. If a first look still finds it, a watch tells of its removal.
    fn looked(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        match self.pod {
            Some(pod) if shell.ctx.store.pods.head(pod.index()).is_some() => {
                self.watching = true;
                None
            }
            _ => Some(0),
        }
    }

    /// The exit code is 0 if a cordon fails: kubectl only prints the error then.
    fn refused(&self, shell: &mut Shell<'_, '_>, error: WriteError) -> i32 {
        let (text, code) = match &self.what {
            ActionKind::Cordon(name) | ActionKind::Uncordon(name) => {
                let verb = if matches!(self.what, ActionKind::Cordon(_)) { "cordon" } else { "uncordon" };
                let error = messages::write_refused(error, "nodes", name);
                (format!("error: unable to {verb} node \"{name}\": {error}"), 0)
            }
            ActionKind::Scale { deployment, .. } => {
                (messages::from_server(error, "deployments.apps", deployment_name(shell.ctx, *deployment)), 1)
            }
            ActionKind::RolloutRestart(workload) => {
                let Titled { resource, name, .. } = titled(shell.ctx, *workload);
                let error = messages::write_refused(error, resource, name);
                (format!("error: failed to patch: {error}"), 1)
            }
            ActionKind::ScaleReplicaSet { replica_set, .. } => {
                (messages::from_server(error, "replicasets.apps", replica_set_name(shell.ctx, *replica_set)), 1)
            }
            ActionKind::ScaleStatefulSet { stateful_set, .. } => {
                (messages::from_server(error, "statefulsets.apps", stateful_set_name(shell.ctx, *stateful_set)), 1)
            }
            ActionKind::DeletePdb { pdb } => {
                let name = &shell.ctx.store.pdb_specs[pdb.index()].name;
                (messages::from_server(error, "poddisruptionbudgets.policy", name), 1)
            }
            ActionKind::DeleteNode(name) | ActionKind::Taint { node: name, .. } => {
                (messages::from_server(error, "nodes", name), 1)
            }
            ActionKind::PatchAutoscaler { autoscaler, .. } => {
                let name = autoscaler_name(shell.ctx, *autoscaler);
                (messages::from_server(error, "horizontalpodautoscalers.autoscaling", name), 1)
            }
            ActionKind::DeletePod { name, .. } | ActionKind::LabelPod { name, .. } => {
                let found = self.pod.map(|pod| shell.ctx.store.pod_meta[pod.index()].name.as_str());
                (messages::from_server(error, "pods", found.unwrap_or(name)), 1)
            }
            _ => return 0,
        };
        shell.print(0, text);
        code
    }
}

fn autoscaler_name<'a>(ctx: &Context<'a>, autoscaler: usize) -> &'a str {
    ctx.setup.autoscalers.get(autoscaler).map_or("", |h| h.name.as_str())
}

fn autoscaler_luck(ctx: &Context<'_>, autoscaler: usize) -> u64 {
    ctx.luck_of(Kind::Autoscaler, u32::try_from(autoscaler).unwrap_or(u32::MAX))
}

/// The pod of this name; else the first one created, of those that are not being deleted, whose name begins so.
fn first_pod_named(store: &Store, namespace: &str, name: &str) -> Option<PodId> {
    let living = || {
        let pods =
            (0..store.pod_meta.len()).map(PodId::from).filter(|p| store.pod_meta[p.index()].namespace == namespace);
        pods.filter_map(|p| Some((p, store.pods.head(p.index())?)))
    };
    let exact = living().find(|(pod, _)| store.pod_meta[pod.index()].name == name);
    let begins = |pod: &PodId| store.pod_meta[pod.index()].name.starts_with(name);
    exact.or_else(|| living().find(|(pod, head)| begins(pod) && head.deletion.is_none())).map(|(pod, _)| pod)
}

/// `--grace-period` as it is sent: kubectl takes 0 for 1 unless `--force` is given, which without a grace period means 0,
/// and a negative one for none.
const fn grace_of_delete(seconds: Option<i64>, force: bool) -> Option<i64> {
    match seconds {
        Some(0) | None if force => Some(0),
        Some(0) => Some(1),
        Some(positive) if positive > 0 => Some(positive),
        _ => None,
    }
}

/// The write that restarts a workload; `None` if there is none. What it adds to the template is of no consequence here.
fn restart(store: &Store, workload: Restarted) -> Option<Write> {
    match workload {
        Restarted::Deployment(index) => {
            let template = store.deployments.head(index)?.template;
            Some(Write::ChangeTemplate { deployment: u32::try_from(index).unwrap_or(u32::MAX), template })
        }
        Restarted::StatefulSet(index) => {
            let template = store.stateful_sets.head(index)?.template;
            let stateful_set = StatefulSetId::from(index);
            Some(Write::Workload(WorkloadWrite::ChangeStatefulSetTemplate { stateful_set, template }))
        }
        Restarted::DaemonSet(index) => {
            let template = store.daemon_sets.head(index)?.template;
            let daemon_set = DaemonSetId::from(index);
            Some(Write::Workload(WorkloadWrite::ChangeDaemonSetTemplate { daemon_set, template }))
        }
    }
}

/// What kubectl and the apiserver call a workload, and the number that stands for it in keyed draws.
struct Titled<'a> {
    singular: &'static str,
    resource: &'static str,
    name: &'a str,
    luck: u64,
}

fn titled<'a>(ctx: &Context<'a>, workload: Restarted) -> Titled<'a> {
    match workload {
        Restarted::Deployment(index) => Titled {
            singular: "deployment",
            resource: "deployments.apps",
            name: deployment_name(ctx, index),
            luck: deployment_luck(ctx, index),
        },
        Restarted::StatefulSet(index) => Titled {
            singular: "statefulset",
            resource: "statefulsets.apps",
            name: stateful_set_name(ctx, index),
            luck: stateful_set_luck(ctx, index),
        },
        Restarted::DaemonSet(index) => Titled {
            singular: "daemonset",
            resource: "daemonsets.apps",
            name: ctx.setup.daemon_sets.get(index).map_or("", |set| set.name.as_str()),
            luck: ctx.luck_of(Kind::DaemonSet, u32::try_from(index).unwrap_or(u32::MAX)),
        },
    }
}

fn deployment_name<'a>(ctx: &Context<'a>, deployment: usize) -> &'a str {
    ctx.setup.deployments.get(deployment).map_or("", |d| d.name.as_str())
}

fn replica_set_name<'a>(ctx: &Context<'a>, replica_set: usize) -> &'a str {
    ctx.setup.replica_sets.get(replica_set).map_or("", |r| r.name.as_str())
}

fn stateful_set_name<'a>(ctx: &Context<'a>, stateful_set: usize) -> &'a str {
    ctx.setup.stateful_sets.get(stateful_set).map_or("", |s| s.name.as_str())
}

fn stateful_set_luck(ctx: &Context<'_>, stateful_set: usize) -> u64 {
    ctx.luck_of(Kind::StatefulSet, u32::try_from(stateful_set).unwrap_or(u32::MAX))
}

/// ReplicaSets of their own come after the first ones of the Deployments.
fn replica_set_id(ctx: &Context<'_>, replica_set: usize) -> ReplicaSetId {
    ReplicaSetId::from(ctx.setup.deployments.len() + replica_set)
}

fn replica_set_luck(ctx: &Context<'_>, replica_set: usize) -> u64 {
    ctx.luck_of(Kind::ReplicaSet, replica_set_id(ctx, replica_set).0)
}

fn deployment_luck(ctx: &Context<'_>, deployment: usize) -> u64 {
    ctx.luck_of(Kind::Deployment, u32::try_from(deployment).unwrap_or(u32::MAX))
}
