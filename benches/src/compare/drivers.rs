//! The drivers: how each is built and run.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// How a driver is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A workspace of its own; its package.
    Rust(&'static str),
    /// A Go module's `./bench`.
    Go,
}

/// A program that measures one library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// What tables call it.
    pub name: &'static str,
    /// Its folder from the repository's root.
    pub folder: &'static str,
    /// How it is built.
    pub language: Language,
}

/// Ours first: ratios are towards it.
pub const DRIVERS: [Driver; 10] = [
    driver(
        "tickraft",
        "benches/peers/tickraft",
        Language::Rust("peer-tickraft"),
    ),
    driver(
        "raft-rs",
        "benches/peers/raft-rs",
        Language::Rust("peer-raft-rs"),
    ),
    driver("etcd-io/raft 3.7", "interop/raft37", Language::Go),
    driver("etcd-io/raft 3.6", "interop/raft36", Language::Go),
    driver(
        "openraft",
        "benches/peers/openraft",
        Language::Rust("peer-openraft"),
    ),
    driver(
        "openraft alpha",
        "benches/peers/openraft-alpha",
        Language::Rust("peer-openraft-alpha"),
    ),
    driver(
        "raft-engine",
        "benches/peers/raft-engine",
        Language::Rust("peer-raft-engine"),
    ),
    driver(
        "kvexample",
        "benches/peers/kv",
        Language::Rust("peer-kvexample"),
    ),
    driver(
        "raftexample",
        "benches/peers/kv",
        Language::Rust("peer-raftexample"),
    ),
    driver("etcd", "benches/peers/kv", Language::Rust("peer-etcd")),
];

const fn driver(name: &'static str, folder: &'static str, language: Language) -> Driver {
    Driver {
        name,
        folder,
        language,
    }
}

/// A driver that is built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Which.
    pub driver: Driver,
    program: PathBuf,
}

impl Driver {
    /// Builds what is missing, under `target/compare`.
    ///
    /// # Errors
    /// Why it cannot be built here: no Go, no C compiler, no network.
    pub fn build(self, root: &Path) -> Result<Built, String> {
        let folder = root.join(self.folder);
        let out = root.join("target/compare");
        let (mut command, program) = match self.language {
            Language::Rust(package) => {
                let target = out.join("rust");
                let mut c = Command::new("cargo");
                c.args(["build", "--release", "--quiet", "--target-dir"])
                    .arg(&target);
                (c, target.join("release").join(package))
            }
            Language::Go => {
                let program = out.join(self.folder.replace('/', "-"));
                let mut c = Command::new("go");
                c.args(["build", "-o"]).arg(&program).arg("./bench");
                (c, program)
            }
        };
        let done = command.current_dir(&folder).stdin(Stdio::null()).output();
        let done = done.map_err(|e| format!("{:?}: {e}", command.get_program()))?;
        if done.status.success() {
            return Ok(Built {
                driver: self,
                program,
            });
        }
        let said = String::from_utf8_lossy(&done.stderr);
        Err(said.lines().last().unwrap_or("it did not build").into())
    }
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The figures, as the driver printed them.
    Figures(Value),
    /// The library has no such thing, and why.
    Unsupported(String),
    /// It failed, and how.
    Failed(String),
}

impl Built {
    /// Runs one case on `cores` processors.
    #[must_use]
    pub fn run(&self, arguments: &[String], cores: usize) -> Answer {
        let mut command = pinned(&self.program, cores);
        command.args(arguments).env("GOMAXPROCS", cores.to_string());
        let done = match command.stdin(Stdio::null()).output() {
            Ok(done) => done,
            Err(e) => return Answer::Failed(e.to_string()),
        };
        let line = String::from_utf8_lossy(&done.stdout);
        match serde_json::from_str::<Value>(line.trim()) {
            Ok(v) if done.status.success() => match v.get("unsupported").and_then(Value::as_str) {
                Some(reason) => Answer::Unsupported(reason.into()),
                None => Answer::Figures(v),
            },
            _ => {
                let said = String::from_utf8_lossy(&done.stderr);
                let said: Vec<_> = said.lines().rev().take(3).collect();
                Answer::Failed(format!("{}: {}", done.status, said.join(" / ")))
            }
        }
    }
}

/// Whether programs can be bound to processors here; tried once.
#[must_use]
pub fn can_pin() -> bool {
    static TRIED: OnceLock<bool> = OnceLock::new();
    *TRIED.get_or_init(|| {
        let tried = Command::new("taskset")
            .args(["-c", "0", "true"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|s| s.success())
    })
}

/// The program on the first `cores` processors, where the system can bind it.
fn pinned(program: &Path, cores: usize) -> Command {
    if !can_pin() {
        return Command::new(program);
    }
    let mut c = Command::new("taskset");
    c.arg("-c")
        .arg(format!("0-{}", cores.max(1) - 1))
        .arg(program);
    c
}
