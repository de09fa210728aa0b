//! The mark: what is durable, in two slots that are written in turn. Go: none

use crate::Error;
use crate::crc::crc32c;
use crate::vfs::{Mode, Vfs, VfsFile, read_file, write_all_at};
use std::path::{Path, PathBuf};

/// The mark's file name, beside the segments.
pub(crate) const NAME: &str = "durable.mark";
const MAGIC: u64 = u64::from_le_bytes(*b"tickmark");
const VERSION: u64 = 1;
/// Slots lie in different blocks, so that no torn write takes both.
const BLOCK: u64 = 4096;
const FIELDS: usize = 14;
/// The fields and their sum.
const SIZE: usize = FIELDS * 8 + 4;

/// What is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The slot with the higher counter is the newer.
    pub(crate) counter: u64,
    pub(crate) log_id: u64,
    /// Where the last durable record ends.
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// Its sequence number.
    pub(crate) seq: u64,
    /// The hard state there.
    pub(crate) term: u64,
    pub(crate) vote: u64,
    /// Segments below this one may be gone: they were purged.
    pub(crate) floor: u64,
    /// Segments below this one are etcd's and unprotected.
    pub(crate) protected_from: u64,
    pub(crate) epoch: u64,
    /// The log was compacted up to this index, of this term.
    pub(crate) compacted: u64,
    pub(crate) compacted_term: u64,
}

impl Slot {
    fn encode(&self) -> [u8; SIZE] {
        let fields: [u64; FIELDS] = [
            MAGIC,
            VERSION,
            self.counter,
            self.log_id,
            self.segment,
            self.offset,
            self.seq,
            self.term,
            self.vote,
            self.floor,
            self.protected_from,
            self.epoch,
            self.compacted,
            self.compacted_term,
        ];
        let mut out = [0; SIZE];
        for (to, f) in out.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&f.to_le_bytes());
        }
        if let Some((body, sum)) = out.split_last_chunk_mut() {
            *sum = crc32c(body).to_le_bytes();
        }
        out
    }

    /// `Ok(None)`: torn or never written. `Err`: of a newer version.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, u64> {
        let Some((body, sum)) = bytes
            .get(..SIZE)
            .and_then(|b| b.split_at_checked(FIELDS * 8))
        else {
            return Ok(None);
        };
        if sum != crc32c(body).to_le_bytes() {
            return Ok(None);
        }
        let mut f = [0; FIELDS];
        for (to, from) in f.iter_mut().zip(body.chunks_exact(8)) {
            *to = from.try_into().map_or(0, u64::from_le_bytes);
        }
        let [
            magic,
            version,
            counter,
            log_id,
            segment,
            offset,
            seq,
            term,
            vote,
            floor,
            protected_from,
            epoch,
            compacted,
            compacted_term,
        ] = f;
        if magic != MAGIC {
            return Ok(None);
        }
        if version != VERSION {
            return Err(version);
        }
        Ok(Some(Self {
            counter,
            log_id,
            segment,
            offset,
            seq,
            term,
            vote,
            floor,
            protected_from,
            epoch,
            compacted,
            compacted_term,
        }))
    }
}

/// Reads the newer valid slot. `None` when the file is absent or holds no valid slot.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Option<Slot>, Error> {
    let path = dir.join(NAME);
    let bytes = match read_file(vfs, &path) {
        Ok(b) => b,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", &path, e)),
    };
    let second = usize::try_from(BLOCK).unwrap_or(usize::MAX);
    let slot = |from: usize| Slot::decode(bytes.get(from..).unwrap_or_default());
    let (a, b) = match (slot(0), slot(second)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(version), _) | (_, Err(version)) => {
            return Err(Error::Version {
                segment: NAME.into(),
                version,
                known: VERSION,
            });
        }
    };
    Ok(match (a, b) {
        (Some(a), Some(b)) => Some(if a.counter > b.counter { a } else { b }),
        (a, b) => a.or(b),
    })
}

