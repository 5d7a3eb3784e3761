//! A load balancer before the cluster: which targets its machines send to, at any time.
//!
//! A controller in the cluster watches what should be a target (the ready endpoints, or the nodes), and tells the provider's
//! API. One reconciliation follows the other; what happens meanwhile is in the next one. The load balancer is several
//! machines, and each carries out a change when it has heard of it, which may be long after the API has said yes: until
//! then it sends new connections to a target that is called "draining" already. Each machine checks the targets by itself.
//! If none is healthy, all get requests.
//!
//! Source: aws-load-balancer-controller, `pkg/targetgroupbinding/resource_manager.go` reconcileWithIPTargetType,
//! `pkg/backend/endpoint_resolver.go` resolvePodEndpointsWithEndpointsData; AWS, "Health checks for your target groups" (fail
//! open); ingress-gce, `pkg/neg/syncers/transaction.go`.
//!
//! Simplified: the zones of machines and targets (`crossZone`); each machine gets an equal share of the connections, and
//! chooses among its targets at random; the controller does not fail, and is not limited by the API's quota; passive
//! health checks and outlier detection.

mod machine;

use std::collections::{BTreeMap, VecDeque};

use crate::api::{NodeId, PodId};
use crate::engine::{Distribution, Duration, Key, Random, Time};
use crate::simulation::network::kube_proxy::Spell;
use crate::simulation::network::routers::gates::{Gates, Method, POLL_DELAY, REQUEUE_DURATION};
use crate::simulation::network::routers::health_check::Answer;
use crate::simulation::setup::LoadBalancer;

use machine::{Machine, Registration};

/// What a machine of a load balancer sends to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// A pod.
    Pod(PodId),
    /// A port of a node.
    Node(NodeId),
}

/// The load balancer of one traffic stream.
#[derive(Clone, Debug)]
pub struct Balancer<'a> {
    config: &'a LoadBalancer,
    random: Random,
    key: Key,
    watch: &'a Distribution,
    /// What was written and no reconciliation has seen, in the order in which the controller takes notice.
    waiting: VecDeque<Waiting>,
    writes: u64,
    last_delivery: Time,
    /// The end of the last reconciliation.
    rested: Time,
    /// What the last reconciliation wanted.
    wanted: Vec<Target>,
    /// What targets answer to health checks, each change with its time.
    answers: BTreeMap<Target, Vec<(Time, Answer)>>,
    /// What the health check port of a node says, if that is what is asked: each change with its time. It counts while the
    /// node answers at all.
    ports: BTreeMap<Target, Vec<(Time, Answer)>>,
    machines: Vec<Machine>,
    cuts: Vec<Cut>,
    gates: Gates,
}

/// When the controller takes notice of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// It was committed just now: its watch will deliver it.
    Committed,
    /// Its watch has just delivered it.
    Delivered,
    /// At that time, unless something else makes it look before.
    Later(Time),
}

/// What should be the targets.
#[derive(Clone, Debug)]
struct Waiting {
    /// When the controller takes notice.
    delivery: Time,
    /// It does not look before then unless something else makes it.
    lazy: bool,
    targets: Vec<Target>,
}

/// A machine ends what is open at a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    pub at: Time,
    pub machine: u32,
    pub target: Target,
    /// Connections made before this time.
    pub begun_before: Time,
}

impl<'a> Balancer<'a> {
    /// `name` stands for it in keyed draws. It begins with no target.
    pub fn new(config: &'a LoadBalancer, watch: &'a Distribution, random: Random, name: &str) -> Self {
        let key = Key::new("balancer").text(config.profile.name()).text(name);
        let machine = |number| {
            let unit = random.unit(Key::new("balancerCheck").text(config.profile.name()).text(name), number);
            let phase = Duration::from_secs_f64(config.check.interval.as_secs_f64() * unit);
            Machine { phase, targets: BTreeMap::new(), list: None }
        };
        Self {
            config,
            random,
            key,
            watch,
            waiting: VecDeque::new(),
            writes: 0,
            last_delivery: Time::ZERO,
            rested: Time::ZERO,
            wanted: Vec::new(),
            answers: BTreeMap::new(),
            ports: BTreeMap::new(),
            machines: (0..u64::from(config.machines.max(1))).map(machine).collect(),
            cuts: Vec::new(),
            gates: Gates::default(),
        }
    }

