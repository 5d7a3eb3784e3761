//! What actions name: nodes, objects to apply, scopes, dry runs, whose upgrade it is.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::document::{Document, unfold};
use crate::scenario::read::{Read, expected, record};
use crate::scenario::source::Spanned;
use crate::scenario::suggest;
use crate::scenario::tree::{Node, Value};
use crate::simulation::setup::{DryRun, PartitionScope, UpgradeProfile};

const PARTITION_SCOPES: [(&str, PartitionScope); 2] =
    [("controlPlane", PartitionScope::ControlPlane), ("everything", PartitionScope::Everything)];

schema_of!(PartitionScope, "PartitionScope", |_g| json_schema!({
    "description": "Whom a node is cut off from: the control plane, or everything, other nodes included.",
    "enum": ["controlPlane", "everything"]
}));

impl Read for PartitionScope {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        let name = String::read(node, problems)?;
        let found = PARTITION_SCOPES.iter().find(|(known, _)| *known == name).map(|(_, scope)| *scope);
        if found.is_none() {
            let names = PARTITION_SCOPES.iter().map(|(name, _)| *name);
            problems.push(
                Diagnostic::error(format!("a node cannot be cut off from `{name}`"))
                    .at(&node.span, "expected `controlPlane` or `everything`")
                    .help(suggest::help(&name, "scopes", names)),
            );
        }
        found
    }
}

schema_of!(DryRun, "DryRun", |_g| json_schema!({
    "description": "--dry-run of kubectl.",
    "enum": ["none", "client", "server"]
}));

impl Read for DryRun {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.as_str() {
            Some("none") => Some(Self::None),
            Some("client") => Some(Self::Client),
            Some("server") => Some(Self::Server),
            _ => expected(node, "`none`, `client` or `server`", problems),
        }
    }
}

/// Kubernetes objects, written where they are applied.
#[derive(Clone, PartialEq, Debug)]
pub struct Objects(pub Vec<Document>);

schema_of!(Objects, "Objects", |_g| json_schema!({
    "description": "A Kubernetes object, or a list of them.",
    "anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]
}));

impl Read for Objects {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        if !matches!(node.value, Value::Map(_) | Value::List(_)) {
            return expected(node, "a Kubernetes object, or a list of them", problems);
        }
        let mut documents = Vec::new();
        unfold(node.clone(), &mut documents, problems);
        Some(Self(documents))
    }
}

/// Whose upgrade of a node pool it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolUpgradeProfile(pub UpgradeProfile);

schema_of!(PoolUpgradeProfile, "UpgradeProfile", |_g| json_schema!({
    "description": "Whose upgrade of a node pool it is.",
    "enum": ["plain", "gke", "eks", "aks"]
}));

impl Read for PoolUpgradeProfile {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        Some(Self(match node.as_str() {
            Some("plain") => UpgradeProfile::Plain,
            Some("gke") => UpgradeProfile::Gke,
            Some("eks") => UpgradeProfile::Eks,
            Some("aks") => UpgradeProfile::Aks,
            _ => return expected(node, "`plain`, `gke`, `eks` or `aks`", problems),
        }))
    }
}

/// A node by name, alone or under `node`.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeRef(pub Spanned<String>);

schema_of!(NodeRef, "NodeRef", |_g| json_schema!({
    "description": "The name of a node.",
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"node": {"type": "string"}}, "required": ["node"], "additionalProperties": false}
    ]
}));

record! {
    /// A node by name.
    pub struct NodeField is "this action" {
        /// The name.
        pub node: Spanned<String>,
    }
}

impl Read for NodeRef {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.value {
            Value::Map(_) => NodeField::read(node, problems).map(|field| Self(field.node)),
            _ => Read::read(node, problems).map(Self),
        }
    }
}
