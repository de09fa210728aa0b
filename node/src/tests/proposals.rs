//! What becomes of proposals. Go: node_test.go (TestNodePropose, TestBlockProposal, TestNodeProposeWaitDropped, …)

use super::*;
use crate::{Accepted, Error};
use bytes::Bytes;
use rawnode::raft::DropReason;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

/// Go: TestBlockProposal
#[test]
fn a_proposal_waits_for_a_leader() {
    let s = storage(&[1]);
    let n = spawn(config(1), s.clone());
    let ticket = n.propose("somedata".into()).unwrap();
    assert!(silent(&n));
    assert_eq!(ticket.try_get(), None);
    n.campaign().unwrap();
    let app = Application::alone(&n, &s);
    assert_eq!(
        ticket.wait_timeout(LONG),
        Some(Ok(Accepted::Appended { term: 1, index: 2 }))
    );
    assert_eq!(app.next(), Entry::new(1, 2, "somedata"));
}

/// Go: TestNodePropose, TestNodeProposeConfig
#[test]
fn proposals_keep_their_order_and_tickets_tell_where_they_are() {
    const N: u64 = 2000;
    let (n, s) = leader();
    let app = Application::alone(&n, &s);
    let propose = |i: u64| n.propose(i.to_string().into()).unwrap();
    let tickets: Vec<_> = (0..N).map(propose).collect();
    for (i, ticket) in (0..).zip(tickets) {
        let want = Accepted::Appended {
            term: 1,
            index: 2 + i,
        };
        assert_eq!(ticket.wait_timeout(LONG), Some(Ok(want)));
        let e = app.next();
        assert_eq!((e.index, e.data), (2 + i, Bytes::from(i.to_string())));
    }
}

#[test]
fn proposals_that_wait_together_are_appended_together() {
    let s = storage(&[1, 2]);
    let n = spawn(config(1), s.clone());
    for i in 0..600 {
        drop(n.propose(i.to_string().into()).unwrap());
    }
    n.campaign().unwrap();
    let mut sent = Vec::new();
    // The other's vote, then the messages that replicate.
    n.step(Message {
        to: 1,
        from: 2,
        term: 1,
        ..Message::new(MessageType::MsgVoteResp)
    })
    .unwrap();
    while sent.iter().sum::<usize>() == 0 {
        let mut rd = take(&n);
        write(&s, &rd);
        let apps = rd.take_messages();
        let apps = apps.iter().filter(|m| m.msg_type == MessageType::MsgApp);
        sent.extend(apps.map(|m| m.entries.len()));
        n.advance(rd.persisted()).unwrap();
    }
    // A probe with the leader's own entry; what follows waits for its answer.
    assert_eq!(sent, [1]);
    n.step(Message {
        to: 1,
        from: 2,
        term: 1,
        index: 1,
        ..Message::new(MessageType::MsgAppResp)
    })
    .unwrap();
    let mut entries = 0;
    while entries < 600 {
        let mut rd = take(&n);
        write(&s, &rd);
        for m in rd.take_messages() {
            entries += m.entries.len();
        }
        n.advance(rd.persisted()).unwrap();
    }
    assert_eq!(entries, 600);
}

/// Two threads propose as fast as they can.
#[test]
fn each_proposers_order_is_kept() {
    const N: usize = 3000;
    let (n, s) = leader();
    let app = Application::alone(&n, &s);
    let proposers: Vec<_> = ["a", "b"]
        .map(|name| {
            let n = n.clone();
            thread::spawn(move || {
                let mut refused = 0;
                for i in 0..N {
                    while let Err(e) = n.propose(format!("{name}{i}").into()) {
                        assert_eq!(e, Error::QueueFull);
                        refused += 1;
                        thread::yield_now();
                    }
                }
                refused
            })
        })
        .into();
    let mut next = BTreeMap::from([("a", 0), ("b", 0)]);
    for _ in 0..2 * N {
        let e = app.next();
        let text = std::str::from_utf8(&e.data).unwrap();
        let (name, i) = text.split_at(1);
        let want = next.get_mut(name).unwrap();
        assert_eq!(i, want.to_string());
        *want += 1;
    }
    for p in proposers {
        p.join().unwrap();
    }
}

