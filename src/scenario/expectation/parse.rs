//! From a text to an [`Expectation`], or to an error that helps.

mod clauses;

use crate::scenario::suggest;
use std::ops::Range;

use super::metric::{Collection, Metric, ValueKind, metrics};
use super::{Condition, Expectation, ExpectationError, Operator, Subject, Value};
use crate::engine::{Duration, Time};

/// Two-letter operators first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

/// A piece of the text and where it stands.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Piece<'a> {
    fn span(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn trimmed(self) -> Self {
        let start = self.start + self.text.len() - self.text.trim_start().len();
        Self { text: self.text.trim(), start }
    }

    fn split_at(self, at: usize) -> (Self, Self) {
        let (left, right) = self.text.split_at(at);
        (Self { text: left, start: self.start }, Self { text: right, start: self.start + at })
    }

    /// The first word, up to space or an operator, and what follows it.
    fn word(self) -> (Self, Self) {
        let end = self.text.find(|c: char| c.is_whitespace() || "=!<>".contains(c)).unwrap_or(self.text.len());
        let (word, rest) = self.split_at(end);
        (word, rest.trimmed())
    }

    fn error(self, message: String, expected: impl Into<String>, suggestion: Option<String>) -> ExpectationError {
        ExpectationError { span: self.span(), message, expected: expected.into(), suggestion }
    }
}

pub(super) fn expectation(text: &str) -> Result<Expectation, ExpectationError> {
    let whole = Piece { text, start: 0 }.trimmed();
    let (moment, rest) = moment(whole)?;
    let (first, after) = rest.word();
    let (not, rest) = if first.text == "not" { (Some(first), after) } else { (None, rest) };
    let (quantile, rest) = quantile(rest)?;
    let (path, rest) = rest.word();
    if path.text.is_empty() {
        let message = if rest.text.is_empty() { "the metric is missing" } else { "the metric before this is missing" };
        return Err(rest.error(message.to_string(), "a metric, such as `failedRequests == 0`", None));
    }
    let subject = subject(path)?;
    let (condition_text, clauses) = clauses::split(rest);
    let condition = condition(condition_text, subject.metric)?;
    check_moment(moment, path, subject.metric)?;
    if let Some(quantile) = quantile {
        check_quantile(quantile, not, condition, condition_text)?;
    }
    let value = match condition {
        Condition::Compare(Operator::Equal, Value::Count(_) | Value::Span(_)) if not.is_none() => {
            let (_, value) = condition_text.split_at(2);
            Some(value.trimmed().span())
        }
        _ => None,
    };
    let above = matches!(condition, Condition::Compare(Operator::Greater | Operator::GreaterOrEqual, _));
    let share = quantile.map(|(word, share)| (word, if above { ((1.0 - share) * 1e12).round() / 1e12 } else { share }));
    let clauses = clauses::read(clauses, share, value)?;
    Ok(Expectation {
        text: whole.text.to_string(),
        at: moment.map(|(_, at)| at),
        negated: not.is_some(),
        quantile: quantile.map(|(_, share)| share),
        subject,
        condition,
        claim: clauses.claim,
        seeds: clauses.seeds,
        recorded: clauses.recorded,
    })
}

/// Reads `at 45s:`, and what follows it.
fn moment(whole: Piece<'_>) -> Result<(Option<(Piece<'_>, Time)>, Piece<'_>), ExpectationError> {
    const EXAMPLE: &str = "a time, as in `at 45s: deployments.web.readyPods >= 2`";
    let (word, rest) = whole.word();
    if word.text != "at" {
        return Ok((None, whole));
    }
    let Some(colon) = rest.text.find(':') else {
        let end = Piece { text: "", start: whole.span().end };
        return Err(end.error("`:` is missing after the time".to_string(), EXAMPLE, None));
    };
    let (time, rest) = rest.split_at(colon);
    let (_, rest) = rest.split_at(1);
    let time = time.trimmed();
    match time.text.parse::<Duration>() {
        Ok(span) => {
            let (words, _) = whole.split_at(rest.start - whole.start);
            Ok((Some((words, Time::ZERO + span)), rest.trimmed()))
        }
        Err(error) => Err(time.error(error.to_string(), EXAMPLE, None)),
    }
}

