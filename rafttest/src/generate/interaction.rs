//! Random scripts about groups of nodes: single commands and their weights. Go: (none)
//!
//! etcd draws election timeouts from the machine's randomness, so each tick command is preceded by one that sets the timeout.

use super::options::{Options, membership};
use crate::datadriven::{TestData, parse_line};
use crate::raftpb::MessageType;
use crate::{InteractionEnv, Node, SplitMix64};
use raft::StateType;
use raft::storage::Storage;
use std::fmt::Write;

pub(super) fn script(seed: u64) -> String {
    let mut g = Generator::new(seed);
    g.start();
    for _ in 0..15 + g.rng.below(45) {
        g.step();
    }
    g.finish();
    g.out
}

pub(super) struct Generator {
    pub(super) rng: SplitMix64,
    out: String,
    /// The group as the commands so far have left it.
    pub(super) env: InteractionEnv,
    options: Options,
    /// Numbers the proposals and reads.
    serial: u64,
    /// A command here went wrong in a way that ends a script.
    over: bool,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed);
        let options = Options::draw(&mut rng);
        Self {
            rng,
            out: format!("# seed {seed}\n"),
            env: InteractionEnv::new(),
            options,
            serial: 0,
            over: false,
        }
    }

    /// Writes a command, and runs it.
    pub(super) fn command(&mut self, text: &str) {
        if self.over {
            return;
        }
        // Writing to a String cannot fail.
        let _ = write!(self.out, "\n{text}\n----\n");
        let (line, input) = text.split_once('\n').unwrap_or((text, ""));
        let done = parse_line(line).map(|(cmd, cmd_args)| {
            self.env.handle(&TestData {
                cmd,
                cmd_args,
                input: input.to_owned(),
                ..TestData::default()
            })
        });
        self.over = !matches!(done, Ok(Ok(_)));
    }

    /// How many nodes there are: they have the ids 1 to this.
    pub(super) fn nodes(&self) -> u64 {
        self.env.nodes.len() as u64
    }

    pub(super) fn node(&mut self) -> u64 {
        1 + self.rng.below(self.nodes())
    }

    pub(super) fn at(&self, id: u64) -> Option<&Node> {
        self.env
            .nodes
            .get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// Who leads in the latest term; anyone where nobody does.
    pub(super) fn leader(&mut self) -> u64 {
        let leaders = self.env.nodes.iter().map(|n| (n.basic_status(), n.id()));
        let latest = leaders
            .filter(|(st, _)| st.soft_state.raft_state == StateType::Leader)
            .max_by_key(|(st, _)| st.hard_state.term);
        match latest {
            Some((_, id)) => id,
            None => self.node(),
        }
    }

    /// The leader, mostly.
    pub(super) fn leading(&mut self) -> u64 {
        if self.rng.chance(850) {
            self.leader()
        } else {
            self.node()
        }
    }

    fn start(&mut self) {
        if self.rng.chance(60) {
            let level = *self.rng.pick(&["info", "warn", "error"]).unwrap_or(&"info");
            self.command(&format!("log-level {level}"));
        }
        let nodes = *self
            .rng
            .pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 6, 7])
            .unwrap_or(&3);
        let (voters, members) = membership(&mut self.rng, nodes);
        let index = *self.rng.pick(&[2, 10, 10, 10, 100]).unwrap_or(&10);
        let from = format!("{members} index={index}");
        // Now and then nodes of one group with other options, as while it is being upgraded.
        let first = if self.rng.chance(150) {
            1 + self.rng.below(nodes)
        } else {
            nodes
        };
        let options = self.options.text.clone();
        self.command(&format!("add-nodes {first}{from}{options}"));
        if first < nodes {
            let other = Options::draw(&mut self.rng).text;
            self.command(&format!("add-nodes {}{from}{other}", nodes - first));
        }
        if self.rng.chance(850) {
            let id = 1 + self.rng.below(voters);
            self.elect(id);
        }
    }

    pub(super) fn elect(&mut self, id: u64) {
        self.command(&format!("campaign {id}"));
        self.settle();
    }

    /// All nodes to rest.
    pub(super) fn settle(&mut self) {
        self.command("stabilize");
    }

    fn step(&mut self) {
        match self.rng.below(1000) {
            0..=149 => self.propose(),
            150..=269 => self.partial_progress(),
            270..=379 => self.settle(),
            380..=469 => self.tick(),
            470..=529 => {
                let id = self.node();
                if self.rng.chance(600) {
                    self.elect(id);
                } else {
                    self.command(&format!("campaign {id}"));
                }
            }
            530..=629 => self.conf_change(),
            630..=679 => self.drop_messages(),
            680..=719 => self.compact(),
            720..=754 => self.transfer(),
            755..=774 => {
                let id = self.node();
                self.command(&format!("forget-leader {id}"));
            }
            775..=799 => {
                let (from, to) = (self.leading(), self.node());
                self.command(&format!("report-unreachable {from} {to}"));
            }
            800..=814 => self.send_snapshot(),
            815..=834 => self.report_snapshot(),
            835..=854 => self.add_node(),
            855..=904 => self.read(),
            905..=924 => {
                let id = self.node();
                self.command(&format!("restart {id}"));
            }
            925..=949 => self.diverge(),
            950..=974 => self.leave_behind(),
            _ => self.look(),
        }
    }

    pub(super) fn propose(&mut self) {
        for _ in 0..1 + self.rng.below(3) {
            let id = self.leading();
            self.propose_on(id);
        }
    }

    pub(super) fn propose_on(&mut self, id: u64) {
        self.serial += 1;
        // Payloads of different lengths, so that size limits cut in different places.
        let longest = *self.rng.pick(&[1, 12, 12, 60]).unwrap_or(&12);
        let pad = "x".repeat(usize::try_from(self.rng.below(longest)).unwrap_or(0));
        self.command(&format!("propose {id} p{}{pad}", self.serial));
    }

    /// A read request; some with the context of the one before, as a client that asks again.
    pub(super) fn read(&mut self) {
        let id = if self.rng.chance(500) {
            self.leader()
        } else {
            self.node()
        };
        if !self.rng.chance(150) {
            self.serial += 1;
        }
        self.command(&format!("read-index {id} r{}", self.serial));
    }

    /// Some of the nodes do some of their work.
    pub(super) fn partial_progress(&mut self) {
        let id = self.node();
        let text = match self.rng.below(10) {
            0 | 1 => format!("process-ready {id}"),
            2 => format!("deliver-msgs {id}"),
            3 => match self.env.nodes.iter().find(|n| n.has_append_work()) {
                Some(n) => format!("process-append-thread {}", n.id()),
                None => format!("process-ready {id}"),
            },
            4 => match self.env.nodes.iter().find(|n| n.has_apply_work()) {
                Some(n) => format!("process-apply-thread {}", n.id()),
                None => format!("process-ready {id}"),
            },
            5 | 6 => match self.a_message() {
                // Messages of one type overtake the others.
                Some((to, kind)) => format!("deliver-msgs type={} {to}", kind.as_str()),
                None => format!("process-ready {id}"),
            },
            _ => {
                let ids = self.some_nodes(600);
                format!("stabilize {}", ids.join(" "))
            }
        };
        self.command(&text);
    }

    /// One of the messages on their way that a node will get.
    fn a_message(&mut self) -> Option<(u64, MessageType)> {
        let nodes = self.nodes();
        let waiting: Vec<_> = self
            .env
            .messages
            .iter()
            .filter(|m| m.to >= 1 && m.to <= nodes)
            .collect();
        self.rng.pick(&waiting).map(|m| (m.to, m.msg_type))
    }

    /// Nodes, each with this probability; one at least.
    pub(super) fn some_nodes(&mut self, per_mille: u64) -> Vec<String> {
        let nodes = self.nodes();
        let mut ids: Vec<String> = (1..=nodes)
            .filter(|_| self.rng.chance(per_mille))
            .map(|i| i.to_string())
            .collect();
        if ids.is_empty() {
            ids.push(self.node().to_string());
        }
        ids
    }

    fn tick(&mut self) {
        let id = if self.rng.chance(500) {
            self.leader()
        } else {
            self.node()
        };
        for _ in 0..1 + self.rng.below(2) {
            let election = self.rng.chance(400);
            self.tick_node(id, election);
        }
    }

    /// An election timeout, or that between two heartbeats. Within one election timeout a node campaigns at most once, and whatever timeout it then draws
    /// lies beyond the ticks of the command.
    pub(super) fn tick_node(&mut self, id: u64, election: bool) {
        let ticks = u64::from(self.at(id).map_or(3, |n| n.config.election_tick));
        let timeout = if self.rng.chance(800) {
            ticks + self.rng.below(ticks)
        } else {
            1 + self.rng.below(ticks)
        };
        self.command(&format!(
            "set-randomized-election-timeout {id} timeout={timeout}"
        ));
        let kind = if election {
            "tick-election"
        } else {
            "tick-heartbeat"
        };
        self.command(&format!("{kind} {id}"));
    }

    fn drop_messages(&mut self) {
        let ids = self.some_nodes(250).join(",");
        let text = match self.rng.below(10) {
            0..=6 => format!("deliver-msgs drop=({ids})"),
            _ => match self.a_message() {
                Some((_, kind)) => format!("deliver-msgs type={} drop=({ids})", kind.as_str()),
                None => format!("deliver-msgs drop=({ids})"),
            },
        };
        self.command(&text);
    }

    /// The application may compact what it has applied. Now and then it asks for more, or for what is gone; etcd's storage panics beyond its end.
    fn compact(&mut self) {
        let id = if self.rng.chance(700) {
            self.leader()
        } else {
            self.node()
        };
        self.compact_node(id);
    }

    pub(super) fn compact_node(&mut self, id: u64) {
        let patient = self.rng.chance(900);
        let Some(node) = self.at(id) else { return };
        let s = node.storage();
        let (Ok(first), Ok(last)) = (s.first_index(), s.last_index()) else {
            return;
        };
        // An application may be ahead of what it said that it applied.
        let said = if patient {
            node.basic_status().applied
        } else {
            last
        };
        let highest = s.applied().min(last).min(said);
        let index = if self.rng.chance(30) {
            if self.rng.chance(700) {
                first.saturating_sub(1)
            } else {
                last + 1
            }
        } else if highest < first {
            return;
        } else if self.rng.chance(500) {
            highest
        } else {
            first + self.rng.below(highest - first + 1)
        };
        self.command(&format!("compact {id} {index}"));
    }

    fn transfer(&mut self) {
        // etcd panics on a request that is forwarded twice, so only some go to others than the leader.
        let from = if self.rng.chance(950) {
            self.leader()
        } else {
            self.node()
        };
        let to = self.node();
        self.command(&format!("transfer-leadership from={from} to={to}"));
    }

    fn send_snapshot(&mut self) {
        let (from, to) = (self.leading(), self.node());
        // A node that never had a term has none to send; one that applied nothing has no snapshot.
        let ready = self.at(from).is_some_and(|n| {
            n.basic_status().hard_state.term > 0 && n.storage().newest().metadata.index > 0
        });
        if from != to && ready {
            self.command(&format!("send-snapshot {from} {to}"));
        }
    }

    fn report_snapshot(&mut self) {
        let (from, to) = (self.leading(), self.node());
        let status = if self.rng.chance(500) { "ok" } else { "failed" };
        self.command(&format!("report-snapshot {from} {to} {status}"));
    }

    fn add_node(&mut self) {
        if self.nodes() >= 7 {
            return;
        }
        let options = if self.options.asynchronous {
            " async-storage-writes=true"
        } else {
            ""
        };
        self.command(&format!("add-nodes 1{options}"));
        let (id, joined) = (self.leader(), self.nodes());
        let kind = if self.rng.chance(500) { 'v' } else { 'l' };
        self.command(&format!("propose-conf-change {id}\n{kind}{joined}"));
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
        for id in 1..=self.nodes() {
            self.command(&format!("status {id}"));
            self.command(&format!("raft-log {id}"));
        }
    }
}
