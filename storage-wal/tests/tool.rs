//! The tool `wal`, and a second process on a locked directory: S17. Go: none

#![allow(clippy::unwrap_used)]

mod common;

use common::{entries, hs, snapshot, write};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tickraft_storage_wal::raftpb::NO_LIMIT;
use tickraft_storage_wal::storage::{Storage, Writer};
use tickraft_storage_wal::{DiskOptions, DiskStorage, Format, Options, Wal};

/// A process that is being started holds every open file, with its locks, for a moment: so these tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tool(args: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wal"))
        .args(args)
        .arg(path)
        .output()
        .unwrap()
}

fn code(o: &Output) -> i32 {
    o.status.code().unwrap()
}

fn text(o: &Output) -> String {
    String::from_utf8_lossy(&o.stdout).into_owned() + &String::from_utf8_lossy(&o.stderr)
}

fn options() -> DiskOptions {
    DiskOptions {
        node_id: 3,
        cluster_id: 9,
        wal: Options {
            segment_size: 4 << 10,
            reserve: 0,
            idle_mark_sync: None,
            ..Options::default()
        },
        ..DiskOptions::default()
    }
}

/// A data directory with overwritten entries, several segments and a snapshot.
fn directory() -> (tempfile::TempDir, DiskStorage) {
    let dir = tempfile::tempdir().unwrap();
    let (mut s, _) = DiskStorage::open(dir.path(), options()).unwrap();
    for (term, range, commit) in [(1, 1..=20, 5), (2, 15..=40, 30), (2, 41..=60, 50)] {
        s.append(&write(term, range, commit)).unwrap();
        s.sync().unwrap();
    }
    s.save_snapshot(&snapshot(30, 2)).unwrap();
    (dir, s)
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(dir.join("member/wal"))
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "wal"))
        .collect();
    all.sort();
    all
}

#[test]
fn s17_another_process_is_refused() {
    let _turn = alone();
    let (dir, store) = directory();
    for command in ["verify", "repair"] {
        let o = tool(&[command], dir.path());
        assert_eq!(code(&o), 3, "{}", text(&o));
        assert!(
            text(&o).contains("another process has this directory open"),
            "{}",
            text(&o)
        );
    }
    drop(store);
    assert_eq!(code(&tool(&["verify"], dir.path())), 0);
}

