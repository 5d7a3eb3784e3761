//! B1 and B2: how a kubelet ends a pod.
//!
//! What a young pod waits for is its node's next relist, so a pod is replayed with the phase of its node's relists and the
//! time of its deletion as recorded: the simulated pod is created at such a time that the first relist after its start
//! comes as late as the recorded one did, and its deletion is sent as long after its start. Seeds whose probe took another
//! of the three ways to Ready (at once, with the next relist, with the next tick) are passed over.

use drainsim::api::PodId;
use drainsim::api::pod::{Hook as PodHook, HookStep};
use drainsim::engine::{Duration, Key, Random, Time};
use drainsim::simulation::context::node_luck;
use drainsim::simulation::latency::Hop;
use drainsim::simulation::observe::What;
use drainsim::simulation::setup::{ActionKind, Reaction};
use drainsim::simulation::{Setup, run};
use rayon::prelude::*;

use super::cluster::{EXIT, NAME, act, cluster, delete, graceful, lingering};
use super::page::{Row, Section, Verdict, millis};
use super::recordings::{self, Deletion, Hook, Life, Termination};
use super::statistics::{quantile, sorted};

const NODE: &str = "n1";
/// The pod is created at about this time.
const CREATED: Duration = Duration::from_secs(5);
/// Simulated pods for each recorded one …
const PODS: usize = 24;
/// … out of at most so many seeds.
const SEEDS_MAX: u64 = 600;
/// The relists of the profile: 1 s after the end of the one before, which takes 2.5 ms.
const PERIOD: f64 = 1.0025;
/// How well the recorded relists are known.
const RELIST_KNOWN_TO_MS: f64 = 10.0;
/// Not a wait: the kubelet's reaction and the signal's way take less.
const PROMPT_MS: f64 = 30.0;

const WHY_TWICE: &str = "q15: its probe's two results came within one sync, which happened to 1 of 20 pods that could tell; \
                         the model always takes them for two. Otherwise the recorded relists, known to 10 ms.";
const WHY_GONE: &str = "q15, as above. The others by up to 30 ms: relists, as above, and pods that the recorded node was \
                        removing at the same time, one after the other; here each is alone.";
const WHY_TAIL: &str = "The recorded nodes started other pods at the same time on two cores (a creation every 0.1 s); the \
                        profile, by median and 99th percentile, has a lighter tail.";

/// How a pod ended: milliseconds after the DELETE was sent; the last two after the exit.
#[derive(Clone, Copy, Debug)]
struct End {
    hook_end: Option<f64>,
    sigterm: f64,
    exit: f64,
    not_ready: f64,
    gone: f64,
}

/// A pod that is created and deleted.
struct Case {
    hook: Hook,
    grace: u64,
    grace_in_request: bool,
    reaction: Reaction,
}

impl Case {
    fn of(row: &Termination) -> Self {
        let reaction = match row.app.as_str() {
            "exit" => EXIT,
            "ignore" => Reaction::Ignore,
            "graceful" => graceful(Duration::ZERO),
            delay => {
                let seconds = delay.strip_prefix("delay:").and_then(|s| s.parse().ok()).expect("delay:N");
                lingering(Duration::from_secs(seconds))
            }
        };
        Self { hook: row.hook, grace: row.grace, grace_in_request: row.grace_in_request, reaction }
    }

    /// What B2 deletes.
    const PLAIN: Self = Self { hook: Hook::None, grace: 30, grace_in_request: false, reaction: EXIT };

