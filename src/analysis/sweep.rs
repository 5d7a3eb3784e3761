//! One scenario at many points: every combination of some values, or points drawn at random, each under many seeds.
//!
//! All points meet the same seeds, so neighbours differ by the policy and not by the weather. The work is a list of runs
//! with a number each; a shard takes every n-th of them, and whatever was made where, the records put in order are the
//! same. Everything that is printed is worked out from the records alone.

mod axis;
mod record;

pub use axis::{Axis, AxisError};
pub use record::{Header, Record, Records, RecordsError};

use std::sync::atomic::{AtomicBool, Ordering};

use crate::analysis::runs::{self, CONFIDENCE, Spread};
use crate::analysis::statistics::{self, Interval};
use crate::engine::{Key, Random};
use crate::scenario::expectation::Expectation;
use crate::simulation::{self, Setup};

/// A sweep that can be run.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What identifies it.
    pub header: Header,
    /// By point, in order: what runs start from, and what is expected of them.
    pub points: Vec<(Setup, Vec<Expectation>)>,
}

/// Which part of the runs is made: those whose number leaves `index` when divided by `of`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// How many shards there are.
    pub of: u32,
}

impl Shard {
    /// All runs.
    pub const ALL: Self = Self { index: 0, of: 1 };
}

/// Every combination of the axes' values, the last axis fastest.
#[must_use]
pub fn grid(axes: &[Axis]) -> Vec<Vec<String>> {
    axes.iter().fold(vec![Vec::new()], |points, axis| {
        let longer = |point: Vec<String>| {
            axis.values
                .iter()
                .map(move |value| point.iter().cloned().chain([value.clone()]).collect())
                .collect::<Vec<_>>()
        };
        points.into_iter().flat_map(longer).collect()
    })
}

/// Points drawn at random, evenly and independently between the ends of each axis. The same seed gives the same points,
/// and more of them begin with the same ones.
#[must_use]
pub fn sample(axes: &[Axis], count: u32, seed: u64) -> Vec<Vec<String>> {
    const POINT: Key = Key::new("sweep point");
    let random = Random::new(seed);
    let point = |number: u32| {
        axes.iter().map(|axis| axis.between(random.unit(POINT.text(&axis.path), u64::from(number)))).collect()
    };
    (0..count).map(point).collect()
}

impl Sweep {
    /// Makes the runs of a shard on so many threads (0: one a core), until `stop` is set; the records in their order.
    pub fn run(&self, shard: Shard, jobs: usize, stop: &AtomicBool, progress: impl Fn(u64) + Sync) -> Records {
        let (points, runs) = (self.points.len() as u64, u64::from(self.header.runs));
        let mine: Vec<u64> = (0..points * runs).filter(|n| n % u64::from(shard.of) == u64::from(shard.index)).collect();
        let one = |number: &u64| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let (point, run) = (number / runs, number % runs);
            let (setup, expectations) = &self.points[usize::try_from(point).ok()?];
            let outcome = simulation::run(setup, self.header.first_seed.wrapping_add(run), false);
            Some(Record::new(*number, &outcome, expectations))
        };
        let records = runs::in_order(&mine, jobs, one, progress).into_iter().flatten().collect();
        Records { header: self.header.clone(), records }
    }
}

/// What the runs of one point say together.
#[derive(Clone, PartialEq, Debug)]
pub struct Point {
    /// The values of the axes.
    pub values: Vec<String>,
    /// How many runs there are of it.
    pub runs: u64,
    /// In how many any request failed.
    pub losing: u64,
    /// The share of such runs: Clopper and Pearson's interval at 95 %; without any such run from 0 to the rule of three.
    pub losing_share: Interval,
    /// Failed requests per run.
    pub failed: Spread,
    /// How many were expected to fail in a run, given what happened to pods and routes; `None`: not known.
    pub expected: Option<Spread>,
    /// The longest drain of a run, seconds, over the runs that completed all; `None` if none did.
    pub drain: Option<Spread>,
    /// In how many runs a drain was not completed.
    pub undrained: u64,
    /// The least slack of a run, seconds.
    pub slack: Option<Spread>,
    /// Evictions denied per run.
    pub denials: Spread,
    /// The fewest ready endpoints of a run.
    pub ready: Option<Spread>,
    /// In how many runs every expectation was met.
    pub passed: u64,
}

