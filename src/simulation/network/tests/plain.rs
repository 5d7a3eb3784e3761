//! The plain model: it has the whole history at hand, looks every request up in it, and keeps nothing between two requests
//! but a client's connections. News travel in no time.

use super::super::clients::{Draw, Source};
use super::super::sockets::AppTimes;
use super::*;

/// The plain model.
pub(super) struct Plain<'a> {
    pub setup: &'a Setup,
    pub script: &'a Script,
    pub proxies: KubeProxies<'a>,
    random: Random,
    apps: Vec<AppTimes<'a>>,
}

/// A request of the plain model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub traffic: u32,
    pub client: NodeId,
    pub number: u64,
    pub sent: Time,
    pub pod: Option<PodId>,
    /// When the client knew; `None`: never.
    pub known: Option<Time>,
    pub kind: Option<FailureKind>,
    pub cause: CauseId,
    /// When the pod would be done with it.
    pub work_ends: Option<Time>,
    /// The operation that kept the pod from that.
    pub cut_by: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Connection {
    pod: PodId,
    number: u64,
    idle_from: Time,
}

impl<'a> Plain<'a> {
    pub fn new(setup: &'a Setup, seed: u64, script: &'a Script) -> Self {
        let random = Random::new(seed);
        let mut proxies = KubeProxies::new(setup, random);
        for (index, (now, op)) in script.iter().enumerate() {
            match op {
                Op::AddNode(node) => proxies.add_node(*now, NodeId(*node), &name(NodeId(*node))),
                Op::NodeOff(node) => proxies.node_off(*now, NodeId(*node)),
                Op::Endpoints(service, list) => proxies.endpoints_written(
                    *now,
                    ServiceId(*service),
                    &endpoints(list),
                    |pod| Some(node_of(pod.0)),
                    cause(index),
                ),
                _ => {}
            }
        }
        proxies.finish(END);
        let apps = setup.apps.iter().map(AppTimes::new).collect();
        Self { setup, script, proxies, random, apps }
    }

    /// What the listener of a pod was, with what made it so; `before`: without what happened at this very time.
    fn listener(&self, pod: PodId, at: Time, before: bool) -> (Listener, CauseId) {
        let (mut state, mut by) = (Listener::Closed, CauseId::default());
        for (index, (time, op)) in self.script.iter().enumerate() {
            if *time > at || (before && *time == at) {
                break;
            }
            let next = match op {
                Op::Listen(p) if *p == pod.0 && state == Listener::Closed => Listener::Open,
                Op::Close(p) | Op::Cut(p) if *p == pod.0 && state == Listener::Open => Listener::Closed,
                Op::Vanish(p) if *p == pod.0 && state != Listener::Gone => Listener::Gone,
                _ => continue,
            };
            (state, by) = (next, cause(index));
        }
        (state, by)
    }

    /// The first operation in (from, to) that takes a pod's requests away.
    fn taken_away(&self, pod: PodId, from: Time, to: Time) -> Option<(usize, Time, bool)> {
        self.script.iter().enumerate().filter(|(_, (time, _))| *time > from && *time < to).find_map(
            |(index, (time, op))| match op {
                Op::Cut(p) if *p == pod.0 => Some((index, *time, false)),
                Op::Vanish(p) if *p == pod.0 => Some((index, *time, true)),
                _ => None,
            },
        )
    }

    /// The first time in [from, to] that the server's end of an idle connection went: when, why, told?
    fn idle_end(&self, pod: PodId, from: Time, to: Time) -> Option<(Time, CauseId, bool)> {
        let by_pod = self.script.iter().enumerate().filter(|(_, (time, _))| *time >= from && *time <= to).find_map(
            |(index, (time, op))| match op {
                Op::Close(p) | Op::Cut(p) if *p == pod.0 => Some((*time, cause(index), true)),
                Op::Vanish(p) if *p == pod.0 => Some((*time, cause(index), false)),
                _ => None,
            },
        );
        let timeout = self.apps[self.app(pod)].keep_alive_timeout.map(|t| (from + t, CauseId::default(), true));
        match (timeout.filter(|t| t.0 <= to), by_pod) {
            (Some(t), Some(p)) => Some(if t.0 <= p.0 { t } else { p }),
            (t, p) => t.or(p),
        }
    }

