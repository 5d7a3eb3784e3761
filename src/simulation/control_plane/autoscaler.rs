//! The HorizontalPodAutoscaler: how many replicas, by a metric and within bounds.
//!
//! The metric is the one that the model knows: the rate of the requests that clients send to the Services of the target's
//! pods, shared evenly among ready pods. Where the autoscaler names no number of requests a pod, each pod has its target at the
//! start.
//!
//! What matters here is its minimum: it takes back what somebody scales by hand, within 15 s, so that a budget which needs one
//! replica more than the minimum never lets a drain through.
//!
//! Source: `pkg/controller/podautoscaler/horizontal.go` (reconcileAutoscaler, stabilizeRecommendationWithBehaviors,
//! convertDesiredReplicasWithBehaviorRate), `replica_calculator.go` (calcPlainMetricReplicas) and
//! `config/v1alpha1/defaults.go` (v1.36).

use std::collections::BTreeMap;

use crate::api::autoscaler::ScaleTarget;
use crate::api::{AutoscalerId, HorizontalPodAutoscaler, Kind, Owner, Pod, PodId, TemplateId};
use crate::engine::{Duration, Key, Random, Time};
use crate::simulation::context::Context;
use crate::simulation::event::{Controller, Event};
use crate::simulation::observe::What;
use crate::simulation::setup::Traffic;
use crate::simulation::write::{Caller, WorkloadWrite, Write, WriteError};

/// `--horizontal-pod-autoscaler-sync-period`.
const SYNC_PERIOD: Duration = Duration::from_secs(15);
/// `--horizontal-pod-autoscaler-tolerance`: a ratio of metric and target this near to 1 changes nothing.
const TOLERANCE: f64 = 0.1;
/// In 15 s it grows to twice as many, or by 4 pods if that is more (the default `behavior.scaleUp.policies`).
const GROWTH_FACTOR: u32 = 2;
const GROWTH_PODS: u32 = 4;

/// The controller.
#[derive(Clone, Debug, Default)]
pub struct AutoscalerController {
    hpas: BTreeMap<AutoscalerId, Tracked>,
    writes: u64,
}

/// What the controller remembers of one autoscaler.
#[derive(Clone, Debug)]
struct Tracked {
    /// What it has wanted, within the stabilization window.
    recommendations: Vec<(Time, u32)>,
    /// What one pod is meant to get of the metric.
    per_pod: f64,
    /// Requests a second at the start of the run, of all pods; 0: there are none, and the metric never changes.
    load_at_start: f64,
    replicas_at_start: u32,
}

impl AutoscalerController {
    /// The start state: each autoscaler is content, and looks again at a time of its own within each 15 s.
    pub fn start(&mut self, ctx: &mut Context<'_>) {
        for (id, setup) in (0..).map(AutoscalerId).zip(&ctx.setup.autoscalers) {
            let Some(replicas) = scale_of(ctx, setup.target) else { continue };
            let load_at_start = load(ctx, template_of(ctx, setup.target), Time::ZERO);
            let even_share = if load_at_start > 0.0 { load_at_start / f64::from(replicas.max(1)) } else { 1.0 };
            let per_pod = setup.per_pod.filter(|_| load_at_start > 0.0).unwrap_or(even_share);
            let recommendations = vec![(Time::ZERO, replicas)];
            self.hpas.insert(id, Tracked { recommendations, per_pod, load_at_start, replicas_at_start: replicas });
            let phase = phase(ctx.random, ctx.luck_of(Kind::Autoscaler, id.0));
            ctx.schedule(phase, Event::Requeue(Controller::Autoscaler, id.0));
        }
    }

