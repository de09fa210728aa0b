//! To whom a node gives its vote, and what it asks for when it campaigns.

use crate::common::{Node, app, config, entries, hs, in_role, storage, storage_with_log, vote};
use tickraft::StateType::{self, Candidate, Follower, Leader, PreCandidate};
use tickraft::raftpb::{Message, MessageType};

const KINDS: [(MessageType, MessageType); 2] = [
    (MessageType::MsgVote, MessageType::MsgVoteResp),
    (MessageType::MsgPreVote, MessageType::MsgPreVoteResp),
];

/// Whether the one answer is a refusal.
fn refuses(n: &mut Node, m: Message, answer: MessageType) -> bool {
    let to = m.from;
    n.step(m).unwrap();
    let out = n.drive();
    let sent: Vec<_> = out.iter().map(|m| (m.to, m.msg_type)).collect();
    assert_eq!(sent, [(to, answer)]);
    out[0].reject
}

/// Whatever its role, a node grants a vote of a later term to a log that is up to date. A vote binds it, a pre-vote changes nothing.
#[test]
fn any_role_votes_for_a_later_term() {
    for (kind, answer) in KINDS {
        for role in [Follower, Candidate, Leader, PreCandidate] {
            let mut n = in_role(role, 1);
            let before = n.raft.hard_state();
            assert!(
                !refuses(&mut n, vote(kind, 2, 2, (2, 42)), answer),
                "{role}"
            );
            if kind == MessageType::MsgVote {
                assert_eq!((n.state(), n.term()), (Follower, 2), "{role}");
                assert_eq!(n.raft.hard_state().vote, 2, "{role}");
            } else {
                assert_eq!((n.state(), n.raft.hard_state()), (role, before));
                assert!([0, 1].contains(&before.vote));
            }
        }
    }
}

/// The log ends with term 2 at index 2. Only logs that end with a later term, or with this one and not before it, get a vote, and only if it
/// is not given to another in this term.
#[test]
fn votes_go_to_logs_that_are_up_to_date_while_they_are_free() {
    // The last index and term of who asks, for whom the vote was given; whether it is refused.
    let cases: &[(u64, u64, u64, bool)] = &[
        (0, 0, 0, true),
        (0, 1, 0, true),
        (0, 2, 0, true),
        (0, 3, 0, false),
        (1, 0, 0, true),
        (1, 1, 0, true),
        (1, 2, 0, true),
        (1, 3, 0, false),
        (2, 0, 0, true),
        (2, 1, 0, true),
        (2, 2, 0, false),
        (2, 3, 0, false),
        (3, 0, 0, true),
        (3, 1, 0, true),
        (3, 2, 0, false),
        (3, 3, 0, false),
        // The same again is granted, another is not.
        (3, 2, 2, false),
        (3, 2, 1, true),
    ];
    for (kind, answer) in KINDS {
        for &(index, log_term, voted, want) in cases {
            let term = log_term.max(2);
            let disk = storage_with_log(&[1, 2, 3], &[2, 2], hs(term, voted, 0));
            let m = vote(kind, 2, term, (log_term, index));
            let refused = refuses(&mut Node::new(config(1), disk), m, answer);
            assert_eq!(
                refused, want,
                "{kind:?} of {log_term}/{index}, voted {voted}"
            );
        }
    }
}

/// Candidates and leaders have given their vote to themselves. So has a node that asks for pre-votes later in the same term.
#[test]
fn those_who_voted_for_themselves_refuse_others_of_their_term() {
    for (kind, answer) in KINDS {
        for role in [Leader, PreCandidate, Candidate] {
            let before = if role == PreCandidate {
                hs(3, 1, 0)
            } else {
                hs(2, 0, 0)
            };
            let mut c = config(1);
            c.pre_vote = role == PreCandidate;
            let mut n = Node::new(c, storage_with_log(&[1, 2, 3], &[2, 2], before));
            n.hup();
            n.drive();
            if role == Leader {
                n.step(crate::common::vote_resp(3, 3)).unwrap();
                n.drive();
            }
            assert_eq!(
                (n.state(), n.term(), n.raft.hard_state().vote),
                (role, 3, 1)
            );
            assert!(refuses(&mut n, vote(kind, 2, 3, (3, 3)), answer), "{role}");
        }
    }
}

