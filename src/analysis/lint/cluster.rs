//! What lint knows of the objects in its input: read leniently and without a run, with the places of what it may point at.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::labels::Requirement;
use crate::api::pod::{Hook, HookStep, Signal};
use crate::api::{IntOrPercent, Labels, Selector, Taint, Toleration, Version};
use crate::engine::Duration;
use crate::scenario::Scenario;
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::document::Document;
use crate::scenario::hook_command;
use crate::scenario::profiles::{self, ProxyManifest};
use crate::scenario::read::Read;
use crate::scenario::source::Span;
use crate::scenario::tree::{Entry, Node, Value};
use crate::scenario::values::TaintEntry;
use crate::simulation::setup::{App, Reaction, Setup};

/// Kubernetes' default (`pkg/apis/core/v1/defaults.go` SetDefaults_PodSpec, v1.36).
const GRACE_SECONDS_DEFAULT: u64 = 30;

/// The objects of one input.
pub(super) struct Cluster<'a> {
    /// The version that rules go by.
    pub version: Version,
    /// Everything that makes pods; what a cluster made from it (a Deployment's ReplicaSets and pods) is not listed again.
    pub workloads: Vec<Workload<'a>>,
    /// `policy` PodDisruptionBudget.
    pub budgets: Vec<Budget<'a>>,
    /// `v1` Service, without those of type ExternalName.
    pub services: Vec<Service<'a>>,
    /// Names of nodes and their taints.
    pub nodes: Vec<(String, Vec<Taint>)>,
}

/// An object that makes pods.
pub(super) struct Workload<'a> {
    /// `Deployment`, `StatefulSet`, `Pod`, ….
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// The labels of its pods.
    pub labels: Labels,
    /// `spec` of the object.
    pub spec: &'a Node,
    /// `spec` of its pods.
    pub pod: &'a Node,
    /// `metadata` of its pods, where there is one.
    pub pod_metadata: Option<&'a Node>,
    /// How many pods it wants now.
    pub replicas: u32,
    /// Where that is written.
    pub replicas_span: Option<Span>,
    /// The autoscaler that may change the number: its name, `minReplicas`, and where that stands.
    pub autoscaler: Option<Autoscaler>,
    /// Whether a scenario tells how its containers behave; else only their images may.
    pub simulated: bool,
    /// How its containers behave as a scenario has it, or as the image tells, by name.
    apps: BTreeMap<String, App>,
    /// What the scenario says of its preStop hooks, by container.
    hooks: BTreeMap<String, Vec<HookStep>>,
}

/// A HorizontalPodAutoscaler, as far as it matters here.
#[derive(Clone)]
pub(super) struct Autoscaler {
    /// The name.
    pub name: String,
    /// `minReplicas`; 1 unless given.
    pub minimum: u32,
    /// Where that stands, or the name.
    pub span: Span,
    target: (String, String, String),
}

/// A PodDisruptionBudget.
pub(super) struct Budget<'a> {
    /// The document.
    pub document: &'a Document,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// `spec`, or the whole object if there is none.
    pub spec: &'a Node,
    /// `None`: a null selector, which selects nothing.
    pub selector: Option<Selector>,
    /// `minAvailable`, and where it stands.
    pub min_available: Option<(IntOrPercent, Span)>,
    /// `maxUnavailable`, and where it stands.
    pub max_unavailable: Option<(IntOrPercent, Span)>,
}

/// A Service.
pub(super) struct Service<'a> {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// `spec`.
    pub spec: &'a Node,
    /// `None`: somebody else writes its endpoints.
    pub selector: Option<Selector>,
}

/// A container of a workload.
pub(super) struct Container<'w> {
    /// `name`.
    pub name: &'w str,
    /// All of it.
    pub node: &'w Node,
    /// How the process behaves, where that is known.
    pub app: Option<&'w App>,
    /// Its preStop hook.
    pub hook: Option<PreStop<'w>>,
}

