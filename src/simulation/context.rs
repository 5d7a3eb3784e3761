//! What every component works with: the clock and the event list, the store and the watches on it, writes on their way,
//! keyed luck, and the observer.

use std::collections::BTreeMap;

use crate::api::{Kind, NodeId, PodId, Revision, Store, Version};
use crate::engine::{Duration, EventQueue, Key, Random, Time, Timer};
use crate::simulation::event::{Event, WatchId};
use crate::simulation::latency::Hop;
use crate::simulation::observe::{CauseId, Observer, What};
use crate::simulation::setup::Setup;
use crate::simulation::write::{Caller, PendingWrite, Write};

/// An event with the note that caused it.
#[derive(Clone, Copy, Debug)]
pub struct Scheduled {
    /// What happens.
    pub event: Event,
    /// Why.
    pub cause: CauseId,
}

/// The common ground of all components.
#[derive(Debug)]
pub struct Context<'a> {
    /// The input.
    pub setup: &'a Setup,
    /// The versions' differences.
    pub version: Version,
    /// Keyed draws.
    pub random: Random,
    /// The apiserver's objects.
    pub store: Store,
    /// What each watcher has been told.
    pub watches: Watches,
    /// What has happened.
    pub observer: Observer,
    /// The note that caused what is being handled; notes made meanwhile and events scheduled meanwhile name it.
    pub cause: CauseId,
    queue: EventQueue<Scheduled>,
    writes: Vec<Option<PendingWrite>>,
    free_writes: Vec<u32>,
}

impl<'a> Context<'a> {
    /// A context at time zero.
    #[must_use]
    pub fn new(setup: &'a Setup, seed: u64, keep_trace: bool) -> Self {
        Self {
            setup,
            version: setup.version,
            random: Random::new(seed),
            store: Store::default(),
            watches: Watches::default(),
            observer: Observer::new(keep_trace),
            cause: CauseId::default(),
            queue: EventQueue::new(),
            writes: Vec::new(),
            free_writes: Vec::new(),
        }
    }

    /// The time of the event that is being handled.
    #[must_use]
    pub fn now(&self) -> Time {
        self.queue.now()
    }

    /// Lets `event` happen after `delay`, caused by whatever is being handled.
    pub fn schedule(&mut self, delay: Duration, event: Event) -> Timer {
        self.schedule_at(self.now() + delay, event)
    }

    /// Lets `event` happen at `time`.
    pub fn schedule_at(&mut self, time: Time, event: Event) -> Timer {
        self.queue.schedule(time, Scheduled { event, cause: self.cause })
    }

    /// Takes a scheduled event back; no effect if it has happened.
    pub fn cancel(&mut self, timer: Timer) {
        self.queue.cancel(timer);
    }

    /// The next event, if it comes no later than `end`; sets the time and the cause.
    pub fn pop(&mut self, end: Time) -> Option<Event> {
        if self.queue.peek_time()? > end {
            return None;
        }
        let (_, scheduled) = self.queue.pop()?;
        self.cause = scheduled.cause;
        Some(scheduled.event)
    }

    /// Writes down what happens now, and makes it the cause of what follows in this handler.
    pub fn note(&mut self, what: What) -> CauseId {
        self.cause = self.observer.note(self.now(), self.cause, what);
        self.cause
    }

    /// Writes down what happens now for whoever reads the trace; it causes nothing.
    pub fn remark(&mut self, what: What) {
        self.observer.remark(self.now(), self.cause, what);
    }

    /// How long a hop takes this time. `who` is the luck of the object that it is for, `index` tells its occasions apart:
    /// the answer depends on nothing else, so that other objects' luck does not shift.
    #[must_use]
    pub fn latency(&self, hop: Hop, who: u64, index: u64) -> Duration {
        let unit = self.random.unit(Key::new(hop.name()).number(who), index);
        self.setup.latencies.get(hop).sample(unit)
    }

