//! What may still happen from a state on, as the least set that is closed under the rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::deadlock::budget::{self, Prospect};
use crate::analysis::deadlock::capacity;
use crate::analysis::deadlock::rollout::is_at_rest;
use crate::api::autoscaler::ScaleTarget;
use crate::api::pdb::UnhealthyPodEvictionPolicy;
use crate::api::{
    DeploymentId, Node, NodeId, Owner, PdbId, PodId, PodTemplate, ReplicaSet, ReplicaSetId, StatefulSetId, TemplateId,
};
use crate::simulation::Setup;
use crate::simulation::end_state::{EndPod, EndState, Progress};
use crate::simulation::setup::{ActionKind, DrainOptions, Restarted, When};

/// What may happen. Grows only.
pub(super) struct Possible<'a> {
    pub setup: &'a Setup,
    pub state: &'a EndState,
    /// Position in `state.pods` by pod.
    positions: BTreeMap<PodId, usize>,
    by_pdb: Vec<Vec<usize>>,
    by_node: Vec<Vec<usize>>,
    /// By position: the pod may get a deletionTimestamp, or has one.
    deleted: Vec<bool>,
    /// By position: the pod's object may leave the store.
    gone: Vec<bool>,
    /// By position: a pod that is not Ready may become so.
    ready: Vec<bool>,
    /// By position: the pod is Ready, may become so, or may be replaced by one that does.
    healthy: Vec<bool>,
    /// By budget.
    prospects: Vec<Prospect>,
    /// Templates of which one more pod may be placed.
    placeable: BTreeSet<TemplateId>,
    /// By ReplicaSet: its active pods.
    active: Vec<u32>,
    /// By Deployment: its ReplicaSets are as it wants them.
    at_rest: Vec<bool>,
    /// Positions of pods with required anti-affinity.
    objecting: Vec<usize>,
    /// By action: it may begin, or has.
    begun: Vec<bool>,
    /// By action: it may be done, or is.
    done: Vec<bool>,
}

impl<'a> Possible<'a> {
    /// Adds what follows until nothing more does.
    pub fn closure(setup: &'a Setup, state: &'a EndState) -> Self {
        let mut by_pdb = vec![Vec::new(); state.pdbs.len()];
        let mut by_node = vec![Vec::new(); state.nodes.len()];
        for (at, pod) in state.pods.iter().enumerate() {
            pod.pdbs.iter().for_each(|pdb| by_pdb[pdb.index()].push(at));
            pod.object.node.iter().for_each(|node| by_node[node.index()].push(at));
        }
        let mut active = vec![0; state.replica_sets.len()];
        for pod in state.pods.iter().filter(|p| p.object.is_active()) {
            if let Owner::ReplicaSet(id) = pod.owner {
                active[id.index()] += 1;
            }
        }
        let objects = |(at, pod): (usize, &EndPod)| {
            let placement = &state.templates[pod.template.index()].placement;
            (!placement.required_anti_affinity.is_empty()).then_some(at)
        };
        let nothing = Prospect { most: 0, desired: 0, computable: false };
        let mut possible = Self {
            setup,
            state,
            positions: state.pods.iter().enumerate().map(|(at, pod)| (pod.id, at)).collect(),
            by_pdb,
            by_node,
            deleted: vec![false; state.pods.len()],
            gone: vec![false; state.pods.len()],
            ready: vec![false; state.pods.len()],
            healthy: vec![false; state.pods.len()],
            prospects: vec![nothing; state.pdbs.len()],
            placeable: BTreeSet::new(),
            active,
            at_rest: (0..state.deployments.len()).map(|n| is_at_rest(state, DeploymentId::from(n))).collect(),
            objecting: state.pods.iter().enumerate().filter_map(objects).collect(),
            begun: vec![false; setup.actions.len()],
            done: vec![false; setup.actions.len()],
        };
        while possible.grow() {}
        possible
    }

    /// One round of all rules; whether anything was added.
    fn grow(&mut self) -> bool {
        let mut grown = self.grow_actions();
        for id in (0..self.state.templates.len()).map(TemplateId::from) {
            if !self.placeable.contains(&id) && capacity::may_be_placed(self, &self.state.templates[id.index()]) {
                grown |= self.placeable.insert(id);
            }
        }
        for at in 0..self.state.pods.len() {
            let (deleted, ready) = (self.follows_deleted(at), self.follows_ready(at));
            let gone = (deleted || self.deleted[at]) && self.follows_gone(at);
            let healthy = self.follows_healthy(at);
            grown |= add(&mut self.healthy[at], healthy);
            grown |=
                add(&mut self.deleted[at], deleted) | add(&mut self.ready[at], ready) | add(&mut self.gone[at], gone);
        }
        for pdb in (0..self.prospects.len()).map(PdbId::from) {
            let prospect = budget::prospect(self, pdb);
            let before = std::mem::replace(&mut self.prospects[pdb.index()], prospect);
            grown |= before.may_admit() != prospect.may_admit() || before.may_be_healthy() != prospect.may_be_healthy();
        }
        grown
    }

