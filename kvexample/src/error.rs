//! Why a request was not carried out, and why a server did not start or stopped. Go: no counterpart (raftexample answers before the commit)

use crate::kvstore::Refused;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Whether a request that failed may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MayBeApplied {
    /// It changed nothing and never will.
    No,
    /// It may have been, or may yet be, applied: ask, or repeat it under the same `X-Request-Id`.
    Unknown,
}

impl MayBeApplied {
    /// As in the JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A fixed word for programs: see [`Failure::code`].
    pub error: String,
    /// What happened, for people.
    pub message: String,
    /// Whether the request may have changed something.
    pub applied: MayBeApplied,
    /// What to do now, for people.
    pub what_to_do: String,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The request itself is wrong.
    #[error("{0}")]
    BadRequest(String),
    /// No such path.
    #[error("there is nothing at this path")]
    NoSuchPath,
    /// Not this method; the ones that the path takes.
    #[error("this path takes {0} only")]
    MethodNotAllowed(&'static str),
    /// The client did not send its body in time.
    #[error("the body did not arrive within {0} s")]
    SlowBody(u64),
    /// The key does not exist.
    #[error("the key does not exist")]
    KeyNotFound,
    /// `If-Match` named another index than the key's.
    #[error("{}", condition_text(*.current))]
    ConditionFailed {
        /// The key's index; 0: it does not exist.
        current: u64,
    },
    /// The key or the body is larger than this node takes.
    #[error("the {what} is larger than {limit} bytes")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// This node has as much under way as it takes.
    #[error("too many {0} in flight on this node")]
    TooManyInFlight(&'static str),
    /// There is no leader, or none is known here.
    #[error(
        "no leader is known on node {0}: an election is under way, or a majority is out of reach"
    )]
    NoLeader(u64),
    /// A new cluster's member that has not begun.
    #[error(
        "this node has not begun: a new cluster does when a majority of its first members is up"
    )]
    NotStarted,
    /// Nobody answered in time.
    #[error("not answered within {0} ms")]
    Timeout(u64),
    /// Raft did not take the proposal.
    #[error("Raft did not take the request: {0}")]
    Dropped(String),
    /// The leader that had taken the request is not the leader any more.
    #[error("the leader changed before the request was known to be committed")]
    LeadershipLost,
    /// The node went down while the request waited for its answer.
    #[error("this node went down before the request was known to be committed")]
    Interrupted,
    /// The node is going down and did not take the request.
    #[error("this node is shutting down")]
    ShuttingDown,
    /// The request's id lies before the client's window.
    #[error("the request id is older than the client's last 32: what became of it is forgotten")]
    RequestTooOld,
    /// The request's id was used for another request.
    #[error("the request id was used for another request")]
    RequestReused,
    /// The membership change makes no sense.
    #[error("the membership does not change: {0}")]
    Member(Refused),
    /// The learner is too far behind to vote.
    #[error("learner {id} has not caught up: {why}")]
    LearnerNotReady {
        /// The learner.
        id: u64,
        /// What is missing.
        why: String,
    },
    /// The change could leave the cluster without a working majority.
    #[error(
        "after this change {needed} of {voters} voters must be connected, and {connected} are: the cluster could come to a standstill"
    )]
    QuorumAtRisk {
        /// The voters after the change.
        voters: usize,
        /// How many of them are connected now.
        connected: usize,
        /// How many must be.
        needed: usize,
    },
    /// Another membership change is not finished.
    #[error("another membership change is under way")]
    ChangeInProgress,
    /// The leader's HTTP address is not known yet, or did not answer.
    #[error("the leader (node {leader}) cannot be asked: {why}")]
    LeaderOutOfReach {
        /// The leader.
        leader: u64,
        /// What went wrong.
        why: String,
        /// Whether the request may have reached it.
        applied: MayBeApplied,
    },
    /// The leader's disk is full.
    #[error("the disk of node {0}, the leader, is full")]
    DiskFull(u64),
    /// The node has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

