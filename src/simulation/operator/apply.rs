//! `kubectl apply` of objects that a scenario names: each is looked up, then created, patched or left as it is.
//!
//! Source: `k8s.io/kubectl/pkg/cmd/apply/apply.go` applyOneObject (v1.36). A field that the manifest does not have keeps its
//! value, as if nobody had ever applied it: that is so for `replicas`, which people leave out for an autoscaler's sake.

use crate::api::Kind;
use crate::simulation::event::KubectlStep;
use crate::simulation::operator::messages;
use crate::simulation::operator::shell::Shell;
use crate::simulation::setup::Applied;
use crate::simulation::write::{Write, WriteError};

/// A `kubectl apply` process.
#[derive(Clone, Debug)]
pub struct Apply {
    objects: Vec<Applied>,
    current: usize,
    failed: bool,
    /// The word about the current object if its write succeeds.
    word: &'static str,
}

impl Apply {
    /// A process that has not begun.
    #[must_use]
    pub const fn new(objects: Vec<Applied>) -> Self {
        Self { objects, current: 0, failed: false, word: "" }
    }

    /// Takes a step; the exit code if it was the last one.
    pub fn step(&mut self, shell: &mut Shell<'_, '_>, step: KubectlStep) -> Option<i32> {
        match step {
            KubectlStep::Start => self.look_up(shell),
            KubectlStep::Found(_) => self.found(shell),
            _ => None,
        }
    }

    /// The write has been answered. An error does not keep the next objects from being applied.
    pub fn written(&mut self, shell: &mut Shell<'_, '_>, result: Result<(), WriteError>) -> Option<i32> {
        let (title, resource, name) = self.names(shell);
        match result {
            Ok(()) => shell.print(0, format!("{title} {}", self.word)),
            Err(error) => {
                self.failed = true;
                shell.print(0, messages::from_server(error, resource, &name));
            }
        }
        self.next(shell)
    }

    fn look_up(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        let Some(object) = self.objects.get(self.current) else { return Some(i32::from(self.failed)) };
        let luck = luck(shell, object);
        shell.read(luck, KubectlStep::Found(0));
        None
    }

    fn found(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        let (title, resource, name) = self.names(shell);
        let object = self.objects[self.current].clone();
        let luck = luck(shell, &object);
        let store = &shell.ctx.store;
        let write = match object {
            Applied::Deployment { deployment, replicas, strategy, min_ready_seconds, template } => {
                let Some(live) = store.deployments.head(deployment) else {
                    shell.print(0, messages::from_server(WriteError::NotFound, resource, &name));
                    self.failed = true;
                    return self.next(shell);
                };
                let replicas = replicas.unwrap_or(live.replicas);
                if (live.replicas, live.strategy, live.min_ready_seconds, live.template)
                    == (replicas, strategy, min_ready_seconds, template)
                {
                    shell.print(0, format!("{title} unchanged"));
                    return self.next(shell);
                }
                self.word = "configured";
                let deployment = u32::try_from(deployment).unwrap_or(u32::MAX);
                Write::ApplyDeployment { deployment, replicas, strategy, min_ready_seconds, template }
            }
            Applied::Pdb { pdb, budget, unhealthy } => {
                match store.pdbs.head(pdb.index()) {
                    Some(live) if (live.budget, live.unhealthy) == (budget, unhealthy) => {
                        shell.print(0, format!("{title} unchanged"));
                        return self.next(shell);
                    }
                    live => self.word = if live.is_some() { "configured" } else { "created" },
                }
                Write::ApplyPdb { pdb, budget, unhealthy }
            }
        };
        shell.write(write, luck, KubectlStep::Answer(0));
        None
    }

    fn next(&mut self, shell: &mut Shell<'_, '_>) -> Option<i32> {
        self.current += 1;
        self.look_up(shell)
    }

    /// How kubectl and the apiserver call the current object.
    fn names(&self, shell: &Shell<'_, '_>) -> (String, &'static str, String) {
        match &self.objects[self.current] {
            Applied::Deployment { deployment, .. } => {
                let name = shell.ctx.setup.deployments.get(*deployment).map_or("", |d| d.name.as_str());
                (format!("deployment.apps/{name}"), "deployments.apps", name.to_string())
            }
            Applied::Pdb { pdb, .. } => {
                let name = shell.ctx.store.pdb_specs[pdb.index()].name.clone();
                (format!("poddisruptionbudget.policy/{name}"), "poddisruptionbudgets.policy", name)
            }
        }
    }
}

fn luck(shell: &Shell<'_, '_>, object: &Applied) -> u64 {
    match object {
        Applied::Deployment { deployment, .. } => {
            shell.ctx.luck_of(Kind::Deployment, u32::try_from(*deployment).unwrap_or(u32::MAX))
        }
        Applied::Pdb { pdb, .. } => shell.ctx.luck_of(Kind::Pdb, pdb.0),
    }
}
