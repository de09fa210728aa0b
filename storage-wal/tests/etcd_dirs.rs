//! Directories that etcd 3.6's own packages wrote, read to exactly what etcd reads from them. Go: wal_test.go, snapshotter_test.go

#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tickraft_storage_wal::raftpb::{Entry, EntryType, NO_LIMIT};
use tickraft_storage_wal::storage::{Storage, Write, Writer};
use tickraft_storage_wal::{
    DiskOptions, DiskStorage, Format, Options, Snapshotter, Wal, WalReader,
};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn expected(name: &str) -> Value {
    let text = std::fs::read(data().join(name).join("expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn number(v: &Value) -> u64 {
    v.as_u64().unwrap()
}

fn bytes(v: &Value) -> Vec<u8> {
    v.as_str().map_or_else(Vec::new, |s| {
        base64::engine::general_purpose::STANDARD.decode(s).unwrap()
    })
}

fn entries_behind(r: &WalReader, index: u64) -> Vec<Entry> {
    let (mut at, end) = (index + 1, r.last_index() + 1);
    let mut all = Vec::new();
    while at < end {
        let got = r.entries(at, end, NO_LIMIT).unwrap();
        at += got.len() as u64;
        all.extend(got.iter().cloned());
    }
    all
}

fn same_entries(got: &[Entry], read: &Value, context: &str) {
    let s = &read["summary"];
    assert_eq!(got.len() as u64, number(&s["count"]), "{context}");
    if let (Some(a), Some(b)) = (got.first(), got.last()) {
        assert_eq!(
            (a.index, b.index),
            (number(&s["first"]), number(&s["last"])),
            "{context}"
        );
    }
    for (e, want) in got
        .iter()
        .zip(read["entries"].as_array().into_iter().flatten())
    {
        let kind = match e.get_type() {
            EntryType::Normal => "EntryNormal",
            EntryType::ConfChange => "EntryConfChange",
            EntryType::ConfChangeV2 => "EntryConfChangeV2",
        };
        let context = format!("{context}, index {}", e.index);
        assert_eq!(
            (e.term, e.index),
            (number(&want["Term"]), number(&want["Index"])),
            "{context}"
        );
        assert_eq!(kind, want["Type"].as_str().unwrap(), "{context}");
        assert_eq!(e.data, bytes(&want["Data"]), "{context}");
    }
}

/// All that expected.json says of a directory.
fn check(name: &str, wal: &Path) {
    let want = expected(name);
    let (reader, found) = Wal::read(wal, &Options::default()).unwrap();
    let valid: Vec<_> = found
        .valid_marks()
        .iter()
        .map(|m| (m.index, m.term))
        .collect();
    let want_valid: Vec<_> = want["validSnapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (number(&s["index"]), number(&s["term"])))
        .collect();
    assert_eq!(valid, want_valid, "{name}");
    let reads = want["reads"].as_array().unwrap();
    assert!(!reads.is_empty());
    for read in reads {
        let (index, term) = (
            number(&read["from"]["index"]),
            number(&read["from"]["term"]),
        );
        let context = format!("{name} from {index}");
        found.check_snapshot(index, term).unwrap();
        assert_eq!(found.metadata, bytes(&read["metadata"]), "{context}");
        let hs = found.hard_state;
        let want = &read["hardstate"];
        assert_eq!(
            (hs.term, hs.vote, hs.commit),
            (
                number(&want["term"]),
                number(&want["vote"]),
                number(&want["commit"])
            ),
            "{context}"
        );
        same_entries(&entries_behind(&reader, index), read, &context);
    }
}

#[test]
fn directories_of_etcd_read_as_etcd_reads_them() {
    for name in ["small", "segments", "purged", "installed", "torn"] {
        check(name, &data().join(name).join("member/wal"));
    }
}

#[test]
fn snapshots_of_etcd_are_read() {
    for name in ["small", "segments", "purged", "installed"] {
        let s = Snapshotter::new(
            &data().join(name).join("member/snap"),
            std::sync::Arc::new(tickraft_storage_wal::vfs::OsFs),
        );
        let names = s.names().unwrap();
        assert!(!names.is_empty());
        for (term, index) in names {
            let snap = s.load(term, index).unwrap();
            assert_eq!(snap.metadata.conf_state.voters, [1, 2, 3], "{name} {index}");
            // Encoded again it is etcd's file, byte for byte.
            let dir = tempfile::tempdir().unwrap();
            let ours = Snapshotter::new(
                dir.path(),
                std::sync::Arc::new(tickraft_storage_wal::vfs::OsFs),
            );
            ours.save_snap(&snap).unwrap();
            assert_eq!(
                std::fs::read(ours.path(term, index)).unwrap(),
                std::fs::read(s.path(term, index)).unwrap(),
                "{name} {index}"
            );
        }
    }
}

#[test]
fn etcds_own_test_segment_is_written_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        format: Format::Etcd,
        segment_size: 1024,
        ..Options::default()
    };
    let wal = Wal::create(&dir.path().join("wal"), b"somedata", &options).unwrap();
    wal.close().unwrap();
    let ours = std::fs::read(dir.path().join("wal/0000000000000000-0000000000000000.wal")).unwrap();
    let etcds = std::fs::read(data().join("TestNew.wal")).unwrap();
    assert_eq!(ours[..etcds.len()], etcds);
    assert!(ours.len() == 1024 && ours[etcds.len()..].iter().all(|b| *b == 0));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for f in std::fs::read_dir(from).unwrap() {
        let f = f.unwrap();
        if f.file_type().unwrap().is_dir() {
            copy(&f.path(), &to.join(f.file_name()));
        } else {
            std::fs::copy(f.path(), to.join(f.file_name())).unwrap();
        }
    }
}

fn options() -> DiskOptions {
    DiskOptions {
        wal: Options {
            segment_size: 16 << 10,
            reserve: 0,
            idle_mark_sync: None,
            ..Options::default()
        },
        ..DiskOptions::default()
    }
}

/// etcd's segments stay as they are; ours follow them and are protected; the next open knows both.
#[test]
fn a_directory_of_etcd_goes_on_protected() {
    for name in ["small", "segments", "purged", "installed", "torn"] {
        let dir = tempfile::tempdir().unwrap();
        copy(
            &data().join(name).join("member"),
            &dir.path().join("member"),
        );
        let (mut store, report) = DiskStorage::open(dir.path(), options()).unwrap();
        assert!(report.bootstrapped && !report.recovered.protected, "{name}");
        assert_eq!(report.recovered.torn.is_some(), name == "torn", "{name}");
        assert_eq!(report.identity.cluster_id, 193, "{name}");
        let last = store.last_index().unwrap();
        let (hs, _) = store.initial_state().unwrap();
        let mut w = Write {
            entries: vec![Entry::new(hs.term, last + 1, "ours")].into(),
            hard_state: Some(hs),
            ..Write::default()
        };
        store.append(&w).unwrap();
        store.sync().unwrap();
        drop(store);
        let (mut store, report) = DiskStorage::open(dir.path(), options()).unwrap();
        assert!(
            report.recovered.protected && report.recovered.torn.is_none(),
            "{name}"
        );
        assert_eq!(report.session.count, 2);
        assert_eq!(store.last_index().unwrap(), last + 1, "{name}");
        assert_eq!(
            store.entries(last + 1, last + 2, NO_LIMIT).unwrap(),
            w.entries
        );
        w.entries = vec![Entry::new(hs.term, last + 2, "more")].into();
        store.append(&w).unwrap();
        store.close().unwrap();
        let (store, _) = DiskStorage::open(dir.path(), options()).unwrap();
        assert_eq!(store.last_index().unwrap(), last + 2, "{name}");
    }
}

/// The torn directory has an intact frame behind the damage: it is counted, and kept.
#[test]
fn what_etcds_rules_drop_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    copy(&data().join("torn/member"), &dir.path().join("member"));
    let (_store, report) = DiskStorage::open(dir.path(), options()).unwrap();
    let torn = report.recovered.torn.unwrap();
    let kept = std::fs::read(torn.kept.unwrap()).unwrap();
    assert_eq!(kept.len() as u64, torn.bytes);
    let original = std::fs::read(data().join("torn/member/wal").join(&torn.segment)).unwrap();
    let from = usize::try_from(torn.offset).unwrap();
    assert_eq!(kept, original[from..from + kept.len()]);
}
