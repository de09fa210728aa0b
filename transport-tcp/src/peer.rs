//! A peer as its senders see it: a queue in front of a thread. Go: rafthttp/peer.go

use crate::config::Config;
use crate::core::{Core, Report};
use crate::queue::{Pushed, Queue};
use crate::status::{self, Counters, Health, PeerStatus};
use crate::{Error, snapshot};
use parking_lot::Mutex;
use raftpb::{Message, SnapshotStatus};
use slog::warn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A remote node.
pub(crate) struct Peer {
    pub(crate) id: u64,
    /// Tells it from an earlier peer of the same id.
    pub(crate) uid: u64,
    /// Where it is dialled, and how often that changed.
    address: Mutex<(Arc<str>, u64)>,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    pub(crate) health: Health,
    /// A report of unreachability is on its way to the application.
    pub(crate) report_pending: AtomicBool,
    /// A snapshot is on its way to the peer.
    snapshot_under_way: AtomicBool,
}

impl Peer {
    pub(crate) fn new(config: &Config, id: u64, uid: u64, address: &str) -> Arc<Self> {
        Arc::new(Self {
            id,
            uid,
            address: Mutex::new((address.into(), 0)),
            queue: Queue::new(config.queue_messages, config.queue_bytes),
            counters: Counters::default(),
            health: Health::default(),
            report_pending: AtomicBool::new(false),
            snapshot_under_way: AtomicBool::new(false),
        })
    }

    pub(crate) fn address(&self) -> (Arc<str>, u64) {
        self.address.lock().clone()
    }

    /// Changes where it is dialled. False when that is where it is dialled already.
    pub(crate) fn update(&self, address: &str) -> bool {
        let mut a = self.address.lock();
        if &*a.0 == address {
            return false;
        }
        *a = (address.into(), a.1 + 1);
        true
    }

    pub(crate) fn status(&self) -> PeerStatus {
        status::peer_status(
            self.id,
            self.address().0.as_ref().into(),
            self.queue.len(),
            &self.counters,
            &self.health,
        )
    }

    /// A message found no place in the queue.
    #[cold]
    pub(crate) fn dropped(self: &Arc<Self>, core: &Core, pushed: Pushed) {
        status::add(&self.counters.dropped, 1);
        if pushed == (Pushed::Dropped { first: true }) {
            warn!(core.log, "dropped internal Raft message since sending buffer is full";
                "remote-peer-id" => self.id, "remote-peer-active" => self.health.active_since().is_some());
            core.report_unreachable(self);
        }
    }

    /// Sends a snapshot from a thread of its own. One is under way at a time: a second is reported as failed, and the leader tries again later.
    pub(crate) fn send_snapshot(self: &Arc<Self>, core: &Arc<Core>, m: Message) {
        if self.snapshot_under_way.swap(true, Ordering::AcqRel) {
            let busy = Error::Snapshot("another one is under way to this peer".into());
            return self.snapshot_failed(core, &busy);
        }
        let peer = Arc::clone(self);
        let spawned = core.spawn(format!("raft-snap-{}", self.id), move |core| {
            // Also when a callback panics: the leader waits for the report.
            let mut end = SnapshotEnd {
                core,
                peer: &peer,
                result: Err(Error::Snapshot("its thread panicked".into())),
            };
            end.result = snapshot::send(core, &peer, m);
        });
        if let Err(e) = spawned {
            self.snapshot_under_way.store(false, Ordering::Release);
            self.snapshot_failed(core, &e);
        }
    }

    fn snapshot_failed(self: &Arc<Self>, core: &Core, e: &Error) {
        warn!(core.log, "failed to send database snapshot"; "remote-peer-id" => self.id, "error" => %e);
        status::add(&self.counters.snapshots_failed, 1);
        self.health.error(e.to_string());
        core.report_unreachable(self);
        if let Error::Refused(r) = e {
            core.report(Report::Refused(self.id, r.clone()));
        }
        core.report(Report::Snapshot(self.id, SnapshotStatus::Failure));
    }
}

/// Reports how a snapshot ended, whichever way its thread ends.
struct SnapshotEnd<'a> {
    core: &'a Arc<Core>,
    peer: &'a Arc<Peer>,
    result: Result<(), Error>,
}

impl Drop for SnapshotEnd<'_> {
    fn drop(&mut self) {
        // Free before the report: the leader may send the next one from it.
        self.peer.snapshot_under_way.store(false, Ordering::Release);
        match &self.result {
            Ok(()) => {
                status::add(&self.peer.counters.snapshots_sent, 1);
                self.core
                    .report(Report::Snapshot(self.peer.id, SnapshotStatus::Finish));
            }
            Err(e) => self.peer.snapshot_failed(self.core, e),
        }
    }
}