    /// These, in order and without repetition, should be the targets. At time zero they are, and have been for long.
    pub fn should_have(&mut self, now: Time, targets: Vec<Target>, notice: Notice) {
        if now == Time::ZERO {
            for machine in &mut self.machines {
                machine.list = None;
                machine.targets.retain(|target, _| targets.binary_search(target).is_ok());
                for target in &targets {
                    let registration = Registration { from: Time::ZERO, to: None, old: true };
                    machine.targets.entry(*target).or_insert_with(|| vec![registration]);
                }
            }
            self.wanted = targets;
            return;
        }
        self.fold(now);
        let newest = self.waiting.back();
        let looks_anyway = self.gates.method(self.config) == Method::Reconciliation && self.gates.are_waiting(&targets);
        let is_same = *newest.map_or(&self.wanted, |newest| &newest.targets) == targets;
        if is_same && newest.is_none_or(|w| !w.lazy) && !looks_anyway {
            return;
        }
        self.last_delivery = self.last_delivery.max(match notice {
            Notice::Later(at) => {
                let delivery = self.last_delivery.max(at);
                return self.waiting.push_back(Waiting { delivery, lazy: true, targets });
            }
            Notice::Delivered => now,
            Notice::Committed => {
                self.writes += 1;
                now + self.watch.sample(self.random.unit(Key::new("watch").number(self.key.bits()), self.writes))
            }
        });
        while self.waiting.back().is_some_and(|last| last.lazy) {
            self.waiting.pop_back();
        }
        self.waiting.push_back(Waiting { delivery: self.last_delivery, lazy: false, targets });
    }

    /// From now on a target answers so to health checks.
    pub fn answers(&mut self, now: Time, target: Target, answer: Answer) {
        self.note(now, target, answer, false);
    }

    /// From now on the health check port of a node says this.
    pub fn port_says(&mut self, now: Time, target: Target, answer: Answer) {
        self.note(now, target, answer, true);
    }

    fn note(&mut self, now: Time, target: Target, answer: Answer, by_port: bool) {
        let answers = if by_port { &mut self.ports } else { &mut self.answers }.entry(target).or_default();
        if answers.last().map_or(Answer::default(), |(_, last)| *last) == answer {
            return;
        }
        match answers.last_mut().filter(|(at, _)| *at == now) {
            Some(last) => last.1 = answer,
            None => answers.push((now, answer)),
        }
        for machine in &mut self.machines {
            machine.list = None;
        }
    }

