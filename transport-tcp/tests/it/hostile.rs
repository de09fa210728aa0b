//! Garbage, silence and floods at the listener: counted, and nobody else notices.

use crate::support::*;
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;
use tickraft_transport_tcp::{Config, Kind, frame};

#[test]
fn garbage_gets_no_answer() {
    let one = Node::start(1);
    let mut bad_sum = Raw::hello(2, 1, Kind::Messages).encode();
    bad_sum[40] ^= 1;
    let mut unknown_kind = Raw::hello(2, 1, Kind::Messages).encode();
    unknown_kind[12] = 9;
    for (n, bytes) in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(),
        &[0; 64],
        &bad_sum,
        &unknown_kind,
    ]
    .into_iter()
    .enumerate()
    {
        let mut raw = Raw::connect(&one);
        raw.send(bytes);
        assert_eq!(raw.read_to_end(), 0);
        eventually("counted", || {
            one.t.status().refusals.bad_handshake == n as u64 + 1
        });
    }
    assert!(one.seen.logged("no handshake of this protocol"));
}

#[test]
fn a_handshake_has_a_deadline_as_a_whole() {
    let one = Node::with(Config {
        handshake_timeout: Duration::from_millis(150),
        ..patient(1)
    });
    // One says nothing, one says a byte at a time, each well within the deadline, and would be done.
    let mut silent = Raw::connect(&one);
    let mut slow = Raw::connect(&one);
    let hello = Raw::hello(2, 1, Kind::Messages).encode();
    for b in &hello {
        if slow.0.write_all(&[*b]).is_err() {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(silent.read_to_end(), 0);
    assert_eq!(slow.read_to_end(), 0);
    eventually("counted", || one.t.status().refusals.handshake_timeout == 2);
    assert!(one.seen.logged("its handshake took too long"));
}

#[test]
fn only_so_many_handshakes_at_once() {
    let one = Node::with(Config {
        max_handshakes: 2,
        handshake_timeout: PATIENCE,
        ..patient(1)
    });
    one.t.add_peer(2, "127.0.0.1:1").unwrap();
    let first = Raw::connect(&one);
    let mut second = Raw::connect(&one);
    let mut third = Raw::connect(&one);
    assert_eq!(third.read_to_end(), 0, "closed at once");
    eventually("counted", || one.t.status().refusals.busy == 1);
    // One that shakes hands, and one that leaves, make room.
    second.send(&Raw::hello(2, 1, Kind::Messages).encode());
    let answer = tickraft_transport_tcp::Answer::read(&mut second.0).unwrap();
    assert_eq!(answer.refusal, None);
    drop(first);
    eventually("there is room again", || {
        let mut raw = Raw::connect(&one);
        let hello = Raw::hello(2, 1, Kind::Probe).encode();
        raw.0.write_all(&hello).is_ok() && tickraft_transport_tcp::Answer::read(&mut raw.0).is_ok()
    });
}

/// xorshift: the seed alone repeats a failure.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

#[test]
fn random_bytes_disturb_nobody() {
    let seed = 0x7ea5_e11e;
    let mut rng = Rng(seed);
    let (one, two) = pair();
    one.t.add_peer(3, "127.0.0.1:1").unwrap();
    let rounds: u64 = 300;
    for i in 0..rounds {
        let mut raw = Raw::connect(&one);
        let kind = [Kind::Messages, Kind::Snapshot][rng.below(2)];
        let mut bytes = Vec::new();
        let n = rng.below(600);
        match rng.below(4) {
            // Noise; a broken handshake; noise behind a good one; a broken message behind a good one.
            0 => bytes = rng.bytes(n),
            1 => {
                bytes = Raw::hello(3, 1, kind).encode();
                let at = rng.below(bytes.len());
                bytes[at] ^= 1 << rng.below(8);
            }
            2 => {
                bytes = Raw::hello(3, 1, kind).encode();
                bytes.extend(rng.bytes(n));
            }
            _ => {
                let mut payload = prost::Message::encode_to_vec(&app(3, 1, i, n));
                let at = rng.below(payload.len());
                payload[at] ^= 1 << rng.below(8);
                bytes.extend(Raw::hello(3, 1, kind).encode());
                frame::put(&payload, &mut bytes);
            }
        }
        let _ = raw.0.write_all(&bytes);
        let _ = raw.0.shutdown(Shutdown::Write);
        raw.read_to_end();
        two.t.send([heartbeat(2, 1, i)]);
        one.t.send([heartbeat(1, 2, i)]);
    }
    let from_two = |n: &Node, from: u64| {
        n.seen.read(|s| {
            let it = s.messages.iter().filter(|m| m.from == from);
            it.map(|m| m.commit).collect::<Vec<_>>()
        })
    };
    let all: Vec<_> = (0..rounds).collect();
    eventually("all messages arrive", || {
        from_two(&one, 2) == all && from_two(&two, 1) == all
    });
    assert_eq!(
        (one.peer(2).connects, two.peer(1).connects),
        (1, 1),
        "seed {seed}"
    );
    let r = one.t.status().refusals;
    assert!(
        r.bad_handshake > 20 && r.malformed > 20,
        "seed {seed}: {r:?}"
    );
}
