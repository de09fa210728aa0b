//! What the transport costs on loopback, beside what its parts cost alone: messages a second, write calls a message, heartbeats' delay while a
//! snapshot streams, and the snapshot's rate.
//!
//! `cargo run --release -p tickraft-transport-tcp --example speed [-- SNAPSHOT_MIB [BYTES]]`: 0 leaves the snapshot out, BYTES is 128 or 4096.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tickraft_transport_tcp::frame::{self, Frames};
use tickraft_transport_tcp::raftpb::{Entry, Message, MessageType, Snapshot, SnapshotStatus};
use tickraft_transport_tcp::slog::{self, o};
use tickraft_transport_tcp::{BoxError, Config, Handler, SnapshotBody, SnapshotSource, Transport};

/// Counts messages, and how long heartbeats took, whose commit is the moment of their sending.
struct Sink {
    started: Instant,
    received: AtomicU64,
    delays: Mutex<Vec<u64>>,
    snapshot_bytes: u64,
    /// Snapshots are gathered in memory, or else read and thrown away.
    gather: AtomicBool,
    finished: AtomicBool,
}

impl Sink {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Handler for Sink {
    fn process(&self, m: Message) -> Result<(), BoxError> {
        if m.msg_type == MessageType::MsgHeartbeat {
            let delay = self.now().saturating_sub(m.commit);
            self.delays
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(delay);
        } else {
            self.received.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
    fn is_id_removed(&self, _: u64) -> bool {
        false
    }
    fn report_unreachable(&self, _: u64) {}
    fn report_snapshot(&self, _: u64, status: SnapshotStatus) {
        println!("  the snapshot: {status:?}");
        self.finished.store(true, Ordering::Release);
    }
    fn snapshot_body(&self, _: u64, _: &Snapshot) -> Result<Option<SnapshotSource>, BoxError> {
        let body = Pattern(self.snapshot_bytes);
        Ok(Some(
            SnapshotSource::new(body).with_len(self.snapshot_bytes),
        ))
    }
    fn receive_snapshot(
        &self,
        mut m: Message,
        body: &mut SnapshotBody<'_>,
    ) -> Result<Message, BoxError> {
        if self.gather.load(Ordering::Relaxed) {
            body.append_to(&mut m)?;
        } else {
            let mut buf = vec![0; 256 * 1024];
            while body.read(&mut buf)? > 0 {}
        }
        Ok(m)
    }
}

/// So many bytes of nothing.
struct Pattern(u64);

impl Read for Pattern {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = buf.len().min(usize::try_from(self.0).unwrap_or(usize::MAX));
        self.0 -= n as u64;
        Ok(n)
    }
}

fn app(index: u64, data: usize) -> Message {
    Message {
        from: 1,
        to: 2,
        term: 5,
        log_term: 5,
        index,
        commit: index,
        entries: vec![Entry::new(5, index + 1, vec![7; data])].into(),
        ..Message::new(MessageType::MsgApp)
    }
}

fn rate(n: u64, d: Duration) -> f64 {
    n as f64 / d.as_secs_f64()
}

/// What one core needs for a message, in ns of CPU time: to encode and sum it, and to sum and decode it.
fn alone(data: usize, n: u64) -> (f64, f64) {
    let clock = Instant::now();
    let messages: Vec<_> = (0..64).map(|i| app(1_000_000 + i, data)).collect();
    let mut wire = Vec::new();
    let began = own_cpu(clock);
    for _ in 0..n / 64 {
        wire.clear();
        for m in &messages {
            frame::encode(m, &mut wire);
        }
        black_box(&wire);
    }
    let encode = (own_cpu(clock) - began) / n as f64;
    // Each frame is a view of a block that is shared, as the transport's are.
    let mut frames = Frames::new(1 << 26);
    let mut payloads = Vec::new();
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        let room = frames.room();
        let k = room.len().min(rest.len());
        room[..k].copy_from_slice(&rest[..k]);
        rest = &rest[k..];
        frames.advance(k);
        while let Ok(Some(payload)) = frames.next_frame() {
            payloads.push(payload);
        }
    }
    let began = own_cpu(clock);
    for _ in 0..n / 64 {
        for p in &payloads {
            black_box(frame::header(p));
            let _ = black_box(frame::decode(p.clone()));
        }
    }
    (encode, (own_cpu(clock) - began) / n as f64)
}

/// Messages a second through the transport, at most `window` of them on their way, `batch` a call of send.
fn through(t: &Transport, sink: &Sink, data: usize, n: u64, window: u64, batch: u64) {
    let made: Vec<_> = (0..1024).map(|i| app(1_000_000 + i, data)).collect();
    let base = sink.received.load(Ordering::Relaxed);
    let before = t.peer_status(2);
    let spent = cpu();
    let began = Instant::now();
    let mut sent = 0;
    while sent < n {
        while sent + batch > window + sink.received.load(Ordering::Relaxed) - base {
            thread::sleep(Duration::from_micros(100));
        }
        let at = usize::try_from(sent % 1024).unwrap_or(0);
        t.send(
            made.iter()
                .cycle()
                .skip(at)
                .take(usize::try_from(batch).unwrap_or(1))
                .cloned(),
        );
        sent += batch;
    }
    while sink.received.load(Ordering::Relaxed) - base < sent {
        thread::yield_now();
    }
    let took = began.elapsed();
    let (Some(a), Some(b)) = (before, t.peer_status(2)) else {
        return;
    };
    println!(
        "  through the transport, {batch:3} a send: {:9.0}/s, {:.4} write calls a message, {} dropped",
        rate(sent, took),
        (b.write_calls - a.write_calls) as f64 / sent as f64,
        b.dropped - a.dropped,
    );
    print_cpu(&spent, sent as f64);
}

fn percentiles(what: &str, sink: &Sink) {
    let mut d = std::mem::take(&mut *sink.delays.lock().unwrap_or_else(PoisonError::into_inner));
    d.sort_unstable();
    let at = |p: usize| {
        d.get((d.len() * p / 1000).min(d.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0)
            / 1000
    };
    println!(
        "  heartbeats {what}: {} of them, p50 {} us, p99 {} us, p99.9 {} us, max {} us",
        d.len(),
        at(500),
        at(990),
        at(999),
        at(1000)
    );
}

/// Sends heartbeats a millisecond apart while `go` holds.
fn beat(t: &Transport, clock: &Sink, go: impl Fn() -> bool) {
    while go() {
        t.send([Message {
            from: 1,
            to: 2,
            commit: clock.now(),
            ..Message::new(MessageType::MsgHeartbeat)
        }]);
        thread::sleep(Duration::from_millis(1));
    }
}

/// Bytes a second that a plain socket carries, into memory of that size or into a buffer that is used again and again.
fn plain_copy(bytes: u64, gather: bool) -> std::io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let sender = thread::spawn(move || -> std::io::Result<()> {
        let mut s = TcpStream::connect(addr)?;
        let buf = vec![7; 256 * 1024];
        let mut left = bytes;
        while left > 0 {
            s.write_all(&buf)?;
            left = left.saturating_sub(buf.len() as u64);
        }
        Ok(())
    });
    let (mut s, _) = listener.accept()?;
    let began = Instant::now();
    if gather {
        let mut all = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        s.read_to_end(&mut all)?;
    } else {
        let mut buf = vec![0; 256 * 1024];
        while s.read(&mut buf)? > 0 {}
    }
    let r = rate(bytes, began.elapsed());
    let _ = sender.join();
    Ok(r)
}

/// The CPU time that each thread has had, in ns; empty where the system does not say. Unlike rates, it hardly depends on what else the machine
/// does: on two free cores the rate is what the busiest thread, and half of all together, allow.
fn cpu() -> BTreeMap<String, f64> {
    let mut by_name = BTreeMap::new();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return by_name;
    };
    for task in tasks.flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let ns = read("schedstat")
            .split(' ')
            .next()
            .and_then(|n| n.parse::<f64>().ok());
        *by_name.entry(read("comm").trim().to_owned()).or_default() += ns.unwrap_or(0.0);
    }
    by_name
}

