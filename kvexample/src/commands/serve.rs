//! `kvexample serve`. Go: main.go

use super::{runtime, say};
use crate::cli::{PeerList, ServeArgs, Tuning};
use crate::error::Error;
use crate::httpapi::Limits;
use crate::{DataDir, Exit, Place, Server, ServerConfig, logging, random};
use slog::Logger;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use storage_wal::{DiskOptions, DiskStorage};

pub(super) fn run(args: ServeArgs, verbose: u8) -> Result<ExitCode, Error> {
    let (logger, _guard) = logging::stderr(verbose.saturating_add(1));
    let id = args.id;
    let runtime = runtime()?;
    let exit = runtime.block_on(serve(args, logger));
    // A client that does not hang up must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match exit? {
        Exit::Removed => {
            say(format!(
                "Node {} was removed from the cluster and has stopped.",
                id
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

/// How the tuning flags want the directory used.
pub(super) fn disk(t: &Tuning, logger: &Logger) -> DiskOptions {
    let wal = storage_wal::Options {
        segment_size: t.segment_bytes,
        reserve: t.reserve_bytes,
        keep_entries: t.catch_up_entries,
        logger: logger.clone(),
        ..storage_wal::Options::default()
    };
    DiskOptions {
        wal,
        snapshot_bytes: t.snapshot_bytes,
        snapshot_entries: t.snapshot_entries,
        ..DiskOptions::default()
    }
}

/// Where a node listens.
struct Sockets {
    raft: TcpListener,
    raft_addr: String,
    http: TcpListener,
    http_addr: String,
}

impl Sockets {
    /// For Raft at `at`, told to others as `told`.
    fn bind(args: &ServeArgs, at: SocketAddr, told: Option<&str>) -> Result<Self, Error> {
        let raft = listen(at, "the other nodes")?;
        let bound = raft.local_addr().unwrap_or(at);
        let http_at = SocketAddr::new(args.http_host, args.port);
        let http = listen(http_at, "HTTP")?;
        let http_bound = http.local_addr().unwrap_or(http_at);
        let advertised = args.advertise_http.clone();
        Ok(Self {
            raft,
            raft_addr: told.map_or_else(|| bound.to_string(), str::to_owned),
            http,
            http_addr: advertised.unwrap_or_else(|| http_bound.to_string()),
        })
    }
}

fn config(args: &ServeArgs, sockets: Sockets, logger: Logger) -> ServerConfig {
    let t = &args.tuning;
    ServerConfig {
        id: args.id,
        members: members(args).to_vec(),
        join: args.join,
        seed: random(),
        raft_listener: sockets.raft,
        raft_addr: sockets.raft_addr,
        http_listener: sockets.http,
        http_addr: sockets.http_addr,
        tick: Duration::from_millis(t.tick_ms),
        election_ticks: t.election_ticks,
        heartbeat_ticks: t.heartbeat_ticks,
        request_timeout: Duration::from_millis(t.request_timeout_ms),
        limits: limits(t),
        logger,
    }
}

fn members(args: &ServeArgs) -> &[(u64, String)] {
    args.cluster.as_ref().map_or(&[], PeerList::as_slice)
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

fn banner(args: &ServeArgs, sockets: &Sockets) -> Result<(), Error> {
    let (id, http, raft) = (args.id, &sockets.http_addr, &sockets.raft_addr);
    let how = match (args.join, members(args).len()) {
        (true, _) => "joins a running cluster".to_owned(),
        (false, 0) => "comes back".to_owned(),
        (false, n) => format!("is one of {n}"),
    };
    say(format!("Node {id} {how}. HTTP http://{http}, Raft {raft}."))
}

fn say_data(data: &DataDir) -> Result<(), Error> {
    say(format!(
        "Its data is in {} (incarnation {}): with that, it may be stopped, killed and started again.",
        data.path().display(),
        data.incarnation()
    ))
}

/// Binds, opens the directory, serves, and ends as asked or by itself.
async fn serve(args: ServeArgs, logger: Logger) -> Result<Exit, Error> {
    let give_up = Arc::new(AtomicBool::new(false));
    let starting = start(args, logger, Arc::clone(&give_up));
    let server = tokio::select! {
        server = starting => server?,
        () = terminated() => {
            give_up.store(true, Ordering::Relaxed);
            return Ok(Exit::Stopped);
        }
    };
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

/// The sockets come first where their addresses are known: a port that is taken must not leave a directory behind.
async fn start(args: ServeArgs, logger: Logger, give_up: Arc<AtomicBool>) -> Result<Server, Error> {
    let listed = args
        .cluster
        .as_ref()
        .and_then(|c| c.addr(args.id))
        .map(str::to_owned);
    let at = match (args.listen, &listed) {
        (Some(addr), _) => Some(addr),
        (None, Some(addr)) => Some(resolve(addr)?),
        (None, None) => None,
    };
    let mut sockets = None;
    if let Some(at) = at {
        let bound = Sockets::bind(&args, at, listed.as_deref())?;
        banner(&args, &bound)?;
        sockets = Some(bound);
    }
    let (args, data) = open(args, at.is_some(), &logger, give_up).await?;
    let sockets = match sockets {
        Some(sockets) => sockets,
        None => {
            let addr = data.own_address()?;
            let bound = Sockets::bind(&args, resolve(&addr)?, Some(&addr))?;
            banner(&args, &bound)?;
            bound
        }
    };
    say_data(&data)?;
    Server::start(config(&args, sockets, logger), data).await
}

async fn open(
    args: ServeArgs,
    has_address: bool,
    logger: &Logger,
    give_up: Arc<AtomicBool>,
) -> Result<(ServeArgs, DataDir), Error> {
    let logger = logger.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let default = || PathBuf::from(format!("./kvexample-{}", args.id));
        let path = args.data_dir.clone().unwrap_or_else(default);
        let options = disk(&args.tuning, &logger);
        if !has_address && !members(&args).is_empty() {
            // Before a directory is made for a node that cannot be reached.
            let exists = DiskStorage::exists(&path, &options);
            if !exists.map_err(|e| Error::data(&path, e))? {
                return Err(Error::Config(format!(
                    "node {} has no address: put it into --cluster, or give --listen",
                    args.id
                )));
            }
        }
        let place = Place {
            id: args.id,
            token: &args.token,
            members: members(&args),
            join: args.join,
            log: &logger,
        };
        let data = DataDir::open(&path, place, options, &give_up)?;
        Ok((args, data))
    });
    opening.await.map_err(|e| Error::Start(Box::new(e)))?
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