/// A preStop hook.
pub(super) struct PreStop<'w> {
    /// `lifecycle.preStop`.
    pub node: &'w Node,
    /// `sleep`: its seconds, and where they stand.
    pub sleep: Option<(i64, &'w Span)>,
    /// What `exec` does, as far as it is known.
    pub steps: Vec<HookStep>,
}

impl<'a> Cluster<'a> {
    /// Reads what the documents say. `version` overrides the scenario's.
    pub fn read(documents: &'a [Document], version: Option<Version>) -> Self {
        let scenario = documents.iter().find(|d| d.is_scenario());
        let said = scenario.and_then(|d| d.node.at(&["spec", "kubernetes"])).and_then(read::<Version>);
        let scenario_read = scenario.and_then(|_| Scenario::of_documents(documents));
        let unknown = scenario_read.iter().flat_map(|s| &s.unknown_apps.0).map(|u| u.app).collect();
        let simulated = scenario_read.as_ref().map(|s| Simulated { setup: &s.setup, unknown });
        let autoscalers: Vec<Autoscaler> = documents.iter().filter_map(autoscaler).collect();
        let mut cluster = Self {
            version: version.or(said).unwrap_or_default(),
            workloads: workloads(documents, &autoscalers, simulated.as_ref()),
            budgets: documents.iter().filter_map(budget).collect(),
            services: documents.iter().filter_map(service).collect(),
            nodes: documents.iter().filter_map(node).collect(),
        };
        let entries = scenario.and_then(|d| d.node.at(&["spec", "nodes"])).map(Node::items).unwrap_or_default();
        for entry in entries {
            let taints = entry.get("taints").and_then(read::<Vec<TaintEntry>>).unwrap_or_default();
            cluster.nodes.push((text(entry, "name").to_string(), taints.into_iter().map(|t| t.0).collect()));
        }
        cluster
    }

    /// The workloads whose pods a selector of this namespace selects.
    pub fn selected<'s>(
        &'s self,
        namespace: &'s str,
        selector: &'s Selector,
    ) -> impl Iterator<Item = &'s Workload<'a>> + 's {
        self.workloads.iter().filter(move |w| w.namespace == namespace && selector.matches(&w.labels))
    }

    /// The workloads whose pods a budget selects.
    pub fn guarded<'s>(&'s self, budget: &'s Budget<'_>) -> impl Iterator<Item = &'s Workload<'a>> + 's {
        budget.selector.iter().flat_map(|selector| self.selected(&budget.namespace, selector))
    }

    /// The budgets that select a workload's pods.
    pub fn budgets_of(&self, workload: &Workload<'_>) -> impl Iterator<Item = &Budget<'a>> {
        self.budgets.iter().filter(move |b| {
            b.namespace == workload.namespace && b.selector.as_ref().is_some_and(|s| s.matches(&workload.labels))
        })
    }

    /// Workloads that clients reach through a Service, each with the first such Service.
    pub fn served(&self) -> impl Iterator<Item = (&Workload<'a>, &Service<'a>)> {
        self.workloads.iter().filter_map(|w| Some((w, self.services.iter().find(|s| s.leads_to(w))?)))
    }
}

impl Service<'_> {
    /// Whether it selects the pods of a workload.
    pub fn leads_to(&self, workload: &Workload<'_>) -> bool {
        self.namespace == workload.namespace && self.selector.as_ref().is_some_and(|s| s.matches(&workload.labels))
    }

    /// `clusterIP: None`: clients find pods by DNS.
    pub fn is_headless(&self) -> bool {
        text(self.spec, "clusterIP") == "None"
    }

    /// The container to which its first port leads; the first one if no port tells.
    pub fn serving<'w>(&self, workload: &'w Workload<'_>) -> Option<Container<'w>> {
        let port = self.spec.get("ports").map(Node::items).unwrap_or_default().first();
        let target = port.and_then(|p| p.get("targetPort").or_else(|| p.get("port")));
        let has_port = |c: &Container<'_>| {
            let ports = c.node.get("ports").map(Node::items).unwrap_or_default();
            ports.iter().any(|p| match target.map(|t| &t.value) {
                Some(Value::String(name)) => text(p, "name") == name,
                Some(Value::Number(number)) => {
                    p.get("containerPort").is_some_and(|n| n.value == Value::Number(number.clone()))
                }
                _ => false,
            })
        };
        let fallback = || workload.containers().find(|c| !c.is_proxy()).or_else(|| workload.containers().next());
        workload.containers().find(has_port).or_else(fallback)
    }
}

