//! One try of a request, and what the client does when it fails.

use crate::api::PodId;
use crate::engine::{Duration, Key, Time, Timer};
use crate::simulation::network::clients::{Draw, Plane, Source};
use crate::simulation::network::exchange::{Exchange, Happening, upstream};
use crate::simulation::network::ledger::{Failed, Request, Seen, Through};
use crate::simulation::observe::CauseId;
use crate::simulation::outcome::FailureKind;
use crate::simulation::setup::{Retries, RetryOn};

/// A request that has no end yet.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub request: Request,
    pub client: usize,
    pub draw: Draw,
    /// The tries that are going on: one, or none during a pause, or two if a second copy was sent.
    tries: Vec<usize>,
    /// Tries so far, as the client counts them.
    begun: u32,
    /// Pods that a proxy has asked in vain during the present try.
    pub upstream_tried: u32,
    /// Streams that a server has said it did not process.
    unprocessed: u32,
    deadline: Option<Timer>,
    /// The pause before the next try.
    pause: Option<Timer>,
    hedge: Option<Timer>,
    /// How the last try failed.
    pub last: Option<Fault>,
    /// A gateway's pod has sent it for the sake of this work of its own; `None`: a client has.
    pub for_work: Option<usize>,
}

/// One try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub request: usize,
    /// 0 for the first try of the client.
    number: u32,
    pub pod: Option<PodId>,
    pub connection: Option<usize>,
    /// The connection had carried requests before.
    pub reused: bool,
    /// What its pod makes of it.
    pub work: Option<usize>,
    /// The next step.
    pub timer: Option<Timer>,
    /// The client's patience with this try.
    patience: Option<Timer>,
    /// What is wrong with it, as soon as something is.
    pub fault: Option<Fault>,
}

/// How a try failed, or will.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub kind: FailureKind,
    pub pod: Option<PodId>,
    /// The pod of a gateway that had sent the request on.
    pub gateway: Option<PodId>,
    pub cause: CauseId,
    pub seen: Seen,
    /// The server has said that it did not process the request (HTTP/2's GOAWAY): the library sends it again by itself
    /// (RFC 9113, section 6.8; gRFC A6, transparent retries).
    pub unprocessed: bool,
}

impl Fault {
    /// One of which nothing more is known.
    pub fn new(kind: FailureKind, pod: Option<PodId>, now: Time) -> Self {
        Self { kind, pod, gateway: None, cause: CauseId::default(), seen: Seen::At(now), unprocessed: false }
    }
}

impl Open {
    /// A request for which nothing has been done.
    pub fn new(request: Request, client: usize, draw: Draw, for_work: Option<usize>) -> Self {
        Self {
            request,
            client,
            draw,
            tries: Vec::new(),
            begun: 0,
            upstream_tried: 0,
            unprocessed: 0,
            deadline: None,
            pause: None,
            hedge: None,
            last: None,
            for_work,
        }
    }

    /// The tries that are going on.
    pub fn tries(&self) -> &[usize] {
        &self.tries
    }
}

/// So often a library sends a request again by itself.
const TRANSPARENT_MAX: u32 = 5;

impl<'a> Exchange<'a> {
    /// A client sends its next request.
    pub(super) fn send(&mut self, now: Time, number: usize, plane: &mut Plane<'_, 'a>) {
        let client = &mut self.clients[number];
        let Some(draw) = client.source.as_mut().map(Source::draw) else { return };
        client.schedule_next(number, &mut self.queue);
        client.budget.earn();
        plane.ledger.sent(client.stream, 1, 0);
        let request = Request { traffic: client.stream, client: client.node, number: draw.number, sent: now };
        let hedge_after = client.traffic.retries.hedge_after;
        let id = self.requests.insert(Open::new(request, number, draw, None));
        self.requests[id].hedge = hedge_after.map(|after| self.queue.schedule(now + after, Happening::Hedge(id)));
        self.begin(now, id, plane);
    }

    /// The pause before the next try is over.
    pub(super) fn try_again(&mut self, now: Time, request: usize, plane: &mut Plane<'_, 'a>) {
        self.requests[request].pause = None;
        self.begin(now, request, plane);
    }

    /// There is no answer yet: a second copy is sent, if the budget allows it.
    pub(super) fn hedge(&mut self, now: Time, request: usize, plane: &mut Plane<'_, 'a>) {
        let open = &mut self.requests[request];
        open.hedge = None;
        if open.tries.len() == 1 && self.clients[open.client].budget.spend() {
            self.begin(now, request, plane);
        }
    }

    /// One more try, as the client counts them.
    pub(super) fn begin(&mut self, now: Time, request: usize, plane: &mut Plane<'_, 'a>) {
        let open = &mut self.requests[request];
        let number = open.begun;
        open.begun += 1;
        open.upstream_tried = 0;
        self.try_now(now, request, number, plane);
    }

