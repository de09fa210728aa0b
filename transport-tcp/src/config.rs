//! Who this node is, and its limits. Go: the fields of rafthttp.Transport

use crate::Error;
use std::time::Duration;

/// Tells one run of a node from another: how often its directory was opened, and a random number drawn at that opening.
/// `0, 0` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    /// How often the node's storage was opened; 0 is unknown.
    pub count: u64,
    /// Drawn anew at each opening.
    pub random: u64,
}

/// A transport's identity and limits. Start from [`Config::new`]; [`Transport::bind`](crate::Transport::bind) checks it.
///
/// ```
/// use tickraft_transport_tcp::Config;
/// let config = Config { queue_messages: 512, ..Config::new(7, 1) };
/// assert!(config.validate().is_ok());
/// let e = Config::new(7, 0).validate().unwrap_err();
/// assert_eq!(e.to_string(), "config: id must not be 0 or a storage thread's");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster's id; peers of another cluster are refused. Any number.
    pub cluster: u64,
    /// This node's id; not 0.
    pub id: u64,
    /// What tells this node's storage from another that came under the same id; 0 is unknown. Only passed on, to
    /// [`Handler::admit`](crate::Handler::admit) of the peers.
    pub incarnation: u64,
    /// Which opening of that storage this is. Only passed on, as `incarnation`.
    pub session: Session,
    /// Where peers reach this node (`host:port`), for those that do not know it yet; empty says nothing. At most 256 bytes. Only
    /// passed on, as `incarnation`.
    pub address: String,
    /// The longest frame taken from a peer, in bytes; peers learn it in the handshake and drop longer messages themselves. 1 KiB
    /// to 1 GiB, default 64 MiB. It must exceed the largest entry that can be proposed and the core's limit on a message's size.
    pub max_message_bytes: u32,
    /// The longest snapshot received into memory, in bytes; default 1 GiB. A body that the application
    /// [receives itself](crate::Handler::receive_snapshot) is not counted.
    pub max_snapshot_bytes: u64,
    /// The most messages waiting for one peer; default 4096, at least 1. Where it is full, MsgApp and MsgProp are dropped and the peer is reported
    /// unreachable; all other types (heartbeats, votes, answers) have a quarter of this number, at least 16, beyond it.
    pub queue_messages: usize,
    /// The most payload bytes waiting for one peer; default 64 MiB. A single longer message is taken when nothing waits. As
    /// much again may be with the writer.
    pub queue_bytes: u64,
    /// How long a connection attempt may take; default 3 s.
    pub dial_timeout: Duration,
    /// How long a handshake may take as a whole, on either side; default 3 s.
    pub handshake_timeout: Duration,
    /// A connection on which nothing arrived for so long is closed; default 5 s. Links that have nothing to say ping, so only a dead one
    /// gets there: peers learn this value in the handshake and ping at least three times as often.
    pub read_timeout: Duration,
    /// A connection that took no byte for so long is closed; default 5 s.
    pub write_timeout: Duration,
    /// How often a connection pings, busy or not; default 1 s, at most half of `read_timeout`.
    pub keepalive: Duration,
    /// On a snapshot's connection, how long either end waits for the other's next step (bytes from the sender's application, the receiver's
    /// writing and installing); default 30 s.
    pub snapshot_timeout: Duration,
    /// The first pause before a peer is dialled again; default 50 ms. Each failure doubles it, up to `backoff_max`; the pause taken is drawn from
    /// its upper half. A connection that lived for `backoff_max` resets it, and so does an updated address. A peer that connects to us is
    /// dialled at once.
    pub backoff_min: Duration,
    /// The longest pause between attempts; default 1 s.
    pub backoff_max: Duration,
    /// The most connections that have not finished their handshake; more are closed at once. Default 64, at least 1.
    pub max_handshakes: usize,
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

