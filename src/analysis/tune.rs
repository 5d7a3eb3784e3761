//! The smallest preStop sleep and the tightest budgets that keep a promise: in at least a share of all runs at most so many
//! requests fail, and all drains end in time.
//!
//! *Sleeps* are whole seconds. Each meets the same seeds (common random numbers), so that a longer sleep is not preferred
//! for better weather; more sleep is taken to lose no more, and the bound between too short and long enough found by
//! bisection. *Budgets* are turned only if a time for the drain is asked for, or if with them as they are the drains do not
//! end. A wider budget is taken to drain no slower and to lose no less, so the search goes up from the tightest one: the
//! tightest with which drains are in time without any sleep; the smallest sleep that loses little enough with it; if drains
//! are late with that sleep, the tightest wider one that is in time with it, and so on. Of a few budgets each is then
//! tightened alone.
//!
//! One candidate is a sampling plan of fixed size, curtailed: so many exceptions are allowed that Clopper and Pearson's
//! bound still shows the share, and the runs end with the first exception too many. Curtailment changes no decision (Wald,
//! "Sequential Analysis" (1947), section 5). The winner is chosen by its luck with these seeds, so it is confirmed with
//! others, that nothing was chosen by.

pub mod budgets;
mod parts;
pub mod slept;
mod trial;

use std::collections::BTreeMap;

use crate::analysis::runs;
use crate::analysis::statistics;
use crate::engine::Duration;
use crate::simulation::{self, Setup};
use budgets::{Scaled, Turned};
pub use parts::Part;
use trial::Kept;
pub use trial::{Trial, Worth};

/// What is promised.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Promise {
    /// At most so many requests fail in a run that keeps it.
    pub failed_max: u64,
    /// All drains of such a run end within this time; `None`: by the end of the run.
    pub drain_within: Option<Duration>,
    /// Each Service with clients keeps at least so many ready endpoints; `None`: any number.
    pub ready_min: Option<u32>,
    /// The share of all runs that keep it, above 0 and below 1.
    pub share: f64,
    /// How sure one must be.
    pub confidence: f64,
}

/// The answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Tuned {
    /// The budgets that the drains ask.
    pub budgets: Vec<Turned>,
    /// All candidates that were tried, by length of the sleep, then by budgets.
    pub trials: Vec<Trial>,
    /// The one to take, confirmed with other seeds; `None`: the promise cannot be kept.
    pub recommended: Option<Trial>,
    /// One second less, with the seeds of the confirmation; `None` if the recommendation is 0 s or there is none.
    pub one_less: Option<Trial>,
    /// By budget that the recommendation changes, or that a time was asked for: one pod fewer at once, with the seeds of
    /// the confirmation; no trial if that lets none go.
    pub tighter: Vec<(usize, Option<Trial>)>,
    /// The candidate that decides that it cannot be met.
    pub decisive: Option<Trial>,
    /// More replicas, with which it can be met: without wider budgets if it can be met with wider ones.
    pub scaled: Option<(Vec<Scaled>, Vec<Turned>, Trial)>,
}

impl Tuned {
    /// The budgets that the recommendation changes.
    pub fn changed(&self) -> impl Iterator<Item = (&Turned, u32)> {
        let allowed = self.recommended.iter().flat_map(|best| best.allowed.iter().copied());
        self.budgets.iter().zip(allowed).filter(|(budget, allowed)| budget.at(*allowed) != budget.before)
    }
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
    /// Budgets stay as they are, whatever that means for the drains.
    pub keep_budgets: bool,
    /// The first seed; the confirmation takes the seeds after the search's.
    pub first_seed: u64,
    /// Threads; 0: one a core.
    pub jobs: usize,
}

/// With more budgets than these, all of them let as many go at once.
const REFINED_MAX: usize = 4;

/// One search, with as many replicas as it has.
struct Search<'a> {
    tuner: &'a Tuner<'a>,
    scaled: Vec<Scaled>,
    budgets: Vec<Turned>,
    most: u64,
    trials: BTreeMap<(u64, Vec<u32>), Trial>,
    tell: &'a dyn Fn(&[Turned], &Trial),
}

