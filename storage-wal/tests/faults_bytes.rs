//! Damage to bytes: what was durable is never lost or altered in silence. S3 to S9, S18, S24, S26. Go: none

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::path::PathBuf;
use tickraft_storage_wal::raftpb::{Entries, NO_LIMIT};
use tickraft_storage_wal::storage::{Storage, Writer};
use tickraft_storage_wal::vfs::{Action, Crash, FaultyFs, OpKind, Vfs};
use tickraft_storage_wal::{Error, Format, Options, SegmentName, SnapshotMark, Wal};

/// Several synced batches over several segments, with overwrites, votes and a snapshot mark. Returns what it holds.
fn small_log(segment_size: u64) -> (FaultyFs, State) {
    let fs = FaultyFs::new();
    let o = Options {
        segment_size,
        ..options(&fs)
    };
    let mut wal = Wal::create(&wal_dir(), b"meta", &o).unwrap();
    let mut term = 1;
    for n in 0..8u64 {
        let first = if n == 4 { n * 3 - 1 } else { n * 3 + 1 };
        term += n % 2;
        wal.append(&entries(term, first..=n * 3 + 3), Some(&hs(term, 1, n * 3)))
            .unwrap();
        wal.sync().unwrap();
    }
    wal.append(&entries(term, 25..=25), None).unwrap();
    wal.append(&entries(term, 26..=26), Some(&hs(term, 1, 24)))
        .unwrap();
    wal.close().unwrap();
    let state = read_wal(&fs).unwrap();
    assert_eq!(state.1.len(), 26);
    (fs, state)
}

fn refused(fs: &FaultyFs, context: &str) -> Error {
    match read_wal(fs) {
        Err(e) if e.is_corruption() => e,
        other => panic!("{context}: {other:?}"),
    }
}

fn named(e: &Error) -> (String, u64) {
    match e {
        Error::Corrupt {
            segment, offset, ..
        } => (segment.clone(), *offset),
        e => panic!("{e}"),
    }
}

/// S5
#[test]
fn s05_every_flipped_bit_of_a_synced_log_is_found() {
    // Several small segments, and one large with much preallocated space behind its end.
    let (step, sizes) = if exhaustive() {
        (1, &[2 << 10, 16 << 10][..])
    } else {
        (29, &[2 << 10][..])
    };
    for size in sizes {
        every_flipped_bit_is_found(*size, step);
    }
}

fn every_flipped_bit_is_found(segment_size: u64, step: usize) {
    let (fs, state) = small_log(segment_size);
    let paths = segments(&fs, &wal_dir());
    assert!(paths.len() > 1 || segment_size > 2 << 10);
    for path in paths {
        let bytes = fs.bytes(&path).unwrap();
        let end = written(&bytes) * 8;
        for bit in (0..bytes.len() * 8).step_by(step) {
            fs.damage(&path, |b| b[bit / 8] ^= 1 << (bit % 8)).unwrap();
            let context = format!("{} bit {bit}", path.display());
            if bit < end {
                refused(&fs, &context);
            } else {
                assert_eq!(
                    read_wal(&fs).unwrap(),
                    state,
                    "{context}: in the preallocated rest"
                );
            }
            fs.damage(&path, |b| b[bit / 8] ^= 1 << (bit % 8)).unwrap();
        }
    }
    assert_eq!(read_wal(&fs).unwrap(), state);
}

/// S6
#[test]
fn s06_every_zeroed_sector_of_the_synced_range_is_found() {
    for segment_size in [2 << 10, 16 << 10] {
        let (fs, _) = small_log(segment_size);
        for path in segments(&fs, &wal_dir()) {
            let bytes = fs.bytes(&path).unwrap();
            for size in [512, 4096] {
                for at in (0..written(&bytes)).step_by(size) {
                    let end = (at + size).min(bytes.len());
                    fs.damage(&path, |b| b[at..end].fill(0)).unwrap();
                    refused(&fs, &format!("{} sector {at} of {size}", path.display()));
                    fs.damage(&path, |b| b.copy_from_slice(&bytes)).unwrap();
                }
            }
        }
    }
}

/// S7
#[test]
fn s07_flips_outside_of_data_are_found_in_the_first_and_the_last_record() {
    let (fs, _) = small_log(2 << 10);
    for path in segments(&fs, &wal_dir()) {
        let bytes = fs.bytes(&path).unwrap();
        let all = frames(&bytes);
        for (start, end) in [all[0], all[1], all[all.len() - 1]] {
            for bit in start * 8..end * 8 {
                fs.damage(&path, |b| b[bit / 8] ^= 1 << (bit % 8)).unwrap();
                refused(&fs, &format!("{} bit {bit}", path.display()));
                fs.damage(&path, |b| b[bit / 8] ^= 1 << (bit % 8)).unwrap();
            }
        }
    }
}

