//! `drainsim test`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::INTERNAL_ERROR;
use super::backend::Input;
use super::output::{Failure, Progress, print, print_data, read_stdin, shell_word};
use crate::analysis::shrink::{Failing, shrink};
use crate::analysis::suite::{self, Subject, Tested};
use crate::report::suite::{Entry, Status, Totals, ci, json::TestResult, junit, text};
use crate::scenario::{Disk, Scenario, discover};

/// `drainsim test PATH…`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  drainsim test scenarios/
  drainsim test drain.yaml --runs 200
  drainsim test scenarios/ --filter prestop --fail-fast
  drainsim test scenarios/ --junit report.xml -o github

An expectation says itself how many runs it is about:
  failedRequests == 0                                      this seed
  failedRequests == 0 for 200 seeds                        each of 200 seeds
  failedRequests == 0 in 99% of runs                       a share of all runs, shown with 95 %
  p99 of drains.node-1.duration < 10m with 99%             a percentile, shown with 99 %
  {at: 45s, that: deployments.web.readyPods >= 2}          a state at a time
  sentRequests == 24011 recorded                           a value that --update writes anew

Exit codes: 0 all hold, 1 one does not hold, 2 wrong usage or bad input, 3 one is undecided (too few runs), \
             4 nothing to test, 70 internal error.")]
pub(super) struct TestArgs {
    /// Scenarios, or folders with scenarios; `-` is standard input
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,

    /// Only expectations whose file, scenario or text contains this; can be repeated, one must fit
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,

    /// How many seeds, where an expectation does not say; at least as many as its claim needs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    runs: Option<u32>,

    /// The first seed [default: the scenario's `spec.seed`, or 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Set a field of every scenario, such as spec.latencyProfile=idle-lab; can be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,

    #[command(flatten)]
    requests: super::Requests,

    /// How many threads; the result is the same for any number [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Stop after the first scenario with an expectation that does not hold
    #[arg(long)]
    fail_fast: bool,

    /// Write recorded values anew, in the scenario files
    #[arg(long)]
    update: bool,

    /// Do not look for a smaller scenario that fails as well
    #[arg(long)]
    no_shrink: bool,

    /// Also write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<String>,

    /// How the result is printed
    #[arg(short, long, alias = "format", value_enum, value_name = "FORMAT", default_value = "text")]
    output: TestFormat,
}

/// How results of tests are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum TestFormat {
    /// For people
    Text,
    /// Workflow commands, shown by GitHub at their lines
    Github,
    /// A code quality report for GitLab
    Gitlab,
    /// The Test Anything Protocol, version 14
    Tap,
    /// One JSON object
    Json,
}

/// A scenario that was found, read or not.
struct Found {
    path: String,
    input: Input,
    read: Result<Subject, Entry>,
}

impl TestArgs {
    /// All that is set.
    fn all_sets(&self) -> Vec<String> {
        self.sets.iter().cloned().chain(self.requests.sets()).collect()
    }
}

pub(super) fn run(args: &TestArgs) -> Result<ExitCode, Failure> {
    let mut found = find(args)?;
    for one in &mut found {
        if let Ok(subject) = &mut one.read {
            let scenario = &mut subject.scenario;
            let fits = |text: &str| {
                let whole = format!("{} {} {text}", subject.path, scenario.name);
                args.filter.is_empty() || args.filter.iter().any(|f| whole.contains(f.as_str()))
            };
            let keep: Vec<bool> = scenario.expectations.iter().map(|e| fits(e.expectation.text())).collect();
            let mut keep = keep.into_iter();
            scenario.expectations.retain(|_| keep.next().unwrap_or(false));
        }
    }
    found.retain(|one| match &one.read {
        Ok(subject) => !subject.scenario.expectations.is_empty(),
        Err(entry) => args.filter.is_empty() || args.filter.iter().any(|f| entry.path.contains(f.as_str())),
    });
    if found.is_empty() {
        let what =
            if args.filter.is_empty() { "no scenario with expectations" } else { "no expectation fits --filter" };
        return Err(Failure::NothingSelected(format!("there is nothing to test: {what} in {}", args.paths.join(", "))));
    }
    let (entries, stopped, internal) = tested(args, &found);
    match args.output {
        TestFormat::Text => print(&text::render(&entries, stopped))?,
        TestFormat::Github => print(&ci::github(&entries))?,
        TestFormat::Gitlab => print(&ci::gitlab(&entries))?,
        TestFormat::Tap => print(&ci::tap(&entries))?,
        TestFormat::Json => print_data(super::output::Format::Json, &TestResult::new(&entries, stopped))?,
    }
    if let Some(path) = &args.junit {
        let written = std::fs::write(path, junit::render(&entries));
        written.map_err(|error| Failure::usage(format!("`{path}` cannot be written: {error}")))?;
    }
    Ok(ExitCode::from(exit_code(Totals::of(&entries), internal)))
}

