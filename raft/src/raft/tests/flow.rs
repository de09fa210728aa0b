//! The window of appends under way, in number and bytes, and the quota of what is not committed.

use super::{Core, acks, config, disk, lead, node_with, progress, sent};
use crate::raftpb::{Entry, MessageType, payload_size, payloads_size};
use crate::{Config, DropReason, Error};

/// Three messages, 2 KiB a message, and a little over 9000 bytes may be under way. Of 22 proposals six in the middle have 5000 bytes, the others 1000.
#[test]
fn messages_and_bytes_fill_the_window() {
    let c = Config {
        max_inflight_msgs: 3,
        max_size_per_msg: 2048,
        max_inflight_bytes: 9000,
        ..config()
    };
    let mut r = lead(node_with(c, disk(&[1, 2], &[])));
    sent(&mut r);
    progress(&mut r, 2).become_probe();
    for i in 0..22 {
        let len = if (10..16).contains(&i) { 5000 } else { 1000 };
        r.propose(vec![b'a'; len].into()).unwrap();
    }
    // While probing, one message: the leader's own entry and the first proposal.
    let out = sent(&mut r);
    assert_eq!(out.len(), 1);
    let lens: Vec<_> = out[0].entries.iter().map(|e| e.data.len()).collect();
    assert_eq!(lens, [0, 1000]);
    let mut last = 2;
    for want in [
        &[2, 2, 2][..],
        // The third has a large one instead of two.
        &[2, 1, 1],
        // Two large ones are all that fits.
        &[1, 1],
        &[1, 1],
        // Small ones again.
        &[1, 2, 2],
        &[2],
    ] {
        r.step(acks(2, &r, last)).unwrap();
        let out = sent(&mut r);
        assert!(out.iter().all(|m| m.msg_type == MessageType::MsgApp));
        let lens: Vec<_> = out.iter().map(|m| m.entries.len()).collect();
        assert_eq!(lens, want, "after {last}");
        last = out.last().and_then(|m| m.entries.last()).unwrap().index;
    }
}

/// Proposals are dropped beyond the quota. A large one is let in when there is nothing else, and an empty one always.
#[test]
fn the_quota_of_what_is_not_committed() {
    const MAX: usize = 1024;
    let entry = Entry::proposal("testdata");
    assert_eq!(payload_size(&Entry::proposal("")), 0);
    let c = Config {
        max_uncommitted_entries_size: MAX as u64 * payload_size(&entry),
        max_inflight_msgs: 2 * MAX,
        ..config()
    };
    let mut r = lead(node_with(c, disk(&[1, 2, 3], &[])));
    assert_eq!(r.uncommitted_size, 0, "its first entry is empty");
    for id in [2, 3] {
        progress(&mut r, id).become_replicate();
    }
    let propose = |r: &mut Core, n: usize| r.propose_entries(vec![entry.clone(); n].into());
    let dropped = Err(Error::ProposalDropped(DropReason::UncommittedSize));
    for _ in 0..MAX {
        propose(&mut r, 1).unwrap();
    }
    assert_eq!(propose(&mut r, 1), dropped);
    assert_eq!(sent(&mut r).len(), 2 * MAX);
    // All are committed and applied.
    r.reduce_uncommitted_size(payloads_size(&vec![entry.clone(); MAX]));
    assert_eq!(r.uncommitted_size, 0);

    propose(&mut r, 2 * MAX).unwrap();
    assert_eq!(propose(&mut r, 1), dropped);
    r.propose_entries(vec![Entry::default()].into()).unwrap();
    assert_eq!(sent(&mut r).len(), 2 * 2);
    r.reduce_uncommitted_size(payloads_size(&vec![entry.clone(); 2 * MAX]));
    assert_eq!(r.uncommitted_size, 0);
}
