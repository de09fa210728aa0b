//! The transport: peers, and what is sent to them. Go: rafthttp/transport.go

use crate::config::is_node_id;
use crate::core::{Core, Report, find, report_loop};
use crate::peer::Peer;
use crate::queue::Pusher;
use crate::sockets::Owner;
use crate::status::{PeerStatus, Status, add};
use crate::{Config, Error, Handler, listener, writer};
use parking_lot::Mutex;
use raftpb::{Message, MessageType, SnapshotStatus, is_local_msg};
use slog::{Logger, info, o};
use std::fmt;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Sends messages to peers and takes messages from them. Go: rafthttp.Transport, Transporter
///
/// Share it in an `Arc`. Dropping it stops it. See the [crate's page](crate) for an example.
#[doc(alias = "Transporter")]
pub struct Transport {
    core: Arc<Core>,
    local_addr: SocketAddr,
    listener: Mutex<Option<Arc<TcpListener>>>,
    joining: Mutex<()>,
}

impl Transport {
    /// Listens at `address` (port 0 for any) and starts. Go: Start
    ///
    /// # Errors
    /// [`Error::Config`], or [`Error::Io`] when the address cannot be bound or a thread not started; nothing runs then.
    #[doc(alias = "Start")]
    pub fn bind(
        config: Config,
        address: impl ToSocketAddrs,
        handler: Arc<dyn Handler>,
        log: &Logger,
    ) -> Result<Self, Error> {
        config.validate()?;
        let listener = TcpListener::bind(address).map_err(|e| Error::io("bind", e))?;
        Self::with_listener(config, listener, handler, log)
    }

