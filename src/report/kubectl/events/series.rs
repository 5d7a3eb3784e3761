//! How the scheduler's recorder counts repeated Events: the second one makes it a series in the apiserver, the others are
//! counted in the recorder and written every half an hour, or when the series has ended.
//!
//! Source: `k8s.io/client-go/tools/events/event_broadcaster.go` recordToSink, refreshExistingEventSeries, finishSeries
//! (v1.36). Whether Events are the same does not depend on their message: that of the first one stays. The two timers
//! count from the start of the run here.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::{Duration, Time};
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::events::Events;
use crate::report::kubectl::events::recorded::{Recorded, Recorder};

/// A series is over if nothing has been added to it for so long; looked at as often.
const FINISH_TIME: Duration = Duration::from_secs(6 * 60);
/// How often the counts are written.
const REFRESH_TIME: Duration = Duration::from_secs(30 * 60);

/// The scheduler's recorder.
#[derive(Debug, Default)]
pub(super) struct Series {
    cache: BTreeMap<String, Entry>,
    /// The timers have run up to here.
    until: Time,
}

#[derive(Debug)]
struct Entry {
    index: usize,
    first: Time,
    /// Count and last time, from the second Event on.
    series: Option<(u64, Time)>,
}

impl Series {
    /// Takes one Event.
    pub(super) fn record(&mut self, events: &mut Events, recorded: &Recorded) {
        let Recorder::Series { component, instance, action } = &recorded.recorder else { return };
        self.finish(events, recorded.time);
        let about = &recorded.about;
        let key = format!("{component} {action} {} {} {} {}", recorded.reason, about.kind, about.namespace, about.name);
        match self.cache.get_mut(&key) {
            Some(Entry { series: Some((count, last)), .. }) => (*count, *last) = (*count + 1, recorded.time),
            Some(entry) => {
                entry.series = Some((2, recorded.time));
                events.patch(entry.index, recorded.time, &json!({"series": written(2, recorded.time)}));
            }
            None => {
                let details = json!({
                    "firstTimestamp": null,
                    "lastTimestamp": null,
                    "eventTime": Instant::at(recorded.time).rfc3339_micro(),
                    "source": {},
                    "action": action,
                    "reportingComponent": component,
                    "reportingInstance": instance,
                });
                let index = events.create(recorded, &details);
                self.cache.insert(key, Entry { index, first: recorded.time, series: None });
            }
        }
    }

    /// Lets the timers run up to `now`.
    pub(super) fn finish(&mut self, events: &mut Events, now: Time) {
        loop {
            let next = next_multiple(self.until, FINISH_TIME).min(next_multiple(self.until, REFRESH_TIME));
            if next > now {
                return;
            }
            self.until = next;
            let is = |period: Duration| next.since(Time::ZERO).as_nanos().is_multiple_of(period.as_nanos());
            let (finishes, refreshes) = (is(FINISH_TIME), is(REFRESH_TIME));
            self.cache.retain(|_, entry| {
                let over = finishes && entry.series.map_or(entry.first, |(_, last)| last) + FINISH_TIME < next;
                if let Some((count, last)) = entry.series.filter(|_| over || refreshes) {
                    events.patch(entry.index, next, &json!({"series": written(count, last)}));
                }
                !over
            });
        }
    }
}

fn next_multiple(after: Time, period: Duration) -> Time {
    Time::ZERO + period.mul(after.since(Time::ZERO).as_nanos() / period.as_nanos() + 1)
}

fn written(count: u64, last: Time) -> Value {
    json!({"count": count, "lastObservedTime": Instant::at(last).rfc3339_micro()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::kubectl::events::recorded::{About, Kind};

    fn count(seconds: &[u64], at: u64) -> Vec<Value> {
        let (mut events, mut series) = (Events::default(), Series::default());
        for second in seconds {
            let recorder = Recorder::Series {
                component: "default-scheduler".into(),
                instance: "default-scheduler-control-plane".into(),
                action: "Scheduling",
            };
            let about = About { kind: "Pod", namespace: "default".into(), name: "x".into(), ..About::default() };
            let message = format!("0/{second} nodes are available");
            let time = Time::from_secs(*second);
            series.record(
                &mut events,
                &Recorded { time, recorder, about, kind: Kind::Warning, reason: "FailedScheduling", message },
            );
        }
        series.finish(&mut events, Time::from_secs(at));
        (0..events.len())
            .filter_map(|i| events.object(i, Time::from_secs(at)))
            .map(|e| e["series"]["count"].clone())
            .collect()
    }

    #[test]
    fn the_second_event_is_written_and_the_later_ones_are_not() {
        assert_eq!(count(&[1], 5), [Value::Null]);
        assert_eq!(count(&[1, 2], 5), [json!(2)]);
        assert_eq!(count(&[1, 2, 3, 4], 5), [json!(2)]);
    }

    #[test]
    fn a_series_that_has_ended_is_written_for_the_last_time() {
        assert_eq!(count(&[1, 2, 3, 4], 719), [json!(2)], "6 minutes after second 4 there was no look yet");
        assert_eq!(count(&[1, 2, 3, 4], 720), [json!(4)]);
        assert_eq!(count(&[1, 2, 3, 4, 730], 731), [json!(4), Value::Null], "a new one begins");
    }

    #[test]
    fn a_long_series_is_written_every_half_an_hour() {
        let every_minute: Vec<u64> = (1..=40).map(|n| n * 60).collect();
        assert_eq!(count(&every_minute, 1799), [json!(2)]);
        assert_eq!(count(&every_minute, 2400), [json!(29)]);
    }
}
