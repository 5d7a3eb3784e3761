//! A run that comes as near to the bound as runs can.
//!
//! All hops of the two chains become constants, the longest of the one and the shortest of the other. The hop `watch` is in
//! both: it takes one of its two extremes, and seeds are tried until the controller and a kube-proxy have drawn the one and
//! the kubelet the other. What else has to coincide, such as another pod's change with this deletion, depends on the phase of
//! other steps: of kubectl, the scheduler, a container's start. The latencies of those hops belong to neither chain, so each
//! may be any span that it can take; a search moves them, one after the other, as long as a run comes nearer.

use crate::analysis::bound::{Bound, Chain, Limits, Worst};
use crate::analysis::runs;
use crate::api::ServiceId;
use crate::engine::{Distribution, Duration, Key, Random};
use crate::simulation::latency::Hop;
use crate::simulation::{self, Outcome, Setup};

/// A run, and how near it comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attained {
    /// Its seed.
    pub seed: u64,
    /// The pod with the least slack: `namespace/name`.
    pub pod: String,
    /// By how many nanoseconds its last route outlived its listener; negative if it did not.
    pub deficit: i64,
    /// How many requests failed in it.
    pub failed: u64,
}

/// The settings of such a run, each to be given with `--set`.
#[must_use]
pub fn settings(limits: &Limits<'_>, bound: &Bound) -> Vec<String> {
    let constant = |hop: &Hop, span: Duration| format!("spec.latencies.{}={span}", hop.name());
    let (short, long) = (limits.shortest(Hop::Watch), limits.longest(Hop::Watch));
    let watch = if short == long {
        constant(&Hop::Watch, long)
    } else {
        format!("spec.latencies.watch={{mixture: [{{weight: 1, of: {short}}}, {{weight: 1, of: {long}}}]}}")
    };
    let terms = |chain: fn(&Worst) -> &Chain| bound.worst.iter().flat_map(move |worst| &chain(worst).terms);
    let in_both = |hop: &&Hop| **hop != Hop::Watch;
    let publish = Hop::ALL.iter().filter(|hop| terms(|w| &w.propagation).any(|t| t.from == hop.name())).filter(in_both);
    let stop = Hop::ALL.iter().filter(|hop| terms(|w| &w.shutdown).any(|t| t.from == hop.name())).filter(in_both);
    let publish = publish.map(|hop| constant(hop, limits.longest(*hop)));
    let stop = stop.map(|hop| constant(hop, limits.shortest(*hop)));
    std::iter::once(watch).chain(publish).chain(stop).collect()
}

/// With so many spans a hop is tried in a round of [`approach`].
pub const SPANS: u32 = 16;

/// Events that all runs of a search may have together, unless somebody says how many runs: about a minute's work.
const WORK_MAX: u64 = 10_000_000;
/// So many requests take about as long as an event.
const REQUESTS_OF_AN_EVENT: u64 = 200;

/// How many seeds a search takes if each of them stands for `runs_of_one` runs: no more than `most`, and at least 1. That is so
/// many for any machine, since a run's length is told by what happens in it.
#[must_use]
pub fn affordable(run: &Outcome, runs_of_one: u32, most: u32) -> u32 {
    let work = (run.events + run.requests.sent / REQUESTS_OF_AN_EVENT).max(1);
    let seeds = WORK_MAX / work / u64::from(runs_of_one.max(1));
    u32::try_from(seeds).unwrap_or(u32::MAX).clamp(1, most)
}

/// Hops of neither chain, each with the span that it always takes.
pub type Phases = Vec<(Hop, Duration)>;

