//! The EndpointSlice controller: which pods stand behind a Service, and in which condition.
//!
//! Source: `pkg/controller/endpointslice/endpointslice_controller.go`, `k8s.io/endpointslice/reconciler.go`,
//! `k8s.io/endpointslice/util/controller_utils.go` (v1.36). All slices of a Service are taken as one object.

use crate::api::{Endpoint, Endpoints, Kind, Pod, Revision, ServiceId};
use crate::engine::Duration;
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::control_plane::work_queue::WorkQueue;
use crate::simulation::event::Controller;
use crate::simulation::latency::Hop;
use crate::simulation::write::{Caller, Write, WriteError};

/// `--concurrent-service-endpoint-syncs`.
const WORKERS: usize = 5;
/// Errors of a Service back off from 1 s (not from 5 ms as elsewhere) …
const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// … up to 1000 s …
const BACKOFF_MAX: Duration = Duration::from_secs(1000);
/// … and are dropped after so many in a row, until the next event.
const RETRIES_MAX: u32 = 15;

/// The controller: keys are Services. The batch period is 0, its default.
#[derive(Clone, Debug)]
pub struct EndpointSliceController {
    queue: WorkQueue,
    client: RateLimit,
    /// By Service: the revision of its own last write, which its cache must have reached before it writes again.
    last_written: Vec<Revision>,
    /// By Service: how often it has written.
    writes: Vec<u64>,
}

impl EndpointSliceController {
    /// A controller for so many Services.
    #[must_use]
    pub fn new(services: usize) -> Self {
        Self {
            queue: WorkQueue::new(WORKERS, BACKOFF_BASE, BACKOFF_MAX),
            client: RateLimit::controller(),
            last_written: vec![Revision(0); services],
            writes: vec![0; services],
        }
    }

    /// The informer has delivered a version of a pod.
    pub fn on_pod(&mut self, ctx: &mut Context<'_>, old: Option<Pod>, new: Option<Pod>) {
        let services_of = |pod: &Pod| ctx.store.label_set(pod.labels).services.clone();
        let needed = match (&old, &new) {
            (Some(old), Some(new)) => {
                let changed = endpoint_changed(old, new);
                let (before, after) = (services_of(old), services_of(new));
                if old.labels == new.labels {
                    if changed { after } else { Vec::new() }
                } else if changed {
                    union(&before, &after)
                } else {
                    union(&before, &after).into_iter().filter(|s| before.contains(s) != after.contains(s)).collect()
                }
            }
            (None, Some(pod)) | (Some(pod), None) => services_of(pod),
            (None, None) => Vec::new(),
        };
        for service in needed {
            self.queue.add(service.0, ctx.cause);
        }
        self.pump(ctx);
    }

    /// A worker brings the slices of a Service in line with the pods that the informers have delivered.
    pub fn sync(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.begin(ctx, key);
        let service = ServiceId(key);
        let seen = ctx.controller_view(Kind::Endpoints);
        let (base, old) = ctx
            .store
            .endpoints
            .stored_at(service.index(), seen)
            .map_or((Revision(0), Endpoints::default()), |s| (s.revision, s.value.clone().unwrap_or_default()));
        if base < self.last_written[service.index()] {
            // the cached slices are older than what this controller itself wrote last: nothing is written in this run
            return self.fail(ctx, key);
        }
        let (endpoints, node_missing) =
            compute(ctx, service, ctx.controller_view(Kind::Pod), ctx.controller_view(Kind::Node));
        if endpoints == old {
            if node_missing {
                return self.fail(ctx, key);
            }
            self.queue.forget(key);
            return self.finish(ctx, key);
        }
        self.writes[service.index()] += 1;
        let luck = ctx.luck_of(Kind::Endpoints, key);
        let caller = Caller::Controller(Controller::EndpointSlice, key);
        let wait = self.client.reserve(ctx.now());
        ctx.submit_after_wait(
            wait,
            Write::Endpoints { service, base, endpoints },
            caller,
            luck,
            self.writes[service.index()],
        );
    }

    /// The write of a Service's slices has been answered.
    pub fn written(&mut self, ctx: &mut Context<'_>, key: u32, result: Result<(), WriteError>) {
        if result.is_err() {
            return self.fail(ctx, key);
        }
        self.last_written[key as usize] = ctx.store.endpoints.head_revision(key as usize);
        let (_, node_missing) =
            compute(ctx, ServiceId(key), ctx.controller_view(Kind::Pod), ctx.controller_view(Kind::Node));
        if node_missing {
            return self.fail(ctx, key);
        }
        self.queue.forget(key);
        self.finish(ctx, key);
    }

    /// A delayed key is due.
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.due(key, ctx.now(), ctx.cause);
        self.pump(ctx);
    }

    fn fail(&mut self, ctx: &mut Context<'_>, key: u32) {
        if self.queue.failures(key) < RETRIES_MAX {
            let delay = self.queue.fail(key);
            self.queue.add_after(ctx, Controller::EndpointSlice, key, delay);
        } else {
            self.queue.forget(key);
        }
        self.finish(ctx, key);
    }

    fn finish(&mut self, ctx: &mut Context<'_>, key: u32) {
        self.queue.done(key);
        self.pump(ctx);
    }

    fn pump(&mut self, ctx: &mut Context<'_>) {
        let hop = Hop::EndpointSliceSync;
        self.queue.pump(ctx, Controller::EndpointSlice, hop, |ctx, key| ctx.luck_of(Kind::Endpoints, key));
    }
}

/// The endpoints of a Service by the pods and nodes as of these revisions; and whether a pod had to be left out because
/// its Node object does not exist, which makes the controller come back.
#[must_use]
pub fn compute(ctx: &Context<'_>, id: ServiceId, pods: Revision, nodes: Revision) -> (Endpoints, bool) {
    let service = &ctx.store.services[id.index()];
    let mut node_missing = false;
    let mut list = Vec::new();
    for pod in ctx.store.pods_of_service(id) {
        let Some(version) = ctx.store.pods.at(pod.index(), pods) else { continue };
        if !ctx.store.label_set(version.labels).services.contains(&id) {
            continue;
        }
        let Some(endpoint) = Endpoint::of(pod, version, service.publish_not_ready_addresses) else { continue };
        let node_exists = version.node.is_some_and(|n| ctx.store.nodes.at(n.index(), nodes).is_some());
        if node_exists || service.publish_not_ready_addresses {
            list.push(endpoint);
        } else {
            node_missing = true;
        }
    }
    (Endpoints { list }, node_missing)
}

/// Whether an update of a pod can change an endpoint (`podEndpointsChanged`). Two cached versions of a pod that is being
/// deleted count as different, because the original compares the deletionTimestamps by pointer.
fn endpoint_changed(old: &Pod, new: &Pod) -> bool {
    new.deletion.is_some() || old.deletion != new.deletion || old.ready != new.ready || old.has_ip != new.has_ip
}

fn union(a: &[ServiceId], b: &[ServiceId]) -> Vec<ServiceId> {
    let mut all: Vec<_> = a.iter().chain(b).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}
