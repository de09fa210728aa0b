//! Messages from peers, stepped into a node in each role with each option. The first two bytes choose; then pieces, each a message or what happens between two.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raft::raftpb::Message;
use raft::raftpb::prost::Message as _;
use tickraft_fuzz::{Node, pieces};

fuzz_target!(|data: &[u8]| {
    let [options, role, rest @ ..] = data else {
        return;
    };
    let mut node = Node::new(*options, *role);
    for piece in pieces(rest) {
        match piece {
            [] => node.drive(),
            [0] => {
                let done = node.raft.tick();
                node.refused_or_done(done);
            }
            [n] => {
                let done = node.raft.propose(vec![0; usize::from(*n)].into()).map(drop);
                node.refused_or_done(done);
            }
            bytes => {
                if let Ok(m) = Message::decode(bytes) {
                    node.step(m);
                }
            }
        }
    }
    node.drive();
});
