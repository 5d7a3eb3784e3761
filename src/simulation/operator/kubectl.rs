//! All `kubectl` processes of a run.

use crate::api::eviction::Refusal;
use crate::api::{NodeId, PodId, Store};
use crate::engine::Time;
use crate::simulation::context::{Context, node_luck};
use crate::simulation::end_state::OpenDrain;
use crate::simulation::event::{Event, KubectlStep};
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::operator::apply::Apply;
use crate::simulation::operator::cluster_autoscaler::ClusterAutoscaler;
use crate::simulation::operator::drain::Drain;
use crate::simulation::operator::karpenter::Karpenter;
use crate::simulation::operator::progress::NodeProgress;
use crate::simulation::operator::shell::{Client, Line, Shell};
use crate::simulation::operator::single::Single;
use crate::simulation::operator::upgrade::Upgrade;
use crate::simulation::outcome::DrainOutcome;
use crate::simulation::setup::ActionKind;
use crate::simulation::write::WriteError;

pub use crate::simulation::operator::shell::{EvictionRequest, MachineOrder};

/// Plays every process, and keeps what they print.
///
/// An eviction is a call that takes the apiserver several steps. So it is not submitted as a write: it is put into
/// [`requests`](Self::requests), which is to be emptied after every call of a method here; the answer comes back by
/// [`eviction_answered`](Self::eviction_answered).
#[derive(Clone, Debug, Default)]
pub struct Kubectl {
    /// Evictions that leave now, in the order in which they were asked for.
    pub requests: Vec<EvictionRequest>,
    /// Orders of machines that leave now; to be emptied as [`requests`](Self::requests).
    pub machines: Vec<MachineOrder>,
    processes: Vec<Process>,
    lines: Vec<Line>,
    finished: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Process {
    action: u32,
    client: Client,
    command: Command,
    /// When it ended, and its exit code.
    end: Option<(Time, i32)>,
}

#[derive(Clone, Debug)]
enum Command {
    Drain(Drain),
    Single(Single),
    Apply(Apply),
    Upgrade(Upgrade),
    ClusterAutoscaler(ClusterAutoscaler),
    Karpenter(Karpenter),
}

impl Command {
    /// The nodes that it empties, in order.
    fn nodes(&self) -> Vec<NodeProgress> {
        match self {
            Self::Drain(drain) => drain.nodes().map(|(name, node)| node.progress(name)).collect(),
            Self::Single(_) | Self::Apply(_) => Vec::new(),
            Self::Upgrade(upgrade) => upgrade.nodes().cloned().collect(),
            Self::ClusterAutoscaler(autoscaler) => autoscaler.nodes().cloned().collect(),
            Self::Karpenter(karpenter) => karpenter.nodes().cloned().collect(),
        }
    }
}

impl Kubectl {
    /// No process yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the process of `setup.actions[action]`, one of those that people do with kubectl. It begins after
    /// [`Hop::KubectlStart`].
    pub fn start(&mut self, ctx: &mut Context<'_>, action: u32) {
        let command = match &ctx.setup.actions[action as usize].what {
            ActionKind::Drain(options) => Command::Drain(Drain::new(options)),
            ActionKind::Apply(objects) => Command::Apply(Apply::new(objects.clone())),
            ActionKind::Upgrade(options) => Command::Upgrade(Upgrade::new(options)),
            ActionKind::ClusterAutoscaler(options) => Command::ClusterAutoscaler(ClusterAutoscaler::new(options)),
            ActionKind::Karpenter(options) => Command::Karpenter(Karpenter::new(options)),
            what => Command::Single(Single::new(what.clone())),
        };
        let id = u32::try_from(self.processes.len()).expect("fewer than 2^32 processes");
        let mut process = Process { action, client: Client::new(action), command, end: None };
        let mut shell = Shell {
            ctx,
            client: &mut process.client,
            id,
            lines: &mut self.lines,
            requests: &mut self.requests,
            machines: &mut self.machines,
        };
        let delay = shell.latency(Hop::KubectlStart, 0);
        shell.after(delay, KubectlStep::Start);
        self.processes.push(process);
    }

    /// Handles [`Event::Kubectl`].
    pub fn step(&mut self, ctx: &mut Context<'_>, id: u32, step: KubectlStep) {
        self.run(ctx, id, |command, shell| match command {
            Command::Drain(drain) => drain.step(shell, step),
            Command::Single(single) => single.step(shell, step),
            Command::Apply(apply) => apply.step(shell, step),
            Command::Upgrade(upgrade) => upgrade.step(shell, step),
            Command::ClusterAutoscaler(autoscaler) => autoscaler.step(shell, step),
            Command::Karpenter(karpenter) => karpenter.step(shell, step),
        });
    }

