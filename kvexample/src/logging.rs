//! Where the nodes log. Go: zap.NewExample() in raft.go

use slog::{Drain, Level, Logger, o};
use slog_async::AsyncGuard;

/// A logger to standard error; what is logged is written when the guard is dropped at the latest.
///
/// `level` 0 is silent, 1 shows what an operator wants to see, 2 and 3 what a developer does (debug and trace lines are compiled out of release builds).
#[must_use = "the guard writes what is left"]
pub fn stderr(level: u8) -> (Logger, Option<AsyncGuard>) {
    let level = match level {
        0 => return (Logger::root(slog::Discard, o!()), None),
        1 => Level::Info,
        2 => Level::Debug,
        _ => Level::Trace,
    };
    let decorator = slog_term::TermDecorator::new().stderr().build();
    let lines = slog_term::FullFormat::new(decorator).build().fuse();
    let filtered = lines.filter_level(level).fuse();
    // A terminal that does not keep up must not hold up the node: then lines are dropped and counted.
    let (drain, guard) = slog_async::Async::new(filtered)
        .chan_size(4096)
        .build_with_guard();
    (Logger::root(drain.fuse(), o!()), Some(guard))
}
