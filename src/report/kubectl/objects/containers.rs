//! `status.containerStatuses`: what the kubelet has told of a pod's containers.
//!
//! Source: `pkg/kubelet/kubelet_pods.go` convertToAPIContainerStatuses (v1.36).

use serde_json::{Value, json};

use crate::api::{Phase, Pod, PodId, PodTemplate};
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::{Cluster, uid};
use crate::simulation::observe::What;

/// The life of a container so far.
#[derive(Clone, Copy, Default)]
struct Life {
    started: Option<Instant>,
    starts: u32,
    /// The last end: when it had begun, when it ended, and with which code.
    ended: Option<(Instant, Instant, u32)>,
    runs: bool,
}

impl Life {
    fn start(&mut self, at: Instant) {
        (self.started, self.runs) = (Some(at), true);
        self.starts += 1;
    }

    fn end(&mut self, at: Instant, code: u32) {
        self.ended = Some((self.started.unwrap_or(at), at, code));
        self.runs = false;
    }
}

/// The statuses of init containers and containers; empty before the kubelet has told anything.
pub(super) struct Statuses {
    pub(super) init: Vec<Value>,
    pub(super) containers: Vec<Value>,
    /// All init containers have ended well.
    pub(super) initialized: bool,
    /// When the kubelet began with the pod.
    pub(super) began: Option<Instant>,
}

impl Cluster<'_> {
    /// What the apiserver knows of a pod's containers at a time at which the pod is `version`.
    pub(super) fn container_statuses(&self, id: PodId, version: &Pod, at: Time) -> Statuses {
        let template = self.store.template_of(id);
        let until = self.reported_until(id, at);
        let mut init = vec![Life::default(); template.init_containers.len()];
        let mut lives = vec![Life::default(); template.containers.len()];
        let mut began = None;
        let first = self.store.pods.history(id.index()).first();
        if first.and_then(|v| v.value).is_some_and(|p| p.has_ip) {
            // it has been running since before the start
            let steady = Instant::of_steady_state();
            began = Some(steady);
            for life in init.iter_mut().chain(&mut lives) {
                life.start(steady);
            }
            init.iter_mut().for_each(|life| life.end(steady, 0));
        }
        for entry in self.facts_of(id).iter().take_while(|e| e.time <= until) {
            let time = Instant::at(entry.time);
            match entry.what {
                What::PodStarting { .. } => began = Some(time),
                What::InitContainerStarted { container, .. } => with(&mut init, container, |life| life.start(time)),
                What::InitContainerExited { container, code, .. } => {
                    with(&mut init, container, |life| life.end(time, code));
                }
                // as long as the pod is Pending, nobody has told the apiserver that one of them runs
                What::ContainerStarted { .. } if version.phase == Phase::Pending => {}
                What::ContainerStarted { container, .. } => with(&mut lives, container, |life| life.start(time)),
                What::ContainerExited { container, code, .. } => {
                    with(&mut lives, container, |life| life.end(time, code))
                }
                _ => {}
            }
        }
        let initialized = init.iter().all(|life| !life.runs && life.ended.is_some_and(|(.., code)| code == 0));
        if began.is_none() {
            return Statuses { init: Vec::new(), containers: Vec::new(), initialized: false, began };
        }
        let waiting = if template.init_containers.is_empty() { "ContainerCreating" } else { "PodInitializing" };
        let status = |life: &Life, number: usize, is_init: bool| {
            let specs = if is_init { &template.init_containers } else { &template.containers };
            let ready = if is_init { initialized } else { is_ready(template, version, life, number) };
            json!({
                "name": specs[number].name,
                "image": specs[number].image,
                "imageID": "",
                "containerID": container_id(self, id, &specs[number].name, life.starts),
                "ready": ready,
                "started": life.runs && !is_init,
                "restartCount": life.starts.saturating_sub(1),
                "state": state(life, waiting),
                "lastState": last_state(life),
            })
        };
        let init = init.iter().enumerate().map(|(n, life)| status(life, n, true)).collect();
        let containers = lives.iter().enumerate().map(|(n, life)| status(life, n, false)).collect();
        Statuses { init, containers, initialized, began }
    }
}

fn with(lives: &mut [Life], number: u32, act: impl FnOnce(&mut Life)) {
    if let Some(life) = lives.get_mut(number as usize) {
        act(life);
    }
}

/// The model keeps readiness by pod: of a pod that is not ready, the containers with a readiness probe are to blame.
fn is_ready(template: &PodTemplate, version: &Pod, life: &Life, number: usize) -> bool {
    life.runs && (version.ready || template.containers[number].readiness.is_none())
}

fn state(life: &Life, waiting: &str) -> Value {
    match (life.runs, life.ended, life.started) {
        (true, _, Some(since)) => json!({"running": {"startedAt": since.rfc3339()}}),
        (_, Some(_), _) => terminated(life),
        _ => json!({"waiting": {"reason": waiting}}),
    }
}

fn last_state(life: &Life) -> Value {
    if life.runs && life.ended.is_some() { terminated(life) } else { json!({}) }
}

fn terminated(life: &Life) -> Value {
    let Some((from, to, code)) = life.ended else { return json!({}) };
    let reason = if code == 0 { "Completed" } else { "Error" };
    json!({"terminated": {
        "exitCode": code,
        "reason": reason,
        "startedAt": from.rfc3339(),
        "finishedAt": to.rfc3339(),
    }})
}

fn container_id(cluster: &Cluster<'_>, pod: PodId, name: &str, starts: u32) -> String {
    if starts == 0 {
        return String::new();
    }
    let bits = uid("Container", &cluster.store.pod_name(pod), name, pod.index() + starts as usize);
    format!("containerd://{}", bits.replace('-', "").repeat(2))
}
