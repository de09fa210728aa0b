//! Pauses of less than a millisecond.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;

/// The runtime's timer knows milliseconds only; the kernel's is exact to some microseconds.
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(
        deprecated,
        reason = "unsound for types that change their descriptor, which OwnedFd does not; its successor is unsafe"
    )]
    pub(crate) fn new() -> Result<Self, String> {
        let fd = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        );
        let fd = fd.map_err(|e| e.to_string())?;
        AsyncFd::new(fd).map(Self).map_err(|e| e.to_string())
    }

    pub(crate) async fn until(&self, when: Instant) -> Result<(), String> {
        let left = when.saturating_duration_since(Instant::now());
        if left < Duration::from_micros(5) {
            // The others have their turn all the same.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let it_value = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)
            .map_err(|e| e.to_string())?;
        loop {
            let mut ready = self.0.readable().await.map_err(|e| e.to_string())?;
            match rustix::io::read(self.0.get_ref(), &mut [0; 8]) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(e) => return Err(e.to_string()),
            }
        }
    }
}
