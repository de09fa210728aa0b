//! The command `stabilize`. Go: rafttest/interaction_env_handler_stabilize.go
//!
//! ```text
//! stabilize <id>... log-level=none
//! ```

use super::handler::Done;
use super::{CommandError, InteractionEnv, Recipient};
use crate::datadriven::TestData;

/// After so many rounds a group will not come to rest any more. etcd's handler goes on for ever; no script of its takes more than twenty.
const MAX_ROUNDS: usize = 10_000;

impl InteractionEnv {
    #[doc(alias = "handleStabilize")]
    pub(super) fn handle_stabilize(&mut self, d: &TestData) -> Done {
        let idxs = self.node_idxs(d)?;
        let level = self.output.level();
        let done = self.set_levels(d).and_then(|()| self.stabilize(&idxs));
        self.output.set_level(level);
        done
    }

    fn set_levels(&self, d: &TestData) -> Done {
        for arg in d.cmd_args.iter().filter(|arg| arg.key == "log-level") {
            arg.vals.iter().try_for_each(|name| self.log_level(name))?;
        }
        Ok(())
    }

    /// Handles Readies, delivers messages and runs the storage threads of these nodes, all where none are named, until there is
    /// nothing left to do. Go: Stabilize
    ///
    /// # Errors
    /// What a node or its storage says; or the group does not come to rest.
    #[doc(alias = "Stabilize")]
    pub fn stabilize(&mut self, idxs: &[usize]) -> Result<(), CommandError> {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        let idxs = if idxs.is_empty() { &all } else { idxs };
        for _ in 0..MAX_ROUNDS {
            // All four, whatever the one before did.
            let mut worked = self.stabilize_ready(idxs)?;
            worked |= self.stabilize_messages(idxs)?;
            worked |= self.stabilize_append_threads(idxs)?;
            worked |= self.stabilize_apply_threads(idxs)?;
            if !worked {
                return Ok(());
            }
        }
        Err(CommandError::fatal(format!(
            "the nodes did not come to rest in {MAX_ROUNDS} rounds"
        )))
    }

    fn stabilize_ready(&mut self, idxs: &[usize]) -> Result<bool, CommandError> {
        let mut worked = false;
        for &idx in idxs {
            if self.node(idx)?.has_ready() {
                self.heading(idx, "handling Ready");
                self.with_indent(|env| env.process_ready(idx))?;
                worked = true;
            }
        }
        Ok(worked)
    }

    fn stabilize_messages(&mut self, idxs: &[usize]) -> Result<bool, CommandError> {
        let mut worked = false;
        for &idx in idxs {
            let id = self.node(idx)?.id();
            if self.has_msgs(id) {
                self.heading(idx, "receiving messages");
                let to = Recipient { id, drop: false };
                self.with_indent(|env| env.deliver_msgs(None, &[to]))?;
                worked = true;
            }
        }
        Ok(worked)
    }

    fn stabilize_append_threads(&mut self, idxs: &[usize]) -> Result<bool, CommandError> {
        let mut worked = false;
        for &idx in idxs {
            if self.node(idx)?.append_work.is_empty() {
                continue;
            }
            self.heading(idx, "processing append thread");
            while !self.node(idx)?.append_work.is_empty() {
                self.with_indent(|env| env.process_append_thread(idx))?;
            }
            worked = true;
        }
        Ok(worked)
    }

    fn stabilize_apply_threads(&mut self, idxs: &[usize]) -> Result<bool, CommandError> {
        let mut worked = false;
        for &idx in idxs {
            if self.node(idx)?.apply_work.is_empty() {
                continue;
            }
            self.heading(idx, "processing apply thread");
            while !self.node(idx)?.apply_work.is_empty() {
                // etcd's handler ignores what comes of it here, and only here.
                let _ = self.with_indent(|env| env.process_apply_thread(idx));
            }
            worked = true;
        }
        Ok(worked)
    }

    fn heading(&self, idx: usize, what: &str) {
        self.output.write_line(&format!("> {} {what}", idx + 1));
    }
}