#[test]
fn dump_prints_every_record_as_json() {
    let _turn = alone();
    let (dir, store) = directory();
    drop(store);
    let o = tool(&["dump", "--json"], dir.path());
    assert_eq!(code(&o), 0, "{}", text(&o));
    let lines: Vec<Value> = String::from_utf8(o.stdout)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let of = |t: &str| {
        lines
            .iter()
            .filter(|l| l["type"] == t)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of("entry").len(), 20 + 26 + 20, "overwritten ones too");
    assert_eq!(of("metadata").len(), segments(dir.path()).len());
    let keys: Vec<_> = lines[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut want = vec![
        "segment",
        "offset",
        "type",
        "term",
        "index",
        "entry_type",
        "vote",
        "commit",
        "crc",
        "seq",
        "conf_state",
        "data",
        "status",
    ];
    want.sort_unstable();
    assert_eq!(keys, want);
    assert!(lines.iter().all(|l| l["status"] == "ok"));
    let e = &of("entry")[0];
    assert_eq!(
        (&e["term"], &e["index"], &e["entry_type"]),
        (&1.into(), &1.into(), &"EntryNormal".into())
    );
    assert!(e["vote"].is_null() && e["conf_state"].is_null() && e["data"].is_string());
    let snap = of("snapshot").last().unwrap().clone();
    assert_eq!(
        (&snap["index"], &snap["conf_state"]["voters"][2]),
        (&30.into(), &3.into())
    );
    let seqs: Vec<_> = lines.iter().map(|l| l["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|w| w[1] == w[0] + 1));
    // A wal directory and one segment are taken, too.
    assert_eq!(
        code(&tool(&["dump", "--json"], &dir.path().join("member/wal"))),
        0
    );
    assert_eq!(code(&tool(&["dump"], &segments(dir.path())[0])), 0);
}

#[test]
fn verify_tells_sound_torn_corrupt_and_failed_apart() {
    let _turn = alone();
    let (dir, store) = directory();
    drop(store);
    let all = segments(dir.path());
    let last = all.last().unwrap();
    let sound = std::fs::read(last).unwrap();
    let end = common::written(&sound);

    // Behind the end: the beginning of a record that was never finished.
    let mut torn = sound.clone();
    torn[end..end + 3].copy_from_slice(&[0x30, 0, 1]);
    std::fs::write(last, &torn).unwrap();
    let o = tool(&["verify"], dir.path());
    assert_eq!(code(&o), 1, "{}", text(&o));
    let name = last.file_name().unwrap().to_str().unwrap();
    assert!(
        text(&o).contains(name) && text(&o).contains(&format!("offset {end}")),
        "{}",
        text(&o)
    );
    assert_eq!(std::fs::read(last).unwrap(), torn, "verify never writes");
    let o = tool(&["repair"], dir.path());
    assert_eq!(code(&o), 0, "{}", text(&o));
    assert!(text(&o).contains(".broken"));
    assert_eq!(code(&tool(&["verify"], dir.path())), 0);
    assert_eq!(common::written(&std::fs::read(last).unwrap()), end);
    assert_eq!(code(&tool(&["repair"], dir.path())), 0);

    // A flipped bit in what was durable.
    let original = std::fs::read(&all[0]).unwrap();
    let mut bad = original.clone();
    bad[700] ^= 4;
    std::fs::write(&all[0], &bad).unwrap();
    for command in ["verify", "repair"] {
        let o = tool(&[command], dir.path());
        assert_eq!(code(&o), 2, "{}", text(&o));
        let name = all[0].file_name().unwrap().to_str().unwrap();
        assert!(
            text(&o).contains(name) && text(&o).contains("offset "),
            "{}",
            text(&o)
        );
    }
    assert_eq!(
        std::fs::read(&all[0]).unwrap(),
        bad,
        "repair does not touch corruption"
    );
    assert_eq!(code(&tool(&["verify"], &all[0])), 2);
    std::fs::write(&all[0], &original).unwrap();

    // The snapshot that the log needs.
    let mut store = DiskStorage::open(dir.path(), options()).unwrap().0;
    for n in 6..40 {
        store
            .append(&write(2, n * 10 + 1..=n * 10 + 10, n * 10))
            .unwrap();
        store.sync().unwrap();
    }
    for index in [350, 380] {
        store.save_snapshot(&snapshot(index, 2)).unwrap();
    }
    store.compact(379).unwrap();
    drop(store);
    assert_eq!(code(&tool(&["verify"], dir.path())), 0);
    let snaps = dir.path().join("member/snap");
    let hidden = dir.path().join("hidden");
    std::fs::rename(&snaps, &hidden).unwrap();
    std::fs::create_dir(&snaps).unwrap();
    let o = tool(&["verify"], dir.path());
    assert_eq!(code(&o), 2, "{}", text(&o));
    assert!(text(&o).contains("are not in the log"), "{}", text(&o));
    std::fs::remove_dir(&snaps).unwrap();
    std::fs::rename(&hidden, &snaps).unwrap();

    // The mark.
    let mark = dir.path().join("member/wal/durable.mark");
    std::fs::remove_file(&mark).unwrap();
    assert_eq!(code(&tool(&["verify"], dir.path())), 2);
    assert_eq!(code(&tool(&["repair"], dir.path())), 2);
    let o = tool(&["repair", "--without-mark"], dir.path());
    assert_eq!(code(&o), 0, "{}", text(&o));
    assert_eq!(code(&tool(&["verify"], dir.path())), 0);

    assert_eq!(code(&tool(&["verify"], Path::new("/nowhere"))), 3);
    assert_eq!(code(&tool(&["bark"], dir.path())), 3);
    assert_eq!(code(&tool(&["verify", "--help"], dir.path())), 0);
}

#[test]
fn export_writes_a_directory_that_etcds_rules_read() {
    let _turn = alone();
    let (dir, mut store) = directory();
    store.save_snapshot(&snapshot(45, 2)).unwrap();
    store.compact(30).unwrap();
    drop(store);
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("etcd");
    let o = tool(&["export", "--etcd", to.to_str().unwrap()], dir.path());
    assert_eq!(code(&o), 0, "{}", text(&o));
    assert!(!to.join("member/wal/durable.mark").exists());
    let plain = Options {
        format: Format::Etcd,
        ..Options::default()
    };
    let (reader, found) = Wal::read(&to.join("member/wal"), &plain).unwrap();
    assert!(!found.protected && found.torn.is_none());
    assert_eq!(found.hard_state, hs(2, 1, 50));
    found.check_snapshot(45, 2).unwrap();
    found.check_snapshot(30, 2).unwrap();
    assert_eq!(found.entries.1, 60);
    assert_eq!(
        reader.entries(46, 61, NO_LIMIT).unwrap(),
        entries(2, 46..=60)
    );
    // No field but etcd's in any record.
    let o = tool(&["dump", "--json"], &to);
    assert!(String::from_utf8(o.stdout).unwrap().lines().all(|l| {
        let v: Value = serde_json::from_str(l).unwrap();
        v["seq"].is_null() && v["status"] == "ok"
    }));
    // And DiskStorage takes it from there.
    let (store, report) = DiskStorage::open(&to, options()).unwrap();
    assert_eq!(report.snapshot.index, 45);
    assert_eq!(store.last_index(), Ok(60));
    // A directory that holds a log is not overwritten.
    drop(store);
    let o = tool(&["export", "--etcd", to.to_str().unwrap()], dir.path());
    assert_eq!(code(&o), 3, "{}", text(&o));
}

#[test]
fn a_directory_of_another_node_is_refused_and_left_alone() {
    let _turn = alone();
    let (dir, store) = directory();
    drop(store);
    for (node_id, cluster_id, what) in [(4, 9, "node id 3, not 4"), (3, 8, "cluster id 9, not 8")] {
        let o = DiskOptions {
            node_id,
            cluster_id,
            ..options()
        };
        let e = DiskStorage::open(dir.path(), o).unwrap_err().to_string();
        assert!(e.contains(what), "{e}");
    }
    let (store, report) = DiskStorage::open(dir.path(), options()).unwrap();
    assert_eq!(
        report.session.count, 2,
        "the refused openings did not count"
    );
    assert_eq!(store.identity().node_id, 3);
}
