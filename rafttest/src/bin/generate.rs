//! Writes random interaction scripts, one a seed: `generate DIR FIRST COUNT`. Go: (none)

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use tickraft_rafttest::{Kind, generate};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, first, count] = args.as_slice() else {
        return usage();
    };
    let (Ok(first), Ok(count)) = (first.parse::<u64>(), count.parse::<u64>()) else {
        return usage();
    };
    for seed in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        let path = PathBuf::from(dir).join(format!("{seed:08}.txt"));
        if let Err(e) = std::fs::write(&path, generate::script(Kind::Interaction, seed)) {
            eprintln!("generate: {}: {e}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: generate DIR FIRST COUNT\n\nwrites the scripts of the seeds FIRST, FIRST+1, ... to DIR, with empty outputs"
    );
    ExitCode::from(2)
}
