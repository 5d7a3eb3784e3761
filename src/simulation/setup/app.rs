//! The process in a container: how it starts, serves, takes signals and parts from its clients.

use std::collections::BTreeMap;

use crate::api::ServiceId;
use crate::api::pod::Signal;
use crate::engine::{Distribution, Duration, Time};

/// How the process in a container starts, serves and ends.
#[derive(Clone, PartialEq, Debug)]
pub struct App {
    /// The name of the profile, for reports.
    pub profile: String,
    /// From the start of the process to its listening socket.
    pub startup: Distribution,
    /// How long a request is worked on.
    pub service_time: Distribution,
    /// From a signal's arrival to what the process does about it.
    pub reaction: Distribution,
    /// The signal that the runtime sends to stop the container: `lifecycle.stopSignal`, else the image's STOPSIGNAL,
    /// else SIGTERM.
    pub stop_signal: Signal,
    /// What each signal makes it do. A signal that is not here has no handler, and PID 1 then ignores it
    /// (pid_namespaces(7)).
    pub reactions: BTreeMap<Signal, Reaction>,
    /// How long the server keeps an idle connection open; `None`: for ever.
    pub keep_alive_timeout: Option<Duration>,
    /// How it parts from its clients when it winds down.
    pub shutdown: Shutdown,
    /// How much it can do at a time.
    pub capacity: Capacity,
    /// What the process does without being asked.
    pub life: Life,
    /// It is the front of its pod ([`PodTemplate::front`](crate::api::PodTemplate::front)), and answers so for the container
    /// behind it if that takes no request.
    pub nobody_behind: Option<NobodyBehind>,
}

/// What a proxy answers for an application that refuses its connection, or ends with the request unanswered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NobodyBehind {
    /// Bad gateway.
    Http502,
    /// Service unavailable.
    Http503,
}

impl App {
    /// One that takes no time for anything, has no handler for any signal, keeps idle connections for ever, has no limits and
    /// ends only when it is ended: what a test or a profile starts from.
    #[must_use]
    pub fn plain(profile: &str) -> Self {
        Self {
            profile: profile.to_string(),
            startup: Distribution::constant(Duration::ZERO),
            service_time: Distribution::constant(Duration::ZERO),
            reaction: Distribution::constant(Duration::ZERO),
            stop_signal: Signal::Term,
            reactions: BTreeMap::new(),
            keep_alive_timeout: None,
            shutdown: Shutdown::default(),
            capacity: Capacity::default(),
            life: Life::default(),
            nobody_behind: None,
        }
    }
}

/// How much a process can do at a time. By default there is no limit: a request takes its service time, whatever else goes
/// on.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Capacity {
    /// It works on so many requests at a time (threads, workers); others wait in order of arrival. `None`: on all.
    pub concurrency: Option<u32>,
    /// So many may wait; one more is answered with 503 at once. `None`: any number.
    pub queue: Option<u32>,
    /// After it has begun to listen it is slow for a while.
    pub warm_up: Option<WarmUp>,
}

/// A process that has just begun to listen: caches are empty, code is not compiled yet.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WarmUp {
    /// So long after it has begun to listen it is as fast as ever.
    pub span: Duration,
    /// Service times are so many times as long at first, and fall evenly from there; 1 or more.
    pub factor: f64,
}

/// What a process does without being asked: wait for others, end, crash, hang. By default, nothing of all that.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Life {
    /// It asks for this before it does anything else.
    pub waits_for: Option<WaitsFor>,
    /// It exits by itself so long after its start (or after what it waits for has come).
    pub exits_after: Option<Duration>,
    /// With this exit code; also when it crashes.
    pub exit_code: u32,
    /// It crashes at this time, if it runs then.
    pub crashes_at: Option<Time>,
    /// If it runs at this time, it hangs from then on: connections are accepted and nothing is answered, neither to
    /// clients nor to probes; no signal but SIGKILL has an effect.
    pub hangs_at: Option<Time>,
}

