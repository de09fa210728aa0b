//! Nodes that record what happens to them, clients that speak the protocol by hand, and a relay that can be cut and stalled.

use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tickraft_transport_tcp::frame::{self, Frames};
use tickraft_transport_tcp::raftpb::{Entry, Message, MessageType, Snapshot, SnapshotStatus};
use tickraft_transport_tcp::slog::{self, Drain, Logger, o};
use tickraft_transport_tcp::{
    Answer, BoxError, Config, Error, Handler, Hello, Kind, PeerStatus, Refusal, SnapshotBody,
    SnapshotSource, Transport,
};

/// The cluster of all tests.
pub(crate) const CLUSTER: u64 = 7;

/// How long anything may take before a test gives up. It is never waited for when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node whose connections outlive a machine that stands still for a while.
pub(crate) fn patient(id: u64) -> Config {
    Config {
        handshake_timeout: PATIENCE,
        read_timeout: PATIENCE,
        write_timeout: PATIENCE,
        ..Config::new(CLUSTER, id)
    }
}

/// Waits until `cond` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut cond: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !cond() {
        assert!(Instant::now() < until, "never happened: {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// A door that threads wait at.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock() = true;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self) {
        let mut open = self.open.lock();
        while !*open {
            self.changed.wait(&mut open);
        }
    }
}

/// Opens its door at the end of a test, however that ends: nodes cannot stop while their handlers wait.
pub(crate) struct Door(Arc<Gate>);

impl Door {
    /// A closed one, and what waits at it.
    pub(crate) fn closed() -> (Door, Arc<Gate>) {
        let gate = Arc::new(Gate::default());
        (Door(Arc::clone(&gate)), gate)
    }

    pub(crate) fn open(&self) {
        self.0.open();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.0.open();
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) messages: Vec<Message>,
    pub(crate) batches: usize,
    pub(crate) unreachable: Vec<u64>,
    pub(crate) snapshots: Vec<(u64, SnapshotStatus)>,
    pub(crate) refused: Vec<(u64, Refusal)>,
    pub(crate) removed: BTreeSet<u64>,
    pub(crate) admitted: Vec<(Hello, bool)>,
    pub(crate) log: Vec<String>,
}

type Admit = Box<dyn Fn(&Hello, bool) -> Result<(), Refusal> + Send>;
type Body = Box<dyn FnMut(u64) -> Result<Option<SnapshotSource>, BoxError> + Send>;
type Process = Box<dyn Fn(&Message) -> Result<(), BoxError> + Send + Sync>;
type Sink = Box<dyn Fn(&mut Message, &mut SnapshotBody<'_>) -> Result<(), BoxError> + Send + Sync>;

/// A handler that records, and does what a test tells it to.
#[derive(Default)]
pub(crate) struct Seen {
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) admit: Mutex<Option<Admit>>,
    pub(crate) body: Mutex<Option<Body>>,
    pub(crate) process: Mutex<Option<Arc<Process>>>,
    pub(crate) sink: Mutex<Option<Arc<Sink>>>,
    pub(crate) on_refused: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Seen {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let r = f(&mut self.state.lock());
        self.changed.notify_all();
        r
    }

    pub(crate) fn read<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.state.lock())
    }

    #[track_caller]
    pub(crate) fn wait(&self, what: &str, cond: impl Fn(&State) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut s = self.state.lock();
        while !cond(&s) {
            let late = self.changed.wait_until(&mut s, until).timed_out();
            assert!(!late, "never happened: {what}");
        }
    }

    pub(crate) fn set_process(
        &self,
        f: impl Fn(&Message) -> Result<(), BoxError> + Send + Sync + 'static,
    ) {
        *self.process.lock() = Some(Arc::new(Box::new(f)));
    }

    pub(crate) fn set_sink(
        &self,
        f: impl Fn(&mut Message, &mut SnapshotBody<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) {
        *self.sink.lock() = Some(Arc::new(Box::new(f)));
    }

    pub(crate) fn set_body(
        &self,
        f: impl FnMut(u64) -> Result<Option<SnapshotSource>, BoxError> + Send + 'static,
    ) {
        *self.body.lock() = Some(Box::new(f));
    }

    pub(crate) fn set_admit(
        &self,
        f: impl Fn(&Hello, bool) -> Result<(), Refusal> + Send + 'static,
    ) {
        *self.admit.lock() = Some(Box::new(f));
    }

    pub(crate) fn remove(&self, id: u64) {
        self.with(|s| s.removed.insert(id));
    }

    pub(crate) fn logged(&self, text: &str) -> bool {
        self.read(|s| s.log.iter().any(|l| l.contains(text)))
    }
}

