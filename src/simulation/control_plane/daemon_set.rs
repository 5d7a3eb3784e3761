//! The DaemonSet controller: one pod on each node that is fit for it.
//!
//! Its pods tolerate a cordon, so that one which is deleted from a cordoned node comes again there, when the old object has
//! ended. They are bound to their node by node affinity and placed by the scheduler.
//!
//! Source: `pkg/controller/daemon/daemon_controller.go` (syncDaemonSet, manage, podsShouldBeOnNode, syncNodes,
//! NodeShouldRunDaemonPod), `update.go` (rollingUpdate) and `util/daemonset_util.go` (v1.36).

use std::collections::{BTreeMap, BTreeSet};

use crate::api::daemon_set::DaemonSetStatus;
use crate::api::{
    DaemonSet, DaemonSetId, Kind, Node, NodeId, Owner, Phase, Pod, PodId, PodTemplate, Revision, TaintEffect,
};
use crate::engine::{Duration, Key, Time};
use crate::simulation::apiserver::suffixed;
use crate::simulation::context::Context;
use crate::simulation::control_plane::batch_worker::{BatchWorker, Plan, claim, slow_start};
use crate::simulation::control_plane::deployment::replica_set_name;
use crate::simulation::control_plane::expectations::Expectations;
use crate::simulation::control_plane::stateful_set::REVISION;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::Controller;
use crate::simulation::latency::Hop;
use crate::simulation::write::{NewPod, WorkloadWrite, Write, WriteError};

mod rolling_update;

use rolling_update::{Roll, roll};

/// `--concurrent-daemonset-syncs` (`pkg/controller/daemon/config/v1alpha1/defaults.go`).
const WORKERS: usize = 2;
/// At most so many pods are created, and deleted, by one sync (BurstReplicas).
const BURST_REPLICAS: usize = 250;
/// A failed pod of a node is deleted, and so replaced, at once the first time, then after 1 s, doubling up to 15 min.
const BACKOFF_BASE: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(15 * 60);

/// The controller, with its queue and what it remembers of each DaemonSet.
///
/// Not modelled: adoption of pods, revision history.
#[derive(Clone, Debug)]
pub struct DaemonSetController {
    worker: BatchWorker,
    sets: BTreeMap<DaemonSetId, Tracked>,
}

/// What the controller remembers of one DaemonSet.
#[derive(Clone, Debug, Default)]
struct Tracked {
    /// Its pods, as far as the informer has told.
    pods: BTreeSet<PodId>,
    /// How many pods there have been for each node: tells their luck apart.
    incarnations: BTreeMap<NodeId, u32>,
    expectations: Expectations,
    /// By node: the last wait after a failed pod, and when it began.
    backoff: BTreeMap<NodeId, (Duration, Time)>,
}

impl Default for DaemonSetController {
    fn default() -> Self {
        Self::new()
    }
}