/// The mark, open for writing.
#[derive(Debug)]
pub(crate) struct Mark {
    file: Box<dyn VfsFile>,
    pub(crate) path: PathBuf,
    pub(crate) slot: Slot,
    /// Written since the last sync.
    pub(crate) dirty: bool,
}

impl Mark {
    /// Makes the file, with both slots, and syncs it. The caller syncs the directory.
    pub(crate) fn create(vfs: &dyn Vfs, dir: &Path, slot: Slot) -> Result<Self, Error> {
        let path = dir.join(NAME);
        let file = vfs
            .open(&path, Mode::Create)
            .map_err(|e| Error::io("create", &path, e))?;
        // Allocated whole, so that a full disk never keeps a slot from being written.
        file.allocate(2 * BLOCK)
            .map_err(|e| Error::io("allocate", &path, e))?;
        let mut m = Self {
            file,
            path,
            slot,
            dirty: false,
        };
        m.write(slot)?;
        m.write(slot)?;
        m.sync()?;
        Ok(m)
    }

    /// Opens the file; `slot` is what [`read`] found.
    pub(crate) fn open(vfs: &dyn Vfs, dir: &Path, slot: Slot) -> Result<Self, Error> {
        let path = dir.join(NAME);
        let file = vfs
            .open(&path, Mode::Write)
            .map_err(|e| Error::io("open", &path, e))?;
        Ok(Self {
            file,
            path,
            slot,
            dirty: false,
        })
    }

    /// Writes the older slot; without a sync, the kernel writes it when it likes.
    pub(crate) fn write(&mut self, mut slot: Slot) -> Result<(), Error> {
        slot.counter = self.slot.counter.saturating_add(1);
        let at = slot.counter % 2 * BLOCK;
        write_all_at(self.file.as_ref(), &slot.encode(), at)
            .map_err(|e| Error::io_fatal("write", &self.path, e))?;
        self.slot = slot;
        self.dirty = true;
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.file
            .sync()
            .map_err(|e| Error::io_fatal("sync", &self.path, e))?;
        self.dirty = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Crash, FaultyFs};

    #[test]
    fn the_newer_slot_wins_and_a_torn_one_leaves_the_other() {
        let fs = FaultyFs::new();
        let dir = Path::new("/");
        assert_eq!(read(&fs, dir).unwrap(), None);
        let slot = |seq| Slot {
            seq,
            ..Slot::default()
        };
        let mut m = Mark::create(&fs, dir, slot(1)).unwrap();
        fs.sync_dir(dir).unwrap();
        for seq in 2..9 {
            m.write(slot(seq)).unwrap();
            assert_eq!(read(&fs, dir).unwrap().unwrap().seq, seq);
            if seq % 3 == 0 {
                m.sync().unwrap();
            }
        }
        // 6 was synced; 7 and 8 may be there or not, but some slot always is.
        for seed in 0..64 {
            let after = fs.would_crash(&Crash::Seed(seed));
            let found = read(&after, dir).unwrap().unwrap().seq;
            assert!((6..=8).contains(&found), "seed {seed}: {found}");
        }
        // Torn: the newest slot, with the ninth counter in the second block, half written.
        fs.damage(&dir.join(NAME), |b| b[4096 + 60] ^= 1).unwrap();
        assert_eq!(read(&fs, dir).unwrap().unwrap().seq, 7);
        fs.damage(&dir.join(NAME), |b| b[60] ^= 1).unwrap();
        assert_eq!(read(&fs, dir).unwrap(), None);
    }

    #[test]
    fn a_newer_version_is_refused() {
        let mut bytes = Slot::default().encode();
        bytes[8] = 2;
        let sum = crc32c(&bytes[..FIELDS * 8]).to_le_bytes();
        bytes[FIELDS * 8..].copy_from_slice(&sum);
        assert_eq!(Slot::decode(&bytes), Err(2));
        assert_eq!(Slot::decode(&[]), Ok(None));
    }
}
