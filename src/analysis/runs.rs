//! One scenario under many seeds, and what the runs say together.
//!
//! Requests of one run are not independent: they meet the same late kube-proxy. So no interval here treats them as
//! trials. The unit is the run, whose seed makes it independent of all others; the failure fraction is a ratio of sums
//! over runs ([`statistics::ratio_interval`]). Where few of the runs have failures such an interval is rough and tends
//! to be too short above; where none has, it would have no width at all, and the rule of three takes its place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::analysis::judge::{self, Verdict};
use crate::analysis::open_drain::OpenDrain;
use crate::analysis::statistics::{self, Interval};
use crate::engine::{Duration, Time};
use crate::scenario::expectation::{Checked, Expectation};
use crate::simulation::Outcome;
use crate::simulation::outcome::Requests;

/// How sure all intervals of a [`Summary`] are.
pub const CONFIDENCE: f64 = 0.95;

/// What is kept of one run.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// The digest of the run.
    pub digest: String,
    /// Requests of all clients.
    pub requests: Requests,
    /// How many of them were expected to fail, given what happened to pods and routes, if that is known.
    pub expected_failed: Option<f64>,
    /// Drains, in order of start: the node, and how long it took if it was completed.
    pub drains: Vec<(String, Option<Duration>)>,
    /// Why those that were not completed were not, by node.
    pub open_drains: Vec<(String, OpenDrain)>,
    /// The least slack of all pods, in nanoseconds.
    pub least_slack: Option<i64>,
    /// What became of the expectations.
    pub expectations: Vec<Checked>,
}

impl Run {
    /// Takes out of an outcome what a summary needs.
    #[must_use]
    pub fn new(outcome: &Outcome, expectations: &[Expectation]) -> Self {
        let took = |started: Time, completed: Option<Time>| completed.map(|at| at.since(started));
        Self {
            seed: outcome.seed,
            digest: outcome.digest.clone(),
            requests: outcome.requests.clone(),
            expected_failed: outcome.expected_failed(),
            drains: outcome.drains.iter().map(|d| (d.node.clone(), took(d.started_at, d.completed_at))).collect(),
            open_drains: OpenDrain::all(outcome),
            least_slack: outcome.pods.iter().filter_map(|p| p.slack_nanos).min(),
            expectations: expectations.iter().map(|e| e.evaluate(outcome)).collect(),
        }
    }
}

/// Runs the seeds `first`, `first + 1`, … (wrapping) on so many threads; 0: one a core. The results come in the order of
/// the seeds, so that they do not depend on the number of threads. `progress` is told how many are done, from any thread.
pub fn by_seed<T: Send>(
    first: u64,
    runs: u32,
    jobs: usize,
    run: impl Fn(u64) -> T + Sync,
    progress: impl Fn(u64) + Sync,
) -> Vec<T> {
    let seeds: Vec<u64> = (0..u64::from(runs)).map(|index| first.wrapping_add(index)).collect();
    in_order(&seeds, jobs, |seed| run(*seed), progress)
}

/// Does something with each item, on so many threads (0: one a core); the results come in the order of the items.
/// `progress` is told how many are done, from any thread.
pub fn in_order<I: Sync, T: Send>(
    items: &[I],
    jobs: usize,
    work: impl Fn(&I) -> T + Sync,
    progress: impl Fn(u64) + Sync,
) -> Vec<T> {
    let done = AtomicU64::new(0);
    let one = |item: &I| {
        let result = work(item);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        result
    };
    match rayon::ThreadPoolBuilder::new().num_threads(jobs).build() {
        Ok(pool) => pool.install(|| items.par_iter().map(one).collect()),
        // No threads to be had: it is slower alone, not impossible.
        Err(_) => items.iter().map(one).collect(),
    }
}

