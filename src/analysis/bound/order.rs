//! One Service, the EndpointSlice controller and one kube-proxy, in every order, each hop anywhere between its ends.
//!
//! Other changes of the Service's endpoints come before the deletion, at any time. The controller hears of pods in order, waits
//! for a worker, reads, writes, or finds its cache stale and backs off; the proxy hears of writes in order, begins a run when
//! asked and rested, and ends it. All orders of these steps are gone through. What is known of the times of an order is a set
//! of differences (`t_b − t_a ≤ w`), kept closed, so an order that no times fit is dropped at once, and the longest time from the
//! deletion to the end of the run that has it is exact: neither sampled nor added up. Orders that come to the same state with the
//! same differences are one (the zones of timed automata: Dill, "Timing assumptions and verification of finite-state concurrent
//! systems", 1989). The proxy has no influence on the controller, so its steps are gone through after those of the controller,
//! for each order of writes: how the two lie between each other makes no difference but by the times.
//!
//! The rate limit of the controller's client is left out: it takes 30 writes at once to meet it. Several Services, and an
//! ingress controller, are not gone through.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::analysis::bound::Limits;
use crate::engine::Duration;
use crate::simulation::latency::Hop;
use crate::simulation::setup::{Resolve, Traffic, Via};

/// The first back-off of the EndpointSlice controller.
const BACKOFF: i64 = 1_000_000_000;
/// "Any time": more than any sum.
const OPEN: i64 = i64::MAX / 4;
/// No more states than these are gone through.
const STATES_MAX: usize = 60_000;

/// The least and the longest span of a step, nanoseconds.
type Span = (i64, i64);

/// How long the steps may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spans {
    /// From a commit to its delivery, to the controller or the proxy.
    pub watch: Span,
    /// From a key in the queue to its sync.
    pub sync: Span,
    /// From a sync to the commit of what it writes.
    pub write: Span,
    /// A run of the proxy.
    pub run: Span,
    /// The proxy's rest after a run.
    pub rest: i64,
}

impl Spans {
    /// Those of a scenario.
    #[must_use]
    pub fn of(limits: &Limits<'_>) -> Self {
        let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(OPEN);
        let span = |hop: Hop| (nanos(limits.shortest(hop)), nanos(limits.longest(hop)));
        let (request, write) = (span(Hop::ApiRequest), span(Hop::ApiWrite));
        Self {
            watch: span(Hop::Watch),
            sync: span(Hop::EndpointSliceSync),
            write: (request.0 + write.0, request.1 + write.1),
            run: span(Hop::KubeProxySync),
            rest: nanos(limits.setup.kube_proxy.min_sync_period),
        }
    }
}

/// One step of somebody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Another pod of the Service changes.
    OtherChange,
    /// The pod is deleted.
    Deletion,
    /// The controller hears of the next change of a pod.
    ControllerHears,
    /// The controller syncs and has something to write.
    Sync,
    /// The controller syncs, and its cache lacks its own last write.
    StaleSync,
    /// The back-off is over.
    BackoffOver,
    /// The slices' write commits.
    Commit,
    /// The controller hears of its own write.
    OwnWriteSeen,
    /// kube-proxy hears of the next write.
    ProxyHears,
    /// kube-proxy begins a run at once, for it has rested.
    RunBegins,
    /// kube-proxy begins a run when it has rested, having been asked before.
    RestedRunBegins,
    /// kube-proxy ends a run: its rules have what it knew at the beginning.
    RunEnds,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherChange => "another pod of the Service changes",
            Self::Deletion => "the pod is deleted",
            Self::ControllerHears => "the EndpointSlice controller hears of the next change",
            Self::Sync => "the controller syncs what it has heard",
            Self::StaleSync => "the controller syncs, finds its cache stale, and backs off",
            Self::BackoffOver => "the back-off is over",
            Self::Commit => "the write of the slices commits",
            Self::OwnWriteSeen => "the controller hears of its own write",
            Self::ProxyHears => "kube-proxy hears of the next write",
            Self::RunBegins => "kube-proxy begins a sync",
            Self::RestedRunBegins => "kube-proxy has rested and begins a sync",
            Self::RunEnds => "kube-proxy ends its sync",
        })
    }
}

