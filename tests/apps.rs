//! What each application profile loses in a rolling restart, and which preStop helps: the table of docs/apps.md.
//!
//! `UPDATE_DOCS=1 cargo test --test apps` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::{env, fs};

use drainsim::scenario::library;
use drainsim::scenario::profiles::{PROFILES, Profile};
use drainsim::scenario::unknown_apps::Attitude;
use drainsim::scenario::{Input, Scenario};
use drainsim::simulation::setup::{App, ConnectionClose, Reaction};
use drainsim::simulation::{self, Outcome, Setup};

const SEEDS: std::ops::Range<u64> = 0..4;
const PRE_STOPS: [u32; 5] = [1, 2, 3, 5, 10];
const PAGE: &str = "docs/apps.md";

/// The scenario of the four steps, with another application and preStop.
fn setup(profile: &str, pre_stop: u32, says_goodbye: bool) -> Setup {
    let text = fs::read_to_string("scenarios/app-1-exits-at-term.yaml").unwrap();
    let mut text = text.replace("profile: exits-at-once", &format!("profile: {profile}"));
    text = text.replace("      keepAliveTimeout: 60s\n", "");
    if says_goodbye {
        text = text
            .replace("      startup: 500ms\n", "      startup: 500ms\n      shutdown: {connectionClose: onPreStop}\n");
    }
    if pre_stop > 0 {
        let hook = format!("          lifecycle: {{preStop: {{sleep: {{seconds: {pre_stop}}}}}}}\n          ports:");
        text = text.replace("          ports:", &hook);
    }
    // the longest shutdown is one grace period long
    text = text.replace("duration: 60s", "duration: 75s");
    load(&text).setup
}

