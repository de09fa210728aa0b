//! `kvexample backup|restore|recover`. Go: etcdutl snapshot save and restore

use super::say;
use crate::backup;
use crate::cli::{BackupArgs, RecoverArgs, RestoreArgs, check_addr};
use crate::client::Client;
use crate::data::new_cluster_id;
use crate::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

type Done = Result<ExitCode, Error>;

fn io(action: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { action, source }
}

/// The file appears under its name only when it is whole, checked and synced.
pub(super) fn backup(args: BackupArgs) -> Done {
    let path = args.file;
    if path.exists() {
        return Err(Error::Config(format!(
            "{} is there already",
            path.display()
        )));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!("{name}.partial"));
    let mut file = File::create(&partial).map_err(io("create the backup"))?;
    let fetched = Client::new(args.to.endpoints, args.to.timeout)
        .backup(&mut file)
        .and_then(|()| file.sync_all().map_err(io("sync the backup")))
        .and_then(|()| File::open(&partial).map_err(io("read the backup")))
        .and_then(|mut f| backup::read(&mut f))
        .and_then(|state| {
            backup::rename(&partial, &path)?;
            Ok(state)
        });
    let state = match fetched {
        Ok(state) => state,
        Err(e) => {
            // What is left of it is of no use.
            let _ = std::fs::remove_file(&partial);
            return Err(e);
        }
    };
    say(format!(
        "{}: {} keys, as of entry {}",
        path.display(),
        state.len(),
        state.index()
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(args: RestoreArgs) -> Done {
    check_addr(&args.addr).map_err(Error::Config)?;
    let mut file = File::open(&args.file).map_err(io("open the backup"))?;
    let state = backup::read(&mut file)?;
    let default = || PathBuf::from(format!("./kvexample-{}", args.id));
    let dir = args.data_dir.unwrap_or_else(default);
    let (keys, index) = (state.len(), state.index());
    backup::restore(
        state,
        &dir,
        args.id,
        &args.addr,
        new_cluster_id(&args.token),
    )?;
    say(format!(
        "{}: {keys} keys, as of entry {index}, for a new cluster of node {} alone. Start it, and let others join:",
        dir.display(),
        args.id
    ))?;
    say_start(args.id, &dir, &args.token)
}

pub(super) fn recover(args: RecoverArgs) -> Done {
    if let Some(addr) = &args.addr {
        check_addr(addr).map_err(Error::Config)?;
    }
    let dir = args.force_new_cluster;
    let (id, state) = backup::recover(&dir, args.addr.as_deref())?;
    say(format!(
        "{}: {} keys, as of entry {}, for a new cluster of node {id} alone; the old files are beside it.",
        dir.display(),
        state.len(),
        state.index()
    ))?;
    say(
        "What only the lost nodes had is lost, and the members of the old cluster are turned away by the new. Start it, and let others join:",
    )?;
    say_start(id, &dir, &args.token)
}

fn say_start(id: u64, dir: &std::path::Path, token: &str) -> Done {
    let token = match token {
        crate::cli::TOKEN => String::new(),
        other => format!(" --token {other}"),
    };
    say(format!(
        "  kvexample serve --id {id} --data-dir {} --port 12380{token}",
        dir.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
