//! kube-proxy's settings, and what keeps it busy.

use crate::engine::{Duration, Time};

/// kube-proxy on every node, or what stands in for it.
#[derive(Clone, PartialEq, Debug)]
pub struct KubeProxySetup {
    /// What the rules are made of.
    pub mode: ProxyMode,
    /// `minSyncPeriod`: no sync begins sooner after the end of the one before.
    pub min_sync_period: Duration,
    /// `syncPeriod`: a failed sync is tried again after that. In the mode ipvs a sync comes that long after the one before
    /// in any case.
    pub sync_period: Duration,
    /// `lb-reflector-wait-time` of Cilium's agent: it gathers changes for so long from the first one. Zero in other modes.
    pub batch_period: Duration,
    /// What else there is in the cluster.
    pub cluster: ClusterSize,
    /// What that costs.
    pub cost: SyncCost,
    /// Changes of endpoints of other Services, per second, in the whole cluster. All proxies see them. 0: none.
    pub other_changes: f64,
    /// Syncs that fail.
    pub failed_syncs: FailedSyncs,
}

/// `mode` of kube-proxy's configuration, and Cilium without kube-proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProxyMode {
    /// `iptables`, the default on Linux.
    #[default]
    Iptables,
    /// `nftables`, since 1.29 (alpha), GA in 1.33.
    Nftables,
    /// `ipvs`, deprecated.
    Ipvs,
    /// Cilium with `kubeProxyReplacement`.
    Ebpf,
}

/// Services and endpoints in the cluster besides those of the scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClusterSize {
    /// Services (more exactly: ports of Services).
    pub services: u32,
    /// Their endpoints.
    pub endpoints: u32,
}

/// By how much a sync grows with the cluster. It comes on top of the hop, and is as lucky as that: a draw of twice the
/// hop's median has twice of this, too.
///
/// The defaults are assumptions; see [`ProxyMode::cost`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SyncCost {
    /// Of each Service, in a sync of what has changed.
    pub per_service: Duration,
    /// Of each endpoint, in a sync of what has changed.
    pub per_endpoint: Duration,
    /// Of each Service, in a full sync.
    pub full_per_service: Duration,
    /// Of each endpoint, in a full sync.
    pub full_per_endpoint: Duration,
}

/// Syncs that fail: the kernel refuses the rules, or somebody else holds the lock of iptables. By default none does.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FailedSyncs {
    /// The share of all syncs that fail, each by its own luck.
    pub probability: f64,
    /// Those that begin in one of these spans do.
    pub during: Vec<FailureSpan>,
}

/// A span of time in which syncs fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailureSpan {
    /// On these nodes; empty: on all.
    pub nodes: Vec<String>,
    /// The first instant.
    pub from: Time,
    /// The first instant after it.
    pub to: Time,
}

impl Default for KubeProxySetup {
    fn default() -> Self {
        Self::of(ProxyMode::default())
    }
}

impl KubeProxySetup {
    /// The defaults of a mode.
    ///
    /// Source: `pkg/proxy/apis/config/v1alpha1/defaults.go` SetDefaults_KubeProxyConfiguration (v1.36); cilium
    /// `pkg/loadbalancer/config.go` DefaultUserConfig (ReflectorWaitTime, RetryBackoffMin) (main of 2026).
    #[must_use]
    pub fn of(mode: ProxyMode) -> Self {
        let (min_sync_period, sync_period, batch_period) = match mode {
            ProxyMode::Iptables | ProxyMode::Nftables => (1000, 30_000, 0),
            ProxyMode::Ipvs => (0, 30_000, 0),
            ProxyMode::Ebpf => (0, 1000, 500),
        };
        Self {
            mode,
            min_sync_period: Duration::from_millis(min_sync_period),
            sync_period: Duration::from_millis(sync_period),
            batch_period: Duration::from_millis(batch_period),
            cluster: ClusterSize::default(),
            cost: mode.cost(),
            other_changes: 0.0,
            failed_syncs: FailedSyncs::default(),
        }
    }

    /// How long after a sync the next one comes in any case; `None`: not within any run (once an hour, as it happens).
    ///
    /// Source: the calls of NewBoundedFrequencyRunner in `pkg/proxy/{iptables,nftables,ipvs}/proxier.go`,
    /// `pkg/proxy/util/utils.go` FullSyncPeriod (v1.36).
    #[must_use]
    pub fn max_interval(&self) -> Option<Duration> {
        (self.mode == ProxyMode::Ipvs).then_some(self.sync_period)
    }

    /// What the rest of the cluster adds to a sync, at the median.
    #[must_use]
    pub fn added(&self, full: bool) -> Duration {
        let (service, endpoint) = match full {
            true => (self.cost.full_per_service, self.cost.full_per_endpoint),
            false => (self.cost.per_service, self.cost.per_endpoint),
        };
        service.mul(u64::from(self.cluster.services)) + endpoint.mul(u64::from(self.cluster.endpoints))
    }
}

impl ProxyMode {
    /// All modes by the name that a scenario uses.
    pub const ALL: [(&'static str, Self); 4] =
        [("iptables", Self::Iptables), ("nftables", Self::Nftables), ("ipvs", Self::Ipvs), ("ebpf", Self::Ebpf)];

    /// The name that a scenario uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }

    /// The growth of a sync. What it grows with is read in the source; the constants are assumptions.
    ///
    /// - iptables: a partial sync writes the chains of the Services that have changed, but its list of all Services, too
    ///   (KEP-3453). A full one writes everything.
    /// - nftables: looks at every Service and writes what has changed; a full sync writes everything.
    /// - ipvs: compares each Service with the kernel, in every sync.
    /// - eBPF: entries of maps, whatever else is in them.
    #[must_use]
    pub fn cost(self) -> SyncCost {
        let micros = Duration::from_micros;
        match self {
            Self::Iptables => SyncCost {
                per_service: micros(5),
                per_endpoint: Duration::ZERO,
                full_per_service: micros(200),
                full_per_endpoint: micros(40),
            },
            Self::Nftables => SyncCost {
                per_service: micros(1),
                per_endpoint: Duration::ZERO,
                full_per_service: micros(200),
                full_per_endpoint: micros(40),
            },
            Self::Ipvs => SyncCost {
                per_service: micros(10),
                per_endpoint: micros(10),
                full_per_service: micros(10),
                full_per_endpoint: micros(10),
            },
            Self::Ebpf => SyncCost::default(),
        }
    }
}
