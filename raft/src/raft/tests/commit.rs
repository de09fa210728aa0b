//! What a quorum has of the leader's term is committed (Raft paper §5.3, §5.4.2).

use super::{config, disk, hs, node_with, progress};
use crate::raftpb::{ConfChange, ConfChangeI};

#[test]
fn the_commit_index_is_the_quorum_s_where_the_term_is_the_leader_s() {
    // What each member has, the log's terms, the leader's term; the commit index.
    for (matches, log, term, want) in [
        (&[1][..], &[1][..], 1, 1),
        (&[1], &[1], 2, 0),
        (&[2], &[1, 2], 2, 2),
        (&[1], &[2], 2, 1),
        // Three members.
        (&[2, 1, 1], &[1, 2], 1, 1),
        (&[2, 1, 1], &[1, 1], 2, 0),
        (&[2, 1, 2], &[1, 2], 2, 2),
        (&[2, 1, 2], &[1, 1], 2, 0),
        // Four.
        (&[2, 1, 1, 1], &[1, 2], 1, 1),
        (&[2, 1, 1, 1], &[1, 1], 2, 0),
        (&[2, 1, 1, 2], &[1, 2], 1, 1),
        (&[2, 1, 1, 2], &[1, 1], 2, 0),
        (&[2, 1, 2, 2], &[1, 2], 2, 2),
        (&[2, 1, 2, 2], &[1, 1], 2, 0),
    ] {
        let s = disk(&[1], log);
        s.set_hard_state(hs(term));
        let mut r = node_with(config(), s);
        for (id, &matched) in (1..).zip(matches) {
            if id > 1 {
                let add = ConfChange {
                    node_id: id,
                    ..ConfChange::default()
                };
                r.apply_conf_change(&add.as_v2()).unwrap();
            }
            let pr = progress(&mut r, id);
            (pr.matched, pr.next) = (matched, matched + 1);
        }
        let moved = r.maybe_commit().unwrap();
        assert_eq!(
            (r.raft_log.committed, moved),
            (want, want > 0),
            "{matches:?} of {log:?} in term {term}"
        );
    }
}
