//! How far an operator has come with a node.

use crate::api::NodeId;
use crate::engine::Time;
use crate::simulation::observe::What;
use crate::simulation::operator::shell::Shell;

/// One node's share of what a process does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeProgress {
    /// The node's name.
    pub name: String,
    /// When the process came to it.
    pub started_at: Option<Time>,
    /// When it was empty.
    pub completed_at: Option<Time>,
    /// When it was empty or given up.
    pub ended_at: Option<Time>,
    /// Evictions (or deletes) that were accepted.
    pub granted: u64,
    /// Evictions that were answered with 429.
    pub denied: u64,
}

impl NodeProgress {
    /// A node that nobody has come to.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }

    /// The process comes to the node.
    pub fn begin(&mut self, shell: &mut Shell<'_, '_>, node: NodeId) {
        self.started_at.get_or_insert(shell.now());
        shell.ctx.note(What::DrainStarted { kubectl: shell.id, node });
    }

    /// The node is empty, or is given up (`code` is not 0 then).
    pub fn end(&mut self, shell: &mut Shell<'_, '_>, node: NodeId, code: u32) {
        let now = shell.now();
        self.ended_at = Some(now);
        if code == 0 {
            self.completed_at = Some(now);
        }
        shell.ctx.note(What::DrainEnded { kubectl: shell.id, node, code });
    }
}