    /// Sends a write to the apiserver: it commits after the request's way and the commit's time, and `caller` is told.
    /// `luck` and `index` identify it for keyed draws.
    pub fn submit(&mut self, write: Write, caller: Caller, luck: u64, index: u64) {
        self.submit_after_wait(Duration::ZERO, write, caller, luck, index);
    }

    /// As [`submit`](Self::submit), after the time that the client's rate limit makes the request wait.
    pub fn submit_after_wait(&mut self, wait: Duration, write: Write, caller: Caller, luck: u64, index: u64) {
        let way = wait + self.latency(Hop::ApiRequest, luck, index) + self.latency(Hop::ApiWrite, luck, index);
        self.submit_after(way, write, caller);
    }

    /// Lets a write commit after `delay`, which the caller has worked out itself.
    pub fn submit_after(&mut self, delay: Duration, write: Write, caller: Caller) {
        let pending = Some(PendingWrite { write, caller });
        let index = if let Some(index) = self.free_writes.pop() {
            self.writes[index as usize] = pending;
            index
        } else {
            self.writes.push(pending);
            u32::try_from(self.writes.len() - 1).expect("fewer than 2^32 writes under way")
        };
        self.schedule(delay, Event::Commit(index));
    }

    /// The write of a [`Event::Commit`].
    pub fn take_write(&mut self, index: u32) -> PendingWrite {
        self.free_writes.push(index);
        self.writes[index as usize].take().expect("a write commits once")
    }

    /// Lets every watcher of this kind of object learn of its newest version.
    pub fn publish(&mut self, kind: Kind, index: u32) {
        let at = index as usize;
        let (revision, versions) = match kind {
            Kind::Pod => self.store.pods.newest(at),
            Kind::Node => self.store.nodes.newest(at),
            Kind::Pdb => self.store.pdbs.newest(at),
            Kind::Endpoints => self.store.endpoints.newest(at),
            Kind::ReplicaSet => self.store.replica_sets.newest(at),
            Kind::Deployment => self.store.deployments.newest(at),
            Kind::StatefulSet => self.store.stateful_sets.newest(at),
            Kind::DaemonSet => self.store.daemon_sets.newest(at),
            Kind::Job => self.store.jobs.newest(at),
            Kind::Autoscaler => self.store.autoscalers.newest(at),
        };
        // the node whose kubelet watches this pod, even if the newest version is its removal
        let node = (kind == Kind::Pod)
            .then(|| self.store.pods.history(at).iter().rev().find_map(|v| v.value.as_ref()).and_then(|p| p.node))
            .flatten();
        let watched_by_scheduler = matches!(kind, Kind::Pod | Kind::Node);
        let watchers = [
            Some((Watches::CONTROLLER_MANAGER, "controllers")),
            watched_by_scheduler.then_some((Watches::SCHEDULER, "scheduler")),
            node.map(|node| (Watches::kubelet(node), "kubelet")),
        ];
        let luck = self.luck_of(kind, index);
        for (watch, name) in watchers.into_iter().flatten() {
            let delay = self.latency(Hop::Watch, Key::new(name).number(luck).bits(), versions);
            let time = self.watches.next_delivery(watch, kind, self.now() + delay);
            self.schedule_at(time, Event::Deliver(watch, kind, index, revision.0));
        }
    }

