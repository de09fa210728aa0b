//! MsgApps over the transport on loopback, in turn with the codec alone on one core and with a plain socket that carries the same bytes.

use benches::payload::payload;
use peer_common::args::Transport as Arguments;
use peer_common::report::{build, join, median, thread_cpu_seconds};
use rawnode::raftpb::{Entry, Message, MessageType, Snapshot, SnapshotStatus};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use transport_tcp::frame::{self, Frames};
use transport_tcp::slog::{Discard, Logger, o};
use transport_tcp::{BoxError, Config, Handler, SnapshotBody, SnapshotSource, Transport};

const ROUNDS: u32 = 5;
/// Messages made before the clock starts; message `i` is number `i % POOL`.
const POOL: u64 = 1024;
/// The most messages on their way, within what the transport's queue takes, and their payloads' bytes.
const WINDOW: u64 = 3072;
const WINDOW_BYTES: u64 = 2 << 20;
/// Bytes a plain socket is given at once, and a codec works on before it starts over.
const CHUNK: usize = 128 * 1024;

/// The receiving node: counts and checks what comes.
pub(crate) struct Sink {
    started: Instant,
    pool: Vec<Message>,
    /// Written by the connection's thread alone.
    count: AtomicU64,
    /// The same for others, once a batch.
    published: Padded,
    /// How long heartbeats took in ns; their commit is the moment they were sent.
    pub(crate) delays: Mutex<Vec<u64>>,
    /// What a snapshot's body has, in bytes, and whether it is read and thrown away.
    body: u64,
    discard: bool,
    pub(crate) taken: AtomicBool,
}

/// On a cache line of its own, so that whoever looks does not slow the writer.
#[repr(align(128))]
struct Padded(AtomicU64);

impl Sink {
    fn new(started: Instant, pool: Vec<Message>, (body, discard): (u64, bool)) -> Arc<Self> {
        Arc::new(Self {
            started,
            pool,
            count: AtomicU64::new(0),
            published: Padded(AtomicU64::new(0)),
            delays: Mutex::default(),
            body,
            discard,
            taken: AtomicBool::new(false),
        })
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("less than centuries")
    }

    fn received(&self) -> u64 {
        self.published.0.load(Ordering::Acquire)
    }

    /// The first `POOL` messages are compared whole, the others by what a swap or a loss would change.
    fn check(&self, m: &Message) {
        let n = self.count.load(Ordering::Relaxed);
        let want = &self.pool[(n % POOL) as usize];
        assert_eq!(m.index, want.index, "message {n} is another");
        assert_eq!(m.entries.len(), want.entries.len(), "message {n}");
        assert!(n >= POOL || m == want, "message {n} differs");
        self.count.store(n + 1, Ordering::Relaxed);
    }
}

impl Handler for Sink {
    fn process(&self, m: Message) -> Result<(), BoxError> {
        match m.msg_type {
            MessageType::MsgHeartbeat => {
                let delay = self.now().saturating_sub(m.commit);
                self.delays.lock().expect("nobody panics").push(delay);
            }
            MessageType::MsgSnap => {
                let data = &m.snapshot.as_deref().expect("it has one").data;
                let kept = if self.discard { 0 } else { self.body };
                assert_eq!(data.len() as u64, kept, "the snapshot is whole");
            }
            _ => self.check(&m),
        }
        Ok(())
    }
    fn end_of_batch(&self, _: u64) {
        let n = self.count.load(Ordering::Relaxed);
        self.published.0.store(n, Ordering::Release);
    }
    fn is_id_removed(&self, _: u64) -> bool {
        false
    }
    fn report_unreachable(&self, _: u64) {}
    fn report_snapshot(&self, _: u64, status: SnapshotStatus) {
        assert_eq!(status, SnapshotStatus::Finish, "the snapshot arrives");
        self.taken.store(true, Ordering::Release);
    }
    fn snapshot_body(&self, _: u64, _: &Snapshot) -> Result<Option<SnapshotSource>, BoxError> {
        Ok(Some(
            SnapshotSource::new(Sevens(self.body)).with_len(self.body),
        ))
    }
    fn receive_snapshot(
        &self,
        mut m: Message,
        body: &mut SnapshotBody<'_>,
    ) -> Result<Message, BoxError> {
        if self.discard {
            assert_eq!(drain(body)?, self.body, "the snapshot is whole");
        } else {
            body.append_to(&mut m)?;
        }
        Ok(m)
    }
}

/// Reads to the end; how many bytes there were.
pub(crate) fn drain(mut from: impl Read) -> std::io::Result<u64> {
    let (mut buffer, mut total) = (vec![0; 2 * CHUNK], 0);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(total),
            n => total += n as u64,
        }
    }
}

/// So many bytes of what the reader's buffer holds already.
struct Sevens(u64);

impl Read for Sevens {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.min(buf.len() as u64);
        self.0 -= n;
        Ok(n as usize)
    }
}

