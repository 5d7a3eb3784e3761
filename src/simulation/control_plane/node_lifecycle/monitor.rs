//! The node monitor: passes over all nodes that give silent ones up, the taints that drive pods away, and the modes of
//! disruption in which it holds back.
//!
//! A pass has three parts. It looks at each node's heartbeats and writes what follows (Ready becomes Unknown, the node's
//! pods become not ready). It compares each node's Ready condition, *as it was before this pass*, with the node's taints: a
//! node that has just become Unknown is queued for its NoExecute taint one pass later. And it works out the state of each
//! zone, which decides how fast the queues are emptied.
//!
//! While all nodes are well, passes change nothing and are left out; they stay on the same grid of times.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go` monitorNodeHealth, tryUpdateNodeHealth,
//! processTaintBaseEviction, doNoExecuteTaintingPass, handleDisruption; `pkg/controller/util/node/controller_utils.go`
//! MarkPodsNotReady, SwapNodeControllerTaint (v1.36).

use std::collections::BTreeMap;

use super::heartbeat::{Heartbeat, Instant, instant, nanos, time};
use super::zone::{Zone, ZoneState, counts, zone_key};
use crate::api::node::{TAINT_NOT_READY, TAINT_UNREACHABLE};
use crate::api::{Kind, Node, NodeId, PodId, Taint, TaintEffect};
use crate::engine::{Key, Time, Timer};
use crate::simulation::context::Context;
use crate::simulation::control_plane::rate_limit::RateLimit;
use crate::simulation::event::{Event, MonitorStep};
use crate::simulation::latency::Hop;
use crate::simulation::observe::CauseId;
use crate::simulation::setup::ControllerManagerSetup;
use crate::simulation::write::{Caller, Write};

/// What a pass takes that writes nothing. The next one begins a whole period after its end, so ten passes are a little
/// more than ten periods: a grace period of 50 s is over at the tenth pass.
const PASS: i64 = 1_000_000;
/// How often the queues of nodes to be tainted are looked at (`NodeEvictionPeriod`).
const TAINTING_PERIOD: i64 = 100_000_000;
/// How many nodes a pass works on at once (`nodeUpdateWorkerSize`).
const WORKERS: usize = 8;

/// What the monitor keeps.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    /// By [`NodeId`].
    nodes: Vec<Health>,
    zones: BTreeMap<String, Zone>,
    /// The pass after the last one that was played is due at this time; later ones follow in steps.
    grid: Instant,
    step: i64,
    /// The next pass is in the event list.
    awake: bool,
    tainting: Option<(Instant, Timer)>,
    /// What the running pass has found in each zone: how many nodes are Ready, how many not.
    found: BTreeMap<String, (u32, u32)>,
    writes: u64,
}

/// What the monitor knows of a node.
#[derive(Clone, Debug)]
struct Health {
    heartbeat: Heartbeat,
    /// The arrival of the newest heartbeat that a pass has noticed.
    heard: Instant,
    /// When a pass noticed it: the grace period counts from here.
    probe: Instant,
    /// The last thing that happened to the node, for the chain of causes.
    cause: CauseId,
}

/// A node's Ready condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ready {
    True,
    False,
    Unknown,
}

impl Ready {
    fn of(node: &Node) -> Self {
        match (node.ready, node.unreachable) {
            (true, _) => Self::True,
            (false, false) => Self::False,
            (false, true) => Self::Unknown,
        }
    }

    /// The taint that goes with it.
    fn taint(self) -> Option<&'static str> {
        match self {
            Self::True => None,
            Self::False => Some(TAINT_NOT_READY),
            Self::Unknown => Some(TAINT_UNREACHABLE),
        }
    }
}

impl Monitor {
    pub fn new(settings: &ControllerManagerSetup) -> Self {
        Self {
            nodes: Vec::new(),
            zones: BTreeMap::new(),
            grid: 0,
            step: nanos(settings.node_monitor_period) + PASS,
            awake: false,
            tainting: None,
            found: BTreeMap::new(),
            writes: 0,
        }
    }

    /// The nodes of the start are known. Those that are not Ready keep the monitor awake.
    pub fn start(&mut self, ctx: &mut Context<'_>) {
        self.grid = (self.step as f64 * ctx.random.unit(Key::new("nodeMonitor"), 0)) as i64;
        for id in (0..ctx.store.nodes.len()).map(NodeId::from) {
            let joined = ctx.store.nodes.head(id.index()).is_some_and(|n| !n.ready).then_some(Time::ZERO);
            self.add(ctx, id, joined);
        }
        if self.has_something_to_do(ctx) {
            self.wake(ctx);
        }
    }

