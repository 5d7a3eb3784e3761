//! The small values of the scenario file that people write in more than one way: rates, taints, reactions, hooks, ….

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::api::meta::IntOrPercent;
use crate::api::pod::{HookStep, Signal};
use crate::api::{Taint, TaintEffect, Version};
use crate::engine::{Distribution, Duration};
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::hook_command::signal_by_name;
use crate::scenario::latency::{Bound, Bucket, Part};
use crate::scenario::profiles::Profile;
use crate::scenario::read::{MapOf, Read, expected, record, wrong_type};
use crate::scenario::source::Spanned;
use crate::scenario::suggest;
use crate::scenario::tree::{Node, Value};
use crate::simulation::latency::Latencies;
use crate::simulation::setup::ProxyMode;

/// Says how a type looks in the JSON Schema.
macro_rules! schema_of {
    ($type:ty, $name:literal, |$generator:ident| $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

mod action;
mod app;
mod path;
mod selector;
mod traffic;

pub use action::{NodeRef, Objects, PoolUpgradeProfile};
pub use app::{KeepAliveTimeout, ReactionEntry, ShutdownEntry};
pub use path::{HealthCheckEntry, HopEntry, HopProfile, PathEntry};
pub use selector::{SelectorText, selector};
pub use traffic::{ConnectionsEntry, DnsEntry, Http2Entry, ResolveEntry, RetriesEntry, Sources};

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for MapOf<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "additionalProperties": generator.subschema_for::<T>()})
    }
}

schema_of!(Duration, "Duration", |_g| json_schema!({
    "description": "A span of time as Go and Kubernetes write it: 30s, 1m30s, 500ms.",
    "type": "string",
    "pattern": "^([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h))*$|^0$",
    "examples": ["30s", "1m30s", "500ms"]
}));

schema_of!(Version, "Version", |_g| json_schema!({
    "description": "A Kubernetes minor version. Quote it, so that other YAML tools do not take 1.30 for 1.3.",
    "type": ["string", "number"],
    "examples": ["1.33"]
}));

schema_of!(Distribution, "Latency", |g| json_schema!({
    "description": "How long something takes: one span, or a distribution.",
    "anyOf": [
        g.subschema_for::<Duration>(),
        {
            "description": "Log-normal through two percentiles, p50 and p99 usually.",
            "type": "object",
            "patternProperties": {"^p[0-9.]+$": g.subschema_for::<Duration>()},
            "minProperties": 2, "maxProperties": 2, "additionalProperties": false
        },
        {
            "description": "Uniform.",
            "type": "object",
            "properties": {"min": g.subschema_for::<Duration>(), "max": g.subschema_for::<Duration>()},
            "required": ["min", "max"], "additionalProperties": false
        },
        {
            "description": "Exponential.",
            "type": "object",
            "properties": {"mean": g.subschema_for::<Duration>()},
            "required": ["mean"], "additionalProperties": false
        },
        {
            "description": "Always the same.",
            "type": "object",
            "properties": {"constant": g.subschema_for::<Duration>()},
            "required": ["constant"], "additionalProperties": false
        },
        {
            "description": "Measured: cumulative counts by upper bound, as Prometheus exports them.",
            "type": "object",
            "properties": {"histogram": {"type": "array", "items": g.subschema_for::<Bucket>()}},
            "required": ["histogram"], "additionalProperties": false
        },
        {
            "description": "One of several, by weight.",
            "type": "object",
            "properties": {"mixture": {"type": "array", "items": g.subschema_for::<Part>()}},
            "required": ["mixture"], "additionalProperties": false
        }
    ]
}));

schema_of!(Bound, "Bound", |g| json_schema!({"anyOf": [g.subschema_for::<Duration>(), {"const": "+Inf"}]}));

/// Requests per second.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate(pub f64);

schema_of!(Rate, "Rate", |_g| json_schema!({
    "description": "Requests per second, minute or hour: 200/s, 12000/min, 0.5/s.",
    "type": "string",
    "pattern": "^[0-9]+(\\.[0-9]+)?/(s|sec|m|min|h)$",
    "examples": ["200/s"]
}));

