//! What the apiserver does when a write commits: checks it against the newest version, stores it, and lets the watchers
//! know.

pub(super) mod workloads;

use crate::api::deletion::{self, Outcome};
use crate::api::{
    Deletion, Deployment, Kind, Node, NodeId, Owner, Pdb, Phase, Pod, PodId, PodMeta, ReplicaSet, ReplicaSetId,
    Revision, Taint, TaintEffect,
};
use crate::engine::Key;
use crate::simulation::context::Context;
use crate::simulation::network::Network;
use crate::simulation::observe::What;
use crate::simulation::write::{PodStatusPatch, Write, WriteError};

pub(super) use workloads::admit;

/// Carries out a write.
///
/// # Errors
/// `Conflict` if the writer had read an older version than the newest, `NotFound` if the object is gone; nothing is
/// written then.
pub fn commit(ctx: &mut Context<'_>, network: &mut Network<'_>, write: Write) -> Result<(), WriteError> {
    match write {
        Write::CreatePod { replica_set, ordinal } => create_pod(ctx, replica_set, ordinal),
        Write::BindPod { pod, node } => {
            let head = ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
            if head.node.is_some() || head.deletion.is_some() {
                return Err(WriteError::Conflict); // pkg/registry/core/pod/storage/storage.go setPodNodeAndMetadata
            }
            update_pod(ctx, pod, None, |p| p.node = Some(node))?;
            ctx.note(What::PodBound { pod, node });
            ctx.publish(Kind::Pod, pod.0);
            Ok(())
        }
        Write::PodStatus { pod, status } => {
            pod_status(ctx, pod, status)?;
            tell_of_targets(ctx, network, pod, true);
            Ok(())
        }
        Write::PodCondition { pod, gate, status } => {
            let head = ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
            if head.gates.is_true(gate) == status {
                return Ok(());
            }
            update_pod(ctx, pod, None, |p| p.gates = p.gates.with(gate, status))?;
            ctx.note(What::GateWritten { pod, gate: u32::from(gate), status: u32::from(status) });
            ctx.publish(Kind::Pod, pod.0);
            Ok(())
        }
        Write::MarkPodNotReady { pod } => {
            let old = *ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
            if !old.ready {
                return Ok(());
            }
            let ready_since = ctx.now().truncate_to_second();
            pod_status(ctx, pod, PodStatusPatch { ready: false, ready_since, ..PodStatusPatch::of(&old) })?;
            tell_of_targets(ctx, network, pod, false);
            Ok(())
        }
        Write::MarkNodeUnreachable { node } => {
            update_node(ctx, node.0, |n| {
                n.ready = false;
                n.unreachable = true;
            })?;
            ctx.note(What::NodeUnreachable { node });
            ctx.publish(Kind::Node, node.0);
            Ok(())
        }
        Write::NodeShuttingDown { node } => {
            update_node(ctx, node.0, |n| {
                n.ready = false;
            })?;
            ctx.note(What::NodeShuttingDown { node });
            ctx.publish(Kind::Node, node.0);
            Ok(())
        }
        Write::ReportNodeReady { node } => {
            let head = ctx.store.nodes.head(node.index()).ok_or(WriteError::NotFound)?;
            if head.ready {
                return Ok(());
            }
            update_node(ctx, node.0, |n| {
                n.ready = true;
                n.unreachable = false;
            })?;
            ctx.note(What::NodeReady { node });
            ctx.publish(Kind::Node, node.0);
            Ok(())
        }
        Write::FailPod { pod, disrupted } => {
            update_pod(ctx, pod, None, |p| {
                p.phase = Phase::Failed;
                p.disruption_target |= disrupted;
            })?;
            ctx.publish(Kind::Pod, pod.0);
            Ok(())
        }
        Write::DeletePod { pod, grace_seconds, unless_changed_since } => {
            delete_pod(ctx, pod, grace_seconds, unless_changed_since)
        }
        Write::RemovePod { pod } => {
            if ctx.store.pods.head(pod.index()).is_none() {
                return Err(WriteError::NotFound);
            }
            remove_unless_finalized(ctx, pod);
            Ok(())
        }
        Write::MarkDisrupted { pod, unless_changed_since } => {
            update_pod(ctx, pod, unless_changed_since, |p| p.disruption_target = true)?;
            ctx.publish(Kind::Pod, pod.0);
            Ok(())
        }
        Write::PdbStatus { pdb, base, status } => {
            let head = ctx.store.pdbs.head(pdb.index()).ok_or(WriteError::NotFound)?;
            if ctx.store.pdbs.head_revision(pdb.index()) != base {
                return Err(WriteError::Conflict);
            }
            let new = Pdb { status, ..head.clone() };
            let (allowed, healthy) = (new.status.disruptions_allowed, new.status.current_healthy);
            let now = ctx.now();
            ctx.store.put_pdb(now, pdb, new);
            ctx.note(What::PdbUpdated { pdb, allowed, healthy });
            ctx.publish(Kind::Pdb, pdb.0);
            Ok(())
        }
        Write::Endpoints { service, base, endpoints } => {
            if ctx.store.endpoints.head_revision(service.index()) != base {
                return Err(WriteError::Conflict);
            }
            let now = ctx.now();
            let old = ctx.store.endpoints.head(service.index());
            let gone: Vec<PodId> = old.map_or_else(Vec::new, |old| {
                let still = |pod| endpoints.get(pod).is_some_and(|e| e.ready);
                old.list.iter().filter(|e| e.ready && !still(e.pod)).map(|e| e.pod).collect()
            });
            let ready = endpoints.ready_count();
            let version = u32::try_from(ctx.store.endpoints.version_count(service.index())).unwrap_or(u32::MAX);
            let cause = ctx.note(What::EndpointsWritten { service, version, ready });
            for pod in gone {
                ctx.observer.pod_mut(pod).endpoint_not_ready_at.get_or_insert(now);
            }
            network.endpoints_written(now, service, &endpoints, cause);
            ctx.store.put_endpoints(now, service, endpoints);
            ctx.publish(Kind::Endpoints, service.0);
            Ok(())
        }
        Write::ScaleReplicaSet { replica_set, base, replicas } => {
            if ctx.store.replica_sets.head_revision(replica_set.index()) != base {
                return Err(WriteError::Conflict);
            }
            update_replica_set(ctx, replica_set, |rs| rs.replicas = replicas)?;
            ctx.note(What::ReplicaSetScaled { replica_set, replicas });
            ctx.publish(Kind::ReplicaSet, replica_set.0);
            Ok(())
        }
        Write::CreateReplicaSet(new) => {
            let exists = (0..ctx.store.replica_sets.len())
                .filter_map(|i| ctx.store.replica_sets.head(i))
                .any(|rs| rs.namespace == new.namespace && rs.name == new.name);
            if exists {
                return Err(WriteError::Conflict);
            }
            let (id, replicas) = (ReplicaSetId::from(ctx.store.replica_sets.len()), new.replicas);
            let now = ctx.now();
            ctx.store.put_replica_set(now, id.index(), *new);
            ctx.note(What::ReplicaSetScaled { replica_set: id, replicas });
            ctx.publish(Kind::ReplicaSet, id.0);
            Ok(())
        }
        Write::ReplicaSetStatus { replica_set, replicas, ready, available } => {
            update_replica_set(ctx, replica_set, |rs| {
                rs.status_replicas = replicas;
                rs.ready_replicas = ready;
                rs.available_replicas = available;
            })?;
            ctx.publish(Kind::ReplicaSet, replica_set.0);
            Ok(())
        }
        Write::Cordon { node, unschedulable } => {
            update_node(ctx, node.0, |n| n.unschedulable = unschedulable)?;
            ctx.note(if unschedulable { What::Cordoned { node } } else { What::Uncordoned { node } });
            ctx.publish(Kind::Node, node.0);
            Ok(())
        }
        Write::PatchTaints { node, add, remove } => {
            let head = ctx.store.nodes.head(node.index()).ok_or(WriteError::NotFound)?;
            let taints = patched(&head.taints, &add, &remove);
            if taints == head.taints {
                return Ok(());
            }
            update_node(ctx, node.0, |n| n.taints = taints)?;
            tell_of_taints(ctx, network, node);
            ctx.note(taints_note(node, &add, &remove));
            ctx.publish(Kind::Node, node.0);
            Ok(())
        }
        Write::MarkNode { node, taint, present, unschedulable } => {
            update_node(ctx, node.0, |n| {
                n.taints.retain(|t| t.key != taint.key || t.effect != taint.effect);
                if present {
                    n.taints.push(taint);
                }
                n.unschedulable = unschedulable.unwrap_or(n.unschedulable);
            })?;
            tell_of_taints(ctx, network, node);
            ctx.note(What::NodeMarked { node, present: u32::from(present) });
            match unschedulable {
                Some(true) => _ = ctx.note(What::Cordoned { node }),
                Some(false) => _ = ctx.note(What::Uncordoned { node }),
                None => {}
            }
            ctx.publish(Kind::Node, node.0);
            Ok(())
        }
        Write::ScaleDeployment { deployment, replicas } => {
            update_deployment(ctx, deployment, |d| d.replicas = replicas)?;
            ctx.note(What::DeploymentScaled { deployment: crate::api::DeploymentId(deployment), replicas });
            ctx.publish(Kind::Deployment, deployment);
            Ok(())
        }
        Write::ChangeTemplate { deployment, template } => {
            update_deployment(ctx, deployment, |d| {
                d.template = template;
                d.revision += 1;
            })?;
            ctx.note(What::RolloutRestarted { deployment: crate::api::DeploymentId(deployment) });
            ctx.publish(Kind::Deployment, deployment);
            Ok(())
        }
        Write::ApplyDeployment { deployment, replicas, strategy, min_ready_seconds, template } => {
            let old = ctx.store.deployments.head(deployment as usize).ok_or(WriteError::NotFound)?.clone();
            update_deployment(ctx, deployment, |d| {
                d.revision += u32::from(d.template != template);
                (d.replicas, d.strategy, d.min_ready_seconds, d.template) =
                    (replicas, strategy, min_ready_seconds, template);
            })?;
            let id = crate::api::DeploymentId(deployment);
            if old.template != template {
                ctx.note(What::RolloutRestarted { deployment: id });
            }
            if old.replicas != replicas {
                ctx.note(What::DeploymentScaled { deployment: id, replicas });
            }
            ctx.publish(Kind::Deployment, deployment);
            Ok(())
        }
        Write::ApplyPdb { pdb, budget, unhealthy } => {
            let old = ctx.store.pdbs.head(pdb.index()).cloned().unwrap_or_default();
            let now = ctx.now();
            let generation = old.generation + 1;
            ctx.store.put_pdb(now, pdb, Pdb { generation, budget, unhealthy, ..old });
            ctx.note(What::PdbApplied { pdb });
            ctx.publish(Kind::Pdb, pdb.0);
            Ok(())
        }
        Write::DeletePdb { pdb } => {
            if ctx.store.pdbs.head(pdb.index()).is_none() {
                return Err(WriteError::NotFound);
            }
            let now = ctx.now();
            ctx.store.remove_pdb(now, pdb);
            ctx.note(What::PdbDeleted { pdb });
            ctx.publish(Kind::Pdb, pdb.0);
            Ok(())
        }
        Write::DeleteNode { node } => {
            if ctx.store.nodes.head(node.index()).is_none() {
                return Err(WriteError::NotFound);
            }
            let now = ctx.now();
            ctx.store.put_node(now, node, None);
            ctx.note(What::NodeDeleted { node });
            ctx.publish(Kind::Node, node.0);
            Ok(())
        }
        Write::Workload(write) => workloads::commit(ctx, write),
    }
}

