//! Where a new connection goes, at the time when it is made.

use crate::engine::Time;
use crate::simulation::network::clients::Plane;
use crate::simulation::network::exchange::Exchange;
use crate::simulation::network::exchange::tracking::Sender;
use crate::simulation::network::routers::{Goes, Way, one_of};
use crate::simulation::network::rules::Route;
use crate::simulation::setup::{Connections, Resolve, Via};

impl<'a> Exchange<'a> {
    /// Where a new connection of a client goes that comes `from` there. `choice` decides among equals, uniformly; `tried` pods
    /// have been asked in vain by a proxy that then takes the next one.
    pub(super) fn route(
        &mut self,
        now: Time,
        client: usize,
        from: Sender,
        (choice, tried): (u64, u32),
        plane: &mut Plane<'_, 'a>,
    ) -> Way {
        let to = self.to;
        let client = &mut self.clients[client];
        if let Some(gateway) = client.gateway {
            return plane.routers.route_onward((now, to), (gateway, client.traffic), (choice, tried), plane.proxies);
        }
        let service = client.traffic.service;
        match client.traffic.resolve {
            Resolve::Dns { ttl, cache } => {
                let version =
                    self.names.look_up(now, &mut client.lookup, service, (ttl, cache), client.key, plane.proxies);
                let (route, cause) = plane.proxies.route_ready(service, version);
                Way { goes: one_of(route, cause, (choice, tried)), machine: None, transit: None }
            }
            Resolve::Address => {
                let direct = client.traffic.via == Via::KubeProxy && client.traffic.balancer.is_none();
                let affinity = self.setup.services[service.index()].session_affinity;
                let datagrams = client.traffic.connections == Connections::Udp;
                if !direct || (affinity.is_none() && !datagrams) {
                    let stream = client.stream as usize;
                    return plane.routers.route((now, to), stream, client.node, (choice, tried), plane.proxies);
                }
                plane.proxies.fold(client.node, to);
                let version = plane.proxies.version_in_force(service, client.node, now);
                let flow = client.tracking.flow(now, from);
                let kept = flow.filter(|pod| plane.proxies.keeps_flow(service, version, *pod, client.node));
                let (route, cause) = plane.proxies.route(service, version, client.node);
                let goes = match (kept, route, affinity) {
                    (Some(pod), ..) => Goes::To(pod),
                    (None, Route::Pods(pods), Some(timeout)) => {
                        Goes::To(client.tracking.affine(now, from, pods, timeout, choice))
                    }
                    _ => one_of(route, cause, (choice, tried)),
                };
                if let Goes::To(pod) = goes {
                    client.tracking.sent(now, from, pod);
                }
                Way { goes, machine: None, transit: None }
            }
        }
    }
}
