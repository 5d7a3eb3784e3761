//! `drainsim sweep`, `merge`, `compare` and `tune` as a user meets them.

use assert_cmd::Command;

const RACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/m06-the-race.yaml");
const SLEEP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/m07-prestop-sleep.yaml");
/// A tenth of the traffic, for half a minute.
const LIGHT: [&str; 4] = ["--set", "spec.traffic[0].rate=20/s", "--set", "spec.duration=30s"];

/// Exit code, stdout, stderr.
fn drainsim(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("drainsim").unwrap();
    let output = command.args(args).env_remove("JOB_COMPLETION_INDEX").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn sweep(args: &[&str]) -> (i32, String, String) {
    let whole: Vec<&str> = ["sweep", RACE, "--vary", "preStop=0s..3s:1s", "--runs", "10"]
        .into_iter()
        .chain(LIGHT)
        .chain(args.iter().copied())
        .collect();
    drainsim(&whole)
}

#[test]
fn four_shards_merged_are_one_machine_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    // Four processes, as four pods of an Indexed Job would be.
    let children: Vec<_> = (0..4)
        .map(|index: u32| {
            let path = folder.path().join(format!("{index}.records"));
            let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("drainsim"));
            command
                .args(["sweep", RACE, "--vary", "preStop=0s..3s:1s", "--runs", "10", "--shard", "auto/4"])
                .args(LIGHT);
            command.env("JOB_COMPLETION_INDEX", index.to_string());
            command.stdout(std::fs::File::create(&path).unwrap());
            (command.spawn().unwrap(), path)
        })
        .collect();
    let mut files: Vec<String> = Vec::new();
    for (mut child, path) in children {
        assert!(child.wait().unwrap().success());
        files.insert(0, path.display().to_string());
    }
    for format in ["text", "csv", "json", "svg", "html", "records"] {
        let args: Vec<&str> = ["merge", "-o", format].into_iter().chain(files.iter().map(String::as_str)).collect();
        let (code, merged, error) = drainsim(&args);
        assert_eq!((code, error.as_str()), (0, ""));
        assert_eq!(merged, sweep(&["-o", format]).1, "{format}");
    }
    let (code, out, error) = drainsim(&["merge", &files[0], &files[1]]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("20 runs are missing; --partial goes on without them"), "{error}");
    let (code, out, _) = drainsim(&["merge", "--partial", &files[0], &files[1]]);
    assert_eq!(code, 0);
    assert!(out.contains("! 20 runs not there"), "{out}");
}

#[test]
fn the_table_shows_what_a_longer_sleep_does() {
    let (code, out, error) = sweep(&[]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.starts_with("m06-the-race: 4 points, 40 runs\n"), "{out}");
    assert!(out.contains("least slack  ▁▃▆█"), "{out}");
    assert_eq!(sweep(&["--jobs", "1"]).1, sweep(&["--jobs", "3"]).1);
}

#[test]
fn data_fits_the_printed_schemas() {
    let valid = |what: &str, data: &str| {
        let schema: serde_json::Value = serde_json::from_str(&drainsim(&["schema", what]).1).unwrap();
        jsonschema::meta::validate(&schema).unwrap();
        jsonschema::validate(&schema, &serde_json::from_str(data).unwrap()).unwrap();
    };
    valid("sweep", &sweep(&["-o", "json"]).1);
    let args: Vec<&str> =
        ["compare", SLEEP, "--set-b", "preStop=1s", "--runs", "5", "-o", "json"].into_iter().chain(LIGHT).collect();
    valid("comparison", &drainsim(&args).1);
}

