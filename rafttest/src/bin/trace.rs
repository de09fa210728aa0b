//! Runs interaction scripts and writes what their nodes trace: `trace DIR SCRIPT…`. Go: (none)
//!
//! The trace of `NAME.txt` goes to `DIR/NAME.ndjson`. What the scripts print is not compared.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tickraft_rafttest::{TraceWriter, run_script_traced};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [dir, scripts @ ..] = args.as_slice() else {
        eprintln!(
            "usage: trace DIR SCRIPT...\n\nwrites the trace of each interaction script to DIR, as NDJSON"
        );
        return ExitCode::from(2);
    };
    for script in scripts {
        if let Err(e) = trace(Path::new(dir), Path::new(script)) {
            eprintln!("trace: {}: {e}", Path::new(script).display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn trace(dir: &Path, script: &Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(script)?;
    let name = script.file_stem().ok_or("no file name")?;
    let out = dir.join(name).with_extension("ndjson");
    let tracer = Arc::new(TraceWriter::new(BufWriter::new(File::create(out)?)));
    run_script_traced(&script.display().to_string(), &text, tracer.clone())?;
    // The nodes are gone, and their tracers with them.
    let tracer = Arc::into_inner(tracer).ok_or("a node outlived its script")?;
    tracer.finish()?;
    Ok(())
}
