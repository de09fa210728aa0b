//! Random but meaningful interaction scripts, for comparison with etcd's own rafttest. Go: (none)
//!
//! A script is a function of its seed. It is written without running anything: who leads and how long the log is are guessed from the
//! commands so far, closely enough that leaders are elected, logs diverge, snapshots happen and joint configurations overlap.
//! etcd draws election timeouts from the machine's randomness, so each tick command is preceded by one that sets the timeout.

use crate::rng::SplitMix64;
use std::fmt::Write;

/// The first index of the log of nodes that start from a snapshot, minus one.
const BASE: u64 = 10;

/// Writes the script of a seed, with empty outputs.
///
/// ```
/// use tickraft_rafttest::generate;
/// let text = generate::script(7);
/// assert!(text.starts_with("# seed 7\n"));
/// assert_eq!(text, generate::script(7));
/// ```
#[must_use]
pub fn script(seed: u64) -> String {
    let mut g = Generator::new(seed);
    g.start();
    let steps = 15 + g.rng.below(45);
    for _ in 0..steps {
        g.step();
    }
    g.finish();
    g.out
}

struct Generator {
    rng: SplitMix64,
    out: String,
    /// Nodes that exist: 1 to this.
    nodes: u64,
    asynchronous: bool,
    /// Who probably leads.
    leader: u64,
    /// An index that is probably applied everywhere.
    applied: u64,
    /// The proposals since then.
    proposed: u64,
    /// What the last compaction of each node left as first index.
    compacted: Vec<u64>,
    /// Numbers the proposals.
    serial: u64,
    /// Nodes that were there at the first election: they have a term, without which no snapshot can be sent.
    founders: u64,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed);
        let nodes = *rng.pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 7]).unwrap_or(&3);
        let asynchronous = rng.chance(350);
        Self {
            rng,
            out: format!("# seed {seed}\n"),
            nodes,
            asynchronous,
            leader: 1,
            applied: BASE,
            proposed: 0,
            compacted: Vec::new(),
            serial: 0,
            founders: 0,
        }
    }

    fn command(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.out, "\n{text}\n----\n");
    }

    fn node(&mut self) -> u64 {
        1 + self.rng.below(self.nodes)
    }

    /// The probable leader, mostly.
    fn leading(&mut self) -> u64 {
        if self.rng.chance(850) {
            self.leader
        } else {
            self.node()
        }
    }

    fn options(&mut self) -> String {
        let mut o = String::new();
        if self.asynchronous {
            o.push_str(" async-storage-writes=true");
        }
        let lease = self.rng.chance(100);
        for (per_mille, option) in [
            (350, " prevote=true"),
            (if lease { 1000 } else { 350 }, " checkquorum=true"),
            (200, " step-down-on-removal=true"),
            (60, " disable-conf-change-validation=true"),
        ] {
            if self.rng.chance(per_mille) {
                o.push_str(option);
            }
        }
        if lease {
            o.push_str(" read-only=lease-based");
        }
        if self.rng.chance(250) {
            let _ = write!(o, " inflight={}", 1 + self.rng.below(4));
        }
        if self.rng.chance(250) {
            let _ = write!(
                o,
                " max-committed-size-per-ready={}",
                1 + self.rng.below(60)
            );
        }
        o
    }

    fn start(&mut self) {
        let learners = if self.nodes > 2 && self.rng.chance(250) {
            1 + self.rng.below(self.nodes / 2)
        } else {
            0
        };
        let outside = u64::from(self.nodes > 2 && self.rng.chance(150));
        let voters = self.nodes - learners.min(self.nodes - 1 - outside) - outside;
        let ids = |range: std::ops::RangeInclusive<u64>| {
            range.map(|i| i.to_string()).collect::<Vec<_>>().join(",")
        };
        let mut text = format!("add-nodes {} voters=({})", self.nodes, ids(1..=voters));
        if self.nodes - outside > voters {
            let _ = write!(
                text,
                " learners=({})",
                ids(voters + 1..=self.nodes - outside)
            );
        }
        let _ = write!(text, " index={BASE}{}", self.options());
        self.command(&text);
        self.compacted = vec![BASE; usize::try_from(self.nodes).unwrap_or(0)];
        if self.rng.chance(800) {
            let id = 1 + self.rng.below(voters);
            self.elect(id);
        }
    }

    fn elect(&mut self, id: u64) {
        self.command(&format!("campaign {id}"));
        self.leader = id;
        self.settle();
        if self.founders == 0 {
            self.founders = self.nodes;
        }
    }

    /// All nodes to rest; then what was proposed is probably applied.
    fn settle(&mut self) {
        self.command("stabilize");
        self.applied += self.proposed + 1;
        self.proposed = 0;
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..=17 => self.propose(),
            18..=30 => self.partial_progress(),
            31..=44 => self.settle(),
            45..=54 => self.tick(),
            55..=61 => {
                let id = self.node();
                if self.rng.chance(600) {
                    self.elect(id);
                } else {
                    self.command(&format!("campaign {id}"));
                }
            }
            62..=72 => self.conf_change(),
            73..=79 => self.drop_messages(),
            80..=83 => self.compact(),
            84..=87 => {
                let (from, to) = (self.leading(), self.node());
                self.command(&format!("transfer-leadership from={from} to={to}"));
                if self.rng.chance(700) {
                    self.leader = to;
                }
            }
            88..=89 => {
                let id = self.node();
                self.command(&format!("forget-leader {id}"));
            }
            90..=92 => {
                let (from, to) = (self.leading(), self.node());
                self.command(&format!("report-unreachable {from} {to}"));
            }
            93..=94 if self.nodes > 1 => {
                let (from, to) = (self.leading(), self.node());
                if from != to && from <= self.founders {
                    self.command(&format!("send-snapshot {from} {to}"));
                }
            }
            95..=96 => self.add_node(),
            _ => self.look(),
        }
    }

    fn propose(&mut self) {
        for _ in 0..1 + self.rng.below(3) {
            let id = self.leading();
            self.serial += 1;
            // Payloads of different lengths, so that size limits cut in different places.
            let pad = "x".repeat(usize::try_from(self.rng.below(12)).unwrap_or(0));
            self.command(&format!("propose {id} prop_{}{pad}", self.serial));
            self.proposed += 1;
        }
    }

    /// Some of the nodes do some of their work.
    fn partial_progress(&mut self) {
        let id = self.node();
        let text = match self.rng.below(8) {
            0 | 1 => format!("process-ready {id}"),
            2 => format!("deliver-msgs {id}"),
            3 if self.asynchronous => format!("process-append-thread {id}"),
            4 if self.asynchronous => format!("process-apply-thread {id}"),
            5 => {
                let types = [
                    "MsgApp",
                    "MsgAppResp",
                    "MsgHeartbeat",
                    "MsgHeartbeatResp",
                    "MsgVote",
                    "MsgVoteResp",
                    "MsgSnap",
                ];
                let kind = *self.rng.pick(&types).unwrap_or(&"MsgApp");
                format!("deliver-msgs type={kind} {id}")
            }
            _ => {
                let mut ids: Vec<String> = (1..=self.nodes)
                    .filter(|_| self.rng.chance(600))
                    .map(|i| i.to_string())
                    .collect();
                if ids.is_empty() {
                    ids.push(id.to_string());
                }
                format!("stabilize {}", ids.join(" "))
            }
        };
        self.command(&text);
    }

    fn tick(&mut self) {
        let id = if self.rng.chance(500) {
            self.leader
        } else {
            self.node()
        };
        // Within one election timeout a node can campaign once; whatever timeout it then draws lies beyond the command's ticks.
        let timeout = 3 + self.rng.below(3);
        for _ in 0..1 + self.rng.below(2) {
            self.command(&format!(
                "set-randomized-election-timeout {id} timeout={timeout}"
            ));
            let kind = if self.rng.chance(600) {
                "tick-heartbeat"
            } else {
                "tick-election"
            };
            self.command(&format!("{kind} {id}"));
        }
    }

    fn conf_change(&mut self) {
        let id = self.leading();
        if self.rng.chance(250) {
            // An empty change leaves a joint configuration.
            self.command(&format!("propose-conf-change {id}"));
        } else if self.rng.chance(250) {
            let change = self.change();
            self.command(&format!("propose-conf-change {id} v1=true\n{change}"));
        } else {
            let transition = *self
                .rng
                .pick(&["", "", " transition=implicit", " transition=explicit"])
                .unwrap_or(&"");
            let changes: Vec<String> = (0..1 + self.rng.below(3)).map(|_| self.change()).collect();
            self.command(&format!(
                "propose-conf-change {id}{transition}\n{}",
                changes.join(" ")
            ));
        }
        self.proposed += 1;
        if self.rng.chance(500) {
            self.settle();
        }
    }

    fn change(&mut self) -> String {
        let kind = *self
            .rng
            .pick(&['v', 'v', 'v', 'l', 'l', 'r', 'r', 'u'])
            .unwrap_or(&'v');
        // Now and then a node that does not exist yet.
        let beyond = u64::from(self.rng.chance(200));
        let id = 1 + self.rng.below(self.nodes + beyond);
        format!("{kind}{id}")
    }

    fn drop_messages(&mut self) {
        let id = self.node();
        self.command(&format!("deliver-msgs drop=({id})"));
    }

    fn compact(&mut self) {
        let id = if self.rng.chance(700) {
            self.leader
        } else {
            self.node()
        };
        let at = usize::try_from(id - 1).unwrap_or(0);
        let Some(first) = self.compacted.get(at).copied() else {
            return;
        };
        // Guesses beyond the log's end make etcd panic: stay well behind.
        let highest = BASE + (self.applied - BASE) / 3;
        if highest > first {
            let index = first + 1 + self.rng.below(highest - first);
            self.command(&format!("compact {id} {index}"));
            if let Some(c) = self.compacted.get_mut(at) {
                *c = index;
            }
        }
    }

    fn add_node(&mut self) {
        if self.nodes >= 7 {
            return;
        }
        let options = if self.asynchronous {
            " async-storage-writes=true"
        } else {
            ""
        };
        self.command(&format!("add-nodes 1{options}"));
        self.nodes += 1;
        self.compacted.push(u64::MAX);
        let (id, joined) = (self.leader, self.nodes);
        let kind = if self.rng.chance(500) { 'v' } else { 'l' };
        self.command(&format!("propose-conf-change {id}\n{kind}{joined}"));
        self.proposed += 1;
        self.settle();
    }

    fn look(&mut self) {
        let id = self.node();
        let text = match self.rng.below(3) {
            0 => "raft-state".to_owned(),
            1 => format!("status {id}"),
            _ => format!("raft-log {id}"),
        };
        self.command(&text);
    }

    /// What all nodes end with.
    fn finish(&mut self) {
        if self.rng.chance(700) {
            self.settle();
        }
        self.command("raft-state");
        for id in 1..=self.nodes {
            self.command(&format!("status {id}"));
            self.command(&format!("raft-log {id}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_give_different_scripts_with_every_command() {
        let all: Vec<String> = (0..300).map(script).collect();
        for command in [
            "add-nodes",
            "campaign",
            "compact",
            "deliver-msgs",
            "drop=",
            "process-ready",
            "process-append-thread",
            "process-apply-thread",
            "raft-log",
            "raft-state",
            "set-randomized-election-timeout",
            "stabilize",
            "status",
            "tick-election",
            "tick-heartbeat",
            "transfer-leadership",
            "forget-leader",
            "send-snapshot",
            "propose ",
            "propose-conf-change",
            "report-unreachable",
            "transition=explicit",
            "read-only=lease-based",
            "learners=",
        ] {
            let n = all.iter().filter(|s| s.contains(command)).count();
            assert!(n >= 20, "{command} stands in {n} of 300 scripts only");
        }
        assert_ne!(
            all[0].lines().skip(1).collect::<Vec<_>>(),
            all[1].lines().skip(1).collect::<Vec<_>>()
        );
    }
}
