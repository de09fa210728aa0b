//! The thread that syncs the mark once writes pause. Go: none

use super::*;

/// The thread that syncs the mark once writes pause.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) thread: JoinHandle<()>,
}

pub(super) fn start_idle(wal: &SharedWal, after: Duration, logger: &Logger) -> Option<Idle> {
    let stop = Arc::new(AtomicBool::new(false));
    let (wal, stopped, log) = (Arc::clone(wal), Arc::clone(&stop), logger.clone());
    let run = move || {
        while !stopped.load(Ordering::Relaxed) {
            thread::park_timeout(after);
            let mut guard = wal.lock();
            let Some(w) = guard.as_mut() else { return };
            if w.idle_since().is_some_and(|t| t.elapsed() >= after)
                && let Err(e) = w.sync_mark()
            {
                warn!(log, "cannot sync the mark"; "error" => %e);
            }
        }
    };
    let thread = thread::Builder::new()
        .name("wal-mark".into())
        .spawn(run)
        .ok()?;
    Some(Idle { stop, thread })
}
