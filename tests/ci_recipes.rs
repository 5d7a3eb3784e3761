//! The CI files of `docs/ci` do what they are for: their shell steps are run as the two services would, against a repository
//! with a pull request, with a `cargo` that installs the program at hand instead of building it.
//!
//! It takes bash and git.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const GITHUB: &str = include_str!("../docs/ci/github.yaml");
const GITLAB: &str = include_str!("../docs/ci/gitlab.yaml");

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// The fields of an object are among those that there may be, and those that there must be are there.
fn fields(value: &Value, must: &[&str], may: &[&str]) {
    for key in keys(value) {
        assert!(must.contains(&key) || may.contains(&key), "`{key}` is no field here: {value}");
    }
    for key in must {
        assert!(value.get(key).is_some(), "`{key}` is missing: {value}");
    }
}

/// The fields of GitHub's workflow syntax, as far as they are used.
#[test]
fn the_github_file_is_a_workflow() {
    let workflow = yaml(GITHUB);
    fields(&workflow, &["on", "jobs"], &["name", "env", "permissions", "defaults"]);
    fields(&workflow["on"], &["pull_request"], &[]);
    for (_, job) in workflow["jobs"].as_object().unwrap() {
        fields(job, &["runs-on", "steps"], &["timeout-minutes", "name", "env"]);
        let mut ids = Vec::new();
        for step in job["steps"].as_array().unwrap() {
            match step.get("uses").and_then(Value::as_str) {
                Some(action) => {
                    fields(step, &["uses"], &["with", "id", "if", "name"]);
                    let (name, version) = action.split_once('@').unwrap_or_else(|| panic!("{action} has no version"));
                    assert!(name.split('/').count() == 2 && version.starts_with('v'), "{action}");
                }
                None => fields(step, &["run"], &["name", "id", "if", "env", "shell"]),
            }
            ids.extend(step["id"].as_str());
            // A condition about another step names one that there is, before it.
            let condition = step["if"].as_str().and_then(|c| c.strip_prefix("steps.")?.split_once('.'));
            assert!(condition.is_none_or(|(id, _)| ids.contains(&id)), "{step}");
        }
    }
}

/// The fields of GitLab's job keywords, as far as they are used.
#[test]
fn the_gitlab_file_is_a_pipeline() {
    const RESERVED: [&str; 9] =
        ["default", "include", "stages", "variables", "workflow", "image", "services", "cache", "pages"];
    for (name, job) in yaml(GITLAB).as_object().unwrap() {
        assert!(!RESERVED.contains(&name.as_str()), "{name} is no name for a job");
        fields(job, &["script"], &["stage", "image", "rules", "variables", "cache", "artifacts"]);
        assert!(job["script"].as_array().unwrap().iter().all(Value::is_string), "{job}");
        assert!(["build", "test", "deploy"].contains(&job["stage"].as_str().unwrap_or("test")), "stages by default");
        fields(&job["artifacts"], &["reports"], &["when", "paths", "expire_in"]);
        fields(&job["artifacts"]["reports"], &[], &["junit", "codequality", "sast"]);
        fields(&job["cache"], &["paths"], &["key"]);
        job["rules"].as_array().unwrap().iter().for_each(|rule| fields(rule, &["if"], &["when"]));
        // GitLab takes strings and whole numbers as values.
        assert!(job["variables"].as_object().unwrap().values().all(Value::is_string), "{job}");
    }
}

/// A folder with a repository `origin`, whose branch `main` has manifests and a policy, and a clone `work` of it with a pull
/// request that changes the manifests.
struct Repository(tempfile::TempDir);

impl Repository {
    /// The policy expects at most so many failed requests; the pull request makes preStop sleep so long, instead of 5 s.
    fn new(failed_max: u32, seconds: u32) -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        let text = std::fs::read_to_string(root().join("scenarios/m07-prestop-sleep.yaml")).unwrap();
        let text = text.replace("rate: 200/s", "rate: 50/s").replace("duration: 2m", "duration: 30s");
        let (policy, manifests) = text.split_once("\n---\n").unwrap();
        let (policy, _) = policy.split_once("  expect:\n").unwrap();
        let policy = format!(
            "{policy}  manifests: [../manifests/web.yaml]\n  expect:\n    - failedRequests <= {failed_max} for 20 seeds\n"
        );
        let origin = repository.path("origin");
        for (name, text) in [("drain/policy.yaml", policy.as_str()), ("manifests/web.yaml", manifests)] {
            let path = origin.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        repository.git("origin", &["init", "--quiet", "--initial-branch=main", "."]);
        repository.commit("origin");
        repository.git(".", &["clone", "--quiet", "origin", "work"]);
        let changed = manifests.replace("sleep 5 &&", &format!("sleep {seconds} &&"));
        std::fs::write(repository.path("work/manifests/web.yaml"), changed).unwrap();
        repository.commit("work");
        // As `cargo install` would, but for the building.
        let cargo = format!(
            "#!/bin/sh\nset -e\necho \"cargo $*\" >> \"$HOME/cargo.log\"\nroot=\"$HOME/.cargo\"\n\
             while [ $# -gt 0 ]; do [ \"$1\" = --root ] && root=\"$2\"; shift; done\n\
             mkdir -p \"$root/bin\"\ncp '{}' \"$root/bin/drainsim\"\n",
            assert_cmd::cargo::cargo_bin("drainsim").display()
        );
        std::fs::create_dir_all(repository.path("bin")).unwrap();
        std::fs::write(repository.path("bin/cargo"), cargo).unwrap();
        let status = Command::new("chmod").arg("+x").arg(repository.path("bin/cargo")).status().unwrap();
        assert!(status.success());
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn git(&self, folder: &str, args: &[&str]) {
        let settings = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        let mut command = Command::new("git");
        let output = command.args(settings).args(args).current_dir(self.path(folder)).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn commit(&self, folder: &str) {
        self.git(folder, &["add", "-A"]);
        self.git(folder, &["commit", "--quiet", "--allow-empty", "-m", "a change"]);
    }

    /// Runs a script in the clone as both services do, in a bash that stops at the first failure: whether it went well, and
    /// what it printed.
    fn run(&self, script: &str, env: &BTreeMap<String, String>) -> (bool, String) {
        let file = self.path("step.sh");
        std::fs::write(&file, script).unwrap();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", self.path("bin").display(), self.path(".cargo/bin").display());
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(&file).current_dir(self.path("work"));
        let output = command.envs(env).env("HOME", self.0.path()).env("PATH", path).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), printed.into_owned())
    }

