//! The log, part by part. Go: log_test.go

mod applying;
mod bounds;
mod matching;
mod reads;
mod storages;
mod writing;

use super::*;
use crate::raftpb::{EntryType, NO_LIMIT, SnapshotMetadata};
use crate::rand::Rng;
use slog::{Discard, o};
use std::panic::{AssertUnwindSafe, catch_unwind};
use storage_mem::MemoryStorage;

type Log = RaftLog<MemoryStorage>;

fn log_of(storage: MemoryStorage, max_applying: u64) -> Log {
    RaftLog::new(storage, Logger::root(Discard, o!()), max_applying).unwrap()
}

fn ents(first: u64, terms: &[u64]) -> Entries {
    (first..)
        .zip(terms)
        .map(|(i, &t)| Entry::new(t, i, ""))
        .collect()
}

fn terms(e: &Entries) -> Vec<u64> {
    e.iter().map(|e| e.term).collect()
}

/// A log whose entries are all unstable.
fn log(terms: &[u64]) -> Log {
    let mut l = log_of(MemoryStorage::new(), NO_LIMIT);
    l.append(ents(1, terms));
    l
}

/// A log behind a compaction at `offset` of term 1, `stable` of whose entries are in the storage.
fn mixed_log(offset: u64, terms: &[u64], stable: usize) -> Log {
    let s = MemoryStorage::new();
    let metadata = SnapshotMetadata {
        index: offset,
        term: offset.min(1),
        ..SnapshotMetadata::default()
    };
    let snapshot = Snapshot {
        metadata,
        ..Snapshot::default()
    };
    s.apply_snapshot(&snapshot).unwrap();
    s.append(&ents(offset + 1, &terms[..stable])).unwrap();
    let mut l = log_of(s, NO_LIMIT);
    for e in &ents(offset + 1 + stable as u64, &terms[stable..]) {
        l.push(e.clone());
    }
    l
}

/// Written and acknowledged.
fn write(l: &mut Log) {
    let ents = l.next_unstable_ents();
    l.storage.append(&ents).unwrap();
    l.accept_unstable();
    l.stable_to(l.last_entry_id());
}

/// A storage behind a snapshot of this index and term.
fn behind(index: u64, term: u64) -> MemoryStorage {
    let metadata = SnapshotMetadata {
        index,
        term,
        ..SnapshotMetadata::default()
    };
    let s = MemoryStorage::new();
    let snapshot = Snapshot {
        metadata,
        ..Snapshot::default()
    };
    s.apply_snapshot(&snapshot).unwrap();
    s
}

/// Entries whose terms are their indexes, and whose type is written out.
fn own_terms(indexes: std::ops::Range<u64>) -> Entries {
    let entry = |i| Entry {
        entry_type: Some(EntryType::Normal),
        ..Entry::new(i, i, "")
    };
    indexes.map(entry).collect()
}

/// Whether a debug build refuses to do this, which no caller does.
fn refuses(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}