    fn grow_actions(&mut self) -> bool {
        let mut grown = false;
        for (index, action) in self.setup.actions.iter().enumerate() {
            let progress = self.state.actions.get(index).copied().unwrap_or(Progress::Done);
            let begins = match (progress, action.when) {
                (Progress::Begun | Progress::Done, _) | (_, When::At(_)) => true,
                (Progress::Waiting, When::After(first, _) | When::OnSuccess(first, _)) => self.done[first],
                (Progress::Waiting, When::Window { first, end, done }) => {
                    self.done[first..end].iter().filter(|done| **done).count() >= done
                }
            };
            let ends = match progress {
                Progress::Done => true,
                Progress::Waiting => begins,
                Progress::Begun => self.open_drain_may_end(index),
            };
            grown |= add(&mut self.begun[index], begins) | add(&mut self.done[index], ends);
        }
        grown
    }

    fn open_drain_may_end(&self, action: usize) -> bool {
        let its = |d: &&crate::simulation::end_state::OpenDrain| d.action as usize == action;
        let waits_for =
            |d: &crate::simulation::end_state::OpenDrain| d.pods.iter().flatten().all(|p| self.may_be_done_with(*p));
        self.state.drains.iter().find(its).is_none_or(waits_for)
    }

    /// Whether all that may yet be done is known here, in what it can bring about.
    pub fn knows_all_that_is_to_come(&self) -> bool {
        self.to_come().all(|(_, what)| {
            matches!(
                what,
                ActionKind::Drain(_)
                    | ActionKind::Cordon(_)
                    | ActionKind::Uncordon(_)
                    | ActionKind::DeletePod { .. }
                    | ActionKind::Scale { .. }
                    | ActionKind::RolloutRestart(Restarted::Deployment(_))
                    | ActionKind::AddNode { .. }
                    | ActionKind::ShutOff(_)
                    | ActionKind::DeleteNode(_)
                    | ActionKind::Upgrade(_)
                    | ActionKind::ClusterAutoscaler(_)
                    | ActionKind::Karpenter(_)
            )
        })
    }

