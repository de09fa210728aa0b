//! The tool `wal`: dump, verify, repair, export. Go: tools/etcd-dump-logs

use crate::disk::choose_snapshot;
use crate::dump::{DumpRecord, dump, export_etcd};
use crate::vfs::{Mode, OsFs, Vfs};
use crate::{Error, Options, SegmentName, Snapshotter, Wal};
use base64::Engine as _;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::raftpb::{ConfState, EntryType};

/// Looks at, verifies, repairs and exports a write-ahead log.
///
/// Exit codes: 0 sound, 1 a torn tail that `repair` cuts off, 2 corrupt, 3 I/O error, locked, or wrong usage.
#[derive(Debug, Parser)]
#[command(name = "wal", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every record, overwritten ones included. Never writes.
    Dump {
        /// A data directory, a wal directory or one segment.
        path: PathBuf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Read everything and say whether it is sound. Never writes.
    Verify {
        /// A data directory, a wal directory or one segment.
        path: PathBuf,
    },
    /// Cut off a torn tail; what is cut off is kept in a `.broken` file.
    Repair {
        /// A data directory or a wal directory.
        path: PathBuf,
        /// Accept a missing mark: what the records alone prove is taken for all there was. Writes acknowledged last may then be lost without a trace.
        #[arg(long)]
        without_mark: bool,
    },
    /// Write the log and its snapshots into a new data directory in etcd's plain format.
    Export {
        /// A data directory.
        path: PathBuf,
        /// The new data directory.
        #[arg(long)]
        etcd: PathBuf,
    },
}

const TORN: u8 = 1;
const CORRUPT: u8 = 2;
const FAILED: u8 = 3;

/// Runs the tool with these arguments, the first being its name. Returns the exit code.
pub fn run<I, T>(args: I, out: &mut dyn Write, err: &mut dyn Write) -> u8
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(c) => c,
        Err(e) => {
            let text = e.render().to_string();
            let shown = if e.use_stderr() {
                writeln!(err, "{text}")
            } else {
                writeln!(out, "{text}")
            };
            return if e.use_stderr() || shown.is_err() {
                FAILED
            } else {
                0
            };
        }
    };
    let done = match &cli.command {
        Command::Dump { path, json } => dump_all(path, *json, out),
        Command::Verify { path } => verify_all(path, out),
        Command::Repair { path, without_mark } => repair(path, *without_mark, out),
        Command::Export { path, etcd } => export(path, etcd, out),
    };
    match done {
        Ok(code) => code,
        Err(Failure::Log(e)) => {
            let _ = writeln!(err, "{e}");
            if e.is_corruption() { CORRUPT } else { FAILED }
        }
        Err(Failure::Output(e)) => {
            let _ = writeln!(err, "cannot write the output: {e}");
            FAILED
        }
    }
}

enum Failure {
    Log(Error),
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Log(e)
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self::Output(e)
    }
}

/// The segments' directory, or the segment itself.
fn wal_path(path: &Path) -> PathBuf {
    let inner = path.join("member/wal");
    if inner.is_dir() {
        inner
    } else {
        path.to_path_buf()
    }
}

fn is_segment(path: &Path) -> bool {
    path.file_name()
        .and_then(|n| n.to_str())
        .and_then(SegmentName::parse)
        .is_some()
        && path.is_file()
}

fn dump_all(path: &Path, as_json: bool, out: &mut dyn Write) -> Result<u8, Failure> {
    let (mut failed, mut code) = (None, 0);
    dump(&OsFs, &wal_path(path), &mut |r| {
        if failed.is_some() {
            return;
        }
        if r.problem.is_some() {
            code = TORN;
        }
        let line = if as_json {
            to_json(&r).to_string()
        } else {
            to_text(&r)
        };
        failed = writeln!(out, "{line}").err();
    })?;
    match failed {
        Some(e) => Err(e.into()),
        // Whether damage is a torn tail or corruption is for `verify` to say.
        None => Ok(if code == 0 { 0 } else { TORN }),
    }
}

fn entry_type(t: EntryType) -> &'static str {
    match t {
        EntryType::Normal => "EntryNormal",
        EntryType::ConfChange => "EntryConfChange",
        EntryType::ConfChangeV2 => "EntryConfChangeV2",
    }
}

fn conf_state(c: &ConfState) -> Value {
    json!({
        "voters": c.voters,
        "learners": c.learners,
        "voters_outgoing": c.voters_outgoing,
        "learners_next": c.learners_next,
        "auto_leave": c.auto_leave,
    })
}

