//! Where a new connection goes, at the time when it is made.

use crate::api::PodId;
use crate::engine::Time;
use crate::simulation::network::clients::{Plane, pick};
use crate::simulation::network::exchange::Exchange;
use crate::simulation::network::exchange::tracking::Sender;
use crate::simulation::network::rules::Route;
use crate::simulation::observe::CauseId;
use crate::simulation::setup::{Resolve, Via};

/// Where a new connection goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goes {
    /// To this pod.
    To(PodId),
    /// Nowhere, and the client knows at once.
    Reject(CauseId),
    /// Nowhere, in silence.
    Drop(CauseId),
}

impl<'a> Exchange<'a> {
    /// Where a new connection of a client goes that comes `from` there. `choice` decides among equals, uniformly; `tried` pods have been asked in vain
    /// by a proxy that then takes the next one.
    pub(super) fn route(
        &mut self,
        now: Time,
        client: usize,
        from: Sender,
        (choice, tried): (u64, u32),
        plane: &mut Plane<'_, 'a>,
    ) -> Goes {
        let to = self.to;
        let client = &mut self.clients[client];
        let service = client.traffic.service;
        let (route, cause) = match (client.traffic.resolve, client.traffic.via) {
            (Resolve::Dns { ttl, cache }, _) => {
                let version =
                    self.names.look_up(now, &mut client.lookup, service, (ttl, cache), client.key, plane.proxies);
                plane.proxies.route_ready(service, version)
            }
            (Resolve::Address, Via::KubeProxy) => {
                if client.rules.folded < to {
                    plane.proxies.fold(client.node, to);
                    client.rules.folded = to;
                }
                let syncs = plane.proxies.syncs(client.node);
                let mut entries = None;
                while let Some(sync) = syncs.get(client.rules.next_sync).filter(|s| s.applied <= now) {
                    entries = Some(sync.entries);
                    client.rules.next_sync += 1;
                }
                if let Some(entries) = entries {
                    client.rules.version = plane.proxies.version(service, entries);
                }
                let (version, node) = (client.rules.version, client.node);
                let flow = client.tracking.flow(now, from);
                if let Some(pod) = flow.filter(|pod| plane.proxies.keeps_flow(service, version, *pod, node)) {
                    client.tracking.sent(now, from, pod);
                    return Goes::To(pod);
                }
                plane.proxies.route(service, version, node)
            }
            (Resolve::Address, Via::IngressNginx(_)) => {
                if client.rules.folded < to {
                    plane.ingresses.fold(client.node, to, plane.proxies.log());
                    client.rules.folded = to;
                }
                let syncs = plane.ingresses.syncs(client.node);
                let mut entries = None;
                while let Some(sync) = syncs.get(client.rules.next_sync).filter(|s| s.applied <= now) {
                    entries = Some(sync.entries);
                    client.rules.next_sync += 1;
                }
                if let Some(entries) = entries {
                    client.rules.version = plane.proxies.version(service, entries);
                }
                plane.proxies.route_ready(service, client.rules.version)
            }
        };
        let by_kube_proxy = client.traffic.via == Via::KubeProxy && client.traffic.resolve == Resolve::Address;
        let affinity = self.setup.services[service.index()].session_affinity.filter(|_| by_kube_proxy);
        let pod = match (route, affinity) {
            (Route::Pods(pods), Some(timeout)) => client.tracking.affine(now, from, pods, timeout, choice),
            (Route::Pods(pods), None) => nth_choice(pods, choice, tried),
            (Route::Reject, _) => return Goes::Reject(cause),
            (Route::Drop, _) => return Goes::Drop(cause),
        };
        client.tracking.sent(now, from, pod);
        Goes::To(pod)
    }
}

/// The pod that is asked after `tried` others: the first by chance, then in turn.
fn nth_choice(pods: &[PodId], choice: u64, tried: u32) -> PodId {
    let first = pods.partition_point(|pod| *pod < pick(pods, choice));
    pods[(first + tried as usize) % pods.len()]
}
