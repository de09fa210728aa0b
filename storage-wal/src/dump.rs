//! Looking at a log record by record, and writing one in etcd's plain format. Go: tools/etcd-dump-logs, WAL.ReadAll

use crate::crc::crc32c_append;
use crate::options::{Format, Options};
use crate::record::{Frame, SnapshotMark, WORD, decode_state, kind, seed};
use crate::segment::{Raw, Segment, SegmentName, SegmentReader};
use crate::vfs::{Mode, Vfs, parent};
use crate::wal::Wal;
use crate::{Error, Identity, Recovered, Snapshotter};
use prost::Message as _;
use std::path::Path;
use std::sync::Arc;
use storage::raftpb::bytes::Bytes;
use storage::raftpb::{ConfState, EntryType};

/// One record as it lies on disk, overwritten ones included. What does not apply is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DumpRecord {
    /// The segment's file name.
    pub segment: String,
    /// Where the frame begins.
    pub offset: u64,
    /// metadata, entry, state, crc or snapshot; `None` where the bytes are no record.
    pub kind: Option<&'static str>,
    /// Of an entry, a hard state or a snapshot mark.
    pub term: Option<u64>,
    /// Of an entry or a snapshot mark.
    pub index: Option<u64>,
    /// Of an entry.
    pub entry_type: Option<EntryType>,
    /// Of a hard state.
    pub vote: Option<u64>,
    /// Of a hard state.
    pub commit: Option<u64>,
    /// The CRC chain up to this record.
    pub crc: Option<u32>,
    /// The sequence number, where the record is protected.
    pub seq: Option<u64>,
    /// Of a snapshot mark.
    pub conf_state: Option<ConfState>,
    /// The payload of an entry, or the metadata.
    pub data: Option<Bytes>,
    /// `None`: sound. Else what is wrong with it.
    pub problem: Option<String>,
}

/// Calls `each` with every record of a directory of segments, or of one segment. Never writes. Bad bytes are passed over in steps of 8, so that what is behind them is seen.
///
/// # Errors
/// [`Error::FileNotFound`], [`Error::Io`]; damage is no error here.
pub fn dump(vfs: &dyn Vfs, path: &Path, each: &mut dyn FnMut(DumpRecord)) -> Result<(), Error> {
    let one = path
        .file_name()
        .and_then(|n| n.to_str())
        .and_then(SegmentName::parse);
    let (dir, names) = match one {
        Some(n) => (parent(path), vec![n]),
        None => (path, SegmentName::list(vfs, path)?),
    };
    if names.is_empty() {
        return Err(Error::FileNotFound {
            path: path.to_path_buf(),
        });
    }
    let log_id = crate::mark::read(vfs, dir)?.map_or(0, |m| m.log_id);
    let mut d = Dumper {
        each,
        log_id,
        crc: None,
        seq: None,
    };
    for name in names {
        let path = name.path(dir);
        let file = vfs
            .open(&path, Mode::Read)
            .map_err(|e| Error::io("open", &path, e))?;
        d.segment(&Segment {
            name,
            path,
            file: Arc::from(file),
        })?;
    }
    Ok(())
}

struct Dumper<'a> {
    each: &'a mut dyn FnMut(DumpRecord),
    log_id: u64,
    /// The chain before the next record; `None` at the beginning and behind damage.
    crc: Option<u32>,
    seq: Option<u64>,
}

impl Dumper<'_> {
    fn segment(&mut self, s: &Segment) -> Result<(), Error> {
        let mut r = SegmentReader::new(s)?;
        let mut at = 0;
        // Whether the record before was sound: of a damaged stretch only its beginning is reported.
        let mut sound = true;
        while let Some(next) = r.next_nonzero(at)? {
            if next > at && at > 0 && sound {
                // Zeros between records: what follows is not part of the log as etcd reads it.
                (self.crc, self.seq) = (None, None);
            }
            let found = match r.frame(next)? {
                Raw::Frame(b) => Frame::parse(b).map(|f| (f, b.len() as u64)),
                Raw::End | Raw::Short => None,
            };
            let Some((f, len)) = found.filter(|(f, _)| f.kind <= 99) else {
                if sound {
                    (self.each)(DumpRecord {
                        segment: s.name.to_string(),
                        offset: next,
                        problem: Some("not a record".into()),
                        ..DumpRecord::default()
                    });
                }
                sound = false;
                (self.crc, self.seq) = (None, None);
                at = next + WORD as u64;
                continue;
            };
            sound = true;
            let record = self.record(s, next, &f);
            (self.each)(record);
            at = next + len;
        }
        Ok(())
    }

    fn record(&mut self, s: &Segment, at: u64, f: &Frame<'_>) -> DumpRecord {
        let mut out = DumpRecord {
            segment: s.name.to_string(),
            offset: at,
            kind: Some(kind::name(f.kind)),
            crc: Some(f.crc),
            seq: f.guard.map(|g| g.seq),
            ..DumpRecord::default()
        };
        let readable = fill(&mut out, f);
        out.problem = self.problem(s, at, f, readable);
        self.crc = Some(f.crc);
        self.seq = f.guard.map(|g| g.seq);
        out
    }

    fn problem(&mut self, s: &Segment, at: u64, f: &Frame<'_>, readable: bool) -> Option<String> {
        if let Some(h) = f.head {
            self.log_id = h.log_id;
            if (h.segment, h.first_index) != (s.name.seq, s.name.index) {
                return Some("the segment was renamed".into());
            }
        }
        if f.guard.is_some() && !f.holds(seed(self.log_id, s.name.seq), at) {
            return Some("the record's checksum does not hold".into());
        }
        let starts = f.kind == kind::CRC;
        match self.crc {
            Some(c) if crc32c_append(c, f.data()) != f.crc => {
                return Some("the data's CRC does not hold".into());
            }
            None if !starts => {
                return Some("cannot be verified: damage, or nothing, is before it".into());
            }
            _ => {}
        }
        if let (Some(before), Some(g)) = (self.seq, f.guard)
            && g.seq != before + 1
        {
            return Some(format!("record {} follows record {before}", g.seq));
        }
        (!readable).then(|| "the data cannot be read".into())
    }
}

