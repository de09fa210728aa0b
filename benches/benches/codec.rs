//! A MsgApp encoded and decoded: 16 and 256 entries of 128 B.
// The macros make public functions.
#![allow(missing_docs, unreachable_pub)]

use benches::payload::payload;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rawnode::raftpb::prost::Message as _;
use rawnode::raftpb::{Entry, Message, MessageType};
use std::hint::black_box;

fn msg_app(n: u64) -> Message {
    let entry = |i| Entry::new(5, 1_000_000 + i, payload(i, 128));
    Message {
        to: 2,
        from: 1,
        term: 5,
        log_term: 5,
        index: 999_999,
        commit: 999_990,
        entries: (0..n).map(entry).collect(),
        ..Message::new(MessageType::MsgApp)
    }
}

fn codec(c: &mut Criterion) {
    let mut g = c.benchmark_group("codec");
    for n in [16, 256] {
        let m = msg_app(n);
        let frame = Bytes::from(m.encode_to_vec());
        g.throughput(Throughput::Elements(n));
        g.bench_function(BenchmarkId::new("encode", n), |b| {
            let mut buf = Vec::with_capacity(frame.len());
            b.iter(|| {
                buf.clear();
                black_box(&m).encode_raw(&mut buf);
                black_box(&mut buf);
            });
            assert_eq!(buf, frame);
        });
        g.bench_function(BenchmarkId::new("encode_to_vec", n), |b| {
            b.iter(|| black_box(&m).encode_to_vec());
        });
        g.bench_function(BenchmarkId::new("decode", n), |b| {
            b.iter(|| Message::decode(black_box(&frame).clone()));
        });
        assert_eq!(Message::decode(frame.clone()).ok(), Some(m));
    }
    g.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