/// Taints after a patch: those of the same key and effect as one that is removed or added go, then the new ones come.
fn patched(taints: &[Taint], add: &[Taint], remove: &[Taint]) -> Vec<Taint> {
    let same = |a: &Taint, b: &Taint| a.key == b.key && a.effect == b.effect;
    let mut new: Vec<Taint> = taints.iter().filter(|t| !remove.iter().any(|r| same(t, r))).cloned().collect();
    for taint in add {
        match new.iter_mut().find(|t| same(t, taint)) {
            Some(old) => old.clone_from(taint),
            None => new.push(taint.clone()),
        }
    }
    new
}

/// Taints that drive pods away are told apart from those that only keep them away.
fn taints_note(node: NodeId, add: &[Taint], remove: &[Taint]) -> What {
    let drives_away = |taints: &[Taint]| taints.iter().any(|t| t.effect == TaintEffect::NoExecute);
    if drives_away(add) {
        What::PodsDrivenAway { node }
    } else if drives_away(remove) {
        What::PodsKept { node }
    } else {
        What::TaintsChanged { node }
    }
}

/// The name and the luck of the `ordinal`-th pod of a ReplicaSet: the same in every run, whatever else differs.
///
/// The suffix has the alphabet of the real one (`k8s.io/apimachinery/pkg/util/rand/rand.go`), but is drawn from the
/// ReplicaSet's name, so that a pod keeps its name from seed to seed.
#[must_use]
pub fn pod_identity(namespace: &str, replica_set: &str, ordinal: u32) -> (String, u64) {
    let luck = Key::new("pod").text(namespace).text(replica_set).number(u64::from(ordinal)).bits();
    (suffixed(replica_set, luck), luck)
}