/// Two transports in this process, connected: one sends, the other receives.
pub(crate) struct Pair {
    pub(crate) one: Transport,
    _two: Transport,
    pub(crate) sender: Arc<Sink>,
    pub(crate) receiver: Arc<Sink>,
}

impl Pair {
    /// `snapshot`: its length, and whether it is thrown away.
    pub(crate) fn new(pool: &[Message], snapshot: (u64, bool)) -> Self {
        let log = Logger::root(Discard, o!());
        let started = Instant::now();
        let start = |id| {
            let sink = Sink::new(started, pool.to_vec(), snapshot);
            let config = Config {
                max_snapshot_bytes: snapshot.0.max(1 << 30),
                ..Config::new(1, id)
            };
            let t = Transport::bind(config, "127.0.0.1:0", Arc::clone(&sink) as _, &log);
            (t.expect("loopback has free ports"), sink)
        };
        let ((one, sender), (two, receiver)) = (start(1), start(2));
        let add = |t: &Transport, id, other: &Transport| {
            t.add_peer(id, &other.local_addr().to_string())
                .expect("it runs");
        };
        add(&one, 2, &two);
        add(&two, 1, &one);
        while one.active_peers() + two.active_peers() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        Self {
            one,
            _two: two,
            sender,
            receiver,
        }
    }
}

fn message(i: u64, a: &Arguments) -> Message {
    let first = 1_000_000 + i * a.entries;
    let entry = |i| Entry::new(5, i, payload(i, a.payload as usize));
    Message {
        from: 1,
        to: 2,
        term: 5,
        log_term: 5,
        index: first - 1,
        commit: first - 1,
        entries: (first..first + a.entries).map(entry).collect(),
        ..Message::new(MessageType::MsgApp)
    }
}

/// What one thread does alone.
struct Alone {
    per_second: f64,
    /// By the processor time it had, which other load on the machine disturbs less.
    cpu_ns: f64,
}

/// Repeats `work`, which says how many messages it did, for a time.
fn alone(length: Duration, mut work: impl FnMut() -> u64) -> Alone {
    let (began, cpu, mut n) = (Instant::now(), thread_cpu_seconds(), 0);
    while began.elapsed() < length {
        n += work();
    }
    Alone {
        per_second: n as f64 / began.elapsed().as_secs_f64(),
        cpu_ns: (thread_cpu_seconds() - cpu) * 1e9 / n as f64,
    }
}

/// Encoding and summing alone, as a writer does it: into one buffer, until that is long enough to be written.
fn encode_alone(pool: &[Message], length: Duration) -> Alone {
    let mut wire = Vec::with_capacity(2 * CHUNK);
    let mut messages = pool.iter().cycle();
    alone(length, || {
        wire.clear();
        let mut n = 0;
        while wire.len() < CHUNK {
            frame::encode(messages.next().expect("it goes round"), &mut wire);
            n += 1;
        }
        black_box(&wire);
        n
    })
}

/// Summing and decoding alone, of payloads that are views of the blocks that they were read into.
fn decode_alone(wire: &[u8], length: Duration) -> Alone {
    let mut frames = Frames::new(1 << 26);
    let mut payloads = Vec::new();
    let mut rest = wire;
    while !rest.is_empty() {
        let room = frames.room();
        let (now, later) = rest.split_at(room.len().min(rest.len()));
        room[..now.len()].copy_from_slice(now);
        rest = later;
        frames.advance(now.len());
        while let Some(p) = frames.next_frame().expect("it was encoded by us") {
            payloads.push(p);
        }
    }
    alone(length, || {
        for p in &payloads {
            black_box(frame::header(p));
            black_box(frame::decode(p.clone())).expect("it was encoded by us");
        }
        payloads.len() as u64
    })
}

/// Bytes a second that a plain socket carries, from one buffer to another, each used again and again.
fn plain(chunk: &[u8], length: Duration) -> f64 {
    let (mut from, mut to) = socket_pair();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut buffer = vec![0; CHUNK];
            let (began, mut total) = (Instant::now(), 0);
            loop {
                match to.read(&mut buffer).expect("loopback holds") {
                    0 => return total as f64 / began.elapsed().as_secs_f64(),
                    n => total += n,
                }
            }
        });
        alone(length, || {
            from.write_all(chunk).expect("loopback holds");
            1
        });
        drop(from);
        reader.join().expect("it reads to the end")
    })
}

/// Two ends of a connection over loopback.
pub(crate) fn socket_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let from = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    (from, listener.accept().expect("one connects").0)
}

/// Through the transport: how many messages, and in how many seconds.
fn through(pair: &Pair, a: &Arguments, sent: &mut u64, length: Duration) -> (u64, f64) {
    let window = WINDOW.min(WINDOW_BYTES / (a.payload * a.entries)).max(64);
    let (began, first) = (Instant::now(), *sent);
    let mut received = pair.receiver.received();
    while began.elapsed() < length {
        while *sent + a.batch > received + window.max(a.batch) {
            received = pair.receiver.received();
            if *sent + a.batch > received + window.max(a.batch) {
                thread::sleep(Duration::from_micros(20));
            }
        }
        let pool = &pair.sender.pool;
        let message = |i| pool[(i % POOL) as usize].clone();
        pair.one.send((*sent..*sent + a.batch).map(message));
        *sent += a.batch;
    }
    while pair.receiver.received() < *sent {
        thread::sleep(Duration::from_micros(20));
        assert!(
            began.elapsed() < 10 * length + Duration::from_secs(60),
            "messages were lost"
        );
    }
    (*sent - first, began.elapsed().as_secs_f64())
}

