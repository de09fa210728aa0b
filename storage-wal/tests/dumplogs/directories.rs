//! Data directories with all that a log can hold.

use std::path::Path;
use tickraft_storage_wal::raftpb::prost::Message as _;
use tickraft_storage_wal::raftpb::{
    ConfChange, ConfChangeSingle, ConfChangeType, ConfChangeV2, Entries, Entry, EntryType,
    HardState, Snapshot,
};
use tickraft_storage_wal::storage::{Storage, Write, Writer};
use tickraft_storage_wal::{DiskOptions, DiskStorage, Options};

type Directory = (&'static str, fn(&Path));

/// Each by its name.
pub(crate) const ALL: &[Directory] = &[
    ("plain", plain),
    ("segments", segments),
    ("conf_changes", conf_changes),
    ("overwritten", overwritten),
    ("payloads", payloads),
    ("batches", batches),
    ("snapshots", snapshots),
    ("installed", installed),
    ("reopened", reopened),
    ("torn", torn),
    ("adopted", adopted),
];

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for f in std::fs::read_dir(from).unwrap() {
        let f = f.unwrap();
        let to = to.join(f.file_name());
        if f.file_type().unwrap().is_dir() {
            copy(&f.path(), &to);
        } else {
            std::fs::copy(f.path(), to).unwrap();
        }
    }
}

fn open(dir: &Path) -> DiskStorage {
    let wal = Options {
        segment_size: 8 << 10,
        reserve: 0,
        idle_mark_sync: None,
        ..Options::default()
    };
    DiskStorage::open(
        dir,
        DiskOptions {
            wal,
            ..DiskOptions::default()
        },
    )
    .unwrap()
    .0
}

fn entry(term: u64, index: u64) -> Entry {
    Entry::new(term, index, format!("{term}/{index} ").repeat(5))
}

fn write(term: u64, range: std::ops::RangeInclusive<u64>, commit: u64) -> Write {
    Write {
        hard_state: Some(HardState {
            term,
            vote: term % 3 + 1,
            commit,
        }),
        entries: range.map(|i| entry(term, i)).collect(),
        must_sync: true,
        ..Write::default()
    }
}

fn append(s: &mut DiskStorage, w: &Write) {
    s.append(w).unwrap();
    s.sync().unwrap();
}

fn snapshot(index: u64, term: u64) -> Snapshot {
    let mut s = Snapshot {
        data: "state".into(),
        ..Snapshot::default()
    };
    (s.metadata.index, s.metadata.term) = (index, term);
    let c = &mut s.metadata.conf_state;
    (
        c.voters,
        c.learners,
        c.voters_outgoing,
        c.learners_next,
        c.auto_leave,
    ) = (vec![1, 2, 9], vec![4], vec![1, 2, 3], vec![3], true);
    s
}

fn plain(dir: &Path) {
    append(&mut open(dir), &write(1, 1..=9, 7));
}

fn segments(dir: &Path) {
    let mut s = open(dir);
    for n in 0..60 {
        append(&mut s, &write(1 + n / 20, n * 10 + 1..=n * 10 + 10, n * 10));
    }
}

fn conf_changes(dir: &Path) {
    let v1 = ConfChange {
        id: 7,
        change_type: ConfChangeType::RemoveNode,
        node_id: 3,
        context: "http://three".into(),
    };
    let v2 = ConfChangeV2 {
        changes: [
            (ConfChangeType::AddNode, 4),
            (ConfChangeType::AddLearnerNode, 5),
        ]
        .map(|(change_type, node_id)| ConfChangeSingle {
            change_type,
            node_id,
        })
        .into(),
        ..ConfChangeV2::default()
    };
    let of = |index, kind, data: Vec<u8>| Entry {
        entry_type: Some(kind),
        ..Entry::new(1, index, data)
    };
    let entries: Entries = vec![
        of(1, EntryType::ConfChange, v1.encode_to_vec()),
        of(2, EntryType::Normal, Vec::new()),
        of(3, EntryType::ConfChangeV2, v2.encode_to_vec()),
        // Leaving a joint configuration carries no data.
        of(4, EntryType::ConfChangeV2, Vec::new()),
        entry(1, 5),
    ]
    .into();
    append(
        &mut open(dir),
        &Write {
            entries,
            ..write(1, 1..=0, 5)
        },
    );
}

