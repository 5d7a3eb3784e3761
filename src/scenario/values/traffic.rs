//! Where clients sit, when they send, by whom, and over which connections.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::engine::Duration;
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::read::{Read, expected, record, wrong_type};
use crate::scenario::source::Spanned;
use crate::scenario::tree::{Node, Value};
use crate::simulation::setup::Arrivals;

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

/// What clients do about connections.
#[derive(Clone, PartialEq, Debug)]
pub enum ConnectionsEntry {
    /// A new one for each request.
    New,
    /// Kept and used again.
    KeepAlive(KeepAliveEntry),
}

record! {
    /// A client's pool of idle connections.
    pub struct KeepAliveEntry is "`keepAlive`" {
        /// How many idle connections a client keeps at most.
        pub idle: u32,
        /// After how long it closes an idle one; never if left out.
        pub idle_timeout: Option<Duration>,
    }
}

schema_of!(ConnectionsEntry, "Connections", |g| json_schema!({
    "description": "`new`: one for each request. keepAlive: idle ones are used again.",
    "anyOf": [
        {"const": "new"},
        {
            "type": "object",
            "properties": {"keepAlive": {"anyOf": [{"type": "integer", "minimum": 1}, g.subschema_for::<KeepAliveEntry>()]}},
            "required": ["keepAlive"], "additionalProperties": false
        }
    ]
}));

impl Read for ConnectionsEntry {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        const WHAT: &str = "`new`, {keepAlive: 50} or {keepAlive: {idle: 50, idleTimeout: 60s}}";
        match node.entries() {
            [] if node.as_str() == Some("new") => Some(Self::New),
            [entry] if entry.key == "keepAlive" => match entry.node.value {
                Value::Map(_) => KeepAliveEntry::read(&entry.node, problems).map(Self::KeepAlive),
                _ => u32::read(&entry.node, problems)
                    .map(|idle| Self::KeepAlive(KeepAliveEntry { idle, idle_timeout: None })),
            },
            _ => expected(node, WHAT, problems),
        }
    }
}
