//! A run made by hand: two nodes are drained, the first pod loses its race, the second wins it after the budget made the
//! drain wait. It tests those who read outcomes: expectations and reports.

use std::collections::BTreeMap;

use crate::api::pod::Signal;
use crate::api::{NodeId, PdbId, PodId, ReplicaSetId, Service, ServiceId};
use crate::engine::{Duration, Time};
use crate::simulation::observe::{CauseId, Observer, PodTimes, What};
use crate::simulation::outcome::{
    DeploymentOutcome, DrainOutcome, Failure, FailureKind, PdbOutcome, Phases, PodActivity, PodOutcome, Requests,
    ServiceOutcome, TrafficOutcome,
};
use crate::simulation::setup::{Action, ActionKind, DrainOptions, NodeSetup, Traffic, When, plain_node};
use crate::simulation::{Outcome, Setup};

/// What the run started from, as far as reports look at it.
pub(crate) fn setup() -> Setup {
    let drain =
        |node: &str| ActionKind::Drain(DrainOptions { nodes: vec![node.to_string()], ..DrainOptions::default() });
    Setup {
        duration: Duration::from_secs(60),
        nodes: NODES.iter().map(|name| NodeSetup { node: plain_node(name), ready_at: None }).collect(),
        services: vec![Service {
            namespace: "default".to_string(),
            name: "nginx".to_string(),
            selector: None,
            headless: false,
            publish_not_ready_addresses: false,
            ..Service::default()
        }],
        traffic: vec![Traffic {
            timeout: Duration::from_secs(5),
            ..Traffic::plain("web", ServiceId(0), 400.0, NODES.iter().map(ToString::to_string).collect())
        }],
        actions: vec![
            Action { name: String::new(), when: When::At(Time::from_secs(10)), what: drain("node-1") },
            Action { name: String::new(), when: When::At(Time::from_secs(11)), what: drain("node-2") },
        ],
        ..Setup::default()
    }
}

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// The run.
pub(crate) fn outcome() -> Outcome {
    let (observer, causes) = trace();
    let failures: Vec<_> = (0..37).map(|n| failure(n, causes.listener_closed)).collect();
    let failed_by = BTreeMap::from([(FailureKind::Refused, 37)]);
    let requests = Requests { sent: 24_000, ok: 23_960, ok_after_retry: 0, failed_by, unfinished: 3 };
    let mut times = observer.pods.clone();
    times[0].endpoint_not_ready_at = Some(ms(10_120));
    times[0].last_route_clean = Some((ms(11_028), NodeId(1)));
    times[0].failed_requests = 37;
    times[1].endpoint_not_ready_at = Some(ms(16_110));
    times[1].last_route_clean = Some((ms(16_180), NodeId(2)));
    let drain = |kubectl, node: &str, started, completed, messages: &[(u64, &str)]| DrainOutcome {
        kubectl,
        action: kubectl,
        node: node.to_string(),
        started_at: ms(started),
        completed_at: Some(ms(completed)),
        ended_at: Some(ms(completed)),
        exit_code: Some(0),
        evictions_granted: 1,
        evictions_denied: u64::from(kubectl),
        messages: messages.iter().map(|(at, line)| (ms(*at), (*line).to_string())).collect(),
    };
    Outcome {
        seed: 1,
        end: Time::from_secs(60),
        digest: observer.digest.hex(),
        events: 1234,
        requests: requests.clone(),
        services: vec![ServiceOutcome {
            id: ServiceId(0),
            name: "default/nginx".to_string(),
            requests: requests.clone(),
            min_ready_endpoints: 1,
            zero_endpoints: Duration::ZERO,
            ready_endpoints: vec![(ms(10_120), 1), (ms(13_150), 2)],
            outages: Vec::new(),
        }],
        drains: vec![
            drain(
                0,
                "node-1",
                10_055,
                12_000,
                &[
                    (10_055, "node/node-1 cordoned"),
                    (10_070, "evicting pod default/nginx-66b6c48dd5-abcde"),
                    (11_999, "pod/nginx-66b6c48dd5-abcde evicted"),
                    (12_000, "node/node-1 drained"),
                ],
            ),
            drain(
                1,
                "node-2",
                11_055,
                18_000,
                &[
                    (11_055, "node/node-2 cordoned"),
                    (11_070, "evicting pod default/nginx-66b6c48dd5-fghij"),
                    (
                        11_080,
                        "error when evicting pods/\"nginx-66b6c48dd5-fghij\" -n \"default\" (will retry after 5s): Cannot \
                         evict pod as it would violate the pod's disruption budget.",
                    ),
                    (16_080, "evicting pod default/nginx-66b6c48dd5-fghij"),
                    (17_999, "pod/nginx-66b6c48dd5-fghij evicted"),
                    (18_000, "node/node-2 drained"),
                ],
            ),
        ],
        pods: vec![
            pod(0, "nginx-66b6c48dd5-abcde", "node-1", 0, times[0], Some(-878_000_000)),
            pod(1, "nginx-66b6c48dd5-fghij", "node-2", 0, times[1], Some(120_000_000)),
            pod(2, "nginx-66b6c48dd5-klmno", "node-3", 10_140, times[2], None),
        ],
        pdbs: vec![PdbOutcome {
            name: "default/nginx".to_string(),
            pods: 2,
            denials: 1,
            admitted: 2,
            desired_healthy: 1,
            min_current_healthy: 1,
            history: vec![(ms(10_100), 0, 1, 1), (ms(13_160), 1, 2, 1)],
        }],
        deployments: vec![DeploymentOutcome {
            name: "default/nginx".to_string(),
            ready_pods: vec![(ms(0), 2), (ms(10_090), 1), (ms(13_100), 2)],
        }],
        failures,
        node_names: NODES.iter().map(ToString::to_string).collect(),
        replica_set_names: vec!["nginx-66b6c48dd5".to_string()],
        traffic: vec![TrafficOutcome {
            name: "web".to_string(),
            requests,
            expected_failures: Some(BTreeMap::from([(FailureKind::Refused, 36.25)])),
            failed_behind: None,
            in_bulk: false,
            latencies: latencies(),
        }],
        trace: observer.trace,
        history: None,
        warnings: Vec::new(),
        end_state: None,
    }
}