impl Tuner<'_> {
    /// Searches sleeps of up to `most` seconds. `tell` is told of each candidate when it is done, with the budgets.
    pub fn tune(&self, most: u64, tell: impl Fn(&[Turned], &Trial)) -> Tuned {
        let base = (self.at)(0);
        let mut search = Search::new(self, Vec::new(), most, &tell);
        let found = search.confirmed();
        let budgets = search.budgets.clone();
        let (recommended, decisive) = match found {
            Ok(trial) => (Some(trial), None),
            Err(trial) => (None, Some(*trial)),
        };
        let one_less = recommended.as_ref().and_then(|t| Some(search.fresh(t.seconds.checked_sub(1)?, &t.allowed)));
        let mut tuned = Tuned {
            trials: search.trials.values().cloned().collect(),
            budgets,
            recommended,
            one_less,
            tighter: Vec::new(),
            decisive,
            scaled: None,
        };
        if let Some(best) = &tuned.recommended {
            let asked = self.promise.drain_within.is_some() && !self.keep_budgets;
            let turned =
                |index: &usize| asked || tuned.budgets[*index].at(best.allowed[*index]) != tuned.budgets[*index].before;
            let turned: Vec<usize> = (0..best.allowed.len()).filter(turned).take(REFINED_MAX).collect();
            let tighter = turned.into_iter().map(|index| {
                let mut allowed = best.allowed.clone();
                allowed[index] -= 1;
                (index, (allowed[index] > 0).then(|| search.fresh(best.seconds, &allowed)))
            });
            tuned.tighter = tighter.collect();
        }
        tuned.scaled = self.scaled(&base, &tuned, most, &tell);
        tuned
    }

    /// What the sleep of the recommendation, or of the candidate that decides, is needed for: the 99th percentile over runs as
    /// it is, seconds, and what each hop adds, the most first.
    #[must_use]
    pub fn parts(&self, tuned: &Tuned) -> Option<(f64, Vec<Part>)> {
        let trial = tuned.recommended.as_ref().or(tuned.decisive.as_ref())?;
        let mut setup = (self.at)(trial.seconds);
        budgets::apply(&tuned.budgets, &trial.allowed, &mut setup);
        self.parts_of(&setup, trial.seconds)
    }

    /// Replicas with which the promise can be kept: if it cannot be with those that there are, or only with wider budgets.
    fn scaled(
        &self,
        base: &Setup,
        tuned: &Tuned,
        most: u64,
        tell: &dyn Fn(&[Turned], &Trial),
    ) -> Option<(Vec<Scaled>, Vec<Turned>, Trial)> {
        let wider = tuned.changed().any(|(budget, allowed)| allowed > budget.allowed_before());
        if tuned.budgets.is_empty() || self.keep_budgets || (tuned.recommended.is_some() && !wider) {
            return None;
        }
        let more: [fn(u32) -> u32; 2] = [|n| n + 1, |n| 2 * n];
        more.into_iter().find_map(|more| {
            let scaled = Scaled::of(base, &tuned.budgets, more);
            if scaled.is_empty() || scaled.iter().any(|s| s.replicas == s.before) {
                return None;
            }
            let mut search = Search::new(self, scaled.clone(), most, tell);
            let trial = match &tuned.recommended {
                None => search.confirmed().ok()?,
                Some(best) => {
                    let as_is = search.as_is();
                    let trial = search.fresh(best.seconds, &as_is);
                    trial.shown.then_some(trial)?
                }
            };
            Some((scaled, search.budgets, trial))
        })
    }
}

impl<'a> Search<'a> {
    fn new(tuner: &'a Tuner<'a>, scaled: Vec<Scaled>, most: u64, tell: &'a dyn Fn(&[Turned], &Trial)) -> Self {
        let mut setup = (tuner.at)(0);
        scaled.iter().for_each(|s| s.apply(&mut setup));
        let budgets = Turned::of(&setup, tuner.first_seed);
        Self { tuner, scaled, budgets, most, trials: BTreeMap::new(), tell }
    }

    /// Budgets as they are.
    fn as_is(&self) -> Vec<u32> {
        self.budgets.iter().map(Turned::allowed_before).collect()
    }

