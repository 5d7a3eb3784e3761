//! Findings of `drainsim lint`: for people, as JSON, and as annotations of GitHub. SARIF is in [`sarif`](super::sarif).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::analysis::lint::{Finding, Findings, RULES, Rule};
use crate::report::style;
use crate::report::workflow::annotation;
use crate::scenario::diagnostic::{Diagnostic, Severity};
use crate::scenario::source::Span;

/// Notes stand behind a line number and `= note: `.
const NOTE_INDENT: usize = 13;

/// The word for a severity.
#[must_use]
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// As text. Why a rule matters is told with its first finding only.
#[must_use]
pub fn text(findings: &Findings, colour: bool) -> String {
    let mut told = BTreeSet::new();
    let mut out = String::new();
    for finding in &findings.list {
        let mut diagnostic = finding.diagnostic(told.insert(finding.rule.id));
        for note in &mut diagnostic.notes {
            *note = style::wrap(note, style::WIDTH - NOTE_INDENT).join("\n");
        }
        out.push_str(&diagnostic.render(colour));
        out.push_str("\n\n");
    }
    out + &summary(findings) + "\n"
}

/// `2 warnings and 1 info in 5 objects`.
fn summary(findings: &Findings) -> String {
    let objects = counted(findings.objects, "object", "objects");
    let counts: Vec<String> = [
        (Severity::Error, "error", "errors"),
        (Severity::Warning, "warning", "warnings"),
        (Severity::Info, "info", "infos"),
    ]
    .into_iter()
    .filter_map(|(level, one, many)| {
        let count = findings.list.iter().filter(|f| f.severity == level).count();
        (count > 0).then(|| counted(count, one, many))
    })
    .collect();
    match &counts[..] {
        [] => format!("nothing found in {objects}"),
        [one] => format!("{one} in {objects}"),
        [before @ .., last] => format!("{} and {last} in {objects}", before.join(", ")),
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// All rules, one line each.
#[must_use]
pub fn list() -> String {
    let width = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    let line = |rule: &&Rule| format!("{:width$}  {:7}  {}\n", rule.id, severity(rule.severity), rule.summary);
    RULES.iter().map(line).collect()
}

/// One rule in full.
#[must_use]
pub fn explanation(rule: &Rule) -> String {
    let mut out = format!("{} ({}): {}\n\n", rule.id, severity(rule.severity), rule.summary);
    for paragraph in [rule.why.to_string(), format!("Fix: {}", rule.fix), format!("Source: {}", rule.source)] {
        for line in style::wrap(&paragraph, style::WIDTH) {
            out.push_str(&line);
            out.push('\n');
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// The findings as data.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct LintResult<'a> {
    /// In the order of files and lines.
    findings: Vec<FindingEntry<'a>>,
    /// How many Kubernetes objects were looked at.
    objects: usize,
    /// What could not be read, as `FILE:LINE:COLUMN: WHAT`; the exit code is 2 then.
    unread: Vec<String>,
}

#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
struct FindingEntry<'a> {
    /// The rule: it never changes its name.
    id: &'a str,
    /// `error`, `warning` or `info`.
    severity: &'static str,
    /// What is wrong.
    message: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
    /// Why it matters.
    why: &'a str,
    /// What one should know besides.
    notes: &'a [String],
    /// What to write instead.
    fix: &'a str,
    /// Other places that have to do with it.
    related: Vec<RelatedEntry<'a>>,
    /// Where to read more, in the source tree.
    page: String,
}

#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
struct RelatedEntry<'a> {
    message: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
}

#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    /// The path as it was given.
    file: &'a str,
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
}

impl<'a> Place<'a> {
    fn of(span: &'a Span) -> Self {
        let (line, column) = span.line_column();
        Self { file: &span.file.name, line, column }
    }
}

impl<'a> LintResult<'a> {
    /// The same findings.
    #[must_use]
    pub fn new(findings: &'a Findings) -> Self {
        let entry = |f: &'a Finding| FindingEntry {
            id: f.rule.id,
            severity: severity(f.severity),
            message: &f.message,
            place: Place::of(&f.place),
            why: f.rule.why,
            notes: &f.notes,
            fix: &f.fix,
            related: f.related.iter().map(|(span, message)| RelatedEntry { message, place: Place::of(span) }).collect(),
            page: f.rule.page(),
        };
        let unread = findings.unread.list.iter().map(Diagnostic::one_line).collect();
        Self { findings: findings.list.iter().map(entry).collect(), objects: findings.objects, unread }
    }
}

/// Workflow commands: GitHub shows each as an annotation of the line.
#[must_use]
pub fn github(findings: &Findings) -> String {
    let mut out = String::new();
    for finding in &findings.list {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let (line, column) = finding.place.line_column();
        let text = format!("{}\n{}\nfix: {}", finding.message, finding.rule.why, finding.fix);
        out.push_str(&annotation(command, &finding.place.file.name, (line, column), finding.rule.id, &text));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_by_severity() {
        assert_eq!(summary(&Findings::default()), "nothing found in 0 objects");
    }
}