/// Raft paper §5.2: at most one candidate in a term, who comes first. The answer in all its fields.
#[test]
fn a_follower_votes_once_in_a_term() {
    for (voted, asks, refused) in [
        (0, 2, false),
        (0, 3, false),
        (2, 2, false),
        (3, 3, false),
        (2, 3, true),
        (3, 2, true),
    ] {
        let disk = storage_with_log(&[1, 2, 3], &[], hs(1, voted, 0));
        let mut n = Node::new(config(1), disk);
        n.step(vote(MessageType::MsgVote, asks, 1, (0, 0))).unwrap();
        let want = Message {
            from: 1,
            to: asks,
            term: 1,
            reject: refused,
            ..Message::new(MessageType::MsgVoteResp)
        };
        let b = n.take(tickraft::WriteMode::Sync);
        assert!(b.messages.is_empty(), "it waits until the vote is written");
        assert_eq!(
            b.messages_after_append,
            [want],
            "voted {voted}, {asks} asks"
        );
    }
}

/// Raft paper §5.4.1: a voter whose own log is more up to date denies its vote.
#[test]
fn a_voter_with_the_better_log_refuses() {
    for (log, term, index, refused) in [
        // The same last term: the longer log is better.
        (&[1][..], 1, 1, false),
        (&[1], 1, 2, false),
        (&[1, 1], 1, 1, true),
        // The candidate's last term is later.
        (&[1], 2, 1, false),
        (&[1], 2, 2, false),
        (&[1, 1], 2, 1, false),
        // The voter's is.
        (&[2], 1, 1, true),
        (&[2], 1, 2, true),
        (&[2, 2], 1, 1, true),
    ] {
        let mut n = Node::new(config(1), storage_with_log(&[1, 2], log, hs(2, 0, 0)));
        let m = vote(MessageType::MsgVote, 2, 3, (term, index));
        let got = refuses(&mut n, m, MessageType::MsgVoteResp);
        assert_eq!(got, refused, "{log:?} is asked by {term}/{index}");
    }
}

/// A learner votes: it may have been promoted and not know it yet.
#[test]
fn a_learner_may_vote() {
    let mut n = Node::new(config(2), storage(&[1], &[2]));
    n.step(crate::common::heartbeat(1, 1, 0)).unwrap();
    n.drive();
    let m = vote(MessageType::MsgVote, 1, 2, (11, 11));
    assert!(!refuses(&mut n, m, MessageType::MsgVoteResp));
}

/// Raft paper §5.4.1: a request says how the candidate's log ends, and goes to all others.
#[test]
fn a_vote_request_tells_of_the_candidate_s_log() {
    for (log, term) in [(&[1][..], 2), (&[1, 2], 3)] {
        let mut n = Node::new(config(1), storage(&[1, 2, 3], &[]));
        n.step(app(2, term - 1, (0, 0), entries(1, log), 0))
            .unwrap();
        n.drive();
        n.ticks(19);
        let out = n.drive();
        let of = |to| Message {
            from: 1,
            to,
            ..vote(
                MessageType::MsgVote,
                1,
                term,
                (log[log.len() - 1], log.len() as u64),
            )
        };
        assert_eq!(out, [of(2), of(3)]);
    }
}

/// Raft paper §5.2: who hears of no leader for an election timeout raises its term, votes for itself and asks all others. A candidate that
/// neither wins nor loses does so again.
#[test]
fn an_election_timeout_starts_an_election() {
    for role in [Follower, Candidate] {
        let mut n = in_role(role, 1);
        n.ticks(19);
        assert_eq!((n.state(), n.term()), (Candidate, 2), "{role}");
        let out = n.drive();
        let of = |to| Message {
            to,
            ..vote(MessageType::MsgVote, 1, 2, (0, 0))
        };
        assert_eq!(out, [of(2), of(3)], "{role}");
        assert_eq!(n.raft.hard_state(), hs(2, 1, 0));
        // Its own vote counts: one more is enough.
        n.step(crate::common::vote_resp(3, 2)).unwrap();
        assert_eq!(n.state(), StateType::Leader, "{role}");
    }
}
