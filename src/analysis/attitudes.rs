//! The same runs with other applications: what comes out if those of which nothing is known wind down, or ignore their stop
//! signal, instead of exiting at once.
//!
//! None of the three is the best or the worst in itself. A process that ignores its signal loses the fewest requests, since
//! it serves for as long as anybody sends to it, and makes each pod take its whole grace period.

use crate::analysis::drain::DrainRun;
use crate::analysis::runs::Run;
use crate::engine::Duration;
use crate::scenario::unknown_apps::{Attitude, UnknownApps};
use crate::simulation::Setup;
use crate::simulation::outcome::Requests;

/// What came out under one attitude, over all runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Case {
    /// What the unknown applications do.
    pub attitude: Attitude,
    /// Requests of all clients in all runs.
    pub requests: Requests,
    /// The longest that a drain took; `None` if there was none, or not all came to their end.
    pub longest_drain: Option<Duration>,
    /// The expectations that failed in some run.
    pub broken: Vec<String>,
}

impl Case {
    fn of_runs(attitude: Attitude, runs: &[Run]) -> Self {
        let mut requests = Requests::default();
        runs.iter().for_each(|run| requests.add(&run.requests));
        let drains: Option<Vec<Duration>> = runs.iter().flat_map(|run| &run.drains).map(|(_, took)| *took).collect();
        let failed = |run: &Run| run.expectations.clone().into_iter().filter(|e| !e.passed && !e.about_many_runs);
        let mut broken: Vec<String> = runs.iter().flat_map(failed).map(|e| e.text).collect();
        broken.sort();
        broken.dedup();
        Self { attitude, requests, longest_drain: drains.and_then(|all| all.into_iter().max()), broken }
    }

    fn of_drains(attitude: Attitude, runs: &[DrainRun]) -> Self {
        let mut requests = Requests::default();
        runs.iter().flat_map(|run| &run.services).for_each(|service| requests.add(&service.requests));
        let took: Option<Vec<Duration>> = runs.iter().map(|run| run.took).collect();
        Self { attitude, requests, longest_drain: took.and_then(|all| all.into_iter().max()), broken: Vec::new() }
    }
}

/// What comes out, by what the unknown applications do.
#[derive(Clone, PartialEq, Debug)]
pub struct Cases {
    /// The containers of which nothing is known: `Deployment default/web, container app`.
    pub containers: Vec<String>,
    /// The signal that stops them, if it is the same for all.
    pub stop_signal: Option<&'static str>,
    /// That which is taken for granted first.
    pub list: Vec<Case>,
}

impl Cases {
    /// Plays the runs again under each other attitude; `None` if everything is known.
    pub fn of_runs(
        unknown: &UnknownApps,
        setup: &Setup,
        runs: &[Run],
        mut again: impl FnMut(&Setup) -> Vec<Run>,
    ) -> Option<Self> {
        let first = Case::of_runs(Attitude::ExitsAtOnce, runs);
        Self::new(unknown, setup, first, |attitude, setup| Case::of_runs(attitude, &again(setup)))
    }

    /// The same for a question about a cluster.
    pub fn of_drains(
        unknown: &UnknownApps,
        setup: &Setup,
        runs: &[DrainRun],
        mut again: impl FnMut(&Setup) -> Vec<DrainRun>,
    ) -> Option<Self> {
        let first = Case::of_drains(Attitude::ExitsAtOnce, runs);
        Self::new(unknown, setup, first, |attitude, setup| Case::of_drains(attitude, &again(setup)))
    }

    fn new(
        unknown: &UnknownApps,
        setup: &Setup,
        first: Case,
        mut case: impl FnMut(Attitude, &Setup) -> Case,
    ) -> Option<Self> {
        if unknown.is_empty() {
            return None;
        }
        let mut list = vec![first];
        for (attitude, setup) in unknown.alternatives(setup) {
            list.push(case(attitude, &setup));
        }
        let signal = unknown.0[0].stop_signal;
        Some(Self {
            containers: unknown.0.iter().flat_map(|app| app.containers.clone()).collect(),
            stop_signal: unknown.0.iter().all(|app| app.stop_signal == signal).then_some(signal),
            list,
        })
    }

    /// Whether it matters what they do.
    #[must_use]
    pub fn differ(&self) -> bool {
        self.list.windows(2).any(|pair| {
            let of = |case: &Case| (case.requests.failed(), case.longest_drain, case.broken.clone());
            of(&pair[0]) != of(&pair[1])
        })
    }

    /// The fewest and the most failed requests.
    #[must_use]
    pub fn failed(&self) -> (u64, u64) {
        let failed = || self.list.iter().map(|case| case.requests.failed());
        (failed().min().unwrap_or(0), failed().max().unwrap_or(0))
    }
}
