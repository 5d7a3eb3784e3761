//! One machine of a load balancer: which targets it has heard of, and which of them it believes healthy.

use std::collections::BTreeMap;

use crate::engine::{Duration, Time};
use crate::simulation::network::kube_proxy::Spell;
use crate::simulation::network::routers::balancer::{Balancer, Target};
use crate::simulation::network::routers::health_check::{Answer, Checks};

/// One machine of a load balancer.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub phase: Duration,
    pub targets: BTreeMap<Target, Vec<Registration>>,
    /// Whom it sends to, and the first time at which that may be otherwise; `None`: to be worked out.
    pub list: Option<(Vec<Target>, Time)>,
}

/// A time during which a machine has a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Registration {
    pub from: Time,
    pub to: Option<Time>,
    /// It was there at the start of the run, and well.
    pub old: bool,
}

impl Machine {
    pub fn list_at(&self, at: Time, balancer: &Balancer<'_>) -> (Vec<Target>, Time) {
        let (mut all, mut healthy, mut until) = (Vec::new(), Vec::new(), Time::MAX);
        let mut wakes = |time: Time| {
            if time > at {
                until = until.min(time);
            }
        };
        for (target, registrations) in &self.targets {
            for registration in registrations {
                wakes(registration.from);
                wakes(registration.to.unwrap_or(Time::MAX));
            }
            let Some(now) = registrations.iter().rev().find(|r| r.from <= at && r.to.is_none_or(|to| at < to)) else {
                continue;
            };
            all.push(*target);
            let beliefs = self.beliefs(*target, now, balancer);
            beliefs.iter().for_each(|(changes, _)| wakes(*changes));
            if beliefs.iter().rev().find(|(since, _)| *since <= at).is_some_and(|(_, good)| *good) {
                healthy.push(*target);
            }
        }
        (if healthy.is_empty() { all } else { healthy }, until)
    }

    /// Whether it has this target at `at` and believes it healthy.
    pub fn believes(&self, target: Target, at: Time, balancer: &Balancer<'_>) -> bool {
        let is_now = |r: &&Registration| r.from <= at && r.to.is_none_or(|to| at < to);
        let registration = self.targets.get(&target).and_then(|all| all.iter().rev().find(is_now));
        registration.is_some_and(|registration| {
            let beliefs = self.beliefs(target, registration, balancer);
            beliefs.iter().rev().find(|(since, _)| *since <= at).is_some_and(|(_, good)| *good)
        })
    }

    fn beliefs(&self, target: Target, registration: &Registration, balancer: &Balancer<'_>) -> Vec<(Time, bool)> {
        let checks = Checks { phase: self.phase, check: balancer.config.check };
        let of = |map: &'_ BTreeMap<Target, Vec<(Time, Answer)>>| map.get(&target).cloned().unwrap_or_default();
        let (node, port) = (of(&balancer.answers), of(&balancer.ports));
        let answers = if port.is_empty() { node } else { combined(&node, &port) };
        checks.beliefs(registration.from, registration.old, &answers)
    }

    pub fn last_spell(&self, target: Target, begun: Time, balancer: &Balancer<'_>) -> Option<Spell> {
        let registrations = self.targets.get(&target)?;
        registrations.iter().rev().find_map(|registration| {
            let beliefs = self.beliefs(target, registration, balancer);
            let good = (0..beliefs.len()).rev().find(|i| beliefs[*i].1 && beliefs[*i].0 <= begun)?;
            let ill = beliefs.get(good + 1).map(|(at, _)| *at);
            let to = registration.to.map_or(ill, |to| Some(ill.map_or(to, |ill| ill.min(to))));
            let from = beliefs[good].0;
            to.is_none_or(|to| from < to).then_some(Spell { from, to })
        })
    }
}

/// What is answered by a port of a node that answers, or does not.
pub(super) fn combined(node: &[(Time, Answer)], port: &[(Time, Answer)]) -> Vec<(Time, Answer)> {
    let mut times: Vec<Time> = node.iter().chain(port).map(|(at, _)| *at).collect();
    times.sort_unstable();
    times.dedup();
    let at = |list: &[(Time, Answer)], time: Time| {
        let known = list.partition_point(|(since, _)| *since <= time);
        known.checked_sub(1).map_or(Answer::default(), |last| list[last].1)
    };
    let answer = |time: Time| match at(node, time) {
        Answer::Good => at(port, time),
        bad => bad,
    };
    times.into_iter().map(|time| (time, answer(time))).collect()
}
