//! What a command prints: the handler's own text and the nodes' log lines, in the order they come. Go: rafttest/interaction_env_logger.go

use slog::{Drain, Level, OwnedKVList, Record};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names of the levels, as scripts write them. The last one silences the handler too.
pub const LEVEL_NAMES: [&str; 6] = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"];

/// Gathers a command's output. Clones share it; [`logger`](RedirectLogger::logger) gives the loggers of nodes. Go: RedirectLogger
///
/// ```
/// use tickraft_rafttest::RedirectLogger;
/// let out = RedirectLogger::default();
/// let logger = out.logger();
/// slog::debug!(logger, "{:x} became follower", 10);
/// out.set_level(2);
/// slog::info!(logger, "not shown");
/// out.write("done\n");
/// assert_eq!(out.text(), "DEBUG a became follower\ndone\n");
/// ```
#[derive(Clone, Debug, Default)]
pub struct RedirectLogger {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    text: String,
    /// What was written before each indented section that is open.
    outer: Vec<String>,
    level: usize,
}

impl RedirectLogger {
    /// A logger whose lines go here, with their level in front.
    pub fn logger(&self) -> slog::Logger {
        slog::Logger::root(LevelDrain(self.clone()).fuse(), slog::o!())
    }

    /// The level below which lines are left out: a place in [`LEVEL_NAMES`].
    #[must_use]
    pub fn level(&self) -> usize {
        self.lock().level
    }

    /// Sets the level: a place in [`LEVEL_NAMES`].
    pub fn set_level(&self, level: usize) {
        self.lock().level = level;
    }

    /// Whether nothing is shown, not even what the handler writes.
    #[must_use]
    pub fn quiet(&self) -> bool {
        self.level() + 1 == LEVEL_NAMES.len()
    }

    /// Adds text, unless quiet.
    pub fn write(&self, text: &str) {
        let mut shared = self.lock();
        if shared.level + 1 < LEVEL_NAMES.len() {
            shared.text.push_str(text);
        }
    }

    /// Adds text and a line's end, unless quiet.
    pub fn write_line(&self, text: &str) {
        self.write(text);
        self.write("\n");
    }

    /// What was written since the last [`reset`](RedirectLogger::reset).
    #[must_use]
    pub fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Forgets what was written.
    pub fn reset(&self) {
        self.lock().text.clear();
    }

    /// Opens a section that [`dedent`](RedirectLogger::dedent) closes.
    pub(super) fn indent(&self) {
        let mut shared = self.lock();
        let text = std::mem::take(&mut shared.text);
        shared.outer.push(text);
    }

    /// Closes a section: its lines get two blanks in front, and the last one an end.
    pub(super) fn dedent(&self) {
        let mut shared = self.lock();
        let outer = shared.outer.pop().unwrap_or_default();
        let section = std::mem::replace(&mut shared.text, outer);
        for line in section.lines() {
            shared.text.push_str("  ");
            shared.text.push_str(line);
            shared.text.push('\n');
        }
    }

    /// The lock is never held across code that could panic, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes records as `LEVEL message`. Their key-value pairs are not shown: etcd has none.
struct LevelDrain(RedirectLogger);

impl Drain for LevelDrain {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        let level = match record.level() {
            // etcd has no such level.
            Level::Trace => return Ok(()),
            Level::Debug => 0,
            Level::Info => 1,
            Level::Warning => 2,
            Level::Error => 3,
            Level::Critical => 4,
        };
        if level >= self.0.level()
            && let Some(name) = LEVEL_NAMES.get(level)
        {
            let message = record.msg().to_string();
            let end = if message.ends_with('\n') { "" } else { "\n" };
            self.0.write(&format!("{name} {message}{end}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_name_the_lines() {
        let out = RedirectLogger::default();
        let logger = out.logger();
        let log_all = || {
            slog::trace!(logger, "t");
            slog::debug!(logger, "d");
            slog::info!(logger, "i"; "key" => "value");
            slog::warn!(logger, "w");
            slog::error!(logger, "e\n");
            slog::crit!(logger, "c");
        };
        log_all();
        assert_eq!(out.text(), "DEBUG d\nINFO i\nWARN w\nERROR e\nFATAL c\n");
        for (level, lines) in [(0, 5), (1, 4), (2, 3), (3, 2), (4, 1), (5, 0)] {
            out.reset();
            out.set_level(level);
            log_all();
            assert_eq!(out.text().lines().count(), lines, "level {level}");
        }
        assert!(out.quiet());
        out.write("x");
        assert_eq!(out.text(), "");
    }

    #[test]
    fn sections_nest() {
        let out = RedirectLogger::default();
        out.write("a\n");
        out.indent();
        out.write("b\n");
        out.indent();
        out.write("c\n\nd");
        out.dedent();
        out.dedent();
        assert_eq!(out.text(), "a\n  b\n    c\n    \n    d\n");
    }
}
