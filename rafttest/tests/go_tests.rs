//! docs/go-tests.md, checked against the tree: each test of etcd's has its row, and each test of ours that a row names is there. Go: (none)

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// A row: etcd's test with its file, what we have for it, and what is to be said of that.
struct Row {
    go: String,
    ours: Vec<String>,
    remark: String,
}

fn rows(text: &str) -> Vec<Row> {
    let mut file = "";
    let mut found = Vec::new();
    for line in text.lines() {
        file = line.strip_prefix("## ").unwrap_or(file);
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [go, ours, remark] = cells[..] else {
            continue;
        };
        if ["Test", "Benchmark", "Example"]
            .iter()
            .any(|k| go.starts_with(k))
        {
            let ours = ours.split('`').skip(1).step_by(2).map(str::to_owned);
            found.push(Row {
                go: format!("{file} {go}"),
                ours: ours.collect(),
                remark: remark.to_owned(),
            });
        }
    }
    found
}

/// Whether a file is part of a test target: Cargo finds it, or the module above declares it.
fn is_compiled(path: &Path) -> bool {
    let (Some(dir), Some(stem)) = (path.parent(), path.file_stem().and_then(|s| s.to_str())) else {
        return false;
    };
    if stem == "main"
        || stem == "lib"
        || dir.ends_with("tests") && dir.with_file_name("Cargo.toml").exists()
    {
        return true;
    }
    let (module, above) = match (stem, dir.file_name().and_then(|s| s.to_str())) {
        ("mod", Some(name)) => (name, dir.parent().unwrap_or(dir)),
        _ => (stem, dir),
    };
    let declares = format!("mod {module};");
    let parents = [
        above.join("mod.rs"),
        above.join("main.rs"),
        above.join("lib.rs"),
        above.with_extension("rs"),
    ];
    parents
        .iter()
        .any(|p| fs::read_to_string(p).is_ok_and(|t| t.contains(&declares)))
}

/// Whether the function is there and carries `#[test]`.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let declares = |l: &str| {
        l.strip_prefix("fn ")
            .and_then(|l| l.strip_prefix(name))
            .is_some_and(|l| l.starts_with('('))
    };
    let Some(at) = lines.iter().position(|l| declares(l)) else {
        return false;
    };
    let attributes = lines[..at]
        .iter()
        .rev()
        .take_while(|l| !l.is_empty() && **l != "}");
    attributes.into_iter().any(|l| *l == "#[test]")
}

fn check(row: &Row) -> Result<(), String> {
    if row.ours.is_empty() && row.remark.len() < 10 {
        return Err(format!("{}: nothing, and no reason", row.go));
    }
    for ours in &row.ours {
        let Some((path, name)) = ours.split_once("::") else {
            // A program, or a script of ours.
            let file = root().join(ours);
            file.is_file()
                .then_some(())
                .ok_or_else(|| format!("{}: no file {ours}", row.go))?;
            continue;
        };
        let file = root().join(path);
        let source = read(&file).map_err(|e| format!("{}: {e}", row.go))?;
        let there = if row.go.contains(" Benchmark") {
            source.contains(&format!("fn {name}("))
        } else {
            is_test(&source, name) && is_compiled(&file)
        };
        there
            .then_some(())
            .ok_or_else(|| format!("{}: {ours} is no test", row.go))?;
    }
    Ok(())
}

/// etcd-io/raft v3.7.0 has 258 test functions; at least 245 have a Rust test of ours for them, a program that runs etcd's own files not counted.
#[test]
fn every_test_of_etcd_s_is_accounted_for() {
    let rows = rows(&read(&root().join("docs/go-tests.md")).unwrap_or_else(|e| panic!("{e}")));
    let wrong: Vec<_> = rows.iter().filter_map(|r| check(r).err()).collect();
    assert!(
        wrong.is_empty(),
        "{} rows are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let names: BTreeSet<_> = rows.iter().map(|r| &r.go).collect();
    assert_eq!(names.len(), rows.len(), "a test has two rows");
    let tests: Vec<_> = rows.iter().filter(|r| r.go.contains(" Test")).collect();
    assert_eq!(tests.len(), 258);
    let have = tests
        .iter()
        .filter(|r| r.ours.iter().any(|o| o.contains("::")))
        .count();
    assert!(have >= 245, "only {have}");
}

/// What is not there, carries no `#[test]` or is in no module is noticed.
#[test]
fn wrong_rows_are_noticed() {
    let row = |ours: &str| {
        let table = format!("## x_test.go\n| TestX | {ours} | a remark of some length |\n");
        let rows = rows(&table);
        assert_eq!((rows.len(), rows[0].go.as_str()), (1, "x_test.go TestX"));
        check(&rows[0])
    };
    let here = "rafttest/tests/go_tests.rs";
    assert_eq!(row(&format!("`{here}::wrong_rows_are_noticed`")), Ok(()));
    assert_eq!(row("`interop/conformance`"), Ok(()));
    assert_eq!(row("–"), Ok(()));
    assert!(
        row(&format!(
            "`{here}::wrong_rows_are_noticed`, `{here}::is_test`"
        ))
        .is_err()
    );
    for ours in [
        "rafttest/tests/nothing.rs::x",
        "rafttest/testdata/nothing.txt",
        &format!("{here}::wrong_rows"),
    ] {
        assert!(row(&format!("`{ours}`")).is_err(), "{ours}");
    }
    assert!(!is_compiled(&root().join("raft/src/raft/tests/nothing.rs")));
    assert!(is_compiled(&root().join("raft/src/raft/tests/roles.rs")));
    assert!(is_compiled(&root().join("raft/src/raft/tests/mod.rs")));
}
