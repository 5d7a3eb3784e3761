//! One client: when it sends, and what it has at hand.

use crate::api::{NodeId, PodId};
use crate::engine::{Duration, EventQueue, Key, Random, Time, Timer};
use crate::simulation::network::clients::{RoundTrips, Source};
use crate::simulation::network::exchange::Happening;
use crate::simulation::network::exchange::names::Lookup;
use crate::simulation::network::exchange::tracking::Tracking;
use crate::simulation::setup::{Connections, Traffic};

/// One of the clients of a stream.
#[derive(Clone, Debug)]
pub(super) struct Client<'a> {
    /// Index into `Setup::traffic`.
    pub stream: u32,
    pub traffic: &'a Traffic,
    pub node: NodeId,
    /// Stands for this client in keyed draws.
    pub key: Key,
    /// Stands for its node.
    pub node_luck: u64,
    /// `None`: it sends on what comes to it.
    pub source: Option<Source>,
    /// The pod of a gateway whose process it is.
    pub gateway: Option<PodId>,
    timer: Option<Timer>,
    /// Idle connections, the most recently used last.
    pub idle: Vec<usize>,
    /// HTTP/2's connections, by their number.
    pub channels: Vec<Channel>,
    pub budget: Budget,
    /// What it knows of names.
    pub lookup: Lookup,
    /// What its node remembers of it.
    pub tracking: Tracking,
    /// Half a round trip to each pod, as far as that has been worked out.
    delays: Vec<Option<Duration>>,
}

/// The place of one connection that is shared by requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Channel {
    pub connection: Option<usize>,
    /// How many connections have failed in a row.
    pub failures: u32,
    /// With gRPC, no new connection is tried before this time.
    pub again_at: Time,
}

/// How many retries a client may still make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    ratio: Option<f64>,
    saved: f64,
}

impl Budget {
    /// So many may be saved up: gRPC's usual `maxTokens` (gRFC A6), Finagle's and Linkerd's minimum of 10 a second.
    const SAVED_MAX: f64 = 10.0;

    pub fn new(ratio: Option<f64>) -> Self {
        Self { ratio, saved: Self::SAVED_MAX }
    }

    /// A request was sent.
    pub fn earn(&mut self) {
        if let Some(ratio) = self.ratio {
            self.saved = (self.saved + ratio).min(Self::SAVED_MAX);
        }
    }

    /// Whether a retry may be made; it is paid for then.
    pub fn spend(&mut self) -> bool {
        if self.ratio.is_none() {
            return true;
        }
        let enough = self.saved >= 1.0;
        if enough {
            self.saved -= 1.0;
        }
        enough
    }
}

impl<'a> Client<'a> {
    pub fn new(
        stream: u32,
        traffic: &'a Traffic,
        (node, node_luck): (NodeId, u64),
        (key, random): (Key, Random),
        source: Option<Source>,
    ) -> Self {
        let channels = match traffic.connections {
            Connections::Http2 { connections, .. } => vec![Channel::default(); connections.max(1) as usize],
            Connections::New | Connections::KeepAlive { .. } | Connections::Udp => Vec::new(),
        };
        Self {
            stream,
            traffic,
            node,
            key,
            node_luck,
            source,
            gateway: None,
            timer: None,
            idle: Vec::new(),
            channels,
            budget: Budget::new(traffic.retries.budget),
            lookup: Lookup::default(),
            tracking: Tracking::new(traffic.origin, traffic.connections == Connections::Udp, random, key),
            delays: Vec::new(),
        }
    }

    /// Puts its next request on the event list, if it sends one more. `number` is this client's.
    pub fn schedule_next(&mut self, number: usize, queue: &mut EventQueue<Happening>) {
        let Some(next) = self.source.as_ref().map(|source| source.next) else { return };
        let sends = self.traffic.stop.is_none_or(|stop| next < stop);
        self.timer = sends.then(|| queue.schedule(next, Happening::Send(number)));
    }

    /// It sends nothing more.
    pub fn stop(&mut self, queue: &mut EventQueue<Happening>) {
        if let Some(timer) = self.timer.take() {
            queue.cancel(timer);
        }
    }

    /// How long a packet takes to a pod, or back.
    pub fn delay(&mut self, pod: PodId, round_trips: RoundTrips<'_>) -> Duration {
        if self.delays.len() <= pod.index() {
            self.delays.resize(pod.index() + 1, None);
        }
        let luck = self.node_luck;
        *self.delays[pod.index()]
            .get_or_insert_with(|| Duration::from_nanos(round_trips.between(luck, pod).as_nanos() / 2))
    }
}
