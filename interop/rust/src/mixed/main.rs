//! Clusters of tickraft and etcd-io/raft nodes, led through all that nodes do to each other. Started by interop/mixed, which builds the peers.

mod cluster;
mod peer;
mod steps;

use cluster::Cluster;
use peer::{Kind, Programs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Three nodes, and what the output calls them.
struct Mix {
    name: String,
    programs: Programs,
    kinds: [Kind; 3],
}

fn mixes(rust: &str, versions: &[(String, String)]) -> Vec<Mix> {
    let mut all = Vec::new();
    for (version, go) in versions {
        for (name, kinds) in [
            ("2 Go + 1 Rust", [Kind::Go, Kind::Go, Kind::Rust]),
            ("1 Go + 2 Rust", [Kind::Go, Kind::Rust, Kind::Rust]),
        ] {
            all.push(Mix {
                name: format!("{name}, etcd-io/raft {version}"),
                programs: Programs {
                    go: go.into(),
                    rust: rust.into(),
                },
                kinds,
            });
        }
    }
    all
}

/// Runs the steps in one cluster; returns how many passed and how many failed. A step that was not reached has failed.
fn run(mix: &Mix, logs: PathBuf) -> (usize, usize) {
    println!("== {}", mix.name);
    let all = steps::all();
    let mut cluster = match Cluster::start(&mix.programs, &mix.kinds, logs) {
        Ok(c) => c,
        Err(e) => {
            println!("FAILED to start: {e}");
            return (0, all.len());
        }
    };
    for (n, (name, step)) in all.iter().enumerate() {
        let began = Instant::now();
        match step(&mut cluster) {
            Ok(showed) => println!(
                "ok      {name} ({:.1} s): {showed}",
                began.elapsed().as_secs_f32()
            ),
            Err(e) => {
                println!("FAILED  {name}: {e}");
                println!("{}", cluster.describe());
                println!(
                    "{} steps after it were not run and count as failed",
                    all.len() - n - 1
                );
                return (n, all.len() - n);
            }
        }
    }
    (all.len(), 0)
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(logs), Some(rust)) = (args.next(), args.next()) else {
        eprintln!("usage: interop-mixed LOGS RUST_PEER VERSION=GO_PEER...");
        return ExitCode::from(2);
    };
    let version = |a: String| {
        let (v, go) = a.split_once('=')?;
        Some((v.to_owned(), go.to_owned()))
    };
    let versions: Vec<_> = args.filter_map(version).collect();
    let (mut passed, mut failed) = (0, 0);
    for (n, mix) in mixes(&rust, &versions).iter().enumerate() {
        let logs = PathBuf::from(&logs).join(n.to_string());
        let (p, f) = run(mix, logs);
        passed += p;
        failed += f;
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