impl DaemonSetController {
    /// A controller that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        let queue = WorkQueue::with_default_backoff(WORKERS);
        let worker = BatchWorker::new(Controller::DaemonSet, Kind::DaemonSet, Hop::DaemonSetSync, queue);
        Self { worker, sets: BTreeMap::new() }
    }

    /// The start state: a pod that the controller has known for long.
    pub fn start_with(&mut self, ctx: &Context<'_>, pod: PodId) {
        let meta = &ctx.store.pod_meta[pod.index()];
        if let (Owner::DaemonSet(id), Some(node)) = (&meta.owner, meta.only_on) {
            let tracked = self.sets.entry(*id).or_default();
            tracked.pods.insert(pod);
            *tracked.incarnations.entry(node).or_default() += 1;
        }
    }

    /// The informer delivers a version of a DaemonSet.
    pub fn on_daemon_set(&mut self, ctx: &mut Context<'_>, id: DaemonSetId) {
        self.worker.add(ctx, id.0);
    }

    /// The informer delivers a version of a node: the DaemonSets to which that makes a difference are looked at
    /// (addNode, updateNode).
    pub fn on_node(&mut self, ctx: &mut Context<'_>, node: NodeId, revision: Revision) {
        let seen = ctx.controller_view(Kind::DaemonSet);
        for id in (0..ctx.store.daemon_sets.len()).map(DaemonSetId::from) {
            let Some(set) = ctx.store.daemon_sets.at(id.index(), seen) else { continue };
            let template = &ctx.store.templates[set.template.index()];
            let judged = |node: Option<&Node>| {
                node.map_or((false, false), |n| (should_run(template, n), should_stay(template, n)))
            };
            let nodes = &ctx.store.nodes;
            if judged(nodes.before(node.index(), revision)) != judged(nodes.at(node.index(), revision)) {
                self.worker.add(ctx, id.0);
            }
        }
    }

    /// The informer delivers a version of a pod; `old` is the one delivered before, `new` is `None` if it is gone.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, pod: PodId, old: Option<Pod>, new: Option<Pod>) {
        let owner = |version: Option<Pod>| match ctx.store.owner_of(pod, &version?) {
            Owner::DaemonSet(id) => Some(id),
            _ => None,
        };
        let (before, now) = (owner(old), owner(new));
        let Some(id) = now.or(before) else { return };
        let tracked = self.sets.entry(id).or_default();
        if now.is_some() {
            tracked.pods.insert(pod);
        } else {
            tracked.pods.remove(&pod);
        }
        tracked.expectations.delivered(pod, old.as_ref(), new.as_ref());
        self.worker.add(ctx, id.0);
    }

    /// A delayed key is due.
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.worker.requeue(ctx, key);
    }

    /// The answer to one of the controller's writes.
    pub fn written(&mut self, ctx: &mut Context<'_>, key: u32, result: Result<(), WriteError>) {
        if result == Err(WriteError::Conflict) {
            // what failed will not be seen
            self.sets.entry(DaemonSetId(key)).or_default().expectations = Expectations::default();
        }
        self.worker.written(ctx, key, result);
    }

    /// A worker syncs a DaemonSet (syncDaemonSet).
    pub fn sync(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.worker.begin(ctx, key);
        let id = DaemonSetId(key);
        let seen = ctx.controller_view(Kind::DaemonSet);
        let Some(set) = ctx.store.daemon_sets.at(id.index(), seen).cloned() else {
            return self.worker.carry_out(ctx, key, Plan::default());
        };
        let tracked = self.sets.entry(id).or_default();
        let (pods, releases) = claim(ctx, tracked.pods.iter().copied(), &Owner::DaemonSet(id), &set.selector);
        let sites = sites(ctx, &set, &pods);
        let mut plan = Plan::default();
        if !releases.is_empty() {
            plan.batches.push_back(releases);
        }
        let now = ctx.now();
        if tracked.expectations.satisfied(now) {
            let mut change = manage(&set, &sites, &mut tracked.backoff, now);
            if change.create.is_empty() && change.delete.is_empty() {
                let Roll { create, delete } = roll(&set, &sites);
                (change.create, change.delete) = (create, delete);
            }
            change.create.truncate(BURST_REPLICAS);
            change.delete.truncate(BURST_REPLICAS);
            plan.recheck = change.recheck;
            tracked.expectations = Expectations {
                creations: u32::try_from(change.create.len()).unwrap_or(u32::MAX),
                deletions: change.delete.iter().copied().collect(),
                since: now,
            };
            let creations = change.create.into_iter().filter_map(|node| {
                let incarnation = tracked.incarnations.entry(node).or_default();
                let new = new_pod(ctx, id, node, *incarnation)?;
                *incarnation += 1;
                Some(Write::Workload(WorkloadWrite::CreatePod(Box::new(new))))
            });
            plan.batches.extend(slow_start(creations.collect()));
            let delete = |pod| Write::DeletePod { pod, grace_seconds: None, unless_changed_since: None };
            plan.batches.push_back(change.delete.into_iter().map(delete).collect());
        }
        let status = status_of(&sites);
        if status != set.status {
            let write = WorkloadWrite::DaemonSetStatus { daemon_set: id, status };
            plan.status = Some(Write::Workload(write));
        }
        if set.min_ready_seconds > 0 && status.ready != status.available {
            let wait = Duration::from_secs(set.min_ready_seconds);
            plan.recheck = Some(plan.recheck.map_or(wait, |r| r.min(wait)));
        }
        self.worker.carry_out(ctx, key, plan);
    }
}

