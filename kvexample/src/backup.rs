//! A copy of the whole state in a file, and a cluster of one made from it. Go: etcdutl snapshot save and restore; etcd's --force-new-cluster
//!
//! # The file, version 1
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `TKKVBACK` |
//! | 1 | the version |
//! | n | the state, as in a snapshot |
//! | 8 | n, little-endian |
//! | 4 | CRC-32C of all bytes before, little-endian |

use crate::data::renewed;
use crate::error::Error;
use crate::kvstore::State;
use crate::raft::{Upto, replay};
use crc32c::crc32c_append;
use raftpb::{ConfState, HardState, Snapshot, SnapshotMetadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use storage_wal::storage::{Write, Writer};
use storage_wal::vfs::{OsFs, Vfs};
use storage_wal::{DiskOptions, DiskStorage};

const MAGIC: &[u8; 8] = b"TKKVBACK";
const VERSION: u8 = 1;
const HEAD: usize = 9;
const TAIL: usize = 12;

/// Writes a backup of the state, piece by piece.
///
/// # Errors
/// Those of `emit`, which gets the pieces.
///
/// ```
/// use kvexample::{backup, kvstore::State};
/// let mut file = Vec::new();
/// backup::write(&State::default(), &mut |piece| Ok::<_, ()>(file.extend_from_slice(piece))).unwrap();
/// assert_eq!(backup::read(&mut &file[..]).unwrap(), State::default());
/// file[12] ^= 1;
/// assert!(backup::read(&mut &file[..]).is_err());
/// ```
pub fn write<E>(state: &State, emit: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut crc = 0;
    let mut count = 0u64;
    let mut piece = |bytes: &[u8]| {
        crc = crc32c_append(crc, bytes);
        emit(bytes)
    };
    piece(&[&MAGIC[..], &[VERSION]].concat())?;
    state.encode_to(&mut |bytes| {
        count += bytes.len() as u64;
        piece(bytes)
    })?;
    piece(&count.to_le_bytes())?;
    emit(&crc.to_le_bytes())
}

/// Reads a backup, whole and unaltered or not at all.
///
/// # Errors
/// [`Error::Backup`], [`Error::Io`].
pub fn read(from: &mut dyn Read) -> Result<State, Error> {
    let bad = |why: &str| Error::Backup(why.into());
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).map_err(|source| Error::Io {
        action: "read the backup",
        source,
    })?;
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| bad("it is something else"))?;
    match rest.first() {
        Some(&VERSION) => {}
        Some(_) => return Err(bad("a newer build wrote it: use that one")),
        None => return Err(bad("it ends too early")),
    }
    let (body, tail) = bytes
        .len()
        .checked_sub(TAIL)
        .filter(|n| *n >= HEAD)
        .and_then(|n| bytes.split_at_checked(n))
        .ok_or_else(|| bad("it ends too early"))?;
    let (count, crc) = tail
        .split_first_chunk::<8>()
        .ok_or_else(|| bad("it ends too early"))?;
    if crc != crc32c_append(crc32c_append(0, body), count).to_le_bytes() {
        return Err(bad(
            "its checksum does not hold: it was cut short or altered",
        ));
    }
    let state = body.get(HEAD..).unwrap_or_default();
    if u64::from_le_bytes(*count) != state.len() as u64 {
        return Err(bad("its length does not hold"));
    }
    State::decode(state).map_err(|e| bad(&e.to_string()))
}