    /// A node and an order for one pod at `created`; the node is cordoned then, so that its replacement stays away.
    fn setup(&self, created: Duration, deleted: Option<Duration>) -> Setup {
        let hook = match self.hook {
            Hook::None => None,
            Hook::Sleep(seconds) => Some(PodHook::Sleep(Duration::from_secs(seconds))),
            Hook::Exec(seconds) => Some(PodHook::Exec(vec![HookStep::Wait(Duration::from_secs(seconds))])),
        };
        let grace = if self.grace_in_request { 30 } else { self.grace };
        let mut setup = cluster(&[NODE], 0, self.reaction, hook, grace);
        act(&mut setup, Time::ZERO + created, ActionKind::Scale { deployment: 0, replicas: 1 });
        act(&mut setup, Time::ZERO + created + Duration::from_millis(200), ActionKind::Cordon(NODE.into()));
        setup.duration = created + Duration::from_secs(3);
        if let Some(deleted) = deleted {
            let grace = self.grace_in_request.then(|| i64::try_from(self.grace).expect("a small number"));
            act(&mut setup, Time::ZERO + deleted, delete(NAME, grace));
            setup.duration = deleted + Duration::from_secs(12);
        }
        setup
    }

    /// When the process starts and the pod is Ready, if it is created at `created`: seconds.
    fn born(&self, created: Duration, seed: u64) -> (f64, f64) {
        let outcome = run(&self.setup(created, None), seed, true);
        let started = |what| matches!(what, What::ContainerStarted { .. });
        let start = outcome.trace.entries().iter().find(|e| started(e.what)).expect("it starts");
        (start.time.as_secs_f64(), outcome.pods[0].times.ready_at.expect("it becomes Ready").as_secs_f64())
    }

    /// The end of the pod that is created and deleted at these times.
    fn end(&self, created: Duration, deleted: Duration, seed: u64) -> End {
        let setup = self.setup(created, Some(deleted));
        let outcome = run(&setup, seed, true);
        let times = outcome.pods[0].times;
        let ms = |at: Time| 1000.0 * (at.as_secs_f64() - deleted.as_secs_f64());
        let entries = outcome.trace.entries();
        let note = |is: &dyn Fn(What) -> bool| entries.iter().find(|e| is(e.what)).map(|e| ms(e.time));
        let watch = |occasion| {
            let unit = Random::new(seed).unit(Key::new("watching client"), occasion);
            1000.0 * setup.latencies.get(Hop::Watch).sample(unit).as_secs_f64()
        };
        let pod = PodId(0);
        let exit = ms(times.exited_at.expect("it exits"));
        End {
            hook_end: note(&|w| matches!(w, What::PreStopEnded { .. })),
            sigterm: ms(times.sigterm_at.expect("a stop signal")),
            exit,
            not_ready: note(&|w| w == What::PodNotReady { pod }).expect("its status is told") + watch(0) - exit,
            gone: ms(times.removed_at.expect("it is removed")) + watch(1) - exit,
        }
    }

    /// The simulated ends of a recorded pod: with its relists, its time of deletion and, if asked for, its way to Ready.
    fn replay(&self, life: Life, same_way: bool) -> Vec<End> {
        let mut ends = Vec::new();
        for seed in 0..SEEDS_MAX {
            let (start, _) = self.born(CREATED, seed);
            let created = CREATED + Duration::from_secs_f64(shift(seed, start + life.first_relist - life.start));
            let (start, ready) = self.born(created, seed);
            if same_way
                && Way::of(life.start, life.ready, life.first_relist)
                    != Way::of(start, ready, start + life.first_relist - life.start)
            {
                continue;
            }
            let deleted = Duration::from_secs_f64(start + life.delete - life.start);
            ends.push(self.end(created, deleted, seed));
            if ends.len() == PODS {
                break;
            }
        }
        ends
    }

    /// The same without regard to relists: deleted as long after Ready as recorded.
    fn anew(&self, life: Life, seed: u64) -> End {
        let (_, ready) = self.born(CREATED, seed);
        self.end(CREATED, Duration::from_secs_f64(ready + life.delete - life.ready), seed)
    }
}

/// By how much all is to be moved for a relist to begin at `at`, seconds: the simulated phase depends on seed and node only.
fn shift(seed: u64, at: f64) -> f64 {
    let phase = PERIOD * Random::new(seed).unit(Key::new("plegPhase").number(node_luck(NODE)), 0);
    (phase - at).rem_euclid(PERIOD)
}

