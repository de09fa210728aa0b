//! A log on disk whose bytes were overwritten: it opens, or says what is wrong. The first byte chooses: a segment of the input alone, or a sound one with pieces of the input over it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use raft::raftpb::{Entry, HardState};
use std::path::Path;
use std::sync::Arc;
use storage_wal::vfs::{FaultyFs, Vfs};
use storage_wal::{Format, Options, Wal, dump};
use tickraft_fuzz::pieces;

fuzz_target!(|data: &[u8]| {
    let [choice, rest @ ..] = data else { return };
    let dir = Path::new("/wal");
    let fs = FaultyFs::new();
    let options = Options {
        format: if choice & 1 == 0 {
            Format::Protected
        } else {
            Format::Etcd
        },
        segment_size: 4096,
        reserve: 0,
        idle_mark_sync: None,
        vfs: Arc::new(fs.clone()),
        seed: Some(1),
        ..Options::default()
    };
    let mut wal = Wal::create(dir, b"meta", &options).expect("an empty disk takes it");
    let entries: Vec<Entry> = (1..=20)
        .map(|i| Entry::new(1 + i / 8, i, vec![7; 40]))
        .collect();
    let hs = HardState {
        term: 3,
        vote: 1,
        commit: 12,
    };
    wal.append(&entries.into(), Some(&hs))
        .expect("an empty log takes it");
    wal.close().expect("a sound disk");
    let segment = dir.join("0000000000000000-0000000000000000.wal");
    if choice & 2 != 0 {
        fs.damage(&segment, |bytes| *bytes = rest.to_vec())
            .expect("it is there");
    } else {
        fs.damage(&segment, |bytes| overwrite(bytes, rest))
            .expect("it is there");
    }
    dump(&fs as &dyn Vfs, dir, &mut |_| {}).expect("damage is no error there");
    let _ = Wal::read(dir, &options);
    if let Ok((mut wal, recovered)) = Wal::open(dir, &options) {
        let last = recovered.entries.1;
        let more: Vec<Entry> = vec![Entry::new(9, last + 1, "more")];
        let _ = wal.append(&more.into(), None);
        let _ = wal.close();
    }
});

/// Writes each piece where its first two bytes say.
fn overwrite(bytes: &mut [u8], data: &[u8]) {
    for piece in pieces(data) {
        if let [a, b, new @ ..] = piece {
            let at = usize::from(u16::from_le_bytes([*a, *b])) % bytes.len().max(1);
            for (old, new) in bytes[at..].iter_mut().zip(new) {
                *old ^= new;
            }
        }
    }
}
