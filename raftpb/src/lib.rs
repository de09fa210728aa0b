//! Raft's message types, byte for byte those of etcd's raft.proto. Go: raftpb/, util.go
//!
//! **Use this crate** to speak etcd-io/raft's wire format, or to write a transport or a storage for [tickraft].
//! **Do not** look here for behaviour: the core is the crate `tickraft`, and nothing here keeps state.
//!
//! The types are written by hand on prost's [`Message`](prost::Message) trait, because generated code can neither reject an
//! unknown enum number nor hold [`Entries`]. Decoding a [`bytes::Bytes`] copies no payload: what was decoded keeps the
//! frame alive, so whoever keeps a payload for long copies it out.
//!
//! Encoding and sizes are v3.7's, because size limits count them: see each type for what is always written and what only when set.
//! Decoding accepts what both generations of etcd's encoder write. An enum number that is not in the schema is a decode error, never
//! the zero variant (zero is [`MessageType::MsgHup`], which would start an election).
//!
//! ```
//! use prost::Message as _;
//! use tickraft_raftpb::{Entry, Message, MessageType};
//!
//! let m = Message {
//!     msg_type: MessageType::MsgApp,
//!     to: 2,
//!     from: 1,
//!     term: 3,
//!     entries: vec![Entry::new(3, 7, "set x=1")].into(),
//!     ..Message::default()
//! };
//! let wire = bytes::Bytes::from(m.encode_to_vec());
//! assert_eq!(Message::decode(wire).unwrap(), m);
//!
//! // type = 99: not in the schema.
//! assert!(Message::decode(&[0x08, 99][..]).is_err());
//! ```
//!
//! [tickraft]: https://docs.rs/tickraft

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codec;
mod confchange;
mod decode;
mod describe;
mod entries;
mod entry;
mod enums;
mod message;
mod packed;
mod state;
mod util;

pub use confchange::{
    ConfChange, ConfChangeError, ConfChangeI, ConfChangeSingle, ConfChangeV2,
    conf_changes_from_string, conf_changes_to_string, marshal_conf_change, unmarshal_conf_change,
};
pub use describe::{
    EntryFormatter, describe_conf_change, describe_conf_state, describe_entries, describe_entry,
    describe_hard_state, describe_message, describe_snapshot, describe_target, go_quote,
};
pub use entries::{Entries, EntriesIter};
pub use entry::Entry;
pub use enums::{ConfChangeTransition, ConfChangeType, EntryType, MessageType};
pub use message::{Message, Responses};
pub use state::{ConfState, ConfStateMismatch, HardState, Snapshot, SnapshotMetadata};
pub use util::{
    LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, NO_LIMIT, NONE, SnapshotStatus, ents_size,
    is_local_msg, is_local_msg_target, is_response_msg, limit_size, payload_size, payloads_size,
    vote_resp_msg_type,
};

// In the signatures of this crate, so re-exported: users need no second Cargo.toml line and no version to match.
pub use bytes;
pub use prost;
