//! One load for three replicated key-value stores: kvexample, etcd's raftexample, etcd. Three processes on loopback, each with its own directory, a sync for what is
//! acknowledged; the load is one thread of this process, so that two processors are shared by three servers and the load alike for all.
//!
//! A write counts as done when its value can be read: kvexample and etcd answer then, raftexample answers before, so there the writer reads until it gets what it wrote.
#![forbid(unsafe_code)]

mod args;
mod build;
mod cluster;
mod etcd;
mod http1;
mod load;
mod probe;
mod store;
mod timer;

use args::{Bench, Cli, Kv};
use clap::Parser;
use cluster::Cluster;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Whose servers are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// Ours.
    Kvexample,
    /// The like-for-like rival: etcd's example of its library.
    Raftexample,
    /// etcd itself.
    Etcd,
}

impl Rival {
    fn name(self) -> &'static str {
        match self {
            Self::Kvexample => "kvexample",
            Self::Raftexample => "raftexample",
            Self::Etcd => "etcd",
        }
    }
}

/// Runs what the command line says and prints one line of JSON.
#[must_use]
pub fn main(rival: Rival) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime starts");
    let answer = match Cli::parse().bench {
        Bench::Kv(a) => {
            runtime.block_on(tokio::task::LocalSet::new().run_until(measure(rival, &a)))
        }
        Bench::Disk(a) => probe::measure(&a),
        Bench::Sync(a) => probe::sync_loop(&a),
    };
    match answer {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{}: {e}", rival.name());
            ExitCode::FAILURE
        }
    }
}

async fn measure(rival: Rival, a: &Kv) -> Result<Value, String> {
    let head = json!({"peer": rival.name(), "bench": "kv", "clients": a.clients, "value": a.value});
    let program = match build::server(rival) {
        Ok(program) => program,
        Err(why) => {
            return Ok(peer_common::report::join([
                head,
                json!({"unsupported": why}),
            ]));
        }
    };
    let rate = match a.rate()? {
        Some(Err(why)) => {
            return Ok(peer_common::report::join([
                head,
                json!({"unsupported": why}),
            ]));
        }
        Some(Ok(rate)) => Some(rate),
        None => None,
    };
    let mut cluster = Cluster::start(rival, &program, &a.dir)?;
    let stores = cluster.connect(a.clients, a.conns).await?;
    let figures = load::run(&cluster, &stores, a, rate).await?;
    cluster.verify(&stores, a).await?;
    if rate.is_none() {
        a.record_peak(rival, &figures)?;
    }
    let bound = match (rival, a.clients, rate) {
        (Rival::Kvexample, 1, None) => bound(a, &figures)?,
        _ => Value::Null,
    };
    let settings = json!({"servers": 3, "writes_to": "the leader", "build": peer_common::report::build(), "server": cluster.settings()});
    Ok(peer_common::report::join([
        head,
        figures,
        bound,
        json!({"settings": settings}),
    ]))
}

/// One writer's median beside what it cannot be faster than. The servers are idle meanwhile.
fn bound(a: &Kv, figures: &Value) -> Result<Value, String> {
    let probe = args::Disk {
        seconds: a.seconds.min(2.0),
        bytes: a.value + 128,
        dir: a.dir.clone(),
    };
    let bound = probe::measure(&probe)?["bound_us"].as_f64();
    let p50 = figures["p50_us"].as_f64();
    let of = p50.zip(bound).map(|(p50, bound)| p50 / bound);
    Ok(json!({"bound_us": bound, "p50_of_bound": of}))
}
