//! The pods' sockets: what becomes of a connection to a pod, and of the requests that it is working on.

mod app_times;
mod front;
mod partition;

use crate::api::{NodeId, PodId, ServiceId};
use crate::engine::{Distribution, Duration, Time};
use crate::simulation::network::ledger::{Failed, Ledger, Request, Seen};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::{FailureKind, PodActivity};
use crate::simulation::setup::{ConnectionClose, IdleConnections, Setup, Shutdown};

pub(super) use app_times::AppTimes;
use front::Behind;
pub(super) use partition::Cut;

/// The sockets of all pods.
#[derive(Clone, Debug)]
pub(super) struct Sockets<'a> {
    /// What a new connection meets, by pod. Small, for it is looked at once per request.
    ends: Vec<End>,
    pods: Vec<PodSockets>,
    /// Those of the Setup, and then one that never answers.
    apps: Vec<AppTimes<'a>>,
    /// Nodes that have been cut off from all others, in order of time.
    cuts: Vec<Cut>,
    /// One of them still is.
    divided: bool,
}

/// How long a process that hangs takes to answer: longer than any client waits, and any run lasts.
static HUNG: Distribution = Distribution::Constant(Duration::from_secs(1 << 30));

/// What a new connection to a pod meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct End {
    pub state: Listener,
    /// Index into `Setup::apps`.
    pub app: u32,
}

/// The pod's end of a new connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Listener {
    /// The network is there, nobody listens: refused.
    #[default]
    Closed,
    /// Accepted.
    Open,
    /// Accepted by the proxy of the pod; what it serves as a front is not there, so that it answers requests itself.
    Unattended,
    /// There is no network: silence.
    Gone,
}

impl Listener {
    /// Whether a connection is accepted, whatever becomes of requests on it.
    pub fn accepts(self) -> bool {
        matches!(self, Self::Open | Self::Unattended)
    }
}

#[derive(Clone, Debug, Default)]
struct PodSockets {
    node: Option<NodeId>,
    services: Vec<ServiceId>,
    /// What works on the connections that are kept: an index as [`End::app`], which is for new ones.
    kept_app: u32,
    /// What made the listener what it is.
    cause: CauseId,
    /// The container behind the pod's proxy, if it has one.
    behind: Option<Behind>,
    /// Each change, with its time.
    activity: Vec<(Time, PodActivity)>,
    /// When the server's end of idle connections was closed, or went away.
    closed: Vec<Closed>,
    /// What a new connection has met, from which time on; for streams that are counted afterwards.
    changes: Vec<Change>,
    kills: Vec<Kill>,
    winding_down: Option<WindingDown>,
    /// Since when responses carry `Connection: close`.
    goodbye: Option<(Time, CauseId)>,
    /// Requests on connections of their own. Some may have ended since the list was last [settled](Self::settle).
    in_flight: Vec<InFlight>,
    settle_at: usize,
}

/// A process winds down: it works on no new connection any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WindingDown {
    pub since: Time,
    pub cause: CauseId,
    /// What becomes of connections meanwhile.
    pub shutdown: Shutdown,
}

/// The server's ends of connections are closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Closed {
    pub at: Time,
    pub cause: CauseId,
    pub by: Closing,
}

/// How they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closing {
    /// By a process that lives on: those that are idle at once, the others with their last answer, unless busy ones are
    /// spared. Over HTTP/2 it says which requests it has not processed.
    Gracefully {
        /// Those that are busy are kept, and served on afterwards.
        spares_busy: bool,
    },
    /// With the process, by the kernel.
    ByExit,
    /// The network has vanished: the client is told nothing.
    Silently,
}

impl Closed {
    /// The client is told (FIN or RST).
    pub fn told(self) -> bool {
        self.by != Closing::Silently
    }
}

/// What a new connection meets has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub at: Time,
    pub end: End,
    pub cause: CauseId,
}

/// All that a pod was working on has been ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kill {
    pub at: Time,
    pub cause: CauseId,
    /// Nobody was told.
    pub silent: bool,
}

