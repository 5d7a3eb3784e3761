//! What a process does about signals and connections.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::engine::Duration;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::read::{Read, expected, record};
use crate::scenario::suggest;
use crate::scenario::tree::{Node, Value};
use crate::simulation::setup::{ConnectionClose, GoAway, IdleConnections, Reaction, Shutdown, SocketAtShutdown};

/// How long a server keeps idle connections: a span, or `none` for ever.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct KeepAliveTimeout(pub Option<Duration>);

schema_of!(KeepAliveTimeout, "KeepAliveTimeout", |g| json_schema!({
    "description": "How long the server keeps an idle connection open; `none`: for ever.",
    "anyOf": [g.subschema_for::<Duration>(), {"const": "none"}]
}));

impl Read for KeepAliveTimeout {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.as_str() {
            Some("none") => Some(Self(None)),
            _ => Duration::read(node, problems).map(|span| Self(Some(span))),
        }
    }
}

/// What a signal makes a process do: `exit`, `ignore`, `drain`, or `{drain: {…}}`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ReactionEntry(pub Reaction);

schema_of!(ReactionEntry, "Reaction", |g| json_schema!({
    "description": "What a signal makes the process do.",
    "anyOf": [
        {"enum": ["exit", "ignore", "drain"]},
        {
            "type": "object", "properties": {"drain": g.subschema_for::<DrainEntry>()},
            "required": ["drain"], "additionalProperties": false
        }
    ]
}));

record! {
    /// Winding down on a signal.
    pub struct DrainEntry is "a reaction `drain`", checked by check_drain {
        /// Goes on accepting connections for so long first; 0 if left out.
        pub linger: Option<Duration>,
        /// Finishes what is in flight for at most this long; without limit if left out.
        pub in_flight_max: Option<Duration>,
        /// Works so long after the last request before it exits; 0 if left out.
        pub work: Option<Duration>,
        /// Instead of all that: after `linger` it goes on accepting as long as any client is connected, at which it looks so
        /// often, and then ends.
        pub while_connected: Option<Duration>,
    }
}

fn check_drain(node: &Node, problems: &mut Diagnostics) -> bool {
    let Some(look) = node.entry("whileConnected") else { return true };
    let before = problems.list.len();
    if look.node.as_str().and_then(|text| text.parse().ok()) == Some(Duration::ZERO) {
        problems
            .push(Diagnostic::error("it cannot look at every instant").at(&look.node.span, "expected more than 0s"));
    }
    for other in ["inFlightMax", "work"].into_iter().filter_map(|key| node.entry(key)) {
        problems.push(
            Diagnostic::error(format!("`whileConnected` and `{}` exclude each other", other.key))
                .at(
                    &other.key_span,
                    "with `whileConnected` it waits for nothing else, and has no limit but the grace period",
                )
                .and_at(&look.key_span, "set here"),
        );
    }
    problems.list.len() == before
}

impl Read for ReactionEntry {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        const WHAT: &str = "`exit`, `ignore`, `drain` or {drain: {linger, inFlightMax, work}}";
        let drain = |entry: DrainEntry| {
            let linger = entry.linger.unwrap_or_default();
            match entry.while_connected {
                Some(every) => Reaction::Outlast { least: linger, every },
                None => {
                    let work = entry.work.unwrap_or_default();
                    Reaction::Drain { linger, in_flight_max: entry.in_flight_max, work }
                }
            }
        };
        match (&node.value, node.entry("drain")) {
            (Value::String(word), _) => match word.as_str() {
                "exit" => Some(Self(Reaction::ExitNow)),
                "ignore" => Some(Self(Reaction::Ignore)),
                "drain" => Some(Self(drain(DrainEntry {
                    linger: None,
                    in_flight_max: None,
                    work: None,
                    while_connected: None,
                }))),
                _ => expected(node, WHAT, problems),
            },
            (Value::Map(entries), Some(entry)) if entries.len() == 1 => {
                DrainEntry::read(&entry.node, problems).map(|entry| Self(drain(entry)))
            }
            _ => expected(node, WHAT, problems),
        }
    }
}

