//! What a node logs through slog, in a program that uses tracing. Go: (none)
//!
//! `cargo run -p tickraft-node --example slog_to_tracing`
//!
//! The whole bridge is [`ToTracing`]: copy it. tracing wants levels and targets that are known when the program is compiled, hence the macro; all of a
//! node's lines get the target `raft`, and so can be filtered with `raft=info`.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use storage_mem::MemoryStorage;
use tickraft_node::raft::Config;
use tickraft_node::raft::slog::{
    self, Drain, KV as _, Key, Level, Logger, Never, OwnedKVList, Record, o,
};
use tickraft_node::raftpb::{ConfState, Snapshot, SnapshotMetadata};
use tickraft_node::restart_node;
use tickraft_node::storage::Writer;

/// A slog drain that ends in tracing.
struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let mut fields = Fields(String::new());
        // A string takes everything.
        let _ = values.serialize(record, &mut fields);
        let _ = record.kv().serialize(record, &mut fields);
        let (message, fields, module) = (record.msg(), fields.0, record.module());
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(target: "raft", module, "{message}{fields}")
            };
        }
        match record.level() {
            Level::Critical | Level::Error => event!(error),
            Level::Warning => event!(warn),
            Level::Info => event!(info),
            Level::Debug => event!(debug),
            Level::Trace => event!(trace),
        }
        Ok(())
    }
}

/// slog's key-value pairs as ` key=value`.
struct Fields(String);

impl slog::Serializer for Fields {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        Ok(write!(self.0, " {key}={value}")?)
    }
}

/// Standard output, and a copy to look at in the end.
#[derive(Clone, Default)]
struct Copied(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Copied {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        if let Ok(mut copy) = self.0.lock() {
            copy.extend_from_slice(buf);
        }
        std::io::stdout().write(buf)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let out = Copied::default();
    let writer = out.clone();
    tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let mut storage = MemoryStorage::new();
    let conf_state = ConfState {
        voters: vec![1],
        ..ConfState::default()
    };
    let metadata = SnapshotMetadata {
        conf_state,
        ..SnapshotMetadata::default()
    };
    storage.apply_snapshot(&Snapshot {
        metadata,
        ..Snapshot::default()
    })?;
    let logger = Logger::root(ToTracing, o!("group" => "example"));
    let node = restart_node(Config::new(1, 42), storage.clone(), logger, None)?;
    node.campaign()?;
    while node.status()?.basic.soft_state.lead == 0 {
        let rd = node.ready().recv()?;
        Writer::append(&mut storage, rd.write())?;
        node.advance(rd.persisted())?;
    }
    node.stop();

    let seen = out.0.lock().map_err(|_| "a writer panicked")?;
    let seen = String::from_utf8_lossy(&seen);
    assert!(
        seen.contains("INFO raft: 1 became leader at term 1 group=example"),
        "{seen}"
    );
    Ok(())
}
