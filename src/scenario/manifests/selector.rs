//! Label selectors as objects have them: `matchLabels` and `matchExpressions`.

use crate::api::Selector;
use crate::api::labels::Requirement;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::manifests::Cx;
use crate::scenario::read::MapOf;
use crate::scenario::suggest;
use crate::scenario::tree::Node;

const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// A LabelSelector.
pub(super) fn read(node: &Node, cx: &mut Cx<'_>) -> Selector {
    let labels: MapOf<String> = cx.field(node, "matchLabels").unwrap_or_default();
    let mut selector = Selector::labels(labels.0.into_iter().map(|(key, value)| (key.value, value)));
    for expression in node.get("matchExpressions").map(Node::items).unwrap_or_default() {
        selector.requirements.extend(read_expression(expression, cx));
    }
    selector
}

/// One of `matchExpressions`, of a LabelSelector or of a node selector term.
pub(super) fn read_expression(node: &Node, cx: &mut Cx<'_>) -> Option<Requirement> {
    let key: String = cx.field(node, "key")?;
    let operator: String = cx.field(node, "operator")?;
    let values: Vec<String> = cx.field(node, "values").unwrap_or_default();
    match operator.as_str() {
        "In" => Some(Requirement::In(key, values)),
        "NotIn" => Some(Requirement::NotIn(key, values)),
        "Exists" => Some(Requirement::Exists(key)),
        "DoesNotExist" => Some(Requirement::DoesNotExist(key)),
        "Gt" | "Lt" => {
            cx.unmodelled.field("operator: Gt or Lt", &node.span, "this requirement is left out");
            None
        }
        other => {
            let span = node.get("operator").map_or(&node.span, |n| &n.span);
            cx.push(Diagnostic::error(format!("unknown operator `{other}`")).at(span, "").help(suggest::help(
                other,
                "operators",
                OPERATORS,
            )));
            None
        }
    }
}
