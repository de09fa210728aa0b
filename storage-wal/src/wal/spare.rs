//! Spare segments, filled with zeros and synced before they are needed. Go: none (file_pipeline.go keeps one that is only reserved)
//!
//! Their names end in `.tmp`, which etcd and our readers pass over; opening for writing removes what was left of them, since one that a cut had begun to write
//! may hold a segment's head. Purged segments are not filled anew: a reader may still hold one, here or in another process.

use super::*;
use crate::vfs::Vfs;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Written, and synced, at a time: what a closing log waits for at most.
const PIECE: u64 = 1 << 20;

/// A file that holds nothing but zeros, durably, and where it is.
type Spare = (PathBuf, Box<dyn VfsFile>);

/// The spares that are ready.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Spare>,
    /// How many were begun: none has the name of one before.
    begun: u64,
    /// A thread is at it.
    making: bool,
    /// No more are made, nor kept.
    closed: bool,
}

impl Shelf {
    fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    fn take(&self) -> Option<Spare> {
        self.0.lock().ready.pop_front()
    }

    /// The number of the next that is to be made; `None` when there are enough, and then nobody is making any.
    fn begin(&self, wanted: usize) -> Option<u64> {
        let mut s = self.0.lock();
        s.making = !s.closed && s.ready.len() < wanted;
        s.begun += 1;
        s.making.then_some(s.begun)
    }

    fn put(&self, vfs: &dyn Vfs, spare: Spare) {
        let mut s = self.0.lock();
        if s.closed {
            let _ = vfs.remove_file(&spare.0);
        } else {
            s.ready.push_back(spare);
        }
    }

    /// Frees the space of all spares for something that needs it more; no more are made until the log is opened again. False when there was none.
    pub(crate) fn give_up(&self, vfs: &dyn Vfs) -> bool {
        let ready = {
            let mut s = self.0.lock();
            s.closed = true;
            std::mem::take(&mut s.ready)
        };
        for (path, _) in &ready {
            let _ = vfs.remove_file(path);
        }
        !ready.is_empty()
    }
}

/// The thread that makes spares. Dropping it waits for it: nothing is written into a directory that may be opened anew.
#[derive(Debug, Default)]
pub(super) struct Maker(Option<(Arc<Shared>, JoinHandle<()>)>);

impl Drop for Maker {
    fn drop(&mut self) {
        if let Some((shared, thread)) = self.0.take() {
            shared.spares.0.lock().closed = true;
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Wal {
    /// Fills the rest of the segment being written with zeros, makes the spares, and syncs them all.
    pub(super) fn prepare_spares(&mut self) -> Result<(), Error> {
        if self.options.spares == 0 {
            return Ok(());
        }
        let path = &self.tail.path;
        let len = self
            .tail
            .file
            .len()
            .map_err(|e| Error::io("measure", path, e))?;
        match fill(self.tail.file.as_ref(), path, self.offset, len, || true) {
            Ok(_) => self.zeroed = len,
            // The spares will not fit either; the log itself can still be opened.
            Err(Error::NoSpace { .. }) => return Ok(()),
            Err(e) => return Err(e),
        }
        make_all(&self.shared, &self.options, &self.dir, || true);
        Ok(())
    }

    pub(super) fn take_spare(&self) -> Option<Spare> {
        self.shared.spares.take()
    }

    /// Has what is missing made in the background, in pauses.
    pub(super) fn top_up_spares(&mut self) {
        let Some(after) = self.options.spare_after else {
            return;
        };
        {
            let s = &mut *self.shared.spares.0.lock();
            if s.making || s.closed || s.ready.len() >= self.options.spares {
                return;
            }
            s.making = true;
        }
        let (shared, options, dir) = (
            Arc::clone(&self.shared),
            self.options.clone(),
            self.dir.clone(),
        );
        let run = move || {
            let mut seen = None;
            make_all(&shared, &options, &dir, || {
                wait_for_pause(&shared, &mut seen, after)
            });
        };
        match thread::Builder::new().name("wal-spare".into()).spawn(run) {
            // The one before has ended.
            Ok(thread) => self.maker.0 = Some((Arc::clone(&self.shared), thread)),
            // The next cut tries again.
            Err(_) => self.shared.spares.0.lock().making = false,
        }
    }
}

/// Waits until nothing was written for `after`. False once no more spares are wanted.
fn wait_for_pause(shared: &Shared, seen: &mut Option<u64>, after: Duration) -> bool {
    loop {
        if shared.spares.is_closed() {
            return false;
        }
        let now = shared.counters.records.load(Ordering::Relaxed);
        if *seen == Some(now) {
            return true;
        }
        *seen = Some(now);
        thread::park_timeout(after);
    }
}

/// Makes spares until there are as many as wanted, each piece of them once `go_on` says so. They are only for speed: one that fails is the last.
fn make_all(shared: &Shared, o: &Options, dir: &Path, mut go_on: impl FnMut() -> bool) {
    while let Some(number) = shared.spares.begin(o.spares) {
        let path = dir.join(format!("{SPARE}{number}.tmp"));
        match make(o, &path, &mut go_on) {
            Ok(Some(file)) => shared.spares.put(o.vfs.as_ref(), (path, file)),
            Ok(None) => {
                let _ = o.vfs.remove_file(&path);
            }
            Err(e) => {
                let _ = o.vfs.remove_file(&path);
                shared.spares.0.lock().closed = true;
                warn!(o.logger, "no more spare segments are made"; "error" => %e);
            }
        }
    }
}

fn make(
    o: &Options,
    path: &Path,
    go_on: impl FnMut() -> bool,
) -> Result<Option<Box<dyn VfsFile>>, Error> {
    let file = o
        .vfs
        .open(path, Mode::Create)
        .map_err(|e| Error::io("create", path, e))?;
    file.allocate(o.segment_size)
        .map_err(|e| Error::io("allocate", path, e))?;
    let whole = fill(file.as_ref(), path, 0, o.segment_size, go_on)?;
    Ok(whole.then_some(file))
}

/// Writes zeros over `from..to` and syncs them, piece by piece. False when `go_on` said no.
fn fill(
    file: &dyn VfsFile,
    path: &Path,
    from: u64,
    to: u64,
    mut go_on: impl FnMut() -> bool,
) -> Result<bool, Error> {
    let zeros = vec![0; usize::try_from(PIECE.min(to.saturating_sub(from))).unwrap_or(0)];
    let mut at = from;
    while at < to {
        if !go_on() {
            return Ok(false);
        }
        let n = PIECE.min(to - at);
        let piece = zeros
            .get(..usize::try_from(n).unwrap_or(0))
            .unwrap_or_default();
        write_all_at(file, piece, at).map_err(|e| Error::io("write", path, e))?;
        file.sync().map_err(|e| Error::io_fatal("sync", path, e))?;
        at += n;
    }
    Ok(true)
}

/// Removes the spares that an earlier process left.
pub(super) fn remove_spares(vfs: &dyn Vfs, dir: &Path) -> Result<(), Error> {
    let names = vfs
        .read_dir(dir)
        .map_err(|e| Error::io("read directory", dir, e))?;
    let is_spare = |n: &&str| n.starts_with(SPARE) && n.ends_with(".tmp");
    for name in names
        .iter()
        .filter_map(|n| OsStr::to_str(n))
        .filter(is_spare)
    {
        let path = dir.join(name);
        vfs.remove_file(&path)
            .map_err(|e| Error::io("remove", &path, e))?;
    }
    Ok(())
}
