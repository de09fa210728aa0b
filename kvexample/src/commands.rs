//! What the command line's commands do. Go: main.go

mod backup;
mod client;
mod demo;
mod serve;

use crate::cli::{Cli, Command};
use crate::error::Error;
use std::process::ExitCode;

/// Runs a command and says how the process is to end: 0 for success, 2 for a damaged data directory, 1 for any other failure, which is told on standard error.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Demo(args) => demo::run(&args, cli.verbose),
        Command::Serve(args) => serve::run(args, cli.verbose),
        Command::Put(args) => client::put(args),
        Command::Get(args) => client::get(args),
        Command::Del(args) => client::del(args),
        Command::Status(args) => client::status(args),
        Command::Members(args) => client::members(args),
        Command::Backup(args) => backup::backup(args),
        Command::Restore(args) => backup::restore(args),
        Command::Recover(args) => backup::recover(args),
    };
    match done {
        Ok(code) => code,
        Err(e) => {
            eprintln!("kvexample: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

/// Prints a line; a reader that has gone away is no reason to panic.
fn say(line: impl std::fmt::Display) -> Result<(), Error> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|source| Error::Io {
            action: "write to standard output",
            source,
        })
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::Start(Box::new(e)))
}
