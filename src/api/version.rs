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

    /// The apiserver knows `spec.trafficDistribution` (`PreferClose`).
    ///
    /// Source: `pkg/features/kube_features.go` ServiceTrafficDistribution: alpha 1.30, on by default since 1.31.
    #[must_use]
    pub const fn traffic_distribution(self) -> bool {
        self.minor >= 31
    }

    /// `trafficDistribution` may be `PreferSameZone` and `PreferSameNode`.
    ///
    /// Source: `pkg/features/kube_features.go` PreferSameTrafficDistribution: alpha 1.33, on by default since 1.34.
    #[must_use]
    pub const fn prefer_same_traffic_distribution(self) -> bool {
        self.minor >= 34
    }

    /// kube-proxy's `/healthz` fails on a node that is about to go.
    ///
    /// Source: `pkg/proxy/healthcheck/proxy_health.go` NodeEligible (v1.36); KEP-3836,
    /// KubeProxyDrainingTerminatingNodes: alpha 1.28, on by default since 1.30.
    #[must_use]
    pub const fn proxy_drains_terminating_nodes(self) -> bool {
        self.minor >= 30
    }

    /// A refused eviction tells more of the reason than the healthy counts.
    ///
    /// Source: `pkg/registry/core/pod/storage/eviction.go` checkAndDecrement (v1.35 against v1.34).
    #[must_use]
    pub const fn eviction_tells_reason(self) -> bool {
        self.minor >= 35
    }

    /// `kubectl drain` fetches the pod anew before it tries again after a refused eviction, so that it waits for the pod
    /// that it has evicted in the end rather than for the one of the same name that it listed.
    ///
    /// Source: `k8s.io/kubectl/pkg/drain/drain.go` evictPods (v1.35 against v1.34).
    #[must_use]
    pub const fn drain_refetches_pod(self) -> bool {
        self.minor >= 35
    }

    /// The text about pods without a controller begins with an extra "cannot delete ".
    ///
    /// Source: `k8s.io/kubectl/pkg/drain/filters.go` (v1.29 against v1.30, v1.35 against v1.36).
    #[must_use]
    pub const fn drain_says_cannot_delete_twice(self) -> bool {
        self.minor >= 30 && self.minor <= 35
    }

    /// The text about pods without a controller has no "that" yet.
    ///
    /// Source: `k8s.io/kubectl/pkg/drain/filters.go` (v1.29 against v1.30).
    #[must_use]
    pub const fn drain_says_pods_declare(self) -> bool {
        self.minor <= 29
    }

    /// There is a space between "due to error:" and the error.
    ///
    /// Source: `k8s.io/kubectl/pkg/cmd/drain/drain.go` RunDrain (v1.30 against v1.31).
    #[must_use]
    pub const fn drain_spaces_its_error(self) -> bool {
        self.minor >= 31
    }

    /// `kubectl drain` still has `--delete-local-data`, the name of `--delete-emptydir-data` before 1.20.
    ///
    /// Source: `k8s.io/kubectl/pkg/cmd/drain/drain.go` NewCmdDrain (v1.30 against v1.31).
    #[must_use]
    pub const fn drain_has_delete_local_data(self) -> bool {
        self.minor <= 30
    }

    /// `kubectl drain` stops waiting for a pod's end at the very deadline; before, it looked at the deadline only after
    /// each poll, and said so in other words.
    ///
    /// Source: `k8s.io/kubectl/pkg/drain/drain.go` waitForDelete (v1.31 against v1.32).
    #[must_use]
    pub const fn drain_wait_ends_at_deadline(self) -> bool {
        self.minor >= 32
    }

    /// `kubectl delete` names the namespace.
    ///
    /// Source: `k8s.io/kubectl/pkg/cmd/delete/delete.go` PrintObj (v1.33 against v1.34).
    #[must_use]
    pub const fn delete_tells_namespace(self) -> bool {
        self.minor >= 34
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

    /// The sync of a pod whose container waits in CrashLoopBackOff comes when that is over, not after 10 s (PR 133066, merged
    /// in October 2025; that this was 1.35 is inferred).
    ///
    /// Source: `pkg/kubelet/pod_workers.go` completeWork (v1.36).
    #[must_use]
    pub const fn restarts_when_back_off_ends(self) -> bool {
        self.minor >= 35
    }

    /// A scheduler that has nothing else to do takes pods out of their back-off early (SchedulerPopFromBackoffQ, beta and on
    /// since it came with 1.33).
    ///
    /// Source: `pkg/features/kube_features.go`, `pkg/scheduler/backend/queue/active_queue.go` (v1.36).
    #[must_use]
    pub const fn scheduler_pops_from_back_off(self) -> bool {
        self.minor >= 33
    }

    /// The event FailedScheduling no longer names the taint that is not tolerated.
    ///
    /// Source: `pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go` (v1.34 against v1.33).
    #[must_use]
    pub const fn scheduler_hides_taint(self) -> bool {
        self.minor >= 34
    }

    /// The plugin DynamicResources is on (DynamicResourceAllocation: GA 1.34) and adds its word to FailedScheduling.
    ///
    /// Source: `pkg/features/kube_features.go`, `pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go`
    /// (v1.34).
    #[must_use]
    pub const fn scheduler_looks_at_claims(self) -> bool {
        self.minor >= 34
    }

    /// The scheduler does not balance CPU against memory for pods that ask for neither.
    ///
    /// Source: `pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go` (v1.33 against v1.32).
    #[must_use]
    pub const fn balanced_allocation_skips_best_effort(self) -> bool {
        self.minor >= 33
    }

    /// The scheduler scores how a pod changes the balance of CPU and memory, not the balance that results.
    ///
    /// Source: `pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go` (v1.36 against v1.35).
    #[must_use]
    pub const fn balanced_allocation_compares(self) -> bool {
        self.minor >= 36
    }

    /// The Events Created and Started no longer name the container (PR 134043).
    ///
    /// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go` startContainer (v1.35 against v1.34).
    #[must_use]
    pub const fn container_events_without_name(self) -> bool {
        self.minor >= 35
    }

    /// The kubelet checks whether a pod may use an image that is on the node (KubeletEnsureSecretPulledImages, beta 1.35),
    /// and says so in the Event Pulled.
    ///
    /// Source: `pkg/features/kube_features.go`, `pkg/kubelet/images/image_manager.go` (v1.35 against v1.34).
    #[must_use]
    pub const fn kubelet_checks_pull_credentials(self) -> bool {
        self.minor >= 35
    }

    /// The Events of a StatefulSet about its pods begin with a capital.
    ///
    /// Source: `pkg/controller/statefulset/stateful_pod_control.go` recordPodEvent (v1.35 against v1.34).
    #[must_use]
    pub const fn stateful_set_events_are_titled(self) -> bool {
        self.minor >= 35
    }

    /// The Event ScalingReplicaSet says "from 2 to 3", no longer "to 3 from 2".
    ///
    /// Source: `pkg/controller/deployment/sync.go` (v1.32 against v1.31).
    #[must_use]
    pub const fn scaling_event_says_from_first(self) -> bool {
        self.minor >= 32
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
