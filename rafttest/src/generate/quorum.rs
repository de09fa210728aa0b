//! Random questions to quorums. Go: (none)

use super::{list, some_ids};
use crate::SplitMix64;
use std::collections::BTreeSet;
use std::fmt::Write;

pub(super) fn script(seed: u64) -> String {
    let mut rng = SplitMix64::new(seed);
    let mut out = format!("# seed {seed}\n");
    for _ in 0..20 {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n{}\n----\n", question(&mut rng));
    }
    out
}

fn question(rng: &mut SplitMix64) -> String {
    let votes = rng.chance(500);
    let mut text = if votes { "vote" } else { "committed" }.to_owned();
    let density = *rng.pick(&[200, 400, 700]).unwrap_or(&400);
    let incoming = some_ids(rng, 9, density);
    let mut outgoing = Vec::new();
    if !incoming.is_empty() {
        let _ = write!(text, " cfg={}", list(&incoming));
    }
    if rng.chance(600) {
        outgoing = some_ids(rng, 9, density);
        match outgoing.as_slice() {
            [] => text.push_str(" cfgj=zero"),
            ids => {
                let _ = write!(text, " cfgj={}", list(ids));
            }
        }
    }
    let voters: BTreeSet<u64> = incoming.into_iter().chain(outgoing).collect();
    if voters.is_empty() {
        return text;
    }
    // Few different indexes make ties; few unheard of make the answer depend on them.
    let (unheard, indexes) = (rng.below(600), 1 + rng.below(12));
    let given: Vec<String> = voters
        .iter()
        .map(|_| {
            if rng.chance(unheard) {
                "_".to_owned()
            } else if votes {
                if rng.chance(500) { "y" } else { "n" }.to_owned()
            } else {
                (1 + rng.below(indexes)).to_string()
            }
        })
        .collect();
    let name = if votes { "votes" } else { "idx" };
    let _ = write!(text, " {name}=({})", given.join(","));
    text
}
