//! The JSON that server and client exchange. Go: no counterpart (raftexample has none)

use serde::{Deserialize, Serialize};

/// A request is carried out as the same one when it comes again: `CLIENT-SEQ`.
pub const REQUEST_ID: &str = "x-request-id";
/// The index of the entry that made the answer true: what `If-Match` takes.
pub const RAFT_INDEX: &str = "x-raft-index";
/// The term of that entry.
pub const RAFT_TERM: &str = "x-raft-term";
/// The last entry that was part of the state a read saw.
pub const RAFT_APPLIED: &str = "x-raft-applied";
/// Set by a node that passes a request on to the leader; such a request is not passed on again.
pub const FORWARDED_BY: &str = "x-forwarded-by-node";

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Its id.
    pub id: u64,
    /// Where its Raft transport listens.
    pub addr: String,
    /// Where its HTTP API listens; empty until it has told.
    pub http: String,
    /// Whether it only listens: a learner has the data but no vote.
    pub learner: bool,
    /// Whether it leads, as far as the answering node knows.
    pub leader: bool,
    /// Which life of its disk the members know it with; 0: not yet known.
    pub incarnation: u64,
}

/// The answer to `GET /members` and to each change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberList {
    /// The member that the change was about; absent in the answer to a GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// All members, by id.
    pub members: Vec<MemberInfo>,
}

/// The body of `POST /members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// Its id; one that was never used is assigned when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Where its Raft transport listens, `HOST:PORT`.
    pub addr: String,
    /// Whether it joins as a learner, to be promoted once it has caught up.
    #[serde(default)]
    pub learner: bool,
    /// Which life of its disk is meant, as its `serve` prints it; 0 or absent: the first that comes.
    #[serde(default)]
    pub incarnation: u64,
    /// Whether to skip the safety checks.
    #[serde(default)]
    pub force: bool,
}

/// The configuration in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Who votes.
    pub voters: Vec<u64>,
    /// Who only listens.
    pub learners: Vec<u64>,
    /// Who votes in the outgoing half of a joint configuration; empty unless there is one.
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that become learners.
    pub learners_next: Vec<u64>,
    /// Whether the joint configuration is left without being asked.
    pub auto_leave: bool,
}

/// How far a member is, as its leader knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerProgress {
    /// The member.
    pub id: u64,
    /// The last entry known to be in its log.
    #[serde(rename = "match")]
    pub matched: u64,
    /// The next entry to send it.
    pub next: u64,
    /// `StateProbe`, `StateReplicate` or `StateSnapshot`.
    pub state: String,
    /// Whether it was heard of within the last election timeout.
    pub recent_active: bool,
    /// Whether it only listens.
    pub learner: bool,
}

/// What this node's transport knows of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerConnection {
    /// The peer.
    pub id: u64,
    /// Its address.
    pub addr: String,
    /// Whether it is connected now.
    pub connected: bool,
    /// Messages sent to it.
    pub sent: u64,
    /// Messages dropped because it was out of reach or too slow.
    pub dropped: u64,
    /// What went wrong last, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The answer to `GET /status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The answering node.
    pub id: u64,
    /// The leader that it knows; 0: none.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// `leader`, `follower`, `learner`, `candidate` or `pre-candidate`.
    pub role: String,
    /// The last entry known to be committed.
    pub commit: u64,
    /// The last entry that its state machine applied.
    pub applied: u64,
    /// The configuration in force.
    pub configuration: Configuration,
    /// How far each member is; empty unless this node leads.
    pub progress: Vec<PeerProgress>,
    /// This node's connections.
    pub connections: Vec<PeerConnection>,
    /// How many keys it holds.
    pub keys: usize,
    /// The last entry of its newest snapshot; 0: none.
    pub snapshot: u64,
    /// Its disk is full: it takes on nothing new until there is room.
    pub disk_full: bool,
}
