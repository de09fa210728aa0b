//! Storages that answer oddly, and a log against a plain vector.

use super::*;

/// What a storage may say, and what makes the node stop.
struct Odd(MemoryStorage, Option<storage::Error>, Entries);

impl Storage for Odd {
    fn initial_state(
        &self,
    ) -> Result<(crate::raftpb::HardState, crate::raftpb::ConfState), storage::Error> {
        self.0.initial_state()
    }
    fn entries(&self, _: u64, _: u64, _: u64) -> Result<Entries, storage::Error> {
        self.1.clone().map_or(Ok(self.2.clone()), Err)
    }
    fn term(&self, index: u64) -> Result<u64, storage::Error> {
        self.1.clone().map_or_else(|| self.0.term(index), Err)
    }
    fn first_index(&self) -> Result<u64, storage::Error> {
        self.0.first_index()
    }
    fn last_index(&self) -> Result<u64, storage::Error> {
        self.0.last_index()
    }
    fn snapshot(&self) -> Result<Snapshot, storage::Error> {
        self.0.snapshot()
    }
}

#[test]
fn answers_and_faults_of_the_storage() {
    let s = MemoryStorage::new();
    s.append(&ents(1, &[1, 2, 3])).unwrap();
    let mut l = RaftLog::new(
        Odd(s, None, Entries::new()),
        Logger::root(Discard, o!()),
        NO_LIMIT,
    )
    .unwrap();
    // No entries, or others than were asked for.
    for odd in [Entries::new(), ents(2, &[2, 3])] {
        l.storage.2 = odd;
        assert!(matches!(l.slice(1, 3, NO_LIMIT), Err(LogError::Fault(_))));
    }
    // Too many are cut.
    l.storage.2 = ents(1, &[1, 2, 3]);
    assert_eq!(l.slice(1, 3, NO_LIMIT), Ok(ents(1, &[1, 2])));
    for (e, answer) in [
        (storage::Error::Compacted, Some(LogError::Compacted)),
        (storage::Error::Unavailable, None),
        (storage::Error::NoSpace, None),
        (storage::Error::other("broken"), None),
    ] {
        l.storage.1 = Some(e.clone());
        let got = l.slice(1, 3, NO_LIMIT).unwrap_err();
        match answer {
            Some(want) => assert_eq!(got, want),
            None => assert!(matches!(got, LogError::Fault(f) if *f.storage_error() == e)),
        }
        let got = l.term(1).unwrap_err();
        assert_eq!(e.is_answer(), !matches!(got, LogError::Fault(_)));
    }
}

/// Against a plain vector of terms: appends, truncations, writes, compactions, commits.
#[test]
fn behaves_as_a_vector() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed, 9);
        let mut l = log_of(MemoryStorage::new(), NO_LIMIT);
        let mut all = vec![0_u64];
        let mut term = 1;
        for _ in 0..100 {
            let last = all.len() as u64 - 1;
            match rng.below(8) {
                0..=2 => {
                    l.push(Entry::new(term, last + 1, "x"));
                    all.push(term);
                }
                3 => {
                    term += 1;
                    let prev = l.committed + rng.below(last - l.committed + 1);
                    let n = usize::try_from(rng.below(4)).unwrap();
                    let id = EntryId::new(all[usize::try_from(prev).unwrap()], prev);
                    let new = vec![term; n];
                    let got = l.maybe_append(id, &mut ents(prev + 1, &new), 0).unwrap();
                    assert_eq!(got, Some(prev + n as u64), "seed {seed}");
                    if n > 0 {
                        all.truncate(usize::try_from(prev).unwrap() + 1);
                        all.extend(new);
                    }
                }
                4 => write(&mut l),
                5 => l.commit_to(l.committed + rng.below(last - l.committed + 1)),
                6 => {
                    let e = l.next_committed_ents(true).unwrap();
                    let want = &all[usize::try_from(l.applying).unwrap() + 1
                        ..=usize::try_from(l.committed).unwrap()];
                    assert_eq!(terms(&e), want, "seed {seed}");
                    if let Some(e) = e.last() {
                        l.accept_applying(e.index, 0, true);
                        l.applied_to(e.index, 0);
                    }
                }
                _ => {
                    let to = l.applied.min(l.unstable.offset - 1);
                    if to >= l.storage.first_index().unwrap() {
                        l.storage.compact(to).unwrap();
                    }
                }
            }
            l.check_invariants().unwrap();
            let first = l.first_index().unwrap();
            assert_eq!(l.last_index(), all.len() as u64 - 1, "seed {seed}");
            for i in 0..=all.len() as u64 {
                let want = match all.get(usize::try_from(i).unwrap()) {
                    _ if i + 1 < first => Err(LogError::Compacted),
                    Some(&t) => Ok(t),
                    None => Err(LogError::Unavailable),
                };
                assert_eq!(l.term(i), want, "seed {seed}, index {i}");
            }
            let (index, bound) = (rng.below(all.len() as u64), rng.below(term + 1));
            let want = find_conflict_one_by_one(&all, first, index, bound);
            let got = l.find_conflict_by_term(index, bound).unwrap();
            assert_eq!(
                got, want,
                "seed {seed}: {index}, {bound} in {all:?} from {first}"
            );
        }
    }
}

/// As etcd does it, one index after the other: down to a term that will do, or one that is not known.
fn find_conflict_one_by_one(all: &[u64], first: u64, mut index: u64, term: u64) -> EntryId {
    while index > 0 {
        let ours = all[usize::try_from(index).unwrap()];
        if index + 1 < first {
            return EntryId::new(0, index);
        }
        if ours <= term {
            return EntryId::new(ours, index);
        }
        index -= 1;
    }
    EntryId::default()
}
