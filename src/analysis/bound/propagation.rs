//! The longest way of a deletion into the last router.
//!
//! What may stand in its way, besides the hops themselves, in the order in which it comes:
//!
//! - *A write of the same Service is under way.* Its sync read before the deletion was delivered, and one Service is never
//!   synced twice at once (`control_plane/work_queue.rs`).
//! - *The cache is stale.* The sync after that write begins before the informer shows it. It writes nothing and comes back
//!   after 1 s (`control_plane/endpoint_slice.rs`). It fails within one `watch` of the write, so the next try, being a second
//!   later, finds a fresh cache if `watch` takes at most 1 s; a longer one is refused, because failures double the wait.
//! - *All workers are busy*, if there are more Services than workers; and *the client's rate limit*: with at most five
//!   workers, of which each waits for its own write, no request waits for more than five tokens.
//! - *kube-proxy has just begun a sync*, without the change: that one ends, rests for minSyncPeriod, and the next one has it
//!   (`network/kube_proxy/runner.rs`). The runner before 1.34 is never later than that. Cilium's agent gathers changes for
//!   its batch period first. An ingress controller waits for its sync
//!   interval from the *start* of the last sync, and its worker's next look.
//!
//! A watch delivers in order, and that adds nothing: what comes before was committed before, and takes no longer.
//! If the deletion makes the first change of endpoints in the run, none of the above can be.

use crate::analysis::bound::victims::Victims;
use crate::analysis::bound::{Chain, Limits};
use crate::api::ServiceId;
use crate::engine::Duration;
use crate::simulation::latency::Hop;
use crate::simulation::setup::{ProxyMode, Via};

/// The first back-off of the EndpointSlice controller, and what a `watch` may take at most where it matters.
const BACKOFF: Duration = Duration::from_secs(1);
/// `--concurrent-service-endpoint-syncs`.
const WORKERS: u64 = 5;
/// One token of the client's limit: 20 a second.
const TOKEN: Duration = Duration::from_millis(50);

/// The longest way to the last router of a Service.
///
/// # Errors
///
/// Why there is no bound.
pub fn longest(limits: &Limits<'_>, victims: &Victims, service: ServiceId) -> Result<Chain, String> {
    let mut chain = Chain::default();
    let alone = victims.is_alone();
    to_the_slice(limits, alone, &mut chain)?;
    if let Some(other) =
        limits.setup.traffic.iter().find(|t| t.onward.is_some() && t.legs().any(|l| l.service == service))
    {
        return Err(format!("there is no bound for the path {}: use tune", other.path()));
    }
    let streams = || limits.setup.traffic.iter().filter(|t| t.service == service);
    if let Some(other) = streams().find(|t| t.balancer.is_some() || matches!(t.via, Via::Envoy(_))) {
        return Err(format!("there is no bound for the path {}: use tune", other.path()));
    }
    let by_ingress = streams().any(|t| t.via != Via::KubeProxy);
    let by_proxy = !by_ingress || streams().any(|t| t.via == Via::KubeProxy);
    let proxy = by_proxy.then(|| into_rules(limits, alone, chain.clone()));
    let ingress = streams().filter_map(|t| match t.via {
        Via::IngressNginx(config) => Some((config.sync_interval, config.poll_interval)),
        _ => None,
    });
    let ingress = ingress.map(|(sync, poll)| into_nginx(limits, alone, sync, poll, chain.clone()));
    Ok(ingress.chain(proxy).max_by_key(Chain::total).expect("a Service has a router"))
}