impl Workload<'_> {
    /// `Deployment default/web`.
    pub fn title(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }

    /// Where the number of replicas stands, or the name.
    pub fn replicas_place(&self) -> &Span {
        self.replicas_span.as_ref().unwrap_or(&self.span)
    }

    /// The fewest pods that it may want.
    pub fn fewest(&self) -> u32 {
        self.autoscaler.as_ref().map_or(self.replicas, |a| a.minimum)
    }

    /// Whether the disruption controller can ask its controller for a number of replicas
    /// (`pkg/controller/disruption/disruption.go` finders, v1.36). Other kinds may have a scale subresource.
    pub fn has_scale(&self) -> bool {
        !matches!(self.kind.as_str(), "DaemonSet" | "Job" | "CronJob" | "Pod")
    }

    /// Whether its pods are meant to stay.
    pub fn runs_for_ever(&self) -> bool {
        !matches!(self.kind.as_str(), "Job" | "CronJob")
    }

    /// `terminationGracePeriodSeconds`; what is negative counts as 1.
    pub fn grace_seconds(&self) -> u64 {
        let seconds = self.pod.get("terminationGracePeriodSeconds").and_then(read::<i64>);
        seconds.map_or(GRACE_SECONDS_DEFAULT, |s| u64::try_from(s).unwrap_or(1))
    }

    /// Where the grace period stands, if it is given.
    pub fn grace_span(&self) -> Option<&Span> {
        self.pod.get("terminationGracePeriodSeconds").map(|n| &n.span)
    }

    /// Its containers, without init containers.
    pub fn containers(&self) -> impl Iterator<Item = Container<'_>> {
        self.pod.get("containers").map(Node::items).unwrap_or_default().iter().map(|node| {
            let name = text(node, "name");
            let hook = node.at(&["lifecycle", "preStop"]).map(|hook| PreStop {
                node: hook,
                sleep: hook
                    .get("sleep")
                    .map(|s| (int(s, "seconds").unwrap_or(0), s.get("seconds").map_or(&s.span, |n| &n.span))),
                steps: self.hooks.get(name).cloned().unwrap_or_else(|| steps_of(hook)),
            });
            Container { name, node, app: self.apps.get(name), hook }
        })
    }

    /// The tolerations of its pods.
    pub fn tolerations(&self) -> Vec<Toleration> {
        let list = self.pod.get("tolerations").map(Node::items).unwrap_or_default();
        list.iter().map(toleration).collect()
    }
}

impl Container<'_> {
    /// Where its name stands.
    pub fn span(&self) -> &Span {
        self.node.get("name").map_or(&self.node.span, |n| &n.span)
    }

    /// How long its preStop hook waits, as far as that is known.
    pub fn hook_wait(&self) -> Duration {
        let Some(hook) = &self.hook else { return Duration::ZERO };
        let wait = |step: &HookStep| if let HookStep::Wait(span) = step { *span } else { Duration::ZERO };
        let slept =
            hook.sleep.map_or(Duration::ZERO, |(seconds, _)| Duration::from_secs(seconds.max(0).unsigned_abs()));
        slept + hook.steps.iter().map(wait).sum()
    }

    /// Whether a mesh has put it there to stand before another one.
    pub fn is_proxy(&self) -> bool {
        profiles::recognise_proxy(self.name, self.image()).is_some()
    }

    /// What the process does about its stop signal; `None` if nobody knows. `Some(None)`: it has no handler.
    pub fn stop_reaction(&self) -> Option<Option<Reaction>> {
        self.app.map(|app| app.reactions.get(&app.stop_signal).copied())
    }

    /// The signal that stops it, where it is known.
    pub fn stop_signal(&self) -> Option<Signal> {
        self.app.map(|app| app.stop_signal)
    }

    /// `command` and `args` as strings.
    pub fn words(&self, key: &str) -> Vec<&str> {
        self.node.get(key).map(Node::items).unwrap_or_default().iter().filter_map(Node::as_str).collect()
    }

    /// `image`.
    pub fn image(&self) -> &str {
        text(self.node, "image")
    }
}

