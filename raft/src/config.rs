//! How a node is configured, and what a configuration must satisfy. Go: raft.go (Config)

use crate::Error;
use crate::raftpb::{NO_LIMIT, NONE, is_local_msg_target};
use std::fmt;

/// How read-only requests are answered. Go: ReadOnlyOption
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadOnlyOption {
    /// A quorum confirms the leader by a round of heartbeats: linearizable whatever clocks do. The default, and the suggestion.
    #[default]
    #[doc(alias = "ReadOnlySafe")]
    Safe,
    /// The leader trusts its lease ([`Config::check_quorum`] must be on): one round trip less, but a clock that drifts or pauses
    /// without bound makes reads stale.
    #[doc(alias = "ReadOnlyLeaseBased")]
    LeaseBased,
}

/// Why a node campaigns. Go: CampaignType
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CampaignType {
    /// The first phase of an election with [`Config::pre_vote`]: ask, but raise no term. Go: campaignPreElection
    #[doc(alias = "campaignPreElection")]
    PreElection,
    /// An election after a timeout, or the second phase with pre-vote. Go: campaignElection
    #[doc(alias = "campaignElection")]
    Election,
    /// The old leader handed over: leases do not count. Go: campaignTransfer
    #[doc(alias = "campaignTransfer")]
    Transfer,
}

impl CampaignType {
    /// Go's text; that of a transfer travels in the context of the MsgVotes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreElection => "CampaignPreElection",
            Self::Election => "CampaignElection",
            Self::Transfer => "CampaignTransfer",
        }
    }
}

impl fmt::Display for CampaignType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The parameters of a node. Go: Config
///
/// Storage, logger and tracer are arguments of [`Raft::new`](crate::Raft::new), and asynchronous storage writes are a type of the
/// layers above, not fields. Defaults are Go's, but where Go refuses the zero value, or panics on it: there they are what etcd suggests or sets itself.
///
/// ```
/// use tickraft::Config;
///
/// let c = Config { pre_vote: true, check_quorum: true, ..Config::new(1, 42) };
/// assert_eq!((c.election_tick, c.heartbeat_tick, c.max_inflight_msgs), (10, 1, 256));
/// assert!(c.validated().is_ok());
///
/// let c = Config { election_tick: 1, ..Config::new(1, 42) };
/// assert_eq!(c.validated().unwrap_err().to_string(), "election tick must be greater than heartbeat tick");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's id: not 0, not one of the two ids of storage threads (the two largest), and never used again after the node was removed.
    pub id: u64,
    /// Where the node's randomness comes from. It is mixed with the id, so that the nodes of a group may share a seed; give another one at each start, unless
    /// runs are to be repeated. There is no default: nodes that share a sequence split their votes for ever.
    pub seed: u64,
    /// After how many ticks without a word from a leader a follower campaigns, at the earliest; the real timeout is random in
    /// `election_tick ..= 2 * election_tick - 1`. Larger than [`heartbeat_tick`](Self::heartbeat_tick), by a factor of ten say; at most 2^31. Default 10.
    pub election_tick: u32,
    /// How many ticks lie between two heartbeats of a leader; at least 1. Default 1.
    pub heartbeat_tick: u32,
    /// What the application has applied already, for a restart: entries up to here are not handed out again. Default 0: all that the storage's log has.
    pub applied: u64,
    /// The most encoded bytes of entries in one MsgApp. `u64::MAX` is no limit, 0 is one entry a message. Default 1 MiB, as etcd sets it.
    pub max_size_per_msg: u64,
    /// The most encoded bytes of committed entries that are being applied at a time, over all Readies that are out. Default 0:
    /// the same as [`max_size_per_msg`](Self::max_size_per_msg). At least one entry is handed out whatever its size; Go panics where both are 0.
    pub max_committed_size_per_ready: u64,
    /// The most payload bytes of proposals that are not applied yet; beyond it a leader drops proposals. Default 0: no limit.
    pub max_uncommitted_entries_size: u64,
    /// How many MsgApps may be under way to a follower that keeps up; at least 1. Default 256.
    pub max_inflight_msgs: usize,
    /// How many payload bytes may be under way to a follower that keeps up; at least [`max_size_per_msg`](Self::max_size_per_msg). It bounds
    /// throughput to one such window a round trip. Default 0: no limit.
    pub max_inflight_bytes: u64,
    /// Whether a leader that has not heard of a quorum for an election timeout steps down. Default false.
    pub check_quorum: bool,
    /// Whether a node asks whether it could win before it raises its term (thesis §9.6): one that comes back from a partition does not disturb. Default false.
    pub pre_vote: bool,
    /// How read-only requests are answered. Default [`ReadOnlyOption::Safe`].
    pub read_only_option: ReadOnlyOption,
    /// Whether followers drop proposals instead of forwarding them to the leader. Default false.
    pub disable_proposal_forwarding: bool,
    /// Whether configuration changes are appended without a look at the active configuration. For applications that check by
    /// themselves only. Default false.
    pub disable_conf_change_validation: bool,
    /// Whether a leader merges its appends: those to a peer wait until the driver asks for what is pending, and leave as one MsgApp (of at most
    /// [`max_size_per_msg`](Self::max_size_per_msg)) instead of one for every proposal, acknowledgement and change of the commit index. It
    /// saves most of the messages under load; etcd has no such option. Default false.
    pub batch_append: bool,
    /// Whether a leader that is removed from the group or demoted steps down. Default false, as in Go: it leads on until another is elected.
    pub step_down_on_removal: bool,
}

