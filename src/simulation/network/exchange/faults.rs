//! What happens to pods, nodes and networks while requests are under way.

use crate::api::{NodeId, PodId, ServiceId};
use crate::engine::Time;
use crate::simulation::network::clients::Plane;
use crate::simulation::network::exchange::attempt::Fault;
use crate::simulation::network::exchange::{Exchange, Happening, Stuck};
use crate::simulation::network::ledger::{Ledger, Seen};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::FailureKind;
use crate::simulation::setup::Connections;

impl Stuck {
    /// The try that it belongs to.
    pub(super) const fn attempt(self) -> usize {
        match self {
            Self::Request(attempt) | Self::Answer(attempt) => attempt,
        }
    }
}

impl<'a> Exchange<'a> {
    /// A pod of these Services comes, goes, or closes its listener: from the first time to the last, that is the disruption.
    pub fn pod_changes(&mut self, now: Time, services: &[ServiceId]) {
        if now == Time::ZERO {
            return;
        }
        for (traffic, phases) in self.setup.traffic.iter().zip(&mut self.phases) {
            if traffic.legs().any(|leg| services.contains(&leg.service)) {
                phases.disrupted();
            }
        }
    }

    /// A pod accepts connections from now on.
    pub fn listen(&mut self, now: Time, pod: PodId) {
        self.server(pod).listening_since = now;
    }

    /// The process of a pod has ended: what it was working on is cut.
    pub fn cut(&mut self, now: Time, pod: PodId, cause: CauseId, plane: &mut Plane<'_, 'a>) {
        let lost = self.lose_all(now, pod, plane);
        self.gateway_ends(pod);
        for work in lost {
            if let Some(attempt) = work.attempt {
                let fault =
                    Fault { cause, seen: Seen::Before(now), ..Fault::new(FailureKind::ResetInFlight, Some(pod), now) };
                let client = self.client_of(attempt);
                if self.clients[client].traffic.connections == Connections::Udp {
                    self.silence(attempt, Fault { kind: FailureKind::RequestTimeout, ..fault });
                    continue;
                }
                self.tell_of(now, attempt, fault);
            }
        }
    }

    /// The container behind the proxy of a pod has ended: the proxy answers for it what it was working on.
    pub fn behind_front_ended(&mut self, now: Time, pod: PodId, cause: CauseId, plane: &mut Plane<'_, 'a>) {
        let Some((kind, _)) = plane.sockets.answer_of_front(pod) else { return };
        for work in self.lose_all(now, pod, plane) {
            if let Some(attempt) = work.attempt {
                let fault = Fault { cause, seen: Seen::Before(now), ..Fault::new(kind, Some(pod), now) };
                self.tell_of(now, attempt, fault);
            }
        }
    }

    /// The network of a pod has vanished: nobody hears anything of what it was working on. A request that would have timed
    /// out anyhow is not its fault.
    pub fn vanish(&mut self, now: Time, pod: PodId, cause: CauseId, plane: &mut Plane<'_, 'a>) {
        let lost = self.lose_all(now, pod, plane);
        self.gateway_ends(pod);
        for work in lost {
            if let Some(attempt) = work.attempt {
                let deadline = self.deadline_of(self.attempts[attempt].request);
                let too_slow = work.ends.is_some_and(|ends| ends > deadline);
                let fault = Fault::new(FailureKind::RequestTimeout, Some(pod), now);
                let fault =
                    if too_slow { Fault { seen: Seen::Before(now), ..fault } } else { Fault { cause, ..fault } };
                self.silence(attempt, fault);
            }
        }
    }

    /// A node through which connections pass has lost its power: nobody hears anything of what was on its way. The pods do not
    /// know, and work on.
    pub fn transit_off(&mut self, now: Time, node: NodeId, cause: CauseId) {
        let lost: Vec<usize> =
            self.connections.iter().filter(|(_, c)| c.transit == Some(node)).map(|(id, _)| id).collect();
        for id in lost {
            self.lose(now, id, cause);
        }
    }

    /// The clients on a node have died: nobody knows how their requests ended. The pods do not know, and work on.
    pub fn client_off(&mut self, node: NodeId, ledger: &mut Ledger) {
        for client in self.clients.iter_mut().filter(|client| client.node == node) {
            client.stop(&mut self.queue);
        }
        let theirs: Vec<usize> = self
            .requests
            .iter()
            .filter(|(_, open)| open.for_work.is_none() && open.request.client == node)
            .map(|(id, _)| id)
            .collect();
        for request in theirs {
            ledger.unfinished(self.requests[request].request.traffic);
            self.close(request);
        }
    }

    /// A partition has healed: TCP sends again what did not get through.
    pub fn healed(&mut self, now: Time, plane: &mut Plane<'_, 'a>) {
        for stuck in std::mem::take(&mut self.stuck) {
            let attempt = stuck.attempt();
            self.attempts[attempt].fault = None;
            match stuck {
                Stuck::Answer(_) => self.answer_on(now, attempt, plane),
                Stuck::Request(_) => {
                    let timer = self.queue.schedule(now, Happening::Arrive(attempt));
                    self.attempts[attempt].timer = Some(timer);
                }
            }
        }
    }
}
