//! Commands and options that etcd's handler lacks. Go: (none)
//!
//! ```text
//! read-index <id> <context>
//! report-snapshot <id> <to> ok|failed
//! restart <id>
//! add-nodes … max-size-per-msg=<bytes> max-uncommitted-size=<bytes> max-inflight-bytes=<bytes>
//!             election-tick=<ticks> heartbeat-tick=<ticks> disable-proposal-forwarding=<bool>
//! ```

use super::add_nodes::NodeOptions;
use super::handler::Done;
use super::{CommandError, Departure, InteractionEnv, Node};
use crate::datadriven::{CmdArg, Fatal, TestData, parse_uint};
use raft::raftpb::{SnapshotStatus, is_local_msg_target};
use raft::storage::Storage;
use raft::{Config, StateType};

impl NodeOptions {
    /// Reads an option of ours; what nobody knows is ignored, as etcd's handler does.
    pub(super) fn read_ours(&mut self, arg: &CmdArg, i: usize) -> Result<(), Fatal> {
        let c = &mut self.config;
        match arg.key.as_str() {
            "max-size-per-msg" => c.max_size_per_msg = arg.scan(i)?,
            "max-uncommitted-size" => c.max_uncommitted_entries_size = arg.scan(i)?,
            "max-inflight-bytes" => c.max_inflight_bytes = arg.scan(i)?,
            "election-tick" => c.election_tick = scan_ticks(arg, i)?,
            "heartbeat-tick" => c.heartbeat_tick = scan_ticks(arg, i)?,
            "disable-proposal-forwarding" => c.disable_proposal_forwarding = arg.scan(i)?,
            _ => {}
        }
        Ok(())
    }
}

fn scan_ticks(arg: &CmdArg, i: usize) -> Result<u32, Fatal> {
    u32::try_from(arg.scan::<u64>(i)?).map_err(|e| Fatal(format!("{arg}: {e}")))
}

impl InteractionEnv {
    /// Runs a command of ours; `None` for one that is not.
    pub(super) fn handle_ours(&mut self, d: &TestData) -> Option<Done> {
        match d.cmd.as_str() {
            "read-index" => Some(self.handle_read_index(d)),
            "report-snapshot" => Some(self.handle_report_snapshot(d)),
            "restart" => Some(self.handle_restart(d)),
            _ => None,
        }
    }

    /// `read-index <id> <context>`: the answer shows in a Ready's `ReadStates`. What comes of the call is ignored, as Go's RawNode does.
    fn handle_read_index(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        let context = match d.cmd_args.as_slice() {
            [_, context] if context.vals.is_empty() => context.key.clone(),
            _ => return Err(CommandError::fatal("read-index needs a node and a context")),
        };
        self.note_early_read(idx);
        let _ = self.node(idx)?.read_index(context.into());
        Ok(())
    }

    /// `report-snapshot <id> <to> ok|failed`: what became of the snapshot that node `id` sent. What comes of the call is ignored, as Go's RawNode does.
    fn handle_report_snapshot(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        let fatal = || CommandError::fatal("report-snapshot needs two nodes and a status");
        let [_, to, status] = d.cmd_args.as_slice() else {
            return Err(fatal());
        };
        let status = match status.key.as_str() {
            "ok" => SnapshotStatus::Finish,
            "failed" => SnapshotStatus::Failure,
            _ => return Err(fatal()),
        };
        let to = parse_uint(&to.key).map_err(CommandError::fatal)?;
        let _ = self.node(idx)?.report_snapshot(to, status);
        Ok(())
    }

    /// Notes that a read request now reaches a leader that is the only voter and has not committed in its term: etcd answers it, we wait.
    pub(super) fn note_early_read(&mut self, idx: usize) {
        let Some(node) = self.nodes.get(idx) else {
            return;
        };
        let st = node.status();
        let (hs, role) = (st.basic.hard_state, st.basic.soft_state.raft_state);
        let only_voter =
            st.config.voters.incoming.len() == 1 && st.config.voters.outgoing.is_empty();
        let committed_in_term = node.storage.term(hs.commit) == Ok(hs.term);
        if role == StateType::Leader && only_voter && !committed_in_term {
            self.departures.push(Departure {
                context: self.context.clone(),
                what: "a single voter is asked for a read before it has committed in its term",
            });
        }
    }

    /// `restart <id>`
    fn handle_restart(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        self.restart(idx)
    }

    /// Stops the node at place `idx` without warning and starts it again from its storage.
    ///
    /// Lost: all that was not written, the work that its storage threads had not begun, and its messages to itself. Kept: the
    /// stored log and hard state, and the application with what it has applied, configuration included, as the last entry or
    /// snapshot left it. What was applied counts as committed, though the hard state may not have been written in time to say so. Messages from and to
    /// other nodes stay on their way.
    ///
    /// # Errors
    /// What the storage holds will not do for a node.
    pub fn restart(&mut self, idx: usize) -> Result<(), CommandError> {
        let logger = self.output.logger();
        let tracer = self.tracer.clone();
        let node = self.node(idx)?;
        node.storage.restart().map_err(CommandError::output)?;
        let config = Config {
            applied: node.storage.applied(),
            ..node.config.clone()
        };
        let (id, is_async) = (node.id(), node.async_storage_writes());
        *node = Node::new(config, is_async, node.storage.clone(), logger, tracer)
            .map_err(CommandError::output)?;
        self.messages
            .retain(|m| m.to != id || !(m.from == id || is_local_msg_target(m.from)));
        self.observe_start(idx).map_err(CommandError::output)
    }
}
