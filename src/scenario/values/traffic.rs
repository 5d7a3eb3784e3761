//! Where clients sit, when they send, by whom, and over which connections.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::engine::Duration;
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::read::{Read, expected, record, wrong_type};
use crate::scenario::source::Spanned;
use crate::scenario::tree::{Node, Value};
use crate::simulation::setup::{Arrivals, ClientCache, RequestsMode, RetryOn};

/// Where clients sit: `nodes` (all that are there at the start), or names.
#[derive(Clone, PartialEq, Debug)]
pub enum Sources {
    /// All nodes that are there at the start.
    Nodes,
    /// These nodes.
    Named(Vec<Spanned<String>>),
}

schema_of!(Sources, "Sources", |_g| json_schema!({
    "description": "Where the clients sit, one on each: `nodes` for every node that is there at the start, or names.",
    "anyOf": [{"const": "nodes"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}));

impl Read for Sources {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        const WHAT: &str = "`nodes`, or a list of nodes";
        match &node.value {
            Value::String(word) if word == "nodes" => Some(Self::Nodes),
            Value::String(word) => {
                problems.push(wrong_type(node, WHAT).help(format!("for one node, write a list: [{word}]")));
                None
            }
            Value::List(items) if items.is_empty() => expected(node, "at least one node", problems),
            _ => Vec::read(node, problems).map(Self::Named),
        }
    }
}

schema_of!(Arrivals, "Arrivals", |_g| json_schema!({
    "description": "Independent arrivals, or evenly spaced ones.",
    "enum": ["poisson", "constant"]
}));

impl Read for Arrivals {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.as_str() {
            Some("poisson") => Some(Self::Poisson),
            Some("constant") => Some(Self::Constant),
            _ => expected(node, "`poisson` or `constant`", problems),
        }
    }
}

schema_of!(RequestsMode, "RequestsMode", |_g| json_schema!({
    "description": "`individual`: one by one. `bulk`: counted, where nothing can happen to single ones. `auto`: counted where \
                    that is exact and there are many.",
    "enum": ["auto", "individual", "bulk"]
}));

impl Read for RequestsMode {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.as_str() {
            Some("auto") => Some(Self::Auto),
            Some("individual") => Some(Self::Individual),
            Some("bulk") => Some(Self::Bulk),
            _ => expected(node, "`auto`, `individual` or `bulk`", problems),
        }
    }
}

/// What clients do about connections.
#[derive(Clone, PartialEq, Debug)]
pub enum ConnectionsEntry {
    /// A new one for each request.
    New,
    /// Kept and used again.
    KeepAlive(KeepAliveEntry),
    /// Shared by requests.
    Http2(Http2Entry),
    /// Shared by requests, as gRPC does it.
    Grpc(Http2Entry),
    /// None: datagrams.
    Udp,
}

record! {
    /// A client's pool of idle connections.
    pub struct KeepAliveEntry is "`keepAlive`" {
        /// How many idle connections a client keeps at most.
        pub idle: u32,
        /// After how long it closes an idle one; never if left out.
        pub idle_timeout: Option<Duration>,
        /// After how many requests it closes one; never if left out.
        pub max_requests: Option<Spanned<u32>>,
        /// One that is so old is closed after its request; never if left out.
        pub max_age: Option<Duration>,
    }
}

record! {
    /// A client's shared connections.
    pub struct Http2Entry is "`http2` or `grpc`" {
        /// How many a client has; 1 if left out.
        pub connections: Option<Spanned<u32>>,
        /// One that is so old is not used any more (by the client's rule, or because the server says GOAWAY); however old
        /// if left out.
        pub max_age: Option<Duration>,
    }
}

const CONNECTIONS: &str = "`new`, `http2`, `grpc`, `udp`, {keepAlive: 50}, {keepAlive: {idle: 50, idleTimeout: 60s}} or {http2: {connections: 2}}";

schema_of!(ConnectionsEntry, "Connections", |g| json_schema!({
    "description": "`new`: one for each request. keepAlive: idle ones are used again. http2, grpc: requests share them. \
                    udp: none, a request is a datagram.",
    "anyOf": [
        {"enum": ["new", "http2", "grpc", "udp"]},
        {
            "type": "object",
            "properties": {"keepAlive": {"anyOf": [{"type": "integer", "minimum": 1}, g.subschema_for::<KeepAliveEntry>()]}},
            "required": ["keepAlive"], "additionalProperties": false
        },
        {
            "type": "object",
            "properties": {"http2": g.subschema_for::<Http2Entry>()},
            "required": ["http2"], "additionalProperties": false
        },
        {
            "type": "object",
            "properties": {"grpc": g.subschema_for::<Http2Entry>()},
            "required": ["grpc"], "additionalProperties": false
        }
    ]
}));

