//! Where the requests of a client went: the rules of its node, one after the other.

use std::collections::BTreeMap;

use crate::api::{PodId, ServiceId};
use crate::engine::Time;
use crate::simulation::network::bulk::Life;
use crate::simulation::network::kube_proxy::KubeProxies;
use crate::simulation::network::rules::Route;
use crate::simulation::observe::CauseId;

/// The routes of a client in a stretch of time.
#[derive(Clone, Debug)]
pub(super) struct Routes<'p> {
    pub steps: Vec<Step<'p>>,
    to: Time,
}

/// The rules stay the same for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'p> {
    pub from: Time,
    pub route: Route<'p>,
    pub cause: CauseId,
    /// How many requests a nanosecond each of the pods gets.
    share: f64,
    /// How many it has got before, if it was among the pods all the time.
    sum: f64,
}

impl<'p> Routes<'p> {
    /// The routes of a client from one time to another; `from` must be before `to`.
    pub fn new(proxies: &'p KubeProxies<'_>, service: ServiceId, life: &Life, from: Time, to: Time) -> Self {
        let syncs = proxies.syncs(life.node);
        let first = syncs.partition_point(|sync| sync.applied <= from).saturating_sub(1);
        let mut steps: Vec<Step<'p>> = Vec::new();
        let mut version = None;
        for sync in syncs[first..].iter().take_while(|sync| sync.applied < to) {
            let new = proxies.version(service, sync.entries);
            if !steps.is_empty() && new == version {
                continue;
            }
            version = new;
            let (route, cause) = proxies.route(service, version, life.node);
            let share = match route {
                Route::Pods(pods) => life.rate / pods.len() as f64,
                Route::Reject | Route::Drop => 0.0,
            };
            let from = sync.applied.max(from);
            let sum = steps.last().map_or(0.0, |last| last.sum + last.share * nanos(last.from, from));
            steps.push(Step { from, route, cause, share, sum });
        }
        Self { steps, to }
    }

    /// The steps, each with its end.
    pub fn spans(&self) -> impl Iterator<Item = (&Step<'p>, Time)> {
        let ends = self.steps.iter().skip(1).map(|step| step.from).chain([self.to]);
        self.steps.iter().zip(ends)
    }

    /// When each pod was among those that connections were made to.
    pub fn spells(&self) -> Vec<(PodId, Time, Time)> {
        let mut spells = Vec::new();
        let mut since: BTreeMap<PodId, Time> = BTreeMap::new();
        let mut old: &[PodId] = &[];
        for step in &self.steps {
            let new = pods(step.route);
            if std::ptr::eq(old, new) || old == new {
                continue;
            }
            let gone: Vec<PodId> = old.iter().copied().filter(|pod| new.binary_search(pod).is_err()).collect();
            spells.extend(gone.into_iter().filter_map(|pod| Some((pod, since.remove(&pod)?, step.from))));
            for pod in new.iter().filter(|pod| old.binary_search(pod).is_err()) {
                since.insert(*pod, step.from);
            }
            old = new;
        }
        spells.extend(since.into_iter().map(|(pod, from)| (pod, from, self.to)));
        spells
    }

    /// When this pod was.
    pub fn spells_of(&self, pod: PodId) -> Vec<(Time, Time)> {
        let mut spells: Vec<(Time, Time)> = Vec::new();
        for (step, to) in self.spans().filter(|(step, _)| pods(step.route).binary_search(&pod).is_ok()) {
            match spells.last_mut() {
                Some((_, end)) if *end == step.from => *end = to,
                _ => spells.push((step.from, to)),
            }
        }
        spells
    }

    /// How many requests a pod got from one time to another, if it was among the pods all that time.
    pub fn sent(&self, from: Time, to: Time) -> f64 {
        if to <= from { 0.0 } else { (self.sum(to) - self.sum(from)).max(0.0) }
    }

    /// The time by which it got so many since `from`.
    pub fn time_of(&self, from: Time, sent: f64) -> Time {
        let target = self.sum(from) + sent;
        let at = self.steps.partition_point(|step| step.sum <= target).saturating_sub(1);
        let step = &self.steps[at];
        if step.share > 0.0 {
            step.from + crate::engine::Duration::from_nanos_f64((target - step.sum) / step.share)
        } else {
            step.from
        }
    }

    /// The stretches of equal shares between two times.
    pub fn pieces(&self, from: Time, to: Time) -> impl Iterator<Item = (Time, Time, f64)> {
        let first = self.steps.partition_point(|step| step.from <= from).saturating_sub(1);
        let steps = self.steps[first..].iter().take_while(move |step| step.from < to);
        let ends = self.steps[first..].iter().skip(1).map(|step| step.from).chain([self.to]);
        steps.zip(ends).map(move |(step, end)| (step.from.max(from), end.min(to), step.share)).filter(|(a, b, _)| a < b)
    }

    fn sum(&self, at: Time) -> f64 {
        let step = &self.steps[self.steps.partition_point(|step| step.from <= at).saturating_sub(1)];
        step.sum + step.share * nanos(step.from, at)
    }
}

fn pods(route: Route<'_>) -> &[PodId] {
    match route {
        Route::Pods(pods) => pods,
        Route::Reject | Route::Drop => &[],
    }
}

fn nanos(from: Time, to: Time) -> f64 {
    to.since(from).as_nanos() as f64
}
