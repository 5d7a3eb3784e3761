//! What a scenario expects of its run: one comparison of one metric a line.
//!
//! ```text
//! expectation = ["at" duration ":"] ["not"] [quantile "of"] metric [condition] { clause }
//! metric      = [collection "." name "."] key          condition = operator value | "within" duration
//! operator    = == != < <= > >=                        quantile  = p50 p99 p99.9 …
//! clause      = "in" share "of runs" | "for" number "seeds" | "with" confidence | "recorded"
//!
//! failedRequests == 0                     services.default/nginx.minReadyEndpoints >= 1
//! failureRate < 0.1%                      drains.node-1.completed within 60s
//! not drains.node-2.completed             pods.nginx-*.sigkills == 0
//! failedRequests == 0 for 200 seeds       p99 of drains.*.duration < 10m with 95%
//! failedRequests == 0 in 99% of runs      at 45s: deployments.web.readyPods >= 2
//! ```
//!
//! The grammar is closed: no variables, no arithmetic, no scripting. [`metrics`] lists every metric there is; an error
//! points at the part of the text that is wrong and names the nearest thing that would have been right. A name may end
//! in `*`; what is then selected is taken together as the metric's [`Aggregate`] says. To select nothing is to fail: an
//! expectation about a Service that is not there never holds by accident.
//!
//! A run either meets the condition or does not. What that says about the scenario is the [`Claim`]: without a quantile
//! or share every run must meet it; `p99 of X < v` is the same claim as `X < v in 99% of runs`.

mod claim;
mod metric;
mod parse;

use std::fmt;
use std::ops::Range;

pub use claim::{CONFIDENCE, Claim};
pub use metric::{Aggregate, Collection, Metric, ValueKind, metrics};

use crate::engine::Time;
use crate::simulation::Outcome;
use metric::Measured;

/// One parsed expectation. Its text is kept for reports.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectation {
    text: String,
    /// Of a momentary metric: when.
    at: Option<Time>,
    negated: bool,
    /// `p99 of`: the share that it names.
    quantile: Option<f64>,
    subject: Subject,
    condition: Condition,
    claim: Claim,
    /// `for N seeds`.
    seeds: Option<u32>,
    /// `recorded`: the bytes of the value, which may be written anew.
    recorded: Option<Range<usize>>,
}

/// What an expectation looks at.
#[derive(Clone, PartialEq, Debug)]
struct Subject {
    metric: &'static Metric,
    /// The name of the object as it was written; empty for the metrics of the whole run.
    name: String,
    /// Where it was written.
    name_span: Range<usize>,
}

/// What must be true of it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Condition {
    /// An event that happened at all.
    Happened,
    /// An event that happened at most so many nanoseconds after what it is counted from.
    Within(i64),
    /// A number that compares so.
    Compare(Operator, Value),
}

/// `==`, `!=`, `<`, `<=`, `>` or `>=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The right side of a comparison.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Value {
    /// A whole number; exit codes may be negative.
    Count(i64),
    /// A share of 1.
    Ratio(f64),
    /// Nanoseconds; slack may be negative.
    Span(i64),
    /// Any number.
    Number(f64),
}

/// Why a text is not an expectation.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExpectationError {
    /// The bytes of the text that are wrong; empty at its end if something is missing.
    pub span: Range<usize>,
    /// The one thing that is wrong, a sentence without a full stop.
    pub message: String,
    /// What could have stood there.
    pub expected: String,
    /// The nearest right thing, if one is near.
    pub suggestion: Option<String>,
}

/// An expectation and what became of it in one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The expectation as it was written.
    pub text: String,
    /// Whether the run met its condition.
    pub passed: bool,
    /// What the run gave instead of the right side: `37`, `12.3s`, `no drain of node-9`.
    pub actual: String,
    /// A number to order runs by what they gave: counts, nanoseconds, shares in units of 10⁻¹⁵, other numbers of 10⁻⁶; the greatest of all for
    /// what did not happen or was not there.
    pub rank: i64,
    /// Whether the expectation is about the share of many runs, so that one run alone neither meets nor breaks it.
    pub about_many_runs: bool,
}

impl Expectation {
    /// Reads an expectation.
    ///
    /// # Errors
    ///
    /// [`ExpectationError`] says where, what was expected there, and what was probably meant.
    pub fn parse(text: &str) -> Result<Self, ExpectationError> {
        parse::expectation(text)
    }

