//! Who watches refusals learns of each, in order, and may end the node.

use super::*;
use crate::{Error, Refused};
use rawnode::raft;

type Seen = Arc<Mutex<Vec<(u64, MessageType, u64, u64)>>>;

/// A node of a group of three that remembers what was refused, and goes on unless the commit is out of range at its term or later.
fn watched(seen: &Seen) -> Node {
    let rn = RawNode::new(
        config(1),
        storage(&[1, 2, 3]),
        Lines::default().logger(),
        None,
    )
    .unwrap();
    let seen = Arc::clone(seen);
    let watch = move |r: &Refused<'_>| {
        seen.lock()
            .unwrap()
            .push((r.from, r.msg_type, r.term, r.own_term));
        match r.error {
            raft::Error::CommitOutOfRange { .. } if r.term >= r.own_term => {
                Err(storage::Error::other("an old copy"))
            }
            _ => Ok(()),
        }
    };
    options().spawn_watched(rn, watch).unwrap()
}

fn heartbeat(from: u64, term: u64, commit: u64) -> Message {
    Message {
        to: 1,
        from,
        term,
        commit,
        ..Message::new(MessageType::MsgHeartbeat)
    }
}

#[test]
fn a_commit_beyond_the_log_may_end_the_node() {
    let seen = Seen::default();
    let n = watched(&seen);
    follow(&n, 7);
    // From the past: no reason to stop, and none from a heartbeat that is as it should be.
    n.step(heartbeat(3, 6, 9)).unwrap();
    n.step(heartbeat(2, 7, 0)).unwrap();
    assert_eq!(n.status().unwrap().basic.hard_state.term, 7);
    n.step(heartbeat(2, 8, 9)).unwrap();
    n.step(heartbeat(2, 9, 9)).ok();
    // A Ready that was there before may still come, none after.
    while n.ready().recv_timeout(LONG).is_ok() {}
    let fault = n.fault().expect("the watcher ended it");
    assert!(fault.to_string().contains("an old copy"), "{fault}");
    assert!(matches!(n.propose("x".into()), Err(Error::Fault(_))));
    let refused = seen.lock().unwrap().clone();
    assert_eq!(refused.last(), Some(&(2, MessageType::MsgHeartbeat, 8, 7)));
    assert!(
        refused.len() <= 2,
        "each once, and none after the end: {refused:?}"
    );
}

/// What the application itself asks for is its own business, not a peer's.
#[test]
fn only_peers_are_watched() {
    let seen = Seen::default();
    let n = watched(&seen);
    follow(&n, 1);
    n.report_unreachable(9).unwrap();
    n.step(Message {
        to: 1,
        from: 9,
        term: 1,
        ..Message::new(MessageType::MsgAppResp)
    })
    .unwrap();
    n.status().unwrap();
    assert_eq!(*seen.lock().unwrap(), []);
    // A malformed one is.
    let entries = Entries::from(vec![Entry::new(1, 7, "x"), Entry::new(1, 3, "y")]);
    n.step(Message {
        to: 1,
        from: 2,
        term: 1,
        entries,
        ..Message::new(MessageType::MsgApp)
    })
    .unwrap();
    n.status().unwrap();
    assert_eq!(*seen.lock().unwrap(), [(2, MessageType::MsgApp, 1, 1)]);
    assert_eq!(n.ended(), None);
}