    /// Its time has come: looks, and scales if need be (reconcileAutoscaler).
    pub fn requeue(&mut self, ctx: &mut Context<'_>, key: u32) {
        ctx.schedule(SYNC_PERIOD, Event::Requeue(Controller::Autoscaler, key));
        let id = AutoscalerId(key);
        let now = ctx.now();
        let seen = ctx.controller_view(Kind::Autoscaler);
        let Some(hpa) = ctx.store.autoscalers.at(id.index(), seen).cloned() else { return };
        let (Some(current), Some(tracked)) = (scale_of(ctx, hpa.target), self.hpas.get_mut(&id)) else { return };
        let setup = &ctx.setup.autoscalers[id.index()];
        // scaled to 0 by hand: the autoscaler is off
        if current == 0 && hpa.min_replicas != 0 {
            return;
        }
        let desired = if current > hpa.max_replicas {
            hpa.max_replicas
        } else if current < hpa.min_replicas {
            hpa.min_replicas
        } else {
            let (ready, unready) = pods_of(ctx, hpa.target);
            // without clients the metric stays as it was at the start
            let load = if tracked.load_at_start > 0.0 {
                load(ctx, template_of(ctx, hpa.target), now)
            } else {
                tracked.per_pod * f64::from(tracked.replicas_at_start)
            };
            let by_metric = replicas_by_metric(load, tracked.per_pod, current, ready, unready);
            let stable = tracked.stabilize(now, by_metric, current, setup.stabilization);
            bounded(stable, current, &hpa)
        };
        if desired == current {
            return;
        }
        ctx.note(What::Autoscaled { autoscaler: id, replicas: desired });
        self.scale(ctx, id, hpa.target, desired);
    }

    /// The fewest and the most replicas that it may ever want of its target, if nobody changes the autoscaler itself.
    #[must_use]
    pub fn range(&self, ctx: &Context<'_>, id: AutoscalerId) -> Option<(ScaleTarget, u32, u32)> {
        let hpa = ctx.store.autoscalers.head(id.index())?;
        let current = scale_of(ctx, hpa.target)?;
        let tracked = self.hpas.get(&id)?;
        // whatever is ready, the metric asks for what it is now, or for load divided by the share of a pod
        let template = template_of(ctx, hpa.target).map(|id| &ctx.store.templates[id.index()]);
        let leads_here = |leg: &Traffic| {
            let service = &ctx.store.services[leg.service.index()];
            let selects = |t: &&crate::api::PodTemplate| {
                service.namespace == t.namespace && service.selector.as_ref().is_some_and(|s| s.matches(&t.labels))
            };
            template.filter(selects).is_some()
        };
        let may_flow = |traffic: &&Traffic| traffic.legs().any(leads_here);
        let flows = || ctx.setup.traffic.iter().filter(may_flow);
        let changes = flows().any(|t| t.start > ctx.now() || t.stop.is_some());
        let most_load: f64 = flows().map(|t| t.rate).sum();
        let need = |load: f64| ceil(load / tracked.per_pod);
        let (least, most) = if tracked.load_at_start > 0.0 {
            (if changes { 0 } else { need(most_load) }, need(most_load))
        } else {
            (tracked.replicas_at_start, tracked.replicas_at_start)
        };
        let recommended = tracked.recommendations.iter().map(|(_, n)| *n).max().unwrap_or(current);
        let within = |n: u32| n.min(hpa.max_replicas).max(hpa.min_replicas);
        Some((hpa.target, current.min(within(least)), current.max(within(most.max(recommended)))))
    }

