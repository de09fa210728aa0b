//! What the operating system says of this process. Linux only; elsewhere zeros.

use std::time::{Duration, Instant};

/// Wall clock and processor time of the calling thread.
pub(crate) struct Watch {
    began: Instant,
    cpu: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
            cpu: on_cpu(),
        }
    }

    /// Both, since the start.
    pub(crate) fn read(&self) -> (Duration, Duration) {
        (self.began.elapsed(), on_cpu().saturating_sub(self.cpu))
    }
}

fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        text.split_whitespace()
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0),
    )
}

/// Memory of this process in KiB, by its name in /proc/self/status.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The most memory since a moment.
pub(crate) struct Peak {
    before: u64,
}

impl Peak {
    pub(crate) fn watch() -> Self {
        // 5 sets the high-water mark back to what is resident now.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self {
            before: memory("VmRSS"),
        }
    }

    /// How far it rose, in MiB.
    pub(crate) fn mib(&self) -> u64 {
        memory("VmHWM").saturating_sub(self.before) / 1024
    }
}
