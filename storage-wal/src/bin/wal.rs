//! The tool `wal`: dump, verify, repair, export. Go: tools/etcd-dump-logs

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let out = std::io::stdout().lock();
    let mut out = std::io::BufWriter::new(out);
    let code =
        tickraft_storage_wal::cli::run(std::env::args_os(), &mut out, &mut std::io::stderr());
    match std::io::Write::flush(&mut out) {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::from(3),
    }
}
