//! The trace hook: what etcd's TLA+ trace specification is fed with. Go: state_trace.go

use crate::raftpb::{
    ConfChangeSingle, ConfChangeType, ConfChangeV2, EntryType, HardState, Message, MessageType,
};
use crate::storage::Storage;
use crate::tracker::Config;
use crate::{Raft, StateType};
use std::fmt::{self, Write as _};

/// Receives what happens in a node, at the places where etcd traces. Go: TraceLogger
#[doc(alias = "TraceLogger")]
pub trait Tracer: Send + Sync {
    /// Called at each event, in order, from the thread that drives the node.
    #[doc(alias = "TraceEvent")]
    fn trace_event(&self, event: &TraceEvent<'_>);
}

macro_rules! trace_events {
    ($($(#[$meta:meta])* $name:ident,)+) => {
        /// What happened. Prints etcd's name.
        #[doc(alias = "stateMachineEventType")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum TraceEventType { $($(#[$meta])* $name,)+ }

        impl TraceEventType {
            /// All, in etcd's order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// etcd's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

trace_events! {
    /// The node was made.
    InitState,
    /// The node campaigns.
    BecomeCandidate,
    /// The node follows.
    BecomeFollower,
    /// The node leads.
    BecomeLeader,
    /// The leader looked whether more is committed.
    Commit,
    /// The leader appended a normal entry.
    Replicate,
    /// The leader appended a configuration change.
    ChangeConf,
    /// A configuration was switched to.
    ApplyConfChange,
    /// A batch was taken.
    Ready,
    /// A MsgApp, MsgHeartbeat or MsgSnap was sent.
    SendAppendEntriesRequest,
    /// A MsgApp, MsgHeartbeat or MsgSnap arrived.
    ReceiveAppendEntriesRequest,
    /// A MsgAppResp or MsgHeartbeatResp was sent.
    SendAppendEntriesResponse,
    /// A MsgAppResp or MsgHeartbeatResp arrived.
    ReceiveAppendEntriesResponse,
    /// A MsgVote was sent.
    SendRequestVoteRequest,
    /// A MsgVote arrived.
    ReceiveRequestVoteRequest,
    /// A MsgVoteResp was sent.
    SendRequestVoteResponse,
    /// A MsgVoteResp arrived.
    ReceiveRequestVoteResponse,
    /// Not emitted: etcd has the name and never uses it.
    SendSnapshot,
    /// Not emitted: etcd has the name and never uses it.
    ReceiveSnapshot,
}

impl fmt::Display for TraceEventType {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One event: what happened, and the node's state then. Go: TracingEvent
#[doc(alias = "TracingEvent")]
#[derive(Clone, Debug)]
pub struct TraceEvent<'a> {
    /// What happened.
    pub event: TraceEventType,
    /// The node.
    pub node_id: u64,
    /// Term, vote and commit index.
    pub state: HardState,
    /// The role.
    pub role: StateType,
    /// The last index of the log.
    pub log_size: u64,
    /// The voters of the incoming and of the outgoing half, in id order.
    pub conf: [&'a [u64]; 2],
    /// The message that was sent or received. Entries of one just sent may not be filled in: see [`entry_count`](Self::entry_count).
    pub message: Option<&'a Message>,
    /// How many entries the message has.
    pub entry_count: usize,
    /// The configuration change, with ChangeConf and ApplyConfChange.
    pub conf_change: Option<TraceConfChange<'a>>,
    /// The sender's own progress, when a MsgApp was sent.
    pub progress: Option<TraceProgress>,
}

/// A configuration change in a trace. Go: TracingConfChange
#[doc(alias = "TracingConfChange")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceConfChange<'a> {
    /// The changes, when they were proposed.
    pub changes: Vec<TraceSingleConfChange>,
    /// The new voters, when they were switched to.
    pub new_conf: &'a [u64],
}

/// One node's part. Go: SingleConfChange
#[doc(alias = "SingleConfChange")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSingleConfChange {
    /// The node.
    pub node_id: u64,
    /// `AddNewServer`, `RemoveServer` or `AddLearner`.
    pub action: &'static str,
}

/// A progress in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceProgress {
    /// [`Progress::matched`](crate::tracker::Progress::matched).
    pub matched: u64,
    /// [`Progress::next`](crate::tracker::Progress::next).
    pub next: u64,
}

/// Go: ConfChangeAddNewServer and its kin
const fn action(t: ConfChangeType) -> Option<&'static str> {
    match t {
        ConfChangeType::AddNode => Some("AddNewServer"),
        ConfChangeType::RemoveNode => Some("RemoveServer"),
        ConfChangeType::AddLearnerNode => Some("AddLearner"),
        ConfChangeType::UpdateNode => None,
    }
}

impl<'a> TraceEvent<'a> {
    /// The event as a line of etcd's trace, without the line's end.
    ///
    /// ```
    /// use tickraft::{StateType, TraceEvent, TraceEventType};
    /// use tickraft::raftpb::HardState;
    ///
    /// let e = TraceEvent::new(TraceEventType::BecomeLeader, 1, HardState { term: 2, vote: 1, commit: 3 }, StateType::Leader);
    /// let e = TraceEvent { log_size: 4, conf: [&[1, 2, 3], &[]], ..e };
    /// assert_eq!(e.to_json(), concat!(r#"{"name":"BecomeLeader","nid":"1","state":{"term":2,"vote":"1","commit":3},"#,
    ///     r#""role":"StateLeader","log":4,"conf":[["1","2","3"],[]]}"#));
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = format!(
            r#"{{"name":"{}","nid":"{}","state":{{"term":{},"vote":"{}","commit":{}}},"role":"{}","log":{},"conf":[{},{}]"#,
            self.event,
            self.node_id,
            self.state.term,
            self.state.vote,
            self.state.commit,
            self.role,
            self.log_size,
            format_conf(self.conf[0]),
            format_conf(self.conf[1])
        );
        if let Some(m) = self.message {
            self.push_message(m, &mut out);
        }
        if let Some(cc) = &self.conf_change {
            out.push_str(r#","prop":{"cc":"#);
            cc.push_json(&mut out);
            out.push('}');
        } else if let Some(pr) = self.progress {
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                r#","prop":{{"match":{},"next":{}}}"#,
                pr.matched, pr.next
            );
        }
        out.push('}');
        out
    }

    /// Go: makeTracingMessage
    #[doc(alias = "makeTracingMessage")]
    fn push_message(&self, m: &Message, out: &mut String) {
        let (entries, log_term, index) = match (m.msg_type, &m.snapshot) {
            (MessageType::MsgSnap, s) => (s.as_ref().map_or(0, |s| s.metadata.index), 0, 0),
            _ => (self.entry_count as u64, m.log_term, m.index),
        };
        let _ = write!(
            out,
            r#","msg":{{"type":"{}","term":{},"from":"{}","to":"{}","entries":{entries},"logTerm":{log_term},"index":{index},"commit":{},"vote":"{}","reject":{},"rejectHint":{}}}"#,
            m.msg_type, m.term, m.from, m.to, m.commit, m.vote, m.reject, m.reject_hint
        );
    }

    /// An event with nothing but the node's state.
    #[must_use]
    pub const fn new(
        event: TraceEventType,
        node_id: u64,
        state: HardState,
        role: StateType,
    ) -> Self {
        Self {
            event,
            node_id,
            state,
            role,
            log_size: 0,
            conf: [&[], &[]],
            message: None,
            entry_count: 0,
            conf_change: None,
            progress: None,
        }
    }
}

impl TraceConfChange<'_> {
    fn push_json(&self, out: &mut String) {
        out.push('{');
        if !self.changes.is_empty() {
            let changes: Vec<_> = self
                .changes
                .iter()
                .map(|c| format!(r#"{{"nid":"{}","action":"{}"}}"#, c.node_id, c.action))
                .collect();
            let _ = write!(out, r#""changes":[{}]"#, changes.join(","));
        }
        if !self.new_conf.is_empty() {
            let _ = write!(out, r#""newconf":{}"#, format_conf(self.new_conf));
        }
        out.push('}');
    }
}

/// Ids as JSON strings. Go: formatConf
#[doc(alias = "formatConf")]
fn format_conf(ids: &[u64]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", ids.join(","))
}

/// The places in the core that trace. Each costs a comparison when there is no tracer.
impl<S: Storage> Raft<S> {
    /// An event with the node's state as it is now.
    #[doc(alias = "makeTracingState")]
    fn event(&self, event: TraceEventType) -> TraceEvent<'_> {
        let voters = &self.trk.config.voters;
        TraceEvent {
            log_size: self.raft_log.last_index(),
            conf: [voters.incoming.as_slice(), voters.outgoing.as_slice()],
            ..TraceEvent::new(event, self.id, self.hard_state(), self.state)
        }
    }

    /// One of the events that say no more than the node's state.
    #[doc(alias = "traceEvent", alias = "traceNodeEvent")]
    #[doc(alias = "traceInitState", alias = "traceReady", alias = "traceCommit")]
    #[doc(alias = "traceBecomeFollower", alias = "traceBecomeCandidate")]
    #[doc(alias = "traceBecomeLeader")]
    #[inline]
    pub(crate) fn trace(&self, event: TraceEventType) {
        if let Some(tracer) = &self.tracer {
            tracer.trace_event(&self.event(event));
        }
    }

    /// An entry is about to be appended by the leader; normal ones are traced.
    #[doc(alias = "traceReplicate")]
    #[inline]
    pub(crate) fn trace_replicate(&self, t: EntryType) {
        if t == EntryType::Normal {
            self.trace(TraceEventType::Replicate);
        }
    }

    #[doc(alias = "traceChangeConfEvent")]
    pub(crate) fn trace_change_conf_event(&self, cc: &ConfChangeV2) {
        let Some(tracer) = &self.tracer else { return };
        let single = |c: &ConfChangeSingle| {
            let node_id = c.node_id;
            action(c.change_type).map(|action| TraceSingleConfChange { node_id, action })
        };
        let changes: Vec<_> = cc.changes.iter().filter_map(single).collect();
        if !changes.is_empty() {
            let conf_change = Some(TraceConfChange {
                changes,
                new_conf: &[],
            });
            tracer.trace_event(&TraceEvent {
                conf_change,
                ..self.event(TraceEventType::ChangeConf)
            });
        }
    }

    #[doc(alias = "traceConfChangeEvent")]
    pub(crate) fn trace_conf_change_event(&self, cfg: &Config) {
        let Some(tracer) = &self.tracer else { return };
        let conf_change = Some(TraceConfChange {
            changes: Vec::new(),
            new_conf: cfg.voters.incoming.as_slice(),
        });
        tracer.trace_event(&TraceEvent {
            conf_change,
            ..self.event(TraceEventType::ApplyConfChange)
        });
    }

    /// The message was queued; `entry_count` counts those of the open tail too.
    #[doc(alias = "traceSendMessage")]
    #[inline]
    pub(crate) fn trace_send_message(&self, m: &Message, entry_count: usize) {
        use MessageType::*;
        use TraceEventType::*;
        let Some(tracer) = &self.tracer else { return };
        let event = match m.msg_type {
            MsgApp | MsgHeartbeat | MsgSnap => SendAppendEntriesRequest,
            MsgAppResp | MsgHeartbeatResp => SendAppendEntriesResponse,
            MsgVote => SendRequestVoteRequest,
            MsgVoteResp => SendRequestVoteResponse,
            _ => return,
        };
        let own = self.trk.progress.get(m.from);
        let progress = own
            .filter(|_| m.msg_type == MsgApp)
            .map(|pr| TraceProgress {
                matched: pr.matched,
                next: pr.next,
            });
        tracer.trace_event(&TraceEvent {
            message: Some(m),
            entry_count,
            progress,
            ..self.event(event)
        });
    }

    /// A message is about to be stepped.
    #[doc(alias = "traceReceiveMessage")]
    #[inline]
    pub(crate) fn trace_receive_message(&self, m: &Message) {
        use MessageType::*;
        use TraceEventType::*;
        let Some(tracer) = &self.tracer else { return };
        let event = match m.msg_type {
            MsgApp | MsgHeartbeat | MsgSnap => ReceiveAppendEntriesRequest,
            MsgAppResp | MsgHeartbeatResp => ReceiveAppendEntriesResponse,
            MsgVote => ReceiveRequestVoteRequest,
            MsgVoteResp => ReceiveRequestVoteResponse,
            _ => return,
        };
        tracer.trace_event(&TraceEvent {
            message: Some(m),
            entry_count: m.entries.len(),
            ..self.event(event)
        });
    }
}
