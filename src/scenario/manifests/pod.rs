//! Pod templates: the spec of pods, wherever it stands.

use std::collections::BTreeMap;

use crate::api::pod::{DisruptionHints, Hook, HookStep, Probe, Signal};
use crate::api::quantity::Resources;
use crate::api::{Container, Gates, Labels, PodTemplate, ReadinessGate, RestartPolicy};
use crate::engine::Duration;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::hook_command::{self, signal_by_name};
use crate::scenario::manifests::{Cx, affinity};
use crate::scenario::source::Span;
use crate::scenario::suggest;
use crate::scenario::tree::{Node, Value};
use crate::scenario::values::Quantity;

/// A template, and what is still needed to say how its containers behave.
#[derive(Clone, PartialEq, Debug)]
pub struct TemplateManifest {
    /// The template. `serving`, and `app` of its containers, are not set yet.
    pub template: PodTemplate,
    /// The containers in the order of their numbers: init containers last.
    pub containers: Vec<ContainerManifest>,
    /// Where the readiness gates stand, in their order.
    pub gates: Vec<Span>,
    /// The annotations of the pods.
    pub annotations: BTreeMap<String, String>,
    /// `restartPolicy`, where it stands.
    pub restart_policy: Option<Span>,
    /// Where the pod spec stands.
    pub span: Span,
}

/// A container of a template.
#[derive(Clone, PartialEq, Debug)]
pub struct ContainerManifest {
    /// Where its name stands.
    pub span: Span,
    /// Its `ports`: number, and name if it has one.
    pub ports: Vec<(u16, Option<String>)>,
    /// `lifecycle.stopSignal`, where the version has it.
    pub stop_signal: Option<Signal>,
    /// What its preStop hook is.
    pub hook: HookManifest,
    /// `command` and `args`.
    pub command: Vec<String>,
    /// There is a `command`, so that the image's entry point does not count.
    pub has_command: bool,
    /// Its `env`: names, and values that stand there.
    pub env: BTreeMap<String, String>,
    /// Its preStop hook has Istio's agent drain.
    pub drains_in_hook: bool,
    /// Its process is not PID 1: `shareProcessNamespace` or `hostPID` of the pod.
    pub shares_pids: bool,
}

/// A preStop hook, as to what is known of it.
#[derive(Clone, PartialEq, Debug)]
pub enum HookManifest {
    /// There is none.
    None,
    /// The kubelet sleeps.
    Sleep(Span),
    /// A command that was understood.
    Known(Span),
    /// A command with parts that were not understood.
    Unknown(Span, Vec<String>),
    /// An HTTP request to the container.
    HttpGet(Span),
}

/// Kubernetes' default (`pkg/apis/core/v1/defaults.go`, v1.36).
const GRACE_SECONDS_DEFAULT: u64 = 30;

/// Containers are numbered by a byte.
const CONTAINERS_MAX: usize = u8::MAX as usize;

