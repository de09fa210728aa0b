//! The commands `committed` and `vote`. Go: quorum/datadriven_test.go
//!
//! `cfg` is a majority configuration, `cfgj` one joint to it (`zero` for an empty one). `idx` or `votes` say what each voter, in the
//! order of the two without repetition, has acknowledged or voted; `_` stands for a voter that was not heard of.
//!
//! Beside the answer itself, each command works out ways that must give the same answer, and prints those that do not.

use crate::datadriven::{CmdArg, Fatal, Scan, TestData};
use raft::quorum::{Index, JointConfig, MajorityConfig, VoteResult};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

type Acked = BTreeMap<u64, Index>;

/// The arguments of a command.
#[derive(Default)]
struct Input {
    joint: bool,
    ids: Vec<u64>,
    idsj: Vec<u64>,
    /// 0 is a placeholder.
    idxs: Vec<Index>,
    /// 0 is a placeholder, 1 no, 2 yes: written as indexes so that both commands share code.
    votes: Vec<Index>,
}

/// Runs one command.
///
/// # Errors
/// An unknown command, or arguments that do not fit.
///
/// ```
/// use tickraft_rafttest::{datadriven::run_test, quorum_script};
/// let script = "committed cfg=(1,2,3) idx=(5,_,7)\n----\n       idx\nx>       5    (id=1)\n?        0    (id=2)\nxx>      7    (id=3)\n5\n";
/// assert_eq!(run_test("q", script, quorum_script::handle).unwrap().failures, []);
/// ```
pub fn handle(d: &TestData) -> Result<String, Fatal> {
    let mut input = Input::default();
    for arg in &d.cmd_args {
        input.read(arg)?;
    }
    let given = if d.cmd == "vote" {
        &input.votes
    } else {
        &input.idxs
    };
    let voters: BTreeSet<u64> = input.ids.iter().chain(&input.idsj).copied().collect();
    if voters.len() != given.len() {
        return Ok(mismatch(&voters, given));
    }
    let acked = input.lookup(given);
    let config = JointConfig::from([
        input.ids.into_iter().collect(),
        input.idsj.into_iter().collect::<MajorityConfig>(),
    ]);
    match (d.cmd.as_str(), input.joint) {
        ("committed", false) => Ok(committed(&config.incoming, &acked)),
        ("committed", true) => Ok(committed_jointly(config, &acked)),
        ("vote", joint) => Ok(vote(config, joint, &acked)),
        _ => Err(Fatal(format!("unknown command: {}", d.cmd))),
    }
}

impl Input {
    fn read(&mut self, arg: &CmdArg) -> Result<(), Fatal> {
        for val in &arg.vals {
            match arg.key.as_str() {
                "cfg" => self.ids.push(number(val)?),
                "cfgj" => {
                    self.joint = true;
                    if val != "zero" {
                        self.idsj.push(number(val)?);
                    } else if arg.vals.len() != 1 {
                        return Err("cannot mix 'zero' into configuration".into());
                    }
                }
                "idx" if val == "_" => self.idxs.push(Index(0)),
                "idx" => match number(val)? {
                    0 => return Err("cannot use 0 as idx".into()),
                    n => self.idxs.push(Index(n)),
                },
                "votes" => self.votes.push(match val.as_str() {
                    "y" => Index(2),
                    "n" => Index(1),
                    "_" => Index(0),
                    _ => return Err(Fatal(format!("unknown vote: {val}"))),
                }),
                _ => return Err(Fatal(format!("unknown arg {}", arg.key))),
            }
        }
        Ok(())
    }

    /// What is given for each voter; placeholders are left out, since "not heard of" is not "at 0".
    fn lookup(&self, given: &[Index]) -> Acked {
        let mut seen = BTreeSet::new();
        let voters = self.ids.iter().chain(&self.idsj);
        let distinct = voters.copied().filter(|id| seen.insert(*id));
        distinct
            .zip(given.iter().copied())
            .filter(|(_, index)| index.0 != 0)
            .collect()
    }
}

fn number(val: &str) -> Result<u64, Fatal> {
    u64::scan(val).map_err(Fatal)
}

/// As Go prints a set and a slice.
fn mismatch(voters: &BTreeSet<u64>, given: &[Index]) -> String {
    let voters: Vec<_> = voters.iter().map(|id| format!("{id}:{{}}")).collect();
    let given: Vec<_> = given.iter().map(Index::to_string).collect();
    format!(
        "error: mismatched input (explicit or _) for voters map[{}]: [{}]",
        voters.join(" "),
        given.join(" ")
    )
}

