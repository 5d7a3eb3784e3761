//! How late the last route to a pod can change, and how early its listener can close: a bound by arithmetic, not by sampling.
//!
//! Each hop is bounded: by the longest span that its distribution can give, or, where there is none, by a quantile. From
//! the deletion on, the longest sum of the hops that publish it stands against the shortest sum of those that stop the
//! process. Their difference is the largest *slack deficit*: no run whose hops keep their bounds shows a worse slack. What
//! the sums rest on is told in [`propagation`] and [`shutdown`]; what they do not hold for is refused, or listed as a
//! premise.

pub mod order;
pub mod propagation;
pub mod race;
pub mod replay;
pub mod shutdown;
pub mod victims;

use crate::api::{ServiceId, TemplateId};
use crate::engine::{Distribution, Duration};
use crate::simulation::Setup;
use crate::simulation::latency::Hop;
use crate::simulation::setup::{ActionKind, Resolve};
use victims::Victims;

/// The bounds of single hops.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// The scenario.
    pub setup: &'a Setup,
    /// What stands for the longest span of a distribution without one, above 0 and below 1.
    pub quantile: f64,
}

impl Limits<'_> {
    /// The longest span of a hop.
    #[must_use]
    pub fn longest(&self, hop: Hop) -> Duration {
        let distribution = self.setup.latencies.get(hop);
        distribution.support_max().unwrap_or_else(|| distribution.quantile(self.quantile))
    }

    /// The shortest span of a hop; exact, for every distribution has one.
    #[must_use]
    pub fn shortest(&self, hop: Hop) -> Duration {
        self.setup.latencies.get(hop).support_min()
    }

    /// Whether the longest span is a quantile.
    #[must_use]
    pub fn is_cut(&self, hop: Hop) -> bool {
        self.setup.latencies.get(hop).support_max().is_none()
    }
}

/// One summand of a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Term {
    /// The hop or the setting that it comes from.
    pub from: &'static str,
    /// What passes meanwhile.
    pub what: String,
    /// How long.
    pub span: Duration,
}

/// Spans, one after the other, from a pod's deletion on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chain {
    /// In order.
    pub terms: Vec<Term>,
}

impl Chain {
    fn then(&mut self, from: &'static str, what: impl Into<String>, span: Duration) {
        self.terms.push(Term { from, what: what.into(), span });
    }

    /// All spans together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.terms.iter().fold(Duration::ZERO, |sum, term| sum + term.span)
    }
}

/// The worst case of the pods of one template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Worst {
    /// The template, an index into the setup's.
    pub template: TemplateId,
    /// Whose pods they are: `Deployment/web`.
    pub workload: String,
    /// The longest way of the deletion into the last router.
    pub propagation: Chain,
    /// The shortest way of the deletion to a closed listener.
    pub shutdown: Chain,
}

impl Worst {
    /// By how many nanoseconds the last route can outlive the listener; negative: it never does, and this is the least slack.
    #[must_use]
    pub fn deficit(&self) -> i64 {
        let nanos = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
        nanos(self.propagation.total()).saturating_sub(nanos(self.shutdown.total()))
    }
}

/// The answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Bound {
    /// By template, the worst first; never empty.
    pub worst: Vec<Worst>,
    /// What is taken for granted and was not proved of this scenario.
    pub premises: Vec<String>,
    /// The Services that have to have a ready endpoint at any time, for that.
    pub needs_ready: Vec<ServiceId>,
    /// Those of them that cannot, because their only pod goes: their names. For their pods nothing is shown.
    pub outages: Vec<String>,
    /// Hops of the longest chain that have no longest span, so that a quantile stands for it.
    pub cut: Vec<Hop>,
    /// At most one pod is taken away, so that nothing else can be in the way of its deletion.
    pub alone: bool,
    /// By budget of which two pods or more may be evicted: its name, and what two evictions at once come to.
    pub races: Vec<(String, race::Race)>,
}

