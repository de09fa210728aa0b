//! A Ready as etcd prints it. Go: DescribeReady in util.go

use raft::raftpb::{
    Entries, EntryFormatter, HardState, Message, Snapshot, describe_entries, describe_hard_state,
    describe_message, describe_snapshot,
};
use raft::{ReadState, SoftState};
use std::fmt::Write;

/// A Ready of either mode, for [`describe_ready`]. Sealed.
pub trait DescribeReady: sealed::Describe {}

pub(crate) mod sealed {
    use raft::raftpb::EntryFormatter;

    pub trait Describe {
        fn describe(&self, f: Option<EntryFormatter<'_>>) -> String;
    }
}

/// A Ready as etcd prints it, with the messages that are held back until the write is durable, or with those to the storage threads. Go: DescribeReady
///
/// `f` prints the data of normal entries; without it they are quoted as by Go's `%q`.
#[must_use]
#[doc(alias = "DescribeReady")]
pub fn describe_ready(rd: &impl DescribeReady, f: Option<EntryFormatter<'_>>) -> String {
    rd.describe(f)
}

/// `Lead:1 State:StateLeader`. Go: DescribeSoftState
#[must_use]
#[doc(alias = "DescribeSoftState")]
pub fn describe_soft_state(ss: &SoftState) -> String {
    format!("Lead:{} State:{}", ss.lead, ss.raft_state)
}

/// What both modes' Readies have, but for the messages.
pub(crate) struct Parts<'a> {
    pub(crate) soft_state: Option<&'a SoftState>,
    pub(crate) hard_state: Option<&'a HardState>,
    pub(crate) read_states: &'a [ReadState],
    pub(crate) entries: &'a Entries,
    pub(crate) snapshot: Option<&'a Snapshot>,
    pub(crate) committed_entries: &'a Entries,
    pub(crate) must_sync: bool,
}

impl Parts<'_> {
    pub(crate) fn describe<'m>(
        &self,
        messages: impl Iterator<Item = &'m Message>,
        f: Option<EntryFormatter<'_>>,
    ) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        if let Some(ss) = self.soft_state {
            let _ = writeln!(out, "{}", describe_soft_state(ss));
        }
        if let Some(hs) = self.hard_state {
            let _ = writeln!(out, "HardState {}", describe_hard_state(hs));
        }
        if !self.read_states.is_empty() {
            let _ = writeln!(out, "ReadStates {}", describe_read_states(self.read_states));
        }
        if !self.entries.is_empty() {
            let _ = write!(out, "Entries:\n{}", describe_entries(self.entries, f));
        }
        if let Some(s) = self.snapshot {
            let _ = writeln!(out, "Snapshot {}", describe_snapshot(s));
        }
        if !self.committed_entries.is_empty() {
            let entries = describe_entries(self.committed_entries, f);
            let _ = write!(out, "CommittedEntries:\n{entries}");
        }
        let mut messages = messages.peekable();
        if messages.peek().is_some() {
            out.push_str("Messages:\n");
        }
        for m in messages {
            let _ = writeln!(out, "{}", describe_message(m, f));
        }
        if out.is_empty() {
            return "<empty Ready>".into();
        }
        format!("Ready MustSync={}:\n{out}", self.must_sync)
    }
}

/// As Go's `%v` prints them: `[{7 [97 98]}]`.
fn describe_read_states(rs: &[ReadState]) -> String {
    let one = |r: &ReadState| {
        let ctx: Vec<_> = r.request_ctx.iter().map(u8::to_string).collect();
        format!("{{{} [{}]}}", r.index, ctx.join(" "))
    };
    format!("[{}]", rs.iter().map(one).collect::<Vec<_>>().join(" "))
}