/// Reads a pod spec. `labels` are those of the pods.
pub(super) fn read(spec: &Node, namespace: &str, labels: Labels, cx: &mut Cx<'_>) -> Option<TemplateManifest> {
    tell_unmodelled(spec, cx);
    let grace = read_grace(spec, cx);
    let (mut init_containers, mut init_manifests) = (Vec::new(), Vec::new());
    let mut largest_init = Resources::default();
    // the sidecars so far
    let mut requests = Resources::default();
    for node in spec.get("initContainers").map(Node::items).unwrap_or_default() {
        let Some((mut container, resources, manifest)) = read_container(node, grace, cx) else { continue };
        container.sidecar = is_sidecar(node, cx);
        let mut while_it_runs = requests;
        while_it_runs += resources;
        largest_init = largest_init.at_least(while_it_runs);
        if container.sidecar {
            requests = while_it_runs;
        } else {
            // the apiserver refuses hooks and probes here (pkg/apis/core/validation/validation.go validateInitContainers)
            container = Container { pre_stop: None, readiness: None, startup: None, liveness: None, ..container };
        }
        init_containers.push(container);
        init_manifests.push(manifest);
    }
    let (mut containers, mut manifests) = (Vec::new(), Vec::new());
    for node in spec.get("containers").map(Node::items).unwrap_or_default() {
        let Some((container, resources, manifest)) = read_container(node, grace, cx) else { continue };
        requests += resources;
        containers.push(container);
        manifests.push(manifest);
    }
    if containers.is_empty() {
        if spec.get("containers").map(Node::items).unwrap_or_default().is_empty() {
            cx.push(Diagnostic::error("a pod needs at least one container").at(&spec.span, "no `containers` here"));
        }
        return None;
    }
    for key in ["containers", "initContainers"] {
        let Some(list) = spec.get(key).filter(|list| list.items().len() > CONTAINERS_MAX) else { continue };
        cx.push(
            Diagnostic::error(format!("this pod has {} `{key}`", list.items().len()))
                .at(&list.span, format!("at most {CONTAINERS_MAX} can be simulated")),
        );
        return None;
    }
    if containers.len() + init_containers.len() > CONTAINERS_MAX {
        let count = containers.len() + init_containers.len();
        cx.push(
            Diagnostic::error(format!("this pod has {count} containers, init containers included"))
                .at(&spec.span, format!("at most {CONTAINERS_MAX} can be simulated")),
        );
        return None;
    }
    manifests.extend(init_manifests);
    let shares_pids = ["shareProcessNamespace", "hostPID"].iter().any(|key| cx.field(spec, key).unwrap_or(false));
    manifests.iter_mut().for_each(|manifest| manifest.shares_pids = shares_pids);
    let mut requests = requests.at_least(largest_init);
    if let Some(overhead) = spec.get("overhead") {
        requests += read_resources(overhead, cx);
    }
    let volumes = spec.get("volumes").map(Node::items).unwrap_or_default();
    let (readiness_gates, gates) = read_gates(spec, cx);
    let template = PodTemplate {
        namespace: namespace.to_string(),
        labels,
        termination_grace_period_seconds: grace,
        init_containers,
        containers,
        serving: 0,
        front: None,
        restart_policy: read_restart_policy(spec, cx),
        priority: cx.priorities.of(spec),
        requests,
        placement: affinity::read(spec, cx),
        has_empty_dir: volumes.iter().any(|v| v.entry("emptyDir").is_some()),
        hints: DisruptionHints { critical: is_critical(spec), ..DisruptionHints::default() },
        readiness_gates,
    };
    let restart_policy = spec.get("restartPolicy").map(|n| n.span.clone());
    Some(TemplateManifest {
        template,
        containers: manifests,
        gates,
        annotations: BTreeMap::new(),
        restart_policy,
        span: spec.span.clone(),
    })
}

/// `readinessGates`, and where each of them stands. Who sets them is not known yet.
fn read_gates(spec: &Node, cx: &mut Cx<'_>) -> (Vec<ReadinessGate>, Vec<Span>) {
    let (mut gates, mut spans) = (Vec::<ReadinessGate>::new(), Vec::new());
    for node in spec.get("readinessGates").map(Node::items).unwrap_or_default() {
        let Some(condition_type) = cx.field::<String>(node, "conditionType") else {
            cx.push(Diagnostic::error("a readiness gate names a condition").at(&node.span, "expected `conditionType`"));
            continue;
        };
        if gates.iter().any(|gate| gate.condition_type == condition_type) {
            continue;
        }
        if gates.len() == Gates::MAX {
            let most = Gates::MAX;
            cx.push(
                Diagnostic::error("this pod has too many readiness gates")
                    .at(&node.span, format!("at most {most} can be simulated")),
            );
            break;
        }
        gates.push(ReadinessGate { condition_type, set_by: None });
        spans.push(node.span.clone());
    }
    (gates, spans)
}

/// Whether the pods have one of the two priority classes that every cluster has.
fn is_critical(spec: &Node) -> bool {
    let class = spec.get("priorityClassName").and_then(Node::as_str);
    matches!(class, Some("system-cluster-critical" | "system-node-critical"))
}

/// `terminationGracePeriodSeconds`. What is negative is taken as 1, as the apiserver does on deletion
/// (`pkg/registry/core/pod/strategy.go` CheckGracefulDelete, v1.36).
fn read_grace(spec: &Node, cx: &mut Cx<'_>) -> u64 {
    let seconds: Option<i64> = cx.field(spec, "terminationGracePeriodSeconds");
    match seconds.map(u64::try_from) {
        None => GRACE_SECONDS_DEFAULT,
        Some(Ok(seconds)) => seconds,
        Some(Err(_)) => {
            let span = spec.get("terminationGracePeriodSeconds").map_or(&spec.span, |n| &n.span);
            cx.push(
                Diagnostic::warning("a negative terminationGracePeriodSeconds counts as 1")
                    .at(span, "taken as 1 second"),
            );
            1
        }
    }
}

