//! A node's own votes and acknowledgements come back to it when they are written; by then they may mean nothing any more.

use super::{Core, StateType, config, disk, from, leader, node_with};
use crate::Config;
use crate::raftpb::{Entry, Message, MessageType};

/// In term 1, without a leader.
fn node(pre_vote: bool) -> Core {
    let s = disk(&[1, 2, 3], &[]);
    s.set_hard_state(super::hs(1));
    let c = Config {
        pre_vote,
        ..config()
    };
    node_with(c, s)
}

/// The answers that wait for a write, which is said to be done.
fn written(r: &mut Core) -> Vec<Message> {
    r.raft_log.accept_unstable();
    r.own_acks_to_messages();
    std::mem::take(&mut r.msgs_after_append)
}

fn step_all(r: &mut Core, ms: Vec<Message>) {
    for m in ms {
        assert_eq!(m.to, 1);
        let _ = r.step(m).unwrap();
    }
}

/// Another has won before the candidate's vote for itself is written: it follows, and the vote does not count.
#[test]
fn an_own_vote_after_the_election_was_lost() {
    for pre_vote in [false, true] {
        let mut r = node(pre_vote);
        r.step(Message::new(MessageType::MsgHup)).unwrap();
        let own = written(&mut r);
        assert_eq!(own.len(), 1);
        r.step(from(2, &r, MessageType::MsgHeartbeat)).unwrap();
        assert_eq!(r.state, StateType::Follower);
        step_all(&mut r, own);
        assert_eq!(r.state, StateType::Follower);
        assert_eq!(r.trk.tally_votes().granted, 0);
    }
}

/// Others' pre-votes made the node a candidate before its own was written. That one does not count as a vote; the real one does.
#[test]
fn an_own_pre_vote_after_the_pre_election_was_won() {
    let mut r = node(true);
    r.step(Message::new(MessageType::MsgHup)).unwrap();
    assert_eq!(r.state, StateType::PreCandidate);
    let own = written(&mut r);
    for id in [2, 3] {
        // A pre-vote is answered in the term that is asked for.
        let mut m = from(id, &r, MessageType::MsgPreVoteResp);
        m.term = 2;
        let _ = r.step(m).unwrap();
    }
    assert_eq!(r.state, StateType::Candidate);
    step_all(&mut r, own);
    assert_eq!(r.state, StateType::Candidate);
    let own = written(&mut r);
    assert_eq!(r.trk.tally_votes().granted, 0);
    r.step(from(2, &r, MessageType::MsgVoteResp)).unwrap();
    assert_eq!(r.state, StateType::Candidate, "one of three");
    step_all(&mut r, own);
    assert_eq!(r.state, StateType::Leader);
}

/// A leader that was deposed acknowledges to itself what it appended before: of an earlier term, and ignored.
#[test]
fn an_own_acknowledgement_after_the_term_has_ended() {
    let mut r = leader(&[1, 2, 3]);
    r.propose_entries(vec![Entry::proposal("somedata")].into())
        .unwrap();
    let own = written(&mut r);
    assert_eq!(own.len(), 2, "for its first entry, and the proposal");
    let mut m = from(2, &r, MessageType::MsgHeartbeat);
    m.term += 1;
    r.step(m).unwrap();
    assert_eq!(r.state, StateType::Follower);
    step_all(&mut r, own);
    assert_eq!(
        (r.state, r.lead, r.raft_log.committed),
        (StateType::Follower, 2, 0)
    );
}
