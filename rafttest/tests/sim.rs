//! Random runs of a whole group; see the module `sim`. Go: rafttest/node_test.go
//!
//! `TICKRAFT_SIM_SEED=7` repeats one run, `TICKRAFT_SIM_SEEDS=10000` makes more of them.

#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use tickraft_rafttest::{Sabotage, SimFailure, SimOptions, SimStats, simulate};

const STEPS: u64 = 3000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|e| panic!("{name}={text}: {e}")),
    )
}

/// Runs the seeds on all cores.
fn run(seeds: std::ops::Range<u64>, sabotage: Sabotage) -> Vec<Result<SimStats, SimFailure>> {
    let next = AtomicU64::new(seeds.start);
    let results = Mutex::new(Vec::new());
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            break;
        }
        let result = simulate(SimOptions {
            seed,
            steps: STEPS,
            sabotage,
        });
        results.lock().unwrap().push(result);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    results.into_inner().unwrap()
}

#[test]
fn groups_survive_everything() {
    let seeds = match number("TICKRAFT_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TICKRAFT_SIM_SEEDS").unwrap_or(200),
    };
    let results = run(seeds.clone(), Sabotage::None);
    let failures: Vec<String> = results
        .iter()
        .filter_map(|r| r.as_ref().err().map(ToString::to_string))
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} runs failed:\n{}",
        failures.len(),
        results.len(),
        failures.join("\n")
    );
    if seeds.end - seeds.start < 100 {
        return;
    }
    // What never happens proves nothing.
    let runs = results.len() as u64;
    let sum = |f: fn(&SimStats) -> u64| results.iter().flatten().map(f).sum::<u64>();
    let mut rare = Vec::new();
    for (what, count, per_hundred_runs) in [
        ("elections", sum(|s| s.elections), 400),
        ("committed", sum(|s| s.committed), 4000),
        ("proposals", sum(|s| s.proposals), 3000),
        ("conf_changes", sum(|s| s.conf_changes), 300),
        ("joint", sum(|s| s.joint), 100),
        ("snapshots", sum(|s| s.snapshots), 100),
        ("compactions", sum(|s| s.compactions), 300),
        ("crashes", sum(|s| s.crashes), 1000),
        ("torn", sum(|s| s.torn), 100),
        ("reads", sum(|s| s.reads), 300),
        ("dropped", sum(|s| s.network.dropped), 1000),
        ("cut", sum(|s| s.network.cut), 1000),
        ("duplicated", sum(|s| s.network.duplicated), 1000),
        ("delayed", sum(|s| s.network.delayed), 1000),
    ] {
        println!("{what}: {count}");
        if count * 100 < per_hundred_runs * runs {
            rare.push(format!("{what}: only {count} in {runs} runs"));
        }
    }
    assert!(rare.is_empty(), "{rare:?}");
}

/// A storage that forgets votes, or entries that were acknowledged, does not go unnoticed.
#[test]
fn broken_promises_are_found_out() {
    for sabotage in [Sabotage::ForgetVote, Sabotage::LoseEntry] {
        let found = (0..20).map(|batch| run(batch * 40..batch * 40 + 40, sabotage));
        let found = found.flatten().find_map(Result::err);
        println!("{sabotage:?}: {found:?}");
        assert!(found.is_some(), "{sabotage:?} went unnoticed in 800 runs");
    }
}