/// Source: `pkg/apis/core/validation/validation.go` validateRestartPolicy (v1.36).
fn read_restart_policy(spec: &Node, cx: &mut Cx<'_>) -> RestartPolicy {
    let Some(node) = spec.get("restartPolicy") else { return RestartPolicy::default() };
    const POLICIES: [(&str, RestartPolicy); 3] =
        [("Always", RestartPolicy::Always), ("OnFailure", RestartPolicy::OnFailure), ("Never", RestartPolicy::Never)];
    let name: String = cx.field(spec, "restartPolicy").unwrap_or_default();
    POLICIES.iter().find(|(known, _)| *known == name).map_or_else(
        || {
            cx.push(
                Diagnostic::error(format!("there is no restartPolicy `{name}`"))
                    .at(&node.span, "expected Always, OnFailure or Never")
                    .help(suggest::help(&name, "policies", POLICIES.iter().map(|(known, _)| *known))),
            );
            RestartPolicy::default()
        },
        |(_, policy)| *policy,
    )
}

/// Whether an init container is a sidecar (gate SidecarContainers: on by default since 1.29, GA 1.33). Another policy than
/// Always for a single container needs ContainerRestartRules (on by default since 1.35), which is not modelled.
fn is_sidecar(node: &Node, cx: &mut Cx<'_>) -> bool {
    let Some(policy) = node.get("restartPolicy") else { return false };
    let always = policy.as_str() == Some("Always");
    if !always {
        cx.unmodelled.field(
            "initContainers[].restartPolicy",
            &policy.span,
            "the pod's restartPolicy counts for it (only Always, a sidecar, is modelled)",
        );
    }
    always
}

fn tell_unmodelled(spec: &Node, cx: &mut Cx<'_>) {
    for (key, field, instead) in [
        (
            "priorityClassName",
            "priorityClassName",
            "no pod preempts another; it counts in a graceful node shutdown only",
        ),
        ("schedulingGates", "schedulingGates", "the pods are scheduled at once"),
        ("activeDeadlineSeconds", "activeDeadlineSeconds", "the pods run for ever"),
        ("resourceClaims", "resourceClaims", "any node has the devices"),
    ] {
        if let Some(node) = spec.get(key) {
            // Every static pod and add-on has one of these two: they protect the node itself.
            if node.as_str().is_some_and(|class| class.starts_with("system-")) {
                continue;
            }
            cx.unmodelled.field(field, &node.span, instead);
        }
    }
    if let Some(scheduler) = spec.get("schedulerName").filter(|n| n.as_str() != Some("default-scheduler")) {
        cx.unmodelled.field("schedulerName", &scheduler.span, "the default scheduler places the pods");
    }
    for volume in spec.get("volumes").map(Node::items).unwrap_or_default() {
        for key in ["persistentVolumeClaim", "ephemeral"] {
            if let Some(claim) = volume.get(key) {
                cx.unmodelled.field(
                    "volumes[].persistentVolumeClaim",
                    &claim.span,
                    "the volume is there on every node, at once",
                );
            }
        }
    }
}

/// A container, what it requests, and what is to be known about its process.
fn read_container(node: &Node, grace: u64, cx: &mut Cx<'_>) -> Option<(Container, Resources, ContainerManifest)> {
    let Some(name_node) = node.get("name") else {
        cx.push(Diagnostic::error("a container needs a name").at(&node.span, "no `name` here"));
        return None;
    };
    let name: String = cx.field(node, "name")?;
    let mut ports = Vec::new();
    for port in node.get("ports").map(Node::items).unwrap_or_default() {
        let port_name = port.get("name").and_then(Node::as_str).map(str::to_string);
        ports.extend(cx.field(port, "containerPort").map(|number| (number, port_name)));
        if let Some(host_port) = port.get("hostPort").filter(|p| p.value != Value::Number("0".into())) {
            cx.unmodelled.field("hostPort", &host_port.span, "any number of these pods fits on a node");
        }
    }
    if let Some(rules) = node.get("restartPolicyRules") {
        cx.unmodelled.field("restartPolicyRules", &rules.span, "the restartPolicy counts");
    }
    if let Some(hook) = node.at(&["lifecycle", "postStart"]) {
        cx.unmodelled.field("lifecycle.postStart", &hook.span, "it takes no time");
    }
    let (pre_stop, hook) = match node.at(&["lifecycle", "preStop"]) {
        Some(hook) => read_hook(hook, grace, cx),
        None => (None, HookManifest::None),
    };
    let container = Container {
        name,
        image: cx.field(node, "image").unwrap_or_default(),
        pre_stop,
        readiness: node.get("readinessProbe").map(|probe| read_probe(probe, cx)),
        startup: node.get("startupProbe").map(|probe| read_probe(probe, cx)),
        liveness: node.get("livenessProbe").map(|probe| read_probe(probe, cx)),
        sidecar: false,
        app: 0,
    };
    let mut command: Vec<String> = cx.field(node, "command").unwrap_or_default();
    let has_command = !command.is_empty();
    command.extend(cx.field::<Vec<String>>(node, "args").unwrap_or_default());
    let requests = read_requests(node, cx);
    let span = name_node.span.clone();
    let stop_signal = read_stop_signal(node, cx);
    let env = node.get("env").map(Node::items).unwrap_or_default().iter();
    let env = env.filter_map(|e| Some((e.get("name")?.as_str()?.to_string(), e.get("value")?.as_str()?.to_string())));
    let manifest = ContainerManifest {
        span,
        ports,
        stop_signal,
        hook,
        command,
        has_command,
        env: env.collect(),
        drains_in_hook: node.at(&["lifecycle", "preStop"]).is_some_and(drains),
        shares_pids: false,
    };
    Some((container, requests, manifest))
}