/// How a pod's readiness probe came to be asked first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// By the sync that found the container running.
    AtOnce,
    /// By the sync after the first relist.
    NextRelist,
    /// By its own ticker, a period later.
    NextTick,
}

impl Way {
    fn of(start: f64, ready: f64, first_relist: f64) -> Self {
        let after = ready - start;
        if after > 0.995 {
            Self::NextTick
        } else if after > 0.09 && (ready - first_relist).abs() < 0.04 {
            Self::NextRelist
        } else {
            Self::AtOnce
        }
    }
}

/// All sections of B1 and B2.
pub fn sections() -> Vec<Section> {
    let b1 = recordings::terminations();
    let b2 = recordings::deletions();
    let replays1: Vec<Vec<End>> = b1.par_iter().map(|r| Case::of(r).replay(r.life, true)).collect();
    let replays2: Vec<Vec<End>> = b2.par_iter().map(|r| Case::PLAIN.replay(r.life, true)).collect();
    vec![
        combinations(&b1, &replays1),
        every_pod(&b1, &replays1, &b2, &replays2),
        ages(&b2),
        ending(&b1, &replays1, &b2, &replays2),
    ]
}

/// The 17 combinations of B1.
fn combinations(pods: &[Termination], replays: &[Vec<End>]) -> Section {
    let mut rows = Vec::new();
    for (three, replays) in pods.chunks(3).zip(replays.chunks(3)) {
        let first = &three[0];
        let hook = match first.hook {
            Hook::None => "no hook".to_string(),
            Hook::Sleep(s) => format!("sleep {s}"),
            Hook::Exec(s) => format!("exec {s} s"),
        };
        let from = if first.grace_in_request { " (request)" } else { "" };
        let end = if first.killed { "KILL" } else { "exit" };
        let mut off = Vec::new();
        let (mut recorded, mut simulated) = (Vec::new(), Vec::new());
        let mut worst: f64 = 0.0;
        for (pod, ends) in three.iter().zip(replays) {
            let mut judge = |name: &str, seen: f64, of: &dyn Fn(&End) -> f64| {
                let expected = sorted(ends.iter().map(of).collect());
                let beyond = (expected[0] - seen).max(seen - expected[expected.len() - 1]).max(0.0);
                if beyond > 0.0 {
                    off.push(format!("{} {name} by {beyond:.1}", pod.pod));
                    worst = worst.max(beyond);
                }
                (seen, quantile(&expected, 0.5))
            };
            let term = judge("TERM", 1000.0 * pod.sigterm, &|e| e.sigterm);
            let exit = judge(end, 1000.0 * pod.exit, &|e| e.exit);
            if let Some(hook_end) = pod.hook_end {
                judge("end of the hook", 1000.0 * hook_end, &|e| e.hook_end.unwrap_or(f64::INFINITY));
            }
            recorded.push(format!("{} > {}", millis(term.0), millis(exit.0)));
            simulated.push(format!("{} > {}", millis(term.1), millis(exit.1)));
        }
        let verdict = match off.is_empty() {
            true => Verdict::Inside,
            false if worst <= RELIST_KNOWN_TO_MS => Verdict::Close(off.join(", ")),
            false => Verdict::Outside(off.join(", "), None),
        };
        rows.push(Row {
            what: format!("{}: {hook}, grace {}{from}, {} (TERM > {end})", &first.pod[..3], first.grace, first.app),
            recorded: recorded.join("; "),
            simulated: simulated.join("; "),
            verdict,
        });
    }
    Section {
        title: "B1: 17 ways to end",
        text: format!(
            "Three pods of each combination of preStop hook, grace period and application, each replayed {PODS} times with the \
             relists, the way to Ready and the time of deletion that were recorded. In ms after the DELETE was sent; simulated: \
             medians. Inside: all recorded times lie between the least and the greatest simulated one. Close: not further \
             from them than 10 ms, which is how well the recorded relists are known."
        ),
        columns: ["combination", "recorded", "simulated"],
        rows,
        after: String::new(),
    }
}

