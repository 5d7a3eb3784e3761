//! What a kubectl process works with: its clients with their rate limits, and its terminal.

use std::collections::BTreeMap;

use crate::api::{Node, NodeId};
use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::event::{Event, KubectlStep};
pub use crate::simulation::eviction::Request as EvictionRequest;
use crate::simulation::latency::Hop;
use crate::simulation::operator::rate_limit::TokenBucket;
use crate::simulation::write::{Caller, Write};

/// A printed line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// When.
    pub time: Time,
    /// Which process.
    pub kubectl: u32,
    /// The node of the command line that it is about, or that the process was busy with.
    pub node: u32,
    /// The line.
    pub text: String,
}

/// The clients of one process: one token bucket for each API group, and luck of its own.
#[derive(Clone, Debug)]
pub struct Client {
    key: Key,
    occasions: BTreeMap<u64, u64>,
    /// `v1`: lists, gets, patches and deletes.
    pub core: TokenBucket,
    /// `policy/v1`: evictions.
    pub policy: TokenBucket,
    /// `apps/v1`: look-ups of DaemonSets.
    pub apps: TokenBucket,
}

impl Client {
    /// The clients of the process that this action starts.
    #[must_use]
    pub fn new(action: u32) -> Self {
        let full = TokenBucket::client_default();
        Self {
            key: Key::new("kubectl").number(u64::from(action)),
            occasions: BTreeMap::new(),
            core: full,
            policy: full,
            apps: full,
        }
    }
}

/// A process while it does something: the world, its clients, its terminal.
pub struct Shell<'r, 'a> {
    /// The world.
    pub ctx: &'r mut Context<'a>,
    /// Its clients.
    pub client: &'r mut Client,
    /// Its number.
    pub id: u32,
    /// Lines of all processes.
    pub lines: &'r mut Vec<Line>,
    /// Evictions to be sent.
    pub requests: &'r mut Vec<EvictionRequest>,
    /// Orders to whoever runs the machines.
    pub machines: &'r mut Vec<MachineOrder>,
}

/// What an operator wants of whoever runs the machines.
#[derive(Clone, PartialEq, Debug)]
pub enum MachineOrder {
    /// A new machine: its Node object is there at once and Ready after its start-up, which is told to the process with the
    /// step [`KubectlStep::MachineReady`] of this number.
    Start {
        /// The process.
        kubectl: u32,
        /// Its number for the machine.
        number: u32,
        /// The node.
        node: Box<Node>,
        /// From now to Ready.
        ready_after: Duration,
    },
    /// The machine of this node is switched off, with whatever still runs on it.
    Stop(NodeId),
}

impl Shell<'_, '_> {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.ctx.now()
    }

    /// Prints a line about the n-th node.
    pub fn print(&mut self, node: u32, text: impl Into<String>) {
        self.lines.push(Line { time: self.ctx.now(), kubectl: self.id, node, text: text.into() });
    }

    /// Takes a step after `delay`.
    pub fn after(&mut self, delay: Duration, step: KubectlStep) {
        self.ctx.schedule(delay, Event::Kubectl(self.id, step));
    }

    /// Takes a step at `time`.
    pub fn at(&mut self, time: Time, step: KubectlStep) {
        self.ctx.schedule_at(time, Event::Kubectl(self.id, step));
    }

    /// How long a hop takes this time, for the object of this luck.
    pub fn latency(&mut self, hop: Hop, object: u64) -> Duration {
        let occasion = self.client.occasions.entry(object).or_default();
        let latency = self.ctx.latency(hop, self.client.key.number(object).bits(), *occasion);
        *occasion += 1;
        latency
    }

    /// Sends a read that the rate limit does not concern; `step` comes with the answer. What is read is the state then.
    pub fn read(&mut self, object: u64, step: KubectlStep) {
        let way = self.latency(Hop::ApiRequest, object) + self.latency(Hop::ApiRead, object);
        self.after(way, step);
    }

    /// Sends a read by the core client; `step` comes with the answer. What is read is the state then.
    pub fn read_core(&mut self, object: u64, step: KubectlStep) {
        let wait = self.client.core.take(self.now());
        let way = self.latency(Hop::ApiRequest, object) + self.latency(Hop::ApiRead, object);
        self.after(wait + way, step);
    }

    /// Sends a write that the rate limit does not concern; its answer is handed to `written` with `step`.
    pub fn write(&mut self, write: Write, object: u64, step: KubectlStep) {
        let way = self.latency(Hop::ApiRequest, object) + self.latency(Hop::ApiWrite, object);
        self.ctx.submit_after(way, write, Caller::Kubectl(self.id, step));
    }

    /// Sends a write with `dryRun: All` by the core client: it takes its time and changes nothing; `step` comes with the
    /// answer.
    pub fn pretend_core(&mut self, object: u64, step: KubectlStep) {
        let wait = self.client.core.take(self.now());
        let way = self.latency(Hop::ApiRequest, object) + self.latency(Hop::ApiWrite, object);
        self.after(wait + way, step);
    }

    /// Sends a write by the core client; its answer is handed to `written` with `step`.
    pub fn write_core(&mut self, write: Write, object: u64, step: KubectlStep) {
        let wait = self.client.core.take(self.now());
        let way = self.latency(Hop::ApiRequest, object) + self.latency(Hop::ApiWrite, object);
        self.ctx.submit_after(wait + way, write, Caller::Kubectl(self.id, step));
    }
}
