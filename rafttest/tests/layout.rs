//! The arrows between the layers, checked against what cargo itself says. Go: (none)

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// For each package, which of ours it may depend on directly in what it ships (dev-dependencies are free), and in which folder it lives.
/// `*` means any.
const ARROWS: &[(&str, &str, &[&str])] = &[
    ("tickraft-raftpb", "raftpb", &[]),
    ("tickraft-storage", "storage", &["tickraft-raftpb"]),
    ("tickraft-storage-mem", "storage-mem", &["tickraft-storage"]),
    ("tickraft-storage-wal", "storage-wal", &["tickraft-storage"]),
    ("tickraft", "raft", &["tickraft-storage"]),
    ("tickraft-rawnode", "rawnode", &["tickraft"]),
    ("tickraft-node", "node", &["tickraft-rawnode"]),
    (
        "tickraft-transport-tcp",
        "transport-tcp",
        &["tickraft-raftpb"],
    ),
    ("tickraft-rafttest", "rafttest", &["*"]),
    ("kvexample", "kvexample", &["*"]),
    ("benches", "benches", &["*"]),
    ("interop", "rust", &["*"]),
];

/// What the core and what stands below it may use of others. The list stays short on purpose: adding to it is a decision.
const CORE_EXTERNAL: &[&str] = &["bytes", "prost", "slog", "smallvec", "thiserror"];

fn metadata() -> Value {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("cargo prints JSON")
}

/// Package name → (folder, names of its normal and build dependencies).
fn packages() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let metadata = metadata();
    let text = |v: &Value| v.as_str().expect("a string").to_owned();
    let mut found = BTreeMap::new();
    for p in metadata["packages"].as_array().expect("packages") {
        let manifest = text(&p["manifest_path"]);
        let folder = manifest.rsplit('/').nth(1).expect("a folder").to_owned();
        let deps = p["dependencies"].as_array().expect("dependencies");
        let shipped = deps
            .iter()
            .filter(|d| d["kind"].as_str() != Some("dev"))
            .map(|d| text(&d["name"]))
            .collect();
        found.insert(text(&p["name"]), (folder, shipped));
    }
    found
}

#[test]
fn the_arrows_hold() {
    let packages = packages();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        packages.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        ours,
        "the workspace's members"
    );
    for (name, folder, may) in ARROWS {
        let (found_folder, deps) = &packages[*name];
        assert_eq!(found_folder, folder, "{name} lives elsewhere");
        let used = deps.iter().map(String::as_str).filter(|d| ours.contains(d));
        let wrong: Vec<_> = used
            .filter(|d| !may.contains(&"*") && !may.contains(d))
            .collect();
        assert!(wrong.is_empty(), "{name} may not depend on {wrong:?}");
    }
}

#[test]
fn the_core_depends_on_little() {
    let packages = packages();
    for name in [
        "tickraft-raftpb",
        "tickraft-storage",
        "tickraft",
        "tickraft-rawnode",
    ] {
        let (_, deps) = &packages[name];
        let others = deps
            .iter()
            .filter(|d| !packages.contains_key(*d))
            .map(String::as_str);
        let wrong: Vec<_> = others.filter(|d| !CORE_EXTERNAL.contains(d)).collect();
        assert!(wrong.is_empty(), "{name} has gained {wrong:?}");
    }
}
