//! Quorums against their definition, by enumeration. Go: quorum/majority_test.go, quick_test.go.

use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::rand::Rng;

type Acks = BTreeMap<u64, Index>;

fn majority(n: usize) -> usize {
    n / 2 + 1
}

/// The definition, word for word: the highest index that a majority holds.
fn committed_by_definition(voters: &MajorityConfig, acks: &Acks) -> Index {
    if voters.is_empty() {
        return Index::MAX;
    }
    let held = |index: Index| {
        voters
            .iter()
            .filter(|id| acks.get(id).is_some_and(|&a| a >= index))
            .count()
    };
    let candidates = acks.values().copied().chain([Index(0)]);
    candidates
        .filter(|&i| i == Index(0) || held(i) >= majority(voters.len()))
        .max()
        .unwrap()
}

/// The digits of `n` in the given base: one choice a voter.
fn digits(mut n: u64, base: u64, len: usize) -> Vec<u64> {
    std::iter::repeat_with(|| {
        let digit = n % base;
        n /= base;
        digit
    })
    .take(len)
    .collect()
}

/// The subset of 1..=4 that the bits name.
fn subset(bits: u64) -> MajorityConfig {
    (1..=4).filter(|id| bits >> (id - 1) & 1 == 1).collect()
}

/// 0 stands for no word from the voter, n for the index n-1.
fn acks(choices: &[u64]) -> Acks {
    let heard = (1..).zip(choices).filter(|&(_, &choice)| choice > 0);
    heard.map(|(id, &choice)| (id, Index(choice - 1))).collect()
}

