//! Which documents a file contains: a Scenario, Kubernetes objects, and Lists of them, unfolded.

use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::file::{API_VERSION, KIND};
use crate::scenario::source::Span;
use crate::scenario::suggest;
use crate::scenario::tree::{Node, Value};

/// One document, or one item of a List.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    /// The group of `apiVersion`; empty for the core group.
    pub group: String,
    /// `kind`.
    pub kind: String,
    /// Where `kind` stands; the start of the document for items of a typed list.
    pub kind_span: Span,
    /// `apiVersion`, whole.
    pub api_version: String,
    /// All of it.
    pub node: Node,
}

impl Document {
    /// Whether it is the scenario.
    #[must_use]
    pub fn is_scenario(&self) -> bool {
        self.api_version == API_VERSION && self.kind == KIND
    }

    /// `metadata.name`, or nothing.
    #[must_use]
    pub fn name(&self) -> &str {
        self.node.at(&["metadata", "name"]).and_then(Node::as_str).unwrap_or_default()
    }

    /// `metadata.namespace`, or `default`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.node.at(&["metadata", "namespace"]).and_then(Node::as_str).unwrap_or("default")
    }
}

/// Takes the root of a YAML document for what it is, and adds it, or what it lists, to `documents`.
pub fn unfold(node: Node, documents: &mut Vec<Document>, problems: &mut Diagnostics) {
    // Lists inside lists are not known to anybody, but cost nothing: no recursion, so no depth to limit.
    let mut waiting = vec![(node, None::<(String, String)>)];
    while let Some((node, inherited)) = waiting.pop() {
        if node.value == Value::Null {
            continue;
        }
        if let Value::List(items) = node.value {
            // Some tools write a bare list of objects.
            waiting.extend(items.into_iter().rev().map(|item| (item, None)));
            continue;
        }
        let Some(mut document) = header(node, inherited, problems) else { continue };
        let item_kind = document.kind.strip_suffix("List").map(str::to_string);
        let (Some(item_kind), Value::Map(entries)) = (item_kind, &mut document.node.value) else {
            documents.push(document);
            continue;
        };
        let Some(items) = entries.iter_mut().find(|e| e.key == "items") else {
            documents.push(document);
            continue;
        };
        // `kind: List` holds whole objects; in a PodList the items do not say what they are.
        let item = (!item_kind.is_empty()).then(|| (document.api_version.clone(), item_kind));
        match std::mem::replace(&mut items.node.value, Value::Null) {
            Value::List(items) => waiting.extend(items.into_iter().rev().map(|node| (node, item.clone()))),
            Value::Null => {}
            _ => problems.push(Diagnostic::error("`items` must be a list").at(&items.key_span, "")),
        }
    }
}

/// Reads `apiVersion` and `kind`.
fn header(node: Node, inherited: Option<(String, String)>, problems: &mut Diagnostics) -> Option<Document> {
    if !matches!(node.value, Value::Map(_)) {
        problems.push(
            Diagnostic::error(format!("expected a Kubernetes object or a Scenario, found {}", node.describe()))
                .at(&node.span, "expected a map with `apiVersion` and `kind`"),
        );
        return None;
    }
    let text = |key: &str| node.get(key).and_then(Node::as_str).map(str::to_string);
    let (api_version, kind) = match (text("apiVersion"), text("kind"), inherited) {
        (Some(api_version), Some(kind), _) | (_, _, Some((api_version, kind))) => (api_version, kind),
        (api_version, kind, None) => {
            problems.push(no_header(&node, api_version.as_deref(), kind.as_deref()));
            return None;
        }
    };
    let looks_like_scenario = kind == KIND || api_version.starts_with("drainsim");
    if looks_like_scenario && (kind != KIND || api_version != API_VERSION) {
        problems.push(almost_scenario(&node, &api_version, &kind));
        return None;
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group).to_string();
    let kind_span = node.get("kind").map_or_else(|| node.span.clone(), |n| n.span.clone());
    Some(Document { group, kind, kind_span, api_version, node })
}

fn no_header(node: &Node, api_version: Option<&str>, kind: Option<&str>) -> Diagnostic {
    let missing = match (api_version, kind) {
        (None, None) => "`apiVersion` and `kind`",
        (None, Some(_)) => "`apiVersion`",
        _ => "`kind`",
    };
    let diagnostic =
        Diagnostic::error(format!("this document lacks {missing}")).at(&node.span, "the document begins here");
    let near = |wanted: &str| {
        let keys = node.entries().iter().map(|e| e.key.as_str());
        suggest::nearest(wanted, keys.filter(|key| *key != "apiVersion" && *key != "kind"))
    };
    if let Some(typo) = near(if kind.is_none() { "kind" } else { "apiVersion" }) {
        let wanted = if kind.is_none() { "kind" } else { "apiVersion" };
        return diagnostic.help(format!("did you mean `{wanted}` by `{typo}`?"));
    }
    let is_scenario = node.get("spec").is_some_and(|s| s.get("actions").is_some() || s.get("traffic").is_some());
    if is_scenario || api_version == Some(API_VERSION) {
        diagnostic.help(format!("a scenario begins with `apiVersion: {API_VERSION}` and `kind: {KIND}`"))
    } else {
        diagnostic.help("every Kubernetes object has both, as in `apiVersion: apps/v1` and `kind: Deployment`")
    }
}

fn almost_scenario(node: &Node, api_version: &str, kind: &str) -> Diagnostic {
    let (key, found, wanted) =
        if kind == KIND { ("apiVersion", api_version, API_VERSION) } else { ("kind", kind, KIND) };
    let span = node.get(key).map_or(&node.span, |n| &n.span);
    Diagnostic::error(format!("unknown {key} `{found}` of a scenario"))
        .at(span, "")
        .help(format!("write `{key}: {wanted}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::source::SourceFile;
    use crate::scenario::tree::parse;

    fn kinds(text: &str) -> (Vec<(String, String)>, usize) {
        let (mut documents, mut problems) = (Vec::new(), Diagnostics::default());
        for node in parse(&SourceFile::new("t", text, 0), 0).unwrap() {
            unfold(node, &mut documents, &mut problems);
        }
        (documents.iter().map(|d| (d.kind.clone(), d.name().to_string())).collect(), problems.list.len())
    }

    #[test]
    fn lists_are_unfolded_in_order() {
        let pair = |kind: &str, name: &str| (kind.to_string(), name.to_string());
        let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "b"}}]}"#;
        assert_eq!(kinds(list), (vec![pair("Pod", "a"), pair("Deployment", "b")], 0));
        // As `kubectl cluster-info dump` writes it: the items have no kind of their own.
        let typed = r#"{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}"#;
        assert_eq!(kinds(typed), (vec![pair("Pod", "a"), pair("Pod", "b")], 0));
        assert_eq!(kinds(r#"{"apiVersion": "v1", "kind": "PodList", "items": null}"#), (vec![], 0));
    }

    #[test]
    fn documents_without_a_header_are_told_of() {
        assert_eq!(kinds("a: 1\n---\napiVersion: v1\n---\nkind: Pod\n---\njust text\n"), (vec![], 4));
    }
}
