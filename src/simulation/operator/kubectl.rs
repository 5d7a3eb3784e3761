//! All `kubectl` processes of a run.

use crate::api::eviction::Refusal;
use crate::api::{PodId, Store};
use crate::engine::Time;
use crate::simulation::context::Context;
use crate::simulation::end_state::OpenDrain;
use crate::simulation::event::{Event, KubectlStep};
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::operator::drain::Drain;
use crate::simulation::operator::shell::{Client, Line, Shell};
use crate::simulation::operator::single::Single;
use crate::simulation::outcome::DrainOutcome;
use crate::simulation::setup::ActionKind;
use crate::simulation::write::WriteError;

pub use crate::simulation::operator::shell::EvictionRequest;

/// Plays every process, and keeps what they print.
///
/// An eviction is a call that takes the apiserver several steps. So it is not submitted as a write: it is put into
/// [`requests`](Self::requests), which is to be emptied after every call of a method here; the answer comes back by
/// [`eviction_answered`](Self::eviction_answered).
#[derive(Clone, Debug, Default)]
pub struct Kubectl {
    /// Evictions that leave now, in the order in which they were asked for.
    pub requests: Vec<EvictionRequest>,
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
            what => Command::Single(Single::new(what.clone())),
        };
        let id = u32::try_from(self.processes.len()).expect("fewer than 2^32 processes");
        let mut process = Process { action, client: Client::new(action), command, end: None };
        let mut shell =
            Shell { ctx, client: &mut process.client, id, lines: &mut self.lines, requests: &mut self.requests };
        let delay = shell.latency(Hop::KubectlStart, 0);
        shell.after(delay, KubectlStep::Start);
        self.processes.push(process);
    }

    /// Handles [`Event::Kubectl`].
    pub fn step(&mut self, ctx: &mut Context<'_>, id: u32, step: KubectlStep) {
        self.run(ctx, id, |command, shell| match command {
            Command::Drain(drain) => drain.step(shell, step),
            Command::Single(single) => single.step(shell, step),
        });
    }

    /// A write that the process had submitted has been committed or refused.
    pub fn written(&mut self, ctx: &mut Context<'_>, id: u32, step: KubectlStep, result: Result<(), WriteError>) {
        self.run(ctx, id, |command, shell| match command {
            Command::Drain(drain) => drain.written(shell, step, result),
            Command::Single(single) => single.written(shell, result),
        });
    }

    /// The answer to the eviction of the process's `slot`-th pod has come back.
    pub fn eviction_answered(&mut self, ctx: &mut Context<'_>, id: u32, slot: u32, result: Result<(), Refusal>) {
        self.run(ctx, id, |command, shell| match command {
            Command::Drain(drain) => drain.eviction_answered(shell, slot, result),
            Command::Single(_) => None,
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

    /// What came of each node of each `kubectl drain`, in order of start. A node that the process never came to has as its
    /// start the end of the process, or else `end`, the end of the run.
    #[must_use]
    pub fn outcomes(&self, end: Time) -> Vec<DrainOutcome> {
        let mut outcomes = Vec::new();
        for (id, process) in (0..).zip(&self.processes) {
            let Command::Drain(drain) = &process.command else { continue };
            let ended = process.end.map(|(time, _)| time);
            for (number, (name, node)) in (0..).zip(drain.nodes()) {
                let is_its = |line: &&Line| line.kubectl == id && line.node == number;
                outcomes.push(DrainOutcome {
                    kubectl: id,
                    action: process.action,
                    node: name.to_string(),
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
        let mut shell =
            Shell { ctx, client: &mut process.client, id, lines: &mut self.lines, requests: &mut self.requests };
        if let Some(code) = act(&mut process.command, &mut shell) {
            ctx.note(What::ActionDone { action: process.action });
            process.end = Some((ctx.now(), code));
            self.finished.push(process.action);
        }
    }
}
