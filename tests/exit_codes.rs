//! Every exit code that the help of a command names is provoked once, and no other one.
//!
//! 70, an internal error, cannot be provoked from outside as far as is known; the unit tests of `cli` panic on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

const RACE: &str = "scenarios/m06-the-race.yaml";
const SLEEP: &str = "scenarios/m07-prestop-sleep.yaml";
const SHORT: [&str; 4] = ["--set", "spec.traffic[0].rate=20/s", "--set", "spec.duration=30s"];

fn drainsim() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("drainsim"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("JOB_COMPLETION_INDEX");
    command
}

/// The exit code, and what was printed.
fn code(args: &[&str]) -> (i32, String) {
    let output = drainsim().args(args).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), printed.into_owned())
}

/// The commands in the program's help, and the codes that each one's own help names.
fn documented() -> BTreeMap<String, BTreeSet<i32>> {
    let (_, help) = code(&["--help"]);
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = rest.split_once("\n\n").unwrap();
    let names =
        commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|n| !n.is_empty());
    let codes = |name: &str| {
        let (_, help) = code(&[name, "--help"]);
        // Those without a sentence of their own have those of the program.
        let Some((_, sentence)) = help.split_once("Exit codes: ") else { return BTreeSet::from([0, 2]) };
        let words = sentence.split([' ', '\n']);
        let numbers = words.filter_map(|word| word.parse::<i32>().ok());
        numbers.filter(|code| *code != 70).collect()
    };
    names.filter(|name| *name != "help").map(|name| (name.to_string(), codes(name))).collect()
}

#[test]
fn every_documented_exit_code_is_provoked_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let empty = file("empty");
    std::fs::create_dir(&empty).unwrap();
    let undecided = std::fs::read_to_string("scenarios/m02-drain.yaml").unwrap();
    let (before, rest) = undecided.split_once("  expect:\n").unwrap();
    let (_, after) = rest.split_once("---\n").unwrap();
    let undecided = file("undecided.yaml");
    let expect = "sentRequests > 806 in 60% of runs for 30 seeds";
    let quiet = before.replace("rate: 200/s", "rate: 20/s").replace("duration: 2m", "duration: 40s");
    std::fs::write(&undecided, format!("{quiet}  expect:\n    - {expect}\n---\n{after}")).unwrap();
    let (half, whole) = (file("half.records"), file("whole.records"));
    for (path, shard) in [(&half, "0/2"), (&whole, "0/1")] {
        let args = ["sweep", RACE, "--vary", "preStop=0s,1s", "--runs", "2", "--shard", shard];
        std::fs::write(path, code(&[&args[..], &SHORT[..]].concat()).1).unwrap();
    }
    let shop = ["tests/clusters/shop.yaml", "--ignore-daemonsets"];
    let tune = ["tune", SLEEP, "--in", "50%", "--confidence", "60%", "--runs", "5", "--up-to", "1s"];
    let no = "no-such.yaml";
    let cases: Vec<(&str, i32, Vec<&str>)> = vec![
        ("run", 0, [&["run", SLEEP][..], &SHORT].concat()),
        ("run", 1, [&["run", RACE, "--set", "spec.expect=[failedRequests == 0]"][..], &SHORT].concat()),
        ("run", 2, vec!["run", no]),
        ("drain", 0, [&["drain", "ip-10-0-16-27.eu-central-1.compute.internal", "-f"][..], &shop].concat()),
        ("drain", 1, [&["drain", "ip-10-0-0-41.eu-central-1.compute.internal", "-f"][..], &shop].concat()),
        ("drain", 2, [&["drain", "no-such-node", "-f"][..], &shop].concat()),
        ("test", 0, [&["test", SLEEP][..], &SHORT].concat()),
        ("test", 1, vec!["test", SLEEP, "--set", "preStop=0s", "--no-shrink"]),
        ("test", 2, vec!["test", no]),
        ("test", 3, vec!["test", &undecided, "--no-shrink"]),
        ("test", 4, vec!["test", &empty]),
        ("compare", 0, [&["compare", SLEEP, "--set-b", "preStop=6s", "--runs", "5"][..], &SHORT].concat()),
        (
            "compare",
            1,
            [&["compare", SLEEP, "--set-b", "preStop=0s", "--runs", "9", "--fail-on", "difference"][..], &SHORT]
                .concat(),
        ),
        ("compare", 2, vec!["compare", SLEEP]),
        ("sweep", 0, [&["sweep", RACE, "--vary", "preStop=0s,1s", "--runs", "2"][..], &SHORT].concat()),
        ("sweep", 2, vec!["sweep", RACE, "--vary", "preStop=0s..1s"]),
        ("merge", 0, vec!["merge", &whole]),
        ("merge", 2, vec!["merge", &half]),
        ("tune", 0, [&tune[..], &SHORT].concat()),
        ("tune", 1, [&tune[..], &SHORT, &["--drain-within", "10ms"]].concat()),
        ("tune", 2, vec!["tune", SLEEP, "--runs", "1"]),
        ("bound", 0, vec!["bound", SLEEP, "--runs", "1"]),
        ("bound", 2, vec!["bound", "scenarios/m17-kubelet-stopped.yaml"]),
        ("explain", 0, [&["explain", RACE][..], &SHORT].concat()),
        ("explain", 2, [&["explain", SLEEP, "--request", "1"][..], &SHORT].concat()),
        ("get", 0, [&["get", "pods", SLEEP, "--at", "9s"][..], &SHORT].concat()),
        ("get", 2, vec!["get", "pots", SLEEP, "--at", "9s"]),
        ("lint", 0, vec!["lint", SLEEP]),
        ("lint", 1, vec!["lint", "tests/lint/pdb-single-replica"]),
        ("lint", 2, vec!["lint", no]),
        ("scenarios", 0, vec!["scenarios", "list"]),
        ("scenarios", 2, vec!["scenarios", "show", "no-such"]),
        ("schema", 0, vec!["schema"]),
        ("schema", 2, vec!["schema", "no-such"]),
        ("completions", 0, vec!["completions", "bash"]),
        ("completions", 2, vec!["completions", "no-such"]),
    ];
    let mut provoked: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for (command, wanted, args) in &cases {
        let (got, printed) = code(args);
        assert_eq!(got, *wanted, "{args:?}: {printed}");
        provoked.entry((*command).to_string()).or_default().insert(*wanted);
    }
    provoked.entry("sweep".into()).or_default().insert(interrupted());
    assert_eq!(provoked, documented());
}

/// The exit code of a sweep that is interrupted while it runs.
fn interrupted() -> i32 {
    let args = ["sweep", RACE, "--vary", "preStop=0s..3s:1s", "--runs", "100000"];
    let child = drainsim().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    child.wait_with_output().unwrap().status.code().unwrap()
}
