//! EndpointSlice to rules: the recorded slices of the two C recordings, through the model's kube-proxy.

use drainsim::api::{Endpoint, Endpoints, NodeId, PodId};
use drainsim::engine::{Random, Time};
use drainsim::simulation::network::Network;
use drainsim::simulation::observe::CauseId;

use super::cluster::{EXIT, SERVICE, cluster};
use super::page::{Row, Section};
use super::recordings::{Recording, ms};

const SEEDS: u64 = 2_000;
/// Recorded times are after the start of the drain, which here is this long after the start of the run.
const START_MS: f64 = 5_000.0;

/// The section.
pub fn section() -> Section {
    let mut rows = Vec::new();
    for (file, title) in
        [("c_iptables_graceful_prestop0", "graceful, no hook"), ("c_iptables_exit_prestop1", "exit, sleep 1")]
    {
        let recorded = Recording::read(file);
        let slices: Vec<f64> = recorded.list("/slice_updates").iter().map(|s| ms(&s["t"])).collect();
        let commits: Vec<Vec<f64>> = (0..SEEDS).map(|seed| in_rules_at(&slices, seed)).collect();
        for sync in recorded.list("/slice_to_rules") {
            let (slice, commit) = (ms(&sync["first_pending_slice_update"]), ms(&sync["commit"]));
            let which = slices.iter().position(|at| *at == slice).expect("a recorded slice");
            let throttled = if sync["throttled"] == true { "throttled" } else { "not throttled" };
            let simulated = commits.iter().map(|c| c[which] - slice).collect();
            rows.push(Row::values(
                &format!("{title}: slice at {slice:.0}, {throttled}"),
                &[commit - slice],
                simulated,
                None,
            ));
        }
    }
    Section {
        title: "C: EndpointSlice to rules",
        text: format!(
            "The recorded slice updates, at their recorded times, through the simulated kube-proxy: milliseconds from the first \
             update that a sync was for to the rules that contain it. {SEEDS} seeds; simulated: median (0.5-99.5 %). kube-proxy's \
             minimum interval of 1 s is a default, not fitted; how long a sync takes was fitted on the two that were not throttled."
        ),
        columns: ["", "recorded", "simulated"],
        rows,
        after: String::new(),
    }
}

/// When the rules contained each of the slice updates at these times. Each update takes an endpoint of its own away, whose
/// last route then tells.
fn in_rules_at(slices: &[f64], seed: u64) -> Vec<f64> {
    let setup = cluster(&["n3"], 0, EXIT, None, 30);
    let mut network = Network::new(&setup, Random::new(seed));
    let node = NodeId(0);
    let listed = |from: usize| Endpoints {
        list: (from..=slices.len())
            .map(|pod| Endpoint { pod: PodId::from(pod), ready: true, serving: true, terminating: false })
            .collect(),
    };
    for pod in 0..=slices.len() {
        network.pod_created(PodId::from(pod), 0, &[SERVICE], node);
    }
    network.endpoints_written(Time::ZERO, SERVICE, &listed(0), CauseId::default());
    network.add_node(Time::ZERO, node, "n3");
    for (number, at) in slices.iter().enumerate() {
        let at = Time::from_nanos(((START_MS + at) * 1e6) as u64);
        network.endpoints_written(at, SERVICE, &listed(number + 1), CauseId::default());
    }
    let outcome = network.finish(Time::from_secs(20));
    let clean = |pod: usize| outcome.pods[pod].last_route_clean.expect("it was taken away").0;
    (0..slices.len()).map(|pod| 1000.0 * clean(pod).as_secs_f64() - START_MS).collect()
}
