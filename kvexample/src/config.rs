//! What a server is started with. Go: the arguments of newRaftNode and serveHTTPKVAPI

use crate::error::Error;
use crate::httpapi::Limits;
use slog::Logger;
use std::net::TcpListener;
use std::time::Duration;

/// What a server is started with: its place in the cluster, its sockets, its limits.
///
/// The sockets are bound by the caller, so that port 0 can be given and the port known before the list of members is made.
#[derive(Debug)]
pub struct ServerConfig {
    /// This node; 1 to [`MAX_MEMBER_ID`](crate::kvstore::MAX_MEMBER_ID).
    pub id: u64,
    /// The members' Raft addresses. A new cluster begins with these as voters (the same list on each); a joiner asks them.
    /// A node that comes back finds them on its disk.
    pub members: Vec<(u64, String)>,
    /// Whether this node joins a running cluster rather than begin a new one.
    pub join: bool,
    /// Draws the election timeouts; different on each node.
    pub seed: u64,
    /// Where the Raft transport listens.
    pub raft_listener: TcpListener,
    /// The Raft address that other members are told.
    pub raft_addr: String,
    /// Where the HTTP API listens.
    pub http_listener: TcpListener,
    /// The HTTP address that the other members are told.
    pub http_addr: String,
    /// The length of a tick; more than 0, an hour at the most.
    pub tick: Duration,
    /// Ticks without a leader before an election; more than `heartbeat_ticks`, 30 days at the most.
    pub election_ticks: u32,
    /// Ticks between a leader's heartbeats.
    pub heartbeat_ticks: u32,
    /// How long a request may take before it is answered with a timeout; more than 0, a day at the most.
    pub request_timeout: Duration,
    /// How much is taken on at once.
    pub limits: Limits,
    /// Where it logs.
    pub logger: Logger,
}

impl ServerConfig {
    /// How long a follower waits for its leader at least.
    #[must_use]
    pub fn election_timeout(&self) -> Duration {
        self.tick.saturating_mul(self.election_ticks)
    }

    /// # Errors
    /// [`Error::Config`] with the first thing that will not do.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let fail = |text: String| Err(Error::Config(text));
        if self.id == 0 || self.id > crate::kvstore::MAX_MEMBER_ID {
            return fail(format!("the id is {}, not between 1 and 2^63-1", self.id));
        }
        let listed = self.members.is_empty() || self.members.iter().any(|m| m.0 == self.id);
        if !self.join && !listed {
            return fail(format!(
                "node {} is not in the list of members; a node that joins later needs --join",
                self.id
            ));
        }
        if self.heartbeat_ticks == 0 || self.election_ticks <= self.heartbeat_ticks {
            return fail(
                "an election must take more ticks than a heartbeat, and a heartbeat at least one"
                    .into(),
            );
        }
        // Clocks are added to: what is far beyond any use could overflow them.
        let hour = Duration::from_secs(60 * 60);
        if self.tick.is_zero() || self.tick > hour || self.election_timeout() > hour * 24 * 30 {
            return fail(format!(
                "a tick of {:?} must be more than nothing and at most an hour, and an election timeout of {:?} at most 30 days",
                self.tick,
                self.election_timeout()
            ));
        }
        if self.request_timeout.is_zero() || self.request_timeout > hour * 24 {
            return fail(format!(
                "a request timeout of {:?} must be more than nothing and at most a day",
                self.request_timeout
            ));
        }
        let l = &self.limits;
        if l.body == 0
            || l.body > l.bytes
            || l.bytes > 1 << 31
            || l.body > 1 << 29
            || l.requests == 0
        {
            return fail(
                "the limit on a body must be at most 512 MiB and at most the limit on all bytes in flight, which must be at most 2 GiB, and one request must be allowed".into(),
            );
        }
        Ok(())
    }
}

/// A number that nobody can foresee, for seeds, incarnations and client names.
#[must_use]
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The standard library seeds each of these from the system.
    let mut h = RandomState::new().build_hasher();
    h.write_u32(std::process::id());
    h.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_no_clock_can_count_are_refused() {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = ServerConfig {
            id: 1,
            members: vec![(1, "h:1".into())],
            join: false,
            seed: 1,
            raft_listener: listener(),
            raft_addr: "h:1".into(),
            http_listener: listener(),
            http_addr: "h:2".into(),
            tick: Duration::from_millis(100),
            election_ticks: 10,
            heartbeat_ticks: 1,
            request_timeout: Duration::from_secs(5),
            limits: Limits::default(),
            logger: Logger::root(slog::Discard, slog::o!()),
        };
        assert!(config.validate().is_ok());
        for (tick, ticks, timeout) in [
            (Duration::ZERO, 10, Duration::from_secs(5)),
            (Duration::MAX, 10, Duration::from_secs(5)),
            (Duration::from_secs(3600), u32::MAX, Duration::from_secs(5)),
            (Duration::from_millis(100), 10, Duration::ZERO),
            (Duration::from_millis(100), 10, Duration::MAX),
        ] {
            (config.tick, config.election_ticks, config.request_timeout) = (tick, ticks, timeout);
            let refused = config.validate();
            assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
        }
    }
}
