//! A durable Raft log and snapshot files in etcd's on-disk format. Go: server/storage/wal, server/etcdserver/api/snap
//!
//! **Use this crate** to keep a Raft node's log, votes and snapshots on disk: [`DiskStorage`] is a whole node's directory and implements
//! [`storage::Storage`] and [`storage::Writer`]; [`Wal`] and [`Snapshotter`] are its two halves, usable alone. **Do not** use it as a general journal: it
//! replaces entries by index and purges by snapshot, as Raft needs.
//!
//! ```
//! use tickraft_storage_wal::{DiskOptions, DiskStorage};
//! use tickraft_storage_wal::raftpb::{Entry, HardState};
//! use tickraft_storage_wal::storage::{Storage, Write, Writer};
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! # let mut options = DiskOptions { node_id: 1, cluster_id: 7, ..DiskOptions::default() };
//! # (options.wal.segment_size, options.wal.reserve) = (1 << 16, 0);
//!
//! let (mut store, report) = DiskStorage::open(dir, options).unwrap();
//! assert!(!report.bootstrapped);
//! store.append(&Write {
//!     hard_state: Some(HardState { term: 1, vote: 1, commit: 0 }),
//!     entries: vec![Entry::new(1, 1, "set x=1")].into(),
//!     must_sync: true,
//!     ..Write::default()
//! }).unwrap();
//! store.sync().unwrap(); // now, and not before, it survives a power cut
//! assert_eq!(store.last_index().unwrap(), 1);
//! ```
//!
//! # On disk
//!
//! `DIR/member/wal` holds segments whose records etcd reads as its own, `DIR/member/snap` snapshots that are etcd's byte for byte. Each record carries four more
//! protobuf fields that etcd's decoder passes over: a sequence number, the one that was durable before its batch, whether it ends a batch and an epoch, and a checksum that binds
//! the whole frame to its place. Beside the segments `durable.mark` says up to where the log is durable. [`Format::Etcd`] writes none of this.
//!
//! # What is found after a crash
//!
//! All that one [`Wal::sync`] covers is a batch, found whole or not at all; batches whose sync returned are always found. Let M be the highest sequence number proven durable: by the mark, or by
//! any intact record, because a record is written only after the batch before it was synced. Damage up to M is refused ([`Error::Corrupt`]) and nothing is changed. Behind M, an
//! incomplete batch is an unfinished write: it is cut off, reported ([`Torn`]) and kept in a `.broken` file.
//!
//! **The window.** The mark is written after each sync but synced itself only at create, cut, snapshot and close, after each change of term or vote, and after
//! [`Options::idle_mark_sync`] without writes. When the *power* fails (a killed process loses no mark) it may be older than the log. A batch is proven durable by the next one;
//! so what cannot be decided is damage to the **last** batch written before the power cut, within [`Options::idle_mark_sync`] of the last write, or to all batches of that time at once: it looks like an
//! unfinished write and is cut off, reported and kept. Terms and votes have no such window.
//!
//! # Platforms
//!
//! Linux is tier 1: fallocate, and F_OFD_SETLK on each segment as etcd takes it. macOS syncs with F_FULLFSYNC. On Windows a directory cannot be synced: a file made, renamed or removed
//! just before a power cut may be found as before. Where the file system cannot reserve space (fallocate unsupported, or copy-on-write as on btrfs and ZFS), a
//! full disk shows at the write itself, which is retried as well, but [`Options::reserve`] then guarantees nothing, and [`Options::zero_ahead`] and
//! [`Options::spares`] only cost. On 32-bit Linux a segment has at most 2 GiB.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

mod cache;
#[cfg(feature = "cli")]
pub mod cli;
mod crc;
mod disk;
mod dump;
mod encode;
mod error;
mod identity;
mod index;
mod live;
mod mark;
mod options;
mod record;
mod scan;
mod segment;
mod snap;
mod stats;
pub mod vfs;
mod wal;

#[cfg(test)]
mod tests;

pub use disk::{DiskOptions, DiskStorage, OpenReport};
pub use dump::{DumpRecord, dump, export_etcd};
pub use error::Error;
pub use identity::{Identity, PeerRecord, Session};
pub use live::WalReader;
pub use options::{Format, Options};
pub use record::SnapshotMark;
pub use scan::Torn;
pub use segment::SegmentName;
pub use snap::Snapshotter;
pub use stats::{Histogram, Stats};
pub use wal::{Recovered, Space, Wal};

// In the signatures of this crate, so re-exported.
pub use slog;
pub use storage;
pub use storage::raftpb;
