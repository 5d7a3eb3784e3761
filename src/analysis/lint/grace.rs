//! The grace period: what is left of it for the application.

use crate::analysis::lint::cluster::{Cluster, Container, Workload};
use crate::analysis::lint::rule::{Rule, Sink};
use crate::engine::Duration;
use crate::scenario::diagnostic::Severity;
use crate::simulation::setup::Reaction;

/// gunicorn's `graceful_timeout` (gunicorn config.py).
const GUNICORN_SECONDS: u64 = 30;

pub(super) static ZERO: Rule = Rule {
    id: "grace-zero",
    severity: Severity::Warning,
    summary: "terminationGracePeriodSeconds of 0",
    why: "Every deletion and every eviction is a force delete: the object vanishes at once, and the kubelet stops the containers \
          with a grace of 1 s. preStop is cut after that second, SIGKILL comes 2 s after the stop signal, and a replacement of the \
          same name may run beside the old pod.",
    fix: "terminationGracePeriodSeconds: 30",
    source: "pkg/registry/core/pod/strategy.go CheckGracefulDelete; k8s.io/apiserver/pkg/registry/rest/delete.go BeforeDelete; \
             pkg/kubelet/pod_workers.go calculateEffectiveGracePeriod",
    check: |cluster, sink| {
        for workload in cluster.workloads.iter().filter(|w| w.grace_seconds() == 0) {
            let Some(span) = workload.grace_span() else { continue };
            let message = format!("pods of {} get no time to stop when they are deleted", workload.title());
            sink.push(message, span, "a grace period of nothing");
        }
    },
};

pub(super) static TOO_SHORT: Rule = Rule {
    id: "grace-too-short",
    severity: Severity::Warning,
    summary: "less grace after preStop than the application takes to stop",
    why: "The clock of terminationGracePeriodSeconds starts with the preStop hook, not with the stop signal. What the \
          application has not finished when it ends is cut by SIGKILL.",
    fix: "terminationGracePeriodSeconds: ...   # preStop plus what the application needs to stop",
    source: "pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer",
    check: too_short,
};

fn too_short(cluster: &Cluster<'_>, sink: &mut Sink) {
    for workload in cluster.workloads.iter().filter(|w| w.runs_for_ever()) {
        for container in workload.containers() {
            let grace = Duration::from_secs(workload.grace_seconds());
            let hook = container.hook_wait();
            let Some((needed, why)) = needed(workload, &container) else { continue };
            if grace.is_zero() || hook >= grace || grace - hook >= needed {
                continue;
            }
            let left = grace - hook;
            let message = format!("container {} has {left} to stop, and may need {needed}", container.name);
            let place = workload.grace_span().unwrap_or_else(|| container.span());
            let label = match (workload.grace_span().is_some(), hook.is_zero()) {
                (true, true) => "all there is".to_string(),
                (true, false) => format!("{hook} of it is for preStop"),
                (false, true) => "the default grace period is 30s".to_string(),
                (false, false) => format!("the default grace period is 30s, {hook} of it is for preStop"),
            };
            let seconds = (hook + needed).as_secs() + 5;
            sink.push(message, place, label).note(why).fix(format!("terminationGracePeriodSeconds: {seconds}"));
        }
    }
}

/// How long the application may go on after its stop signal, where that is known, and from where.
fn needed(workload: &Workload<'_>, container: &Container<'_>) -> Option<(Duration, String)> {
    if let Some(app) = container.app.filter(|_| workload.simulated) {
        let Some(Reaction::Drain { linger, in_flight_max, work }) = app.reactions.get(&app.stop_signal) else {
            return None;
        };
        let requests = app.service_time.quantile(0.99).min(in_flight_max.unwrap_or(Duration::MAX));
        let why = format!("the scenario's application finishes requests of up to {requests} (p99 of its service time)");
        return Some((*linger + requests + *work, why));
    }
    let words: Vec<&str> = container.words("command").into_iter().chain(container.words("args")).collect();
    let is_gunicorn = |word: &&str| word.rsplit('/').next() == Some("gunicorn");
    words.iter().find(|word| is_gunicorn(word))?;
    let given = words.windows(2).find(|w| w[0] == "--graceful-timeout").map(|w| w[1]);
    let given = given.or_else(|| words.iter().find_map(|w| w.strip_prefix("--graceful-timeout=")));
    let seconds = given.and_then(|s| s.parse().ok()).unwrap_or(GUNICORN_SECONDS);
    Some((Duration::from_secs(seconds), format!("gunicorn lets its workers finish for {seconds} s (graceful_timeout)")))
}