fn steps_of(hook: &Node) -> Vec<HookStep> {
    let command = hook.at(&["exec", "command"]).map(Node::items).unwrap_or_default();
    let argv: Vec<String> = command.iter().filter_map(Node::as_str).map(str::to_string).collect();
    if argv.is_empty() { Vec::new() } else { hook_command::read(&argv).steps }
}

/// A string under a key, or nothing.
pub(super) fn text<'n>(node: &'n Node, key: &str) -> &'n str {
    node.get(key).and_then(Node::as_str).unwrap_or_default()
}

/// A whole number under a key.
pub(super) fn int(node: &Node, key: &str) -> Option<i64> {
    node.get(key).and_then(read::<i64>)
}

/// A value, if it can be read as such.
pub(super) fn read<T: Read>(node: &Node) -> Option<T> {
    T::read(node, &mut Diagnostics::default())
}

fn name_span(document: &Document) -> Span {
    document.node.at(&["metadata", "name"]).map_or_else(|| document.kind_span.clone(), |n| n.span.clone())
}

fn labels(metadata: Option<&Node>) -> Labels {
    strings(metadata.and_then(|m| m.get("labels")).map(Node::entries)).into_iter().collect()
}

fn strings(entries: Option<&[Entry]>) -> BTreeMap<String, String> {
    let entries = entries.unwrap_or_default().iter();
    entries.filter_map(|e| Some((e.key.clone(), e.node.as_str()?.to_string()))).collect()
}

fn selector(node: &Node) -> Selector {
    let labels = node.get("matchLabels").map(Node::entries).unwrap_or_default();
    let mut selector = Selector::labels(labels.iter().filter_map(|e| Some((e.key.clone(), e.node.as_str()?))));
    for line in node.get("matchExpressions").map(Node::items).unwrap_or_default() {
        let key = text(line, "key").to_string();
        let values = || line.get("values").and_then(read::<Vec<String>>).unwrap_or_default();
        selector.requirements.extend(match text(line, "operator") {
            "In" => Some(Requirement::In(key, values())),
            "NotIn" => Some(Requirement::NotIn(key, values())),
            "Exists" => Some(Requirement::Exists(key)),
            "DoesNotExist" => Some(Requirement::DoesNotExist(key)),
            _ => None,
        });
    }
    selector
}

fn toleration(node: &Node) -> Toleration {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
    Toleration {
        key: some(text(node, "key")),
        value: (text(node, "operator") != "Exists").then(|| text(node, "value").to_string()),
        effect: node.get("effect").and_then(read),
        seconds: int(node, "tolerationSeconds").map(|s| s.max(0).unsigned_abs()),
    }
}

fn node(document: &Document) -> Option<(String, Vec<Taint>)> {
    if (document.group.as_str(), document.kind.as_str()) != ("", "Node") {
        return None;
    }
    let taints = document.node.at(&["spec", "taints"]).map(Node::items).unwrap_or_default();
    let taint = |t: &Node| {
        Some(Taint { key: text(t, "key").into(), value: text(t, "value").into(), effect: read(t.get("effect")?)? })
    };
    Some((document.name().to_string(), taints.iter().filter_map(taint).collect()))
}

