//! The command `process-ready`. Go: rafttest/interaction_env_handler_process_ready.go
//!
//! ```text
//! process-ready <id>...
//! ```

use super::handler::Done;
use super::node::AnyRawNode;
use super::{CommandError, InteractionEnv};
use crate::datadriven::TestData;
use rawnode::{AsyncReady, Ready, describe_ready};

/// What `ready()` gave, to be dealt with once the node is free again.
// It lives for one statement.
#[allow(clippy::large_enum_variant)]
enum AnyReady {
    None,
    Sync(Ready),
    Async(AsyncReady),
}

impl InteractionEnv {
    #[doc(alias = "handleProcessReady")]
    pub(super) fn handle_process_ready(&mut self, d: &TestData) -> Done {
        self.for_each_node(d, "handling Ready", Self::process_ready)
    }

    /// Runs `f` on each node that the command names, under a heading where there are several.
    pub(super) fn for_each_node(
        &mut self,
        d: &TestData,
        what: &str,
        f: fn(&mut Self, usize) -> Done,
    ) -> Done {
        let idxs = self.node_idxs(d)?;
        for &idx in &idxs {
            if idxs.len() > 1 {
                self.output.write_line(&format!("> {} {what}", idx + 1));
                self.with_indent(|env| f(env, idx))?;
            } else {
                f(self, idx)?;
            }
        }
        Ok(())
    }

    /// Handles the Ready of the node at place `idx`: writes and applies it, or queues that for the storage threads. Go: ProcessReady
    ///
    /// # Errors
    /// What the node or its storage says.
    #[doc(alias = "ProcessReady")]
    pub fn process_ready(&mut self, idx: usize) -> Result<(), CommandError> {
        let ready = match &mut self.node(idx)?.raw {
            AnyRawNode::Sync(raw) => raw
                .ready()
                .map(|rd| rd.map_or(AnyReady::None, AnyReady::Sync)),
            AnyRawNode::Async(raw) => raw
                .ready()
                .map(|rd| rd.map_or(AnyReady::None, AnyReady::Async)),
        };
        match ready.map_err(CommandError::output)? {
            AnyReady::None => {
                self.output.write("<empty Ready>");
                Ok(())
            }
            AnyReady::Sync(rd) => self.process_sync_ready(idx, rd),
            AnyReady::Async(rd) => self.process_async_ready(idx, rd),
        }
    }

    fn process_sync_ready(&mut self, idx: usize, mut rd: Ready) -> Done {
        self.output.write(&describe_ready(&rd, None));
        self.observe_ready(idx, rd.snapshot(), rd.entries(), rd.messages());
        self.process_append(idx, rd.write())?;
        let messages = rd.take_messages();
        let mut persisted = rd.persisted();
        let entries = persisted.committed_entries().clone();
        self.process_apply(idx, &entries)?;
        self.messages.extend(messages);
        self.messages.extend(persisted.take_messages());
        match &mut self.node(idx)?.raw {
            AnyRawNode::Sync(raw) => raw.advance(persisted).map_err(CommandError::output),
            AnyRawNode::Async(_) => Ok(()),
        }
    }

    fn process_async_ready(&mut self, idx: usize, mut rd: AsyncReady) -> Done {
        self.output.write(&describe_ready(&rd, None));
        let entries = rd.entries().cloned().unwrap_or_default();
        self.observe_ready(idx, rd.snapshot(), &entries, rd.messages());
        self.messages.extend(rd.take_messages());
        let node = self.node(idx)?;
        node.append_work.extend(rd.append);
        node.apply_work.extend(rd.apply);
        Ok(())
    }
}
