//! Proposals of requests that are at work at the same time are given to the node together: they share a message to each follower and a write. Go: no counterpart
//!
//! It costs a way through the runtime's queue, so a request that finds nobody waiting proposes by itself.

use super::RaftNode;
use bytes::Bytes;
use node::{Error, Ticket};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A proposal, and who waits for its ticket.
type Waiting = (Bytes, oneshot::Sender<Result<Ticket, Error>>);

/// Proposals that the node is yet to be given.
#[derive(Debug, Default)]
pub(super) struct Gathering(Mutex<Vec<Waiting>>);

impl Gathering {
    /// As [`propose`](node::Node::propose), with those of all tasks that are ready now: the first one lets them run before it proposes for all.
    pub(super) async fn propose(&self, node: &RaftNode, data: Bytes) -> Result<Ticket, Error> {
        let (ticket, proposed) = oneshot::channel();
        let first = {
            let mut waiting = self.0.lock();
            waiting.push((data, ticket));
            waiting.len() == 1
        };
        if first {
            let for_all = ForAll { of: self, node };
            tokio::task::yield_now().await;
            drop(for_all);
        }
        // Whoever was first proposes, or panics in the middle of it.
        let panicked = |_| Err(Error::Panicked("who proposed for all".into()));
        proposed.await.unwrap_or_else(panicked)
    }
}

/// Proposes what waits when it is dropped: also when the first one's request is given up meanwhile.
struct ForAll<'a> {
    of: &'a Gathering,
    node: &'a RaftNode,
}

impl Drop for ForAll<'_> {
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut *self.of.0.lock());
        let (data, asked): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        for (result, ticket) in self.node.propose_batch(data).into_iter().zip(asked) {
            // Whoever waited may have given up.
            let _ = ticket.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::NodeOptions;
    use node::raft::Config;
    use node::raft::slog::{Discard, Logger, o};
    use node::rawnode::RawNode;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use storage_mem::MemoryStorage;

    #[tokio::test]
    async fn the_first_one_proposes_for_all_also_when_it_is_given_up() {
        let logger = Logger::root(Discard, o!());
        let rn = RawNode::new_async(Config::new(1, 7), MemoryStorage::new(), logger, None).unwrap();
        // Nobody leads, so what is proposed takes room until the end.
        let options = NodeOptions {
            propose_queue: 3,
            ..NodeOptions::default()
        };
        let node = options.spawn(rn).unwrap();
        let g = Gathering::default();
        let mut first = Box::pin(g.propose(&node, "a".into()));
        let (mut second, mut third) = (
            pin!(g.propose(&node, "b".into())),
            pin!(g.propose(&node, "c".into())),
        );
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(third.as_mut().poll(&mut context).is_pending());
        assert_eq!(g.0.lock().len(), 3, "they wait for it");
        drop(first);
        assert!(second.await.is_ok() && third.await.is_ok());
        assert!(g.0.lock().is_empty());
        let full = g.propose(&node, "d".into()).await;
        assert_eq!(
            full.err(),
            Some(Error::QueueFull),
            "all three were proposed"
        );
        node.stop();
        let ended = g.propose(&node, "e".into()).await;
        assert_eq!(ended.err(), Some(Error::Stopped));
    }
}
