//! Reaching a peer: resolve, connect, shake hands, and wait between attempts. Go: rafthttp/urlpick.go, pkg/transport's dialer

use crate::core::Core;
use crate::handshake::{Answer, Hello, Kind};
use crate::sockets::{Owner, Socket};
use crate::{Error, Refusal};
use socket2::{Domain, Protocol, SockAddr, Type};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connects and shakes hands for `peer`.
pub(crate) fn dial(
    core: &Core,
    address: &str,
    to: u64,
    kind: Kind,
    owner: Owner,
) -> Result<(Arc<TcpStream>, Answer), Error> {
    let stream = Arc::new(connect(address, core.config.dial_timeout, |s| {
        core.sockets
            .register(owner, Socket::Connecting(Arc::clone(s)))
    })?);
    // The handshake can be cut short, too.
    let _registered = core
        .sockets
        .register(owner, Socket::Open(Arc::clone(&stream)))?;
    let until = Instant::now() + core.config.handshake_timeout;
    let answer = exchange(&stream, &Hello::new(&core.config, to, kind), until)?;
    match answer.refusal {
        Some(r) => Err(Error::Refused(r)),
        None => Ok((stream, answer)),
    }
}

/// Asks a node, without a transport, whether it would admit a connection, and learns who it is: a handshake of kind
/// [`Kind::Probe`](crate::Kind::Probe), after which the connection is closed. The node's [`Handler::admit`](crate::Handler::admit) decides as for any other.
///
/// Blocks for at most twice `timeout`, and for the resolving of a host name.
///
/// # Errors
/// What stood in the way of an answer. A refusal is an answer.
///
/// ```
/// use std::time::Duration;
/// use tickraft_transport_tcp::{Config, Hello, Kind, ask};
/// let hello = Hello::new(&Config::new(7, 1), 2, Kind::Probe);
/// // Nobody listens on port 1.
/// assert!(ask("127.0.0.1:1", &hello, Duration::from_secs(1)).is_err());
/// ```
pub fn ask(address: &str, hello: &Hello, timeout: Duration) -> Result<Answer, Error> {
    let stream = connect(address, timeout, |_| Ok(()))?;
    let hello = Hello {
        kind: Kind::Probe,
        ..hello.clone()
    };
    exchange(&stream, &hello, Instant::now() + timeout)
}

/// Tries the addresses that the text stands for, one after the other. `guard` is held while one of them is tried.
fn connect<G>(
    address: &str,
    timeout: Duration,
    guard: impl Fn(&Arc<socket2::Socket>) -> Result<G, Error>,
) -> Result<TcpStream, Error> {
    let resolve = |e| Error::io("resolve the peer's address", e);
    let mut last = resolve(io::ErrorKind::NotFound.into());
    for addr in address.to_socket_addrs().map_err(resolve)? {
        let domain = Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
            .map_err(|e| Error::io("make a socket", e))?;
        let socket = Arc::new(socket);
        let guard = guard(&socket)?;
        let connected = socket.connect_timeout(&SockAddr::from(addr), timeout);
        drop(guard);
        match connected {
            Ok(()) => match Arc::try_unwrap(socket) {
                Ok(socket) => return checked(socket.into(), addr),
                // Whoever cut the connection may still hold it for a moment.
                Err(_) => last = Error::Closed,
            },
            Err(e) => last = Error::io("connect", e),
        }
    }
    Err(last)
}

/// Refuses a socket that connected to itself, as the kernel lets one do that dials a free port from that very port: it would also
/// keep the peer from binding it.
fn checked(stream: TcpStream, addr: SocketAddr) -> Result<TcpStream, Error> {
    let io = |e| Error::io("set up a connection", e);
    if stream.local_addr().map_err(io)? == addr {
        return Err(Error::Handshake("the socket connected to itself"));
    }
    stream.set_nodelay(true).map_err(io)?;
    Ok(stream)
}

/// The dialler's half of the handshake.
fn exchange(stream: &TcpStream, hello: &Hello, until: Instant) -> Result<Answer, Error> {
    let mut timed = Deadline { stream, until };
    timed
        .write_all(&hello.encode())
        .map_err(|e| Error::io("write the handshake", e))?;
    let answer = Answer::read(&mut timed)?;
    if answer.refusal.is_none() && answer.id != hello.to {
        return Err(Error::Refused(Refusal::WrongTo));
    }
    Ok(answer)
}

/// A stream that must be done at a moment, however often something moves until then.
pub(crate) struct Deadline<'a> {
    pub(crate) stream: &'a TcpStream,
    pub(crate) until: Instant,
}

impl Deadline<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // The system rounds down, and takes zero for no deadline at all.
        Ok(left.max(Duration::from_millis(1)))
    }
}

impl Read for Deadline<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buf)
    }
}

impl Write for Deadline<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long to wait before the next attempt.
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    state: u64,
}

impl Backoff {
    /// Nodes and peers differ in their jitter, so that they do not dial in step; runs do not.
    pub(crate) fn new(min: Duration, max: Duration, local: u64, peer: u64) -> Self {
        Self {
            min,
            max,
            next: min,
            state: local.rotate_left(32) ^ peer,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }

    /// Between half of a span and all of it; the span doubles up to the maximum.
    pub(crate) fn delay(&mut self) -> Duration {
        let span = self.next;
        self.next = span.saturating_mul(2).min(self.max);
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let thousandths = u32::try_from((z ^ (z >> 31)) % 500).unwrap_or(0);
        span * (500 + thousandths) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_within_its_bounds() {
        let (min, max) = (Duration::from_millis(50), Duration::from_secs(1));
        let mut b = Backoff::new(min, max, 1, 2);
        let mut span = min;
        for _ in 0..20 {
            let d = b.delay();
            assert!(d >= span / 2 && d <= span, "{d:?} of {span:?}");
            span = (span * 2).min(max);
        }
        b.reset();
        assert!(b.delay() <= min);
        let delays = |local| {
            let mut b = Backoff::new(max, max, local, 2);
            [b.delay(), b.delay(), b.delay()]
        };
        assert_ne!(delays(1), delays(3));
    }
}