/// The worst first: the simulator itself failed, what cannot be read, what fails, what is undecided.
fn exit_code(totals: Totals, internal: bool) -> u8 {
    match totals {
        _ if internal => INTERNAL_ERROR,
        Totals { broken: 1.., .. } => 2,
        Totals { failed: 1.., .. } => 1,
        Totals { undecided: 1.., .. } => 3,
        _ => 0,
    }
}

fn find(args: &TestArgs) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for path in &args.paths {
        let inputs = if path == "-" {
            vec![("-".to_string(), Input::Stdin(read_stdin()?))]
        } else {
            let files = discover::scenarios(&Disk, Path::new(path)).map_err(Failure::Usage)?;
            files.into_iter().map(|f| (f.display().to_string(), Input::Path(f))).collect()
        };
        for (path, input) in inputs {
            let read = match Scenario::load(std::slice::from_ref(&input), &args.all_sets()) {
                Ok(scenario) => {
                    let first_seed = args.seed.or(scenario.seed).unwrap_or(1);
                    Ok(Subject { path: path.clone(), scenario, first_seed, runs: args.runs })
                }
                Err(problems) => Err(Entry::broken(&path, problems.render(false).trim_end())),
            };
            found.push(Found { path, input, read });
        }
    }
    Ok(found)
}

/// All entries in the order of the files, how many scenarios were left out, and whether the simulator itself failed.
fn tested(args: &TestArgs, found: &[Found]) -> (Vec<Entry>, usize, bool) {
    let runs: u64 = found.iter().filter_map(|f| f.read.as_ref().ok()).map(|s| u64::from(s.runs())).sum();
    let progress = Progress::new(runs);
    let jobs = usize::from(args.jobs.unwrap_or(0));
    let (mut entries, mut stopped, mut internal, mut done) = (Vec::new(), 0, false, 0);
    // All at once uses all cores even if each scenario has one run; one by one can stop in between.
    let step = if args.fail_fast { 1 } else { found.len() };
    for (number, chunk) in found.chunks(step.max(1)).enumerate() {
        let subjects: Vec<Subject> = chunk.iter().filter_map(|f| f.read.as_ref().ok().cloned()).collect();
        let (mut results, broken) = guarded(&subjects, jobs, &|made| progress.tell(done + made));
        internal |= broken;
        done += subjects.iter().map(|s| u64::from(s.runs())).sum::<u64>();
        let first_new = entries.len();
        for one in chunk {
            match &one.read {
                Err(entry) => entries.push(entry.clone()),
                Ok(_) => match results.remove(&one.path) {
                    None => entries.push(Entry::broken(&one.path, "internal error: the simulator panicked")),
                    Some(tested) => entries.extend(entries_of(args, one, &tested)),
                },
            }
        }
        let bad = entries[first_new..].iter().any(|e| matches!(e.status, Status::Failed | Status::Broken));
        if args.fail_fast && bad {
            stopped = found.len() - number - 1;
            break;
        }
    }
    progress.end();
    (entries, stopped, internal)
}

/// Tests, by path; if the simulator panics, scenario by scenario, so that one does not take the others with it.
fn guarded(subjects: &[Subject], jobs: usize, tell: &(dyn Fn(u64) + Sync)) -> (BTreeMap<String, Tested>, bool) {
    let by_path = |tested: Vec<Tested>| tested.into_iter().map(|t| (t.path.clone(), t)).collect::<BTreeMap<_, _>>();
    if let Ok(tested) = catch_unwind(AssertUnwindSafe(|| suite::test(subjects, jobs, tell))) {
        return (by_path(tested), false);
    }
    let alone = |subject: &Subject| {
        catch_unwind(AssertUnwindSafe(|| suite::test(std::slice::from_ref(subject), jobs, |_| ()))).unwrap_or_default()
    };
    (by_path(subjects.iter().flat_map(alone).collect()), true)
}

