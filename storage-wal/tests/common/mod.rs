//! What the fault tests share: small logs in memory, and comparing what is found with what was written. Go: none

#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod history;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tickraft_storage_wal::raftpb::{Entries, Entry, HardState, NO_LIMIT, Snapshot};
use tickraft_storage_wal::storage::testing::Model;
use tickraft_storage_wal::storage::{self, Storage, Write, Writer};
use tickraft_storage_wal::vfs::{FaultyFs, Vfs};
use tickraft_storage_wal::{
    DiskOptions, DiskStorage, Error, OpenReport, Options, SegmentName, Wal,
};

/// Whether the exhaustive tests run whole.
pub(crate) fn exhaustive() -> bool {
    std::env::var_os("TICKRAFT_EXHAUSTIVE").is_some()
}

pub(crate) fn options(fs: &FaultyFs) -> Options {
    Options {
        segment_size: 4 << 10,
        cache_bytes: 0,
        reserve: 0,
        idle_mark_sync: None,
        keep_entries: 2,
        vfs: Arc::new(fs.clone()),
        seed: Some(42),
        ..Options::default()
    }
}

pub(crate) fn disk_options(fs: &FaultyFs) -> DiskOptions {
    DiskOptions {
        node_id: 1,
        cluster_id: 7,
        wal: options(fs),
        ..DiskOptions::default()
    }
}

pub(crate) const DIR: &str = "/data";

pub(crate) fn open(fs: &FaultyFs) -> Result<(DiskStorage, OpenReport), Error> {
    DiskStorage::open(Path::new(DIR), disk_options(fs))
}

pub(crate) fn wal_dir() -> PathBuf {
    PathBuf::from("/wal")
}

pub(crate) fn entry(term: u64, index: u64) -> Entry {
    Entry::new(term, index, format!("{term}/{index}/").repeat(8))
}

pub(crate) fn entries(term: u64, range: std::ops::RangeInclusive<u64>) -> Entries {
    range.map(|i| entry(term, i)).collect()
}

pub(crate) fn hs(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit }
}

pub(crate) fn write(term: u64, range: std::ops::RangeInclusive<u64>, commit: u64) -> Write {
    Write {
        hard_state: Some(hs(term, 1, commit)),
        entries: entries(term, range),
        must_sync: true,
        ..Write::default()
    }
}

pub(crate) fn snapshot(index: u64, term: u64) -> Snapshot {
    let mut s = Snapshot {
        data: format!("state at {index}").repeat(20).into(),
        ..Snapshot::default()
    };
    (s.metadata.index, s.metadata.term) = (index, term);
    s.metadata.conf_state.voters = vec![1, 2, 3];
    s
}

/// What a log holds.
pub(crate) type State = (HardState, Vec<Entry>);

/// Reads a log without changing it.
pub(crate) fn read_wal(fs: &FaultyFs) -> Result<State, Error> {
    let (reader, found) = Wal::read(&wal_dir(), &options(fs))?;
    let (mut at, end) = (reader.first_index(), reader.last_index() + 1);
    let mut all = Vec::new();
    while at < end {
        let got = reader.entries(at, end, NO_LIMIT)?;
        at += got.len() as u64;
        all.extend(got.iter().cloned());
    }
    Ok((found.hard_state, all))
}

/// The segments of a directory.
pub(crate) fn segments(fs: &FaultyFs, dir: &Path) -> Vec<PathBuf> {
    SegmentName::list(fs, dir)
        .unwrap()
        .iter()
        .map(|n| dir.join(n.to_string()))
        .collect()
}

/// How many bytes of a segment are written: up to the last that is not zero, rounded up to a frame.
pub(crate) fn written(bytes: &[u8]) -> usize {
    let n = bytes.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
    n.next_multiple_of(8).min(bytes.len())
}

/// Where the frames of a segment begin and end.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut at = 0;
    while at + 8 <= bytes.len() {
        let word = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        if word == 0 {
            break;
        }
        let size = usize::try_from(word & !(0xff << 56)).unwrap();
        let end = at + 8 + size.next_multiple_of(8);
        out.push((at, end));
        at = end;
    }
    out
}

/// Copies a file over another.
pub(crate) fn put(fs: &FaultyFs, path: &Path, bytes: &[u8]) {
    if !fs.exists(path).unwrap() {
        fs.open(path, tickraft_storage_wal::vfs::Mode::Create)
            .unwrap();
    }
    fs.damage(path, |b| *b = bytes.to_vec()).unwrap();
}

/// One step of a node's life.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Append(Write),
    Sync,
    Save(Snapshot),
    Compact(u64),
}

impl Step {
    /// Whether all before it, and itself, is durable when it returns.
    pub(crate) fn durable(&self) -> bool {
        match self {
            Self::Append(w) => w.snapshot.is_some(),
            Self::Sync | Self::Save(_) => true,
            Self::Compact(_) => false,
        }
    }

