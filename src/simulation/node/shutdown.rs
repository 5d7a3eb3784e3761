//! Graceful node shutdown: the kubelet delays a shutdown of its machine (a systemd inhibitor lock), says that the node is
//! not ready, and stops its pods, group after group by priority.
//!
//! What it does not do: nobody sets a deletionTimestamp, no budget is asked, nothing is evicted. The pods stay Ready, and so
//! in the EndpointSlices, until the node lifecycle controller or their last status says otherwise.
//!
//! Source: `pkg/kubelet/nodeshutdown/nodeshutdown_manager.go` killPods and groupByPriority,
//! `nodeshutdown_manager_linux.go` start and processShutdownEvent, `pkg/kubelet/pod_workers.go` killPodNow (v1.36). Static
//! pods are not simulated and not waited for.

use crate::api::{NodeId, PodId};
use crate::engine::{Duration, Timer};
use crate::simulation::context::Context;
use crate::simulation::event::{Event, ShutdownStep};
use crate::simulation::latency::Hop;
use crate::simulation::node::kubelet::{Kubelets, PodRuntime, template};
use crate::simulation::node::worker::Work;
use crate::simulation::write::{Caller, Write};

/// The pods that are stopped together, and their time in seconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Group {
    grace_seconds: u64,
    pods: Vec<PodId>,
}

/// How far a shutdown has come.
#[derive(Clone, Debug)]
pub(super) struct Shutdown {
    groups: Vec<Group>,
    /// The group that is being stopped; past the last one when all have been.
    current: usize,
    /// The end of its time.
    timer: Option<Timer>,
}

/// Divides pods by priority. `grace` is by priority, from the lowest: a pod belongs to the highest priority that is not above
/// its own, or to the lowest of all.
fn groups(grace: &[(i32, u64)], pods: impl Iterator<Item = (PodId, i32)>) -> Vec<Group> {
    let mut groups: Vec<_> =
        grace.iter().map(|(_, seconds)| Group { grace_seconds: *seconds, pods: Vec::new() }).collect();
    for (pod, priority) in pods {
        let index = grace.partition_point(|(lowest, _)| *lowest <= priority).saturating_sub(1);
        if let Some(group) = groups.get_mut(index) {
            group.pods.push(pod);
        }
    }
    groups
}

impl Kubelets {
    /// Somebody shuts the machine down.
    pub fn shut_down(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        let state = &self.nodes[node.index()];
        if state.shutdown.is_some() && !state.off {
            return; // it is being shut down already
        }
        if state.off || ctx.setup.kubelet.shutdown_grace.is_empty() {
            ctx.schedule(Duration::ZERO, Event::NodeShutdown(node, ShutdownStep::PowerOff));
            return;
        }
        ctx.submit(Write::NodeShuttingDown { node }, Caller::Nobody, state.luck, 1 << 32);
        let active =
            |pod: &PodId| self.runtime(*pod).is_some_and(|p| p.node == node && p.worker.stage != Work::Terminated);
        let pods = (0..self.pods.len()).map(PodId::from).filter(active);
        let pods = pods.map(|pod| (pod, template(ctx, pod).priority));
        let groups = groups(&ctx.setup.kubelet.shutdown_grace, pods);
        self.nodes[node.index()].shutdown = Some(Shutdown { groups, current: 0, timer: None });
        self.stop_group(ctx, node);
    }

    /// Does what an event asks for.
    pub fn shutdown_step(&mut self, ctx: &mut Context<'_>, node: NodeId, step: ShutdownStep) {
        if self.is_node_off(node) {
            return;
        }
        let group = match step {
            ShutdownStep::GroupOver(group) => group,
            ShutdownStep::Look | ShutdownStep::PowerOff => return self.group_goes_on(ctx, node),
        };
        if let Some(shutdown) = self.nodes[node.index()].shutdown.as_mut().filter(|s| s.current == usize::from(group)) {
            shutdown.current += 1;
            self.stop_group(ctx, node);
        }
    }