record! {
    /// How a server parts from its clients while it winds down. What is left out is as the profile says, or else as most
    /// servers do it.
    pub struct ShutdownEntry is "`shutdown`" {
        /// What becomes of the listening socket: `closes`, or `openUntilExit` where workers share it and none accepts.
        pub listener: Option<SocketAtShutdown>,
        /// What becomes of connections that are idle when the process stops to accept.
        pub idle_connections: Option<IdleConnections>,
        /// From when on responses carry `Connection: close`.
        pub connection_close: Option<ConnectionClose>,
        /// What HTTP/2 connections are told.
        pub go_away: Option<GoAway>,
    }
}

impl ShutdownEntry {
    /// Puts what it says in the place of what was known.
    pub fn change(&self, shutdown: &mut Shutdown) {
        let Self { listener, idle_connections, connection_close, go_away } = *self;
        *shutdown = Shutdown {
            listener: listener.unwrap_or(shutdown.listener),
            idle_connections: idle_connections.unwrap_or(shutdown.idle_connections),
            connection_close: connection_close.unwrap_or(shutdown.connection_close),
            go_away: go_away.unwrap_or(shutdown.go_away),
        };
    }
}

/// `a, b or c`.
fn one_of(words: &[&str]) -> String {
    match words {
        [init @ .., last] if !init.is_empty() => format!("{} or {last}", init.join(", ")),
        _ => words.concat(),
    }
}

/// A choice of words: how it is read, and its schema.
macro_rules! words {
    ($type:ident, $name:literal, $description:literal, [$($word:literal => $variant:ident),* $(,)?]) => {
        schema_of!($type, $name, |_g| json_schema!({"description": $description, "enum": [$($word),*]}));

        impl $type {
            /// As it is written in a scenario.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl Read for $type {
            fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
                const WORDS: &[&str] = &[$($word),*];
                let word = String::read(node, problems)?;
                match word.as_str() {
                    $($word => Some(Self::$variant),)*
                    _ => {
                        problems.push(
                            Diagnostic::error(format!("unknown word `{word}`"))
                                .at(&node.span, format!("expected {}", one_of(WORDS)))
                                .help(suggest::help(&word, "words", WORDS.iter().copied())),
                        );
                        None
                    }
                }
            }
        }
    };
}

words!(
    SocketAtShutdown,
    "SocketAtShutdown",
    "What becomes of the listening socket when the process stops to accept: it closes, or stays open (and unanswered) until \
     the last worker has exited.",
    ["closes" => Closes, "openUntilExit" => OpenUntilExit]
);

words!(
    IdleConnections,
    "IdleConnections",
    "What becomes of idle connections when the process stops to accept: they are closed; or closed, with \
     those that are busy served on; or served until their keep-alive \
     timeout, with the process waiting for them; or served until it exits for other reasons; or each is closed, without an \
     answer, when something comes on it.",
    ["close" => Close, "closeOnce" => CloseOnce, "serve" => Serve, "serveUntilExit" => ServeUntilExit, "closeOnUse" => CloseOnUse]
);

words!(
    ConnectionClose,
    "ConnectionClose",
    "From when on responses carry `Connection: close`: never, always, from the close of the listener, from the signal on, or from the \
     start of preStop.",
    ["never" => Never, "always" => Always, "withListener" => WithListener, "onSignal" => OnSignal, "onPreStop" => OnPreStop]
);

words!(
    GoAway,
    "GoAway",
    "What HTTP/2 connections are told: nothing; one GOAWAY that names the last stream; or two, so that nothing on its way is \
     lost.",
    ["never" => Never, "lastStream" => LastStream, "graceful" => Graceful]
);
