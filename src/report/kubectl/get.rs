//! `kubectl get`, at one time of a run or from one time to another.
//!
//! Source: `k8s.io/kubectl/pkg/cmd/get/get.go` Run, watch, printGeneric (v1.36).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{Labels, Selector};
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::{Cluster, ObjectId};
use crate::report::kubectl::columns::Columns;
use crate::report::kubectl::events::Events;
use crate::report::kubectl::printers;
use crate::report::kubectl::resource::Resource;

/// What is asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// The resources, in the order of the question.
    pub resources: Vec<Resource>,
    /// Only the object of this name.
    pub name: Option<String>,
    /// Only objects of this namespace; `None`: of all (`-A`).
    pub namespace: Option<String>,
    /// Only objects whose labels this selects.
    pub selector: Selector,
    /// In a watch, the time of the run before each row; kubectl has no such thing.
    pub times: bool,
    /// How it is printed.
    pub output: Output,
}

/// How objects are printed (`-o`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Output {
    /// A table.
    #[default]
    Table,
    /// A table with more columns.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// `pod/web-1`, one a line.
    Name,
}

/// What is printed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// To standard output.
    pub out: String,
    /// To standard error: that there is nothing.
    pub err: String,
}

/// An object that was found.
struct Found {
    resource: Resource,
    object: Value,
}

/// Prints what there is at a time.
///
/// # Errors
/// The message of kubectl if the object that was named does not exist, or if it cannot be written.
pub fn get(cluster: &Cluster<'_>, query: &Query, at: Time) -> Result<Answer, String> {
    let reader = Reader::new(cluster, query);
    let mut found = Vec::new();
    for resource in &query.resources {
        let objects = reader.objects(*resource, at);
        if let (Some(name), true) = (&query.name, objects.is_empty()) {
            let plural = resource.plural();
            let group = resource.prefix().split_once('.').map_or_else(String::new, |(_, group)| format!(".{group}"));
            return Err(format!("Error from server (NotFound): {plural}{group} \"{name}\" not found"));
        }
        found.extend(objects.into_iter().map(|object| Found { resource: *resource, object }));
    }
    match query.output {
        Output::Table | Output::Wide if found.is_empty() => Ok(Answer { out: String::new(), err: nothing(query) }),
        Output::Table | Output::Wide => Ok(Answer { out: tables(query, &found, Instant::at(at)), err: String::new() }),
        Output::Name => {
            let line =
                |f: &Found| format!("{}/{}\n", f.resource.prefix(), printers::text(&f.object["metadata"]["name"]));
            Ok(Answer { out: found.iter().map(line).collect(), err: String::new() })
        }
        Output::Json | Output::Yaml => {
            let single = query.name.is_some() && found.len() == 1;
            let items: Vec<Value> = found.into_iter().map(|f| f.object).collect();
            let data = match items {
                mut items if single => items.remove(0),
                items => {
                    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
                }
            };
            Ok(Answer { out: data_text(&data, query.output)?, err: String::new() })
        }
    }
}

