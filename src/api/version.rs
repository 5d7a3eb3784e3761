//! The Kubernetes version that is modelled, and what differs between versions.

use std::fmt;
use std::str::FromStr;

/// A Kubernetes minor version, 1.29 to 1.37. All components have the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    minor: u8,
}

/// A version that cannot be modelled.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VersionError {
    /// Not of the form `1.N`.
    #[error("`{0}` is not a Kubernetes version; write it as \"1.33\"")]
    Malformed(String),
    /// Outside the modelled range.
    #[error("Kubernetes {0} is not modelled; the versions {oldest} to {newest} are", oldest = Version::OLDEST, newest = Version::NEWEST)]
    OutOfRange(String),
}

impl Version {
    /// The oldest version whose behaviour is modelled.
    pub const OLDEST: Self = Self { minor: 29 };
    /// The newest version whose behaviour is modelled.
    pub const NEWEST: Self = Self { minor: 37 };
    /// The version that is meant when a scenario names none.
    pub const DEFAULT: Self = Self { minor: 36 };

    /// Version `1.minor`, for tests and tables.
    ///
    /// # Panics
    /// If the version is not modelled.
    #[must_use]
    pub const fn minor(minor: u8) -> Self {
        assert!(minor >= Self::OLDEST.minor && minor <= Self::NEWEST.minor, "version not modelled");
        Self { minor }
    }

    /// kube-proxy's runner keeps no burst: after a sync the next one waits the whole `minSyncPeriod`, and an idle proxy
    /// runs at once. Before, a token bucket of 2 allowed two syncs back to back.
    ///
    /// Source: `pkg/proxy/runner/bounded_frequency_runner.go` (v1.36), PR 131615; before:
    /// `pkg/util/async/bounded_frequency_runner.go`. That 1.34 is the first release is inferred from the PR's date.
    #[must_use]
    pub const fn proxy_runner_without_burst(self) -> bool {
        self.minor >= 34
    }

    /// A refused eviction tells more of the reason than the healthy counts.
    ///
    /// Source: `pkg/registry/core/pod/storage/eviction.go` checkAndDecrement (v1.35 against v1.34).
    #[must_use]
    pub const fn eviction_tells_reason(self) -> bool {
        self.minor >= 35
    }

    /// `kubectl drain` fetches the pod anew after an accepted eviction, so that it waits for the pod that was evicted
    /// rather than for the one that it listed.
    ///
    /// Source: `k8s.io/kubectl/pkg/drain/drain.go` evictPods (v1.35 against v1.34).
    #[must_use]
    pub const fn drain_refetches_pod(self) -> bool {
        self.minor >= 35
    }

    /// The text about pods without a controller begins with an extra "cannot delete ".
    ///
    /// Source: `k8s.io/kubectl/pkg/drain/filters.go` (v1.35 against v1.36).
    #[must_use]
    pub const fn drain_says_cannot_delete_twice(self) -> bool {
        self.minor <= 35
    }

    /// `lifecycle.preStop.sleep` is on by default (PodLifecycleSleepAction: alpha 1.29, beta 1.30, GA 1.34).
    ///
    /// Source: `pkg/features/kube_features.go` (v1.36).
    #[must_use]
    pub const fn has_sleep_action(self) -> bool {
        self.minor >= 30
    }

    /// `lifecycle.preStop.sleep.seconds: 0` is valid (PodLifecycleSleepActionAllowZero: beta 1.33).
    #[must_use]
    pub const fn allows_zero_sleep(self) -> bool {
        self.minor >= 33
    }

    /// A kubelet that has just changed a pod looks at it again at once instead of at the next relist
    /// (PLEGOnDemandRelist, on by default since it came with 1.36).
    ///
    /// Source: `pkg/features/kube_features.go`, `pkg/kubelet/pleg/generic.go` relistPod (v1.36).
    #[must_use]
    pub const fn pleg_relists_on_demand(self) -> bool {
        self.minor >= 36
    }

    /// The seconds after which the node lifecycle controller believes that a silent node is gone
    /// (`--node-monitor-grace-period`): 50 since 1.32 (PR 126287), 40 before.
    ///
    /// Source: `pkg/controller/nodelifecycle/config/v1alpha1/defaults.go`.
    #[must_use]
    pub const fn node_monitor_grace_seconds(self) -> u64 {
        if self.minor >= 32 { 50 } else { 40 }
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `1.33`, `v1.33` or `1.33.4`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let malformed = || VersionError::Malformed(text.to_string());
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let (major, minor) = (parts.next().ok_or_else(malformed)?, parts.next().ok_or_else(malformed)?);
        if parts.clone().count() > 1 || parts.any(|p| p.parse::<u32>().is_err()) {
            return Err(malformed());
        }
        let major: u32 = major.parse().map_err(|_| malformed())?;
        let minor: u32 = minor.parse().map_err(|_| malformed())?;
        match (major, u8::try_from(minor)) {
            (1, Ok(minor)) if (Self::OLDEST.minor..=Self::NEWEST.minor).contains(&minor) => Ok(Self { minor }),
            _ => Err(VersionError::OutOfRange(text.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_spellings() {
        for text in ["1.33", "v1.33", "1.33.4"] {
            assert_eq!(text.parse(), Ok(Version::minor(33)));
        }
        for text in ["", "1", "1.x", "1.33.4.5", "latest"] {
            assert_eq!(text.parse::<Version>(), Err(VersionError::Malformed(text.into())));
        }
        for text in ["1.28", "1.38", "2.30", "1.300"] {
            assert_eq!(text.parse::<Version>(), Err(VersionError::OutOfRange(text.into())));
        }
    }
}
