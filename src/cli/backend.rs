//! What the command line calls: reading scenarios, and running them. Until both are there, stand-ins with their shape.

use std::path::PathBuf;

use crate::scenario::expectation::Expectation;
use crate::simulation::observe::Trace;
use crate::simulation::outcome::Requests;
use crate::simulation::{Outcome, Setup};

#[derive(Clone, Debug)]
pub(super) enum Input {
    Path(PathBuf),
    Stdin(String),
    Builtin { name: String, text: String },
}

pub(super) struct Scenario {
    pub name: String,
    pub setup: Setup,
    pub expectations: Vec<Expectation>,
    pub warnings: Vec<String>,
    pub assumptions: Vec<String>,
}

pub(super) struct Diagnostics(String);

impl Diagnostics {
    pub(super) fn render(&self, _color: bool) -> String {
        self.0.clone()
    }
}

pub(super) fn load(inputs: &[Input], _sets: &[String]) -> Result<Scenario, Diagnostics> {
    let mut name = String::new();
    for input in inputs {
        match input {
            Input::Path(path) => {
                let shown = path.display();
                std::fs::read_to_string(path).map_err(|e| Diagnostics(format!("error: cannot read `{shown}`: {e}")))?;
                name = shown.to_string();
            }
            Input::Stdin(text) | Input::Builtin { text, .. } if text.is_empty() => {
                return Err(Diagnostics("error: the input is empty".to_string()));
            }
            Input::Stdin(_) => name = "standard input".to_string(),
            Input::Builtin { name: builtin, .. } => name.clone_from(builtin),
        }
    }
    let (setup, expectations) = (Setup::default(), Vec::new());
    Ok(Scenario { name, setup, expectations, warnings: Vec::new(), assumptions: Vec::new() })
}

pub(super) fn simulate(setup: &Setup, seed: u64, keep_trace: bool) -> Outcome {
    Outcome {
        seed,
        end: crate::engine::Time::ZERO + setup.duration,
        digest: String::new(),
        events: 0,
        requests: Requests::default(),
        services: Vec::new(),
        drains: Vec::new(),
        pods: Vec::new(),
        pdbs: Vec::new(),
        failures: Vec::new(),
        node_names: Vec::new(),
        replica_set_names: Vec::new(),
        traffic_names: Vec::new(),
        trace: Trace::new(keep_trace),
        warnings: Vec::new(),
    }
}

pub(super) fn scenario_schema() -> serde_json::Value {
    serde_json::json!({ "title": "drainsim scenario" })
}
