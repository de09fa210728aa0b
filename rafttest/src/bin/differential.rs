//! Compares random scripts with etcd: `differential ORACLE DIR KIND FIRST COUNT`. Go: (none)
//!
//! `interop/diff` builds the oracle and calls this. Exits 1 when a script differs.

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use tickraft_rafttest::Kind;
use tickraft_rafttest::differential::{Oracle, run};

const USAGE: &str = "\
usage: differential ORACLE DIR KIND FIRST COUNT

Compares the scripts of the seeds FIRST, FIRST+1, ... with what the program ORACLE says that etcd prints, using the folder DIR for files.
KIND is interaction, quorum or confchange.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [program, dir, kind, first, count] => {
            let (Some(kind), Ok(first), Ok(count)) = (kind_of(kind), first.parse(), count.parse())
            else {
                return usage();
            };
            let oracle = Oracle {
                program: program.into(),
                dir: dir.into(),
            };
            match compare(&oracle, kind, first, count) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(e) => {
                    eprintln!("differential: {e}");
                    ExitCode::from(2)
                }
            }
        }
        _ => usage(),
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    match name {
        "interaction" => Some(Kind::Interaction),
        "quorum" => Some(Kind::Quorum),
        "confchange" => Some(Kind::ConfChange),
        _ => None,
    }
}

/// Prints what differs and what came of it all; whether nothing differs.
fn compare(oracle: &Oracle, kind: Kind, first: u64, count: u64) -> io::Result<bool> {
    let seeds = first..first.saturating_add(count);
    let summary = run(oracle, kind, seeds, &mut |text| println!("{text}"))?;
    print!("{summary}");
    // A run over fewer scripts than asked for would pass without proving anything.
    Ok(summary.failed == 0 && summary.passed as u64 == count)
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(2)
}