/// 1 stands for no, 2 for yes, all else for no word from the voter.
fn vote(choices: &[u64], id: u64) -> Option<bool> {
    match choices.get(usize::try_from(id).ok()? - 1)? {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

#[test]
fn committed_index_is_what_its_definition_says_for_all_small_groups() {
    for n in 0..=5_u32 {
        let voters: MajorityConfig = (1..=u64::from(n)).collect();
        for choice in 0..5_u64.pow(n) {
            let acks = acks(&digits(choice, 5, n as usize));
            let want = committed_by_definition(&voters, &acks);
            assert_eq!(voters.committed_index(&acks), want, "{voters} {acks:?}");
            assert_eq!(
                JointConfig::from(voters.clone()).committed_index(&acks),
                want,
                "joined with nobody"
            );
            let twice = JointConfig::from([voters.clone(), voters.clone()]);
            assert_eq!(twice.committed_index(&acks), want, "joined with itself");
        }
    }
}

#[test]
fn committed_index_is_what_its_definition_says_for_random_groups() {
    for seed in 0..3_000 {
        let mut rng = Rng::new(seed, 0);
        // Up to 40 voters: past what is put in order on the stack.
        let n = rng.size(41);
        let voters: MajorityConfig = std::iter::repeat_with(|| rng.below(64)).take(n).collect();
        let range = 1 + rng.below(50);
        let acks: Acks = (0..64)
            .filter(|_| rng.below(4) > 0)
            .map(|id| (id, Index(id * 7 % range)))
            .collect();
        assert_eq!(
            voters.committed_index(&acks),
            committed_by_definition(&voters, &acks),
            "seed {seed}: {voters} {acks:?}"
        );
    }
}

#[test]
fn lowering_an_ack_below_the_committed_index_changes_nothing() {
    for seed in 0..500 {
        let mut rng = Rng::new(seed, 0);
        let voters: MajorityConfig = (1..=1 + rng.below(9)).collect();
        let acks: Acks = voters.iter().map(|id| (id, Index(rng.below(20)))).collect();
        let committed = voters.committed_index(&acks);
        for id in voters.iter().filter(|id| acks[id] < committed) {
            let mut lowered = acks.clone();
            lowered.remove(&id);
            assert_eq!(
                voters.committed_index(&lowered),
                committed,
                "seed {seed}: {voters} {acks:?} without {id}"
            );
        }
    }
}

#[test]
fn every_pair_of_majorities_commits_the_lower_and_votes_as_both() {
    for (a, b) in (0..16).flat_map(|a| (0..16).map(move |b| (a, b))) {
        let joint = JointConfig::from([subset(a), subset(b)]);
        let mirrored = JointConfig::from([subset(b), subset(a)]);
        for choice in 0..4_u64.pow(4) {
            let choices = digits(choice, 4, 4);
            let acks = acks(&choices);
            let want = committed_by_definition(&joint.incoming, &acks)
                .min(committed_by_definition(&joint.outgoing, &acks));
            assert_eq!(joint.committed_index(&acks), want, "{joint} {acks:?}");
            assert_eq!(mirrored.committed_index(&acks), want, "{mirrored} {acks:?}");

            let votes = |id| vote(&choices, id);
            let result = joint.vote_result(votes);
            assert_eq!(
                mirrored.vote_result(votes),
                result,
                "{mirrored} {choices:?}"
            );
            assert_eq!(
                result,
                outcome_by_definition(&joint, &choices),
                "{joint} {choices:?}"
            );
        }
    }
}

/// A vote is won when it is, whatever the silent voters will say; lost when they cannot save it; else pending.
fn outcome_by_definition(voters: &JointConfig, choices: &[u64]) -> VoteResult {
    let passes = |silent_say: bool| {
        [&voters.incoming, &voters.outgoing]
            .into_iter()
            .all(|half| {
                let yes = half
                    .iter()
                    .filter(|&id| vote(choices, id).unwrap_or(silent_say))
                    .count();
                half.is_empty() || yes >= majority(half.len())
            })
    };
    match (passes(false), passes(true)) {
        (true, _) => VoteResult::Won,
        (false, true) => VoteResult::Pending,
        (false, false) => VoteResult::Lost,
    }
}

#[test]
fn votes_of_others_do_not_count() {
    let voters = MajorityConfig::from([1, 2, 3]);
    assert_eq!(
        voters.vote_result(|id| (id > 2).then_some(true)),
        VoteResult::Pending
    );
    assert_eq!(voters.vote_result(|id| Some(id > 3)), VoteResult::Lost);
}

#[test]
fn describe_draws_bars_by_rank() {
    type Case<'a> = (&'a [u64], &'a [(u64, u64)], &'a str);
    let cases: [Case<'_>; 10] = [
        (&[], &[], "<empty majority quorum>"),
        (&[1], &[], "     idx\n?      0    (id=1)\n"),
        (&[26], &[(26, 7)], "     idx\n>      7    (id=1a)\n"),
        (
            &[1, 2],
            &[(1, 5), (2, 5)],
            "      idx\n>       5    (id=1)\n>       5    (id=2)\n",
        ),
        (
            &[1, 2, 3],
            &[(1, 9), (2, 4), (3, 9)],
            "       idx\nx>       9    (id=1)\n>        4    (id=2)\nx>       9    (id=3)\n",
        ),
        (
            &[1, 2, 3],
            &[(1, 101), (2, 102), (3, 103)],
            "       idx\n>      101    (id=1)\nx>     102    (id=2)\nxx>    103    (id=3)\n",
        ),
        (
            &[1, 2, 3],
            &[(1, 100), (2, 100), (3, 100)],
            "       idx\n>      100    (id=1)\n>      100    (id=2)\n>      100    (id=3)\n",
        ),
        (
            &[1, 2, 3],
            &[(1, 100), (2, 102), (3, 102)],
            "       idx\n>      100    (id=1)\nx>     102    (id=2)\nx>     102    (id=3)\n",
        ),
        (
            &[1, 2, 3],
            &[(1, 101), (3, 103)],
            "       idx\nx>     101    (id=1)\n?        0    (id=2)\nxx>    103    (id=3)\n",
        ),
        (
            &[1, 2],
            &[(1, u64::MAX)],
            "      idx\nx>  18446744073709551615    (id=1)\n?       0    (id=2)\n",
        ),
    ];
    for (voters, acks, want) in cases {
        let voters: MajorityConfig = voters.iter().copied().collect();
        let acks: Acks = acks.iter().map(|&(id, n)| (id, Index(n))).collect();
        assert_eq!(voters.describe(&acks), want);
        // The drawing of a joint configuration is that of all its voters.
        let split = JointConfig {
            incoming: voters.iter().filter(|id| id % 2 == 1).collect(),
            outgoing: voters.iter().filter(|id| id % 2 == 0).collect(),
        };
        assert_eq!(split.describe(&acks), want);
    }
}

#[test]
fn ids_of_both_halves_are_merged_in_order() {
    for (a, b) in (0..16).flat_map(|a| (0..16).map(move |b| (a, b))) {
        let joint = JointConfig::from([subset(a), subset(b)]);
        let merged: Vec<u64> = joint.ids().collect();
        assert_eq!(merged, subset(a | b).as_slice(), "{joint}");
        assert!(
            (0..8).all(|id| joint.contains(id) == merged.contains(&id)),
            "{joint}"
        );
    }
}

#[test]
fn sets_stay_sorted_and_without_repetition() {
    let mut rng = Rng::new(7, 0);
    let mut set = IdSet::new();
    let mut model = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        let id = rng.below(20);
        if rng.flip() {
            assert_eq!(set.insert(id), model.insert(id));
        } else {
            assert_eq!(set.remove(id), model.remove(&id));
        }
        assert!(set.iter().eq(model.iter().copied()), "{set}");
        assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
        assert_eq!(set.contains(id), model.contains(&id));
    }
    set.extend([3, 2, 3]);
    assert_eq!(IdSet::from(vec![9, 1, 9]), [1, 9].into_iter().collect());
    set.clear();
    assert_eq!(set, IdSet::new());
}

#[test]
fn text_is_gos() {
    assert_eq!(MajorityConfig::new().to_string(), "()");
    assert_eq!(MajorityConfig::from([255, 1]).to_string(), "(1 ff)");
    let joint = JointConfig::from([MajorityConfig::from([1, 2]), MajorityConfig::from([1, 3])]);
    assert_eq!(joint.to_string(), "(1 2)&&(1 3)");
    let nobody_in = JointConfig::from([MajorityConfig::new(), MajorityConfig::from([1])]);
    assert_eq!(nobody_in.to_string(), "()&&(1)");
    assert_eq!(
        VoteResult::Pending.to_string() + &VoteResult::Lost.to_string(),
        "VotePendingVoteLost"
    );
    assert_eq!(
        format!("{:5}|{:<5}|{:3}", Index(7), Index(7), Index::MAX),
        "    7|7    |∞  "
    );
}

#[test]
fn hash_maps_and_references_are_indexers_too() {
    let acks = HashMap::from([(1, Index(3)), (2, Index(4))]);
    let voters = MajorityConfig::from([1, 2]);
    assert_eq!(voters.committed_index(&&acks), Index(3));
    let erased: &dyn AckedIndexer = &acks;
    assert_eq!(voters.committed_index(erased), Index(3));
}
