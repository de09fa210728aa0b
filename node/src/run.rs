//! A turn: takes what came, then makes one Ready of it all. Go: node.go (run)

use crate::error::Error;
use crate::ports::{ConfChangeRequest, Ports, Stop};
use crate::proposals::Proposals;
use crate::refused::{OnRefused, Refused};
use crate::runner::Engine;
use crossbeam_channel::TryRecvError;
use rawnode::raft;
use rawnode::raft::raftpb::{
    ConfChangeV2, ConfState, Message, MessageType, NONE, SnapshotStatus, is_local_msg,
    is_local_msg_target,
};
use rawnode::raft::slog::{Logger, debug, info, warn};
use rawnode::raft::storage::{self, Storage};
use rawnode::raft::{DropReason, Outcome, Status, WriteMode};
use rawnode::{RawNode, StorageWrites};

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// What a turn found.
pub(crate) enum Turn {
    /// Something to do: there may be more.
    Busy,
    /// Nothing: wait.
    Idle,
    /// The end.
    Stopped,
}

/// An application that is called with each Ready; see [`NodeOptions::serve`](crate::NodeOptions::serve).
pub(crate) type OnReady<S, M> =
    Box<dyn FnMut(&mut Member<S, M>, <M as StorageWrites>::Ready) -> Result<(), Error> + Send>;

/// The node as a member of its group.
pub(crate) struct Member<S: Storage, M: StorageWrites> {
    id: u64,
    pub(crate) rn: RawNode<S, M>,
    /// Whether this node was removed under the leader that it knows. Go: propc = nil
    removed: bool,
}

impl<S: Storage, M: StorageWrites> Member<S, M> {
    /// Go: the confc arm
    pub(crate) fn apply_conf_change(&mut self, cc: &ConfChangeV2) -> Result<ConfState, Error> {
        let was_member = self.rn.raft().progress(self.id).is_some();
        let cs = self.rn.apply_conf_change(cc)?;
        let voter = cs.voters.contains(&self.id) || cs.voters_outgoing.contains(&self.id);
        // A node may be a member without knowing while it catches up; only one that was removed takes no proposals.
        if was_member && self.rn.raft().progress(self.id).is_none() && !voter {
            self.removed = true;
        }
        Ok(cs)
    }

    /// Nothing can be done any more.
    pub(crate) fn fail(&mut self, e: storage::Error) -> Result<(), Error> {
        self.rn.fail(e);
        self.faultless()
    }

    /// The fault that ends the node, if there was one.
    pub(crate) fn faultless(&self) -> Result<(), Error> {
        match self.rn.fault() {
            Some(f) => Err(f.clone().into()),
            None => Ok(()),
        }
    }
}

/// The core and its queues.
pub(crate) struct Core<S: Storage, M: StorageWrites> {
    run: Run<S, M>,
    ports: Ports<M>,
}

impl<S: Storage, M: StorageWrites> Core<S, M> {
    pub(crate) fn new(
        rn: RawNode<S, M>,
        ports: Ports<M>,
        refused: Option<OnRefused>,
        on_ready: Option<OnReady<S, M>>,
    ) -> Self {
        let run = Run {
            refused,
            on_ready,
            ..Run::new(rn)
        };
        Self { run, ports }
    }
}

impl<S: Storage + Send, M: StorageWrites> Engine for Core<S, M> {
    fn turn(&mut self) -> Result<Turn, Error> {
        self.run.turn(&self.ports)
    }
    fn blocked(&self) -> bool {
        self.run.blocked
    }
    fn application_busy(&self) -> bool {
        self.run.blocked || self.run.outstanding
    }
    fn logger(&self) -> &Logger {
        self.run.member.rn.raft().logger()
    }
    fn status(&self) -> Status {
        self.run.member.rn.status()
    }
    fn empty(&self) {
        self.ports.empty();
    }
}

struct Run<S: Storage, M: StorageWrites> {
    id: u64,
    member: Member<S, M>,
    proposals: Proposals,
    /// The leader that was known in the last turn.
    lead: u64,
    /// Whether a Ready is out that must be advanced past first.
    outstanding: bool,
    /// Whether a Ready waits for the one before to be taken.
    blocked: bool,
    refused: Option<OnRefused>,
    /// The application, where it is called and not handed its Readies.
    on_ready: Option<OnReady<S, M>>,
}