fn committed(c: &MajorityConfig, l: &Acked) -> String {
    let mut out = c.describe(l);
    let idx = c.committed_index(l);
    let mut check = |other: Index, how: &str| {
        if other != idx {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{other} <-- {how}");
        }
    };
    check(
        alternative_committed_index(c, l),
        "via alternative computation",
    );
    let joined = |other: MajorityConfig| JointConfig::from([c.clone(), other]).committed_index(l);
    check(joined(MajorityConfig::new()), "via zero-joint quorum");
    check(joined(c.clone()), "via self-joint quorum");
    for id in c.iter() {
        let acked = l.get(&id).copied().unwrap_or_default();
        if acked.0 == 0 || idx <= acked {
            continue;
        }
        // The voter is below what is committed: that it falls back further must not matter.
        for lower in [acked.0 - 1, 0] {
            let mut overlay = l.clone();
            overlay.insert(id, Index(lower));
            check(
                c.committed_index(&overlay),
                &format!("overlaying {id}->{lower}"),
            );
        }
    }
    let _ = writeln!(out, "{idx}");
    out
}

/// The committed index by its definition: the highest that a majority has acknowledged.
#[doc(alias = "alternativeMajorityCommittedIndex")]
fn alternative_committed_index(c: &MajorityConfig, l: &Acked) -> Index {
    if c.is_empty() {
        return Index::MAX;
    }
    let majority = |index: &Index| {
        let have = c.iter().filter(|id| l.get(id).is_some_and(|i| i >= index));
        have.count() > c.len() / 2
    };
    let candidates = c.iter().filter_map(|id| l.get(&id).copied());
    candidates.filter(majority).max().unwrap_or_default()
}

fn committed_jointly(config: JointConfig, l: &Acked) -> String {
    let mut out = config.describe(l);
    let idx = config.committed_index(l);
    let swapped = swap(config).committed_index(l);
    if swapped != idx {
        let _ = writeln!(out, "{swapped} <-- via symmetry");
    }
    let _ = writeln!(out, "{idx}");
    out
}

fn vote(config: JointConfig, joint: bool, l: &Acked) -> String {
    let said = |id: u64| l.get(&id).map(|v| v.0 != 1);
    if !joint {
        return format!("{}\n", config.incoming.vote_result(said));
    }
    let result: VoteResult = config.vote_result(said);
    let swapped = swap(config).vote_result(said);
    let note = if swapped == result {
        String::new()
    } else {
        format!("{swapped} <-- via symmetry\n")
    };
    format!("{note}{result}\n")
}

/// The halves the other way round: no answer may depend on which is which.
fn swap(config: JointConfig) -> JointConfig {
    JointConfig::from([config.outgoing, config.incoming])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadriven::parse_line;

    fn run(line: &str) -> Result<String, String> {
        let (cmd, cmd_args) = parse_line(line).unwrap();
        let d = TestData {
            cmd,
            cmd_args,
            ..TestData::default()
        };
        handle(&d).map_err(|e| e.0)
    }

    #[test]
    fn answers() {
        assert_eq!(run("vote cfg=(1,2,3) votes=(y,_,y)").unwrap(), "VoteWon\n");
        assert_eq!(
            run("vote cfg=(1,2,3) cfgj=zero votes=(n,_,y)").unwrap(),
            "VotePending\n"
        );
        assert_eq!(
            run("vote cfg=(1) cfgj=(2) votes=(n,y)").unwrap(),
            "VoteLost\n"
        );
        assert_eq!(
            run("committed cfgj=zero").unwrap(),
            "<empty majority quorum>∞\n"
        );
        // 3 is in both halves and given once.
        let joint = run("committed cfg=(1,3) cfgj=(3,4) idx=(5,6,7)").unwrap();
        assert!(joint.ends_with("\n5\n"), "{joint}");
    }

    #[test]
    fn what_does_not_fit() {
        assert_eq!(
            run("committed cfg=(2,1) idx=(5)").unwrap(),
            "error: mismatched input (explicit or _) for voters map[1:{} 2:{}]: [5]"
        );
        assert_eq!(
            run("vote cfg=(1) votes=(x)").unwrap_err(),
            "unknown vote: x"
        );
        assert_eq!(
            run("committed cfg=(1) idx=(0)").unwrap_err(),
            "cannot use 0 as idx"
        );
        assert_eq!(
            run("committed cfgj=(1,zero)").unwrap_err(),
            "cannot mix 'zero' into configuration"
        );
        assert_eq!(run("nope").unwrap_err(), "unknown command: nope");
        assert_eq!(run("vote what=1").unwrap_err(), "unknown arg what");
    }

    #[test]
    fn the_alternative_computation_agrees() {
        let mut rng = crate::rng::SplitMix64::new(7);
        for _ in 0..2000 {
            let n = rng.below(8);
            let c: MajorityConfig = (1..=n).collect();
            let l: Acked = (1..=n)
                .map(|id| (id, rng.below(4), Index(rng.below(6))))
                .filter(|(_, voted, _)| *voted > 0)
                .map(|(id, _, index)| (id, index))
                .collect();
            assert_eq!(
                alternative_committed_index(&c, &l),
                c.committed_index(&l),
                "{c} {l:?}"
            );
        }
    }
}
