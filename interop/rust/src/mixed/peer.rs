//! A peer's process, and the line for a line that it speaks.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// No answer takes so long unless the peer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose Raft a peer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Go,
    Rust,
}

impl Kind {
    pub(crate) const BOTH: [(Self, Self); 2] = [(Self::Go, Self::Rust), (Self::Rust, Self::Go)];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Where the programs are.
#[derive(Clone)]
pub(crate) struct Programs {
    pub(crate) go: PathBuf,
    pub(crate) rust: PathBuf,
}

/// The fields of a status line.
#[derive(Debug)]
pub(crate) struct Status(BTreeMap<String, String>);

impl Status {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        self.text(field).parse().unwrap_or(0)
    }
}

pub(crate) struct Peer {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) address: String,
    pub(crate) log: PathBuf,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Peer {
    pub(crate) fn spawn(
        programs: &Programs,
        kind: Kind,
        id: u64,
        logs: &Path,
    ) -> Result<Self, String> {
        let text = |what: &'static str| move |e: std::io::Error| format!("node {id}: {what}: {e}");
        std::fs::create_dir_all(logs).map_err(text("its log"))?;
        let log = logs.join(format!("{id}-{kind}.log"));
        let program = match kind {
            Kind::Go => &programs.go,
            Kind::Rust => &programs.rust,
        };
        let mut child = Command::new(program)
            .args(["--id", &id.to_string(), "--cluster", "7", "--tick", "50ms"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(text("its log"))?)
            .spawn()
            .map_err(text("start"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("node {id}: no pipes"));
        };
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for l in BufReader::new(output).lines().map_while(Result::ok) {
                if line.send(l).is_err() {
                    return;
                }
            }
        });
        let mut peer = Self {
            id,
            kind,
            address: String::new(),
            log,
            child,
            input,
            lines,
        };
        let hello = peer.line()?;
        peer.address = hello
            .strip_prefix("listening ")
            .ok_or_else(|| format!("node {id} says {hello:?}"))?
            .to_owned();
        Ok(peer)
    }

    fn line(&mut self) -> Result<String, String> {
        let line = self.lines.recv_timeout(PATIENCE);
        line.map_err(|e| format!("node {} ({}) does not answer: {e}", self.id, self.kind))
    }

    /// Gives a command and returns the answer, or the error that it answers with.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String, String> {
        let node = format!("node {} ({}), {command}", self.id, self.kind);
        writeln!(self.input, "{command}").map_err(|e| format!("{node}: {e}"))?;
        let line = self.line()?;
        match line.strip_prefix("error ") {
            Some(e) => Err(format!("{node}: {e}")),
            None => Ok(line),
        }
    }

    pub(crate) fn status(&mut self) -> Result<Status, String> {
        let line = self.ask("status")?;
        let fields = line.split(' ').filter_map(|f| f.split_once('='));
        Ok(Status(fields.map(|(k, v)| (k.into(), v.into())).collect()))
    }

    /// SIGKILL, to the process that was started here.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}
