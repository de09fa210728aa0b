//! The replicated state machine: keys, client sessions and the member table. Go: kvstore.go
//!
//! [`State`] is a plain deterministic value: the same entries give the same state, byte for byte. Its maps share structure when cloned, so a snapshot
//! is taken by cloning it, and serving goes on while the clone is written out. [`KvStore`] is the same behind a lock.

mod codec;
mod command;
mod members;
mod sessions;
mod snapshot;

pub use command::{
    COMMAND_VERSION, Command, Expect, MemberContext, Op, Origin, RequestId, fingerprint,
};
pub use members::{MAX_MEMBER_ID, Member, Members, Refused};
pub use sessions::{MAX_CLIENTS, WINDOW};

use bytes::Bytes;
use codec::{Reader, Writer};
use parking_lot::RwLock;
use raftpb::{ConfChangeV2, ConfState, Entry};
use rpds::RedBlackTreeMapSync;
use sessions::{Seen, Sessions};
use std::sync::Arc;

/// Why bytes were not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It ends too early.
    #[error("the input ends too early")]
    Truncated,
    /// This part is not what it should be.
    #[error("not understood: {0}")]
    Malformed(&'static str),
    /// A newer build wrote it.
    #[error("written in format version {0}, which this build does not know")]
    Version(u8),
}

/// Why an entry could not be applied. The state is unchanged and the node must stop: going on would let its replica drift from the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// An entry between is missing.
    #[error(
        "entry {index} does not follow entry {applied}; restart the node so that it replays its log"
    )]
    Gap {
        /// The entry given.
        index: u64,
        /// The last one applied.
        applied: u64,
    },
    /// A newer build wrote the entry.
    #[error("entry {index} is {source}; run the newer build on this node")]
    Version {
        /// The entry given.
        index: u64,
        /// Which version.
        source: DecodeError,
    },
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key was set.
    Written,
    /// The key is gone.
    Deleted {
        /// Whether it was there.
        existed: bool,
    },
    /// The condition did not hold; nothing changed.
    ConditionFailed {
        /// The index of the entry that last wrote the key; 0: it does not exist.
        current: u64,
    },
    /// An address was recorded.
    Published,
    /// The configuration changed.
    MemberChanged {
        /// Whose part in it.
        id: u64,
    },
    /// The configuration did not change.
    MemberRefused(Refused),
    /// The request's id lies before the client's window: whether it was ever applied is forgotten. Nothing changed now.
    RequestTooOld,
    /// The request's id was used for another request. Nothing changed.
    RequestReused,
}

/// What became of a command, and where in the log it stands. For a retry this is the first one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// What it did.
    pub outcome: Outcome,
}

impl Applied {
    fn encode(&self, w: &mut Writer) {
        w.number(self.index);
        w.number(self.term);
        match self.outcome {
            Outcome::Written => w.byte(1),
            Outcome::Deleted { existed } => {
                w.byte(2);
                w.byte(existed.into());
            }
            Outcome::ConditionFailed { current } => {
                w.byte(3);
                w.number(current);
            }
            Outcome::Published => w.byte(4),
            Outcome::MemberChanged { id } => {
                w.byte(5);
                w.number(id);
            }
            Outcome::MemberRefused(why) => {
                w.byte(6);
                w.byte(why.code());
            }
            Outcome::RequestTooOld => w.byte(7),
            Outcome::RequestReused => w.byte(8),
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (index, term) = (r.number()?, r.number()?);
        let outcome = match r.byte()? {
            1 => Outcome::Written,
            2 => Outcome::Deleted { existed: r.flag()? },
            3 => Outcome::ConditionFailed {
                current: r.number()?,
            },
            4 => Outcome::Published,
            5 => Outcome::MemberChanged { id: r.number()? },
            6 => Outcome::MemberRefused(Refused::from_code(r.byte()?)?),
            7 => Outcome::RequestTooOld,
            8 => Outcome::RequestReused,
            _ => return Err(DecodeError::Malformed("outcome")),
        };
        Ok(Self {
            index,
            term,
            outcome,
        })
    }
}

/// A value and the entry that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value; shared, never copied to be read.
    pub value: Bytes,
    /// The index of the entry that wrote it: what `If-Match` takes.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
}