/// A request that a pod is working on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InFlight {
    pub request: Request,
    /// When the pod is done with it, one way or the other.
    pub ends: Time,
    /// The client gives up at that time, before the answer.
    pub times_out: bool,
    /// The client has died, or cannot be reached, and the request has been counted; the pod does not know, and works on.
    pub orphan: bool,
}

impl<'a> Sockets<'a> {
    pub fn new(setup: &'a Setup) -> Self {
        let mut apps: Vec<_> = setup.apps.iter().map(AppTimes::new).collect();
        apps.push(AppTimes::with(&HUNG));
        Self { ends: Vec::new(), pods: Vec::new(), apps, cuts: Vec::new(), divided: false }
    }

    pub fn create(&mut self, pod: PodId, app: u32, services: &[ServiceId], node: NodeId) {
        debug_assert!((app as usize) < self.apps.len(), "the app of a pod exists");
        self.set_app(pod, Some(app));
        let sockets = self.pod_mut(pod);
        sockets.node = Some(node);
        sockets.services = services.to_vec();
        if let Some(answer) = self.kept_app(pod).nobody_behind {
            self.has_front(pod, answer);
        }
    }

    /// A pod whose network had vanished has a new sandbox: nothing listens in it yet.
    pub fn renew(&mut self, now: Time, pod: PodId) {
        self.ends[pod.index()].state = Listener::Closed;
        if let Some(behind) = &mut self.pod_mut(pod).behind {
            behind.listens = false;
        }
        self.note_change(now, pod);
        self.begin_anew(now, pod);
    }

    /// The pod's next process begins.
    pub fn begin_anew(&mut self, now: Time, pod: PodId) {
        let sockets = self.pod_mut(pod);
        (sockets.winding_down, sockets.goodbye) = (None, None);
        sockets.activity.push((now, PodActivity::Starting));
    }

    /// Makes room up to this pod. One of which only the EndpointSlices have told listens to nothing.
    pub fn know(&mut self, pod: PodId) {
        if self.pods.len() <= pod.index() {
            self.ends.resize(pod.index() + 1, End::default());
            self.pods.resize(pod.index() + 1, PodSockets::new());
        }
    }

    /// The Service's traffic can reach the pod.
    pub fn serves(&mut self, pod: PodId, service: ServiceId) {
        let services = &mut self.pod_mut(pod).services;
        if !services.contains(&service) {
            services.push(service);
        }
    }

