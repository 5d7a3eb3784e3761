//! preStop hooks: the wait that lets routes change first.

use crate::analysis::lint::cluster::{Cluster, Container, Workload};
use crate::analysis::lint::rule::{Rule, Sink};
use crate::api::pod::HookStep;
use crate::engine::Duration;
use crate::scenario::diagnostic::Severity;
use crate::simulation::setup::Reaction;

/// A wait that outlasts the spread of endpoints in a healthy cluster of moderate size.
const SLEEP_SECONDS: u64 = 5;

pub(super) static NO_PRESTOP: Rule = Rule {
    id: "no-prestop",
    severity: Severity::Warning,
    summary: "no preStop hook on a container behind a Service",
    why: "The stop signal and the change of routes begin at the same instant, and nothing orders them. Until the last \
          kube-proxy has heard of it, new connections still come to a listener that is closed already.",
    fix: "lifecycle: {preStop: {sleep: {seconds: 5}}}",
    source: "pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer; pkg/controller/endpointslice; pkg/proxy/iptables",
    check: no_prestop,
};

fn no_prestop(cluster: &Cluster<'_>, sink: &mut Sink) {
    for (workload, service) in cluster.served() {
        let Some(container) = service.serving(workload).filter(|c| c.hook.is_none()) else { continue };
        let goes_on = match container.stop_reaction() {
            // What never hears its stop signal goes on serving: another rule's case.
            Some(None | Some(Reaction::Ignore)) => true,
            Some(Some(Reaction::Drain { linger, .. } | Reaction::Outlast { least: linger, .. })) => {
                linger >= Duration::from_secs(1)
            }
            _ => false,
        };
        if goes_on {
            continue;
        }
        let message = format!(
            "container {} of {} closes its listener before the routes to it are gone",
            container.name,
            workload.title()
        );
        let finding = sink.push(message, container.span(), "no lifecycle.preStop");
        finding.and_at(&service.span, "clients come through this Service");
        let grace = workload.grace_seconds() + SLEEP_SECONDS;
        finding.fix(if cluster.version.has_sleep_action() {
            format!("lifecycle: {{preStop: {{sleep: {{seconds: {SLEEP_SECONDS}}}}}}}\nterminationGracePeriodSeconds: {grace}   # of the pod: the sleep counts against it")
        } else {
            format!("lifecycle: {{preStop: {{exec: {{command: [sleep, \"{SLEEP_SECONDS}\"]}}}}}}\nterminationGracePeriodSeconds: {grace}   # of the pod: the sleep counts against it")
        });
    }
}

pub(super) static SLEEP_REFUSED: Rule = Rule {
    id: "prestop-sleep-refused",
    severity: Severity::Error,
    summary: "a preStop sleep that the apiserver refuses",
    why: "preStop.sleep.seconds must not be negative, and not be more than terminationGracePeriodSeconds: pods are not created.",
    fix: "terminationGracePeriodSeconds: ...   # the sleep plus what the application needs to stop",
    source: "pkg/apis/core/validation/validation.go validateSleepAction",
    check: |cluster, sink| {
        for (workload, container) in containers(cluster) {
            let Some((seconds, span)) = container.hook.as_ref().and_then(|h| h.sleep) else { continue };
            let grace = workload.grace_seconds();
            if seconds >= 0 && seconds.unsigned_abs() <= grace {
                continue;
            }
            let message = if seconds < 0 {
                format!("the preStop sleep of container {} is negative", container.name)
            } else {
                format!("the preStop sleep of {seconds} s is longer than the grace period of {grace} s")
            };
            let finding = sink.push(message, span, "the apiserver refuses this pod");
            if let Some(span) = workload.grace_span() {
                finding.and_at(span, "the grace period");
            }
            finding.fix(format!("terminationGracePeriodSeconds: {}", seconds.max(0) + 30));
        }
    },
};

