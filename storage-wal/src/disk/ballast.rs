//! A file that is given up when the disk is full. Go: none

use super::*;

impl DiskStorage {
    pub(super) fn ballast(&self) -> PathBuf {
        self.inner.member.join("ballast")
    }

    /// Sets the ballast aside, where there is room for it.
    pub(super) fn make_ballast(&self) {
        let o = &self.inner.options.wal;
        let path = self.ballast();
        if o.ballast == 0 || o.vfs.exists(&path).unwrap_or(true) {
            return;
        }
        let made = o
            .vfs
            .open(&path, Mode::Create)
            .and_then(|f| f.allocate(o.ballast));
        if made.is_err() {
            let _ = o.vfs.remove_file(&path);
        }
    }

    /// Frees the ballast. False when there was none.
    pub(super) fn drop_ballast(&self) -> bool {
        let dropped = self
            .inner
            .options
            .wal
            .vfs
            .remove_file(&self.ballast())
            .is_ok();
        if dropped {
            warn!(
                self.inner.options.wal.logger,
                "no space left: the ballast is given up"
            );
        }
        dropped
    }

    /// Frees the spare segments. False when there were none.
    fn drop_spares(&self) -> bool {
        let vfs = self.inner.options.wal.vfs.as_ref();
        self.inner.reader.shared.spares.give_up(vfs)
    }

    /// Writes a snapshot's file; when the disk is full, in the place of spare segments or the ballast.
    pub(super) fn store_file(&self, s: &Snapshot) -> Result<u64, Error> {
        match self.inner.snap.save_snap(s) {
            // A snapshot may need both.
            Err(Error::NoSpace { .. }) if self.drop_spares() | self.drop_ballast() => {
                self.inner.snap.save_snap(s)
            }
            done => done,
        }
    }
}
