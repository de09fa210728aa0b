//! Three processes, as an operator runs them.

use crate::common::{Place, Process, eventually, free_addr, leader_of, processes, send};
use kvexample::api::AddMember;
use std::process::Command;

const QUICK: [&str; 2] = ["--tick-ms", "50"];

/// Runs a client command and returns what it prints.
fn cli(endpoints: &str, args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_kvexample"))
        .args(args)
        .args(["--endpoints", endpoints, "--timeout", "60"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{args:?}: {text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    text
}

#[test]
fn the_life_of_a_cluster() {
    let (mut places, mut nodes) = processes(3, &QUICK);
    let leader = leader_of(&nodes);
    let follower = nodes.iter().find(|n| n.id != leader).unwrap().http.clone();

    // Puts through a follower, linearizable gets from every node.
    for n in 0..20 {
        cli(&follower, &["put", &format!("k{n}"), &format!("v{n}")]);
    }
    for node in &nodes {
        assert_eq!(cli(&node.http, &["get", "k19"]), "v19");
    }

    // The leader is killed; writes are accepted again.
    let at = nodes.iter().position(|n| n.id == leader).unwrap();
    nodes.remove(at).kill();
    let rest = nodes
        .iter()
        .map(|n| n.http.clone())
        .collect::<Vec<_>>()
        .join(",");
    cli(&rest, &["put", "after", "the kill"]);
    assert_ne!(leader_of(&nodes), leader);

    // The dead one is removed, a fourth joins as a learner and is promoted.
    cli(&rest, &["members", "remove", &leader.to_string()]);
    let fourth = joined(&mut places, &rest, 4, leader);
    eventually("the promotion", || {
        fourth.client().promote_member(4, false).ok()
    });
    assert_eq!(cli(&fourth.http, &["get", "after"]), "the kill");
    nodes.push(fourth);
    let list = cli(&rest, &["members"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(!list.contains("learner"), "{list}");

    // One that runs is removed, and stops with success.
    let leaver = nodes.remove(0);
    let rest = nodes
        .iter()
        .map(|n| n.http.clone())
        .collect::<Vec<_>>()
        .join(",");
    cli(&rest, &["members", "remove", &leaver.id.to_string()]);
    assert!(leaver.wait().success());
    cli(&rest, &["put", "k0", "changed"]);
    for node in &nodes {
        assert_eq!(cli(&node.http, &["get", "k0"]), "changed");
        assert_eq!(cli(&node.http, &["get", "k1"]), "v1");
    }

    // SIGTERM hands over and ends with success.
    let leader = leader_of(&nodes);
    let at = nodes.iter().position(|n| n.id == leader).unwrap();
    let last = nodes.remove(at);
    last.signal("TERM");
    assert!(last.wait().success());
    assert_eq!(cli(&nodes[0].http, &["get", "k0", "--stale"]), "changed");
}

/// Adds a member and starts it; on other ports when one was taken meanwhile.
fn joined(places: &mut Vec<Place>, rest: &str, id: u64, gone: u64) -> Process {
    places.retain(|p| p.id != gone);
    let raft = free_addr();
    let place = Place::new(id, raft.clone());
    let endpoints = rest.split(',').map(str::to_owned).collect();
    let mut client = kvexample::client::Client::new(endpoints, crate::common::PATIENCE);
    client
        .add_member(&AddMember {
            id: Some(id),
            addr: raft,
            learner: true,
            incarnation: 0,
            force: false,
        })
        .unwrap();
    places.push(place.clone());
    let more = [&QUICK[..], &["--join"]].concat();
    // Nobody but this machine's other tests can have taken the port; they give it back.
    eventually("the port", || Process::serve(&place, places, &more).ok())
}

#[test]
fn the_demo_tells_its_story() {
    for nodes in ["1", "3"] {
        let out = Command::new(env!("CARGO_BIN_EXE_kvexample"))
            .args(["demo", "--exit-when-done", "--nodes", nodes])
            .output()
            .unwrap();
        let (told, log) = (
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr),
        );
        assert!(out.status.success(), "{told}{log}");
        assert_eq!(log, "", "no log noise");
        assert!(told.contains("leads"), "{told}");
        let lost = told_in_order(
            &told,
            &[
                "Stopping node ",
                "leads now, in term",
                "PUT after-the-stop = still here",
                "again, from its directory",
                "has all ",
                "also what it was not there for",
                "after-the-stop = still here, from-a-follower = me too",
            ],
        );
        assert_eq!(lost, nodes == "3", "{told}");
        assert_eq!(told.contains("Stopping node "), nodes == "3", "{told}");
        if nodes == "3" {
            let (old, new) = (
                number_after(&told, "Stopping node "),
                told.lines()
                    .find(|l| l.contains("leads now"))
                    .map(|l| number_after(l, "Node "))
                    .unwrap(),
            );
            assert_ne!(old, new, "{told}");
            // The last read is that of the node that came back, and only its.
            let (_, end) = told.rsplit_once("Reading everything from node ").unwrap();
            assert!(
                end.contains(&format!("\n  node {old}:  from-1 = ")),
                "{told}"
            );
        }
    }
}

/// Whether the text has these parts, each after the one before.
fn told_in_order(text: &str, parts: &[&str]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

fn number_after(text: &str, words: &str) -> u64 {
    let (_, rest) = text.split_once(words).unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn what_cannot_be_started_says_why() {
    let run = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_kvexample"))
            .args(args)
            .output()
            .unwrap();
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    let (code, text) = run(&[
        "serve",
        "--id",
        "4",
        "--cluster",
        "127.0.0.1:1,127.0.0.1:2",
        "--port",
        "0",
        "--data-dir",
        "/nowhere/that/is",
    ]);
    assert_eq!(code, Some(1));
    assert!(text.contains("node 4 has no address"), "{text}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (code, text) = run(&["serve", "--id", "1", "--cluster", &addr, "--port", "0"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("cannot listen on") && text.contains(&addr),
        "{text}"
    );
    let (code, text) = run(&["get", "k", "--endpoints", &free_addr(), "--timeout", "0.2"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("no answer from"), "{text}");
}

/// A free address, and its port.
fn free_port() -> (String, String) {
    let addr = free_addr();
    let port = addr.rsplit_once(':').unwrap().1.to_owned();
    (addr, port)
}

/// Runs a command that is to fail, and returns its exit code and what it says.
fn fails(args: &[&str]) -> (i32, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_kvexample"))
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success(), "{args:?}");
    (out.status.code().unwrap(), text)
}

/// Runs a command that is to succeed.
fn works(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_kvexample"))
        .args(args)
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{args:?}: {err}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn a_backup_is_whole_or_refused_and_begins_a_new_cluster() {
    let (_, nodes) = processes(3, &QUICK);
    leader_of(&nodes);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, data) = (path("backup"), path("data"));
    // More than one piece, and more than a client's buffer.
    let mut client = nodes[0].client();
    for n in 0..12u8 {
        client.put(&[b'k', n], &vec![n; 1 << 20], None).unwrap();
    }
    let put = client.put(b"last", b"one", None).unwrap();
    let told = works(&["backup", &file, "--endpoints", &nodes[1].http]);
    assert!(told.contains("13 keys"), "{told}");
    let (_, text) = fails(&["backup", &file, "--endpoints", &nodes[1].http]);
    assert!(text.contains("is there already"), "{text}");
    drop(nodes);

    let (addr, _) = free_port();
    let restore = |file: &str, data: &str| {
        let args = ["restore", file, "--id", "7", "--addr", &addr];
        [&args[..], &["--data-dir", data]]
            .concat()
            .iter()
            .map(|a| (*a).to_owned())
            .collect::<Vec<_>>()
    };
    let bad = path("bad");
    let mut bytes = std::fs::read(&file).unwrap();
    for damage in ["cut", "flipped"] {
        match damage {
            "cut" => std::fs::write(&bad, &bytes[..bytes.len() - 1]).unwrap(),
            _ => {
                bytes[1000] ^= 1;
                std::fs::write(&bad, &bytes).unwrap();
            }
        }
        let args = restore(&bad, &data);
        let (_, text) = fails(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(
            text.contains("the backup cannot be used"),
            "{damage}: {text}"
        );
        assert!(!std::path::Path::new(&data).exists());
    }
    let args = restore(&file, &data);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    works(&args);
    let (_, text) = fails(&args);
    assert!(text.contains("is not empty"), "{text}");

    let place = Place::new(7, addr);
    let alone = Process::come_back(&place, std::path::Path::new(&data), &QUICK).unwrap();
    let mut client = alone.client();
    let found = client.get(b"last", false).unwrap().unwrap();
    assert_eq!(
        (found.value.as_slice(), found.index),
        (&b"one"[..], put.index)
    );
    for n in 0..12u8 {
        let found = client.get(&[b'k', n], false).unwrap().unwrap();
        assert_eq!(found.value, vec![n; 1 << 20]);
    }
    let members = client.members(false).unwrap().members;
    assert_eq!(members.iter().map(|m| m.id).collect::<Vec<_>>(), [7]);
    client.put(b"after", b"it", Some(0)).unwrap();
}

#[test]
fn a_node_whose_majority_is_lost_begins_a_cluster_of_its_own() {
    let (places, mut nodes) = processes(3, &QUICK);
    leader_of(&nodes);
    let mut last = nodes.pop().unwrap();
    last.client().put(b"k", b"v", None).unwrap();
    assert_eq!(cli(&last.http, &["get", "k"]), "v");
    nodes.drain(..).for_each(Process::kill);
    let place = places[2].clone();
    let data = place.data();
    let dir = data.to_str().unwrap();
    let (_, text) = fails(&["recover", "--force-new-cluster", dir]);
    assert!(text.contains("locked"), "while it runs: {text}");
    last.signal("KILL");
    eventually("its end", || last.has_ended());
    let told = works(&["recover", "--force-new-cluster", dir]);
    assert!(
        told.contains("1 keys") && told.contains("node 3 alone"),
        "{told}"
    );
    assert!(data.join("member.before-recovery-1/wal").exists());

    let alone = Process::come_back(&place, &data, &QUICK).unwrap();
    assert_eq!(cli(&alone.http, &["get", "k"]), "v");
    cli(&alone.http, &["put", "k", "w"]);
    let members = alone.client().members(false).unwrap().members;
    assert_eq!(members.iter().map(|m| m.id).collect::<Vec<_>>(), [3]);
    // One of the old cluster is turned away: it stays without a leader.
    let old = Process::serve(&places[0], &places, &QUICK).unwrap();
    eventually("the refusal", || {
        let report = old.client().status().ok()?;
        let refused = |e: &Option<String>| {
            e.as_ref()
                .is_some_and(|e| e.contains("the cluster ids differ"))
        };
        report
            .connections
            .iter()
            .any(|c| c.id == 3 && refused(&c.last_error))
            .then_some(())
    });
}

#[test]
fn a_damaged_directory_ends_with_2_and_names_the_command_that_helps() {
    let (places, nodes) = processes(1, &QUICK);
    for n in 0..20u8 {
        nodes[0].client().put(&[n], &[n; 100], None).unwrap();
    }
    let stopped = nodes.into_iter().next().unwrap();
    stopped.signal("TERM");
    assert!(stopped.wait().success());
    let wal = places[0].data().join("member/wal");
    let segment = std::fs::read_dir(&wal)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.to_str().unwrap().ends_with("-0000000000000000.wal"))
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[2000] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let data = places[0].data();
    let dir = data.to_str().unwrap();
    let serve = ["serve", "--id", "1", "--port", "0", "--data-dir", dir];
    let (code, text) = fails(&serve);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("corrupt log") && text.contains(&format!("verify {dir}")),
        "{text}"
    );
    std::fs::remove_file(wal.join("durable.mark")).unwrap();
    let (code, text) = fails(&serve);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains(&format!("repair --without-mark {dir}")),
        "{text}"
    );
}

#[test]
fn a_first_member_waits_for_a_majority_and_can_be_stopped_meanwhile() {
    let places: Vec<Place> = (1..=3).map(|id| Place::new(id, free_addr())).collect();
    let alone = eventually("the port", || {
        Process::serve(&places[0], &places, &QUICK).ok()
    });
    let data = places[0].data();
    eventually("its directory", || {
        data.join("member/wal").exists().then_some(())
    });
    let early = send("GET", &format!("{}/status", alone.http), &[], None);
    let no = ("not_started".into(), "no".into());
    assert_eq!((early.status, early.error()), (503, no));
    alone.signal("TERM");
    assert!(alone.wait().success());
    // Neither that nor a kill keeps it from beginning later.
    let killed = Process::serve(&places[0], &places, &QUICK).unwrap();
    killed.kill();
    let all: Vec<Process> = places[..2]
        .iter()
        .map(|p| eventually("the port", || Process::serve(p, &places, &QUICK).ok()))
        .collect();
    leader_of(&all);
    cli(&all[0].http, &["put", "k", "v"]);
}
