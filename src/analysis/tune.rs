//! The smallest preStop sleep that keeps a promise: in at least a share of all runs at most so many requests fail, and all
//! drains end in time.
//!
//! Candidates are whole seconds. Each meets the same seeds (common random numbers), so that a longer sleep is not preferred
//! for better weather; more sleep is taken to be no worse, and the bound between too short and long enough found by
//! bisection. One candidate is a sampling plan of fixed size, curtailed: so many exceptions are allowed that Clopper and
//! Pearson's bound still shows the share, and the runs end with the first exception too many. Curtailment changes no
//! decision (Wald, "Sequential Analysis" (1947), section 5). The winner is chosen by its luck with these seeds, so it is
//! confirmed with others, that nothing was chosen by.

use std::collections::BTreeMap;

use crate::analysis::runs;
use crate::analysis::statistics::{self, Interval};
use crate::engine::{Distribution, Duration};
use crate::simulation::latency::Hop;
use crate::simulation::outcome::{FailureKind, PodActivity};
use crate::simulation::setup::{IngressNginx, LoadBalancer, Via};
use crate::simulation::{self, Outcome, Setup};

/// What is promised.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Promise {
    /// At most so many requests fail in a run that keeps it.
    pub failed_max: u64,
    /// All drains of such a run end within this time; `None`: whenever.
    pub drain_within: Option<Duration>,
    /// The share of all runs that keep it, above 0 and below 1.
    pub share: f64,
    /// How sure one must be.
    pub confidence: f64,
}

/// What is kept of one run.
#[derive(Clone, PartialEq, Debug)]
struct Kept {
    seed: u64,
    good: bool,
    lost: bool,
    late: bool,
    drain: Option<f64>,
    slack: Option<f64>,
    /// The longest time from a deletion to the end of the process, seconds.
    shutdown: Option<f64>,
    killed: bool,
    kinds: Vec<(FailureKind, PodActivity)>,
}

/// A candidate, tried.
#[derive(Clone, PartialEq, Debug)]
pub struct Trial {
    /// The preStop sleep.
    pub seconds: u64,
    /// How many runs were made.
    pub runs: u64,
    /// How many of them broke the promise.
    pub broken: u64,
    /// In how many requests failed.
    pub losing: u64,
    /// In how many a drain took too long, or did not end.
    pub late: u64,
    /// Between which ends the share of runs lies that break the promise, each end at the promise's confidence.
    pub broken_share: Interval,
    /// Whether the runs show that the promise is kept.
    pub shown: bool,
    /// The drain's median and the longest drain seen, seconds.
    pub drain: Option<(f64, f64)>,
    /// The longest time from a deletion to the end of its process, seconds.
    pub shutdown_max: Option<f64>,
    /// In how many runs a container was killed.
    pub killed: u64,
    /// How requests failed, and what their pods were doing.
    pub kinds: BTreeMap<(FailureKind, PodActivity), u64>,
    /// The first seed that broke the promise.
    pub first_broken: Option<u64>,
}

/// A hop's part of the tail.
#[derive(Clone, PartialEq, Debug)]
pub struct BudgetLine {
    /// The hop, or the setting.
    pub name: &'static str,
    /// By how much the 99th percentile of the sleep that is needed falls if the hop always takes its median.
    pub saves: f64,
}

/// The answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Tuned {
    /// All candidates that were tried, by length.
    pub trials: Vec<Trial>,
    /// The one to take, confirmed with other seeds; `None`: the promise cannot be kept.
    pub recommended: Option<Trial>,
    /// One second less, with the seeds of the confirmation; `None` if the recommendation is 0 s or there is none.
    pub one_less: Option<Trial>,
    /// What the sleep is needed for: its 99th percentile over runs as it is, seconds, and what each hop adds.
    pub budget: Option<(f64, Vec<BudgetLine>)>,
}

/// How many runs a candidate takes, and how many of them may break the promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Runs.
    pub runs: u32,
    /// Exceptions that are allowed.
    pub allowed: u64,
}

