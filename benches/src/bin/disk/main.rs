//! What the write-ahead log costs: opening a long one, restarting a node, appending with a sync. Prints figures; nothing here passes or fails.
//!
//! `cargo run --release -p benches --bin disk -- open --mib 1024`

#![forbid(unsafe_code)]

mod append;
mod open;
mod process;
mod restart;
mod timed;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::Command;

type Failed = Box<dyn std::error::Error>;

/// Measures the write-ahead log.
#[derive(Parser)]
struct Args {
    /// Where the files go, so that the disk can be chosen. By default the working directory.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The directory was written by this command before: only measure.
    #[arg(long, hide = true)]
    written: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Write a log, open it, read all of it in pages as for a lagging follower, compact it: times, and memory beyond the cache.
    Open(open::Args),
    /// Start a node from a snapshot and the log behind it, until it has committed something new.
    Restart(restart::Args),
    /// Append and sync batches, against one pwrite and fdatasync of the same bytes in turn.
    Append(append::Args),
}

fn main() -> Result<(), Failed> {
    let args = Args::parse();
    if args.written {
        return match &args.what {
            What::Open(a) => open::measure(&args.dir, a),
            What::Restart(a) => restart::measure(&args.dir, a),
            What::Append(_) => Ok(()),
        };
    }
    let dir = tempfile::tempdir_in(&args.dir)?;
    match &args.what {
        What::Open(a) => open::run(dir.path(), a)?,
        What::Restart(a) => restart::run(dir.path(), a)?,
        What::Append(a) => return append::run(dir.path(), a),
    }
    in_a_process_of_its_own(dir.path())
}

/// Measures where no memory of the writing is left to be used again.
fn in_a_process_of_its_own(dir: &Path) -> Result<(), Failed> {
    let mut args = std::env::args_os();
    let program = args.next().ok_or("no program name")?;
    let mut c = Command::new(program);
    c.args(["--written".as_ref(), "--dir".as_ref(), dir.as_os_str()]);
    // The last --dir would win: leave the first out.
    let mut skip = false;
    for a in args {
        if !std::mem::replace(&mut skip, a == "--dir") && a != "--dir" {
            c.arg(a);
        }
    }
    if c.status()?.success() {
        Ok(())
    } else {
        Err("the measuring process failed".into())
    }
}
