//! `kubeProxy`: the settings of kube-proxy, and what keeps it busy.

use crate::engine::Duration;
use crate::scenario::read::record;
use crate::scenario::source::Spanned;
use crate::scenario::values::Rate;
use crate::simulation::setup::ProxyMode;

record! {
    /// Settings of kube-proxy, the same on every node.
    pub struct KubeProxyEntry is "`kubeProxy`" {
        /// What the rules are made of; `iptables` if left out.
        pub mode: Option<ProxyMode>,
        /// `minSyncPeriod` of the mode; 1s if left out, 0s in the mode ipvs.
        pub min_sync_period: Option<Spanned<Duration>>,
        /// `syncPeriod` of the mode: when a failed sync is tried again; in the mode ipvs also when the next sync comes in any
        /// case. 30s if left out.
        pub sync_period: Option<Spanned<Duration>>,
        /// Of the mode ebpf: `lb-reflector-wait-time` of Cilium's agent, for which it gathers changes; 500ms if left out. 0s:
        /// an agent without this buffer.
        pub batch_period: Option<Spanned<Duration>>,
        /// How large the rest of the cluster is; nothing if left out.
        pub cluster: Option<ClusterSizeEntry>,
        /// By how much a sync grows with that, if the defaults of the mode are not yours.
        pub sync_cost: Option<SyncCostEntry>,
        /// How often endpoints of other Services change in the whole cluster, at random: every proxy syncs for that, too.
        /// Never if left out.
        pub other_changes: Option<Rate>,
        /// Syncs that fail; none if left out.
        pub failed_syncs: Option<FailedSyncsEntry>,
    }
}

record! {
    /// What there is besides the Services of the scenario.
    pub struct ClusterSizeEntry is "`cluster`" {
        /// Services (ports of Services, if they have several).
        pub services: u32,
        /// Endpoints of all of them.
        pub endpoints: u32,
    }
}

record! {
    /// By how much a sync grows with the cluster, at the median.
    pub struct SyncCostEntry is "`syncCost`" {
        /// For each Service, in a sync of what has changed; 5us if left out (nftables 1us, ipvs 10us).
        pub per_service: Option<Duration>,
        /// For each endpoint, in a sync of what has changed; 0s if left out (ipvs 10us).
        pub per_endpoint: Option<Duration>,
        /// For each Service, in a full sync; 200us if left out (ipvs 10us).
        pub full_per_service: Option<Duration>,
        /// For each endpoint, in a full sync; 40us if left out (ipvs 10us).
        pub full_per_endpoint: Option<Duration>,
    }
}

record! {
    /// Syncs that fail: their changes are lost until a later one that writes everything.
    pub struct FailedSyncsEntry is "`failedSyncs`" {
        /// The share of all syncs that fail, 0 to 1; 0 if left out.
        pub probability: Option<Spanned<f64>>,
        /// Spans of time in which every sync that begins fails.
        #[schemars(default)]
        pub during: Vec<FailureSpanEntry>,
    }
}

record! {
    /// A span of time in which syncs fail.
    pub struct FailureSpanEntry is "an entry of `during`" {
        /// On these nodes; on all if left out.
        #[schemars(default)]
        pub nodes: Vec<Spanned<String>>,
        /// When it begins.
        pub from: Duration,
        /// When it ends.
        pub to: Spanned<Duration>,
    }
}
