//! Configuration changes, as bytes and as text: refused, or applied, and then what follows is sound.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raft::raftpb::prost::Message as _;
use raft::raftpb::{ConfChange, ConfChangeI, ConfChangeV2, ConfState, conf_changes_from_string};
use raft::{confchange, tracker};
use tickraft_fuzz::{Node, pieces};

fuzz_target!(|data: &[u8]| {
    let [options, role, rest @ ..] = data else {
        return;
    };
    let mut node = Node::new(*options, *role);
    for piece in pieces(rest) {
        let mut changes: Vec<ConfChangeV2> = Vec::new();
        changes.extend(ConfChangeV2::decode(piece));
        changes.extend(ConfChange::decode(piece).map(|cc| cc.as_v2()));
        let text = std::str::from_utf8(piece).ok();
        if let Some(Ok(singles)) = text.map(conf_changes_from_string) {
            changes.push(ConfChangeV2 {
                changes: singles,
                ..ConfChangeV2::default()
            });
        }
        for cc in changes {
            let done = node.raft.propose_conf_change(&cc).map(drop);
            node.refused_or_done(done);
            let done = node.raft.apply_conf_change(&cc).map(drop);
            node.refused_or_done(done);
        }
        if let Ok(cs) = ConfState::decode(piece) {
            let trk = tracker::ProgressTracker::new(2, 0);
            // Whatever it describes: built, or refused.
            let _ = confchange::restore(&confchange::Changer::new(&trk, 7), &cs);
        }
    }
    node.drive();
});
