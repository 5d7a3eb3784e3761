//! The steady state that a run starts from: everything rolled out, Ready, observed and programmed for so long that nobody
//! remembers how.

mod controllers;

use crate::api::pdb::Pdb;
use crate::api::{
    Deployment, DeploymentId, NodeId, PdbId, Phase, Pod, PodMeta, ReplicaSet, ReplicaSetId, Selector, ServiceId,
    TemplateId,
};
use crate::engine::{Key, Time};
use crate::simulation::apiserver;
use crate::simulation::control_plane::deployment::{replica_set_name, replica_set_selector};
use crate::simulation::control_plane::node_lifecycle::taints_of;
use crate::simulation::control_plane::{disruption, endpoint_slice};
use crate::simulation::event::Event;
use crate::simulation::node::long_running;
use crate::simulation::setup::When;
use crate::simulation::world::World;

/// Builds the cluster of the setup at time zero, tells every component of it, and arranges the actions.
pub(super) fn steady_state(world: &mut World<'_>) {
    let setup = world.ctx.setup;
    for service in &setup.services {
        world.ctx.store.add_service(service.clone());
    }
    for pdb in &setup.pdbs {
        world.ctx.store.add_pdb(Time::ZERO, pdb.clone());
    }
    for pdb in &setup.later_pdbs {
        world.ctx.store.register_pdb(pdb.clone());
    }
    for template in &setup.templates {
        world.ctx.store.add_template(template.clone());
    }
    nodes(world);
    workloads(world);
    derived_objects(world);
    world.autoscaler.start(&mut world.ctx);
    let ready: Vec<_> = world.ctx.setup.nodes.iter().enumerate().filter(|(_, n)| n.ready_at.is_none()).collect();
    for (number, node) in ready {
        world.network.add_node(Time::ZERO, NodeId::from(number), &node.node.name);
    }
    world.node_lifecycle.start(&mut world.ctx);
    for (number, action) in setup.actions.iter().enumerate() {
        if let When::At(at) = action.when {
            world.ctx.schedule_at(at, Event::Action(u32::try_from(number).unwrap_or(u32::MAX)));
        }
    }
}

fn nodes(world: &mut World<'_>) {
    for setup in &world.ctx.setup.nodes {
        let mut node = setup.node.clone();
        node.ready = setup.ready_at.is_none();
        node.taints = taints_of(&node);
        let id = world.ctx.store.create_node(Time::ZERO, node);
        world.kubelets.add_node(&world.ctx, id);
        if let Some(at) = setup.ready_at {
            world.ctx.schedule_at(at, Event::NodeReady(id));
        }
    }
    world.ctx.watches.start_at(world.ctx.store.revision());
    for node in 0..world.ctx.store.nodes.len() {
        world.scheduler.on_node(&mut world.ctx, NodeId::from(node));
    }
}

fn workloads(world: &mut World<'_>) {
    let setup = world.ctx.setup;
    for (number, d) in setup.deployments.iter().enumerate() {
        let deployment = Deployment {
            namespace: d.namespace.clone(),
            name: d.name.clone(),
            replicas: d.replicas,
            strategy: d.strategy,
            min_ready_seconds: d.min_ready_seconds,
            selector: d.selector.clone(),
            template: d.template,
            revision: 1,
        };
        world.ctx.store.put_deployment(Time::ZERO, number, deployment);
        let name = replica_set_name(&d.namespace, &d.name, 1);
        let owner = Some(DeploymentId::from(number));
        let counts = (d.replicas, d.min_ready_seconds);
        let made_from = (d.template, replica_set_selector(&d.selector, &name));
        replica_set(world, &d.namespace, name, owner, made_from, counts, &d.placement);
    }
    for rs in &setup.replica_sets {
        let counts = (rs.replicas, rs.min_ready_seconds);
        let made_from = (rs.template, rs.selector.clone());
        replica_set(world, &rs.namespace, rs.name.clone(), None, made_from, counts, &rs.placement);
    }
    controllers::add(world);
    for pod in &setup.pods {
        let template = &setup.templates[pod.template.index()];
        let namespace = template.namespace.clone();
        let labels = world.ctx.store.intern_labels(&namespace, &template.labels);
        let luck = Key::new("pod").text(&namespace).text(&pod.name).bits();
        let meta = PodMeta {
            namespace,
            name: pod.name.clone(),
            template: pod.template,
            owner: pod.owner.clone(),
            created_at: Time::ZERO,
            luck,
            only_on: None,
        };
        add_pod(world, meta, Pod::created(labels, None), pod.node.as_deref());
    }
}