    /// The expectation as it was written, without space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The object that it names, with the bytes of its text that do so, so that a scenario can be checked before it is
    /// run; `None` for the metrics of the whole run.
    #[must_use]
    pub fn names(&self) -> Option<(Collection, &str, Range<usize>)> {
        let collection = self.subject.metric.collection;
        (collection != Collection::Run)
            .then(|| (collection, self.subject.name.as_str(), self.subject.name_span.clone()))
    }

    /// What it says about many runs.
    #[must_use]
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// The share that `pN of` names; `None` if it is not about a quantile.
    #[must_use]
    pub fn quantile(&self) -> Option<f64> {
        self.quantile
    }

    /// `for N seeds`.
    #[must_use]
    pub fn seeds(&self) -> Option<u32> {
        self.seeds
    }

    /// The time at which it looks; `None`: at the whole run.
    #[must_use]
    pub fn at(&self) -> Option<Time> {
        self.at
    }

    /// The bytes of the value, if it is one that was recorded and may be written anew.
    #[must_use]
    pub fn recorded(&self) -> Option<Range<usize>> {
        self.recorded.clone()
    }

    /// The value that would have to be recorded for this run; `None` if there is none.
    #[must_use]
    pub fn value_of(&self, outcome: &Outcome) -> Option<String> {
        match metric::measure(self.subject.metric, &self.subject.name, self.at.unwrap_or_default(), outcome) {
            Measured::Number { value: Value::Count(count), .. } => Some(count.to_string()),
            Measured::Number { value: Value::Span(nanos), .. } => {
                let sign = if nanos < 0 { "-" } else { "" };
                Some(format!("{sign}{}", crate::engine::Duration::from_nanos(nanos.unsigned_abs())))
            }
            _ => None,
        }
    }

    /// Looks whether a finished run meets the condition.
    #[must_use]
    pub fn evaluate(&self, outcome: &Outcome) -> Checked {
        let at = self.at.unwrap_or_default();
        let measured = metric::measure(self.subject.metric, &self.subject.name, at, outcome);
        let checked = |passed, actual| Checked {
            text: self.text.clone(),
            passed,
            actual,
            rank: rank(&measured),
            about_many_runs: self.claim != Claim::Always,
        };
        let (held, actual) = match (&measured, self.condition) {
            // `not` of nothing is still nothing.
            (Measured::Nothing(why), _) => return checked(false, why.clone()),
            (Measured::Number { value, text }, Condition::Compare(operator, wanted)) => {
                (compare(*value, operator, wanted), text.clone())
            }
            (Measured::Event { after, text }, Condition::Happened) => (after.is_some(), text.clone()),
            (Measured::Event { after, text }, Condition::Within(limit)) => {
                (after.is_some_and(|after| after <= limit), text.clone())
            }
            // The parser joins numbers with comparisons and events with `within` only.
            (Measured::Number { text, .. } | Measured::Event { text, .. }, _) => {
                return checked(false, text.clone());
            }
        };
        checked(held != self.negated, actual)
    }
}

