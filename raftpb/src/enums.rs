//! The schema's enums; Display prints etcd's names. Go: raftpb/raft.pb.go

use prost::UnknownEnumValue;
use std::fmt;

/// Declares an enum with its wire numbers and the names that etcd prints.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal, $text:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $number,)+ }

        impl $name {
            /// All variants, in the order of their wire numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that etcd prints and the schema uses.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        /// From the wire number; an unknown one is an error and never the zero variant.
        impl TryFrom<i32> for $name {
            type Error = UnknownEnumValue;
            fn try_from(number: i32) -> Result<Self, UnknownEnumValue> {
                match number { $($number => Ok(Self::$variant),)+ _ => Err(UnknownEnumValue(number)) }
            }
        }

        impl From<$name> for i32 {
            fn from(v: $name) -> i32 { v as i32 }
        }
    };
}

wire_enum! {
    /// What an [`Entry`](crate::Entry)'s data is. Go: EntryType
    EntryType {
        /// Data is the application's.
        #[default]
        #[doc(alias = "EntryNormal")]
        Normal = 0, "EntryNormal";
        /// Data is a [`ConfChange`](crate::ConfChange).
        #[doc(alias = "EntryConfChange")]
        ConfChange = 1, "EntryConfChange";
        /// Data is a [`ConfChangeV2`](crate::ConfChangeV2); empty data is one that leaves a joint configuration.
        #[doc(alias = "EntryConfChangeV2")]
        ConfChangeV2 = 2, "EntryConfChangeV2";
    }
}

wire_enum! {
    /// What a [`Message`](crate::Message) asks or answers. Go: MessageType
    ///
    /// The types marked *local* never cross the network: see [`is_local_msg`](crate::is_local_msg).
    ///
    /// ```
    /// use tickraft_raftpb::MessageType;
    /// assert_eq!(MessageType::try_from(3), Ok(MessageType::MsgApp));
    /// assert_eq!(MessageType::MsgApp.to_string(), "MsgApp");
    /// assert!(MessageType::try_from(24).is_err());
    /// ```
    MessageType {
        /// Local: campaign.
        #[default]
        MsgHup = 0, "MsgHup";
        /// Local: the leader's time to send heartbeats.
        MsgBeat = 1, "MsgBeat";
        /// Entries to append to the leader's log.
        MsgProp = 2, "MsgProp";
        /// The leader's entries for a follower (AppendEntries).
        MsgApp = 3, "MsgApp";
        /// The answer to `MsgApp` and `MsgSnap`.
        MsgAppResp = 4, "MsgAppResp";
        /// A candidate asks for a vote (RequestVote).
        MsgVote = 5, "MsgVote";
        /// The answer to `MsgVote`.
        MsgVoteResp = 6, "MsgVoteResp";
        /// The leader's snapshot for a follower that is behind its log (InstallSnapshot).
        MsgSnap = 7, "MsgSnap";
        /// The leader is alive, and so far is committed.
        MsgHeartbeat = 8, "MsgHeartbeat";
        /// The answer to `MsgHeartbeat`.
        MsgHeartbeatResp = 9, "MsgHeartbeatResp";
        /// Local: the last message to a peer could not be delivered.
        MsgUnreachable = 10, "MsgUnreachable";
        /// Local: how the sending of a snapshot ended.
        MsgSnapStatus = 11, "MsgSnapStatus";
        /// Local: the leader's time to count its active followers.
        MsgCheckQuorum = 12, "MsgCheckQuorum";
        /// Hand leadership to the sender.
        MsgTransferLeader = 13, "MsgTransferLeader";
        /// Campaign at once: the leader hands over.
        MsgTimeoutNow = 14, "MsgTimeoutNow";
        /// Ask for an index at which a read is linearizable.
        MsgReadIndex = 15, "MsgReadIndex";
        /// The answer to `MsgReadIndex`.
        MsgReadIndexResp = 16, "MsgReadIndexResp";
        /// Would you vote for me? (Thesis 9.6)
        MsgPreVote = 17, "MsgPreVote";
        /// The answer to `MsgPreVote`.
        MsgPreVoteResp = 18, "MsgPreVoteResp";
        /// Local: what to write to the log, for the append thread.
        MsgStorageAppend = 19, "MsgStorageAppend";
        /// Local: the append thread has written.
        MsgStorageAppendResp = 20, "MsgStorageAppendResp";
        /// Local: committed entries, for the apply thread.
        MsgStorageApply = 21, "MsgStorageApply";
        /// Local: the apply thread has applied.
        MsgStorageApplyResp = 22, "MsgStorageApplyResp";
        /// Forget the leader without campaigning.
        MsgForgetLeader = 23, "MsgForgetLeader";
    }
}

wire_enum! {
    /// How a [`ConfChangeV2`](crate::ConfChangeV2) is carried out. Go: ConfChangeTransition
    ConfChangeTransition {
        /// The simple protocol where one change allows it, else as `JointImplicit`.
        #[default]
        #[doc(alias = "ConfChangeTransitionAuto")]
        Auto = 0, "ConfChangeTransitionAuto";
        /// Joint consensus, left automatically once it is safe.
        #[doc(alias = "ConfChangeTransitionJointImplicit")]
        JointImplicit = 1, "ConfChangeTransitionJointImplicit";
        /// Joint consensus, left when the application proposes an empty `ConfChangeV2`.
        #[doc(alias = "ConfChangeTransitionJointExplicit")]
        JointExplicit = 2, "ConfChangeTransitionJointExplicit";
    }
}

wire_enum! {
    /// What happens to one node. Go: ConfChangeType
    ConfChangeType {
        /// Becomes a voter.
        #[default]
        #[doc(alias = "ConfChangeAddNode")]
        AddNode = 0, "ConfChangeAddNode";
        /// Leaves the configuration.
        #[doc(alias = "ConfChangeRemoveNode")]
        RemoveNode = 1, "ConfChangeRemoveNode";
        /// Changes nothing in the core; the application's context (an address, say) changed.
        #[doc(alias = "ConfChangeUpdateNode")]
        UpdateNode = 2, "ConfChangeUpdateNode";
        /// Becomes a learner, which receives the log and does not vote.
        #[doc(alias = "ConfChangeAddLearnerNode")]
        AddLearnerNode = 3, "ConfChangeAddLearnerNode";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_unknown_ones_are_refused() {
        for (i, t) in MessageType::ALL.iter().enumerate() {
            let number = i32::try_from(i).unwrap();
            assert_eq!(i32::from(*t), number);
            assert_eq!(MessageType::try_from(number), Ok(*t));
        }
        assert_eq!(MessageType::ALL.len(), 24);
        for bad in [-1, 24, i32::MAX] {
            assert_eq!(MessageType::try_from(bad), Err(UnknownEnumValue(bad)));
        }
        assert!(EntryType::try_from(3).is_err());
        assert!(ConfChangeType::try_from(4).is_err());
        assert!(ConfChangeTransition::try_from(3).is_err());
    }

    #[test]
    fn names_are_the_schemas() {
        assert_eq!(EntryType::ConfChangeV2.to_string(), "EntryConfChangeV2");
        assert_eq!(MessageType::MsgForgetLeader.to_string(), "MsgForgetLeader");
        assert_eq!(
            ConfChangeType::AddLearnerNode.as_str(),
            "ConfChangeAddLearnerNode"
        );
        assert_eq!(
            ConfChangeTransition::Auto.as_str(),
            "ConfChangeTransitionAuto"
        );
    }
}
