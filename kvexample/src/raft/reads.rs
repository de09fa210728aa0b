//! Linearizable reads: one ReadIndex serves all who asked before it. Go: no counterpart (etcd: linearizableReadLoop)
//!
//! A read may be served from the local state once that has applied every entry which was committed when the read was asked for. Which index that is, the leader
//! tells after it has made sure that it still leads. Answers may be lost, so the question is repeated, each time under a
//! new number: a late answer to an old one must not pass for the new one's.

use super::propose::millis;
use super::{RaftHandle, Shared};
use crate::error::Failure;
use bytes::Bytes;
use node::raft::ReadState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

type Ask = oneshot::Sender<Result<u64, Failure>>;

/// The ends that the rest of the node holds.
pub(super) struct Asking {
    asks: mpsc::UnboundedSender<Ask>,
    states: mpsc::UnboundedSender<ReadState>,
}

/// The ends of the task that asks.
pub(super) struct Answering {
    asks: mpsc::UnboundedReceiver<Ask>,
    states: mpsc::UnboundedReceiver<ReadState>,
}

pub(super) fn channels() -> (Asking, Answering) {
    let (asks, asks_rx) = mpsc::unbounded_channel();
    let (states, states_rx) = mpsc::unbounded_channel();
    (
        Asking { asks, states },
        Answering {
            asks: asks_rx,
            states: states_rx,
        },
    )
}

impl RaftHandle {
    /// Returns once the local state has everything that was committed when this was called.
    ///
    /// # Errors
    /// [`Failure::NoLeader`], [`Failure::Timeout`], or that the node has stopped.
    pub(crate) async fn read_barrier(&self) -> Result<(), Failure> {
        let shared = &self.0;
        shared
            .barrier(Instant::now() + shared.request_timeout)
            .await
    }
}

impl Shared {
    pub(super) async fn barrier(&self, deadline: Instant) -> Result<(), Failure> {
        let timed_out = |_| Failure::Timeout(millis(self.request_timeout));
        let (tx, rx) = oneshot::channel();
        self.reads.asks.send(tx).map_err(|_| self.stopped())?;
        let answer = timeout_at(deadline, rx).await.map_err(timed_out)?;
        let index = answer.map_err(|_| self.stopped())??;
        let mut applied = self.applied.subscribe();
        let reached = timeout_at(deadline, applied.wait_for(|a| *a >= index));
        reached
            .await
            .map_err(timed_out)?
            .map_err(|_| self.stopped())?;
        Ok(())
    }

    /// Hands over what a Ready brought.
    pub(super) fn answer_reads(&self, states: Vec<ReadState>) {
        for state in states {
            // Fails only when the task is gone, and with it all who asked.
            let _ = self.reads.states.send(state);
        }
    }
}

/// The task: takes all who wait, asks once, tells them, and begins anew.
pub(super) async fn run(shared: Arc<Shared>, mut ends: Answering) {
    let mut exit = shared.exit.subscribe();
    let mut number = 0u64;
    loop {
        let first = tokio::select! {
            ask = ends.asks.recv() => ask,
            _ = exit.wait_for(Option::is_some) => return,
        };
        let Some(first) = first else { return };
        let mut batch = vec![first];
        while let Ok(ask) = ends.asks.try_recv() {
            batch.push(ask);
        }
        let index = ask_index(&shared, &mut ends, &mut number).await;
        for ask in batch {
            // Whoever asked may have gone.
            let _ = ask.send(index.clone());
        }
    }
}

/// Asks until it is answered. Go: requestCurrentIndex
async fn ask_index(
    shared: &Shared,
    ends: &mut Answering,
    number: &mut u64,
) -> Result<u64, Failure> {
    let deadline = Instant::now() + shared.request_timeout;
    let leaderless = deadline.min(Instant::now() + shared.election_timeout * 2);
    let mut leadership = shared.leadership.subscribe();
    let first = *number;
    loop {
        match timeout_at(leaderless, leadership.wait_for(|l| l.lead != 0)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(shared.stopped()),
            Err(_) => return Err(Failure::NoLeader(shared.id)),
        }
        *number += 1;
        let asked = shared.node.read_index(context(shared.id, *number));
        asked.map_err(|e| shared.refused(&e))?;
        let retry = Instant::now() + retry_after(shared);
        loop {
            tokio::select! {
                state = ends.states.recv() => {
                    let Some(state) = state else { return Err(shared.stopped()) };
                    // Any question asked for this batch was asked after all of its reads.
                    if number_in(&state.request_ctx).is_some_and(|n| n > first && n <= *number) {
                        return Ok(state.index);
                    }
                }
                changed = leadership.changed() => {
                    changed.map_err(|_| shared.stopped())?;
                    break;
                }
                () = sleep_until(deadline.min(retry)) => {
                    if Instant::now() >= deadline {
                        return Err(Failure::Timeout(millis(shared.request_timeout)));
                    }
                    break;
                }
            }
        }
    }
}

/// etcd's 500 ms at its default tick.
fn retry_after(shared: &Shared) -> Duration {
    shared.tick * 5
}

/// The node is part of it because the leader sees the requests of all.
fn context(id: u64, number: u64) -> Bytes {
    [id.to_be_bytes(), number.to_be_bytes()].concat().into()
}

fn number_in(context: &[u8]) -> Option<u64> {
    let (_, number) = context.split_first_chunk::<8>()?;
    number.try_into().ok().map(u64::from_be_bytes)
}
