//! The command `process-apply-thread`. Go: rafttest/interaction_env_handler_process_apply_thread.go
//!
//! ```text
//! process-apply-thread <id>...
//! ```

use super::handler::Done;
use super::{CommandError, InteractionEnv};
use crate::datadriven::TestData;
use raft::raftpb::{Entries, Entry, unmarshal_conf_change};

impl InteractionEnv {
    #[doc(alias = "handleProcessApplyThread")]
    pub(super) fn handle_process_apply_thread(&mut self, d: &TestData) -> Done {
        self.for_each_node(d, "processing apply thread", Self::process_apply_thread)
    }

    /// Does the oldest work of the apply thread of the node at place `idx`. Go: ProcessApplyThread
    ///
    /// # Errors
    /// A configuration change that does not decode or apply.
    #[doc(alias = "ProcessApplyThread")]
    pub fn process_apply_thread(&mut self, idx: usize) -> Result<(), CommandError> {
        let Some(work) = self.node(idx)?.apply_work.pop_front() else {
            self.output.write("no apply work to perform");
            return Ok(());
        };
        self.write_work(work.message());
        let entries = work.entries().clone();
        self.process_apply(idx, &entries)?;
        self.send_responses(work.done());
        Ok(())
    }

    /// Applies entries: configuration changes to the node, all others to a state machine that strings their data together. Go: processApply
    #[doc(alias = "processApply")]
    pub(super) fn process_apply(&mut self, idx: usize, entries: &Entries) -> Done {
        for e in entries {
            self.apply(idx, e)?;
        }
        Ok(())
    }

    fn apply(&mut self, idx: usize, e: &Entry) -> Done {
        let change = unmarshal_conf_change(e).map_err(CommandError::output)?;
        let node = self.node(idx)?;
        let (update, conf_state) = match change {
            None => (e.data.clone(), None),
            Some(cc) => {
                let conf_state = node.apply_conf_change(&cc).map_err(CommandError::output)?;
                (cc.context, Some(conf_state))
            }
        };
        // The next state is the last one with the update at its end.
        let mut snapshot = node.storage.newest();
        snapshot.data = [&snapshot.data[..], &update[..]].concat().into();
        snapshot.metadata.index = e.index;
        snapshot.metadata.term = e.term;
        if let Some(conf_state) = &conf_state {
            snapshot.metadata.conf_state = conf_state.clone();
        }
        node.storage.record(snapshot, conf_state);
        let id = node.config.id;
        self.properties.applied(id, e);
        Ok(())
    }
}
