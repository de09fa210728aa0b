//! What a library costs whoever builds it: how much it brings along, and how long a clean build of it takes.

use crate::compare::drivers::{Answer, Driver, Language};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a driver's library is called in its language's package manager; that of the core, where there are several layers.
fn package(driver: &Driver) -> Option<&'static str> {
    Some(match driver.name {
        "tickraft" => "tickraft-rawnode",
        "raft-rs" => "raft",
        "openraft" | "openraft alpha" => "openraft",
        "raft-engine" => "raft-engine",
        "etcd-io/raft 3.7" | "etcd-io/raft 3.6" => "go.etcd.io/raft/v3",
        _ => return None,
    })
}

fn said(command: &mut Command) -> Result<String, String> {
    let done = command.stdin(Stdio::null()).output();
    let done = done.map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(said.lines().last().unwrap_or("it failed").into())
}

/// The different lines of a listing, the library's own left out.
fn others(listing: &str, own: &str) -> usize {
    let names = listing.lines().filter_map(|l| {
        let mut words = l.split_whitespace();
        let name = words.next()?;
        (name != own).then(|| (name, words.next()))
    });
    names.collect::<BTreeSet<_>>().len()
}

/// Counts what the library depends on, and builds it once with nothing built before. What it needs was downloaded when its driver was built.
#[must_use]
pub fn cost(driver: &Driver, root: &Path) -> Answer {
    let Some(package) = package(driver) else {
        return Answer::Unsupported("no library".into());
    };
    let clean = root.join("target/compare/clean");
    // What an earlier run left; there may be nothing.
    let _ = fs::remove_dir_all(&clean);
    let answer = measure(driver, package, &root.join(driver.folder), &clean);
    let _ = fs::remove_dir_all(&clean);
    answer.unwrap_or_else(Answer::Failed)
}

fn measure(driver: &Driver, package: &str, folder: &Path, clean: &Path) -> Result<Answer, String> {
    let (mut list, mut build) = match driver.language {
        Language::Rust(_) => {
            let mut list = Command::new("cargo");
            list.args(["tree", "--package", package, "--edges", "normal,build"]);
            list.args(["--prefix", "none", "--format", "{p}"]);
            let mut build = Command::new("cargo");
            build.args([
                "build",
                "--release",
                "--quiet",
                "--package",
                package,
                "--target-dir",
            ]);
            build.arg(clean);
            (list, build)
        }
        Language::Go => {
            let mut list = Command::new("go");
            list.args([
                "list",
                "-deps",
                "-f",
                "{{with .Module}}{{.Path}} {{.Version}}{{end}}",
                package,
            ]);
            let mut build = Command::new("go");
            build.args(["build", package]).env("GOCACHE", clean);
            (list, build)
        }
    };
    let dependencies = others(&said(list.current_dir(folder))?, package);
    let start = Instant::now();
    said(build.current_dir(folder))?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Answer::Figures(
        json!({"package": package, "dependencies": dependencies, "build_seconds": seconds}),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_counts_once_and_the_library_not() {
        let listing =
            "raft v0.7.0\nbytes v1.0\n\nslog v2.7\nbytes v1.0\nbytes v0.5 (*)\nraft v0.7.0 (*)\n";
        assert_eq!(others(listing, "raft"), 3);
    }
}
