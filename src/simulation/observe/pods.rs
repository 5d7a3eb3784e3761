//! The instants of each pod's life: the raw material of the race table.

use crate::api::pod::Signal;
use crate::api::{NodeId, PodId};
use crate::engine::Time;
use crate::simulation::observe::trace::What;
use crate::simulation::outcome::Router;

/// When what happened to a pod; `None`: not (yet).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PodTimes {
    /// The number of the container that serves; told by its kubelet before anything is noted of containers.
    pub serving: u32,
    /// It became Ready for the first time.
    pub ready_at: Option<Time>,
    /// It got its deletionTimestamp (the time of the request, not the timestamp's value).
    pub deleted_at: Option<Time>,
    /// Its kubelet's worker began to stop it.
    pub killing_at: Option<Time>,
    /// The serving container's preStop hook began.
    pub pre_stop_at: Option<Time>,
    /// The serving container's stop signal arrived; not a signal that a preStop hook sends.
    pub sigterm_at: Option<Time>,
    /// The serving container got SIGKILL.
    pub sigkill_at: Option<Time>,
    /// How many of its containers got SIGKILL.
    pub killed_containers: u32,
    /// The listener closed, by itself or with the process.
    pub listener_closed_at: Option<Time>,
    /// The serving process ended.
    pub exited_at: Option<Time>,
    /// The number of the proxy before it, if there is one. Then the listener counts as closed when one of the two is.
    pub front: Option<u32>,
    /// The proxy's stop signal arrived.
    pub front_sigterm_at: Option<Time>,
    /// The proxy listened no longer.
    pub front_closed_at: Option<Time>,
    /// The proxy ended.
    pub front_exited_at: Option<Time>,
    /// The container behind it listened no longer.
    pub behind_closed_at: Option<Time>,
    /// The network was taken down.
    pub network_gone_at: Option<Time>,
    /// Its status said that all its containers have ended for good: phase Succeeded or Failed.
    pub ended_at: Option<Time>,
    /// The object was removed.
    pub removed_at: Option<Time>,
    /// An EndpointSlice that no longer says ready was written.
    pub endpoint_not_ready_at: Option<Time>,
    /// The last router stopped sending new connections there, and which it was; filled in at the end of a run.
    pub last_route_clean: Option<(Time, NodeId)>,
    /// What on that node that was.
    pub last_router: Router,
    /// Requests that failed because of this pod; filled in at the end of a run.
    pub failed_requests: u64,
}

/// The instants of a pod, made when first asked for.
pub(super) fn at(pods: &mut Vec<PodTimes>, pod: PodId) -> &mut PodTimes {
    if pods.len() <= pod.index() {
        pods.resize(pod.index() + 1, PodTimes::default());
    }
    &mut pods[pod.index()]
}

/// Takes what concerns a pod out of a note.
pub(super) fn record(pods: &mut Vec<PodTimes>, time: Time, what: What) {
    let Some(pod) = what.pod() else { return };
    let times = at(pods, pod);
    let first = |slot: &mut Option<Time>| {
        slot.get_or_insert(time);
    };
    match what {
        What::PodReady { .. } => first(&mut times.ready_at),
        What::PodDeleted { .. } => first(&mut times.deleted_at),
        What::KillingStarted { .. } => first(&mut times.killing_at),
        What::PreStopStarted { container, .. } if container == times.serving => first(&mut times.pre_stop_at),
        What::SignalArrived { signal: Signal::Kill, container, .. } => {
            times.killed_containers += 1;
            if container == times.serving {
                first(&mut times.sigkill_at);
            }
        }
        What::SignalArrived { container, .. } if container == times.serving => first(&mut times.sigterm_at),
        What::ListenerClosed { .. } | What::StoppedAccepting { .. } => first(&mut times.listener_closed_at),
        What::SignalArrived { container, .. } if Some(container) == times.front => first(&mut times.front_sigterm_at),
        What::ContainerStopsListening { container, .. } => {
            let front = Some(container) == times.front;
            first(if front { &mut times.front_closed_at } else { &mut times.behind_closed_at });
            first(&mut times.listener_closed_at);
        }
        What::ContainerExited { container, .. } if container == times.serving => first(&mut times.exited_at),
        What::ContainerExited { container, .. } if Some(container) == times.front => first(&mut times.front_exited_at),
        What::NetworkGone { .. } => first(&mut times.network_gone_at),
        What::PodEnded { .. } => first(&mut times.ended_at),
        What::PodRemoved { .. } => first(&mut times.removed_at),
        _ => {}
    }
}
