//! Measures tickraft and its rivals in one run, side by side.
//!
//! `cargo run --release -p benches --bin compare` builds what is missing, runs every case in turn on every library, at least five rounds, and writes `benches/results/`: JSON, a
//! Markdown table, SVG plots. What the machine lacks is left out with its reason. `--size smoke` sees in a minute that all of it runs; its figures mean nothing.

#![forbid(unsafe_code)]

use benches::compare::cases::{self, Case, Size};
use benches::compare::drivers::{Answer, Built, DRIVERS, can_pin};
use benches::compare::plots;
use benches::compare::results::Outcome;
use benches::compare::table::{Row, markdown};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Measures tickraft and its rivals in one run, side by side.
#[derive(Parser)]
struct Args {
    /// How much is measured.
    #[arg(long, value_enum, default_value_t = Amount::Whole)]
    size: Amount,
    /// Rounds; each runs every case on every library.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only these benches: replication, node, onenode, clients, idle, codec, wal, transport, stream.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// On how many processors: benches in one thread run on each of these numbers, threaded ones on the largest.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    cores: Vec<usize>,
    /// Where the results go.
    #[arg(long, default_value = "benches/results")]
    out: PathBuf,
    /// Where logs on disk are written; a folder on the disk to be measured.
    #[arg(long, default_value = "target/compare")]
    dir: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Amount {
    /// Does it run?
    Smoke,
    /// The rows of the README's table.
    Short,
    /// Everything.
    Whole,
}

fn main() -> Result<(), Box<dyn Error>> {
    let a = Args::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the crate lies in the repository")?;
    let (out, dir) = (root.join(&a.out), root.join(&a.dir));
    fs::create_dir_all(&out)?;
    fs::create_dir_all(&dir)?;
    let size = match a.size {
        Amount::Smoke => Size::Smoke,
        Amount::Short => Size::Short,
        Amount::Whole => Size::Whole,
    };
    let mut wanted = cases::all(size, &dir.to_string_lossy());
    wanted.retain(|c| a.only.is_empty() || a.only.iter().any(|o| o == c.bench));
    if wanted.is_empty() {
        return Err("--only leaves no case".into());
    }

    let (built, missing) = build(root, &wanted);
    let mut rows = plan(wanted, &a.cores);
    let start = Instant::now();
    for round in 1..=a.rounds {
        for (at, row) in rows.iter_mut().enumerate() {
            eprintln!(
                "round {round} of {}, {:>4} s: {} ({} cores)",
                a.rounds,
                start.elapsed().as_secs(),
                row.case.label,
                row.cores
            );
            run(row, &built, round as usize + at);
        }
    }
    let head = head(&a, &missing);
    let json: Vec<Value> = rows
        .iter()
        .map(|r| r.outcome.json(&r.case, r.cores))
        .collect();
    let all = json!({"machine": machine(), "rounds": a.rounds, "missing": missing, "cases": json});
    fs::write(
        out.join("results.json"),
        serde_json::to_string_pretty(&all)? + "\n",
    )?;
    let plots = plots::write(&rows, &out)?;
    let mut table = markdown(&rows, &head);
    table.push_str("\n## Plots\n\n");
    for name in plots {
        table.push_str(&format!("![{name}]({name})\n"));
    }
    fs::write(out.join("README.md"), &table)?;
    println!("{table}");
    println!("written to {}", out.display());
    let failed = rows
        .iter()
        .any(|r| r.outcome.reason(DRIVERS[0].name).is_some());
    if failed {
        Err("a run of ours failed".into())
    } else {
        Ok(())
    }
}

/// The drivers that some case wants, and why others are missing.
fn build(root: &Path, wanted: &[Case]) -> (Vec<Built>, Vec<String>) {
    let (mut built, mut missing) = (Vec::new(), Vec::new());
    for driver in DRIVERS {
        if !wanted.iter().any(|c| c.has(&driver)) {
            continue;
        }
        eprintln!("building {}", driver.name);
        match driver.build(root) {
            Ok(b) => built.push(b),
            Err(reason) => {
                eprintln!("left out: {}: {reason}", driver.name);
                missing.push(format!("{}: {reason}", driver.name));
            }
        }
    }
    (built, missing)
}

/// Benches in one thread on each number of processors, threaded ones on the largest.
fn plan(wanted: Vec<Case>, cores: &[usize]) -> Vec<Row> {
    let most = cores.iter().copied().max().unwrap_or(1).max(1);
    let mut rows = Vec::new();
    for case in wanted {
        let numbers = match case.bench {
            "replication" => cores.to_vec(),
            "idle" | "codec" => vec![cores.iter().copied().min().unwrap_or(1)],
            _ => vec![most],
        };
        rows.extend(numbers.into_iter().map(|cores| Row {
            case: case.clone(),
            cores,
            outcome: Outcome::default(),
        }));
    }
    rows
}

/// One round of one case: each driver once, each time another first.
fn run(row: &mut Row, built: &[Built], turn: usize) {
    let taking: Vec<_> = built.iter().filter(|b| row.case.has(&b.driver)).collect();
    for i in 0..taking.len() {
        let b = taking[(i + turn) % taking.len()];
        let answer = b.run(&row.case.arguments, row.cores);
        if let Answer::Failed(reason) = &answer {
            eprintln!("failed: {}: {}: {reason}", b.driver.name, row.case.label);
        }
        row.outcome.add(b.driver.name, answer);
    }
}

fn head(a: &Args, missing: &[String]) -> String {
    let mut head = format!("{}\n\n{} rounds, interleaved", machine(), a.rounds);
    if !can_pin() {
        head.push_str("; not bound to processors: there is no taskset here");
    }
    head.push_str(".\n");
    if matches!(a.size, Amount::Smoke) {
        head.push_str("\n**A smoke run: its figures mean nothing.**\n");
    }
    for m in missing {
        head.push_str(&format!("\nLeft out: {m}\n"));
    }
    head
}

/// What was measured on: processor, memory, kernel, toolchains.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory
        .lines()
        .find_map(|l| {
            l.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .map_or("?".into(), |kib: u64| (kib >> 20).to_string());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = vec![
        format!("{cores} × {model}"),
        format!("{memory} GiB"),
        format!("{} {}", std::env::consts::OS, kernel.trim()),
    ];
    for (program, argument) in [("rustc", "--version"), ("go", "version")] {
        if let Ok(done) = Command::new(program).arg(argument).output() {
            parts.push(String::from_utf8_lossy(&done.stdout).trim().into());
        }
    }
    parts.join("; ")
}