impl Read for Rate {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        const WHAT: &str = "a rate such as `200/s`, `12000/min` or `0.5/s`";
        let text = match &node.value {
            Value::String(text) => text,
            Value::Number(text) => {
                problems.push(
                    Diagnostic::error(format!("the rate `{text}` does not say per what"))
                        .at(&node.span, format!("expected {WHAT}"))
                        .help(format!("write `{text}/s` for requests per second")),
                );
                return None;
            }
            _ => return expected(node, WHAT, problems),
        };
        let rate = text.split_once('/').and_then(|(number, unit)| {
            let seconds = match unit.trim() {
                "s" | "sec" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
            let number: f64 = number.trim().parse().ok()?;
            (number.is_finite() && number >= 0.0).then_some(Self(number / seconds))
        });
        match rate {
            Some(Self(0.0)) => {
                problems.push(
                    Diagnostic::error("a rate of zero sends nothing")
                        .at(&node.span, "expected more than zero")
                        .help("leave the entry out to have no such traffic"),
                );
                None
            }
            Some(rate) => Some(rate),
            None => expected(node, WHAT, problems),
        }
    }
}

/// Whole seconds, as kubectl's flags count them: `30`, or `30s`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seconds(pub i64);

schema_of!(Seconds, "Seconds", |g| json_schema!({
    "description": "Whole seconds, as kubectl's flag takes them.",
    "anyOf": [{"type": "integer"}, g.subschema_for::<Duration>()]
}));

impl Read for Seconds {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        const WHAT: &str = "whole seconds, such as `30`";
        if let Value::Number(_) = node.value {
            return i64::read(node, problems).map(Self);
        }
        let duration = Duration::read(node, problems)?;
        match i64::try_from(duration.as_secs()) {
            Ok(seconds) if Duration::from_secs(duration.as_secs()) == duration => Some(Self(seconds)),
            _ => expected(node, WHAT, problems),
        }
    }
}

/// A Kubernetes quantity in thousandths of its unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Quantity(pub u64);

schema_of!(Quantity, "Quantity", |_g| json_schema!({
    "description": "A Kubernetes quantity: 500m, 2, 128Mi, 1G.",
    "type": ["string", "number"],
    "examples": ["4", "500m", "16Gi"]
}));

impl Read for Quantity {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let (Value::String(text) | Value::Number(text)) = &node.value else {
            return expected(node, "a quantity such as 500m, 2 or 128Mi", problems);
        };
        match crate::api::quantity::parse_millis(text) {
            Ok(millis) => Some(Self(millis)),
            Err(error) => {
                let message = error.to_string();
                let (head, tail) = message.split_once("; ").unwrap_or((&message, ""));
                problems.push(Diagnostic::error(head).at(&node.span, tail));
                None
            }
        }
    }
}

schema_of!(Signal, "Signal", |_g| json_schema!({
    "description": "A signal that ends a process in some way.",
    "enum": ["SIGTERM", "SIGQUIT", "SIGINT", "SIGUSR1", "SIGWINCH", "SIGHUP", "SIGKILL"]
}));

impl Read for Signal {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        const NAMES: [&str; 7] = ["SIGTERM", "SIGQUIT", "SIGINT", "SIGUSR1", "SIGWINCH", "SIGHUP", "SIGKILL"];
        let name = String::read(node, problems)?;
        let signal = signal_by_name(&name).filter(|_| name.starts_with(|c: char| c.is_ascii_uppercase()));
        if signal.is_none() {
            problems.push(
                Diagnostic::error(format!("unknown signal `{name}`"))
                    .at(&node.span, "expected the name of a signal")
                    .help(suggest::help(&name, "signals", NAMES)),
            );
        }
        signal
    }
}

/// A taint, as an object or as kubectl writes it: `dedicated=db:NoSchedule`.
#[derive(Clone, PartialEq, Debug)]
pub struct TaintEntry(pub Taint);

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

schema_of!(TaintEntry, "Taint", |_g| json_schema!({
    "description": "A taint, as an object or as kubectl taint writes it: key=value:Effect.",
    "anyOf": [
        {"type": "string", "pattern": "^[^=:]+(=[^:]*)?:(NoSchedule|PreferNoSchedule|NoExecute)$"},
        {
            "type": "object",
            "properties": {"key": {"type": "string"}, "value": {"type": "string"}, "effect": {"enum": EFFECTS}},
            "required": ["key", "effect"], "additionalProperties": false
        }
    ]
}));

record! {
    /// A taint as the API has it.
    pub struct TaintObject is "a taint" {
        /// `key`.
        pub key: String,
        /// `value`.
        pub value: Option<String>,
        /// `effect`.
        pub effect: TaintEffect,
    }
}

schema_of!(TaintEffect, "TaintEffect", |_g| json_schema!({"enum": EFFECTS}));

