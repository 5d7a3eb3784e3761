//! Which requests are simulated one by one, and which are counted.

use crate::engine::Time;
use crate::simulation::setup::{Arrivals, Connections, Setup, Traffic, Via};

/// How the requests of a run are simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RequestsMode {
    /// Counted in bulk where that is exact and saves anything: streams that are [plain](Traffic::not_plain) and expect more
    /// than [`BULK_FROM`] requests. All others one by one.
    #[default]
    Auto,
    /// One by one, always.
    Individual,
    /// Counted in bulk wherever that is exact.
    Bulk,
}

/// Under [`RequestsMode::Auto`] a stream that expects as many requests in a run, or more, is counted in bulk. One by one they
/// take some 50 ms.
pub const BULK_FROM: f64 = 1e6;

impl Setup {
    /// How many requests a stream is expected to send in a run.
    #[must_use]
    pub fn expected_requests(&self, traffic: &Traffic) -> f64 {
        let end = Time::ZERO + self.duration;
        let stop = traffic.stop.map_or(end, |stop| stop.min(end));
        traffic.rate * stop.since(traffic.start).as_secs_f64()
    }

    /// Whether the requests of a stream are counted in bulk. Depends on the setup alone.
    #[must_use]
    pub fn in_bulk(&self, traffic: &Traffic) -> bool {
        match self.requests {
            RequestsMode::Individual => false,
            RequestsMode::Bulk => self.not_plain(traffic).is_none(),
            RequestsMode::Auto => self.not_plain(traffic).is_none() && self.expected_requests(traffic) >= BULK_FROM,
        }
    }

    /// Why the requests of a stream depend on each other, so that they must be simulated one by one; `None` if they do not.
    #[must_use]
    pub fn not_plain(&self, traffic: &Traffic) -> Option<&'static str> {
        match traffic {
            Traffic { arrivals: Arrivals::Constant, .. } => Some("they are evenly spaced"),
            Traffic { connections: Connections::KeepAlive { .. }, .. } => Some("they share connections"),
            Traffic { via: Via::IngressNginx(_), .. } => Some("an ingress controller retries them"),
            _ => None,
        }
    }
}