fn entries_of(args: &TestArgs, found: &Found, tested: &Tested) -> Vec<Entry> {
    let entry = |(index, case): (usize, &suite::Case)| {
        let mut entry = Entry::new(tested, case);
        if let (Some(corrected), true) = (&case.correction, args.update && found.path != "-") {
            entry.status = Status::Passed;
            entry.actual = format!("recorded anew: {}", corrected.1);
        }
        let seed = case.judgement.first_failed.as_ref().map(|(seed, _)| *seed);
        if let (Some(seed), Status::Failed | Status::Undecided, true) = (seed, entry.status, found.path != "-") {
            entry.replay = Some(replay(&found.path, &args.all_sets(), &[], seed));
            if let (Ok(subject), false, Status::Failed) = (&found.read, args.no_shrink, entry.status) {
                let inputs = std::slice::from_ref(&found.input);
                // Filtered expectations have other numbers; the whole file's is found by its text.
                let whole = Scenario::load(inputs, &args.all_sets()).ok();
                let place = &subject.scenario.expectations[index].span;
                let index =
                    whole.as_ref().and_then(|w| w.expectations.iter().position(|e| e.span.start == place.start));
                let sets = args.all_sets();
                let case = |index| Failing { inputs, sets: &sets, index, seeds: (subject.first_seed, seed) };
                let smaller = index.and_then(|index| shrink(case(index)));
                entry.smaller = smaller.map(|s| (replay(&found.path, &sets, &s.sets, s.seed), s.actual));
            }
        }
        entry
    };
    let entries = tested.cases.iter().enumerate().map(entry).collect();
    if args.update && found.path != "-" {
        update(tested);
    }
    entries
}

/// Writes corrected values into the file.
fn update(tested: &Tested) {
    let mut corrections: Vec<_> = tested.cases.iter().filter_map(|c| c.correction.as_ref()).collect();
    corrections.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let Some((span, _)) = corrections.first() else { return };
    let mut text = span.file.text.clone();
    for (span, value) in corrections {
        text.replace_range(span.start..span.end, value);
    }
    if let Err(error) = std::fs::write(&span.file.name, text) {
        Failure::usage(format!("`{}` cannot be written: {error}", span.file.name)).report();
    }
}

/// The command line that shows one run.
fn replay(path: &str, sets: &[String], more: &[String], seed: u64) -> String {
    let mut words = vec!["drainsim".to_string(), "run".to_string(), path.to_string()];
    words.extend(sets.iter().chain(more).flat_map(|set| ["--set".to_string(), set.clone()]));
    words.extend(["--seed".to_string(), seed.to_string()]);
    words.iter().map(|w| shell_word(w)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst() {
        let totals = |passed, undecided, failed, broken| exit_code(Totals { passed, undecided, failed, broken }, false);
        assert_eq!(totals(3, 0, 0, 0), 0);
        assert_eq!(totals(3, 1, 0, 0), 3);
        assert_eq!(totals(3, 1, 1, 0), 1);
        assert_eq!(totals(3, 1, 1, 1), 2);
        assert_eq!(exit_code(Totals::default(), true), 70);
    }

    #[test]
    fn a_panic_of_one_scenario_leaves_the_others() {
        let text = crate::scenario::library::find("m02-drain").unwrap().text.to_string();
        let scenario = Scenario::load(&[Input::Builtin { name: "t".into(), text }], &[]).unwrap();
        let good = Subject { path: "good".into(), scenario, first_seed: 1, runs: None };
        let mut bad = Subject { path: "bad".into(), ..good.clone() };
        // No template behind the Deployment: no scenario file can say that.
        bad.scenario.setup.templates.clear();
        let (results, broken) = guarded(&[good, bad], 1, &|_| ());
        assert!(broken);
        assert_eq!(results.keys().collect::<Vec<_>>(), ["good"]);
    }
}