/// The promise at a small scale: what `tune` finds is kept under seeds that it has not seen, and one second less is not.
#[test]
fn what_tune_finds_keeps_its_promise_with_other_seeds() {
    let sets = ["--set", "spec.duration=30s"];
    let args = ["tune", SLEEP, "--in", "90%", "--confidence", "90%", "--up-to", "4s", "-o", "json"];
    let (code, out, error) = drainsim(&[&args[..], &sets[..]].concat());
    assert_eq!(code, 0, "{error}");
    let tuned: serde_json::Value = serde_json::from_str(&out).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&drainsim(&["schema", "tuned"]).1).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validate(&schema, &tuned).unwrap();
    let best = tuned["recommended"]["preStopSeconds"].as_u64().unwrap();
    assert!(best >= 1 && tuned["met"] == true && tuned["terminationGracePeriodSeconds"] == 30, "{out}");
    assert!(tuned["patches"][0].as_str().unwrap().contains(&format!("sleep {best} && ")), "{out}");
    let losing = |seconds: u64| {
        let vary = format!("preStop={seconds}s,{seconds}s");
        let args = ["sweep", SLEEP, "--vary", &vary, "--runs", "200", "--seed", "100001", "-o", "json"];
        let result: serde_json::Value = serde_json::from_str(&drainsim(&[&args[..], &sets[..]].concat()).1).unwrap();
        result["points"][0]["losingShare"].as_f64().unwrap()
    };
    assert!(losing(best) <= 0.1, "{}", losing(best));
    assert!(losing(best - 1) > 0.1, "{}", losing(best - 1));
    // What cannot be met says so, and ends with 1.
    let hopeless = ["--drain-within", "1s", "--runs", "50"];
    let (code, out, _) = drainsim(&[&args[..], &sets[..], &hopeless[..]].concat());
    let tuned: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &tuned["met"], &tuned["recommended"]), (1, &false.into(), &serde_json::Value::Null), "{out}");
    assert!(tuned["replay"].as_str().unwrap().starts_with("drainsim run "), "{out}");
}

/// A budget that lets nobody go is widened by its own field; with a target that no budget keeps, that is said.
#[test]
fn tune_turns_budgets_too() {
    let blocked = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/m11-two-drains-one-budget.yaml");
    let args = ["tune", blocked, "--in", "90%", "--confidence", "90%", "--runs", "22", "--up-to", "2s"];
    let light = ["--set", "spec.traffic[0].rate=5/s", "--set", "minAvailable=2"];
    let (code, out, error) = drainsim(&[&args[..], &light[..], &["-o", "json"]].concat());
    assert_eq!(code, 0, "{error}");
    let tuned: serde_json::Value = serde_json::from_str(&out).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&drainsim(&["schema", "tuned"]).1).unwrap();
    jsonschema::validate(&schema, &tuned).unwrap();
    assert_eq!(tuned["recommended"]["disruptionBudgets"]["default/nginx-pdb"], "minAvailable: 1", "{out}");
    let patches = tuned["patches"].as_array().unwrap();
    let budget = r#"kubectl patch poddisruptionbudget nginx-pdb -n default --patch '{"spec":{"minAvailable":1}}'"#;
    assert!(patches.iter().any(|patch| patch == budget), "{out}");
    assert_eq!(tuned["withMoreReplicas"]["replicas"]["Deployment/default/nginx-deployment"], 3, "{out}");
    // What is recommended keeps the promise where it is applied.
    let sets = ["run", blocked, "--runs", "5", "--seed", "9001", "--set", "minAvailable=1", "--set", "preStop=2s"];
    assert_eq!(drainsim(&[&sets[..], &light[..2]].concat()).0, 0);
    let (code, out, _) = drainsim(&[&args[..], &light[..], &["--drain-within", "2s"]].concat());
    assert_eq!(code, 1, "{out}");
    assert!(out.starts_with("✗ cannot be met with a preStop of up to 2 s and any budgets: "), "{out}");
    let (code, out, _) = drainsim(&[&args[..], &light[..], &["--keep-budgets"]].concat());
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("the budgets decide, or the time that replacements take"), "{out}");
}