/// Prints what there is at `from`, and then every change until `to` (`-w`): the object as it has become, or for the last
/// time as it was.
///
/// # Errors
/// If there is more than one resource, or if an object cannot be written.
pub fn watch(cluster: &Cluster<'_>, query: &Query, from: Time, to: Time) -> Result<Answer, String> {
    let [resource] = query.resources[..] else {
        return Err("you may only specify a single resource type".to_string());
    };
    let reader = Reader::new(cluster, query);
    let mut changes: BTreeMap<(Time, ObjectId), Value> = BTreeMap::new();
    for id in reader.ids(resource) {
        let mut last = reader.object(resource, id, from);
        for at in reader.instants(resource, id).into_iter().filter(|at| (from..=to).contains(at) && *at > from) {
            let now = reader.object(resource, id, at);
            if now != last
                && let Some(shown) = now.clone().or(last)
            {
                changes.insert((at, id), shown);
            }
            last = now;
        }
    }
    let wide = query.output == Output::Wide;
    let mut columns = Columns::default();
    let mut out = String::new();
    let mut headed = false;
    let listed = reader.objects(resource, from).into_iter().map(|object| (from, object));
    let blocks =
        [listed.collect::<Vec<_>>()].into_iter().chain(changes.into_iter().map(|((at, _), object)| vec![(at, object)]));
    for block in blocks.filter(|block| !block.is_empty()) {
        if matches!(query.output, Output::Table | Output::Wide) {
            let mut rows: Vec<Vec<String>> = Vec::new();
            if !std::mem::replace(&mut headed, true) {
                rows.push(headers(query, resource, wide));
                if query.times {
                    rows[0].insert(0, "TIME".to_string());
                }
            }
            rows.extend(block.iter().map(|(at, object)| {
                let mut cells = row(query, resource, object, wide, false, Instant::at(*at));
                if query.times {
                    cells.insert(0, at.to_string());
                }
                cells
            }));
            out.push_str(&columns.block(&rows));
            continue;
        }
        for (number, (_, object)) in block.iter().enumerate() {
            match query.output {
                Output::Name => {
                    out.push_str(&format!("{}/{}\n", resource.prefix(), printers::text(&object["metadata"]["name"])));
                }
                output => {
                    if output == Output::Yaml && (number > 0 || !out.is_empty()) {
                        out.push_str("---\n");
                    }
                    out.push_str(&data_text(object, output)?);
                }
            }
        }
    }
    Ok(Answer { out, err: String::new() })
}

/// `kubectl events`: all events until `at`, the last ones at the end.
///
/// Source: `k8s.io/kubectl/pkg/cmd/events/events.go` and `event_printer.go` (v1.36).
#[must_use]
pub fn events(cluster: &Cluster<'_>, at: Time) -> String {
    let events = Events::of(cluster);
    let mut objects: Vec<Value> = (0..events.len()).filter_map(|index| events.object(index, at)).collect();
    let seen = |event: &Value| {
        let times = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
        times.iter().find_map(|time| time.as_str()).and_then(crate::report::kubectl::clock::parse)
    };
    objects.sort_by_key(seen);
    let now = Instant::at(at);
    let mut rows = vec![["NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"].map(String::from).to_vec()];
    for event in &objects {
        let first = if event["eventTime"].is_string() { &event["eventTime"] } else { &event["firstTimestamp"] };
        let first = printers::since(first, now);
        let repeated = |last: &Value, count: &Value| format!("{} (x{count} over {first})", printers::since(last, now));
        let last_seen = if event["series"].is_object() {
            repeated(&event["series"]["lastObservedTime"], &event["series"]["count"])
        } else if event["count"].as_u64().is_some_and(|count| count > 1) {
            repeated(&event["lastTimestamp"], &event["count"])
        } else {
            first.clone()
        };
        let about = &event["involvedObject"];
        let object = format!("{}/{}", printers::text(&about["kind"]), printers::text(&about["name"]));
        let cell = |key: &str| printers::text(&event[key]);
        let namespace = printers::text(&event["metadata"]["namespace"]);
        rows.push(vec![namespace, last_seen, cell("type"), cell("reason"), object, cell("message")]);
    }
    if objects.is_empty() {
        return "No events found.\n".to_string();
    }
    if objects.iter().all(|event| event["metadata"]["namespace"] == "default") {
        rows.iter_mut().for_each(|row| drop(row.remove(0)));
    }
    Columns::default().block(&rows)
}

/// The objects of a query, wherever they come from.
struct Reader<'c, 'a> {
    cluster: &'c Cluster<'a>,
    query: &'c Query,
    events: Option<Events>,
}

impl<'c, 'a> Reader<'c, 'a> {
    fn new(cluster: &'c Cluster<'a>, query: &'c Query) -> Self {
        let events = query.resources.contains(&Resource::Events).then(|| Events::of(cluster));
        Self { cluster, query, events }
    }

