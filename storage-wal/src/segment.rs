//! Segments: their names, and reading them frame by frame through a window. Go: util.go, decoder.go

use crate::Error;
use crate::record::{WORD, sizes};
use crate::vfs::{Vfs, VfsFile, read_exact_at};
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A segment's name: its sequence, and the index of the first entry it may hold. Go: walName, parseWALName
///
/// ```
/// use tickraft_storage_wal::SegmentName;
/// let n = SegmentName::parse("0000000000000001-0000000000000034.wal").unwrap();
/// assert_eq!((n.seq, n.index), (1, 0x34));
/// assert_eq!(n.to_string(), "0000000000000001-0000000000000034.wal");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "walName")]
pub struct SegmentName {
    /// Counts the segments of a log, from 0.
    pub seq: u64,
    /// The last index before the segment, plus 1. It may go down from one segment to the next.
    pub index: u64,
}

impl SegmentName {
    /// Reads a file name; `None` where it is not a segment's.
    #[must_use]
    #[doc(alias = "parseWALName")]
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".wal")?;
        let (a, b) = stem.split_once('-')?;
        let hex = |s: &str| {
            let ok = s.len() == 16 && s.bytes().all(|b| b.is_ascii_hexdigit());
            ok.then(|| u64::from_str_radix(s, 16).ok()).flatten()
        };
        Some(Self {
            seq: hex(a)?,
            index: hex(b)?,
        })
    }

    /// The names of the segments in a directory, in order. Go: readWALNames
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be read.
    #[doc(alias = "readWALNames")]
    pub fn list(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<Self>, Error> {
        let names = vfs
            .read_dir(dir)
            .map_err(|e| Error::io("read directory", dir, e))?;
        let mut found: Vec<_> = names
            .iter()
            .filter_map(|n| OsStr::to_str(n).and_then(Self::parse))
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Where the segment lies.
    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}.wal", self.seq, self.index)
    }
}

/// An open segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn VfsFile>,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pos {
    /// The segment's sequence.
    pub(crate) segment: u64,
    /// Bytes from the segment's start.
    pub(crate) offset: u64,
}

/// What lies at an offset.
pub(crate) enum Raw<'a> {
    /// The end of the file, or the zeros of preallocated space.
    End,
    /// A length word that promises more than the file has, or less than a word before the end.
    Short,
    /// A whole frame, not yet looked at.
    Frame(&'a [u8]),
}

/// How much is read at once.
const WINDOW: u64 = 1 << 20;

/// Reads a segment through a window that only grows for a frame that is larger; no length is trusted beyond the file's.
pub(crate) struct SegmentReader {
    segment: Segment,
    len: u64,
    buf: Vec<u8>,
    at: u64,
    window: u64,
}

impl SegmentReader {
    pub(crate) fn new(segment: &Segment) -> Result<Self, Error> {
        let len = segment
            .file
            .len()
            .map_err(|e| Error::io("measure", &segment.path, e))?;
        Ok(Self {
            segment: segment.clone(),
            len,
            buf: Vec::new(),
            at: 0,
            window: WINDOW,
        })
    }

    /// Reads at most so much at once: for reading a few entries back.
    pub(crate) fn with_window(mut self, bytes: u64) -> Self {
        self.window = bytes.clamp(4096, WINDOW);
        self
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes `offset..offset + n`, which must lie in the file.
    fn fill(&mut self, offset: u64, n: u64) -> Result<&[u8], Error> {
        let inside = offset >= self.at && offset + n <= self.at + self.buf.len() as u64;
        if !inside {
            let want = n.max(self.window).min(self.len - offset);
            let want = usize::try_from(want).unwrap_or(usize::MAX);
            self.buf.resize(want, 0);
            self.at = offset;
            let read = read_exact_at(self.segment.file.as_ref(), &mut self.buf, offset);
            if let Err(e) = read {
                self.buf.clear();
                return Err(Error::io("read", &self.segment.path, e));
            }
        }
        let from = usize::try_from(offset - self.at).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(n).unwrap_or(usize::MAX));
        Ok(self.buf.get(from..to).unwrap_or_default())
    }

    /// What lies at `offset`.
    pub(crate) fn frame(&mut self, offset: u64) -> Result<Raw<'_>, Error> {
        let left = self.len.saturating_sub(offset);
        if left < WORD as u64 {
            return Ok(if left == 0 { Raw::End } else { Raw::Short });
        }
        let word = self.word(offset)?;
        if word == 0 {
            return Ok(Raw::End);
        }
        let (size, padding) = sizes(word);
        if size > left - WORD as u64 || padding > left - WORD as u64 - size {
            return Ok(Raw::Short);
        }
        let n = WORD as u64 + size + padding;
        Ok(Raw::Frame(self.fill(offset, n)?))
    }

    /// Whether a record's first field follows a length here. Asked where a record is looked for among other bytes: most lengths there are none, and are not to be read.
    pub(crate) fn may_begin(&mut self, offset: u64) -> Result<bool, Error> {
        let n = WORD as u64 + 3;
        if self.len.saturating_sub(offset) < n {
            return Ok(false);
        }
        let bytes = self.fill(offset, n)?;
        Ok(matches!(bytes.get(WORD..), Some([0x08, _, 0x10])))
    }

    fn word(&mut self, offset: u64) -> Result<u64, Error> {
        let b = self.fill(offset, WORD as u64)?;
        Ok(b.try_into().map_or(0, u64::from_le_bytes))
    }

    /// The first offset at or after `offset`, in steps of 8, whose word is not zero; bytes at the end that fill no word count as one.
    pub(crate) fn next_nonzero(&mut self, mut offset: u64) -> Result<Option<u64>, Error> {
        while offset < self.len {
            // First what was read before: a search in small steps must not read it all again at each.
            let held = (self.at + self.buf.len() as u64).saturating_sub(offset);
            let n = match offset >= self.at && held > 0 {
                true => held,
                false => self.window.min(self.len - offset),
            };
            let chunk = self.fill(offset, n)?;
            if let Some(i) = chunk.iter().position(|b| *b != 0) {
                return Ok(Some(offset + (i as u64 & !7)));
            }
            offset += n;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segments_names_are_read() {
        for bad in [
            "1.tmp",
            "mark",
            "0000000000000001-0000000000000034.wal.broken",
            "1-34.wal",
            "+000000000000001-0000000000000034.wal",
            "0000000000000001_0000000000000034.wal",
        ] {
            assert_eq!(SegmentName::parse(bad), None, "{bad}");
        }
        let n = SegmentName {
            seq: u64::MAX,
            index: 0,
        };
        assert_eq!(SegmentName::parse(&n.to_string()), Some(n));
    }
}
