//! The servers: kvexample from this tree, the others as Go builds them from their modules.

use crate::Rival;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds what is missing; says why it cannot.
pub(crate) fn server(rival: Rival) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let out = root.join("target/compare/kv");
    let go = |package: &str, name: &str| {
        let program = out.join(name);
        let mut c = Command::new("go");
        c.args(["build", "-o"]).arg(&program).arg(package);
        c.current_dir(root.join("interop/etcd36"));
        (c, program)
    };
    let (mut command, program) = match rival {
        Rival::Kvexample => {
            // Its own folder of artefacts: what `cargo build` last made elsewhere may be of another profile.
            let target = root.join("target/compare/rust");
            let mut c = Command::new("cargo");
            c.args([
                "build",
                "--release",
                "--quiet",
                "-p",
                "kvexample",
                "--target-dir",
            ])
            .arg(&target);
            c.current_dir(&root);
            (c, target.join("release/kvexample"))
        }
        Rival::Raftexample => go("go.etcd.io/etcd/v3/contrib/raftexample", "raftexample"),
        Rival::Etcd => go("go.etcd.io/etcd/server/v3", "etcd"),
    };
    if let Some(given) = std::env::var_os(format!("PEER_KV_{}", rival.name().to_uppercase())) {
        return Ok(given.into());
    }
    let done = command.stdin(Stdio::null()).output();
    let done = done.map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    if done.status.success() {
        return program
            .canonicalize()
            .map_err(|e| format!("{}: {e}", program.display()));
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(said.lines().last().unwrap_or("it did not build").into())
}
