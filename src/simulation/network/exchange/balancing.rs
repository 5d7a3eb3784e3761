//! What load balancers do about connections that are open: a target that was taken out may finish what it has, for as long as
//! the deregistration delay says.

use crate::engine::Time;
use crate::simulation::network::clients::Plane;
use crate::simulation::network::exchange::attempt::Fault;
use crate::simulation::network::exchange::{Exchange, Happening};
use crate::simulation::network::routers::{Cut, Target};
use crate::simulation::outcome::FailureKind;

impl<'a> Exchange<'a> {
    /// Puts on the event list when load balancers will hear of what has happened.
    pub(super) fn expect_reconciliations(&mut self, plane: &Plane<'_, 'a>) {
        for stream in 0..self.reconciles.len() {
            if self.setup.traffic[stream].balancer.is_some() && !self.reconciles[stream] {
                self.expect_reconciliation(stream, plane);
            }
        }
    }

    fn expect_reconciliation(&mut self, stream: usize, plane: &Plane<'_, 'a>) {
        let next = plane.routers.next_reconciliation(stream);
        self.reconciles[stream] = next.is_some();
        if let Some(at) = next {
            self.queue.schedule(at.max(self.queue.now()), Happening::Reconcile(stream));
        }
    }

    /// A load balancer hears of a change.
    pub(super) fn reconcile(&mut self, now: Time, stream: usize, plane: &mut Plane<'_, 'a>) {
        for cut in plane.routers.reconcile(stream, now) {
            self.queue.schedule(cut.at.max(now), Happening::Cut(self.cuts.len()));
            self.cuts.push((stream, cut));
        }
        self.expect_reconciliation(stream, plane);
    }

    /// A machine closes its connections to a target that it has had to let go.
    pub(super) fn balancer_cuts(&mut self, now: Time, number: usize, plane: &mut Plane<'_, 'a>) {
        let (stream, cut) = self.cuts[number];
        let lost: Vec<usize> = self.attempts.iter().map(|(attempt, _)| attempt).collect();
        for attempt in lost {
            // One try that fails may take others of its request along.
            let Some(at) = self.attempts.get(attempt) else { continue };
            if at.connection.is_some_and(|id| self.is_cut(id, stream, cut)) {
                let fault = Fault::new(FailureKind::ResetInFlight, at.pod, now);
                self.failed(now, attempt, fault, plane);
            }
        }
    }

    fn is_cut(&self, id: usize, stream: usize, cut: Cut) -> bool {
        let connection = &self.connections[id];
        let target = match cut.target {
            Target::Pod(pod) => connection.pod == Some(pod),
            Target::Node(node) => connection.transit == Some(node),
        };
        let mine = self.clients[connection.client].stream as usize == stream;
        mine && target && connection.machine == Some(cut.machine) && connection.begun < cut.begun_before
    }
}
