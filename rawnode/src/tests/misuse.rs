//! What goes wrong when a driver does not do as it must: an error, never a lost write. Go: (acceptReady's panic)

use super::*;
use crate::Error;

#[test]
fn one_ready_at_a_time() {
    let s = storage(&[1]);
    let mut n = node(1, s.clone());
    n.campaign().unwrap();
    let rd = n.ready().unwrap().unwrap();
    assert_eq!(n.ready().unwrap_err(), Error::ReadyOutstanding);
    let p = rd.persisted();
    assert_eq!(n.ready().unwrap_err(), Error::ReadyOutstanding);
    n.advance(p).unwrap();
    assert!(n.ready().unwrap().is_some(), "and then it goes on");
}

#[test]
fn a_dropped_half_stops_the_node() {
    for persisted in [false, true] {
        let mut n = node(1, storage(&[1]));
        n.campaign().unwrap();
        let rd = n.ready().unwrap().unwrap();
        if persisted {
            drop(rd.persisted());
        } else {
            drop(rd);
        }
        for _ in 0..2 {
            assert_eq!(n.ready().unwrap_err(), Error::ReadyOutstanding);
        }
        assert_eq!(
            n.basic_status().soft_state.lead,
            0,
            "its vote does not count"
        );
    }
}

#[test]
fn another_nodes_persisted_is_not_taken() {
    // Even of the same id: groups share ids.
    let (mut a, mut b) = (node(1, storage(&[1])), node(1, storage(&[1])));
    a.campaign().unwrap();
    b.campaign().unwrap();
    let (rd_a, rd_b) = (a.ready().unwrap().unwrap(), b.ready().unwrap().unwrap());
    assert_eq!(a.advance(rd_b.persisted()), Err(Error::ForeignReady));
    assert_eq!(a.basic_status().soft_state.lead, 0);
    a.advance(rd_a.persisted()).unwrap();
    assert_eq!(a.basic_status().soft_state.lead, 1);
    assert_eq!(b.ready().unwrap_err(), Error::ReadyOutstanding);
}

#[test]
fn a_failed_write_stops_the_node() {
    let mut n = node(1, storage(&[1]));
    n.campaign().unwrap();
    let rd = n.ready().unwrap().unwrap();
    let e = storage::Error::other("disk on fire");
    n.fail(e.clone());
    let fault = n.fault().cloned().unwrap();
    assert_eq!(fault.storage_error(), &e);
    let want = raft::Error::Fault(fault.clone());
    assert_eq!(
        n.ready().unwrap_err(),
        Error::Raft(want.clone()),
        "rather than ReadyOutstanding"
    );
    assert_eq!(n.advance(rd.persisted()), Err(Error::Raft(want.clone())));
    assert_eq!(n.ready().unwrap_err(), Error::Raft(want.clone()));
    assert_eq!(n.tick(), Err(want.clone()));
    assert_eq!(n.campaign(), Err(want.clone()));
    assert_eq!(n.propose("x".into()), Err(want.clone()));
    assert_eq!(n.step(Message::default()), Err(raft::Error::StepLocalMsg));
    n.fail(storage::Error::other("and again"));
    assert_eq!(n.fault(), Some(&fault), "the first counts");
    assert_eq!(
        (n.status().basic.id, n.basic_status().hard_state.term),
        (1, 1)
    );
}

/// A storage that fails to read stops the node before anything is handed out.
#[test]
fn a_failed_read_stops_the_node() {
    #[derive(Clone)]
    struct Failing(MemoryStorage, Arc<AtomicUsize>);
    impl Storage for Failing {
        fn initial_state(&self) -> Result<(raft::raftpb::HardState, ConfState), storage::Error> {
            self.0.initial_state()
        }
        fn entries(&self, lo: u64, hi: u64, max: u64) -> Result<Entries, storage::Error> {
            if self.1.load(Ordering::Relaxed) == 1 {
                return Err(storage::Error::other("unreadable"));
            }
            self.0.entries(lo, hi, max)
        }
        fn term(&self, index: u64) -> Result<u64, storage::Error> {
            self.0.term(index)
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
    let s = storage(&[1]);
    s.append(&vec![Entry::new(1, 1, "x")].into()).unwrap();
    s.set_hard_state(raft::raftpb::HardState {
        term: 1,
        vote: 0,
        commit: 1,
    });
    let broken = Arc::new(AtomicUsize::new(0));
    let mut n = node(1, Failing(s, Arc::clone(&broken)));
    broken.store(1, Ordering::Relaxed);
    assert!(n.has_ready(), "which reads nothing");
    let e = n.ready().unwrap_err();
    assert!(
        matches!(&e, Error::Raft(raft::Error::Fault(f)) if f.storage_error().to_string() == "unreadable"),
        "{e}"
    );
    broken.store(0, Ordering::Relaxed);
    assert_eq!(n.ready().unwrap_err(), e, "a fault stays");
}

#[test]
fn configurations_that_will_not_do_make_no_node() {
    let c = Config {
        heartbeat_tick: 0,
        ..config(1)
    };
    let e = RawNode::new(c.clone(), storage(&[1]), logger(), None).unwrap_err();
    assert!(
        matches!(
            e,
            raft::Error::Config {
                field: "heartbeat_tick",
                ..
            }
        ),
        "{e}"
    );
    assert_eq!(
        RawNode::new_async(c, storage(&[1]), logger(), None).unwrap_err(),
        e
    );
}
