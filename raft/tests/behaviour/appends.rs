//! What a follower does with appends and heartbeats (Raft paper, figure 2: AppendEntries).

use crate::common::{
    Node, app, conf_state, config, entries, heartbeat, hs, snapshot, storage, storage_with_log,
};
use tickraft::raftpb::{Entries, Entry, Message, MessageType};
use tickraft::storage::Storage;
use tickraft::{Error, WriteMode};

/// A follower of term 2 with these terms in its log.
fn follower(log: &[u64], commit: u64) -> Node {
    Node::new(
        config(1),
        storage_with_log(&[1, 2, 3], log, hs(2, 0, commit)),
    )
}

/// Receiver rules 2 to 5: what does not match is refused, what conflicts goes, what is new is appended, and the commit index moves to the
/// smaller of the leader's and the last entry that is known to match.
#[test]
fn appends_match_replace_and_commit() {
    type Case = (u64, (u64, u64), u64, &'static [u64], u64, u64, bool);
    // Term, previous (term, index), leader's commit, new terms; last index and commit then, refused.
    let cases: &[Case] = &[
        (3, (3, 2), 3, &[], 2, 0, true),
        (3, (3, 3), 3, &[], 2, 0, true),
        (2, (1, 1), 1, &[], 2, 1, false),
        (2, (0, 0), 1, &[2], 1, 1, false),
        (2, (2, 2), 3, &[2, 2], 4, 3, false),
        (2, (2, 2), 4, &[2], 3, 3, false),
        (2, (1, 1), 4, &[2], 2, 2, false),
        // No further than what was matched: entry 2 may be another there.
        (2, (1, 1), 3, &[], 2, 1, false),
        (2, (1, 1), 3, &[2], 2, 2, false),
        (2, (2, 2), 3, &[], 2, 2, false),
        (2, (2, 2), 4, &[], 2, 2, false),
    ];
    for &(term, prev, commit, new, last, want, refused) in cases {
        let mut n = follower(&[1, 2], 0);
        let m = app(2, term, prev, entries(prev.1 + 1, new), commit);
        n.step(m.clone()).unwrap();
        assert_eq!((n.raft.last_index(), n.commit()), (last, want), "{m:?}");
        let out = n.drive();
        assert_eq!(out.len(), 1, "{m:?}");
        assert_eq!(
            (out[0].msg_type, out[0].reject),
            (MessageType::MsgAppResp, refused)
        );
    }
}

/// Raft paper §5.3: without an entry of the same index and term the new ones are refused. The answer in all its fields; entry 1 is committed.
#[test]
fn the_answer_to_an_append() {
    // Previous (term, index); index, refused, and where the logs may match: index and term.
    for (prev, index, refused, hint, hint_term) in [
        // What is committed matches.
        ((0, 0), 1, false, 0, 0),
        ((1, 1), 1, false, 0, 0),
        ((2, 2), 2, false, 0, 0),
        // Another term there; nothing there.
        ((1, 2), 2, true, 1, 1),
        ((3, 3), 3, true, 2, 2),
    ] {
        let mut n = follower(&[1, 2], 1);
        n.drive();
        n.step(app(2, 3, prev, Entries::new(), 0)).unwrap();
        let want = Message {
            from: 1,
            to: 2,
            term: 3,
            index,
            reject: refused,
            reject_hint: hint,
            log_term: hint_term,
            ..Message::new(MessageType::MsgAppResp)
        };
        assert_eq!(n.drive(), [want], "{prev:?}");
    }
}

/// Raft paper §5.3: what conflicts goes with all behind it, what is new is appended and written, what is there already stays.
#[test]
fn an_append_replaces_what_conflicts() {
    // Previous (term, index), new terms; the log then, and the terms to write.
    for (prev, new, want, written) in [
        ((2, 2), &[3][..], &[1, 2, 3][..], &[3][..]),
        ((1, 1), &[3, 4], &[1, 3, 4], &[3, 4]),
        ((0, 0), &[1], &[1, 2], &[]),
        ((0, 0), &[3], &[3], &[3]),
    ] {
        let mut n = follower(&[1, 2], 0);
        let new = entries(prev.1 + 1, new);
        n.step(app(2, 4, prev, new.clone(), 0)).unwrap();
        let b = n.take(WriteMode::Sync);
        let terms: Vec<_> = b.entries.iter().map(|e| e.term).collect();
        assert_eq!(terms, written, "{new:?} behind {prev:?}");
        n.disk.append(&b.entries).unwrap();
        assert_eq!(n.terms(), want, "{new:?} behind {prev:?}");
    }
}

/// Raft paper §5.3: a follower that learns that an entry is committed applies it, in the log's order.
#[test]
fn a_follower_applies_what_the_leader_has_committed() {
    for (data, commit) in [
        (&["some data"][..], 1),
        (&["some data", "some data2"], 2),
        (&["some data2", "some data"], 2),
        (&["some data", "some data2"], 1),
    ] {
        let mut n = Node::new(config(1), storage(&[1, 2, 3], &[]));
        n.step(heartbeat(2, 1, 0)).unwrap();
        n.drive();
        let new: Entries = (1..).zip(data).map(|(i, &d)| Entry::new(1, i, d)).collect();
        n.step(app(2, 1, (0, 0), new.clone(), commit as u64))
            .unwrap();
        assert_eq!(n.commit(), commit as u64);
        let b = n.take(WriteMode::Sync);
        assert_eq!(b.committed_entries, new.slice(0..commit), "{data:?}");
    }
}

/// A heartbeat moves the commit index up and never down, and is answered.
#[test]
fn a_heartbeat_commits() {
    for (commit, want) in [(3, 3), (1, 2)] {
        let disk = storage_with_log(&[1, 2], &[1, 2, 3], hs(3, 0, 2));
        let mut n = Node::new(config(1), disk);
        n.drive();
        n.step(heartbeat(2, 3, commit)).unwrap();
        assert_eq!(n.commit(), want);
        let out = n.drive();
        assert_eq!(out.len(), 1);
        assert_eq!(
            (out[0].msg_type, out[0].to),
            (MessageType::MsgHeartbeatResp, 2)
        );
    }
}

/// Entries are a piece of the log of a leader of the message's term: without gaps, with terms that do not fall, none later than the message's.
/// Other messages are refused whole. The log ends with what precedes the entries, so that good ones are taken.
#[test]
fn entries_that_are_no_piece_of_a_log_are_refused() {
    // Term, previous (term, index), entries (index, term); the last (index, term) then.
    type Case = (u64, (u64, u64), &'static [(u64, u64)], Option<(u64, u64)>);
    let cases: &[Case] = &[
        (0, (0, 0), &[], Some((0, 0))),
        // Not of a term later than the message's.
        (0, (10, 123), &[], None),
        (9, (10, 123), &[], None),
        (10, (10, 123), &[], Some((123, 10))),
        (11, (10, 123), &[], Some((123, 10))),
        (0, (0, 0), &[(1, 1)], None),
        (1, (0, 0), &[(1, 1)], Some((1, 1))),
        (2, (0, 0), &[(1, 1)], Some((1, 1))),
        (2, (0, 0), &[(2, 1), (3, 1), (4, 2)], None),
        (1, (1, 1), &[(2, 1), (3, 1), (4, 2)], None),
        (2, (1, 1), &[(2, 1), (3, 1), (4, 2)], Some((4, 2))),
        // The first does not follow.
        (10, (5, 123), &[(111, 5)], None),
        (10, (5, 123), &[(124, 4)], None),
        (10, (5, 123), &[(234, 6)], None),
        (10, (5, 123), &[(124, 6)], Some((124, 6))),
        // Another does not.
        (10, (2, 12), &[(13, 2), (12, 2)], None),
        (10, (2, 12), &[(13, 2), (15, 2)], None),
        (10, (2, 12), &[(13, 2), (14, 1)], None),
        (10, (2, 12), &[(13, 2), (14, 3)], Some((14, 3))),
    ];
    for &(term, prev, new, want) in cases {
        let disk = storage_mem::MemoryStorage::new();
        disk.apply_snapshot(&snapshot(prev.1, prev.0, conf_state(&[1, 2], &[])))
            .unwrap();
        let mut n = Node::new(config(1), disk);
        let new: Entries = new.iter().map(|&(i, t)| Entry::new(t, i, "")).collect();
        let m = app(2, term, prev, new, 0);
        let done = n.step(m.clone());
        let Some((index, last_term)) = want else {
            assert!(
                matches!(done, Err(Error::Malformed { .. })),
                "{m:?}: {done:?}"
            );
            assert_eq!(n.term(), 0);
            continue;
        };
        done.unwrap();
        let answer = n.drive().remove(0);
        assert_eq!((answer.reject, answer.index), (false, index), "{m:?}");
        assert_eq!(n.disk.term(index), Ok(last_term), "{m:?}");
    }
}
