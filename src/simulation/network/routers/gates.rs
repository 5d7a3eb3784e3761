//! Readiness gates of pods as the controller of a load balancer keeps them: which of its targets wait to be healthy, and what
//! it decides to write into their status.
//!
//! Source: aws-load-balancer-controller, `pkg/targetgroupbinding/resource_manager.go` reconcileWithIPTargetType,
//! updateTargetHealthPodCondition, `docs/deploy/configurations.md` (v3.5); ingress-gce, `pkg/neg/readiness/poller.go`, `reflector.go` (August 2026).

use std::collections::BTreeMap;

use crate::api::PodId;
use crate::engine::{Duration, Time};
use crate::simulation::network::routers::balancer::Target;
use crate::simulation::setup::{BalancerProfile, LoadBalancer};

/// The controller of AWS reconciles again so long after a reconciliation that has left a gate shut
/// (`--targetgroupbinding-requeue-duration`).
pub const REQUEUE_DURATION: Duration = Duration::from_secs(15);

/// The one of Google Cloud lists the health of endpoints again so long after an answer (`hcRetryDelay`).
pub const POLL_DELAY: Duration = Duration::from_secs(1);

/// How a controller finds out whether its targets are healthy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// At the start of each reconciliation. A pod that is registered anew has to become healthy anew.
    Reconciliation,
    /// By polls beside the reconciliations, as long as a gate is shut. A gate that was opened stays open.
    Polls,
}

/// The gates of one load balancer.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    /// The pods that have one, and whether it is open: as the controller has written it, or found it.
    open: BTreeMap<PodId, bool>,
    /// What is to be written, and when that was decided.
    writes: Vec<(Time, PodId, bool)>,
    /// When the controller reconciles again, whether anything has changed or not.
    pub recheck: Option<Time>,
    /// When its next poll begins.
    pub next_poll: Option<Time>,
}

impl Gates {
    /// The provider's way.
    pub fn method(&self, config: &LoadBalancer) -> Method {
        match config.profile {
            BalancerProfile::GcpNeg => Method::Polls,
            _ => Method::Reconciliation,
        }
    }

    /// Whether no pod has a gate.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// A pod has a gate, which is open or not. What the controller knows already is newer than what it is told.
    pub fn told(&mut self, pod: PodId, is_open: bool) {
        self.open.entry(pod).or_insert(is_open);
    }

    /// The targets whose gate is shut.
    pub fn waiting(&self, targets: &[Target]) -> Vec<PodId> {
        let shut = |target: &Target| match target {
            Target::Pod(pod) => (self.open.get(pod) == Some(&false)).then_some(*pod),
            Target::Node(_) => None,
        };
        targets.iter().filter_map(shut).collect()
    }

    /// Whether there are any.
    pub fn are_waiting(&self, targets: &[Target]) -> bool {
        !self.waiting(targets).is_empty()
    }

    /// The controller decides at `at` that a gate is to be open, or shut; no effect if it is, or if the pod has none.
    pub fn write(&mut self, at: Time, pod: PodId, open: bool) {
        if let Some(is_open) = self.open.get_mut(&pod).filter(|is_open| **is_open != open) {
            *is_open = open;
            self.writes.push((at, pod, open));
        }
    }

    /// When the next one of its decisions is made.
    pub fn next_write(&self) -> Option<Time> {
        self.writes.iter().map(|(at, ..)| *at).min()
    }

    /// Those that have been made by `now`, in order.
    pub fn take_writes(&mut self, now: Time) -> Vec<(PodId, bool)> {
        let mut due: Vec<_> = self.writes.extract_if(.., |(at, ..)| *at <= now).collect();
        due.sort_by_key(|(at, ..)| *at);
        due.into_iter().map(|(_, pod, open)| (pod, open)).collect()
    }
}