    pub(crate) fn run(&self, s: &mut impl Writer) -> Result<(), storage::Error> {
        match self {
            Self::Append(w) => s.append(w),
            Self::Sync => s.sync(),
            Self::Save(x) => s.save_snapshot(x),
            Self::Compact(i) => s.compact(*i),
        }
    }
}

/// Appends, overwrites, votes, own and received snapshots, compactions, enough to cut and purge segments of 4 KiB.
pub(crate) fn life() -> Vec<Step> {
    use Step::*;
    let mut steps = vec![Append(write(1, 1..=3, 0)), Sync];
    for (term, first, commit) in [(1, 4, 3), (2, 6, 5), (2, 18, 17), (3, 26, 25)] {
        steps.push(Append(write(term, first..=first + 11, commit)));
        steps.push(Append(Write {
            hard_state: Some(hs(term, 1, commit + 2)),
            ..Write::default()
        }));
        steps.push(Sync);
    }
    steps.extend([
        Save(snapshot(10, 2)),
        Append(write(4, 36..=40, 30)),
        Save(snapshot(30, 3)),
        Compact(28),
        Append(write(4, 41..=60, 41)),
        Sync,
        Save(snapshot(50, 4)),
        Compact(48),
        Append(Write {
            hard_state: Some(hs(5, 2, 80)),
            snapshot: Some(snapshot(80, 5)),
            entries: entries(5, 81..=82),
            must_sync: true,
        }),
        Append(write(5, 83..=90, 84)),
        Sync,
        Append(write(6, 91..=91, 90)),
    ]);
    steps
}

/// Compares all that can be seen; the first index and the commit index may differ within what the contract allows.
pub(crate) fn same(s: &DiskStorage, m: &Model) -> Result<(), String> {
    let say = |what: &str, got: &dyn std::fmt::Debug, want: &dyn std::fmt::Debug| {
        Err(format!("{what}: {got:?}, not {want:?}"))
    };
    let (got, want) = (s.last_index().unwrap(), m.last_index().unwrap());
    if got != want {
        return say("last index", &got, &want);
    }
    let (mut got, want) = (s.initial_state().unwrap(), m.initial_state().unwrap());
    let snap = s.snapshot().unwrap();
    if got.0.commit == snap.metadata.index {
        got.0.commit = want.0.commit;
    }
    if got != want {
        return say("initial state", &got, &want);
    }
    if snap != m.snapshot().unwrap() {
        return say("snapshot", &snap.metadata, &m.snapshot().unwrap().metadata);
    }
    let first = s.first_index().unwrap().max(m.first_index().unwrap());
    if s.first_index().unwrap() > snap.metadata.index + 1 {
        return say("first index", &s.first_index(), &snap.metadata.index);
    }
    let mut at = first;
    while at <= want_last(m) {
        let got = s.entries(at, want_last(m) + 1, NO_LIMIT).unwrap();
        let want = m.entries(at, at + got.len() as u64, NO_LIMIT).unwrap();
        if got != want {
            return say("entries", &got, &want);
        }
        at += got.len() as u64;
    }
    Ok(())
}

fn want_last(m: &Model) -> u64 {
    m.last_index().unwrap()
}

/// Runs a life until a step fails. Returns the state that is acknowledged, and all states since, up to that of the failed step.
pub(crate) fn live(fs: &FaultyFs, steps: &[Step]) -> Vec<Model> {
    live_from(fs, steps, open)
}

/// As [`live`], with the directory opened by `open`.
pub(crate) fn live_from(
    fs: &FaultyFs,
    steps: &[Step],
    open: impl Fn(&FaultyFs) -> Result<(DiskStorage, OpenReport), Error>,
) -> Vec<Model> {
    let mut model = Model::default();
    let mut since = vec![model.clone()];
    let Ok((mut store, _)) = open(fs) else {
        return since;
    };
    for s in steps {
        let done = s.run(&mut store);
        s.run(&mut model).unwrap();
        if done.is_ok() && s.durable() {
            since.clear();
        }
        since.push(model.clone());
        if done.is_err() {
            break;
        }
    }
    since
}

/// Which of the states that may be it is: its number, and a model to go on from. The error says how each differs.
pub(crate) fn which(s: &DiskStorage, allowed: &[Model]) -> Result<(usize, Model), String> {
    let mut why = Vec::new();
    for (n, m) in allowed.iter().enumerate() {
        match same(s, m) {
            Ok(()) => {
                let mut m = m.clone();
                // The commit index may have been raised to the snapshot's.
                let found = Write {
                    hard_state: Some(s.initial_state().unwrap().0),
                    ..Write::default()
                };
                m.append(&found).unwrap();
                return Ok((n, m));
            }
            Err(e) => why.push(e),
        }
    }
    Err(format!("none of the states that may be: {why:#?}"))
}

/// The found state must be one of those that may be.
pub(crate) fn one_of(s: &DiskStorage, allowed: &[Model], context: &str) -> Model {
    let found = which(s, allowed).unwrap_or_else(|e| panic!("{context}: {e}"));
    found.1
}
