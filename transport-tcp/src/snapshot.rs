//! A snapshot on a connection of its own, in pieces. Go: rafthttp/snapshot_sender.go, http.go (snapshotHandler), snap.Message

use crate::core::Core;
use crate::dial;
use crate::frame::{self, Frames};
use crate::handshake::{Hello, Kind};
use crate::outgoing::write_all;
use crate::peer::Peer;
use crate::reader;
use crate::sockets::{Owner, Registered, Socket};
use crate::status::{Refused, add};
use crate::writer::MAX_VERDICT;
use crate::{BoxError, Error, Refusal};
use prost::Message as _;
use raftpb::{Message, MessageType};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::TcpStream;
use std::sync::Arc;

/// How much of a snapshot goes into a frame: its checksum is computed, and it is copied to the kernel, while it is in the cache.
const PIECE: usize = 256 * 1024;

/// Stands for a body of unknown length.
const UNKNOWN: u64 = u64::MAX;

/// What the application streams behind the message of a snapshot. See [`Handler::snapshot_body`](crate::Handler::snapshot_body).
///
/// ```
/// use tickraft_transport_tcp::SnapshotSource;
/// let body = b"a state machine".as_slice();
/// let source = SnapshotSource::new(body).with_len(body.len() as u64);
/// assert_eq!(format!("{source:?}"), "SnapshotSource { len: Some(15), .. }");
/// ```
pub struct SnapshotSource {
    reader: Box<dyn Read + Send>,
    len: Option<u64>,
}

impl SnapshotSource {
    /// A body of a length that is known only at its end. The reader may block for at most the receiver's snapshot timeout at a time; an
    /// error from it fails the snapshot. It is dropped when the snapshot ends, either way.
    pub fn new(reader: impl Read + Send + 'static) -> Self {
        Self {
            reader: Box::new(reader),
            len: None,
        }
    }

    /// The body's length in bytes, which the receiver learns first. A body that turns out otherwise fails.
    #[must_use]
    pub fn with_len(self, len: u64) -> Self {
        Self {
            len: Some(len),
            ..self
        }
    }
}

impl fmt::Debug for SnapshotSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotSource")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Sends one, and waits for the peer to have taken it.
pub(crate) fn send(core: &Arc<Core>, peer: &Arc<Peer>, mut m: Message) -> Result<(), Error> {
    let Some(snapshot) = m.snapshot.as_deref_mut() else {
        return Err(Error::Snapshot("a MsgSnap without a snapshot".into()));
    };
    let body = core
        .handler
        .snapshot_body(peer.id, snapshot)
        .map_err(|e| Error::Snapshot(format!("its body: {e}")))?;
    let index = snapshot.metadata.index;
    let data = std::mem::take(&mut snapshot.data);
    let (address, _) = peer.address();
    let owner = Owner::Snapshot { uid: peer.uid };
    let (stream, answer) = dial::dial(core, &address, peer.id, Kind::Snapshot, owner)?;
    let _registered = core
        .sockets
        .register(owner, Socket::Open(Arc::clone(&stream)))?;
    deadlines(core, &stream)?;
    slog::info!(core.log, "sending database snapshot"; "snapshot-index" => index,
        "remote-peer-id" => peer.id, "bytes" => data.len(), "body" => ?body);
    let mut out = Pieces {
        stream: &stream,
        peer,
        piece: PIECE.min(answer.max_message_bytes as usize).max(1),
    };
    let streamed = out.all(&m, &data, body, answer.max_message_bytes);
    match streamed {
        // The peer may have refused it half-way; then it says why.
        Err(e @ (Error::Closed | Error::Io { .. })) => match read_verdict(&stream) {
            Err(Error::Refused(r)) => Err(Error::Refused(r)),
            _ => Err(e),
        },
        Err(e) => Err(e),
        Ok(()) => read_verdict(&stream).inspect(|()| {
            slog::info!(core.log, "sent database snapshot"; "snapshot-index" => index, "remote-peer-id" => peer.id);
        }),
    }
}

fn deadlines(core: &Core, stream: &TcpStream) -> Result<(), Error> {
    let io = |e| Error::io("set up a connection", e);
    let timeout = Some(core.config.snapshot_timeout);
    stream.set_read_timeout(timeout).map_err(io)?;
    stream.set_write_timeout(timeout).map_err(io)
}

fn read_verdict(mut stream: &TcpStream) -> Result<(), Error> {
    let mut frames = Frames::with_block(MAX_VERDICT, 512);
    loop {
        if let Some(payload) = frames.next_frame()? {
            return frame::decode_verdict(&payload);
        }
        match stream.read(frames.room()) {
            Ok(0) => return Err(Error::Closed),
            Ok(n) => frames.advance(n),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("wait for the peer to take the snapshot", e)),
        }
    }
}

