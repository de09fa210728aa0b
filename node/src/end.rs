//! How a node ended: what every call after it returns. Go: node.done

use crate::error::Error;
use rawnode::raft::Status;
use std::sync::OnceLock;

/// Empty while the node runs.
#[derive(Debug, Default)]
pub(crate) struct End(OnceLock<(Error, Option<Status>)>);

impl End {
    /// The first end counts.
    pub(crate) fn set(&self, error: Error, status: Option<Status>) {
        let _ = self.0.set((error, status));
    }

    pub(crate) fn get(&self) -> Option<&Error> {
        self.0.get().map(|(e, _)| e)
    }

    /// The end; what a channel that is closed stands for.
    pub(crate) fn error(&self) -> Error {
        self.get().cloned().unwrap_or(Error::Stopped)
    }

    /// The last status of a node that ended by a fault.
    pub(crate) fn status(&self) -> Option<Status> {
        self.0.get()?.1.clone()
    }
}