    fn try_now(&mut self, now: Time, request: usize, number: u32, plane: &mut Plane<'_, 'a>) {
        let client = self.requests[request].client;
        let id = self.attempts.insert(Attempt {
            request,
            number,
            pod: None,
            connection: None,
            reused: false,
            work: None,
            timer: None,
            patience: None,
            fault: None,
        });
        self.requests[request].tries.push(id);
        if let Some(patience) = self.clients[client].traffic.retries.per_try_timeout {
            self.attempts[id].patience = Some(self.queue.schedule(now + patience, Happening::TryTimeout(id)));
        }
        self.dispatch(now, id, plane);
    }

    /// 64 uniform bits for the choice of an endpoint: those of the request, and others for each further try.
    pub(super) fn choice(&self, attempt: usize) -> u64 {
        let Attempt { request, number, .. } = self.attempts[attempt];
        let open = &self.requests[request];
        if number == 0 {
            return open.draw.choice;
        }
        let key = Key::new("retry").number(self.clients[open.client].key.bits()).number(open.draw.number);
        self.random.draw(key, u64::from(number))
    }

    pub(super) fn client_of(&self, attempt: usize) -> usize {
        self.request_of(attempt).client
    }

    pub(super) fn request_of(&self, attempt: usize) -> &Open {
        &self.requests[self.attempts[attempt].request]
    }

    /// When the client gives up.
    pub(super) fn deadline_of(&self, request: usize) -> Time {
        let open = &self.requests[request];
        open.request.sent + self.clients[open.client].traffic.timeout
    }

    /// The client may lose its patience with this request: it has to be seen when it does. (Most requests are answered long
    /// before, and need no timer.)
    pub(super) fn ensure_deadline(&mut self, request: usize) {
        if self.requests[request].deadline.is_none() {
            let at = self.deadline_of(request).max(self.queue.now());
            self.requests[request].deadline = Some(self.queue.schedule(at, Happening::Deadline(request)));
        }
    }

    /// An answer reaches the client.
    pub(super) fn answer(&mut self, now: Time, attempt: usize, plane: &mut Plane<'_, 'a>) {
        let Attempt { request, number, connection, patience, .. } = self.attempts.remove(attempt);
        if let Some(patience) = patience {
            self.queue.cancel(patience);
        }
        if let Some(connection) = connection {
            self.release(now, connection, plane);
        }
        let open = &mut self.requests[request];
        open.tries.retain(|a| *a != attempt);
        let retried = open.last.is_some() || number > 0;
        if let Some(work) = open.for_work {
            let last = open.last;
            self.close(request);
            return self.answered_behind(now, work, last, plane);
        }
        plane.ledger.ok(open.request.traffic, retried);
        self.phases[open.request.traffic as usize].note(now.since(open.request.sent));
        self.close(request);
    }

    /// The client learns that a try has failed.
    pub(super) fn fail(&mut self, now: Time, attempt: usize, plane: &mut Plane<'_, 'a>) {
        self.attempts[attempt].timer = None;
        let slow = self.slow(attempt, now);
        // A gateway has told what failed behind it: that is an answer like any other to the connection.
        if slow.gateway.is_some()
            && let Some(connection) = self.attempts[attempt].connection.take()
        {
            self.release(now, connection, plane);
        }
        self.failed(now, attempt, slow, plane);
    }

    /// The client gives a try up.
    pub(super) fn try_timeout(&mut self, now: Time, attempt: usize, plane: &mut Plane<'_, 'a>) {
        self.attempts[attempt].patience = None;
        let slow = self.slow(attempt, now);
        self.failed(now, attempt, slow, plane);
    }

    /// What is wrong with a try that has taken too long.
    fn slow(&self, attempt: usize, now: Time) -> Fault {
        let attempt = &self.attempts[attempt];
        let behind = || attempt.work.and_then(|work| self.slow_behind(work, now));
        let fault = attempt.fault.or_else(behind);
        fault.unwrap_or_else(|| Fault::new(FailureKind::RequestTimeout, attempt.pod, now))
    }

    /// What is wrong with a request that has taken too long.
    pub(super) fn slow_request(&self, request: usize, now: Time) -> Fault {
        let open = &self.requests[request];
        match (open.tries.first(), open.last) {
            (Some(attempt), _) => self.slow(*attempt, now),
            (None, Some(last)) => Fault { kind: FailureKind::RequestTimeout, ..last },
            (None, None) => Fault::new(FailureKind::RequestTimeout, None, now),
        }
    }

