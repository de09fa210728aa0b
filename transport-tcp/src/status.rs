//! Counters, and what is known of each peer. Go: rafthttp/peer_status.go, metrics.go

use crate::{Error, Refusal, Session};
use parking_lot::Mutex;
use slog::{Logger, debug, info, warn};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Declares the refusals once: the public struct, the kinds, and the lines that are logged.
macro_rules! refusals {
    ($($(#[$meta:meta])* $field:ident $kind:ident $text:literal;)+) => {
        /// How often something from outside was refused, by reason. Each also gives a log line (at most ten a second and reason).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Refusals { $($(#[$meta])* pub $field: u64,)+ }

        impl Refusals {
            /// All together.
            #[must_use]
            pub fn total(&self) -> u64 {
                0 $(+ self.$field)+
            }
        }

        /// Why something was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Refused { $($kind,)+ }

        /// The counters behind [`Refusals`].
        #[derive(Default)]
        pub(crate) struct RefusalCounters { $($field: Limited,)+ }

        impl RefusalCounters {
            fn of(&self, kind: Refused) -> (&Limited, &'static str) {
                match kind { $(Refused::$kind => (&self.$field, $text),)+ }
            }

            pub(crate) fn read(&self) -> Refusals {
                Refusals { $($field: self.$field.count.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

refusals! {
    /// Connections whose first bytes were no handshake of this protocol.
    bad_handshake BadHandshake "ignored a connection: no handshake of this protocol";
    /// Connections that did not finish their handshake in time.
    handshake_timeout HandshakeTimeout "closed a connection: its handshake took too long";
    /// Handshakes without a common protocol version.
    version Version "refused a handshake: no common protocol version";
    /// Handshakes of another cluster.
    wrong_cluster WrongCluster "refused a handshake: cluster ID mismatch";
    /// Handshakes meant for another node.
    wrong_to WrongTo "refused a handshake: it was meant for another node";
    /// Handshakes from id 0, a storage thread's, or this node's own.
    invalid_from InvalidFrom "refused a handshake: the sender's ID is not a peer's";
    /// Handshakes of nodes that are not known here.
    unknown_sender UnknownSender "refused a handshake: the sender is not known here";
    /// Handshakes of nodes that were removed.
    removed Removed "refused a handshake: the sender was removed";
    /// Handshakes that the application turned away.
    not_admitted NotAdmitted "refused a handshake: the application did not admit the sender";
    /// Connections beyond the number that may be in their handshake, or whose predecessor did not end.
    busy Busy "refused a connection: busy";
    /// Messages whose `from` is not the connection's.
    forged_from ForgedFrom "dropped a message: its sender is not the connection's";
    /// Messages whose `to` is not this node.
    message_wrong_to MessageWrongTo "dropped a message: it is for another node";
    /// Messages of types that never leave their node.
    local_message LocalMessage "dropped a message: its type is local";
    /// Connections closed for bytes that are no frames, or frames that are no messages.
    malformed Malformed "closed a connection: malformed bytes";
    /// Connections closed for a frame, or snapshots refused for a length, beyond the limit.
    too_large TooLarge "closed a connection: beyond the size limit";
    /// Messages that the application could not take.
    process_failed ProcessFailed "failed to process Raft message";
}

/// A counter whose log lines are limited.
#[derive(Default)]
struct Limited {
    count: AtomicU64,
    /// The second since the start in the upper bits, the lines written in it in the lower eight.
    window: AtomicU64,
}

/// Log lines for one reason within a second.
const LINES: u64 = 10;

impl Limited {
    /// Counts, and says whether to log.
    fn hit(&self, second: u64) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        let window = self.window.load(Ordering::Relaxed);
        let written = if window >> 8 == second {
            window & 0xff
        } else {
            0
        };
        if written >= LINES {
            return false;
        }
        // Two threads at once may write one line too many.
        self.window
            .store(second << 8 | (written + 1), Ordering::Relaxed);
        true
    }
}

impl RefusalCounters {
    /// Counts a refusal and logs it.
    pub(crate) fn count(
        &self,
        log: &Logger,
        started: Instant,
        kind: Refused,
        from: u64,
        why: &str,
    ) {
        let (counter, text) = self.of(kind);
        if counter.hit(started.elapsed().as_secs() + 1) {
            warn!(log, "{}", text; "remote-peer-id" => from, "reason" => why);
        }
    }
}

/// What is known of one peer. Counters count from [`add_peer`](crate::Transport::add_peer) on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// The peer's id.
    pub id: u64,
    /// Where it is dialled.
    pub address: String,
    /// Since when there is a connection to it; `None` when there is none. Go: activeSince
    pub active_since: Option<Instant>,
    /// Since when there is a connection from it; `None` when there is none.
    pub receiving_since: Option<Instant>,
    /// Messages handed to the network (snapshots not counted). Some of them may be lost with the connection.
    pub sent: u64,
    /// Messages dropped here: the queue was full, the peer not reached, the message too long for the peer, or the connection broke before it was written.
    pub dropped: u64,
    /// Messages received and given to the handler (snapshots not counted).
    pub received: u64,
    /// Bytes handed to the network, headers, pings and snapshots included.
    pub bytes_sent: u64,
    /// Bytes read from the network, headers, pings and snapshots included.
    pub bytes_received: u64,
    /// Write calls to the operating system for messages and pings.
    pub write_calls: u64,
    /// Messages that wait to be written.
    pub queued: usize,
    /// Connections for messages that were established to the peer.
    pub connects: u64,
    /// Pings that the peer answered.
    pub pongs: u64,
    /// How long the last ping took, the peer's work on the messages before it included.
    pub round_trip: Option<Duration>,
    /// Snapshots that the peer took.
    pub snapshots_sent: u64,
    /// Snapshots that did not get there.
    pub snapshots_failed: u64,
    /// Snapshots received from the peer and given to the handler.
    pub snapshots_received: u64,
    /// What the last failure was; stays after the peer is reached again.
    pub last_error: Option<String>,
    /// Why the peer turns us away; `None` once it has accepted a connection.
    pub refusal: Option<Refusal>,
    /// The incarnation that the peer last gave when it accepted a connection; 0 is unknown.
    pub incarnation: u64,
    /// The session that the peer last gave when it accepted a connection.
    pub session: Session,
}

/// A transport's counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Each peer, by id.
    pub peers: Vec<PeerStatus>,
    /// What was refused from outside.
    pub refusals: Refusals,
    /// Messages given to [`send`](crate::Transport::send) for nodes that are not peers, this node included.
    pub unknown_target: u64,
    /// Messages of local types given to [`send`](crate::Transport::send).
    pub local_type: u64,
}

/// The counters behind a [`PeerStatus`]. They are added to once a write or read, not once a message.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) write_calls: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) pongs: AtomicU64,
    pub(crate) snapshots_sent: AtomicU64,
    pub(crate) snapshots_failed: AtomicU64,
    pub(crate) snapshots_received: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, n: usize) {
    if n > 0 {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// Whether a peer is there, and if not, why. Go: peerStatus
#[derive(Default)]
pub(crate) struct Health(Mutex<Known>);

#[derive(Default)]
struct Known {
    active_since: Option<Instant>,
    receiving_since: Option<Instant>,
    round_trip: Option<Duration>,
    last_error: Option<String>,
    refusal: Option<Refusal>,
    incarnation: u64,
    session: Session,
}

impl Health {
    pub(crate) fn activate(&self, log: &Logger, id: u64, incarnation: u64, session: Session) {
        let mut k = self.0.lock();
        k.active_since = Some(Instant::now());
        k.refusal = None;
        (k.incarnation, k.session) = (incarnation, session);
        info!(log, "peer became active"; "peer-id" => id);
    }

    /// A failure, or without one the end of the peer.
    pub(crate) fn deactivate(&self, log: &Logger, id: u64, why: Option<&Error>) {
        let mut k = self.0.lock();
        let was_active = k.active_since.take().is_some();
        let Some(why) = why else { return };
        let text = why.to_string();
        if was_active {
            warn!(log, "peer became inactive (message send to peer failed)"; "peer-id" => id, "error" => %text);
        } else {
            debug!(log, "peer deactivated again"; "peer-id" => id, "error" => %text);
        }
        if let Error::Refused(r) = why {
            k.refusal = Some(r.clone());
        }
        k.last_error = Some(text);
    }

    /// An error that leaves the connection as it is.
    pub(crate) fn error(&self, text: String) {
        self.0.lock().last_error = Some(text);
    }

    pub(crate) fn receiving(&self, since: Option<Instant>) {
        self.0.lock().receiving_since = since;
    }

    pub(crate) fn round_trip(&self, d: Duration) {
        self.0.lock().round_trip = Some(d);
    }

    pub(crate) fn active_since(&self) -> Option<Instant> {
        self.0.lock().active_since
    }
}

/// Puts a peer's status together.
pub(crate) fn peer_status(
    id: u64,
    address: String,
    queued: usize,
    c: &Counters,
    health: &Health,
) -> PeerStatus {
    let k = health.0.lock();
    let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
    PeerStatus {
        id,
        address,
        active_since: k.active_since,
        receiving_since: k.receiving_since,
        sent: get(&c.sent),
        dropped: get(&c.dropped),
        received: get(&c.received),
        bytes_sent: get(&c.bytes_sent),
        bytes_received: get(&c.bytes_received),
        write_calls: get(&c.write_calls),
        queued,
        connects: get(&c.connects),
        pongs: get(&c.pongs),
        round_trip: k.round_trip,
        snapshots_sent: get(&c.snapshots_sent),
        snapshots_failed: get(&c.snapshots_failed),
        snapshots_received: get(&c.snapshots_received),
        last_error: k.last_error.clone(),
        refusal: k.refusal.clone(),
        incarnation: k.incarnation,
        session: k.session,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_limited_and_counts_are_not() {
        let l = Limited::default();
        assert_eq!((0..25).filter(|_| l.hit(1)).count(), 10);
        assert_eq!((0..25).filter(|_| l.hit(2)).count(), 10);
        assert_eq!(l.count.load(Ordering::Relaxed), 50);
    }
}
