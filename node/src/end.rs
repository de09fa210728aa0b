//! How a node ended: what every call after it returns. Go: node.done

use crate::error::Error;
use parking_lot::Mutex;
use rawnode::raft::Status;
use std::sync::{Arc, OnceLock};

/// Empty while the node runs.
#[derive(Debug, Default)]
pub(crate) struct End {
    how: OnceLock<(Error, Option<Status>)>,
    /// Whom a panic keeps waiting until it is known that it was one.
    interrupted: Mutex<Vec<Arc<dyn Waits>>>,
}

/// Somebody who waits for an answer.
pub(crate) trait Waits: std::fmt::Debug + Send + Sync {
    /// None comes: the end says why.
    fn abandon(&self);
}

impl End {
    /// The first end counts.
    pub(crate) fn set(&self, error: Error, status: Option<Status>) {
        let _ = self.how.set((error, status));
        let interrupted = std::mem::take(&mut *self.interrupted.lock());
        interrupted.iter().for_each(|w| w.abandon());
    }

    /// An answer that was under way when the thread panicked, which is about to become the end.
    pub(crate) fn abandon_when_set(&self, waits: Arc<dyn Waits>) {
        {
            let mut interrupted = self.interrupted.lock();
            if self.how.get().is_none() {
                interrupted.push(waits);
                return;
            }
        }
        waits.abandon();
    }

    pub(crate) fn get(&self) -> Option<&Error> {
        self.how.get().map(|(e, _)| e)
    }

    /// The end; what a channel that is closed stands for.
    pub(crate) fn error(&self) -> Error {
        self.get().cloned().unwrap_or(Error::Stopped)
    }

    /// The last status of a node that ended by a fault.
    pub(crate) fn status(&self) -> Option<Status> {
        self.how.get()?.1.clone()
    }
}