/// S3
#[test]
fn s03_an_unsynced_record_torn_at_any_byte_is_cut_off_and_reported() {
    let fs = FaultyFs::new();
    let mut wal = Wal::create(&wal_dir(), b"", &options(&fs)).unwrap();
    wal.append(&entries(1, 1..=3), Some(&hs(1, 1, 1))).unwrap();
    wal.sync().unwrap();
    let path = segments(&fs, &wal_dir())[0].clone();
    let start = written(&fs.bytes(&path).unwrap());
    let acked = read_wal(&fs).unwrap();
    wal.append(&entries(1, 4..=4), None).unwrap();
    // Written, and no more: the power fails before the fsync.
    fs.set_hook(|op| {
        if op.kind == OpKind::Sync {
            Action::Crash
        } else {
            Action::Proceed
        }
    });
    wal.sync().unwrap_err();
    let fs = fs.crash(&Crash::Everything);
    let end = written(&fs.bytes(&path).unwrap());
    assert!(end > start);
    let all = fs.bytes(&path).unwrap();
    for at in start..=end {
        for zeroed in [true, false] {
            let fs = fs.fork();
            fs.damage(&path, |b| {
                if zeroed {
                    b[at..].fill(0)
                } else {
                    b.truncate(at)
                }
            })
            .unwrap();
            let left = fs.bytes(&path).unwrap()[start..].iter().any(|b| *b != 0);
            let whole = fs.bytes(&path).unwrap().get(..end) == Some(&all[..end]);
            let (mut wal, found) = Wal::open(&wal_dir(), &options(&fs)).unwrap();
            assert_eq!(found.torn.is_some(), left && !whole, "byte {at}");
            if let Some(t) = &found.torn {
                let kept = fs.bytes(t.kept.as_ref().unwrap()).unwrap();
                assert!(kept.iter().any(|b| *b != 0) && t.offset == start as u64);
                assert_eq!(kept.len() as u64, t.bytes);
            }
            assert_eq!(found.entries, (1, if whole { 4 } else { 3 }), "byte {at}");
            wal.append(&entries(2, 4..=5), Some(&hs(2, 1, 1))).unwrap();
            wal.sync().unwrap();
            drop(wal);
            let (hard_state, found) = read_wal(&fs.crash(&Crash::Nothing)).unwrap();
            assert_eq!(hard_state, hs(2, 1, 1));
            assert_eq!(found[..3], acked.1);
            assert_eq!(
                found[3..],
                entries(2, 4..=5).iter().cloned().collect::<Vec<_>>()
            );
        }
    }
}

/// S4: the mark is stale, as after a power cut, and proves nothing of it.
#[test]
fn s04_a_bad_record_before_a_later_batch_is_refused_and_named() {
    let fs = FaultyFs::new();
    let mut wal = Wal::create(&wal_dir(), b"", &options(&fs)).unwrap();
    let mark = wal_dir().join("durable.mark");
    let stale = fs.bytes(&mark).unwrap();
    let path = segments(&fs, &wal_dir())[0].clone();
    let mut ends = vec![written(&fs.bytes(&path).unwrap())];
    for n in 1..=3 {
        wal.append(&entries(1, n..=n), None).unwrap();
        wal.sync().unwrap();
        ends.push(written(&fs.bytes(&path).unwrap()));
    }
    drop(wal);
    put(&fs, &mark, &stale);
    for batch in 0..2 {
        for at in ends[batch]..ends[batch + 1] {
            fs.damage(&path, |b| b[at] ^= 0x40).unwrap();
            let e = refused(&fs, &format!("byte {at}"));
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(named(&e), (name, ends[batch] as u64), "byte {at}");
            fs.damage(&path, |b| b[at] ^= 0x40).unwrap();
        }
    }
    // The window that is left: the last batch, with a mark older than it. It looks like an unfinished write, and is reported and kept.
    fs.damage(&path, |b| b[ends[2] + 9] ^= 1).unwrap();
    let (_, found) = Wal::open(&wal_dir(), &options(&fs)).unwrap();
    assert_eq!(found.entries, (1, 2));
    assert!(
        fs.exists(found.torn.unwrap().kept.as_ref().unwrap())
            .unwrap()
    );
}

