//! The JSON Schema of the scenario file, from the very types that read it.

use crate::scenario::file::ScenarioFile;
use crate::simulation::latency::Hop;

/// The JSON Schema (draft 2020-12) of a `kind: Scenario` document.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(ScenarioFile).to_value();
    schema["title"] = "drainsim scenario".into();
    name_the_hops(&mut schema);
    schema
}

/// `latencies` may have these names only, and an editor can say what each of them is.
fn name_the_hops(schema: &mut serde_json::Value) {
    let latencies = &mut schema["$defs"]["Spec"]["properties"]["latencies"];
    let latency = latencies["additionalProperties"].take();
    let hops = Hop::ALL.iter().map(|hop| {
        let described = serde_json::json!({"description": hop.description(), "allOf": [latency]});
        (hop.name().to_string(), described)
    });
    latencies["properties"] = serde_json::Value::Object(hops.collect());
    latencies["additionalProperties"] = false.into();
}
