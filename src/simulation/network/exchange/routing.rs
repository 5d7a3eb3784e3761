//! Where a new connection goes, at the time when it is made.

use crate::engine::Time;
use crate::simulation::network::clients::Plane;
use crate::simulation::network::exchange::Exchange;
use crate::simulation::network::routers::{Goes, Way, nth_choice};
use crate::simulation::network::rules::Route;
use crate::simulation::setup::Resolve;

impl<'a> Exchange<'a> {
    /// Where a new connection of a client goes. `choice` decides among equals, uniformly; `tried` pods have been asked in vain
    /// by a proxy that then takes the next one.
    pub(super) fn route(
        &mut self,
        now: Time,
        client: usize,
        choice: u64,
        tried: u32,
        plane: &mut Plane<'_, 'a>,
    ) -> Way {
        let to = self.to;
        let client = &mut self.clients[client];
        let service = client.traffic.service;
        match client.traffic.resolve {
            Resolve::Dns { ttl, cache } => {
                let version =
                    self.names.look_up(now, &mut client.lookup, service, (ttl, cache), client.key, plane.proxies);
                let (route, cause) = plane.proxies.route_ready(service, version);
                let goes = match route {
                    Route::Pods(pods) => Goes::To(nth_choice(pods, choice, tried)),
                    Route::Reject => Goes::Reject(cause),
                    Route::Drop => Goes::Drop(cause),
                };
                Way { goes, machine: None, transit: None }
            }
            Resolve::Address => {
                let stream = client.stream as usize;
                plane.routers.route((now, to), stream, client.node, (choice, tried), plane.proxies)
            }
        }
    }
}
