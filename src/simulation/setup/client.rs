//! What clients do: about connections, about names, about failures.

use crate::engine::Duration;

/// What a client does about connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connections {
    /// A new one for each request.
    New,
    /// HTTP/1.1: idle ones are used again, the most recent first.
    KeepAlive {
        /// At most so many are kept idle per client; more are closed when their request is done.
        idle_max: u32,
        /// An idle connection is closed by the client after this time; `None`: never.
        idle_timeout: Option<Duration>,
        /// One that has carried so many requests is closed; `None`: it carries any number.
        requests_max: Option<u32>,
        /// One that is so old is closed after its request; `None`: whatever its age.
        age_max: Option<Duration>,
    },
    /// HTTP/2: all requests at the same time share a few connections.
    Http2 {
        /// So many per client, used in turn.
        connections: u32,
        /// One that is so old is not used any more: the client's limit, or the server's, who says GOAWAY
        /// (gRPC's MAX_CONNECTION_AGE). `None`: whatever its age.
        age_max: Option<Duration>,
        /// It behaves as gRPC does: while no connection can be made, requests fail at once, and the next connection is tried
        /// after a backoff of 1 s, 1.6 s, 2.56 s, … up to 120 s, each 20 % more or less.
        ///
        /// Source: grpc/grpc `doc/connection-backoff.md`.
        grpc: bool,
    },
    /// None: UDP. Request and answer are a datagram each. All of a client's come from one socket, unless
    /// [`Origin::ports`] says otherwise.
    Udp,
}

/// Where the connections of a client come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// So many source addresses, used in turn: clients behind a client. Session affinity goes by them.
    pub addresses: u32,
    /// So many source ports to one destination, used in turn. `None`: no port is ever used again.
    pub ports: Option<u32>,
}

impl Default for Origin {
    fn default() -> Self {
        Self { addresses: 1, ports: None }
    }
}

/// How a client finds the pods of a Service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Resolve {
    /// By the Service's address: whoever forwards the connection chooses.
    #[default]
    Address,
    /// By DNS, as the Service is headless: the client chooses one of the addresses that it knows.
    Dns {
        /// How long an answer holds: `ttl` of CoreDNS' plugins `kubernetes` and `cache`.
        ttl: Duration,
        /// How long the client keeps it.
        cache: ClientCache,
    },
}

/// How long a client keeps the answer of a name server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientCache {
    /// As long as the answer says.
    Ttl,
    /// So long, whatever the answer says.
    For(Duration),
    /// To its end.
    Forever,
}

/// What a client does about a request that fails.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Retries {
    /// So many tries at most, the first one included.
    pub attempts: u32,
    /// After which failures.
    pub on: RetryOn,
    /// The first pause is between half of this and the whole; each further one is twice as long.
    pub backoff: Duration,
    /// But no longer than this.
    pub backoff_max: Duration,
    /// Retries per request in the long run; up to 10 may be saved up. `None`: any number.
    pub budget: Option<f64>,
    /// A try without an answer after this time has failed; `None`: it has all the time of the request.
    pub per_try_timeout: Option<Duration>,
    /// A second copy of the request is sent if there is no answer by this time; the first answer counts.
    pub hedge_after: Option<Duration>,
}

impl Default for Retries {
    /// None.
    fn default() -> Self {
        Self {
            attempts: 1,
            on: RetryOn::Connect,
            backoff: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
            budget: None,
            per_try_timeout: None,
            hedge_after: None,
        }
    }
}

/// Which failures a client tries again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RetryOn {
    /// The request was never sent: no connection could be made.
    Connect,
    /// The request was not processed, as far as anybody can know: also a reset of a connection that had been idle, and 503
    /// (RFC 9110, section 9.2.2).
    Unprocessed,
    /// Any failure: the request is idempotent.
    Any,
}