/// The bound of a scenario.
///
/// # Errors
///
/// Why the arithmetic does not hold for it, one sentence each.
pub fn bound(setup: &Setup, quantile: f64) -> Result<Bound, Vec<String>> {
    let refusals = refusals(setup);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let limits = Limits { setup, quantile };
    let victims = Victims::of(setup);
    let mut worst = Vec::new();
    for (template, workload) in &victims.workloads {
        let services = victims::services_of(setup, *template);
        let ways: Result<Vec<Chain>, String> =
            services.iter().map(|service| propagation::longest(&limits, &victims, *service)).collect();
        let ways = ways.map_err(|reason| vec![reason])?;
        let Some(propagation) = ways.into_iter().max_by_key(Chain::total) else { continue };
        let shutdown = shutdown::shortest(&limits, *template, victims.shortest_grace(setup, *template));
        worst.push(Worst { template: *template, workload: workload.clone(), propagation, shutdown });
    }
    if worst.is_empty() {
        return Err(vec!["no action of the scenario takes a pod of a Service away".to_string()]);
    }
    worst.sort_by_key(|w| std::cmp::Reverse(w.deficit()));
    let in_chain = |hop: &&Hop| worst[0].propagation.terms.iter().any(|t| t.from == hop.name()) && limits.is_cut(**hop);
    let cut = Hop::ALL.iter().filter(in_chain).copied().collect();
    let needs_ready = victims.needs_ready(setup);
    let name = |service: &ServiceId| setup.services[service.index()].full_name();
    Ok(Bound {
        premises: victims::premises(setup, &needs_ready),
        outages: victims.outages(setup).iter().map(name).collect(),
        needs_ready,
        cut,
        alone: victims.is_alone(),
        races: victims.races(setup),
        worst,
    })
}

/// What the arithmetic does not hold for.
fn refusals(setup: &Setup) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut refuse = |reason: &str| {
        if !reasons.iter().any(|r| r == reason) {
            reasons.push(reason.to_string());
        }
    };
    for action in &setup.actions {
        match &action.what {
            ActionKind::Drain(_)
            | ActionKind::Cordon(_)
            | ActionKind::Uncordon(_)
            | ActionKind::DeletePod { .. }
            | ActionKind::PatchAutoscaler { .. }
            | ActionKind::Scale { .. }
            | ActionKind::RolloutRestart(_)
            | ActionKind::AddNode { .. }
            | ActionKind::Taint { .. }
            | ActionKind::ScaleReplicaSet { .. }
            | ActionKind::ScaleStatefulSet { .. }
            | ActionKind::Apply(_)
            | ActionKind::DeletePdb { .. } => {}
            ActionKind::LabelPod { .. } => refuse("a pod whose labels change leaves its Services without a deletion"),
            ActionKind::ShutOff(_)
            | ActionKind::PowerOn(_)
            | ActionKind::Restart(_)
            | ActionKind::StopKubelet(_)
            | ActionKind::StartKubelet(_)
            | ActionKind::Partition(_)
            | ActionKind::Shutdown(_) => {
                refuse("a node fails or is cut off: how long nobody hears of a deletion has no bound");
            }
            ActionKind::DeleteNode(_)
            | ActionKind::Upgrade(_)
            | ActionKind::ClusterAutoscaler(_)
            | ActionKind::Karpenter(_) => {
                refuse("Node objects are deleted: the EndpointSlice controller backs off for up to 1000 s then");
            }
        }
    }
    if setup.traffic.iter().any(|t| t.resolve != Resolve::Address) {
        refuse("clients of a headless Service ask pods for as long as they keep an answer of DNS: that is not in it");
    }
    let life = setup.apps.iter().map(|app| &app.life);
    if life.into_iter().any(|l| l.crashes_at.is_some() || l.hangs_at.is_some() || l.exits_after.is_some()) {
        refuse("a process ends or hangs by itself: its listener closes before any deletion");
    }
    for service in setup.services.iter().filter(|s| !s.headless) {
        let name = service.full_name();
        if service.publish_not_ready_addresses {
            refuse(&format!("{name} has publishNotReadyAddresses, which keeps terminating pods until they have ended"));
        }
        if service.internal_traffic_local {
            refuse(&format!("{name} has internalTrafficPolicy Local: there may be no other endpoint on the node"));
        }
    }
    let failed = &setup.kube_proxy.failed_syncs;
    if failed.probability > 0.0 || !failed.during.is_empty() {
        refuse("syncs of kube-proxy fail: how many in a row has no bound");
    }
    reasons
}

/// The distribution's shortest span for certain.
fn least(distribution: &Distribution) -> Duration {
    distribution.support_min()
}

#[cfg(test)]
mod tests;
