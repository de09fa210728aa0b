//! A node's directory: made, opened, and held against who the node is said to be. Go: the waldir and snapdir of raftexample; etcd's membership and cluster id

use crate::config::random;
use crate::error::Error;
use crate::kvstore::fingerprint;
use crate::raft::{Upto, replay};
use slog::{Logger, info, warn};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use storage_wal::{DiskOptions, DiskStorage, OpenReport};
use transport_tcp::{Hello, Kind, ask};

/// How long one node gets to say which cluster is its.
const ANSWER: Duration = Duration::from_secs(1);
/// The pause after all were asked in vain.
const PAUSE: Duration = Duration::from_millis(200);

/// Who a node is said to be; its directory must agree, or is made for it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The node's id.
    pub id: u64,
    /// What tells its cluster from others with the same list.
    pub token: &'a str,
    /// The list that the cluster began with; for a joiner, whom to ask. Empty: the directory knows.
    pub members: &'a [(u64, String)],
    /// Whether it joins a running cluster.
    pub join: bool,
    /// Where it says what it waits for.
    pub log: &'a Logger,
}

/// An opened data directory. Nobody else can open it until the node that it was given to has stopped.
#[derive(Debug)]
pub struct DataDir {
    pub(crate) path: PathBuf,
    pub(crate) disk: DiskStorage,
    pub(crate) report: OpenReport,
}

impl DataDir {
    /// Opens a node's directory, or makes it. A joiner without one asks the members which cluster is theirs, until one answers or `give_up` is set; so this blocks.
    ///
    /// # Errors
    /// [`Error::Config`]: it belongs to another node or cluster, or the list is missing. [`Error::Data`]: it cannot be opened.
    pub fn open(
        path: &Path,
        place: Place<'_>,
        options: DiskOptions,
        give_up: &AtomicBool,
    ) -> Result<Self, Error> {
        let data = |source| Error::data(path, source);
        let exists = DiskStorage::exists(path, &options).map_err(data)?;
        let cluster_id = match (exists, place.join, place.members) {
            (false, _, []) => {
                return Err(Error::Config(format!(
                    "{} holds no node's data: give the members with --cluster, or the right --data-dir",
                    path.display()
                )));
            }
            (false, true, _) => ask_for_cluster(place, give_up)?,
            // A joiner's list is not the one that the cluster began with.
            (true, true, _) | (true, _, []) => 0,
            _ => cluster_id(place.token, place.members),
        };
        let options = DiskOptions {
            node_id: place.id,
            cluster_id,
            ..options
        };
        let (disk, report) = DiskStorage::open(path, options).map_err(data)?;
        if half(report.identity.cluster_id) != token_half(place.token) {
            return Err(Error::Config(format!(
                "{} belongs to a cluster with another token",
                path.display()
            )));
        }
        let path = path.to_owned();
        Ok(Self { path, disk, report })
    }

    /// Where this node's Raft transport is to listen, as the members know it.
    ///
    /// # Errors
    /// [`Error::Stopped`]: its data cannot be read; [`Error::Config`]: it is not, or not yet, a member.
    pub fn own_address(&self) -> Result<String, Error> {
        let id = self.report.identity.node_id;
        let state = replay(&self.disk, id, Upto::Commit)?;
        let own = state.members().get(id).map(|m| m.addr.clone());
        own.filter(|a| !a.is_empty()).ok_or_else(|| {
            Error::Config(format!(
                "{} does not say where node {id} listens: give --listen",
                self.path.display()
            ))
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which life of this node's disk it is: what `POST /members` takes.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.report.identity.incarnation
    }

    /// The cluster that the directory belongs to.
    #[must_use]
    pub fn cluster_id(&self) -> u64 {
        self.report.identity.cluster_id
    }
}

/// A new cluster's id: the upper half from its token, the lower from the list that it begins with, the same on every machine. So a joiner, which does not know
/// that list, can still tell a cluster with another token.
///
/// ```
/// use kvexample::cluster_id;
/// let list = [(1, "h:1".to_owned()), (2, "h:2".to_owned())];
/// let turned = [list[1].clone(), list[0].clone()];
/// assert_eq!(cluster_id("t", &list), cluster_id("t", &turned));
/// assert_ne!(cluster_id("t", &list), cluster_id("t", &list[..1]));
/// assert_ne!(cluster_id("t", &list) >> 32, cluster_id("u", &list) >> 32);
/// ```
#[must_use]
pub fn cluster_id(token: &str, members: &[(u64, String)]) -> u64 {
    let mut members: Vec<&(u64, String)> = members.iter().collect();
    members.sort_unstable();
    let ids: Vec<[u8; 8]> = members.iter().map(|m| m.0.to_le_bytes()).collect();
    let parts: Vec<&[u8]> = [token.as_bytes()]
        .into_iter()
        .chain(
            ids.iter()
                .zip(&members)
                .flat_map(|(id, m)| [&id[..], m.1.as_bytes()]),
        )
        .collect();
    token_half(token) << 32 | fingerprint(&parts) & 0xffff_ffff
}

/// The id of a cluster that begins with one node and another's data: none like it was ever there.
pub(crate) fn new_cluster_id(token: &str) -> u64 {
    renewed(token_half(token) << 32)
}

/// The id of a new cluster with the token of an old one.
pub(crate) fn renewed(old: u64) -> u64 {
    half(old) << 32 | random() & 0xffff_ffff
}

/// Never 0: no cluster's id is, which stands for unknown.
fn token_half(token: &str) -> u64 {
    half(fingerprint(&[token.as_bytes()])).max(1)
}

fn half(id: u64) -> u64 {
    id >> 32
}

/// Asks the members which cluster they are.
fn ask_for_cluster(place: Place<'_>, give_up: &AtomicBool) -> Result<u64, Error> {
    let others = || place.members.iter().filter(|m| m.0 != place.id);
    info!(place.log, "asking the members which cluster is theirs"; "members" => ?place.members);
    while !give_up.load(Ordering::Relaxed) && others().next().is_some() {
        for (id, addr) in others() {
            let config = transport_tcp::Config::new(0, place.id);
            match ask(addr, &Hello::new(&config, *id, Kind::Probe), ANSWER) {
                Ok(answer) if half(answer.cluster) == token_half(place.token) => {
                    return Ok(answer.cluster);
                }
                Ok(answer) if answer.cluster != 0 => {
                    return Err(Error::Config(format!(
                        "node {id} at {addr} belongs to a cluster with another token"
                    )));
                }
                Ok(_) => {}
                Err(e) => {
                    warn!(place.log, "a member did not answer, trying again"; "member" => id, "addr" => addr, "error" => %e);
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
    Err(Error::Config(
        "no member said which cluster is theirs: a node that joins needs the address of one that runs".into(),
    ))
}