    /// The candidate that keeps the promise, with seeds by which it was not chosen; or the one that shows that none does.
    fn confirmed(&mut self) -> Result<Trial, Box<Trial>> {
        let (mut seconds, mut allowed) = self.found()?;
        loop {
            let trial = self.fresh(seconds, &allowed);
            match trial.worth() {
                Worth::Kept => return Ok(trial),
                Worth::Loses if seconds < self.most => seconds += 1,
                Worth::Late if !self.tuner.keep_budgets && self.is_tighter(&allowed) => {
                    (allowed.iter_mut().zip(&self.budgets)).for_each(|(a, b)| *a = (*a + 1).min(b.pods));
                }
                _ => return Err(Box::new(trial)),
            }
        }
    }

    /// The best candidate by the seeds of the search.
    fn found(&mut self) -> Result<(u64, Vec<u32>), Box<Trial>> {
        let mut allowed = self.as_is();
        let mut level = 0;
        let turn = !self.tuner.keep_budgets && !self.budgets.is_empty();
        let asked = self.tuner.promise.drain_within.is_some();
        if turn && (asked || self.tried(0, &allowed).worth() == Worth::Late) {
            (level, allowed) = self.tightest(0, 1)?;
        }
        loop {
            let seconds = self.smallest_sleep(&allowed)?;
            let trial = self.tried(seconds, &allowed);
            match trial.worth() {
                Worth::Late if turn => (level, allowed) = self.tightest(seconds, level + 1)?,
                Worth::Kept => {
                    if level > 0 && (2..=REFINED_MAX).contains(&self.budgets.len()) {
                        self.tighten_each(seconds, &mut allowed);
                    }
                    return Ok((seconds, allowed));
                }
                _ => return Err(Box::new(trial)),
            }
        }
    }

    /// The smallest sleep that loses little enough, whether or not drains are late with it; or the longest if it loses too much.
    fn smallest_sleep(&mut self, allowed: &[u32]) -> Result<u64, Box<Trial>> {
        // Nothing below `low` is enough; `high` is.
        let (mut low, mut high) = (0, self.most);
        if let Some(guess) = self.guess(allowed) {
            let loses = |search: &mut Self, seconds| search.tried(seconds, allowed).worth() == Worth::Loses;
            // What else the front shows: no sleep at all, and a second more.
            loses(self, 0);
            loses(self, (guess + 1).min(self.most));
            if loses(self, guess) {
                low = guess + 1;
                if low <= self.most && !loses(self, low) {
                    return Ok(low);
                }
            } else if guess == 0 || loses(self, guess - 1) {
                return Ok(guess);
            } else {
                high = guess - 1;
            }
        }
        if high == self.most {
            let longest = self.tried(high, allowed);
            if longest.worth() == Worth::Loses {
                return Err(Box::new(longest));
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.tried(middle, allowed).worth() == Worth::Loses { low = middle + 1 } else { high = middle }
        }
        Ok(high)
    }

    /// The smallest sleep that is expected to lose little enough, by few runs: how many requests fail in a run is Poisson
    /// distributed, given what happens to pods and routes, so that each run tells a probability and not only a yes or no
    /// (conditional Monte Carlo). `None` if the requests depend on each other. It decides nothing: what it finds is judged
    /// by whole runs, as every other candidate is.
    fn guess(&self, allowed: &[u32]) -> Option<u64> {
        let limit = 1.0 - self.tuner.promise.share;
        let (mut low, mut high) = (0, self.most);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.expected_breaks(middle, allowed)? > limit { low = middle + 1 } else { high = middle }
        }
        Some(high)
    }

    /// The share of runs that are expected to lose too much.
    fn expected_breaks(&self, seconds: u64, allowed: &[u32]) -> Option<f64> {
        const RUNS: u32 = 50;
        let Tuner { promise, jobs, first_seed, .. } = *self.tuner;
        let setup = self.setup(seconds, allowed);
        let run = |seed| simulation::run(&setup, seed, false).expected_failed();
        let means: Option<Vec<f64>> = runs::by_seed(first_seed, RUNS, jobs, run, |_| ()).into_iter().collect();
        Some(means?.iter().map(|mean| poisson_above(*mean, promise.failed_max)).sum::<f64>() / f64::from(RUNS))
    }