impl Plan {
    /// The plan of a promise with so many runs; `None` if they are too few to show it.
    #[must_use]
    pub fn new(promise: Promise, runs: u32) -> Option<Self> {
        let shows = |broken: u64| {
            let kept = u64::from(runs) - broken;
            let ends = statistics::clopper_pearson(kept, u64::from(runs), 2.0 * promise.confidence - 1.0);
            ends.low >= promise.share
        };
        let allowed = (0..=u64::from(runs)).take_while(|broken| shows(*broken)).last()?;
        Some(Self { runs, allowed })
    }
}

/// The search.
pub struct Tuner<'a> {
    /// The setup with a preStop sleep of so many seconds, and a grace period that is no limit.
    pub at: &'a (dyn Fn(u64) -> Setup + Sync),
    /// What is promised.
    pub promise: Promise,
    /// Runs of each candidate.
    pub plan: Plan,
    /// The first seed; the confirmation takes the seeds after the search's.
    pub first_seed: u64,
    /// Threads; 0: one a core.
    pub jobs: usize,
}

impl Tuner<'_> {
    /// Searches up to `most` seconds. `tell` is told of each candidate when it is done.
    pub fn tune(&self, most: u64, tell: impl Fn(&Trial)) -> Tuned {
        let mut trials: BTreeMap<u64, Trial> = BTreeMap::new();
        let mut tried = |seconds: u64| {
            let trial = trials.entry(seconds).or_insert_with(|| {
                let trial = self.trial(seconds, self.first_seed);
                tell(&trial);
                trial
            });
            trial.shown
        };
        // Nothing below `low` is enough; `high` is, or is not known yet.
        let (mut low, mut high) = (0, most);
        let possible = tried(most);
        while possible && low < high {
            let middle = low + (high - low) / 2;
            if tried(middle) { high = middle } else { low = middle + 1 }
        }
        let mut recommended = None;
        let fresh = self.first_seed.wrapping_add(u64::from(self.plan.runs));
        let mut seconds = high;
        while possible && seconds <= most {
            let trial = self.trial(seconds, fresh);
            if trial.shown {
                recommended = Some(trial);
                break;
            }
            seconds += 1;
        }
        let one_less = recommended.as_ref().and_then(|t| t.seconds.checked_sub(1)).map(|s| self.trial(s, fresh));
        let budget = self.budget(recommended.as_ref().map_or(most, |t| t.seconds));
        Tuned { trials: trials.into_values().collect(), recommended, one_less, budget }
    }

    /// One candidate with the plan's seeds from `first` on; ends with the first exception too many.
    fn trial(&self, seconds: u64, first: u64) -> Trial {
        let setup = (self.at)(seconds);
        let mut kept: Vec<Kept> = Vec::new();
        // In batches of a size that does not depend on the number of threads, so that the result does not either.
        const BATCH: u32 = 50;
        while (kept.len() as u64) < u64::from(self.plan.runs) {
            let done = kept.len() as u64;
            let count = BATCH.min(self.plan.runs - done as u32);
            let run = |seed| self.kept(&simulation::run(&setup, seed, false));
            kept.extend(runs::by_seed(first.wrapping_add(done), count, self.jobs, run, |_| ()));
            if kept.iter().filter(|k| !k.good).count() as u64 > self.plan.allowed {
                break;
            }
        }
        Trial::new(seconds, &kept, self.promise, kept.len() as u64 == u64::from(self.plan.runs))
    }

    fn kept(&self, outcome: &Outcome) -> Kept {
        let took: Option<Vec<f64>> =
            outcome.drains.iter().map(|d| d.completed_at.map(|at| at.since(d.started_at).as_secs_f64())).collect();
        let drain = took.and_then(|all| all.into_iter().max_by(f64::total_cmp));
        let late = match self.promise.drain_within {
            None => false,
            Some(within) => !outcome.drains.is_empty() && drain.is_none_or(|d| d > within.as_secs_f64()),
        };
        let lost = outcome.requests.failed() > self.promise.failed_max;
        let shutdown =
            |p: &simulation::outcome::PodOutcome| Some(p.times.exited_at?.since(p.times.deleted_at?).as_secs_f64());
        Kept {
            seed: outcome.seed,
            good: !lost && !late,
            lost,
            late,
            drain,
            slack: outcome.pods.iter().filter_map(|p| p.slack_nanos).min().map(|n| n as f64 / 1e9),
            shutdown: outcome.pods.iter().filter_map(shutdown).max_by(f64::total_cmp),
            killed: outcome.pods.iter().any(|p| p.times.killed_containers > 0),
            kinds: outcome.failures.iter().map(|f| (f.kind, f.pod_phase)).collect(),
        }
    }

    /// Which hop makes which part of the tail: the same runs with one hop at its median.
    fn budget(&self, seconds: u64) -> Option<(f64, Vec<BudgetLine>)> {
        const RUNS: u32 = 200;
        let setup = (self.at)(seconds);
        let need = |setup: &Setup| {
            let run = |seed| self.kept(&simulation::run(setup, seed, false)).slack;
            let slack = runs::by_seed(self.first_seed, RUNS, self.jobs, run, |_| ());
            let mut needs: Vec<f64> = slack.into_iter().flatten().map(|s| seconds as f64 - s).collect();
            needs.sort_by(f64::total_cmp);
            statistics::percentile(&needs, 0.99)
        };
        let whole = need(&quiet(&setup))?;
        let chain = [
            Hop::Watch,
            Hop::EndpointSliceSync,
            Hop::ApiRequest,
            Hop::ApiRead,
            Hop::ApiWrite,
            Hop::KubeProxySync,
            Hop::IngressSync,
            Hop::XdsPush,
            Hop::KubeletSync,
            Hop::PlegRelist,
            Hop::HookExec,
            Hop::HookCommand,
            Hop::StopContainer,
        ];
        let without = |hop: Hop| {
            let mut changed = quiet(&setup);
            let median = changed.latencies.get(hop).quantile(0.5);
            changed.latencies.set(hop, Distribution::Constant(median));
            Some(BudgetLine { name: hop.name(), saves: whole - need(&changed)? })
        };
        let mut lines: Vec<BudgetLine> = chain.into_iter().filter_map(without).collect();
        for (name, change) in SETTINGS {
            let mut changed = quiet(&setup);
            change(&mut changed);
            // What the scenario does not have changes nothing, and is not told.
            if *name == "kubeProxy.minSyncPeriod at 0s" || changed != quiet(&setup) {
                lines.extend(need(&changed).map(|n| BudgetLine { name, saves: whole - n }));
            }
        }
        lines.sort_by(|a, b| b.saves.total_cmp(&a.saves));
        Some((whole, lines))
    }
}

