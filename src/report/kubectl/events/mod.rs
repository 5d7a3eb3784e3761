//! The Events that the components of the cluster record during a run.
//!
//! `recorded` takes them from the causal trace, in the components' words (`messages`); the broadcasters then count what
//! repeats (`correlator`, `series`), and the apiserver forgets what is older than an hour.

mod correlator;
mod messages;
mod recorded;
mod series;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::engine::{Duration, Time};
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::{Cluster, uid};
use correlator::Correlator;
use recorded::{Recorded, Recorder};
use series::Series;

/// `--event-ttl`: an Event lives so long after its last write.
const EVENT_TTL: Duration = Duration::from_secs(3600);

/// All Events of a run, each with all its versions.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    events: Vec<Vec<Version>>,
    names: BTreeMap<String, usize>,
}

/// One version of an Event.
#[derive(Clone, Debug)]
pub(super) struct Version {
    time: Time,
    object: Value,
}

impl Events {
    /// The Events of a run.
    pub(super) fn of(cluster: &Cluster<'_>) -> Self {
        let mut events = Self::default();
        let mut correlator = Correlator::default();
        let mut series = Series::default();
        for recorded in recorded::all(cluster) {
            match recorded.recorder {
                Recorder::Core { .. } => correlator.record(&mut events, &recorded),
                Recorder::Series { .. } => series.record(&mut events, &recorded),
            }
        }
        series.finish(&mut events, cluster.end);
        events
    }

    /// How many there have ever been.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The Event as it is at a time.
    pub(super) fn object(&self, index: usize, at: Time) -> Option<Value> {
        let version = self.events.get(index)?.iter().rev().find(|v| v.time <= at)?;
        (version.time + EVENT_TTL > at).then(|| version.object.clone())
    }

    /// When it was written. That it is forgotten in the end is no change that anybody prints.
    pub(super) fn instants(&self, index: usize) -> BTreeSet<Time> {
        self.events.get(index).into_iter().flatten().map(|v| v.time).collect()
    }

    /// Adds an Event, and gives it a name: that of the object and the time in hexadecimal nanoseconds.
    fn create(&mut self, recorded: &Recorded, details: &Value) -> usize {
        let about = &recorded.about;
        let mut nanos = Instant::at(recorded.time).unix_nanos();
        let name = loop {
            let name = format!("{}.{nanos:x}", about.name);
            if !self.names.contains_key(&name) {
                break name;
            }
            nanos += 1;
        };
        let index = self.events.len();
        self.names.insert(name.clone(), index);
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": name,
                "namespace": about.event_namespace(),
                "creationTimestamp": Instant::at(recorded.time).rfc3339(),
                "resourceVersion": (index + 1).to_string(),
                "uid": uid("Event", about.event_namespace(), &name, 0),
            },
            "involvedObject": about.reference(),
            "type": recorded.kind.name(),
            "reason": recorded.reason,
            "message": recorded.message.trim(),
        });
        merge(&mut object, details);
        self.events.push(vec![Version { time: recorded.time, object }]);
        index
    }

    /// Writes a new version of an Event.
    fn patch(&mut self, index: usize, time: Time, changes: &Value) {
        let Some(versions) = self.events.get_mut(index) else { return };
        let Some(mut object) = versions.last().map(|v| v.object.clone()) else { return };
        merge(&mut object, changes);
        versions.push(Version { time, object });
    }
}

fn merge(object: &mut Value, changes: &Value) {
    for (key, value) in changes.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
}