fn condition_text(current: u64) -> String {
    match current {
        0 => "If-Match does not hold: the key does not exist".into(),
        n => format!("If-Match does not hold: the key was last written at index {n}"),
    }
}

impl Failure {
    /// The word in the body's `error`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::NoSuchPath => "no_such_path",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::SlowBody(_) => "slow_body",
            Self::KeyNotFound => "key_not_found",
            Self::ConditionFailed { .. } => "if_match_failed",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyInFlight(_) => "too_many_in_flight",
            Self::NoLeader(_) => "no_leader",
            Self::NotStarted => "not_started",
            Self::Timeout(_) => "timeout",
            Self::Dropped(_) => "dropped",
            Self::LeadershipLost => "leadership_lost",
            Self::Interrupted => "interrupted",
            Self::ShuttingDown => "shutting_down",
            Self::RequestTooOld => "request_too_old",
            Self::RequestReused => "request_reused",
            Self::Member(why) => member_code(*why),
            Self::LearnerNotReady { .. } => "learner_not_ready",
            Self::QuorumAtRisk { .. } => "quorum_at_risk",
            Self::ChangeInProgress => "change_in_progress",
            Self::LeaderOutOfReach { .. } => "leader_out_of_reach",
            Self::DiskFull(_) => "disk_full",
            Self::Stopped(_) => "stopped",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) | Self::Member(Refused::Invalid) => 400,
            Self::KeyNotFound | Self::NoSuchPath | Self::Member(Refused::UnknownMember) => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::SlowBody(_) => 408,
            Self::Member(_)
            | Self::LearnerNotReady { .. }
            | Self::QuorumAtRisk { .. }
            | Self::ChangeInProgress
            | Self::RequestTooOld => 409,
            Self::ConditionFailed { .. } => 412,
            Self::TooLarge { .. } => 413,
            Self::RequestReused => 422,
            Self::TooManyInFlight(_) => 429,
            Self::Stopped(_) => 500,
            Self::Dropped(_) => 502,
            Self::NoLeader(_)
            | Self::NotStarted
            | Self::LeadershipLost
            | Self::Interrupted
            | Self::ShuttingDown
            | Self::LeaderOutOfReach { .. } => 503,
            Self::Timeout(_) => 504,
            Self::DiskFull(_) => 507,
        }
    }

    /// Whether the request may have changed something. A read never does, but what cannot be told is called unknown there too.
    #[must_use]
    pub fn applied(&self) -> MayBeApplied {
        match self {
            Self::Timeout(_)
            | Self::LeadershipLost
            | Self::Interrupted
            | Self::RequestTooOld
            | Self::Member(Refused::AppliedBefore)
            | Self::Stopped(_) => MayBeApplied::Unknown,
            Self::LeaderOutOfReach { applied, .. } => *applied,
            _ => MayBeApplied::No,
        }
    }

    /// What the client should do now.
    #[must_use]
    pub fn what_to_do(&self) -> &'static str {
        const RETRY_SAFELY: &str = "Repeat it, here or on another node, with the same X-Request-Id: then it takes effect once. Without one, read first whether it was applied.";
        match self {
            Self::BadRequest(_) | Self::NoSuchPath | Self::MethodNotAllowed(_) => {
                "Correct the request."
            }
            Self::SlowBody(_) => "Send it again on a faster connection.",
            Self::KeyNotFound => "Nothing, if that is news enough; or write the key.",
            Self::ConditionFailed { .. } => {
                "Read the key again, decide anew, and repeat with the index just read."
            }
            Self::TooLarge { .. } => "Send less, or start the nodes with a higher limit.",
            Self::TooManyInFlight(_) | Self::Dropped(_) => {
                "Wait a moment and repeat it, here or on another node."
            }
            Self::NotStarted => "Start the other members, and repeat it.",
            Self::NoLeader(_) => {
                "Repeat it in a second or on another node. If it lasts, see whether a majority of the nodes is up."
            }
            Self::Timeout(_)
            | Self::LeadershipLost
            | Self::Interrupted
            | Self::LeaderOutOfReach { .. } => RETRY_SAFELY,
            Self::ShuttingDown => "Repeat it on another node.",
            Self::RequestTooOld => "Read whether it was applied; give new requests higher numbers.",
            Self::RequestReused => "Give every request its own number; only a repetition keeps it.",
            Self::Member(why) => member_advice(*why),
            Self::LearnerNotReady { .. } => {
                "Start it if it is not running, wait, and repeat; force=true overrides."
            }
            Self::QuorumAtRisk { .. } => {
                "Bring the missing voters back or remove them first; add new members as learners and promote them once they run; force=true overrides."
            }
            Self::ChangeInProgress => {
                "Wait until it is finished, then look at GET /members and decide anew."
            }
            Self::DiskFull(_) => {
                "Make room on that node's disk and repeat it; nothing need be restarted. Reads go on."
            }
            Self::Stopped(_) => "Ask another node, and see this node's log.",
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: self.code().into(),
            message: self.to_string(),
            applied: self.applied(),
            what_to_do: self.what_to_do().into(),
        }
    }
}