    /// Starts on a listener that the caller made; a blocking one.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn with_listener(
        config: Config,
        listener: TcpListener,
        handler: Arc<dyn Handler>,
        log: &Logger,
    ) -> Result<Self, Error> {
        config.validate()?;
        let local_addr = listener
            .local_addr()
            .map_err(|e| Error::io("read the listener's address", e))?;
        let log = log.new(o!("local-member-id" => config.id));
        let (core, reports) = Core::new(config, handler, log);
        let listener = Arc::new(listener);
        let transport = Self {
            core,
            local_addr,
            listener: Mutex::new(Some(Arc::clone(&listener))),
            joining: Mutex::default(),
        };
        // On an error the transport is dropped, which ends what was started.
        let core = &transport.core;
        core.spawn("raft-report".into(), move |core| {
            report_loop(core, &reports);
        })?;
        core.spawn("raft-accept".into(), move |core| {
            listener::run(core, &listener);
        })?;
        info!(core.log, "started transport"; "address" => %local_addr);
        Ok(transport)
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Sends each message to the peer that its `to` names, and never waits for a peer: a message that finds no place in its peer's queue is
    /// dropped, counted and reported, as Raft allows.
    ///
    /// - `to` 0 is skipped, as etcd's transport does.
    /// - A MsgSnap goes on a connection of its own; its end is reported with [`Handler::report_snapshot`].
    /// - A `to` that is not a peer, and a type that never leaves its node, are counted in [`Status`]; a MsgSnap among them is
    ///   reported as failed, since the leader waits for a report.
    ///
    /// Messages to one peer arrive in order as long as its connection lasts. `messages` must not call back into this transport.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use tickraft_transport_tcp::{BoxError, Config, Handler, Transport, raftpb::*, slog};
    /// # struct Ignore;
    /// # impl Handler for Ignore {
    /// #     fn process(&self, _: Message) -> Result<(), BoxError> { Ok(()) }
    /// #     fn is_id_removed(&self, _: u64) -> bool { false }
    /// #     fn report_unreachable(&self, _: u64) {}
    /// #     fn report_snapshot(&self, _: u64, _: SnapshotStatus) {}
    /// # }
    /// # let log = slog::Logger::root(slog::Discard, slog::o!());
    /// let t = Transport::bind(Config::new(7, 1), "127.0.0.1:0", Arc::new(Ignore), &log)?;
    /// let to = |to| Message { to, from: 1, ..Message::new(MessageType::MsgHeartbeat) };
    /// t.send([to(0), to(5)]);
    /// assert_eq!(t.status().unknown_target, 1);
    /// # Ok::<(), tickraft_transport_tcp::Error>(())
    /// ```
    #[doc(alias = "SendSnapshot")]
    pub fn send(&self, messages: impl IntoIterator<Item = Message>) {
        let peers = self.core.peers.read();
        // A run of messages to one peer takes its queue's lock once.
        let mut open: Option<(&Arc<Peer>, Pusher<'_>)> = None;
        for m in messages {
            if m.to == raftpb::NONE {
                continue;
            }
            if m.msg_type == MessageType::MsgSnap {
                // Starting a thread takes longer than a queue is to be held.
                open = None;
                self.send_snapshot(&peers, m);
                continue;
            }
            if is_local_msg(m.msg_type) {
                self.core.local_type.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if open.as_ref().is_none_or(|(p, _)| p.id != m.to) {
                // The old one is let go before the new one is taken.
                drop(open.take());
                open = find(&peers, m.to).map(|p| (p, p.queue.pusher()));
            }
            match &mut open {
                Some((peer, pusher)) => match pusher.push(m) {
                    crate::queue::Pushed::Queued => {}
                    dropped => peer.dropped(&self.core, dropped),
                },
                None => {
                    self.core.unknown_target.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn send_snapshot(&self, peers: &[Arc<Peer>], m: Message) {
        match find(peers, m.to) {
            Some(peer) => peer.send_snapshot(&self.core, m),
            None => {
                self.core.unknown_target.fetch_add(1, Ordering::Relaxed);
                self.core
                    .report(Report::Snapshot(m.to, SnapshotStatus::Failure));
            }
        }
    }

    /// Adds a peer and starts to connect to it. An id that is there already keeps its address: see
    /// [`update_peer`](Self::update_peer). Go: AddPeer
    ///
    /// `address` is `host:port`; a name is resolved at each attempt to connect.
    ///
    /// # Errors
    /// [`Error::InvalidPeer`], [`Error::Stopped`], or [`Error::Io`] when no thread can be started; nothing changed then.
    pub fn add_peer(&self, id: u64, address: &str) -> Result<(), Error> {
        if !is_node_id(id) || id == self.core.config.id {
            return Err(Error::InvalidPeer { id });
        }
        let mut peers = self.core.peers.write();
        if self.core.is_stopping() {
            return Err(Error::Stopped);
        }
        let Err(at) = peers.binary_search_by_key(&id, |p| p.id) else {
            return Ok(());
        };
        let peer = Peer::new(&self.core.config, id, self.core.next_uid(), address);
        let p = Arc::clone(&peer);
        self.core.spawn(format!("raft-send-{id}"), move |core| {
            writer::run(core, &p);
        })?;
        peers.insert(at, peer);
        info!(self.core.log, "added remote peer"; "remote-peer-id" => id, "remote-peer-address" => address);
        Ok(())
    }

    /// Changes where a peer is dialled and connects there at once; what waits for it goes there. False when the id is not a peer. Go: UpdatePeer
    #[doc(alias = "UpdatePeer")]
    pub fn update_peer(&self, id: u64, address: &str) -> bool {
        let Some(peer) = self.core.peer(id) else {
            return false;
        };
        if peer.update(address) {
            let owner = Owner::Messages { uid: peer.uid };
            self.core.sockets.cut(|o| o == owner);
            peer.queue.nudge();
            info!(self.core.log, "updated remote peer"; "updated-remote-peer-id" => id, "remote-peer-address" => address);
        }
        true
    }

    /// Removes a peer: what waits for it is still written if it is connected, its own connections are cut, and from now on it is
    /// refused as unknown, or as [removed](Handler::is_id_removed). False when the id is not a peer. Go: RemovePeer
    #[doc(alias = "RemovePeer")]
    pub fn remove_peer(&self, id: u64) -> bool {
        let peer = {
            let mut peers = self.core.peers.write();
            let Ok(at) = peers.binary_search_by_key(&id, |p| p.id) else {
                return false;
            };
            peers.remove(at)
        };
        self.end(&peer);
        true
    }

    /// Removes all peers. Go: RemoveAllPeers
    #[doc(alias = "RemoveAllPeers")]
    pub fn remove_all(&self) {
        let peers = std::mem::take(&mut *self.core.peers.write());
        for peer in &peers {
            self.end(peer);
        }
    }

    fn end(&self, peer: &Arc<Peer>) {
        peer.queue.close(true);
        self.core.sockets.cut(|o| match o {
            Owner::Inbound { from, .. } => from == peer.id,
            Owner::Snapshot { uid } => uid == peer.uid,
            _ => false,
        });
        info!(self.core.log, "removed remote peer"; "removed-remote-peer-id" => peer.id);
    }

    /// Since when there is a connection to a peer; `None` when there is none, or no such peer. Go: ActiveSince
    #[must_use]
    #[doc(alias = "ActiveSince")]
    pub fn active_since(&self, id: u64) -> Option<Instant> {
        self.core.peer(id)?.health.active_since()
    }

    /// To how many peers there is a connection. Go: ActivePeers
    #[must_use]
    #[doc(alias = "ActivePeers")]
    pub fn active_peers(&self) -> usize {
        let peers = self.core.peers.read();
        peers
            .iter()
            .filter(|p| p.health.active_since().is_some())
            .count()
    }

    /// One peer's counters.
    #[must_use]
    pub fn peer_status(&self, id: u64) -> Option<PeerStatus> {
        Some(self.core.peer(id)?.status())
    }

    /// All counters.
    #[must_use]
    pub fn status(&self) -> Status {
        let peers = self.core.peers.read();
        Status {
            peers: peers.iter().map(|p| p.status()).collect(),
            refusals: self.core.refusals.read(),
            unknown_target: self.core.unknown_target.load(Ordering::Relaxed),
            local_type: self.core.local_type.load(Ordering::Relaxed),
        }
    }

    /// Closes all connections and the listener, and waits for all threads: for callbacks that run, too, so what they wait for must end first. Called from
    /// a callback it does not wait. A second call does nothing but wait. Go: Stop
    ///
    /// Messages that wait are dropped, and nothing is reported any more. The resolving of a host name cannot be cut short: it is waited for.
    #[doc(alias = "Stop")]
    pub fn stop(&self) {
        self.core.stop_spawning();
        for peer in self.core.peers.read().iter() {
            add(&peer.counters.dropped, peer.queue.close(false));
        }
        self.core.sockets.stop();
        if let Some(listener) = self.listener.lock().take() {
            self.wake(&listener);
            info!(self.core.log, "stopped transport");
        }
        self.core.report(Report::Stop);
        if !self.core.is_own_thread() {
            let _joining = self.joining.lock();
            self.core.join();
        }
    }

    /// Ends a blocking accept: on Linux a shutdown does, elsewhere it takes a connection.
    fn wake(&self, listener: &TcpListener) {
        let shut = socket2::SockRef::from(listener).shutdown(std::net::Shutdown::Both);
        if shut.is_err() || cfg!(not(target_os = "linux")) {
            let mut to = self.local_addr;
            if to.ip().is_unspecified() {
                let loopback: std::net::IpAddr = match to {
                    SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                };
                to.set_ip(loopback);
            }
            let _ = std::net::TcpStream::connect_timeout(&to, self.core.config.dial_timeout);
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("id", &self.core.config.id)
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}
