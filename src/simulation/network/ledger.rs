//! The ledger: every request that was sent ends in it exactly once.

use std::collections::BinaryHeap;

use crate::api::{NodeId, PodId};
use crate::engine::{Duration, Time};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::{FAILURES_KEPT, FailureKind, Requests};
use crate::simulation::setup::{Traffic, Via};

/// Which request: the `number`-th, from 0, of the client of a traffic stream on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// Index into `Setup::traffic`.
    pub traffic: u32,
    pub client: NodeId,
    pub number: u64,
    pub sent: Time,
}

/// A request that has failed, or will have by `failed_at` if its client lives until then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    pub request: Request,
    pub failed_at: Time,
    pub kind: FailureKind,
    pub pod: Option<PodId>,
    /// The pod of a gateway that had sent it on.
    pub gateway: Option<PodId>,
    pub cause: CauseId,
    /// When to look at what the pod was doing.
    pub seen: Seen,
}

/// A moment to look at a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// With all that happened at this time.
    At(Time),
    /// Without it.
    Before(Time),
}

/// All requests so far.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
    /// Failed requests by pod.
    failed_by_pod: Vec<u64>,
    /// The first failures in their order; the last of them on top.
    kept: BinaryHeap<Kept>,
    kept_max: usize,
    /// Requests without hope whose clients have not given up yet.
    waiting: Vec<Failed>,
    settle_at: usize,
}

/// The requests of one traffic stream.
#[derive(Clone, Debug, Default)]
struct Account {
    timeout: Duration,
    through: Through,
    sent: u64,
    ok: u64,
    ok_after_retry: u64,
    failed_by: [u64; FailureKind::ALL.len()],
    /// Of the failed ones, those that a gateway's pod had sent on.
    failed_behind: u64,
    unfinished: u64,
}

/// A failure in the order in which failures are kept: by the time when they were sent, then by client and number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Kept(Failed);