    /// Actions that may begin, or are under way, and have not been done.
    pub fn to_come(&self) -> impl Iterator<Item = (usize, &'a ActionKind)> + '_ {
        let progress = |index: usize| self.state.actions.get(index).copied().unwrap_or(Progress::Done);
        let setup: &'a Setup = self.setup;
        setup
            .actions
            .iter()
            .enumerate()
            .filter(move |(index, _)| self.begun[*index] && progress(*index) != Progress::Done)
            .map(|(index, action)| (index, &action.what))
    }

    fn follows_deleted(&self, at: usize) -> bool {
        let pod = &self.state.pods[at];
        // a Job's pod may end by itself
        let ends = matches!(pod.owner, Owner::Job(_));
        if pod.object.deletion.is_some() || ends || self.is_admitted(pod) || self.controller_may_delete(pod) {
            return true;
        }
        let node = pod.object.node;
        let lost = |n: NodeId| {
            let node = &self.state.nodes[n.index()];
            node.off || node.object.as_ref().is_none_or(|o| !o.ready || o.unreachable)
        };
        if node.is_some_and(lost) {
            return true; // taint eviction, or the garbage collector
        }
        self.to_come().any(|(index, what)| match what {
            ActionKind::Drain(options) => self.is_asked(index, options, pod) && self.may_be_evicted(options, pod),
            ActionKind::DeletePod { namespace, name, .. } => pod.namespace == *namespace && pod.name.starts_with(name),
            ActionKind::ShutOff(name) | ActionKind::DeleteNode(name) => {
                node.is_some_and(|n| self.state.nodes[n.index()].name == *name)
            }
            // they have time limits, and force what is left
            other => node.is_some_and(|n| removed_by(other).contains(&self.state.nodes[n.index()].name)),
        })
    }

    /// Whether a drain asks for this pod: it is on its list, or on a node that it has not listed yet.
    fn is_asked(&self, action: usize, options: &DrainOptions, pod: &EndPod) -> bool {
        let Some(node) = pod.object.node else { return false };
        let name = self.state.nodes[node.index()].name.as_str();
        match self.state.drains.iter().find(|d| d.action as usize == action) {
            Some(drain) => {
                let listed = drain.pods.as_ref();
                let later = drain.nodes.iter().skip(drain.current + usize::from(listed.is_some()));
                listed.is_some_and(|pods| pods.contains(&pod.id))
                    || (later.into_iter().any(|n| n == name) && self.open_drain_may_end(action))
            }
            None => {
                let labels = self.state.nodes[node.index()].object.as_ref().map(|n| &n.labels);
                let selected = |s: &crate::api::Selector| labels.is_some_and(|labels| s.matches(labels));
                options.nodes.iter().any(|n| n == name) || options.selector.as_ref().is_some_and(selected)
            }
        }
    }

    fn may_be_evicted(&self, options: &DrainOptions, pod: &EndPod) -> bool {
        if options.disable_eviction || pod.object.node.is_none() || pod.object.phase == crate::api::Phase::Pending {
            return true;
        }
        match pod.pdbs.as_slice() {
            [] => true,
            [pdb] => {
                let prospect = self.prospects[pdb.index()];
                let spare = match self.state.pdb_specs[pdb.index()].unhealthy {
                    UnhealthyPodEvictionPolicy::AlwaysAllow => true,
                    UnhealthyPodEvictionPolicy::IfHealthyBudget => prospect.may_be_healthy(),
                };
                prospect.may_admit()
                    || self.state.pdbs[pdb.index()].disruptions_allowed > 0
                    || (!pod.object.ready && spare)
            }
            _ => false,
        }
    }

    /// An eviction has taken a disruption from the budget, and the pod is about to be deleted.
    fn is_admitted(&self, pod: &EndPod) -> bool {
        pod.pdbs.iter().any(|pdb| self.state.pdbs[pdb.index()].disrupted_pods.iter().any(|(p, _)| *p == pod.id))
    }

    fn follows_gone(&self, at: usize) -> bool {
        let pod = &self.state.pods[at];
        let Some(node) = pod.object.node else { return true };
        let node = &self.state.nodes[node.index()];
        let deleted = |what: &ActionKind| {
            matches!(what, ActionKind::DeleteNode(name) if *name == node.name) || removed_by(what).contains(&node.name)
        };
        // on a machine without power nobody stops the pod; only the garbage collector removes it, when the Node is gone
        !node.off || node.object.is_none() || self.to_come().any(|(_, what)| deleted(what))
    }

    fn follows_healthy(&self, at: usize) -> bool {
        let pod = &self.state.pods[at];
        pod.object.ready || self.ready[at] || (self.deleted[at] && self.may_be_replaced(pod))
    }

    fn follows_ready(&self, at: usize) -> bool {
        let pod = &self.state.pods[at];
        let alive = |n: NodeId| !self.state.nodes[n.index()].off;
        pod.object.is_active()
            && !pod.object.ready
            && !pod.never_ready
            && match pod.object.node {
                Some(node) => alive(node),
                None => self.may_be_placed(pod.template),
            }
    }

    pub fn pod(&self, id: PodId) -> Option<&'a EndPod> {
        self.positions.get(&id).map(|at| &self.state.pods[*at])
    }

    /// Pods that stay and want no pod of some kind beside them.
    pub fn objecting(&self) -> impl Iterator<Item = &'a EndPod> + '_ {
        self.objecting.iter().map(|at| &self.state.pods[*at]).filter(|p| !self.may_go(p.id))
    }