/// `until nc -z SERVICE PORT; do sleep 2; done`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitsFor {
    /// The Service that must accept a connection.
    pub service: ServiceId,
    /// The pause between attempts.
    pub every: Duration,
}

/// What a process does on a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// Nothing.
    Ignore,
    /// Ends at once: whatever is in flight is cut, idle connections are closed.
    ExitNow,
    /// Winds down, then exits.
    Drain {
        /// Goes on accepting connections for so long first.
        linger: Duration,
        /// Then parts from its clients as [`App::shutdown`] says and finishes what is in flight, for at most this long
        /// (`None`: as long as it takes); what is left is cut.
        in_flight_max: Option<Duration>,
        /// Works so long after the last request before it exits (flushing, closing pools).
        work: Duration,
    },
    /// Goes on accepting until nobody is connected, then ends at once.
    Outlast {
        /// So long in any case.
        least: Duration,
        /// From there it looks so often; the first time after one such pause.
        every: Duration,
    },
}

/// How a server parts from its clients when it winds down ([`Reaction::Drain`]). By default as most do: the listener and
/// idle connections are closed, the last response on each other connection says `Connection: close`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shutdown {
    /// What becomes of the listening socket.
    pub listener: SocketAtShutdown,
    /// What becomes of connections that are idle when it stops to accept.
    pub idle_connections: IdleConnections,
    /// From when on responses carry `Connection: close`.
    pub connection_close: ConnectionClose,
    /// What an HTTP/2 connection is told, at the time when responses begin to carry `Connection: close` (or, if they never
    /// do, when the process stops to accept).
    pub go_away: GoAway,
}

/// What becomes of the listening socket when the process stops to accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SocketAtShutdown {
    /// It is closed: new connections are refused.
    #[default]
    Closes,
    /// Workers share it, none accepts any more, and it stays open until the last of them has exited: the kernel completes
    /// new connections, nobody answers them, and they are reset with the exit.
    OpenUntilExit,
}

/// What becomes of connections that are idle when the process stops to accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IdleConnections {
    /// They are closed at once, and each other connection after the response that is being worked on.
    #[default]
    Close,
    /// They are closed at once. Those that are busy then are served on afterwards as in [`Serve`](Self::Serve).
    CloseOnce,
    /// They are served on: each until its keep-alive timeout, a response that says `Connection: close`, or the exit. The
    /// process waits for them as for requests.
    Serve,
    /// As [`Serve`](Self::Serve), but the process does not wait for them: it exits when no request is in flight.
    ServeUntilExit,
    /// They stay open until the exit, or until something comes on one: it is then closed, and what came is not answered. Those
    /// that are busy at that moment are closed behind the answer.
    CloseOnUse,
}

impl IdleConnections {
    /// Whether what comes on a kept connection is worked on although the process winds down.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Self::CloseOnce | Self::Serve | Self::ServeUntilExit)
    }
}

/// From when on responses carry `Connection: close`. The server closes a connection after such a response, and the client,
/// which has read it, does not use the connection again: no race between the two is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ConnectionClose {
    /// They do not. A connection that the server closes after its last response may be used by the client in the half round
    /// trip before it learns of that.
    Never,
    /// All do: the server keeps no connections.
    Always,
    /// From the moment on at which the process stops to accept.
    #[default]
    WithListener,
    /// From the moment on at which it acts on the signal, also while it lingers.
    OnSignal,
    /// From the start of the preStop hook, which tells the process; without a hook as [`OnSignal`](Self::OnSignal).
    OnPreStop,
}

/// What an HTTP/2 connection is told.
///
/// Source: RFC 9113, section 6.8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GoAway {
    /// Nothing; it is closed like any other.
    Never,
    /// One GOAWAY that names the last stream seen. Requests that are on their way are not worked on: the client may send
    /// them again elsewhere, and many libraries do. What is in flight is finished.
    #[default]
    LastStream,
    /// First a GOAWAY that names no stream, and a round trip later the one that names the last: nothing that is on its way is
    /// lost. What is in flight is finished.
    Graceful,
}
