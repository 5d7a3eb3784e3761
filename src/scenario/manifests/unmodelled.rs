//! What is in the manifests and not in the model: collected while reading, told once each.

use std::collections::BTreeMap;

use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::document::Document;
use crate::scenario::source::Span;

/// Objects of one kind that were passed by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ignored {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// How many there were.
    pub count: usize,
}

impl std::fmt::Display for Ignored {
    /// `37 Secrets`, `12 monitoring.coreos.com/ServiceMonitor`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, kind, count } = self;
        let known = HARMLESS.contains(&kind.as_str()) || instead_of_kind(kind) != LEFT_OUT;
        let plural = match kind.as_str() {
            _ if *count == 1 => "",
            "Endpoints" => "",
            k if k.ends_with("ss") => "es",
            _ => "s",
        };
        match kind.strip_suffix('y').filter(|_| known && *count > 1) {
            Some(stem) => write!(f, "{count} {stem}ies"),
            None if known => write!(f, "{count} {kind}{plural}"),
            None if group.is_empty() => write!(f, "{count} {kind}"),
            None => write!(f, "{count} {group}/{kind}"),
        }
    }
}

/// Fields and kinds that were met.
#[derive(Default)]
pub(super) struct Unmodelled {
    fields: BTreeMap<&'static str, Met>,
    kinds: BTreeMap<String, Met>,
    /// All objects that were passed by, by API group and kind.
    ignored: BTreeMap<(String, String), usize>,
}

struct Met {
    /// Where it was met first.
    first: Span,
    count: usize,
    instead: &'static str,
}

/// Kinds that cannot change what happens to requests when pods go away.
const HARMLESS: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ComponentStatus",
    "ConfigMap",
    "ControllerRevision",
    "CustomResourceDefinition",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "FlowSchema",
    "IngressClass",
    "Lease",
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PriorityLevelConfiguration",
    "Role",
    "RoleBinding",
    "RuntimeClass",
    "Secret",
    "ServiceAccount",
    "StorageClass",
];

/// What becomes of a kind that nobody knows here.
const LEFT_OUT: &str = "left out";

/// What becomes of kinds that would matter.
fn instead_of_kind(kind: &str) -> &'static str {
    match kind {
        "CronJob" => "no Job begins during a run",
        "VerticalPodAutoscaler" => "the number of replicas stays as it is",
        "Ingress" | "Gateway" | "HTTPRoute" => "clients are in the cluster and speak to the Service itself",
        "NetworkPolicy" => "every client reaches every pod",
        "PriorityClass" => "no pod preempts another",
        "LimitRange" | "ResourceQuota" => "requests and limits are taken as they stand in the manifests",
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => "nothing changes or refuses objects",
        _ => LEFT_OUT,
    }
}

impl Unmodelled {
    /// A field was met that is not modelled; `instead` says what is done.
    pub fn field(&mut self, field: &'static str, span: &Span, instead: &'static str) {
        self.fields.entry(field).or_insert_with(|| Met { first: span.clone(), count: 0, instead }).count += 1;
    }

    /// An object was met whose kind is not modelled.
    pub fn kind(&mut self, document: &Document) {
        *self.ignored.entry((document.group.clone(), document.kind.clone())).or_default() += 1;
        if HARMLESS.contains(&document.kind.as_str()) {
            return;
        }
        let new = || Met { first: document.kind_span.clone(), count: 0, instead: instead_of_kind(&document.kind) };
        self.kinds.entry(document.kind.clone()).or_insert_with(new).count += 1;
    }

    /// The objects that were passed by, by API group and kind.
    pub fn ignored(&self) -> Vec<Ignored> {
        let ignored = |((group, kind), count): (&(String, String), &usize)| Ignored {
            group: group.clone(),
            kind: kind.clone(),
            count: *count,
        };
        self.ignored.iter().map(ignored).collect()
    }

    /// One warning a field, and one a kind; not for kinds that nobody knows if `counted` is said of them elsewhere.
    pub fn tell(&self, counted: bool, problems: &mut Diagnostics) {
        let times = |met: &Met| match met.count {
            1 => String::new(),
            n => format!(" ({n} times in all)"),
        };
        for (field, met) in &self.fields {
            problems.push(
                Diagnostic::warning(format!("`{field}` is not modelled{}", times(met))).at(&met.first, met.instead),
            );
        }
        for (kind, met) in self.kinds.iter().filter(|(_, met)| !(counted && met.instead == LEFT_OUT)) {
            problems.push(
                Diagnostic::warning(format!("the kind {kind} is not modelled{}", times(met)))
                    .at(&met.first, met.instead),
            );
        }
    }
}