impl<S: Storage, M: StorageWrites> Run<S, M> {
    fn new(rn: RawNode<S, M>) -> Self {
        let id = rn.raft().id();
        Self {
            id,
            member: Member {
                id,
                rn,
                removed: false,
            },
            proposals: Proposals::default(),
            lead: NONE,
            outstanding: false,
            blocked: false,
            refused: None,
            on_ready: None,
        }
    }

    /// Takes what waits in each channel, then hands out one Ready. A hand-over between threads costs microseconds, a look into an empty
    /// channel nanoseconds; so as much as can be goes into each.
    #[doc(alias = "run")]
    fn turn(&mut self, ports: &Ports<M>) -> Result<Turn, Error> {
        match ports.stopc.try_recv() {
            Ok(Stop::Requested) | Err(TryRecvError::Disconnected) => return Ok(Turn::Stopped),
            Ok(Stop::Failed(e)) => self.member.fail(e)?,
            Err(TryRecvError::Empty) => {}
        }
        // Only those that are here now, so that whatever their callers gave the node before them is seen before them.
        let (asked, proposed) = (ports.statusc.len(), ports.propc.len());
        let mut busy = false;
        if let Ok(p) = ports.advancec.try_recv() {
            M::advance(&mut self.member.rn, p)?;
            self.outstanding = false;
            busy = true;
        }
        // As many as wait now; what comes meanwhile is for the next turn, so that a turn ends.
        for m in ports.recvc.try_iter().take(ports.recvc.len()) {
            self.receive(m)?;
            busy = true;
        }
        // One a turn, so that after a pause messages are looked at between the ticks that piled up.
        if ports.tickc.try_recv().is_ok() {
            self.member.rn.tick()?;
            busy = true;
        }
        for cc in ports.confc.try_iter() {
            self.apply_conf_change(cc)?;
            busy = true;
        }
        self.follow_lead();
        if self.lead != NONE {
            self.take_proposals(ports, proposed)?;
            busy |= proposed > 0;
        }
        for r in ports.statusc.try_iter().take(asked) {
            r.0.complete(Ok(Box::new(self.member.rn.status())));
            busy = true;
        }
        busy |= self.hand_out(ports)?;
        Ok(if busy { Turn::Busy } else { Turn::Idle })
    }

    /// Go: the recvc arm
    fn receive(&mut self, m: Message) -> Result<(), Error> {
        let (msg_type, from, term) = (m.msg_type, m.from, m.term);
        let result = match msg_type {
            // Node::step lets local messages pass from storage threads only, so these are the handle's own.
            MessageType::MsgHup => self.member.rn.campaign(),
            MessageType::MsgUnreachable => self.report_unreachable(from),
            MessageType::MsgSnapStatus => {
                let status = if m.reject {
                    SnapshotStatus::Failure
                } else {
                    SnapshotStatus::Finish
                };
                self.member.rn.report_snapshot(from, status)
            }
            _ => self.member.rn.step(m),
        };
        match result {
            Ok(_) => Ok(()),
            Err(raft::Error::Fault(f)) => Err(f.into()),
            // Those of a node that was just removed: as ordinary as can be.
            Err(e @ raft::Error::StepPeerNotFound) => {
                debug!(
                    self.member.rn.raft().logger(),
                    "raft.node: {:x} ignored {} from {:x}: {}", self.id, msg_type, from, e
                );
                Ok(())
            }
            Err(e) => {
                warn!(
                    self.member.rn.raft().logger(),
                    "raft.node: {:x} ignored {} from {:x}: {}", self.id, msg_type, from, e
                );
                let own_term = self.member.rn.raft().hard_state().term;
                self.watch(&Refused {
                    from,
                    msg_type,
                    term,
                    own_term,
                    error: &e,
                })
            }
        }
    }

    /// Asks whoever watches whether the node may go on.
    fn watch(&mut self, r: &Refused<'_>) -> Result<(), Error> {
        let own = is_local_msg(r.msg_type) || is_local_msg_target(r.from);
        let from_peer = !own && r.from != NONE && r.from != self.id;
        let Some(refused) = self.refused.as_mut().filter(|_| from_peer) else {
            return Ok(());
        };
        match refused(r) {
            Ok(()) => Ok(()),
            Err(e) => self.member.fail(e),
        }
    }

    /// As in Go, which takes it for a response, one about an unknown node is ignored.
    fn report_unreachable(&mut self, id: u64) -> Result<Outcome, raft::Error> {
        if self.member.rn.raft().progress(id).is_none() {
            return Ok(Outcome::Dropped(DropReason::NoProgress));
        }
        self.member.rn.report_unreachable(id)
    }

