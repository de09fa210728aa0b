//! The load: clients that write one after another, or writes that begin at given times.

use crate::args::Kv;
use crate::cluster::Cluster;
use crate::store::Store;
use crate::timer::Timer;
use peer_common::latency::Latencies;
use peer_common::report::{Clock, join};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The part of the timed window that runs before it.
const WARMUP: f64 = 0.3;
/// Keys in all; a client's are its own, so that nobody overwrites what it waits for.
const KEYS: u64 = 10_000;

/// What the clients share.
struct Window {
    from: Instant,
    to: Instant,
    latencies: Latencies,
    /// Writes that began and ended anywhere.
    all: Cell<u64>,
    /// Writes that ended within the window.
    ended: Cell<u64>,
}

impl Window {
    fn new(a: &Kv) -> Self {
        let length = Duration::from_secs_f64(a.seconds);
        let from = Instant::now() + length.mul_f64(WARMUP).max(Duration::from_millis(300));
        Self {
            from,
            to: from + length,
            latencies: Latencies::new(1),
            all: Cell::new(0),
            ended: Cell::new(0),
        }
    }

    fn record(&self, start: Instant) {
        let now = Instant::now();
        self.all.set(self.all.get() + 1);
        if now >= self.from && now <= self.to {
            self.ended.set(self.ended.get() + 1);
        }
        if start >= self.from && start <= self.to {
            self.latencies.record(0, now - start);
        }
    }
}

/// A client's number, and what it writes.
struct Writer {
    client: u64,
    clients: u64,
    count: Cell<u64>,
    value: RefCell<Vec<u8>>,
}

impl Writer {
    fn new(client: u64, a: &Kv) -> Self {
        let value = (0..a.value)
            .map(|i| b'a' + u8::try_from((i * 7 + client) % 26).unwrap_or(0))
            .collect();
        Self {
            client,
            clients: a.clients,
            count: Cell::new(0),
            value: RefCell::new(value),
        }
    }

    /// The next write; each value is another than all before.
    async fn write(&self, store: &Store) -> Result<(), String> {
        let n = self.count.replace(self.count.get() + 1);
        let own = (KEYS / self.clients).max(1);
        let key = format!("k{:08}", self.client * own + n % own);
        self.value.borrow_mut()[..16].copy_from_slice(format!("{n:016}").as_bytes());
        let value = self.value.borrow().clone();
        store.write(key.as_bytes(), &value).await
    }
}

/// Runs the load; the figures.
pub(crate) async fn run(
    cluster: &Cluster,
    stores: &[Rc<Store>],
    a: &Kv,
    rate: Option<f64>,
) -> Result<Value, String> {
    let polls = || stores.iter().map(|s| s.polls.get()).sum::<u64>();
    let window = Rc::new(Window::new(a));
    let before = polls();
    let watching = async {
        tokio::time::sleep_until(window.from.into()).await;
        let (clock, servers) = (Clock::start(), cluster.cpu_seconds());
        tokio::time::sleep_until(window.to.into()).await;
        (clock.stop(), cluster.cpu_seconds() - servers)
    };
    let loading = async {
        match rate {
            None => closed(stores, a, &window).await,
            Some(rate) => open(stores, a, &window, rate).await,
        }
    };
    let ((elapsed, servers), loaded) = tokio::join!(watching, loading);
    loaded?;
    let (recorded, percentiles) = window.latencies.summary();
    if recorded == 0 || window.ended.get() == 0 {
        return Err("no write was done within the window".into());
    }
    let ended = window.ended.get() as f64;
    let each = |seconds: f64| seconds * 1e6 / ended;
    let figures = json!({
        "loop": if rate.is_some() { "open" } else { "closed" }, "rate": rate, "seconds": a.seconds, "operations": window.ended.get(), "per_second": ended / elapsed.seconds,
        "server_cpu_us_per_op": each(servers), "load_cpu_us_per_op": each(elapsed.cpu_seconds), "reads_per_op": (polls() - before) as f64 / window.all.get() as f64,
    });
    Ok(join([figures, percentiles]))
}

/// Each client writes again as soon as its write is done.
async fn closed(stores: &[Rc<Store>], a: &Kv, window: &Rc<Window>) -> Result<(), String> {
    let mut clients = Vec::new();
    for (i, store) in (0..).zip(stores) {
        let (writer, store, window) = (Writer::new(i, a), Rc::clone(store), Rc::clone(window));
        clients.push(tokio::task::spawn_local(async move {
            loop {
                let start = Instant::now();
                if start > window.to {
                    return Ok(());
                }
                writer.write(&store).await?;
                window.record(start);
            }
        }));
    }
    join_all(clients).await
}

/// Writes that should have begun and have not.
struct Due {
    starts: RefCell<VecDeque<Instant>>,
    count: Semaphore,
}

/// Writes begin at equal distances, whether those before them are done or not. One that finds all clients busy waits for the first that is free, and that wait is part of its
/// latency: nothing is left out because the servers were slow (coordinated omission).
async fn open(stores: &[Rc<Store>], a: &Kv, window: &Rc<Window>, rate: f64) -> Result<(), String> {
    let due = Rc::new(Due {
        starts: RefCell::default(),
        count: Semaphore::new(0),
    });
    let mut clients = Vec::new();
    for (i, store) in (0..).zip(stores) {
        let (writer, store, window, due) = (
            Writer::new(i, a),
            Rc::clone(store),
            Rc::clone(window),
            Rc::clone(&due),
        );
        clients.push(tokio::task::spawn_local(async move {
            // Closed when the last write has begun.
            while let Ok(permit) = due.count.acquire().await {
                permit.forget();
                let start = due.starts.borrow_mut().pop_front();
                let Some(start) = start else { break };
                writer.write(&store).await?;
                window.record(start);
            }
            Ok(())
        }));
    }
    pace(&due, rate, window.to).await?;
    // Those that wait still are part of the picture.
    while !due.starts.borrow().is_empty() && clients.iter().any(|c| !c.is_finished()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    due.count.close();
    join_all(clients).await
}

async fn pace(due: &Due, rate: f64, to: Instant) -> Result<(), String> {
    let timer = Timer::new()?;
    let begin = Instant::now();
    for n in 0_u64.. {
        let start = begin + Duration::from_secs_f64(n as f64 / rate);
        if start > to {
            break;
        }
        timer.until(start).await?;
        due.starts.borrow_mut().push_back(start);
        due.count.add_permits(1);
    }
    Ok(())
}

async fn join_all(clients: Vec<tokio::task::JoinHandle<Result<(), String>>>) -> Result<(), String> {
    for client in clients {
        client.await.map_err(|e| e.to_string())??;
    }
    Ok(())
}