/// `PARENT-xxxxx`, the suffix drawn from the pod's luck.
#[must_use]
pub(super) fn suffixed(parent: &str, luck: u64) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = luck;
    let suffix: String = (0..5)
        .map(|_| {
            let letter = ALPHABET[(rest % 27) as usize];
            rest /= 27;
            char::from(letter)
        })
        .collect();
    format!("{parent}-{suffix}")
}

/// The fixed part of a ReplicaSet's pod, and its first version.
pub fn new_pod(ctx: &mut Context<'_>, id: ReplicaSetId, ordinal: u32) -> Option<(PodMeta, Pod)> {
    let rs = ctx.store.replica_sets.head(id.index())?;
    let (name, luck) = pod_identity(&rs.namespace, &rs.name, ordinal);
    let (namespace, template) = (rs.namespace.clone(), rs.template);
    let mut labels = ctx.store.templates[template.index()].labels.clone();
    if rs.deployment.is_some() {
        let hash = rs.name.rsplit('-').next().unwrap_or_default().to_string();
        labels.insert("pod-template-hash".to_string(), hash);
    }
    let labels = ctx.store.intern_labels(&namespace, &labels);
    let meta =
        PodMeta { namespace, name, template, owner: Owner::ReplicaSet(id), created_at: ctx.now(), luck, only_on: None };
    Some((meta, Pod::created(labels, None)))
}

