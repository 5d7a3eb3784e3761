//! In which ways the requests of a stream ended, and how many are expected to have, given the timeline.
//!
//! A request that a pod accepts when it is sent at `s` leaves the pod at `e`: with the answer, or when its client's patience
//! is over. What becomes of it is decided by the first of the events after `s` that find it under way (`e` is later): the
//! process ends, the pod vanishes, a partition comes between, the client's node loses power, the run ends.

use std::collections::BTreeMap;

use crate::api::{NodeId, PodId};
use crate::engine::{Duration, Time};
use crate::simulation::network::bulk::routes::Routes;
use crate::simulation::network::bulk::{Last, Stream};
use crate::simulation::network::rules::Route;
use crate::simulation::network::sockets::{Listener, Sockets};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::FailureKind;

/// What became of a stream, as far as the timeline tells.
#[derive(Clone, Debug)]
pub(super) struct Ends<'p> {
    /// By life of a client.
    pub routes: Vec<Option<Routes<'p>>>,
    /// How many requests are expected to be sent.
    pub sent: f64,
    /// Those of them of which nobody knows the end.
    pub unfinished: f64,
    /// Those of them that would have ended later than the last one did: there are none.
    pub ruled_out: f64,
    /// Those that failed.
    pub failed: Vec<Region>,
    /// The last ones that pods were asked for.
    pub last: Vec<(PodId, Last, End)>,
}

/// Requests that failed in one way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    pub life: usize,
    pub pod: Option<PodId>,
    pub failing: Failing,
    /// Sent from this time on.
    pub from: Time,
    /// And before this one.
    pub to: Time,
    pub which: Which,
    /// How many are expected.
    pub mean: f64,
}

/// Which of the requests that were sent in a stretch of time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    All,
    /// Those that take longer than the client waits.
    Slow {
        app: u32,
    },
    /// Those that leave the pod after `at` and before `before`.
    UnderWay {
        app: u32,
        at: Time,
        before: Time,
    },
    /// The same without the slow ones.
    UnderWayNotSlow {
        app: u32,
        at: Time,
        before: Time,
    },
}

/// How a request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Answered,
    Failed(Failing),
    Unfinished,
}

/// How a request fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failing {
    pub kind: FailureKind,
    pub cause: CauseId,
    pub known: Known,
    pub seen: SeenAt,
}

/// When a client knows that its request has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    AtOnce,
    AfterTimeout,
    At(Time),
}

/// When to look at what the pod was doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SeenAt {
    Sent,
    Timeout,
    At(Time),
    Before(Time),
}

/// What a new connection meets in a stretch of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meeting {
    pub from: Time,
    pub to: Time,
    pub what: Meets,
}

/// What a new connection meets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meets {
    /// The pod accepts it, and works as this app does.
    Open(u32),
    Refusal(CauseId),
    Silence(CauseId),
}

/// What finds requests under way.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The node of the client loses power, or the run ends.
    Over,
    Reset(CauseId),
    /// The pod vanishes, or packets to it do.
    Silence(CauseId),
}

/// The expected number of failed requests by kind, given the timeline.
pub(in crate::simulation::network) fn expected_failures(
    stream: &Stream<'_, '_>,
    end: Time,
) -> BTreeMap<FailureKind, f64> {
    let ends = ends(stream, end);
    let mut expected = BTreeMap::new();
    for region in &ends.failed {
        *expected.entry(region.failing.kind).or_insert(0.0) += region.mean;
    }
    for (_, _, end) in &ends.last {
        if let End::Failed(failing) = end {
            *expected.entry(failing.kind).or_insert(0.0) += 1.0;
        }
    }
    expected
}

/// What became of a stream by the end of the run.
pub(super) fn ends<'p>(stream: &Stream<'p, '_>, end: Time) -> Ends<'p> {
    let mut finder = Finder {
        stream,
        end,
        ends: Ends {
            routes: Vec::new(),
            sent: 0.0,
            unfinished: 0.0,
            ruled_out: 0.0,
            failed: Vec::new(),
            last: Vec::new(),
        },
    };
    for life in 0..stream.record.lives.len() {
        finder.life(life);
    }
    for (pod, asks) in &stream.record.asks {
        for (ask, last) in asks.iter().filter_map(|ask| Some((ask, ask.last?))) {
            let fate = finder.fate(*pod, ask.kills, &last);
            finder.ends.last.push((*pod, last, fate));
        }
    }
    finder.ends
}

