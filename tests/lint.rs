//! `drainsim lint`: what the rules find, that they claim no harm which a run does not show, and the formats.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use drainsim::analysis::lint::{Findings, Options, RULES, lint};
use drainsim::api::Version;
use drainsim::scenario::{Disk, Input, Memory, Scenario};
use drainsim::simulation;
use serde_json::Value;

/// Rules without a pair of scenarios, and why.
const WITHOUT_PAIR: [(&str, &str); 4] = [
    ("pdb-ignores-min-ready-seconds", "it claims no harm, only that something has no effect"),
    ("prestop-exec-without-shell", "a run takes every command for there, as it cannot look into images"),
    ("service-port-unknown", "ports of endpoints are not modelled"),
    ("autoscaler-veto", "it claims no harm, and kubectl drain does not look at it"),
];

/// Rules whose harm is that the apiserver, and so the reader of scenarios, refuses the object.
const REFUSED: [&str; 3] = ["pdb-refused", "prestop-sleep-refused", "prestop-sleep-unsupported"];

/// What the reader of scenarios does not let through, since traffic to it would have no meaning.
const NOT_READ: [&str; 1] = ["service-selects-nothing"];

fn ids(findings: &Findings) -> Vec<&str> {
    findings.list.iter().map(|f| f.rule.id).collect()
}

fn of_file(path: &Path) -> Findings {
    lint(&Disk, &[Input::Path(path.into())], &Options::default()).unwrap()
}

/// The findings about a text.
fn of(text: &str) -> Findings {
    of_version(text, None)
}

fn of_version(text: &str, version: Option<Version>) -> Findings {
    let options = Options { version, ..Options::default() };
    lint(&Disk, &[Input::Stdin(text.into())], &options).unwrap()
}

#[test]
fn every_rule_has_a_pair_of_scenarios_or_a_reason() {
    for rule in RULES {
        let has_pair = Path::new("tests/lint").join(rule.id).is_dir();
        let reason = WITHOUT_PAIR.iter().any(|(id, _)| *id == rule.id);
        assert!(has_pair != reason, "{rule:?}: a pair under tests/lint/, or a reason why there is none");
    }
}

/// With the finding what the good scenario expects does not hold; without it, it does. For several seeds.
#[test]
fn what_a_rule_claims_is_shown_by_runs() {
    for folder in std::fs::read_dir("tests/lint").unwrap().map(|entry| entry.unwrap().path()) {
        let id = folder.file_name().unwrap().to_str().unwrap();
        let (bad, good) = (folder.join("bad.yaml"), folder.join("good.yaml"));
        assert!(ids(&of_file(&bad)).contains(&id), "{id}: not found in bad.yaml");
        assert!(!ids(&of_file(&good)).contains(&id), "{id}: found in good.yaml");
        let cured = Scenario::load(&[Input::Path(good)], &[]).unwrap_or_else(|problems| panic!("{id}: {problems}"));
        assert!(!cured.expectations.is_empty(), "{id}: good.yaml expects nothing");
        let sick = Scenario::load(&[Input::Path(bad)], &[]);
        let is_refused = REFUSED.contains(&id) || NOT_READ.contains(&id);
        assert_eq!(sick.is_err(), is_refused, "{id}: {:?}", sick.as_ref().err());
        for seed in 1..=3 {
            let holds = |scenario: &Scenario| {
                let outcome = simulation::run(&scenario.setup, seed, false);
                cured.expectations.iter().all(|e| e.expectation.evaluate(&outcome).passed)
            };
            assert!(holds(&cured), "{id}: seed {seed}: good.yaml does harm");
            if let Ok(sick) = &sick {
                assert!(!holds(sick), "{id}: seed {seed}: bad.yaml does no harm");
            }
        }
    }
}

