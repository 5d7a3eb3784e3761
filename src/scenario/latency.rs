//! Distributions as people write them.
//!
//! ```yaml
//! 20ms                                                  # always the same
//! {p50: 20ms, p99: 200ms}                               # log-normal through any two percentiles
//! {min: 0s, max: 1s}                                    # uniform
//! {mean: 50ms}                                          # exponential
//! {histogram: [{le: 100ms, count: 5}, {le: 1s, count: 9}, {le: +Inf, count: 10}]}  # cumulative, as Prometheus counts
//! {mixture: [{weight: 9, of: 10ms}, {weight: 1, of: {p50: 1s, p99: 5s}}]}
//! ```

use crate::engine::{Distribution, DistributionError, Duration};
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::read::{Read, expected, record, unknown_field, wrong_type};
use crate::scenario::source::Spanned;
use crate::scenario::tree::{Entry, Node, Value};

const WHAT: &str =
    "a latency: `20ms`, {p50: 20ms, p99: 200ms}, {min: 0s, max: 1s}, {mean: 50ms}, {histogram: […]} or {mixture: […]}";

/// The keys that a latency may have, besides any percentile `pN`.
const KEYS: [&str; 8] = ["p50", "p99", "min", "max", "mean", "constant", "histogram", "mixture"];

impl Read for Distribution {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match &node.value {
            Value::String(_) | Value::Number(_) => Duration::read(node, problems).map(Self::Constant),
            Value::Map(entries) => read_map(node, entries, problems),
            _ => expected(node, WHAT, problems),
        }
    }
}

fn read_map(node: &Node, entries: &[Entry], problems: &mut Diagnostics) -> Option<Distribution> {
    let is_percentile = |e: &&Entry| percentile(&e.key).is_some();
    let unknown: Vec<&Entry> =
        entries.iter().filter(|e| !KEYS.contains(&e.key.as_str()) && !is_percentile(e)).collect();
    if !unknown.is_empty() {
        for entry in unknown {
            problems.push(unknown_field(entry, "a latency", KEYS));
        }
        return None;
    }
    let mut span = |key: &str| node.entry(key).and_then(|e| Duration::read(&e.node, problems));
    let mut keys: Vec<&str> = entries.iter().map(|e| e.key.as_str()).collect();
    keys.sort_unstable();
    let result = match keys[..] {
        ["constant"] => return span("constant").map(Distribution::Constant),
        ["mean"] => Distribution::exponential(span("mean")?),
        ["max", "min"] => {
            let (min, max) = (span("min"), span("max"));
            Distribution::uniform(min?, max?)
        }
        [a, b] if percentile(a).is_some() && percentile(b).is_some() => {
            let (low, high) = (span(a), span(b));
            Distribution::log_normal_by((percentile(a)?, low?), (percentile(b)?, high?))
        }
        ["histogram"] => read_histogram(&node.entry("histogram")?.node, problems)?,
        ["mixture"] => {
            let parts: Vec<Part> = Read::read(&node.entry("mixture")?.node, problems)?;
            Distribution::mixture(parts.into_iter().map(|p| (p.weight, p.of)).collect())
        }
        [] => return expected(node, WHAT, problems),
        [one] if percentile(one).is_some() => {
            problems.push(
                Diagnostic::error(format!("`{one}` alone does not make a distribution"))
                    .at(&node.span, "one more percentile is needed")
                    .help(format!("add `{}`, or write `constant`", if one == "p99" { "p50" } else { "p99" })),
            );
            return None;
        }
        ["max"] | ["min"] => {
            problems.push(Diagnostic::error("a uniform latency needs both `min` and `max`").at(&node.span, ""));
            return None;
        }
        _ => {
            problems.push(
                Diagnostic::error(format!("these fields do not go together in a latency: {}", keys.join(", ")))
                    .at(&node.span, "expected one way to write it")
                    .note(format!("expected {WHAT}")),
            );
            return None;
        }
    };
    told(node, result, problems)
}

/// The distribution, or the engine's words about it at the place of the map.
fn told(
    node: &Node,
    result: Result<Distribution, DistributionError>,
    problems: &mut Diagnostics,
) -> Option<Distribution> {
    result.map_err(|error| problems.push(Diagnostic::error(error.to_string()).at(&node.span, "in this latency"))).ok()
}

/// `p50` as 0.5, `p99.9` as 0.999; `None` if it is not written like a percentile.
fn percentile(key: &str) -> Option<f64> {
    let percent = key.strip_prefix('p').filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))?;
    // Shifted in the text, so that p99.9 is the number nearest to 0.999.
    format!("{percent}e-2").parse().ok()
}