/// A node, and the pods that a DaemonSet has for it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Site {
    node: NodeId,
    /// shouldRun: a pod is to be made if there is none.
    run: bool,
    /// shouldContinueRunning: pods may stay.
    stay: bool,
    /// In order of creation.
    pods: Vec<DaemonPod>,
}

/// A pod of a DaemonSet, as far as the decision needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct DaemonPod {
    pod: PodId,
    phase: Phase,
    terminating: bool,
    ready: bool,
    available: bool,
    updated: bool,
}

/// What a sync does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Change {
    create: Vec<NodeId>,
    delete: Vec<PodId>,
    recheck: Option<Duration>,
}

/// All nodes, and those that are gone but have a pod, by number. A pod that has ended and is being deleted is no one's
/// business any more: its successor may come (getNodesToDaemonPods).
fn sites(ctx: &Context<'_>, set: &DaemonSet, pods: &[(PodId, Pod)]) -> Vec<Site> {
    let template = &ctx.store.templates[set.template.index()];
    let revision = replica_set_name(&set.namespace, &set.name, set.revision);
    let hash = &revision[set.name.len() + 1..];
    let seen = ctx.controller_view(Kind::Node);
    let mut by_node: BTreeMap<NodeId, Site> = BTreeMap::new();
    for node in (0..ctx.store.nodes.len()).map(NodeId::from) {
        if let Some(object) = ctx.store.nodes.at(node.index(), seen) {
            let (run, stay) = (should_run(template, object), should_stay(template, object));
            by_node.insert(node, Site { node, run, stay, pods: Vec::new() });
        }
    }
    let min_ready = Duration::from_secs(set.min_ready_seconds);
    for (pod, version) in pods {
        let Some(node) = ctx.store.pod_meta[pod.index()].only_on.or(version.node) else { continue };
        let terminating = version.deletion.is_some();
        if terminating && version.phase.is_terminal() {
            continue;
        }
        // one that is bound to a node that is gone is left to the pod garbage collector
        let Some(site) = by_node.get_mut(&node) else { continue };
        site.pods.push(DaemonPod {
            pod: *pod,
            phase: version.phase,
            terminating,
            ready: version.ready,
            available: version.ready && version.ready_since + min_ready <= ctx.now(),
            // a pod of the input without the label is of the revision that it was found with
            updated: ctx.store.label_set(version.labels).labels.get(REVISION).map_or(set.revision == 1, |r| r == hash),
        });
    }
    by_node.into_values().collect()
}

/// Which pods are missing and which are too many (podsShouldBeOnNode).
fn manage(set: &DaemonSet, sites: &[Site], backoff: &mut BTreeMap<NodeId, (Duration, Time)>, now: Time) -> Change {
    let surges = set.update.surges();
    let mut change = Change::default();
    for site in sites {
        let living = || site.pods.iter().filter(|p| !p.terminating);
        if !site.stay {
            change.delete.extend(living().map(|p| p.pod));
            continue;
        }
        if site.pods.is_empty() {
            if site.run {
                change.create.push(site.node);
            }
            continue;
        }
        let mut running = Vec::new();
        for p in living() {
            match p.phase {
                Phase::Failed => match wait_after_failure(backoff, site.node, now) {
                    Some(wait) => change.recheck = Some(change.recheck.map_or(wait, |r| r.min(wait))),
                    None => change.delete.push(p.pod),
                },
                Phase::Succeeded => change.delete.push(p.pod),
                Phase::Pending | Phase::Running => running.push(p),
            }
        }
        if surges {
            if running.is_empty() && site.run {
                change.create.push(site.node); // beside one that is going
            }
            change.delete.extend(too_many_of_a_surge(&running));
        } else {
            // the oldest stays
            change.delete.extend(running.into_iter().skip(1).map(|p| p.pod));
        }
    }
    change
}

/// Of each revision, the oldest stays; of these two, the old one goes when it is no longer Ready or the new one is available.
fn too_many_of_a_surge<'s>(running: &'s [&DaemonPod]) -> impl Iterator<Item = PodId> + 's {
    let first = |updated: bool| running.iter().position(|p| p.updated == updated);
    let (old, new) = (first(false), first(true));
    let replaced = match (old, new) {
        (Some(old), Some(new)) => !running[old].ready || running[new].available,
        _ => false,
    };
    let stays = move |n: &usize| Some(*n) == new || Some(*n) == old && !replaced;
    (0..running.len()).filter(move |n| !stays(n)).map(|n| running[n].pod)
}

