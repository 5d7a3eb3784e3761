//! The outcome of a finished run.

use crate::api::pod::Hook;
use crate::api::{Owner, PdbId, Phase, PodId, ServiceId, Store};
use crate::engine::{Duration, Time};
use crate::simulation::end_state;
use crate::simulation::eviction::Evictions;
use crate::simulation::outage::outages;
use crate::simulation::outcome::{
    DeploymentOutcome, FailureKind, Outcome, PdbOutcome, PodOutcome, ServiceOutcome, TrafficOutcome,
};
use crate::simulation::world::World;

/// Takes the world apart.
pub(super) fn outcome(world: World<'_>, seed: u64, end: Time, events: u64) -> Outcome {
    let end_state = end_state::of(&world);
    let World { mut ctx, network, evictions, kubectl, mut warnings, pending_at_start, scheduler, .. } = world;
    warnings.extend(pending_at_start.iter().map(|(why, pods)| starts_pending(pods, the_filters(why))));
    let network = network.finish(end);
    debug_assert_eq!(
        network.requests.sent,
        network.requests.ok + network.requests.ok_after_retry + network.requests.failed() + network.requests.unfinished,
        "every request ends in exactly one outcome"
    );
    let store = &ctx.store;
    let mut pods = Vec::with_capacity(store.pod_meta.len());
    for (number, meta) in store.pod_meta.iter().enumerate() {
        let id = PodId::from(number);
        let times = ctx.observer.pod_mut(id);
        if let Some(traffic) = network.pods.get(number) {
            times.last_route_clean = traffic.last_route_clean;
            times.last_router = traffic.last_router;
            times.failed_requests = traffic.failed;
        }
        let times = *times;
        let last = store.pods.history(number).iter().rev().find_map(|v| v.value.as_ref());
        let node = last.and_then(|p| p.node).map(|n| store.node_name(n).to_string());
        let services = last.map_or_else(Vec::new, |p| store.label_set(p.labels).services.clone());
        let slack_nanos = match (times.listener_closed_at, times.last_route_clean) {
            (Some(closed), Some((clean, _))) if times.deleted_at.is_some() => Some(difference(closed, clean)),
            _ => None,
        };
        let statuses = last.map_or(&[][..], |p| store.container_statuses(p.containers));
        let template = &store.templates[meta.template.index()];
        pods.push(PodOutcome {
            restarts: statuses.iter().map(|s| s.restart_count).sum(),
            id,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            node,
            services,
            exists: store.pods.head(number).is_some(),
            succeeded: last.is_some_and(|p| p.phase == Phase::Succeeded),
            lost_work: lost_work(store, id),
            containers: template.all_containers().map(|c| c.name.clone()).collect(),
            created_at: meta.created_at,
            times,
            slack_nanos,
            sleeps_first: template.serving().pre_stop.as_ref().is_some_and(Hook::sleeps_first),
            unschedulable: if last.is_some_and(|p| p.node.is_none()) {
                the_filters(&scheduler.unschedulable_reason(&ctx, id)).to_string()
            } else {
                String::new()
            },
        });
    }
    let services = (0..store.services.len())
        .map(ServiceId::from)
        .map(|id| {
            let mut requests = network.services.get(id.index()).cloned().unwrap_or_default();
            for kind in FailureKind::ALL {
                requests.failed_by.entry(kind).or_default();
            }
            let (ready_endpoints, zero_endpoints) = ready_endpoints(store, id, end);
            ServiceOutcome {
                id,
                name: store.services[id.index()].full_name(),
                requests,
                min_ready_endpoints: ready_endpoints.iter().map(|(_, n)| *n).min().unwrap_or(0),
                zero_endpoints,
                ready_endpoints,
                outages: outages(store, &ctx.observer.moments, id, end),
            }
        })
        .collect();
    let mut digest = ctx.observer.digest;
    for number in [network.requests.sent, network.requests.ok, network.requests.unfinished] {
        digest.number(number);
    }
    for (kind, count) in &network.requests.failed_by {
        digest.number(*kind as u64);
        digest.number(*count);
    }
    let mut requests = network.requests;
    for kind in FailureKind::ALL {
        requests.failed_by.entry(kind).or_default();
    }
    Outcome {
        seed,
        end,
        digest: digest.hex(),
        events,
        requests,
        services,
        drains: kubectl.outcomes(end),
        pods,
        pdbs: (0..store.pdb_specs.len()).map(PdbId::from).map(|id| pdb(store, &evictions, id)).collect(),
        deployments: deployments(store),
        failures: network.failures,
        node_names: (0..store.nodes.len()).map(|n| store.node_name(crate::api::NodeId::from(n)).to_string()).collect(),
        replica_set_names: (0..store.replica_sets.len())
            .map(|n| store.replica_sets.head(n).map_or_else(String::new, |rs| rs.name.clone()))
            .collect(),
        traffic: (ctx.setup.traffic.iter().zip(network.traffic).zip(network.expected_failures))
            .zip(network.latencies.into_iter().zip(network.failed_behind))
            .map(|(((t, requests), expected_failures), (latencies, failed_behind))| TrafficOutcome {
                name: t.name.clone(),
                requests,
                expected_failures,
                latencies,
                failed_behind,
                in_bulk: ctx.setup.in_bulk(t),
            })
            .collect(),
        history: ctx.observer.trace.is_kept().then_some(ctx.store),
        trace: ctx.observer.trace,
        warnings,
        end_state,
    }
}

/// What the filters said of the nodes, without what the scheduler adds about preemption.
fn the_filters(message: &str) -> &str {
    message.split_once(". ").map_or(message, |(filters, _)| filters)
}