fn load(text: &str) -> Scenario {
    let input = Input::Builtin { name: "test.yaml".into(), text: text.to_string() };
    Scenario::load(&[input], &[]).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

/// Failed requests of the streams `kept` and `new`, over all seeds.
fn failed(setup: &Setup) -> (u64, u64) {
    let outcomes: Vec<Outcome> = SEEDS.map(|seed| simulation::run(setup, seed, false)).collect();
    let of = |name: &str| {
        outcomes.iter().flat_map(|o| &o.traffic).filter(|t| t.name == name).map(|t| t.requests.failed()).sum::<u64>()
    };
    (of("kept"), of("new"))
}

/// What counts of an application here, so that profiles which do the same are simulated once.
fn behaviour(app: &App) -> String {
    let reaction = app.reactions.get(&app.stop_signal);
    format!("{reaction:?} {:?} {:?} {:?}", app.shutdown, app.keep_alive_timeout, app.reaction)
}

#[derive(Clone)]
struct Row {
    kept: u64,
    new: u64,
    enough: Option<u32>,
    kept_then: u64,
    kept_with_goodbye: u64,
}

fn row(profile: &Profile) -> Row {
    let (kept, new) = failed(&setup(profile.name, 0, false));
    let enough = match new {
        0 => Some(0),
        _ => PRE_STOPS.into_iter().find(|seconds| failed(&setup(profile.name, *seconds, false)).1 == 0),
    };
    let then = enough.unwrap_or(10).max(5);
    Row {
        kept,
        new,
        enough,
        kept_then: failed(&setup(profile.name, then, false)).0,
        kept_with_goodbye: failed(&setup(profile.name, then, true)).0,
    }
}

fn does(app: &App) -> String {
    match app.reactions.get(&app.stop_signal) {
        None | Some(Reaction::Ignore) => "nothing".into(),
        Some(Reaction::ExitNow) => "exits".into(),
        Some(Reaction::Outlast { .. }) => "outlasts its clients".into(),
        Some(Reaction::Drain { in_flight_max: None, .. }) => "winds down".into(),
        Some(Reaction::Drain { in_flight_max: Some(limit), .. }) => format!("winds down, {limit} at most"),
    }
}

fn table() -> String {
    let mut known: BTreeMap<String, Row> = BTreeMap::new();
    let runs = SEEDS.end as f64;
    let per_run = |count: u64| if count == 0 { "0".into() } else { format!("{:.1}", count as f64 / runs) };
    let mut out = String::from(
        "| profile | stop signal | on it | lost, new connections | lost, kept connections | smallest preStop | kept then | with goodbye |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for profile in PROFILES {
        let app = profile.app();
        let row = known.entry(behaviour(&app)).or_insert_with(|| row(profile)).clone();
        let enough =
            row.enough.map_or("more than 10 s".into(), |s| if s == 0 { "none".into() } else { format!("{s} s") });
        writeln!(
            out,
            "| [`{}`](../scenarios/{}.yaml) | {} | {} | {} | {} | {enough} | {} | {} |",
            profile.name,
            scenario_of(profile.name),
            app.stop_signal.name(),
            does(&app),
            per_run(row.new),
            per_run(row.kept),
            per_run(row.kept_then),
            per_run(row.kept_with_goodbye),
        )
        .unwrap();
    }
    out
}

/// The built-in scenario that is about a profile.
fn scenario_of(profile: &str) -> String {
    match profile {
        "exits-at-once" => "app-1-exits-at-term".into(),
        "graceful" => "app-2-winds-down".into(),
        name => format!("app-{name}"),
    }
}

fn builtin(name: &str) -> Option<Scenario> {
    library::find(name).map(|builtin| load(builtin.text))
}

#[test]
fn every_profile_is_played_by_a_scenario_of_its_own() {
    let plays = |profile: &str| {
        let Some(Scenario { setup, .. }) = builtin(&scenario_of(profile)) else { return false };
        let mut containers = setup.templates.iter().flat_map(|template| &template.containers);
        containers.any(|container| setup.apps[container.app as usize].profile == profile)
    };
    let missing: Vec<&str> = PROFILES.iter().map(|p| p.name).filter(|name| !plays(name)).collect();
    assert_eq!(missing, [""; 0], "no scenarios/app-NAME.yaml, or one in which no container behaves so");
}

/// Pairs to be compared are the same Deployments under the same clients.
#[test]
fn pairs_differ_in_the_server_alone() {
    for (one, other) in [
        ("app-dotnet", "app-dotnet-6"),
        ("app-go-shutdown", "app-go-default"),
        ("app-go-shutdown", "app-go-shutdown-not-awaited"),
        ("app-gunicorn", "app-gunicorn-gthread"),
        ("app-gunicorn", "app-gunicorn-uvicorn"),
        ("app-node-close", "app-node-close-18"),
        ("app-puma", "app-unicorn"),
        ("app-spring-boot", "app-spring-boot-3.3"),
    ] {
        let [one, other] = [one, other].map(|name| {
            let mut setup = builtin(name).unwrap().setup;
            for app in &mut setup.apps {
                let (startup, service_time) = (app.startup.clone(), app.service_time.clone());
                *app = App { startup, service_time, ..Profile::by_name("graceful").unwrap().app() };
            }
            format!("{setup:#?}")
        });
        assert_eq!(one.lines().count(), other.lines().count());
        let differences: Vec<_> = one.lines().zip(other.lines()).filter(|(one, other)| one != other).collect();
        assert!(differences.iter().all(|(one, _)| one.contains("image")), "{differences:?}");
    }
}

#[test]
fn the_table_of_the_page_is_what_runs_say() {
    const START: &str = "<!-- profiles -->\n\n";
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(START).expect("the page has a place for the table");
    let (_, after) = rest.split_once("\n<!-- end -->").expect("which ends");
    let new = format!("{before}{START}{}\n<!-- end -->{after}", table());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(PAGE, &new).unwrap();
    } else {
        assert!(new == page, "{PAGE} is not up to date: run UPDATE_DOCS=1 cargo test --test apps");
    }
}

/// The shape of measurements of a rolling restart that have been published: an application that exits at SIGTERM loses some
/// requests on kept and on new connections, a graceful stop fewer, a preStop moves what is left to the exit, and
/// `Connection: close` leaves none.
#[test]
fn each_step_loses_less() {
    let exits = failed(&setup("exits-at-once", 0, false));
    let winds_down = failed(&setup("graceful", 0, false));
    let pre_stop = failed(&setup("exits-at-once", 5, false));
    let goodbye = failed(&setup("graceful", 5, true));
    let all = |(kept, new): (u64, u64)| kept + new;
    assert!(exits.0 > 0 && exits.1 > 0 && winds_down.1 > 0, "{exits:?} {winds_down:?}");
    assert!(all(exits) > all(winds_down) && all(winds_down) > all(pre_stop), "{exits:?} {winds_down:?} {pre_stop:?}");
    assert!(pre_stop.1 == 0 && pre_stop.0 > 0, "kept connections are cut by the exit: {pre_stop:?}");
    assert_eq!(goodbye, (0, 0));
}