/// How long a failed pod of this node is still to be left alone; `None`: it may be replaced, and the next wait begins.
fn wait_after_failure(backoff: &mut BTreeMap<NodeId, (Duration, Time)>, node: NodeId, now: Time) -> Option<Duration> {
    match backoff.get_mut(&node) {
        Some((wait, since)) if now.since(*since) < *wait => Some(*wait),
        Some((wait, since)) => {
            let expired = now.since(*since) > BACKOFF_MAX.mul(2);
            *wait = if expired { BACKOFF_BASE } else { wait.mul(2).min(BACKOFF_MAX) };
            *since = now;
            None
        }
        None => {
            backoff.insert(node, (BACKOFF_BASE, now));
            None
        }
    }
}

/// updateDaemonSetStatus.
fn status_of(sites: &[Site]) -> DaemonSetStatus {
    let mut status = DaemonSetStatus::default();
    for site in sites.iter().filter(|s| s.run) {
        status.desired += 1;
        let Some(oldest) = site.pods.first() else { continue };
        status.current += 1;
        status.ready += u32::from(oldest.ready);
        status.available += u32::from(oldest.available);
        status.updated += u32::from(oldest.updated);
    }
    status
}

/// The pod for a node, of the newest revision. `incarnation` counts the pods for that node, from 0.
///
/// Source: `pkg/controller/daemon/util/daemonset_util.go` CreatePodTemplate, ReplaceDaemonSetPodNodeNameNodeAffinity
/// (v1.36).
#[must_use]
pub fn new_pod(ctx: &Context<'_>, id: DaemonSetId, node: NodeId, incarnation: u32) -> Option<NewPod> {
    let set = ctx.store.daemon_sets.head(id.index())?;
    let key = Key::new("pod").text(&set.namespace).text(&set.name).text(ctx.store.node_name(node));
    let luck = key.number(u64::from(incarnation)).bits();
    let mut labels = ctx.store.templates[set.template.index()].labels.clone();
    let revision = replica_set_name(&set.namespace, &set.name, set.revision);
    labels.insert(REVISION.into(), revision[set.name.len() + 1..].to_string());
    labels.insert("pod-template-generation".into(), set.revision.to_string());
    Some(NewPod {
        namespace: set.namespace.clone(),
        name: suffixed(&set.name, luck),
        luck,
        template: set.template,
        labels,
        owner: Owner::DaemonSet(id),
        only_on: Some(node),
        node: None,
    })
}

/// Whether a node should have the pod: its labels fit, and it has no taint of NoSchedule or NoExecute that the pod does not
/// tolerate.
///
/// Source: `pkg/controller/daemon/daemon_controller.go` NodeShouldRunDaemonPod, predicates (v1.36).
#[must_use]
pub fn should_run(template: &PodTemplate, node: &Node) -> bool {
    fits(template, node) && no_untolerated(template, node, &[TaintEffect::NoSchedule, TaintEffect::NoExecute])
}

/// Whether a pod that is there may stay: taints of NoSchedule do not matter to it.
#[must_use]
pub fn should_stay(template: &PodTemplate, node: &Node) -> bool {
    fits(template, node) && no_untolerated(template, node, &[TaintEffect::NoExecute])
}

fn fits(template: &PodTemplate, node: &Node) -> bool {
    let placement = &template.placement;
    let terms = &placement.required_node_terms;
    placement.node_name.as_ref().is_none_or(|name| *name == node.name)
        && placement.node_selector.matches(&node.labels)
        && (terms.is_empty() || terms.iter().any(|term| term.matches(&node.labels)))
}

fn no_untolerated(template: &PodTemplate, node: &Node, effects: &[TaintEffect]) -> bool {
    let tolerated = |taint| template.placement.tolerations.iter().any(|t| t.tolerates(taint));
    node.taints.iter().filter(|taint| effects.contains(&taint.effect)).all(tolerated)
}

#[cfg(test)]
mod tests;