fn replica_set(
    world: &mut World<'_>,
    namespace: &str,
    name: String,
    deployment: Option<DeploymentId>,
    (template, selector): (TemplateId, Selector),
    (replicas, min_ready_seconds): (u32, u64),
    placement: &[String],
) {
    let id = ReplicaSetId::from(world.ctx.store.replica_sets.len());
    let mut rs = ReplicaSet {
        namespace: namespace.to_string(),
        name,
        deployment,
        revision: 1,
        selector,
        template,
        replicas,
        min_ready_seconds,
        status_replicas: replicas,
        ready_replicas: replicas,
        available_replicas: replicas,
    };
    world.ctx.store.put_replica_set(Time::ZERO, id.index(), rs.clone());
    world.replica_set.first_ordinal(id, replicas);
    let mut placed = 0;
    for ordinal in 0..replicas {
        let Some((meta, pod)) = apiserver::new_pod(&mut world.ctx, id, ordinal) else { continue };
        let node = placement.get(ordinal as usize).map(String::as_str);
        placed += u32::from(add_pod(world, meta, pod, node));
    }
    let setup = world.ctx.setup;
    let ready = if long_running(setup, &setup.templates[template.index()]).1 { placed } else { 0 };
    if ready < replicas {
        rs.ready_replicas = ready;
        rs.available_replicas = ready;
        world.ctx.store.put_replica_set(Time::ZERO, id.index(), rs);
    }
}

/// Adds a pod that has been running for long on this node, or on one that the scheduler's rules choose; whether there was
/// one. A pod without a place starts Pending.
fn add_pod(world: &mut World<'_>, meta: PodMeta, pod: Pod, node: Option<&str>) -> bool {
    let by_name = node.and_then(|name| world.ctx.store.node_by_name(name));
    let node =
        by_name.or_else(|| world.scheduler.place_now(&world.ctx, meta.template, pod.labels, &meta.owner, meta.luck));
    let version = match node {
        Some(_) => {
            let (statuses, ready) = long_running(world.ctx.setup, &world.ctx.store.templates[meta.template.index()]);
            let containers = world.ctx.store.intern_statuses(statuses);
            Pod { node, phase: Phase::Running, ready, has_ip: true, containers, ..pod }
        }
        None => pod,
    };
    let name = format!("{}/{}", meta.namespace, meta.name);
    let id = world.ctx.store.create_pod(Time::ZERO, meta, version);
    world.ctx.watches.start_at(world.ctx.store.revision());
    if node.is_some() {
        world.scheduler.assume(&world.ctx, id);
    } else {
        world.scheduler.on_pod(&mut world.ctx, id, None, Some(version));
    }
    world.replica_set.start_with(&world.ctx, id);
    world.deployment.start_with(&world.ctx, id);
    world.stateful_set.start_with(&world.ctx, id);
    world.daemon_set.start_with(&world.ctx, id);
    world.job.start_with(&world.ctx, id);
    world.ctx.observer.pod_mut(id).ready_at = node.filter(|_| version.ready).map(|_| Time::ZERO);
    match node {
        Some(node) => world.kubelets.adopt(&mut world.ctx, &mut world.network, id, node),
        None => world.warnings.push(format!("no node has room for {name}: it starts Pending")),
    }
    node.is_some()
}

/// The objects that controllers keep: budgets' statuses and EndpointSlices, as of the pods.
fn derived_objects(world: &mut World<'_>) {
    let ctx = &mut world.ctx;
    for pdb in (0..ctx.store.pdb_specs.len()).map(PdbId::from) {
        let Some(created) = ctx.store.pdbs.head(pdb.index()).cloned() else { continue };
        let (mut status, _) = disruption::compute(ctx, pdb, &created, ctx.store.revision());
        status.observed_generation = created.generation;
        ctx.store.put_pdb(Time::ZERO, pdb, Pdb { status, ..created });
    }
    for service in (0..ctx.store.services.len()).map(ServiceId::from) {
        let revision = ctx.store.revision();
        let (endpoints, _) = endpoint_slice::compute(ctx, service, revision, revision);
        world.network.endpoints_written(Time::ZERO, service, &endpoints, ctx.cause);
        ctx.store.put_endpoints(Time::ZERO, service, endpoints);
    }
    ctx.watches.start_at(ctx.store.revision());
}
