//! For people: a line an expectation, the failures with what was wanted and how to see them.

use std::fmt::Write as _;

use super::{Entry, Status, Totals};
use crate::report::style::{BAD, BOLD, DIM, GOOD, WARN, WIDTH, paint, plural, thousands, wrap};

/// The report, with escapes for colours. `stopped`: how many scenarios were left out after the first failure.
#[must_use]
pub fn render(entries: &[Entry], stopped: usize) -> String {
    let mut out = String::new();
    let mut path = None;
    for entry in entries {
        if path != Some(&entry.path) {
            let _ = writeln!(out, "{}{}", if path.is_some() { "\n" } else { "" }, paint(BOLD, &entry.path));
            path = Some(&entry.path);
        }
        line(&mut out, entry);
    }
    let totals = Totals::of(entries);
    let (mark, style) = match totals {
        Totals { broken: 1.., .. } | Totals { failed: 1.., .. } => ("✗", BAD),
        Totals { undecided: 1.., .. } => ("–", WARN),
        _ => ("✓", GOOD),
    };
    let mut scenarios: Vec<&str> = entries.iter().map(|e| e.path.as_str()).collect();
    scenarios.dedup();
    let of = plural(scenarios.len() as u64, "scenario");
    let stopped = match stopped {
        0 => String::new(),
        more => format!("; stopped before {} more", thousands(more as u64)),
    };
    let _ = writeln!(out, "\n{} {} in {of}{stopped}", paint(style, mark), paint(BOLD, &totals.sentence()));
    out
}

fn line(out: &mut String, entry: &Entry) {
    let (mark, style) = match entry.status {
        Status::Passed => ("✓", GOOD),
        Status::Undecided => ("–", WARN),
        Status::Failed | Status::Broken => ("✗", BAD),
    };
    let _ = writeln!(out, "  {} {}", paint(style, mark), entry.name);
    let mut field = |name: &str, text: &str| {
        for (number, text) in text.lines().flat_map(|l| wrap(l, WIDTH - 14)).enumerate() {
            let name = if number == 0 { format!("{name:<8}") } else { " ".repeat(8) };
            let _ = writeln!(out, "{}", format!("      {}{text}", paint(DIM, &name)).trim_end());
        }
    };
    match entry.status {
        Status::Passed if entry.runs > 1 => field("", &entry.actual),
        Status::Passed => {}
        Status::Broken => field("", &entry.actual),
        Status::Undecided | Status::Failed => {
            field("wanted", &entry.wanted);
            field("actual", &entry.actual);
            field("at", &format!("{}:{}:{}", entry.path, entry.line, entry.column));
        }
    }
    // Commands are to be copied: they are not broken into lines.
    let mut command = |name: &str, command: &str| {
        let _ = writeln!(out, "      {}{command}", paint(DIM, &format!("{name:<8}")));
    };
    if let Some(replay) = &entry.replay {
        command("replay", replay);
    }
    if let Some((smaller, actual)) = &entry.smaller {
        command("smaller", &format!("{smaller}   # {actual}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::suite::tests::entries;

    #[test]
    fn each_status_and_the_total() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&render(&entries(), 3)).to_string());
    }
}