fn effect_by_name(name: &str) -> Option<TaintEffect> {
    Some(match name {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        _ => return None,
    })
}

impl Read for TaintEffect {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let name = String::read(node, problems)?;
        let effect = effect_by_name(&name);
        if effect.is_none() {
            problems.push(
                Diagnostic::error(format!("unknown taint effect `{name}`"))
                    .at(&node.span, "")
                    .help(suggest::help(&name, "effects", EFFECTS)),
            );
        }
        effect
    }
}

impl Read for TaintEntry {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let Value::String(text) = &node.value else {
            let TaintObject { key, value, effect } = Read::read(node, problems)?;
            return Some(Self(Taint { key, value: value.unwrap_or_default(), effect }));
        };
        let taint = text.rsplit_once(':').and_then(|(key_value, effect)| {
            let (key, value) = key_value.split_once('=').unwrap_or((key_value, ""));
            let effect = effect_by_name(effect).filter(|_| !key.is_empty())?;
            Some(Self(Taint { key: key.into(), value: value.into(), effect }))
        });
        if taint.is_none() {
            problems.push(
                wrong_type(node, "a taint such as `dedicated=db:NoSchedule`")
                    .note(format!("the effects are {}", EFFECTS.join(", "))),
            );
        }
        taint
    }
}

/// What a hook does whose command does not tell: a span, or steps.
#[derive(Clone, PartialEq, Debug)]
pub struct HookSteps(pub Vec<HookStep>);

schema_of!(HookSteps, "HookSteps", |g| json_schema!({
    "description": "What a preStop hook does: a span that it takes, or its steps in order.",
    "anyOf": [
        g.subschema_for::<Duration>(),
        {"type": "array", "items": {"anyOf": [
            {"const": "untilExit"},
            {
                "type": "object",
                "properties": {"wait": g.subschema_for::<Duration>(), "signal": g.subschema_for::<Signal>()},
                "minProperties": 1, "maxProperties": 1, "additionalProperties": false
            }
        ]}}
    ]
}));

impl Read for HookSteps {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match &node.value {
            Value::List(items) => {
                let steps: Vec<_> = items.iter().map(|item| read_step(item, problems)).collect();
                steps.into_iter().collect::<Option<_>>().map(Self)
            }
            _ => Duration::read(node, problems).map(|span| Self(vec![HookStep::Wait(span)])),
        }
    }
}

fn read_step(node: &Node, problems: &mut Diagnostics) -> Option<HookStep> {
    if node.as_str() == Some("untilExit") {
        return Some(HookStep::UntilExit);
    }
    match node.entries() {
        [entry] if entry.key == "wait" => Duration::read(&entry.node, problems).map(HookStep::Wait),
        [entry] if entry.key == "signal" => Signal::read(&entry.node, problems).map(HookStep::Signal),
        _ => expected(node, "a step of a hook: {wait: 5s}, {signal: SIGQUIT} or `untilExit`", problems),
    }
}

schema_of!(IntOrPercent, "IntOrPercent", |_g| json_schema!({
    "description": "A number, or a percentage.",
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+%$"}]
}));

/// The name of a profile, for the schema's list of them.
#[derive(Clone, PartialEq, Debug)]
pub struct ProfileName(pub String);

schema_of!(ProfileName, "Profile", |_g| {
    let names: Vec<_> = Profile::all().map(|p| p.name).collect();
    json_schema!({"description": "A named way to start, serve and take signals.", "enum": names})
});

impl Read for ProfileName {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let name = String::read(node, problems)?;
        let names = Profile::all().map(|p| p.name);
        if !names.clone().any(|n| n == name) {
            problems.push(
                Diagnostic::error(format!("unknown profile `{name}`"))
                    .at(&node.span, "")
                    .help(suggest::help(&name, "profiles", names)),
            );
            return None;
        }
        Some(Self(name))
    }
}

schema_of!(ProxyMode, "ProxyMode", |_g| json_schema!({
    "description": "What the rules of Services are made of: a mode of kube-proxy, or `ebpf`, which is Cilium without \
                    kube-proxy.",
    "enum": ProxyMode::ALL.map(|(name, _)| name)
}));

impl Read for ProxyMode {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let name = String::read(node, problems)?;
        let known = Self::ALL.iter().find(|(own, _)| *own == name);
        if known.is_none() {
            problems.push(
                Diagnostic::error(format!("unknown mode of kube-proxy `{name}`"))
                    .at(&node.span, "")
                    .help(suggest::help(&name, "modes", Self::ALL.iter().map(|(own, _)| *own))),
            );
        }
        known.map(|(_, mode)| *mode)
    }
}

