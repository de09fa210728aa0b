//! Sequences of commands that lead where single ones seldom do. Go: (none)

use super::interaction::Generator;
use std::fmt::Write;

impl Generator {
    /// A change of the membership. Most keep a voter, and follow what the proposer believes: a joint configuration is left rather than changed.
    pub(super) fn conf_change(&mut self) {
        let id = self.leading();
        let joint = self
            .at(id)
            .is_some_and(|n| !n.status().config.voters.outgoing.is_empty());
        if self.rng.chance(if joint { 650 } else { 60 }) {
            // An empty change leaves a joint configuration.
            self.command(&format!("propose-conf-change {id}"));
        } else if self.rng.chance(250) {
            let change = self.changes(id, 1);
            self.command(&format!("propose-conf-change {id} v1=true\n{change}"));
        } else {
            let transition = *self
                .rng
                .pick(&[
                    "",
                    "",
                    " transition=implicit",
                    " transition=explicit",
                    " transition=explicit",
                ])
                .unwrap_or(&"");
            let count = 1 + self.rng.below(3);
            let changes = self.changes(id, count);
            self.command(&format!("propose-conf-change {id}{transition}\n{changes}"));
        }
        if self.rng.chance(500) {
            self.settle();
        }
    }

    fn changes(&mut self, proposer: u64, count: u64) -> String {
        let mut voters: Vec<u64> = self.at(proposer).map_or_else(Vec::new, |n| {
            n.status().config.voters.incoming.iter().collect()
        });
        let (mut text, mut touched) = (String::new(), Vec::new());
        for _ in 0..count {
            let kind = *self
                .rng
                .pick(&['v', 'v', 'v', 'v', 'l', 'l', 'r', 'r', 'u'])
                .unwrap_or(&'v');
            // Now and then a node that does not exist yet, or none.
            let beyond = u64::from(self.rng.chance(100));
            let id = if self.rng.chance(10) {
                0
            } else {
                1 + self.rng.below(self.nodes() + beyond)
            };
            let loses_voter = matches!(kind, 'l' | 'r') && voters.contains(&id);
            // A group without voters makes etcd panic, and a node that changes twice in one change is seldom meant.
            if (loses_voter && voters.len() == 1 || touched.contains(&id)) && !self.rng.chance(20) {
                continue;
            }
            if loses_voter {
                voters.retain(|v| *v != id);
            } else if kind == 'v' && id != 0 && !voters.contains(&id) {
                voters.push(id);
            }
            touched.push(id);
            // Writing to a String cannot fail.
            let _ = write!(text, "{}{kind}{id}", if text.is_empty() { "" } else { " " });
        }
        if text.is_empty() {
            let id = self.node();
            text = format!("v{id}");
        }
        text
    }

    /// The leader is cut off with what it proposes, others go on without it, then all meet again: their logs differ.
    pub(super) fn diverge(&mut self) {
        let alone = self.leader();
        for _ in 0..1 + self.rng.below(3) {
            self.propose_on(alone);
        }
        self.command(&format!("stabilize {alone}"));
        let others: Vec<u64> = (1..=self.nodes()).filter(|id| *id != alone).collect();
        let Some(&next) = self.rng.pick(&others) else {
            return;
        };
        let list = |ids: &[u64], separator: &str| {
            ids.iter()
                .map(u64::to_string)
                .collect::<Vec<_>>()
                .join(separator)
        };
        // One of them may have heard of some of it.
        let deaf: Vec<u64> = if self.rng.chance(400) {
            others.iter().copied().filter(|id| *id != next).collect()
        } else {
            others.clone()
        };
        if !deaf.is_empty() {
            self.command(&format!("deliver-msgs drop=({})", list(&deaf, ",")));
        }
        if self.rng.chance(300) {
            // With CheckQuorum they vote once they have not heard of the leader for long enough.
            for id in others.clone() {
                self.tick_node(id, true);
            }
        }
        self.command(&format!("campaign {next}"));
        self.command(&format!("stabilize {}", list(&others, " ")));
        if self.rng.chance(700) {
            let leader = self.leader();
            self.propose_on(leader);
            self.command(&format!("stabilize {}", list(&others, " ")));
        }
        if self.rng.chance(400) {
            self.propose_on(alone);
        }
        if self.rng.chance(600) {
            self.command(&format!("deliver-msgs drop=({alone})"));
        }
        if self.rng.chance(700) {
            let leader = self.leader();
            self.tick_node(leader, false);
            self.settle();
        }
    }

    /// A follower hears nothing until the others have compacted what it lacks: only a snapshot helps.
    pub(super) fn leave_behind(&mut self) {
        let leader = self.leader();
        let others: Vec<u64> = (1..=self.nodes()).filter(|id| *id != leader).collect();
        let Some(&behind) = self.rng.pick(&others) else {
            return;
        };
        let rest: Vec<String> = (1..=self.nodes())
            .filter(|id| *id != behind)
            .map(|id| id.to_string())
            .collect();
        for _ in 0..1 + self.rng.below(2) {
            self.propose();
            self.command(&format!("stabilize {}", rest.join(" ")));
            self.command(&format!("deliver-msgs drop=({behind})"));
        }
        if self.rng.chance(300) {
            self.conf_change();
        }
        self.compact_node(leader);
        if self.rng.chance(500) {
            self.command(&format!("report-unreachable {leader} {behind}"));
        }
        self.tick_node(leader, false);
        match self.rng.below(4) {
            0 | 1 => self.settle(),
            2 => {
                // The snapshot is lost, and its sender told or not.
                self.command(&format!("stabilize {}", rest.join(" ")));
                self.command(&format!("deliver-msgs drop=({behind})"));
                if self.rng.chance(600) {
                    self.command(&format!("report-snapshot {leader} {behind} failed"));
                }
            }
            _ => self.partial_progress(),
        }
    }
}
