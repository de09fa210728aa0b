//! Taking snapshots and compacting the log, beside the serving. Go: maybeTriggerSnapshot in raft.go

use super::Shared;
use crate::kvstore::State;
use parking_lot::Mutex;
use raftpb::{ConfState, Snapshot, SnapshotMetadata};
use slog::{error, info, warn};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use storage_wal::storage::{Error, Storage, Writer};
use storage_wal::{DiskStorage, Space};

/// How long a full disk is left alone before a snapshot is tried again; only a snapshot lets go of the log.
const FULL_PAUSE: Duration = Duration::from_secs(5);

/// Decides when, and runs one at a time on a thread of its own.
pub(super) struct Snapshots {
    shared: Arc<Shared>,
    storage: DiskStorage,
    /// Where the last one was begun or installed.
    last: u64,
    /// Whether the membership changed since: a node that joined is not in an older snapshot, and would refuse it.
    members_changed: bool,
    running: Option<Running>,
    begun: Option<Instant>,
    /// The last one found no room.
    failed: bool,
}

/// A snapshot that is being taken.
struct Running {
    /// Whether it need not be tried again.
    thread: JoinHandle<bool>,
    at: u64,
    before: u64,
}

impl Snapshots {
    pub(super) fn new(shared: Arc<Shared>, storage: DiskStorage, last: u64) -> Self {
        Self {
            shared,
            storage,
            last,
            members_changed: false,
            running: None,
            begun: None,
            failed: false,
        }
    }

    pub(super) fn members_changed(&mut self) {
        self.members_changed = true;
    }

    /// A leader's snapshot took the log's place.
    pub(super) fn installed(&mut self, index: u64) {
        (self.last, self.members_changed) = (index, false);
        self.shared.snapshot.fetch_max(index, Ordering::AcqRel);
    }

    /// Takes a snapshot when the log grew enough since the last, or the disk is full. The state is cloned here, which shares it; writing it out is the thread's. Go: maybeTriggerSnapshot
    #[doc(alias = "maybeTriggerSnapshot")]
    pub(super) fn maybe_trigger(&mut self, conf: &ConfState) {
        self.conclude();
        let applied = *self.shared.applied.borrow();
        let full = self.failed || self.storage.space() != Space::Ample;
        let due =
            self.storage.wants_snapshot() || self.members_changed && self.is_compacted() || full;
        if !due
            || applied <= self.last
            || self.running.is_some()
            || full && self.begun.is_some_and(|b| b.elapsed() < FULL_PAUSE)
        {
            return;
        }
        let state = self.shared.store.snapshot();
        let (last, conf) = (self.last, conf.clone());
        (self.last, self.members_changed, self.begun) = (applied, false, Some(Instant::now()));
        info!(self.shared.log, "start snapshot"; "applied index" => applied, "last snapshot index" => last);
        let (shared, storage) = (Arc::clone(&self.shared), self.storage.clone());
        let thread = std::thread::Builder::new().name(format!("snapshot-{}", shared.id));
        match thread.spawn(move || take(&shared, storage, &state, conf)) {
            Ok(thread) => {
                self.running = Some(Running {
                    thread,
                    at: applied,
                    before: last,
                });
            }
            // The next try comes with the next batch of entries.
            Err(e) => error!(self.shared.log, "no thread for a snapshot"; "error" => %e),
        }
    }

    /// One that found no room counts as not begun: on a full disk nothing new is applied, so the next try cannot wait for that.
    fn conclude(&mut self) {
        let Some(done) = self.running.take_if(|r| r.thread.is_finished()) else {
            return;
        };
        // A panic was reported by the thread itself.
        self.failed = !done.thread.join().unwrap_or(true);
        if self.failed && self.last == done.at {
            self.last = done.before;
        }
    }

    /// Whether a node that joins needs a snapshot at all: a whole log would do.
    fn is_compacted(&self) -> bool {
        self.storage.first_index().is_ok_and(|first| first > 1)
    }
}

impl Drop for Snapshots {
    /// The storage is free only when no snapshot is being written.
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // A panic was reported by the thread itself.
            let _ = running.thread.join();
        }
    }
}

/// False when there was no room for it.
fn take(shared: &Shared, mut storage: DiskStorage, state: &State, conf_state: ConfState) -> bool {
    let (index, term) = (state.index(), state.term());
    let snapshot = Snapshot {
        data: state.encode().into(),
        metadata: SnapshotMetadata {
            conf_state,
            index,
            term,
        },
    };
    let bytes = snapshot.data.len();
    let saved = storage.save_snapshot(&snapshot).and_then(|()| {
        shared.snapshot.fetch_max(index, Ordering::AcqRel);
        let Some(keep) = storage.compact_index() else {
            return Ok(());
        };
        match shared
            .sending
            .oldest(Instant::now())
            .map_or(keep, |i| i.min(keep))
        {
            0 => Ok(()),
            compact => storage.compact(compact),
        }
    });
    match saved {
        Ok(()) => info!(shared.log, "saved snapshot"; "index" => index, "bytes" => bytes),
        // A leader's newer snapshot came in between, or the log is that short already.
        Err(Error::SnapshotOutOfDate | Error::Compacted) => {}
        Err(Error::NoSpace) => {
            warn!(
                shared.log,
                "no space for a snapshot; it will be tried again"
            );
            return false;
        }
        Err(e) => {
            error!(shared.log, "the storage failed, stopping"; "error" => %e);
            shared.node.fail(e);
        }
    }
    true
}

/// How long the entries behind a snapshot are kept after it was delivered; etcd's releaseDelayAfterSnapshot.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Snapshots on their way. The entries that follow one are not compacted, or its receiver would need the next snapshot as soon as it had this one. Go: etcd's inflightSnapshots
#[derive(Debug, Default)]
pub(super) struct Sending(Mutex<BTreeMap<u64, Sent>>);

#[derive(Debug)]
struct Sent {
    index: u64,
    /// When it counts no more; unknown while it is on its way.
    until: Option<Instant>,
}

impl Sending {
    pub(super) fn begin(&self, to: u64, index: u64) {
        self.0.lock().insert(to, Sent { index, until: None });
    }

    pub(super) fn end(&self, to: u64, delivered: bool, now: Instant) {
        let mut all = self.0.lock();
        match all.get_mut(&to) {
            Some(sent) if delivered => sent.until = Some(now + CATCH_UP),
            _ => {
                all.remove(&to);
            }
        }
    }

    /// The index of the oldest one that counts.
    fn oldest(&self, now: Instant) -> Option<u64> {
        let mut all = self.0.lock();
        all.retain(|_, sent| sent.until.is_none_or(|until| until > now));
        all.values().map(|sent| sent.index).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_behind_a_snapshot_is_kept_until_its_receiver_had_time() {
        let (s, now) = (Sending::default(), Instant::now());
        assert_eq!(s.oldest(now), None);
        s.begin(2, 10);
        s.begin(3, 20);
        assert_eq!(s.oldest(now), Some(10));
        s.end(2, false, now);
        assert_eq!(s.oldest(now), Some(20));
        s.end(3, true, now);
        assert_eq!(s.oldest(now), Some(20));
        assert_eq!(s.oldest(now + CATCH_UP), None);
    }
}
