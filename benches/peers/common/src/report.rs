//! The one line of JSON that a driver prints.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use crate::args::Bench;

/// Who is measured.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub name: &'static str,
    pub version: &'static str,
}

impl Peer {
    /// The peer `name` with the version that `lock`, the driver's Cargo.lock, holds of `package`.
    #[must_use]
    pub fn from_lock(name: &'static str, lock: &'static str, package: &str) -> Self {
        let head = format!("name = \"{package}\"\nversion = \"");
        let version = lock
            .split_once(&head)
            .and_then(|(_, rest)| rest.split_once('"'))
            .map_or("unknown", |(version, _)| version);
        Self { name, version }
    }

    fn head(self, bench: &Bench) -> Map<String, Value> {
        let (name, arguments) = bench.describe();
        let mut line = Map::new();
        line.insert("peer".into(), self.name.into());
        line.insert("version".into(), self.version.into());
        line.insert("bench".into(), name.into());
        line.extend(arguments);
        line
    }

    /// Prints the figures and the settings that they were measured with. Both are JSON objects.
    pub fn report(self, bench: &Bench, figures: Value, settings: Value) {
        let mut line = self.head(bench);
        if let Value::Object(figures) = figures {
            line.extend(figures);
        }
        line.insert("settings".into(), settings);
        println!("{}", Value::Object(line));
    }

    /// Prints that this driver does not measure `bench`, and why. This is an answer, not a failure.
    pub fn unsupported(self, bench: &Bench, reason: &str) {
        let mut line = self.head(bench);
        line.insert("unsupported".into(), reason.into());
        println!("{}", Value::Object(line));
    }
}

/// A running clock: wall time, and the processor time of all threads, which other load on the machine disturbs less.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    #[must_use]
    pub fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_seconds(),
        }
    }

    #[must_use]
    pub fn stop(self) -> Elapsed {
        Elapsed {
            seconds: self.wall.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds() - self.cpu,
        }
    }
}

/// What passed between a clock's start and its stop.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed {
    pub seconds: f64,
    pub cpu_seconds: f64,
}

impl Elapsed {
    /// `seconds`, `cpu_seconds` and `per_second` of `count` things.
    #[must_use]
    pub fn rate(self, count: u64) -> Value {
        json!({"seconds": self.seconds, "per_second": count as f64 / self.seconds, "cpu_seconds": self.cpu_seconds})
    }
}

fn cpu_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// The processor time that the calling thread has had.
#[must_use]
pub fn thread_cpu_seconds() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The median nanoseconds of one call, over rounds of about 50 ms each.
pub fn nanos_per_call(mut call: impl FnMut()) -> f64 {
    let mut calls = 1_u64;
    let mut round = |calls: u64| {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed().as_nanos() as f64
    };
    while round(calls) < 50e6 {
        calls *= 2;
    }
    median((0..11).map(|_| round(calls) / calls as f64))
}

/// What the bench `replication` says beside its rate; `None` where it was not asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replicated {
    /// Delivered while the clock ran.
    pub messages: u64,
    /// Of these, with `wire`.
    pub bytes: Option<u64>,
    /// Of an entry of a long log.
    pub resident_bytes: Option<f64>,
    /// What a slow node lacked at the end.
    pub lacking: Option<u64>,
}

impl Replicated {
    /// The figures of so many proposals.
    #[must_use]
    pub fn figures(self, elapsed: Elapsed, proposals: u64) -> Value {
        let each = |n: u64| n as f64 / proposals as f64;
        let mut figures = Map::new();
        figures.insert("messages_per_proposal".into(), each(self.messages).into());
        if let Some(bytes) = self.bytes {
            figures.insert("bytes_per_proposal".into(), each(bytes).into());
        }
        if let Some(bytes) = self.resident_bytes {
            figures.insert("resident_bytes_per_entry".into(), bytes.into());
        }
        if let Some(entries) = self.lacking {
            figures.insert("slow_lacks".into(), entries.into());
        }
        join([elapsed.rate(proposals), Value::Object(figures)])
    }
}

/// What the bench `replication` says of a node that was cut off.
#[derive(Clone, Copy, Debug)]
pub struct CaughtUp {
    /// As many proposals without it.
    pub without: Elapsed,
    /// And while it caught up.
    pub meanwhile: Elapsed,
    /// Until it first had all.
    pub after: Duration,
    /// The leader's longest turn.
    pub longest_turn: Duration,
    /// All its turns.
    pub turns: Duration,
}

impl CaughtUp {
    /// The figures of so many proposals.
    #[must_use]
    pub fn figures(self, proposals: u64) -> Value {
        let (before, now) = (self.without.seconds, self.meanwhile.seconds);
        join([
            self.meanwhile.rate(proposals),
            json!({"per_second_before": proposals as f64 / before, "of_before": before / now, "catch_up_seconds": self.after.as_secs_f64(),
                   "longest_turn_ms": self.longest_turn.as_secs_f64() * 1e3, "turns_ms": self.turns.as_secs_f64() * 1e3}),
        ])
    }
}

/// How long the groups of the bench `failover` were without a leader that can commit, and the processor time of one such change.
#[must_use]
pub fn failover(mut ticks: Vec<u64>, elapsed: Elapsed) -> Value {
    ticks.sort_unstable();
    let at = |percent: usize| ticks.get((ticks.len() * percent / 100).min(ticks.len() - 1));
    json!({"seconds": elapsed.seconds, "cpu_seconds": elapsed.cpu_seconds, "ticks_p50": at(50), "ticks_p99": at(99), "ticks_max": ticks.last(),
           "us_per_failover": elapsed.cpu_seconds * 1e6 / ticks.len() as f64})
}

/// The middle one, of an even number the upper of two; not a number when there is none.
#[must_use]
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = figures.into_iter().collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Joins JSON objects; later ones win.
#[must_use]
pub fn join<const N: usize>(parts: [Value; N]) -> Value {
    let mut all = Map::new();
    for part in parts {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}

/// Resident bytes of this process, or `None` where `/proc` does not tell.
#[must_use]
pub fn resident() -> Option<u64> {
    memory("VmRSS")
}

/// Resident bytes beyond `before`, for each of `count` things; nothing where `/proc` does not tell.
#[must_use]
pub fn resident_each(before: Option<u64>, count: u64) -> Option<f64> {
    let more = resident()?.saturating_sub(before?);
    Some(more as f64 / count.max(1) as f64)
}

/// A line of `/proc/self/status` in bytes: `VmRSS`, `VmHWM` (the peak) ...
#[must_use]
pub fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib = line.split_whitespace().next()?.parse::<u64>().ok()?;
    Some(kib * 1024)
}

/// Lets `VmHWM` start from what is resident now, where the system can.
pub fn reset_peak() {
    // Without it the peak is that of the whole run, which is more, not less.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// How the Rust drivers are built, printed with every figure.
#[must_use]
pub fn build() -> Value {
    json!({"profile": if cfg!(debug_assertions) { "debug" } else { "release" }, "lto": "thin", "codegen_units": 1, "allocator": "system"})
}
