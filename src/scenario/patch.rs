//! What would have to be changed in a cluster so that its workloads are as they are with some `--set`s: one `kubectl patch`
//! for each.

use serde_json::{Map, Value as Json, json};

use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::document::Document;
use crate::scenario::load::{Files, Input, read_documents};
use crate::scenario::set;
use crate::scenario::tree::{Node, Value};

/// A strategic merge patch of one object.
#[derive(Clone, PartialEq, Debug)]
pub struct Patch {
    /// The kind, in lower case as kubectl takes it.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The patch.
    pub patch: Json,
}

impl Patch {
    /// The command.
    #[must_use]
    pub fn command(&self) -> String {
        format!("kubectl patch {} {} -n {} --patch '{}'", self.kind, self.name, self.namespace, self.patch)
    }
}

/// The patches of preStop hooks, grace periods and budgets that bring the inputs to what they are with `sets`. Empty if the
/// inputs cannot be read.
#[must_use]
pub fn of_objects(files: &dyn Files, inputs: &[Input], sets: &[String]) -> Vec<Patch> {
    let mut problems = Diagnostics::default();
    let before = read_documents(files, inputs, &mut problems);
    let mut after = before.clone();
    set::apply(sets, &mut after, &mut problems);
    if problems.has_errors() {
        return Vec::new();
    }
    before.iter().zip(&after).filter(|(before, after)| before != after).filter_map(|(_, after)| patch(after)).collect()
}

fn patch(document: &Document) -> Option<Patch> {
    if document.kind == "PodDisruptionBudget" {
        let spec = document.node.get("spec")?;
        let fields = ["minAvailable", "maxUnavailable"].into_iter();
        let said = fields.filter_map(|field| Some((field.to_string(), json_of(spec.get(field)?))));
        return Some(of(document, json!({"spec": said.collect::<Map<_, _>>()})));
    }
    let pod = document.node.at(&["spec", "template", "spec"])?;
    let container = |node: &Node| {
        let hook = node.at(&["lifecycle", "preStop"])?;
        Some(json!({"name": node.get("name").and_then(Node::as_str), "lifecycle": {"preStop": json_of(hook)}}))
    };
    let containers: Vec<Json> =
        pod.get("containers").map_or(&[][..], Node::items).iter().filter_map(container).collect();
    let mut spec = Map::new();
    if let Some(grace) = pod.get("terminationGracePeriodSeconds") {
        spec.insert("terminationGracePeriodSeconds".to_string(), json_of(grace));
    }
    if !containers.is_empty() {
        spec.insert("containers".to_string(), Json::Array(containers));
    }
    Some(of(document, json!({"spec": {"template": {"spec": spec}}})))
}

fn of(document: &Document, patch: Json) -> Patch {
    let kind = document.kind.to_ascii_lowercase();
    Patch { kind, namespace: document.namespace().to_string(), name: document.name().to_string(), patch }
}

fn json_of(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(text) => {
            text.parse::<serde_json::Number>().map_or_else(|_| Json::String(text.clone()), Json::Number)
        }
        Value::String(text) => Json::String(text.clone()),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Map(entries) => Json::Object(entries.iter().map(|e| (e.key.clone(), json_of(&e.node))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Disk;

    #[test]
    fn only_what_differs_is_patched_and_the_command_is_whole() {
        let text = crate::scenario::library::find("m07-prestop-sleep").unwrap().text.to_string();
        let inputs = [Input::Builtin { name: "t".into(), text }];
        let sets = ["preStop=8s", "gracePeriod=30s"].map(str::to_string);
        let patches = of_objects(&Disk, &inputs, &sets);
        assert_eq!(patches.len(), 1);
        let command = patches[0].command();
        assert!(
            command.starts_with("kubectl patch deployment nginx-deployment -n default --patch '{\"spec\":"),
            "{command}"
        );
        assert!(
            command.contains("sleep 8 && /usr/sbin/nginx -s quit") && command.contains("Seconds\":30"),
            "{command}"
        );
        assert_eq!(of_objects(&Disk, &inputs, &[]), []);
    }

    #[test]
    fn a_budget_is_patched_by_the_field_that_it_has() {
        let text = crate::scenario::library::find("m11-two-drains-one-budget").unwrap().text.to_string();
        let inputs = [Input::Builtin { name: "t".into(), text }];
        for (set, spec) in [
            ("PodDisruptionBudget/default/nginx-pdb:minAvailable=50%", r#"{"minAvailable":"50%"}"#),
            ("maxUnavailable=2", r#"{"maxUnavailable":2}"#),
        ] {
            let patches = of_objects(&Disk, &inputs, &[set.to_string()]);
            let command =
                format!("kubectl patch poddisruptionbudget nginx-pdb -n default --patch '{{\"spec\":{spec}}}'");
            assert_eq!(patches.iter().map(Patch::command).collect::<Vec<_>>(), [command]);
        }
    }
}
