//! Who waits for which proposal to be applied. Go: no counterpart (etcd: pkg/wait)

use crate::kvstore::{Applied, Origin};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Proposals of this node that are not applied yet.
#[derive(Debug)]
pub(super) struct Waiters {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Applied>>>,
}

/// One proposal's place among them; it is given up when dropped.
pub(super) struct Waiter<'a> {
    pub(super) number: u64,
    /// Whether nobody else waited then.
    pub(super) alone: bool,
    pub(super) applied: oneshot::Receiver<Applied>,
    of: &'a Waiters,
}

impl Waiters {
    /// Numbers start from the clock, as etcd's do: a node that restarts does not repeat those of its earlier proposals, which may come back
    /// to it from its log.
    pub(super) fn new() -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        Self {
            next: AtomicU64::new(millis.wrapping_shl(20)),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn register(&self) -> Waiter<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (tx, applied) = oneshot::channel();
        let alone = {
            let mut waiting = self.waiting.lock();
            waiting.insert(number, tx);
            waiting.len() == 1
        };
        Waiter {
            number,
            alone,
            applied,
            of: self,
        }
    }

    /// Tells those who wait on node `id`, and empties the list.
    pub(super) fn complete(&self, id: u64, done: &mut Vec<(Origin, Applied)>) {
        done.retain(|(origin, _)| origin.node == id);
        if done.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        for (origin, applied) in done.drain(..) {
            if let Some(tx) = waiting.remove(&origin.number) {
                // Whoever waited may have given up meanwhile.
                let _ = tx.send(applied);
            }
        }
    }

    /// Lets all who wait know that no answer will come.
    pub(super) fn close(&self) {
        self.waiting.lock().clear();
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.of.waiting.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kvstore::Outcome;

    #[test]
    fn only_this_nodes_proposals_are_answered_and_nothing_stays_behind() {
        let w = Waiters::new();
        let (mut a, mut b, c) = (w.register(), w.register(), w.register());
        let applied = Applied {
            index: 1,
            term: 1,
            outcome: Outcome::Written,
        };
        let of = |node, number| (Origin { node, number }, applied);
        let mut done = vec![of(7, a.number), of(8, b.number), of(7, 0)];
        w.complete(7, &mut done);
        assert!(done.is_empty());
        assert_eq!(a.applied.try_recv(), Ok(applied));
        assert!(b.applied.try_recv().is_err());
        drop((a, b, c));
        assert!(w.waiting.lock().is_empty());
    }
}
