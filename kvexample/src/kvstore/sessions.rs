//! What makes a retry safe: the outcomes of the latest requests of each client. Go: no counterpart (thesis 6.3)
//!
//! The table is part of the replicated state, so its bounds may depend on the log alone. Each client keeps the outcomes of its last
//! [`WINDOW`] sequence numbers; a lower one is refused, since nobody knows any more what became of it. The table holds [`MAX_CLIENTS`] clients; the
//! one whose last write lies furthest back in the log goes first.

use super::codec::{Reader, Writer};
use super::{Applied, DecodeError, RequestId};
use rpds::RedBlackTreeMapSync;
use std::sync::Arc;

/// How many clients are remembered. A retry is recognised as long as fewer than this many other clients wrote in between.
pub const MAX_CLIENTS: usize = 16_384;
/// How many sequence numbers of a client are remembered: it may have this many requests under way at once.
pub const WINDOW: u64 = 32;

/// What the table says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Not applied yet.
    New,
    /// Applied before, with this outcome.
    Before(Applied),
    /// So old that its outcome was forgotten.
    TooOld,
    /// The id was used for another request.
    Reused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Done {
    seq: u64,
    fingerprint: u64,
    applied: Applied,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    /// Index of the client's last write.
    used: u64,
    /// Ascending by `seq`; the last is the highest ever seen.
    done: Vec<Done>,
}

/// The table; cloning shares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions {
    clients: RedBlackTreeMapSync<Arc<str>, Session>,
    /// By index of the last write: who goes first when the table is full.
    by_use: RedBlackTreeMapSync<u64, Arc<str>>,
}

impl Sessions {
    #[cfg(test)]
    fn len(&self) -> usize {
        self.clients.size()
    }

    pub(super) fn look(&self, id: &RequestId<'_>) -> Seen {
        let Some(session) = self.clients.get(id.client) else {
            return Seen::New;
        };
        match session.done.binary_search_by_key(&id.seq, |d| d.seq) {
            Ok(at) => match session.done.get(at) {
                Some(d) if d.fingerprint == id.fingerprint => Seen::Before(d.applied),
                _ => Seen::Reused,
            },
            Err(_) if session.forgot(id.seq) => Seen::TooOld,
            Err(_) => Seen::New,
        }
    }

    /// Remembers the outcome of a [`Seen::New`] request. `applied.index` is new to the table.
    pub(super) fn record(&mut self, id: &RequestId<'_>, applied: Applied) {
        let done = Done {
            seq: id.seq,
            fingerprint: id.fingerprint,
            applied,
        };
        let name = match self.clients.get_key_value(id.client) {
            Some((name, session)) => {
                let (name, used) = (Arc::clone(name), session.used);
                self.by_use.remove_mut(&used);
                if let Some(session) = self.clients.get_mut(id.client) {
                    session.add(done);
                }
                name
            }
            None => {
                let name: Arc<str> = id.client.into();
                let session = Session {
                    used: applied.index,
                    done: vec![done],
                };
                self.clients.insert_mut(Arc::clone(&name), session);
                name
            }
        };
        self.by_use.insert_mut(applied.index, name);
        while self.clients.size() > MAX_CLIENTS {
            let Some((&used, name)) = self.by_use.first() else {
                break;
            };
            let name = Arc::clone(name);
            self.by_use.remove_mut(&used);
            self.clients.remove_mut(&name);
        }
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.number(self.clients.size() as u64);
        for (name, session) in &self.clients {
            w.bytes(name.as_bytes());
            w.number(session.used);
            w.number(session.done.len() as u64);
            for d in &session.done {
                w.number(d.seq);
                w.fixed(d.fingerprint);
                d.applied.encode(w);
            }
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut sessions = Self::default();
        for _ in 0..r.number()? {
            let name: Arc<str> = r.text()?.into();
            let used = r.number()?;
            let mut done = Vec::new();
            for _ in 0..r.number()? {
                let (seq, fingerprint) = (r.number()?, r.fixed()?);
                let applied = Applied::decode(r)?;
                done.push(Done {
                    seq,
                    fingerprint,
                    applied,
                });
            }
            if !done.is_sorted_by(|a, b| a.seq < b.seq) {
                return Err(DecodeError::Malformed("order of requests"));
            }
            sessions.by_use.insert_mut(used, Arc::clone(&name));
            sessions.clients.insert_mut(name, Session { used, done });
        }
        if sessions.by_use.size() != sessions.clients.size() {
            return Err(DecodeError::Malformed("clients"));
        }
        Ok(sessions)
    }
}

impl Session {
    fn forgot(&self, seq: u64) -> bool {
        let highest = self.done.last().map_or(0, |d| d.seq);
        seq.saturating_add(WINDOW) <= highest
    }

    fn add(&mut self, done: Done) {
        self.used = done.applied.index;
        if let Err(at) = self.done.binary_search_by_key(&done.seq, |d| d.seq) {
            self.done.insert(at, done);
        }
        let highest = self.done.last().map_or(0, |d| d.seq);
        self.done.retain(|d| d.seq.saturating_add(WINDOW) > highest);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Applied, Outcome};
    use super::*;

    fn id(client: &str, seq: u64) -> RequestId<'_> {
        RequestId {
            client,
            seq,
            fingerprint: seq * 10,
        }
    }

    fn applied(index: u64) -> Applied {
        Applied {
            index,
            term: 1,
            outcome: Outcome::Written,
        }
    }

    #[test]
    fn a_window_of_requests_is_remembered_in_any_order() {
        let mut s = Sessions::default();
        for (index, seq) in [(1, 40), (2, 38), (3, 39)] {
            assert_eq!(s.look(&id("a", seq)), Seen::New);
            s.record(&id("a", seq), applied(index));
        }
        assert_eq!(s.look(&id("a", 38)), Seen::Before(applied(2)));
        assert_eq!(s.look(&id("a", 40 - WINDOW + 1)), Seen::New);
        assert_eq!(s.look(&id("a", 40 - WINDOW)), Seen::TooOld);
        let other = RequestId {
            fingerprint: 1,
            ..id("a", 39)
        };
        assert_eq!(s.look(&other), Seen::Reused);
    }

    #[test]
    fn the_window_moves_with_the_highest_number() {
        let mut s = Sessions::default();
        for seq in 1..=WINDOW + 2 {
            s.record(&id("a", seq), applied(seq));
        }
        assert_eq!(s.look(&id("a", 2)), Seen::TooOld);
        assert_eq!(s.look(&id("a", 3)), Seen::Before(applied(3)));
        let wild = id("a", u64::MAX / 10);
        s.record(&wild, applied(99));
        assert_eq!(s.look(&wild), Seen::Before(applied(99)));
    }

    #[test]
    fn the_client_idle_for_longest_goes_first() {
        let mut s = Sessions::default();
        let names: Vec<String> = (0..MAX_CLIENTS).map(|n| format!("c{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            s.record(&id(name, 1), applied(n as u64 + 1));
        }
        let now = MAX_CLIENTS as u64;
        s.record(&id("c0", 2), applied(now + 1));
        s.record(&id("new", 1), applied(now + 2));
        assert_eq!(s.len(), MAX_CLIENTS);
        assert_eq!(s.look(&id("c1", 1)), Seen::New, "forgotten");
        assert_eq!(s.look(&id("c0", 1)), Seen::Before(applied(1)));
    }
}
