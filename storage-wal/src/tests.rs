//! Records that no writer of ours makes, under valid checksums: S21. Go: decoder_test in wal_test.go

use crate::encode::{Chain, Frames, Record};
use crate::mark::{self, Mark, Slot};
use crate::record::{END, Head, SnapshotMark, VERSION, kind, seed};
use crate::vfs::{FaultyFs, Mode, Vfs};
use crate::{Error, Options, SegmentName, Wal};
use prost::Message as _;
use std::path::Path;
use std::sync::Arc;
use storage::raftpb::{Entry, HardState};

const DIR: &str = "/wal";

/// A segment with a sound head, then the given records, each a batch of its own.
fn log_of(version: u64, records: &[(u64, Vec<u8>)]) -> FaultyFs {
    let fs = FaultyFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let name = SegmentName { seq: 0, index: 0 };
    let mut chain = Chain {
        crc: 0,
        seq: 0,
        epoch: 1,
        log_id: 9,
        seed: seed(9, 0),
        protected: true,
    };
    let head = Head {
        version,
        segment: 0,
        first_index: 0,
        log_id: 9,
    };
    let first = SnapshotMark::default().encode_to_vec();
    let mut frames = Frames::default();
    let mut push = |durable, kind, data: Option<&[u8]>, flags, head| {
        let r = Record {
            kind,
            data,
            flags,
            head,
            ..Record::default()
        };
        chain.push(&mut frames, 0, durable, &r);
    };
    push(0, kind::CRC, None, 0, Some(head));
    push(0, kind::METADATA, Some(b"m"), 0, None);
    push(0, kind::SNAPSHOT, Some(&first), END, None);
    for (n, (kind, data)) in records.iter().enumerate() {
        push(3 + n as u64, *kind, Some(data), END, None);
    }
    let f = fs.open(&name.path(Path::new(DIR)), Mode::Create).unwrap();
    let buf = frames.into_bytes();
    f.write_at(&buf, 0).unwrap();
    let slot = Slot {
        log_id: 9,
        offset: buf.len() as u64,
        seq: chain.seq,
        epoch: 1,
        ..Slot::default()
    };
    Mark::create(&fs, Path::new(DIR), slot).unwrap();
    fs
}

fn options(fs: &FaultyFs) -> Options {
    Options {
        vfs: Arc::new(fs.clone()),
        reserve: 0,
        segment_size: 4096,
        ..Options::default()
    }
}

fn read(fs: &FaultyFs) -> Result<(u64, u64), Error> {
    Wal::read(Path::new(DIR), &options(fs)).map(|(_, r)| r.entries)
}

fn entry(term: u64, index: u64) -> (u64, Vec<u8>) {
    (kind::ENTRY, Entry::new(term, index, "x").encode_to_vec())
}

fn state(term: u64) -> (u64, Vec<u8>) {
    let hs = HardState {
        term,
        vote: 1,
        commit: 0,
    };
    (kind::STATE, hs.encode_to_vec())
}

fn snapshot(index: u64, term: u64) -> (u64, Vec<u8>) {
    let mark = SnapshotMark {
        index,
        term,
        conf_state: None,
    };
    (kind::SNAPSHOT, mark.encode_to_vec())
}

/// S21
#[test]
fn s21_absurd_values_under_a_valid_checksum_are_errors() {
    assert_eq!(
        read(&log_of(VERSION, &[entry(1, 1), entry(1, 2)])).unwrap(),
        (1, 2)
    );
    let cases: &[&[(u64, Vec<u8>)]] = &[
        &[entry(1, 0)],
        &[entry(1, 2)],
        &[entry(1, 1), entry(1, u64::MAX)],
        &[entry(u64::MAX, 1)],
        &[entry(5, 1), entry(4, 2)],
        &[entry(1, 1), entry(1, 3)],
        &[state(5), state(4)],
        &[(kind::ENTRY, vec![0xff; 9])],
        &[(kind::ENTRY, vec![0x22, 0xff, 0xff, 0xff, 0xff, 0x7f])],
        &[(kind::STATE, vec![0xff; 3])],
        &[(kind::SNAPSHOT, vec![0x0a, 0xff])],
        &[snapshot(u64::MAX, 1)],
        &[snapshot(1, u64::MAX)],
        &[state(u64::MAX)],
        &[(kind::METADATA, b"another".to_vec())],
        &[(99, vec![])],
        &[(0, vec![])],
        &[(u64::MAX, vec![])],
    ];
    for (n, case) in cases.iter().enumerate() {
        let e = read(&log_of(VERSION, case)).unwrap_err();
        assert!(e.is_corruption(), "case {n}: {e}");
        let fs = log_of(VERSION, case);
        assert!(
            Wal::open(Path::new(DIR), &options(&fs)).is_err(),
            "case {n}"
        );
    }
}