    /// Whom a connection at `at` goes to, and which machine says so; no target: there is none at all. All that happened
    /// before `at` must have been told; `at` never falls.
    pub fn at(&mut self, at: Time, choice: u64) -> (Option<Target>, u32) {
        self.fold(at);
        // The machine by the upper bits, the target by what they leave over.
        let scaled = u128::from(choice) * self.machines.len() as u128;
        let (number, rest) = ((scaled >> 64) as usize, scaled as u64);
        let list = self.list(number, at);
        let index = (u128::from(rest) * list.len() as u128) >> 64;
        (list.get(index as usize).copied(), u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// When the controller will begin its next reconciliation, as far as is known.
    pub fn next_reconciliation(&self) -> Option<Time> {
        if !self.cuts.is_empty() {
            return Some(self.rested);
        }
        self.waiting.front().map(|first| self.rested.max(first.delivery))
    }

    /// When machines will cut the requests that are still open at targets that have been taken out: what has become known
    /// since this was asked last. Load balancers that pass packets on leave them alone.
    ///
    /// Source: AWS, "Edit target group attributes" (for a Network Load Balancer, `deregistration_delay.connection_termination`
    /// is off by default); Google Cloud, "Enable connection draining".
    pub fn take_cuts(&mut self) -> Vec<Cut> {
        std::mem::take(&mut self.cuts)
    }

    /// The last stretch of time, begun by `begun`, in which some machine had this target and did not believe it ill. That
    /// it gets requests when all are ill does not count.
    pub fn last_spell(&self, target: Target, begun: Time) -> Option<Spell> {
        let spells = self.machines.iter().filter_map(|machine| machine.last_spell(target, begun, self));
        spells.reduce(|a, b| {
            let to = match (a.to, b.to) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            };
            Spell { from: a.from.min(b.from), to }
        })
    }

    /// Works out what comes of all that the controller begins before `to`.
    pub fn fold(&mut self, to: Time) {
        loop {
            let reconciliation = self.next_start().filter(|start| *start < to);
            let poll = self.gates.next_poll.filter(|start| *start < to);
            match (reconciliation, poll) {
                (None, None) => return,
                (Some(start), poll) if poll.is_none_or(|poll| start <= poll) => self.reconcile(start),
                (_, Some(start)) => self.poll(start),
                (Some(_), None) => unreachable!("it is before no poll"),
            }
        }
    }

    /// When the next reconciliation begins, as far as is known.
    fn next_start(&self) -> Option<Time> {
        let change = self.waiting.front().map(|first| first.delivery);
        let next = [change, self.gates.recheck].into_iter().flatten().min();
        next.map(|at| self.rested.max(at))
    }

    /// How long a call of the provider's API takes that begins at `start`.
    fn call(&self, what: &str, start: Time) -> Duration {
        self.config.reconcile.sample(self.random.unit(Key::new(what).number(self.key.bits()), start.as_nanos()))
    }

    fn reconcile(&mut self, start: Time) {
        self.gates.recheck = self.gates.recheck.filter(|at| *at > start);
        while self.waiting.front().is_some_and(|next| next.delivery <= start) {
            self.wanted = self.waiting.pop_front().expect("there is one").targets;
        }
        let healthy = self.healthy_targets(start);
        self.rested = start + self.call("balancerReconcile", start);
        let registered = self.carry_out();
        match self.gates.method(self.config) {
            Method::Reconciliation => {
                for pod in registered {
                    self.gates.write(self.rested, pod, false);
                }
                for pod in healthy {
                    self.gates.write(self.rested, pod, true);
                }
                if self.gates.are_waiting(&self.wanted) {
                    let again = self.rested + REQUEUE_DURATION;
                    self.gates.recheck = Some(self.gates.recheck.map_or(again, |at| at.min(again)));
                }
            }
            Method::Polls => {
                if self.gates.next_poll.is_none() && self.gates.are_waiting(&self.wanted) {
                    self.gates.next_poll = Some(self.rested);
                }
            }
        }
    }

    /// The health of all targets is listed.
    fn poll(&mut self, start: Time) {
        let answered = start + self.call("balancerPoll", start);
        for pod in self.healthy_targets(start) {
            self.gates.write(answered, pod, true);
        }
        self.gates.next_poll = self.gates.are_waiting(&self.wanted).then(|| answered + POLL_DELAY);
    }

    /// The targets whose gate waits, and which the provider's API calls healthy: most machines do.
    fn healthy_targets(&self, at: Time) -> Vec<PodId> {
        let mut healthy = self.gates.waiting(&self.wanted);
        healthy.retain(|pod| self.is_healthy(Target::Pod(*pod), at));
        healthy
    }

    /// Whether more than half of the machines have this target and believe it healthy.
    fn is_healthy(&self, target: Target, at: Time) -> bool {
        let count = self.machines.iter().filter(|machine| machine.believes(target, at, self)).count();
        2 * count > self.machines.len()
    }

    /// This pod has a readiness gate that the controller sets; whether it is True.
    pub fn gated(&mut self, pod: PodId, is_true: bool) {
        self.gates.told(pod, is_true);
    }

    /// When the controller will have read about the health of targets, as far as is known.
    pub fn next_health(&self) -> Option<Time> {
        if self.gates.is_empty() {
            return None;
        }
        let reconciled = self.next_start().map(|start| start + self.call("balancerReconcile", start));
        let polled = self.gates.next_poll.map(|start| start + self.call("balancerPoll", start));
        [self.gates.next_write(), reconciled, polled].into_iter().flatten().min()
    }

    /// Which gates the controller has decided to write by `now`, and how, since it was asked last.
    pub fn take_gates(&mut self, now: Time) -> Vec<(PodId, bool)> {
        self.fold(now + Duration::from_nanos(1));
        self.gates.take_writes(now)
    }

    /// The provider's API has answered at `rested`: each machine will hear of it. Returns the pods that are targets from now
    /// on.
    fn carry_out(&mut self) -> Vec<PodId> {
        let mut registered = Vec::new();
        let (config, random, key, answered) = (self.config, self.random, self.key, self.rested);
        for (number, machine) in (0u64..).zip(&mut self.machines) {
            let lag = |what: &str, distribution: &Distribution, target: Target, occasion: u64| {
                let key = key.text(what).number(number).number(target.luck());
                distribution.sample(random.unit(key, occasion))
            };
            for (target, registrations) in &mut machine.targets {
                let occasion = registrations.len() as u64;
                if let Some(last @ Registration { to: None, .. }) = registrations.last_mut()
                    && self.wanted.binary_search(target).is_err()
                {
                    let gone = answered + lag("deregister", &config.deregister, *target, occasion);
                    let gone = gone.max(last.from);
                    last.to = Some(gone);
                    if config.profile.is_proxy() {
                        let machine = u32::try_from(number).unwrap_or(u32::MAX);
                        let at = gone + config.deregistration_delay;
                        self.cuts.push(Cut { at, machine, target: *target, begun_before: gone });
                    }
                }
            }
            for target in &self.wanted {
                let registrations = machine.targets.entry(*target).or_default();
                if registrations.last().is_none_or(|last| last.to.is_some()) {
                    let there = answered + lag("register", &config.register, *target, registrations.len() as u64);
                    let from = registrations.last().and_then(|last| last.to).map_or(there, |to| there.max(to));
                    registrations.push(Registration { from, to: None, old: false });
                    if let (0, Target::Pod(pod)) = (number, *target) {
                        registered.push(pod);
                    }
                }
            }
            machine.list = None;
        }
        registered
    }

    /// Whom a machine sends to.
    fn list(&mut self, number: usize, at: Time) -> &[Target] {
        if self.machines[number].list.as_ref().is_none_or(|(_, until)| at >= *until) {
            self.machines[number].list = Some(self.machines[number].list_at(at, self));
        }
        self.machines[number].list.as_ref().map_or(&[], |(list, _)| list)
    }
}

impl Target {
    fn luck(self) -> u64 {
        match self {
            Self::Pod(pod) => u64::from(pod.0),
            Self::Node(node) => (1 << 32) | u64::from(node.0),
        }
    }
}

#[cfg(test)]
mod tests;
