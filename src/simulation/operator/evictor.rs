//! Evictions as controllers ask for them: each pod on its own, again and again after a refusal, with a back-off.

use crate::api::PodId;
use crate::api::eviction::Refusal;
use crate::engine::{Duration, Time};
use crate::simulation::event::KubectlStep;
use crate::simulation::observe::What;
use crate::simulation::operator::shell::{EvictionRequest, Shell};

/// How often client-go obeys a Retry-After before its caller hears of the refusal (`k8s.io/client-go/rest/request.go`
/// maxRetries, v1.36).
const HIDDEN_RETRIES_MAX: u32 = 10;

/// How long a process waits after the n-th refusal of a pod: `first`, then twice as long each time, up to `max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackOff {
    /// After the first refusal.
    pub first: Duration,
    /// At most.
    pub max: Duration,
}

impl BackOff {
    /// The same wait each time.
    #[must_use]
    pub const fn constant(wait: Duration) -> Self {
        Self { first: wait, max: wait }
    }

    /// The wait after so many refusals, at least one.
    #[must_use]
    pub fn after(self, refusals: u32) -> Duration {
        let doublings = refusals.saturating_sub(1).min(40);
        let nanos = self.first.as_nanos().saturating_mul(1 << doublings);
        Duration::from_nanos(nanos).min(self.max)
    }
}

/// The pods that a process evicts, of all its nodes.
#[derive(Clone, Debug)]
pub struct Evictor {
    back_off: BackOff,
    attempts: Vec<Attempt>,
}

/// A pod that is to go.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The pod.
    pub pod: PodId,
    /// The process's number for its node.
    pub node: u32,
    /// `deleteOptions.gracePeriodSeconds`.
    pub grace_seconds: Option<i64>,
    /// Where it stands.
    pub state: State,
    refusals: u32,
    hidden_retries: u32,
}

/// Where an attempt stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The request is under way.
    Asked,
    /// It was refused (or held back), and will be tried again.
    BackingOff,
    /// The eviction was accepted, or the pod was gone already.
    Accepted,
    /// Nothing more is asked for.
    Over,
}

/// What an answer means to the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The pod will go, or is gone.
    Accepted,
    /// It was refused, and will be tried again after the back-off.
    Refused,
    /// Nothing yet: client-go tries again by itself.
    Pending,
}

impl Evictor {
    /// Nothing to evict yet.
    #[must_use]
    pub const fn new(back_off: BackOff) -> Self {
        Self { back_off, attempts: Vec::new() }
    }

    /// All pods, by their number.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Whether this pod is, or was, one of them.
    #[must_use]
    pub fn has(&self, pod: PodId) -> bool {
        self.attempts.iter().any(|a| a.pod == pod)
    }

    /// Adds a pod, for which nothing is asked yet: its number.
    pub fn add(&mut self, node: u32, pod: PodId, grace_seconds: Option<i64>) -> u32 {
        let state = State::BackingOff;
        self.attempts.push(Attempt { pod, node, grace_seconds, state, refusals: 0, hidden_retries: 0 });
        u32::try_from(self.attempts.len() - 1).unwrap_or(u32::MAX)
    }

    /// Sends the eviction of a pod, unless it is over.
    pub fn ask(&mut self, shell: &mut Shell<'_, '_>, slot: u32) {
        self.attempts[slot as usize].hidden_retries = 0;
        self.send(shell, slot);
    }

    /// Sends it once more for client-go ([`KubectlStep::Send`]).
    pub fn send(&mut self, shell: &mut Shell<'_, '_>, slot: u32) {
        let attempt = &mut self.attempts[slot as usize];
        if matches!(attempt.state, State::Over | State::Accepted) {
            return;
        }
        attempt.state = State::Asked;
        let (pod, grace_seconds) = (attempt.pod, attempt.grace_seconds);
        shell.ctx.note(What::EvictionRequested { pod, kubectl: shell.id });
        shell.requests.push(EvictionRequest { kubectl: shell.id, slot, pod, grace_seconds, dry_run: false });
    }

    /// The answer to an eviction. After a refusal, whatever its reason, [`KubectlStep::Evict`] comes when the back-off is
    /// over; a pod that is not there is as good as evicted.
    pub fn answered(&mut self, shell: &mut Shell<'_, '_>, slot: u32, result: Result<(), Refusal>) -> Reply {
        let attempt = &mut self.attempts[slot as usize];
        let Err(refusal) = result else {
            attempt.state = State::Accepted;
            return Reply::Accepted;
        };
        let code = refusal.code();
        shell.ctx.note(What::EvictionRefused { pod: attempt.pod, code: u32::from(code) });
        if code == 404 {
            attempt.state = State::Accepted;
            return Reply::Accepted;
        }
        if let Some(seconds) = refusal.retry_after_seconds()
            && attempt.hidden_retries < HIDDEN_RETRIES_MAX
        {
            attempt.hidden_retries += 1;
            shell.after(Duration::from_secs(seconds), KubectlStep::Send(slot));
            return Reply::Pending;
        }
        self.back_off(shell, slot);
        Reply::Refused
    }

    /// Holds a pod back: [`KubectlStep::Evict`] comes after the back-off.
    pub fn back_off(&mut self, shell: &mut Shell<'_, '_>, slot: u32) {
        let attempt = &mut self.attempts[slot as usize];
        if attempt.state == State::Over {
            return;
        }
        attempt.state = State::BackingOff;
        attempt.refusals += 1;
        shell.after(self.back_off.after(attempt.refusals), KubectlStep::Evict(slot));
    }

    /// Asks for nothing more for this pod.
    pub fn finish(&mut self, slot: u32) {
        self.attempts[slot as usize].state = State::Over;
    }

    /// The numbers of a node's pods.
    #[must_use]
    pub fn of_node(&self, node: u32) -> Vec<u32> {
        (0..).zip(&self.attempts).filter(|(_, a)| a.node == node).map(|(slot, _)| slot).collect()
    }
}

/// Whether a deadline has passed; none never does.
#[must_use]
pub fn is_over(deadline: Option<Time>, now: Time) -> bool {
    deadline.is_some_and(|at| now >= at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_offs_double_up_to_their_limit() {
        let karpenter = BackOff { first: Duration::from_millis(100), max: Duration::from_secs(10) };
        let waits: Vec<u64> = (1..=10).map(|n| karpenter.after(n).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
        assert_eq!(karpenter.after(u32::MAX), Duration::from_secs(10));
        assert_eq!(BackOff::constant(Duration::from_secs(5)).after(7), Duration::from_secs(5));
    }
}