/// What many runs say together.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// How many there were.
    pub runs: u64,
    /// Requests of all runs.
    pub requests: Requests,
    /// Failed requests per run.
    pub failed: Spread,
    /// How many were expected to fail in each run, given what happened to pods and routes: as many on average, and spread
    /// less. `None` if that is not known.
    pub expected_failed: Option<Spread>,
    /// Failed requests as a share of those sent, with its interval; `None` if nothing was sent, an interval of `None` if
    /// there is one run only or no failure in any.
    pub failure_fraction: Option<(f64, Option<Interval>)>,
    /// In how many runs any request failed.
    pub runs_with_failures: u64,
    /// The share of such runs: Wilson's interval; without any such run from 0 to the rule of three.
    pub runs_with_failures_interval: Interval,
    /// By node, in the order of the first run.
    pub drains: Vec<DrainSummary>,
    /// The least slack of each run, seconds; `None` if no run had any.
    pub least_slack: Option<Spread>,
    /// In the order of the scenario.
    pub expectations: Vec<ExpectationSummary>,
    /// The run with most failed requests, then with the least slack, then the first.
    pub worst: Worst,
}

/// How numbers, one a run, are spread.
#[derive(Clone, PartialEq, Debug)]
pub struct Spread {
    /// How many numbers.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// Student's interval of the mean; `None` for one number.
    pub mean_interval: Option<Interval>,
    /// The least.
    pub min: f64,
    /// Percentiles by nearest rank, in the order 50, 90, 99.
    pub percentiles: [Percentile; 3],
    /// The greatest.
    pub max: f64,
}

/// A percentile and its order-statistic interval, open where there are too few numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Percentile {
    /// Which, of 100.
    pub of_hundred: u8,
    /// Its value.
    pub value: f64,
    /// The lower end.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

/// The drains of one node.
#[derive(Clone, PartialEq, Debug)]
pub struct DrainSummary {
    /// The node.
    pub node: String,
    /// How many were started, in all runs.
    pub started: u64,
    /// How many were completed.
    pub completed: u64,
    /// How long the completed ones took, seconds; `None` if none was.
    pub duration: Option<Spread>,
    /// Why the others were not completed, and how many of them, the most frequent first.
    pub open: Vec<(OpenDrain, u64)>,
}

/// One expectation over all runs.
#[derive(Clone, PartialEq, Debug)]
pub struct ExpectationSummary {
    /// As it was written.
    pub text: String,
    /// Whether what it claims of all runs is shown by these.
    pub verdict: Verdict,
    /// In how many runs it held.
    pub passed: u64,
    /// Wilson's interval of the share of runs in which it holds.
    pub passed_interval: Interval,
    /// The first run in which it did not hold: its seed, and what it gave instead.
    pub first_failed: Option<(u64, String)>,
}

/// The run to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Worst {
    /// Its seed.
    pub seed: u64,
    /// Its failed requests.
    pub failed: u64,
    /// Its least slack, nanoseconds.
    pub least_slack: Option<i64>,
}

impl Summary {
    /// Sums runs up, in which these expectations were evaluated; `None` for no runs.
    #[must_use]
    pub fn new(runs: &[Run], expected: &[Expectation]) -> Option<Self> {
        let worst =
            runs.iter().min_by_key(|r| (std::cmp::Reverse(r.requests.failed()), r.least_slack.unwrap_or(i64::MAX)))?;
        let mut requests = Requests::default();
        runs.iter().for_each(|r| requests.add(&r.requests));
        let failed: Vec<f64> = runs.iter().map(|r| r.requests.failed() as f64).collect();
        let sent: Vec<f64> = runs.iter().map(|r| r.requests.sent as f64).collect();
        let with_failures = runs.iter().filter(|r| r.requests.failed() > 0).count() as u64;
        let count = runs.len() as u64;
        let slack: Vec<f64> = runs.iter().filter_map(|r| r.least_slack).map(|nanos| nanos as f64 / 1e9).collect();
        let to_fail: Option<Vec<f64>> = runs.iter().map(|r| r.expected_failed).collect();
        Some(Self {
            runs: count,
            failed: Spread::new(&failed, 0.0)?,
            expected_failed: to_fail.and_then(|to_fail| Spread::new(&to_fail, 0.0)),
            failure_fraction: (requests.sent > 0).then(|| {
                let interval = statistics::ratio_interval(&failed, &sent, CONFIDENCE).filter(|_| with_failures > 0);
                (requests.failed() as f64 / requests.sent as f64, interval)
            }),
            runs_with_failures: with_failures,
            runs_with_failures_interval: match with_failures {
                0 => Interval { low: 0.0, high: statistics::rule_of_three(count, CONFIDENCE) },
                some => statistics::wilson(some, count, CONFIDENCE),
            },
            drains: drains(runs),
            least_slack: Spread::new(&slack, f64::NEG_INFINITY),
            expectations: expectations(runs, expected),
            worst: Worst { seed: worst.seed, failed: worst.requests.failed(), least_slack: worst.least_slack },
            requests,
        })
    }