/// One sentence for all pods that the scheduler refused with the same words.
fn starts_pending(pods: &[String], why: &str) -> String {
    match pods {
        [one] => format!("{one} starts Pending: {why}"),
        [first, second] => format!("{first} and {second} start Pending: {why}"),
        [first, rest @ ..] => format!("{first} and {} other pods start Pending: {why}", rest.len()),
        [] => String::new(),
    }
}

/// `a - b` in nanoseconds.
fn difference(a: Time, b: Time) -> i64 {
    let nanos = |t: Time| i64::try_from(t.as_nanos()).unwrap_or(i64::MAX);
    nanos(a) - nanos(b)
}

/// The number of ready endpoints over time, and how long it was zero.
fn ready_endpoints(store: &Store, id: ServiceId, end: Time) -> (Vec<(Time, u32)>, Duration) {
    let mut steps: Vec<(Time, u32)> = Vec::new();
    for version in store.endpoints.history(id.index()) {
        let ready = version.value.as_ref().map_or(0, crate::api::Endpoints::ready_count);
        if steps.last().is_none_or(|(_, last)| *last != ready) {
            steps.push((version.time, ready));
        }
    }
    let ends = steps.iter().skip(1).map(|(time, _)| *time).chain([end]);
    let zero = steps.iter().zip(ends).filter(|((_, ready), _)| *ready == 0);
    let zero = zero.map(|((from, _), to)| to.since(*from)).fold(Duration::ZERO, |sum, time| sum + time);
    (steps, zero)
}

fn pdb(store: &Store, evictions: &Evictions, id: PdbId) -> PdbOutcome {
    let tally = evictions.tally.get(id.index()).copied().unwrap_or_default();
    // the first version is the budget as created, the second one the status of the steady state; one that is applied later
    // has no status before its controller's first
    let existed = store.pdbs.history(id.index()).first().is_some_and(|v| v.time == Time::ZERO);
    let history: Vec<_> = store
        .pdbs
        .history(id.index())
        .iter()
        .skip(1)
        .filter_map(|v| {
            let status = &v.value.as_ref()?.status;
            if status.observed_generation == 0 && !existed {
                return None;
            }
            Some((v.time, status.disruptions_allowed, status.current_healthy, status.desired_healthy))
        })
        .collect();
    let at_start = |pod: &&PodId| store.pod_meta[pod.index()].created_at == Time::ZERO;
    PdbOutcome {
        name: store.pdb_specs[id.index()].full_name(),
        pods: u32::try_from(store.pods_of_pdb(id).iter().filter(at_start).count()).unwrap_or(u32::MAX),
        denials: tally.denied,
        admitted: tally.admitted,
        desired_healthy: history.first().map_or(0, |h| h.3),
        min_current_healthy: history.iter().map(|h| h.2).min().unwrap_or(0),
        history,
    }
}

/// How many pods of each Deployment were Ready when.
fn deployments(store: &Store) -> Vec<DeploymentOutcome> {
    let mut changes: Vec<Vec<(Time, i64)>> = vec![Vec::new(); store.deployments.len()];
    for (number, meta) in store.pod_meta.iter().enumerate() {
        let Owner::ReplicaSet(set) = meta.owner else { continue };
        // The ReplicaSet may be gone by the end of the run.
        let first = store.replica_sets.history(set.index()).iter().find_map(|v| v.value.as_ref());
        let Some(changes) = first.and_then(|rs| rs.deployment).and_then(|d| changes.get_mut(d.index())) else {
            continue;
        };
        let mut was = false;
        for version in store.pods.history(number) {
            let ready = version.value.as_ref().is_some_and(|pod| pod.ready && pod.deletion.is_none());
            if ready != was {
                changes.push((version.time, if ready { 1 } else { -1 }));
                was = ready;
            }
        }
    }
    let outcome = |(number, mut changes): (usize, Vec<(Time, i64)>)| {
        changes.sort_by_key(|(time, _)| *time);
        let mut steps = vec![(Time::ZERO, 0_u32)];
        for (time, change) in changes {
            let (last, ready) = steps[steps.len() - 1];
            let ready = u32::try_from(i64::from(ready) + change).unwrap_or(0);
            if last == time {
                steps.pop();
            }
            steps.push((time, ready));
        }
        let name = store.deployments.history(number).iter().find_map(|v| v.value.as_ref());
        DeploymentOutcome {
            name: name.map_or_else(String::new, |d| format!("{}/{}", d.namespace, d.name)),
            ready_pods: steps,
        }
    };
    changes.into_iter().enumerate().map(outcome).collect()
}

/// How long the pod of a Job had run when it was told to end, or failed. Zero of one that has succeeded, still runs, or is no
/// Job's.
fn lost_work(store: &Store, pod: PodId) -> Duration {
    if !matches!(store.pod_meta[pod.index()].owner, Owner::Job(_)) {
        return Duration::ZERO;
    }
    let history = store.pods.history(pod.index());
    let versions = || history.iter().filter_map(|v| Some((v.time, v.value.as_ref()?)));
    if versions().any(|(_, p)| p.phase == Phase::Succeeded) {
        return Duration::ZERO;
    }
    let started = versions().find(|(_, p)| p.phase == Phase::Running).map(|(time, _)| time);
    let ended = versions().find(|(_, p)| p.deletion.is_some() || p.phase == Phase::Failed).map(|(time, _)| time);
    let ended = ended.or_else(|| history.last().filter(|v| v.value.is_none()).map(|v| v.time));
    match (started, ended) {
        (Some(started), Some(ended)) => ended.since(started),
        _ => Duration::ZERO,
    }
}