record! {
    /// A part of a mixture.
    pub struct Part is "a part of a mixture" {
        /// How often, in proportion to the other parts' weights.
        pub weight: f64,
        /// The latency of this part.
        pub of: Distribution,
    }
}

record! {
    /// A bucket of a histogram, cumulative as in Prometheus.
    pub struct Bucket is "a bucket of a histogram" {
        /// The upper bound, or `+Inf` in the last bucket.
        pub le: Spanned<Bound>,
        /// How many observations were at most that long.
        pub count: u64,
    }
}

/// A bucket's upper bound; `None` is `+Inf`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bound(pub Option<Duration>);

impl Read for Bound {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match &node.value {
            // `+Inf` as it stands in Prometheus' text; YAML's own infinity is written `.inf`.
            Value::String(text) if matches!(text.as_str(), "+Inf" | "Inf" | ".inf") => Some(Self(None)),
            Value::Number(text) if text.to_ascii_lowercase().contains("inf") => Some(Self(None)),
            Value::Number(text) if !text.starts_with('-') && text != "0" => {
                problems.push(
                    wrong_type(node, "a duration or `+Inf`")
                        .help(format!("Prometheus' bounds are seconds: write `{text}s`")),
                );
                None
            }
            _ => Duration::read(node, problems).map(|bound| Self(Some(bound))),
        }
    }
}

fn read_histogram(node: &Node, problems: &mut Diagnostics) -> Option<Result<Distribution, DistributionError>> {
    let buckets: Vec<Bucket> = Read::read(node, problems)?;
    let mut finite = Vec::new();
    let mut total = None;
    for bucket in &buckets {
        match (bucket.le.value.0, total) {
            (Some(bound), None) => finite.push((bound, bucket.count)),
            (None, None) => total = Some(bucket.count),
            (_, Some(_)) => {
                problems.push(
                    Diagnostic::error("`+Inf` must be the last bucket").at(&bucket.le.span, "this one comes after it"),
                );
                return None;
            }
        }
    }
    let total = total.unwrap_or_else(|| finite.last().map_or(0, |&(_, count)| count));
    Some(Distribution::histogram(&finite, total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::source::SourceFile;
    use crate::scenario::tree::parse;

    fn read(text: &str) -> Result<Distribution, String> {
        let node = parse(&SourceFile::new("t", text, 0), 0).unwrap().remove(0);
        let mut problems = Diagnostics::default();
        Distribution::read(&node, &mut problems).ok_or_else(|| problems.list[0].message.clone())
    }

    #[test]
    fn every_way_to_write_one_is_read() {
        let ms = Duration::from_millis;
        assert_eq!(read("20ms"), Ok(Distribution::Constant(ms(20))));
        assert_eq!(read("{constant: 20ms}"), Ok(Distribution::Constant(ms(20))));
        assert_eq!(read("{p50: 20ms, p99: 200ms}"), Ok(Distribution::log_normal(ms(20), ms(200)).unwrap()));
        assert_eq!(
            read("{p99.9: 200ms, p50: 20ms}"),
            Ok(Distribution::log_normal_by((0.999, ms(200)), (0.5, ms(20))).unwrap())
        );
        assert_eq!(read("{min: 0s, max: 1s}"), Ok(Distribution::uniform(ms(0), ms(1000)).unwrap()));
        assert_eq!(read("{mean: 50ms}"), Ok(Distribution::exponential(ms(50)).unwrap()));
        let histogram = Distribution::histogram(&[(ms(100), 5), (ms(1000), 9)], 10).unwrap();
        assert_eq!(
            read("{histogram: [{le: 100ms, count: 5}, {le: 1s, count: 9}, {le: +Inf, count: 10}]}"),
            Ok(histogram)
        );
        let mixture =
            Distribution::mixture(vec![(9.0, Distribution::Constant(ms(10))), (1.0, Distribution::Constant(ms(20)))]);
        assert_eq!(read("{mixture: [{weight: 9, of: 10ms}, {weight: 1, of: 20ms}]}"), Ok(mixture.unwrap()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "{}",
            "[]",
            "20",
            "true",
            "{p50: 20ms}",
            "{min: 1s}",
            "{p50: 2s, p99: 1s}",
            "{p50: 2s, max: 3s}",
            "{min: 2s, max: 1s}",
            "{mean: 0s}",
            "{p50: 1s, p100: 2s}",
            "{p50: 1s, p99: 2s, p999: 3s}",
            "{histogram: []}",
            "{mixture: []}",
            "{mixture: [{weight: -1, of: 1s}]}",
            "{histogram: [{le: 0.1, count: 1}]}",
            "{median: 3s}",
            "{histogram: [{le: +Inf, count: 1}, {le: 1s, count: 1}]}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
