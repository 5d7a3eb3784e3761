//! For CI systems: GitHub's workflow commands, GitLab's code quality report, TAP.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::workflow::annotation;
use super::{Entry, Status, Totals};
use crate::engine::Key;

/// A workflow command for each expectation that does not hold, which GitHub shows at its line in a pull request
/// (docs.github.com, "Workflow commands for GitHub Actions"), and a line with the totals.
#[must_use]
pub fn github(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries.iter().filter(|e| e.status != Status::Passed) {
        let command = if entry.status == Status::Undecided { "warning" } else { "error" };
        let mut message = format!("{}\nactual: {}", entry.wanted, entry.actual);
        if let Some(replay) = &entry.replay {
            let _ = write!(message, "\nreplay: {replay}");
        }
        let title = format!("{} {}", entry.scenario, entry.status.word());
        out.push_str(&annotation(command, &entry.path, (entry.line, entry.column), &title, &message));
    }
    let _ = writeln!(out, "{}", Totals::of(entries).sentence());
    out
}

/// One finding of GitLab's code quality report.
#[derive(Serialize)]
struct Finding<'a> {
    description: String,
    check_name: &'static str,
    fingerprint: String,
    severity: &'static str,
    location: Location<'a>,
}

#[derive(Serialize)]
struct Location<'a> {
    path: &'a str,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
}

/// GitLab's code quality report (docs.gitlab.com, "Code Quality", "Implement a custom tool"): a list of what does not hold,
/// shown in the merge request. The fingerprint is that of the file and expectation, so that the same failure of two
/// commits is one.
#[must_use]
pub fn gitlab(entries: &[Entry]) -> String {
    let findings: Vec<Finding<'_>> = entries
        .iter()
        .filter(|e| e.status != Status::Passed)
        .map(|entry| Finding {
            description: format!("{}: {}", entry.name, entry.actual),
            check_name: "drainsim",
            fingerprint: format!("{:016x}", Key::new(&entry.path).text(&entry.name).bits()),
            severity: match entry.status {
                Status::Passed => "info",
                Status::Undecided => "minor",
                Status::Failed => "major",
                Status::Broken => "critical",
            },
            location: Location { path: &entry.path, lines: Lines { begin: entry.line } },
        })
        .collect();
    serde_json::to_string_pretty(&findings).map_or_else(|_| "[]\n".to_string(), |text| text + "\n")
}

/// The Test Anything Protocol, version 14 (testanything.org): a line a test, and what was wrong as YAML below it.
#[must_use]
pub fn tap(entries: &[Entry]) -> String {
    let mut out = format!("TAP version 14\n1..{}\n", entries.len());
    for (number, entry) in entries.iter().enumerate() {
        let ok = if entry.status == Status::Passed { "ok" } else { "not ok" };
        let name = format!("{}: {}", entry.scenario, entry.name).replace('\\', "\\\\").replace('#', "\\#");
        let _ = writeln!(out, "{ok} {} - {}", number + 1, name.replace('\n', " "));
        if entry.status == Status::Passed {
            continue;
        }
        // A JSON string is a YAML scalar.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let _ = writeln!(out, "  ---");
        let _ = writeln!(out, "  status: {}", entry.status.word());
        let _ = writeln!(out, "  at: {}", quoted(&format!("{}:{}:{}", entry.path, entry.line, entry.column)));
        let _ = writeln!(out, "  wanted: {}", quoted(&entry.wanted));
        let _ = writeln!(out, "  actual: {}", quoted(&entry.actual));
        if let Some(replay) = &entry.replay {
            let _ = writeln!(out, "  replay: {}", quoted(replay));
        }
        let _ = writeln!(out, "  ...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::suite::tests::entries;

    #[test]
    fn github_gets_one_line_a_failure() {
        let text = github(&entries());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].starts_with("::error file=tests/a b.yaml,line=12,col=7,title=drain <1> failed::"), "{text}");
        assert!(lines[0].ends_with("%0Areplay: drainsim run 'tests/a b.yaml' --seed 17"), "{text}");
        assert!(lines[1].starts_with("::warning ") && lines[2].contains("100%25 wrong%0Asecond line"), "{text}");
    }

    #[test]
    fn gitlab_gets_findings_with_all_that_it_asks_for() {
        let findings: serde_json::Value = serde_json::from_str(&gitlab(&entries())).unwrap();
        let findings = findings.as_array().unwrap();
        assert_eq!(findings.len(), 3);
        for finding in findings {
            for field in ["/description", "/check_name", "/fingerprint", "/severity", "/location/path"] {
                assert!(finding.pointer(field).is_some_and(|v| v.as_str().is_some_and(|v| !v.is_empty())), "{field}");
            }
            assert!(finding.pointer("/location/lines/begin").is_some_and(serde_json::Value::is_u64));
        }
        assert_eq!(gitlab(&[]), "[]\n");
    }

    #[test]
    fn tap_counts_and_its_details_are_yaml() {
        let text = tap(&entries());
        assert!(text.starts_with("TAP version 14\n1..4\nok 1 - drain <1>: sentRequests > 0\nnot ok 2 - "), "{text}");
        let details = text.split("  ---\n").nth(1).unwrap().split("  ...\n").next().unwrap();
        let details: serde_json::Value = serde_saphyr::from_str(details).unwrap();
        assert_eq!(details["replay"], "drainsim run 'tests/a b.yaml' --seed 17");
    }
}
