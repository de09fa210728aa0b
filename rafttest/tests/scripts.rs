//! The repository's own scripts, and the binary that runs them. Go: interaction_test.go

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tickraft_rafttest::datadriven::TestData;
use tickraft_rafttest::{InteractionEnv, Options, datadriven, run_files};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn rafttest(args: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rafttest"));
    command.args(args).output().unwrap()
}

fn stdout(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

/// No script of ours forges anything, so a violated property fails it too.
#[test]
fn our_scripts_print_what_they_say() {
    let strict = Options {
        strict: true,
        ..Options::default()
    };
    let results = run_files(&[testdata()], strict);
    assert!(results.len() >= 38, "only {} scripts", results.len());
    let failed: String = results
        .iter()
        .filter(|r| !r.passed)
        .map(|r| format!("{}{}", r.text, r.violations))
        .collect();
    assert!(failed.is_empty(), "{failed}");
}

/// A script says in its first line what it shows.
#[test]
fn every_script_begins_with_its_purpose() {
    for entry in std::fs::read_dir(testdata()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{}", path.display());
        let is_trap = path
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .starts_with("trap_");
        assert_eq!(is_trap, text.starts_with("# Trap: "), "{}", path.display());
    }
}

fn run(env: &mut InteractionEnv, line: &str) -> String {
    let (cmd, cmd_args) = datadriven::parse_line(line).unwrap();
    let d = TestData {
        cmd,
        cmd_args,
        ..TestData::default()
    };
    env.handle(&d).unwrap()
}

/// slog leaves DEBUG lines out of release builds unless told otherwise. Run in release too.
#[test]
fn debug_lines_are_there_in_every_build() {
    let mut env = InteractionEnv::new();
    run(&mut env, "add-nodes 1 voters=(1) index=2");
    run(&mut env, "campaign 1");
    run(&mut env, "stabilize");
    assert_eq!(
        run(&mut env, "campaign 1"),
        "DEBUG 1 ignoring MsgHup because already leader\n"
    );
    run(&mut env, "log-level info");
    assert_eq!(run(&mut env, "campaign 1"), "ok");
}

#[test]
fn the_binary_counts_and_shows() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("wrong.txt");
    std::fs::write(&wrong, "vote cfg=(1) votes=(n)\n----\nVoteWon\n").unwrap();

    let out = rafttest(&[&testdata().join("replicate_set_x.txt")]);
    assert_eq!(
        (stdout(&out).as_str(), out.status.code()),
        ("1 passed, 0 failed\n", Some(0))
    );

    let out = rafttest(&[&testdata().join("replicate_set_x.txt"), dir.path()]);
    let text = stdout(&out);
    assert!(text.contains("\n-VoteWon\n+VoteLost\n"), "{text}");
    assert_eq!(text.lines().last(), Some("1 passed, 1 failed"));
    assert_eq!(out.status.code(), Some(1));

    let out = rafttest(&["--rewrite".as_ref(), dir.path()]);
    assert_eq!(
        stdout(&out),
        format!("rewrote {}\n1 passed, 0 failed\n", wrong.display())
    );
    assert_eq!(stdout(&rafttest(&[dir.path()])), "1 passed, 0 failed\n");
}

#[test]
fn the_binary_explains_itself() {
    for args in [&[][..], &["--rewrite"], &["--nonsense", "x"]] {
        let args: Vec<&Path> = args.iter().map(Path::new).collect();
        let out = rafttest(&args);
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("usage: rafttest"));
        assert!(out.stdout.is_empty());
    }
    let out = rafttest(&["--help".as_ref()]);
    assert!(out.status.success() && stdout(&out).starts_with("usage: rafttest"));
    let out = rafttest(&["/nonexistent".as_ref()]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(stdout(&out).lines().last(), Some("0 passed, 1 failed"));
}

#[test]
fn the_trace_of_a_script_is_numbered_lines_of_json() {
    let dir = tempfile::tempdir().unwrap();
    let script = testdata().join("replicate_set_x.txt");
    let status = Command::new(env!("CARGO_BIN_EXE_trace"))
        .arg(dir.path())
        .arg(script)
        .status()
        .unwrap();
    assert!(status.success());
    let text = std::fs::read_to_string(dir.path().join("replicate_set_x.ndjson")).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["seq"], format!("{:010}", at + 1));
        assert_eq!(line["tag"], "trace");
        names.insert(line["event"]["name"].as_str().unwrap().to_owned());
    }
    assert!(
        names.contains("BecomeLeader") && names.contains("Replicate"),
        "{names:?}"
    );
}
