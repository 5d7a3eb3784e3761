//! `status.containerStatuses`: what the kubelet has told of a pod's containers.
//!
//! Source: `pkg/kubelet/kubelet_pods.go` convertToAPIContainerStatuses (v1.36).

use serde_json::{Value, json};

use crate::api::pod::{ContainerState, Terminated, WaitingReason};
use crate::api::{ContainerStatus, Pod, PodId};
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::{Cluster, uid};
use crate::simulation::observe::What;

/// The statuses of init containers and containers; empty before the kubelet has told anything.
pub(super) struct Statuses {
    pub(super) init: Vec<Value>,
    pub(super) containers: Vec<Value>,
    /// All init containers have ended well, and all sidecars have started.
    pub(super) initialized: bool,
    /// When the kubelet began with the pod.
    pub(super) began: Option<Instant>,
}

impl Cluster<'_> {
    /// What the apiserver knows of a pod's containers at a time at which the pod is `version`.
    pub(super) fn container_statuses(&self, id: PodId, version: &Pod, at: Time) -> Statuses {
        let template = self.store.template_of(id);
        let first = self.store.pods.history(id.index()).first();
        // it has been running since before the start
        let is_old = first.and_then(|v| v.value).is_some_and(|p| p.has_ip);
        let mut starts = vec![Vec::new(); template.container_count()];
        let mut began = None;
        if is_old {
            began = Some(Instant::of_steady_state());
            starts.iter_mut().for_each(|s| s.push(Instant::of_steady_state()));
        }
        for entry in self.facts_of(id).iter().take_while(|e| e.time <= at) {
            match entry.what {
                What::PodStarting { .. } => began = Some(Instant::at(entry.time)),
                What::ContainerStarted { container, .. } => {
                    starts.get_mut(container as usize).into_iter().for_each(|s| s.push(Instant::at(entry.time)));
                }
                _ => {}
            }
        }
        if began.is_none() {
            return Statuses { init: Vec::new(), containers: Vec::new(), initialized: false, began };
        }
        let has_init = !template.init_containers.is_empty();
        let reason = if has_init { WaitingReason::PodInitializing } else { WaitingReason::ContainerCreating };
        let untold = vec![ContainerStatus::waiting(reason); template.container_count()];
        let told = self.store.container_statuses(version.containers);
        let statuses = if told.is_empty() { &untold } else { told };
        let initialized = (statuses.iter().zip(0..u8::MAX)).skip(template.containers.len()).all(|(s, number)| {
            if template.runs_to_completion(number) {
                matches!(s.state, ContainerState::Terminated(Terminated { exit_code: 0, .. }))
            } else {
                s.started
            }
        });
        let mut shown = statuses.iter().zip(template.all_containers()).zip(&starts).map(|((status, spec), starts)| {
            let restarts = status.restart_count as usize;
            let has_run = !matches!((status.state, status.last), (ContainerState::Waiting(_), None));
            json!({
                "name": spec.name,
                "image": spec.image,
                "imageID": "",
                "containerID": container_id(self, id, &spec.name, if has_run { status.restart_count + 1 } else { 0 }),
                "ready": status.ready,
                "started": status.started,
                "restartCount": restarts,
                "state": state(status, starts, restarts),
                "lastState": last_state(status, starts, restarts),
            })
        });
        let containers = shown.by_ref().take(template.containers.len()).collect();
        Statuses { init: shown.collect(), containers, initialized, began }
    }
}

/// `starts`: when each process of the container was started; this one is number `restarts`.
fn state(status: &ContainerStatus, starts: &[Instant], restarts: usize) -> Value {
    match status.state {
        ContainerState::Running => {
            let since = starts.get(restarts).or(starts.last());
            json!({"running": {"startedAt": since.map(|s| s.rfc3339())}})
        }
        ContainerState::Terminated(end) => terminated(end, starts.get(restarts)),
        ContainerState::Waiting(reason) => json!({"waiting": {"reason": reason.name()}}),
    }
}

fn last_state(status: &ContainerStatus, starts: &[Instant], restarts: usize) -> Value {
    let Some(end) = status.last else { return json!({}) };
    // a container that waits for its next start has not been counted as restarted yet
    let waits = matches!(status.state, ContainerState::Waiting(_));
    terminated(end, starts.get(if waits { restarts } else { restarts.saturating_sub(1) }))
}

fn terminated(end: Terminated, began: Option<&Instant>) -> Value {
    let at = if end.finished_at == Time::ZERO { Instant::of_steady_state() } else { Instant::at(end.finished_at) };
    json!({"terminated": {
        "exitCode": end.exit_code,
        "reason": end.reason(),
        "startedAt": began.map_or_else(|| at.rfc3339(), |b| b.rfc3339()),
        "finishedAt": at.rfc3339(),
    }})
}

fn container_id(cluster: &Cluster<'_>, pod: PodId, name: &str, starts: u32) -> String {
    if starts == 0 {
        return String::new();
    }
    let bits = uid("Container", &cluster.store.pod_name(pod), name, pod.index() + starts as usize);
    format!("containerd://{}", bits.replace('-', "").repeat(2))
}