/// A Deployment behind a Service with nothing to find but by `replicas-on-one-node` and `no-pdb`.
fn web(replicas: u32, pod: &str, container: &str) -> String {
    let hook = if container.contains("lifecycle") { "" } else { "lifecycle: {preStop: {sleep: {seconds: 5}}}" };
    let probe = "readinessProbe: {tcpSocket: {port: 80}}";
    let parts: String =
        [probe, hook, container].iter().filter(|p| !p.is_empty()).map(|p| format!("          {p}\n")).collect();
    let pod = if pod.is_empty() { String::new() } else { format!("      {pod}\n") };
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  template:\n    \
         metadata: {{labels: {{app: web}}}}\n    spec:\n{pod}      containers:\n        - name: web\n{parts}---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n"
    )
}

fn budget(name: &str, spec: &str) -> String {
    format!("---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

const SELECTOR: &str = "selector: {matchLabels: {app: web}}";
const HPA: &str = "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\n\
                   spec: {minReplicas: 2, scaleTargetRef: {kind: Deployment, name: web}}\n";

/// Each text has this finding or not.
#[test]
fn what_is_found_and_what_is_not() {
    let pdb = |replicas, bound: &str| web(replicas, "", "") + &budget("web", &format!("{bound}, {SELECTOR}"));
    let cases: Vec<(&str, String, bool)> = vec![
        ("pdb-allows-nothing", pdb(3, "maxUnavailable: 0"), true),
        ("pdb-allows-nothing", pdb(3, "maxUnavailable: 0%"), true),
        ("pdb-allows-nothing", pdb(3, "maxUnavailable: 1%"), false),
        ("pdb-allows-nothing", pdb(3, "minAvailable: 3"), true),
        ("pdb-allows-nothing", pdb(4, "minAvailable: 3"), false),
        ("pdb-allows-nothing", pdb(9, "minAvailable: 90%"), true),
        ("pdb-allows-nothing", pdb(10, "minAvailable: 90%"), false),
        ("pdb-allows-nothing", pdb(0, "minAvailable: 1"), false),
        ("pdb-allows-nothing", pdb(1, "minAvailable: 1"), false),
        ("pdb-allows-nothing", web(2, "", "") + &budget("web", SELECTOR), true),
        ("pdb-allows-nothing", pdb(9, "maxUnavailable: 0") + HPA, true),
        ("pdb-single-replica", pdb(1, "minAvailable: 50%"), true),
        ("pdb-single-replica", pdb(1, "maxUnavailable: 1"), false),
        ("pdb-hpa-minimum", pdb(9, "minAvailable: 2") + HPA, true),
        ("pdb-hpa-minimum", pdb(9, "minAvailable: 1") + HPA, false),
        ("pdb-hpa-minimum", pdb(2, "minAvailable: 2"), false),
        ("pdb-selects-nothing", pdb(2, "maxUnavailable: 1"), false),
        ("pdb-selects-nothing", budget("web", &format!("maxUnavailable: 1, {SELECTOR}")), false),
        ("pdb-selects-nothing", web(2, "", "") + &budget("web", "maxUnavailable: 1"), true),
        ("pdb-overlap", pdb(2, "maxUnavailable: 1") + &budget("all", "maxUnavailable: 1, selector: {}"), true),
        ("pdb-refused", pdb(2, "maxUnavailable: 1").replace("policy/v1", "policy/v1beta1"), true),
        ("pdb-without-scale", pdb(2, "minAvailable: 50%").replace("kind: Deployment", "kind: DaemonSet"), true),
        ("pdb-without-scale", pdb(2, "minAvailable: 1").replace("kind: Deployment", "kind: DaemonSet"), false),
        (
            "pdb-ignores-min-ready-seconds",
            pdb(2, "minAvailable: 1").replace("replicas: 2", "replicas: 2\n  minReadySeconds: 30"),
            true,
        ),
        ("no-prestop", web(2, "", "lifecycle: {}"), true),
        ("no-prestop", web(2, "", "lifecycle: {}").replace("{app: web}, ports", "{app: other}, ports"), false),
        ("prestop-sleep-refused", web(2, "", "lifecycle: {preStop: {sleep: {seconds: 31}}}"), true),
        ("prestop-sleep-refused", web(2, "", "lifecycle: {preStop: {sleep: {seconds: 30}}}"), false),
        ("prestop-exceeds-grace", web(2, "", "lifecycle: {preStop: {sleep: {seconds: 30}}}"), true),
        ("prestop-exceeds-grace", web(2, "", "lifecycle: {preStop: {exec: {command: [sh, -c, sleep 40]}}}"), true),
        (
            "prestop-exceeds-grace",
            web(2, "", "lifecycle: {preStop: {exec: {command: [sh, -c, 'while pgrep x; do sleep 1; done']}}}"),
            true,
        ),
        ("prestop-exceeds-grace", web(2, "", "lifecycle: {preStop: {exec: {command: [/app/drain.sh]}}}"), false),
        (
            "prestop-exec-without-shell",
            web(
                2,
                "",
                "lifecycle: {preStop: {exec: {command: [sleep, '5']}}}\n          image: gcr.io/distroless/static",
            ),
            true,
        ),
        (
            "prestop-exec-without-shell",
            web(
                2,
                "",
                "lifecycle: {preStop: {exec: {command: [sleep, '5']}}}\n          image: gcr.io/distroless/static:debug",
            ),
            false,
        ),
        ("grace-too-short", web(2, "terminationGracePeriodSeconds: 30", "command: [gunicorn, app]"), true),
        ("grace-too-short", web(2, "terminationGracePeriodSeconds: 40", "command: [gunicorn, app]"), false),
        ("grace-too-short", web(2, "", "args: [gunicorn, --graceful-timeout=20, app]"), false),
        ("shell-swallows-term", web(2, "", "command: [sh, -c]\n          args: ['./a & ./b & wait']"), true),
        ("shell-swallows-term", web(2, "", "args: [sh, -c, './a']"), false),
        ("shell-swallows-term", web(2, "shareProcessNamespace: true", "command: [sh, -c, './a | tee log']"), false),
        ("no-readiness-probe", web(2, "", "").replace("readinessProbe", "startupProbe"), false),
        (
            "service-port-unknown",
            web(2, "", "ports: [{name: http, containerPort: 80}]")
                .replace("{port: 80}]}\n", "{port: 80, targetPort: web}]}\n"),
            true,
        ),
        (
            "service-port-unknown",
            web(2, "", "ports: [{name: http, containerPort: 80}]")
                .replace("{port: 80}]}\n", "{port: 80, targetPort: http}]}\n"),
            false,
        ),
        (
            "service-publishes-not-ready",
            web(2, "", "")
                .replace("spec: {selector", "spec: {publishNotReadyAddresses: true, clusterIP: None, selector"),
            false,
        ),
        ("single-replica", web(1, "", "") + HPA, false),
        (
            "rollout-all-at-once",
            web(3, "", "").replace("replicas: 3", "replicas: 3\n  strategy: {rollingUpdate: {maxUnavailable: 3}}"),
            true,
        ),
        (
            "rollout-all-at-once",
            web(3, "", "").replace("replicas: 3", "replicas: 3\n  strategy: {rollingUpdate: {maxUnavailable: 99%}}"),
            false,
        ),
        (
            "autoscaler-veto",
            web(2, "", "").replace(
                "{labels: {app: web}}",
                "{labels: {app: web}, annotations: {karpenter.sh/do-not-disrupt: 'true'}}",
            ),
            true,
        ),
    ];
    for (id, text, expected) in &cases {
        let findings = of(text);
        assert_eq!(ids(&findings).contains(id), *expected, "{id} in\n{text}\n{:?}", ids(&findings));
    }
}

#[test]
fn what_depends_on_the_version() {
    let text = web(2, "", "lifecycle: {preStop: {sleep: {seconds: 0}}}");
    for (minor, expected) in [(29, true), (30, true), (32, true), (33, false), (36, false)] {
        let findings = of_version(&text, Some(Version::minor(minor)));
        assert_eq!(ids(&findings).contains(&"prestop-sleep-unsupported"), expected, "1.{minor}");
    }
    let bare = of_version(&web(2, "", "lifecycle: {}"), Some(Version::minor(29)));
    let fix = &bare.list.iter().find(|f| f.rule.id == "no-prestop").unwrap().fix;
    assert!(fix.contains("exec:"), "no sleep action before 1.30: {fix}");
}

/// What a cluster hands out: a Deployment, its ReplicaSet and its pods are one thing.
#[test]
fn an_export_is_told_of_once() {
    let owned = |kind: &str, name: &str, by: &str, of: &str, spec: &str| {
        format!(
            "---\napiVersion: {}\nkind: {kind}\nmetadata: {{name: {name}, labels: {{app: web}}, ownerReferences: [{{kind: {by}, name: {of}, \
             controller: true}}]}}\nspec: {spec}\n",
            if kind == "Pod" { "v1" } else { "apps/v1" }
        )
    };
    let pod = "{containers: [{name: web}]}";
    let template = format!("{{replicas: 2, template: {{metadata: {{labels: {{app: web}}}}, spec: {pod}}}}}");
    let rest = owned("ReplicaSet", "web-1", "Deployment", "web", &template)
        + &owned("Pod", "web-1-a", "ReplicaSet", "web-1", pod)
        + &owned("Pod", "web-1-b", "ReplicaSet", "web-1", pod);
    let whole = of(&(web(2, "", "lifecycle: {}") + &rest));
    assert_eq!(ids(&whole).iter().filter(|id| **id == "no-prestop").count(), 1, "{:?}", ids(&whole));
    assert!(!ids(&whole).contains(&"bare-pod"));
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}}\n";
    let pods = owned("Pod", "a", "ReplicaSet", "r", pod) + &owned("Pod", "b", "ReplicaSet", "r", pod);
    let pods = of(&format!("{service}{pods}"));
    assert!(ids(&pods).contains(&"no-prestop") && !ids(&pods).contains(&"single-replica"), "{:?}", ids(&pods));
}