fn to_json(r: &DumpRecord) -> Value {
    let data = r
        .data
        .as_ref()
        .map(|d| base64::engine::general_purpose::STANDARD.encode(d));
    json!({
        "segment": r.segment,
        "offset": r.offset,
        "type": r.kind,
        "term": r.term,
        "index": r.index,
        "entry_type": r.entry_type.map(entry_type),
        "vote": r.vote,
        "commit": r.commit,
        "crc": r.crc,
        "seq": r.seq,
        "conf_state": r.conf_state.as_ref().map(conf_state),
        "data": data,
        "status": r.problem.as_deref().unwrap_or("ok"),
    })
}

fn to_text(r: &DumpRecord) -> String {
    let mut s = format!("{} {:>8} {:<8}", r.segment, r.offset, r.kind.unwrap_or("?"));
    let number = |name: &str, v: Option<u64>| v.map_or(String::new(), |v| format!(" {name}={v}"));
    s += &number("term", r.term);
    s += &number("index", r.index);
    s += &number("vote", r.vote);
    s += &number("commit", r.commit);
    s += &number("seq", r.seq);
    if let Some(t) = r.entry_type {
        s += &format!(" {}", entry_type(t));
    }
    if let Some(d) = &r.data {
        s += &format!(" {} bytes", d.len());
    }
    if let Some(p) = &r.problem {
        s += &format!(" BAD: {p}");
    }
    s
}

/// Refuses a directory that a process has open: half a batch would look like damage.
fn refuse_locked(wal: &Path) -> Result<(), Error> {
    let path = wal.join("lock");
    if let Ok(f) = OsFs.open(&path, Mode::Write)
        && !f.try_lock().map_err(|e| Error::io("lock", &path, e))?
    {
        return Err(Error::Locked { path });
    }
    Ok(())
}

fn verify_all(path: &Path, out: &mut dyn Write) -> Result<u8, Failure> {
    let wal = wal_path(path);
    if is_segment(&wal) {
        return verify_segment(&wal, out);
    }
    refuse_locked(&wal)?;
    let (_, found) = Wal::read(&wal, &Options::default())?;
    let snap = path.join("member/snap");
    if snap.is_dir() {
        let s = Snapshotter::new(&snap, Arc::new(OsFs));
        for (term, index) in s.names()? {
            s.load(term, index)?;
        }
        // As opening would: a snapshot that the log needs must be there.
        choose_snapshot(&s, &found)?;
    }
    let Some(t) = found.torn else {
        writeln!(out, "{}: sound", path.display())?;
        return Ok(0);
    };
    writeln!(
        out,
        "{}: torn tail: segment {}, offset {}: {} bytes with {} intact records follow the last whole batch; `wal repair` cuts them off and keeps them",
        path.display(),
        t.segment,
        t.offset,
        t.bytes,
        t.records
    )?;
    Ok(TORN)
}

/// A segment alone: only its own records can be judged. Damage with sound records behind it, or none, cannot be told from a torn tail here.
fn verify_segment(path: &Path, out: &mut dyn Write) -> Result<u8, Failure> {
    let (mut first_bad, mut sound_behind) = (None, false);
    dump(&OsFs, path, &mut |r| match (&r.problem, &first_bad) {
        (Some(p), None) => first_bad = Some((r.offset, p.clone())),
        (None, Some(_)) => sound_behind = true,
        // A record behind damage cannot be verified by its chain, but ours vouch for themselves.
        (Some(p), Some(_)) if p.starts_with("cannot be verified") && r.seq.is_some() => {
            sound_behind = true
        }
        _ => {}
    })?;
    let Some((offset, problem)) = first_bad else {
        writeln!(out, "{}: sound", path.display())?;
        return Ok(0);
    };
    let what = if sound_behind { "corrupt" } else { "torn tail" };
    writeln!(
        out,
        "{}: {what}: offset {offset}: {problem}",
        path.display()
    )?;
    Ok(if sound_behind { CORRUPT } else { TORN })
}

fn repair(path: &Path, without_mark: bool, out: &mut dyn Write) -> Result<u8, Failure> {
    let wal = wal_path(path);
    let options = Options {
        reserve: 0,
        ..Options::default()
    };
    let torn = Wal::repair(&wal, &options, without_mark)?;
    match torn {
        None => writeln!(out, "{}: sound, nothing to repair", path.display())?,
        Some(t) => writeln!(
            out,
            "{}: cut {} bytes off segment {} at offset {}; kept in {}",
            path.display(),
            t.bytes,
            t.segment,
            t.offset,
            t.kept.unwrap_or_default().display()
        )?,
    }
    Ok(0)
}

fn export(path: &Path, to: &Path, out: &mut dyn Write) -> Result<u8, Failure> {
    let options = Options {
        reserve: 0,
        ..Options::default()
    };
    let found = export_etcd(path, to, &options)?;
    writeln!(
        out,
        "{}: entries {} to {} written to {} in etcd's format",
        path.display(),
        found.entries.0,
        found.entries.1,
        to.display()
    )?;
    Ok(0)
}