/// Fills in what the data say. False when they cannot be read.
fn fill(out: &mut DumpRecord, f: &Frame<'_>) -> bool {
    match f.kind {
        kind::ENTRY => {
            let Ok(e) = storage::raftpb::Entry::decode(f.data()) else {
                return false;
            };
            (out.term, out.index) = (Some(e.term), Some(e.index));
            out.entry_type = Some(e.get_type());
            out.data = Some(e.data);
        }
        kind::STATE => {
            let Some(h) = decode_state(f.data()) else {
                return false;
            };
            (out.term, out.vote, out.commit) = (Some(h.term), Some(h.vote), Some(h.commit));
        }
        kind::SNAPSHOT => {
            let Ok(m) = SnapshotMark::decode(f.data()) else {
                return false;
            };
            (out.term, out.index, out.conf_state) = (Some(m.term), Some(m.index), m.conf_state);
        }
        kind::METADATA => out.data = Some(Bytes::copy_from_slice(f.data())),
        kind::CRC => {}
        _ => return false,
    }
    true
}

/// Writes a log, and its snapshots, into a new data directory in etcd's plain format: the way back to etcd. The log that is read is not changed. The
/// records begin with a mark of the older kept snapshot where the log does not begin at 1.
///
/// # Errors
/// As [`Wal::read`]; [`Error::Exists`] where `to` holds a log.
pub fn export_etcd(from: &Path, to: &Path, options: &Options) -> Result<Recovered, Error> {
    let (wal_from, snap_from) = (from.join("member/wal"), from.join("member/snap"));
    let vfs = options.vfs.as_ref();
    let (reader, found) = Wal::read(&wal_from, options)?;
    let snap_to = to.join("member/snap");
    vfs.create_dir_all(&snap_to)
        .map_err(|e| Error::io("create directory", &snap_to, e))?;
    let plain = Options {
        format: Format::Etcd,
        ..options.clone()
    };
    // etcd's metadata has no incarnation, and what etcd makes of the directory is another one.
    let metadata = Identity::decode(&found.metadata).map_or_else(
        || found.metadata.clone(),
        |i| {
            let plain = Identity {
                incarnation: 0,
                ..i
            };
            plain.encode()
        },
    );
    let mut wal = Wal::create(&to.join("member/wal"), &metadata, &plain)?;
    let first = found.entries.0;
    let mut marks: Vec<&SnapshotMark> = found
        .valid_marks()
        .into_iter()
        .filter(|m| m.index > 0 && m.index + 1 >= first)
        .collect();
    marks.sort_by_key(|m| m.index);
    if let Some(m) = marks.first().filter(|_| first > 1) {
        wal.install_snapshot(m, &storage::raftpb::Entries::new(), None)?;
    }
    let (mut at, end) = (wal.reader().last_index() + 1, found.entries.1 + 1);
    while at < end {
        let some = reader.entries(at, end, 1 << 20)?;
        at += some.len() as u64;
        wal.append(&some, None)?;
        wal.sync()?;
    }
    wal.append(&storage::raftpb::Entries::new(), Some(&found.hard_state))?;
    wal.sync()?;
    let target = Snapshotter::new(&snap_to, Arc::clone(&options.vfs));
    let source = Snapshotter::new(&snap_from, Arc::clone(&options.vfs));
    let files = if vfs.exists(&snap_from).unwrap_or(false) {
        source.names()?
    } else {
        Vec::new()
    };
    for m in marks {
        if files.contains(&(m.term, m.index)) {
            target.save_snap(&source.load(m.term, m.index)?)?;
            wal.save_snapshot(m)?;
        }
    }
    wal.close()?;
    Ok(found)
}