    fn ids(&self, resource: Resource) -> Vec<ObjectId> {
        match (&self.events, resource) {
            (Some(events), Resource::Events) => (0..events.len()).map(|index| ObjectId { index, slice: 0 }).collect(),
            _ => self.cluster.ids(resource),
        }
    }

    fn instants(&self, resource: Resource, id: ObjectId) -> std::collections::BTreeSet<Time> {
        match (&self.events, resource) {
            (Some(events), Resource::Events) => events.instants(id.index),
            _ => self.cluster.instants(resource, id),
        }
    }

    /// The object, if it is asked for.
    fn object(&self, resource: Resource, id: ObjectId, at: Time) -> Option<Value> {
        let object = match (&self.events, resource) {
            (Some(events), Resource::Events) => events.object(id.index, at),
            _ => self.cluster.object(resource, id, at),
        }?;
        let metadata = &object["metadata"];
        let is_there = match &self.query.namespace {
            Some(namespace) if resource.is_namespaced() => metadata["namespace"] == **namespace,
            _ => true,
        };
        let is_named = self.query.name.as_ref().is_none_or(|name| metadata["name"] == **name);
        let labels = metadata["labels"].as_object().into_iter().flatten();
        let labels: Labels = labels.map(|(key, value)| (key.clone(), printers::text(value))).collect();
        (is_there && is_named && self.query.selector.matches(&labels)).then_some(object)
    }

    /// All that are asked for, in the order of the apiserver's keys: namespace, then name.
    fn objects(&self, resource: Resource, at: Time) -> Vec<Value> {
        let mut objects: Vec<Value> =
            self.ids(resource).into_iter().filter_map(|id| self.object(resource, id, at)).collect();
        let key = |o: &Value| (printers::text(&o["metadata"]["namespace"]), printers::text(&o["metadata"]["name"]));
        objects.sort_by_key(key);
        objects
    }
}

fn nothing(query: &Query) -> String {
    match &query.namespace {
        Some(namespace) if query.resources.iter().all(|r| r.is_namespaced()) => {
            format!("No resources found in {namespace} namespace.\n")
        }
        _ => "No resources found\n".to_string(),
    }
}

/// One table a resource, with an empty line between them.
fn tables(query: &Query, found: &[Found], now: Instant) -> String {
    let wide = query.output == Output::Wide;
    let with_kind = found.iter().any(|f| f.resource != found[0].resource);
    let blocks = found.chunk_by(|a, b| a.resource == b.resource).map(|block| {
        let resource = block[0].resource;
        let mut rows = vec![headers(query, resource, wide)];
        rows.extend(block.iter().map(|f| row(query, resource, &f.object, wide, with_kind, now)));
        Columns::default().block(&rows)
    });
    blocks.collect::<Vec<_>>().join("\n")
}

fn with_namespace(query: &Query, resource: Resource) -> bool {
    query.namespace.is_none() && resource.is_namespaced()
}

fn headers(query: &Query, resource: Resource, wide: bool) -> Vec<String> {
    let mut headers: Vec<String> = printers::headers(resource, wide).into_iter().map(String::from).collect();
    if with_namespace(query, resource) {
        headers.insert(0, "NAMESPACE".to_string());
    }
    headers
}

fn row(query: &Query, resource: Resource, object: &Value, wide: bool, with_kind: bool, now: Instant) -> Vec<String> {
    let mut cells = printers::row(resource, object, wide, now);
    if with_kind && resource != Resource::Events {
        cells[0] = format!("{}/{}", resource.prefix(), cells[0]);
    }
    if with_namespace(query, resource) {
        cells.insert(0, printers::text(&object["metadata"]["namespace"]));
    }
    cells
}

/// JSON with the indent of kubectl, or YAML.
fn data_text(data: &Value, output: Output) -> Result<String, String> {
    let told = |error: String| format!("the objects cannot be written: {error}");
    let mut text = if output == Output::Yaml {
        serde_saphyr::to_string(data).map_err(|e| told(e.to_string()))?
    } else {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        data.serialize(&mut serializer).map_err(|e| told(e.to_string()))?;
        String::from_utf8_lossy(&bytes).into_owned()
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
