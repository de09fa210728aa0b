//! The thread that reads one peer's messages. Go: rafthttp/stream.go (streamReader), http.go's checks

use crate::core::Core;
use crate::dial::Deadline;
use crate::frame::{self, Frames};
use crate::handshake::Hello;
use crate::peer::Peer;
use crate::sockets::Registered;
use crate::status::{Refused, add};
use crate::{Error, Refusal};
use raftpb::{Message, MessageType, is_local_msg};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Reads until the connection ends.
pub(crate) fn run(core: &Arc<Core>, stream: &TcpStream, hello: &Hello, r: &Registered) {
    let peer = core.peer(hello.from);
    let receiving = peer.as_deref().map(Receiving::new);
    if let Some(p) = &peer {
        // It is there: no need to wait longer with dialling it.
        p.queue.nudge();
    }
    let mut reader = Reader {
        core,
        stream,
        from: hello.from,
        peer: peer.as_ref(),
        frames: Frames::new(core.config.max_message_bytes),
    };
    let ended = reader.set_up().and_then(|()| {
        loop {
            reader.turn(r)?;
        }
    });
    drop(receiving);
    if let Err::<(), Error>(e) = ended {
        reader.farewell(&e);
    }
}

/// Marks the peer as sending to us for as long as it lives.
struct Receiving<'a>(&'a Peer);

impl<'a> Receiving<'a> {
    fn new(peer: &'a Peer) -> Self {
        peer.health.receiving(Some(Instant::now()));
        Self(peer)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.health.receiving(None);
    }
}

struct Reader<'a> {
    core: &'a Core,
    stream: &'a TcpStream,
    from: u64,
    /// None for a sender that was admitted without being a peer.
    peer: Option<&'a Arc<Peer>>,
    frames: Frames,
}

impl Reader<'_> {
    fn set_up(&self) -> Result<(), Error> {
        let io = |e| Error::io("set up a connection", e);
        let c = &self.core.config;
        self.stream
            .set_read_timeout(Some(c.read_timeout))
            .map_err(io)?;
        self.stream
            .set_write_timeout(Some(c.write_timeout))
            .map_err(io)
    }

    /// One read, and all that it brought.
    fn turn(&mut self, r: &Registered) -> Result<(), Error> {
        let mut stream = self.stream;
        let n = match stream.read(self.frames.room()) {
            Ok(0) => return Err(Error::Closed),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(e) => return Err(Error::io("read from the peer", e)),
        };
        self.frames.advance(n);
        let (mut messages, mut pings) = (0, 0);
        let result = self.frames_in_hand(r, &mut messages, &mut pings);
        if messages > 0 {
            self.core.handler.end_of_batch(self.from);
        }
        if let Some(p) = self.peer {
            add(&p.counters.bytes_received, n);
            add(&p.counters.received, messages);
        }
        result?;
        if pings > 0 {
            stream
                .write_all(&frame::EMPTY)
                .map_err(|e| Error::io("write a pong", e))?;
        }
        Ok(())
    }

    fn frames_in_hand(
        &mut self,
        r: &Registered,
        messages: &mut usize,
        pings: &mut usize,
    ) -> Result<(), Error> {
        while let Some(range) = self.frames.next_range()? {
            if range.is_empty() {
                *pings += 1;
                continue;
            }
            // A newer connection of the same peer waits: what is left here is older than what comes there.
            if r.is_cut() {
                return Err(Error::Closed);
            }
            let mut m = Message::default();
            m.merge_range(self.frames.whole(), range)?;
            if let Err((kind, why)) = check(self.core.config.id, self.from, &m) {
                self.core.refused(kind, self.from, &why);
                continue;
            }
            *messages += 1;
            if let Err(e) = self.core.handler.process(m) {
                self.core
                    .refused(Refused::ProcessFailed, self.from, &e.to_string());
            }
        }
        Ok(())
    }

    /// Counts an end that is the peer's fault, and tells it.
    fn farewell(&self, e: &Error) {
        let refusal = match e {
            Error::FrameTooLarge { .. } => {
                self.core
                    .refused(Refused::TooLarge, self.from, &e.to_string());
                Refusal::TooLarge(e.to_string())
            }
            Error::Checksum | Error::Decode(_) => {
                self.core
                    .refused(Refused::Malformed, self.from, &e.to_string());
                Refusal::Malformed(e.to_string())
            }
            _ => {
                slog::debug!(self.core.log, "closed a peer's connection"; "remote-peer-id" => self.from, "reason" => %e);
                return;
            }
        };
        say(self.stream, Err(&refusal));
    }
}

/// How long a connection that ends with a refusal stays open, so that the refusal is read.
const LINGER: Duration = Duration::from_millis(500);

/// Sends a verdict as the last thing on a connection. Closing a socket with unread bytes resets it, and the other side may lose what
/// was sent last: after a refusal, what still comes is read and thrown away until the other side closes, too.
pub(crate) fn say(stream: &TcpStream, verdict: Result<(), &Refusal>) {
    let mut wire = Vec::new();
    frame::put(&frame::encode_verdict(verdict), &mut wire);
    let until = Instant::now() + LINGER;
    let mut timed = Deadline { stream, until };
    let sent = timed.write_all(&wire).is_ok();
    if !sent || verdict.is_ok() || stream.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut waste = vec![0; 64 * 1024];
    while matches!(timed.read(&mut waste), Ok(n) if n > 0) {}
}

/// Whether a message may be taken from this sender.
///
/// Three types are forwarded in another node's name: a proposal and a read request keep who asked first, and a transfer of leadership
/// names the node that is to lead.
pub(crate) fn check(own: u64, from: u64, m: &Message) -> Result<(), (Refused, String)> {
    use MessageType::{MsgProp, MsgReadIndex, MsgTransferLeader};
    if is_local_msg(m.msg_type) {
        return Err((Refused::LocalMessage, m.msg_type.to_string()));
    }
    if m.to != own {
        let why = format!("{} to {}", m.msg_type, m.to);
        return Err((Refused::MessageWrongTo, why));
    }
    let forwarded = matches!(m.msg_type, MsgProp | MsgReadIndex | MsgTransferLeader)
        && crate::config::is_node_id(m.from);
    if m.from != from && !forwarded {
        let why = format!("{} from {}", m.msg_type, m.from);
        return Err((Refused::ForgedFrom, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_taken_or_refused() {
        for t in MessageType::ALL {
            let m = |to, from| Message {
                to,
                from,
                ..Message::new(*t)
            };
            let kind = |m: &Message| check(1, 2, m).err().map(|(k, _)| k);
            if is_local_msg(*t) {
                assert_eq!(kind(&m(1, 2)), Some(Refused::LocalMessage), "{t}");
                continue;
            }
            assert_eq!(kind(&m(1, 2)), None, "{t}");
            for to in [0, 3, u64::MAX] {
                assert_eq!(kind(&m(to, 2)), Some(Refused::MessageWrongTo), "{t}");
            }
            use MessageType::*;
            let forwarded = matches!(t, MsgProp | MsgReadIndex | MsgTransferLeader);
            let want = (!forwarded).then_some(Refused::ForgedFrom);
            assert_eq!(kind(&m(1, 3)), want, "{t}");
            for from in [0, u64::MAX, u64::MAX - 1] {
                assert_eq!(kind(&m(1, from)), Some(Refused::ForgedFrom), "{t}");
            }
        }
    }
}
