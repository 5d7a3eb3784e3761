//! Who stands between a client and kube-proxy or a pod: machines that know at a time what they have heard by then.
//!
//! Each is told what happens in the cluster (endpoints were written, a pod listens or does not, a node changes) and works out
//! what that means for it when somebody asks. What it answers for a time depends on the seed and on what it was told of
//! the time before, not on who asks or when.
//!
//! - `health_check`: when a target counts as healthy.
//! - `balancer`: a load balancer before the cluster, with pods or nodes as targets.
//! - `envoy`: Envoys that get their endpoints by xDS.

pub(super) mod balancer;
pub(super) mod envoy;
pub(super) mod health_check;

use crate::engine::Time;
use crate::simulation::network::kube_proxy::{Spell, Sync};

/// The last stretch of time, begun by `begun`, in which a router's knowledge (`syncs`, in order) made it send somewhere.
fn last_spell(syncs: &[Sync], sends: impl Fn(&Sync) -> bool, begun: Time) -> Option<Spell> {
    let mut spell: Option<Spell> = None;
    for sync in syncs {
        let sends = sends(sync);
        match &mut spell {
            Some(Spell { to: to @ None, .. }) if !sends => *to = Some(sync.applied),
            None | Some(Spell { to: Some(_), .. }) if sends && sync.applied <= begun => {
                spell = Some(Spell { from: sync.applied, to: None });
            }
            _ => {}
        }
    }
    spell
}

#[cfg(test)]
fn test_traffic() -> crate::simulation::setup::Traffic {
    use crate::api::ServiceId;
    use crate::engine::Duration;
    use crate::simulation::setup::{Arrivals, Connections, Traffic, Via};
    Traffic {
        name: "test".into(),
        service: ServiceId(0),
        rate: 1.0,
        arrivals: Arrivals::Constant,
        from: Vec::new(),
        connections: Connections::New,
        balancer: None,
        via: Via::KubeProxy,
        timeout: Duration::from_secs(10),
        start: Time::ZERO,
        stop: None,
    }
}