/// DELETE to SIGTERM, pod by pod.
fn every_pod(b1: &[Termination], replays1: &[Vec<End>], b2: &[Deletion], replays2: &[Vec<End>]) -> Section {
    let median = |ends: &[End], of: fn(&End) -> f64| quantile(&sorted(ends.iter().map(of).collect()), 0.5);
    let mut rows = Vec::new();
    let mut judge = |what: &str, errors: Vec<(String, f64)>, why: Option<&'static str>| {
        let off: Vec<_> =
            errors.iter().filter(|(_, e)| e.abs() > 20.0).map(|(pod, e)| format!("{pod} by {e:+.0}")).collect();
        let sorted_errors = sorted(errors.iter().map(|(_, e)| *e).collect());
        let q = |p| millis(quantile(&sorted_errors, p));
        rows.push(Row {
            what: format!("{what} (n {})", errors.len()),
            recorded: format!("{} of {} within 20 ms", errors.len() - off.len(), errors.len()),
            simulated: format!("{} / {} / {}", q(0.1), q(0.5), q(0.9)),
            verdict: if off.is_empty() { Verdict::Inside } else { Verdict::Outside(off.join(", "), why) },
        });
    };
    let pods1 = || b1.iter().zip(replays1);
    let pods2 = || b2.iter().zip(replays2);
    judge(
        "B1: SIGTERM",
        pods1().map(|(r, e)| (r.pod.clone(), 1000.0 * r.sigterm - median(e, |e| e.sigterm))).collect(),
        None,
    );
    judge(
        "B1: end of the process",
        pods1().map(|(r, e)| (r.pod.clone(), 1000.0 * r.exit - median(e, |e| e.exit))).collect(),
        None,
    );
    judge(
        "B2: SIGTERM",
        pods2().map(|(r, e)| (r.pod.clone(), 1000.0 * r.sigterm - median(e, |e| e.sigterm))).collect(),
        Some(WHY_TWICE),
    );
    judge(
        "B2: object gone",
        pods2().map(|(r, e)| (r.pod.clone(), 1000.0 * (r.sigterm + r.gone) - median(e, |e| e.exit + e.gone))).collect(),
        Some(WHY_GONE),
    );
    Section {
        title: "B1 and B2: pod by pod",
        text: format!(
            "Each recorded pod against the median of its {PODS} replays: what the waits for relists explain. Right: quantiles \
             10 / 50 / 90 % of recorded minus simulated, ms."
        ),
        columns: ["after the DELETE was sent", "agreement", "difference"],
        rows,
        after: String::new(),
    }
}

/// B2 by the age of the pod.
fn ages(pods: &[Deletion]) -> Section {
    const BINS: [(f64, f64); 7] = [(0.0, 0.6), (0.6, 1.0), (1.0, 1.5), (1.5, 2.0), (2.0, 2.5), (2.5, 3.0), (3.0, 99.0)];
    let age = |d: &Deletion| d.life.delete - d.life.ready;
    let mut rows = Vec::new();
    for (from, to) in BINS {
        let bin: Vec<_> = pods.iter().filter(|d| age(d) >= from && age(d) < to).collect();
        let recorded: Vec<f64> = bin.iter().map(|d| 1000.0 * d.sigterm).collect();
        let aligned: Vec<f64> =
            bin.par_iter().flat_map_iter(|d| Case::PLAIN.replay(d.life, true)).map(|e| e.sigterm).collect();
        let anew: Vec<f64> = (0..40u64)
            .into_par_iter()
            .flat_map_iter(|seed| bin.iter().map(move |d| Case::PLAIN.anew(d.life, seed).sigterm))
            .collect();
        let waits =
            |values: &[f64]| 100.0 * values.iter().filter(|v| **v > PROMPT_MS).count() as f64 / values.len() as f64;
        let name = if to > 90.0 { "over 3 s".to_string() } else { format!("{from:.1}-{to:.1} s") };
        let shares = format!(
            "waits: recorded {:.0} %, replayed {:.0} %, any phase {:.0} %",
            waits(&recorded),
            waits(&aligned),
            waits(&anew)
        );
        let mut row = Row::sample(&name, recorded, aligned, None);
        row.what = format!("{}; {shares}", row.what);
        rows.push(row);
    }
    Section {
        title: "B2: DELETE to SIGTERM by the pod's age",
        text: "60 pods by the time from Ready to the DELETE. Replayed with the recorded relists, as above; in ms. \"Any phase\" \
               is the model left to itself: there starts are not in step with the relists as they happened to be in the \
               recording, and more pods wait."
            .into(),
        columns: ["age", "recorded p10 / p50 / p90", "simulated"],
        rows,
        after: String::new(),
    }
}