/// Makes a directory for a new cluster of one node with this state. What is there afterwards is all of it, or nothing.
///
/// # Errors
/// [`Error::Config`]: the directory is not empty. [`Error::Data`], [`Error::Io`].
pub fn restore(
    state: State,
    dir: &Path,
    id: u64,
    addr: &str,
    cluster_id: u64,
) -> Result<(), Error> {
    if std::fs::read_dir(dir).is_ok_and(|mut d| d.next().is_some()) {
        let why = format!("{} is not empty: give a new --data-dir", dir.display());
        return Err(Error::Config(why));
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let partial = dir.with_file_name(format!("{name}.partial"));
    // Of an attempt that was cut short.
    remove(&partial)?;
    make(state, &partial, id, addr, cluster_id)?;
    if dir.exists() {
        std::fs::remove_dir(dir).map_err(io("remove the empty directory"))?;
    }
    rename(&partial, dir)
}

/// Makes the member that DIR holds a new cluster of its own, with all that its log has: for when a majority is lost for good. The old files stay beside the new.
/// Returns the node's id and the state.
///
/// # Errors
/// [`Error::Data`], [`Error::Config`], [`Error::Io`]; the directory is as it was, or the next attempt finishes what this one began.
pub fn recover(dir: &Path, addr: Option<&str>) -> Result<(u64, State), Error> {
    let data = |source| Error::data(dir, source);
    let (member, made) = (dir.join("member"), dir.join("recovered"));
    let finished = !member.exists() && made.join("member").exists();
    if !finished {
        remove(&made)?;
        let options = DiskOptions::default();
        if !DiskStorage::exists(dir, &options).map_err(data)? {
            return Err(Error::Config(format!(
                "{} holds no node's data",
                dir.display()
            )));
        }
        let (disk, report) = DiskStorage::open(dir, options).map_err(data)?;
        let id = report.identity.node_id;
        let state = replay(&disk, id, Upto::End)?;
        drop(disk);
        let known = state.members().get(id).map(|m| m.addr.clone());
        let addr = addr.map(str::to_owned).or(known).filter(|a| !a.is_empty());
        let addr = addr.ok_or_else(|| {
            Error::Config(format!(
                "it is not known where node {id} listens: give --addr"
            ))
        })?;
        make(state, &made, id, &addr, renewed(report.identity.cluster_id))?;
        rename(&member, &unused(dir))?;
    }
    rename(&made.join("member"), &member)?;
    remove(&made)?;
    let (disk, report) = DiskStorage::open(dir, DiskOptions::default()).map_err(data)?;
    let id = report.identity.node_id;
    let state = replay(&disk, id, Upto::Commit)?;
    disk.close().map_err(data)?;
    Ok((id, state))
}

/// A directory that begins with a snapshot of this state, and one voter.
fn make(state: State, dir: &Path, id: u64, addr: &str, cluster_id: u64) -> Result<(), Error> {
    let state = state.alone(id, addr);
    let data = |source| Error::data(dir, source);
    let options = DiskOptions {
        node_id: id,
        cluster_id,
        ..DiskOptions::default()
    };
    let (mut disk, _) = DiskStorage::open(dir, options).map_err(data)?;
    let (index, term) = (state.index(), state.term());
    let conf_state = ConfState {
        voters: vec![id],
        ..ConfState::default()
    };
    let snapshot = Snapshot {
        data: state.encode().into(),
        metadata: SnapshotMetadata {
            conf_state,
            index,
            term,
        },
    };
    let write = Write {
        hard_state: Some(HardState {
            term,
            vote: 0,
            commit: index,
        }),
        snapshot: Some(snapshot),
        must_sync: true,
        ..Write::default()
    };
    let failed = |e: storage_wal::storage::Error| Error::Stopped(e.to_string());
    disk.append(&write).map_err(failed)?;
    disk.sync().map_err(failed)?;
    disk.close().map_err(data)
}

fn io(action: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { action, source }
}

fn remove(dir: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove an unfinished directory")(e))
        }
        _ => Ok(()),
    }
}

/// Gives what is whole its name, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(io("rename what was written"))?;
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    OsFs.sync_dir(parent).map_err(io("sync the directory"))
}

/// Where the old files go: each recovery's stay.
fn unused(dir: &Path) -> PathBuf {
    let names = (1u32..).map(|n| dir.join(format!("member.before-recovery-{n}")));
    names.into_iter().find(|p| !p.exists()).unwrap_or_default()
}