    /// What separates a client from a pod at a time.
    fn separation(&self, client: NodeId, pod: PodId, at: Time) -> Option<CauseId> {
        let ends = [client.0, node_of(pod.0).0];
        let mut cuts: Vec<(u32, CauseId)> = Vec::new();
        for (index, (_, op)) in self.script.iter().enumerate().filter(|(_, (time, _))| *time <= at) {
            match op {
                Op::CutOff(node) => cuts.push((*node, cause(index))),
                Op::Heal(node) => cuts.retain(|(n, _)| n != node),
                _ => {}
            }
        }
        cuts.into_iter().find(|(node, _)| ends[0] != ends[1] && ends.contains(node)).map(|(_, cause)| cause)
    }

    /// The first operation in (from, to) that cuts a client off from a pod.
    fn cut_between(&self, client: NodeId, pod: PodId, from: Time, to: Time) -> Option<usize> {
        let ends = [client.0, node_of(pod.0).0];
        self.script.iter().enumerate().filter(|(_, (time, _))| *time > from && *time < to).find_map(
            |(index, (_, op))| match op {
                Op::CutOff(node) if ends[0] != ends[1] && ends.contains(node) => Some(index),
                _ => None,
            },
        )
    }

    fn app(&self, pod: PodId) -> usize {
        pod.index() % self.setup.apps.len()
    }

    pub fn route(&self, service: ServiceId, node: NodeId, at: Time) -> (Route<'_>, CauseId) {
        let sync = self.proxies.syncs(node).iter().rev().find(|s| s.applied <= at).expect("a client has a proxy");
        self.proxies.route(service, self.proxies.version(service, sync.entries), node)
    }

    /// All requests of all clients.
    pub fn requests(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for (start, op) in self.script {
            let Op::AddNode(node) = op else { continue };
            let off = self.script.iter().find(|(_, op)| *op == Op::NodeOff(*node)).map_or(Time::MAX, |(time, _)| *time);
            for traffic in 0..self.setup.traffic.len() {
                told.extend(self.client(u32::try_from(traffic).unwrap(), NodeId(*node), *start, off));
            }
        }
        told.sort_by_key(|t| (t.sent, t.traffic, t.client, t.number));
        told
    }

    fn client(&self, index: u32, node: NodeId, start: Time, off: Time) -> Vec<Told> {
        let traffic = &self.setup.traffic[index as usize];
        let name = name(node);
        let key = Key::new("client").text(&traffic.name).text(&name).number(0);
        let rate = traffic.rate / traffic.from.len() as f64;
        let mut source = Source::new(traffic.arrivals, rate, traffic.start.max(start), self.random.stream(key));
        let stop = traffic.stop.unwrap_or(END).min(END).min(off);
        let mut connections: Vec<Connection> = Vec::new();
        let mut told: Vec<Told> = Vec::new();
        if !traffic.from.contains(&name) {
            return told;
        }
        while source.next < stop {
            let draw = source.draw();
            let mut one = self.one(index, node, &draw, &mut connections);
            if one.known.is_some_and(|known| known > END.min(off)) {
                (one.known, one.kind) = (None, None);
            }
            told.push(one);
        }
        told
    }