/// The same run without a failed request.
pub(crate) fn calm_outcome() -> Outcome {
    let mut outcome = outcome();
    let Outcome { requests, services, traffic, .. } = &mut outcome;
    for requests in [requests, &mut services[0].requests, &mut traffic[0].requests] {
        requests.failed_by.clear();
        requests.ok = requests.sent - requests.unfinished;
    }
    outcome.failures.clear();
    outcome.traffic[0].expected_failures = Some(BTreeMap::new());
    outcome.pods[0].times.failed_requests = 0;
    outcome.pods[0].times.last_route_clean = Some((ms(10_140), NodeId(1)));
    outcome.pods[0].slack_nanos = Some(10_000_000);
    outcome
}

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn pod(id: u32, name: &str, node: &str, created: u64, times: PodTimes, slack_nanos: Option<i64>) -> PodOutcome {
    PodOutcome {
        id: PodId(id),
        namespace: "default".to_string(),
        name: name.to_string(),
        node: Some(node.to_string()),
        services: vec![ServiceId(0)],
        restarts: 0,
        exists: times.removed_at.is_none(),
        succeeded: false,
        lost_work: Duration::ZERO,
        containers: vec!["nginx".to_string()],
        created_at: ms(created),
        times,
        slack_nanos,
        sleeps_first: false,
        unschedulable: String::new(),
    }
}

fn failure(n: u64, cause: CauseId) -> Failure {
    let client = u32::try_from(n % 2).unwrap_or(0) + 1;
    Failure {
        sent_at: ms(10_160 + n * 23),
        failed_at: ms(10_161 + n * 23),
        kind: FailureKind::Refused,
        traffic: 0,
        client_node: NodeId(client),
        number: 1350 + n * 3,
        service: ServiceId(0),
        pod: Some(PodId(0)),
        gateway: None,
        pod_phase: PodActivity::Draining,
        endpoint_not_ready_at: Some(ms(10_120)),
        route_clean_at: Some(ms(if client == 1 { 11_028 } else { 10_900 })),
        cause,
    }
}

struct Causes {
    listener_closed: CauseId,
}

