//! Whether a budget may come to admit an eviction: the most pods that it may ever count as healthy, against the fewest that
//! it may ever want.
//!
//! Source: `pkg/controller/disruption/disruption.go` trySync, getExpectedPodCount (v1.36).

use std::collections::BTreeSet;

use crate::analysis::deadlock::possible::Possible;
use crate::analysis::deadlock::{Homeless, Shortage};
use crate::api::pdb::Budget;
use crate::api::{IntOrPercent, Owner, PdbId};
use crate::simulation::end_state::EndPod;

/// What a budget may come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Prospect {
    /// The most pods that may be healthy at the same time.
    pub most: u32,
    /// The fewest that it may want.
    pub desired: u32,
    /// Its status may be computed, and some pod expected.
    pub computable: bool,
}

impl Prospect {
    /// Whether it may admit an eviction.
    pub fn may_admit(self) -> bool {
        self.computable && self.most > self.desired
    }

    /// Whether it may let a pod go that is not Ready, under `IfHealthyBudget`.
    pub fn may_be_healthy(self) -> bool {
        self.computable && self.most >= self.desired && self.desired > 0
    }
}

/// Works it out from what may happen so far.
pub(super) fn prospect(possible: &Possible<'_>, pdb: PdbId) -> Prospect {
    let spec = &possible.state.pdb_specs[pdb.index()];
    let scale = scale(possible, pdb);
    let (desired, computable) = match spec.budget {
        Budget::Nothing => (0, false),
        Budget::MinAvailable(IntOrPercent::Int(n)) => (n, true),
        Budget::MinAvailable(percent) => (percent.scaled_up(scale.least), scale.is_some()),
        // grows with the scale: the least scale wants least
        Budget::MaxUnavailable(max) => (scale.least.saturating_sub(max.scaled_up(scale.least)), scale.is_some()),
    };
    Prospect { most: most_healthy(possible, pdb), desired, computable }
}

/// The sum of the scales of a budget's controllers.
struct Scale {
    /// The least that it may come to.
    least: u32,
    /// The most.
    greatest: u32,
    /// Whether every controller that stays has one.
    known: bool,
}

impl Scale {
    /// Whether it can be computed, and is more than nothing: otherwise no eviction is admitted.
    fn is_some(&self) -> bool {
        self.known && self.greatest > 0
    }
}

fn scale(possible: &Possible<'_>, pdb: PdbId) -> Scale {
    let mut scale = Scale { least: 0, greatest: 0, known: true };
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for pod in possible.selected(pdb) {
        match &pod.owner {
            Owner::ReplicaSet(id) => {
                let Some(rs) = possible.replica_set(*id) else { continue };
                let (key, (least, greatest)) = match rs.deployment {
                    Some(d) => (("Deployment", d.index()), possible.replicas(d)),
                    None => (("ReplicaSet", id.index()), (rs.replicas, rs.replicas)),
                };
                if seen.insert((key.0.to_string(), key.1.to_string())) {
                    scale.least += least;
                    scale.greatest += greatest;
                }
            }
            Owner::None | Owner::Mirror => {}
            Owner::StatefulSet(id) => {
                let (least, greatest) = possible.stateful_replicas(*id);
                if seen.insert(("StatefulSet".to_string(), id.index().to_string())) {
                    scale.greatest += greatest;
                    // with its last pod it no longer counts
                    scale.least += if possible.all_may_go(pdb, &pod.owner) { 0 } else { least };
                }
            }
            Owner::DaemonSet(_) | Owner::Job(_) | Owner::Other { .. } => {
                scale.known &= possible.may_go(pod.id);
            }
        }
    }
    scale
}

/// Pods that are healthy, may become so, or may be replaced by such, and new pods that a controller still owes.
fn most_healthy(possible: &Possible<'_>, pdb: PdbId) -> u32 {
    let selected = possible.selected(pdb).filter(|p| p.object.deletion.is_none());
    let counts = |pod: &&EndPod| possible.may_count_as_healthy(pod);
    let pods = u32::try_from(selected.filter(counts).count()).unwrap_or(u32::MAX);
    pods.saturating_add(possible.owed(pdb))
}

/// Why a budget that may never admit anything does not.
pub(super) fn shortage(possible: &Possible<'_>, pdb: PdbId) -> Shortage {
    let prospect = prospect(possible, pdb);
    let Prospect { most, desired, computable } = prospect;
    if !computable {
        let without_scale = possible.selected(pdb).find_map(|pod| match &pod.owner {
            Owner::DaemonSet(_) => Some("DaemonSet".to_string()),
            Owner::Job(_) => Some("Job".to_string()),
            Owner::Other { kind, .. } => Some(kind.clone()),
            _ => None,
        });
        return match (possible.state.pdb_specs[pdb.index()].budget, without_scale) {
            (Budget::Nothing, _) => Shortage::NothingSaid,
            (_, Some(kind)) => Shortage::NoScale { kind },
            (_, None) => Shortage::NothingExpected,
        };
    }
    let lost = possible.selected(pdb).filter(|p| p.object.is_active() && !possible.may_count_as_healthy(p));
    let (homeless, broken): (Vec<&EndPod>, Vec<&EndPod>) = lost.partition(|p| p.object.node.is_none());
    let name = |p: &EndPod| format!("{}/{}", p.namespace, p.name);
    let homeless: Vec<Homeless> =
        homeless.iter().map(|p| Homeless { name: name(p), reason: p.unschedulable.clone() }).collect();
    let broken: Vec<String> = broken.iter().map(|p| name(p)).collect();
    if homeless.is_empty() && broken.is_empty() || most as usize + homeless.len() + broken.len() <= desired as usize {
        return Shortage::TooFewReplicas { most, desired };
    }
    Shortage::Unhealthy { most, desired, homeless, broken }
}
