//! The command line, and where a rival's peak is kept between the closed and the open loops.

use crate::Rival;
use clap::{Args, Parser, Subcommand};
use serde_json::Value;
use std::path::PathBuf;

/// How many rounds back a peak is looked for.
const ROUNDS: usize = 5;

#[derive(Debug, Parser)]
#[command(
    about = "Measures three processes of a replicated key-value store; prints one line of JSON"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) bench: Bench,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Writes through the leader: as fast as the clients get their answers, or at a given rate.
    Kv(Kv),
    /// What one write cannot be faster than: fdatasync with three processes syncing, and a round trip over loopback.
    Disk(Disk),
    /// One of the three processes.
    #[command(hide = true)]
    Sync(Disk),
}

#[derive(Debug, Args)]
pub(crate) struct Kv {
    /// Writers with one write in flight each; in an open loop, the most writes in flight.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) clients: u64,
    /// Connections to etcd, over which the clients' calls are spread; the others have one a client.
    #[arg(long, default_value_t = 16)]
    pub(crate) conns: u64,
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Bytes a value.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    pub(crate) value: u64,
    /// An open loop with so many writes a second; a write's latency counts from when it should have begun.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// An open loop at so many percent of the best that the closed loops of `--of` reached in this folder.
    #[arg(long, requires = "of")]
    pub(crate) percent: Option<f64>,
    /// Whose peak.
    #[arg(long)]
    pub(crate) of: Option<String>,
    /// Where the servers' directories are made, and removed afterwards; and where peaks are kept.
    #[arg(long)]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Disk {
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Bytes written before each sync.
    #[arg(long, default_value_t = 384, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) bytes: u64,
    #[arg(long)]
    pub(crate) dir: PathBuf,
}

impl Kv {
    /// The rate of an open loop; `Some(Err)` when nobody has measured the peak it refers to.
    pub(crate) fn rate(&self) -> Result<Option<Result<f64, String>>, String> {
        let (percent, of) = match (self.rate, self.percent, &self.of) {
            (Some(rate), ..) => return Ok(Some(Ok(rate))),
            (None, Some(percent), Some(of)) => (percent, of),
            _ => return Ok(None),
        };
        let path = self.peaks(of);
        let Ok(text) = std::fs::read_to_string(&path) else {
            return Ok(Some(Err(format!(
                "the closed loop of {of} was not measured before"
            ))));
        };
        // Of each number of clients the median of the last rounds, and of those the best: one lucky round is no peak.
        let mut by_clients = std::collections::BTreeMap::<u64, Vec<f64>>::new();
        for line in text.lines() {
            let pair = line
                .split_once(' ')
                .and_then(|(c, r)| Some((c.parse().ok()?, r.parse().ok()?)));
            let (clients, rate) =
                pair.ok_or_else(|| format!("{} is not a list of peaks", path.display()))?;
            by_clients.entry(clients).or_default().push(rate);
        }
        let medians = by_clients.into_values().map(|mut all| {
            all.drain(..all.len().saturating_sub(ROUNDS));
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        });
        Ok(medians
            .reduce(f64::max)
            .map(|peak| Ok(peak * percent / 100.0)))
    }

    /// Remembers what a closed loop reached.
    pub(crate) fn record_peak(&self, rival: Rival, figures: &Value) -> Result<(), String> {
        use std::io::Write;
        let path = self.peaks(rival.name());
        let rate = figures["per_second"].as_f64().unwrap_or_default();
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path);
        let written = file.and_then(|mut f| writeln!(f, "{} {rate}", self.clients));
        written.map_err(|e| format!("{}: {e}", path.display()))
    }

    fn peaks(&self, of: &str) -> PathBuf {
        self.dir.join(format!("peaks-{of}"))
    }
}