fn rank(measured: &Measured) -> i64 {
    match measured {
        Measured::Number { value: Value::Count(number) | Value::Span(number), .. } => *number,
        Measured::Number { value: Value::Ratio(ratio), .. } => (ratio * 1e15) as i64,
        Measured::Number { value: Value::Number(number), .. } => (number * 1e6) as i64,
        Measured::Event { after: Some(after), .. } => *after,
        Measured::Event { after: None, .. } | Measured::Nothing(_) => i64::MAX,
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Compares two values of one kind; the parser has seen to it that they are.
fn compare(left: Value, operator: Operator, right: Value) -> bool {
    let ordering = match (left, right) {
        (Value::Count(a), Value::Count(b)) | (Value::Span(a), Value::Span(b)) => a.cmp(&b),
        (Value::Ratio(a), Value::Ratio(b)) | (Value::Number(a), Value::Number(b)) => a.total_cmp(&b),
        _ => return false,
    };
    match operator {
        Operator::Equal => ordering.is_eq(),
        Operator::NotEqual => ordering.is_ne(),
        Operator::Less => ordering.is_lt(),
        Operator::LessOrEqual => ordering.is_le(),
        Operator::Greater => ordering.is_gt(),
        Operator::GreaterOrEqual => ordering.is_ge(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::fixture;

    fn check(text: &str) -> (bool, String) {
        let checked = Expectation::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).evaluate(&fixture::outcome());
        assert_eq!(checked.text, text.trim());
        (checked.passed, checked.actual)
    }

    #[track_caller]
    fn holds(text: &str, actual: &str) {
        assert_eq!(check(text), (true, actual.to_string()), "{text}");
    }

    #[track_caller]
    fn fails(text: &str, actual: &str) {
        assert_eq!(check(text), (false, actual.to_string()), "{text}");
    }

    #[track_caller]
    fn refused(text: &str, marked: &str, message: &str, suggestion: Option<&str>) {
        let error = Expectation::parse(text).expect_err(text);
        assert_eq!(&text[error.span.clone()], marked, "{text}: {error:?}");
        assert_eq!(error.message, message, "{text}");
        assert_eq!(error.suggestion.as_deref(), suggestion, "{text}");
        assert!(!error.expected.is_empty(), "{text}");
    }

    #[test]
    fn the_whole_run() {
        fails("failedRequests == 0", "37");
        holds(" failedRequests==37 ", "37");
        holds("failedRequests.refused >= 1", "37");
        holds("failedRequests.http503 == 0", "0");
        holds("failureRate < 0.2%", "0.154%");
        fails("failureRate <= 0.0015", "0.154%");
        holds("sentRequests == 24_000", "24000");
        holds("unfinishedRequests != 0", "3");
        fails("slack.min > 1s", "-0.878s");
        holds("slack.min > -900ms", "-0.878s");
        holds("expectedFailedRequests < 36.3", "36.25");
        fails("traffic.web.expectedFailedRequests < 1_0.5", "36.25");
        refused("expectedFailedRequests < 5%", "5%", "`5%` is not a number", None);
        holds("not failedRequests == 0", "37");
    }

    #[test]
    fn services_by_name_with_and_without_namespace() {
        fails("services.default/nginx.failedRequests == 0", "37");
        holds("services.nginx.failedRequests.refused == 37", "37");
        holds("services.nginx.minReadyEndpoints >= 1", "1");
        fails("services.*.zeroEndpointSeconds > 5s", "0.000s");
        holds("services.ngi*.zeroEndpointSeconds == 0", "0.000s");
        fails("services.other/nginx.failedRequests == 0", "no Service other/nginx");
        fails("services.other.minReadyEndpoints == 0", "no Service other");
    }

    #[test]
    fn drains_take_their_time() {
        holds("drains.node-1.completed within 60s", "completed after 1.945s");
        fails("drains.node-2.completed within 6s", "completed after 6.945s");
        holds("not drains.node-2.completed within 6s", "completed after 6.945s");
        holds("drains.*.completed", "completed after 6.945s");
        holds("drains.node-1.exitCode == 0", "0");
        holds("drains.*.evictionsDenied == 1", "1");
        holds("drains.node-1.duration < 2s", "1.945s");
    }

    #[test]
    fn to_select_nothing_is_to_fail_also_when_negated() {
        fails("drains.node-9.completed", "no drain of node-9");
        fails("not drains.node-9.completed", "no drain of node-9");
        fails("pods.x*.sigkills == 0", "no pod x*");
        fails(
            "pods.nginx-66b6c48dd5-klmno.slack > 0s",
            "no pod nginx-66b6c48dd5-klmno lost its routes and its listener",
        );
    }

    #[test]
    fn a_drain_that_did_not_end_is_not_completed_and_has_no_duration() {
        let mut outcome = fixture::outcome();
        outcome.drains[1].completed_at = None;
        outcome.drains[1].exit_code = None;
        let check = |text: &str| {
            let checked = Expectation::parse(text).unwrap().evaluate(&outcome);
            (checked.passed, checked.actual)
        };
        assert_eq!(check("drains.node-2.completed"), (false, "not completed".to_string()));
        assert_eq!(check("not drains.node-2.completed"), (true, "not completed".to_string()));
        assert_eq!(check("drains.*.completed within 1h"), (false, "1 of 2 not completed".to_string()));
        assert_eq!(check("drains.node-2.duration < 1h"), (false, "not completed".to_string()));
        assert_eq!(check("drains.node-2.exitCode == 0"), (false, "kubectl is still running".to_string()));
    }

    #[test]
    fn budgets_and_pods() {
        holds("pdbs.default/nginx.denials >= 1", "1");
        holds("pdbs.nginx.minHealthy >= 1", "1");
        holds("pods.nginx-*.sigkills == 0", "0");
        holds("pods.nginx-66b6c48dd5-abcde.failedRequests == 37", "37");
        fails("pods.nginx-*.slack > 0", "-0.878s");
        holds("pods.nginx-*.count == 3", "3");
        holds("pods.nginx-66b6c48dd5-klmno.ready within 3s", "ready after 2.960s");
        fails("pods.nginx-*.removed", "1 of 3 not removed");
    }

    #[test]
    fn names_may_contain_dots() {
        let expectation = Expectation::parse("drains.ip-10-0-0-1.ec2.internal.completed").unwrap();
        assert_eq!(expectation.names(), Some((Collection::Drains, "ip-10-0-0-1.ec2.internal", 7..31)));
        assert_eq!(Expectation::parse("failedRequests == 0").unwrap().names(), None);
    }

    #[test]
    fn errors_point_at_the_part_that_is_wrong() {
        refused("", "", "the metric is missing", None);
        refused("not", "", "the metric is missing", None);
        refused("== 0", "== 0", "the metric before this is missing", None);
        refused("faildRequests == 0", "faildRequests", "there is no metric `faildRequests`", Some("failedRequests"));
        refused(
            "failedRequests.refusd == 0",
            "failedRequests.refusd",
            "there is no metric `failedRequests.refusd`",
            Some("failedRequests.refused"),
        );
        refused("drain.node-1.completed", "drain", "there is no metric `drain.node-1.completed`", Some("drains"));
        refused("drains.node-1.complete", "complete", "drains have no metric `complete`", Some("completed"));
        refused(
            "services.a.failedRequests.nope == 0",
            "failedRequests.nope",
            "services have no metric `failedRequests.nope`",
            None,
        );
        refused("drains.completed", "drains.completed", "`drains.completed` lacks the name of the object", None);
        refused("drains.node-1", "", "`drains.node-1` lacks a metric", None);
        refused("drains", "", "`drains` lacks a metric", None);
        refused("pods..count == 1", "", "the name is empty", None);
        refused("pods.a*b.count == 1", "*b", "`*` may only end a name", None);
        refused("failedRequests", "", "`failedRequests` must be compared with something", None);
        refused("failedRequests = 0", "=", "there is no operator `=`", Some("=="));
        refused("failedRequests => 0", "=>", "there is no operator `=>`", Some(">="));
        refused("failedRequests is 0", "is", "`is` is no operator", None);
        refused("failedRequests == ", "", "the value is missing", None);
        refused("failedRequests == none", "none", "`none` is not a whole number", None);
        refused("failedRequests == 0%", "0%", "`0%` is not a whole number", None);
        refused("failureRate < 5", "5", "`5` is not between 0 and 1", Some("5%"));
        refused("failureRate < 101%", "101%", "`101%` is not between 0 and 1", None);
        refused(
            "drains.a.completed within 60",
            "60",
            "`60` lacks a unit after `60`: expected one of ns, us, ms, s, m, h, as in `60s`",
            Some("60s"),
        );
        refused("drains.a.completed within -1s", "-1s", "a limit cannot be negative", None);
        refused("drains.a.completed == 1", "== 1", "`completed` happens or does not; it cannot be compared", None);
        refused(
            "drains.a.completed witin 1s",
            "witin 1s",
            "`completed` happens or does not; it cannot be compared",
            Some("within"),
        );
        refused(
            "drains.a.duration within 1s",
            "within",
            "`duration` is a number, not an event with a time",
            Some("<="),
        );
    }

    #[test]
    fn states_at_a_time() {
        holds("at 0s: deployments.nginx.readyPods == 2", "2");
        holds("at 11s: deployments.default/nginx.readyPods == 1", "1");
        holds("at 45s: deployments.*.readyPods >= 2", "2");
        holds("at 12s: services.nginx.readyEndpoints == 1", "1");
        holds("at 13150ms: services.nginx.readyEndpoints == 2", "2");
        fails("at 12s: pdbs.nginx.disruptionsAllowed >= 1", "0");
        holds("at 20s: not pdbs.nginx.currentHealthy == 1", "2");
        fails("at 20s: deployments.web.readyPods >= 0", "no Deployment web");
        refused(
            "deployments.web.readyPods > 0",
            "readyPods",
            "`readyPods` is a state at a time, and none is named",
            None,
        );
        refused("at 5s: failedRequests == 0", "at 5s:", "`failedRequests` is of the whole run, not of a time", None);
        refused("at 5s", "", "`:` is missing after the time", None);
        refused(
            "at soon: failedRequests == 0",
            "soon",
            "`soon` is not a duration: expected a number with a unit, such as `30s`, `1m30s` or `500ms`",
            None,
        );
    }

    #[test]
    fn claims_about_many_runs() {
        let claim = |text: &str| {
            let expectation = Expectation::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            (expectation.claim(), expectation.seeds())
        };
        let share = |share, confidence| Claim::Share { share, confidence };
        assert_eq!(claim("failedRequests == 0"), (Claim::Always, None));
        assert_eq!(claim("failedRequests == 0 for 200 seeds"), (Claim::Always, Some(200)));
        assert_eq!(claim("p99 of drains.node-1.duration < 10m with 95 %"), (share(0.99, 0.95), None));
        assert_eq!(claim("p90 of drains.node-1.completed within 10m for 1_000 seeds"), (share(0.9, 0.95), Some(1000)));
        assert_eq!(claim("failedRequests == 0 in 99.9% of runs with 99%"), (share(0.999, 0.99), None));
        // At most one run in a hundred may lie at or below.
        let (Claim::Share { share, .. }, None) = claim("p1 of slack.min > 1s") else { panic!("no share") };
        assert!((share - 0.99).abs() < 1e-12, "{share}");
        let checked = Expectation::parse("p99 of failedRequests < 5").unwrap().evaluate(&fixture::outcome());
        assert_eq!((checked.passed, checked.rank, checked.about_many_runs), (false, 37, true));
    }

    #[test]
    fn claims_that_cannot_be_are_refused() {
        refused("p99 failedRequests < 5", "p99", "`p99` lacks `of`", Some("p99 of"));
        refused("p101 of failedRequests < 5", "p101", "`p101` is no percentile", None);
        refused("p100 of failedRequests < 5", "p100", "`p100` is no percentile", None);
        refused("p99 of failedRequests == 5", "== 5", "a percentile has no exact value", None);
        refused("not p99 of failedRequests < 5", "not", "`not` does not go with a percentile", None);
        refused("p99 of drains.a.completed", "", "`p99 of` a happening lacks a limit", None);
        refused("p99 of failedRequests < 5 in 9% of runs", "in 9% of runs", "`p99 of` names the share already", None);
        refused("failedRequests == 0 in 100% of runs", "100%", "no number of runs can show 100%", None);
        refused("failedRequests == 0 in 99%", "", "`of runs` is missing", None);
        refused("failedRequests == 0 for 0 seeds", "0", "`0` is not a number of seeds", None);
        refused("failedRequests == 0 for 200", "", "`seeds` is missing", None);
        refused("failedRequests == 0 for 200 seed", "seed", "`seed` is no clause", Some("seeds"));
        refused("failedRequests == 0 with 95%", "with 95%", "`with` needs a share to be sure of", None);
        refused("p99 of failedRequests < 5 with 100%", "100%", "`100%` is no confidence", None);
        refused("p99 of failedRequests < 5 with 95% 3", "3", "`3` is no clause", None);
        refused(
            "p99 of failedRequests < 5 for 200 seeds",
            "for 200 seeds",
            "200 seeds can never show this with 95%: it takes 299",
            Some("for 299 seeds"),
        );
    }

    #[test]
    fn recorded_values_say_where_they_stand() {
        let text = "failedRequests == 37 recorded";
        let expectation = Expectation::parse(text).unwrap();
        assert_eq!(&text[expectation.recorded().unwrap()], "37");
        assert_eq!(expectation.value_of(&fixture::outcome()), Some("37".to_string()));
        let expectation = Expectation::parse("drains.node-1.duration == 1s recorded").unwrap();
        assert_eq!(expectation.value_of(&fixture::outcome()), Some("1.945s".to_string()));
        refused("failedRequests <= 37 recorded", "recorded", "only an exact value can be recorded", None);
        refused("failureRate == 1% recorded", "recorded", "only an exact value can be recorded", None);
        refused("failedRequests == 1 for 9 seeds recorded", "recorded", "a recorded value is that of one run", None);
    }

    #[test]
    fn every_metric_can_be_parsed_and_measured() {
        let outcome = fixture::outcome();
        for metric in metrics() {
            let path = match metric.collection {
                Collection::Run => metric.key.to_string(),
                collection => format!("{}.*.{}", collection.word(), metric.key),
            };
            let text = match metric.kind {
                ValueKind::Count => format!("{path} >= 0"),
                ValueKind::Ratio => format!("{path} <= 100%"),
                ValueKind::Number => format!("{path} < 36.5"),
                ValueKind::Span => format!("{path} > -1h"),
                ValueKind::Event => path,
            };
            let text = if metric.is_momentary() { format!("at 30s: {text}") } else { text };
            let checked = Expectation::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}")).evaluate(&outcome);
            assert!(checked.passed || metric.kind == ValueKind::Event, "{text}: {checked:?}");
            assert!(!metric.doc.is_empty() && !checked.actual.is_empty(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(not )?(drains|pods|services|failedRequests|[.*= a-z<>!]){0,6}[ =<>0-9.s%-]{0,6}|\\PC*") {
            if let Err(error) = Expectation::parse(&text) {
                proptest::prop_assert!(text.get(error.span).is_some());
            }
        }
    }
}