/// Scenarios of a folder do not mix; what belongs to none of them is one cluster.
#[test]
fn several_scenarios_are_looked_at_one_by_one() {
    let scenario = |name: &str| {
        format!(
            "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {{name: {name}}}\nspec: {{duration: 1m, manifests: [shared/web.yaml]}}\n"
        )
    };
    let pdb = budget("web", &format!("maxUnavailable: 1, {SELECTOR}"));
    let files = [
        ("all/a.yaml", scenario("a") + &pdb),
        ("all/b.yaml", scenario("b") + &pdb.replace("name: web", "name: web-b")),
        ("all/shared/web.yaml", web(2, "", "")),
        ("all/other.yaml", web(1, "", "").replace("name: web", "name: other")),
    ];
    let memory = files.into_iter().map(|(path, text)| (PathBuf::from(path), text.into_bytes()));
    let memory = Memory(memory.collect::<BTreeMap<_, _>>());
    let findings = lint(&memory, &[Input::Path("all".into())], &Options::default()).unwrap();
    assert!(!ids(&findings).contains(&"pdb-overlap"), "{:?}", ids(&findings));
    assert!(!ids(&findings).contains(&"no-pdb"), "the shared manifests are looked at with their scenarios only");
    assert_eq!(ids(&findings).iter().filter(|id| **id == "single-replica").count(), 1);
    let spread = ids(&findings).iter().filter(|id| **id == "replicas-on-one-node").count();
    assert_eq!(spread, 1, "the same of the same place is told once");
}

