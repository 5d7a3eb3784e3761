//! Prints the table of `docs/paths.md`: the smallest safe preStop sleep of each path, and the hop that decides it.
//!
//! ```sh
//! cargo run --release --example paths            # the table
//! cargo run --release --example paths -- --write # into the page
//! ```
//!
//! Each path takes the place of the hop in the scenario `path-kube-proxy`. The answer is that of `drainsim tune`: no request
//! fails in at least 99 % of runs, shown with 95 % confidence, each run being the drain of one pod of three.

use std::fs;
use std::process::ExitCode;

use drainsim::analysis::tune::{Plan, Promise, Tuned, Tuner};
use drainsim::scenario::{Input, Scenario, library};
use drainsim::simulation::Setup;

/// The paths, as `via` has them, and the longest sleep to think of.
const PATHS: &[(&str, u64)] = &[
    ("kube-proxy", 10),
    ("ingress-nginx", 15),
    ("envoy-gateway", 15),
    ("istio-gateway", 15),
    ("istio-sidecar", 15),
    ("aws-alb-ip", 90),
    ("aws-nlb-ip", 200),
    ("{profile: gcp-neg, deregistrationDelay: 30s}", 120),
    ("aws-alb-instance", 10),
    ("aws-nlb-instance", 10),
    ("gcp-instance-group", 10),
    ("service-load-balancer", 10),
    ("[aws-nlb-instance, ingress-nginx]", 15),
    ("[aws-alb-instance, envoy-gateway]", 15),
];

const START: &str = "<!-- table of paths -->\n";
const END: &str = "<!-- end of the table of paths -->";

fn setup(via: &str, seconds: u64, most: u64) -> Setup {
    let builtin = library::find("path-kube-proxy").expect("a built-in scenario");
    let input = Input::Builtin { name: builtin.name.into(), text: builtin.text.into() };
    let sets = [
        format!("spec.traffic[0].via={via}"),
        "spec.traffic[0].rate=50/s".to_string(),
        "spec.traffic[0].start=25s".to_string(),
        format!("preStop={seconds}s"),
        format!("gracePeriod={}s", most + 600),
        format!("spec.traffic[0].stop={}s", 30 + most + 60),
    ];
    Scenario::load(&[input], &sets).unwrap_or_else(|problems| panic!("{problems}")).setup
}

fn row(via: &str, most: u64) -> String {
    let promise = Promise { failed_max: 0, ready_min: None, drain_within: None, share: 0.99, confidence: 0.95 };
    let plan = Plan::new(promise, 299).expect("299 runs can show 99 % with 95 % confidence");
    let at = |seconds| setup(via, seconds, most);
    let tuner = Tuner { at: &at, promise, plan, keep_budgets: true, first_seed: 1, jobs: 0 };
    let tuned = tuner.tune(most, |_, _| ());
    let parts = tuner.parts(&tuned);
    let Tuned { recommended, .. } = tuned;
    let sleep = recommended.map_or("none".into(), |trial| format!("{} s", trial.seconds));
    let (need, hop) = match parts {
        None => ("–".into(), "–".into()),
        Some((need, lines)) => {
            let first = lines.first().filter(|line| line.saves > 0.005);
            let hop = first.map_or("–".into(), |line| format!("`{}` ({:.2} s)", line.name, line.saves));
            (format!("{need:.1} s"), hop)
        }
    };
    eprintln!("{via}: {sleep}");
    format!("| `{via}` | **{sleep}** | {need} | {hop} |\n")
}

fn main() -> ExitCode {
    let mut table =
        String::from("\n| `via` | smallest safe preStop | clean at p99 | what decides |\n|---|---|---|---|\n");
    for (via, most) in PATHS {
        table += &row(via, *most);
    }
    if std::env::args().nth(1).as_deref() != Some("--write") {
        print!("{table}");
        return ExitCode::SUCCESS;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/paths.md");
    let page = fs::read_to_string(path).unwrap_or_default();
    let parts = page.split_once(START).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        eprintln!("{path} has no place for the table");
        return ExitCode::FAILURE;
    };
    match fs::write(path, format!("{before}{START}{table}\n{END}{after}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
