//! One server: a node and its HTTP API, started and stopped together. Go: main.go, serveHTTPKVAPI

use crate::config::ServerConfig;
use crate::data::DataDir;
use crate::error::Error;
use crate::httpapi::{Api, Door, router};
use crate::kvstore::Op;
use crate::raft::{Exit, RaftHandle, RunningNode, start};
use axum::serve::ListenerExt;
use slog::{Logger, info, warn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A running server. Dropping it without [`shut_down`](Server::shut_down) or [`kill`](Server::kill) leaves it running.
#[must_use = "stop it with shut_down() or kill()"]
pub struct Server {
    node: RunningNode,
    http_addr: SocketAddr,
    close_http: oneshot::Sender<()>,
    http: JoinHandle<()>,
    publisher: JoinHandle<()>,
    log: Logger,
}

impl Server {
    /// Starts a server on its directory: a new one for a new member, or what an earlier run of this very member left. A first member of a new cluster waits until it
    /// has heard of a majority that nobody knows its id: it may have lost its disk.
    ///
    /// # Errors
    /// [`Error`]; nothing was left running.
    pub async fn start(config: ServerConfig, data: DataDir) -> Result<Self, Error> {
        config.validate()?;
        let log = config.logger.clone();
        let io = |e: std::io::Error| Error::Start(Box::new(e));
        config.http_listener.set_nonblocking(true).map_err(io)?;
        let http_listener = config.http_listener.try_clone().map_err(io)?;
        let http_addr = http_listener.local_addr().map_err(io)?;
        let http_listener = tokio::net::TcpListener::from_std(http_listener).map_err(io)?;
        let raft_listener = config.raft_listener.try_clone().map_err(io)?;
        let (close_http, closing) = oneshot::channel::<()>();
        // An answer is one small segment: it must not wait for an acknowledgement.
        let listener = http_listener.tap_io(|io| {
            let _ = io.set_nodelay(true);
        });
        let door = Door::default();
        let serving = axum::serve(listener, router(Arc::clone(&door)));
        let serving = serving.with_graceful_shutdown(async {
            // Dropped means the same.
            let _ = closing.await;
        });
        let http = tokio::spawn(async {
            // axum's accept loop has no errors of its own.
            let _ = serving.await;
        });
        let node = match start(&config, raft_listener, data).await {
            Ok(node) => node,
            Err(e) => {
                http.abort();
                return Err(e);
            }
        };
        // Set once, here.
        let _ = door.set(Api::new(node.handle.clone(), config.limits));
        let publisher = tokio::spawn(publish(
            node.handle.clone(),
            config.http_addr.clone(),
            config.tick,
        ));
        info!(log, "serving"; "http" => %http_addr, "raft" => &config.raft_addr);
        Ok(Self {
            node,
            http_addr,
            close_http,
            http,
            publisher,
            log,
        })
    }

    /// Where the HTTP API listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Waits until the node ends by itself: removed, or failed. The server is still to be shut down then.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.node.handle.exit();
        let ended = exit.wait_for(Option::is_some).await;
        match ended.ok().and_then(|e| e.clone()) {
            Some(exit) => exit,
            None => Exit::Stopped,
        }
    }

    /// Takes no new requests, hands leadership over, answers what is in flight, and stops.
    pub async fn shut_down(self) -> Exit {
        let raft = self.node.handle.clone();
        raft.drain();
        info!(self.log, "shutting down: no new requests");
        raft.hand_over().await;
        // The receiver is gone when the API has ended by itself.
        let _ = self.close_http.send(());
        let patience = raft.request_timeout() + Duration::from_secs(1);
        let mut http = self.http;
        if timeout(patience, &mut http).await.is_err() {
            warn!(self.log, "some clients did not take their answers");
            http.abort();
        }
        self.publisher.abort();
        let exit = stop(self.node, true).await;
        info!(self.log, "stopped");
        exit
    }

    /// Stops at once, telling nobody, and leaves on disk what is there: as a crash would.
    pub async fn kill(self) -> Exit {
        self.http.abort();
        self.publisher.abort();
        stop(self.node, false).await
    }
}

async fn stop(node: RunningNode, cleanly: bool) -> Exit {
    match tokio::task::spawn_blocking(move || node.stop(cleanly)).await {
        Ok(exit) => exit,
        Err(e) => Exit::Failed(e.to_string()),
    }
}

/// Tells the others where this node's HTTP API is and which life of its disk this is, once it is a member; again when that was not heard.
async fn publish(raft: RaftHandle, http: String, pause: Duration) {
    let mut exit = raft.exit();
    let publishing = async {
        loop {
            let known = raft.store().read(|s| s.members().get(raft.id()).cloned());
            let incarnation = raft.incarnation();
            match known {
                Some(m) if m.incarnation != 0 && m.incarnation != incarnation => {
                    return raft.lost_its_disk();
                }
                Some(m) if m.http == http && m.incarnation != 0 => return,
                Some(_) => {
                    // Whether it worked is seen in the table.
                    let _ = raft
                        .write(
                            Op::Publish {
                                id: raft.id(),
                                http: &http,
                                incarnation,
                            },
                            None,
                        )
                        .await;
                }
                None => {}
            }
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = publishing => {}
        _ = exit.wait_for(Option::is_some) => {}
    }
}
