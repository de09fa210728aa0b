//! Accepting connections: the handshake's other half. Go: rafthttp/http.go

use crate::config::is_node_id;
use crate::core::Core;
use crate::dial::Deadline;
use crate::handshake::{self, Answer, Hello, Kind};
use crate::sockets::{Owner, Registered, Socket};
use crate::status::Refused;
use crate::{Error, Refusal, reader, snapshot};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long accepting rests after a failure, which is mostly a lack of file descriptors.
const REST: Duration = Duration::from_millis(50);

/// Accepts until the transport stops.
pub(crate) fn run(core: &Arc<Core>, listener: &TcpListener) {
    loop {
        let accepted = listener.accept();
        if core.is_stopping() {
            return;
        }
        match accepted {
            Ok((stream, remote)) => accept(core, stream, remote),
            Err(e) => {
                slog::warn!(core.log, "cannot accept a connection"; "error" => %e);
                if !core.sockets.pause(REST) {
                    return;
                }
            }
        }
    }
}

/// Gives a connection a thread.
fn accept(core: &Arc<Core>, stream: TcpStream, remote: SocketAddr) {
    if core.sockets.pending() >= core.config.max_handshakes {
        return core.refused(Refused::Busy, 0, &format!("{remote}: too many handshakes"));
    }
    let stream = Arc::new(stream);
    // Registered here, so that the count above is exact.
    let Ok(registered) = core
        .sockets
        .register(Owner::Pending, Socket::Open(Arc::clone(&stream)))
    else {
        return;
    };
    let spawned = core.spawn("raft-recv".into(), move |core| {
        serve(core, &stream, remote, &registered);
    });
    if let Err(e) = spawned {
        slog::warn!(core.log, "cannot serve a connection"; "remote" => %remote, "error" => %e);
    }
}

/// A connection's life.
fn serve(core: &Arc<Core>, stream: &Arc<TcpStream>, remote: SocketAddr, r: &Registered) {
    let until = Instant::now() + core.config.handshake_timeout;
    let mut timed = Deadline { stream, until };
    let hello = match Hello::read(&mut timed) {
        Ok(hello) => hello,
        Err(Error::Closed) => return,
        Err(e) => {
            let kind = match e {
                Error::TimedOut(_) => Refused::HandshakeTimeout,
                _ => Refused::BadHandshake,
            };
            return core.refused(kind, 0, &format!("{remote}: {e}"));
        }
    };
    // Half of the time is left for the answer to get back before the dialler gives up.
    let claim_until = until - core.config.handshake_timeout / 2;
    let refusal = judge(core, &hello, r, claim_until).err();
    let answer = Answer {
        version: handshake::common_version(hello.versions).unwrap_or(0),
        refusal: refusal.clone(),
        ..Answer::new(&core.config)
    };
    if let Some(refusal) = &refusal {
        let why = format!("{remote}: {refusal}");
        core.refused(refused_kind(refusal), hello.from, &why);
    }
    // However long the application took to decide: the dialler knows best how long it waits.
    timed.until = Instant::now() + core.config.write_timeout;
    let answered = stream.set_nodelay(true).is_ok() && timed.write_all(&answer.encode()).is_ok();
    if refusal.is_some() || !answered {
        return;
    }
    match hello.kind {
        Kind::Messages => reader::run(core, stream, &hello, r),
        Kind::Snapshot => snapshot::receive(core, stream, &hello, r),
        Kind::Probe => {}
    }
}

/// Decides on a handshake. A connection that is admitted takes the place of an earlier one.
fn judge(core: &Core, hello: &Hello, r: &Registered, until: Instant) -> Result<(), Refusal> {
    if handshake::common_version(hello.versions).is_none() {
        return Err(Refusal::Version);
    }
    // Whoever joins does not know the cluster's id yet, and may ask.
    let asks = hello.kind == Kind::Probe && hello.cluster == 0;
    if hello.cluster != core.config.cluster && !asks {
        return Err(Refusal::WrongCluster);
    }
    if hello.to != core.config.id {
        return Err(Refusal::WrongTo);
    }
    if !is_node_id(hello.from) || hello.from == core.config.id {
        return Err(Refusal::InvalidFrom);
    }
    if core.handler.is_id_removed(hello.from) {
        return Err(Refusal::Removed);
    }
    let uid = core.peer(hello.from).map(|p| p.uid);
    core.handler.admit(hello, uid.is_some())?;
    if hello.kind == Kind::Probe {
        return Ok(());
    }
    if !core.sockets.claim(r, hello.from, hello.kind, until) {
        return Err(Refusal::Busy);
    }
    // A peer that was removed meanwhile had nothing to cut yet.
    if uid.is_some() && core.peer(hello.from).map(|p| p.uid) != uid {
        return Err(Refusal::UnknownSender);
    }
    Ok(())
}

fn refused_kind(r: &Refusal) -> Refused {
    match r {
        Refusal::Version => Refused::Version,
        Refusal::WrongCluster => Refused::WrongCluster,
        Refusal::WrongTo => Refused::WrongTo,
        Refusal::InvalidFrom => Refused::InvalidFrom,
        Refusal::UnknownSender => Refused::UnknownSender,
        Refusal::Removed => Refused::Removed,
        Refusal::Busy => Refused::Busy,
        _ => Refused::NotAdmitted,
    }
}