/// The sending side of the stream.
struct Pieces<'a> {
    stream: &'a TcpStream,
    peer: &'a Peer,
    piece: usize,
}

impl Pieces<'_> {
    fn all(
        &mut self,
        m: &Message,
        data: &[u8],
        body: Option<SnapshotSource>,
        max: u32,
    ) -> Result<(), Error> {
        let body_len = body.as_ref().map_or(0, |b| b.len.unwrap_or(UNKNOWN));
        let mut head = Vec::new();
        head.extend_from_slice(&(data.len() as u64).to_le_bytes());
        head.extend_from_slice(&body_len.to_le_bytes());
        m.encode_raw(&mut head);
        if head.len() > max as usize {
            return Err(Error::FrameTooLarge {
                len: head.len() as u64,
                max: u64::from(max),
            });
        }
        self.frame(&head)?;
        for piece in data.chunks(self.piece) {
            self.frame(piece)?;
        }
        if let Some(body) = body {
            self.body(body)?;
        }
        self.frame(&[])
    }

    fn body(&mut self, mut body: SnapshotSource) -> Result<(), Error> {
        let mut buffer = vec![0; self.piece];
        let mut total: u64 = 0;
        loop {
            let n = match body.reader.read(&mut buffer) {
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::Snapshot(format!("reading its body: {e}"))),
            };
            total += n as u64;
            let wrong = body
                .len
                .is_some_and(|len| total > len || n == 0 && total != len);
            if wrong {
                return Err(Error::Snapshot(format!(
                    "its body has {total} bytes or more, announced were {}",
                    body.len.unwrap_or(UNKNOWN)
                )));
            }
            match buffer.get(..n) {
                Some(piece) if n > 0 => self.frame(piece)?,
                _ => return Ok(()),
            }
        }
    }

    /// Writes one frame without copying its payload.
    fn frame(&mut self, payload: &[u8]) -> Result<(), Error> {
        let header = frame::header(payload);
        let mut slices = [IoSlice::new(&header), IoSlice::new(payload)];
        let len = header.len() + payload.len();
        add(&self.peer.counters.bytes_sent, len);
        let (_, written) = write_all(self.stream, &mut slices, len, &mut 0);
        written.map_err(|e| e.map_or(Error::Closed, |e| Error::io("write a snapshot", e)))?;
        give_way();
        Ok(())
    }
}

/// Called after each piece: a snapshot that streams keeps a processor busy at either end for as long as it is let, and heartbeats wait for one.
fn give_way() {
    std::thread::yield_now();
}

/// Takes a snapshot from an admitted peer, and tells it how that went.
pub(crate) fn receive(core: &Arc<Core>, stream: &Arc<TcpStream>, hello: &Hello, r: &Registered) {
    let peer = core.peer(hello.from);
    let mut pieces = Incoming {
        stream: Arc::clone(stream),
        max: core.config.max_message_bytes as usize,
        bytes: 0,
    };
    let result = receive_one(core, hello, r, &mut pieces);
    if let Some(p) = &peer {
        add(
            &p.counters.bytes_received,
            usize::try_from(pieces.bytes).unwrap_or(usize::MAX),
        );
        add(&p.counters.snapshots_received, usize::from(result.is_ok()));
    }
    let Err(e) = result else {
        return reader::say(stream, Ok(()));
    };
    let (kind, refusal) = match e {
        Error::Refused(refusal) => (Refused::ProcessFailed, refusal),
        Error::FrameTooLarge { .. } => (Refused::TooLarge, Refusal::TooLarge(cut(e))),
        Error::Checksum | Error::Decode(_) | Error::Handshake(_) => {
            (Refused::Malformed, Refusal::Malformed(cut(e)))
        }
        // Nobody is there to be told.
        Error::Closed | Error::TimedOut(_) | Error::Io { .. } => {
            slog::warn!(core.log, "failed to receive a snapshot"; "remote-peer-id" => hello.from, "error" => %e);
            return;
        }
        e => (Refused::ProcessFailed, Refusal::Failed(cut(e))),
    };
    // What the checks of a message refused is counted where it was checked.
    if refusal != CHECKED {
        core.refused(kind, hello.from, &format!("a snapshot: {refusal}"));
    }
    reader::say(stream, Err(&refusal));
}

/// The refusal for a message that breaks the rules for any message.
const CHECKED: Refusal = Refusal::InvalidFrom;

/// An error's text, of a length that fits a verdict.
fn cut(e: impl fmt::Display) -> String {
    e.to_string().chars().take(500).collect()
}

