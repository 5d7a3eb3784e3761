//! The part of load balancers' controllers that writes readiness gates: once a target is healthy, the pod's status says so, and
//! its kubelet can call it Ready.
//!
//! What targets there are and whether they are healthy is known to the load balancers in the data plane, where the
//! controllers' reconciliations are, too. Here is what comes of it: when to ask, and the write.
//!
//! Simplified: a write is not tried again; a condition is written when its status changes, not when only its reason does.

use std::collections::BTreeMap;

use crate::api::PodId;
use crate::engine::{Key, Time, Timer};
use crate::simulation::context::Context;
use crate::simulation::event::Event;
use crate::simulation::network::Network;
use crate::simulation::observe::{CauseId, What};
use crate::simulation::setup::Setup;
use crate::simulation::write::{Caller, Write};

/// The controllers of all load balancers that set a readiness gate of some pod.
#[derive(Debug)]
pub struct TargetHealthControllers {
    /// By traffic stream: when there may be something new; `None`: no pod has a gate of this one.
    streams: Vec<(u32, Option<(Time, Timer)>)>,
    /// What made a pod a target.
    causes: BTreeMap<PodId, CauseId>,
}

impl TargetHealthControllers {
    /// Those that the templates of the setup name.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        let set_by = |stream: &u32| {
            let mut gates = setup.templates.iter().flat_map(|template| template.gates_with_setter());
            gates.any(|(_, setter)| setter == *stream)
        };
        let count = u32::try_from(setup.traffic.len()).unwrap_or(u32::MAX);
        let streams = (0..count).filter(set_by).map(|stream| (stream, None)).collect();
        Self { streams, causes: BTreeMap::new() }
    }

    /// Something has been written that may have changed the targets; `pod`: its status.
    pub fn expect(&mut self, ctx: &mut Context<'_>, network: &Network<'_>, pod: Option<PodId>) {
        if self.streams.is_empty() {
            return;
        }
        if let Some(pod) = pod.filter(|pod| ctx.store.pods.head(pod.index()).is_some_and(|p| !p.ready)) {
            self.causes.insert(pod, ctx.cause);
        }
        for (stream, due) in &mut self.streams {
            let Some(at) = network.next_health(*stream as usize) else { continue };
            if due.is_none_or(|(expected, _)| at < expected) {
                if let Some((_, timer)) = due.take() {
                    ctx.cancel(timer);
                }
                let at = at.max(ctx.now());
                *due = Some((at, ctx.schedule_at(at, Event::TargetHealth(*stream))));
            }
        }
    }

    /// The controller of a stream's load balancer may have decided to write gates.
    pub fn look(&mut self, ctx: &mut Context<'_>, network: &mut Network<'_>, stream: u32) {
        let before = ctx.cause;
        for (_, due) in self.streams.iter_mut().filter(|(number, _)| *number == stream) {
            *due = None;
        }
        for (pod, status) in network.gates(ctx.now(), stream as usize) {
            let place = ctx.store.template_of(pod).gates_with_setter().find(|(_, setter)| *setter == stream);
            let Some((gate, _)) = place else { continue };
            ctx.cause = self.causes.get(&pod).copied().unwrap_or(before);
            ctx.note(What::TargetHealth { pod, traffic: stream, healthy: u32::from(status) });
            let luck = Key::new("targetHealth").number(ctx.pod_luck(pod)).number(u64::from(gate)).bits();
            let occasion = ctx.store.pods.version_count(pod.index());
            ctx.submit(Write::PodCondition { pod, gate, status }, Caller::Nobody, luck, occasion);
        }
        ctx.cause = before;
        self.expect(ctx, network, None);
    }
}
