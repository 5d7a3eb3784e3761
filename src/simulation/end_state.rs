//! Where a cluster stood when a run ended with a drain that had not: what a proof needs that it never will.

use crate::api::autoscaler::ScaleTarget;
use crate::api::{
    AutoscalerId, DaemonSet, Deployment, Labels, Node, NodeId, Owner, PdbId, PdbSpec, PdbStatus, Pod, PodId,
    PodTemplate, ReplicaSet, StatefulSet, TemplateId,
};
use crate::engine::Time;
use crate::simulation::world::World;

/// The newest version of everything that may still change the fate of a drain.
#[derive(Clone, PartialEq, Debug)]
pub struct EndState {
    /// When that was.
    pub time: Time,
    /// The nodes, by [`NodeId`].
    pub nodes: Vec<EndNode>,
    /// The pods that exist, in order of creation.
    pub pods: Vec<EndPod>,
    /// The pod templates, by [`TemplateId`].
    pub templates: Vec<PodTemplate>,
    /// The budgets as they were last, by [`PdbId`].
    pub pdb_specs: Vec<PdbSpec>,
    /// Their statuses.
    pub pdbs: Vec<PdbStatus>,
    /// The ReplicaSets, by [`ReplicaSetId`](crate::api::ReplicaSetId).
    pub replica_sets: Vec<Option<ReplicaSet>>,
    /// The Deployments, by [`DeploymentId`](crate::api::DeploymentId).
    pub deployments: Vec<Option<Deployment>>,
    /// The StatefulSets, by [`StatefulSetId`](crate::api::StatefulSetId).
    pub stateful_sets: Vec<Option<StatefulSet>>,
    /// The DaemonSets, by [`DaemonSetId`](crate::api::DaemonSetId).
    pub daemon_sets: Vec<Option<DaemonSet>>,
    /// The fewest and the most replicas that an autoscaler may want of its target.
    pub autoscalers: Vec<(ScaleTarget, u32, u32)>,
    /// How far each action of the setup has come.
    pub actions: Vec<Progress>,
    /// The drains that go on.
    pub drains: Vec<OpenDrain>,
}

/// A node.
#[derive(Clone, PartialEq, Debug)]
pub struct EndNode {
    /// Its newest name.
    pub name: String,
    /// The object; `None`: it is gone.
    pub object: Option<Node>,
    /// Its machine has no power.
    pub off: bool,
}

/// A pod.
#[derive(Clone, PartialEq, Debug)]
pub struct EndPod {
    /// Which.
    pub id: PodId,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Its controller.
    pub owner: Owner,
    /// What it is made of.
    pub template: TemplateId,
    /// Its labels.
    pub labels: Labels,
    /// The budgets that select it.
    pub pdbs: Vec<PdbId>,
    /// The object.
    pub object: Pod,
    /// It will not become Ready, whatever happens elsewhere.
    pub never_ready: bool,
    /// Why the scheduler found no node for it; empty if it did, or has not tried.
    pub unschedulable: String,
}

/// How far an action has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nobody has begun with it.
    Waiting,
    /// It is under way.
    Begun,
    /// It is done.
    Done,
}

/// A `kubectl drain` that goes on.
#[derive(Clone, PartialEq, Debug)]
pub struct OpenDrain {
    /// Index into the actions of the setup.
    pub action: u32,
    /// The names of its nodes, in order.
    pub nodes: Vec<String>,
    /// Which of them it is busy with, counted from 0.
    pub current: usize,
    /// Which node that is; `None`: it has not been looked up yet.
    pub node: Option<NodeId>,
    /// The pods that it wants to see gone there, without those that are; `None`: they are not listed yet.
    pub pods: Option<Vec<PodId>>,
}

/// The state of a world, if any drain of it goes on.
pub(super) fn of(world: &World<'_>) -> Option<Box<EndState>> {
    let ctx = &world.ctx;
    let store = &ctx.store;
    let drains = world.kubectl.open_drains(store);
    if drains.is_empty() {
        return None;
    }
    let pod = |(number, meta): (usize, &crate::api::PodMeta)| {
        let id = PodId::from(number);
        let object = *store.pods.head(number)?;
        let labels = store.label_set(object.labels);
        Some(EndPod {
            id,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            owner: store.owner_of(id, &object),
            template: meta.template,
            labels: labels.labels.clone(),
            pdbs: labels.pdbs.iter().copied().filter(|pdb| store.pdbs.head(pdb.index()).is_some()).collect(),
            object,
            never_ready: world.kubelets.is_never_ready(ctx, id, &object),
            unschedulable: if object.node.is_none() {
                world.scheduler.unschedulable_reason(ctx, id)
            } else {
                String::new()
            },
        })
    };
    let pdb_spec = |(number, spec): (usize, &PdbSpec)| match store.pdbs.head(number) {
        Some(pdb) => PdbSpec { budget: pdb.budget, unhealthy: pdb.unhealthy, ..spec.clone() },
        None => spec.clone(),
    };
    let node = |number: usize| {
        let id = NodeId::from(number);
        EndNode {
            name: store.node_name(id).to_string(),
            object: store.nodes.head(number).cloned(),
            off: world.kubelets.is_node_off(id),
        }
    };
    Some(Box::new(EndState {
        time: ctx.now(),
        nodes: (0..store.nodes.len()).map(node).collect(),
        pods: store.pod_meta.iter().enumerate().filter_map(pod).collect(),
        templates: store.templates.clone(),
        pdb_specs: store.pdb_specs.iter().enumerate().map(pdb_spec).collect(),
        pdbs: (0..store.pdb_specs.len())
            .map(|n| store.pdbs.head(n).map(|pdb| pdb.status.clone()).unwrap_or_default())
            .collect(),
        replica_sets: (0..store.replica_sets.len()).map(|n| store.replica_sets.head(n).cloned()).collect(),
        deployments: (0..store.deployments.len()).map(|n| store.deployments.head(n).cloned()).collect(),
        stateful_sets: (0..store.stateful_sets.len()).map(|n| store.stateful_sets.head(n).cloned()).collect(),
        daemon_sets: (0..store.daemon_sets.len()).map(|n| store.daemon_sets.head(n).cloned()).collect(),
        autoscalers: (0..store.autoscalers.len())
            .filter_map(|n| world.autoscaler.range(ctx, AutoscalerId::from(n)))
            .collect(),
        actions: world.progress.clone(),
        drains,
    }))
}