impl Config {
    /// The defaults, for a node of this id with this seed.
    #[must_use]
    pub const fn new(id: u64, seed: u64) -> Self {
        Self {
            id,
            seed,
            election_tick: 10,
            heartbeat_tick: 1,
            applied: 0,
            max_size_per_msg: 1 << 20,
            max_committed_size_per_ready: 0,
            max_uncommitted_entries_size: 0,
            max_inflight_msgs: 256,
            max_inflight_bytes: 0,
            check_quorum: false,
            pre_vote: false,
            read_only_option: ReadOnlyOption::Safe,
            disable_proposal_forwarding: false,
            disable_conf_change_validation: false,
            batch_append: false,
            step_down_on_removal: false,
        }
    }

    /// The configuration with the defaults that depend on other fields filled in.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that will not do.
    #[doc(alias = "validate")]
    pub fn validated(mut self) -> Result<Self, Error> {
        let refuse = |field, reason| Err(Error::Config { field, reason });
        if self.id == NONE {
            return refuse("id", "cannot use none as id");
        }
        if is_local_msg_target(self.id) {
            return refuse("id", "cannot use local target as id");
        }
        if self.heartbeat_tick == 0 {
            return refuse("heartbeat_tick", "heartbeat tick must be greater than 0");
        }
        if self.election_tick <= self.heartbeat_tick {
            return refuse(
                "election_tick",
                "election tick must be greater than heartbeat tick",
            );
        }
        if self.election_tick > 1 << 31 {
            return refuse("election_tick", "election tick must be at most 2^31");
        }
        if self.max_uncommitted_entries_size == 0 {
            self.max_uncommitted_entries_size = NO_LIMIT;
        }
        if self.max_committed_size_per_ready == 0 {
            self.max_committed_size_per_ready = self.max_size_per_msg.max(1);
        }
        if self.max_inflight_msgs == 0 {
            return refuse(
                "max_inflight_msgs",
                "max inflight messages must be greater than 0",
            );
        }
        if self.max_inflight_bytes == 0 {
            self.max_inflight_bytes = NO_LIMIT;
        } else if self.max_inflight_bytes < self.max_size_per_msg {
            return refuse(
                "max_inflight_bytes",
                "max inflight bytes must be >= max message size",
            );
        }
        if self.read_only_option == ReadOnlyOption::LeaseBased && !self.check_quorum {
            return refuse(
                "read_only_option",
                "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased",
            );
        }
        Ok(self)
    }
}