    /// Begins with the current group; groups without pods take no time. After the last one the machine goes down.
    fn stop_group(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        let Some(shutdown) = &mut self.nodes[node.index()].shutdown else { return };
        while shutdown.groups.get(shutdown.current).is_some_and(|group| group.pods.is_empty()) {
            shutdown.current += 1;
        }
        let Some(Group { grace_seconds, pods }) = shutdown.groups.get(shutdown.current).cloned() else {
            ctx.schedule(Duration::ZERO, Event::NodeShutdown(node, ShutdownStep::PowerOff));
            return;
        };
        let number = u8::try_from(shutdown.current).unwrap_or(u8::MAX);
        let over = Event::NodeShutdown(node, ShutdownStep::GroupOver(number));
        shutdown.timer = Some(ctx.schedule(Duration::from_secs(grace_seconds), over));
        let cause = ctx.cause;
        for pod in pods {
            ctx.cause = cause;
            let own = template(ctx, pod).termination_grace_period_seconds;
            let runtime = self.pod(pod);
            runtime.status.shut_down = runtime.worker.termination.is_none();
            if runtime.worker.request_termination(own.min(grace_seconds).max(1)) {
                // the phase in the kubelet's own status is Failed from now on, and its probes stop with that
                for c in 0..u8::try_from(self.pod(pod).containers.len()).unwrap_or(u8::MAX) {
                    self.stop_probes(ctx, pod, c);
                }
                let delay = self.latency(ctx, Hop::KubeletSync, pod);
                Self::after(ctx, delay, pod, crate::simulation::event::KubeletStep::Update);
            }
        }
        ctx.cause = cause;
        self.group_goes_on(ctx, node);
    }

    /// A pod's containers have all stopped, and its volumes will be unmounted after this time. If it is the last one of its
    /// group, the next group's turn comes then.
    pub(super) fn shutdown_goes_on(&mut self, ctx: &mut Context<'_>, pod: PodId, unmounted: Duration) {
        let node = self.pod(pod).node;
        if self.nodes[node.index()].shutdown.is_some() {
            ctx.schedule(unmounted, Event::NodeShutdown(node, ShutdownStep::Look));
        }
    }

    fn group_goes_on(&mut self, ctx: &mut Context<'_>, node: NodeId) {
        let Some(shutdown) = &self.nodes[node.index()].shutdown else { return };
        let Some(group) = shutdown.groups.get(shutdown.current) else { return };
        let now = ctx.now();
        let stopped = |pod: &PodId| {
            let over = |p: &PodRuntime| p.worker.stage == Work::Terminated && p.containers[0].kill.unmounted_at <= now;
            self.runtime(*pod).is_none_or(over)
        };
        if !group.pods.iter().all(stopped) {
            return;
        }
        let Some(shutdown) = &mut self.nodes[node.index()].shutdown else { return };
        if let Some(timer) = shutdown.timer.take() {
            ctx.cancel(timer);
        }
        shutdown.current += 1;
        self.stop_group(ctx, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// groupByPriority: (priority of the pod, its place in the groups).
    #[test]
    fn pods_belong_to_the_highest_priority_that_is_not_above_theirs() {
        let critical = 2_000_000_000;
        for (grace, cases) in [
            (
                &[(0, 20), (critical, 10)][..],
                &[(0, 0), (1, 0), (-5, 0), (critical - 1, 0), (critical, 1), (i32::MAX, 1)][..],
            ),
            (&[(0, 1), (1000, 2), (10_000, 3)], &[(-1, 0), (0, 0), (999, 0), (1000, 1), (9_999, 1), (10_000, 2)]),
            (&[(1000, 5)], &[(0, 0), (1000, 0), (5000, 0)]),
        ] {
            for (priority, place) in cases {
                let groups = groups(grace, [(PodId(7), *priority)].into_iter());
                let found = groups.iter().position(|g| !g.pods.is_empty());
                assert_eq!(found, Some(*place), "{priority} in {grace:?}");
            }
        }
    }
}
