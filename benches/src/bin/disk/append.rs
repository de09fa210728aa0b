//! Append and sync, against the least that the same bytes could cost: one pwrite of exactly them and an fdatasync, into a file that was fallocated, and into
//! one that was filled with zeros and synced. The three take turns in blocks, so that whatever else the machine does meets all of them.

use crate::Failed;
use benches::payload::payload;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use storage_wal::raftpb::{Entries, Entry, HardState};
use storage_wal::vfs::{Mode, OsFs, Vfs, VfsFile};
use storage_wal::{Options, Wal};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bytes a payload.
    #[arg(long, value_delimiter = ',', default_value = "128,4096")]
    payload: Vec<usize>,
    /// Entries a batch.
    #[arg(long, value_delimiter = ',', default_value = "1,16,256")]
    batch: Vec<u64>,
    /// Batches in a block.
    #[arg(long, default_value_t = 200)]
    block: usize,
    /// Blocks of each.
    #[arg(long, default_value_t = 7)]
    blocks: usize,
}

pub(crate) fn run(dir: &Path, a: &Args) -> Result<(), Failed> {
    println!(
        "{:>18} {:>9} {:>10} {:>10} {:>10}   bare / ours (lowest and highest block)",
        "", "bytes", "ours", "fallocated", "zeroed"
    );
    for size in &a.payload {
        for batch in &a.batch {
            one(dir, a, *size, *batch)?;
        }
    }
    Ok(())
}

fn one(dir: &Path, a: &Args, size: usize, batch: u64) -> Result<(), Failed> {
    let options = Options {
        reserve: 0,
        ..Options::default()
    };
    let mut ours = Ours::create(&dir.join(format!("wal-{size}-{batch}")), &options)?;
    let mut bytes = 0;
    let mut fallocated = Bare::create(dir.join("fallocated"), options.segment_size, false)?;
    let mut zeroed = Bare::create(dir.join("zeroed"), options.segment_size, true)?;
    let (mut all, mut ratios) = ([vec![], vec![], vec![]], vec![]);
    for _ in 0..a.blocks {
        let mut block = [vec![], vec![], vec![]];
        for _ in 0..a.block {
            let (took, written) = ours.batch(size, batch)?;
            block[0].push(took);
            // The others write as many: numbers grow a little as the log does.
            bytes = written;
        }
        for (bare, times) in [&mut fallocated, &mut zeroed]
            .into_iter()
            .zip(&mut block[1..])
        {
            let content = payload(batch, bytes);
            for _ in 0..a.block {
                times.push(bare.write(&content)?);
            }
        }
        let [o, f, z] = block.each_ref().map(|b| median(b));
        ratios.push(f.min(z).as_secs_f64() / o.as_secs_f64());
        all.iter_mut()
            .zip(block)
            .for_each(|(all, block)| all.extend(block));
    }
    let [o, f, z] = all.each_ref().map(|b| median(b));
    ratios.sort_by(f64::total_cmp);
    let (lo, hi) = (
        ratios.first().unwrap_or(&0.0),
        ratios.last().unwrap_or(&0.0),
    );
    let name = format!("{size} B x {batch}");
    println!(
        "{name:>18} {bytes:>9} {o:>10.1?} {f:>10.1?} {z:>10.1?}   {:.2} ({lo:.2} to {hi:.2})",
        f.min(z).as_secs_f64() / o.as_secs_f64()
    );
    Ok(())
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

struct Ours {
    wal: Wal,
    index: u64,
}

impl Ours {
    fn create(dir: &Path, options: &Options) -> Result<Self, Failed> {
        let mut wal = Wal::create(dir, b"", options)?;
        wal.append(
            &Entries::new(),
            Some(&HardState {
                term: 1,
                vote: 1,
                commit: 0,
            }),
        )?;
        wal.sync()?;
        Ok(Self { wal, index: 0 })
    }

    /// How long one batch took, and how many bytes it had on disk.
    fn batch(&mut self, size: usize, batch: u64) -> Result<(Duration, usize), Failed> {
        let entries: Entries = (self.index + 1..=self.index + batch)
            .map(|i| Entry::new(1, i, payload(i, size)))
            .collect();
        self.index += batch;
        let before = self.wal.stats().wal_write_bytes;
        let began = Instant::now();
        self.wal.append(&entries, None)?;
        self.wal.sync()?;
        let took = began.elapsed();
        Ok((
            took,
            usize::try_from(self.wal.stats().wal_write_bytes - before)?,
        ))
    }
}

struct Bare {
    path: PathBuf,
    file: Box<dyn VfsFile>,
    at: u64,
    len: u64,
    zeroed: bool,
}

impl Bare {
    fn create(path: PathBuf, len: u64, zeroed: bool) -> Result<Self, Failed> {
        let file = OsFs.open(&path, Mode::Create)?;
        let mut bare = Self {
            path,
            file,
            at: 0,
            len,
            zeroed,
        };
        bare.prepare()?;
        Ok(bare)
    }

    /// A fresh file, as a segment is fresh.
    fn prepare(&mut self) -> Result<(), Failed> {
        self.file = OsFs.open(&self.path, Mode::Create)?;
        self.at = 0;
        if self.zeroed {
            let zeros = vec![0; 1 << 20];
            let mut at = 0;
            while at < self.len {
                at += self.file.write_at(&zeros, at)? as u64;
            }
        } else {
            self.file.allocate(self.len)?;
        }
        Ok(self.file.sync()?)
    }

    fn write(&mut self, content: &[u8]) -> Result<Duration, Failed> {
        if self.at + content.len() as u64 > self.len {
            self.prepare()?;
        }
        let began = Instant::now();
        let n = self.file.write_at(content, self.at)?;
        self.file.sync()?;
        let took = began.elapsed();
        if n != content.len() {
            return Err("a short write".into());
        }
        self.at += n as u64;
        Ok(took)
    }
}