    /// The tightest budgets, all with as many pods at once from `least` on, with which drains are in time; or the widest if
    /// even they are late.
    fn tightest(&mut self, seconds: u64, least: u32) -> Result<(u32, Vec<u32>), Box<Trial>> {
        let all = |level: u32| move |budget: &Turned| level.min(budget.pods);
        let widest = self.budgets.iter().map(|b| b.pods).max().unwrap_or(0);
        let levels = |search: &Self, level: u32| search.budgets.iter().map(all(level)).collect::<Vec<u32>>();
        let (mut low, mut high) = (least.min(widest), widest);
        let open = self.tried(seconds, &levels(self, widest));
        if open.worth() == Worth::Late || least > widest {
            return Err(Box::new(open));
        }
        while low < high {
            let middle = low + (high - low) / 2;
            let allowed = levels(self, middle);
            if self.tried(seconds, &allowed).worth() == Worth::Late { low = middle + 1 } else { high = middle }
        }
        Ok((high, levels(self, high)))
    }

    /// Makes each budget as tight as the promise allows, one after the other.
    fn tighten_each(&mut self, seconds: u64, allowed: &mut [u32]) {
        for index in 0..allowed.len() {
            let (mut low, mut high) = (1, allowed[index]);
            while low < high {
                allowed[index] = low + (high - low) / 2;
                if self.tried(seconds, allowed).shown { high = allowed[index] } else { low = allowed[index] + 1 }
            }
            allowed[index] = high;
        }
    }

    fn is_tighter(&self, allowed: &[u32]) -> bool {
        allowed.iter().zip(&self.budgets).any(|(allowed, budget)| *allowed < budget.pods)
    }

    /// A candidate with the seeds of the search.
    fn tried(&mut self, seconds: u64, allowed: &[u32]) -> Trial {
        let key = (seconds, allowed.to_vec());
        if let Some(trial) = self.trials.get(&key) {
            return trial.clone();
        }
        let trial = self.trial(seconds, allowed, self.tuner.first_seed);
        (self.tell)(&self.budgets, &trial);
        self.trials.insert(key, trial.clone());
        trial
    }

    /// A candidate with seeds that nothing was chosen by.
    fn fresh(&self, seconds: u64, allowed: &[u32]) -> Trial {
        let first = self.tuner.first_seed.wrapping_add(u64::from(self.tuner.plan.runs));
        self.trial(seconds, allowed, first)
    }

    /// One candidate with the plan's seeds from `first` on; ends with the first exception too many.
    fn trial(&self, seconds: u64, allowed: &[u32], first: u64) -> Trial {
        let Tuner { promise, plan, jobs, .. } = *self.tuner;
        let setup = self.setup(seconds, allowed);
        let mut kept: Vec<Kept> = Vec::new();
        // In batches of a size that does not depend on the number of threads, so that the result does not either.
        const BATCH: u32 = 50;
        while (kept.len() as u64) < u64::from(plan.runs) {
            let done = kept.len() as u64;
            let count = BATCH.min(plan.runs - done as u32);
            let run = |seed| Kept::new(&simulation::run(&setup, seed, false), promise);
            kept.extend(runs::by_seed(first.wrapping_add(done), count, jobs, run, |_| ()));
            if kept.iter().filter(|k| !k.good).count() as u64 > plan.allowed {
                break;
            }
        }
        Trial::new(seconds, allowed, &kept, promise, kept.len() as u64 == u64::from(plan.runs))
    }

    fn setup(&self, seconds: u64, allowed: &[u32]) -> Setup {
        let mut setup = (self.tuner.at)(seconds);
        self.scaled.iter().for_each(|scaled| scaled.apply(&mut setup));
        budgets::apply(&self.budgets, allowed, &mut setup);
        setup
    }
}

