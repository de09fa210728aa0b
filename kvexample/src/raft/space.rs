//! A full disk: nothing new is taken on, and all else goes on. Go: no counterpart (etcd has quotas and the NOSPACE alarm)
//!
//! What was accepted before, terms and votes fit what the log holds back. Messages with entries are not stepped, so they stay unacknowledged and come again;
//! proposals are refused with a reason. Heartbeats and reads need no room. Writes go on as soon as there is room again.

use super::Shared;
use crate::error::Failure;
use raftpb::{Message, MessageType};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage_wal::Space;

/// How often a full disk is looked at.
const LOOK: Duration = Duration::from_millis(200);

impl Shared {
    pub(super) fn is_disk_full(&self) -> bool {
        self.waits_for_room.load(Ordering::Acquire) || self.disk.space() != Space::Ample
    }

    /// A follower needs no room to pass a proposal on.
    ///
    /// # Errors
    /// [`Failure::DiskFull`].
    pub(super) fn check_space(&self) -> Result<(), Failure> {
        match self.leadership.borrow().lead == self.id && self.is_disk_full() {
            true => Err(Failure::DiskFull(self.id)),
            false => Ok(()),
        }
    }
}

/// Whether the message would have to be written.
pub(super) fn brings_entries(m: &Message) -> bool {
    match m.msg_type {
        MessageType::MsgApp => !m.entries.is_empty(),
        MessageType::MsgSnap | MessageType::MsgProp => true,
        _ => false,
    }
}

/// Without writes nobody would notice that there is room again.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut exit = shared.exit.subscribe();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = exit.wait_for(Option::is_some) => return,
        }
        let full = shared.disk.get().filter(|d| d.space() != Space::Ample);
        if let Some(disk) = full {
            // It waits for a write under way.
            let looked = tokio::task::spawn_blocking(move || disk.check_space()).await;
            if looked.is_ok_and(|s| s == Space::Ample) {
                slog::info!(shared.log, "there is room on the disk again");
            }
        }
    }
}
