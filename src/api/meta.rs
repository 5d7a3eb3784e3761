//! Identities of objects, and numbers that may be percentages.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in the table that holds these objects.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl From<usize> for $name {
            fn from(index: usize) -> Self {
                Self(u32::try_from(index).expect("fewer than 2^32 objects of a kind"))
            }
        }
    };
}

id! {
    /// A pod, for the whole run: the role of a UID. Never used again after the pod is gone.
    PodId
}
id! {
    /// A node.
    NodeId
}

impl NodeId {
    /// Where clients are that sit on no node.
    pub const OUTSIDE: Self = Self(u32::MAX);
}

id! {
    /// A Service, and its EndpointSlices.
    ServiceId
}
id! {
    /// A PodDisruptionBudget.
    PdbId
}
id! {
    /// A ReplicaSet.
    ReplicaSetId
}
id! {
    /// A Deployment.
    DeploymentId
}
id! {
    /// A StatefulSet.
    StatefulSetId
}
id! {
    /// A DaemonSet.
    DaemonSetId
}
id! {
    /// A Job.
    JobId
}
id! {
    /// A HorizontalPodAutoscaler.
    AutoscalerId
}
id! {
    /// A pod template: the part of pods that all copies share.
    TemplateId
}

/// `intstr.IntOrString`: a count, or a percentage of a total that is known later.
///
/// Source: `k8s.io/apimachinery/pkg/util/intstr/intstr.go` GetScaledValueFromIntOrPercent (v1.36).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntOrPercent {
    /// A plain number.
    Int(u32),
    /// A percentage; may exceed 100.
    Percent(u32),
}

impl IntOrPercent {
    /// The number for `total`, a percentage rounded up.
    #[must_use]
    pub fn scaled_up(self, total: u32) -> u32 {
        match self {
            Self::Int(n) => n,
            Self::Percent(p) => u32::try_from((u64::from(p) * u64::from(total)).div_ceil(100)).unwrap_or(u32::MAX),
        }
    }

    /// The number for `total`, a percentage rounded down.
    #[must_use]
    pub fn scaled_down(self, total: u32) -> u32 {
        match self {
            Self::Int(n) => n,
            Self::Percent(p) => u32::try_from(u64::from(p) * u64::from(total) / 100).unwrap_or(u32::MAX),
        }
    }
}

impl fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Percent(p) => write!(f, "{p}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::IntOrPercent::{Int, Percent};

    #[test]
    fn percentages_round_as_asked() {
        for (value, total, up, down) in [
            (Int(3), 10, 3, 3),
            (Percent(25), 10, 3, 2),
            (Percent(50), 2, 1, 1),
            (Percent(1), 3, 1, 0),
            (Percent(0), 5, 0, 0),
            (Percent(150), 4, 6, 6),
        ] {
            assert_eq!((value.scaled_up(total), value.scaled_down(total)), (up, down), "{value} of {total}");
        }
    }
}