struct Finder<'s, 'p, 'a> {
    stream: &'s Stream<'p, 'a>,
    end: Time,
    ends: Ends<'p>,
}

/// Requests of a client that a pod accepts in a stretch of time, of which none ends after `before`.
#[derive(Clone, Copy, Debug)]
struct Batch {
    life: usize,
    pod: PodId,
    app: u32,
    from: Time,
    to: Time,
    before: Time,
}

impl<'p> Finder<'_, 'p, '_> {
    /// All requests of the clients of a node.
    fn life(&mut self, number: usize) {
        let life = &self.stream.record.lives[number];
        let traffic = self.stream.traffic;
        let to = [life.off, traffic.stop].into_iter().flatten().fold(self.end, Time::min);
        if life.from >= to {
            self.ends.routes.push(None);
            return;
        }
        let routes = Routes::new(self.stream.plane.proxies, traffic.service, life, life.from, to);
        self.ends.sent += life.rate * to.since(life.from).as_nanos() as f64;
        for (step, to) in routes.spans() {
            let kind = match step.route {
                Route::Pods(_) => continue,
                Route::Reject => FailureKind::NoEndpoints,
                Route::Drop => FailureKind::ConnectTimeout,
            };
            let mean = |from: Time, to: Time| life.rate * to.since(from).as_nanos() as f64;
            self.no_connection(number, None, kind, step.cause, (step.from, to), &mean);
        }
        for (pod, from, to) in routes.spells() {
            for meeting in meets(self.stream.plane.sockets, life.node, pod, from, to) {
                let span = (meeting.from, meeting.to);
                let mean = |from, to| routes.sent(from, to);
                match meeting.what {
                    Meets::Refusal(cause) => {
                        self.no_connection(number, Some(pod), FailureKind::Refused, cause, span, &mean);
                    }
                    Meets::Silence(cause) => {
                        self.no_connection(number, Some(pod), FailureKind::ConnectTimeout, cause, span, &mean);
                    }
                    Meets::Open(app) => self.accepted(&routes, (number, pod, app), span),
                }
            }
        }
        self.ends.routes.push(Some(routes));
    }

    /// Requests for which no pod accepts a connection.
    fn no_connection(
        &mut self,
        life: usize,
        pod: Option<PodId>,
        kind: FailureKind,
        cause: CauseId,
        (from, to): (Time, Time),
        mean: &dyn Fn(Time, Time) -> f64,
    ) {
        let known = if kind == FailureKind::ConnectTimeout { Known::AfterTimeout } else { Known::AtOnce };
        let told = match known {
            Known::AfterTimeout => self.told_before(life).clamp(from, to),
            _ => to,
        };
        let failing = Failing { kind, cause, known, seen: SeenAt::Sent };
        self.region(Region { life, pod, failing, from, to: told, which: Which::All, mean: mean(from, told) });
        self.ends.unfinished += mean(told, to);
    }

    /// Requests that a pod accepts in a stretch in which it works as one app does.
    fn accepted(&mut self, routes: &Routes<'p>, (life, pod, app): (usize, PodId, u32), (from, to): (Time, Time)) {
        let sockets = self.stream.plane.sockets;
        let kills = sockets.kills(pod).partition_point(|kill| kill.at < to);
        let asks = self.stream.record.asks.get(&pod).map_or(&[][..], Vec::as_slice);
        let asks = || asks.iter().filter(|ask| ask.kills == kills && ask.at > from);
        let client = self.stream.record.lives[life].node;
        let crossing = || sockets.cuts().filter(|cut| cut.from >= to && sockets.crosses(cut, client, pod));
        // Where what happens to a request changes with the time when it was sent.
        let mut bounds: Vec<Time> = asks().map(|ask| ask.at).collect();
        bounds.extend(crossing().filter_map(|cut| Some(cut.heals? - self.stream.traffic.timeout)));
        bounds.retain(|at| *at > from && *at < to);
        bounds.sort_unstable();
        bounds.push(to);
        let mut from = from;
        for to in bounds {
            let ask = asks().find(|ask| ask.at >= to);
            let before = ask.map_or(Time::MAX, |ask| ask.last.map_or(ask.at, |last| last.ends));
            let batch = Batch { life, pod, app, from, to, before };
            let event = self.first_event(life, pod, kills, from);
            self.batch(routes, batch, event);
            from = to;
        }
    }

