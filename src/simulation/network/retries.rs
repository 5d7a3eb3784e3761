//! Requests that come by an ingress controller: if a pod does not take a request, another one is asked.
//!
//! A refused connection costs no time. A silent pod costs `proxy-connect-timeout`; what is tried after that meets the
//! endpoints and pods of that later time.

use std::collections::BTreeMap;

use crate::engine::Time;
use crate::simulation::network::clients::{Draw, Source, Stretch};
use crate::simulation::network::ledger::{Failed, Ledger};
use crate::simulation::network::rules::Route;
use crate::simulation::network::sockets::{InFlight, Listener, Sockets};
use crate::simulation::outcome::FailureKind;
use crate::simulation::setup::IngressNginx;

/// The requests of one client that wait for their next try, in order of its time.
#[derive(Clone, Debug, Default)]
pub(super) struct Retries {
    due: BTreeMap<(Time, u64), Attempt>,
}

/// One request on its way to a pod.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    draw: Draw,
    /// Pods that have been asked in vain.
    tried: u32,
    /// The failure to report if nobody is left to ask.
    last: Option<Failed>,
}

impl Retries {
    /// When the next one is due; [`Time::MAX`] if none is.
    pub fn next(&self) -> Time {
        self.due.first_key_value().map_or(Time::MAX, |((at, _), _)| *at)
    }

    /// Sends what is due in a stretch of time, new requests only before `stop`.
    pub fn send(
        &mut self,
        source: &mut Source,
        stretch: &Stretch<'_>,
        stop: Time,
        ingress: IngressNginx,
        sockets: &mut Sockets<'_>,
        ledger: &mut Ledger,
    ) {
        loop {
            let fresh = if source.next < stop { source.next } else { Time::MAX };
            if fresh.min(self.next()) >= stretch.until {
                return;
            }
            if fresh <= self.next() {
                stretch.sent_one(ledger);
                let draw = source.draw();
                self.attempt(draw.sent, Attempt { draw, tried: 0, last: None }, stretch, ingress, sockets, ledger);
            } else if let Some(((now, _), attempt)) = self.due.pop_first() {
                self.attempt(now, attempt, stretch, ingress, sockets, ledger);
            }
        }
    }

    /// Nobody waits for these any more: the run is over, or the ingress controller is gone.
    pub fn give_up(&mut self, traffic: u32, ledger: &mut Ledger) {
        for _ in std::mem::take(&mut self.due) {
            ledger.unfinished(traffic);
        }
    }

    /// Asks pods, one after the other, until one takes the request, or it fails, or time must pass.
    fn attempt(
        &mut self,
        now: Time,
        mut attempt: Attempt,
        stretch: &Stretch<'_>,
        ingress: IngressNginx,
        sockets: &mut Sockets<'_>,
        ledger: &mut Ledger,
    ) {
        let draw = attempt.draw;
        let gives_up = draw.sent + stretch.timeout;
        loop {
            let at_now = Draw { sent: now, ..draw };
            let Route::Pods(pods) = stretch.route else {
                // The endpoints went away between two tries: nginx has nobody to ask.
                let failed = attempt.last.unwrap_or_else(|| stretch.no_connection(&draw, sockets));
                ledger.fail(stretch.to, Failed { failed_at: now, ..failed });
                return;
            };
            let pod = stretch.nth_choice(pods, draw.choice, attempt.tried);
            attempt.tried += 1;
            match sockets.end(pod).state {
                Listener::Open => {
                    let service_time = sockets.app(pod).service_time(draw.service);
                    let in_flight = InFlight {
                        request: stretch.request(&draw),
                        ends: (now + service_time).min(gives_up),
                        times_out: now + service_time > gives_up,
                        retried: attempt.tried > 1,
                        orphan: false,
                    };
                    if in_flight.ends <= stretch.to {
                        ledger.end(&in_flight, pod);
                    } else {
                        sockets.work_on(stretch.to, pod, in_flight, ledger);
                    }
                    return;
                }
                Listener::Closed => {
                    let failed = stretch.failed_by(&at_now, pod, FailureKind::Refused, now, sockets);
                    let failed = Failed { request: stretch.request(&draw), ..failed };
                    if attempt.tried >= ingress.tries {
                        ledger.fail(stretch.to, failed);
                        return;
                    }
                    attempt.last = Some(failed);
                }
                Listener::Gone => {
                    let again = now + ingress.connect_timeout;
                    let failed = |kind, at| Failed {
                        request: stretch.request(&draw),
                        ..stretch.failed_by(&at_now, pod, kind, at, sockets)
                    };
                    if again >= gives_up {
                        // The client does not wait for nginx to lose patience.
                        ledger.fail(stretch.to, failed(FailureKind::RequestTimeout, gives_up));
                    } else if attempt.tried >= ingress.tries {
                        ledger.fail(stretch.to, failed(FailureKind::ConnectTimeout, again));
                    } else {
                        attempt.last = Some(failed(FailureKind::ConnectTimeout, again));
                        self.due.insert((again, draw.number), attempt);
                    }
                    return;
                }
            }
        }
    }
}
