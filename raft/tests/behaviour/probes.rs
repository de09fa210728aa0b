//! Finding where two logs part (Raft paper §5.3, the optimization of its last paragraphs), also when messages change places.

use crate::common::{
    Node, app_resp, config, heartbeat, hs, msg, storage, storage_with_log, vote_resp,
};
use tickraft::raftpb::{Message, MessageType};
use tickraft::tracker::StateType;

fn one(mut out: Vec<Message>) -> Message {
    assert_eq!(out.len(), 1, "{out:?}");
    out.remove(0)
}

/// One round: the leader probes at its last entry, the follower refuses and says where the logs may match, and the leader probes there. Each side
/// skips what cannot match for its terms.
#[test]
fn a_refusal_skips_whole_terms() {
    struct Case {
        leader: &'static [u64],
        follower: &'static [u64],
        /// The (term, index) that the follower gives, and that the leader tries then.
        hint: (u64, u64),
        next: (u64, u64),
    }
    let case = |leader, follower, hint, next| Case {
        leader,
        follower,
        hint,
        next,
    };
    let cases = [
        // The leader finds it.
        case(
            &[1, 2, 2, 4, 4, 4, 4],
            &[1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3],
            (3, 7),
            (2, 3),
        ),
        case(
            &[1, 2, 2, 3, 4, 4, 4, 5],
            &[1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3],
            (3, 8),
            (3, 4),
        ),
        // The follower does, whichever log is longer.
        case(&[1, 1, 1, 1], &[1, 2, 2, 4], (1, 1), (1, 1)),
        case(&[1, 1, 1, 1, 1, 1], &[1, 2, 2, 4], (1, 1), (1, 1)),
        case(&[1, 1, 1, 1], &[1, 2, 2, 4, 4, 4], (1, 1), (1, 1)),
        // Nothing conflicts, something is missing.
        case(&[1, 1, 1, 4, 5], &[1, 1, 1, 4], (4, 4), (4, 4)),
        // The leader skips all but the first; the follower does.
        case(
            &[2, 5, 5, 5, 5, 5, 5, 5, 5],
            &[2, 4, 4, 4, 4, 4],
            (4, 6),
            (2, 1),
        ),
        case(&[2, 2, 2, 2, 2], &[2, 4, 4, 4, 4, 4, 4, 4], (2, 1), (2, 1)),
    ];
    for Case {
        leader,
        follower,
        hint,
        next,
    } in cases
    {
        let (got_hint, got_next) = probe(leader, follower, 0);
        assert_eq!(got_hint, hint, "{leader:?}, {follower:?}");
        assert_eq!(got_next, next, "{leader:?}, {follower:?}");
    }
    // The follower's log is compacted beyond the probe, which should not happen: it cannot tell the term, and the leader goes one back.
    assert_eq!(probe(&[1, 1, 3], &[1, 1, 3, 3, 3], 5), ((0, 3), (1, 2)));
}

/// The follower's hint and the leader's next probe, as (term, index).
fn probe(ours: &[u64], theirs: &[u64], compacted: u64) -> ((u64, u64), (u64, u64)) {
    let (term, last) = (ours[ours.len() - 1], ours.len() as u64);
    let disk = storage_with_log(&[1, 2, 3], ours, hs(term - 1, 0, last));
    let mut leader = Node::new(config(1), disk);
    leader.drive();
    leader.hup();
    leader.drive();
    leader.step(vote_resp(3, term)).unwrap();
    leader.drive();

    let disk = storage_with_log(&[1, 2, 3], theirs, hs(term, 1, 0));
    let mut follower = Node::new(config(2), disk);
    if compacted > 0 {
        follower.disk.compact(compacted).unwrap();
    }
    follower.step(heartbeat(1, term, 0)).unwrap();
    leader.step(one(follower.drive())).unwrap();
    let m = one(leader.drive());
    assert_eq!(
        (m.msg_type, m.index, m.log_term),
        (MessageType::MsgApp, last, term)
    );
    follower.step(m).unwrap();
    let m = one(follower.drive());
    assert_eq!((m.msg_type, m.reject), (MessageType::MsgAppResp, true));
    let hint = (m.log_term, m.reject_hint);
    leader.step(m).unwrap();
    let m = leader.drive().remove(0);
    (hint, (m.log_term, m.index))
}

/// The second of two appends arrives first and is refused; the first is taken. When the refusal arrives, the leader, which is probing again, does not
/// go back behind what it knows to match.
#[test]
fn a_late_refusal_does_not_take_the_leader_behind_what_matches() {
    let mut leader = Node::new(config(1), storage(&[1, 2], &[]));
    leader.hup();
    leader.drive();
    leader.step(vote_resp(2, 1)).unwrap();
    leader.raft.propose("somedata".into()).unwrap();
    leader.drive();
    // The peer has nothing, and says so: from here on appends go out without waiting.
    leader.step(app_resp(2, 1, 0)).unwrap();
    let first = one(leader.drive());
    assert_eq!((first.index, first.entries.len()), (0, 2));
    leader.raft.propose("somedata".into()).unwrap();
    let second = one(leader.drive());
    assert_eq!((second.index, second.entries.len()), (2, 1));

    let mut follower = Node::new(config(2), storage(&[1, 2], &[]));
    follower.step(second).unwrap();
    let refusal = one(follower.drive());
    assert_eq!(
        (refusal.reject, refusal.reject_hint, refusal.index),
        (true, 0, 2)
    );
    follower.step(first).unwrap();
    let taken = one(follower.drive());
    assert_eq!((taken.reject, taken.index), (false, 2));
    leader.step(taken).unwrap();
    one(leader.drive());
    assert_eq!(leader.raft.progress(2).unwrap().matched, 2);

    leader.step(msg(MessageType::MsgUnreachable, 2, 0)).unwrap();
    assert_eq!(leader.raft.progress(2).unwrap().state, StateType::Probe);
    leader.step(refusal).unwrap();
    let m = one(leader.drive());
    let sent: Vec<_> = m.entries.iter().map(|e| e.index).collect();
    assert_eq!((m.index, sent), (2, vec![3]));
}
