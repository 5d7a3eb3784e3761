//! Which pods a DaemonSet's rolling update takes, and makes, next.
//!
//! Source: `pkg/controller/daemon/update.go` rollingUpdate, findUpdatedPodsOnNode, updatedDesiredNodeCounts (v1.36). The real
//! controller goes through the nodes in an order of chance, this one in theirs.

use crate::api::daemon_set::DaemonSetUpdate;
use crate::api::{DaemonSet, NodeId, PodId};
use crate::simulation::control_plane::daemon_set::{DaemonPod, Site};

/// The next step of an update.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Roll {
    /// The nodes that get a new pod beside an old one.
    pub create: Vec<NodeId>,
    /// The old pods that go.
    pub delete: Vec<PodId>,
}

/// The living pods of a node: at most one of each revision, or the other part of the controller has to tidy up first.
enum Pair<'s> {
    Excess,
    Of { old: Option<&'s DaemonPod>, new: Option<&'s DaemonPod> },
}

/// What the update does next. Nothing, if pods are replaced only when somebody deletes them.
pub(super) fn roll(set: &DaemonSet, sites: &[Site]) -> Roll {
    let DaemonSetUpdate::RollingUpdate { max_unavailable, max_surge } = set.update else { return Roll::default() };
    let desired = sites.iter().filter(|s| s.run).count();
    let scaled = u32::try_from(desired).unwrap_or(u32::MAX);
    match max_surge.scaled_up(scaled) as usize {
        // both 0 counts as one pod that may be unavailable
        0 => without_surge(sites, max_unavailable.scaled_up(scaled).max(1) as usize),
        surge => with_surge(sites, surge, desired),
    }
}

/// All old pods that are unavailable go, and as many others as may be unavailable. New ones are made when they are gone.
fn without_surge(sites: &[Site], allowed: usize) -> Roll {
    let mut unavailable = 0;
    let (mut broken, mut candidates) = (Vec::new(), Vec::new());
    for site in sites.iter().filter(|s| s.run || !s.pods.is_empty()) {
        match pair(site) {
            Pair::Of { old: None, new: Some(p) } => unavailable += usize::from(!p.available),
            Pair::Of { old: Some(p), new: None } if !p.available => {
                unavailable += 1;
                broken.push(p.pod);
            }
            Pair::Of { old: Some(p), new: None } => candidates.push(p.pod),
            _ => unavailable += 1,
        }
    }
    let room = allowed.saturating_sub(unavailable);
    Roll { create: Vec::new(), delete: broken.into_iter().chain(candidates.into_iter().take(room)).collect() }
}

/// New pods are made beside old ones: beside all that are unavailable, and beside as many others as may be. An old one goes
/// when the new one is available. On nodes that should no longer have the pod, old ones go as far as enough are available.
fn with_surge(sites: &[Site], surge: usize, desired: usize) -> Roll {
    let (mut surging, mut available) = (0, 0);
    let mut roll = Roll::default();
    let (mut candidates, mut elsewhere) = (Vec::new(), Vec::new());
    for site in sites {
        let Pair::Of { old, new } = pair(site) else {
            surging += 1;
            continue;
        };
        available += usize::from(old.or(new).is_some_and(|p| p.available));
        match (old, new) {
            (None, _) => {}
            (Some(old), None) => match (site.run, old.available) {
                (true, false) => roll.create.push(site.node),
                (true, true) => candidates.push(site.node),
                (false, false) => roll.delete.push(old.pod),
                (false, true) => elsewhere.push(old.pod),
            },
            (Some(old), Some(new)) if new.available => roll.delete.push(old.pod),
            (Some(_), Some(_)) => surging += 1,
        }
    }
    roll.delete.extend(elsewhere.into_iter().take(available.saturating_sub(desired)));
    roll.create.extend(candidates.into_iter().take(surge.saturating_sub(surging)));
    roll
}

fn pair(site: &Site) -> Pair<'_> {
    let living = |updated: bool| site.pods.iter().filter(move |p| !p.terminating && p.updated == updated);
    if living(true).count() > 1 || living(false).count() > 1 {
        return Pair::Excess;
    }
    Pair::Of { old: living(false).next(), new: living(true).next() }
}