/// Moves hops of neither chain in a run so that it comes nearer to the bound: so many rounds of runs, in each of which a
/// hop is tried with spans over all that it can take. What it comes to, and how those hops are set. `tell` is called after
/// each run.
#[must_use]
pub fn approach(
    limits: &Limits<'_>,
    replay: &Setup,
    bound: &Bound,
    start: Attained,
    rounds: u32,
    jobs: usize,
    tell: &(dyn Fn() + Sync),
) -> (Attained, Phases) {
    let chains = || bound.worst.iter().flat_map(|w| w.propagation.terms.iter().chain(&w.shutdown.terms));
    let is_free = |hop: &&Hop| {
        limits.shortest(**hop) < limits.longest(**hop) && **hop != Hop::Watch && !chains().any(|t| t.from == hop.name())
    };
    let free: Vec<Hop> = Hop::ALL.iter().filter(is_free).copied().collect();
    let seed = start.seed;
    let draw = Random::new(seed);
    // Routes and listeners do not care how many clients there are.
    let mut quiet = replay.clone();
    quiet.traffic.iter_mut().for_each(|t| t.rate = t.rate.min(1.0));
    let target = bound.worst[0].deficit();
    let (mut best, mut phases) = (start.deficit, Phases::new());
    for round in 0..rounds {
        let Some(hop) = free.get(round as usize % free.len().max(1)).copied() else { break };
        if best >= target {
            break;
        }
        let (short, long) = (limits.shortest(hop).as_nanos(), limits.longest(hop).as_nanos());
        let mut stream = draw.stream(Key::new("bound phases").number(u64::from(round)));
        // One from each part of the range, so that none is left out by chance.
        let part = |number: u32| (f64::from(number) + stream.next_unit()) / f64::from(SPANS);
        let spans: Vec<Duration> = (0..SPANS)
            .map(part)
            .map(|share| Duration::from_nanos(short + ((long - short) as f64 * share) as u64))
            .collect();
        let tried = runs::in_order(
            &spans,
            jobs,
            |span| {
                let mut setup = quiet.clone();
                setup.latencies.set(hop, Distribution::Constant(*span));
                worst_of(&setup, seed, &bound.needs_ready).map(|a| a.deficit)
            },
            |_| tell(),
        );
        let nearer = tried.into_iter().zip(spans).filter_map(|(deficit, span)| Some((deficit?, span)));
        // Of equal ones the first, so that it is the same every time.
        let nearer = nearer.filter(|(deficit, _)| *deficit > best).fold(None, |best: Option<(i64, Duration)>, one| {
            if best.is_none_or(|b| one.0 > b.0) { Some(one) } else { best }
        });
        if let Some((deficit, span)) = nearer {
            best = deficit;
            quiet.latencies.set(hop, Distribution::Constant(span));
            phases.retain(|(of, _)| *of != hop);
            phases.push((hop, span));
        }
    }
    let mut whole = replay.clone();
    phases.iter().for_each(|(hop, span)| whole.latencies.set(*hop, Distribution::Constant(*span)));
    match worst_of(&whole, seed, &bound.needs_ready) {
        Some(nearer) if nearer.deficit >= start.deficit => (nearer, phases),
        _ => (start, Phases::new()),
    }
}

/// The worst of so many runs with these settings, beginning with `first_seed`; the first one that attains the bound, if one
/// does. `None`: no run has a pod with a slack. `tell` is called after each run.
#[must_use]
pub fn search(
    replay: &Setup,
    bound: &Bound,
    first_seed: u64,
    runs: u32,
    jobs: usize,
    tell: &(dyn Fn() + Sync),
) -> Option<Attained> {
    let target = bound.worst[0].deficit();
    let mut best: Option<Attained> = None;
    // In batches of a size that does not depend on the number of threads, so that the result does not either.
    const BATCH: u32 = 32;
    let mut done = 0;
    while done < runs && best.as_ref().is_none_or(|b| b.deficit < target) {
        let count = BATCH.min(runs - done);
        let first = first_seed.wrapping_add(u64::from(done));
        let one = |seed| worst_of(replay, seed, &bound.needs_ready);
        for attained in runs::by_seed(first, count, jobs, one, |_| tell()).into_iter().flatten() {
            if best.as_ref().is_none_or(|b| b.deficit < attained.deficit) {
                best = Some(attained);
            }
        }
        done += count;
    }
    best
}

/// The pod with the least slack of one run, of those to which the bound applies: a pod of a Service that had no ready
/// endpoint, and had to have one, is sent to as long as it terminates.
#[must_use]
pub fn worst_of(setup: &Setup, seed: u64, needs_ready: &[ServiceId]) -> Option<Attained> {
    let outcome = simulation::run(setup, seed, false);
    let failed = outcome.requests.failed();
    let was_out = |id: &ServiceId| {
        needs_ready.contains(id) && outcome.services.iter().any(|s| s.id == *id && s.min_ready_endpoints == 0)
    };
    let applies = |pod: &&simulation::outcome::PodOutcome| !pod.services.iter().any(was_out);
    let slack = outcome.pods.iter().filter(applies).filter_map(|pod| Some((pod.slack_nanos?, pod)));
    let (slack, pod) = slack.min_by_key(|(slack, _)| *slack)?;
    Some(Attained { seed, pod: format!("{}/{}", pod.namespace, pod.name), deficit: slack.saturating_neg(), failed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::fixture;

    #[test]
    fn a_long_run_affords_few_seeds_and_at_least_one() {
        let mut run = fixture::outcome();
        let seeds = |run: &Outcome| affordable(run, 5, 200);
        assert_eq!(seeds(&run), 200);
        run.events = 100_000;
        run.requests.sent = 0;
        assert_eq!(seeds(&run), 20);
        run.requests.sent = 20_000_000;
        assert_eq!(seeds(&run), 10);
        run.events = u64::MAX / 2;
        assert_eq!(seeds(&run), 1);
    }
}
