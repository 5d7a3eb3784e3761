//! The clock of a container that is being stopped, seen from outside: whole runs with a process that ignores its stop signal.

use super::table;
use drainsim::engine::Time;
use drainsim::scenario::{Input, Scenario};
use drainsim::simulation;

/// What the container's preStop is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hook {
    None,
    /// `sleep`, by the kubelet; seconds.
    Sleep(u32),
    /// `exec` of `sleep`; milliseconds.
    Exec(u32),
}

/// `pkg/kubelet/kuberuntime/kuberuntime_container.go` killContainer, executePreStopHook; minimumGracePeriodInSeconds in
/// `kuberuntime_manager.go`; `pkg/kubelet/pod_workers.go` calculateEffectiveGracePeriod; `pkg/kubelet/lifecycle/handlers.go`
/// runSleepHandler; TestKillContainerGracePeriod, Test_calculateEffectiveGracePeriod.
///
/// A row: grace of the spec, grace of the request (none: the spec's), the hook; tenths of a second from the begin of the kill
/// to the stop signal, and from there to SIGKILL.
pub fn check() -> usize {
    use Hook::{Exec, None as Without, Sleep};
    let rows: [((u32, Option<i64>, Hook), (u64, u64)); 15] = [
        ((30, None, Without), (0, 300)),
        ((3, None, Without), (0, 30)),
        ((2, None, Without), (0, 20)),
        // at least 2 s for the signal
        ((1, None, Without), (0, 20)),
        ((30, Some(5), Without), (0, 50)),
        ((30, Some(1), Without), (0, 20)),
        ((5, Some(30), Without), (0, 300)),
        // the hook is charged in whole seconds, rounded down
        ((30, None, Sleep(5)), (50, 250)),
        ((30, None, Exec(5_500)), (55, 250)),
        ((30, None, Exec(500)), (5, 300)),
        // nearly all of it, all of it, more than it: the hook is cut, and 2 s remain
        ((10, None, Sleep(9)), (90, 20)),
        ((10, None, Sleep(10)), (100, 20)),
        ((10, None, Exec(60_000)), (100, 20)),
        // a shorter grace of the request cuts the hook, too
        ((30, Some(3), Sleep(10)), (30, 20)),
        ((30, Some(3), Exec(60_000)), (30, 20)),
    ];
    table("pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer", &rows, |(own, requested, hook)| {
        stopped(*own, *requested, *hook)
    })
}

fn stopped(own: u32, requested: Option<i64>, hook: Hook) -> (u64, u64) {
    let hook = match hook {
        Hook::None => String::new(),
        Hook::Sleep(seconds) => format!("lifecycle: {{preStop: {{sleep: {{seconds: {seconds}}}}}}}"),
        Hook::Exec(millis) => {
            let seconds = f64::from(millis) / 1000.0;
            format!("lifecycle: {{preStop: {{exec: {{command: [sleep, \"{seconds}\"]}}}}}}")
        }
    };
    let request = requested.map(|seconds| format!(", gracePeriod: {seconds}")).unwrap_or_default();
    let latencies: String =
        ["hookExec", "hookReturn", "stopContainer"].iter().map(|hop| format!("    {hop}: 1ms\n")).collect();
    let text = format!(
        "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {{name: grace}}\nspec:\n  duration: 2m\n  nodes: [{{name: node-1}}]\n  \
         apps: [{{selector: {{app: web}}, profile: ignores-term}}]\n  latencies:\n{latencies}  \
         actions: [{{at: 10s, deletePod: {{name: web{request}}}}}]\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: web, labels: {{app: web}}}}\nspec:\n  nodeName: node-1\n  \
         terminationGracePeriodSeconds: {own}\n  containers:\n    - name: web\n      image: example/web:1\n      {hook}\n"
    );
    let input = Input::Builtin { name: "grace".into(), text };
    let scenario = Scenario::load(&[input], &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let times = simulation::run(&scenario.setup, 1, false).pods[0].times;
    let tenths = |from: Option<Time>, to: Option<Time>| {
        let (from, to) = (from.expect("it happened"), to.expect("it happened"));
        (to.since(from).as_nanos() + 50_000_000) / 100_000_000
    };
    (tenths(times.killing_at, times.sigterm_at), tenths(times.sigterm_at, times.sigkill_at))
}