/// S8
#[test]
fn s08_stale_and_misdirected_blocks_are_found() {
    let fs = FaultyFs::new();
    let o = Options {
        segment_size: 16 << 10,
        ..options(&fs)
    };
    let mut wal = Wal::create(&wal_dir(), b"", &o).unwrap();
    let path = segments(&fs, &wal_dir())[0].clone();
    let mut versions = Vec::new();
    for n in 0..12 {
        wal.append(&entries(1, n * 6 + 1..=n * 6 + 6), Some(&hs(1, 1, n)))
            .unwrap();
        wal.sync().unwrap();
        versions.push(fs.bytes(&path).unwrap());
    }
    wal.close().unwrap();
    let now = fs.bytes(&path).unwrap();
    let end = written(&now);
    let mut tried = 0;
    let mut with = |at: usize, block: &[u8], what: &str| {
        let to = (at + block.len()).min(now.len());
        if now[at..to] == block[..to - at] {
            return;
        }
        fs.damage(&path, |b| b[at..to].copy_from_slice(&block[..to - at]))
            .unwrap();
        refused(&fs, &format!("{what} at {at}"));
        fs.damage(&path, |b| b.copy_from_slice(&now)).unwrap();
        tried += 1;
    };
    for size in [512, 4096] {
        for at in (0..end).step_by(size) {
            for v in &versions {
                with(at, &v[at..(at + size).min(v.len())], "a stale block");
            }
            for from in (0..end).step_by(size) {
                with(
                    at,
                    &now[from..(from + size).min(now.len())],
                    "a misdirected block",
                );
            }
        }
    }
    // The same records of another log.
    let other = FaultyFs::new();
    let o = Options {
        segment_size: 16 << 10,
        seed: Some(43),
        ..options(&other)
    };
    let mut wal = Wal::create(&wal_dir(), b"", &o).unwrap();
    for n in 0..12 {
        wal.append(&entries(1, n * 6 + 1..=n * 6 + 6), Some(&hs(1, 1, n)))
            .unwrap();
        wal.sync().unwrap();
    }
    let foreign = other.bytes(&path).unwrap();
    for at in (0..end).step_by(4096) {
        with(at, &foreign[at..at + 4096], "a block of another log");
    }
    assert!(tried > 200, "{tried}");
}

/// S9
#[test]
fn s09_missing_duplicated_and_renamed_segments_are_refused_and_named() {
    let (fs, state) = small_log(512);
    let paths = segments(&fs, &wal_dir());
    assert!(paths.len() > 3);
    let name = |p: &PathBuf| SegmentName::parse(p.file_name().unwrap().to_str().unwrap()).unwrap();
    for path in &paths {
        let n = name(path);
        let gone = fs.fork();
        gone.remove_file(path).unwrap();
        let (segment, _) = named(&refused(&gone, "missing"));
        assert!(
            segment.starts_with(&format!("{:016x}-", n.seq)),
            "{segment} of {n}"
        );

        for (seq, index) in [
            (n.seq, n.index + 1),
            (n.seq + 1, n.index),
            (paths.len() as u64, n.index),
            (n.seq + 77, n.index),
        ] {
            let other = SegmentName { seq, index };
            let to = wal_dir().join(other.to_string());
            let copied = fs.fork();
            put(&copied, &to, &fs.bytes(path).unwrap());
            refused(&copied, &format!("{n} copied to {other}"));
            let renamed = fs.fork();
            renamed.rename(path, &to).unwrap();
            refused(&renamed, &format!("{n} renamed to {other}"));
        }
    }
    assert_eq!(read_wal(&fs).unwrap(), state);
    // Two whole segments in each other's place.
    let (a, b) = (fs.bytes(&paths[1]).unwrap(), fs.bytes(&paths[2]).unwrap());
    put(&fs, &paths[1], &b);
    put(&fs, &paths[2], &a);
    refused(&fs, "swapped");
}

/// S18
#[test]
fn s18_a_hard_state_rolled_back_is_refused() {
    let fs = FaultyFs::new();
    let mut wal = Wal::create(&wal_dir(), b"", &options(&fs)).unwrap();
    wal.append(&entries(1, 1..=2), Some(&hs(1, 1, 1))).unwrap();
    wal.sync().unwrap();
    let path = segments(&fs, &wal_dir())[0].clone();
    let before = fs.bytes(&path).unwrap();
    let fsyncs = fs.ops();
    wal.append(&Entries::new(), Some(&hs(2, 3, 1))).unwrap();
    wal.sync().unwrap();
    assert!(fs.ops() > fsyncs);
    drop(wal);
    // Even after a power cut: the mark was synced before the vote could leave.
    let fs = fs.crash(&Crash::Nothing);
    assert_eq!(read_wal(&fs).unwrap().0, hs(2, 3, 1));
    put(&fs, &path, &before);
    let e = refused(&fs, "the vote in term 2 is forgotten");
    assert!(e.to_string().contains("was durable"), "{e}");
    Wal::open(&wal_dir(), &options(&fs)).unwrap_err();
    assert_eq!(fs.bytes(&path).unwrap(), before, "nothing was changed");
}