    fn add(&mut self, ctx: &Context<'_>, id: NodeId, joined: Option<Time>) {
        let mut heartbeat = Heartbeat::new(ctx, ctx.luck_of(Kind::Node, id.0), joined);
        let heard = heartbeat.newest(ctx, instant(ctx.now()));
        let probe = match joined {
            Some(_) => instant(ctx.now()),
            None => self.pass_at_or_after(heard),
        };
        debug_assert_eq!(self.nodes.len(), id.index(), "nodes are added in order");
        self.nodes.push(Health { heartbeat, heard, probe, cause: CauseId::default() });
        if let Some(node) = ctx.store.nodes.head(id.index()) {
            self.zone(&zone_key(node), ctx);
        }
    }

    fn zone(&mut self, key: &str, ctx: &Context<'_>) -> &mut Zone {
        let rate = ctx.setup.controller_manager.node_eviction_rate;
        self.zones.entry(key.to_string()).or_insert_with(|| Zone::new(rate))
    }

    /// A node's kubelet can be heard no longer, because of what has just been noted.
    pub fn silent(&mut self, ctx: &mut Context<'_>, id: NodeId) {
        let now = ctx.now();
        let Some(health) = self.nodes.get_mut(id.index()) else { return };
        health.heartbeat.newest(ctx, instant(now));
        health.heartbeat.silent(now);
        health.cause = ctx.cause;
        self.wake(ctx);
    }

    /// A node's kubelet is heard again.
    pub fn resumed(&mut self, ctx: &Context<'_>, id: NodeId) {
        if let Some(health) = self.nodes.get_mut(id.index()) {
            health.heartbeat.newest(ctx, instant(ctx.now()));
            health.heartbeat.resumed(ctx.now());
        }
    }

    /// The informer has delivered a version of a node.
    pub fn on_node(&mut self, ctx: &mut Context<'_>, id: NodeId) {
        if id.index() >= self.nodes.len() {
            self.add(ctx, id, Some(ctx.now()));
        }
        let seen = ctx.controller_view(Kind::Node);
        let Some(node) = ctx.store.nodes.at(id.index(), seen) else { return };
        if ctx.store.nodes.before(id.index(), seen).is_none_or(|old| Ready::of(old) != Ready::of(node)) {
            self.nodes[id.index()].cause = ctx.cause;
        }
        if is_unwell(node) {
            self.wake(ctx);
        }
    }

    /// The first pass at or after `t`, while passes are left out.
    fn pass_at_or_after(&self, t: Instant) -> Instant {
        let steps = (t - self.grid).div_euclid(self.step);
        let at = self.grid + steps * self.step;
        if at < t { at + self.step } else { at }
    }

