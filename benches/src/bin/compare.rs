//! Measures tickraft and its rivals in one run, side by side.
//!
//! `cargo run --release -p benches --bin compare` builds what is missing, runs every case in turn on every library, at least five rounds, and writes `benches/results/`: JSON, a
//! Markdown table, SVG plots. What the machine lacks is left out with its reason. `--only` measures some benches and keeps what is there of the others. `--size smoke` sees in a
//! minute that all of it runs; its figures mean nothing.

#![forbid(unsafe_code)]

use benches::compare::cases::{self, BENCHES, Case, Cores, Size};
use benches::compare::drivers::{Answer, Built, DRIVERS, can_pin};
use benches::compare::results::{Measured, Record, Results};
use benches::compare::{library, machine, plots, table};
use clap::{Parser, ValueEnum};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The seconds that a run is thought to take of which nothing is known.
const GUESS: f64 = 2.0;

/// Measures tickraft and its rivals in one run, side by side.
#[derive(Parser)]
struct Args {
    /// How much is measured.
    #[arg(long, value_enum, default_value_t = Amount::Whole)]
    size: Amount,
    /// Rounds; each runs every case on every library.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only these benches; what is kept of others stays. `build` takes minutes and runs only when it is named.
    #[arg(long, value_delimiter = ',', value_parser = bench_names())]
    only: Vec<String>,
    /// Only the cases whose names contain this.
    #[arg(long)]
    case: Option<String>,
    /// On how many processors: replication runs on each of these numbers, other benches in one thread on the smallest, threaded ones on the largest.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    cores: Vec<usize>,
    /// Keeps nothing of what was measured before.
    #[arg(long)]
    fresh: bool,
    /// Measures nothing: writes the report again from the results that are kept.
    #[arg(long, conflicts_with = "fresh")]
    report: bool,
    /// Where the results go. [default: benches/results, or target/compare/smoke for a smoke run]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where logs on disk are written; a folder on the disk to be measured.
    #[arg(long, default_value = "target/compare")]
    dir: PathBuf,
}