    /// A write that the process had submitted has been committed or refused.
    pub fn written(&mut self, ctx: &mut Context<'_>, id: u32, step: KubectlStep, result: Result<(), WriteError>) {
        self.run(ctx, id, |command, shell| match command {
            Command::Drain(drain) => drain.written(shell, step, result),
            Command::Single(single) => single.written(shell, result),
            Command::Apply(apply) => apply.written(shell, result),
            // a node or pod that is gone needs no more marks or deletes: what follows finds that out
            Command::Upgrade(upgrade) => upgrade.step(shell, step),
            Command::ClusterAutoscaler(autoscaler) => autoscaler.step(shell, step),
            Command::Karpenter(karpenter) => karpenter.step(shell, step),
        });
    }

    /// The answer to the eviction of the process's `slot`-th pod has come back.
    pub fn eviction_answered(&mut self, ctx: &mut Context<'_>, id: u32, slot: u32, result: Result<(), Refusal>) {
        self.run(ctx, id, |command, shell| match command {
            Command::Drain(drain) => drain.eviction_answered(shell, slot, result),
            Command::Single(_) | Command::Apply(_) => None,
            Command::Upgrade(upgrade) => upgrade.eviction_answered(shell, slot, result),
            Command::ClusterAutoscaler(autoscaler) => autoscaler.eviction_answered(shell, slot, result),
            Command::Karpenter(karpenter) => karpenter.eviction_answered(shell, slot, result),
        });
    }

    /// A pod has been removed from the store: each `kubectl delete` that waits for it learns of it from its watch.
    pub fn pod_removed(&mut self, ctx: &mut Context<'_>, pod: PodId) {
        for (id, process) in (0..).zip(&self.processes) {
            if process.end.is_none() && matches!(&process.command, Command::Single(s) if s.watched() == Some(pod)) {
                let way = ctx.latency(Hop::Watch, ctx.pod_luck(pod), u64::MAX);
                ctx.schedule(way, Event::Kubectl(id, KubectlStep::Looked(0)));
            }
        }
    }

    /// A machine that a process has ordered is Ready; its watch tells it.
    pub fn machine_ready(&mut self, ctx: &mut Context<'_>, id: u32, number: u32, node: NodeId) {
        let way = ctx.latency(Hop::Watch, node_luck(ctx.store.node_name(node)), u64::MAX);
        ctx.schedule(way, Event::Kubectl(id, KubectlStep::MachineReady(number)));
    }

    /// The actions whose process has ended since the last call.
    pub fn take_finished(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.finished)
    }

    /// Everything printed so far: by which action's process, when, and the line.
    #[must_use]
    pub fn printed(&self) -> Vec<(u32, Time, String)> {
        let action = |line: &Line| self.processes[line.kubectl as usize].action;
        self.lines.iter().map(|line| (action(line), line.time, line.text.clone())).collect()
    }

    /// What came of each node that a process was to empty, in order of start. A node that the process never came to has as its
    /// start the end of the process, or else `end`, the end of the run.
    #[must_use]
    pub fn outcomes(&self, end: Time) -> Vec<DrainOutcome> {
        let mut outcomes = Vec::new();
        for (id, process) in (0..).zip(&self.processes) {
            let ended = process.end.map(|(time, _)| time);
            for (number, node) in (0..).zip(process.command.nodes()) {
                let is_its = |line: &&Line| line.kubectl == id && line.node == number;
                outcomes.push(DrainOutcome {
                    kubectl: id,
                    action: process.action,
                    node: node.name,
                    started_at: node.started_at.or(ended).unwrap_or(end),
                    completed_at: node.completed_at,
                    ended_at: node.ended_at.or(ended),
                    exit_code: process.end.map(|(_, code)| code),
                    evictions_granted: node.granted,
                    evictions_denied: node.denied,
                    messages: self.lines.iter().filter(is_its).map(|l| (l.time, l.text.clone())).collect(),
                });
            }
        }
        outcomes
    }

    /// Whether this action's process has ended with another exit code than 0.
    #[must_use]
    pub fn has_failed(&self, action: u32) -> bool {
        self.processes.iter().any(|p| p.action == action && p.end.is_some_and(|(_, code)| code != 0))
    }

    /// The drains that go on, with the pods that they wait for.
    #[must_use]
    pub fn open_drains(&self, store: &Store) -> Vec<OpenDrain> {
        let open = |process: &Process| match &process.command {
            Command::Drain(drain) if process.end.is_none() => Some(drain.open(process.action, store)),
            _ => None,
        };
        self.processes.iter().filter_map(open).collect()
    }

    /// Lets a process do something. If that was the last thing, the action is done.
    fn run(
        &mut self,
        ctx: &mut Context<'_>,
        id: u32,
        act: impl FnOnce(&mut Command, &mut Shell<'_, '_>) -> Option<i32>,
    ) {
        let process = &mut self.processes[id as usize];
        if process.end.is_some() {
            return;
        }
        let mut shell = Shell {
            ctx,
            client: &mut process.client,
            id,
            lines: &mut self.lines,
            requests: &mut self.requests,
            machines: &mut self.machines,
        };
        if let Some(code) = act(&mut process.command, &mut shell) {
            ctx.note(What::ActionDone { action: process.action });
            process.end = Some((ctx.now(), code));
            self.finished.push(process.action);
        }
    }
}
