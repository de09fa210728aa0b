//! What happened in scripts, counted in their outputs: whether they reach what they are for. Go: (none)

use std::collections::BTreeMap;
use std::fmt;

/// Names, and what is in a line that tells of it. Log lines are etcd's.
const LINES: &[(&str, &str)] = &[
    ("elections won", "became leader at term"),
    ("elections begun", "is starting a new election at term"),
    ("pre-votes begun", "became pre-candidate at term"),
    ("votes refused", "] rejected MsgVote"),
    ("pre-votes refused", "] rejected MsgPreVote"),
    ("votes ignored in a lease", "lease is not expired"),
    (
        "leaders that lost their quorum",
        "stepped down to follower since quorum is not active",
    ),
    ("transfers begun", "starts to transfer leadership to"),
    (
        "transfers that ask for an election",
        "received MsgTimeoutNow from",
    ),
    ("leaders forgotten", "forgetting leader"),
    ("proposals dropped", "raft proposal dropped"),
    ("appends refused", "] rejected MsgApp ["),
    ("log conflicts", "found conflict at index"),
    (
        "unstable entries truncated or replaced",
        "the unstable entries",
    ),
    ("followers found unreachable", "because it is unreachable"),
    ("snapshots sent", "] sent snapshot["),
    ("snapshots restored", "] restored snapshot ["),
    (
        "snapshots fast-forwarded",
        "fast-forwarded commit to snapshot",
    ),
    ("snapshots ignored", "ignored snapshot"),
    (
        "snapshots reported or recovered from",
        "resumed sending replication messages to",
    ),
    ("configurations switched to", "switched to configuration"),
    ("configuration changes refused", "ignoring conf change"),
    (
        "joint configurations left by themselves",
        "initiating automatic transition out",
    ),
    ("reads asked for", " MsgReadIndex "),
    ("reads answered", "ReadStates "),
    ("nodes started", "newRaft "),
    ("entries waiting for a storage thread", " MsgStorageAppend "),
    ("applies waiting for a storage thread", " MsgStorageApply "),
];

/// The name of what is not one line: two configurations of a node, the first joint or not, the second not or joint.
const ENTERED: &str = "joint configurations entered";
const LEFT: &str = "joint configurations left";
const OVERLAP: &str = "two nodes at odds over a joint configuration";

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Altogether.
    pub times: usize,
    /// In how many scripts.
    pub scripts: usize,
}

/// What happened in many scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    counts: BTreeMap<&'static str, Count>,
    scripts: usize,
}

impl Events {
    /// Counts what happened in a script with its outputs.
    pub fn add(&mut self, text: &str) {
        let mut found: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut joint: BTreeMap<&str, bool> = BTreeMap::new();
        for line in text.lines() {
            for (name, part) in LINES {
                if line.contains(part) {
                    *found.entry(name).or_default() += 1;
                }
            }
            if let Some((node, config)) = line.split_once(" switched to configuration ") {
                let node = node.rsplit(' ').next().unwrap_or(node);
                let is_joint = config.contains("&&");
                if joint.insert(node, is_joint).unwrap_or(false) != is_joint {
                    *found
                        .entry(if is_joint { ENTERED } else { LEFT })
                        .or_default() += 1;
                    let others = joint.iter().filter(|(n, _)| **n != node);
                    if others.into_iter().any(|(_, j)| *j != is_joint) {
                        *found.entry(OVERLAP).or_default() += 1;
                    }
                }
            }
        }
        self.scripts += 1;
        for (name, times) in found {
            let count = self.counts.entry(name).or_default();
            count.times += times;
            count.scripts += 1;
        }
    }

    /// How often this happened.
    #[must_use]
    pub fn count(&self, name: &str) -> Count {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// The names of all that is counted.
    pub fn names() -> impl Iterator<Item = &'static str> {
        LINES
            .iter()
            .map(|(name, _)| *name)
            .chain([ENTERED, LEFT, OVERLAP])
    }
}

/// A table of what happened at all.
impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.counts.is_empty() {
            return Ok(());
        }
        writeln!(f, "in {} scripts:", self.scripts)?;
        for name in Self::names() {
            let Count { times, scripts } = self.count(name);
            writeln!(f, "  {times:>8} {name}, in {scripts} scripts")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, generate, run_script};

    #[test]
    fn joint_configurations_are_followed_by_node() {
        let mut events = Events::default();
        events.add(
            "  INFO 1 switched to configuration voters=(1 2)&&(1) autoleave\n  INFO 2 switched to configuration voters=(1 2)&&(1) autoleave\n\
             INFO 1 switched to configuration voters=(1 2)\nINFO 1 switched to configuration voters=(1 2) learners=(3)\n",
        );
        assert_eq!(events.count(ENTERED).times, 2);
        assert_eq!(
            events.count(LEFT),
            Count {
                times: 1,
                scripts: 1
            }
        );
        assert_eq!(events.count(OVERLAP).times, 1);
        assert_eq!(events.count("configurations switched to").times, 4);
    }

    /// The scripts do what they are for: each kind of event happens, but for one that takes a thousand scripts.
    #[test]
    fn generated_scripts_reach_every_event() {
        let mut events = Events::default();
        for seed in 0..200 {
            let script = generate::script(Kind::Interaction, seed);
            events.add(&run_script("s", &script).unwrap().report.rewritten);
        }
        for name in Events::names().filter(|name| *name != "snapshots fast-forwarded") {
            assert!(events.count(name).scripts >= 3, "{name}\n{events}");
        }
    }
}
