//! Colours, and how numbers are written. Colour never says what no letter or sign says.

use anstyle::{AnsiColor, Style};

use crate::engine::Time;

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();

/// Reports are this wide, on any terminal and in any pipe, so that they can be compared line by line.
pub(super) const WIDTH: usize = 100;

/// The text in a style. Plain text stays without escapes.
pub(super) fn paint(style: Style, text: &str) -> String {
    if style.is_plain() || text.is_empty() { text.to_string() } else { format!("{style}{text}{style:#}") }
}

/// `24,000`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0.154 %`; what is there but too small for three decimals is `<0.001 %`.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_string() } else { percent(part as f64 / whole as f64) }
}

/// As [`share`], of a quotient.
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent > 0.0 && percent < 0.0005 { "<0.001 %".to_string() } else { format!("{percent:.3} %") }
}

/// A span for prose: `0.878 s`. Nanoseconds, sign dropped.
pub(super) fn seconds(nanos: i64) -> String {
    let millis = (nanos.unsigned_abs() + 500_000) / 1_000_000;
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

/// A signed span for tables: `+1.234s`, `-0.878s`.
pub(super) fn signed(nanos: i64) -> String {
    let sign = if nanos < 0 { '-' } else { '+' };
    format!("{sign}{}", Time::from_nanos(nanos.unsigned_abs()))
}

/// `later − earlier` in nanoseconds.
pub(super) fn between(earlier: Time, later: Time) -> i64 {
    let nanos = |time: Time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    nanos(later).saturating_sub(nanos(earlier))
}

/// `1 eviction`, `2 evictions`.
pub(super) fn plural(number: u64, word: &str) -> String {
    format!("{} {word}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn and(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Breaks a text at spaces so that no line is longer than `width`, unless a single word is.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_string());
        }
    }
    lines
}

/// Shortens a name to `width` characters in its middle: both the workload and the pod's own end stay readable.
pub(super) fn shorten(name: &str, width: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= width || width < 5 {
        return name.to_string();
    }
    let tail = (width - 1) * 3 / 5;
    let head = width - 1 - tail;
    letters[..head].iter().chain(&['…']).chain(&letters[letters.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 24_000, 1_234_567].map(thousands), ["0", "999", "1,000", "24,000", "1,234,567"]);
        assert_eq!([plural(1, "run"), plural(1000, "run")], ["1 run", "1,000 runs"]);
    }

    #[test]
    fn shares_never_show_something_as_nothing() {
        assert_eq!(share(37, 24_000), "0.154 %");
        assert_eq!(share(0, 5), "0.000 %");
        assert_eq!(share(1, 1_000_000), "<0.001 %");
        assert_eq!(share(0, 0), "–");
    }

    #[test]
    fn spans_keep_their_sign_in_tables_only() {
        assert_eq!(seconds(-878_000_000), "0.878 s");
        assert_eq!(signed(-878_000_000), "-0.878s");
        assert_eq!(signed(12_000_000_000), "+12.000s");
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shorten("nginx-66b6c48dd5-abcde", 30), "nginx-66b6c48dd5-abcde");
        assert_eq!(shorten("nginx-deployment-66b6c48dd5-abcde", 20), "nginx-de…48dd5-abcde");
    }

    #[test]
    fn text_breaks_at_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("incomprehensible x", 5), ["incomprehensible", "x"]);
    }
}