fn member_code(why: Refused) -> &'static str {
    match why {
        Refused::AlreadyMember => "already_member",
        Refused::IdUsedUp => "id_used_up",
        Refused::UnknownMember => "unknown_member",
        Refused::AlreadyVoter => "already_voter",
        Refused::LastVoter => "last_voter",
        Refused::Invalid => "invalid_member",
        Refused::AppliedBefore => "applied_before",
    }
}

fn member_advice(why: Refused) -> &'static str {
    match why {
        Refused::IdUsedUp => "Leave the id out: an unused one is assigned.",
        Refused::AlreadyMember | Refused::AlreadyVoter => {
            "Nothing, if that is what you wanted; else remove it first."
        }
        Refused::LastVoter => "Add another voter first.",
        Refused::AppliedBefore => "Nothing: see the result in GET /members.",
        _ => "Look at GET /members and correct the request.",
    }
}

/// Why a server did not start, or how it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command line or a configuration is wrong; nothing was started.
    #[error("{0}")]
    Config(String),
    /// An address could not be listened on; nothing was started.
    #[error("cannot listen on {addr} for {what}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// For whom.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The data directory cannot be opened; nothing was started.
    #[error("{source}. {}", data_advice(dir, source))]
    Data {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        source: storage_wal::Error,
    },
    /// A file is no backup, or not a whole one; nothing was changed.
    #[error("the backup cannot be used: {0}")]
    Backup(String),
    /// A thread or a runtime could not be made; nothing was started.
    #[error("cannot start: {0}")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The node failed while running and has stopped.
    #[error("the node has stopped: {0}")]
    Stopped(String),
    /// A node answered a client's request with a failure, and asking again would not help or did not.
    #[error("{} ({endpoint} answered {status} {}; applied: {}). {}", body.message, body.error, body.applied.word(), body.what_to_do)]
    Refused {
        /// The node that answered.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: Box<ErrorBody>,
    },
    /// No node answered a client's request.
    #[error("no answer from {endpoints} within {seconds} s (applied: {}); the last problem: {last}", applied.word())]
    Unreachable {
        /// Who was asked.
        endpoints: String,
        /// For how long.
        seconds: u64,
        /// Whether any attempt may have been carried out.
        applied: MayBeApplied,
        /// What went wrong last.
        last: String,
    },
    /// A node answered something that is not this program's.
    #[error("{endpoint} is not a node of kvexample: {what} (applied: {})", applied.word())]
    NotOurs {
        /// Who answered.
        endpoint: String,
        /// Whether any attempt may have been carried out.
        applied: MayBeApplied,
        /// What is wrong.
        what: String,
    },
    /// Standard input or output failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn data(dir: &Path, source: storage_wal::Error) -> Self {
        Self::Data {
            dir: dir.to_owned(),
            source,
        }
    }

    /// How a process that failed so ends: 2 when its data directory is damaged, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Data { source, .. } if source.is_corruption() => 2,
            _ => 1,
        }
    }

    /// Whether the request that failed so may have changed something; what the program itself could not do changed nothing.
    #[must_use]
    pub fn applied(&self) -> MayBeApplied {
        match self {
            Self::Refused { body, .. } => body.applied,
            Self::Unreachable { applied, .. } | Self::NotOurs { applied, .. } => *applied,
            _ => MayBeApplied::No,
        }
    }
}