impl Records {
    /// The points for which there are runs, in order.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let runs = u64::from(self.header.runs).max(1);
        let of = |number: usize| self.records.iter().filter(move |r| r.number / runs == number as u64);
        let point = |(number, values): (usize, &Vec<String>)| {
            let all: Vec<&Record> = of(number).collect();
            let numbers = |read: fn(&Record) -> Option<f64>| all.iter().filter_map(|r| read(r)).collect::<Vec<f64>>();
            let (count, losing) = (all.len() as u64, all.iter().filter(|r| r.failed > 0).count() as u64);
            Some(Point {
                values: values.clone(),
                runs: count,
                losing,
                losing_share: match losing {
                    0 => Interval { low: 0.0, high: statistics::rule_of_three(count, CONFIDENCE) },
                    some => statistics::clopper_pearson(some, count, CONFIDENCE),
                },
                failed: Spread::new(&numbers(|r| Some(r.failed as f64)), 0.0)?,
                expected: Spread::new(&numbers(|r| r.expected_millionths.map(|n| n as f64 / 1e6)), 0.0),
                drain: Spread::new(&numbers(|r| r.drain_nanos.map(|n| n as f64 / 1e9)), 0.0),
                undrained: all.iter().filter(|r| r.undrained > 0).count() as u64,
                slack: Spread::new(&numbers(|r| r.slack_nanos.map(|n| n as f64 / 1e9)), f64::NEG_INFINITY),
                denials: Spread::new(&numbers(|r| Some(r.denials as f64)), 0.0)?,
                ready: Spread::new(&numbers(|r| r.ready.map(|n| n as f64)), 0.0),
                passed: all.iter().filter(|r| r.passed).count() as u64,
            })
        };
        self.header.points.iter().enumerate().filter_map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Input, Scenario};

    fn sweep() -> Sweep {
        let text = crate::scenario::library::find("m06-the-race").unwrap().text.to_string();
        let axes = vec![Axis::parse("preStop=0s..2s:1s").unwrap()];
        let points = grid(&axes);
        let load = |values: &Vec<String>| {
            let light = ["spec.duration=25s".to_string(), "spec.traffic[0].rate=50/s".to_string()];
            let sets: Vec<String> =
                light.into_iter().chain(axes.iter().zip(values).map(|(axis, value)| axis.set(value))).collect();
            let scenario = Scenario::load(&[Input::Builtin { name: "t".into(), text: text.clone() }], &sets).unwrap();
            (scenario.setup, Vec::new())
        };
        let loaded: Vec<_> = points.iter().map(load).collect();
        Sweep { header: Header::new("t", &axes, points, 6, 1, &loaded), points: loaded }
    }

    #[test]
    fn shards_merged_are_the_whole_on_any_number_of_threads() {
        let (sweep, go) = (sweep(), AtomicBool::new(false));
        let whole = sweep.run(Shard::ALL, 2, &go, |_| ());
        let shard = |index| sweep.run(Shard { index, of: 4 }, 1, &go, |_| ());
        let parts: Vec<Records> = [2, 0, 3, 1].map(shard).into();
        assert_eq!(Records::merge(parts.clone()).unwrap(), whole);
        assert_eq!(whole.records.len(), 18);
        let points = whole.points();
        assert_eq!(points.len(), 3);
        assert!(points[0].losing > 0 && points[2].slack.as_ref().unwrap().min > points[0].slack.as_ref().unwrap().min);
        // What is missing is told, and may be left out on request.
        let mut part = Records::merge(parts[..3].to_vec()).unwrap();
        assert_eq!(part.missing(), 5);
        part.records.clear();
        assert_eq!(part.points(), []);
    }

    #[test]
    fn a_stopped_sweep_keeps_what_it_has() {
        let stop = AtomicBool::new(false);
        let records = sweep().run(Shard::ALL, 1, &stop, |done| stop.store(done >= 5, Ordering::Relaxed));
        assert_eq!(records.records.len(), 5);
        assert_eq!(records.points()[0].runs, 5);
    }

    #[test]
    fn a_grid_has_every_combination_and_a_sample_lies_between_the_ends() {
        let axes = [Axis::parse("replicas=2,3").unwrap(), Axis::parse("preStop=0s..10s:5s").unwrap()];
        let points = grid(&axes);
        assert_eq!(points.len(), 6);
        assert_eq!((points[1][0].as_str(), points[1][1].as_str()), ("2", "5s"));
        let axes = [Axis::parse("replicas=2..5").unwrap(), Axis::parse("spec.a=100ms..1s").unwrap()];
        let drawn = sample(&axes, 200, 1);
        assert_eq!(sample(&axes, 20, 1), drawn[..20]);
        for n in ["2", "3", "4", "5"] {
            assert!(drawn.iter().filter(|p| p[0] == n).count() > 25, "{n}");
        }
        let millis = |p: &Vec<String>| p[1].parse::<crate::engine::Duration>().unwrap().as_secs_f64();
        assert!(drawn.iter().all(|p| (0.1..=1.0).contains(&millis(p))));
    }
}
