//! What would let a drain end that never does: changes that a person can make, and the same changes to a setup, so that it
//! can be tried whether they help.

use crate::analysis::deadlock::{Blocked, Shortage, Why};
use crate::api::pdb::{Budget, UnhealthyPodEvictionPolicy};
use crate::api::quantity::Resources;
use crate::api::{IntOrPercent, Owner, PdbId};
use crate::simulation::Setup;
use crate::simulation::end_state::{EndPod, EndState};
use crate::simulation::found::{FoundOwner, FoundState};
use crate::simulation::setup::{NodeSetup, plain_node};

/// A change that may resolve a deadlock.
#[derive(Clone, PartialEq, Debug)]
pub enum Remedy {
    /// `kubectl scale`.
    ScaleDeployment {
        /// Index of the Deployment in the setup.
        deployment: usize,
        /// The new number of replicas.
        replicas: u32,
    },
    /// `kubectl scale`, of a ReplicaSet without a Deployment.
    ScaleReplicaSet {
        /// Index of the ReplicaSet in the setup.
        replica_set: usize,
        /// The new number of replicas.
        replicas: u32,
    },
    /// A budget with `maxUnavailable: 1` instead of what it has.
    OneUnavailable(PdbId),
    /// A budget with `minAvailable: 0`, as a number: then nothing has to be known of controllers.
    NoneRequired(PdbId),
    /// A budget with `unhealthyPodEvictionPolicy: AlwaysAllow`.
    AlwaysAllow(PdbId),
    /// One more node, with room for so much at least.
    AddNode(Resources),
    /// Pods that are not Ready become so.
    MakeReady(Vec<String>),
    /// The Node object of a machine without power is deleted.
    DeleteNode(String),
}

impl Remedy {
    /// The setup with the change made before the run; `None`: it cannot be tried.
    #[must_use]
    pub fn applied(&self, setup: &Setup) -> Option<Setup> {
        let mut setup = setup.clone();
        match self {
            Self::ScaleDeployment { deployment, replicas } => {
                setup.deployments.get_mut(*deployment)?.replicas = *replicas;
                scale_found(&mut setup, FoundOwner::Deployment(*deployment), *replicas);
            }
            Self::ScaleReplicaSet { replica_set, replicas } => {
                setup.replica_sets.get_mut(*replica_set)?.replicas = *replicas;
                scale_found(&mut setup, FoundOwner::ReplicaSet(*replica_set), *replicas);
            }
            Self::OneUnavailable(pdb) => {
                setup.pdbs.get_mut(pdb.index())?.budget = Budget::MaxUnavailable(IntOrPercent::Int(1));
            }
            Self::NoneRequired(pdb) => {
                setup.pdbs.get_mut(pdb.index())?.budget = Budget::MinAvailable(IntOrPercent::Int(0));
            }
            Self::AlwaysAllow(pdb) => {
                setup.pdbs.get_mut(pdb.index())?.unhealthy = UnhealthyPodEvictionPolicy::AlwaysAllow;
            }
            Self::AddNode(room) => {
                // like the largest there is, so that labels and taints fit, too
                let like = setup.nodes.iter().filter(|n| n.node.ready && !n.node.unschedulable);
                let like = like.max_by_key(|n| (std::cmp::Reverse(n.node.taints.len()), n.node.allocatable.cpu_millis));
                let mut node = like.map_or_else(|| plain_node(""), |n| n.node.clone());
                node.name = "one-more-node".into();
                node.labels.insert("kubernetes.io/hostname".into(), node.name.clone());
                node.allocatable = node.allocatable.at_least(*room);
                setup.nodes.push(NodeSetup { node, ready_at: None });
            }
            Self::MakeReady(pods) => {
                for set in &mut setup.found.replica_sets {
                    for pod in
                        set.pods.iter_mut().filter(|p| pods.iter().any(|name| name.ends_with(&format!("/{}", p.name))))
                    {
                        pod.state = if pod.node.is_some() { FoundState::Ready } else { FoundState::Starting };
                        setup.found.never_ready.remove(&set.template);
                    }
                }
                pods.iter().for_each(|name| _ = setup.found.pods.insert(name.clone(), FoundState::Ready));
            }
            Self::DeleteNode(_) => return None,
        }
        Some(setup)
    }
}

