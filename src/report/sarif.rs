//! Findings in SARIF 2.1.0, the format of code scanning.
//!
//! Source: OASIS, *Static Analysis Results Interchange Format (SARIF) Version 2.1.0*, 27 March 2020.

use serde_json::{Value, json};

use crate::analysis::lint::{Finding, Findings, RULES, Rule};
use crate::scenario::diagnostic::Severity;
use crate::scenario::source::Span;

/// One run of one tool, with all rules and the findings.
#[must_use]
pub fn sarif(findings: &Findings) -> Value {
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": env!("CARGO_PKG_NAME"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": RULES.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": findings.list.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn descriptor(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": format!("{}\nFix: {}\nSource: {}\n{}", rule.why, rule.fix, rule.source, rule.page())},
        "defaultConfiguration": {"level": level(rule.severity)},
    })
}

fn result(finding: &Finding) -> Value {
    let related: Vec<Value> = finding
        .related
        .iter()
        .enumerate()
        .map(|(id, (span, label))| {
            let mut location = location(span);
            location["id"] = json!(id + 1);
            location["message"] = json!({"text": label});
            location
        })
        .collect();
    let mut text = finding.message.clone();
    for note in &finding.notes {
        text.push_str(&format!("\n{note}"));
    }
    text.push_str(&format!("\nFix: {}", finding.fix));
    json!({
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.iter().position(|rule| rule.id == finding.rule.id),
        "level": level(finding.severity),
        "message": {"text": text},
        "locations": [location(&finding.place)],
        "relatedLocations": related,
    })
}

fn location(span: &Span) -> Value {
    let (line, column) = span.line_column();
    let end = Span { start: span.end, ..span.clone() };
    let (end_line, end_column) = end.line_column();
    json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(&span.file.name)},
        "region": {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column},
    }})
}

/// A path as a URI reference (RFC 3986): relative ones stay so.
fn uri(path: &str) -> String {
    let mut out = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.replace('\\', "/").trim_start_matches("./").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("./deploy/web app.yaml"), "deploy/web%20app.yaml");
        assert_eq!(uri("/tmp/é.yaml"), "file:///tmp/%C3%A9.yaml");
        assert_eq!(uri("standard input"), "standard%20input");
    }
}
