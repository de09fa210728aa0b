//! A message from a peer: refused, or the same after another round of encoding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raft::raftpb::prost::Message as _;
use raft::raftpb::{HardState, Message, Snapshot, describe_message};

fuzz_target!(|data: &[u8]| {
    if let Ok(m) = Message::decode(data) {
        let again = Message::decode(m.encode_to_vec().as_slice()).expect("we wrote it");
        assert_eq!(m, again);
        assert_eq!(m.encoded_len(), m.encode_to_vec().len());
        assert!(!describe_message(&m, None).is_empty());
    }
    if let Ok(s) = Snapshot::decode(data) {
        assert_eq!(
            Snapshot::decode(s.encode_to_vec().as_slice()).as_ref(),
            Ok(&s)
        );
    }
    if let Ok(hs) = HardState::decode(data) {
        assert_eq!(
            HardState::decode(hs.encode_to_vec().as_slice()).as_ref(),
            Ok(&hs)
        );
    }
});
