//! The command `process-append-thread`. Go: rafttest/interaction_env_handler_process_append_thread.go
//!
//! ```text
//! process-append-thread <id>...
//! ```

use super::handler::Done;
use super::{CommandError, Departure, InteractionEnv};
use crate::datadriven::TestData;
use raft::raftpb::{Message, Responses, describe_message};
use raft::storage::Write;

impl InteractionEnv {
    #[doc(alias = "handleProcessAppendThread")]
    pub(super) fn handle_process_append_thread(&mut self, d: &TestData) -> Done {
        self.for_each_node(d, "processing append thread", Self::process_append_thread)
    }

    /// Does the oldest work of the append thread of the node at place `idx`. Go: ProcessAppendThread
    ///
    /// # Errors
    /// What the storage says.
    #[doc(alias = "ProcessAppendThread")]
    pub fn process_append_thread(&mut self, idx: usize) -> Result<(), CommandError> {
        let Some(work) = self.node(idx)?.append_work.pop_front() else {
            self.output.write("no append work to perform");
            return Ok(());
        };
        self.write_work(work.message());
        if let Err(e) = self.process_append(idx, work.write()) {
            self.departures.push(Departure {
                context: self.context.clone(),
                what: "a write of the append thread fails: etcd's node goes on without it, ours stops",
            });
            return Err(e);
        }
        self.send_responses(work.done());
        Ok(())
    }

    /// Prints a message to a storage thread without its responses: those come once they are sent.
    pub(super) fn write_work(&self, mut m: Message) {
        m.responses = Responses::default();
        self.output.write("Processing:\n");
        self.output.write_line(&describe_message(&m, None));
    }

    /// Prints and sends what a storage thread says once its work is done.
    pub(super) fn send_responses(&mut self, responses: Vec<Message>) {
        self.output.write("Responses:\n");
        for m in &responses {
            self.output.write_line(&describe_message(m, None));
        }
        self.messages.extend(responses);
    }

    /// Stores what a Ready wants written. Go: processAppend
    #[doc(alias = "processAppend")]
    pub(super) fn process_append(&mut self, idx: usize, w: &Write) -> Done {
        let node = self.node(idx)?;
        let (id, log) = (node.config.id, &node.storage.log);
        if let Some(hs) = w.hard_state {
            log.set_hard_state(hs);
        }
        let Some(snapshot) = &w.snapshot else {
            return log.append(&w.entries).map_err(CommandError::output);
        };
        if !w.entries.is_empty() {
            return Err(CommandError::output(
                "can't apply snapshot and entries at the same time",
            ));
        }
        log.apply_snapshot(snapshot).map_err(CommandError::output)?;
        node.storage.restored(snapshot);
        self.properties.restored(id, snapshot);
        Ok(())
    }
}
