//! A node's restart: the directory opened, the snapshot loaded, the log behind it applied, and something new committed.

use crate::Failed;
use crate::open::{fill, options};
use crate::process::{Peak, Watch};
use benches::payload::payload;
use rawnode::RawNode;
use rawnode::raft::Config;
use rawnode::raft::slog::{Discard, Logger, o};
use std::path::Path;
use storage_wal::DiskStorage;
use storage_wal::raftpb::Snapshot;
use storage_wal::storage::{Write, Writer};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Payload bytes in the log behind the snapshot.
    #[arg(long, default_value_t = 64)]
    log_mib: u64,
    /// Bytes of the snapshot.
    #[arg(long, default_value_t = 64)]
    snapshot_mib: usize,
    /// Bytes a payload.
    #[arg(long, default_value_t = 256)]
    payload: usize,
    /// How often it is restarted.
    #[arg(long, default_value_t = 3)]
    times: u64,
}

pub(crate) fn run(dir: &Path, a: &Args) -> Result<(), Failed> {
    prepare(dir, a)?;
    println!(
        "a snapshot of {} MiB and {} MiB of log behind it",
        a.snapshot_mib, a.log_mib
    );
    Ok(())
}

pub(crate) fn measure(dir: &Path, a: &Args) -> Result<(), Failed> {
    for _ in 0..a.times {
        let (watch, peak) = (Watch::start(), Peak::watch());
        let (store, _) = DiskStorage::open(dir, options(64))?;
        let (opened, _) = watch.read();
        let state = store.load_snapshot()?;
        let (loaded, _) = watch.read();
        let applied = serve(store.clone(), &state)?;
        let (wall, cpu) = watch.read();
        println!(
            "serves after {wall:.2?} ({cpu:.2?} of processor time): opened {opened:.2?}, snapshot read {:.2?}, {applied} entries applied {:.2?}; memory + {} MiB",
            loaded - opened,
            wall - loaded,
            peak.mib()
        );
        store.close()?;
    }
    Ok(())
}

fn prepare(dir: &Path, a: &Args) -> Result<(), Failed> {
    let (mut store, _) = DiskStorage::open(dir, options(64))?;
    let mut first = Snapshot::default();
    first.metadata.conf_state.voters = vec![1];
    store.append(&Write {
        snapshot: Some(first.clone()),
        ..Write::default()
    })?;
    let index = fill(&mut store, 2, a.payload, 1)?;
    (first.metadata.index, first.metadata.term) = (index, 1);
    first.data = payload(1, a.snapshot_mib.max(1) << 20).into();
    store.save_snapshot(&first)?;
    store.compact(index)?;
    fill(&mut store, a.log_mib, a.payload, 1)?;
    Ok(store.close()?)
}

/// Runs the only voter until it has committed an entry of its own. Returns how many entries were applied.
fn serve(mut store: DiskStorage, state: &Snapshot) -> Result<usize, Failed> {
    let mut config = Config::new(1, 42);
    config.applied = state.metadata.index;
    let mut node = RawNode::new(config, store.clone(), Logger::root(Discard, o!()), None)?;
    let (mut applied, mut proposed) = (0, false);
    node.campaign()?;
    loop {
        let Some(ready) = node.ready()? else {
            if proposed {
                return Ok(applied);
            }
            node.propose("new".into())?;
            proposed = true;
            continue;
        };
        store.append(ready.write())?;
        if ready.must_sync() {
            store.sync()?;
        }
        let persisted = ready.persisted();
        applied += persisted.committed_entries().len();
        node.advance(persisted)?;
    }
}
