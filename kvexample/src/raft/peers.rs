//! What the transport asks of the node. Go: Process, IsIDRemoved, ReportUnreachable, ReportSnapshot in raft.go

use super::{Disk, Exit, Shared};
use raftpb::{Message, MessageType, SnapshotStatus};
use slog::{Logger, error, info, warn};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use storage_wal::{PeerRecord, Session};
use transport_tcp::{BoxError, Handler, Hello, Kind, Refusal};

/// How many nodes that are not members may be peers at once. As many members as this may have been replaced while this node was away; without a limit
/// anybody who knows the cluster's id could have threads started here.
const STRANGERS: usize = 8;

/// The node as its transport sees it.
pub(super) struct Peers {
    disk: Arc<Disk>,
    log: Logger,
    /// Not there while this node asks whether it may begin: until then only questions are answered.
    node: OnceLock<Arc<Shared>>,
}

/// What a node is told that lost its disk, or came back with an older one.
pub(super) fn lost(id: u64, why: &str) -> String {
    format!("{why}: remove id {id}, join under a new id")
}

impl Peers {
    pub(super) fn new(disk: Arc<Disk>, log: Logger) -> Self {
        Self {
            disk,
            log,
            node: OnceLock::new(),
        }
    }

    /// From now on there is a node behind it.
    pub(super) fn open(&self, shared: &Arc<Shared>) {
        // Called once; a second call would change nothing.
        let _ = self.node.set(Arc::clone(shared));
    }

    /// Holds what a peer says of its disk against what is known. A node whose disk is another than before, or an older copy, has forgotten votes and what it
    /// acknowledged. What is new is durable when this returns, but a question leaves no trace.
    fn check_disk(&self, hello: &Hello) -> Result<(), Refusal> {
        let (id, incarnation) = (hello.from, hello.incarnation);
        let session = Session {
            count: hello.session.count,
            random: hello.session.random,
        };
        let disk = self.disk.get().ok_or(Refusal::Busy)?;
        let checked = match hello.kind {
            Kind::Probe => {
                let says = PeerRecord {
                    incarnation,
                    session,
                };
                disk.peer(id)
                    .map_or(Ok(()), |known| known.admit(id, &says).map(drop))
            }
            _ => disk.record_peer(id, incarnation, session),
        };
        checked.map_err(|e| match e {
            storage_wal::Error::PeerRefused { reason, .. } => {
                warn!(self.log, "a peer has lost its disk or came back with an older one"; "peer" => id, "reason" => &reason);
                Refusal::NotAdmitted(lost(id, &format!("node {id}: {reason}")))
            }
            e => {
                warn!(self.log, "a peer cannot be recorded"; "peer" => id, "error" => %e);
                Refusal::Busy
            }
        })
    }
}

impl Handler for Peers {
    fn process(&self, message: Message) -> Result<(), BoxError> {
        let node = self.node.get().ok_or("this node has not begun yet")?;
        if super::space::brings_entries(&message) && node.is_disk_full() {
            // Not acknowledged, so it comes again.
            return Err("the disk is full".into());
        }
        check_snapshot(&message)?;
        Ok(node.node.step(message)?)
    }

    fn is_id_removed(&self, id: u64) -> bool {
        let removed = |n: &Arc<Shared>| n.store.read(|s| s.members().is_removed(id));
        self.node.get().is_some_and(removed)
    }

    fn report_unreachable(&self, id: u64) {
        let Some(node) = self.node.get() else { return };
        if node.leadership.borrow().lead == id {
            node.interruptions.send_modify(|n| *n += 1);
        }
        // An error says that the node has ended; then nobody is to be told.
        let _ = node.node.report_unreachable(id);
    }

    fn report_snapshot(&self, id: u64, status: SnapshotStatus) {
        let Some(node) = self.node.get() else { return };
        let delivered = status == SnapshotStatus::Finish;
        node.sending.end(id, delivered, Instant::now());
        let _ = node.node.report_snapshot(id, status);
    }

