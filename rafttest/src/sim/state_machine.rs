//! The state machine of a run: a chain of hashes over all that was applied. Go: (none)

use crate::SplitMix64;
use raft::raftpb::Entry;
use raft::raftpb::bytes::Bytes;

/// A state machine: two of them that applied the same entries are equal, any other two are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StateMachine {
    pub(super) index: u64,
    pub(super) term: u64,
    hash: u64,
}

/// What the voters of a group begin with. Its index is not 0, so that nodes which join get a snapshot: an empty one knows no configuration
/// that the first changes in the log could apply to.
pub(super) const FIRST: StateMachine = StateMachine {
    index: 2,
    term: 1,
    hash: 0,
};

impl StateMachine {
    pub(super) fn apply(&mut self, e: &Entry) {
        self.index = e.index;
        self.term = e.term;
        for n in [e.term, e.index, e.get_type() as u64, e.data.len() as u64] {
            self.mix(n);
        }
        e.data.iter().for_each(|b| self.mix(u64::from(*b)));
    }

    fn mix(&mut self, n: u64) {
        self.hash = SplitMix64::new(self.hash ^ n).next_u64();
    }

    /// The state for a snapshot.
    pub(super) fn save(&self) -> Bytes {
        let words = [self.index, self.term, self.hash];
        words.map(u64::to_le_bytes).concat().into()
    }

    /// The state of a snapshot; `None` for bytes that [`save`](Self::save) did not make.
    pub(super) fn load(data: &[u8]) -> Option<Self> {
        let mut words = data.chunks_exact(8);
        let mut word = || Some(u64::from_le_bytes(words.next()?.try_into().ok()?));
        Some(Self {
            index: word()?,
            term: word()?,
            hash: word()?,
        })
    }
}

/// What the state machine is after each entry, as the first to apply it found.
#[derive(Clone, Debug)]
pub(super) struct Chain(Vec<StateMachine>);

impl Chain {
    /// A chain up to the state that groups begin with.
    pub(super) fn new() -> Self {
        let begin = |index| StateMachine { index, ..FIRST };
        Self((0..=FIRST.index).map(begin).collect())
    }

    /// The last index that any node applied.
    pub(super) fn last(&self) -> u64 {
        self.0.len() as u64 - 1
    }

    /// Whether a state is what others have at its index; the first one there sets it.
    pub(super) fn agrees(&mut self, s: &StateMachine) -> bool {
        match usize::try_from(s.index).ok().and_then(|i| self.0.get(i)) {
            Some(known) => known == s,
            None if s.index == self.last() + 1 => {
                self.0.push(*s);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_tell_histories_apart() {
        let apply = |list: &[(u64, &'static str)]| {
            let mut s = FIRST;
            for (term, data) in list {
                s.apply(&Entry::new(*term, s.index + 1, *data));
            }
            s
        };
        let a = apply(&[(1, "x"), (1, "y")]);
        assert_eq!(a, apply(&[(1, "x"), (1, "y")]));
        assert_eq!(StateMachine::load(&a.save()), Some(a));
        for other in [
            apply(&[(1, "x"), (2, "y")]),
            apply(&[(1, "x"), (1, "z")]),
            apply(&[(1, "z"), (1, "y")]),
        ] {
            assert_ne!(a, other);
        }
        let mut chain = Chain::new();
        assert!(chain.agrees(&apply(&[(1, "x")])) && chain.agrees(&a));
        assert!(chain.agrees(&a) && !chain.agrees(&apply(&[(1, "x"), (2, "y")])));
        assert_eq!(chain.last(), a.index);
    }
}