/// When the process of the first pod that goes ends after its stop signal, in whole seconds.
fn exits_after(setup: &Setup) -> u64 {
    let outcome = simulation::run(setup, 1, false);
    let times = outcome.pods.iter().map(|pod| &pod.times).find(|times| times.sigterm_at.is_some()).unwrap();
    times.exited_at.unwrap().since(times.sigterm_at.unwrap()).as_secs()
}

#[test]
fn a_process_waits_for_what_it_serves_on() {
    let with = |profile: &str| {
        let mut setup = setup(profile, 0, false);
        setup.traffic.retain(|t| t.name == "kept");
        exits_after(&setup)
    };
    assert_eq!(with("node-close-18"), 30, "clients go on to use their connections until SIGKILL");
    assert!(with("gunicorn-gthread") <= 3, "the next response on each closes it, idle ones after 2 s");
    assert_eq!(with("graceful"), 0);
    assert_eq!(with("ignores-term"), 30);
    assert_eq!(with("ingress-nginx"), 10, "the controller outlives its nginx");
}

/// A Deployment of this image and command, its pods of this spec.
fn of(container: &str, pod: &str) -> Scenario {
    let text = fs::read_to_string("scenarios/app-1-exits-at-term.yaml").unwrap();
    let (before, rest) = text.split_once("  apps:\n").unwrap();
    let (_, after) = rest.split_once("  traffic:\n").unwrap();
    let text = format!("{before}  traffic:\n{after}");
    let text = text.replace("          image: example.com/web:1\n", &format!("          {container}\n"));
    load(&text.replace("      containers:\n", &format!("{pod}      containers:\n")))
}

#[test]
fn what_an_unknown_application_may_do() {
    let attitudes = |container: &str, pod: &str| -> Vec<Attitude> {
        let scenario = of(container, pod);
        scenario.unknown_apps.alternatives(&scenario.setup).into_iter().map(|(attitude, _)| attitude).collect()
    };
    let all = [Attitude::WindsDown, Attitude::Ignores];
    assert_eq!(attitudes("image: example.com/web:1", ""), all);
    let node = "image: example.com/web:1\n          command: [node, server.js]";
    assert_eq!(attitudes(node, ""), all);
    let java = "image: example.com/web:1\n          command: [java, -jar, app.jar]";
    assert_eq!(attitudes(java, ""), [Attitude::WindsDown], "a JVM handles SIGTERM");
    let shared = "      shareProcessNamespace: true\n";
    assert_eq!(attitudes("image: example.com/web:1", shared), [Attitude::WindsDown], "it is not PID 1");
    assert_eq!(attitudes("image: nginx:1.27", ""), []);
    let gunicorn = "image: example.com/web:1\n          args: [gunicorn, \"app:app\"]";
    assert_eq!(attitudes(gunicorn, ""), []);
}

#[test]
fn without_a_handler_the_signal_ends_what_is_not_pid_1() {
    let reaction = |container: &str, pod: &str| {
        let setup = of(container, pod).setup;
        let app = &setup.apps[setup.templates[0].containers[0].app as usize];
        (app.profile.clone(), app.reactions.get(&app.stop_signal).copied())
    };
    let flask = "image: example.com/web:1\n          command: [flask, run]";
    assert_eq!(reaction(flask, ""), ("python".into(), None));
    assert_eq!(reaction(flask, "      shareProcessNamespace: true\n").1, Some(Reaction::ExitNow));
    let tini = "image: example.com/web:1\n          command: [tini, --, flask, run]";
    assert_eq!(reaction(tini, "").1, Some(Reaction::ExitNow));
}

#[test]
fn an_entry_overrides_what_a_profile_says() {
    let text = fs::read_to_string("scenarios/app-4-connection-close.yaml").unwrap();
    let setup = load(&text).setup;
    let app = &setup.apps[setup.templates[0].containers[0].app as usize];
    let graceful = Profile::by_name("graceful").unwrap().app();
    assert_eq!(app.shutdown.connection_close, ConnectionClose::OnPreStop);
    assert_eq!(app.shutdown.idle_connections, graceful.shutdown.idle_connections);
}