/// What all orders come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Orders {
    /// How many other changes there are.
    pub others: u8,
    /// How many states were gone through.
    pub states: usize,
    /// From the deletion to the end of the run that has it, at most.
    pub longest: Duration,
    /// An order that takes so long: each step with its time from the deletion on, nanoseconds.
    pub schedule: Vec<(Step, i64)>,
}

/// A point in time, by its row in the differences.
type Point = usize;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Controller {
    Idle,
    Waiting(Point),
    Writing(Point, bool),
    BackedOff(Point),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Proxy {
    Fresh,
    Running(Point, bool),
    Rested(Point),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct State {
    others: u8,
    deleted: Option<Point>,
    /// The last step on this side: of the controller, then of the proxy.
    last: Option<Point>,
    /// On their way to the controller, in order: when they were committed, whether it is the deletion.
    pods: Vec<(Point, bool)>,
    controller: Controller,
    /// Asked for again while it writes.
    dirty: bool,
    /// It has heard of something that it has not written, and whether of the deletion.
    news: (bool, bool),
    /// Its own writes that its cache lacks.
    unseen: Vec<Point>,
    /// On their way to the proxy: when they were committed, whether they have the deletion.
    log: Vec<(Point, bool)>,
    /// What the proxy has heard of since its last run began: when first, whether the deletion is in it.
    asked: Option<(Point, bool)>,
    proxy: Proxy,
}

/// Differences of times: `at[a·n + b]` is the most that `t_b − t_a` can be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Differences {
    n: usize,
    at: Vec<i64>,
}

impl Differences {
    fn one() -> Self {
        Self { n: 1, at: vec![0] }
    }

    /// One more point.
    fn grown(&self) -> Self {
        let n = self.n + 1;
        let old = |a: usize, b: usize| if a < self.n && b < self.n { self.at[a * self.n + b] } else { OPEN };
        Self { n, at: (0..n * n).map(|i| if i / n == i % n { 0 } else { old(i / n, i % n) }).collect() }
    }

    /// `t_b − t_a ≤ most`; whether any times are left.
    fn limit(&mut self, a: Point, b: Point, most: i64) -> bool {
        let n = self.n;
        if most >= self.at[a * n + b] {
            return true;
        }
        if self.at[b * n + a].saturating_add(most) < 0 {
            return false;
        }
        for i in 0..n {
            for j in 0..n {
                let by = self.at[i * n + a].saturating_add(most).saturating_add(self.at[b * n + j]);
                let here = &mut self.at[i * n + j];
                // What is open stays open, whatever is taken from it.
                if by < OPEN / 2 {
                    *here = (*here).min(by);
                }
            }
        }
        true
    }

    /// `t_b − t_a` within a span.
    fn within(&mut self, a: Point, b: Point, span: Span) -> bool {
        self.limit(a, b, span.1) && self.limit(b, a, -span.0)
    }

    /// Those of some points only, in this order.
    fn of(&self, points: &[Point]) -> Self {
        let at = points.iter().flat_map(|a| points.iter().map(move |b| self.at[a * self.n + b]));
        Self { n: points.len(), at: at.collect() }
    }
}

/// All orders of a scenario with one and with two other changes. Empty if it has several Services, an ingress controller, or
/// clients that resolve names themselves.
#[must_use]
pub fn of(limits: &Limits<'_>) -> Vec<Orders> {
    let setup = limits.setup;
    let plain = setup.services.len() == 1
        && setup
            .traffic
            .iter()
            .flat_map(Traffic::legs)
            .all(|t| t.via == Via::KubeProxy && t.resolve == Resolve::Address);
    if !plain {
        return Vec::new();
    }
    (1..=2).filter_map(|others| explore(&Spans::of(limits), others)).collect()
}

/// Goes through all orders with so many other changes; `None`: they are too many.
#[must_use]
pub fn explore(spans: &Spans, others: u8) -> Option<Orders> {
    let start = State {
        others,
        deleted: None,
        last: None,
        pods: Vec::new(),
        controller: Controller::Idle,
        dirty: false,
        news: (false, false),
        unseen: Vec::new(),
        log: Vec::new(),
        asked: None,
        proxy: Proxy::Fresh,
    };
    let mut seen: BTreeSet<(State, Differences)> = BTreeSet::new();
    let mut from: BTreeMap<usize, (usize, Step)> = BTreeMap::new();
    let mut nodes = vec![(start, Differences::one())];
    // Of all ends the latest: how late, and the step of which state.
    let mut best: Option<(i64, usize, Step)> = None;
    let mut next = 0;
    while next < nodes.len() {
        let (state, times) = nodes[next].clone();
        for step in STEPS {
            let Some((mut after, mut known)) = taken(&state, &times, step, spans) else { continue };
            if ended(&state, step) {
                let (Some(deleted), Some(last)) = (after.deleted, after.last) else { continue };
                if after.log.iter().all(|(since, _)| known.limit(*since, last, spans.watch.1)) {
                    let longest = known.at[deleted * known.n + last];
                    if best.is_none_or(|(most, ..)| longest > most) {
                        best = Some((longest, next, step));
                    }
                }
                continue;
            }
            known = settle(&mut after, &known);
            if seen.insert((after.clone(), known.clone())) {
                from.insert(nodes.len(), (next, step));
                nodes.push((after, known));
            }
        }
        next += 1;
        if nodes.len() > STATES_MAX {
            return None;
        }
    }
    let (longest, mut at, end) = best?;
    let mut steps = vec![end];
    while let Some((before, step)) = from.get(&at) {
        steps.push(*step);
        at = *before;
    }
    steps.reverse();
    let schedule = schedule(&nodes[0].0, &steps, spans, longest)?;
    let longest = Duration::from_nanos(u64::try_from(longest).unwrap_or(0));
    Some(Orders { others, states: nodes.len(), longest, schedule })
}

const STEPS: [Step; 12] = [
    Step::OtherChange,
    Step::Deletion,
    Step::ControllerHears,
    Step::Sync,
    Step::StaleSync,
    Step::BackoffOver,
    Step::Commit,
    Step::OwnWriteSeen,
    Step::ProxyHears,
    Step::RunBegins,
    Step::RestedRunBegins,
    Step::RunEnds,
];

/// Whether a step ends the run that has the deletion.
fn ended(state: &State, step: Step) -> bool {
    step == Step::RunEnds && matches!(state.proxy, Proxy::Running(_, true))
}

/// The state after a step, and what is known of the times then; `None`: it cannot come now.
fn taken(state: &State, times: &Differences, step: Step, spans: &Spans) -> Option<(State, Differences)> {
    let of_proxy = matches!(step, Step::ProxyHears | Step::RunBegins | Step::RestedRunBegins | Step::RunEnds);
    if of_proxy != is_written(state) {
        return None;
    }
    let mut next = state.clone();
    let mut known = times.grown();
    let now = times.n;
    // Not before the last step, and not after any that is due by then.
    let mut fits = state.last.is_none_or(|last| known.limit(now, last, 0));
    for (since, most) in due(state, of_proxy, spans) {
        fits &= known.limit(since, now, most);
    }
    match step {
        Step::OtherChange if state.deleted.is_none() && state.others > 0 => {
            next.others -= 1;
            next.pods.push((now, false));
        }
        Step::Deletion if state.deleted.is_none() => {
            next.deleted = Some(now);
            next.pods.push((now, true));
        }
        Step::ControllerHears if !state.pods.is_empty() => {
            let (since, is_deletion) = next.pods.remove(0);
            fits &= known.within(since, now, spans.watch);
            next.news = (true, next.news.1 || is_deletion);
            match state.controller {
                Controller::Idle | Controller::BackedOff(_) => next.controller = Controller::Waiting(now),
                Controller::Waiting(_) => {}
                Controller::Writing(..) => next.dirty = true,
            }
        }
        Step::Sync | Step::StaleSync => {
            let Controller::Waiting(since) = state.controller else { return None };
            if (step == Step::StaleSync) == state.unseen.is_empty() {
                return None;
            }
            fits &= known.within(since, now, spans.sync);
            next.controller = match (step, state.news) {
                (Step::StaleSync, _) => Controller::BackedOff(now),
                (_, (true, deletion)) => Controller::Writing(now, deletion),
                _ => Controller::Idle,
            };
            if step == Step::Sync {
                next.news = (false, false);
            }
        }
        Step::BackoffOver => {
            let Controller::BackedOff(since) = state.controller else { return None };
            fits &= known.within(since, now, (BACKOFF, BACKOFF));
            next.controller = Controller::Waiting(now);
        }
        Step::Commit => {
            let Controller::Writing(since, deletion) = state.controller else { return None };
            fits &= known.within(since, now, spans.write);
            next.log.push((now, deletion));
            next.unseen.push(now);
            next.controller = if state.dirty { Controller::Waiting(now) } else { Controller::Idle };
            next.dirty = false;
        }
        Step::OwnWriteSeen if !state.unseen.is_empty() => {
            let since = next.unseen.remove(0);
            fits &= known.within(since, now, spans.watch);
        }
        Step::ProxyHears if !state.log.is_empty() => {
            let (since, deletion) = next.log.remove(0);
            fits &= known.within(since, now, spans.watch);
            next.asked = Some(state.asked.map_or((now, deletion), |(first, before)| (first, before || deletion)));
        }
        Step::RunBegins | Step::RestedRunBegins => {
            let (asked, deletion) = state.asked?;
            fits &= match (&state.proxy, step) {
                (Proxy::Fresh, Step::RunBegins) => known.within(asked, now, (0, 0)),
                (Proxy::Rested(end), Step::RunBegins) => {
                    known.within(asked, now, (0, 0)) && known.limit(asked, *end, -spans.rest)
                }
                (Proxy::Rested(end), _) => known.within(*end, now, (spans.rest, spans.rest)),
                _ => return None,
            };
            next.asked = None;
            next.proxy = Proxy::Running(now, deletion);
        }
        Step::RunEnds => {
            let Proxy::Running(since, _) = state.proxy else { return None };
            fits &= known.within(since, now, spans.run);
            next.proxy = Proxy::Rested(now);
        }
        _ => return None,
    }
    next.last = Some(now);
    if !of_proxy && is_written(&next) {
        (next.last, next.others) = (None, 0);
    }
    fits.then_some((next, known))
}

/// What is under way on a side: since when, and how much later it is due at the latest.
fn due(state: &State, of_proxy: bool, spans: &Spans) -> Vec<(Point, i64)> {
    let delivered = |since: &Point| (*since, spans.watch.1);
    if of_proxy {
        let running = match state.proxy {
            Proxy::Running(since, _) => Some((since, spans.run.1)),
            Proxy::Fresh | Proxy::Rested(_) => None,
        };
        return state.log.iter().map(|(since, _)| delivered(since)).chain(running).collect();
    }
    let own = match state.controller {
        Controller::Idle => None,
        Controller::Waiting(since) => Some((since, spans.sync.1)),
        Controller::Writing(since, _) => Some((since, spans.write.1)),
        Controller::BackedOff(since) => Some((since, BACKOFF)),
    };
    state.pods.iter().map(|(since, _)| delivered(since)).chain(state.unseen.iter().map(delivered)).chain(own).collect()
}

/// Whether the controller has nothing more to do: all writes are there.
fn is_written(state: &State) -> bool {
    let quiet = state.pods.is_empty() && state.unseen.is_empty() && state.controller == Controller::Idle;
    state.deleted.is_some() && quiet
}

/// Forgets points that nothing goes by any more, and numbers the others by what they are for.
fn settle(state: &mut State, times: &Differences) -> Differences {
    let mut points: Vec<Point> = Vec::new();
    each_point(state, &mut |point| {
        let at = points.iter().position(|p| *p == *point).unwrap_or_else(|| {
            points.push(*point);
            points.len() - 1
        });
        *point = at;
    });
    times.of(&points)
}

fn each_point(state: &mut State, visit: &mut dyn FnMut(&mut Point)) {
    state.last.iter_mut().for_each(&mut *visit);
    state.deleted.iter_mut().for_each(&mut *visit);
    state.pods.iter_mut().for_each(|(point, _)| visit(point));
    match &mut state.controller {
        Controller::Idle => {}
        Controller::Waiting(point) | Controller::Writing(point, _) | Controller::BackedOff(point) => visit(point),
    }
    state.unseen.iter_mut().for_each(&mut *visit);
    state.log.iter_mut().for_each(|(point, _)| visit(point));
    state.asked.iter_mut().for_each(|(point, _)| visit(point));
    match &mut state.proxy {
        Proxy::Fresh => {}
        Proxy::Running(point, _) | Proxy::Rested(point) => visit(point),
    }
}

/// Times for these steps, from the deletion on, so that the last one is so late.
fn schedule(start: &State, steps: &[Step], spans: &Spans, longest: i64) -> Option<Vec<(Step, i64)>> {
    let (mut state, mut times) = (start.clone(), Differences::one());
    for step in steps {
        (state, times) = taken(&state, &times, *step, spans)?;
    }
    let (deleted, last) = (state.deleted?, state.last?);
    for (since, _) in &state.log {
        times.limit(*since, last, spans.watch.1).then_some(())?;
    }
    times.within(deleted, last, (longest, longest)).then_some(())?;
    // One point after the other is fixed at its latest time, which closing keeps possible.
    let mut schedule = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let point = number + 1;
        let latest = times.at[deleted * times.n + point];
        times.within(deleted, point, (latest, latest)).then_some(())?;
        schedule.push((*step, latest));
    }
    schedule.sort_by_key(|(_, at)| *at);
    Some(schedule)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const SPANS: Spans = Spans {
        watch: (MS, 100 * MS),
        sync: (10 * MS, 50 * MS),
        write: (5 * MS, 30 * MS),
        run: (20 * MS, 200 * MS),
        rest: 1000 * MS,
    };

    fn longest(others: u8) -> i64 {
        explore(&SPANS, others).unwrap().longest.as_nanos() as i64 / MS
    }

    #[test]
    fn alone_a_deletion_takes_the_sum_of_its_hops() {
        assert_eq!(longest(0), 100 + 50 + 30 + 100 + 200);
    }

    #[test]
    fn another_change_can_be_in_the_way_in_one_place_or_the_other() {
        let one = explore(&SPANS, 1).unwrap();
        assert!(one.states > 100, "{}", one.states);
        let ms = longest(1);
        // The deletion is heard of (100 ms) when the other change's write has just begun, which commits 30 ms later. Another 50
        // and 30 ms later the deletion's write does. The proxy hears of both at 230 ms, of the other first; that run (200 ms)
        // and the rest (1 s) come before the last run (200 ms). All hops together would be 2.76 s.
        assert_eq!(ms, 100 + 30 + 100 + 200 + 1000 + 200);
        assert!(one.schedule.contains(&(Step::Deletion, 0)), "{:?}", one.schedule);
        assert!(one.schedule.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{:?}", one.schedule);
        assert_eq!(one.schedule.last().unwrap(), &(Step::RunEnds, ms * MS));
    }

    #[test]
    fn more_changes_are_no_shorter_and_never_above_the_sum() {
        let all = 100 + 30 + 50 + 1000 + 50 + 30 + 100 + 200 + 1000 + 200;
        let found: Vec<i64> = (0..=2).map(longest).collect();
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
        // Here two changes are enough for all of it at once; with a slower proxy they are not.
        assert_eq!(found[2], all);
        let slower = Spans { run: (20 * MS, 400 * MS), ..SPANS };
        let found = explore(&slower, 2).unwrap().longest.as_nanos() as i64 / MS;
        assert!(found <= all + 400, "{found}");
    }
}