    /// Members are admitted; strangers only while this node knows no leader, and [`STRANGERS`] at once. A node that was away, or joins, may not know the member that leads now; one that
    /// hears from a leader learns of each member from its log, and may send a joiner away until then.
    fn admit(&self, hello: &Hello, known: bool) -> Result<(), Refusal> {
        let Some(node) = self.node.get() else {
            // A member that begins, too, only wants to know whether its id is new here.
            return match hello.kind {
                Kind::Probe => self.check_disk(hello),
                _ => Err(Refusal::Busy),
            };
        };
        node.check_table(hello)?;
        if hello.kind == Kind::Probe {
            // First of all, whoever it is: whether it was here before is what it wants to know.
            self.check_disk(hello)?;
        }
        if !known {
            node.check_stranger(hello)?;
        }
        if hello.kind == Kind::Probe {
            return Ok(());
        }
        self.check_disk(hello)?;
        if !known {
            node.admit_stranger(hello)?;
        }
        Ok(())
    }

    fn refused(&self, peer: u64, refusal: &Refusal) {
        let log = &self.log;
        let Some(node) = self.node.get() else { return };
        match refusal {
            Refusal::Removed => {
                info!(log, "this node was removed from the cluster, shutting down"; "says" => peer);
                node.end(Exit::Removed);
            }
            Refusal::NotAdmitted(why) => {
                error!(log, "turned away for good"; "by" => peer, "reason" => why);
                node.end(Exit::Failed(why.clone()));
            }
            Refusal::UnknownSender => info!(log, "not a member yet, trying again"; "says" => peer),
            other => warn!(log, "turned away, trying again"; "by" => peer, "reason" => %other),
        }
    }
}

/// A snapshot that is not a state of ours must not become durable: this node could not apply it, nor come back. The transport counts and logs the refusal and
/// tells the sender, who tries again later. Decoded here, on the thread that received it, and once more when it is applied.
fn check_snapshot(message: &Message) -> Result<(), String> {
    match &message.snapshot {
        Some(s) if message.msg_type == MessageType::MsgSnap && !s.is_empty() => {
            super::apply::restore(s).map(drop)
        }
        _ => Ok(()),
    }
}

impl Shared {
    /// The replicated table may know a member's disk that this node never spoke with.
    fn check_table(&self, hello: &Hello) -> Result<(), Refusal> {
        let id = hello.from;
        let known = self
            .store
            .read(|s| s.members().get(id).map_or(0, |m| m.incarnation));
        if known == 0 || known == hello.incarnation {
            return Ok(());
        }
        Err(Refusal::NotAdmitted(lost(
            id,
            &format!("node {id} came back with another disk"),
        )))
    }

    /// Each refusal is one after which the other side tries again: what is in the way may pass.
    fn check_stranger(&self, hello: &Hello) -> Result<(), Refusal> {
        // Without an address it could not be answered.
        if self.leadership.borrow().lead != 0 || hello.address.is_empty() {
            return Err(Refusal::UnknownSender);
        }
        let transport = self.transport().ok_or(Refusal::Busy)?;
        let peers = transport.status().peers;
        let strangers = self.store.read(|s| {
            let stranger = |id| s.members().get(id).is_none();
            peers.iter().filter(|p| stranger(p.id)).count()
        });
        match strangers >= STRANGERS {
            true => Err(Refusal::Busy),
            false => Ok(()),
        }
    }

    fn admit_stranger(&self, hello: &Hello) -> Result<(), Refusal> {
        let _one = self.admitting.lock();
        // Counted again: others may have come in between.
        self.check_stranger(hello)?;
        let transport = self.transport().ok_or(Refusal::Busy)?;
        info!(self.log, "admitting a node that is not known yet"; "peer" => hello.from, "addr" => &hello.address);
        transport.add_peer(hello.from, &hello.address).map_err(|e| {
            warn!(self.log, "it cannot be connected to"; "peer" => hello.from, "error" => %e);
            Refusal::Busy
        })
    }
}