    /// What the stand-in for cargo was asked to do.
    fn installed(&self) -> String {
        std::fs::read_to_string(self.path("cargo.log")).unwrap_or_default()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The variables of a map, with the one expression that may stand in them.
fn variables(map: &Value) -> BTreeMap<String, String> {
    let value = |value: &Value| value.as_str().unwrap().replace("${{ github.base_ref }}", "main");
    map.as_object().into_iter().flatten().map(|(key, of)| (key.clone(), value(of))).collect()
}

/// Runs the `run:` steps of the workflow until one fails: the name of that one, and what was printed.
fn github(repository: &Repository) -> (Option<String>, String) {
    let workflow = yaml(GITHUB);
    let mut printed = String::new();
    for job in workflow["jobs"].as_object().unwrap().values() {
        for step in job["steps"].as_array().unwrap() {
            let Some(script) = step["run"].as_str() else { continue };
            assert!(!script.contains("${{"), "an expression in a script is an injection: {script}");
            let mut env = variables(&workflow["env"]);
            env.extend(variables(&step["env"]));
            let (good, text) = repository.run(script, &env);
            printed.push_str(&text);
            if !good {
                return (step["name"].as_str().map(str::to_string), printed);
            }
        }
    }
    (None, printed)
}

/// Runs the script of the job, all its lines in one shell.
fn gitlab(repository: &Repository) -> (bool, String) {
    let pipeline = yaml(GITLAB);
    let job = &pipeline["drain policy"];
    let lines: Vec<&str> = job["script"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let mut env = variables(&job["variables"]);
    env.insert("CI_MERGE_REQUEST_TARGET_BRANCH_NAME".into(), "main".into());
    repository.run(&lines.join("\n"), &env)
}

const INSTALLED: &str = "cargo install --git https://github.com/OWNER/drainsim --tag v0.1.0 --locked";

#[test]
fn a_longer_sleep_is_green() {
    let repository = Repository::new(0, 6);
    let (failed, printed) = github(&repository);
    assert_eq!(failed, None, "{printed}");
    assert!(printed.contains("✓ B is no step back"), "{printed}");
    assert_eq!(repository.installed(), format!("{INSTALLED} drainsim\n"));
    assert!(repository.path("work/report.xml").exists());

    let repository = Repository::new(0, 6);
    let (good, printed) = gitlab(&repository);
    assert!(good && printed.contains("✓ B is no step back"), "{printed}");
    assert_eq!(repository.installed(), format!("{INSTALLED} --root .drainsim drainsim\n"));
    let quality = std::fs::read_to_string(repository.path("work/code-quality.json")).unwrap();
    assert_eq!(quality.trim(), "[]");
}

#[test]
fn an_expectation_that_breaks_is_red() {
    let repository = Repository::new(0, 0);
    let (failed, printed) = github(&repository);
    assert_eq!(failed.as_deref(), Some("Expectations"), "{printed}");
    assert!(printed.contains("::error file=drain/policy.yaml,line="), "{printed}");
    assert!(std::fs::read_to_string(repository.path("work/report.xml")).unwrap().contains("<failure "));

    let repository = Repository::new(0, 0);
    let (good, printed) = gitlab(&repository);
    assert!(!good && !printed.contains("step back"), "{printed}");
    let quality = std::fs::read_to_string(repository.path("work/code-quality.json")).unwrap();
    assert_eq!(yaml(&quality)[0]["location"]["path"], "drain/policy.yaml", "{quality}");
}

/// The expectation is so weak that it holds; the comparison sees the loss all the same.
#[test]
fn a_step_back_is_red() {
    let repository = Repository::new(1000, 0);
    let (failed, printed) = github(&repository);
    assert_eq!(failed.as_deref(), Some("No step back against the base"), "{printed}");
    assert!(printed.contains("✗ B is a step back"), "{printed}");

    let repository = Repository::new(1000, 0);
    let (good, printed) = gitlab(&repository);
    assert!(!good && printed.contains("✗ B is a step back"), "{printed}");
}