fn mark(index: u64, term: u64) -> SnapshotMark {
    SnapshotMark {
        index,
        term,
        conf_state: Some(snapshot(index, term).metadata.conf_state),
    }
}

/// S24: etcd returns these entries, and the last term then goes down.
#[test]
fn s24_entries_older_than_an_installed_snapshot_are_dropped() {
    // In etcd's format nothing tells a received snapshot but that the log does not hold it: beyond the log, or another term in it.
    for (index, term, dropped) in [(20, 3, 10), (5, 3, 10), (5, 1, 0)] {
        let fs = FaultyFs::new();
        let o = Options {
            format: Format::Etcd,
            ..options(&fs)
        };
        let mut wal = Wal::create(&wal_dir(), b"m", &o).unwrap();
        wal.append(&entries(1, 1..=10), Some(&hs(1, 1, 4))).unwrap();
        wal.save_snapshot(&mark(index, term)).unwrap();
        wal.close().unwrap();
        let (reader, found) = Wal::read(&wal_dir(), &o).unwrap();
        assert_eq!(found.dropped_entries, dropped, "({index}, {term})");
        let (first, last) = if dropped == 0 {
            (1, 10)
        } else {
            (index + 1, index)
        };
        assert_eq!(found.entries, (first, last));
        assert_eq!(reader.term(last.max(index)).unwrap(), term);
        found.check_snapshot(index, term).unwrap();
    }
    // Ours says so itself.
    let fs = FaultyFs::new();
    let (mut store, _) = open(&fs).unwrap();
    store.append(&write(1, 1..=10, 4)).unwrap();
    let mut w = write(3, 21..=22, 20);
    w.snapshot = Some(snapshot(20, 3));
    store.append(&w).unwrap();
    drop(store);
    let (store, report) = open(&fs).unwrap();
    assert_eq!(report.recovered.dropped_entries, 10);
    assert_eq!((store.first_index(), store.last_index()), (Ok(21), Ok(22)));
    assert_eq!(store.term(20), Ok(3));
}

/// S26
#[test]
fn s26_rot_in_an_entry_read_back_is_a_fault_and_is_never_handed_out() {
    let fs = FaultyFs::new();
    let mut o = disk_options(&fs);
    o.wal.segment_size = 64 << 10;
    let (mut store, _) =
        tickraft_storage_wal::DiskStorage::open(std::path::Path::new(DIR), o).unwrap();
    store.append(&write(1, 1..=200, 200)).unwrap();
    store.sync().unwrap();
    let path = segments(&fs, &std::path::Path::new(DIR).join("member/wal"))[0].clone();
    let bytes = fs.bytes(&path).unwrap();
    let all = frames(&bytes);
    // Three head records come before the entries.
    let (start, end) = all[3 + 99];
    for at in start..end {
        fs.damage(&path, |b| b[at] ^= 2).unwrap();
        let got = store.entries(100, 101, NO_LIMIT);
        let e = got.unwrap_err();
        assert!(!e.is_answer(), "byte {at}: {e}");
        assert!(e.to_string().contains("corrupt log"), "byte {at}: {e}");
        if let Ok(some) = store.entries(1, 201, NO_LIMIT) {
            assert!(some.last().unwrap().index < 100, "byte {at}");
        }
        fs.damage(&path, |b| b[at] ^= 2).unwrap();
    }
    assert_eq!(
        store.entries(100, 101, NO_LIMIT).unwrap(),
        entries(1, 100..=100)
    );
    assert!(store.stats().read_back > 0);
}

/// A mark that is gone is refused, and accepted when asked to.
#[test]
fn a_missing_mark_is_refused_unless_told() {
    let (fs, state) = small_log(2 << 10);
    let path = wal_dir().join("durable.mark");
    for gone in [true, false] {
        let fs = fs.fork();
        if gone {
            fs.remove_file(&path).unwrap();
        } else {
            fs.damage(&path, |b| b.fill(7)).unwrap();
        }
        assert!(matches!(read_wal(&fs), Err(Error::MarkMissing { .. })));
        assert!(matches!(
            Wal::open(&wal_dir(), &options(&fs)),
            Err(Error::MarkMissing { .. })
        ));
        drop(Wal::open_without_mark(&wal_dir(), &options(&fs)).unwrap());
        assert_eq!(read_wal(&fs).unwrap(), state);
    }
    // What the records prove is still asked for.
    let first = segments(&fs, &wal_dir())[0].clone();
    fs.remove_file(&path).unwrap();
    fs.damage(&first, |b| b[300] ^= 1).unwrap();
    assert!(
        Wal::open_without_mark(&wal_dir(), &options(&fs))
            .unwrap_err()
            .is_corruption()
    );
}
