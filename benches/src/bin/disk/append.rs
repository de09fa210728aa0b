//! Append and sync, against the least that the same bytes could cost: one pwrite of exactly them and an fdatasync, into a file that was fallocated, and into
//! one that was filled with zeros and synced. The three take turns in blocks, so that whatever else the machine does meets all of them.

use crate::Failed;
use crate::timed::{Spent, Timed};
use benches::around::AroundFs;
use benches::bare::{Bare, median};
use benches::payload::payload;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage_wal::raftpb::{Entries, Entry, HardState};
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
    /// Prints where ours spends it, too.
    #[arg(long)]
    profile: bool,
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
    let spent = Arc::new(Spent::default());
    let mut options = Options {
        reserve: 0,
        ..Options::default()
    };
    if a.profile {
        options.vfs = Arc::new(AroundFs(Timed(Arc::clone(&spent))));
    }
    let mut parts = [vec![], vec![], vec![], vec![]];
    let mut ours = Ours::create(&dir.join(format!("wal-{size}-{batch}")), &options)?;
    let mut bytes = 0;
    let mut fallocated = Bare::create(&dir.join("fallocated"), options.segment_size, false)?;
    let mut zeroed = Bare::create(&dir.join("zeroed"), options.segment_size, true)?;
    let (mut all, mut ratios) = ([vec![], vec![], vec![]], vec![]);
    for _ in 0..a.blocks {
        let mut block = [vec![], vec![], vec![]];
        for _ in 0..a.block {
            spent.take();
            let (took, written, encode) = ours.batch(size, batch)?;
            let of = spent.take().map(Duration::from_nanos);
            parts
                .iter_mut()
                .zip([encode].into_iter().chain(of))
                .for_each(|(all, one)| all.push(one));
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
    if a.profile {
        let [encode, write, sync, mark] = parts.each_ref().map(|p| median(p));
        println!(
            "{:>18} encode {encode:.1?}, write {write:.1?}, fdatasync {sync:.1?}, mark {mark:.1?}",
            ""
        );
    }
    Ok(())
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

    /// How long one batch took, how many bytes it had on disk, and how much of the time was for encoding.
    fn batch(&mut self, size: usize, batch: u64) -> Result<(Duration, usize, Duration), Failed> {
        let entries: Entries = (self.index + 1..=self.index + batch)
            .map(|i| Entry::new(1, i, payload(i, size)))
            .collect();
        self.index += batch;
        let before = self.wal.stats().wal_write_bytes;
        let began = Instant::now();
        self.wal.append(&entries, None)?;
        let encode = began.elapsed();
        self.wal.sync()?;
        let took = began.elapsed();
        Ok((
            took,
            usize::try_from(self.wal.stats().wal_write_bytes - before)?,
            encode,
        ))
    }
}