/// The probability that a Poisson distributed number of this mean is more than `most`.
fn poisson_above(mean: f64, most: u64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    let log_mean = libm::log(mean);
    let probability = |k: u64| libm::exp(k as f64 * log_mean - mean - libm::lgamma(k as f64 + 1.0));
    (1.0 - (0..=most).map(probability).sum::<f64>()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Input, Scenario};

    const PROMISE: Promise =
        Promise { failed_max: 0, drain_within: None, ready_min: None, share: 0.9, confidence: 0.9 };

    fn load(name: &str, seconds: u64, more: &[&str]) -> Setup {
        let text = crate::scenario::library::find(name).unwrap().text.to_string();
        let more = more.iter().map(|set| (*set).to_string());
        let sets: Vec<String> = more.chain([format!("preStop={seconds}s"), "gracePeriod=120s".into()]).collect();
        Scenario::load(&[Input::Builtin { name: "t".into(), text }], &sets).unwrap().setup
    }

    fn setup(seconds: u64) -> Setup {
        load("m07-prestop-sleep", seconds, &["spec.duration=30s", "spec.traffic[0].rate=100/s"])
    }

    fn tuner(promise: Promise) -> Tuner<'static> {
        Tuner {
            at: &setup,
            promise,
            plan: Plan::new(promise, 40).unwrap(),
            keep_budgets: false,
            first_seed: 1,
            jobs: 0,
        }
    }

    #[test]
    fn a_plan_allows_what_the_exact_bound_allows() {
        let promise = Promise { share: 0.99, confidence: 0.95, ..PROMISE };
        assert_eq!(Plan::new(promise, 298), None);
        assert_eq!(Plan::new(promise, 299), Some(Plan { runs: 299, allowed: 0 }));
        assert_eq!(Plan::new(promise, 473).unwrap().allowed, 1);
    }

    #[test]
    fn the_probability_of_more_is_that_of_the_tables() {
        use statrs::distribution::{DiscreteCDF, Poisson};
        for (mean, most) in [(0.01, 0), (0.5, 0), (3.0, 2), (40.0, 50), (900.0, 880)] {
            let expected = 1.0 - Poisson::new(mean).unwrap().cdf(most);
            assert!((poisson_above(mean, most) - expected).abs() < 1e-9, "{mean} {most}");
        }
        assert_eq!(poisson_above(0.0, 0), 0.0);
    }

    #[test]
    fn a_guess_by_few_runs_is_near_what_many_find() {
        let at = |seconds| setup(seconds);
        let tuner = Tuner { at: &at, ..tuner(PROMISE) };
        let tell = |_: &[Turned], _: &Trial| ();
        let search = Search::new(&tuner, Vec::new(), 8, &tell);
        let guess = search.guess(&search.as_is()).expect("the requests are independent");
        let best = tuner.tune(8, |_, _| ()).recommended.unwrap();
        assert!(guess.abs_diff(best.seconds) <= 1, "{guess}, found {}", best.seconds);
    }

    #[test]
    fn the_smallest_sleep_that_keeps_the_promise_is_found() {
        let tuned = tuner(PROMISE).tune(8, |_, _| ());
        let (need, lines) = tuner(PROMISE).parts(&tuned).unwrap();
        let best = tuned.recommended.unwrap();
        assert!((1..=3).contains(&best.seconds) && best.shown, "{best:?}");
        assert!(tuned.trials.iter().any(|t| !t.shown && t.seconds < best.seconds), "{:?}", tuned.trials);
        assert!(best.shutdown_max.unwrap() > best.seconds as f64);
        assert!(need > 0.0 && lines.iter().any(|l| l.name.contains("minSyncPeriod") || l.saves > 0.0), "{lines:?}");
        assert_eq!((tuned.budgets.len(), tuned.scaled), (0, None));
    }

    #[test]
    fn what_no_sleep_can_keep_is_told() {
        let hopeless = Promise { drain_within: Some(Duration::from_secs(1)), ..PROMISE };
        let tuned = tuner(hopeless).tune(4, |_, _| ());
        assert_eq!(tuned.recommended, None);
        assert_eq!(tuned.decisive.unwrap().worth(), Worth::Late);
        assert!(tuned.trials[0].late > 0, "{:?}", tuned.trials);
    }

    /// Six replicas under `maxUnavailable: 1`, three of them on the node: one by one takes half a minute.
    fn paced(seconds: u64) -> Setup {
        load("m15-pace-of-a-deployment", seconds, &["spec.traffic[0].rate=5/s"])
    }

    fn paced_tuner(at: &(dyn Fn(u64) -> Setup + Sync), within: u64) -> Tuner<'_> {
        let drain_within = Some(Duration::from_secs(within));
        let promise = Promise { failed_max: 1000, drain_within, share: 0.7, confidence: 0.8, ..PROMISE };
        Tuner { at, promise, plan: Plan::new(promise, 6).unwrap(), keep_budgets: false, first_seed: 1, jobs: 0 }
    }

    #[test]
    fn the_tightest_budget_that_drains_in_time_is_found() {
        let slow = paced_tuner(&paced, 60).tune(3, |_, _| ());
        assert_eq!(slow.recommended.as_ref().unwrap().allowed, [1]);
        assert_eq!((slow.changed().count(), &slow.tighter), (0, &vec![(0, None)]));
        let fast = paced_tuner(&paced, 20).tune(3, |_, _| ());
        let best = fast.recommended.clone().unwrap();
        let changed: Vec<String> = fast.changed().map(|(b, allowed)| b.set(allowed)).collect();
        assert!(best.allowed[0] > 1 && best.drain.unwrap().1 <= 20.0, "{best:?}");
        assert_eq!(changed, [format!("PodDisruptionBudget/default/web:maxUnavailable={}", best.allowed[0])]);
        let (_, tighter) = &fast.tighter[0];
        let tighter = tighter.as_ref().unwrap();
        assert_eq!((tighter.allowed[0], tighter.worth()), (best.allowed[0] - 1, Worth::Late));
        // With budgets that stay, the same time cannot be kept.
        let kept = Tuner { keep_budgets: true, ..paced_tuner(&paced, 20) }.tune(3, |_, _| ());
        assert_eq!((kept.recommended, kept.decisive.unwrap().worth()), (None, Worth::Late));
    }

    #[test]
    fn a_time_that_no_budget_keeps_is_told() {
        let tuned = paced_tuner(&paced, 1).tune(3, |_, _| ());
        let decisive = tuned.decisive.unwrap();
        assert_eq!((decisive.worth(), decisive.allowed, tuned.recommended), (Worth::Late, vec![6], None));
    }

    /// Two replicas of which both are required: the drain never ends, unless one more is there.
    #[test]
    fn a_budget_that_blocks_is_widened_or_replicas_added() {
        // So few runs show little. What is lost while routes are late is no matter here, an outage is.
        const PROMISE: Promise = Promise { failed_max: 4, share: 0.7, confidence: 0.8, ..super::tests::PROMISE };
        let at = |seconds| load("m11-two-drains-one-budget", seconds, &["minAvailable=2", "spec.traffic[0].rate=5/s"]);
        let tuner = Tuner {
            at: &at,
            promise: PROMISE,
            plan: Plan::new(PROMISE, 6).unwrap(),
            keep_budgets: false,
            first_seed: 1,
            jobs: 0,
        };
        let tuned = tuner.tune(3, |_, _| ());
        let best = tuned.recommended.clone().unwrap();
        assert_eq!(best.allowed, [1]);
        assert!(tuned.trials.iter().any(|t| t.allowed == [0] && t.unfinished == t.runs), "{:?}", tuned.trials);
        let (scaled, budgets, trial) = tuned.scaled.unwrap();
        assert_eq!((scaled[0].before, scaled[0].replicas, budgets[0].pods), (2, 3, 3));
        assert!(trial.shown && trial.allowed == [1], "{trial:?}");
        let ready = Promise { ready_min: Some(2), ..PROMISE };
        let tuned = Tuner { promise: ready, ..tuner }.tune(3, |_, _| ());
        assert_eq!(tuned.recommended, None);
        let (scaled, _, trial) = tuned.scaled.unwrap();
        assert_eq!((scaled[0].replicas, trial.ready_min), (3, Some(2)));
    }
}