    /// Whether no expectation is broken: those about every run hold in every one, and of those about a share the runs do
    /// not show the contrary.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.expectations.iter().all(|e| e.verdict != Verdict::Fails)
    }
}

impl Spread {
    /// How these numbers are spread, none of which can be below `floor`; `None` for none.
    #[must_use]
    pub fn new(values: &[f64], floor: f64) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let percentile = |of_hundred: u8| {
            let share = f64::from(of_hundred) / 100.0;
            let (low, high) = statistics::percentile_interval(&sorted, share, CONFIDENCE);
            Some(Percentile { of_hundred, value: statistics::percentile(&sorted, share)?, low, high })
        };
        Some(Self {
            count: values.len() as u64,
            mean: statistics::mean(values),
            mean_interval: statistics::mean_interval(values, CONFIDENCE)
                .map(|Interval { low, high }| Interval { low: low.max(floor), high }),
            min: *sorted.first()?,
            percentiles: [percentile(50)?, percentile(90)?, percentile(99)?],
            max: *sorted.last()?,
        })
    }
}

fn drains(runs: &[Run]) -> Vec<DrainSummary> {
    let mut nodes: Vec<&str> = Vec::new();
    for (node, _) in runs.iter().flat_map(|r| &r.drains) {
        if !nodes.contains(&node.as_str()) {
            nodes.push(node);
        }
    }
    let summary = |node: &str| {
        let of_node = || runs.iter().flat_map(|r| &r.drains).filter(|(name, _)| name == node);
        let took: Vec<f64> = of_node().filter_map(|(_, took)| *took).map(Duration::as_secs_f64).collect();
        DrainSummary {
            node: node.to_string(),
            started: of_node().count() as u64,
            completed: took.len() as u64,
            duration: Spread::new(&took, 0.0),
            open: by_frequency(runs.iter().flat_map(|r| &r.open_drains).filter(|(name, _)| name == node)),
        }
    };
    nodes.into_iter().map(summary).collect()
}

fn by_frequency<'a>(open: impl Iterator<Item = &'a (String, OpenDrain)>) -> Vec<(OpenDrain, u64)> {
    let mut counts: BTreeMap<&OpenDrain, u64> = BTreeMap::new();
    open.for_each(|(_, why)| *counts.entry(why).or_default() += 1);
    let mut sorted: Vec<(OpenDrain, u64)> = counts.into_iter().map(|(why, count)| (why.clone(), count)).collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sorted
}