/// Whether a preStop hook asks Istio's agent to drain: `pilot-agent request --debug-port=15020 POST drain`.
fn drains(hook: &Node) -> bool {
    let command = hook.at(&["exec", "command"]).map(Node::items).unwrap_or_default();
    let words: Vec<&str> = command.iter().filter_map(Node::as_str).flat_map(str::split_whitespace).collect();
    words.first().is_some_and(|program| program.ends_with("pilot-agent")) && words.ends_with(&["POST", "drain"])
}

/// What a container requests: what it does not say is its limit.
///
/// Source: `pkg/apis/core/v1/defaults.go` SetDefaults_Pod (v1.36), resource by resource.
fn read_requests(node: &Node, cx: &mut Cx<'_>) -> Resources {
    let (requests, limits) = (node.at(&["resources", "requests"]), node.at(&["resources", "limits"]));
    let asked = requests.map(|r| read_resources(r, cx)).unwrap_or_default();
    let limit = limits.map(|r| read_resources(r, cx)).unwrap_or_default();
    let says = |key: &str| requests.is_some_and(|r| r.get(key).is_some());
    Resources {
        cpu_millis: if says("cpu") { asked.cpu_millis } else { limit.cpu_millis },
        memory_bytes: if says("memory") { asked.memory_bytes } else { limit.memory_bytes },
    }
}

/// `cpu` and `memory` of a resource list.
fn read_resources(node: &Node, cx: &mut Cx<'_>) -> Resources {
    let cpu: Option<Quantity> = cx.field(node, "cpu");
    let memory: Option<Quantity> = cx.field(node, "memory");
    Resources { cpu_millis: cpu.map_or(0, |q| q.0), memory_bytes: memory.map_or(0, |q| q.0.div_ceil(1000)) }
}

/// Source: the defaults of `pkg/apis/core/v1/defaults.go` SetDefaults_Probe (v1.36): a zero means the default, too.
fn read_probe(node: &Node, cx: &mut Cx<'_>) -> Probe {
    let default = Probe::default();
    let mut seconds = |key: &str| cx.field::<u64>(node, key).filter(|&s| s > 0).map(Duration::from_secs);
    let (initial_delay, period) = (seconds("initialDelaySeconds"), seconds("periodSeconds"));
    let timeout = seconds("timeoutSeconds");
    let mut count = |key: &str| cx.field::<u32>(node, key).filter(|&n| n > 0);
    let (success, failure) = (count("successThreshold"), count("failureThreshold"));
    let grace = cx.field::<u64>(node, "terminationGracePeriodSeconds").filter(|&n| n > 0);
    Probe {
        initial_delay: initial_delay.unwrap_or(default.initial_delay),
        period: period.unwrap_or(default.period),
        timeout: timeout.unwrap_or(default.timeout),
        success_threshold: success.unwrap_or(default.success_threshold),
        failure_threshold: failure.unwrap_or(default.failure_threshold),
        termination_grace_seconds: grace,
    }
}

/// `lifecycle.stopSignal`: the gate ContainerStopSignals is off before 1.37, and the apiserver then drops the field.
fn read_stop_signal(node: &Node, cx: &mut Cx<'_>) -> Option<Signal> {
    let field = node.at(&["lifecycle", "stopSignal"])?;
    let name = field.as_str().unwrap_or_default();
    if cx.version < crate::api::Version::NEWEST {
        cx.push(
            Diagnostic::warning(format!("`lifecycle.stopSignal` has no effect in Kubernetes {}", cx.version))
                .at(&field.span, "the apiserver drops it: the gate ContainerStopSignals is off")
                .help("the image's STOPSIGNAL counts; say what it is with `apps[].stopSignal`"),
        );
        return None;
    }
    let signal = signal_by_name(name);
    if signal.is_none() {
        cx.push(Diagnostic::warning(format!("the stop signal `{name}` is not modelled")).at(&field.span, "left out"));
    }
    signal
}