fn drainsim(arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let output = Command::cargo_bin("drainsim").unwrap().args(arguments).write_stdin(stdin).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const BAD: &str = "tests/lint/pdb-allows-nothing/bad.yaml";

#[test]
fn a_finding_tells_where_what_why_and_the_fix() {
    let (code, out, _) = drainsim(&["lint", BAD, "--only", "pdb-allows-nothing"], "");
    assert_eq!(code, 1);
    insta::assert_snapshot!(out);
}

#[test]
fn exit_codes_follow_the_findings() {
    let overlap = "tests/lint/pdb-overlap/bad.yaml";
    let clean = web(2, "", "") + &budget("web", &format!("maxUnavailable: 1, {SELECTOR}"));
    for (arguments, stdin, expected) in [
        (vec!["lint", "-"], clean.as_str(), 0),
        (vec!["lint", "-", "--fail-on", "info"], clean.as_str(), 1),
        (vec!["lint", "-", "--fail-on", "info", "--min-severity", "warning"], clean.as_str(), 0),
        (vec!["lint", BAD], "", 1),
        (vec!["lint", "-f", BAD], "", 1),
        (vec!["lint", BAD, "--fail-on", "error"], "", 0),
        (vec!["lint", BAD, "--disable", "pdb-allows-nothing"], "", 0),
        (vec!["lint", BAD, "--only", "no-prestop,bare-pod"], "", 0),
        (vec!["lint", overlap, "--fail-on", "error"], "", 1),
        (vec!["lint", overlap, "--fail-on", "never"], "", 0),
        (vec!["lint", "tests/lint"], "", 1),
        (vec!["lint", "--list"], "", 0),
        (vec!["lint", "--explain", "pdb-overlap"], "", 0),
        (vec!["lint"], "", 2),
        (vec!["lint", "not-there.yaml"], "", 2),
        (vec!["lint", "-"], "a: [", 2),
        (vec!["lint", BAD, "--only", "pdb-allows-nothign"], "", 2),
        (vec!["lint", BAD, "--kubernetes", "1.12"], "", 2),
    ] {
        let (code, out, error) = drainsim(&arguments, stdin);
        assert_eq!(code, expected, "{arguments:?}\n{out}{error}");
        assert_eq!(out.is_empty(), code == 2, "{arguments:?}: with 2 nothing is on stdout");
    }
    let (_, _, error) = drainsim(&["lint", BAD, "--only", "pdb-allows-nothign"], "");
    assert!(error.contains("did you mean `pdb-allows-nothing`?"), "{error}");
}

#[test]
fn json_has_places_and_reasons() {
    let (_, out, _) = drainsim(&["lint", BAD, "-o", "json"], "");
    let value: Value = serde_json::from_str(&out).unwrap();
    let finding = value["findings"].as_array().unwrap().iter().find(|f| f["id"] == "pdb-allows-nothing").unwrap();
    let line = finding["line"].as_u64().unwrap() as usize;
    let text = std::fs::read_to_string(BAD).unwrap();
    let column = finding["column"].as_u64().unwrap() as usize;
    assert!(text.lines().nth(line - 1).unwrap()[column - 1..].starts_with("90%"), "{finding}");
    assert_eq!(finding["page"], "docs/lint.md#pdb-allows-nothing");
    let (_, out, _) = drainsim(&["lint", BAD, "-o", "github", "--min-severity", "warning"], "");
    assert!(
        out.starts_with(&format!("::warning file={BAD},line={line},col={column},title=pdb-allows-nothing::")),
        "{out}"
    );
    assert_eq!(
        out.lines().count(),
        value["findings"].as_array().unwrap().iter().filter(|f| f["severity"] != "info").count()
    );
}

/// The parts of the SARIF 2.1.0 schema that consumers rely on, with its own names and limits.
fn sarif_schema() -> Value {
    let message = serde_json::json!({"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}});
    let position = serde_json::json!({"type": "integer", "minimum": 1});
    let location = serde_json::json!({
        "type": "object", "required": ["physicalLocation"], "additionalProperties": false,
        "properties": {"id": {"type": "integer", "minimum": -1}, "message": message, "physicalLocation": {
            "type": "object", "required": ["artifactLocation", "region"], "additionalProperties": false,
            "properties": {
                "artifactLocation": {"type": "object", "required": ["uri"], "additionalProperties": false,
                    "properties": {"uri": {"type": "string", "pattern": "^[A-Za-z0-9._~/:%-]+$"}}},
                "region": {"type": "object", "required": ["startLine"], "additionalProperties": false,
                    "properties": {"startLine": position, "startColumn": position, "endLine": position, "endColumn": position}}
            }}}
    });
    let level = serde_json::json!({"enum": ["none", "note", "warning", "error"]});
    let result = serde_json::json!({
        "type": "object", "required": ["message"], "additionalProperties": false,
        "properties": {
            "ruleId": {"type": "string"}, "ruleIndex": {"type": "integer", "minimum": 0}, "level": level, "message": message,
            "locations": {"type": "array", "items": location},
            "relatedLocations": {"type": "array", "uniqueItems": true, "items": location},
        }
    });
    let rule = serde_json::json!({
        "type": "object", "required": ["id"], "additionalProperties": false,
        "properties": {
            "id": {"type": "string"}, "shortDescription": message, "fullDescription": message, "help": message,
            "defaultConfiguration": {"type": "object", "properties": {"level": level}},
        }
    });
    let driver = serde_json::json!({
        "type": "object", "required": ["name"], "additionalProperties": false,
        "properties": {
            "name": {"type": "string"}, "semanticVersion": {"type": "string"},
            "rules": {"type": "array", "uniqueItems": true, "items": rule},
        }
    });
    let run = serde_json::json!({
        "type": "object", "required": ["tool", "results"], "additionalProperties": false,
        "properties": {
            "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            "tool": {"type": "object", "required": ["driver"], "properties": {"driver": driver}},
            "results": {"type": "array", "items": result},
        }
    });
    serde_json::json!({
        "type": "object", "required": ["version", "runs"], "additionalProperties": false,
        "properties": {
            "$schema": {"type": "string", "format": "uri"},
            "version": {"const": "2.1.0"},
            "runs": {"type": "array", "minItems": 1, "items": run},
        }
    })
}

#[test]
fn sarif_is_what_code_scanning_reads() {
    let (code, out, _) = drainsim(&["lint", "tests/lint", "-o", "sarif"], "");
    assert_eq!(code, 1);
    let value: Value = serde_json::from_str(&out).unwrap();
    let schema = sarif_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert_eq!(errors, [] as [&str; 0]);
    let run = &value["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), RULES.len());
    let results = run["results"].as_array().unwrap();
    assert!(results.len() > 30);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let region = &result["locations"][0]["physicalLocation"]["region"];
        let position = |line: &str, column: &str| (region[line].as_u64().unwrap(), region[column].as_u64().unwrap());
        assert!(position("startLine", "startColumn") < position("endLine", "endColumn"), "{result}");
    }
}

/// A folder as `helm template --output-dir` leaves it, with one file that nobody can read.
#[test]
fn what_cannot_be_read_hides_nothing_else_and_empty_templates_are_no_mistake() {
    let web = LONELY.as_bytes();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    write("a-empty.yaml", b"");
    write("b-comments.yaml", b"---\n# Source: web/templates/hpa.yaml\n---\n");
    write("web.yaml", web);
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("drainsim"));
        let output = command.arg("lint").args(args).arg(folder.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, clean, errors) = run(&[]);
    assert_eq!((code, errors.as_str()), (1, ""), "{clean}");
    assert!(clean.contains("warning[single-replica]"), "{clean}");
    write("c-broken.yaml", b"kind: Service\nspec: {ports: [\n");
    let (code, text, errors) = run(&[]);
    assert_eq!((code, text), (2, clean), "the others are looked at all the same");
    assert!(errors.contains("c-broken.yaml:"), "{errors}");
    let (code, json, _) = run(&["-o", "json"]);
    assert!(code == 2 && json.contains("c-broken.yaml:"), "{json}");
}

const LONELY: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: "shop/web:1"}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;

#[test]
fn of_an_unknown_application_nothing_is_said_as_if_it_were_known() {
    let scenario = "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {name: s}\nspec:\n  duration: 1m\n  nodes: [{name: n1}]\n";
    let ids = |apps: &str| -> Vec<&str> {
        let text = format!("{scenario}{apps}---{LONELY}");
        let findings = lint(
            &Memory([("s.yaml".into(), text.into_bytes())].into()),
            &[Input::Path("s.yaml".into())],
            &Options::default(),
        );
        findings.unwrap().list.iter().map(|f| f.rule.id).collect()
    };
    assert!(!ids("").contains(&"stop-signal-not-graceful"), "{:?}", ids(""));
    let named = ids("  apps: [{deployment: web, profile: exits-at-once}]\n");
    assert!(named.contains(&"stop-signal-not-graceful"), "what is said is known: {named:?}");
}