fn expectations(runs: &[Run], expected: &[Expectation]) -> Vec<ExpectationSummary> {
    let summary = |(index, expectation): (usize, &Expectation)| {
        let checks: Vec<_> = runs.iter().filter_map(|r| Some((r.seed, r.expectations.get(index)?))).collect();
        let judgement = judge::judge(expectation, &checks);
        ExpectationSummary {
            text: expectation.text().to_string(),
            verdict: judgement.verdict,
            passed: judgement.held,
            passed_interval: statistics::wilson(judgement.held, runs.len() as u64, CONFIDENCE),
            first_failed: judgement.first_failed,
        }
    };
    expected.iter().enumerate().map(summary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::outcome::FailureKind;

    fn expected() -> [Expectation; 1] {
        [Expectation::parse("failedRequests == 0").unwrap()]
    }

    fn run(seed: u64, failed: u64) -> Run {
        let mut requests = Requests { sent: 1_000, ok: 1_000 - failed, ..Requests::default() };
        if failed > 0 {
            requests.failed_by.insert(FailureKind::Refused, failed);
        }
        Run {
            open_drains: Vec::new(),
            seed,
            digest: format!("{seed:016x}"),
            requests,
            expected_failed: None,
            drains: vec![("node-1".to_string(), (seed != 3).then(|| Duration::from_secs(seed)))],
            least_slack: Some(1_000 - i64::try_from(failed).unwrap()),
            expectations: vec![Checked {
                text: "failedRequests == 0".to_string(),
                passed: failed == 0,
                actual: failed.to_string(),
                rank: failed as i64,
                about_many_runs: false,
            }],
        }
    }

    #[test]
    fn results_come_in_the_order_of_the_seeds_on_any_number_of_threads() {
        let slow_first = |seed: u64| {
            (0..(200 - seed.wrapping_sub(u64::MAX) % 200) * 1_000).fold(seed, |a, b| a.rotate_left(3) ^ b);
            seed
        };
        let one = by_seed(u64::MAX, 200, 1, slow_first, |_| ());
        assert_eq!(one[..3], [u64::MAX, 0, 1]);
        assert_eq!(by_seed(u64::MAX, 200, 4, slow_first, |_| ()), one);
    }

    #[test]
    fn progress_counts_every_run_once() {
        let seen = AtomicU64::new(0);
        by_seed(
            1,
            50,
            3,
            |_| (),
            |done| {
                seen.fetch_add(done, Ordering::Relaxed);
            },
        );
        assert_eq!(seen.into_inner(), 50 * 51 / 2);
    }

    #[test]
    fn the_summary_of_a_few_runs() {
        let runs: Vec<Run> = [(1, 0), (2, 5), (3, 0), (4, 5), (5, 1)].map(|(seed, failed)| run(seed, failed)).into();
        let summary = Summary::new(&runs, &expected()).unwrap();
        assert_eq!((summary.runs, summary.requests.sent, summary.requests.failed()), (5, 5_000, 11));
        assert_eq!(summary.failed.percentiles.map(|p| p.value), [1.0, 5.0, 5.0]);
        assert_eq!((summary.failed.mean, summary.failed.min, summary.failed.max), (2.2, 0.0, 5.0));
        let (fraction, interval) = summary.failure_fraction.unwrap();
        assert_eq!(fraction, 0.0022);
        // Far wider than Wilson over 5000 requests, 0.0012 to 0.0039: failures come in clusters.
        assert!(interval.unwrap().high > 0.005, "{interval:?}");
        assert_eq!(summary.runs_with_failures, 3);
        assert_eq!(summary.worst, Worst { seed: 2, failed: 5, least_slack: Some(995) });
        assert_eq!((summary.drains[0].started, summary.drains[0].completed), (5, 4));
        assert_eq!(summary.drains[0].duration.as_ref().unwrap().mean, 3.0);
        assert_eq!(summary.expectations[0].passed, 2);
        assert_eq!(summary.expectations[0].first_failed, Some((2, "5".to_string())));
        assert!(!summary.passed());
    }

    #[test]
    fn without_any_failure_the_rule_of_three_bounds_the_share_of_runs() {
        let runs: Vec<Run> = (1..=300).map(|seed| run(seed, 0)).collect();
        let summary = Summary::new(&runs, &expected()).unwrap();
        assert_eq!(summary.failure_fraction, Some((0.0, None)));
        let Interval { low, high } = summary.runs_with_failures_interval;
        assert!(low == 0.0 && (high - 0.01).abs() < 1e-4, "{high}");
        assert_eq!(summary.worst.seed, 1);
        assert!(summary.passed());
    }

    #[test]
    fn one_run_has_no_interval_and_none_has_no_summary() {
        let summary = Summary::new(&[run(7, 2)], &expected()).unwrap();
        assert_eq!(summary.failure_fraction, Some((0.002, None)));
        assert_eq!(summary.failed.mean_interval, None);
        assert_eq!(Summary::new(&[], &expected()), None);
    }
}
