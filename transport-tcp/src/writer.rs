//! The thread that writes to one peer: dials, writes many frames a call, pings, dials again. Go: rafthttp/stream.go (streamWriter)

use crate::core::{Core, Report};
use crate::dial::{self, Backoff};
use crate::frame::{self, Frames};
use crate::handshake::{Answer, Kind};
use crate::outgoing::{FLUSH, Outgoing};
use crate::peer::Peer;
use crate::queue::Taken;
use crate::sockets::{Owner, Socket};
use crate::status::add;
use crate::{Error, Refusal};
use parking_lot::Mutex;
use raftpb::Message;
use slog::warn;
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest payload of an answer or farewell that a dialler reads.
pub(crate) const MAX_VERDICT: u32 = 4096;

/// Serves the peer's queue until it is closed.
pub(crate) fn run(core: &Arc<Core>, peer: &Arc<Peer>) {
    let c = &core.config;
    let mut backoff = Backoff::new(c.backoff_min, c.backoff_max, c.id, peer.id);
    let mut batch = Vec::new();
    while !peer.queue.is_closed() {
        let (address, changes) = peer.address();
        let owner = Owner::Messages { uid: peer.uid };
        let (ended, connected) = match dial::dial(core, &address, peer.id, Kind::Messages, owner) {
            Ok((stream, answer)) => {
                let since = Instant::now();
                let ended = session(core, peer, &stream, &answer, &mut batch);
                (ended, Some(since.elapsed()))
            }
            Err(e) => (Err(e), None),
        };
        let Err(e) = ended else { break };
        lost(core, peer, &e, connected.is_some());
        if peer.address().1 != changes {
            backoff.reset();
            continue;
        }
        // A connection that did some service is dialled again at once; one that ended right after its handshake is not.
        if connected.is_some_and(|lived| lived >= c.backoff_max) {
            backoff.reset();
            continue;
        }
        peer.queue.pause(backoff.delay());
    }
    add(&peer.counters.dropped, peer.queue.close(false));
    peer.health.deactivate(&core.log, peer.id, None);
}

/// The peer could not be reached, or the connection to it is gone.
fn lost(core: &Arc<Core>, peer: &Arc<Peer>, e: &Error, connected: bool) {
    if *e == Error::Stopped || peer.queue.is_closed() {
        return;
    }
    let was_down = if connected {
        // What waits may still go over the next connection.
        false
    } else {
        let (dropped, was_down) = peer.queue.down();
        add(&peer.counters.dropped, dropped);
        was_down
    };
    peer.health.deactivate(&core.log, peer.id, Some(e));
    // Between two failed attempts nothing was kept, so nothing new was lost.
    if !was_down {
        core.report_unreachable(peer);
    }
    if let Error::Refused(r) = e {
        core.report(Report::Refused(peer.id, r.clone()));
    }
}

/// What the writing thread and the one that watches for pongs share.
struct Link<'a> {
    stream: &'a TcpStream,
    broken: AtomicBool,
    cause: Mutex<Option<Error>>,
    /// When the ping was written that is not answered yet.
    pinged: Mutex<Option<Instant>>,
}

/// One connection's life. Ok when the queue was closed.
fn session(
    core: &Arc<Core>,
    peer: &Arc<Peer>,
    stream: &Arc<TcpStream>,
    answer: &Answer,
    batch: &mut Vec<Message>,
) -> Result<(), Error> {
    let owner = Owner::Messages { uid: peer.uid };
    let _registered = core
        .sockets
        .register(owner, Socket::Open(Arc::clone(stream)))?;
    let io = |e| Error::io("set up a connection", e);
    let c = &core.config;
    stream
        .set_write_timeout(Some(c.write_timeout))
        .map_err(io)?;
    stream.set_read_timeout(Some(c.read_timeout)).map_err(io)?;
    let link = Link {
        stream,
        broken: AtomicBool::new(false),
        cause: Mutex::new(None),
        pinged: Mutex::new(None),
    };
    let theirs = Duration::from_millis(u64::from(answer.read_timeout_ms)) / 3;
    let every = c.keepalive.min(theirs).max(Duration::from_millis(1));
    let ended = thread::scope(|s| {
        let watcher = thread::Builder::new().name(format!("raft-watch-{}", peer.id));
        watcher
            .spawn_scoped(s, || watch(peer, &link))
            .map_err(|e| Error::io("start a thread", e))?;
        peer.queue.up();
        add(&peer.counters.connects, 1);
        peer.health
            .activate(&core.log, peer.id, answer.incarnation, answer.session);
        let mut out = Out::new(peer, stream, answer.max_message_bytes);
        let ended = write_loop(core, peer, &link, &mut out, every, batch);
        // After a drain the other side reads to the end, then closes, which ends the watcher.
        let how = if ended.is_ok() && !core.is_stopping() {
            Shutdown::Write
        } else {
            Shutdown::Both
        };
        let _ = stream.shutdown(how);
        ended
    });
    // What the watcher saw (a farewell, say) explains more than a broken pipe.
    ended.map_err(|e| link.cause.lock().take().unwrap_or(e))
}