/// A state needs a time, a number of the whole run has none.
fn check_moment(moment: Option<(Piece<'_>, Time)>, path: Piece<'_>, metric: &Metric) -> Result<(), ExpectationError> {
    match moment {
        None if metric.is_momentary() => {
            let (_, key) = path.split_at(path.text.len() - metric.key.len());
            let message = format!("`{}` is a state at a time, and none is named", metric.key);
            Err(key.error(message, format!("`at 45s: {}`, or `{{at: 45s, that: …}}`", path.text), None))
        }
        Some((words, _)) if !metric.is_momentary() => {
            let states: Vec<&str> = metrics().iter().filter(|m| m.is_momentary()).map(|m| m.key).collect();
            let message = format!("`{}` is of the whole run, not of a time", metric.key);
            Err(words.error(message, format!("no `at`, or one of the states {}", list(&states)), None))
        }
        _ => Ok(()),
    }
}

/// Reads `p99 of`: the word, and its share of 1.
fn quantile(rest: Piece<'_>) -> Result<(Option<(Piece<'_>, f64)>, Piece<'_>), ExpectationError> {
    let (word, after) = rest.word();
    let Some(number) = word.text.strip_prefix('p').filter(|n| n.starts_with(|c: char| c.is_ascii_digit())) else {
        return Ok((None, rest));
    };
    let Ok(percent @ 0.000_001..=99.999_999) = number.parse::<f64>() else {
        let expected = "a percentile above p0 and below p100, such as `p50`, `p99` or `p99.9`";
        return Err(word.error(format!("`{}` is no percentile", word.text), expected, None));
    };
    match after.word() {
        (of, after) if of.text == "of" => Ok((Some((word, (percent * 1e10).round() / 1e12)), after)),
        _ => {
            let expected = format!("`{} of` and a metric", word.text);
            Err(word.error(format!("`{}` lacks `of`", word.text), expected, Some(format!("{} of", word.text))))
        }
    }
}

