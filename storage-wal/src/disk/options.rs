//! How a directory is opened, and what opening it found. Go: config.ServerConfig

use super::*;

/// How a node's directory is opened.
///
/// ```
/// use tickraft_storage_wal::DiskOptions;
/// let o = DiskOptions { node_id: 1, cluster_id: 7, ..DiskOptions::default() };
/// assert_eq!(o.snapshot_entries, 1_000_000);
/// ```
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The node that the directory must belong to, or is made for; 0: whichever it says.
    pub node_id: u64,
    /// The group, likewise.
    pub cluster_id: u64,
    /// The log's options.
    pub wal: Options,
    /// [`DiskStorage::wants_snapshot`] once the log grew by so many bytes since the last, or by the last one's size if that is more. 64 MiB.
    pub snapshot_bytes: u64,
    /// … or by so many entries. 1,000,000.
    pub snapshot_entries: u64,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            node_id: 0,
            cluster_id: 0,
            wal: Options::default(),
            snapshot_bytes: 64 << 20,
            snapshot_entries: 1_000_000,
        }
    }
}

/// What opening a directory found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenReport {
    /// The directory was made just now.
    pub created: bool,
    /// Something was stored here before: entries, a hard state, a snapshot or a first configuration. A directory that a crash left in its first moment has
    /// not, and is started like a new one.
    pub bootstrapped: bool,
    /// Who the directory belongs to.
    pub identity: Identity,
    /// This opening.
    pub session: Session,
    /// What the log held.
    pub recovered: Recovered,
    /// The snapshot in use; index 0 when there is none.
    pub snapshot: SnapshotMetadata,
    /// Why the newest snapshot is not the one in use, if it is not.
    pub fell_back: Option<String>,
}
