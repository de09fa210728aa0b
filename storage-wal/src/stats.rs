//! What a log counts, under etcd's metric names. Go: wal/metrics.go, snap/metrics.go

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets: 1 ms doubled 13 times, as etcd's.
const BUCKETS: usize = 14;

/// A histogram of durations with etcd's buckets: 1 ms, 2 ms, … 8.192 s, more.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many took at most 1 ms · 2^i; the last counts all the rest. Not cumulative.
    pub buckets: [u64; BUCKETS + 1],
    /// How many.
    pub count: u64,
    /// All together, in seconds.
    pub sum: f64,
}

/// What one log has done since it was opened. No globals: each instance counts for itself.
///
/// ```
/// let s = tickraft_storage_wal::Stats::default();
/// assert!(s.to_string().contains("etcd_disk_wal_fsync_duration_seconds_count 0"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// etcd_disk_wal_fsync_duration_seconds
    pub wal_fsync: Histogram,
    /// etcd_disk_wal_write_duration_seconds
    pub wal_write: Histogram,
    /// etcd_disk_wal_write_bytes_total
    pub wal_write_bytes: u64,
    /// etcd_snap_fsync_duration_seconds
    pub snap_fsync: Histogram,
    /// etcd_debugging_snap_save_total_duration_seconds
    pub snap_save: Histogram,
    /// tickraft_wal_segments: how many segments there are.
    pub segments: u64,
    /// tickraft_wal_records_total: records written.
    pub records: u64,
    /// tickraft_wal_read_back_entries_total: entries that were no longer in the cache.
    pub read_back: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Timer {
    buckets: [AtomicU64; BUCKETS + 1],
    micros: AtomicU64,
}

impl Timer {
    pub(crate) fn observe(&self, d: Duration) {
        let micros = u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        let n = (0..BUCKETS)
            .find(|i| micros <= 1000 << i)
            .unwrap_or(BUCKETS);
        if let Some(b) = self.buckets.get(n) {
            b.fetch_add(1, Relaxed);
        }
        self.micros.fetch_add(micros, Relaxed);
    }

    #[allow(clippy::cast_precision_loss)]
    fn read(&self) -> Histogram {
        let mut h = Histogram::default();
        for (to, from) in h.buckets.iter_mut().zip(&self.buckets) {
            *to = from.load(Relaxed);
        }
        h.count = h.buckets.iter().sum();
        h.sum = self.micros.load(Relaxed) as f64 / 1e6;
        h
    }
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) wal_fsync: Timer,
    pub(crate) wal_write: Timer,
    pub(crate) wal_write_bytes: AtomicU64,
    pub(crate) snap_fsync: Timer,
    pub(crate) snap_save: Timer,
    pub(crate) segments: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) read_back: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        Stats {
            wal_fsync: self.wal_fsync.read(),
            wal_write: self.wal_write.read(),
            wal_write_bytes: self.wal_write_bytes.load(Relaxed),
            snap_fsync: self.snap_fsync.read(),
            snap_save: self.snap_save.read(),
            segments: self.segments.load(Relaxed),
            records: self.records.load(Relaxed),
            read_back: self.read_back.load(Relaxed),
        }
    }
}

/// Prometheus's text format.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for (name, h) in [
            ("etcd_disk_wal_fsync_duration_seconds", &self.wal_fsync),
            ("etcd_disk_wal_write_duration_seconds", &self.wal_write),
            ("etcd_snap_fsync_duration_seconds", &self.snap_fsync),
            (
                "etcd_debugging_snap_save_total_duration_seconds",
                &self.snap_save,
            ),
        ] {
            write_histogram(&mut out, name, h)?;
        }
        for (name, v) in [
            ("etcd_disk_wal_write_bytes_total", self.wal_write_bytes),
            ("tickraft_wal_segments", self.segments),
            ("tickraft_wal_records_total", self.records),
            ("tickraft_wal_read_back_entries_total", self.read_back),
        ] {
            writeln!(out, "# TYPE {name} gauge\n{name} {v}")?;
        }
        f.write_str(&out)
    }
}

fn write_histogram(out: &mut String, name: &str, h: &Histogram) -> fmt::Result {
    writeln!(out, "# TYPE {name} histogram")?;
    let mut sum = 0;
    let mut bound = 0.001;
    for (i, n) in h.buckets.iter().enumerate() {
        sum += n;
        if i < BUCKETS {
            writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {sum}")?;
            bound *= 2.0;
        }
    }
    writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {sum}")?;
    writeln!(out, "{name}_sum {}\n{name}_count {}", h.sum, h.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_etcds() {
        let t = Timer::default();
        for us in [1, 1000, 1001, 8_192_000, 8_192_001] {
            t.observe(Duration::from_micros(us));
        }
        let h = t.read();
        assert_eq!(
            (h.buckets[0], h.buckets[1], h.buckets[13], h.buckets[14]),
            (2, 1, 1, 1)
        );
        let text = Stats {
            wal_fsync: h,
            ..Stats::default()
        }
        .to_string();
        assert!(text.contains("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 2\n"));
        assert!(text.contains("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"8.192\"} 4\n"));
        assert!(text.contains("etcd_disk_wal_fsync_duration_seconds_count 5\n"));
    }
}
