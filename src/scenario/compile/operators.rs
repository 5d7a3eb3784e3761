//! The actions of those who remove nodes without kubectl: their defaults, by whose they are.

use std::collections::BTreeSet;

use crate::api::meta::IntOrPercent;
use crate::engine::Duration;
use crate::scenario::compile::Compiler;
use crate::scenario::compile::actions::NODE_READY_DEFAULT;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::{ClusterAutoscalerAction, KarpenterAction, RestartAction, UpgradeAction};
use crate::scenario::source::Spanned;
use crate::simulation::setup::{ClusterAutoscalerOptions, KarpenterOptions, Restarted, UpgradeOptions, UpgradeProfile};

/// Availability zones are told by this label.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

impl Compiler<'_> {
    /// Source of the defaults: see `src/simulation/operator/upgrade.rs`.
    pub(super) fn upgrade(&mut self, entry: &UpgradeAction, joining: &[String]) -> Option<UpgradeOptions> {
        let nodes = self.named_nodes(entry.node.as_ref(), &entry.nodes, joining)?;
        let profile = entry.profile.map_or(UpgradeProfile::Plain, |p| p.0);
        let zones: BTreeSet<&str> = self
            .setup
            .nodes
            .iter()
            .filter(|n| nodes.contains(&n.node.name))
            .filter_map(|n| n.node.labels.get(ZONE_LABEL).map(String::as_str))
            .collect();
        let twice_the_zones = u32::try_from(2 * zones.len().max(1)).unwrap_or(u32::MAX);
        let seconds = Duration::from_secs;
        let (surge, unavailable, timeout, force, soak) = match profile {
            UpgradeProfile::Plain => (IntOrPercent::Int(0), 1, None, false, Duration::ZERO),
            UpgradeProfile::Gke => (IntOrPercent::Int(1), 0, Some(seconds(3600)), true, Duration::ZERO),
            UpgradeProfile::Eks => (IntOrPercent::Int(twice_the_zones), 1, Some(seconds(900)), false, seconds(60)),
            UpgradeProfile::Aks => (IntOrPercent::Percent(10), 0, Some(seconds(1800)), false, Duration::ZERO),
        };
        let size = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let max_surge = entry.max_surge.unwrap_or(surge).scaled_up(size);
        let max_unavailable = entry.max_unavailable.unwrap_or(IntOrPercent::Int(unavailable)).scaled_down(size);
        if max_surge == 0 && max_unavailable == 0 {
            let span = entry.node.as_ref().or(entry.nodes.first()).map(|n| &n.span)?;
            self.problems.push(
                Diagnostic::error("`maxSurge` and `maxUnavailable` cannot both be 0")
                    .at(span, "the upgrade of this node and the others could never begin"),
            );
            return None;
        }
        let drain_timeout = match entry.drain_timeout {
            Some(zero) if zero.is_zero() => None,
            given => given.or(timeout),
        };
        Some(UpgradeOptions {
            profile,
            max_surge,
            max_unavailable,
            drain_timeout,
            force: entry.force.unwrap_or(force),
            wait_after_drain: entry.soak.unwrap_or(soak),
            ready_after: self.ready_after(entry.ready, &nodes, "upgrade.ready"),
            nodes,
        })
    }

    pub(super) fn cluster_autoscaler(
        &mut self,
        entry: &ClusterAutoscalerAction,
        joining: &[String],
    ) -> Option<ClusterAutoscalerOptions> {
        let default = ClusterAutoscalerOptions::default();
        let grace = entry.max_graceful_termination.and_then(|s| u64::try_from(s.0).ok());
        Some(ClusterAutoscalerOptions {
            nodes: self.named_nodes(entry.node.as_ref(), &entry.nodes, joining)?,
            max_pod_eviction_time: entry.max_pod_eviction_time.unwrap_or(default.max_pod_eviction_time),
            max_graceful_termination: grace.unwrap_or(default.max_graceful_termination),
            node_delete_delay_after_taint: entry
                .node_delete_delay_after_taint
                .unwrap_or(default.node_delete_delay_after_taint),
            evict_daemonsets: entry.daemonset_eviction.unwrap_or(default.evict_daemonsets),
            skip_nodes_with_local_storage: entry
                .skip_nodes_with_local_storage
                .unwrap_or(default.skip_nodes_with_local_storage),
            cordon: entry.cordon_node_before_terminating.unwrap_or(default.cordon),
        })
    }

    pub(super) fn karpenter(&mut self, entry: &KarpenterAction, joining: &[String]) -> Option<KarpenterOptions> {
        Some(KarpenterOptions {
            nodes: self.named_nodes(entry.node.as_ref(), &entry.nodes, joining)?,
            termination_grace_period: entry.termination_grace_period,
            replacement_ready_after: entry.replacement_ready,
        })
    }

    fn named_nodes(
        &mut self,
        node: Option<&Spanned<String>>,
        nodes: &[Spanned<String>],
        joining: &[String],
    ) -> Option<Vec<String>> {
        let names: Vec<Option<String>> = node.into_iter().chain(nodes).map(|name| self.node(name, joining)).collect();
        names.into_iter().collect()
    }

    fn ready_after(&mut self, given: Option<Duration>, nodes: &[String], field: &str) -> Duration {
        given.unwrap_or_else(|| {
            let first = nodes.first().map_or("", String::as_str);
            self.assumptions.push(format!(
                "a new machine (for {first} and others) is Ready {NODE_READY_DEFAULT} after it has been ordered (`{field}`)"
            ));
            NODE_READY_DEFAULT
        })
    }

    /// The index of the StatefulSet that is meant by `name` or `namespace/name`; told if there is none.
    pub(super) fn stateful_set(&mut self, name: &Spanned<String>) -> Option<usize> {
        let all = self.setup.stateful_sets.iter().map(|s| (s.namespace.clone(), s.name.clone())).collect();
        self.one_named("StatefulSet", name, all)
    }

    /// The index of the DaemonSet that is meant by `name` or `namespace/name`; told if there is none.
    fn daemon_set(&mut self, name: &Spanned<String>) -> Option<usize> {
        let all = self.setup.daemon_sets.iter().map(|s| (s.namespace.clone(), s.name.clone())).collect();
        self.one_named("DaemonSet", name, all)
    }

    /// The one workload that is named.
    pub(super) fn restarted(&mut self, action: &RestartAction) -> Option<Restarted> {
        if let Some(name) = &action.stateful_set {
            self.stateful_set(name).map(Restarted::StatefulSet)
        } else if let Some(name) = &action.daemon_set {
            self.daemon_set(name).map(Restarted::DaemonSet)
        } else {
            self.deployment(action.deployment.as_ref()?).map(Restarted::Deployment)
        }
    }

    /// The index of the ReplicaSet that is meant by `name` or `namespace/name`; told if there is none.
    pub(super) fn replica_set(&mut self, name: &Spanned<String>) -> Option<usize> {
        let all = self.setup.replica_sets.iter().map(|s| (s.namespace.clone(), s.name.clone())).collect();
        self.one_named("ReplicaSet", name, all)
    }
}