    /// So many pods are known.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    pub fn services_of(&self, pod: PodId) -> &[ServiceId] {
        &self.pods[pod.index()].services
    }

    pub fn node_of(&self, pod: PodId) -> Option<NodeId> {
        self.pods.get(pod.index())?.node
    }

    pub fn end(&self, pod: PodId) -> End {
        self.ends[pod.index()]
    }

    /// What made a new connection meet what it meets now.
    pub fn cause(&self, pod: PodId) -> CauseId {
        self.pods[pod.index()].cause
    }

    /// Whether what comes to the pod is never answered.
    pub fn hangs(&self, pod: PodId) -> bool {
        self.end(pod).app as usize == self.apps.len() - 1
    }

    /// Whether this is the app that answers nothing.
    pub fn never_answers(&self, app: &AppTimes<'a>) -> bool {
        self.apps.last().is_some_and(|hung| std::ptr::eq(hung, app))
    }

    /// From now on the pod works on requests as this app does, or (`None`) answers none.
    pub fn set_app(&mut self, pod: PodId, app: Option<u32>) {
        let app = app.unwrap_or(self.hung());
        self.ends[pod.index()].app = app;
        self.pod_mut(pod).kept_app = app;
    }

    /// The app that answers nothing.
    fn hung(&self) -> u32 {
        u32::try_from(self.apps.len() - 1).expect("fewer than 2^32 apps")
    }

    /// The app that works on what comes over a new connection.
    pub fn app(&self, pod: PodId) -> &AppTimes<'a> {
        &self.apps[self.end(pod).app as usize]
    }

    /// The app that works on a request. `kept`: its connection was made before the pod's process began to wind down. Behind a
    /// proxy every request may come to the application on a new connection.
    pub fn app_for(&self, pod: PodId, kept: bool) -> &AppTimes<'a> {
        let fronted = self.pods[pod.index()].behind.is_some();
        if kept && !fronted { self.kept_app(pod) } else { self.app(pod) }
    }

    /// The app that works on what comes over connections that the pod has kept.
    pub fn kept_app(&self, pod: PodId) -> &AppTimes<'a> {
        &self.apps[self.pods[pod.index()].kept_app as usize]
    }

    pub fn set_activity(&mut self, now: Time, pod: PodId, activity: PodActivity) {
        self.pod_mut(pod).activity.push((now, activity));
    }

    /// What the pod was doing. One that has done nothing yet is starting.
    pub fn activity(&self, pod: PodId, seen: Seen) -> PodActivity {
        let changes = &self.pods[pod.index()].activity;
        let past = match seen {
            Seen::At(time) => changes.partition_point(|(changed, _)| *changed <= time),
            Seen::Before(time) => changes.partition_point(|(changed, _)| *changed < time),
        };
        past.checked_sub(1).map_or(PodActivity::Starting, |last| changes[last].1)
    }

    /// When the network of a pod vanished.
    pub fn vanished_at(&self, pod: PodId) -> Option<Time> {
        self.pods[pod.index()].closed.iter().find(|c| !c.told()).map(|c| c.at)
    }

    /// The pod accepts connections from now on. One whose network has vanished never does again.
    pub fn listen(&mut self, now: Time, pod: PodId, cause: CauseId) {
        if self.end(pod).state != Listener::Closed {
            return;
        }
        let attended = self.pods[pod.index()].behind.is_none_or(|behind| behind.listens);
        self.ends[pod.index()].state = if attended { Listener::Open } else { Listener::Unattended };
        let always = self.kept_app(pod).shutdown.connection_close == ConnectionClose::Always;
        let sockets = self.pod_mut(pod);
        (sockets.winding_down, sockets.goodbye) = (None, always.then_some((now, cause)));
        sockets.cause = cause;
        if sockets.activity.last().is_none_or(|(_, activity)| *activity != PodActivity::PreStop) {
            sockets.activity.push((now, PodActivity::Serving));
        }
        self.note_change(now, pod);
    }

    /// What comes from now on is not answered.
    pub fn hang(&mut self, now: Time, pod: PodId, cause: CauseId) {
        let sockets = self.pod_mut(pod);
        sockets.cause = cause;
        sockets.activity.push((now, PodActivity::Hanging));
        self.note_change(now, pod);
    }

    /// New connections are refused from now on, what is in flight goes on. What becomes of idle connections depends on the
    /// app.
    pub fn close_listener(&mut self, now: Time, pod: PodId, cause: CauseId) {
        if self.end(pod).state.accepts() {
            self.wind_down(now, pod, cause);
            self.ends[pod.index()].state = Listener::Closed;
            self.note_change(now, pod);
        }
    }

    /// The listening socket stays, but nobody accepts from it: new connections are completed and never answered.
    pub fn stop_accepting(&mut self, now: Time, pod: PodId, cause: CauseId) {
        if self.end(pod).state.accepts() {
            self.wind_down(now, pod, cause);
            self.ends[pod.index()].app = self.hung();
            self.note_change(now, pod);
        }
    }

    fn wind_down(&mut self, now: Time, pod: PodId, cause: CauseId) {
        let shutdown = self.kept_app(pod).shutdown;
        let sockets = self.pod_mut(pod);
        sockets.cause = cause;
        if sockets.winding_down.is_some() {
            return;
        }
        sockets.winding_down = Some(WindingDown { since: now, cause, shutdown });
        let soft = match shutdown.idle_connections {
            IdleConnections::Close => Some(Closing::Gracefully { spares_busy: false }),
            IdleConnections::CloseOnce => Some(Closing::Gracefully { spares_busy: true }),
            IdleConnections::Serve | IdleConnections::ServeUntilExit | IdleConnections::CloseOnUse => None,
        };
        if let Some(by) = soft {
            sockets.closed.push(Closed { at: now, cause, by });
        }
        if shutdown.connection_close != ConnectionClose::Never {
            sockets.goodbye.get_or_insert((now, cause));
        }
        sockets.activity.push((now, PodActivity::Draining));
    }

    /// Responses carry `Connection: close` from now on.
    pub fn says_goodbye(&mut self, now: Time, pod: PodId, cause: CauseId) {
        self.pod_mut(pod).goodbye.get_or_insert((now, cause));
    }

    /// Since when the pod's responses carry `Connection: close`, if they do, and why.
    pub fn goodbye(&self, pod: PodId) -> Option<(Time, CauseId)> {
        self.pods[pod.index()].goodbye
    }

    /// The pod's process, if it winds down.
    pub fn winding_down(&self, pod: PodId) -> Option<WindingDown> {
        self.pods[pod.index()].winding_down
    }

    /// The process has ended: in addition, what is in flight is cut.
    pub fn cut(&mut self, now: Time, pod: PodId, cause: CauseId, ledger: &mut Ledger) {
        if self.end(pod).state == Listener::Gone {
            return;
        }
        let listened = self.end(pod).state.accepts();
        self.ends[pod.index()].state = Listener::Closed;
        let sockets = self.pod_mut(pod);
        if listened {
            sockets.cause = cause;
            sockets.activity.push((now, PodActivity::Draining));
        }
        sockets.closed.push(Closed { at: now, cause, by: Closing::ByExit });
        sockets.settle(pod, now, ledger);
        for cut in sockets.in_flight.drain(..).filter(|r| !r.orphan) {
            ledger.fail(now, reset_in_flight(cut.request, pod, now, cause));
        }
        sockets.activity.push((now, PodActivity::Exited));
        sockets.kills.push(Kill { at: now, cause, silent: false });
        if listened {
            self.note_change(now, pod);
        }
    }

    /// The network has vanished without a word: whoever waits for an answer waits in vain.
    pub fn vanish(&mut self, now: Time, pod: PodId, cause: CauseId, ledger: &mut Ledger) {
        if self.end(pod).state == Listener::Gone {
            return;
        }
        self.ends[pod.index()].state = Listener::Gone;
        let sockets = self.pod_mut(pod);
        sockets.settle(pod, now, ledger);
        for lost in sockets.in_flight.drain(..).filter(|r| !r.orphan) {
            ledger.fail(now, lost_in_flight(&lost, pod, now, cause, ledger.timeout(lost.request.traffic)));
        }
        sockets.cause = cause;
        sockets.closed.push(Closed { at: now, cause, by: Closing::Silently });
        sockets.activity.push((now, PodActivity::NetworkGone));
        sockets.kills.push(Kill { at: now, cause, silent: true });
        self.note_change(now, pod);
    }

    /// What has closed the server's ends of connections from `since` on, up to `now`, in order of time.
    pub fn closings(&self, pod: PodId, since: Time, now: Time) -> impl Iterator<Item = Closed> {
        let closed = &self.pods[pod.index()].closed;
        closed[closed.partition_point(|c| c.at < since)..].iter().take_while(move |c| c.at <= now).copied()
    }

    /// Puts down a request that a pod is working on at `now`, up to which time is simulated.
    pub fn work_on(&mut self, now: Time, pod: PodId, in_flight: InFlight, ledger: &mut Ledger) {
        debug_assert!(in_flight.ends > now, "it is not done yet");
        debug_assert!(
            in_flight.orphan || self.end(pod).state == Listener::Open,
            "only a pod that listens is given work"
        );
        let sockets = self.pod_mut(pod);
        if sockets.in_flight.len() >= sockets.settle_at {
            sockets.settle(pod, now, ledger);
            sockets.settle_at = (2 * sockets.in_flight.len()).max(PodSockets::SETTLE_AT_LEAST);
        }
        sockets.in_flight.push(in_flight);
    }

    /// The end of the last request that this pod is working on at `now`.
    pub fn in_flight_until(&mut self, now: Time, pod: PodId, ledger: &mut Ledger) -> Option<Time> {
        let sockets = self.pod_mut(pod);
        sockets.settle(pod, now, ledger);
        // what came after the process had stopped to accept, nobody works on
        let attended = sockets.winding_down.map_or(Time::MAX, |w| w.since);
        sockets.in_flight.iter().filter(|r| r.request.sent <= attended).map(|r| r.ends).max()
    }

    /// The clients of a node have died.
    pub fn client_off(&mut self, now: Time, node: NodeId, ledger: &mut Ledger) {
        for (pod, sockets) in self.pods.iter_mut().enumerate() {
            sockets.settle(PodId::from(pod), now, ledger);
            for in_flight in sockets.in_flight.iter_mut().filter(|r| r.request.client == node && !r.orphan) {
                in_flight.orphan = true;
                ledger.unfinished(in_flight.request.traffic);
            }
        }
    }

    /// The run is over: what is still worked on stays unfinished.
    pub fn finish(&mut self, end: Time, ledger: &mut Ledger) {
        for (pod, sockets) in self.pods.iter_mut().enumerate() {
            sockets.settle(PodId::from(pod), end, ledger);
            for in_flight in sockets.in_flight.drain(..).filter(|r| !r.orphan) {
                ledger.unfinished(in_flight.request.traffic);
            }
        }
    }

    /// Each change of what a new connection meets, the first one at the beginning.
    pub fn changes(&self, pod: PodId) -> &[Change] {
        &self.pods[pod.index()].changes
    }

    /// When all that a pod was working on was ended.
    pub fn kills(&self, pod: PodId) -> &[Kill] {
        &self.pods[pod.index()].kills
    }

    /// How long an app works, by its number in an [`End`].
    pub fn app_times(&self, app: u32) -> &AppTimes<'a> {
        &self.apps[app as usize]
    }

    /// The requests of a stream that a pod is working on at `now`, as far as they are simulated one by one.
    pub fn in_flight(&self, now: Time, pod: PodId, traffic: u32) -> impl Iterator<Item = InFlight> {
        let in_flight = self.pods[pod.index()].in_flight.iter().copied();
        in_flight.filter(move |r| r.request.traffic == traffic && r.ends > now)
    }

    fn note_change(&mut self, now: Time, pod: PodId) {
        let end = self.end(pod);
        let sockets = self.pod_mut(pod);
        sockets.changes.push(Change { at: now, end, cause: sockets.cause });
    }

    fn pod_mut(&mut self, pod: PodId) -> &mut PodSockets {
        &mut self.pods[pod.index()]
    }
}

