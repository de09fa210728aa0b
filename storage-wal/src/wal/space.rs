//! A full disk: the reserve, and what still fits. Go: none (etcd stops)

use super::*;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Enough: the reserve is whole.
    Ample,
    /// The disk is full and the reserve is in use: accept no new proposals or entries, what was accepted still fits.
    Reserve,
    /// The disk is full and the reserve is used up but for terms and votes: entries are refused with [`Error::NoSpace`].
    Full,
}

impl Wal {
    /// Cuts a full segment, and refuses entries while the disk is full and the reserve is nearly used up.
    pub(super) fn make_room(&mut self, entries: bool) -> Result<(), Error> {
        if self.space != Space::Ample {
            self.refill_reserve();
        }
        if self.stalled && entries {
            self.sync()?;
        }
        if self.pending.last.is_none() && self.offset >= self.options.segment_size {
            match self.cut() {
                // What is left of this one will do for now.
                Err(Error::NoSpace { .. }) => {}
                done => {
                    self.top_up_spares();
                    return done;
                }
            }
        }
        if self.space == Space::Ample {
            return Ok(());
        }
        // The last part of what is preallocated is for terms and votes.
        let len = self
            .tail
            .file
            .len()
            .map_err(|e| Error::io("measure", &self.tail.path, e))?;
        let used = self.offset + self.pending.frames.len();
        let kept_back = if entries {
            (self.options.segment_size / 8).min(1 << 20)
        } else {
            64
        };
        if !self.reserve && used + kept_back >= len {
            self.space = Space::Full;
            return Err(Error::NoSpace {
                path: self.tail.path.clone(),
            });
        }
        Ok(())
    }

    /// Frees spare segments, then the reserve, for a write that found no space. False when there is none.
    pub(crate) fn give_up_reserve(&mut self) -> bool {
        if self.shared.spares.give_up(self.options.vfs.as_ref()) {
            return true;
        }
        if !self.reserve {
            return false;
        }
        (self.reserve, self.space) = (false, Space::Reserve);
        warn!(
            self.options.logger,
            "no space left: the reserve is given up"
        );
        self.options
            .vfs
            .remove_file(&self.dir.join(RESERVE))
            .is_ok()
    }

    /// Sets space aside again, if there is any.
    pub(super) fn refill_reserve(&mut self) {
        if self.options.reserve == 0 || self.options.format == Format::Etcd {
            // Nothing is held back: only a failed write tells that the disk is full.
            if !self.stalled {
                self.space = Space::Ample;
            }
            return;
        }
        if self.reserve {
            self.space = Space::Ample;
            return;
        }
        let path = self.dir.join(RESERVE);
        let make = || -> io::Result<()> {
            let f = self.options.vfs.open(&path, Mode::Create)?;
            f.allocate(self.options.reserve)
        };
        if make().is_ok() {
            (self.reserve, self.space) = (true, Space::Ample);
        } else {
            let _ = self.options.vfs.remove_file(&path);
            if self.space == Space::Ample {
                self.space = Space::Reserve;
            }
        }
    }
}
