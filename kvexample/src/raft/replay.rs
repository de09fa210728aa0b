//! What a directory holds, applied without a running node: to look at it, and to recover from it. Go: readWAL and replayWAL in raft.go

use super::apply::restore;
use crate::error::Error;
use crate::kvstore::State;
use node::raft::Config;
use node::rawnode::RawNode;
use raftpb::{ConfState, Entries, Entry, EntryType, HardState, Snapshot, unmarshal_conf_change};
use slog::Logger;
use storage_wal::DiskStorage;
use storage_wal::storage::{self, Storage};

/// How far a directory is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upto {
    /// As far as it knows its entries to be committed.
    Commit,
    /// To its log's end: with a majority lost, nobody else can say whether the last entries were acknowledged.
    End,
}

/// The state that a directory's snapshot and log give.
///
/// # Errors
/// [`Error::Stopped`]: it cannot be read, or was written by a newer build.
pub(crate) fn replay(disk: &DiskStorage, id: u64, upto: Upto) -> Result<State, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::Stopped(e.to_string());
    let snapshot = disk.load_snapshot().map_err(|e| failed(&e))?;
    let mut state = match snapshot.is_empty() {
        true => State::default(),
        false => restore(&snapshot).map_err(Error::Stopped)?,
    };
    let mut conf = snapshot.metadata.conf_state;
    let raft = Config {
        applied: state.index(),
        ..Config::new(id, 1)
    };
    let view = View {
        disk: disk.clone(),
        upto,
    };
    let log = Logger::root(slog::Discard, slog::o!());
    let mut rn = RawNode::new(raft, view, log, None).map_err(|e| failed(&e))?;
    while let Some(ready) = rn.ready().map_err(|e| failed(&e))? {
        // Nothing is stepped, so there is nothing to write but the commit index, which came from there.
        let persisted = ready.persisted();
        for e in persisted.committed_entries().iter() {
            apply(&mut state, &mut conf, &mut rn, e).map_err(|e| failed(&e))?;
        }
        rn.advance(persisted).map_err(|e| failed(&e))?;
    }
    Ok(state)
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn apply(
    state: &mut State,
    conf: &mut ConfState,
    rn: &mut RawNode<View>,
    e: &Entry,
) -> Result<(), BoxError> {
    let change = match e.get_type() {
        EntryType::Normal => None,
        _ => unmarshal_conf_change(e).ok(),
    };
    let Some(cc) = change.map(Option::unwrap_or_default) else {
        let plain = match e.get_type() {
            EntryType::Normal => e.clone(),
            _ => Entry::new(e.term, e.index, ""),
        };
        state.apply(&plain)?;
        return Ok(());
    };
    let mut verdict = state.check_change(&cc, conf);
    if verdict.is_ok() {
        match rn.apply_conf_change(&cc) {
            Ok(new) => *conf = new,
            Err(node::raft::Error::Fault(f)) => return Err(f.into()),
            Err(_) => verdict = Err(crate::kvstore::Refused::Invalid),
        }
    }
    state.apply_change(e, &cc, verdict)?;
    Ok(())
}

/// The directory as the core is to see it.
struct View {
    disk: DiskStorage,
    upto: Upto,
}

impl Storage for View {
    fn initial_state(&self) -> Result<(HardState, ConfState), storage::Error> {
        let (mut hs, conf) = self.disk.initial_state()?;
        if self.upto == Upto::End {
            hs.commit = self.disk.last_index()?;
        }
        Ok((hs, conf))
    }

    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, storage::Error> {
        self.disk.entries(lo, hi, max_size)
    }

    fn term(&self, index: u64) -> Result<u64, storage::Error> {
        self.disk.term(index)
    }

    fn first_index(&self) -> Result<u64, storage::Error> {
        self.disk.first_index()
    }

    fn last_index(&self) -> Result<u64, storage::Error> {
        self.disk.last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, storage::Error> {
        self.disk.snapshot()
    }
}
