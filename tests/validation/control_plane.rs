//! A1 and A1b: how soon the controllers and the scheduler follow a deletion.

use drainsim::api::{PdbId, PodId};
use drainsim::engine::{Duration, Key, Random, Time};
use drainsim::simulation::latency::Hop;
use drainsim::simulation::observe::{TraceEntry, What};
use drainsim::simulation::{Setup, run};
use rayon::prelude::*;

use super::cluster::{act, cluster, delete, graceful, with_budget, with_scripted_nodes};
use super::page::{Row, Section, millis};
use super::recordings::{Recording, ms};

const SEEDS: u64 = 1_000;
/// When the (first) DELETE is sent.
const SENT: Time = Time::from_secs(1);

const WHY_SLOW: &str = "While it deletes, creates and binds at the same time, the recorded two-core machine took up to 30 ms \
                        from one update to the next; the profile is of single deletions.";

/// The recorded times are arrivals at a client that watches; so the watch's delay comes on top of the model's commits.
struct Watcher<'s>(&'s Setup, u64);

impl Watcher<'_> {
    fn sees(&self, entry: &TraceEntry) -> f64 {
        let unit = Random::new(self.1).unit(Key::new("watching client"), u64::from(entry.id.0));
        let delay = self.0.latencies.get(Hop::Watch).sample(unit);
        1000.0 * (entry.time.as_secs_f64() + delay.as_secs_f64() - SENT.as_secs_f64())
    }
}

/// What one deletion leads to, in milliseconds after the DELETE was sent; the last two after Ready was seen.
#[derive(Clone, Copy, Debug)]
struct Chain {
    terminating: f64,
    slice: f64,
    pdb: f64,
    created: f64,
    bound: f64,
    ready_slice: f64,
    ready_pdb: f64,
}

/// A1.
pub fn single_deletes() -> Section {
    let recorded = Recording::read("a1_single_deletes");
    let setup = {
        let fleet = cluster(&["n1", "n2", "n3"], 6, graceful(Duration::from_millis(2_500)), None, 30);
        let mut setup = with_scripted_nodes(with_budget(fleet, 1), Duration::from_secs(1));
        act(&mut setup, SENT, delete("web", None));
        setup.duration = Duration::from_secs(4);
        setup
    };
    let chains: Vec<Chain> = (0..SEEDS).into_par_iter().map(|seed| chain(&setup, seed)).collect();
    let row = |what: &str, pointer: &str, of: fn(&Chain) -> f64| {
        Row::sample(what, recorded.all_ms(pointer), chains.iter().map(of).collect(), None)
    };
    Section {
        title: "A1: what follows a deletion",
        text: format!(
            "30 single deletes, seconds apart, of a Deployment of 6 behind a Service and a budget, on scripted nodes; {SEEDS} \
             seeds with one delete each. Times as a watching client sees them, in ms; the last two count from its seeing \
             Ready. Calibration: the latencies of the profile were fitted on this recording."
        ),
        columns: ["DELETE sent to ...", "recorded p10 / p50 / p90", "simulated"],
        rows: vec![
            row("deletionTimestamp seen", "/after_delete_sent/watcher_sees_terminating", |c| c.terminating),
            row("EndpointSlice says terminating", "/after_delete_sent/slice_says_terminating", |c| c.slice),
            row("budget's currentHealthy falls", "/after_delete_sent/pdb_current_healthy_falls", |c| c.pdb),
            row("replacement created", "/after_delete_sent/replacement_created", |c| c.created),
            row("replacement bound", "/after_delete_sent/replacement_bound", |c| c.bound),
            row("created to bound", "/replacement_created_to_bound", |c| c.bound - c.created),
            row("Ready to EndpointSlice", "/after_watcher_sees_ready/slice_says_ready", |c| c.ready_slice),
            row("Ready to currentHealthy rises", "/after_watcher_sees_ready/pdb_current_healthy_rises", |c| {
                c.ready_pdb
            }),
        ],
        after: String::new(),
    }
}

