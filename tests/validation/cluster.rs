//! The clusters of the experiments.

use std::collections::BTreeMap;

use drainsim::api::pdb::{Budget, UnhealthyPodEvictionPolicy};
use drainsim::api::pod::{Container, Hook, Probe, Signal};
use drainsim::api::workload::Strategy;
use drainsim::api::{IntOrPercent, Labels, PdbSpec, PodTemplate, Selector, Service, ServiceId, TemplateId, Version};
use drainsim::engine::{Distribution, Duration, Time};
use drainsim::simulation::Setup;
use drainsim::simulation::latency::{Hop, Latencies};
use drainsim::simulation::setup::{
    Action, ActionKind, App, DeploymentSetup, DrainOptions, NodeSetup, Reaction, When, plain_node,
};

/// The name of the workload, and of its Service and its budget.
pub const NAME: &str = "web";
/// The Service.
pub const SERVICE: ServiceId = ServiceId(0);

/// What pods do when they are told to end.
pub const EXIT: Reaction = Reaction::ExitNow;
/// Closes its listener, finishes its requests, then works for so long.
pub const fn graceful(work: Duration) -> Reaction {
    Reaction::Drain { linger: Duration::ZERO, in_flight_max: None, work }
}

/// Goes on serving for so long, then exits.
pub const fn lingering(time: Duration) -> Reaction {
    Reaction::Drain { linger: time, in_flight_max: Some(Duration::ZERO), work: Duration::ZERO }
}

/// The latencies of the recorded cluster, and kubectl's requests without its start: they are sent at the time of the action.
pub fn lab() -> Latencies {
    let mut lab = Latencies::idle_lab();
    lab.set(Hop::KubectlStart, Distribution::Constant(Duration::ZERO));
    lab
}

/// A cluster of these nodes with a Deployment, its Service, and a readiness probe every second.
pub fn cluster(nodes: &[&str], replicas: u32, reaction: Reaction, hook: Option<Hook>, grace: u64) -> Setup {
    let labels = Labels::from([("app".to_string(), NAME.to_string())]);
    let container = Container {
        pre_stop: hook,
        readiness: Some(Probe { period: Duration::from_secs(1), ..Probe::default() }),
        ..Container::plain("c", "image", 0)
    };
    Setup {
        version: Version::minor(36),
        duration: Duration::from_secs(30),
        nodes: nodes.iter().map(|name| NodeSetup { node: plain_node(name), ready_at: None }).collect(),
        services: vec![Service {
            namespace: "default".into(),
            name: NAME.into(),
            selector: Some(Selector::labels([("app", NAME)])),
            headless: false,
            publish_not_ready_addresses: false,
            ..Service::default()
        }],
        templates: vec![PodTemplate {
            termination_grace_period_seconds: grace,
            ..PodTemplate::plain(labels, vec![container])
        }],
        deployments: vec![DeploymentSetup {
            namespace: "default".into(),
            name: NAME.into(),
            replicas,
            strategy: Strategy::default(),
            min_ready_seconds: 0,
            selector: Selector::labels([("app", NAME)]),
            template: TemplateId(0),
            placement: Vec::new(),
        }],
        apps: vec![App {
            startup: Distribution::Constant(Duration::from_micros(300)),
            service_time: Distribution::Constant(Duration::from_millis(20)),
            reactions: BTreeMap::from([(Signal::Term, reaction)]),
            ..App::plain("recorded")
        }],
        latencies: lab(),
        ..Setup::default()
    }
}

/// Adds the budget.
pub fn with_budget(mut setup: Setup, max_unavailable: u32) -> Setup {
    setup.pdbs.push(PdbSpec {
        namespace: "default".into(),
        name: NAME.into(),
        selector: Some(Selector::labels([("app", NAME)])),
        budget: Budget::MaxUnavailable(IntOrPercent::Int(max_unavailable)),
        unhealthy: UnhealthyPodEvictionPolicy::IfHealthyBudget,
    });
    setup
}

/// A script plays the kubelet: pods are Ready so long after they were bound, without a probe.
pub fn with_scripted_nodes(mut setup: Setup, ready_after: Duration) -> Setup {
    setup.templates[0].containers[0].readiness = None;
    setup.latencies.set(Hop::SandboxStart, Distribution::Constant(ready_after));
    setup.latencies.set(Hop::ContainerStart, Distribution::Constant(Duration::ZERO));
    setup
}

/// Adds what is done.
pub fn act(setup: &mut Setup, at: Time, what: ActionKind) {
    setup.actions.push(Action { name: String::new(), when: When::At(at), what });
}

/// `kubectl drain` of a node.
pub fn drain(node: &str, timeout: Duration) -> ActionKind {
    ActionKind::Drain(DrainOptions { nodes: vec![node.to_string()], timeout, ..DrainOptions::default() })
}

/// `kubectl delete pod`.
pub fn delete(name: &str, grace_seconds: Option<i64>) -> ActionKind {
    ActionKind::DeletePod { namespace: "default".into(), name: name.to_string(), grace_seconds, force: false }
}