pub(super) static SLEEP_UNSUPPORTED: Rule = Rule {
    id: "prestop-sleep-unsupported",
    severity: Severity::Error,
    summary: "a preStop sleep that this version of Kubernetes does not have",
    why: "preStop.sleep is on by default from 1.30; before, the apiserver drops it, and the hook without an action is refused. \
          A sleep of 0 seconds is valid from 1.33.",
    fix: "lifecycle: {preStop: {exec: {command: [sleep, \"5\"]}}}",
    source: "pkg/features/kube_features.go PodLifecycleSleepAction, PodLifecycleSleepActionAllowZero",
    check: |cluster, sink| {
        let version = cluster.version;
        for (_, container) in containers(cluster) {
            let Some((seconds, span)) = container.hook.as_ref().and_then(|h| h.sleep) else { continue };
            if !version.has_sleep_action() {
                let message = format!("Kubernetes {version} has no preStop.sleep");
                let exec = format!("lifecycle: {{preStop: {{exec: {{command: [sleep, \"{seconds}\"]}}}}}}");
                sink.push(message, span, "on by default from 1.30").fix(exec);
            } else if seconds == 0 && !version.allows_zero_sleep() {
                let message = format!("Kubernetes {version} refuses a preStop sleep of 0 seconds");
                sink.push(message, span, "allowed from 1.33").fix("leave the hook out");
            }
        }
    },
};

pub(super) static EXCEEDS_GRACE: Rule = Rule {
    id: "prestop-exceeds-grace",
    severity: Severity::Warning,
    summary: "a preStop hook that takes the whole grace period",
    why: "preStop counts against terminationGracePeriodSeconds. When it has used it up, the stop signal comes, and SIGKILL \
          2 s later: what is in flight is cut.",
    fix: "terminationGracePeriodSeconds: ...   # the hook's time plus what the application needs to stop",
    source: "pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer, executePreStopHook; minimumGracePeriodInSeconds",
    check: exceeds_grace,
};

fn exceeds_grace(cluster: &Cluster<'_>, sink: &mut Sink) {
    for (workload, container) in containers(cluster) {
        let Some(hook) = &container.hook else { continue };
        let (wait, grace) = (container.hook_wait(), workload.grace_seconds());
        let is_refused = hook.sleep.is_some_and(|(seconds, _)| seconds > 0 && seconds.unsigned_abs() > grace);
        let place = hook.node.at(&["exec", "command"]).map_or(&hook.node.span, |n| &n.span);
        let finding = if waits_for_nothing(&hook.steps) {
            let message =
                format!("the preStop hook of container {} waits for an end that nobody asks for", container.name);
            let finding =
                sink.push(message, place, "it waits for the process, which hears nothing before the hook ends");
            finding.fix("send the stop signal in the hook before it waits: `nginx -s quit; while pgrep nginx; do sleep 1; done`")
        } else if wait >= Duration::from_secs(grace) && !wait.is_zero() && !is_refused {
            let compared = if wait == Duration::from_secs(grace) { "as long as" } else { "longer than" };
            let message = format!("the preStop hook takes {wait}, {compared} the grace period of {grace}s");
            let finding = sink.push(message, place, "it counts against the grace period");
            finding.fix(match wait {
                Duration::MAX => "give the hook an end".to_string(),
                wait => format!("terminationGracePeriodSeconds: {}", wait.as_secs() + 30),
            })
        } else {
            continue;
        };
        if let Some(span) = workload.grace_span() {
            finding.and_at(span, "the grace period");
        }
    }
}

/// Whether a hook waits for the process to end and has sent it nothing.
fn waits_for_nothing(steps: &[HookStep]) -> bool {
    let wait = steps.iter().position(|s| *s == HookStep::UntilExit);
    wait.is_some_and(|at| !steps[..at].iter().any(|s| matches!(s, HookStep::Signal(_))))
}

