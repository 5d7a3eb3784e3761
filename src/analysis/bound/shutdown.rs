//! The shortest way of a deletion to a closed listener.
//!
//! Signals of the preStop hook, the stop signal after it, and SIGKILL: whichever can be first. The wait for a relist of the
//! PLEG, the turn of a sidecar and work in flight only make it later, and are left out. The hook ends with the grace period.

use crate::analysis::bound::{Chain, Limits, least};
use crate::api::pod::{Hook, HookStep, Signal};
use crate::api::{Container, TemplateId};
use crate::engine::Duration;
use crate::simulation::latency::Hop;
use crate::simulation::setup::{App, Reaction};

/// However little preStop has left, a container has so long between its stop signal and SIGKILL.
const MINIMUM_GRACE: Duration = Duration::from_secs(2);

/// The shortest way, with a grace period of so many seconds. Of a proxy and the container behind it the first one counts.
#[must_use]
pub fn shortest(limits: &Limits<'_>, template: TemplateId, grace_seconds: u64) -> Chain {
    let template = &limits.setup.templates[template.index()];
    let front = template.front.map(|front| template.container(front.container));
    let serving = shortest_of(limits, template.serving(), grace_seconds, false);
    let front = front.map(|front| shortest_of(limits, front, grace_seconds, front.sidecar));
    std::iter::once(serving).chain(front).min_by_key(Chain::total).expect("there is one")
}

/// `last`: it is a sidecar, and what it stands before ends first, unless the grace period is over.
fn shortest_of(limits: &Limits<'_>, container: &Container, grace_seconds: u64, last: bool) -> Chain {
    let app = &limits.setup.apps[container.app as usize];
    let grace = Duration::from_secs(grace_seconds);
    let mut chain = Chain::default();
    chain.then(Hop::Watch.name(), "to the kubelet", limits.shortest(Hop::Watch));
    chain.then(Hop::KubeletSync.name(), "the pod's worker begins", limits.shortest(Hop::KubeletSync));

    let mut ways = Vec::new();
    let mut in_hook = Chain::default();
    let steps: &[HookStep] = match &container.pre_stop {
        None => &[],
        Some(Hook::Sleep(time)) => {
            in_hook.then("preStop", "sleep", *time);
            &[]
        }
        Some(Hook::Exec(steps)) => {
            in_hook.then(Hop::HookExec.name(), "the hook's first command begins", limits.shortest(Hop::HookExec));
            steps
        }
        Some(Hook::HttpGet(steps)) => {
            in_hook.then(Hop::HookHttp.name(), "the hook's request", limits.shortest(Hop::HookHttp));
            steps
        }
    };
    let mut ends = true;
    for step in steps {
        match step {
            HookStep::Wait(time) => in_hook.then("preStop", "sleep", *time),
            HookStep::Signal(signal) => {
                if in_hook.total() <= grace {
                    ways.extend(reacts(app, *signal, &chain, &in_hook));
                }
                in_hook.then(Hop::HookCommand.name(), "the command that signals", limits.shortest(Hop::HookCommand));
            }
            HookStep::UntilExit => {
                ends = false;
                break;
            }
        }
    }
    if !ends || in_hook.total() >= grace {
        in_hook = Chain::default();
        in_hook.then("grace period", "over before the hook", grace);
    } else if matches!(container.pre_stop, Some(Hook::Exec(_))) {
        in_hook.then(Hop::HookReturn.name(), "the hook has ended", limits.shortest(Hop::HookReturn));
    }
    if last && in_hook.total() < grace {
        in_hook = Chain::default();
        in_hook.then("grace period", "a sidecar's turn", grace);
    }
    in_hook.then(Hop::StopContainer.name(), "the stop signal arrives", limits.shortest(Hop::StopContainer));
    ways.extend(reacts(app, app.stop_signal, &chain, &in_hook));

    // SIGKILL comes when the grace period is over, and no sooner than 2 s after the stop signal.
    let mut killed = chain.clone();
    let stop = limits.shortest(Hop::StopContainer);
    killed.then("grace period", "until SIGKILL", (in_hook.total() + MINIMUM_GRACE).max(grace + stop));
    killed.then(Hop::Kill.name(), "the process ends", limits.shortest(Hop::Kill));
    ways.push(killed);
    ways.into_iter().min_by_key(Chain::total).expect("there is SIGKILL at least")
}

/// How the listener closes if this signal arrives after `so_far` and `then`; not at all if the process ignores it.
fn reacts(app: &App, signal: Signal, so_far: &Chain, then: &Chain) -> Option<Chain> {
    let linger = match app.reactions.get(&signal)? {
        Reaction::Ignore => return None,
        Reaction::ExitNow => Duration::ZERO,
        Reaction::Drain { linger, .. } => *linger,
        Reaction::Outlast { least, every } => *least + *every,
    };
    let mut chain = so_far.clone();
    chain.terms.extend(then.terms.iter().cloned());
    chain.then("reaction", "the process acts on the signal", least(&app.reaction));
    if !linger.is_zero() {
        chain.then("linger", "it accepts connections for so long", linger);
    }
    Some(chain)
}
