//! The command line of the replicated key-value store. Go: main.go

#![forbid(unsafe_code)]

use clap::Parser;
use kvexample::cli::Cli;
use kvexample::commands;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(Cli::parse())
}
