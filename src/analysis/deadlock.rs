//! Whether a drain that has not ended ever will: a proof, by what could still happen, that it will not.
//!
//! The proof starts from the state in which a run ended, and asks not what *will* happen but what *could*: it begins with
//! nothing, and adds whatever can follow from what has been added (a pod may leave, so a node may have room, so a pod may
//! become Ready, so a budget may admit an eviction, so a pod may leave), until nothing more follows. Every rule only adds,
//! so the order does not matter, and there is a least such set. Everything that the model can do from this state lies in
//! it, because each rule leaves out reasons why a thing might *not* happen, and never adds one. So if a pod that a drain
//! waits for is not among those that may leave, it never leaves, and the drain never ends.
//!
//! The other direction is not promised: a drain that is not proved to be stuck may still be so.

mod budget;
mod capacity;
mod possible;
mod remedy;
mod rollout;
mod stateful;

use crate::api::{NodeId, PdbId, PodId};
use crate::simulation::Setup;
use crate::simulation::end_state::{EndPod, EndState};

use possible::Possible;
pub use remedy::Remedy;

/// A drain that never ends.
#[derive(Clone, PartialEq, Debug)]
pub struct Deadlock {
    /// Index into the actions of the setup.
    pub action: u32,
    /// The node that it is busy with.
    pub node: NodeId,
    /// Its name.
    pub node_name: String,
    /// The pods that never leave it, in order of creation.
    pub pods: Vec<Blocked>,
}

/// A pod that never leaves its node.
#[derive(Clone, PartialEq, Debug)]
pub struct Blocked {
    /// Which.
    pub pod: PodId,
    /// `namespace/name`.
    pub name: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// Why.
    pub why: Why,
    /// What may change that, the least intrusive first.
    pub remedies: Vec<Remedy>,
}

impl Deadlock {
    /// The budget to deal with first.
    #[must_use]
    pub fn first_budget(&self) -> Option<PdbId> {
        remedy::first_budget(&self.pods)
    }
}

/// A pod that no node has room for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Homeless {
    /// `namespace/name`.
    pub name: String,
    /// What the scheduler says.
    pub reason: String,
}

/// Why a pod never leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// This budget never admits its eviction.
    Budget(PdbId, Shortage),
    /// It is being deleted, and the machine under it is off: nobody says that it is gone.
    NodeOff {
        /// The node's name.
        node: String,
    },
}

/// Why a budget never has a disruption to spare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// It names neither `minAvailable` nor `maxUnavailable`, which allows nothing.
    NothingSaid,
    /// Pods that it selects have a controller without a scale: its status cannot be computed (SyncFailed).
    NoScale {
        /// The kind of that controller.
        kind: String,
    },
    /// Its percentage or `maxUnavailable` counts replicas of controllers, and its pods have none.
    NothingExpected,
    /// Even with every replica healthy there is none to spare.
    TooFewReplicas {
        /// The most pods that can be healthy at the same time.
        most: u32,
        /// How many must be.
        desired: u32,
    },
    /// There would be one to spare if these pods became healthy, and they never do.
    Unhealthy {
        /// The most pods that can be healthy at the same time.
        most: u32,
        /// How many must be.
        desired: u32,
        /// Pods that no node has room for, now or after whatever may still happen.
        homeless: Vec<Homeless>,
        /// Pods that do not become Ready where they are: `namespace/name`.
        broken: Vec<String>,
    },
}

/// The drains of this state that never end, each with its reasons. A drain that is not here may end.
#[must_use]
pub fn prove(setup: &Setup, state: &EndState) -> Vec<Deadlock> {
    let possible = Possible::closure(setup, state);
    if !possible.knows_all_that_is_to_come() {
        return Vec::new();
    }
    let stuck = |drain: &crate::simulation::end_state::OpenDrain| {
        let pods = drain.pods.as_ref()?.iter().filter(|pod| !possible.may_be_done_with(**pod));
        let pods: Vec<Blocked> = pods.filter_map(|pod| blocked(&possible, *pod)).collect();
        let node = drain.node.filter(|_| !pods.is_empty())?;
        let node_name = state.nodes[node.index()].name.clone();
        Some(Deadlock { action: drain.action, node, node_name, pods })
    };
    state.drains.iter().filter_map(stuck).collect()
}

fn blocked(possible: &Possible<'_>, id: PodId) -> Option<Blocked> {
    let pod: &EndPod = possible.pod(id)?;
    let why = match pod.pdbs.first() {
        _ if pod.object.deletion.is_some() => {
            Why::NodeOff { node: possible.state.nodes[pod.object.node?.index()].name.clone() }
        }
        Some(pdb) => Why::Budget(*pdb, budget::shortage(possible, *pdb)),
        None => return None,
    };
    let remedies = remedy::remedies(possible.setup, possible.state, pod, &why);
    let name = format!("{}/{}", pod.namespace, pod.name);
    Some(Blocked { pod: id, name, ready: pod.object.ready, why, remedies })
}
