//! Static pods: the kubelet runs them from files on its node, and shows a picture of each to the apiserver, the mirror pod.
//!
//! Deleting the mirror stops nothing. The kubelet lets it go and makes it anew. (Here the new mirror keeps the identity of the
//! old one, for the pod that it shows is the same.)
//!
//! Source: `pkg/kubelet/kubelet.go` SyncPod, tryReconcileMirrorPods, and `pkg/kubelet/pod/mirror_client.go` (v1.36).

use crate::api::{Kind, NodeId, PodId};
use crate::engine::Key;
use crate::simulation::context::{Context, Watches};
use crate::simulation::latency::Hop;
use crate::simulation::node::Kubelets;
use crate::simulation::write::{Caller, WorkloadWrite, Write};

impl Kubelets {
    /// The watch has delivered a version of a mirror pod, or its removal.
    pub(super) fn mirror_changed(&mut self, ctx: &mut Context<'_>, pod: PodId, node: NodeId) {
        let seen = ctx.watches.seen(Watches::kubelet(node), Kind::Pod);
        let write = match ctx.store.pods.at(pod.index(), seen) {
            Some(mirror) if mirror.deletion.is_some() => Write::RemovePod { pod },
            Some(_) => return,
            // a kubelet whose Node object is gone has nothing to show until it has registered anew
            None if ctx.store.nodes.head(node.index()).is_none() => return,
            None => Write::Workload(WorkloadWrite::RestoreMirror { pod }),
        };
        let luck = Key::new("mirror").number(ctx.pod_luck(pod)).bits();
        let occasion = ctx.store.pods.version_count(pod.index());
        let reaction = ctx.latency(Hop::KubeletSync, luck, occasion);
        ctx.submit_after_wait(reaction, write, Caller::Nobody, luck, occasion);
    }
}
