//! Writes: from the proposal to the answer, which comes after the entry is applied here. Go: the proposeC goroutine in serveChannels

use super::waiters::Waiter;
use super::{Leadership, RaftHandle, Shared};
use crate::error::{Failure, MayBeApplied};
use crate::kvstore::{Applied, Command, Op, Origin, RequestId};
use node::{Accepted, Ticket};
use std::pin::pin;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What became of the wait for a proposal.
pub(super) enum Waited {
    /// It was applied.
    Applied(Applied),
    /// It was not, and never will be: another entry took its place.
    Overtaken,
    /// The leader that took it is gone, or the way to it was interrupted: nobody can tell.
    Lost,
}

impl RaftHandle {
    /// Proposes a command and waits until it is applied on this node. A proposal that was lost on the way is made again if it has a request id, by which it
    /// takes effect once; without one never.
    ///
    /// # Errors
    /// [`Failure`]; its `applied` tells whether the command may take effect all the same.
    pub(crate) async fn write(
        &self,
        op: Op<'_>,
        request: Option<RequestId<'_>>,
    ) -> Result<Applied, Failure> {
        let shared = &self.0;
        let deadline = Instant::now() + shared.request_timeout;
        let mut lost = false;
        loop {
            let waited = self.propose_once(&op, request, deadline).await;
            match waited {
                Ok(Waited::Applied(applied)) => return Ok(applied),
                Ok(Waited::Lost) if request.is_none() => return Err(Failure::LeadershipLost),
                Ok(Waited::Overtaken) if request.is_none() => return Err(overtaken()),
                Ok(Waited::Lost) => lost = true,
                Ok(Waited::Overtaken) => {}
                // What failed now may have been an earlier one's repetition.
                Err(e) if lost && e.applied() == MayBeApplied::No => {
                    return Err(Failure::LeadershipLost);
                }
                Err(e) => return Err(e),
            }
            let pause = Instant::now() + shared.tick;
            if pause >= deadline {
                return Err(Failure::Timeout(millis(shared.request_timeout)));
            }
            sleep_until(pause).await;
        }
    }

    async fn propose_once(
        &self,
        op: &Op<'_>,
        request: Option<RequestId<'_>>,
        deadline: Instant,
    ) -> Result<Waited, Failure> {
        let shared = &self.0;
        // Not proposed before a leader is known: what waits in the node's queue cannot be taken back.
        self.known_leader(deadline).await?;
        shared.check_space()?;
        let waiter = shared.waiters.register();
        let origin = Origin {
            node: shared.id,
            number: waiter.number,
        };
        let data = Command {
            origin,
            request,
            op: *op,
        }
        .encode();
        let watching = Watching::new(shared, request.is_some());
        let refused = |e: &node::Error| shared.refused(e);
        // Alone it would wait for nobody.
        let ticket = match waiter.alone {
            true => shared.node.propose(data),
            false => shared.gathering.propose(&shared.node, data).await,
        };
        let ticket = ticket.map_err(|e| refused(&e))?;
        shared
            .until_applied(ticket, waiter, watching, deadline, refused)
            .await
    }
}

/// What may come in between. Made before the proposal is.
pub(super) struct Watching {
    leadership: watch::Receiver<Leadership>,
    /// Interruptions of the way to the leader; only for those who would do something about it.
    interruptions: Option<watch::Receiver<u64>>,
}

impl Watching {
    pub(super) fn new(shared: &Shared, may_repeat: bool) -> Self {
        Self {
            leadership: shared.leadership.subscribe(),
            interruptions: may_repeat.then(|| shared.interruptions.subscribe()),
        }
    }

    /// Waits until the leader that took the proposal is gone, or was cut off from here.
    async fn lost(&mut self, id: u64, accepted: Accepted) {
        let interrupted = async {
            if let (Some(i), Accepted::Forwarded { .. }) = (&mut self.interruptions, accepted)
                && i.changed().await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        let gone = self.leadership.wait_for(|l| match accepted {
            _ if l.lead == 0 => false,
            Accepted::Appended { term, .. } => l.term > term || l.term == term && l.lead != id,
            Accepted::Forwarded { to } => l.lead != to,
            _ => false,
        });
        tokio::select! {
            () = interrupted => {}
            // An error says that the node is gone, which the waiter learns too.
            _ = gone => {}
        }
    }
}

impl Shared {
    /// Why a proposal or a question was not taken.
    pub(super) fn refused(&self, e: &node::Error) -> Failure {
        match e {
            node::Error::QueueFull => Failure::TooManyInFlight("proposals"),
            node::Error::ProposalDropped(node::raft::DropReason::NoLeader) => {
                Failure::NoLeader(self.id)
            }
            node::Error::ProposalDropped(reason) => Failure::Dropped(reason.to_string()),
            node::Error::Stopped => self.stopped(),
            e => Failure::Stopped(e.to_string()),
        }
    }

    /// Waits for a proposal's answer. `refused` says what to make of one that was not taken.
    pub(super) async fn until_applied(
        &self,
        ticket: Ticket,
        mut waiter: Waiter<'_>,
        mut watching: Watching,
        deadline: Instant,
        refused: impl FnOnce(&node::Error) -> Failure,
    ) -> Result<Waited, Failure> {
        let answered = |done: Result<Applied, _>| match done {
            Ok(applied) => Ok(Waited::Applied(applied)),
            Err(_) => Err(self.interrupted()),
        };
        let timed_out = || Failure::Timeout(millis(self.request_timeout));
        let mut ticket = pin!(ticket);
        let accepted = tokio::select! {
            biased;
            done = &mut waiter.applied => return answered(done),
            accepted = &mut ticket => accepted.map_err(|e| refused(&e))?,
            () = sleep_until(deadline) => return Err(timed_out()),
        };
        tokio::select! {
            biased;
            done = &mut waiter.applied => return answered(done),
            () = watching.lost(self.id, accepted) => {}
            () = sleep_until(deadline) => return Err(timed_out()),
        }
        // The next leader commits what it has of the log when it is elected. A read that it confirms comes after that: if the entry has not come by then, it will not come from the log.
        tokio::select! {
            biased;
            done = &mut waiter.applied => return answered(done),
            // Failed or not, this is as much as can be known.
            _ = self.barrier(deadline) => {}
        }
        // Looked up before the answer is: what is counted as applied by now has been answered.
        let verdict = self.after_the_leader(accepted);
        match waiter.applied.try_recv() {
            Ok(applied) => Ok(Waited::Applied(applied)),
            Err(_) => Ok(verdict),
        }
    }

    /// Why no answer came to a proposal that may have been taken: unlike in [`stopped`](Self::stopped), it may be applied.
    fn interrupted(&self) -> Failure {
        match self.stopped() {
            Failure::ShuttingDown => Failure::Interrupted,
            e => e,
        }
    }

    /// What can be said of a proposal whose leader is gone, if it is not answered yet when this is called.
    fn after_the_leader(&self, accepted: Accepted) -> Waited {
        match accepted {
            // Whoever raises `applied` has answered before, and has set `installed` before, so `applied` is read first. Something else was applied at its place, or it would have been answered; unless that is hidden in a snapshot.
            Accepted::Appended { index, .. }
                if *self.applied.borrow() >= index
                    && self.installed.load(Ordering::Acquire) < index =>
            {
                Waited::Overtaken
            }
            _ => Waited::Lost,
        }
    }
}

/// Another entry was committed at the proposal's place.
pub(super) fn overtaken() -> Failure {
    Failure::Dropped("a new leader put another entry in its place".into())
}

pub(super) fn millis(d: std::time::Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