fn budget(document: &Document) -> Option<Budget<'_>> {
    if (document.group.as_str(), document.kind.as_str()) != ("policy", "PodDisruptionBudget") {
        return None;
    }
    let spec = document.node.get("spec").unwrap_or(&document.node);
    let bound = |key: &str| spec.get(key).and_then(|n| Some((read::<IntOrPercent>(n)?, n.span.clone())));
    Some(Budget {
        document,
        namespace: document.namespace().to_string(),
        name: document.name().to_string(),
        span: name_span(document),
        spec,
        selector: spec.get("selector").map(selector),
        min_available: bound("minAvailable"),
        max_unavailable: bound("maxUnavailable"),
    })
}

fn service(document: &Document) -> Option<Service<'_>> {
    if (document.group.as_str(), document.kind.as_str()) != ("", "Service") {
        return None;
    }
    let spec = document.node.get("spec")?;
    let labels = spec.get("selector").map(Node::entries).unwrap_or_default();
    let labels: Vec<_> = labels.iter().filter_map(|e| Some((e.key.clone(), e.node.as_str()?))).collect();
    (text(spec, "type") != "ExternalName").then(|| Service {
        namespace: document.namespace().to_string(),
        name: document.name().to_string(),
        span: name_span(document),
        spec,
        selector: (!labels.is_empty()).then(|| Selector::labels(labels)),
    })
}

fn autoscaler(document: &Document) -> Option<Autoscaler> {
    if (document.group.as_str(), document.kind.as_str()) != ("autoscaling", "HorizontalPodAutoscaler") {
        return None;
    }
    let spec = document.node.get("spec")?;
    let target = spec.get("scaleTargetRef")?;
    Some(Autoscaler {
        name: document.name().to_string(),
        minimum: int(spec, "minReplicas").and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        span: spec.get("minReplicas").map_or_else(|| name_span(document), |n| n.span.clone()),
        target: (document.namespace().to_string(), text(target, "kind").to_string(), text(target, "name").to_string()),
    })
}

/// The controller that owns an object: kind and name.
fn owner(document: &Document) -> Option<(String, String)> {
    let owners = document.node.at(&["metadata", "ownerReferences"]).map(Node::items).unwrap_or_default();
    let owner = owners.iter().find(|o| o.get("controller").is_some_and(|c| c.value == Value::Bool(true)))?;
    Some((text(owner, "kind").to_string(), text(owner, "name").to_string()))
}

fn workloads<'a>(
    documents: &'a [Document],
    autoscalers: &[Autoscaler],
    simulated: Option<&Simulated<'_>>,
) -> Vec<Workload<'a>> {
    let there: BTreeSet<(String, String, String)> =
        documents.iter().map(|d| (d.kind.clone(), d.namespace().to_string(), d.name().to_string())).collect();
    let mut workloads: Vec<Workload<'a>> = Vec::new();
    for document in documents {
        let template: &[&str] = match (document.group.as_str(), document.kind.as_str()) {
            ("apps" | "extensions", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("", "ReplicationController")
            | ("batch", "Job") => &["spec", "template"],
            ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
            ("", "Pod") => &[],
            _ => continue,
        };
        let (Some(spec), Some(template)) = (document.node.get("spec"), document.node.at(template)) else { continue };
        let Some(pod) = template.get("spec") else { continue };
        let is_mirror = document.node.at(&["metadata", "annotations", "kubernetes.io/config.mirror"]).is_some();
        let has_ended =
            matches!(document.node.at(&["status", "phase"]).and_then(Node::as_str), Some("Succeeded" | "Failed"));
        if is_mirror || has_ended {
            continue;
        }
        let (mut kind, mut name) = (document.kind.clone(), document.name().to_string());
        let namespace = document.namespace().to_string();
        if let Some((owner_kind, owner_name)) = owner(document) {
            if there.contains(&(owner_kind.clone(), namespace.clone(), owner_name.clone())) {
                continue;
            }
            // Pods whose owner was not exported stand for it; its other pods only count.
            if kind == "Pod" {
                (kind, name) = (owner_kind, owner_name);
                let same = |w: &&mut Workload<'_>| (&w.kind, &w.namespace, &w.name) == (&kind, &namespace, &name);
                if let Some(known) = workloads.iter_mut().find(same) {
                    known.replicas += 1;
                    continue;
                }
            }
        }
        let replicas = spec.get("replicas").filter(|_| document.kind != "Pod");
        let autoscaler = autoscalers.iter().find(|a| a.target == (namespace.clone(), kind.clone(), name.clone()));
        let mut workload = Workload {
            labels: labels(template.get("metadata")),
            pod_metadata: template.get("metadata"),
            span: name_span(document),
            replicas: replicas.and_then(read::<u32>).unwrap_or(1),
            replicas_span: replicas.map(|n| n.span.clone()),
            autoscaler: autoscaler.cloned(),
            simulated: false,
            apps: BTreeMap::new(),
            hooks: BTreeMap::new(),
            kind,
            namespace,
            name,
            spec,
            pod,
        };
        learn_behaviour(&mut workload, simulated);
        workloads.push(workload);
    }
    workloads
}