fn receive_one(
    core: &Arc<Core>,
    hello: &Hello,
    r: &Registered,
    pieces: &mut Incoming,
) -> Result<(), Error> {
    deadlines(core, &pieces.stream)?;
    let mut head = Vec::new();
    let malformed = || Error::Handshake("a snapshot without a head");
    if !pieces.append(&mut head, u64::MAX)? {
        return Err(malformed());
    }
    let (data_len, rest) = head.split_first_chunk::<8>().ok_or_else(malformed)?;
    let (body_len, rest) = rest.split_first_chunk::<8>().ok_or_else(malformed)?;
    let (data_len, body_len) = (u64::from_le_bytes(*data_len), u64::from_le_bytes(*body_len));
    let mut m = Message::decode(rest)?;
    if let Err((kind, why)) = reader::check(core.config.id, hello.from, &m) {
        core.refused(kind, hello.from, &why);
        return Err(Error::Refused(CHECKED));
    }
    let Some(snapshot) = m.snapshot.as_deref_mut() else {
        return Err(malformed());
    };
    if m.msg_type != MessageType::MsgSnap || !snapshot.data.is_empty() {
        return Err(malformed());
    }
    let limit = core.config.max_snapshot_bytes;
    slog::info!(core.log, "receiving database snapshot"; "remote-peer-id" => hello.from,
        "snapshot-index" => snapshot.metadata.index, "bytes" => data_len);
    snapshot.data = data(pieces, data_len, limit)?.into();
    let mut body = SnapshotBody {
        pieces,
        len: (body_len != UNKNOWN).then_some(body_len),
        limit,
        taken: 0,
        buffer: Vec::new(),
        at: 0,
        filled: 0,
        ended: false,
        failed: false,
    };
    let m = core
        .handler
        .receive_snapshot(m, &mut body)
        .map_err(refusal_of)?;
    body.finish()?;
    if r.is_cut() {
        return Err(Error::Closed);
    }
    core.handler.process(m).map_err(refusal_of)?;
    core.handler.end_of_batch(hello.from);
    slog::info!(core.log, "received and processed database snapshot"; "remote-peer-id" => hello.from);
    Ok(())
}

/// What the application failed with, as the peer is told. An error of ours that went through the application is told as what it is.
fn refusal_of(e: BoxError) -> Error {
    match e.downcast::<Error>() {
        Ok(e) => *e,
        Err(e) => Error::Refused(Refusal::Failed(cut(e))),
    }
}

/// Reads a snapshot's data.
fn data(pieces: &mut Incoming, len: u64, limit: u64) -> Result<Vec<u8>, Error> {
    let mut data = Vec::new();
    reserve(&mut data, len, limit)?;
    while (data.len() as u64) < len {
        let left = len - data.len() as u64;
        if !pieces.append(&mut data, left)? {
            return Err(Error::Handshake("a snapshot's data ends early"));
        }
    }
    Ok(data)
}

/// Makes room, unless that is beyond the limit or more than there is.
fn reserve(out: &mut Vec<u8>, more: u64, limit: u64) -> Result<(), Error> {
    let len = (out.len() as u64).saturating_add(more);
    if len > limit {
        return Err(Error::FrameTooLarge { len, max: limit });
    }
    usize::try_from(more)
        .ok()
        .and_then(|n| out.try_reserve_exact(n).ok())
        .ok_or_else(|| Error::Snapshot(format!("no memory for {len} bytes")))
}

/// The receiving side of the stream: verified pieces.
struct Incoming {
    stream: Arc<TcpStream>,
    /// The longest frame.
    max: usize,
    bytes: u64,
}

impl Incoming {
    /// The next frame's length, at most `most`, and its checksum.
    fn header(&mut self, most: u64) -> Result<(usize, u32), Error> {
        let mut header = frame::EMPTY;
        let mut stream = &*self.stream;
        stream.read_exact(&mut header).map_err(read_failed)?;
        let (len, crc) = frame::parse_header(header);
        self.bytes += (frame::HEADER + len) as u64;
        if len > self.max {
            return Err(Error::FrameTooLarge {
                len: len as u64,
                max: self.max as u64,
            });
        }
        if len as u64 > most {
            return Err(Error::Handshake("a snapshot is longer than announced"));
        }
        Ok((len, crc))
    }

    /// Appends the next frame's payload, of at most `most` bytes; false at the empty frame.
    fn append(&mut self, out: &mut Vec<u8>, most: u64) -> Result<bool, Error> {
        let (len, crc) = self.header(most)?;
        let before = out.len();
        out.try_reserve(len)
            .map_err(|e| Error::Snapshot(e.to_string()))?;
        // Into memory that was reserved and never written: no zeroing, no second copy.
        let n = self
            .stream
            .as_ref()
            .take(len as u64)
            .read_to_end(out)
            .map_err(read_failed)?;
        if n < len {
            return Err(Error::Closed);
        }
        verify(out.get(before..).unwrap_or(&[]), crc)?;
        give_way();
        Ok(len > 0)
    }

