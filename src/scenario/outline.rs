//! How long the lists of a scenario are, and what single fields say, before anything is made of them.

use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::load::{Files, Input, read_documents};
use crate::scenario::set;
use crate::scenario::tree::{Node, Value};

/// How many elements a list under `spec` has with these `--set`s; 0 if it is not there, or the inputs cannot be read.
#[must_use]
pub fn length(files: &dyn Files, inputs: &[Input], sets: &[String], list: &str) -> usize {
    items(files, inputs, sets, list).len()
}

/// What a field of the elements of a list under `spec` says, where it is a number.
#[must_use]
pub fn numbers(files: &dyn Files, inputs: &[Input], sets: &[String], list: &str, field: &str) -> Vec<Option<u64>> {
    let number = |node: &Node| match &node.get(field)?.value {
        Value::Number(text) => text.parse().ok(),
        _ => None,
    };
    items(files, inputs, sets, list).iter().map(number).collect()
}

fn items(files: &dyn Files, inputs: &[Input], sets: &[String], list: &str) -> Vec<Node> {
    let mut problems = Diagnostics::default();
    let mut documents = read_documents(files, inputs, &mut problems);
    set::apply(sets, &mut documents, &mut problems);
    let scenario = documents.iter().find(|d| d.is_scenario()).filter(|_| !problems.has_errors());
    scenario.and_then(|d| d.node.at(&["spec", list])).map_or(Vec::new(), |node| node.items().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Disk;

    #[test]
    fn lists_are_counted_as_they_are_set() {
        let text = crate::scenario::library::find("m07-prestop-sleep").unwrap().text.to_string();
        let inputs = [Input::Builtin { name: "t".into(), text }];
        let length = |set: &[&str], list| {
            let sets: Vec<String> = set.iter().map(|s| (*s).to_string()).collect();
            super::length(&Disk, &inputs, &sets, list)
        };
        assert_eq!((length(&[], "nodes"), length(&["spec.nodes[0]-"], "nodes"), length(&[], "nothing")), (5, 4, 0));
        assert_eq!(length(&["spec.nodes[9]-"], "nodes"), 0);
        let sets = ["spec.nodes[1].count=7".to_string(), "spec.nodes[1].name=many".into()];
        assert_eq!(numbers(&Disk, &inputs, &sets, "nodes", "count")[..3], [None, Some(7), None]);
    }
}