#[test]
fn a_full_queue_says_so_at_once() {
    let o = NodeOptions {
        propose_queue: 3,
        ..options()
    };
    let n = spawn_with(o, config(1), storage(&[1]));
    let waiting: Vec<_> = (0..3).map(|_| n.propose("x".into()).unwrap()).collect();
    assert_eq!(n.propose("x".into()).unwrap_err(), Error::QueueFull);
    let forwarded = Message {
        from: 2,
        entries: vec![Entry::proposal("x")].into(),
        ..Message::new(MessageType::MsgProp)
    };
    assert_eq!(n.step(forwarded), Err(Error::QueueFull));
    n.stop();
    for ticket in waiting {
        assert_eq!(ticket.wait(), Err(Error::Stopped));
    }
}

/// Beyond the quota proposals are dropped, and say why; within it none is. Go: TestNodeProposeWaitDropped
#[test]
fn a_dropped_proposal_says_why() {
    let c = Config {
        max_uncommitted_entries_size: 100,
        ..config(1)
    };
    let (n, s) = leader_with(c);
    // Nothing is committed, because no Ready is handled: ten of ten bytes fit. However many are taken at a time.
    let results: Vec<_> = (0..25)
        .map(|_| n.propose(vec![b'x'; 10].into()).unwrap())
        .map(|ticket| ticket.wait())
        .collect();
    assert!(results[..10].iter().all(Result::is_ok), "{results:?}");
    let dropped = Err(Error::ProposalDropped(DropReason::UncommittedSize));
    assert!(results[10..].iter().all(|r| *r == dropped), "{results:?}");
    let app = Application::alone(&n, &s);
    for _ in 0..10 {
        app.next();
    }
    // Applied: there is room again.
    assert!(n.propose("again".into()).unwrap().wait().is_ok());
}

/// Those taken together fill the quota as singles would.
#[test]
fn a_batch_fills_the_quota_exactly() {
    let c = Config {
        max_uncommitted_entries_size: 100,
        ..config(1)
    };
    let s = storage(&[1]);
    let n = spawn(c, s.clone());
    // They wait for a leader, and so are taken at once.
    let tickets: Vec<_> = (0..25)
        .map(|_| n.propose(vec![b'x'; 10].into()).unwrap())
        .collect();
    n.campaign().unwrap();
    handle(&n, &s); // its vote; it leads, and nothing is committed yet
    let results: Vec<_> = tickets.into_iter().map(|t| t.wait().is_ok()).collect();
    let taken = results.iter().filter(|ok| **ok).count();
    assert_eq!(taken, 10);
    assert!(results[..10].iter().all(|ok| *ok), "{results:?}");
}

/// Go: TestDisableProposalForwarding
#[test]
fn a_follower_forwards_or_refuses() {
    for (disable, want) in [
        (false, Ok(Accepted::Forwarded { to: 2 })),
        (
            true,
            Err(Error::ProposalDropped(DropReason::ForwardingDisabled)),
        ),
    ] {
        let c = Config {
            disable_proposal_forwarding: disable,
            ..config(1)
        };
        let s = storage(&[1, 2]);
        let n = spawn(c, s.clone());
        let tickets = ["a", "b"].map(|x| n.propose(x.into()).unwrap());
        follow(&n, 1);
        for ticket in &tickets {
            assert_eq!(ticket.wait_timeout(LONG), Some(want.clone()));
        }
        let mut forwarded = Vec::new();
        while !silent(&n) {
            let mut rd = take(&n);
            write(&s, &rd);
            for m in proposed(&mut rd) {
                assert_eq!((m.to, m.from), (2, 1));
                forwarded.extend(data(&m.entries));
            }
            n.advance(rd.persisted()).unwrap();
        }
        let want = if disable { vec![] } else { vec!["a", "b"] };
        assert_eq!(forwarded, want);
    }
}

/// The proposals that a follower sends on.
fn proposed(rd: &mut Ready) -> Vec<Message> {
    let mut ms = rd.take_messages();
    ms.retain(|m| m.msg_type == MessageType::MsgProp);
    ms
}