/// Which command helps with a directory that cannot be opened.
fn data_advice(dir: &Path, e: &storage_wal::Error) -> String {
    let wal = "cargo run -p tickraft-storage-wal --features cli --bin wal --";
    let dir = dir.display();
    match e {
        storage_wal::Error::WrongIdentity {
            what: "cluster id", ..
        } => "Give the list that the cluster began with, or none: the directory knows the members"
            .into(),
        storage_wal::Error::MarkMissing { .. } => {
            format!("Look with: {wal} verify {dir}; then: {wal} repair --without-mark {dir}")
        }
        e if e.is_corruption() => format!(
            "Look with: {wal} verify {dir}. What `{wal} repair {dir}` does not mend is lost on this node: remove it (kvexample members remove ID) \
             and join a new one under a new id, or bring the directory back from a copy that is whole"
        ),
        _ => "Nothing was started".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_directory_has_its_own_exit_code_and_names_the_command_that_helps() {
        let mark = storage_wal::Error::MarkMissing {
            path: "d/member/wal/durable.mark".into(),
        };
        let e = Error::data(Path::new("d"), mark);
        assert_eq!(e.exit_code(), 2);
        assert!(e.to_string().contains("repair --without-mark d"), "{e}");
        let locked = storage_wal::Error::Locked {
            path: "d/lock".into(),
        };
        assert_eq!(Error::data(Path::new("d"), locked).exit_code(), 1);
    }

    #[test]
    fn the_failures_of_a_write_that_a_program_must_tell_apart_have_their_own_statuses() {
        let told_apart = [
            Failure::NoLeader(1),
            Failure::Timeout(1),
            Failure::Dropped(String::new()),
            Failure::TooLarge {
                what: "body",
                limit: 1,
            },
            Failure::TooManyInFlight("requests"),
            Failure::DiskFull(1),
        ];
        let mut statuses: Vec<u16> = told_apart.iter().map(Failure::status).collect();
        statuses.sort_unstable();
        statuses.dedup();
        assert_eq!(statuses.len(), told_apart.len());
    }

    #[test]
    fn only_what_was_not_taken_on_is_surely_not_applied() {
        assert_eq!(Failure::ShuttingDown.applied(), MayBeApplied::No);
        for taken_on in [
            Failure::Interrupted,
            Failure::LeadershipLost,
            Failure::Timeout(1),
            Failure::Member(Refused::AppliedBefore),
        ] {
            assert_eq!(taken_on.applied(), MayBeApplied::Unknown, "{taken_on}");
        }
    }

    #[test]
    fn the_body_is_the_documented_json() {
        let body = serde_json::to_value(Failure::LeadershipLost.body()).unwrap();
        assert_eq!(body["error"], "leadership_lost");
        assert_eq!(body["applied"], "unknown");
        assert!(
            body["what_to_do"]
                .as_str()
                .unwrap()
                .contains("X-Request-Id")
        );
        let body = serde_json::to_value(Failure::NoLeader(7).body()).unwrap();
        assert_eq!(body["applied"], "no");
        assert!(body["message"].as_str().unwrap().contains("node 7"));
    }
}
