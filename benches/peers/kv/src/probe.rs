//! What bounds one client's write from below: an fdatasync while two other processes sync, too, and a round trip over loopback.

use crate::args::Disk;
use peer_common::latency::Latencies;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The size of the file that is written over, as a preallocated log is.
const FILE: u64 = 16 << 20;

/// Three processes of [`sync_loop`], and a ping-pong after them.
pub(crate) fn measure(a: &Disk) -> Result<Value, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let start = |i: u32| {
        let mut c = Command::new(&program);
        c.args([
            "sync",
            "--seconds",
            &a.seconds.to_string(),
            "--bytes",
            &a.bytes.to_string(),
            "--dir",
        ]);
        c.arg(a.dir.join(format!("sync-{}-{i}", std::process::id())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        c.spawn().map_err(|e| e.to_string())
    };
    let children: Result<Vec<_>, String> = (0..3).map(start).collect();
    let mut p50s = Vec::new();
    for child in children? {
        let done = child.wait_with_output().map_err(|e| e.to_string())?;
        let line: Value = serde_json::from_slice(&done.stdout).map_err(|e| e.to_string())?;
        p50s.push(
            line["p50_us"]
                .as_f64()
                .ok_or("a syncing process gave no figure")?,
        );
    }
    p50s.sort_by(f64::total_cmp);
    let alone = sync_loop(a)?;
    let trip = round_trip(a.seconds).map_err(|e| e.to_string())?;
    let trip = trip["p50_us"].as_f64().unwrap_or_default();
    let bound = p50s[1] + 2.0 * trip;
    Ok(
        json!({"bench": "disk", "fdatasync_p50_us_of_three": p50s, "fdatasync_p50_us_alone": alone["p50_us"], "round_trip_p50_us": trip, "bound_us": bound, "target_us": 1.5 * bound}),
    )
}

/// Writes and syncs, one after the other.
pub(crate) fn sync_loop(a: &Disk) -> Result<Value, String> {
    std::fs::create_dir_all(&a.dir).map_err(|e| e.to_string())?;
    let path = Removed(a.dir.join(format!("synced-{}", std::process::id())));
    let figures = write_and_sync(a, &path.0).map_err(|e| format!("{}: {e}", path.0.display()));
    drop(path);
    // Not empty when another probe shares it.
    let _ = std::fs::remove_dir(&a.dir);
    figures
}

fn write_and_sync(a: &Disk, path: &PathBuf) -> Result<Value, std::io::Error> {
    let file = File::create(path)?;
    file.write_all_at(&vec![0; usize::try_from(FILE).unwrap_or(0)], 0)?;
    file.sync_all()?;
    let bytes: Vec<u8> = (0..a.bytes)
        .map(|i| u8::try_from(i * 31 % 251).unwrap_or(0))
        .collect();
    let latencies = Latencies::new(1);
    let until = Instant::now() + Duration::from_secs_f64(a.seconds);
    let mut at = 0;
    while Instant::now() < until {
        let start = Instant::now();
        file.write_all_at(&bytes, at)?;
        file.sync_data()?;
        latencies.record(0, start.elapsed());
        at = (at + a.bytes) % (FILE - a.bytes);
    }
    Ok(latencies.summary().1)
}

/// As many bytes as a request has go there, as many as an answer has come back.
fn round_trip(seconds: f64) -> Result<Value, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> Result<(), std::io::Error> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut request = [0; 330];
        while stream.read_exact(&mut request).is_ok() {
            stream.write_all(&[1; 130])?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let latencies = Latencies::new(1);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut answer = [0; 130];
    while Instant::now() < until {
        let start = Instant::now();
        stream.write_all(&[2; 330])?;
        stream.read_exact(&mut answer)?;
        latencies.record(0, start.elapsed());
    }
    drop(stream);
    // It ends with the connection.
    let _ = echo.join();
    Ok(latencies.summary().1)
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