    fn wake(&mut self, ctx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.awake, true) {
            let next = self.pass_at_or_after(instant(ctx.now())).max(self.grid);
            ctx.schedule_at(time(next), Event::NodeMonitor(MonitorStep::Pass));
        }
    }

    /// Whether a pass could change anything.
    fn has_something_to_do(&self, ctx: &Context<'_>) -> bool {
        let settings = &ctx.setup.controller_manager;
        let longest_gap = nanos(ctx.setup.kubelet.lease_renewal()) / 100 * 104 + self.step + 2_000_000_000;
        let seen = ctx.controller_view(Kind::Node);
        let view = |index: usize| ctx.store.nodes.at(index, seen);
        // with so short a grace period even a node that is well may be given up
        nanos(settings.grace_period(ctx.version)) <= longest_gap
            || self.zones.values().any(|zone| !zone.queue.is_empty())
            || self
                .nodes
                .iter()
                .enumerate()
                .any(|(n, health)| view(n).is_some_and(|node| health.heartbeat.is_silent() || is_unwell(node)))
    }

    /// Does what an event asks for.
    pub fn step(&mut self, ctx: &mut Context<'_>, client: &mut RateLimit, step: MonitorStep) {
        match step {
            MonitorStep::Pass => self.pass(ctx, client),
            MonitorStep::PassEnd => self.pass_end(ctx, client),
            MonitorStep::Tainting => self.taint(ctx, client),
        }
    }

    /// Looks at every node. Writes of one node follow each other; eight nodes are worked on at once.
    fn pass(&mut self, ctx: &mut Context<'_>, client: &mut RateLimit) {
        let now = instant(ctx.now());
        let begun = ctx.now();
        let mut workers = [begun; WORKERS];
        self.found.clear();
        let seen = ctx.controller_view(Kind::Node);
        let cause = ctx.cause;
        for id in (0..self.nodes.len()).map(NodeId::from) {
            let Some(node) = ctx.store.nodes.at(id.index(), seen) else { continue };
            let (zone, counted) = (zone_key(node), counts(node));
            self.zone(&zone, ctx);
            let observed = Ready::of(node);
            let taints: Vec<Taint> = node.taints.iter().filter(|t| is_ours(t)).cloned().collect();
            let current = self.look_at(ctx, id, now, observed);
            if counted {
                let (ready, not_ready) = self.found.entry(zone.clone()).or_default();
                *(if current == Ready::True { ready } else { not_ready }) += 1;
            }
            let worker = (0..WORKERS).min_by_key(|w| workers[*w]).unwrap_or(0);
            ctx.cause = self.nodes[id.index()].cause;
            let mut lane = Lane { at: workers[worker], begun, client, writes: &mut self.writes };
            if current != observed {
                lane.write(ctx, Write::MarkNodeUnreachable { node: id });
            }
            match observed.taint() {
                None => {
                    let remove: Vec<Taint> = taints;
                    if !remove.is_empty() {
                        lane.write(ctx, Write::PatchTaints { node: id, add: Vec::new(), remove });
                    }
                    if let Some(zone) = self.zones.get_mut(&zone) {
                        zone.queue.retain(|n| *n != id);
                    }
                }
                // tainted for the other condition: swapped at once; not tainted: in turn
                Some(key) if taints.iter().any(|t| t.key != key) => lane.write(ctx, swap(id, key)),
                Some(key) if !taints.iter().any(|t| t.key == key) => {
                    if let Some(zone) = self.zones.get_mut(&zone) {
                        zone.enqueue(id);
                    }
                }
                Some(_) => {}
            }
            if current != Ready::True && observed == Ready::True {
                for pod in ready_pods_on(ctx, id) {
                    lane.write(ctx, Write::MarkPodNotReady { pod });
                }
            }
            workers[worker] = lane.at;
        }
        ctx.cause = cause;
        let end = workers.into_iter().max().unwrap_or(begun);
        if end > begun {
            ctx.schedule_at(end, Event::NodeMonitor(MonitorStep::PassEnd));
        } else {
            self.pass_end(ctx, client);
        }
    }

    /// Takes note of new heartbeats; the Ready condition that the node should have.
    fn look_at(&mut self, ctx: &Context<'_>, id: NodeId, now: Instant, observed: Ready) -> Ready {
        let grid = self.grid;
        let index = id.index();
        let heard = self.nodes[index].heartbeat.newest(ctx, now);
        if heard > self.nodes[index].heard {
            // passes that were left out would have noticed it earlier
            let probe = self.pass_at_or_after(heard).max(grid).min(now);
            (self.nodes[index].heard, self.nodes[index].probe) = (heard, probe);
        }
        let grace = nanos(ctx.setup.controller_manager.grace_period(ctx.version));
        if now > self.nodes[index].probe + grace { Ready::Unknown } else { observed }
    }

    fn pass_end(&mut self, ctx: &mut Context<'_>, client: &mut RateLimit) {
        self.handle_disruption(ctx, client);
        self.arrange_tainting(ctx);
        self.grid = instant(ctx.now()) + self.step;
        self.awake = self.has_something_to_do(ctx);
        if self.awake {
            ctx.schedule_at(time(self.grid), Event::NodeMonitor(MonitorStep::Pass));
        }
    }

    /// The states of the zones decide how fast nodes are tainted. If no zone has a Ready node, the control plane may well
    /// be the one that is cut off: nobody is driven away then, and all grace periods begin anew when a node comes back.
    fn handle_disruption(&mut self, ctx: &mut Context<'_>, client: &mut RateLimit) {
        let now = instant(ctx.now());
        let settings = &ctx.setup.controller_manager;
        let state = |(ready, not_ready): (u32, u32)| ZoneState::of(ready, not_ready, settings.unhealthy_zone_threshold);
        let all_are_full = self.found.values().all(|found| state(*found) == ZoneState::FullDisruption);
        let found = &self.found;
        self.zones.retain(|key, zone| found.contains_key(key) || !zone.queue.is_empty());
        let all_were_full = self.zones.values().all(|zone| zone.state == ZoneState::FullDisruption);
        match (all_were_full, all_are_full) {
            (true, true) => {}
            (false, true) => {
                let seen = ctx.controller_view(Kind::Node);
                let mut lane = Lane { at: ctx.now(), begun: ctx.now(), client, writes: &mut self.writes };
                for node in (0..self.nodes.len()).map(NodeId::from) {
                    let Some(head) = ctx.store.nodes.at(node.index(), seen) else { continue };
                    let remove: Vec<Taint> = head.taints.iter().filter(|t| is_ours(t)).cloned().collect();
                    if !remove.is_empty() {
                        lane.write(ctx, Write::PatchTaints { node, add: Vec::new(), remove });
                    }
                }
                for zone in self.zones.values_mut() {
                    zone.state = ZoneState::FullDisruption;
                    zone.queue.clear();
                    zone.limiter.swap(0.0, now);
                }
            }
            (was_full, false) => {
                if was_full {
                    self.nodes.iter_mut().for_each(|health| health.probe = now);
                }
                for (key, zone) in &mut self.zones {
                    let (ready, not_ready) = found.get(key).copied().unwrap_or_default();
                    let new = state((ready, not_ready));
                    if zone.state != new {
                        zone.limiter.swap(new.eviction_rate(ready + not_ready, settings), now);
                        zone.state = new;
                    }
                }
            }
        }
    }

    /// Lets the queues be looked at when the next of them may give a node.
    fn arrange_tainting(&mut self, ctx: &mut Context<'_>) {
        let now = instant(ctx.now());
        let waiting = self.zones.values().filter(|zone| !zone.queue.is_empty());
        let Some(due) = waiting.filter_map(|zone| zone.limiter.next()).min() else { return };
        let tick = (due.max(now) / TAINTING_PERIOD + 1) * TAINTING_PERIOD;
        match self.tainting {
            Some((at, _)) if at <= tick && at > now => return,
            Some((_, timer)) => ctx.cancel(timer),
            None => {}
        }
        let timer = ctx.schedule_at(time(tick), Event::NodeMonitor(MonitorStep::Tainting));
        self.tainting = Some((tick, timer));
    }

    /// Taints the nodes for which there is a token; one that has become Ready meanwhile has used it up for nothing.
    fn taint(&mut self, ctx: &mut Context<'_>, client: &mut RateLimit) {
        let now = instant(ctx.now());
        self.tainting = None;
        let seen = ctx.controller_view(Kind::Node);
        let mut chosen = Vec::new();
        for zone in self.zones.values_mut() {
            while !zone.queue.is_empty() && zone.limiter.try_accept(now) {
                chosen.extend(zone.queue.pop_front());
            }
        }
        let cause = ctx.cause;
        for id in chosen {
            let Some(key) = ctx.store.nodes.at(id.index(), seen).and_then(|node| Ready::of(node).taint()) else {
                continue;
            };
            ctx.cause = self.nodes[id.index()].cause;
            let mut lane = Lane { at: ctx.now(), begun: ctx.now(), client, writes: &mut self.writes };
            lane.write(ctx, swap(id, key));
        }
        ctx.cause = cause;
        self.arrange_tainting(ctx);
    }
}