/// From the deletion to the commit of slices that say so.
fn to_the_slice(limits: &Limits<'_>, alone: bool, chain: &mut Chain) -> Result<(), String> {
    let [watch, sync] = [Hop::Watch, Hop::EndpointSliceSync].map(|hop| limits.longest(hop));
    let [request, write] = [Hop::ApiRequest, Hop::ApiWrite].map(|hop| limits.longest(hop));
    chain.then(Hop::Watch.name(), "to the EndpointSlice controller", watch);
    let services = limits.setup.services.len() as u64;
    let tokens = TOKEN.mul(services.min(WORKERS));
    let (queue, limit) = if alone {
        (Duration::ZERO, Duration::ZERO)
    } else {
        let each = sync + tokens + request + write;
        let others = services.saturating_sub(1);
        (
            if others < WORKERS { Duration::ZERO } else { Duration::from_nanos(each.mul(others).as_nanos() / WORKERS) },
            tokens,
        )
    };
    if !alone {
        chain.then("rate limit", "of the write that is under way", limit);
        chain.then(Hop::ApiRequest.name(), "of the write that is under way", request);
        chain.then(Hop::ApiWrite.name(), "of the write that is under way", write);
        if limits.shortest(Hop::EndpointSliceSync) <= watch {
            if watch > BACKOFF {
                return Err(format!(
                    "`watch` may take {watch}, longer than the first back-off of the EndpointSlice controller (1 s): a sync that \
                     finds its cache stale may then fail again and again, each time for twice as long"
                ));
            }
            chain.then("stale cache", "a sync before the informer shows that write", watch.min(queue + sync));
            chain.then("back-off", "of the EndpointSlice controller", BACKOFF);
        }
        if !queue.is_zero() {
            chain.then("workers", "all are busy with other Services", queue);
        }
    }
    chain.then(Hop::EndpointSliceSync.name(), "the sync that sees the deletion", sync);
    if !limit.is_zero() {
        chain.then("rate limit", "of the EndpointSlice controller", limit);
    }
    chain.then(Hop::ApiRequest.name(), "of the slices' write", request);
    chain.then(Hop::ApiWrite.name(), "of the slices' write", write);
    Ok(())
}

fn into_rules(limits: &Limits<'_>, alone: bool, mut chain: Chain) -> Chain {
    let settings = &limits.setup.kube_proxy;
    let hop = if settings.mode == ProxyMode::Ebpf { Hop::EbpfSync } else { Hop::KubeProxySync };
    let sync = longest_sync(limits, hop);
    // other Services or a timer may have made the proxy run, whoever is deleted
    let idle = alone && settings.other_changes == 0.0 && settings.max_interval().is_none();
    chain.then(Hop::Watch.name(), "to the last kube-proxy", limits.longest(Hop::Watch));
    if !settings.batch_period.is_zero() {
        chain.then("batchPeriod", "for which the agent gathers changes", settings.batch_period);
    }
    if !idle {
        chain.then(hop.name(), "of a sync that has just begun without it", sync);
        if settings.mode != ProxyMode::Ebpf {
            chain.then("minSyncPeriod", "after that", settings.min_sync_period);
        }
    }
    chain.then(hop.name(), "the sync with it", sync);
    chain
}

/// The hop, and what the size of the cluster adds to it.
fn longest_sync(limits: &Limits<'_>, hop: Hop) -> Duration {
    let (longest, median) = (limits.longest(hop), limits.setup.latencies.get(hop).quantile(0.5));
    let luck = if median.is_zero() { 1.0 } else { longest.as_secs_f64() / median.as_secs_f64() };
    longest + Duration::from_secs_f64(limits.setup.kube_proxy.added(false).as_secs_f64() * luck)
}

fn into_nginx(limits: &Limits<'_>, alone: bool, interval: Duration, poll: Duration, mut chain: Chain) -> Chain {
    chain.then(Hop::Watch.name(), "to the last ingress controller", limits.longest(Hop::Watch));
    if !alone {
        chain.then("syncInterval", "since a sync that has just begun without it", interval);
    }
    chain.then(Hop::IngressSync.name(), "the sync with it", limits.longest(Hop::IngressSync));
    chain.then("pollInterval", "until nginx looks", poll);
    chain
}