fn overwritten(dir: &Path) {
    let mut s = open(dir);
    for (term, range) in [(1, 1..=40), (2, 30..=35), (3, 20..=80), (5, 79..=79)] {
        append(&mut s, &write(term, range, 19));
    }
    // Within one batch, too.
    s.append(&write(6, 60..=70, 19)).unwrap();
    append(&mut s, &write(7, 65..=66, 20));
}

fn payloads(dir: &Path) {
    let all: Vec<u8> = (0..=255).collect();
    let mut payloads: Vec<Vec<u8>> = (0..40).map(|n| all[..n].to_vec()).collect();
    payloads.extend([all, vec![0; 600], vec![b'"'; 3], vec![0xff; 1 << 20]]);
    let entries = payloads
        .into_iter()
        .zip(1..)
        .map(|(data, index)| Entry::new(1, index, data))
        .collect();
    append(
        &mut open(dir),
        &Write {
            entries,
            ..write(1, 1..=0, 2)
        },
    );
}

/// Several Writes under one sync, and Writes of the commit index alone.
fn batches(dir: &Path) {
    let mut s = open(dir);
    for n in 0..20 {
        s.append(&write(1, n * 4 + 1..=n * 4 + 4, n)).unwrap();
        if n % 3 == 0 {
            s.append(&write(1, 1..=0, n * 4 + 2)).unwrap();
            s.sync().unwrap();
        }
    }
    s.append(&write(1, 1..=0, 80)).unwrap();
    s.close().unwrap();
}

fn snapshots(dir: &Path) {
    let mut s = open(dir);
    for n in 0..30 {
        append(&mut s, &write(2, n * 10 + 1..=n * 10 + 10, n * 10 + 10));
        if n % 10 == 9 {
            s.save_snapshot(&snapshot(n * 10, 2)).unwrap();
            s.compact(n * 10 - 3).unwrap();
        }
    }
    assert!(s.first_index().unwrap() > 200);
}

/// A received snapshot, entries of before it still in the segments, and entries with it.
fn installed(dir: &Path) {
    let mut s = open(dir);
    append(&mut s, &write(1, 1..=50, 40));
    s.append(&Write {
        snapshot: Some(snapshot(100, 3)),
        ..write(3, 101..=103, 101)
    })
    .unwrap();
    append(&mut s, &write(4, 104..=130, 120));
}

fn reopened(dir: &Path) {
    for n in 0..5 {
        append(
            &mut open(dir),
            &write(n + 1, n * 30 + 1..=n * 30 + 30, n * 30),
        );
    }
    open(dir).close().unwrap();
}

/// The beginning of a record that was never finished, cut off at the next open, which raises the epoch.
fn torn(dir: &Path) {
    append(&mut open(dir), &write(1, 1..=9, 3));
    let segment = dir.join("member/wal/0000000000000000-0000000000000000.wal");
    let mut bytes = std::fs::read(&segment).unwrap();
    let end = bytes
        .iter()
        .rposition(|b| *b != 0)
        .unwrap()
        .next_multiple_of(8);
    bytes[end..end + 3].copy_from_slice(&[0x30, 0, 1]);
    std::fs::write(&segment, bytes).unwrap();
    append(&mut open(dir), &write(2, 10..=20, 9));
}

/// A directory that etcd wrote and we went on with.
fn adopted(dir: &Path) {
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/small"),
        dir,
    );
    let mut s = open(dir);
    let (hs, last) = (s.initial_state().unwrap().0, s.last_index().unwrap());
    append(&mut s, &write(hs.term + 1, last + 1..=last + 40, hs.commit));
}