/// The newest found ReplicaSet of this owner wants so many.
fn scale_found(setup: &mut Setup, of: FoundOwner, replicas: u32) {
    if let Some(newest) = setup.found.replica_sets.iter_mut().rfind(|rs| rs.of == of) {
        newest.replicas = replicas;
    }
}

/// What may help with a pod that never leaves, the least intrusive first.
pub(super) fn remedies(setup: &Setup, state: &EndState, pod: &EndPod, why: &Why) -> Vec<Remedy> {
    let (pdb, shortage) = match why {
        Why::NodeOff { node } => return vec![Remedy::DeleteNode(node.clone())],
        Why::Budget(pdb, shortage) => (*pdb, shortage),
    };
    let mut remedies = Vec::new();
    match shortage {
        Shortage::NothingSaid => {}
        Shortage::NoScale { .. } | Shortage::NothingExpected => return vec![Remedy::NoneRequired(pdb)],
        Shortage::TooFewReplicas { .. } => remedies.extend(scale(setup, state, pod, pdb)),
        Shortage::Unhealthy { homeless, broken, .. } => {
            let requests = |name: &String| {
                let pod = state.pods.iter().find(|p| format!("{}/{}", p.namespace, p.name) == *name);
                pod.map_or(Resources::default(), |p| state.templates[p.template.index()].requests)
            };
            let room = homeless.iter().map(|h| requests(&h.name)).fold(Resources::default(), |sum, r| {
                let mut sum = sum;
                sum += r;
                sum
            });
            if !homeless.is_empty() {
                remedies.push(Remedy::AddNode(room));
            }
            if !broken.is_empty() {
                remedies.push(Remedy::MakeReady(broken.clone()));
            }
        }
    }
    if !pod.object.ready && state.pdb_specs[pdb.index()].unhealthy == UnhealthyPodEvictionPolicy::IfHealthyBudget {
        remedies.push(Remedy::AlwaysAllow(pdb));
    }
    let has_controller = !matches!(pod.owner, Owner::None);
    match state.pdb_specs[pdb.index()].budget {
        Budget::MaxUnavailable(IntOrPercent::Int(1)) if has_controller => {}
        _ if has_controller => remedies.push(Remedy::OneUnavailable(pdb)),
        _ => remedies.push(Remedy::NoneRequired(pdb)),
    }
    remedies
}

/// The fewest replicas with which one is to spare.
fn scale(setup: &Setup, state: &EndState, pod: &EndPod, pdb: PdbId) -> Option<Remedy> {
    let Owner::ReplicaSet(id) = pod.owner else { return None };
    let rs = state.replica_sets.get(id.index())?.as_ref()?;
    // with pods of other workloads beside these, more of these is not sure to help
    let replicas = match state.pdb_specs[pdb.index()].budget {
        Budget::MinAvailable(IntOrPercent::Int(n)) => n + 1,
        Budget::MinAvailable(percent @ IntOrPercent::Percent(p)) if p < 100 => {
            (1..=1000).find(|r| percent.scaled_up(*r) < *r)?
        }
        _ => return None,
    };
    match rs.deployment {
        Some(deployment) => {
            let deployment = deployment.index();
            (setup.deployments.get(deployment)?.replicas < replicas)
                .then_some(Remedy::ScaleDeployment { deployment, replicas })
        }
        None => {
            let own = |r: &crate::simulation::setup::ReplicaSetSetup| r.namespace == rs.namespace && r.name == rs.name;
            let replica_set = setup.replica_sets.iter().position(own)?;
            (rs.replicas < replicas).then_some(Remedy::ScaleReplicaSet { replica_set, replicas })
        }
    }
}

/// The blocked pods of the first budget among them.
pub(super) fn first_budget(pods: &[Blocked]) -> Option<PdbId> {
    pods.iter().find_map(|pod| match pod.why {
        Why::Budget(pdb, _) => Some(pdb),
        Why::NodeOff { .. } => None,
    })
}
