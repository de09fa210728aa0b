//! Three processes behind proxies that stall and cut their connections at random, and clients that write all the while. At the end every write that was
//! acknowledged is on every node, no process has ended, and memory has stayed flat.
//!
//! Ten seconds by default; `KVEXAMPLE_CHAOS_SECONDS=300 cargo test --release -p kvexample --test chaos -- --nocapture` for five minutes. The seed is printed, and
//! taken from `KVEXAMPLE_CHAOS_SEED`.
#![allow(clippy::unwrap_used)]

mod common;

use common::proxy::Proxy;
use common::{PATIENCE, Place, Process, client, eventually, free_addr};
use kvexample::client::Client;
use kvexample::random;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const NODES: u64 = 3;
const CLIENTS: u64 = 8;
/// Keys a client, written again and again: the state does not grow, so that memory must not.
const KEYS: u64 = 500;
const VALUE: usize = 256;

/// splitmix64
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|v| v.parse().expect("the variable is a number"))
}

#[test]
fn every_acknowledged_write_survives_stalled_and_cut_connections() {
    let seconds = variable("KVEXAMPLE_CHAOS_SECONDS").unwrap_or(10);
    let seed = variable("KVEXAMPLE_CHAOS_SEED").unwrap_or_else(random);
    println!("KVEXAMPLE_CHAOS_SEED={seed} KVEXAMPLE_CHAOS_SECONDS={seconds}");
    let (proxies, mut nodes) = cluster();
    let endpoints: Vec<String> = nodes.iter().map(|n| n.http.clone()).collect();
    eventually("a leader", || {
        common::hasty(&endpoints[0])
            .status()
            .ok()
            .filter(|s| s.leader != 0)
    });

    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (stop, count, endpoints) =
                (Arc::clone(&stop), Arc::clone(&count), endpoints.clone());
            std::thread::spawn(move || write(n, &endpoints, &stop, &count))
        })
        .collect();

    let mut memory = Memory::default();
    disturb(
        &proxies,
        &mut nodes,
        Duration::from_secs(seconds),
        Rng(seed),
        &mut memory,
    );
    stop.store(true, Ordering::SeqCst);
    let acknowledged: BTreeMap<String, Wrote> = writers
        .into_iter()
        .flat_map(|w| w.join().unwrap())
        .collect();
    for node in &mut nodes {
        assert_eq!(
            node.has_ended(),
            None,
            "node {} ended (seed {seed})",
            node.id
        );
    }
    let unknown = acknowledged
        .values()
        .filter(|w| w.unknown.is_some())
        .count();
    println!(
        "{} writes acknowledged, {} keys, {unknown} last writes unknown, {} cuts",
        count.load(Ordering::SeqCst),
        acknowledged.len(),
        proxies.iter().map(Proxy::cuts).sum::<u64>()
    );
    for n in 0..CLIENTS {
        let of = format!("client-{n}-");
        let wrote = acknowledged
            .iter()
            .any(|(key, w)| key.starts_with(&of) && w.acknowledged.is_some());
        assert!(wrote, "client {n} wrote nothing at all (seed {seed})");
    }
    for node in &nodes {
        check(node, &acknowledged, seed);
    }
    memory.check(seconds, seed);
}

/// What a client knows of a key.
#[derive(Clone, Debug)]
struct Wrote {
    /// The last acknowledged value.
    acknowledged: Option<Vec<u8>>,
    /// A later one whose answer never came: it may be there instead.
    unknown: Option<Vec<u8>>,
}

fn cluster() -> (Vec<Proxy>, Vec<Process>) {
    let more = [
        "--tick-ms",
        "50",
        "--snapshot-entries",
        "2000",
        "--catch-up-entries",
        "1000",
        "--request-timeout-ms",
        "3000",
    ];
    for _ in 0..10 {
        let listen: Vec<String> = (0..NODES).map(|_| free_addr()).collect();
        let proxies: Vec<Proxy> = listen
            .iter()
            .map(|addr| Proxy::before(addr.clone()))
            .collect();
        let places: Vec<Place> = (1..)
            .zip(proxies.iter().zip(listen))
            .map(|(id, (proxy, listen))| Place {
                listen: Some(listen),
                ..Place::new(id, proxy.addr.clone())
            })
            .collect();
        let nodes: Result<Vec<Process>, String> = places
            .iter()
            .map(|p| Process::serve(p, &places, &more))
            .collect();
        if let Ok(nodes) = nodes {
            return (proxies, nodes);
        }
    }
    panic!("ten times a port was taken");
}