impl PodSockets {
    fn new() -> Self {
        let closed = Change { at: Time::ZERO, end: End::default(), cause: CauseId::default() };
        Self { changes: vec![closed], ..Self::default() }
    }

    /// Shorter lists are not worth looking through.
    const SETTLE_AT_LEAST: usize = 64;

    /// Counts what has ended by `now`, and takes it off the list.
    fn settle(&mut self, pod: PodId, now: Time, ledger: &mut Ledger) {
        self.in_flight.retain(|in_flight| {
            let goes_on = in_flight.ends > now;
            if !goes_on && !in_flight.orphan {
                ledger.end(in_flight, pod);
            }
            goes_on
        });
    }
}

/// The connection on which `request` was answered has been cut at `now`.
pub(super) fn reset_in_flight(request: Request, pod: PodId, now: Time, cause: CauseId) -> Failed {
    let kind = FailureKind::ResetInFlight;
    Failed { request, failed_at: now, kind, pod: Some(pod), gateway: None, cause, seen: Seen::Before(now) }
}

/// The pod that was to answer has vanished at `now`. A request that would have timed out anyhow is not its fault.
pub(super) fn lost_in_flight(in_flight: &InFlight, pod: PodId, now: Time, cause: CauseId, timeout: Duration) -> Failed {
    let (cause, seen) =
        if in_flight.times_out { (CauseId::default(), Seen::Before(now)) } else { (cause, Seen::At(now)) };
    let request = in_flight.request;
    Failed {
        request,
        failed_at: request.sent + timeout,
        kind: FailureKind::RequestTimeout,
        pod: Some(pod),
        gateway: None,
        cause,
        seen,
    }
}