/// Takes from the queue and writes, until either ends.
fn write_loop(
    core: &Core,
    peer: &Arc<Peer>,
    link: &Link<'_>,
    out: &mut Out<'_>,
    every: Duration,
    batch: &mut Vec<Message>,
) -> Result<(), Error> {
    let mut ping_at = Instant::now();
    loop {
        let taken = peer.queue.take(batch, ping_at);
        if link.broken.load(Ordering::Acquire) {
            add(&peer.counters.dropped, batch.len());
            batch.clear();
            return Err(Error::Closed);
        }
        if taken == Taken::Closed {
            return Ok(());
        }
        let now = Instant::now();
        if now >= ping_at {
            out.frames.ping();
            link.pinged.lock().get_or_insert(now);
            ping_at = now + every;
        }
        let messages = batch.len();
        let before = out.settled;
        let written = batch
            .drain(..)
            .try_for_each(|m| out.put(core, &m))
            .and_then(|()| out.flush());
        if let Err(e) = written {
            add(
                &peer.counters.dropped,
                messages.saturating_sub(out.settled - before),
            );
            return Err(e);
        }
    }
}

/// Frames on their way to the socket.
struct Out<'a> {
    peer: &'a Arc<Peer>,
    stream: &'a TcpStream,
    /// The longest payload that the peer takes.
    max: usize,
    frames: Outgoing,
    /// Messages in `frames`.
    messages: usize,
    /// Messages that were counted, as sent or as dropped.
    settled: usize,
}

impl<'a> Out<'a> {
    fn new(peer: &'a Arc<Peer>, stream: &'a TcpStream, max: u32) -> Self {
        Self {
            peer,
            stream,
            max: max as usize,
            frames: Outgoing::new(),
            messages: 0,
            settled: 0,
        }
    }

    /// Adds a message; writes when enough has gathered.
    #[inline]
    fn put(&mut self, core: &Core, m: &Message) -> Result<(), Error> {
        if let Err(len) = self.frames.put(m, self.max) {
            self.too_long(core, m, len);
            return Ok(());
        }
        self.messages += 1;
        if self.frames.len() >= FLUSH {
            self.flush()?;
        }
        Ok(())
    }

    /// The peer would close the connection over it.
    #[cold]
    fn too_long(&mut self, core: &Core, m: &Message, len: usize) {
        let e = Error::FrameTooLarge {
            len: len as u64,
            max: self.max as u64,
        };
        warn!(core.log, "dropped a message: longer than the peer takes"; "remote-peer-id" => self.peer.id,
            "message-type" => m.msg_type.as_str(), "error" => %e);
        add(&self.peer.counters.dropped, 1);
        self.settled += 1;
        self.peer.health.error(e.to_string());
        core.report_unreachable(self.peer);
    }

    /// Writes what has gathered.
    fn flush(&mut self) -> Result<(), Error> {
        let counters = &self.peer.counters;
        let (calls, bytes, result) = self.frames.write_to(self.stream);
        add(&counters.write_calls, calls);
        add(&counters.bytes_sent, bytes);
        result?;
        add(&counters.sent, self.messages);
        self.settled += self.messages;
        self.messages = 0;
        Ok(())
    }
}

/// Reads what the peer says on a connection that we write to: pongs, and at most one farewell. Notices a peer that is gone, which writing alone would
/// not for a quarter of an hour.
fn watch(peer: &Peer, link: &Link<'_>) {
    let mut frames = Frames::with_block(MAX_VERDICT, 1024);
    let cause = loop {
        match read_pongs(peer, link, &mut frames) {
            Ok(()) => {}
            Err(e) => break e,
        }
    };
    *link.cause.lock() = Some(cause);
    link.broken.store(true, Ordering::Release);
    let _ = link.stream.shutdown(Shutdown::Both);
    peer.queue.nudge();
}

fn read_pongs(peer: &Peer, link: &Link<'_>, frames: &mut Frames) -> Result<(), Error> {
    let mut stream = link.stream;
    match stream.read(frames.room()) {
        Ok(0) => return Err(Error::Closed),
        Ok(n) => frames.advance(n),
        Err(e) if e.kind() == ErrorKind::Interrupted => {}
        Err(e) => return Err(Error::io("read the peer's pongs", e)),
    }
    while let Some(payload) = frames.next_frame()? {
        if !payload.is_empty() {
            frame::decode_verdict(&payload)?;
            return Err(Error::Refused(Refusal::Malformed(
                "a farewell that says all is well".into(),
            )));
        }
        add(&peer.counters.pongs, 1);
        if let Some(at) = link.pinged.lock().take() {
            peer.health.round_trip(at.elapsed());
        }
    }
    Ok(())
}
