//! Latencies of many tasks, in one histogram.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Histograms that tasks share by number, so that recording meets no contention and thousands of tasks need few of them.
pub struct Latencies(Vec<Mutex<Histogram<u64>>>);

impl Latencies {
    /// `shards` histograms of nanoseconds with three significant digits.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let histogram = || Histogram::new(3).expect("three digits are in range");
        Self(
            (0..shards.max(1))
                .map(|_| Mutex::new(histogram()))
                .collect(),
        )
    }

    /// Records one latency of task `task`.
    pub fn record(&self, task: usize, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let shard = &self.0[task % self.0.len()];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        // Not `saturating_record`: only `record` grows the histogram.
        shard.record(nanos).expect("the histogram grows");
    }

    /// The number of records and the percentiles in microseconds.
    #[must_use]
    pub fn summary(&self) -> (u64, Value) {
        let mut all: Histogram<u64> = Histogram::new(3).expect("three digits are in range");
        for shard in &self.0 {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.add(&*shard).expect("the sum resizes itself");
        }
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let at = |q| micros(all.value_at_quantile(q));
        let percentiles = json!({"p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999), "max_us": micros(all.max())});
        (all.len(), percentiles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_in_microseconds() {
        let latencies = Latencies::new(4);
        for i in 1..=1000 {
            latencies.record(i, Duration::from_micros(i as u64));
        }
        let (count, percentiles) = latencies.summary();
        assert_eq!(count, 1000);
        let near = |name: &str, micros: f64| {
            let got = percentiles[name].as_f64().unwrap();
            assert!((got / micros - 1.0).abs() < 0.002, "{name}: {got}");
        };
        near("p50_us", 500.0);
        near("p99_us", 990.0);
        near("max_us", 1000.0);
    }
}