pub(super) static EXEC_WITHOUT_SHELL: Rule = Rule {
    id: "prestop-exec-without-shell",
    severity: Severity::Info,
    summary: "a preStop command in an image that probably lacks it",
    why: "Distroless and static images have neither sh nor sleep. A hook that cannot be started fails at once, the stop signal \
          follows immediately, and only an event (FailedPreStopHook) tells.",
    fix: "lifecycle: {preStop: {sleep: {seconds: 5}}}",
    source: "pkg/kubelet/kuberuntime/kuberuntime_container.go executePreStopHook",
    check: |cluster, sink| {
        for (_, container) in containers(cluster) {
            let command = container.hook.as_ref().and_then(|h| h.node.at(&["exec", "command"]));
            let image = container.image();
            let is_bare =
                ["distroless", "cgr.dev/chainguard/", "chainguard/static"].iter().any(|hint| image.contains(hint))
                    && !image.contains("debug")
                    && !image.ends_with("-dev");
            let Some(command) = command.filter(|_| is_bare) else { continue };
            let program = command.items().first().and_then(|n| n.as_str()).unwrap_or_default();
            let program = program.rsplit('/').next().unwrap_or_default();
            if !matches!(program, "sh" | "bash" | "ash" | "sleep") {
                continue;
            }
            let message = format!("the image {image} probably has no `{program}` for this preStop hook");
            let finding = sink.push(message, &command.span, "");
            let seconds = container.hook_wait().as_secs().max(1);
            if cluster.version.has_sleep_action() {
                finding.fix(format!("lifecycle: {{preStop: {{sleep: {{seconds: {seconds}}}}}}}"));
            } else {
                finding.fix("wait in the application's own handler of the stop signal");
            }
        }
    },
};

pub(super) static MESH_SIDECAR: Rule = Rule {
    id: "mesh-sidecar-prestop",
    severity: Severity::Warning,
    summary: "a preStop hook that the sidecar of the mesh does not wait for",
    why: "Requests come to the application through the sidecar. An ordinary container gets its stop signal at once, whatever \
          another one does in preStop: the sidecar drains for a few seconds and is gone, and connections to the pod are refused \
          while the application sleeps.",
    fix: "the same preStop hook on the sidecar, or a native sidecar (an init container with restartPolicy: Always)",
    source: "pkg/kubelet/kuberuntime/kuberuntime_container.go killContainersWithSyncResult; istio pkg/envoy/agent.go terminate; \
             linkerd.io, Graceful Pod Shutdown",
    check: mesh_sidecar,
};

fn mesh_sidecar(cluster: &Cluster<'_>, sink: &mut Sink) {
    for (workload, service) in cluster.served() {
        let Some(container) = service.serving(workload) else { continue };
        let wait = container.hook_wait();
        for sidecar in workload.containers().filter(|c| c.name != container.name && c.is_proxy()) {
            let drains = match sidecar.stop_reaction() {
                Some(Some(Reaction::Drain { linger, .. })) => linger,
                // how long that is depends on its clients
                Some(Some(Reaction::Outlast { .. })) => continue,
                _ => Duration::ZERO,
            };
            let lasts = sidecar.hook_wait() + drains;
            if wait <= lasts {
                continue;
            }
            let message = format!(
                "container {} of {} accepts connections for {lasts} after a deletion, container {} behind it for {wait}",
                sidecar.name,
                workload.title(),
                container.name
            );
            let place = sidecar.hook.as_ref().map_or_else(|| sidecar.span(), |hook| &hook.node.span);
            let finding = sink.push(message, place, "requests come through this one");
            if let Some(hook) = &container.hook {
                finding.and_at(&hook.node.span, "this does not hold it");
            }
            let seconds = wait.as_nanos().div_ceil(1_000_000_000);
            if cluster.version.has_sleep_action() {
                finding.fix(format!(
                    "lifecycle: {{preStop: {{sleep: {{seconds: {seconds}}}}}}}   # of {} as well",
                    sidecar.name
                ));
            }
        }
    }
}

/// All containers of all workloads.
fn containers<'c>(cluster: &'c Cluster<'_>) -> impl Iterator<Item = (&'c Workload<'c>, Container<'c>)> {
    cluster.workloads.iter().flat_map(|w| w.containers().map(move |c| (w as &Workload<'_>, c)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::pod::Signal;

    #[test]
    fn a_hook_that_waits_must_have_asked() {
        let quit = HookStep::Signal(Signal::Quit);
        assert!(waits_for_nothing(&[HookStep::UntilExit]));
        assert!(waits_for_nothing(&[HookStep::UntilExit, quit]));
        assert!(!waits_for_nothing(&[quit, HookStep::UntilExit]));
        assert!(!waits_for_nothing(&[HookStep::Wait(Duration::from_secs(5)), quit]));
    }
}