    /// The answer to a scaling. A failed one is tried again at the next sync.
    pub fn written(&mut self, _ctx: &mut Context<'_>, _key: u32, _result: Result<(), WriteError>) {}

    fn scale(&mut self, ctx: &mut Context<'_>, id: AutoscalerId, target: ScaleTarget, replicas: u32) {
        let write = match target {
            ScaleTarget::Deployment(d) => Write::ScaleDeployment { deployment: d.0, replicas },
            ScaleTarget::StatefulSet(s) => {
                Write::Workload(WorkloadWrite::ScaleStatefulSet { stateful_set: s, replicas })
            }
            ScaleTarget::ReplicaSet(rs) => {
                let base = ctx.store.replica_sets.head_revision(rs.index());
                Write::ScaleReplicaSet { replica_set: rs, base, replicas }
            }
        };
        self.writes += 1;
        let luck = ctx.luck_of(Kind::Autoscaler, id.0);
        ctx.submit(write, Caller::Controller(Controller::Autoscaler, id.0), luck, self.writes);
    }
}

impl Tracked {
    /// stabilizeRecommendationWithBehaviors: it shrinks only to the most that it has wanted within the window, and grows at
    /// once.
    fn stabilize(&mut self, now: Time, wanted: u32, current: u32, window: Duration) -> u32 {
        self.recommendations.retain(|(at, _)| now.since(*at) <= window);
        self.recommendations.push((now, wanted));
        let most = self.recommendations.iter().map(|(_, n)| *n).max().unwrap_or(wanted);
        current.max(wanted).min(most)
    }
}

/// From the start of the run to the first look.
fn phase(random: Random, luck: u64) -> Duration {
    Duration::from_secs_f64(SYNC_PERIOD.as_secs_f64() * random.unit(Key::new("hpa").number(luck), 0))
}

/// When the controller looks at an autoscaler in the run of this randomness: for whoever tells of the run afterwards.
pub fn syncs(random: Random, hpa: &HorizontalPodAutoscaler) -> impl Iterator<Item = Time> + use<> {
    let luck = Key::new("hpa").text(&hpa.namespace).text(&hpa.name).bits();
    std::iter::successors(Some(Time::ZERO + phase(random, luck)), |sync| Some(*sync + SYNC_PERIOD))
}

/// calcPlainMetricReplicas, for pods that share `load` evenly: pods that are not ready count as idle when it would grow.
fn replicas_by_metric(load: f64, per_pod: f64, current: u32, ready: u32, unready: u32) -> u32 {
    if ready == 0 {
        return current; // no metrics: nothing is changed
    }
    let ratio = load / (f64::from(ready) * per_pod);
    let within = |ratio: f64| (1.0 - ratio).abs() <= TOLERANCE;
    if unready == 0 || ratio <= 1.0 {
        return if within(ratio) { current } else { ceil(ratio * f64::from(ready)) };
    }
    let with_idle = load / (f64::from(ready + unready) * per_pod);
    if within(with_idle) || with_idle < 1.0 {
        return current;
    }
    ceil(with_idle * f64::from(ready + unready)).max(current)
}

/// Rounded up; a hair above a whole number, which floating point makes of one, does not count.
fn ceil(replicas: f64) -> u32 {
    (replicas - 1e-9).ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// The bounds, and how fast it may grow (calculateScaleUpLimitWithScalingRules with the default policies).
fn bounded(wanted: u32, current: u32, hpa: &HorizontalPodAutoscaler) -> u32 {
    let fastest = current.saturating_mul(GROWTH_FACTOR).max(current.saturating_add(GROWTH_PODS));
    wanted.min(fastest).min(hpa.max_replicas).max(hpa.min_replicas)
}

/// `spec.replicas` of the target, by a live GET of its scale.
fn scale_of(ctx: &Context<'_>, target: ScaleTarget) -> Option<u32> {
    match target {
        ScaleTarget::Deployment(id) => ctx.store.deployments.head(id.index()).map(|d| d.replicas),
        ScaleTarget::StatefulSet(id) => ctx.store.stateful_sets.head(id.index()).map(|s| s.replicas),
        ScaleTarget::ReplicaSet(id) => ctx.store.replica_sets.head(id.index()).map(|rs| rs.replicas),
    }
}

fn template_of(ctx: &Context<'_>, target: ScaleTarget) -> Option<TemplateId> {
    match target {
        ScaleTarget::Deployment(id) => ctx.store.deployments.head(id.index()).map(|d| d.template),
        ScaleTarget::StatefulSet(id) => ctx.store.stateful_sets.head(id.index()).map(|s| s.template),
        ScaleTarget::ReplicaSet(id) => ctx.store.replica_sets.head(id.index()).map(|rs| rs.template),
    }
}

/// Ready pods of the target, and those that are not; without those that are being deleted or have ended (groupPods).
fn pods_of(ctx: &Context<'_>, target: ScaleTarget) -> (u32, u32) {
    let seen = ctx.controller_view(Kind::Pod);
    let is_its = |id: PodId, pod: &Pod| match (ctx.store.owner_of(id, pod), target) {
        (Owner::ReplicaSet(rs), ScaleTarget::Deployment(deployment)) => {
            ctx.store.replica_sets.head(rs.index()).is_some_and(|rs| rs.deployment == Some(deployment))
        }
        (Owner::ReplicaSet(rs), ScaleTarget::ReplicaSet(own)) => rs == own,
        (Owner::StatefulSet(set), ScaleTarget::StatefulSet(own)) => set == own,
        _ => false,
    };
    let (mut ready, mut unready) = (0, 0);
    for id in (0..ctx.store.pod_meta.len()).map(PodId::from) {
        let Some(pod) = ctx.store.pods.at(id.index(), seen).filter(|pod| pod.is_active()) else { continue };
        if is_its(id, pod) {
            *if pod.ready { &mut ready } else { &mut unready } += 1;
        }
    }
    (ready, unready)
}

/// Requests a second that clients send now to Services which select the pods of this template.
fn load(ctx: &Context<'_>, template: Option<TemplateId>, now: Time) -> f64 {
    let Some(template) = template.map(|id| &ctx.store.templates[id.index()]) else { return 0.0 };
    let leads_here = |leg: &Traffic| {
        let service = &ctx.store.services[leg.service.index()];
        service.namespace == template.namespace
            && service.selector.as_ref().is_some_and(|selector| selector.matches(&template.labels))
    };
    let flows = |traffic: &&Traffic| {
        traffic.start <= now && traffic.stop.is_none_or(|stop| now < stop) && traffic.legs().any(leads_here)
    };
    ctx.setup.traffic.iter().filter(flows).map(|traffic| traffic.rate).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DeploymentId;

    /// `pkg/controller/podautoscaler/replica_calculator.go` calcPlainMetricReplicas (v1.36).
    #[test]
    fn replicas_follow_the_metric() {
        // load, target of a pod, spec.replicas, ready, unready; replicas
        for (load, per_pod, current, ready, unready, expected) in [
            (300.0, 100.0, 3, 3, 0, 3),
            (325.0, 100.0, 3, 3, 0, 3),
            (335.0, 100.0, 3, 3, 0, 4),
            (600.0, 100.0, 3, 3, 0, 6),
            (275.0, 100.0, 3, 3, 0, 3),
            (265.0, 100.0, 3, 3, 0, 3),
            (150.0, 100.0, 3, 3, 0, 2),
            (0.0, 100.0, 3, 3, 0, 0),
            // nobody ready, no metrics
            (300.0, 100.0, 3, 0, 3, 3),
            // one that starts counts as idle where the others have too much, and not at all where they have too little
            (200.0, 100.0, 2, 1, 1, 2),
            (400.0, 100.0, 2, 1, 1, 4),
            (100.0, 100.0, 2, 1, 1, 2),
            (50.0, 100.0, 2, 1, 1, 1),
        ] {
            let replicas = replicas_by_metric(load, per_pod, current, ready, unready);
            assert_eq!(replicas, expected, "{load} {per_pod} {current} {ready} {unready}");
        }
    }

    /// `horizontal.go` convertDesiredReplicasWithBehaviorRate with the default behavior (v1.36).
    #[test]
    fn bounds_and_the_fastest_growth() {
        let hpa = HorizontalPodAutoscaler {
            namespace: String::new(),
            name: String::new(),
            target: ScaleTarget::Deployment(DeploymentId(0)),
            min_replicas: 2,
            max_replicas: 30,
        };
        for (wanted, current, expected) in [(0, 5, 2), (1, 2, 2), (9, 2, 6), (9, 5, 9), (40, 12, 24), (40, 20, 30)] {
            assert_eq!(bounded(wanted, current, &hpa), expected, "{wanted} of {current}");
        }
    }

    /// `horizontal.go` stabilizeRecommendationWithBehaviors (v1.36).
    #[test]
    fn it_grows_at_once_and_shrinks_after_the_window() {
        let mut tracked = Tracked { recommendations: vec![], per_pod: 1.0, load_at_start: 1.0, replicas_at_start: 4 };
        let window = Duration::from_secs(300);
        let mut current = 4;
        let mut sizes = Vec::new();
        for (second, wanted) in [(0, 4), (15, 8), (30, 2), (300, 2), (315, 2), (330, 2), (345, 2)] {
            current = tracked.stabilize(Time::from_secs(second), wanted, current, window);
            sizes.push(current);
        }
        assert_eq!(sizes, [4, 8, 8, 8, 8, 2, 2]);
    }

    #[test]
    fn what_is_scaled_by_hand_is_taken_back_if_nothing_else_was_wanted_of_late() {
        let mut tracked = Tracked { recommendations: vec![], per_pod: 1.0, load_at_start: 1.0, replicas_at_start: 1 };
        let window = Duration::from_secs(300);
        assert_eq!(tracked.stabilize(Time::from_secs(0), 1, 1, window), 1);
        assert_eq!(tracked.stabilize(Time::from_secs(15), 1, 2, window), 1, "2 was never its own wish");
    }
}