    pub fn template(&self, pod: &EndPod) -> &'a PodTemplate {
        &self.state.templates[pod.template.index()]
    }

    pub fn pods_on(&self, node: NodeId) -> impl Iterator<Item = &'a EndPod> + '_ {
        self.by_node[node.index()].iter().map(|at| &self.state.pods[*at])
    }

    /// The pods that a budget selects.
    pub fn selected(&self, pdb: PdbId) -> impl Iterator<Item = &'a EndPod> + '_ {
        self.by_pdb[pdb.index()].iter().map(|at| &self.state.pods[*at])
    }

    /// A pod that is not there any more has gone.
    pub fn may_go(&self, id: PodId) -> bool {
        self.positions.get(&id).is_none_or(|at| self.gone[*at])
    }

    /// Whether a drain may come to an end with this pod: it goes, or its eviction fails for good (two budgets: 500).
    pub fn may_be_done_with(&self, id: PodId) -> bool {
        let fails = |pod: &EndPod| pod.pdbs.len() > 1 && pod.object.deletion.is_none();
        self.may_go(id) || self.pod(id).is_some_and(fails)
    }

    pub fn may_be_deleted(&self, id: PodId) -> bool {
        self.positions.get(&id).is_none_or(|at| self.deleted[*at])
    }

    /// A pod that is Ready, may become so, or may be replaced by one that is.
    pub fn may_count_as_healthy(&self, pod: &EndPod) -> bool {
        self.positions.get(&pod.id).is_some_and(|at| self.healthy[*at])
    }

    /// The active pods of a ReplicaSet.
    pub fn active(&self, id: ReplicaSetId) -> u32 {
        self.active[id.index()]
    }

    /// Whether a Deployment is completely rolled out.
    pub fn is_at_rest(&self, id: DeploymentId) -> bool {
        self.at_rest[id.index()]
    }

    pub fn all_may_go(&self, pdb: PdbId, owner: &Owner) -> bool {
        self.selected(pdb).filter(|p| p.owner == *owner).all(|p| self.may_go(p.id))
    }

    pub fn replica_set(&self, id: ReplicaSetId) -> Option<&'a ReplicaSet> {
        self.state.replica_sets.get(id.index())?.as_ref()
    }

    pub fn next_may_be_ready(&self, template: TemplateId) -> bool {
        !self.setup.found.never_ready.contains(&template) && self.may_be_placed(template)
    }

    fn may_be_placed(&self, template: TemplateId) -> bool {
        self.placeable.contains(&template)
    }

    pub fn may_be_uncordoned(&self, node: NodeId) -> bool {
        let name = &self.state.nodes[node.index()].name;
        self.to_come().any(|(_, what)| matches!(what, ActionKind::Uncordon(n) if n == name))
    }

    /// Nodes that may yet join, or have joined and are not Ready yet.
    pub fn joining(&self) -> impl Iterator<Item = &'a Node> + '_ {
        let later = self.setup.nodes.iter().filter(|n| n.ready_at.is_some_and(|at| at > self.state.time));
        let added = self.to_come().filter_map(|(_, what)| match what {
            ActionKind::AddNode { node, .. } => Some(node),
            _ => None,
        });
        let replaced = self.to_come().filter(|(_, what)| !matches!(what, ActionKind::ClusterAutoscaler(_)));
        let replaced = replaced.flat_map(|(_, what)| removed_by(what));
        // a machine like the old one
        let alike = replaced.filter_map(|name| {
            let setup: &'a Setup = self.setup;
            setup.nodes.iter().find(|n| n.node.name == *name).map(|n| &n.node)
        });
        later.map(|n| &n.node).chain(added).chain(alike)
    }

    /// The fewest and the most replicas that a Deployment may be scaled to.
    pub fn replicas(&self, id: DeploymentId) -> (u32, u32) {
        let now = self.state.deployments.get(id.index()).and_then(Option::as_ref).map_or(0, |d| d.replicas);
        let (least, most) = self.autoscaled(ScaleTarget::Deployment(id)).unwrap_or((now, now));
        let (least, most) = (least.min(now), most.max(now));
        self.scales(id).fold((least, most), |(least, most), n| (least.min(n), most.max(n)))
    }

    /// What an autoscaler may want of this.
    pub fn autoscaled(&self, target: ScaleTarget) -> Option<(u32, u32)> {
        self.state.autoscalers.iter().find(|(t, ..)| *t == target).map(|(_, least, most)| (*least, *most))
    }

    pub fn scales(&self, id: DeploymentId) -> impl Iterator<Item = u32> + '_ {
        self.to_come().filter_map(move |(_, what)| match what {
            ActionKind::Scale { deployment, replicas } if *deployment == id.index() => Some(*replicas),
            _ => None,
        })
    }

    /// How many healthy pods more than there are now the controllers of a budget's pods may make.
    pub fn owed(&self, pdb: PdbId) -> u32 {
        let spec = &self.state.pdb_specs[pdb.index()];
        let Some(selector) = &spec.selector else { return 0 };
        let mut owed = 0;
        for (number, set) in self.state.stateful_sets.iter().enumerate() {
            let Some(set) = set.as_ref().filter(|set| set.namespace == spec.namespace) else { continue };
            if selector.matches(&self.state.templates[set.template.index()].labels) {
                owed += self.owed_by_stateful_set(StatefulSetId::from(number), set);
            }
        }
        for (number, rs) in self.state.replica_sets.iter().enumerate() {
            let Some(rs) = rs.as_ref().filter(|rs| rs.namespace == spec.namespace) else { continue };
            if selector.matches(&self.state.templates[rs.template.index()].labels) {
                owed += self.owed_by(number, rs);
            }
        }
        owed
    }
}

/// The nodes that an operator other than kubectl removes.
fn removed_by(what: &ActionKind) -> &[String] {
    match what {
        ActionKind::Upgrade(options) => &options.nodes,
        ActionKind::ClusterAutoscaler(options) => &options.nodes,
        ActionKind::Karpenter(options) => &options.nodes,
        _ => &[],
    }
}

fn add(flag: &mut bool, value: bool) -> bool {
    let grown = value && !*flag;
    *flag |= value;
    grown
}
