//! Runs scripts: `rafttest [--rewrite] [--strict] PATH…`. Go: go test -run TestInteraction
//!
//! Takes files and folders of all three kinds of scripts. Prints a diff for each file that differs and `N passed, M failed` at
//! the end; exits 1 when a file failed, 2 when it was called wrongly.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tickraft_rafttest::{Options, run_files};

const USAGE: &str = "\
usage: rafttest [--rewrite] [--strict] PATH...

Runs etcd-io/raft's interaction, quorum and confchange scripts, and those written like them.
PATH is a script, or a folder that is searched for them.

  --rewrite  replace the expected outputs by the actual ones
  --strict   a script whose nodes violate one of Raft's five properties fails;
             without it the violation only goes to standard error
";

fn main() -> ExitCode {
    let mut options = Options::default();
    let mut paths = Vec::new();
    let mut only_paths = false;
    for arg in std::env::args_os().skip(1) {
        match arg.to_str() {
            _ if only_paths => paths.push(PathBuf::from(arg)),
            Some("--") => only_paths = true,
            Some("--rewrite") => options.rewrite = true,
            Some("--strict") => options.strict = true,
            Some("--help" | "-h") => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            Some(flag) if flag.starts_with('-') => {
                eprint!("unknown option {flag}\n\n{USAGE}");
                return ExitCode::from(2);
            }
            _ => paths.push(PathBuf::from(arg)),
        }
    }
    if paths.is_empty() {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    }
    match run(&paths, options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Who stops reading knows enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("rafttest: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scripts and prints what became of them; whether all passed.
fn run(paths: &[PathBuf], options: Options) -> io::Result<bool> {
    let results = run_files(paths, options);
    let mut out = io::stdout().lock();
    for result in &results {
        out.write_all(result.text.as_bytes())?;
        io::stderr().write_all(result.violations.as_bytes())?;
    }
    let passed = results.iter().filter(|r| r.passed).count();
    let failed = results.len() - passed;
    writeln!(out, "{passed} passed, {failed} failed")?;
    out.flush()?;
    Ok(failed == 0)
}
