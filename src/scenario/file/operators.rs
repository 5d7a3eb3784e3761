//! The actions of those who remove nodes without kubectl, and of `kubectl apply`.

use crate::api::meta::IntOrPercent;
use crate::engine::Duration;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::read::record;
use crate::scenario::source::Spanned;
use crate::scenario::tree::Node;
use crate::scenario::values::{PoolUpgradeProfile, Seconds};

/// At least one node.
fn check_nodes(node: &Node, problems: &mut Diagnostics) -> bool {
    let nodes = node.get("nodes").map(Node::items).unwrap_or_default();
    if node.get("node").is_none() && nodes.is_empty() {
        problems.push(
            Diagnostic::error("this action does not say which nodes")
                .at(&node.span, "in this action")
                .help("write `nodes: [A, B]`, or `node: NAME`"),
        );
        return false;
    }
    true
}

record! {
    /// The upgrade of a pool of nodes by a managed service: every node is replaced.
    pub struct UpgradeAction is "`upgrade`", checked by check_nodes {
        /// Whose upgrade; the fields below have its defaults. `plain` if left out.
        pub profile: Option<PoolUpgradeProfile>,
        /// The node.
        pub node: Option<Spanned<String>>,
        /// The nodes, in the order in which they are taken.
        #[schemars(default)]
        pub nodes: Vec<Spanned<String>>,
        /// So many machines, or per cent of the nodes (rounded up), come in addition.
        pub max_surge: Option<IntOrPercent>,
        /// So many old nodes, or per cent of the nodes, go before their replacement is there.
        pub max_unavailable: Option<IntOrPercent>,
        /// How long a node may take to become empty; 0s: for ever.
        pub drain_timeout: Option<Duration>,
        /// Whether the pods that are left then are deleted; the upgrade fails if not.
        pub force: Option<bool>,
        /// From empty to switched off: the soak time.
        pub soak: Option<Duration>,
        /// From the order of a machine to its node's being Ready; 30s if left out.
        pub ready: Option<Duration>,
    }
}

record! {
    /// A scale-down by cluster-autoscaler, with its flags.
    pub struct ClusterAutoscalerAction is "`clusterAutoscaler`", checked by check_nodes {
        /// The node that is no longer needed.
        pub node: Option<Spanned<String>>,
        /// The nodes that are no longer needed.
        #[schemars(default)]
        pub nodes: Vec<Spanned<String>>,
        /// `--max-pod-eviction-time`; 2m if left out.
        pub max_pod_eviction_time: Option<Duration>,
        /// `--max-graceful-termination-sec`; 600 if left out.
        pub max_graceful_termination: Option<Seconds>,
        /// `--node-delete-delay-after-taint`; 5s if left out.
        pub node_delete_delay_after_taint: Option<Duration>,
        /// `--daemonset-eviction-for-occupied-nodes`; true if left out.
        pub daemonset_eviction: Option<bool>,
        /// `--skip-nodes-with-local-storage`; true if left out.
        pub skip_nodes_with_local_storage: Option<bool>,
        /// `--cordon-node-before-terminating`; true if left out.
        pub cordon_node_before_terminating: Option<bool>,
    }
}

record! {
    /// A disruption of nodes by Karpenter.
    pub struct KarpenterAction is "`karpenter`", checked by check_nodes {
        /// The node.
        pub node: Option<Spanned<String>>,
        /// The nodes, which are disrupted by one command.
        #[schemars(default)]
        pub nodes: Vec<Spanned<String>>,
        /// `terminationGracePeriod` of the NodePool; for ever if left out.
        pub termination_grace_period: Option<Duration>,
        /// Each node is replaced first, by one that is Ready after this time; nothing replaces them if left out.
        pub replacement_ready: Option<Duration>,
    }
}

record! {
    /// An object by name.
    pub struct DeletePdbAction is "`deletePdb`" {
        /// The PodDisruptionBudget: its name, or namespace/name.
        pub name: Spanned<String>,
    }
}
