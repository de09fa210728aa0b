//! Raft peers over TCP: framed, checksummed, with snapshots on connections of their own. Go: server/etcdserver/api/rafthttp
//!
//! **Use this crate** to carry [`raftpb::Message`]s between the nodes of a cluster: it needs only the message types, knows nothing of a node, and brings no
//! runtime. It is made of threads: for each peer one that writes, one that watches for its answers and one that reads what it sends, and two for all.
//! **Do not use it** where connections must be encrypted or authenticated by the transport itself, or to serve clients.
//!
//! [`Transport::send`] never waits. Each peer has a bounded queue and a connection of its own, so a slow or dead one holds up nobody; what finds no place is
//! dropped and [reported](Handler::report_unreachable). A snapshot goes on a further connection, in pieces, so that it delays no heartbeat, and its
//! [body](Handler::snapshot_body) may come straight from the state machine. What comes from outside is checked: every connection opens with a [`handshake`],
//! and every frame ([`frame`]) has a length that is checked before memory is taken for it, and a checksum. Both pages describe the bytes precisely enough to write a
//! peer in another language.
//!
//! # What peers are trusted for
//!
//! Connections are **plain TCP**: whoever can reach the port and knows the cluster id and a member's id is taken for that member, and can read and change everything. Keep the port on a
//! private network, or inside a tunnel. What the crate guards against is error, not malice: wrong addresses, other clusters, old configurations, removed members,
//! port scanners, broken bytes, peers that hang. An admitted peer may cost up to these much:
//!
//! | what | limit |
//! |---|---|
//! | a frame's memory, a connection | [`Config::max_message_bytes`], 64 MiB; taken as announced |
//! | a snapshot's memory, a peer | [`Config::max_snapshot_bytes`], 1 GiB; taken as announced (pages are touched only as bytes come) |
//! | what waits to be sent to it | [`Config::queue_messages`] and twice [`Config::queue_bytes`] |
//! | connections from it | one for messages, one for a snapshot; a newer one cuts the older |
//! | connections in their handshake, all together | [`Config::max_handshakes`], 64, for [`Config::handshake_timeout`] each |
//! | a thread that its messages occupy | as long as [`Handler::process`] takes |
//!
//! A received payload is a view of the block it was read into (128 KiB, or the frame if that is longer) and keeps it alive: copy what you keep for long.
//!
//! # Two nodes
//!
//! ```
//! use std::sync::Arc;
//! use tickraft_transport_tcp::raftpb::{Message, MessageType, SnapshotStatus};
//! use tickraft_transport_tcp::{BoxError, Config, Handler, Transport, slog};
//!
//! /// Hands messages to whoever waits for them; a real one steps them into its node.
//! struct Inbox(std::sync::mpsc::SyncSender<Message>);
//!
//! impl Handler for Inbox {
//!     fn process(&self, m: Message) -> Result<(), BoxError> {
//!         Ok(self.0.send(m)?)
//!     }
//!     fn is_id_removed(&self, _id: u64) -> bool {
//!         false
//!     }
//!     fn report_unreachable(&self, _id: u64) {}
//!     fn report_snapshot(&self, _id: u64, _status: SnapshotStatus) {}
//! }
//!
//! let log = slog::Logger::root(slog::Discard, slog::o!());
//! let start = |id| {
//!     let (inbox, received) = std::sync::mpsc::sync_channel(16);
//!     let t = Transport::bind(Config::new(7, id), "127.0.0.1:0", Arc::new(Inbox(inbox)), &log)?;
//!     Ok::<_, tickraft_transport_tcp::Error>((t, received))
//! };
//! let (one, _) = start(1)?;
//! let (two, received) = start(2)?;
//! one.add_peer(2, &two.local_addr().to_string())?;
//! two.add_peer(1, &one.local_addr().to_string())?;
//!
//! let m = Message { to: 2, from: 1, term: 3, ..Message::new(MessageType::MsgHeartbeat) };
//! one.send([m.clone()]);
//! assert_eq!(received.recv().unwrap(), m);
//! assert!(one.active_since(2).is_some());
//! # Ok::<(), tickraft_transport_tcp::Error>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod config;
mod core;
mod dial;
mod error;
pub mod frame;
mod handler;
pub mod handshake;
mod listener;
mod outgoing;
mod peer;
mod queue;
mod reader;
mod snapshot;
mod sockets;
mod status;
mod transport;
mod writer;

pub use config::{Config, Session};
pub use dial::ask;
pub use error::{BoxError, Error, Refusal};
pub use handler::Handler;
pub use handshake::{Answer, Hello, Kind};
pub use snapshot::{SnapshotBody, SnapshotSource};
pub use status::{PeerStatus, Refusals, Status};
pub use transport::Transport;

// In the signatures of this crate, so re-exported: users need no second Cargo.toml line and no version to match.
pub use raftpb;
pub use slog;
