//! Random runs of a whole group: faults of the network, crashes, proposals, membership changes, snapshots, reads. Go: rafttest/node.go, network.go
//!
//! A run is a pure function of its seed. Each step does one thing — a tick, a delivery, a crash, a proposal — and checks
//! the paper's five properties, that nodes refuse nothing of what their peers send, that state machine and configuration at an
//! index are the same wherever they are, and that reads are linearizable. In the end everything heals, and the group must come to one state with all that was acknowledged.

mod actions;
mod node;
mod settle;
mod state_machine;

use crate::network::{Delivery, Network, NetworkStats};
use crate::{Properties, SplitMix64};
use node::SimNode;
use raft::raftpb::{ConfState, Message, MessageType, SnapshotStatus};
use raft::{Config, ReadOnlyOption};
use state_machine::{Chain, FIRST};
use std::collections::BTreeMap;

/// What a run is like. Everything else follows from the seed: how many nodes, which options, what goes wrong when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimOptions {
    /// What decides everything.
    pub seed: u64,
    /// How many steps before everything heals.
    pub steps: u64,
    /// What is broken on purpose, to see that it is found out.
    pub sabotage: Sabotage,
}

/// A broken promise of the storage, to see that a run finds it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// A restarted node has forgotten whom it voted for.
    ForgetVote,
    /// A restarted node has lost the last entry of its log, where that was not committed yet.
    LoseEntry,
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimStats {
    /// Terms that had a leader.
    pub elections: u64,
    /// Entries that the group agreed on.
    pub committed: u64,
    /// Proposals that were applied.
    pub proposals: u64,
    /// Configurations that a node applied.
    pub conf_changes: u64,
    /// Of those, joint ones.
    pub joint: u64,
    /// Snapshots from a leader that a node restored.
    pub snapshots: u64,
    /// Logs that were compacted.
    pub compactions: u64,
    /// Nodes that were stopped without warning.
    pub crashes: u64,
    /// Of those, the ones in the middle of a Ready or with work on its way to storage threads.
    pub torn: u64,
    /// Read requests that were answered.
    pub reads: u64,
    /// What the network did.
    pub network: NetworkStats,
}

/// A run that went wrong. Prints the seed that repeats it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, step {step}: {what}")]
pub struct SimFailure {
    /// Repeats the run.
    pub seed: u64,
    /// Where.
    pub step: u64,
    /// What.
    pub what: String,
}

/// Runs a group as the options say.
///
/// # Errors
/// [`SimFailure`]: a property was violated, a node refused what a peer sent or stopped, a read was stale, or the group did not
/// come to one state once everything had healed.
///
/// ```
/// use tickraft_rafttest::{Sabotage, SimOptions, simulate};
/// let options = SimOptions { seed: 1, steps: 300, sabotage: Sabotage::None };
/// let stats = simulate(options).unwrap();
/// assert_eq!(Ok(stats), simulate(options), "the same seed, the same run");
/// assert!(stats.elections > 0);
/// ```
pub fn simulate(options: SimOptions) -> Result<SimStats, SimFailure> {
    let mut sim = Sim::new(options);
    sim.run().map_err(|what| SimFailure {
        seed: options.seed,
        step: sim.step,
        what,
    })
}

/// The largest id that a node may get.
const MAX_ID: u64 = 8;

struct Sim {
    options: SimOptions,
    step: u64,
    rng: SplitMix64,
    network: Network,
    properties: Properties,
    nodes: BTreeMap<u64, SimNode>,
    /// What the first state machine to apply each entry came to: the others must come to the same.
    chain: Chain,
    /// The configuration from each entry on that changed it, as the first node to apply it found.
    configs: BTreeMap<u64, ConfState>,
    /// Read requests that were not answered yet, by context: what was applied anywhere when they were made.
    reads: BTreeMap<u64, u64>,
    next_read: u64,
    next_proposal: u64,
    /// Nodes that were in a configuration once: their ids are not used again.
    used: std::collections::BTreeSet<u64>,
    /// Whether reads may be checked: leases trust clocks, and the ticks here are no clock.
    reads_are_safe: bool,
    stats: SimStats,
}

impl Sim {
    fn new(options: SimOptions) -> Self {
        let mut rng = SplitMix64::new(options.seed);
        let voters: Vec<u64> = (1..=1 + rng.below(5)).collect();
        let first_config = ConfState {
            voters: voters.clone(),
            ..ConfState::default()
        };
        let template = config(&mut rng, options.seed);
        let asynchronous = rng.below(3);
        let mut nodes = BTreeMap::new();
        for id in 1..=MAX_ID {
            // All of one mode, all of the other, or mixed.
            let is_async = match asynchronous {
                0 => false,
                1 => true,
                _ => id % 2 == 0,
            };
            let config = Config {
                id,
                ..template.clone()
            };
            nodes.insert(id, SimNode::new(config, is_async, &voters));
        }
        Self {
            options,
            step: 0,
            network: Network::new(rng.next_u64()),
            properties: Properties::default(),
            nodes,
            chain: Chain::new(),
            configs: BTreeMap::from([(FIRST.index, first_config)]),
            reads: BTreeMap::new(),
            next_read: 1,
            next_proposal: 1,
            used: voters.into_iter().collect(),
            reads_are_safe: template.read_only_option == ReadOnlyOption::Safe,
            rng,
            stats: SimStats::default(),
        }
    }

