//! What an outage is made of: from the fault to the endpoint that ends it, part by part.

use crate::api::{NodeId, Pod, PodId, ServiceId, Store};
use crate::engine::{Duration, Time};
use crate::simulation::observe::What;

/// A stretch of time in which the EndpointSlices of a Service listed no ready endpoint, and what led to it.
#[derive(Clone, PartialEq, Debug)]
pub struct Outage {
    /// The first instant without a ready endpoint.
    pub from: Time,
    /// The first instant with one again; `None`: not in this run.
    pub to: Option<Time>,
    /// That, or the end of the run.
    pub until: Time,
    /// The last pod that was a ready endpoint.
    pub lost: Option<PodId>,
    /// The node of that pod.
    pub node: Option<NodeId>,
    /// The pod that ended the outage: another one, or the same.
    pub back: Option<PodId>,
    /// What it began with: the fault of the node, or else the deletion of the pod, or else the first instant without an
    /// endpoint.
    pub begins: (Time, Start),
    /// Its parts, in order of time; each ends at its instant and begins at the end of the one before. The last one ends the
    /// outage, if it has ended.
    pub parts: Vec<(Part, Time)>,
}

/// What an outage began with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// A node lost its power, its kubelet was stopped, or it was cut off.
    Fault(What),
    /// A pod was deleted.
    Deletion,
    /// Something else: the pod became unready by itself.
    Unready,
}

/// A part of an outage, named by what it ends with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// … the node's Ready condition becomes Unknown.
    Detection,
    /// … the node gets the taint that drives pods away.
    Tainting,
    /// … the pod is deleted.
    Toleration,
    /// … another pod is created.
    Recreation,
    /// … it is bound to a node.
    Scheduling,
    /// … the node's kubelet is back.
    Return,
    /// … the pod that ends the outage listens.
    Startup,
    /// … it is a ready endpoint.
    Readiness,
}

impl Part {
    /// All parts, in the order in which they come as a rule.
    pub const ALL: [Self; 8] = [
        Self::Detection,
        Self::Tainting,
        Self::Toleration,
        Self::Recreation,
        Self::Scheduling,
        Self::Return,
        Self::Startup,
        Self::Readiness,
    ];

    /// The name in results: `detection`, `tainting`, …
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Tainting => "tainting",
            Self::Toleration => "toleration",
            Self::Recreation => "recreation",
            Self::Scheduling => "scheduling",
            Self::Return => "return",
            Self::Startup => "startup",
            Self::Readiness => "readiness",
        }
    }
}

impl Outage {
    /// From what it began with to its end, or to the end of the run.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.until.since(self.begins.0)
    }

    /// How long a part was, if there was one.
    #[must_use]
    pub fn part(&self, part: Part) -> Option<Duration> {
        let at = self.parts.iter().position(|(p, _)| *p == part)?;
        let before = at.checked_sub(1).map_or(self.begins.0, |before| self.parts[before].1);
        Some(self.parts[at].1.since(before))
    }
}

/// The outages of a Service, in order of time. `moments` are the notes about nodes and listeners, in order of time.
pub(super) fn outages(store: &Store, moments: &[(Time, What)], service: ServiceId, end: Time) -> Vec<Outage> {
    let history = store.endpoints.history(service.index());
    let ready = |version: usize| -> Vec<PodId> {
        let endpoints = history[version].value.as_ref();
        endpoints.map_or_else(Vec::new, |e| e.list.iter().filter(|e| e.ready).map(|e| e.pod).collect())
    };
    let mut outages = Vec::new();
    for version in 1..history.len() {
        let lost = ready(version - 1).last().copied();
        if lost.is_none() || !ready(version).is_empty() {
            continue;
        }
        let back = (version + 1..history.len()).find(|later| !ready(*later).is_empty());
        let (to, back) = match back {
            Some(later) => (Some(history[later].time), ready(later).first().copied()),
            None => (None, None),
        };
        let mut outage = outage(store, moments, (history[version].time, to), (lost, back));
        outage.until = to.unwrap_or(end);
        outages.push(outage);
    }
    outages
}

