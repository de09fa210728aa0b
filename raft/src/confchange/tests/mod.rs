//! Tests of configuration changes. Go: confchange/quick_test.go, restore_test.go.

mod changer;
mod random;
mod restore;

use super::{Changer, Error};
use crate::raftpb::{ConfChangeSingle, ConfChangeType, conf_changes_from_string};
use crate::rand::Rng;
use crate::tracker::{Config, ProgressMap, ProgressTracker};

type Changed = Result<(Config, ProgressMap), Error>;

fn changes(text: &str) -> Vec<ConfChangeSingle> {
    conf_changes_from_string(text).unwrap()
}

/// A tracker with the configuration that simple changes, one by one, lead to.
fn tracker(text: &str) -> ProgressTracker {
    let mut trk = ProgressTracker::new(10, 0);
    for cc in changes(text) {
        let changed = Changer::new(&trk, 10).simple(&[cc]);
        adopt(&mut trk, changed).unwrap();
    }
    trk
}

fn adopt(trk: &mut ProgressTracker, changed: Changed) -> Result<(), Error> {
    (trk.config, trk.progress) = changed?;
    Ok(())
}

/// Up to `n` changes of nodes `lowest..lowest + 8`.
fn random_changes(rng: &mut Rng, n: usize, lowest: u64) -> Vec<ConfChangeSingle> {
    let len = 1 + rng.size(n);
    std::iter::repeat_with(|| ConfChangeSingle {
        change_type: ConfChangeType::ALL[rng.size(ConfChangeType::ALL.len())],
        node_id: lowest + rng.below(8),
    })
    .take(len)
    .collect()
}
