//! What is found after a reopen.

use super::pair::Pair;
use super::*;

/// All that was synced is there: entries, hard state, snapshots, in one Write or many.
pub(super) fn sync_keeps<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::new(h)?;
    p.reopen(h)?;
    p.append(&write(1, &[1, 1, 2], 0))?;
    p.sync()?;
    p.reopen(h)?;
    // One sync for several Writes, and one for none.
    p.append(&write(4, &[2], 2))?;
    p.append(&write(5, &[2, 3], 3))?;
    p.sync()?;
    p.sync()?;
    p.reopen(h)?;
    p.append(&Write {
        snapshot: Some(snapshot(20, 5, &[1, 2])),
        ..write(21, &[5, 5], 20)
    })?;
    p.sync()?;
    p.reopen(h)?;
    p.reopen(h)
}

/// A hard state whose commit alone moved needs no sync of its own, and is kept by the next.
pub(super) fn commit_only_writes<H: Harness>(h: &mut H) -> Outcome {
    let commit = |c| Write {
        hard_state: Some(hard_state(1, 1, c)),
        ..Write::default()
    };
    let mut p = Pair::with(h, &[write(1, &[1, 1, 1], 0)])?;
    p.append(&commit(1))?;
    p.append(&commit(2))?;
    p.sync()?;
    p.reopen(h)?;
    let got = p.store.initial_state().map(|s| s.0.commit);
    same_result("initial_state", &got, &Ok(2))?;
    // Not synced: the old one or the new one.
    p.append(&commit(3))?;
    p.reopen(h)
}

/// What was overwritten or dropped does not come back.
pub(super) fn overwrites_stay_overwritten<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::with(h, &[write(1, &[1, 1, 1, 1, 1, 1], 1)])?;
    p.append(&write(3, &[2], 1))?;
    p.sync()?;
    p.reopen(h)?;
    same_result("last_index", &p.store.last_index(), &Ok(3))?;
    p.append(&write(2, &[3, 3, 3], 1))?;
    p.append(&write(4, &[4], 1))?;
    p.sync()?;
    p.reopen(h)?;
    p.append(&install(snapshot(3, 5, &[1])))?;
    p.sync()?;
    p.reopen(h)?;
    same_result("last_index", &p.store.last_index(), &Ok(3))
}

/// A snapshot is durable when the call returns, without a sync.
pub(super) fn snapshots_are_durable<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::new(h)?;
    p.append(&Write {
        snapshot: Some(snapshot(0, 0, &[1, 2, 3])),
        ..Write::default()
    })?;
    p.reopen(h)?;
    let mut p = Pair::with(h, &[write(1, &[1, 1, 1, 1], 4)])?;
    p.save_snapshot(&snapshot(2, 1, &[1]))?;
    p.reopen(h)?;
    let got = p.store.snapshot().map(|s| s.metadata.index);
    same_result("snapshot", &got, &Ok(2))?;
    p.compact(1)?;
    p.reopen(h)?;
    p.save_snapshot(&snapshot(4, 1, &[2]))?;
    p.compact(4)?;
    p.reopen(h)?;
    p.append(&install(snapshot(9, 2, &[3])))?;
    p.reopen(h)?;
    same_result("last_index", &p.store.last_index(), &Ok(9))
}

/// Writes since the last sync may be lost, but none without all that follow it, and none in part.
pub(super) fn unsynced_is_a_prefix<H: Harness>(h: &mut H) -> Outcome {
    let synced = write(1, &[1, 1], 1);
    let writes = [
        write(3, &[1, 2], 2),
        write(3, &[3], 2),
        write(4, &[3, 3, 3], 3),
        Write {
            hard_state: Some(hard_state(4, 2, 3)),
            must_sync: true,
            ..Write::default()
        },
        Write {
            snapshot: Some(snapshot(9, 4, &[1, 2])),
            ..write(10, &[4, 4], 9)
        },
        write(12, &[5], 10),
    ];
    for n in 1..=writes.len() {
        let mut p = Pair::with(h, std::slice::from_ref(&synced))?;
        for w in &writes[..n] {
            p.append(w)?;
        }
        p.reopen(h)?;
    }
    Ok(())
}

/// A reopened log is read, written, compacted and snapshotted like any other.
pub(super) fn reopened_goes_on<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::with(h, &[write(1, &[1, 1, 1, 2], 3)])?;
    p.save_snapshot(&snapshot(2, 1, &[1]))?;
    p.compact(1)?;
    p.reopen(h)?;
    p.append(&write(4, &[3, 3], 3))?;
    p.append(&write(6, &[3], 5))?;
    let out_of_range = Error::OutOfRange {
        index: 0,
        first: 0,
        last: 0,
    };
    p.refuse(&write(8, &[3], 5), &out_of_range)?;
    p.refuse(&install(snapshot(2, 1, &[9])), &Error::SnapshotOutOfDate)?;
    p.save_snapshot(&snapshot(5, 3, &[1, 2]))?;
    p.compact(5)?;
    p.sync()?;
    p.reopen(h)?;
    p.append(&install(snapshot(30, 4, &[7])))?;
    p.append(&write(31, &[4], 30))?;
    p.sync()?;
    p.reopen(h)
}
