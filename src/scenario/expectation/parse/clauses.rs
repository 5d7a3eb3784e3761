//! What may follow the condition: `in 99% of runs`, `for 200 seeds`, `with 95%`, `recorded`.

use std::ops::Range;

use super::super::claim::{CONFIDENCE, Claim};
use super::super::metric::ValueKind;
use super::super::{ExpectationError, Value};
use super::{Piece, nearest, value};

/// The words that begin a clause.
const WORDS: [&str; 4] = ["in", "for", "with", "recorded"];

/// All clauses, read.
pub(super) struct Clauses {
    pub claim: Claim,
    pub seeds: Option<u32>,
    pub recorded: Option<Range<usize>>,
}

/// Parts the condition from the clauses behind it.
pub(super) fn split(rest: Piece<'_>) -> (Piece<'_>, Piece<'_>) {
    let mut at = rest;
    while !at.text.is_empty() {
        let (word, after) = at.next();
        if WORDS.contains(&word.text) {
            let (condition, clauses) = rest.split_at(word.start - rest.start);
            return (condition.trimmed(), clauses);
        }
        at = after;
    }
    let (condition, nothing) = rest.split_at(rest.text.len());
    (condition, nothing)
}

/// Reads the clauses. `quantile` is the word `pN` with the share that it claims, `exact` where an exact value stands.
pub(super) fn read(
    clauses: Piece<'_>,
    quantile: Option<(Piece<'_>, f64)>,
    exact: Option<Range<usize>>,
) -> Result<Clauses, ExpectationError> {
    let mut share = quantile.map(|(_, share)| share);
    let (mut confidence, mut seeds, mut recorded) = (None, None, None);
    let mut rest = clauses;
    while !rest.text.is_empty() {
        let (word, after) = rest.next();
        rest = match word.text {
            "in" => {
                let (number, after) = share_of(after)?;
                let (_, after) = expect(after, "of", "of runs")?;
                let (_, after) = expect(after, "runs", "of runs")?;
                let whole = rest.until(after);
                if let Some((word, _)) = quantile {
                    let message = format!("`{} of` names the share already", word.text);
                    return Err(whole.error(message, "one of the two", None));
                }
                if number.1 >= 1.0 || number.1 <= 0.0 {
                    let message = format!("no number of runs can show {}", number.0.text);
                    let expected = "a share above 0% and below 100%; without `in …` every run must hold";
                    return Err(number.0.error(message, expected, None));
                }
                share = Some(number.1);
                after
            }
            "for" => {
                let (number, after) = after.next();
                let count =
                    number.text.replace(['_', ','], "").parse::<u32>().ok().filter(|n| (1..=10_000_000).contains(n));
                let Some(count) = count else {
                    let message = format!("`{}` is not a number of seeds", number.text);
                    return Err(number.error(message, "a whole number from 1 to 10,000,000", None));
                };
                let (_, after) = expect(after, "seeds", "seeds")?;
                let whole = rest.until(after);
                seeds = Some((count, whole));
                after
            }
            "with" => {
                let (number, after) = share_of(after)?;
                if !(number.1 > 0.5 && number.1 < 1.0) {
                    let message = format!("`{}` is no confidence", number.0.text);
                    return Err(number.0.error(message, "a share above 50% and below 100%, such as `95%`", None));
                }
                let whole = rest.until(after);
                confidence = Some((number.1, whole));
                after
            }
            "recorded" => {
                recorded = Some(word);
                after
            }
            other => {
                let expected = "`in 99% of runs`, `for 200 seeds`, `with 95%` or `recorded`";
                return Err(word.error(format!("`{other}` is no clause"), expected, nearest(other, &WORDS)));
            }
        };
    }
    let claim = match (share, confidence) {
        (Some(share), confidence) => Claim::Share { share, confidence: confidence.map_or(CONFIDENCE, |c| c.0) },
        (None, None) => Claim::Always,
        (None, Some((_, whole))) => {
            let message = "`with` needs a share to be sure of".to_string();
            return Err(whole.error(message, "`p99 of` before the metric, or `in 99% of runs` after the value", None));
        }
    };
    if let (Some((count, whole)), Claim::Share { confidence, .. }) = (seeds, claim)
        && count < claim.fewest_runs()
    {
        let fewest = claim.fewest_runs();
        let sure = (confidence * 1e8).round() / 1e6;
        let message = format!("{count} seeds can never show this with {sure}%: it takes {fewest}");
        return Err(whole.error(
            message,
            "more seeds, a smaller share or less confidence",
            Some(format!("for {fewest} seeds")),
        ));
    }
    let recorded = match (recorded, exact) {
        (None, _) => None,
        (Some(word), _) if seeds.is_some() || claim != Claim::Always => {
            return Err(word.error("a recorded value is that of one run".to_string(), "no other clause", None));
        }
        (Some(_), Some(span)) => Some(span),
        (Some(word), None) => {
            let message = "only an exact value can be recorded".to_string();
            return Err(word.error(message, "`==` and a whole number or a duration", None));
        }
    };
    Ok(Clauses { claim, seeds: seeds.map(|(count, _)| count), recorded })
}

/// Reads `95%`, `95 %` or `0.95`.
fn share_of(rest: Piece<'_>) -> Result<((Piece<'_>, f64), Piece<'_>), ExpectationError> {
    let (number, after) = rest.next();
    let (percent, behind) = after.next();
    let (number, after) = if percent.text == "%" { (rest.until(percent.end()), behind) } else { (number, after) };
    match value(number, ValueKind::Ratio)? {
        // What was divided by 100 is no longer the nearest number to what was written.
        Value::Ratio(share) => Ok(((number, (share * 1e12).round() / 1e12), after)),
        _ => Err(number.error("this is not a share".to_string(), ValueKind::Ratio.expected(), None)),
    }
}

/// The word `wanted`, of the words `all`.
fn expect<'a>(rest: Piece<'a>, wanted: &str, all: &str) -> Result<(Piece<'a>, Piece<'a>), ExpectationError> {
    let (word, after) = rest.next();
    if word.text == wanted {
        return Ok((word, after));
    }
    let expected = format!("`{all}`");
    match word.text {
        text if text.is_empty() || WORDS.contains(&text) => {
            let at = Piece { text: "", start: word.start };
            Err(at.error(format!("`{all}` is missing"), expected, None))
        }
        text => Err(word.error(format!("`{text}` is no clause"), expected, Some(wanted.to_string()))),
    }
}

impl<'a> Piece<'a> {
    /// The first word, up to space, and what follows it.
    fn next(self) -> (Self, Self) {
        let end = self.text.find(char::is_whitespace).unwrap_or(self.text.len());
        let (word, rest) = self.split_at(end);
        (word, rest.trimmed())
    }

    /// From here to where another piece begins, without the space before that.
    fn until(self, other: Self) -> Self {
        let (before, _) = self.split_at(other.start - self.start);
        Self { text: before.text.trim_end(), start: before.start }
    }

    /// The empty piece behind it.
    fn end(self) -> Self {
        Self { text: &self.text[self.text.len()..], start: self.start + self.text.len() }
    }
}
