//! How the components' recorders keep repeated Events down: equal ones are counted in one object, many similar ones are
//! combined, and a source that says too much about one object is not heard.
//!
//! Source: `k8s.io/client-go/tools/record/events_cache.go` EventCorrelator (v1.36). That its caches hold 4096 entries is
//! left out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::engine::{Duration, Time};
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::events::Events;
use crate::report::kubectl::events::recorded::{Recorded, Recorder};

/// So many Events that differ in nothing but the message are written one by one.
const AGGREGATE_EVENTS_MAX: usize = 10;
/// Similar Events that are further apart than this have nothing to do with each other.
const AGGREGATE_INTERVAL: Duration = Duration::from_secs(600);
/// A source may say so much about an object at once, and one thing more every 5 minutes.
const SPAM_BURST: u64 = 25;
const SPAM_REFILL: Duration = Duration::from_secs(300);

/// All recorders of the old Event API.
#[derive(Debug, Default)]
pub(super) struct Correlator {
    similar: BTreeMap<String, Similar>,
    known: BTreeMap<String, Known>,
    spam: BTreeMap<String, Bucket>,
}

#[derive(Debug, Default)]
struct Similar {
    messages: BTreeSet<String>,
    last: Time,
}

/// An Event that has been recorded; `index`: where it was written, if it was.
#[derive(Clone, Copy, Debug)]
struct Known {
    count: u64,
    index: Option<usize>,
}

/// Tokens, in units of one over the refill time.
#[derive(Debug)]
struct Bucket {
    tokens_nanos: u64,
    since: Time,
}

impl Correlator {
    /// Takes one Event.
    pub(super) fn record(&mut self, events: &mut Events, recorded: &Recorded) {
        let Recorder::Core { component, host } = &recorded.recorder else { return };
        let about = &recorded.about;
        let source = format!("{component} {host} {} {} {}", about.kind, about.namespace, about.name);
        let same = format!("{source} {} {} {}", recorded.kind.name(), about.field_path, recorded.reason);
        let alike = format!("{source} {} {}", recorded.kind.name(), recorded.reason);

        let similar = self.similar.entry(alike.clone()).or_default();
        if recorded.time.since(similar.last) > AGGREGATE_INTERVAL {
            similar.messages.clear();
        }
        similar.messages.insert(recorded.message.clone());
        similar.last = recorded.time;
        let combined = similar.messages.len() >= AGGREGATE_EVENTS_MAX;
        if combined {
            similar.messages.pop_first();
        }
        let message = if combined {
            format!("(combined from similar events): {}", recorded.message)
        } else {
            recorded.message.clone()
        };
        let key = if combined { alike } else { format!("{same} {message}") };
        let known = self.known.entry(key).or_insert(Known { count: 0, index: None });
        known.count += 1;
        let spam = format!("{source} {}", recorded.kind.name());
        if !self.spam.entry(spam).or_insert(Bucket::full(recorded.time)).take(recorded.time) {
            return;
        }
        let now = Instant::at(recorded.time).rfc3339();
        match known.index {
            Some(index) => {
                let changes = json!({"count": known.count, "lastTimestamp": now, "message": message});
                events.patch(index, recorded.time, &changes);
            }
            None => {
                let details = json!({
                    "count": known.count,
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "eventTime": null,
                    "message": message,
                    "source": if host.is_empty() { json!({"component": component}) } else { json!({"component": component, "host": host}) },
                    "reportingComponent": component,
                    "reportingInstance": host,
                });
                known.index = Some(events.create(recorded, &details));
            }
        }
    }
}

impl Bucket {
    fn full(now: Time) -> Self {
        Self { tokens_nanos: SPAM_BURST * SPAM_REFILL.as_nanos(), since: now }
    }

    fn take(&mut self, now: Time) -> bool {
        let one = SPAM_REFILL.as_nanos();
        self.tokens_nanos = (self.tokens_nanos + now.since(self.since).as_nanos()).min(SPAM_BURST * one);
        self.since = now;
        let enough = self.tokens_nanos >= one;
        if enough {
            self.tokens_nanos -= one;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::kubectl::events::recorded::{About, Kind};
    use serde_json::Value;

    fn run(messages: impl IntoIterator<Item = (u64, String)>) -> Vec<(u64, String)> {
        let mut events = Events::default();
        let mut correlator = Correlator::default();
        let mut end = Time::ZERO;
        for (second, message) in messages {
            end = Time::from_secs(second);
            let recorder = Recorder::Core { component: "kubelet".into(), host: "n".into() };
            let about = About { kind: "Pod", namespace: "default".into(), name: "x".into(), ..About::default() };
            let recorded = Recorded { time: end, recorder, about, kind: Kind::Warning, reason: "Unhealthy", message };
            correlator.record(&mut events, &recorded);
        }
        let shown = |event: Value| (event["count"].as_u64().unwrap(), event["message"].as_str().unwrap().to_string());
        (0..events.len()).filter_map(|index| events.object(index, end)).map(shown).collect()
    }

    #[test]
    fn equal_events_are_counted() {
        let seen = run((0..5).map(|n| (n, "failed".to_string())));
        assert_eq!(seen, [(5, "failed".to_string())]);
    }

    #[test]
    fn the_tenth_similar_event_within_ten_minutes_is_combined_with_the_later_ones() {
        let seen = run((0..12).map(|n| (n, format!("failed {n:02}"))));
        assert_eq!(seen.len(), 10);
        assert_eq!(seen[8], (1, "failed 08".to_string()));
        assert_eq!(seen[9], (3, "(combined from similar events): failed 11".to_string()));
        let apart = run((0..12).map(|n| (n * 601, format!("failed {n:02}"))));
        assert!(apart.iter().all(|(count, message)| *count == 1 && !message.starts_with('(')), "{apart:?}");
    }

    #[test]
    fn after_25_events_a_source_is_heard_every_five_minutes() {
        assert_eq!(run((0..40).map(|n| (n, "failed".to_string()))), [(25, "failed".to_string())]);
        // the count goes on in the recorder, and is written with the next Event that may pass
        let later = (0..40).map(|n| (n, "failed".to_string())).chain([(400, "failed".to_string())]);
        assert_eq!(run(later), [(41, "failed".to_string())]);
    }
}