    fn one(&self, index: u32, client: NodeId, draw: &Draw, connections: &mut Vec<Connection>) -> Told {
        let traffic = &self.setup.traffic[index as usize];
        let sent = draw.sent;
        let mut told = Told {
            traffic: index,
            client,
            number: draw.number,
            sent,
            pod: None,
            known: Some(sent),
            kind: None,
            cause: CauseId::default(),
            work_ends: None,
            cut_by: None,
        };
        let fail = |told: &mut Told, kind, known, pod, cause| {
            (told.kind, told.known, told.pod, told.cause) = (Some(kind), Some(known), pod, cause);
            *told
        };
        let mut reused = None;
        if let Connections::KeepAlive { idle_max, idle_timeout, .. } = traffic.connections {
            self.limit(connections, sent, idle_max as usize, idle_timeout);
            while let Some(at) = (0..connections.len())
                .filter(|i| connections[*i].idle_from <= sent)
                .max_by_key(|i| (connections[*i].idle_from, connections[*i].number))
            {
                let idle = connections.remove(at);
                if idle_timeout.is_some_and(|t| idle.idle_from + t <= sent) {
                    continue;
                }
                if let Some(cause) = self.separation(client, idle.pod, sent) {
                    let known = sent + traffic.timeout;
                    return fail(&mut told, FailureKind::RequestTimeout, known, Some(idle.pod), cause);
                }
                match self.idle_end(idle.pod, idle.idle_from, sent) {
                    None => {
                        reused = Some(idle.pod);
                        break;
                    }
                    Some((_, cause, false)) => {
                        let known = sent + traffic.timeout;
                        return fail(&mut told, FailureKind::RequestTimeout, known, Some(idle.pod), cause);
                    }
                    // The client has heard of it at once.
                    Some((_, _, true)) => {}
                }
            }
        }
        let pod = if let Some(pod) = reused {
            pod
        } else {
            let (route, route_cause) = self.route(traffic.service, client, sent);
            let pods = match route {
                Route::Pods(pods) => pods,
                Route::Reject => return fail(&mut told, FailureKind::NoEndpoints, sent, None, route_cause),
                Route::Drop => {
                    let known = sent + traffic.timeout;
                    return fail(&mut told, FailureKind::ConnectTimeout, known, None, route_cause);
                }
            };
            let pod = pods[((u128::from(draw.choice) * pods.len() as u128) >> 64) as usize];
            if let Some(by) = self.separation(client, pod, sent) {
                return fail(&mut told, FailureKind::ConnectTimeout, sent + traffic.timeout, Some(pod), by);
            }
            match self.listener(pod, sent, false) {
                (Listener::Open, _) => pod,
                (Listener::Unattended, _) => unreachable!("no script has a proxy in a pod"),
                (Listener::Closed, by) => return fail(&mut told, FailureKind::Refused, sent, Some(pod), by),
                (Listener::Gone, by) => {
                    return fail(&mut told, FailureKind::ConnectTimeout, sent + traffic.timeout, Some(pod), by);
                }
            }
        };
        let time = self.apps[self.app(pod)].service_time(draw.service);
        let ends = sent + time.min(traffic.timeout);
        told.work_ends = Some(ends);
        let taken_away = self.taken_away(pod, sent, ends);
        told.cut_by = taken_away.map(|(index, ..)| index);
        if let Some(index) = self.cut_between(client, pod, sent, ends)
            && told.cut_by.is_none_or(|by| index < by)
        {
            // the pod works on, and does not know
            let by = if time > traffic.timeout { CauseId::default() } else { cause(index) };
            return fail(&mut told, FailureKind::RequestTimeout, sent + traffic.timeout, Some(pod), by);
        }
        if let Some((index, at, vanished)) = taken_away {
            return match (vanished, time > traffic.timeout) {
                (false, _) => fail(&mut told, FailureKind::ResetInFlight, at, Some(pod), cause(index)),
                (true, slow) => {
                    let by = if slow { CauseId::default() } else { cause(index) };
                    fail(&mut told, FailureKind::RequestTimeout, sent + traffic.timeout, Some(pod), by)
                }
            };
        }
        if time > traffic.timeout {
            return fail(&mut told, FailureKind::RequestTimeout, ends, Some(pod), CauseId::default());
        }
        // What was busy when the listener was closed is closed with its answer, even if the pod listens again by then.
        let closes = |(time, op): &(Time, Op)| {
            *time >= sent && *time <= ends && matches!(op, Op::Close(p) | Op::Cut(p) if *p == pod.0)
        };
        if self.listener(pod, ends, true).0 == Listener::Open && !self.script.iter().any(closes) {
            connections.push(Connection { pod, number: draw.number, idle_from: ends });
        }
        (told.known, told.pod) = (Some(ends), Some(pod));
        told
    }

    /// Closes what became idle by `now` while as many others were idle as may be.
    fn limit(&self, connections: &mut Vec<Connection>, now: Time, max: usize, idle_timeout: Option<Duration>) {
        connections.sort_by_key(|c| (c.idle_from, c.number));
        let mut kept: Vec<Connection> = Vec::new();
        for connection in connections.iter().filter(|c| c.idle_from <= now) {
            if kept.len() >= max {
                let at = connection.idle_from;
                kept.retain(|c| {
                    idle_timeout.is_none_or(|t| c.idle_from + t > at)
                        && self.idle_end(c.pod, c.idle_from, at).is_none_or(|(_, _, told)| !told)
                });
            }
            if kept.len() < max {
                kept.push(*connection);
            }
        }
        connections.retain(|c| c.idle_from > now || kept.contains(c));
    }

    /// The answer to the question that is operation number `index`.
    pub fn answer(&self, told: &[Told], index: usize, pod: PodId) -> Option<Time> {
        let now = self.script[index].0;
        let under_way = told.iter().filter(|t| {
            // A pod that still listens has got no request of this very instant yet.
            t.pod == Some(pod) && t.sent < now && t.cut_by.is_none_or(|by| by > index)
        });
        under_way.filter_map(|t| t.work_ends).filter(|ends| *ends > now).max()
    }
}
