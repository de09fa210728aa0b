//! etcd's own dumper against ours, on directories of ours: run by `interop/dumplogs`, which builds the dumper. Go: tools/etcd-dump-logs
//!
//! Not part of `cargo test`: without the dumper there is nothing to compare with. Ends with `N passed, M failed`.

#![allow(clippy::unwrap_used)]

#[path = "dumplogs/directories.rs"]
mod directories;
#[path = "dumplogs/text.rs"]
mod text;

use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use text::Fields;

fn main() -> ExitCode {
    let Some(dumper) = std::env::var_os("TICKRAFT_ETCD_DUMP_LOGS") else {
        println!(
            "dumplogs: SKIPPED, nothing was compared: interop/dumplogs sets TICKRAFT_ETCD_DUMP_LOGS to etcd's dumper"
        );
        return ExitCode::SUCCESS;
    };
    let root = tempfile::tempdir().unwrap();
    let etcd = Etcd {
        dumper: dumper.into(),
        copies: root.path().join("copies"),
    };
    let (mut passed, mut failed) = (0, 0);
    for (name, write) in directories::ALL {
        let dir = root.path().join(name);
        write(&dir);
        for (what, dir) in [(*name, dir.clone()), ("its export", export(&dir))] {
            match compare(&etcd, &dir) {
                Ok(records) => {
                    println!("{name}: {what}: {records} records");
                    passed += 1;
                }
                Err(e) => {
                    println!("{name}: {what}: {e}");
                    failed += 1;
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// etcd's dumper. It is only given copies.
struct Etcd {
    dumper: PathBuf,
    copies: PathBuf,
}

impl Etcd {
    /// What it prints, if it finds nothing wrong.
    fn dump(&self, args: &[&str], dir: &Path) -> Result<String, String> {
        let _ = std::fs::remove_dir_all(&self.copies);
        directories::copy(dir, &self.copies);
        let o = Command::new(&self.dumper)
            .args(args)
            .arg(&self.copies)
            .output()
            .unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&o.stdout),
            String::from_utf8_lossy(&o.stderr),
        );
        // It ends with 0 on a CRC mismatch, and says so.
        let wrong = err
            .lines()
            .find(|l| l.contains("Error") || l.contains("Unexpected"));
        if !o.status.success() || wrong.is_some() {
            return Err(format!("etcd-dump-logs {args:?}: {}: {err}", o.status));
        }
        Ok(out.into_owned())
    }
}

/// `wal export --etcd` of a directory, beside it.
fn export(dir: &Path) -> PathBuf {
    let to = dir.with_extension("etcd");
    let o = Command::new(env!("CARGO_BIN_EXE_wal"))
        .arg("export")
        .arg("--etcd")
        .arg(&to)
        .arg(dir)
        .output()
        .unwrap();
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
    to
}

/// What `wal dump` prints of a directory.
fn ours(dir: &Path) -> Vec<Value> {
    let o = Command::new(env!("CARGO_BIN_EXE_wal"))
        .args(["dump", "--json"])
        .arg(dir)
        .output()
        .unwrap();
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
    String::from_utf8(o.stdout)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

/// Every record as etcd reads it and as we do, then what etcd's own open makes of the directory. Returns how many records there are.
fn compare(etcd: &Etcd, dir: &Path) -> Result<usize, String> {
    let raw = etcd.dump(&["-raw"], dir)?;
    let mut theirs: Vec<&str> = raw.lines().collect();
    same(
        "the last line",
        &theirs.pop(),
        &Some("EOF: All entries were processed."),
    )?;
    let ours = ours(dir);
    for (n, (t, o)) in theirs.iter().zip(&ours).enumerate() {
        let (kind, fields) = text::parse(t)?;
        let context = format!("record {n}, {} at {}", o["segment"], o["offset"]);
        same(
            &context,
            &theirs_as_json(&kind, &fields)?,
            &ours_as_json(o)?,
        )?;
    }
    same("how many records", &theirs.len(), &ours.len())?;
    if ours.is_empty() {
        return Err("no records".into());
    }
    opened(&etcd.dump(&[], dir)?, &ours)?;
    Ok(ours.len())
}

fn same<T: PartialEq + Debug>(what: &str, theirs: &T, ours: &T) -> Result<(), String> {
    if theirs == ours {
        return Ok(());
    }
    Err(format!("{what}: etcd reads {theirs:?}, we {ours:?}"))
}

/// The last index and the hard state that etcd's open arrives at.
fn opened(theirs: &str, ours: &[Value]) -> Result<(), String> {
    let last_of = |kind: &str| ours.iter().rfind(|r| r["type"] == kind);
    let hs = last_of("state").ok_or("no hard state")?;
    let want = format!(
        "term={} commitIndex={} vote={:x}",
        hs["term"],
        hs["commit"],
        hs["vote"].as_u64().unwrap_or(0)
    );
    if !theirs.contains(&want) {
        return Err(format!(
            "etcd opens it with another hard state than {want}: {theirs}"
        ));
    }
    // Where the newest snapshot replaced all entries there are none.
    let snapshot = ours
        .iter()
        .filter(|r| r["type"] == "snapshot")
        .filter_map(|r| r["index"].as_u64())
        .max();
    let last = last_of("entry")
        .and_then(|e| e["index"].as_u64())
        .unwrap_or(0);
    let want = if last > snapshot.unwrap_or(0) {
        format!("lastIndex={last}")
    } else {
        "WAL entries: 0".into()
    };
    if theirs.lines().any(|l| l == want) {
        Ok(())
    } else {
        Err(format!("etcd opens it with another {want}: {theirs}"))
    }
}

/// One record, with what etcd's dumper can say of it.
fn theirs_as_json(kind: &str, f: &Fields) -> Result<Value, String> {
    let conf = f.inner("conf_state").map(|c| {
        json!({
            "voters": c.numbers("voters"),
            "learners": c.numbers("learners"),
            "voters_outgoing": c.numbers("voters_outgoing"),
            "learners_next": c.numbers("learners_next"),
            "auto_leave": c.text("auto_leave") == Some("true"),
        })
    });
    Ok(match kind {
        "CRC" => json!({ "type": "crc", "crc": f.number("") }),
        // etcd has no name for the incarnation's field.
        "Metadata" => {
            json!({ "type": "metadata", "node": f.number("NodeID"), "cluster": f.number("ClusterID") })
        }
        "Entry" => json!({
            "type": "entry", "term": f.number("Term"), "index": f.number("Index"), "entry_type": f.text("Type").unwrap_or("EntryNormal"),
            "data": base64(f.bytes("Data")),
        }),
        "HardState" => {
            json!({ "type": "state", "term": f.number("term"), "vote": f.number("vote"), "commit": f.number("commit") })
        }
        "Snapshot" => {
            json!({ "type": "snapshot", "index": f.number("index"), "term": f.number("term"), "conf_state": conf })
        }
        other => return Err(format!("etcd prints {other}")),
    })
}

fn ours_as_json(r: &Value) -> Result<Value, String> {
    let kind = r["type"].as_str().unwrap_or("?");
    let keep: &[&str] = match kind {
        "crc" => &["crc"],
        "metadata" => return metadata(r),
        "entry" => &["term", "index", "entry_type", "data"],
        "state" => &["term", "vote", "commit"],
        "snapshot" => &["index", "term", "conf_state"],
        other => return Err(format!("wal dump prints {other}")),
    };
    let mut out = json!({ "type": kind });
    for k in keep {
        out[*k] = r[*k].clone();
    }
    same("status", &r["status"], &json!("ok"))?;
    Ok(out)
}

fn metadata(r: &Value) -> Result<Value, String> {
    use base64::Engine as _;
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(r["data"].as_str().unwrap_or_default());
    let i = bytes
        .ok()
        .and_then(|b| tickraft_storage_wal::Identity::decode(&b))
        .ok_or("metadata that is no identity")?;
    Ok(json!({ "type": "metadata", "node": i.node_id, "cluster": i.cluster_id }))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