/// What a scenario makes of the manifests.
struct Simulated<'a> {
    setup: &'a Setup,
    /// The applications of which nothing is known.
    unknown: BTreeSet<u32>,
}

/// How the containers behave: as the scenario has it, else as their images tell.
fn learn_behaviour(workload: &mut Workload<'_>, simulated: Option<&Simulated<'_>>) {
    let annotations = strings(workload.pod_metadata.and_then(|m| m.get("annotations")).map(Node::entries));
    let alone = |c: &Container<'_>| match profiles::recognise_proxy(c.name, c.image()) {
        Some((mesh, _)) => {
            let env = c.node.get("env").map(Node::items).unwrap_or_default();
            let env = env.iter().map(|e| (text(e, "name").to_string(), text(e, "value").to_string())).collect();
            Some(mesh.app(&ProxyManifest { annotations: &annotations, env: &env, drains_in_hook: false }))
        }
        None => profiles::of_image(c.image()),
    };
    let names: Vec<(String, Option<App>)> = workload.containers().map(|c| (c.name.to_string(), alone(&c))).collect();
    let template = simulated.and_then(|Simulated { setup, .. }| {
        let named = |namespace: &str, name: &str| (namespace, name) == (&*workload.namespace, &*workload.name);
        let id = match workload.kind.as_str() {
            "Deployment" => setup.deployments.iter().find(|d| named(&d.namespace, &d.name)).map(|d| d.template),
            "ReplicaSet" => setup.replica_sets.iter().find(|r| named(&r.namespace, &r.name)).map(|r| r.template),
            "StatefulSet" => setup.stateful_sets.iter().find(|s| named(&s.namespace, &s.name)).map(|s| s.template),
            "DaemonSet" => setup.daemon_sets.iter().find(|d| named(&d.namespace, &d.name)).map(|d| d.template),
            "Job" => setup.jobs.iter().find(|j| named(&j.namespace, &j.name)).map(|j| j.template),
            "Pod" => setup.pods.iter().find(|p| p.name == workload.name).map(|p| p.template),
            _ => None,
        };
        Some((setup, &setup.templates[id?.index()]))
    });
    workload.simulated = template.is_some();
    for (name, of_image) in names {
        let container = template.and_then(|(_, t)| t.containers.iter().find(|c| c.name == name));
        // Of what nothing is known nothing is said: that it exits at once is only what a run takes for granted.
        let known = container.filter(|c| simulated.is_some_and(|s| !s.unknown.contains(&c.app)));
        let as_run = template.zip(known).map(|((setup, _), c)| setup.apps[c.app as usize].clone());
        workload.apps.extend(as_run.or(of_image).map(|app| (name.clone(), app)));
        if let Some(Hook::Exec(steps) | Hook::HttpGet(steps)) = container.and_then(|c| c.pre_stop.as_ref()) {
            workload.hooks.insert(name, steps.clone());
        }
    }
}