/// A quantile is bounded from one side.
fn check_quantile(
    (word, _): (Piece<'_>, f64),
    not: Option<Piece<'_>>,
    condition: Condition,
    text: Piece<'_>,
) -> Result<(), ExpectationError> {
    if let Some(not) = not {
        let message = "`not` does not go with a percentile".to_string();
        return Err(not.error(message, "no `not`, and the operator turned round", None));
    }
    match condition {
        Condition::Happened => {
            let message = format!("`{} of` a happening lacks a limit", word.text);
            let end = Piece { text: "", start: text.start };
            Err(end.error(message, "`within` and a duration; or `in 99% of runs` behind it", None))
        }
        Condition::Compare(Operator::Equal | Operator::NotEqual, _) => {
            let message = "a percentile has no exact value".to_string();
            Err(text.error(message, "`<`, `<=`, `>` or `>=`", None))
        }
        _ => Ok(()),
    }
}

/// Reads `key` or `collection.name.key`. A name may contain dots: it is what is left between the two.
fn subject(path: Piece<'_>) -> Result<Subject, ExpectationError> {
    let (first, _) = path.text.split_once('.').unwrap_or((path.text, ""));
    let Some(collection) = Collection::NAMED.into_iter().find(|c| c.word() == first) else {
        return match find(Collection::Run, path.text) {
            Some(metric) => Ok(Subject { metric, name: String::new(), name_span: path.start..path.start }),
            None => Err(unknown_first(path, first)),
        };
    };
    let example = format!("`{first}.NAME.METRIC`, such as `{}`", example(collection));
    let (_, rest) = path.split_at((first.len() + 1).min(path.text.len()));
    // The longest key that fits: `failedRequests.refused` before a metric `refused` of a Service `x.failedRequests`.
    let fitting = |m: &&Metric| m.collection == collection && rest.text.ends_with(&format!(".{}", m.key));
    if let Some(metric) = metrics().iter().filter(fitting).max_by_key(|m| m.key.len()) {
        let (name, _) = rest.split_at(rest.text.len() - metric.key.len() - 1);
        if name.text.is_empty() {
            return Err(name.error("the name is empty".to_string(), example, None));
        }
        if let Some(star) = name.text.find('*').filter(|star| star + 1 < name.text.len()) {
            let (_, after) = name.split_at(star);
            return Err(after.error("`*` may only end a name".to_string(), "a name, or its beginning and `*`", None));
        }
        return Ok(Subject { metric, name: name.text.to_string(), name_span: name.span() });
    }
    let keys = keys(collection);
    if rest.text.is_empty() || !rest.text.contains('.') {
        if keys.contains(&rest.text) {
            let message = format!("`{}` lacks the name of the object", path.text);
            return Err(path.error(message, example, None));
        }
        let at = Piece { text: "", start: path.span().end };
        return Err(at.error(format!("`{}` lacks a metric", path.text), list(&keys), None));
    }
    let dot = rest.text.rfind('.').unwrap_or(0);
    let (before, _) = rest.split_at(dot);
    let (_, last) = rest.split_at(dot + 1);
    // `x.failedRequests.refusd`: the last two words are what was meant.
    let two =
        before.text.rfind('.').map(|dot| rest.split_at(dot + 1).1).filter(|p| p.text.starts_with("failedRequests."));
    let wrong = two.filter(|_| keys.iter().any(|k| k.contains('.'))).unwrap_or(last);
    let suggestion = nearest(wrong.text, &keys);
    let message = match wrong.text {
        "" => format!("`{}` lacks a metric", path.text),
        wrong => format!("{first} have no metric `{wrong}`"),
    };
    Err(wrong.error(message, list(&keys), suggestion))
}

fn unknown_first(path: Piece<'_>, first: &str) -> ExpectationError {
    let keys = keys(Collection::Run);
    let collections = Collection::NAMED.map(Collection::word);
    let message = format!("there is no metric `{}`", path.text);
    let expected = format!("{}; or a metric of {}", list(&keys), list(&collections));
    if let Some(near) = nearest(first, &collections).filter(|_| path.text.contains('.') && !keys.contains(&first)) {
        let (at, _) = path.split_at(first.len());
        return at.error(message, expected, Some(near));
    }
    path.error(message, expected, nearest(path.text, &keys))
}

/// Reads what follows the metric.
fn condition(rest: Piece<'_>, metric: &Metric) -> Result<Condition, ExpectationError> {
    let (word, after) = rest.word();
    if metric.kind == ValueKind::Event {
        return match word.text {
            "" if after.text.is_empty() => Ok(Condition::Happened),
            "within" => match value(after, ValueKind::Span)? {
                Value::Span(limit) if limit >= 0 => Ok(Condition::Within(limit)),
                _ => Err(after.error("a limit cannot be negative".to_string(), ValueKind::Span.expected(), None)),
            },
            _ => {
                let message = format!("`{}` happens or does not; it cannot be compared", metric.key);
                let suggestion = nearest(word.text, &["within"]);
                Err(rest.error(message, ValueKind::Event.expected(), suggestion))
            }
        };
    }
    let operators = list(&OPERATORS.map(|(text, _)| text));
    if let Some((text, operator)) = OPERATORS.into_iter().find(|(text, _)| rest.text.starts_with(text)) {
        let (_, right) = rest.split_at(text.len());
        return Ok(Condition::Compare(operator, value(right.trimmed(), metric.kind)?));
    }
    if rest.text.is_empty() {
        let message = format!("`{}` must be compared with something", metric.key);
        return Err(rest.error(message, format!("{operators} and {}", metric.kind.expected()), None));
    }
    let sign = rest.text.find(|c: char| !"=!<>~".contains(c)).unwrap_or(rest.text.len());
    if sign > 0 {
        let (sign, _) = rest.split_at(sign);
        let suggestion = match sign.text {
            "=" | "===" => Some("=="),
            "=<" => Some("<="),
            "=>" => Some(">="),
            "<>" | "!" | "!==" => Some("!="),
            _ => None,
        };
        let message = format!("there is no operator `{}`", sign.text);
        return Err(sign.error(message, operators, suggestion.map(str::to_string)));
    }
    if word.text == "within" {
        let message = format!("`{}` is a number, not an event with a time", metric.key);
        return Err(word.error(message, operators, Some("<=".to_string()).filter(|_| metric.kind == ValueKind::Span)));
    }
    let (word, _) = rest.split_at(word.text.len());
    Err(word.error(format!("`{}` is no operator", word.text), operators, None))
}

/// Reads the right side, of the kind that the metric has.
fn value(right: Piece<'_>, kind: ValueKind) -> Result<Value, ExpectationError> {
    let wrong = |message: String, suggestion: Option<String>| right.error(message, kind.expected(), suggestion);
    if right.text.is_empty() {
        return Err(wrong("the value is missing".to_string(), None));
    }
    match kind {
        ValueKind::Count | ValueKind::Event => {
            let plain = right.text.replace(['_', ','], "");
            plain.parse().map(Value::Count).map_err(|_| wrong(format!("`{}` is not a whole number", right.text), None))
        }
        ValueKind::Ratio => {
            let (digits, scale) = match right.text.strip_suffix('%') {
                Some(digits) => (digits.trim_end(), 100.0),
                None => (right.text, 1.0),
            };
            match digits.parse::<f64>().map(|number| number / scale) {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Value::Ratio(ratio)),
                Ok(_) => {
                    let suggestion = (scale == 1.0).then(|| format!("{digits}%"));
                    Err(wrong(format!("`{}` is not between 0 and 1", right.text), suggestion))
                }
                Err(_) => Err(wrong(format!("`{}` is not a share", right.text), None)),
            }
        }
        ValueKind::Number => {
            let plain = right.text.replace(['_', ','], "");
            let number = plain.parse().ok().filter(|number: &f64| number.is_finite());
            number.map(Value::Number).ok_or_else(|| wrong(format!("`{}` is not a number", right.text), None))
        }
        ValueKind::Span => {
            let (sign, digits) = match right.text.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, right.text),
            };
            match digits.parse::<Duration>() {
                Ok(span) => Ok(Value::Span(sign * i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))),
                Err(error) => {
                    let bare = digits.parse::<f64>().is_ok();
                    Err(wrong(error.to_string(), bare.then(|| format!("{}s", right.text))))
                }
            }
        }
    }
}

