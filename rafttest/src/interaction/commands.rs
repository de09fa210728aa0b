//! The commands that are one call each. Go: rafttest/interaction_env_handler_{campaign,compact,forget_leader,log_level,propose,raft_log,raftstate,report_unreachable,send_snapshot,set_randomized_election_timeout,status,tick,transfer_leadership}.go

use super::handler::Done;
use super::output::LEVEL_NAMES;
use super::{CommandError, InteractionEnv};
use crate::datadriven::{TestData, parse_uint};
use raft::raftpb::bytes::Bytes;
use raft::raftpb::{Message, MessageType, describe_entries, describe_message};
use raft::storage::Storage;

impl InteractionEnv {
    /// `campaign <id>`
    #[doc(alias = "handleCampaign")]
    pub(super) fn handle_campaign(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        self.campaign(idx)
    }

    /// Makes the node at place `idx` campaign. Go: Campaign
    ///
    /// # Errors
    /// What the node says.
    #[doc(alias = "Campaign")]
    pub fn campaign(&mut self, idx: usize) -> Result<(), CommandError> {
        self.node(idx)?.campaign().map_err(CommandError::output)
    }

    /// `compact <id> <index>`
    #[doc(alias = "handleCompact")]
    pub(super) fn handle_compact(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        let arg = d
            .cmd_args
            .get(1)
            .ok_or_else(|| CommandError::fatal("compact needs an index"))?;
        let index = parse_uint(&arg.key).map_err(CommandError::output)?;
        self.compact(idx, index)
    }

    /// Compacts the log of the node at place `idx` up to and including `index`, and prints what is left. Go: Compact
    ///
    /// # Errors
    /// What the storage says.
    #[doc(alias = "Compact")]
    pub fn compact(&mut self, idx: usize, index: u64) -> Result<(), CommandError> {
        let log = &self.node(idx)?.storage.log;
        log.compact(index).map_err(CommandError::output)?;
        self.raft_log(idx)
    }

    /// `log-level <name>`
    #[doc(alias = "handleLogLevel")]
    pub(super) fn handle_log_level(&mut self, d: &TestData) -> Done {
        let arg = d.cmd_args.first();
        let arg = arg.ok_or_else(|| CommandError::fatal("log-level needs a level"))?;
        self.log_level(&arg.key)
    }

    /// Sets the level below which log lines are left out. Go: LogLevel
    ///
    /// # Errors
    /// There is no level of this name.
    #[doc(alias = "LogLevel")]
    pub fn log_level(&self, name: &str) -> Result<(), CommandError> {
        let level = LEVEL_NAMES
            .iter()
            .position(|n| n.eq_ignore_ascii_case(name));
        match level {
            Some(level) => {
                self.output.set_level(level);
                Ok(())
            }
            None => Err(CommandError::output(format!(
                "log levels must be either of [{}]",
                LEVEL_NAMES.join(" ")
            ))),
        }
    }

    /// `raft-log <id>`
    #[doc(alias = "handleRaftLog")]
    pub(super) fn handle_raft_log(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        self.raft_log(idx)
    }

    /// Prints the stored log of the node at place `idx`. Go: RaftLog
    ///
    /// # Errors
    /// What the storage says.
    #[doc(alias = "RaftLog")]
    pub fn raft_log(&mut self, idx: usize) -> Result<(), CommandError> {
        let log = &self.node(idx)?.storage.log;
        let first = log.first_index().map_err(CommandError::output)?;
        let last = log.last_index().map_err(CommandError::output)?;
        let text = if last < first {
            format!("log is empty: first index={first}, last index={last}")
        } else {
            let entries = log.entries(first, last + 1, u64::MAX);
            describe_entries(&entries.map_err(CommandError::output)?, None)
        };
        self.output.write(&text);
        Ok(())
    }

    /// `raft-state`: the role of each node, and whether it takes itself for a voter
    #[doc(alias = "handleRaftState")]
    pub(super) fn handle_raft_state(&mut self) -> Done {
        for node in &self.nodes {
            let st = node.status();
            let (hard, soft) = (st.basic.hard_state, st.basic.soft_state);
            let voter = if st.config.voters.contains(node.id()) {
                "(Voter)"
            } else {
                "(Non-Voter)"
            };
            self.output.write_line(&format!(
                "{}: {} {voter} Term:{} Lead:{}",
                node.id(),
                soft.raft_state,
                hard.term,
                soft.lead
            ));
        }
        Ok(())
    }

    /// `set-randomized-election-timeout <id> timeout=<ticks>`: until the node's next change of role
    #[doc(alias = "handleSetRandomizedElectionTimeout")]
    pub(super) fn handle_set_randomized_election_timeout(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        let timeout = u32::try_from(d.scan_arg::<i64>("timeout")?);
        let ticks = timeout.ok().filter(|t| *t != 0);
        let ticks = ticks.ok_or_else(|| CommandError::fatal("timeout must be positive"))?;
        self.node(idx)?.set_randomized_election_timeout(ticks);
        Ok(())
    }