/// From the exit on.
fn ending(b1: &[Termination], replays1: &[Vec<End>], b2: &[Deletion], replays2: &[Vec<End>]) -> Section {
    let all = |replays: &[Vec<End>], of: fn(&End) -> f64| replays.iter().flatten().map(of).collect::<Vec<_>>();
    let old = |d: &Deletion| d.idle || d.life.delete - d.life.ready > 3.0;
    let after_hook = |t: &Termination| t.hook_end.map(|end| 1000.0 * (t.sigterm - end));
    let exec_ends = b1.iter().zip(replays1).filter(|(t, _)| matches!(t.hook, Hook::Exec(_))).flat_map(|(_, e)| e);
    let sim_after_hook = exec_ends.filter_map(|e| Some(e.sigterm - e.hook_end?));
    let exec = |t: &&Termination| matches!(t.hook, Hook::Exec(_));
    let killed = |t: &&Termination| t.killed;
    let left = |t: &Termination| {
        let used = match t.hook {
            Hook::None => 0,
            Hook::Sleep(s) | Hook::Exec(s) => s.min(t.grace),
        };
        1000.0 * t.grace.saturating_sub(used).max(2) as f64
    };
    let kill = |(t, ends): (&Termination, &Vec<End>)| {
        let left = left(t);
        ends.iter().map(move |e| e.exit - e.sigterm - left).collect::<Vec<_>>()
    };
    Section {
        title: "B1 and B2: clocks of the ending",
        text: "Parts that no wait for a relist touches, and the end of the object (replayed, as above); in ms. Calibration.".into(),
        columns: ["", "recorded p10 / p50 / p90", "simulated"],
        rows: vec![
            Row::sample(
                "exec hook's end to SIGTERM",
                b1.iter().filter(exec).filter_map(after_hook).collect(),
                sim_after_hook.collect(),
                None,
            ),
            Row::sample(
                "SIGTERM to death by SIGKILL, less max(2 s, grace left)",
                b1.iter().filter(killed).map(|t| 1000.0 * (t.exit - t.sigterm) - left(t)).collect(),
                b1.iter().zip(replays1).filter(|(t, _)| t.killed).flat_map(kill).collect(),
                None,
            ),
            Row::sample("B2: exit to Ready=False seen", b2.iter().map(|d| 1000.0 * d.not_ready).collect(), all(replays2, |e| e.not_ready), Some(WHY_TAIL)),
            Row::sample(
                "B1: exit to Ready=False seen",
                b1.iter().map(|t| 1000.0 * (t.not_ready - t.exit)).collect(),
                all(replays1, |e| e.not_ready),
                None,
            ),
            Row::sample(
                "B2, deleted 3 s after Ready or later: exit to object gone",
                b2.iter().filter(|d| old(d)).map(|d| 1000.0 * d.gone).collect(),
                b2.iter().zip(replays2).filter(|(d, _)| old(d)).flat_map(|(_, e)| e.iter().map(|e| e.gone)).collect(),
                None,
            ),
            Row::sample("B1: exit to object gone", b1.iter().map(|t| 1000.0 * (t.gone - t.exit)).collect(), all(replays1, |e| e.gone), None),
        ],
        after: String::new(),
    }
}