fn print_cpu(before: &BTreeMap<String, f64>, per: f64) {
    print!("    CPU ns a message:");
    let mut total = 0.0;
    for (name, ns) in cpu() {
        let spent = (ns - before.get(&name).unwrap_or(&0.0)) / per;
        total += spent;
        if spent >= 1.0 {
            print!(" {name} {spent:.0},");
        }
    }
    println!(" together {total:.0}");
}

/// The CPU time of this thread in ns, or the time of day where the system does not say.
fn own_cpu(clock: Instant) -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|s| s.split(' ').next()?.parse().ok())
        .unwrap_or(clock.elapsed().as_nanos() as f64)
}

/// The most memory this process ever had, in MiB; 0 where the system does not say.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok())
        .map_or(0, |kib: u64| kib / 1024)
}

fn main() -> Result<(), BoxError> {
    let mib: u64 = std::env::args().nth(1).map_or(Ok(1024), |a| a.parse())?;
    let log = slog::Logger::root(slog::Discard, o!());
    let started = Instant::now();
    let start = |id| {
        let sink = Arc::new(Sink {
            started,
            received: AtomicU64::new(0),
            delays: Mutex::default(),
            snapshot_bytes: mib << 20,
            gather: AtomicBool::new(false),
            finished: AtomicBool::new(false),
        });
        let t = Transport::bind(
            Config::new(1, id),
            "127.0.0.1:0",
            Arc::clone(&sink) as _,
            &log,
        )?;
        Ok::<_, BoxError>((t, sink))
    };
    let ((one, one_sink), (two, sink)) = (start(1)?, start(2)?);
    one.add_peer(2, &two.local_addr().to_string())?;
    two.add_peer(1, &one.local_addr().to_string())?;
    while one.active_peers() + two.active_peers() < 2 {
        thread::yield_now();
    }
    let only: Option<usize> = std::env::args().nth(2).map(|a| a.parse()).transpose()?;
    let sizes = [(128, 2_000_000), (4096, 300_000)];
    for (data, n) in sizes
        .into_iter()
        .filter(|(d, _)| only.is_none_or(|o| o == *d))
    {
        println!("MsgApp with one entry of {data} B");
        let (encode, decode) = alone(data, n);
        println!(
            "  alone on one core: encode + CRC {encode:.0} ns, CRC + decode {decode:.0} ns of CPU time"
        );
        for batch in [1, 16, 256] {
            through(&one, &sink, data, n, 3072, batch);
        }
    }
    if mib == 0 {
        return Ok(());
    }
    println!("a snapshot of {mib} MiB");
    let until = Instant::now() + Duration::from_secs(3);
    beat(&one, &sink, || Instant::now() < until);
    percentiles("when idle", &sink);
    for gather in [false, true] {
        sink.gather.store(gather, Ordering::Relaxed);
        one_sink.finished.store(false, Ordering::Release);
        let plain = plain_copy(mib << 20, gather)?;
        let peak = peak_mib();
        let began = Instant::now();
        one.send([Message {
            from: 1,
            to: 2,
            snapshot: Some(Box::default()),
            ..Message::new(MessageType::MsgSnap)
        }]);
        beat(&one, &sink, || !one_sink.finished.load(Ordering::Acquire));
        let through = rate(mib << 20, began.elapsed());
        percentiles("while it streams", &sink);
        println!(
            "  {}: {:.0} MB/s, a plain socket the same way {:.0} MB/s: {:.2}; peak memory grew by {} MiB",
            if gather {
                "into memory"
            } else {
                "read and thrown away"
            },
            through / 1e6,
            plain / 1e6,
            through / plain,
            peak_mib().saturating_sub(peak),
        );
    }
    Ok(())
}
