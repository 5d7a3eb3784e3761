//! The steady state of StatefulSets, DaemonSets, Jobs and autoscalers.

use crate::api::daemon_set::DaemonSetStatus;
use crate::api::job::JobStatus;
use crate::api::stateful_set::StatefulSetStatus;
use crate::api::{
    DaemonSet, DaemonSetId, HorizontalPodAutoscaler, Job, JobId, NodeId, Selector, StatefulSet, StatefulSetId,
    TemplateId,
};
use crate::engine::Time;
use crate::simulation::apiserver;
use crate::simulation::control_plane::{daemon_set, job, stateful_set};
use crate::simulation::node::long_running;
use crate::simulation::start::add_pod;
use crate::simulation::world::World;
use crate::simulation::write::NewPod;

/// Their objects and pods.
pub(super) fn add(world: &mut World<'_>) {
    stateful_sets(world);
    daemon_sets(world);
    jobs(world);
    for (number, hpa) in world.ctx.setup.autoscalers.iter().enumerate() {
        let autoscaler = HorizontalPodAutoscaler {
            namespace: hpa.namespace.clone(),
            name: hpa.name.clone(),
            target: hpa.target,
            min_replicas: hpa.min_replicas,
            max_replicas: hpa.max_replicas,
        };
        world.ctx.store.put_autoscaler(Time::ZERO, number, autoscaler);
    }
}

fn stateful_sets(world: &mut World<'_>) {
    for (number, setup) in world.ctx.setup.stateful_sets.iter().enumerate() {
        let id = StatefulSetId::from(number);
        let set = |placed| StatefulSet {
            namespace: setup.namespace.clone(),
            name: setup.name.clone(),
            replicas: setup.replicas,
            first_ordinal: setup.first_ordinal,
            management: setup.management,
            update: setup.update,
            min_ready_seconds: setup.min_ready_seconds,
            selector: setup.selector.clone(),
            template: setup.template,
            revision: 1,
            current_template: setup.template,
            current_revision: 1,
            status: StatefulSetStatus {
                replicas: setup.replicas,
                ready: placed,
                available: placed,
                updated: setup.replicas,
            },
        };
        world.ctx.store.put_stateful_set(Time::ZERO, number, set(setup.replicas));
        let mut placed = 0;
        for index in 0..setup.replicas {
            let ordinal = setup.first_ordinal + index;
            let Some(new) = stateful_set::new_pod(&world.ctx, id, ordinal, (1, setup.template), 0) else { continue };
            let found = &world.ctx.setup.found;
            let name = format!("{}/{}", setup.namespace, new.name);
            if found.namespaces.contains(&setup.namespace) && !found.pods.contains_key(&name) {
                continue;
            }
            let node = setup.placement.get(index as usize).map(String::as_str);
            placed += u32::from(add_new(world, new, node));
        }
        let ready = if is_ready(world, setup.template) { placed } else { 0 };
        if ready < setup.replicas {
            world.ctx.store.put_stateful_set(Time::ZERO, number, set(ready));
        }
    }
}

/// A pod on each node that it is for and that is there. Pods of the input keep their names.
fn daemon_sets(world: &mut World<'_>) {
    for (number, setup) in world.ctx.setup.daemon_sets.iter().enumerate() {
        let id = DaemonSetId::from(number);
        let mut set = DaemonSet {
            namespace: setup.namespace.clone(),
            name: setup.name.clone(),
            selector: setup.selector.clone(),
            template: setup.template,
            revision: 1,
            update: setup.update,
            min_ready_seconds: setup.min_ready_seconds,
            status: DaemonSetStatus::default(),
        };
        world.ctx.store.put_daemon_set(Time::ZERO, number, set.clone());
        let mut placed = 0;
        for node in (0..world.ctx.store.nodes.len()).map(NodeId::from) {
            let Some(object) = world.ctx.store.nodes.head(node.index()) else { continue };
            let name = object.name.clone();
            let is_there = world.ctx.setup.nodes[node.index()].ready_at.is_none();
            let known = setup.pods.get(&name);
            let template = &world.ctx.store.templates[setup.template.index()];
            let all_known = world.ctx.setup.found.namespaces.contains(&setup.namespace);
            let wanted = known.is_some() || (!all_known && daemon_set::should_run(template, object));
            if !is_there || !wanted {
                continue;
            }
            let Some(mut new) = daemon_set::new_pod(&world.ctx, id, node, 0) else { continue };
            if let Some(pod) = known {
                new.name.clone_from(pod);
            }
            placed += u32::from(add_new(world, new, Some(&name)));
        }
        let ready = if is_ready(world, setup.template) { placed } else { 0 };
        set.status = DaemonSetStatus { desired: placed, current: placed, ready, available: ready, updated: placed };
        world.ctx.store.put_daemon_set(Time::ZERO, number, set);
    }
}

/// As many pods as may run at once.
fn jobs(world: &mut World<'_>) {
    for (number, setup) in world.ctx.setup.jobs.iter().enumerate() {
        let id = JobId::from(number);
        let active = setup.completions.map_or(setup.parallelism, |n| n.min(setup.parallelism));
        let job = Job {
            namespace: setup.namespace.clone(),
            name: setup.name.clone(),
            parallelism: setup.parallelism,
            completions: setup.completions,
            backoff_limit: setup.backoff_limit,
            replacement: setup.replacement,
            failure_policy: setup.failure_policy.clone(),
            selector: Selector::labels([("batch.kubernetes.io/job-name", setup.name.as_str())]),
            template: setup.template,
            status: JobStatus { active, ..JobStatus::default() },
        };
        world.ctx.store.put_job(Time::ZERO, number, job);
        if let Some(found) = world.ctx.setup.found.jobs.get(&number) {
            for (ordinal, pod) in (0..).zip(found) {
                let Some(mut new) = job::new_pod(&world.ctx, id, ordinal) else { continue };
                new.name.clone_from(&pod.name);
                add_new(world, new, pod.node.as_deref());
            }
            continue;
        }
        for ordinal in 0..active {
            let Some(new) = job::new_pod(&world.ctx, id, ordinal) else { continue };
            add_new(world, new, setup.placement.get(ordinal as usize).map(String::as_str));
        }
    }
}

/// Whether pods of this template that have been there for long are Ready.
fn is_ready(world: &World<'_>, template: TemplateId) -> bool {
    long_running(world.ctx.setup, &world.ctx.setup.templates[template.index()]).1
}

fn add_new(world: &mut World<'_>, new: NewPod, node: Option<&str>) -> bool {
    let (meta, pod) = apiserver::admit(&mut world.ctx, new);
    add_pod(world, meta, pod, node)
}