/// The latencies that `bound -o yaml` prints, put into the scenario, show the run that it tells of.
#[test]
fn the_worst_run_is_replayed_by_the_printed_latencies() {
    let args = ["bound", SLEEP, "--set", "preStop=0s"];
    let (code, out, error) = drainsim(&[&args[..], &["-o", "json"]].concat());
    assert_eq!(code, 0, "{error}");
    let bound: serde_json::Value = serde_json::from_str(&out).unwrap();
    let (code, fragment, _) = drainsim(&[&args[..], &["-o", "yaml"]].concat());
    assert_eq!(code, 0);
    let text = std::fs::read_to_string(SLEEP).unwrap();
    let indented: String = fragment.lines().map(|line| format!("  {line}\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worst.yaml").display().to_string();
    std::fs::write(&path, text.replacen("\nspec:\n", &format!("\nspec:\n{indented}"), 1)).unwrap();
    let sets = ["--set", "preStop=0s", "--set", "spec.apps[0].reaction=0s", "-o", "json"];
    let (_, out, error) = drainsim(&[&["run", path.as_str()][..], &sets].concat());
    assert_eq!(error, "");
    let run: serde_json::Value = serde_json::from_str(&out).unwrap();
    let slacks = run["pods"].as_array().unwrap().iter().filter_map(|pod| pod["slackSeconds"].as_f64());
    let least = slacks.fold(f64::INFINITY, f64::min);
    assert!((least + bound["attained"]["deficitSeconds"].as_f64().unwrap()).abs() < 1e-9, "{least} {fragment}");
}

#[test]
fn points_drawn_at_random_are_the_same_every_time() {
    let drawn =
        || drainsim(&["sweep", RACE, "--vary", "preStop=0s..9s", "--sample", "3", "--runs", "2", "-o", "csv"]).1;
    let one = drawn();
    assert_eq!(one, drawn());
    assert_eq!(one.lines().count(), 4, "{one}");
}

#[test]
fn what_cannot_be_swept_is_refused_before_anything_runs() {
    for (args, message) in [
        (vec!["sweep", RACE], "--vary"),
        (vec!["sweep", RACE, "--vary", "preStop=0s..9s"], "has no step"),
        (vec!["sweep", RACE, "--vary", "preStop=5s..1s:1s"], "it ends before it begins"),
        (vec!["sweep", RACE, "--vary", "minAvailable=1,2"], "there is nothing that `minAvailable` could change"),
        (vec!["sweep", RACE, "--vary", "preStop=1s,2s", "--shard", "4/4"], "is no shard"),
        (vec!["sweep", RACE, "--vary", "preStop=1s,2s", "--shard", "auto/4"], "JOB_COMPLETION_INDEX"),
        (vec!["sweep", RACE, "--vary", "preStop=1s,2s", "--shard", "0/4", "-o", "csv"], "a shard is a part only"),
        (vec!["merge", RACE], "this is not the header of a sweep"),
    ] {
        let (code, out, error) = drainsim(&args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(error.contains(message), "{args:?}: {error}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_sweep_prints_what_it_has_and_ends_with_130() {
    use std::process::Stdio;
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("drainsim"));
    command.args(["sweep", RACE, "--vary", "preStop=0s..3s:1s", "--runs", "100000"]).args(LIGHT);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.starts_with("m06-the-race: ") && out.contains("not there"), "{out}");
    assert!(error.contains("interrupted after ") && error.contains(" of 400000 runs"), "{error}");
}

#[test]
fn a_lowered_pre_stop_turns_the_build_red() {
    let compare = |a: &str, b: &str| {
        let (a, b) = (format!("preStop={a}"), format!("preStop={b}"));
        let args = ["compare", SLEEP, "--set-a", &a, "--set-b", &b, "--runs", "25", "--fail-on", "regression"];
        drainsim(&args.into_iter().chain(["--set", "spec.duration=30s"]).collect::<Vec<_>>())
    };
    let (code, out, error) = compare("5s", "0s");
    assert_eq!((code, error.as_str()), (1, ""), "{out}");
    assert!(out.starts_with("✗ B is a step back, over 25 pairs of runs\n  - B has more failed requests\n"), "{out}");
    assert!(out.contains("lost under B and not under A, in "), "{out}");
    // The command that it prints explains that very request.
    let command = out.lines().find_map(|l| l.trim_start().strip_prefix("drainsim explain ")).unwrap();
    let args: Vec<&str> = std::iter::once("explain").chain(command.split(' ')).collect();
    let (code, explained, _) = drainsim(&args);
    assert_eq!(code, 0, "{command}");
    let number = out.lines().find_map(|l| l.split("request ").nth(1)?.split(' ').next().map(str::to_string));
    assert!(explained.contains(&format!("request {} of", number.unwrap())), "{explained}\n{out}");
    let (code, out, _) = compare("0s", "5s");
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("B is no step back"), "{out}");
}

#[test]
fn two_versions_of_manifests_beside_one_scenario() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(SLEEP).unwrap();
    let (scenario, manifests) = text.split_once("---\n").unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let scenario = write("scenario.yaml", scenario);
    write("main/web.yaml", manifests);
    write("branch/web.yaml", &manifests.replace("sleep 5 && ", ""));
    let (a, b) = (folder.path().join("main").display().to_string(), folder.path().join("branch").display().to_string());
    let args: Vec<&str> = ["compare", "-f", &scenario, &a, &b, "--runs", "8"].into_iter().chain(LIGHT).collect();
    let (code, out, error) = drainsim(&args);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("✗ B is a step back"), "{out}");
    let (code, _, error) = drainsim(&["compare", SLEEP]);
    assert_eq!(code, 2);
    assert!(error.contains("there is nothing to compare"), "{error}");
}