/// The processor time in ns that each kind of thread has had; empty where the system does not say.
fn cpu() -> BTreeMap<String, f64> {
    let mut by_name = BTreeMap::new();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return by_name;
    };
    for task in tasks.flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let schedstat = read("schedstat");
        let ns = schedstat.split(' ').next().and_then(|n| n.parse().ok());
        *by_name.entry(read("comm").trim().to_owned()).or_default() += ns.unwrap_or(0.0);
    }
    by_name
}

#[derive(Default)]
struct Rounds {
    encode: Vec<Alone>,
    decode: Vec<Alone>,
    plain: Vec<f64>,
    ours: Vec<f64>,
    messages: u64,
    cpu: BTreeMap<String, f64>,
}

impl Rounds {
    /// The slower half of the codec, in a round.
    fn codec(&self, i: usize, of: impl Fn(&Alone) -> f64) -> (f64, f64) {
        let (encode, decode) = (of(&self.encode[i]), of(&self.decode[i]));
        (encode.min(decode), encode.max(decode))
    }

    /// The processor time of the codec's slower half, of that of the busiest thread: what the ratio is where each thread has a processor.
    fn ratio_by_cpu(&self) -> f64 {
        let busiest = self.cpu.values().copied().fold(0.0, f64::max) / self.messages as f64;
        let rounds = 0..self.ours.len();
        median(rounds.map(|i| self.codec(i, |a| a.cpu_ns).1)) / busiest
    }

    fn ratio(&self, to: impl Fn(usize) -> f64) -> f64 {
        median(self.ours.iter().enumerate().map(|(i, r)| r / to(i)))
    }
}

pub(crate) fn run(a: &Arguments) -> (Value, Value) {
    let pool: Vec<Message> = (0..POOL).map(|i| message(i, a)).collect();
    let mut wire = Vec::new();
    for m in &pool {
        frame::encode(m, &mut wire);
    }
    let bytes = wire.len() as f64 / POOL as f64;
    let some = wire.get(..CHUNK).unwrap_or(&wire);
    let pair = Pair::new(&pool, (0, false));
    let length = Duration::from_secs_f64(a.seconds) / ROUNDS;
    let (mut sent, mut r) = (0, Rounds::default());
    through(&pair, a, &mut sent, length);
    let before = pair.one.peer_status(2).expect("it is a peer");
    for _ in 0..ROUNDS {
        r.encode.push(encode_alone(&pool, length));
        r.decode.push(decode_alone(&wire, length));
        r.plain.push(plain(some, length) / bytes);
        let spent = cpu();
        let (messages, seconds) = through(&pair, a, &mut sent, length);
        for (name, ns) in cpu() {
            let one = ns - spent.get(&name).unwrap_or(&0.0);
            *r.cpu.entry(name).or_default() += one;
        }
        r.ours.push(messages as f64 / seconds);
        r.messages += messages;
    }
    let after = pair.one.peer_status(2).expect("it is a peer");
    assert_eq!(after.dropped, 0, "the window fits the queue");
    let calls = (after.write_calls - before.write_calls) as f64 / r.messages as f64;
    let mut by_thread = Map::new();
    for (name, ns) in r.cpu.iter().filter(|(_, ns)| **ns > 0.0) {
        by_thread.insert(name.clone(), (ns / r.messages as f64).into());
    }
    let figures = json!({
        "seconds": a.seconds,
        "bytes_per_message": bytes,
        "per_second": median(r.ours.iter().copied()),
        "encode_per_second": median(r.encode.iter().map(|a| a.per_second)),
        "decode_per_second": median(r.decode.iter().map(|a| a.per_second)),
        "encode_cpu_ns": median(r.encode.iter().map(|a| a.cpu_ns)),
        "decode_cpu_ns": median(r.decode.iter().map(|a| a.cpu_ns)),
        "plain_socket_per_second": median(r.plain.iter().copied()),
        "ratio_to_codec": r.ratio(|i| r.codec(i, |a| a.per_second).0),
        "ratio_to_codec_by_cpu": r.ratio_by_cpu(),
        "ratio_to_plain_socket": r.ratio(|i| r.plain[i]),
        "write_calls_per_1000_messages": 1000.0 * calls,
        "cpu_ns_per_message": r.cpu.values().sum::<f64>() / r.messages as f64,
        "cpu_ns_per_message_by_thread": by_thread,
    });
    let settings = json!({"rounds": ROUNDS, "window": WINDOW, "window_bytes": WINDOW_BYTES, "plain_socket_write": CHUNK});
    (figures, join([settings, build()]))
}
