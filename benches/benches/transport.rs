//! MsgApps between two transports on loopback, 256 a round: sent, received and answered for before the next.
// The macros make public functions.
#![allow(missing_docs, unreachable_pub)]

use benches::payload::payload;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::{Receiver, Sender, unbounded};
use rawnode::raftpb::{Entry, Message, MessageType, SnapshotStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use transport_tcp::slog::{Discard, Logger, o};
use transport_tcp::{BoxError, Config, Handler, Transport};

const ROUND: u64 = 256;

/// Says when a round has arrived whole.
struct Sink {
    received: AtomicU64,
    rounds: Sender<()>,
}

impl Handler for Sink {
    fn process(&self, _: Message) -> Result<(), BoxError> {
        let n = self.received.fetch_add(1, Ordering::Relaxed) + 1;
        if n.is_multiple_of(ROUND) {
            self.rounds.send(())?;
        }
        Ok(())
    }
    fn is_id_removed(&self, _: u64) -> bool {
        false
    }
    fn report_unreachable(&self, _: u64) {}
    fn report_snapshot(&self, _: u64, _: SnapshotStatus) {}
}

fn start(id: u64) -> (Transport, Receiver<()>) {
    let (rounds, arrived) = unbounded();
    let received = AtomicU64::new(0);
    let sink = Arc::new(Sink { received, rounds });
    let log = Logger::root(Discard, o!());
    let t = Transport::bind(Config::new(1, id), "127.0.0.1:0", sink, &log);
    (t.expect("loopback has free ports"), arrived)
}

fn msg_app(i: u64, size: usize) -> Message {
    Message {
        to: 2,
        from: 1,
        term: 5,
        log_term: 5,
        index: 999_999 + i,
        commit: 999_990,
        entries: vec![Entry::new(5, 1_000_000 + i, payload(i, size))].into(),
        ..Message::new(MessageType::MsgApp)
    }
}

fn transport(c: &mut Criterion) {
    let ((one, _), (two, arrived)) = (start(1), start(2));
    for (t, id, other) in [(&one, 2, &two), (&two, 1, &one)] {
        t.add_peer(id, &other.local_addr().to_string())
            .expect("it runs");
    }
    while one.active_peers() + two.active_peers() < 2 {
        thread::yield_now();
    }
    let mut g = c.benchmark_group("transport");
    g.throughput(Throughput::Elements(ROUND));
    for size in [128, 4096] {
        let messages: Vec<_> = (0..ROUND).map(|i| msg_app(i, size)).collect();
        g.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                one.send(messages.iter().cloned());
                arrived.recv()
            });
        });
    }
    g.finish();
    let status = one.peer_status(2).expect("it is a peer");
    assert_eq!(status.dropped, 0, "a round fits the queue");
}

criterion_group!(benches, transport);
criterion_main!(benches);