/// A set of latencies that goes together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LatencyProfile {
    /// A healthy cluster of some size: the defaults of the model.
    Default,
    /// An idle control plane on one machine: [`Latencies::idle_lab`].
    IdleLab,
    /// Thousands of nodes with kube-proxy on iptables: [`Latencies::large_cluster`].
    LargeCluster,
}

impl LatencyProfile {
    const ALL: [(&'static str, Self); 3] =
        [("default", Self::Default), ("idle-lab", Self::IdleLab), ("large-cluster", Self::LargeCluster)];

    /// The latencies.
    #[must_use]
    pub fn latencies(self) -> Latencies {
        match self {
            Self::Default => Latencies::default(),
            Self::IdleLab => Latencies::idle_lab(),
            Self::LargeCluster => Latencies::large_cluster(),
        }
    }
}

schema_of!(LatencyProfile, "LatencyProfile", |_g| json_schema!({
    "description": "Latencies that go together: `default`, a healthy cluster of some size; `idle-lab`, an idle control \
                    plane on one machine, images pulled; `large-cluster`, as `default` with the kube-proxies of 5,000 nodes.",
    "enum": LatencyProfile::ALL.map(|(name, _)| name)
}));

impl Read for LatencyProfile {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let name = String::read(node, problems)?;
        let known = Self::ALL.iter().find(|(own, _)| *own == name);
        if known.is_none() {
            problems.push(
                Diagnostic::error(format!("unknown latency profile `{name}`")).at(&node.span, "").help(suggest::help(
                    &name,
                    "latency profiles",
                    Self::ALL.iter().map(|(own, _)| *own),
                )),
            );
        }
        known.map(|(_, profile)| *profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::source::SourceFile;
    use crate::scenario::tree::parse;
    use crate::simulation::setup::Reaction;

    fn read<T: Read>(text: &str) -> Option<T> {
        let node = parse(&SourceFile::new("t", text, 0), 0).unwrap().remove(0);
        let mut problems = Diagnostics::default();
        let value = T::read(&node, &mut problems);
        assert_eq!(value.is_none(), problems.has_errors(), "{text}: told if and only if it cannot be read");
        value
    }

    #[test]
    fn rates_say_per_what() {
        for (text, expected) in
            [("200/s", 200.0), ("12000/min", 200.0), ("0.5/s", 0.5), ("3600/h", 1.0), ("6 / m", 0.1)]
        {
            assert_eq!(read::<Rate>(text), Some(Rate(expected)), "{text}");
        }
        for text in ["200", "0/s", "-1/s", "200/x", "200 rps", "nan/s", "inf/s"] {
            assert_eq!(read::<Rate>(text), None, "{text}");
        }
    }

    #[test]
    fn the_short_forms_are_read() {
        assert_eq!(read::<Seconds>("30s"), Some(Seconds(30)));
        assert_eq!(read::<Seconds>("-1"), Some(Seconds(-1)));
        assert_eq!(read::<Seconds>("500ms"), None);
        assert_eq!(read::<HookSteps>("5s"), Some(HookSteps(vec![HookStep::Wait(Duration::from_secs(5))])));
        assert_eq!(
            read::<HookSteps>("[{wait: 1s}, {signal: SIGQUIT}, untilExit]").unwrap().0,
            [HookStep::Wait(Duration::from_secs(1)), HookStep::Signal(Signal::Quit), HookStep::UntilExit]
        );
        assert_eq!(
            read::<TaintEntry>("dedicated=db:NoSchedule"),
            read::<TaintEntry>("{key: dedicated, value: db, effect: NoSchedule}")
        );
        assert_eq!(read::<TaintEntry>("dedicated=db:Never"), None);
        assert_eq!(read::<KeepAliveTimeout>("none"), Some(KeepAliveTimeout(None)));
        assert_eq!(read::<ReactionEntry>("exit"), Some(ReactionEntry(Reaction::ExitNow)));
        assert_eq!(
            read::<ReactionEntry>("{drain: {linger: 5s}}").map(|r| matches!(r.0, Reaction::Drain { .. })),
            Some(true)
        );
        assert_eq!(read::<ConnectionsEntry>("{keepAlive: 5}"), read::<ConnectionsEntry>("{keepAlive: {idle: 5}}"));
        assert_eq!(read::<Signal>("TERM"), Some(Signal::Term));
        assert_eq!(read::<Signal>("SIGTREM"), None);
    }
}
