//! Label selectors, as kubectl's flags take them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::api::Selector;
use crate::api::labels::Requirement;
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::read::{Read, expected};
use crate::scenario::tree::Node;

/// A selector as kubectl's `-l` takes it: `app=web,tier!=db,env in (a, b),!canary`.
#[derive(Clone, PartialEq, Debug)]
pub struct SelectorText(pub Selector);

schema_of!(SelectorText, "Selector", |_g| json_schema!({
    "description": "A label selector as kubectl's --selector takes it.",
    "type": "string",
    "examples": ["app=web,tier!=db"]
}));

impl Read for SelectorText {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let text = String::read(node, problems)?;
        match parse_selector(&text) {
            Some(requirements) => Some(Self(Selector { requirements })),
            None => expected(node, "a selector such as `app=web,tier!=db` or `env in (a, b)`", problems),
        }
    }
}

/// Reads a label selector as kubectl's flags have it: `app=web,tier!=db`; `None` if it is none.
#[must_use]
pub fn selector(text: &str) -> Option<Selector> {
    parse_selector(text).map(|requirements| Selector { requirements })
}

/// Source: `k8s.io/apimachinery/pkg/labels/selector.go` Parse (v1.36), without `<` and `>`.
fn parse_selector(text: &str) -> Option<Vec<Requirement>> {
    let mut requirements = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        // A comma inside brackets does not end the requirement.
        let end = rest
            .char_indices()
            .scan(0i32, |depth, (at, c)| {
                *depth += i32::from(c == '(') - i32::from(c == ')');
                Some((at, c, *depth))
            })
            .find(|&(_, c, depth)| c == ',' && depth == 0)
            .map_or(rest.len(), |(at, _, _)| at);
        requirements.push(parse_requirement(rest[..end].trim())?);
        rest = rest.get(end + 1..).unwrap_or_default().trim_start();
    }
    Some(requirements)
}

fn parse_requirement(text: &str) -> Option<Requirement> {
    let key_of = |key: &str| {
        let key = key.trim();
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        (!key.is_empty() && key.chars().all(valid)).then(|| key.to_string())
    };
    let values_of = |list: &str| {
        let inside = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inside.split(',').map(|v| v.trim().to_string()).collect::<Vec<_>>())
    };
    if let Some(key) = text.strip_prefix('!') {
        return key_of(key).map(Requirement::DoesNotExist);
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Requirement::NotIn(key_of(key)?, vec![value.trim().into()]));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(Requirement::In(key_of(key)?, vec![value.trim().into()]));
    }
    if let Some((key, list)) = text.split_once(" notin ") {
        return Some(Requirement::NotIn(key_of(key)?, values_of(list)?));
    }
    if let Some((key, list)) = text.split_once(" in ") {
        return Some(Requirement::In(key_of(key)?, values_of(list)?));
    }
    key_of(text).map(Requirement::Exists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_as_kubectl_reads_them() {
        let text = "app=web, tier!=db,env in (a, b),zone notin (c),canary,!legacy,x==y";
        let values = |v: &[&str]| v.iter().map(|v| (*v).to_string()).collect::<Vec<_>>();
        assert_eq!(
            parse_selector(text).unwrap(),
            [
                Requirement::In("app".into(), values(&["web"])),
                Requirement::NotIn("tier".into(), values(&["db"])),
                Requirement::In("env".into(), values(&["a", "b"])),
                Requirement::NotIn("zone".into(), values(&["c"])),
                Requirement::Exists("canary".into()),
                Requirement::DoesNotExist("legacy".into()),
                Requirement::In("x".into(), values(&["y"])),
            ]
        );
        assert_eq!(parse_selector("a b"), None);
        assert_eq!(parse_selector("env in a"), None);
    }
}