impl Kept {
    fn key(&self) -> (Time, u32, NodeId, u64) {
        let Request { traffic, client, number, sent } = self.0.request;
        (sent, traffic, client, number)
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ledger {
    pub fn new(traffic: &[Traffic]) -> Self {
        Self {
            accounts: traffic
                .iter()
                .map(|t| Account { timeout: t.timeout, through: Through::of(t), ..Account::default() })
                .collect(),
            failed_by_pod: Vec::new(),
            kept: BinaryHeap::new(),
            kept_max: FAILURES_KEPT,
            waiting: Vec::new(),
            settle_at: 64,
        }
    }

    /// How long the clients of a stream wait.
    pub fn timeout(&self, traffic: u32) -> Duration {
        self.accounts[traffic as usize].timeout
    }

    /// So many requests were sent, and so many of them are known to have been answered.
    pub fn sent(&mut self, traffic: u32, sent: u64, ok: u64) {
        let account = &mut self.accounts[traffic as usize];
        account.sent += sent;
        account.ok += ok;
    }

    /// So many requests were sent whose ends are counted elsewhere, but for these.
    pub fn sent_in_bulk(&mut self, traffic: u32, sent: u64, ok: u64, unfinished: u64) {
        self.sent(traffic, sent, ok);
        self.accounts[traffic as usize].unfinished += unfinished;
    }

    /// So many requests have failed, of which [some](Self::keep) may be known one by one.
    pub fn failed_in_bulk(&mut self, traffic: u32, kind: FailureKind, pod: Option<PodId>, count: u64) {
        self.accounts[traffic as usize].failed_by[kind as usize] += count;
        if let Some(pod) = pod {
            *self.of_pod(pod) += count;
        }
    }

    /// A request was answered, perhaps after another pod had failed it.
    pub fn ok(&mut self, traffic: u32, retried: bool) {
        let account = &mut self.accounts[traffic as usize];
        *(if retried { &mut account.ok_after_retry } else { &mut account.ok }) += 1;
    }

    /// A request will have no end that anybody sees.
    pub fn unfinished(&mut self, traffic: u32) {
        self.accounts[traffic as usize].unfinished += 1;
    }

    /// The time of a request at its pod is over: it was answered, or its client has given it up.
    pub fn end(&mut self, in_flight: &super::sockets::InFlight, pod: PodId) {
        if in_flight.times_out {
            self.count(Failed {
                request: in_flight.request,
                failed_at: in_flight.ends,
                kind: FailureKind::RequestTimeout,
                pod: Some(pod),
                gateway: None,
                cause: CauseId::default(),
                seen: Seen::At(in_flight.ends),
            });
        } else {
            self.ok(in_flight.request.traffic, false);
        }
    }

    /// A request has failed or is bound to. It counts as failed when its client knows; `now` is the time up to which is
    /// simulated.
    pub fn fail(&mut self, now: Time, failed: Failed) {
        if failed.failed_at <= now {
            self.count(failed);
            return;
        }
        if self.waiting.len() >= self.settle_at {
            self.settle(now);
            self.settle_at = (2 * self.waiting.len()).max(64);
        }
        self.waiting.push(failed);
    }

    /// The clients of a node have died: what they were waiting for in vain stays unfinished.
    pub fn client_off(&mut self, now: Time, node: NodeId) {
        self.settle(now);
        let accounts = &mut self.accounts;
        self.waiting.retain(|failed| {
            if failed.request.client == node {
                accounts[failed.request.traffic as usize].unfinished += 1;
            }
            failed.request.client != node
        });
    }

    /// The run is over.
    ///
    /// # Panics
    ///
    /// If a request has been lost or counted twice: an error in this program.
    pub fn finish(&mut self, end: Time) {
        self.settle(end);
        for failed in std::mem::take(&mut self.waiting) {
            self.unfinished(failed.request.traffic);
        }
        for (traffic, account) in self.accounts.iter().enumerate() {
            let failed: u64 = account.failed_by.iter().sum();
            let ended = account.ok + account.ok_after_retry + failed + account.unfinished;
            assert_eq!(account.sent, ended, "requests of traffic {traffic}: sent, against all that ended or did not");
        }
    }

    /// The requests of a traffic stream.
    pub fn requests(&self, traffic: u32) -> Requests {
        let account = &self.accounts[traffic as usize];
        Requests {
            sent: account.sent,
            ok: account.ok,
            ok_after_retry: account.ok_after_retry,
            failed_by: FailureKind::ALL.into_iter().zip(account.failed_by).filter(|(_, count)| *count > 0).collect(),
            unfinished: account.unfinished,
        }
    }

    /// How many of a traffic stream's requests failed after a gateway's pod had sent them on.
    pub fn failed_behind(&self, traffic: u32) -> u64 {
        self.accounts[traffic as usize].failed_behind
    }

    /// How many requests failed because of a pod.
    pub fn failed_by_pod(&self, pod: PodId) -> u64 {
        self.failed_by_pod.get(pod.index()).copied().unwrap_or(0)
    }

    /// The failures that were kept, in order.
    pub fn take_failures(&mut self) -> impl Iterator<Item = Failed> {
        std::mem::take(&mut self.kept).into_sorted_vec().into_iter().map(|kept| kept.0)
    }

    fn settle(&mut self, now: Time) {
        for failed in self.waiting.extract_if(.., |failed| failed.failed_at <= now).collect::<Vec<_>>() {
            self.count(failed);
        }
    }

    fn count(&mut self, failed: Failed) {
        let account = &mut self.accounts[failed.request.traffic as usize];
        account.failed_by[account.through.shows(failed.kind, failed.pod.is_some()) as usize] += 1;
        account.failed_behind += u64::from(failed.gateway.is_some());
        if let Some(pod) = failed.pod {
            *self.of_pod(pod) += 1;
        }
        self.keep(failed);
    }

    fn of_pod(&mut self, pod: PodId) -> &mut u64 {
        if self.failed_by_pod.len() <= pod.index() {
            self.failed_by_pod.resize(pod.index() + 1, 0);
        }
        &mut self.failed_by_pod[pod.index()]
    }

    /// Keeps a failure that has been counted, if it is among the first ones.
    pub fn keep(&mut self, failed: Failed) {
        let failed = Kept(failed);
        if self.kept.len() < self.kept_max {
            self.kept.push(failed);
        } else if let Some(mut last) = self.kept.peek_mut()
            && failed < *last
        {
            *last = failed;
        }
    }
}

/// Who answers the client of a stream if no pod does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Through {
    /// If a pod was asked, or there was none to ask.
    last: Answers,
    /// If the request did not come so far.
    before: Answers,
}

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Answers {
    /// Nobody: it is the client's own connection that fails.
    #[default]
    Nobody,
    /// nginx.
    Nginx,
    /// Envoy.
    Envoy,
    /// A load balancer that makes connections of its own.
    Balancer,
}

impl Through {
    pub fn of(traffic: &Traffic) -> Self {
        let is_proxy = traffic.balancer.as_ref().is_some_and(|balancer| balancer.profile.is_proxy());
        let before = if is_proxy { Answers::Balancer } else { Answers::Nobody };
        let last = match traffic.via {
            Via::IngressNginx(_) => Answers::Nginx,
            Via::Envoy(_) => Answers::Envoy,
            Via::KubeProxy | Via::Balancer => before,
        };
        Self { last, before }
    }

