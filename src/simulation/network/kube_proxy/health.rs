//! What a proxy answers to load balancers: `/healthz`, and the health-check node port of a Service.

use crate::api::{NodeId, ServiceId};
use crate::engine::{Duration, Key, Time};
use crate::simulation::network::kube_proxy::KubeProxies;

/// The answer to a health check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthAnswer {
    /// 200.
    Ok,
    /// 503.
    Unavailable,
    /// None: the node has no power, or is not there.
    Silent,
}

/// What a proxy knows that its answers depend on.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// When the rules were brought up to date last.
    updated: Time,
    /// Since when an update is pending.
    pending: Option<Time>,
    /// From when to when an update was pending for too long.
    late: Vec<(Time, Time)>,
    /// Whether the node was to go, by the time of each commit of that.
    leaving: Vec<(Time, bool)>,
}

impl Health {
    pub fn new(now: Time) -> Self {
        Self { updated: now, pending: None, late: Vec::new(), leaving: Vec::new() }
    }

    /// The process has been started again.
    pub fn restart(&mut self, now: Time) {
        self.updated = now;
        self.pending = None;
    }

    /// An update was asked for. One that comes during a run that succeeds is forgotten with those that the run has done.
    ///
    /// Source: `pkg/proxy/healthcheck/proxy_health.go` QueuedUpdate, Updated (v1.36).
    pub fn queued(&mut self, at: Time) {
        if at > self.updated {
            self.pending.get_or_insert(at);
        }
    }

    /// A run has succeeded.
    pub fn updated(&mut self, at: Time, timeout: Duration) {
        if let Some(since) = self.pending.take().map(|since| since + timeout).filter(|late| *late < at) {
            self.late.push((since, at));
        }
        self.updated = at;
    }
}

impl KubeProxies<'_> {
    /// The Node object of a node was written: it is to go (it has the taint ToBeDeletedByClusterAutoscaler, or a
    /// deletionTimestamp), or not any more.
    pub fn node_leaving(&mut self, now: Time, node: NodeId, leaving: bool) {
        let Some(proxy) = self.proxies.get_mut(node.index()).and_then(Option::as_mut) else { return };
        if proxy.health.leaving.last().is_some_and(|(_, was)| *was) != leaving {
            proxy.health.leaving.push((now, leaving));
        }
    }

    /// What `:10256/healthz` of a node answers at `now`: 503 if an update has been pending for twice syncPeriod, or if the
    /// proxy knows that the node is about to go. Load balancers ask it for Services with `externalTrafficPolicy: Cluster`.
    ///
    /// Source: `pkg/proxy/healthcheck/proxy_health.go` Health, NodeEligible (v1.36; KEP-3836).
    pub fn healthz(&mut self, now: Time, node: NodeId) -> HealthAnswer {
        self.fold(node, now);
        match self.is_healthy(now, node) {
            None => HealthAnswer::Silent,
            Some(healthy) if healthy && !self.knows_that_it_leaves(now, node) => HealthAnswer::Ok,
            Some(_) => HealthAnswer::Unavailable,
        }
    }

    /// What the health-check node port of a Service answers on a node: 200 if the node has a ready endpoint, by the rules of
    /// that time, and the proxy is healthy. Endpoints that terminate do not count, though traffic may still go to them.
    ///
    /// Source: `pkg/proxy/healthcheck/service_health.go` ServeHTTP, `pkg/proxy/endpointslicecache.go` LocalReadyEndpoints
    /// (v1.36).
    pub fn health_check_node_port(&mut self, now: Time, service: ServiceId, node: NodeId) -> HealthAnswer {
        self.fold(node, now);
        let Some(healthy) = self.is_healthy(now, node) else { return HealthAnswer::Silent };
        let entries = self.syncs(node).iter().rev().find(|s| s.applied <= now).map_or(0, |s| s.entries);
        let rules = self.rules(service);
        let ready = rules.local_ready(rules.version_within(entries), node);
        if healthy && ready > 0 { HealthAnswer::Ok } else { HealthAnswer::Unavailable }
    }

    /// `None`: nobody is there to say so.
    fn is_healthy(&mut self, now: Time, node: NodeId) -> Option<bool> {
        let proxy = self.proxies.get_mut(node.index())?.as_mut()?;
        if proxy.off.is_some_and(|off| off <= now) {
            return None;
        }
        let health = &proxy.health;
        let was_late = health.late.iter().any(|(from, to)| *from <= now && now < *to);
        let mut pending = health.pending;
        if pending.is_none() && health.updated <= now {
            let updated = health.updated;
            pending = proxy.delivery(proxy.next, &self.log, &self.delays).filter(|at| *at > updated && *at <= now);
        }
        Some(!was_late && pending.is_none_or(|since| now < since + self.health_timeout))
    }

    fn knows_that_it_leaves(&self, now: Time, node: NodeId) -> bool {
        let Some(proxy) = self.proxies.get(node.index()).and_then(Option::as_ref) else { return false };
        if !self.drains_terminating_nodes {
            return false;
        }
        let (mut last, mut leaves) = (Time::ZERO, false);
        for (ordinal, (committed, leaving)) in (0u64..).zip(&proxy.health.leaving) {
            let seen = proxy.arrival(last.max(*committed + self.delays.node_watch(proxy.luck, ordinal)));
            let Some(seen) = seen.filter(|seen| *seen <= now) else { break };
            (last, leaves) = (seen, *leaving);
        }
        leaves
    }
}

impl super::Delays<'_> {
    /// From the commit of a Node object to its delivery to the node's own proxy.
    fn node_watch(&self, router: u64, ordinal: u64) -> Duration {
        let key = Key::new("watch").text("kube-proxy").text("node").number(router);
        self.watch.1.sample(self.random.unit(key, ordinal))
    }
}
