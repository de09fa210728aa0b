//! The script format: directives, their arguments and their expected output. Go: github.com/cockroachdb/datadriven
//!
//! ```text
//! # a comment
//! command arg arg=value arg=(value, value)
//! input, as many lines as it takes
//! ----
//! expected output, up to a blank line
//! ```
//!
//! Output with blank lines stands between two pairs of separators:
//!
//! ```text
//! command
//! ----
//! ----
//! output
//!
//! more output
//! ----
//! ----
//! ```
//!
//! Arguments keep their order and may repeat: scripts use both.

mod line;
mod reader;
mod run;
mod scan;

pub use line::{LineError, parse_line};
pub use reader::{Reader, Step};
pub use run::{Failure, Report, run_test};
pub use scan::{Scan, parse_bool, parse_int, parse_uint};

use std::fmt;

/// What makes a script wrong rather than its output: it ends the run. Go: testing.T.Fatal
///
/// ```
/// use tickraft_rafttest::datadriven::{CmdArg, Fatal};
/// let arg = CmdArg { key: "index".into(), vals: vec!["ten".into()] };
/// let err: Fatal = arg.scan::<u64>(0).unwrap_err();
/// assert_eq!(err.to_string(), "strconv.ParseUint: parsing \"ten\": invalid syntax");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(
    /// What is wrong.
    pub String,
);

impl From<String> for Fatal {
    fn from(s: String) -> Self {
        Self(s)
    }
}

impl From<&str> for Fatal {
    fn from(s: &str) -> Self {
        Self(s.to_owned())
    }
}

/// An argument of a directive: `key`, `key=value` or `key=(value, value)`. Go: CmdArg
///
/// ```
/// use tickraft_rafttest::datadriven::parse_line;
/// let (cmd, args) = parse_line("add-nodes 3 voters=(1, 2) index=10").unwrap();
/// assert_eq!(cmd, "add-nodes");
/// assert_eq!(args[0].key, "3");
/// assert_eq!(args[1].vals, ["1", "2"]);
/// assert_eq!(args[1].to_string(), "voters=(1, 2)");
/// assert_eq!(args[2].scan::<u64>(0), Ok(10));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CmdArg {
    /// What stands before the equals sign, or the whole argument.
    pub key: String,
    /// The values; empty where there is no equals sign, one empty value where nothing follows it.
    pub vals: Vec<String>,
}

impl CmdArg {
    /// The value at place `i`. Go: CmdArg.Scan
    ///
    /// # Errors
    /// There is no such value, or it does not read as a `T`.
    pub fn scan<T: Scan>(&self, i: usize) -> Result<T, Fatal> {
        let val = self
            .vals
            .get(i)
            .ok_or_else(|| Fatal(format!("cannot scan index {i} of key {}", self.key)))?;
        T::scan(val).map_err(Fatal)
    }
}

impl fmt::Display for CmdArg {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        match self.vals.as_slice() {
            [] => Ok(()),
            [one] => write!(f, "={one}"),
            many => write!(f, "=({})", many.join(", ")),
        }
    }
}

/// One directive of a script with its input and its expected output. Go: TestData
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestData {
    /// `file:line` of the directive, for messages.
    pub pos: String,
    /// The directive's first word.
    pub cmd: String,
    /// The rest of its words, in order.
    pub cmd_args: Vec<CmdArg>,
    /// What stands between the directive and the separator, without blanks around it.
    pub input: String,
    /// What stands behind the separator, each line with its end.
    pub expected: String,
}

impl TestData {
    /// The first argument of this name. Go: TestData.Arg
    #[must_use]
    pub fn arg(&self, key: &str) -> Option<&CmdArg> {
        self.cmd_args.iter().find(|a| a.key == key)
    }

    /// The one value of the first argument of this name. Go: TestData.ScanArgs with one destination
    ///
    /// # Errors
    /// There is no such argument, it has not exactly one value, or the value does not read as a `T`.
    #[doc(alias = "ScanArgs")]
    pub fn scan_arg<T: Scan>(&self, key: &str) -> Result<T, Fatal> {
        let arg = self
            .arg(key)
            .ok_or_else(|| Fatal(format!("missing argument: {key}")))?;
        if arg.vals.len() != 1 {
            return Err(Fatal(format!(
                "{key}: got 1 destinations, but {} values",
                arg.vals.len()
            )));
        }
        arg.scan(0)
            .map_err(|e| Fatal(format!("{key}: failed to scan argument 0: {e}")))
    }
}

/// Prints the directive as it stands in a script, with its input. Go: TestData.String
impl fmt::Display for TestData {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cmd)?;
        self.cmd_args.iter().try_for_each(|a| write!(f, " {a}"))?;
        if self.input.is_empty() {
            return Ok(());
        }
        write!(f, "\n{}", self.input)
    }
}