/// The whole replicated state. Cloning shares what is in it; later changes to either copy leave the other alone.
///
/// ```
/// use kvexample::kvstore::{Command, Expect, Op, Origin, Outcome, State};
/// use raftpb::Entry;
///
/// let put = Command {
///     origin: Origin { node: 1, number: 1 },
///     request: None,
///     op: Op::Put { key: b"colour", value: b"green", expect: Expect::Anything },
/// };
/// let mut state = State::default();
/// let (origin, applied) = state.apply(&Entry::new(2, 1, put.encode())).unwrap().unwrap();
/// assert_eq!((origin.number, applied.index, applied.outcome), (1, 1, Outcome::Written));
/// let before = state.clone();
/// assert_eq!(state.apply(&Entry::new(2, 1, put.encode())), Ok(None), "applied already");
/// assert_eq!(state, before);
/// assert_eq!(&state.get(b"colour").unwrap().value[..], b"green");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    index: u64,
    term: u64,
    keys: RedBlackTreeMapSync<Arc<[u8]>, Stored>,
    sessions: Sessions,
    members: Members,
}

impl State {
    /// The last entry that is part of this state; 0 when none is.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The term of that entry.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Stored> {
        self.keys.get(key)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.size()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Stored)> {
        self.keys.iter().map(|(k, v)| (&**k, v))
    }

    /// The member table.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The same keys and sessions in a cluster with one member.
    #[must_use]
    pub fn alone(mut self, id: u64, addr: &str) -> Self {
        self.members = Members::alone(id, addr);
        self
    }

    /// What became of a request with this id, if it was applied and is remembered, or why it never will be.
    #[must_use]
    pub fn outcome_of(&self, id: &RequestId<'_>) -> Option<Applied> {
        let now = |outcome| Applied {
            index: self.index,
            term: self.term,
            outcome,
        };
        match self.sessions.look(id) {
            Seen::New => None,
            Seen::Before(applied) => Some(applied),
            Seen::TooOld => Some(now(Outcome::RequestTooOld)),
            Seen::Reused => Some(now(Outcome::RequestReused)),
        }
    }

    /// Applies a normal entry. `None` when there is nobody to tell: the entry was applied before, is empty (a new leader's), or was never a command.
    ///
    /// # Errors
    /// [`ApplyError`]: the state is unchanged and the node must stop.
    pub fn apply(&mut self, e: &Entry) -> Result<Option<(Origin, Applied)>, ApplyError> {
        if !self.follows(e)? {
            return Ok(None);
        }
        let command = match Command::decode(&e.data) {
            Ok(command) => Some(command),
            Err(_) if e.data.is_empty() => None,
            Err(source @ DecodeError::Version(_)) => {
                return Err(ApplyError::Version {
                    index: e.index,
                    source,
                });
            }
            Err(_) => None,
        };
        (self.index, self.term) = (e.index, e.term);
        Ok(command.map(|c| {
            (
                c.origin,
                self.deduplicate(c.request, |state| state.run(&c.op)),
            )
        }))
    }

    /// Applies a membership change with the verdict of [`check_change`](Self::check_change): `Ok` when Raft's own configuration changed too.
    ///
    /// # Errors
    /// [`ApplyError::Gap`].
    pub fn apply_change(
        &mut self,
        e: &Entry,
        cc: &ConfChangeV2,
        verdict: Result<(), Refused>,
    ) -> Result<Option<(Origin, Applied)>, ApplyError> {
        if !self.follows(e)? {
            return Ok(None);
        }
        (self.index, self.term) = (e.index, e.term);
        let Ok(context) = MemberContext::decode(&cc.context) else {
            if verdict.is_ok() {
                self.members.apply(cc);
            }
            return Ok(None);
        };
        let applied = self.deduplicate(context.request, |state| match verdict {
            Ok(()) => {
                state.members.apply(cc);
                Outcome::MemberChanged { id: context.id }
            }
            Err(why) => Outcome::MemberRefused(why),
        });
        Ok(Some((context.origin, applied)))
    }

    /// Whether a membership change may be handed to Raft: it passes [`Members::check`] and its request was not applied before.
    ///
    /// # Errors
    /// The reason why not.
    pub fn check_change(&self, cc: &ConfChangeV2, conf: &ConfState) -> Result<(), Refused> {
        let request = MemberContext::decode(&cc.context)
            .ok()
            .and_then(|c| c.request);
        if request.is_some_and(|id| self.outcome_of(&id).is_some()) {
            return Err(Refused::AppliedBefore);
        }
        self.members.check(cc, conf)
    }

    fn follows(&self, e: &Entry) -> Result<bool, ApplyError> {
        if e.index <= self.index {
            return Ok(false);
        }
        if e.index != self.index + 1 {
            return Err(ApplyError::Gap {
                index: e.index,
                applied: self.index,
            });
        }
        Ok(true)
    }

    fn deduplicate(
        &mut self,
        request: Option<RequestId<'_>>,
        run: impl FnOnce(&mut Self) -> Outcome,
    ) -> Applied {
        let (index, term) = (self.index, self.term);
        let Some(id) = request else {
            return Applied {
                index,
                term,
                outcome: run(self),
            };
        };
        if let Some(applied) = self.outcome_of(&id) {
            return applied;
        }
        let applied = Applied {
            index,
            term,
            outcome: run(self),
        };
        self.sessions.record(&id, applied);
        applied
    }

    fn run(&mut self, op: &Op<'_>) -> Outcome {
        match *op {
            Op::Put { key, value, expect } => match self.condition(key, expect) {
                Err(current) => Outcome::ConditionFailed { current },
                Ok(_) => {
                    // Copied: the entry's bytes are a slice of a whole frame, which a kept value would keep alive.
                    let value = Bytes::copy_from_slice(value);
                    let stored = Stored {
                        value,
                        index: self.index,
                        term: self.term,
                    };
                    match self
                        .keys
                        .contains_key(key)
                        .then(|| self.keys.get_mut(key))
                        .flatten()
                    {
                        Some(slot) => *slot = stored,
                        None => self.keys.insert_mut(key.into(), stored),
                    }
                    Outcome::Written
                }
            },
            Op::Delete { key, expect } => match self.condition(key, expect) {
                Err(current) => Outcome::ConditionFailed { current },
                Ok(existed) => {
                    if existed {
                        self.keys.remove_mut(key);
                    }
                    Outcome::Deleted { existed }
                }
            },
            Op::Publish {
                id,
                http,
                incarnation,
            } => {
                self.members.publish(id, http, incarnation);
                Outcome::Published
            }
        }
    }

    /// Whether the key exists; the index that last wrote it where the condition does not hold.
    fn condition(&self, key: &[u8], expect: Expect) -> Result<bool, u64> {
        let current = self.keys.get(key).map_or(0, |s| s.index);
        match expect {
            Expect::Anything => Ok(current != 0),
            Expect::Exists if current != 0 => Ok(true),
            Expect::Index(index) if index == current => Ok(current != 0),
            _ => Err(current),
        }
    }
}

/// The state behind a lock, for one writer (the node's loop) and many readers. Go: kvstore
#[derive(Debug, Default)]
pub struct KvStore(RwLock<State>);

impl KvStore {
    /// A store with this state.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self(RwLock::new(state))
    }

    /// Looks a key up, with the index of the state that was read. Go: Lookup
    #[must_use]
    #[doc(alias = "Lookup")]
    pub fn lookup(&self, key: &[u8]) -> (Option<Stored>, u64) {
        let state = self.0.read();
        (state.get(key).cloned(), state.index)
    }

    /// Reads the state. Keep it short: the node's loop waits meanwhile.
    pub fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.0.read())
    }

    /// Changes the state: the node's loop only.
    pub(crate) fn write<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.write())
    }

    /// The state as of now, sharing everything with it. Go: getSnapshot
    #[must_use]
    #[doc(alias = "getSnapshot")]
    pub fn snapshot(&self) -> State {
        self.0.read().clone()
    }
}

#[cfg(test)]
mod tests;