/// A proposal that a follower sent on waits for a leader like any other. Go: TestNodeStep
#[test]
fn forwarded_proposals_wait_in_the_same_queue() {
    let s = storage(&[1]);
    let n = spawn(config(1), s.clone());
    let before = n.propose("before".into()).unwrap();
    n.step(Message {
        from: 2,
        entries: vec![Entry::proposal("from"), Entry::proposal("afar")].into(),
        ..Message::new(MessageType::MsgProp)
    })
    .unwrap();
    let after = n.propose("after".into()).unwrap();
    n.campaign().unwrap();
    let app = Application::alone(&n, &s);
    let applied = [(); 4].map(|()| app.next().data);
    assert_eq!(applied, ["before", "from", "afar", "after"]);
    let index = |ticket: crate::Ticket| match ticket.wait() {
        Ok(Accepted::Appended { index, .. }) => index,
        other => panic!("{other:?}"),
    };
    assert_eq!((index(before), index(after)), (2, 5));
}

#[test]
fn a_dropped_ticket_drops_no_proposal() {
    let (n, s) = leader();
    drop(n.propose("x".into()).unwrap());
    let app = Application::alone(&n, &s);
    assert_eq!(app.next().data, "x");
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(f: F) -> F::Output {
    let mut f = pin!(f);
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        match f.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(out) => return out,
            Poll::Pending => thread::park_timeout(LONG),
        }
    }
}

#[test]
fn a_ticket_is_a_future() {
    let s = storage(&[1]);
    let n = spawn(config(1), s.clone());
    let _app = Application::alone(&n, &s);
    let (first, second) = (
        n.propose("a".into()).unwrap(),
        n.propose("b".into()).unwrap(),
    );
    let campaigning = {
        let n = n.clone();
        thread::spawn(move || n.campaign().unwrap())
    };
    let both = async { (first.await, second.await) };
    let at = |index| Ok(Accepted::Appended { term: 1, index });
    assert_eq!(block_on(both), (at(2), at(3)));
    campaigning.join().unwrap();

    // And it tells of the end, too.
    let waiting = spawn(config(1), storage(&[1]));
    let ticket = waiting.propose("x".into()).unwrap();
    let stopping = thread::spawn(move || waiting.stop());
    assert_eq!(block_on(ticket), Err(Error::Stopped));
    stopping.join().unwrap();
}

/// Large proposals do not travel in one message.
#[test]
fn batches_are_bounded_in_bytes() {
    let s = storage(&[1, 2]);
    let n = spawn(config(1), s.clone());
    for _ in 0..8 {
        drop(n.propose(vec![b'x'; 100 << 10].into()).unwrap());
    }
    follow(&n, 1);
    let (mut sizes, mut sent) = (Vec::new(), 0);
    while sent < 8 {
        let mut rd = take(&n);
        write(&s, &rd);
        for m in proposed(&mut rd) {
            sent += m.entries.len();
            sizes.push(m.entries.len());
        }
        n.advance(rd.persisted()).unwrap();
    }
    assert_eq!(sizes, [2, 2, 2, 2]);
}

/// Three nodes, their applications and the network between: what one proposes, all apply in the same order.
#[test]
fn three_nodes_apply_the_same() {
    const N: usize = 300;
    let logs = [(); 3].map(|()| storage(&[1, 2, 3]));
    let nodes: Vec<_> = (1..=3)
        .zip(&logs)
        .map(|(id, s)| spawn(config(id), s.clone()))
        .collect();
    let apps: Vec<_> = (nodes.iter().zip(&logs))
        .map(|(n, s)| Application::new(n.clone(), s.clone(), nodes.clone()))
        .collect();
    nodes[0].campaign().unwrap();
    let mut tickets = Vec::new();
    for i in 0..N {
        tickets.push(nodes[i % 3].propose(i.to_string().into()).unwrap());
    }
    for (i, ticket) in tickets.into_iter().enumerate() {
        let result = ticket.wait_timeout(LONG).expect("there is a leader");
        match (i % 3, result) {
            (0, Ok(Accepted::Appended { .. })) => {}
            (1 | 2, Ok(Accepted::Forwarded { to: 1 })) => {}
            other => panic!("{other:?}"),
        }
    }
    let of = |app: &Application| (0..N).map(|_| app.next()).collect::<Vec<_>>();
    let first = of(&apps[0]);
    assert_eq!(of(&apps[1]), first);
    assert_eq!(of(&apps[2]), first);
}
