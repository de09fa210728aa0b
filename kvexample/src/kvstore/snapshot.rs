//! The state as the data of a Raft snapshot. Go: getSnapshot, recoverFromSnapshot in kvstore.go
//!
//! # Encoding, version 1
//!
//! `TKKV`, the version as a byte, then: index and term of the last entry; the number of keys, and for each, ascending: key, value, index, term;
//! the members (number; id, peer address, HTTP address, incarnation); the removed ids; the clients (number; name, last use, number of
//! requests; sequence, fingerprint, outcome). Numbers and bytes as in a command.

use super::codec::{Reader, Writer};
use super::{DecodeError, Members, Sessions, State, Stored};
use bytes::Bytes;
use rpds::RedBlackTreeMapSync;
use std::convert::Infallible;
use std::sync::Arc;

const MAGIC: &[u8; 4] = b"TKKV";
const VERSION: u8 = 1;
/// About how long a piece is.
const PIECE: usize = 64 << 10;

impl State {
    /// The state as bytes; equal states give equal bytes.
    ///
    /// ```
    /// use kvexample::kvstore::State;
    /// let state = State::default();
    /// assert_eq!(State::decode(&state.encode()).unwrap(), state);
    /// assert!(State::decode(b"TKKV").is_err());
    /// ```
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let payload: usize = self.iter().map(|(k, v)| k.len() + v.value.len() + 16).sum();
        let mut all = Vec::with_capacity(payload + 1024);
        let done: Result<(), Infallible> = self.encode_to(&mut |piece| {
            all.extend_from_slice(piece);
            Ok(())
        });
        match done {
            Ok(()) => all,
        }
    }

    /// The same bytes in pieces, for a state that is too large to be held twice.
    ///
    /// # Errors
    /// Those of `emit`, which gets the pieces.
    pub fn encode_to<E>(&self, emit: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut w = Writer::with_capacity(PIECE + 1024);
        w.0.extend_from_slice(MAGIC);
        w.byte(VERSION);
        w.number(self.index);
        w.number(self.term);
        w.number(self.keys.size() as u64);
        for (key, stored) in self.iter() {
            w.bytes(key);
            w.bytes(&stored.value);
            w.number(stored.index);
            w.number(stored.term);
            if w.0.len() >= PIECE {
                emit(&w.0)?;
                w.0.clear();
            }
        }
        self.members.encode(&mut w);
        self.sessions.encode(&mut w);
        emit(&w.0)
    }

    /// Reads what [`encode`](Self::encode) wrote. Values are copied out of `data`. Go: recoverFromSnapshot
    ///
    /// # Errors
    /// [`DecodeError`]; a node that meets it cannot take its place in the cluster.
    #[doc(alias = "recoverFromSnapshot")]
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let rest = data
            .strip_prefix(MAGIC)
            .ok_or(DecodeError::Malformed("magic"))?;
        let mut r = Reader::new(rest);
        match r.byte()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let (index, term) = (r.number()?, r.number()?);
        let mut keys = RedBlackTreeMapSync::new_sync();
        for _ in 0..r.number()? {
            let (key, value) = (r.bytes()?, r.bytes()?);
            let value = Bytes::copy_from_slice(value);
            let stored = Stored {
                value,
                index: r.number()?,
                term: r.number()?,
            };
            if keys
                .last()
                .is_some_and(|(last, _): (&Arc<[u8]>, _)| **last >= *key)
            {
                return Err(DecodeError::Malformed("order of keys"));
            }
            keys.insert_mut(key.into(), stored);
        }
        let members = Members::decode(&mut r)?;
        let sessions = Sessions::decode(&mut r)?;
        r.finish()?;
        Ok(Self {
            index,
            term,
            keys,
            sessions,
            members,
        })
    }
}
