//! `kvexample serve`. Go: main.go

use super::{runtime, say};
use crate::cli::{ServeArgs, Tuning};
use crate::error::Error;
use crate::httpapi::Limits;
use crate::{Exit, Server, ServerConfig, cluster_id, logging, random};
use slog::Logger;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;
use storage_mem::MemoryStorage;

pub(super) fn run(args: ServeArgs, verbose: u8) -> Result<ExitCode, Error> {
    let (logger, _guard) = logging::stderr(verbose.saturating_add(1));
    let config = config(&args, logger)?;
    banner(&config)?;
    let runtime = runtime()?;
    let exit = runtime.block_on(serve(config))?;
    // A client that does not hang up must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match exit {
        Exit::Removed => {
            say(format!(
                "Node {} was removed from the cluster and has stopped.",
                args.id
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Exit::Failed(why) => Err(Error::Stopped(why)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// What the tuning flags say.
pub(super) fn limits(t: &Tuning) -> Limits {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Limits {
        body: size(t.max_body),
        bytes: size(t.max_bytes_in_flight),
        requests: size(t.max_requests_in_flight),
        ..Limits::default()
    }
}

fn config(args: &ServeArgs, logger: Logger) -> Result<ServerConfig, Error> {
    let t = &args.tuning;
    let listed = args.cluster.addr(args.id);
    let raft_at = match (args.listen, listed) {
        (Some(addr), _) => addr,
        (None, Some(addr)) => resolve(addr)?,
        (None, None) => {
            return Err(Error::Config(format!(
                "node {} has no address: put it into --cluster, or give --listen",
                args.id
            )));
        }
    };
    let raft_listener = listen(raft_at, "the other nodes")?;
    let bound = raft_listener.local_addr().unwrap_or(raft_at);
    let http_at = SocketAddr::new(args.http_host, args.port);
    let http_listener = listen(http_at, "HTTP")?;
    let http_bound = http_listener.local_addr().unwrap_or(http_at);
    Ok(ServerConfig {
        id: args.id,
        members: args.cluster.as_slice().to_vec(),
        join: args.join,
        cluster: cluster_id(&args.token),
        // Memory lasts as long as the process: each process is another life.
        incarnation: random() | 1,
        seed: random(),
        raft_addr: listed.map_or_else(|| bound.to_string(), str::to_owned),
        raft_listener,
        http_addr: args
            .advertise_http
            .clone()
            .unwrap_or_else(|| http_bound.to_string()),
        http_listener,
        tick: Duration::from_millis(t.tick_ms),
        election_ticks: t.election_ticks,
        heartbeat_ticks: t.heartbeat_ticks,
        request_timeout: Duration::from_millis(t.request_timeout_ms),
        limits: limits(t),
        snapshot_entries: t.snapshot_entries,
        catch_up_entries: t.catch_up_entries,
        logger,
    })
}

fn resolve(addr: &str) -> Result<SocketAddr, Error> {
    let mut found = addr
        .to_socket_addrs()
        .map_err(|e| Error::Config(format!("{addr}: {e}")))?;
    found
        .next()
        .ok_or_else(|| Error::Config(format!("{addr} has no address")))
}

fn listen(addr: SocketAddr, what: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind(addr).map_err(|source| Error::Listen { addr, what, source })
}

fn banner(c: &ServerConfig) -> Result<(), Error> {
    let (id, http) = (c.id, &c.http_addr);
    let how = match c.join {
        true => "waits to be added to a running cluster".to_owned(),
        false => format!("is one of {}", c.members.len()),
    };
    say(format!(
        "Node {id} {how}. HTTP http://{http}, Raft {}.",
        c.raft_addr
    ))?;
    say(format!(
        "Its log is in memory: when this process ends, what it knew is gone, and it must not come back as node {id}. \
         Then remove it (kvexample members remove {id}), and join a new node under a new id."
    ))
}

async fn serve(config: ServerConfig) -> Result<Exit, Error> {
    let server = Server::start(config, MemoryStorage::new()).await?;
    let exit = tokio::select! {
        _ = server.ended() => server.shut_down().await,
        () = terminated() => {
            tokio::select! {
                exit = server.shut_down() => exit,
                // The second request is not to be discussed.
                () = terminated() => Exit::Failed("interrupted while shutting down".into()),
            }
        }
    };
    Ok(exit)
}

/// SIGTERM or Ctrl-C.
pub(super) async fn terminated() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = term.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler there is nothing to wait for; the system's own ending of the process remains.
        std::future::pending::<()>().await;
    }
}