    fn apply_conf_change(&mut self, r: ConfChangeRequest) -> Result<(), Error> {
        let ConfChangeRequest(cc, completer) = r;
        let result = self.member.apply_conf_change(&cc);
        let fault = match &result {
            Err(Error::Fault(f)) => Err(Error::Fault(f.clone())),
            _ => Ok(()),
        };
        completer.complete(result);
        fault
    }

    /// Go: the lines on the leader at the top of the loop
    fn follow_lead(&mut self) {
        let ss = self.member.rn.raft().soft_state();
        if self.lead == ss.lead {
            return;
        }
        let (id, old, new) = (self.id, self.lead, ss.lead);
        let term = self.member.rn.raft().hard_state().term;
        let logger = self.member.rn.raft().logger();
        if new == NONE {
            info!(
                logger,
                "raft.node: {:x} lost leader {:x} at term {}", id, old, term
            );
        } else if old == NONE {
            info!(
                logger,
                "raft.node: {:x} elected leader {:x} at term {}", id, new, term
            );
        } else {
            info!(
                logger,
                "raft.node: {:x} changed leader from {:x} to {:x} at term {}", id, old, new, term
            );
        }
        self.lead = new;
        self.member.removed = false;
    }

    /// Go: the propc arm
    fn take_proposals(&mut self, ports: &Ports<M>, proposed: usize) -> Result<(), Error> {
        for p in ports.propc.try_iter().take(proposed) {
            if self.member.removed {
                // Go lets them wait until another leader is known; here they learn why they would.
                Proposals::refuse(p, DropReason::NotMember);
            } else {
                self.proposals.take(p, &mut self.member.rn)?;
            }
        }
        self.proposals.flush(&mut self.member.rn)
    }

    /// Go: the readyc arm
    fn hand_out(&mut self, ports: &Ports<M>) -> Result<bool, Error> {
        if self.outstanding || !self.member.rn.has_ready() {
            self.blocked = false;
            return Ok(false);
        }
        self.blocked = self.on_ready.is_none() && ports.readyc.is_full();
        if self.blocked {
            return Ok(false);
        }
        let Some(rd) = self.member.rn.ready()? else {
            return Ok(false);
        };
        if let Some(on_ready) = &mut self.on_ready {
            return on_ready(&mut self.member, rd).map(|()| true);
        }
        self.outstanding = M::MODE == WriteMode::Sync;
        // There is room, and only whoever takes a turn fills it. Disconnected means that the handles are going: the next turn sees it.
        let _ = ports.readyc.try_send(rd);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use rawnode::raft::Config;
    use rawnode::raft::slog::{Discard, Logger, o};
    use storage_mem::MemoryStorage;

    /// After a pause many ticks wait, and many messages. Were the ticks taken all at once, they would start an election while the leader's
    /// messages wait beside them.
    #[test]
    fn messages_are_looked_at_between_ticks_that_piled_up() {
        let (message, recvc) = bounded(8);
        let (tick, tickc) = bounded(128);
        let (readyc, _ready) = bounded(1);
        let (_propose, propc) = bounded(1);
        let (_conf, confc) = bounded(1);
        let (_advance, advancec) = bounded(1);
        let (_status, statusc) = bounded(1);
        let (_stop, stopc) = bounded(1);
        let ports = Ports {
            propc,
            recvc,
            confc,
            readyc,
            advancec,
            tickc,
            statusc,
            stopc,
        };
        let logger = Logger::root(Discard, o!());
        let rn = RawNode::new(Config::new(1, 7), MemoryStorage::new(), logger, None).unwrap();
        let mut run = Run::new(rn);
        for _ in 0..40 {
            tick.send(()).unwrap();
        }
        let heartbeat = Message {
            to: 1,
            from: 2,
            term: 1,
            ..Message::new(MessageType::MsgHeartbeat)
        };
        for left in (0..40).rev() {
            for _ in 0..8 {
                message.send(heartbeat.clone()).unwrap();
            }
            assert!(matches!(run.turn(&ports), Ok(Turn::Busy)));
            assert_eq!((ports.recvc.len(), ports.tickc.len()), (0, left));
            assert_eq!(run.lead, 2, "four timeouts of ticks, and no election");
        }
        assert!(matches!(run.turn(&ports), Ok(Turn::Idle)));
    }
}