    fn run(&mut self) -> Result<SimStats, String> {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for id in ids {
            self.start(id)?;
        }
        while self.step < self.options.steps {
            self.step += 1;
            self.act()?;
            self.check()?;
        }
        self.settle()?;
        self.stats.network = self.network.stats();
        self.stats.elections = self.properties.terms_led();
        self.stats.committed = self.chain.last();
        Ok(self.stats)
    }

    /// Shows every node to the properties, and looks at what they found.
    fn check(&mut self) -> Result<(), String> {
        for node in self.nodes.values() {
            if let Some(view) = node.view() {
                self.properties.observe(node.id(), view.term, view.leads);
                node.check_invariants()?;
            }
        }
        match self.properties.violations().first() {
            Some(v) => Err(format!("{} violated: {}", v.property, v.what)),
            None => Ok(()),
        }
    }

    /// A node has this configuration at an index: the same as all others.
    fn check_config(&mut self, id: u64, index: u64, conf_state: &ConfState) -> Result<(), String> {
        let known = self.configs.range(..=index).next_back();
        match known {
            Some((_, known)) if known == conf_state => Ok(()),
            known => Err(format!(
                "{id} has {conf_state:?} at {index}, others have {known:?}"
            )),
        }
    }

    fn node(&mut self, id: u64) -> Result<&mut SimNode, String> {
        self.nodes
            .get_mut(&id)
            .ok_or_else(|| format!("there is no node {id}"))
    }

    /// Takes one message out of the network. Whether there was one.
    fn deliver(&mut self) -> Result<bool, String> {
        let Some(delivery) = self.network.receive() else {
            return Ok(false);
        };
        match delivery {
            Delivery::Lost(m) => self.lost(&m)?,
            Delivery::Arrived(m) => {
                let (from, is_snapshot) = (m.from, m.msg_type == MessageType::MsgSnap);
                let to = m.to;
                self.receive(m)?;
                if is_snapshot {
                    self.node(from)?
                        .report_snapshot(to, SnapshotStatus::Finish)?;
                }
            }
        }
        Ok(true)
    }

    /// A node takes a message.
    fn receive(&mut self, m: Message) -> Result<(), String> {
        let id = m.to;
        if !self.nodes.contains_key(&id) {
            return Err(format!("{m:?} is to nobody"));
        }
        if m.msg_type == MessageType::MsgSnap {
            self.before_snapshot(id)?;
        }
        self.node(id)?.step(m)
    }

    /// The loss of a snapshot is always reported, as a transport must; that of other messages at times.
    fn lost(&mut self, m: &Message) -> Result<(), String> {
        if m.msg_type == MessageType::MsgSnap {
            return self
                .node(m.from)?
                .report_snapshot(m.to, SnapshotStatus::Failure);
        }
        if self.rng.chance(300) {
            return self.node(m.from)?.report_unreachable(m.to);
        }
        Ok(())
    }
}

/// Options of all nodes of a run: each at its default in about half of the runs.
fn config(rng: &mut SplitMix64, seed: u64) -> Config {
    let check_quorum = rng.chance(500);
    let lease_based = check_quorum && rng.chance(200);
    let max_size_per_msg = *rng.pick(&[u64::MAX, u64::MAX, 0, 40, 200]).unwrap_or(&0);
    let max_inflight_bytes = match max_size_per_msg {
        40 | 200 if rng.chance(500) => 2 * max_size_per_msg,
        _ => 0,
    };
    Config {
        election_tick: 5,
        heartbeat_tick: 1,
        check_quorum,
        pre_vote: rng.chance(500),
        max_size_per_msg,
        max_inflight_bytes,
        max_committed_size_per_ready: *rng.pick(&[u64::MAX, u64::MAX, 1, 60]).unwrap_or(&0),
        max_uncommitted_entries_size: *rng.pick(&[0, 0, 100]).unwrap_or(&0),
        max_inflight_msgs: *rng.pick(&[256, 256, 1, 3]).unwrap_or(&256),
        disable_proposal_forwarding: rng.chance(200),
        step_down_on_removal: rng.chance(500),
        batch_append: seed.is_multiple_of(3),
        read_only_option: if lease_based {
            ReadOnlyOption::LeaseBased
        } else {
            ReadOnlyOption::Safe
        },
        ..Config::new(0, seed)
    }
}