    /// The first thing that would happen to a request that was sent at this time, `kills` ends of processes ago.
    fn first_event(&self, life: usize, pod: PodId, kills: usize, sent: Time) -> (Time, Event) {
        let sockets = self.stream.plane.sockets;
        let life = &self.stream.record.lives[life];
        // At one instant the client's node dies first; the run ends last.
        let mut events = vec![(self.end, 2, Event::Over)];
        events.extend(life.off.map(|off| (off, 0, Event::Over)));
        events.extend(
            sockets.kills(pod).get(kills).map(|kill| {
                (kill.at, 1, if kill.silent { Event::Silence(kill.cause) } else { Event::Reset(kill.cause) })
            }),
        );
        let patience = sent + self.stream.traffic.timeout;
        let lost = sockets.cuts().find(|cut| {
            cut.from >= sent && cut.heals.is_none_or(|heals| heals > patience) && sockets.crosses(cut, life.node, pod)
        });
        events.extend(lost.map(|cut| (cut.from, 1, Event::Silence(cut.cause))));
        let (at, _, event) = events.into_iter().min_by_key(|(at, rank, _)| (*at, *rank)).expect("the run ends");
        (at, event)
    }

    /// The requests of a batch, for all of which one event comes first.
    fn batch(&mut self, routes: &Routes<'p>, batch: Batch, (at, event): (Time, Event)) {
        let Batch { life, pod, app, from, to, before } = batch;
        let (pod, timeout) = (Some(pod), self.stream.traffic.timeout);
        // Slow ones whose clients gave up before that.
        let failing = Failing {
            kind: FailureKind::RequestTimeout,
            cause: CauseId::default(),
            known: Known::AfterTimeout,
            seen: SeenAt::Timeout,
        };
        let told = (at.min(before) - timeout).min(to);
        self.measured(routes, Region { life, pod, failing, from, to: told, which: Which::Slow { app }, mean: 0.0 });
        if before < Time::MAX {
            let which = Which::UnderWay { app, at: before, before: Time::MAX };
            self.ends.ruled_out += self.measure(routes, which, from, to);
        }
        if before <= at {
            return;
        }
        let under_way = Which::UnderWay { app, at, before };
        match event {
            Event::Over => self.ends.unfinished += self.measure(routes, under_way, from, to),
            Event::Reset(cause) => {
                let (kind, known, seen) = (FailureKind::ResetInFlight, Known::At(at), SeenAt::Before(at));
                let failing = Failing { kind, cause, known, seen };
                self.measured(routes, Region { life, pod, failing, from, to, which: under_way, mean: 0.0 });
            }
            Event::Silence(cause) => {
                let told = self.told_before(life).clamp(from, to);
                self.ends.unfinished += self.measure(routes, under_way, told, to);
                // One that would have timed out anyhow is not the pod's fault.
                let slow = Failing { seen: SeenAt::Before(at), ..failing };
                let (slow_from, slow_to) = ((at - timeout).max(from), (before - timeout).min(told));
                let which = Which::Slow { app };
                self.measured(
                    routes,
                    Region { life, pod, failing: slow, from: slow_from, to: slow_to, which, mean: 0.0 },
                );
                let failing = Failing { cause, seen: SeenAt::At(at), ..failing };
                let which = Which::UnderWayNotSlow { app, at, before };
                self.measured(routes, Region { life, pod, failing, from, to: told, which, mean: 0.0 });
            }
        }
    }

    /// What becomes of the last request that a pod worked on.
    fn fate(&self, pod: PodId, kills: usize, last: &Last) -> End {
        let (at, event) = self.first_event(last.life, pod, kills, last.sent);
        let failing = Failing {
            kind: FailureKind::RequestTimeout,
            cause: CauseId::default(),
            known: Known::AfterTimeout,
            seen: SeenAt::Timeout,
        };
        if last.ends <= at {
            return if last.times_out { End::Failed(failing) } else { End::Answered };
        }
        match event {
            Event::Over => End::Unfinished,
            Event::Reset(cause) => {
                let (kind, known, seen) = (FailureKind::ResetInFlight, Known::At(at), SeenAt::Before(at));
                End::Failed(Failing { kind, cause, known, seen })
            }
            Event::Silence(_) if last.sent > self.told_before(last.life) => End::Unfinished,
            Event::Silence(_) if last.times_out => End::Failed(Failing { seen: SeenAt::Before(at), ..failing }),
            Event::Silence(cause) => End::Failed(Failing { cause, seen: SeenAt::At(at), ..failing }),
        }
    }

