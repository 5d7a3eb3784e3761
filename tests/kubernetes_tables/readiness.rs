//! `pkg/kubelet/status/generate.go` GeneratePodReadyCondition, and its test in `generate_test.go`.

use drainsim::api::pod::{ContainerState, ContainerStatus, Phase, WaitingReason};
use drainsim::api::{Container, Gates, PodTemplate, ReadinessGate};

use super::table;

/// Containers, then init containers (`S` before them: they are sidecars): `r` ready, `n` not, `?` without a status. The gates:
/// `t` True, `f` not True or not there, `x` one that nobody sets.
type Given = (&'static str, &'static str, &'static str, Phase);

pub fn check() {
    use Phase::{Failed, Pending, Running, Succeeded};
    let rows: &[(Given, bool)] = &[
        // containers alone
        (("r", "", "", Running), true),
        (("rr", "", "", Running), true),
        (("rn", "", "", Running), false),
        (("?", "", "", Running), false),
        (("r?", "", "", Running), false),
        (("n", "", "", Succeeded), false),
        (("r", "", "", Failed), false),
        // init containers do not count, sidecars do
        (("r", "n", "", Running), true),
        (("r", "Sn", "", Running), false),
        (("r", "Sr", "", Running), true),
        (("n", "r", "", Pending), false),
        // gates
        (("r", "", "t", Running), true),
        (("r", "", "f", Running), false),
        (("r", "", "tt", Running), true),
        (("r", "", "tf", Running), false),
        (("r", "", "ft", Running), false),
        (("n", "", "t", Running), false),
        (("?", "", "t", Running), false),
        (("r", "", "t", Failed), false),
        (("r", "", "t", Succeeded), false),
        // what nobody sets is taken to be True
        (("r", "", "x", Running), true),
        (("r", "", "xf", Running), false),
        (("r", "", "xt", Running), true),
    ];
    let count = table("pkg/kubelet/status/generate.go GeneratePodReadyCondition", rows, ready);
    assert_eq!(count, 23);
}

fn ready(&(containers, inits, gates, phase): &Given) -> bool {
    let sidecar = inits.starts_with('S');
    let inits = inits.trim_start_matches('S');
    let container = |sidecar| Container { sidecar, ..Container::plain("app", "app", 0) };
    let gate = |kind: char| ReadinessGate {
        condition_type: format!("example.com/{kind}"),
        set_by: (kind != 'x').then_some(0),
    };
    let template = PodTemplate {
        init_containers: vec![container(sidecar); inits.len()],
        readiness_gates: gates.chars().map(gate).collect(),
        ..PodTemplate::plain(drainsim::api::Labels::new(), vec![container(false); containers.len()])
    };
    let status = |kind: char| {
        let base = ContainerStatus::waiting(WaitingReason::ContainerCreating);
        let running = ContainerStatus { state: ContainerState::Running, ready: kind == 'r', ..base };
        (kind != '?').then_some(running)
    };
    let statuses: Vec<_> = containers.chars().chain(inits.chars()).filter_map(status).collect();
    let number = |place: usize| u8::try_from(place).unwrap();
    let set = gates.chars().enumerate().fold(Gates::NONE, |set, (place, kind)| set.with(number(place), kind == 't'));
    template.ready(phase, &statuses, set)
}
