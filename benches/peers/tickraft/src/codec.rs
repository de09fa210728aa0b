//! One MsgApp, encoded into a reused buffer and decoded into a new message.

use benches::payload::payload;
use bytes::Bytes;
use peer_common::args::Codec;
use peer_common::report::{build, join, nanos_per_call};
use rawnode::raftpb::prost::Message as _;
use rawnode::raftpb::{Entry, Message, MessageType};
use serde_json::{Value, json};
use std::hint::black_box;

pub(crate) fn run(a: &Codec) -> (Value, Value) {
    let entry = |i| Entry::new(5, 1_000_000 + i, payload(i, a.payload as usize));
    let message = Message {
        to: 2,
        from: 1,
        term: 5,
        log_term: 5,
        index: 999_999,
        commit: 999_990,
        entries: (0..a.entries).map(entry).collect(),
        ..Message::new(MessageType::MsgApp)
    };
    let frame = Bytes::from(message.encode_to_vec());
    let decode = |frame: &Bytes| Message::decode(frame.clone()).expect("it was encoded by us");
    assert_eq!(decode(&frame), message);

    let mut buffer = Vec::new();
    let encode_ns = nanos_per_call(|| {
        buffer.clear();
        // As the transport does: `encode` would walk the message once more to learn whether it fits.
        black_box(&message).encode_raw(&mut buffer);
        black_box(&buffer);
    });
    assert_eq!(buffer, frame);
    let decode_ns = nanos_per_call(|| {
        black_box(decode(black_box(&frame)));
    });
    let figures = json!({"bytes": frame.len(), "encode_ns": encode_ns, "decode_ns": decode_ns});
    let how = json!({"codec": "prost, Message by hand", "encode": "encode_raw into a reused Vec, as the transport does", "decode": "from Bytes, payloads shared"});
    (figures, join([how, build()]))
}