fn bench_names() -> clap::builder::PossibleValuesParser {
    BENCHES.iter().map(|b| b.name).collect::<Vec<_>>().into()
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

impl From<Amount> for Size {
    fn from(amount: Amount) -> Self {
        match amount {
            Amount::Smoke => Self::Smoke,
            Amount::Short => Self::Short,
            Amount::Whole => Self::Whole,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let a = Args::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the crate lies in the repository")?;
    let size = Size::from(a.size);
    let default = if size == Size::Smoke {
        "target/compare/smoke"
    } else {
        "benches/results"
    };
    let out = root.join(a.out.as_deref().unwrap_or(Path::new(default)));
    let dir = root.join(&a.dir);
    fs::create_dir_all(&out)?;
    fs::create_dir_all(&dir)?;
    let dir = dir.to_string_lossy();
    let kept = if a.fresh {
        Results::default()
    } else {
        Results::load(&out)?
    };
    if a.report {
        println!("{}", write(&out, kept, Vec::new(), &dir, &[])?);
        return Ok(());
    }
    let mut wanted = cases::all(size, &dir);
    wanted.retain(|c| (a.only.is_empty() && !c.once) || a.only.iter().any(|o| o == c.bench));
    wanted.retain(|c| a.case.as_ref().is_none_or(|text| c.label.contains(text)));
    if wanted.is_empty() {
        return Err("--only and --case leave no case".into());
    }
    let (built, missing) = build(root, &wanted);
    let measured = Measured {
        size: size.name().into(),
        date: machine::today(),
        commit: machine::commit(root),
        machine: machine::describe(),
    };
    if wanted.iter().any(cases::finds_peaks) {
        forget_peaks(Path::new(&*dir))?;
    }
    let mut rows = plan(wanted, &a.cores);
    eprintln!("{}", estimate(&rows, &built, &kept, a.rounds));
    let mut records: Vec<Record> = rows
        .iter()
        .map(|(c, n)| Record::new(c, *n, measured.clone()))
        .collect();
    let start = Instant::now();
    for round in 1..=a.rounds {
        for (at, ((case, cores), record)) in rows.iter_mut().zip(&mut records).enumerate() {
            if case.once && round > 1 {
                continue;
            }
            eprintln!(
                "round {round} of {}, {}: {} ({cores} cores)",
                a.rounds,
                clock(start.elapsed().as_secs_f64()),
                case.label
            );
            run(root, case, *cores, record, &built, round as usize + at);
        }
        // After each round: a run that is stopped has measured something.
        let table = write(&out, kept.clone(), records.clone(), &dir, &missing)?;
        if round == a.rounds {
            println!("{table}");
        } else if round == 1 {
            let left = f64::from(a.rounds - 1) * start.elapsed().as_secs_f64();
            eprintln!("the other rounds will take about {}", clock(left));
        }
    }
    println!("written to {}", out.display());
    if records.iter().any(|r| r.reason(r.ours()).is_some()) {
        Err("a run of ours failed".into())
    } else {
        Ok(())
    }
}

/// Merges, writes results, plots and report, and returns the report.
fn write(
    out: &Path,
    mut kept: Results,
    new: Vec<Record>,
    dir: &str,
    missing: &[String],
) -> Result<String, Box<dyn Error>> {
    // Of a case that several sizes have, any stands for its place.
    let order: Vec<Case> = [Size::Whole, Size::Short, Size::Smoke]
        .iter()
        .flat_map(|&size| cases::all(size, dir))
        .collect();
    for gone in kept.merge(new, &order) {
        eprintln!("no longer a case, dropped: {}: {}", gone.bench, gone.case);
    }
    let mut notes = Vec::new();
    if kept
        .cases
        .iter()
        .any(|r| r.measured.size == Size::Smoke.name())
    {
        notes.push("**A smoke run: its figures mean nothing.**".into());
    }
    if !can_pin() {
        notes.push("Not bound to processors: there is no taskset here.".into());
    }
    notes.extend(missing.iter().map(|m| format!("Left out: {m}")));
    kept.save(out)?;
    let plots = plots::write(&kept.cases, out)?;
    let mut report = table::markdown(&kept.cases, &notes);
    report.push_str("\n## Plots\n\n");
    for name in plots {
        report.push_str(&format!("![{name}]({name})\n"));
    }
    fs::write(out.join("README.md"), &report)?;
    Ok(report)
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

/// Removes what earlier runs took for the peaks of the key-value stores: a machine that was busy then would set the rates of now.
fn forget_peaks(dir: &Path) -> std::io::Result<()> {
    for file in fs::read_dir(dir)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with("peaks-") {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// Each case with each number of processors that it is measured on.
fn plan(wanted: Vec<Case>, cores: &[usize]) -> Vec<(Case, usize)> {
    let fewest = cores.iter().copied().min().unwrap_or(1).max(1);
    let most = cores.iter().copied().max().unwrap_or(1).max(1);
    let numbers = |case: &Case| match cases::bench(case.bench).map(|b| b.cores) {
        Some(Cores::Each) if !case.fewest => cores.to_vec(),
        Some(Cores::Most) => vec![most],
        _ => vec![fewest],
    };
    let each = |case: Case| {
        numbers(&case)
            .into_iter()
            .map(move |n| (case.clone(), n))
            .collect::<Vec<_>>()
    };
    wanted.into_iter().flat_map(each).collect()
}

/// How long it will take, as far as the results say that are kept.
fn estimate(rows: &[(Case, usize)], built: &[Built], kept: &Results, rounds: u32) -> String {
    let (mut runs, mut unknown, mut seconds) = (0, 0, 0.0);
    for (case, cores) in rows {
        for b in built.iter().filter(|b| case.has(&b.driver)) {
            runs += 1;
            seconds += kept.took(case, *cores, b.driver.name).unwrap_or_else(|| {
                unknown += 1;
                GUESS
            });
        }
    }
    let guessed = if unknown > 0 {
        format!(" ({unknown} of the runs never measured here, taken for {GUESS} s each)")
    } else {
        String::new()
    };
    format!(
        "{} cases, {runs} runs a round, {rounds} rounds: about {}{guessed}",
        rows.len(),
        clock(seconds * f64::from(rounds))
    )
}

fn clock(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = seconds.round() as u64;
    format!("{}:{:02} min", whole / 60, whole % 60)
}

/// One round of one case: each driver once, each time another first.
fn run(root: &Path, case: &Case, cores: usize, record: &mut Record, built: &[Built], turn: usize) {
    let taking: Vec<_> = built.iter().filter(|b| case.has(&b.driver)).collect();
    for i in 0..taking.len() {
        let b = taking[(i + turn) % taking.len()];
        let start = Instant::now();
        let answer = if case.once {
            library::cost(&b.driver, root)
        } else {
            b.run(&case.arguments, cores)
        };
        if let Answer::Failed(reason) = &answer {
            eprintln!("failed: {}: {}: {reason}", b.driver.name, case.label);
        }
        record.add(b.driver.name, answer, start.elapsed().as_secs_f64());
    }
}
