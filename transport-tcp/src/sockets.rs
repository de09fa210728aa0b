//! All open sockets, so that another thread can cut them. Go: net/http's connection tracking

use crate::{Error, Kind};
use parking_lot::{Condvar, Mutex};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Accepted; the handshake is under way.
    Pending,
    /// Accepted from an admitted node.
    Inbound { from: u64, kind: Kind },
    /// Dialled, for messages, by the peer object of this number.
    Messages { uid: u64 },
    /// Dialled, for a snapshot.
    Snapshot { uid: u64 },
}

/// A socket in either of its two ages.
#[derive(Clone)]
pub(crate) enum Socket {
    Connecting(Arc<socket2::Socket>),
    Open(Arc<TcpStream>),
}

impl Socket {
    fn shutdown(&self) {
        // It fails only on a socket that is gone already.
        let _ = match self {
            Self::Connecting(s) => s.shutdown(Shutdown::Both),
            Self::Open(s) => s.shutdown(Shutdown::Both),
        };
    }
}

struct Entry {
    token: u64,
    owner: Owner,
    socket: Socket,
    cut: Arc<AtomicBool>,
}

#[derive(Default)]
struct Inner {
    stopping: bool,
    tokens: u64,
    entries: Vec<Entry>,
}

/// The registry. Entries are few (two a peer and direction), so a list is enough.
#[derive(Default)]
pub(crate) struct Sockets {
    inner: Mutex<Inner>,
    /// Something left, or the end has come.
    changed: Condvar,
}

/// A place in the registry; given up on drop.
pub(crate) struct Registered {
    sockets: Arc<Sockets>,
    token: u64,
    cut: Arc<AtomicBool>,
}

impl Registered {
    /// Whether someone cut the connection: what was read but not worked off is to be thrown away.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut inner = self.sockets.inner.lock();
        inner.entries.retain(|e| e.token != self.token);
        drop(inner);
        self.sockets.changed.notify_all();
    }
}

impl Sockets {
    /// Enters a socket.
    ///
    /// # Errors
    /// [`Error::Stopped`]: the socket is shut down.
    pub(crate) fn register(
        self: &Arc<Self>,
        owner: Owner,
        socket: Socket,
    ) -> Result<Registered, Error> {
        let mut inner = self.inner.lock();
        if inner.stopping {
            socket.shutdown();
            return Err(Error::Stopped);
        }
        inner.tokens += 1;
        let token = inner.tokens;
        let cut = Arc::new(AtomicBool::new(false));
        inner.entries.push(Entry {
            token,
            owner,
            socket,
            cut: Arc::clone(&cut),
        });
        Ok(Registered {
            sockets: Arc::clone(self),
            token,
            cut,
        })
    }

    /// Gives an accepted connection to a node that was admitted. Only one of a kind is held for each node: the older one is cut and
    /// waited for, so that its messages do not mix with the newer one's, and that a stuck handler does not gather threads.
    /// False when the older one does not end in time, or when this one is the older.
    pub(crate) fn claim(&self, r: &Registered, from: u64, kind: Kind, until: Instant) -> bool {
        let owner = Owner::Inbound { from, kind };
        let mut inner = self.inner.lock();
        loop {
            let other = inner.entries.iter().find(|e| e.owner == owner);
            match other {
                None => break,
                Some(e) if e.token > r.token => return false,
                Some(e) => {
                    e.cut.store(true, Ordering::Release);
                    e.socket.shutdown();
                }
            }
            if self.changed.wait_until(&mut inner, until).timed_out() {
                return false;
            }
        }
        match inner.entries.iter_mut().find(|e| e.token == r.token) {
            Some(e) if !r.is_cut() => {
                e.owner = owner;
                true
            }
            _ => false,
        }
    }

    /// How many connections have not finished their handshake.
    pub(crate) fn pending(&self) -> usize {
        let inner = self.inner.lock();
        inner
            .entries
            .iter()
            .filter(|e| e.owner == Owner::Pending)
            .count()
    }

    /// Cuts all connections of these owners.
    pub(crate) fn cut(&self, which: impl Fn(Owner) -> bool) {
        let inner = self.inner.lock();
        for e in inner.entries.iter().filter(|e| which(e.owner)) {
            e.cut.store(true, Ordering::Release);
            e.socket.shutdown();
        }
    }

    /// Cuts all, and whatever comes later.
    pub(crate) fn stop(&self) {
        self.inner.lock().stopping = true;
        self.cut(|_| true);
        self.changed.notify_all();
    }

    /// Waits, but not beyond the stop. False when stopping.
    pub(crate) fn pause(&self, d: Duration) -> bool {
        let mut inner = self.inner.lock();
        let until = Instant::now() + d;
        while !inner.stopping && !self.changed.wait_until(&mut inner, until).timed_out() {}
        !inner.stopping
    }
}
