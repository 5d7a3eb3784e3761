//! The notes of the causal trace in plain words.

use super::names::Names;
use crate::simulation::observe::What;

/// Who did something, and what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sentence {
    /// The component: `kubelet node-1`.
    pub who: String,
    /// What it did: `SIGTERM arrives in container nginx`.
    pub what: String,
}

impl std::fmt::Display for Sentence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.who, self.what)
    }
}

/// Says what happened.
#[must_use]
pub fn sentence(names: &Names<'_>, what: What) -> Sentence {
    let kubelet = |pod| format!("kubelet{}", names.of_node(pod));
    let (who, what) = match what {
        What::ActionStarted { action } => ("scenario".to_string(), names.action(action)),
        What::ActionDone { action } => ("scenario".to_string(), format!("{} is done", names.action(action))),
        What::DrainStarted { kubectl, node } => {
            (names.operator(kubectl), format!("begins to drain {}", names.node(node)))
        }
        What::DrainEnded { kubectl, node, code: 0 } => {
            (names.operator(kubectl), format!("{} drained", names.node(node)))
        }
        What::DrainEnded { kubectl, node, code } => {
            (names.operator(kubectl), format!("gives {} up, exit code {code}", names.node(node)))
        }
        What::Cordoned { node } => ("apiserver".to_string(), format!("{} is marked unschedulable", names.node(node))),
        What::Uncordoned { node } => ("apiserver".to_string(), format!("{} is marked schedulable", names.node(node))),
        What::TaintsChanged { node } => {
            ("node lifecycle controller".to_string(), format!("the taints of {} follow its spec", names.node(node)))
        }
        What::NodeAdded { node } => ("apiserver".to_string(), format!("{} is registered", names.node(node))),
        What::NodeReady { node } => (format!("kubelet {}", names.node(node)), "the node is Ready".to_string()),
        What::NodeOff { node } => (names.node(node), "the machine loses power".to_string()),
        What::NodeUnreachable { node } => {
            ("node lifecycle controller".to_string(), format!("{} is silent: Ready becomes Unknown", names.node(node)))
        }
        What::NodeDeleted { node } => {
            ("apiserver".to_string(), format!("the Node object {} is deleted", names.node(node)))
        }
        What::EvictionRequested { pod, kubectl } => {
            (names.operator(kubectl), format!("asks to evict {}", names.the_pod(pod)))
        }
        What::PodsDrivenAway { node } => (
            "node lifecycle controller".to_string(),
            format!("{} gets a NoExecute taint: its pods may stay as long as they tolerate it", names.node(node)),
        ),
        What::PodsKept { node } => {
            ("node lifecycle controller".to_string(), format!("{} loses its NoExecute taint", names.node(node)))
        }
        What::TaintEvictionDue { pod } => (
            "taint eviction controller".to_string(),
            format!("{} tolerates its node's taints no longer; no budget is asked", names.the_pod(pod)),
        ),
        What::PodCollected { pod } => {
            ("pod garbage collector".to_string(), format!("deletes {} by force", names.the_pod(pod)))
        }
        What::NodeBooted { node } => (names.node(node), "kernel and kubelet run again".to_string()),
        What::KubeletStopped { node } => (format!("kubelet {}", names.node(node)), "is stopped".to_string()),
        What::KubeletStarted { node } => (format!("kubelet {}", names.node(node)), "is started".to_string()),
        What::NodeCutOff { node, scope: 1 } => (names.node(node), "is cut off from the control plane".to_string()),
        What::NodeCutOff { node, .. } => (names.node(node), "is cut off from everything".to_string()),
        What::PartitionHealed { node } => (names.node(node), "is no longer cut off".to_string()),
        What::KubeletConnected { node } => {
            (format!("kubelet {}", names.node(node)), "reaches the apiserver again".to_string())
        }
        What::EvictionAdmitted { pod, pdb } => (
            "apiserver".to_string(),
            format!("budget {} admits the eviction of {}", names.pdb(pdb), names.the_pod(pod)),
        ),
        What::EvictionRefused { pod, code } => {
            ("apiserver".to_string(), format!("refuses to evict {}, status {code}", names.the_pod(pod)))
        }
        What::EvictionConflict { pod } => (
            "apiserver".to_string(),
            format!("the budget changed under the eviction of {}; it is tried again", names.the_pod(pod)),
        ),
        What::PodDeleted { pod, grace_seconds } => (
            "apiserver".to_string(),
            format!("{} gets its deletionTimestamp, {grace_seconds} s of grace", names.the_pod(pod)),
        ),
        What::PodCreated { pod } => ("apiserver".to_string(), format!("{} is created", names.the_pod(pod))),
        What::PodUnschedulable { pod } => ("scheduler".to_string(), format!("no node takes {}", names.the_pod(pod))),
        What::PodBound { pod, node } => {
            ("scheduler".to_string(), format!("binds {} to {}", names.the_pod(pod), names.node(node)))
        }
        What::PodReady { pod } => (kubelet(pod), format!("reports {} Ready", names.the_pod(pod))),
        What::PodNotReady { pod } => (kubelet(pod), format!("reports {} not Ready", names.the_pod(pod))),
        What::TargetHealth { pod, traffic, healthy } => {
            let state = if healthy == 1 { "is healthy" } else { "is registered anew, and not healthy yet" };
            (names.balancer_controller(traffic), format!("the target {} {state}", names.pod(pod)))
        }
        What::GateWritten { pod, status, .. } => {
            let status = if status == 1 { "True" } else { "False" };
            ("apiserver".to_string(), format!("the readiness gate of {} is {status}", names.the_pod(pod)))
        }
        What::PodEnded { pod } => (kubelet(pod), format!("reports that {} has ended", names.the_pod(pod))),
        What::PodRemoved { pod } => ("apiserver".to_string(), format!("{} is gone", names.the_pod(pod))),
        What::PodStarting { pod } => (kubelet(pod), format!("begins to set {} up", names.the_pod(pod))),
        What::ContainerStarted { pod, container } => {
            (kubelet(pod), format!("starts {}", names.container(pod, container)))
        }
        What::ListenerOpened { pod } => (names.the_pod(pod), "listens".to_string()),
        What::KubeletSawDeletion { pod } => (kubelet(pod), format!("learns of the deletion of {}", names.the_pod(pod))),
        What::KillingStarted { pod } => (kubelet(pod), format!("begins to stop {}", names.the_pod(pod))),
        What::PreStopStarted { pod, container } => {
            (kubelet(pod), format!("runs the preStop hook of {}", names.container(pod, container)))
        }
        What::PreStopEnded { pod, container } => {
            (kubelet(pod), format!("the preStop hook of {} is done", names.container(pod, container)))
        }
        What::PreStopOverran { pod, container } => (
            kubelet(pod),
            format!("the grace period ends before the preStop hook of {} does", names.container(pod, container)),
        ),
        What::SignalArrived { pod, container, signal } => {
            (kubelet(pod), format!("{} arrives in {}", signal.name(), names.container(pod, container)))
        }
        What::HookSignalled { pod, container, signal } => (
            names.the_pod(pod),
            format!("the preStop hook sends {} to {}", signal.name(), names.container(pod, container)),
        ),
        What::ContainerBacksOff { pod, container } => {
            (kubelet(pod), format!("puts the next start of {} off: CrashLoopBackOff", names.container(pod, container)))
        }
        What::ContainerHangs { pod, container } => {
            (names.the_pod(pod), format!("{} answers nothing any more", names.container(pod, container)))
        }
        What::ProbeGaveUp { pod, container, startup } => {
            let probe = if startup == 0 { "liveness" } else { "startup" };
            (
                kubelet(pod),
                format!("the {probe} probe of {} has failed: it is stopped", names.container(pod, container)),
            )
        }
        What::NodeShuttingDown { node } => {
            (format!("kubelet {}", names.node(node)), "the node is shutting down: Ready becomes False".to_string())
        }
        What::PodRejected { pod } => {
            (kubelet(pod), format!("rejects {}: the node is shutting down", names.the_pod(pod)))
        }
        What::ListenerClosed { pod } => (names.the_pod(pod), "closes its listener".to_string()),
        What::StoppedAccepting { pod } => {
            (names.the_pod(pod), "accepts no connection any more; its socket stays open until it exits".to_string())
        }
        What::SaysGoodbye { pod } => {
            (names.the_pod(pod), "tells its clients to close: responses carry `Connection: close`".to_string())
        }
        What::ContainerListens { pod, container } => {
            (names.the_pod(pod), format!("{} listens", names.container(pod, container)))
        }
        What::ContainerStopsListening { pod, container } => {
            (names.the_pod(pod), format!("{} listens no longer", names.container(pod, container)))
        }
        What::ContainerExited { pod, container, code } => {
            (names.the_pod(pod), format!("{} ends with exit code {code}", names.container(pod, container)))
        }
        What::NetworkGone { pod } => (kubelet(pod), format!("the network of {} is gone", names.the_pod(pod))),
        What::EndpointsWritten { service, ready, .. } => (
            "EndpointSlice controller".to_string(),
            format!("{} now has {ready} ready endpoint{}", names.service(service), if ready == 1 { "" } else { "s" }),
        ),
        What::PdbUpdated { pdb, allowed, healthy } => {
            let of = if allowed == 1 { "disruption" } else { "disruptions" };
            (
                "disruption controller".to_string(),
                format!("budget {}: {allowed} {of} allowed, {healthy} healthy", names.pdb(pdb)),
            )
        }
        What::NodeMarked { node, present } => {
            let change = if present == 1 { "is tainted" } else { "loses its taint" };
            ("apiserver".to_string(), format!("{} {change}", names.node(node)))
        }
        What::PdbApplied { pdb } => ("apiserver".to_string(), format!("budget {} is applied", names.pdb(pdb))),
        What::PdbDeleted { pdb } => ("apiserver".to_string(), format!("budget {} is deleted", names.pdb(pdb))),
        What::DeploymentScaled { deployment, replicas } => {
            ("apiserver".to_string(), format!("{} is to have {replicas} replicas", names.deployment(deployment)))
        }
        What::RolloutRestarted { deployment } => {
            ("apiserver".to_string(), format!("the template of {} changes", names.deployment(deployment)))
        }
        What::ReplicaSetScaled { replica_set, replicas } => (
            "Deployment controller".to_string(),
            format!("{} is to have {replicas} replicas", names.replica_set(replica_set)),
        ),
        What::PodLabelled { pod } => ("apiserver".to_string(), format!("the labels of {} change", names.the_pod(pod))),
        What::PodReleased { pod } => (
            "controller manager".to_string(),
            format!("{} no longer matches the selector of its controller, which gives it up", names.the_pod(pod)),
        ),
        What::PodAdopted { pod, replica_set } => {
            (names.replica_set(replica_set), format!("adopts {}", names.the_pod(pod)))
        }
        What::StatefulSetScaled { stateful_set, replicas } => {
            ("apiserver".to_string(), format!("{} is to have {replicas} replicas", names.stateful_set(stateful_set)))
        }
        What::StatefulSetChanged { stateful_set } => {
            ("apiserver".to_string(), format!("the template of {} changes", names.stateful_set(stateful_set)))
        }
        What::DaemonSetChanged { daemon_set } => {
            ("apiserver".to_string(), format!("the template of {} changes", names.daemon_set(daemon_set)))
        }
        What::JobEnded { job, complete } => {
            let how = if complete == 1 { "is complete" } else { "has failed" };
            ("Job controller".to_string(), format!("{} {how}", names.job(job)))
        }
        What::AutoscalerChanged { autoscaler, min } => {
            ("apiserver".to_string(), format!("{} is to keep {min} replicas at least", names.autoscaler(autoscaler)))
        }
        What::Autoscaled { autoscaler, replicas } => {
            (names.autoscaler(autoscaler), format!("wants {replicas} replicas"))
        }
        What::ImagePresent { pod, container } => {
            (kubelet(pod), format!("the image of {} is on the node", names.container(pod, container)))
        }
        What::ImagePulling { pod, container } => {
            (kubelet(pod), format!("pulls the image of {}", names.container(pod, container)))
        }
        What::ImagePulled { pod, container } => {
            (kubelet(pod), format!("the image of {} has been pulled", names.container(pod, container)))
        }
        What::ProbeFailed { pod, container, startup } => {
            let kind = match startup {
                0 => "readiness",
                1 => "startup",
                _ => "liveness",
            };
            (kubelet(pod), format!("the {kind} probe of {} fails", names.container(pod, container)))
        }
        What::DeletedByController { pod } => {
            ("controller manager".to_string(), format!("{} is deleted by its controller", names.the_pod(pod)))
        }
    };
    Sentence { who, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NodeId, PodId};
    use crate::simulation::fixture;

    #[test]
    fn a_whole_trace_reads_as_prose() {
        let (setup, outcome) = (fixture::setup(), fixture::outcome());
        let names = Names::new(&setup, &outcome).about(Some(PodId(0)));
        let lines: Vec<String> = outcome
            .trace
            .entries()
            .iter()
            .map(|e| format!("{:>8} {}", e.time.to_string(), sentence(&names, e.what)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_is_unknown_gets_a_number() {
        let (setup, outcome) = (fixture::setup(), fixture::outcome());
        let names = Names::new(&setup, &outcome);
        let bound = sentence(&names, What::PodBound { pod: PodId(99), node: NodeId(77) });
        assert_eq!(bound.to_string(), "scheduler: binds pod #99 to node #77");
    }
}