impl Read for ConnectionsEntry {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let shared = || Http2Entry { connections: None, max_age: None };
        match (node.entries(), node.as_str()) {
            ([], Some("new")) => Some(Self::New),
            ([], Some("http2")) => Some(Self::Http2(shared())),
            ([], Some("grpc")) => Some(Self::Grpc(shared())),
            ([], Some("udp")) => Some(Self::Udp),
            ([entry], _) if entry.key == "keepAlive" => match entry.node.value {
                Value::Map(_) => KeepAliveEntry::read(&entry.node, problems).map(Self::KeepAlive),
                _ => u32::read(&entry.node, problems).map(|idle| {
                    Self::KeepAlive(KeepAliveEntry { idle, idle_timeout: None, max_requests: None, max_age: None })
                }),
            },
            ([entry], _) if entry.key == "http2" => Http2Entry::read(&entry.node, problems).map(Self::Http2),
            ([entry], _) if entry.key == "grpc" => Http2Entry::read(&entry.node, problems).map(Self::Grpc),
            _ => expected(node, CONNECTIONS, problems),
        }
    }
}

/// How clients find the pods.
#[derive(Clone, PartialEq, Debug)]
pub enum ResolveEntry {
    /// By the Service's address.
    Address,
    /// By its DNS name, which has the addresses of all pods.
    Dns(DnsEntry),
}

record! {
    /// Clients that ask a name server.
    pub struct DnsEntry is "`dns`" {
        /// How long an answer holds; 30s if left out, as kubeadm sets it.
        pub ttl: Option<Duration>,
        /// How long clients keep it: `ttl` (as long as it holds), `forever`, or a span; `ttl` if left out.
        pub cache: Option<ClientCache>,
    }
}

schema_of!(ResolveEntry, "Resolve", |g| json_schema!({
    "description": "`address`: clients speak to the Service's address. `dns`: to the address of a pod that the name gives them.",
    "anyOf": [
        {"enum": ["address", "dns"]},
        {
            "type": "object",
            "properties": {"dns": g.subschema_for::<DnsEntry>()},
            "required": ["dns"], "additionalProperties": false
        }
    ]
}));

impl Read for ResolveEntry {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match (node.entries(), node.as_str()) {
            ([], Some("address")) => Some(Self::Address),
            ([], Some("dns")) => Some(Self::Dns(DnsEntry { ttl: None, cache: None })),
            ([entry], _) if entry.key == "dns" => DnsEntry::read(&entry.node, problems).map(Self::Dns),
            _ => expected(node, "`address`, `dns` or {dns: {ttl: 30s, cache: forever}}", problems),
        }
    }
}

schema_of!(ClientCache, "ClientCache", |g| json_schema!({
    "description": "How long a client keeps an answer: as long as it holds, for ever, or for a span.",
    "anyOf": [{"enum": ["ttl", "forever"]}, g.subschema_for::<Duration>()]
}));

impl Read for ClientCache {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.as_str() {
            Some("ttl") => Some(Self::Ttl),
            Some("forever") => Some(Self::Forever),
            Some(text) => match text.parse() {
                Ok(span) => Some(Self::For(span)),
                Err(_) => expected(node, "`ttl`, `forever` or a span such as 30s", problems),
            },
            None => expected(node, "`ttl`, `forever` or a span such as 30s", problems),
        }
    }
}

record! {
    /// What clients do about requests that fail.
    pub struct RetriesEntry is "`retries`" {
        /// So many tries at most, the first one included.
        pub attempts: Spanned<u32>,
        /// After which failures: `connect` (no connection could be made), `unprocessed` (nor was it processed, as far as
        /// anybody can know), or `any` (the request is idempotent); `connect` if left out.
        pub on: Option<RetryOn>,
        /// The first pause is at most this long and at least half of it; each further one is twice as long; 25ms if left out.
        pub backoff: Option<Duration>,
        /// No pause is longer; ten times `backoff` if left out.
        pub max_backoff: Option<Duration>,
        /// Retries per request in the long run, such as 0.2; any number if left out.
        pub budget: Option<Spanned<f64>>,
        /// A try without answer after this time has failed; it has all the time of the request if left out.
        pub per_try_timeout: Option<Spanned<Duration>>,
    }
}

schema_of!(RetryOn, "RetryOn", |_g| json_schema!({
    "description": "Which failures are tried again.",
    "enum": ["connect", "unprocessed", "any"]
}));

impl Read for RetryOn {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.as_str() {
            Some("connect") => Some(Self::Connect),
            Some("unprocessed") => Some(Self::Unprocessed),
            Some("any") => Some(Self::Any),
            _ => expected(node, "`connect`, `unprocessed` or `any`", problems),
        }
    }
}