/// Settings that are no hops, and may make a part of the tail all the same.
const SETTINGS: &[(&str, fn(&mut Setup))] = &[
    ("kubeProxy.minSyncPeriod at 0s", |setup| setup.kube_proxy.min_sync_period = Duration::ZERO),
    ("syncInterval of ingress-nginx at 0s", |setup| {
        for_each_nginx(setup, |nginx| nginx.sync_interval = Duration::ZERO);
    }),
    ("pollInterval of ingress-nginx at 0s", |setup| {
        for_each_nginx(setup, |nginx| nginx.poll_interval = Duration::ZERO);
    }),
    ("debounceAfter of istiod at 0s", |setup| {
        for traffic in &mut setup.traffic {
            if let Via::Envoy(envoy) = &mut traffic.via {
                envoy.debounce_after = Duration::ZERO;
            }
        }
    }),
    ("reconcile of the load balancer", |setup| {
        for_each_balancer(setup, |balancer| balancer.reconcile = median(&balancer.reconcile));
    }),
    ("deregister of the load balancer", |setup| {
        for_each_balancer(setup, |balancer| balancer.deregister = median(&balancer.deregister));
    }),
];

fn median(distribution: &Distribution) -> Distribution {
    Distribution::Constant(distribution.quantile(0.5))
}

fn for_each_balancer(setup: &mut Setup, change: impl Fn(&mut LoadBalancer)) {
    setup.traffic.iter_mut().filter_map(|traffic| traffic.balancer.as_mut()).for_each(change);
}