    /// A client learns of a timeout if its request was sent before this time.
    fn told_before(&self, life: usize) -> Time {
        let off = self.stream.record.lives[life].off;
        off.map_or(self.end, |off| off.min(self.end)) - self.stream.traffic.timeout
    }

    fn measured(&mut self, routes: &Routes<'p>, region: Region) {
        let mean = self.measure(routes, region.which, region.from, region.to);
        self.region(Region { mean, ..region });
    }

    fn region(&mut self, region: Region) {
        if region.mean > 0.0 {
            self.ends.failed.push(region);
        }
    }

    fn measure(&self, routes: &Routes<'p>, which: Which, from: Time, to: Time) -> f64 {
        measure(routes, which, (from, to), self.stream.traffic.timeout, self.stream.plane.sockets)
    }
}

/// How many requests of this kind are expected to be sent in a stretch of time to a pod that was among those that
/// connections were made to.
pub(super) fn measure(
    routes: &Routes<'_>,
    which: Which,
    (from, to): (Time, Time),
    timeout: Duration,
    sockets: &Sockets<'_>,
) -> f64 {
    if from >= to {
        return 0.0;
    }
    let longer = |app, at: Time, (from, to, share): (Time, Time, f64)| {
        if at < to {
            return share * to.since(from).as_nanos() as f64; // asked for no time within a stretch
        }
        let longest = at.since(from).min(timeout);
        share * sockets.app_times(app).service_time.survival_integral(at.since(to), longest)
    };
    let under_way = |app, at: Time, before: Time| {
        let reach = sockets.app_times(app).service_time.support_max().map_or(timeout, |max| max.min(timeout));
        let pieces = routes.pieces(from.max(at - reach), to);
        let sum = pieces.map(|piece| {
            let ended = if before == Time::MAX { 0.0 } else { longer(app, before, piece) };
            longer(app, at, piece) - ended
        });
        sum.sum::<f64>().max(0.0)
    };
    let slow = |app, from, to| match sockets.app_times(app).service_time.survival(timeout) {
        0.0 => 0.0,
        share => share * routes.sent(from, to),
    };
    match which {
        Which::All => routes.sent(from, to),
        Which::Slow { app } => slow(app, from, to),
        Which::UnderWay { app, at, before } => under_way(app, at, before),
        Which::UnderWayNotSlow { app, at, before } => {
            let slow =
                slow(app, from.max(at - timeout), if before == Time::MAX { to } else { to.min(before - timeout) });
            (under_way(app, at, before) - slow).max(0.0)
        }
    }
}

/// What a client's new connections to a pod met between two times.
pub(super) fn meets(sockets: &Sockets<'_>, client: NodeId, pod: PodId, from: Time, to: Time) -> Vec<Meeting> {
    let mut meetings = Vec::new();
    let changes = sockets.changes(pod);
    let first = changes.partition_point(|change| change.at <= from).saturating_sub(1);
    let ends = changes.iter().skip(first + 1).map(|change| change.at).chain([Time::MAX]);
    for (change, end) in changes[first.min(changes.len())..].iter().zip(ends).take_while(|(change, _)| change.at < to) {
        let (from, to) = (change.at.max(from), end.min(to));
        if from >= to {
            continue;
        }
        let what = match change.end.state {
            Listener::Open => Meets::Open(change.end.app),
            // streams to pods with a proxy of their own are not counted
            Listener::Closed | Listener::Unattended => Meets::Refusal(change.cause),
            Listener::Gone => Meets::Silence(change.cause),
        };
        meetings.push(Meeting { from, to, what });
    }
    // A partition between the two hides everything else.
    for cut in sockets.cuts().filter(|cut| sockets.crosses(cut, client, pod)) {
        let hidden = (cut.from, cut.to.unwrap_or(Time::MAX));
        meetings = meetings.into_iter().flat_map(|meeting| hide(meeting, hidden, cut.cause)).collect();
    }
    meetings
}

/// The parts of a meeting before, in and after a partition. One that another partition hides already keeps its cause.
fn hide(meeting: Meeting, (from, to): (Time, Time), cause: CauseId) -> impl Iterator<Item = Meeting> {
    let (a, b) = (from.clamp(meeting.from, meeting.to), to.clamp(meeting.from, meeting.to));
    let hidden = Meets::Silence(cause);
    [(meeting.from, a, meeting.what), (a, b, hidden), (b, meeting.to, meeting.what)]
        .into_iter()
        .filter(|(from, to, _)| from < to)
        .map(|(from, to, what)| Meeting { from, to, what })
}
