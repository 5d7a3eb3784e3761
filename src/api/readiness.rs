//! What makes a pod Ready: its containers, and the conditions that its readiness gates name.
//!
//! Source: `pkg/kubelet/status/generate.go` GeneratePodReadyCondition, GenerateContainersReadyCondition (v1.36).

use crate::api::{ContainerStatus, Phase, PodTemplate};

/// One entry of `spec.readinessGates`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadinessGate {
    /// `conditionType`.
    pub condition_type: String,
    /// Index into the traffic streams of the [`Setup`](crate::simulation::Setup): the controller of this one's load balancer
    /// writes the condition. `None`: nobody does, and it is taken to be True.
    pub set_by: Option<u32>,
}

/// Which conditions that a pod's readiness gates name are True, by their place in the spec. What has not been written is not
/// True.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Gates(u32);

impl Gates {
    /// No pod may have more of them here.
    pub const MAX: usize = 32;

    /// None of them.
    pub const NONE: Self = Self(0);

    /// All of them.
    pub const ALL: Self = Self(u32::MAX);

    /// Whether the condition of the gate at this place is True.
    #[must_use]
    pub const fn is_true(self, gate: u8) -> bool {
        self.0 & (1 << gate) != 0
    }

    /// The same with another status of one condition.
    #[must_use]
    pub const fn with(self, gate: u8, status: bool) -> Self {
        if status { Self(self.0 | (1 << gate)) } else { Self(self.0 & !(1 << gate)) }
    }
}

impl PodTemplate {
    /// The gates that somebody sets: their place, and the stream whose load balancer's controller does.
    pub fn gates_with_setter(&self) -> impl Iterator<Item = (u8, u32)> {
        (0u8..).zip(&self.readiness_gates).filter_map(|(place, gate)| Some((place, gate.set_by?)))
    }

    /// The condition Ready, from the containers' statuses by number and the conditions that others have written.
    #[must_use]
    pub fn ready(&self, phase: Phase, statuses: &[ContainerStatus], gates: Gates) -> bool {
        self.containers_ready(phase, statuses) && self.gates_with_setter().all(|(place, _)| gates.is_true(place))
    }

    /// The condition ContainersReady, from the containers' statuses by number.
    #[must_use]
    pub fn containers_ready(&self, phase: Phase, statuses: &[ContainerStatus]) -> bool {
        // an init container that runs to completion does not count; of a container without a status nothing is known
        statuses.len() == self.container_count()
            && !phase.is_terminal()
            && statuses.iter().zip(0..).all(|(status, number)| status.ready || self.runs_to_completion(number))
    }
}