fn create_pod(ctx: &mut Context<'_>, id: ReplicaSetId, ordinal: u32) -> Result<(), WriteError> {
    let (meta, pod) = new_pod(ctx, id, ordinal).ok_or(WriteError::NotFound)?;
    let now = ctx.now();
    let pod = ctx.store.create_pod(now, meta, pod);
    ctx.note(What::PodCreated { pod });
    ctx.publish(Kind::Pod, pod.0);
    Ok(())
}

fn pod_status(ctx: &mut Context<'_>, pod: PodId, status: PodStatusPatch) -> Result<(), WriteError> {
    let old = *ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
    let PodStatusPatch { phase, ready, ready_since, has_ip, containers, reason, disruption_target } = status;
    let disruption_target = old.disruption_target || disruption_target;
    let new = Pod { phase, ready, ready_since, has_ip, containers, reason, disruption_target, ..old };
    if new == old {
        return Ok(());
    }
    let now = ctx.now();
    ctx.store.update_pod(now, pod, new);
    if phase.is_terminal() && !old.phase.is_terminal() {
        ctx.note(What::PodEnded { pod });
    }
    if ready != old.ready {
        ctx.note(if ready { What::PodReady { pod } } else { What::PodNotReady { pod } });
    }
    ctx.publish(Kind::Pod, pod.0);
    Ok(())
}

/// Controllers of load balancers that write conditions of readiness gates look at such pods themselves, not only at endpoints:
/// the containers of a pod that may be a target are ready, and its `node_ready`.
pub fn tell_of_targets(ctx: &Context<'_>, network: &mut Network<'_>, pod: PodId, node_ready: bool) {
    let (template, Some(head)) = (ctx.store.template_of(pod), ctx.store.pods.head(pod.index())) else { return };
    if template.gates_with_setter().next().is_none() {
        return;
    }
    let statuses = ctx.store.container_statuses(head.containers);
    let containers_ready = node_ready && template.containers_ready(head.phase, statuses);
    for (place, stream) in template.gates_with_setter() {
        network.gated_pod(ctx.now(), stream as usize, pod, containers_ready, head.gates.is_true(place));
    }
}