impl Handler for Seen {
    fn process(&self, m: Message) -> Result<(), BoxError> {
        let f = self.process.lock().clone();
        if let Some(f) = f {
            f(&m)?;
        }
        self.with(|s| s.messages.push(m));
        Ok(())
    }

    fn end_of_batch(&self, _from: u64) {
        self.with(|s| s.batches += 1);
    }

    fn is_id_removed(&self, id: u64) -> bool {
        self.read(|s| s.removed.contains(&id))
    }

    fn report_unreachable(&self, id: u64) {
        self.with(|s| s.unreachable.push(id));
    }

    fn report_snapshot(&self, id: u64, status: SnapshotStatus) {
        self.with(|s| s.snapshots.push((id, status)));
    }

    fn admit(&self, hello: &Hello, known: bool) -> Result<(), Refusal> {
        self.with(|s| s.admitted.push((hello.clone(), known)));
        match &*self.admit.lock() {
            Some(f) => f(hello, known),
            None if known => Ok(()),
            None => Err(Refusal::UnknownSender),
        }
    }

    fn refused(&self, peer: u64, refusal: &Refusal) {
        self.with(|s| s.refused.push((peer, refusal.clone())));
        if let Some(f) = &*self.on_refused.lock() {
            f();
        }
    }

    fn snapshot_body(&self, to: u64, _: &Snapshot) -> Result<Option<SnapshotSource>, BoxError> {
        self.body.lock().as_mut().map_or(Ok(None), |f| f(to))
    }

    fn receive_snapshot(
        &self,
        mut m: Message,
        body: &mut SnapshotBody<'_>,
    ) -> Result<Message, BoxError> {
        let f = self.sink.lock().clone();
        match f {
            Some(f) => f(&mut m, body)?,
            None => body.append_to(&mut m)?,
        }
        Ok(m)
    }
}

struct Lines(AssertUnwindSafe<Arc<Seen>>);

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;
    fn log(&self, r: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
        self.0.with(|s| s.log.push(r.msg().to_string()));
        Ok(())
    }
}

pub(crate) struct Node {
    pub(crate) t: Arc<Transport>,
    pub(crate) seen: Arc<Seen>,
}

impl Node {
    pub(crate) fn start(id: u64) -> Node {
        Self::with(patient(id))
    }

    pub(crate) fn with(config: Config) -> Node {
        let seen = Arc::new(Seen::default());
        let log = Logger::root(Lines(AssertUnwindSafe(Arc::clone(&seen))).fuse(), o!());
        let t = Transport::bind(config, "127.0.0.1:0", Arc::clone(&seen) as _, &log).unwrap();
        Node {
            t: Arc::new(t),
            seen,
        }
    }

    pub(crate) fn addr(&self) -> String {
        self.t.local_addr().to_string()
    }

    #[track_caller]
    pub(crate) fn peer(&self, id: u64) -> PeerStatus {
        self.t.peer_status(id).unwrap()
    }

    /// Waits for a connection to the peer.
    #[track_caller]
    pub(crate) fn wait_active(&self, id: u64) {
        eventually("the peer becomes active", || {
            self.t.active_since(id).is_some()
        });
    }

    #[track_caller]
    pub(crate) fn wait_inactive(&self, id: u64) {
        eventually("the peer becomes inactive", || {
            self.t.active_since(id).is_none()
        });
    }

    #[track_caller]
    pub(crate) fn wait_messages(&self, n: usize) -> Vec<Message> {
        self.seen.wait("messages arrive", |s| s.messages.len() >= n);
        self.seen.read(|s| s.messages.clone())
    }
}

/// Nodes 1 and 2, connected both ways.
pub(crate) fn pair() -> (Node, Node) {
    pair_of(patient(1), Config::new(CLUSTER, 2))
}

pub(crate) fn pair_of(one: Config, two: Config) -> (Node, Node) {
    let (one, two) = (Node::with(one), Node::with(two));
    one.t.add_peer(2, &two.addr()).unwrap();
    two.t.add_peer(1, &one.addr()).unwrap();
    one.wait_active(2);
    two.wait_active(1);
    (one, two)
}

pub(crate) fn heartbeat(from: u64, to: u64, commit: u64) -> Message {
    Message {
        from,
        to,
        commit,
        ..Message::new(MessageType::MsgHeartbeat)
    }
}

pub(crate) fn app(from: u64, to: u64, index: u64, data: usize) -> Message {
    let fill = u8::try_from(index % 251).unwrap();
    Message {
        from,
        to,
        index,
        entries: vec![Entry::new(1, index + 1, vec![fill; data])].into(),
        ..Message::new(MessageType::MsgApp)
    }
}

