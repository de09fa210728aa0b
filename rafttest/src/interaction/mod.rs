//! Scripted groups of nodes: every step is a command, every command prints what happened. Go: rafttest/interaction_env.go

mod add_nodes;
mod args;
mod commands;
mod deliver_msgs;
mod handler;
mod node;
mod ours;
mod output;
mod process_append_thread;
mod process_apply_thread;
mod process_ready;
mod propose_conf_change;
mod stabilize;
mod storage;
#[cfg(test)]
mod tests;

pub use add_nodes::NodeOptions;
pub use deliver_msgs::Recipient;
pub(crate) use handler::COMMANDS;
pub use handler::CommandError;
pub use node::Node;
pub use output::{LEVEL_NAMES, RedirectLogger};
pub use storage::ScriptStorage;

use crate::properties::{Properties, Violation};
use raft::raftpb::{Entries, Message, Snapshot};
use raft::storage::Storage;
use raft::{StateType, Tracer};
use std::sync::Arc;

/// A group of nodes, the messages between them, and the commands that drive both. Go: InteractionEnv
///
/// Nothing happens by itself: a command ticks, delivers, writes or applies, and prints what came of it, log lines of the nodes included.
///
/// ```
/// use tickraft_rafttest::{InteractionEnv, datadriven::run_test};
/// let mut env = InteractionEnv::new();
/// let script = "\
/// log-level none
/// ----
/// ok
///
/// add-nodes 3 voters=(1,2,3) index=10
/// ----
/// ok
///
/// campaign 1
/// ----
/// ok
///
/// stabilize
/// ----
/// ok
///
/// log-level info
/// ----
/// ok
///
/// raft-state
/// ----
/// 1: StateLeader (Voter) Term:1 Lead:1
/// 2: StateFollower (Voter) Term:1 Lead:1
/// 3: StateFollower (Voter) Term:1 Lead:1
/// ";
/// assert_eq!(run_test("s", script, |d| env.handle(d)).unwrap().failures, []);
/// assert_eq!(env.violations(), []);
/// ```
#[derive(Default)]
pub struct InteractionEnv {
    /// The nodes; the one with id `n` stands at `n - 1`.
    pub nodes: Vec<Node>,
    /// The messages on their way, in the order in which they were sent.
    pub messages: Vec<Message>,
    /// What the current command has printed.
    pub output: RedirectLogger,
    properties: Properties,
    tracer: Option<Arc<dyn Tracer>>,
    /// The position of the running command.
    context: String,
    departures: Vec<Departure>,
}

/// A place where etcd is left on purpose, so that what follows may differ from what etcd prints. `docs/divergence.md` says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// `file:line` of the command.
    pub context: String,
    /// What happens there.
    pub what: &'static str,
}

impl InteractionEnv {
    /// A group without nodes.
    #[must_use]
    #[doc(alias = "NewInteractionEnv")]
    pub fn new() -> Self {
        Self::default()
    }

    /// A group without nodes; those that come trace to `tracer`.
    #[must_use]
    pub fn with_tracer(tracer: Arc<dyn Tracer>) -> Self {
        Self {
            tracer: Some(tracer),
            ..Self::default()
        }
    }

    /// Where the paper's five properties were violated so far. Scripts that forge messages or switch validation off may get here
    /// without a fault of the nodes.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        self.properties.violations()
    }

    /// Where etcd was left on purpose so far.
    #[must_use]
    pub fn departures(&self) -> &[Departure] {
        &self.departures
    }

    /// Runs `f` and puts two blanks before each line that it prints. Go: withIndent
    #[doc(alias = "withIndent")]
    fn with_indent<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        self.output.indent();
        let result = f(self);
        self.output.dedent();
        result
    }

    /// Shows a node's term and role to the properties.
    fn observe(&mut self, idx: usize) {
        if let Some(node) = self.nodes.get(idx) {
            let status = node.basic_status();
            let leads = status.soft_state.raft_state == StateType::Leader;
            self.properties
                .observe(node.id(), status.hard_state.term, leads);
        }
    }

    /// Shows what a Ready hands out to the properties.
    fn observe_ready(
        &mut self,
        idx: usize,
        snapshot: Option<&Snapshot>,
        entries: &Entries,
        messages: &[Message],
    ) {
        self.observe(idx);
        if let Some(node) = self.nodes.get(idx) {
            let commit = node.basic_status().hard_state.commit;
            self.properties
                .handed_out(node.id(), snapshot, entries, commit);
        }
        for m in messages {
            self.properties.sent(m);
        }
    }

    /// Shows a node's stored log to the properties: it starts from that.
    fn observe_start(&mut self, idx: usize) -> Result<(), raft::storage::Error> {
        let Some(node) = self.nodes.get(idx) else {
            return Ok(());
        };
        let s = &node.storage;
        let (first, last) = (s.first_index()?, s.last_index()?);
        let base = first.saturating_sub(1);
        let entries = if last >= first {
            s.entries(first, last + 1, u64::MAX)?
        } else {
            Entries::new()
        };
        self.properties
            .started(node.id(), base, s.term(base)?, &entries, s.applied());
        self.observe(idx);
        Ok(())
    }
}
