//! From a command's name to what it does. Go: rafttest/interaction_env_handler.go

use super::InteractionEnv;
use crate::datadriven::{Fatal, TestData};
use std::fmt::Display;

/// Why a command did not do what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A node or its storage said no: that is output, and the script goes on.
    #[error("{0}")]
    Output(String),
    /// The script is wrong: the run ends. Go: testing.T.Fatal, or a panic of the handler
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl CommandError {
    /// An error that is printed.
    pub(super) fn output(e: impl Display) -> Self {
        Self::Output(e.to_string())
    }

    /// An error that ends the run.
    pub(super) fn fatal(e: impl Display) -> Self {
        Self::Fatal(Fatal(e.to_string()))
    }
}

/// What a command gives back; what it prints is in the output.
pub(super) type Done = Result<(), CommandError>;

impl InteractionEnv {
    /// Runs one command and returns what it prints, `ok` when that is nothing. Go: Handle
    ///
    /// # Errors
    /// The script is wrong: an argument is missing or does not read, or it names a node that does not exist.
    #[doc(alias = "Handle")]
    pub fn handle(&mut self, d: &TestData) -> Result<String, Fatal> {
        self.output.reset();
        self.properties.set_context(&d.pos);
        self.context.clone_from(&d.pos);
        let done = self.dispatch(d);
        for idx in 0..self.nodes.len() {
            self.observe(idx);
        }
        match done {
            Ok(()) => {}
            Err(CommandError::Fatal(e)) => return Err(e),
            // Silence is for what setting up prints, never for what went wrong.
            Err(CommandError::Output(e)) if self.output.quiet() => return Ok(e),
            Err(CommandError::Output(e)) => self.output.write(&e),
        }
        let text = self.output.text();
        Ok(if text.is_empty() { "ok".into() } else { text })
    }

    /// Runs the command of this name, etcd's or [ours](super::ours).
    fn dispatch(&mut self, d: &TestData) -> Done {
        match d.cmd.as_str() {
            "_breakpoint" => Ok(()),
            "add-nodes" => self.handle_add_nodes(d),
            "campaign" => self.handle_campaign(d),
            "compact" => self.handle_compact(d),
            "deliver-msgs" => self.handle_deliver_msgs(d),
            "process-ready" => self.handle_process_ready(d),
            "process-append-thread" => self.handle_process_append_thread(d),
            "process-apply-thread" => self.handle_process_apply_thread(d),
            "log-level" => self.handle_log_level(d),
            "raft-log" => self.handle_raft_log(d),
            "raft-state" => self.handle_raft_state(),
            "set-randomized-election-timeout" => self.handle_set_randomized_election_timeout(d),
            "stabilize" => self.handle_stabilize(d),
            "status" => self.handle_status(d),
            "tick-election" => self.handle_tick_election(d),
            "tick-heartbeat" => self.handle_tick_heartbeat(d),
            "transfer-leadership" => self.handle_transfer_leadership(d),
            "forget-leader" => self.handle_forget_leader(d),
            "send-snapshot" => self.handle_send_snapshot(d),
            "propose" => self.handle_propose(d),
            "propose-conf-change" => self.handle_propose_conf_change(d),
            "report-unreachable" => self.handle_report_unreachable(d),
            _ => self
                .handle_ours(d)
                .unwrap_or_else(|| Err(CommandError::output("unknown command"))),
        }
    }
}

/// The names that [`InteractionEnv::handle`] knows.
pub(crate) const COMMANDS: [&str; 25] = [
    "_breakpoint",
    "add-nodes",
    "campaign",
    "compact",
    "deliver-msgs",
    "process-ready",
    "process-append-thread",
    "process-apply-thread",
    "log-level",
    "raft-log",
    "raft-state",
    "set-randomized-election-timeout",
    "stabilize",
    "status",
    "tick-election",
    "tick-heartbeat",
    "transfer-leadership",
    "forget-leader",
    "send-snapshot",
    "propose",
    "propose-conf-change",
    "report-unreachable",
    "read-index",
    "report-snapshot",
    "restart",
];
