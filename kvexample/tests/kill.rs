//! Three processes under load, each in turn killed with SIGKILL and started again on its directory. At the end every write that was acknowledged is on every node.
//!
//! Twice each by default, so that every run of the tests has it; `KVEXAMPLE_KILLS=100 cargo test --release -p kvexample --test kill -- --nocapture` kills each a
//! hundred times.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, Process, client, eventually, free_addr, hasty, leader_of};
use kvexample::backup;
use kvexample::client::Client;
use kvexample::kvstore::State;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const NODES: u64 = 3;
const CLIENTS: u64 = 4;
const QUICK: [&str; 8] = [
    "--tick-ms",
    "20",
    "--snapshot-entries",
    "3000",
    "--catch-up-entries",
    "500",
    "--request-timeout-ms",
    "3000",
];

#[test]
fn every_acknowledged_write_survives_kills() {
    let rounds = std::env::var("KVEXAMPLE_KILLS").map_or(2, |n| n.parse().expect("a number"));
    let (places, mut nodes) = cluster();
    leader_of(&nodes);
    let endpoints: Vec<String> = nodes.iter().map(|n| n.http.clone()).collect();
    let (stop, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let writers: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            let endpoints = endpoints.clone();
            std::thread::spawn(move || write(n, &endpoints, &stop, &count))
        })
        .collect();

    let begun = Instant::now();
    let (mut kills, mut of_leaders) = (0, 0);
    for round in 0..rounds {
        for at in 0..nodes.len() {
            // Load before each kill.
            let before = count.load(Ordering::SeqCst);
            eventually("writes between two kills", || {
                (count.load(Ordering::SeqCst) >= before + 10).then_some(())
            });
            let node = nodes.remove(at);
            let led = hasty(&node.http)
                .status()
                .is_ok_and(|s| s.leader == node.id);
            (kills, of_leaders) = (kills + 1, of_leaders + u64::from(led));
            node.kill();
            let place = &places[at];
            let back = eventually("its port", || Process::serve(place, &places, &QUICK).ok());
            nodes.insert(at, back);
            caught_up(&nodes[at], &nodes, round);
        }
    }
    let took = begun.elapsed();
    stop.store(true, Ordering::SeqCst);
    let written: Vec<(u64, Vec<u64>)> = writers.into_iter().map(|w| w.join().unwrap()).collect();
    println!(
        "{kills} kills ({of_leaders} of leaders) in {:.0} s, {} writes acknowledged",
        took.as_secs_f64(),
        count.load(Ordering::SeqCst)
    );
    for node in &nodes {
        let state = state_of(node);
        for (client, acknowledged) in &written {
            assert!(!acknowledged.is_empty(), "client {client} wrote nothing");
            for turn in acknowledged {
                let found = state.get(key(*client, *turn).as_bytes());
                let value = found.map(|f| f.value.to_vec());
                let lost = format!("node {} lost write {turn} of client {client}", node.id);
                assert_eq!(value, Some(value_of(*client, *turn)), "{lost}");
            }
        }
    }
}

fn cluster() -> (Vec<Place>, Vec<Process>) {
    for _ in 0..10 {
        // Each keeps its ports, whichever process has them.
        let port = |addr: String| addr.rsplit_once(':').unwrap().1.parse().unwrap();
        let places: Vec<Place> = (1..=NODES)
            .map(|id| Place {
                port: port(free_addr()),
                ..Place::new(id, free_addr())
            })
            .collect();
        let all: Result<Vec<Process>, String> = places
            .iter()
            .map(|p| Process::serve(p, &places, &QUICK))
            .collect();
        match all {
            Ok(all) => return (places, all),
            Err(why) => eprintln!("trying again on other ports: {why:?}"),
        }
    }
    panic!("ten times a port was taken");
}

fn key(client: u64, turn: u64) -> String {
    format!("client-{client}-{turn}")
}

fn value_of(client: u64, turn: u64) -> Vec<u8> {
    format!("write {turn} of client {client}").into_bytes()
}

/// One client: a new key each time, so that no write hides an earlier one. Returns which were acknowledged.
fn write(n: u64, endpoints: &[String], stop: &AtomicBool, count: &AtomicU64) -> (u64, Vec<u64>) {
    let mut client = Client::new(endpoints.to_vec(), Duration::from_secs(20));
    let mut acknowledged = Vec::new();
    for turn in 0u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        // What is not acknowledged may be there or not.
        if client
            .put(key(n, turn).as_bytes(), &value_of(n, turn), None)
            .is_ok()
        {
            acknowledged.push(turn);
            count.fetch_add(1, Ordering::SeqCst);
        }
        // The point is the kills; the state is to stay small.
        std::thread::sleep(Duration::from_millis(5));
    }
    (n, acknowledged)
}

/// Waits until the node has what the others have now: the next kill leaves a majority.
fn caught_up(node: &Process, all: &[Process], round: u64) {
    let goal = eventually("the others' commit index", || {
        let others = all.iter().filter(|p| p.id != node.id);
        others
            .map(|p| Some(hasty(&p.http).status().ok()?.commit))
            .collect::<Option<Vec<u64>>>()?
            .into_iter()
            .max()
    });
    let what = format!("node {} to catch up in round {round}", node.id);
    eventually(&what, || {
        let s = hasty(&node.http).status().ok()?;
        (s.applied >= goal && s.leader != 0).then_some(())
    });
}

/// The node's own state, with all that was acknowledged before.
fn state_of(node: &Process) -> State {
    let mut bytes = Vec::new();
    client(&node.http).backup(&mut bytes).unwrap();
    backup::read(&mut &bytes[..]).unwrap()
}