    /// What a client is told of a failure. It notices by itself only that its own timeout is over. `reached`: a pod was
    /// asked.
    ///
    /// Source: nginx, `ngx_http_upstream.c` ngx_http_upstream_next (errors are 502, timeouts 504); ingress-nginx,
    /// `balancer.lua` rewrite (no endpoint is 503); Envoy, response flags UF, UC and UH (all 503); AWS, "Troubleshoot your
    /// Application Load Balancers" (502: the target closed or reset the connection; 504: no connection within 10 s; 503: no
    /// registered targets).
    pub const fn shows(self, kind: FailureKind, reached: bool) -> FailureKind {
        use FailureKind::{ConnectTimeout, Http502, Http503, Http504, NoEndpoints, Refused, ResetIdle, ResetInFlight};
        let answers = match kind {
            ConnectTimeout if !reached => self.before,
            _ => self.last,
        };
        match (answers, kind) {
            (Answers::Nobody, kind) => kind,
            (Answers::Envoy, Refused | ResetInFlight | ResetIdle | NoEndpoints | ConnectTimeout) => Http503,
            (Answers::Nginx | Answers::Balancer, Refused | ResetInFlight | ResetIdle) => Http502,
            (Answers::Nginx | Answers::Balancer, NoEndpoints) => Http503,
            (Answers::Nginx | Answers::Balancer, ConnectTimeout) => Http504,
            (_, kind) => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(sent: u64, client: u32, failed_at: u64) -> Failed {
        Failed {
            request: Request { traffic: 0, client: NodeId(client), number: 0, sent: Time::from_millis(sent) },
            failed_at: Time::from_millis(failed_at),
            kind: FailureKind::ConnectTimeout,
            pod: None,
            gateway: None,
            cause: CauseId::default(),
            seen: Seen::At(Time::from_millis(sent)),
        }
    }

    fn ledger() -> Ledger {
        Ledger { accounts: vec![Account::default()], kept_max: 3, ..Ledger::new(&[]) }
    }

    #[test]
    fn the_first_failures_are_kept_in_whatever_order_they_are_found() {
        let mut orders = vec![vec![5, 1, 4, 2, 3], vec![1, 2, 3, 4, 5], vec![5, 4, 3, 2, 1]];
        for order in &mut orders {
            let mut ledger = ledger();
            ledger.sent(0, 5, 0);
            for sent in order.iter() {
                ledger.fail(Time::from_millis(sent + 1), failed(*sent, 0, sent + 1));
            }
            ledger.finish(Time::from_secs(1));
            assert_eq!(ledger.requests(0).failed(), 5);
            let kept: Vec<_> = ledger.take_failures().map(|f| f.request.sent.as_nanos() / 1_000_000).collect();
            assert_eq!(kept, [1, 2, 3]);
        }
    }

    #[test]
    fn who_still_waits_at_the_end_is_unfinished() {
        let mut ledger = ledger();
        ledger.sent(0, 4, 1);
        for (client, failed_at) in [(0, 500), (1, 500), (0, 2000)] {
            ledger.fail(Time::from_millis(1), failed(0, client, failed_at));
        }
        ledger.client_off(Time::from_millis(499), NodeId(1));
        ledger.finish(Time::from_millis(500));
        let requests = ledger.requests(0);
        assert_eq!((requests.ok, requests.failed(), requests.unfinished), (1, 1, 2));
    }

    #[test]
    #[should_panic(expected = "requests of traffic 0")]
    fn a_lost_request_is_noticed() {
        let mut ledger = ledger();
        ledger.sent(0, 1, 0);
        ledger.finish(Time::ZERO);
    }
}
