//! A tickraft node in a cluster with nodes on etcd-io/raft: the counterpart of interop/gopeer, with the same commands on standard input.

mod app;
mod control;
mod net;
mod state;

use control::Control;
use net::{Inbound, Outbound};
use node::raft::slog::{Drain, Level, Logger, Never, OwnedKVList, Record, o};
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;
use transport_tcp::{Config, Transport};

/// Lines on standard error.
struct Lines;

impl Drain for Lines {
    type Ok = ();
    type Err = Never;
    fn log(&self, r: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        if r.level().is_at_least(Level::Info) {
            eprintln!("{} {}", r.level(), r.msg());
        }
        Ok(())
    }
}

/// `--id N --cluster N --tick 50ms`, as the Go peer takes them.
fn argument(name: &str) -> Option<u64> {
    let mut args = std::env::args().skip_while(|a| a != name).skip(1);
    args.next()?.trim_end_matches("ms").parse().ok()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let id = argument("--id").ok_or("--id is missing")?;
    let cluster = argument("--cluster").unwrap_or(1);
    let tick = Duration::from_millis(argument("--tick").unwrap_or(50));
    let logger = Logger::root(Lines, o!());
    let inbound = Arc::<Inbound>::default();
    let config = Config::new(cluster, id);
    let transport = Transport::bind(config, "127.0.0.1:0", Arc::clone(&inbound) as _, &logger)?;
    println!("listening {}", transport.local_addr());
    let transport = Arc::new(transport);
    let net = Outbound { inbound, transport };
    let mut control = Control::new(id, net, logger, tick)?;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let answer = control.command(&line?);
        let answer =
            answer.unwrap_or_else(|e| format!("error {}", e.to_string().replace('\n', " ")));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
