//! What the process does about its stop signal.

use crate::analysis::lint::cluster::{Cluster, Container};
use crate::analysis::lint::rule::{Rule, Sink};
use crate::api::pod::HookStep;
use crate::api::pod::Signal;
use crate::scenario::diagnostic::Severity;
use crate::scenario::shell_script::{Sureness, keeps_signals};
use crate::scenario::tree::{Node, Value};
use crate::simulation::setup::Reaction;

pub(super) static SHELL: Rule = Rule {
    id: "shell-swallows-term",
    severity: Severity::Warning,
    summary: "a shell as PID 1 that keeps SIGTERM from the application",
    why: "The kernel delivers no signal to PID 1 that has no handler for it, and a shell has none for SIGTERM and passes nothing \
          on. The application serves until SIGKILL, which cuts what is in flight; each pod takes its whole grace period to go.",
    fix: "command: [sh, -c, \"exec ...\"]",
    source: "pid_namespaces(7); pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer",
    check: shell,
};

fn shell(cluster: &Cluster<'_>, sink: &mut Sink) {
    for workload in cluster.workloads.iter().filter(|w| w.runs_for_ever()) {
        // With a shared process namespace PID 1 is the pause container, and the shell dies as any process does.
        let shared = workload.pod.get("shareProcessNamespace").is_some_and(|n| n.value == Value::Bool(true));
        for container in workload.containers().filter(|_| !shared) {
            let Some((node, script)) = script(&container) else { continue };
            let Some(sureness) = keeps_signals(script) else { continue };
            let message = format!("the shell of container {} does not pass SIGTERM on", container.name);
            let finding = sink.push(message, &node.span, "no `exec` here");
            if sureness == Sureness::DependsOnShell {
                finding.severity = Severity::Info;
                finding
                    .note("some shells replace themselves by a last command; whether this one does, the image decides");
            }
            let last = script.trim().rsplit(['\n', ';']).next().unwrap_or_default();
            let last = last.rsplit("&&").next().unwrap_or_default().trim();
            let simple = !last.contains(['|', '&']) && !last.is_empty() && last.len() < 60;
            if simple {
                finding.fix(format!("exec {last}       # as the script's last command"));
            }
        }
    }
}

/// The script of a container that is started as `sh -c SCRIPT`, and where it stands.
fn script<'c>(container: &Container<'c>) -> Option<(&'c Node, &'c str)> {
    let list = |key| container.node.get(key).map(Node::items).unwrap_or_default();
    let words: Vec<&Node> = list("command").iter().chain(list("args")).collect();
    let [program, flags, script, ..] = &words[..] else { return None };
    let is_shell = matches!(program.as_str()?.rsplit('/').next()?, "sh" | "bash" | "ash" | "dash");
    let from_command = !list("command").is_empty();
    let flags = flags.as_str()?;
    (is_shell && from_command && flags.starts_with('-') && flags.ends_with('c')).then_some((*script, script.as_str()?))
}

pub(super) static IGNORED: Rule = Rule {
    id: "stop-signal-ignored",
    severity: Severity::Warning,
    summary: "an application without a handler for its stop signal",
    why: "As PID 1 it never gets a signal that it has no handler for. It serves until SIGKILL: what is in flight is cut, and each \
          pod takes its whole grace period to go.",
    fix: "handle the signal in the application, or start it under an init such as tini (then it dies at once: add a preStop)",
    source: "pid_namespaces(7); pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer",
    check: |cluster, sink| {
        for workload in &cluster.workloads {
            for container in workload.containers() {
                let (Some(None | Some(Reaction::Ignore)), Some(signal)) =
                    (container.stop_reaction(), container.stop_signal())
                else {
                    continue;
                };
                let is_asked = container.hook.as_ref().is_some_and(|h| sends_signal(&h.steps));
                if is_asked || script(&container).is_some_and(|(_, text)| keeps_signals(text).is_some()) {
                    continue;
                }
                let message = format!("container {} does not hear {}", container.name, signal.name());
                let finding = sink.push(message, container.span(), "as the scenario or the image has it");
                if container.words("command").first().is_some_and(|word| word.ends_with("node")) {
                    finding.fix(
                        "process.on('SIGTERM', () => server.close(() => process.exit(0)))   // in the application",
                    );
                }
            }
        }
    },
};

fn sends_signal(steps: &[HookStep]) -> bool {
    steps.iter().any(|step| matches!(step, HookStep::Signal(_)))
}

pub(super) static NOT_GRACEFUL: Rule = Rule {
    id: "stop-signal-not-graceful",
    severity: Severity::Warning,
    summary: "a stop signal that ends the application at once",
    why: "It exits without finishing what is in flight: those requests are reset, however well the routes were changed before.",
    fix: "finish requests on the stop signal, or send the graceful one in the preStop hook",
    source: "the server's manual: see `drainsim schema profiles`",
    check: not_graceful,
};

fn not_graceful(cluster: &Cluster<'_>, sink: &mut Sink) {
    for (workload, service) in cluster.served() {
        let Some(container) = service.serving(workload) else { continue };
        let (Some(Some(Reaction::ExitNow)), Some(app)) = (container.stop_reaction(), container.app) else { continue };
        if container.hook.as_ref().is_some_and(|h| sends_signal(&h.steps)) {
            continue;
        }
        let graceful =
            app.reactions.iter().find(|(_, r)| matches!(r, Reaction::Drain { .. })).map(|(signal, _)| *signal);
        let stop = app.stop_signal.name();
        let message = format!("{stop} ends container {} at once, with whatever is in flight", container.name);
        let place = container.node.get("image").map_or_else(|| container.span(), |n| &n.span);
        let finding = sink.push(message, place, format!("it behaves as `{}`", app.profile));
        if let Some(signal) = graceful {
            finding.note(format!("{} is its graceful stop", signal.name()));
            let quit = match (app.profile.as_str(), signal) {
                ("nginx", _) => "sleep 5; nginx -s quit; while pgrep -x nginx; do sleep 1; done".to_string(),
                (_, Signal::Quit) => "sleep 5; kill -QUIT 1; while kill -0 1; do sleep 1; done".to_string(),
                (_, other) => {
                    let name = other.name().trim_start_matches("SIG");
                    format!("sleep 5; kill -{name} 1; while kill -0 1; do sleep 1; done")
                }
            };
            finding.fix(format!("lifecycle: {{preStop: {{exec: {{command: [sh, -c, \"{quit}\"]}}}}}}"));
        }
    }
}
