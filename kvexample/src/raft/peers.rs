//! What the transport asks of the node. Go: Process, IsIDRemoved, ReportUnreachable, ReportSnapshot in raft.go

use super::{Exit, Shared};
use raftpb::{Message, SnapshotStatus};
use slog::{error, info, warn};
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Instant;
use transport_tcp::{BoxError, Handler, Hello, Kind, Refusal};

/// How many nodes that are not members may be peers at once. As many members as this may have been replaced while this node was away; without a limit
/// anybody who knows the cluster's id could have threads started here.
const STRANGERS: usize = 8;

/// The node as its transport sees it.
pub(super) struct Peers(pub(super) Arc<Shared>);

impl Handler for Peers {
    fn process(&self, message: Message) -> Result<(), BoxError> {
        Ok(self.0.node.step(message)?)
    }

    fn is_id_removed(&self, id: u64) -> bool {
        self.0.store.read(|s| s.members().is_removed(id))
    }

    fn report_unreachable(&self, id: u64) {
        if self.0.leadership.borrow().lead == id {
            self.0.interruptions.send_modify(|n| *n += 1);
        }
        // An error says that the node has ended; then nobody is to be told.
        let _ = self.0.node.report_unreachable(id);
    }

    fn report_snapshot(&self, id: u64, status: SnapshotStatus) {
        let delivered = status == SnapshotStatus::Finish;
        self.0.sending.end(id, delivered, Instant::now());
        let _ = self.0.node.report_snapshot(id, status);
    }

    /// Members are admitted; strangers only while this node knows no leader, and [`STRANGERS`] at once. A node that was away, or joins, may not know the member that leads now; one that
    /// hears from a leader learns of each member from its log, and may send a joiner away until then.
    fn admit(&self, hello: &Hello, known: bool) -> Result<(), Refusal> {
        if known {
            return self.0.check_incarnation(hello);
        }
        self.0.admit_stranger(hello)
    }

    fn refused(&self, peer: u64, refusal: &Refusal) {
        let log = &self.0.log;
        match refusal {
            Refusal::Removed => {
                info!(log, "this node was removed from the cluster, shutting down"; "says" => peer);
                self.0.end(Exit::Removed);
            }
            Refusal::NotAdmitted(why) => {
                error!(log, "turned away for good"; "by" => peer, "reason" => why);
                self.0.end(Exit::Failed(why.clone()));
            }
            Refusal::UnknownSender => info!(log, "not a member yet, trying again"; "says" => peer),
            other => warn!(log, "turned away, trying again"; "by" => peer, "reason" => %other),
        }
    }
}

impl Shared {
    /// Each refusal is one after which the other side tries again: what is in the way may pass.
    fn admit_stranger(&self, hello: &Hello) -> Result<(), Refusal> {
        // Without an address it could not be answered.
        if self.leadership.borrow().lead != 0 || hello.address.is_empty() {
            return Err(Refusal::UnknownSender);
        }
        let _one = self.admitting.lock();
        let transport = self.transport().ok_or(Refusal::Busy)?;
        let peers = transport.status().peers;
        let strangers = self.store.read(|s| {
            let stranger = |id| s.members().get(id).is_none();
            peers.iter().filter(|p| stranger(p.id)).count()
        });
        if strangers >= STRANGERS {
            return Err(Refusal::Busy);
        }
        if hello.kind == Kind::Probe {
            return Ok(());
        }
        info!(self.log, "admitting a node that is not known yet"; "peer" => hello.from, "addr" => &hello.address);
        transport.add_peer(hello.from, &hello.address).map_err(|e| {
            warn!(self.log, "it cannot be connected to"; "peer" => hello.from, "error" => %e);
            Refusal::Busy
        })
    }

    /// A node whose storage is another than before has forgotten its votes and what it acknowledged. What is remembered of it comes from
    /// connections that it works with: a probe leaves no trace.
    fn check_incarnation(&self, hello: &Hello) -> Result<(), Refusal> {
        if hello.incarnation == 0 {
            return Ok(());
        }
        let known = match self.incarnations.lock().entry(hello.from) {
            Entry::Vacant(_) if hello.kind == Kind::Probe => return Ok(()),
            Entry::Vacant(slot) => *slot.insert(hello.incarnation),
            Entry::Occupied(slot) => *slot.get(),
        };
        if known == hello.incarnation {
            return Ok(());
        }
        let id = hello.from;
        Err(Refusal::NotAdmitted(format!(
            "node {id} has lost its memory since it was last here: remove id {id}, join under a new id"
        )))
    }
}