fn delete_pod(
    ctx: &mut Context<'_>,
    pod: PodId,
    grace_seconds: Option<i64>,
    unless_changed_since: Option<Revision>,
) -> Result<(), WriteError> {
    let old = *ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
    if unless_changed_since.is_some_and(|base| base != ctx.store.pods.head_revision(pod.index())) {
        return Err(WriteError::Conflict);
    }
    let own_grace = ctx.store.template_of(pod).termination_grace_period_seconds;
    let now = ctx.now();
    match deletion::delete(&old, own_grace, grace_seconds, now) {
        Outcome::Unchanged => {}
        Outcome::Mark(deletion) => {
            ctx.store.update_pod(now, pod, Pod { deletion: Some(deletion), ..old });
            let grace_seconds = u32::try_from(deletion.grace_seconds).unwrap_or(u32::MAX);
            ctx.note(What::PodDeleted { pod, grace_seconds });
            ctx.publish(Kind::Pod, pod.0);
        }
        Outcome::Remove => {
            ctx.note(What::PodDeleted { pod, grace_seconds: 0 });
            remove_unless_finalized(ctx, pod);
        }
    }
    Ok(())
}

/// Removes a pod. A finalizer keeps it, with a grace period of 0, until it is taken away.
///
/// Source: `k8s.io/apiserver/pkg/registry/generic/registry/store.go` updateForGracefulDeletionAndFinalizers (v1.36).
fn remove_unless_finalized(ctx: &mut Context<'_>, pod: PodId) {
    let Some(old) = ctx.store.pods.head(pod.index()).copied() else { return };
    if !old.finalizer {
        return remove_pod(ctx, pod);
    }
    let now = ctx.now();
    let timestamp = old.deletion.map_or(now.truncate_to_second(), |d| d.timestamp);
    let deletion = Some(Deletion { timestamp, grace_seconds: 0 });
    if old.deletion != deletion {
        ctx.store.update_pod(now, pod, Pod { deletion, ..old });
        ctx.publish(Kind::Pod, pod.0);
    }
}

fn remove_pod(ctx: &mut Context<'_>, pod: PodId) {
    let now = ctx.now();
    ctx.store.remove_pod(now, pod);
    ctx.note(What::PodRemoved { pod });
    ctx.publish(Kind::Pod, pod.0);
}

fn update_pod(
    ctx: &mut Context<'_>,
    pod: PodId,
    unless_changed_since: Option<Revision>,
    change: impl FnOnce(&mut Pod),
) -> Result<(), WriteError> {
    let mut new = *ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
    if unless_changed_since.is_some_and(|base| base != ctx.store.pods.head_revision(pod.index())) {
        return Err(WriteError::Conflict);
    }
    change(&mut new);
    let now = ctx.now();
    ctx.store.update_pod(now, pod, new);
    Ok(())
}

/// A node's kube-proxy looks at one taint.
fn tell_of_taints(ctx: &Context<'_>, network: &mut Network<'_>, node: NodeId) {
    let leaving = ctx.store.nodes.head(node.index()).is_some_and(Node::is_to_be_deleted);
    network.node_leaving(ctx.now(), node, leaving);
}

fn update_node(ctx: &mut Context<'_>, node: u32, change: impl FnOnce(&mut Node)) -> Result<(), WriteError> {
    let mut new = ctx.store.nodes.head(node as usize).ok_or(WriteError::NotFound)?.clone();
    change(&mut new);
    let now = ctx.now();
    ctx.store.put_node(now, crate::api::NodeId(node), Some(new));
    Ok(())
}

fn update_replica_set(
    ctx: &mut Context<'_>,
    id: ReplicaSetId,
    change: impl FnOnce(&mut ReplicaSet),
) -> Result<(), WriteError> {
    let mut new = ctx.store.replica_sets.head(id.index()).ok_or(WriteError::NotFound)?.clone();
    change(&mut new);
    let now = ctx.now();
    ctx.store.put_replica_set(now, id.index(), new);
    Ok(())
}

fn update_deployment(
    ctx: &mut Context<'_>,
    index: u32,
    change: impl FnOnce(&mut Deployment),
) -> Result<(), WriteError> {
    let mut new = ctx.store.deployments.head(index as usize).ok_or(WriteError::NotFound)?.clone();
    change(&mut new);
    let now = ctx.now();
    ctx.store.put_deployment(now, index as usize, new);
    Ok(())
}

/// Whether a pod that the kubelet has finished with may be removed: it was deleted, and its status says that it has ended.
///
/// Source: `pkg/kubelet/status/status_manager.go` canBeDeleted (v1.36).
#[must_use]
pub fn can_be_removed(pod: &Pod) -> bool {
    pod.deletion.is_some() && matches!(pod.phase, Phase::Succeeded | Phase::Failed)
}
