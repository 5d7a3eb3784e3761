//! A run that comes as near to the bound as runs can.
//!
//! All hops of the two chains become constants, the longest of the one and the shortest of the other. The hop `watch` is in
//! both: it takes one of its two extremes, and seeds are tried until the controller and a kube-proxy have drawn the one and
//! the kubelet the other. What no latency decides (when another pod's change comes, the phase of nginx' looks) is left to
//! the seed, too.

use crate::analysis::bound::{Bound, Chain, Limits, Worst};
use crate::analysis::runs;
use crate::engine::Duration;
use crate::simulation::latency::Hop;
use crate::simulation::{self, Setup};

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

/// The worst of so many runs with these settings, beginning with `first_seed`; the first one that attains the bound, if one
/// does. `None`: no run has a pod with a slack.
#[must_use]
pub fn search(replay: &Setup, bound: &Bound, first_seed: u64, runs: u32, jobs: usize) -> Option<Attained> {
    let target = bound.worst[0].deficit();
    let mut best: Option<Attained> = None;
    // In batches of a size that does not depend on the number of threads, so that the result does not either.
    const BATCH: u32 = 32;
    let mut done = 0;
    while done < runs && best.as_ref().is_none_or(|b| b.deficit < target) {
        let count = BATCH.min(runs - done);
        let first = first_seed.wrapping_add(u64::from(done));
        for attained in runs::by_seed(first, count, jobs, |seed| worst_of(replay, seed), |_| ()).into_iter().flatten() {
            if best.as_ref().is_none_or(|b| b.deficit < attained.deficit) {
                best = Some(attained);
            }
        }
        done += count;
    }
    best
}

/// The pod with the least slack of one run.
#[must_use]
pub fn worst_of(setup: &Setup, seed: u64) -> Option<Attained> {
    let outcome = simulation::run(setup, seed, false);
    let failed = outcome.requests.failed();
    let slack = outcome.pods.iter().filter_map(|pod| Some((pod.slack_nanos?, pod)));
    let (slack, pod) = slack.min_by_key(|(slack, _)| *slack)?;
    Some(Attained { seed, pod: format!("{}/{}", pod.namespace, pod.name), deficit: slack.saturating_neg(), failed })
}