fn for_each_nginx(setup: &mut Setup, change: impl Fn(&mut IngressNginx)) {
    for traffic in &mut setup.traffic {
        if let Via::IngressNginx(nginx) = &mut traffic.via {
            change(nginx);
        }
    }
}

/// With one request a second: routes and listeners do not care how many clients there are.
fn quiet(setup: &Setup) -> Setup {
    let mut quiet = setup.clone();
    quiet.traffic.iter_mut().for_each(|t| t.rate = t.rate.min(1.0));
    quiet
}

impl Trial {
    fn new(seconds: u64, kept: &[Kept], promise: Promise, whole: bool) -> Self {
        let count = |holds: fn(&Kept) -> bool| kept.iter().filter(|k| holds(k)).count() as u64;
        let (runs, broken) = (kept.len() as u64, count(|k| !k.good));
        let broken_share = statistics::clopper_pearson(broken, runs, 2.0 * promise.confidence - 1.0);
        let mut drains: Vec<f64> = kept.iter().filter_map(|k| k.drain).collect();
        drains.sort_by(f64::total_cmp);
        let mut kinds = BTreeMap::new();
        for kind in kept.iter().flat_map(|k| &k.kinds) {
            *kinds.entry(*kind).or_default() += 1;
        }
        Self {
            seconds,
            runs,
            broken,
            losing: count(|k| k.lost),
            late: count(|k| k.late),
            broken_share,
            shown: whole && 1.0 - broken_share.high >= promise.share,
            drain: statistics::percentile(&drains, 0.5).zip(drains.last().copied()),
            shutdown_max: kept.iter().filter_map(|k| k.shutdown).max_by(f64::total_cmp),
            killed: count(|k| k.killed),
            kinds,
            first_broken: kept.iter().find(|k| !k.good).map(|k| k.seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Input, Scenario};

    const PROMISE: Promise = Promise { failed_max: 0, drain_within: None, share: 0.9, confidence: 0.9 };

    fn setup(seconds: u64) -> Setup {
        let text = crate::scenario::library::find("m07-prestop-sleep").unwrap().text.to_string();
        let sets = [
            "spec.duration=30s".into(),
            "spec.traffic[0].rate=100/s".into(),
            format!("preStop={seconds}s"),
            "gracePeriod=120s".into(),
        ];
        Scenario::load(&[Input::Builtin { name: "t".into(), text }], &sets).unwrap().setup
    }

    fn tuner(promise: Promise) -> Tuner<'static> {
        Tuner { at: &setup, promise, plan: Plan::new(promise, 40).unwrap(), first_seed: 1, jobs: 0 }
    }

    #[test]
    fn a_plan_allows_what_the_exact_bound_allows() {
        let promise = Promise { share: 0.99, confidence: 0.95, ..PROMISE };
        assert_eq!(Plan::new(promise, 298), None);
        assert_eq!(Plan::new(promise, 299), Some(Plan { runs: 299, allowed: 0 }));
        assert_eq!(Plan::new(promise, 473).unwrap().allowed, 1);
    }

    #[test]
    fn the_smallest_sleep_that_keeps_the_promise_is_found() {
        let tuned = tuner(PROMISE).tune(8, |_| ());
        let best = tuned.recommended.unwrap();
        assert!((1..=3).contains(&best.seconds) && best.shown, "{best:?}");
        assert!(tuned.trials.iter().any(|t| !t.shown && t.seconds < best.seconds), "{:?}", tuned.trials);
        assert!(best.shutdown_max.unwrap() > best.seconds as f64);
        let (need, lines) = tuned.budget.unwrap();
        assert!(need > 0.0 && lines.iter().any(|l| l.name.contains("minSyncPeriod") || l.saves > 0.0), "{lines:?}");
    }

    #[test]
    fn what_no_sleep_can_keep_is_told() {
        let hopeless = Promise { drain_within: Some(Duration::from_secs(1)), ..PROMISE };
        let tuned = tuner(hopeless).tune(4, |_| ());
        assert_eq!(tuned.recommended, None);
        assert!(tuned.trials[0].late > 0, "{:?}", tuned.trials);
    }
}
