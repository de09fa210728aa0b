//! A TCP proxy that stalls and cuts the connections through it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Stands before one address. What it does to the connections is told from outside; all threads end when it is dropped.
pub struct Proxy {
    pub addr: String,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: String,
    stop: AtomicBool,
    stalled: AtomicBool,
    closed: AtomicBool,
    cuts: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

/// How often a thread looks whether it is to go on.
const LOOK: Duration = Duration::from_millis(20);

impl Proxy {
    /// A proxy on a port of its own, before `target`.
    pub fn before(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            target,
            stop: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            streams: Mutex::default(),
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = Some(std::thread::spawn(move || accept(&listener, &for_acceptor)));
        Self {
            addr,
            shared,
            acceptor,
        }
    }

    /// From now on nothing passes, though the connections stay, or everything passes again.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::SeqCst);
    }

    /// Cuts all connections; new ones may be made unless it is [closed](Self::close).
    pub fn cut(&self) {
        for s in self.shared.streams.lock().unwrap().drain(..) {
            let _ = s.shutdown(Shutdown::Both);
        }
        self.shared.cuts.fetch_add(1, Ordering::SeqCst);
    }

    /// Lets no new connection through, or again.
    pub fn close(&self, closed: bool) {
        self.shared.closed.store(closed, Ordering::SeqCst);
    }

    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the acceptor.
        let _ = TcpStream::connect(&self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for inbound in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(inbound) = inbound else { continue };
        if shared.closed.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(outbound) = TcpStream::connect(&shared.target) else {
            continue;
        };
        let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
        let mut streams = shared.streams.lock().unwrap();
        // The dead ones are dropped here, so that the list does not grow.
        streams.retain(|s| s.peer_addr().is_ok());
        streams.push(inbound.try_clone().unwrap());
        streams.push(outbound.try_clone().unwrap());
        drop(streams);
        for (from, to) in [(&inbound, &outbound), (&outbound, &inbound)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let shared = Arc::clone(shared);
            std::thread::spawn(move || pump(from, to, &shared));
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buf = vec![0; 64 << 10];
    let mut run = || -> std::io::Result<()> {
        loop {
            let n = from.read(&mut buf)?;
            while shared.stalled.load(Ordering::SeqCst) && !shared.stop.load(Ordering::SeqCst) {
                std::thread::sleep(LOOK);
            }
            if n == 0 {
                return Ok(());
            }
            to.write_all(&buf[..n])?;
        }
    };
    let _ = run();
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