    /// A try has failed: another one is made, at once or after a pause, or the request has failed.
    pub(super) fn failed(&mut self, now: Time, attempt: usize, fault: Fault, plane: &mut Plane<'_, 'a>) {
        let Attempt { request, number, .. } = self.abandon(attempt);
        let deadline = self.deadline_of(request);
        let open = &mut self.requests[request];
        open.last = Some(fault);
        if fault.unprocessed && open.unprocessed < TRANSPARENT_MAX {
            open.unprocessed += 1;
            return self.try_now(now, request, number, plane);
        }
        let client = &mut self.clients[open.client];
        let traffic = client.traffic;
        // A refused connection costs a proxy no time, a silent pod its patience.
        if let Some(upstream) = upstream(traffic)
            && matches!(fault.kind, FailureKind::Refused | FailureKind::ConnectTimeout)
            && fault.pod.is_some()
            && open.upstream_tried + 1 < upstream.tries
        {
            open.upstream_tried += 1;
            return self.try_now(now, request, number, plane);
        }
        let retries = &traffic.retries;
        if open.begun < retries.attempts
            && tries_again(retries.on, Through::of(traffic).shows(fault.kind, fault.pod.is_some()))
        {
            let key = Key::new("retryPause").number(client.key.bits()).number(open.draw.number);
            let again = now + pause(retries, open.begun, self.random.unit(key, u64::from(open.begun)));
            if again < deadline && open.pause.is_none() && client.budget.spend() {
                open.pause = Some(self.queue.schedule(again, Happening::TryAgain(request)));
                return self.ensure_deadline(request);
            }
        }
        if open.tries.is_empty() && open.pause.is_none() {
            self.give_up(now, request, fault, plane);
        }
    }

    /// The client's patience with a request is over.
    pub(super) fn deadline(&mut self, now: Time, request: usize, plane: &mut Plane<'_, 'a>) {
        self.requests[request].deadline = None;
        let fault = self.slow_request(request, now);
        // Behind a proxy a client does not know how far its request has come.
        let proxied = upstream(self.clients[self.requests[request].client].traffic).is_some();
        let kind = match fault.kind {
            FailureKind::ConnectTimeout if !proxied || self.fails_before_proxy(request, fault) => {
                FailureKind::ConnectTimeout
            }
            _ => FailureKind::RequestTimeout,
        };
        self.give_up(now, request, Fault { kind, ..fault }, plane);
    }

    /// The client's own connection, to a load balancer that passes packets on, has not come to the proxy behind it.
    fn fails_before_proxy(&self, request: usize, fault: Fault) -> bool {
        let traffic = self.clients[self.requests[request].client].traffic;
        fault.pod.is_none() && traffic.balancer.as_ref().is_some_and(|balancer| !balancer.profile.is_proxy())
    }

    /// The request has failed.
    fn give_up(&mut self, now: Time, request: usize, fault: Fault, plane: &mut Plane<'_, 'a>) {
        if let Some(work) = self.requests[request].for_work {
            self.close(request);
            return self.failed_behind(now, work, fault, plane);
        }
        let Fault { kind, pod, gateway, cause, seen, .. } = fault;
        let failed =
            Failed { request: self.requests[request].request, failed_at: now, kind, pod, gateway, cause, seen };
        plane.ledger.fail(now, failed);
        self.close(request);
    }

    /// The request has its end: tries that are still going on are abandoned.
    pub(super) fn close(&mut self, request: usize) {
        while let Some(attempt) = self.requests[request].tries.last().copied() {
            self.abandon(attempt);
        }
        let open = self.requests.remove(request);
        for timer in [open.deadline, open.pause, open.hedge].into_iter().flatten() {
            self.queue.cancel(timer);
        }
    }

    /// The client does not wait for this try any more. The pod does not know, and works on.
    pub(super) fn abandon(&mut self, id: usize) -> Attempt {
        if let Some(work) = self.attempts[id].work.take() {
            self.disown(work);
        }
        self.let_go(id);
        let attempt = self.attempts.remove(id);
        for timer in [attempt.timer, attempt.patience].into_iter().flatten() {
            self.queue.cancel(timer);
        }
        self.stuck.retain(|stuck| stuck.attempt() != id);
        self.requests[attempt.request].tries.retain(|a| *a != id);
        attempt
    }
}

/// Whether a failure that a client sees so is tried again.
fn tries_again(on: RetryOn, kind: FailureKind) -> bool {
    use FailureKind::{ConnectTimeout, Http503, NoEndpoints, Refused, ResetIdle};
    let needs = match kind {
        Refused | NoEndpoints | ConnectTimeout => RetryOn::Connect,
        ResetIdle | Http503 => RetryOn::Unprocessed,
        _ => RetryOn::Any,
    };
    on >= needs
}

/// The pause before try number `number` (from 1): twice as long each time, and between half of that and the whole.
fn pause(retries: &Retries, number: u32, unit: f64) -> Duration {
    let doubled = 1u64.checked_shl(number.saturating_sub(1)).and_then(|factor| retries.backoff.checked_mul(factor));
    let whole = doubled.unwrap_or(retries.backoff_max).min(retries.backoff_max);
    Duration::from_nanos_f64(whole.as_nanos() as f64 * (0.5 + 0.5 * unit))
}