impl Config {
    /// The defaults for a node of a cluster.
    #[must_use]
    pub fn new(cluster: u64, id: u64) -> Self {
        Self {
            cluster,
            id,
            incarnation: 0,
            session: Session::default(),
            address: String::new(),
            max_message_bytes: 64 * MIB,
            max_snapshot_bytes: 1024 * u64::from(MIB),
            queue_messages: 4096,
            queue_bytes: 64 * u64::from(MIB),
            dial_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(1),
            snapshot_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            max_handshakes: 64,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |field, problem| Err(Error::Config { field, problem });
        if !is_node_id(self.id) {
            return fail("id", "must not be 0 or a storage thread's");
        }
        if self.address.len() > crate::handshake::MAX_ADDRESS {
            return fail("address", "must be at most 256 bytes");
        }
        if !(KIB..=1024 * MIB).contains(&self.max_message_bytes) {
            return fail("max_message_bytes", "must be 1 KiB to 1 GiB");
        }
        if self.queue_messages == 0 {
            return fail("queue_messages", "must be at least 1");
        }
        if self.max_handshakes == 0 {
            return fail("max_handshakes", "must be at least 1");
        }
        let durations = [
            ("dial_timeout", self.dial_timeout),
            ("handshake_timeout", self.handshake_timeout),
            ("read_timeout", self.read_timeout),
            ("write_timeout", self.write_timeout),
            ("keepalive", self.keepalive),
            ("snapshot_timeout", self.snapshot_timeout),
            ("backoff_min", self.backoff_min),
            ("backoff_max", self.backoff_max),
        ];
        let range = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);
        if let Some((field, _)) = durations.iter().find(|(_, d)| !range.contains(d)) {
            return fail(field, "must be 1 ms to 24 h");
        }
        if self.keepalive > self.read_timeout / 2 {
            return fail("keepalive", "must be at most half of read_timeout");
        }
        if self.backoff_max < self.backoff_min {
            return fail("backoff_max", "must be at least backoff_min");
        }
        Ok(())
    }
}

/// Whether a node can have this id.
pub(crate) fn is_node_id(id: u64) -> bool {
    id != raftpb::NONE && !raftpb::is_local_msg_target(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_checked() {
        assert_eq!(Config::new(0, 1).validate(), Ok(()));
        let zero = Duration::ZERO;
        let base = || Config::new(1, 1);
        let bad = [
            ("id", Config::new(1, 0)),
            ("id", Config::new(1, u64::MAX)),
            (
                "address",
                Config {
                    address: "x".repeat(257),
                    ..base()
                },
            ),
            (
                "max_message_bytes",
                Config {
                    max_message_bytes: 1023,
                    ..base()
                },
            ),
            (
                "max_message_bytes",
                Config {
                    max_message_bytes: u32::MAX,
                    ..base()
                },
            ),
            (
                "queue_messages",
                Config {
                    queue_messages: 0,
                    ..base()
                },
            ),
            (
                "max_handshakes",
                Config {
                    max_handshakes: 0,
                    ..base()
                },
            ),
            (
                "dial_timeout",
                Config {
                    dial_timeout: zero,
                    ..base()
                },
            ),
            (
                "handshake_timeout",
                Config {
                    handshake_timeout: zero,
                    ..base()
                },
            ),
            (
                "read_timeout",
                Config {
                    read_timeout: zero,
                    ..base()
                },
            ),
            (
                "write_timeout",
                Config {
                    write_timeout: Duration::MAX,
                    ..base()
                },
            ),
            (
                "keepalive",
                Config {
                    keepalive: Duration::from_secs(3),
                    ..base()
                },
            ),
            (
                "snapshot_timeout",
                Config {
                    snapshot_timeout: zero,
                    ..base()
                },
            ),
            (
                "backoff_max",
                Config {
                    backoff_max: Duration::from_millis(2),
                    ..base()
                },
            ),
        ];
        for (want, config) in bad {
            let Err(Error::Config { field, .. }) = config.validate() else {
                panic!("{want} was not refused");
            };
            assert_eq!(field, want);
        }
    }
}
