//! The segments of a directory: none missing, none twice. Go: isValidSeq, openWALFiles

use super::*;

/// Sequence numbers must follow each other, from the mark's floor to its segment at least.
pub(super) fn check_names(names: &[SegmentName], mark: Option<Slot>) -> Result<(), Error> {
    for w in names.windows(2) {
        let [a, b] = w else { continue };
        if a.seq == b.seq {
            return Err(missing(
                b.to_string(),
                b.index,
                "this sequence number appears twice".into(),
            ));
        }
        if b.seq != a.seq + 1 {
            let gone = format!("{:016x}-*.wal", a.seq + 1);
            return Err(missing(gone, b.index, "the segment is missing".into()));
        }
    }
    if let Some(n) = names.last().filter(|n| n.seq == u64::MAX) {
        let reason = "an absurd sequence number".into();
        return Err(missing(n.to_string(), n.index, reason));
    }
    if let Some(m) = mark {
        let first = names.first().map_or(u64::MAX, |n| n.seq);
        let last = names.last().map_or(0, |n| n.seq);
        if first > m.floor || last < m.segment {
            let gone = if first > m.floor { m.floor } else { last + 1 };
            let index = names.last().map_or(0, |n| n.index);
            return Err(missing(
                format!("{gone:016x}-*.wal"),
                index,
                "the segment is missing".into(),
            ));
        }
    }
    Ok(())
}

pub(super) fn missing(segment: String, index: u64, reason: String) -> Error {
    Error::Corrupt {
        segment,
        offset: 0,
        index,
        reason,
    }
}

pub(super) fn open_segments(
    vfs: &dyn Vfs,
    dir: &Path,
    names: &[SegmentName],
    write: bool,
) -> Result<Vec<Segment>, Error> {
    let mode = if write { Mode::Write } else { Mode::Read };
    names
        .iter()
        .map(|n| {
            let path = n.path(dir);
            let file = vfs
                .open(&path, mode)
                .map_err(|e| Error::io("open", &path, e))?;
            if write && !file.try_lock().map_err(|e| Error::io("lock", &path, e))? {
                return Err(Error::Locked { path });
            }
            Ok(Segment {
                name: *n,
                path,
                file: Arc::from(file),
            })
        })
        .collect()
}
