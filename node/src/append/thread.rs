//! What the append thread does. Go: doc.go (AsyncStorageWrites)

use super::{AppendHost, AppendOptions, Shared};
use crate::error::Error;
use crate::node::Node;
use crate::run::panic_text;
use rawnode::raft::raftpb::{Message, MessageType};
use rawnode::raft::slog::{info, warn};
use rawnode::raft::storage::{self, Write, Writer};
use rawnode::{AppendWork, AsyncWrites};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

pub(super) struct AppendLoop<W, H> {
    node: Node<AsyncWrites>,
    writer: W,
    host: H,
    works: Receiver<AppendWork>,
    shared: Arc<Shared>,
    options: AppendOptions,
    /// The last entry that the node was told is written, and in which term it asked: term, log term, index.
    attested: (u64, u64, u64),
}

/// Why the thread ends.
enum End {
    /// It is being stopped, or the node has ended.
    Over,
    /// The node has yet to end of this.
    Failed(storage::Error),
}

impl From<storage::Error> for End {
    fn from(e: storage::Error) -> Self {
        Self::Failed(e)
    }
}

impl<W: Writer, H: AppendHost> AppendLoop<W, H> {
    pub(super) fn new(
        node: Node<AsyncWrites>,
        writer: W,
        host: H,
        works: Receiver<AppendWork>,
        shared: Arc<Shared>,
        options: AppendOptions,
    ) -> Self {
        Self {
            node,
            writer,
            host,
            works,
            shared,
            options,
            attested: (0, 0, 0),
        }
    }

    /// The thread's life, whatever ends it.
    pub(super) fn main(mut self) {
        // Outside of what may panic: a work that is dropped before the node has ended would hide why it ends.
        let mut batch = VecDeque::new();
        let caught = catch_unwind(AssertUnwindSafe(|| self.run(&mut batch)));
        match caught {
            Ok(Ok(()) | Err(End::Over)) => {}
            Ok(Err(End::Failed(e))) => self.node.fail(e),
            Err(panic) => {
                let what = format!("the append thread panicked: {}", panic_text(&*panic));
                self.node.fail(storage::Error::other(what));
            }
        }
        // In this order: then nothing more comes there.
        drop(self.works);
        self.shared.overflow.lock().clear();
    }

    /// Returns when the handle has let go of the queue and it is empty.
    fn run(&mut self, batch: &mut VecDeque<AppendWork>) -> Result<(), End> {
        while let Ok(first) = self.works.recv() {
            batch.push_back(first);
            {
                // Locked first: else one work could come into the queue after this has looked there, and the next, finding no room, here.
                let mut overflow = self.shared.overflow.lock();
                batch.extend(self.works.try_iter());
                batch.extend(overflow.drain(..));
            }
            self.write(batch)?;
        }
        Ok(())
    }

    /// Writes a batch and empties it.
    fn write(&mut self, batch: &mut VecDeque<AppendWork>) -> Result<(), End> {
        let (mut written, mut must_sync) = (0, false);
        while let Some(work) = batch.get(written) {
            self.check()?;
            let w = work.write();
            let appended = match w.is_empty() {
                true => Ok(()),
                false => self.writer.append(w),
            };
            match appended {
                Ok(()) => {
                    must_sync |= w.must_sync;
                    written += 1;
                }
                // Those before it need not wait for room.
                Err(storage::Error::NoSpace) if written > 0 => {
                    self.sync_and_finish(batch, written, must_sync)?;
                    (written, must_sync) = (0, false);
                }
                Err(storage::Error::NoSpace) => {
                    must_sync |= w.must_sync;
                    self.append_when_there_is_room(batch)?;
                    written = 1;
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.sync_and_finish(batch, written, must_sync)
    }

    fn append_when_there_is_room(&mut self, batch: &VecDeque<AppendWork>) -> Result<(), End> {
        let none = Write::default();
        let w = batch.front().map_or(&none, AppendWork::write);
        self.wait_for_room(|writer| writer.append(w))
    }

    fn sync_and_finish(
        &mut self,
        batch: &mut VecDeque<AppendWork>,
        written: usize,
        must_sync: bool,
    ) -> Result<(), End> {
        if must_sync {
            match self.writer.sync() {
                Ok(()) => {}
                Err(storage::Error::NoSpace) => self.wait_for_room(Writer::sync)?,
                Err(e) => return Err(e.into()),
            }
            self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        }
        self.finish(batch, written)
    }

    /// Says of the first so many works that they are done. To peers first: their acknowledgements are what others wait for.
    fn finish(&mut self, batch: &mut VecDeque<AppendWork>, written: usize) -> Result<(), End> {
        self.check()?;
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        let id = self.node.id();
        for _ in 0..written {
            // It stays in the batch until nothing can fail.
            if let Some(snapshot) = batch.front().and_then(|w| w.write().snapshot.as_ref()) {
                // What was done before it does not wait for it.
                self.deliver(&mut own, &mut theirs);
                self.host.install(snapshot)?;
            }
            let mut responses = batch.pop_front().map(AppendWork::done).unwrap_or_default();
            let to_self = responses.extract_if(.., |m| m.to == id);
            own.extend(to_self.filter(|m| self.is_news(m)));
            theirs.append(&mut responses);
            self.shared.works.fetch_add(1, Ordering::Relaxed);
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        }
        self.deliver(&mut own, &mut theirs);
        Ok(())
    }

    /// A work without entries attests the same last entry as those under way beside it. Within a term nothing can have come in its place, so it need not be said again; the core would look
    /// for it in vain, and log that as etcd does.
    fn is_news(&mut self, m: &Message) -> bool {
        if m.msg_type != MessageType::MsgStorageAppendResp || m.snapshot.is_some() {
            return true;
        }
        let entry = (m.term, m.log_term, m.index);
        std::mem::replace(&mut self.attested, entry) != entry
    }

    fn deliver(&mut self, own: &mut Vec<Message>, theirs: &mut Vec<Message>) {
        if !theirs.is_empty() {
            self.host.send(std::mem::take(theirs));
        }
        // An error says that the node has ended; the next look at it tells how.
        let _ = self.node.step_all(own.drain(..));
    }

    /// A node that was stopped leaves a log that is as good as ever; one that ended otherwise may not.
    fn check(&self) -> Result<(), End> {
        match self.node.ended() {
            None | Some(Error::Stopped) => Ok(()),
            Some(_) => Err(End::Over),
        }
    }

    /// Repeats a call until the disk has room for it.
    fn wait_for_room(
        &mut self,
        call: impl Fn(&mut W) -> Result<(), storage::Error>,
    ) -> Result<(), End> {
        let logger = self.node.logger().clone();
        warn!(
            logger,
            "raft.node: {:x} no space left, writes wait",
            self.node.id()
        );
        self.set_full(true);
        let mut pause = self.options.retry;
        loop {
            if self.shared.pause(pause) || self.node.ended().is_some() {
                return Err(End::Over);
            }
            match call(&mut self.writer) {
                Ok(()) => break,
                Err(storage::Error::NoSpace) => {
                    pause = next_pause(pause, self.options.retry_max);
                }
                Err(e) => return Err(e.into()),
            }
        }
        info!(
            logger,
            "raft.node: {:x} there is space again",
            self.node.id()
        );
        self.set_full(false);
        Ok(())
    }

    fn set_full(&mut self, full: bool) {
        self.shared.full.store(full, Ordering::Release);
        self.host.space(full);
    }
}

fn next_pause(pause: Duration, longest: Duration) -> Duration {
    pause.saturating_mul(2).min(longest)
}
