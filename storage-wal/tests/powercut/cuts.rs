//! The cuts: write, shut down, remount, compare.

use crate::common::history::{Rng, next};
use crate::common::which;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tickraft_storage_wal::storage::testing::Model;
use tickraft_storage_wal::{DiskOptions, DiskStorage, Error, OpenReport, Options};

/// A directory is left for a new one after so many cuts, so that creating is cut as well.
const LIFE: u64 = 10;

mod ioctl {
    // EXT4_IOC_SHUTDOWN: `_IOR('X', 125, __u32)`; the kernel reads the number.
    nix::ioctl_read!(shutdown, b'X', 125, u32);
}

/// What the machine's journal does when the power fails.
#[derive(Clone, Copy, Debug)]
enum Flavour {
    /// What is in the journal's memory is lost.
    NoLogFlush = 2,
    /// The journal is written before.
    LogFlush = 1,
}

fn shut_down(mount: &Path, how: Flavour) {
    let dir = File::open(mount).unwrap();
    let mut flags = how as u32;
    // SAFETY: the descriptor is open for the whole call, and the pointer is to a live u32, which is all that the kernel reads.
    #[allow(unsafe_code)]
    unsafe { ioctl::shutdown(dir.as_raw_fd(), &raw mut flags) }.unwrap();
}

/// The file system.
struct Disk {
    device: String,
    mount: PathBuf,
}

impl Disk {
    fn remount(&self) {
        for (program, args) in [
            ("umount", vec![&*self.mount]),
            ("mount", vec![Path::new(&self.device), &*self.mount]),
        ] {
            let o = Command::new(program).args(args).output().unwrap();
            assert!(
                o.status.success(),
                "{program}: {}",
                String::from_utf8_lossy(&o.stderr)
            );
        }
    }
}

/// Every other directory keeps spare segments, made again while it is written.
fn open(dir: &Path) -> Result<(DiskStorage, OpenReport), Error> {
    let number = dir.file_name().and_then(|n| n.to_str()?.parse().ok());
    let wal = Options {
        segment_size: 64 << 10,
        cache_bytes: 4 << 10,
        reserve: 0,
        idle_mark_sync: Some(Duration::from_millis(5)),
        keep_entries: 2,
        spares: number.map_or(0, |n: usize| n % 2 * 2),
        spare_after: Some(Duration::ZERO),
        ..Options::default()
    };
    DiskStorage::open(
        dir,
        DiskOptions {
            node_id: 1,
            cluster_id: 7,
            wal,
            ..DiskOptions::default()
        },
    )
}

#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    torn: u64,
    unacknowledged_found: u64,
    lost: u64,
}

pub(crate) fn run(args: &[String]) -> ExitCode {
    let [device, mount, cuts, seed] = args else {
        println!(
            "powercut: SKIPPED, nothing was cut: .ci/powercut gives DEVICE MOUNTPOINT CUTS SEED"
        );
        return ExitCode::SUCCESS;
    };
    let disk = Disk {
        device: device.clone(),
        mount: mount.into(),
    };
    let (cuts, seed): (u64, u64) = (cuts.parse().unwrap(), seed.parse().unwrap());
    let mut tally = Tally::default();
    let mut now = Model::default();
    for n in 0..cuts {
        let dir = disk.mount.join(format!("{}", n / LIFE));
        if n % LIFE == 0 {
            now = Model::default();
        }
        let mut rng = Rng::new(seed.wrapping_add(n));
        let how = if rng.below(2) == 0 {
            Flavour::LogFlush
        } else {
            Flavour::NoLogFlush
        };
        let allowed = one_cut(&disk, &dir, how, &mut rng, now, &mut tally);
        disk.remount();
        match judge(&dir, &allowed, &mut tally) {
            Ok(found) => now = found,
            Err(e) => {
                println!("cut {n}, {how:?}, seed {seed}: {e}");
                keep(&dir);
                tally.lost += 1;
                return finish(n + 1, &tally);
            }
        }
        if n % LIFE == LIFE - 1 {
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
    finish(cuts, &tally)
}

/// TICKRAFT_KEEP=DIR: what was not as it should be can be looked at.
fn keep(dir: &Path) {
    if let Some(to) = std::env::var_os("TICKRAFT_KEEP") {
        let _ = Command::new("cp").arg("-a").arg(dir).arg(to).status();
    }
}

fn finish(cuts: u64, t: &Tally) -> ExitCode {
    println!(
        "{} acknowledged syncs and snapshots; {} torn tails cut off, {} times more than the acknowledged was found",
        t.acknowledged, t.torn, t.unacknowledged_found
    );
    println!("{cuts} power cuts, {} lost", t.lost);
    if t.lost == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Writes until the file system is gone. Returns the acknowledged state and all that was asked for since.
fn one_cut(
    disk: &Disk,
    dir: &Path,
    how: Flavour,
    rng: &mut Rng,
    now: Model,
    tally: &mut Tally,
) -> Vec<Model> {
    let (acks, gone, spins) = (AtomicU64::new(0), AtomicBool::new(false), rng.below(3000));
    // One in eight is cut while it opens or is made.
    let after = if rng.below(8) == 0 {
        0
    } else {
        1 + rng.below(60)
    };
    let since = std::thread::scope(|s| {
        s.spawn(|| {
            while acks.load(Ordering::Relaxed) < after && !gone.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            // Not at once: anywhere within what follows.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(spins) {
                std::hint::spin_loop();
            }
            shut_down(&disk.mount, how);
        });
        // Then nothing more will be acknowledged.
        let _gone = Gone(&gone);
        live(dir, rng, now, &acks)
    });
    tally.acknowledged += acks.load(Ordering::Relaxed);
    since
}

/// The writer has ended, by whatever way.
struct Gone<'a>(&'a AtomicBool);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A node's life, up to the step that fails.
fn live(dir: &Path, rng: &mut Rng, mut now: Model, acks: &AtomicU64) -> Vec<Model> {
    let mut since = vec![now.clone()];
    let mut store = match open(dir) {
        Ok((store, _)) => store,
        Err(e) => {
            assert!(!e.is_corruption(), "while the power fails: {e}");
            return since;
        }
    };
    loop {
        let step = next(rng, &now, &store);
        let done = step.run(&mut store);
        step.run(&mut now).unwrap();
        if done.is_ok() && step.durable() {
            since.clear();
            acks.fetch_add(1, Ordering::Relaxed);
        }
        since.push(now.clone());
        if let Err(e) = done {
            assert!(!e.is_answer(), "{step:?}: {e}");
            return since;
        }
    }
}

/// Opens what is left. Ok: which of the allowed states it is.
fn judge(dir: &Path, allowed: &[Model], tally: &mut Tally) -> Result<Model, String> {
    let (store, report) = open(dir).map_err(|e| e.to_string())?;
    tally.torn += u64::from(report.recovered.torn.is_some());
    let (n, found) = which(&store, allowed)?;
    tally.unacknowledged_found += u64::from(n > 0);
    store.close().map_err(|e| e.to_string())?;
    Ok(found)
}
