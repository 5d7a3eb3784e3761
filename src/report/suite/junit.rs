//! JUnit XML, in the structure that Jenkins, GitLab, GitHub actions and Azure read alike: `testsuites` of `testsuite` (a
//! file) of `testcase` (an expectation) with `failure` or `error`. The schema is `docs/junit.xsd`, which is within
//! that of Jenkins' xUnit plugin (`junit-10.xsd`).
//!
//! There are no times: the report of the same scenarios and version is the same, byte for byte.

use std::fmt::Write as _;

use super::{Entry, Status, Totals};

/// The file.
#[must_use]
pub fn render(entries: &[Entry]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"drainsim\"{}>", counts(entries));
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|e| e.path == first.path).count();
        let (suite, others) = rest.split_at(count);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" package=\"{}\"{}>",
            escaped(&first.scenario),
            escaped(&first.path),
            counts(suite)
        );
        suite.iter().for_each(|entry| case(&mut out, entry));
        out.push_str("  </testsuite>\n");
        rest = others;
    }
    out.push_str("</testsuites>\n");
    out
}

fn counts(entries: &[Entry]) -> String {
    let totals = Totals::of(entries);
    let failures = totals.failed + totals.undecided;
    format!(" tests=\"{}\" failures=\"{failures}\" errors=\"{}\"", entries.len(), totals.broken)
}

fn case(out: &mut String, entry: &Entry) {
    let _ = write!(out, "    <testcase name=\"{}\" classname=\"{}\"", escaped(&entry.name), escaped(&entry.scenario));
    let element = match entry.status {
        Status::Passed => {
            out.push_str("/>\n");
            return;
        }
        Status::Failed | Status::Undecided => "failure",
        Status::Broken => "error",
    };
    let mut text =
        format!("{}:{}:{}\nwanted: {}\nactual: {}\n", entry.path, entry.line, entry.column, entry.wanted, entry.actual);
    for (name, command) in
        [("replay", entry.replay.as_ref()), ("smaller", entry.smaller.as_ref().map(|(command, _)| command))]
    {
        if let Some(command) = command {
            let _ = writeln!(text, "{name}: {command}");
        }
    }
    let message = escaped(entry.actual.lines().next().unwrap_or_default());
    let _ = writeln!(
        out,
        ">\n      <{element} message=\"{message}\" type=\"{}\">{}</{element}>\n    </testcase>",
        entry.status.word(),
        escaped(&text)
    );
}

/// Text for an attribute or an element; what XML 1.0 cannot say at all is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::suite::tests::entries;
    use roxmltree::Document;

    #[test]
    fn the_file_says_what_became_of_each_case() {
        let text = render(&entries());
        let document = Document::parse(&text).unwrap();
        let cases: Vec<_> = document.descendants().filter(|n| n.has_tag_name("testcase")).collect();
        assert_eq!(cases.len(), 4);
        assert_eq!(cases[0].attribute("classname"), Some("drain <1>"));
        let failure = cases[1].first_element_child().unwrap();
        assert!(failure.text().unwrap().contains("--seed 17"), "{text}");
        assert_eq!(cases[3].first_element_child().unwrap().tag_name().name(), "error");
        let total = document.root_element();
        assert_eq!(["tests", "failures", "errors"].map(|a| total.attribute(a).unwrap()), ["4", "2", "1"]);
    }

    #[test]
    fn nothing_to_test_is_a_valid_file_and_control_characters_vanish() {
        assert!(Document::parse(&render(&[])).unwrap().root_element().has_tag_name("testsuites"));
        assert_eq!(escaped("a\u{1b}[1m<\u{0}&\"'"), "a[1m&lt;&amp;&quot;'");
    }
}
