//! An entry of `expect`, as it is written: a line, or a line and a time.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::engine::Duration;
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::expectation::{Collection, Metric, ValueKind, metrics};
use crate::scenario::read::{Read, expected, record};
use crate::scenario::source::Spanned;
use crate::scenario::tree::{Node, Value};

/// One expectation.
#[derive(Clone, PartialEq, Debug)]
pub enum ExpectEntry {
    /// A line: `failedRequests == 0`.
    Line(Spanned<String>),
    /// A state at a time: `{at: 45s, that: deployments.web.readyPods >= 2}`.
    At(ExpectAt),
}

record! {
    /// A state at a time.
    pub struct ExpectAt is "an entry of `expect`" {
        /// When: this long after the start.
        pub at: Spanned<Duration>,
        /// What must be true then: one comparison of a state, such as `deployments.web.readyPods >= 2`.
        pub that: Spanned<String>,
    }
}

impl Read for ExpectEntry {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.value {
            Value::Map(_) => ExpectAt::read(node, problems).map(Self::At),
            Value::String(_) => Read::read(node, problems).map(Self::Line),
            _ => expected(node, "a line such as `failedRequests == 0`, or {at: 45s, that: LINE}", problems),
        }
    }
}

impl JsonSchema for ExpectEntry {
    fn schema_name() -> Cow<'static, str> {
        "Expectation".into()
    }

    /// What a text must look like as far as a pattern can tell, and an example of every metric for completion.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A metric and what must be true of it, alone or {at: TIME, that: STATE}.",
            "anyOf": [
                {"type": "string", "pattern": pattern(), "examples": metrics().iter().map(example).collect::<Vec<_>>()},
                generator.subschema_for::<ExpectAt>()
            ]
        })
    }
}

/// What every expectation begins with. ECMA 262, as JSON Schema has it.
fn pattern() -> String {
    let escaped = |key: &str| key.replace('.', "\\.");
    let of =
        |collection| metrics().iter().filter(move |m: &&Metric| m.collection == collection).map(|m| escaped(m.key));
    let mut subjects: Vec<String> = of(Collection::Run).collect();
    for collection in Collection::NAMED {
        let keys: Vec<String> = of(collection).collect();
        subjects.push(format!("{}\\.\\S+\\.({})", collection.word(), keys.join("|")));
    }
    format!("^\\s*(at\\s[^:]+:\\s*)?(not\\s+)?(p[0-9.]+\\s+of\\s+)?({})(\\s|[=!<>]|$)", subjects.join("|"))
}

/// A whole expectation with the metric.
fn example(metric: &Metric) -> String {
    let name = match metric.collection {
        Collection::Run => "",
        Collection::Traffic => "traffic.NAME.",
        Collection::Drains => "drains.NODE.",
        Collection::Services => "services.SERVICE.",
        Collection::Pdbs => "pdbs.BUDGET.",
        Collection::Pods => "pods.NAME-*.",
        Collection::Deployments => "deployments.DEPLOYMENT.",
    };
    let at = if metric.is_momentary() { "at 45s: " } else { "" };
    let condition = match metric.kind {
        ValueKind::Count => " == 0",
        ValueKind::Ratio => " < 0.1%",
        ValueKind::Number => " < 0.5",
        ValueKind::Span => " < 30s",
        ValueKind::Event => " within 60s",
    };
    format!("{at}{name}{}{condition}", metric.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expectation::Expectation;

    #[test]
    fn the_schema_takes_what_the_parser_takes() {
        let schema = schemars::schema_for!(ExpectEntry).to_value();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let valid = |value: serde_json::Value| validator.is_valid(&value);
        for metric in metrics() {
            let text = example(metric);
            assert!(Expectation::parse(&text).is_ok(), "{text}");
            assert!(valid(text.clone().into()), "{text}");
        }
        for text in ["not failedRequests==0 for 20 seeds", "p99.9 of drains.a.b.duration<1m", "drains.n.completed"] {
            assert!(Expectation::parse(text).is_ok() && valid(text.into()), "{text}");
        }
        for text in
            ["failedRequest == 0", "drains.n.complete", "services.failedRequests == 0", "p99 failedRequests < 1"]
        {
            assert!(Expectation::parse(text).is_err() && !valid(text.into()), "{text}");
        }
        assert!(valid(serde_json::json!({"at": "45s", "that": "deployments.web.readyPods >= 2"})));
        assert!(!valid(serde_json::json!({"that": "deployments.web.readyPods >= 2"})));
    }
}
