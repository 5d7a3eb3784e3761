//! `drainsim test` as a CI job meets it: exit codes, reports, what is written where.

use std::path::{Path, PathBuf};

use assert_cmd::Command;

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");

/// A folder for one test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A built-in scenario with other expectations, one a line, and a tenth of the traffic.
    fn scenario(&self, name: &str, built_in: &str, expect: &str) -> PathBuf {
        let text = std::fs::read_to_string(Path::new(SCENARIOS).join(format!("{built_in}.yaml"))).unwrap();
        let text = text.replace("rate: 200/s", "rate: 20/s").replace("duration: 2m", "duration: 40s");
        let (before, rest) = text.split_once("  expect:\n").unwrap();
        let (_, after) = rest.split_once("---\n").unwrap();
        let lines: String = expect.lines().map(|line| format!("    - {line}\n")).collect();
        let path = self.0.path().join(name);
        std::fs::write(&path, format!("{before}  expect:\n{lines}---\n{after}")).unwrap();
        path
    }

    /// Runs `drainsim test` in the folder: exit code, stdout, stderr.
    fn test(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::cargo_bin("drainsim").unwrap();
        let output = command.arg("test").args(args).current_dir(self.0.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn what_holds_ends_with_zero() {
    let folder = Folder::new();
    folder.scenario(
        "a.yaml",
        "m07-prestop-sleep",
        "failedRequests == 0 for 5 seeds\n{at: 0s, that: deployments.nginx-deployment.readyPods == 2}\n\
         p50 of drains.old-1.duration < 60s for 10 seeds",
    );
    let (code, out, err) = folder.test(&["."]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("✓ 3 passed in 1 scenario"), "{out}");
    assert!(out.contains("met in all 5 runs; at 95% at most 45.08% of all runs do not meet it"), "{out}");
}

#[test]
fn what_fails_ends_with_one_and_the_command_that_shows_it() {
    let folder = Folder::new();
    folder.scenario("a.yaml", "m06-the-race", "failedRequests == 0 for 3 seeds");
    let (code, out, _) = folder.test(&["a.yaml", "--seed", "5"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("wanted  failedRequests == 0 for 3 seeds"), "{out}");
    assert!(out.contains("actual  not met in 3 of 3 runs, first with seed 5: "), "{out}");
    assert!(out.contains("replay  drainsim run a.yaml --seed 5\n"), "{out}");
    // The smaller one fails, too, and with what it says.
    let smaller = out.lines().find_map(|l| l.trim_start().strip_prefix("smaller drainsim run ")).unwrap();
    let (command, failed) = smaller.split_once("   # ").unwrap();
    let mut run = Command::cargo_bin("drainsim").unwrap();
    run.arg("run").args(command.replace('\'', "").split(' ')).args(["-o", "json"]).current_dir(folder.0.path());
    let output = run.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{command}");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["expectations"][0]["actual"], failed, "{command}");
}

#[test]
fn what_cannot_be_read_ends_with_two_and_the_others_are_tested() {
    let folder = Folder::new();
    folder.scenario("a.yaml", "m07-prestop-sleep", "failedRequests == 0");
    folder.scenario("b.yaml", "m07-prestop-sleep", "failedRequest == 0");
    let (code, out, _) = folder.test(&["."]);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("there is no metric `failedRequest`") && out.contains("1 passed, 1 broken"), "{out}");
    assert_eq!(folder.test(&["nothing-here"]).0, 2);
    assert_eq!(folder.test(&["a.yaml", "--format", "xml"]).0, 2);
}

#[test]
fn what_the_runs_do_not_decide_ends_with_three() {
    let folder = Folder::new();
    // Somewhat more than half of all runs send more than this; whether it is three fifths 30 runs cannot tell.
    folder.scenario("a.yaml", "m02-drain", "sentRequests > 806 in 60% of runs for 30 seeds");
    let (code, out, _) = folder.test(&["a.yaml", "--no-shrink"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("– 0 passed, 1 undecided in 1 scenario"), "{out}");
    assert!(out.contains("of all runs; first not with seed"), "{out}");
}

#[test]
fn nothing_to_test_ends_with_four() {
    let folder = Folder::new();
    let (code, out, err) = folder.test(&["."]);
    assert_eq!((code, out.as_str()), (4, ""), "{err}");
    assert!(err.contains("there is nothing to test: no scenario with expectations in ."), "{err}");
    folder.scenario("a.yaml", "m02-drain", "sentRequests > 0");
    let (code, _, err) = folder.test(&[".", "--filter", "no such thing"]);
    assert_eq!(code, 4);
    assert!(err.contains("no expectation fits --filter"), "{err}");
}

#[test]
fn a_filter_takes_single_expectations() {
    let folder = Folder::new();
    folder.scenario("a.yaml", "m06-the-race", "failedRequests == 0\nsentRequests > 0");
    let (code, out, _) = folder.test(&[".", "--filter", "sentRequests"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("1 passed in 1 scenario"), "{out}");
    let (_, out, _) = folder.test(&[".", "--filter", "failedRequests == 0"]);
    assert!(out.contains("smaller drainsim run"), "{out}");
}

#[test]
fn fail_fast_stops_after_the_first_scenario_that_fails() {
    let folder = Folder::new();
    folder.scenario("a.yaml", "m07-prestop-sleep", "failedRequests == 0");
    folder.scenario("b.yaml", "m06-the-race", "failedRequests == 0");
    folder.scenario("c.yaml", "m06-the-race", "failedRequests == 0");
    let (code, out, _) = folder.test(&[".", "--fail-fast", "--no-shrink"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("1 passed, 1 failed in 2 scenarios; stopped before 1 more"), "{out}");
}

#[test]
fn reports_do_not_depend_on_the_number_of_threads() {
    let folder = Folder::new();
    folder.scenario("a.yaml", "m06-the-race", "failedRequests == 0 for 20 seeds\np90 of failedRequests < 1000");
    let json = |jobs| folder.test(&["a.yaml", "--format", "json", "--jobs", jobs, "--no-shrink"]).1;
    let one = json("1");
    assert_eq!(one, json("3"));
    let result: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!((result["passed"].as_u64(), result["failed"].as_u64()), (Some(1), Some(1)));
    assert_eq!(result["cases"][1]["runs"], 100);
    let schema = Command::cargo_bin("drainsim").unwrap().args(["schema", "test-result"]).output().unwrap().stdout;
    let schema: serde_json::Value = serde_json::from_slice(&schema).unwrap();
    jsonschema::validate(&schema, &result).unwrap();
}

#[test]
fn junit_is_written_beside_any_format() {
    let folder = Folder::new();
    folder.scenario("a.yaml", "m06-the-race", "failedRequests == 0\nsentRequests > 0");
    let (code, out, _) = folder.test(&["a.yaml", "--junit", "report.xml", "--format", "tap", "--no-shrink"]);
    assert_eq!(code, 1);
    assert!(out.starts_with("TAP version 14\n1..2\nnot ok 1 - "), "{out}");
    let xml = std::fs::read_to_string(folder.0.path().join("report.xml")).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    assert_eq!(document.descendants().filter(|n| n.has_tag_name("testcase")).count(), 2);
    assert_eq!(document.descendants().filter(|n| n.has_tag_name("failure")).count(), 1);
    assert_eq!(folder.test(&["a.yaml", "--junit", "no/such/folder.xml", "--no-shrink"]).0, 2);
}

#[test]
fn github_shows_a_failure_at_its_line() {
    let folder = Folder::new();
    let path = folder.scenario("a.yaml", "m06-the-race", "sentRequests > 0\nfailedRequests == 0");
    let line =
        std::fs::read_to_string(path).unwrap().lines().position(|l| l.contains("failedRequests ==")).unwrap() + 1;
    let (_, out, _) = folder.test(&["a.yaml", "--format", "github", "--no-shrink"]);
    assert!(out.starts_with(&format!("::error file=a.yaml,line={line},col=7,title=m06-the-race failed::")), "{out}");
    let (_, out, _) = folder.test(&["a.yaml", "--format", "gitlab", "--no-shrink"]);
    let findings: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(findings[0]["location"]["lines"]["begin"], line);
}

#[test]
fn recorded_values_are_written_anew_on_request_only() {
    let folder = Folder::new();
    let path = folder.scenario(
        "a.yaml",
        "m06-the-race",
        "sentRequests == 1 recorded\n\"drains.old-1.duration == 1s recorded\" # stays",
    );
    let before = std::fs::read_to_string(&path).unwrap();
    assert_eq!(folder.test(&["a.yaml", "--no-shrink"]).0, 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    let (code, out, _) = folder.test(&["a.yaml", "--update"]);
    assert_eq!(code, 0, "{out}");
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(after.contains("recorded\" # stays") && after != before, "{after}");
    let (code, out, _) = folder.test(&["a.yaml"]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn the_library_passes() {
    let folder = Folder::new();
    let (code, out, err) = folder.test(&[SCENARIOS, "--junit", "report.xml", "--filter", "/m0", "--filter", "/m1"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
}
