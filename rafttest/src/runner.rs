//! Running many script files at once. Go: (none)

use crate::script::{Outcome, run_script};
use crate::{Error, walk};
use similar::TextDiff;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How files are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Replace expected outputs by actual ones rather than compare them.
    pub rewrite: bool,
    /// A violated property fails its script. For scripts that forge nothing and validate all changes; without it violations are only told.
    pub strict: bool,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileResult {
    /// The file.
    pub path: PathBuf,
    /// Whether it did what it expects, or was rewritten.
    pub passed: bool,
    /// For the reader: what differs, what is wrong, or that it was rewritten. Empty when there is nothing to say.
    pub text: String,
    /// Where its nodes violated the paper's properties, a line each.
    pub violations: String,
}

/// Runs all scripts at and below the paths on all cores. The results are in the order of the paths and names.
///
/// A path that cannot be read is one failed file.
///
/// ```no_run
/// use tickraft_rafttest::{Options, run_files};
/// let results = run_files(&["testdata".into()], Options::default());
/// assert!(results.iter().all(|r| r.passed));
/// ```
#[must_use]
pub fn run_files(paths: &[PathBuf], options: Options) -> Vec<FileResult> {
    let mut files = Vec::new();
    for path in paths {
        match walk(path) {
            Ok(found) => files.extend(found.into_iter().map(|f| (f, None))),
            Err(e) => files.push((path.clone(), Some(e))),
        }
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(files.len()));
    let work = || {
        while let Some((at, (path, e))) = claim(&files, &next) {
            let result = match e {
                Some(e) => failed(path, e),
                None => run_file(path, options),
            };
            // Nothing panics while the lock is held.
            if let Ok(mut results) = results.lock() {
                results.push((at, result));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(files.len()) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The next item that no thread has taken, with its place.
fn claim<'a, T>(items: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    items.get(at).map(|item| (at, item))
}

fn failed(path: &Path, e: &Error) -> FileResult {
    FileResult {
        path: path.to_owned(),
        passed: false,
        text: format!("{e}\n"),
        violations: String::new(),
    }
}

/// Runs one script file.
///
/// A panic, which only a fault of ours can cause, fails this file and no other.
#[must_use]
pub fn run_file(path: &Path, options: Options) -> FileResult {
    let run = || {
        let text = fs::read(path).map_err(|e| Error::io(path, &e))?;
        let text = String::from_utf8(text).map_err(|e| {
            let e = std::io::Error::new(std::io::ErrorKind::InvalidData, e);
            Error::io(path, &e)
        })?;
        let outcome = run_script(&path.display().to_string(), &text)?;
        judge(path, &text, &outcome, options)
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(result)) => result,
        Ok(Err(e)) => failed(path, &e),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            let e = Error::Panic {
                path: path.to_owned(),
                message: said.unwrap_or("without a message").to_owned(),
            };
            failed(path, &e)
        }
    }
}

fn judge(
    path: &Path,
    text: &str,
    outcome: &Outcome,
    options: Options,
) -> Result<FileResult, Error> {
    let rewritten = &outcome.report.rewritten;
    let differs = !outcome.report.failures.is_empty();
    let mut shown = String::new();
    if options.rewrite {
        if rewritten != text {
            fs::write(path, rewritten).map_err(|e| Error::io(path, &e))?;
            shown = format!("rewrote {}\n", path.display());
        }
    } else if differs {
        shown = diff(path, text, rewritten);
    }
    Ok(FileResult {
        path: path.to_owned(),
        passed: (options.rewrite || !differs) && (!options.strict || outcome.violations.is_empty()),
        text: shown,
        violations: outcome
            .violations
            .iter()
            .map(|v| format!("{v}\n"))
            .collect(),
    })
}

/// A unified diff from the script to what a rewriting would make of it.
fn diff(path: &Path, text: &str, rewritten: &str) -> String {
    let name = path.display().to_string();
    TextDiff::from_lines(text, rewritten)
        .unified_diff()
        .context_radius(5)
        .header(&name, &format!("{name} (actual)"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "vote cfg=(1) votes=(y)\n----\nVoteWon\n";
    const WRONG: &str = "vote cfg=(1) votes=(n)\n----\nVoteWon\n";

    #[test]
    fn files_are_judged_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).unwrap();
        put("a-right", RIGHT.as_bytes());
        put("b-wrong", WRONG.as_bytes());
        put("c-bytes", b"\xff\xfe");
        put("d-prose", b"Some words.\n");
        put("e-fatal", b"vote what=1\n----\n");
        let none = dir.path().join("none");
        let paths = [dir.path().to_owned(), none.clone()];
        let results = run_files(&paths, Options::default());
        let passed: Vec<bool> = results.iter().map(|r| r.passed).collect();
        assert_eq!(passed, [true, false, false, false, false, false]);
        assert_eq!(results[0].text, "");
        assert!(
            results[1].text.contains("\n-VoteWon\n+VoteLost\n"),
            "{}",
            results[1].text
        );
        for (at, part) in [
            (2, "utf-8"),
            (3, "not a script"),
            (4, "e-fatal:1: unknown arg what"),
            (5, "none: "),
        ] {
            assert!(results[at].text.contains(part), "{}", results[at].text);
        }
        assert_eq!(results[5].path, none);
    }

    #[test]
    fn rewriting_makes_a_script_right() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, WRONG).unwrap();
        let rewrite = Options {
            rewrite: true,
            ..Options::default()
        };
        let result = run_file(&path, rewrite);
        assert!(
            result.passed && result.text.starts_with("rewrote "),
            "{result:?}"
        );
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            WRONG.replace("Won", "Lost")
        );
        assert!(run_file(&path, Options::default()).passed);
        assert_eq!(run_file(&path, rewrite).text, "");
    }

    #[test]
    fn a_wrong_script_is_not_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let text = format!("{WRONG}\nvote what=1\n----\n");
        fs::write(&path, &text).unwrap();
        let rewrite = Options {
            rewrite: true,
            ..Options::default()
        };
        assert!(!run_file(&path, rewrite).passed);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