fn read_hook(node: &Node, grace: u64, cx: &mut Cx<'_>) -> (Option<Hook>, HookManifest) {
    if let Some(sleep) = node.get("sleep") {
        return (read_sleep(sleep, grace, cx).map(Hook::Sleep), HookManifest::Sleep(node.span.clone()));
    }
    if let Some(exec) = node.get("exec") {
        let argv: Vec<String> = cx.field(exec, "command").unwrap_or_default();
        let span = exec.get("command").map_or(&exec.span, |n| &n.span).clone();
        let command = hook_command::read(&argv);
        warn_if_longer_than_grace(&command.steps, grace, &span, cx);
        let hook = if command.unknown.is_empty() {
            HookManifest::Known(span)
        } else {
            HookManifest::Unknown(span, command.unknown)
        };
        return (Some(Hook::Exec(command.steps)), hook);
    }
    if node.get("httpGet").is_some() {
        return (Some(Hook::HttpGet(Vec::new())), HookManifest::HttpGet(node.span.clone()));
    }
    let found = node.entries().first().map_or("nothing".to_string(), |e| format!("`{}`", e.key));
    cx.push(
        Diagnostic::error(format!("a preStop hook is `exec`, `httpGet` or `sleep`, not {found}")).at(&node.span, ""),
    );
    (None, HookManifest::None)
}

/// Source: `pkg/apis/core/validation/validation.go` validateSleepAction (v1.36).
fn read_sleep(node: &Node, grace: u64, cx: &mut Cx<'_>) -> Option<Duration> {
    let span = node.get("seconds").map_or(&node.span, |n| &n.span).clone();
    let seconds: u64 = cx.field(node, "seconds").unwrap_or(0);
    let version = cx.version;
    if !version.has_sleep_action() {
        cx.push(
            Diagnostic::error(format!("Kubernetes {version} has no `preStop.sleep`"))
                .at(&node.span, "the gate PodLifecycleSleepAction is off before 1.30")
                .help(format!(
                    "write `exec: {{command: [sleep, \"{seconds}\"]}}`, or set spec.kubernetes to \"1.30\" or later"
                )),
        );
        return None;
    }
    if seconds == 0 && !version.allows_zero_sleep() {
        cx.push(
            Diagnostic::error(format!("Kubernetes {version} refuses a preStop sleep of 0 seconds"))
                .at(&span, "allowed from 1.33 on")
                .help("leave the hook out"),
        );
        return None;
    }
    if seconds > grace {
        cx.push(
            Diagnostic::error(format!("the preStop sleep of {seconds} s is longer than the grace period of {grace} s"))
                .at(&span, "the apiserver refuses this pod")
                .help(format!(
                    "set terminationGracePeriodSeconds to {seconds} plus what the application needs to stop"
                )),
        );
        return None;
    }
    warn_if_longer_than_grace(&[HookStep::Wait(Duration::from_secs(seconds))], grace, &span, cx);
    Some(Duration::from_secs(seconds))
}

/// The hook's waiting uses up the grace period: SIGKILL comes 2 s after the stop signal
/// (`pkg/kubelet/kuberuntime/kuberuntime_manager.go` minimumGracePeriodInSeconds, v1.36).
pub(crate) fn hook_longer_than_grace(steps: &[HookStep], grace: u64, span: &Span) -> Option<Diagnostic> {
    let waits: Duration = steps.iter().map(|s| if let HookStep::Wait(span) = s { *span } else { Duration::ZERO }).sum();
    (waits >= Duration::from_secs(grace) && !waits.is_zero()).then(|| {
        let compared = if waits == Duration::from_secs(grace) { "as long as" } else { "longer than" };
        Diagnostic::warning(format!("the preStop hook takes {waits}, {compared} the grace period of {grace}s"))
            .at(span, "preStop counts against terminationGracePeriodSeconds")
            .note("the kubelet then sends the stop signal, and SIGKILL 2 s later")
            .help("set terminationGracePeriodSeconds to the hook's time plus what the application needs to stop")
    })
}

fn warn_if_longer_than_grace(steps: &[HookStep], grace: u64, span: &Span, cx: &mut Cx<'_>) {
    if let Some(warning) = hook_longer_than_grace(steps, grace, span) {
        cx.push(warning);
    }
}
