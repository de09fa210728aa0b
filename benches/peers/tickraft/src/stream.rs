//! A snapshot over the transport on loopback, in turn with a plain socket that carries as much; heartbeats meanwhile and without.

use crate::transport::{Pair, drain, socket_pair};
use peer_common::args::Stream;
use peer_common::report::{build, join, median, memory, reset_peak};
use rawnode::raftpb::{Message, MessageType};
use serde_json::{Value, json};
use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(1);
const CHUNK: usize = 256 * 1024;

/// Sends heartbeats a millisecond apart while `go` holds, and says how long they took: p50 and p99 in µs.
fn beat(pair: &Pair, go: impl Fn() -> bool) -> (f64, f64) {
    while go() {
        pair.one.send([Message {
            from: 1,
            to: 2,
            commit: pair.sender.now(),
            ..Message::new(MessageType::MsgHeartbeat)
        }]);
        thread::sleep(PAUSE);
    }
    let delays = || pair.receiver.delays.lock().expect("nobody panics");
    let mut all = std::mem::take(&mut *delays());
    assert!(!all.is_empty(), "no heartbeat arrived");
    all.sort_unstable();
    let at = |q: usize| all[(all.len() * q / 100).min(all.len() - 1)] as f64 / 1000.0;
    (at(50), at(99))
}

/// Seconds that a plain socket takes for so many bytes, into memory or into a buffer that is used again and again.
fn plain(bytes: u64, gather: bool) -> f64 {
    let (mut from, mut to) = socket_pair();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            let chunk = vec![7; CHUNK];
            let mut left = bytes as usize;
            while left > 0 {
                let n = left.min(CHUNK);
                from.write_all(&chunk[..n]).expect("loopback holds");
                left -= n;
            }
        });
        if gather {
            let mut all = Vec::with_capacity(bytes as usize);
            to.read_to_end(&mut all).expect("loopback holds");
            assert_eq!(all.len() as u64, bytes);
            black_box(&all);
        } else {
            assert_eq!(drain(to).expect("loopback holds"), bytes);
        }
    });
    began.elapsed().as_secs_f64()
}

pub(crate) fn run(a: &Stream) -> (Value, Value) {
    let bytes = a.mib << 20;
    let kept = if a.discard { 0 } else { bytes };
    let pair = Pair::new(&[], (bytes, a.discard));
    let (mut ours, mut same, mut reused) = (vec![], vec![], vec![]);
    let (mut idle, mut busy, mut extra) = (vec![], vec![], vec![]);
    for _ in 0..a.times {
        let until = Instant::now() + Duration::from_secs_f64(a.seconds);
        idle.push(beat(&pair, || Instant::now() < until));
        reused.push(plain(bytes, false));
        same.push(plain(bytes, !a.discard));
        pair.sender.taken.store(false, Ordering::Release);
        reset_peak();
        let before = memory("VmRSS");
        let began = Instant::now();
        pair.one.send([Message {
            from: 1,
            to: 2,
            snapshot: Some(Box::default()),
            ..Message::new(MessageType::MsgSnap)
        }]);
        busy.push(beat(&pair, || !pair.sender.taken.load(Ordering::Acquire)));
        ours.push(began.elapsed().as_secs_f64());
        if let (Some(before), Some(peak)) = (before, memory("VmHWM")) {
            extra.push((peak as f64 - (before + kept) as f64) / f64::from(1 << 20));
        }
    }
    let over = |seconds: &[f64]| bytes as f64 / median(seconds.iter().copied());
    let ratio = |plain: &[f64]| median(ours.iter().zip(plain).map(|(o, p)| p / o));
    let bound = |i: usize| (3.0 * idle[i].1).max(2000.0);
    let figures = json!({
        "bytes_per_second": over(&ours),
        "plain_socket_bytes_per_second": over(&same),
        "plain_socket_reused_buffer_bytes_per_second": over(&reused),
        "ratio_to_plain_socket": ratio(&same),
        "ratio_to_plain_socket_reused_buffer": ratio(&reused),
        "heartbeat_idle_p50_us": median(idle.iter().map(|d| d.0)),
        "heartbeat_idle_p99_us": median(idle.iter().map(|d| d.1)),
        "heartbeat_p50_us": median(busy.iter().map(|d| d.0)),
        "heartbeat_p99_us": median(busy.iter().map(|d| d.1)),
        "heartbeat_p99_of_bound": median(busy.iter().enumerate().map(|(i, d)| d.1 / bound(i))),
        "extra_mib": extra.iter().copied().reduce(f64::max),
    });
    let settings = json!({"heartbeat": "each ms", "bound": "the larger of 2 ms and 3 x idle", "memory": "the peak of the process, both sides in it, beyond that before and the snapshot"});
    (figures, join([settings, build()]))
}