/// S21: a length word is believed only as far as the file reaches.
#[test]
fn s21_absurd_lengths_allocate_nothing() {
    for word in [
        u64::MAX,
        1 << 55,
        0x87 << 56 | 0xff_ffff_ffff,
        0x81 << 56 | 1 << 40,
        1 << 63,
    ] {
        let fs = log_of(VERSION, &[entry(1, 1)]);
        let path = SegmentName { seq: 0, index: 0 }.path(Path::new(DIR));
        let end = fs.bytes(&path).unwrap().len();
        // Behind the end: an unfinished write, whatever it says.
        fs.damage(&path, |b| b.extend_from_slice(&word.to_le_bytes()))
            .unwrap();
        assert_eq!(read(&fs).unwrap(), (1, 1), "{word:x}");
        // In the durable part: corruption.
        fs.damage(&path, |b| {
            b[end - 64..end - 56].copy_from_slice(&word.to_le_bytes())
        })
        .unwrap();
        assert!(read(&fs).unwrap_err().is_corruption(), "{word:x}");
        // In a directory of etcd's: its torn tail.
        let o = Options {
            format: crate::Format::Etcd,
            ..options(&fs)
        };
        let etcd = Path::new("/etcd");
        Wal::create(etcd, b"m", &o).unwrap().close().unwrap();
        let path = SegmentName { seq: 0, index: 0 }.path(etcd);
        fs.damage(&path, |b| b[72..80].copy_from_slice(&word.to_le_bytes()))
            .unwrap();
        let (_, r) = Wal::read(etcd, &o).unwrap();
        assert!(r.torn.is_some(), "{word:x}");
    }
}

/// S21: a name is believed no more than what is inside.
#[test]
fn s21_an_absurd_segment_name_is_refused() {
    let fs = FaultyFs::new();
    let o = Options {
        format: crate::Format::Etcd,
        ..options(&fs)
    };
    let dir = Path::new(DIR);
    Wal::create(dir, b"m", &o).unwrap().close().unwrap();
    let name = |seq| SegmentName { seq, index: 0 }.path(dir);
    fs.rename(&name(0), &name(u64::MAX)).unwrap();
    for o in [o, options(&fs)] {
        let e = Wal::open(dir, &o).unwrap_err();
        assert!(e.is_corruption(), "{e}");
    }
}

/// S21: behind the end, where every word could be a length, none is read for nothing.
#[test]
fn s21_a_tail_of_numbers_is_read_once() {
    let fs = log_of(VERSION, &[entry(1, 1)]);
    let path = SegmentName { seq: 0, index: 0 }.path(Path::new(DIR));
    let number = (1u64 << 20).to_le_bytes();
    fs.damage(&path, |b| b.extend(number.repeat(3 << 17)))
        .unwrap();
    let before = fs.ops();
    let (_, r) = Wal::read(Path::new(DIR), &options(&fs)).unwrap();
    assert!(r.torn.is_some_and(|t| t.bytes == 3 << 20));
    assert!(fs.ops() - before < 100, "{} calls", fs.ops() - before);
}

#[test]
fn only_an_empty_directory_becomes_a_log() {
    let fs = FaultyFs::new();
    let dir = Path::new(DIR);
    fs.create_dir_all(dir).unwrap();
    let other = dir.join("other");
    fs.open(&other, Mode::Create).unwrap();
    let e = Wal::create(dir, b"", &options(&fs)).unwrap_err();
    assert!(matches!(e, Error::Exists { .. }), "{e}");
    assert!(fs.exists(&other).unwrap(), "nothing was removed");
    fs.remove_file(&other).unwrap();
    Wal::create(dir, b"", &options(&fs)).unwrap();
}

#[test]
fn an_unknown_version_is_refused() {
    for unknown in [0, VERSION + 1] {
        let e = read(&log_of(unknown, &[])).unwrap_err();
        assert!(
            matches!(e, Error::Version { version, known: VERSION, .. } if version == unknown),
            "{e}"
        );
    }
}

/// S21: the mark, too, is believed only where the log agrees.
#[test]
fn s21_absurd_marks_are_refused() {
    let fs = log_of(VERSION, &[entry(1, 1), state(3)]);
    let good = Slot {
        term: 3,
        vote: 1,
        ..mark::read(&fs, Path::new(DIR)).unwrap().unwrap()
    };
    for absurd in [
        Slot {
            seq: u64::MAX,
            ..good
        },
        Slot {
            segment: u64::MAX,
            ..good
        },
        Slot {
            offset: u64::MAX,
            ..good
        },
        Slot {
            term: u64::MAX,
            ..good
        },
        Slot { vote: 9, ..good },
        Slot { floor: 7, ..good },
        Slot { log_id: 10, ..good },
        Slot {
            seq: good.seq - 1,
            ..good
        },
    ] {
        Mark::create(&fs, Path::new(DIR), absurd).unwrap();
        let e = read(&fs).unwrap_err();
        assert!(e.is_corruption(), "{absurd:?}: {e}");
    }
    let far = Slot {
        compacted: u64::MAX,
        compacted_term: 1,
        ..good
    };
    Mark::create(&fs, Path::new(DIR), far).unwrap();
    assert_eq!(read(&fs).unwrap(), (1, 1));
}