/// One client: writes its own keys, one after another, until it is told to stop.
fn write(
    n: u64,
    endpoints: &[String],
    stop: &AtomicBool,
    count: &AtomicU64,
) -> BTreeMap<String, Wrote> {
    let mut client = Client::new(endpoints.to_vec(), Duration::from_secs(20));
    let mut wrote = BTreeMap::new();
    for turn in 0u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("client-{n}-key-{}", turn % KEYS);
        let mut value = format!("turn {turn} of client {n} ").into_bytes();
        value.resize(VALUE, b'.');
        let result = client.put(key.as_bytes(), &value, None);
        let entry = wrote.entry(key).or_insert(Wrote {
            acknowledged: None,
            unknown: None,
        });
        match result {
            Ok(_) => {
                *entry = Wrote {
                    acknowledged: Some(value),
                    unknown: None,
                };
                count.fetch_add(1, Ordering::SeqCst);
            }
            Err(e) => {
                println!("client {n}: {e}");
                entry.unknown = Some(value);
            }
        }
    }
    wrote
}

/// Stalls and cuts at random, and lets the cluster breathe in between.
fn disturb(
    proxies: &[Proxy],
    nodes: &mut [Process],
    time: Duration,
    mut rng: Rng,
    memory: &mut Memory,
) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        let proxy = &proxies[usize::try_from(rng.below(NODES)).unwrap()];
        let pause = Duration::from_millis(20 + rng.below(400));
        match rng.below(4) {
            0 => proxy.cut(),
            1 => {
                proxy.stall(true);
                std::thread::sleep(pause);
                proxy.stall(false);
            }
            2 => {
                proxy.close(true);
                proxy.cut();
                std::thread::sleep(pause);
                proxy.close(false);
            }
            _ => std::thread::sleep(Duration::from_millis(rng.below(800))),
        }
        for node in nodes.iter_mut() {
            assert_eq!(node.has_ended(), None, "node {} ended", node.id);
        }
        memory.look(begun.elapsed(), nodes);
    }
}

/// Waits until the node has everything that was committed, then compares.
fn check(node: &Process, wrote: &BTreeMap<String, Wrote>, seed: u64) {
    // A linearizable read brings the node up to date; after it the local state will do.
    let mut client = client(&node.http);
    eventually("a node to answer", || client.get(b"nothing", false).ok());
    for (key, w) in wrote {
        let found = client.get(key.as_bytes(), true).unwrap().map(|f| f.value);
        let right = found == w.acknowledged || found.is_some() && found == w.unknown;
        assert!(
            right,
            "node {} lost {key}: it holds {:?}, acknowledged was {:?} (seed {seed})",
            node.id,
            found.map(|f| String::from_utf8_lossy(&f).into_owned()),
            w.acknowledged
                .as_ref()
                .map(|f| String::from_utf8_lossy(f).into_owned()),
        );
    }
}

/// Resident memory of each process over time, in KiB.
#[derive(Default)]
struct Memory(Vec<(Duration, Vec<u64>)>);

impl Memory {
    fn look(&mut self, at: Duration, nodes: &[Process]) {
        if self
            .0
            .last()
            .is_none_or(|last| at >= last.0 + Duration::from_millis(500))
        {
            self.0
                .push((at, nodes.iter().map(Process::resident).collect()));
        }
    }

    /// After a quarter of the time every buffer, table and log has its size: the highest after three quarters is compared with the highest before the half.
    fn check(&self, seconds: u64, seed: u64) {
        let time = Duration::from_secs(seconds);
        let highest = |from: Duration, to: Duration| {
            let within = self.0.iter().filter(|(at, _)| *at >= from && *at < to);
            within
                .flat_map(|(_, all)| all.iter().copied())
                .max()
                .unwrap_or(0)
        };
        let (before, after) = (
            highest(time / 4, time / 2),
            highest(time * 3 / 4, PATIENCE * 100),
        );
        println!("memory: highest {before} KiB in the second quarter, {after} KiB in the last");
        if cfg!(target_os = "linux") {
            assert!(
                before > 0 && after > 0,
                "memory was not measured (seed {seed})"
            );
            let nodes = usize::try_from(NODES).unwrap();
            let measured = |all: &[u64]| all.len() == nodes && all.iter().all(|kib| *kib > 0);
            assert!(
                self.0.iter().all(|(_, all)| measured(all)),
                "a process was not measured (seed {seed})"
            );
        }
        // Slack for allocators that give nothing back; a leak of each entry would be far beyond it in five minutes.
        assert!(
            after <= before + before / 4 + 16 * 1024,
            "memory grew (seed {seed})"
        );
    }
}