pub(crate) fn snap(from: u64, to: u64, index: u64, data: Vec<u8>) -> Message {
    let mut snapshot = Snapshot {
        data: data.into(),
        ..Snapshot::default()
    };
    snapshot.metadata.index = index;
    snapshot.metadata.term = 1;
    Message {
        from,
        to,
        snapshot: Some(Box::new(snapshot)),
        ..Message::new(MessageType::MsgSnap)
    }
}

/// What another node's dialler is, done by hand.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) fn connect(to: &Node) -> Raw {
        let s = TcpStream::connect(to.t.local_addr()).unwrap();
        s.set_read_timeout(Some(PATIENCE)).unwrap();
        s.set_nodelay(true).unwrap();
        Raw(s)
    }

    pub(crate) fn hello(from: u64, to: u64, kind: Kind) -> Hello {
        Hello::new(&Config::new(CLUSTER, from), to, kind)
    }

    pub(crate) fn shake(to: &Node, hello: &Hello) -> (Raw, Answer) {
        Raw::try_shake(to, hello).unwrap()
    }

    pub(crate) fn try_shake(to: &Node, hello: &Hello) -> Result<(Raw, Answer), Error> {
        let mut raw = Raw::connect(to);
        raw.send(&hello.encode());
        let answer = Answer::read(&mut raw.0)?;
        Ok((raw, answer))
    }

    /// A connection from node `from` that was accepted.
    pub(crate) fn accepted(from: u64, to: &Node, to_id: u64, kind: Kind) -> Raw {
        let (raw, answer) = Raw::shake(to, &Self::hello(from, to_id, kind));
        assert_eq!(answer.refusal, None);
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(crate) fn message(&mut self, m: &Message) {
        let mut wire = Vec::new();
        frame::encode(m, &mut wire);
        self.send(&wire);
    }

    pub(crate) fn payload(&mut self, payload: &[u8]) {
        let mut wire = Vec::new();
        frame::put(payload, &mut wire);
        self.send(&wire);
    }

    /// The next frame that is not a pong.
    pub(crate) fn verdict(&mut self) -> Result<(), Error> {
        let mut frames = Frames::new(4096);
        loop {
            match frames.next_frame()? {
                Some(p) if !p.is_empty() => return frame::decode_verdict(&p),
                Some(_) => continue,
                None => {}
            }
            match self.0.read(frames.room()) {
                Ok(0) | Err(_) => return Err(Error::Closed),
                Ok(n) => frames.advance(n),
            }
        }
    }

    /// Reads until the other side closes.
    pub(crate) fn read_to_end(&mut self) -> usize {
        let mut n = 0;
        let mut buf = [0; 4096];
        loop {
            match self.0.read(&mut buf) {
                Ok(0) => return n,
                Ok(k) => n += k,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("the connection was not closed")
                }
                Err(_) => return n,
            }
        }
    }
}

/// A relay in front of a node: its address outlives the node's, and its connections can be cut or made to hang.
pub(crate) struct Relay {
    addr: String,
    shared: Arc<RelayShared>,
}

struct RelayShared {
    target: Mutex<Option<String>>,
    streams: Mutex<Vec<TcpStream>>,
    stalled: AtomicBool,
}

impl Relay {
    pub(crate) fn to(target: &str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(RelayShared {
            target: Mutex::new(Some(target.into())),
            streams: Mutex::default(),
            stalled: AtomicBool::new(false),
        });
        let s = Arc::clone(&shared);
        thread::spawn(move || {
            for inbound in listener.incoming() {
                let Ok(inbound) = inbound else { continue };
                let Some(target) = s.target.lock().clone() else {
                    continue;
                };
                let Ok(outbound) = TcpStream::connect(target) else {
                    continue;
                };
                s.pump(&inbound, &outbound);
                s.pump(&outbound, &inbound);
            }
        });
        Relay { addr, shared }
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Where new connections go; None: they are closed.
    pub(crate) fn target(&self, to: Option<&str>) {
        *self.shared.target.lock() = to.map(Into::into);
    }

    pub(crate) fn cut(&self) {
        for s in self.shared.streams.lock().drain(..) {
            let _ = s.shutdown(Shutdown::Both);
        }
    }

    /// From now on bytes are swallowed: connections stay open and carry nothing.
    pub(crate) fn stall(&self, on: bool) {
        self.shared.stalled.store(on, Ordering::SeqCst);
    }
}

impl RelayShared {
    fn pump(self: &Arc<Self>, from: &TcpStream, to: &TcpStream) {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        self.streams.lock().push(from.try_clone().unwrap());
        let s = Arc::clone(self);
        thread::spawn(move || {
            let mut buf = vec![0; 65536];
            while let Ok(n) = from.read(&mut buf) {
                if s.stalled.load(Ordering::SeqCst) {
                    if n == 0 {
                        // A closing is swallowed, too.
                        return;
                    }
                    continue;
                }
                if n == 0 || to.write_all(&buf[..n]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
}