fn chain(setup: &Setup, seed: u64) -> Chain {
    let outcome = run(setup, seed, true);
    let watcher = Watcher(setup, seed);
    let entries = outcome.trace.entries();
    let first = |is: &dyn Fn(What) -> bool| *entries.iter().find(|e| is(e.what)).expect("it happens in every run");
    let after = |at: &TraceEntry, is: &dyn Fn(What) -> bool| {
        *entries.iter().find(|e| e.id > at.id && is(e.what)).expect("it happens in every run")
    };
    let pdb = PdbId(0);
    let new = PodId(6);
    let deleted = first(&|w| matches!(w, What::PodDeleted { .. }));
    let ready = first(&|w| w == What::PodReady { pod: new });
    let slice = |w| matches!(w, What::EndpointsWritten { .. });
    let healthy = |n| move |w| matches!(w, What::PdbUpdated { healthy, pdb: p, .. } if healthy == n && p == pdb);
    Chain {
        terminating: watcher.sees(&deleted),
        slice: watcher.sees(&after(&deleted, &slice)),
        pdb: watcher.sees(&after(&deleted, &healthy(5))),
        created: watcher.sees(&first(&|w| w == What::PodCreated { pod: new })),
        bound: watcher.sees(&first(&|w| matches!(w, What::PodBound { pod, .. } if pod == new))),
        ready_slice: watcher.sees(&after(&ready, &slice)) - watcher.sees(&ready),
        ready_pdb: watcher.sees(&after(&ready, &healthy(6))) - watcher.sees(&ready),
    }
}

/// A1b.
pub fn bursts() -> Section {
    let recorded = Recording::read("a1b_burst_deletes");
    let calm = || {
        let fleet = cluster(&["n1", "n2", "n3"], 20, graceful(Duration::from_millis(2_500)), None, 30);
        with_scripted_nodes(fleet, Duration::from_secs(1))
    };
    let names: Vec<String> = run(&calm(), 0, false).pods.into_iter().map(|pod| pod.name).collect();
    let mut rows = Vec::new();
    for burst in recorded.list("/bursts") {
        let sent: Vec<f64> = burst["deletes_sent"].as_array().expect("a list").iter().map(ms).collect();
        let mut setup = calm();
        for (name, after) in names.iter().zip(&sent) {
            act(&mut setup, SENT + Duration::from_secs_f64(after / 1000.0), delete(name, None));
        }
        setup.duration = Duration::from_millis(1_900);
        let updates: Vec<_> = (0..SEEDS).into_par_iter().map(|seed| slice_updates(&setup, seed)).collect();
        let n = sent.len();
        let seen = burst["slice_updates"].as_f64().expect("a number");
        let counts: Vec<f64> = updates.iter().map(|u| u.0).collect();
        rows.push(Row::count(
            &format!("{n} deletes in {} ms: slice updates", millis(sent[n - 1])),
            seen,
            &counts,
            None,
        ));
        let last = burst["slice_at_and_terminating_endpoints"].as_array().expect("a list").last().expect("not empty");
        let ends = updates.iter().map(|u| u.1).collect();
        rows.push(Row::values(&format!("{n} deletes: last update, ms"), &[ms(&last[0])], ends, Some(WHY_SLOW)));
        let complete = updates.iter().filter(|u| u.2).count();
        rows.push(Row::text(
            &format!("{n} deletes: all {n} terminating in the slices after 0.9 s"),
            "yes".into(),
            format!("in {complete} of {SEEDS} runs"),
            100 * complete as u64 >= SEEDS,
            None,
        ));
    }
    Section {
        title: "A1b: bursts of deletions",
        text: format!(
            "Deletes of a Deployment of 20, sent at the recorded times; slice updates before the first replacement is Ready. {SEEDS} \
             seeds. Simulated counts: percentiles 1 / 10 / 50 / 90 / 99; simulated times: median (0.5-99.5 %)."
        ),
        columns: ["", "recorded", "simulated"],
        rows,
        after: String::new(),
    }
}

/// How many there are in the first 0.9 s, when the last one is seen, and whether it leaves nothing out.
fn slice_updates(setup: &Setup, seed: u64) -> (f64, f64, bool) {
    let outcome = run(setup, seed, true);
    let watcher = Watcher(setup, seed);
    let slice = |e: &TraceEntry| match e.what {
        What::EndpointsWritten { ready, .. } if e.time > SENT => Some((watcher.sees(e), ready)),
        _ => None,
    };
    let seen: Vec<_> = outcome.trace.entries().iter().filter_map(slice).collect();
    let (last, ready) = seen.last().copied().expect("there is one in every run");
    (seen.len() as f64, last, ready as usize == 20 - setup.actions.len())
}
