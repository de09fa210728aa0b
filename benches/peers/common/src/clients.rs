//! Clients that write one command at a time, as tokio tasks.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::Clients;
use crate::latency::Latencies;
use crate::report::{Clock, join};

/// The part of the timed window that runs before it.
const WARMUP: f64 = 0.2;

/// Lets `a.clients` tasks call `write`, each waiting for its answer before the next call, and records the calls that lie whole
/// inside the timed window. Returns how many calls were answered in all, and the figures.
///
/// `write` gets the number of the task; it panics where the library refuses the command.
pub async fn measure<W, F>(a: &Clients, write: W) -> (u64, Value)
where
    W: Fn(u64) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let length = Duration::from_secs_f64(a.seconds);
    let from = Instant::now() + length.mul_f64(WARMUP).max(Duration::from_millis(200));
    let to = from + length;
    let stop = Arc::new(AtomicBool::new(false));
    let latencies = Arc::new(Latencies::new(16));
    let client = |task: u64| {
        let (write, stop, latencies) = (write.clone(), stop.clone(), latencies.clone());
        tokio::spawn(async move {
            let mut calls = 0;
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                write(task).await;
                calls += 1;
                if start >= from && Instant::now() <= to {
                    latencies.record(task as usize, start.elapsed());
                }
            }
            calls
        })
    };
    let tasks: Vec<_> = (0..a.clients).map(client).collect();
    tokio::time::sleep_until(from.into()).await;
    let clock = Clock::start();
    tokio::time::sleep_until(to.into()).await;
    let elapsed = clock.stop();
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for task in tasks {
        answered += task.await.expect("every command is answered");
    }
    let (operations, percentiles) = latencies.summary();
    assert!(operations > 0, "no command was answered within the window");
    let rate = json!({"seconds": a.seconds, "operations": operations, "per_second": operations as f64 / a.seconds, "cpu_seconds": elapsed.cpu_seconds});
    (answered, join([rate, percentiles]))
}
