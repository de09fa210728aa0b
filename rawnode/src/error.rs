//! Why a RawNode hands out nothing. Go: acceptReady's "two accepted Ready structs without call to Advance"

/// Which work of an [`AsyncReady`](crate::AsyncReady) an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// An [`AppendWork`](crate::AppendWork).
    Append,
    /// An [`ApplyWork`](crate::ApplyWork).
    Apply,
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Append => "AppendWork",
            Self::Apply => "ApplyWork",
        })
    }
}

/// Why a RawNode hands out nothing, or takes nothing back. What the core refuses is [`raft::Error`], here as [`Error::Raft`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `ready` was called before `advance`, or the last Ready was dropped half done: nobody knows what of it was written.
    #[error(
        "the last Ready was not advanced past; nothing changed. Hand its Persisted to advance(), or, if it was dropped, make a new node from the storage"
    )]
    ReadyOutstanding,
    /// `advance` was given a Persisted that another node handed out.
    #[error(
        "this Persisted belongs to another node; nothing changed. Hand it to the node whose ready() returned it"
    )]
    ForeignReady,
    /// Work was said to be done before work that was handed out earlier. Its responses were withheld: they vouch for the
    /// earlier work too.
    #[error(
        "an {0} was done before one that was handed out earlier; its responses were withheld. Do them in order, and make a new node from the storage"
    )]
    OutOfOrder(Work),
    /// Work was dropped rather than done, so that none after it can ever be.
    #[error(
        "an {0} was dropped without being done; nothing after it can be. Make a new node from the storage"
    )]
    WorkDropped(Work),
    /// The core's own.
    #[error(transparent)]
    Raft(#[from] raft::Error),
}