fn outage(
    store: &Store,
    moments: &[(Time, What)],
    (from, to): (Time, Option<Time>),
    (lost, back): (Option<PodId>, Option<PodId>),
) -> Outage {
    let until = to.unwrap_or(Time::MAX);
    let first = |pod: PodId, is: &dyn Fn(Option<&Pod>) -> bool| {
        store.pods.history(pod.index()).iter().find(|v| is(v.value.as_ref())).map(|v| v.time)
    };
    let node = lost.and_then(|pod| {
        store.pods.history(pod.index()).iter().rev().find_map(|v| v.value.as_ref()).and_then(|pod| pod.node)
    });
    let deleted = lost.and_then(|pod| first(pod, &|p| p.is_none_or(|p| p.deletion.is_some())));
    let deleted = deleted.filter(|at| *at <= until);
    let fault = moments.iter().rev().find(|(at, what)| *at <= from && node.is_some_and(|n| is_fault(*what, n)));
    // a fault that was over before is not to blame
    let healed = |since: Time| {
        let back = |what: What| matches!(what, What::KubeletConnected { node: n } if Some(n) == node);
        moments.iter().any(|(at, what)| *at > since && *at <= from && back(*what))
    };
    let fault = fault.filter(|(at, _)| !healed(*at) && deleted.is_none_or(|deleted| *at <= deleted));
    let begins = match (fault, deleted.filter(|at| *at <= from)) {
        (Some((at, what)), _) => (*at, Start::Fault(*what)),
        (None, Some(at)) => (at, Start::Deletion),
        (None, None) => (from, Start::Unready),
    };
    let after = |is: &dyn Fn(What) -> bool| {
        moments.iter().find(|(at, what)| *at > begins.0 && *at <= until && is(*what)).map(|(at, _)| *at)
    };
    let on_node = |what: What, of: fn(What) -> Option<NodeId>| of(what).is_some_and(|n| Some(n) == node);
    let mut parts: Vec<(Part, Time)> = Vec::new();
    let mut add = |part: Part, at: Option<Time>| {
        parts.extend(at.filter(|at| *at >= begins.0 && *at <= until).map(|at| (part, at)));
    };
    if fault.is_some() {
        add(Part::Detection, after(&|what| on_node(what, given_up)));
        add(Part::Tainting, after(&|what| on_node(what, tainted)).filter(|at| deleted.is_none_or(|d| *at <= d)));
        add(Part::Toleration, deleted);
    }
    if let Some(back) = back {
        let created = store.pod_meta[back.index()].created_at;
        if created >= begins.0 && created > Time::ZERO {
            add(Part::Recreation, Some(created));
            add(Part::Scheduling, first(back, &|p| p.is_some_and(|p| p.node.is_some())));
        } else {
            add(Part::Return, after(&|what| on_node(what, connected)));
        }
        add(
            Part::Startup,
            after(
                &|what| matches!(what, What::ListenerOpened { pod } | What::ContainerListens { pod, .. } if pod == back),
            ),
        );
        add(Part::Readiness, to);
    }
    parts.sort_by_key(|(part, at)| (*at, *part));
    Outage { from, to, until, lost, node, back, begins, parts }
}

fn is_fault(what: What, of: NodeId) -> bool {
    matches!(what, What::NodeOff { node } | What::KubeletStopped { node } | What::NodeCutOff { node, .. } if node == of)
}

fn given_up(what: What) -> Option<NodeId> {
    if let What::NodeUnreachable { node } = what { Some(node) } else { None }
}

fn tainted(what: What) -> Option<NodeId> {
    if let What::PodsDrivenAway { node } = what { Some(node) } else { None }
}

fn connected(what: What) -> Option<NodeId> {
    if let What::KubeletConnected { node } = what { Some(node) } else { None }
}