    /// Reads the next frame's payload, of at most `most` bytes, to the front of `buffer`, and says how long it is; 0 for the empty frame.
    fn fill(&mut self, buffer: &mut Vec<u8>, most: u64) -> Result<usize, Error> {
        let (len, crc) = self.header(most)?;
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let payload = buffer.get_mut(..len).unwrap_or(&mut []);
        let mut stream = &*self.stream;
        stream.read_exact(payload).map_err(read_failed)?;
        verify(payload, crc)?;
        give_way();
        Ok(len)
    }
}

fn read_failed(e: io::Error) -> Error {
    Error::io("read a snapshot", e)
}

fn verify(payload: &[u8], crc: u32) -> Result<(), Error> {
    if crc32c::crc32c(payload) == crc {
        Ok(())
    } else {
        Err(Error::Checksum)
    }
}

/// The body of a snapshot as it arrives. See [`Handler::receive_snapshot`](crate::Handler::receive_snapshot).
///
/// It is a [`Read`]: what it hands out has been verified, and only 0 means that the body is whole. A sender that gives up, a wrong checksum or a wrong
/// length are errors, and so is every read after one.
pub struct SnapshotBody<'a> {
    pieces: &'a mut Incoming,
    len: Option<u64>,
    limit: u64,
    /// Bytes that arrived.
    taken: u64,
    /// Holds a piece up to `filled`; up to `at` it was handed out.
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    ended: bool,
    failed: bool,
}

impl SnapshotBody<'_> {
    /// Its length in bytes, where the sender knew it; 0 where there is none.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // an unknown length may be 0
    pub fn len(&self) -> Option<u64> {
        self.len
    }

    /// Reads it to its end and appends it to the snapshot's data, which may grow up to
    /// [`Config::max_snapshot_bytes`](crate::Config::max_snapshot_bytes). A message without a snapshot stays as it is.
    ///
    /// # Errors
    /// [`Error::FrameTooLarge`] before anything beyond the limit is allocated, and whatever stands in the way of the rest.
    pub fn append_to(&mut self, m: &mut Message) -> Result<(), Error> {
        let Some(snapshot) = m.snapshot.as_deref_mut() else {
            return Ok(());
        };
        // Without a copy: nobody else has seen the data yet.
        let mut data = Vec::from(std::mem::take(&mut snapshot.data));
        let left = self.len.map_or(0, |len| len.saturating_sub(self.taken));
        let in_hand = self.buffer.get(self.at..self.filled).unwrap_or(&[]);
        reserve(
            &mut data,
            left.saturating_add(in_hand.len() as u64),
            self.limit,
        )?;
        data.extend_from_slice(in_hand);
        self.at = self.filled;
        while self.step(|pieces, most| {
            let before = data.len();
            // A piece is at most a frame long: so much beyond the limit is never held.
            pieces.append(&mut data, most)?;
            Ok(data.len() - before)
        })? {
            reserve(&mut data, 0, self.limit)?;
        }
        snapshot.data = data.into();
        Ok(())
    }

    /// Takes the next piece with `take`, which is told how long it may be and says how long it is; false at the end.
    fn step(
        &mut self,
        take: impl FnOnce(&mut Incoming, u64) -> Result<usize, Error>,
    ) -> Result<bool, Error> {
        if self.ended {
            return Ok(false);
        }
        // Behind an error the stream makes no sense any more.
        if std::mem::replace(&mut self.failed, true) {
            return Err(Error::Closed);
        }
        let left = self
            .len
            .map_or(u64::MAX, |len| len.saturating_sub(self.taken));
        let n = take(self.pieces, left)?;
        self.taken += n as u64;
        if n == 0 {
            if self.len.is_some_and(|len| len != self.taken) {
                return Err(Error::Handshake("a snapshot's body ends early"));
            }
            self.ended = true;
        }
        self.failed = false;
        Ok(n > 0)
    }

    /// Takes the next piece to the buffer; false at the end.
    fn piece(&mut self) -> Result<bool, Error> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut filled = 0;
        let more = self.step(|pieces, most| {
            filled = pieces.fill(&mut buffer, most)?;
            Ok(filled)
        });
        self.buffer = buffer;
        (self.at, self.filled) = (0, filled);
        more
    }

    /// Reads what the application left.
    fn finish(&mut self) -> Result<(), Error> {
        while self.piece()? {}
        Ok(())
    }
}

impl Read for SnapshotBody<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.at == self.filled && !self.piece().map_err(io::Error::other)? {
            return Ok(0);
        }
        let piece = self.buffer.get(self.at..self.filled).unwrap_or(&[]);
        let n = piece.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), piece.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at += n;
        Ok(n)
    }
}

impl fmt::Debug for SnapshotBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotBody")
            .field("len", &self.len)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}