    /// The number that stands for an object in keyed draws.
    #[must_use]
    pub fn luck_of(&self, kind: Kind, index: u32) -> u64 {
        match kind {
            Kind::Pod => self.store.pod_meta[index as usize].luck,
            Kind::Node => node_luck(self.store.node_name(NodeId(index))),
            Kind::Pdb => Key::new("pdb").text(&self.store.pdb_specs[index as usize].full_name()).bits(),
            Kind::Endpoints => {
                let service = &self.store.services[index as usize];
                Key::new("endpoints").text(&service.namespace).text(&service.name).bits()
            }
            Kind::ReplicaSet => {
                let rs = self.store.replica_sets.head(index as usize);
                rs.map_or(0, |rs| Key::new("replicaset").text(&rs.namespace).text(&rs.name).bits())
            }
            Kind::Deployment => {
                let d = self.store.deployments.head(index as usize);
                d.map_or(0, |d| Key::new("deployment").text(&d.namespace).text(&d.name).bits())
            }
            Kind::StatefulSet => {
                let set = self.store.stateful_sets.head(index as usize);
                set.map_or(0, |s| Key::new("statefulset").text(&s.namespace).text(&s.name).bits())
            }
            Kind::DaemonSet => {
                let set = self.store.daemon_sets.head(index as usize);
                set.map_or(0, |s| Key::new("daemonset").text(&s.namespace).text(&s.name).bits())
            }
            Kind::Job => {
                let job = self.store.jobs.head(index as usize);
                job.map_or(0, |j| Key::new("job").text(&j.namespace).text(&j.name).bits())
            }
            Kind::Autoscaler => {
                let hpa = self.store.autoscalers.head(index as usize);
                hpa.map_or(0, |h| Key::new("hpa").text(&h.namespace).text(&h.name).bits())
            }
        }
    }

    /// The luck of a pod.
    #[must_use]
    pub fn pod_luck(&self, pod: PodId) -> u64 {
        self.store.pod_meta[pod.index()].luck
    }

    /// Up to which revision of this kind the informers of kube-controller-manager have been told. All its controllers
    /// share them.
    #[must_use]
    pub fn controller_view(&self, kind: Kind) -> Revision {
        self.watches.seen(Watches::CONTROLLER_MANAGER, kind)
    }

    /// Up to which revision of this kind the scheduler has been told.
    #[must_use]
    pub fn scheduler_view(&self, kind: Kind) -> Revision {
        self.watches.seen(Watches::SCHEDULER, kind)
    }
}

/// The number that stands for a node in keyed draws.
#[must_use]
pub fn node_luck(name: &str) -> u64 {
    Key::new("node").text(name).bits()
}

/// Which revisions each watcher has been told of, kind by kind. A watch delivers in order; across kinds nothing is
/// promised, as in Kubernetes.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    cursors: BTreeMap<(WatchId, Kind), Cursor>,
    start: Revision,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    seen: Revision,
    last_delivery: Time,
}

impl Watches {
    /// The informers of kube-controller-manager: one watch per kind, shared by its controllers.
    pub const CONTROLLER_MANAGER: WatchId = WatchId(0);
    /// The scheduler's.
    pub const SCHEDULER: WatchId = WatchId(1);
    /// The first kubelet's.
    const KUBELETS: u32 = 2;

    /// The watch of a node's kubelet: the pods that are bound to the node.
    #[must_use]
    pub const fn kubelet(node: NodeId) -> WatchId {
        WatchId(Self::KUBELETS + node.0)
    }

    /// The node whose kubelet this watch feeds, if it does.
    #[must_use]
    pub const fn node_of(watch: WatchId) -> Option<NodeId> {
        match watch.0.checked_sub(Self::KUBELETS) {
            Some(node) => Some(NodeId(node)),
            None => None,
        }
    }

    /// From here on everything up to `revision` counts as known to everybody: the steady state at the start.
    pub fn start_at(&mut self, revision: Revision) {
        self.start = revision;
    }

    /// Up to which revision a watcher has been told.
    #[must_use]
    pub fn seen(&self, watch: WatchId, kind: Kind) -> Revision {
        self.cursors.get(&(watch, kind)).map_or(self.start, |c| c.seen.max(self.start))
    }

    /// The time of the next delivery: not before the one before it.
    fn next_delivery(&mut self, watch: WatchId, kind: Kind, at: Time) -> Time {
        let cursor = self.cursors.entry((watch, kind)).or_default();
        cursor.last_delivery = cursor.last_delivery.max(at);
        cursor.last_delivery
    }

    /// A delivery has come.
    pub fn deliver(&mut self, watch: WatchId, kind: Kind, revision: Revision) {
        let cursor = self.cursors.entry((watch, kind)).or_default();
        debug_assert!(cursor.seen < revision, "a watch delivers in order");
        cursor.seen = revision;
    }
}