    /// `status <id>`: the progress of each member; nothing but on a leader
    #[doc(alias = "handleStatus")]
    pub(super) fn handle_status(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        let progress = self.node(idx)?.status().progress;
        self.output.write(&progress.to_string());
        Ok(())
    }

    /// `tick-election <id>`: an election timeout; the randomized one may be longer
    #[doc(alias = "handleTickElection")]
    pub(super) fn handle_tick_election(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        let n = self.node(idx)?.config.election_tick;
        self.tick(idx, n)
    }

    /// `tick-heartbeat <id>`
    #[doc(alias = "handleTickHeartbeat")]
    pub(super) fn handle_tick_heartbeat(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        let n = self.node(idx)?.config.heartbeat_tick;
        self.tick(idx, n)
    }

    /// Ticks the node at place `idx` so many times. Go: Tick
    ///
    /// # Errors
    /// The node has stopped.
    #[doc(alias = "Tick")]
    pub fn tick(&mut self, idx: usize, n: u32) -> Result<(), CommandError> {
        for _ in 0..n {
            self.node(idx)?.tick().map_err(CommandError::output)?;
            self.observe(idx);
        }
        Ok(())
    }

    /// `transfer-leadership from=<id> to=<id>`
    #[doc(alias = "handleTransferLeadership")]
    pub(super) fn handle_transfer_leadership(&mut self, d: &TestData) -> Done {
        let (from, to): (u64, u64) = (d.scan_arg("from")?, d.scan_arg("to")?);
        let n = self.nodes.len() as u64;
        for (id, name) in [(from, "from"), (to, "to")] {
            if id == 0 || id > n {
                return Err(CommandError::fatal(format!(
                    "expected valid \"{name}\" argument"
                )));
            }
        }
        // etcd's handler ignores what comes of it.
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id() == from) {
            let _ = node.transfer_leader(to);
        }
        Ok(())
    }

    /// `forget-leader <id>`
    #[doc(alias = "handleForgetLeader")]
    pub(super) fn handle_forget_leader(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        // etcd's handler ignores what comes of it.
        let _ = self.node(idx)?.forget_leader();
        Ok(())
    }

    /// `send-snapshot <from> <to>`: sends the application's newest state, whether the node would or not
    #[doc(alias = "handleSendSnapshot")]
    pub(super) fn handle_send_snapshot(&mut self, d: &TestData) -> Done {
        match self.node_idxs(d)?.as_slice() {
            &[from, to] => self.send_snapshot(from, to),
            _ => Err(CommandError::fatal("send-snapshot needs two nodes")),
        }
    }

    /// Sends a snapshot from the node at place `from` to the one at place `to`; it is not delivered yet. Go: SendSnapshot
    ///
    /// # Errors
    /// There is no such node.
    #[doc(alias = "SendSnapshot")]
    pub fn send_snapshot(&mut self, from: usize, to: usize) -> Result<(), CommandError> {
        let to = self.node(to)?.id();
        let node = self.node(from)?;
        let msg = Message {
            term: node.basic_status().hard_state.term,
            from: node.id(),
            to,
            snapshot: Some(Box::new(node.storage.newest())),
            ..Message::new(MessageType::MsgSnap)
        };
        self.output.write(&describe_message(&msg, None));
        self.messages.push(msg);
        Ok(())
    }

    /// `propose <id> <data>`
    #[doc(alias = "handlePropose")]
    pub(super) fn handle_propose(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        match d.cmd_args.as_slice() {
            [_, data] if data.vals.is_empty() => self.propose(idx, data.key.clone().into()),
            _ => Err(CommandError::fatal("expected exactly one key with no vals")),
        }
    }

    /// Proposes an entry on the node at place `idx`. Go: Propose
    ///
    /// # Errors
    /// What the node says.
    #[doc(alias = "Propose")]
    pub fn propose(&mut self, idx: usize, data: Bytes) -> Result<(), CommandError> {
        self.node(idx)?.propose(data).map_err(CommandError::output)
    }

    /// `report-unreachable <id> <unreachable>`
    #[doc(alias = "handleReportUnreachable")]
    pub(super) fn handle_report_unreachable(&mut self, d: &TestData) -> Done {
        let &[on, reported] = self.node_idxs(d)?.as_slice() else {
            return Err(CommandError::output(
                "must specify exactly two node indexes: node on which to report, and reported node",
            ));
        };
        let reported = self.node(reported)?.id();
        // etcd's handler ignores what comes of it.
        let _ = self.node(on)?.report_unreachable(reported);
        Ok(())
    }
}