/// Writes that follow each other, each waiting for the answer to the one before and for the client's rate limit.
struct Lane<'l> {
    at: Time,
    begun: Time,
    client: &'l mut RateLimit,
    writes: &'l mut u64,
}

impl Lane<'_> {
    fn write(&mut self, ctx: &mut Context<'_>, write: Write) {
        *self.writes += 1;
        let luck = Key::new("nodeMonitor").bits();
        let reads = matches!(write, Write::PatchTaints { .. });
        let allowed = self.begun + self.client.reserve(self.begun);
        let mut way = ctx.latency(Hop::ApiRequest, luck, *self.writes) + ctx.latency(Hop::ApiWrite, luck, *self.writes);
        if reads {
            way += ctx.latency(Hop::ApiRead, luck, *self.writes);
        }
        self.at = self.at.max(allowed) + way;
        ctx.submit_after(self.at.since(ctx.now()), write, Caller::Nobody);
    }
}

/// A node that the next pass has to do with: it is not Ready, or still has a taint from when it was not.
fn is_unwell(node: &Node) -> bool {
    !node.ready || node.taints.iter().any(is_ours)
}

/// The NoExecute taints that follow from the Ready condition.
fn is_ours(taint: &Taint) -> bool {
    taint.effect == TaintEffect::NoExecute && [TAINT_NOT_READY, TAINT_UNREACHABLE].contains(&taint.key.as_str())
}

/// The write that gives a node one of the two taints and takes the other one away.
fn swap(node: NodeId, key: &str) -> Write {
    let taint = |key: &str| Taint { key: key.to_string(), value: String::new(), effect: TaintEffect::NoExecute };
    let other = if key == TAINT_UNREACHABLE { TAINT_NOT_READY } else { TAINT_UNREACHABLE };
    Write::PatchTaints { node, add: vec![taint(key)], remove: vec![taint(other)] }
}

/// The pods on a node that are Ready, as the informer knows them.
fn ready_pods_on(ctx: &Context<'_>, node: NodeId) -> Vec<PodId> {
    let seen = ctx.controller_view(Kind::Pod);
    let is_ready = |pod: &PodId| ctx.store.pods.at(pod.index(), seen).is_some_and(|p| p.ready);
    ctx.store.pods_on(node).iter().copied().filter(is_ready).collect()
}