fn trace() -> (Observer, Causes) {
    let mut seen = Observer::new(true);
    let start = CauseId::default();
    let (first, second, third) = (PodId(0), PodId(1), PodId(2));
    let (node_1, node_2, node_3) = (NodeId(0), NodeId(1), NodeId(2));

    let action = seen.note(ms(10_000), start, What::ActionStarted { action: 0 });
    let cordoned = seen.note(ms(10_055), action, What::Cordoned { node: node_1 });
    let drain = seen.note(ms(10_055), cordoned, What::DrainStarted { kubectl: 0, node: node_1 });
    let asked = seen.note(ms(10_070), drain, What::EvictionRequested { pod: first, kubectl: 0 });
    let admitted = seen.note(ms(10_080), asked, What::EvictionAdmitted { pod: first, pdb: PdbId(0) });
    let deleted = seen.note(ms(10_090), admitted, What::PodDeleted { pod: first, grace_seconds: 30 });
    let told = seen.note(ms(10_115), deleted, What::KubeletSawDeletion { pod: first });
    seen.note(ms(10_120), deleted, What::EndpointsWritten { service: ServiceId(0), version: 2, ready: 1 });
    let killing = seen.note(ms(10_130), told, What::KillingStarted { pod: first });
    let wanted = seen.note(ms(10_135), deleted, What::ReplicaSetScaled { replica_set: ReplicaSetId(0), replicas: 2 });
    let term = seen.note(ms(10_140), killing, What::SignalArrived { pod: first, container: 0, signal: Signal::Term });
    let created = seen.note(ms(10_140), wanted, What::PodCreated { pod: third });
    let closed = seen.note(ms(10_150), term, What::ListenerClosed { pod: first });
    let bound = seen.note(ms(10_200), created, What::PodBound { pod: third, node: node_3 });
    let exited = seen.note(ms(10_300), closed, What::ContainerExited { pod: first, container: 0, code: 0 });
    let gone = seen.note(ms(10_600), exited, What::NetworkGone { pod: first });

    let action = seen.note(ms(11_000), start, What::ActionStarted { action: 1 });
    let cordoned = seen.note(ms(11_055), action, What::Cordoned { node: node_2 });
    let drain = seen.note(ms(11_055), cordoned, What::DrainStarted { kubectl: 1, node: node_2 });
    let asked = seen.note(ms(11_070), drain, What::EvictionRequested { pod: second, kubectl: 1 });
    let refused = seen.note(ms(11_080), asked, What::EvictionRefused { pod: second, code: 429 });
    let removed = seen.note(ms(11_200), gone, What::PodRemoved { pod: first });
    seen.note(ms(12_000), removed, What::DrainEnded { kubectl: 0, node: node_1, code: 0 });
    let ready = seen.note(ms(13_100), bound, What::PodReady { pod: third });
    seen.note(ms(13_150), ready, What::EndpointsWritten { service: ServiceId(0), version: 3, ready: 2 });
    seen.note(ms(13_160), ready, What::PdbUpdated { pdb: PdbId(0), allowed: 1, healthy: 2 });

    let asked = seen.note(ms(16_080), refused, What::EvictionRequested { pod: second, kubectl: 1 });
    let admitted = seen.note(ms(16_085), asked, What::EvictionAdmitted { pod: second, pdb: PdbId(0) });
    let deleted = seen.note(ms(16_090), admitted, What::PodDeleted { pod: second, grace_seconds: 30 });
    seen.note(ms(16_110), deleted, What::EndpointsWritten { service: ServiceId(0), version: 4, ready: 1 });
    let told = seen.note(ms(16_120), deleted, What::KubeletSawDeletion { pod: second });
    let killing = seen.note(ms(16_130), told, What::KillingStarted { pod: second });
    let term = seen.note(ms(16_280), killing, What::SignalArrived { pod: second, container: 0, signal: Signal::Term });
    let end = seen.note(ms(16_300), term, What::ListenerClosed { pod: second });
    let exited = seen.note(ms(16_450), end, What::ContainerExited { pod: second, container: 0, code: 0 });
    let removed = seen.note(ms(17_200), exited, What::PodRemoved { pod: second });
    seen.note(ms(18_000), removed, What::DrainEnded { kubectl: 1, node: node_2, code: 0 });
    (seen, Causes { listener_closed: closed })
}

/// Ten answers before, during and after the drain.
fn latencies() -> Phases {
    let mut phases = Phases::default();
    for (factor, disrupted) in [(1, false), (3, true), (2, true), (1, true)] {
        if disrupted {
            phases.disrupted();
        }
        (1..=10).for_each(|ms| phases.note(Duration::from_millis(ms * factor)));
    }
    phases
}
