//! Random but meaningful scripts, for comparison with etcd's own code. Go: (none)
//!
//! A script is a function of its kind and seed. That about nodes is written while it runs here, so that each command finds something to do: who leads, what is on its way and how
//! long each log is are looked up, not guessed. What the nodes then print is not looked at: comparing is another's work.

mod confchange;
mod episodes;
mod interaction;
mod options;
mod quorum;

use crate::{Kind, SplitMix64};

/// Writes the script of a seed, with empty outputs.
///
/// ```
/// use tickraft_rafttest::{Kind, generate};
/// let text = generate::script(Kind::Interaction, 7);
/// assert!(text.starts_with("# seed 7\n"));
/// assert_eq!(text, generate::script(Kind::Interaction, 7));
/// assert_ne!(text, generate::script(Kind::Interaction, 8));
/// ```
#[must_use]
pub fn script(kind: Kind, seed: u64) -> String {
    match kind {
        Kind::Interaction => interaction::script(seed),
        Kind::Quorum => quorum::script(seed),
        Kind::ConfChange => confchange::script(seed),
    }
}

/// Numbers as a script writes several of them.
fn list(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    format!("({})", ids.join(","))
}

/// Some of the numbers 1 to `highest`, each `per_mille` times in a thousand, in any order.
fn some_ids(rng: &mut SplitMix64, highest: u64, per_mille: u64) -> Vec<u64> {
    let mut ids: Vec<u64> = (1..=highest).filter(|_| rng.chance(per_mille)).collect();
    for at in (1..ids.len()).rev() {
        let other = rng.below(at as u64 + 1);
        ids.swap(at, usize::try_from(other).unwrap_or(at));
    }
    ids
}