fn find(collection: Collection, key: &str) -> Option<&'static Metric> {
    metrics().iter().find(|m| m.collection == collection && m.key == key)
}

fn keys(collection: Collection) -> Vec<&'static str> {
    metrics().iter().filter(|m| m.collection == collection).map(|m| m.key).collect()
}

fn example(collection: Collection) -> &'static str {
    match collection {
        Collection::Run => "failedRequests == 0",
        Collection::Services => "services.default/nginx.failedRequests == 0",
        Collection::Traffic => "traffic.web.failedRequests == 0",
        Collection::Drains => "drains.node-1.completed within 60s",
        Collection::Pdbs => "pdbs.default/nginx.denials >= 1",
        Collection::Pods => "pods.nginx-*.sigkills == 0",
        Collection::Deployments => "at 45s: deployments.web.readyPods >= 2",
    }
}

/// `a, b or c`; kinds of failures are named once.
fn list(words: &[&str]) -> String {
    let kinds: Vec<_> = words.iter().filter(|w| !w.starts_with("failedRequests.")).map(|w| format!("`{w}`")).collect();
    match kinds.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The candidate that was probably meant.
pub(crate) fn nearest(text: &str, candidates: &[&str]) -> Option<String> {
    suggest::nearest(text, candidates.iter().copied()).map(str::to_string)
}
